//! What a C host may get wrong is answered with a code and a sentence, and changes nothing.

#[cfg(test)]
mod tests {
    use std::mem;
    use std::ptr::{null, null_mut};

    use epode_c::client::*;
    use epode_c::code::*;
    use epode_c::config::*;
    use epode_c::input::*;
    use epode_c::output::{Output, epode_next};
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
        let config = config("user@example.org");
        let mut client = null_mut();
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(
                epode_config_set_bosh_url(config, slice("https://example.org/http-bind")),
                EPODE_OK
            );
            assert_eq!(epode_config_set_password(config, slice("pencil")), EPODE_OK);
            assert_eq!(epode_client_new(config, SEED.as_ptr(), &raw mut client), EPODE_OK);
            epode_config_free(config);
        }
        client
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
            let mut output = empty_output();
            // SAFETY: both live.
            assert_eq!(unsafe { epode_next(client, &raw mut output) }, EPODE_OK);
            if output.kind == EPODE_NONE {
                return kinds;
            }
            kinds.push(output.kind);
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
            assert_eq!(epode_start(null_mut(), 0), EPODE_NULL);
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
            output.struct_size -= 1;
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
            EPODE_REFUSED,
            EPODE_PANIC,
        ] {
            assert!(text(epode_code_sentence(code)).contains(' '));
        }
    }
}
