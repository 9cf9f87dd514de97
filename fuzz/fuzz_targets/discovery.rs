//! The way to a server, from anything that DNS and web servers may say: bounded, in TLS, and to the right name.
#![no_main]

use std::collections::BTreeSet;

use epode::config::{Discover, Reconnect, Transport};
use epode::{
    Client, Config, Credentials, Event, Failure, Input, Instant, LinkId, Output, QueryId, Question, TlsPolicy,
};
use epode_fuzz::cursor::Cursor;
use epode_fuzz::wire::check_endpoint;
use epode_fuzz::{answers, memory};
use libfuzzer_sys::fuzz_target;

/// Each account's domain, and the same as DNS and TLS have it.
const DOMAINS: [(&str, &str); 4] = [
    ("example.org", "example.org"),
    ("b\u{fc}cher.example", "xn--bcher-kva.example"),
    ("192.0.2.1", "192.0.2.1"),
    ("[2001:db8::1]", "2001:db8::1"),
];
/// 32 records of each of the two services, or the guess; 8 URLs of each of the two kinds.
const CANDIDATES: usize = 2 * 32 + 2 * 8;
const FIXED: usize = 4 * 1024 * 1024;
const PER_BYTE: usize = 256;

// A byte for the configuration, then one for each question: which is answered, and how; see `answers::any`.
fuzz_target!(|bytes: &[u8]| {
    let ((), most) = memory::most(|| run(bytes));
    assert!(
        most <= FIXED + PER_BYTE * bytes.len(),
        "{most} bytes of memory for {}",
        bytes.len()
    );
});

/// What the client waits for.
#[derive(Default)]
struct State {
    questions: Vec<(QueryId, Question)>,
    link: Option<LinkId>,
    /// Places that were tried.
    tried: BTreeSet<String>,
    asked: usize,
    over: bool,
}

fn run(bytes: &[u8]) {
    let mut cursor = Cursor::new(bytes);
    let options = cursor.byte();
    let (domain, ascii) = DOMAINS[usize::from(options) % 4];
    let plaintext = options & 4 != 0;
    // Any kind of place, but not none.
    let kinds = match options >> 3 & 7 {
        0 => 7,
        some => some,
    };
    let discover = Discover {
        tcp: kinds & 1 != 0,
        websocket: kinds & 2 != 0,
        bosh: kinds & 4 != 0,
    };
    let config = Config::builder(format!("user@{domain}").parse().expect("a JID"))
        .credentials(Credentials::password("pencil"))
        .tls(if plaintext {
            TlsPolicy::AllowPlaintext
        } else {
            TlsPolicy::Required
        })
        .reconnect(Reconnect::never())
        .transport(Transport::Discover(discover))
        .build()
        .expect("a configuration");
    let mut client = Client::new(config, [options; 32]);
    let mut now = 1_000;
    let mut state = State::default();
    let feed = |client: &mut Client, state: &mut State, now: u64, input: Input<'_>| {
        let result = client.handle(Instant::from_millis(now), input);
        assert_eq!(result, Ok(None), "what others say is no error of the host's");
        while let Some(output) = client.next() {
            assert!(!state.over, "offline, but {output:?}");
            match output {
                Output::Resolve { query, question, .. } => {
                    state.asked += 1;
                    assert!(state.asked <= 4, "{question:?}");
                    let name = match &question {
                        Question::Srv { name } => name.strip_suffix(ascii).is_some_and(|name| name.ends_with("._tcp.")),
                        Question::Document { url, .. } => url.starts_with("https://") && url.contains(ascii),
                        _ => false,
                    };
                    assert!(name, "{question:?}");
                    state.questions.push((query, question));
                }
                Output::Connect {
                    link,
                    endpoint,
                    server_name,
                    ..
                } => {
                    assert_eq!(state.link, None, "one link");
                    check_endpoint(&endpoint, &server_name, ascii, plaintext);
                    assert!(state.tried.insert(format!("{endpoint:?}")), "again: {endpoint:?}");
                    assert!(state.tried.len() <= CANDIDATES, "{} places", state.tried.len());
                    state.link = Some(link);
                }
                Output::Close { link } => assert_eq!(state.link.take(), Some(link)),
                Output::Event(Event::Offline { .. }) => state.over = true,
                other => panic!("unexpected: {other:?}"),
            }
        }
    };
    feed(&mut client, &mut state, now, Input::Start);
    // Each turn answers a question, fails a link, or lets a deadline pass: there is an end.
    for _ in 0..CANDIDATES * 2 + 32 {
        if state.over {
            assert_eq!(client.deadline(), None);
            return;
        }
        let choice = cursor.byte();
        match state.link {
            Some(link) if choice % 4 != 3 || state.questions.is_empty() => {
                let reason = match choice % 4 {
                    0 => Failure::Refused,
                    1 => Failure::CertificateRejected {
                        reason: String::from("expired"),
                    },
                    _ => Failure::Timeout,
                };
                let failed = Input::Failed {
                    link,
                    request: None,
                    reason,
                };
                feed(&mut client, &mut state, now, failed);
            }
            _ if choice & 64 == 0 && !state.questions.is_empty() => {
                let index = usize::from(choice >> 2) % state.questions.len();
                let (query, question) = state.questions.swap_remove(index);
                let answer = answers::any(&mut cursor, &question);
                feed(&mut client, &mut state, now, Input::Resolved { query, answer });
            }
            _ => {
                let Some((at, _)) = client.deadline() else {
                    panic!("a client that is not offline waits for something");
                };
                now = now.max(at.as_millis());
                feed(&mut client, &mut state, now, Input::Tick);
                if let Some((at, timer)) = client.deadline() {
                    assert!(at.as_millis() > now, "{timer} is still due");
                }
            }
        }
    }
    assert!(state.over, "a search without an end");
}
