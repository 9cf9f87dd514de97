//! Mechanisms that an old server does not have: all hashes of SCRAM, channel binding, the hash of the offer, tokens, ANONYMOUS; and
//! the lies that a client must see through.

#[cfg(test)]
#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod support;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use epode_devserver::{
        Attempt, Authentication, BearerToken, DowngradeHash, Proof, ScramHash, Server, TokenState, Transport,
    };
    use md5::{Digest, Md5};

    use crate::support::link::{LINKS, Link};
    use crate::support::modern::{HASHES, Hash, Reply, SHA_256, Scram, plain};
    use crate::support::{Authority, Client, Connection, SASL, between, start};

    const NONE: [&str; 0] = [];
    const PASSWORD: &str = "user01's password";

    async fn modern(authority: &Authority, change: impl FnOnce(&mut Authentication)) -> Server {
        start(authority, |settings| {
            settings.authentication = Authentication::modern();
            change(&mut settings.authentication);
        })
        .await
    }

    async fn opened(server: &Server, authority: &Authority) -> (Link, String) {
        let mut link = Link::connect(server, Transport::DirectTls, authority, None).await;
        let features = link.open().await;
        (link, features)
    }

    fn auth(mechanism: &str, initial: &str) -> String {
        format!("<auth {SASL} mechanism='{mechanism}'>{initial}</auth>")
    }

    /// A login with SCRAM: what was said to the challenge, and what the server had to say last.
    async fn scram(link: &mut Link, hash: &Hash, suffix: &str, gs2: &str, binding: Vec<u8>) -> (Reply, String) {
        let scram = Scram::new(hash, "user01", gs2, binding);
        link.send(&auth(&format!("{}{suffix}", hash.mechanism), &scram.initial()))
            .await;
        let reply = scram.reply(&link.until("</challenge>").await, PASSWORD);
        link.send(&format!("<response {SASL}>{}</response>", reply.response))
            .await;
        let answer = link.until(">").await;
        let end = if answer.contains("<success") {
            "</success>"
        } else {
            "</failure>"
        };
        let answer = if answer.ends_with("/>") {
            answer
        } else {
            answer + &link.until(end).await
        };
        (reply, answer)
    }

    /// The answer to one message.
    async fn refused(link: &mut Link, mechanism: &str, message: &str) -> String {
        link.send(&auth(mechanism, &STANDARD.encode(message))).await;
        link.until("</failure>").await
    }

    #[tokio::test]
    async fn scram_logs_in_with_every_hash_and_every_binding_on_each_transport() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        for transport in LINKS {
            for hash in &HASHES {
                for kind in ["", "tls-exporter", "tls-server-end-point"] {
                    let mut link = Link::connect(&server, transport, &authority, None).await;
                    let features = link.open().await;
                    let (suffix, gs2, binding) = match kind {
                        "" => ("", "n,,".to_owned(), Vec::new()),
                        kind => ("-PLUS", format!("p={kind},,"), link.binding(kind)),
                    };
                    let name = format!("<mechanism>{}{suffix}</mechanism>", hash.mechanism);
                    assert_eq!(features.matches(&name).count(), 2, "one for each profile in {features}");
                    let (reply, answer) = scram(&mut link, hash, suffix, &gs2, binding).await;
                    assert_eq!(answer, format!("<success {SASL}>{}</success>", reply.proof));
                    link.open().await;
                    assert_eq!(link.bind("here").await, "user01@localhost/here");
                }
            }
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn a_channel_that_is_not_this_one_is_refused() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let (mut link, _) = opened(&server, &authority).await;
        let (other, _) = opened(&server, &authority).await;
        let foreign = other.binding("tls-exporter");
        let (_, answer) = scram(&mut link, &SHA_256, "-PLUS", "p=tls-exporter,,", foreign).await;
        assert!(answer.contains("channel-bindings-dont-match"), "{answer}");
        // The right data under the name of another type.
        let mixed = link.binding("tls-exporter");
        let (_, answer) = scram(&mut link, &SHA_256, "-PLUS", "p=tls-server-end-point,,", mixed).await;
        assert!(answer.contains("channel-bindings-dont-match"), "{answer}");
        assert_eq!(server.statistics().logins, 0);
    }

    #[tokio::test]
    async fn a_client_that_saw_no_plus_is_told_that_it_was_deceived() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let (mut link, _) = opened(&server, &authority).await;
        let answer = refused(&mut link, "SCRAM-SHA-256", "y,,n=user01,r=0123456789abcdef").await;
        assert!(answer.contains("server-does-support-channel-binding"), "{answer}");
        for (mechanism, header) in [
            ("SCRAM-SHA-256", "p=tls-exporter,,"),
            ("SCRAM-SHA-256-PLUS", "n,,"),
            ("SCRAM-SHA-256-PLUS", "y,,"),
            ("SCRAM-SHA-256-PLUS", "p=tls-unique,,"),
        ] {
            let answer = refused(&mut link, mechanism, &format!("{header}n=user01,r=0123456789abcdef")).await;
            assert!(
                answer.contains("<malformed-request/>"),
                "{mechanism} {header}: {answer}"
            );
        }
        server.control().change_authentication(|options| options.plus = false);
        let (mut link, features) = opened(&server, &authority).await;
        assert!(!features.contains("-PLUS"), "{features}");
        let (reply, answer) = scram(&mut link, &SHA_256, "", "y,,", Vec::new()).await;
        assert!(answer.contains(&reply.proof), "{answer}");
    }

    #[tokio::test]
    async fn the_hash_of_the_offer_is_right_wrong_or_absent() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        for lie in [DowngradeHash::Right, DowngradeHash::Wrong, DowngradeHash::Absent] {
            server
                .control()
                .change_authentication(|options| options.downgrade_hash = lie);
            let (mut link, features) = opened(&server, &authority).await;
            let offer = features
                .split_once("xmpp-sasl'>")
                .unwrap()
                .1
                .split_once("</mechanisms>")
                .unwrap()
                .0;
            let mut names: Vec<&str> = offer
                .split("<mechanism>")
                .skip(1)
                .map(|name| name.trim_end_matches("</mechanism>"))
                .collect();
            names.sort_unstable();
            let text = format!("{}\u{1f}tls-exporter\u{1e}tls-server-end-point", names.join("\u{1e}"));
            let right = format!(",h={}", STANDARD.encode((SHA_256.digest)(text.as_bytes())));
            let (reply, _) = scram(&mut link, &SHA_256, "", "n,,", Vec::new()).await;
            let first = reply.server_first;
            assert_eq!(first.ends_with(&right), lie == DowngradeHash::Right, "{first}");
            assert_eq!(first.contains(",h="), lie != DowngradeHash::Absent, "{first}");
        }
    }

    #[tokio::test]
    async fn what_somebody_takes_away_the_server_has_offered_all_the_same() {
        let authority = Authority::new();
        let stripped = HASHES.each_ref().map(|hash| format!("{}-PLUS", hash.mechanism));
        let server = modern(&authority, |options| {
            options.scram = vec![ScramHash::Sha256, ScramHash::Sha1];
            options.stripped = stripped.to_vec();
        })
        .await;
        let (mut link, features) = opened(&server, &authority).await;
        assert!(
            !features.contains("-PLUS") && features.contains("tls-exporter"),
            "{features}"
        );
        let answer = refused(&mut link, "SCRAM-SHA-256", "y,,n=user01,r=0123456789abcdef").await;
        assert!(answer.contains("server-does-support-channel-binding"), "{answer}");
        let (reply, _) = scram(&mut link, &SHA_256, "", "n,,", Vec::new()).await;
        let offer = "EXTERNAL\u{1e}PLAIN\u{1e}SCRAM-SHA-1\u{1e}SCRAM-SHA-1-PLUS\u{1e}SCRAM-SHA-256\u{1e}\
                     SCRAM-SHA-256-PLUS\u{1f}tls-exporter\u{1e}tls-server-end-point";
        let whole = format!(",h={}", STANDARD.encode((SHA_256.digest)(offer.as_bytes())));
        assert!(reply.server_first.ends_with(&whole), "{}", reply.server_first);
    }

    #[tokio::test]
    async fn what_is_offered_can_be_a_lie() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let offers = |features: &str| {
            ["urn:xmpp:sasl:2", "-PLUS", "channel-binding type=", "xmpp-sasl"].map(|part| features.contains(part))
        };
        let (_, features) = opened(&server, &authority).await;
        assert_eq!(offers(&features), [true; 4]);
        server.control().change_authentication(|options| {
            options.sasl2 = false;
            options.plus = false;
        });
        let (_, features) = opened(&server, &authority).await;
        assert_eq!(offers(&features), [false, false, true, true]);
        server.control().change_authentication(|options| {
            *options = Authentication::modern();
            options.sasl1 = false;
            options.channel_bindings.clear();
        });
        let (mut link, features) = opened(&server, &authority).await;
        assert_eq!(offers(&features), [true, true, false, false]);
        let answer = refused(&mut link, "PLAIN", "\0user01\0user01's password").await;
        assert!(answer.contains("<invalid-mechanism/>"), "{answer}");
        server.control().change_authentication(|options| {
            options.sasl2_mechanisms = Some(vec!["PLAIN".into()]);
            options.scram_iterations = Some(4_000_000_000);
            options.sasl1 = true;
        });
        let (mut link, features) = opened(&server, &authority).await;
        assert!(
            features.contains("sasl:2'><mechanism>PLAIN</mechanism><inline>"),
            "{features}"
        );
        let scram = Scram::new(&SHA_256, "user01", "n,,", Vec::new());
        link.send(&auth("SCRAM-SHA-256", &scram.initial())).await;
        let challenge = link.until("</challenge>").await;
        let challenge = STANDARD.decode(between(&challenge, "'>", "</challenge>")).unwrap();
        assert!(String::from_utf8(challenge).unwrap().contains(",i=4000000000,h="));
    }

    #[tokio::test]
    async fn the_servers_own_proof_can_be_wrong_or_left_out() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        for (proof, has_data) in [(Proof::Wrong, true), (Proof::Missing, false)] {
            server.control().change_authentication(|options| options.proof = proof);
            let (mut link, _) = opened(&server, &authority).await;
            let (reply, answer) = scram(&mut link, &SHA_256, "", "n,,", Vec::new()).await;
            assert!(
                answer.starts_with("<success") && !answer.contains(&reply.proof),
                "{answer}"
            );
            assert_eq!(answer.contains("</success>"), has_data, "{answer}");
        }
    }

    #[tokio::test]
    async fn an_authorization_identity_must_be_the_users_own() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let (mut link, _) = opened(&server, &authority).await;
        let (_, answer) = scram(&mut link, &SHA_256, "", "n,a=user02@localhost,", Vec::new()).await;
        assert!(answer.contains("<invalid-authzid/>"), "{answer}");
        let (reply, answer) = scram(&mut link, &SHA_256, "", "n,a=user01@localhost,", Vec::new()).await;
        assert!(answer.contains(&reply.proof), "{answer}");
    }

    #[tokio::test]
    async fn tokens_of_oauth_log_in_while_they_are_good() {
        let authority = Authority::new();
        let server = modern(&authority, |options| {
            let token = |name: &str, state: TokenState| {
                let mut token = BearerToken::good(name, "user01");
                token.state = state;
                token
            };
            options.bearer_tokens = vec![
                token("good", TokenState::Good),
                token("old", TokenState::Expired),
                token("other", TokenState::WrongScope("xmpp".into())),
            ];
            options.openid_configuration = Some("https://localhost/who".into());
        })
        .await;
        let (mut link, features) = opened(&server, &authority).await;
        assert!(features.contains("<mechanism>OAUTHBEARER</mechanism><mechanism>X-OAUTH2</mechanism>"));
        for (token, json, condition) in [
            ("old", "{\"status\":\"invalid_token\",", "credentials-expired"),
            ("none", "{\"status\":\"invalid_token\",", "not-authorized"),
            (
                "other",
                "{\"status\":\"insufficient_scope\",\"scope\":\"xmpp\",",
                "not-authorized",
            ),
        ] {
            let message = STANDARD.encode(format!("n,a=user01@localhost,\x01auth=Bearer {token}\x01\x01"));
            link.send(&auth("OAUTHBEARER", &message)).await;
            let challenge = link.until("</challenge>").await;
            let told = STANDARD.decode(between(&challenge, "'>", "</challenge>")).unwrap();
            let told = String::from_utf8(told).unwrap();
            assert_eq!(
                told,
                format!("{json}\"openid-configuration\":\"https://localhost/who\"}}")
            );
            link.send(&format!("<response {SASL}>AQ==</response>")).await;
            let answer = link.until("</failure>").await;
            assert!(answer.contains(&format!("<{condition}/>")), "{answer}");
            let answer = refused(&mut link, "X-OAUTH2", &format!("\0user01\0{token}")).await;
            assert!(answer.contains(&format!("<{condition}/>")), "{answer}");
        }
        let answer = refused(
            &mut link,
            "OAUTHBEARER",
            "n,a=user02@localhost,\x01auth=Bearer good\x01\x01",
        )
        .await;
        assert!(answer.contains("<invalid-authzid/>"), "{answer}");
        let message = STANDARD.encode("n,,\x01host=localhost\x01auth=Bearer good\x01\x01");
        link.send(&auth("OAUTHBEARER", &message)).await;
        link.until(&format!("<success {SASL}/>")).await;
        let (mut link, _) = opened(&server, &authority).await;
        link.send(&auth("X-OAUTH2", &STANDARD.encode("\0user01\0good"))).await;
        link.until(&format!("<success {SASL}/>")).await;
    }

    #[tokio::test]
    async fn digest_md5_logs_in_and_the_server_proves_itself() {
        let authority = Authority::new();
        let server = modern(&authority, |options| options.digest_md5 = true).await;
        let hex = |text: String| -> String { Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect() };
        for (password, is_right) in [("wrong", false), (PASSWORD, true)] {
            let (mut link, features) = opened(&server, &authority).await;
            assert!(features.contains("<mechanism>DIGEST-MD5</mechanism>"), "{features}");
            link.send(&auth("DIGEST-MD5", "")).await;
            let challenge = link.until("</challenge>").await;
            let challenge = STANDARD.decode(between(&challenge, "'>", "</challenge>")).unwrap();
            let challenge = String::from_utf8(challenge).unwrap();
            let nonce = between(&challenge, "nonce=\"", "\"");
            let secret = Md5::digest(format!("user01:localhost:{password}"));
            let a1: Vec<u8> = [secret.as_slice(), format!(":{nonce}:abc").as_bytes()].concat();
            let a1: String = Md5::digest(a1).iter().map(|byte| format!("{byte:02x}")).collect();
            let value = |method: &str| {
                let a2 = hex(format!("{method}:xmpp/localhost"));
                hex(format!("{a1}:{nonce}:00000001:abc:auth:{a2}"))
            };
            let message = format!(
                "username=\"user01\",realm=\"localhost\",nonce=\"{nonce}\",cnonce=\"abc\",nc=00000001,qop=auth,\
                 digest-uri=\"xmpp/localhost\",response={},charset=utf-8",
                value("AUTHENTICATE")
            );
            link.send(&format!("<response {SASL}>{}</response>", STANDARD.encode(message)))
                .await;
            if !is_right {
                assert!(link.until("</failure>").await.contains("<not-authorized/>"));
                continue;
            }
            let proof = STANDARD.encode(format!("rspauth={}", value("")));
            link.until(&format!("<challenge {SASL}>{proof}</challenge>")).await;
            link.send(&format!("<response {SASL}/>")).await;
            link.until(&format!("<success {SASL}/>")).await;
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn over_tls_1_2_both_bindings_are_the_same_on_both_sides() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        for kind in ["tls-exporter", "tls-server-end-point"] {
            let mut link = Link::over_tls_1_2(&server, &authority).await;
            link.open().await;
            let binding = link.binding(kind);
            let (reply, answer) = scram(&mut link, &SHA_256, "-PLUS", &format!("p={kind},,"), binding).await;
            assert!(answer.contains(&reply.proof), "{answer}");
        }
    }

    #[tokio::test]
    async fn anonymous_users_get_names_that_nobody_has() {
        let authority = Authority::new();
        let server = modern(&authority, |options| options.anonymous = true).await;
        let mut names = Vec::new();
        for _ in 0..2 {
            let (mut link, _) = opened(&server, &authority).await;
            link.send(&auth("ANONYMOUS", "")).await;
            link.until(&format!("<success {SASL}/>")).await;
            link.open().await;
            let jid = link.bind("here").await;
            assert!(jid.ends_with("@localhost/here") && jid.len() > 30, "{jid}");
            names.push(jid);
        }
        assert_ne!(names[0], names[1]);
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn bosh_has_no_channel_to_bind_to() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let client = Client::create(Connection::open(&server, &authority, None).await).await;
        let features = client.creation;
        assert!(features.contains("<mechanism>SCRAM-SHA-512</mechanism>"), "{features}");
        for absent in ["-PLUS", "channel-binding", "HT-SHA-256-EXPR", "urn:xmpp:sm:3"] {
            assert!(!features.contains(absent), "{absent} in {features}");
        }
    }

    #[tokio::test]
    async fn attempts_are_listed_and_can_all_be_refused() {
        let authority = Authority::new();
        let server = start(&authority, |settings| {
            settings.authentication.refusal = Some("temporary-auth-failure");
            settings.authentication.scram = vec![ScramHash::Sha1];
        })
        .await;
        let (mut link, features) = opened(&server, &authority).await;
        assert!(
            !features.contains("urn:xmpp:sasl:2") && !features.contains("SHA-256"),
            "{features}"
        );
        link.send(&auth("PLAIN", &plain("user01"))).await;
        let answer = link.until("</failure>").await;
        assert!(answer.contains("<temporary-auth-failure/>"), "{answer}");
        link.send(&auth("SCRAM-SHA-256", "biws")).await;
        link.until("</failure>").await;
        let seen: Vec<(bool, String)> = server
            .attempts()
            .into_iter()
            .map(|Attempt { sasl2, mechanism, .. }| (sasl2, mechanism))
            .collect();
        assert_eq!(seen, [(false, "PLAIN".to_owned()), (false, "SCRAM-SHA-256".to_owned())]);
        assert_eq!((server.statistics().logins, server.statistics().refusals), (0, 2));
    }
}
