//! What an application decides before it starts: the account, how to prove it, where to connect, and the bounds.

mod credentials;
mod error;
mod limits;
mod policy;
mod transport;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::certificate::Authzid;
use crate::jid::{BareJid, Jid};
use crate::output::TcpTls;
#[cfg(feature = "record")]
use crate::secret::Secret;

pub(crate) use credentials::is_uuid4;
pub use credentials::{Bind, Credentials, Fast, KeyDerivation, UserAgent};
pub use error::ConfigError;
pub use limits::{Limits, Timeouts};
pub use policy::{
    Acknowledge, DigestMd5, Liveness, MechanismPolicy, Persist, Reconnect, ReconnectWhen, ScramIterations,
    StreamManagement, TlsPolicy,
};
pub use transport::{Attach, AttachKeys, Bosh, Discover, Tcp, Transport, WebSocket};
pub(crate) use transport::{check_url, is_https, split_url};

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
    // A client keeps it for life, so what is hardly ever changed takes no room unless it is.
    pub(crate) jid: Jid,
    pub(crate) credentials: Credentials,
    pub(crate) transports: Vec<Transport>,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) authzid: Authzid,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) tls: TlsPolicy,
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    mechanisms: Option<Box<MechanismPolicy>>,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) limits: Limits,
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    timeouts: Option<Box<Timeouts>>,
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
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    user_agent: Option<Box<UserAgent>>,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) fast: Fast,
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    bind: Option<Box<Bind>>,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) key_derivation: KeyDerivation,
    #[cfg_attr(feature = "record", serde(default))]
    pub(crate) tasks: Vec<String>,
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
            user_agent: UserAgent::default(),
            fast: Fast::default(),
            bind: Bind::default(),
            key_derivation: KeyDerivation::default(),
            tasks: Vec::new(),
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

    pub(crate) fn mechanisms(&self) -> &MechanismPolicy {
        const USUAL: &MechanismPolicy = &MechanismPolicy::USUAL;
        self.mechanisms.as_deref().unwrap_or(USUAL)
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.timeouts.as_deref().copied().unwrap_or_default()
    }

    pub(crate) fn user_agent(&self) -> UserAgent {
        self.user_agent.as_deref().cloned().unwrap_or_default()
    }

    pub(crate) fn bind(&self) -> Bind {
        self.bind.as_deref().cloned().unwrap_or_default()
    }

    /// Changes who derives SCRAM's keys: a driver knows better than an application whether it has a thread for that.
    pub fn set_key_derivation(&mut self, key_derivation: KeyDerivation) {
        self.key_derivation = key_derivation;
    }

    /// Puts a secret that a log left out back in its place: a password, or an access token.
    #[cfg(feature = "record")]
    pub fn set_password(&mut self, secret: Secret) {
        self.credentials.set_secret(secret);
    }

    /// For the replay of a log that left the secrets out.
    #[cfg(feature = "record")]
    pub(crate) fn make_up_secrets(&mut self, length: usize) {
        self.credentials.make_up(length);
    }
}

/// A setting that is not the default.
fn unusual<T: Default + PartialEq>(setting: T) -> Option<Box<T>> {
    (setting != T::default()).then(|| Box::new(setting))
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
    user_agent: UserAgent,
    fast: Fast,
    bind: Bind,
    key_derivation: KeyDerivation,
    tasks: Vec<String>,
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

    /// What the client says about itself (XEP-0388 §2.3).
    pub fn user_agent(mut self, user_agent: UserAgent) -> Self {
        self.user_agent = user_agent;
        self
    }

    /// Whether login tokens are used (XEP-0484).
    pub fn fast(mut self, fast: Fast) -> Self {
        self.fast = fast;
        self
    }

    /// What is asked for together with a resource (XEP-0386).
    pub fn bind(mut self, bind: Bind) -> Self {
        self.bind = bind;
        self
    }

    /// Who derives SCRAM's keys from the password.
    pub fn key_derivation(mut self, key_derivation: KeyDerivation) -> Self {
        self.key_derivation = key_derivation;
        self
    }

    /// The application can do `task` (XEP-0388 §2.6.3) where the server asks for it after the credentials: a second factor
    /// for example. [`Event::Task`](crate::Event::Task) and [`Input::Task`](crate::Input::Task) carry it.
    pub fn task(mut self, task: impl Into<String>) -> Self {
        self.tasks.push(task.into());
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
        if self.jid.local().is_none() && credentials.needs_account() {
            return Err(ConfigError::NoLocalpart);
        }
        if self.jid.local().is_some() && credentials == Credentials::Anonymous {
            return Err(ConfigError::AnonymousAccount);
        }
        self.user_agent.check()?;
        self.mechanisms.check()?;
        let tag = self.bind.tag.as_str();
        if tag.is_empty() || tag.len() > 64 || tag.contains(char::is_control) {
            return Err(ConfigError::Tag);
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
            mechanisms: unusual(self.mechanisms),
            limits: self.limits,
            timeouts: unusual(self.timeouts),
            reconnect: self.reconnect,
            stream_management: self.stream_management,
            liveness: self.liveness,
            persist: self.persist,
            acknowledge: self.acknowledge,
            user_agent: unusual(self.user_agent),
            fast: self.fast,
            bind: unusual(self.bind),
            key_derivation: self.key_derivation,
            tasks: self.tasks,
            language: self.language,
            answered_namespaces: self.answered_namespaces,
        })
    }
}
