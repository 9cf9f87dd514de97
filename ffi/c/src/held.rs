//! What C is looking at: the output that `epode_next` gave last, and the texts that were made for it.

use std::borrow::Cow;
use std::mem;

use epode::error::{IqError, LoginError};
use epode::{Element, Endpoint, Event, ServerProof, Stage, StanzaErrorType};

use crate::code;
use crate::output::{
    Abandon, Close, Connect, Delivery, IqDone, Offline, Online, Output, OutputData, Post, Request, Stanza, Warning,
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
            return made(code::EPODE_NONE, |_| {});
        };
        show(output, &mut self.texts)
    }
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
            let (endpoint, url) = match endpoint {
                Endpoint::Bosh { url } => (code::EPODE_ENDPOINT_BOSH, Slice::new(url.as_bytes())),
                // A host gives up on an endpoint that it does not know.
                _ => (code::EPODE_OTHER, Slice::ABSENT),
            };
            let connect = Connect {
                link: link.0,
                endpoint,
                reserved: 0,
                max_message: u64::try_from(*max_message).unwrap_or(u64::MAX),
                url,
                server_name: Slice::new(server_name.as_bytes()),
                identity: Slice::optional(identity.as_deref()),
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
        epode::Output::Event(event) => show_event(event, texts),
        _ => made(code::EPODE_OTHER, |_| {}),
    }
}

fn show_event(event: &Event, texts: &mut Vec<String>) -> Output {
    match event {
        Event::Online {
            jid,
            mechanism,
            server_proof,
            resumed,
            client_certificate_requested,
            round_trips,
            ..
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
            };
            made(code::EPODE_ONLINE, |data| data.online = online)
        }
        Event::Offline { reason } => {
            let offline = show_offline(reason, texts);
            made(code::EPODE_OFFLINE, |data| data.offline = offline)
        }
        Event::Stanza { stanza, .. } => {
            let stanza = show_stanza(stanza, texts);
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
    let (group, condition) = match reason {
        epode::Offline::Stopped => (code::EPODE_OFFLINE_STOPPED, None),
        epode::Offline::Connection(_) => (code::EPODE_OFFLINE_CONNECTION, None),
        epode::Offline::Tls(_) => (code::EPODE_OFFLINE_TLS, None),
        epode::Offline::Login(LoginError::Refused { condition, .. }) => {
            (code::EPODE_OFFLINE_LOGIN, Some(condition.as_str()))
        }
        epode::Offline::Login(LoginError::BindRefused { error }) => {
            (code::EPODE_OFFLINE_LOGIN, Some(error.condition.as_str()))
        }
        epode::Offline::Login(_) => (code::EPODE_OFFLINE_LOGIN, None),
        epode::Offline::Incompatible(_) => (code::EPODE_OFFLINE_INCOMPATIBLE, None),
        epode::Offline::Misbehaved(_) => (code::EPODE_OFFLINE_MISBEHAVED, None),
        epode::Offline::Ended(end) => (code::EPODE_OFFLINE_ENDED, end.condition.as_deref()),
        _ => (code::EPODE_OFFLINE_OTHER, None),
    };
    Offline {
        group,
        reserved: 0,
        sentence: keep(reason.to_string(), texts),
        condition: Slice::optional(condition),
    }
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
    }
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
        _ => code::EPODE_WARNING_OTHER,
    }
}

fn keep(text: String, texts: &mut Vec<String>) -> Slice {
    let slice = Slice::new(text.as_bytes());
    texts.push(text);
    slice
}
