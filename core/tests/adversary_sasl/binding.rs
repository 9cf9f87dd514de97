//! What a login is bound to, and what a server says that it offered (RFC 5802 §6, RFC 9266, XEP-0440, XEP-0474).

use epode::config::MechanismPolicy;
use epode::error::{ChannelBindingProblem, LoginError, Misuse, Pinned, SaslError, TlsError};
use epode::{ChannelBindingType, Input, Offline, Refused, TlsFacts};

use crate::harness::PASSWORD;
use crate::offers::{assert_downgrade, known};
use crate::proofs::Scram;
use crate::server::{
    EXPORTER, Login, Offer, One, PLUS, SCRAM, Slots, Two, account, bindable, both, everywhere, exporting, lasting,
    password, unbound, with_plain,
};
use crate::wire::{self, Cut, Wire};

const EXPORTER_ONLY: &[&str] = &["tls-exporter"];

fn pinning_channel_binding() -> MechanismPolicy {
    MechanismPolicy {
        pin_channel_binding: true,
        ..with_plain()
    }
}

fn problem(login: &Login, case: &str) -> ChannelBindingProblem {
    match login.refused_unproved(case) {
        Offline::Login(LoginError::ChannelBinding { problem }) => problem,
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn a_login_is_bound_to_its_own_connection() {
    both(|profile| {
        for (info, types, flag, expected) in [
            (
                bindable(),
                &["tls-server-end-point", "tls-exporter"][..],
                "p=tls-exporter",
                ChannelBindingType::TlsExporter,
            ),
            (
                bindable(),
                &["tls-server-end-point"],
                "p=tls-server-end-point",
                ChannelBindingType::TlsServerEndPoint,
            ),
            (
                exporting(),
                &["x-new", "tls-exporter"],
                "p=tls-exporter",
                ChannelBindingType::TlsExporter,
            ),
        ] {
            let offer = Offer::of(&[SCRAM, PLUS]).bindings(types);
            let mut login = Login::over(profile, password(), info, &offer);
            assert_eq!(login.tried(), [PLUS]);
            assert_eq!(Scram::to(&login).flag, flag);
            login.scram_in();
            login.bind();
            assert_eq!(login.online().2, Some(expected));
        }
    });
}

// ---- row 26: the connection changes in the middle

#[test]
fn the_facts_of_a_link_are_told_once() {
    both(|profile| {
        let offer = Offer::of(&[PLUS]).bindings(EXPORTER_ONLY);
        let mut login = Login::over(profile, password(), bindable(), &offer);
        let server = Scram::to(&login);
        let mut other = bindable();
        other.channel_bindings.tls_exporter = Some(vec![9; 32]);
        let link = login.link;
        let again = login.input(Input::Connected { link, info: other });
        assert_eq!(again, Err(Refused::Misuse(Misuse::AlreadyConnected)));
        // The login goes on with what it began with, so a server that sees another connection refuses it.
        login.challenge(&server.first);
        assert_eq!(server.bound(&login.last_text()), EXPORTER);
    });
}

#[test]
fn a_new_connection_is_a_new_binding() {
    both(|profile| {
        let offer = Offer::of(&[PLUS]).bindings(EXPORTER_ONLY);
        let mut login = Login::over(profile, lasting(account(with_plain())), bindable(), &offer);
        login.scram_in();
        login.bind();
        let mut other = bindable();
        other.channel_bindings.tls_exporter = Some(vec![9; 32]);
        login.again(other, &offer);
        let server = Scram::to(&login);
        login.challenge(&server.first);
        assert_eq!(server.bound(&login.last_text()), [9; 32]);
    });
}

#[test]
fn another_certificate_in_the_middle_of_a_login_ends_it() {
    wire::set(Wire::Bosh, Cut::Together);
    both(|profile| {
        let facts = |byte| {
            Some(TlsFacts {
                server_certificate_sha256: Some([byte; 32]),
                ..TlsFacts::default()
            })
        };
        let mut login = Login::linked(profile, password(), &Slots::new(), unbound());
        login.tls = facts(1);
        login.features(&Offer::of(&[SCRAM]));
        let first = Scram::to(&login).first;
        login.tls = facts(2);
        login.challenge(&first);
        let reason = login.refused_unproved("another certificate");
        assert_eq!(reason, Offline::Tls(TlsError::CertificateChanged));
    });
}

// ---- row 51: channel binding is removed from the list

#[test]
fn a_client_that_could_have_bound_says_so() {
    both(|profile| {
        // RFC 5802 §6: `y` is the alarm of a server that did offer -PLUS.
        let mut login = Login::over(profile, password(), bindable(), &Offer::of(&[SCRAM]));
        let server = Scram::to(&login);
        assert_eq!(server.flag, "y");
        login.challenge(&server.first);
        assert_eq!(server.bound(&login.last_text()), b"");
        login.challenge("e=server-does-support-channel-binding");
        let error = login.error("the alarm");
        assert!(
            matches!(&error, SaslError::Server { value } if value == "server-does-support-channel-binding"),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("someone may be changing the connection"),
            "{error}"
        );
        // Nothing to bind to: nothing to say.
        let login = Login::over(profile, password(), unbound(), &Offer::of(&[SCRAM]));
        assert_eq!(Scram::to(&login).flag, "n");
    });
}

#[test]
fn a_client_that_could_have_bound_takes_the_best_of_the_rest() {
    both(|profile| {
        for (offer, expected) in [
            (&["PLAIN", SCRAM][..], SCRAM),
            (&["PLAIN", "SCRAM-SHA-1"], "SCRAM-SHA-1"),
            (&["SCRAM-SHA-1", "SCRAM-SHA-512", SCRAM, "PLAIN"], "SCRAM-SHA-512"),
        ] {
            for info in [unbound(), bindable(), exporting()] {
                let config = account(with_plain()).build().unwrap();
                let login = Login::over(profile, config, info, &Offer::of(offer));
                assert_eq!(login.tried(), [expected]);
                login.assert_unsaid(PASSWORD, expected);
            }
        }
    });
}

#[test]
fn nobody_cries_wolf_where_channel_binding_was_offered() {
    both(|profile| {
        let only = |names: &[&str]| {
            let policy = MechanismPolicy {
                only: Some(names.iter().map(ToString::to_string).collect()),
                ..MechanismPolicy::default()
            };
            account(policy).build().unwrap()
        };
        let offer = Offer::of(&[SCRAM, PLUS]).bindings(EXPORTER_ONLY);
        // Not allowed, or of another hash than the client has: `y` would be a false alarm (RFC 5802 §6).
        let login = Login::over(profile, only(&[SCRAM]), bindable(), &offer);
        assert_eq!(Scram::to(&login).flag, "n");
        // One that nobody knows, with types that are known: it may have had another name when it left the server.
        let odd = Offer::of(&[SCRAM, "SCRAM-SHA3-512-PLUS"]);
        let login = Login::over(profile, password(), bindable(), &odd.bindings(EXPORTER_ONLY));
        assert_eq!(problem(&login, "an unknown name"), ChannelBindingProblem::NoMechanism);
        let login = Login::over(profile, password(), bindable(), &odd);
        assert_eq!(
            (login.tried(), Scram::to(&login).flag.as_str()),
            (vec![SCRAM.to_owned()], "n")
        );
        // Nothing to bind to.
        let login = Login::over(profile, password(), unbound(), &offer);
        assert_eq!(
            (login.tried(), Scram::to(&login).flag.as_str()),
            (vec![SCRAM.to_owned()], "n")
        );
    });
}

#[test]
fn channel_binding_that_was_there_is_asked_for_again_where_the_policy_says_so() {
    both(|profile| {
        let bound = Offer::of(&[SCRAM, PLUS]).bindings(EXPORTER_ONLY);
        let stripped = Offer::of(&[SCRAM]);
        let first = known(profile, pinning_channel_binding(), bindable(), &bound);
        let slots = first.slots();
        for info in [bindable(), unbound()] {
            let mut login = known(profile, pinning_channel_binding(), bindable(), &bound);
            login.again(info.clone(), &stripped);
            assert_downgrade(&login, Pinned::ChannelBinding, &[SCRAM], "the next link");
            let config = lasting(account(pinning_channel_binding()));
            let login = Login::restored(profile, config, &slots, info, &stripped);
            assert_downgrade(&login, Pinned::ChannelBinding, &[SCRAM], "the next process");
        }
        // By default it is not: the server may stand behind another proxy by now, and the alarm is still given.
        let login = Login::restored(profile, lasting(account(with_plain())), &slots, bindable(), &stripped);
        assert_eq!(Scram::to(&login).flag, "y");
    });
}

// ---- rows 52 and 53: what is said of channel binding does not fit together

#[test]
fn types_that_nobody_knows_are_no_reason_to_go_without() {
    both(|profile| {
        let unknown = &["tls-quantum", "x-unknown"];
        for mechanisms in [&[PLUS][..], &[SCRAM, PLUS], &[PLUS, SCRAM, "PLAIN"]] {
            let offer = Offer::of(mechanisms).bindings(unknown);
            let config = account(with_plain()).build().unwrap();
            let mut login = Login::over(profile, config, bindable(), &offer);
            if !login.is_over() && !login.starts().is_empty() {
                // XEP-0474: a server that shows its offer could still clear this up. This one does not.
                assert_eq!(Scram::to(&login).flag, "n");
                let first = Scram::to(&login).first;
                login.challenge(first);
            }
            let expected = ChannelBindingProblem::NothingInCommon {
                offered: unknown.iter().map(ToString::to_string).collect(),
            };
            assert_eq!(problem(&login, "unknown types"), expected);
        }
    });
}

#[test]
fn types_and_mechanisms_of_channel_binding_come_together() {
    both(|profile| {
        let offer = Offer::of(&[SCRAM, "PLAIN"]).bindings(EXPORTER_ONLY);
        let login = Login::over(profile, account(with_plain()).build().unwrap(), bindable(), &offer);
        assert_eq!(problem(&login, "types alone"), ChannelBindingProblem::NoMechanism);
        assert!(login.starts().is_empty());
        // A client that cannot bind has nothing to compare.
        let login = Login::over(profile, password(), unbound(), &offer);
        assert_eq!(
            (login.tried(), Scram::to(&login).flag.as_str()),
            (vec![SCRAM.to_owned()], "n")
        );
    });
    let offer = Offer::of(&[SCRAM, PLUS]);
    let login = Login::over(Two, password(), bindable(), &offer);
    assert_eq!(problem(&login, "mechanisms alone"), ChannelBindingProblem::NoTypes);
    assert!(login.starts().is_empty());
    // Servers of SASL1 that are older than the list know one type, and nothing is bound to where the connection has none of it.
    // That is said as it is: `y` would be a false alarm.
    let login = Login::over(One, password(), bindable(), &offer);
    assert_eq!(Scram::to(&login).flag, "n");
    let mut old = bindable();
    old.tls_version = Some("1.2".to_owned());
    old.channel_bindings.tls_unique = Some(vec![3; 12]);
    let login = Login::over(One, password(), old, &offer);
    assert_eq!(
        (login.tried(), Scram::to(&login).flag.as_str()),
        (vec![PLUS.to_owned()], "p=tls-unique")
    );
}

#[test]
fn a_list_of_types_that_is_taken_away_is_missed_where_it_was_there_before() {
    both(|profile| {
        let bound = Offer::of(&[SCRAM, PLUS]).bindings(EXPORTER_ONLY);
        for policy in [MechanismPolicy::default(), pinning_channel_binding()] {
            let mut login = known(profile, policy, bindable(), &bound);
            login.again(bindable(), &Offer::of(&[SCRAM, PLUS]));
            assert_eq!(problem(&login, "no list"), ChannelBindingProblem::NoTypes);
        }
        // And by a server that shows its offer, always (XEP-0474).
        let mut login = Login::over(One, password(), bindable(), &Offer::of(&[SCRAM, PLUS]));
        let server = Scram::to(&login).with(&format!("h={}", bound.hash()));
        login.challenge(&server.first);
        login.refused_unproved("no list");
        assert!(matches!(login.error("no list"), SaslError::OfferChanged { .. }));
    });
}

#[test]
fn a_list_of_types_with_nothing_in_it_is_no_list_to_choose_from() {
    both(|profile| {
        let offer = Offer::of(&[SCRAM, PLUS]).bindings(&[]);
        let login = Login::over(profile, password(), bindable(), &offer);
        // As if there was none.
        match profile {
            One => assert_eq!(Scram::to(&login).flag, "n"),
            Two => assert_eq!(problem(&login, "an empty list"), ChannelBindingProblem::NoTypes),
        }
    });
}

#[test]
fn a_refused_binding_is_not_tried_again_without() {
    everywhere(|profile| {
        if wire::now().0 == Wire::Bosh {
            return;
        }
        let offer = Offer::of(&[SCRAM, PLUS, "PLAIN"]).bindings(EXPORTER_ONLY);
        let config = || account(with_plain()).build().unwrap();
        for condition in ["not-authorized", "aborted", "temporary-auth-failure"] {
            let mut login = Login::over(profile, config(), bindable(), &offer);
            login.refuse(condition);
            let reason = login.refused_unproved(condition);
            assert!(
                matches!(reason, Offline::Login(LoginError::Refused { .. })),
                "{reason:?}"
            );
            assert_eq!(login.tried(), [PLUS]);
        }
        let mut login = Login::over(profile, config(), bindable(), &offer);
        login.scram();
        login.challenge("e=channel-bindings-dont-match");
        assert!(matches!(login.error("another connection"), SaslError::Server { .. }));
        assert_eq!(login.tried(), [PLUS]);
    });
}

#[test]
fn types_of_channel_binding_can_neither_fill_nor_forge_a_log() {
    both(|profile| {
        let long = "x".repeat(4_000);
        let many: Vec<String> = (0..100).map(|n| format!("x-{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for types in [
            &[long.as_str()][..],
            &many,
            &["x&#xA;2026-01-01 login of admin&#x9b;31m\u{202e}"],
        ] {
            let offer = Offer::of(&[PLUS]).bindings(types);
            let login = Login::over(profile, password(), bindable(), &offer);
            let reason = login.refused_unproved("odd types");
            for shown in [reason.to_string(), format!("{reason:?}")] {
                assert!(!shown.chars().any(char::is_control), "{shown:?}");
                assert!(shown.len() < 8_192, "{} bytes", shown.len());
            }
            assert!(!reason.to_string().contains('\u{202e}'), "{reason}");
        }
    });
}

// ---- rows 54 and 55: what the server says that it offered

#[test]
fn an_offer_that_was_changed_on_the_way_gets_no_proof() {
    everywhere(|profile| {
        // The server offers more than what arrives.
        let arrived = Offer::of(&[SCRAM]);
        for real in [
            Offer::of(&[SCRAM, "SCRAM-SHA-512"]),
            Offer::of(&[SCRAM, PLUS]).bindings(&["tls-exporter"]),
            Offer::of(&[SCRAM]).bindings(&[]),
            Offer::of(&[SCRAM, SCRAM]),
            Offer::of(&[]),
        ] {
            let mut login = Login::new(profile, password(), &arrived);
            let server = Scram::to(&login).with(&format!("h={}", real.hash()));
            login.challenge(&server.first);
            login.refused_unproved("another offer");
            let SaslError::OfferChanged { expected, received } = login.error("another offer") else {
                panic!("{:?}", login.reason());
            };
            assert_eq!((expected, received), (arrived.hash(), real.hash()));
            assert_eq!(login.count("abort"), 1);
        }
    });
}

#[test]
fn a_hash_of_the_offer_that_is_none_gets_no_proof() {
    both(|profile| {
        let right = Offer::of(&[SCRAM]).hash();
        for wrong in [
            String::new(),
            "=".to_owned(),
            "*".to_owned(),
            right.to_lowercase(),
            right.trim_end_matches('=').to_owned(),
            right[..20].to_owned(),
            format!("{right}A"),
            format!("{right},h={}", Offer::of(&[]).hash()),
            format!("{},h={right}", Offer::of(&[]).hash()),
        ] {
            let mut login = Login::new(profile, password(), &Offer::of(&[SCRAM]));
            let server = Scram::to(&login).with(&format!("h={wrong}"));
            login.challenge(&server.first);
            login.refused_unproved(&wrong);
        }
    });
}

#[test]
fn an_offer_that_arrived_as_it_was_is_taken() {
    both(|profile| {
        for offer in [
            Offer::of(&["X-UNKNOWN", SCRAM, "PLAIN"]),
            Offer::of(&[PLUS, SCRAM]).bindings(&["tls-server-end-point", "tls-exporter", "x-unknown"]),
        ] {
            let mut login = Login::over(profile, password(), bindable(), &offer);
            let server = Scram::to(&login).with(&format!("h={}", offer.hash()));
            login.challenge(&server.first);
            let proof = server.proof(&login.last_text());
            login.succeed(Some(&proof));
            login.bind();
        }
    });
}

#[test]
fn a_server_that_showed_its_offer_once_has_to_show_it_again() {
    both(|profile| {
        let offer = Offer::of(&[SCRAM]);
        let shown = |login: &mut Login| {
            let server = Scram::to(login).with(&format!("h={}", offer.hash()));
            login.challenge(&server.first);
            let proof = server.proof(&login.last_text());
            login.succeed(Some(&proof));
            login.bind();
        };
        let config = || lasting(account(with_plain()));
        let mut login = Login::new(profile, config(), &offer);
        shown(&mut login);
        let slots = login.slots();
        // On the next link, and in the next process.
        login.again(unbound(), &offer);
        let mut next = Login::restored(profile, config(), &slots, unbound(), &offer);
        for login in [&mut login, &mut next] {
            let first = Scram::to(login).first;
            login.challenge(first);
            login.refused_unproved("nothing is shown");
            assert_eq!(login.error("nothing is shown"), SaslError::OfferUnproved);
        }
        // As it should be, it goes on.
        let mut next = Login::restored(profile, config(), &slots, unbound(), &offer);
        shown(&mut next);
        // A server that never did is as welcome as before.
        let mut login = Login::new(profile, config(), &offer);
        login.scram_in();
        login.bind();
        login.again(unbound(), &offer);
        login.scram_in();
        login.bind();
    });
}
