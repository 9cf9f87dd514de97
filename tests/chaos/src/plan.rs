//! Which fault is due when: drawn from the seed, before anything is seen of the traffic.

use std::fmt;
use std::ops::RangeInclusive;

use fastrand::Rng;
use serde::Serialize;

use crate::profile::{Faults, HttpProfile, Profile};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToServer => "to server",
            Self::ToClient => "to client",
        })
    }
}

/// What the proxy does to a connection or a request. [`Faults`] and [`HttpProfile`] say more about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// One direction waits.
    Delay,
    /// Bytes are written one by one.
    Split,
    /// Bytes are held and go on together.
    Coalesce,
    /// Both directions wait.
    Stall,
    /// One side sees the end of the stream, the other nothing.
    HalfClose,
    /// Both sides see a reset.
    Reset,
    /// Closed after a part of what had arrived.
    CutMiddle,
    /// Closed after a number of bytes.
    CutAfter,
    /// [`Proxy::cut_all`](crate::Proxy::cut_all) was called.
    CutAll,
    /// HTTP: 502, 503 or 504 in place of the server.
    Refuse,
    /// HTTP: reset before the server saw the request.
    ResetRequest,
    /// HTTP: closed after the server answered.
    LoseAnswer,
    /// HTTP: 502 after the server answered.
    SpoilAnswer,
    /// HTTP: the same request again, after the answer.
    Repeat,
    /// HTTP: the same request again, perhaps before the answer.
    Overlap,
    /// HTTP: the answer is held.
    LateAnswer,
    /// HTTP: the request's body in single bytes.
    SplitRequest,
    /// HTTP: the answer's body in single bytes.
    SplitAnswer,
}

impl Fault {
    /// Whether it costs the client its connection.
    pub fn is_cut(self) -> bool {
        match self {
            Self::HalfClose
            | Self::Reset
            | Self::CutMiddle
            | Self::CutAfter
            | Self::CutAll
            | Self::ResetRequest
            | Self::LoseAnswer => true,
            Self::Delay
            | Self::Split
            | Self::Coalesce
            | Self::Stall
            | Self::Refuse
            | Self::SpoilAnswer
            | Self::Repeat
            | Self::Overlap
            | Self::LateAnswer
            | Self::SplitRequest
            | Self::SplitAnswer => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delay => "delay",
            Self::Split => "split",
            Self::Coalesce => "coalesce",
            Self::Stall => "stall",
            Self::HalfClose => "half-close",
            Self::Reset => "reset",
            Self::CutMiddle => "cut-middle",
            Self::CutAfter => "cut-after",
            Self::CutAll => "cut-all",
            Self::Refuse => "refuse",
            Self::ResetRequest => "reset-request",
            Self::LoseAnswer => "lose-answer",
            Self::SpoilAnswer => "spoil-answer",
            Self::Repeat => "repeat",
            Self::Overlap => "overlap",
            Self::LateAnswer => "late-answer",
            Self::SplitRequest => "split-request",
            Self::SplitAnswer => "split-answer",
        })
    }
}

/// One decision. What the fault does not need is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// TCP: how many bytes of this direction have passed. HTTP: the number of the request, from 0.
    pub at: u64,
    /// What is due; nothing, if the dice said so.
    pub fault: Option<Fault>,
    /// How long it lasts.
    pub millis: u64,
    /// How many bytes it concerns. [`Fault::CutMiddle`]: reduced to less than what has arrived. [`Fault::Refuse`]: the HTTP status.
    pub bytes: u64,
}

/// The decisions for one direction of one connection, without end.
#[derive(Debug, Clone)]
pub struct Plan {
    rng: Rng,
    faults: Faults,
    at: u64,
    begun: bool,
    cut_after: Option<u64>,
}

impl Plan {
    /// `connection` counts from 0 in the order of arrival. The same arguments give the same decisions.
    pub fn new(seed: u64, connection: u64, direction: Direction, profile: &Profile) -> Self {
        let (stream, faults) = match direction {
            Direction::ToServer => (TO_SERVER, profile.to_server.clone()),
            Direction::ToClient => (TO_CLIENT, profile.to_client.clone()),
        };
        let mut rng = derive(seed, stream, connection);
        let cut_after = (rng.f64() < faults.cut_after).then(|| draw(&mut rng, &faults.cut_after_bytes));
        Self {
            rng,
            faults,
            at: 0,
            begun: false,
            cut_after,
        }
    }

    /// After how many bytes the connection is closed, whatever else happens.
    pub fn cut_after(&self) -> Option<u64> {
        self.cut_after
    }

    pub(crate) fn draw(&mut self) -> Decision {
        let Self { rng, faults, .. } = self;
        self.at = if self.begun {
            self.at.saturating_add(draw(rng, &faults.gap))
        } else {
            draw(rng, &faults.first)
        };
        self.begun = true;
        let fault = pick(rng, &faults.table());
        let (millis, bytes) = match fault {
            Some(Fault::Delay) => (draw(rng, &faults.delay_millis), 0),
            Some(Fault::Split) => (0, draw(rng, &faults.split_bytes)),
            Some(Fault::Coalesce) => (draw(rng, &faults.coalesce_millis), draw(rng, &faults.coalesce_bytes)),
            Some(Fault::Stall) => (draw(rng, &faults.stall_millis), 0),
            Some(Fault::HalfClose) => (draw(rng, &faults.half_close_millis), 0),
            Some(Fault::CutMiddle) => (0, rng.u64(..)),
            Some(
                Fault::Reset
                | Fault::CutAfter
                | Fault::CutAll
                | Fault::Refuse
                | Fault::ResetRequest
                | Fault::LoseAnswer
                | Fault::SpoilAnswer
                | Fault::Repeat
                | Fault::Overlap
                | Fault::LateAnswer
                | Fault::SplitRequest
                | Fault::SplitAnswer,
            )
            | None => (0, 0),
        };
        Decision {
            at: self.at,
            fault,
            millis,
            bytes,
        }
    }
}

impl Iterator for Plan {
    type Item = Decision;

    fn next(&mut self) -> Option<Decision> {
        Some(self.draw())
    }
}

impl HttpProfile {
    /// What happens to a request. `request` counts from 0 in the order of arrival, over all connections.
    pub fn decide(&self, seed: u64, request: u64) -> Decision {
        let mut rng = derive(seed, REQUESTS, request);
        let fault = if request < self.first {
            None
        } else {
            pick(&mut rng, &self.table())
        };
        let (millis, bytes) = match fault {
            Some(Fault::Refuse) => (0, rng.u64(502..=504)),
            Some(Fault::Repeat | Fault::Overlap) => (draw(&mut rng, &self.copy_millis), 0),
            Some(Fault::LateAnswer) => (draw(&mut rng, &self.late_millis), 0),
            Some(Fault::SplitRequest | Fault::SplitAnswer) => (0, draw(&mut rng, &self.split_bytes)),
            Some(
                Fault::Delay
                | Fault::Split
                | Fault::Coalesce
                | Fault::Stall
                | Fault::HalfClose
                | Fault::Reset
                | Fault::CutMiddle
                | Fault::CutAfter
                | Fault::CutAll
                | Fault::ResetRequest
                | Fault::LoseAnswer
                | Fault::SpoilAnswer,
            )
            | None => (0, 0),
        };
        Decision {
            at: request,
            fault,
            millis,
            bytes,
        }
    }
}

const TO_SERVER: u64 = 1;
const TO_CLIENT: u64 = 2;
const REQUESTS: u64 = 3;

/// A generator of its own for each connection, direction and request: what one of them draws does not shift the others.
fn derive(seed: u64, stream: u64, index: u64) -> Rng {
    let mut mixed = 0;
    for part in [seed, stream, index] {
        mixed = Rng::with_seed(mixed ^ part).u64(..);
    }
    Rng::with_seed(mixed)
}

/// An empty range gives its start; profiles with one are refused before.
fn draw(rng: &mut Rng, range: &RangeInclusive<u64>) -> u64 {
    if range.is_empty() {
        *range.start()
    } else {
        rng.u64(range.clone())
    }
}

fn pick(rng: &mut Rng, table: &[(Fault, f64)]) -> Option<Fault> {
    let mut roll = rng.f64();
    for (fault, probability) in table {
        if roll < *probability {
            return Some(*fault);
        }
        roll -= probability;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decisions(seed: u64, connection: u64, direction: Direction) -> Vec<Decision> {
        Plan::new(seed, connection, direction, &Profile::rough())
            .take(200)
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_plan() {
        for connection in 0..20 {
            for direction in [Direction::ToServer, Direction::ToClient] {
                assert_eq!(decisions(7, connection, direction), decisions(7, connection, direction));
            }
        }
        let http = HttpProfile::rough();
        for request in 0..200 {
            assert_eq!(http.decide(7, request), http.decide(7, request));
        }
    }

    #[test]
    fn another_seed_connection_or_direction_gives_another_plan() {
        let one = decisions(7, 3, Direction::ToServer);
        assert_ne!(one, decisions(8, 3, Direction::ToServer));
        assert_ne!(one, decisions(7, 4, Direction::ToServer));
        assert_ne!(one, decisions(7, 3, Direction::ToClient));
    }

    /// A seed in a report must mean the same next year. If this fails, the generator or the order of the draws has changed.
    #[test]
    fn a_seed_keeps_its_meaning() {
        let profile = Profile::both(Faults {
            first: 0..=100,
            gap: 1..=1_000,
            delay: 0.3,
            reset: 0.3,
            delay_millis: 0..=99,
            ..Faults::none()
        });
        let plan = Plan::new(1, 0, Direction::ToServer, &profile).take(4);
        let shown: Vec<_> = plan.map(|d| (d.at, d.fault, d.millis)).collect();
        let expected = [
            (0, Some(Fault::Delay), 85),
            (899, Some(Fault::Delay), 86),
            (1_217, Some(Fault::Reset), 0),
            (1_328, None, 0),
        ];
        assert_eq!(shown, expected);
        let http = HttpProfile {
            refuse: 0.3,
            lose_answer: 0.3,
            ..HttpProfile::calm()
        };
        let shown: Vec<_> = (0..5)
            .map(|request| http.decide(1, request))
            .map(|d| (d.fault, d.bytes))
            .collect();
        let expected = [
            (None, 0),
            (Some(Fault::Refuse), 502),
            (Some(Fault::LoseAnswer), 0),
            (None, 0),
            (None, 0),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn probabilities_are_kept() {
        let faults = Faults {
            delay: 0.25,
            reset: 0.25,
            ..Faults::none()
        };
        let plan = Plan::new(3, 0, Direction::ToClient, &Profile::both(faults));
        let drawn: Vec<_> = plan.take(4_000).map(|decision| decision.fault).collect();
        for fault in [Fault::Delay, Fault::Reset] {
            let count = drawn.iter().filter(|&&drawn| drawn == Some(fault)).count();
            assert!((900..1_100).contains(&count), "{fault}: {count} of 4000");
        }
        assert!(
            drawn
                .iter()
                .all(|fault| matches!(fault, None | Some(Fault::Delay | Fault::Reset)))
        );
    }

    #[test]
    fn the_first_requests_are_spared() {
        let profile = HttpProfile {
            first: 5,
            refuse: 1.0,
            ..HttpProfile::calm()
        };
        assert!((0..5).all(|request| profile.decide(1, request).fault.is_none()));
        assert!((5..50).all(|request| (502..=504).contains(&profile.decide(1, request).bytes)));
    }
}
