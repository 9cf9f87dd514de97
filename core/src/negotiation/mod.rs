//! From `the link is open` to `online`: every transition, in one table that does not know the transport.
//!
//! A [`Phase`] is what is waited for; it is consumed by each [`Event`] and yields the next phase, with [`Step`]s for the
//! client to carry out, or the reason why the client goes offline. Every pair of phase and event that is not in the table
//! is a named error. After an error the answer stays the same error.
//!
//! - `mod.rs`: the table.
//! - `features.rs`: what a server offers.
//! - `login.rs`: what the table does to log in; `sasl1.rs` and `sasl2.rs` have the elements of the two profiles.
//! - `select.rs`: which mechanism.
//! - `tasks.rs`: what the server wants after the credentials.
//! - `memory.rs`: what is known from earlier logins.
//! - `register.rs`: an account that does not exist yet.
//! - `bind.rs`: resource binding and the old session.
//! - `tests.rs`: every pair of phase and event, as a literal table.

mod bind;
pub(crate) mod features;
mod login;
pub(crate) mod memory;
mod register;
mod sasl1;
mod sasl2;
mod select;
mod tasks;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::certificate::ClientCertificate;
use crate::config::{Config, Credentials, TlsPolicy};
use crate::error::{
    ConnectionError, LoginError, Offline, PeerIncompatible, PeerMisbehaved, RegistrationProblem, SessionEnd, TlsError,
    WaitingFor, Warning,
};
use crate::input::{ChannelBindings, JobId, StanzaError};
use crate::jid::Jid;
use crate::link::{NS_STREAM, Traits, expanded_name, stream_error};
use crate::output::{SaslProfile, ServerProof, TransportKind};
use crate::random::Random;
use crate::sasl::{ChannelBindingType, Derivation, DerivedKey, SaslError};
use crate::session::NS_CLIENT;
use crate::xml::{Element, InvalidXml};
use features::{Features, NS_SASL, NS_SASL2, NS_TLS};
pub(crate) use features::{NS_SM, Offers};
use login::Exchange;
use memory::Memory;
pub(crate) use sasl2::Authenticate;
use sasl2::Bound;

/// How often a resource is asked for.
const BIND_ATTEMPTS: u32 = 3;

/// The negotiation of one link.
#[derive(Debug)]
pub(crate) struct Negotiation {
    phase: Result<Phase, Offline>,
    /// A login has left before the server's features were seen, and has no answer.
    early: bool,
}

/// What is waited for.
#[derive(Debug)]
enum Phase {
    /// The stream; a login may have left already.
    Opening(Option<Box<Exchange>>),
    /// The server's word on TLS (RFC 6120 §5.4.2).
    StartTls,
    /// Features, before authentication.
    Features(Option<Box<Exchange>>),
    /// The server's answer on the account that is to be made.
    Register {
        id: String,
        submitted: bool,
        features: Box<Features>,
    },
    /// The server's part of a SASL exchange, or of what it wants after it.
    Sasl(Box<Exchange>),
    /// Features, after authentication.
    LoggedIn(Box<Login>),
    /// The result of resuming the earlier session (XEP-0198 §5), and what to do where it is not resumed.
    Resume {
        login: Box<Login>,
        bind: bool,
        session_required: bool,
    },
    /// The result of binding.
    Bind {
        login: Box<Login>,
        id: String,
        attempts: u32,
        session_required: bool,
    },
    /// The result of asking for a session.
    Session { login: Box<Login>, id: String, jid: Jid },
    /// Nothing more.
    Online,
}

/// How the login went.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) mechanism: &'static str,
    pub(crate) proof: ServerProof,
    pub(crate) channel_binding: Option<ChannelBindingType>,
    pub(crate) profile: SaslProfile,
    /// What the server offers from now on; `None` where it does not say.
    pub(crate) offers: Option<Offers>,
    /// A resource came with it.
    bound: Option<Bound>,
    /// It is settled what becomes of the earlier session.
    settled: bool,
    /// The server knows that nobody looks at the application.
    pub(crate) inactive: bool,
    /// The server can be told so, as far as its offer for the login says.
    pub(crate) client_state: bool,
}

impl Login {
    fn new(exchange: &Exchange, proof: ServerProof) -> Self {
        Self {
            mechanism: exchange.mechanism.name(),
            proof,
            channel_binding: exchange.mechanism.channel_binding(),
            profile: exchange.profile,
            offers: None,
            bound: None,
            settled: false,
            inactive: false,
            client_state: exchange.offers_client_state(),
        }
    }
}

/// What happened, in the words of the table.
#[derive(Debug)]
pub(crate) enum Event {
    /// The link is up, and the stream is being opened.
    Up,
    /// The stream is open.
    Opened,
    /// `<stream:features/>`.
    Features(Element),
    /// `<proceed/>`.
    Proceed,
    /// `<failure/>` in the namespace of TLS.
    TlsFailure,
    /// `<challenge/>`, of either profile, as the others that have one.
    Challenge(SaslProfile, Element),
    /// `<success/>`.
    Success(SaslProfile, Element),
    /// `<failure/>`.
    Failure(SaslProfile, Element),
    /// `<continue/>` (XEP-0388 §2.6.3).
    Continue(Element),
    /// `<task-data/>`.
    TaskData(Element),
    /// Another element in the namespace of SASL.
    OtherSasl(SaslProfile, Element),
    /// The host has derived a key.
    Derived(JobId, DerivedKey),
    /// The application's part of a task.
    TaskAnswer(Option<Element>),
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
        let profile = match element.namespace() {
            NS_SASL => Some(SaslProfile::Sasl1),
            NS_SASL2 => Some(SaslProfile::Sasl2),
            _ => None,
        };
        if let Some(profile) = profile {
            return match (profile, element.name()) {
                (_, "challenge") => Self::Challenge(profile, element),
                (_, "success") => Self::Success(profile, element),
                (_, "failure") => Self::Failure(profile, element),
                (SaslProfile::Sasl2, "continue") => Self::Continue(element),
                (SaslProfile::Sasl2, "task-data") => Self::TaskData(element),
                _ => Self::OtherSasl(profile, element),
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
            Self::Up | Self::Derived(..) | Self::TaskAnswer(_) => "nothing".to_string(),
            Self::Opened => "a stream header".to_string(),
            Self::Features(_) => "stream features".to_string(),
            Self::Proceed => "{urn:ietf:params:xml:ns:xmpp-tls}proceed".to_string(),
            Self::TlsFailure => "{urn:ietf:params:xml:ns:xmpp-tls}failure".to_string(),
            Self::StreamError(_) => "a stream error".to_string(),
            Self::Timeout => "nothing".to_string(),
            Self::Challenge(_, element)
            | Self::Success(_, element)
            | Self::Failure(_, element)
            | Self::OtherSasl(_, element)
            | Self::Continue(element)
            | Self::TaskData(element)
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
    /// Send this one, once XEP-0198 has put its part into it.
    Authenticate(Box<Authenticate>),
    /// Ask for TLS; nothing may follow until it is there.
    AskForTls,
    /// Begin TLS, and forget all that was learnt before.
    StartTls,
    /// Tell the application what is offered: it asked for nothing else.
    Offered(Element),
    /// Have the host derive a key.
    Derive { job: JobId, derivation: Derivation },
    /// Tell the application what the server wants of it.
    Task {
        task: String,
        payload: Option<Element>,
        text: Option<String>,
    },
    /// Start the stream anew; `from` names the account where the transport wants that.
    Restart { from: Option<String> },
    /// Tell the application.
    Warn(Warning),
    /// Larger elements may come now.
    Authenticated,
    /// Ask for the earlier session.
    Resume,
    /// The earlier session goes on.
    Resumed { element: Element, login: Login },
    /// The earlier session is gone: the server said so, or does not resume at all.
    NotResumed(Option<Element>),
    /// Done. `stream_management` is what the server says of XEP-0198, where it was asked already.
    Online {
        jid: Jid,
        login: Login,
        stream_management: Option<Element>,
    },
}

/// What the table may look at.
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) encrypted: bool,
    pub(crate) verified_tls: bool,
    /// There is an earlier session to resume.
    pub(crate) can_resume: bool,
    /// Nobody looks at the application (XEP-0352).
    pub(crate) inactive: bool,
    pub(crate) certificate: Option<&'a ClientCertificate>,
    pub(crate) certificate_requested: Option<bool>,
    pub(crate) channel_bindings: &'a ChannelBindings,
    pub(crate) kind: TransportKind,
    pub(crate) traits: Traits,
    /// What the wall clock shows, if it was told.
    pub(crate) unix_ms: Option<u64>,
    pub(crate) memory: &'a mut Memory,
    pub(crate) random: &'a mut Random,
    pub(crate) next_job: &'a mut u64,
    pub(crate) steps: &'a mut Vec<Step>,
}

impl Default for Negotiation {
    fn default() -> Self {
        Self {
            phase: Ok(Phase::Opening(None)),
            early: false,
        }
    }
}

impl Negotiation {
    pub(crate) fn is_online(&self) -> bool {
        matches!(self.phase, Ok(Phase::Online))
    }

    /// The server cannot go on before the host does: that may take as long as a person needs.
    pub(crate) fn awaits_host(&self) -> bool {
        matches!(&self.phase, Ok(Phase::Sasl(exchange)) if exchange.awaits_host())
    }

    /// A login has left before the server's features were seen, and the server has said nothing to it.
    pub(crate) fn is_early(&self) -> bool {
        self.early
    }

    /// The host makes the next message, which takes no longer than a computation does.
    pub(crate) fn awaits_key(&self) -> bool {
        matches!(&self.phase, Ok(Phase::Sasl(exchange)) if exchange.awaits_any_key())
    }

    /// The application has to say something in a task.
    pub(crate) fn awaits_task(&self) -> bool {
        matches!(&self.phase, Ok(Phase::Sasl(exchange)) if exchange.awaits_task())
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
        self.early &= matches!(
            event,
            Event::StreamError(_) | Event::Timeout | Event::Opened | Event::Features(_)
        );
        let is_up = matches!(event, Event::Up);
        let result = core::mem::replace(&mut self.phase, Ok(Phase::Online));
        self.phase = result.and_then(|phase| transition(phase, event, facts));
        self.early |= is_up && matches!(self.phase, Ok(Phase::Opening(Some(_))));
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

        (Phase::Opening(None), Event::Up) => login::early(facts).map(Phase::Opening),
        (Phase::Opening(early), Event::Opened) => Ok(Phase::Features(early)),

        (Phase::Features(None), Event::Features(element)) => before_login(element, facts),
        (Phase::Features(Some(early)), Event::Features(element)) => {
            let features = Features::read(element.root());
            known(&features)?;
            Ok(login::catch_up(early, features))
        }
        // The stream after the login has a header of its own, but for BOSH, where the session is the stream.
        (Phase::LoggedIn(login), Event::Opened) => Ok(Phase::LoggedIn(login)),
        (Phase::LoggedIn(login), Event::Features(element)) => {
            after_login(login, &Features::read(element.root()), facts)
        }

        (Phase::StartTls, Event::Proceed) => {
            facts.steps.push(Step::StartTls);
            Ok(Phase::Opening(None))
        }
        (Phase::StartTls, Event::TlsFailure) => Err(Offline::Tls(TlsError::StartTlsRefused)),

        (
            Phase::Register {
                submitted, features, ..
            },
            Event::IqAnswer(iq),
        ) => register(&iq, submitted, features, facts),

        (Phase::Sasl(exchange), Event::Challenge(profile, element))
            if profile == exchange.profile && !exchange.has_task() =>
        {
            login::challenge(exchange, &element, facts)
        }
        (Phase::Sasl(exchange), Event::Derived(_, key)) => login::derived(exchange, key, facts),
        (Phase::Sasl(exchange), Event::Success(profile, element)) if profile == exchange.profile => match profile {
            SaslProfile::Sasl1 => login::success1(exchange, element.root(), facts),
            SaslProfile::Sasl2 => login::success2(exchange, element.root(), facts),
        },
        (Phase::Sasl(exchange), Event::Failure(profile, element)) if profile == exchange.profile => {
            login::refused(exchange, element.root(), facts)
        }
        (Phase::Sasl(exchange), Event::Continue(element)) if exchange.profile == SaslProfile::Sasl2 => {
            tasks::begin(exchange, element.root(), facts)
        }
        (Phase::Sasl(exchange), Event::TaskData(element)) if exchange.profile == SaslProfile::Sasl2 => {
            tasks::data(exchange, &element, facts)
        }
        (Phase::Sasl(exchange), Event::TaskAnswer(payload)) => tasks::answer(exchange, payload.as_ref(), facts),
        (Phase::Sasl(exchange), Event::OtherSasl(profile, element)) if profile == exchange.profile => {
            Err(login::unknown_answer(&exchange, element.root()))
        }

        (Phase::Resume { login, .. }, Event::Resumed(element)) => {
            facts.steps.push(Step::Resumed { element, login: *login });
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
            let jid = bind::bound_jid(&iq, facts.config)?;
            if session_required {
                let id = facts.random.id();
                facts.steps.push(Step::Send(bind::session_request(&id).map_err(ours)?));
                return Ok(Phase::Session { login, id, jid });
            }
            Ok(online(login, jid, None, facts))
        }
        (Phase::Session { login, jid, .. }, Event::IqAnswer(iq)) => {
            if iq.attribute("type") == Some("error") {
                let error = StanzaError::read(iq.root());
                return Err(Offline::Login(LoginError::BindRefused { error }));
            }
            Ok(online(login, jid, None, facts))
        }

        (
            phase @ (Phase::Opening(_)
            | Phase::StartTls
            | Phase::Features(_)
            | Phase::Register { .. }
            | Phase::Sasl(_)
            | Phase::LoggedIn(_)
            | Phase::Resume { .. }
            | Phase::Bind { .. }
            | Phase::Session { .. }
            | Phase::Online),
            event @ (Event::Up
            | Event::Opened
            | Event::Features(_)
            | Event::Proceed
            | Event::TlsFailure
            | Event::Challenge(..)
            | Event::Success(..)
            | Event::Failure(..)
            | Event::Continue(_)
            | Event::TaskData(_)
            | Event::OtherSasl(..)
            | Event::Derived(..)
            | Event::TaskAnswer(_)
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
            (Self::Bind { id, .. } | Self::Session { id, .. } | Self::Register { id, .. }, Event::IqAnswer(iq)) => {
                !answers(iq, id, config)
            }
            // The resource is bound, and whoever knows it may write to it. The session that it is for is not there yet.
            (Self::Session { .. }, Event::Other(stanza)) => stanza.namespace() == NS_CLIENT,
            // What the host did may be for a link that is gone.
            (Self::Sasl(exchange), Event::Derived(job, _)) => !exchange.awaits_key(*job),
            (Self::Sasl(exchange), Event::TaskAnswer(_)) => !exchange.awaits_task(),
            (_, Event::Derived(..) | Event::TaskAnswer(_)) => true,
            (Self::Opening(None), Event::Up) => false,
            (_, Event::Up) => true,
            _ => false,
        }
    }

    fn waiting_for(&self) -> WaitingFor {
        match self {
            Self::Opening(_) => WaitingFor::Session,
            Self::StartTls => WaitingFor::Tls,
            Self::Resume { .. } => WaitingFor::Resumption,
            Self::Features(_) | Self::LoggedIn(_) => WaitingFor::Features,
            Self::Register { .. } | Self::Sasl(_) => WaitingFor::Login,
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
    let is_new = matches!(facts.config.credentials, Credentials::NewAccount { .. }) && !facts.memory.registered;
    if is_new {
        return ask_to_register(features, facts);
    }
    login::authenticate(features, facts)
}

/// XEP-0077 §3.1: what does an account need? The password will be shown, so the server has to be the right one.
fn ask_to_register(features: Features, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    if !facts.verified_tls {
        return Err(Offline::Tls(TlsError::Required));
    }
    let id = facts.random.id();
    let ask = register::fields(&id, facts.config.jid.domain()).map_err(ours)?;
    facts.steps.push(Step::Send(ask));
    Ok(Phase::Register {
        id,
        submitted: false,
        features: Box::new(features),
    })
}

/// The server's answer on the account that is to be made.
fn register(iq: &Element, submitted: bool, features: Box<Features>, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    let failed = |problem| Err(Offline::Login(LoginError::Registration { problem }));
    if iq.attribute("type") == Some("error") {
        let mut error = StanzaError::read(iq.root());
        error.text = error.text.filter(|text| !login::says_secret(text, facts));
        return failed(register::refused(error));
    }
    if submitted {
        facts.memory.registered = true;
        return login::authenticate(*features, facts);
    }
    if let Err(problem) = register::check(iq) {
        return failed(problem);
    }
    let jid = &facts.config.jid;
    let (Some(name), Some(password)) = (jid.local(), facts.config.credentials.password_secret()) else {
        return failed(RegistrationProblem::NotOffered);
    };
    let id = facts.random.id();
    let submit = register::submit(&id, jid.domain(), name, password).map_err(ours)?;
    facts.steps.push(Step::Send(submit));
    Ok(Phase::Register {
        id,
        submitted: true,
        features,
    })
}

/// Features after the login: a session that came with it, the earlier one, where there is one to resume, or a resource.
fn after_login(mut login: Box<Login>, features: &Features, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    known(features)?;
    login.offers = Some(features.offers);
    if let Some(Bound { jid, stream_management }) = login.bound.take() {
        return Ok(online(login, jid, stream_management, facts));
    }
    let (bind, session_required) = (features.bind, features.session_required);
    if facts.can_resume && !login.settled {
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

fn bind_first(login: Box<Login>, bind: bool, session_required: bool, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    if !bind {
        return Err(Offline::Incompatible(PeerIncompatible::NoBind));
    }
    ask_to_bind(login, 1, session_required, facts)
}

fn ask_to_bind(
    login: Box<Login>,
    attempts: u32,
    session_required: bool,
    facts: &mut Facts<'_>,
) -> Result<Phase, Offline> {
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

fn online(login: Box<Login>, jid: Jid, stream_management: Option<Element>, facts: &mut Facts<'_>) -> Phase {
    facts.steps.push(Step::Online {
        jid,
        login: *login,
        stream_management,
    });
    Phase::Online
}

/// Whether `iq` answers the request `id`, from somebody who may.
fn answers(iq: &Element, id: &str, config: &Config) -> bool {
    iq.attribute("id") == Some(id) && bind::may_answer(iq.attribute("from"), config)
}

/// An element of our own that cannot be written: only a resource with a character that XML has no place for can do that,
/// and a JID cannot hold one.
pub(crate) fn ours(_: InvalidXml) -> Offline {
    Offline::Login(LoginError::Mechanism {
        mechanism: "XML".to_string(),
        error: SaslError::Encoding,
    })
}
