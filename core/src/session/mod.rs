//! Stanzas, once the stream is up: requests and their answers, and what a stanza must look like.
//!
//! - `stanza.rs`: builders, errors, and the checks on what the application sends.
//! - `iq.rs`: the table of pending requests, in both directions, with the rules on who may answer.

pub(crate) mod iq;
pub mod stanza;

/// The namespace of stanzas (RFC 6120 §4.8.2).
pub(crate) const NS_CLIENT: &str = "jabber:client";
