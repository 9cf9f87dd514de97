//! What a host tells the client: one enum, and the facts that come with it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::config::Credentials;
use crate::sasl::{ChannelBindingType, DerivedKey};
use crate::secret::Secret;
use crate::xml::Element;

/// One transport connection, or one BOSH session, in the life of a client. Ids are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct LinkId(pub u64);

/// One attempt at one HTTP request. A resend of the same bytes is another attempt, with another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct RequestId(pub u64);

/// One question to the host: DNS, or a document. Ids are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct QueryId(pub u64);

/// One derivation of a key that the host runs. Ids are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct JobId(pub u64);

/// A stanza of the application's, or a request to it: what ties a later event to its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Token(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query {}", self.0)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {}", self.0)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {}", self.0)
    }
}

/// What happened: the argument of [`Client::handle`](crate::Client::handle).
///
/// An input that is about a link names it, so that what arrives from a link that is already gone is ignored, never
/// taken for news from another.
#[derive(Clone, PartialEq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The user wants to be online.
    Start,
    /// The user wants to be offline. The client says goodbye in the protocol first; [`Event::Offline`] is the end.
    ///
    /// [`Event::Offline`]: crate::Event::Offline
    Stop,
    /// Before the first `Start`: what an earlier client stored ([`Output::Store`](crate::Output::Store)), one slot at a
    /// time. The client goes on where that one was, with a seed of its own; that one must not run any more.
    ///
    /// Messages and presence that it had taken keep their tokens: each comes to its end here, `Acked` or `Failed`, and one
    /// that was acknowledged last may be reported again. What the server does not know to be handled, it sends again.
    /// Requests do not come back: those that were sent may be sent again as XEP-0198 asks, but their answers are
    /// dropped, for nobody is there who asked; those that were not sent are forgotten.
    Restore {
        /// The slot.
        slot: Slot,
        /// All that was stored in it, in order.
        #[cfg_attr(feature = "record", serde(with = "crate::record::secret"))]
        bytes: Secret,
    },
    /// What the wall clock shows: used for the time stamps of stanzas that are sent late (XEP-0203), and for nothing else.
    Clock {
        /// Milliseconds since 1970-01-01T00:00:00Z.
        unix_ms: u64,
    },
    /// A `Resolve` is answered.
    Resolved {
        /// The query of the `Resolve`.
        query: QueryId,
        /// The answer.
        answer: Answer<'a>,
    },
    /// A link is ready: TCP is up, and TLS where it was asked for; after `StartTls`, TLS is up; the WebSocket is open. For
    /// BOSH: the HTTP client is ready, and `info` states what holds for each of its requests.
    Connected {
        /// The link of the `Connect` that this answers.
        link: LinkId,
        /// What the host knows of it.
        info: LinkInfo,
    },
    /// Bytes from TCP, cut anywhere; or one whole WebSocket text message.
    Received {
        /// The link.
        link: LinkId,
        /// The bytes.
        #[cfg_attr(feature = "record", serde(with = "crate::record::bytes"))]
        bytes: Cow<'a, [u8]>,
    },
    /// So many more bytes of what `Write` and `Frame` gave have left the host's buffer (of a frame: of its text).
    Written {
        /// The link.
        link: LinkId,
        /// How many more.
        bytes: u64,
    },
    /// One HTTP answer, whole.
    Responded {
        /// The link of the `Post`.
        link: LinkId,
        /// The attempt of the `Post`.
        request: RequestId,
        /// The HTTP status code.
        status: u16,
        /// The body, after transfer coding.
        #[cfg_attr(feature = "record", serde(with = "crate::record::bytes"))]
        body: Cow<'a, [u8]>,
        /// Facts of the connection that carried it, where the host knows them.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        tls: Option<TlsFacts>,
    },
    /// Something broke: the link, or one HTTP request on it.
    Failed {
        /// The link.
        link: LinkId,
        /// The attempt, where only one request failed.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        request: Option<RequestId>,
        /// How.
        reason: Failure,
    },
    /// The peer closed the link.
    Ended {
        /// The link.
        link: LinkId,
    },
    /// The host has stopped reading from the link because the application is slow (`false`), or reads again (`true`).
    /// While it does not read, deadlines that wait for the server stand still.
    Reading {
        /// The link.
        link: LinkId,
        /// Whether the host reads.
        reading: bool,
    },
    /// The network came, went, or became another one.
    Network(Network),
    /// Whether somebody looks at the application: a server holds back what can wait while nobody does (XEP-0352).
    Foreground(bool),
    /// The device is about to sleep, or the page to be put away, for at most so long: on BOSH the server is told (XEP-0124
    /// §10); elsewhere everything is acknowledged that can be.
    Pause {
        /// For how many seconds.
        seconds: u32,
    },
    /// With [`Acknowledge::Manual`](crate::config::Acknowledge): the application has dealt with a received stanza.
    Handled {
        /// The token of its event.
        token: Token,
    },
    /// A `DeriveKey` is done. One that nobody waits for any more is ignored.
    Derived {
        /// The job of the `DeriveKey`.
        job: JobId,
        /// What [`Derivation::run`](crate::Derivation::run) gave.
        key: DerivedKey,
    },
    /// From the next login on these are the credentials: an access token that was renewed, a password that was changed. They
    /// must be for the same account.
    Provide {
        /// The credentials.
        credentials: Credentials,
    },
    /// Answers an [`Event::Task`](crate::Event::Task): the first begins the task (XEP-0388 §2.6.3, `next`), each further
    /// one goes on with it (`task-data`).
    Task {
        /// The task's own element, if it has one to say.
        payload: Option<Element>,
    },
    /// The deadline passed. Early or twice is harmless.
    Tick,
    /// Send a message or a presence. The token follows its delivery ([`Event::Delivery`](crate::Event::Delivery)).
    Send {
        /// A `message` or `presence` in `jabber:client`.
        stanza: Element,
    },
    /// Send an `iq` of type `get` or `set`. Its answer comes as [`Event::IqDone`](crate::Event::IqDone), once.
    Request {
        /// The `iq`; its `id` is replaced by one that nobody can guess.
        iq: Element,
        /// How long to wait for the answer; `None` takes [`Timeouts::iq`](crate::config::Timeouts::iq).
        #[cfg_attr(feature = "record", serde(default, with = "crate::record::optional_millis"))]
        timeout: Option<Duration>,
    },
    /// Answer an [`Event::Request`](crate::Event::Request).
    Respond {
        /// The token of the request.
        token: Token,
        /// The payload of the result, if it has one, or the error.
        result: Result<Option<Element>, StanzaError>,
    },
    /// Give up on a request, or on a stanza that has not been written yet.
    Cancel {
        /// What `handle` gave for it.
        token: Token,
    },
}

impl Input<'_> {
    /// The input's name, as in the documentation and in logs.
    pub const fn name(&self) -> &'static str {
        match self {
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
            Self::Network(_) => "Network",
            Self::Foreground(_) => "Foreground",
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
        }
    }
}

/// Shows the size of an answer instead of the answer: the session id, which is as good as a login, is in one of them.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct(self.name());
        match self {
            Self::Start | Self::Stop | Self::Tick => &mut shown,
            Self::Restore { slot, bytes } => shown.field("slot", slot).field("bytes", bytes),
            Self::Clock { unix_ms } => shown.field("unix_ms", unix_ms),
            Self::Resolved { query, answer } => shown.field("query", query).field("answer", answer),
            Self::Connected { link, info } => shown.field("link", link).field("info", info),
            Self::Received { link, bytes } => shown
                .field("link", link)
                .field("bytes", &format_args!("{} bytes", bytes.len())),
            Self::Written { link, bytes } => shown.field("link", link).field("bytes", bytes),
            Self::Responded {
                link,
                request,
                status,
                body,
                tls,
            } => shown
                .field("link", link)
                .field("request", request)
                .field("status", status)
                .field("body", &format_args!("{} bytes", body.len()))
                .field("tls", tls),
            Self::Failed { link, request, reason } => shown
                .field("link", link)
                .field("request", request)
                .field("reason", reason),
            Self::Ended { link } => shown.field("link", link),
            Self::Reading { link, reading } => shown.field("link", link).field("reading", reading),
            Self::Network(network) => shown.field("network", network),
            Self::Foreground(foreground) => shown.field("foreground", foreground),
            Self::Pause { seconds } => shown.field("seconds", seconds),
            Self::Handled { token } => shown.field("token", token),
            Self::Derived { job, key } => shown.field("job", job).field("key", key),
            Self::Provide { credentials } => shown.field("credentials", credentials),
            // What a second factor is answered with is a secret.
            Self::Task { payload } => shown.field("payload", &payload.as_ref().map(Element::name)),
            Self::Send { stanza } => shown.field("stanza", stanza),
            Self::Request { iq, timeout } => shown.field("iq", iq).field("timeout", timeout),
            Self::Respond { token, result } => shown.field("token", token).field("result", result),
            Self::Cancel { token } => shown.field("token", token),
        };
        shown.finish()
    }
}

/// What the host knows of a link that has come up.
///
/// The default says the least: no encryption, nothing verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct LinkInfo {
    /// TLS protects it.
    pub encrypted: bool,
    /// Who checked the server's certificate, and for which name.
    pub verified: Verified,
    /// The TLS version, as `1.2` or `1.3`, where it is known.
    pub tls_version: Option<String>,
    /// Whether the server asked for a client certificate, where it is known.
    pub client_certificate_requested: Option<bool>,
    /// The client certificate that is presented (DER), if the host can show it.
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_bytes"))]
    pub client_certificate: Option<Vec<u8>>,
    /// The application protocol that TLS settled on (ALPN, RFC 7301), if any.
    pub alpn: Option<String>,
    /// The subprotocol that the server of a WebSocket selected: it has to be `xmpp` (RFC 7395 §3.1).
    pub subprotocol: Option<String>,
    /// What a login on this connection can be bound to.
    pub channel_bindings: ChannelBindings,
}

impl LinkInfo {
    /// TLS, with the server's certificate verified by the host for `name`.
    pub fn verified(name: impl Into<String>) -> Self {
        Self {
            encrypted: true,
            verified: Verified::Host { name: name.into() },
            ..Self::default()
        }
    }
}

/// The channel bindings of one TLS connection, as far as the host can know them. They change with every connection: a host
/// whose HTTP library opens several for one BOSH session can give `tls_server_end_point` only.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct ChannelBindings {
    /// RFC 9266: 32 bytes, exported with the label `EXPORTER-Channel-Binding` and an empty context. With TLS 1.2 only where
    /// the extended master secret (RFC 7627) was negotiated.
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_bytes"))]
    pub tls_exporter: Option<Vec<u8>>,
    /// RFC 5929 §3: the first Finished message of the handshake. Never with TLS 1.3, and with TLS 1.2 only where the extended
    /// master secret was negotiated.
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_bytes"))]
    pub tls_unique: Option<Vec<u8>>,
    /// RFC 5929 §4: the hash of the server's certificate, by the hash function of its signature, or SHA-256 where that is
    /// MD5 or SHA-1. A signature without such a hash (Ed25519) has none.
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_bytes"))]
    pub tls_server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// The data of a type. An empty one is none.
    pub fn get(&self, of: ChannelBindingType) -> Option<&[u8]> {
        let data = match of {
            ChannelBindingType::TlsExporter => &self.tls_exporter,
            ChannelBindingType::TlsUnique => &self.tls_unique,
            ChannelBindingType::TlsServerEndPoint => &self.tls_server_end_point,
        };
        data.as_deref().filter(|data| !data.is_empty())
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        ChannelBindingType::ALL.iter().all(|of| self.get(*of).is_none())
    }
}

/// Shows which there are.
impl fmt::Debug for ChannelBindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = ChannelBindingType::ALL.iter().filter(|of| self.get(**of).is_some());
        f.debug_set().entries(there.map(|of| of.name())).finish()
    }
}

/// Who verified the server's certificate (RFC 6120 §13.7.2, RFC 9525).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Verified {
    /// Nobody.
    #[default]
    No,
    /// The host, which saw the certificate.
    Host {
        /// The name that the certificate was found valid for.
        name: String,
    },
    /// The platform, unseen by the host (a browser).
    Platform {
        /// The name that the platform was asked to connect to.
        name: String,
    },
}

/// What was seen of the TLS connection that carried one HTTP answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct TlsFacts {
    /// The TLS version, as `1.2` or `1.3`.
    pub version: Option<String>,
    /// SHA-256 of the server's leaf certificate (DER). A session whose server certificate changes is ended.
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_digest"))]
    pub server_certificate_sha256: Option<[u8; 32]>,
    /// Whether the server asked for a client certificate on this connection. A resumed connection cannot know.
    pub client_certificate_requested: Option<bool>,
}

/// The answer to a [`Question`](crate::Question).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Answer<'a> {
    /// The SRV records of the name; none, where it has none or does not exist.
    Records(Vec<SrvRecord>),
    /// The document, answered with HTTP status 200.
    Document(#[cfg_attr(feature = "record", serde(with = "crate::record::bytes"))] Cow<'a, [u8]>),
    /// There is no answer, and why.
    Failed(Failure),
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Network {
    /// There is one: what waits for a retry is tried now.
    Up,
    /// There is none: nothing is tried until there is.
    Down,
    /// It is another one: the present link is checked, or replaced.
    Changed,
}

/// One of the places that a host keeps for a client between processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Slot {
    /// The session: as good as a login while it lasts.
    Session,
    /// A login token.
    Token,
    /// What is known of the account's server, such as the strongest mechanism seen.
    Pins,
}

/// How a link, or one HTTP request, broke.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
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
    TlsAlert(u8),
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct StanzaError {
    /// `auth`, `cancel`, `continue`, `modify` or `wait`.
    pub kind: StanzaErrorType,
    /// The defined condition, as `service-unavailable`; `undefined-condition` where the peer gave none that is known.
    pub condition: String,
    /// Text for a person, if there was any: from the peer, so not to be trusted; at most 1,024 characters.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub text: Option<String>,
}

/// What to do about a stanza error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
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

impl StanzaErrorType {
    /// The value of the `type` attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }
}
