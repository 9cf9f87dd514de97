//! Configurations that cannot work.

use core::fmt;

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
    /// The user agent's id is no UUID of version 4, or one of its texts is empty, too long or no text.
    UserAgent,
    /// A mechanism is named that the client does not have.
    UnknownMechanism,
    /// The least count of SCRAM's iterations is above the largest.
    Iterations,
    /// ANONYMOUS logs in to no account, so the JID has to be a domain.
    AnonymousAccount,
    /// The tag for the resource is empty, longer than 64 bytes or no text.
    Tag,
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
            Self::UserAgent => {
                "the user agent's id must be a UUID of version 4, and its texts of 1 to 1024 bytes without control characters"
            }
            Self::UnknownMechanism => {
                "a mechanism is named that is not one of the client's: name those such as SCRAM-SHA-256 or EXTERNAL"
            }
            Self::Iterations => "the least number of SCRAM iterations is above the largest: no server can meet both",
            Self::AnonymousAccount => "an anonymous login has no account: give the server's domain instead of a JID",
            Self::Tag => "the tag for the resource must have 1 to 64 bytes, without control characters",
            Self::FirstRid => "the first request id must be between 1 and 9007199254740991",
            Self::Attach => {
                "there is no such BOSH session to attach to: it needs a session id, the next request id (1 to \
                 9007199254740991), a JID with a resource, and at least one request"
            }
        })
    }
}

impl core::error::Error for ConfigError {}
