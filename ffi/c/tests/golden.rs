//! The golden transcripts, played through the C functions: what comes out is what the log says, to the byte.

#[cfg(test)]
mod tests {
    use std::mem;
    use std::path::PathBuf;
    use std::ptr::{null, null_mut};

    use epode::record::{Entry, Log};
    use epode::{Endpoint, Event, Input, Verified};
    use epode_c::client::{Client, epode_client_free, epode_client_new, epode_deadline, epode_wants_read};
    use epode_c::code::*;
    use epode_c::config::*;
    use epode_c::input::*;
    use epode_c::output::{Output, Stanza, epode_next};
    use epode_c::slice::Slice;

    fn slice(bytes: &[u8]) -> Slice {
        Slice {
            data: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    fn absent() -> Slice {
        Slice { data: null(), len: 0 }
    }

    fn text<'a>(slice: Slice) -> Option<&'a str> {
        if slice.data.is_null() {
            return None;
        }
        // SAFETY: every slice that is read here came from the last `epode_next`.
        Some(std::str::from_utf8(unsafe { std::slice::from_raw_parts(slice.data, slice.len) }).unwrap())
    }

    /// The client that the first line of a log describes.
    fn client(header: &serde_json::Value, seed: &[u8; 32]) -> *mut Client {
        let config = &header["config"];
        let bosh = &config["transport"]["bosh"];
        let identity = config["credentials"]["certificate"]["identity"].as_str().unwrap();
        let (mut handle, mut client) = (null_mut(), null_mut());
        // SAFETY: the handles live until they are freed, and the slices until each call is over.
        unsafe {
            assert_eq!(
                epode_config_new(slice(config["jid"].as_str().unwrap().as_bytes()), &raw mut handle),
                EPODE_OK
            );
            for code in [
                epode_config_set_bosh_url(handle, slice(bosh["url"].as_str().unwrap().as_bytes())),
                epode_config_set_bosh_wait(handle, u32::try_from(bosh["wait"].as_u64().unwrap()).unwrap()),
                epode_config_set_bosh_hold(handle, u32::try_from(bosh["hold"].as_u64().unwrap()).unwrap()),
                epode_config_set_bosh_ack(handle, bosh["ack"].as_bool().unwrap()),
                epode_config_set_bosh_first_rid(handle, bosh["first_rid"].as_u64().unwrap_or(0)),
                epode_config_set_certificate(handle, slice(identity.as_bytes()), absent()),
                epode_config_set_language(handle, slice(config["language"].as_str().unwrap().as_bytes())),
                epode_client_new(handle, seed.as_ptr(), &raw mut client),
            ] {
                assert_eq!(code, EPODE_OK);
            }
            epode_config_free(handle);
        }
        client
    }

    fn input(client: *mut Client, now: u64, input: &Input<'_>) {
        // SAFETY: the handle lives, and the slices do until the call is over.
        let code = unsafe {
            match input {
                Input::Start => epode_start(client, now),
                Input::Stop => epode_stop(client, now),
                Input::Tick => epode_tick(client, now),
                Input::Connected { link, info } => {
                    let Verified::Host { name } = &info.verified else {
                        panic!("{info:?}")
                    };
                    let mut known: LinkInfo = mem::zeroed();
                    known.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
                    known.encrypted = u32::from(info.encrypted);
                    known.verified = EPODE_VERIFIED_HOST;
                    known.verified_name = slice(name.as_bytes());
                    epode_connected(client, now, link.0, &raw const known)
                }
                Input::Responded {
                    link,
                    request,
                    status,
                    body,
                    ..
                } => epode_responded(client, now, link.0, request.0, u32::from(*status), slice(body), null()),
                other @ (Input::Failed { .. }
                | Input::Ended { .. }
                | Input::Reading { .. }
                | Input::Send { .. }
                | Input::Request { .. }
                | Input::Respond { .. }
                | Input::Cancel { .. }
                | _) => panic!("no transcript has this input yet: {other:?}"),
            }
        };
        assert_eq!(code, EPODE_OK, "{input:?}");
    }

    fn next(client: *mut Client) -> Output {
        // SAFETY: the handle lives; all of an output may be zero.
        unsafe {
            let mut output: Output = mem::zeroed();
            output.struct_size = u32::try_from(size_of::<Output>()).unwrap();
            assert_eq!(epode_next(client, &raw mut output), EPODE_OK);
            output
        }
    }

    fn same_stanza(shown: Stanza, stanza: &epode::Element) {
        let expected = if stanza.name() == "message" {
            EPODE_MESSAGE
        } else {
            EPODE_PRESENCE
        };
        assert_eq!(shown.kind, expected);
        assert_eq!(text(shown.id), stanza.attribute("id"));
        assert_eq!(text(shown.from), stanza.attribute("from"));
        assert_eq!(text(shown.to), stanza.attribute("to"));
        assert_eq!(text(shown.r#type), stanza.attribute("type"));
        assert_eq!(text(shown.xml).unwrap(), stanza.to_xml());
        let body = stanza.child("jabber:client", "body").map(|body| body.text());
        assert_eq!(text(shown.body), body.as_deref());
    }

    fn same(shown: &Output, expected: &epode::Output) {
        // SAFETY: which member of the union is read, the kind says, which is compared first.
        unsafe {
            match expected {
                epode::Output::Connect {
                    link,
                    endpoint: Endpoint::Bosh { url },
                    server_name,
                    identity,
                    max_message,
                } => {
                    assert_eq!(shown.kind, EPODE_CONNECT);
                    let connect = shown.data.connect;
                    assert_eq!((connect.link, connect.endpoint), (link.0, EPODE_ENDPOINT_BOSH));
                    assert_eq!(text(connect.url).unwrap(), url);
                    assert_eq!(text(connect.server_name).unwrap(), server_name);
                    assert_eq!(text(connect.identity), identity.as_deref());
                    assert_eq!(connect.max_message, *max_message as u64);
                }
                epode::Output::Post {
                    link,
                    request,
                    body,
                    deadline,
                } => {
                    assert_eq!(shown.kind, EPODE_POST);
                    let post = shown.data.post;
                    assert_eq!((post.link, post.request), (link.0, request.0));
                    assert_eq!(post.deadline_ms, deadline.as_millis());
                    assert_eq!(text(post.body).unwrap().as_bytes(), body);
                }
                epode::Output::Abandon { link, request } => {
                    assert_eq!(shown.kind, EPODE_ABANDON);
                    let abandon = shown.data.abandon;
                    assert_eq!((abandon.link, abandon.request), (link.0, request.0));
                }
                epode::Output::Close { link } => {
                    assert_eq!(shown.kind, EPODE_CLOSE);
                    assert_eq!(shown.data.close.link, link.0);
                }
                epode::Output::Event(Event::Online {
                    jid,
                    mechanism,
                    round_trips,
                    ..
                }) => {
                    assert_eq!(shown.kind, EPODE_ONLINE);
                    let online = shown.data.online;
                    assert_eq!(text(online.jid).unwrap(), jid.as_str());
                    assert_eq!(text(online.mechanism).unwrap(), mechanism);
                    assert_eq!(online.round_trips, *round_trips);
                    assert!(!online.server_proof && !online.resumed);
                }
                epode::Output::Event(Event::Stanza { stanza, .. }) => {
                    assert_eq!(shown.kind, EPODE_STANZA);
                    same_stanza(shown.data.stanza, stanza);
                }
                epode::Output::Event(Event::Offline { reason }) => {
                    assert_eq!(shown.kind, EPODE_OFFLINE);
                    assert_eq!(shown.data.offline.group, EPODE_OFFLINE_STOPPED);
                    assert_eq!(text(shown.data.offline.sentence).unwrap(), reason.to_string());
                }
                other @ (epode::Output::Connect { .. } | epode::Output::Event(_) | _) => {
                    panic!("no transcript has this output yet: {other:?}")
                }
            }
        }
    }

    #[test]
    fn the_known_login_goes_the_same_through_c() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts/bosh-external.jsonl");
        let log = std::fs::read_to_string(path).unwrap();
        let header = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        let log = Log::read(&log).unwrap();
        let client = client(&header, &log.header.seed().unwrap());
        let mut outputs = 0;
        for entry in &log.entries {
            match entry {
                Entry::In { now, r#in } => {
                    assert_eq!(next(client).kind, EPODE_NONE, "before {}", r#in.name());
                    input(client, now.as_millis(), r#in);
                }
                Entry::Out { out } => {
                    same(&next(client), out);
                    outputs += 1;
                }
            }
        }
        assert_eq!(next(client).kind, EPODE_NONE);
        assert!(outputs > 10);
        let (mut at, mut timer) = (0, absent());
        // SAFETY: the handle lives until the last of these.
        unsafe {
            assert_eq!(epode_deadline(client, &raw mut at, &raw mut timer), EPODE_OK);
            assert!(epode_wants_read(client));
            epode_client_free(client);
        }
        assert_eq!((at, text(timer)), (u64::MAX, None));
    }
}
