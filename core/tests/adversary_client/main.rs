//! Whole logins and sessions over BOSH with a server that does what it must not: what the user notices, and what it gets to see.
//!
//! The table in `tests/adversary/README.md` names these tests; `harness.rs` is the server.

#[cfg(test)]
mod harness;
#[cfg(test)]
mod sasl;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod session;
#[cfg(test)]
mod stream;
