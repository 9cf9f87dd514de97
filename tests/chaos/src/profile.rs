//! How likely each fault is, and how far it may go.

use std::io;
use std::ops::RangeInclusive;

use crate::plan::Fault;

/// No fault may last longer than this many milliseconds: a run must come to an end.
const MAX_MILLIS: u64 = 60_000;
/// Held bytes are memory.
const MAX_HELD: u64 = 1 << 20;

/// What happens to a connection, in each direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// From the client to the server.
    pub to_server: Faults,
    /// From the server to the client.
    pub to_client: Faults,
}

impl Profile {
    /// No fault at all.
    pub fn calm() -> Self {
        Self::both(Faults::none())
    }

    /// No fault and no decisions: bytes go on as they were read, in as many writes, as fast as the machine allows.
    pub fn plain() -> Self {
        Self::both(Faults {
            first: u64::MAX..=u64::MAX,
            gap: u64::MAX..=u64::MAX,
            ..Faults::none()
        })
    }

    /// The same in both directions, each with a plan of its own.
    pub fn both(faults: Faults) -> Self {
        Self {
            to_server: faults.clone(),
            to_client: faults,
        }
    }

    /// Every fault now and then. Before it is cut, a connection carries 14 kB each way on average, if both ways are equally busy: most
    /// logins succeed, and about one in seven does not.
    pub fn rough() -> Self {
        let faults = Faults {
            first: 500..=10_000,
            gap: 500..=6_000,
            delay: 0.15,
            split: 0.15,
            coalesce: 0.1,
            stall: 0.05,
            half_close: 0.02,
            reset: 0.04,
            cut_middle: 0.06,
            cut_after: 0.2,
            cut_after_bytes: 500..=40_000,
            ..Faults::none()
        };
        Self::both(faults)
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        self.to_server.check()?;
        self.to_client.check()
    }
}

/// The faults of one direction. At bytes that the plan draws, at most one of them is applied: their probabilities add up to 1 or less.
///
/// Bytes are those on the wire, with TLS. Ranges are inclusive; times are milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// How many bytes pass before the first decision.
    pub first: RangeInclusive<u64>,
    /// How many bytes pass from one decision to the next. At least 1.
    pub gap: RangeInclusive<u64>,

    /// Nothing moves in this direction for `delay_millis`.
    pub delay: f64,
    /// The next `split_bytes` bytes are written one by one.
    pub split: f64,
    /// Bytes are held until there are `coalesce_bytes`, but no longer than `coalesce_millis`, and go on together.
    pub coalesce: f64,
    /// Nothing moves in either direction for `stall_millis`.
    pub stall: f64,
    /// The receiver sees the end of the stream, the sender notices nothing: what it sends is thrown away. If neither has
    /// closed after `half_close_millis`, the connection is closed.
    pub half_close: f64,
    /// Both sides see a reset.
    pub reset: f64,
    /// A part of what has just arrived goes on, then both sides are closed.
    pub cut_middle: f64,

    /// Drawn once for each connection, apart from the others: it is closed after `cut_after_bytes` in this direction.
    pub cut_after: f64,
    /// For `cut_after`. At least 1.
    pub cut_after_bytes: RangeInclusive<u64>,

    /// For `delay`.
    pub delay_millis: RangeInclusive<u64>,
    /// For `split`.
    pub split_bytes: RangeInclusive<u64>,
    /// For `coalesce`; at most 1 MiB.
    pub coalesce_bytes: RangeInclusive<u64>,
    /// For `coalesce`.
    pub coalesce_millis: RangeInclusive<u64>,
    /// For `stall`.
    pub stall_millis: RangeInclusive<u64>,
    /// For `half_close`.
    pub half_close_millis: RangeInclusive<u64>,
}

impl Faults {
    /// All probabilities 0, with bounds that let many cuts pass in seconds.
    pub fn none() -> Self {
        Self {
            first: 0..=2_000,
            gap: 200..=2_000,
            delay: 0.0,
            split: 0.0,
            coalesce: 0.0,
            stall: 0.0,
            half_close: 0.0,
            reset: 0.0,
            cut_middle: 0.0,
            cut_after: 0.0,
            cut_after_bytes: 1..=20_000,
            delay_millis: 1..=15,
            split_bytes: 1..=200,
            coalesce_bytes: 100..=8_000,
            coalesce_millis: 1..=30,
            stall_millis: 20..=150,
            half_close_millis: 50..=500,
        }
    }

    /// In the order in which one number is compared with them: part of what a seed means.
    pub(crate) fn table(&self) -> [(Fault, f64); 7] {
        [
            (Fault::Delay, self.delay),
            (Fault::Split, self.split),
            (Fault::Coalesce, self.coalesce),
            (Fault::Stall, self.stall),
            (Fault::HalfClose, self.half_close),
            (Fault::Reset, self.reset),
            (Fault::CutMiddle, self.cut_middle),
        ]
    }

    fn check(&self) -> io::Result<()> {
        probabilities(&self.table())?;
        probabilities(&[(Fault::CutAfter, self.cut_after)])?;
        range("first", &self.first, 0, u64::MAX)?;
        range("gap", &self.gap, 1, u64::MAX)?;
        range("cut_after_bytes", &self.cut_after_bytes, 1, u64::MAX)?;
        range("split_bytes", &self.split_bytes, 0, u64::MAX)?;
        range("coalesce_bytes", &self.coalesce_bytes, 0, MAX_HELD)?;
        range("delay_millis", &self.delay_millis, 0, MAX_MILLIS)?;
        range("coalesce_millis", &self.coalesce_millis, 0, MAX_MILLIS)?;
        range("stall_millis", &self.stall_millis, 0, MAX_MILLIS)?;
        range("half_close_millis", &self.half_close_millis, 0, MAX_MILLIS)
    }
}

/// What happens to a request. At most one fault is applied to each: their probabilities add up to 1 or less.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpProfile {
    /// So many requests pass before the first fault.
    pub first: u64,

    /// Answered with 502, 503 or 504; the server never sees it.
    pub refuse: f64,
    /// The client sees a reset; the server never sees the request.
    pub reset: f64,
    /// The server answers; the client's connection is closed instead.
    pub lose_answer: f64,
    /// The server answers; the client gets a 502 instead.
    pub spoil_answer: f64,
    /// The client gets its answer; `copy_millis` later the server gets the same bytes again, and that answer is thrown away.
    pub repeat: f64,
    /// The server gets the same bytes again after `copy_millis`, on another connection, whether or not it has answered the first. The
    /// client gets the answer to the second; the first is thrown away. (The other way round would lose what the server sent: XEP-0124
    /// §14.3 lets it answer the older copy with nothing.)
    pub overlap: f64,
    /// The answer is held for `late_millis`.
    pub late_answer: f64,
    /// The first `split_bytes` of the request's body are written one by one.
    pub split_request: f64,
    /// The first `split_bytes` of the answer's body are written one by one.
    pub split_answer: f64,

    /// For `repeat` and `overlap`.
    pub copy_millis: RangeInclusive<u64>,
    /// For `late_answer`.
    pub late_millis: RangeInclusive<u64>,
    /// For `split_request` and `split_answer`.
    pub split_bytes: RangeInclusive<u64>,
}

impl HttpProfile {
    /// No fault at all; bounds that let many faults pass in seconds.
    pub fn calm() -> Self {
        Self {
            first: 0,
            refuse: 0.0,
            reset: 0.0,
            lose_answer: 0.0,
            spoil_answer: 0.0,
            repeat: 0.0,
            overlap: 0.0,
            late_answer: 0.0,
            split_request: 0.0,
            split_answer: 0.0,
            copy_millis: 0..=50,
            late_millis: 5..=100,
            split_bytes: 1..=500,
        }
    }

    /// Every fault now and then: about one request in three has one, one in ten loses its connection.
    pub fn rough() -> Self {
        Self {
            refuse: 0.04,
            reset: 0.05,
            lose_answer: 0.05,
            spoil_answer: 0.03,
            repeat: 0.03,
            overlap: 0.03,
            late_answer: 0.05,
            split_request: 0.03,
            split_answer: 0.03,
            ..Self::calm()
        }
    }

    /// In the order in which one number is compared with them: part of what a seed means.
    pub(crate) fn table(&self) -> [(Fault, f64); 9] {
        [
            (Fault::Refuse, self.refuse),
            (Fault::ResetRequest, self.reset),
            (Fault::LoseAnswer, self.lose_answer),
            (Fault::SpoilAnswer, self.spoil_answer),
            (Fault::Repeat, self.repeat),
            (Fault::Overlap, self.overlap),
            (Fault::LateAnswer, self.late_answer),
            (Fault::SplitRequest, self.split_request),
            (Fault::SplitAnswer, self.split_answer),
        ]
    }

    pub(crate) fn check(&self) -> io::Result<()> {
        probabilities(&self.table())?;
        range("copy_millis", &self.copy_millis, 0, MAX_MILLIS)?;
        range("late_millis", &self.late_millis, 0, MAX_MILLIS)?;
        range("split_bytes", &self.split_bytes, 0, u64::MAX)
    }
}

fn probabilities(table: &[(Fault, f64)]) -> io::Result<()> {
    let mut sum = 0.0;
    for (fault, probability) in table {
        // Not a number is in no range.
        if !(0.0..=1.0).contains(probability) {
            return wrong(format!(
                "the probability of {fault} is {probability}; take one from 0 to 1"
            ));
        }
        sum += probability;
    }
    // Tenths do not add up exactly.
    if sum > 1.000_001 {
        return wrong(format!(
            "the probabilities add up to {sum}; lower some until it is 1 or less"
        ));
    }
    Ok(())
}

fn range(name: &str, range: &RangeInclusive<u64>, least: u64, most: u64) -> io::Result<()> {
    if range.is_empty() || *range.start() < least || *range.end() > most {
        return wrong(format!(
            "{name} is {range:?}; take a range from {least} to {most} that is not empty"
        ));
    }
    Ok(())
}

fn wrong(message: String) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_that_make_no_sense_are_refused_by_name() {
        let cases = [
            (
                Faults {
                    reset: 1.5,
                    ..Faults::none()
                },
                "reset",
            ),
            (
                Faults {
                    stall: f64::NAN,
                    ..Faults::none()
                },
                "stall",
            ),
            (
                Faults {
                    delay: 0.6,
                    split: 0.6,
                    ..Faults::none()
                },
                "add up",
            ),
            (
                Faults {
                    gap: 0..=5,
                    ..Faults::none()
                },
                "gap",
            ),
            (
                Faults {
                    delay_millis: 0..=3_600_000,
                    ..Faults::none()
                },
                "delay_millis",
            ),
            (
                Faults {
                    coalesce_bytes: 0..=u64::MAX,
                    ..Faults::none()
                },
                "coalesce_bytes",
            ),
            #[expect(clippy::reversed_empty_ranges, reason = "that is the mistake")]
            (
                Faults {
                    split_bytes: 9..=3,
                    ..Faults::none()
                },
                "split_bytes",
            ),
        ];
        for (faults, named) in cases {
            let error = Profile {
                to_server: Faults::none(),
                to_client: faults,
            }
            .check()
            .unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
        assert!(
            HttpProfile {
                refuse: -0.1,
                ..HttpProfile::calm()
            }
            .check()
            .is_err()
        );
    }

    #[test]
    fn our_own_profiles_make_sense() {
        Profile::calm().check().unwrap();
        Profile::rough().check().unwrap();
        HttpProfile::calm().check().unwrap();
        HttpProfile::rough().check().unwrap();
    }
}
