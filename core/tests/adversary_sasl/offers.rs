//! What is offered, and what is taken of it: lists that were cut down, pins, the two profiles.

use epode::config::{MechanismPolicy, Persist};
use epode::error::{LoginError, PeerIncompatible, Pinned};
use epode::{Config, Input, LinkInfo, Offline, Refused, SaslProfile, ServerProof, Slot, TlsPolicy};

use crate::harness::{PASSWORD, PROCEED, STARTTLS};
use crate::server::{
    Login, Offer, One, Profile, SCRAM, Slots, Two, account, both, everywhere, lasting, password, unbound, with_plain,
};
use crate::wire::{self, Cut, Wire};

pub(crate) fn assert_downgrade(login: &Login, expected: Pinned, offer: &[&str], case: &str) {
    let Offline::Login(LoginError::Downgrade { pinned, offered }) = login.refused_unproved(case) else {
        panic!("{case}: {:?}", login.reason());
    };
    assert_eq!(
        (pinned, &offered[..]),
        (expected, &offer.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
    );
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
pub(crate) fn known(profile: Profile, policy: MechanismPolicy, info: LinkInfo, offer: &Offer<'_>) -> Login {
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
fn who_had_scram_is_not_asked_for_the_password_by_another_way() {
    both(|profile| {
        wire::set(Wire::Direct, Cut::Together);
        let slots = known(profile, with_plain(), unbound(), &Offer::of(&[SCRAM, "PLAIN"])).slots();
        for other in [Wire::StartTls, Wire::WebSocket, Wire::Bosh] {
            wire::set(other, Cut::Together);
            let config = lasting(account(with_plain()));
            let login = Login::restored(profile, config, &slots, unbound(), &Offer::of(&["PLAIN"]));
            assert_downgrade(&login, Pinned::Scram, &["PLAIN"], "another transport");
        }
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
fn pins_that_are_damaged_or_of_another_account_are_refused_aloud() {
    let first = known(One, with_plain(), unbound(), &Offer::of(&[SCRAM, "PLAIN"]));
    let pins = first.slots().remove(&Slot::Pins).unwrap();
    for at in 0..pins.len() {
        let mut damaged = pins.clone();
        damaged[at] ^= 0x10;
        let mut play = crate::harness::Play::idle(lasting(account(with_plain())), [1; 32]);
        let (slot, bytes) = (Slot::Pins, epode::Secret::new(damaged));
        let result = play.input(Input::Restore { slot, bytes });
        assert!(matches!(result, Err(Refused::Snapshot(_))), "byte {at}: {result:?}");
    }
    let other = crate::harness::of("other@example.org")
        .credentials(epode::Credentials::password(PASSWORD))
        .persist(Persist::EveryTurn);
    let mut play = crate::harness::Play::idle(other.build().unwrap(), [1; 32]);
    let (slot, bytes) = (Slot::Pins, epode::Secret::new(pins));
    let result = play.input(Input::Restore { slot, bytes });
    assert!(matches!(result, Err(Refused::Snapshot(_))), "{result:?}");
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
