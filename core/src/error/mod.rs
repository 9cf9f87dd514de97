//! What can go wrong, grouped by who is to blame, and the one mapping to stream-error conditions.
//!
//! `Err` from [`Client::handle`](crate::Client::handle) is always about the call: [`Refused`]. What a peer or the
//! network does wrong arrives as an event, after the goodbye that the protocol asks for has been queued.

use alloc::string::String;
use alloc::vec::Vec;

mod sentence;

use crate::input::{Failure, StanzaError};
pub use crate::sasl::{PrepError, SaslError};
use crate::xml::XmlError;

/// Why `handle` did not take an input. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Refused {
    /// The host broke the contract.
    Misuse(Misuse),
    /// The outbound queue is full: try again after `Writable`.
    Full,
    /// The stanza is larger than a server can be expected to take.
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit ([`Limits::outbound_stanza`](crate::config::Limits::outbound_stanza)).
        maximum: usize,
    },
    /// The stanza is not one that this input takes.
    Invalid {
        /// Why, for a person.
        why: InvalidStanza,
    },
    /// There is no session to send on: `Start` first, or wait for `Online` in the case of a presence.
    NotStarted,
    /// What was stored cannot be restored; the client starts afresh.
    Snapshot(SnapshotError),
}

/// Why what was stored cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is damaged, or no snapshot at all.
    Corrupt,
    /// It is of another account, or of another slot.
    Foreign,
    /// A later version of this library wrote it.
    Newer {
        /// The version of its format.
        version: u16,
    },
}

/// A stanza that cannot be sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum InvalidStanza {
    /// `Send` takes a `message` or a `presence` in `jabber:client`; an `iq` goes with `Request` or `Respond`.
    NotMessageOrPresence,
    /// `Request` takes an `iq` of type `get` or `set` in `jabber:client`.
    NotIqRequest,
    /// An `iq` request has exactly one payload (RFC 6120 §8.2.3).
    PayloadCount,
    /// `to` does not parse as a JID.
    To,
    /// `from` is neither the account nor the bound JID (RFC 6120 §8.1.2.1).
    From,
    /// The condition of a stanza error is no XML name.
    ErrorCondition,
}

/// How the host broke the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Misuse {
    /// `Start` between `Start` and `Offline`.
    AlreadyStarted,
    /// An input that a link of this kind does not have.
    NotForThisTransport,
    /// `Connected` for a link that is up.
    AlreadyConnected,
    /// `Respond` to a request that is answered already, or never was.
    UnknownToken,
    /// `Restore` after the first `Start`, or twice for one slot.
    TooLateToRestore,
    /// `Task` where no task waits for the application.
    NoTask,
    /// `Provide` with credentials that cannot log in to this account.
    CredentialsOfAnother,
}

/// Why a client is offline, by who is to blame. Each displays as a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Offline {
    /// The application said `Stop`.
    Stopped,
    /// The server could not be reached, or the connection broke.
    Connection(ConnectionError),
    /// TLS, or the lack of it.
    Tls(TlsError),
    /// The server refused the login, or the login cannot be done with what the application gave.
    Login(LoginError),
    /// The server lacks something that is needed.
    Incompatible(PeerIncompatible),
    /// The server broke the protocol.
    Misbehaved(PeerMisbehaved),
    /// The server ended the session and said why.
    Ended(SessionEnd),
}

/// The network's fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The host said how it broke.
    Failed(Failure),
    /// The peer closed the link without a goodbye.
    Closed,
    /// The server did not take the next step in time.
    Timeout {
        /// What was waited for.
        waiting_for: WaitingFor,
    },
    /// An HTTP status that ends the session.
    HttpStatus(u16),
    /// Answers that are no BOSH: a captive portal, a proxy's error page, the wrong URL.
    NotBosh {
        /// The last HTTP status.
        status: u16,
    },
    /// A request was sent again as often as allowed, and never answered.
    GaveUp {
        /// How often it was sent.
        attempts: u32,
    },
    /// The session has used up its request numbers (XEP-0124 §14.1).
    RequestIdsExhausted,
    /// Discovery found no way to the server that the configuration allows.
    NoEndpoint,
    /// The server sent the client elsewhere too often (RFC 6120 §4.9.3.19).
    TooManyRedirects,
    /// The host says that there is no network, or another one.
    NetworkChanged,
}

/// What the client was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum WaitingFor {
    /// The answers of DNS.
    Discovery,
    /// The link.
    Link,
    /// The session to be created, or the stream to be opened.
    Session,
    /// The server's word on TLS (RFC 6120 §5.4.2).
    Tls,
    /// Stream features.
    Features,
    /// The server's part of the login.
    Login,
    /// A resource.
    Bind,
    /// The earlier session (XEP-0198 §5).
    Resumption,
    /// Any sign of life (XEP-0198 §4, XEP-0199).
    Life,
}

/// TLS, or the lack of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum TlsError {
    /// The policy asks for TLS with a verified certificate, and the link has none.
    Required,
    /// The policy asks for TLS, and the server does not offer it (RFC 6120 §5.4.1), or somebody has removed the offer.
    NotOffered,
    /// The server offered TLS and then refused it (RFC 6120 §5.4.2.2).
    StartTlsRefused,
    /// The server sent the client to a place without the same protection; it was not followed.
    InsecureRedirect,
    /// The host verified the certificate for another name than the one it was asked to.
    WrongName {
        /// The name that was asked for.
        expected: String,
        /// The name that the host says.
        verified: String,
    },
    /// The server's certificate was not accepted.
    CertificateRejected {
        /// Why, as the host says.
        reason: String,
    },
    /// The server refused the handshake.
    Alert {
        /// The alert's number (RFC 8446 §6).
        alert: u8,
        /// A client certificate was presented, so that is probably what it refused.
        certificate_presented: bool,
    },
    /// The server's certificate changed within a session (XEP-0124 §17.1).
    CertificateChanged,
    /// The connection broke before the first answer, on a link that presents a client certificate: under TLS 1.3 a
    /// server that refuses the certificate says so only then.
    CertificateProbablyRefused,
}

/// The login was refused, or cannot be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum LoginError {
    /// The server said no (RFC 6120 §6.5).
    Refused {
        /// The mechanism.
        mechanism: String,
        /// The condition, as `not-authorized`.
        condition: String,
        /// The server's text: not to be trusted; at most 1,024 characters.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        text: Option<String>,
        /// Whether the server asked for a client certificate, where the host could tell.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        client_certificate_requested: Option<bool>,
    },
    /// The server answered with an element of the SASL namespace that is neither success nor failure: one server in the
    /// field does that to a certificate that has expired.
    UnknownAnswer {
        /// The mechanism.
        mechanism: String,
        /// The element's name, as `{namespace}name`, shortened.
        element: String,
    },
    /// Nothing that the server offers can be used with what the application gave and allows.
    NoMechanism {
        /// What the server offers.
        offered: Vec<String>,
        /// What would have been used.
        wanted: Vec<String>,
        /// Whether the server asked for a client certificate, where the host could tell.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        client_certificate_requested: Option<bool>,
    },
    /// The mechanism's own checks failed: the server did not prove itself, or sent what an attacker would send.
    Mechanism {
        /// The mechanism.
        mechanism: String,
        /// What failed.
        error: SaslError,
    },
    /// The access token was refused, and the server said why in the way of RFC 7628 §3.2.2.
    TokenRefused {
        /// The mechanism.
        mechanism: String,
        /// The condition, as `not-authorized`.
        condition: String,
        /// The status, as `invalid_token`: the server's text, at most 256 characters, like the next two.
        status: Option<String>,
        /// The scope that a token has to have.
        scope: Option<String>,
        /// Where the server says that its OpenID configuration is. The client asks nobody there, and neither should an
        /// application that does not know the place.
        openid_configuration: Option<String>,
    },
    /// All that can be used now is weaker than what this account has used before: somebody may have removed the better.
    Downgrade {
        /// What was there before.
        pinned: Pinned,
        /// What the server offers now.
        offered: Vec<String>,
    },
    /// What the server says of channel binding does not fit together: somebody may have changed it (XEP-0440 §3).
    ChannelBinding {
        /// What.
        problem: ChannelBindingProblem,
    },
    /// After the credentials the server wants more (XEP-0388 §2.6.3), and the application can do nothing of it.
    Tasks {
        /// What it wants, at most 16 names.
        tasks: Vec<String>,
        /// The server's text: not to be trusted; at most 1,024 characters.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        text: Option<String>,
    },
    /// There is no login token to log in with ([`Credentials::KeptToken`](crate::Credentials::KeptToken)), or the server
    /// does not take it any more.
    NoToken {
        /// What the server said, if it was asked.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        condition: Option<String>,
    },
    /// The account could not be registered (XEP-0077).
    Registration {
        /// Why.
        problem: RegistrationProblem,
    },
    /// The server bound another account than the one that logged in.
    UnexpectedIdentity {
        /// What the server bound.
        bound: String,
    },
    /// The server refused to bind a resource (RFC 6120 §7.7).
    BindRefused {
        /// Its error.
        error: StanzaError,
    },
}

/// What an account had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Pinned {
    /// A mechanism that does not show the password.
    Scram,
    /// Channel binding.
    ChannelBinding,
}

/// What does not fit together in an offer of channel binding (XEP-0440 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ChannelBindingProblem {
    /// Mechanisms with channel binding, and no list of its types.
    NoTypes,
    /// A list of types, and no mechanism with channel binding.
    NoMechanism,
    /// No type that the client has, and not the one that every server has (`tls-server-end-point`).
    NothingInCommon {
        /// What the server offers, at most 16 names.
        offered: Vec<String>,
    },
}

/// Why an account could not be registered (XEP-0077 §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum RegistrationProblem {
    /// The server does not offer it.
    NotOffered,
    /// The server wants more than a name and a password.
    Fields {
        /// What it wants, at most 32 names.
        fields: Vec<String>,
        /// Its instructions for the user: not to be trusted; at most 1,024 characters.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        instructions: Option<String>,
    },
    /// The account exists already.
    Exists,
    /// The server refused.
    Refused {
        /// Its error.
        error: StanzaError,
    },
}

/// The server lacks something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum PeerIncompatible {
    /// No SASL (RFC 6120 §6.4.1).
    NoSasl,
    /// No resource binding (RFC 6120 §7.4).
    NoBind,
    /// A BOSH session without a session id, or that allows no request at all.
    SessionParameters,
    /// A stream of a version before 1.0 (RFC 6120 §4.7.5): there is no SASL.
    Version,
    /// The server of the WebSocket did not select the subprotocol `xmpp` (RFC 7395 §3.1).
    Subprotocol,
    /// TLS settled on another protocol than XMPP (XEP-0368, RFC 7301).
    Alpn {
        /// Which.
        protocol: String,
    },
    /// The server requires a feature that the client does not know (RFC 6120 §4.3.5).
    RequiredFeature {
        /// Its name, as `{namespace}name`, shortened.
        feature: String,
    },
}

/// The server broke the protocol. Each maps to one stream error: [`PeerMisbehaved::condition`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// XML that is not allowed, or over a limit.
    Xml(XmlError),
    /// An element that this phase does not expect.
    Unexpected {
        /// What was waited for.
        waiting_for: WaitingFor,
        /// The element's name, as `{namespace}name`, shortened.
        element: String,
    },
    /// Something in a BOSH body that does not belong there (XEP-0206 §2).
    BoshPayload {
        /// The element's name, as `{namespace}name`, shortened.
        element: String,
    },
    /// Something followed the word that TLS begins (RFC 6120 §5.4.3.3): somebody may have put it there.
    BeforeTls,
    /// Something followed the word that the login is done, before the new stream (RFC 6120 §6.4.6).
    AfterLogin,
    /// The stream does not begin with a stream header (RFC 6120 §4.8.1, RFC 7395 §3.4).
    StreamHeader {
        /// What it begins with, as `{namespace}name`, shortened.
        element: String,
    },
    /// The content of the stream is not in `jabber:client` (RFC 6120 §4.8.2).
    ContentNamespace,
    /// A WebSocket message that is not one element (RFC 7395 §3.3.3).
    Frame,
    /// It acknowledges more stanzas than were sent, or takes an acknowledgement back (XEP-0198 §4).
    HandledCount {
        /// What it says.
        handled: u32,
        /// How many were sent.
        sent: u32,
    },
    /// An element of stream management that is not due, or is not what it has to be (XEP-0198).
    StreamManagement {
        /// Its name.
        element: String,
    },
    /// A binding result without a full JID (RFC 6120 §7.6).
    BoundJid,
    /// A success of SASL2 without the account that it is for, or with something that is none (XEP-0388 §2.6.1).
    AuthorizationIdentifier,
    /// An element of SASL2 that is not due, or is not what it has to be (XEP-0388).
    Sasl2 {
        /// Its name, shortened.
        element: String,
    },
    /// More requests from others than can be kept track of.
    TooManyRequests,
}

/// The server ended the session and said why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub struct SessionEnd {
    /// The condition: of a stream error (RFC 6120 §4.9.3), or of a terminated BOSH session (XEP-0124 §17.2); `None` for
    /// a normal end.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub condition: Option<String>,
    /// The server's text: not to be trusted; at most 1,024 characters.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub text: Option<String>,
    /// An application-specific condition, as `{namespace}name`.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub application: Option<String>,
    /// Where the server would have the client go (`see-other-host`, RFC 6120 §4.9.3.19; `see-other-uri`, RFC 7395 §3.6.1,
    /// XEP-0124 §17.2), as it says. It is followed where it is an address with the same protection, a few times at most.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub see_other: Option<String>,
}

/// Why a request of the application's has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum IqError {
    /// The entity answered with an error.
    Error(StanzaError),
    /// No answer in time.
    Timeout,
    /// The session ended first. Whether the request was handled is not known.
    Disconnected,
    /// The application cancelled it.
    Cancelled,
}

/// Something that does not stop the client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Warning {
    /// The client certificate names nobody by xmppAddr; the server decides whom it stands for (XEP-0178 §2).
    CertificateWithoutName,
    /// The client certificate names others than this account.
    CertificateNamesOthers {
        /// Whom.
        names: Vec<String>,
    },
    /// The client certificate has a name of the wrong string type (RFC 6120 §13.7.1.4 asks for UTF8String).
    CertificateNameType,
    /// The client certificate names several accounts, and the policy says not to choose (XEP-0178 §2 asks to).
    CertificateNamesSeveral,
    /// The client certificate that the application gave cannot be read.
    CertificateUnreadable,
    /// An HTTP request failed and was sent again, byte for byte the same.
    Resent {
        /// The attempt that failed, from 1.
        attempt: u32,
        /// How it failed.
        reason: ResendReason,
    },
    /// The server answers empty requests at once; they are spaced out.
    Hurried,
    /// The server did not resume the earlier session (XEP-0198 §5): a new one begins.
    NotResumed {
        /// Its condition, as `item-not-found`.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        condition: Option<String>,
    },
    /// The server sent the client elsewhere (RFC 6120 §4.9.3.19, RFC 7395 §3.6.1).
    Redirected {
        /// Where.
        to: String,
    },
    /// The server does not take the login token any more (XEP-0484): the client logs in with the credentials.
    TokenRefused {
        /// The condition, as `credentials-expired`.
        condition: String,
    },
    /// The server does not offer what the login token is for, so it was not used (XEP-0484 §4.1): a token that is bound to
    /// the connection is never used without that.
    TokenUnusable {
        /// The mechanism that it is for.
        mechanism: String,
    },
    /// A login token that cannot be used was given: the earlier one stays.
    TokenIgnored,
    /// The server asked to be given the means for a stronger SCRAM (XEP-0480), and has them now.
    Upgraded {
        /// The mechanism.
        mechanism: String,
    },
    /// The server refused to manage the stream (XEP-0198 §3): acknowledgements come by other means.
    NoStreamManagement {
        /// Its condition, as `feature-not-implemented`.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        condition: Option<String>,
    },
    /// A stanza was dropped: it is not for this account, or its sender's address does not parse.
    Dropped {
        /// Why.
        reason: DropReason,
    },
}

/// Why an HTTP request was sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ResendReason {
    /// The host said that it failed.
    Failed(Failure),
    /// An HTTP status that need not be the last word.
    HttpStatus(u16),
    /// The answer was no BOSH body.
    NotBosh,
    /// The server asked for it: a recoverable binding condition (XEP-0124 §17.3), or a report of a lost answer (§9.2).
    Asked,
}

/// Why a received stanza was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum DropReason {
    /// `from` does not parse.
    From,
    /// `to` is another account.
    To,
    /// A `result` or `error` that answers nothing, or comes from another entity than the one asked.
    UnexpectedAnswer,
    /// An `iq` without `id`, of an unknown type, or with the wrong number of payloads.
    Malformed,
}

impl Offline {
    /// What a failure that nothing can be done about means for the client.
    pub(crate) fn from_failure(failure: Failure, certificate_presented: bool) -> Self {
        match failure {
            Failure::CertificateRejected { reason } => Self::Tls(TlsError::CertificateRejected { reason }),
            Failure::TlsAlert(alert) => Self::Tls(TlsError::Alert {
                alert,
                certificate_presented,
            }),
            Failure::Dns
            | Failure::Refused
            | Failure::Timeout
            | Failure::Reset
            | Failure::Http { .. }
            | Failure::Other { .. } => Self::Connection(ConnectionError::Failed(failure)),
        }
    }
}

impl PeerMisbehaved {
    /// The stream error that tells the server so (RFC 6120 §4.9.3): the one place where blame becomes a condition.
    pub fn condition(&self) -> &'static str {
        match self {
            Self::Xml(error) => error.stream_error_condition(),
            Self::Unexpected { .. } | Self::BoshPayload { .. } => "unsupported-stanza-type",
            Self::BeforeTls | Self::AfterLogin => "policy-violation",
            Self::StreamHeader { .. } | Self::ContentNamespace => "invalid-namespace",
            Self::Frame => "bad-format",
            Self::BoundJid
            | Self::AuthorizationIdentifier
            | Self::Sasl2 { .. }
            | Self::HandledCount { .. }
            | Self::StreamManagement { .. } => "undefined-condition",
            Self::TooManyRequests => "policy-violation",
        }
    }
}
