//! The golden transcripts, played through the C functions: what comes out is what the logs say, to the byte.

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::VecDeque;
    use std::mem;
    use std::path::PathBuf;
    use std::ptr::{null, null_mut};

    use epode::error::IqError;
    use epode::record::{Entry, Header, Log, Recorder};
    use epode::{
        Answer, ChannelBindingType, Endpoint, Event, Failure, Input, Network, Question, SaslProfile, ServerProof, Slot,
        Stage, StanzaErrorType, TcpTls, TransportKind, Verified,
    };
    use epode_c::bosh::*;
    use epode_c::client::{Client, epode_client_free, epode_client_new, epode_deadline, epode_wants_read};
    use epode_c::code::*;
    use epode_c::config::*;
    use epode_c::host::*;
    use epode_c::input::*;
    use epode_c::login::*;
    use epode_c::output::{Output, Stanza, epode_next};
    use epode_c::settings::*;
    use epode_c::slice::Slice;
    use serde_json::Value;

    fn slice<T: AsRef<[u8]> + ?Sized>(bytes: &T) -> Slice {
        let bytes = bytes.as_ref();
        Slice {
            data: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    fn optional(text: Option<&str>) -> Slice {
        text.map_or(absent(), slice)
    }

    fn absent() -> Slice {
        Slice { data: null(), len: 0 }
    }

    fn bytes<'a>(slice: Slice) -> Option<&'a [u8]> {
        if slice.data.is_null() {
            return None;
        }
        // SAFETY: every slice that is read here came from the last `epode_next`.
        Some(unsafe { std::slice::from_raw_parts(slice.data, slice.len) })
    }

    fn text<'a>(slice: Slice) -> Option<&'a str> {
        bytes(slice).map(|bytes| std::str::from_utf8(bytes).unwrap())
    }

    fn known(value: Option<bool>) -> u32 {
        value.map_or(EPODE_UNKNOWN, |yes| if yes { EPODE_YES } else { EPODE_NO })
    }

    fn number(value: &Value) -> u64 {
        value.as_u64().unwrap()
    }

    fn small(value: &Value) -> u32 {
        u32::try_from(number(value)).unwrap()
    }

    /// The client that the first line of a log describes.
    fn client(config: &Value, seed: &[u8; 32]) -> *mut Client {
        let string = |value: &Value| slice(&*value.as_str().unwrap().to_owned().leak());
        let flag = |value: &Value| value.as_bool().unwrap();
        let choice =
            |value: &Value, names: &[&str]| names.iter().position(|name| value == name).unwrap().try_into().unwrap();
        let (mut handle, mut client) = (null_mut(), null_mut());
        let mut codes = Vec::new();
        // SAFETY: the handles live until they are freed, and the slices for ever.
        unsafe {
            assert_eq!(epode_config_new(string(&config["jid"]), &raw mut handle), EPODE_OK);
            for transport in config["transports"].as_array().unwrap() {
                let (kind, fields) = transport.as_object().unwrap().iter().next().unwrap();
                match kind.as_str() {
                    "bosh" => codes.extend([
                        epode_config_add_bosh(handle, string(&fields["url"])),
                        epode_config_set_bosh_wait(handle, small(&fields["wait"])),
                        epode_config_set_bosh_hold(handle, small(&fields["hold"])),
                        epode_config_set_bosh_ack(handle, flag(&fields["ack"])),
                        epode_config_set_bosh_first_rid(handle, fields["first_rid"].as_u64().unwrap_or(0)),
                        epode_config_set_bosh_max_requests(handle, small(&fields["max_requests"])),
                        epode_config_set_bosh_key_sequence(handle, fields["key_sequence"] == true),
                    ]),
                    "websocket" => codes.push(epode_config_add_websocket(handle, string(&fields["url"]))),
                    "tcp" => codes.push(epode_config_add_tcp(
                        handle,
                        string(&fields["host"]),
                        small(&fields["port"]),
                        EPODE_TCP_DIRECT_TLS + choice(&fields["tls"], &["direct", "starttls"]),
                    )),
                    "discover" => codes.push(epode_config_add_discovery(
                        handle,
                        flag(&fields["tcp"]),
                        flag(&fields["websocket"]),
                        flag(&fields["bosh"]),
                    )),
                    other => panic!("{other}"),
                }
            }
            let certificate = &config["credentials"]["certificate"];
            codes.push(if config["credentials"] == "nothing" {
                epode_config_set_no_credentials(handle)
            } else {
                assert!(certificate["der"].is_null(), "no transcript shows a certificate yet");
                epode_config_set_certificate(handle, string(&certificate["identity"]), absent())
            });
            for (limit, name) in (1..).zip([
                "element_before_login",
                "element",
                "bosh_body",
                "depth",
                "attributes",
                "namespaces",
                "attribute_value",
                "outbound_stanza",
                "outbound_queue",
                "inbound_queue",
                "pending_requests",
                "unacknowledged",
            ]) {
                codes.push(epode_config_set_limit(handle, limit, number(&config["limits"][name])));
            }
            // What is as usual is left out.
            for (timeout, name) in (1..).zip(["connect", "negotiation", "close", "iq", "discovery", "fallback"]) {
                if let Some(milliseconds) = config["timeouts"][name].as_u64() {
                    codes.push(epode_config_set_timeout(handle, timeout, milliseconds));
                }
            }
            let reconnect = &config["reconnect"];
            let management = &config["stream_management"];
            let liveness = &config["liveness"];
            let unless_never = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
            codes.extend([
                epode_config_set_authzid(handle, choice(&config["authzid"], &["auto", "always", "never"])),
                epode_config_set_tls(handle, choice(&config["tls"], &["required", "allow_plaintext"])),
                epode_config_set_reconnect(handle, choice(&reconnect["when"], &["after_online", "never", "always"])),
                epode_config_set_reconnect_delays(
                    handle,
                    number(&reconnect["first"]),
                    number(&reconnect["second"]),
                    number(&reconnect["longest"]),
                    reconnect["attempts"].as_u64().unwrap_or(0).try_into().unwrap(),
                ),
                epode_config_set_stream_management(
                    handle,
                    flag(&management["enabled"]),
                    flag(&management["resume"]),
                    management["max"].as_u64().unwrap_or(0).try_into().unwrap(),
                ),
                epode_config_set_acknowledgement_requests(
                    handle,
                    small(&management["request_after"]),
                    number(&management["request_when_quiet"]),
                ),
                epode_config_set_resend_uncertain(handle, flag(&management["resend_uncertain"])),
                epode_config_set_liveness(
                    handle,
                    unless_never(&liveness["ask_after"]),
                    number(&liveness["answer_within"]),
                    unless_never(&liveness["keep_alive_after"]),
                ),
                epode_config_set_persist(handle, choice(&config["persist"], &["off", "on_suspend", "every_turn"])),
                epode_config_set_acknowledge(handle, choice(&config["acknowledge"], &["automatic", "manual"])),
                epode_config_set_language(handle, string(&config["language"])),
            ]);
            if config["mechanisms"].is_object() {
                codes.extend(policy(handle, &config["mechanisms"]));
            }
            let (agent, bind) = (&config["user_agent"], &config["bind"]);
            if agent.is_object() {
                let perhaps = |name: &str| {
                    agent[name]
                        .as_str()
                        .map_or(absent(), |text| slice(&*text.to_owned().leak()))
                };
                let (id, software, device) = (perhaps("id"), perhaps("software"), perhaps("device"));
                codes.push(epode_config_set_user_agent(handle, id, software, device));
            }
            if bind.is_object() {
                codes.push(epode_config_set_bind(
                    handle,
                    string(&bind["tag"]),
                    flag(&bind["carbons"]),
                ));
            }
            codes.extend([
                epode_config_set_fast(handle, choice(&config["fast"], &["use", "off", "invalidate"])),
                epode_config_set_key_derivation(handle, choice(&config["key_derivation"], &["inline", "host"])),
            ]);
            for task in config["tasks"].as_array().unwrap() {
                codes.push(epode_config_add_task(handle, string(task)));
            }
            for namespace in config["answered_namespaces"].as_array().unwrap() {
                codes.push(epode_config_answer(handle, string(namespace)));
            }
            codes.push(epode_client_new(handle, seed.as_ptr(), &raw mut client));
            epode_config_free(handle);
        }
        assert!(codes.iter().all(|code| *code == EPODE_OK), "{codes:?}");
        client
    }

    /// # Safety
    ///
    /// The handle lives.
    unsafe fn policy(handle: *mut Config, policy: &Value) -> Vec<u32> {
        let text = |value: &Value| value.as_str().map_or(absent(), |text| slice(&*text.to_owned().leak()));
        let flag = |name: &str| policy[name].as_bool().unwrap();
        let (digest, scram) = (&policy["digest_md5"], &policy["scram"]);
        // SAFETY: the handle lives, and the slices do for ever.
        unsafe {
            let mut codes = vec![
                epode_config_set_allow_plain(handle, flag("allow_plain")),
                epode_config_set_digest_md5(
                    handle,
                    !digest.is_null(),
                    text(&digest["realm"]),
                    digest["always_utf8"] == true,
                ),
                epode_config_set_least_mechanism(handle, text(&policy["least"])),
                epode_config_set_scram_iterations(handle, small(&scram["min"]), small(&scram["max"])),
                epode_config_set_sasl2(handle, flag("sasl2")),
                epode_config_set_pipeline(handle, flag("pipeline")),
                epode_config_set_pin(handle, flag("pin"), flag("pin_channel_binding")),
                epode_config_set_allow_missing_ht_server_proof(handle, flag("allow_missing_ht_server_proof")),
                epode_config_set_upgrade(handle, flag("upgrade")),
            ];
            for name in policy["channel_bindings"].as_array().into_iter().flatten() {
                let at = ChannelBindingType::ALL.iter().position(|known| name == known.name());
                let code = EPODE_BINDING_TLS_EXPORTER + u32::try_from(at.unwrap()).unwrap();
                codes.push(epode_config_add_channel_binding(handle, code));
            }
            for name in policy["only"].as_array().into_iter().flatten() {
                codes.push(epode_config_add_mechanism(handle, text(name)));
            }
            codes
        }
    }

    fn slot_code(slot: Slot) -> u32 {
        match slot {
            Slot::Session => EPODE_SLOT_SESSION,
            Slot::Token => EPODE_SLOT_TOKEN,
            Slot::Pins => EPODE_SLOT_PINS,
            _ => panic!("{slot:?}"),
        }
    }

    fn failure_code(failure: &Failure) -> (u32, u32, Slice) {
        match failure {
            Failure::Dns => (EPODE_FAILURE_DNS, 0, absent()),
            Failure::Refused => (EPODE_FAILURE_REFUSED, 0, absent()),
            Failure::Timeout => (EPODE_FAILURE_TIMEOUT, 0, absent()),
            Failure::Reset => (EPODE_FAILURE_RESET, 0, absent()),
            Failure::TlsAlert(alert) => (EPODE_FAILURE_TLS_ALERT, u32::from(*alert), absent()),
            Failure::CertificateRejected { reason } => (EPODE_FAILURE_CERTIFICATE_REJECTED, 0, slice(reason)),
            Failure::Http { reason } => (EPODE_FAILURE_HTTP, 0, slice(reason)),
            Failure::Other { reason } => (EPODE_FAILURE_OTHER, 0, slice(reason)),
            _ => panic!("{failure:?}"),
        }
    }

    fn error_code(kind: StanzaErrorType) -> u32 {
        match kind {
            StanzaErrorType::Auth => EPODE_ERROR_AUTH,
            StanzaErrorType::Cancel => EPODE_ERROR_CANCEL,
            StanzaErrorType::Continue => EPODE_ERROR_CONTINUE,
            StanzaErrorType::Modify => EPODE_ERROR_MODIFY,
            StanzaErrorType::Wait => EPODE_ERROR_WAIT,
        }
    }

    /// # Safety
    ///
    /// The handle lives.
    unsafe fn connected(client: *mut Client, now: u64, link: u64, info: &epode::LinkInfo) -> u32 {
        // SAFETY: the handle lives, and the slices do until the call is over; all of a link's facts may be zero.
        unsafe {
            let mut facts: LinkInfo = mem::zeroed();
            facts.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
            facts.encrypted = u32::from(info.encrypted);
            (facts.verified, facts.verified_name) = match &info.verified {
                Verified::No => (EPODE_VERIFIED_NO, absent()),
                Verified::Host { name } => (EPODE_VERIFIED_HOST, slice(name)),
                Verified::Platform { name } => (EPODE_VERIFIED_PLATFORM, slice(name)),
                other => panic!("{other:?}"),
            };
            facts.tls_version = optional(info.tls_version.as_deref());
            facts.client_certificate_requested = known(info.client_certificate_requested);
            facts.client_certificate = info.client_certificate.as_deref().map_or(absent(), slice);
            facts.alpn = optional(info.alpn.as_deref());
            facts.subprotocol = optional(info.subprotocol.as_deref());
            let bindings = &info.channel_bindings;
            facts.tls_exporter = bindings.tls_exporter.as_deref().map_or(absent(), slice);
            facts.tls_unique = bindings.tls_unique.as_deref().map_or(absent(), slice);
            facts.tls_server_end_point = bindings.tls_server_end_point.as_deref().map_or(absent(), slice);
            epode_connected(client, now, link, &raw const facts)
        }
    }

    /// # Safety
    ///
    /// The handle lives.
    unsafe fn resolved(client: *mut Client, now: u64, query: u64, answer: &Answer<'_>) -> u32 {
        // SAFETY: the handle lives, and the slices do until the call is over.
        unsafe {
            match answer {
                Answer::Records(records) => {
                    let records: Vec<_> = records
                        .iter()
                        .map(|record| SrvRecord {
                            priority: record.priority,
                            weight: record.weight,
                            port: record.port,
                            reserved: 0,
                            target: slice(&record.target),
                        })
                        .collect();
                    epode_resolved_records(client, now, query, records.as_ptr(), records.len())
                }
                Answer::Document(document) => epode_resolved_document(client, now, query, slice(document)),
                Answer::Failed(failure) => {
                    let (code, alert, reason) = failure_code(failure);
                    epode_resolved_failed(client, now, query, code, alert, reason)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code and the token that the C function of the input gives.
    fn input(client: *mut Client, now: u64, input: &Input<'_>) -> (u32, u64) {
        let mut token = 0;
        // SAFETY: the handle lives, and the slices do until the call is over.
        let code = unsafe {
            match input {
                Input::Start => epode_start(client, now),
                Input::Stop => epode_stop(client, now),
                Input::Tick => epode_tick(client, now),
                Input::Restore { slot, bytes } => epode_restore(client, now, slot_code(*slot), slice(bytes.expose())),
                Input::Clock { unix_ms } => epode_clock(client, now, *unix_ms),
                Input::Resolved { query, answer } => resolved(client, now, query.0, answer),
                Input::Connected { link, info } => connected(client, now, link.0, info),
                Input::Received { link, bytes } => epode_received(client, now, link.0, slice(bytes)),
                Input::Written { link, bytes } => epode_written(client, now, link.0, *bytes),
                Input::Responded {
                    link,
                    request,
                    status,
                    body,
                    tls,
                } => {
                    let mut facts: TlsFacts = mem::zeroed();
                    facts.struct_size = u32::try_from(size_of::<TlsFacts>()).unwrap();
                    if let Some(tls) = tls {
                        facts.tls_version = optional(tls.version.as_deref());
                        facts.server_certificate_sha256 =
                            tls.server_certificate_sha256.as_ref().map_or(absent(), slice);
                        facts.client_certificate_requested = known(tls.client_certificate_requested);
                    }
                    let facts = if tls.is_some() { &raw const facts } else { null() };
                    let (status, body) = (u32::from(*status), slice(body));
                    epode_responded(client, now, link.0, request.0, status, body, facts)
                }
                Input::Failed { link, request, reason } => {
                    let (code, alert, reason) = failure_code(reason);
                    let request = request.map_or(0, |request| request.0);
                    epode_failed(client, now, link.0, request, code, alert, reason)
                }
                Input::Ended { link } => epode_ended(client, now, link.0),
                Input::Reading { link, reading } => epode_reading(client, now, link.0, *reading),
                Input::Network(Network::Up) => epode_network(client, now, EPODE_NETWORK_UP),
                Input::Network(Network::Down) => epode_network(client, now, EPODE_NETWORK_DOWN),
                Input::Network(Network::Changed) => epode_network(client, now, EPODE_NETWORK_CHANGED),
                Input::Foreground(foreground) => epode_foreground(client, now, *foreground),
                Input::Pause { seconds } => epode_pause(client, now, *seconds),
                Input::Handled { token } => epode_handled(client, now, token.0),
                Input::Send { stanza } => epode_send(client, now, slice(&stanza.to_xml()), &raw mut token),
                Input::Request { iq, timeout } => {
                    let timeout = timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap());
                    epode_request(client, now, slice(&iq.to_xml()), timeout, &raw mut token)
                }
                Input::Respond { token, result } => match result {
                    Ok(None) => epode_respond(client, now, token.0, absent()),
                    Ok(Some(payload)) => epode_respond(client, now, token.0, slice(&payload.to_xml())),
                    Err(error) => {
                        let (kind, text) = (error_code(error.kind), optional(error.text.as_deref()));
                        epode_respond_error(client, now, token.0, kind, slice(&error.condition), text)
                    }
                },
                Input::Cancel { token } => epode_cancel(client, now, token.0),
                Input::Derived { job, key } => epode_derived(client, now, job.0, slice(key.to_bytes().expose())),
                Input::Task { payload: None } => epode_task(client, now, absent()),
                Input::Task { payload: Some(payload) } => epode_task(client, now, slice(&payload.to_xml())),
                other @ (Input::Network(_) | _) => panic!("{other:?}"),
            }
        };
        (code, token)
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

    fn transport_code(transport: TransportKind) -> u32 {
        match transport {
            TransportKind::Bosh => EPODE_ENDPOINT_BOSH,
            TransportKind::Tcp => EPODE_ENDPOINT_TCP,
            TransportKind::WebSocket => EPODE_ENDPOINT_WEBSOCKET,
            other => panic!("{other:?}"),
        }
    }

    fn same_stanza(shown: Stanza, stanza: &epode::Element) {
        let expected = match stanza.name() {
            "message" => EPODE_MESSAGE,
            "presence" => EPODE_PRESENCE,
            _ => EPODE_IQ,
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
                    endpoint,
                    server_name,
                    identity,
                    max_message,
                } => {
                    assert_eq!(shown.kind, EPODE_CONNECT);
                    let connect = shown.data.connect;
                    assert_eq!(
                        (connect.link, connect.endpoint),
                        (link.0, transport_code(endpoint.kind()))
                    );
                    let place = (text(connect.url), text(connect.host), connect.port, connect.tls);
                    match endpoint {
                        Endpoint::Bosh { url } | Endpoint::WebSocket { url } => {
                            assert_eq!(place, (Some(url.as_str()), None, 0, 0));
                        }
                        Endpoint::Tcp { host, port, tls } => {
                            let tls = if *tls == TcpTls::Direct {
                                EPODE_TCP_DIRECT_TLS
                            } else {
                                EPODE_TCP_STARTTLS
                            };
                            assert_eq!(place, (None, Some(host.as_str()), u32::from(*port), tls));
                        }
                        other => panic!("{other:?}"),
                    }
                    assert_eq!(text(connect.server_name).unwrap(), server_name);
                    assert_eq!(text(connect.identity), identity.as_deref());
                    assert_eq!(connect.max_message, *max_message as u64);
                }
                epode::Output::Resolve {
                    query,
                    question,
                    deadline,
                } => {
                    assert_eq!(shown.kind, EPODE_RESOLVE);
                    let resolve = shown.data.resolve;
                    assert_eq!((resolve.query, resolve.deadline_ms), (query.0, deadline.as_millis()));
                    let asked = (
                        resolve.question,
                        text(resolve.name),
                        text(resolve.url),
                        resolve.max_bytes,
                    );
                    match question {
                        Question::Srv { name } => assert_eq!(asked, (EPODE_QUESTION_SRV, Some(name.as_str()), None, 0)),
                        Question::Document { url, max_bytes } => {
                            let max_bytes = *max_bytes as u64;
                            assert_eq!(asked, (EPODE_QUESTION_DOCUMENT, None, Some(url.as_str()), max_bytes));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                epode::Output::Store {
                    slot,
                    append,
                    bytes: stored,
                } => {
                    assert_eq!(shown.kind, EPODE_STORE);
                    let store = shown.data.store;
                    assert_eq!((store.slot, store.append), (slot_code(*slot), *append));
                    assert_eq!(bytes(store.bytes).unwrap(), stored.expose());
                }
                epode::Output::Write { link, bytes: sent } => {
                    assert_eq!((shown.kind, shown.data.write.link), (EPODE_WRITE, link.0));
                    assert_eq!(bytes(shown.data.write.bytes).unwrap(), sent);
                }
                epode::Output::Frame { link, text: sent } => {
                    assert_eq!((shown.kind, shown.data.frame.link), (EPODE_FRAME, link.0));
                    assert_eq!(text(shown.data.frame.text).unwrap(), sent);
                }
                epode::Output::StartTls { link, server_name } => {
                    assert_eq!((shown.kind, shown.data.start_tls.link), (EPODE_START_TLS, link.0));
                    assert_eq!(text(shown.data.start_tls.server_name).unwrap(), server_name);
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
                    assert_eq!((shown.kind, shown.data.close.link), (EPODE_CLOSE, link.0));
                }
                epode::Output::DeriveKey { job, derivation } => {
                    assert_eq!((shown.kind, shown.data.derive_key.job), (EPODE_DERIVE_KEY, job.0));
                    let inputs = shown.data.derive_key;
                    assert_eq!(bytes(inputs.salt).unwrap(), derivation.salt);
                    assert_eq!(bytes(inputs.password).unwrap(), derivation.password.expose());
                    assert_eq!(inputs.iterations, derivation.iterations);
                }
                epode::Output::Event(event) => same_event(shown, event),
                other => panic!("{other:?}"),
            }
        }
    }

    /// # Safety
    ///
    /// What is shown is valid.
    unsafe fn same_event(shown: &Output, expected: &Event) {
        // SAFETY: which member of the union is read, the kind says, which is compared first.
        unsafe {
            match expected {
                Event::Online {
                    jid,
                    mechanism,
                    server_proof,
                    channel_binding,
                    profile,
                    resumed,
                    client_certificate_requested,
                    round_trips,
                    transport,
                } => {
                    assert_eq!(shown.kind, EPODE_ONLINE);
                    let online = shown.data.online;
                    assert_eq!(text(online.jid).unwrap(), jid.as_str());
                    assert_eq!(text(online.mechanism).unwrap(), mechanism);
                    assert_eq!(online.round_trips, *round_trips);
                    assert_eq!(online.server_proof, *server_proof == ServerProof::Verified);
                    assert_eq!(online.resumed, *resumed);
                    let bindings = [None].into_iter().chain(ChannelBindingType::ALL.map(Some));
                    assert_eq!(
                        bindings.clone().nth(online.channel_binding as usize),
                        Some(*channel_binding)
                    );
                    let profiles = [None, Some(SaslProfile::Sasl1), Some(SaslProfile::Sasl2)];
                    assert_eq!(profiles[online.profile as usize], *profile);
                    let proofs = [ServerProof::None, ServerProof::Verified, ServerProof::Absent];
                    assert_eq!(proofs[online.proof as usize], *server_proof);
                    assert_eq!(
                        online.client_certificate_requested,
                        known(*client_certificate_requested)
                    );
                    assert_eq!(online.transport, transport_code(*transport));
                }
                Event::Interrupted {
                    reason,
                    retry_at,
                    resumable,
                } => {
                    assert_eq!(shown.kind, EPODE_INTERRUPTED);
                    let interrupted = shown.data.interrupted;
                    assert_eq!(text(interrupted.sentence).unwrap(), reason.to_string());
                    let retry_at = retry_at.map_or(u64::MAX, epode::Instant::as_millis);
                    assert_eq!((interrupted.retry_at_ms, interrupted.resumable), (retry_at, *resumable));
                }
                Event::Offered {
                    features,
                    transport,
                    encrypted,
                } => {
                    assert_eq!(shown.kind, EPODE_OFFERED);
                    let offered = shown.data.offered;
                    assert_eq!(text(offered.features).unwrap(), features.to_xml());
                    let how = (offered.transport, offered.encrypted);
                    assert_eq!(how, (transport_code(*transport), *encrypted));
                }
                Event::Task {
                    task,
                    payload,
                    text: says,
                } => {
                    assert_eq!(shown.kind, EPODE_TASK);
                    let shown = shown.data.task;
                    assert_eq!(text(shown.task).unwrap(), task);
                    let payload = payload.as_ref().map(epode::Element::to_xml);
                    assert_eq!(
                        (text(shown.payload), text(shown.text)),
                        (payload.as_deref(), says.as_deref())
                    );
                }
                Event::Stanza { stanza, token } => {
                    assert_eq!(shown.kind, EPODE_STANZA);
                    same_stanza(shown.data.stanza, stanza);
                    assert_eq!(shown.data.stanza.token, token.map_or(0, |token| token.0));
                }
                Event::Request { token, iq } => {
                    assert_eq!((shown.kind, shown.data.request.token), (EPODE_REQUEST, token.0));
                    same_stanza(shown.data.request.iq, iq);
                }
                Event::IqDone { token, result } => {
                    assert_eq!((shown.kind, shown.data.iq_done.token), (EPODE_IQ_DONE, token.0));
                    let done = shown.data.iq_done;
                    match result {
                        Ok(iq) => {
                            assert_eq!(done.outcome, EPODE_IQ_RESULT);
                            same_stanza(done.iq, iq);
                        }
                        Err(error) => {
                            assert_eq!(text(done.sentence).unwrap(), error.to_string());
                            if let IqError::Error(error) = error {
                                assert_eq!(done.error_type, error_code(error.kind));
                                assert_eq!(text(done.condition), Some(error.condition.as_str()));
                                assert_eq!(text(done.text), error.text.as_deref());
                            }
                        }
                    }
                }
                Event::Delivery { token, stage } => {
                    assert_eq!((shown.kind, shown.data.delivery.token), (EPODE_DELIVERY, token.0));
                    let stage = match stage {
                        Stage::Queued => EPODE_QUEUED,
                        Stage::Sent => EPODE_SENT,
                        Stage::Acked => EPODE_ACKED,
                        Stage::Failed => EPODE_FAILED,
                    };
                    assert_eq!(shown.data.delivery.stage, stage);
                }
                Event::Writable => assert_eq!(shown.kind, EPODE_WRITABLE),
                Event::Warning(warning) => {
                    assert_eq!(shown.kind, EPODE_WARNING);
                    assert_ne!(shown.data.warning.code, EPODE_WARNING_OTHER);
                    assert_eq!(text(shown.data.warning.sentence).unwrap(), warning.to_string());
                }
                Event::Offline { reason } => {
                    assert_eq!(shown.kind, EPODE_OFFLINE);
                    assert_ne!(shown.data.offline.group, EPODE_OFFLINE_OTHER);
                    assert_eq!(text(shown.data.offline.sentence).unwrap(), reason.to_string());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Plays a log; gives how many outputs were compared.
    fn play(log: &Log) -> usize {
        let header: Value = serde_json::from_str(&log.header.to_line()).unwrap();
        let seed = log.header.seed().unwrap();
        let client = client(&header["config"], &seed);
        // Says which inputs are refused, which the log does not.
        let mut core = epode::Client::new(log.header.config.clone(), seed);
        let mut outputs = 0;
        for entry in &log.entries {
            match entry {
                Entry::In { now, r#in } => {
                    assert_eq!(next(client).kind, EPODE_NONE, "before {}", r#in.name());
                    let (code, token) = input(client, now.as_millis(), r#in);
                    match core.handle(*now, r#in.clone()) {
                        Ok(given) => assert_eq!((code, token), (EPODE_OK, given.map_or(0, |token| token.0))),
                        Err(_) => assert_ne!(code, EPODE_OK),
                    }
                    while core.next().is_some() {}
                }
                Entry::Out { out } => {
                    same(&next(client), out);
                    outputs += 1;
                }
            }
        }
        assert_eq!(next(client).kind, EPODE_NONE);
        let (mut at, mut timer) = (0, absent());
        let deadline = core.deadline();
        // SAFETY: the handle lives until the last of these.
        unsafe {
            assert_eq!(epode_deadline(client, &raw mut at, &raw mut timer), EPODE_OK);
            let expected = (
                deadline.map_or(u64::MAX, |(at, _)| at.as_millis()),
                deadline.map(|(_, timer)| timer.name()),
            );
            assert_eq!((at, text(timer)), expected);
            assert_eq!(epode_wants_read(client), core.wants_read());
            epode_client_free(client);
        }
        outputs
    }

    /// A life over a stream: what the server says whenever there is something to answer, until it has said all.
    fn life(builder: epode::ConfigBuilder, name: &str, subprotocol: Option<&str>, says: &[&str]) -> Log {
        let config = builder
            .credentials(epode::Credentials::certificate("user01", None))
            .build()
            .unwrap();
        let seed = *b"the seed of a life over a stream";
        let mut client = Recorder::new(epode::Client::new(config.clone(), seed));
        let mut now = 1_000;
        let mut inputs = VecDeque::from([Input::Clock { unix_ms: 1 }, Input::Start]);
        let mut says = says.iter();
        let mut id = String::new();
        while let Some(input) = inputs.pop_front() {
            now += 10;
            let _ = client.handle(epode::Instant::from_millis(now), input);
            while let Some(output) = client.next() {
                if let epode::Output::Connect { link, .. } | epode::Output::StartTls { link, .. } = output {
                    // TCP is in the clear at first.
                    let in_the_clear = subprotocol.is_none() && matches!(output, epode::Output::Connect { .. });
                    let info = epode::LinkInfo {
                        subprotocol: subprotocol.map(str::to_owned),
                        ..if in_the_clear {
                            epode::LinkInfo::default()
                        } else {
                            epode::LinkInfo::verified(name)
                        }
                    };
                    inputs.push_back(Input::Connected { link, info });
                    continue;
                }
                let (link, sent) = if let epode::Output::Write { link, bytes } = output {
                    (link, String::from_utf8(bytes).unwrap())
                } else if let epode::Output::Frame { link, text } = output {
                    (link, text)
                } else {
                    continue;
                };
                let bytes = sent.len() as u64;
                inputs.push_back(Input::Written { link, bytes });
                if let Some((_, rest)) = sent.split_once(" id='") {
                    id = rest.split('\'').next().unwrap().to_owned();
                }
                if let Some(say) = says.next() {
                    for part in say.replace("{id}", &id).split('|') {
                        let bytes = Cow::Owned(part.as_bytes().to_vec());
                        inputs.push_back(Input::Received { link, bytes });
                    }
                    if says.len() == 0 {
                        inputs.extend([Input::Pause { seconds: 1 }, Input::Ended { link }, Input::Stop]);
                    }
                }
            }
        }
        Log {
            header: Header::new(&config, &seed),
            entries: client.into_entries(),
        }
    }

    const EXTERNAL: &str =
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
    const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    const BOUND: &str = "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                         <jid>user01@debian/x</jid></bind></iq>|<message xmlns='jabber:client' from='user02@debian/x'>\
                         <body>hi</body></message>";

    fn has(log: &Log, what: &[&str]) {
        let text = log.to_text();
        for what in what {
            assert!(text.contains(&format!("\"{what}\":")), "no {what} in {text}");
        }
    }

    #[test]
    fn a_life_over_tcp_goes_the_same_through_c() {
        let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' \
                      from='debian' id='1'>";
        let features = |inner: &str| format!("{header}|<stream:features>{inner}</stream:features>");
        let says = [
            &features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            &features(EXTERNAL),
            SUCCESS,
            &features(BIND),
            BOUND,
        ];
        let builder = epode::Config::builder("user01@debian".parse().unwrap()).tcp("::1", 5222, TcpTls::StartTls);
        let log = life(builder, "debian", None, &says);
        has(
            &log,
            &[
                "clock",
                "received",
                "written",
                "write",
                "start_tls",
                "online",
                "stanza",
                "interrupted",
            ],
        );
        assert!(play(&log) > 10);
    }

    #[test]
    fn a_life_over_a_websocket_goes_the_same_through_c() {
        let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' from='debian' id='1'/>";
        let features =
            |inner: &str| format!("{open}|<features xmlns='http://etherx.jabber.org/streams'>{inner}</features>");
        let says = [&features(EXTERNAL), SUCCESS, &features(BIND), BOUND];
        let builder = epode::Config::builder("user01@debian".parse().unwrap()).websocket("wss://ws.debian/ws");
        let log = life(builder, "ws.debian", Some("xmpp"), &says);
        has(
            &log,
            &["received", "written", "frame", "online", "stanza", "interrupted"],
        );
        assert!(play(&log) > 7);
    }

    #[test]
    fn the_known_lives_go_the_same_through_c() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts");
        let mut played = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let log = Log::read(&std::fs::read_to_string(&path).unwrap());
                let outputs = play(&log.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
                assert!(outputs > 10, "{}: {outputs}", path.display());
                played += 1;
            }
        }
        assert!(played > 0);
    }
}
