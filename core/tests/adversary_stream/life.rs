//! The life of a stream after the login: goodbyes, silence, a host that does not read, networks, and what follows a loss.

use std::time::Duration;

use epode::config::{ConfigBuilder, Liveness, Reconnect, ReconnectWhen};
use epode::error::{ConnectionError, IqError, LoginError, WaitingFor};
use epode::{Config, Element, Event, Failure, Input, Instant, Network, Offline, Stage, TcpTls, Timer};

use crate::harness::{Play, build, mechanisms, sasl, with_certificate};
use crate::streams::{HELLO, TCP, assert_closed, everywhere, last_wire, log_in, managed, on, persistent, verified};
use crate::wire::Wire;

fn stop(play: &mut Play) {
    play.input(Input::Stop).unwrap();
}

fn ended(play: &mut Play) {
    play.input(Input::Ended { link: play.link }).unwrap();
}

fn failed(play: &mut Play, reason: Failure) {
    let link = play.link;
    play.input(Input::Failed {
        link,
        request: None,
        reason,
    })
    .unwrap();
}

fn chat(play: &mut Play) {
    let stanza = epode::stanza::chat(&"a@example.net".parse().unwrap(), "hi").unwrap();
    play.input(Input::Send { stanza }).unwrap();
}

fn interruptions(play: &Play) -> Vec<(Offline, Option<Instant>, bool)> {
    let interruption = |event: &Event| match event {
        Event::Interrupted {
            reason,
            retry_at,
            resumable,
        } => Some((reason.clone(), *retry_at, *resumable)),
        Event::Writable | _ => None,
    };
    play.events.iter().filter_map(interruption).collect()
}

// ---- goodbyes (RFC 6120 §4.4, RFC 7395 §3.6)

#[test]
fn the_goodbye_is_said_and_answered() {
    everywhere(|| {
        let mut play = Play::online();
        let before = play.posts.len();
        stop(&mut play);
        let said: String = play.posts[before..].concat();
        assert!(
            said.starts_with("<presence") && said.contains("type='unavailable'"),
            "{said}"
        );
        assert!(said.ends_with(play.wire.close()) && !play.is_over(), "{said}");
        // What was on its way is still heard.
        play.answer(HELLO);
        assert_eq!(play.stanzas().len(), 1);
        play.answer(play.wire.close());
        assert_eq!(play.reason(), Offline::Stopped);
        play
    });
}

#[test]
fn a_goodbye_that_is_not_answered_is_waited_for_in_vain_for_five_seconds() {
    everywhere(|| {
        let mut play = Play::online();
        stop(&mut play);
        assert_eq!(
            play.deadline(),
            Some((Instant::from_millis(play.now + 5_000), Timer::Close))
        );
        play.wait(4_999);
        assert!(!play.is_over());
        play.wait(1);
        assert_eq!(play.reason(), Offline::Stopped);
        play
    });
    // The connection ends instead.
    everywhere(|| {
        let mut play = Play::online();
        stop(&mut play);
        ended(&mut play);
        assert_eq!(play.reason(), Offline::Stopped);
        play
    });
}

#[test]
fn a_goodbye_of_the_servers_is_answered() {
    everywhere(|| {
        let mut play = Play::started(persistent());
        log_in(&mut play, crate::harness::BIND);
        play.answer(&crate::harness::bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        play.answer(play.wire.close());
        assert_closed(&play, "the server left");
        assert!(
            matches!(&interruptions(&play)[..], [(Offline::Ended(_), Some(_), false)]),
            "{:?}",
            play.events
        );
        play
    });
}

#[test]
fn whoever_leaves_early_is_gone_at_once_or_after_the_goodbye() {
    everywhere(|| {
        let mut play = Play::started(persistent());
        stop(&mut play);
        assert_eq!(play.reason(), Offline::Stopped);
        assert_eq!(last_wire(&play), "[closed]");
        play
    });
    everywhere(|| {
        let mut play = Play::offered(persistent(), &["EXTERNAL"]);
        stop(&mut play);
        assert!(last_wire(&play).trim_end().ends_with(play.wire.close()));
        // The login does not matter any more.
        play.answer(&sasl("success", ""));
        play.answer(play.wire.close());
        assert_eq!(play.reason(), Offline::Stopped);
        play
    });
    everywhere(|| {
        let mut play = managed(persistent());
        ended(&mut play);
        chat(&mut play);
        stop(&mut play);
        assert_eq!(play.reason(), Offline::Stopped);
        let stage = Stage::Failed;
        assert!(
            play.events
                .iter()
                .any(|event| matches!(event, Event::Delivery { stage: known, .. } if *known == stage))
        );
        play
    });
}

#[test]
fn the_last_word_of_a_managed_stream_is_its_count() {
    everywhere(|| {
        let mut play = managed(persistent());
        play.answer(HELLO);
        chat(&mut play);
        let before = play.posts.len();
        stop(&mut play);
        let said = play.posts[before..].concat();
        let [count, question, goodbye] = [
            "<a xmlns='urn:xmpp:sm:3' h='1'/>",
            "<r xmlns='urn:xmpp:sm:3'/>",
            play.wire.close(),
        ]
        .map(|word| said.find(word));
        assert!(count.is_some() && count < question && question < goodbye, "{said}");
        play.answer("<a xmlns='urn:xmpp:sm:3' h='2'/>");
        let acked = |event: &Event| {
            matches!(
                event,
                Event::Delivery {
                    stage: Stage::Acked,
                    ..
                }
            )
        };
        assert_eq!(
            play.events.iter().filter(|event| acked(event)).count(),
            1,
            "{:?}",
            play.events
        );
        play.answer(play.wire.close());
        assert_eq!(play.reason(), Offline::Stopped);
        play
    });
}

// ---- silence

fn with_liveness(liveness: Liveness) -> Config {
    build(with_certificate().reconnect(Reconnect::default()).liveness(liveness))
}

#[test]
fn a_silent_server_is_asked_and_then_left() {
    everywhere(|| {
        let mut play = managed(persistent());
        let heard = play.now;
        let before = play.posts.len();
        play.wait(299_999);
        assert_eq!(play.posts.len(), before);
        play.wait(1);
        assert_eq!(play.posts[before..].concat(), "<r xmlns='urn:xmpp:sm:3'/>");
        play.wait(29_999);
        assert!(interruptions(&play).is_empty());
        play.wait(1);
        let waiting_for = WaitingFor::Life;
        let reason = Offline::Connection(ConnectionError::Timeout { waiting_for });
        let [(why, Some(at), true)] = &interruptions(&play)[..] else {
            panic!("{:?}", play.events);
        };
        assert_eq!(*why, reason);
        let now = heard + 330_000;
        assert!((now + 500..=now + 1_000).contains(&at.as_millis()), "{at:?}");
        // A goodbye would end what is to be resumed.
        assert!(!play.wires.values().next().unwrap().contains(play.wire.close()));
        play.until_next_link();
        play
    });
    // Without XEP-0198 it is pinged.
    everywhere(|| {
        let mut play = Play::online();
        play.wait(300_000);
        assert!(play.posts.last().unwrap().contains("<ping xmlns='urn:xmpp:ping'/>"));
        play.wait(30_000);
        let waiting_for = WaitingFor::Life;
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::Timeout { waiting_for })
        );
        assert_closed(&play, "dead");
        play
    });
}

#[test]
fn any_sign_of_life_will_do() {
    for sign in [HELLO, "<a xmlns='urn:xmpp:sm:3' h='0'/>", "<r xmlns='urn:xmpp:sm:3'/>"] {
        everywhere(|| {
            let mut play = managed(persistent());
            play.wait(310_000);
            play.answer(sign);
            let at = play.now;
            play.wait(299_999);
            assert!(interruptions(&play).is_empty(), "{sign}");
            assert_eq!(play.deadline().unwrap().0, Instant::from_millis(at + 300_000), "{sign}");
            play
        });
    }
    on(&TCP, || {
        let mut play = managed(persistent());
        play.wait(310_000);
        play.raw(" ");
        play.wait(60_000);
        assert!(interruptions(&play).is_empty(), "white space");
        play
    });
}

#[test]
fn a_silent_client_says_something_that_means_nothing() {
    let liveness = Liveness {
        ask_after: None,
        keep_alive_after: Some(Duration::from_secs(30)),
        ..Liveness::default()
    };
    everywhere(|| {
        let mut play = managed(with_liveness(liveness));
        let before = play.posts.len();
        play.wait(60_000);
        let meaningless = if play.wire == Wire::WebSocket {
            "<r xmlns='urn:xmpp:sm:3'/>"
        } else {
            " "
        };
        assert!(play.posts.len() > before);
        assert!(
            play.posts[before..].iter().all(|post| post == meaningless),
            "{:?}",
            &play.posts[before..]
        );
        play
    });
    // A word that means something does as well.
    on(&TCP, || {
        let mut play = managed(with_liveness(liveness));
        play.wait(20_000);
        chat(&mut play);
        play.answer("<a xmlns='urn:xmpp:sm:3' h='1'/>");
        let before = play.posts.len();
        play.wait(29_900);
        assert_eq!(play.posts.len(), before, "{:?}", &play.posts[before..]);
        play.wait(200);
        assert_eq!(play.posts[before..], [" ".to_owned()]);
        play
    });
}

#[test]
fn nothing_is_waited_for_while_nobody_reads() {
    // In the login.
    everywhere(|| {
        let mut play = Play::offered(persistent(), &["EXTERNAL"]);
        let link = play.link;
        play.input(Input::Reading { link, reading: false }).unwrap();
        assert_eq!(play.deadline(), None);
        play.wait(600_000);
        play.input(Input::Reading { link, reading: true }).unwrap();
        assert!(!play.is_over());
        play.wait(29_000);
        assert!(!play.is_over());
        play.wait(1_100);
        let waiting_for = WaitingFor::Login;
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::Timeout { waiting_for })
        );
        play
    });
    // Later.
    everywhere(|| {
        let mut play = managed(persistent());
        let link = play.link;
        let query = Element::builder("jabber:iq:version", "query");
        let iq = epode::stanza::get("a@example.net".parse().ok().as_ref(), query).unwrap();
        play.input(Input::Request { iq, timeout: None }).unwrap();
        play.input(Input::Reading { link, reading: false }).unwrap();
        play.wait(3_600_000);
        play.input(Input::Reading { link, reading: true }).unwrap();
        play.input(Input::Tick).unwrap();
        assert!(interruptions(&play).is_empty(), "{:?}", play.events);
        let done = |event: &Event| {
            matches!(
                event,
                Event::IqDone {
                    result: Err(IqError::Timeout),
                    ..
                }
            )
        };
        assert!(!play.events.iter().any(done), "{:?}", play.events);
        play.wait(61_000);
        assert!(play.events.iter().any(done));
        play
    });
}

// ---- networks

#[test]
fn without_a_network_nothing_is_tried() {
    everywhere(|| {
        let mut play = managed(persistent());
        play.input(Input::Network(Network::Down)).unwrap();
        let reason = Offline::Connection(ConnectionError::NetworkChanged);
        assert_eq!(interruptions(&play), [(reason, None, true)]);
        assert_eq!(play.deadline(), None);
        play.wait(3_600_000);
        assert_eq!(play.connects.len(), 1);
        play.input(Input::Network(Network::Up)).unwrap();
        assert_eq!(play.connects.len(), 2);
        play
    });
    // Before the first link, too.
    everywhere(|| {
        let mut play = Play::idle(persistent(), [1; 32]);
        play.input(Input::Network(Network::Down)).unwrap();
        play.input(Input::Start).unwrap();
        assert!(play.connects.is_empty() && play.deadline().is_none());
        play.input(Input::Network(Network::Up)).unwrap();
        assert_eq!(play.connects.len(), 1);
        play
    });
}

#[test]
fn on_another_network_the_link_is_checked() {
    everywhere(|| {
        let mut play = managed(persistent());
        play.input(Input::Network(Network::Changed)).unwrap();
        play.input(Input::Tick).unwrap();
        assert!(
            play.posts.last().unwrap().contains("<r xmlns='urn:xmpp:sm:3'/>"),
            "{:?}",
            play.posts.last()
        );
        play.answer("<a xmlns='urn:xmpp:sm:3' h='0'/>");
        play.wait(60_000);
        assert!(interruptions(&play).is_empty());
        play.input(Input::Network(Network::Changed)).unwrap();
        play.wait(30_000);
        assert_eq!(interruptions(&play).len(), 1, "{:?}", play.events);
        play
    });
    // A retry that waits begins at once.
    everywhere(|| {
        let mut play = managed(persistent());
        ended(&mut play);
        play.input(Input::Network(Network::Changed)).unwrap();
        assert_eq!(play.connects.len(), 2);
        play
    });
    // A login that is under way is begun again.
    everywhere(|| {
        let always = Reconnect {
            when: ReconnectWhen::Always,
            ..Reconnect::default()
        };
        let mut play = Play::offered(build(with_certificate().reconnect(always)), &["EXTERNAL"]);
        play.input(Input::Network(Network::Changed)).unwrap();
        play.input(Input::Tick).unwrap();
        assert_eq!(play.connects.len(), 2);
        play
    });
}

// ---- where and when

fn two_places() -> ConfigBuilder {
    with_certificate().tcp("other.example.net", 5222, TcpTls::Direct)
}

#[test]
fn while_there_is_another_place_the_first_gets_less_time() {
    everywhere(|| {
        let mut play = Play::started(build(two_places()));
        play.wait(7_999);
        assert_eq!(play.connects.len(), 1);
        play.wait(1);
        assert_eq!(play.connects.len(), 2, "eight seconds, then the next");
        assert!(play.events.is_empty(), "it is no news yet");
        play.wait(29_999);
        assert!(!play.is_over());
        play.wait(1);
        let waiting_for = WaitingFor::Link;
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::Timeout { waiting_for })
        );
        play
    });
    everywhere(|| {
        let mut play = Play::started(build(two_places()));
        failed(&mut play, Failure::Refused);
        assert_eq!(play.connects.len(), 2);
        failed(&mut play, Failure::Refused);
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::Failed(Failure::Refused))
        );
        play
    });
    // The one that worked is tried first the next time.
    on(&[Wire::Direct], || {
        let mut play = Play::started(build(two_places().reconnect(Reconnect::default())));
        failed(&mut play, Failure::Refused);
        log_in(&mut play, crate::harness::BIND);
        play.answer(&crate::harness::bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        ended(&mut play);
        play.until_next_link();
        assert_eq!(play.connects[2], play.connects[1]);
        play
    });
}

#[test]
fn retries_come_later_and_later_and_not_at_the_same_time() {
    everywhere(|| {
        let mut play = managed(persistent());
        ended(&mut play);
        let mut longest = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 120_000, 120_000].into_iter();
        for most in longest.by_ref() {
            let (at, timer) = play.deadline().unwrap();
            assert_eq!(timer, Timer::Reconnect);
            let pause = at.as_millis() - play.now;
            assert!((most / 2..=most).contains(&pause), "{pause} of {most}");
            assert_eq!(interruptions(&play).last().unwrap().1, Some(at), "as it was told");
            play.until_next_link();
            assert_eq!(play.now, at.as_millis());
            failed(&mut play, Failure::Refused);
        }
        // A login, and it begins anew.
        play.until_next_link();
        log_in(&mut play, crate::harness::BIND);
        play.answer(&crate::harness::bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        ended(&mut play);
        let pause = play.deadline().unwrap().0.as_millis() - play.now;
        assert!((500..=1_000).contains(&pause), "{pause}");
        play
    });
}

#[test]
fn enough_attempts_are_enough() {
    everywhere(|| {
        let three = Reconnect {
            attempts: Some(3),
            when: ReconnectWhen::Always,
            ..Reconnect::default()
        };
        let mut play = Play::started(build(with_certificate().reconnect(three)));
        for _ in 0..2 {
            failed(&mut play, Failure::Refused);
            play.until_next_link();
        }
        failed(&mut play, Failure::Refused);
        assert!(play.is_over());
        assert_eq!((play.connects.len(), interruptions(&play).len()), (3, 2));
        play
    });
}

#[test]
fn a_first_login_that_fails_is_told_and_not_tried_again() {
    everywhere(|| {
        let mut play = Play::started(persistent());
        failed(&mut play, Failure::Refused);
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::Failed(Failure::Refused))
        );
        play
    });
    // Nor is one that would fail again.
    everywhere(|| {
        let mut play = managed(persistent());
        ended(&mut play);
        play.until_next_link();
        play.connect(verified());
        play.answer(&mechanisms(&["EXTERNAL"]));
        play.answer(&sasl("failure", "<not-authorized/>"));
        assert!(matches!(play.reason(), Offline::Login(LoginError::Refused { .. })));
        play
    });
}

#[test]
fn some_ends_are_final_and_others_pass() {
    for (condition, is_final) in [
        ("conflict", true),
        ("not-authorized", true),
        ("policy-violation", true),
        ("host-unknown", true),
        ("system-shutdown", false),
        ("reset", false),
        ("connection-timeout", false),
        ("resource-constraint", false),
        ("internal-server-error", false),
    ] {
        everywhere(|| {
            let mut play = managed(persistent());
            play.answer(&format!(
                "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
            ));
            assert_eq!(play.is_over(), is_final, "{condition}: {:?}", play.events);
            assert_closed(&play, condition);
            play
        });
    }
}
