//! The key sequence: each request proves that it comes from whoever sent the one before it (XEP-0124 §15).

use alloc::string::String;
use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use crate::random::Random;
use crate::secret::Secret;

/// A sequence has at least so many keys, and up to twice as many: how many is not to be guessed (§15.3).
const SHORTEST: u16 = 256;

/// Where a sequence stands: K(1) is the hash of the seed, and each further key the hash of the one before it, in lower
/// case hexadecimal digits. They are used from the last to the first, so that nobody can tell the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) seed: Secret,
    /// Which key is to be shown next: 1 or more.
    pub(crate) next: u16,
}

impl Keys {
    /// A sequence that nobody knows, and its last key, which has to be announced (§15.4). That one is never shown itself.
    pub(super) fn new(random: &mut Random) -> (Self, String) {
        let seed = Secret::new(random.bytes::<32>());
        let length = SHORTEST + u16::try_from(random.range(0..=u64::from(SHORTEST))).unwrap_or_default();
        Self::announced(seed, length)
    }

    fn announced(seed: Secret, length: u16) -> (Self, String) {
        let last = key(&seed, length);
        let next = length.saturating_sub(1).max(1);
        (Self { seed, next }, last)
    }

    /// The key of the next request; and with the first of the sequence, which is used last, the announcement of another
    /// sequence (§15.6).
    pub(super) fn take(&mut self, random: &mut Random) -> (String, Option<String>) {
        let key = key(&self.seed, self.next);
        if self.next > 1 {
            self.next -= 1;
            return (key, None);
        }
        let (keys, announced) = Self::new(random);
        *self = keys;
        (key, Some(announced))
    }
}

/// K(`index`): at most a few hundred hashes of one block each, so the sequence itself need not be kept.
fn key(seed: &Secret, index: u16) -> String {
    let mut key = hex(&Sha1::digest(seed.expose()));
    for _ in 1..index {
        key = hex(&Sha1::digest(&key));
    }
    // Only digits.
    String::from_utf8(key).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + (value - 10) };
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_xep() {
        // XEP-0124 §15.3, examples: each is the hash of the digits of the one before.
        let seed = Secret::from("6f825e81f4532b2c5fa2d12457d8a1f22e8f838e");
        assert_eq!(key(&seed, 1), "bfb06a6f113cd6fd3838ab9d300fdb4fe3da2f7d");
        assert_eq!(key(&seed, 2), "ca393b51b682f61f98e7877d61146407f3d0a770");
    }

    #[test]
    fn a_sequence_is_used_backwards_and_the_next_one_announced_in_time() {
        let mut random = Random::new(&[7; 32]);
        let (mut keys, announced) = Keys::announced(Secret::from("epode-seed"), 5);
        assert_eq!(announced, "30f25610a36f5a86389dff15c2239c9fb33c0628");
        for expected in [
            "c5e489591d271de314cc3f8c9398fdad5eeeb226",
            "db47843d9df0b0cc314bd7daee9cb885eadc80f6",
            "8f6e4d3403797a8c672bbae6d17822155dcdd5c2",
        ] {
            assert_eq!(keys.take(&mut random), (expected.into(), None));
        }
        let (last, announced) = keys.take(&mut random);
        assert_eq!(last, "5135c346ee1b9cb277cbb39d7ba4dd8c5ff88b5b");
        let hash = |key: &str| String::from_utf8(hex(&Sha1::digest(key))).unwrap();
        let (next, none) = keys.take(&mut random);
        assert_eq!((Some(hash(&next)), none), (announced, None));
        assert!((SHORTEST - 2..=2 * SHORTEST - 2).contains(&keys.next), "{}", keys.next);
    }
}
