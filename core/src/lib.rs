//! epode: an XMPP client engine that does no I/O.
//!
//! A host (an application, or a driver for its language) owns the sockets, TLS, the HTTP library, DNS, the clock and the
//! randomness. A [`Client`] does everything between them: XML, framing over TCP, WebSocket and BOSH, stream negotiation,
//! SASL, resource binding, acknowledgements and resumption (XEP-0198), reconnection, and the bookkeeping of stanzas. Its
//! first use is a login without a password, by TLS client certificate (SASL EXTERNAL).
//!
//! # The host's loop
//!
//! Something happened, one call, a list of things to do, and one deadline:
//!
//! ```
//! use std::time::Duration;
//! use epode::{Client, Config, Credentials, Event, Input, Instant, LinkInfo, Output};
//! # struct Http; // Stands for an HTTPS client that presents the certificate and checks the server's.
//! # impl Http {
//! #     fn post(&mut self, _: epode::RequestId, _: &[u8]) {}
//! #     fn cancel(&mut self, _: epode::RequestId) {}
//! #     fn wait(&mut self, _: Option<Duration>) -> Option<(epode::RequestId, u16, Vec<u8>)> { None }
//! # }
//! # fn http(_url: &str, _identity: Option<&str>) -> Http { Http }
//! # fn random_seed() -> [u8; 32] { [7; 32] }
//! # fn clock() -> Instant { Instant::from_millis(120_000) }
//! let config = Config::builder("user01@example.org".parse()?)
//!     .bosh("https://example.org:7443/http-bind")
//!     .credentials(Credentials::certificate("my certificate", None))
//!     .build()?;
//! let mut client = Client::new(config, random_seed());
//! let mut connection = None;
//!
//! client.handle(clock(), Input::Start)?;
//! 'online: loop {
//!     // 1. Carry out what the client asks for, in order.
//!     while let Some(output) = client.next() {
//!         match output {
//!             Output::Connect { link, endpoint, server_name, identity, .. } => {
//!                 let epode::Endpoint::Bosh { url } = endpoint else { continue };
//!                 connection = Some((link, http(&url, identity.as_deref())));
//!                 // Say what holds for every request of this HTTP client: the server is verified, for that name.
//!                 client.handle(clock(), Input::Connected { link, info: LinkInfo::verified(server_name) })?;
//!             }
//!             Output::Post { request, body, .. } => {
//!                 if let Some((_, http)) = &mut connection { http.post(request, &body) }
//!             }
//!             Output::Abandon { request, .. } => {
//!                 if let Some((_, http)) = &mut connection { http.cancel(request) }
//!             }
//!             Output::Close { .. } => connection = None,
//!             Output::Event(Event::Online { jid, .. }) => println!("online as {jid}"),
//!             Output::Event(Event::Stanza { stanza, .. }) => println!("{}", stanza.to_xml()),
//!             Output::Event(Event::Offline { reason }) => {
//!                 println!("{reason}");
//!                 break 'online;
//!             }
//!             _ => {}
//!         }
//!     }
//!     // 2. Sleep until something happens, or the deadline comes.
//!     let timeout = client.deadline().map(|(at, _)| at.since(clock()));
//!     let Some((link, http)) = &mut connection else { continue };
//!     let link = *link;
//!     // 3. Say what it was.
//!     let input = match http.wait(timeout) {
//!         Some((request, status, body)) => {
//!             Input::Responded { link, request, status, body: body.into(), tls: None }
//!         }
//!         None => Input::Tick,
//!     };
//!     client.handle(clock(), input)?;
//! #   client.handle(clock(), Input::Stop)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A driver that does all of this for tokio is the crate `epode-tokio`.
//!
//! # The transports
//!
//! [`Output::Connect`] names the [`Endpoint`]: a host carries those that it knows. TCP has [`Output::Write`],
//! [`Input::Received`] and [`Input::Written`], and [`Output::StartTls`] where TLS begins in the middle; a WebSocket has
//! [`Output::Frame`] and the same inputs; BOSH has [`Output::Post`] and [`Input::Responded`]. With no transport in the
//! configuration the way to the server is found by DNS and host-meta ([`Output::Resolve`]).
//!
//! A link that breaks after a login is made again: [`Event::Interrupted`] says when. Where the server has XEP-0198 the
//! session goes on as if nothing had happened, and what was on its way arrives once. With [`config::Persist`] that holds
//! across processes ([`Output::Store`], [`Input::Restore`]).
//!
//! # The layers
//!
//! ```text
//!  application   send, request, close                     Event
//!                      |                                    ^
//!  client        ------+------------------------------------+------  one queue, one deadline
//!  supervisor    where and when to connect; what survives a link, and a process
//!  session       stanzas: pending requests, acknowledgements, signs of life
//!  negotiation   from `the link is open` to `online`: one table, which does not know the transport
//!  link          elements <-> what the host carries: TCP bytes, WebSocket messages, BOSH requests
//!  xml           bytes <-> Element; the limits live here
//!                      |                                    ^
//!  host          Connect, Write, Frame, Post, StartTls    Connected, Received, Responded, Failed, Tick
//! ```
//!
//! # The negotiation
//!
//! What leads from one phase to the next; everything else is a named error. (`Features(plain)`: before TLS on TCP; `early`: the
//! login did not wait for the features; `Sasl2`: XEP-0388, where `key` waits for the host, `asked` for the application and `task`
//! for the server; `LoggedIn(past)`: with an earlier session to resume.)
//!
#![doc = include_str!("negotiation/diagram.md")]
//!
//! # Round trips
//!
//! How often a login waits for the server, from [`Input::Connected`] to [`Event::Online`], which says it. TCP takes one more before
//! that, and TLS 1.3 another; discovery is not in it.
//!
//! | login | STARTTLS | direct TLS, WebSocket |
//! |---|---|---|
//! | SASL2 and Bind 2, by token or certificate, the second time | 3 | 1 |
//! | SASL2 and Bind 2, by certificate, PLAIN or an access token | 4 | 2 |
//! | SASL2 and Bind 2, by SCRAM | 5 | 3 |
//! | SASL, by certificate, PLAIN or an access token | 6 | 4 |
//! | SASL, by SCRAM | 7 | 5 |
//!
//! BOSH takes what direct TLS takes, but never less than two: nothing can leave before there is a session. Where the server
//! answers another request first, it takes one more.
//! A resource of one's own choice costs one more with SASL2: it has to be asked for by itself (RFC 6120 §7). A refused token
//! costs one more too.
//!
//! # Promises
//!
//! - The crate does no I/O, has no clock and draws no randomness: it is `no_std`, and forbids unsafe code.
//! - The contract is data. [`Input`] and [`Output`] are plain enums; with the feature `record` (on by default) a client's
//!   life is a log of JSON lines that replays to the same bytes ([`record`]).
//! - The same configuration, seed and inputs give the same outputs, to the byte.
//! - What a peer sends never panics, is bounded by [`config::Limits`], and is never an `Err` of
//!   [`Client::handle`]: it becomes an event.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;
// What tests of the crate and tests of its links share says `epode`.
#[cfg(test)]
extern crate self as epode;

pub mod certificate;
mod client;
pub mod config;
pub mod error;
mod extension;
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
mod supervisor;
mod time;
pub mod xml;

pub use certificate::Authzid;
pub use client::Client;
pub use config::{Config, ConfigBuilder, ConfigError, Credentials, TlsPolicy};
pub use error::{IqError, Offline, Refused, Warning};
pub use extension::{certificates, registration};
pub use input::{
    Answer, ChannelBindings, Failure, Input, JobId, LinkId, LinkInfo, Network, QueryId, RequestId, Slot, SrvRecord,
    StanzaError, StanzaErrorType, TlsFacts, Token, Verified,
};
pub use jid::{BareJid, Jid};
pub use output::{Endpoint, Event, Output, Question, SaslProfile, ServerProof, Stage, TcpTls, TransportKind};
pub use sasl::{ChannelBindingType, Derivation, DerivedKey, NotAKey, ScramHash};
pub use secret::Secret;
pub use session::stanza;
pub use time::{Instant, Timer};
pub use xml::{Element, ElementBuilder, ElementRef};

/// The examples of the project's own page.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeExamples;
