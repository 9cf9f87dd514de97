//! Logins with a server that lies, strips, loops, harvests or breaks off, by SASL1 (RFC 6120 §6) and by SASL2 (XEP-0388): each
//! behaviour is written once and run on both, a few on every transport too.
//!
//! - `server.rs`: the server: it speaks either profile, and knows SCRAM and HT well enough to be honest or nearly so.
//! - `proofs.rs`: its cryptography.
//! - `offers.rs`: what is offered and what is taken of it: lists that were cut down, pins, profiles.
//! - `binding.rs`: channel binding, and what a server says that it offered.
//! - `scram.rs`: SCRAM.
//! - `mechanisms.rs`: EXTERNAL, PLAIN, ANONYMOUS, OAUTHBEARER, X-OAUTH2, DIGEST-MD5.
//! - `tokens.rs`: login tokens (XEP-0484).
//! - `success.rs`: what a success of SASL2 says, and what it must not.
//! - `tasks.rs`: what SASL2 may ask for after the credentials, and XEP-0480.
//! - `refusals.rs`: refusals, and what they lead to.
//! - `registration.rs`: accounts that do not exist yet (XEP-0077).
//! - `secrets.rs`: what never shows.
//!
//! The table in `tests/adversary/README.md` names these tests; the client's half of the harness is that of `adversary_client`.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about, and fails at the rest"
)]

/// What clients are made for where a test does not say.
#[cfg(test)]
const WIRE: (wire::Wire, wire::Cut) = (wire::Wire::Direct, wire::Cut::Together);
#[cfg(test)]
mod binding;
#[cfg(test)]
#[path = "../adversary_client/harness.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod harness;
#[cfg(test)]
mod mechanisms;
#[cfg(test)]
mod offers;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod scram;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;
#[cfg(test)]
mod success;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tokens;
#[cfg(test)]
#[path = "../adversary_client/wire.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod wire;
