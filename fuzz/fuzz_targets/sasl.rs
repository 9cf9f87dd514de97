//! One login by one mechanism, in either profile: whatever the server says, and however it is cut, nobody is online whom it has not
//! proved to know, and a failed login stays one.
#![no_main]

use epode::config::Persist;
use epode::{Input, LinkId, TransportKind};
use epode_fuzz::cursor::Cursor;
use epode_fuzz::host::{Choices, Host, Login, Way};
use epode_fuzz::login::Login as Server;
use epode_fuzz::wire::Item;
use epode_fuzz::{grammar, memory, server, slots};
use libfuzzer_sys::fuzz_target;

const MEMORY: usize = 4 * 1024 * 1024;

/// The mechanisms, and what logs in by them.
const MECHANISMS: [(&str, Login); 19] = [
    ("SCRAM-SHA-256", Login::Password),
    ("SCRAM-SHA-256-PLUS", Login::Password),
    ("SCRAM-SHA-1", Login::Password),
    ("SCRAM-SHA-1-PLUS", Login::Password),
    ("SCRAM-SHA-384", Login::Password),
    ("SCRAM-SHA-384-PLUS", Login::Password),
    ("SCRAM-SHA-512", Login::Password),
    ("SCRAM-SHA-512-PLUS", Login::Password),
    ("PLAIN", Login::Password),
    ("EXTERNAL", Login::Certificate),
    ("ANONYMOUS", Login::Anonymous),
    ("OAUTHBEARER", Login::AccessToken),
    ("X-OAUTH2", Login::AccessToken),
    ("DIGEST-MD5", Login::Password),
    ("HT-SHA-256-NONE", Login::KeptToken),
    ("HT-SHA-256-EXPR", Login::KeptToken),
    ("HT-SHA-256-NONE", Login::Password),
    ("HT-SHA-256-ENDP", Login::KeptToken),
    ("CRAM-MD5", Login::Password),
];

// A letter for the way, one for the mechanism, one for switches, one for how TCP cuts, then what the server does: see `act`.
fuzz_target!(|bytes: &[u8]| {
    let ((), most) = memory::most(|| run(bytes));
    assert!(most <= MEMORY, "{most} bytes of memory");
});

fn run(bytes: &[u8]) {
    let mut cursor = Cursor::new(bytes);
    let way = Way::of(cursor.pick(b"DWBT"));
    let (mechanism, login) = cursor.pick(&MECHANISMS);
    let (switches, cut) = (cursor.byte(), cursor.below(32));
    let choices = Choices {
        way,
        login,
        sasl2: switches & 1 != 0,
        bindings: switches & 2 != 0,
        host_derives: switches & 4 != 0,
        tasks: switches & 8 != 0,
        missing_proof: switches & 16 != 0,
        allow_plain: switches & 32 != 0,
        digest_md5: switches & 64 != 0,
        invalidate: switches & 128 != 0,
        max_requests: 4,
        persist: Persist::EveryTurn,
        ..Choices::default()
    };
    let mut host = Host::new(choices, bytes);
    host.cut = cut;
    host.server.login.only = Some(mechanism);
    host.server.login.task = [None, Some("TOTP"), Some("UPGR-SCRAM-SHA-512")][usize::from(switches >> 3) % 3];
    if mechanism.starts_with("HT-") {
        host.server.login.only = Some("SCRAM-SHA-256");
        host.kept.insert(epode::Slot::Token, slots::token(mechanism));
        let _ = host.begin_with(Vec::new());
    }
    let _ = host.feed(Input::Clock {
        unix_ms: 1_700_000_000_000,
    });
    let _ = host.feed(Input::Start);
    host.connect_well();
    for _ in 0..60 {
        if cursor.is_empty() || host.is_online() || !host.is_started() {
            break;
        }
        act(&mut host, &mut cursor);
    }
    let (link, offline) = (LinkId(host.links), !host.is_started());
    // What comes late changes nothing.
    let late = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"[..].into();
    if offline {
        let digest = host.digest();
        let _ = host.feed(Input::Received { link, bytes: late });
        assert!(
            host.digest() == digest && !host.is_started(),
            "a login that failed goes on"
        );
    }
    host.wind_up();
}

fn act(host: &mut Host, cursor: &mut Cursor<'_>) {
    let kind = cursor.byte();
    if host.derive(|derivation| derivation.iterations += u32::from(kind == b'd')) {
        return;
    }
    if host.task {
        let payload = (kind & 1 != 0).then(|| grammar::element(cursor).build().ok()).flatten();
        return host.do_task(payload);
    }
    match host.present() {
        None => {
            host.tick_at_deadline();
            return;
        }
        Some(link) if !link.connected || link.handshaking => return host.connect_well(),
        Some(_) => {}
    }
    match kind {
        b'k' => drop(host.tick_at_deadline()),
        b'f' => say(
            host,
            "<failure xmlns='{ns}'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
        ),
        // Any bytes as a message of the mechanism.
        b'c' => message(host, "<challenge xmlns='{ns}'>{data}</challenge>", cursor.bytes()),
        b's' => message(host, "<success xmlns='{ns}'>{data}</success>", cursor.bytes()),
        b'a' => {
            let success = "<success xmlns='{ns}'><additional-data>{data}</additional-data>\
                           <authorization-identifier>user@example.org</authorization-identifier></success>";
            message(host, success, cursor.bytes());
        }
        b'n' => {
            let text = "<continue xmlns='{ns}'><additional-data>{data}</additional-data><tasks><task>TOTP</task>\
                        </tasks></continue>";
            message(host, text, cursor.bytes());
        }
        b't' => say(
            host,
            "<task-data xmlns='{ns}'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4'>c2FsdA==</salt></task-data>",
        ),
        b'o' if host.streams() => {
            let Some(link) = host.present() else { return };
            let text = host.server.odd(link, cursor);
            host.receive(text.as_bytes());
        }
        b'r' if host.streams() => host.receive(cursor.bytes()),
        // The right answer, with something wrong in its data, or in its XML, or nothing.
        b'm' => proper(host, cursor, true, false),
        b'x' => proper(host, cursor, false, true),
        _ => proper(host, cursor, false, false),
    }
}

fn namespace(host: &Host) -> &'static str {
    let two = host.present().is_some_and(|link| {
        let items = link.items.iter().filter_map(|item| match item {
            Item::Element(element) => Some(element),
            Item::Header | Item::Close => None,
        });
        items
            .last()
            .is_some_and(|element| element.namespace() == epode_fuzz::login::SASL2)
    });
    if two {
        epode_fuzz::login::SASL2
    } else {
        epode_fuzz::login::SASL
    }
}

fn message(host: &mut Host, form: &str, data: &[u8]) {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD.encode(data);
    say(host, &form.replace("{data}", &data));
}

fn say(host: &mut Host, form: &str) {
    let text = form.replace("{ns}", namespace(host));
    if host.streams() {
        return host.receive(text.as_bytes());
    }
    if let Some((request, _)) = host.outstanding(0) {
        host.answer(
            request,
            200,
            format!("<body xmlns='http://jabber.org/protocol/httpbind'>{text}</body>").as_bytes(),
        );
    }
}

fn proper(host: &mut Host, cursor: &mut Cursor<'_>, odd: bool, broken: bool) {
    if host.present().is_some_and(|link| link.kind() == TransportKind::Bosh) {
        if let Some((request, posted)) = host.outstanding(0) {
            let mut body = host.server.proper(&posted);
            if odd || broken {
                server::break_up(cursor, &mut body);
            }
            host.answer(request, 200, &body);
        }
        return;
    }
    host.written();
    let first = host.present().and_then(|link| link.items.front());
    let answers = match first {
        Some(Item::Element(element)) if odd && Server::is_part(element.root()) => {
            let element = element.clone();
            host.odd_answer(&element, cursor)
        }
        _ => host.stream_answer().map(|(_, answers)| answers).unwrap_or_default(),
    };
    for answer in answers {
        let mut bytes = answer.into_bytes();
        if broken {
            server::break_up(cursor, &mut bytes);
        }
        if host.streams() {
            host.receive(&bytes);
        }
    }
}
