//! TCP: one stream of bytes in each direction, which begins anew after TLS and after the login (RFC 6120 §4).
//!
//! The host says `Connected` once, or twice where TLS begins in the middle. Bytes are taken up to the end of one element at
//! a time, for what it leads to may be that nothing may follow it.

use alloc::string::String;
use alloc::vec::Vec;

use super::outbox::Outbox;
use super::{Context, Event, NS_STREAM, NS_STREAM_ERRORS, expanded_name};
use crate::error::{ConnectionError, Offline, PeerIncompatible, PeerMisbehaved, SessionEnd};
use crate::input::{LinkId, Token};
use crate::output::{Output, TcpTls};
use crate::session::NS_CLIENT;
use crate::xml::{Element, Framing, Reader, XmlEvent, XmlLimits, escape_attribute};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const CLOSE: &str = "</stream:stream>";

/// What a link for a stream needs to know.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) id: LinkId,
    /// The domain of the account: what `to` says, wherever the connection goes (RFC 6120 §4.7.2).
    pub(crate) domain: String,
    pub(crate) language: String,
    pub(crate) limits: XmlLimits,
    pub(crate) tls: TcpTls,
}

/// What the server did wrong, for its own good (RFC 6120 §4.9).
#[derive(Debug)]
pub(crate) struct StreamErrorOut {
    pub(crate) condition: &'static str,
    /// An application-specific condition, as XML.
    pub(crate) application: Option<String>,
}

impl StreamErrorOut {
    /// As XML, for a place where the prefix `stream` is bound, or with its declaration.
    pub(super) fn to_xml(&self, declare: bool) -> String {
        let mut xml = String::from("<stream:error");
        if declare {
            xml.push_str(" xmlns:stream='http://etherx.jabber.org/streams'");
        }
        xml.push_str("><");
        xml.push_str(self.condition);
        xml.push_str(" xmlns='");
        xml.push_str(NS_STREAM_ERRORS);
        xml.push_str("'/>");
        xml.extend(self.application.as_deref());
        xml.push_str("</stream:error>");
        xml
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Tcp {
    parameters: Parameters,
    phase: Phase,
    reader: Reader,
    /// What `flush` hands over, and where in it stanzas of the application's end.
    buffer: String,
    ends: Vec<(usize, Token)>,
    outbox: Outbox,
    /// The stream began anew in this turn: the server cannot know it yet, and must not have gone on (RFC 6120 §6.4.6).
    began_anew: bool,
    said_goodbye: bool,
    /// Something was said, and the server has not answered yet.
    waiting: bool,
    round_trips: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// The stream header is on its way, and the server's is waited for.
    Opening,
    Open,
    /// TLS was asked for: nothing may be said before it is there, not even white space (RFC 6120 §5.3.3).
    AskedForTls,
    /// The host shakes hands.
    Handshake,
    Closed,
}

impl Tcp {
    pub(crate) fn new(parameters: Parameters) -> Self {
        let reader = Reader::new(Framing::Stream, parameters.limits.clone());
        Self {
            parameters,
            phase: Phase::Connecting,
            reader,
            buffer: String::new(),
            ends: Vec::new(),
            outbox: Outbox::default(),
            began_anew: false,
            said_goodbye: false,
            waiting: false,
            round_trips: 0,
        }
    }

    pub(crate) fn id(&self) -> LinkId {
        self.parameters.id
    }

    /// `Connected` is due: at the beginning, and again when TLS has begun.
    pub(crate) fn expects_connected(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Handshake)
    }

    /// TLS is to begin later than the connection.
    pub(crate) fn awaits_starttls(&self) -> bool {
        self.parameters.tls == TcpTls::StartTls && self.phase == Phase::Connecting
    }

    pub(crate) fn round_trips(&self) -> u32 {
        self.round_trips
    }

    /// Bytes that wait for the end of the turn, or for the host.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.outbox.pending().saturating_add(self.buffer.len())
    }

    /// Login is over: larger elements are let in, and the stream may last as long as it likes.
    pub(crate) fn set_limits(&mut self, limits: XmlLimits) {
        self.parameters.limits = XmlLimits {
            document_bytes: None,
            ..limits
        };
        self.reader.set_limits(self.parameters.limits.clone());
    }

    /// The host has connected, or has begun TLS: all that was learnt before is forgotten (RFC 6120 §5.4.3.3).
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        self.open(cx, from);
    }

    /// A new stream on the same connection (RFC 6120 §4.3.3).
    pub(crate) fn restart(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        // What was meant for the old stream is not said on the new one.
        self.forget_unsent();
        self.began_anew = true;
        self.open(cx, from);
    }

    /// The stream header leaves at once and in one piece: some servers take half of one for an attack.
    fn open(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        self.reader = Reader::new(Framing::Stream, self.parameters.limits.clone());
        self.phase = Phase::Opening;
        let mut header = String::from("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='");
        header.push_str(NS_STREAM);
        header.push('\'');
        let attributes = [
            ("to", Some(self.parameters.domain.as_str())),
            ("from", from),
            ("version", Some("1.0")),
            ("xml:lang", Some(self.parameters.language.as_str())),
        ];
        push_attributes(&mut header, &attributes);
        header.push('>');
        self.buffer.push_str(&header);
        self.flush(cx);
        // Only now can the server have heard of it.
        self.waiting = true;
    }

    pub(crate) fn received(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        match self.phase {
            Phase::Opening | Phase::Open | Phase::AskedForTls => {}
            // RFC 6120 §5.4.3.3: who can put bytes before TLS must not be heard after it.
            Phase::Handshake => {
                self.misbehaved(cx, PeerMisbehaved::BeforeTls);
                return bytes.len();
            }
            Phase::Connecting | Phase::Closed => return bytes.len(),
        }
        if self.began_anew && bytes.iter().any(|byte| !byte.is_ascii_whitespace()) {
            self.misbehaved(cx, PeerMisbehaved::AfterLogin);
            return bytes.len();
        }
        if self.began_anew {
            return bytes.len();
        }
        if core::mem::take(&mut self.waiting) {
            self.round_trips = self.round_trips.saturating_add(1);
        }
        match self.reader.feed_until_element(bytes) {
            Ok((taken, event)) => {
                match event {
                    Some(XmlEvent::Open(root)) => self.opened(cx, &root),
                    Some(XmlEvent::Element(element)) => cx.event(Event::Element(element)),
                    Some(XmlEvent::Close) => self.peer_left(cx),
                    None => {}
                }
                taken
            }
            Err(error) => {
                self.misbehaved(cx, PeerMisbehaved::Xml(error));
                bytes.len()
            }
        }
    }

    fn opened(&mut self, cx: &mut Context<'_>, root: &Element) {
        if !root.is(NS_STREAM, "stream") {
            let element = expanded_name(root.root());
            return self.misbehaved(cx, PeerMisbehaved::StreamHeader { element });
        }
        if self.reader.content_namespace() != NS_CLIENT {
            return self.misbehaved(cx, PeerMisbehaved::ContentNamespace);
        }
        if !is_version_1(root.attribute("version")) {
            return self.end(cx, Some(Offline::Incompatible(PeerIncompatible::Version)));
        }
        if self.phase == Phase::Opening {
            self.phase = Phase::Open;
        }
        cx.event(Event::Opened);
    }

    /// `</stream:stream>` (RFC 6120 §4.4).
    fn peer_left(&mut self, cx: &mut Context<'_>) {
        if self.said_goodbye {
            return self.end(cx, None);
        }
        if self.phase == Phase::Open {
            self.buffer.push_str(CLOSE);
            self.said_goodbye = true;
        }
        self.flush(cx);
        self.end(
            cx,
            Some(Offline::Ended(SessionEnd {
                condition: None,
                text: None,
                application: None,
                see_other: None,
            })),
        );
    }

    /// Queues an element; `flush` sends it.
    pub(crate) fn send(&mut self, xml: &str, token: Option<Token>) {
        if self.said_goodbye || !matches!(self.phase, Phase::Open | Phase::Opening) {
            return;
        }
        self.buffer.push_str(xml);
        if let Some(token) = token {
            self.ends.push((self.buffer.len(), token));
        }
    }

    /// White space between elements (RFC 6120 §4.6.1).
    pub(crate) fn white_space(&mut self) {
        self.send(" ", None);
    }

    pub(crate) fn ask_for_tls(&mut self) {
        self.send(STARTTLS, None);
        self.phase = Phase::AskedForTls;
    }

    /// The server agrees to TLS. `nothing_followed`: no byte came with its word.
    pub(crate) fn start_tls(&mut self, cx: &mut Context<'_>, nothing_followed: bool, server_name: &str) {
        if !nothing_followed {
            return self.misbehaved(cx, PeerMisbehaved::BeforeTls);
        }
        self.forget_unsent();
        self.phase = Phase::Handshake;
        cx.outputs.push(Output::StartTls {
            link: self.parameters.id,
            server_name: server_name.into(),
        });
    }

    /// The end of a turn: all that was queued leaves in one piece.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        if self.buffer.is_empty() {
            // The header of a new stream leaves by itself; this is the end of its turn.
            self.began_anew = false;
            return;
        }
        for (end, token) in core::mem::take(&mut self.ends) {
            self.outbox.ends(end, token);
        }
        let bytes = core::mem::take(&mut self.buffer).into_bytes();
        self.outbox.hand(bytes.len());
        self.waiting = true;
        cx.outputs.push(Output::Write {
            link: self.parameters.id,
            bytes,
        });
    }

    /// Drops what was queued in this turn.
    pub(crate) fn forget_unsent(&mut self) {
        self.buffer = String::new();
        self.ends = Vec::new();
    }

    /// Leaves: the goodbye follows what is queued, and the server's is waited for (RFC 6120 §4.4).
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Opening | Phase::Open => {
                self.buffer.push_str(CLOSE);
                self.said_goodbye = true;
            }
            // There is nothing to take leave of yet, or no way to say so.
            Phase::Connecting | Phase::AskedForTls | Phase::Handshake => self.end(cx, None),
            Phase::Closed => {}
        }
    }

    /// Ends at once; with `tell` the server hears why, if it can hear at all.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>, tell: bool, error: Option<StreamErrorOut>) {
        let can_hear = matches!(self.phase, Phase::Opening | Phase::Open);
        if tell && can_hear && !self.said_goodbye {
            if let Some(error) = error {
                self.buffer.push_str(&error.to_xml(false));
            }
            self.buffer.push_str(CLOSE);
            self.said_goodbye = true;
        } else if !tell {
            self.forget_unsent();
        }
        self.flush(cx);
        self.phase = Phase::Closed;
    }

    /// The peer closed the connection.
    pub(crate) fn ended(&mut self, cx: &mut Context<'_>) {
        let reason = (!self.said_goodbye).then_some(Offline::Connection(ConnectionError::Closed));
        self.end(cx, reason);
    }

    pub(crate) fn written(&mut self, cx: &mut Context<'_>, bytes: u64) {
        self.outbox.written(cx, bytes);
    }

    fn misbehaved(&mut self, cx: &mut Context<'_>, error: PeerMisbehaved) {
        if error == PeerMisbehaved::BeforeTls {
            // Whoever put it there is not to be answered.
            self.phase = Phase::Closed;
        }
        cx.event(Event::Closed(Some(Offline::Misbehaved(error))));
    }

    fn end(&mut self, cx: &mut Context<'_>, reason: Option<Offline>) {
        if self.phase == Phase::Closed {
            return;
        }
        if self.said_goodbye {
            self.phase = Phase::Closed;
        }
        cx.event(Event::Closed(reason));
    }
}

/// RFC 6120 §4.7.5: a missing version is one before 1.0, and a later one speaks 1.0 with us.
pub(super) fn is_version_1(version: Option<&str>) -> bool {
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= 1)
}

/// Appends attributes with a value.
pub(super) fn push_attributes(xml: &mut String, attributes: &[(&str, Option<&str>)]) {
    for (name, value) in attributes {
        if let Some(value) = value {
            xml.push(' ');
            xml.push_str(name);
            xml.push_str("='");
            escape_attribute(xml, value);
            xml.push('\'');
        }
    }
}
