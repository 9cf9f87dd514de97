//! What a host tells the client, as records and enums that cross.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use epode::xml::XmlLimits;
use epode::{Element, JobId, LinkId, QueryId, RequestId, Secret, Token};

use crate::Refused;
use crate::key::DerivedKey;
use crate::login::Credentials;

const NS_CLIENT: &str = "jabber:client";

/// What happened. Its `Debug` shows its name only: a session, which is as good as a login, is in some of them.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Input {
    /// The user wants to be online.
    Start,
    /// The user wants to be offline. The client says goodbye first; `Offline` is the end.
    Stop,
    /// Before the first `Start`: what an earlier client stored (`Store`), one slot at a time. The client goes on where that one was.
    Restore {
        /// The slot.
        slot: Slot,
        /// All that was stored in it, in order.
        bytes: Vec<u8>,
    },
    /// What the wall clock shows: used for the time stamps of stanzas that are sent late (XEP-0203), and for nothing else.
    Clock {
        /// Milliseconds since 1970-01-01T00:00:00Z.
        unix_ms: u64,
    },
    /// A `Resolve` is answered.
    Resolved {
        /// The query of the `Resolve`.
        query: u64,
        /// The answer.
        resolution: Resolution,
    },
    /// A link is ready: TCP is up, and TLS where it was asked for; after `StartTls`, TLS is up; the WebSocket is open. For BOSH: the
    /// HTTP client is ready, and `info` states what holds for each of its requests.
    Connected {
        /// The link of the `Connect` that this answers.
        link: u64,
        /// What the host knows of it.
        info: LinkInfo,
    },
    /// Bytes from TCP, cut anywhere; or one whole WebSocket text message. [`Client::received`](crate::Client::received) does the same
    /// without a copy.
    Received {
        /// The link.
        link: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// So many more bytes of what `Write` and `Frame` gave have left the host's buffer (of a frame: of its text).
    Written {
        /// The link.
        link: u64,
        /// How many more.
        bytes: u64,
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
    /// The network came, went, or became another one.
    Network {
        /// What became of it.
        network: Network,
    },
    /// Whether somebody looks at the application: a server holds back what can wait while nobody does (XEP-0352).
    Foreground {
        /// Somebody does.
        foreground: bool,
    },
    /// The device is about to sleep for at most so long: on BOSH the server is told (XEP-0124 §10); elsewhere everything is
    /// acknowledged that can be.
    Pause {
        /// For how many seconds.
        seconds: u32,
    },
    /// With `Acknowledge::Manual`: the application has dealt with a received stanza.
    Handled {
        /// The token of its event.
        token: u64,
    },
    /// A `DeriveKey` is done. One that nobody waits for any more is ignored.
    Derived {
        /// The job of the `DeriveKey`.
        job: u64,
        /// The key.
        key: Arc<DerivedKey>,
    },
    /// From the next login on these are the credentials: an access token that was renewed, a password that was changed. They must be for
    /// the same account.
    Provide {
        /// The credentials.
        credentials: Credentials,
    },
    /// Answers an `Event::Task`: the first answer begins the task, each further one goes on with it (XEP-0388 §2.6.3).
    Task {
        /// The task's own element as XML, all namespaces declared, if it has one to say.
        payload: Option<Vec<u8>>,
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

/// The answer to a `Resolve`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Resolution {
    /// The SRV records of the name; none, where it has none or does not exist.
    Records {
        /// The records, in any order.
        records: Vec<SrvRecord>,
    },
    /// The document, answered with HTTP status 200.
    Document {
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// There is no answer.
    Failed {
        /// Why.
        reason: Failure,
    },
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SrvRecord {
    /// Lower is tried first.
    pub priority: u16,
    /// Among equals, the share of the attempts.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` says that the service is not offered.
    pub target: String,
}

/// What became of the device's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Network {
    /// There is one: what waits for a retry is tried now.
    Up,
    /// There is none: nothing is tried until there is.
    Down,
    /// It is another one: the present link is checked, or replaced.
    Changed,
}

/// One of the places that a host keeps for a client between processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Slot {
    /// The session: as good as a login while it lasts.
    Session,
    /// A login token.
    Token,
    /// What is known of the account's server.
    Pins,
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
    /// The application protocol that TLS settled on (ALPN), if any.
    #[uniffi(default = None)]
    pub alpn: Option<String>,
    /// The subprotocol that the server of a WebSocket selected: it has to be `xmpp` (RFC 7395 §3.1).
    #[uniffi(default = None)]
    pub subprotocol: Option<String>,
    /// What a login on this connection can be bound to, where it is known.
    #[uniffi(default = None)]
    pub channel_bindings: Option<ChannelBindings>,
}

/// The channel bindings of one TLS connection. They change with every connection: a host whose HTTP library opens several for one BOSH
/// session can give `tls_server_end_point` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, uniffi::Record)]
pub struct ChannelBindings {
    /// RFC 9266: 32 bytes, exported with the label `EXPORTER-Channel-Binding` and an empty context. With TLS 1.2 only where the extended
    /// master secret (RFC 7627) was negotiated.
    #[uniffi(default = None)]
    pub tls_exporter: Option<Vec<u8>>,
    /// RFC 5929 §3: the first Finished message of the handshake. Never with TLS 1.3, and with TLS 1.2 only where the extended master secret
    /// was negotiated.
    #[uniffi(default = None)]
    pub tls_unique: Option<Vec<u8>>,
    /// RFC 5929 §4: the hash of the server's certificate, by the hash function of its signature, or SHA-256 where that is MD5 or SHA-1.
    #[uniffi(default = None)]
    pub tls_server_end_point: Option<Vec<u8>>,
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
            Self::Restore { slot, bytes } => epode::Input::Restore {
                slot: match slot {
                    Slot::Session => epode::Slot::Session,
                    Slot::Token => epode::Slot::Token,
                    Slot::Pins => epode::Slot::Pins,
                },
                bytes: Secret::new(bytes),
            },
            Self::Clock { unix_ms } => epode::Input::Clock { unix_ms },
            Self::Resolved { query, resolution } => epode::Input::Resolved {
                query: QueryId(query),
                answer: resolution.into_core(),
            },
            Self::Connected { link, info } => epode::Input::Connected {
                link: LinkId(link),
                info: info.into_core(),
            },
            Self::Received { link, bytes } => epode::Input::Received {
                link: LinkId(link),
                bytes: Cow::Owned(bytes),
            },
            Self::Written { link, bytes } => epode::Input::Written {
                link: LinkId(link),
                bytes,
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
            Self::Network { network } => epode::Input::Network(match network {
                Network::Up => epode::Network::Up,
                Network::Down => epode::Network::Down,
                Network::Changed => epode::Network::Changed,
            }),
            Self::Foreground { foreground } => epode::Input::Foreground(foreground),
            Self::Pause { seconds } => epode::Input::Pause { seconds },
            Self::Handled { token } => epode::Input::Handled { token: Token(token) },
            Self::Derived { job, key } => epode::Input::Derived {
                job: JobId(job),
                key: key.core().clone(),
            },
            Self::Provide { credentials } => epode::Input::Provide {
                credentials: credentials.into_core(),
            },
            Self::Task { payload } => epode::Input::Task {
                payload: payload.map(|xml| element(&xml)).transpose()?,
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

/// Names the input, and nothing that is in it: that is what a log needs, and all that it may have.
impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "Start",
            Self::Stop => "Stop",
            Self::Restore { .. } => "Restore",
            Self::Clock { .. } => "Clock",
            Self::Resolved { .. } => "Resolved",
            Self::Connected { .. } => "Connected",
            Self::Received { .. } => "Received",
            Self::Written { .. } => "Written",
            Self::Responded { .. } => "Responded",
            Self::Failed { .. } => "Failed",
            Self::Ended { .. } => "Ended",
            Self::Reading { .. } => "Reading",
            Self::Network { .. } => "Network",
            Self::Foreground { .. } => "Foreground",
            Self::Pause { .. } => "Pause",
            Self::Handled { .. } => "Handled",
            Self::Derived { .. } => "Derived",
            Self::Provide { .. } => "Provide",
            Self::Task { .. } => "Task",
            Self::Tick => "Tick",
            Self::Send { .. } => "Send",
            Self::Request { .. } => "Request",
            Self::Respond { .. } => "Respond",
            Self::Cancel { .. } => "Cancel",
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

impl Resolution {
    fn into_core(self) -> epode::Answer<'static> {
        match self {
            Self::Records { records } => {
                let records = records.into_iter().map(|record| epode::SrvRecord {
                    priority: record.priority,
                    weight: record.weight,
                    port: record.port,
                    target: record.target,
                });
                epode::Answer::Records(records.collect())
            }
            Self::Document { bytes } => epode::Answer::Document(Cow::Owned(bytes)),
            Self::Failed { reason } => epode::Answer::Failed(reason.into_core()),
        }
    }
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
            alpn: self.alpn,
            subprotocol: self.subprotocol,
            encrypted: self.encrypted,
            verified: match self.verified {
                Verified::No => epode::Verified::No,
                Verified::Host { name } => epode::Verified::Host { name },
                Verified::Platform { name } => epode::Verified::Platform { name },
            },
            tls_version: self.tls_version,
            client_certificate_requested: self.client_certificate_requested,
            client_certificate: self.client_certificate,
            channel_bindings: self.channel_bindings.unwrap_or_default().into_core(),
        }
    }
}

impl ChannelBindings {
    fn into_core(self) -> epode::ChannelBindings {
        epode::ChannelBindings {
            tls_exporter: self.tls_exporter,
            tls_unique: self.tls_unique,
            tls_server_end_point: self.tls_server_end_point,
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
