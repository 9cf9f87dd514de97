//! How single fields of the log are written and read.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Bytes as text where they are UTF-8, else as base64.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bytes<'a> {
    Text(Cow<'a, str>),
    Base64(Cow<'a, str>),
}

impl<'a> Bytes<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        match core::str::from_utf8(bytes) {
            Ok(text) => Self::Text(Cow::Borrowed(text)),
            Err(_) => Self::Base64(Cow::Owned(crate::sasl::encoding::encode(bytes))),
        }
    }

    fn into_vec<E: serde::de::Error>(self) -> Result<Vec<u8>, E> {
        match self {
            Self::Text(text) => Ok(text.into_owned().into_bytes()),
            Self::Base64(text) => crate::sasl::encoding::decode(&text).map_err(|_| E::custom("not base64")),
        }
    }
}

/// For borrowed bytes.
pub(crate) mod bytes {
    use super::{Bytes, Cow, Deserialize, Serialize};

    pub(crate) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::new(bytes).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, 'a, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Cow<'a, [u8]>, D::Error> {
        Bytes::deserialize(deserializer)?.into_vec().map(Cow::Owned)
    }
}

/// For owned bytes.
pub(crate) mod owned_bytes {
    use super::{Bytes, Deserialize, Serialize, Vec};

    pub(crate) fn serialize<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::new(bytes).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Bytes::deserialize(deserializer)?.into_vec()
    }
}

/// For bytes that may be absent.
pub(crate) mod optional_bytes {
    use super::{Bytes, Deserialize, Serialize, Vec};

    pub(crate) fn serialize<S: serde::Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Bytes::new).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Option::<Bytes<'_>>::deserialize(deserializer)?
            .map(Bytes::into_vec)
            .transpose()
    }
}

/// For a digest that may be absent.
pub(crate) mod optional_digest {
    use super::{Bytes, Deserialize, Serialize};

    pub(crate) fn serialize<S: serde::Serializer>(digest: &Option<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
        digest.as_ref().map(|digest| Bytes::new(digest)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<[u8; 32]>, D::Error> {
        let Some(bytes) = Option::<Bytes<'_>>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let bytes = bytes.into_vec()?;
        bytes
            .try_into()
            .map(Some)
            .map_err(|_| serde::de::Error::custom("a digest has 32 bytes"))
    }
}

/// For durations, as milliseconds.
pub(crate) mod millis {
    use core::time::Duration;

    use super::{Deserialize, Serialize};

    pub(crate) fn serialize<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        u64::try_from(duration.as_millis())
            .unwrap_or(u64::MAX)
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// For durations that may be absent, as milliseconds.
pub(crate) mod optional_millis {
    use core::time::Duration;

    use super::{Deserialize, Serialize};

    pub(crate) fn serialize<S: serde::Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        duration
            .map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// For what is a secret as a whole and cannot be left out, or a replay would not be one: the label says what it is.
pub(crate) mod secret {
    use super::{Bytes, Deserialize, Serialize, Vec};
    use crate::secret::Secret;

    #[derive(Serialize, Deserialize)]
    struct Labelled<'a> {
        #[serde(borrow)]
        secret: Bytes<'a>,
    }

    pub(crate) fn serialize<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        let secret = Bytes::new(secret.expose());
        Labelled { secret }.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        let bytes: Vec<u8> = Labelled::deserialize(deserializer)?.secret.into_vec()?;
        Ok(Secret::new(bytes))
    }
}

/// For secrets: written as a label, read back as nothing.
pub(crate) mod placeholder {
    use super::{Deserialize, Serialize, String, Vec};
    use crate::secret::Secret;

    pub(crate) fn serialize<S: serde::Serializer>(_: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        "secret".serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(|_| Secret::new(Vec::new()))
    }
}
