//! Which mechanism: what the server offers, what the credentials allow, and what the policy lets pass.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::scram::ChannelBinding;
use super::{External, Mechanism, Plain, SaslError, Scram, ScramHash, ScramLimits};
use crate::certificate::{self, AuthzidWarning, ClientCertificate};
use crate::config::{Config, Credentials};
use crate::error::{LoginError, Warning};
use crate::random::Random;
use crate::secret::Secret;

/// So many offered mechanisms are named in an error: more than there are, and too few to fill a log.
const SHOWN: usize = 32;

/// The client's own order (RFC 6120 §6.3.3), best first.
const ORDER: [&str; 18] = [
    "EXTERNAL",
    "HT-SHA-256-EXPR",
    "HT-SHA-256-UNIQ",
    "HT-SHA-256-ENDP",
    "HT-SHA-256-NONE",
    "SCRAM-SHA-512-PLUS",
    "SCRAM-SHA-384-PLUS",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-384",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "OAUTHBEARER",
    "X-OAUTH2",
    "DIGEST-MD5",
    "PLAIN",
    "ANONYMOUS",
];

/// The mechanism's place in the order of preference: lower is better. `None` for one that the client does not have.
pub(crate) fn preference(mechanism: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == mechanism)
}

/// The chosen mechanism, and what a person should know about the choice.
pub(crate) struct Choice {
    pub(crate) mechanism: Mechanism,
    pub(crate) warning: Option<Warning>,
}

/// What is known of the connection.
pub(crate) struct Connection<'a> {
    /// TLS with a verified certificate: what shows the password needs it (RFC 4616 §4, RFC 6120 §13.8.3).
    pub(crate) verified_tls: bool,
    pub(crate) certificate: Option<&'a ClientCertificate>,
    pub(crate) certificate_requested: Option<bool>,
}

/// Chooses from `offered`, in our order of preference; what the credentials do not ask for is never tried.
pub(crate) fn select(
    offered: &[String],
    config: &Config,
    connection: &Connection<'_>,
    random: &mut Random,
) -> Result<Choice, LoginError> {
    let wanted = wanted(config, connection);
    let Some(name) = wanted.iter().find(|name| offered.iter().any(|offer| offer == *name)) else {
        return Err(LoginError::NoMechanism {
            offered: offered.iter().take(SHOWN).cloned().collect(),
            wanted: wanted.into_iter().map(ToString::to_string).collect(),
            client_certificate_requested: connection.certificate_requested,
        });
    };
    start(name, config, connection, random).map_err(|error| LoginError::Mechanism {
        mechanism: name.to_string(),
        error,
    })
}

/// What the credentials and the policy allow on this connection, best first.
fn wanted(config: &Config, connection: &Connection<'_>) -> Vec<&'static str> {
    let mut wanted: Vec<&'static str> = match &config.credentials {
        Credentials::Certificate { .. } => Vec::from(["EXTERNAL"]),
        Credentials::Nothing
        | Credentials::ScramKey { .. }
        | Credentials::AccessToken { .. }
        | Credentials::KeptToken
        | Credentials::Anonymous
        | Credentials::NewAccount { .. } => Vec::new(),
        // Two factors: the certificate acts at the TLS level, so EXTERNAL would leave the password out.
        Credentials::Password { .. } | Credentials::CertificateAndPassword { .. } => {
            let mut names = Vec::from(["SCRAM-SHA-256", "SCRAM-SHA-1"]);
            if config.mechanisms.allow_plain && connection.verified_tls {
                names.push("PLAIN");
            }
            names
        }
    };
    if let Some(only) = &config.mechanisms.only {
        wanted.retain(|name| only.iter().any(|allowed| allowed == name));
    }
    wanted
}

fn start(name: &str, config: &Config, connection: &Connection<'_>, random: &mut Random) -> Result<Choice, SaslError> {
    let account = config.account();
    let localpart = account.local().unwrap_or_default();
    match (name, &config.credentials) {
        ("EXTERNAL", _) => {
            let decision = certificate::authzid(config.authzid, &account, connection.certificate);
            let mechanism = Mechanism::External(External::new(decision.authzid.as_deref())?);
            Ok(Choice {
                mechanism,
                warning: decision.warning.map(warning),
            })
        }
        (_, Credentials::Password { password } | Credentials::CertificateAndPassword { password, .. }) => {
            let mechanism = match name {
                "PLAIN" => Mechanism::Plain(Plain::new(None, localpart, password)?),
                "SCRAM-SHA-256" => scram(ScramHash::Sha256, config, localpart, password, random)?,
                _ => scram(ScramHash::Sha1, config, localpart, password, random)?,
            };
            Ok(Choice {
                mechanism,
                warning: None,
            })
        }
        (
            _,
            Credentials::Certificate { .. }
            | Credentials::ScramKey { .. }
            | Credentials::AccessToken { .. }
            | Credentials::KeptToken
            | Credentials::Anonymous
            | Credentials::NewAccount { .. }
            | Credentials::Nothing,
        ) => Err(SaslError::OutOfOrder),
    }
}

fn scram(
    hash: ScramHash,
    config: &Config,
    localpart: &str,
    password: &Secret,
    random: &mut Random,
) -> Result<Mechanism, SaslError> {
    let bounds = config.mechanisms.scram;
    let limits = ScramLimits {
        min_iterations: bounds.min,
        max_iterations: bounds.max,
    };
    // This connection gives no channel binding, so `n` is the truth (RFC 5802 §6).
    let scram = Scram::new(
        hash,
        ChannelBinding::No,
        None,
        localpart,
        Some(password),
        random.token(),
        limits,
    )?;
    Ok(Mechanism::Scram(scram))
}

fn warning(warning: AuthzidWarning) -> Warning {
    match warning {
        AuthzidWarning::NamesNobody => Warning::CertificateWithoutName,
        AuthzidWarning::NamesOthers { addresses } => Warning::CertificateNamesOthers {
            names: addresses.iter().map(ToString::to_string).collect(),
        },
        AuthzidWarning::WrongStringType => Warning::CertificateNameType,
        AuthzidWarning::NoneChosen => Warning::CertificateNamesSeveral,
    }
}
