//! What an application decides before it starts: the account, how to prove it, where to connect, and the bounds.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::certificate::Authzid;
use crate::jid::{BareJid, Jid};
use crate::output::TcpTls;
use crate::secret::Secret;
use crate::xml::XmlLimits;

/// One account and how to reach it: made by [`Config::builder`], then fixed for the life of a [`Client`](crate::Client).
///
/// ```
/// use epode::{Config, Credentials};
///
/// let config = Config::builder("user01@example.org".parse()?)
///     .bosh("https://example.org:7443/http-bind")
///     .credentials(Credentials::certificate("my certificate", None))
///     .build()?;
/// assert_eq!(config.account().to_string(), "user01@example.org");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Config {
    pub(crate) jid: Jid,
    pub(crate) credentials: Credentials,
    pub(crate) transports: Vec<Transport>,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) authzid: Authzid,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) tls: TlsPolicy,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) mechanisms: MechanismPolicy,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) limits: Limits,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) timeouts: Timeouts,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) reconnect: Reconnect,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) stream_management: StreamManagement,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) liveness: Liveness,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) persist: Persist,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) acknowledge: Acknowledge,
    #[cfg_attr(feature = "record", serde(default = "default_language"))]
    pub(crate) language: String,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) answered_namespaces: Vec<String>,
}

impl Config {
    /// Starts a configuration for `jid`. Its resource, if it has one, is asked for at binding.
    pub fn builder(jid: Jid) -> ConfigBuilder {
        ConfigBuilder {
            jid,
            credentials: None,
            transports: Vec::new(),
            authzid: Authzid::default(),
            tls: TlsPolicy::default(),
            mechanisms: MechanismPolicy::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            reconnect: Reconnect::default(),
            stream_management: StreamManagement::default(),
            liveness: Liveness::default(),
            persist: Persist::default(),
            acknowledge: Acknowledge::default(),
            language: default_language(),
            answered_namespaces: Vec::new(),
        }
    }

    /// The account.
    pub fn account(&self) -> BareJid {
        self.jid.to_bare()
    }

    /// The credentials.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Puts a secret that a log left out back in its place.
    #[cfg(feature = "record")]
    pub fn set_password(&mut self, secret: Secret) {
        match &mut self.credentials {
            Credentials::Certificate { .. } | Credentials::Nothing => {}
            Credentials::Password { password } | Credentials::CertificateAndPassword { password, .. } => {
                *password = secret;
            }
        }
    }
}

fn default_language() -> String {
    "en".to_string()
}

/// Builds a [`Config`]; every part has a default but the credentials.
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    jid: Jid,
    credentials: Option<Credentials>,
    transports: Vec<Transport>,
    authzid: Authzid,
    tls: TlsPolicy,
    mechanisms: MechanismPolicy,
    limits: Limits,
    timeouts: Timeouts,
    reconnect: Reconnect,
    stream_management: StreamManagement,
    liveness: Liveness,
    persist: Persist,
    acknowledge: Acknowledge,
    language: String,
    answered_namespaces: Vec<String>,
}

impl ConfigBuilder {
    /// How the account is proved.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Connects by BOSH (XEP-0124, XEP-0206) with the usual parameters.
    pub fn bosh(self, url: impl Into<String>) -> Self {
        self.transport(Transport::Bosh(Bosh::new(url)))
    }

    /// Connects by WebSocket (RFC 7395).
    pub fn websocket(self, url: impl Into<String>) -> Self {
        self.transport(Transport::WebSocket(WebSocket { url: url.into() }))
    }

    /// Connects by TCP (RFC 6120) to that host and port.
    pub fn tcp(self, host: impl Into<String>, port: u16, tls: TcpTls) -> Self {
        let host = host.into();
        self.transport(Transport::Tcp(Tcp { host, port, tls }))
    }

    /// Connects by that transport; where several are given, they are tried in their order. Where none is given, the way to
    /// the server is found by DNS and the server's host-meta ([`Discover`]).
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transports.push(transport);
        self
    }

    /// Whether and when to connect again after the link is gone.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Acknowledgements and resumption (XEP-0198).
    pub fn stream_management(mut self, stream_management: StreamManagement) -> Self {
        self.stream_management = stream_management;
        self
    }

    /// How a link that is dead is noticed.
    pub fn liveness(mut self, liveness: Liveness) -> Self {
        self.liveness = liveness;
        self
    }

    /// Whether the host keeps what survives a process ([`Output::Store`](crate::Output::Store)).
    pub fn persist(mut self, persist: Persist) -> Self {
        self.persist = persist;
        self
    }

    /// When a received stanza counts as handled.
    pub fn acknowledge(mut self, acknowledge: Acknowledge) -> Self {
        self.acknowledge = acknowledge;
        self
    }

    /// When SASL EXTERNAL names the account; [`Authzid::Auto`] follows XEP-0178.
    pub fn authzid(mut self, authzid: Authzid) -> Self {
        self.authzid = authzid;
        self
    }

    /// Which links are good enough. The default asks for verified TLS.
    pub fn tls(mut self, tls: TlsPolicy) -> Self {
        self.tls = tls;
        self
    }

    /// Which SASL mechanisms may be used.
    pub fn mechanisms(mut self, mechanisms: MechanismPolicy) -> Self {
        self.mechanisms = mechanisms;
        self
    }

    /// Bounds on what a peer may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long to wait.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The default language of what is sent (RFC 6120 §4.7.4): a language tag such as `en`.
    pub fn language(mut self, language: impl Into<String>) -> Self {
        self.language = language.into();
        self
    }

    /// The application answers `iq` requests whose payload is in `namespace`. All others are refused for it with
    /// `service-unavailable` (RFC 6120 §8.4), but for the ping (XEP-0199), which the client answers itself.
    pub fn answers(mut self, namespace: impl Into<String>) -> Self {
        self.answered_namespaces.push(namespace.into());
        self
    }

    /// The configuration, if it can work.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Some(credentials) = self.credentials else {
            return Err(ConfigError::NoCredentials);
        };
        if self.jid.local().is_none() && credentials != Credentials::Nothing {
            return Err(ConfigError::NoLocalpart);
        }
        let mut transports = self.transports;
        if transports.is_empty() {
            transports.push(Transport::Discover(Discover::default()));
        }
        for transport in &transports {
            transport.check(self.tls)?;
        }
        // A client keeps it for life.
        transports.shrink_to_fit();
        Ok(Config {
            jid: self.jid,
            credentials,
            transports,
            authzid: self.authzid,
            tls: self.tls,
            mechanisms: self.mechanisms,
            limits: self.limits,
            timeouts: self.timeouts,
            reconnect: self.reconnect,
            stream_management: self.stream_management,
            liveness: self.liveness,
            persist: self.persist,
            acknowledge: self.acknowledge,
            language: self.language,
            answered_namespaces: self.answered_namespaces,
        })
    }
}

/// How the account is proved. Explicit: what is not given is never tried.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Credentials {
    /// A TLS client certificate: SASL EXTERNAL (XEP-0178).
    Certificate {
        /// The label by which the host knows the certificate and its key. The client never sees a key.
        identity: String,
        /// The certificate (DER), where the host can show it.
        #[cfg_attr(feature = "record", serde(default, with = "crate::record::optional_bytes"))]
        der: Option<Vec<u8>>,
    },
    /// A password: SCRAM, or PLAIN where the policy allows it.
    Password {
        /// The password.
        #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
        password: Secret,
    },
    /// Two factors: SCRAM on a link that presents the certificate; never EXTERNAL.
    CertificateAndPassword {
        /// The label by which the host knows the certificate and its key.
        identity: String,
        /// The password.
        #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
        password: Secret,
    },
    /// Nothing: the client looks at what the server offers ([`Event::Offered`](crate::Event::Offered)), says goodbye and is
    /// offline. No account is needed for it: the JID may be a domain.
    Nothing,
}

impl Credentials {
    /// A certificate that the host knows as `identity`, and its DER encoding if it can be shown.
    pub fn certificate(identity: impl Into<String>, der: Option<Vec<u8>>) -> Self {
        Self::Certificate {
            identity: identity.into(),
            der,
        }
    }

    /// A password.
    pub fn password(password: impl Into<Secret>) -> Self {
        Self::Password {
            password: password.into(),
        }
    }

    /// A certificate at the TLS level and a password at the SASL level.
    pub fn certificate_and_password(identity: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::CertificateAndPassword {
            identity: identity.into(),
            password: password.into(),
        }
    }

    /// The label of the client certificate, if there is one.
    pub fn identity(&self) -> Option<&str> {
        match self {
            Self::Certificate { identity, .. } | Self::CertificateAndPassword { identity, .. } => Some(identity),
            Self::Password { .. } | Self::Nothing => None,
        }
    }
}

/// How to reach the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Transport {
    /// What DNS and the server's host-meta say.
    Discover(Discover),
    /// TCP (RFC 6120).
    Tcp(Tcp),
    /// WebSocket (RFC 7395).
    #[cfg_attr(feature = "record", serde(rename = "websocket"))]
    WebSocket(WebSocket),
    /// HTTP (XEP-0124, XEP-0206).
    Bosh(Bosh),
}

impl Transport {
    fn check(&self, tls: TlsPolicy) -> Result<(), ConfigError> {
        match self {
            Self::Discover(Discover { tcp, websocket, bosh }) if *tcp || *websocket || *bosh => Ok(()),
            Self::Discover(_) => Err(ConfigError::NoTransport),
            Self::Tcp(tcp) if tcp.host.is_empty() || tcp.port == 0 => Err(ConfigError::Host),
            // What is no host name cannot reach a resolver or a log.
            Self::Tcp(tcp) if !tcp.host.bytes().all(|byte| byte.is_ascii_graphic()) => Err(ConfigError::Host),
            Self::Tcp(_) => Ok(()),
            Self::WebSocket(websocket) => check_url(&websocket.url, "wss", "ws", tls),
            Self::Bosh(bosh) => bosh.check(tls),
        }
    }
}

/// Finds the way to the server: SRV records of `_xmpps-client` and `_xmpp-client` (RFC 6120 §3.2, XEP-0368), then host-meta
/// (XEP-0156). All three kinds are tried by default, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Discover {
    /// TCP.
    pub tcp: bool,
    /// WebSocket.
    pub websocket: bool,
    /// BOSH, with the usual parameters.
    pub bosh: bool,
}

impl Default for Discover {
    fn default() -> Self {
        Self {
            tcp: true,
            websocket: true,
            bosh: true,
        }
    }
}

/// A server, by its address. The certificate is checked for the domain of the account, whatever the host is called.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Tcp {
    /// A host name in ASCII, or an address: of IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// When TLS begins.
    pub tls: TcpTls,
}

/// A WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct WebSocket {
    /// The URL: `wss://`.
    pub url: String,
}

impl WebSocket {
    /// The host of the URL: the name that the server's certificate must be valid for.
    pub(crate) fn server_name(&self) -> &str {
        split_url(&self.url).map_or("", |(_, host)| host)
    }
}

/// Whether and when to connect again after the link is gone. Times are drawn at random between half of what is said here
/// and all of it, so that a server that comes back is not asked by everybody at once (RFC 6120 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Reconnect {
    /// When it is done at all.
    pub when: ReconnectWhen,
    /// Before the first retry after an established session (1 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub first: Duration,
    /// Before the second; from then on it doubles (2 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub second: Duration,
    /// No more than this (2 min).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub longest: Duration,
    /// Give up after so many attempts in a row without a login; `None`: never.
    pub attempts: Option<u32>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            when: ReconnectWhen::AfterOnline,
            first: Duration::from_secs(1),
            second: Duration::from_secs(2),
            longest: Duration::from_secs(120),
            attempts: None,
        }
    }
}

impl Reconnect {
    /// Never: a link that is gone is the end.
    pub fn never() -> Self {
        Self {
            when: ReconnectWhen::Never,
            ..Self::default()
        }
    }
}

/// When to connect again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ReconnectWhen {
    /// Never.
    Never,
    /// Once there was a login: somebody who waits for the first one learns at once that it does not work.
    #[default]
    AfterOnline,
    /// Always, the first login included.
    Always,
}

/// Acknowledgements and resumption (XEP-0198), where the server has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct StreamManagement {
    /// Use it (default true).
    pub enabled: bool,
    /// Ask that the session can be resumed (default true).
    pub resume: bool,
    /// For how long, in seconds, the server is asked to keep a session that lost its link; `None` leaves it to the server.
    pub max: Option<u32>,
    /// Ask for an acknowledgement after so many stanzas (default 10).
    pub request_after: u16,
    /// And when so much time has passed since the last stanza that is not acknowledged (default 3 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub request_when_quiet: Duration,
    /// Messages of which nobody knows whether the server has them, because the session is gone, are sent again in the next
    /// one, where they may arrive twice. By default they are [`Stage::Failed`](crate::Stage::Failed).
    pub resend_uncertain: bool,
}

impl Default for StreamManagement {
    fn default() -> Self {
        Self {
            enabled: true,
            resume: true,
            max: None,
            request_after: 10,
            request_when_quiet: Duration::from_secs(3),
            resend_uncertain: false,
        }
    }
}

/// How a link that is dead is noticed, on TCP and WebSocket. (BOSH has its own deadlines.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Liveness {
    /// After so much time without a word from the server it is asked whether it is there: by a request for an
    /// acknowledgement (XEP-0198), or a ping (XEP-0199) (5 min; `None`: never).
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_millis"))]
    pub ask_after: Option<Duration>,
    /// How long the server may take to show any sign of life after it was asked (30 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub answer_within: Duration,
    /// After so much time without a word from the client something is sent that means nothing, so that no middlebox
    /// forgets the connection: white space (RFC 6120 §4.6.1) on TCP. `None`: never (the default; asking does it too).
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_millis"))]
    pub keep_alive_after: Option<Duration>,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            ask_after: Some(Duration::from_secs(300)),
            answer_within: Duration::from_secs(30),
            keep_alive_after: None,
        }
    }
}

/// Whether the host keeps what survives a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Persist {
    /// Nothing is stored.
    #[default]
    Off,
    /// From when the application says [`Input::Pause`](crate::Input::Pause) or goes to the background, until it says that it
    /// is in the foreground again. What is in the slot then is removed as soon as it is not true any more.
    OnSuspend,
    /// In each turn that changed something: a process may be killed at any moment.
    EveryTurn,
}

/// When a received stanza counts as handled (XEP-0198 §4): what does not, the server sends again after a resumption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Acknowledge {
    /// When the host has taken its event.
    #[default]
    Automatic,
    /// When the application says [`Input::Handled`](crate::Input::Handled), or answers the request.
    Manual,
}

/// A BOSH connection manager, and what to ask of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Bosh {
    /// Where requests are posted to: an `https` URL.
    pub url: String,
    /// The longest time, in seconds, that the connection manager may hold a request (default 60).
    #[cfg_attr(feature = "record", serde(default = "Bosh::default_wait"))]
    pub wait: u16,
    /// How many requests the connection manager may hold (default 1; 0 asks for a polling session).
    #[cfg_attr(feature = "record", serde(default = "Bosh::default_hold"))]
    pub hold: u8,
    /// Acknowledge answers (XEP-0124 §9.2; default true).
    #[cfg_attr(feature = "record", serde(default = "Bosh::default_ack"))]
    pub ack: bool,
    /// The first request id: for a vector. By default it is drawn at random from 2^31 to 2^52 (XEP-0124 §14.1).
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub first_rid: Option<u64>,
    /// How many requests may be open at once, whatever the server allows (default 4, at least 2).
    #[cfg_attr(feature = "record", serde(default = "Bosh::default_requests"))]
    pub max_requests: u8,
    /// Each request proves that it comes from whoever sent the one before it (XEP-0124 §15; default false). Over https,
    /// which is where requests should go, TLS does that already.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub key_sequence: bool,
    /// Go on with a session that somebody else created, and logged in to the account, instead of creating one.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub attach: Option<Box<Attach>>,
}

impl Bosh {
    /// The usual parameters.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            wait: Self::default_wait(),
            hold: Self::default_hold(),
            ack: Self::default_ack(),
            first_rid: None,
            max_requests: Self::default_requests(),
            key_sequence: false,
            attach: None,
        }
    }

    const fn default_wait() -> u16 {
        60
    }

    const fn default_hold() -> u8 {
        1
    }

    const fn default_ack() -> bool {
        true
    }

    const fn default_requests() -> u8 {
        4
    }

    fn check(&self, tls: TlsPolicy) -> Result<(), ConfigError> {
        check_url(&self.url, "https", "http", tls)?;
        // XEP-0124 §14.1: an id must never pass 2^53 - 1.
        if self.first_rid.is_some_and(|rid| rid == 0 || rid > (1 << 53) - 1) {
            return Err(ConfigError::FirstRid);
        }
        if self.attach.as_ref().is_some_and(|attach| !attach.is_possible()) {
            return Err(ConfigError::Attach);
        }
        Ok(())
    }

    /// The host of the URL: the name that the server's certificate must be valid for.
    pub(crate) fn server_name(&self) -> &str {
        split_url(&self.url).map_or("", |(_, host)| host)
    }
}

/// A BOSH session that was created and logged in elsewhere, by a web server for one of its pages for example: what its
/// creator knows of it. Only one may use it from then on: a request number that both use ends it (XEP-0124 §14.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Attach {
    /// The session id. Whoever has it has the session.
    #[cfg_attr(feature = "record", serde(with = "crate::record::secret"))]
    pub sid: Secret,
    /// The request id after the last one that was used.
    pub next_rid: u64,
    /// The full JID that the session is bound to.
    pub jid: String,
    /// What the connection manager granted (XEP-0124 §7.2): the longest time, in seconds, that it holds a request.
    pub wait: u16,
    /// How many requests it holds.
    pub hold: u8,
    /// How many may be open at once.
    pub requests: u8,
    /// After how many seconds without a request it forgets the session, if it said so.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub inactivity: Option<u16>,
    /// How many seconds there must be between empty requests, if it said so.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub polling: Option<u16>,
    /// For how many seconds the session may pause, if it said so.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub maxpause: Option<u16>,
    /// It acknowledges requests (XEP-0124 §9.1): there was an `ack` in its first answer. Whether the first request had one
    /// is what [`Bosh::ack`] says.
    #[cfg_attr(feature = "record", serde(default))]
    pub acknowledges: bool,
    /// Where the key sequence stands (XEP-0124 §15), if the session was created with one.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub keys: Option<AttachKeys>,
}

/// Where a key sequence stands (XEP-0124 §15.3): K(1) is the hash of the seed, each further key the hash of the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct AttachKeys {
    /// The seed.
    #[cfg_attr(feature = "record", serde(with = "crate::record::secret"))]
    pub seed: Secret,
    /// Which key the next request has to show: 1 is the last one of the sequence.
    pub next: u16,
}

impl Attach {
    fn is_possible(&self) -> bool {
        // What XML cannot say cannot be a session id.
        let sid =
            core::str::from_utf8(self.sid.expose()).is_ok_and(|sid| !sid.is_empty() && !sid.contains(char::is_control));
        let rid = (1..1 << 53).contains(&self.next_rid);
        let jid = self.jid.parse::<Jid>().is_ok_and(|jid| jid.resource().is_some());
        let keys = self.keys.as_ref().is_none_or(|keys| keys.next > 0);
        sid && rid && jid && keys && self.requests > 0
    }
}

/// Whether `url` is an absolute `https` URL with a host.
pub(crate) fn is_https(url: &str) -> bool {
    check_url(url, "https", "http", TlsPolicy::Required).is_ok()
}

/// Whether the URL is absolute, has a host, and is of the scheme `secure`; or of `plain`, where that is allowed.
pub(crate) fn check_url(url: &str, secure: &str, plain: &str, tls: TlsPolicy) -> Result<(), ConfigError> {
    let Some((scheme, host)) = split_url(url) else {
        return Err(ConfigError::Url);
    };
    if host.is_empty() {
        return Err(ConfigError::Url);
    }
    // RFC 3986 §3.1: schemes are the same in any case.
    match tls {
        _ if scheme.eq_ignore_ascii_case(secure) => Ok(()),
        TlsPolicy::AllowPlaintext if scheme.eq_ignore_ascii_case(plain) => Ok(()),
        TlsPolicy::Required if scheme.eq_ignore_ascii_case(plain) => Err(ConfigError::PlaintextUrl),
        TlsPolicy::Required | TlsPolicy::AllowPlaintext => Err(ConfigError::Url),
    }
}

/// Scheme and host of an absolute URL without user information; the host of an IPv6 literal without its brackets.
pub(crate) fn split_url(url: &str) -> Option<(&str, &str)> {
    // RFC 3986 §2: what is no URL character at all is no URL, so it cannot reach an HTTP request line.
    if url
        .bytes()
        .any(|byte| !(0x21..=0x7E).contains(&byte) || matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'#'))
    {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    if authority.contains('@') {
        return None;
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(literal) => literal
            .split_once(']')
            .map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    match port {
        Some(port) if port.parse::<u16>().is_err() => None,
        Some(_) | None => Some((scheme, host)),
    }
}

/// Which links are good enough (RFC 6120 §5, XEP-0124 §17.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum TlsPolicy {
    /// TLS, with the server's certificate verified for the right name.
    #[default]
    Required,
    /// Anything, for tests on one machine. Mechanisms that show the password are never used without TLS all the same.
    AllowPlaintext,
}

/// Which SASL mechanisms may be used, of those that the credentials allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct MechanismPolicy {
    /// PLAIN shows the password to the server. It is used over verified TLS only, and only if this is set.
    pub allow_plain: bool,
    /// Only these, if set.
    pub only: Option<Vec<String>>,
    /// Bounds on what a SCRAM server may ask for.
    pub scram: ScramIterations,
}

/// Bounds on the iteration count of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct ScramIterations {
    /// Fewer would help somebody who records the exchange to guess the password (RFC 5802 §5.1: 4,096).
    pub min: u32,
    /// More would only burn the client's time (default 2,000,000: about a second).
    pub max: u32,
}

impl Default for ScramIterations {
    fn default() -> Self {
        Self {
            min: 4_096,
            max: 2_000_000,
        }
    }
}

/// Bounds on what a peer, or the application itself, may cost. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Limits {
    /// One top-level element before authentication: features and SASL need no more (64 KiB).
    pub element_before_login: usize,
    /// One top-level element afterwards (1 MiB).
    pub element: usize,
    /// One BOSH body: a server may put its whole backlog into one (8 MiB).
    pub bosh_body: usize,
    /// Nesting below the top-level element; real stanzas stay below 20 (64).
    pub depth: usize,
    /// Attributes of one element (128).
    pub attributes: usize,
    /// Namespace declarations in scope (256).
    pub namespaces: usize,
    /// One attribute value (8 KiB).
    pub attribute_value: usize,
    /// One stanza of the application's (256 KiB: more than servers are known to take).
    pub outbound_stanza: usize,
    /// Stanzas that wait to be sent, and bytes not yet acknowledged as written (4 MiB).
    pub outbound_queue: usize,
    /// Output that the host has not taken; above it `wants_read` says no (4 MiB).
    pub inbound_queue: usize,
    /// Requests of the application's without an answer yet, and requests to it (256 each).
    pub pending_requests: usize,
    /// Stanzas that were sent and are not acknowledged (1,000).
    pub unacknowledged: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            element_before_login: 64 * 1024,
            element: 1024 * 1024,
            bosh_body: 8 * 1024 * 1024,
            depth: 64,
            attributes: 128,
            namespaces: 256,
            attribute_value: 8 * 1024,
            outbound_stanza: 256 * 1024,
            outbound_queue: 4 * 1024 * 1024,
            inbound_queue: 4 * 1024 * 1024,
            pending_requests: 256,
            unacknowledged: 1_000,
        }
    }
}

impl Limits {
    /// What a peer that has not authenticated may send.
    pub(crate) fn before_login(&self) -> XmlLimits {
        XmlLimits {
            element_bytes: self.element_before_login,
            // Features and one SASL element, with room for more.
            document_bytes: Some(self.element_before_login.saturating_mul(4).min(self.bosh_body)),
            ..self.after_login()
        }
    }

    /// What the server may send afterwards.
    pub(crate) fn after_login(&self) -> XmlLimits {
        XmlLimits {
            element_bytes: self.element,
            document_bytes: Some(self.bosh_body),
            depth: self.depth,
            attributes: self.attributes,
            namespaces: self.namespaces,
            attribute_value: self.attribute_value,
            ..XmlLimits::default()
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Timeouts {
    /// For a link to come up, and for a session to be created on it (30 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub connect: Duration,
    /// For the host to answer a question of discovery (10 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub discovery: Duration,
    /// For a link to come up while there is another place to try (8 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub fallback: Duration,
    /// For each step of the negotiation (30 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub negotiation: Duration,
    /// For the server's part of the goodbye (5 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub close: Duration,
    /// For the answer to an `iq`, where the request does not say (60 s); also for the application's own answers.
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub iq: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            discovery: Duration::from_secs(10),
            fallback: Duration::from_secs(8),
            negotiation: Duration::from_secs(30),
            close: Duration::from_secs(5),
            iq: Duration::from_secs(60),
        }
    }
}

/// A configuration that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No credentials were given.
    NoCredentials,
    /// Discovery is to look for nothing.
    NoTransport,
    /// The host or the port is none.
    Host,
    /// The JID has no part before the `@`.
    NoLocalpart,
    /// The URL is not an absolute `https` or `wss` URL.
    Url,
    /// The URL is `http` or `ws`, and the TLS policy asks for TLS.
    PlaintextUrl,
    /// The first request id is out of range (XEP-0124 §14.1: 1 to 2^53 - 1).
    FirstRid,
    /// There can be no such BOSH session to attach to.
    Attach,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredentials => "no credentials were given: a certificate, a password, or both are needed",
            Self::NoTransport => "discovery is to look for no kind of transport: allow at least one",
            Self::Host => "the server's address is not a host name or an address, with a port from 1 to 65535",
            Self::NoLocalpart => "the JID names a server, not an account: write it as user@example.org",
            Self::Url => {
                "the address is not a URL such as https://example.org:7443/http-bind or wss://example.org:7443/ws"
            }
            Self::PlaintextUrl => "the address is http or ws: credentials travel over https and wss only",
            Self::FirstRid => "the first request id must be between 1 and 9007199254740991",
            Self::Attach => {
                "there is no such BOSH session to attach to: it needs a session id, the next request id (1 to \
                 9007199254740991), a JID with a resource, and at least one request"
            }
        })
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert_eq!(split_url("https://a.example/http-bind"), Some(("https", "a.example")));
        assert_eq!(split_url("https://a.example:7443"), Some(("https", "a.example")));
        assert_eq!(
            split_url("https://[2001:db8::1]:7443/x?y"),
            Some(("https", "2001:db8::1"))
        );
        for bad in [
            "a.example",
            "https://u@a.example/",
            "https://a.example:99999/",
            "https://a.example:x/",
            "https://[::1",
            "https://a example/",
            "https://a.example/#f",
            "https://a.example/\r\nX: y",
        ] {
            assert_eq!(split_url(bad), None, "{bad}");
        }
    }
}
