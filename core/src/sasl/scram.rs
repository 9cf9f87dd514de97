//! SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither says it.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use zeroize::Zeroizing;

use super::{
    Answer, ChannelBindingType, Derivation, DerivedKey, Offer, SaslError, ScramHash, ServerProof, State,
    checked_authzid, encoding, prep, shown,
};
use crate::Secret;
use crate::config::ScramIterations;

/// A server's message has no reason to be longer: a salt of 1024 bytes takes 1368 characters.
const MAX_MESSAGE: usize = 8 * 1024;
/// A salt is usually of 16 bytes; a huge one is a way to keep us busy.
const MAX_SALT: usize = 1024;
/// So much of a server's own error name or hash is shown.
const MAX_SHOWN: usize = 100;

/// What the client says about channel binding (RFC 5802 §6).
#[derive(Clone, Debug)]
pub(crate) enum ChannelBinding {
    /// `n`: this connection has none.
    No,
    /// `y`: we have one, but the server does not seem to. A server that does will refuse, so a stripped offer shows.
    Supported,
    /// `p`: the login is bound to this channel, and the mechanism's name ends in `-PLUS`.
    Bound {
        /// To what.
        of: ChannelBindingType,
        /// The channel's unique bytes.
        data: Secret,
    },
}

/// How many PBKDF2 iterations a server may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScramLimits {
    /// Fewer would make the password cheap to guess for whoever plays the server (RFC 5802 §5.1, RFC 7677 §4).
    pub(crate) min_iterations: u32,
    /// More would keep the device busy for as long as the server likes.
    pub(crate) max_iterations: u32,
}

impl From<ScramIterations> for ScramLimits {
    fn from(ScramIterations { min, max }: ScramIterations) -> Self {
        Self {
            min_iterations: min,
            max_iterations: max,
        }
    }
}

impl Default for ScramLimits {
    fn default() -> Self {
        Self {
            min_iterations: 4096,
            max_iterations: 2_000_000,
        }
    }
}

/// A SCRAM exchange.
#[derive(Debug)]
pub(crate) struct Scram {
    setup: Setup,
    key: Option<DerivedKey>,
    state: State<Step>,
}

#[derive(Debug)]
struct Setup {
    hash: ScramHash,
    binding: ChannelBinding,
    gs2_header: String,
    first_bare: String,
    nonce: String,
    limits: ScramLimits,
    /// The host runs the derivation.
    host_derives: bool,
    /// What arrived as the server's offer, to be compared with what it says that it sent (XEP-0474).
    offer: Offer,
    /// The server has to say it.
    offer_required: bool,
    offer_verified: bool,
}

#[derive(Debug)]
enum Step {
    Start { password: Option<Secret> },
    SentFirst { password: Option<Secret> },
    Deriving { first: ServerFirst },
    SentFinal { server_signature: Secret },
    // The proof came in a challenge; the success that follows must be empty.
    Proved,
    Done,
}

impl Scram {
    /// Prepares name and password. `nonce` must be fresh and unpredictable: [`crate::random::Random::token`]. Without a
    /// password there has to be a key.
    pub(crate) fn new(
        hash: ScramHash,
        binding: ChannelBinding,
        authzid: Option<&str>,
        authcid: &str,
        password: Option<&Secret>,
        nonce: String,
        limits: ScramLimits,
    ) -> Result<Self, SaslError> {
        if nonce.is_empty() || !is_nonce(&nonce) {
            return Err(SaslError::ClientNonce);
        }
        let authzid = checked_authzid(authzid)?.map(|name| format!("a={}", escaped(name)));
        let authcid = prep::username(authcid).map_err(SaslError::Username)?;
        let password = password.map(prep::password).transpose().map_err(SaslError::Password)?;
        let gs2_header = format!("{},{},", binding.flag(), authzid.unwrap_or_default());
        let first_bare = format!("n={},r={nonce}", escaped(&authcid));
        Ok(Self {
            setup: Setup {
                hash,
                binding,
                gs2_header,
                first_bare,
                nonce,
                limits,
                host_derives: false,
                offer: Offer::default(),
                offer_required: false,
                offer_verified: false,
            },
            key: None,
            state: State::At(Step::Start { password }),
        })
    }

    /// Gives a key of an earlier login with the same account and password. It saves the derivation if the server still asks for the
    /// same salt and count, and is dropped if not.
    pub(crate) fn with_key(mut self, key: Option<DerivedKey>) -> Self {
        self.key = key;
        self
    }

    /// The host runs the derivation: a challenge may lead to [`Answer::Derive`].
    pub(crate) fn host_derives(mut self, host_derives: bool) -> Self {
        self.setup.host_derives = host_derives;
        self
    }

    /// What the server offered; where it says so itself, it has to be the same (XEP-0474 §6.2). `required`: it has to say so.
    pub(crate) fn with_offer(mut self, offer: Offer, required: bool) -> Self {
        self.setup.offer = offer;
        self.setup.offer_required = required;
        self
    }

    /// The key of this login, once derived. It is worth keeping only after success.
    pub(crate) fn key(&self) -> Option<&DerivedKey> {
        self.key.as_ref()
    }

    pub(crate) fn offer_verified(&self) -> bool {
        self.setup.offer_verified
    }

    pub(crate) fn channel_binding(&self) -> Option<ChannelBindingType> {
        match self.setup.binding {
            ChannelBinding::Bound { of, .. } => Some(of),
            ChannelBinding::No | ChannelBinding::Supported => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.setup
            .hash
            .mechanism(matches!(self.setup.binding, ChannelBinding::Bound { .. }))
    }

    pub(crate) fn initial(&mut self) -> Result<Secret, SaslError> {
        let Self { setup, state, .. } = self;
        state.advance(|step| match step {
            Step::Start { password } => {
                let message = Secret::from(format!("{}{}", setup.gs2_header, setup.first_bare));
                Ok((Step::SentFirst { password }, message))
            }
            Step::SentFirst { .. } | Step::Deriving { .. } | Step::SentFinal { .. } | Step::Proved | Step::Done => {
                Err(SaslError::OutOfOrder)
            }
        })
    }

    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Answer, SaslError> {
        let Self { setup, key, state } = self;
        state.advance(|step| match step {
            Step::SentFirst { password } => {
                let first = ServerFirst::parse(data, setup)?;
                setup.check_offer(&first)?;
                let fitting = key
                    .take()
                    .filter(|key| key.fits(setup.hash, &first.salt, first.iterations));
                let key = match (fitting, password) {
                    (Some(fitting), _) => key.insert(fitting),
                    (None, None) => return Err(SaslError::KeyDoesNotFit),
                    (None, Some(password)) => {
                        let derivation = Derivation {
                            hash: setup.hash,
                            salt: first.salt.clone(),
                            iterations: first.iterations,
                            password,
                        };
                        if setup.host_derives {
                            return Ok((Step::Deriving { first }, Answer::Derive(derivation)));
                        }
                        key.insert(derivation.run())
                    }
                };
                let (message, server_signature) = setup.client_final(&first, key);
                Ok((Step::SentFinal { server_signature }, Answer::Message(message)))
            }
            Step::SentFinal { server_signature } => {
                verify(data, &server_signature)?;
                Ok((Step::Proved, Answer::Message(Secret::default())))
            }
            // The server has not been answered yet.
            Step::Deriving { .. } | Step::Proved => Err(SaslError::UnexpectedChallenge),
            Step::Start { .. } | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    /// Goes on with what the host derived.
    pub(crate) fn derived(&mut self, derived: DerivedKey) -> Result<Secret, SaslError> {
        let Self { setup, key, state } = self;
        state.advance(|step| match step {
            Step::Deriving { first } => {
                if !derived.fits(setup.hash, &first.salt, first.iterations) {
                    return Err(SaslError::KeyDoesNotFit);
                }
                let (message, server_signature) = setup.client_final(&first, key.insert(derived));
                Ok((Step::SentFinal { server_signature }, message))
            }
            Step::Start { .. } | Step::SentFirst { .. } | Step::SentFinal { .. } | Step::Proved | Step::Done => {
                Err(SaslError::OutOfOrder)
            }
        })
    }

    pub(crate) fn success(&mut self, data: &[u8]) -> Result<ServerProof, SaslError> {
        self.state.advance(|step| match step {
            Step::SentFinal { .. } if data.is_empty() => Err(SaslError::MissingServerProof),
            Step::SentFinal { server_signature } => {
                verify(data, &server_signature)?;
                Ok((Step::Done, ServerProof::Verified))
            }
            Step::Proved if data.is_empty() => Ok((Step::Done, ServerProof::Verified)),
            Step::Proved => Err(SaslError::UnexpectedSuccessData),
            Step::Start { .. } | Step::SentFirst { .. } | Step::Deriving { .. } => Err(SaslError::SuccessTooEarly),
            Step::Done => Err(SaslError::OutOfOrder),
        })
    }
}

impl ChannelBinding {
    // RFC 5802 §7: gs2-cbind-flag
    fn flag(&self) -> String {
        match self {
            Self::No => "n".to_string(),
            Self::Supported => "y".to_string(),
            Self::Bound { of, .. } => format!("p={}", of.name()),
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::No | Self::Supported => &[],
            Self::Bound { data, .. } => data.expose(),
        }
    }
}

impl Setup {
    /// XEP-0474 §6.2: before the proof is shown, what the server says that it offered has to be what arrived.
    fn check_offer(&mut self, first: &ServerFirst) -> Result<(), SaslError> {
        match &first.offer_hash {
            Some(received) => {
                let expected = encoding::encode(self.hash.digest(&Secret::from(self.offer.joined())).expose());
                if *received != expected {
                    return Err(SaslError::OfferChanged {
                        expected,
                        received: shown(received, MAX_SHOWN),
                    });
                }
                self.offer_verified = true;
                Ok(())
            }
            None if self.offer_required => Err(SaslError::OfferUnproved),
            None => Ok(()),
        }
    }

    /// The client's last message, and the signature that the server must answer with (RFC 5802 §3).
    fn client_final(&self, server_first: &ServerFirst, key: &DerivedKey) -> (Secret, Secret) {
        let bound = Zeroizing::new([self.gs2_header.as_bytes(), self.binding.data()].concat());
        let without_proof = format!("c={},r={}", encoding::encode(&bound), server_first.nonce);
        let auth_message = format!("{},{},{without_proof}", self.first_bare, server_first.raw);

        let stored_key = self.hash.digest(&key.client_key);
        let client_signature = self.hash.hmac(&stored_key, auth_message.as_bytes());
        let server_signature = self.hash.hmac(&key.server_key, auth_message.as_bytes());
        let proof: Zeroizing<Vec<u8>> = Zeroizing::new(
            key.client_key
                .expose()
                .iter()
                .zip(client_signature.expose())
                .map(|(a, b)| a ^ b)
                .collect(),
        );
        (
            Secret::from(format!("{without_proof},p={}", encoding::encode(&proof))),
            server_signature,
        )
    }
}

/// A server-first-message that passed every check (RFC 5802 §7).
#[derive(Debug)]
struct ServerFirst {
    raw: String,
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
    /// What the server says that it offered (XEP-0474 §6.1).
    offer_hash: Option<String>,
}

impl ServerFirst {
    fn parse(data: &[u8], setup: &Setup) -> Result<Self, SaslError> {
        let raw = message_text(data)?;
        let mut attributes = raw.split(',');

        let first = attributes.next().unwrap_or_default();
        // RFC 5802 §5.1: a client that does not know a mandatory extension must fail, and we know none.
        if first.starts_with("m=") {
            return Err(SaslError::MandatoryExtension);
        }
        // Some servers report an error here already, not only in their last message.
        if let Some(error) = first.strip_prefix("e=") {
            return Err(server_error(error));
        }
        let nonce = first.strip_prefix("r=").ok_or(SaslError::Malformed {
            expected: "a nonce (r=)".into(),
        })?;
        // RFC 5802 §5.1: the nonce starts with ours; a server that adds nothing makes replays possible.
        if !is_nonce(nonce) || nonce.len() <= setup.nonce.len() || !nonce.starts_with(&setup.nonce) {
            return Err(SaslError::Nonce);
        }

        let salt = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("s="))
            .ok_or(SaslError::Malformed {
                expected: "a salt (s=)".into(),
            })?;
        let salt = checked_salt(salt)?;

        let iterations = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("i="))
            .ok_or(SaslError::Malformed {
                expected: "an iteration count (i=)".into(),
            })?;
        let iterations = checked_iterations(iterations, setup.limits)?;

        let mut offer_hashes = attributes.clone().filter_map(|attribute| attribute.strip_prefix("h="));
        let offer_hash = offer_hashes.next().map(ToString::to_string);
        if offer_hashes.next().is_some() {
            return Err(SaslError::Malformed {
                expected: "one hash of the offer (h=)".into(),
            });
        }
        check_extensions(attributes)?;
        Ok(Self {
            raw: raw.to_string(),
            nonce: nonce.to_string(),
            salt,
            iterations,
            offer_hash,
        })
    }
}

/// Canonical base64 of a salt that is there, and of a usual length.
pub(crate) fn checked_salt(text: &str) -> Result<Vec<u8>, SaslError> {
    let salt = encoding::decode(text).map_err(|_| SaslError::Salt)?;
    if salt.is_empty() || salt.len() > MAX_SALT {
        return Err(SaslError::Salt);
    }
    Ok(salt)
}

/// RFC 5802 §7: `posit-number`, which has no sign and no leading zero. Both bounds are judged before any proof is computed.
pub(crate) fn checked_iterations(text: &str, limits: ScramLimits) -> Result<u32, SaslError> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SaslError::Iterations);
    }
    // Only a number beyond 32 bits fails to parse now.
    let iterations = text
        .parse()
        .ok()
        .filter(|&iterations| iterations <= limits.max_iterations);
    let iterations: u32 = iterations.ok_or(SaslError::IterationsTooHigh {
        most: limits.max_iterations,
    })?;
    if iterations < limits.min_iterations {
        return Err(SaslError::IterationsTooLow {
            asked: iterations,
            least: limits.min_iterations,
        });
    }
    Ok(iterations)
}

/// Judges a server-final-message (RFC 5802 §7).
fn verify(data: &[u8], server_signature: &Secret) -> Result<(), SaslError> {
    let mut attributes = message_text(data)?.split(',');
    let first = attributes.next().unwrap_or_default();
    if let Some(error) = first.strip_prefix("e=") {
        return Err(server_error(error));
    }
    let verifier = first.strip_prefix("v=").ok_or(SaslError::Malformed {
        expected: "a proof (v=)".into(),
    })?;
    let verifier = encoding::decode(verifier).map_err(|_| SaslError::WrongServerProof)?;
    check_extensions(attributes)?;
    // `Secret` compares in constant time.
    if Secret::new(verifier) == *server_signature {
        Ok(())
    } else {
        Err(SaslError::WrongServerProof)
    }
}

fn message_text(data: &[u8]) -> Result<&str, SaslError> {
    if data.len() > MAX_MESSAGE {
        return Err(SaslError::Malformed {
            expected: "a message of at most 8 KiB".into(),
        });
    }
    core::str::from_utf8(data).map_err(|_| SaslError::Malformed {
        expected: "UTF-8".into(),
    })
}

/// RFC 5802 §5.1: optional extensions are ignored. A letter that has a meaning is no extension: a second salt would be read by one
/// side and not by the other.
fn check_extensions<'a>(attributes: impl Iterator<Item = &'a str>) -> Result<(), SaslError> {
    const MALFORMED: SaslError = SaslError::Malformed {
        expected: alloc::borrow::Cow::Borrowed("an extension of one letter, '=' and a value"),
    };
    for attribute in attributes {
        let (name, value) = attribute.split_once('=').ok_or(MALFORMED)?;
        match name.as_bytes() {
            [b'm'] => return Err(SaslError::MandatoryExtension),
            [b'a' | b'n' | b'r' | b'c' | b's' | b'i' | b'p' | b'v' | b'e'] => return Err(MALFORMED),
            [letter] if letter.is_ascii_alphabetic() && !value.is_empty() && !value.contains('\0') => {}
            _ => return Err(MALFORMED),
        }
    }
    Ok(())
}

fn server_error(value: &str) -> SaslError {
    SaslError::Server {
        value: shown(value, MAX_SHOWN),
    }
}

// RFC 5802 §7: printable is %x21-2B / %x2D-7E
pub(super) fn is_nonce(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b',')
}

// RFC 5802 §5.1: in a name, `=` and `,` are written as =3D and =2C.
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}
