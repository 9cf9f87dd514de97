//! What survives a process: enough of a session that another client goes on with it where this one was.
//!
//! What is under way is kept as it was posted. It is posted again byte for byte the same, so that the connection manager can
//! tell what it has already (XEP-0124 §14.3), and no number is ever used again with other bytes: provided that each change is
//! kept before the request that it covers leaves.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::keys::Keys;
use super::pace::Pace;
use super::session::{Session, Stream};
use super::{Bosh, Flight, Kind, Parameters, Phase, State as FlightState};
use crate::config::Attach;
use crate::input::Token;
use crate::link::{Context, Event};
use crate::secret::Secret;
use crate::time::Instant;

/// A session, as it can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Where it is: a session belongs to its URL.
    pub(crate) url: String,
    pub(crate) sid: Secret,
    pub(crate) next_rid: u64,
    /// Answers up to the one before this are processed, and what they carried has been reported.
    pub(crate) next_to_process: u64,
    pub(crate) wait: u16,
    pub(crate) hold: u8,
    pub(crate) requests: u8,
    pub(crate) inactivity: Option<u16>,
    pub(crate) polling: Option<u16>,
    pub(crate) maxpause: Option<u16>,
    /// The connection manager acknowledges requests.
    pub(crate) acknowledges: bool,
    /// It is from before version 1.6.
    pub(crate) legacy: bool,
    /// The name of the stream, where it has one (§16).
    pub(crate) stream: Option<String>,
    /// We acknowledge answers: that was said when the session was created.
    pub(crate) ack: bool,
    pub(crate) keys: Option<Keys>,
    pub(crate) server_certificate: Option<[u8; 32]>,
    /// The requests without an answer, in the order of their numbers.
    pub(crate) posted: Vec<Posted>,
}

/// A request without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) rid: u64,
    pub(crate) kind: Kind,
    /// To the byte.
    pub(crate) body: Secret,
    /// Of the stanzas in it that are not acknowledged.
    pub(crate) tokens: Vec<Token>,
}

/// What has changed, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A new request, to be kept before it leaves; and where the key sequence stands after it.
    Posted { posted: Posted, keys: Option<Keys> },
    /// The answer to this request was processed, and so were all before it.
    Answered { rid: u64 },
    /// The connection manager has this request and all before it; their answers are still to come.
    Acknowledged { rid: u64 },
    /// The server's certificate is known.
    ServerCertificate([u8; 32]),
    /// There is no session any more.
    Ended,
}

impl State {
    /// Applies a change; what is left when the session has ended is nothing.
    pub(crate) fn apply(mut self, change: Change) -> Option<Self> {
        match change {
            Change::Posted { posted, keys } => {
                self.next_rid = posted.rid.saturating_add(1);
                self.keys = keys;
                self.posted.push(posted);
            }
            Change::Answered { rid } => {
                self.next_to_process = rid.saturating_add(1);
                self.posted.retain(|posted| posted.rid > rid);
            }
            Change::Acknowledged { rid } => {
                for posted in self.posted.iter_mut().filter(|posted| posted.rid <= rid) {
                    posted.tokens.clear();
                }
            }
            Change::ServerCertificate(digest) => self.server_certificate = Some(digest),
            Change::Ended => return None,
        }
        Some(self)
    }
}

impl Bosh {
    /// The session as it is, if there is one to go back to.
    pub(crate) fn state(&self) -> Option<State> {
        if !matches!(self.phase, Phase::Open | Phase::Leaving) || self.ended {
            return None;
        }
        let session = &self.session;
        let posted = self.flights.iter().map(|(rid, flight)| Posted {
            rid: *rid,
            kind: flight.kind,
            body: Secret::new(flight.body.clone()),
            tokens: flight.tokens.clone(),
        });
        Some(State {
            url: self.settings.url.clone(),
            sid: Secret::from(session.sid.as_str()),
            next_rid: self.next_rid,
            next_to_process: self.next_to_process,
            wait: session.wait,
            hold: session.hold,
            requests: u8::try_from(session.requests).unwrap_or(u8::MAX),
            inactivity: session.inactivity,
            polling: session.polling,
            maxpause: session.maxpause,
            acknowledges: session.acknowledges,
            legacy: session.legacy,
            stream: session.stream.name().map(ToString::to_string),
            ack: self.settings.ack,
            keys: self.keys.clone(),
            server_certificate: self.server_certificate,
            posted: posted.collect(),
        })
    }

    /// Whether changes are collected from now on.
    pub(crate) fn record_changes(&mut self, record: bool) {
        if record != self.changes.is_some() {
            self.changes = record.then(Vec::new);
        }
    }

    /// What has changed since the last call, if changes are collected; and how many of the stanzas that waited are in it.
    pub(crate) fn take_changes(&mut self) -> Vec<(Change, u32)> {
        self.changes.as_mut().map(core::mem::take).unwrap_or_default()
    }

    pub(super) fn changed(&mut self, change: impl FnOnce() -> Change) {
        if let Some(changes) = &mut self.changes {
            changes.push((change(), 0));
        }
    }

    /// A link to a session that another client had: once it is connected, what has no answer is posted again.
    pub(crate) fn restore(parameters: Parameters, state: State) -> Self {
        let mut bosh = Self::new(parameters);
        bosh.settings.url = state.url;
        bosh.settings.ack = state.ack;
        // Such a session exists: it is not attached to as well.
        bosh.settings.attach = None;
        bosh.next_rid = state.next_rid;
        bosh.next_to_process = state.next_to_process;
        bosh.server_certificate = state.server_certificate;
        bosh.keys = state.keys;
        bosh.session = Session {
            // It was a string when it was stored.
            sid: String::from_utf8_lossy(state.sid.expose()).into_owned(),
            wait: state.wait,
            hold: state.hold,
            requests: usize::from(state.requests.min(bosh.settings.max_requests).max(1)),
            inactivity: state.inactivity,
            polling: state.polling,
            maxpause: state.maxpause,
            acknowledges: state.acknowledges,
            legacy: state.legacy,
            stream: Stream::of(state.stream.as_deref()),
        };
        let flights = state.posted.into_iter().map(|posted| {
            let flight = Flight {
                body: posted.body.expose().to_vec(),
                kind: posted.kind,
                tokens: posted.tokens,
                // What is posted again is counted then.
                attempts: u32::from(posted.kind == Kind::Pause),
                strangers: 0,
                posted: Instant::default(),
                state: FlightState::Over,
            };
            (posted.rid, Box::new(flight))
        });
        bosh.flights = flights.collect::<BTreeMap<_, _>>();
        bosh.said_goodbye = bosh.flights.values().any(|flight| flight.kind == Kind::Terminate);
        bosh.restored = true;
        bosh
    }

    /// Goes on: what has no answer is posted again, in the order of the numbers.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>) {
        self.phase = if self.said_goodbye { Phase::Leaving } else { Phase::Open };
        // When the last request came to the server is not known: a polling session waits its interval out.
        self.pace = Pace::begun(cx.now, true);
        cx.event(Event::Restored);
        let again: Vec<u64> = self.flights.keys().copied().collect();
        for rid in again {
            let Some(flight) = self.flights.get_mut(&rid) else {
                continue;
            };
            flight.posted = cx.now;
            // A pause is over now. Whether the request for it arrived shows with the next one.
            if flight.kind != Kind::Pause {
                self.resend(cx, rid);
            }
        }
    }

    /// Takes over a session that was made elsewhere: `pump` asks for news at once.
    pub(super) fn attach(&mut self, cx: &mut Context<'_>, attach: &Attach) {
        self.next_rid = attach.next_rid;
        self.next_to_process = attach.next_rid;
        self.session = Session::attached(attach, &self.settings);
        self.keys = attach.keys.as_ref().map(|keys| Keys {
            seed: keys.seed.clone(),
            next: keys.next.max(1),
        });
        self.phase = Phase::Open;
        self.pace = Pace::begun(cx.now, false);
        let jid = attach.jid.clone();
        cx.event(Event::Attached { jid });
    }
}
