//! The server's part of SCRAM (RFC 5802 §3), for the replay of a log that leaves the proofs out: the proof of the client is
//! checked as a server checks it, and the server's own is computed again.

use alloc::format;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{Derivation, ScramHash, encoding, prep};
use crate::Secret;

/// What a replay may spend on one login: the engine's own bound is checked before.
const MAX_ITERATIONS: u32 = 10_000_000;

/// The texts of one exchange, as they travel in the SASL1 profile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'a> {
    pub(crate) mechanism: &'a str,
    pub(crate) client_first: &'a str,
    pub(crate) server_first: &'a str,
    pub(crate) client_final: &'a str,
}

/// The text of the server's last message, if the client has proved that it knows `password`.
pub(crate) fn server_final(texts: Texts<'_>, password: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let hash = ScramHash::ALL.into_iter().find(|hash| is_of(*hash, texts.mechanism))?;
    let decoded = |text: &str| encoding::decode(text).ok().map(Zeroizing::new);
    let client_first = decoded(texts.client_first)?;
    let server_first = decoded(texts.server_first)?;
    let client_final = decoded(texts.client_final)?;
    let client_first = core::str::from_utf8(&client_first).ok()?;
    let server_first = core::str::from_utf8(&server_first).ok()?;
    let client_final = core::str::from_utf8(&client_final).ok()?;
    // RFC 5802 §7: the GS2 header has two commas.
    let bare = client_first.splitn(3, ',').nth(2)?;
    let (without_proof, proof) = client_final.rsplit_once(",p=")?;
    let proof = Zeroizing::new(encoding::decode(proof).ok()?);
    let field = |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name));
    let salt = encoding::decode(field("s=")?).ok()?;
    let iterations = field("i=")?
        .parse()
        .ok()
        .filter(|count| (1..=MAX_ITERATIONS).contains(count))?;
    let password = prep::password(password).ok()?;
    let key = Derivation {
        hash,
        salt,
        iterations,
        password,
    }
    .run();
    let message = format!("{bare},{server_first},{without_proof}");
    let stored_key = hash.digest(&key.client_key);
    let signature = hash.hmac(&stored_key, message.as_bytes());
    // ClientKey := ClientProof XOR ClientSignature, and its hash has to be the StoredKey.
    let client_key: Vec<u8> = proof.iter().zip(signature.expose()).map(|(a, b)| a ^ b).collect();
    if proof.len() != signature.expose().len() || hash.digest(&Secret::new(client_key)) != stored_key {
        return None;
    }
    let verifier = hash.hmac(&key.server_key, message.as_bytes());
    let message = Zeroizing::new(format!("v={}", encoding::encode(verifier.expose())));
    Some(Zeroizing::new(encoding::encode(message.as_bytes()).into_bytes()))
}

fn is_of(hash: ScramHash, mechanism: &str) -> bool {
    [false, true].iter().any(|bound| hash.mechanism(*bound) == mechanism)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::vectors::{rows, text};

    const VECTORS: &str = include_str!("../../../tests/vectors/scram.json");

    /// What a server of the vectors says at the end, and what it says to another password or under another name.
    #[test]
    fn servers_of_all_hashes() {
        let mut mechanisms = alloc::collections::BTreeSet::new();
        for row in rows(VECTORS, "exchanges").into_iter().chain(rows(VECTORS, "servers")) {
            let encoded = |field| encoding::encode(text(&row, field).as_bytes());
            let (first, challenge, last) = (
                encoded("client_first"),
                encoded("server_first"),
                encoded("client_final"),
            );
            let mechanism = text(&row, "mechanism");
            let texts = Texts {
                mechanism: &mechanism,
                client_first: &first,
                server_first: &challenge,
                client_final: &last,
            };
            let password = Secret::from(text(&row, "password"));
            // A server may add an extension, which this one does not.
            let expected = text(&row, "server_final");
            let proof = expected.split(',').next().unwrap_or_default();
            assert_eq!(
                server_final(texts, &password).unwrap().as_slice(),
                encoding::encode(proof.as_bytes()).as_bytes(),
                "{row}"
            );
            assert_eq!(server_final(texts, &Secret::from("pen")), None, "{row}");
            for other in ScramHash::ALL.map(|hash| hash.mechanism(false)) {
                if mechanism.trim_end_matches("-PLUS") != other {
                    let mechanism = other;
                    assert_eq!(server_final(Texts { mechanism, ..texts }, &password), None, "{row}");
                }
            }
            mechanisms.insert(mechanism);
        }
        for hash in ScramHash::ALL {
            assert!(mechanisms.iter().any(|mechanism| is_of(hash, mechanism)), "{hash:?}");
        }
    }
}
