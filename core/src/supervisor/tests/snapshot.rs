//! A log of turns reads back to the same state, wherever it was cut; what is damaged is refused.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use crate::error::SnapshotError;
use crate::input::{Slot, Token};
use crate::supervisor::snapshot::{
    BoshState, Change, Flight, Journal, Keys, Stanza, StanzaKind, State, StreamState, read, read_entries, write_entries,
};

const ME: &str = "u@example.org";

fn stanza(token: u64, xml: &str) -> Stanza {
    Stanza {
        token: Some(Token(token)),
        kind: StanzaKind::Message,
        xml: xml.to_string(),
        unix_ms: Some(1_700_000_000_000),
        links: 0,
    }
}

fn stream() -> StreamState {
    StreamState {
        id: "secret-id".into(),
        max: Some(300),
        location: Some("[2001:db8::1]:5300".into()),
        jid: "u@example.org/r".into(),
        mechanism: "EXTERNAL".into(),
        h_in: 7,
        // Soon over the end of u32.
        acked_out: u32::MAX - 2,
        queue: VecDeque::new(),
    }
}

fn bosh() -> BoshState {
    BoshState {
        url: "https://w.example.net/bosh".into(),
        sid: "secret-sid".into(),
        jid: "u@example.org/r".into(),
        mechanism: "SCRAM-SHA-256".into(),
        wait: 60,
        hold: 1,
        requests: 2,
        inactivity: Some(30),
        polling: None,
        maxpause: Some(120),
        acknowledges: true,
        legacy: false,
        server_certificate: Some([9; 32]),
        next_rid: 1 << 40,
        next_to_process: 1 << 40,
        keys: Some(Keys {
            seed: vec![1, 2, 3],
            left: 255,
        }),
        flights: VecDeque::new(),
    }
}

/// A change that can follow `state`, made of three numbers.
fn change(state: &State, (which, size, flag): (u8, u8, bool)) -> Change<'static> {
    let some = u32::from(size);
    let waiting = u32::try_from(state.waiting.len()).unwrap();
    let token = state.next_token.max(1);
    let queued = || {
        let mut stanza = stanza(token, &"<message/>ä".repeat(usize::from(size) % 5));
        stanza.token = flag.then_some(Token(token));
        stanza.unix_ms = (!flag).then_some(u64::from(size));
        stanza.kind = match size % 4 {
            0 => StanzaKind::Message,
            1 => StanzaKind::Presence,
            2 => StanzaKind::Request,
            _ => StanzaKind::Response,
        };
        Change::Queued(Cow::Owned(stanza))
    };
    match (which % 15, &state.stream, &state.bosh) {
        (0, ..) => Change::Tokens {
            next: token + u64::from(size),
        },
        (1, ..) => {
            let tokens = state.waiting.iter().filter_map(|stanza| stanza.token);
            let tokens: Vec<Token> = tokens.collect();
            match tokens.get(usize::from(size) % tokens.len().max(1)) {
                Some(token) => Change::Dropped { token: *token },
                None => queued(),
            }
        }
        (2, ..) => Change::Sent {
            count: some % (waiting + 1),
        },
        (3, Some(_), _) => Change::Resent,
        (4, Some(stream), _) => Change::Acked {
            h: stream
                .acked_out
                .wrapping_add(some % (u32::try_from(stream.queue.len()).unwrap() + 1)),
        },
        (5, Some(_), _) => Change::Inbound { h: some },
        (6, Some(_), _) if flag => Change::StreamOver,
        (6, ..) => Change::StreamBegan(Cow::Owned(stream())),
        (7 | 8, _, Some(bosh)) => Change::BoshPosted {
            rid: bosh.next_rid,
            body: Cow::Owned(vec![size; usize::from(size)]),
            tokens: Cow::Owned(vec![Token(1), Token(some.into())]),
            taken: some % (waiting + 1),
        },
        (9, _, Some(bosh)) => Change::BoshAcked { rid: bosh.next_rid - 1 },
        (10, _, Some(bosh)) if !bosh.flights.is_empty() => Change::BoshAnswered {
            rid: bosh.flights[usize::from(size) % bosh.flights.len()].rid,
        },
        (11, _, Some(_)) => Change::BoshKeys(flag.then(|| Keys {
            seed: vec![size; 4],
            left: some,
        })),
        (12, _, Some(_)) if flag => Change::BoshOver,
        (12, ..) => Change::BoshBegan(Cow::Owned(bosh())),
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
        stream: Some(stream()),
        bosh: Some(bosh()),
        waiting: VecDeque::from([stanza(1, "<a/>"), stanza(2, "")]),
    };
    state.stream.as_mut().unwrap().queue.push_back(stanza(3, "<b/>"));
    state.bosh.as_mut().unwrap().flights.push_back(Flight {
        rid: 5,
        body: b"<body/>".to_vec(),
        tokens: vec![Token(9)],
    });
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
    let posted = |rid| Change::BoshPosted {
        rid,
        body: Cow::Borrowed(b"x"),
        tokens: Cow::Borrowed(&[]),
        taken: 0,
    };
    for (state, change) in [
        (State::default(), Change::Inbound { h: 1 }),
        (State::default(), Change::Acked { h: 0 }),
        (State::default(), Change::Resent),
        (State::default(), posted(1)),
        (begun(), Change::Acked { h: 5 }),
        (begun(), Change::Sent { count: 1 }),
        (begun(), Change::Dropped { token: Token(1) }),
        // The same number again, with other bytes.
        (begun(), posted((1 << 40) - 1)),
        (begun(), posted((1 << 40) + 1)),
        (begun(), Change::BoshAnswered { rid: 1 << 40 }),
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
    state.apply(Change::Sent { count: 5 }).unwrap();
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
}

#[test]
fn the_log_stays_in_proportion() {
    let state = State {
        stream: Some(StreamState {
            acked_out: 0,
            ..stream()
        }),
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
            Change::Sent { count: 1 },
            Change::Acked { h: number },
        ];
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
