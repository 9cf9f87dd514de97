//! Which mechanism: what the server offers, what the credentials allow, and what the policy lets pass.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::features::is_mechanism_name;
use super::memory::{LinkPins, Memory};
use crate::certificate::{self, AuthzidWarning, ClientCertificate};
use crate::config::{Config, Credentials, Fast, KeyDerivation};
use crate::error::{ChannelBindingProblem, LoginError, Pinned, Warning};
use crate::input::ChannelBindings;
use crate::output::{SaslProfile, TransportKind};
use crate::random::Random;
use crate::sasl::{
    Anonymous, ChannelBinding, ChannelBindingType, DigestMd5, External, Ht, Mechanism, ORDER, OauthBearer, Offer,
    Plain, SaslError, Scram, ScramHash, XOauth2, preference,
};

/// So many offered mechanisms are named in an error: more than there are, and too few to fill a log.
const SHOWN: usize = 32;

/// The chosen mechanism, and what a person should know about the choice.
pub(crate) struct Choice {
    pub(crate) mechanism: Mechanism,
    pub(crate) warning: Option<Warning>,
}

/// What is known of the connection, and of the server from before.
pub(crate) struct Connection<'a> {
    /// TLS with a verified certificate: what shows the password needs it (RFC 4616 §4, RFC 6120 §13.8.3).
    pub(crate) verified_tls: bool,
    pub(crate) certificate: Option<&'a ClientCertificate>,
    pub(crate) certificate_requested: Option<bool>,
    pub(crate) channel_bindings: &'a ChannelBindings,
    pub(crate) kind: TransportKind,
    pub(crate) memory: &'a Memory,
    /// What the wall clock shows, if it was told.
    pub(crate) unix_ms: Option<u64>,
}

/// Chooses from `offer`, in our order of preference; what the credentials do not ask for is never tried.
pub(crate) fn select(
    offer: &Offer,
    profile: SaslProfile,
    config: &Config,
    connection: &Connection<'_>,
    random: &mut Random,
) -> Result<Choice, LoginError> {
    if config.credentials == Credentials::KeptToken {
        return Err(LoginError::NoToken { condition: None });
    }
    let wanted = wanted(config, connection);
    let pins = connection.memory.pins();
    let link = pins.link(connection.kind);
    let policy = config.mechanisms();
    let plus = Plus::judge(offer, profile, &wanted, config, connection, &link)?;
    let is_offered = |name: &str| offer.mechanisms.iter().any(|offered| offered == name);
    let usable = |name: &str| is_offered(name) && (plus.bound.is_some() || !is_plus(name));
    let candidates = || wanted.iter().copied().filter(|name| usable(name));
    let Some(best) = candidates().next() else {
        return Err(LoginError::NoMechanism {
            offered: shown(offer),
            wanted: wanted.iter().map(ToString::to_string).collect(),
            client_certificate_requested: connection.certificate_requested,
        });
    };
    let downgrade = |pinned| LoginError::Downgrade {
        pinned,
        offered: shown(offer),
    };
    // XEP-0438 §3: what was seen once is not given up silently.
    if policy.pin && pins.scram && shows_password(best) {
        return Err(downgrade(Pinned::Scram));
    }
    if policy.pin_channel_binding
        && link.bound
        && (best.starts_with("SCRAM-") || shows_password(best))
        && !is_plus(best)
    {
        return Err(downgrade(Pinned::ChannelBinding));
    }
    start(best, offer, plus, &link, config, connection, random).map_err(|error| LoginError::Mechanism {
        mechanism: best.to_string(),
        error,
    })
}

/// The mechanism of the token that is there, if it can be used on this connection (XEP-0484 §4.1): a server that offers it
/// for tokens, and the same binding.
pub(crate) fn token(
    offered: &[String],
    config: &Config,
    connection: &Connection<'_>,
) -> Option<Result<Mechanism, Warning>> {
    if config.fast == Fast::Off || !uses_tokens(&config.credentials) || !connection.verified_tls {
        return None;
    }
    let token = connection.memory.token()?;
    if connection.unix_ms.is_some_and(|now| now >= token.expires_unix_ms) {
        return None;
    }
    // A token that the policy has no use for is none.
    if !is_allowed(&token.mechanism, config) {
        return None;
    }
    let unusable = || Warning::TokenUnusable {
        mechanism: token.mechanism.clone(),
    };
    let binding = Ht::binding_of(&token.mechanism);
    let data = match binding {
        Some(Some(of)) => connection
            .channel_bindings
            .get(of)
            .filter(|_| can_bind(of, config, connection)),
        Some(None) => Some([].as_slice()),
        None => None,
    };
    let has_to_be_bound =
        config.mechanisms().pin_channel_binding && connection.memory.pins().link(connection.kind).bound;
    let unbound = has_to_be_bound && binding == Some(None);
    let (Some(binding), Some(data), true) = (binding, data, !unbound && offered.contains(&token.mechanism)) else {
        return Some(Err(unusable()));
    };
    let account = config.account();
    let ht = Ht::new(
        binding,
        account.local().unwrap_or_default(),
        &token.secret,
        data,
        config.mechanisms().allow_missing_ht_server_proof,
    );
    Some(ht.map(Mechanism::Ht).map_err(|_| unusable()))
}

/// Which token to ask for: the one that is bound best (XEP-0484 §4.1), by a binding that the server has on this connection.
pub(crate) fn token_to_ask_for(
    offered: &[String],
    types: &[String],
    config: &Config,
    connection: &Connection<'_>,
) -> Option<&'static str> {
    if config.fast != Fast::Use || !uses_tokens(&config.credentials) || !connection.verified_tls {
        return None;
    }
    let bindings = ChannelBindingType::ALL.map(Some).into_iter().chain([None]);
    let possible = bindings.filter(|binding| match binding {
        Some(of) => can_bind(*of, config, connection) && types.iter().any(|known| known == of.name()),
        None => !(config.mechanisms().pin_channel_binding && connection.memory.pins().link(connection.kind).bound),
    });
    possible
        .map(Ht::mechanism)
        .find(|name| offered.iter().any(|offer| offer == name) && is_allowed(name, config))
}

/// A certificate is better than a token, and nobody is no account.
fn uses_tokens(credentials: &Credentials) -> bool {
    match credentials {
        Credentials::Password { .. }
        | Credentials::CertificateAndPassword { .. }
        | Credentials::ScramKey { .. }
        | Credentials::AccessToken { .. }
        | Credentials::KeptToken
        | Credentials::NewAccount { .. } => true,
        Credentials::Certificate { .. } | Credentials::Anonymous | Credentials::Nothing => false,
    }
}

/// The names of an offer, for a person.
fn shown(offer: &Offer) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in offer.mechanisms.iter().filter(|name| is_mechanism_name(name)) {
        if names.len() < SHOWN && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn is_plus(name: &str) -> bool {
    name.ends_with("-PLUS")
}

/// Whether the server gets to know the password, or enough to find it out.
fn shows_password(name: &str) -> bool {
    matches!(name, "PLAIN" | "DIGEST-MD5")
}

/// Whether there is something to bind to, and the policy allows it.
fn can_bind(of: ChannelBindingType, config: &Config, connection: &Connection<'_>) -> bool {
    let only = &config.mechanisms().channel_bindings;
    let allowed = only.as_ref().is_none_or(|only| only.contains(&of));
    allowed && connection.channel_bindings.get(of).is_some()
}

/// The policy's word.
fn is_allowed(name: &str, config: &Config) -> bool {
    let policy = config.mechanisms();
    let listed = policy
        .only
        .as_ref()
        .is_none_or(|only| only.iter().any(|allowed| allowed == name));
    let good_enough = policy
        .least
        .as_deref()
        .is_none_or(|least| preference(name) <= preference(least));
    listed && good_enough
}

/// What the credentials and the policy allow on this connection, best first.
fn wanted(config: &Config, connection: &Connection<'_>) -> Vec<&'static str> {
    let policy = config.mechanisms();
    let by = |name: &str| match &config.credentials {
        Credentials::Certificate { .. } => name == "EXTERNAL",
        // Two factors: the certificate acts at the TLS level, so EXTERNAL would leave the password out.
        Credentials::Password { .. } | Credentials::CertificateAndPassword { .. } | Credentials::NewAccount { .. } => {
            match name {
                "PLAIN" => policy.allow_plain && connection.verified_tls,
                "DIGEST-MD5" => policy.digest_md5.is_some() && connection.verified_tls,
                scram => scram.starts_with("SCRAM-"),
            }
        }
        Credentials::ScramKey { key } => [false, true].into_iter().any(|plus| key.hash().mechanism(plus) == name),
        Credentials::AccessToken { .. } => matches!(name, "OAUTHBEARER" | "X-OAUTH2") && connection.verified_tls,
        Credentials::Anonymous => name == "ANONYMOUS",
        Credentials::KeptToken | Credentials::Nothing => false,
    };
    ORDER
        .into_iter()
        .filter(|name| by(name) && is_allowed(name, config))
        .collect()
}

/// What can be said of channel binding (RFC 5802 §6, XEP-0440 §3).
struct Plus {
    /// What the login is bound to, where a mechanism with `-PLUS` is taken.
    bound: Option<ChannelBindingType>,
    /// What is said where none is taken: the truth, and `y` only where the server seems to have none.
    otherwise: ChannelBinding,
}

impl Plus {
    const NONE: Self = Self {
        bound: None,
        otherwise: ChannelBinding::No,
    };

    fn judge(
        offer: &Offer,
        profile: SaslProfile,
        wanted: &[&str],
        config: &Config,
        connection: &Connection<'_>,
        link: &LinkPins,
    ) -> Result<Self, LoginError> {
        let problem = |problem| Err(LoginError::ChannelBinding { problem });
        let ours = || {
            let all = ChannelBindingType::ALL.into_iter();
            all.filter(|of| can_bind(*of, config, connection))
        };
        // Where the policy does not let us bind, or there is nothing to bind to, we cannot.
        if ours().next().is_none() || !wanted.iter().any(|name| is_plus(name)) {
            return Ok(Self::NONE);
        }
        let offered_plus = || {
            offer
                .mechanisms
                .iter()
                .filter(|name| name.starts_with("SCRAM-") && is_plus(name))
        };
        let offers_plus = offered_plus().any(|name| wanted.contains(&name.as_str()));
        // One that the policy or the key leaves out is our own limit; one that nobody knows may be a known one under a false
        // name.
        if !offers_plus && offered_plus().any(|name| preference(name).is_some()) {
            return Ok(Self::NONE);
        }
        let types = offer.channel_bindings.as_deref().filter(|types| !types.is_empty());
        let bound = match (offers_plus, types) {
            // What a connection manager for HTTP shows is not the connection that the server knows, so that this says nothing.
            (false, None) if connection.kind == TransportKind::Bosh || offered_plus().next().is_some() => None,
            (false, None) => {
                return Ok(Self {
                    bound: None,
                    otherwise: ChannelBinding::Supported,
                });
            }
            (false, Some(_)) => return problem(ChannelBindingProblem::NoMechanism),
            (true, None) if profile == SaslProfile::Sasl2 => return problem(ChannelBindingProblem::NoTypes),
            // A server that had a list does not lose it and keep the mechanisms.
            (true, None) if config.mechanisms().pin && link.bound => return problem(ChannelBindingProblem::NoTypes),
            // A server from before XEP-0440, and so from before RFC 9266: it knows the one type that RFC 5802 §6.1 names. Where
            // the connection has none of that, it cannot be bound to.
            (true, None) => ours().find(|of| *of == ChannelBindingType::TlsUnique),
            (true, Some(types)) => {
                let end_point = ChannelBindingType::TlsServerEndPoint.name();
                let common = ours().find(|of| types.iter().any(|offered| offered == of.name()));
                // XEP-0440 §3: every server can have this one; a list without it, and without anything of ours, was changed.
                // Where the server shows what it offered (XEP-0474), that decides.
                if common.is_none()
                    && !(config.mechanisms().pin && link.offer)
                    && !types.iter().any(|name| name == end_point)
                {
                    let offered = types.iter().take(16).map(|name| crate::link::shorten(name)).collect();
                    return problem(ChannelBindingProblem::NothingInCommon { offered });
                }
                common
            }
        };
        Ok(Self { bound, ..Self::NONE })
    }
}

fn start(
    name: &str,
    offer: &Offer,
    plus: Plus,
    link: &LinkPins,
    config: &Config,
    connection: &Connection<'_>,
    random: &mut Random,
) -> Result<Choice, SaslError> {
    let account = config.account();
    let localpart = account.local().unwrap_or_default();
    let mut warned = None;
    let mechanism = match (name, &config.credentials) {
        ("EXTERNAL", _) => {
            let decision = certificate::authzid(config.authzid, &account, connection.certificate);
            warned = decision.warning.map(warning);
            Mechanism::External(External::new(decision.authzid.as_deref())?)
        }
        ("ANONYMOUS", _) => Mechanism::Anonymous(Anonymous::new()),
        ("OAUTHBEARER", Credentials::AccessToken { token }) => {
            Mechanism::OauthBearer(OauthBearer::new(Some(account.as_str()), token)?)
        }
        ("X-OAUTH2", Credentials::AccessToken { token }) => Mechanism::XOauth2(XOauth2::new(localpart, token)?),
        (_, credentials) => {
            let password = credentials.password_secret();
            match (name, password) {
                ("PLAIN", Some(password)) => Mechanism::Plain(Plain::new(None, localpart, password)?),
                ("DIGEST-MD5", Some(password)) => {
                    let settings = config.mechanisms().digest_md5.clone().unwrap_or_default();
                    let domain = account.domain();
                    let cnonce = random.token();
                    let digest = DigestMd5::new(localpart, domain, password, None, cnonce, &settings)?;
                    Mechanism::DigestMd5(digest)
                }
                (scram, password) => {
                    let hash = ScramHash::ALL
                        .into_iter()
                        .find(|hash| [false, true].iter().any(|plus| hash.mechanism(*plus) == scram))
                        .ok_or(SaslError::OutOfOrder)?;
                    let binding = match plus.bound.filter(|_| is_plus(scram)) {
                        Some(of) => ChannelBinding::Bound {
                            of,
                            data: connection.channel_bindings.get(of).unwrap_or_default().to_vec().into(),
                        },
                        None => plus.otherwise,
                    };
                    let limits = config.mechanisms().scram.into();
                    let key = if let Credentials::ScramKey { key } = credentials {
                        Some(key)
                    } else {
                        connection.memory.key()
                    };
                    let required = config.mechanisms().pin && link.offer;
                    let scram = Scram::new(hash, binding, None, localpart, password, random.token(), limits)?
                        .with_key(key.cloned())
                        .host_derives(config.key_derivation == KeyDerivation::Host)
                        .with_offer(offer.clone(), required);
                    Mechanism::Scram(scram)
                }
            }
        }
    };
    Ok(Choice {
        mechanism,
        warning: warned,
    })
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
