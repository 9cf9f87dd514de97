//! WebSocket: each element a message and a document of its own (RFC 7395).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::outbox::{Outbox, Said, StreamErrorOut, check_version};
use super::{Context, Event, NS_STREAM, expanded_name};
use crate::config::split_url;
use crate::error::{ConnectionError, Offline, PeerMisbehaved, SessionEnd};
use crate::input::{LinkId, Token};
use crate::output::Output;
use crate::xml::{Element, Fault, Framing, Limit, Reader, XmlError, XmlEvent, XmlLimits, escape_attribute};

const NS_FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
const ERROR: &str = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>";
/// No URL of a server is longer; a longer one would be cut, and then lead elsewhere.
const URL_BYTES: usize = 1_024;

/// One WebSocket.
pub(crate) struct WebSocket {
    id: LinkId,
    domain: String,
    language: String,
    limits: XmlLimits,
    phase: Phase,
    header: Said,
    goodbye: Said,
    /// What leaves with the next flush.
    frames: Vec<(String, Option<Token>)>,
    outbox: Outbox,
    round_trips: u32,
    /// Something was written, and nothing has come since.
    asked: bool,
    /// `Closed` was reported: nothing may follow it.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// The server's `<open/>` is due.
    Opening {
        /// It is the one after the login.
        restarted: bool,
    },
    Open,
    /// We have said goodbye; what the server still says is heard (RFC 7395 §3.6).
    Leaving,
    Closed,
}

/// What `WebSocket::new` needs to know.
pub(crate) struct Parameters {
    pub(crate) id: LinkId,
    pub(crate) domain: String,
    pub(crate) language: String,
    pub(crate) limits: XmlLimits,
}

impl WebSocket {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            id: parameters.id,
            domain: parameters.domain,
            language: parameters.language,
            limits: parameters.limits,
            phase: Phase::Connecting,
            header: Said::No,
            goodbye: Said::No,
            frames: Vec::new(),
            outbox: Outbox::default(),
            round_trips: 0,
            asked: false,
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// `Connected` is due.
    pub(crate) fn expects_connected(&self) -> bool {
        self.phase == Phase::Connecting && !self.ended
    }

    /// The server's `<open/>` of the present stream has come, and nobody is leaving.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open && !self.ended
    }

    /// How many times the server had to be waited for since the link is up.
    pub(crate) fn round_trips(&self) -> u32 {
        self.round_trips
    }

    /// Bytes accepted that the host has not written yet.
    pub(crate) fn pending_bytes(&self) -> usize {
        let queued = self.frames.iter().map(|(text, _)| text.len());
        queued.fold(self.outbox.pending(), usize::saturating_add)
    }

    /// Login is over: larger elements are let in.
    pub(crate) fn set_limits(&mut self, limits: XmlLimits) {
        self.limits = limits;
    }

    /// The WebSocket is open: a stream begins (RFC 7395 §3.4).
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        if !self.expects_connected() {
            return;
        }
        self.open(from, false);
        // It does not wait for the turn's end, so that nothing that goes wrong in it takes the header back (RFC 6120 §4.9.1.2).
        self.flush(cx);
    }

    /// A new stream after the login (RFC 7395 §3.7).
    pub(crate) fn restart(&mut self, _cx: &mut Context<'_>, from: Option<&str>) {
        if self.is_open() {
            self.open(from, true);
        }
    }

    fn open(&mut self, from: Option<&str>, restarted: bool) {
        self.phase = Phase::Opening { restarted };
        self.push_header(from);
    }

    fn push_header(&mut self, from: Option<&str>) {
        let mut text = String::from("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='");
        escape_attribute(&mut text, &self.domain);
        if let Some(from) = from {
            text.push_str("' from='");
            escape_attribute(&mut text, from);
        }
        text.push_str("' version='1.0' xml:lang='");
        escape_attribute(&mut text, &self.language);
        text.push_str("'/>");
        self.frames.push((text, None));
        self.header = Said::Queued;
    }

    // ---- sending

    fn may_send(&self) -> bool {
        matches!(self.phase, Phase::Opening { .. } | Phase::Open)
            && self.header != Said::No
            && self.goodbye == Said::No
            && !self.ended
    }

    /// Queues an element that declares all that it needs; `flush` sends it. Where nothing may be said, it is dropped.
    pub(crate) fn send(&mut self, xml: &str, token: Option<Token>) {
        if self.may_send() {
            self.frames.push((xml.into(), token));
        }
    }

    /// Gives the host what was queued in this turn, each element as a message.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        for (text, token) in core::mem::take(&mut self.frames) {
            let bytes = text.len();
            self.outbox.give(bytes, token.map(|token| (bytes, token)));
            self.asked = true;
            cx.outputs.push(Output::Frame { link: self.id, text });
        }
        self.header.flushed();
        self.goodbye.flushed();
    }

    /// Drops what was queued in this turn, and reports nothing of it.
    pub(crate) fn forget_unsent(&mut self) {
        self.frames = Vec::new();
        self.header.forgotten();
        self.goodbye.forgotten();
    }

    /// Nobody has to hear any more when that stanza is written.
    pub(crate) fn settled(&mut self, token: Token) {
        self.outbox.forget(token);
    }

    /// The host has written so many more bytes of messages.
    pub(crate) fn written(&mut self, cx: &mut Context<'_>, bytes: u64) {
        self.outbox.written(cx, bytes);
    }

    // ---- leaving

    /// Says goodbye, after what is queued, and keeps listening until the server has said it too (RFC 7395 §3.6).
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) {
        if self.may_send() {
            self.say_goodbye();
            self.phase = Phase::Leaving;
        } else if self.phase != Phase::Leaving {
            self.close(cx, None);
        }
    }

    fn say_goodbye(&mut self) {
        if self.goodbye == Said::No {
            self.frames.push((CLOSE.into(), None));
            self.goodbye = Said::Queued;
        }
    }

    /// Ends at once. With `tell` the server hears of it, with `error` also why.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>, tell: bool, error: Option<StreamErrorOut<'_>>) {
        let connected = matches!(self.phase, Phase::Opening { .. } | Phase::Open | Phase::Leaving);
        if tell && connected {
            if let Some(error) = error.filter(|_| self.goodbye == Said::No) {
                // RFC 6120 §4.9.1.2.
                if self.header == Said::No {
                    self.push_header(None);
                }
                let mut text = String::new();
                error.write(&mut text, ERROR);
                self.frames.push((text, None));
            }
            if self.header != Said::No {
                self.say_goodbye();
            }
            self.flush(cx);
        }
        self.forget_unsent();
        self.phase = Phase::Closed;
        self.ended = true;
    }

    /// The server has closed the WebSocket.
    pub(crate) fn ended(&mut self, cx: &mut Context<'_>) {
        let reason = match self.phase {
            Phase::Leaving => None,
            Phase::Connecting | Phase::Opening { .. } | Phase::Open | Phase::Closed => {
                Some(Offline::Connection(ConnectionError::Closed))
            }
        };
        self.close(cx, reason);
    }

    /// Reports the end, once; the client then calls `shut`.
    fn close(&mut self, cx: &mut Context<'_>, reason: Option<Offline>) {
        if !core::mem::replace(&mut self.ended, true) {
            cx.event(Event::Closed(reason));
        }
    }

    // ---- receiving

    /// Takes one message, all of it.
    pub(crate) fn received(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        // An empty message says nothing, and some servers send it to keep the connection alive.
        let deaf = self.ended || matches!(self.phase, Phase::Connecting | Phase::Closed);
        if bytes.is_empty() || deaf {
            return bytes.len();
        }
        if core::mem::take(&mut self.asked) {
            self.round_trips = self.round_trips.saturating_add(1);
        }
        if let Err(reason) = self.read(bytes).and_then(|element| self.take(cx, element)) {
            self.close(cx, Some(reason));
        }
        bytes.len()
    }

    /// The element that a message is.
    fn read(&self, bytes: &[u8]) -> Result<Element, Offline> {
        let maximum = self.limits.element_bytes;
        let limit = Limit::ElementBytes;
        let limits = XmlLimits {
            document_bytes: None,
            ..self.limits.clone()
        };
        let error = if bytes.len() > maximum {
            XmlError::LimitExceeded { limit, maximum }
        } else {
            match document(bytes, limits.clone(), false) {
                Ok(element) => return Ok(element),
                Err(error) => error,
            }
        };
        let misbehaved = match error {
            XmlError::NotWellFormed {
                fault: Fault::UndeclaredPrefix,
            } => {
                // One server forgets the declaration where it gives the reason for the end, and the reason is what counts.
                match document(bytes, limits, true) {
                    Ok(element) if element.is(NS_STREAM, "error") => return Ok(element),
                    Ok(_) | Err(_) => PeerMisbehaved::Xml(error),
                }
            }
            XmlError::NotWellFormed {
                fault: Fault::OutsideRoot | Fault::Declaration,
            }
            | XmlError::Incomplete => self.old_header(bytes, limits).unwrap_or(PeerMisbehaved::Frame),
            XmlError::NotWellFormed { .. }
            | XmlError::RestrictedXml { .. }
            | XmlError::UnsupportedEncoding
            | XmlError::BadFormat
            | XmlError::LimitExceeded { .. } => PeerMisbehaved::Xml(error),
        };
        Err(Offline::Misbehaved(misbehaved))
    }

    /// Before RFC 7395, servers opened a stream as on TCP.
    fn old_header(&self, bytes: &[u8], limits: XmlLimits) -> Option<PeerMisbehaved> {
        if !matches!(self.phase, Phase::Opening { .. }) {
            return None;
        }
        match Reader::new(Framing::Stream, limits).feed_until_element(bytes) {
            Ok((_, Some(XmlEvent::Open(root)))) if root.is(NS_STREAM, "stream") => Some(PeerMisbehaved::StreamHeader {
                element: expanded_name(root.root()),
            }),
            Ok(_) | Err(_) => None,
        }
    }

    fn take(&mut self, cx: &mut Context<'_>, element: Element) -> Result<(), Offline> {
        if element.is(NS_FRAMING, "close") {
            return self.server_closed(cx, &element);
        }
        // RFC 6120 §4.9.1.2: it may come before anything else.
        let error = element.is(NS_STREAM, "error");
        let open = element.is(NS_FRAMING, "open");
        match self.phase {
            Phase::Opening { .. } if open => {
                check_version(element.attribute("version"))?;
                self.phase = Phase::Open;
                cx.event(Event::Opened);
            }
            Phase::Opening { restarted } if !error => {
                return Err(Offline::Misbehaved(if restarted {
                    PeerMisbehaved::AfterLogin
                } else {
                    PeerMisbehaved::StreamHeader {
                        element: expanded_name(element.root()),
                    }
                }));
            }
            // RFC 7395 §3.4: a stream has one header, as on TCP.
            Phase::Open if open => return Err(Offline::Misbehaved(PeerMisbehaved::Xml(XmlError::BadFormat))),
            // The answer to our own, if we left early.
            Phase::Leaving if open => {}
            Phase::Connecting | Phase::Opening { .. } | Phase::Open | Phase::Leaving | Phase::Closed => {
                cx.event(Event::Element(element));
            }
        }
        Ok(())
    }

    /// RFC 7395 §3.6: the second to say goodbye ends it; §3.6.1: the first may say where to go.
    fn server_closed(&mut self, cx: &mut Context<'_>, close: &Element) -> Result<(), Offline> {
        if self.phase == Phase::Leaving {
            self.close(cx, None);
            return Ok(());
        }
        if self.header != Said::No {
            self.say_goodbye();
            self.flush(cx);
        }
        let uri = close.attribute("see-other-uri");
        Err(Offline::Ended(SessionEnd {
            condition: uri.map(|_| "see-other-uri".into()),
            text: None,
            application: None,
            see_other: uri.filter(|uri| leads_to_websocket(uri)).map(Into::into),
        }))
    }
}

/// Whether it is the URL of a WebSocket, by its scheme alone (RFC 6455 §3): whether that is secure enough is for others to say.
fn leads_to_websocket(uri: &str) -> bool {
    let websocket = |scheme: &str| scheme.eq_ignore_ascii_case("wss") || scheme.eq_ignore_ascii_case("ws");
    uri.len() <= URL_BYTES && split_url(uri).is_some_and(|(scheme, host)| websocket(scheme) && !host.is_empty())
}

/// The one element of a document; `declared`: with the prefix `stream` as if declared around it.
fn document(bytes: &[u8], limits: XmlLimits, declared: bool) -> Result<Element, XmlError> {
    let mut reader = Reader::new(Framing::Document, limits);
    if declared {
        reader.predeclare("stream", NS_STREAM);
    }
    let mut events = Vec::new();
    reader.feed(bytes, &mut events)?;
    reader.finish()?;
    match events.pop() {
        Some(XmlEvent::Element(element)) => Ok(element),
        Some(XmlEvent::Open(_) | XmlEvent::Close) | None => Err(XmlError::Incomplete),
    }
}

/// Shows nothing that was received or is to be sent.
impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .field("pending_bytes", &self.pending_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
