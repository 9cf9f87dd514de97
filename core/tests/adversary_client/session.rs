//! Binding and stanzas: answers from strangers, malformed requests, floods (RFC 6120 §7, §8, §10).

use std::collections::BTreeSet;

use epode::error::{DropReason, InvalidStanza, IqError, LoginError, PeerMisbehaved, WaitingFor, Warning};
use epode::{Element, Event, Input, LinkInfo, Offline, Refused, StanzaError, Token};

use crate::harness::{Play, bound, build, mechanisms, sasl, small_queue, with_certificate};
use crate::wire::Wire;

const CLIENT: &str = "jabber:client";

fn version(to: &str) -> Element {
    epode::stanza::get(to.parse().ok().as_ref(), Element::builder("jabber:iq:version", "query")).unwrap()
}

/// Asks `to` something; the token and the id.
fn asked(play: &mut Play, to: &str) -> (Token, String) {
    let request = Input::Request {
        iq: version(to),
        timeout: None,
    };
    let token = play.input(request).unwrap().unwrap();
    (token, play.iq_id())
}

fn done(play: &Play) -> Vec<(Token, Result<Element, IqError>)> {
    play.events
        .iter()
        .filter_map(|event| {
            if let Event::IqDone { token, result } = event {
                Some((*token, result.clone()))
            } else {
                None
            }
        })
        .collect()
}

fn dropped(play: &Play) -> Vec<DropReason> {
    play.events
        .iter()
        .filter_map(|event| {
            if let Event::Warning(Warning::Dropped { reason }) = event {
                Some(*reason)
            } else {
                None
            }
        })
        .collect()
}

/// What the client answered since it is online.
fn answers(play: &Play) -> Vec<Element> {
    let iqs = play.sent("iq");
    iqs.into_iter()
        .filter(|iq| matches!(iq.attribute("type"), Some("result" | "error")))
        .collect()
}

fn condition(iq: &Element) -> String {
    let error = iq.child(CLIENT, "error").unwrap();
    error.children().next().unwrap().name().to_owned()
}

#[test]
fn an_identity_that_is_not_ours_is_never_taken_on() {
    let broken = [
        "",
        "<jid/>",
        "<jid>user@example.org</jid>",
        "<jid>user@example.org/</jid>",
        "<jid>@example.org/r</jid>",
        "<jid>user@example.org/r</jid><jid>admin@example.org/r</jid>",
        "<jid>user@example.org/r</jid><jid>user@example.org/r</jid>",
        "<jid>user@example.org<x/>/r</jid>",
        "<jid xmlns='urn:example:other'>user@example.org/r</jid>",
    ];
    for content in broken {
        let mut play = Play::binding(build(with_certificate()));
        play.answer(&bound(&play.iq_id(), content));
        play.assert_refused(content);
        assert_eq!(
            play.reason(),
            Offline::Misbehaved(PeerMisbehaved::BoundJid),
            "{content}"
        );
    }
    let others = [
        "admin@example.org/r",
        "us er@example.org/r",
        "user@evil.example/r",
        "example.org/r",
        "user@example.org.evil.example/r",
    ];
    for other in others {
        let mut play = Play::binding(build(with_certificate()));
        play.answer(&bound(&play.iq_id(), &format!("<jid>{other}</jid>")));
        play.assert_refused(other);
        assert!(
            matches!(play.reason(), Offline::Login(LoginError::UnexpectedIdentity { bound }) if bound == other),
            "{other}"
        );
    }
    let mut play = Play::binding(build(with_certificate()));
    let id = play.iq_id();
    play.answer(&format!("<iq xmlns='jabber:client' type='result' id='{id}'/>"));
    play.assert_refused("no payload");
}

#[test]
fn only_the_one_who_was_asked_can_bind() {
    let mut play = Play::binding(build(with_certificate()));
    let id = play.iq_id();
    let jid = "<jid>user@example.org/stolen</jid>";
    play.answer(&bound("other", jid));
    for from in ["evil@example.org", "evil.example", "user@evil.example", "@@", ""] {
        let from = format!("<iq from='{from}'");
        play.answer(&bound(&id, jid).replace("<iq", &from));
        play.answer(&format!("{from} xmlns='jabber:client' type='error' id='{id}'/>"));
    }
    assert!(!play.is_online() && !play.is_over(), "{:?}", play.events);
    play.answer(&bound(&id, "<jid>user@example.org/ours</jid>"));
    assert!(play.is_online());
}

#[test]
fn answers_to_nobody_do_not_extend_the_deadline() {
    let mut play = Play::binding(build(with_certificate()));
    let mut waited = 0;
    while !play.is_over() {
        assert!(waited <= 31_000, "still waiting");
        if play.has_open_request() {
            play.answer(&bound("other", "<jid>user@example.org/r</jid>"));
        }
        play.pass(2_000);
        waited += 2_020;
    }
    play.assert_refused("drip");
    assert!(matches!(
        play.reason(),
        Offline::Connection(epode::error::ConnectionError::Timeout {
            waiting_for: WaitingFor::Bind
        })
    ));
}

#[test]
fn a_resource_that_is_always_taken_is_asked_for_three_times() {
    let config = crate::harness::of("user@example.org/mine").credentials(epode::Credentials::certificate("user", None));
    let mut play = Play::binding(build(config));
    while !play.is_over() {
        assert!(play.sent("iq").len() <= 3);
        let id = play.iq_id();
        play.answer(&format!(
            "<iq xmlns='jabber:client' type='error' id='{id}'><error type='cancel'>\
             <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        ));
    }
    play.assert_refused("conflict");
    assert!(matches!(
        play.reason(),
        Offline::Login(LoginError::BindRefused { error }) if error.condition == "conflict"
    ));
    let asked = play.sent("iq");
    let resources: Vec<bool> = asked.iter().map(|iq| iq.to_xml().contains("mine")).collect();
    assert_eq!(resources, [true, false, false], "then the server chooses");
    let ids: BTreeSet<_> = asked.iter().map(|iq| iq.attribute("id").unwrap()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn an_answer_from_somebody_else_is_ignored_and_the_right_one_still_counts() {
    let rows = [
        (
            "friend@example.net/phone",
            &[
                "",
                "user@example.org",
                "example.org",
                "friend@example.net",
                "friend@example.net/tv",
                "evil@example.net/phone",
                "example.net",
            ][..],
        ),
        (
            "friend@example.net",
            &["", "friend@example.net/phone", "example.net", "user@example.org"],
        ),
        (
            "example.org",
            &["", "user@example.org", "evil@example.org", "example.org.evil.example"],
        ),
    ];
    for (to, strangers) in rows {
        let mut play = Play::online();
        let (token, id) = asked(&mut play, to);
        for from in strangers {
            let from = if from.is_empty() {
                String::new()
            } else {
                format!("from='{from}'")
            };
            for kind in ["result", "error"] {
                play.answer(&format!("<iq xmlns='jabber:client' type='{kind}' id='{id}' {from}/>"));
                assert!(done(&play).is_empty(), "{to} answered by {from}");
            }
        }
        assert_eq!(dropped(&play), vec![DropReason::UnexpectedAnswer; strangers.len() * 2]);
        play.answer(&format!(
            "<iq xmlns='jabber:client' type='result' id='{id}' from='{to}'/>"
        ));
        assert!(matches!(&done(&play)[..], [(done, Ok(_))] if *done == token), "{to}");
        // Once only.
        play.answer(&format!(
            "<iq xmlns='jabber:client' type='result' id='{id}' from='{to}'/>"
        ));
        assert_eq!(done(&play).len(), 1);
        assert!(answers(&play).is_empty(), "an answer is never answered");
    }
}

#[test]
fn nobody_can_guess_an_id() {
    let mut ids = BTreeSet::new();
    for seed in 0..3u8 {
        let mut play = Play::seeded(build(with_certificate()), LinkInfo::verified("example.org"), [seed; 32]);
        play.create(&mechanisms(&["EXTERNAL"]));
        play.answer(&sasl("success", ""));
        play.answer(crate::harness::BIND);
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        for _ in 0..20 {
            let (_, id) = asked(&mut play, "friend@example.net");
            assert!(id.len() >= 22, "128 bits: {id}");
            ids.insert(id);
            // The host's own id would be guessable.
            play.answer("");
        }
    }
    assert_eq!(ids.len(), 60);
}

#[test]
fn a_result_with_another_payload_reaches_only_its_caller() {
    let mut play = Play::online();
    let (version, id) = asked(&mut play, "friend@example.net");
    let (other, _) = asked(&mut play, "friend@example.net");
    play.answer(&format!(
        "<iq xmlns='jabber:client' type='result' id='{id}' from='friend@example.net'><query xmlns='jabber:iq:roster'>\
         <item jid='evil@example.net' subscription='both'/></query></iq>"
    ));
    let done = done(&play);
    assert!(matches!(&done[..], [(token, Ok(_))] if *token == version && *token != other));
    assert!(play.stanzas().is_empty());
    assert_eq!(play.events.len(), 1, "{:?}", play.events);
}

#[test]
fn a_malformed_request_gets_at_most_one_refusal() {
    let query = "<query xmlns='urn:example:served'/>";
    let rows = [
        ("type='get' from='a@example.net'".to_owned(), query.to_owned(), None),
        (
            "type='get' id='1' from='a@example.net'".to_owned(),
            String::new(),
            Some("bad-request"),
        ),
        (
            "type='get' id='1' from='a@example.net'".to_owned(),
            query.repeat(2),
            Some("bad-request"),
        ),
        (
            "type='set' id='1' from='a@example.net'".to_owned(),
            format!("{query}<x xmlns='urn:x'/>"),
            Some("bad-request"),
        ),
        (
            "type='GET' id='1' from='a@example.net'".to_owned(),
            query.to_owned(),
            Some("bad-request"),
        ),
        (
            "type='' id='1' from='a@example.net'".to_owned(),
            query.to_owned(),
            Some("bad-request"),
        ),
        (
            "id='1' from='a@example.net'".to_owned(),
            query.to_owned(),
            Some("bad-request"),
        ),
        ("type='get' id='1' from=''".to_owned(), query.to_owned(), None),
        ("type='get' id='1' from='@'".to_owned(), query.to_owned(), None),
        (
            "type='get' id='1' from='a@example.net'".to_owned(),
            "<query xmlns='urn:other'/>".to_owned(),
            Some("service-unavailable"),
        ),
        (
            "type='get' id='&lt;&apos;' from='a@example.net'".to_owned(),
            "<query xmlns='urn:other'/>".to_owned(),
            Some("service-unavailable"),
        ),
    ];
    for (attributes, payload, expected) in rows {
        let mut play = Play::online();
        play.answer(&format!("<iq xmlns='jabber:client' {attributes}>{payload}</iq>"));
        assert!(!play.is_over(), "{attributes}");
        assert!(
            !play.events.iter().any(|event| matches!(event, Event::Request { .. })),
            "{attributes}"
        );
        let answers = answers(&play);
        assert_eq!(answers.len(), usize::from(expected.is_some()), "{attributes}");
        if let (Some(expected), Some(answer)) = (expected, answers.first()) {
            assert_eq!(answer.attribute("type"), Some("error"));
            assert_eq!(answer.attribute("to"), Some("a@example.net"));
            assert_eq!(condition(answer), expected, "{attributes}");
        }
    }
}

#[test]
fn a_result_or_an_error_is_never_answered() {
    let mut play = Play::online();
    let before = play.posts.len();
    for kind in ["result", "error"] {
        for payload in [
            "",
            "<query xmlns='urn:example:served'/>",
            "<a xmlns='urn:a'/><b xmlns='urn:b'/>",
        ] {
            play.answer(&format!(
                "<iq xmlns='jabber:client' type='{kind}' id='1' from='a@example.net'>{payload}</iq>"
            ));
        }
    }
    assert!(answers(&play).is_empty());
    assert_eq!(dropped(&play), [DropReason::UnexpectedAnswer; 6]);
    play.assert_silent_since(before);
}

#[test]
fn each_of_many_requests_gets_one_answer() {
    let mut play = Play::online();
    let flood: String = (0..600)
        .map(|n| {
            format!("<iq xmlns='jabber:client' type='get' id='i{n}' from='evil@example.net/x'><q xmlns='urn:x'/></iq>")
        })
        .collect();
    play.answer(&flood);
    for _ in 0..20 {
        if play.has_open_request() {
            play.answer("");
        }
    }
    let answers = answers(&play);
    let ids: BTreeSet<_> = answers.iter().map(|iq| iq.attribute("id").unwrap()).collect();
    assert_eq!((answers.len(), ids.len()), (600, 600));
    assert!(answers.iter().all(|iq| condition(iq) == "service-unavailable"));
    // The application's own namespaces: so many are kept, the rest is refused.
    let mut play = Play::online();
    play.answer(&flood.replace("urn:x", "urn:example:served"));
    let asked = play
        .events
        .iter()
        .filter(|event| matches!(event, Event::Request { .. }))
        .count();
    assert_eq!(asked, 256);
    for _ in 0..20 {
        if play.has_open_request() {
            play.answer("");
        }
    }
    let answers = self::answers(&play);
    assert_eq!(answers.len(), 600 - 256);
    assert!(answers.iter().all(|iq| condition(iq) == "resource-constraint"));
    // Those that nobody answers are refused in the end, once.
    while self::answers(&play).len() < 600 {
        play.pass(10_000);
        if play.has_open_request() && self::answers(&play).len() < 600 {
            play.answer("");
        }
    }
    play.pass(120_000);
    assert_eq!(self::answers(&play).len(), 600);
}

#[test]
fn a_flood_of_requests_costs_bounded_memory() {
    let mut play = Play::online_with(build(with_certificate().limits(small_queue())));
    let flood: String = (0..2_000)
        .map(|n| {
            format!("<iq xmlns='jabber:client' type='get' id='i{n}' from='evil@example.net/x'><q xmlns='urn:x'/></iq>")
        })
        .collect();
    play.answer(&flood);
    assert_eq!(play.reason(), Offline::Misbehaved(PeerMisbehaved::TooManyRequests));
    // On a stream each answer is the host's at once: twice the queue, and what the login took.
    let login = if play.wire == Wire::Bosh { 0 } else { 4_096 };
    assert!(play.posts.iter().map(String::len).sum::<usize>() < 128 * 1024 + login);
}

#[test]
fn what_is_addressed_to_somebody_else_is_dropped() {
    let others = [
        "admin@example.org",
        "user@evil.example",
        "user@example.org/other",
        "example.org",
        "@",
        "",
    ];
    for to in others {
        let mut play = Play::online();
        play.answer(&format!(
            "<message xmlns='jabber:client' from='a@example.net' to='{to}'><body>x</body></message>\
             <presence xmlns='jabber:client' from='a@example.net' to='{to}'/>\
             <iq xmlns='jabber:client' type='get' id='1' from='a@example.net' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        assert!(play.stanzas().is_empty(), "{to}");
        assert!(answers(&play).is_empty(), "{to}");
        assert_eq!(dropped(&play), [DropReason::To; 3], "{to}");
    }
    let mut play = Play::online();
    for to in ["", " to='user@example.org'", " to='USER@EXAMPLE.org/r'"] {
        play.answer(&format!("<message xmlns='jabber:client' from='a@example.net'{to}/>"));
    }
    assert_eq!(play.stanzas().len(), 3);
}

#[test]
fn a_sender_that_is_no_address_is_dropped() {
    let mut play = Play::online();
    for from in ["", "@", "a@", "/r", &format!("{}@example.net", "a".repeat(1_024))] {
        play.answer(&format!(
            "<message xmlns='jabber:client' from='{from}'><body>x</body></message>"
        ));
    }
    assert!(play.stanzas().is_empty());
    assert_eq!(dropped(&play), [DropReason::From; 5]);
}

#[test]
fn an_error_message_triggers_nothing() {
    let mut play = Play::online();
    let before = play.posts.len();
    for name in ["message", "presence"] {
        play.answer(&format!(
            "<{name} xmlns='jabber:client' type='error' id='x' from='a@example.net'><body>hi</body>\
             <request xmlns='urn:xmpp:receipts'/><error type='cancel'>\
             <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:evil@example.net</gone></error></{name}>"
        ));
    }
    assert_eq!(play.stanzas().len(), 2, "they are the application's to read");
    play.assert_silent_since(before);
}

#[test]
fn nothing_follows_the_goodbye() {
    let mut play = Play::online();
    play.answer(
        "<iq xmlns='jabber:client' type='get' id='q' from='a@example.net'><query xmlns='urn:example:served'/></iq>",
    );
    let Some(Event::Request { token, .. }) = play.events.last().cloned() else {
        panic!("{:?}", play.events);
    };
    play.input(Input::Stop).unwrap();
    let goodbye = play.posts.len();
    play.assert_goodbye();
    let result = Err(StanzaError::service_unavailable());
    let _ = play.input(Input::Respond { token, result });
    let late = play.input(Input::Send {
        stanza: epode::stanza::available().unwrap(),
    });
    assert_eq!(late, Err(Refused::NotStarted));
    play.wait(4_000);
    play.answer("<iq xmlns='jabber:client' type='get' id='p' from='a@example.net'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(play.posts.len(), goodbye, "{:?}", &play.posts[goodbye..]);
}

#[test]
fn how_far_a_stanza_came_is_told_before_the_end() {
    let mut play = Play::online();
    let stanza = epode::stanza::chat(&"a@example.net".parse().unwrap(), "x").unwrap();
    let token = play.input(Input::Send { stanza }).unwrap().unwrap();
    // The answer to the message comes first, and waits for the one before it, which is the end.
    play.answer_nth(1, "");
    play.answer(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
         <message xmlns='jabber:client' from='a@example.net'/>",
    );
    assert!(matches!(play.reason(), Offline::Ended(_)));
    let finals: Vec<_> = play
        .events
        .iter()
        .filter(|event| {
            matches!(event, Event::Delivery { token: known, stage: epode::Stage::Acked | epode::Stage::Failed }
                if *known == token)
        })
        .collect();
    assert_eq!(finals.len(), 1, "{:?}", play.events);
    assert!(play.stanzas().is_empty());
}

#[test]
fn a_stanza_that_pretends_to_be_from_somebody_else_is_not_sent() {
    let mut play = Play::online();
    let stanza = Element::builder(CLIENT, "message")
        .attr("from", "admin@example.org")
        .build()
        .unwrap();
    let refused = play.input(Input::Send { stanza });
    let why = InvalidStanza::From;
    assert_eq!(refused, Err(Refused::Invalid { why }));
}

#[test]
fn nothing_is_sent_before_a_resource_is_bound() {
    let chat = || epode::stanza::chat(&"a@example.net".parse().unwrap(), "early").unwrap();
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    let presence = play.input(Input::Send {
        stanza: epode::stanza::available().unwrap(),
    });
    assert_eq!(
        presence,
        Err(Refused::NotStarted),
        "it would say nothing without a session"
    );
    play.input(Input::Send { stanza: chat() }).unwrap().unwrap();
    play.answer(&sasl("success", ""));
    play.answer(crate::harness::BIND);
    let request = Input::Request {
        iq: version("a@example.net"),
        timeout: None,
    };
    play.input(request).unwrap().unwrap();
    assert!(play.sent("message").is_empty());
    let id = play.iq_id();
    assert!(play.posts.last().unwrap().contains("xmpp-bind"), "{:?}", play.posts);
    play.answer(&bound(&id, "<jid>user@example.org/r</jid>"));
    assert_eq!(play.sent("message").len(), 1);
    play.input(Input::Stop).unwrap();
    assert_eq!(play.input(Input::Send { stanza: chat() }), Err(Refused::NotStarted));
}
