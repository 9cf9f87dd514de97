//! TCP: one endless document in each direction, restarted after TLS and after SASL (RFC 6120 §4).
//!
//! What is sent in a turn leaves in one write at its end. What is received is read up to one event at a time, so that what
//! follows `<proceed/>` or `<success/>` never meets the state before it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::outbox::{Outbox, Said, StreamErrorOut, check_version};
use super::{Context, Event, NS_STREAM, expanded_name};
use crate::error::{ConnectionError, Offline, PeerMisbehaved, SessionEnd, WaitingFor};
use crate::input::{LinkId, Token};
use crate::output::{Output, TcpTls};
use crate::session::NS_CLIENT;
use crate::xml::{Element, Framing, Reader, XmlEvent, XmlLimits, escape_attribute};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const CLOSE: &str = "</stream:stream>";

/// One TCP connection.
pub(crate) struct Tcp {
    id: LinkId,
    domain: String,
    language: String,
    tls: TcpTls,
    phase: Phase,
    starttls: StartTls,
    reader: Reader,
    header: Said,
    goodbye: Said,
    /// What leaves with the next flush, and which stanzas end where in it.
    buffer: String,
    marks: Vec<(usize, Token)>,
    outbox: Outbox,
    round_trips: u32,
    /// Something was written, and nothing has come since.
    asked: bool,
    /// `Closed` was reported: nothing may follow it.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// `Connected` is due: at first, and after `StartTls`.
    Connecting,
    /// The server's stream header is due.
    Opening {
        /// It is the one after the login.
        restarted: bool,
    },
    Open,
    /// We have said goodbye; what the server still says is heard (RFC 6120 §4.4).
    Leaving,
    Closed,
}

/// RFC 6120 §5.4.2: where the way to TLS is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StartTls {
    /// Not asked for, or over.
    No,
    /// Asked for: not even white space may be sent until the answer.
    Asked,
    /// The server has answered something.
    Answered,
    /// The host was told to begin: what is neither TLS nor of us must be an injection.
    Beginning,
}

/// What `Tcp::new` needs to know.
pub(crate) struct Parameters {
    pub(crate) id: LinkId,
    pub(crate) domain: String,
    pub(crate) language: String,
    pub(crate) limits: XmlLimits,
    pub(crate) tls: TcpTls,
}

impl Tcp {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            id: parameters.id,
            domain: parameters.domain,
            language: parameters.language,
            reader: Reader::new(Framing::Stream, parameters.limits),
            tls: parameters.tls,
            phase: Phase::Connecting,
            starttls: StartTls::No,
            header: Said::No,
            goodbye: Said::No,
            buffer: String::new(),
            marks: Vec::new(),
            outbox: Outbox::default(),
            round_trips: 0,
            asked: false,
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// TLS is still to begin on it.
    pub(crate) fn awaits_starttls(&self) -> bool {
        self.tls == TcpTls::StartTls && self.phase == Phase::Connecting && self.starttls == StartTls::No
    }

    /// `Connected` is due: while connecting, and again after `start_tls`.
    pub(crate) fn expects_connected(&self) -> bool {
        self.phase == Phase::Connecting && !self.ended
    }

    /// The server's header of the present stream has come, and nobody is leaving.
    pub(crate) fn is_open(&self) -> bool {
        self.phase == Phase::Open && !self.ended
    }

    /// How many times the server had to be waited for since the link is up.
    pub(crate) fn round_trips(&self) -> u32 {
        self.round_trips
    }

    /// Bytes accepted that the host has not written yet.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.buffer.len().saturating_add(self.outbox.pending())
    }

    /// Login is over: larger elements are let in, and the stream may go on for ever.
    pub(crate) fn set_limits(&mut self, limits: XmlLimits) {
        self.reader.set_limits(XmlLimits {
            document_bytes: None,
            ..limits
        });
    }

    /// The host has connected, or done the handshake of TLS: a stream begins. `from`, the bare JID, only under TLS (RFC 6120 §4.7.1).
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        if !self.expects_connected() {
            return;
        }
        self.starttls = StartTls::No;
        self.open(from, false);
        // It does not wait for the turn's end, so that nothing that goes wrong in it takes the header back (RFC 6120 §4.9.1.2).
        self.flush(cx);
    }

    /// A new stream after the login (RFC 6120 §4.3.3).
    pub(crate) fn restart(&mut self, _cx: &mut Context<'_>, from: Option<&str>) {
        if self.is_open() {
            self.open(from, true);
        }
    }

    fn open(&mut self, from: Option<&str>, restarted: bool) {
        self.forget_stream();
        self.phase = Phase::Opening { restarted };
        self.push_header(from);
    }

    /// Nothing of the old stream is known on the new one (RFC 6120 §5.4.3.3, §6.4.6).
    fn forget_stream(&mut self) {
        self.reader = Reader::new(Framing::Stream, self.reader.limits().clone());
        self.header = Said::No;
    }

    fn push_header(&mut self, from: Option<&str>) {
        self.buffer.push_str("<?xml version='1.0'?><stream:stream to='");
        escape_attribute(&mut self.buffer, &self.domain);
        if let Some(from) = from {
            self.buffer.push_str("' from='");
            escape_attribute(&mut self.buffer, from);
        }
        self.buffer.push_str("' version='1.0' xml:lang='");
        escape_attribute(&mut self.buffer, &self.language);
        self.buffer.push_str("' xmlns='");
        self.buffer.push_str(NS_CLIENT);
        self.buffer.push_str("' xmlns:stream='");
        self.buffer.push_str(NS_STREAM);
        self.buffer.push_str("'>");
        self.header = Said::Queued;
    }

    // ---- sending

    /// Whether something may be said on the present stream.
    fn may_send(&self) -> bool {
        matches!(self.phase, Phase::Opening { .. } | Phase::Open)
            && !matches!(self.starttls, StartTls::Asked | StartTls::Beginning)
            && self.header != Said::No
            && self.goodbye == Said::No
            && !self.ended
    }

    /// Queues an element; `flush` sends it. Where nothing may be said, it is dropped.
    pub(crate) fn send(&mut self, xml: &str, token: Option<Token>) {
        if !self.may_send() {
            return;
        }
        let (start, rest) = without_content_namespace(xml);
        self.buffer.push_str(start);
        self.buffer.push_str(rest);
        if let Some(token) = token {
            self.marks.push((self.buffer.len(), token));
        }
    }

    /// One space, so that nobody takes the connection for dead (RFC 6120 §4.6.1): only between elements of an open stream.
    pub(crate) fn white_space(&mut self) {
        // What is about to be sent does the same.
        if self.is_open() && self.may_send() && self.buffer.is_empty() {
            self.buffer.push(' ');
        }
    }

    /// Asks for TLS. Nothing may be sent until `start_tls` (RFC 6120 §5.3.3).
    pub(crate) fn ask_for_tls(&mut self) {
        if self.is_open() && self.may_send() && self.starttls == StartTls::No {
            self.buffer.push_str(STARTTLS);
            self.starttls = StartTls::Asked;
        }
    }

    /// The server proceeds. `rest_is_empty`: nothing was received behind its word, not even white space (RFC 6120 §5.4.3.3).
    pub(crate) fn start_tls(&mut self, cx: &mut Context<'_>, rest_is_empty: bool, server_name: &str) {
        if self.ended {
            return;
        }
        if self.starttls != StartTls::Answered {
            let (waiting_for, element) = (WaitingFor::Features, "{urn:ietf:params:xml:ns:xmpp-tls}proceed".into());
            return self.misbehaved(cx, PeerMisbehaved::Unexpected { waiting_for, element });
        }
        // From here on the server takes whatever we say for TLS.
        self.starttls = StartTls::Beginning;
        if !rest_is_empty {
            return self.misbehaved(cx, PeerMisbehaved::BeforeTls);
        }
        self.drop_unsent();
        self.forget_stream();
        self.phase = Phase::Connecting;
        self.asked = false;
        cx.outputs.push(Output::StartTls {
            link: self.id,
            server_name: server_name.into(),
        });
    }

    /// Gives the host what was queued in this turn, in one write.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        if self.buffer.is_empty() {
            return;
        }
        let bytes = core::mem::take(&mut self.buffer).into_bytes();
        self.outbox.give(bytes.len(), core::mem::take(&mut self.marks));
        self.asked = true;
        self.header.flushed();
        self.goodbye.flushed();
        cx.outputs.push(Output::Write { link: self.id, bytes });
    }

    /// Drops what was queued in this turn, and reports nothing of it.
    pub(crate) fn forget_unsent(&mut self) {
        self.drop_unsent();
        self.header.forgotten();
        self.goodbye.forgotten();
    }

    fn drop_unsent(&mut self) {
        self.buffer = String::new();
        self.marks = Vec::new();
    }

    /// Nobody has to hear any more when that stanza is written.
    pub(crate) fn settled(&mut self, token: Token) {
        self.outbox.forget(token);
    }

    /// The host has written so many more bytes.
    pub(crate) fn written(&mut self, cx: &mut Context<'_>, bytes: u64) {
        self.outbox.written(cx, bytes);
    }

    // ---- leaving

    /// Says goodbye, after what is queued, and keeps listening until the server has said it too (RFC 6120 §4.4).
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) {
        if self.may_send() {
            self.say_goodbye();
            self.phase = Phase::Leaving;
        } else if self.phase != Phase::Leaving {
            // There is no stream that could be closed.
            self.close(cx, None);
        }
    }

    fn say_goodbye(&mut self) {
        if self.goodbye == Said::No {
            self.buffer.push_str(CLOSE);
            self.goodbye = Said::Queued;
        }
    }

    /// Ends at once. With `tell` the server hears of it, with `error` also why; nothing is said while it would be taken for TLS.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>, tell: bool, error: Option<StreamErrorOut<'_>>) {
        let connected = matches!(self.phase, Phase::Opening { .. } | Phase::Open | Phase::Leaving);
        let silent = matches!(self.starttls, StartTls::Asked | StartTls::Beginning);
        if tell && connected && !silent {
            if let Some(error) = error.filter(|_| self.goodbye == Said::No) {
                // RFC 6120 §4.9.1.2.
                if self.header == Said::No {
                    self.push_header(None);
                }
                error.write(&mut self.buffer, "<stream:error>");
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

    /// The server has closed the connection.
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

    fn misbehaved(&mut self, cx: &mut Context<'_>, error: PeerMisbehaved) {
        self.close(cx, Some(Offline::Misbehaved(error)));
    }

    // ---- receiving

    /// Takes bytes up to the end of what makes the next event, or all of them, and says how many it took. Call it with the rest when
    /// that event has been dealt with.
    pub(crate) fn received(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        // RFC 6120 §4.4: nothing follows the end of a stream.
        if self.ended || self.phase == Phase::Closed {
            return bytes.len();
        }
        if self.phase == Phase::Connecting {
            // Before the first `Connected` there is nothing to receive from; later it is what the host had read before TLS.
            if self.starttls == StartTls::Beginning {
                self.misbehaved(cx, PeerMisbehaved::BeforeTls);
            }
            return bytes.len();
        }
        if core::mem::take(&mut self.asked) {
            self.round_trips = self.round_trips.saturating_add(1);
        }
        let skipped = self.before_header(cx, bytes);
        let rest = bytes.get(skipped..).unwrap_or_default();
        if self.ended || rest.is_empty() {
            return bytes.len();
        }
        let taken = self.read(cx, rest);
        if taken == rest.len() && !self.ended {
            // A header that closes itself is two events; and with nothing more to read, the reader gives its memory back.
            self.read(cx, &[]);
        }
        skipped.saturating_add(taken)
    }

    /// White space behind the word that the login is done belongs to the old stream, and so would anything but a new header.
    fn before_header(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        if self.phase != (Phase::Opening { restarted: true }) {
            return 0;
        }
        let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let skipped = bytes.iter().take_while(space).count();
        match bytes.get(skipped) {
            Some(b'<') => self.phase = Phase::Opening { restarted: false },
            Some(_) => self.misbehaved(cx, PeerMisbehaved::AfterLogin),
            None => {}
        }
        skipped
    }

    fn read(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> usize {
        let (taken, event) = match self.reader.feed_until_element(bytes) {
            Ok(read) => read,
            Err(error) => {
                self.answered();
                self.misbehaved(cx, PeerMisbehaved::Xml(error));
                return bytes.len();
            }
        };
        match event {
            Some(XmlEvent::Open(root)) => {
                if let Err(reason) = self.opened(cx, &root) {
                    self.close(cx, Some(reason));
                }
            }
            Some(XmlEvent::Element(element)) => {
                self.answered();
                cx.event(Event::Element(element));
            }
            Some(XmlEvent::Close) => {
                self.answered();
                self.server_closed(cx);
            }
            None => {}
        }
        taken
    }

    /// The server has said something: it was its answer to `<starttls/>`, whatever it is.
    fn answered(&mut self) {
        if self.starttls == StartTls::Asked {
            self.starttls = StartTls::Answered;
        }
    }

    /// RFC 6120 §4.7, §4.8. `from` and `id` are not checked: who the server is, TLS says.
    fn opened(&mut self, cx: &mut Context<'_>, root: &Element) -> Result<(), Offline> {
        if root.is(NS_STREAM, "error") {
            // Its reason would come within it, but this is no stream.
            return Err(Offline::Ended(SessionEnd {
                condition: Some("undefined-condition".into()),
                text: None,
                application: None,
                see_other: None,
            }));
        }
        if !root.is(NS_STREAM, "stream") {
            let element = expanded_name(root.root());
            return Err(Offline::Misbehaved(PeerMisbehaved::StreamHeader { element }));
        }
        if self.reader.content_namespace() != NS_CLIENT {
            return Err(Offline::Misbehaved(PeerMisbehaved::ContentNamespace));
        }
        check_version(root.attribute("version"))?;
        if self.phase != Phase::Leaving {
            self.phase = Phase::Open;
            cx.event(Event::Opened);
        }
        Ok(())
    }

    /// RFC 6120 §4.4: the second to say goodbye ends it.
    fn server_closed(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Leaving {
            return self.close(cx, None);
        }
        if !matches!(self.starttls, StartTls::Asked | StartTls::Beginning) {
            self.say_goodbye();
            self.flush(cx);
        }
        self.close(
            cx,
            Some(Offline::Ended(SessionEnd {
                condition: None,
                text: None,
                application: None,
                see_other: None,
            })),
        );
    }
}

/// The stream header has declared the content namespace: it need not be repeated in each stanza (RFC 6120 §4.8.2). The element without
/// that declaration in its start tag, in two parts.
fn without_content_namespace(xml: &str) -> (&str, &str) {
    let name_end = xml.find([' ', '/', '>']).unwrap_or(xml.len());
    let (name, rest) = xml.split_at_checked(name_end).unwrap_or((xml, ""));
    // The writer puts it right behind the name.
    let rest = rest.strip_prefix(" xmlns='jabber:client'").unwrap_or(rest);
    (name, rest)
}

/// Shows nothing that was received or is to be sent.
impl fmt::Debug for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tcp")
            .field("id", &self.id)
            .field("phase", &self.phase)
            .field("pending_bytes", &self.pending_bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
