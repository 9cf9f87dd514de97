//! The accounts: passwords, the keys derived from them, certificates and tokens; and the source of randomness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;

use crate::{Authentication, ScramHash, User};

/// More than that is announced to a client that is to refuse it, and never calculated.
const MOST_ITERATIONS: u32 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Accounts {
    all: BTreeMap<String, Account>,
    /// The personality's, where the options have none.
    iterations: u32,
    random: Arc<CryptoProvider>,
    last_token: u64,
}

#[derive(Default)]
struct Account {
    password: Option<String>,
    keys: BTreeMap<ScramHash, Keys>,
    certificates: Vec<Certificate>,
    tokens: Vec<Token>,
}

/// What SCRAM knows of a password (RFC 5802 §3).
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    pub(crate) stored: Vec<u8>,
    pub(crate) server: Vec<u8>,
    /// From the client itself (XEP-0480): good whatever the options say now.
    uploaded: bool,
}

/// A certificate that a user registered (XEP-0257).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) name: String,
    pub(crate) der: Vec<u8>,
    /// Who logs in with it may manage certificates.
    pub(crate) manages: bool,
}

/// A token of XEP-0484.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) agent: String,
    pub(crate) mechanism: String,
    pub(crate) secret: String,
    pub(crate) expiry: SystemTime,
    /// The highest `count` seen.
    pub(crate) count: u64,
}

impl Accounts {
    pub(crate) fn new(users: &[User], iterations: u32, random: Arc<CryptoProvider>) -> Self {
        let account = |user: &User| Account {
            password: user.password.clone(),
            ..Account::default()
        };
        Self {
            all: users
                .iter()
                .map(|user| (user.name.to_lowercase(), account(user)))
                .collect(),
            iterations,
            random,
            last_token: 0,
        }
    }

    pub(crate) fn exists(&self, user: &str) -> bool {
        self.all.contains_key(user)
    }

    pub(crate) fn any_password(&self) -> bool {
        self.all.values().any(|account| account.password.is_some())
    }

    pub(crate) fn password(&self, user: &str) -> Option<&str> {
        self.all.get(user)?.password.as_deref()
    }

    /// A new account, or a new password of an old one: what was derived from the old one is gone, and so are the tokens.
    pub(crate) fn set_password(&mut self, user: &str, password: Option<&str>) {
        let account = self.all.entry(user.to_owned()).or_default();
        account.password = password.map(str::to_owned);
        account.keys.clear();
        account.tokens.clear();
    }

    pub(crate) fn remove(&mut self, user: &str) {
        self.all.remove(user);
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        if self.random.secure_random.fill(&mut bytes).is_err() {
            // Without randomness there is no session identifier that could be kept secret.
            std::process::abort();
        }
        bytes
    }

    /// A user's keys, derived once. `None` where there is no password, or where the client was to bring this hash and did not.
    pub(crate) fn keys(&mut self, user: &str, hash: ScramHash, options: &Authentication) -> Option<Keys> {
        let iterations = self.iterations(options);
        let salt = self.random_bytes::<16>().to_vec();
        let account = self.all.get_mut(user)?;
        let known = account.keys.get(&hash);
        if let Some(keys) = known.filter(|keys| keys.uploaded || keys.iterations == iterations) {
            return Some(keys.clone());
        }
        let password = account.password.as_deref()?;
        if options.upgrades.contains(&hash) || iterations > MOST_ITERATIONS {
            return None;
        }
        let salted = hash.salted(password.as_bytes(), &salt, iterations);
        let keys = Keys::from_salted(hash, &salted, salt, iterations);
        account.keys.insert(hash, keys.clone());
        Some(keys)
    }

    /// Keys that no password has, so that the exchange of an unknown user looks like any other (RFC 5802 §9).
    pub(crate) fn no_keys(&self, hash: ScramHash, options: &Authentication) -> Keys {
        let random = |_| {
            self.random_bytes::<64>()
                .get(..hash.length())
                .unwrap_or_default()
                .to_vec()
        };
        Keys {
            salt: self.random_bytes::<16>().to_vec(),
            iterations: self.iterations(options),
            stored: random(()),
            server: random(()),
            uploaded: false,
        }
    }

    /// XEP-0480: the client has derived them.
    pub(crate) fn upload(&mut self, user: &str, hash: ScramHash, salted: &[u8], salt: Vec<u8>, iterations: u32) {
        if let Some(account) = self.all.get_mut(user) {
            let mut keys = Keys::from_salted(hash, salted, salt, iterations);
            keys.uploaded = true;
            account.keys.insert(hash, keys);
        }
    }

    /// The client was never asked for this hash, and nothing else has it.
    pub(crate) fn lacks(&self, user: &str, hash: ScramHash, options: &Authentication) -> bool {
        let uploaded = |account: &Account| account.keys.get(&hash).is_some_and(|keys| keys.uploaded);
        options.upgrades.contains(&hash) && !self.all.get(user).is_some_and(uploaded)
    }

    pub(crate) fn iterations(&self, options: &Authentication) -> u32 {
        options.scram_iterations.unwrap_or(self.iterations)
    }

    pub(crate) fn certificates(&self, user: &str) -> &[Certificate] {
        self.all
            .get(user)
            .map(|account| account.certificates.as_slice())
            .unwrap_or_default()
    }

    pub(crate) fn certificates_mut(&mut self, user: &str) -> Option<&mut Vec<Certificate>> {
        self.all.get_mut(user).map(|account| &mut account.certificates)
    }

    /// The users that registered this certificate.
    pub(crate) fn owners(&self, der: &[u8]) -> Vec<&str> {
        let owns = |account: &Account| account.certificates.iter().any(|certificate| certificate.der == der);
        let owners = self.all.iter().filter(|(_, account)| owns(account));
        owners.map(|(name, _)| name.as_str()).collect()
    }

    pub(crate) fn tokens(&self, user: &str) -> &[Token] {
        self.all
            .get(user)
            .map(|account| account.tokens.as_slice())
            .unwrap_or_default()
    }

    pub(crate) fn tokens_mut(&mut self, user: &str) -> Option<&mut Vec<Token>> {
        self.all.get_mut(user).map(|account| &mut account.tokens)
    }

    /// The tokens of all.
    pub(crate) fn all_tokens(&mut self) -> impl Iterator<Item = &mut Vec<Token>> {
        self.all.values_mut().map(|account| &mut account.tokens)
    }

    pub(crate) fn next_token_id(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }
}

impl Keys {
    pub(crate) fn from_salted(hash: ScramHash, salted: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        Self {
            salt,
            iterations,
            stored: hash.digest(&hash.hmac(salted, b"Client Key")),
            server: hash.hmac(salted, b"Server Key"),
            uploaded: false,
        }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}
