//! What a failure means for the next attempt, where a server may send its clients, and how long to wait.

use alloc::string::{String, ToString};
use core::net::Ipv6Addr;
use core::time::Duration;

use super::discovery::is_host;
use super::{Candidate, Loss};
use crate::config::{Bosh, Config, Reconnect, TlsPolicy, check_url};
use crate::error::{ConnectionError, Offline, PeerIncompatible, PeerMisbehaved, SessionEnd, TlsError};
use crate::input::Failure;
use crate::output::{Endpoint, TcpTls};
use crate::random::Random;
use crate::time::Instant;
use crate::xml::XmlError;

/// A session that lasted so long is not part of a circle of redirects.
const STABLE: Duration = Duration::from_secs(60);

/// What may follow a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct After {
    /// Another place of the same round may be tried at once.
    pub(super) elsewhere: bool,
    /// The same may be tried again later.
    pub(super) later: bool,
}

/// Nothing: it would be the same again, or do harm.
const FINAL: After = After {
    elsewhere: false,
    later: false,
};
/// It is this place's fault, and will stay so.
const ELSEWHERE: After = After {
    elsewhere: true,
    later: false,
};
/// It is this place's fault, for now.
const RETRY: After = After {
    elsewhere: true,
    later: true,
};

/// What may follow. `plain` says that others could read what was sent to the place.
pub(super) fn after(loss: &Loss<'_>, plain: bool) -> After {
    match loss.reason {
        Offline::Stopped | Offline::Login(_) => FINAL,
        Offline::Connection(error) => match error {
            ConnectionError::Failed(failure) => match failure {
                Failure::CertificateRejected { .. } => ELSEWHERE,
                Failure::Dns
                | Failure::Refused
                | Failure::Timeout
                | Failure::Reset
                | Failure::TlsAlert(_)
                | Failure::Http { .. }
                | Failure::Other { .. } => RETRY,
            },
            ConnectionError::Closed
            | ConnectionError::Timeout { .. }
            | ConnectionError::HttpStatus(_)
            | ConnectionError::NotBosh { .. }
            | ConnectionError::GaveUp { .. }
            | ConnectionError::RequestIdsExhausted
            | ConnectionError::NoEndpoint
            | ConnectionError::NetworkChanged => RETRY,
            ConnectionError::TooManyRedirects => FINAL,
        },
        Offline::Tls(error) => match error {
            // The certificate, or the lack of TLS: another place may have it right, the same one will not.
            TlsError::Required
            | TlsError::NotOffered
            | TlsError::InsecureRedirect
            | TlsError::WrongName { .. }
            | TlsError::CertificateRejected { .. } => ELSEWHERE,
            TlsError::Alert {
                alert,
                certificate_presented,
            } if *certificate_presented && is_about_certificate(*alert) => ELSEWHERE,
            // A server that has just got its new certificate, a handshake that broke: both pass.
            TlsError::Alert { .. }
            | TlsError::StartTlsRefused
            | TlsError::CertificateChanged
            | TlsError::CertificateProbablyRefused => RETRY,
        },
        Offline::Incompatible(error) => match error {
            // Nothing was said in such a place that must not be said in another one.
            PeerIncompatible::NoSasl
            | PeerIncompatible::SessionParameters
            | PeerIncompatible::Version
            | PeerIncompatible::Subprotocol
            | PeerIncompatible::Alpn { .. } => ELSEWHERE,
            PeerIncompatible::NoBind | PeerIncompatible::RequiredFeature { .. } => FINAL,
        },
        // Whoever that was, such as a portal: not the server, as far as anybody knows.
        Offline::Misbehaved(_) if !loss.verified => RETRY,
        Offline::Misbehaved(error) => match error {
            // Others can bring it about.
            PeerMisbehaved::TooManyRequests => RETRY,
            PeerMisbehaved::Xml(XmlError::LimitExceeded { .. }) if loss.was_online => RETRY,
            PeerMisbehaved::Xml(_)
            | PeerMisbehaved::StreamHeader { .. }
            | PeerMisbehaved::ContentNamespace
            | PeerMisbehaved::Frame
            | PeerMisbehaved::BeforeTls => ELSEWHERE,
            PeerMisbehaved::Unexpected { .. }
            | PeerMisbehaved::BoshPayload { .. }
            | PeerMisbehaved::AfterLogin
            | PeerMisbehaved::HandledCount { .. }
            | PeerMisbehaved::StreamManagement { .. }
            | PeerMisbehaved::BoundJid
            | PeerMisbehaved::AuthorizationIdentifier
            | PeerMisbehaved::Sasl2 { .. } => FINAL,
        },
        Offline::Ended(end) => after_end(end, plain),
    }
}

/// RFC 6120 §4.9.3, XEP-0124 §17.2.
fn after_end(end: &SessionEnd, plain: bool) -> After {
    let Some(condition) = end.condition.as_deref() else {
        // A goodbye, without a reason.
        return RETRY;
    };
    match condition {
        // Another session has taken our place: to take it back would never end (RFC 6120 §4.9.3.3).
        "conflict" => FINAL,
        "host-gone"
        | "host-unknown"
        | "improper-addressing"
        | "not-authorized"
        | "policy-violation"
        | "restricted-xml"
        | "bad-format"
        | "bad-namespace-prefix"
        | "bad-request" => FINAL,
        condition if condition.starts_with("invalid-") || condition.starts_with("unsupported-") => FINAL,
        // Anybody who reads along can end a BOSH session, to make the client log in again where he listens.
        "item-not-found" if plain => FINAL,
        // A server may put what was cut off on the old link before the first bytes of the resumed one: it passes.
        "not-well-formed" => RETRY,
        // `system-shutdown`, `reset`, `resource-constraint` and others that pass; and what nobody knows.
        _ => RETRY,
    }
}

/// Alerts by which a server refuses a client certificate (RFC 8446 §6.2).
fn is_about_certificate(alert: u8) -> bool {
    matches!(alert, 42..=46 | 48 | 49 | 116)
}

/// How much a failure tells a person who wants to know why there is no connection.
pub(super) fn telling(reason: &Offline) -> u8 {
    match reason {
        Offline::Connection(ConnectionError::NoEndpoint) => 0,
        Offline::Connection(ConnectionError::Failed(_)) => 1,
        Offline::Connection(
            ConnectionError::Closed
            | ConnectionError::Timeout { .. }
            | ConnectionError::HttpStatus(_)
            | ConnectionError::NotBosh { .. }
            | ConnectionError::GaveUp { .. }
            | ConnectionError::RequestIdsExhausted
            | ConnectionError::TooManyRedirects
            | ConnectionError::NetworkChanged,
        ) => 2,
        Offline::Ended(_) => 3,
        Offline::Incompatible(_) | Offline::Misbehaved(_) => 4,
        Offline::Tls(_) => 5,
        Offline::Login(_) => 6,
        Offline::Stopped => 7,
    }
}

/// Whether a session lasted.
pub(super) fn was_stable(online_since: Option<Instant>, now: Instant) -> bool {
    online_since.is_some_and(|since| now.since(since) >= STABLE)
}

/// Where the server sends the client, as text and as a place: if it may, and if there is such a place. Never to a weaker
/// link than the one that was lost.
pub(super) fn redirect(config: &Config, lost: &Candidate, loss: &Loss<'_>) -> Option<(String, Candidate)> {
    let Offline::Ended(SessionEnd {
        see_other: Some(to), ..
    }) = loss.reason
    else {
        return None;
    };
    // RFC 6120 §4.9.3.19: only a server that has proved who it is.
    if !loss.verified && config.tls == TlsPolicy::Required {
        return None;
    }
    let to = to.as_str();
    // What was encrypted stays so, whatever the policy says.
    let policy = if lost.is_plain_url() {
        config.tls
    } else {
        TlsPolicy::Required
    };
    let candidate = match &lost.endpoint {
        Endpoint::Tcp { .. } => place(config, lost, to)?,
        Endpoint::WebSocket { .. } => {
            check_url(to, "wss", "ws", policy).ok()?;
            Candidate::web_socket(to.to_string())
        }
        Endpoint::Bosh { .. } => {
            check_url(to, "https", "http", policy).ok()?;
            let url = to.to_string();
            Candidate::bosh(match &lost.bosh {
                Some(bosh) => Bosh {
                    url,
                    ..(**bosh).clone()
                },
                None => Bosh::new(url),
            })
        }
    };
    Some((to.to_string(), candidate))
}

/// `host[:port]`, as `see-other-host` (RFC 6120 §4.9.3.19) and `location` (XEP-0198 §5) write it. TLS begins as it did on the
/// lost link; without a port it is 5222, where only STARTTLS is spoken.
pub(super) fn place(config: &Config, lost: &Candidate, text: &str) -> Option<Candidate> {
    let Endpoint::Tcp { tls, .. } = &lost.endpoint else {
        return None;
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(literal) => {
            let (host, rest) = literal.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':')?),
            };
            (host, port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            let host = host.strip_suffix('.').unwrap_or(host);
            if !is_host(host) {
                return None;
            }
            (host, port)
        }
    };
    let (port, tls) = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (port.parse::<u16>().ok().filter(|port| *port > 0)?, *tls)
        }
        Some(_) => return None,
        None => (5222, TcpTls::StartTls),
    };
    Some(Candidate::tcp(config, host.to_string(), port, tls))
}

/// How long to wait before the next round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    retries: u32,
}

impl Backoff {
    /// The pause before the next retry: between half of what is configured and all of it. `None`: there were enough.
    pub(super) fn next(&mut self, config: &Reconnect, ever_online: bool, random: &mut Random) -> Option<Duration> {
        // Before the first login there was an attempt that was no retry.
        let failed = self.retries.saturating_add(u32::from(!ever_online));
        if config.attempts.is_some_and(|attempts| failed >= attempts) {
            return None;
        }
        let pause = match self.retries {
            0 => config.first,
            retries => config
                .second
                .saturating_mul(1_u32.checked_shl(retries - 1).unwrap_or(u32::MAX)),
        };
        self.retries = self.retries.saturating_add(1);
        let pause = u64::try_from(pause.min(config.longest).as_millis()).unwrap_or(u64::MAX);
        Some(Duration::from_millis(random.range(pause / 2..=pause)))
    }
}
