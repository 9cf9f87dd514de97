//! What a call may throw.

use std::fmt;

/// Why a call was refused. Nothing has changed. What a server or the network does wrong is never thrown, but comes as an event.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The host broke the contract.
    Misuse {
        /// Why, for a person.
        why: String,
    },
    /// The outbound queue is full: try again after `Writable`.
    Full,
    /// The stanza is larger than a server can be expected to take.
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The limit.
        maximum: u64,
    },
    /// The stanza is not one that this input takes.
    Invalid {
        /// Why, for a person.
        why: String,
    },
    /// There is no session to send on: `Start` first, or wait for `Online` in the case of a presence.
    NotStarted,
    /// What was stored cannot be restored; the client starts afresh.
    Snapshot {
        /// Why.
        error: SnapshotError,
        /// Why, for a person.
        why: String,
    },
    /// The bytes are not one XML element.
    Xml {
        /// Why, for a person.
        why: String,
    },
    /// A JID that does not parse (RFC 7622).
    Jid {
        /// Why, for a person.
        why: String,
    },
    /// The bytes are no SCRAM key, or no salted password.
    Key {
        /// Why, for a person.
        why: String,
    },
    /// The configuration cannot work.
    Configuration {
        /// Why, for a person.
        why: String,
    },
    /// An earlier call panicked, and said `Offline` then: a fault of epode's. The client is dead; make a new one.
    Closed,
}

/// Why what was stored cannot be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It is damaged, or no snapshot at all.
    Corrupt,
    /// It is of another account, or of another slot.
    Foreign,
    /// A later version of the library wrote it.
    Newer {
        /// The version of its format.
        version: u16,
    },
}

impl Refused {
    pub(crate) fn jid(error: epode::jid::JidError) -> Self {
        Self::Jid { why: error.to_string() }
    }
}

impl From<epode::Refused> for Refused {
    fn from(refused: epode::Refused) -> Self {
        let why = refused.to_string();
        match refused {
            epode::Refused::Full => Self::Full,
            epode::Refused::TooLarge { bytes, maximum } => Self::TooLarge {
                bytes: bytes as u64,
                maximum: maximum as u64,
            },
            epode::Refused::Invalid { .. } => Self::Invalid { why },
            epode::Refused::NotStarted => Self::NotStarted,
            epode::Refused::Misuse(_) => Self::Misuse { why },
            epode::Refused::Snapshot(error) => Self::Snapshot {
                error: match error {
                    epode::error::SnapshotError::Foreign => SnapshotError::Foreign,
                    epode::error::SnapshotError::Newer { version } => SnapshotError::Newer { version },
                    // Not an enum of this crate.
                    epode::error::SnapshotError::Corrupt | _ => SnapshotError::Corrupt,
                },
                why,
            },
            // Not an enum of this crate.
            _ => Self::Misuse { why },
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misuse { why }
            | Self::Invalid { why }
            | Self::Key { why }
            | Self::Configuration { why }
            | Self::Snapshot { why, .. } => f.write_str(why),
            Self::Full => epode::Refused::Full.fmt(f),
            Self::TooLarge { bytes, maximum } => {
                write!(f, "the stanza has {bytes} bytes; at most {maximum} are sent")
            }
            Self::NotStarted => epode::Refused::NotStarted.fmt(f),
            Self::Xml { why } => write!(f, "this is not one XML element: {why}"),
            Self::Jid { why } => write!(f, "this is no JID: {why}"),
            Self::Closed => {
                f.write_str("the client is dead after a fault of epode's own: make a new one, and report the panic")
            }
        }
    }
}

impl std::error::Error for Refused {}
