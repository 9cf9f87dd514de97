//! When the next empty request may go out: soon enough that the session lives, never so soon that it is over-activity.

use core::time::Duration;

use super::session::Session;
use crate::time::Instant;

/// An empty request that is answered sooner than this, with nothing in it, was not held.
const HURRIED: Duration = Duration::from_secs(1);
/// So many of them in a row are tolerated.
const PATIENCE: u32 = 4;

/// What the answers so far say about the pace.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last_answer: Option<Instant>,
    last_was_empty: bool,
    hurried: u32,
    told: bool,
}

impl Pace {
    /// A session goes on of which no answer was seen. `empty` says whether the last one may have been empty.
    pub(super) fn begun(now: Instant, empty: bool) -> Self {
        Self {
            last_answer: Some(now),
            last_was_empty: empty,
            ..Self::default()
        }
    }

    /// An answer came. `quiet` is since when its request could have been held: it was empty, and no stanza followed it.
    /// Whether somebody should be told that the server is in a hurry.
    pub(super) fn answered(&mut self, now: Instant, empty: bool, quiet: Option<Instant>, session: &Session) -> bool {
        self.last_answer = Some(now);
        self.last_was_empty = empty;
        match quiet {
            Some(posted) if empty && now.since(posted) < HURRIED => {
                // A polling session is answered at once by its nature.
                self.hurried = self.hurried.saturating_add(u32::from(!session.is_polling()));
            }
            Some(_) => self.hurried = 0,
            None => {}
        }
        self.hurried > PATIENCE && !core::mem::replace(&mut self.told, true)
    }

    /// When something has to be asked for at the latest, for the session to live (XEP-0124 §10).
    pub(super) fn alive(&self, session: &Session) -> Option<Instant> {
        Some(self.last_answer? + session.lifetime()? * 3 / 4)
    }

    /// When an empty request is due, if there is nothing else to say (XEP-0124 §8.3, §10, §12).
    pub(super) fn due(&self, session: &Session, reading: bool) -> Option<Instant> {
        let last = self.last_answer?;
        // §10: the session dies when nothing is asked for so long.
        let lifetime = session.lifetime();
        let alive = lifetime.map(|lifetime| lifetime * 3 / 4);
        if !reading {
            return alive.map(|alive| last + alive);
        }
        let mut wait = Duration::ZERO;
        if self.hurried > PATIENCE {
            wait = Duration::from_millis(100).saturating_mul(1 << (self.hurried - PATIENCE - 1).min(6));
            wait = alive.map_or(wait, |alive| wait.min(alive));
        }
        if session.is_polling() && self.last_was_empty {
            let polling = Duration::from_secs(u64::from(session.polling.unwrap_or(0)).max(1));
            // An interval longer than the session lives makes no sense: then life counts.
            let polling = match (lifetime, alive) {
                (Some(lifetime), Some(alive)) if polling > lifetime => alive,
                (_, _) => polling,
            };
            // §11 counts from arrival to arrival. When the last one arrived is not known, but it was before its answer.
            wait = wait.max(polling);
        }
        Some(last + wait)
    }
}
