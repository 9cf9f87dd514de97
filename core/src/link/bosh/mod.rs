//! BOSH: elements in the bodies of HTTP requests (XEP-0124), and XMPP on top of it (XEP-0206).
//!
//! Every request has a number, the rid. Answers are processed in the order of rids, whatever order they come in; a
//! request that failed is sent again, byte for byte the same, so that the connection manager can tell; and a new one
//! goes out only while the oldest one without an answer is less than a window away, so that the connection manager
//! still has what it answered to it.
//!
//! - `mod.rs`: requests and their answers.
//! - `recovery.rs`: requests that fail, and a session that ends with answers missing.
//! - `session.rs`: what the connection manager granted.
//! - `pace.rs`: when to ask again.
//! - `body.rs`: the texts.

mod body;
mod pace;
mod recovery;
mod session;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use self::body::{Answer, NS_HTTPBIND, Read, number, read_body};
use self::pace::Pace;
use self::session::Session;
use super::{Context, Event, NS_STREAM, Outgoing, expanded_name};
use crate::config::Bosh as Settings;
use crate::error::{
    ConnectionError, Offline, PeerIncompatible, PeerMisbehaved, ResendReason, TlsError, WaitingFor, Warning,
};
use crate::input::{Failure, LinkId, RequestId, TlsFacts, Token};
use crate::output::{Output, Stage};
use crate::session::NS_CLIENT;
use crate::time::{Earliest, Instant, Timer};
use crate::xml::{Element, XmlLimits};

/// XEP-0124 §14.1: no rid may pass 2^53 - 1. The last one is kept for the goodbye.
const LAST_RID: u64 = (1 << 53) - 1;
/// Payloads in one body: enough to empty a queue quickly, little enough for a server's limit on a request.
const BATCH_STANZAS: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

/// One BOSH session.
#[derive(Debug)]
pub(crate) struct Bosh {
    id: LinkId,
    settings: Settings,
    domain: String,
    language: String,
    limits: XmlLimits,
    connect_timeout: Duration,
    presents_certificate: bool,
    phase: Phase,
    session: Session,
    next_rid: u64,
    next_to_process: u64,
    flights: BTreeMap<u64, Flight>,
    outgoing: VecDeque<Outgoing>,
    outgoing_bytes: usize,
    restart: Option<Restart>,
    goodbye: Option<Outgoing>,
    /// The goodbye is on its way: nothing follows it (XEP-0124 §13).
    said_goodbye: bool,
    /// What was carried by the request that was answered with an error that ends the session.
    refused: Vec<Token>,
    server_certificate: Option<[u8; 32]>,
    certificate_requested: Option<bool>,
    pace: Pace,
    not_reading_since: Option<Instant>,
    round_trips: u32,
    /// `Closed` was reported: nothing may follow it.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Creating,
    Open,
    /// The application wants to leave: what is queued goes out, then the goodbye.
    Leaving,
    Closed,
}

#[derive(Debug)]
struct Restart {
    from: Option<String>,
}

/// A request that is under way.
#[derive(Debug)]
struct Flight {
    body: Vec<u8>,
    kind: Kind,
    tokens: Vec<Token>,
    attempts: u32,
    /// How many of the attempts were answered by somebody who may not be the connection manager.
    strangers: u32,
    posted: Instant,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Create,
    Payload,
    Empty,
    Terminate,
}

#[derive(Debug)]
enum State {
    Waiting {
        request: RequestId,
        deadline: Instant,
    },
    Resend {
        at: Instant,
    },
    /// It waits for the answers to earlier requests.
    Answered(Answer),
    /// It is not under way any more, and nothing was decided yet.
    Over,
}

/// What `Bosh::new` needs to know.
pub(crate) struct Parameters {
    pub(crate) id: LinkId,
    pub(crate) settings: Settings,
    pub(crate) domain: String,
    pub(crate) language: String,
    pub(crate) limits: XmlLimits,
    pub(crate) connect_timeout: Duration,
    pub(crate) presents_certificate: bool,
}

impl Bosh {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            id: parameters.id,
            settings: parameters.settings,
            domain: parameters.domain,
            language: parameters.language,
            limits: parameters.limits,
            connect_timeout: parameters.connect_timeout,
            presents_certificate: parameters.presents_certificate,
            phase: Phase::Connecting,
            session: Session::default(),
            next_rid: 0,
            next_to_process: 0,
            flights: BTreeMap::new(),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            restart: None,
            goodbye: None,
            said_goodbye: false,
            refused: Vec::new(),
            server_certificate: None,
            certificate_requested: None,
            pace: Pace::default(),
            not_reading_since: None,
            round_trips: 0,
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.phase == Phase::Connecting
    }

    /// Whether the server asked for a client certificate, as far as answers have told.
    pub(crate) fn certificate_requested(&self) -> Option<bool> {
        self.certificate_requested
    }

    /// Answers processed so far.
    pub(crate) fn round_trips(&self) -> u32 {
        self.round_trips
    }

    /// Bytes accepted and not yet known to have reached the server.
    pub(crate) fn pending_bytes(&self) -> usize {
        let carried = self.flights.values().filter(|flight| !flight.tokens.is_empty());
        carried.fold(self.outgoing_bytes, |sum, flight| sum.saturating_add(flight.body.len()))
    }

    /// Login is over: larger elements are let in.
    pub(crate) fn set_limits(&mut self, limits: XmlLimits) {
        self.limits = limits;
    }

    /// The HTTP client is ready: the session is created (XEP-0124 §7.1).
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, certificate_requested: Option<bool>) {
        self.certificate_requested = certificate_requested;
        // XEP-0124 §14.1: large, random, and so that it can never reach 2^53 by counting.
        let rid = self
            .settings
            .first_rid
            .unwrap_or_else(|| cx.random.range(1 << 31..=1 << 52));
        self.next_rid = rid;
        self.next_to_process = rid;
        self.phase = Phase::Creating;
        let body = body::creation(&self.settings, &self.domain, &self.language, rid);
        self.post(cx, body, Kind::Create, Vec::new());
    }

    /// Queues an element; `pump` sends it.
    pub(crate) fn send(&mut self, outgoing: Outgoing) {
        self.outgoing_bytes = self.outgoing_bytes.saturating_add(outgoing.xml.len());
        self.outgoing.push_back(outgoing);
    }

    /// Takes back a stanza that has not been posted yet.
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        let Some(index) = self.outgoing.iter().position(|outgoing| outgoing.is(token)) else {
            return false;
        };
        if let Some(outgoing) = self.outgoing.remove(index) {
            self.outgoing_bytes = self.outgoing_bytes.saturating_sub(outgoing.xml.len());
        }
        true
    }

    /// Drops what has not been posted, but for stanzas of the application's: they are reported as failed.
    pub(crate) fn forget_unsent(&mut self) {
        self.outgoing.retain(|outgoing| outgoing.token.is_some());
        self.outgoing_bytes = self.outgoing.iter().map(|outgoing| outgoing.xml.len()).sum();
    }

    /// A new stream on the same session (XEP-0206 §5).
    pub(crate) fn restart(&mut self, from: Option<String>) {
        self.restart = Some(Restart { from });
    }

    /// Leaves: everything queued goes out first, then the goodbye with `last` in it (XEP-0124 §13).
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>, last: Option<Outgoing>) {
        match self.phase {
            Phase::Open => {
                self.phase = Phase::Leaving;
                self.goodbye = last;
                self.restart = None;
            }
            // There is no session to end yet; the server forgets one that nobody asks for.
            Phase::Connecting | Phase::Creating => {
                self.close(cx, None);
            }
            Phase::Leaving | Phase::Closed => {}
        }
    }

    /// Ends at once. With `tell` the server hears of it, if there is a session and it has not heard yet; its answer is not
    /// waited for.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>, tell: bool) {
        let tell = tell
            && !self.said_goodbye
            && matches!(self.phase, Phase::Open | Phase::Leaving)
            && self.next_rid <= LAST_RID;
        self.abandon_all(cx);
        if tell {
            let mut body = self.open_body();
            body.push_str(" type='terminate'>");
            // Such as the word that a login was broken off; stanzas of the application's are reported as failed instead.
            for last in self.outgoing.iter().filter(|outgoing| outgoing.token.is_none()) {
                body.push_str(&last.xml);
            }
            body.push_str("</body>");
            let request = cx.request_id();
            let deadline = cx.now + self.session.response_time();
            cx.outputs.push(Output::Post {
                link: self.id,
                request,
                body: body.into_bytes(),
                deadline,
            });
        }
        self.phase = Phase::Closed;
    }

    /// The tokens of all that has not been acknowledged, in the order in which it was sent.
    pub(crate) fn take_unacknowledged(&mut self) -> Vec<Token> {
        let flights = core::mem::take(&mut self.flights);
        let outgoing = core::mem::take(&mut self.outgoing);
        self.outgoing_bytes = 0;
        let refused = core::mem::take(&mut self.refused);
        let carried = flights.into_values().flat_map(|flight| flight.tokens);
        refused
            .into_iter()
            .chain(carried)
            .chain(outgoing.into_iter().filter_map(|outgoing| outgoing.token))
            .collect()
    }

    pub(crate) fn responded(
        &mut self,
        cx: &mut Context<'_>,
        request: RequestId,
        status: u16,
        body: &[u8],
        tls: Option<&TlsFacts>,
    ) {
        let Some(rid) = self.over(request) else { return };
        if let Some(facts) = tls {
            // XEP-0124 §17.1: one session, one certificate.
            if let Some(digest) = facts.server_certificate_sha256 {
                if self.server_certificate.is_some_and(|known| known != digest) {
                    return self.close(cx, Some(Offline::Tls(TlsError::CertificateChanged)));
                }
                self.server_certificate = Some(digest);
            }
            if facts.client_certificate_requested.is_some() {
                self.certificate_requested = facts.client_certificate_requested;
            }
        }
        if status != 200 {
            return self.http_error(cx, rid, status);
        }
        match read_body(body, self.limits.clone()) {
            Read::Body(answer) if answer.root.attribute("type") == Some("error") => self.recover(cx, rid),
            Read::Body(answer) => {
                // §9.3: upon reception. The answer itself may have to wait for the very one that is reported.
                let lost = number::<u64>(answer.root.attribute("report"));
                if let Some(flight) = self.flights.get_mut(&rid) {
                    flight.state = State::Answered(answer);
                }
                self.process(cx);
                if let Some(lost) = lost {
                    self.reported(cx, lost);
                }
                self.hasten(cx);
            }
            Read::Elsewhere => self.retry(cx, rid, ResendReason::NotBosh),
            Read::Misbehaved(error) => self.close(cx, Some(Offline::Misbehaved(error))),
        }
    }

    pub(crate) fn failed(&mut self, cx: &mut Context<'_>, request: RequestId, reason: Failure) {
        let Some(rid) = self.over(request) else { return };
        let creating = self.phase == Phase::Creating;
        let end = match reason {
            // TLS 1.3: a refused client certificate shows only after the handshake (RFC 8446 §4.4.2.4).
            Failure::Reset if creating && self.presents_certificate => {
                Offline::Tls(TlsError::CertificateProbablyRefused)
            }
            Failure::CertificateRejected { .. } | Failure::TlsAlert(_) => {
                Offline::from_failure(reason, self.presents_certificate)
            }
            Failure::Dns
            | Failure::Refused
            | Failure::Timeout
            | Failure::Reset
            | Failure::Http { .. }
            | Failure::Other { .. } => {
                if !creating {
                    return self.retry(cx, rid, ResendReason::Failed(reason));
                }
                Offline::from_failure(reason, self.presents_certificate)
            }
        };
        self.close(cx, Some(end));
    }

    /// The application is slow, or fast again: deadlines stand still meanwhile.
    pub(crate) fn reading(&mut self, now: Instant, reading: bool) {
        match (reading, self.not_reading_since) {
            (false, None) => self.not_reading_since = Some(now),
            (true, Some(since)) => {
                self.not_reading_since = None;
                let pause = now.since(since);
                let (response_time, connect_timeout) = (self.session.response_time(), self.connect_timeout);
                for flight in self.flights.values_mut() {
                    let creates = flight.kind == Kind::Create;
                    let longest = if creates { connect_timeout } else { response_time };
                    if let State::Waiting { deadline, .. } = &mut flight.state {
                        // What was posted meanwhile has lost less than the whole pause.
                        *deadline = (*deadline + pause).min((now + longest).max(*deadline));
                    }
                }
            }
            (false, Some(_)) | (true, None) => {}
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        if self.not_reading_since.is_none() {
            let late: Vec<(u64, RequestId)> = self
                .flights
                .iter()
                .filter_map(|(rid, flight)| match flight.state {
                    State::Waiting { request, deadline } if deadline <= cx.now => Some((*rid, request)),
                    State::Waiting { .. } | State::Resend { .. } | State::Answered(_) | State::Over => None,
                })
                .collect();
            for (rid, request) in late {
                if self.over(request).is_none() {
                    continue;
                }
                cx.outputs.push(Output::Abandon { link: self.id, request });
                if self.phase == Phase::Creating {
                    let waiting_for = WaitingFor::Session;
                    let timeout = ConnectionError::Timeout { waiting_for };
                    return self.close(cx, Some(Offline::Connection(timeout)));
                }
                self.retry(cx, rid, ResendReason::Failed(Failure::Timeout));
            }
        }
        let due: Vec<u64> = self
            .flights
            .iter()
            .filter(|(_, flight)| matches!(flight.state, State::Resend { at } if at <= cx.now))
            .map(|(rid, _)| *rid)
            .collect();
        for rid in due {
            self.resend(cx, rid);
        }
    }

    pub(crate) fn deadline(&self, earliest: &mut Earliest) {
        for flight in self.flights.values() {
            match flight.state {
                State::Waiting { deadline, .. } if self.not_reading_since.is_none() => {
                    earliest.offer(Some(deadline), Timer::BoshResponse);
                }
                State::Resend { at } => earliest.offer(Some(at), Timer::BoshResend),
                State::Waiting { .. } | State::Answered(_) | State::Over => {}
            }
        }
        earliest.offer(self.poll_due(), Timer::BoshPoll);
    }

    /// Posts whatever may be posted now: called at the end of every turn, when all that belongs into one body is there.
    pub(crate) fn pump(&mut self, cx: &mut Context<'_>) {
        // XEP-0124 §13: nothing follows the goodbye.
        if !matches!(self.phase, Phase::Open | Phase::Leaving) || self.ended || self.said_goodbye || self.has_ended() {
            return;
        }
        if self.next_rid >= LAST_RID {
            // The last one is for the goodbye that comes with the end.
            return self.close(cx, Some(Offline::Connection(ConnectionError::RequestIdsExhausted)));
        }
        let restart = if self.may_post() { self.restart.take() } else { None };
        if let Some(restart) = restart {
            let mut body = self.open_body();
            body::restart(&mut body, &self.domain, restart.from.as_deref(), &self.language);
            self.post(cx, body, Kind::Payload, Vec::new());
        }
        while self.restart.is_none() && !self.outgoing.is_empty() && self.may_post() {
            let (body, tokens) = self.payload_body();
            self.post(cx, body, Kind::Payload, tokens);
        }
        if self.phase == Phase::Leaving {
            if self.outgoing.is_empty() {
                self.post_goodbye(cx);
            }
            return;
        }
        // As many as may be held, or the deadline would lie.
        while self.poll_due().is_some_and(|at| at <= cx.now) {
            let mut body = self.open_body();
            body.push_str("/>");
            self.post(cx, body, Kind::Empty, Vec::new());
        }
    }

    // ---- sending

    fn may_post(&self) -> bool {
        let window = self.session.window();
        // XEP-0124 §11 for the number; §14.2 for the distance, so that the answer to the oldest one is still buffered.
        let oldest = self.flights.keys().next().copied().unwrap_or(self.next_rid);
        self.unanswered() < window
            && usize::try_from(self.next_rid.saturating_sub(oldest)).is_ok_and(|distance| distance < window)
    }

    fn unanswered(&self) -> usize {
        self.flights
            .values()
            .filter(|flight| !matches!(flight.state, State::Answered(_)))
            .count()
    }

    /// When the next empty request is due, if one is.
    fn poll_due(&self) -> Option<Instant> {
        let nothing_else = self.outgoing.is_empty() && self.restart.is_none();
        let room = self.unanswered() < self.session.wanted() && self.may_post();
        if self.phase != Phase::Open || !nothing_else || !room || self.has_ended() {
            return None;
        }
        self.pace.due(&self.session, self.not_reading_since.is_none())
    }

    fn post(&mut self, cx: &mut Context<'_>, body: String, kind: Kind, tokens: Vec<Token>) {
        let rid = self.next_rid;
        self.next_rid = rid.saturating_add(1);
        let request = cx.request_id();
        let deadline = cx.now
            + if kind == Kind::Create {
                self.connect_timeout
            } else {
                self.session.response_time()
            };
        let body = body.into_bytes();
        cx.outputs.push(Output::Post {
            link: self.id,
            request,
            body: body.clone(),
            deadline,
        });
        let state = State::Waiting { request, deadline };
        self.flights.insert(
            rid,
            Flight {
                body,
                kind,
                tokens,
                attempts: 1,
                strangers: 0,
                posted: cx.now,
                state,
            },
        );
    }

    /// The start tag of the next request, without its `>`.
    fn open_body(&self) -> String {
        let ack = self.settings.ack && !self.flights.is_empty();
        let ack = ack.then(|| self.next_to_process.saturating_sub(1));
        body::open(self.next_rid, &self.session.sid, ack)
    }

    /// A body with as much of the queue as belongs into one.
    fn payload_body(&mut self) -> (String, Vec<Token>) {
        let mut body = self.open_body();
        body.push('>');
        let mut tokens = Vec::new();
        for count in 0..BATCH_STANZAS {
            let Some(next) = self.outgoing.front() else { break };
            if count > 0 && body.len().saturating_add(next.xml.len()) > BATCH_BYTES {
                break;
            }
            let Some(next) = self.outgoing.pop_front() else { break };
            self.outgoing_bytes = self.outgoing_bytes.saturating_sub(next.xml.len());
            body.push_str(&next.xml);
            tokens.extend(next.token);
        }
        body.push_str("</body>");
        (body, tokens)
    }

    fn post_goodbye(&mut self, cx: &mut Context<'_>) {
        let mut body = self.open_body();
        body.push_str(" type='terminate'");
        match self.goodbye.take() {
            Some(last) => {
                body.push('>');
                body.push_str(&last.xml);
                body.push_str("</body>");
            }
            None => body.push_str("/>"),
        }
        self.said_goodbye = true;
        self.post(cx, body, Kind::Terminate, Vec::new());
    }

    fn abandon_all(&mut self, cx: &mut Context<'_>) {
        for flight in self.flights.values_mut() {
            if let State::Waiting { request, .. } = flight.state {
                flight.state = State::Over;
                cx.outputs.push(Output::Abandon { link: self.id, request });
            }
        }
    }

    /// Reports the end, once; the client then calls `shut`.
    fn close(&mut self, cx: &mut Context<'_>, reason: Option<Offline>) {
        if !core::mem::replace(&mut self.ended, true) {
            cx.event(Event::Closed(reason));
        }
    }

    // ---- receiving

    /// The request whose attempt this is, if it is the one under way; it is not any more then.
    fn over(&mut self, request: RequestId) -> Option<u64> {
        let (rid, flight) = self.flights.iter_mut().find(
            |(_, flight)| matches!(flight.state, State::Waiting { request: waiting, .. } if waiting == request),
        )?;
        flight.state = State::Over;
        Some(*rid)
    }

    /// Processes answers in the order of their requests (XEP-0124 §14.2).
    fn process(&mut self, cx: &mut Context<'_>) {
        while !self.ended {
            let rid = self.next_to_process;
            match self.flights.remove(&rid) {
                Some(Flight {
                    state: State::Answered(answer),
                    kind,
                    posted,
                    tokens,
                    ..
                }) => {
                    self.next_to_process = rid.saturating_add(1);
                    self.answer(cx, rid, kind, posted, answer, tokens);
                }
                Some(flight) => {
                    self.flights.insert(rid, flight);
                    return;
                }
                None => return,
            }
        }
    }

    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        rid: u64,
        kind: Kind,
        posted: Instant,
        answer: Answer,
        tokens: Vec<Token>,
    ) {
        self.round_trips = self.round_trips.saturating_add(1);
        // A stanza that was posted meanwhile makes the server answer what it holds: that is no hurry.
        let quiet = kind == Kind::Empty && self.flights.values().all(|flight| flight.kind == Kind::Empty);
        let empty = answer.payloads.is_empty();
        if self
            .pace
            .answered(cx.now, empty, quiet.then_some(posted), &self.session)
        {
            cx.event(Event::Warning(Warning::Hurried));
        }
        if answer.is_terminate() {
            // §17.2: an error may mean that the request was not taken; only an acknowledgement says that it was.
            let taken =
                number::<u64>(answer.root.attribute("ack")).is_some_and(|ack| (rid..self.next_rid).contains(&ack));
            let condition = answer.root.attribute("condition");
            // Another request, our goodbye, ended the session: it was processed after all before it (§14.2).
            let by_us = self.said_goodbye && condition == Some("other-request");
            let known = condition.is_none() || by_us || (taken && self.session.acknowledges);
            if known {
                acknowledge(cx, tokens);
            } else {
                self.refused = tokens;
            }
            self.acknowledged(cx, &answer);
            return self.terminated(cx, answer);
        }
        acknowledge(cx, tokens);
        if kind == Kind::Terminate {
            self.payloads(cx, answer.payloads);
            return self.close(cx, None);
        }
        if kind == Kind::Create {
            let Some(session) = Session::read(&answer.root, &self.settings) else {
                let missing = Offline::Incompatible(PeerIncompatible::SessionParameters);
                return self.close(cx, Some(missing));
            };
            self.session = session;
            self.phase = Phase::Open;
            cx.event(Event::Opened);
        } else {
            self.acknowledged(cx, &answer);
        }
        self.payloads(cx, answer.payloads);
    }

    /// XEP-0124 §9.1: the server may say that it has more requests than it has answered.
    fn acknowledged(&mut self, cx: &mut Context<'_>, answer: &Answer) {
        if !self.session.acknowledges {
            return;
        }
        let Some(last) = number::<u64>(answer.root.attribute("ack")) else {
            return;
        };
        // What was never sent cannot be acknowledged: such a value means nothing.
        if last >= self.next_rid {
            return;
        }
        for (_, flight) in self.flights.range_mut(..=last) {
            acknowledge(cx, core::mem::take(&mut flight.tokens));
        }
    }

    /// Hands up what a body carries, in order.
    fn payloads(&mut self, cx: &mut Context<'_>, payloads: Vec<Element>) {
        for mut payload in payloads {
            // XEP-0206 §2: some connection managers forget the namespace of stanzas.
            if payload.namespace() == NS_HTTPBIND {
                if matches!(payload.name(), "message" | "presence" | "iq") {
                    // Both are names of ours, so they cannot be refused.
                    let _ = payload.replace_namespace(NS_HTTPBIND, NS_CLIENT);
                } else {
                    let element = expanded_name(payload.root());
                    return self.close(cx, Some(Offline::Misbehaved(PeerMisbehaved::BoshPayload { element })));
                }
            }
            cx.event(Event::Element(payload));
        }
    }

    /// The server ends the session (XEP-0124 §17.2): what it still carries comes first.
    fn terminated(&mut self, cx: &mut Context<'_>, mut answer: Answer) {
        let end = answer.end();
        let last_words = |payload: &Element| !payload.is(NS_STREAM, "error") && !payload.is(NS_HTTPBIND, "uri");
        answer.payloads.retain(last_words);
        self.payloads(cx, answer.payloads);
        let condition = answer.root.attribute("condition");
        // After our goodbye, `other-request` is how some servers answer a request that they held, and `item-not-found` says
        // that the answer to it was lost: the session is gone, as it should be (§17.2).
        let after_goodbye =
            |condition| condition == "other-request" || self.said_goodbye && condition == "item-not-found";
        if self.phase == Phase::Leaving && condition.is_none_or(after_goodbye) {
            self.phase = Phase::Closed;
            return self.close(cx, None);
        }
        self.phase = Phase::Closed;
        self.close(cx, Some(Offline::Ended(end)));
    }
}

/// The server has what these were carried by. On BOSH that is also how the host's writing becomes known.
fn acknowledge(cx: &mut Context<'_>, tokens: Vec<Token>) {
    for token in tokens {
        cx.event(Event::Delivery(token, Stage::Sent));
        cx.event(Event::Delivery(token, Stage::Acked));
    }
}
