//! An HMAC-DRBG over the host's seed.
//!
//! The core has no source of randomness: the host gives a seed once, and every nonce and id comes from it, so that the same inputs
//! give the same bytes. The generator is HMAC_DRBG with SHA-256 (NIST SP 800-90A §10.1.2), without reseeding: its bound of 2^48
//! requests is far beyond the life of a session.

use alloc::string::String;
use core::{fmt, ops::RangeInclusive};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A deterministic stream of unpredictable bytes. It is not `Clone`: a copy would repeat nonces.
#[derive(ZeroizeOnDrop)]
pub(crate) struct Random {
    key: [u8; 32],
    value: [u8; 32],
}

impl Random {
    /// Starts the stream. The seed must come from the operating system's generator and be used once.
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Self::instantiate(seed)
    }

    /// Fills `out` with the next bytes.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        // NIST SP 800-90A table 2: at most 2^19 bits a request.
        for request in out.chunks_mut(1 << 16) {
            for block in request.chunks_mut(32) {
                self.value = hmac(&self.key, &[&self.value]);
                for (to, from) in block.iter_mut().zip(&self.value) {
                    *to = *from;
                }
            }
            self.update(None);
        }
    }

    /// The next `N` bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A nonce: 192 bits as 32 printable characters without a comma (RFC 5802 §5.1, attribute `r`).
    pub(crate) fn token(&mut self) -> String {
        STANDARD.encode(self.bytes::<24>())
    }

    /// An id that nobody can guess: 128 bits as 26 lower-case letters and digits (the base32 alphabet of RFC 4648 §6).
    pub(crate) fn id(&mut self) -> String {
        let bits = u128::from_be_bytes(self.bytes());
        (0..26u32)
            .rev()
            .map(|place| {
                let digit = (bits >> (place * 5) & 31) as u8;
                char::from(if digit < 26 { b'a' + digit } else { b'2' + (digit - 26) })
            })
            .collect()
    }

    /// A UUID of version 4 (RFC 9562 §5.4).
    pub(crate) fn uuid(&mut self) -> String {
        let mut text = String::with_capacity(36);
        for (at, byte) in self.bytes::<16>().into_iter().enumerate() {
            let byte = match at {
                6 => byte & 0x0f | 0x40,
                8 => byte & 0x3f | 0x80,
                _ => byte,
            };
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        text
    }

    /// A number of the range, each equally likely. An empty range gives its start.
    pub(crate) fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        let Some(span) = high.checked_sub(low) else { return low };
        let Some(count) = span.checked_add(1) else {
            return u64::from_be_bytes(self.bytes());
        };
        // Of the 2^64 draws only a whole multiple of `count` may be used, or low numbers would be likelier.
        let unfair = (u64::MAX % count + 1) % count;
        loop {
            let draw = u64::from_be_bytes(self.bytes());
            if draw <= u64::MAX - unfair {
                return low + draw % count;
            }
        }
    }

    // NIST SP 800-90A §10.1.2.3
    fn instantiate(seed_material: &[u8]) -> Self {
        let mut random = Self {
            key: [0; 32],
            value: [1; 32],
        };
        random.update(Some(seed_material));
        random
    }

    // NIST SP 800-90A §10.1.2.2
    fn update(&mut self, data: Option<&[u8]>) {
        self.key = hmac(&self.key, &[&self.value, &[0], data.unwrap_or_default()]);
        self.value = hmac(&self.key, &[&self.value]);
        if let Some(data) = data {
            self.key = hmac(&self.key, &[&self.value, &[1], data]);
            self.value = hmac(&self.key, &[&self.value]);
        }
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(redacted)")
    }
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC pads a short key with zeros to one block (RFC 2104 §2), so a padded key is the same key and no length can be wrong.
    let mut block = Zeroizing::new([0; 64]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    let mut tag = mac.finalize().into_bytes();
    let out = tag.into();
    tag.as_mut_slice().zeroize();
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec::Vec};

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    // NIST CAVS, HMAC_DRBG, SHA-256, no reseed, no personalisation, COUNT 0: the second of two requests of 1024 bits.
    #[test]
    fn matches_the_published_vector() {
        let mut random = Random::instantiate(&unhex(concat!(
            "ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488",
            "659ba96c601dc69fc902940805ec0ca8"
        )));
        random.bytes::<128>();
        let expected = concat!(
            "e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89d54fbb978a15b5c443c9ec21036d2460b6f73ebad0dc2aba6e624abf07745bc1",
            "07694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8"
        );
        assert_eq!(random.bytes::<128>().to_vec(), unhex(expected));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let seed = core::array::from_fn(|i| i as u8);
        let mut random = Random::new(&seed);
        // Computed by a second implementation, with requests of 16 and 40 bytes.
        assert_eq!(random.bytes::<16>().to_vec(), unhex("3226437dd9f98b17591aad7313833032"));
        let expected = "68ddf0df052af113ad632143c8039de47a598a6186f18fd474eac12f1dece4759b0c76f764a0c326";
        assert_eq!(random.bytes::<40>().to_vec(), unhex(expected));
    }

    #[test]
    fn tokens_and_ids_fit_where_they_go() {
        let mut random = Random::new(&[7; 32]);
        for _ in 0..200 {
            let token = random.token();
            assert_eq!(token.len(), 32);
            assert!(token.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b','));
            let id = random.id();
            assert_eq!(id.len(), 26);
            assert!(id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7')));
            assert_ne!(random.id(), id);
        }
    }

    #[test]
    fn ranges_reach_their_ends_and_no_further() {
        let mut random = Random::new(&[7; 32]);
        let mut seen = [false; 3];
        for _ in 0..200 {
            seen[usize::try_from(random.range(5..=7)).unwrap() - 5] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(random.range(9..=9), 9);
        #[expect(clippy::reversed_empty_ranges, reason = "an empty range is the case under test")]
        let empty = random.range(9..=3);
        assert_eq!(empty, 9);
        assert_ne!(random.range(0..=u64::MAX), random.range(0..=u64::MAX));
        // The lowest third of this range would get half of the draws if the unfair quarter of them were used.
        let low = (0..600).filter(|_| random.range(0..=(3 << 62) - 1) < 1 << 62).count();
        assert!((150..250).contains(&low), "{low} of 600");
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Random::new(&[7; 32])), "Random(redacted)");
    }
}
