//! The server's side of SASL: EXTERNAL (XEP-0178), SCRAM (RFC 5802, RFC 7677) and PLAIN (RFC 4616).

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::CryptoProvider;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::User;
use crate::personality::{Habits, Refusal};
use crate::tls::{Peer, Verdict};

pub(crate) const EXTERNAL: &str = "EXTERNAL";
pub(crate) const SCRAM_SHA_1: &str = "SCRAM-SHA-1";
pub(crate) const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
pub(crate) const PLAIN: &str = "PLAIN";

const MALFORMED: Refusal = Refusal::Because("malformed-request", None);
const BAD_AUTHZID: Refusal = Refusal::Because("invalid-authzid", None);

/// What the server does after a message of the client.
#[derive(Debug)]
pub(crate) enum Step {
    Challenge(Vec<u8>, Exchange),
    /// The user's name, and additional data with success.
    Success(String, Option<Vec<u8>>),
    Refuse(Refusal),
}

/// A started exchange: what it waits for.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// The mechanism is known, its first message is not.
    First(Mechanism),
    /// SCRAM's first two messages are done.
    ScramFinal(Box<Scram>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    External,
    Scram(Hash),
    Plain,
}

/// Users, their passwords, and the source of randomness.
#[derive(Debug)]
pub(crate) struct Accounts {
    passwords: BTreeMap<String, Option<String>>,
    keys: BTreeMap<(String, Hash), Keys>,
    iterations: u32,
    random: Arc<CryptoProvider>,
}

/// Everything a login is judged by.
#[derive(Debug)]
pub(crate) struct Circumstances<'a> {
    pub(crate) domain: &'a str,
    pub(crate) habits: &'static Habits,
    pub(crate) peer: &'a Peer,
}

#[derive(Debug)]
pub(crate) struct Scram {
    hash: Hash,
    user: Option<String>,
    keys: Keys,
    /// The GS2 header, byte for byte: the client repeats it in `c=`.
    gs2: String,
    nonce: String,
    /// `client-first-message-bare,server-first-message`.
    messages: String,
}

#[derive(Clone, Debug)]
struct Keys {
    salt: Vec<u8>,
    stored: Vec<u8>,
    server: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

impl Mechanism {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        match name {
            EXTERNAL => Some(Self::External),
            SCRAM_SHA_1 => Some(Self::Scram(Hash::Sha1)),
            SCRAM_SHA_256 => Some(Self::Scram(Hash::Sha256)),
            PLAIN => Some(Self::Plain),
            _ => None,
        }
    }
}

/// `<auth/>`: with an initial response, or with none at all.
pub(crate) fn start(
    mechanism: Mechanism,
    initial: Option<&[u8]>,
    accounts: &mut Accounts,
    now: &Circumstances<'_>,
) -> Step {
    match (mechanism, initial) {
        (Mechanism::External, None) if !now.habits.challenge_external => external(b"", accounts, now),
        (_, None) => Step::Challenge(Vec::new(), Exchange::First(mechanism)),
        (_, Some(message)) => first(mechanism, message, accounts, now),
    }
}

/// `<response/>`.
pub(crate) fn proceed(exchange: Exchange, message: &[u8], accounts: &mut Accounts, now: &Circumstances<'_>) -> Step {
    match exchange {
        Exchange::First(mechanism) => first(mechanism, message, accounts, now),
        Exchange::ScramFinal(scram) => scram.finish(message, now.habits.wrong_password),
    }
}

fn first(mechanism: Mechanism, message: &[u8], accounts: &mut Accounts, now: &Circumstances<'_>) -> Step {
    match mechanism {
        Mechanism::External => external(message, accounts, now),
        Mechanism::Scram(hash) => Scram::begin(hash, message, accounts),
        Mechanism::Plain => plain(message, accounts, now),
    }
}

/// XEP-0178 §2, with each server's own refusals.
fn external(message: &[u8], accounts: &Accounts, now: &Circumstances<'_>) -> Step {
    let habits = now.habits;
    match now.peer.verdict {
        Verdict::Trusted => {}
        Verdict::Absent => return Step::Refuse(habits.no_certificate),
        Verdict::SelfSigned => return Step::Refuse(habits.self_signed),
        Verdict::Untrusted => return Step::Refuse(habits.untrusted),
        Verdict::Expired => return Step::Refuse(habits.expired),
        Verdict::NotYetValid => return Step::Refuse(habits.not_yet_valid),
    }
    let Ok(wanted) = core::str::from_utf8(message) else {
        return Step::Refuse(MALFORMED);
    };
    let named: Vec<String> = now
        .peer
        .names
        .iter()
        .filter(|n| habits.ia5_names || !n.ia5)
        .map(|n| bare(&n.jid))
        .collect();
    if named.is_empty() {
        return Step::Refuse(habits.no_name);
    }
    let ours: Vec<&str> = named.iter().filter_map(|jid| local_part(jid, now.domain)).collect();
    let chosen = if wanted.is_empty() {
        match ours.as_slice() {
            [only] => Some(*only),
            [first, ..] if habits.first_of_several => Some(*first),
            _ => None,
        }
    } else {
        // XEP-0178 §2 step 11: the identity asked for must be one that the certificate names.
        let wanted = bare(wanted);
        ours.iter()
            .copied()
            .find(|local| local_part(&wanted, now.domain) == Some(*local))
    };
    match chosen {
        Some(user) if accounts.passwords.contains_key(user) => Step::Success(user.to_owned(), None),
        Some(_) | None => Step::Refuse(habits.other_name),
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn plain(message: &[u8], accounts: &Accounts, now: &Circumstances<'_>) -> Step {
    let parts: Vec<&str> = match core::str::from_utf8(message) {
        Ok(text) => text.split('\0').collect(),
        Err(_) => return Step::Refuse(MALFORMED),
    };
    let [authzid, user, password] = parts.as_slice() else {
        return Step::Refuse(MALFORMED);
    };
    let known = accounts.passwords.get(*user).and_then(Option::as_deref);
    if !known.is_some_and(|known| bool::from(known.as_bytes().ct_eq(password.as_bytes()))) {
        return Step::Refuse(now.habits.wrong_password);
    }
    if !authzid.is_empty() && local_part(&bare(authzid), now.domain) != Some(*user) {
        return Step::Refuse(BAD_AUTHZID);
    }
    Step::Success((*user).to_owned(), None)
}

impl Scram {
    /// RFC 5802 §7: client-first in, server-first out.
    fn begin(hash: Hash, message: &[u8], accounts: &mut Accounts) -> Step {
        let Some((gs2, bare_message, user, client_nonce)) = client_first(message) else {
            return Step::Refuse(MALFORMED);
        };
        let keys = accounts.keys(&user, hash);
        let nonce = format!("{client_nonce}{}", STANDARD.encode(accounts.random_bytes::<18>()));
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), accounts.iterations);
        let known = accounts.passwords.get(&user).is_some_and(Option::is_some);
        let scram = Self {
            hash,
            user: known.then_some(user),
            keys,
            gs2,
            nonce,
            messages: format!("{bare_message},{server_first}"),
        };
        Step::Challenge(server_first.into_bytes(), Exchange::ScramFinal(Box::new(scram)))
    }

    /// RFC 5802 §3: client-final in, the server's proof out.
    fn finish(self, message: &[u8], wrong: Refusal) -> Step {
        let Ok(message) = core::str::from_utf8(message) else {
            return Step::Refuse(MALFORMED);
        };
        let Some((without_proof, proof)) = message.rsplit_once(",p=") else {
            return Step::Refuse(MALFORMED);
        };
        let expected = format!("c={},r={}", STANDARD.encode(&self.gs2), self.nonce);
        // Extensions may follow the nonce; what precedes them must be exactly this.
        if without_proof != expected && !without_proof.starts_with(&format!("{expected},")) {
            return Step::Refuse(MALFORMED);
        }
        let Ok(proof) = STANDARD.decode(proof) else {
            return Step::Refuse(MALFORMED);
        };
        let auth_message = format!("{},{without_proof}", self.messages);
        let signature = self.hash.hmac(&self.keys.stored, auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let genuine = proof.len() == signature.len()
            && bool::from(
                self.hash
                    .digest(&client_key)
                    .as_slice()
                    .ct_eq(self.keys.stored.as_slice()),
            );
        match self.user {
            Some(user) if genuine => {
                let server = self.hash.hmac(&self.keys.server, auth_message.as_bytes());
                Step::Success(user, Some(format!("v={}", STANDARD.encode(server)).into_bytes()))
            }
            Some(_) | None => Step::Refuse(wrong),
        }
    }
}

/// GS2 header, bare message, user name and nonce of a client-first-message.
fn client_first(message: &[u8]) -> Option<(String, String, String, String)> {
    let message = core::str::from_utf8(message).ok()?;
    let mut parts = message.splitn(3, ',');
    let (flag, authzid, bare_message) = (parts.next()?, parts.next()?, parts.next()?);
    // No PLUS mechanism is offered, so a client may say `y` but not ask for a binding (RFC 5802 §6).
    // An authorization identity in SCRAM is not supported here.
    if !matches!(flag, "n" | "y") || !authzid.is_empty() {
        return None;
    }
    let mut attributes = bare_message.split(',');
    let user = attributes.next()?.strip_prefix("n=")?;
    let nonce = attributes.next()?.strip_prefix("r=")?;
    if nonce.is_empty() || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let gs2 = format!("{flag},{authzid},");
    Some((gs2, bare_message.to_owned(), saslname(user)?, nonce.to_owned()))
}

/// RFC 5802 §5.1: `=2C` is a comma, `=3D` an equals sign, and any other `=` is an error.
fn saslname(name: &str) -> Option<String> {
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

impl Accounts {
    pub(crate) fn new(users: &[User], iterations: u32, random: Arc<CryptoProvider>) -> Self {
        let passwords = users
            .iter()
            .map(|user| (user.name.to_lowercase(), user.password.clone()))
            .collect();
        Self {
            passwords,
            keys: BTreeMap::new(),
            iterations,
            random,
        }
    }

    pub(crate) fn exists(&self, user: &str) -> bool {
        self.passwords.contains_key(user)
    }

    pub(crate) fn any_password(&self) -> bool {
        self.passwords.values().any(Option::is_some)
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        if self.random.secure_random.fill(&mut bytes).is_err() {
            // Without randomness there is no session identifier that could be kept secret.
            std::process::abort();
        }
        bytes
    }

    /// A user's keys, derived once. An unknown user gets random ones, so that the exchange looks the same (RFC 5802 §9).
    fn keys(&mut self, user: &str, hash: Hash) -> Keys {
        if let Some(keys) = self.keys.get(&(user.to_owned(), hash)) {
            return keys.clone();
        }
        let salt = self.random_bytes::<16>().to_vec();
        let Some(password) = self.passwords.get(user).and_then(Option::as_deref) else {
            let (stored, server) = (self.random_bytes::<32>().to_vec(), self.random_bytes::<32>().to_vec());
            return Keys { salt, stored, server };
        };
        let salted = hash.salted(password.as_bytes(), &salt, self.iterations);
        let stored = hash.digest(&hash.hmac(&salted, b"Client Key"));
        let keys = Keys {
            salt,
            stored,
            server: hash.hmac(&salted, b"Server Key"),
        };
        self.keys.insert((user.to_owned(), hash), keys.clone());
        keys
    }
}

impl Hash {
    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            // HMAC takes a key of any length, so neither branch can fail.
            Self::Sha1 => {
                Hmac::<Sha1>::new_from_slice(key).map(|m| m.chain_update(data).finalize().into_bytes().to_vec())
            }
            Self::Sha256 => {
                Hmac::<Sha256>::new_from_slice(key).map(|m| m.chain_update(data).finalize().into_bytes().to_vec())
            }
        }
        .unwrap_or_default()
    }

    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        match self {
            Self::Sha1 => {
                let mut out = [0; 20];
                pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut out);
                out.to_vec()
            }
            Self::Sha256 => {
                let mut out = [0; 32];
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out);
                out.to_vec()
            }
        }
    }
}

/// A JID without its resource, in lower case.
pub(crate) fn bare(jid: &str) -> String {
    jid.split('/').next().unwrap_or_default().to_lowercase()
}

/// The local part of a bare JID, where its domain is ours.
pub(crate) fn local_part<'a>(jid: &'a str, domain: &str) -> Option<&'a str> {
    jid.split_once('@')
        .filter(|(local, host)| !local.is_empty() && host.eq_ignore_ascii_case(domain))
        .map(|(local, _)| local)
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
            "p=tls-exporter,,n=a,r=b",
            "n,,n=,r=b",
            "n,,n=a=,r=b",
            "n,,r=b,n=a",
            "n,,n=a,r=",
            "n,,m=x,n=a,r=b",
        ] {
            assert_eq!(client_first(message.as_bytes()), None, "{message}");
        }
        assert_eq!(client_first(b"n,,n=a=2Cb=3D,r=x").unwrap().2, "a,b=");
    }

    #[test]
    fn derives_the_keys_of_rfc_7677() {
        // RFC 7677 §3: user "user", password "pencil", 4096 rounds; the proof of its example must be accepted.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted = Hash::Sha256.salted(b"pencil", &salt, 4096);
        let keys = Keys {
            stored: Hash::Sha256.digest(&Hash::Sha256.hmac(&salted, b"Client Key")),
            server: Hash::Sha256.hmac(&salted, b"Server Key"),
            salt,
        };
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let scram = Scram {
            hash: Hash::Sha256,
            user: Some("user".into()),
            keys,
            gs2: "n,,".into(),
            nonce: nonce.into(),
            messages: format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
        };
        let last = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let Step::Success(user, Some(data)) = scram.finish(last.as_bytes(), MALFORMED) else {
            panic!("refused")
        };
        assert_eq!(
            (user.as_str(), data.as_slice()),
            ("user", &b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="[..])
        );
    }
}
