//! How to reach the server.

use alloc::boxed::Box;
use alloc::string::String;

use super::{ConfigError, TlsPolicy};
use crate::jid::Jid;
use crate::output::TcpTls;
use crate::secret::Secret;

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
    pub(super) fn check(&self, tls: TlsPolicy) -> Result<(), ConfigError> {
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
