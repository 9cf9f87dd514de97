//! What SASL2 may ask for after the credentials (XEP-0388 §2.6.3), and the one task that the client does itself (XEP-0480).

use epode::config::MechanismPolicy;
use epode::error::{LoginError, Misuse, SaslError, Warning};
use epode::{Config, Element, Event, Input, Offline, Refused};
use sha2::Sha512;

use crate::harness::{PASSWORD, SALT, base64};
use crate::server::{Login, NS_SASL2, Offer, One, SCRAM, Two, account, everywhere, quick, with_plain};

const TASK: &str = "TOTP-EXAMPLE";
const UPGRADE: &str = "UPGR-SCRAM-SHA-512";
const OFFERED: &str = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>";
const IDENTITY: &str = "<authorization-identifier>user@example.org</authorization-identifier>";

fn offer() -> Offer<'static> {
    Offer::of(&[SCRAM])
}

fn without_tasks() -> Config {
    quick(MechanismPolicy::default()).build().unwrap()
}

fn with_task() -> Config {
    quick(MechanismPolicy::default()).task(TASK).build().unwrap()
}

fn upgrading() -> Config {
    let policy = MechanismPolicy {
        upgrade: true,
        ..with_plain()
    };
    account(policy).build().unwrap()
}

fn goes_on(data: Option<&str>, tasks: &[&str], more: &str) -> String {
    let data = data.map(|data| format!("<additional-data>{}</additional-data>", base64(data)));
    let tasks: String = tasks.iter().map(|task| format!("<task>{task}</task>")).collect();
    Two.element(
        "continue",
        &format!("{}<tasks>{tasks}</tasks>{more}", data.unwrap_or_default()),
    )
}

/// SCRAM, and then a word that this is not all.
fn continued(config: Config, offer: &Offer<'_>, tasks: &[&str]) -> Login {
    let mut login = Login::new(Two, config, offer);
    let proof = login.scram();
    login.answer(&goes_on(Some(&proof), tasks, ""));
    login
}

fn asked(login: &Login) -> Vec<(String, Option<Element>)> {
    let tasks = login.events.iter().filter_map(|event| match event {
        Event::Task { task, payload, .. } => Some((task.clone(), payload.clone())),
        _ => None,
    });
    tasks.collect()
}

fn code() -> Element {
    Element::builder("urn:example:totp", "code")
        .text("123456")
        .build()
        .unwrap()
}

fn does(login: &mut Login, payload: Option<Element>) {
    login.input(Input::Task { payload }).unwrap();
}

#[test]
fn a_second_factor_is_the_applications() {
    everywhere(|profile| {
        if profile == One {
            return;
        }
        let mut login = continued(with_task(), &offer(), &["X-OTHER", TASK]);
        assert_eq!(asked(&login), [(TASK.to_owned(), None)]);
        assert!(!login.is_online());
        does(&mut login, None);
        let next = login.sent("next").pop().unwrap();
        assert_eq!((next.namespace(), next.attribute("task")), (NS_SASL2, Some(TASK)));
        login.says("task-data", "<question xmlns='urn:example:totp'/>");
        assert_eq!(asked(&login).len(), 2);
        does(&mut login, Some(code()));
        let data = login.sent("task-data").pop().unwrap();
        assert!(data.children().any(|child| child.name() == "code"));
        // The proof was given with the word that more is to come.
        login.succeed_as(None, IDENTITY);
        login.bind();
        assert_eq!(login.starts().len(), 1);
        assert!(!login.shown.contains("123456"), "the code shows");
    });
}

// ---- row 72

#[test]
fn tasks_that_nobody_can_do_end_the_login() {
    everywhere(|profile| {
        if profile == One {
            return;
        }
        for tasks in [
            &["X-OTHER"][..],
            &["HASH-PASSWORD", "PASSWORD-CHANGE"],
            &["PLAIN"],
            &["SCRAM-SHA-256"],
            &[UPGRADE],
        ] {
            let login = continued(without_tasks(), &offer(), tasks);
            let Offline::Login(LoginError::Tasks { tasks: wanted, .. }) = login.refused("unknown tasks") else {
                panic!("{tasks:?}: {:?}", login.reason());
            };
            assert_eq!(wanted, tasks);
            assert_eq!((login.count("abort"), login.count("next")), (1, 0), "{tasks:?}");
            assert_eq!(login.starts().len(), 1, "{tasks:?}");
        }
        // Nothing to do is nothing that can be done.
        for nothing in [
            "<continue xmlns='urn:xmpp:sasl:2'/>".to_owned(),
            goes_on(None, &[], ""),
            goes_on(None, &[""], ""),
        ] {
            let mut login = Login::new(Two, with_task(), &offer());
            let proof = login.scram();
            let data = format!("<additional-data>{}</additional-data>", base64(proof));
            let nothing = nothing.replacen("'/>", "'></continue>", 1);
            login.answer(&nothing.replacen('>', &format!(">{data}"), 1));
            login.refused("nothing to do");
            assert_eq!(login.count("next"), 0);
        }
    });
}

#[test]
fn what_the_server_says_about_tasks_can_neither_fill_nor_forge_a_log() {
    let names: Vec<String> = (0..500).map(|n| format!("TASK-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let long = format!("X-{}", "Y".repeat(4_000));
    for (tasks, text) in [
        (&names[..], "too many".to_owned()),
        (&[long.as_str()], "too long".to_owned()),
        (
            &["X-OTHER"],
            "ok&#xA;2026-01-01 login of admin&#xD;\u{9b}31m\u{202e}".to_owned(),
        ),
        (&["X-OTHER"], "x".repeat(20_000)),
        (&["X-OTHER&#xA;2026 OK"], String::new()),
        (&["X-OTHER"], format!("your password is {PASSWORD}")),
        (&[PASSWORD], String::new()),
    ] {
        let config = account(MechanismPolicy::default()).build().unwrap();
        let mut login = Login::new(Two, config, &offer());
        let proof = login.scram();
        login.answer(&goes_on(Some(&proof), tasks, &format!("<text>{text}</text>")));
        let reason = login.refused("hostile");
        let Offline::Login(LoginError::Tasks { tasks, text: kept }) = &reason else {
            panic!("{reason:?}");
        };
        assert!(tasks.len() <= 16 && kept.iter().all(|kept| kept.chars().count() <= 1_024));
        for shown in [reason.to_string(), format!("{reason:?}")] {
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert!(shown.len() < 8_192, "{} bytes", shown.len());
        }
        assert!(!login.shown.contains(PASSWORD), "{reason:?}");
    }
}

#[test]
fn tasks_have_an_end() {
    let mut login = continued(with_task(), &offer(), &[TASK]);
    let mut rounds = 0;
    while !login.is_over() {
        does(&mut login, None);
        login.answer(&goes_on(None, &[TASK], ""));
        rounds += 1;
        assert!(rounds <= 8, "task after task");
    }
    login.refused("task after task");
    assert_eq!(login.starts().len(), 1);
}

#[test]
fn there_is_no_task_before_the_servers_proof() {
    everywhere(|profile| {
        if profile == One {
            return;
        }
        for config in [with_task(), upgrading()] {
            let offer = offer().more(OFFERED);
            for tasks in [&[TASK, UPGRADE]] {
                for data in [None, Some(""), Some("v=AAAA"), Some("e=other-error")] {
                    // After our proof, and before it.
                    let mut login = Login::new(Two, config.clone(), &offer);
                    login.scram();
                    login.answer(&goes_on(data, tasks, ""));
                    login.error("no proof");
                    assert!(asked(&login).is_empty() && login.count("next") == 0);
                    let mut login = Login::new(Two, config.clone(), &offer);
                    login.answer(&goes_on(data, tasks, ""));
                    login.refused_unproved("too early");
                    assert_eq!(login.error("too early"), SaslError::SuccessTooEarly);
                    assert!(asked(&login).is_empty() && login.count("next") == 0);
                }
            }
        }
        // SASL1 has no tasks.
        let mut login = Login::new(One, with_task(), &Offer::of(&[SCRAM]));
        let proof = login.scram();
        login.answer(&goes_on(Some(&proof), &[TASK], ""));
        login.refused("by SASL1");
    });
}

/// One that the server is blamed for, by whichever name.
fn is_breach(reason: &Offline) -> bool {
    matches!(
        reason,
        Offline::Misbehaved(_) | Offline::Login(LoginError::UnknownAnswer { .. })
    )
}

#[test]
fn within_a_task_only_its_own_words_are_due() {
    for word in [
        Two.element("challenge", ""),
        Two.element("authenticate", ""),
        Two.element("next", ""),
        One.success(None),
        One.failure("not-authorized", ""),
        Two.element("task-data", ""),
        "<message xmlns='jabber:client'><body>hi</body></message>".to_owned(),
        offer().features(Two),
    ] {
        // Before it has begun: the application has not answered.
        let mut login = continued(with_task(), &offer(), &[TASK]);
        login.answer(&word);
        let reason = login.refused(&word);
        assert!(is_breach(&reason), "{word}: {reason:?}");
        // In the middle of it.
        if word.contains("task-data") {
            continue;
        }
        let mut login = continued(with_task(), &offer(), &[TASK]);
        does(&mut login, None);
        login.answer(&word);
        let reason = login.refused(&word);
        assert!(is_breach(&reason), "{word}: {reason:?}");
    }
}

#[test]
fn a_failed_task_is_the_end_of_the_login() {
    let mut login = continued(with_task(), &offer(), &[TASK]);
    does(&mut login, Some(code()));
    login.refuse("not-authorized");
    let reason = login.refused("a wrong code");
    assert!(
        matches!(reason, Offline::Login(LoginError::Refused { .. })),
        "{reason:?}"
    );
    assert_eq!(login.starts().len(), 1, "the password is not sent again");
    // A success still has to be for this account.
    let mut login = continued(with_task(), &offer(), &[TASK]);
    does(&mut login, Some(code()));
    login.succeed_as(
        None,
        "<authorization-identifier>other@example.org</authorization-identifier>",
    );
    let reason = login.refused("somebody else");
    assert!(
        matches!(reason, Offline::Login(LoginError::UnexpectedIdentity { .. })),
        "{reason:?}"
    );
}

#[test]
fn an_answer_without_a_task_is_refused() {
    let mut login = Login::new(Two, with_task(), &offer());
    let early = login.input(Input::Task { payload: Some(code()) });
    assert_eq!(early, Err(Refused::Misuse(Misuse::NoTask)));
    login.scram_in();
    let late = login.input(Input::Task { payload: Some(code()) });
    assert_eq!(late, Err(Refused::Misuse(Misuse::NoTask)));
    assert_eq!((login.count("next"), login.count("task-data")), (0, 0));
}

// ---- row 73: new keys for SCRAM

fn salt(salt: &str, iterations: &str) -> String {
    format!("<salt xmlns='urn:xmpp:scram-upgrade:0' iterations='{iterations}'>{salt}</salt>")
}

#[test]
fn a_stronger_verifier_is_given_to_a_server_that_has_proved_itself() {
    let mut login = Login::new(Two, upgrading(), &offer().more(OFFERED));
    let start = login.starts().pop().unwrap();
    let upgrade = start.children().find(|child| child.name() == "upgrade").unwrap();
    assert_eq!(upgrade.to_element().text(), UPGRADE);
    let proof = login.scram();
    login.answer(&goes_on(Some(&proof), &[UPGRADE], ""));
    assert_eq!(login.sent("next")[0].attribute("task"), Some(UPGRADE));
    login.says("task-data", &salt(SALT, "4096"));
    let data = login.sent("task-data").pop().unwrap();
    let hash = data.children().find(|child| child.name() == "hash").unwrap();
    let mut salted = [0; 64];
    pbkdf2::pbkdf2_hmac::<Sha512>(PASSWORD.as_bytes(), b"saltsaltsalt", 4_096, &mut salted);
    assert_eq!(hash.to_element().text(), base64(salted));
    login.succeed_as(None, IDENTITY);
    login.bind();
    let upgraded = |warning: &Warning| matches!(warning, Warning::Upgraded { .. });
    assert!(login.warnings().iter().any(upgraded), "{:?}", login.events);
    assert!(!login.shown.contains(&base64(salted)), "the verifier shows");
}

#[test]
fn a_verifier_that_is_cheap_to_guess_is_not_given() {
    let long = base64([7; 1025]);
    for (of, count) in [
        (SALT, "1"),
        (SALT, "4095"),
        (SALT, "0"),
        (SALT, "-1"),
        (SALT, "2000001"),
        (SALT, "4000000000"),
        (SALT, "99999999999999999999"),
        (SALT, "04096"),
        (SALT, ""),
        (SALT, "x"),
        ("", "4096"),
        ("*", "4096"),
        ("QR==", "4096"),
        (&long, "4096"),
    ] {
        let mut login = continued(upgrading(), &offer().more(OFFERED), &[UPGRADE]);
        login.says("task-data", &salt(of, count));
        login.refused(count);
        assert_eq!(login.count("task-data"), 0, "{of} {count}");
    }
    for nothing in [
        "",
        "<salt xmlns='urn:example:other' iterations='4096'>c2FsdHNhbHRzYWx0</salt>",
    ] {
        let mut login = continued(upgrading(), &offer().more(OFFERED), &[UPGRADE]);
        login.says("task-data", nothing);
        login.refused(nothing);
        assert_eq!(login.count("task-data"), 0, "{nothing}");
    }
}

#[test]
fn a_verifier_is_given_once_and_only_the_one_that_was_agreed() {
    // Not allowed.
    let login = continued(without_tasks(), &offer().more(OFFERED), &[UPGRADE]);
    assert!(!login.starts()[0].children().any(|child| child.name() == "upgrade"));
    login.refused("not allowed");
    assert_eq!(login.count("next"), 0);
    // Not offered before, or another one than what was asked for.
    for (more, task) in [
        ("", UPGRADE),
        (OFFERED, "UPGR-SCRAM-SHA-1"),
        (OFFERED, "UPGR-PLAIN"),
        (OFFERED, "UPGR-"),
    ] {
        let login = continued(upgrading(), &offer().more(more), &[task]);
        let reason = login.refused(task);
        assert!(
            matches!(
                reason,
                Offline::Login(LoginError::Tasks { .. }) | Offline::Misbehaved(_)
            ),
            "{reason:?}"
        );
        assert_eq!(login.count("next"), 0, "{task}");
    }
    // Asked for again with another salt.
    let mut login = continued(upgrading(), &offer().more(OFFERED), &[UPGRADE]);
    login.says("task-data", &salt(SALT, "4096"));
    login.says("task-data", &salt("c2FsdA==", "4096"));
    login.refused("twice");
    assert_eq!(login.count("task-data"), 1);
    // To a server that has proved nothing: TLS alone vouches for one that takes PLAIN.
    let mut login = Login::new(Two, upgrading(), &Offer::of(&["PLAIN"]).more(OFFERED));
    assert!(!login.starts()[0].children().any(|child| child.name() == "upgrade"));
    login.answer(&goes_on(None, &[UPGRADE], ""));
    assert!(login.is_over() && login.count("next") == 0);
}
