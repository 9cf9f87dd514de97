//! What a login needs of its host, through UniFFI: keys, tasks, tokens, channel bindings.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use epode_uniffi::{
        ChannelBindingType, ChannelBindings, Client, Config, Credentials, Derivation, DerivedKey, Event, Input,
        KeyDerivation, LinkInfo, Mechanisms, Output, Refused, SaslProfile, ScramHash, ServerProof, Step, Transport,
        Verified,
    };

    const SALT: &str = "AAECAwQFBgcICQoLDA0ODw==";

    fn config(credentials: Credentials) -> Config {
        let url = "wss://example.org/ws".to_owned();
        Config::new("user@example.org", credentials, vec![Transport::WebSocket { url }])
    }

    fn password() -> Credentials {
        Credentials::Password {
            password: b"pencil".to_vec(),
        }
    }

    fn says(client: &Client, xml: &str) -> Step {
        client.received(2, 1, xml.as_bytes()).unwrap()
    }

    /// What the client says to a server that offers `features`.
    fn login(client: &Client, channel_bindings: ChannelBindings, features: &str) -> Step {
        client.handle(0, Input::Start).unwrap();
        let info = LinkInfo {
            encrypted: true,
            verified: Verified::Host {
                name: "example.org".to_owned(),
            },
            tls_version: None,
            client_certificate_requested: None,
            client_certificate: None,
            alpn: None,
            subprotocol: Some("xmpp".to_owned()),
            channel_bindings: Some(channel_bindings),
        };
        client.handle(1, Input::Connected { link: 1, info }).unwrap();
        let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' from='example.org' id='1'/>";
        says(client, open);
        let features = format!("<features xmlns='http://etherx.jabber.org/streams'>{features}</features>");
        says(client, &features)
    }

    fn mechanisms(names: &[&str]) -> String {
        let names: String = names
            .iter()
            .map(|name| format!("<mechanism>{name}</mechanism>"))
            .collect();
        format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{names}</mechanisms>")
    }

    fn frame(step: &Step) -> String {
        step.outputs
            .iter()
            .find_map(|output| {
                if let Output::Frame { text, .. } = output {
                    return Some(text.clone());
                }
                None
            })
            .unwrap_or_else(|| panic!("no frame: {step:?}"))
    }

    fn event(step: &Step) -> Event {
        let event = step.outputs.iter().find_map(|output| {
            if let Output::Event { event } = output {
                return Some(event.clone());
            }
            None
        });
        event.unwrap_or_else(|| panic!("no event: {step:?}"))
    }

    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    fn base64(bytes: &[u8]) -> String {
        let mut out = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for at in 0..4 {
                let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize];
                out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
            }
        }
        out
    }

    /// The text of an element.
    fn message(xml: &str) -> String {
        let data = xml.split_once('>').unwrap().1.split('<').next().unwrap();
        let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
        for digit in data.bytes().filter(|byte| *byte != b'=') {
            let value = DIGITS.iter().position(|known| *known == digit).unwrap();
            (bits, count) = (bits << 6 | u32::try_from(value).unwrap(), count + 6);
            if count >= 8 {
                count -= 8;
                out.push((bits >> count & 0xFF) as u8);
            }
        }
        String::from_utf8(out).unwrap()
    }

    /// As far as SCRAM's challenge.
    fn challenged(config: Config) -> (Client, Step) {
        let client = Client::new(config, &[7; 32]).unwrap();
        let first = frame(&login(
            &client,
            ChannelBindings::default(),
            &mechanisms(&["SCRAM-SHA-256"]),
        ));
        let nonce = message(&first).split_once("r=").unwrap().1.to_owned();
        let server = base64(format!("r={nonce}server,s={SALT},i=4096").as_bytes());
        let challenge = format!("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{server}</challenge>");
        let step = says(&client, &challenge);
        (client, step)
    }

    /// The client's proof, by a key that the host derives.
    fn derived(derive: impl FnOnce(Arc<Derivation>) -> Arc<DerivedKey>) -> String {
        let mut config = config(password());
        config.key_derivation = Some(KeyDerivation::Host);
        let (client, step) = challenged(config);
        let [Output::DeriveKey { job, derivation }] = &step.outputs[..] else {
            panic!("{step:?}")
        };
        assert_eq!((derivation.hash(), derivation.iterations()), (ScramHash::Sha256, 4096));
        assert_eq!(
            (derivation.salt(), derivation.password()),
            ((0..16).collect(), b"pencil".to_vec())
        );
        let key = derive(Arc::clone(derivation));
        let step = client.handle(3, Input::Derived { job: *job, key }).unwrap();
        message(&frame(&step))
    }

    #[test]
    fn a_key_that_the_host_derives_is_the_one_that_the_client_would_have_derived() {
        let (_, step) = challenged(config(password()));
        let expected = message(&frame(&step));
        assert!(expected.contains(",p="), "{expected}");
        let in_a_thread = derived(|derivation| std::thread::spawn(move || derivation.run()).join().unwrap());
        assert_eq!(in_a_thread, expected);
        let mut bytes = Vec::new();
        let from_bytes = derived(|derivation| {
            bytes = derivation.run().to_bytes();
            Arc::new(DerivedKey::from_bytes(&bytes).unwrap())
        });
        assert_eq!(from_bytes, expected);
        let key = Arc::new(DerivedKey::from_bytes(&bytes).unwrap());
        let (_, step) = challenged(config(Credentials::ScramKey { key }));
        assert_eq!(message(&frame(&step)), expected);
    }

    #[test]
    fn every_kind_of_channel_binding_reaches_the_login() {
        let data = || Some(vec![1; 32]);
        let none = ChannelBindings::default;
        let kinds = [
            (
                "tls-exporter",
                ChannelBindings {
                    tls_exporter: data(),
                    ..none()
                },
            ),
            (
                "tls-unique",
                ChannelBindings {
                    tls_unique: data(),
                    ..none()
                },
            ),
            (
                "tls-server-end-point",
                ChannelBindings {
                    tls_server_end_point: data(),
                    ..none()
                },
            ),
        ];
        let types: String = kinds
            .iter()
            .map(|(name, _)| format!("<channel-binding type='{name}'/>"))
            .collect();
        let features = mechanisms(&["SCRAM-SHA-256-PLUS"])
            + &format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{types}</sasl-channel-binding>");
        for (name, bindings) in kinds {
            let client = Client::new(config(password()), &[7; 32]).unwrap();
            let first = message(&frame(&login(&client, bindings, &features)));
            assert!(first.starts_with(&format!("p={name},,")), "{first}");
        }
    }

    #[test]
    fn a_refused_access_token_says_which_one_is_wanted() {
        let token = b"a.b.c".to_vec();
        let client = Client::new(config(Credentials::AccessToken { token }), &[7; 32]).unwrap();
        let first = frame(&login(
            &client,
            ChannelBindings::default(),
            &mechanisms(&["OAUTHBEARER"]),
        ));
        assert!(message(&first).ends_with("auth=Bearer a.b.c\x01\x01"));
        let why = base64(br#"{"status":"invalid_token","scope":"xmpp"}"#);
        says(
            &client,
            &format!("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{why}</challenge>"),
        );
        let end = says(
            &client,
            "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
        );
        let Event::Offline { reason } = event(&end) else {
            panic!("{end:?}")
        };
        assert_eq!(
            (reason.code.as_str(), reason.condition.as_deref()),
            ("token_refused", Some("not-authorized"))
        );
        let token = reason.token.unwrap();
        assert_eq!(
            (token.status.as_deref(), token.scope.as_deref()),
            (Some("invalid_token"), Some("xmpp"))
        );
        assert_eq!(token.openid_configuration, None);
    }

    #[test]
    fn a_reason_within_a_reason_is_named() {
        let mut config = config(password());
        config.mechanisms = Some(Mechanisms {
            allow_plain: false,
            digest_md5: None,
            only: None,
            least: None,
            channel_bindings: None,
            scram_min: 10_000,
            scram_max: 20_000,
            sasl2: true,
            pipeline: true,
            pin: true,
            pin_channel_binding: false,
            allow_missing_ht_server_proof: false,
            upgrade: false,
        });
        let (_, step) = challenged(config);
        let Event::Offline { reason } = event(&step) else {
            panic!("{step:?}")
        };
        assert_eq!(
            (reason.code.as_str(), reason.detail.as_deref()),
            ("mechanism", Some("iterations_too_low"))
        );
    }

    #[test]
    fn a_task_goes_to_the_application_and_back() {
        let identity = "mine".to_owned();
        let mut config = config(Credentials::Certificate { identity, der: None });
        config.tasks = vec!["HOTP-EXAMPLE".to_owned()];
        let client = Client::new(config, &[7; 32]).unwrap();
        let nothing = || Input::Task { payload: None };
        assert!(matches!(client.handle(0, nothing()), Err(Refused::Misuse { .. })));
        let sasl2 = "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>EXTERNAL</mechanism></authentication>";
        login(&client, ChannelBindings::default(), sasl2);
        let step = says(
            &client,
            "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>HOTP-EXAMPLE</task></tasks></continue>",
        );
        let (task, payload, text) = ("HOTP-EXAMPLE".to_owned(), None, None);
        assert_eq!(event(&step), Event::Task { task, payload, text });
        let begun = frame(&client.handle(3, nothing()).unwrap());
        assert!(begun.contains("task='HOTP-EXAMPLE'"), "{begun}");
        let step = says(
            &client,
            "<task-data xmlns='urn:xmpp:sasl:2'><count xmlns='urn:example'>7</count></task-data>",
        );
        let Event::Task { payload, .. } = event(&step) else {
            panic!("{step:?}")
        };
        assert!(String::from_utf8(payload.unwrap()).unwrap().contains(">7</count>"));
        let payload = Some(b"<code xmlns='urn:example'>123</code>".to_vec());
        let answer = frame(&client.handle(4, Input::Task { payload }).unwrap());
        assert!(
            answer.starts_with("<task-data ") && answer.contains(">123</code>"),
            "{answer}"
        );
        let who = "<authorization-identifier>user@example.org</authorization-identifier>";
        says(&client, &format!("<success xmlns='urn:xmpp:sasl:2'>{who}</success>"));
        let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>";
        let features = format!("<features xmlns='http://etherx.jabber.org/streams'>{bind}</bind></features>");
        let asked = frame(&says(&client, &features));
        let id = asked.split_once("id='").unwrap().1.split('\'').next().unwrap();
        let bound = format!("{bind}<jid>user@example.org/x</jid></bind>");
        let step = says(
            &client,
            &format!("<iq xmlns='jabber:client' type='result' id='{id}'>{bound}</iq>"),
        );
        let Event::Online {
            profile,
            channel_binding,
            server_proof,
            ..
        } = event(&step)
        else {
            panic!("{step:?}")
        };
        assert_eq!(
            (profile, channel_binding),
            (Some(SaslProfile::Sasl2), None::<ChannelBindingType>)
        );
        assert_eq!(server_proof, ServerProof::None);
    }

    #[test]
    fn credentials_are_renewed() {
        let client = Client::new(config(password()), &[7; 32]).unwrap();
        let provide = |credentials| client.handle(0, Input::Provide { credentials });
        assert!(matches!(provide(Credentials::Anonymous), Err(Refused::Misuse { .. })));
        let token = b"a.b.c".to_vec();
        provide(Credentials::AccessToken { token }).unwrap();
        let offered = mechanisms(&["SCRAM-SHA-256", "OAUTHBEARER"]);
        let first = frame(&login(&client, ChannelBindings::default(), &offered));
        assert!(first.contains("mechanism='OAUTHBEARER'"), "{first}");
    }
}
