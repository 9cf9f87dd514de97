//! A small XMPP server over BOSH, for demos and tests without root.
//!
//! **It is not for production**: it keeps everything in memory, stores nothing, broadcasts no presence, prepares no names and
//! passwords (RFC 8265, RFC 4013), and defends itself against nobody. **It proves no interoperability**: it was written beside the
//! client that it tests. It shares no code with that client, so that a mistake of one is not hidden by the same mistake in
//! the other; and it has [personalities](Personality), each a table of what a real server was seen to do. Real servers are the
//! proof.
//!
//! What it does: BOSH (XEP-0124, XEP-0206) over HTTPS with optional client certificates; SASL EXTERNAL (XEP-0178), SCRAM-SHA-1,
//! SCRAM-SHA-256 and PLAIN; resource binding; messages, directed presence and iq between its users; ping, an empty roster and disco
//! from the server itself. It listens on 127.0.0.1 only.
//!
//! It is strict: what a client must not do is recorded in [`Server::violations`], and most of it ends the session as the XEP
//! demands. It can misbehave on request ([`Faults`]), so that a client's recovery can be tested.
//!
//! ```no_run
//! # async fn example(certificate: epode_devserver::TlsIdentity) -> std::io::Result<()> {
//! use epode_devserver::{Server, Settings, User};
//!
//! let mut settings = Settings::new("localhost", certificate);
//! settings.users.push(User { name: "user01".into(), password: Some("secret".into()) });
//! let server = Server::start(settings).await?;
//! println!("{}", server.bosh_url());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! How a request goes through the files:
//!
//! ```text
//! http.rs      a connection, its client certificate (tls.rs), one POST after the other, faults
//! hub.rs       which session a request is for; routes between sessions
//! session.rs   rid order, held requests, answers kept for resends, limits
//! stream.rs    SASL (sasl.rs), binding, what the server answers itself
//! ```

mod http;
mod hub;
mod personality;
mod sasl;
mod session;
mod stream;
mod tls;
mod xml;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::hub::Hub;
pub use crate::personality::Personality;

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    url: String,
    hub: Arc<Mutex<Hub>>,
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
    /// The mechanisms to offer, whatever the personality would. One that is not implemented is offered and then refused.
    pub mechanisms: Option<Vec<String>>,
    /// Iterations of SCRAM, instead of the personality's.
    pub scram_iterations: Option<u32>,
    /// The session feature comes without `<optional/>`: clients must send a session request (RFC 3921 §3).
    pub require_legacy_session: bool,
    /// The terms of BOSH sessions.
    pub bosh: BoshSettings,
    /// The path of the BOSH service, `/http-bind` by default.
    pub path: String,
    /// The port on 127.0.0.1; 0, the default, takes a free one.
    pub port: u16,
    /// Misbehaviour on request.
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
    /// HTTP requests processed, resends included.
    pub requests: u64,
    /// Successful logins.
    pub logins: u64,
    /// Refused logins.
    pub refusals: u64,
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
            mechanisms: None,
            scram_iterations: None,
            require_legacy_session: false,
            bosh: BoshSettings::default(),
            path: "/http-bind".into(),
            port: 0,
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
    /// The port is taken, or the certificate, its key or an authority is not usable.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let (config, judge) = tls::configure(&settings)?;
        let random = config.crypto_provider().clone();
        let iterations = settings
            .scram_iterations
            .unwrap_or(settings.personality.habits().scram_iterations);
        let accounts = sasl::Accounts::new(&settings.users, iterations, random);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, settings.port)).await?;
        let address = listener.local_addr()?;
        let url = format!("https://localhost:{}{}", address.port(), settings.path);
        let settings = Arc::new(settings);
        let hub = Arc::new(Mutex::new(Hub::new(settings.clone(), accounts)));
        let (stop, stopped) = watch::channel(false);
        let service = http::Service::new(settings, hub.clone(), judge);
        let task = tokio::spawn(http::serve(listener, config, service, stopped));
        Ok(Self {
            address,
            url,
            hub,
            stop,
            task: Some(task),
        })
    }

    /// Where it listens: 127.0.0.1 and a port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the BOSH service, with `localhost` as the host name.
    #[must_use]
    pub fn bosh_url(&self) -> String {
        self.url.clone()
    }

    /// What clients did that they must not, in order, in words. A well-behaved client leaves it empty.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        lock(&self.hub).violations()
    }

    /// Counters since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        lock(&self.hub).statistics
    }

    /// Ends all sessions with `system-shutdown`, gives the answers half a second to leave, and stops.
    pub async fn shutdown(mut self) {
        lock(&self.hub).shut();
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
