//! SCRAM's slow step (RFC 5802 §3): from a password to the two keys, as a job that can run elsewhere or be remembered.

use alloc::{vec, vec::Vec};

use hmac::{
    EagerHash, Hmac, KeyInit, Mac,
    digest::{Digest, Key},
};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroize;

use crate::Secret;

/// The hash that a SCRAM mechanism is named after. Another one is one more arm in each `match` below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScramHash {
    Sha1,
    Sha256,
}

impl ScramHash {
    /// The mechanism's name (RFC 5802 §4, RFC 7677 §3).
    pub(crate) fn mechanism(self, channel_bound: bool) -> &'static str {
        match (self, channel_bound) {
            (Self::Sha1, false) => "SCRAM-SHA-1",
            (Self::Sha1, true) => "SCRAM-SHA-1-PLUS",
            (Self::Sha256, false) => "SCRAM-SHA-256",
            (Self::Sha256, true) => "SCRAM-SHA-256-PLUS",
        }
    }

    /// HMAC with this hash. `key` is an output of the hash.
    pub(super) fn hmac(self, key: &Secret, data: &[u8]) -> Secret {
        match self {
            Self::Sha1 => hmac::<Sha1>(key, data),
            Self::Sha256 => hmac::<Sha256>(key, data),
        }
    }

    /// H().
    pub(super) fn digest(self, data: &Secret) -> Secret {
        match self {
            Self::Sha1 => Secret::new(Sha1::digest(data.expose()).to_vec()),
            Self::Sha256 => Secret::new(Sha256::digest(data.expose()).to_vec()),
        }
    }

    /// Hi(), which is PBKDF2 with one block of output.
    fn pbkdf2(self, password: &Secret, salt: &[u8], iterations: u32) -> Secret {
        let mut salted = match self {
            Self::Sha1 => vec![0; 20],
            Self::Sha256 => vec![0; 32],
        };
        match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>(password.expose(), salt, iterations, &mut salted),
            Self::Sha256 => pbkdf2_hmac::<Sha256>(password.expose(), salt, iterations, &mut salted),
        }
        Secret::new(salted)
    }
}

/// The one long computation of a login, with all that it needs. `password` is already prepared.
#[derive(Debug)]
pub(crate) struct DeriveJob {
    pub(crate) hash: ScramHash,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) password: Secret,
}

impl DeriveJob {
    /// Runs for as long as `iterations` asks.
    pub(crate) fn run(self) -> DerivedKey {
        let Self {
            hash,
            salt,
            iterations,
            password,
        } = self;
        let salted = hash.pbkdf2(&password, &salt, iterations);
        let client_key = hash.hmac(&salted, b"Client Key");
        let server_key = hash.hmac(&salted, b"Server Key");
        DerivedKey {
            hash,
            salt,
            iterations,
            client_key,
            server_key,
        }
    }
}

/// What a password becomes for one salt and iteration count. It may be kept for the next login of the same account with the same
/// password, and logs in to this server as well as the password does (RFC 5802 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DerivedKey {
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: u32,
    pub(super) client_key: Secret,
    pub(super) server_key: Secret,
}

impl DerivedKey {
    /// Whether a derivation for these would give this key again.
    pub(super) fn fits(&self, hash: ScramHash, salt: &[u8], iterations: u32) -> bool {
        self.hash == hash && self.salt == salt && self.iterations == iterations
    }
}

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
