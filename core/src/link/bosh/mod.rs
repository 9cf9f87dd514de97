//! BOSH: elements in the bodies of HTTP requests (XEP-0124), and XMPP on top of it (XEP-0206).
//!
//! Every request has a number, the rid. Answers are processed in the order of rids, whatever order they come in; a
//! request that failed is sent again, byte for byte the same, so that the connection manager can tell; and a new one
//! goes out only while the oldest one without an answer is less than a window away, so that the connection manager
//! still has what it answered to it.
//!
//! - `mod.rs`: one session, from its first request to its last, and its clock.
//! - `sending.rs`: what is posted, and when.
//! - `receiving.rs`: answers, in their order.
//! - `recovery.rs`: requests that fail, and a session that ends with answers missing.
//! - `pause.rs`: a session that is left alone for a while.
//! - `state.rs`: what survives a process, and sessions that were made elsewhere.
//! - `session.rs`: what the connection manager granted.
//! - `pace.rs`: when to ask again.
//! - `keys.rs`: the key sequence.
//! - `body.rs`: the texts.

mod body;
pub(crate) mod keys;
mod pace;
mod pause;
mod receiving;
mod recovery;
mod sending;
mod session;
pub(crate) mod state;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use self::body::Answer;
use self::keys::Keys;
use self::pace::Pace;
use self::pause::{PAUSE_ANSWER, Pause};
use self::session::Session;
use self::state::Change;
use super::{Context, Outgoing};
use crate::config::Bosh as Settings;
use crate::error::{ConnectionError, Offline, ResendReason, WaitingFor};
use crate::input::{Failure, LinkId, RequestId, Token};
use crate::output::Output;
use crate::time::{Earliest, Instant, Timer};
use crate::xml::XmlLimits;

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
    flights: BTreeMap<u64, Box<Flight>>,
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
    keys: Option<Keys>,
    pause: Option<Pause>,
    /// Most bytes of one body, if the server said how many it takes.
    max_bytes: Option<usize>,
    /// Another client had this session.
    restored: bool,
    /// What has changed since it was last asked for, if anybody will ask; and how many of those that waited were taken.
    changes: Option<Vec<(Change, u32)>>,
    not_reading_since: Option<Instant>,
    /// What is said next is being made: an empty request would only be in its way.
    pub(crate) about_to_speak: bool,
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

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Payload,
    Empty,
    Pause,
    Terminate,
}

impl Kind {
    /// How long the answer may take, where the connection manager may hold a request for `response_time`.
    fn patience(self, connect_timeout: Duration, response_time: Duration) -> Duration {
        match self {
            Self::Create => connect_timeout,
            Self::Pause => PAUSE_ANSWER,
            Self::Payload | Self::Empty | Self::Terminate => response_time,
        }
    }
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
            keys: None,
            pause: None,
            max_bytes: None,
            restored: false,
            changes: None,
            not_reading_since: None,
            about_to_speak: false,
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

    /// The server takes no more bytes at once than so many: stanzas are put together up to that.
    pub(crate) fn set_max_bytes(&mut self, max_bytes: Option<usize>) {
        self.max_bytes = max_bytes;
    }

    /// What waits to be posted, in order.
    pub(crate) fn queued(&self) -> impl Iterator<Item = &Outgoing> {
        self.outgoing.iter()
    }

    /// The HTTP client is ready: the session is created (XEP-0124 §7.1), or goes on.
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, certificate_requested: Option<bool>, from: Option<&str>) {
        self.certificate_requested = certificate_requested;
        if self.restored {
            return self.go_on(cx);
        }
        if let Some(attach) = self.settings.attach.take() {
            return self.attach(cx, &attach);
        }
        // XEP-0124 §14.1: large, random, and so that it can never reach 2^53 by counting.
        let rid = self
            .settings
            .first_rid
            .unwrap_or_else(|| cx.random.range(1 << 31..=1 << 52));
        self.next_rid = rid;
        self.next_to_process = rid;
        self.phase = Phase::Creating;
        let newkey = self.settings.key_sequence.then(|| {
            let (keys, newkey) = Keys::new(cx.random);
            self.keys = Some(keys);
            newkey
        });
        let body = body::creation(
            &self.settings,
            (&self.domain, from),
            &self.language,
            rid,
            newkey.as_deref(),
        );
        self.post(cx, body, Kind::Create, Vec::new(), 0);
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
        self.outgoing
            .retain(|outgoing| outgoing.token.is_some() || outgoing.request.is_some());
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
                self.pause = None;
                // Whoever leaves does not wait to say again what may not have been heard.
                let waiting = self.flights.iter();
                let waiting = waiting.filter(|(_, flight)| matches!(flight.state, State::Resend { .. }));
                let waiting: Vec<u64> = waiting.map(|(rid, _)| *rid).collect();
                for rid in waiting {
                    self.resend(cx, rid);
                }
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
            let mut body = self.open_body(cx);
            body.push_str(" type='terminate'>");
            // Such as the word that a login was broken off; stanzas of the application's are reported as failed instead.
            for last in self.outgoing.iter().filter(|outgoing| outgoing.token.is_none()) {
                body.push_str(&last.xml);
            }
            body.push_str("</body>");
            // Whoever restores the session must not use the number for anything else.
            self.post(cx, body, Kind::Terminate, Vec::new(), 0);
        }
        self.phase = Phase::Closed;
        self.end();
    }

    /// Whether this is the end, and was not before.
    fn end(&mut self) -> bool {
        let first = !core::mem::replace(&mut self.ended, true);
        if first {
            self.changed(|| Change::Ended);
        }
        first
    }

    /// What was not posted: a later session can still carry it.
    pub(crate) fn take_unsent(&mut self) -> VecDeque<Outgoing> {
        self.outgoing_bytes = 0;
        core::mem::take(&mut self.outgoing)
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

    /// The application is slow, or fast again: deadlines stand still meanwhile.
    pub(crate) fn reading(&mut self, now: Instant, reading: bool) {
        match (reading, self.not_reading_since) {
            (false, None) => self.not_reading_since = Some(now),
            (true, Some(since)) => {
                self.not_reading_since = None;
                let pause = now.since(since);
                let (response_time, connect_timeout) = (self.session.response_time(), self.connect_timeout);
                for flight in self.flights.values_mut() {
                    let longest = flight.kind.patience(connect_timeout, response_time);
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

    /// The network is another one: requests that are under way are made anew, byte for byte the same.
    pub(crate) fn network_changed(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Open | Phase::Leaving) || self.ended {
            return;
        }
        let waiting: Vec<RequestId> = self
            .flights
            .values()
            .filter_map(|flight| match flight.state {
                State::Waiting { request, .. } => Some(request),
                State::Resend { .. } | State::Answered(_) | State::Over => None,
            })
            .collect();
        for request in waiting {
            let Some(rid) = self.over(request) else { continue };
            cx.outputs.push(Output::Abandon { link: self.id, request });
            let reason = String::from("the network is another one");
            self.retry(cx, rid, ResendReason::Failed(Failure::Other { reason }));
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
}
