//! Bodies: the texts of ours, and what theirs say.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use crate::config::{Bosh as Settings, is_https};
use crate::error::{PeerMisbehaved, SessionEnd};
use crate::link::{NS_STREAM, stream_error};
use crate::xml::{Element, Framing, Limit, Reader, XmlError, XmlEvent, XmlLimits, escape_attribute};

pub(super) const NS_HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
const NS_XBOSH: &str = "urn:xmpp:xbosh";
/// Payloads of one body: 8 MiB of the smallest presences that servers send are fewer.
const PAYLOADS: usize = 65_536;
/// A body is read in pieces of so many bytes, to see in between how much has come of it.
const PIECE: usize = 64 * 1024;
/// A longer address is none that a server means.
const LONGEST_URI: usize = 1_024;

/// The start tag of a request in a session, without its `>`; `ack` where some earlier answer is missing (XEP-0124 §9.2).
pub(super) fn open(rid: u64, sid: &str, ack: Option<u64>) -> String {
    let mut body = String::with_capacity(192);
    // Writing to a String cannot fail.
    let _ = write!(body, "<body xmlns='{NS_HTTPBIND}' rid='{rid}' sid='");
    escape_attribute(&mut body, sid);
    body.push('\'');
    if let Some(ack) = ack {
        let _ = write!(body, " ack='{ack}'");
    }
    body
}

/// The request that creates a session (XEP-0124 §7.1). What a server offers may depend on who asks.
pub(super) fn creation(
    settings: &Settings,
    (domain, from): (&str, Option<&str>),
    language: &str,
    rid: u64,
    newkey: Option<&str>,
) -> String {
    let mut body = String::with_capacity(384);
    let _ = write!(body, "<body xmlns='{NS_HTTPBIND}' rid='{rid}' to='");
    escape_attribute(&mut body, domain);
    if let Some(from) = from {
        body.push_str("' from='");
        escape_attribute(&mut body, from);
    }
    body.push_str("' xml:lang='");
    escape_attribute(&mut body, language);
    let (wait, hold) = (settings.wait, settings.hold);
    let _ = write!(
        body,
        "' wait='{wait}' hold='{hold}' content='text/xml; charset=utf-8' ver='1.6'"
    );
    if settings.ack {
        body.push_str(" ack='1'");
    }
    if let Some(newkey) = newkey {
        let _ = write!(body, " newkey='{newkey}'");
    }
    let _ = write!(body, " xmpp:version='1.0' xmlns:xmpp='{NS_XBOSH}'/>");
    body
}

/// The key of a request, and the announcement of the next sequence (XEP-0124 §15.4, §15.6).
pub(super) fn key(body: &mut String, key: &str, newkey: Option<&str>) {
    let _ = write!(body, " key='{key}'");
    if let Some(newkey) = newkey {
        let _ = write!(body, " newkey='{newkey}'");
    }
}

/// Completes `body` to the request for a new stream (XEP-0206 §5).
pub(super) fn restart(body: &mut String, domain: &str, from: Option<&str>, language: &str) {
    body.push_str(" to='");
    escape_attribute(body, domain);
    if let Some(from) = from {
        body.push_str("' from='");
        escape_attribute(body, from);
    }
    body.push_str("' xml:lang='");
    escape_attribute(body, language);
    let _ = write!(body, "' xmpp:restart='true' xmlns:xmpp='{NS_XBOSH}'/>");
}

/// What a body of the connection manager's holds.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) root: Element,
    pub(super) payloads: Vec<Element>,
    /// It is about a stream that is not ours.
    elsewhere: bool,
}

impl Answer {
    pub(super) fn is_terminate(&self) -> bool {
        !self.elsewhere && self.root.attribute("type") == Some("terminate")
    }

    /// What it says is about a stream that is not ours.
    pub(super) fn set_aside(&mut self) {
        self.elsewhere = true;
        self.payloads = Vec::new();
    }

    /// Why the session is over, as the connection manager says (XEP-0124 §17.2).
    pub(super) fn end(&self) -> SessionEnd {
        let condition = self.root.attribute("condition");
        let error = self.payloads.iter().find(|payload| payload.is(NS_STREAM, "error"));
        let mut end = match error {
            Some(error) => stream_error(error.root()),
            None => SessionEnd {
                condition: condition.map(known_condition),
                text: None,
                application: None,
                see_other: None,
            },
        };
        if condition == Some("see-other-uri") {
            let uri = self.payloads.iter().find(|payload| payload.is(NS_HTTPBIND, "uri"));
            let uri = uri.map(|uri| uri.text().trim().to_string());
            // Half of an address would be another address.
            end.see_other = uri.filter(|uri| uri.len() <= LONGEST_URI && is_https(uri));
        }
        end
    }
}

/// What an HTTP answer turned out to be.
pub(super) enum Read {
    Body(Answer),
    /// It comes from somebody who does not speak BOSH: a proxy, a captive portal.
    Elsewhere,
    Misbehaved(PeerMisbehaved),
}

pub(super) fn read_body(bytes: &[u8], limits: XmlLimits) -> Read {
    let mut reader = Reader::new(Framing::Stream, limits);
    // Some connection managers use the prefix without declaring it (XEP-0206 §2).
    reader.predeclare("stream", NS_STREAM);
    let mut events = Vec::new();
    let mut result = Ok(());
    for piece in bytes.chunks(PIECE) {
        result = reader.feed(piece, &mut events);
        if result.is_err() {
            break;
        }
        // An element costs more memory than its bytes, so that the bytes alone would not bound it.
        if events.len() > PAYLOADS {
            let (limit, maximum) = (Limit::Nodes, PAYLOADS);
            return Read::Misbehaved(PeerMisbehaved::Xml(XmlError::LimitExceeded { limit, maximum }));
        }
    }
    let result = result.and_then(|()| reader.finish());
    let mut events = events.into_iter();
    let root = match events.next() {
        Some(XmlEvent::Open(root)) if root.is(NS_HTTPBIND, "body") => root,
        _ => return Read::Elsewhere,
    };
    match result {
        Ok(()) => {}
        // Cut off, as by a connection that broke: it is asked for again.
        Err(error) if error.is_incomplete() => return Read::Elsewhere,
        Err(error) => return Read::Misbehaved(PeerMisbehaved::Xml(error)),
    }
    let payloads = events
        .filter_map(|event| match event {
            XmlEvent::Element(element) => Some(element),
            XmlEvent::Open(_) | XmlEvent::Close => None,
        })
        .collect();
    let elsewhere = false;
    Read::Body(Answer {
        root,
        payloads,
        elsewhere,
    })
}

/// XEP-0124 §17.2; what is not listed there is not repeated, whatever it says.
pub(super) fn known_condition(condition: &str) -> String {
    const CONDITIONS: [&str; 11] = [
        "bad-request",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "item-not-found",
        "other-request",
        "policy-violation",
        "remote-connection-failed",
        "see-other-uri",
        "system-shutdown",
    ];
    let known = CONDITIONS.into_iter().find(|known| *known == condition);
    known
        .unwrap_or(if condition == "remote-stream-error" {
            "remote-stream-error"
        } else {
            "undefined-condition"
        })
        .to_string()
}

/// A decimal number without sign or spaces; anything else is as if it were not there (XEP-0124 §7.2).
pub(super) fn number<N: core::str::FromStr>(value: Option<&str>) -> Option<N> {
    let value = value?;
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}
