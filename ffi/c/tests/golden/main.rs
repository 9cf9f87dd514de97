//! Golden logs through the C functions, beside the engine itself: the sentences, which inputs are refused, the deadline.
//!
//! The bytes alone are replayed by programs in C (tests/c/replay), which see no more than the header; this adds what a log does not say.
//!
//! - `config.rs`, `input.rs`: the client and its inputs, as a host in C makes them.
//! - `output.rs`: compares.
//! - `values.rs`: the same value on both sides.
#![cfg(test)]

mod config;
mod input;
mod output;
mod values;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::PathBuf;

use epode::record::{Entry, Header, Log, Recorder};
use epode::{Input, TcpTls};
use epode_c::client::{epode_client_free, epode_deadline, epode_wants_read};
use epode_c::code::*;
use serde_json::Value;

use crate::config::client;
use crate::input::input;
use crate::output::same;
use crate::values::{absent, next, text};

/// Plays a log; gives how many outputs were compared.
fn play(log: &Log) -> usize {
    let header: Value = serde_json::from_str(&log.header.to_line()).unwrap();
    let seed = log.header.seed().unwrap();
    let client = client(&header["config"], &seed);
    // Says which inputs are refused, which the log does not.
    let mut core = epode::Client::new(log.header.config.clone(), seed);
    let mut outputs = 0;
    for entry in &log.entries {
        match entry {
            Entry::In { now, r#in } => {
                assert_eq!(next(client).kind, EPODE_NONE, "before {}", r#in.name());
                let (code, token) = input(client, now.as_millis(), r#in);
                match core.handle(*now, r#in.clone()) {
                    Ok(given) => assert_eq!((code, token), (EPODE_OK, given.map_or(0, |token| token.0))),
                    Err(_) => assert_ne!(code, EPODE_OK),
                }
                while core.next().is_some() {}
            }
            Entry::Out { out } => {
                same(&next(client), out);
                outputs += 1;
            }
        }
    }
    assert_eq!(next(client).kind, EPODE_NONE);
    let (mut at, mut timer) = (0, absent());
    let deadline = core.deadline();
    // SAFETY: the handle lives until the last of these.
    unsafe {
        assert_eq!(epode_deadline(client, &raw mut at, &raw mut timer), EPODE_OK);
        let expected = (
            deadline.map_or(u64::MAX, |(at, _)| at.as_millis()),
            deadline.map(|(_, timer)| timer.name()),
        );
        assert_eq!((at, text(timer)), expected);
        assert_eq!(epode_wants_read(client), core.wants_read());
        epode_client_free(client);
    }
    outputs
}

/// A life over a stream: what the server says whenever there is something to answer, until it has said all.
fn life(builder: epode::ConfigBuilder, name: &str, subprotocol: Option<&str>, says: &[&str]) -> Log {
    let config = builder
        .credentials(epode::Credentials::certificate("user01", None))
        .build()
        .unwrap();
    let seed = *b"the seed of a life over a stream";
    let mut client = Recorder::new(epode::Client::new(config.clone(), seed));
    let mut now = 1_000;
    let mut inputs = VecDeque::from([Input::Clock { unix_ms: 1 }, Input::Start]);
    let mut says = says.iter();
    let mut id = String::new();
    while let Some(input) = inputs.pop_front() {
        now += 10;
        let _ = client.handle(epode::Instant::from_millis(now), input);
        while let Some(output) = client.next() {
            if let epode::Output::Connect { link, .. } | epode::Output::StartTls { link, .. } = output {
                // TCP is in the clear at first.
                let in_the_clear = subprotocol.is_none() && matches!(output, epode::Output::Connect { .. });
                let info = epode::LinkInfo {
                    subprotocol: subprotocol.map(str::to_owned),
                    ..if in_the_clear {
                        epode::LinkInfo::default()
                    } else {
                        epode::LinkInfo::verified(name)
                    }
                };
                inputs.push_back(Input::Connected { link, info });
                continue;
            }
            let (link, sent) = if let epode::Output::Write { link, bytes } = output {
                (link, String::from_utf8(bytes).unwrap())
            } else if let epode::Output::Frame { link, text } = output {
                (link, text)
            } else {
                continue;
            };
            let bytes = sent.len() as u64;
            inputs.push_back(Input::Written { link, bytes });
            if let Some((_, rest)) = sent.split_once(" id='") {
                id = rest.split('\'').next().unwrap().to_owned();
            }
            if let Some(say) = says.next() {
                for part in say.replace("{id}", &id).split('|') {
                    let bytes = Cow::Owned(part.as_bytes().to_vec());
                    inputs.push_back(Input::Received { link, bytes });
                }
                if says.len() == 0 {
                    inputs.extend([Input::Pause { seconds: 1 }, Input::Ended { link }, Input::Stop]);
                }
            }
        }
    }
    Log {
        header: Header::new(&config, &seed),
        entries: client.into_entries(),
    }
}

const EXTERNAL: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
const BOUND: &str = "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                     <jid>user01@debian/x</jid></bind></iq>|<message xmlns='jabber:client' from='user02@debian/x'>\
                     <body>hi</body></message>";

fn has(log: &Log, what: &[&str]) {
    let text = log.to_text();
    for what in what {
        assert!(text.contains(&format!("\"{what}\":")), "no {what} in {text}");
    }
}

#[test]
fn a_life_over_tcp_goes_the_same_through_c() {
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' \
                  from='debian' id='1'>";
    let features = |inner: &str| format!("{header}|<stream:features>{inner}</stream:features>");
    let says = [
        &features("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        &features(EXTERNAL),
        SUCCESS,
        &features(BIND),
        BOUND,
    ];
    let builder = epode::Config::builder("user01@debian".parse().unwrap()).tcp("::1", 5222, TcpTls::StartTls);
    let log = life(builder, "debian", None, &says);
    has(
        &log,
        &[
            "clock",
            "received",
            "written",
            "write",
            "start_tls",
            "online",
            "stanza",
            "interrupted",
        ],
    );
    assert!(play(&log) > 10);
}

#[test]
fn a_life_over_a_websocket_goes_the_same_through_c() {
    let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' from='debian' id='1'/>";
    let features =
        |inner: &str| format!("{open}|<features xmlns='http://etherx.jabber.org/streams'>{inner}</features>");
    let says = [&features(EXTERNAL), SUCCESS, &features(BIND), BOUND];
    let builder = epode::Config::builder("user01@debian".parse().unwrap()).websocket("wss://ws.debian/ws");
    let log = life(builder, "ws.debian", Some("xmpp"), &says);
    has(
        &log,
        &["received", "written", "frame", "online", "stanza", "interrupted"],
    );
    assert!(play(&log) > 7);
}

#[test]
fn the_known_lives_go_the_same_through_c() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts");
    let mut played = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let log = Log::read(&std::fs::read_to_string(&path).unwrap());
            let outputs = play(&log.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
            assert!(outputs > 10, "{}: {outputs}", path.display());
            played += 1;
        }
    }
    assert!(played > 0);
}
