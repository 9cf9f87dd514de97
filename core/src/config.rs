//! What an application decides before it starts: the account, how to prove it, where to connect, and the bounds.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::certificate::Authzid;
use crate::jid::{BareJid, Jid};
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
    pub(crate) transport: Transport,
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
            transport: None,
            authzid: Authzid::default(),
            tls: TlsPolicy::default(),
            mechanisms: MechanismPolicy::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
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
            Credentials::Certificate { .. } => {}
            Credentials::Password { password } | Credentials::CertificateAndPassword { password, .. } => {
                *password = secret;
            }
        }
    }
}

fn default_language() -> String {
    "en".to_string()
}

/// Builds a [`Config`]; every part has a default but the credentials and the transport.
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    jid: Jid,
    credentials: Option<Credentials>,
    transport: Option<Transport>,
    authzid: Authzid,
    tls: TlsPolicy,
    mechanisms: MechanismPolicy,
    limits: Limits,
    timeouts: Timeouts,
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

    /// Connects by that transport.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
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
        let Some(transport) = self.transport else {
            return Err(ConfigError::NoTransport);
        };
        if self.jid.local().is_none() {
            return Err(ConfigError::NoLocalpart);
        }
        match &transport {
            Transport::Bosh(bosh) => bosh.check(self.tls)?,
        }
        Ok(Config {
            jid: self.jid,
            credentials,
            transport,
            authzid: self.authzid,
            tls: self.tls,
            mechanisms: self.mechanisms,
            limits: self.limits,
            timeouts: self.timeouts,
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
            Self::Password { .. } => None,
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
    /// HTTP (XEP-0124, XEP-0206).
    Bosh(Bosh),
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
        let Some((scheme, host)) = split_url(&self.url) else {
            return Err(ConfigError::Url);
        };
        match (scheme, tls) {
            ("https", _) | ("http", TlsPolicy::AllowPlaintext) => {}
            ("http", TlsPolicy::Required) => return Err(ConfigError::PlaintextUrl),
            _ => return Err(ConfigError::Url),
        }
        if host.is_empty() {
            return Err(ConfigError::Url);
        }
        // XEP-0124 §14.1: an id must never pass 2^53 - 1.
        if self.first_rid.is_some_and(|rid| rid == 0 || rid > (1 << 53) - 1) {
            return Err(ConfigError::FirstRid);
        }
        Ok(())
    }

    /// The host of the URL: the name that the server's certificate must be valid for.
    pub(crate) fn server_name(&self) -> &str {
        split_url(&self.url).map_or("", |(_, host)| host)
    }
}

/// Scheme and host of an absolute URL without user information; the host of an IPv6 literal without its brackets.
fn split_url(url: &str) -> Option<(&str, &str)> {
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
    /// No transport was given.
    NoTransport,
    /// The JID has no part before the `@`.
    NoLocalpart,
    /// The URL is not an absolute `https` URL.
    Url,
    /// The URL is `http`, and the TLS policy asks for TLS.
    PlaintextUrl,
    /// The first request id is out of range (XEP-0124 §14.1: 1 to 2^53 - 1).
    FirstRid,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredentials => "no credentials were given: a certificate, a password, or both are needed",
            Self::NoTransport => "no transport was given: name the URL of a BOSH connection manager",
            Self::NoLocalpart => "the JID names a server, not an account: write it as user@example.org",
            Self::Url => "the address is not a URL such as https://example.org:7443/http-bind",
            Self::PlaintextUrl => "the address is http: credentials travel over https only",
            Self::FirstRid => "the first request id must be between 1 and 9007199254740991",
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
