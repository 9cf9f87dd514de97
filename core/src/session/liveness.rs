//! Whether the server is still there (RFC 6120 §4.6), and whether somebody looks at the application (XEP-0352).
//!
//! A [`Liveness`] belongs to one link. It decides; the client asks, by what its
//! [`StreamManagement`](super::stream_management::StreamManagement) gives it, and writes the white space.

#[cfg(test)]
mod tests;

use core::time::Duration;

use crate::config;
use crate::time::{Earliest, Instant, Timer};

/// A `Tick` that is later than this says that the device slept: the server may have answered, and nobody has read it yet.
const LATE: Duration = Duration::from_secs(5);

/// However little idleness a server announces, white space is not sent more often.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);

/// What is to be done about the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// Ask the server (`StreamManagement::ask`), and say `asked` when the question is written.
    Ask,
    /// Write something that means nothing: white space on TCP (RFC 6120 §4.6.1). On a WebSocket, where white space is no
    /// message (RFC 7395 §3.8), ask. Then say `spoke`.
    KeepAlive,
    /// The server is gone: `Offline::Connection(Timeout { waiting_for: Life })`.
    Dead,
}

/// The silence on one link, in both directions.
#[derive(Debug)]
pub(crate) struct Liveness {
    settings: config::Liveness,
    /// The server ends a stream that is idle for so long (XEP-0478).
    idle: Option<Duration>,
    heard: Instant,
    spoke: Instant,
    asked: Option<Asked>,
    check: bool,
    /// Since when the host does not read.
    stopped: Option<Instant>,
}

#[derive(Debug)]
struct Asked {
    /// When the question left, as far as that is known.
    at: Instant,
    /// Bytes that leave before it does, and its own.
    unwritten: u64,
    /// It was repeated after the device slept; that happens once.
    repeated: bool,
}

impl Liveness {
    /// A link that has just come so far that stanzas flow.
    pub(crate) fn new(settings: config::Liveness, now: Instant) -> Self {
        Self {
            settings,
            idle: None,
            heard: now,
            spoke: now,
            asked: None,
            check: false,
            stopped: None,
        }
    }

    /// What the server announces in its stream features: `idle-seconds` (XEP-0478).
    pub(crate) fn idle_seconds(&mut self, seconds: Option<u32>) {
        let seconds = seconds.filter(|seconds| *seconds > 0);
        self.idle = seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    }

    /// Something came from the server, whatever it is.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
        self.check = false;
    }

    /// Something was given to the host to write.
    pub(crate) fn spoke(&mut self, now: Instant) {
        self.spoke = now;
    }

    /// A question was given to the host to write, by whomever it was wanted: the server has to show that it is there.
    /// `unwritten`: so many bytes, the question included, have not left the host yet.
    pub(crate) fn asked(&mut self, now: Instant, unwritten: u64) {
        self.check = false;
        self.spoke = now;
        let repeated = match &self.asked {
            // An earlier question waits as well: its time counts.
            Some(asked) if !asked.repeated => return,
            Some(asked) => asked.repeated,
            None => false,
        };
        self.asked = Some(Asked {
            at: now,
            unwritten,
            repeated,
        });
    }

    /// So many more bytes have left the host. A question cannot be answered before it has left.
    pub(crate) fn written(&mut self, now: Instant, bytes: u64) {
        if let Some(asked) = &mut self.asked {
            if asked.unwritten > 0 {
                asked.unwritten = asked.unwritten.saturating_sub(bytes);
                asked.at = now;
            }
        }
    }

    /// The host reads, or has stopped to: then nothing can be heard, and time stands still.
    pub(crate) fn reading(&mut self, now: Instant, reading: bool) {
        match (reading, self.stopped) {
            (false, None) => self.stopped = Some(now),
            (true, Some(since)) => {
                self.stopped = None;
                self.heard = self.heard + now.since(since.max(self.heard));
                if let Some(asked) = &mut self.asked {
                    asked.at = asked.at + now.since(since.max(asked.at));
                }
            }
            (false, Some(_)) | (true, None) => {}
        }
    }

    /// There is reason to doubt (the network changed, the device slept): ask without waiting for the silence.
    pub(crate) fn check(&mut self) {
        self.check = self.asked.is_none();
    }

    /// What to do now. After `Ask` and `KeepAlive` it is `Nothing` only once the client has done it.
    pub(crate) fn due(&mut self, now: Instant) -> Due {
        if self.stopped.is_none() {
            if self.check {
                return Due::Ask;
            }
            if let Some(asked) = &mut self.asked {
                let until = asked.at + self.settings.answer_within;
                if until <= now {
                    if now.since(until) <= LATE || asked.repeated {
                        return Due::Dead;
                    }
                    // The clock jumped. The question is as old as the sleep was long: ask again, and then believe it.
                    asked.repeated = true;
                    asked.at = now;
                    return Due::Ask;
                }
            } else if self.ask_at().is_some_and(|at| at <= now) {
                return Due::Ask;
            }
        }
        if self.keep_alive_at().is_some_and(|at| at <= now) {
            return Due::KeepAlive;
        }
        Due::Nothing
    }

    pub(crate) fn deadline(&self, earliest: &mut Earliest) {
        if self.stopped.is_none() {
            let at = match &self.asked {
                _ if self.check => Some(self.heard),
                Some(asked) => Some(asked.at + self.settings.answer_within),
                None => self.ask_at(),
            };
            earliest.offer(at, Timer::Liveness);
        }
        earliest.offer(self.keep_alive_at(), Timer::KeepAlive);
    }

    fn ask_at(&self) -> Option<Instant> {
        Some(self.heard + self.settings.ask_after?)
    }

    fn keep_alive_at(&self) -> Option<Instant> {
        // A quarter of what the server allows is left for the way.
        let idle = self.idle.map(|idle| idle.saturating_mul(3) / 4);
        let after = match (self.settings.keep_alive_after, idle) {
            (Some(ours), Some(theirs)) => ours.min(theirs),
            (Some(after), None) | (None, Some(after)) => after,
            (None, None) => return None,
        };
        Some(self.spoke + after.max(KEEP_ALIVE_MIN))
    }
}

/// Whether the server knows that somebody looks, or nobody (XEP-0352). It lives as long as the client.
#[derive(Debug)]
pub(crate) struct ClientState {
    offered: bool,
    active: bool,
    /// What the server believes, where that is known.
    told: Option<bool>,
    /// The session has heard of it at all.
    spoken: bool,
}

impl Default for ClientState {
    fn default() -> Self {
        Self {
            offered: false,
            active: true,
            told: Some(true),
            spoken: false,
        }
    }
}

impl ClientState {
    /// The application comes to the foreground, or goes.
    pub(crate) fn foreground(&mut self, foreground: bool) {
        self.active = foreground;
    }

    /// A new session, or one that goes on, on a stream whose features do or do not have it.
    pub(crate) fn online(&mut self, offered: bool, resumed: bool) {
        self.offered = offered;
        if !resumed {
            // XEP-0352 §4: a session begins active.
            self.told = Some(true);
            self.spoken = false;
        } else if self.spoken {
            // Servers differ in what they remember, and the last word may have been lost with the link.
            self.told = None;
        }
    }

    /// The server was told with the login (XEP-0386 §3.2).
    pub(crate) fn told_inactive(&mut self) {
        self.told = Some(false);
        self.spoken = true;
    }

    /// Whether nobody looks at the application.
    pub(crate) fn is_inactive(&self) -> bool {
        !self.active
    }

    /// `<active/>` or `<inactive/>`, if the server has to be told. Not a stanza: it does not count (XEP-0198 §4).
    pub(crate) fn due(&mut self) -> Option<&'static str> {
        if !self.offered || self.told == Some(self.active) {
            return None;
        }
        self.told = Some(self.active);
        self.spoken = true;
        Some(if self.active {
            "<active xmlns='urn:xmpp:csi:0'/>"
        } else {
            "<inactive xmlns='urn:xmpp:csi:0'/>"
        })
    }
}
