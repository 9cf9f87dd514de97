//! Why a call did not do what was asked: its code, and its sentence.

use std::borrow::Cow;

use epode::config::ConfigError;
use epode::error::{Misuse, SnapshotError};
use epode::{NotAKey, Refused};

use crate::code;

#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) code: u32,
    pub(crate) sentence: Cow<'static, str>,
}

impl Failed {
    /// With the sentence that the code has.
    pub(crate) fn code(code: u32) -> Self {
        Self {
            code,
            sentence: code::sentence(code).into(),
        }
    }

    pub(crate) fn new(code: u32, sentence: String) -> Self {
        Self {
            code,
            sentence: sentence.into(),
        }
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        let code = match &refused {
            Refused::Misuse(Misuse::AlreadyStarted) => code::EPODE_ALREADY_STARTED,
            Refused::Misuse(Misuse::NotForThisTransport) => code::EPODE_NOT_FOR_THIS_TRANSPORT,
            Refused::Misuse(Misuse::AlreadyConnected) => code::EPODE_ALREADY_CONNECTED,
            Refused::Misuse(Misuse::UnknownToken) => code::EPODE_UNKNOWN_TOKEN,
            Refused::Misuse(Misuse::TooLateToRestore) => code::EPODE_TOO_LATE_TO_RESTORE,
            Refused::Misuse(Misuse::NoTask) => code::EPODE_NO_TASK,
            Refused::Misuse(Misuse::CredentialsOfAnother) => code::EPODE_CREDENTIALS_OF_ANOTHER,
            Refused::Misuse(_) => code::EPODE_MISUSE,
            Refused::Full => code::EPODE_FULL,
            Refused::TooLarge { .. } => code::EPODE_TOO_LARGE,
            Refused::Invalid { .. } => code::EPODE_INVALID_STANZA,
            Refused::NotStarted => code::EPODE_NOT_STARTED,
            Refused::Snapshot(SnapshotError::Corrupt) => code::EPODE_SNAPSHOT_CORRUPT,
            Refused::Snapshot(SnapshotError::Foreign) => code::EPODE_SNAPSHOT_FOREIGN,
            Refused::Snapshot(SnapshotError::Newer { .. }) => code::EPODE_SNAPSHOT_NEWER,
            Refused::Snapshot(_) => code::EPODE_SNAPSHOT_OTHER,
            _ => code::EPODE_REFUSED,
        };
        Self::new(code, refused.to_string())
    }
}

impl From<ConfigError> for Failed {
    fn from(error: ConfigError) -> Self {
        let code = match error {
            ConfigError::NoCredentials => code::EPODE_CONFIG_CREDENTIALS,
            ConfigError::NoTransport => code::EPODE_CONFIG_TRANSPORT,
            ConfigError::NoLocalpart => code::EPODE_CONFIG_LOCALPART,
            ConfigError::Url => code::EPODE_CONFIG_URL,
            ConfigError::PlaintextUrl => code::EPODE_CONFIG_PLAINTEXT_URL,
            ConfigError::FirstRid => code::EPODE_CONFIG_FIRST_RID,
            ConfigError::Attach => code::EPODE_CONFIG_ATTACH,
            ConfigError::Host => code::EPODE_CONFIG_HOST,
            ConfigError::UserAgent => code::EPODE_CONFIG_USER_AGENT,
            ConfigError::UnknownMechanism => code::EPODE_CONFIG_UNKNOWN_MECHANISM,
            ConfigError::AnonymousAccount => code::EPODE_CONFIG_ANONYMOUS_ACCOUNT,
            ConfigError::Tag => code::EPODE_CONFIG_TAG,
            ConfigError::Iterations => code::EPODE_CONFIG_ITERATIONS,
            _ => code::EPODE_CONFIG_OTHER,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NotAKey> for Failed {
    fn from(error: NotAKey) -> Self {
        Self::new(code::EPODE_KEY, error.to_string())
    }
}
