//! How the words of a server reach the client: in answers of HTTP, in bytes of TCP, or in messages of a WebSocket.

use std::cell::Cell;

use epode::xml::XmlLimits;
use epode::{Element, TcpTls};

/// How XMPP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Bosh,
    StartTls,
    Direct,
    WebSocket,
}

/// Where TCP cuts what the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After each element.
    Elements,
    /// After each byte.
    Bytes,
    /// Nowhere: all that is said at once comes at once.
    Together,
}

thread_local! {
    static NOW: Cell<(Wire, Cut)> = const { Cell::new(crate::WIRE) };
}

/// What clients of this thread are made for.
pub(crate) fn now() -> (Wire, Cut) {
    NOW.get()
}

/// From now on clients of this thread are made for that.
#[allow(
    dead_code,
    reason = "three of four crates that share this have one wire for all their tests"
)]
pub(crate) fn set(wire: Wire, cut: Cut) {
    NOW.set((wire, cut));
}

impl Wire {
    pub(crate) fn is_tcp(self) -> bool {
        matches!(self, Self::StartTls | Self::Direct)
    }

    pub(crate) fn tls(self) -> TcpTls {
        if self == Self::StartTls {
            TcpTls::StartTls
        } else {
            TcpTls::Direct
        }
    }

    /// The header of a server's stream, with these attributes more.
    pub(crate) fn header(self, attributes: &str) -> String {
        if self == Self::WebSocket {
            format!("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' {attributes}/>")
        } else {
            format!(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
            )
        }
    }

    /// What a client begins a stream with.
    pub(crate) fn begins_stream(self, text: &str) -> bool {
        text.contains(if self == Self::WebSocket {
            "<open "
        } else {
            "<stream:stream "
        })
    }

    /// The goodbye of a stream.
    pub(crate) fn close(self) -> &'static str {
        if self == Self::WebSocket {
            "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"
        } else {
            "</stream:stream>"
        }
    }

    /// What the client wrote at once, as elements: without headers and goodbyes of TCP.
    pub(crate) fn elements(self, text: &str) -> Vec<Element> {
        let mut rest = text;
        if let Some(at) = rest.find("<stream:stream ").filter(|_| self != Self::WebSocket) {
            rest = rest[at..].split_once('>').unwrap().1;
        }
        let rest = rest.strip_suffix("</stream:stream>").unwrap_or(rest);
        let all = format!("<all xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{rest}</all>");
        let all = Element::parse(&all, &XmlLimits::default()).unwrap();
        all.children().map(|child| child.to_element()).collect()
    }

    /// As one message of a WebSocket, which has to declare what it uses (RFC 7395 §3.3.3).
    pub(crate) fn message(text: &str) -> String {
        match text.strip_prefix("<stream:") {
            Some(rest) if !text.contains("xmlns:stream") => {
                let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
                let (name, rest) = rest.split_at(end);
                format!("<stream:{name} xmlns:stream='http://etherx.jabber.org/streams'{rest}")
            }
            Some(_) | None => text.to_owned(),
        }
    }
}

/// Cuts a text after each element at its top level. What is no XML stays in one piece.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut pieces, mut start, mut at, mut depth) = (Vec::new(), 0, 0, 0_i64);
    while at < bytes.len() {
        if bytes[at] != b'<' {
            at += 1;
            continue;
        }
        let mut quote = None;
        let tag = at;
        while at < bytes.len() {
            match (quote, bytes[at]) {
                (Some(open), byte) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'\'' | b'"') => quote = Some(bytes[at]),
                (None, b'>') => break,
                (None, _) => {}
            }
            at += 1;
        }
        at = (at + 1).min(bytes.len());
        match (
            bytes.get(tag + 1),
            bytes[at - 1] == b'>' && bytes[at.saturating_sub(2)] == b'/',
        ) {
            (Some(b'!' | b'?'), _) | (_, true) => {}
            (Some(b'/'), false) => depth -= 1,
            // A header stays open, and is complete all the same.
            _ if text[tag..].starts_with("<stream:stream ") => {}
            (_, false) => depth += 1,
        }
        if depth <= 0 && bytes.get(tag + 1) != Some(&b'?') {
            pieces.push(&text[start..at]);
            (start, depth) = (at, 0);
        }
    }
    pieces.push(&text[start..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
