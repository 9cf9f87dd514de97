//! Acknowledgements and resumption with a server that counts wrongly, floods, or resumes what it must not (XEP-0198).

use std::time::Duration;

use epode::config::{Acknowledge, Limits, StreamManagement};
use epode::error::{IqError, PeerMisbehaved, Warning};
use epode::{Element, Event, Input, Offline, Refused, Stage, Token};

use crate::harness::{BIND, Play, bound, build, mechanisms, sasl, with_certificate};
use crate::streams::{
    ENABLED, HELLO, MANAGED, STREAMS, assert_error, everywhere, however_cut, last_wire, log_in, managed, persistent,
};
use crate::wire::{self, Cut};

fn chat(play: &mut Play) -> Token {
    let stanza = epode::stanza::chat(&"a@example.net".parse().unwrap(), "hi").unwrap();
    play.input(Input::Send { stanza }).unwrap().unwrap()
}

fn ask(play: &mut Play) -> Token {
    let query = Element::builder("jabber:iq:version", "query");
    let iq = epode::stanza::get("a@example.net".parse().ok().as_ref(), query).unwrap();
    play.input(Input::Request { iq, timeout: None }).unwrap().unwrap()
}

fn a(h: &str) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

/// What became of a stanza in the end; never twice.
fn fate(play: &Play, token: Token) -> Option<Stage> {
    let fates: Vec<Stage> = play
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Delivery { token: known, stage } if *known == token && *stage >= Stage::Acked => Some(*stage),
            Event::Writable | _ => None,
        })
        .collect();
    assert!(fates.len() <= 1, "{token}: {fates:?}");
    fates.first().copied()
}

fn cut(play: &mut Play) {
    play.input(Input::Ended { link: play.link }).unwrap();
}

/// The link breaks, and the client has logged in again and asks for its session.
fn resuming(play: &mut Play) {
    cut(play);
    play.until_next_link();
    log_in(play, MANAGED);
    assert!(
        last_wire(play).contains("<resume xmlns='urn:xmpp:sm:3' previd='sm-1'"),
        "{}",
        last_wire(play)
    );
}

fn resumed(play: &mut Play, h: &str) {
    play.answer(&format!("<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>"));
}

#[test]
fn a_count_that_cannot_be_ends_the_session() {
    for (h, is_count) in [
        ("3", true),
        ("4294967295", true),
        ("0", true),
        ("-1", false),
        ("+1", false),
        ("", false),
        ("x", false),
        ("4294967296", false),
        (" 1", false),
        ("1.0", false),
    ] {
        everywhere(|| {
            let mut play = managed(build(with_certificate()));
            let [first, second] = [chat(&mut play), chat(&mut play)];
            play.answer(&a("1"));
            assert_eq!(fate(&play, first), Some(Stage::Acked));
            play.answer(&a(h));
            let Offline::Misbehaved(error) = play.reason() else {
                panic!("{h}: {:?}", play.reason());
            };
            assert_eq!(
                matches!(error, PeerMisbehaved::HandledCount { sent: 2, .. }),
                is_count,
                "{h}: {error:?}"
            );
            assert_eq!(
                fate(&play, second),
                Some(Stage::Failed),
                "{h}: nobody knows whether it arrived"
            );
            if is_count {
                // XEP-0198 §4, beside the condition.
                let told =
                    format!("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='{h}' send-count='2'/></stream:error>");
                assert!(last_wire(&play).contains(&told), "{}", last_wire(&play));
            } else {
                assert_error(&play, "undefined-condition", h);
            }
            play
        });
    }
    everywhere(|| {
        let mut play = managed(build(with_certificate()));
        play.answer("<a xmlns='urn:xmpp:sm:3'/>");
        assert!(matches!(
            play.reason(),
            Offline::Misbehaved(PeerMisbehaved::StreamManagement { .. })
        ));
        play
    });
}

#[test]
fn only_what_was_sent_is_taken_off_the_queue() {
    everywhere(|| {
        let mut play = managed(persistent());
        let sent = chat(&mut play);
        play.answer(&a("1"));
        assert_eq!(fate(&play, sent), Some(Stage::Acked));
        // What waits for the next link was not sent: an acknowledgement of the old one says nothing about it.
        cut(&mut play);
        let waiting = chat(&mut play);
        play.until_next_link();
        log_in(&mut play, MANAGED);
        resumed(&mut play, "1");
        assert_eq!(fate(&play, waiting), None);
        assert_eq!(last_wire(&play).matches("<message").count(), 1);
        play.answer(&a("2"));
        assert_eq!(fate(&play, waiting), Some(Stage::Acked));
        play
    });
}

#[test]
fn a_flood_of_questions_gets_one_answer_for_each_input() {
    for wire in STREAMS {
        wire::set(wire, Cut::Together);
        let mut play = managed(build(with_certificate()));
        play.answer(&format!("{HELLO}{}", "<r xmlns='urn:xmpp:sm:3'/>".repeat(5_000)));
        let answers = last_wire(&play).matches("<a xmlns='urn:xmpp:sm:3' h='1'/>").count();
        // A message of a WebSocket is an input of its own.
        assert_eq!(answers, if wire.is_tcp() { 1 } else { 5_000 });
    }
}

#[test]
fn a_queue_that_is_never_acknowledged_is_bounded() {
    everywhere(|| {
        let limits = Limits {
            unacknowledged: 5,
            ..Limits::default()
        };
        let mut play = managed(build(with_certificate().limits(limits)));
        let tokens: Vec<Token> = (0..5).map(|_| chat(&mut play)).collect();
        let stanza = epode::stanza::chat(&"a@example.net".parse().unwrap(), "hi").unwrap();
        assert_eq!(play.input(Input::Send { stanza }), Err(Refused::Full));
        assert!(
            last_wire(&play).ends_with("<r xmlns='urn:xmpp:sm:3'/>")
                || last_wire(&play).ends_with("<r xmlns='urn:xmpp:sm:3'/>\n")
        );
        assert!(!play.events.contains(&Event::Writable));
        play.answer(&a("3"));
        assert!(play.events.contains(&Event::Writable));
        assert_eq!(fate(&play, tokens[2]), Some(Stage::Acked));
        chat(&mut play);
        play
    });
}

#[test]
fn the_resumption_of_another_session_is_refused() {
    for element in [
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-2' h='1'/>",
        "<resumed xmlns='urn:xmpp:sm:3' h='1'/>",
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='9'/>",
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1'/>",
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='x'/>",
        "<failed xmlns='urn:xmpp:sm:3' h='9'/>",
        "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true'/>",
        "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    ] {
        everywhere(|| {
            let mut play = managed(persistent());
            let [first, second] = [chat(&mut play), chat(&mut play)];
            play.answer(&a("1"));
            resuming(&mut play);
            play.answer(element);
            assert!(
                matches!(play.reason(), Offline::Misbehaved(_)),
                "{element}: {:?}",
                play.reason()
            );
            assert!(
                !last_wire(&play).contains("<message"),
                "{element}: nothing is sent into a wrong session"
            );
            assert_eq!(
                [fate(&play, first), fate(&play, second)],
                [Some(Stage::Acked), Some(Stage::Failed)],
                "{element}"
            );
            assert!(!play.is_online(), "{element}");
            play
        });
    }
}

#[test]
fn what_nobody_asked_for_is_a_protocol_error() {
    let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='0'/>";
    for element in [resumed, ENABLED, "<failed xmlns='urn:xmpp:sm:3'/>"] {
        for stage in 0..5 {
            everywhere(|| {
                let mut play = match stage {
                    0 => Play::connected(build(with_certificate())),
                    1 => Play::offered(build(with_certificate()), &["EXTERNAL"]),
                    2 => Play::binding(build(with_certificate())),
                    3 => Play::online(),
                    _ => managed(build(with_certificate())),
                };
                play.answer(element);
                assert!(
                    matches!(play.reason(), Offline::Misbehaved(_)),
                    "{stage} {element}: {:?}",
                    play.events
                );
                play
            });
        }
    }
}

#[test]
fn an_id_or_a_time_beyond_all_bounds_is_limited() {
    for (attributes, resumes) in [
        (format!("id='{}' resume='true'", "x".repeat(4_001)), false),
        (format!("id='{}' resume='true'", "x".repeat(4_000)), true),
        ("id='' resume='true'".to_owned(), false),
        ("resume='true'".to_owned(), false),
        ("id='x'".to_owned(), false),
        ("id='x' resume='true' max='99999999999999999999'".to_owned(), true),
        ("id='x' resume='true' max='-1'".to_owned(), true),
        (format!("id='x' resume='1' location='{}'", "x".repeat(2_000)), true),
    ] {
        everywhere(|| {
            let mut play = Play::started(persistent());
            log_in(&mut play, MANAGED);
            play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
            play.answer(&format!("<enabled xmlns='urn:xmpp:sm:3' {attributes}/>"));
            cut(&mut play);
            let told = play
                .events
                .iter()
                .any(|event| matches!(event, Event::Interrupted { resumable, .. } if *resumable == resumes));
            assert!(told, "{attributes}: {:?}", play.events);
            play.until_next_link();
            log_in(&mut play, MANAGED);
            assert_eq!(last_wire(&play).contains("<resume "), resumes, "{attributes}");
            play
        });
    }
    // More than an element may hold before it is even looked at.
    everywhere(|| {
        let mut play = Play::started(persistent());
        log_in(&mut play, MANAGED);
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        play.answer(&format!(
            "<enabled xmlns='urn:xmpp:sm:3' id='{}' resume='true'/>",
            "x".repeat(8_193)
        ));
        assert_error(&play, "policy-violation", "an id");
        play
    });
}

#[test]
fn another_account_gets_nothing_of_the_session() {
    // Whoever logs in is who the configuration names; a server that binds another account is left.
    everywhere(|| {
        let mut play = managed(persistent());
        let sent = chat(&mut play);
        resuming(&mut play);
        play.answer(
            "<failed xmlns='urn:xmpp:sm:3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
        );
        assert_eq!(fate(&play, sent), Some(Stage::Failed));
        play.answer(&bound(&play.iq_id(), "<jid>admin@example.org/r</jid>"));
        assert!(matches!(play.reason(), Offline::Login(_)), "{:?}", play.reason());
        assert!(!last_wire(&play).contains("<message"));
        play
    });
}

#[test]
fn a_session_that_goes_on_loses_and_repeats_nothing() {
    however_cut(|| {
        let mut play = managed(persistent());
        let [first, second] = [chat(&mut play), chat(&mut play)];
        let request = ask(&mut play);
        play.answer(HELLO);
        resuming(&mut play);
        assert!(last_wire(&play).contains(" h='1'"), "{}", last_wire(&play));
        play.events.clear();
        resumed(&mut play, "1");
        assert!(
            play.events
                .iter()
                .any(|event| matches!(event, Event::Online { resumed: true, .. }))
        );
        assert_eq!((fate(&play, first), fate(&play, second)), (Some(Stage::Acked), None));
        // The second message, and the request.
        let again = last_wire(&play).split("<resume ").nth(1).unwrap();
        assert_eq!(
            (again.matches("<message").count(), again.matches("<iq").count()),
            (1, 1),
            "{again}"
        );
        play.answer(&a("3"));
        assert_eq!(fate(&play, second), Some(Stage::Acked));
        let id = play.iq_id();
        play.answer(&format!(
            "<iq xmlns='jabber:client' type='result' id='{id}' from='a@example.net'/>"
        ));
        assert!(
            play.events
                .iter()
                .any(|event| matches!(event, Event::IqDone { token, result: Ok(_) } if *token == request))
        );
        play
    });
}

#[test]
fn what_comes_again_after_a_resumption_counts_again() {
    everywhere(|| {
        let mut play = managed(persistent());
        play.answer(HELLO);
        resuming(&mut play);
        resumed(&mut play, "0");
        play.answer(&format!("{HELLO}<r xmlns='urn:xmpp:sm:3'/>"));
        assert!(
            last_wire(&play).contains("<a xmlns='urn:xmpp:sm:3' h='2'/>"),
            "{}",
            last_wire(&play)
        );
        assert_eq!(play.stanzas().len(), 2, "the application tells them apart by their ids");
        play
    });
}

#[test]
fn a_session_that_is_gone_settles_everything() {
    let not_found =
        "<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    everywhere(|| {
        let mut play = managed(persistent());
        let [first, second] = [chat(&mut play), chat(&mut play)];
        let request = ask(&mut play);
        resuming(&mut play);
        play.events.clear();
        play.answer(not_found);
        assert!(
            matches!(
                &play.events[0],
                Event::Warning(Warning::NotResumed { condition: Some(_) })
            ),
            "{:?}",
            play.events
        );
        assert_eq!(fate(&play, first), Some(Stage::Acked));
        let lost = |event: &Event| matches!(event, Event::IqDone { token, result: Err(IqError::Disconnected) } if *token == request);
        assert_eq!(play.events.iter().filter(|event| lost(event)).count(), 1);
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r2</jid>"));
        // With a count the server has said that it has not got the second one: it is sent again, as new.
        assert_eq!(fate(&play, second), None);
        assert_eq!(last_wire(&play).matches("<message").count(), 1);
        play.answer(&format!("{ENABLED}{}", a("1")));
        assert_eq!(fate(&play, second), Some(Stage::Acked));
        play
    });
}

#[test]
fn a_second_loss_before_the_resumption_forgets_nothing() {
    everywhere(|| {
        let mut play = managed(persistent());
        let sent = chat(&mut play);
        let request = ask(&mut play);
        // The link breaks again while the client asks for its session, and again.
        for _ in 0..2 {
            resuming(&mut play);
        }
        assert_eq!(fate(&play, sent), None);
        resumed(&mut play, "2");
        assert_eq!(fate(&play, sent), Some(Stage::Acked));
        let id = play.iq_id();
        let _ = (request, id);
        play
    });
}

#[test]
fn a_session_that_expired_meanwhile_is_settled_at_the_next_login() {
    everywhere(|| {
        let mut play = managed(persistent());
        let sent = chat(&mut play);
        let request = ask(&mut play);
        cut(&mut play);
        assert_eq!(fate(&play, sent), None, "it may still be resumed");
        play.until_next_link();
        // For longer than `max`, 300 s, nothing answers.
        for _ in 0..4 {
            play.until_next_link();
        }
        play.now += 301_000;
        log_in(&mut play, MANAGED);
        assert!(!last_wire(&play).contains("<resume "), "{}", last_wire(&play));
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r2</jid>"));
        assert_eq!(fate(&play, sent), Some(Stage::Failed), "{:?}", play.events);
        let done = |event: &&Event| matches!(event, Event::IqDone { token, .. } if *token == request);
        assert_eq!(play.events.iter().filter(done).count(), 1);
        play
    });
}

#[test]
fn a_server_that_refuses_to_manage_the_stream_is_asked_by_pings() {
    everywhere(|| {
        let mut play = Play::started(persistent());
        log_in(&mut play, MANAGED);
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        let sent = chat(&mut play);
        play.answer("<failed xmlns='urn:xmpp:sm:3'><feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
        assert!(
            play.events
                .iter()
                .any(|event| matches!(event, Event::Warning(Warning::NoStreamManagement { .. })))
        );
        play.wait(4_000);
        let id = play.iq_id();
        assert!(last_wire(&play).contains("urn:xmpp:ping"));
        // Somebody else does not acknowledge.
        play.answer(&format!(
            "<iq xmlns='jabber:client' type='result' id='{id}' from='evil@example.net'/>"
        ));
        assert_eq!(fate(&play, sent), None);
        play.answer(&format!("<iq xmlns='jabber:client' type='error' id='{id}'/>"));
        assert_eq!(fate(&play, sent), Some(Stage::Acked));
        play
    });
}

#[test]
fn a_stanza_counts_when_the_application_has_dealt_with_it() {
    everywhere(|| {
        let config = with_certificate().acknowledge(Acknowledge::Manual);
        let mut play = managed(build(config));
        play.answer(&HELLO.repeat(3));
        let tokens: Vec<Token> = play
            .events
            .iter()
            .filter_map(|event| {
                if let Event::Stanza { token, .. } = event {
                    *token
                } else {
                    None
                }
            })
            .collect();
        let answered = |play: &mut Play, h: u32| {
            play.answer("<r xmlns='urn:xmpp:sm:3'/>");
            let answer = format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>");
            assert!(
                last_wire(play).trim_end().ends_with(&answer),
                "{h}: {}",
                last_wire(play)
            );
        };
        answered(&mut play, 0);
        play.input(Input::Handled { token: tokens[1] }).unwrap();
        answered(&mut play, 0);
        play.input(Input::Handled { token: tokens[0] }).unwrap();
        answered(&mut play, 2);
        play
    });
}

#[test]
fn without_stream_management_nothing_of_it_is_said() {
    everywhere(|| {
        let off = StreamManagement {
            enabled: false,
            request_when_quiet: Duration::from_secs(1),
            ..StreamManagement::default()
        };
        let mut play = Play::connected(build(with_certificate().stream_management(off)));
        play.answer(&mechanisms(&["EXTERNAL"]));
        play.answer(&sasl("success", ""));
        play.answer(MANAGED);
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        chat(&mut play);
        assert!(!last_wire(&play).contains("urn:xmpp:sm:3"));
        play
    });
    everywhere(|| {
        let mut play = Play::online();
        assert!(!last_wire(&play).contains("urn:xmpp:sm:3"), "{BIND}");
        chat(&mut play);
        play
    });
}
