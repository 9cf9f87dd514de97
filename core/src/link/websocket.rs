//! WebSocket: each message is one element, and a document of its own (RFC 7395).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::outbox::Outbox;
use super::tcp::{Parameters, StreamErrorOut, is_version_1, push_attributes};
use super::{Context, Event, NS_STREAM, expanded_name, shorten};
use crate::error::{ConnectionError, Offline, PeerIncompatible, PeerMisbehaved, SessionEnd};
use crate::input::{LinkId, Token};
use crate::output::Output;
use crate::xml::{Element, Framing, Reader, XmlError, XmlEvent, XmlLimits};

const NS_FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";

/// A connection.
#[derive(Debug)]
pub(crate) struct WebSocket {
    parameters: Parameters,
    phase: Phase,
    /// What `flush` hands over.
    frames: Vec<(String, Option<Token>)>,
    queued_bytes: usize,
    outbox: Outbox,
    said_goodbye: bool,
    /// Something was said, and the server has not answered yet.
    waiting: bool,
    round_trips: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// `<open/>` is on its way, and the server's is waited for.
    Opening,
    Open,
    Closed,
}

impl WebSocket {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            phase: Phase::Connecting,
            frames: Vec::new(),
            queued_bytes: 0,
            outbox: Outbox::default(),
            said_goodbye: false,
            waiting: false,
            round_trips: 0,
        }
    }

    pub(crate) fn id(&self) -> LinkId {
        self.parameters.id
    }

    pub(crate) fn expects_connected(&self) -> bool {
        self.phase == Phase::Connecting
    }

    pub(crate) fn round_trips(&self) -> u32 {
        self.round_trips
    }

    /// Bytes that wait for the end of the turn, or for the host.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.outbox.pending().saturating_add(self.queued_bytes)
    }

    pub(crate) fn set_limits(&mut self, limits: XmlLimits) {
        self.parameters.limits = limits;
    }

    /// The host has connected.
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        self.restart(cx, from);
    }

    /// A stream, or a new one on the same connection (RFC 7395 §3.4, §3.7): there is nothing to close before it.
    pub(crate) fn restart(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        // What was meant for the old stream is not said on the new one.
        self.forget_unsent();
        self.phase = Phase::Opening;
        let mut open = String::from("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'");
        let attributes = [
            ("to", Some(self.parameters.domain.as_str())),
            ("from", from),
            ("version", Some("1.0")),
            ("xml:lang", Some(self.parameters.language.as_str())),
        ];
        push_attributes(&mut open, &attributes);
        open.push_str("/>");
        self.queue(open, None);
        self.flush(cx);
    }

    /// One whole message.
    pub(crate) fn received(&mut self, cx: &mut Context<'_>, message: &[u8]) -> usize {
        if matches!(self.phase, Phase::Connecting | Phase::Closed) || message.is_empty() {
            return message.len();
        }
        if core::mem::take(&mut self.waiting) {
            self.round_trips = self.round_trips.saturating_add(1);
        }
        match self.read(message) {
            Ok(element) => self.element(cx, element),
            Err(error) => self.misbehaved(cx, error),
        }
        message.len()
    }

    fn read(&self, message: &[u8]) -> Result<Element, PeerMisbehaved> {
        let mut reader = Reader::new(Framing::Document, self.parameters.limits.clone());
        // One real server forgets to declare it in its stream errors; the error is worth more than the lesson.
        reader.predeclare("stream", NS_STREAM);
        let mut events = Vec::new();
        let whole = reader.feed(message, &mut events).and_then(|()| reader.finish());
        whole.map_err(PeerMisbehaved::Xml)?;
        match events.pop() {
            Some(XmlEvent::Element(element)) if events.is_empty() => Ok(element),
            _ => Err(PeerMisbehaved::Xml(XmlError::Incomplete)),
        }
    }

    fn element(&mut self, cx: &mut Context<'_>, element: Element) {
        if element.is(NS_FRAMING, "close") {
            return self.peer_left(cx, element.attribute("see-other-uri"));
        }
        if element.is(NS_FRAMING, "open") && self.phase == Phase::Opening {
            if !is_version_1(element.attribute("version")) {
                return cx.event(Event::Closed(Some(Offline::Incompatible(PeerIncompatible::Version))));
            }
            self.phase = Phase::Open;
            return cx.event(Event::Opened);
        }
        // RFC 7395 §3.4: the header comes first; a stream error may come instead of it, where something is wrong with ours.
        let framing = element.namespace() == NS_FRAMING || element.is(NS_STREAM, "stream");
        if framing || (self.phase == Phase::Opening && !element.is(NS_STREAM, "error")) {
            let element = expanded_name(element.root());
            return self.misbehaved(cx, PeerMisbehaved::StreamHeader { element });
        }
        cx.event(Event::Element(element));
    }

    /// `<close/>` (RFC 7395 §3.6).
    fn peer_left(&mut self, cx: &mut Context<'_>, see_other_uri: Option<&str>) {
        if self.said_goodbye {
            self.phase = Phase::Closed;
            return cx.event(Event::Closed(None));
        }
        self.queue(CLOSE.to_string(), None);
        self.said_goodbye = true;
        self.flush(cx);
        self.phase = Phase::Closed;
        cx.event(Event::Closed(Some(Offline::Ended(SessionEnd {
            condition: None,
            text: None,
            application: None,
            see_other: see_other_uri.map(shorten),
        }))));
    }

    /// Queues an element; `flush` sends it.
    pub(crate) fn send(&mut self, xml: &str, token: Option<Token>) {
        if !self.said_goodbye && matches!(self.phase, Phase::Opening | Phase::Open) {
            self.queue(xml.to_string(), token);
        }
    }

    fn queue(&mut self, frame: String, token: Option<Token>) {
        self.queued_bytes = self.queued_bytes.saturating_add(frame.len());
        self.frames.push((frame, token));
    }

    /// The end of a turn: all that was queued leaves.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        for (text, token) in core::mem::take(&mut self.frames) {
            if let Some(token) = token {
                self.outbox.ends(text.len(), token);
            }
            self.outbox.hand(text.len());
            self.waiting = true;
            cx.outputs.push(Output::Frame {
                link: self.parameters.id,
                text,
            });
        }
        self.queued_bytes = 0;
    }

    /// Drops what was queued in this turn.
    pub(crate) fn forget_unsent(&mut self) {
        self.frames = Vec::new();
        self.queued_bytes = 0;
    }

    /// Leaves: the goodbye follows what is queued, and the server's is waited for.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Opening | Phase::Open => {
                self.queue(CLOSE.to_string(), None);
                self.said_goodbye = true;
            }
            Phase::Connecting => cx.event(Event::Closed(None)),
            Phase::Closed => {}
        }
    }

    /// Ends at once; with `tell` the server hears why, if it can hear at all.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>, tell: bool, error: Option<StreamErrorOut>) {
        let can_hear = matches!(self.phase, Phase::Opening | Phase::Open);
        if tell && can_hear && !self.said_goodbye {
            if let Some(error) = error {
                self.queue(error.to_xml(true), None);
            }
            self.queue(CLOSE.to_string(), None);
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
        cx.event(Event::Closed(reason));
    }

    pub(crate) fn written(&mut self, cx: &mut Context<'_>, bytes: u64) {
        self.outbox.written(cx, bytes);
    }

    fn misbehaved(&mut self, cx: &mut Context<'_>, error: PeerMisbehaved) {
        cx.event(Event::Closed(Some(Offline::Misbehaved(error))));
    }
}
