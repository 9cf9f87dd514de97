//! EXTERNAL, PLAIN, ANONYMOUS, OAUTHBEARER, X-OAUTH2 and DIGEST-MD5 with a server that wants more than it should get.

use epode::config::{DigestMd5, MechanismPolicy};
use epode::error::{LoginError, SaslError};
use epode::{Authzid, Config, Credentials, LinkInfo, Offline, Output, ServerProof, TlsPolicy};

use crate::harness::{PASSWORD, base64, of};
use crate::server::{Login, Offer, One, Profile, SCRAM, Two, USER, account, both, everywhere, unbound, with_plain};

const ACCESS: &str = "canary-Bx5-access-token";
const BEARER: &[&str] = &["OAUTHBEARER"];
const DIGEST: &[&str] = &["DIGEST-MD5"];

fn with_token(token: &str) -> Config {
    let config = of(USER).credentials(Credentials::access_token(token));
    config.build().unwrap()
}

fn with_certificate() -> Config {
    let config = of(USER).credentials(Credentials::certificate("user", None));
    config.build().unwrap()
}

fn plain() -> Config {
    account(with_plain()).build().unwrap()
}

fn assert_asks_nobody(login: &Login, case: &str) {
    let asked = login
        .others
        .iter()
        .any(|output| matches!(output, Output::Resolve { .. }));
    assert!(!asked, "{case}: {:?}", login.others);
    assert_eq!(login.connects.len(), 1, "{case}");
}

// ---- EXTERNAL, PLAIN, ANONYMOUS

#[test]
fn nobody_is_named_by_no_message_at_all() {
    everywhere(|profile| {
        let certificate = Credentials::certificate("user", None);
        let config = of(USER)
            .credentials(certificate)
            .authzid(Authzid::Never)
            .build()
            .unwrap();
        let mut login = Login::new(profile, config, &Offer::of(&["EXTERNAL"]));
        let start = login.starts().pop().unwrap();
        // RFC 6120 §6.4.2 against XEP-0388 §2.3: a message of no bytes.
        match profile {
            One => assert_eq!(start.text(), "="),
            Two => {
                let initial = start.children().find(|child| child.name() == "initial-response");
                assert_eq!(initial.unwrap().to_element().text(), "");
            }
        }
        login.succeed(None);
        login.bind();
        let (mechanism, proof, ..) = login.online();
        assert_eq!((mechanism.as_str(), proof), ("EXTERNAL", ServerProof::None));
    });
}

#[test]
fn whoever_is_named_is_named_without_a_resource() {
    both(|profile| {
        let certificate = Credentials::certificate("user", None);
        let config = of("user@example.org/mine")
            .credentials(certificate)
            .authzid(Authzid::Always);
        let login = Login::new(profile, config.build().unwrap(), &Offer::of(&["EXTERNAL"]));
        assert_eq!(login.last_text(), USER);
    });
}

#[test]
fn who_proves_itself_by_tls_or_in_the_clear_hears_nothing_more() {
    both(|profile| {
        for (config, name) in [(with_certificate(), "EXTERNAL"), (plain(), "PLAIN")] {
            let mut login = Login::new(profile, config.clone(), &Offer::of(&[name]));
            login.succeed(Some("surprise"));
            let Offline::Login(LoginError::Mechanism { error, .. }) = login.reason() else {
                panic!("{:?}", login.reason());
            };
            assert_eq!(error, SaslError::UnexpectedSuccessData, "{name}");
            assert!(!login.is_online());
            // Data of no bytes is none.
            let mut login = Login::new(profile, config.clone(), &Offer::of(&[name]));
            login.succeed(Some(""));
            login.bind();
            // A question that the mechanism does not have: the password is said once, at most.
            let mut login = Login::new(profile, config, &Offer::of(&[name]));
            login.challenge("who are you?");
            let Offline::Login(LoginError::Mechanism { error, .. }) = login.reason() else {
                panic!("{:?}", login.reason());
            };
            assert_eq!(error, SaslError::UnexpectedChallenge, "{name}");
            assert_eq!(login.messages().len(), 1, "{name}");
        }
    });
}

#[test]
fn credentials_are_used_for_what_they_are_and_nothing_else() {
    both(|profile| {
        let two_factors = Credentials::certificate_and_password("user", PASSWORD);
        for (credentials, offer) in [
            (
                Credentials::certificate("user", None),
                &["PLAIN", SCRAM, "ANONYMOUS"][..],
            ),
            (
                Credentials::password(PASSWORD),
                &["EXTERNAL", "ANONYMOUS", "OAUTHBEARER", "X-OAUTH2"],
            ),
            (two_factors, &["EXTERNAL", "ANONYMOUS"]),
            (
                Credentials::access_token(ACCESS),
                &["PLAIN", SCRAM, "EXTERNAL", "ANONYMOUS"],
            ),
        ] {
            let config = of(USER)
                .credentials(credentials)
                .mechanisms(with_plain())
                .build()
                .unwrap();
            let login = Login::new(profile, config, &Offer::of(offer));
            let reason = login.refused_unproved("nothing that fits");
            assert!(
                matches!(reason, Offline::Login(LoginError::NoMechanism { .. })),
                "{reason:?}"
            );
            assert!(login.starts().is_empty());
        }
    });
}

#[test]
fn nothing_that_shows_a_secret_is_used_without_verified_tls() {
    both(|profile| {
        let encrypted = LinkInfo {
            encrypted: true,
            ..LinkInfo::default()
        };
        let policy = MechanismPolicy {
            digest_md5: Some(DigestMd5::default()),
            ..with_plain()
        };
        for (credentials, offer) in [
            (Credentials::password(PASSWORD), &["PLAIN", "DIGEST-MD5"][..]),
            (Credentials::access_token(ACCESS), &["OAUTHBEARER", "X-OAUTH2"]),
        ] {
            for info in [LinkInfo::default(), encrypted.clone()] {
                let config = of(USER)
                    .credentials(credentials.clone())
                    .mechanisms(policy.clone())
                    .tls(TlsPolicy::AllowPlaintext);
                let login = Login::over(profile, config.build().unwrap(), info, &Offer::of(offer));
                login.refused_unproved("in the clear");
                assert!(login.starts().is_empty(), "{offer:?}");
                login.assert_unsaid(ACCESS, "in the clear");
            }
        }
    });
}

#[test]
fn a_guest_says_nothing_about_itself() {
    both(|profile| {
        let config = || of("example.org").credentials(Credentials::Anonymous).build().unwrap();
        let mut login = Login::new(
            profile,
            config(),
            &Offer::of(&["PLAIN", SCRAM, "EXTERNAL", "ANONYMOUS"]),
        );
        assert_eq!(login.tried(), ["ANONYMOUS"]);
        assert_eq!(login.last(), b"", "no trace (XEP-0175 §3)");
        login.says("challenge", "");
        assert_eq!(login.messages(), [b"", b""]);
        login.says("challenge", "");
        login.refused("asked again");
        let login = Login::new(profile, config(), &Offer::of(&["PLAIN", SCRAM]));
        assert!(matches!(
            login.refused("no guests"),
            Offline::Login(LoginError::NoMechanism { .. })
        ));
    });
}

// ---- rows 65 and 66: access tokens

#[test]
fn an_access_token_is_said_once_and_to_this_server() {
    both(|profile| {
        let mut login = Login::new(profile, with_token(ACCESS), &Offer::of(&["X-OAUTH2", "OAUTHBEARER"]));
        assert_eq!(login.tried(), BEARER);
        let message = login.last_text();
        assert!(
            message.starts_with("n,") && message.contains(&format!("\u{1}auth=Bearer {ACCESS}\u{1}")),
            "{message}"
        );
        assert!(message.ends_with("\u{1}\u{1}"));
        login.succeed(None);
        login.bind();
        let mut login = Login::new(profile, with_token(ACCESS), &Offer::of(&["X-OAUTH2"]));
        assert_eq!(login.last_text(), format!("\0user\0{ACCESS}"));
        login.challenge("more?");
        login.refused("a question of X-OAUTH2");
        assert_eq!(login.messages().len(), 1);
    });
}

#[test]
fn a_refused_access_token_is_explained_and_nothing_is_fetched() {
    everywhere(|profile| {
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "https://example.org/.well-known/openid-configuration",
            "javascript:alert(1)",
        ] {
            let mut login = Login::new(profile, with_token(ACCESS), &Offer::of(BEARER));
            login.challenge(format!(
                r#"{{"status":"invalid_token","scope":"xmpp","openid-configuration":"{url}"}}"#
            ));
            // RFC 7628 §3.2.3: the answer is one byte.
            assert_eq!(login.last(), b"\x01");
            assert!(!login.is_over());
            login.refuse("not-authorized");
            let reason = login.refused(url);
            let Offline::Login(LoginError::TokenRefused {
                condition,
                status,
                scope,
                openid_configuration,
                ..
            }) = reason
            else {
                panic!("{reason:?}");
            };
            assert_eq!(condition, "not-authorized");
            assert_eq!(
                (status.as_deref(), scope.as_deref()),
                (Some("invalid_token"), Some("xmpp"))
            );
            assert_eq!(openid_configuration.as_deref(), Some(url));
            assert_asks_nobody(&login, url);
        }
    });
}

#[test]
fn an_explanation_can_neither_fill_nor_forge_a_log() {
    both(|profile| {
        let deep = format!("{}{}", "[".repeat(4_000), "]".repeat(4_000));
        let nested = format!(r#"{{"status":{}1{}}}"#, r#"{"a":"#.repeat(1_000), "}".repeat(1_000));
        let long = format!(r#"{{"status":"{}"}}"#, "x".repeat(30_000));
        let wordy = format!(r#"{{"status":"{}","scope":"{0}"}}"#, "x".repeat(3_000));
        let forged =
            r#"{"status":"ok\n2026-01-01 login of admin\u001b[31m\u202e","scope":7,"openid-configuration":[]}"#;
        let echo = format!(
            r#"{{"status":"{ACCESS} is wrong","scope":"{ACCESS}","openid-configuration":"https://{ACCESS}/"}}"#
        );
        for json in [
            "",
            "null",
            "{",
            "[]",
            "true",
            "\u{0}",
            "{\"status\":\"a\",\"status\":\"b\"}",
            r#"{"status":null}"#,
            &deep,
            &nested,
            &long,
            &wordy,
            forged,
            &echo,
        ] {
            let mut login = Login::new(profile, with_token(ACCESS), &Offer::of(BEARER));
            login.challenge(json);
            let case = &json[..json.len().min(60)];
            if !login.is_over() {
                assert_eq!(login.last(), b"\x01", "{case}");
                login.refuse("not-authorized");
            }
            let reason = login.refused(case);
            for shown in [reason.to_string(), format!("{reason:?}")] {
                assert!(!shown.chars().any(char::is_control), "{case}: {shown:?}");
                assert!(shown.len() < 4_096, "{case}: {} bytes", shown.len());
            }
            assert!(!reason.to_string().contains('\u{202e}'), "{case}");
            assert!(!login.shown.contains(ACCESS), "{case}: the token shows");
            if let Offline::Login(LoginError::TokenRefused { status, scope, .. }) = &reason {
                for text in [status, scope].into_iter().flatten() {
                    // So many of the server's, and a mark that there was more.
                    assert!(text.chars().count() <= 256 + 3, "{case}");
                }
            }
            assert_asks_nobody(&login, case);
        }
    });
}

#[test]
fn success_after_the_refusal_of_a_token_is_no_login() {
    everywhere(|profile| {
        let mut login = Login::new(profile, with_token(ACCESS), &Offer::of(BEARER));
        login.challenge(r#"{"status":"invalid_token"}"#);
        login.succeed(None);
        login.refused("success after all");
        // Nor is another error, or another question.
        let mut login = Login::new(profile, with_token(ACCESS), &Offer::of(BEARER));
        login.challenge(r#"{"status":"invalid_token"}"#);
        login.challenge(r#"{"status":"invalid_token"}"#);
        login.refused("twice");
        assert_eq!(login.messages().len(), 2);
        // Success with data is no better than elsewhere.
        let mut login = Login::new(profile, with_token(ACCESS), &Offer::of(BEARER));
        login.succeed(Some("surprise"));
        login.refused("with data");
    });
}

#[test]
fn a_token_that_would_say_more_than_itself_is_not_said() {
    both(|profile| {
        for token in ["", "a b", "a\u{1}host=evil\u{1}", "a\r\nb", "a\0b", "t\u{f6}ken", "a,b"] {
            for mechanism in ["OAUTHBEARER", "X-OAUTH2"] {
                let config = of(USER).credentials(Credentials::access_token(token)).build();
                let Ok(config) = config else { continue };
                let login = Login::new(profile, config, &Offer::of(&[mechanism]));
                assert_eq!(login.error(token), SaslError::Token, "{token:?}");
                assert!(login.messages().iter().all(Vec::is_empty), "{token:?}");
            }
        }
    });
}

// ---- row 67: DIGEST-MD5

fn digest(realm: Option<&str>) -> Config {
    let policy = MechanismPolicy {
        digest_md5: Some(DigestMd5 {
            realm: realm.map(str::to_owned),
            always_utf8: false,
        }),
        ..MechanismPolicy::default()
    };
    account(policy).build().unwrap()
}

fn asked(profile: Profile, realm: Option<&str>, challenge: &str) -> Login {
    let mut login = Login::new(profile, digest(realm), &Offer::of(DIGEST));
    assert_eq!(login.tried(), DIGEST);
    login.challenge(challenge);
    login
}

#[test]
fn the_old_digest_is_never_used_unasked() {
    both(|profile| {
        let login = Login::new(profile, account(with_plain()).build().unwrap(), &Offer::of(DIGEST));
        login.refused("not allowed");
        assert!(login.starts().is_empty());
        // Nor is it preferred to anything but PLAIN.
        let login = Login::new(
            profile,
            digest(None),
            &Offer::of(&["PLAIN", "DIGEST-MD5", "SCRAM-SHA-1"]),
        );
        assert_eq!(login.tried(), ["SCRAM-SHA-1"]);
    });
}

#[test]
fn a_digest_with_anything_but_authentication_on_offer_gets_no_answer() {
    both(|profile| {
        let long = format!("nonce=\"n\",algorithm=md5-sess,x=\"{}\"", "y".repeat(2_100));
        for challenge in [
            "",
            "realm=\"example.org\",qop=\"auth\",algorithm=md5-sess",
            "nonce=\"a\",nonce=\"b\",algorithm=md5-sess",
            "nonce=\"\",algorithm=md5-sess",
            "nonce=\"n\",qop=\"auth\"",
            "nonce=\"n\",qop=\"auth\",algorithm=md5",
            "nonce=\"n\",qop=\"auth\",algorithm=md5-sess,algorithm=md5-sess",
            "nonce=\"n\",qop=\"auth-conf\",cipher=\"rc4-40\",algorithm=md5-sess",
            "nonce=\"n\",qop=\"auth-int,auth-conf\",algorithm=md5-sess",
            "nonce=\"n\",qop=\"author\",algorithm=md5-sess",
            "nonce=\"n\",charset=utf-16,algorithm=md5-sess",
            "nonce=\"n,algorithm=md5-sess",
            "nonce=\"n\" algorithm=md5-sess",
            "rspauth=00000000000000000000000000000000",
            &long,
        ] {
            let login = asked(profile, None, challenge);
            login.refused(challenge);
            let said = login.messages().iter().any(|message| !message.is_empty());
            assert!(!said, "{challenge}: {:?}", login.messages());
        }
    });
}

#[test]
fn a_realm_does_not_move_the_digest_to_another_service() {
    both(|profile| {
        let with = |realms: &str| format!("{realms}nonce=\"n\",qop=\"auth\",charset=utf-8,algorithm=md5-sess");
        // Of several the one that is called like the domain; it is for this service whatever the server says.
        let login = asked(
            profile,
            None,
            &with("realm=\"evil.example\",realm=\"example.org\",digest-uri=\"xmpp/evil\","),
        );
        let answer = login.last_text();
        assert!(
            answer.contains("realm=\"example.org\"") && !answer.contains("evil"),
            "{answer}"
        );
        assert!(
            answer.contains("digest-uri=\"xmpp/example.org\"") && answer.contains("qop=auth"),
            "{answer}"
        );
        // Of several strangers none.
        let login = asked(profile, None, &with("realm=\"evil.example\",realm=\"worse.example\","));
        login.refused("strangers");
        // The one that the application knows, whatever is on offer.
        let login = asked(profile, Some("example.org"), &with("realm=\"evil.example\","));
        let answer = login.last_text();
        assert!(
            answer.contains("realm=\"example.org\"") && !answer.contains("evil"),
            "{answer}"
        );
        // A realm cannot add a directive of its own.
        let login = asked(profile, None, &with("realm=\"x\\\",qop=auth-conf,y=\\\"\","));
        let answer = login.last_text();
        assert!(answer.contains("realm=\"x\\\",qop=auth-conf,y=\\\"\""), "{answer}");
    });
}

#[test]
fn a_digest_without_the_servers_own_is_no_login() {
    everywhere(|profile| {
        let challenge = "realm=\"example.org\",nonce=\"n\",qop=\"auth\",charset=utf-8,algorithm=md5-sess";
        let zeros = "rspauth=00000000000000000000000000000000";
        let mut login = asked(profile, None, challenge);
        let answer = login.last_text();
        let ours = answer.split("response=").nth(1).unwrap()[..32].to_owned();
        let reflected = format!("rspauth={ours}");
        login.succeed(None);
        assert_eq!(login.error("none"), SaslError::MissingServerProof);
        for wrong in [zeros, reflected.as_str(), "rspauth=", "rspauth=0", "x=1", "rspauth"] {
            let mut login = asked(profile, None, challenge);
            login.succeed(Some(wrong));
            login.error(wrong);
            let mut login = asked(profile, None, challenge);
            login.challenge(wrong);
            login.error(wrong);
        }
        // Success in place of the challenge.
        for data in [None, Some(zeros), Some(challenge)] {
            let mut login = Login::new(profile, digest(None), &Offer::of(DIGEST));
            login.succeed(data);
            assert_eq!(login.error("too early"), SaslError::SuccessTooEarly, "{data:?}");
        }
    });
}

#[test]
fn two_digests_never_use_the_same_nonce() {
    let challenge = "realm=\"example.org\",nonce=\"n\",qop=\"auth\",charset=utf-8,algorithm=md5-sess";
    let mut nonces: Vec<String> = (0..20)
        .map(|seed| {
            let mut play = crate::harness::Play::seeded(digest(None), unbound(), [seed; 32]);
            play.create(&Offer::of(DIGEST).features(One));
            play.answer(&One.element("challenge", &base64(challenge)));
            let answer = play.sasl_messages().pop().unwrap();
            answer
                .split("cnonce=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(nonces.iter().all(|nonce| nonce.len() >= 11), "64 bits: {nonces:?}");
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 20);
}
