//! A log of turns reads back to the same state, wherever it was cut; what is damaged is refused.

use std::borrow::Cow;
use std::boxed::Box;
use std::collections::VecDeque;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use crate::error::SnapshotError;
use crate::input::{Slot, Token};
use crate::link::bosh::Kind;
use crate::link::bosh::keys::Keys;
use crate::link::bosh::state::{self as bosh, Posted};
use crate::secret::Secret;
use crate::session::stream_management::{self, Kept, Session};
use crate::supervisor::snapshot::{Change, Journal, State, read, read_entries, write_entries};

const ME: &str = "u@example.org";

fn stanza(token: u64, xml: &str) -> Kept {
    Kept {
        token: Some(Token(token)),
        request: None,
        xml: xml.to_string(),
        unix_ms: Some(1_700_000_000_000),
        links: 0,
        stamped: false,
    }
}

fn stream() -> stream_management::State {
    stream_management::State {
        session: Some(Session {
            id: Secret::from("secret-id"),
            max: Some(300),
            location: Some("[2001:db8::1]:5300".into()),
        }),
        counts: true,
        handled: 7,
        // Soon over the end of u32.
        acked: u32::MAX - 2,
        queue: VecDeque::new(),
    }
}

fn bosh() -> bosh::State {
    bosh::State {
        url: "https://w.example.net/bosh".into(),
        sid: Secret::from("secret-sid"),
        wait: 60,
        hold: 1,
        requests: 2,
        inactivity: Some(30),
        polling: None,
        maxpause: Some(120),
        acknowledges: true,
        legacy: false,
        ack: true,
        stream: Some("s1".into()),
        server_certificate: Some([9; 32]),
        next_rid: 1 << 40,
        next_to_process: 1 << 40,
        keys: keys(3, 255),
        posted: Vec::new(),
    }
}

fn keys(seed: u8, next: u16) -> Option<Keys> {
    let seed = Secret::new(vec![seed; 4]);
    Some(Keys { seed, next })
}

fn posted(rid: u64, size: u8, tokens: Vec<Token>) -> Posted {
    Posted {
        rid,
        kind: [Kind::Payload, Kind::Empty, Kind::Pause, Kind::Terminate][usize::from(size) % 4],
        body: Secret::new(vec![size; usize::from(size)]),
        tokens,
    }
}

fn of_bosh(change: bosh::Change, taken: u32) -> Change<'static> {
    let change = Cow::Owned(change);
    Change::Bosh { change, taken }
}

/// A change that can follow `state`, made of three numbers.
fn change(state: &State, (which, size, flag): (u8, u8, bool)) -> Change<'static> {
    let some = u32::from(size);
    let waiting = u32::try_from(state.waiting.len()).unwrap();
    let token = state.next_token.max(1);
    let queued = || {
        let mut stanza = stanza(token, &"<message/>ä".repeat(usize::from(size) % 5));
        stanza.token = flag.then_some(Token(token));
        stanza.request = (!flag && size % 2 == 0).then_some(Token(token));
        stanza.unix_ms = (!flag).then_some(u64::from(size));
        stanza.stamped = size % 3 == 0;
        Change::Queued(Cow::Owned(stanza))
    };
    match (which % 14, &state.stream, &state.bosh) {
        (0, ..) => Change::Tokens {
            next: token + u64::from(size),
        },
        (1, ..) => {
            let tokens = state
                .waiting
                .iter()
                .filter_map(|stanza| stanza.token.or(stanza.request));
            let tokens: Vec<Token> = tokens.collect();
            match tokens.get(usize::from(size) % tokens.len().max(1)) {
                Some(token) => Change::Dropped { token: *token },
                None => queued(),
            }
        }
        (2, Some(_), _) => Change::Sent {
            count: some % (waiting + 1),
            unix_ms: flag.then_some(u64::from(size)),
        },
        (3, Some(stream), _) => Change::Acked {
            h: stream
                .acked
                .wrapping_add(some % (u32::try_from(stream.queue.len()).unwrap() + 1)),
        },
        (4, Some(_), _) => Change::Inbound { h: some },
        (5 | 6, _, Some(bosh)) => of_bosh(
            bosh::Change::Posted {
                posted: posted(bosh.next_rid, size, vec![Token(1), Token(some.into())]),
                keys: if flag { keys(size, some as u16 + 1) } else { None },
            },
            some % (waiting + 1),
        ),
        (7, _, Some(bosh)) => of_bosh(bosh::Change::Acknowledged { rid: bosh.next_rid - 1 }, 0),
        (8, _, Some(bosh)) if !bosh.posted.is_empty() => {
            let rid = bosh.posted[usize::from(size) % bosh.posted.len()].rid;
            of_bosh(bosh::Change::Answered { rid }, 0)
        }
        (9, _, Some(_)) => of_bosh(bosh::Change::ServerCertificate([size; 32]), 0),
        (10, _, Some(_)) if flag => of_bosh(bosh::Change::Ended, 0),
        (11, ..) => Change::Whole(Box::new(State {
            stream: flag.then(stream),
            bosh: (size % 2 == 0).then(bosh),
            jid: (size % 3 == 0).then(|| format!("{ME}/r")),
            ..state.clone()
        })),
        _ => queued(),
    }
}

/// The log of some turns, with the state and the length after each.
fn log(turns: &[Vec<(u8, u8, bool)>]) -> (Vec<u8>, Vec<(usize, State)>) {
    let mut state = State::default();
    let (mut journal, bytes) = Journal::begin(ME, &state);
    let mut bytes = bytes.expose().to_vec();
    let mut marks = vec![(bytes.len(), state.clone())];
    for turn in turns {
        let mut changes = Vec::new();
        state.acked = Vec::new();
        for numbers in turn {
            let change = change(&state, *numbers);
            assert_eq!(state.apply(change.clone()), Ok(()));
            changes.push(change);
        }
        bytes.extend(journal.append(&changes).expose());
        marks.push((bytes.len(), state.clone()));
    }
    (bytes, marks)
}

fn turns() -> impl Strategy<Value = Vec<Vec<(u8, u8, bool)>>> {
    let turn = prop::collection::vec(any::<(u8, u8, bool)>(), 0..6);
    prop::collection::vec(turn, 0..20)
}

/// The state after the last turn that is whole.
fn known(marks: &[(usize, State)], length: usize) -> Option<&State> {
    marks
        .iter()
        .rev()
        .find(|(end, _)| *end <= length)
        .map(|(_, state)| state)
}

proptest! {
    #[test]
    fn a_crash_at_any_byte_loses_the_turn_at_most(turns in turns(), at in any::<prop::sample::Index>()) {
        let (bytes, marks) = log(&turns);
        let whole = read(ME, &bytes);
        prop_assert_eq!(whole.as_ref(), Ok(&marks.last().unwrap().1));
        let length = at.index(bytes.len() + 1);
        let result = read(ME, &bytes[..length]);
        match (length, known(&marks, length)) {
            (0, _) => prop_assert_eq!(result, Ok(State::default())),
            (_, Some(state)) => prop_assert_eq!(result.as_ref(), Ok(state)),
            // The beginning is cut: it replaces a slot as a whole, so that no crash does this.
            (_, None) => prop_assert_eq!(result, Err(SnapshotError::Corrupt)),
        }
    }

    #[test]
    fn damage_is_never_taken_for_news(
        turns in turns(), at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<prop::sample::Index>()
    ) {
        let (mut bytes, marks) = log(&turns);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(read(ME, &bytes).is_err(), "byte {at} of {}", bytes.len());
        // Cut as well: the damage may be in what is cut off, or in the turn that is ignored.
        let length = cut.index(bytes.len() + 1).max(marks[0].0);
        if let Ok(state) = read(ME, &bytes[..length]) {
            prop_assert_eq!(Some(&state), known(&marks, length));
            prop_assert!(at >= marks.iter().rev().find(|(end, _)| *end <= length).unwrap().0);
        }
    }

    #[test]
    fn any_bytes_are_an_answer(mut bytes in prop::collection::vec(any::<u8>(), 0..200), whole in any::<bool>()) {
        if whole {
            // Behind a header that is right.
            let (_, start) = Journal::begin(ME, &State::default());
            let mut log = start.expose().to_vec();
            log.append(&mut bytes);
            bytes = log;
        }
        let _ = read(ME, &bytes);
        let _ = read_entries(Slot::Token, ME, &bytes);
    }

    #[test]
    fn turns_cannot_be_left_out_or_swapped(turns in turns(), at in any::<prop::sample::Index>()) {
        let (bytes, marks) = log(&turns);
        if marks.len() >= 3 {
            let index = at.index(marks.len() - 2);
            let (start, end) = (marks[index].0, marks[index + 1].0);
            let mut without = bytes.clone();
            without.drain(start..end);
            prop_assert_eq!(read(ME, &without), Err(SnapshotError::Corrupt));
        }
    }
}

#[test]
fn whole_states_read_back() {
    let mut state = State {
        next_token: u64::MAX,
        was_online: true,
        jid: Some("u@example.org/r".into()),
        stream: Some(stream()),
        bosh: Some(bosh()),
        waiting: VecDeque::from([stanza(1, "<a/>"), stanza(2, "")]),
        acked: vec![Token(8)],
    };
    state.stream.as_mut().unwrap().queue.push_back(stanza(3, "<b/>"));
    let under_way = posted(5, 1, vec![Token(9)]);
    state.bosh.as_mut().unwrap().posted.push(under_way);
    let (_, bytes) = Journal::begin(ME, &state);
    assert_eq!(read(ME, bytes.expose()), Ok(state.clone()));
    let shown = format!("{state:?}");
    assert!(!shown.contains("secret") && !shown.contains("<a/>"), "{shown}");
}

#[test]
fn others_and_later_versions_are_refused() {
    let (_, bytes) = Journal::begin(ME, &State::default());
    let bytes = bytes.expose();
    assert_eq!(read("x@example.org", bytes), Err(SnapshotError::Foreign));
    assert_eq!(read_entries(Slot::Pins, ME, bytes), Err(SnapshotError::Foreign));
    let mut newer = bytes.to_vec();
    newer[16] = 2;
    assert_eq!(read(ME, &newer), Err(SnapshotError::Newer { version: 2 }));
    // Whatever a later version puts there.
    assert_eq!(read(ME, &newer[..17]), Err(SnapshotError::Newer { version: 2 }));
    newer[16] = 0;
    assert_eq!(read(ME, &newer), Err(SnapshotError::Corrupt));
    assert_eq!(read(ME, b"{\"rid\": 1}"), Err(SnapshotError::Corrupt));
    assert_eq!(read(ME, b""), Ok(State::default()));
}

#[test]
fn impossible_changes_are_refused() {
    let begun = || State {
        stream: Some(stream()),
        bosh: Some(bosh()),
        ..State::default()
    };
    let posted = |rid| {
        let posted = posted(rid, 1, Vec::new());
        of_bosh(bosh::Change::Posted { posted, keys: None }, 0)
    };
    for (state, change) in [
        (State::default(), Change::Inbound { h: 1 }),
        (State::default(), Change::Acked { h: 0 }),
        (
            State::default(),
            Change::Sent {
                count: 0,
                unix_ms: None,
            },
        ),
        (State::default(), posted(1)),
        (begun(), Change::Acked { h: 5 }),
        (
            begun(),
            Change::Sent {
                count: 1,
                unix_ms: None,
            },
        ),
        (begun(), Change::Dropped { token: Token(1) }),
        // The same number again, with other bytes.
        (begun(), posted((1 << 40) - 1)),
        (begun(), posted((1 << 40) + 1)),
        (begun(), of_bosh(bosh::Change::Answered { rid: 1 << 40 }, 0)),
    ] {
        assert_eq!(state.clone().apply(change.clone()), Err(SnapshotError::Corrupt));
        let (mut journal, bytes) = Journal::begin(ME, &state);
        let bytes = [bytes.expose(), journal.append(&[change]).expose()].concat();
        assert_eq!(read(ME, &bytes), Err(SnapshotError::Corrupt));
    }
}

#[test]
fn acknowledgements_count_modulo_two_to_the_32() {
    let mut state = State {
        stream: Some(stream()),
        ..State::default()
    };
    for token in 1..=5 {
        state.apply(Change::Queued(Cow::Owned(stanza(token, "<m/>")))).unwrap();
    }
    state
        .apply(Change::Sent {
            count: 5,
            unix_ms: None,
        })
        .unwrap();
    // u32::MAX - 2 and four more.
    state.apply(Change::Acked { h: 1 }).unwrap();
    let left: Vec<(Option<Token>, u8)> = state
        .stream
        .as_ref()
        .unwrap()
        .queue
        .iter()
        .map(|stanza| (stanza.token, stanza.links))
        .collect();
    assert_eq!(left, [(Some(Token(5)), 1)]);
    assert_eq!(state.next_token, 6);
    // Of the others somebody may have to hear again.
    assert_eq!(state.acked, [1, 2, 3, 4].map(Token));
}

#[test]
fn the_log_stays_in_proportion() {
    let state = State {
        stream: Some(stream_management::State { acked: 0, ..stream() }),
        ..State::default()
    };
    let (mut journal, bytes) = Journal::begin(ME, &state);
    let mut live = state;
    let (mut written, mut length, mut longest) = (bytes.expose().len(), bytes.expose().len(), 0);
    let mut changed = 0;
    for number in 1..=2_000_u32 {
        let xml: String = "x".repeat(200);
        let stanza = stanza(number.into(), &xml);
        let changes = [
            Change::Queued(Cow::Owned(stanza)),
            Change::Sent {
                count: 1,
                unix_ms: None,
            },
            Change::Acked { h: number },
        ];
        live.acked = Vec::new();
        for change in changes.clone() {
            live.apply(change).unwrap();
        }
        let bytes = journal.append(&changes).expose().len();
        (written, changed, length) = (written + bytes, changed + bytes, length + bytes);
        if journal.is_long() {
            let (begun, bytes) = Journal::begin(ME, &live);
            journal = begun;
            written += bytes.expose().len();
            length = bytes.expose().len();
        }
        longest = longest.max(length);
    }
    assert!(written < changed * 3 / 2, "{written} bytes for {changed}");
    assert!(longest < 8 * 1024, "{longest}");
}

#[test]
fn entries_read_back() {
    let entries = vec![
        ("mechanism".to_string(), b"SCRAM-SHA-256-PLUS".to_vec()),
        (String::new(), vec![]),
    ];
    let bytes = write_entries(Slot::Pins, ME, &entries);
    assert_eq!(read_entries(Slot::Pins, ME, bytes.expose()), Ok(entries));
    assert_eq!(
        read_entries(Slot::Token, ME, bytes.expose()),
        Err(SnapshotError::Foreign)
    );
    assert_eq!(read_entries(Slot::Pins, ME, b""), Ok(vec![]));
}
