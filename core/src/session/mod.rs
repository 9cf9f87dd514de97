//! Stanzas, once the stream is up: requests and their answers, and what a stanza must look like.
//!
//! - `stanza.rs`: builders, errors, and the checks on what the application sends.
//! - `iq.rs`: the table of pending requests, in both directions, with the rules on who may answer.
//! - `stream_management.rs`: what the server has acknowledged, what we have, and how a session survives its link.
//! - `liveness.rs`: silence, and what is done about it.

pub(crate) mod iq;
pub(crate) mod liveness;
pub mod stanza;
pub(crate) mod stream_management;

/// The namespace of stanzas (RFC 6120 §4.8.2).
pub(crate) const NS_CLIENT: &str = "jabber:client";

/// The namespace of pings (XEP-0199).
pub(crate) const NS_PING: &str = "urn:xmpp:ping";
