//! A seeded proxy between an XMPP client and a server, which treats the connection as a bad network does.
//!
//! [`Proxy::tcp`] carries any byte stream: STARTTLS, direct TLS, WebSocket over TLS. TLS passes untouched, so that a cut lands in the
//! middle of a record, and so of a stanza. [`Proxy::http`] ends TLS and works on whole requests, for BOSH.
//!
//! What it does is drawn from the seed, and from nothing else: for each connection and direction a [`Plan`] says at which byte which
//! fault is due, and [`HttpProfile::decide`] says it for each request. The same seed and profile give the same plans; how
//! far a connection gets in its plan is up to the peers.
//!
//! ```no_run
//! # async fn run(server: std::net::SocketAddr) -> std::io::Result<()> {
//! use epode_chaos::{Profile, Proxy};
//!
//! let proxy = Proxy::tcp(42, Profile::rough(), server).await?;
//! println!("connect to {}", proxy.address());
//! proxy.cuts(200).await; // until 200 connections have been cut
//! proxy.pause_faults(); // now the client may finish in peace
//! println!("{}", proxy.close().await);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod http;
mod plan;
mod profile;
mod proxy;
mod record;
mod tcp;
mod tls;

pub use http::HttpTarget;
pub use plan::{Decision, Direction, Fault, Plan};
pub use profile::{Faults, HttpProfile, Profile};
pub use proxy::Proxy;
pub use record::{Event, MAX_EVENTS, Statistics, What};
pub use tls::{client_tls, client_tls_from_pem, server_tls, server_tls_from_pem};
