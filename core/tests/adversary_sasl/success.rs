//! What a success of SASL2 says beyond success, and what it must not: another account, a session that nobody asked for
//! (XEP-0388 §2.6, XEP-0386, XEP-0198).

use epode::config::{ConfigBuilder, MechanismPolicy, StreamManagement};
use epode::error::{LoginError, PeerMisbehaved, SaslError, Warning};
use epode::{Config, Credentials, Event, Input, Offline, SaslProfile};

use crate::harness::{BIND, PASSWORD, Play, base64, bound, of};
use crate::server::{Login, Offer, SCRAM, Slots, Two, everywhere, lasting, quick, success, unbound};
use crate::wire::Wire;

const BIND2: &str = "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/>\
                     <feature var='urn:xmpp:sm:3'/></inline></bind><sm xmlns='urn:xmpp:sm:3'/>";
const BOUND: &str = "<bound xmlns='urn:xmpp:bind:0'/>";
const MANAGED: &str = "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='sm1' resume='true'/></bound>";

fn plain_offer() -> Offer<'static> {
    Offer::of(&[SCRAM])
}

fn bind2() -> Offer<'static> {
    plain_offer().inline(BIND2)
}

fn builder() -> ConfigBuilder {
    quick(MechanismPolicy::default())
}

fn config() -> Config {
    lasting(builder())
}

fn identity(jid: &str) -> String {
    format!("<authorization-identifier>{jid}</authorization-identifier>")
}

/// SCRAM, and then a success with the right proof and this.
fn succeeded(config: Config, offer: &Offer<'_>, more: &str) -> Login {
    let mut login = Login::new(Two, config, offer);
    finish(&mut login, more);
    login
}

fn finish(login: &mut Login, more: &str) {
    let proof = login.scram();
    login.succeed_as(Some(&proof), more);
}

/// On every transport.
fn anywhere(test: impl Fn()) {
    everywhere(|profile| {
        if profile == Two {
            test();
        }
    });
}

fn features() -> &'static str {
    "<stream:features/>"
}

fn asked_for(login: &Login, name: &str) -> bool {
    let start = login.starts().pop().unwrap();
    start.children().any(|child| child.name() == name)
}

/// Online by Bind 2, with a session that can be resumed.
fn managed() -> Login {
    let mut login = Login::new(Two, config(), &bind2());
    assert!(asked_for(&login, "bind"));
    finish(&mut login, &(identity("user@example.org/epode/1") + MANAGED));
    login.answer(features());
    login.assert_online("Bind 2");
    login
}

/// The same, that wants to go on over another link.
fn resuming() -> Login {
    let mut login = managed();
    login.again(unbound(), &bind2());
    let start = login.starts().pop().unwrap();
    let resume = start
        .children()
        .find(|child| child.name() == "resume")
        .expect("no resume");
    assert_eq!(resume.to_element().attribute("previd"), Some("sm1"));
    login
}

fn onlines(play: &Play) -> Vec<(String, bool)> {
    let onlines = play.events.iter().filter_map(|event| match event {
        Event::Online { jid, resumed, .. } => Some((jid.to_string(), *resumed)),
        _ => None,
    });
    onlines.collect()
}

// ---- row 71: who has logged in

#[test]
fn an_account_that_is_not_ours_is_never_taken_on() {
    anywhere(|| {
        for other in [
            "other@example.org",
            "user@example.net",
            "user@example.org.evil.example",
            "example.org",
            "user.@example.org",
            "\u{443}ser@example.org",
            "other@example.org/r",
        ] {
            let login = succeeded(config(), &plain_offer(), &identity(other));
            let reason = login.refused(other);
            assert!(
                matches!(&reason, Offline::Login(LoginError::UnexpectedIdentity { bound }) if bound == other),
                "{other}: {reason:?}"
            );
        }
        for none in [
            String::new(),
            identity(""),
            identity("@"),
            identity("user@"),
            identity("user@example.org/"),
            identity("<x/>"),
            identity(&"x".repeat(1_200)),
            "<authorization-identity>user@example.org</authorization-identity>".to_owned(),
            "<authorization-identifier xmlns='urn:example:other'>user@example.org</authorization-identifier>"
                .to_owned(),
            format!("<x xmlns='urn:example:other'>{}</x>", identity("user@example.org")),
        ] {
            let login = succeeded(config(), &plain_offer(), &none);
            let reason = login.refused(&none);
            assert_eq!(
                reason,
                Offline::Misbehaved(PeerMisbehaved::AuthorizationIdentifier),
                "{none}"
            );
        }
    });
}

#[test]
fn whoever_was_proved_is_whoever_has_logged_in() {
    for (credentials, mechanism) in [
        (Credentials::certificate("user", None), "EXTERNAL"),
        (Credentials::password(PASSWORD), "PLAIN"),
        (Credentials::access_token("t0ken"), "OAUTHBEARER"),
    ] {
        let policy = MechanismPolicy {
            allow_plain: true,
            ..MechanismPolicy::default()
        };
        let config = of("user@example.org").credentials(credentials).mechanisms(policy);
        let mut login = Login::new(Two, config.build().unwrap(), &Offer::of(&[mechanism]));
        login.succeed_as(None, &identity("other@example.org"));
        let reason = login.reason();
        assert!(
            matches!(&reason, Offline::Login(LoginError::UnexpectedIdentity { .. })),
            "{mechanism}: {reason:?}"
        );
        assert!(onlines(&login).is_empty(), "{mechanism}");
    }
}

#[test]
fn two_accounts_are_no_account() {
    let (ours, other) = (identity("user@example.org"), identity("other@example.org"));
    for both in [format!("{ours}{other}"), format!("{other}{ours}")] {
        succeeded(config(), &plain_offer(), &both).refused(&both);
    }
}

#[test]
fn an_account_is_compared_as_an_address() {
    let mut login = succeeded(config(), &plain_offer(), &identity("USER@EXAMPLE.org"));
    login.bind();
    assert_eq!(login.online().3, Some(SaslProfile::Sasl2));
}

#[test]
fn a_guest_is_whom_the_server_says_but_of_this_server() {
    let guest = || of("example.org").credentials(Credentials::Anonymous).build().unwrap();
    for (jid, welcome) in [
        ("x7@example.org", true),
        ("x7@example.net", false),
        ("example.net", false),
    ] {
        let mut login = Login::new(Two, guest(), &Offer::of(&["ANONYMOUS"]));
        login.succeed_as(None, &identity(jid));
        if welcome {
            login.answer(BIND);
            let id = login.iq_id();
            login.answer(&bound(&id, "<jid>x7@example.org/r</jid>"));
            assert_eq!(onlines(&login), [("x7@example.org/r".to_owned(), false)]);
        } else {
            login.refused(jid);
        }
    }
}

// ---- Bind 2

#[test]
fn a_resource_comes_with_bind_2_or_not_at_all() {
    anywhere(|| {
        let mut login = Login::new(Two, config(), &bind2());
        assert!(asked_for(&login, "bind"));
        finish(&mut login, &(identity("user@example.org/epode/1") + BOUND));
        login.answer(features());
        assert_eq!(onlines(&login), [("user@example.org/epode/1".to_owned(), false)]);
        assert_eq!(login.count("iq"), 0);
        // Bound, and to nothing.
        let login = succeeded(config(), &bind2(), &(identity("user@example.org") + BOUND));
        let reason = login.refused("no resource");
        assert!(
            matches!(
                reason,
                Offline::Misbehaved(PeerMisbehaved::AuthorizationIdentifier | PeerMisbehaved::BoundJid)
            ),
            "{reason:?}"
        );
        // Bound as somebody else.
        let login = succeeded(config(), &bind2(), &(identity("other@example.org/epode/1") + BOUND));
        let reason = login.refused("somebody else");
        assert!(
            matches!(reason, Offline::Login(LoginError::UnexpectedIdentity { .. })),
            "{reason:?}"
        );
        // Without a word on binding nothing is bound.
        for not_bound in [
            "",
            "<failed xmlns='urn:xmpp:sm:3'/>",
            "<bound xmlns='urn:example:other'/>",
            "<x xmlns='urn:example:other'><bound xmlns='urn:xmpp:bind:0'/></x>",
        ] {
            let mut login = succeeded(config(), &bind2(), &(identity("user@example.org/epode/1") + not_bound));
            if !login.is_over() {
                login.answer(features());
            }
            assert!(onlines(&login).is_empty(), "{not_bound}: {:?}", login.events);
        }
    });
}

#[test]
fn what_nobody_asked_for_changes_nothing_or_ends_the_login() {
    // One resource is wanted, so Bind 2 is not asked for, and what it would say counts for nothing.
    let named = lasting(
        of("user@example.org/mine")
            .credentials(Credentials::password(PASSWORD))
            .mechanisms(MechanismPolicy::default()),
    );
    let mut login = Login::new(Two, named, &bind2());
    assert!(!asked_for(&login, "bind"));
    finish(&mut login, &(identity("user@example.org/epode/1") + BOUND));
    if !login.is_over() {
        login.answer(BIND);
        assert!(onlines(&login).is_empty(), "{:?}", login.events);
        let id = login.iq_id();
        login.answer(&bound(&id, "<jid>user@example.org/mine</jid>"));
        assert_eq!(onlines(&login), [("user@example.org/mine".to_owned(), false)]);
    }
    // An offer without Bind 2, and a success with it.
    let mut login = succeeded(
        config(),
        &plain_offer(),
        &(identity("user@example.org/epode/1") + MANAGED),
    );
    if !login.is_over() {
        login.answer(features());
    }
    assert!(onlines(&login).is_empty(), "{:?}", login.events);
    // Stream management that is switched off stays so.
    let off = StreamManagement {
        enabled: false,
        ..StreamManagement::default()
    };
    let offer = bind2();
    let mut login = Login::new(Two, lasting(builder().stream_management(off)), &offer);
    finish(&mut login, &(identity("user@example.org/epode/1") + MANAGED));
    if !login.is_over() {
        login.answer(features());
        login.assert_online("without stream management");
        login.again(unbound(), &offer);
        assert!(!asked_for(&login, "resume"));
    }
    // Other things are not for us.
    let other = "<x xmlns='urn:example:other'/><message xmlns='jabber:client'><body>hi</body></message>";
    let mut login = succeeded(
        config(),
        &bind2(),
        &(identity("user@example.org/epode/1") + BOUND + other),
    );
    if !login.is_over() {
        login.answer(features());
        login.assert_online("with more");
    }
    assert!(login.stanzas().is_empty(), "{:?}", login.events);
}

// ---- resumption

#[test]
fn a_resumption_that_nobody_asked_for_is_a_protocol_error() {
    anywhere(|| {
        let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>";
        for offer in [plain_offer(), bind2()] {
            let login = succeeded(config(), &offer, &(identity("user@example.org/r") + resumed));
            let reason = login.refused("resumed");
            assert!(matches!(reason, Offline::Misbehaved(_)), "{reason:?}");
        }
    });
}

#[test]
fn a_session_goes_on_only_if_it_is_ours() {
    anywhere(|| {
        if crate::wire::now().0 == Wire::Bosh {
            return;
        }
        let ours = identity("user@example.org/epode/1");
        let mut login = resuming();
        finish(
            &mut login,
            &(ours.clone() + "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>"),
        );
        assert_eq!(onlines(&login), [("user@example.org/epode/1".to_owned(), true)]);
        for (more, case) in [
            (
                ours.clone() + "<resumed xmlns='urn:xmpp:sm:3' previd='sm2' h='0'/>",
                "another session",
            ),
            (ours.clone() + "<resumed xmlns='urn:xmpp:sm:3' h='0'/>", "no session"),
            (
                ours.clone() + "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='9'/>",
                "more than was sent",
            ),
            (
                ours.clone() + "<resumed xmlns='urn:xmpp:sm:3' previd='sm1'/>",
                "no count",
            ),
            (
                ours.clone() + "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='-1'/>",
                "no number",
            ),
            (
                identity("other@example.org/epode/1") + "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>",
                "somebody else",
            ),
            (
                "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>".to_owned(),
                "nobody",
            ),
        ] {
            let mut login = resuming();
            finish(&mut login, &more);
            assert!(onlines(&login).is_empty(), "{case}: {:?}", login.events);
            assert!(login.is_over(), "{case}: {:?}", login.events);
        }
    });
}

#[test]
fn a_resumed_session_has_no_features_and_binds_nothing() {
    let resumed = identity("user@example.org/epode/1") + "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>";
    for late in [
        bind2().features(Two),
        plain_offer().features(crate::server::One),
        BIND.to_owned(),
    ] {
        let mut login = resuming();
        finish(&mut login, &resumed);
        let starts = login.starts().len();
        login.answer(&late);
        assert_eq!(login.starts().len(), starts, "{late}: no login after the login");
        assert_eq!(login.count("iq"), 0, "{late}: nothing is bound");
        assert_eq!(onlines(&login).len(), 1, "{late}");
    }
}

#[test]
fn a_session_that_is_lost_gives_a_new_one_or_none() {
    let full = identity("user@example.org/epode/2");
    let failed = "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    let mut login = resuming();
    finish(&mut login, &format!("{full}{failed}{MANAGED}"));
    login.answer(features());
    assert_eq!(onlines(&login), [("user@example.org/epode/2".to_owned(), false)]);
    let lost = |warning: &Warning| matches!(warning, Warning::NotResumed { .. });
    assert!(login.warnings().iter().any(lost), "{:?}", login.events);
    // Neither the old one nor a new one.
    for more in [format!("{full}{failed}"), full.clone()] {
        let mut login = resuming();
        finish(&mut login, &more);
        if !login.is_over() {
            login.answer(features());
        }
        assert!(onlines(&login).is_empty(), "{more}: {:?}", login.events);
    }
}

#[test]
fn nothing_inside_a_success_counts_before_the_servers_proof() {
    anywhere(|| {
        if crate::wire::now().0 == Wire::Bosh {
            return;
        }
        let ours = identity("user@example.org/epode/1");
        let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>";
        for data in [None, Some("v=AAAA"), Some("")] {
            let mut login = resuming();
            login.scram();
            login.succeed_as(data, &format!("{ours}{resumed}"));
            login.error("resumed without proof");
            let mut login = Login::new(Two, config(), &bind2());
            login.scram();
            login.succeed_as(data, &format!("{ours}{MANAGED}"));
            login.error("bound without proof");
            assert!(onlines(&login).is_empty());
        }
        // Two proofs are none, whichever stands first.
        for wrong_first in [true, false] {
            let mut login = Login::new(Two, config(), &plain_offer());
            let right = base64(login.scram());
            let wrong = base64("v=AAAA");
            let (first, second) = if wrong_first { (wrong, right) } else { (right, wrong) };
            let data = format!("<additional-data>{second}</additional-data>");
            login.answer(&success(
                Some(&first),
                &format!("{data}{}", identity("user@example.org")),
            ));
            login.refused("two proofs");
        }
        // Data in another namespace is no data.
        let mut login = Login::new(Two, config(), &plain_offer());
        let proof = base64(login.scram());
        let data = format!("<additional-data xmlns='urn:example:other'>{proof}</additional-data>");
        login.succeed_as(None, &format!("{data}{}", identity("user@example.org")));
        assert_eq!(login.error("no data"), SaslError::MissingServerProof);
    });
}

// ---- after the success

#[test]
fn a_login_is_done_once_whatever_is_offered_later() {
    anywhere(|| {
        let mut login = succeeded(config(), &plain_offer(), &identity("user@example.org"));
        let both = plain_offer().features_of(&[crate::server::One, Two]);
        let bind = BIND.replace("<stream:features>", "").replace("</stream:features>", "");
        login.answer(&both.replace("</stream:features>", &format!("{bind}</stream:features>")));
        assert_eq!(login.starts().len(), 1);
        if !login.is_over() {
            let id = login.iq_id();
            login.answer(&bound(&id, "<jid>user@example.org/r</jid>"));
            login.assert_online("offered again");
        }
        assert_eq!(login.starts().len(), 1);
    });
}

#[test]
fn nothing_is_delivered_before_there_is_a_resource() {
    anywhere(|| {
        let fake = "<message xmlns='jabber:client' from='a@example.org'><body>hi</body></message>";
        let mut login = succeeded(config(), &plain_offer(), &identity("user@example.org"));
        login.answer(fake);
        let reason = login.refused("a message");
        assert!(matches!(reason, Offline::Misbehaved(_)), "{reason:?}");
    });
}

#[test]
fn the_stream_goes_on_as_it_was() {
    // XEP-0388 §2.6.1: no restart. A new header is a second stream.
    let mut login = succeeded(config(), &plain_offer(), &identity("user@example.org"));
    assert_eq!(login.streams, 1);
    let header = login.wire.header("version='1.0' id='s2' from='example.org'");
    login.raw(&header);
    let reason = login.refused("a restart");
    assert!(matches!(reason, Offline::Misbehaved(_)), "{reason:?}");
    // Nor does the client begin one, nor wait for ever.
    let mut login = succeeded(config(), &plain_offer(), &identity("user@example.org"));
    login.wait(120_000);
    assert!(!login.is_online());
    assert_eq!(login.streams, login.connects.len());
    assert_eq!(login.starts().len(), login.connects.len());
}

#[test]
fn a_stored_session_is_not_resumed_as_somebody_else() {
    let slots: Slots = managed().slots();
    let other = of("other@example.org").credentials(Credentials::password(PASSWORD));
    let mut play = Play::idle(lasting(other), [5; 32]);
    for (slot, bytes) in &slots {
        let (slot, bytes) = (*slot, epode::Secret::new(bytes.clone()));
        assert!(play.input(Input::Restore { slot, bytes }).is_err(), "{slot:?}");
    }
}
