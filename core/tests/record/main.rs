//! Logs of logins by every kind of credential: no secret is in them, and they replay to the same bytes, with the password given back
//! and without.
//!
//! The host and the server are those of the adversary tests, which are honest here.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about, and fails at the rest"
)]

/// What clients are made for where a test does not say.
#[cfg(test)]
const WIRE: (wire::Wire, wire::Cut) = (wire::Wire::Direct, wire::Cut::Together);
#[cfg(test)]
mod golden;
#[cfg(test)]
#[path = "../adversary_client/harness.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod harness;
#[cfg(test)]
mod lives;
#[cfg(test)]
#[path = "../adversary_sasl/proofs.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod proofs;
#[cfg(test)]
#[path = "../adversary_sasl/server.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod server;
#[cfg(test)]
#[path = "../adversary_client/wire.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod wire;
