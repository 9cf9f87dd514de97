//! The logins and sessions of `adversary_client` again, over TCP with TLS from the start, where every byte comes alone.

/// The transport, and where its data is cut.
#[cfg(test)]
const WIRE: (wire::Wire, wire::Cut) = (wire::Wire::Direct, wire::Cut::Bytes);
#[cfg(test)]
#[path = "../adversary_client/harness.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod harness;
#[cfg(test)]
#[path = "../adversary_client/sasl.rs"]
mod sasl;
#[cfg(test)]
#[path = "../adversary_client/secrets.rs"]
mod secrets;
#[cfg(test)]
#[path = "../adversary_client/session.rs"]
mod session;
#[cfg(test)]
#[path = "../adversary_client/wire.rs"]
#[allow(dead_code, reason = "it is shared, and no crate uses all of it")]
mod wire;
