//! Requests that fail go out again, byte for byte the same; and a session that ends with answers missing ends in order.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Bosh, Flight, Kind, Phase, State};
use crate::error::{ConnectionError, Offline, ResendReason, SessionEnd, Warning};
use crate::input::Failure;
use crate::link::{Context, Event};
use crate::output::Output;

/// How often one request is sent at most, in all.
const ATTEMPTS: u32 = 6;
/// How many answers to one request may come from elsewhere, a proxy or a portal (HTTP 4xx, no BOSH): probably all will.
const STRANGERS: u32 = 2;
/// How long to wait for earlier answers once one says that the session is over.
const LAST_WORDS: Duration = Duration::from_secs(5);

impl Bosh {
    pub(super) fn http_error(&mut self, cx: &mut Context<'_>, rid: u64, status: u16) {
        // XEP-0124 §17.1: what the statuses meant before 1.6, when there were no conditions.
        let legacy = match status {
            400 => Some("bad-request"),
            403 => Some("policy-violation"),
            404 => Some("item-not-found"),
            _ => None,
        };
        if self.said_goodbye {
            // The session is gone, as it should be.
            return self.close(cx, None);
        }
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
    pub(super) fn recover(&mut self, cx: &mut Context<'_>, rid: u64) {
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
    pub(super) fn retry(&mut self, cx: &mut Context<'_>, rid: u64, reason: ResendReason) {
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
        if self.leave_pause_alone(rid, &reason) {
            self.doubt_pause();
            // A later answer may be waiting for nothing else.
            return self.process(cx);
        }
        if attempts > 1 || matches!(reason, ResendReason::Failed(Failure::Timeout)) {
            self.resend_pauses(cx, rid);
        }
        let Some(flight) = self.flights.get_mut(&rid) else {
            return;
        };
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
            0 | 1 => 0,
            _ => {
                let longest = 1_000_u64 << attempts.saturating_sub(2).min(4);
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

    pub(super) fn resend(&mut self, cx: &mut Context<'_>, rid: u64) {
        let request = cx.request_id();
        let (connect_timeout, response_time) = (self.connect_timeout, self.session.response_time());
        let Some(flight) = self.flights.get_mut(&rid) else {
            return;
        };
        let deadline = cx.now + flight.kind.patience(connect_timeout, response_time);
        flight.attempts = flight.attempts.saturating_add(1);
        flight.state = State::Waiting { request, deadline };
        cx.outputs.push(Output::Post {
            link: self.id,
            request,
            body: flight.body.clone(),
            deadline,
        });
    }

    /// XEP-0124 §9.3: the server sent an answer that we say we do not have: the request goes out again. Once: a server that
    /// says it again and again, while the answer is on its way, must not set off a storm.
    pub(super) fn reported(&mut self, cx: &mut Context<'_>, rid: u64) {
        if !self.ended
            && self
                .flights
                .get(&rid)
                .is_some_and(|flight| flight.attempts == 1 && matches!(flight.state, State::Waiting { .. }))
        {
            self.abandon(cx, rid);
            self.retry(cx, rid, ResendReason::Asked);
        }
    }

    /// Gives up the attempt that is under way, if one is.
    pub(super) fn abandon(&mut self, cx: &mut Context<'_>, rid: u64) {
        let Some(flight) = self.flights.get_mut(&rid) else {
            return;
        };
        if let State::Waiting { request, .. } = flight.state {
            flight.state = State::Over;
            cx.outputs.push(Output::Abandon { link: self.id, request });
        }
    }

    /// Earlier answers are given a moment when a later one says that the session is over; nothing is sent again then.
    pub(super) fn hasten(&mut self, cx: &mut Context<'_>) {
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
            self.give_up(cx);
        }
    }

    /// Whether an answer that waits says that the session is over.
    pub(super) fn has_ended(&self) -> bool {
        self.flights
            .values()
            .any(|flight| matches!(&flight.state, State::Answered(answer) if answer.is_terminate()))
    }

    /// Waits no longer: goes on behind what is missing, up to the answer that ends the session: what is here is lost otherwise, for the server
    /// takes it for delivered.
    pub(crate) fn give_up(&mut self, cx: &mut Context<'_>) {
        while !self.ended {
            let answered = |flight: &Flight| matches!(flight.state, State::Answered(_));
            let next = self.flights.iter().find(|(_, flight)| answered(flight));
            let Some((rid, _)) = next else { return };
            self.next_to_process = *rid;
            self.process(cx);
        }
    }
}
