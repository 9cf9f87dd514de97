//! News for the application, as records and enums that cross.

use epode::error::{
    ChannelBindingProblem, ConnectionError, IqError, LoginError, PeerIncompatible, PeerMisbehaved, Pinned,
    RegistrationProblem, SaslError, TlsError,
};
use epode::{Element, Warning};

use crate::input::StanzaError;

/// News for the application.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Event {
    /// Logged in, and a resource is bound.
    Online {
        /// The full JID that the server bound.
        jid: String,
        /// The SASL mechanism, as `EXTERNAL`.
        mechanism: String,
        /// The server proved that it knows the password too.
        server_proof: ServerProof,
        /// What the login is bound to, if it is.
        channel_binding: Option<ChannelBindingType>,
        /// By which protocol the login was done; `None` where nobody logged in.
        profile: Option<SaslProfile>,
        /// An earlier session goes on; nothing was lost.
        resumed: bool,
        /// Whether the server asked for a client certificate, where the host could tell.
        client_certificate_requested: Option<bool>,
        /// How many times the client had to wait for the server since `Connected`.
        round_trips: u32,
        /// How it travels.
        transport: TransportKind,
    },
    /// The link is gone, and the client will connect again by itself.
    Interrupted {
        /// Why it is gone, in the words that `Offline` would use.
        reason: OfflineReason,
        /// When the next attempt is made, on the clock of `now`, in milliseconds; `None`: when there is a network again.
        retry_at_ms: Option<u64>,
        /// The session can probably be resumed: nothing is lost so far.
        resumable: bool,
    },
    /// What the server offers before the login, where the client only looks (`Credentials::Nothing`).
    Offered {
        /// `<stream:features/>` as a document of its own, in UTF-8.
        features: Vec<u8>,
        /// How it travels.
        transport: TransportKind,
        /// TLS protects it.
        encrypted: bool,
    },
    /// The server wants something more before the login is complete (XEP-0388 §2.6.3), which the configuration says the application can do.
    /// Answer with `Input::Task`, or `Stop`.
    Task {
        /// The task.
        task: String,
        /// What the server says within the task, as a document of its own in UTF-8; `None` where it is to begin.
        payload: Option<Vec<u8>>,
        /// The server's text for the user: not to be trusted.
        text: Option<String>,
    },
    /// The client will not try any more: exactly once for each `Start`, and the last event.
    Offline {
        /// Why.
        reason: OfflineReason,
    },
    /// A message or a presence. What it carries comes from others: not to be trusted.
    Stanza {
        /// The stanza.
        stanza: Stanza,
        /// With `Acknowledge::Manual`: what `Handled` has to name.
        token: Option<u64>,
    },
    /// An `iq` request in a namespace that the configuration names. Answer it with `Respond`.
    Request {
        /// What `Respond` has to name.
        token: u64,
        /// The `iq`.
        iq: Stanza,
    },
    /// A request of the application's is over: exactly once for each.
    IqDone {
        /// What the `Step` gave for it.
        token: u64,
        /// How it ended.
        result: IqResult,
    },
    /// How far a stanza of the application's has come. `Acked` and `Failed` are final; one of them always comes.
    Delivery {
        /// What the `Step` gave for it.
        token: u64,
        /// How far.
        stage: Stage,
    },
    /// The outbound queue was full and has room again.
    Writable,
    /// Something that does not stop the client, but that a person should know.
    Warning {
        /// Its name, for programs.
        code: String,
        /// For a person.
        sentence: String,
    },
}

/// How XMPP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum TransportKind {
    /// TCP (RFC 6120).
    Tcp,
    /// WebSocket (RFC 7395).
    WebSocket,
    /// HTTP (XEP-0124, XEP-0206).
    Bosh,
}

/// Why a client is offline, or was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OfflineReason {
    /// Who is to blame.
    pub blame: Blame,
    /// What it was, as the variant of the Rust error: `refused`, `no_mechanism`, `certificate_changed`.
    pub code: String,
    /// What was the matter within that, where it has several reasons: `key_does_not_fit` of a `mechanism`, `exists` of a `registration`.
    pub detail: Option<String>,
    /// For a person: what happened, and what to do about it.
    pub sentence: String,
    /// The condition that the server gave, as `not-authorized`.
    pub condition: Option<String>,
    /// The server's text: not to be trusted.
    pub text: Option<String>,
    /// What the server says of an access token that it refused.
    pub token: Option<TokenRefusal>,
}

/// Why an access token was refused, in the server's words (RFC 7628 §3.2.2): not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct TokenRefusal {
    /// The status, as `invalid_token`.
    pub status: Option<String>,
    /// The scope that a token has to have.
    pub scope: Option<String>,
    /// Where the server says that its OpenID configuration is. Do not ask a place that you do not know.
    pub openid_configuration: Option<String>,
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Blame {
    /// Nobody: the application said `Stop`.
    Stopped,
    /// The server could not be reached, or the connection broke.
    Connection,
    /// TLS, or the lack of it.
    Tls,
    /// The server refused the login, or it cannot be done with what the application gave.
    Login,
    /// The server lacks something that is needed.
    Incompatible,
    /// The server broke the protocol.
    Misbehaved,
    /// The server ended the session and said why.
    Ended,
    /// epode itself: a panic in the library, which ends this client and nothing else.
    Internal,
}

/// A stanza, flat.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Stanza {
    /// Which of the three.
    pub kind: StanzaKind,
    /// The attribute `id`.
    pub id: Option<String>,
    /// The attribute `from`; the server vouches for it.
    pub from: Option<String>,
    /// The attribute `to`.
    pub to: Option<String>,
    /// The attribute `type`.
    pub r#type: Option<String>,
    /// The text of a message's `<body/>`.
    pub body: Option<String>,
    /// The whole stanza as a document of its own, in UTF-8.
    pub xml: Vec<u8>,
}

/// The kinds of stanza (RFC 6120 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum StanzaKind {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}

/// How a request of the application's ended.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum IqResult {
    /// The `iq` of type `result`.
    Answer {
        /// The `iq`.
        iq: Stanza,
    },
    /// The entity answered with an error.
    Error {
        /// The error.
        error: StanzaError,
    },
    /// No answer in time.
    Timeout,
    /// The session ended first. Whether the request was handled is not known.
    Disconnected,
    /// The application cancelled it.
    Cancelled,
}

/// Whether the server proved its knowledge of the credential (RFC 5802 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ServerProof {
    /// It did, and the proof was verified.
    Verified,
    /// The mechanism has no such proof: TLS alone vouches for the server.
    None,
    /// The mechanism has one and the server left it out, which `allow_missing_ht_server_proof` allows.
    Absent,
}

/// What a login can be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ChannelBindingType {
    /// RFC 9266.
    TlsExporter,
    /// RFC 5929 §3.
    TlsUnique,
    /// RFC 5929 §4.
    TlsServerEndPoint,
}

/// By which protocol a login is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum SaslProfile {
    /// RFC 6120 §6.
    Sasl1,
    /// XEP-0388.
    Sasl2,
}

/// How far a stanza has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Stage {
    /// It waits in the client.
    Queued,
    /// The host has written it. On BOSH that is known only with the acknowledgement.
    Sent,
    /// The server has acknowledged it.
    Acked,
    /// It is not known to have arrived, and will not be sent again.
    Failed,
}

impl ChannelBindingType {
    fn from_core(kind: epode::ChannelBindingType) -> Option<Self> {
        Some(match kind {
            epode::ChannelBindingType::TlsExporter => Self::TlsExporter,
            epode::ChannelBindingType::TlsUnique => Self::TlsUnique,
            epode::ChannelBindingType::TlsServerEndPoint => Self::TlsServerEndPoint,
            _ => return None,
        })
    }

    pub(crate) fn into_core(self) -> epode::ChannelBindingType {
        match self {
            Self::TlsExporter => epode::ChannelBindingType::TlsExporter,
            Self::TlsUnique => epode::ChannelBindingType::TlsUnique,
            Self::TlsServerEndPoint => epode::ChannelBindingType::TlsServerEndPoint,
        }
    }
}

impl TransportKind {
    fn from_core(kind: epode::TransportKind) -> Option<Self> {
        Some(match kind {
            epode::TransportKind::Tcp => Self::Tcp,
            epode::TransportKind::WebSocket => Self::WebSocket,
            epode::TransportKind::Bosh => Self::Bosh,
            _ => return None,
        })
    }
}

impl Event {
    pub(crate) fn from_core(event: epode::Event) -> Option<Self> {
        Some(match event {
            epode::Event::Online {
                jid,
                mechanism,
                server_proof,
                channel_binding,
                profile,
                resumed,
                client_certificate_requested,
                round_trips,
                transport,
            } => Self::Online {
                jid: jid.to_string(),
                mechanism,
                server_proof: match server_proof {
                    epode::ServerProof::Verified => ServerProof::Verified,
                    epode::ServerProof::None => ServerProof::None,
                    epode::ServerProof::Absent => ServerProof::Absent,
                    _ => return None,
                },
                channel_binding: match channel_binding {
                    Some(kind) => Some(ChannelBindingType::from_core(kind)?),
                    None => None,
                },
                profile: match profile {
                    None => None,
                    Some(epode::SaslProfile::Sasl1) => Some(SaslProfile::Sasl1),
                    Some(epode::SaslProfile::Sasl2) => Some(SaslProfile::Sasl2),
                    Some(_) => return None,
                },
                resumed,
                client_certificate_requested,
                round_trips,
                transport: TransportKind::from_core(transport)?,
            },
            epode::Event::Interrupted {
                reason,
                retry_at,
                resumable,
            } => Self::Interrupted {
                reason: OfflineReason::new(&reason),
                retry_at_ms: retry_at.map(epode::Instant::as_millis),
                resumable,
            },
            epode::Event::Offered {
                features,
                transport,
                encrypted,
            } => Self::Offered {
                features: features.to_xml().into_bytes(),
                transport: TransportKind::from_core(transport)?,
                encrypted,
            },
            epode::Event::Task { task, payload, text } => Self::Task {
                task,
                payload: payload.map(|payload| payload.to_xml().into_bytes()),
                text,
            },
            epode::Event::Offline { reason } => Self::Offline {
                reason: OfflineReason::new(&reason),
            },
            epode::Event::Stanza { stanza, token } => Self::Stanza {
                stanza: Stanza::new(&stanza),
                token: token.map(|token| token.0),
            },
            epode::Event::Request { token, iq } => Self::Request {
                token: token.0,
                iq: Stanza::new(&iq),
            },
            epode::Event::IqDone { token, result } => Self::IqDone {
                token: token.0,
                result: match result {
                    Ok(iq) => IqResult::Answer { iq: Stanza::new(&iq) },
                    Err(IqError::Error(error)) => IqResult::Error { error: error.into() },
                    Err(IqError::Timeout) => IqResult::Timeout,
                    Err(IqError::Cancelled) => IqResult::Cancelled,
                    Err(IqError::Disconnected | _) => IqResult::Disconnected,
                },
            },
            epode::Event::Delivery { token, stage } => Self::Delivery {
                token: token.0,
                stage: match stage {
                    epode::Stage::Queued => Stage::Queued,
                    epode::Stage::Sent => Stage::Sent,
                    epode::Stage::Acked => Stage::Acked,
                    epode::Stage::Failed => Stage::Failed,
                },
            },
            epode::Event::Writable => Self::Writable,
            epode::Event::Warning(warning) => Self::Warning {
                code: warning_code(&warning).to_owned(),
                sentence: warning.to_string(),
            },
            _ => return None,
        })
    }
}

impl Stanza {
    fn new(stanza: &Element) -> Self {
        let attribute = |name| stanza.attribute(name).map(str::to_owned);
        let kind = match stanza.name() {
            "message" => StanzaKind::Message,
            "presence" => StanzaKind::Presence,
            _ => StanzaKind::Iq,
        };
        let body = match kind {
            StanzaKind::Message => stanza
                .child(stanza.namespace(), "body")
                .map(|body| body.text().into_owned()),
            StanzaKind::Presence | StanzaKind::Iq => None,
        };
        Self {
            kind,
            id: attribute("id"),
            from: attribute("from"),
            to: attribute("to"),
            r#type: attribute("type"),
            body,
            xml: stanza.to_xml().into_bytes(),
        }
    }
}

impl OfflineReason {
    fn new(reason: &epode::Offline) -> Self {
        let (mut detail, mut condition, mut text, mut token) = (None, None, None, None);
        let (blame, code) = match reason {
            epode::Offline::Stopped => (Blame::Stopped, "stopped"),
            epode::Offline::Connection(error) => (Blame::Connection, connection_code(error)),
            epode::Offline::Tls(error) => (Blame::Tls, tls_code(error)),
            epode::Offline::Login(error) => {
                detail = login_detail(error);
                (condition, text) = login_condition(error);
                if let LoginError::TokenRefused {
                    status,
                    scope,
                    openid_configuration,
                    ..
                } = error
                {
                    token = Some(TokenRefusal {
                        status: status.clone(),
                        scope: scope.clone(),
                        openid_configuration: openid_configuration.clone(),
                    });
                }
                (Blame::Login, login_code(error))
            }
            epode::Offline::Incompatible(error) => (Blame::Incompatible, incompatible_code(error)),
            epode::Offline::Misbehaved(error) => {
                condition = Some(error.condition().to_owned());
                (Blame::Misbehaved, misbehaved_code(error))
            }
            epode::Offline::Ended(end) => {
                condition.clone_from(&end.condition);
                text.clone_from(&end.text);
                (Blame::Ended, "ended")
            }
            // Not an enum of this crate.
            _ => (Blame::Connection, "other"),
        };
        Self {
            blame,
            code: code.to_owned(),
            detail: detail.map(str::to_owned),
            sentence: reason.to_string(),
            condition,
            text,
            token,
        }
    }
}

// The codes are the names of the variants, as the record format writes them. The enums are not of this crate: hence a last arm in each.

fn connection_code(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::Failed(_) => "failed",
        ConnectionError::Closed => "closed",
        ConnectionError::Timeout { .. } => "timeout",
        ConnectionError::HttpStatus(_) => "http_status",
        ConnectionError::NotBosh { .. } => "not_bosh",
        ConnectionError::GaveUp { .. } => "gave_up",
        ConnectionError::RequestIdsExhausted => "request_ids_exhausted",
        ConnectionError::NoEndpoint => "no_endpoint",
        ConnectionError::TooManyRedirects => "too_many_redirects",
        ConnectionError::NetworkChanged => "network_changed",
        _ => "other",
    }
}

fn tls_code(error: &TlsError) -> &'static str {
    match error {
        TlsError::Required => "required",
        TlsError::NotOffered => "not_offered",
        TlsError::StartTlsRefused => "start_tls_refused",
        TlsError::InsecureRedirect => "insecure_redirect",
        TlsError::WrongName { .. } => "wrong_name",
        TlsError::CertificateRejected { .. } => "certificate_rejected",
        TlsError::Alert { .. } => "alert",
        TlsError::CertificateChanged => "certificate_changed",
        TlsError::CertificateProbablyRefused => "certificate_probably_refused",
        _ => "other",
    }
}

fn login_code(error: &LoginError) -> &'static str {
    match error {
        LoginError::Refused { .. } => "refused",
        LoginError::UnknownAnswer { .. } => "unknown_answer",
        LoginError::NoMechanism { .. } => "no_mechanism",
        LoginError::Mechanism { .. } => "mechanism",
        LoginError::UnexpectedIdentity { .. } => "unexpected_identity",
        LoginError::BindRefused { .. } => "bind_refused",
        LoginError::TokenRefused { .. } => "token_refused",
        LoginError::Downgrade { .. } => "downgrade",
        LoginError::ChannelBinding { .. } => "channel_binding",
        LoginError::Tasks { .. } => "tasks",
        LoginError::NoToken { .. } => "no_token",
        LoginError::Registration { .. } => "registration",
        _ => "other",
    }
}

/// The server's condition and text.
fn login_condition(error: &LoginError) -> (Option<String>, Option<String>) {
    match error {
        LoginError::Refused { condition, text, .. } => (Some(condition.clone()), text.clone()),
        LoginError::TokenRefused { condition, .. } => (Some(condition.clone()), None),
        LoginError::NoToken { condition } => (condition.clone(), None),
        LoginError::Tasks { text, .. } => (None, text.clone()),
        LoginError::BindRefused { error }
        | LoginError::Registration {
            problem: RegistrationProblem::Refused { error },
        } => (Some(error.condition.clone()), error.text.clone()),
        LoginError::Registration {
            problem: RegistrationProblem::Fields { instructions, .. },
        } => (None, instructions.clone()),
        LoginError::UnknownAnswer { .. }
        | LoginError::NoMechanism { .. }
        | LoginError::Mechanism { .. }
        | LoginError::Downgrade { .. }
        | LoginError::ChannelBinding { .. }
        | LoginError::Registration { .. }
        | LoginError::UnexpectedIdentity { .. }
        | _ => (None, None),
    }
}

fn login_detail(error: &LoginError) -> Option<&'static str> {
    Some(match error {
        LoginError::Mechanism { error, .. } => sasl_code(error),
        LoginError::Downgrade {
            pinned: Pinned::Scram, ..
        } => "scram",
        LoginError::Downgrade {
            pinned: Pinned::ChannelBinding,
            ..
        } => "channel_binding",
        LoginError::ChannelBinding { problem } => match problem {
            ChannelBindingProblem::NoTypes => "no_types",
            ChannelBindingProblem::NoMechanism => "no_mechanism",
            ChannelBindingProblem::NothingInCommon { .. } => "nothing_in_common",
            _ => "other",
        },
        LoginError::Registration { problem } => match problem {
            RegistrationProblem::NotOffered => "not_offered",
            RegistrationProblem::Fields { .. } => "fields",
            RegistrationProblem::Exists => "exists",
            RegistrationProblem::Refused { .. } => "refused",
            _ => "other",
        },
        LoginError::Downgrade { .. } => "other",
        LoginError::Refused { .. }
        | LoginError::UnknownAnswer { .. }
        | LoginError::NoMechanism { .. }
        | LoginError::TokenRefused { .. }
        | LoginError::Tasks { .. }
        | LoginError::NoToken { .. }
        | LoginError::UnexpectedIdentity { .. }
        | LoginError::BindRefused { .. }
        | _ => return None,
    })
}

fn sasl_code(error: &SaslError) -> &'static str {
    match error {
        SaslError::Username(_) => "username",
        SaslError::Password(_) => "password",
        SaslError::Authzid => "authzid",
        SaslError::ClientNonce => "client_nonce",
        SaslError::OutOfOrder => "out_of_order",
        SaslError::Encoding => "encoding",
        SaslError::UnexpectedChallenge => "unexpected_challenge",
        SaslError::UnexpectedSuccessData => "unexpected_success_data",
        SaslError::SuccessTooEarly => "success_too_early",
        SaslError::Malformed { .. } => "malformed",
        SaslError::MandatoryExtension => "mandatory_extension",
        SaslError::Nonce => "nonce",
        SaslError::Salt => "salt",
        SaslError::Iterations => "iterations",
        SaslError::IterationsTooLow { .. } => "iterations_too_low",
        SaslError::IterationsTooHigh { .. } => "iterations_too_high",
        SaslError::Server { .. } => "server",
        SaslError::WrongServerProof => "wrong_server_proof",
        SaslError::MissingServerProof => "missing_server_proof",
        SaslError::OfferChanged { .. } => "offer_changed",
        SaslError::OfferUnproved => "offer_unproved",
        SaslError::KeyDoesNotFit => "key_does_not_fit",
        SaslError::Token => "token",
        SaslError::SuccessAfterRefusal => "success_after_refusal",
        SaslError::Realm { .. } => "realm",
        SaslError::NotLatin1 => "not_latin1",
        _ => "other",
    }
}

fn incompatible_code(error: &PeerIncompatible) -> &'static str {
    match error {
        PeerIncompatible::NoSasl => "no_sasl",
        PeerIncompatible::NoBind => "no_bind",
        PeerIncompatible::SessionParameters => "session_parameters",
        PeerIncompatible::Version => "version",
        PeerIncompatible::Subprotocol => "subprotocol",
        PeerIncompatible::Alpn { .. } => "alpn",
        PeerIncompatible::RequiredFeature { .. } => "required_feature",
        _ => "other",
    }
}

fn misbehaved_code(error: &PeerMisbehaved) -> &'static str {
    match error {
        PeerMisbehaved::Xml(_) => "xml",
        PeerMisbehaved::Unexpected { .. } => "unexpected",
        PeerMisbehaved::BoshPayload { .. } => "bosh_payload",
        PeerMisbehaved::BeforeTls => "before_tls",
        PeerMisbehaved::AfterLogin => "after_login",
        PeerMisbehaved::StreamHeader { .. } => "stream_header",
        PeerMisbehaved::ContentNamespace => "content_namespace",
        PeerMisbehaved::Frame => "frame",
        PeerMisbehaved::HandledCount { .. } => "handled_count",
        PeerMisbehaved::StreamManagement { .. } => "stream_management",
        PeerMisbehaved::BoundJid => "bound_jid",
        PeerMisbehaved::AuthorizationIdentifier => "authorization_identifier",
        PeerMisbehaved::Sasl2 { .. } => "sasl2",
        PeerMisbehaved::TooManyRequests => "too_many_requests",
        _ => "other",
    }
}

fn warning_code(warning: &Warning) -> &'static str {
    match warning {
        Warning::CertificateWithoutName => "certificate_without_name",
        Warning::CertificateNamesOthers { .. } => "certificate_names_others",
        Warning::CertificateNameType => "certificate_name_type",
        Warning::CertificateNamesSeveral => "certificate_names_several",
        Warning::CertificateUnreadable => "certificate_unreadable",
        Warning::Resent { .. } => "resent",
        Warning::Hurried => "hurried",
        Warning::NotResumed { .. } => "not_resumed",
        Warning::Redirected { .. } => "redirected",
        Warning::NoStreamManagement { .. } => "no_stream_management",
        Warning::TokenRefused { .. } => "token_refused",
        Warning::TokenUnusable { .. } => "token_unusable",
        Warning::TokenIgnored => "token_ignored",
        Warning::Upgraded { .. } => "upgraded",
        Warning::Dropped { .. } => "dropped",
        _ => "other",
    }
}
