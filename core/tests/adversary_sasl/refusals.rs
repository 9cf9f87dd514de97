//! Refusals: what they say, and what they lead to, which is nothing weaker and no storm (RFC 6120 §6.4.5, §6.5).

use std::time::Duration;

use epode::config::{MechanismPolicy, Reconnect, ReconnectWhen};
use epode::error::LoginError;
use epode::{Config, Credentials, Event, Input, Offline};

use crate::harness::{NS_SASL, PASSWORD, of};
use crate::server::{Login, Offer, PLUS, SCRAM, Slots, USER, account, both, everywhere, unbound, with_plain};

const CONDITIONS: [&str; 11] = [
    "aborted",
    "account-disabled",
    "credentials-expired",
    "encryption-required",
    "incorrect-encoding",
    "invalid-authzid",
    "invalid-mechanism",
    "malformed-request",
    "mechanism-too-weak",
    "not-authorized",
    "temporary-auth-failure",
];

fn plain() -> Config {
    account(with_plain()).build().unwrap()
}

fn condition(reason: &Offline) -> &str {
    match reason {
        Offline::Login(LoginError::Refused { condition, .. }) => condition,
        other => panic!("{other:?}"),
    }
}

// ---- row 74

#[test]
fn after_a_refusal_the_password_is_not_shown_to_anybody() {
    everywhere(|profile| {
        for refusal in CONDITIONS {
            let all = Offer::of(&[SCRAM, "SCRAM-SHA-1", "PLAIN"]);
            let mut login = Login::new(profile, plain(), &all);
            login.refuse(refusal);
            // RFC 6120 §6.4.5 would allow another try by another mechanism for some of them; not by PLAIN.
            while !login.is_over() && login.starts().len() < 5 {
                login.refuse(refusal);
            }
            let reason = login.refused_unproved(refusal);
            assert_eq!(condition(&reason), refusal);
            assert!(!login.tried().contains(&"PLAIN".to_owned()), "{refusal}");
        }
    });
}

#[test]
fn a_refused_password_costs_no_second_login() {
    everywhere(|profile| {
        for refusal in [
            "not-authorized",
            "account-disabled",
            "credentials-expired",
            "temporary-auth-failure",
        ] {
            // Before the proof,
            let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM, "SCRAM-SHA-1", "PLAIN"]));
            login.refuse(refusal);
            assert_eq!(condition(&login.refused_unproved(refusal)), refusal);
            assert_eq!(login.tried(), [SCRAM]);
            // and after it.
            let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM, "SCRAM-SHA-1", "PLAIN"]));
            login.scram();
            login.refuse(refusal);
            assert_eq!(condition(&login.refused(refusal)), refusal);
            assert_eq!(login.tried(), [SCRAM]);
            login.wait(3_600_000);
            assert_eq!((login.tried().len(), login.connects.len()), (1, 1), "{refusal}");
        }
        // PLAIN itself is not repeated either.
        let mut login = Login::new(profile, plain(), &Offer::of(&["PLAIN"]));
        login.refuse("not-authorized");
        assert!(login.is_over() && login.starts().len() == 1);
    });
}

#[test]
fn an_offer_of_less_after_a_refusal_is_not_even_read() {
    both(|profile| {
        let harvest = Offer::of(&["PLAIN"]).features(profile);
        let refusal = profile.failure("not-authorized", "");
        let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM, "PLAIN"]));
        login.answer(&format!("{refusal}{harvest}"));
        login.refused_unproved("a new offer");
        assert_eq!(login.starts().len(), 1);
        // Nor is one in the middle of a login.
        let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM, "PLAIN"]));
        login.answer(&harvest);
        let reason = login.refused_unproved("in the middle");
        assert!(matches!(reason, Offline::Misbehaved(_)), "{reason:?}");
        assert_eq!(login.starts().len(), 1);
    });
}

#[test]
fn a_refusal_by_one_profile_is_not_asked_again_by_the_other() {
    both(|profile| {
        let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM]));
        let refusal = profile.failure("not-authorized", "");
        let others = Offer::of(&[SCRAM, "PLAIN"]).features(profile.other());
        login.answer(&format!("{refusal}{others}"));
        login.refused_unproved("by the other");
        assert_eq!(login.starts().len(), 1);
    });
}

// ---- row 75

#[test]
fn temporary_failures_make_no_storm() {
    both(|profile| {
        for when in [ReconnectWhen::Never, ReconnectWhen::AfterOnline, ReconnectWhen::Always] {
            let reconnect = Reconnect {
                when,
                first: Duration::from_secs(1),
                second: Duration::from_secs(2),
                longest: Duration::from_secs(120),
                attempts: None,
            };
            let config = account(MechanismPolicy::default())
                .reconnect(reconnect)
                .build()
                .unwrap();
            let offer = Offer::of(&[SCRAM, PLUS]);
            let mut login = Login::new(profile, config, &offer);
            let end = login.now + 3_600_000;
            // A server that has a bad hour, and a client that is never told to give up.
            while !login.is_over() && login.now < end {
                login.refuse("temporary-auth-failure");
                if !login.is_over() {
                    login.until_next_link();
                    login.connect(unbound());
                    login.features(&offer);
                }
            }
            // Half of two minutes at least between two of them, but for the first ten.
            assert!(login.starts().len() <= 80, "{when:?}: {}", login.starts().len());
            assert!(!login.is_online());
            let told = login.events.iter().filter_map(|event| match event {
                Event::Offline { reason } | Event::Interrupted { reason, .. } => Some(reason),
                _ => None,
            });
            let told: Vec<_> = told.collect();
            assert!(!told.is_empty());
            assert!(
                told.iter().all(|reason| condition(reason) == "temporary-auth-failure"),
                "{told:?}"
            );
        }
    });
}

#[test]
fn a_server_that_falls_silent_in_a_login_is_not_waited_for_for_ever() {
    everywhere(|profile| {
        let give_up = |login: &mut Login, case: &str| {
            login.wait(3_600_000);
            let reason = login.refused(case);
            assert!(matches!(reason, Offline::Connection(_)), "{case}: {reason:?}");
        };
        let start = || Login::new(profile, plain(), &Offer::of(&[SCRAM]));
        give_up(&mut start(), "after the first message");
        let mut login = start();
        login.scram();
        give_up(&mut login, "after the proof");
        let mut login = start();
        login.scram_in();
        give_up(&mut login, "after the success");
    });
}

// ---- rows 76 and 77: what a refusal says

#[test]
fn an_odd_refusal_is_a_refusal() {
    both(|profile| {
        let app = "<too-many xmlns='urn:example:app'/>";
        for (content, expected) in [
            (String::new(), "not-authorized"),
            (format!("<no-such-condition xmlns='{NS_SASL}'/>"), "not-authorized"),
            (
                "<account-disabled xmlns='urn:example:other'/>".to_owned(),
                "not-authorized",
            ),
            (
                format!("<account-disabled xmlns='{NS_SASL}'/>{app}"),
                "account-disabled",
            ),
            (
                format!("{app}<account-disabled xmlns='{NS_SASL}'/>"),
                "account-disabled",
            ),
            (
                format!("<not-authorized xmlns='{NS_SASL}'><success/></not-authorized>"),
                "not-authorized",
            ),
            // Data has no place in a refusal, and changes nothing about it.
            (
                format!("<not-authorized xmlns='{NS_SASL}'/><additional-data>dj1BQUFB</additional-data>"),
                "not-authorized",
            ),
            (
                format!(
                    "<additional-data>*</additional-data><not-authorized xmlns='{NS_SASL}'/>\
                     <authorization-identifier>user@example.org</authorization-identifier>"
                ),
                "not-authorized",
            ),
        ] {
            let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM, "PLAIN"]));
            login.scram();
            login.says("failure", &content);
            assert_eq!(condition(&login.refused(&content)), expected, "{content}");
            assert_eq!(login.starts().len(), 1, "{content}");
        }
        for name in ["false", "sucess", "Success", "continue-later"] {
            let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM]));
            login.scram();
            login.says(name, "");
            login.refused(name);
        }
    });
}

#[test]
fn a_refusals_text_can_neither_fill_nor_forge_a_log() {
    everywhere(|profile| {
        let forged = "denied&#xA;2026-01-01 OK login of admin&#xD;&#x9;\u{85}\u{9b}31m\u{202e}&lt;b>";
        let long = "x".repeat(60_000);
        for text in [forged, long.as_str()] {
            let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM]));
            // The text is in the namespace of the profile (RFC 6120 §6.5, XEP-0388 §2.6.2).
            login.refuse_with("not-authorized", &format!("<text>{text}</text>"));
            let reason = login.refused_unproved("text");
            let Offline::Login(LoginError::Refused { text: Some(kept), .. }) = &reason else {
                panic!("{reason:?}");
            };
            assert!(kept.chars().count() <= 1_024);
            for shown in [reason.to_string(), format!("{reason:?}")] {
                assert!(!shown.chars().any(char::is_control), "{shown:?}");
                assert!(shown.len() < 8_192);
            }
            assert!(!reason.to_string().contains('\u{202e}'), "{reason}");
        }
        let mut login = Login::new(profile, plain(), &Offer::of(&[SCRAM]));
        login.refuse_with("not-authorized", &format!("<text>{}</text>", "x".repeat(1 << 20)));
        login.refused_unproved("a mebibyte");
    });
}

#[test]
fn a_secret_that_the_server_repeats_is_not_passed_on() {
    everywhere(|profile| {
        const ACCESS: &str = "canary-Bx5-access-token";
        let with = |credentials: Credentials| {
            of(USER)
                .credentials(credentials)
                .mechanisms(with_plain())
                .build()
                .unwrap()
        };
        for (credentials, mechanism, secret) in [
            (Credentials::password(PASSWORD), "PLAIN", PASSWORD),
            (Credentials::password(PASSWORD), SCRAM, PASSWORD),
            (Credentials::certificate_and_password("user", PASSWORD), SCRAM, PASSWORD),
            (Credentials::access_token(ACCESS), "OAUTHBEARER", ACCESS),
            (Credentials::access_token(ACCESS), "X-OAUTH2", ACCESS),
        ] {
            let mut login = Login::new(profile, with(credentials), &Offer::of(&[mechanism]));
            let text = format!("'{secret}' is wrong");
            let texts = format!("<text>{text}</text><text xmlns='{NS_SASL}'>{text}</text>");
            login.refuse_with("not-authorized", &texts);
            assert!(login.is_over());
            let reason = login.reason();
            assert!(
                matches!(&reason, Offline::Login(LoginError::Refused { text: None, .. })),
                "{mechanism}: {reason:?}"
            );
            assert!(!login.shown.contains(secret), "{mechanism}");
        }
    });
}

#[test]
fn a_client_that_is_told_to_stop_says_so_and_no_more() {
    both(|profile| {
        let mut login = Login::linked(profile, plain(), &Slots::new(), unbound());
        login.features(&Offer::of(&[SCRAM]));
        login.input(Input::Stop).unwrap();
        let messages = login.messages().len();
        login.wait(60_000);
        assert_eq!(login.reason(), Offline::Stopped);
        assert_eq!(login.messages().len(), messages);
    });
}
