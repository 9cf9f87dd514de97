//! XEP-0198 line by line: counting, misbehaviour, when to ask; and pings in its place.

mod random;
mod resumption;

use super::*;
use crate::xml::XmlLimits;
use std::format;
use std::vec;

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn xml(text: &str) -> Element {
    Element::parse(text, &XmlLimits::default()).unwrap()
}

fn sm(attributes: &str) -> Element {
    let (name, attributes) = attributes.split_once(' ').unwrap_or((attributes, ""));
    xml(&format!("<{name} xmlns='urn:xmpp:sm:3' {attributes}/>"))
}

fn message(token: u64) -> Outgoing {
    Outgoing {
        xml: format!("<message xmlns='jabber:client' to='a@b'><body>{token}</body></message>"),
        token: Some(Token(token)),
        request: None,
        stored: false,
    }
}

fn tokens<const N: usize>(tokens: [u64; N]) -> Vec<Token> {
    tokens.into_iter().map(Token).collect()
}

fn acked<const N: usize>(expected: [u64; N]) -> Result<Reaction, PeerMisbehaved> {
    Ok(Reaction::Acked(tokens(expected)))
}

fn new() -> StreamManagement {
    StreamManagement::new(config::StreamManagement::default(), 1_000)
}

/// Enabled, with the id `x`.
fn on() -> StreamManagement {
    on_with(config::StreamManagement::default())
}

fn on_with(settings: config::StreamManagement) -> StreamManagement {
    let mut management = StreamManagement::new(settings, 1_000);
    management.enabling(at(0));
    let enabled = management.handle(at(0), &sm("enabled id='x' resume='true' max='300'"));
    assert_eq!(
        enabled,
        Ok(Reaction::Enabled {
            resumable: settings.resume
        })
    );
    management
}

fn send<const N: usize>(management: &mut StreamManagement, numbers: [u64; N]) {
    for number in numbers {
        management.sent(at(0), &message(number), Some(0));
    }
}

fn turn(management: &mut StreamManagement, seconds: u64) -> (Option<String>, Option<String>) {
    let turn = management.turn_end(at(seconds), || "unguessable".to_string());
    (turn.answer, turn.question)
}

const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const PING: &str = "<iq xmlns='jabber:client' type='get' id='unguessable'><ping xmlns='urn:xmpp:ping'/></iq>";

fn misbehaved(element: &str) -> PeerMisbehaved {
    PeerMisbehaved::StreamManagement {
        element: element.to_string(),
    }
}

// --- Enabling.

#[test]
fn what_enable_asks_for() {
    let defaults = config::StreamManagement::default();
    let rows = [
        (defaults, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
        (
            config::StreamManagement {
                max: Some(600),
                ..defaults
            },
            "<enable xmlns='urn:xmpp:sm:3' resume='true' max='600'/>",
        ),
        (
            config::StreamManagement {
                resume: false,
                ..defaults
            },
            "<enable xmlns='urn:xmpp:sm:3'/>",
        ),
    ];
    for (settings, expected) in rows {
        let management = StreamManagement::new(settings, 10);
        assert_eq!(management.enable().build().unwrap().to_xml(), expected);
    }
}

#[test]
fn stanzas_count_from_enable_on() {
    let mut management = new();
    // Before it, nothing does.
    management.sent(at(0), &message(9), None);
    management.enabling(at(0));
    send(&mut management, [1, 2]);
    management.received(Handling::Now);
    let _ = management.handle(at(0), &sm("enabled id='x' resume='1'")).unwrap();
    // What came before `<enabled/>` does not.
    assert_eq!(management.handled_count(), 0);
    assert_eq!(management.handle(at(0), &sm("a h='2'")), acked([1, 2]));
    assert_eq!(management.unacknowledged_bytes(), 0);
}

#[test]
fn what_enabled_promises() {
    let long = format!("enabled resume='true' id='{}'", "x".repeat(4_001));
    let longest = format!("enabled resume='true' id='{}'", "x".repeat(4_000));
    let rows = [
        ("enabled resume='true' id='x'", true),
        ("enabled resume='1' id='x'", true),
        (longest.as_str(), true),
        ("enabled", false),
        ("enabled id='x'", false),
        ("enabled resume='false' id='x'", false),
        ("enabled resume='true'", false),
        ("enabled resume='true' id=''", false),
        (long.as_str(), false),
    ];
    for (enabled, resumable) in rows {
        let mut management = new();
        management.enabling(at(0));
        assert_eq!(
            management.handle(at(0), &sm(enabled)),
            Ok(Reaction::Enabled { resumable })
        );
        assert_eq!(management.is_resumable(), resumable);
        management.link_lost(at(1));
        assert_eq!(management.can_resume(at(1)), resumable);
        assert_eq!(management.resume(at(1)).is_some(), resumable);
        assert_eq!(management.state().unwrap().session.is_some(), resumable);
    }
}

#[test]
fn the_server_says_where_and_for_how_long() {
    let mut management = new();
    management.enabling(at(0));
    let enabled = sm("enabled resume='true' id='x' location='[2001:db8::1]:9222' max='99999999999'");
    let _ = management.handle(at(0), &enabled).unwrap();
    assert_eq!(management.location(), Some("[2001:db8::1]:9222"));
    assert_eq!(management.state().unwrap().session.unwrap().max, Some(u32::MAX));

    let mut management = on();
    management.link_lost(at(1_000));
    assert!(management.can_resume(at(1_300)));
    assert!(!management.can_resume(at(1_301)));
    // An attempt that fails does not begin it again.
    assert!(management.resume(at(1_200)).is_some());
    management.link_lost(at(1_250));
    assert!(!management.can_resume(at(1_301)));
}

#[test]
fn a_server_that_refuses_is_pinged_instead() {
    let mut management = new();
    management.enabling(at(0));
    send(&mut management, [1]);
    management.sent(
        at(0),
        &Outgoing {
            token: None,
            ..message(0)
        },
        None,
    );
    let failed =
        xml("<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
    assert_eq!(
        management.handle(at(0), &failed),
        Ok(Reaction::Refused {
            condition: Some("unexpected-request".to_string())
        })
    );
    assert_eq!(management.strategy(), Strategy::Ping);
    assert_eq!(turn(&mut management, 3).1.as_deref(), Some(PING));
    let pong = xml("<iq xmlns='jabber:client' type='result' id='unguessable'/>");
    let me = Jid::parse("u@e.org/r").unwrap();
    assert_eq!(management.answered(at(3), &pong, &me), Some(tokens([1])));
    assert_eq!(management.handle(at(4), &failed), Err(misbehaved("failed")));
}

// --- Counting what comes in.

#[test]
fn the_count_of_what_was_handled() {
    let mut management = on();
    for _ in 0..3 {
        management.received(Handling::Now);
    }
    assert_eq!(management.handle(at(0), &sm("r")), Ok(Reaction::Nothing));
    assert_eq!(
        turn(&mut management, 0).0.as_deref(),
        Some("<a xmlns='urn:xmpp:sm:3' h='3'/>")
    );
}

#[test]
fn many_requests_in_a_turn_get_one_answer() {
    let mut management = on();
    for _ in 0..1_000 {
        assert_eq!(management.handle(at(0), &sm("r")), Ok(Reaction::Nothing));
        management.received(Handling::Now);
    }
    assert_eq!(
        turn(&mut management, 0),
        (Some("<a xmlns='urn:xmpp:sm:3' h='1000'/>".to_string()), None)
    );
    assert_eq!(turn(&mut management, 0), (None, None));
}

#[test]
fn what_the_application_has_not_handled_does_not_count() {
    let mut management = on();
    management.received(Handling::Now);
    management.received(Handling::Later(Token(7)));
    management.received(Handling::Now);
    management.received(Handling::Later(Token(8)));
    assert_eq!(management.handled_count(), 1);
    assert!(management.handled(Token(8)));
    assert!(!management.handled(Token(8)));
    assert_eq!(management.handled_count(), 1);
    assert!(management.handled(Token(7)));
    assert_eq!(management.handled_count(), 4);
}

#[test]
fn an_application_that_handles_nothing_is_not_fed_for_ever() {
    let mut management = StreamManagement::new(config::StreamManagement::default(), 2);
    management.enabling(at(0));
    let _ = management.handle(at(0), &sm("enabled")).unwrap();
    management.received(Handling::Later(Token(1)));
    assert!(!management.is_behind());
    management.received(Handling::Later(Token(2)));
    assert!(management.is_behind());
    assert!(management.handled(Token(1)));
    assert!(!management.is_behind());
}

#[test]
fn what_was_not_handled_comes_again_after_a_resumption() {
    let mut management = on();
    management.received(Handling::Now);
    management.received(Handling::Later(Token(7)));
    management.received(Handling::Later(Token(8)));
    management.link_lost(at(1));
    // The application goes on while there is no link.
    assert!(management.handled(Token(7)));
    assert_eq!(
        management.resume(at(2)).unwrap().to_xml(),
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='2'/>"
    );
    // Too late: the server was told otherwise.
    assert!(management.handled(Token(8)));
    let _ = management.resumed(at(3), &sm("resumed previd='x' h='0'")).unwrap();
    assert_eq!(management.handled_count(), 2);
    management.received(Handling::Later(Token(9)));
    assert_eq!(management.handled_count(), 2);
    assert!(management.handled(Token(9)));
    assert_eq!(management.handled_count(), 3);
}

// --- Counting what goes out.

#[test]
fn counters_wrap_around() {
    let state = State {
        session: Some(Session {
            id: Secret::from("x"),
            location: None,
            max: None,
        }),
        counts: true,
        handled: u32::MAX,
        acked: 4_294_967_294,
        queue: VecDeque::new(),
    };
    let mut management = StreamManagement::restore(config::StreamManagement::default(), 1_000, state, at(0));
    assert!(management.resume(at(0)).unwrap().to_xml().contains("h='4294967295'"));
    let _ = management
        .resumed(at(0), &sm("resumed previd='x' h='4294967294'"))
        .unwrap();
    send(&mut management, [1, 2, 3, 4]);
    assert_eq!(management.sent_count(), 2);
    assert_eq!(management.handle(at(0), &sm("a h='1'")), acked([1, 2, 3]));
    assert_eq!(management.handle(at(0), &sm("a h='1'")), acked([]));
    assert_eq!(
        management.handle(at(0), &sm("a h='4294967295'")),
        Err(PeerMisbehaved::HandledCount {
            handled: u32::MAX,
            sent: 2
        })
    );
    assert_eq!(management.handle(at(0), &sm("a h='2'")), acked([4]));
    management.received(Handling::Now);
    assert_eq!(management.handled_count(), 0);
}

#[test]
fn a_count_that_cannot_be() {
    let mut management = on();
    send(&mut management, [1, 2, 3, 4, 5]);
    assert_eq!(management.handle(at(0), &sm("a h='4'")), acked([1, 2, 3, 4]));
    for (handled, element) in [(3, "a h='3'"), (6, "a h='6'"), (0, "a h='0'")] {
        assert_eq!(
            management.handle(at(0), &sm(element)),
            Err(PeerMisbehaved::HandledCount { handled, sent: 5 })
        );
    }
    // Nothing was taken for acknowledged.
    assert_eq!(management.reset().failed, tokens([5]));
    assert_eq!(
        handled_count_too_high(6, 5).build().unwrap().to_xml(),
        "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='6' send-count='5'/>"
    );
}

#[test]
fn elements_that_are_not_what_they_have_to_be() {
    let rows = [
        ("a", "a"),
        ("a h=''", "a"),
        ("a h='-1'", "a"),
        ("a h='+1'", "a"),
        ("a h=' 1'", "a"),
        ("a h='4294967296'", "a"),
        ("a h='x'", "a"),
        ("enabled id='y' resume='true'", "enabled"),
        ("failed", "failed"),
        ("resumed previd='x' h='0'", "resumed"),
        ("enable", "enable"),
        ("resume previd='x' h='0'", "resume"),
        ("nonsense", "nonsense"),
    ];
    for (element, name) in rows {
        let mut management = on();
        send(&mut management, [1]);
        assert_eq!(
            management.handle(at(0), &sm(element)),
            Err(misbehaved(name)),
            "{element}"
        );
        assert_eq!(management.kept().count(), 1);
    }
}

#[test]
fn what_nobody_asked_for() {
    for element in [
        "enabled",
        "enabled id='x' resume='true'",
        "failed",
        "resumed previd='x' h='0'",
    ] {
        let mut management = new();
        assert!(management.handle(at(0), &sm(element)).is_err(), "{element}");
        management.use_pings(at(0));
        assert!(management.handle(at(0), &sm(element)).is_err(), "{element}");
        assert_eq!(management.strategy(), Strategy::Ping);
    }
    // Harmless before it is on.
    let mut management = new();
    for element in ["a h='7'", "a", "r"] {
        assert_eq!(management.handle(at(0), &sm(element)), Ok(Reaction::Nothing));
    }
    management.enabling(at(0));
    send(&mut management, [1]);
    assert_eq!(management.handle(at(0), &sm("a h='1'")), Ok(Reaction::Nothing));
    assert_eq!(turn(&mut management, 0), (None, None));
    assert!(management.resumed(at(0), &sm("resumed previd='x' h='0'")).is_err());
    assert!(management.resume_failed(&sm("failed")).is_err());
}

#[test]
fn which_elements_are_its_own() {
    assert!(StreamManagement::is_nonza(&sm("r")));
    assert!(!StreamManagement::is_nonza(&xml("<r xmlns='urn:xmpp:sm:2'/>")));
}

#[test]
fn a_server_that_never_acknowledges_meets_a_limit() {
    let mut management = StreamManagement::new(config::StreamManagement::default(), 3);
    management.enabling(at(0));
    let _ = management.handle(at(0), &sm("enabled")).unwrap();
    send(&mut management, [1, 2]);
    assert!(!management.is_full());
    assert_eq!(turn(&mut management, 0).1, None);
    send(&mut management, [3]);
    assert!(management.is_full());
    assert_eq!(management.unacknowledged_bytes(), 3 * message(1).xml.len());
    // Asked before anybody has to wait for the quiet.
    assert_eq!(turn(&mut management, 0).1.as_deref(), Some(R));
    assert_eq!(management.handle(at(0), &sm("a h='1'")), acked([1]));
    assert!(!management.is_full());
}

// --- When to ask.

fn deadline(management: &StreamManagement) -> Option<u64> {
    let mut earliest = Earliest::default();
    management.deadline(&mut earliest);
    earliest.get().map(|(at, timer)| {
        assert_eq!(timer, Timer::AcknowledgementRequest);
        at.as_millis() / 1_000
    })
}

#[test]
fn asks_after_so_many_stanzas_once() {
    let mut management = on();
    for number in 1..10 {
        send(&mut management, [number]);
        assert_eq!(turn(&mut management, 0).1, None);
    }
    send(&mut management, [10]);
    assert_eq!(turn(&mut management, 0).1.as_deref(), Some(R));
    for number in 11..40 {
        send(&mut management, [number]);
        assert_eq!(turn(&mut management, 0).1, None, "one question at a time");
    }
    let Ok(Reaction::Acked(all)) = management.handle(at(1), &sm("a h='10'")) else {
        panic!("not acknowledged");
    };
    assert_eq!(all.len(), 10);
    assert_eq!(turn(&mut management, 1).1.as_deref(), Some(R));
}

#[test]
fn asks_when_it_becomes_quiet() {
    let mut management = on();
    assert_eq!(deadline(&management), None);
    management.sent(at(10), &message(1), None);
    management.sent(at(12), &message(2), None);
    assert_eq!(deadline(&management), Some(15));
    assert_eq!(turn(&mut management, 14).1, None);
    assert_eq!(turn(&mut management, 15).1.as_deref(), Some(R));
    assert_eq!(deadline(&management), None);
    assert_eq!(management.handle(at(16), &sm("a h='2'")), acked([1, 2]));
    assert_eq!(deadline(&management), None);
    assert_eq!(turn(&mut management, 1_000), (None, None));
}

#[test]
fn a_server_that_answers_without_acknowledging_is_asked_ever_more_seldom() {
    let settings = config::StreamManagement {
        request_when_quiet: Duration::ZERO,
        ..config::StreamManagement::default()
    };
    let mut management = on_with(settings);
    send(&mut management, [1]);
    let mut asked = Vec::new();
    let mut now = 0;
    while now < 1_000 {
        assert_eq!(turn(&mut management, now).1.as_deref(), Some(R));
        asked.push(now);
        assert_eq!(management.handle(at(now), &sm("a h='0'")), acked([]));
        assert_eq!(turn(&mut management, now), (None, None));
        now = deadline(&management).unwrap();
    }
    assert_eq!(asked, [0, 2, 6, 14, 30, 62, 126, 254, 382, 510, 638, 766, 894]);
}

#[test]
fn asks_at_once_when_it_is_told_to() {
    let mut management = on();
    management.ask();
    assert_eq!(turn(&mut management, 0).1.as_deref(), Some(R));
    assert_eq!(turn(&mut management, 0).1, None);
    // A link that may be dead is asked again, whether or not the last answer came.
    management.ask();
    assert_eq!(turn(&mut management, 0).1.as_deref(), Some(R));
}

#[test]
fn before_the_goodbye() {
    let mut management = on();
    management.received(Handling::Now);
    let answer = Some("<a xmlns='urn:xmpp:sm:3' h='1'/>".to_string());
    let goodbye = management.goodbye(at(0), String::new);
    assert_eq!((goodbye.answer, goodbye.question), (answer.clone(), None));
    send(&mut management, [1]);
    let goodbye = management.goodbye(at(0), String::new);
    assert_eq!((goodbye.answer, goodbye.question.as_deref()), (answer, Some(R)));
    let mut pinging = new();
    pinging.use_pings(at(0));
    send(&mut pinging, [1]);
    let goodbye = pinging.goodbye(at(0), || "unguessable".to_string());
    assert_eq!((goodbye.answer, goodbye.question.as_deref()), (None, Some(PING)));
}

// --- Pings.

#[test]
fn a_ping_acknowledges_what_was_written_before_it() {
    let me = Jid::parse("u@e.org/r").unwrap();
    for answer in [
        "<iq xmlns='jabber:client' type='result' id='unguessable'/>",
        "<iq xmlns='jabber:client' type='result' id='unguessable' from='e.org'/>",
        "<iq xmlns='jabber:client' type='error' id='unguessable' from='u@e.org'/>",
    ] {
        let mut management = new();
        management.use_pings(at(0));
        send(&mut management, [1, 2]);
        // Nobody waits for these.
        management.sent(
            at(0),
            &Outgoing {
                token: None,
                ..message(0)
            },
            None,
        );
        assert_eq!(deadline(&management), Some(3));
        assert_eq!(turn(&mut management, 3).1.as_deref(), Some(PING));
        send(&mut management, [3]);
        assert_eq!(management.answered(at(4), &xml(answer), &me), Some(tokens([1, 2])));
        assert_eq!(management.answered(at(4), &xml(answer), &me), None);
        assert_eq!(turn(&mut management, 7).1.as_deref(), Some(PING));
        management.link_lost(at(8));
        assert!(!management.can_resume(at(8)));
        assert_eq!(management.reset().failed, tokens([3]));
    }
}

#[test]
fn who_may_answer_a_ping() {
    let me = Jid::parse("u@e.org/r").unwrap();
    for answer in [
        "<iq xmlns='jabber:client' type='result' id='other'/>",
        "<iq xmlns='jabber:client' type='get' id='unguessable'/>",
        "<iq xmlns='jabber:client' type='result' id='unguessable' from='evil.org'/>",
        "<iq xmlns='jabber:client' type='result' id='unguessable' from='x@e.org'/>",
        "<message xmlns='jabber:client' type='error' id='unguessable'/>",
    ] {
        let mut management = new();
        management.use_pings(at(0));
        send(&mut management, [1]);
        assert!(turn(&mut management, 3).1.is_some());
        assert_eq!(management.answered(at(4), &xml(answer), &me), None, "{answer}");
        assert_eq!(management.kept().count(), 1);
    }
}

#[test]
fn a_stanza_that_is_never_sent_again_is_not_remembered_as_a_whole() {
    let mut management = new();
    management.use_pings(at(0));
    send(&mut management, [1]);
    assert_eq!(management.unacknowledged_bytes(), 0);
}
