//! SCRAM's slow step as an object that any thread can run, and the key that comes out of it.

use std::fmt;
use std::sync::Arc;

use epode::Secret;

use crate::Refused;

/// The one long computation of a login: PBKDF2 with HMAC (RFC 8018 §5.2), one block of output. It needs neither its client nor its
/// client's thread; what it knows is overwritten when it goes.
#[derive(PartialEq, Eq, uniffi::Object)]
pub struct Derivation {
    inputs: epode::Derivation,
}

#[uniffi::export]
impl Derivation {
    /// Runs for as long as the iterations take.
    #[must_use]
    pub fn run(&self) -> Arc<DerivedKey> {
        Arc::new(DerivedKey { key: self.inputs.run() })
    }

    /// The key, from what a PBKDF2 of the platform's made of [`password`](Self::password): as many bytes as the hash has.
    pub fn with_salted_password(&self, salted_password: &[u8]) -> Result<Arc<DerivedKey>, Refused> {
        let (bytes, wanted) = (salted_password.len(), self.inputs.hash.output_bytes());
        if bytes != wanted {
            return Err(Refused::Key {
                why: format!("a salted password of this hash has {wanted} bytes, not {bytes}"),
            });
        }
        let key = self.inputs.with_salted_password(&Secret::new(salted_password));
        Ok(Arc::new(DerivedKey { key }))
    }

    /// The hash.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        ScramHash::from_core(self.inputs.hash)
    }

    /// The salt: the server's.
    #[must_use]
    pub fn salt(&self) -> Vec<u8> {
        self.inputs.salt.clone()
    }

    /// How many iterations.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.inputs.iterations
    }

    /// The password as it goes into PBKDF2: wipe the copy.
    #[must_use]
    pub fn password(&self) -> Vec<u8> {
        self.inputs.password.expose().to_vec()
    }
}

impl Derivation {
    pub(crate) fn new(inputs: epode::Derivation) -> Arc<Self> {
        Arc::new(Self { inputs })
    }
}

impl fmt::Debug for Derivation {
    /// Never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Derivation")
            .field(&self.hash())
            .field(&self.iterations())
            .finish_non_exhaustive()
    }
}

/// What a password became for one salt and iteration count. It logs in to this server as well as the password does, and is overwritten
/// when it goes.
#[derive(PartialEq, Eq, uniffi::Object)]
pub struct DerivedKey {
    key: epode::DerivedKey,
}

#[uniffi::export]
impl DerivedKey {
    /// From what [`to_bytes`](Self::to_bytes) gave.
    #[uniffi::constructor]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refused> {
        epode::DerivedKey::from_bytes(bytes)
            .map(|key| Self { key })
            .map_err(|error| Refused::Key { why: error.to_string() })
    }

    /// As bytes, to be kept where secrets are kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.key.to_bytes().expose().to_vec()
    }

    /// The hash that it is for.
    #[must_use]
    pub fn hash(&self) -> ScramHash {
        ScramHash::from_core(self.key.hash())
    }
}

impl DerivedKey {
    pub(crate) fn core(&self) -> &epode::DerivedKey {
        &self.key
    }
}

impl fmt::Debug for DerivedKey {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey(redacted)")
    }
}

/// The hash that a SCRAM mechanism is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ScramHash {
    /// SHA-1: 20 bytes.
    Sha1,
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-384: 48 bytes.
    Sha384,
    /// SHA-512: 64 bytes.
    Sha512,
    /// One that this version of the interface has no name for.
    Other,
}

impl ScramHash {
    fn from_core(hash: epode::ScramHash) -> Self {
        match hash {
            epode::ScramHash::Sha1 => Self::Sha1,
            epode::ScramHash::Sha256 => Self::Sha256,
            epode::ScramHash::Sha384 => Self::Sha384,
            epode::ScramHash::Sha512 => Self::Sha512,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    fn derivation() -> Arc<Derivation> {
        Derivation::new(epode::Derivation {
            hash: epode::ScramHash::Sha256,
            salt: b"[m\x99h\x9d\x125\x8e\xec\xa0K\x14\x126\xfa\x81".to_vec(),
            iterations: 4096,
            password: Secret::new("pencil"),
        })
    }

    #[test]
    fn a_key_survives_as_bytes() {
        let derivation = derivation();
        let key = std::thread::spawn({
            let derivation = Arc::clone(&derivation);
            move || derivation.run()
        });
        let key = key.join().unwrap();
        assert_eq!(*key, DerivedKey::from_bytes(&key.to_bytes()).unwrap());
        assert_eq!((key.hash(), derivation.hash()), (ScramHash::Sha256, ScramHash::Sha256));
        let mut damaged = key.to_bytes();
        damaged.pop();
        assert!(matches!(DerivedKey::from_bytes(&damaged), Err(Refused::Key { .. })));
    }

    #[test]
    fn a_platform_s_pbkdf2_gives_the_same_key() {
        let derivation = derivation();
        // RFC 7677 §3, by another implementation of PBKDF2.
        let salted: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| {
                let hex = "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d";
                u8::from_str_radix(&hex[at..at + 2], 16).unwrap()
            })
            .collect();
        assert_eq!(derivation.with_salted_password(&salted).unwrap(), derivation.run());
        let refused = derivation.with_salted_password(&salted[1..]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a salted password of this hash has 32 bytes, not 31"
        );
    }

    #[test]
    fn neither_password_nor_key_is_shown() {
        let derivation = derivation();
        let shown = format!("{derivation:?} {:?}", derivation.run());
        assert_eq!(shown, "Derivation(Sha256, 4096, ..) DerivedKey(redacted)");
    }
}
