//! The lives, and what is asked of the log of each.

use epode::config::{DigestMd5, Fast, KeyDerivation, MechanismPolicy};
use epode::record::{Entry, Log, Scribe, Treatment};
use epode::{Credentials, Element, Event, Input, LinkInfo, Output, Secret, Slot};
use md5::{Digest, Md5};

use crate::harness::{PASSWORD, base64, of};
use crate::proofs::{Scram, hmac};
use crate::server::{
    EXPORTER, Login, Offer, PLUS, SCRAM, Slots, Two, USER, account, bindable, both, everywhere, lasting, success,
    unbound, with_plain,
};

const ACCESS: &str = "canary-Bx5-access-token";
const TOKEN: &str = "canary-Vt3-fast-token";
const CODE: &str = "canary-Pr8-code";
const SECRETS: [&str; 4] = [PASSWORD, ACCESS, TOKEN, CODE];
const IDENTITY: &str = "<authorization-identifier>user@example.org</authorization-identifier>";
const FAST: [&str; 2] = ["HT-SHA-256-NONE", "HT-SHA-256-EXPR"];

/// What the log of such a life has to be.
fn check(login: Login, given: Option<&str>, case: &str) {
    let case = &format!("{case}, {:?} on {:?}", login.profile, crate::wire::now());
    let messages = login.messages();
    let log = login.into_play().into_log();
    let text = log.to_text();
    // As a program keeps it.
    let mut scribe = Scribe::new();
    let entries = log.entries.iter().map(|entry| match entry {
        Entry::In { now, r#in } => scribe.input(*now, r#in),
        Entry::Out { out } => scribe.output(out),
    });
    let (header, entries) = (log.header.clone(), entries.collect());
    let kept = Log { header, entries }.to_text();
    for text in [&text, &kept] {
        assert_silent(text, &messages, case);
        for password in [None, given] {
            let mut log = Log::read(text).unwrap();
            if let Some(password) = password {
                log.header.config.set_password(password.into());
            }
            let comparison = log.compare().unwrap();
            assert_eq!(comparison.difference, None, "{case}, given: {password:?}");
            assert!(comparison.outputs > 3, "{case}");
            for (label, _, treatment) in comparison.placeholders {
                let computed = treatment == Treatment::Computed;
                assert!(!computed || password.is_some(), "{case}: {label:?}");
            }
        }
    }
    for password in [None, given] {
        let mut log = Log::read(&text).unwrap();
        if let Some(password) = password {
            log.header.config.set_password(password.into());
        }
        assert_eq!(log.replay().unwrap().to_text(), text, "{case}, given: {password:?}");
    }
}

/// Neither a secret nor a message that shows or proves one, in any form.
fn assert_silent(text: &str, messages: &[Vec<u8>], case: &str) {
    for secret in SECRETS {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [secret.to_owned(), hex, base64(secret).trim_end_matches('=').to_owned()] {
            assert!(!text.contains(&form), "{case}: {form}");
        }
    }
    for message in messages {
        let holds = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
        let secret = SECRETS.iter().any(|secret| holds(secret.as_bytes()));
        let proof = holds(b",p=") || holds(b"response=") || message.starts_with(b"user\0");
        if secret || proof {
            assert!(
                !text.contains(&base64(message)),
                "{case}: {}",
                String::from_utf8_lossy(message)
            );
        }
    }
}

/// Online, and offline again.
fn live(mut login: Login) -> Login {
    login.bind();
    login.input(Input::Stop).unwrap();
    login
}

fn prove(login: &mut Login, data: impl AsRef<[u8]>, more: &str) {
    login.answer(&success(Some(&base64(data)), &format!("{IDENTITY}{more}")));
}

fn token() -> String {
    format!("<token xmlns='urn:xmpp:fast:0' token='{TOKEN}' expiry='2026-02-01T00:00:00Z'/>")
}

#[test]
fn passwords() {
    everywhere(|profile| {
        let config = || lasting(account(with_plain()));
        let mut login = Login::new(profile, config(), &Offer::of(&[SCRAM]));
        login.scram_in();
        login.bind();
        login.again(unbound(), &Offer::of(&[SCRAM]));
        login.scram_in();
        check(live(login), Some(PASSWORD), "SCRAM, twice");

        let mut login = Login::new(profile, config(), &Offer::of(&["PLAIN"]));
        login.succeed(None);
        check(live(login), Some(PASSWORD), "PLAIN");
    });
}

#[test]
fn passwords_in_other_ways() {
    both(|profile| {
        let config = || lasting(account(with_plain()));
        let offer = Offer::of(&[PLUS]).bindings(&["tls-exporter"]);
        let mut login = Login::over(profile, config(), bindable(), &offer);
        login.scram_in();
        check(live(login), Some(PASSWORD), "SCRAM with channel binding");

        let mut login = Login::new(profile, config(), &Offer::of(&["PLAIN"]));
        login.refuse("not-authorized");
        check(login, Some(PASSWORD), "PLAIN, refused");

        let mut login = Login::new(profile, config(), &Offer::of(&[SCRAM]));
        login.scram();
        login.succeed(Some("v=AAAA"));
        check(login, None, "a wrong proof");
    });
}

#[test]
fn digest_md5() {
    both(|profile| {
        let digest_md5 = Some(DigestMd5::default());
        let policy = MechanismPolicy {
            digest_md5,
            ..MechanismPolicy::default()
        };
        let mut login = Login::new(profile, lasting(account(policy)), &Offer::of(&["DIGEST-MD5"]));
        login.challenge(r#"realm="example.org",nonce="OA6MG9tEQGm2hh",qop="auth",charset=utf-8,algorithm=md5-sess"#);
        let said = login.last_text();
        let cnonce = said.split("cnonce=\"").nth(1).unwrap().split('"').next().unwrap();
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let inner = Md5::digest(format!("user:example.org:{PASSWORD}"));
        let key = Md5::digest([&inner[..], format!(":OA6MG9tEQGm2hh:{cnonce}").as_bytes()].concat());
        let action = hex(&Md5::digest(":xmpp/example.org"));
        let proof = format!("{}:OA6MG9tEQGm2hh:00000001:{cnonce}:auth:{action}", hex(&key));
        let proof = hex(&Md5::digest(proof));
        login.challenge(format!("rspauth={proof}"));
        login.succeed(None);
        check(live(login), Some(PASSWORD), "DIGEST-MD5");
    });
}

#[test]
fn keys() {
    both(|profile| {
        let config = || lasting(account(with_plain()).key_derivation(KeyDerivation::Host));
        let mut login = Login::new(profile, config(), &Offer::of(&[SCRAM]));
        let server = Scram::to(&login);
        login.challenge(&server.first);
        let asked = login.others.iter().find_map(|output| match output {
            Output::DeriveKey { job, derivation } => Some((*job, derivation.clone())),
            _ => None,
        });
        let (job, derivation) = asked.expect("nothing to derive");
        let key = derivation.run();
        login.input(Input::Derived { job, key: key.clone() }).unwrap();
        let proof = server.proof(&login.last_text());
        login.succeed(Some(&proof));
        check(live(login), Some(PASSWORD), "a key that the host derived");

        let credentials = Credentials::ScramKey { key };
        let mut login = Login::new(
            profile,
            lasting(of(USER).credentials(credentials)),
            &Offer::of(&[SCRAM]),
        );
        login.scram_in();
        check(live(login), None, "a key that was kept");
    });
}

#[test]
fn access_tokens() {
    both(|profile| {
        let config = || lasting(of(USER).credentials(Credentials::access_token(ACCESS)));
        for mechanism in ["OAUTHBEARER", "X-OAUTH2"] {
            let mut login = Login::new(profile, config(), &Offer::of(&[mechanism]));
            login.succeed(None);
            check(live(login), Some(ACCESS), mechanism);
        }
        let mut login = Login::new(profile, config(), &Offer::of(&["OAUTHBEARER"]));
        login.challenge(r#"{"status":"invalid_token","scope":"xmpp"}"#);
        login.refuse("not-authorized");
        check(login, Some(ACCESS), "a token that has expired");

        // A later one is longer, and nowhere to be had.
        let offer = Offer::of(&["OAUTHBEARER"]);
        let mut login = Login::new(profile, config(), &offer);
        login.succeed(None);
        login.bind();
        let credentials = Credentials::access_token(format!("{ACCESS}-{ACCESS}"));
        login.input(Input::Provide { credentials }).unwrap();
        login.again(unbound(), &offer);
        login.succeed(None);
        check(live(login), Some(ACCESS), "a token that was renewed");
    });
}

#[test]
fn login_tokens() {
    everywhere(|profile| {
        if profile != Two {
            return;
        }
        for (info, binding) in [(unbound(), &b""[..]), (bindable(), &EXPORTER[..])] {
            let offer = Offer::of(&[SCRAM, PLUS]).bindings(&["tls-exporter"]).fast(&FAST);
            let mac = |who: &str| hmac(TOKEN.as_bytes(), &[who.as_bytes(), binding].concat());
            let mut login = Login::over(Two, lasting(account(with_plain())), info.clone(), &offer);
            let proof = login.scram();
            prove(&mut login, proof, &token());
            login.bind();
            login.again(info.clone(), &offer);
            assert_eq!(login.last(), [&b"user\0"[..], &mac("Initiator")].concat());
            prove(&mut login, mac("Responder"), "");
            let slots = login.slots();
            check(live(login), Some(PASSWORD), "a token, and a login by it");

            let config = lasting(of(USER).credentials(Credentials::KeptToken));
            let mut login = Login::restored(Two, config, &slots, info, &offer);
            prove(&mut login, mac("Responder"), &token());
            check(live(login), None, "a token of an earlier process");
        }
        // What is no slot is refused, and may hold a token all the same.
        let mut slots = Slots::new();
        slots.insert(Slot::Pins, Vec::new());
        let mut login = Login::restored(
            Two,
            lasting(account(with_plain())),
            &slots,
            unbound(),
            &Offer::of(&[SCRAM]),
        );
        login.scram_in();
        let bytes = Secret::from(format!("{TOKEN}{TOKEN}"));
        assert!(
            login
                .input(Input::Restore {
                    slot: Slot::Token,
                    bytes
                })
                .is_err()
        );
        check(live(login), Some(PASSWORD), "a slot that is none");
    });
}

#[test]
fn tasks() {
    both(|profile| {
        if profile != Two {
            return;
        }
        let code = |text| Element::builder("urn:example", "code").text(text).build().ok();
        let config = lasting(account(with_plain()).task("TOTP"));
        let mut login = Login::new(Two, config, &Offer::of(&[SCRAM]));
        let proof = login.scram();
        let data = format!(
            "<additional-data>{}</additional-data><tasks><task>TOTP</task></tasks>",
            base64(proof)
        );
        login.says("continue", &data);
        login.input(Input::Task { payload: code(CODE) }).unwrap();
        login.says(
            "task-data",
            &format!("<again xmlns='urn:example'>{CODE} is old</again>"),
        );
        let asked = |event: &Event| matches!(event, Event::Task { payload: Some(payload), .. } if payload.text().contains(CODE));
        assert!(login.events.iter().any(asked), "{:?}", login.events);
        login.input(Input::Task { payload: code("a<b") }).unwrap();
        login.succeed(None);
        check(live(login), Some(PASSWORD), "a second factor");

        let policy = MechanismPolicy {
            upgrade: true,
            ..with_plain()
        };
        let upgrade = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>";
        let mut login = Login::new(Two, lasting(account(policy)), &Offer::of(&[SCRAM]).more(upgrade));
        let proof = login.scram();
        let tasks = "<tasks><task>UPGR-SCRAM-SHA-512</task></tasks>";
        login.says(
            "continue",
            &format!("<additional-data>{}</additional-data>{tasks}", base64(proof)),
        );
        login.says(
            "task-data",
            "<salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>QSXCR+Q6sek8bf92</salt>",
        );
        let salted = login
            .elements()
            .pop()
            .unwrap()
            .children()
            .next()
            .unwrap()
            .text()
            .into_owned();
        assert_eq!(salted.len(), 88);
        login.succeed(None);
        let login = live(login);
        check(login, Some(PASSWORD), "an upgrade");
    });
}

/// XEP-0077: the password goes out in a form, and then in a login.
#[test]
fn a_new_account() {
    everywhere(|profile| {
        let config = lasting(
            of(USER)
                .credentials(Credentials::new_account(PASSWORD))
                .mechanisms(with_plain()),
        );
        let features = Offer::of(&["PLAIN"]).features(profile);
        let register = "<register xmlns='http://jabber.org/features/iq-register'/></stream:features>";
        let mut login = Login::linked(profile, config, &Slots::new(), unbound());
        login.create(&features.replace("</stream:features>", register));
        let id = login.iq_id();
        login.answer(&format!(
            "<iq xmlns='jabber:client' type='result' id='{id}'><query xmlns='jabber:iq:register'><username/><password/></query></iq>"
        ));
        let asked = login.elements().pop().unwrap().to_xml();
        assert!(asked.contains(PASSWORD), "{asked}");
        let id = login.iq_id();
        login.answer(&format!("<iq xmlns='jabber:client' type='result' id='{id}'/>"));
        login.succeed(None);
        check(live(login), Some(PASSWORD), "a new account");
    });
}

/// XEP-0077 §3.3: the application's own request, and what comes back.
#[test]
fn a_password_that_is_changed() {
    both(|profile| {
        let query = |password: &str| {
            let username = Element::builder("jabber:iq:register", "username").text("user");
            let password = Element::builder("jabber:iq:register", "password").text(password);
            Element::builder("jabber:iq:register", "query")
                .child(username)
                .child(password)
        };
        let config = lasting(of(USER).credentials(Credentials::certificate("user", None)));
        let mut login = Login::new(profile, config, &Offer::of(&["EXTERNAL"]));
        login.succeed(None);
        login.bind();
        let iq = epode::stanza::set(None, query(&format!("{PASSWORD} & more"))).unwrap();
        login.input(Input::Request { iq, timeout: None }).unwrap();
        let id = login.iq_id();
        let answer = query(PASSWORD).build().unwrap().to_xml();
        login.answer(&format!(
            "<iq xmlns='jabber:client' type='result' id='{id}'>{answer}</iq>"
        ));
        let is_done = |event: &Event| matches!(event, Event::IqDone { result: Ok(_), .. });
        assert!(login.events.iter().any(is_done), "{:?}", login.events);
        login.input(Input::Stop).unwrap();
        check(login, None, "a password change");
    });
}

/// Nothing is secret here, and the log is what happened.
#[test]
fn no_secrets() {
    everywhere(|profile| {
        let certificate = LinkInfo {
            client_certificate_requested: Some(true),
            ..unbound()
        };
        let config = lasting(
            of(USER)
                .credentials(Credentials::certificate("user", None))
                .fast(Fast::Off),
        );
        let mut login = Login::over(profile, config, certificate, &Offer::of(&["EXTERNAL"]));
        login.succeed(None);
        check(live(login), None, "EXTERNAL");
    });
}
