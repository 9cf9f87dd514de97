//! Anything at all as the body of an HTTP answer: at the start of a session, after the login's first step, and online.
#![no_main]

use epode::Input;
use epode_fuzz::host::{Choices, Host, Login};
use epode_fuzz::memory;
use epode_fuzz::server::STATUSES;
use libfuzzer_sys::fuzz_target;

/// The document limit is 8 MiB, but what is held is proportional to what came.
const FIXED: usize = 512 * 1024;
const PER_BYTE: usize = 512;

// A letter for how far the login is, a letter for the HTTP status, then bodies with an empty line between them.
fuzz_target!(|bytes: &[u8]| {
    let [state, status, bodies @ ..] = bytes else { return };
    let mut host = Host::new(
        Choices {
            login: Login::Certificate,
            max_requests: 4,
            ..Choices::default()
        },
        bytes,
    );
    log_in(&mut host, usize::from(*state) % 6);
    let ((), most) = memory::most(|| {
        for (index, body) in split(bodies).enumerate() {
            let Some((request, posted)) = host.outstanding(index * usize::from(*state >> 5)) else {
                break;
            };
            let status = if index == 0 {
                STATUSES[usize::from(*status) % STATUSES.len()]
            } else {
                200
            };
            host.answer(request, status, &fill_in(body, &posted));
        }
    });
    assert!(
        most <= FIXED + PER_BYTE * bytes.len(),
        "{most} bytes of memory for {}",
        bytes.len()
    );
    for _ in 0..3 {
        host.tick_at_deadline();
    }
    host.wind_up();
});

fn log_in(host: &mut Host, answers: usize) {
    let _ = host.feed(Input::Start);
    host.connect_well();
    for _ in 0..answers {
        if let Some((request, body)) = host.outstanding(0) {
            let answer = host.server.proper(&body);
            host.answer(request, 200, &answer);
        }
    }
}

/// `{id}` is the id that the request has, so that answers to it can be seeds.
fn fill_in(body: &[u8], posted: &[u8]) -> Vec<u8> {
    let posted = String::from_utf8_lossy(posted);
    let id = posted
        .split_once(" id='")
        .and_then(|(_, rest)| rest.split_once('\''))
        .map_or("", |(id, _)| id);
    let Some(at) = body.windows(4).position(|window| window == b"{id}") else {
        return body.to_vec();
    };
    [&body[..at], id.as_bytes(), &body[at + 4..]].concat()
}

fn split(bodies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bodies);
    std::iter::from_fn(move || {
        let current = rest?;
        match current.windows(2).position(|two| two == b"\n\n") {
            Some(at) => {
                rest = Some(&current[at + 2..]);
                Some(&current[..at])
            }
            None => rest.take(),
        }
    })
}
