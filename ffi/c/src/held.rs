//! What C is looking at: the output that `epode_next` gave last, and the texts that were made for it.

use std::borrow::Cow;
use std::mem;

use epode::error::{IqError, LoginError, RegistrationProblem, SaslError};
use epode::{
    ChannelBindingType, Derivation, Element, Endpoint, Event, Instant, JobId, Question, SaslProfile, ScramHash,
    ServerProof, Slot, Stage, StanzaErrorType, TcpTls, TransportKind,
};

use crate::code;
use crate::output::{
    Abandon, Close, Connect, Delivery, DeriveKey, Frame, Interrupted, IqDone, Offered, Offline, Online, Output,
    OutputData, Post, Request, Resolve, Stanza, StartTls, Store, Task, Warning, Write,
};
use crate::slice::Slice;

/// Owns what the slices of the last output point into. It is changed by the next `epode_next` only.
#[derive(Debug, Default)]
pub(crate) struct Held {
    output: Option<epode::Output>,
    /// A `String` may move, its text stays where it is.
    texts: Vec<String>,
}

impl Held {
    /// Lets go of the last output, keeps this one, and shows it.
    pub(crate) fn show(&mut self, output: Option<epode::Output>) -> Output {
        self.texts.clear();
        self.output = output;
        let Some(output) = &self.output else {
            // An idle client holds no memory for a burst that is over.
            self.texts = Vec::new();
            return nothing();
        };
        show(output, &mut self.texts)
    }

    /// The derivation that was shown last, if the last output was one.
    pub(crate) fn derivation(&self) -> Option<(JobId, &Derivation)> {
        if let Some(epode::Output::DeriveKey { job, derivation }) = &self.output {
            return Some((*job, derivation));
        }
        None
    }
}

/// Nothing more to do.
pub(crate) fn nothing() -> Output {
    made(code::EPODE_NONE, |_| {})
}

/// The end of a client that hit a bug; the sentence is the client's.
pub(crate) fn offline_by_bug(sentence: &str) -> Output {
    // SAFETY: numbers and slices may be zero.
    let mut offline: Offline = unsafe { mem::zeroed() };
    offline.group = code::EPODE_OFFLINE_INTERNAL;
    offline.sentence = Slice::new(sentence.as_bytes());
    made(code::EPODE_OFFLINE, |data| data.offline = offline)
}

fn made(kind: u32, fill: impl FnOnce(&mut OutputData)) -> Output {
    // SAFETY: numbers, booleans and slices may be zero, and every byte of the union gets a value that way.
    let mut output: Output = unsafe { mem::zeroed() };
    output.kind = kind;
    fill(&mut output.data);
    output
}

fn show(output: &epode::Output, texts: &mut Vec<String>) -> Output {
    match output {
        epode::Output::Connect {
            link,
            endpoint,
            server_name,
            identity,
            max_message,
        } => {
            // SAFETY: numbers and slices may be zero.
            let mut connect: Connect = unsafe { mem::zeroed() };
            connect.link = link.0;
            connect.max_message = wide(*max_message);
            connect.server_name = Slice::new(server_name.as_bytes());
            connect.identity = Slice::optional(identity.as_deref());
            connect.endpoint = match endpoint {
                Endpoint::Bosh { url } => {
                    connect.url = Slice::new(url.as_bytes());
                    code::EPODE_ENDPOINT_BOSH
                }
                Endpoint::WebSocket { url } => {
                    connect.url = Slice::new(url.as_bytes());
                    code::EPODE_ENDPOINT_WEBSOCKET
                }
                Endpoint::Tcp { host, port, tls } => {
                    connect.host = Slice::new(host.as_bytes());
                    connect.port = u32::from(*port);
                    connect.tls = match tls {
                        TcpTls::Direct => code::EPODE_TCP_DIRECT_TLS,
                        TcpTls::StartTls => code::EPODE_TCP_STARTTLS,
                        _ => code::EPODE_OTHER,
                    };
                    code::EPODE_ENDPOINT_TCP
                }
                // A host gives up on an endpoint that it does not know.
                _ => code::EPODE_OTHER,
            };
            made(code::EPODE_CONNECT, |data| data.connect = connect)
        }
        epode::Output::Post {
            link,
            request,
            body,
            deadline,
        } => {
            let post = Post {
                link: link.0,
                request: request.0,
                deadline_ms: deadline.as_millis(),
                body: Slice::new(body),
            };
            made(code::EPODE_POST, |data| data.post = post)
        }
        epode::Output::Abandon { link, request } => made(code::EPODE_ABANDON, |data| {
            data.abandon = Abandon {
                link: link.0,
                request: request.0,
            };
        }),
        epode::Output::Close { link } => made(code::EPODE_CLOSE, |data| data.close = Close { link: link.0 }),
        epode::Output::Resolve {
            query,
            question,
            deadline,
        } => {
            let resolve = show_question(query.0, question, *deadline);
            made(code::EPODE_RESOLVE, |data| data.resolve = resolve)
        }
        epode::Output::Store { slot, append, bytes } => {
            let slot = match slot {
                Slot::Session => code::EPODE_SLOT_SESSION,
                Slot::Token => code::EPODE_SLOT_TOKEN,
                Slot::Pins => code::EPODE_SLOT_PINS,
                _ => code::EPODE_OTHER,
            };
            let (append, bytes) = (*append, Slice::new(bytes.expose()));
            made(code::EPODE_STORE, |data| data.store = Store { slot, append, bytes })
        }
        epode::Output::Write { link, bytes } => {
            let (link, bytes) = (link.0, Slice::new(bytes));
            made(code::EPODE_WRITE, |data| data.write = Write { link, bytes })
        }
        epode::Output::Frame { link, text } => {
            let (link, text) = (link.0, Slice::new(text.as_bytes()));
            made(code::EPODE_FRAME, |data| data.frame = Frame { link, text })
        }
        epode::Output::StartTls { link, server_name } => {
            let (link, server_name) = (link.0, Slice::new(server_name.as_bytes()));
            made(code::EPODE_START_TLS, |data| {
                data.start_tls = StartTls { link, server_name };
            })
        }
        epode::Output::DeriveKey { job, derivation } => {
            let inputs = DeriveKey::new(*job, derivation);
            made(code::EPODE_DERIVE_KEY, |data| data.derive_key = inputs)
        }
        epode::Output::Event(event) => show_event(event, texts),
        _ => made(code::EPODE_OTHER, |_| {}),
    }
}

fn show_question(query: u64, question: &Question, deadline: Instant) -> Resolve {
    // SAFETY: numbers and slices may be zero.
    let mut resolve: Resolve = unsafe { mem::zeroed() };
    resolve.query = query;
    resolve.deadline_ms = deadline.as_millis();
    resolve.question = match question {
        Question::Srv { name } => {
            resolve.name = Slice::new(name.as_bytes());
            code::EPODE_QUESTION_SRV
        }
        Question::Document { url, max_bytes } => {
            resolve.url = Slice::new(url.as_bytes());
            resolve.max_bytes = wide(*max_bytes);
            code::EPODE_QUESTION_DOCUMENT
        }
        // A host fails a question that it does not know.
        _ => code::EPODE_OTHER,
    };
    resolve
}

fn show_event(event: &Event, texts: &mut Vec<String>) -> Output {
    match event {
        Event::Online {
            jid,
            mechanism,
            server_proof,
            channel_binding,
            profile,
            resumed,
            client_certificate_requested,
            round_trips,
            transport,
        } => {
            let online = Online {
                jid: Slice::new(jid.as_str().as_bytes()),
                mechanism: Slice::new(mechanism.as_bytes()),
                round_trips: *round_trips,
                client_certificate_requested: match client_certificate_requested {
                    None => code::EPODE_UNKNOWN,
                    Some(false) => code::EPODE_NO,
                    Some(true) => code::EPODE_YES,
                },
                server_proof: *server_proof == ServerProof::Verified,
                resumed: *resumed,
                transport: transport_code(*transport),
                proof: match server_proof {
                    ServerProof::None => code::EPODE_PROOF_NONE,
                    ServerProof::Verified => code::EPODE_PROOF_VERIFIED,
                    ServerProof::Absent => code::EPODE_PROOF_ABSENT,
                    _ => code::EPODE_OTHER,
                },
                channel_binding: match channel_binding {
                    None => code::EPODE_BINDING_NONE,
                    Some(ChannelBindingType::TlsExporter) => code::EPODE_BINDING_TLS_EXPORTER,
                    Some(ChannelBindingType::TlsUnique) => code::EPODE_BINDING_TLS_UNIQUE,
                    Some(ChannelBindingType::TlsServerEndPoint) => code::EPODE_BINDING_TLS_SERVER_END_POINT,
                    Some(_) => code::EPODE_OTHER,
                },
                profile: match profile {
                    None => code::EPODE_SASL_NONE,
                    Some(SaslProfile::Sasl1) => code::EPODE_SASL_1,
                    Some(SaslProfile::Sasl2) => code::EPODE_SASL_2,
                    Some(_) => code::EPODE_OTHER,
                },
            };
            made(code::EPODE_ONLINE, |data| data.online = online)
        }
        Event::Offline { reason } => {
            let offline = show_offline(reason, texts);
            made(code::EPODE_OFFLINE, |data| data.offline = offline)
        }
        Event::Interrupted {
            reason,
            retry_at,
            resumable,
        } => {
            let reason = show_offline(reason, texts);
            let interrupted = Interrupted {
                group: reason.group,
                resumable: *resumable,
                retry_at_ms: retry_at.map_or(u64::MAX, Instant::as_millis),
                sentence: reason.sentence,
                condition: reason.condition,
            };
            made(code::EPODE_INTERRUPTED, |data| data.interrupted = interrupted)
        }
        Event::Offered {
            features,
            transport,
            encrypted,
        } => {
            let offered = Offered {
                transport: transport_code(*transport),
                encrypted: *encrypted,
                features: keep(features.to_xml(), texts),
            };
            made(code::EPODE_OFFERED, |data| data.offered = offered)
        }
        Event::Task { task, payload, text } => {
            let task = Task {
                task: Slice::new(task.as_bytes()),
                payload: match payload {
                    Some(payload) => keep(payload.to_xml(), texts),
                    None => Slice::ABSENT,
                },
                text: Slice::optional(text.as_deref()),
            };
            made(code::EPODE_TASK, |data| data.task = task)
        }
        Event::Stanza { stanza, token } => {
            let mut stanza = show_stanza(stanza, texts);
            stanza.token = token.map_or(0, |token| token.0);
            made(code::EPODE_STANZA, |data| data.stanza = stanza)
        }
        Event::Request { token, iq } => {
            let request = Request {
                token: token.0,
                iq: show_stanza(iq, texts),
            };
            made(code::EPODE_REQUEST, |data| data.request = request)
        }
        Event::IqDone { token, result } => {
            let done = show_done(token.0, result, texts);
            made(code::EPODE_IQ_DONE, |data| data.iq_done = done)
        }
        Event::Delivery { token, stage } => made(code::EPODE_DELIVERY, |data| {
            data.delivery = Delivery {
                token: token.0,
                stage: match stage {
                    Stage::Queued => code::EPODE_QUEUED,
                    Stage::Sent => code::EPODE_SENT,
                    Stage::Acked => code::EPODE_ACKED,
                    Stage::Failed => code::EPODE_FAILED,
                },
                reserved: 0,
            };
        }),
        Event::Writable => made(code::EPODE_WRITABLE, |_| {}),
        Event::Warning(warning) => {
            let warning = Warning {
                code: warning_code(warning),
                reserved: 0,
                sentence: keep(warning.to_string(), texts),
            };
            made(code::EPODE_WARNING, |data| data.warning = warning)
        }
        _ => made(code::EPODE_OTHER, |_| {}),
    }
}

fn show_offline(reason: &epode::Offline, texts: &mut Vec<String>) -> Offline {
    // SAFETY: numbers and slices may be zero.
    let mut offline: Offline = unsafe { mem::zeroed() };
    offline.sentence = keep(reason.to_string(), texts);
    offline.group = match reason {
        epode::Offline::Stopped => code::EPODE_OFFLINE_STOPPED,
        epode::Offline::Connection(_) => code::EPODE_OFFLINE_CONNECTION,
        epode::Offline::Tls(_) => code::EPODE_OFFLINE_TLS,
        epode::Offline::Login(error) => {
            show_login(error, &mut offline);
            code::EPODE_OFFLINE_LOGIN
        }
        epode::Offline::Incompatible(_) => code::EPODE_OFFLINE_INCOMPATIBLE,
        epode::Offline::Misbehaved(_) => code::EPODE_OFFLINE_MISBEHAVED,
        epode::Offline::Ended(end) => {
            offline.condition = Slice::optional(end.condition.as_deref());
            code::EPODE_OFFLINE_ENDED
        }
        _ => code::EPODE_OFFLINE_OTHER,
    };
    offline
}

fn show_login(error: &LoginError, offline: &mut Offline) {
    let mut says = |condition: &str| offline.condition = Slice::new(condition.as_bytes());
    offline.login = match error {
        LoginError::Refused { condition, .. } => {
            says(condition);
            code::EPODE_LOGIN_REFUSED
        }
        LoginError::UnknownAnswer { .. } => code::EPODE_LOGIN_UNKNOWN_ANSWER,
        LoginError::NoMechanism { .. } => code::EPODE_LOGIN_NO_MECHANISM,
        LoginError::Mechanism {
            error: SaslError::KeyDoesNotFit,
            ..
        } => code::EPODE_LOGIN_KEY_DOES_NOT_FIT,
        LoginError::Mechanism {
            error: SaslError::OfferChanged { .. } | SaslError::OfferUnproved,
            ..
        } => code::EPODE_LOGIN_OFFER,
        LoginError::Mechanism { .. } => code::EPODE_LOGIN_MECHANISM,
        LoginError::TokenRefused {
            condition,
            status,
            scope,
            openid_configuration,
            ..
        } => {
            says(condition);
            offline.status = Slice::optional(status.as_deref());
            offline.scope = Slice::optional(scope.as_deref());
            offline.openid_configuration = Slice::optional(openid_configuration.as_deref());
            code::EPODE_LOGIN_TOKEN_REFUSED
        }
        LoginError::Downgrade { .. } => code::EPODE_LOGIN_DOWNGRADE,
        LoginError::ChannelBinding { .. } => code::EPODE_LOGIN_CHANNEL_BINDING,
        LoginError::Tasks { .. } => code::EPODE_LOGIN_TASKS,
        LoginError::NoToken { condition } => {
            offline.condition = Slice::optional(condition.as_deref());
            code::EPODE_LOGIN_NO_TOKEN
        }
        LoginError::Registration { problem } => {
            if let RegistrationProblem::Refused { error } = problem {
                says(&error.condition);
            }
            code::EPODE_LOGIN_REGISTRATION
        }
        LoginError::UnexpectedIdentity { .. } => code::EPODE_LOGIN_UNEXPECTED_IDENTITY,
        LoginError::BindRefused { error } => {
            says(&error.condition);
            code::EPODE_LOGIN_BIND_REFUSED
        }
        _ => code::EPODE_LOGIN_OTHER,
    };
}

fn show_done(token: u64, result: &Result<Element, IqError>, texts: &mut Vec<String>) -> IqDone {
    // SAFETY: numbers and slices may be zero.
    let mut done: IqDone = unsafe { mem::zeroed() };
    done.token = token;
    let error = match result {
        Ok(iq) => {
            done.outcome = code::EPODE_IQ_RESULT;
            done.iq = show_stanza(iq, texts);
            return done;
        }
        Err(error) => error,
    };
    done.sentence = keep(error.to_string(), texts);
    done.outcome = match error {
        IqError::Error(error) => {
            done.error_type = match error.kind {
                StanzaErrorType::Auth => code::EPODE_ERROR_AUTH,
                StanzaErrorType::Cancel => code::EPODE_ERROR_CANCEL,
                StanzaErrorType::Continue => code::EPODE_ERROR_CONTINUE,
                StanzaErrorType::Modify => code::EPODE_ERROR_MODIFY,
                StanzaErrorType::Wait => code::EPODE_ERROR_WAIT,
            };
            done.condition = Slice::new(error.condition.as_bytes());
            done.text = Slice::optional(error.text.as_deref());
            code::EPODE_IQ_ERROR
        }
        IqError::Timeout => code::EPODE_IQ_TIMEOUT,
        IqError::Disconnected => code::EPODE_IQ_DISCONNECTED,
        IqError::Cancelled => code::EPODE_IQ_CANCELLED,
        _ => code::EPODE_IQ_OTHER,
    };
    done
}

fn show_stanza(stanza: &Element, texts: &mut Vec<String>) -> Stanza {
    let body = match stanza.child(stanza.namespace(), "body").map(|body| body.text()) {
        Some(Cow::Borrowed(text)) => Slice::new(text.as_bytes()),
        Some(Cow::Owned(text)) => keep(text, texts),
        None => Slice::ABSENT,
    };
    Stanza {
        kind: match stanza.name() {
            "message" => code::EPODE_MESSAGE,
            "presence" => code::EPODE_PRESENCE,
            _ => code::EPODE_IQ,
        },
        reserved: 0,
        id: Slice::optional(stanza.attribute("id")),
        from: Slice::optional(stanza.attribute("from")),
        to: Slice::optional(stanza.attribute("to")),
        r#type: Slice::optional(stanza.attribute("type")),
        body,
        xml: keep(stanza.to_xml(), texts),
        token: 0,
    }
}

pub(crate) fn hash_code(hash: ScramHash) -> u32 {
    match hash {
        ScramHash::Sha1 => code::EPODE_HASH_SHA1,
        ScramHash::Sha256 => code::EPODE_HASH_SHA256,
        ScramHash::Sha384 => code::EPODE_HASH_SHA384,
        ScramHash::Sha512 => code::EPODE_HASH_SHA512,
        _ => code::EPODE_OTHER,
    }
}

fn transport_code(transport: TransportKind) -> u32 {
    match transport {
        TransportKind::Bosh => code::EPODE_ENDPOINT_BOSH,
        TransportKind::Tcp => code::EPODE_ENDPOINT_TCP,
        TransportKind::WebSocket => code::EPODE_ENDPOINT_WEBSOCKET,
        _ => code::EPODE_OTHER,
    }
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn warning_code(warning: &epode::Warning) -> u32 {
    match warning {
        epode::Warning::CertificateWithoutName => code::EPODE_WARNING_CERTIFICATE_WITHOUT_NAME,
        epode::Warning::CertificateNamesOthers { .. } => code::EPODE_WARNING_CERTIFICATE_NAMES_OTHERS,
        epode::Warning::CertificateNameType => code::EPODE_WARNING_CERTIFICATE_NAME_TYPE,
        epode::Warning::CertificateNamesSeveral => code::EPODE_WARNING_CERTIFICATE_NAMES_SEVERAL,
        epode::Warning::CertificateUnreadable => code::EPODE_WARNING_CERTIFICATE_UNREADABLE,
        epode::Warning::Resent { .. } => code::EPODE_WARNING_RESENT,
        epode::Warning::Hurried => code::EPODE_WARNING_HURRIED,
        epode::Warning::Dropped { .. } => code::EPODE_WARNING_DROPPED,
        epode::Warning::NotResumed { .. } => code::EPODE_WARNING_NOT_RESUMED,
        epode::Warning::Redirected { .. } => code::EPODE_WARNING_REDIRECTED,
        epode::Warning::NoStreamManagement { .. } => code::EPODE_WARNING_NO_STREAM_MANAGEMENT,
        epode::Warning::TokenRefused { .. } => code::EPODE_WARNING_TOKEN_REFUSED,
        epode::Warning::TokenUnusable { .. } => code::EPODE_WARNING_TOKEN_UNUSABLE,
        epode::Warning::TokenIgnored => code::EPODE_WARNING_TOKEN_IGNORED,
        epode::Warning::Upgraded { .. } => code::EPODE_WARNING_UPGRADED,
        _ => code::EPODE_WARNING_OTHER,
    }
}

fn keep(text: String, texts: &mut Vec<String>) -> Slice {
    let slice = Slice::new(text.as_bytes());
    texts.push(text);
    slice
}
