//! From `the link is open` to `online`: every transition, in one table that does not know the transport.
//!
//! A [`Phase`] is what is waited for; it is consumed by each [`Event`] and yields the next phase, with [`Step`]s for the
//! client to carry out, or the reason why the client goes offline. Every pair of phase and event that is not in the table
//! is a named error. After an error the answer stays the same error.
//!
//! - `mod.rs`: the table.
//! - `features.rs`: what a server offers.
//! - `sasl1.rs`: the elements of RFC 6120 §6.
//! - `bind.rs`: resource binding and the old session.
//! - `tests.rs`: every pair of phase and event, as a literal table.

mod bind;
pub(crate) mod features;
mod sasl1;
#[cfg(test)]
mod tests;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::certificate::ClientCertificate;
use crate::config::{Config, Credentials, TlsPolicy};
use crate::error::{
    ConnectionError, LoginError, Offline, PeerIncompatible, PeerMisbehaved, SessionEnd, TlsError, WaitingFor, Warning,
};
use crate::input::StanzaError;
use crate::jid::Jid;
use crate::link::{NS_STREAM, NamesAccount, Traits, expanded_name, stream_error};
use crate::output::ServerProof;
use crate::random::Random;
use crate::sasl::select::{Connection, select};
use crate::sasl::{self, Mechanism, SaslError};
use crate::session::NS_CLIENT;
use crate::xml::{Element, InvalidXml};
use features::{Features, NS_SASL, NS_TLS};
pub(crate) use features::{NS_SM, Offers};

/// More challenges than any mechanism needs: an endless exchange ends here.
const CHALLENGES: u32 = 10;
/// How often a resource is asked for.
const BIND_ATTEMPTS: u32 = 3;

/// The negotiation of one link.
#[derive(Debug)]
pub(crate) struct Negotiation {
    phase: Result<Phase, Offline>,
}

/// What is waited for.
#[derive(Debug)]
enum Phase {
    /// The stream.
    Opening,
    /// The server's word on TLS (RFC 6120 §5.4.2).
    StartTls,
    /// Features, before or after authentication.
    Features(Option<Login>),
    /// The server's part of a SASL exchange.
    Sasl { mechanism: Mechanism, challenges: u32 },
    /// The result of resuming the earlier session (XEP-0198 §5), and what to do where it is not resumed.
    Resume {
        login: Login,
        bind: bool,
        session_required: bool,
    },
    /// The result of binding.
    Bind {
        login: Login,
        id: String,
        attempts: u32,
        session_required: bool,
    },
    /// The result of asking for a session.
    Session { login: Login, id: String, jid: Jid },
    /// Nothing more.
    Online,
}

/// How the login went.
#[derive(Debug)]
struct Login {
    mechanism: &'static str,
    proof: ServerProof,
    offers: Offers,
}

/// What happened, in the words of the table.
#[derive(Debug)]
pub(crate) enum Event {
    /// The link is open.
    Opened,
    /// `<stream:features/>`.
    Features(Element),
    /// `<proceed/>`.
    Proceed,
    /// `<failure/>` in the namespace of TLS.
    TlsFailure,
    /// `<challenge/>`.
    Challenge(Element),
    /// `<success/>`.
    Success(Element),
    /// `<failure/>`.
    Failure(Element),
    /// Another element in the SASL namespace.
    OtherSasl(Element),
    /// `<resumed/>` (XEP-0198 §5).
    Resumed(Element),
    /// `<failed/>`.
    NotResumed(Element),
    /// An `iq` of type `result` or `error`.
    IqAnswer(Element),
    /// `<stream:error/>`.
    StreamError(SessionEnd),
    /// Any other element.
    Other(Element),
    /// The phase took too long.
    Timeout,
}

impl Event {
    /// Names what arrived. Expanded names only: prefixes mean nothing (RFC 6120 §4.8).
    pub(crate) fn of(element: Element) -> Self {
        if element.is(NS_STREAM, "features") {
            return Self::Features(element);
        }
        if element.is(NS_STREAM, "error") {
            return Self::StreamError(stream_error(element.root()));
        }
        if element.namespace() == NS_SASL {
            return match element.name() {
                "challenge" => Self::Challenge(element),
                "success" => Self::Success(element),
                "failure" => Self::Failure(element),
                _ => Self::OtherSasl(element),
            };
        }
        if element.is(NS_TLS, "proceed") {
            return Self::Proceed;
        }
        if element.is(NS_TLS, "failure") {
            return Self::TlsFailure;
        }
        if element.is(NS_SM, "resumed") {
            return Self::Resumed(element);
        }
        if element.is(NS_SM, "failed") {
            return Self::NotResumed(element);
        }
        if element.is(NS_CLIENT, "iq") && matches!(element.attribute("type"), Some("result" | "error")) {
            return Self::IqAnswer(element);
        }
        Self::Other(element)
    }

    fn name(&self) -> String {
        match self {
            Self::Opened => "a stream header".to_string(),
            Self::Features(_) => "stream features".to_string(),
            Self::Proceed => "{urn:ietf:params:xml:ns:xmpp-tls}proceed".to_string(),
            Self::TlsFailure => "{urn:ietf:params:xml:ns:xmpp-tls}failure".to_string(),
            Self::StreamError(_) => "a stream error".to_string(),
            Self::Timeout => "nothing".to_string(),
            Self::Challenge(element)
            | Self::Success(element)
            | Self::Failure(element)
            | Self::OtherSasl(element)
            | Self::Resumed(element)
            | Self::NotResumed(element)
            | Self::IqAnswer(element)
            | Self::Other(element) => expanded_name(element.root()),
        }
    }
}

/// What the client has to do, in order.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this element.
    Send(Element),
    /// Ask for TLS; nothing may follow until it is there.
    AskForTls,
    /// Begin TLS, and forget all that was learnt before.
    StartTls,
    /// Tell the application what is offered: it asked for nothing else.
    Offered(Element),
    /// Start the stream anew; `from` names the account where the transport wants that.
    Restart { from: Option<String> },
    /// Tell the application.
    Warn(Warning),
    /// Larger elements may come now.
    Authenticated,
    /// Ask for the earlier session.
    Resume,
    /// The earlier session goes on.
    Resumed {
        element: Element,
        mechanism: &'static str,
        proof: ServerProof,
        offers: Offers,
    },
    /// The earlier session is gone: the server said so, or does not resume at all.
    NotResumed(Option<Element>),
    /// Done.
    Online {
        jid: Jid,
        mechanism: &'static str,
        proof: ServerProof,
        offers: Offers,
    },
}

/// What the table may look at.
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) encrypted: bool,
    pub(crate) verified_tls: bool,
    /// There is an earlier session to resume.
    pub(crate) can_resume: bool,
    pub(crate) certificate: Option<&'a ClientCertificate>,
    pub(crate) certificate_requested: Option<bool>,
    pub(crate) traits: Traits,
    pub(crate) random: &'a mut Random,
    pub(crate) steps: &'a mut Vec<Step>,
}

impl Default for Negotiation {
    fn default() -> Self {
        Self {
            phase: Ok(Phase::Opening),
        }
    }
}

impl Negotiation {
    pub(crate) fn is_online(&self) -> bool {
        matches!(self.phase, Ok(Phase::Online))
    }

    /// One turn of the table. `Ok(false)` is an event that was ignored: it buys the server no time.
    pub(crate) fn handle(&mut self, event: Event, facts: &mut Facts<'_>) -> Result<bool, Offline> {
        if self
            .phase
            .as_ref()
            .is_ok_and(|phase| phase.ignores(&event, facts.config))
        {
            return Ok(false);
        }
        let result = core::mem::replace(&mut self.phase, Ok(Phase::Online));
        self.phase = result.and_then(|phase| transition(phase, event, facts));
        self.phase.as_ref().map(|_| true).map_err(Clone::clone)
    }
}

/// The table.
fn transition(phase: Phase, event: Event, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    match (phase, event) {
        // RFC 6120 §4.9.1.1: a stream error is final, whenever it comes.
        (_, Event::StreamError(end)) => Err(Offline::Ended(end)),
        (phase, Event::Timeout) => Err(Offline::Connection(ConnectionError::Timeout {
            waiting_for: phase.waiting_for(),
        })),

        (Phase::Opening, Event::Opened) => Ok(Phase::Features(None)),

        (Phase::Features(None), Event::Features(element)) => before_login(element, facts),
        // The stream after the login has a header of its own, but for BOSH, where the session is the stream.
        (Phase::Features(Some(login)), Event::Opened) => Ok(Phase::Features(Some(login))),
        (Phase::Features(Some(login)), Event::Features(element)) => {
            after_login(login, &Features::read(element.root()), facts)
        }

        (Phase::StartTls, Event::Proceed) => {
            facts.steps.push(Step::StartTls);
            Ok(Phase::Opening)
        }
        (Phase::StartTls, Event::TlsFailure) => Err(Offline::Tls(TlsError::StartTlsRefused)),

        (
            Phase::Sasl {
                mut mechanism,
                challenges,
            },
            Event::Challenge(challenge),
        ) => {
            let answer = if challenges < CHALLENGES {
                sasl1::data(challenge.root())
                    .and_then(|data| mechanism.challenge(&data))
                    .and_then(|answer| match answer {
                        sasl::Answer::Message(message) => Ok(message),
                        sasl::Answer::Derive(derivation) => mechanism.derived(derivation.run()),
                    })
            } else {
                Err(SaslError::UnexpectedChallenge)
            };
            match answer {
                Ok(answer) => {
                    facts.steps.push(Step::Send(sasl1::response(&answer).map_err(ours)?));
                    Ok(Phase::Sasl {
                        mechanism,
                        challenges: challenges + 1,
                    })
                }
                Err(error) => {
                    // RFC 6120 §6.4.4: the server learns that we broke it off.
                    facts.steps.push(Step::Send(sasl1::abort().map_err(ours)?));
                    Err(broken_off(mechanism.name(), error))
                }
            }
        }
        (Phase::Sasl { mut mechanism, .. }, Event::Success(success)) => {
            let proof = sasl1::data(success.root()).and_then(|data| mechanism.success(Some(&data)));
            let proof = match proof.map_err(|error| broken_off(mechanism.name(), error))? {
                sasl::ServerProof::Verified => ServerProof::Verified,
                sasl::ServerProof::NotProvided => ServerProof::None,
                sasl::ServerProof::LeftOut => ServerProof::Absent,
            };
            let names_account = match facts.traits.restart_names_account {
                NamesAccount::Always => true,
                NamesAccount::WithExternal => mechanism.name() == "EXTERNAL",
            };
            let from = names_account.then(|| facts.config.account().to_string());
            facts.steps.push(Step::Restart { from });
            facts.steps.push(Step::Authenticated);
            Ok(Phase::Features(Some(Login {
                mechanism: mechanism.name(),
                proof,
                offers: Offers::default(),
            })))
        }
        (Phase::Sasl { mechanism, .. }, Event::Failure(failure)) => {
            // Nothing weaker is tried after a refusal: that would be a way to collect passwords.
            let (condition, text) = sasl1::failure(failure.root());
            let text = text.filter(|text| !says_password(text, &facts.config.credentials));
            Err(Offline::Login(LoginError::Refused {
                mechanism: mechanism.name().to_string(),
                condition,
                text,
                client_certificate_requested: facts.certificate_requested,
            }))
        }
        (Phase::Sasl { mechanism, .. }, Event::OtherSasl(element)) => Err(Offline::Login(LoginError::UnknownAnswer {
            mechanism: mechanism.name().to_string(),
            element: expanded_name(element.root()),
        })),

        (Phase::Resume { login, .. }, Event::Resumed(element)) => {
            facts.steps.push(Step::Resumed {
                element,
                mechanism: login.mechanism,
                proof: login.proof,
                offers: login.offers,
            });
            Ok(Phase::Online)
        }
        (
            Phase::Resume {
                login,
                bind,
                session_required,
            },
            Event::NotResumed(element),
        ) => {
            facts.steps.push(Step::NotResumed(Some(element)));
            bind_first(login, bind, session_required, facts)
        }

        (
            Phase::Bind {
                login,
                attempts,
                session_required,
                ..
            },
            Event::IqAnswer(iq),
        ) => {
            if iq.attribute("type") == Some("error") {
                let error = StanzaError::read(iq.root());
                // RFC 6120 §7.7.2.2: the resource is taken; the server may choose another.
                return match error.condition.as_str() {
                    "conflict" if attempts < BIND_ATTEMPTS => ask_to_bind(login, attempts + 1, session_required, facts),
                    _ => Err(Offline::Login(LoginError::BindRefused { error })),
                };
            }
            let jid = bind::bound_jid(&iq, &facts.config.account())?;
            if session_required {
                let id = facts.random.id();
                facts.steps.push(Step::Send(bind::session_request(&id).map_err(ours)?));
                return Ok(Phase::Session { login, id, jid });
            }
            Ok(online(login, jid, facts))
        }
        (Phase::Session { login, jid, .. }, Event::IqAnswer(iq)) => {
            if iq.attribute("type") == Some("error") {
                let error = StanzaError::read(iq.root());
                return Err(Offline::Login(LoginError::BindRefused { error }));
            }
            Ok(online(login, jid, facts))
        }

        (
            phase @ (Phase::Opening
            | Phase::StartTls
            | Phase::Features(_)
            | Phase::Sasl { .. }
            | Phase::Resume { .. }
            | Phase::Bind { .. }
            | Phase::Session { .. }
            | Phase::Online),
            event @ (Event::Opened
            | Event::Features(_)
            | Event::Proceed
            | Event::TlsFailure
            | Event::Challenge(_)
            | Event::Success(_)
            | Event::Failure(_)
            | Event::OtherSasl(_)
            | Event::Resumed(_)
            | Event::NotResumed(_)
            | Event::IqAnswer(_)
            | Event::Other(_)),
        ) => Err(Offline::Misbehaved(PeerMisbehaved::Unexpected {
            waiting_for: phase.waiting_for(),
            element: event.name(),
        })),
    }
}

impl Phase {
    /// An answer to something that was not asked, or from somebody who was not asked, is nobody's (RFC 6120 §8.2.3).
    fn ignores(&self, event: &Event, config: &Config) -> bool {
        match (self, event) {
            (Self::Bind { id, .. } | Self::Session { id, .. }, Event::IqAnswer(iq)) => !answers(iq, id, config),
            // The resource is bound, and whoever knows it may write to it. The session that it is for is not there yet.
            (Self::Session { .. }, Event::Other(stanza)) => stanza.namespace() == NS_CLIENT,
            _ => false,
        }
    }

    fn waiting_for(&self) -> WaitingFor {
        match self {
            Self::Opening => WaitingFor::Session,
            Self::StartTls => WaitingFor::Tls,
            Self::Resume { .. } => WaitingFor::Resumption,
            Self::Features(_) => WaitingFor::Features,
            Self::Sasl { .. } => WaitingFor::Login,
            Self::Bind { .. } | Self::Session { .. } | Self::Online => WaitingFor::Bind,
        }
    }
}

/// Features before the login: TLS first, where it is not there yet.
fn before_login(element: Element, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    let features = Features::read(element.root());
    if facts.traits.starttls && !facts.encrypted {
        if features.starttls {
            facts.steps.push(Step::AskForTls);
            return Ok(Phase::StartTls);
        }
        let needed = facts.config.tls == TlsPolicy::Required || facts.config.credentials.identity().is_some();
        if needed {
            if facts.config.credentials == Credentials::Nothing {
                facts.steps.push(Step::Offered(element));
            }
            return Err(Offline::Tls(TlsError::NotOffered));
        }
    }
    if facts.config.credentials == Credentials::Nothing {
        facts.steps.push(Step::Offered(element));
        return Err(Offline::Stopped);
    }
    known(&features)?;
    authenticate(&features, facts)
}

/// Features after the login: the earlier session, where there is one to resume, or a resource.
fn after_login(mut login: Login, features: &Features, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    known(features)?;
    login.offers = features.offers;
    let (bind, session_required) = (features.bind, features.session_required);
    if facts.can_resume {
        if features.offers.stream_management {
            facts.steps.push(Step::Resume);
            return Ok(Phase::Resume {
                login,
                bind,
                session_required,
            });
        }
        facts.steps.push(Step::NotResumed(None));
    }
    bind_first(login, bind, session_required, facts)
}

/// RFC 6120 §4.3.5: what is required and unknown ends the negotiation.
fn known(features: &Features) -> Result<(), Offline> {
    match &features.unknown_required {
        Some(feature) => Err(Offline::Incompatible(PeerIncompatible::RequiredFeature {
            feature: feature.clone(),
        })),
        None => Ok(()),
    }
}

fn bind_first(login: Login, bind: bool, session_required: bool, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    if !bind {
        return Err(Offline::Incompatible(PeerIncompatible::NoBind));
    }
    ask_to_bind(login, 1, session_required, facts)
}

fn authenticate(features: &Features, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    let Some(offered) = &features.mechanisms else {
        return Err(Offline::Incompatible(PeerIncompatible::NoSasl));
    };
    let connection = Connection {
        verified_tls: facts.verified_tls,
        certificate: facts.certificate,
        certificate_requested: facts.certificate_requested,
    };
    let choice = select(offered, facts.config, &connection, facts.random).map_err(Offline::Login)?;
    let mut mechanism = choice.mechanism;
    let initial = mechanism
        .initial()
        .map_err(|error| broken_off(mechanism.name(), error))?;
    facts.steps.extend(choice.warning.map(Step::Warn));
    facts.steps.push(Step::Send(
        sasl1::auth(mechanism.name(), initial.as_ref()).map_err(ours)?,
    ));
    Ok(Phase::Sasl {
        mechanism,
        challenges: 0,
    })
}

fn ask_to_bind(login: Login, attempts: u32, session_required: bool, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    let id = facts.random.id();
    let resource = facts.config.jid.resource().filter(|_| attempts == 1);
    facts
        .steps
        .push(Step::Send(bind::bind_request(&id, resource).map_err(ours)?));
    Ok(Phase::Bind {
        login,
        id,
        attempts,
        session_required,
    })
}

fn online(login: Login, jid: Jid, facts: &mut Facts<'_>) -> Phase {
    facts.steps.push(Step::Online {
        jid,
        mechanism: login.mechanism,
        proof: login.proof,
        offers: login.offers,
    });
    Phase::Online
}

/// Whether `iq` answers the request `id`, from somebody who may.
fn answers(iq: &Element, id: &str, config: &Config) -> bool {
    iq.attribute("id") == Some(id) && bind::may_answer(iq.attribute("from"), &config.account())
}

/// A server that repeats the password does not get it into a log of ours.
fn says_password(text: &str, credentials: &Credentials) -> bool {
    credentials.secret().is_some_and(|secret| {
        core::str::from_utf8(secret.expose()).is_ok_and(|secret| !secret.is_empty() && text.contains(secret))
    })
}

fn broken_off(mechanism: &'static str, error: SaslError) -> Offline {
    Offline::Login(LoginError::Mechanism {
        mechanism: mechanism.to_string(),
        error,
    })
}

/// An element of our own that cannot be written: only a resource with a character that XML has no place for can do that,
/// and a JID cannot hold one.
fn ours(_: InvalidXml) -> Offline {
    Offline::Login(LoginError::Mechanism {
        mechanism: "XML".to_string(),
        error: SaslError::Encoding,
    })
}
