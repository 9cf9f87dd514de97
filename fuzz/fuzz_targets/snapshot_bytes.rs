//! Anything at all as what an earlier process is said to have stored: an error, or a client that works.
#![no_main]

use epode::config::Persist;
use epode::{Input, Refused, Slot, TransportKind, stanza};
use epode_fuzz::cursor::Cursor;
use epode_fuzz::host::{Choices, Host, Login, Way};
use epode_fuzz::slots::{records, written};
use epode_fuzz::{answers, memory, server};
use libfuzzer_sys::fuzz_target;

/// What is held is proportional to what was restored.
const FIXED: usize = 4 * 1024 * 1024;
const PER_BYTE: usize = 512;

// A letter for what is done to the bytes, a letter for the way to the server, then: see `bytes_of`.
fuzz_target!(|bytes: &[u8]| {
    let mut cursor = Cursor::new(bytes);
    let (kind, way) = (cursor.byte(), cursor.byte());
    // Small letters at the end of the alphabet: the slots of logins, and else the session.
    let of_login = matches!(kind, b't' | b'u' | b'v');
    let choices = Choices {
        way: Way::of(way),
        login: if of_login { Login::Password } else { Login::Certificate },
        sasl2: of_login,
        bindings: of_login,
        max_requests: 4,
        persist: Persist::EveryTurn,
        ..Choices::default()
    };
    let (slot, bytes_of_slot) = if of_login {
        login_slot(kind, choices, &mut cursor, bytes)
    } else {
        (Slot::Token, Vec::new())
    };
    let stored = if of_login {
        Vec::new()
    } else {
        bytes_of(kind, choices, &mut cursor, bytes)
    };
    let length = stored.len() + bytes_of_slot.len();
    let foreign = Choices {
        foreign: true,
        ..choices
    };
    let mut host = Host::new(foreign, bytes);
    if of_login {
        host.kept.insert(slot, bytes_of_slot);
    }
    let (result, most) = memory::most(|| {
        let result = host.begin_with(stored);
        go_on(&mut host, &mut cursor);
        result
    });
    assert!(most <= FIXED + PER_BYTE * length, "{most} bytes of memory for {length}");
    match result {
        Ok(None) | Err(Refused::Snapshot(_)) => {}
        other => panic!("{other:?}"),
    }
});

/// What there is to restore of logins.
fn login_slot(kind: u8, choices: Choices, cursor: &mut Cursor<'_>, all: &[u8]) -> (Slot, Vec<u8>) {
    const NAMES: [&str; 9] = [
        "token",
        "mechanism",
        "expires",
        "user-agent",
        "scram",
        "tcp",
        "websocket",
        "bosh",
        "x",
    ];
    const VALUES: [&str; 8] = [
        "HT-SHA-256-NONE",
        "HT-SHA-256-EXPR",
        "early bind sm carbons csi resume external HT-SHA-256-NONE",
        "bound offer early HT-SHA-256-EXPR",
        "d4565fa7-4d72-4749-b3d3-740edbf87770",
        "\0\0\u{1}\0\0\0\0\0",
        "a token",
        "",
    ];
    let (slot, number) = match cursor.byte() & 1 {
        0 => (Slot::Token, 2),
        _ => (Slot::Pins, 3),
    };
    let bytes = match kind {
        // As it is.
        b't' => cursor.rest().to_vec(),
        // Entries of these bytes, all checks right.
        b'u' => {
            let mut record = Vec::new();
            for _ in 0..=cursor.below(8) {
                let name = cursor.pick(&NAMES).as_bytes();
                let value = match cursor.below(VALUES.len() + 1) {
                    own if own == VALUES.len() => cursor.bytes(),
                    known => VALUES[known].as_bytes(),
                };
                for part in [name, value] {
                    record.extend((part.len() as u32).to_be_bytes());
                    record.extend(part);
                }
            }
            written(number, &[record])
        }
        // Real ones, changed in some places, before the checks were made or after.
        b'v' => {
            let mut host = Host::new(choices, all);
            let _ = host.feed(Input::Start);
            for _ in 0..16 {
                step(&mut host);
            }
            let mut stored = host.kept.get(&slot).cloned().unwrap_or_default();
            let mut records = records(number, &stored);
            match (cursor.byte() & 1, records.first_mut()) {
                (1, Some(record)) => {
                    server::break_up(cursor, record);
                    stored = written(number, &records);
                }
                _ => server::break_up(cursor, &mut stored),
            }
            stored
        }
        other => panic!("{other} is no slot of a login"),
    };
    (slot, bytes)
}

/// What there is to restore.
fn bytes_of(kind: u8, choices: Choices, cursor: &mut Cursor<'_>, all: &[u8]) -> Vec<u8> {
    match kind {
        // As it is.
        b'r' => cursor.rest().to_vec(),
        // Records of these bytes, all checks right.
        b'p' => {
            let mut records = Vec::new();
            for _ in 0..=cursor.below(4) {
                records.push(cursor.bytes().to_vec());
            }
            written(1, &records)
        }
        // A real one, changed in some places.
        b'm' => {
            let mut stored = real(choices, cursor, all);
            for _ in 0..=cursor.below(4) {
                server::break_up(cursor, &mut stored);
            }
            stored
        }
        // A real one, changed before the checks were made.
        _ => {
            let mut records = records(1, &real(choices, cursor, all));
            for _ in 0..cursor.below(6) {
                let index = cursor.below(records.len().max(1));
                match cursor.byte() % 8 {
                    0 => records.truncate(index + 1),
                    1 if index < records.len() => drop(records.remove(index)),
                    2 if index < records.len() => records.push(records[index].clone()),
                    _ => {
                        if let Some(record) = records.get_mut(index) {
                            server::break_up(cursor, record);
                        }
                    }
                }
            }
            written(1, &records)
        }
    }
}

/// What a client stores that gets so far.
fn real(choices: Choices, cursor: &mut Cursor<'_>, all: &[u8]) -> Vec<u8> {
    let mut host = Host::new(choices, all);
    let (steps, sends) = (cursor.below(24), cursor.below(6));
    let _ = host.feed(Input::Start);
    for _ in 0..steps {
        step(&mut host);
    }
    for index in 0..sends {
        if let Ok(stanza) = stanza::chat(&"a@b/c".parse().expect("a JID"), &"y".repeat(index * 30)) {
            let _ = host.feed(Input::Send { stanza });
        }
        if cursor.one_in(3) {
            step(&mut host);
        }
    }
    host.stored.clone()
}

/// All goes well.
fn step(host: &mut Host) {
    if let Some((query, question)) = host.question(0) {
        return host.resolve(query, answers::proper(&question));
    }
    match host.present() {
        None => drop(host.tick_at_deadline()),
        Some(link) if !link.connected || link.handshaking => host.connect_well(),
        Some(link) if link.kind() == TransportKind::Bosh => {
            if let Some((request, posted)) = host.outstanding(0) {
                let body = host.server.proper(&posted);
                host.answer(request, 200, &body);
            }
        }
        Some(_) => {
            host.written();
            let Some((_, answer)) = host.stream_answer() else {
                return;
            };
            for text in answer {
                if host.streams() {
                    host.receive(text.as_bytes());
                }
            }
        }
    }
}

/// A life after it: the server does this and that, and there is an end.
fn go_on(host: &mut Host, cursor: &mut Cursor<'_>) {
    let _ = host.feed(Input::Start);
    for _ in 0..24 {
        match cursor.byte() % 8 {
            7 => drop(host.tick_at_deadline()),
            6 => {
                if let Ok(stanza) = stanza::chat(&"a@b/c".parse().expect("a JID"), "hi") {
                    let _ = host.feed(Input::Send { stanza });
                }
            }
            5 if host.streams() => {
                let Some(link) = host.present() else { continue };
                let text = host.server.odd(link, cursor);
                host.receive(text.as_bytes());
            }
            _ => step(host),
        }
    }
    host.wind_up();
}
