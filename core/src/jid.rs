//! XMPP addresses: parsed once, then valid for good (RFC 7622).

use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString};
use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::Rules;
use precis_profiles::precis_core::{
    CodepointInfo, DerivedPropertyValue, Error, FreeformClass, IdentifierClass, StringClass, UnexpectedError,
};
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The largest size of a prepared part in octets (RFC 7622 §3.2, §3.3, §3.4).
const MAX_PART_OCTETS: usize = 1023;

/// The largest size of a part before preparation. Width mapping and NFC shrink a text to a third at most, so nothing
/// valid is lost; the bound keeps the work on a hostile text small.
const MAX_RAW_OCTETS: usize = 4 * 1024;

/// What an identifier may hold and a part before `@` may not (RFC 7622 §3.3.1). It does not allow a space anyway.
const EXCLUDED_FROM_LOCAL: [char; 8] = ['"', '&', '\'', '/', ':', '<', '>', '@'];

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
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
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

fn local(text: &str, domain_start: usize) -> Option<&str> {
    // One less than the start of the domain: the separator.
    domain_start.checked_sub(1).and_then(|end| text.get(..end))
}

struct Prepared<'a> {
    text: Cow<'a, str>,
    opaque: bool,
}

type Prepare = for<'a> fn(JidPart, &'a str) -> Result<Prepared<'a>, JidError>;

fn prepare(part: JidPart, raw: &str) -> Result<Prepared<'_>, JidError> {
    if raw.is_empty() {
        return Err(JidError::EmptyPart { part });
    }
    if raw.len() > MAX_RAW_OCTETS {
        return Err(JidError::TooLong {
            part,
            octets: raw.len(),
        });
    }
    let text = match part {
        JidPart::Local => prepare_local(raw)?,
        JidPart::Domain => prepare_domain(raw)?,
        JidPart::Resource => prepare_resource(raw)?,
    };
    if text.is_empty() {
        return Err(JidError::EmptyPart { part });
    }
    if text.len() > MAX_PART_OCTETS {
        return Err(JidError::TooLong {
            part,
            octets: text.len(),
        });
    }
    Ok(Prepared { text, opaque: false })
}

fn prepare_or_keep(part: JidPart, raw: &str) -> Result<Prepared<'_>, JidError> {
    let error = match prepare(part, raw) {
        Ok(prepared) => return Ok(prepared),
        Err(error) => error,
    };
    if raw.is_empty() || raw.len() > MAX_PART_OCTETS {
        return Err(error);
    }
    let breaks_structure = |c: char| c.is_ascii_control() || (part == JidPart::Domain && c == '@');
    match raw.chars().find(|c| breaks_structure(*c)) {
        Some(character) => Err(JidError::Character { part, character }),
        None => Ok(Prepared {
            text: Cow::Borrowed(raw),
            opaque: true,
        }),
    }
}

// RFC 7622 §3.3: the UsernameCaseMapped profile (RFC 8265 §3.3.3) less some characters.
fn prepare_local(raw: &str) -> Result<Cow<'_, str>, JidError> {
    let part = JidPart::Local;
    let profile = UsernameCaseMapped::new();
    // NFC comes first, too: a character that is only another spelling of an allowed one (U+212B for U+00C5) is that one
    // (the order of RFC 8264 §7, where the class is checked on the mapped string).
    let text = profile.normalization_rule(raw).map_err(|e| profile_error(part, &e))?;
    let text = profile.width_mapping_rule(text).map_err(|e| profile_error(part, &e))?;
    check_class(part, &IdentifierClass::default(), &text)?;
    let text = profile.case_mapping_rule(text).map_err(|e| profile_error(part, &e))?;
    let text = profile.normalization_rule(text).map_err(|e| profile_error(part, &e))?;
    // After the mapping: U+FF20 has become '@' by now.
    check_class(part, &IdentifierClass::default(), &text)?;
    if let Some(character) = text.chars().find(|c| EXCLUDED_FROM_LOCAL.contains(c)) {
        return Err(JidError::Character { part, character });
    }
    profile.directionality_rule(text).map_err(|_| JidError::Direction)
}

// RFC 7622 §3.4: the OpaqueString profile (RFC 8265 §4.2.2). A leading space is allowed by it.
fn prepare_resource(raw: &str) -> Result<Cow<'_, str>, JidError> {
    let part = JidPart::Resource;
    let profile = OpaqueString::new();
    check_class(part, &FreeformClass::default(), raw)?;
    let text = profile
        .additional_mapping_rule(raw)
        .map_err(|e| profile_error(part, &e))?;
    profile.normalization_rule(text).map_err(|e| profile_error(part, &e))
}

// RFC 7622 §3.2: an IPv6 literal, an IPv4 address, or a domain name of NR-LDH labels and U-labels.
fn prepare_domain(raw: &str) -> Result<Cow<'_, str>, JidError> {
    if let Some(inner) = raw.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        // The text of RFC 5952, so that two spellings of one address are equal.
        return address
            .map(|a| Cow::Owned(alloc::format!("[{a}]")))
            .ok_or(JidError::NotAnIpv6Address);
    }
    if let Some(character) = raw
        .chars()
        .find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.'))
    {
        return Err(JidError::Character {
            part: JidPart::Domain,
            character,
        });
    }
    let (text, validity) = Uts46::new().to_unicode(raw.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    validity.map_err(|_| JidError::NotADomainName)?;
    // RFC 7622 §3.2: the final dot is stripped.
    let text = match text.strip_suffix('.') {
        Some(stripped) => Cow::Owned(stripped.to_owned()),
        None => text,
    };
    if text.is_empty() {
        return Err(JidError::EmptyPart { part: JidPart::Domain });
    }
    // UTS 46 lets symbols through that IDNA2008 does not: its rules for a U-label (RFC 5892) are those of an identifier.
    for label in text.split('.').filter(|label| !label.is_ascii()) {
        check_class(JidPart::Domain, &IdentifierClass::default(), label)?;
    }
    // The sizes of labels and of the name are those of its A-labels (RFC 1035 §2.3.4).
    to_ascii(&text).ok_or(JidError::NotADomainName)?;
    Ok(text)
}

fn to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    Uts46::new()
        .to_ascii(
            domain.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::Check,
            DnsLength::Verify,
        )
        .ok()
}

fn domain_for_dns(domain: &str) -> String {
    let literal = domain.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    match literal {
        Some(address) => address.to_string(),
        None => to_ascii(domain).unwrap_or(Cow::Borrowed(domain)).into_owned(),
    }
}

/// A PRECIS string class with an answer for characters that are newer than the class's table.
trait NewerCharacters: StringClass {
    fn allows_newer(character: char) -> bool;
}

impl NewerCharacters for IdentifierClass {
    // RFC 8264 §4.2.1: letters and digits without a compatibility equivalent.
    fn allows_newer(character: char) -> bool {
        let letter_or_digit = matches!(
            character.general_category(),
            GeneralCategory::LowercaseLetter
                | GeneralCategory::UppercaseLetter
                | GeneralCategory::OtherLetter
                | GeneralCategory::DecimalNumber
                | GeneralCategory::ModifierLetter
                | GeneralCategory::NonspacingMark
                | GeneralCategory::SpacingMark
        );
        letter_or_digit && character.nfkc().eq([character])
    }
}

impl NewerCharacters for FreeformClass {
    // RFC 8264 §4.3.1: all that an identifier may hold, and symbols, punctuation and what has a compatibility equivalent.
    fn allows_newer(character: char) -> bool {
        !matches!(
            character.general_category(),
            GeneralCategory::Unassigned
                | GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::PrivateUse
                | GeneralCategory::Surrogate
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
    }
}

// The library's classes know Unicode 6.3 only, the version of the registry. RFC 8264 §9 derives the property of a newer
// character from its Unicode properties; without that, no nickname could have an emoji of the last ten years.
fn check_class<C: NewerCharacters>(part: JidPart, class: &C, text: &str) -> Result<(), JidError> {
    let is_newer = |c: char| class.get_value_from_char(c) == DerivedPropertyValue::Unassigned;
    if !text.chars().any(is_newer) {
        return class.allows(text).map_err(|e| profile_error(part, &e));
    }
    // U+180F is a mark that is invisible (Default_Ignorable_Code_Point): RFC 8264 §9.13 disallows those.
    if let Some(character) = text
        .chars()
        .find(|c| is_newer(*c) && (*c == '\u{180F}' || !C::allows_newer(*c)))
    {
        return Err(JidError::Character { part, character });
    }
    // The rules of context then see a plain letter in the place of a newer character.
    let known: String = text.chars().map(|c| if is_newer(c) { 'a' } else { c }).collect();
    class.allows(known).map_err(|e| profile_error(part, &e))
}

fn profile_error(part: JidPart, error: &Error) -> JidError {
    match error {
        Error::BadCodepoint(info)
        | Error::Unexpected(
            UnexpectedError::ContextRuleNotApplicable(info) | UnexpectedError::MissingContextRule(info),
        ) => JidError::Character {
            part,
            character: character(info),
        },
        // What is left is an empty text, or a rule that does not apply to the profile, which cannot be.
        Error::Invalid | Error::Unexpected(UnexpectedError::ProfileRuleNotApplicable | UnexpectedError::Undefined) => {
            JidError::EmptyPart { part }
        }
    }
}

fn character(info: &CodepointInfo) -> char {
    char::from_u32(info.cp).unwrap_or(char::REPLACEMENT_CHARACTER)
}
