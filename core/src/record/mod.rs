//! The log of a client's life as JSON lines: what went in, and when, and what came out. A log replays to the same bytes.
//!
//! The first line is a [`Header`]; each further line is an [`Entry`], `{"now": 12, "in": ...}` or `{"out": ...}`. Bytes
//! are `{"text": "..."}` where they are UTF-8 and `{"base64": "..."}` where they are not.
//!
//! Secrets are left out. A secret of the configuration, or of an input, is written as the placeholder `"secret"`; in the bytes that
//! travel, and in those that are stored, a placeholder of the same length stands for each ([`Label`]). A replay puts the password or
//! the access token back, if it is given again ([`Config::set_password`]), and computes the proofs from it, on both sides; without
//! it, it takes another one, and the comparison leaves those spans out ([`Log::compare`]). Keys that a host derived
//! ([`Input::Derived`]) are derived again. The log of a login says how long the password or the token is where the mechanism shows
//! it (PLAIN, OAUTHBEARER), and nothing else about it. What is left in it is private all the same: the seed, names, and what people
//! wrote.
//!
//! - `mod.rs`: the lines, and how they are written.
//! - `mask/`: finds secrets in the bytes that travel.
//! - `replay.rs`: plays a log again, and compares.
//! - `fields.rs`: how single fields are written.

mod fields;
mod mask;
mod replay;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use self::fields::{
    bytes, millis, optional_bytes, optional_digest, optional_millis, owned_bytes, placeholder, secret,
};
pub use self::mask::Label;
use self::mask::{Hide, Mask};
pub use self::replay::{Comparison, Difference, Treatment};
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

/// Writes the log of a client that somebody else drives: give it everything in order, from the client's first input on.
///
/// All that [`Label`] names is left out, but for [`Input::Restore`] of a session: a client that goes on where another one was cannot
/// be replayed without that, so the log of such a client is as good as a login while the session lasts.
#[derive(Debug)]
pub struct Scribe {
    mask: Mask,
}

impl Scribe {
    /// For a new client.
    #[expect(clippy::new_without_default, reason = "it belongs to one client")]
    pub fn new() -> Self {
        Self {
            mask: Mask::new(Hide::All),
        }
    }

    /// The entry for an input that is handed in.
    pub fn input(&mut self, now: Instant, input: &Input<'static>) -> Entry {
        let mut r#in = input.clone();
        self.mask.input(&mut r#in);
        Entry::In { now, r#in }
    }

    /// The entry for an output that came out.
    pub fn output(&mut self, output: &Output) -> Entry {
        let mut out = output.clone();
        self.mask.output(&mut out);
        Entry::Out { out }
    }
}

/// A client that keeps its own log. What logs in is left out; session ids and channel bindings are not, as they are in tests and
/// vectors: for a log that somebody keeps, take a [`Scribe`].
#[derive(Debug)]
pub struct Recorder {
    client: Client,
    mask: Mask,
    entries: Vec<Entry>,
}

impl Recorder {
    /// Records `client` from here on: to be replayed, it has to be new.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            mask: Mask::new(Hide::Proofs),
            entries: Vec::new(),
        }
    }

    /// As [`Client::handle`].
    pub fn handle(&mut self, now: Instant, input: Input<'static>) -> Result<Option<Token>, Refused> {
        let mut logged = input.clone();
        self.mask.input(&mut logged);
        self.entries.push(Entry::In { now, r#in: logged });
        self.client.handle(now, input)
    }

    /// As [`Client::next`].
    #[expect(
        clippy::should_implement_trait,
        reason = "the client's own name for it; it is no iterator: output comes back after `None`"
    )]
    pub fn next(&mut self) -> Option<Output> {
        let out = self.client.next()?;
        let mut logged = out.clone();
        // The same for a recording and its replay, so that they can be compared.
        self.mask.output(&mut logged);
        self.entries.push(Entry::Out { out: logged });
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
