//! What is about streams: TCP with STARTTLS, with TLS from the start, and WebSocket. A scripted server says strings; each scenario is
//! run with its words cut after each element and after each byte, and has to come to the same.
//!
//! - `link.rs`: connecting, STARTTLS, being sent elsewhere.
//! - `discovery.rs`: SRV records and host-meta.
//! - `xml.rs`: forbidden XML, bombs, elements in the wrong place.
//! - `management.rs`: XEP-0198.
//! - `life.rs`: silence, goodbyes, networks, retries.
//! - `transcripts.rs`: golden transcripts of streams, and any transcript cut anywhere.
//! - `walk.rs`: random inputs, and what must hold for all of them.
//!
//! The table in `tests/adversary/README.md` names these tests; the harness is that of `adversary_client`.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about, and fails at the rest"
)]

/// What clients are made for where a test does not say.
#[cfg(test)]
const WIRE: (wire::Wire, wire::Cut) = (wire::Wire::StartTls, wire::Cut::Elements);
#[cfg(test)]
mod discovery;
#[cfg(test)]
#[path = "../adversary_client/harness.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod harness;
#[cfg(test)]
mod life;
#[cfg(test)]
mod link;
#[cfg(test)]
mod management;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod transcripts;
#[cfg(test)]
mod walk;
#[cfg(test)]
#[path = "../adversary_client/wire.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod wire;
#[cfg(test)]
mod xml;
