//! Streams over TCP and WebSocket: headers, the order of things, and how streams end.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::faults::{LinkFaults, Transport};
use crate::hub::{Client, Hub};
use crate::sm::{self, Kept, Sm, Waiting};
use crate::stream::{Action, CLIENT, Context, State, Stream};
use crate::tls::Peer;
use crate::xml::{self, Element, escape};

pub(crate) const STREAMS: &str = "http://etherx.jabber.org/streams";
pub(crate) const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
pub(crate) const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// What the connection's task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Continue,
    /// A new stream begins on the same connection: over TCP, with a new reader.
    Restart,
    /// `<proceed/>`, and then TLS.
    StartTls,
    /// Nothing more is read. What waits in the outbox still leaves; then the connection ends.
    Close,
}

/// One stream over TCP or WebSocket; with stream management, it may be between two connections.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) transport: Transport,
    pub(crate) stream: Stream,
    pub(crate) sm: Option<Sm>,
    pub(crate) peer: Arc<Peer>,
    secure: bool,
    opened: bool,
    /// Texts for the connection, each a whole frame. `None` between two connections.
    outbox: Option<mpsc::UnboundedSender<String>>,
}

impl Link {
    /// To the connection, if there is one; in the words of its transport.
    pub(crate) fn send(&mut self, xml: &str) {
        let Some(outbox) = &self.outbox else { return };
        let text = match self.transport {
            // RFC 7395 §3.3.3: a frame declares all that it uses.
            Transport::WebSocket => match xml.strip_prefix("<stream:").and_then(|rest| rest.split_once('>')) {
                Some((start, rest)) => format!("<stream:{start} xmlns:stream='{STREAMS}'>{rest}"),
                None => xml.to_owned(),
            },
            // The header has declared it (RFC 6120 §4.8.2); real servers do not repeat it.
            Transport::StartTls | Transport::DirectTls | Transport::Bosh => {
                let declaration = format!(" xmlns='{CLIENT}'");
                match xml.find(&declaration) {
                    Some(at) if !xml.get(..at).unwrap_or_default().contains('>') => xml.replacen(&declaration, "", 1),
                    Some(_) | None => xml.to_owned(),
                }
            }
        };
        // The connection may just have gone: its task will say so.
        let _ = outbox.send(text);
    }

    /// A stanza: counted and kept where the client wants that.
    pub(crate) fn send_stanza(&mut self, xml: &str, routed: Option<&Element>, ask_every: u32) {
        self.send(xml);
        let connected = self.outbox.is_some();
        if let Some(sm) = &mut self.sm {
            let kept = Kept {
                xml: xml.to_owned(),
                routed: routed.cloned(),
            };
            if sm.keep(kept, ask_every, connected) {
                self.send(sm::ASK);
            }
        }
    }

    /// The last words: a stream error, the end of the stream. The connection ends when they have left.
    pub(crate) fn finish(&mut self, condition: &str, detail: &str) {
        self.send(&stream_error(condition, detail));
        self.hang_up();
    }

    fn hang_up(&mut self) {
        let end = match self.transport {
            Transport::WebSocket => format!("<close xmlns='{FRAMING}'/>"),
            Transport::StartTls | Transport::DirectTls | Transport::Bosh => "</stream:stream>".to_owned(),
        };
        self.send(&end);
        self.outbox = None;
    }

    /// The stream header of the server, or what a WebSocket has in its place.
    fn open(&mut self, domain: &str, id: &str) {
        let domain = escape(domain);
        let header = match self.transport {
            Transport::WebSocket => {
                format!("<open xmlns='{FRAMING}' from='{domain}' id='{id}' version='1.0' xml:lang='en'/>")
            }
            Transport::StartTls | Transport::DirectTls | Transport::Bosh => format!(
                "<?xml version='1.0'?><stream:stream from='{domain}' id='{id}' version='1.0' xml:lang='en' \
                 xmlns:stream='{STREAMS}' xmlns='{CLIENT}'>"
            ),
        };
        // Not through `send`, which would take the declaration away.
        if let Some(outbox) = &self.outbox {
            let _ = outbox.send(header);
        }
        self.opened = true;
    }
}

impl Hub {
    /// A new connection, and where the texts for it come from.
    pub(crate) fn connect(
        &mut self,
        transport: Transport,
        peer: Arc<Peer>,
        secure: bool,
    ) -> (u64, mpsc::UnboundedReceiver<String>) {
        let (outbox, texts) = mpsc::unbounded_channel();
        self.last_link += 1;
        let link = Link {
            transport,
            stream: Stream::new(),
            sm: None,
            peer,
            secure,
            opened: false,
            outbox: Some(outbox),
        };
        self.links.insert(self.last_link, link);
        (self.last_link, texts)
    }

    /// STARTTLS is done: everything from before is forgotten (RFC 6120 §5.4.3.3).
    pub(crate) fn secured(&mut self, id: u64, peer: Arc<Peer>) {
        if let Some(link) = self.links.get_mut(&id) {
            link.peer = peer;
            link.secure = true;
            link.opened = false;
        }
    }

    /// A stream header over TCP. `declared` says whether it makes `jabber:client` the default namespace.
    pub(crate) fn stream_header(&mut self, id: u64, header: &Element, declared: bool) -> Next {
        let wrong = if header.namespace != STREAMS {
            Some("invalid-namespace")
        } else if header.name != "stream" {
            Some("bad-format")
        } else if !declared {
            Some("invalid-namespace")
        } else {
            None
        };
        self.open(id, header, wrong)
    }

    /// One text frame of a WebSocket (RFC 7395 §3.3).
    pub(crate) fn frame(&mut self, id: u64, text: &str) -> Next {
        let spaced = text.trim_matches([' ', '\t', '\r', '\n']);
        if spaced.is_empty() {
            self.violate("a frame without an element".into());
            return Next::Continue;
        }
        if spaced.len() != text.len() {
            self.violate("white space around the element of a frame".into());
        }
        if spaced.starts_with("<?xml") {
            self.violate("an XML declaration in a frame".into());
        }
        let element = match xml::parse(spaced.as_bytes()) {
            Ok(element) => element,
            Err(why) => {
                self.violate(format!("a frame that is not one element: {why}"));
                return self.broken(id, "not-well-formed");
            }
        };
        match (element.namespace.as_str(), element.name.as_str()) {
            (FRAMING, "open") => self.open(id, &element, None),
            (FRAMING, "close") => self.closed(id),
            _ => self.element(id, element),
        }
    }

    /// A child of the stream.
    pub(crate) fn element(&mut self, id: u64, element: Element) -> Next {
        let Some(link) = self.links.get_mut(&id) else {
            return Next::Close;
        };
        if !link.opened {
            self.violate(format!("<{}/> before the stream is open", element.name));
            return self.broken(id, "invalid-namespace");
        }
        if !link.secure {
            if element.is(TLS, "starttls") {
                return Next::StartTls;
            }
            self.violate(format!("<{}/> before TLS", element.name));
            return self.broken(id, "policy-violation");
        }
        if element.is(STREAMS, "error") {
            // The client's judgement on us, not a misdeed of its own.
            self.statistics.stream_errors += 1;
            return self.closed(id);
        }
        if element.namespace == sm::SM {
            return self.manage(id, &element);
        }
        if element.namespace == CLIENT
            && let Some(sm) = &mut link.sm
        {
            sm.count();
        }
        let (peer, transport) = (link.peer.clone(), link.transport);
        let mut context = Context {
            settings: &self.settings,
            habits: self.habits,
            options: &self.options,
            accounts: &mut self.accounts,
            transport,
            creation: &peer,
            request: &peer,
        };
        let actions = link.stream.element(element, &mut context);
        self.perform_all(id, actions)
    }

    /// Text between elements: a keep-alive, if it is white space and comes where it may (RFC 6120 §4.6.1).
    pub(crate) fn text(&mut self, id: u64, text: &str) -> Next {
        if !text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
            self.violate("text between the elements of a stream".into());
            return self.broken(id, "bad-format");
        }
        let within_sasl = self
            .links
            .get(&id)
            .is_some_and(|link| matches!(link.stream.state, State::Authenticating(Some(_))));
        if within_sasl {
            self.violate("white space within SASL (RFC 6120 §6.3.3)".into());
        }
        Next::Continue
    }

    /// The client ended its stream: ours ends too (RFC 6120 §4.4), and nothing can be resumed.
    pub(crate) fn closed(&mut self, id: u64) -> Next {
        if let Some(mut link) = self.links.remove(&id) {
            if let Some(answer) = link.sm.as_ref().map(Sm::answer) {
                link.send(&answer);
            }
            if !link.opened {
                let stream = self.new_sid();
                link.open(&self.settings.domain, &stream);
            }
            link.hang_up();
            self.bury(link);
        }
        Next::Close
    }

    /// What came is no XMPP: the stream ends with this condition.
    pub(crate) fn broken(&mut self, id: u64, condition: &str) -> Next {
        self.end_link(id, condition, "", false);
        Next::Close
    }

    /// The connection is gone. With stream management, its session waits to be resumed.
    pub(crate) fn lost(&mut self, id: u64, now: Instant) {
        if let Some(mut link) = self.links.remove(&id) {
            link.outbox = None;
            self.detach(link, now);
        }
    }

    fn detach(&mut self, link: Link, now: Instant) {
        match &link.sm {
            Some(sm) if sm.id().is_some() => {
                let until = now + sm.max;
                self.waiting.push_back(Waiting { link, until });
            }
            Some(_) | None => self.bury(link),
        }
    }

    /// Ends a stream with an error. What is not `resumable` is over.
    pub(crate) fn end_link(&mut self, id: u64, condition: &str, detail: &str, resumable: bool) {
        let Some(mut link) = self.links.remove(&id) else { return };
        if !link.opened {
            // RFC 6120 §4.9.1.2: an error needs a stream to stand in.
            let stream = self.new_sid();
            link.open(&self.settings.domain, &stream);
        }
        link.finish(condition, detail);
        if resumable {
            self.detach(link, Instant::now());
        } else {
            self.bury(link);
        }
    }

    pub(crate) fn end_streams(&mut self, transport: Transport, condition: &str, text: &str) {
        let all: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, link)| link.transport == transport)
            .map(|(id, _)| *id)
            .collect();
        for id in all {
            // Both of these conditions carry their text themselves (RFC 6120 §4.9.3.19).
            self.end_link(id, condition, &escape(text), true);
        }
    }

    pub(crate) fn forget_sessions(&mut self) {
        self.waiting.clear();
        self.tombstones.clear();
    }

    pub(crate) fn waiting_sessions(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn faults_of(&self, id: u64) -> Option<LinkFaults> {
        self.links.get(&id).map(|link| self.board.faults(link.transport))
    }

    /// RFC 6120 §4.7 and §4.9.1, RFC 7395 §3.4.
    fn open(&mut self, id: u64, header: &Element, wrong: Option<&'static str>) -> Next {
        let stream = self.new_sid();
        let faults = self.faults_of(id).unwrap_or_default();
        let Some(link) = self.links.get_mut(&id) else {
            return Next::Close;
        };
        let first = !link.opened;
        link.open(&self.settings.domain, &stream);
        let to = header.attribute("to").unwrap_or_default();
        let from = header.attribute("from");
        let is_old = header
            .attribute("version")
            .and_then(|version| version.split_once('.')?.0.parse::<u32>().ok())
            .is_none_or(|major| major < 1);
        let is_foreign = match (from, link.stream.user()) {
            (Some(from), Some(user)) => crate::sasl::bare(from) != format!("{user}@{}", self.settings.domain),
            (None, _) | (_, None) => false,
        };
        let mut violation = None;
        let condition = if let Some(condition) = wrong {
            violation = Some("a header that opens no XMPP stream of clients");
            Some(condition)
        } else if is_old {
            violation = Some("a stream without version 1.0");
            Some("unsupported-version")
        } else if to.is_empty() {
            violation = Some("a stream without `to`");
            Some("improper-addressing")
        } else if !to.eq_ignore_ascii_case(&self.settings.domain) {
            Some("host-unknown")
        } else if is_foreign {
            violation = Some("a `from` in the stream header that is not the client's");
            Some("invalid-from")
        } else {
            None
        };
        if !link.secure && from.is_some() {
            // RFC 6120 §4.7.1: it would tell everybody on the way who logs in.
            violation = Some("`from` in a stream header before TLS");
        }
        let secure = link.secure;
        if let Some(what) = violation {
            self.violate(what.into());
        }
        if let Some(condition) = condition {
            return self.broken(id, condition);
        }
        if let Some(host) = faults.see_other_host.filter(|_| secure) {
            self.end_link(id, "see-other-host", &escape(&host), true);
            return Next::Close;
        }
        let Some(link) = self.links.get_mut(&id) else {
            return Next::Close;
        };
        if let Some(uri) = faults.see_other_uri.filter(|_| link.transport == Transport::WebSocket) {
            link.send(&format!("<close xmlns='{FRAMING}' see-other-uri='{}'/>", escape(&uri)));
            self.lost(id, Instant::now());
            return Next::Close;
        }
        if !secure {
            link.send(&format!(
                "<stream:features><starttls xmlns='{TLS}'><required/></starttls></stream:features>"
            ));
            return Next::Continue;
        }
        let peer = link.peer.clone();
        let context = Context {
            settings: &self.settings,
            habits: self.habits,
            options: &self.options,
            accounts: &mut self.accounts,
            transport: link.transport,
            creation: &peer,
            request: &peer,
        };
        if first {
            link.stream.claim(from, &self.settings.domain);
        }
        let actions = if first {
            vec![Action::Reply(link.stream.features(&context))]
        } else {
            link.stream.restart(&context)
        };
        self.perform_all(id, actions)
    }

    fn perform_all(&mut self, id: u64, actions: Vec<Action>) -> Next {
        let mut next = Next::Continue;
        for action in actions {
            match action {
                Action::StreamError(_) => next = Next::Close,
                Action::LoggedIn => next = Next::Restart,
                Action::Reply(_)
                | Action::Stanza(_)
                | Action::Route(_)
                | Action::Bound(_)
                | Action::Violation(_)
                | Action::ClientState
                | Action::Attempt(_)
                | Action::Grant(_)
                | Action::Removed(_)
                | Action::Revoked(_)
                | Action::Refused => {}
            }
            self.perform(&Client::Link(id), action);
        }
        if !self.links.contains_key(&id) {
            next = Next::Close;
        }
        // What was for BOSH sessions must not wait for the next tick.
        let now = Instant::now();
        for session in self.sessions.values_mut() {
            session.flush(now);
        }
        next
    }
}

pub(crate) fn stream_error(condition: &str, detail: &str) -> String {
    const CONDITIONS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
    if detail.starts_with('<') || detail.is_empty() {
        return format!("<stream:error><{condition} xmlns='{CONDITIONS}'/>{detail}</stream:error>");
    }
    if condition == "see-other-host" {
        return format!("<stream:error><{condition} xmlns='{CONDITIONS}'>{detail}</{condition}></stream:error>");
    }
    format!(
        "<stream:error><{condition} xmlns='{CONDITIONS}'/><text xmlns='{CONDITIONS}' xml:lang='en'>{detail}</text></stream:error>"
    )
}
