//! The tokio driver of epode: it opens the connections, keeps the clock and carries out what the engine asks for.
//!
//! ```no_run
//! use epode::{Config, Credentials, Event};
//!
//! # async fn run(chain: Vec<rustls::pki_types::CertificateDer<'static>>,
//! #     key: rustls::pki_types::PrivateKeyDer<'static>) -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::builder("user01@example.org".parse()?)
//!     .bosh("https://example.org:7443/http-bind")
//!     .credentials(Credentials::certificate("mine", chain.first().map(|leaf| leaf.to_vec())))
//!     .build()?;
//! let identity = epode_tokio::ClientIdentity::new(chain, key)?;
//! let mut client = epode_tokio::Client::builder(config).identity("mine", identity).connect().await?;
//! while let Some(event) = client.next().await {
//!     match event {
//!         Event::Online { jid, .. } => println!("online as {jid}"),
//!         Event::Offline { reason } => println!("{reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! How the rooms fit: [`Client`] and [`Handle`] are what an application holds (`client`); one task owns the engine and
//! carries out its outputs (`actor`); `bosh` posts its requests over a few HTTP/1.1 connections of its own; `tls` holds
//! the identities, the trust, and how a broken connection is explained.
//!
//! What it does not do, on purpose: follow redirects, take proxies from the environment, decompress, retry, resume TLS.
//! The engine owns resends, and each answer is reported with the facts of the connection that carried it.
//!
//! Limit: the clock is tokio's. On Linux it does not count the time that a device sleeps, so after a suspend the timers
//! are late by the time slept; the server has usually ended the session by then, which the next request finds out.
#![forbid(unsafe_code)]

mod actor;
mod bosh;
mod client;
mod clock;
mod dial;
mod dns;
mod http;
mod link;
#[cfg(test)]
mod link_tests;
mod record;
mod store;
mod tcp;
mod tls;
mod websocket;

pub use client::{Builder, CallError, Client, ConnectError, Handle, RequestError, Trace};
pub use epode;
pub use rustls;
pub use store::{FileStore, Store};
pub use tls::{ClientIdentity, IdentityError};
