//! What is offered, and what is taken of it: lists that were cut down, channel binding, pins (RFC 5802 §6, XEP-0440, XEP-0474).

use epode::config::{MechanismPolicy, Persist};
use epode::error::{ChannelBindingProblem, LoginError, Misuse, PeerIncompatible, Pinned, SaslError};
use epode::{ChannelBindingType, Config, Input, LinkInfo, Offline, Refused, SaslProfile, ServerProof, Slot, TlsPolicy};

use crate::harness::{PASSWORD, PROCEED, STARTTLS};
use crate::server::{
    EXPORTER, Login, Offer, One, PLUS, Profile, SCRAM, Scram, Slots, Two, account, bindable, both, everywhere,
    exporting, lasting, password, unbound, with_plain,
};
use crate::wire::{self, Cut, Wire};

const EXPORTER_ONLY: &[&str] = &["tls-exporter"];

fn pinning_channel_binding() -> MechanismPolicy {
    MechanismPolicy {
        pin_channel_binding: true,
        ..with_plain()
    }
}

fn assert_downgrade(login: &Login, expected: Pinned, offer: &[&str], case: &str) {
    let Offline::Login(LoginError::Downgrade { pinned, offered }) = login.refused_unproved(case) else {
        panic!("{case}: {:?}", login.reason());
    };
    assert_eq!(
        (pinned, &offered[..]),
        (expected, &offer.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
    );
}

fn problem(login: &Login, case: &str) -> ChannelBindingProblem {
    match login.refused_unproved(case) {
        Offline::Login(LoginError::ChannelBinding { problem }) => problem,
        other => panic!("{case}: {other:?}"),
    }
}

// ---- honest servers

#[test]
fn an_honest_server_is_believed_by_either_profile() {
    everywhere(|profile| {
        let mut login = Login::new(profile, password(), &Offer::of(&[SCRAM]));
        login.scram_in();
        login.bind();
        let (mechanism, proof, binding, by) = login.online();
        assert_eq!(
            (mechanism.as_str(), proof, binding),
            (SCRAM, ServerProof::Verified, None)
        );
        let expected = match profile {
            One => SaslProfile::Sasl1,
            Two => SaslProfile::Sasl2,
        };
        assert_eq!(by, Some(expected));
        assert_eq!(login.starts().len(), 1);
        login.assert_unsaid(PASSWORD, "SCRAM");
    });
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

// ---- row 50: the list is cut down

#[test]
fn a_list_cut_down_to_plain_gets_no_password() {
    everywhere(|profile| {
        let login = Login::new(profile, password(), &Offer::of(&["PLAIN"]));
        let reason = login.refused_unproved("cut down");
        assert!(login.starts().is_empty());
        let Offline::Login(LoginError::NoMechanism { offered, wanted, .. }) = reason else {
            panic!("{reason:?}");
        };
        assert_eq!(offered, ["PLAIN"]);
        assert!(
            !wanted.is_empty() && !wanted.contains(&"PLAIN".to_owned()),
            "{wanted:?}"
        );
    });
}

#[test]
fn a_floor_holds_where_plain_is_allowed() {
    both(|profile| {
        let floor = MechanismPolicy {
            least: Some(SCRAM.to_owned()),
            ..with_plain()
        };
        for offer in [&["PLAIN"][..], &["SCRAM-SHA-1", "PLAIN"]] {
            let login = Login::new(profile, account(floor.clone()).build().unwrap(), &Offer::of(offer));
            let reason = login.refused_unproved("below the floor");
            assert!(
                matches!(reason, Offline::Login(LoginError::NoMechanism { .. })),
                "{reason:?}"
            );
            assert!(login.starts().is_empty());
        }
    });
}

/// Online once by SCRAM, with an offer of that, where PLAIN would be allowed.
fn known(profile: Profile, policy: MechanismPolicy, info: LinkInfo, offer: &Offer<'_>) -> Login {
    let mut login = Login::over(profile, lasting(account(policy)), info, offer);
    login.scram_in();
    login.bind();
    login
}

#[test]
fn who_had_scram_is_not_asked_for_the_password_on_the_next_link() {
    everywhere(|profile| {
        let mut login = known(profile, with_plain(), unbound(), &Offer::of(&[SCRAM, "PLAIN"]));
        login.again(unbound(), &Offer::of(&["PLAIN"]));
        assert_downgrade(&login, Pinned::Scram, &["PLAIN"], "the next link");
    });
}

#[test]
fn who_had_scram_is_not_asked_for_the_password_by_the_next_process() {
    both(|profile| {
        let first = known(profile, with_plain(), unbound(), &Offer::of(&[SCRAM, "PLAIN"]));
        let mut slots = first.slots();
        slots.retain(|slot, _| *slot == Slot::Pins);
        assert!(!slots.is_empty(), "nothing is pinned");
        let plain = Offer::of(&["PLAIN"]);
        // By the other profile as little as by the same.
        for profile in [profile, profile.other()] {
            let config = lasting(account(with_plain()));
            let login = Login::restored(profile, config, &slots, unbound(), &plain);
            assert_downgrade(&login, Pinned::Scram, &["PLAIN"], "the next process");
        }
        // The pins decide nothing else: SCRAM of another hash is as good,
        let config = lasting(account(with_plain()));
        let login = Login::restored(profile, config, &slots, unbound(), &Offer::of(&["SCRAM-SHA-1"]));
        assert_eq!(login.tried(), ["SCRAM-SHA-1"]);
        // and who says so, goes without.
        let careless = MechanismPolicy {
            pin: false,
            ..with_plain()
        };
        let login = Login::restored(profile, lasting(account(careless)), &slots, unbound(), &plain);
        assert_eq!(login.tried(), ["PLAIN"]);
    });
}

#[test]
fn a_login_that_failed_is_no_reason_to_forget_a_pin() {
    both(|profile| {
        let first = known(profile, with_plain(), unbound(), &Offer::of(&[SCRAM, "PLAIN"]));
        let mut slots = first.slots();
        for _ in 0..3 {
            let config = lasting(account(with_plain()));
            let login = Login::restored(profile, config, &slots, unbound(), &Offer::of(&["PLAIN"]));
            assert_downgrade(&login, Pinned::Scram, &["PLAIN"], "again and again");
            slots.extend(login.slots());
        }
    });
}

#[test]
fn pins_that_are_damaged_or_anothers_are_refused_aloud() {
    let first = known(One, with_plain(), unbound(), &Offer::of(&[SCRAM, "PLAIN"]));
    let pins = first.slots().remove(&Slot::Pins).unwrap();
    for cut in 1..pins.len() {
        let mut play = crate::harness::Play::idle(lasting(account(with_plain())), [1; 32]);
        let (slot, bytes) = (Slot::Pins, epode::Secret::new(pins[..cut].to_vec()));
        let result = play.input(Input::Restore { slot, bytes });
        assert!(
            matches!(result, Err(Refused::Snapshot(_))),
            "{cut} of {} bytes: {result:?}",
            pins.len()
        );
    }
    let other = crate::harness::of("other@example.org")
        .credentials(epode::Credentials::password(PASSWORD))
        .persist(Persist::EveryTurn);
    let mut play = crate::harness::Play::idle(other.build().unwrap(), [1; 32]);
    let (slot, bytes) = (Slot::Pins, epode::Secret::new(pins));
    let result = play.input(Input::Restore { slot, bytes });
    assert!(matches!(result, Err(Refused::Snapshot(_))), "{result:?}");
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
        let odd = Offer::of(&[SCRAM, "SCRAM-SHA3-512-PLUS"]).bindings(EXPORTER_ONLY);
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
    // Servers of SASL1 are older than the list: they bind, or refuse.
    let login = Login::over(One, password(), bindable(), &offer);
    assert_eq!(
        (login.tried(), Scram::to(&login).flag.as_str()),
        (vec![PLUS.to_owned()], "p=tls-exporter")
    );
}

#[test]
fn a_list_of_types_with_nothing_in_it_is_no_list_to_choose_from() {
    both(|profile| {
        let offer = Offer::of(&[SCRAM, PLUS]).bindings(&[]);
        let login = Login::over(profile, password(), bindable(), &offer);
        let problem = problem(&login, "an empty list");
        assert!(
            matches!(
                problem,
                ChannelBindingProblem::NoTypes | ChannelBindingProblem::NothingInCommon { .. }
            ),
            "{problem:?}"
        );
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

// ---- which profile

fn two_profiles(offer: &Offer<'_>) -> String {
    offer.features_of(&[One, Two])
}

#[test]
fn sasl2_is_taken_where_tls_protects_it_and_nothing_falls_back_to_sasl1() {
    let offer = Offer::of(&[SCRAM, "PLAIN"]);
    let start = || {
        let mut login = Login::linked(Two, account(with_plain()).build().unwrap(), &Slots::new(), unbound());
        login.create(&two_profiles(&offer));
        login
    };
    let mut login = start();
    assert_eq!((login.count("authenticate"), login.count("auth")), (1, 0));
    login.refuse("not-authorized");
    login.refused_unproved("refused by SASL2");
    assert_eq!((login.count("authenticate"), login.count("auth")), (1, 0));
    // The answer of the other profile is none.
    for answer in [
        One.success(None),
        One.failure("not-authorized", ""),
        One.element("challenge", ""),
        One.success(Some("dj1BQUFB")),
    ] {
        let mut login = start();
        login.answer(&answer);
        let reason = login.refused_unproved(&answer);
        assert!(matches!(reason, Offline::Misbehaved(_)), "{answer}: {reason:?}");
    }
}

#[test]
fn sasl2_is_never_used_in_the_clear() {
    let config = |profile: &str| -> Config {
        let policy = MechanismPolicy::default();
        assert!(policy.sasl2, "{profile}");
        account(policy).tls(TlsPolicy::AllowPlaintext).build().unwrap()
    };
    let offer = Offer::of(&[SCRAM]);
    let unverified = LinkInfo {
        encrypted: true,
        ..LinkInfo::default()
    };
    for (info, case) in [(LinkInfo::default(), "in the clear"), (unverified, "not verified")] {
        let login = Login::over(Two, config(case), info.clone(), &offer);
        let reason = login.refused_unproved(case);
        assert!(
            matches!(
                reason,
                Offline::Login(LoginError::NoMechanism { .. }) | Offline::Incompatible(PeerIncompatible::NoSasl)
            ),
            "{case}: {reason:?}"
        );
        assert!(login.starts().is_empty());
        let mut login = Login::linked(Two, config(case), &Slots::new(), info);
        login.create(&two_profiles(&offer));
        assert_eq!((login.count("authenticate"), login.count("auth")), (0, 1), "{case}");
    }
}

#[test]
fn sasl_before_tls_is_ignored_by_either_profile() {
    wire::set(Wire::StartTls, Cut::Elements);
    both(|profile| {
        let offer = Offer::of(&[SCRAM, "PLAIN"]);
        let begin = || {
            let config = account(with_plain()).build().unwrap();
            let mut play = crate::harness::Play::started(config);
            play.up(LinkInfo::default());
            play
        };
        let mut play = begin();
        let starttls = STARTTLS
            .replace("<stream:features>", "")
            .replace("</stream:features>", "");
        let features = offer
            .features(profile)
            .replace("</stream:features>", &format!("{starttls}</stream:features>"));
        play.answer(&features);
        assert!(play.sent("auth").is_empty() && play.sent("authenticate").is_empty());
        assert_eq!(play.sent("starttls").len(), 1);
        play.answer(PROCEED);
        assert!(play.wires[&play.link].contains("[TLS for example.org]"));
        // Words of a login in place of the word on TLS.
        for word in [
            profile.success(None),
            profile.failure("not-authorized", ""),
            profile.element("challenge", ""),
        ] {
            let mut play = begin();
            play.answer(&features);
            play.answer(&word);
            play.assert_refused_without_proof(&word);
            assert!(
                play.sent("authenticate").is_empty() && play.sent("auth").is_empty(),
                "{word}"
            );
        }
    });
}

#[test]
fn a_policy_without_sasl2_takes_none() {
    let policy = MechanismPolicy {
        sasl2: false,
        ..MechanismPolicy::default()
    };
    let mut login = Login::linked(One, account(policy.clone()).build().unwrap(), &Slots::new(), unbound());
    login.create(&two_profiles(&Offer::of(&[SCRAM])));
    assert_eq!((login.count("authenticate"), login.count("auth")), (0, 1));
    let login = Login::new(Two, account(policy).build().unwrap(), &Offer::of(&[SCRAM]));
    login.refused_unproved("SASL2 alone");
    assert!(login.starts().is_empty());
}

#[test]
fn a_list_of_nonsense_is_no_offer() {
    both(|profile| {
        for names in [
            &[][..],
            &[
                "",
                "scram-sha-256",
                "SCRAM-SHA-256 ",
                "EXTERNAL\u{a0}",
                "AN-OVERLONG-MECHANISM-NAME",
            ],
        ] {
            let login = Login::new(profile, password(), &Offer::of(names));
            let reason = login.refused_unproved("nonsense");
            assert!(
                matches!(
                    reason,
                    Offline::Login(LoginError::NoMechanism { .. }) | Offline::Incompatible(PeerIncompatible::NoSasl)
                ),
                "{reason:?}"
            );
            assert!(login.starts().is_empty());
        }
        // A thousand names hide nothing, and fill no log.
        let many: Vec<String> = (0..1_000).map(|n| format!("MECHANISM-{n}")).collect();
        let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
        let login = Login::new(profile, password(), &Offer::of(&many));
        assert!(login.refused_unproved("many").to_string().len() < 1_024);
        many.push(SCRAM);
        assert_eq!(Login::new(profile, password(), &Offer::of(&many)).tried(), [SCRAM]);
    });
}
