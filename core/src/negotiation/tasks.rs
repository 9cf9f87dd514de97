//! What a server wants after the credentials (XEP-0388 §2.6.3): tasks of the application's, and the upgrade of XEP-0480.

use alloc::boxed::Box;
use alloc::string::{String, ToString};

use super::features::Features;
use super::login::{Exchange, says_secret, shown};
use super::{Facts, Phase, Step, ours, sasl2};
use crate::config::Config;
use crate::error::{LoginError, Offline};
use crate::output::ServerProof;
use crate::sasl::{self, Derivation, Mechanism, SaslError, ScramHash};
use crate::secret::Secret;
use crate::xml::{Element, ElementRef};

/// More steps than a task needs.
const TASK_STEPS: u32 = 8;

/// A task (XEP-0388 §2.6.3).
#[derive(Debug)]
pub(super) struct Task {
    name: String,
    pub(super) proof: ServerProof,
    begun: bool,
    pub(super) waits_for_host: bool,
    /// A stronger SCRAM for this hash (XEP-0480).
    pub(super) upgrade: Option<ScramHash>,
    pub(super) upgraded: bool,
}

/// The upgrade to ask for (XEP-0480 §2.2): the strongest that is offered and better than what is used, where the server will
/// have proved itself.
pub(super) fn upgrade(mechanism: &Mechanism, features: Option<&Features>, config: &Config) -> Option<&'static str> {
    let offered = &features?.authentication.as_ref()?.upgrades;
    let used = ScramHash::ALL.iter().position(|hash| {
        [false, true]
            .into_iter()
            .any(|plus| hash.mechanism(plus) == mechanism.name())
    })?;
    if !config.mechanisms().upgrade || config.credentials.password_secret().is_none() {
        return None;
    }
    let better = ScramHash::ALL.into_iter().skip(used + 1).rev();
    better
        .map(upgrade_name)
        .find(|name| offered.iter().any(|offered| offered == name))
}

fn upgrade_name(hash: ScramHash) -> &'static str {
    match hash {
        ScramHash::Sha1 => "UPGR-SCRAM-SHA-1",
        ScramHash::Sha256 => "UPGR-SCRAM-SHA-256",
        ScramHash::Sha384 => "UPGR-SCRAM-SHA-384",
        ScramHash::Sha512 => "UPGR-SCRAM-SHA-512",
    }
}

/// `<continue/>` (XEP-0388 §2.6.3): the credentials are right, and the server wants more.
pub(super) fn begin(
    mut exchange: Box<Exchange>,
    element: ElementRef<'_>,
    facts: &mut Facts<'_>,
) -> Result<Phase, Offline> {
    let data = sasl2::additional_data(element).map_err(|error| exchange.broken_off(error))?;
    let proof = match &exchange.task {
        // As with a success: the mechanism is over, and the server has proved itself if it can.
        None => match exchange.mechanism.success(data.as_deref()) {
            Ok(proof) => shown(proof),
            Err(error) => {
                exchange.abort(facts)?;
                return Err(exchange.broken_off(error));
            }
        },
        Some(task) => task.proof,
    };
    let (tasks, text) = sasl2::tasks(element);
    let text = text.filter(|text| !says_secret(text, facts));
    let upgrade = exchange
        .asked
        .upgrade
        .filter(|upgrade| tasks.iter().any(|task| task == upgrade));
    let known = facts.config.tasks.iter().find(|known| tasks.contains(known));
    exchange.steps += 1;
    let (name, upgrade) = match (upgrade, known) {
        _ if exchange.steps > TASK_STEPS => (None, None),
        // XEP-0480 §5: what is given logs in as well as the password does, so the server has to be the right one.
        (Some(upgrade), _) if proof == ServerProof::Verified => {
            let hash = ScramHash::ALL.into_iter().find(|hash| upgrade_name(*hash) == upgrade);
            (Some(upgrade.to_string()), hash)
        }
        (_, known) => (known.cloned(), None),
    };
    let Some(name) = name else {
        exchange.abort(facts)?;
        let tasks = tasks.into_iter().filter(|task| !says_secret(task, facts)).collect();
        return Err(Offline::Login(LoginError::Tasks { tasks, text }));
    };
    if upgrade.is_some() {
        facts
            .steps
            .push(Step::Send(sasl2::task(false, &name).build().map_err(ours)?));
    } else {
        facts.steps.push(Step::Task {
            task: name.clone(),
            payload: None,
            text,
        });
    }
    exchange.task = Some(Task {
        name,
        proof,
        begun: upgrade.is_some(),
        waits_for_host: upgrade.is_none(),
        upgrade,
        upgraded: false,
    });
    Ok(Phase::Sasl(exchange))
}

/// `<task-data/>`.
pub(super) fn data(mut exchange: Box<Exchange>, element: &Element, facts: &mut Facts<'_>) -> Result<Phase, Offline> {
    exchange.steps += 1;
    let too_long = exchange.steps > TASK_STEPS;
    let unexpected = || Offline::Misbehaved(sasl2::out_of_place(element.root()));
    let is_due = |task: &&mut Task| task.begun && !task.waits_for_host && !task.upgraded && !too_long;
    let Some(task) = exchange.task.as_mut().filter(is_due) else {
        exchange.abort(facts)?;
        return Err(unexpected());
    };
    let Some(hash) = task.upgrade else {
        task.waits_for_host = true;
        facts.steps.push(Step::Task {
            task: task.name.clone(),
            payload: element.children().next().map(ElementRef::to_element),
            text: None,
        });
        return Ok(Phase::Sasl(exchange));
    };
    match upgrade_answer(hash, element.root(), facts.config) {
        Ok(salted) => {
            // What logs in as well as the password is given once.
            task.upgraded = true;
            let data = sasl2::task(true, &task.name).child(sasl2::upgrade_hash(&salted));
            facts.steps.push(Step::Send(data.build().map_err(ours)?));
            Ok(Phase::Sasl(exchange))
        }
        Err(error) => {
            exchange.abort(facts)?;
            Err(exchange.broken_off(error))
        }
    }
}

/// The salted password for another hash, within the bounds of a login (XEP-0480 §3).
fn upgrade_answer(hash: ScramHash, task_data: ElementRef<'_>, config: &Config) -> Result<Secret, SaslError> {
    let (salt, iterations) = sasl2::upgrade_salt(task_data, config.mechanisms().scram.into())?;
    let password = config.credentials.password_secret().ok_or(SaslError::OutOfOrder)?;
    let password = sasl::prep::password(password).map_err(SaslError::Password)?;
    let derivation = Derivation {
        hash,
        salt,
        iterations,
        password,
    };
    Ok(derivation.salted_password())
}

/// The application's part of a task.
pub(super) fn answer(
    mut exchange: Box<Exchange>,
    payload: Option<&Element>,
    facts: &mut Facts<'_>,
) -> Result<Phase, Offline> {
    let Some(task) = &mut exchange.task else {
        return Ok(Phase::Sasl(exchange));
    };
    let mut answer = sasl2::task(task.begun, &task.name);
    if let Some(payload) = payload {
        answer = answer.element(payload);
    }
    task.begun = true;
    task.waits_for_host = false;
    facts.steps.push(Step::Send(answer.build().map_err(ours)?));
    Ok(Phase::Sasl(exchange))
}
