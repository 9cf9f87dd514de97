//! SRV records and host-meta become candidates, in the right order and no more than that.

use super::*;
use crate::config::{Discover, Transport};

const NOTHING_TO_SAY: [&str; 2] = [XML, JSON];

fn only_tcp() -> Bed {
    let what = Discover {
        tcp: true,
        websocket: false,
        bosh: false,
    };
    Bed::new(config(|builder| builder.transport(Transport::Discover(what))))
}

fn xrd(links: &str) -> Vec<u8> {
    format!("<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n{links}</XRD>\n")
        .into_bytes()
}

fn link(kind: &str, href: &str) -> String {
    format!("  <Link rel='urn:xmpp:alt-connections:{kind}' href='{href}'/>\n")
}

#[test]
fn asks_everything_at_once_and_in_ascii() {
    let mut bed = Bed::discovering();
    assert_eq!(bed.next(), Next::Wait);
    let names: Vec<&str> = bed.asked.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, [XMPPS, XMPP, XML, JSON]);

    let jid = "u@bücher.example".parse().unwrap();
    let config = Config::builder(jid).credentials(Credentials::password("x")).build();
    let mut bed = Bed::new(config.unwrap());
    assert_eq!(bed.next(), Next::Wait);
    assert_eq!(bed.asked[0].1, "_xmpps-client._tcp.xn--bcher-kva.example");
    assert_eq!(bed.asked[2].1, "https://xn--bcher-kva.example/.well-known/host-meta");
}

#[test]
fn an_address_is_not_looked_up() {
    for (jid, host) in [("u@192.0.2.7", "192.0.2.7"), ("u@[2001:db8::1]", "2001:db8::1")] {
        let what = Discover {
            websocket: false,
            bosh: false,
            ..Discover::default()
        };
        let builder = Config::builder(jid.parse().unwrap()).credentials(Credentials::password("x"));
        let mut bed = Bed::new(builder.transport(Transport::Discover(what)).build().unwrap());
        let attempt = bed.attempt();
        assert_eq!(short(&attempt.endpoint), format!("starttls {host} 5222"));
        assert_eq!((attempt.server_name.as_str(), attempt.last), (host, true));
        assert!(bed.asked.is_empty());
    }
    let builder = Config::builder("u@[2001:db8::1]".parse().unwrap()).credentials(Credentials::password("x"));
    let mut bed = Bed::new(builder.build().unwrap());
    bed.next();
    assert_eq!(bed.asked[0].1, "https://[2001:db8::1]/.well-known/host-meta");
}

#[test]
fn both_services_are_one_list() {
    let mut bed = only_tcp();
    assert_eq!(bed.next(), Next::Wait);
    bed.records(XMPP, &[(20, 0, "c.example.net.", 5222), (5, 0, "a.example.net.", 5222)]);
    // The other answer may have better ones: a moment is waited for it (and no longer).
    assert_eq!(bed.next(), Next::Wait);
    assert_eq!(bed.deadline(), Some((1_050, Timer::Discovery)));
    bed.records(XMPPS, &[(10, 0, "b.example.net.", 443), (5, 0, "a.example.net.", 5223)]);
    let expected = [
        "tls a.example.net 5223",
        "starttls a.example.net 5222",
        "tls b.example.net 443",
        "starttls c.example.net 5222",
    ];
    assert_eq!(all_of(&mut bed), expected);
}

#[test]
fn the_certificate_is_for_the_domain_whatever_dns_says() {
    let mut bed = only_tcp();
    bed.next();
    bed.records(XMPP, &[(0, 0, "evil.example.com.", 5222)]);
    bed.nothing(&[XMPPS]);
    assert_eq!(bed.attempt().server_name, "example.org");
}

#[test]
fn a_late_answer_does_not_block_and_is_still_used() {
    let mut bed = Bed::discovering();
    assert_eq!(bed.next(), Next::Wait);
    bed.records(XMPP, &[(0, 0, "a.example.net", 5222)]);
    let (waited, next) = bed.wait();
    assert_eq!(waited, 50);
    let Next::Connect(attempt) = next else {
        panic!("{next:?}")
    };
    assert_eq!(short(&attempt.endpoint), "starttls a.example.net 5222");
    assert!(!attempt.last, "other answers are to come");
    // While it is being tried.
    bed.records(XMPPS, &[(0, 0, "b.example.net", 443)]);
    bed.answer(
        XML,
        Answer::Document(xrd(&link("xbosh", "https://w.example.net/bosh")).into()),
    );
    assert_eq!(bed.failed(Failure::Timeout), another());
    assert_eq!(bed.connect(), "tls b.example.net 443");
    assert_eq!(bed.failed(Failure::Timeout), another());
    assert_eq!(bed.connect(), "https://w.example.net/bosh");
    // Nothing is left but a question: it is waited for until its deadline.
    assert_eq!(bed.failed(Failure::Timeout), another());
    assert_eq!(bed.next(), Next::Wait);
    assert_eq!(bed.deadline(), Some((11_000, Timer::Discovery)));
    let (_, next) = bed.wait();
    let reason = Offline::Connection(ConnectionError::Failed(Failure::Timeout));
    assert_eq!(next, Next::GiveUp(reason));
}

#[test]
fn tcp_then_websocket_then_bosh() {
    let mut bed = Bed::discovering();
    bed.next();
    let json = r#"{"links":[{"rel":"lrdd","href":"x"},
        {"rel":"urn:xmpp:alt-connections:xbosh","href":"https://w.example.net/bosh"},
        {"rel":"urn:xmpp:alt-connections:websocket","href":"wss://w.example.net/ws"}]}"#;
    bed.answer(JSON, Answer::Document(json.as_bytes().into()));
    assert_eq!(bed.next(), Next::Wait);
    bed.answer(
        XML,
        Answer::Document(xrd(&link("websocket", "wss://w.example.net/ws")).into()),
    );
    bed.nothing(&[XMPP, XMPPS]);
    let attempts: Vec<(String, String, bool)> = (0..3)
        .map(|_| {
            let attempt = bed.attempt();
            bed.failed(Failure::Refused);
            (short(&attempt.endpoint), attempt.server_name, attempt.last)
        })
        .collect();
    let row = |endpoint: &str, name: &str, last| (endpoint.to_string(), name.to_string(), last);
    let expected = [
        row("starttls example.org 5222", "example.org", false),
        row("wss://w.example.net/ws", "w.example.net", false),
        row("https://w.example.net/bosh", "w.example.net", true),
    ];
    assert_eq!(attempts, expected);
}

#[test]
fn the_domain_is_guessed_only_where_dns_is_silent() {
    type Records = &'static [(u16, u16, &'static str, u16)];
    const NONE: Records = &[];
    const DOT: Records = &[(0, 0, ".", 0)];
    const SOME: Records = &[(0, 0, "a.example.net", 5222)];
    for (xmpps, xmpp, expected) in [
        (NONE, NONE, &["starttls example.org 5222"][..]),
        (DOT, NONE, &[]),
        (NONE, DOT, &[]),
        (DOT, DOT, &[]),
        (DOT, SOME, &["starttls a.example.net 5222"]),
        (SOME, DOT, &["tls a.example.net 5222"]),
    ] {
        let mut bed = only_tcp();
        bed.next();
        bed.records(XMPPS, xmpps);
        bed.records(XMPP, xmpp);
        let found = if expected.is_empty() {
            assert_eq!(
                bed.next(),
                Next::GiveUp(Offline::Connection(ConnectionError::NoEndpoint))
            );
            Vec::new()
        } else {
            all_of(&mut bed)
        };
        assert_eq!(found, expected, "{xmpps:?} {xmpp:?}");
    }
}

#[test]
fn a_resolver_that_fails_leaves_the_domain() {
    let mut bed = Bed::discovering();
    bed.next();
    bed.answer(
        XMPP,
        Answer::Failed(Failure::Other {
            reason: "SERVFAIL".into(),
        }),
    );
    assert_eq!(bed.next(), Next::Wait);
    let (waited, next) = bed.wait();
    assert_eq!(waited, 10_000);
    let Next::Connect(attempt) = next else {
        panic!("{next:?}")
    };
    assert_eq!(
        (short(&attempt.endpoint).as_str(), attempt.last),
        ("starttls example.org 5222", true)
    );
    // What comes after the deadline is nobody's.
    bed.records(XMPPS, &[(0, 0, "late.example.net", 443)]);
    let Verdict::GiveUp(_) = bed.failed(Failure::Refused) else {
        panic!()
    };
}

#[test]
fn says_why_nothing_was_found() {
    let what = Discover {
        tcp: false,
        ..Discover::default()
    };
    let web = || Bed::new(config(|builder| builder.transport(Transport::Discover(what))));
    let mut bed = web();
    bed.next();
    bed.nothing(&NOTHING_TO_SAY);
    assert_eq!(
        bed.next(),
        Next::GiveUp(Offline::Connection(ConnectionError::NoEndpoint))
    );
    let mut bed = web();
    bed.next();
    bed.answer(XML, Answer::Failed(Failure::Dns));
    bed.answer(JSON, Answer::Failed(Failure::Refused));
    let reason = Offline::Connection(ConnectionError::Failed(Failure::Dns));
    assert_eq!(bed.next(), Next::GiveUp(reason));
    let mut bed = web();
    bed.next();
    let waiting_for = crate::error::WaitingFor::Discovery;
    let reason = Offline::Connection(ConnectionError::Timeout { waiting_for });
    assert_eq!(bed.wait(), (10_000, Next::GiveUp(reason)));
}

#[test]
fn weights_share_the_attempts() {
    let mut first = [0; 3];
    for seed in 0..200 {
        let what = Discover {
            websocket: false,
            bosh: false,
            ..Discover::default()
        };
        let mut bed = Bed::seeded(config(|builder| builder.transport(Transport::Discover(what))), seed);
        bed.next();
        let records = [
            (1, 60, "a.example.net", 1),
            (1, 20, "b.example.net", 1),
            (1, 0, "c.example.net", 1),
        ];
        bed.records(XMPP, &records);
        bed.nothing(&[XMPPS]);
        let places = all_of(&mut bed);
        let mut sorted = places.clone();
        sorted.sort();
        let all = [
            "starttls a.example.net 1",
            "starttls b.example.net 1",
            "starttls c.example.net 1",
        ];
        assert_eq!(sorted, all, "each once");
        first[all.iter().position(|place| *place == places[0]).unwrap()] += 1;
    }
    assert!((130..170).contains(&first[0]), "{first:?}");
    assert!(first[2] < 10, "{first:?}");
}

#[test]
fn records_are_bounded_and_checked() {
    let mut bed = only_tcp();
    bed.next();
    let names: Vec<String> = (0..10_000).map(|number| format!("h{number}.example.net")).collect();
    let many: Vec<(u16, u16, &str, u16)> = names.iter().map(|name| (65_535, 65_535, name.as_str(), 5222)).collect();
    bed.records(XMPP, &many);
    bed.records(
        XMPPS,
        &[
            (0, 0, "a b", 5222),
            (0, 0, "a/../b", 5222),
            (0, 0, "x\r\ny", 5222),
            (0, 0, "", 5222),
            (0, 0, "ok.example.net", 0),
            (0, 0, "ok.example.net", 443),
            (9, 9, "OK.example.net.", 443),
        ],
    );
    let places = all_of(&mut bed);
    assert_eq!(places.len(), 33);
    assert_eq!(places[0], "tls ok.example.net 443");
}

#[test]
fn bad_links_are_dropped() {
    for bad in [
        "http://w.example.net/bosh",
        "javascript:alert(1)",
        "https://user@w.example.net/bosh",
        "https:///bosh",
        "https://w.example.net:0x1/",
        "/bosh",
        "",
    ] {
        let mut bed = Bed::discovering();
        bed.next();
        bed.answer(XML, Answer::Document(xrd(&link("xbosh", bad)).into()));
        let json = format!(r#"{{"links":[{{"rel":"urn:xmpp:alt-connections:websocket","href":"{bad}"}}]}}"#);
        bed.answer(JSON, Answer::Document(json.into_bytes().into()));
        bed.nothing(&[XMPP, XMPPS]);
        assert_eq!(all_of(&mut bed), ["starttls example.org 5222"], "{bad}");
    }
    // For tests on one machine.
    let mut bed = Bed::new(config(anything_goes));
    bed.next();
    bed.answer(
        XML,
        Answer::Document(xrd(&link("websocket", "ws://localhost/ws")).into()),
    );
    bed.nothing(&[XMPP, XMPPS, JSON]);
    assert_eq!(all_of(&mut bed), ["starttls example.org 5222", "ws://localhost/ws"]);
}

#[test]
fn hostile_documents_give_nothing() {
    let good = link("xbosh", "https://w.example.net/bosh");
    let mut documents: Vec<Vec<u8>> = vec![
        format!("<!DOCTYPE XRD [<!ENTITY a 'b'>]><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>{good}</XRD>")
            .into(),
        format!("<XRD>{good}</XRD>").into(),
        format!("<html xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>{good}</html>").into(),
        xrd(&good)[..150].to_vec(),
        xrd(&format!("{}{}", "<a>".repeat(100), "</a>".repeat(100))),
        xrd(&good.repeat(2_000)),
        "[".repeat(60_000).into(),
        "{\"links\":".repeat(5_000).into(),
        br#"{"links":{"rel":"urn:xmpp:alt-connections:xbosh","href":"https://w.example.net/"}}"#.to_vec(),
        br#"{"links":[1,null,{"rel":1},{"href":[]},[]]}"#.to_vec(),
        vec![b' '; 100_000],
        vec![0xFF; 100],
        Vec::new(),
    ];
    let long = format!("https://w.example.net/{}", "x".repeat(4_000));
    documents.push(format!(r#"{{"links":[{{"rel":"urn:xmpp:alt-connections:xbosh","href":"{long}"}}]}}"#).into());
    for document in documents {
        let mut bed = Bed::discovering();
        bed.next();
        bed.answer(XML, Answer::Document(document.clone().into()));
        bed.answer(JSON, Answer::Document(document.clone().into()));
        bed.nothing(&[XMPP, XMPPS]);
        let start = String::from_utf8_lossy(&document[..document.len().min(100)]).into_owned();
        assert_eq!(all_of(&mut bed), ["starttls example.org 5222"], "{start}");
    }
}

#[test]
fn links_are_bounded() {
    let links: String = (0..100)
        .map(|number| link("websocket", &format!("wss://w{number}.example.net/")))
        .collect();
    let mut bed = Bed::discovering();
    bed.next();
    bed.answer(XML, Answer::Document(xrd(&links).into()));
    bed.nothing(&[XMPP, XMPPS, JSON]);
    assert_eq!(all_of(&mut bed).len(), 1 + 8);
}

#[test]
fn configured_transports_keep_their_order() {
    let mut bed = Bed::new(config(|builder| {
        builder
            .tcp("10.0.0.1", 5223, TcpTls::Direct)
            .transport(Transport::Discover(Discover::default()))
            .websocket("wss://own.example.net/ws")
    }));
    assert_eq!(bed.connect(), "tls 10.0.0.1 5223");
    assert!(bed.asked.is_empty(), "nobody is asked before it is needed");
    assert_eq!(bed.failed(Failure::Refused), another());
    assert_eq!(bed.next(), Next::Wait);
    bed.nothing(&[XMPP, XMPPS, XML, JSON]);
    assert_eq!(bed.connect(), "starttls example.org 5222");
    assert_eq!(bed.failed(Failure::Refused), another());
    let attempt = bed.attempt();
    assert_eq!(
        (short(&attempt.endpoint).as_str(), attempt.last),
        ("wss://own.example.net/ws", true)
    );
}

/// The clock went on while there was a link: its end must not leave a deadline behind that has passed already.
#[test]
fn what_was_due_during_an_attempt_is_not_due_again() {
    let mut bed = Bed::discovering();
    assert_eq!(bed.next(), Next::Wait);
    bed.nothing(&[XMPPS]);
    bed.records(XMPP, &[(0, 0, "a.example.net.", 5222)]);
    assert_eq!(bed.connect(), "starttls a.example.net 5222");
    bed.now = Instant::from_millis(9_000);
    assert_eq!(bed.failed(Failure::Timeout), another());
    assert_eq!(bed.next(), Next::Wait);
    // Host-meta was not answered yet.
    assert_eq!(bed.deadline(), Some((11_000, Timer::Discovery)));
}
