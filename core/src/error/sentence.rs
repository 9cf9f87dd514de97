//! The sentences that errors display as: what happened, and what to do about it. For people; programs match on variants.

use core::fmt::{Display, Formatter, Result, Write};

use super::{
    ChannelBindingProblem, ConnectionError, DropReason, InvalidStanza, IqError, LoginError, Misuse, Offline,
    PeerIncompatible, PeerMisbehaved, Pinned, Refused, RegistrationProblem, ResendReason, SessionEnd, SnapshotError,
    TlsError, WaitingFor, Warning,
};
use crate::input::{Failure, StanzaError};

impl Display for Offline {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Stopped => f.write_str("offline, as asked"),
            Self::Connection(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Login(error) => error.fmt(f),
            Self::Incompatible(error) => error.fmt(f),
            Self::Misbehaved(error) => error.fmt(f),
            Self::Ended(end) => end.fmt(f),
        }
    }
}

impl Display for ConnectionError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Closed => f.write_str("the server closed the connection without a goodbye"),
            Self::Timeout { waiting_for } => write!(f, "the server did not answer in time: waited for {waiting_for}"),
            Self::HttpStatus(401 | 407) => {
                f.write_str("the HTTP server, or a proxy before it, asks for a login of its own; check the URL")
            }
            Self::HttpStatus(status @ 300..=399) => {
                write!(
                    f,
                    "the HTTP server redirects (status {status}); redirects are not followed: use the URL it leads to"
                )
            }
            Self::HttpStatus(404) => {
                f.write_str("the HTTP server has nothing at this path (status 404): check the URL")
            }
            Self::HttpStatus(status) => write!(f, "the HTTP server answered with status {status}"),
            Self::NotBosh { status } => write!(
                f,
                "what answers at this URL is not a BOSH service (HTTP status {status}, and no <body/> of XEP-0124): check the URL, or log in to the network"
            ),
            Self::GaveUp { attempts } => write!(f, "a request was sent {attempts} times and never answered"),
            Self::RequestIdsExhausted => f.write_str("the session has used up its request numbers: start a new one"),
            Self::NoEndpoint => f.write_str(
                "no way to the server was found: DNS and the server's host-meta name none that may be used; give an address",
            ),
            Self::TooManyRedirects => f.write_str("the server sent the client elsewhere again and again"),
            Self::NetworkChanged => f.write_str("the network went away, or became another one"),
        }
    }
}

impl Display for WaitingFor {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::Discovery => "the answers of DNS",
            Self::Link => "the connection",
            Self::Session => "the session to be created",
            Self::Tls => "the answer to the request for TLS",
            Self::Features => "the stream features",
            Self::Login => "the answer to the login",
            Self::Bind => "the resource to be bound",
            Self::Resumption => "the earlier session to be resumed",
            Self::Life => "any sign of life",
        })
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Dns => f.write_str("the host name could not be resolved"),
            Self::Refused => f.write_str("nobody listens at that address and port (connection refused)"),
            Self::Timeout => f.write_str("the server did not answer in time"),
            Self::Reset => f.write_str("the connection broke"),
            Self::TlsAlert(alert) => write!(
                f,
                "the server refused the TLS handshake (alert {alert}, {})",
                alert_name(*alert)
            ),
            Self::CertificateRejected { reason } => write!(f, "the server's certificate was not accepted: {reason}"),
            Self::Http { reason } => write!(f, "the answer was no proper HTTP: {reason}"),
            Self::Other { reason } => f.write_str(reason),
        }
    }
}

impl Display for TlsError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Required => f.write_str("the connection is not protected by verified TLS, so no login was tried"),
            Self::WrongName { expected, verified } => {
                write!(f, "the server's certificate was verified for {verified:?}, not for {expected:?}: no login was tried")
            }
            Self::NotOffered => f.write_str(
                "the server does not offer TLS on this connection, or somebody removed the offer: nothing was sent to it",
            ),
            Self::StartTlsRefused => f.write_str("the server offered TLS and then refused to begin it"),
            Self::InsecureRedirect => {
                f.write_str("the server sent the client to an address without the same protection: it was not followed")
            }
            Self::CertificateRejected { reason } => write!(f, "the server's certificate was not accepted: {reason}"),
            Self::Alert { alert, certificate_presented } => {
                write!(f, "the server refused the TLS handshake (alert {alert}, {})", alert_name(*alert))?;
                if *certificate_presented {
                    f.write_str("; a client certificate was presented, and it is probably what was refused")?;
                }
                Ok(())
            }
            Self::CertificateChanged => {
                f.write_str("the server's certificate changed in the middle of the session: stopped, nothing more was sent")
            }
            Self::CertificateProbablyRefused => f.write_str(
                "the connection broke before the first answer; a client certificate was presented, and a server that refuses it says so just like this",
            ),
        }
    }
}

impl Display for LoginError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Refused {
                mechanism,
                condition,
                text,
                client_certificate_requested,
            } => {
                write!(f, "the server refused the login by {mechanism}: {condition}")?;
                if let Some(text) = text {
                    f.write_str(" (it says: ")?;
                    quote(f, text)?;
                    f.write_char(')')?;
                }
                if mechanism == "EXTERNAL" && *client_certificate_requested == Some(false) {
                    f.write_str("; the server did not ask for a client certificate on this port")?;
                } else if mechanism == "EXTERNAL" && condition == "account-disabled" {
                    f.write_str(
                        "; some servers say so when they do not trust the certificate, or find no account in it",
                    )?;
                }
                let by_password = mechanism == "PLAIN" || mechanism.starts_with("SCRAM-");
                if by_password && condition == "not-authorized" {
                    f.write_str("; the name or the password is wrong")?;
                }
                Ok(())
            }
            Self::UnknownAnswer { mechanism, element } => {
                write!(f, "the server refused the login by {mechanism}: it answered ")?;
                quote(f, element)?;
                f.write_str(", which is neither success nor failure")?;
                if mechanism == "EXTERNAL" {
                    f.write_str(
                        "; some servers answer so when the client certificate has expired, or is not valid yet",
                    )?;
                }
                Ok(())
            }
            Self::NoMechanism {
                offered,
                wanted,
                client_certificate_requested,
            } => {
                f.write_str("the server does not offer ")?;
                list(f, wanted)?;
                f.write_str(": it offers ")?;
                if offered.is_empty() {
                    f.write_str("nothing")?;
                } else {
                    list(f, offered)?;
                }
                if wanted.iter().any(|name| name == "EXTERNAL") {
                    f.write_str(match client_certificate_requested {
                        Some(true) => {
                            "; it did ask for a client certificate, so it probably does not trust the one presented"
                        }
                        Some(false) | None => "; a server that asks for client certificates on this port is needed",
                    })?;
                } else if offered.iter().any(|name| name == "PLAIN") {
                    f.write_str("; PLAIN would show it the password, and has to be allowed first")?;
                } else if offered.iter().any(|name| name == "EXTERNAL") {
                    f.write_str("; a client certificate is needed")?;
                }
                Ok(())
            }
            Self::Mechanism { mechanism, error } => write!(f, "the login by {mechanism} was broken off: {error}"),
            Self::TokenRefused {
                mechanism,
                condition,
                status,
                scope,
                ..
            } => {
                write!(f, "the server refused the access token by {mechanism}: {condition}")?;
                if let Some(status) = status {
                    f.write_str(" (it says: ")?;
                    quote(f, status)?;
                    f.write_char(')')?;
                }
                if let Some(scope) = scope {
                    f.write_str("; a token needs the scope ")?;
                    quote(f, scope)?;
                }
                f.write_str("; get a new token")
            }
            Self::Downgrade { pinned, offered } => {
                f.write_str(match pinned {
                    Pinned::Scram => {
                        "this account was logged in to without showing the password before, and now the server does \
                         not offer that: it offers "
                    }
                    Pinned::ChannelBinding => {
                        "logins to this account were bound to the connection before, and now the server does not offer \
                         that: it offers "
                    }
                })?;
                list(f, offered)?;
                f.write_str(
                    "; somebody may be in between; if the server was changed on purpose, remove what is stored about it",
                )
            }
            Self::ChannelBinding { problem } => {
                f.write_str("what the server offers to bind the login to does not fit together: ")?;
                match problem {
                    ChannelBindingProblem::NoTypes => f.write_str("mechanisms, and no types")?,
                    ChannelBindingProblem::NoMechanism => f.write_str("types, and no mechanism")?,
                    ChannelBindingProblem::NothingInCommon { offered } => {
                        f.write_str("only types that this client does not have, ")?;
                        list(f, offered)?;
                    }
                }
                f.write_str("; somebody may have changed it on the way")
            }
            Self::Tasks { tasks, text } => {
                f.write_str("the server wants more before the login is complete, which this application cannot do: ")?;
                list(f, tasks)?;
                if let Some(text) = text {
                    f.write_str(" (it says: ")?;
                    quote(f, text)?;
                    f.write_char(')')?;
                }
                Ok(())
            }
            Self::NoToken { condition } => match condition {
                Some(condition) => write!(
                    f,
                    "the server does not take the stored login token any more ({condition}): log in with a password"
                ),
                None => f.write_str("there is no stored login token for this server: log in with a password once"),
            },
            Self::Registration { problem } => match problem {
                RegistrationProblem::NotOffered => f.write_str("the server does not let clients register accounts"),
                RegistrationProblem::Fields { fields, instructions } => {
                    f.write_str("to register an account the server wants more than a name and a password: ")?;
                    list(f, fields)?;
                    if let Some(instructions) = instructions {
                        f.write_str("; it says: ")?;
                        quote(f, instructions)?;
                    }
                    Ok(())
                }
                RegistrationProblem::Exists => f.write_str("an account of this name exists already: choose another"),
                RegistrationProblem::Refused { error } => {
                    write!(f, "the server refused to register the account: {error}")
                }
            },
            Self::UnexpectedIdentity { bound } => {
                f.write_str("the server logged in another account than the one that was asked for: ")?;
                quote(f, bound)
            }
            Self::BindRefused { error } => write!(f, "logged in, but the server refused to bind a resource: {error}"),
        }
    }
}

impl Display for PeerIncompatible {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::NoSasl => "the server offers no login (SASL) on this connection",
            Self::NoBind => "the server offers no resource binding, so there is nothing to log in to",
            Self::SessionParameters => {
                "the server created a BOSH session that cannot be used: no sid, or no request allowed"
            }
            Self::Version => "the server speaks XMPP from before version 1.0: there is no login (SASL) in it",
            Self::Subprotocol => "the server of the WebSocket does not speak XMPP there: it did not select `xmpp`",
            Self::Alpn { protocol } => {
                f.write_str("the server does not speak XMPP on this port: TLS settled on ")?;
                return quote(f, protocol);
            }
            Self::RequiredFeature { feature } => {
                f.write_str("the server requires something that this client does not know: ")?;
                return quote(f, feature);
            }
        })
    }
}

impl Display for PeerMisbehaved {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Xml(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Unexpected { waiting_for, element } => {
                f.write_str("the server broke the protocol: it sent ")?;
                quote(f, element)?;
                write!(f, " where {waiting_for} was expected")
            }
            Self::BoshPayload { element } => {
                f.write_str("the server broke the protocol: a BOSH body carries ")?;
                quote(f, element)
            }
            Self::BeforeTls => {
                f.write_str("something followed the server's word that TLS begins: somebody may have put it there")
            }
            Self::AfterLogin => f.write_str(
                "the server broke the protocol: it went on after the login without waiting for the new stream",
            ),
            Self::StreamHeader { element } => {
                f.write_str("the server broke the protocol: its stream begins with ")?;
                quote(f, element)
            }
            Self::ContentNamespace => f.write_str("the server's stream is not one for clients (jabber:client)"),
            Self::Frame => f.write_str("the server broke the protocol: a WebSocket message is not one element"),
            Self::HandledCount { handled, sent } => write!(
                f,
                "the server broke the protocol: it acknowledges {handled} stanzas, and {sent} were sent"
            ),
            Self::StreamManagement { element } => {
                f.write_str("the server broke the protocol of acknowledgements: ")?;
                quote(f, element)
            }
            Self::AuthorizationIdentifier => {
                f.write_str("the server broke the protocol: it reported a login and did not say whose")
            }
            Self::Sasl2 { element } => {
                f.write_str("the server broke the protocol of the login (SASL2): ")?;
                quote(f, element)
            }
            Self::BoundJid => f.write_str("the server broke the protocol: what it bound is no full JID"),
            Self::TooManyRequests => f.write_str("more requests arrived than can be kept track of"),
        }
    }
}

impl Display for SessionEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.condition {
            None => f.write_str("the server ended the session")?,
            Some(condition) => {
                write!(f, "the server ended the session: {condition}")?;
                if let Some(meaning) = meaning(condition) {
                    write!(f, " ({meaning})")?;
                }
            }
        }
        if let Some(application) = &self.application {
            f.write_str(", ")?;
            quote(f, application)?;
        }
        if let Some(text) = &self.text {
            f.write_str("; it says: ")?;
            quote(f, text)?;
        }
        if let Some(uri) = &self.see_other {
            f.write_str("; it points to ")?;
            quote(f, uri)?;
        }
        Ok(())
    }
}

impl Display for IqError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Disconnected => f.write_str("the session ended before the answer came"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

impl Display for StanzaError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.condition)?;
        if let Some(text) = &self.text {
            f.write_str(" (")?;
            quote(f, text)?;
            f.write_char(')')?;
        }
        Ok(())
    }
}

impl Display for Warning {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::CertificateWithoutName => f.write_str(
                "the client certificate names nobody (no xmppAddr in its subjectAltName): the server decides whom it stands for",
            ),
            Self::CertificateNamesOthers { names } => {
                f.write_str("the client certificate does not name this account, but ")?;
                list(f, names)?;
                f.write_str(": the server decides")
            }
            Self::CertificateNameType => f.write_str(
                "the name in the client certificate is not a UTF8String, which RFC 6120 asks for: some servers will refuse it",
            ),
            Self::CertificateNamesSeveral => f.write_str(
                "the client certificate names several accounts, and the policy says not to name one: the server may choose another",
            ),
            Self::TokenRefused { condition } => write!(
                f,
                "the server does not take the stored login token any more ({condition}): logging in with the credentials"
            ),
            Self::TokenUnusable { mechanism } => write!(
                f,
                "the stored login token was not used: it is for {mechanism}, which this connection or the server lacks"
            ),
            Self::TokenIgnored => f.write_str("the server sent a login token that cannot be used: the earlier one stays"),
            Self::Upgraded { mechanism } => {
                write!(f, "the server was given the means for a stronger login next time: {mechanism}")
            }
            Self::CertificateUnreadable => f.write_str("the client certificate that was given cannot be read as X.509"),
            Self::Resent { attempt, reason } => write!(f, "request failed at attempt {attempt} ({reason}): sent again"),
            Self::Hurried => f.write_str("the server answers empty requests at once: they are spaced out"),
            Self::NotResumed { condition } => {
                f.write_str("the server did not resume the earlier session")?;
                condition.as_ref().map_or(Ok(()), |condition| write!(f, " ({condition})"))?;
                f.write_str(": a new one begins")
            }
            Self::Redirected { to } => {
                f.write_str("the server sent the client elsewhere: to ")?;
                quote(f, to)
            }
            Self::NoStreamManagement { condition } => {
                f.write_str("the server refused to manage the stream")?;
                condition.as_ref().map_or(Ok(()), |condition| write!(f, " ({condition})"))?;
                f.write_str(": it cannot be resumed")
            }
            Self::Dropped { reason } => write!(f, "a stanza was dropped: {reason}"),
        }
    }
}

impl Display for ResendReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::HttpStatus(status) => write!(f, "HTTP status {status}"),
            Self::NotBosh => f.write_str("the answer was no BOSH body"),
            Self::Asked => f.write_str("the server asked for it"),
        }
    }
}

impl Display for DropReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::From => "its sender's address is not valid",
            Self::To => "it is for another account",
            Self::UnexpectedAnswer => "it answers nothing, or comes from another entity than the one that was asked",
            Self::Malformed => "it is malformed",
        })
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Misuse(misuse) => misuse.fmt(f),
            Self::Full => f.write_str("the outbound queue is full: wait for Writable"),
            Self::TooLarge { bytes, maximum } => write!(f, "the stanza has {bytes} bytes; at most {maximum} are sent"),
            Self::Invalid { why } => why.fmt(f),
            Self::NotStarted => f.write_str("not online yet: start first (a presence has to wait for Online)"),
            Self::Snapshot(error) => error.fmt(f),
        }
    }
}

impl Display for SnapshotError {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Corrupt => f.write_str("what was stored is damaged: the earlier session cannot go on"),
            Self::Foreign => f.write_str("what was stored belongs to another account, or to another slot"),
            Self::Newer { version } => write!(
                f,
                "what was stored has format version {version}, of a later version of this library: the earlier session cannot go on"
            ),
        }
    }
}

impl Display for Misuse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::AlreadyStarted => "the client is started already: wait for Offline before starting again",
            Self::NotForThisTransport => "this input does not exist on this link's transport",
            Self::AlreadyConnected => "this link is connected already",
            Self::NoTask => "no task waits for the application",
            Self::CredentialsOfAnother => "these credentials cannot log in to the account of this client",
            Self::TooLateToRestore => "a slot is restored once, before the first start",
            Self::UnknownToken => "this request is answered already, or never existed",
        })
    }
}

impl Display for InvalidStanza {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Self::NotMessageOrPresence => "Send takes a <message/> or a <presence/> in jabber:client",
            Self::NotIqRequest => "Request takes an <iq/> of type get or set in jabber:client",
            Self::PayloadCount => "an <iq/> of type get or set has exactly one child element",
            Self::To => "its 'to' is not a valid JID",
            Self::From => "its 'from' is neither the account nor the bound JID; leave it out",
            Self::ErrorCondition => {
                "the condition of the error is not a name: use one of RFC 6120 §8.3.3, such as item-not-found"
            }
        })
    }
}

impl core::error::Error for Offline {}
impl core::error::Error for Refused {}
impl core::error::Error for SnapshotError {}
impl core::error::Error for IqError {}
impl core::error::Error for StanzaError {}

/// Writes a peer's text so that it can do nothing to a terminal or a log: quoted, control characters escaped.
fn quote(f: &mut Formatter<'_>, text: &str) -> Result {
    write!(f, "{text:?}")
}

fn list(f: &mut Formatter<'_>, names: &[alloc::string::String]) -> Result {
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        // What a server calls something is its text.
        if name.chars().all(|c| c.is_ascii_graphic()) {
            f.write_str(name)?;
        } else {
            quote(f, name)?;
        }
    }
    Ok(())
}

/// What some conditions mean for a person (RFC 6120 §4.9.3, XEP-0124 §17.2).
fn meaning(condition: &str) -> Option<&'static str> {
    match condition {
        "conflict" => Some("another login took this session's place"),
        "host-unknown" => Some("the server does not serve this domain"),
        "host-gone" => Some("the server no longer serves this domain"),
        "improper-addressing" => Some("the domain is missing or malformed"),
        "item-not-found" => Some("the session is gone, or one of its requests was not expected"),
        "policy-violation" => Some("the session broke a rule of the server's"),
        "remote-connection-failed" => Some("the connection manager could not reach the XMPP server"),
        "see-other-uri" => Some("the service is elsewhere"),
        "system-shutdown" => Some("the server is shutting down"),
        _ => None,
    }
}

/// The alerts that a client may meet (RFC 8446 §6.2).
fn alert_name(alert: u8) -> &'static str {
    match alert {
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        48 => "unknown_ca",
        49 => "access_denied",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "see RFC 8446 §6",
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    #[test]
    fn a_missing_mechanism_says_what_is_offered_and_what_to_do() {
        let error = LoginError::NoMechanism {
            offered: vec!["SCRAM-SHA-1".to_string(), "PLAIN".to_string()],
            wanted: vec!["EXTERNAL".to_string()],
            client_certificate_requested: None,
        };
        assert_eq!(
            error.to_string(),
            "the server does not offer EXTERNAL: it offers SCRAM-SHA-1, PLAIN; a server that asks for client certificates on this port is needed"
        );
    }

    #[test]
    fn a_peers_text_cannot_forge_a_log_line() {
        let end = SessionEnd {
            condition: Some("conflict".to_string()),
            text: Some("x\n\u{1b}[31mFAKE".to_string()),
            application: None,
            see_other: None,
        };
        assert!(!end.to_string().contains(['\n', '\u{1b}']), "{end}");
    }
}
