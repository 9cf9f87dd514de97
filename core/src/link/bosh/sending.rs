//! What is posted, and when: never more requests at once than are allowed, and never an empty one too soon.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::pause::Pause;
use super::state::{Change, Posted};
use super::{BATCH_BYTES, BATCH_STANZAS, Bosh, Flight, Kind, LAST_RID, Phase, State, body};
use crate::error::{ConnectionError, Offline};
use crate::input::Token;
use crate::link::{Context, Event};
use crate::output::Output;
use crate::secret::Secret;
use crate::time::Instant;

const END: &str = "</body>";

impl Bosh {
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
        self.pump_lost_pauses(cx);
        let restart = if self.may_post() { self.restart.take() } else { None };
        if let Some(restart) = restart {
            self.resume();
            let mut body = self.open_body(cx);
            body::restart(&mut body, &self.domain, restart.from.as_deref(), &self.language);
            self.post(cx, body, Kind::Payload, Vec::new(), 0);
        }
        if matches!(self.pause, Some(Pause::Until { .. })) && !self.outgoing.is_empty() {
            self.resume();
        }
        while self.restart.is_none() && !self.outgoing.is_empty() && self.may_post() {
            let (body, tokens, stored) = self.payload_body(cx);
            self.post(cx, body, Kind::Payload, tokens, stored);
        }
        if self.phase == Phase::Leaving {
            if self.outgoing.is_empty() && self.may_exceed() && !self.is_repeating() {
                self.post_goodbye(cx);
            }
            return;
        }
        self.pump_pause(cx);
        // As many as may be held, or the deadline would lie.
        while self.poll_due().is_some_and(|at| at <= cx.now) {
            self.resume();
            let mut body = self.open_body(cx);
            body.push_str("/>");
            self.post(cx, body, Kind::Empty, Vec::new(), 0);
        }
    }

    pub(super) fn may_post(&self) -> bool {
        self.has_room(self.session.window())
    }

    /// XEP-0124 §11: a pause or the goodbye may be one more than are allowed.
    pub(super) fn may_exceed(&self) -> bool {
        self.has_room(self.session.window().saturating_add(1))
    }

    /// A request was sent again, and its answer cannot be held (XEP-0124 §8): after the goodbye nobody would repeat it, and what
    /// it carried would not be known to have arrived.
    fn is_repeating(&self) -> bool {
        let newest = self.flights.keys().next_back();
        let repeated = |flight: &Flight| flight.attempts > 1 && !matches!(flight.state, State::Answered(_));
        self.flights
            .iter()
            .any(|(rid, flight)| Some(rid) != newest && repeated(flight) && !flight.is_lost_pause())
    }

    fn has_room(&self, window: usize) -> bool {
        // XEP-0124 §11 for the number; §14.2 for the distance, so that the answer to the oldest one is still buffered.
        let oldest = self.flights.keys().next().copied().unwrap_or(self.next_rid);
        self.unanswered() < window
            && usize::try_from(self.next_rid.saturating_sub(oldest)).is_ok_and(|distance| distance < window)
    }

    fn unanswered(&self) -> usize {
        let unanswered = self
            .flights
            .values()
            .filter(|flight| !matches!(flight.state, State::Answered(_)) && !flight.is_lost_pause());
        unanswered.count()
    }

    /// When the next empty request is due, if one is.
    pub(super) fn poll_due(&self) -> Option<Instant> {
        let nothing_else = self.outgoing.is_empty() && self.restart.is_none() && !self.about_to_speak;
        let room = self.unanswered() < self.session.wanted() && (self.may_post() || self.is_only_paused());
        if self.phase != Phase::Open || self.ended || !nothing_else || !room || self.has_ended() {
            return None;
        }
        match self.pause {
            Some(Pause::Wanted { .. }) => None,
            Some(Pause::Until { at, .. }) => Some(at),
            None => self.pace.due(&self.session, self.not_reading_since.is_none()),
        }
    }

    /// Posts a new request. So many stanzas in it are stored among those that wait.
    pub(super) fn post(&mut self, cx: &mut Context<'_>, body: String, kind: Kind, tokens: Vec<Token>, stored: u32) {
        let rid = self.next_rid;
        self.next_rid = rid.saturating_add(1);
        let request = cx.request_id();
        let deadline = cx.now + kind.patience(self.connect_timeout, self.session.response_time());
        let body = body.into_bytes();
        if let (Some(changes), true) = (&mut self.changes, kind != Kind::Create) {
            let posted = Posted {
                rid,
                kind,
                body: Secret::new(body.clone()),
                tokens: tokens.clone(),
            };
            let keys = self.keys.clone();
            changes.push((Change::Posted { posted, keys }, stored));
        }
        cx.outputs.push(Output::Post {
            link: self.id,
            request,
            body: body.clone(),
            deadline,
        });
        let state = State::Waiting { request, deadline };
        self.flights.insert(
            rid,
            Box::new(Flight {
                body,
                kind,
                tokens,
                attempts: 1,
                strangers: 0,
                posted: cx.now,
                state,
            }),
        );
    }

    /// The start tag of the next request, without its `>`. It uses up a key, so it has to be posted (XEP-0124 §15.5).
    pub(super) fn open_body(&mut self, cx: &mut Context<'_>) -> String {
        let ack = self.settings.ack && !self.flights.is_empty();
        let ack = ack.then(|| self.next_to_process.saturating_sub(1));
        let mut body = body::open(self.next_rid, &self.session.sid, ack);
        if let Some(keys) = &mut self.keys {
            let (key, newkey) = keys.take(cx.random);
            body::key(&mut body, &key, newkey.as_deref());
        }
        body
    }

    /// A body with as much of the queue as belongs into one, the tokens in it, and how many of its stanzas are stored.
    fn payload_body(&mut self, cx: &mut Context<'_>) -> (String, Vec<Token>, u32) {
        let most = self.max_bytes.unwrap_or(BATCH_BYTES).min(BATCH_BYTES);
        let mut body = self.open_body(cx);
        body.push('>');
        let mut tokens = Vec::new();
        let mut stored = 0;
        for count in 0..BATCH_STANZAS {
            let Some(next) = self.outgoing.front() else { break };
            if count > 0 && body.len().saturating_add(next.xml.len()).saturating_add(END.len()) > most {
                break;
            }
            let Some(next) = self.outgoing.pop_front() else { break };
            self.outgoing_bytes = self.outgoing_bytes.saturating_sub(next.xml.len());
            body.push_str(&next.xml);
            tokens.extend(next.token);
            stored += u32::from(next.stored);
        }
        body.push_str(END);
        (body, tokens, stored)
    }

    fn post_goodbye(&mut self, cx: &mut Context<'_>) {
        let mut body = self.open_body(cx);
        body.push_str(" type='terminate'");
        match self.goodbye.take() {
            Some(last) => {
                body.push('>');
                body.push_str(&last.xml);
                body.push_str(END);
            }
            None => body.push_str("/>"),
        }
        self.said_goodbye = true;
        self.post(cx, body, Kind::Terminate, Vec::new(), 0);
    }

    pub(super) fn abandon_all(&mut self, cx: &mut Context<'_>) {
        for flight in self.flights.values_mut() {
            if let State::Waiting { request, .. } = flight.state {
                flight.state = State::Over;
                cx.outputs.push(Output::Abandon { link: self.id, request });
            }
        }
    }

    /// Reports the end, once; the client then calls `shut`.
    pub(super) fn close(&mut self, cx: &mut Context<'_>, reason: Option<Offline>) {
        if self.end() {
            cx.event(Event::Closed(reason));
        }
    }
}
