//! What a host tells the client, as records and enums that cross.

use std::borrow::Cow;
use std::time::Duration;

use epode::xml::XmlLimits;
use epode::{Element, LinkId, RequestId, Token};

use crate::Refused;

const NS_CLIENT: &str = "jabber:client";

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Input {
    /// The user wants to be online.
    Start,
    /// The user wants to be offline. The client says goodbye first; `Offline` is the end.
    Stop,
    /// A link is ready. For BOSH: the HTTP client is ready, and `info` states what holds for each of its requests.
    Connected {
        /// The link of the `Connect` that this answers.
        link: u64,
        /// What the host knows of it.
        info: LinkInfo,
    },
    /// One HTTP answer, whole. [`Client::responded`](crate::Client::responded) does the same without a copy.
    Responded {
        /// The link of the `Post`.
        link: u64,
        /// The attempt of the `Post`.
        request: u64,
        /// The HTTP status code.
        status: u16,
        /// The body, after transfer coding.
        body: Vec<u8>,
        /// Facts of the connection that carried it, where the host knows them.
        tls: Option<TlsFacts>,
    },
    /// Something broke: the link, or one HTTP request on it.
    Failed {
        /// The link.
        link: u64,
        /// The attempt, where only one request failed.
        request: Option<u64>,
        /// How.
        reason: Failure,
    },
    /// The peer closed the link.
    Ended {
        /// The link.
        link: u64,
    },
    /// The host has stopped reading from the link because the application is slow (`false`), or reads again (`true`).
    Reading {
        /// The link.
        link: u64,
        /// Whether the host reads.
        reading: bool,
    },
    /// The deadline passed. Early or twice is harmless.
    Tick,
    /// Send a message or a presence. The token follows its delivery.
    Send {
        /// The stanza; one without a namespace is in `jabber:client`.
        xml: Vec<u8>,
    },
    /// Send an `iq` of type `get` or `set`. Its answer comes as `IqDone`, once.
    Request {
        /// The `iq`; its `id` is replaced by one that nobody can guess.
        xml: Vec<u8>,
        /// How many milliseconds to wait for the answer; `None` takes the configuration's.
        timeout_ms: Option<u64>,
    },
    /// Answer a request.
    Respond {
        /// The token of the request.
        token: u64,
        /// The answer.
        reply: Reply,
    },
    /// Give up on a request, or on a stanza that has not been written yet.
    Cancel {
        /// What the `Step` gave for it.
        token: u64,
    },
}

/// The answer to an `iq` request.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Reply {
    /// It was served.
    Result {
        /// The payload, if there is one, as XML.
        payload: Option<Vec<u8>>,
    },
    /// It was not.
    Error {
        /// Why.
        error: StanzaError,
    },
}

/// What the host knows of a link that has come up.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct LinkInfo {
    /// TLS protects it.
    pub encrypted: bool,
    /// Who checked the server's certificate, and for which name.
    pub verified: Verified,
    /// The TLS version, as `1.2` or `1.3`, where it is known.
    #[uniffi(default = None)]
    pub tls_version: Option<String>,
    /// Whether the server asked for a client certificate, where it is known.
    #[uniffi(default = None)]
    pub client_certificate_requested: Option<bool>,
    /// The client certificate that is presented (DER), if the host can show it.
    #[uniffi(default = None)]
    pub client_certificate: Option<Vec<u8>>,
}

/// Who verified the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Verified {
    /// Nobody.
    No,
    /// The host, which saw the certificate.
    Host {
        /// The name that the certificate was found valid for.
        name: String,
    },
    /// The platform, unseen by the host.
    Platform {
        /// The name that the platform was asked to connect to.
        name: String,
    },
}

/// What was seen of the TLS connection that carried one HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct TlsFacts {
    /// The TLS version, as `1.2` or `1.3`.
    #[uniffi(default = None)]
    pub version: Option<String>,
    /// SHA-256 of the server's leaf certificate (DER): 32 bytes.
    #[uniffi(default = None)]
    pub server_certificate_sha256: Option<Vec<u8>>,
    /// Whether the server asked for a client certificate on this connection.
    #[uniffi(default = None)]
    pub client_certificate_requested: Option<bool>,
}

/// How a link, or one HTTP request, broke.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Failure {
    /// The host name could not be resolved.
    Dns,
    /// Nobody listens at the address.
    Refused,
    /// No answer in time.
    Timeout,
    /// The connection was reset, or ended in the middle of an answer.
    Reset,
    /// The server refused the TLS handshake with this alert (RFC 8446 §6).
    TlsAlert {
        /// Its number.
        alert: u8,
    },
    /// The server's certificate was not accepted by the host.
    CertificateRejected {
        /// Why, for a person.
        reason: String,
    },
    /// The answer was no HTTP, or larger than allowed.
    Http {
        /// Why, for a person.
        reason: String,
    },
    /// Anything else.
    Other {
        /// What, for a person.
        reason: String,
    },
}

/// A stanza error (RFC 6120 §8.3), received or to be sent.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct StanzaError {
    /// What to do about it.
    pub kind: StanzaErrorType,
    /// The defined condition, as `service-unavailable`.
    pub condition: String,
    /// Text for a person: from the peer, so not to be trusted.
    #[uniffi(default = None)]
    pub text: Option<String>,
}

/// What to do about a stanza error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum StanzaErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Proceed: it was a warning.
    Continue,
    /// Retry after changing what was sent.
    Modify,
    /// Retry after waiting.
    Wait,
}

impl Input {
    pub(crate) fn into_core(self) -> Result<epode::Input<'static>, Refused> {
        Ok(match self {
            Self::Start => epode::Input::Start,
            Self::Stop => epode::Input::Stop,
            Self::Connected { link, info } => epode::Input::Connected {
                link: LinkId(link),
                info: info.into_core(),
            },
            Self::Responded {
                link,
                request,
                status,
                body,
                tls,
            } => epode::Input::Responded {
                link: LinkId(link),
                request: RequestId(request),
                status,
                body: Cow::Owned(body),
                tls: tls.map(TlsFacts::into_core).transpose()?,
            },
            Self::Failed { link, request, reason } => epode::Input::Failed {
                link: LinkId(link),
                request: request.map(RequestId),
                reason: reason.into_core(),
            },
            Self::Ended { link } => epode::Input::Ended { link: LinkId(link) },
            Self::Reading { link, reading } => epode::Input::Reading {
                link: LinkId(link),
                reading,
            },
            Self::Tick => epode::Input::Tick,
            Self::Send { xml } => epode::Input::Send { stanza: stanza(&xml)? },
            Self::Request { xml, timeout_ms } => epode::Input::Request {
                iq: stanza(&xml)?,
                timeout: timeout_ms.map(Duration::from_millis),
            },
            Self::Respond { token, reply } => epode::Input::Respond {
                token: Token(token),
                result: reply.into_core()?,
            },
            Self::Cancel { token } => epode::Input::Cancel { token: Token(token) },
        })
    }
}

fn element(xml: &[u8]) -> Result<Element, Refused> {
    Element::parse(xml, &XmlLimits::default()).map_err(|error| Refused::Xml { why: error.to_string() })
}

/// What stands in a stream without a namespace of its own is in that of the stream (RFC 6120 §4.8.2).
fn stanza(xml: &[u8]) -> Result<Element, Refused> {
    let mut stanza = element(xml)?;
    if stanza.namespace().is_empty() {
        stanza
            .replace_namespace("", NS_CLIENT)
            .map_err(|error| Refused::Xml { why: error.to_string() })?;
    }
    Ok(stanza)
}

impl Reply {
    fn into_core(self) -> Result<Result<Option<Element>, epode::StanzaError>, Refused> {
        Ok(match self {
            Self::Result { payload } => Ok(payload.map(|xml| element(&xml)).transpose()?),
            Self::Error { error } => Err(error.into_core()),
        })
    }
}

impl LinkInfo {
    fn into_core(self) -> epode::LinkInfo {
        epode::LinkInfo {
            alpn: None,
            subprotocol: None,
            encrypted: self.encrypted,
            verified: match self.verified {
                Verified::No => epode::Verified::No,
                Verified::Host { name } => epode::Verified::Host { name },
                Verified::Platform { name } => epode::Verified::Platform { name },
            },
            tls_version: self.tls_version,
            client_certificate_requested: self.client_certificate_requested,
            client_certificate: self.client_certificate,
        }
    }
}

impl TlsFacts {
    pub(crate) fn into_core(self) -> Result<epode::TlsFacts, Refused> {
        let digest = self.server_certificate_sha256.map(<[u8; 32]>::try_from).transpose();
        Ok(epode::TlsFacts {
            version: self.version,
            server_certificate_sha256: digest.map_err(|digest| Refused::Misuse {
                why: format!("a SHA-256 has 32 bytes, not {}", digest.len()),
            })?,
            client_certificate_requested: self.client_certificate_requested,
        })
    }
}

impl Failure {
    fn into_core(self) -> epode::Failure {
        match self {
            Self::Dns => epode::Failure::Dns,
            Self::Refused => epode::Failure::Refused,
            Self::Timeout => epode::Failure::Timeout,
            Self::Reset => epode::Failure::Reset,
            Self::TlsAlert { alert } => epode::Failure::TlsAlert(alert),
            Self::CertificateRejected { reason } => epode::Failure::CertificateRejected { reason },
            Self::Http { reason } => epode::Failure::Http { reason },
            Self::Other { reason } => epode::Failure::Other { reason },
        }
    }
}

impl StanzaError {
    fn into_core(self) -> epode::StanzaError {
        epode::StanzaError {
            kind: match self.kind {
                StanzaErrorType::Auth => epode::StanzaErrorType::Auth,
                StanzaErrorType::Cancel => epode::StanzaErrorType::Cancel,
                StanzaErrorType::Continue => epode::StanzaErrorType::Continue,
                StanzaErrorType::Modify => epode::StanzaErrorType::Modify,
                StanzaErrorType::Wait => epode::StanzaErrorType::Wait,
            },
            condition: self.condition,
            text: self.text,
        }
    }
}

impl From<epode::StanzaError> for StanzaError {
    fn from(error: epode::StanzaError) -> Self {
        Self {
            kind: match error.kind {
                epode::StanzaErrorType::Auth => StanzaErrorType::Auth,
                epode::StanzaErrorType::Cancel => StanzaErrorType::Cancel,
                epode::StanzaErrorType::Continue => StanzaErrorType::Continue,
                epode::StanzaErrorType::Modify => StanzaErrorType::Modify,
                epode::StanzaErrorType::Wait => StanzaErrorType::Wait,
            },
            condition: error.condition,
            text: error.text,
        }
    }
}
