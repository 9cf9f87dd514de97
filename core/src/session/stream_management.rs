//! Which stanzas the server has, and which of the server's we have: XEP-0198, or pings where the server lacks it.
//!
//! A [`StreamManagement`] lives from `Start` to `Offline`, over many links. It does no writing: the client tells it what went
//! out and what came in, and writes what [`turn_end`](StreamManagement::turn_end) gives.
//!
//! - A stanza is kept until the server acknowledges it. Its token ends as `Acked` or `Failed`, whatever happens.
//! - Where the server has no XEP-0198, a ping acknowledges: a server handles the stanzas of a client in order (RFC 6120
//!   §10.1), so the answer to a ping, even an error, says that it has handled what was written before it.
//! - What the server sends counts as handled when its event stands in the client's one queue: the host takes an event
//!   before the acknowledgement that was queued behind it. With `Acknowledge::Manual` it waits for `Handled`.
//!
//! `resumption.rs` has what happens after a link, `wire.rs` the elements, `delay.rs` the stamp on what is sent again.

mod delay;
mod resumption;
#[cfg(test)]
mod tests;
mod wire;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use self::wire::{condition, count, nonza, out_of_place, ping};
use super::NS_CLIENT;
use super::iq::may_answer;
use crate::config;
use crate::error::PeerMisbehaved;
use crate::input::Token;
use crate::jid::Jid;
use crate::link::Outgoing;
use crate::secret::Secret;
use crate::time::{Earliest, Instant, Timer};
use crate::xml::{Element, ElementBuilder};

/// The namespace of XEP-0198.
pub(crate) const NS_SM: &str = "urn:xmpp:sm:3";

/// The least time between two questions of which the first brought nothing.
const FRUITLESS: Duration = Duration::from_secs(1);

/// How acknowledgements come: for the tests, which look from outside.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Not from here: there is no link, or it is a BOSH session, which has its own.
    Off,
    /// XEP-0199: the answer to a ping acknowledges what was written before it.
    Ping,
    /// XEP-0198.
    Xep0198,
}

/// What the server's word led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Nothing that anybody has to know.
    Nothing,
    /// The server has these stanzas, in the order in which they were sent.
    Acked(Vec<Token>),
    /// XEP-0198 is on.
    Enabled {
        /// The session can be resumed.
        resumable: bool,
    },
    /// The server does not want it; pings acknowledge from now on.
    Refused {
        /// Its condition, as `unexpected-request`.
        condition: Option<String>,
    },
}

/// When a received stanza counts as handled (XEP-0198 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// Now: its event is queued, it makes none, or it was dropped.
    Now,
    /// When `handled` names this token. Tokens must ascend.
    Later(Token),
}

/// What is to be written at the end of a turn, in this order. Each is self-contained XML; none is a stanza to be
/// remembered with `sent`.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub(crate) struct Turn {
    /// One `<a/>` for all the `<r/>` of the turn.
    pub(crate) answer: Option<String>,
    /// `<r/>`, or a ping: the server has to show that it is there.
    pub(crate) question: Option<String>,
}

/// An earlier session goes on.
#[derive(Debug)]
#[must_use]
pub(crate) struct Resumed {
    /// The server has these.
    pub(crate) acked: Vec<Token>,
    /// These were written on three links that died, and are not sent again.
    pub(crate) failed: Vec<Token>,
    /// Requests of which the same is true.
    pub(crate) unanswered: Vec<Token>,
    /// What was received and not handled: the server sends it again.
    pub(crate) repeated: Vec<Token>,
    /// To be written before anything else, in order, and without `sent`: they are counted already.
    pub(crate) resend: Vec<Outgoing>,
}

/// What becomes of the stanzas of a session that is gone.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Settled {
    /// The server has these.
    pub(crate) acked: Vec<Token>,
    /// These are not known to have arrived, and will not be sent again.
    pub(crate) failed: Vec<Token>,
    /// Messages to be sent in the next session as new, in order and before newer ones; with a delay stamp where their
    /// time is known.
    pub(crate) again: Vec<Outgoing>,
}

/// The server did not resume.
#[derive(Debug)]
#[must_use]
pub(crate) struct NotResumed {
    /// Its condition, as `item-not-found`.
    pub(crate) condition: Option<String>,
    /// How many of ours it had acknowledged in the end, modulo 2^32.
    pub(crate) handled: u32,
    /// What becomes of the stanzas.
    pub(crate) settled: Settled,
}

/// A stanza that was written and is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The stanza's.
    pub(crate) token: Option<Token>,
    /// The request's.
    pub(crate) request: Option<Token>,
    /// Empty where it would never be sent again.
    pub(crate) xml: String,
    /// When it was first sent, where the time of day is known.
    pub(crate) unix_ms: Option<u64>,
    /// On how many links it was written.
    pub(crate) links: u8,
    /// It has a delay stamp already.
    pub(crate) stamped: bool,
}

impl Kept {
    /// Whether it is what `token` was given for.
    pub(crate) fn is(&self, token: Token) -> bool {
        self.token == Some(token) || self.request == Some(token)
    }
}

/// What of a session survives a process: enough to resume it, or to say what became of its stanzas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Only where it can be resumed.
    pub(crate) session: Option<Session>,
    /// Every stanza counts; otherwise only those that report their delivery.
    pub(crate) counts: bool,
    /// How many of the server's stanzas are handled, modulo 2^32.
    pub(crate) handled: u32,
    /// How many of ours the server has acknowledged, modulo 2^32.
    pub(crate) acked: u32,
    /// Those that it has not.
    pub(crate) queue: VecDeque<Kept>,
}

/// A session that can be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The server's name for it.
    pub(crate) id: Secret,
    /// Where the server would have the client come back.
    pub(crate) location: Option<String>,
    /// For how many seconds the server keeps a session that lost its link.
    pub(crate) max: Option<u32>,
}

/// The bookkeeping of both directions.
pub(crate) struct StreamManagement {
    settings: config::StreamManagement,
    /// How many stanzas may wait for an acknowledgement.
    limit: usize,
    phase: Phase,
    /// Only where it can be resumed.
    session: Option<Session>,
    queue: VecDeque<Kept>,
    bytes: usize,
    acked: u32,
    /// Stanzas of the server's since `<enabled/>`.
    received: u32,
    /// Those that wait for the application, each with how many came before it.
    unhandled: BTreeMap<Token, u32>,
    answer_due: bool,
    ask_now: bool,
    question: Option<Question>,
    /// Stanzas since the last question.
    unasked: usize,
    quiet_since: Instant,
    /// Questions in a row that brought nothing.
    fruitless: u32,
    /// What to remember of the stanzas that `Settled::again` named, until they are sent.
    carried: BTreeMap<Token, Carried>,
}

#[derive(Debug)]
enum Phase {
    Off,
    Ping,
    /// `<enable/>` is written.
    Asked,
    On,
    /// The link is gone.
    Lost {
        at: Instant,
    },
    /// `<resume/>` is written, with this count.
    Resuming {
        handled: u32,
        lost: Instant,
    },
}

enum Question {
    Request,
    Ping { id: String, covers: u32 },
}

struct Carried {
    unix_ms: Option<u64>,
    links: u8,
    stamped: bool,
}

impl StreamManagement {
    /// Nothing is counted before `enable` or `use_pings`.
    pub(crate) fn new(settings: config::StreamManagement, limit: usize) -> Self {
        Self {
            settings,
            limit,
            phase: Phase::Off,
            session: None,
            queue: VecDeque::new(),
            bytes: 0,
            acked: 0,
            received: 0,
            unhandled: BTreeMap::new(),
            answer_due: false,
            ask_now: false,
            question: None,
            unasked: 0,
            quiet_since: Instant::default(),
            fruitless: 0,
            carried: BTreeMap::new(),
        }
    }

    /// Goes on after a process ended: as if the link had been lost now. What cannot be resumed is then to be `reset`.
    pub(crate) fn restore(settings: config::StreamManagement, limit: usize, state: State, now: Instant) -> Self {
        let mut new = Self::new(settings, limit);
        new.phase = Phase::Lost { at: now };
        new.session = state.session;
        new.received = state.handled;
        new.acked = state.acked;
        new.bytes = state.queue.iter().map(|kept| kept.xml.len()).sum();
        new.queue = state.queue;
        new
    }

    /// What `restore` needs, if anything was counted.
    pub(crate) fn state(&self) -> Option<State> {
        let counts = match self.phase {
            Phase::Off => return None,
            Phase::Ping => false,
            Phase::Asked | Phase::On | Phase::Lost { .. } | Phase::Resuming { .. } => true,
        };
        Some(State {
            session: self.session.clone(),
            counts,
            handled: self.handled_count(),
            acked: self.acked,
            queue: self.queue.clone(),
        })
    }

    /// How acknowledgements come at present.
    #[cfg(test)]
    pub(crate) fn strategy(&self) -> Strategy {
        match self.phase {
            Phase::Off | Phase::Lost { .. } | Phase::Resuming { .. } => Strategy::Off,
            Phase::Ping => Strategy::Ping,
            Phase::Asked | Phase::On => Strategy::Xep0198,
        }
    }

    /// How many of the server's stanzas are handled without a gap, modulo 2^32: `h`.
    pub(crate) fn handled_count(&self) -> u32 {
        match self.phase {
            Phase::Resuming { handled, .. } => handled,
            Phase::Off | Phase::Ping | Phase::Asked | Phase::On | Phase::Lost { .. } => self
                .unhandled
                .first_key_value()
                .map_or(self.received, |(_, before)| *before),
        }
    }

    /// How many of ours are acknowledged, modulo 2^32.
    pub(crate) fn acked_count(&self) -> u32 {
        self.acked
    }

    /// How many of ours were sent, modulo 2^32.
    pub(crate) fn sent_count(&self) -> u32 {
        // The queue is far shorter than 2^32.
        let waiting = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.acked.wrapping_add(waiting)
    }

    /// The stanzas that are not acknowledged, oldest first.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.queue.iter()
    }

    // --- The beginning of a session. `reset` or `resume_failed` has emptied the queue before.

    /// `<enable/>`, to be written once a resource is bound, or with the request for one.
    pub(crate) fn enable(&self) -> ElementBuilder {
        let mut enable = Element::builder(NS_SM, "enable");
        if self.settings.resume {
            enable = enable.attr("resume", "true");
            if let Some(max) = self.settings.max {
                enable = enable.attr("max", &max.to_string());
            }
        }
        enable
    }

    /// `<enable/>` is written, or a resource is bound after it was: `sent` counts from now on (XEP-0198 §3).
    pub(crate) fn enabling(&mut self, now: Instant) {
        self.begin(now, Phase::Asked);
    }

    /// The server has no XEP-0198, or it is not wanted: pings acknowledge.
    pub(crate) fn use_pings(&mut self, now: Instant) {
        self.begin(now, Phase::Ping);
    }

    fn begin(&mut self, now: Instant, phase: Phase) {
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.acked = 0;
        self.received = 0;
        self.unhandled.clear();
        self.session = None;
        self.phase = phase;
        self.forget_link(now);
    }

    fn forget_link(&mut self, now: Instant) {
        self.answer_due = false;
        self.ask_now = false;
        self.question = None;
        self.unasked = 0;
        self.fruitless = 0;
        self.quiet_since = now;
    }

    // --- Outbound.

    /// A stanza goes into the link: call it for each, the client's own answers included, but not for what `turn_end` or
    /// `resumed` gave. It is kept until the server has it.
    pub(crate) fn sent(&mut self, now: Instant, outgoing: &Outgoing, unix_ms: Option<u64>) {
        let counts = match self.phase {
            Phase::Off | Phase::Lost { .. } | Phase::Resuming { .. } => return,
            Phase::Asked | Phase::On => true,
            Phase::Ping => false,
        };
        let carried = outgoing.token.and_then(|token| self.carried.remove(&token));
        // A ping reports on those that wait for a report; it need not count the others.
        if !counts && outgoing.token.is_none() {
            return;
        }
        let (unix_ms, links, stamped) = match carried {
            Some(carried) => (carried.unix_ms, carried.links, carried.stamped),
            None => (unix_ms, 0, false),
        };
        let xml = if counts || self.settings.resend_uncertain {
            outgoing.xml.clone()
        } else {
            String::new()
        };
        self.bytes = self.bytes.saturating_add(xml.len());
        self.queue.push_back(Kept {
            token: outgoing.token,
            request: outgoing.request,
            xml,
            unix_ms,
            links: links.saturating_add(1),
            stamped,
        });
        self.unasked = self.unasked.saturating_add(1);
        self.quiet_since = now;
    }

    /// So many stanzas wait for an acknowledgement that no more should be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.limit
    }

    /// How many wait for it.
    pub(crate) fn unacknowledged(&self) -> usize {
        self.queue.len()
    }

    /// The memory that they take.
    pub(crate) fn unacknowledged_bytes(&self) -> usize {
        self.bytes
    }

    /// What to remember of a stanza that waits, where an earlier session had it.
    pub(crate) fn remembered(&self, outgoing: &Outgoing) -> Kept {
        let carried = outgoing.token.and_then(|token| self.carried.get(&token));
        Kept {
            token: outgoing.token,
            request: outgoing.request,
            xml: outgoing.xml.clone(),
            unix_ms: carried.and_then(|carried| carried.unix_ms),
            links: carried.map_or(0, |carried| carried.links),
            stamped: carried.is_some_and(|carried| carried.stamped),
        }
    }

    /// The same, on its way back.
    pub(crate) fn remember(&mut self, kept: &Kept) {
        if let (Some(token), 1..) = (kept.token, kept.links) {
            self.carried.insert(
                token,
                Carried {
                    unix_ms: kept.unix_ms,
                    links: kept.links,
                    stamped: kept.stamped,
                },
            );
        }
    }

    /// A stanza that `Settled::again` named will not be sent after all.
    pub(crate) fn cancelled(&mut self, token: Token) {
        self.carried.remove(&token);
    }

    // --- Inbound.

    /// A stanza came in: call it for each, those included that are then dropped (XEP-0198 §4).
    pub(crate) fn received(&mut self, handling: Handling) {
        if !matches!(self.phase, Phase::On) {
            return;
        }
        if let Handling::Later(token) = handling {
            self.unhandled.insert(token, self.received);
        }
        self.received = self.received.wrapping_add(1);
    }

    /// The application has dealt with it; whether that is news.
    pub(crate) fn handled(&mut self, token: Token) -> bool {
        self.unhandled.remove(&token).is_some()
    }

    /// The application is so far behind that nothing more should be read.
    pub(crate) fn is_behind(&self) -> bool {
        self.unhandled.len() >= self.limit
    }

    /// Whether an element is for [`handle`](Self::handle).
    pub(crate) fn is_nonza(element: &Element) -> bool {
        element.namespace() == NS_SM
    }

    /// The server's word on stream management, on a link that has a session.
    pub(crate) fn handle(&mut self, now: Instant, element: &Element) -> Result<Reaction, PeerMisbehaved> {
        match (element.name(), &self.phase) {
            ("r", Phase::On) => {
                self.answer_due = true;
                Ok(Reaction::Nothing)
            }
            ("a", Phase::On) => self.acknowledged(now, element),
            // XEP-0198 §4: before it is on, there is nothing to acknowledge.
            ("a" | "r", _) => Ok(Reaction::Nothing),
            ("enabled", Phase::Asked) => {
                self.phase = Phase::On;
                self.session = Session::read(element).filter(|_| self.settings.resume);
                let resumable = self.session.is_some();
                Ok(Reaction::Enabled { resumable })
            }
            ("failed", Phase::Asked) => {
                self.refused();
                let condition = condition(element);
                Ok(Reaction::Refused { condition })
            }
            _ => Err(out_of_place(element)),
        }
    }

    fn acknowledged(&mut self, now: Instant, element: &Element) -> Result<Reaction, PeerMisbehaved> {
        let before = self.queue.len();
        let acked = self.acknowledge(count(element)?)?;
        let asked = self.question.take().is_some();
        self.quiet_since = now;
        if self.queue.len() < before || self.queue.is_empty() {
            self.fruitless = 0;
        } else if asked {
            self.fruitless = self.fruitless.saturating_add(1);
        }
        Ok(Reaction::Acked(acked))
    }

    /// XEP-0198 §4, modulo 2^32.
    fn acknowledge(&mut self, handled: u32) -> Result<Vec<Token>, PeerMisbehaved> {
        let sent = self.sent_count();
        let news = usize::try_from(handled.wrapping_sub(self.acked)).unwrap_or(usize::MAX);
        if news > self.queue.len() {
            return Err(PeerMisbehaved::HandledCount { handled, sent });
        }
        self.acked = handled;
        let mut tokens = Vec::new();
        for kept in self.queue.drain(..news) {
            self.bytes = self.bytes.saturating_sub(kept.xml.len());
            tokens.extend(kept.token);
        }
        if self.queue.is_empty() {
            // An idle client holds no memory for a burst that is over.
            self.queue = VecDeque::new();
        }
        Ok(tokens)
    }

    /// XEP-0198 §3: the counters go. What was sent meanwhile is acknowledged by a ping like all that follows.
    fn refused(&mut self) {
        self.phase = Phase::Ping;
        self.session = None;
        self.question = None;
        let keep_xml = self.settings.resend_uncertain;
        self.queue.retain(|kept| kept.token.is_some());
        for kept in &mut self.queue {
            if !keep_xml {
                kept.xml = String::new();
            }
        }
        self.bytes = self.queue.iter().map(|kept| kept.xml.len()).sum();
    }

    /// Whether this `iq` answers the ping of `turn_end`, and which stanzas the server has therefore.
    pub(crate) fn answered(&mut self, now: Instant, iq: &Element, me: &Jid) -> Option<Vec<Token>> {
        let Some(Question::Ping { id, covers }) = &self.question else {
            return None;
        };
        // An error is as good: the server has come so far (RFC 6120 §10.1).
        let is_answer = iq.is(NS_CLIENT, "iq") && matches!(iq.attribute("type"), Some("result" | "error"));
        if !is_answer || iq.attribute("id") != Some(id) || !may_answer(None, iq.attribute("from"), me) {
            return None;
        }
        let covers = *covers;
        self.question = None;
        self.quiet_since = now;
        // It covers no more than was sent.
        Some(self.acknowledge(covers).unwrap_or_default())
    }

    // --- When to speak.

    /// The server is to be asked in this turn, whatever the strategy says: to see whether it is there, or because the
    /// device is about to sleep.
    pub(crate) fn ask(&mut self) {
        self.ask_now = true;
    }

    /// What to write after everything else that the turn brought. `new_id` gives an id that nobody can guess.
    pub(crate) fn turn_end(&mut self, now: Instant, new_id: impl FnOnce() -> String) -> Turn {
        let answer = core::mem::take(&mut self.answer_due).then(|| self.answer());
        let question = if self.wants_to_ask(now) {
            self.unasked = 0;
            match self.phase {
                Phase::Asked | Phase::On => {
                    self.question = Some(Question::Request);
                    Some(nonza("r", &[]))
                }
                // A ping that is under way is repeated as it is: it covers what it did, whichever of the two is answered.
                Phase::Ping if matches!(self.question, Some(Question::Ping { .. })) => match &self.question {
                    Some(Question::Ping { id, .. }) => Some(ping(id)),
                    Some(Question::Request) | None => None,
                },
                Phase::Ping => {
                    let id = new_id();
                    let ping = ping(&id);
                    let covers = self.sent_count();
                    self.question = Some(Question::Ping { id, covers });
                    Some(ping)
                }
                Phase::Off | Phase::Lost { .. } | Phase::Resuming { .. } => None,
            }
        } else {
            None
        };
        self.ask_now = false;
        Turn { answer, question }
    }

    /// What to write before the goodbye (XEP-0198 §4): the count, and a question if something is not acknowledged.
    pub(crate) fn goodbye(&mut self, now: Instant, new_id: impl FnOnce() -> String) -> Turn {
        self.answer_due = matches!(self.phase, Phase::On);
        if self.question.is_none() || self.unasked > 0 {
            self.ask_now |= !self.queue.is_empty();
        }
        self.turn_end(now, new_id)
    }

    fn answer(&self) -> String {
        nonza("a", &[("h", self.handled_count().to_string())])
    }

    fn wants_to_ask(&self, now: Instant) -> bool {
        if self.ask_now {
            return true;
        }
        if !self.may_ask() {
            return false;
        }
        let many = self.unasked >= usize::from(self.settings.request_after.max(1));
        let full = self.is_full() && self.unasked > 0;
        many || full || self.quiet_until() <= now
    }

    /// At most one question at a time.
    fn may_ask(&self) -> bool {
        matches!(self.phase, Phase::Ping | Phase::On) && self.question.is_none() && !self.queue.is_empty()
    }

    fn quiet_until(&self) -> Instant {
        let quiet = self.settings.request_when_quiet;
        let wait = match self.fruitless.checked_sub(1) {
            None => quiet,
            // A server that answers and acknowledges nothing is asked more and more seldom.
            Some(doublings) => quiet.max(FRUITLESS).saturating_mul(2 << doublings.min(6)),
        };
        self.quiet_since + wait
    }

    pub(crate) fn deadline(&self, earliest: &mut Earliest) {
        let at = self.may_ask().then(|| self.quiet_until());
        earliest.offer(at, Timer::AcknowledgementRequest);
    }
}

/// The session id is as good as half a login: it is not shown, and neither are the stanzas.
impl fmt::Debug for StreamManagement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamManagement")
            .field("phase", &self.phase)
            .field("resumable", &self.session.is_some())
            .field("handled", &self.handled_count())
            .field("acked", &self.acked)
            .field("unacknowledged", &self.queue.len())
            .finish_non_exhaustive()
    }
}

/// The application-specific part of the stream error for [`PeerMisbehaved::HandledCount`] (XEP-0198 §4).
pub(crate) fn handled_count_too_high(handled: u32, sent: u32) -> ElementBuilder {
    Element::builder(NS_SM, "handled-count-too-high")
        .attr("h", &handled.to_string())
        .attr("send-count", &sent.to_string())
}
