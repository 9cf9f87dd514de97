//! epode: an XMPP client engine that does no I/O.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod certificate;
pub mod jid;
mod random;
mod sasl;
mod secret;
pub mod xml;

pub use secret::Secret;
