//! Logging in, with certificates and with passwords, to each personality, over real HTTPS.

#[cfg(test)]
#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod support;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use epode_devserver::Personality;

    use crate::support::{
        Authority, Client, Connection, Identity, SASL, Scram, Validity, between, self_signed, start, start_as,
    };

    const ALL: [Personality; 3] = [Personality::Prosody, Personality::Ejabberd, Personality::Openfire];

    /// The answer of a server to EXTERNAL with this certificate and this text.
    async fn external(
        personality: Personality,
        authority: &Authority,
        identity: Option<&Identity>,
        text: &str,
    ) -> String {
        let server = start_as(authority, personality).await;
        let mut client = Client::create(Connection::open(&server, authority, identity).await).await;
        client.external(text).await
    }

    #[tokio::test]
    async fn external_logs_in_to_each_personality() {
        let authority = Authority::new();
        let identity = authority.client(&["user01@localhost"], Validity::Now);
        for personality in ALL {
            for text in ["=".to_owned(), STANDARD.encode("user01@localhost")] {
                let server = start_as(&authority, personality).await;
                let connection = Connection::open(&server, &authority, Some(&identity)).await;
                let mut client = Client::create(connection).await;
                assert!(client.creation.contains("<mechanism>EXTERNAL</mechanism>"));
                assert!(client.external(&text).await.contains(&format!("<success {SASL}/>")));
                assert_eq!(client.bind("here").await, "user01@localhost/here");
                assert_eq!(server.violations(), [""; 0]);
                assert_eq!((server.statistics().logins, server.statistics().refusals), (1, 0));
                server.shutdown().await;
            }
        }
    }

    #[tokio::test]
    async fn creation_looks_like_each_server() {
        let authority = Authority::new();
        for (personality, present, absent) in [
            (
                Personality::Prosody,
                &["polling='5'", "inactivity='60'", "ver='1.6'"][..],
                &["maxpause", "ack="][..],
            ),
            (
                Personality::Ejabberd,
                &[
                    "ver='1.11'",
                    "polling='2'",
                    "xmpp:restartlogic='true'",
                    "maxpause='120'",
                ],
                &["ack="],
            ),
            (
                Personality::Openfire,
                &["ver='1.6'", "maxpause='300'", "ack='1421604076'", "hold='1'"],
                &["EXTERNAL"],
            ),
        ] {
            let server = start_as(&authority, personality).await;
            let creation = Client::create(Connection::open(&server, &authority, None).await)
                .await
                .creation;
            for text in present
                .iter()
                .chain(&["wait='2'", "requests='2'", "secure='true'", "from='localhost'"])
            {
                assert!(creation.contains(text), "{personality:?}: no {text} in {creation}");
            }
            for text in absent {
                assert!(!creation.contains(text), "{personality:?}: {text} in {creation}");
            }
        }
    }

    #[tokio::test]
    async fn openfire_keeps_modern_attributes_from_old_clients() {
        let authority = Authority::new();
        let server = start_as(&authority, Personality::Openfire).await;
        let mut connection = Connection::open(&server, &authority, None).await;
        let body =
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='7' to='localhost' wait='2' hold='1' ver='1.5'/>";
        let creation = connection.post(body).await;
        let sid = between(&creation, " sid='", "'");
        assert!(creation.contains(&format!("authid='{sid}'")));
        for absent in ["hold=", "ack=", "maxpause=", "ver="] {
            assert!(!creation.contains(absent), "{absent} in {creation}");
        }
    }

    #[tokio::test]
    async fn openfire_challenges_where_there_is_no_initial_response() {
        let authority = Authority::new();
        let identity = authority.client(&["user01@localhost"], Validity::Now);
        let server = start_as(&authority, Personality::Openfire).await;
        let mut client = Client::create(Connection::open(&server, &authority, Some(&identity)).await).await;
        assert!(client.external("").await.contains(&format!("<challenge {SASL}/>")));
        assert!(
            client
                .send(&format!("<response {SASL}>=</response>"))
                .await
                .contains("<success")
        );
    }

    #[tokio::test]
    async fn certificates_are_refused_as_each_server_refuses_them() {
        let authority = Authority::new();
        let expired = authority.client(&["user01@localhost"], Validity::Expired);
        let not_yet = authority.client(&["user01@localhost"], Validity::NotYet);
        let foreign = Authority::new().client(&["user01@localhost"], Validity::Now);
        let alone = self_signed(&["user01@localhost"]);
        let nameless = authority.client(&[], Validity::Now);
        let elsewhere = authority.client(&["user01@elsewhere"], Validity::Now);
        let stranger = authority.client(&["nobody@localhost"], Validity::Now);
        let text = |text| format!("<not-authorized/><text xml:lang='en'>{text}</text>");
        let disabled = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><account-disabled/></failure>".to_owned();
        let unauthorized = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>".to_owned();
        let cases = [
            (Personality::Prosody, Some(&expired), format!("<false {SASL}/>")),
            (Personality::Prosody, Some(&not_yet), format!("<false {SASL}/>")),
            (Personality::Prosody, Some(&foreign), disabled.clone()),
            (Personality::Prosody, Some(&alone), disabled.clone()),
            (Personality::Prosody, Some(&nameless), disabled.clone()),
            (Personality::Prosody, None, disabled),
            (Personality::Prosody, Some(&elsewhere), unauthorized.clone()),
            (Personality::Prosody, Some(&stranger), unauthorized),
            (Personality::Ejabberd, Some(&expired), text("certificate has expired")),
            (
                Personality::Ejabberd,
                Some(&not_yet),
                text("certificate is not yet valid"),
            ),
            (
                Personality::Ejabberd,
                Some(&foreign),
                text("unable to verify the first certificate"),
            ),
            (Personality::Ejabberd, Some(&alone), text("self signed certificate")),
            (Personality::Ejabberd, Some(&nameless), text("Certificate JID mismatch")),
            (
                Personality::Ejabberd,
                Some(&elsewhere),
                text("Certificate JID mismatch"),
            ),
            (Personality::Ejabberd, None, text("Failed to get peer certificate")),
            (Personality::Openfire, Some(&foreign), "<invalid-mechanism/>".into()),
        ];
        for (personality, identity, expected) in cases {
            let answer = external(personality, &authority, identity, "=").await;
            assert!(
                answer.contains(&expected),
                "{personality:?}: {expected} is not in {answer}"
            );
        }
    }

    #[tokio::test]
    async fn several_names_need_an_authzid_only_with_ejabberd() {
        let authority = Authority::new();
        let two = authority.client(&["user02@localhost", "user01@localhost"], Validity::Now);
        let wanted = STANDARD.encode("user01@localhost");
        for personality in ALL {
            assert!(
                external(personality, &authority, Some(&two), &wanted)
                    .await
                    .contains("<success")
            );
            let unnamed = external(personality, &authority, Some(&two), "=").await;
            assert_eq!(
                unnamed.contains("<success"),
                personality != Personality::Ejabberd,
                "{unnamed}"
            );
        }
        let one = authority.client(&["user02@localhost"], Validity::Now);
        for personality in ALL {
            assert!(
                external(personality, &authority, Some(&one), &wanted)
                    .await
                    .contains("<not-authorized/>")
            );
        }
    }

    #[tokio::test]
    async fn whose_certificate_counts_differs() {
        let authority = Authority::new();
        let identity = authority.client(&["user01@localhost"], Validity::Now);
        for (personality, logs_in) in [(Personality::Prosody, true), (Personality::Ejabberd, false)] {
            let server = start_as(&authority, personality).await;
            let mut client = Client::create(Connection::open(&server, &authority, None).await).await;
            client.connection = Connection::open(&server, &authority, Some(&identity)).await;
            assert_eq!(client.external("=").await.contains("<success"), logs_in);
            assert_eq!(server.violations().len(), 1, "the switch is noted");
        }
    }

    #[tokio::test]
    async fn tls_refuses_where_it_is_told_to() {
        let authority = Authority::new();
        let expired = authority.client(&["user01@localhost"], Validity::Expired);
        let server = start(&authority, |settings| settings.refuse_in_tls = true).await;
        // With TLS 1.3 the refusal may come after the client's handshake is done: then the first request fails.
        if let Ok(mut connection) = Connection::try_open(&server, &authority, Some(&expired)).await {
            assert!(connection.try_post("<body/>").await.is_err());
        }
        assert_eq!(server.statistics().requests, 0);
    }

    /// The last answer of a SCRAM-SHA-256 exchange, and what success must look like.
    async fn scram(client: &mut Client, user: &str, password: &str) -> (String, String) {
        let scram = Scram::new(user);
        let answer = client.send(&scram.auth()).await;
        let (response, success) = scram.respond(&answer, password);
        (client.send(&response).await, success)
    }

    #[tokio::test]
    async fn scram_logs_in_and_the_server_proves_itself() {
        let authority = Authority::new();
        for personality in ALL {
            let server = start_as(&authority, personality).await;
            let mut client = Client::create(Connection::open(&server, &authority, None).await).await;
            let (answer, expected) = scram(&mut client, "user01", "user01's password").await;
            assert!(answer.contains(&expected), "{answer}");
            assert_eq!(client.bind("here").await, "user01@localhost/here");
            assert_eq!(server.violations(), [""; 0]);
        }
    }

    #[tokio::test]
    async fn a_wrong_password_is_refused_and_a_right_one_may_follow() {
        let authority = Authority::new();
        for (personality, reason) in [
            (
                Personality::Prosody,
                "<text xml:lang='en'>The response provided by the client",
            ),
            (
                Personality::Ejabberd,
                "<text xml:lang='en'>Invalid username or password",
            ),
            (Personality::Openfire, "</failure>"),
        ] {
            let server = start_as(&authority, personality).await;
            let mut client = Client::create(Connection::open(&server, &authority, None).await).await;
            for (user, password) in [("user01", "wrong"), ("nobody", "user01's password")] {
                let (answer, _) = scram(&mut client, user, password).await;
                assert!(answer.contains(&format!("<not-authorized/>{reason}")), "{answer}");
            }
            assert!(client.plain("user01").await.contains("<success"));
            assert_eq!((server.statistics().logins, server.statistics().refusals), (1, 2));
        }
    }
}
