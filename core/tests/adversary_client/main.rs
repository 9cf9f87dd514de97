//! Whole logins and sessions over BOSH with a server that does what it must not: what the user notices, and what it gets to see.
//!
//! The table in `tests/adversary/README.md` names these tests; `harness.rs` is the server, and `wire.rs` its transport. The
//! crates `adversary_tcp`, `adversary_bytes` and `adversary_websocket` run `sasl.rs`, `secrets.rs` and `session.rs` again.

/// The transport, and where its data is cut.
#[cfg(test)]
const WIRE: (wire::Wire, wire::Cut) = (wire::Wire::Bosh, wire::Cut::Together);

#[cfg(test)]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod harness;
#[cfg(test)]
mod sasl;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod session;
#[cfg(test)]
mod stream;
#[cfg(test)]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod wire;
