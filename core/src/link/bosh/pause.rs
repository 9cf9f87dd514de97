//! A pause: the connection manager keeps the session for a while without being asked for anything (XEP-0124 §10).

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Bosh, Flight, Kind, Phase, State};
use crate::error::ResendReason;
use crate::input::Failure;
use crate::link::Context;
use crate::time::Instant;

/// How long the answer to the request may take: nothing is held back for it.
pub(super) const PAUSE_ANSWER: Duration = Duration::from_secs(15);
/// A pause is over so much before its end, or after three quarters of it: the way to the server has to fit in.
const MARGIN: Duration = Duration::from_secs(30);

/// How far a pause has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// The connection manager is to be told, once it has all that was queued before.
    Wanted {
        seconds: u16,
        /// The pause that this one prolongs.
        before: Option<Instant>,
    },
    /// It was told.
    Until {
        /// Something is asked of it then at the latest.
        at: Instant,
        /// And if it was not, then.
        before: Option<Instant>,
    },
}

impl Bosh {
    /// The device is about to sleep: what is queued goes out, then the connection manager is told that nothing will be asked
    /// of it for so long, or for the longest time that it allows. A stanza, [`resume`](Self::resume), or time ends it. Whether there
    /// will be a pause: the connection manager must have granted them.
    pub(crate) fn pause(&mut self, seconds: u32) -> bool {
        let Some(longest) = self.session.maxpause else {
            return false;
        };
        if self.phase != Phase::Open || self.ended || seconds == 0 {
            return false;
        }
        let seconds = u16::try_from(seconds).unwrap_or(u16::MAX).min(longest);
        let before = match self.pause {
            Some(Pause::Until { at, .. }) => Some(at),
            Some(Pause::Wanted { before, .. }) => before,
            None => None,
        };
        self.pause = Some(Pause::Wanted { seconds, before });
        true
    }

    /// The pause is over, or was not to be: `pump` asks for news again.
    pub(crate) fn resume(&mut self) {
        self.pause = None;
    }

    /// Whether the connection manager was told, or is about to be.
    #[cfg(test)]
    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// Posts the request, if it is time for it. It may be one more than are allowed otherwise (§11).
    pub(super) fn pump_pause(&mut self, cx: &mut Context<'_>) {
        let Some(Pause::Wanted { seconds, before }) = self.pause else {
            return;
        };
        if !self.outgoing.is_empty() || self.restart.is_some() || !self.may_exceed() {
            return;
        }
        // What is said takes the place of the time that the session lives without a request: less would be worse than no pause.
        let most = self.session.maxpause.unwrap_or(seconds);
        let said = seconds.max(self.session.inactivity.unwrap_or(0)).min(most);
        let mut body = self.open_body(cx);
        body.push_str(" pause='");
        body.push_str(&said.to_string());
        body.push_str("'/>");
        self.post(cx, body, Kind::Pause, Vec::new(), 0);
        let said = Duration::from_secs(u64::from(said));
        let safe = said - MARGIN.min(said / 4);
        let at = cx.now + safe.min(Duration::from_secs(u64::from(seconds)));
        self.pause = Some(Pause::Until { at, before });
    }

    /// Where nothing is under way but requests for pauses that got lost, and they leave no room for what has to be said now,
    /// the connection manager may be waiting for them: it has to be asked.
    pub(super) fn pump_lost_pauses(&mut self, cx: &mut Context<'_>) {
        if !self.is_only_paused() {
            return;
        }
        let queued = !self.outgoing.is_empty() || self.restart.is_some();
        let last_words = matches!(self.pause, Some(Pause::Wanted { .. })) || self.phase == Phase::Leaving;
        let stuck = if last_words && !queued {
            !self.may_exceed()
        } else {
            let due = || self.poll_due().is_some_and(|at| at <= cx.now);
            !self.may_post() && (queued || self.pause.is_none() || due())
        };
        if stuck {
            self.resend_pauses(cx, self.next_rid);
        }
    }

    /// Whether nothing is under way but requests for pauses that got lost.
    pub(super) fn is_only_paused(&self) -> bool {
        !self.flights.is_empty() && self.flights.values().all(|flight| flight.is_lost_pause())
    }

    /// Whether a request for a pause that went wrong is to be left alone. Its answer is not kept by the connection manager
    /// (§14.3), so asking for it again may end the session; the next request tells whether it came through, for they are
    /// processed in order.
    pub(super) fn leave_pause_alone(&self, rid: u64, reason: &ResendReason) -> bool {
        let is_pause = self
            .flights
            .get(&rid)
            .is_some_and(|flight| flight.kind == Kind::Pause && flight.attempts <= 1);
        let may_have_arrived = match reason {
            ResendReason::Failed(Failure::Dns | Failure::Refused) | ResendReason::Asked => false,
            ResendReason::Failed(_) | ResendReason::HttpStatus(_) | ResendReason::NotBosh => true,
        };
        is_pause && may_have_arrived
    }

    /// Perhaps the connection manager was not told: then the session lives no longer than without a pause.
    pub(super) fn doubt_pause(&mut self) {
        let alive = self.pace.alive(&self.session);
        if let Some(Pause::Until { at, before }) = self.pause {
            let at = [before, alive].into_iter().flatten().fold(at, Instant::min);
            self.pause = Some(Pause::Until { at, before });
        }
    }

    /// A later request goes wrong too: probably the connection manager waits for a pause that never arrived.
    pub(super) fn resend_pauses(&mut self, cx: &mut Context<'_>, before: u64) {
        let lost = self
            .flights
            .range(..before)
            .filter(|(_, flight)| flight.is_lost_pause());
        let lost: Vec<u64> = lost.map(|(rid, _)| *rid).collect();
        for rid in lost {
            self.resend(cx, rid);
        }
    }
}

impl Flight {
    /// A request for a pause of which nobody knows whether it arrived.
    pub(super) fn is_lost_pause(&self) -> bool {
        self.kind == Kind::Pause && matches!(self.state, State::Over)
    }
}
