//! The client: inputs in, outputs out. It owns the layers, and is the only place where they meet.
//!
//! - `mod.rs`: the contract, the life of a session, and what passes between its layers.
//! - `stanzas.rs`: what the application sends and is sent.

mod stanzas;

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use crate::certificate::ClientCertificate;
use crate::config::{Config, Credentials, TlsPolicy, Transport};
use crate::error::{ConnectionError, IqError, Misuse, Offline, Refused, TlsError, WaitingFor, Warning};
use crate::input::{Failure, Input, LinkId, LinkInfo, RequestId, TlsFacts, Token, Verified};
use crate::jid::Jid;
use crate::link::{self, Context, Link, Outgoing, bosh};
use crate::negotiation::{self, Facts, Negotiation, Step};
use crate::output::{Endpoint, Event, Output, Outputs, Stage, TransportKind};
use crate::random::Random;
use crate::session::NS_CLIENT;
use crate::session::iq::IqTable;
use crate::time::{Earliest, Instant, Timer};
use crate::xml::Element;

/// One account, and one session at a time with its server. It does no I/O.
///
/// A host has one loop: something happened, so [`handle`](Self::handle) it; do what [`next`](Self::next) says until it says
/// nothing more; wake up with [`Input::Tick`] at the [`deadline`](Self::deadline). See the crate's page for the whole loop.
pub struct Client {
    config: Config,
    random: Random,
    now: Instant,
    outputs: Outputs,
    link_events: VecDeque<link::Event>,
    session: Option<Session>,
    next_link: u64,
    next_request: u64,
    next_token: u64,
}

/// From `Start` to `Offline`.
#[derive(Debug)]
struct Session {
    link: Link,
    negotiation: Negotiation,
    verified_tls: bool,
    certificate: Option<ClientCertificate>,
    jid: Option<Jid>,
    iq: IqTable,
    /// What waits for a session: the stanza, its size as XML, and its token if it reports its delivery.
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    /// The application was told that the queue is full.
    full: bool,
    leaving: bool,
    timer: Option<(Instant, Timer)>,
    not_reading_since: Option<Instant>,
}

impl Client {
    /// A client that is offline. `seed` must come from the system's generator of randomness, and be used for one client
    /// only: everything that nobody may guess is derived from it. The same seed, configuration and inputs give the same
    /// outputs, to the byte.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: Random::new(&seed),
            now: Instant::default(),
            outputs: Outputs::default(),
            link_events: VecDeque::new(),
            session: None,
            next_link: 1,
            next_request: 1,
            next_token: 1,
        }
    }

    /// Takes an input. `now` never runs backwards: an earlier time than the last counts as the last.
    ///
    /// The token, for `Send` and `Request`, ties later events to the stanza. An error is about this call, and nothing has
    /// changed; what the server or the network does wrong is never an error here, but an event.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<Option<Token>, Refused> {
        self.now = self.now.max(now);
        let token = match input {
            Input::Start => self.start().map(|()| None),
            Input::Stop => {
                self.stop();
                Ok(None)
            }
            Input::Connected { link, info } => self.connected(link, info).map(|()| None),
            Input::Responded {
                link,
                request,
                status,
                body,
                tls,
            } => {
                self.responded(link, request, status, &body, tls.as_ref());
                Ok(None)
            }
            Input::Failed { link, request, reason } => {
                self.failed(link, request, reason);
                Ok(None)
            }
            Input::Ended { link } => {
                if self.is_current(link) {
                    self.finish(Offline::Connection(ConnectionError::Closed));
                }
                Ok(None)
            }
            Input::Reading { link, reading } => {
                self.reading(link, reading);
                Ok(None)
            }
            Input::Restore { .. }
            | Input::Clock { .. }
            | Input::Resolved { .. }
            | Input::Received { .. }
            | Input::Written { .. }
            | Input::Network(_)
            | Input::Foreground(_)
            | Input::Pause { .. }
            | Input::Handled { .. } => Ok(None),
            Input::Tick => {
                self.tick();
                Ok(None)
            }
            Input::Send { stanza } => self.send(stanza).map(Some),
            Input::Request { iq, timeout } => self.request(iq, timeout).map(Some),
            Input::Respond { token, result } => self.respond(token, &result).map(|()| None),
            Input::Cancel { token } => {
                self.cancel(token);
                Ok(None)
            }
        }?;
        self.settle();
        Ok(token)
    }

    /// What to do next, in order. Call it until it says `None`, after every input.
    #[must_use = "an output that is not carried out is lost"]
    #[expect(
        clippy::should_implement_trait,
        reason = "no iterator: outputs come back after `None`, with the next input"
    )]
    pub fn next(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When to send [`Input::Tick`], and for whom. It is the time of the last input while outputs are waiting, and
    /// otherwise, after a `Tick` at or past it, later than that, or nothing.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        if !self.outputs.is_empty() {
            return Some((self.now, Timer::Output));
        }
        let session = self.session.as_ref()?;
        let mut earliest = Earliest::default();
        match session.timer {
            // The server's part stands still while nobody reads.
            Some((_, Timer::Negotiation)) if session.not_reading_since.is_some() => {}
            Some((at, timer)) => earliest.offer(Some(at), timer),
            None => {}
        }
        session.iq.deadline(session.not_reading_since.is_none(), &mut earliest);
        match &session.link {
            Link::Bosh(bosh) => bosh.deadline(&mut earliest),
        }
        earliest.get()
    }

    /// Whether the host should go on reading from its links. `false` when outputs that it has not taken pile up.
    pub fn wants_read(&self) -> bool {
        self.outputs.bytes() <= self.config.limits.inbound_queue
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The full JID, while online.
    pub fn jid(&self) -> Option<&Jid> {
        self.session.as_ref()?.jid.as_ref()
    }

    // ---- inputs

    fn start(&mut self) -> Result<(), Refused> {
        if self.session.is_some() {
            return Err(Refused::Misuse(Misuse::AlreadyStarted));
        }
        let link = LinkId(self.next_link);
        self.next_link = self.next_link.saturating_add(1);
        let limits = self.config.limits.before_login();
        let presents_certificate = self.config.credentials.identity().is_some();
        let (link, endpoint, server_name) = match self.config.transports.first() {
            None | Some(Transport::Discover(_) | Transport::Tcp(_) | Transport::WebSocket(_)) => {
                self.outputs.event(Event::Offline {
                    reason: Offline::Connection(ConnectionError::NoEndpoint),
                });
                return Ok(());
            }
            Some(Transport::Bosh(settings)) => {
                let bosh = bosh::Bosh::new(bosh::Parameters {
                    id: link,
                    settings: settings.clone(),
                    domain: self.config.jid.domain().to_string(),
                    language: self.config.language.clone(),
                    limits,
                    connect_timeout: self.config.timeouts.connect,
                    presents_certificate,
                });
                let endpoint = Endpoint::Bosh {
                    url: settings.url.clone(),
                };
                (Link::Bosh(bosh), endpoint, settings.server_name().to_string())
            }
        };
        self.outputs.push(Output::Connect {
            link: link.id(),
            endpoint,
            server_name,
            identity: self.config.credentials.identity().map(ToString::to_string),
            max_message: self.config.limits.bosh_body,
        });
        let timer = Some((self.now + self.config.timeouts.connect, Timer::Connect));
        self.session = Some(Session {
            link,
            negotiation: Negotiation::new(),
            verified_tls: false,
            certificate: None,
            jid: None,
            iq: IqTable::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            full: false,
            leaving: false,
            timer,
            not_reading_since: None,
        });
        Ok(())
    }

    fn stop(&mut self) {
        let close_by = self.now + self.config.timeouts.close;
        let Some((session, mut cx)) = self.parts() else { return };
        if session.leaving {
            return;
        }
        session.leaving = true;
        session.timer = Some((close_by, Timer::Close));
        // RFC 6121 §4.5.2: contacts learn that we are gone.
        let last = session.jid.as_ref().and_then(|_| {
            let presence = Element::builder(NS_CLIENT, "presence")
                .attr("type", "unavailable")
                .build()
                .ok()?;
            Some(Outgoing::new(&presence, None))
        });
        match &mut session.link {
            Link::Bosh(bosh) => bosh.leave(&mut cx, last),
        }
        self.drain();
    }

    fn connected(&mut self, link: LinkId, info: LinkInfo) -> Result<(), Refused> {
        if !self.is_current(link) {
            return Ok(());
        }
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        match &session.link {
            Link::Bosh(bosh) if bosh.is_connecting() => {}
            Link::Bosh(_) => return Err(Refused::Misuse(Misuse::AlreadyConnected)),
        }
        if session.leaving {
            return Ok(());
        }
        let expected = match self.config.transports.first() {
            Some(Transport::Bosh(settings)) => settings.server_name(),
            None | Some(Transport::Discover(_) | Transport::Tcp(_) | Transport::WebSocket(_)) => "",
        };
        // RFC 6120 §13.7.2: the host looked at the certificate; the client makes sure that it looked for the right name.
        let verified_tls = match &info.verified {
            Verified::Host { name } | Verified::Platform { name } if info.encrypted => {
                if !name.eq_ignore_ascii_case(expected) {
                    let (expected, verified) = (expected.to_string(), name.clone());
                    self.finish(Offline::Tls(TlsError::WrongName { expected, verified }));
                    return Ok(());
                }
                true
            }
            Verified::Host { .. } | Verified::Platform { .. } | Verified::No => false,
        };
        // A client certificate is shown in TLS or not at all, so EXTERNAL without it would prove nothing (XEP-0178 §2).
        let needs_tls = self.config.tls == TlsPolicy::Required || self.config.credentials.identity().is_some();
        if needs_tls && !verified_tls {
            self.finish(Offline::Tls(TlsError::Required));
            return Ok(());
        }
        session.verified_tls = verified_tls;
        let shown = match &self.config.credentials {
            Credentials::Certificate { der, .. } => der.as_deref().or(info.client_certificate.as_deref()),
            Credentials::Password { .. } | Credentials::CertificateAndPassword { .. } | Credentials::Nothing => None,
        };
        if let Some(der) = shown {
            match ClientCertificate::from_der(der) {
                Ok(certificate) => session.certificate = Some(certificate),
                Err(_) => self.outputs.event(Event::Warning(Warning::CertificateUnreadable)),
            }
        }
        session.timer = Some((self.now + self.config.timeouts.negotiation, Timer::Negotiation));
        let Some((session, mut cx)) = self.parts() else {
            return Ok(());
        };
        match &mut session.link {
            Link::Bosh(bosh) => bosh.connected(&mut cx, info.client_certificate_requested),
        }
        self.drain();
        Ok(())
    }

    fn responded(&mut self, link: LinkId, request: RequestId, status: u16, body: &[u8], tls: Option<&TlsFacts>) {
        if !self.is_current(link) {
            return;
        }
        let Some((session, mut cx)) = self.parts() else { return };
        match &mut session.link {
            Link::Bosh(bosh) => bosh.responded(&mut cx, request, status, body, tls),
        }
        self.drain();
    }

    fn failed(&mut self, link: LinkId, request: Option<RequestId>, reason: Failure) {
        if !self.is_current(link) {
            return;
        }
        let presents_certificate = self.config.credentials.identity().is_some();
        let Some((session, mut cx)) = self.parts() else { return };
        match (&mut session.link, request) {
            (Link::Bosh(bosh), Some(request)) => {
                bosh.failed(&mut cx, request, reason);
                self.drain();
            }
            (Link::Bosh(_), None) => self.finish(Offline::from_failure(reason, presents_certificate)),
        }
    }

    fn reading(&mut self, link: LinkId, reading: bool) {
        if !self.is_current(link) {
            return;
        }
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        match (reading, session.not_reading_since) {
            (false, None) => session.not_reading_since = Some(now),
            (true, Some(since)) => {
                session.not_reading_since = None;
                if let Some((at, Timer::Negotiation)) = &mut session.timer {
                    *at = *at + now.since(since);
                }
                session.iq.resumed(since, now);
            }
            (false, Some(_)) | (true, None) => {}
        }
        match &mut session.link {
            Link::Bosh(bosh) => bosh.reading(now, reading),
        }
    }

    fn tick(&mut self) {
        let now = self.now;
        let Some((session, mut cx)) = self.parts() else { return };
        match &mut session.link {
            Link::Bosh(bosh) => bosh.tick(&mut cx),
        }
        self.drain();
        let Some(session) = &mut self.session else { return };
        let (late, answers) = session.iq.expired(now, session.not_reading_since.is_none());
        for token in late {
            // Nobody waits for the answer: then the question need not go out.
            session.take_back(token);
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Timeout),
            });
        }
        for answer in answers {
            self.enqueue(Outgoing::new(&answer, None));
        }
        let Some(session) = &mut self.session else { return };
        match session.timer {
            Some((at, Timer::Connect)) if at <= now => {
                self.finish(Offline::Connection(ConnectionError::Timeout {
                    waiting_for: WaitingFor::Link,
                }));
            }
            Some((at, Timer::Negotiation)) if at <= now && session.not_reading_since.is_none() => {
                session.timer = None;
                self.negotiate(negotiation::Event::Timeout);
            }
            Some((at, Timer::Close)) if at <= now => self.close_late(),
            Some(_) | None => {}
        }
    }

    /// The goodbye was not answered in time: what did arrive still counts.
    fn close_late(&mut self) {
        if let Some((session, mut cx)) = self.parts() {
            match &mut session.link {
                Link::Bosh(bosh) => bosh.give_up(&mut cx),
            }
        }
        self.drain();
        self.finish(Offline::Stopped);
    }

    // ---- layers

    fn is_current(&self, link: LinkId) -> bool {
        self.session.as_ref().is_some_and(|session| session.link.id() == link)
    }

    /// The session, and what its link may use meanwhile.
    fn parts(&mut self) -> Option<(&mut Session, Context<'_>)> {
        let session = self.session.as_mut()?;
        let cx = Context {
            now: self.now,
            outputs: &mut self.outputs,
            random: &mut self.random,
            events: &mut self.link_events,
            next_request: &mut self.next_request,
        };
        Some((session, cx))
    }

    /// The end of a turn: what can leave leaves, and a queue that has room again says so.
    fn settle(&mut self) {
        if let Some((session, mut cx)) = self.parts() {
            match &mut session.link {
                Link::Bosh(bosh) => bosh.pump(&mut cx),
            }
        }
        self.drain();
        let half = self.config.limits.outbound_queue / 2;
        let pending = self.config.limits.pending_requests / 2;
        let Some(session) = &mut self.session else { return };
        if session.full && session.outbound_bytes() <= half && session.iq.ours() <= pending {
            session.full = false;
            self.outputs.event(Event::Writable);
        }
    }

    /// Passes what the link reported up through the layers, in order, within the same turn.
    fn drain(&mut self) {
        // One by one: when one of them is the end, the end settles what the others say of stanzas.
        while let Some(event) = self.link_events.pop_front() {
            match event {
                link::Event::Opened => self.negotiate(negotiation::Event::Opened),
                link::Event::Attached { .. } | link::Event::Restored => {}
                link::Event::Element(element) => self.element(element),
                link::Event::Delivery(token, stage) => self.outputs.event(Event::Delivery { token, stage }),
                link::Event::Warning(warning) => self.outputs.event(Event::Warning(warning)),
                link::Event::Closed(None) => self.finish(Offline::Stopped),
                link::Event::Closed(Some(reason)) => self.finish(reason),
            }
        }
        // An idle client holds no memory for a burst that is over.
        self.link_events = VecDeque::new();
    }

    fn element(&mut self, element: Element) {
        let Some(session) = &self.session else { return };
        if !session.negotiation.is_online() {
            // While leaving, what was under way does not matter any more.
            if !session.leaving {
                self.negotiate(negotiation::Event::of(element));
            }
        } else if element.is(link::NS_STREAM, "error") {
            self.finish(Offline::Ended(link::stream_error(element.root())));
        } else if element.namespace() == NS_CLIENT {
            self.stanza(element);
        }
        // Anything else at this level is an extension that we did not ask for (RFC 6120 §8.4).
    }

    /// One turn of the negotiation's table, and what follows from it.
    fn negotiate(&mut self, event: negotiation::Event) {
        let mut steps = Vec::new();
        let Some(session) = &mut self.session else { return };
        let certificate_requested = match &session.link {
            Link::Bosh(bosh) => bosh.certificate_requested(),
        };
        let result = session.negotiation.handle(
            event,
            &mut Facts {
                config: &self.config,
                verified_tls: session.verified_tls,
                certificate: session.certificate.as_ref(),
                certificate_requested,
                traits: session.link.traits(),
                random: &mut self.random,
                steps: &mut steps,
            },
        );
        if result.is_err() {
            self.forget_unsent();
        }
        for step in steps {
            self.step(step);
        }
        match result {
            Ok(false) => {}
            Ok(true) => {
                let step_by = self.now + self.config.timeouts.negotiation;
                let Some(session) = &mut self.session else { return };
                if !session.leaving {
                    session.timer = (!session.negotiation.is_online()).then_some((step_by, Timer::Negotiation));
                }
            }
            Err(reason) => self.conclude(reason),
        }
    }

    fn step(&mut self, step: Step) {
        let limits = self.config.limits.after_login();
        let Some(session) = &mut self.session else { return };
        let Link::Bosh(bosh) = &mut session.link;
        match step {
            Step::Send(element) => bosh.send(Outgoing::new(&element, None)),
            Step::Restart { from } => {
                // What was meant for the old stream is not said on the new one (RFC 6120 §4.3.3).
                bosh.forget_unsent();
                bosh.restart(from);
            }
            Step::Warn(warning) => self.outputs.event(Event::Warning(warning)),
            Step::Authenticated => bosh.set_limits(limits),
            Step::Online { jid, mechanism, proof } => {
                self.outputs.event(Event::Online {
                    jid: jid.clone(),
                    mechanism: mechanism.to_string(),
                    server_proof: proof,
                    resumed: false,
                    client_certificate_requested: bosh.certificate_requested(),
                    round_trips: bosh.round_trips(),
                    transport: TransportKind::Bosh,
                });
                session.jid = Some(jid);
                session.waiting_bytes = 0;
                for outgoing in core::mem::take(&mut session.waiting) {
                    bosh.send(outgoing);
                }
            }
        }
    }

    /// What was about to be said is not for a server that is being left: it may hold credentials.
    fn forget_unsent(&mut self) {
        if let Some(session) = &mut self.session {
            match &mut session.link {
                Link::Bosh(bosh) => bosh.forget_unsent(),
            }
        }
    }

    fn finish(&mut self, reason: Offline) {
        self.forget_unsent();
        self.conclude(reason);
    }

    /// The end: the server is told what it has to know, every promise to the application is settled, and `Offline` is last.
    fn conclude(&mut self, reason: Offline) {
        // In the same turn the link may have learnt how far stanzas came: that stays true.
        for event in core::mem::take(&mut self.link_events) {
            match event {
                link::Event::Delivery(token, stage) => self.outputs.event(Event::Delivery { token, stage }),
                link::Event::Warning(warning) => self.outputs.event(Event::Warning(warning)),
                link::Event::Opened
                | link::Event::Attached { .. }
                | link::Event::Restored
                | link::Event::Element(_)
                | link::Event::Closed(_) => {}
            }
        }
        if let Some((session, mut cx)) = self.parts() {
            match &mut session.link {
                Link::Bosh(bosh) => bosh.shut(&mut cx, deserves_goodbye(&reason)),
            }
        }
        // What the link says of its own end is what it is being told.
        self.link_events.clear();
        let Some(mut session) = self.session.take() else { return };
        let mut unacknowledged = match &mut session.link {
            Link::Bosh(bosh) => bosh.take_unacknowledged(),
        };
        unacknowledged.extend(session.waiting.iter().filter_map(|outgoing| outgoing.token));
        for token in unacknowledged {
            self.outputs.event(Event::Delivery {
                token,
                stage: Stage::Failed,
            });
        }
        for token in session.iq.clear() {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Disconnected),
            });
        }
        self.outputs.push(Output::Close {
            link: session.link.id(),
        });
        self.outputs.event(Event::Offline { reason });
    }
}

impl Session {
    /// Takes back what `token` was given for, if it has not been written yet.
    fn take_back(&mut self, token: Token) -> bool {
        let waiting = self.waiting.iter().position(|outgoing| outgoing.is(token));
        match waiting.and_then(|index| self.waiting.remove(index)) {
            Some(outgoing) => {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(outgoing.xml.len());
                true
            }
            None => match &mut self.link {
                Link::Bosh(bosh) => bosh.cancel(token),
            },
        }
    }

    fn outbound_bytes(&self) -> usize {
        let link = match &self.link {
            Link::Bosh(bosh) => bosh.pending_bytes(),
        };
        link.saturating_add(self.waiting_bytes)
    }
}

/// Whether the server should hear that the session is over: not if it ended it, and not if it cannot be trusted to be the
/// one that the session began with.
fn deserves_goodbye(reason: &Offline) -> bool {
    match reason {
        Offline::Login(_) | Offline::Incompatible(_) | Offline::Misbehaved(_) | Offline::Stopped => true,
        Offline::Connection(error) => matches!(
            error,
            ConnectionError::Timeout { .. } | ConnectionError::RequestIdsExhausted
        ),
        Offline::Tls(_) | Offline::Ended(_) => false,
    }
}

/// Shows neither the credentials nor what waits to be sent.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("account", &self.config.account())
            .field("now", &self.now)
            .field("online", &self.jid())
            .finish_non_exhaustive()
    }
}
