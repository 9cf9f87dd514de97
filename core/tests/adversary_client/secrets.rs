//! A canary for a password: after logins that worked and logins that did not, it is looked for wherever something may be logged.

use epode::config::MechanismPolicy;
use epode::record::Entry;
use epode::{Config, Input, Output};

use crate::harness::{BIND, PASSWORD, Play, Scram, base64, bound, build, sasl, with_password};

fn decimal(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| byte.to_string()).collect();
    bytes.join(", ")
}

fn assert_silent(text: &str, secrets: &[String], place: &str) {
    for secret in secrets {
        for form in [
            secret.clone(),
            base64(secret),
            decimal(secret),
            decimal(&base64(secret)),
        ] {
            let at = text.find(&form);
            assert!(at.is_none(), "{place}: {}", &text[at.unwrap()..][..form.len()]);
        }
    }
}

fn with_plain() -> Config {
    let mechanisms = MechanismPolicy {
        allow_plain: true,
        ..MechanismPolicy::default()
    };
    build(with_password().mechanisms(mechanisms))
}

fn go_online(play: &mut Play) {
    play.answer(BIND);
    play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
    assert!(play.is_online());
}

#[test]
fn no_log_holds_a_password_or_a_proof() {
    let config = with_plain();
    assert_silent(&format!("{config:?}"), &[PASSWORD.to_owned()], "the configuration");

    let mut plain = Play::offered(with_plain(), &["PLAIN"]);
    plain.answer(&sasl("success", ""));
    go_online(&mut plain);
    plain.input(Input::Stop).unwrap();

    let mut plain_refused = Play::offered(with_plain(), &["PLAIN"]);
    plain_refused.answer(&sasl("failure", "<not-authorized/>"));

    let mut scram = Play::offered(with_plain(), &["SCRAM-SHA-256"]);
    let server = Scram::answering(&scram);
    scram.answer(&sasl("challenge", &base64(&server.first)));
    let client_final = scram.sasl_messages()[1].clone();
    scram.answer(&sasl("success", &base64(server.proof(&client_final, PASSWORD))));
    go_online(&mut scram);

    let mut scram_refused = Play::offered(with_plain(), &["SCRAM-SHA-256"]);
    scram_refused.answer(&sasl("challenge", &base64(&server.first)));
    // A request that is sent again is logged again.
    scram_refused.wait(200_000);

    for (play, name) in [
        (plain, "PLAIN"),
        (plain_refused, "PLAIN refused"),
        (scram, "SCRAM"),
        (scram_refused, "SCRAM, no answer"),
    ] {
        let mut secrets = vec![PASSWORD.to_owned(), format!("\0user\0{PASSWORD}")];
        for message in play.sasl_messages() {
            if let Some((_, proof)) = message.split_once(",p=") {
                secrets.extend([proof.to_owned(), message.clone()]);
            }
        }
        assert!(!play.sasl_messages().is_empty());
        assert_silent(&play.shown, &secrets, name);
        let (log, entries) = play.log();
        assert_silent(&log, &secrets, name);
        // What is no secret is still there to be read.
        assert!(log.contains("mechanism="), "{name}");
        let posts = entries.iter().filter(|entry| {
            matches!(
                entry,
                Entry::Out {
                    out: Output::Post { .. } | Output::Write { .. } | Output::Frame { .. }
                }
            )
        });
        assert!(posts.count() > 1, "{name}");
    }
}

#[test]
fn a_log_does_not_show_the_seed_when_it_is_debugged() {
    let play = Play::offered(with_plain(), &["SCRAM-SHA-256"]);
    assert!(!play.shown.contains("a seed for tests"));
    let header = epode::record::Header::new(&with_plain(), b"a seed for tests of bad servers.");
    assert!(!format!("{header:?}").contains(&header.seed_is_secret));
}
