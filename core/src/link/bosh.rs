//! BOSH: elements in the bodies of HTTP requests (XEP-0124), and XMPP on top of it (XEP-0206).
//!
//! Every request has a number, the rid. Answers are processed in the order of rids, whatever order they come in; a
//! request that failed is sent again, byte for byte the same, so that the connection manager can tell; and a new one
//! goes out only while the oldest one without an answer is less than a window away, so that the connection manager
//! still has what it answered to it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use super::{Context, Event, NS_STREAM, Outgoing, expanded_name, shorten, stream_error};
use crate::config::Bosh as Settings;
use crate::error::{
    ConnectionError, Offline, PeerIncompatible, PeerMisbehaved, ResendReason, SessionEnd, TlsError, WaitingFor, Warning,
};
use crate::input::{Failure, LinkId, RequestId, TlsFacts, Token};
use crate::output::{Output, Stage};
use crate::time::{Earliest, Instant, Timer};
use crate::xml::{Element, Framing, Reader, XmlEvent, XmlLimits, escape_attribute};

const NS_HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
const NS_XBOSH: &str = "urn:xmpp:xbosh";
const NS_CLIENT: &str = "jabber:client";

/// XEP-0124 §14.1: no rid may pass 2^53 - 1. The last one is kept for the goodbye.
const LAST_RID: u64 = (1 << 53) - 1;
/// How often one request is sent at most, in all.
const ATTEMPTS: u32 = 6;
/// How many answers to one request may come from elsewhere, a proxy or a portal (HTTP 4xx, no BOSH): probably all will.
const STRANGERS: u32 = 2;
/// How long to wait for earlier answers once one says that the session is over.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Payloads in one body: enough to empty a queue quickly, little enough for a server's limit on a request.
const BATCH_STANZAS: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;
/// An empty request that is answered sooner than this, with nothing in it, was not held.
const HURRIED: Duration = Duration::from_secs(1);

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

/// What the connection manager said when it created the session (XEP-0124 §7.2).
#[derive(Debug, Default)]
struct Session {
    sid: String,
    wait: u16,
    hold: u8,
    requests: usize,
    inactivity: Option<u16>,
    polling: Option<u16>,
    /// It acknowledges requests (§9.1).
    acknowledges: bool,
    /// It speaks a version from before 1.6, when HTTP statuses carried meaning (§17.1).
    legacy: bool,
}

impl Session {
    /// XEP-0124 §12: nothing is held, so the client has to ask again and again.
    fn is_polling(&self) -> bool {
        self.hold == 0 || self.wait == 0 || self.requests <= 1
    }
}

#[derive(Debug)]
struct Restart {
    from: Option<String>,
}

/// When the next empty request may go out.
#[derive(Debug, Default)]
struct Pace {
    last_answer: Option<Instant>,
    last_was_empty: bool,
    hurried: u32,
    told: bool,
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

#[derive(Debug)]
struct Answer {
    root: Element,
    payloads: Vec<Element>,
}

impl Answer {
    fn is_terminate(&self) -> bool {
        self.root.attribute("type") == Some("terminate")
    }
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
        let body = self.creation_body(rid);
        self.post(cx, body, Kind::Create, Vec::new());
    }

    /// Queues an element; `pump` sends it.
    pub(crate) fn send(&mut self, outgoing: Outgoing) {
        self.outgoing_bytes = self.outgoing_bytes.saturating_add(outgoing.xml.len());
        self.outgoing.push_back(outgoing);
    }

    /// Takes back a stanza that has not been posted yet.
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        let Some(index) = self.outgoing.iter().position(|outgoing| outgoing.token == Some(token)) else {
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
            && !self.has_said_goodbye()
            && matches!(self.phase, Phase::Open | Phase::Leaving)
            && self.next_rid <= LAST_RID;
        self.abandon_all(cx);
        if tell {
            let mut body = self.open_body(self.next_rid);
            body.push_str(" type='terminate'>");
            // Such as the word that a login was broken off; stanzas of the application's are reported as failed instead.
            for last in self.outgoing.iter().filter(|outgoing| outgoing.token.is_none()) {
                body.push_str(&last.xml);
            }
            body.push_str("</body>");
            let request = cx.request_id();
            let deadline = cx.now + self.response_time();
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
                // What was posted meanwhile has lost less than the whole pause.
                let latest = now + self.response_time();
                for flight in self.flights.values_mut() {
                    if let State::Waiting { deadline, .. } = &mut flight.state {
                        *deadline = (*deadline + pause).min(latest.max(*deadline));
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
        if !matches!(self.phase, Phase::Open | Phase::Leaving) || self.ended || self.has_said_goodbye() {
            return;
        }
        if self.next_rid >= LAST_RID {
            // The last one is for the goodbye that comes with the end.
            return self.close(cx, Some(Offline::Connection(ConnectionError::RequestIdsExhausted)));
        }
        if self.may_post()
            && let Some(restart) = self.restart.take()
        {
            let body = self.restart_body(&restart);
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
            let mut body = self.open_body(self.next_rid);
            body.push_str("/>");
            self.post(cx, body, Kind::Empty, Vec::new());
        }
    }

    // ---- sending

    fn may_post(&self) -> bool {
        // §12: a polling session has one request at a time.
        let window = if self.session.is_polling() {
            1
        } else {
            self.session.requests.max(1)
        };
        // XEP-0124 §11 for the number; §14.2 for the distance, so that the answer to the oldest one is still buffered.
        let oldest = self.flights.keys().next().copied().unwrap_or(self.next_rid);
        self.unanswered() < window
            && usize::try_from(self.next_rid.saturating_sub(oldest)).is_ok_and(|distance| distance < window)
    }

    fn has_said_goodbye(&self) -> bool {
        self.flights.values().any(|flight| flight.kind == Kind::Terminate)
    }

    fn unanswered(&self) -> usize {
        self.flights
            .values()
            .filter(|flight| !matches!(flight.state, State::Answered(_)))
            .count()
    }

    /// When the next empty request is due, if one is (XEP-0124 §8.3, §10, §12).
    fn poll_due(&self) -> Option<Instant> {
        let wanted = if self.session.is_polling() {
            1
        } else {
            // Never the last free slot: a stanza of ours must be able to go out at once, and an empty request in the
            // last slot is over-activity (§11).
            usize::from(self.session.hold)
                .min(self.session.requests.saturating_sub(1))
                .max(1)
        };
        let nothing_else = self.outgoing.is_empty() && self.restart.is_none();
        if self.phase != Phase::Open || !nothing_else || self.unanswered() >= wanted || !self.may_post() {
            return None;
        }
        let last = self.pace.last_answer?;
        // §10: the session dies when nothing is asked for so long.
        let inactivity = self
            .session
            .inactivity
            .map(|seconds| Duration::from_secs(u64::from(seconds)));
        let alive = inactivity.map(|inactivity| inactivity * 3 / 4);
        if self.not_reading_since.is_some() {
            return alive.map(|alive| last + alive);
        }
        let mut wait = Duration::ZERO;
        if self.pace.hurried > 4 {
            wait = Duration::from_millis(100).saturating_mul(1 << (self.pace.hurried - 5).min(6));
            wait = alive.map_or(wait, |alive| wait.min(alive));
        }
        if self.session.is_polling() && self.pace.last_was_empty {
            let polling = Duration::from_secs(u64::from(self.session.polling.unwrap_or(0)).max(1));
            // An interval longer than the session lives makes no sense: then life counts.
            let polling = match (inactivity, alive) {
                (Some(inactivity), Some(alive)) if polling > inactivity => alive,
                (_, _) => polling,
            };
            // §11 counts from arrival to arrival. When the last one arrived is not known, but it was before its answer.
            wait = wait.max(polling);
        }
        Some(last + wait)
    }

    fn post(&mut self, cx: &mut Context<'_>, body: String, kind: Kind, tokens: Vec<Token>) {
        let rid = self.next_rid;
        self.next_rid = rid.saturating_add(1);
        let request = cx.request_id();
        let deadline = cx.now
            + if kind == Kind::Create {
                self.connect_timeout
            } else {
                self.response_time()
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

    /// How long an answer may take: the server's `wait`, and some time for the way (XEP-0124 §8.1).
    fn response_time(&self) -> Duration {
        let wait = Duration::from_secs(u64::from(self.session.wait));
        wait + Duration::from_secs(10).max(wait / 10)
    }

    fn open_body(&self, rid: u64) -> String {
        let mut body = String::with_capacity(192);
        // Writing to a String cannot fail.
        let _ = write!(body, "<body xmlns='{NS_HTTPBIND}' rid='{rid}' sid='");
        escape_attribute(&mut body, &self.session.sid);
        body.push('\'');
        // XEP-0124 §9.2: only while some earlier answer is missing.
        if self.settings.ack && !self.flights.is_empty() {
            let _ = write!(body, " ack='{}'", self.next_to_process.saturating_sub(1));
        }
        body
    }

    fn creation_body(&self, rid: u64) -> String {
        let mut body = String::with_capacity(384);
        let _ = write!(body, "<body xmlns='{NS_HTTPBIND}' rid='{rid}' to='");
        escape_attribute(&mut body, &self.domain);
        body.push_str("' xml:lang='");
        escape_attribute(&mut body, &self.language);
        let (wait, hold) = (self.settings.wait, self.settings.hold);
        let _ = write!(
            body,
            "' wait='{wait}' hold='{hold}' content='text/xml; charset=utf-8' ver='1.6'"
        );
        if self.settings.ack {
            body.push_str(" ack='1'");
        }
        let _ = write!(body, " xmpp:version='1.0' xmlns:xmpp='{NS_XBOSH}'/>");
        body
    }

    fn restart_body(&self, restart: &Restart) -> String {
        let mut body = self.open_body(self.next_rid);
        body.push_str(" to='");
        escape_attribute(&mut body, &self.domain);
        if let Some(from) = &restart.from {
            body.push_str("' from='");
            escape_attribute(&mut body, from);
        }
        body.push_str("' xml:lang='");
        escape_attribute(&mut body, &self.language);
        let _ = write!(body, "' xmpp:restart='true' xmlns:xmpp='{NS_XBOSH}'/>");
        body
    }

    /// A body with as much of the queue as belongs into one.
    fn payload_body(&mut self) -> (String, Vec<Token>) {
        let mut body = self.open_body(self.next_rid);
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
        let mut body = self.open_body(self.next_rid);
        body.push_str(" type='terminate'");
        match self.goodbye.take() {
            Some(last) => {
                body.push('>');
                body.push_str(&last.xml);
                body.push_str("</body>");
            }
            None => body.push_str("/>"),
        }
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

    // ---- failures

    fn http_error(&mut self, cx: &mut Context<'_>, rid: u64, status: u16) {
        // XEP-0124 §17.1: what the statuses meant before 1.6, when there were no conditions.
        let legacy = match status {
            400 => Some("bad-request"),
            403 => Some("policy-violation"),
            404 => Some("item-not-found"),
            _ => None,
        };
        match (status, legacy) {
            (_, Some(condition)) if self.session.legacy => {
                let end = SessionEnd {
                    condition: Some(condition.to_string()),
                    text: None,
                    application: None,
                    see_other: None,
                };
                self.close(cx, Some(Offline::Ended(end)));
            }
            _ if self.phase == Phase::Creating => {
                self.close(cx, Some(Offline::Connection(ConnectionError::HttpStatus(status))));
            }
            // A login or a redirect is not for a program to answer with credentials in hand.
            (300..=399 | 401 | 407, _) => {
                self.close(cx, Some(Offline::Connection(ConnectionError::HttpStatus(status))));
            }
            _ => self.retry(cx, rid, ResendReason::HttpStatus(status)),
        }
    }

    /// A recoverable binding condition: that request, and every earlier one without an answer, goes out again
    /// (XEP-0124 §17.3).
    fn recover(&mut self, cx: &mut Context<'_>, rid: u64) {
        let again: Vec<u64> = self
            .flights
            .range(..=rid)
            .filter(|(_, flight)| matches!(flight.state, State::Waiting { .. } | State::Over))
            .map(|(rid, _)| *rid)
            .collect();
        for other in again {
            self.abandon(cx, other);
            self.retry(cx, other, ResendReason::Asked);
        }
    }

    /// Sends a request again, if it may be: at once the first time, later and later after that.
    fn retry(&mut self, cx: &mut Context<'_>, rid: u64, reason: ResendReason) {
        if self.ended {
            return;
        }
        // The session is over, as a later answer says: what is missing will not come any more.
        if self.has_ended() {
            return self.hasten(cx);
        }
        let Some(flight) = self.flights.get_mut(&rid) else {
            return;
        };
        if flight.kind == Kind::Terminate {
            // Nobody is there to say goodbye to.
            return self.close(cx, None);
        }
        flight.state = State::Over;
        let attempts = flight.attempts;
        let (stranger, error) = match &reason {
            ResendReason::NotBosh => (true, ConnectionError::NotBosh { status: 200 }),
            ResendReason::HttpStatus(status) => ((400..=499).contains(status), ConnectionError::HttpStatus(*status)),
            ResendReason::Failed(_) | ResendReason::Asked => (false, ConnectionError::GaveUp { attempts }),
        };
        flight.strangers = flight.strangers.saturating_add(u32::from(stranger));
        let hopeless = flight.kind == Kind::Create || flight.strangers >= STRANGERS || attempts >= ATTEMPTS;
        if hopeless {
            return self.close(cx, Some(Offline::Connection(error)));
        }
        let back_off = match attempts {
            1 => 0,
            _ => {
                let longest = 1_000_u64 << (attempts - 2).min(4);
                // §10: a session that nothing is heard of is forgotten.
                let inactivity = self
                    .session
                    .inactivity
                    .map_or(u64::MAX, |seconds| u64::from(seconds) * 500);
                let longest = longest.min(inactivity);
                cx.random.range(longest / 2..=longest)
            }
        };
        flight.state = State::Resend {
            at: cx.now + Duration::from_millis(back_off),
        };
        cx.event(Event::Warning(Warning::Resent {
            attempt: attempts,
            reason,
        }));
        if back_off == 0 {
            self.resend(cx, rid);
        }
    }

    fn resend(&mut self, cx: &mut Context<'_>, rid: u64) {
        let request = cx.request_id();
        let deadline = cx.now + self.response_time();
        let Some(flight) = self.flights.get_mut(&rid) else {
            return;
        };
        flight.attempts += 1;
        flight.state = State::Waiting { request, deadline };
        cx.outputs.push(Output::Post {
            link: self.id,
            request,
            body: flight.body.clone(),
            deadline,
        });
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

    /// Gives up the attempt that is under way, if one is.
    fn abandon(&mut self, cx: &mut Context<'_>, rid: u64) {
        if let Some(flight) = self.flights.get_mut(&rid)
            && let State::Waiting { request, .. } = flight.state
        {
            flight.state = State::Over;
            cx.outputs.push(Output::Abandon { link: self.id, request });
        }
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
                    self.answer(cx, rid, kind, posted, &answer, tokens);
                }
                Some(flight) => {
                    self.flights.insert(rid, flight);
                    return;
                }
                None => return,
            }
        }
    }

    /// Earlier answers are given a moment when a later one says that the session is over; nothing is sent again then.
    fn hasten(&mut self, cx: &mut Context<'_>) {
        if self.ended || !self.has_ended() {
            return;
        }
        let mut waiting = false;
        let latest = cx.now + LAST_WORDS;
        for flight in self.flights.values_mut() {
            match &mut flight.state {
                State::Waiting { deadline, .. } => {
                    waiting = true;
                    *deadline = latest.min(*deadline);
                }
                State::Resend { .. } => flight.state = State::Over,
                State::Answered(_) | State::Over => {}
            }
        }
        if !waiting {
            self.skip_to_terminate(cx);
        }
    }

    /// Whether an answer that waits says that the session is over.
    fn has_ended(&self) -> bool {
        self.flights
            .values()
            .any(|flight| matches!(&flight.state, State::Answered(answer) if answer.is_terminate()))
    }

    /// Goes on behind what is missing, up to the answer that ends the session.
    fn skip_to_terminate(&mut self, cx: &mut Context<'_>) {
        while !self.ended {
            let answered = |flight: &Flight| matches!(flight.state, State::Answered(_));
            let next = self.flights.iter().find(|(_, flight)| answered(flight));
            let Some((rid, _)) = next else { return };
            self.next_to_process = *rid;
            self.process(cx);
        }
    }

    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        rid: u64,
        kind: Kind,
        posted: Instant,
        answer: &Answer,
        tokens: Vec<Token>,
    ) {
        self.round_trips = self.round_trips.saturating_add(1);
        self.pace.last_answer = Some(cx.now);
        self.pace.last_was_empty = answer.payloads.is_empty();
        // Only a request that nothing followed can have been held: a later one makes the server answer it.
        let held_back = kind == Kind::Empty && answer.payloads.is_empty() && rid.saturating_add(1) == self.next_rid;
        if held_back && cx.now.since(posted) < HURRIED && !self.session.is_polling() {
            self.pace.hurried = self.pace.hurried.saturating_add(1);
            if self.pace.hurried > 4 && !core::mem::replace(&mut self.pace.told, true) {
                cx.event(Event::Warning(Warning::Hurried));
            }
        } else if !held_back || !self.session.is_polling() {
            self.pace.hurried = 0;
        }
        if answer.is_terminate() {
            // §17.2: an error may mean that the request was not taken; only an acknowledgement says that it was.
            let taken =
                number::<u64>(answer.root.attribute("ack")).is_some_and(|ack| (rid..self.next_rid).contains(&ack));
            let known = answer.root.attribute("condition").is_none() || (taken && self.session.acknowledges);
            if known {
                acknowledge(cx, tokens);
            } else {
                self.refused = tokens;
            }
            self.acknowledged(cx, answer);
            let said = kind == Kind::Terminate || self.has_said_goodbye();
            return self.terminated(cx, answer, said);
        }
        acknowledge(cx, tokens);
        if kind == Kind::Terminate {
            self.payloads(cx, answer);
            return self.close(cx, None);
        }
        if kind == Kind::Create {
            if !self.created(cx, answer) {
                return;
            }
        } else {
            self.acknowledged(cx, answer);
        }
        self.payloads(cx, answer);
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

    /// XEP-0124 §9.3: the server sent an answer that we say we do not have: the request goes out again. Once: a server that
    /// says it again and again, while the answer is on its way, must not set off a storm.
    fn reported(&mut self, cx: &mut Context<'_>, rid: u64) {
        if let Some(Flight {
            state: State::Waiting { .. },
            attempts: 1,
            ..
        }) = self.flights.get(&rid)
            && !self.ended
        {
            self.abandon(cx, rid);
            self.retry(cx, rid, ResendReason::Asked);
        }
    }

    /// Reads the session creation response (XEP-0124 §7.2). Whether there is a session now.
    fn created(&mut self, cx: &mut Context<'_>, answer: &Answer) -> bool {
        let root = &answer.root;
        let sid = root.attribute("sid").unwrap_or_default();
        // 0 requests is no session; absent means no limit, which ours is smaller than.
        let hold = number::<u8>(root.attribute("hold"))
            .unwrap_or(self.settings.hold)
            .min(self.settings.hold);
        let wait = match root.attribute("wait") {
            Some(wait) => number::<u16>(Some(wait)),
            None => Some(self.settings.wait),
        };
        let requests = match root.attribute("requests") {
            Some(requests) => number::<u8>(Some(requests)),
            None => Some(hold.saturating_add(1)),
        };
        let (Some(wait), Some(requests @ 1..)) = (wait, requests) else {
            self.close(cx, Some(Offline::Incompatible(PeerIncompatible::SessionParameters)));
            return false;
        };
        if sid.is_empty() {
            self.close(cx, Some(Offline::Incompatible(PeerIncompatible::SessionParameters)));
            return false;
        }
        self.session = Session {
            sid: sid.to_string(),
            wait: wait.min(self.settings.wait),
            hold,
            requests: usize::from(requests.min(self.settings.max_requests.max(1))),
            inactivity: number::<u16>(root.attribute("inactivity")).filter(|seconds| *seconds > 0),
            polling: number::<u16>(root.attribute("polling")),
            acknowledges: root.attribute("ack").is_some(),
            legacy: root.attribute("ver").is_none(),
        };
        self.phase = Phase::Open;
        cx.event(Event::Opened);
        true
    }

    /// Hands up what a body carries, in order.
    fn payloads(&mut self, cx: &mut Context<'_>, answer: &Answer) {
        for payload in &answer.payloads {
            let mut payload = payload.clone();
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
    fn terminated(&mut self, cx: &mut Context<'_>, answer: &Answer, said_goodbye: bool) {
        let (errors, payloads): (Vec<&Element>, Vec<&Element>) = answer
            .payloads
            .iter()
            .partition(|payload| payload.is(NS_STREAM, "error") || payload.is(NS_HTTPBIND, "uri"));
        let payloads = Answer {
            root: answer.root.clone(),
            payloads: payloads.into_iter().cloned().collect(),
        };
        self.payloads(cx, &payloads);
        let condition = answer.root.attribute("condition");
        // After our goodbye, `other-request` is how some servers answer a request that they held, and `item-not-found` says
        // that the answer to it was lost: the session is gone, as it should be (§17.2).
        let after_goodbye = |condition| condition == "other-request" || said_goodbye && condition == "item-not-found";
        if self.phase == Phase::Leaving && condition.is_none_or(after_goodbye) {
            self.phase = Phase::Closed;
            return self.close(cx, None);
        }
        self.phase = Phase::Closed;
        let mut end = match errors.iter().find(|error| error.name() == "error") {
            Some(error) => stream_error(error.root()),
            None => SessionEnd {
                condition: condition.map(known_condition),
                text: None,
                application: None,
                see_other: None,
            },
        };
        if condition == Some("see-other-uri") {
            let uri = errors
                .iter()
                .find(|error| error.name() == "uri")
                .map(|uri| shorten(uri.text().trim()));
            end.see_other = uri.filter(|uri| uri.starts_with("https://"));
        }
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

enum Read {
    Body(Answer),
    /// It comes from somebody who does not speak BOSH: a proxy, a captive portal.
    Elsewhere,
    Misbehaved(PeerMisbehaved),
}

fn read_body(bytes: &[u8], limits: XmlLimits) -> Read {
    let mut reader = Reader::new(Framing::Stream, limits);
    // Some connection managers use the prefix without declaring it (XEP-0206 §2).
    reader.predeclare("stream", NS_STREAM);
    let mut events = Vec::new();
    let result = reader.feed(bytes, &mut events).and_then(|()| reader.finish());
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
    Read::Body(Answer { root, payloads })
}

/// XEP-0124 §17.2; what is not listed there is not repeated, whatever it says.
fn known_condition(condition: &str) -> String {
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
fn number<N: core::str::FromStr>(value: Option<&str>) -> Option<N> {
    let value = value?;
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    value.parse().ok()
}
