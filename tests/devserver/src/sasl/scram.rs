//! SCRAM (RFC 5802, RFC 7677), with channel binding and with the hash of XEP-0474.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::{BAD_AUTHZID, Circumstances, Exchange, MALFORMED, Proved, Step, bare, local_part};
use crate::accounts::{Accounts, Keys};
use crate::offer::Advert;
use crate::personality::Refusal;
use crate::{DowngradeHash, ScramHash};

/// RFC 5802 §7 has names for these refusals, and XMPP has no place for them but the text.
const NO_BINDING: Refusal = because("unsupported-channel-binding-type");
const NO_PLUS: Refusal = because("channel-binding-not-supported");
const DOWNGRADED: Refusal = because("server-does-support-channel-binding");
const OTHER_CHANNEL: Refusal = because("channel-bindings-dont-match");

const fn because(text: &'static str) -> Refusal {
    Refusal::Because("malformed-request", Some(text))
}

/// An exchange whose first two messages are done.
#[derive(Debug)]
pub(crate) struct Scram {
    hash: ScramHash,
    user: Option<String>,
    keys: Keys,
    authzid: Option<String>,
    /// The GS2 header, byte for byte: the client repeats it in `c=`.
    gs2: String,
    /// What follows it there.
    binding: Vec<u8>,
    nonce: String,
    /// `client-first-message-bare,server-first-message`.
    messages: String,
}

impl Scram {
    /// RFC 5802 §7: client-first in, server-first out.
    pub(crate) fn begin(
        hash: ScramHash,
        plus: bool,
        message: &[u8],
        accounts: &mut Accounts,
        now: &Circumstances<'_>,
    ) -> Step {
        let Some(first) = First::read(message) else {
            return Step::Refuse(MALFORMED);
        };
        let binding = match (first.flag.as_str(), plus) {
            ("n", false) => Vec::new(),
            // RFC 5802 §6: the client thinks that no -PLUS was offered. Somebody took it away.
            ("y", false) if now.offered().iter().any(|name| name.ends_with("-PLUS")) => {
                return Step::Refuse(DOWNGRADED);
            }
            ("y", false) => Vec::new(),
            ("n" | "y", true) => return Step::Refuse(MALFORMED),
            (_, false) => return Step::Refuse(NO_PLUS),
            (flag, true) => match now.peer.bindings.get(flag.strip_prefix("p=").unwrap_or_default()) {
                Some(data) => data.to_vec(),
                None => return Step::Refuse(NO_BINDING),
            },
        };
        let keys = accounts.keys(&first.user, hash, now.options);
        let user = keys.is_some().then_some(first.user);
        let keys = keys.unwrap_or_else(|| accounts.no_keys(hash, now.options));
        let nonce = format!("{}{}", first.nonce, STANDARD.encode(accounts.random_bytes::<18>()));
        let mut server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        if let Some(value) = downgrade_hash(hash, now) {
            server_first.push_str(&format!(",h={}", STANDARD.encode(value)));
        }
        let scram = Self {
            hash,
            user,
            keys,
            authzid: first.authzid,
            gs2: first.gs2,
            binding,
            nonce,
            messages: format!("{},{server_first}", first.bare),
        };
        Step::Challenge(server_first.into_bytes(), Exchange::ScramFinal(Box::new(scram)))
    }

    /// RFC 5802 §3: client-final in, the server's proof out.
    pub(crate) fn finish(self, message: &[u8], now: &Circumstances<'_>) -> Step {
        let (server, user) = match self.verify(message, now.habits.wrong_password) {
            Ok(proved) => proved,
            Err(why) => return Step::Refuse(why),
        };
        if let Some(authzid) = self.authzid
            && local_part(&bare(&authzid), now.domain) != Some(user.as_str())
        {
            return Step::Refuse(BAD_AUTHZID);
        }
        let proof = now.options.proof.of(server);
        Step::Success(Proved {
            user,
            data: proof.map(|proof| format!("v={}", STANDARD.encode(proof)).into_bytes()),
            ..Proved::default()
        })
    }

    /// The server's signature and the user, if the client's proof is right.
    fn verify(&self, message: &[u8], wrong: Refusal) -> Result<(Vec<u8>, String), Refusal> {
        let message = core::str::from_utf8(message).map_err(|_| MALFORMED)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(MALFORMED)?;
        let expected = format!(
            "c={},r={}",
            STANDARD.encode([self.gs2.as_bytes(), &self.binding].concat()),
            self.nonce
        );
        // Extensions may follow the nonce; what precedes them must be exactly this.
        if without_proof != expected && !without_proof.starts_with(&format!("{expected},")) {
            return Err(if self.binding.is_empty() {
                MALFORMED
            } else {
                OTHER_CHANNEL
            });
        }
        let proof = STANDARD.decode(proof).map_err(|_| MALFORMED)?;
        let auth_message = format!("{},{without_proof}", self.messages);
        let signature = self.hash.hmac(&self.keys.stored, auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let digest = self.hash.digest(&client_key);
        let genuine =
            proof.len() == signature.len() && bool::from(digest.as_slice().ct_eq(self.keys.stored.as_slice()));
        match &self.user {
            Some(user) if genuine => {
                let server = self.hash.hmac(&self.keys.server, auth_message.as_bytes());
                Ok((server, user.clone()))
            }
            Some(_) | None => Err(wrong),
        }
    }
}

/// XEP-0474 §4: what was offered, sorted, under the mechanism's hash.
fn downgrade_hash(hash: ScramHash, now: &Circumstances<'_>) -> Option<Vec<u8>> {
    let text = offered(now.offered(), now.advert);
    match now.options.downgrade_hash {
        DowngradeHash::Absent => None,
        DowngradeHash::Right => Some(hash.digest(text.as_bytes())),
        DowngradeHash::Wrong => Some(hash.digest(format!("{text}\u{1e}WHAT-WAS-TAKEN-AWAY").as_bytes())),
    }
}

fn offered(mechanisms: &[String], advert: &Advert) -> String {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list.join("\u{1e}")
    };
    let mut text = sorted(mechanisms);
    if !advert.bindings.is_empty() {
        text.push_str(&format!("\u{1f}{}", sorted(&advert.bindings)));
    }
    text
}

/// The parts of a client-first-message.
#[derive(Debug, PartialEq, Eq)]
struct First {
    flag: String,
    authzid: Option<String>,
    gs2: String,
    bare: String,
    user: String,
    nonce: String,
}

impl First {
    fn read(message: &[u8]) -> Option<Self> {
        let message = core::str::from_utf8(message).ok()?;
        let mut parts = message.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        let is_flag = matches!(flag, "n" | "y") || flag.strip_prefix("p=").is_some_and(|kind| !kind.is_empty());
        if !is_flag {
            return None;
        }
        let wanted = match authzid {
            "" => None,
            authzid => Some(saslname(authzid.strip_prefix("a=")?)?),
        };
        let mut attributes = bare.split(',');
        let user = attributes.next()?.strip_prefix("n=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if nonce.is_empty() || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        Some(Self {
            flag: flag.to_owned(),
            authzid: wanted,
            gs2: format!("{flag},{authzid},"),
            bare: bare.to_owned(),
            user: saslname(user)?,
            nonce: nonce.to_owned(),
        })
    }
}

/// RFC 5802 §5.1: `=2C` is a comma, `=3D` an equals sign, and any other `=` is an error.
pub(super) fn saslname(name: &str) -> Option<String> {
    let mut pieces = name.split('=');
    let mut out = pieces.next()?.to_owned();
    for piece in pieces {
        match (piece.strip_prefix("2C"), piece.strip_prefix("3D")) {
            (Some(rest), _) => out.extend([",", rest]),
            (None, Some(rest)) => out.extend(["=", rest]),
            (None, None) => return None,
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_first_messages_that_must_not_pass() {
        for message in [
            "",
            "n,,",
            "n,,n=a",
            "p=,,n=a,r=b",
            "n,x,n=a,r=b",
            "n,,n=,r=b",
            "n,,n=a=,r=b",
            "n,,r=b,n=a",
            "n,,n=a,r=",
            "n,,m=x,n=a,r=b",
        ] {
            assert_eq!(First::read(message.as_bytes()), None, "{message}");
        }
        assert_eq!(First::read(b"n,,n=a=2Cb=3D,r=x").unwrap().user, "a,b=");
    }

    #[test]
    fn derives_the_keys_of_rfc_7677() {
        // RFC 7677 §3: user "user", password "pencil", 4096 rounds; the proof of its example must be accepted.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = ScramHash::Sha256.salted(b"pencil", &salt, 4096);
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let scram = Scram {
            hash: ScramHash::Sha256,
            user: Some("user".into()),
            keys: Keys::from_salted(ScramHash::Sha256, &salted, salt, 4096),
            authzid: None,
            gs2: "n,,".into(),
            binding: Vec::new(),
            nonce: nonce.into(),
            messages: format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        };
        let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let (server, user) = scram.verify(last.as_bytes(), MALFORMED).unwrap();
        assert_eq!(user, "user");
        assert_eq!(STANDARD.encode(server), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn the_hash_of_an_offer_is_the_one_that_prosody_sends() {
        let names = |list: &[&str]| list.iter().copied().map(str::to_owned).collect::<Vec<_>>();
        let advert = Advert {
            bindings: names(&["tls-exporter", "tls-server-end-point"]),
            ..Advert::default()
        };
        let mechanisms = names(&[
            "SCRAM-SHA-256",
            "SCRAM-SHA-256-PLUS",
            "PLAIN",
            "SCRAM-SHA-1-PLUS",
            "SCRAM-SHA-1",
        ]);
        let digest = ScramHash::Sha1.digest(offered(&mechanisms, &advert).as_bytes());
        assert_eq!(STANDARD.encode(digest), "nAaaESufDLNmGNNHipta8+ZS38I=");
    }
}
