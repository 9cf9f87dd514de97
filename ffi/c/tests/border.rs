//! What a C host may get wrong is answered with a code and a sentence, and changes nothing.

#[cfg(test)]
mod tests {
    use std::mem;
    use std::ptr::{null, null_mut};

    use epode_c::bosh::*;
    use epode_c::client::*;
    use epode_c::code::*;
    use epode_c::config::*;
    use epode_c::host::*;
    use epode_c::input::*;
    use epode_c::login::*;
    use epode_c::output::{IqDone, Output, OutputData, Stanza, epode_next};
    use epode_c::settings::*;
    use epode_c::slice::{Slice, epode_text};

    const ABSENT: Slice = Slice { data: null(), len: 0 };
    const SEED: [u8; 32] = [7; 32];

    fn slice(text: &str) -> Slice {
        Slice {
            data: text.as_ptr(),
            len: text.len(),
        }
    }

    fn text(slice: Slice) -> String {
        assert!(!slice.data.is_null());
        // SAFETY: every slice that is read here is still valid.
        String::from_utf8(unsafe { std::slice::from_raw_parts(slice.data, slice.len) }.to_vec()).unwrap()
    }

    fn config(jid: &str) -> *mut Config {
        let mut config = null_mut();
        // SAFETY: both arguments live.
        assert_eq!(unsafe { epode_config_new(slice(jid), &raw mut config) }, EPODE_OK);
        config
    }

    fn client() -> *mut Client {
        client_by("user@example.org", |config| {
            // SAFETY: the handle lives, and the slice does until the call is over.
            unsafe { epode_config_set_bosh_url(config, slice("https://example.org/http-bind")) }
        })
    }

    fn client_by(jid: &str, set: impl FnOnce(*mut Config) -> u32) -> *mut Client {
        let config = config(jid);
        let mut client = null_mut();
        assert_eq!(set(config), EPODE_OK);
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_config_set_password(config, slice("pencil")), EPODE_OK);
            assert_eq!(epode_client_new(config, SEED.as_ptr(), &raw mut client), EPODE_OK);
            epode_config_free(config);
        }
        client
    }

    fn next(client: *mut Client) -> Output {
        let mut output = empty_output();
        // SAFETY: both live.
        assert_eq!(unsafe { epode_next(client, &raw mut output) }, EPODE_OK);
        output
    }

    /// As far as the union of the first version went: to the end of the `iq` of an `epode_output_iq_done`, before a stanza had a token.
    fn first_version() -> usize {
        mem::offset_of!(Output, data) + mem::offset_of!(IqDone, iq) + mem::offset_of!(Stanza, token)
    }

    fn verified(name: &str) -> LinkInfo {
        // SAFETY: numbers and slices may be zero.
        let mut info: LinkInfo = unsafe { mem::zeroed() };
        info.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
        info.encrypted = 1;
        info.verified = EPODE_VERIFIED_HOST;
        info.verified_name = slice(name);
        info
    }

    fn empty_output() -> Output {
        // SAFETY: numbers, booleans and slices may be zero.
        let mut output: Output = unsafe { mem::zeroed() };
        output.struct_size = u32::try_from(size_of::<Output>()).unwrap();
        output
    }

    /// The kinds of all outputs that wait.
    fn kinds(client: *mut Client) -> Vec<u32> {
        let mut kinds = Vec::new();
        loop {
            match next(client).kind {
                EPODE_NONE => return kinds,
                kind => kinds.push(kind),
            }
        }
    }

    #[test]
    fn null_is_answered_not_followed() {
        let mut client_out = null_mut();
        let mut output = empty_output();
        // SAFETY: NULL is allowed in all of these.
        unsafe {
            epode_client_free(null_mut());
            epode_config_free(null_mut());
            assert_eq!(epode_config_new(slice("a@b.example"), null_mut()), EPODE_NULL);
            assert_eq!(epode_config_new(ABSENT, null_mut()), EPODE_NULL);
            assert_eq!(
                epode_client_new(null_mut(), SEED.as_ptr(), &raw mut client_out),
                EPODE_NULL
            );
            let mut nobody = vec![
                epode_start(null_mut(), 0),
                epode_restore(null_mut(), 0, EPODE_SLOT_SESSION, slice("x")),
                epode_clock(null_mut(), 0, 0),
                epode_resolved_records(null_mut(), 0, 1, null(), 0),
                epode_resolved_document(null_mut(), 0, 1, ABSENT),
                epode_resolved_failed(null_mut(), 0, 1, EPODE_FAILURE_DNS, 0, ABSENT),
                epode_received(null_mut(), 0, 1, slice("x")),
                epode_written(null_mut(), 0, 1, 1),
                epode_network(null_mut(), 0, EPODE_NETWORK_UP),
                epode_foreground(null_mut(), 0, true),
                epode_pause(null_mut(), 0, 1),
                epode_handled(null_mut(), 0, 1),
            ];
            nobody.extend([
                epode_config_add_bosh(null_mut(), slice("https://b.example/")),
                epode_config_add_websocket(null_mut(), slice("wss://b.example/")),
                epode_config_add_tcp(null_mut(), slice("b.example"), 5222, EPODE_TCP_STARTTLS),
                epode_config_add_discovery(null_mut(), true, true, true),
                epode_config_set_bosh_key_sequence(null_mut(), true),
                epode_config_set_bosh_attach(null_mut(), null()),
                epode_config_set_no_credentials(null_mut()),
                epode_config_set_limit(null_mut(), EPODE_LIMIT_DEPTH, 1),
                epode_config_set_reconnect(null_mut(), EPODE_RECONNECT_NEVER),
                epode_config_set_reconnect_delays(null_mut(), 1, 1, 1, 0),
                epode_config_set_stream_management(null_mut(), true, true, 0),
                epode_config_set_acknowledgement_requests(null_mut(), 1, 1),
                epode_config_set_resend_uncertain(null_mut(), true),
                epode_config_set_liveness(null_mut(), 1, 1, 1),
                epode_config_set_persist(null_mut(), EPODE_PERSIST_OFF),
                epode_config_set_acknowledge(null_mut(), EPODE_ACKNOWLEDGE_MANUAL),
            ]);
            assert_eq!(nobody, vec![EPODE_NULL; 28]);
            assert_eq!(epode_next(null_mut(), &raw mut output), EPODE_NULL);
            assert!(!epode_wants_read(null_mut()));
            assert!(epode_text(null()).data.is_null());
            assert_eq!(text(epode_text(c"abc".as_ptr())), "abc");
            let client = client();
            assert_eq!(epode_next(client, null_mut()), EPODE_NULL);
            assert_eq!(epode_connected(client, 0, 1, null()), EPODE_NULL);
            assert_eq!(epode_deadline(client, null_mut(), null_mut()), EPODE_NULL);
            assert_eq!(epode_last_error(client, null_mut()), EPODE_NULL);
            let nowhere = Slice { data: null(), len: 3 };
            assert_eq!(epode_send(client, 0, nowhere, null_mut()), EPODE_NULL);
            epode_client_free(client);
        }
    }

    #[test]
    fn a_configuration_that_cannot_work_says_why() {
        let (mut handle, mut client, mut sentence) = (null_mut(), null_mut(), ABSENT);
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_config_new(slice("user@"), &raw mut handle), EPODE_JID);
            assert!(handle.is_null());
            let handle = config("user@example.org");
            let mut made = |seed: &[u8; 32]| {
                let code = epode_client_new(handle, seed.as_ptr(), &raw mut client);
                assert_eq!(client.is_null(), code != EPODE_OK);
                code
            };
            assert_eq!(made(&[0; 32]), EPODE_SEED);
            assert_eq!(made(&SEED), EPODE_CONFIG_CREDENTIALS);
            assert_eq!(epode_config_set_password(handle, slice("")), EPODE_OK);
            assert_eq!(epode_config_add_discovery(handle, false, false, false), EPODE_OK);
            assert_eq!(made(&SEED), EPODE_CONFIG_TRANSPORT);
            assert_eq!(
                epode_config_set_bosh_url(handle, slice("http://example.org/")),
                EPODE_OK
            );
            assert_eq!(made(&SEED), EPODE_CONFIG_PLAINTEXT_URL);
            assert_eq!(epode_config_last_error(handle, &raw mut sentence), EPODE_OK);
            assert!(text(sentence).contains("https"));
            assert_eq!(epode_config_set_bosh_url(handle, slice("example.org")), EPODE_OK);
            assert_eq!(made(&SEED), EPODE_CONFIG_URL);
            assert_eq!(
                epode_config_set_bosh_url(handle, slice("https://example.org/")),
                EPODE_OK
            );
            assert_eq!(epode_config_set_bosh_first_rid(handle, 1 << 53), EPODE_OK);
            assert_eq!(made(&SEED), EPODE_CONFIG_FIRST_RID);
            assert_eq!(epode_config_set_bosh_wait(handle, 65_536), EPODE_VALUE);
            assert_eq!(epode_config_set_bosh_hold(handle, 256), EPODE_VALUE);
            assert_eq!(epode_config_set_bosh_max_requests(handle, 1), EPODE_VALUE);
            assert_eq!(epode_config_set_authzid(handle, 3), EPODE_VALUE);
            assert_eq!(epode_config_set_tls(handle, 2), EPODE_VALUE);
            assert_eq!(epode_config_set_timeout(handle, 0, 1), EPODE_VALUE);
            assert_eq!(epode_config_set_timeout(handle, 7, 1), EPODE_VALUE);
            assert_eq!(epode_config_set_limit(handle, 0, 1), EPODE_VALUE);
            assert_eq!(epode_config_set_limit(handle, 13, 1), EPODE_VALUE);
            assert_eq!(epode_config_set_reconnect(handle, 3), EPODE_VALUE);
            assert_eq!(epode_config_set_persist(handle, 3), EPODE_VALUE);
            assert_eq!(epode_config_set_acknowledge(handle, 2), EPODE_VALUE);
            assert_eq!(epode_config_set_acknowledgement_requests(handle, 0, 1), EPODE_VALUE);
            assert_eq!(
                epode_config_set_acknowledgement_requests(handle, 65_536, 1),
                EPODE_VALUE
            );
            let host = slice("example.org");
            assert_eq!(epode_config_add_tcp(handle, host, 5222, 0), EPODE_VALUE);
            assert_eq!(
                epode_config_add_tcp(handle, host, 65_536, EPODE_TCP_STARTTLS),
                EPODE_VALUE
            );
            assert_eq!(epode_config_add_tcp(handle, ABSENT, 1, EPODE_TCP_STARTTLS), EPODE_NULL);
            assert_eq!(epode_config_add_websocket(handle, ABSENT), EPODE_NULL);
            assert_eq!(epode_config_add_bosh(handle, ABSENT), EPODE_NULL);
            // What was refused was not added, and what is set takes the place of what was added.
            assert_eq!(epode_config_set_bosh_first_rid(handle, 0), EPODE_OK);
            assert_eq!(epode_config_add_tcp(handle, host, 0, EPODE_TCP_STARTTLS), EPODE_OK);
            assert_eq!(made(&SEED), EPODE_CONFIG_HOST);
            assert_eq!(
                epode_config_set_bosh_url(handle, slice("https://example.org/")),
                EPODE_OK
            );
            assert_eq!(epode_config_add_websocket(handle, slice("ws://example.org/")), EPODE_OK);
            assert_eq!(made(&SEED), EPODE_CONFIG_PLAINTEXT_URL);
            let bytes = [0xff_u8];
            let broken = Slice {
                data: bytes.as_ptr(),
                len: 1,
            };
            assert_eq!(epode_config_set_language(handle, broken), EPODE_UTF8);
            epode_config_free(handle);
        }
    }

    #[test]
    fn structs_of_another_size_are_read_and_written_as_far_as_they_go() {
        let client = client();
        // SAFETY: the handles live; every struct has at least the bytes that its size says.
        unsafe {
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let mut output = empty_output();
            output.struct_size = u32::try_from(first_version() - 1).unwrap();
            assert_eq!(epode_next(client, &raw mut output), EPODE_STRUCT_SIZE);
            // A newer host has a larger struct: what it has besides stays as it was.
            #[repr(C)]
            struct Newer {
                output: Output,
                more: u64,
            }
            let mut newer = Newer {
                output: empty_output(),
                more: 5,
            };
            newer.output.struct_size = u32::try_from(size_of::<Newer>()).unwrap();
            assert_eq!(epode_next(client, (&raw mut newer).cast()), EPODE_OK);
            assert_eq!((newer.output.kind, newer.more), (EPODE_CONNECT, 5));
            assert_eq!(newer.output.struct_size, u32::try_from(size_of::<Newer>()).unwrap());
            let connect = newer.output.data.connect;
            assert_eq!(text(connect.server_name), "example.org");
            assert!(connect.identity.data.is_null());
            let mut info: LinkInfo = mem::zeroed();
            info.encrypted = 1;
            assert_eq!(epode_connected(client, 0, 1, &raw const info), EPODE_STRUCT_SIZE);
            info.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
            info.verified = 9;
            assert_eq!(epode_connected(client, 0, 1, &raw const info), EPODE_VALUE);
            info.verified = EPODE_VERIFIED_HOST;
            assert_eq!(epode_connected(client, 0, 1, &raw const info), EPODE_NULL);
            info.verified_name = slice("example.org");
            info.client_certificate_requested = 3;
            assert_eq!(epode_connected(client, 0, 1, &raw const info), EPODE_VALUE);
            info.client_certificate_requested = EPODE_NO;
            assert_eq!(epode_connected(client, 0, 1, &raw const info), EPODE_OK);
            assert_eq!(kinds(client), [EPODE_POST]);
            let mut facts: TlsFacts = mem::zeroed();
            facts.struct_size = u32::try_from(size_of::<TlsFacts>()).unwrap();
            facts.server_certificate_sha256 = slice("too short");
            assert_eq!(
                epode_responded(client, 1, 1, 1, 200, ABSENT, &raw const facts),
                EPODE_VALUE
            );
            assert_eq!(epode_responded(client, 1, 1, 1, 70_000, ABSENT, null()), EPODE_VALUE);
            assert_eq!(epode_failed(client, 1, 1, 1, 99, 0, ABSENT), EPODE_VALUE);
            assert_eq!(
                epode_failed(client, 1, 1, 1, EPODE_FAILURE_TLS_ALERT, 256, ABSENT),
                EPODE_VALUE
            );
            assert_eq!(
                epode_failed(client, 1, 1, 1, EPODE_FAILURE_TLS_ALERT, 42, ABSENT),
                EPODE_OK
            );
            let mut output = empty_output();
            while output.kind != EPODE_OFFLINE {
                assert_eq!(epode_next(client, &raw mut output), EPODE_OK);
                assert_ne!(output.kind, EPODE_NONE);
            }
            assert_eq!(output.data.offline.group, EPODE_OFFLINE_TLS);
            epode_client_free(client);
        }
    }

    #[test]
    fn a_host_of_the_first_version_is_served() {
        let client = client();
        // SAFETY: the handles live; every struct has at least the bytes that its size says.
        unsafe {
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let first = first_version();
            assert!(first < size_of::<Output>() && size_of::<OutputData>() == size_of::<IqDone>());
            let mut output = empty_output();
            output.struct_size = u32::try_from(first).unwrap();
            // A byte behind it stays as it was.
            let last = (&raw mut output).cast::<u8>().add(first);
            last.write(0xA5);
            assert_eq!(epode_next(client, &raw mut output), EPODE_OK);
            assert_eq!((output.kind, last.read()), (EPODE_CONNECT, 0xA5));
            assert_eq!(output.data.connect.endpoint, EPODE_ENDPOINT_BOSH);
            let mut info = verified("example.org");
            info.struct_size = u32::try_from(mem::offset_of!(LinkInfo, alpn)).unwrap();
            // Not read: it would be refused.
            info.alpn = Slice { data: null(), len: 1 };
            assert_eq!(epode_connected(client, 0, 1, &raw const info), EPODE_OK);
            info.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
            assert_eq!(epode_connected(client, 0, 1, &raw const info), EPODE_NULL);
            epode_client_free(client);
        }
    }

    #[test]
    fn tcp_takes_bytes_and_gives_bytes() {
        let client = client_by("user@example.org", |config| {
            // SAFETY: the handle lives, and the slices do until each call is over.
            unsafe { epode_config_add_tcp(config, slice("xmpp.example.org"), 5223, EPODE_TCP_DIRECT_TLS) }
        });
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let connect = next(client).data.connect;
            let place = (connect.endpoint, connect.port, connect.tls);
            assert_eq!(place, (EPODE_ENDPOINT_TCP, 5223, EPODE_TCP_DIRECT_TLS));
            assert_eq!(text(connect.host), "xmpp.example.org");
            assert_eq!(text(connect.server_name), "example.org");
            assert!(connect.url.data.is_null() && connect.max_message > 0);
            let link = connect.link;
            let mut info = verified("example.org");
            info.alpn = slice("xmpp-client");
            assert_eq!(epode_connected(client, 1, link, &raw const info), EPODE_OK);
            let output = next(client);
            assert_eq!(output.kind, EPODE_WRITE);
            assert_eq!(output.data.write.link, link);
            let header = text(output.data.write.bytes);
            assert!(header.contains("<stream:stream "), "{header}");
            assert_eq!(kinds(client), [0_u32; 0]);
            assert_eq!(epode_written(client, 2, link, header.len() as u64), EPODE_OK);
            // What is about another link, or about none any more, is nothing.
            assert_eq!(epode_received(client, 2, link + 1, slice("</stream:stream>")), EPODE_OK);
            assert_eq!(epode_written(client, 2, link + 1, 1), EPODE_OK);
            assert_eq!(kinds(client), [0_u32; 0]);
            // HTTP has no business here.
            assert_eq!(
                epode_responded(client, 2, link, 1, 200, ABSENT, null()),
                EPODE_NOT_FOR_THIS_TRANSPORT
            );
            let nowhere = Slice { data: null(), len: 3 };
            assert_eq!(epode_received(client, 2, link, nowhere), EPODE_NULL);
            // Cut anywhere, and borrowed for the call only.
            let mut answer =
                b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' \
                               from='example.org' id='1'><stream:features><x xmlns='y'/></stream:features>"
                    .to_vec();
            for byte in &mut answer {
                let one = Slice { data: byte, len: 1 };
                assert_eq!(epode_received(client, 3, link, one), EPODE_OK);
                *byte = 0;
            }
            let mut output = next(client);
            while output.kind != EPODE_OFFLINE {
                assert_ne!(output.kind, EPODE_NONE);
                output = next(client);
            }
            assert_eq!(output.data.offline.group, EPODE_OFFLINE_INCOMPATIBLE);
            epode_client_free(client);
        }
    }

    #[test]
    fn a_websocket_takes_and_gives_messages() {
        let client = client_by("user@example.org", |config| {
            // SAFETY: the handle lives, and the slice does until the call is over.
            unsafe { epode_config_add_websocket(config, slice("wss://ws.example.org/xmpp")) }
        });
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let connect = next(client).data.connect;
            assert_eq!(connect.endpoint, EPODE_ENDPOINT_WEBSOCKET);
            assert_eq!(text(connect.url), "wss://ws.example.org/xmpp");
            assert!(connect.host.data.is_null());
            let mut info = verified("ws.example.org");
            info.subprotocol = slice("xmpp");
            assert_eq!(epode_connected(client, 1, connect.link, &raw const info), EPODE_OK);
            let output = next(client);
            assert_eq!(output.kind, EPODE_FRAME);
            assert!(text(output.data.frame.text).starts_with("<open "));
            assert_eq!(
                epode_received(
                    client,
                    2,
                    connect.link,
                    slice("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")
                ),
                EPODE_OK
            );
            assert_eq!(kinds(client).last(), Some(&EPODE_OFFLINE));
            epode_client_free(client);
        }
    }

    #[test]
    fn questions_are_answered_by_the_host() {
        // No transport is named: the way is found.
        let client = client_by("user@example.org", |_| EPODE_OK);
        let record = |port, target: &str| SrvRecord {
            priority: 1,
            weight: 1,
            port,
            reserved: 0,
            target: slice(target),
        };
        // SAFETY: the handles live, and arrays and slices do until each call is over.
        unsafe {
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let (mut names, mut documents, mut connect) = (Vec::new(), 0, None);
            let mut output = next(client);
            while output.kind != EPODE_NONE {
                if output.kind == EPODE_RESOLVE {
                    let resolve = output.data.resolve;
                    let query = resolve.query;
                    assert!(resolve.deadline_ms > 0);
                    let good = [record(5223, "one.example.org"), record(5224, "two.example.org")];
                    for (records, count, code) in [
                        (null(), 1, EPODE_NULL),
                        (good.as_ptr(), 0x10000, EPODE_VALUE),
                        (null(), usize::MAX, EPODE_NULL),
                    ] {
                        assert_eq!(epode_resolved_records(client, 1, query, records, count), code);
                    }
                    let mut broken = good;
                    broken[1].target = ABSENT;
                    assert_eq!(epode_resolved_records(client, 1, query, broken.as_ptr(), 2), EPODE_NULL);
                    assert_eq!(epode_resolved_failed(client, 1, query, 99, 0, ABSENT), EPODE_VALUE);
                    // Nobody asked this.
                    assert_eq!(
                        epode_resolved_records(client, 1, query + 100, good.as_ptr(), 2),
                        EPODE_OK
                    );
                    if resolve.question == EPODE_QUESTION_SRV {
                        names.push(text(resolve.name));
                        assert!(resolve.url.data.is_null());
                        let (records, count) = match names.len() {
                            1 => (good.as_ptr(), 2),
                            _ => (null(), 0),
                        };
                        assert_eq!(epode_resolved_records(client, 1, query, records, count), EPODE_OK);
                    } else {
                        assert_eq!(resolve.question, EPODE_QUESTION_DOCUMENT);
                        assert!(text(resolve.url).starts_with("https://") && resolve.max_bytes > 0);
                        documents += 1;
                        let code = if documents % 2 == 0 {
                            epode_resolved_document(client, 1, query, slice("no host-meta"))
                        } else {
                            epode_resolved_failed(client, 1, query, EPODE_FAILURE_REFUSED, 0, ABSENT)
                        };
                        assert_eq!(code, EPODE_OK);
                    }
                } else if output.kind == EPODE_CONNECT {
                    connect.get_or_insert((text(output.data.connect.host), output.data.connect.port));
                }
                output = next(client);
            }
            names.sort();
            assert_eq!(
                names,
                ["_xmpp-client._tcp.example.org", "_xmpps-client._tcp.example.org"]
            );
            let (host, port) = connect.unwrap();
            assert!(["one.example.org", "two.example.org"].contains(&host.as_str()) && [5223, 5224].contains(&port));
            epode_client_free(client);
        }
    }

    #[test]
    fn what_the_device_knows_is_told() {
        let client = client();
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_clock(client, 0, 1_700_000_000_000), EPODE_OK);
            assert_eq!(epode_network(client, 0, 0), EPODE_VALUE);
            assert_eq!(epode_network(client, 0, 4), EPODE_VALUE);
            for network in [EPODE_NETWORK_DOWN, EPODE_NETWORK_CHANGED, EPODE_NETWORK_UP] {
                assert_eq!(epode_network(client, 0, network), EPODE_OK);
            }
            assert_eq!(epode_foreground(client, 0, false), EPODE_OK);
            assert_eq!(epode_pause(client, 0, 60), EPODE_OK);
            assert_eq!(kinds(client), [0_u32; 0]);
            assert_eq!(epode_handled(client, 0, 77), EPODE_UNKNOWN_TOKEN);
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let link = next(client).data.connect.link;
            let info = verified("example.org");
            assert_eq!(epode_connected(client, 0, link, &raw const info), EPODE_OK);
            assert_eq!(
                epode_received(client, 0, link, slice("x")),
                EPODE_NOT_FOR_THIS_TRANSPORT
            );
            assert_eq!(epode_written(client, 0, link, 1), EPODE_NOT_FOR_THIS_TRANSPORT);
            assert_eq!(epode_received(client, 0, link + 1, slice("x")), EPODE_OK);
            epode_client_free(client);
        }
    }

    #[test]
    fn what_was_stored_is_restored_or_refused() {
        let keeping = |jid| {
            client_by(jid, |config| {
                // SAFETY: the handle lives, and the slice does until the call is over.
                unsafe {
                    assert_eq!(epode_config_set_persist(config, EPODE_PERSIST_EVERY_TURN), EPODE_OK);
                    epode_config_set_bosh_url(config, slice("https://example.org/http-bind"))
                }
            })
        };
        let client = keeping("user@example.org");
        let mut sentence = ABSENT;
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_restore(client, 0, 0, slice("x")), EPODE_VALUE);
            assert_eq!(epode_restore(client, 0, 4, slice("x")), EPODE_VALUE);
            let nowhere = Slice { data: null(), len: 3 };
            assert_eq!(epode_restore(client, 0, EPODE_SLOT_SESSION, nowhere), EPODE_NULL);
            assert_eq!(
                epode_restore(client, 0, EPODE_SLOT_SESSION, slice("no snapshot at all")),
                EPODE_SNAPSHOT_CORRUPT
            );
            assert_eq!(epode_last_error(client, &raw mut sentence), EPODE_OK);
            assert!(text(sentence).contains("damaged"), "{}", text(sentence));
            assert_eq!(epode_start(client, 0), EPODE_OK);
            assert_eq!(
                epode_restore(client, 0, EPODE_SLOT_PINS, slice("x")),
                EPODE_TOO_LATE_TO_RESTORE
            );
            epode_client_free(client);
        }
    }

    #[test]
    fn a_session_of_somebody_else_is_taken_over() {
        let (config, mut client) = (config("user@example.org"), null_mut());
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            let mut attach: BoshAttach = mem::zeroed();
            assert_eq!(
                epode_config_set_bosh_attach(config, &raw const attach),
                EPODE_STRUCT_SIZE
            );
            attach.struct_size = u32::try_from(size_of::<BoshAttach>()).unwrap();
            assert_eq!(epode_config_set_bosh_attach(config, &raw const attach), EPODE_NULL);
            (attach.sid, attach.jid) = (slice("the session id"), slice("user@example.org/web"));
            attach.hold = 256;
            assert_eq!(epode_config_set_bosh_attach(config, &raw const attach), EPODE_VALUE);
            (attach.wait, attach.hold, attach.requests) = (60, 1, 2);
            assert_eq!(epode_config_set_bosh_attach(config, &raw const attach), EPODE_OK);
            assert_eq!(
                epode_config_set_bosh_url(config, slice("https://example.org/bosh")),
                EPODE_OK
            );
            assert_eq!(epode_config_set_password(config, slice("pencil")), EPODE_OK);
            assert_eq!(
                epode_client_new(config, SEED.as_ptr(), &raw mut client),
                EPODE_CONFIG_ATTACH
            );
            attach.next_rid = 17;
            assert_eq!(epode_config_set_bosh_attach(config, &raw const attach), EPODE_OK);
            assert_eq!(epode_client_new(config, SEED.as_ptr(), &raw mut client), EPODE_OK);
            epode_config_free(config);
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let link = next(client).data.connect.link;
            let info = verified("example.org");
            assert_eq!(epode_connected(client, 0, link, &raw const info), EPODE_OK);
            let (mut output, mut posted) = (next(client), Vec::new());
            while output.kind != EPODE_NONE {
                if output.kind == EPODE_POST {
                    posted.push(text(output.data.post.body));
                }
                output = next(client);
            }
            assert!(
                posted[0].contains("rid='17'") && posted[0].contains("sid='the session id'"),
                "{posted:?}"
            );
            epode_client_free(client);
        }
    }

    #[test]
    fn somebody_who_only_looks_needs_no_account() {
        let (config, mut client) = (config("example.org"), null_mut());
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(
                epode_config_add_tcp(config, slice("::1"), 5222, EPODE_TCP_STARTTLS),
                EPODE_OK
            );
            assert_eq!(epode_config_set_password(config, slice("pencil")), EPODE_OK);
            assert_eq!(
                epode_client_new(config, SEED.as_ptr(), &raw mut client),
                EPODE_CONFIG_LOCALPART
            );
            assert_eq!(epode_config_set_no_credentials(config), EPODE_OK);
            assert_eq!(epode_client_new(config, SEED.as_ptr(), &raw mut client), EPODE_OK);
            epode_config_free(config);
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let link = next(client).data.connect.link;
            let mut info: LinkInfo = mem::zeroed();
            info.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
            assert_eq!(epode_connected(client, 0, link, &raw const info), EPODE_OK);
            let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' \
                          from='example.org' id='1'>";
            let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                            <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
                            </stream:features>";
            let proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
            let mut seen = Vec::new();
            for bytes in [header, features, proceed] {
                assert_eq!(epode_received(client, 0, link, slice(bytes)), EPODE_OK);
                let mut output = next(client);
                while output.kind != EPODE_NONE {
                    if output.kind == EPODE_START_TLS {
                        assert_eq!(output.data.start_tls.link, link);
                        assert_eq!(text(output.data.start_tls.server_name), "example.org");
                        let info = verified("example.org");
                        assert_eq!(epode_connected(client, 0, link, &raw const info), EPODE_OK);
                    }
                    seen.push(output.kind);
                    output = next(client);
                }
            }
            assert!(seen.contains(&EPODE_START_TLS), "{seen:?}");
            assert_eq!(
                epode_received(client, 0, link, slice(&format!("{header}{features}"))),
                EPODE_OK
            );
            let mut output = next(client);
            while output.kind != EPODE_OFFERED {
                assert_ne!(output.kind, EPODE_NONE);
                output = next(client);
            }
            let offered = output.data.offered;
            assert_eq!((offered.transport, offered.encrypted), (EPODE_ENDPOINT_TCP, true));
            assert!(text(offered.features).contains(">EXTERNAL<"));
            epode_client_free(client);
        }
    }

    #[test]
    fn stanzas_are_refused_with_their_reason() {
        let client = client();
        let (mut token, mut sentence) = (0, ABSENT);
        let presence = slice("<presence xmlns='jabber:client'/>");
        let iq = slice("<iq xmlns='jabber:client' type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_send(client, 0, presence, &raw mut token), EPODE_NOT_STARTED);
            assert_eq!(epode_start(client, 0), EPODE_OK);
            assert_eq!(epode_start(client, 0), EPODE_ALREADY_STARTED);
            assert_eq!(epode_last_error(client, &raw mut sentence), EPODE_OK);
            assert!(text(sentence).len() > 10, "{}", text(sentence));
            assert_eq!(epode_send(client, 0, iq, &raw mut token), EPODE_INVALID_STANZA);
            assert_eq!(epode_send(client, 0, slice("<a>"), &raw mut token), EPODE_XML);
            let long = format!(
                "<message xmlns='jabber:client'><body>{}</body></message>",
                "x".repeat(300_000)
            );
            assert_eq!(epode_send(client, 0, slice(&long), &raw mut token), EPODE_TOO_LARGE);
            assert_eq!(
                epode_send_chat(client, 0, slice("a@"), slice("x"), &raw mut token),
                EPODE_JID
            );
            assert_eq!(
                epode_send_chat(client, 0, slice("a@b.example"), slice("\0"), &raw mut token),
                EPODE_XML
            );
            assert_eq!(epode_respond(client, 0, 77, ABSENT), EPODE_UNKNOWN_TOKEN);
            assert_eq!(
                epode_respond_error(client, 0, 77, 9, slice("gone"), ABSENT),
                EPODE_VALUE
            );
            assert_eq!(token, 0, "a call that fails gives no token");
            // Messages and requests queue until there is a session; a goodbye before that reports both as over.
            assert_eq!(
                epode_send_chat(client, 0, slice("a@b.example"), slice("<&>"), &raw mut token),
                EPODE_OK
            );
            let first = mem::take(&mut token);
            assert_eq!(epode_request(client, 0, iq, 1000, &raw mut token), EPODE_OK);
            assert!(first != 0 && token != 0 && first != token);
            assert_eq!(epode_stop(client, 1), EPODE_OK);
            let kinds = kinds(client);
            assert!(
                kinds.contains(&EPODE_DELIVERY) && kinds.contains(&EPODE_IQ_DONE),
                "{kinds:?}"
            );
            assert_eq!(kinds.last(), Some(&EPODE_OFFLINE));
            epode_client_free(client);
        }
    }

    #[test]
    fn every_code_has_a_sentence() {
        assert_eq!(epode_abi_version(), EPODE_ABI_VERSION);
        for code in [
            EPODE_NULL,
            EPODE_SEED,
            EPODE_CONFIG_URL,
            EPODE_FULL,
            EPODE_SNAPSHOT_NEWER,
            EPODE_REFUSED,
            EPODE_PANIC,
        ] {
            assert!(text(epode_code_sentence(code)).contains(' '));
        }
    }
}
