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

/// Milliseconds since 1970 of a date and time (XEP-0082 §3.2); `None` for what is none, or from before 1970.
pub(crate) fn parse_date_time(text: &str) -> Option<u64> {
    fn number(digits: &str, count: usize) -> Option<u64> {
        let plain = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    }
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (
        number(date.next()?, 4)?,
        number(date.next()?, 2)?,
        number(date.next()?, 2)?,
    );
    let (time, offset) = match time.strip_suffix('Z') {
        Some(time) => (time, 0),
        None => {
            let (time, zone) = time.split_at_checked(time.len().checked_sub(6)?)?;
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let minutes = number(hours, 2)? * 60 + number(minutes, 2)?;
            let minutes = i64::try_from(minutes).ok()?;
            match zone.get(..1)? {
                "+" => (time, -minutes),
                "-" => (time, minutes),
                _ => return None,
            }
        }
    };
    let (time, fraction) = time
        .split_once('.')
        .map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let millis = match fraction {
        None => 0,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        Some(digits) => digits
            .bytes()
            .chain(*b"00")
            .take(3)
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    };
    let mut time = time.splitn(3, ':');
    let (hour, minute, second) = (
        number(time.next()?, 2)?,
        number(time.next()?, 2)?,
        number(time.next()?, 2)?,
    );
    let is_leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    let length = *lengths.get(before)?;
    // A leap second is the last of its minute.
    if year < 1970 || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let days = (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + lengths.iter().take(before).sum::<u64>() + day - 1;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second.min(59);
    let seconds = i64::try_from(seconds).ok()? + offset * 60;
    Some(u64::try_from(seconds).ok()? * 1_000 + millis)
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
    fn dates_and_times() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-12-13T01:06:30.675595Z", Some(1_797_123_990_675)),
            ("2026-12-13T02:06:30+01:00", Some(1_797_123_990_000)),
            ("2024-02-29T23:59:60.5-00:30", Some(1_709_252_999_500)),
            ("2000-03-01T00:00:00Z", Some(951_868_800_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-12-13T24:00:00Z", None),
            ("2026-12-13T01:06:30", None),
            ("2026-12-13 01:06:30Z", None),
            ("2026-12-13T01:06:30.Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2026-12-13T01:06:+0Z", None),
            ("2026-12-13T01:06:30é01:00", None),
            ("T", None),
            ("", None),
        ] {
            assert_eq!(parse_date_time(text), expected, "{text}");
        }
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
