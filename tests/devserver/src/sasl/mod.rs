//! The server's side of SASL: one exchange, as bytes in and bytes out. EXTERNAL (XEP-0178), PLAIN (RFC 4616) and ANONYMOUS
//! (RFC 4505) are here; `scram.rs` has SCRAM, `bearer.rs` the mechanisms of OAuth, `quick.rs` those of XEP-0484, `hash.rs` the hashes.

mod bearer;
mod hash;
mod quick;
mod scram;

use std::time::SystemTime;

use subtle::ConstantTimeEq;

use crate::accounts::Accounts;
use crate::offer::Advert;
use crate::personality::{Habits, Refusal};
use crate::sasl::quick::Binding;
use crate::sasl::scram::Scram;
use crate::tls::{Peer, Verdict};
use crate::{Authentication, ScramHash};

pub(crate) const EXTERNAL: &str = "EXTERNAL";
pub(crate) const PLAIN: &str = "PLAIN";
pub(crate) const ANONYMOUS: &str = "ANONYMOUS";
pub(crate) const OAUTHBEARER: &str = "OAUTHBEARER";
pub(crate) const X_OAUTH2: &str = "X-OAUTH2";

const MALFORMED: Refusal = Refusal::Because("malformed-request", None);
const BAD_AUTHZID: Refusal = Refusal::Because("invalid-authzid", None);

/// What the server does after a message of the client.
#[derive(Debug)]
pub(crate) enum Step {
    Challenge(Vec<u8>, Exchange),
    Success(Proved),
    Refuse(Refusal),
}

/// Who the client is, and what follows from how it said so.
#[derive(Debug, Default)]
pub(crate) struct Proved {
    pub(crate) user: String,
    /// Additional data with success.
    pub(crate) data: Option<Vec<u8>>,
    /// The certificate that it was.
    pub(crate) certificate: Option<Vec<u8>>,
    /// The token that it was.
    pub(crate) token: Option<u64>,
}

/// A started exchange: what it waits for.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// The mechanism is known, its first message is not.
    First(Mechanism),
    /// SCRAM's first two messages are done.
    ScramFinal(Box<Scram>),
    /// The client was told why not, and acknowledges it (RFC 7628 §3.2.3).
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    External,
    Scram {
        hash: ScramHash,
        plus: bool,
    },
    Plain,
    Anonymous,
    OauthBearer,
    XOauth2,
    /// A token of XEP-0484.
    Quick(Binding),
}

/// Everything a login is judged by.
#[derive(Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) domain: &'a str,
    pub(crate) habits: &'static Habits,
    pub(crate) options: &'a Authentication,
    pub(crate) peer: &'a Peer,
    /// What the client was offered.
    pub(crate) advert: &'a Advert,
    pub(crate) sasl2: bool,
    /// The `id` of `<user-agent/>`.
    pub(crate) agent: Option<&'a str>,
    /// The `count` of `<fast/>`.
    pub(crate) count: Option<u64>,
    pub(crate) time: SystemTime,
}

impl Circumstances<'_> {
    /// The mechanisms of the profile in use, as they were offered.
    fn offered(&self) -> &[String] {
        if self.sasl2 {
            &self.advert.sasl2
        } else {
            &self.advert.sasl1
        }
    }
}

impl Proved {
    fn user(user: &str) -> Self {
        Self {
            user: user.to_owned(),
            ..Self::default()
        }
    }
}

impl Mechanism {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        let (base, plus) = match name.strip_suffix("-PLUS") {
            Some(base) => (base, true),
            None => (name, false),
        };
        if let Some(hash) = ScramHash::ALL.into_iter().find(|hash| hash.mechanism() == base) {
            return Some(Self::Scram { hash, plus });
        }
        match name {
            EXTERNAL => Some(Self::External),
            PLAIN => Some(Self::Plain),
            ANONYMOUS => Some(Self::Anonymous),
            OAUTHBEARER => Some(Self::OauthBearer),
            X_OAUTH2 => Some(Self::XOauth2),
            name => Binding::by_mechanism(name).map(Self::Quick),
        }
    }
}

/// `<auth/>` or `<authenticate/>`: with an initial response, or with none at all.
pub(crate) fn start(
    mechanism: Mechanism,
    initial: Option<&[u8]>,
    accounts: &mut Accounts,
    now: &Circumstances<'_>,
) -> Step {
    let step = match (mechanism, initial) {
        (Mechanism::External, None) if !now.habits.challenge_external => external(b"", accounts, now),
        // There may be a trace, and there need not be one (RFC 4505 §2).
        (Mechanism::Anonymous, None) => anonymous(accounts),
        (_, None) => Step::Challenge(Vec::new(), Exchange::First(mechanism)),
        (_, Some(message)) => first(mechanism, message, accounts, now),
    };
    on_request(step, now)
}

/// `<response/>`.
pub(crate) fn proceed(exchange: Exchange, message: &[u8], accounts: &mut Accounts, now: &Circumstances<'_>) -> Step {
    let step = match exchange {
        Exchange::First(mechanism) => first(mechanism, message, accounts, now),
        Exchange::ScramFinal(scram) => scram.finish(message, now),
        Exchange::Refused(why) if message == b"\x01" => Step::Refuse(why),
        Exchange::Refused(_) => Step::Refuse(MALFORMED),
    };
    on_request(step, now)
}

/// What would have succeeded is refused where the options say so.
fn on_request(step: Step, now: &Circumstances<'_>) -> Step {
    match (step, now.options.refusal) {
        (Step::Success(_), Some(condition)) => Step::Refuse(Refusal::Because(condition, None)),
        (step, _) => step,
    }
}

fn first(mechanism: Mechanism, message: &[u8], accounts: &mut Accounts, now: &Circumstances<'_>) -> Step {
    match mechanism {
        Mechanism::External => external(message, accounts, now),
        Mechanism::Scram { hash, plus } => Scram::begin(hash, plus, message, accounts, now),
        Mechanism::Plain => plain(message, accounts, now),
        Mechanism::Anonymous => anonymous(accounts),
        Mechanism::OauthBearer => bearer::oauthbearer(message, now),
        Mechanism::XOauth2 => bearer::x_oauth2(message, now),
        Mechanism::Quick(binding) => quick::login(binding, message, accounts, now),
    }
}

/// XEP-0178 §2, with each server's own refusals.
fn external(message: &[u8], accounts: &Accounts, now: &Circumstances<'_>) -> Step {
    let habits = now.habits;
    if let Some(step) = registered(message, accounts, now) {
        return step;
    }
    match now.peer.verdict {
        Verdict::Trusted => {}
        Verdict::Absent => return Step::Refuse(habits.no_certificate),
        Verdict::SelfSigned => return Step::Refuse(habits.self_signed),
        Verdict::Untrusted => return Step::Refuse(habits.untrusted),
        Verdict::Expired => return Step::Refuse(habits.expired),
        Verdict::NotYetValid => return Step::Refuse(habits.not_yet_valid),
    }
    let Ok(wanted) = core::str::from_utf8(message) else {
        return Step::Refuse(MALFORMED);
    };
    let named: Vec<String> = now
        .peer
        .names
        .iter()
        .filter(|n| habits.ia5_names || !n.ia5)
        .map(|n| bare(&n.jid))
        .collect();
    if named.is_empty() {
        return Step::Refuse(habits.no_name);
    }
    let ours: Vec<&str> = named.iter().filter_map(|jid| local_part(jid, now.domain)).collect();
    let chosen = if wanted.is_empty() {
        match ours.as_slice() {
            [only] => Some(*only),
            [first, ..] if habits.first_of_several => Some(*first),
            _ => None,
        }
    } else {
        // XEP-0178 §2 step 11: the identity asked for must be one that the certificate names.
        let wanted = bare(wanted);
        ours.iter()
            .copied()
            .find(|local| local_part(&wanted, now.domain) == Some(*local))
    };
    match chosen {
        Some(user) if accounts.exists(user) => Step::Success(Proved {
            certificate: now.peer.certificate.clone(),
            ..Proved::user(user)
        }),
        Some(_) | None => Step::Refuse(habits.other_name),
    }
}

/// XEP-0257 §3: a certificate that a user registered logs this user in, whoever issued it and whatever it names. `None` where nobody
/// did.
fn registered(message: &[u8], accounts: &Accounts, now: &Circumstances<'_>) -> Option<Step> {
    let der = now
        .peer
        .certificate
        .as_deref()
        .filter(|_| now.options.certificate_management)?;
    let owners = accounts.owners(der);
    let wanted = core::str::from_utf8(message).ok()?;
    if owners.is_empty() || matches!(now.peer.verdict, Verdict::Expired | Verdict::NotYetValid) {
        return None;
    }
    let wanted = bare(wanted);
    let chosen = match owners.as_slice() {
        [only] if wanted.is_empty() => Some(*only),
        several => several
            .iter()
            .copied()
            .find(|user| local_part(&wanted, now.domain) == Some(*user)),
    };
    Some(match chosen {
        Some(user) => Step::Success(Proved {
            certificate: Some(der.to_vec()),
            ..Proved::user(user)
        }),
        None => Step::Refuse(BAD_AUTHZID),
    })
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(message: &[u8], accounts: &Accounts, now: &Circumstances<'_>) -> Step {
    let parts: Vec<&str> = match core::str::from_utf8(message) {
        Ok(text) => text.split('\0').collect(),
        Err(_) => return Step::Refuse(MALFORMED),
    };
    let [authzid, user, password] = parts.as_slice() else {
        return Step::Refuse(MALFORMED);
    };
    let known = accounts.password(user);
    if !known.is_some_and(|known| bool::from(known.as_bytes().ct_eq(password.as_bytes()))) {
        return Step::Refuse(now.habits.wrong_password);
    }
    if !authzid.is_empty() && local_part(&bare(authzid), now.domain) != Some(*user) {
        return Step::Refuse(BAD_AUTHZID);
    }
    Step::Success(Proved::user(user))
}

/// RFC 4505: whoever it is gets a name that nobody has, and an account without a password.
fn anonymous(accounts: &mut Accounts) -> Step {
    let user = crate::stream::hex(&accounts.random_bytes::<10>());
    accounts.set_password(&user, None);
    Step::Success(Proved::user(&user))
}

/// A JID without its resource, in lower case.
pub(crate) fn bare(jid: &str) -> String {
    jid.split('/').next().unwrap_or_default().to_lowercase()
}

/// The local part of a bare JID, where its domain is ours.
pub(crate) fn local_part<'a>(jid: &'a str, domain: &str) -> Option<&'a str> {
    jid.split_once('@')
        .filter(|(local, host)| !local.is_empty() && host.eq_ignore_ascii_case(domain))
        .map(|(local, _)| local)
}
