//! XMPP addresses: parsed once, then valid for good (RFC 7622).

mod prepare;

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use prepare::{MAX_PART_OCTETS, Prepare, Prepared, domain_for_dns, prepare, prepare_or_keep};

/// An address: `domain`, `local@domain`, either of them with `/resource` (RFC 7622).
///
/// The text is kept in its prepared form, so two addresses are equal exactly when their texts are.
///
/// ```
/// use epode::jid::Jid;
///
/// let jid = Jid::parse("Juliet@EXAMPLE.com/Balcony")?;
/// assert_eq!(jid.as_str(), "juliet@example.com/Balcony");
/// assert_eq!(jid.bare(), "juliet@example.com");
/// assert_eq!(jid.resource(), Some("Balcony"));
/// # Ok::<(), epode::jid::JidError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jid {
    text: String,
    domain_start: usize,
    domain_end: usize,
    opaque_bare: bool,
    opaque_resource: bool,
}

/// An address without a resource: an account, a room or a server (RFC 7622).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BareJid {
    text: String,
    domain_start: usize,
    opaque: bool,
}

/// The three parts of an address (RFC 7622 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JidPart {
    /// The part before `@`.
    Local,
    /// The domain.
    Domain,
    /// The part after `/`.
    Resource,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JidError {
    /// The text is empty.
    Empty,
    /// A part is empty although its separator is there, or there is no domain (RFC 7622 §3.1).
    EmptyPart {
        /// Which part.
        part: JidPart,
    },
    /// A part is longer than 1023 octets (RFC 7622 §3.2, §3.3, §3.4).
    TooLong {
        /// Which part.
        part: JidPart,
        /// Its size in octets.
        octets: usize,
    },
    /// A part holds a character that it may not hold (RFC 7622 §3.2, §3.3, §3.4).
    Character {
        /// Which part.
        part: JidPart,
        /// The character; where the preparation changed it, what it became.
        character: char,
    },
    /// The part before `@` mixes directions of writing (RFC 8265 §3.3.2, the Bidi Rule of RFC 5893 §2).
    Direction,
    /// The domain is no domain name that IDNA2008 allows (RFC 7622 §3.2).
    NotADomainName,
    /// The text between `[` and `]` is no IPv6 address (RFC 7622 §3.2).
    NotAnIpv6Address,
    /// A resource where only an address without one has a meaning.
    UnexpectedResource,
}

impl Jid {
    /// Parses and prepares an address from a user or a configuration (RFC 7622 §3).
    ///
    /// # Errors
    /// [`JidError`] says which part is wrong and why.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        Self::assemble(text, prepare)
    }

    /// Takes an address from a server, which may have older Unicode tables than ours: a part that [`Jid::parse`] refuses is
    /// kept, and compared, octet by octet (RFC 7622 §3.1 asks no client to end a stream over it). See [`Jid::is_opaque`].
    ///
    /// # Errors
    /// [`JidError`] where a part is empty or longer than 1023 octets, or holds an ASCII control character, or where the
    /// domain holds an `@`.
    pub fn from_server(text: &str) -> Result<Self, JidError> {
        Self::assemble(text, prepare_or_keep)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before `@`.
    pub fn local(&self) -> Option<&str> {
        local(&self.text, self.domain_start)
    }

    /// The domain, with U-labels where it is an internationalised one.
    pub fn domain(&self) -> &str {
        self.text.get(self.domain_start..self.domain_end).unwrap_or_default()
    }

    /// The part after `/`.
    pub fn resource(&self) -> Option<&str> {
        // One more than the end of the domain: the separator.
        self.text.get(self.domain_end + 1..)
    }

    /// Whether there is a resource.
    pub fn is_full(&self) -> bool {
        self.resource().is_some()
    }

    /// Whether a part came from a server and is kept as it came, because our tables refuse it.
    pub fn is_opaque(&self) -> bool {
        self.opaque_bare || self.opaque_resource
    }

    /// The text of the address without its resource.
    pub fn bare(&self) -> &str {
        self.text.get(..self.domain_end).unwrap_or_default()
    }

    /// The address without its resource.
    pub fn to_bare(&self) -> BareJid {
        BareJid {
            text: self.bare().to_owned(),
            domain_start: self.domain_start,
            opaque: self.opaque_bare,
        }
    }

    /// The same account with another resource.
    ///
    /// # Errors
    /// [`JidError`] where the resource is not valid (RFC 7622 §3.4).
    pub fn with_resource(&self, resource: &str) -> Result<Self, JidError> {
        self.to_bare().with_resource(resource)
    }

    /// The domain as DNS and TLS want it: see [`BareJid::domain_for_dns`].
    pub fn domain_for_dns(&self) -> String {
        domain_for_dns(self.domain())
    }

    fn assemble(text: &str, prepare: Prepare) -> Result<Self, JidError> {
        if text.is_empty() {
            return Err(JidError::Empty);
        }
        // RFC 7622 §3.1: the first '/' starts the resource; the first '@' before it ends the local part.
        let (bare, resource) = match split_at(text, b'/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match split_at(bare, b'@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };

        let mut text = String::with_capacity(text.len());
        let mut opaque = false;
        if let Some(local) = local {
            let local = prepare(JidPart::Local, local)?;
            opaque |= local.opaque;
            text.push_str(&local.text);
            text.push('@');
        }
        let domain_start = text.len();
        let domain = prepare(JidPart::Domain, domain)?;
        opaque |= domain.opaque;
        text.push_str(&domain.text);
        let domain_end = text.len();

        let jid = Self {
            text,
            domain_start,
            domain_end,
            opaque_bare: opaque,
            opaque_resource: false,
        };
        match resource {
            Some(resource) => Ok(jid.append(prepare(JidPart::Resource, resource)?)),
            None => Ok(jid),
        }
    }

    fn append(mut self, resource: Prepared<'_>) -> Self {
        self.text.push('/');
        self.text.push_str(&resource.text);
        self.opaque_resource = resource.opaque;
        self
    }
}

impl BareJid {
    /// Parses and prepares an address that must not have a resource (RFC 7622 §3).
    ///
    /// # Errors
    /// [`JidError`] says which part is wrong and why; [`JidError::UnexpectedResource`] where there is a resource.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        Self::without_resource(Jid::parse(text)?)
    }

    /// Takes an address from a server: see [`Jid::from_server`].
    ///
    /// # Errors
    /// As [`Jid::from_server`], and [`JidError::UnexpectedResource`] where there is a resource.
    pub fn from_server(text: &str) -> Result<Self, JidError> {
        Self::without_resource(Jid::from_server(text)?)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before `@`.
    pub fn local(&self) -> Option<&str> {
        local(&self.text, self.domain_start)
    }

    /// The domain, with U-labels where it is an internationalised one.
    pub fn domain(&self) -> &str {
        self.text.get(self.domain_start..).unwrap_or_default()
    }

    /// Whether a part came from a server and is kept as it came, because our tables refuse it.
    pub fn is_opaque(&self) -> bool {
        self.opaque
    }

    /// This account with a resource.
    ///
    /// # Errors
    /// [`JidError`] where the resource is not valid (RFC 7622 §3.4).
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        Ok(Jid::from(self.clone()).append(prepare(JidPart::Resource, resource)?))
    }

    /// The domain as DNS and TLS want it: A-labels for an internationalised name, an IPv6 address without its brackets. A
    /// domain that a server gave and that is no domain name is returned as it is.
    pub fn domain_for_dns(&self) -> String {
        domain_for_dns(self.domain())
    }

    fn without_resource(jid: Jid) -> Result<Self, JidError> {
        if jid.is_full() {
            Err(JidError::UnexpectedResource)
        } else {
            Ok(jid.to_bare())
        }
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        let BareJid {
            text,
            domain_start,
            opaque,
        } = bare;
        let domain_end = text.len();
        Self {
            text,
            domain_start,
            domain_end,
            opaque_bare: opaque,
            opaque_resource: false,
        }
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        Self::parse(text)
    }
}

impl FromStr for BareJid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        Self::parse(text)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Jid").field(&self.as_str()).finish()
    }
}

impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BareJid").field(&self.as_str()).finish()
    }
}

impl fmt::Display for JidPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "the part before '@'",
            Self::Domain => "the domain",
            Self::Resource => "the part after '/'",
        })
    }
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the address is empty"),
            Self::EmptyPart { part } => write!(f, "{part} is empty"),
            Self::TooLong { part, octets } => write!(f, "{part} has {octets} octets, more than {MAX_PART_OCTETS}"),
            // A character that is not plain ASCII could change how the sentence around it is shown.
            Self::Character { part, character } if character.is_ascii_graphic() => {
                write!(f, "{part} may not contain '{character}'")
            }
            Self::Character { part, character: ' ' } => write!(f, "{part} may not contain a space"),
            Self::Character { part, character } => write!(f, "{part} may not contain U+{:04X}", u32::from(*character)),
            Self::Direction => f.write_str("the part before '@' mixes directions of writing"),
            Self::NotADomainName => f.write_str("the domain is not a domain name"),
            Self::NotAnIpv6Address => f.write_str("the domain has brackets but is not an IPv6 address"),
            Self::UnexpectedResource => f.write_str("the address may not have a part after '/' here"),
        }
    }
}

impl core::error::Error for JidError {}

/// A string; read back as [`Jid::from_server`] does, so that a log with a server's odd address replays.
#[cfg(feature = "record")]
mod record {
    use super::{BareJid, Jid};
    use alloc::borrow::Cow;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    impl Serialize for Jid {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    impl<'de> Deserialize<'de> for Jid {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::from_server(&Cow::<'de, str>::deserialize(deserializer)?).map_err(Error::custom)
        }
    }

    impl Serialize for BareJid {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    impl<'de> Deserialize<'de> for BareJid {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::from_server(&Cow::<'de, str>::deserialize(deserializer)?).map_err(Error::custom)
        }
    }
}

/// The text before and after the first such ASCII character: a search for a `char` costs more than all else in a short text.
fn split_at(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn local(text: &str, domain_start: usize) -> Option<&str> {
    // One less than the start of the domain: the separator.
    domain_start.checked_sub(1).and_then(|end| text.get(..end))
}
