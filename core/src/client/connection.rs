//! One link: how it comes up, and what the host says of it.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use super::Client;
use crate::certificate::ClientCertificate;
use crate::config::{Credentials, TlsPolicy};
use crate::error::{ConnectionError, Misuse, Offline, PeerIncompatible, Refused, TlsError, WaitingFor, Warning};
use crate::input::{ChannelBindings, Failure, LinkId, LinkInfo, Network, Verified};
use crate::link::{self, Context, Link, Outgoing, bosh, tcp, websocket};
use crate::negotiation::{self, Negotiation};
use crate::output::{Endpoint, Event, Output, TransportKind};
use crate::session::NS_CLIENT;
use crate::session::liveness::{Due, Liveness};
use crate::supervisor::{Attempt, Next};
use crate::time::{Earliest, Instant, Timer};
use crate::xml::Element;

/// From `Connect` to `Close`.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: Link,
    /// Until it is done.
    pub(super) negotiation: Option<Box<Negotiation>>,
    /// The name that the server's certificate must be valid for.
    pub(super) server_name: String,
    pub(super) encrypted: bool,
    pub(super) verified_tls: bool,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) certificate_requested: Option<bool>,
    /// What a login can be bound to; only until there was one.
    pub(super) channel_bindings: Option<Box<ChannelBindings>>,
    /// Something of the server's has arrived: a client certificate is not what it refuses any more.
    pub(super) answered: bool,
    /// Nothing came after the element that is being handled.
    pub(super) nothing_followed: bool,
    pub(super) online: bool,
    /// Once online, where the link does not see to it by itself.
    pub(super) liveness: Option<Liveness>,
    pub(super) timer: Option<(Instant, Timer)>,
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
    pub(super) fn asked_for_certificate(&self) -> Option<bool> {
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
        self.use_provided();
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
                    connect_timeout: self.config.timeouts().connect,
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
            self.config.timeouts().connect
        } else {
            self.config.timeouts().fallback.min(self.config.timeouts().connect)
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
            channel_bindings: None,
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
        let negotiation_by = self.now + self.config.timeouts().negotiation;
        let certificate = self.read_certificate(info);
        if let Some(connection) = self.current(id) {
            connection.encrypted = info.encrypted;
            connection.verified_tls = verified_tls;
            connection.certificate = certificate;
            connection.certificate_requested = info.client_certificate_requested;
            let bindings = Some(&info.channel_bindings).filter(|bindings| verified_tls && !bindings.is_empty());
            connection.channel_bindings = bindings.cloned().map(Box::new);
            connection.answered = false;
            connection.timer = Some((negotiation_by, Timer::Negotiation));
        }
        // RFC 6120 §4.7.1: who it is about is nobody's business before TLS.
        let account = self.config.account();
        let from = (info.encrypted && account.local().is_some()).then(|| account.to_string());
        self.on_link(id, |link, cx| {
            link.connected(cx, info, from.as_deref());
            Ok(())
        })?;
        if self
            .current(id)
            .is_some_and(|connection| !connection.link.awaits_starttls())
        {
            self.negotiate(negotiation::Event::Up);
            self.drain();
        }
        Ok(())
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
            Credentials::Password { .. }
            | Credentials::CertificateAndPassword { .. }
            | Credentials::ScramKey { .. }
            | Credentials::AccessToken { .. }
            | Credentials::KeptToken
            | Credentials::Anonymous
            | Credentials::NewAccount { .. }
            | Credentials::Nothing => None,
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
        let close_by = self.now + self.config.timeouts().close;
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
