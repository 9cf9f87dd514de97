//! Mechanisms: one SASL exchange (RFC 4422) from its first message to the server's proof, as bytes in and bytes out.
//!
//! What the module promises: a [`Mechanism`] never reports success before the server has proved what the mechanism lets it prove; an
//! error is final and repeats itself; no password, key or proof shows in `Debug` or in an error. It knows neither XML nor base64 on
//! the wire: `encoding.rs` has the texts of the SASL1 profile. `anonymous.rs`, `digest_md5.rs`, `external.rs`, `ht.rs`, `oauth.rs`,
//! `plain.rs` and `scram.rs` are the mechanisms, `derive.rs` is SCRAM's slow step, `directives.rs` reads what
//! a DIGEST-MD5 server says, `prep.rs` prepares names and passwords.

mod anonymous;
mod derive;
mod digest_md5;
mod directives;
pub(crate) mod encoding;
mod external;
mod ht;
mod oauth;
mod plain;
pub(crate) mod prep;
mod scram;
#[cfg(feature = "record")]
pub(crate) mod server;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, mem};

pub(crate) use anonymous::Anonymous;
pub use derive::{Derivation, DerivedKey, NotAKey, ScramHash};
pub(crate) use digest_md5::DigestMd5;
pub(crate) use external::External;
pub(crate) use ht::Ht;
pub(crate) use oauth::{OauthBearer, TokenFailure, XOauth2};
pub(crate) use plain::Plain;
pub(crate) use scram::{ChannelBinding, Scram, ScramLimits, checked_iterations, checked_salt};

use crate::Secret;
pub use prep::PrepError;

/// The client's own order (RFC 6120 §6.3.3), best first.
pub(crate) const ORDER: [&str; 18] = [
    "EXTERNAL",
    "HT-SHA-256-EXPR",
    "HT-SHA-256-UNIQ",
    "HT-SHA-256-ENDP",
    "HT-SHA-256-NONE",
    "SCRAM-SHA-512-PLUS",
    "SCRAM-SHA-384-PLUS",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-512",
    "SCRAM-SHA-384",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1",
    "OAUTHBEARER",
    "X-OAUTH2",
    "DIGEST-MD5",
    "PLAIN",
    "ANONYMOUS",
];

/// The mechanism's place in the order of preference: lower is better. `None` for one that the client does not have.
pub(crate) fn preference(mechanism: &str) -> Option<usize> {
    ORDER.iter().position(|known| *known == mechanism)
}

/// One exchange with one mechanism. It is used once.
#[derive(Debug)]
pub(crate) enum Mechanism {
    Anonymous(Anonymous),
    DigestMd5(DigestMd5),
    External(External),
    Ht(Ht),
    OauthBearer(OauthBearer),
    Plain(Plain),
    Scram(Scram),
    XOauth2(XOauth2),
}

/// What the client has to do about a challenge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Answer with this.
    Message(Secret),
    /// Run this, and give what comes out to [`Mechanism::derived`].
    Derive(Derivation),
}

impl Mechanism {
    /// The registered name, such as `SCRAM-SHA-256`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Anonymous(_) => "ANONYMOUS",
            Self::DigestMd5(_) => "DIGEST-MD5",
            Self::External(_) => "EXTERNAL",
            Self::Ht(ht) => ht.name(),
            Self::OauthBearer(_) => "OAUTHBEARER",
            Self::Plain(_) => "PLAIN",
            Self::Scram(scram) => scram.name(),
            Self::XOauth2(_) => "X-OAUTH2",
        }
    }

    /// The initial response, which may be of no bytes; `None` where there is none.
    pub(crate) fn initial(&mut self) -> Result<Option<Secret>, SaslError> {
        match self {
            Self::Anonymous(anonymous) => anonymous.initial().map(|()| None),
            Self::DigestMd5(digest) => digest.initial().map(|()| None),
            Self::External(external) => external.initial().map(Some),
            Self::Ht(ht) => ht.initial().map(Some),
            Self::OauthBearer(bearer) => bearer.initial().map(Some),
            Self::Plain(plain) => plain.initial().map(Some),
            Self::Scram(scram) => scram.initial().map(Some),
            Self::XOauth2(oauth) => oauth.exchange.initial().map(Some),
        }
    }

    /// What to do about a challenge of the server.
    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Answer, SaslError> {
        match self {
            Self::Anonymous(anonymous) => anonymous.challenge(data).map(Answer::Message),
            Self::DigestMd5(digest) => digest.challenge(data).map(Answer::Message),
            Self::External(external) => external.challenge(data).map(Answer::Message),
            Self::Ht(ht) => ht.challenge(data).map(Answer::Message),
            Self::OauthBearer(bearer) => bearer.challenge(data).map(Answer::Message),
            Self::Plain(plain) => plain.challenge().map(Answer::Message),
            Self::Scram(scram) => scram.challenge(data),
            Self::XOauth2(oauth) => oauth.exchange.challenge().map(Answer::Message),
        }
    }

    /// The answer to the challenge that led to [`Answer::Derive`].
    pub(crate) fn derived(&mut self, key: DerivedKey) -> Result<Secret, SaslError> {
        match self {
            Self::Scram(scram) => scram.derived(key),
            Self::Anonymous(_)
            | Self::DigestMd5(_)
            | Self::External(_)
            | Self::Ht(_)
            | Self::OauthBearer(_)
            | Self::Plain(_)
            | Self::XOauth2(_) => Err(SaslError::OutOfOrder),
        }
    }

    /// Judges the server's word that the exchange succeeded. Only `Ok` means that it did; no data and empty data are the same.
    pub(crate) fn success(&mut self, data: Option<&[u8]>) -> Result<ServerProof, SaslError> {
        let data = data.unwrap_or_default();
        match self {
            Self::Anonymous(anonymous) => anonymous.success(data),
            Self::DigestMd5(digest) => digest.success(data),
            Self::External(external) => external.success(data),
            Self::Ht(ht) => ht.success(data),
            Self::OauthBearer(bearer) => bearer.success(data),
            Self::Plain(plain) => plain.success(data),
            Self::Scram(scram) => scram.success(data),
            Self::XOauth2(oauth) => oauth.exchange.success(data),
        }
    }

    /// What the login is bound to, if it is.
    pub(crate) fn channel_binding(&self) -> Option<ChannelBindingType> {
        match self {
            Self::Ht(ht) => ht.channel_binding(),
            Self::Scram(scram) => scram.channel_binding(),
            Self::Anonymous(_)
            | Self::DigestMd5(_)
            | Self::External(_)
            | Self::OauthBearer(_)
            | Self::Plain(_)
            | Self::XOauth2(_) => None,
        }
    }

    /// SCRAM's key, once derived. It is worth keeping only after success.
    pub(crate) fn key(&self) -> Option<&DerivedKey> {
        self.scram().and_then(Scram::key)
    }

    /// The server has shown what it offered (XEP-0474), and it is what arrived.
    pub(crate) fn offer_verified(&self) -> bool {
        self.scram().is_some_and(Scram::offer_verified)
    }

    /// Why the server does not take the access token, once it has said so.
    pub(crate) fn token_failure(&self) -> Option<&TokenFailure> {
        match self {
            Self::OauthBearer(bearer) => bearer.failure(),
            Self::Anonymous(_)
            | Self::DigestMd5(_)
            | Self::External(_)
            | Self::Ht(_)
            | Self::Plain(_)
            | Self::Scram(_)
            | Self::XOauth2(_) => None,
        }
    }

    fn scram(&self) -> Option<&Scram> {
        match self {
            Self::Scram(scram) => Some(scram),
            Self::Anonymous(_)
            | Self::DigestMd5(_)
            | Self::External(_)
            | Self::Ht(_)
            | Self::OauthBearer(_)
            | Self::Plain(_)
            | Self::XOauth2(_) => None,
        }
    }

    /// A login by token (XEP-0484).
    pub(crate) fn is_token(&self) -> bool {
        matches!(self, Self::Ht(_))
    }
}

/// What a login can be bound to, from the TLS connection that it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum ChannelBindingType {
    /// RFC 9266: the best there is, and the one for TLS 1.3.
    TlsExporter,
    /// RFC 5929 §3: TLS 1.2 and before.
    TlsUnique,
    /// RFC 5929 §4: the server's certificate.
    TlsServerEndPoint,
}

impl ChannelBindingType {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::TlsExporter, Self::TlsUnique, Self::TlsServerEndPoint];

    /// The name in IANA's registry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsUnique => "tls-unique",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }
}

/// What a success says about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerProof {
    /// The server proved that it knows the account's secret.
    Verified,
    /// The mechanism has no such proof: only TLS vouches for the server.
    NotProvided,
    /// The mechanism has one, the server left it out, and the policy allows that.
    LeftOut,
}

/// What the server said that it offers, for XEP-0474.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Every mechanism of the profile in use, as it stood there.
    pub(crate) mechanisms: Vec<String>,
    /// The types of channel binding (XEP-0440), if there was a list.
    pub(crate) channel_bindings: Option<Vec<String>>,
}

impl Offer {
    /// XEP-0474 §6.1: each list sorted by its bytes, its parts separated by U+001E, the lists by U+001F.
    fn joined(&self) -> String {
        fn sorted(list: &[String]) -> String {
            let mut list: Vec<&str> = list.iter().map(String::as_str).collect();
            list.sort_unstable();
            list.join("\u{1e}")
        }
        let mut joined = sorted(&self.mechanisms);
        if let Some(channel_bindings) = &self.channel_bindings {
            joined.push('\u{1f}');
            joined.push_str(&sorted(channel_bindings));
        }
        joined
    }
}

/// Why an exchange failed on our side, or what the server said inside of it. Its text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum SaslError {
    /// The user name cannot be prepared.
    Username(PrepError),
    /// The password cannot be prepared.
    Password(PrepError),
    /// The identity to act as is empty or contains a NUL.
    Authzid,
    /// The client's nonce is empty or contains a comma or something that does not print.
    ClientNonce,
    /// A step was asked for that does not come next, such as a second success.
    OutOfOrder,
    /// The server's message is not base64.
    Encoding,
    /// The server asked something where the mechanism has no question, or asked once too often.
    UnexpectedChallenge,
    /// The success carried data that the mechanism has no use for.
    UnexpectedSuccessData,
    /// The server reported success before the exchange was complete.
    SuccessTooEarly,
    /// The server's message does not follow the grammar; `expected` names what was missing.
    Malformed {
        /// What should have been there.
        expected: Cow<'static, str>,
    },
    /// The server needs an extension that we do not know (attribute `m`).
    MandatoryExtension,
    /// The nonce is not our own with something printable added.
    Nonce,
    /// The salt is not canonical base64 of 1 to 1024 bytes.
    Salt,
    /// The iteration count is not a plain positive number.
    Iterations,
    /// Too few iterations.
    IterationsTooLow {
        /// What the server asked for.
        asked: u32,
        /// The least that we accept.
        least: u32,
    },
    /// Too many iterations.
    IterationsTooHigh {
        /// The most that we accept.
        most: u32,
    },
    /// The server reported an error of its own (RFC 5802 §7).
    Server {
        /// The error's name, escaped and cut: it is the server's text.
        value: String,
    },
    /// The server's proof is wrong: it does not know the password's verifier, or someone sits in between.
    WrongServerProof,
    /// The server reported success without its proof.
    MissingServerProof,
    /// What the server says that it offered is not what arrived (XEP-0474): somebody took something out of the offer, or
    /// the server hashes it in an older way.
    OfferChanged {
        /// The hash of what arrived, in base64.
        expected: String,
        /// The server's, escaped and cut.
        received: String,
    },
    /// The server used to show what it offered (XEP-0474) and does not any more: somebody may have taken that out.
    OfferUnproved,
    /// The key that was given is for another salt or iteration count than the server has: the password is needed.
    KeyDoesNotFit,
    /// The token is empty, or has a character that no access token has (RFC 6750 §2.1).
    Token,
    /// The server reported success after it had refused the access token (RFC 7628 §3.2.3).
    SuccessAfterRefusal,
    /// DIGEST-MD5: the server has several realms, and none is called like the domain.
    Realm {
        /// Some of them, each escaped and cut: they are the server's texts.
        offered: Vec<String>,
    },
    /// DIGEST-MD5: the server does not know UTF-8, and the user name, the password or the realm cannot be said without it.
    NotLatin1,
}

impl fmt::Display for SaslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Username(why) => return write!(f, "the user name {why}"),
            Self::Password(why) => return write!(f, "the password {why}"),
            Self::Authzid => "the authorisation identity is empty or contains a NUL",
            Self::ClientNonce => "the client nonce is empty or contains a comma or a character that does not print",
            Self::OutOfOrder => "a step of the login was asked for out of order",
            Self::Encoding => "the server sent a login message that is not valid base64",
            Self::UnexpectedChallenge => "the server sent a challenge that the mechanism does not have",
            Self::UnexpectedSuccessData => "the server's success carried data that the mechanism does not have",
            Self::SuccessTooEarly => "the server reported success before the login was complete",
            Self::Malformed { expected } => {
                return write!(f, "the server's login message is malformed: expected {expected}");
            }
            Self::MandatoryExtension => "the server requires a SCRAM extension that is not supported",
            Self::Nonce => "the server's nonce does not continue ours: the message is replayed, forged or broken",
            Self::Salt => "the server's salt is not valid base64 of 1 to 1024 bytes",
            Self::Iterations => "the server's PBKDF2 iteration count is not a number",
            Self::IterationsTooLow { asked, least } => {
                let s = if *asked == 1 { "" } else { "s" };
                return write!(
                    f,
                    "the server asked for {asked} PBKDF2 iteration{s}; fewer than {least} would let an eavesdropper guess the password cheaply"
                );
            }
            Self::IterationsTooHigh { most } => {
                return write!(
                    f,
                    "the server asked for more than {most} PBKDF2 iterations, which would keep this device busy too long"
                );
            }
            // RFC 5802 §6: we said that we could bind the channel and saw no -PLUS; the server says that it offered one.
            Self::Server { value } if value == "server-does-support-channel-binding" => {
                "the server does offer channel binding, but its offer did not arrive: someone may be changing the connection"
            }
            Self::Server { value } => return write!(f, "the server refused the login with the error '{value}'"),
            Self::WrongServerProof => "the server's proof is wrong: it may not be the server that it claims to be",
            Self::OfferChanged { expected, received } => {
                return write!(
                    f,
                    "what the server says that it offered is not what arrived: someone may have changed it on the way \
                     (expected the hash {expected}, received {received})"
                );
            }
            Self::OfferUnproved => {
                "the server does not prove what it offered any more, as it did before: someone may have taken that out"
            }
            Self::KeyDoesNotFit => {
                "the server has another salt or iteration count than the stored key: log in with the password once"
            }
            Self::Token => "the token is empty or has a character that no access token has",
            Self::SuccessAfterRefusal => "the server reported success after it had refused the access token",
            Self::Realm { offered } => {
                return write!(
                    f,
                    "the server has several realms ({}) and none is called like the domain: configure which one to use",
                    offered.join(", ")
                );
            }
            Self::NotLatin1 => {
                "the server does not say that it knows UTF-8, and the user name, the password or the realm has a character \
                 beyond ISO-8859-1: configure that UTF-8 is always used, if the server knows it all the same"
            }
            Self::MissingServerProof => "the server reported success without proving that it knows the account",
        };
        f.write_str(text)
    }
}

impl core::error::Error for SaslError {}

impl From<encoding::NotBase64> for SaslError {
    fn from(_: encoding::NotBase64) -> Self {
        Self::Encoding
    }
}

/// The state of one exchange. A failed exchange answers everything with the error that it failed with.
#[derive(Debug)]
enum State<S> {
    At(S),
    Failed(SaslError),
}

impl<S> State<S> {
    /// Takes the step by value and puts the next one in its place.
    fn advance<T>(&mut self, step: impl FnOnce(S) -> Result<(S, T), SaslError>) -> Result<T, SaslError> {
        let result = match mem::replace(self, Self::Failed(SaslError::OutOfOrder)) {
            Self::At(current) => step(current),
            Self::Failed(error) => Err(error),
        };
        match result {
            Ok((next, output)) => {
                *self = Self::At(next);
                Ok(output)
            }
            Err(error) => {
                *self = Self::Failed(error.clone());
                Err(error)
            }
        }
    }
}

/// An identity to act as: RFC 4422 §3.4.1 leaves its form to XMPP, and only a NUL is out of the question everywhere.
fn checked_authzid(authzid: Option<&str>) -> Result<Option<&str>, SaslError> {
    match authzid {
        Some(text) if text.is_empty() || text.contains('\0') => Err(SaslError::Authzid),
        Some(_) | None => Ok(authzid),
    }
}

/// A server's text, for people and logs: nothing in it may act on a terminal or fill a disk.
fn shown(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).flat_map(char::escape_default).collect();
    if text.chars().nth(most).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Reading the vectors of `tests/vectors`.
#[cfg(test)]
pub(crate) mod vectors {
    use serde_json::Value;
    use std::{string::String, string::ToString, vec::Vec};

    pub(crate) fn rows(file: &str, table: &str) -> Vec<Value> {
        let file: Value = serde_json::from_str(file).unwrap();
        let rows = file[table].as_array().unwrap().clone();
        assert!(!rows.is_empty());
        rows
    }

    pub(crate) fn text(row: &Value, field: &str) -> String {
        optional(row, field).unwrap()
    }

    pub(crate) fn optional(row: &Value, field: &str) -> Option<String> {
        row[field].as_str().map(ToString::to_string)
    }

    pub(crate) fn base64(row: &Value, field: &str) -> Vec<u8> {
        super::encoding::decode(&text(row, field)).unwrap()
    }

    pub(crate) fn bytes(row: &Value, field: &str) -> Vec<u8> {
        let digits: Vec<u8> = text(row, field)
            .chars()
            .map(|c| c.to_digit(16).unwrap() as u8)
            .collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}

#[cfg(test)]
mod tests;
