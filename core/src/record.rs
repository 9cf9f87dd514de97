//! The log of a client's life as JSON lines: what went in, and when, and what came out. A log replays to the same bytes.
//!
//! The first line is a [`Header`]; each further line is an [`Entry`], `{"now": 12, "in": ...}` or `{"out": ...}`. Bytes
//! are `{"text": "..."}` where they are UTF-8 and `{"base64": "..."}` where they are not. A secret of the configuration is
//! written as the placeholder `"secret"`, and has to be given again for a replay ([`Config::set_password`]); a password and
//! the proof of one in a request to the server are left out in the same way. What the server sent is kept, since a replay needs
//! it: with SCRAM that is enough to try passwords against, so keep the log of such a login as secret as the password.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::config::Config;
use crate::error::Refused;
use crate::input::{Input, Token};
use crate::output::Output;
use crate::time::Instant;

/// The version of the format: a log of another version is refused.
pub const VERSION: u32 = 1;

/// The first line of a log.
#[derive(Clone, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub epode: u32,
    /// The configuration, without its secrets.
    pub config: Config,
    /// The seed, 64 hexadecimal digits. Whoever has it can tell the client's nonces: it is a secret like a password.
    pub seed_is_secret: String,
}

impl Header {
    /// The header of a log of a client made with these.
    pub fn new(config: &Config, seed: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in seed {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        Self {
            epode: VERSION,
            config: config.clone(),
            seed_is_secret: text,
        }
    }

    /// The seed.
    pub fn seed(&self) -> Result<[u8; 32], ReadError> {
        let mut seed = [0; 32];
        let mut digits = self.seed_is_secret.chars().map(|digit| digit.to_digit(16));
        for byte in &mut seed {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(ReadError::Seed);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| ReadError::Seed)?;
        }
        if digits.next().is_some() {
            return Err(ReadError::Seed);
        }
        Ok(seed)
    }
}

/// Without the seed.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("epode", &self.epode)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// One further line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// An input, and when it came.
    In {
        /// When.
        now: Instant,
        /// What.
        r#in: Input<'static>,
    },
    /// An output.
    Out {
        /// What.
        out: Output,
    },
}

impl Entry {
    /// An output as a log may hold it: without passwords and their proofs.
    pub fn output(out: Output) -> Self {
        let mut out = out;
        if let Output::Post { body: bytes, .. } | Output::Write { bytes, .. } = &mut out {
            *bytes = without_proofs(bytes).into_bytes();
        }
        if let Output::Frame { text, .. } = &mut out {
            *text = without_proofs(text.as_bytes());
        }
        Self::Out { out }
    }

    /// The line, without a line feed.
    pub fn to_line(&self) -> String {
        line(self)
    }
}

impl Header {
    /// The line, without a line feed.
    pub fn to_line(&self) -> String {
        line(self)
    }
}

fn line<T: Serialize>(value: &T) -> String {
    // Serialising these types to a string cannot fail: they have no maps with other keys than strings, and no I/O.
    serde_json::to_string(value).unwrap_or_default()
}

/// A whole log.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its first line.
    pub header: Header,
    /// The rest.
    pub entries: Vec<Entry>,
}

impl Log {
    /// Reads a log. Empty lines are skipped.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let Some((_, first)) = lines.next() else {
            return Err(ReadError::Empty);
        };
        let version: Version = serde_json::from_str(first).map_err(|_| ReadError::Line(1))?;
        if version.epode != VERSION {
            return Err(ReadError::Version(version.epode));
        }
        let header: Header = serde_json::from_str(first).map_err(|_| ReadError::Line(1))?;
        let mut entries = Vec::new();
        for (index, line) in lines {
            entries.push(serde_json::from_str(line).map_err(|_| ReadError::Line(index + 1))?);
        }
        Ok(Self { header, entries })
    }

    /// The log as text.
    pub fn to_text(&self) -> String {
        let mut text = self.header.to_line();
        text.push('\n');
        for entry in &self.entries {
            text.push_str(&entry.to_line());
            text.push('\n');
        }
        text
    }

    /// Plays the inputs into a new client; what comes out, with the inputs, is the log of the replay.
    pub fn replay(&self) -> Result<Self, ReadError> {
        let mut recorder = Recorder::new(Client::new(self.header.config.clone(), self.header.seed()?));
        for entry in &self.entries {
            if let Entry::In { now, r#in } = entry {
                // A refusal is part of the recorded life too; its outputs, none, are compared like any other.
                let _ = recorder.handle(*now, r#in.clone());
                while recorder.next().is_some() {}
            }
        }
        Ok(Self {
            header: self.header.clone(),
            entries: recorder.into_entries(),
        })
    }
}

#[derive(Deserialize)]
struct Version {
    epode: u32,
}

/// A log that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// There is nothing in it.
    Empty,
    /// It is of this version of the format, which is not [`VERSION`].
    Version(u32),
    /// This line is not what belongs there.
    Line(usize),
    /// The seed is not 64 hexadecimal digits.
    Seed,
}

impl core::fmt::Display for ReadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Empty => f.write_str("the log is empty"),
            Self::Version(version) => write!(
                f,
                "the log has format version {version}; this program reads version {VERSION}"
            ),
            Self::Line(number) => write!(f, "line {number} of the log is not a header, an input or an output"),
            Self::Seed => f.write_str("the seed of the log is not 64 hexadecimal digits"),
        }
    }
}

impl core::error::Error for ReadError {}

/// A client that keeps its own log.
#[derive(Debug)]
pub struct Recorder {
    client: Client,
    entries: Vec<Entry>,
}

impl Recorder {
    /// Records `client` from here on: to be replayed, it has to be new.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            entries: Vec::new(),
        }
    }

    /// As [`Client::handle`].
    pub fn handle(&mut self, now: Instant, input: Input<'static>) -> Result<Option<Token>, Refused> {
        self.entries.push(Entry::In {
            now,
            r#in: input.clone(),
        });
        self.client.handle(now, input)
    }

    /// As [`Client::next`].
    #[expect(
        clippy::should_implement_trait,
        reason = "the client's own name for it; it is no iterator: output comes back after `None`"
    )]
    pub fn next(&mut self) -> Option<Output> {
        let out = self.client.next()?;
        // The same for a recording and its replay, so that they can be compared.
        self.entries.push(Entry::output(out.clone()));
        Some(out)
    }

    /// The client, for its deadline.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What was recorded.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// A body of ours as a log may hold it: a password and the proof of one are left out. The first
/// message of EXTERNAL or SCRAM is no secret, only a name and a nonce.
fn without_proofs(body: &[u8]) -> String {
    const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    const RESPONSE: &str = "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    let body = String::from_utf8_lossy(body);
    let (mut out, mut rest) = (String::with_capacity(body.len()), &*body);
    // Our own writer made the tags, and a `<` or `>` that is no markup is escaped.
    while let Some(at) = [AUTH, RESPONSE].iter().filter_map(|tag| rest.find(tag)).min() {
        let Some((before, tail)) = rest.split_at_checked(at) else {
            break;
        };
        let Some((tag, text)) = tail.find('>').and_then(|end| tail.split_at_checked(end + 1)) else {
            break;
        };
        let harmless = tag.starts_with(AUTH)
            && ["mechanism='EXTERNAL'", "mechanism='SCRAM-"]
                .iter()
                .any(|name| tag.contains(name));
        out.extend([before, tag]);
        rest = text;
        if !harmless && !tag.ends_with("/>") {
            out.push_str("secret");
            rest = text.find('<').and_then(|end| text.get(end..)).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

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
