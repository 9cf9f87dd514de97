//! What the connection manager granted when it created the session, and what follows from it.

use alloc::string::{String, ToString};
use core::time::Duration;

use super::body::number;
use crate::config::{Attach, Bosh as Settings};
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
    /// For how long the client may pause (§10).
    pub(super) maxpause: Option<u16>,
    /// It acknowledges requests (§9.1).
    pub(super) acknowledges: bool,
    /// It speaks a version from before 1.6, when HTTP statuses carried meaning (§17.1).
    pub(super) legacy: bool,
    pub(super) stream: Stream,
}

/// Which of the streams of the session is ours, where there are several (§16). We never open another.
#[derive(Debug, Default)]
pub(super) enum Stream {
    /// The only one, without a name.
    #[default]
    Unnamed,
    Named(String),
    /// The session was made elsewhere: the first answer that has a name tells.
    Unknown,
}

impl Stream {
    pub(super) fn of(name: Option<&str>) -> Self {
        name.map_or(Self::Unnamed, |name| Self::Named(name.to_string()))
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Unnamed | Self::Unknown => None,
        }
    }

    /// Whether what an answer carries is of our stream.
    pub(super) fn is_ours(&mut self, name: Option<&str>) -> bool {
        match (&*self, name) {
            (_, None) => true,
            (Self::Unnamed, Some(_)) => false,
            (Self::Named(ours), Some(name)) => ours == name,
            (Self::Unknown, Some(_)) => {
                *self = Self::of(name);
                true
            }
        }
    }
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
            maxpause: number::<u16>(root.attribute("maxpause")).filter(|seconds| *seconds > 0),
            acknowledges: root.attribute("ack").is_some(),
            legacy: root.attribute("ver").is_none(),
            stream: Stream::of(root.attribute("stream")),
        })
    }

    /// What was granted to somebody else, but never more requests at once than our own most.
    pub(super) fn attached(attach: &Attach, settings: &Settings) -> Self {
        let sid = String::from_utf8_lossy(attach.sid.expose()).into_owned();
        Self {
            sid,
            wait: attach.wait,
            hold: attach.hold,
            requests: usize::from(attach.requests.min(settings.max_requests).max(1)),
            inactivity: attach.inactivity.filter(|seconds| *seconds > 0),
            polling: attach.polling,
            maxpause: attach.maxpause.filter(|seconds| *seconds > 0),
            acknowledges: attach.acknowledges,
            legacy: false,
            stream: Stream::Unknown,
        }
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
