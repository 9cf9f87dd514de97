//! A whole life of a client: an application, a host and a server that do anything at all, in any order, while the clock runs.
#![no_main]

use std::time::Duration;

use epode::config::{Persist, ReconnectWhen};
use epode::xml::Element;
use epode::{Failure, Input, LinkId, LinkInfo, Network, RequestId, StanzaError, Token, Verified, stanza};
use epode_fuzz::cursor::Cursor;
use epode_fuzz::host::{Choices, DOMAIN, Host, Login, Way};
use epode_fuzz::server::{self, STATUSES};
use epode_fuzz::{answers, grammar, memory};
use libfuzzer_sys::fuzz_target;

/// Nothing here makes a client keep more: the answers are short, and the queues of a patient application are bounded.
const MEMORY: usize = 8 * 1024 * 1024;

// Four letters for the configuration (the way to the server, the login, and two of switches), then a letter for each thing that happens, with its arguments behind it: see `act`.
fuzz_target!(|bytes: &[u8]| {
    let held = memory::now();
    let (digest, most) = memory::most(|| run(bytes));
    assert!(most <= MEMORY, "{most} bytes of memory");
    assert_eq!(memory::now(), held, "memory is left behind");
    // The same inputs give the same outputs.
    if bytes.len() % 8 == 0 {
        assert_eq!(run(bytes), digest, "another run went another way");
    }
});

fn run(bytes: &[u8]) -> u64 {
    let mut cursor = Cursor::new(bytes);
    let way = Way::of(cursor.byte());
    let (login, options, more) = (cursor.byte(), cursor.byte(), cursor.byte());
    let (reconnect, attempts) = match more & 3 {
        0 => (ReconnectWhen::AfterOnline, None),
        1 => (ReconnectWhen::Always, None),
        2 => (ReconnectWhen::Never, None),
        _ => (ReconnectWhen::Always, Some(3)),
    };
    // A small letter: the server has SASL2, and a letter for what comes along.
    let sasl2 = matches!(login, b'p' | b'b' | b'e' | b'a' | b'k' | b'n');
    let along = if sasl2 { cursor.byte() } else { 0 };
    let mut host = Host::new(
        Choices {
            way,
            login: login_of(login.to_ascii_uppercase()),
            sasl2,
            bindings: along & 1 != 0,
            host_derives: along & 2 != 0,
            tasks: along & 4 != 0,
            digest_md5: along & 8 != 0,
            invalidate: along & 0x60 == 0x60,
            missing_proof: along & 16 != 0,
            allow_plain: options & 1 != 0,
            plaintext: options & 2 != 0,
            small: options & 4 != 0,
            resource: options & 8 != 0,
            max_requests: [4, 4, 1, 2][usize::from(options >> 4) % 4],
            reconnect,
            attempts,
            persist: [Persist::Off, Persist::EveryTurn, Persist::OnSuspend, Persist::EveryTurn]
                [usize::from(more >> 2) % 4],
            manual: more & 16 != 0,
            resend_uncertain: more & 32 != 0,
            no_stream_management: more & 64 == 0,
            foreign: false,
        },
        bytes,
    );
    for _ in 0..300 {
        if cursor.is_empty() {
            break;
        }
        act(&mut host, &mut cursor);
    }
    host.wind_up();
    host.digest()
}

fn login_of(letter: u8) -> Login {
    match letter {
        b'P' => Login::Password,
        b'B' => Login::Both,
        b'E' => Login::Certificate,
        b'A' => Login::AccessToken,
        b'K' => Login::KeptToken,
        b'N' => Login::Anonymous,
        other => [Login::Password, Login::Both, Login::Certificate][usize::from(other) % 3],
    }
}

fn act(host: &mut Host, cursor: &mut Cursor<'_>) {
    match cursor.byte() {
        // The host.
        b'S' => drop(host.feed(Input::Start)),
        b'C' => host.connect_well(),
        b'U' => drop(host.connect(odd_link(cursor))),
        b'f' => {
            let request = host.outstanding(cursor.below(8)).map(|(request, _)| request);
            host.fail(request, failure(cursor));
        }
        b'F' => host.fail(None, failure(cursor)),
        b'e' => drop(host.feed(Input::Ended { link: host.link() })),
        b'd' => host.reading(false),
        b'D' => host.reading(true),
        b'W' => host.written_of(u64::from(cursor.byte()) * 3),
        b'y' => host.written_of(cursor.pick(&[u64::MAX, 0, 1, 1 << 40])),
        b'n' => {
            let network = cursor.pick(&[Network::Down, Network::Up, Network::Changed]);
            let _ = host.feed(Input::Network(network));
        }
        b'j' => {
            if let Some((query, question)) = host.question(cursor.below(4)) {
                let answer = answers::any(cursor, &question);
                host.resolve(query, answer);
            }
        }
        b'J' => {
            if let Some((query, question)) = host.question(cursor.below(4)) {
                host.resolve(query, answers::proper(&question));
            }
        }
        // The process ends, now or in the next turn, and another one goes on.
        b'X' => {
            let after = cursor.below(8);
            host.kill_after(after);
            if after == 0 {
                host.tick();
            }
        }
        b'l' => late(host, cursor),
        b'M' => {
            let (iterations, salt) = (cursor.below(4) as u32, cursor.byte());
            host.derive(|derivation| {
                derivation.iterations = derivation.iterations.wrapping_add(iterations).clamp(1, 100);
                if salt & 1 != 0 {
                    derivation.salt.push(salt);
                }
            });
        }

        // The clock.
        b'k' => drop(host.tick_at_deadline()),
        b'w' => {
            host.advance(u64::from(cursor.byte()) * 97);
            host.tick();
        }
        b'v' => host.advance(u64::from(cursor.byte()) * 8),
        b'z' => host.tick_in_the_past(),

        b'K' => {
            let unix_ms = cursor.pick(&[0, 1_700_000_000_000, u64::MAX, 253_402_300_800_000]);
            let _ = host.feed(Input::Clock { unix_ms });
        }

        // The application.
        b'o' => drop(host.feed(Input::Foreground(cursor.byte() & 1 != 0))),
        b'u' => {
            let seconds = cursor.pick(&[60, 0, 1, u32::MAX]);
            let _ = host.feed(Input::Pause { seconds });
        }
        b'V' => host.provide(login_of(cursor.pick(b"PBEAKN"))),
        b'T' => {
            let payload = cursor
                .one_in(2)
                .then(|| grammar::element(cursor).build().ok())
                .flatten();
            host.do_task(payload);
        }
        b'H' => {
            let token = token(&host.received, cursor);
            let _ = host.feed(Input::Handled { token });
        }
        b'x' => drop(host.feed(Input::Stop)),
        b's' => {
            let text = "y".repeat(cursor.below(256) * 4);
            if let Ok(stanza) = stanza::chat(&"a@b/c".parse().expect("a JID"), &text) {
                let _ = host.feed(Input::Send { stanza });
            }
        }
        b'p' => {
            if let Ok(stanza) = stanza::available() {
                let _ = host.feed(Input::Send { stanza });
            }
        }
        b'q' => {
            let to = cursor.pick(&[None, Some("a@b/c"), Some("example.org"), Some("user@example.org")]);
            let to = to.map(|to| to.parse().expect("a JID"));
            let timeout = cursor.pick(&[
                None,
                Some(Duration::from_secs(5)),
                Some(Duration::ZERO),
                Some(Duration::MAX),
            ]);
            if let Ok(iq) = stanza::get(to.as_ref(), Element::builder("urn:q", "query")) {
                let _ = host.feed(Input::Request { iq, timeout });
            }
        }
        b'g' => anything(host, cursor),
        b'c' => {
            let token = token(&host.tokens, cursor);
            let _ = host.feed(Input::Cancel { token });
        }
        b'R' => {
            let token = token(&host.asked, cursor);
            let result = match cursor.byte() % 4 {
                0 => Ok(None),
                1 => Ok(Element::builder("urn:answered", "done").build().ok()),
                2 => Err(StanzaError::service_unavailable()),
                _ => Err(StanzaError {
                    condition: String::from("no name"),
                    ..StanzaError::service_unavailable()
                }),
            };
            let _ = host.feed(Input::Respond { token, result });
        }

        // The server.
        b'a' => proper(host, 0, cursor, false),
        b'A' => proper(host, 1, cursor, false),
        b'b' => proper(host, 0, cursor, true),
        // All goes well until somebody is online.
        b'L' => {
            for _ in 0..24 {
                if host.is_online() {
                    break;
                }
                go_on(host, 0, cursor);
            }
        }
        b'i' => host.cut = cursor.below(40),
        b't' if host.streams() => {
            for _ in 0..=cursor.below(3) {
                let Some(link) = host.present() else { return };
                let mut text = host.server.odd(link, cursor).into_bytes();
                if cursor.one_in(8) {
                    server::break_up(cursor, &mut text);
                }
                host.receive(&text);
            }
        }
        b't' => {
            let index = cursor.below(5);
            if let Some((request, posted)) = host.outstanding(index) {
                let mut body = server::made_up(cursor, &posted);
                if cursor.one_in(8) {
                    server::break_up(cursor, &mut body);
                }
                host.answer(request, 200, &body);
            }
        }
        b'h' if host.streams() => {
            let document = grammar::document(cursor);
            host.receive(&document);
        }
        b'h' => {
            if let Some((request, posted)) = host.outstanding(cursor.below(5)) {
                let status = cursor.pick(&STATUSES);
                let body = server::made_up(cursor, &posted);
                host.answer(request, status, &body);
            }
        }
        b'r' if host.streams() => {
            let bytes = cursor.bytes();
            host.receive(bytes);
        }
        b'r' => {
            if let Some((request, _)) = host.outstanding(0) {
                host.answer(request, 200, cursor.bytes());
            }
        }
        // Any other letter: the login goes on, which most scripts should.
        other => go_on(host, other, cursor),
    }
}

fn go_on(host: &mut Host, choice: u8, cursor: &mut Cursor<'_>) {
    if !host.is_started() {
        let _ = host.feed(Input::Start);
    } else if let Some((query, question)) = host.question(0) {
        host.resolve(query, answers::proper(&question));
    } else if host.derive(|_| {}) {
    } else if host.task {
        host.do_task(Element::builder("urn:example", "code").text("123456").build().ok());
    } else {
        match host.present() {
            None => drop(host.tick_at_deadline()),
            Some(link) if !link.connected || link.handshaking => host.connect_well(),
            Some(_) => proper(host, usize::from(choice) % 2, cursor, false),
        }
    }
}

fn proper(host: &mut Host, index: usize, cursor: &mut Cursor<'_>, broken: bool) {
    if host.streams() {
        host.written();
        let Some((close, answer)) = host.stream_answer() else {
            return;
        };
        for text in answer {
            let mut bytes = text.into_bytes();
            if broken {
                server::break_up(cursor, &mut bytes);
            }
            if !host.streams() {
                return;
            }
            host.receive(&bytes);
        }
        if close && host.streams() {
            let _ = host.feed(Input::Ended { link: host.link() });
        }
    } else if let Some((request, posted)) = host.outstanding(index) {
        let mut body = host.server.proper(&posted);
        if broken {
            server::break_up(cursor, &mut body);
        }
        host.answer(request, 200, &body);
    }
}

/// Inputs about things that are gone, or never were.
fn late(host: &mut Host, cursor: &mut Cursor<'_>) {
    let link = LinkId(host.link().0.wrapping_add(u64::from(cursor.byte() % 3)).wrapping_sub(1));
    let request = RequestId(u64::from(cursor.byte()));
    if link == host.link() && host.is_outstanding(request) {
        return;
    }
    let input = match cursor.byte() % 7 {
        5 if link != host.link() => Input::Received {
            link,
            bytes: b"<iq/>"[..].into(),
        },
        6 if link != host.link() => Input::Written { link, bytes: 100 },
        0 => Input::Responded {
            link,
            request,
            status: 200,
            body: b"<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/>"[..].into(),
            tls: None,
        },
        1 => Input::Failed {
            link,
            request: Some(request),
            reason: Failure::Reset,
        },
        2 if link != host.link() => Input::Ended { link },
        3 if link != host.link() => Input::Connected {
            link,
            info: LinkInfo::verified(DOMAIN),
        },
        _ => Input::Cancel {
            token: Token(request.0),
        },
    };
    let _ = host.feed(input);
}

/// Stanzas that are none, and stanzas in the wrong input.
fn anything(host: &mut Host, cursor: &mut Cursor<'_>) {
    let kind = cursor.byte();
    let Ok(mut element) = grammar::element(cursor).build() else {
        return;
    };
    if kind & 1 != 0 {
        let attribute = cursor.pick(&["to", "from", "id", "type"]);
        let value = cursor.pick(&[
            "user@example.org",
            "a@b/c",
            "@@",
            "set",
            "get",
            "result",
            "subscribe",
            "x'y<z&",
        ]);
        let name = cursor.pick(&["message", "presence", "iq"]);
        let Ok(stanza) = Element::builder("jabber:client", name)
            .attr(attribute, value)
            .element(&element)
            .build()
        else {
            return;
        };
        element = stanza;
    }
    let _ = match kind & 2 {
        0 => host.feed(Input::Send { stanza: element }),
        _ => host.feed(Input::Request {
            iq: element,
            timeout: None,
        }),
    };
}

fn odd_link(cursor: &mut Cursor<'_>) -> LinkInfo {
    let name = cursor.pick(&["other.example", DOMAIN, "", "EXAMPLE.org"]).to_string();
    LinkInfo {
        encrypted: cursor.byte() & 1 != 0,
        verified: match cursor.byte() % 3 {
            0 => Verified::No,
            1 => Verified::Host { name },
            _ => Verified::Platform { name },
        },
        client_certificate: cursor.one_in(2).then(|| cursor.bytes().to_vec()),
        alpn: cursor.one_in(4).then(|| String::from("h2")),
        subprotocol: cursor.one_in(2).then(|| String::from("xmpp")),
        ..LinkInfo::default()
    }
}

fn failure(cursor: &mut Cursor<'_>) -> Failure {
    match cursor.byte() % 7 {
        0 => Failure::Reset,
        1 => Failure::Timeout,
        2 => Failure::TlsAlert(cursor.byte()),
        3 => Failure::Dns,
        4 => Failure::Refused,
        5 => Failure::CertificateRejected {
            reason: String::from("expired"),
        },
        _ => Failure::Http {
            reason: String::from("garbage"),
        },
    }
}

fn token(known: &[Token], cursor: &mut Cursor<'_>) -> Token {
    let index = cursor.below(16);
    let from_end = known.len().checked_sub(index + 1).and_then(|index| known.get(index));
    from_end.copied().unwrap_or(Token(u64::from(cursor.byte())))
}
