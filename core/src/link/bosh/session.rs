//! What the connection manager granted when it created the session, and what follows from it.

use alloc::string::{String, ToString};
use core::time::Duration;

use super::body::number;
use crate::config::Bosh as Settings;
use crate::xml::Element;

/// What the connection manager said when it created the session (XEP-0124 §7.2).
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) sid: String,
    pub(super) wait: u16,
    pub(super) hold: u8,
    pub(super) requests: usize,
    pub(super) inactivity: Option<u16>,
    pub(super) polling: Option<u16>,
    /// It acknowledges requests (§9.1).
    pub(super) acknowledges: bool,
    /// It speaks a version from before 1.6, when HTTP statuses carried meaning (§17.1).
    pub(super) legacy: bool,
}

impl Session {
    /// XEP-0124 §12: nothing is held, so the client has to ask again and again.
    pub(super) fn is_polling(&self) -> bool {
        self.hold == 0 || self.wait == 0 || self.requests <= 1
    }

    /// Reads the session creation response (XEP-0124 §7.2), if it makes a session.
    pub(super) fn read(root: &Element, settings: &Settings) -> Option<Self> {
        let sid = root.attribute("sid").filter(|sid| !sid.is_empty())?;
        let hold = number::<u8>(root.attribute("hold"))
            .unwrap_or(settings.hold)
            .min(settings.hold);
        let wait = match root.attribute("wait") {
            Some(wait) => number::<u16>(Some(wait))?,
            None => settings.wait,
        };
        // 0 requests is no session; absent means no limit, which ours is smaller than.
        let requests = match root.attribute("requests") {
            Some(requests) => number::<u8>(Some(requests)).filter(|requests| *requests > 0)?,
            None => hold.saturating_add(1),
        };
        Some(Self {
            sid: sid.to_string(),
            wait: wait.min(settings.wait),
            hold,
            requests: usize::from(requests.min(settings.max_requests.max(1))),
            inactivity: number::<u16>(root.attribute("inactivity")).filter(|seconds| *seconds > 0),
            polling: number::<u16>(root.attribute("polling")),
            acknowledges: root.attribute("ack").is_some(),
            legacy: root.attribute("ver").is_none(),
        })
    }

    /// How many requests may be under way at once (§11; §12: a polling session has one at a time).
    pub(super) fn window(&self) -> usize {
        if self.is_polling() { 1 } else { self.requests.max(1) }
    }

    /// How many requests to leave with the server. Never the last free slot: a stanza of ours must be able to go out at
    /// once, and an empty request in the last slot is over-activity (§11).
    pub(super) fn wanted(&self) -> usize {
        if self.is_polling() {
            return 1;
        }
        usize::from(self.hold).min(self.requests.saturating_sub(1)).max(1)
    }

    /// How long an answer may take: the server's `wait`, and some time for the way (§8.1).
    pub(super) fn response_time(&self) -> Duration {
        let wait = Duration::from_secs(u64::from(self.wait));
        wait + Duration::from_secs(10).max(wait / 10)
    }

    /// How long the server keeps a session that nothing is asked for (§10).
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.inactivity.map(|seconds| Duration::from_secs(u64::from(seconds)))
    }
}
