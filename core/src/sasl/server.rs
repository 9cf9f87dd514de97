//! The server's part of mechanisms with proofs, for the replay of a log that leaves the proofs out: the proof of the client is
//! checked as a server checks it, and the server's own is computed again.

use alloc::format;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{ChannelBindingType, Derivation, DerivedKey, ScramHash, encoding, prep};
use crate::Secret;
use crate::input::ChannelBindings;

/// What a replay may spend on one login: the engine's own bound is checked before.
const MAX_ITERATIONS: u32 = 10_000_000;

/// What the client of a replay knows.
#[derive(Clone, Debug)]
pub(crate) enum Knows {
    Password(Secret),
    Key(DerivedKey),
    Nothing,
}

/// The texts of one exchange of SCRAM (RFC 5802 §3), as they travel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'a> {
    pub(crate) mechanism: &'a str,
    pub(crate) client_first: &'a str,
    pub(crate) server_first: &'a str,
    pub(crate) client_final: &'a str,
}

/// The text of the server's last message, if the client has proved what it knows.
pub(crate) fn server_final(texts: Texts<'_>, knows: &Knows) -> Option<Zeroizing<Vec<u8>>> {
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
    let key = match knows {
        Knows::Password(password) => Derivation {
            hash,
            salt,
            iterations,
            password: prep::password(password).ok()?,
        }
        .run(),
        Knows::Key(key) => key.clone(),
        Knows::Nothing => return None,
    };
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

/// The same for HT (draft-schmaus-kitten-sasl-ht-09 §3), if the client has proved that it knows `token`.
pub(crate) fn token_final(
    mechanism: &str,
    initial: &str,
    token: &[u8],
    bindings: &ChannelBindings,
) -> Option<Zeroizing<Vec<u8>>> {
    let bound = match mechanism.strip_prefix("HT-SHA-256-")? {
        "NONE" => &[][..],
        "EXPR" => bindings.get(ChannelBindingType::TlsExporter)?,
        "UNIQ" => bindings.get(ChannelBindingType::TlsUnique)?,
        "ENDP" => bindings.get(ChannelBindingType::TlsServerEndPoint)?,
        _ => return None,
    };
    let tag = |name: &[u8]| {
        let mac = Hmac::<Sha256>::new_from_slice(token).ok()?;
        Some(mac.chain_update(name).chain_update(bound).finalize().into_bytes())
    };
    let message = Zeroizing::new(encoding::decode(initial).ok()?);
    let name = message.iter().position(|byte| *byte == 0)?;
    if message.get(name + 1..)? != tag(b"Initiator")?.as_slice() {
        return None;
    }
    Some(Zeroizing::new(encoding::encode(&tag(b"Responder")?).into_bytes()))
}

fn is_of(hash: ScramHash, mechanism: &str) -> bool {
    [false, true].iter().any(|bound| hash.mechanism(*bound) == mechanism)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3.
    #[test]
    fn the_example_of_the_rfc() {
        let text = |message: &str| encoding::encode(message.as_bytes());
        let proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        let (first, challenge, last) = (
            text("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"),
            text("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
            text(proof),
        );
        let texts = Texts {
            mechanism: "SCRAM-SHA-256",
            client_first: &first,
            server_first: &challenge,
            client_final: &last,
        };
        let expected = text("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(
            server_final(texts, &Knows::Password("pencil".into()))
                .unwrap()
                .as_slice(),
            expected.as_bytes()
        );
        assert_eq!(server_final(texts, &Knows::Password("pen".into())), None);
        let mechanism = "SCRAM-SHA-1";
        assert_eq!(
            server_final(Texts { mechanism, ..texts }, &Knows::Password("pencil".into())),
            None
        );
    }
}
