//! epode: an XMPP client engine that does no I/O.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod certificate;
mod client;
pub mod config;
pub mod error;
mod input;
pub mod jid;
mod link;
mod negotiation;
mod output;
mod random;
#[cfg(feature = "record")]
pub mod record;
mod sasl;
mod secret;
mod session;
mod time;
pub mod xml;

pub use certificate::Authzid;
pub use client::Client;
pub use config::{Config, ConfigBuilder, ConfigError, Credentials, TlsPolicy};
pub use error::{IqError, Offline, Refused, Warning};
pub use input::{Failure, Input, LinkId, LinkInfo, RequestId, StanzaError, StanzaErrorType, TlsFacts, Token, Verified};
pub use jid::{BareJid, Jid};
pub use output::{Endpoint, Event, Output, ServerProof, Stage};
pub use secret::Secret;
pub use session::stanza;
pub use time::{Instant, Timer};
pub use xml::{Element, ElementBuilder, ElementRef};
