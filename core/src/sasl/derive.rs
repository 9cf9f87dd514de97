//! SCRAM's slow step (RFC 5802 §3): from a password to the two keys, as a job that can run elsewhere or be remembered.

use alloc::vec::Vec;
use core::fmt;

use hmac::{
    EagerHash, Hmac, KeyInit, Mac,
    digest::{Digest, Key},
};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::Secret;

/// The hash that a SCRAM mechanism is named after. Another one is one more arm in each `match` below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ScramHash {
    /// SHA-1 (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
    /// SHA-384: no document has it, and some servers do.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl ScramHash {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The length of its output, and so of a salted password, in bytes.
    pub const fn output_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The mechanism's name (RFC 5802 §4, RFC 7677 §3).
    pub const fn mechanism(self, channel_bound: bool) -> &'static str {
        match (self, channel_bound) {
            (Self::Sha1, false) => "SCRAM-SHA-1",
            (Self::Sha1, true) => "SCRAM-SHA-1-PLUS",
            (Self::Sha256, false) => "SCRAM-SHA-256",
            (Self::Sha256, true) => "SCRAM-SHA-256-PLUS",
            (Self::Sha384, false) => "SCRAM-SHA-384",
            (Self::Sha384, true) => "SCRAM-SHA-384-PLUS",
            (Self::Sha512, false) => "SCRAM-SHA-512",
            (Self::Sha512, true) => "SCRAM-SHA-512-PLUS",
        }
    }

    /// HMAC with this hash. `key` is an output of the hash.
    pub(super) fn hmac(self, key: &Secret, data: &[u8]) -> Secret {
        match self {
            Self::Sha1 => hmac::<Sha1>(key, data),
            Self::Sha256 => hmac::<Sha256>(key, data),
            Self::Sha384 => hmac::<Sha384>(key, data),
            Self::Sha512 => hmac::<Sha512>(key, data),
        }
    }

    /// H().
    pub(super) fn digest(self, data: &Secret) -> Secret {
        Secret::new(match self {
            Self::Sha1 => Sha1::digest(data.expose()).to_vec(),
            Self::Sha256 => Sha256::digest(data.expose()).to_vec(),
            Self::Sha384 => Sha384::digest(data.expose()).to_vec(),
            Self::Sha512 => Sha512::digest(data.expose()).to_vec(),
        })
    }

    /// Hi(), which is PBKDF2 with one block of output.
    fn pbkdf2(self, password: &Secret, salt: &[u8], iterations: u32) -> Secret {
        // The length is known where it is compiled: that makes the loop a tenth faster.
        fn salted<D: EagerHash<Core: Sync>, const N: usize>(password: &Secret, salt: &[u8], iterations: u32) -> Secret {
            let mut salted = Zeroizing::new([0; N]);
            pbkdf2_hmac::<D>(password.expose(), salt, iterations, salted.as_mut());
            Secret::new(*salted)
        }
        match self {
            Self::Sha1 => salted::<Sha1, 20>(password, salt, iterations),
            Self::Sha256 => salted::<Sha256, 32>(password, salt, iterations),
            Self::Sha384 => salted::<Sha384, 48>(password, salt, iterations),
            Self::Sha512 => salted::<Sha512, 64>(password, salt, iterations),
        }
    }
}

/// The one long computation of a login, with all that it needs: PBKDF2 with HMAC (RFC 8018 §5.2), one block of output.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Derivation {
    /// The hash.
    pub hash: ScramHash,
    /// The salt: the server's.
    #[cfg_attr(feature = "record", serde(with = "crate::record::owned_bytes"))]
    pub salt: Vec<u8>,
    /// How many iterations: the server's number, within the bounds of the configuration.
    pub iterations: u32,
    /// The password, prepared (RFC 4013).
    #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
    pub password: Secret,
}

impl Derivation {
    /// Runs for as long as `iterations` asks.
    pub fn run(&self) -> DerivedKey {
        self.with_salted_password(&self.salted_password())
    }

    /// Only the long part: the salted password, which an upgrade of the server's storage asks for (XEP-0480 §3). To that
    /// server it is as good as the password.
    pub fn salted_password(&self) -> Secret {
        self.hash.pbkdf2(&self.password, &self.salt, self.iterations)
    }

    /// The key, from what another PBKDF2 made of the password. It has to have [`ScramHash::output_bytes`] bytes: anything
    /// else fails the login like a wrong password.
    pub fn with_salted_password(&self, salted: &Secret) -> DerivedKey {
        let right = salted.expose().len() == self.hash.output_bytes();
        let key = |name: &[u8]| match right {
            true => self.hash.hmac(salted, name),
            false => Secret::default(),
        };
        DerivedKey {
            hash: self.hash,
            salt: self.salt.clone(),
            iterations: self.iterations,
            client_key: key(b"Client Key"),
            server_key: key(b"Server Key"),
        }
    }
}

/// What a password becomes for one salt and iteration count. It may be kept for the next login of the same account with the same
/// password, and logs in to this server as well as the password does (RFC 5802 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct DerivedKey {
    pub(super) hash: ScramHash,
    #[cfg_attr(feature = "record", serde(with = "crate::record::owned_bytes"))]
    salt: Vec<u8>,
    iterations: u32,
    #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
    pub(super) client_key: Secret,
    #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
    pub(super) server_key: Secret,
}

const MAGIC: &[u8] = b"epode scram key 1\n";

impl DerivedKey {
    /// Takes the keys out, for a log.
    #[cfg(feature = "record")]
    pub(crate) fn forget(&mut self) {
        (self.client_key, self.server_key) = (Secret::default(), Secret::default());
    }

    /// For the replay of a log that left the keys out: what `derivation` gives, if it is for this salt and count, or keys that
    /// fit nothing but themselves.
    #[cfg(feature = "record")]
    pub(crate) fn restore(&mut self, derivation: Option<&Derivation>) {
        if !self.client_key.expose().is_empty() {
            return;
        }
        let made_of = |of: &&Derivation| (of.hash, of.iterations, &of.salt) == (self.hash, self.iterations, &self.salt);
        if let Some(derivation) = derivation.filter(made_of) {
            *self = derivation.run();
        } else {
            let key = || Secret::new(alloc::vec![b'x'; self.hash.output_bytes()]);
            (self.client_key, self.server_key) = (key(), key());
        }
    }

    /// The hash that it is for.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// As bytes, to be kept where secrets are kept: they log in as well as the password does.
    pub fn to_bytes(&self) -> Secret {
        let mut out = MAGIC.to_vec();
        out.push(match self.hash {
            ScramHash::Sha1 => 1,
            ScramHash::Sha256 => 2,
            ScramHash::Sha384 => 3,
            ScramHash::Sha512 => 4,
        });
        out.extend(self.iterations.to_be_bytes());
        // A salt has at most 1024 bytes.
        out.extend(u16::try_from(self.salt.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(&self.salt);
        out.extend(self.client_key.expose());
        out.extend(self.server_key.expose());
        Secret::new(out)
    }

    /// From what [`to_bytes`](Self::to_bytes) gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotAKey> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(NotAKey)?;
        let (hash, rest) = rest.split_first().ok_or(NotAKey)?;
        let hash = match hash {
            1 => ScramHash::Sha1,
            2 => ScramHash::Sha256,
            3 => ScramHash::Sha384,
            4 => ScramHash::Sha512,
            _ => return Err(NotAKey),
        };
        let (iterations, rest) = rest.split_first_chunk().ok_or(NotAKey)?;
        let (length, rest) = rest.split_first_chunk().ok_or(NotAKey)?;
        let (salt, rest) = rest
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .ok_or(NotAKey)?;
        let (client_key, server_key) = rest.split_at_checked(hash.output_bytes()).ok_or(NotAKey)?;
        if server_key.len() != hash.output_bytes() || salt.is_empty() {
            return Err(NotAKey);
        }
        Ok(Self {
            hash,
            salt: salt.to_vec(),
            iterations: u32::from_be_bytes(*iterations),
            client_key: Secret::new(client_key),
            server_key: Secret::new(server_key),
        })
    }

    /// Whether a derivation for these would give this key again.
    pub(super) fn fits(&self, hash: ScramHash, salt: &[u8], iterations: u32) -> bool {
        self.hash == hash && self.salt == salt && self.iterations == iterations
    }
}

/// The bytes are no key that [`DerivedKey::to_bytes`] gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes are no SCRAM key: give those that an earlier login stored")
    }
}

impl core::error::Error for NotAKey {}

fn hmac<D: EagerHash>(key: &Secret, data: &[u8]) -> Secret {
    // HMAC pads a short key with zeros to one block (RFC 2104 §2), so a padded key is the same key and no length can be wrong: an
    // output of a hash is always shorter than its block.
    let mut block = Key::<Hmac<D>>::default();
    debug_assert!(key.expose().len() <= block.len());
    for (to, from) in block.iter_mut().zip(key.expose()) {
        *to = *from;
    }
    let mut tag = Hmac::<D>::new(&block).chain_update(data).finalize().into_bytes();
    let out = Secret::new(tag.to_vec());
    tag.as_mut_slice().zeroize();
    block.as_mut_slice().zeroize();
    out
}
