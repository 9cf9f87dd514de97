//! Golden transcripts that every binding replays: the vectors of tests/vectors as logins, SCRAM by every hash, and every input,
//! output and event there is. Unlike the logs of `record`, these hide nothing: what is secret in them is a test's.
//!
//! `EPODE_BLESS=1 cargo test -p epode --test golden_vectors` writes them anew; read the difference before it is committed.
//!
//! - `life.rs`: a client and its log with everything in it, and how such a log is read back.
//! - `login.rs`: the server's words.
//! - `vectors.rs`: the mechanisms whose messages are the vectors' own.
//! - `scram.rs`: SCRAM, DIGEST-MD5 and tokens; the client's nonces are its own, so the server computes.
//! - `contract.rs`: what no login shows, and that nothing of the contract is missing.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about, and fails at the rest"
)]

#[cfg(test)]
mod contract;
#[cfg(test)]
mod life;
#[cfg(test)]
mod login;
#[cfg(test)]
mod scram;
#[cfg(test)]
mod vectors;
