//! The way to the server, where an attacker says what it is: SRV records (RFC 2782, XEP-0368) and host-meta (XEP-0156).

use std::borrow::Cow;
use std::fmt::Write as _;

use epode::config::{Discover, Reconnect, Transport};
use epode::error::{ConnectionError, TlsError};
use epode::{
    Answer, Config, Credentials, Endpoint, Failure, Input, LinkInfo, Offline, Output, QueryId, Question, SrvRecord,
    TcpTls,
};

use crate::harness::Play;

fn config(discover: Discover) -> Config {
    Config::builder("user@example.org".parse().unwrap())
        .transport(Transport::Discover(discover))
        .reconnect(Reconnect::never())
        .credentials(Credentials::certificate("user", None))
        .build()
        .unwrap()
}

fn dns() -> Config {
    config(Discover {
        tcp: true,
        websocket: false,
        bosh: false,
    })
}

fn web() -> Config {
    config(Discover {
        tcp: false,
        ..Discover::default()
    })
}

/// The questions that were asked: what for, and their ids.
fn questions(play: &Play) -> Vec<(String, QueryId)> {
    let question = |output: &Output| match output {
        Output::Resolve { query, question, .. } => match question {
            Question::Srv { name } => Some((name.clone(), *query)),
            Question::Document { url, .. } => Some((url.clone(), *query)),
            _ => None,
        },
        Output::Close { .. } | _ => None,
    };
    play.others.iter().filter_map(question).collect()
}

fn answer(play: &mut Play, about: &str, answer: Answer<'static>) {
    let (_, query) = questions(play)
        .into_iter()
        .find(|(name, _)| name.contains(about))
        .unwrap();
    play.input(Input::Resolved { query, answer }).unwrap();
}

fn record(priority: u16, weight: u16, port: u16, target: impl Into<String>) -> SrvRecord {
    SrvRecord {
        priority,
        weight,
        port,
        target: target.into(),
    }
}

/// With these records for TLS at once, and these for STARTTLS; every place refuses.
fn refused_everywhere(direct: Vec<SrvRecord>, starttls: Vec<SrvRecord>) -> Play {
    let mut play = Play::started(dns());
    answer(&mut play, "_xmpps-client._tcp.example.org", Answer::Records(direct));
    answer(&mut play, "_xmpp-client._tcp.example.org", Answer::Records(starttls));
    refuse(&mut play);
    play
}

fn refuse(play: &mut Play) {
    for _ in 0..1_000 {
        if play.is_over() {
            return;
        }
        if play.links.is_empty() {
            play.pass(20_000);
            continue;
        }
        let (link, reason) = (play.link, Failure::Refused);
        play.input(Input::Failed {
            link,
            request: None,
            reason,
        })
        .unwrap();
    }
    panic!("it does not end: {:?}", play.connects.len());
}

fn places(play: &Play) -> Vec<String> {
    let place = |(endpoint, _): &(Endpoint, String)| match endpoint {
        Endpoint::Tcp { host, port, tls } => {
            format!(
                "{} {host} {port}",
                if *tls == TcpTls::Direct { "direct" } else { "starttls" }
            )
        }
        Endpoint::WebSocket { url } | Endpoint::Bosh { url } => url.clone(),
        other => panic!("{other:?}"),
    };
    play.connects.iter().map(place).collect()
}

#[test]
fn records_that_lead_elsewhere_are_stopped_by_the_certificate() {
    let mut play = Play::started(dns());
    answer(
        &mut play,
        "_xmpps",
        Answer::Records(vec![record(0, 0, 443, "evil.example.")]),
    );
    answer(
        &mut play,
        "_xmpp-",
        Answer::Records(vec![record(1, 0, 5222, "xmpp.example.org.")]),
    );
    assert_eq!(places(&play), ["direct evil.example 443"]);
    assert_eq!(play.connects[0].1, "example.org", "whatever the host is called");
    play.up(LinkInfo::verified("evil.example"));
    assert!(play.posts.is_empty());
    // Another place may have it right; nothing else is tried than what DNS names.
    assert_eq!(places(&play)[1..], ["starttls xmpp.example.org 5222"]);
    assert_eq!(play.connects[1].1, "example.org");
    let (link, reason) = (
        play.link,
        Failure::CertificateRejected {
            reason: "expired".to_owned(),
        },
    );
    play.input(Input::Failed {
        link,
        request: None,
        reason,
    })
    .unwrap();
    assert!(matches!(
        play.reason(),
        Offline::Tls(TlsError::WrongName { .. } | TlsError::CertificateRejected { .. })
    ));
}

#[test]
fn a_dot_offers_nothing_and_invites_no_guess() {
    let play = refused_everywhere(vec![record(0, 0, 0, ".")], vec![record(0, 0, 5222, "xmpp.example.org")]);
    assert_eq!(places(&play), ["starttls xmpp.example.org 5222"]);
    let play = refused_everywhere(vec![record(0, 0, 1, ".")], Vec::new());
    assert_eq!(places(&play), [""; 0], "neither does the other service make up for it");
    assert_eq!(play.reason(), Offline::Connection(ConnectionError::NoEndpoint));
    let play = refused_everywhere(vec![record(0, 0, 1, ".")], vec![record(0, 0, 1, ".")]);
    assert!(places(&play).is_empty());
    // No record at all: the domain itself (RFC 6120 §3.2.2), and never port 5223.
    let play = refused_everywhere(Vec::new(), Vec::new());
    assert_eq!(places(&play), ["starttls example.org 5222"]);
}

#[test]
fn thousands_of_records_make_few_attempts() {
    let many = |port| {
        (0..10_000)
            .map(|n| record(0, u16::MAX, port, format!("h{n}.example")))
            .collect()
    };
    let play = refused_everywhere(many(5223), many(5222));
    assert!(play.connects.len() <= 64, "{}", play.connects.len());
    // The same place is tried once, and the extremes of the numbers mean nothing special.
    let same = (0..10_000)
        .map(|n| record(if n % 2 == 0 { 0 } else { u16::MAX }, 0, 5222, "H.example."))
        .collect();
    let play = refused_everywhere(Vec::new(), same);
    assert_eq!(play.connects.len(), 1, "{:?}", places(&play));
    let ordered = vec![
        record(u16::MAX, u16::MAX, 1, "last.example"),
        record(0, 0, 2, "first.example"),
        record(7, u16::MAX, 65_535, "middle.example"),
    ];
    let play = refused_everywhere(Vec::new(), ordered);
    assert_eq!(
        places(&play),
        [
            "starttls first.example 2",
            "starttls middle.example 65535",
            "starttls last.example 1"
        ]
    );
}

#[test]
fn what_is_no_host_name_is_no_place() {
    let long = "a.".repeat(200);
    let odd = [
        "",
        "a b",
        "a/b",
        "evil@host",
        "h\u{f6}st.example",
        "a\r\nHost: b",
        "[::1]",
        "a..b",
        "-\0-",
        &long,
    ];
    let records = odd
        .iter()
        .map(|target| record(0, 0, 5222, *target))
        .chain([record(0, 0, 0, "port.example")]);
    let play = refused_everywhere(Vec::new(), records.collect());
    assert!(places(&play).is_empty(), "{:?}", places(&play));
}

#[test]
fn silence_about_the_way_has_an_end() {
    let mut play = Play::started(dns());
    assert_eq!(questions(&play).len(), 2);
    play.wait(9_999);
    assert!(play.connects.is_empty() && !play.is_over());
    play.wait(1);
    assert_eq!(places(&play), ["starttls example.org 5222"], "the domain itself");
    // What comes late, or twice, or was never asked for, is nothing.
    for query in 0..9 {
        let answer = Answer::Records(vec![record(0, 0, 1, "late.example")]);
        let query = QueryId(query);
        play.input(Input::Resolved { query, answer }).unwrap();
    }
    refuse(&mut play);
    assert_eq!(places(&play).len(), 1);
}

const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
const BOSH: &str = "urn:xmpp:alt-connections:xbosh";

/// What host-meta says, as XML; the JSON is missing.
fn host_meta(links: &[(&str, &str)]) -> Play {
    let mut xrd = "<?xml version='1.0'?><XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>".to_owned();
    for (rel, href) in links {
        let _ = write!(xrd, "<Link rel='{rel}' href='{href}'/>");
    }
    said_by_the_web(format!("{xrd}</XRD>").into_bytes(), Vec::new())
}

fn said_by_the_web(xml: Vec<u8>, json: Vec<u8>) -> Play {
    let mut play = Play::started(web());
    let urls: Vec<String> = questions(&play).into_iter().map(|(url, _)| url).collect();
    assert_eq!(
        urls,
        [
            "https://example.org/.well-known/host-meta",
            "https://example.org/.well-known/host-meta.json"
        ]
    );
    let reason = "404".to_owned();
    let json = if json.is_empty() {
        Answer::Failed(Failure::Http { reason })
    } else {
        Answer::Document(Cow::Owned(json))
    };
    answer(&mut play, "host-meta.json", json);
    let (_, query) = questions(&play)[0];
    play.input(Input::Resolved {
        query,
        answer: Answer::Document(Cow::Owned(xml)),
    })
    .unwrap();
    refuse(&mut play);
    play
}

#[test]
fn odd_urls_of_host_meta_are_dropped() {
    let long = format!("wss://example.org/{}", "x".repeat(2_048));
    for (rel, href) in [
        (WEBSOCKET, "ws://example.org/ws"),
        (WEBSOCKET, "https://example.org/ws"),
        (WEBSOCKET, "javascript:alert(1)"),
        (WEBSOCKET, "wss://user:pass@example.org/ws"),
        (WEBSOCKET, "wss://"),
        (WEBSOCKET, "x?wss://example.org/"),
        (WEBSOCKET, "wss://example.org/&#10;Host: b"),
        (WEBSOCKET, &long),
        (BOSH, "http://example.org/http-bind"),
        (BOSH, "wss://example.org/ws"),
        (BOSH, "file:///etc/passwd"),
        ("urn:xmpp:alt-connections:httppoll", "https://example.org/"),
        ("", "https://example.org/"),
    ] {
        let play = host_meta(&[(rel, href)]);
        assert!(places(&play).is_empty(), "{href}: {:?}", places(&play));
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::NoEndpoint),
            "{href}"
        );
    }
    let play = host_meta(&[
        (BOSH, "https://b.example/"),
        (WEBSOCKET, "wss://w.example/ws"),
        (WEBSOCKET, "ws://x/"),
    ]);
    assert_eq!(places(&play), ["wss://w.example/ws", "https://b.example/"]);
    let names: Vec<&str> = play.connects.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["w.example", "b.example"], "of a URL its host is verified");
}

#[test]
fn documents_that_are_bombs_are_refused() {
    let link = format!("<Link rel='{WEBSOCKET}' href='wss://evil.example/'/>");
    let xrd = |inner: &str| format!("<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>{inner}</XRD>");
    for document in [
        format!(
            "<!DOCTYPE XRD [<!ENTITY a 'wss://evil.example/'>]>{}",
            xrd(&link.replace("wss://evil.example/", "&a;"))
        ),
        xrd(&format!("{}{link}", " ".repeat(70_000))),
        xrd(&format!("{link}{}", "<a>".repeat(10_000))),
        xrd(&format!("{link}<!---->")),
        xrd(&link)[..60].to_owned(),
        format!("<XRD>{link}</XRD>"),
        "<html><body>login here</body></html>".to_owned(),
        String::new(),
    ] {
        let play = said_by_the_web(document.clone().into_bytes(), Vec::new());
        let shown: String = document.chars().take(80).collect();
        assert!(places(&play).is_empty(), "{shown}: {:?}", places(&play));
    }
    let entry = format!("{{\"rel\":\"{WEBSOCKET}\",\"href\":\"wss://evil.example/\"}}");
    for json in [
        "[".repeat(100_000),
        format!("{{\"links\":[{entry}]"),
        format!("{{\"links\":[{entry}],\"x\":\"{}\"}}", "x".repeat(70_000)),
        format!("{{\"links\":{entry}}}"),
        "null".to_owned(),
    ] {
        let shown: String = json.chars().take(80).collect();
        let play = said_by_the_web(b"<x/>".to_vec(), json.into_bytes());
        assert!(places(&play).is_empty(), "{shown}: {:?}", places(&play));
    }
    // Of very many links a few are tried.
    let many: String = (0..500).map(|n| link.replace("evil", &format!("evil{n}"))).collect();
    let play = said_by_the_web(xrd(&many).into_bytes(), Vec::new());
    assert_eq!(play.connects.len(), 8, "{}", many.len());
    let json = format!("{{\"links\":[{entry}]}}");
    assert_eq!(
        places(&said_by_the_web(b"<x/>".to_vec(), json.into_bytes())),
        ["wss://evil.example/"]
    );
}
