//! What the table does to log in: one exchange with one mechanism, in either profile, and what follows from its end.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use super::features::{Features, Inline};
use super::memory::{Early, LinkPins, LoginToken, Memory};
use super::sasl2::{self, Asked, Authenticate, Bound, Success};
use super::select::{self, Connection};
use super::tasks::{self, Task};
use super::{Facts, Login, Phase, Step, bind, ours, sasl1};
use crate::config::{Credentials, Fast};
use crate::error::{LoginError, Offline, PeerIncompatible, Warning};
use crate::input::JobId;
use crate::link::NamesAccount;
use crate::output::{SaslProfile, ServerProof};
use crate::sasl::{self, Answer, DerivedKey, Mechanism, Offer, SaslError};
use crate::secret::Secret;
use crate::xml::{Element, ElementRef};

/// More challenges than any mechanism needs: an endless exchange ends here.
const CHALLENGES: u32 = 10;

/// One exchange with one mechanism, from the first message to the server's last word.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) profile: SaslProfile,
    pub(super) mechanism: Mechanism,
    challenges: u32,
    pub(super) asked: Asked,
    /// What the server offers; not there yet where the login did not wait for it.
    features: Option<Features>,
    /// The host derives a key.
    deriving: Option<JobId>,
    /// The server has taken the credentials, and wants more.
    pub(super) task: Option<Task>,
    pub(super) steps: u32,
}

impl Exchange {
    fn new(profile: SaslProfile, mechanism: Mechanism, asked: Asked) -> Self {
        Self {
            profile,
            mechanism,
            challenges: 0,
            asked,
            features: None,
            deriving: None,
            task: None,
            steps: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn of(profile: SaslProfile, mechanism: Mechanism) -> Self {
        Self::new(profile, mechanism, Asked::default())
    }

    #[cfg(test)]
    pub(super) fn deriving(profile: SaslProfile, mechanism: Mechanism, job: JobId) -> Self {
        let mut exchange = Self::of(profile, mechanism);
        exchange.deriving = Some(job);
        exchange
    }

    pub(super) fn awaits_key(&self, job: JobId) -> bool {
        self.deriving == Some(job)
    }

    pub(super) fn awaits_any_key(&self) -> bool {
        self.deriving.is_some()
    }

    pub(super) fn awaits_task(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.waits_for_host)
    }

    /// The server cannot go on before the host does.
    pub(super) fn awaits_host(&self) -> bool {
        self.deriving.is_some() || self.awaits_task()
    }

    pub(super) fn has_task(&self) -> bool {
        self.task.is_some()
    }

    pub(super) fn offers_client_state(&self) -> bool {
        let authentication = self
            .features
            .as_ref()
            .and_then(|features| features.authentication.as_ref());
        authentication.is_some_and(|found| found.inline.bind.is_some_and(|bind| bind.client_state))
    }

    pub(super) fn broken_off(&self, error: SaslError) -> Offline {
        broken_off(self.mechanism.name(), error)
    }

    fn send_response(&self, data: &Secret, facts: &mut Facts<'_>) -> Result<(), Offline> {
        let response = match self.profile {
            SaslProfile::Sasl1 => sasl1::response(data),
            SaslProfile::Sasl2 => sasl2::response(data),
        };
        facts.steps.push(Step::Send(response.map_err(ours)?));
        Ok(())
    }

    /// RFC 6120 §6.4.4, XEP-0388 §4.5: the server learns that we broke it off.
    pub(super) fn abort(&self, facts: &mut Facts<'_>) -> Result<(), Offline> {
        let abort = match self.profile {
            SaslProfile::Sasl1 => sasl1::abort(),
            SaslProfile::Sasl2 => sasl2::abort(),
        };
        facts.steps.push(Step::Send(abort.map_err(ours)?));
        Ok(())
    }
}

impl Facts<'_> {
    fn connection(&self) -> Connection<'_> {
        Connection {
            verified_tls: self.verified_tls,
            certificate: self.certificate,
            certificate_requested: self.certificate_requested,
            channel_bindings: self.channel_bindings,
            kind: self.kind,
            memory: self.memory,
            unix_ms: self.unix_ms,
        }
    }
}

// ---- the beginning

/// A login that does not wait for the server's features, where it is known what they were: by token, or by certificate. It is
/// one message, which shows nothing that a wrong server could use.
pub(super) fn early(facts: &mut Facts<'_>) -> Result<Option<Box<Exchange>>, Offline> {
    let policy = facts.config.mechanisms();
    if !(policy.sasl2 && policy.pipeline && facts.verified_tls) {
        return Ok(None);
    }
    let Some(early) = facts.memory.pins().link(facts.kind).early else {
        return Ok(None);
    };
    let by_token = select::token(&early.inline.fast, facts.config, &facts.connection());
    let mechanism = match (&facts.config.credentials, by_token) {
        (_, Some(Ok(mechanism))) => mechanism,
        (Credentials::Certificate { .. }, _) if early.external => {
            let offer = Offer {
                mechanisms: [String::from("EXTERNAL")].into(),
                channel_bindings: None,
            };
            let choice = choose(&offer, SaslProfile::Sasl2, facts);
            match choice {
                Ok(mechanism) => mechanism,
                // It is said where the features are known.
                Err(_) => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    // Should it be wrong, the next login waits.
    facts.memory.pin(facts.kind, |_, link| link.early = None);
    begin_sasl2(mechanism, &early.inline, None, facts).map(|exchange| Some(Box::new(exchange)))
}

/// The features are there: SASL2 where TLS protects it (XEP-0388 §3), or SASL.
pub(super) fn authenticate(features: Features, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    let sasl2 = facts.config.mechanisms().sasl2 && facts.verified_tls;
    let Some(authentication) = features.authentication.as_ref().filter(|_| sasl2) else {
        return authenticate_by_sasl1(features, facts);
    };
    if let Some(token) = select::token(&authentication.inline.fast, facts.config, &facts.connection()) {
        match token {
            Ok(mechanism) => return authenticate_by_sasl2(mechanism, features, facts),
            Err(warning) => facts.steps.push(Step::Warn(warning)),
        }
    }
    let offer = Offer {
        mechanisms: authentication.mechanisms.clone(),
        channel_bindings: features.channel_bindings.clone(),
    };
    match choose(&offer, SaslProfile::Sasl2, facts) {
        Ok(mechanism) => authenticate_by_sasl2(mechanism, features, facts),
        // What the new profile does not have, the old one may have.
        Err(LoginError::NoMechanism { .. }) if features.mechanisms.is_some() => authenticate_by_sasl1(features, facts),
        Err(error) => Err(Offline::Login(error)),
    }
}

fn choose(offer: &Offer, profile: SaslProfile, facts: &mut Facts<'_>) -> Result<Mechanism, LoginError> {
    let connection = Connection {
        verified_tls: facts.verified_tls,
        certificate: facts.certificate,
        certificate_requested: facts.certificate_requested,
        channel_bindings: facts.channel_bindings,
        kind: facts.kind,
        memory: facts.memory,
        unix_ms: facts.unix_ms,
    };
    let choice = select::select(offer, profile, facts.config, &connection, facts.random)?;
    facts.steps.extend(choice.warning.map(Step::Warn));
    Ok(choice.mechanism)
}

fn authenticate_by_sasl1(features: Features, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    let Some(offered) = &features.mechanisms else {
        return Err(Offline::Incompatible(PeerIncompatible::NoSasl));
    };
    let offer = Offer {
        mechanisms: offered.clone(),
        channel_bindings: features.channel_bindings.clone(),
    };
    let mut mechanism = choose(&offer, SaslProfile::Sasl1, facts).map_err(Offline::Login)?;
    let initial = mechanism
        .initial()
        .map_err(|error| broken_off(mechanism.name(), error))?;
    facts.steps.push(Step::Send(
        sasl1::auth(mechanism.name(), initial.as_ref()).map_err(ours)?,
    ));
    let mut exchange = Exchange::new(SaslProfile::Sasl1, mechanism, Asked::default());
    exchange.features = Some(features);
    Ok(Phase::Sasl(Box::new(exchange)))
}

fn authenticate_by_sasl2(mechanism: Mechanism, features: Features, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    let inline = features.authentication.as_ref().map(|found| found.inline.clone());
    let exchange = begin_sasl2(mechanism, &inline.unwrap_or_default(), Some(features), facts)?;
    Ok(Phase::Sasl(Box::new(exchange)))
}

fn begin_sasl2(
    mut mechanism: Mechanism,
    inline: &Inline,
    features: Option<Features>,
    facts: &mut Facts<'_>,
) -> Result<Exchange, Offline> {
    let initial = mechanism
        .initial()
        .map_err(|error| broken_off(mechanism.name(), error))?;
    let config = facts.config;
    let streams = facts.traits.stream_management && config.stream_management.enabled;
    // A resource of one's own choice has to be asked for in the old way (XEP-0386 §3.2.1), and a resource that comes at once would be another session's, where the earlier one can only be asked for later.
    let bind = inline
        .bind
        .filter(|_| config.jid.resource().is_none() && (!facts.can_resume || inline.resume));
    let is_token = mechanism.is_token();
    let asked = Asked {
        resume: facts.can_resume && inline.resume,
        bind: bind.is_some(),
        stream_management: streams && bind.is_some_and(|bind| bind.stream_management),
        inactive: facts.inactive && bind.is_some_and(|bind| bind.client_state),
        token: match is_token {
            true => None,
            false => {
                let types = features
                    .as_ref()
                    .and_then(|features| features.channel_bindings.as_deref());
                select::token_to_ask_for(&inline.fast, types.unwrap_or_default(), config, &facts.connection())
            }
        },
        upgrade: tasks::upgrade(&mechanism, features.as_ref(), config),
    };
    let agent = config.user_agent();
    let id = match &agent.id {
        Some(id) => id.as_str(),
        None => facts.memory.user_agent(facts.random),
    };
    let mut authenticate = Authenticate::new(
        mechanism.name(),
        initial.as_ref(),
        (&agent, id),
        (&config.bind(), inline),
        &asked,
    );
    if is_token {
        authenticate = authenticate.by_token(config.fast == Fast::Invalidate);
    }
    facts.steps.push(Step::Authenticate(Box::new(authenticate)));
    let mut exchange = Exchange::new(SaslProfile::Sasl2, mechanism, asked);
    exchange.features = features;
    Ok(exchange)
}

/// The features that an early login did not wait for.
pub(super) fn catch_up(mut exchange: Box<Exchange>, features: Features) -> Phase {
    exchange.features = Some(features);
    Phase::Sasl(exchange)
}

// ---- the exchange

pub(super) fn challenge(
    mut exchange: Box<Exchange>,
    challenge: &Element,
    facts: &mut Facts<'_>,
) -> Result<Phase, Offline> {
    let data = if exchange.challenges < CHALLENGES {
        match exchange.profile {
            SaslProfile::Sasl1 => sasl1::data(challenge.root()),
            SaslProfile::Sasl2 => sasl2::data(challenge.root()),
        }
    } else {
        Err(SaslError::UnexpectedChallenge)
    };
    exchange.challenges += 1;
    match data.and_then(|data| exchange.mechanism.challenge(&data)) {
        Ok(Answer::Message(message)) => exchange.send_response(&message, facts)?,
        Ok(Answer::Derive(derivation)) => {
            let job = JobId(*facts.next_job);
            *facts.next_job = facts.next_job.saturating_add(1);
            exchange.deriving = Some(job);
            facts.steps.push(Step::Derive { job, derivation });
        }
        Err(error) => {
            exchange.abort(facts)?;
            return Err(exchange.broken_off(error));
        }
    }
    Ok(Phase::Sasl(exchange))
}

/// The host has derived the key.
pub(super) fn derived(mut exchange: Box<Exchange>, key: DerivedKey, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    exchange.deriving = None;
    match exchange.mechanism.derived(key) {
        Ok(message) => exchange.send_response(&message, facts)?,
        Err(error) => {
            exchange.abort(facts)?;
            return Err(exchange.broken_off(error));
        }
    }
    Ok(Phase::Sasl(exchange))
}

/// `<success/>` of the old profile.
pub(super) fn success1(
    mut exchange: Box<Exchange>,
    success: ElementRef<'_>,
    facts: &mut Facts<'_>,
) -> Result<Phase, Offline> {
    let proof = sasl1::data(success).and_then(|data| exchange.mechanism.success(Some(&data)));
    let proof = proof.map_err(|error| exchange.broken_off(error)).map(shown)?;
    learn(&exchange, facts);
    let names_account = match facts.traits.restart_names_account {
        NamesAccount::Always => facts.config.jid.local().is_some(),
        NamesAccount::WithExternal => exchange.mechanism.name() == "EXTERNAL",
    };
    let from = names_account.then(|| facts.config.account().to_string());
    facts.steps.push(Step::Restart { from });
    facts.steps.push(Step::Authenticated);
    Ok(Phase::LoggedIn(Box::new(Login::new(&exchange, proof))))
}

/// `<success/>` of SASL2: the server's proof is looked at before anything else that is in it (XEP-0388 §2.6.1).
pub(super) fn success2(
    mut exchange: Box<Exchange>,
    success: ElementRef<'_>,
    facts: &mut Facts<'_>,
) -> Result<Phase, Offline> {
    let data = sasl2::additional_data(success).map_err(|error| exchange.broken_off(error))?;
    let proof = match exchange.task.take() {
        None => exchange.mechanism.success(data.as_deref()).map(shown),
        // The mechanism was complete before the task.
        Some(_) if data.is_some() => Err(SaslError::UnexpectedSuccessData),
        Some(task) => {
            if let Some(hash) = task.upgrade.filter(|_| task.upgraded) {
                let mechanism = hash.mechanism(false).to_string();
                facts.steps.push(Step::Warn(Warning::Upgraded { mechanism }));
            }
            Ok(task.proof)
        }
    };
    let proof = proof.map_err(|error| exchange.broken_off(error))?;
    let success = Success::read(success)?;
    bind::check_identity(&success.identifier, facts.config)?;
    learn(&exchange, facts);
    take_token(&exchange, success.token, facts);
    facts.steps.push(Step::Authenticated);
    let mut login = Login::new(&exchange, proof);
    if let Some(element) = success.resumed {
        // XEP-0198 §9: no features follow. What was not asked for cannot be meant.
        if !exchange.asked.resume {
            return Err(Offline::Misbehaved(sasl2::out_of_place(element.root())));
        }
        facts.steps.push(Step::Resumed { element, login });
        return Ok(Phase::Online);
    }
    if exchange.asked.resume {
        facts.steps.push(Step::NotResumed(success.not_resumed));
        login.settled = true;
    }
    // An answer to something that was not asked is nobody's.
    login.bound = success.bound.filter(|_| exchange.asked.bind).map(|bound| Bound {
        stream_management: bound.stream_management.filter(|_| exchange.asked.stream_management),
        ..bound
    });
    login.inactive = exchange.asked.inactive && login.bound.is_some();
    Ok(Phase::LoggedIn(Box::new(login)))
}

pub(super) fn shown(proof: sasl::ServerProof) -> ServerProof {
    match proof {
        sasl::ServerProof::Verified => ServerProof::Verified,
        sasl::ServerProof::NotProvided => ServerProof::None,
        sasl::ServerProof::LeftOut => ServerProof::Absent,
    }
}

/// What is worth knowing the next time.
fn learn(exchange: &Exchange, facts: &mut Facts<'_>) {
    let mechanism = &exchange.mechanism;
    let memory: &mut Memory = facts.memory;
    if let Some(key) = mechanism.key() {
        memory.set_key(Some(key.clone()));
    }
    let is_scram = mechanism.name().starts_with("SCRAM-");
    let early = exchange.features.as_ref().and_then(|features| {
        let authentication = features.authentication.as_ref()?;
        Some(Box::new(Early {
            external: authentication.mechanisms.iter().any(|name| name == "EXTERNAL"),
            inline: authentication.inline.clone(),
        }))
    });
    let early = early.filter(|_| exchange.profile == SaslProfile::Sasl2 && facts.traits.early_login);
    memory.pin(facts.kind, |scram, link: &mut LinkPins| {
        *scram |= is_scram;
        link.bound |= is_scram && mechanism.channel_binding().is_some();
        link.offer |= mechanism.offer_verified();
        link.early = early;
    });
    memory.registered = true;
}

/// The token that came with a success (XEP-0484 §3.3, §3.5).
fn take_token(exchange: &Exchange, token: Option<Option<(Secret, u64)>>, facts: &mut Facts<'_>) {
    let by_token = exchange.mechanism.is_token();
    if by_token && facts.config.fast == Fast::Invalidate {
        facts.memory.set_token(None);
        return;
    }
    // Without a request only the token that was used can have a successor.
    let mechanism = match exchange.asked.token {
        Some(mechanism) => mechanism,
        None if by_token => exchange.mechanism.name(),
        None => return,
    };
    let Some(token) = token else { return };
    let alive = token.filter(|(_, expires)| facts.unix_ms.is_none_or(|now| now < *expires));
    match alive {
        Some(token) => facts.memory.set_token(Some(LoginToken::new(token, mechanism))),
        None => facts.steps.push(Step::Warn(Warning::TokenIgnored)),
    }
}

// ---- the end

/// `<failure/>`: the server said no.
pub(super) fn refused(
    exchange: Box<Exchange>,
    failure: ElementRef<'_>,
    facts: &mut Facts<'_>,
) -> Result<Phase, Offline> {
    let (condition, text) = sasl1::failure(failure);
    let text = text.filter(|text| !says_secret(text, facts));
    let mechanism = exchange.mechanism.name().to_string();
    // XEP-0484 §4.1: a token that is not taken is gone, and the credentials are used instead, once. A server that cannot
    // look at present has not said that it does not take it.
    if exchange.mechanism.is_token() && condition != "temporary-auth-failure" && !exchange.has_task() {
        facts.memory.set_token(None);
        if facts.config.credentials == Credentials::KeptToken {
            let condition = Some(condition);
            return Err(Offline::Login(LoginError::NoToken { condition }));
        }
        facts.steps.push(Step::Warn(Warning::TokenRefused { condition }));
        return match exchange.features {
            Some(features) => authenticate(features, facts),
            None => Err(Offline::Misbehaved(sasl2::out_of_place(failure))),
        };
    }
    if let Some(failure) = exchange.mechanism.token_failure() {
        let harmless = |text: &Option<String>| text.clone().filter(|text| !says_secret(text, facts));
        return Err(Offline::Login(LoginError::TokenRefused {
            mechanism,
            condition,
            status: harmless(&failure.status),
            scope: harmless(&failure.scope),
            openid_configuration: harmless(&failure.openid_configuration),
        }));
    }
    // Nothing weaker is tried after a refusal: that would be a way to collect passwords.
    Err(Offline::Login(LoginError::Refused {
        mechanism,
        condition,
        text,
        client_certificate_requested: facts.certificate_requested,
    }))
}

/// A server that repeats a secret does not get it into a log of ours.
pub(super) fn says_secret(text: &str, facts: &Facts<'_>) -> bool {
    let token = facts.memory.token().map(|token| &token.secret);
    let secrets = facts.config.credentials.secret().into_iter().chain(token);
    secrets.into_iter().any(|secret| {
        core::str::from_utf8(secret.expose()).is_ok_and(|secret| !secret.is_empty() && text.contains(secret))
    })
}

pub(super) fn broken_off(mechanism: &'static str, error: SaslError) -> Offline {
    Offline::Login(LoginError::Mechanism {
        mechanism: mechanism.to_string(),
        error,
    })
}

/// The answer of a server that knows no better (RFC 6120 §6.5).
pub(super) fn unknown_answer(exchange: &Exchange, element: ElementRef<'_>) -> Offline {
    Offline::Login(LoginError::UnknownAnswer {
        mechanism: exchange.mechanism.name().to_string(),
        element: crate::link::expanded_name(element),
    })
}
