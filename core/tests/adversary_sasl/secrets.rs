//! Canaries for every secret of a login: a password, what it becomes, an access token, login tokens. They are looked for wherever
//! something may be logged or kept.

use epode::config::{Fast, KeyDerivation, MechanismPolicy};
use epode::{Credentials, Element, Input, LinkInfo, Output, Secret, Slot};
use sha2::{Digest, Sha256, Sha512};

use crate::harness::{PASSWORD, SALT, base64, of};
use crate::proofs::{Scram, hmac, salted};
use crate::server::{
    Login, Offer, PLUS, Profile, SCRAM, Slots, Two, USER, account, bindable, both, lasting, success, unbound,
    with_plain,
};

const ACCESS: &str = "canary-Bx5-access-token";
const TOKEN: &str = "canary-Vt3-fast-token";
const IDENTITY: &str = "<authorization-identifier>user@example.org</authorization-identifier>";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decimal(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    numbers.join(", ")
}

/// Every form in which bytes could be found again.
fn forms(secret: &[u8]) -> Vec<String> {
    let encoded = base64(secret);
    let mut forms = vec![
        hex(secret),
        hex(secret).to_uppercase(),
        decimal(secret),
        decimal(encoded.as_bytes()),
        encoded.trim_end_matches('=').to_owned(),
    ];
    forms.extend(String::from_utf8(secret.to_vec()));
    forms
}

fn assert_silent(text: &str, secrets: &[Vec<u8>], place: &str) {
    for secret in secrets {
        assert!(secret.len() >= 8);
        for form in forms(secret) {
            let at = text.find(&form);
            assert!(at.is_none(), "{place}: {}", &text[at.unwrap()..][..form.len()]);
        }
    }
}

/// The password, and all that makes it up again.
fn derived() -> Vec<Vec<u8>> {
    let salted = salted(PASSWORD);
    let client_key = hmac(&salted, b"Client Key");
    let server_key = hmac(&salted, b"Server Key");
    vec![PASSWORD.into(), salted.to_vec(), client_key, server_key]
}

/// Neither what is shown, nor a log, nor a slot other than that of tokens holds one of these.
fn assert_kept(login: Login, secrets: &[Vec<u8>], case: &str) {
    assert!(!login.messages().is_empty(), "{case}: it never began");
    let mut secrets = secrets.to_vec();
    for message in login.messages() {
        let text = String::from_utf8(message.clone()).unwrap_or_default();
        if let Some((_, proof)) = text.split_once(",p=") {
            secrets.extend([proof.as_bytes().to_vec(), message]);
        }
    }
    assert_silent(&login.shown, &secrets, &format!("{case}: Debug"));
    for (slot, bytes) in login.slots() {
        if slot != Slot::Token {
            let text = String::from_utf8_lossy(&bytes).into_owned() + &decimal(&bytes) + &hex(&bytes);
            assert_silent(&text, &secrets, &format!("{case}: {slot:?}"));
        }
    }
    let (log, entries) = login.into_play().log();
    assert!(entries.len() > 3 && log.contains("mechanism="), "{case}");
    assert_silent(&log, &secrets, &format!("{case}: the log"));
}

fn hosted(profile: Profile) -> Login {
    let builder = account(with_plain()).key_derivation(KeyDerivation::Host);
    let mut login = Login::new(profile, lasting(builder), &Offer::of(&[SCRAM]));
    let server = Scram::to(&login);
    login.challenge(&server.first);
    let (job, derivation) = login
        .others
        .iter()
        .find_map(|output| match output {
            Output::DeriveKey { job, derivation } => Some((*job, derivation.clone())),
            _ => None,
        })
        .expect("nothing to derive");
    assert_silent(&format!("{derivation:?}"), &derived(), "a derivation");
    let key = derivation.run();
    assert_silent(&format!("{key:?}"), &derived(), "a key");
    let input = Input::Derived { job, key };
    assert_silent(&format!("{input:?}"), &derived(), "an input");
    login.input(input).unwrap();
    let proof = server.proof(&login.last_text());
    login.succeed(Some(&proof));
    login.bind();
    login
}

#[test]
fn a_password_and_what_it_becomes_show_nowhere() {
    both(|profile| {
        let config = || lasting(account(with_plain()));
        assert_silent(&format!("{:?}", config()), &derived(), "the configuration");

        let mut online = Login::new(profile, config(), &Offer::of(&[SCRAM]));
        online.scram_in();
        online.bind();
        // A key is kept for the next link: it shows there as little.
        online.again(unbound(), &Offer::of(&[SCRAM]));
        online.scram_in();
        online.bind();
        online.input(Input::Pause { seconds: 60 }).unwrap();
        online.input(Input::Stop).unwrap();
        assert_kept(online, &derived(), "SCRAM");

        let bound = Offer::of(&[PLUS]).bindings(&["tls-exporter"]);
        let mut online = Login::over(profile, config(), bindable(), &bound);
        online.scram_in();
        online.bind();
        assert_kept(online, &derived(), "SCRAM with channel binding");

        assert_kept(hosted(profile), &derived(), "SCRAM by the host");

        let mut refused = Login::new(profile, config(), &Offer::of(&[SCRAM]));
        refused.scram();
        refused.succeed(Some("v=AAAA"));
        assert_kept(refused, &derived(), "a wrong proof");

        let mut waiting = Login::new(profile, config(), &Offer::of(&[SCRAM]));
        waiting.scram();
        waiting.wait(200_000);
        assert_kept(waiting, &derived(), "no answer");

        let secrets = [derived(), vec![format!("\0user\0{PASSWORD}").into_bytes()]].concat();
        for answer in [profile.success(None), profile.failure("not-authorized", "")] {
            let mut plain = Login::new(profile, config(), &Offer::of(&["PLAIN"]));
            plain.answer(&answer);
            assert_kept(plain, &secrets, "PLAIN");
        }
    });
}

#[test]
fn a_kept_key_shows_nowhere() {
    both(|profile| {
        let first = hosted(profile);
        let key = first.others.iter().find_map(|output| match output {
            Output::DeriveKey { derivation, .. } => Some(derivation.run()),
            _ => None,
        });
        let credentials = Credentials::ScramKey { key: key.unwrap() };
        let config = lasting(of(USER).credentials(credentials));
        assert_silent(&format!("{config:?}"), &derived(), "the configuration");
        let mut login = Login::new(profile, config, &Offer::of(&[SCRAM]));
        login.scram_in();
        login.bind();
        assert_kept(login, &derived(), "a kept key");
    });
}

#[test]
fn an_access_token_shows_nowhere() {
    both(|profile| {
        for mechanism in ["OAUTHBEARER", "X-OAUTH2"] {
            for answer in [profile.success(None), profile.failure("not-authorized", "")] {
                let config = lasting(of(USER).credentials(Credentials::access_token(ACCESS)));
                let mut login = Login::new(profile, config, &Offer::of(&[mechanism]));
                let secrets = vec![ACCESS.into(), login.last()];
                login.answer(&answer);
                assert_kept(login, &secrets, mechanism);
            }
        }
    });
}

#[test]
fn credentials_that_come_later_show_nowhere_either() {
    both(|profile| {
        let renewed = "canary-Ls9-access-token";
        let config = lasting(of(USER).credentials(Credentials::access_token(ACCESS)));
        let offer = Offer::of(&["OAUTHBEARER"]);
        let mut login = Login::new(profile, config, &offer);
        login.succeed(None);
        login.bind();
        let credentials = Credentials::access_token(renewed);
        let input = Input::Provide { credentials };
        assert_silent(&format!("{input:?}"), &[renewed.into()], "an input");
        login.input(input).unwrap();
        login.again(unbound(), &offer);
        assert!(login.last_text().contains(renewed));
        assert_kept(login, &[ACCESS.into(), renewed.into()], "a renewed token");
    });
}

fn token(mac_of: &str) -> Vec<u8> {
    hmac(TOKEN.as_bytes(), mac_of.as_bytes())
}

fn by_token(info: LinkInfo) -> Login {
    let offer = Offer::of(&[SCRAM]).fast(&["HT-SHA-256-NONE"]);
    let mut login = Login::over(Two, lasting(account(with_plain())), info.clone(), &offer);
    let given = format!("{IDENTITY}<token xmlns='urn:xmpp:fast:0' token='{TOKEN}' expiry='2026-02-01T00:00:00Z'/>");
    let proof = login.scram();
    login.succeed_as(Some(&proof), &given);
    login.bind();
    login.again(info, &offer);
    login
}

#[test]
fn a_login_token_is_in_its_own_slot_and_nowhere_else() {
    let secrets = || [derived(), vec![TOKEN.into(), token("Initiator"), token("Responder")]].concat();
    let mut login = by_token(unbound());
    login.answer(&success(Some(&base64(token("Responder"))), IDENTITY));
    login.bind();
    let slots = login.slots();
    let bytes = Secret::new(slots[&Slot::Token].clone());
    let input = Input::Restore {
        slot: Slot::Token,
        bytes,
    };
    assert_silent(&format!("{input:?}"), &secrets(), "an input");
    assert_kept(login, &secrets(), "a login by token");

    let mut login = by_token(unbound());
    login.refuse("not-authorized");
    assert_kept(login, &secrets(), "a refused token");

    // A recording has what the server said; nothing else repeats it.
    let mut login = by_token(unbound());
    login.refuse_with("not-authorized", &format!("<text>'{TOKEN}' is unknown</text>"));
    assert_silent(&login.shown, &secrets(), "a token that the server repeats");

    let login = Login::restored(
        Two,
        lasting(account(with_plain())),
        &slots,
        unbound(),
        &Offer::of(&[SCRAM]).fast(&["HT-SHA-256-NONE"]),
    );
    assert_kept(login, &secrets(), "a restored token");
}

fn goes_on(proof: &str, task: &str) -> String {
    let data = base64(proof);
    let tasks = format!("<tasks><task>{task}</task></tasks>");
    Two.element("continue", &format!("<additional-data>{data}</additional-data>{tasks}"))
}

#[test]
fn the_answer_of_a_task_shows_nowhere() {
    let code = "canary-Hd2-second-factor";
    let config = lasting(account(with_plain()).task("TOTP-EXAMPLE"));
    let mut login = Login::new(Two, config, &Offer::of(&[SCRAM]));
    let proof = login.scram();
    login.answer(&goes_on(&proof, "TOTP-EXAMPLE"));
    for _ in 0..2 {
        let answer = Element::builder("urn:example:totp", "code").text(code).build().unwrap();
        let input = Input::Task { payload: Some(answer) };
        assert_silent(&format!("{input:?}"), &[code.into()], "an input");
        login.input(input).unwrap();
        login.says("task-data", "<again xmlns='urn:example:totp'/>");
    }
    assert!(login.posts.concat().contains(code), "it is said to the server");
    assert_kept(login, &[derived(), vec![code.into()]].concat(), "a task");
}

#[test]
fn a_new_verifier_shows_nowhere() {
    let policy = MechanismPolicy {
        upgrade: true,
        ..with_plain()
    };
    let task = "UPGR-SCRAM-SHA-512";
    let more = format!("<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>{task}</upgrade>");
    let mut login = Login::new(Two, lasting(account(policy)), &Offer::of(&[SCRAM]).more(&more));
    let proof = login.scram();
    login.answer(&goes_on(&proof, task));
    login.says(
        "task-data",
        &format!("<salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>{SALT}</salt>"),
    );
    let mut salted = [0; 64];
    pbkdf2::pbkdf2_hmac::<Sha512>(PASSWORD.as_bytes(), b"saltsaltsalt", 4_096, &mut salted);
    assert!(
        login.posts.concat().contains(&base64(salted)),
        "it is said to the server"
    );
    assert_kept(login, &[derived(), vec![salted.to_vec()]].concat(), "a new verifier");
}

#[test]
fn what_is_kept_holds_no_password_in_any_slot() {
    both(|profile| {
        for fast in [Fast::Use, Fast::Off] {
            let builder = account(MechanismPolicy::default()).fast(fast);
            let offer = Offer::of(&[SCRAM]).fast(&["HT-SHA-256-NONE"]);
            let mut login = Login::new(profile, lasting(builder), &offer);
            login.scram_in();
            login.bind();
            login.input(Input::Pause { seconds: 60 }).unwrap();
            let slots: Slots = login.slots();
            assert!(slots.contains_key(&Slot::Pins), "{slots:?}");
            for (slot, bytes) in &slots {
                let text = String::from_utf8_lossy(bytes).into_owned() + &decimal(bytes);
                assert_silent(&text, &[PASSWORD.into()], &format!("{slot:?}"));
            }
        }
    });
}

#[test]
fn the_hash_of_an_offer_is_no_secret_and_shows() {
    // The other side of it: what a person needs to find out what happened is there.
    let mut login = Login::new(Two, lasting(account(with_plain())), &Offer::of(&[SCRAM]));
    let wrong = base64(Sha256::digest("x"));
    let server = Scram::to(&login).with(&format!("h={wrong}"));
    login.challenge(&server.first);
    let shown = login.refused_unproved("another offer").to_string();
    assert!(
        shown.contains(&wrong) && shown.contains(&Offer::of(&[SCRAM]).hash()),
        "{shown}"
    );
}
