//! SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither says it.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use zeroize::Zeroizing;

use super::{DeriveJob, DerivedKey, SaslError, ScramHash, ServerProof, State, checked_authzid, encoding, prep};
use crate::Secret;

/// A server's message has no reason to be longer: a salt of 1024 bytes takes 1368 characters.
const MAX_MESSAGE: usize = 8 * 1024;
/// A salt is usually of 16 bytes; a huge one is a way to keep us busy.
const MAX_SALT: usize = 1024;
/// So much of a server's own error name is shown.
const MAX_ERROR_NAME: usize = 64;

/// What the client says about channel binding (RFC 5802 §6).
#[derive(Clone, Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "no link gives channel bindings yet; the vectors use them")
)]
pub(crate) enum ChannelBinding {
    /// `n`: this connection has none.
    No,
    /// `y`: we have one, but the server does not seem to. A server that does will refuse, so a stripped offer shows.
    Supported,
    /// `p`: the login is bound to this channel, and the mechanism's name ends in `-PLUS`.
    Bound {
        /// A name of the IANA registry, such as `tls-exporter` (RFC 9266).
        name: String,
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
}

#[derive(Debug)]
enum Step {
    Start { password: Secret },
    SentFirst { password: Secret },
    SentFinal { server_signature: Secret },
    // The proof came in a challenge; the success that follows must be empty.
    Proved,
    Done,
}

impl Scram {
    /// Prepares name and password. `nonce` must be fresh and unpredictable: [`crate::random::Random::token`].
    pub(crate) fn new(
        hash: ScramHash,
        binding: ChannelBinding,
        authzid: Option<&str>,
        authcid: &str,
        password: &Secret,
        nonce: String,
        limits: ScramLimits,
    ) -> Result<Self, SaslError> {
        if nonce.is_empty() || !is_nonce(&nonce) {
            return Err(SaslError::ClientNonce);
        }
        let authzid = checked_authzid(authzid)?.map(|name| format!("a={}", escaped(name)));
        let authcid = prep::username(authcid).map_err(SaslError::Username)?;
        let password = prep::password(password).map_err(SaslError::Password)?;
        let gs2_header = format!("{},{},", binding.flag()?, authzid.unwrap_or_default());
        let first_bare = format!("n={},r={nonce}", escaped(&authcid));
        Ok(Self {
            setup: Setup {
                hash,
                binding,
                gs2_header,
                first_bare,
                nonce,
                limits,
            },
            key: None,
            state: State::At(Step::Start { password }),
        })
    }

    /// Gives a key of an earlier login with the same account and password. It saves the derivation if the server still asks for the
    /// same salt and count, and is dropped if not.
    #[cfg_attr(not(test), expect(dead_code, reason = "keys are not kept between logins yet"))]
    pub(crate) fn with_key(mut self, key: DerivedKey) -> Self {
        self.key = Some(key);
        self
    }

    /// The key of this login, once derived. It is worth keeping only after success.
    #[cfg_attr(not(test), expect(dead_code, reason = "keys are not kept between logins yet"))]
    pub(crate) fn key(&self) -> Option<&DerivedKey> {
        self.key.as_ref()
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
            Step::SentFirst { .. } | Step::SentFinal { .. } | Step::Proved | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Secret, SaslError> {
        let Self { setup, key, state } = self;
        state.advance(|step| match step {
            Step::SentFirst { password } => {
                let server_first = ServerFirst::parse(data, setup)?;
                let derived = server_first.derive(setup.hash, key.take(), password);
                let key = key.insert(derived);
                let (message, server_signature) = setup.client_final(&server_first, key);
                Ok((Step::SentFinal { server_signature }, message))
            }
            Step::SentFinal { server_signature } => {
                verify(data, &server_signature)?;
                Ok((Step::Proved, Secret::default()))
            }
            Step::Proved => Err(SaslError::UnexpectedChallenge),
            Step::Start { .. } | Step::Done => Err(SaslError::OutOfOrder),
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
            Step::Start { .. } | Step::SentFirst { .. } => Err(SaslError::SuccessTooEarly),
            Step::Done => Err(SaslError::OutOfOrder),
        })
    }
}

impl ChannelBinding {
    // RFC 5802 §7: gs2-cbind-flag
    fn flag(&self) -> Result<String, SaslError> {
        match self {
            Self::No => Ok("n".to_string()),
            Self::Supported => Ok("y".to_string()),
            Self::Bound { name, .. } => {
                let is_name = !name.is_empty()
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
                if is_name {
                    Ok(format!("p={name}"))
                } else {
                    Err(SaslError::ChannelBindingName)
                }
            }
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
    /// The client's last message, and the signature that the server must answer with (RFC 5802 §3).
    fn client_final(&self, server_first: &ServerFirst<'_>, key: &DerivedKey) -> (Secret, Secret) {
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
struct ServerFirst<'a> {
    raw: &'a str,
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn parse(data: &'a [u8], setup: &Setup) -> Result<Self, SaslError> {
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
        let salt = encoding::decode(salt).map_err(|_| SaslError::Salt)?;
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(SaslError::Salt);
        }

        let iterations = attributes
            .next()
            .and_then(|attribute| attribute.strip_prefix("i="))
            .ok_or(SaslError::Malformed {
                expected: "an iteration count (i=)".into(),
            })?;
        let iterations = checked_iterations(iterations, setup.limits)?;

        check_extensions(attributes)?;
        Ok(Self {
            raw,
            nonce,
            salt,
            iterations,
        })
    }

    fn derive(&self, hash: ScramHash, known: Option<DerivedKey>, password: Secret) -> DerivedKey {
        match known {
            Some(key) if key.fits(hash, &self.salt, self.iterations) => key,
            Some(_) | None => DeriveJob {
                hash,
                salt: self.salt.clone(),
                iterations: self.iterations,
                password,
            }
            .run(),
        }
    }
}

/// RFC 5802 §7: `posit-number`, which has no sign and no leading zero. Both bounds are judged before any proof is computed.
fn checked_iterations(text: &str, limits: ScramLimits) -> Result<u32, SaslError> {
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

/// The server's text is for people and logs: nothing in it may act on a terminal or fill a disk.
fn server_error(value: &str) -> SaslError {
    let mut shown: String = value
        .chars()
        .take(MAX_ERROR_NAME)
        .flat_map(char::escape_default)
        .collect();
    if value.chars().nth(MAX_ERROR_NAME).is_some() {
        shown.push_str("...");
    }
    SaslError::Server { value: shown }
}

// RFC 5802 §7: printable is %x21-2B / %x2D-7E
fn is_nonce(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b',')
}

// RFC 5802 §5.1: in a name, `=` and `,` are written as =3D and =2C.
fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}
