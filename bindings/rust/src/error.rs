//! What goes wrong between an application and its client, before anything is sent.

use std::fmt;

use epode::Refused;
use epode::error::IqError;

use crate::tls::IdentityError;

/// A client that cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The credentials name a client certificate that the builder was not given.
    NoIdentity {
        /// Its label.
        label: String,
    },
    /// The client certificate cannot be used.
    Identity(IdentityError),
    /// An authority cannot be trusted.
    Root {
        /// Why.
        reason: String,
    },
    /// TLS cannot be set up.
    Tls {
        /// Why.
        reason: String,
    },
    /// The system gave no random bytes.
    Randomness,
    /// What was stored cannot be read.
    Store {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIdentity { label } => write!(f, "no client certificate was given for the label {label:?}"),
            Self::Identity(error) => error.fmt(f),
            Self::Root { reason } => write!(f, "the authority to be trusted cannot be used: {reason}"),
            Self::Tls { reason } => write!(f, "TLS cannot be set up: {reason}"),
            Self::Store { reason } => write!(
                f,
                "the stored session cannot be read: {reason}; mend that, or connect without it"
            ),
            Self::Randomness => f.write_str("the system gave no random bytes: without them no login is safe"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// A call that the client did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The engine refused it; nothing was sent. [`Refused::Full`] also when too many events wait for the application.
    Refused(Refused),
    /// The credentials name a client certificate that the [`Builder`](crate::Builder) was not given.
    NoIdentity {
        /// Its label.
        label: String,
    },
    /// The client certificate cannot be used now.
    Identity(IdentityError),
    /// The [`Client`](crate::Client) was dropped, or has ended because its session could not be stored.
    Gone,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::NoIdentity { label } => write!(f, "no client certificate was given for the label {label:?}"),
            Self::Identity(error) => error.fmt(f),
            Self::Gone => f.write_str("the client is gone"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A request without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// It was never sent.
    Call(CallError),
    /// The entity refused it, or there was no answer.
    Iq(IqError),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Iq(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<CallError> for RequestError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
