//! The golden logs, fed through both ways into the client, must come out as they were recorded.

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use epode::record::{Entry, Log};
    use epode_uniffi::{
        Acknowledge, Authzid, Bind, Bosh, ChannelBindingType, ChannelBindings, Client, Config, Credentials, DerivedKey,
        DigestMd5, Failure, Fast, Input, KeyDerivation, Limits, LinkInfo, Liveness, Mechanisms, Network, Output,
        Persist, Reconnect, ReconnectWhen, Reply, Resolution, Slot, SrvRecord, StanzaError, StanzaErrorType,
        StreamManagement, TcpTls, Timeouts, TlsFacts, Transport, UserAgent, Verified,
    };
    use serde_json::Value;

    fn logs() -> Vec<(PathBuf, Log)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts");
        let mut logs = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let log = Log::read(&std::fs::read_to_string(&path).unwrap());
                let log = log.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                logs.push((path, log));
            }
        }
        logs
    }

    fn string(value: &Value) -> String {
        value.as_str().unwrap().to_owned()
    }

    fn number<T: TryFrom<u64>>(value: &Value) -> T {
        value.as_u64().and_then(|value| T::try_from(value).ok()).unwrap()
    }

    fn optional<T: TryFrom<u64>>(value: &Value) -> Option<T> {
        (!value.is_null()).then(|| number(value))
    }

    fn flag(value: &Value) -> bool {
        value.as_bool().unwrap()
    }

    fn strings(value: &Value) -> Vec<String> {
        value.as_array().unwrap().iter().map(string).collect()
    }

    fn transport(value: &Value) -> Transport {
        let (kind, fields) = value.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "discover" => Transport::Discover {
                tcp: flag(&fields["tcp"]),
                websocket: flag(&fields["websocket"]),
                bosh: flag(&fields["bosh"]),
            },
            "tcp" => Transport::Tcp {
                host: string(&fields["host"]),
                port: number(&fields["port"]),
                tls: if fields["tls"] == "direct" {
                    TcpTls::Direct
                } else {
                    TcpTls::StartTls
                },
            },
            "websocket" => Transport::WebSocket {
                url: string(&fields["url"]),
            },
            "bosh" => Transport::Bosh {
                bosh: Bosh {
                    url: string(&fields["url"]),
                    wait: number(&fields["wait"]),
                    hold: number(&fields["hold"]),
                    ack: flag(&fields["ack"]),
                    first_rid: optional(&fields["first_rid"]),
                    max_requests: number(&fields["max_requests"]),
                    key_sequence: fields["key_sequence"] == true,
                    attach: None,
                },
            },
            other => panic!("{other}"),
        }
    }

    fn channel_binding(value: &Value) -> ChannelBindingType {
        match string(value).as_str() {
            "tls-exporter" => ChannelBindingType::TlsExporter,
            "tls-unique" => ChannelBindingType::TlsUnique,
            _ => ChannelBindingType::TlsServerEndPoint,
        }
    }

    /// The client that the header describes.
    fn client(log: &Log) -> Client {
        let header: Value = serde_json::from_str(&log.header.to_line()).unwrap();
        let config = &header["config"];
        let credentials = if config["credentials"] == "nothing" {
            Credentials::Nothing
        } else {
            let certificate = &config["credentials"]["certificate"];
            assert!(certificate["der"].is_null(), "no log shows a certificate yet");
            let identity = string(&certificate["identity"]);
            Credentials::Certificate { identity, der: None }
        };
        let (mechanisms, limits, timeouts) = (&config["mechanisms"], &config["limits"], &config["timeouts"]);
        let agent = &config["user_agent"];
        let (reconnect, management, liveness) =
            (&config["reconnect"], &config["stream_management"], &config["liveness"]);
        let config = Config {
            jid: string(&config["jid"]),
            credentials,
            transports: config["transports"].as_array().unwrap().iter().map(transport).collect(),
            authzid: Some(match string(&config["authzid"]).as_str() {
                "auto" => Authzid::Auto,
                "always" => Authzid::Always,
                _ => Authzid::Never,
            }),
            allow_plaintext: config["tls"] == "allow_plaintext",
            // What is as usual is left out.
            mechanisms: mechanisms.is_object().then(|| Mechanisms {
                allow_plain: flag(&mechanisms["allow_plain"]),
                digest_md5: mechanisms["digest_md5"].as_object().map(|digest| DigestMd5 {
                    realm: digest["realm"].as_str().map(str::to_owned),
                    always_utf8: flag(&digest["always_utf8"]),
                }),
                only: (!mechanisms["only"].is_null()).then(|| strings(&mechanisms["only"])),
                least: mechanisms["least"].as_str().map(str::to_owned),
                channel_bindings: mechanisms["channel_bindings"]
                    .as_array()
                    .map(|types| types.iter().map(channel_binding).collect()),
                scram_min: number(&mechanisms["scram"]["min"]),
                scram_max: number(&mechanisms["scram"]["max"]),
                sasl2: flag(&mechanisms["sasl2"]),
                pipeline: flag(&mechanisms["pipeline"]),
                pin: flag(&mechanisms["pin"]),
                pin_channel_binding: flag(&mechanisms["pin_channel_binding"]),
                allow_missing_ht_server_proof: flag(&mechanisms["allow_missing_ht_server_proof"]),
                upgrade: flag(&mechanisms["upgrade"]),
            }),
            user_agent: agent.is_object().then(|| UserAgent {
                id: agent["id"].as_str().map(str::to_owned),
                software: agent["software"].as_str().map(str::to_owned),
                device: agent["device"].as_str().map(str::to_owned),
            }),
            fast: Some(match string(&config["fast"]).as_str() {
                "use" => Fast::Use,
                "off" => Fast::Off,
                _ => Fast::Invalidate,
            }),
            bind: config["bind"].is_object().then(|| Bind {
                tag: string(&config["bind"]["tag"]),
                carbons: flag(&config["bind"]["carbons"]),
            }),
            key_derivation: Some(if config["key_derivation"] == "host" {
                KeyDerivation::Host
            } else {
                KeyDerivation::Inline
            }),
            tasks: strings(&config["tasks"]),
            limits: Some(Limits {
                element_before_login: optional(&limits["element_before_login"]),
                element: optional(&limits["element"]),
                bosh_body: optional(&limits["bosh_body"]),
                depth: optional(&limits["depth"]),
                attributes: optional(&limits["attributes"]),
                namespaces: optional(&limits["namespaces"]),
                attribute_value: optional(&limits["attribute_value"]),
                outbound_stanza: optional(&limits["outbound_stanza"]),
                outbound_queue: optional(&limits["outbound_queue"]),
                inbound_queue: optional(&limits["inbound_queue"]),
                pending_requests: optional(&limits["pending_requests"]),
                unacknowledged: optional(&limits["unacknowledged"]),
            }),
            timeouts: timeouts.is_object().then(|| Timeouts {
                connect: number(&timeouts["connect"]),
                negotiation: number(&timeouts["negotiation"]),
                close: number(&timeouts["close"]),
                iq: number(&timeouts["iq"]),
                discovery: number(&timeouts["discovery"]),
                fallback: number(&timeouts["fallback"]),
            }),
            reconnect: Some(Reconnect {
                when: Some(match string(&reconnect["when"]).as_str() {
                    "never" => ReconnectWhen::Never,
                    "always" => ReconnectWhen::Always,
                    _ => ReconnectWhen::AfterOnline,
                }),
                first: number(&reconnect["first"]),
                second: number(&reconnect["second"]),
                longest: number(&reconnect["longest"]),
                attempts: optional(&reconnect["attempts"]),
            }),
            stream_management: Some(StreamManagement {
                enabled: flag(&management["enabled"]),
                resume: flag(&management["resume"]),
                max: optional(&management["max"]),
                request_after: number(&management["request_after"]),
                request_when_quiet: number(&management["request_when_quiet"]),
                resend_uncertain: flag(&management["resend_uncertain"]),
            }),
            liveness: Some(Liveness {
                ask_after: optional(&liveness["ask_after"]),
                answer_within: number(&liveness["answer_within"]),
                keep_alive_after: optional(&liveness["keep_alive_after"]),
            }),
            persist: Some(match string(&config["persist"]).as_str() {
                "off" => Persist::Off,
                "on_suspend" => Persist::OnSuspend,
                _ => Persist::EveryTurn,
            }),
            acknowledge: Some(if config["acknowledge"] == "manual" {
                Acknowledge::Manual
            } else {
                Acknowledge::Automatic
            }),
            language: string(&config["language"]),
            answers: strings(&config["answered_namespaces"]),
        };
        Client::new(config, &log.header.seed().unwrap()).unwrap()
    }

    fn failure(failure: &epode::Failure) -> Failure {
        match failure {
            epode::Failure::Dns => Failure::Dns,
            epode::Failure::Refused => Failure::Refused,
            epode::Failure::Timeout => Failure::Timeout,
            epode::Failure::Reset => Failure::Reset,
            epode::Failure::TlsAlert(alert) => Failure::TlsAlert { alert: *alert },
            epode::Failure::CertificateRejected { reason } => Failure::CertificateRejected { reason: reason.clone() },
            epode::Failure::Http { reason } => Failure::Http { reason: reason.clone() },
            epode::Failure::Other { reason } => Failure::Other { reason: reason.clone() },
            other => panic!("{other:?}"),
        }
    }

    fn link_info(info: &epode::LinkInfo) -> LinkInfo {
        LinkInfo {
            encrypted: info.encrypted,
            verified: match &info.verified {
                epode::Verified::No => Verified::No,
                epode::Verified::Host { name } => Verified::Host { name: name.clone() },
                epode::Verified::Platform { name } => Verified::Platform { name: name.clone() },
                other => panic!("{other:?}"),
            },
            tls_version: info.tls_version.clone(),
            client_certificate_requested: info.client_certificate_requested,
            client_certificate: info.client_certificate.clone(),
            alpn: info.alpn.clone(),
            subprotocol: info.subprotocol.clone(),
            channel_bindings: Some(ChannelBindings {
                tls_exporter: info.channel_bindings.tls_exporter.clone(),
                tls_unique: info.channel_bindings.tls_unique.clone(),
                tls_server_end_point: info.channel_bindings.tls_server_end_point.clone(),
            }),
        }
    }

    fn resolution(answer: &epode::Answer<'_>) -> Resolution {
        match answer {
            epode::Answer::Records(records) => {
                let records = records.iter().map(|record| SrvRecord {
                    priority: record.priority,
                    weight: record.weight,
                    port: record.port,
                    target: record.target.clone(),
                });
                Resolution::Records {
                    records: records.collect(),
                }
            }
            epode::Answer::Document(bytes) => Resolution::Document { bytes: bytes.to_vec() },
            epode::Answer::Failed(reason) => Resolution::Failed {
                reason: failure(reason),
            },
            other => panic!("{other:?}"),
        }
    }

    fn reply(result: &Result<Option<epode::Element>, epode::StanzaError>) -> Reply {
        match result {
            Ok(payload) => Reply::Result {
                payload: payload.as_ref().map(|payload| payload.to_xml().into_bytes()),
            },
            Err(error) => Reply::Error {
                error: StanzaError {
                    kind: match error.kind {
                        epode::StanzaErrorType::Auth => StanzaErrorType::Auth,
                        epode::StanzaErrorType::Cancel => StanzaErrorType::Cancel,
                        epode::StanzaErrorType::Continue => StanzaErrorType::Continue,
                        epode::StanzaErrorType::Modify => StanzaErrorType::Modify,
                        epode::StanzaErrorType::Wait => StanzaErrorType::Wait,
                    },
                    condition: error.condition.clone(),
                    text: error.text.clone(),
                },
            },
        }
    }

    fn input(input: &epode::Input<'_>) -> Input {
        match input {
            epode::Input::Start => Input::Start,
            epode::Input::Stop => Input::Stop,
            epode::Input::Tick => Input::Tick,
            epode::Input::Restore { slot, bytes } => Input::Restore {
                slot: match slot {
                    epode::Slot::Session => Slot::Session,
                    epode::Slot::Token => Slot::Token,
                    epode::Slot::Pins => Slot::Pins,
                    other => panic!("{other:?}"),
                },
                bytes: bytes.expose().to_vec(),
            },
            epode::Input::Clock { unix_ms } => Input::Clock { unix_ms: *unix_ms },
            epode::Input::Resolved { query, answer } => Input::Resolved {
                query: query.0,
                resolution: resolution(answer),
            },
            epode::Input::Connected { link, info } => Input::Connected {
                link: link.0,
                info: link_info(info),
            },
            epode::Input::Received { link, bytes } => Input::Received {
                link: link.0,
                bytes: bytes.to_vec(),
            },
            epode::Input::Written { link, bytes } => Input::Written {
                link: link.0,
                bytes: *bytes,
            },
            epode::Input::Responded {
                link,
                request,
                status,
                body,
                tls,
            } => Input::Responded {
                link: link.0,
                request: request.0,
                status: *status,
                body: body.to_vec(),
                tls: tls.as_ref().map(|tls| TlsFacts {
                    version: tls.version.clone(),
                    server_certificate_sha256: tls.server_certificate_sha256.map(|digest| digest.to_vec()),
                    client_certificate_requested: tls.client_certificate_requested,
                }),
            },
            epode::Input::Failed { link, request, reason } => Input::Failed {
                link: link.0,
                request: request.map(|request| request.0),
                reason: failure(reason),
            },
            epode::Input::Ended { link } => Input::Ended { link: link.0 },
            epode::Input::Reading { link, reading } => Input::Reading {
                link: link.0,
                reading: *reading,
            },
            epode::Input::Network(network) => Input::Network {
                network: match network {
                    epode::Network::Up => Network::Up,
                    epode::Network::Down => Network::Down,
                    epode::Network::Changed => Network::Changed,
                    other => panic!("{other:?}"),
                },
            },
            epode::Input::Foreground(foreground) => Input::Foreground {
                foreground: *foreground,
            },
            epode::Input::Pause { seconds } => Input::Pause { seconds: *seconds },
            epode::Input::Handled { token } => Input::Handled { token: token.0 },
            epode::Input::Send { stanza } => Input::Send {
                xml: stanza.to_xml().into_bytes(),
            },
            epode::Input::Request { iq, timeout } => Input::Request {
                xml: iq.to_xml().into_bytes(),
                timeout_ms: timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap()),
            },
            epode::Input::Respond { token, result } => Input::Respond {
                token: token.0,
                reply: reply(result),
            },
            epode::Input::Derived { job, key } => Input::Derived {
                job: job.0,
                key: DerivedKey::from_bytes(key.to_bytes().expose()).unwrap().into(),
            },
            epode::Input::Task { payload } => Input::Task {
                payload: payload.as_ref().map(|payload| payload.to_xml().into_bytes()),
            },
            epode::Input::Cancel { token } => Input::Cancel { token: token.0 },
            other @ (epode::Input::Provide { .. } | _) => panic!("{other:?}"),
        }
    }

    fn play(log: &Log, borrowing: bool) -> Vec<Output> {
        let client = client(log);
        let mut outputs = Vec::new();
        for entry in &log.entries {
            let Entry::In { now, r#in } = entry else { continue };
            let now = now.as_millis();
            let step = match (input(r#in), borrowing) {
                (Input::Received { link, bytes }, true) => client.received(now, link, &bytes),
                (
                    Input::Responded {
                        link,
                        request,
                        status,
                        body,
                        tls,
                    },
                    true,
                ) => client.responded(now, link, request, status, &body, tls),
                (input, _) => client.handle(now, input),
            };
            // A refusal has no outputs, and a log may have one.
            outputs.extend(step.into_iter().flat_map(|step| step.outputs));
        }
        outputs
    }

    #[test]
    fn both_ways_in_give_what_the_logs_say() {
        let logs = logs();
        assert!(!logs.is_empty());
        for (path, log) in logs {
            let recorded: Vec<_> = log
                .entries
                .iter()
                .filter_map(|entry| match entry {
                    Entry::In { .. } => None,
                    Entry::Out { out } => Some(Output::from_core(out.clone()).unwrap()),
                })
                .collect();
            assert!(recorded.len() > 10, "{}", path.display());
            assert_eq!(play(&log, false), recorded, "{}", path.display());
            assert_eq!(play(&log, true), recorded, "{}", path.display());
        }
    }
}
