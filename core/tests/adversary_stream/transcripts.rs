//! Golden transcripts of streams, as those of `golden.rs`; and whatever TCP cuts, any transcript comes out the same. (In them `<r/>`
//! comes last in what is said at once, for the answer counts all that has come with it.)
//!
//! `EPODE_BLESS=1 cargo test -p epode --test adversary_stream transcripts` writes them anew; read the difference before it is committed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use epode::config::Reconnect;
use epode::record::{Entry, Log};
use epode::{Client, Config, Credentials, Event, Input, Instant, LinkId, LinkInfo, Output};

use crate::harness::{PASSWORD, Play, Scram, base64, bound, mechanisms, sasl};
use crate::streams::{ENABLED, MANAGED, log_in};
use crate::wire::{self, Cut, Wire};

const SEED: [u8; 32] = *b"the seed of the golden transcrip";
const GREETING: &str = "<message xmlns='jabber:client' from='user02@example.org/x' to='user01@example.org/r' \
                        type='chat'><body>Hello &amp; welcome \u{1f44b}</body></message>";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts")
}

fn start(credentials: Credentials) -> Play {
    let config: Config = crate::harness::of("user01@example.org")
        .reconnect(Reconnect::default())
        .credentials(credentials)
        .build()
        .unwrap();
    let mut play = Play::idle(config, SEED);
    play.input(Input::Start).unwrap();
    play
}

fn chat(play: &mut Play, text: &str) {
    let stanza = epode::stanza::chat(&"user02@example.org".parse().unwrap(), text).unwrap();
    play.input(Input::Send { stanza }).unwrap();
}

/// Stanzas both ways with their acknowledgements, a link that breaks, the session resumed, more stanzas, and the goodbye.
fn talk(play: &mut Play, log_in_again: impl Fn(&mut Play)) {
    play.answer(&bound(&play.iq_id(), "<jid>user01@example.org/r</jid>"));
    play.answer(ENABLED);
    chat(play, "first & foremost");
    play.answer(&format!("{GREETING}<r xmlns='urn:xmpp:sm:3'/>"));
    play.wait(3_000);
    play.answer("<a xmlns='urn:xmpp:sm:3' h='1'/>");
    chat(play, "lost on its way");
    play.input(Input::Ended { link: play.link }).unwrap();
    chat(play, "meanwhile");
    play.until_next_link();
    log_in_again(play);
    play.answer("<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='1'/>");
    play.answer(&format!(
        "<a xmlns='urn:xmpp:sm:3' h='3'/>{GREETING}<r xmlns='urn:xmpp:sm:3'/>"
    ));
    play.now += 1_000;
    play.input(Input::Stop).unwrap();
    play.answer(play.wire.close());
    assert!(play.is_over(), "{:?}", play.events);
    let online: Vec<bool> = play
        .events
        .iter()
        .filter_map(|event| {
            if let Event::Online { resumed, .. } = event {
                Some(*resumed)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        (online, play.stanzas().len()),
        (vec![false, true], 2),
        "{:?}",
        play.events
    );
}

fn external(wire: Wire) -> Log {
    wire::set(wire, Cut::Elements);
    let mut play = start(Credentials::certificate("user01", None));
    let log_in = |play: &mut Play| log_in(play, MANAGED);
    log_in(&mut play);
    talk(&mut play, log_in);
    play.into_log()
}

fn scram() -> Log {
    wire::set(Wire::WebSocket, Cut::Elements);
    let log_in = |play: &mut Play| {
        let earlier = play.sasl_messages().len();
        play.connect(LinkInfo::verified("example.org"));
        play.answer(&mechanisms(&["SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN"]));
        // `sasl_messages` gives all first messages, then all others.
        let first = play.sasl_messages()[earlier / 2].clone();
        let server = Scram::answering_to(&first);
        play.answer(&sasl("challenge", &base64(&server.first)));
        let last = play.sasl_messages().last().unwrap().clone();
        play.answer(&sasl("success", &base64(server.proof(&last, PASSWORD))));
        play.answer(MANAGED);
    };
    let mut play = start(Credentials::password(PASSWORD));
    log_in(&mut play);
    talk(&mut play, log_in);
    play.into_log()
}

fn assert_golden(name: &str, log: &Log) {
    let (path, text) = (folder().join(name), log.to_text());
    if std::env::var_os("EPODE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
    assert!(
        text.ends_with("{\"out\":{\"event\":{\"offline\":{\"reason\":\"stopped\"}}}}\n"),
        "{text}"
    );
    assert!(!text.contains(PASSWORD));
    let mut log = Log::read(&text).unwrap();
    log.header.config.set_password(PASSWORD.into());
    assert_eq!(log.replay().unwrap().to_text(), text);
}

#[test]
fn a_session_over_tcp_with_a_certificate_goes_as_it_is_known_to() {
    assert_golden("tcp-external.jsonl", &external(Wire::StartTls));
}

#[test]
fn a_session_over_websocket_with_a_certificate_goes_as_it_is_known_to() {
    assert_golden("websocket-external.jsonl", &external(Wire::WebSocket));
}

/// In a folder of its own: whoever replays it has to know the password, and to leave proofs out of what is compared.
#[test]
fn a_session_over_websocket_with_a_password_goes_as_it_is_known_to() {
    assert_golden("password/websocket-scram.jsonl", &scram());
}

// ---- any cut

/// Every transcript with bytes of TCP.
fn transcripts() -> Vec<Log> {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let logs = files.map(|path| Log::read(&std::fs::read_to_string(path).unwrap()).unwrap());
    let logs: Vec<Log> = logs.filter(|log| log.to_text().contains("{\"write\":")).collect();
    assert!(!logs.is_empty());
    logs
}

/// What the application and each server get to see.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    events: Vec<Event>,
    wires: BTreeMap<LinkId, Vec<u8>>,
    others: Vec<Output>,
}

/// Replays a log; what the server says without waiting is joined, and cut again at those bytes of the whole.
fn replay(log: &Log, cuts: &[usize]) -> Seen {
    let mut client = Client::new(log.header.config.clone(), log.header.seed().unwrap());
    let mut seen = Seen::default();
    let mut turn = |now: Instant, input: Input<'_>| {
        client.handle(now, input).unwrap();
        while let Some(output) = client.next() {
            match output {
                Output::Event(event) => seen.events.push(event),
                Output::Write { link, bytes } => seen.wires.entry(link).or_default().extend(bytes),
                other @ (Output::Connect { .. } | _) => seen.others.push(other),
            }
        }
    };
    let mut before = 0;
    for (now, input) in joined(log) {
        let Input::Received { link, bytes } = &input else {
            turn(now, input);
            continue;
        };
        let inside = cuts
            .iter()
            .filter(|cut| (before + 1..before + bytes.len()).contains(*cut));
        let mut start = 0;
        for end in inside.map(|cut| cut - before).chain([bytes.len()]) {
            let bytes = Cow::Borrowed(&bytes[start..end]);
            turn(now, Input::Received { link: *link, bytes });
            start = end;
        }
        before += bytes.len();
    }
    seen
}

fn joined(log: &Log) -> Vec<(Instant, Input<'static>)> {
    let mut inputs: Vec<(Instant, Input<'static>)> = Vec::new();
    for entry in &log.entries {
        let Entry::In { now, r#in } = entry else { continue };
        if let (Some((then, Input::Received { link: last, bytes: all })), Input::Received { link, bytes }) =
            (inputs.last_mut(), r#in)
        {
            if last == link && then == now {
                all.to_mut().extend_from_slice(bytes);
                continue;
            }
        }
        inputs.push((*now, r#in.clone()));
    }
    inputs
}

fn received(log: &Log) -> usize {
    let sizes = joined(log).into_iter().map(|(_, input)| match input {
        Input::Received { bytes, .. } => bytes.len(),
        Input::Tick | _ => 0,
    });
    sizes.sum()
}

#[test]
fn a_transcript_cut_anywhere_comes_out_the_same() {
    for log in transcripts() {
        let whole = replay(&log, &[]);
        let length = received(&log);
        assert!(length > 1_000 && whole.events.len() > 5);
        for at in 1..length {
            assert_eq!(whole, replay(&log, &[at]), "cut at {at}");
        }
        let all: Vec<usize> = (1..length).collect();
        assert_eq!(whole, replay(&log, &all), "every byte alone");
    }
}

#[test]
fn a_transcript_cut_at_random_comes_out_the_same() {
    for log in transcripts() {
        let whole = replay(&log, &[]);
        let length = received(&log);
        let mut state = 1_u64;
        for round in 0..300 {
            let mut cuts = Vec::new();
            for at in 1..length {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // From one cut in two bytes to one in five hundred.
                if (state >> 33) % (2 + round * 5 / 3) == 0 {
                    cuts.push(at);
                }
            }
            assert_eq!(whole, replay(&log, &cuts), "round {round}: {cuts:?}");
        }
    }
}
