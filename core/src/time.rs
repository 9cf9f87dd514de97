//! The client's own notion of time: milliseconds on a clock that the host picks, and the table of named timers.

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time, in milliseconds since an origin that the host picks once for each [`Client`](crate::Client).
///
/// The clock must never run backwards and must count the time that a device sleeps (`CLOCK_BOOTTIME` on Linux,
/// `mach_continuous_time` on Apple systems). The wall clock never enters the client.
///
/// ```
/// use core::time::Duration;
/// use epode::Instant;
///
/// let start = Instant::from_millis(1_000);
/// assert_eq!(start + Duration::from_secs(2), Instant::from_millis(3_000));
/// assert_eq!(Instant::from_millis(3_000).since(start), Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Instant(u64);

impl Instant {
    /// The instant that many milliseconds after the origin.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the origin.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time, which no clock reaches.
    fn add(self, duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }
}

/// Who asked to be woken: the name that [`Client::deadline`](crate::Client::deadline) gives with each deadline, for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Timer {
    /// Output is waiting: call [`Client::next`](crate::Client::next).
    Output,
    /// What was asked of the host must be answered by then.
    Discovery,
    /// The next attempt to connect is made then.
    Reconnect,
    /// The link must be up by then.
    Connect,
    /// The present step of negotiation must be over by then.
    Negotiation,
    /// The goodbye must be answered by then.
    Close,
    /// An acknowledgement is asked for then (XEP-0198 §4).
    AcknowledgementRequest,
    /// The server must show that it is there by then.
    Liveness,
    /// The link has been quiet: something is sent then, so that nobody takes it for dead.
    KeepAlive,
    /// A request of ours to an entity must be answered by then.
    IqTimeout,
    /// A request of an entity must be answered by the application by then, or the client refuses it.
    IqReply,
    /// BOSH: an HTTP request must be answered by then.
    BoshResponse,
    /// BOSH: an HTTP request that failed is sent again then.
    BoshResend,
    /// BOSH: the next empty request is due then.
    BoshPoll,
}

impl Timer {
    /// The name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Discovery => "discovery",
            Self::Reconnect => "reconnect",
            Self::Connect => "connect",
            Self::Negotiation => "negotiation",
            Self::Close => "close",
            Self::AcknowledgementRequest => "acknowledgement-request",
            Self::Liveness => "liveness",
            Self::KeepAlive => "keep-alive",
            Self::IqTimeout => "iq-timeout",
            Self::IqReply => "iq-reply",
            Self::BoshResponse => "bosh-response",
            Self::BoshResend => "bosh-resend",
            Self::BoshPoll => "bosh-poll",
        }
    }
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The earliest of some deadlines.
#[derive(Debug, Default)]
pub(crate) struct Earliest(Option<(Instant, Timer)>);

impl Earliest {
    pub(crate) fn offer(&mut self, at: Option<Instant>, timer: Timer) {
        let Some(at) = at else { return };
        if self.0.is_none_or(|(best, _)| at < best) {
            self.0 = Some((at, timer));
        }
    }

    pub(crate) fn get(self) -> Option<(Instant, Timer)> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates() {
        assert_eq!(
            Instant::from_millis(u64::MAX) + Duration::MAX,
            Instant::from_millis(u64::MAX)
        );
    }

    #[test]
    fn the_earliest_wins_and_the_first_of_equals_names_it() {
        let mut earliest = Earliest::default();
        earliest.offer(Some(Instant::from_millis(5)), Timer::Close);
        earliest.offer(None, Timer::Connect);
        earliest.offer(Some(Instant::from_millis(5)), Timer::BoshPoll);
        earliest.offer(Some(Instant::from_millis(9)), Timer::Negotiation);
        assert_eq!(earliest.get(), Some((Instant::from_millis(5), Timer::Close)));
    }
}
