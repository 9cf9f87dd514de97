//! Mechanisms: one SASL exchange (RFC 4422) from its first message to the server's proof, as bytes in and bytes out.
//!
//! What the module promises: a [`Mechanism`] never reports success before the server has proved what the mechanism lets it prove; an
//! error is final and repeats itself; no password, key or proof shows in `Debug` or in an error. It knows neither XML nor base64 on
//! the wire: `encoding.rs` has the texts of the SASL1 profile. `external.rs`, `plain.rs` and `scram.rs` are the mechanisms, `derive.rs`
//! is SCRAM's slow step, `prep.rs` prepares names and passwords.

mod derive;
pub(crate) mod encoding;
mod external;
mod plain;
pub(crate) mod prep;
mod scram;
pub(crate) mod select;
#[cfg(feature = "record")]
pub(crate) mod server;

use alloc::borrow::Cow;
use alloc::string::String;
use core::{fmt, mem};

pub(crate) use derive::{DeriveJob, DerivedKey, ScramHash};
pub(crate) use external::External;
pub(crate) use plain::Plain;
pub(crate) use scram::{ChannelBinding, Scram, ScramLimits};

use crate::Secret;
pub use prep::PrepError;

/// One exchange with one mechanism. It is used once.
#[derive(Debug)]
pub(crate) enum Mechanism {
    External(External),
    Plain(Plain),
    Scram(Scram),
}

impl Mechanism {
    /// The registered name, such as `SCRAM-SHA-256`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::External(_) => "EXTERNAL",
            Self::Plain(_) => "PLAIN",
            Self::Scram(scram) => scram.name(),
        }
    }

    /// The initial response, which may be of no bytes; `None` where the server speaks first.
    pub(crate) fn initial(&mut self) -> Result<Option<Secret>, SaslError> {
        match self {
            Self::External(external) => external.initial().map(Some),
            Self::Plain(plain) => plain.initial().map(Some),
            Self::Scram(scram) => scram.initial().map(Some),
        }
    }

    /// The answer to a challenge of the server.
    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Secret, SaslError> {
        match self {
            Self::External(external) => external.challenge(data),
            Self::Plain(plain) => plain.challenge(),
            Self::Scram(scram) => scram.challenge(data),
        }
    }

    /// Judges the server's word that the exchange succeeded. Only `Ok` means that it did; no data and empty data are the same.
    pub(crate) fn success(&mut self, data: Option<&[u8]>) -> Result<ServerProof, SaslError> {
        let data = data.unwrap_or_default();
        match self {
            Self::External(external) => external.success(data),
            Self::Plain(plain) => plain.success(data),
            Self::Scram(scram) => scram.success(data),
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
    /// The name of the channel binding has other characters than letters, digits, `.` and `-`.
    ChannelBindingName,
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
}

impl fmt::Display for SaslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Username(why) => return write!(f, "the user name {why}"),
            Self::Password(why) => return write!(f, "the password {why}"),
            Self::Authzid => "the authorisation identity is empty or contains a NUL",
            Self::ClientNonce => "the client nonce is empty or contains a comma or a character that does not print",
            Self::ChannelBindingName => {
                "the channel binding has a name of other characters than letters, digits, '.' and '-'"
            }
            Self::OutOfOrder => "a step of the login was asked for out of order",
            Self::Encoding => "the server sent a login message that is not valid base64",
            Self::UnexpectedChallenge => "the server sent a challenge that the mechanism does not have",
            Self::UnexpectedSuccessData => "the server's success carried data that the mechanism does not have",
            Self::SuccessTooEarly => "the server reported success before the login was complete",
            Self::Malformed { expected } => {
                return write!(f, "the server's SCRAM message is malformed: expected {expected}");
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
