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
//! It speaks every transport of the engine: TCP with STARTTLS and with direct TLS, WebSocket, and BOSH. Where the configuration
//! names none, the way to the server is found by DNS (SRV records) and the server's host-meta. A client that loses its
//! connection connects again by itself: [`Event::Interrupted`](epode::Event::Interrupted), then
//! [`Event::Online`](epode::Event::Online) once more. With a [`Store`] the session survives the process too:
//!
//! ```no_run
//! # async fn run(config: epode::Config) -> Result<(), Box<dyn std::error::Error>> {
//! // `config` says `.persist(Persist::EveryTurn)`.
//! let store = epode_tokio::FileStore::new("sessions/user01@example.org")?;
//! let client = epode_tokio::Client::builder(config).store(store).connect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The same store keeps the login token of a server that has them (XEP-0484), so that the next process needs no password
//! ([`Credentials::KeptToken`](epode::Credentials)). A token that was renewed elsewhere, or a password that was changed, is given with
//! [`Client::provide`]; what the server wants beside the credentials is done with [`Client::answer_task`].
//!
//! Logins are bound to their connection where server and mechanism can: each link offers `tls-exporter` (RFC 9266) with TLS 1.3, and
//! `tls-server-end-point` (RFC 5929 §4); BOSH offers the latter alone, because its requests go over several connections, which
//! all have to show the same certificate. There is no `tls-unique`, because rustls does not show it, and with TLS 1.2 no
//! `tls-exporter`, because rustls does not say whether the extended master secret was negotiated. SCRAM's keys are derived
//! from a password on a thread of their own ([`Builder::key_derivation`]).
//!
//! How the rooms fit:
//!
//! ```text
//! builder    with what to connect; client: what an application holds; error: what goes wrong between the two
//! account    what is asked about the account itself: certificates, the password, its end
//! actor      one task: it owns the engine and carries out its outputs in order; backlog, record, store and clock serve it
//! link       what the actor holds of a connection, and what the connection's own task has on its desk
//! tcp        bytes, and TLS at once or when it is asked for      \
//! websocket  text messages, on an upgraded connection            | dial: addresses, and a race between them (RFC 8305)
//! bosh       requests, over a few HTTP/1.1 connections           | http: URLs, connections, bodies with a limit, documents
//! dns        SRV records                                         / tls: identities, trust, facts, what an error means; binding
//! ```
//!
//! What it does not do, on purpose: follow redirects, take proxies from the environment, decompress, retry, resume TLS.
//! The engine owns resends, and each answer is reported with the facts of the connection that carried it.
//!
//! Limits: on Linux and Android the clock counts the time that a device sleeps, and timers are late by at most a minute after
//! that; elsewhere it is the standard library's clock. Name servers are taken from `/etc/resolv.conf`; a system without that
//! file needs [`Builder::nameserver`] to look up SRV records.
#![forbid(unsafe_code)]

mod account;
mod actor;
mod backlog;
mod binding;
#[cfg(test)]
mod binding_tests;
mod bosh;
mod builder;
mod client;
mod clock;
mod dial;
mod dns;
mod error;
mod http;
mod link;
#[cfg(test)]
mod link_tests;
mod record;
mod store;
mod tcp;
mod tls;
mod websocket;

pub use account::AccountError;
pub use builder::{Builder, Trace};
pub use client::{Client, Handle};
pub use epode;
pub use error::{CallError, ConnectError, RequestError};
pub use rustls;
pub use store::{FileStore, Store};
pub use tls::{ClientIdentity, IdentityError};
