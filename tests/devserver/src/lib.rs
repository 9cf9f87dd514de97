//! A small XMPP server over TCP, WebSocket and BOSH, for demos and tests without root.
//!
//! **It is not for production**: it keeps everything in memory, stores nothing, broadcasts no presence, prepares no names and
//! passwords (RFC 8265, RFC 4013), and defends itself against nobody. **It proves no interoperability**: it was written beside the
//! client that it tests. It shares no code with that client, so that a mistake of one is not hidden by the same mistake in
//! the other; and it has [personalities](Personality), each a table of what a real server was seen to do. Real servers are the
//! proof.
//!
//! What it does: TCP with STARTTLS (RFC 6120) and with direct TLS (XEP-0368), WebSocket (RFC 7395) and BOSH (XEP-0124, XEP-0206)
//! over HTTPS, each with optional client certificates; SASL EXTERNAL (XEP-0178), SCRAM-SHA-1, SCRAM-SHA-256 and PLAIN, and with
//! [`Authentication`] much more: SASL2 (XEP-0388) with binding, resumption and tokens inline (XEP-0386, XEP-0198, XEP-0484), channel
//! binding (XEP-0440), tasks (XEP-0480), registration (XEP-0077) and certificates that users manage (XEP-0257); resource binding; stream management over TCP and WebSocket (XEP-0198); messages, directed presence and iq between its users, whatever
//! their transports; ping, an empty roster and disco from the server itself; host-meta (XEP-0156). It listens on 127.0.0.1 only.
//!
//! It is strict: what a client must not do is recorded in [`Server::violations`], and most of it ends the session as the RFC or
//! XEP demands. It can misbehave on request ([`Faults`] for HTTP, [`LinkFaults`] through [`Server::control`] for connections of
//! every kind, while it runs), so that a client's recovery can be tested.
//!
//! ```no_run
//! # async fn example(certificate: epode_devserver::TlsIdentity) -> std::io::Result<()> {
//! use epode_devserver::{Server, Settings, User};
//!
//! let mut settings = Settings::new("localhost", certificate);
//! settings.users.push(User { name: "user01".into(), password: Some("secret".into()) });
//! let server = Server::start(settings).await?;
//! println!("{} {}", server.starttls_address(), server.bosh_url());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! How things go through the files:
//!
//! ```text
//! tcp.rs        a connection, STARTTLS, one stream after the other      \
//! http.rs       an HTTPS connection: BOSH, upgrades, host-meta          | client certificates: tls.rs; faults: faults.rs
//! websocket.rs  an upgraded connection, frames                          /
//! links.rs      streams over TCP and WebSocket: headers, order, ends
//! sm.rs         stream management: counts, what is kept, resumption
//! session.rs    BOSH sessions: rid order, held requests, answers kept for resends, limits
//! stream.rs     the order of login, binding and stanzas, what the server answers itself
//! offer.rs      the features, and what was said in them
//! login.rs      SASL in both profiles; sasl/ the mechanisms; tasks.rs what follows them; grant.rs what comes with success in SASL2
//! account.rs    what users change of their accounts; accounts.rs what is kept of them
//! hub.rs        who belongs to what; routes between users
//! ```

mod account;
mod accounts;
mod authentication;
mod faults;
mod grant;
mod http;
mod hub;
mod links;
mod login;
mod offer;
mod personality;
mod sasl;
mod session;
mod sm;
mod stream;
mod tasks;
mod tcp;
mod tls;
mod websocket;
mod xml;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;

pub use crate::authentication::{
    Attempt, Authentication, BearerToken, DowngradeHash, Fast, Identifier, Proof, Registration, Rotation, ScramHash,
    TokenState,
};
use crate::faults::Board;
pub use crate::faults::{Accepting, Control, Cut, LinkFaults, Transport};
use crate::hub::Hub;
pub use crate::personality::Personality;
use crate::tcp::Entrance;
use crate::tls::{Judge, Peer};

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    starttls: SocketAddr,
    direct_tls: SocketAddr,
    url: String,
    websocket: Option<String>,
    control: Control,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

/// What a server is started with. [`Settings::new`] has the usual ones.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The XMPP domain: `to` of a session and the domain part of all users.
    pub domain: String,
    /// The real server to imitate.
    pub personality: Personality,
    /// The server's certificate chain and key.
    pub certificate: TlsIdentity,
    /// The authorities whose client certificates are trusted. A certificate of another is let through by TLS and refused by SASL.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// The accounts.
    pub users: Vec<User>,
    /// TLS asks the client for a certificate. On by default.
    pub ask_client_certificate: bool,
    /// TLS fails without a client certificate. Off by default.
    pub require_client_certificate: bool,
    /// TLS, not SASL, refuses a certificate that is not trusted, expired or not yet valid. Off by default.
    pub refuse_in_tls: bool,
    /// Nothing newer than TLS 1.2 is spoken. Off by default.
    pub tls_1_2_only: bool,
    /// How clients may log in: mechanisms, SASL2, channel binding, tokens, registration, and the lies about them.
    pub authentication: Authentication,
    /// [`Authentication::mechanisms`], where that has none.
    pub mechanisms: Option<Vec<String>>,
    /// [`Authentication::scram_iterations`], where that has none.
    pub scram_iterations: Option<u32>,
    /// The session feature comes without `<optional/>`: clients must send a session request (RFC 3921 §3).
    pub require_legacy_session: bool,
    /// The terms of BOSH sessions.
    pub bosh: BoshSettings,
    /// The terms of stream management (XEP-0198). `None`: it is not offered.
    pub stream_management: Option<StreamManagement>,
    /// The largest stanza in bytes: announced (XEP-0478), and what is larger ends a stream over TCP or WebSocket. `None`, the
    /// default, announces nothing and allows 8 MiB.
    pub max_stanza_bytes: Option<usize>,
    /// The path of the BOSH service, `/http-bind` by default.
    pub path: String,
    /// The path of the WebSocket service, `/xmpp-websocket` by default.
    pub websocket_path: String,
    /// The port for HTTPS on 127.0.0.1; 0, the default, takes a free one.
    pub port: u16,
    /// The port for STARTTLS, likewise.
    pub starttls_port: u16,
    /// The port for direct TLS, likewise.
    pub direct_tls_port: u16,
    /// Misbehaviour of HTTP on request, from the start. [`Server::control`] changes it, and has more.
    pub faults: Faults,
}

/// A certificate chain, the server's own first, and its private key.
#[derive(Debug)]
pub struct TlsIdentity {
    /// The server's certificate, then intermediate ones.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first.
    pub key: PrivateKeyDer<'static>,
}

/// An account.
#[derive(Clone)]
pub struct User {
    /// The local part of the JID, in lower case.
    pub name: String,
    /// Without a password, only a certificate logs in.
    pub password: Option<String>,
}

/// Terms of BOSH sessions; what is `None` is the personality's. All times are in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoshSettings {
    /// The longest that a request is held, where the client allows that much. 0 makes every session a polling one.
    pub wait: Option<u16>,
    /// The most requests held, where the client allows that many. 1 if `None`.
    pub hold: Option<u8>,
    /// The most simultaneous requests. One more than `hold` if `None`.
    pub requests: Option<u8>,
    /// How long a session lives without any request.
    pub inactivity: Option<u16>,
    /// The shortest time between empty requests.
    pub polling: Option<u16>,
    /// The longest pause. Prosody offers none.
    pub max_pause: Option<u16>,
}

/// Terms of stream management (XEP-0198).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamManagement {
    /// How many seconds a session waits to be resumed, where the client does not ask for less. 300 by default.
    pub max: u16,
    /// Where to resume, `host` or `host:port`: the `location` of `<enabled/>`. None by default.
    pub location: Option<String>,
    /// An `<r/>` follows after so many stanzas, unless one is unanswered. 1 by default, as Prosody does; 0 never asks.
    pub ask_every: u32,
}

impl Default for StreamManagement {
    fn default() -> Self {
        Self {
            max: 300,
            location: None,
            ask_every: 1,
        }
    }
}

/// Misbehaviour by counting, the same in every run: `Some(3)` means the third request, the sixth, and so on. `Some(0)` is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The connection is cut after the request was read and before it is processed.
    pub drop_request_every: Option<u32>,
    /// The connection is cut when the answer is ready: the request was processed.
    pub drop_response_every: Option<u32>,
    /// The answer is HTTP status 500, and the request is not processed.
    pub answer_500_every: Option<u32>,
    /// The request is processed only after [`Faults::delay`], so that later ones overtake it.
    pub delay_request_every: Option<u32>,
    /// The answer leaves only after [`Faults::delay`].
    pub delay_response_every: Option<u32>,
    /// How long the delays are.
    pub delay: Duration,
}

/// What a server has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// TLS connections established.
    pub connections: u64,
    /// HTTP requests of BOSH processed, resends included.
    pub requests: u64,
    /// Successful logins.
    pub logins: u64,
    /// Refused logins.
    pub refusals: u64,
    /// Stream management enabled.
    pub enables: u64,
    /// Sessions resumed.
    pub resumes: u64,
    /// `<resume/>` answered with `<failed/>` for want of a session.
    pub failed_resumes: u64,
    /// `<active/>` and `<inactive/>` (XEP-0352).
    pub client_states: u64,
    /// Carbons enabled while a resource was bound (XEP-0386). No carbons are sent.
    pub carbons: u64,
    /// Stream errors that clients sent.
    pub stream_errors: u64,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) hub: Arc<Mutex<Hub>>,
    pub(crate) board: Arc<Board>,
    judge: Arc<Judge>,
}

impl Shared {
    pub(crate) fn violate(&self, what: &str) {
        lock(&self.hub).violate(what.into());
    }

    /// What the client showed on this connection, and what the connection is bound to.
    pub(crate) fn peer(&self, stream: &TlsStream<TcpStream>) -> Arc<Peer> {
        Arc::new(self.judge.peer(stream.get_ref().1))
    }
}

impl Settings {
    /// Prosody's habits, a client certificate asked for, no users yet.
    #[must_use]
    pub fn new(domain: &str, certificate: TlsIdentity) -> Self {
        Self {
            domain: domain.to_lowercase(),
            personality: Personality::default(),
            certificate,
            client_ca: Vec::new(),
            users: Vec::new(),
            ask_client_certificate: true,
            require_client_certificate: false,
            refuse_in_tls: false,
            tls_1_2_only: false,
            authentication: Authentication::default(),
            mechanisms: None,
            scram_iterations: None,
            require_legacy_session: false,
            bosh: BoshSettings::default(),
            stream_management: Some(StreamManagement::default()),
            max_stanza_bytes: None,
            path: "/http-bind".into(),
            websocket_path: "/xmpp-websocket".into(),
            port: 0,
            starttls_port: 0,
            direct_tls_port: 0,
            faults: Faults::default(),
        }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens and serves until it is shut down or dropped. Must be called inside a tokio runtime with time and I/O enabled.
    ///
    /// # Errors
    ///
    /// A port is taken, a path has characters that a URL must not have, or the certificate, its key or an authority is not usable.
    pub async fn start(mut settings: Settings) -> io::Result<Self> {
        let (config, judge) = tls::configure(&settings)?;
        let random = config.crypto_provider().clone();
        let iterations = settings
            .scram_iterations
            .unwrap_or(settings.personality.habits().scram_iterations);
        if settings.authentication.mechanisms.is_none() {
            settings.authentication.mechanisms = settings.mechanisms.clone();
        }
        for path in [&settings.path, &settings.websocket_path] {
            if !path.starts_with('/') || path.contains(|c: char| !c.is_ascii_graphic() || "\"\\<>?#".contains(c)) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("{path:?} is no path of a URL"),
                ));
            }
        }
        let accounts = accounts::Accounts::new(&settings.users, iterations, random);
        let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listen(settings.port).await?;
        let starttls = Entrance {
            listener: listen(settings.starttls_port).await?,
            transport: Transport::StartTls,
            config: Arc::new(config.clone()),
        };
        let direct_tls = Entrance {
            listener: listen(settings.direct_tls_port).await?,
            transport: Transport::DirectTls,
            config: tls::speaking(&config, tcp::ALPN),
        };
        let address = listener.local_addr()?;
        let port = address.port();
        let addresses = (starttls.listener.local_addr()?, direct_tls.listener.local_addr()?);
        let url = format!("https://localhost:{port}{}", settings.path);
        let websocket = settings
            .personality
            .habits()
            .websocket
            .then(|| format!("wss://localhost:{port}{}", settings.websocket_path));
        let settings = Arc::new(settings);
        let board = Arc::new(Board::new(settings.faults));
        let hub = Arc::new(Mutex::new(Hub::new(settings.clone(), board.clone(), accounts)));
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared {
            settings,
            hub: hub.clone(),
            board: board.clone(),
            judge,
        });
        let service = http::Service::new(shared.clone(), url.clone(), websocket.clone());
        let https = tls::speaking(&config, b"http/1.1");
        let task = tokio::spawn(async move {
            tokio::join!(
                http::serve(listener, https, service, stopped.clone()),
                tcp::serve(starttls, shared.clone(), stopped.clone()),
                tcp::serve(direct_tls, shared, stopped),
            );
        });
        Ok(Self {
            address,
            starttls: addresses.0,
            direct_tls: addresses.1,
            url,
            websocket,
            control: Control { board, hub },
            stop,
            task: Some(task),
        })
    }

    /// Where it listens for HTTPS: 127.0.0.1 and a port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TCP with STARTTLS.
    #[must_use]
    pub fn starttls_address(&self) -> SocketAddr {
        self.starttls
    }

    /// Where it listens for TCP with direct TLS.
    #[must_use]
    pub fn direct_tls_address(&self) -> SocketAddr {
        self.direct_tls
    }

    /// The address of the WebSocket service, with `localhost` as the host name. `None` where the personality has none.
    #[must_use]
    pub fn websocket_url(&self) -> Option<String> {
        self.websocket.clone()
    }

    /// The address of the BOSH service, with `localhost` as the host name.
    #[must_use]
    pub fn bosh_url(&self) -> String {
        self.url.clone()
    }

    /// What changes the server's behaviour while it runs: faults, cuts, redirects.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What clients did that they must not, in order, in words. A well-behaved client leaves it empty.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        lock(&self.control.hub).violations()
    }

    /// Every `<auth/>` and `<authenticate/>`, in order, also those that were refused.
    #[must_use]
    pub fn attempts(&self) -> Vec<Attempt> {
        lock(&self.control.hub).attempts.clone()
    }

    /// Counters since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        lock(&self.control.hub).statistics
    }

    /// Ends all sessions with `system-shutdown`, gives the answers half a second to leave, and stops.
    pub async fn shutdown(mut self) {
        lock(&self.control.hub).shut();
        let _ = self.stop.send(true);
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(Duration::from_millis(500), &mut task)
                .await
                .is_err()
        {
            task.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// No holder of the lock leaves it half-changed on purpose, and a test that panicked has failed anyway.
fn lock(hub: &Mutex<Hub>) -> MutexGuard<'_, Hub> {
    hub.lock().unwrap_or_else(PoisonError::into_inner)
}
