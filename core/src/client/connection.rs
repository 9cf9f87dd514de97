//! One link: how it comes up, what it reports, how it is lost, and what follows.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Client;
use crate::certificate::ClientCertificate;
use crate::config::{Credentials, TlsPolicy};
use crate::error::{
    ConnectionError, IqError, Misuse, Offline, PeerIncompatible, PeerMisbehaved, Refused, TlsError, WaitingFor, Warning,
};
use crate::input::{Failure, LinkId, LinkInfo, Network, Token, Verified};
use crate::jid::Jid;
use crate::link::{self, Context, Goodbye, Link, Outgoing, StreamErrorOut, bosh, tcp, websocket};
use crate::negotiation::{self, Facts, Negotiation, Offers, Step};
use crate::output::{Endpoint, Event, Output, ServerProof, Stage, TransportKind};
use crate::session::NS_CLIENT;
use crate::session::liveness::{Due, Liveness};
use crate::session::stream_management::{NS_SM, Settled, StreamManagement, handled_count_too_high};
use crate::supervisor::{Attempt, Loss, Next, Verdict};
use crate::time::{Earliest, Instant, Timer};
use crate::xml::Element;

/// From `Connect` to `Close`.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: Link,
    /// Until it is done.
    negotiation: Option<Box<Negotiation>>,
    /// The name that the server's certificate must be valid for.
    server_name: String,
    encrypted: bool,
    verified_tls: bool,
    certificate: Option<ClientCertificate>,
    certificate_requested: Option<bool>,
    /// Something of the server's has arrived: a client certificate is not what it refuses any more.
    answered: bool,
    /// Nothing came after the element that is being handled.
    nothing_followed: bool,
    pub(super) online: bool,
    /// Once online, where the link does not see to it by itself.
    pub(super) liveness: Option<Liveness>,
    timer: Option<(Instant, Timer)>,
    pub(super) not_reading_since: Option<Instant>,
}

impl Connection {
    pub(super) fn deadline(&self, leaving: bool, earliest: &mut Earliest) {
        match self.timer {
            // The server's part stands still while nobody reads.
            Some((_, Timer::Connect | Timer::Negotiation)) if self.not_reading_since.is_some() => {}
            Some((at, timer)) => earliest.offer(Some(at), timer),
            None => {}
        }
        self.link.deadline(earliest);
        // Whoever has said goodbye waits for the answer to that, and for nothing else.
        if let Some(liveness) = self.liveness.as_ref().filter(|_| !leaving) {
            liveness.deadline(earliest);
        }
    }

    /// Whether the server asked for a client certificate, as far as anybody could tell.
    fn asked_for_certificate(&self) -> Option<bool> {
        self.link.certificate_requested().or(self.certificate_requested)
    }

    /// TLS is up, and the server has not said a word: a refused client certificate shows in no other way under TLS 1.3.
    fn silent_since_tls(&self) -> bool {
        self.encrypted
            && !self.answered
            && self.certificate_requested != Some(false)
            && self.link.kind() != TransportKind::Bosh
    }
}

impl Client {
    /// Where there is no link, the next one is asked for, as soon as it is known where and when.
    pub(super) fn advance(&mut self) {
        if self.connection.is_some() || self.session.as_ref().is_none_or(|session| session.leaving) {
            return;
        }
        let Some((supervisor, mut cx)) = self.supervisor() else {
            return;
        };
        match supervisor.next(&mut cx) {
            Next::Connect(attempt) => self.open(attempt),
            Next::Wait => {}
            Next::Retry { at, reason } => self.interrupted(reason, at),
            Next::GiveUp(reason) => self.over(reason),
        }
    }

    fn open(&mut self, attempt: Attempt) {
        let id = self.ids.link();
        let limits = self.config.limits.before_login();
        let domain = self.config.jid.domain().to_string();
        let language = self.config.language.clone();
        let identity = self.config.credentials.identity().map(ToString::to_string);
        let (link, max_message) = match (&attempt.endpoint, attempt.bosh) {
            (Endpoint::Tcp { tls, .. }, _) => {
                let parameters = tcp::Parameters {
                    id,
                    domain,
                    language,
                    limits,
                    tls: *tls,
                };
                (
                    Link::Tcp(Box::new(tcp::Tcp::new(parameters))),
                    self.config.limits.element,
                )
            }
            (Endpoint::WebSocket { .. }, _) => {
                let parameters = websocket::Parameters {
                    id,
                    domain,
                    language,
                    limits,
                };
                let link = websocket::WebSocket::new(parameters);
                (Link::WebSocket(Box::new(link)), self.config.limits.element)
            }
            (Endpoint::Bosh { url }, settings) => {
                let parameters = bosh::Parameters {
                    id,
                    settings: settings.map_or_else(|| crate::config::Bosh::new(url), |settings| *settings),
                    domain,
                    language,
                    limits,
                    connect_timeout: self.config.timeouts.connect,
                    presents_certificate: identity.is_some(),
                };
                let dormant = self.session.as_ref().and_then(|session| session.dormant.as_ref());
                let bosh = match dormant.filter(|state| state.url == *url) {
                    Some(state) => bosh::Bosh::restore(parameters, (**state).clone()),
                    None => bosh::Bosh::new(parameters),
                };
                (Link::Bosh(Box::new(bosh)), self.config.limits.bosh_body)
            }
        };
        let timeout = if attempt.last {
            self.config.timeouts.connect
        } else {
            self.config.timeouts.fallback.min(self.config.timeouts.connect)
        };
        self.outputs.push(Output::Connect {
            link: id,
            endpoint: attempt.endpoint,
            server_name: attempt.server_name.clone(),
            identity,
            max_message,
        });
        self.connection = Some(Connection {
            link,
            negotiation: Some(Box::default()),
            server_name: attempt.server_name,
            encrypted: false,
            verified_tls: false,
            certificate: None,
            certificate_requested: None,
            answered: false,
            nothing_followed: true,
            online: false,
            liveness: None,
            timer: Some((self.now + timeout, Timer::Connect)),
            not_reading_since: None,
        });
    }

    pub(super) fn connected(&mut self, id: LinkId, info: &LinkInfo) -> Result<(), Refused> {
        let leaving = self.session.as_ref().is_some_and(|session| session.leaving);
        let Some(connection) = self.current(id) else {
            return Ok(());
        };
        if !connection.link.expects_connected() {
            return Err(Refused::Misuse(Misuse::AlreadyConnected));
        }
        if leaving {
            return Ok(());
        }
        let verified_tls = match self.judge(id, info) {
            Ok(verified_tls) => verified_tls,
            Err(reason) => {
                self.finish(reason);
                return Ok(());
            }
        };
        let negotiation_by = self.now + self.config.timeouts.negotiation;
        let certificate = self.read_certificate(info);
        if let Some(connection) = self.current(id) {
            connection.encrypted = info.encrypted;
            connection.verified_tls = verified_tls;
            connection.certificate = certificate;
            connection.certificate_requested = info.client_certificate_requested;
            connection.answered = false;
            connection.timer = Some((negotiation_by, Timer::Negotiation));
        }
        // RFC 6120 §4.7.1: who it is about is nobody's business before TLS.
        let account = self.config.account();
        let from = (info.encrypted && account.local().is_some()).then(|| account.to_string());
        self.on_link(id, |link, cx| {
            link.connected(cx, info, from.as_deref());
            Ok(())
        })
    }

    /// Whether the link is good enough; and if TLS protects it, whether the server is who it should be.
    fn judge(&mut self, id: LinkId, info: &LinkInfo) -> Result<bool, Offline> {
        let policy = self.config.tls;
        let presents_certificate = self.config.credentials.identity().is_some();
        let Some(connection) = self.current(id) else {
            return Ok(false);
        };
        // With STARTTLS there is a link before there is TLS.
        let first_of_two = connection.link.awaits_starttls();
        // RFC 6120 §13.7.2: the host looked at the certificate; the client makes sure that it looked for the right name.
        let verified_tls = match &info.verified {
            Verified::Host { name } | Verified::Platform { name } if info.encrypted => {
                if !name.eq_ignore_ascii_case(&connection.server_name) {
                    return Err(Offline::Tls(TlsError::WrongName {
                        expected: connection.server_name.clone(),
                        verified: name.clone(),
                    }));
                }
                true
            }
            Verified::Host { .. } | Verified::Platform { .. } | Verified::No => false,
        };
        // A client certificate is shown in TLS or not at all, so EXTERNAL without it would prove nothing (XEP-0178 §2).
        let needs_tls = policy == TlsPolicy::Required || presents_certificate;
        if needs_tls && !verified_tls && !first_of_two {
            return Err(Offline::Tls(TlsError::Required));
        }
        match &connection.link {
            // XEP-0368: a server that speaks several protocols on one port was told which.
            Link::Tcp(_) => match &info.alpn {
                Some(protocol) if protocol != "xmpp-client" => Err(Offline::Incompatible(PeerIncompatible::Alpn {
                    protocol: link::shorten(protocol),
                })),
                Some(_) | None => Ok(verified_tls),
            },
            Link::WebSocket(_) if info.subprotocol.as_deref() != Some("xmpp") => {
                Err(Offline::Incompatible(PeerIncompatible::Subprotocol))
            }
            Link::WebSocket(_) | Link::Bosh(_) => Ok(verified_tls),
        }
    }

    fn read_certificate(&mut self, info: &LinkInfo) -> Option<ClientCertificate> {
        let shown = match &self.config.credentials {
            Credentials::Certificate { der, .. } => der.as_deref().or(info.client_certificate.as_deref()),
            Credentials::Password { .. } | Credentials::CertificateAndPassword { .. } | Credentials::Nothing => None,
        };
        let certificate = ClientCertificate::from_der(shown.filter(|_| info.encrypted)?);
        if certificate.is_err() {
            self.outputs.event(Event::Warning(Warning::CertificateUnreadable));
        }
        certificate.ok()
    }

    /// Bytes are taken up to the end of one element at a time: what it leads to may change how the next is to be read.
    pub(super) fn received(&mut self, id: LinkId, bytes: &[u8]) -> Result<(), Refused> {
        let now = self.now;
        if let Some(liveness) = self.current(id).and_then(|connection| connection.liveness.as_mut()) {
            liveness.heard(now);
        }
        let mut rest = bytes;
        loop {
            let Some(connection) = self.current(id) else {
                return Ok(());
            };
            connection.answered = true;
            let Some((_, Some(connection), mut cx)) = self.parts() else {
                return Ok(());
            };
            let taken = connection.link.received(&mut cx, rest).map_err(Refused::Misuse)?;
            rest = rest.get(taken..).unwrap_or_default();
            connection.nothing_followed = rest.is_empty();
            self.drain();
            if rest.is_empty() || taken == 0 {
                return Ok(());
            }
        }
    }

    /// Bytes have left the host.
    pub(super) fn written(&mut self, id: LinkId, bytes: u64) -> Result<(), Refused> {
        let now = self.now;
        if let Some(liveness) = self.current(id).and_then(|connection| connection.liveness.as_mut()) {
            liveness.written(now, bytes);
        }
        self.on_link(id, |link, cx| link.written(cx, bytes))
    }

    /// The link broke.
    pub(super) fn failed(&mut self, id: LinkId, reason: Failure) {
        let presents_certificate = self.config.credentials.identity().is_some();
        let Some(connection) = self.current(id) else { return };
        let refusal_likely = presents_certificate && connection.silent_since_tls();
        // TLS 1.3: a refused client certificate shows only after the handshake (RFC 8446 §4.4.2.4).
        let reason = if reason == Failure::Reset && refusal_likely {
            Offline::Tls(TlsError::CertificateProbablyRefused)
        } else {
            Offline::from_failure(reason, presents_certificate)
        };
        self.finish(reason);
    }

    /// The peer closed the link.
    pub(super) fn ended(&mut self, id: LinkId) {
        let presents_certificate = self.config.credentials.identity().is_some();
        let Some(connection) = self.current(id) else { return };
        if presents_certificate && connection.silent_since_tls() {
            return self.finish(Offline::Tls(TlsError::CertificateProbablyRefused));
        }
        if let Some((_, Some(connection), mut cx)) = self.parts() {
            connection.link.ended(&mut cx);
        }
        self.drain();
    }

    pub(super) fn reading(&mut self, id: LinkId, reading: bool) {
        let now = self.now;
        if self.current(id).is_none() {
            return;
        }
        let Some((session, Some(connection), _)) = self.parts() else {
            return;
        };
        match (reading, connection.not_reading_since) {
            (false, None) => connection.not_reading_since = Some(now),
            (true, Some(since)) => {
                connection.not_reading_since = None;
                if let Some((at, Timer::Connect | Timer::Negotiation)) = &mut connection.timer {
                    *at = *at + now.since(since);
                }
                session.iq.resumed(since, now);
            }
            (false, Some(_)) | (true, None) => {}
        }
        if let Some(liveness) = &mut connection.liveness {
            liveness.reading(now, reading);
        }
        connection.link.reading(now, reading);
    }

    /// Another network: the present link may be dead without anybody saying so.
    pub(super) fn network_changed(&mut self, network: Network) {
        let Some((_, Some(connection), _)) = self.parts() else {
            return;
        };
        match network {
            // Requests come and go; the session is not bound to a connection (XEP-0124 §14.3).
            _ if connection.online && !connection.link.traits().stream_management => {
                if let (Network::Up | Network::Changed, Some((_, Some(connection), mut cx))) = (network, self.parts()) {
                    connection.link.network_changed(&mut cx);
                }
                self.drain();
            }
            Network::Down => self.finish(Offline::Connection(ConnectionError::NetworkChanged)),
            // What is bound to the old address may go on for minutes as if nothing were wrong.
            Network::Changed if connection.online => {
                if let Some(liveness) = &mut connection.liveness {
                    liveness.check();
                }
            }
            Network::Changed => self.finish(Offline::Connection(ConnectionError::NetworkChanged)),
            Network::Up => {}
        }
    }

    /// What a link's time has come for.
    pub(super) fn connection_tick(&mut self) {
        let now = self.now;
        let Some(connection) = &mut self.connection else { return };
        match connection.timer {
            Some((at, Timer::Connect)) if at <= now && connection.not_reading_since.is_none() => {
                self.finish(Offline::Connection(ConnectionError::Timeout {
                    waiting_for: WaitingFor::Link,
                }));
            }
            Some((at, Timer::Negotiation)) if at <= now && connection.not_reading_since.is_none() => {
                connection.timer = None;
                self.negotiate(negotiation::Event::Timeout);
            }
            Some((at, Timer::Close)) if at <= now => self.close_late(),
            Some(_) | None => {}
        }
        let Some((session, Some(connection), _)) = self.parts() else {
            return;
        };
        if session.leaving {
            return;
        }
        let Some(liveness) = &mut connection.liveness else {
            return;
        };
        match liveness.due(now) {
            Due::Nothing => {}
            Due::Ask => session.stream.ask(),
            Due::KeepAlive => {
                if !connection.link.white_space() {
                    session.stream.ask();
                }
                liveness.spoke(now);
            }
            Due::Dead => self.finish(Offline::Connection(ConnectionError::Timeout {
                waiting_for: WaitingFor::Life,
            })),
        }
    }

    pub(super) fn stop(&mut self) {
        let close_by = self.now + self.config.timeouts.close;
        let Some((session, connection, mut cx)) = self.parts() else {
            return;
        };
        if session.leaving {
            return;
        }
        session.leaving = true;
        let Some(connection) = connection else {
            return self.over(Offline::Stopped);
        };
        connection.timer = Some((close_by, Timer::Close));
        // RFC 6121 §4.5.2: contacts learn that we are gone.
        let mut last = connection.online.then(unavailable).flatten();
        if connection.online && connection.link.traits().stream_management {
            if let Some(written) = last.take().and_then(|last| connection.link.send(last)) {
                session.stream.sent(cx.now, &written, None);
            }
            // The last word on what was received, and a question for what was sent (XEP-0198 §4, §8).
            let words = session.stream.goodbye(cx.now, || cx.random.id());
            for word in words.answer.into_iter().chain(words.question) {
                connection.link.send(Outgoing::raw(word));
            }
        }
        connection.link.leave(&mut cx, last);
        self.keeper.whole();
        self.drain();
    }

    /// The goodbye was not answered in time: what did arrive still counts.
    fn close_late(&mut self) {
        if let Some((_, Some(connection), mut cx)) = self.parts() {
            connection.link.give_up(&mut cx);
        }
        self.drain();
        self.finish(Offline::Stopped);
    }

    // ---- what the link reports

    pub(super) fn link_event(&mut self, event: link::Event) {
        match event {
            link::Event::Opened => self.negotiate(negotiation::Event::Opened),
            link::Event::Attached { jid } => self.attached(&jid),
            link::Event::Restored => self.restored(),
            link::Event::Element(element) => self.element(element),
            link::Event::Delivery(token, stage) => self.delivery(token, stage),
            link::Event::Warning(warning) => self.outputs.event(Event::Warning(warning)),
            link::Event::Closed(None) => self.finish(Offline::Stopped),
            link::Event::Closed(Some(reason)) => self.finish(reason),
        }
    }

    fn element(&mut self, element: Element) {
        let now = self.now;
        let Some((session, Some(connection), _)) = self.parts() else {
            return;
        };
        if connection.negotiation.is_some() {
            if !session.leaving {
                self.negotiate(negotiation::Event::of(element));
            } else if element.is(NS_SM, "resumed") {
                // While leaving, what was under way does not matter any more, but for what the server says that it has.
                if let Ok(resumed) = session.stream.resumed(now, &element) {
                    for token in resumed.acked {
                        self.delivery(token, Stage::Acked);
                    }
                }
            }
        } else if element.is(link::NS_STREAM, "error") {
            self.finish(Offline::Ended(link::stream_error(element.root())));
        } else if element.namespace() == NS_CLIENT {
            self.stanza(element);
        } else if StreamManagement::is_nonza(&element) {
            self.stream_management(&element);
        }
        // Anything else at this level is an extension that we did not ask for (RFC 6120 §8.4).
    }

    /// One turn of the negotiation's table, and what follows from it.
    fn negotiate(&mut self, event: negotiation::Event) {
        let mut steps = Vec::new();
        let (Some(session), Some(connection)) = (&mut self.session, &mut self.connection) else {
            return;
        };
        let traits = connection.link.traits();
        let certificate_requested = connection.asked_for_certificate();
        let Some(negotiation) = &mut connection.negotiation else {
            return;
        };
        let result = negotiation.handle(
            event,
            &mut Facts {
                config: &self.config,
                encrypted: connection.encrypted,
                verified_tls: connection.verified_tls,
                can_resume: traits.stream_management && session.stream.can_resume(self.now),
                certificate: connection.certificate.as_ref(),
                certificate_requested,
                traits,
                random: &mut self.random,
                steps: &mut steps,
            },
        );
        if result.is_err() {
            connection.link.forget_unsent();
        }
        for step in steps {
            self.step(step);
        }
        match result {
            Ok(false) => {}
            Ok(true) => {
                let step_by = self.now + self.config.timeouts.negotiation;
                let Some((session, Some(connection), _)) = self.parts() else {
                    return;
                };
                let done = connection
                    .negotiation
                    .as_ref()
                    .is_none_or(|negotiation| negotiation.is_online());
                if done {
                    connection.negotiation = None;
                }
                if !session.leaving && !connection.link.expects_connected() {
                    connection.timer = (!done).then_some((step_by, Timer::Negotiation));
                }
            }
            Err(reason) => self.lose(reason),
        }
    }

    fn step(&mut self, step: Step) {
        let limits = self.config.limits.after_login();
        let tls_by = self.now + self.config.timeouts.negotiation;
        let wanted = self.config.stream_management.enabled;
        let Some((session, Some(connection), mut cx)) = self.parts() else {
            return;
        };
        match step {
            Step::Send(element) => {
                connection.link.send(Outgoing::new(&element, None));
            }
            Step::AskForTls => connection.link.ask_for_tls(),
            Step::StartTls => {
                let server_name = connection.server_name.clone();
                connection.timer = Some((tls_by, Timer::Negotiation));
                connection
                    .link
                    .start_tls(&mut cx, connection.nothing_followed, &server_name);
            }
            Step::Restart { from } => connection.link.restart(&mut cx, from.as_deref()),
            Step::Warn(warning) => self.outputs.event(Event::Warning(warning)),
            Step::Authenticated => connection.link.set_limits(limits),
            Step::Offered(features) => {
                let (transport, encrypted) = (connection.link.kind(), connection.encrypted);
                self.outputs.event(Event::Offered {
                    features,
                    transport,
                    encrypted,
                });
            }
            Step::Online {
                jid,
                mechanism,
                proof,
                offers,
            } => {
                // An earlier session may have ended by itself, while there was no link to hear of it.
                let left = session.stream.reset();
                self.session_gone(left);
                let Some((session, Some(connection), cx)) = self.parts() else {
                    return;
                };
                session.jid = Some(jid);
                if connection.link.traits().stream_management {
                    if offers.stream_management && wanted {
                        connection.link.send(Outgoing::raw(session.stream.enable(cx.now)));
                    } else {
                        session.stream.use_pings(cx.now);
                    }
                }
                self.keeper.begun();
                self.give_up_dormant();
                self.online(mechanism, proof, offers, false);
            }
            Step::Resume => {
                if let Some(resume) = session.stream.resume(cx.now) {
                    connection.link.send(Outgoing::raw(resume));
                }
            }
            Step::Resumed {
                element,
                mechanism,
                proof,
                offers,
            } => match session.stream.resumed(cx.now, &element) {
                Ok(resumed) => {
                    // The server sends these again, with tokens of their own: each is answered once (RFC 6120 §8.2.3).
                    for token in resumed.repeated {
                        session.iq.answered_theirs(token);
                    }
                    for outgoing in resumed.resend {
                        connection.link.send(outgoing);
                    }
                    let h = session.stream.acked_count();
                    self.keeper.acked(h);
                    self.keeper.whole();
                    for token in resumed.acked {
                        self.delivery(token, Stage::Acked);
                    }
                    for token in resumed.failed {
                        self.delivery(token, Stage::Failed);
                    }
                    for token in resumed.unanswered {
                        self.unanswered(token);
                    }
                    self.online(mechanism, proof, offers, true);
                }
                Err(error) => self.finish(Offline::Misbehaved(error)),
            },
            Step::NotResumed(element) => self.not_resumed(element.as_ref()),
        }
    }

    fn online(&mut self, mechanism: &str, server_proof: ServerProof, offers: Offers, resumed: bool) {
        let now = self.now;
        let settings = self.config.liveness;
        let Some((session, Some(connection), _)) = self.parts() else {
            return;
        };
        let Some(jid) = session.jid.clone() else { return };
        connection.online = true;
        connection.link.set_max_bytes(offers.max_bytes);
        session.max_bytes = offers.max_bytes;
        session.supervisor.online(now);
        session.client_state.online(offers.client_state, resumed);
        if connection.link.traits().stream_management {
            let mut liveness = Liveness::new(settings, now);
            liveness.idle_seconds(offers.idle_seconds);
            connection.liveness = Some(liveness);
        }
        let event = Event::Online {
            jid,
            mechanism: mechanism.to_string(),
            server_proof,
            resumed,
            client_certificate_requested: connection.asked_for_certificate(),
            round_trips: connection.link.round_trips(),
            transport: connection.link.kind(),
        };
        self.outputs.event(event);
        self.drop_too_large();
        self.send_waiting();
    }

    /// A session that somebody else logged in to is ours now.
    fn attached(&mut self, jid: &str) {
        let Ok(jid) = Jid::from_server(jid) else { return };
        if let Some(session) = &mut self.session {
            session.jid = Some(jid);
        }
        self.restored();
    }

    /// A session goes on without a login on this link.
    fn restored(&mut self) {
        let limits = self.config.limits.after_login();
        if let Some(connection) = &mut self.connection {
            connection.negotiation = None;
            connection.timer = None;
            connection.link.set_limits(limits);
        }
        if let Some(session) = &mut self.session {
            // From now on the link has it.
            session.dormant = None;
        }
        self.keeper.whole();
        self.online("", ServerProof::None, Offers::default(), true);
    }

    /// A request of the application's was given up.
    pub(super) fn unanswered(&mut self, token: Token) {
        if self.session.as_mut().is_some_and(|session| session.iq.cancel(token)) {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Disconnected),
            });
        }
    }

    fn not_resumed(&mut self, element: Option<&Element>) {
        let Some(session) = &mut self.session else { return };
        let (condition, settled) = match element.map(|element| session.stream.resume_failed(element)) {
            Some(Ok(not_resumed)) => {
                self.keeper.acked(not_resumed.handled);
                (not_resumed.condition, not_resumed.settled)
            }
            Some(Err(error)) => return self.finish(Offline::Misbehaved(error)),
            None => (None, session.stream.reset()),
        };
        self.outputs.event(Event::Warning(Warning::NotResumed { condition }));
        self.session_gone(settled);
    }

    // ---- the end of a link

    /// Ends the link, and drops what was about to be said: it is not for a server that is being left, for it may hold
    /// credentials.
    pub(super) fn finish(&mut self, reason: Offline) {
        if let Some(connection) = &mut self.connection {
            connection.link.forget_unsent();
        }
        self.lose(reason);
    }

    /// The link is gone, or has to go: the server is told what it has to know, and then somebody decides whether there is
    /// another.
    fn lose(&mut self, reason: Offline) {
        // In the same turn the link may have learnt how far stanzas came: that stays true.
        for event in core::mem::take(&mut self.link_events) {
            match event {
                link::Event::Delivery(token, stage) => self.delivery(token, stage),
                link::Event::Warning(warning) => self.outputs.event(Event::Warning(warning)),
                link::Event::Opened
                | link::Event::Attached { .. }
                | link::Event::Restored
                | link::Event::Element(_)
                | link::Event::Closed(_) => {}
            }
        }
        let error = stream_error(&reason);
        if let Some((session, Some(connection), mut cx)) = self.parts() {
            // A goodbye would end what is to be resumed (XEP-0198 §5).
            let resumable = session.stream.is_resumable() && !session.leaving;
            let tell = match &reason {
                Offline::Connection(_) if resumable => false,
                // RFC 6120 §4.9.1.1: a stream error is answered by closing the stream; BOSH has nothing more to say then.
                Offline::Ended(_) => connection.link.traits().stream_management,
                Offline::Connection(_)
                | Offline::Stopped
                | Offline::Tls(_)
                | Offline::Login(_)
                | Offline::Incompatible(_)
                | Offline::Misbehaved(_) => deserves_goodbye(&reason),
            };
            connection.link.shut(&mut cx, Goodbye { tell, error });
        }
        // What the link says of its own end is what it is being told.
        self.link_events.clear();
        self.keep_link();
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let Some(leaving) = self.session.as_ref().map(|session| session.leaving) else {
            return;
        };
        let misbehaved = matches!(reason, Offline::Misbehaved(_));
        let verdict = if leaving {
            // Whatever else broke on the way out: the application wanted to be offline, and is.
            Verdict::GiveUp(match reason {
                Offline::Connection(_) | Offline::Tls(_) | Offline::Ended(_) => Offline::Stopped,
                Offline::Stopped | Offline::Login(_) | Offline::Incompatible(_) | Offline::Misbehaved(_) => {
                    reason.clone()
                }
            })
        } else {
            let location = self.session.as_ref().and_then(|session| session.stream.location());
            let location = location.map(ToString::to_string);
            let Some((supervisor, mut cx)) = self.supervisor() else {
                return;
            };
            let loss = Loss {
                reason: &reason,
                was_online: connection.online,
                verified: connection.verified_tls,
                location: location.as_deref(),
            };
            supervisor.lost(&mut cx, loss)
        };
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        if let Some(since) = connection.not_reading_since {
            // Nobody could read an answer meanwhile: that time does not count.
            session.iq.resumed(since, now);
        }
        if connection.online {
            // What BOSH had not posted yet was never the old session's.
            let unsent = connection.link.take_unsent();
            let failed = connection.link.take_unacknowledged();
            session.wait_first(unsent.into_iter());
            for token in failed {
                self.delivery(token, Stage::Failed);
            }
        }
        // Also of a link that did not get so far: it may have asked for the earlier session.
        self.link_lost(misbehaved);
        let link = connection.link.id();
        match verdict {
            Verdict::GiveUp(reason) => {
                self.settle_all();
                self.outputs.push(Output::Close { link });
                return self.over(reason);
            }
            Verdict::Another { .. } | Verdict::Retry { .. } => self.outputs.push(Output::Close { link }),
        }
        match verdict {
            Verdict::GiveUp(_) => {}
            Verdict::Another { redirected } => {
                if let Some(to) = redirected {
                    self.outputs.event(Event::Warning(Warning::Redirected { to }));
                }
                // Another place that is tried at once is no news to somebody who is not online anyway.
                if connection.online {
                    let now = self.now;
                    self.interrupted(reason, Some(now));
                }
            }
            Verdict::Retry { at, reason } => self.interrupted(reason, at),
        }
    }

    /// What was on its way waits for the session to be resumed, or has come as far as it will.
    fn link_lost(&mut self, misbehaved: bool) {
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        session.stream.link_lost(now);
        // A BOSH session that was stored waits for its link; and nobody is asked again for what broke the protocol.
        let lasts = session.dormant.is_some() || (session.stream.can_resume(now) && !misbehaved);
        if session.jid.is_some() && !lasts {
            let settled = session.stream.reset();
            self.session_gone(settled);
        }
    }

    fn interrupted(&mut self, reason: Offline, retry_at: Option<Instant>) {
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        let resumable = session.stream.can_resume(now);
        self.outputs.event(Event::Interrupted {
            reason,
            retry_at,
            resumable,
        });
    }

    /// The server has forgotten the session: what was on its way in it has come as far as it will.
    pub(super) fn session_gone(&mut self, lost: Settled) {
        self.keeper.whole();
        for token in lost.acked {
            self.delivery(token, Stage::Acked);
        }
        for token in lost.failed {
            self.delivery(token, Stage::Failed);
        }
        let Some(session) = &mut self.session else { return };
        session.jid = None;
        // What was said about the old session, and answers to what was asked in it, have no place in the next one.
        let mut stale = Vec::new();
        session.waiting.retain(|outgoing| {
            let presence = outgoing.xml.starts_with("<presence");
            let lasts = !presence && (outgoing.token.is_some() || outgoing.request.is_some());
            if !lasts {
                session.waiting_bytes = session.waiting_bytes.saturating_sub(outgoing.xml.len());
                stale.extend(outgoing.token);
            }
            lasts
        });
        session.wait_first(lost.again.into_iter());
        let waiting: Vec<_> = session.waiting.iter().filter_map(|outgoing| outgoing.request).collect();
        for token in session.iq.forget(&waiting) {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Disconnected),
            });
        }
        for token in stale {
            self.delivery(token, Stage::Failed);
        }
    }

    // ---- access

    /// The link, if it is that one: what arrives from a link that is gone is not for this one.
    fn current(&mut self, id: LinkId) -> Option<&mut Connection> {
        self.connection.as_mut().filter(|connection| connection.link.id() == id)
    }

    /// Lets the link, if it is that one, handle an input, and passes on what it reports.
    pub(super) fn on_link(
        &mut self,
        id: LinkId,
        act: impl FnOnce(&mut Link, &mut Context<'_>) -> Result<(), Misuse>,
    ) -> Result<(), Refused> {
        if self.current(id).is_none() {
            return Ok(());
        }
        if let Some((_, Some(connection), mut cx)) = self.parts() {
            act(&mut connection.link, &mut cx).map_err(Refused::Misuse)?;
        }
        self.drain();
        Ok(())
    }
}

/// Contacts learn that we are gone (RFC 6121 §4.5.2).
fn unavailable() -> Option<Outgoing> {
    let presence = Element::builder(NS_CLIENT, "presence").attr("type", "unavailable");
    Some(Outgoing::new(&presence.build().ok()?, None))
}

/// What the server has to hear of its mistake (RFC 6120 §4.9.1): on BOSH there is no place for it.
fn stream_error(reason: &Offline) -> Option<StreamErrorOut<'static>> {
    let Offline::Misbehaved(error) = reason else {
        return None;
    };
    let application = if let PeerMisbehaved::HandledCount { handled, sent } = error {
        let too_high = handled_count_too_high(*handled, *sent).build();
        too_high.ok().map(|element| element.to_xml())
    } else {
        None
    };
    Some(StreamErrorOut {
        condition: error.condition(),
        application,
    })
}

/// Whether the server should hear that the session is over: not if it ended it, not if it cannot be trusted to be the
/// one that the session began with, and not if the session is to be resumed.
fn deserves_goodbye(reason: &Offline) -> bool {
    match reason {
        Offline::Login(_) | Offline::Incompatible(_) | Offline::Misbehaved(_) | Offline::Stopped => true,
        Offline::Connection(error) => matches!(
            error,
            ConnectionError::Timeout { .. } | ConnectionError::RequestIdsExhausted
        ),
        Offline::Tls(error) => matches!(error, TlsError::NotOffered | TlsError::StartTlsRefused),
        Offline::Ended(_) => false,
    }
}
