//! Answers to the questions of discovery: SRV records and host-meta documents, right, odd and hostile.

use epode::{Answer, Failure, Question, SrvRecord};

use crate::cursor::Cursor;
use crate::grammar;

const TARGETS: [&str; 16] = [
    "xmpp.example.org",
    "XMPP.example.org.",
    "a.example",
    "b.example",
    ".",
    "",
    "192.0.2.1",
    "2001:db8::1",
    "[2001:db8::1]",
    "a b",
    "a/b",
    "a@b",
    "\u{e9}.example",
    "-a.example",
    "a..b",
    "a_b.example",
];
const URLS: [&str; 24] = [
    "wss://example.org/ws",
    "wss://other.example:443/ws?x",
    "WSS://EXAMPLE.org",
    "wss://[2001:db8::1]:5443/ws",
    "ws://example.org/ws",
    "https://example.org/http-bind",
    "https://other.example:7443/b",
    "HTTPS://other.example/",
    "http://example.org/http-bind",
    "wss://user@example.org/",
    "wss://example.org:99999/",
    "wss:///ws",
    "wss://",
    "wss:example.org",
    "//example.org/ws",
    "javascript:alert(1)",
    "wss://a b/",
    "wss://a\\b/",
    "wss://example.org/#f",
    "wss://[::1",
    "wss://\u{e9}.example/",
    "wss://a?@b/",
    "https://example.org@evil.example/",
    "file:///etc/passwd",
];
const RELS: [&str; 6] = [
    "urn:xmpp:alt-connections:websocket",
    "urn:xmpp:alt-connections:websocket",
    "urn:xmpp:alt-connections:xbosh",
    "urn:xmpp:alt-connections:xbosh",
    "lrdd",
    "",
];

/// What a good resolver says: one place by SRV, and no documents.
pub fn proper(question: &Question) -> Answer<'static> {
    match question {
        Question::Srv { name } if name.starts_with("_xmpp-client.") => Answer::Records(vec![SrvRecord {
            priority: 0,
            weight: 5,
            port: 5222,
            target: String::from("xmpp.example.org"),
        }]),
        Question::Srv { .. } => Answer::Records(Vec::new()),
        _ => Answer::Failed(Failure::Http {
            reason: String::from("404"),
        }),
    }
}

/// Anything, mostly of the right kind.
pub fn any(cursor: &mut Cursor<'_>, question: &Question) -> Answer<'static> {
    let choice = cursor.below(8);
    let srv = matches!(question, Question::Srv { .. });
    match choice {
        0 => proper(question),
        1 => Answer::Failed(if cursor.one_in(2) {
            Failure::Dns
        } else {
            Failure::Http {
                reason: String::from("404"),
            }
        }),
        // The wrong kind.
        2 if srv => Answer::Document(document(cursor, question).into()),
        2 => Answer::Records(records(cursor)),
        _ if srv => Answer::Records(records(cursor)),
        _ => Answer::Document(document(cursor, question).into()),
    }
}

fn records(cursor: &mut Cursor<'_>) -> Vec<SrvRecord> {
    let count = match cursor.byte() {
        255 => 3_000,
        other => usize::from(other) % 12,
    };
    let mut records = Vec::new();
    for index in 0..count {
        let target = match cursor.byte() % 18 {
            17 => String::from_utf8_lossy(cursor.bytes()).into_owned(),
            16 => format!("h{index}.example"),
            choice => TARGETS[usize::from(choice)].to_string(),
        };
        records.push(SrvRecord {
            priority: u16::from(cursor.byte() % 4),
            weight: cursor.pick(&[0, 0, 1, 10, u16::MAX]),
            port: cursor.pick(&[5222, 5223, 443, 0, 65535]),
            target,
        });
        if cursor.is_empty() && index > 40 {
            break;
        }
    }
    records
}

fn document(cursor: &mut Cursor<'_>, question: &Question) -> Vec<u8> {
    let json = matches!(question, Question::Document { url, .. } if url.ends_with(".json"));
    match cursor.byte() % 8 {
        7 => return cursor.bytes().to_vec(),
        6 => return grammar::document(cursor),
        // Nesting that a parser could fall over.
        5 => {
            let (open, depth) = (if json { "[" } else { "<a>" }, cursor.below(256) * 100);
            return open.repeat(depth).into_bytes();
        }
        _ => {}
    }
    let count = match cursor.byte() {
        255 => 600,
        other => usize::from(other) % 12,
    };
    let mut links = Vec::new();
    for index in 0..count {
        let rel = cursor.pick(&RELS);
        let url = match cursor.byte() % 28 {
            27 => String::from_utf8_lossy(cursor.bytes()).into_owned(),
            26 => format!("wss://h{index}.example/ws"),
            25 => format!("https://h{index}.example/b"),
            24 => format!("wss://example.org/{}", "x".repeat(cursor.below(256) * 16)),
            choice => URLS[usize::from(choice)].to_string(),
        };
        links.push(if json {
            let url = url.replace(['"', '\\'], "");
            format!("{{\"rel\":\"{rel}\",\"href\":\"{url}\"}}")
        } else {
            let url = url.replace(['&', '<', '\''], "");
            format!("<Link rel='{rel}' href='{url}'/>")
        });
    }
    let mut document = if json {
        format!("{{\"links\":[{}]}}", links.join(","))
    } else {
        format!(
            "<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>{}</XRD>",
            links.concat()
        )
    }
    .into_bytes();
    if cursor.one_in(8) {
        crate::server::break_up(cursor, &mut document);
    }
    document
}
