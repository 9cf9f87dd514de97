//! The preparation of an address's parts: what may be in them, and the one spelling that is compared (RFC 7622 §3.2 to §3.4).

use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString};
use core::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::Rules;
use precis_profiles::precis_core::{
    CodepointInfo, DerivedPropertyValue, Error, FreeformClass, IdentifierClass, StringClass, UnexpectedError,
};
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::{JidError, JidPart};

/// The largest size of a prepared part in octets (RFC 7622 §3.2, §3.3, §3.4).
pub(super) const MAX_PART_OCTETS: usize = 1023;

/// The largest size of a part before preparation. Width mapping and NFC shrink a text to a third at most, so nothing
/// valid is lost; the bound keeps the work on a hostile text small.
const MAX_RAW_OCTETS: usize = 4 * 1024;

/// What an identifier may hold and a part before `@` may not (RFC 7622 §3.3.1). It does not allow a space anyway.
const EXCLUDED_FROM_LOCAL: [char; 8] = ['"', '&', '\'', '/', ':', '<', '>', '@'];

pub(super) struct Prepared<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) opaque: bool,
}

pub(super) type Prepare = for<'a> fn(JidPart, &'a str) -> Result<Prepared<'a>, JidError>;

pub(super) fn prepare(part: JidPart, raw: &str) -> Result<Prepared<'_>, JidError> {
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
        _ if is_prepared(part, raw.as_bytes()) => Cow::Borrowed(raw),
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

/// Whether a part is plain ASCII that its preparation would leave as it is: nearly every address that arrives, and looking
/// each character up in the tables takes longer than all else that is done with a stanza. `false` means only: prepare it.
fn is_prepared(part: JidPart, raw: &[u8]) -> bool {
    match part {
        // ASCII7 is allowed (RFC 8264 §9.11); upper case is mapped.
        JidPart::Local => raw.iter().all(|byte| {
            byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !EXCLUDED_FROM_LOCAL.contains(&char::from(*byte))
        }),
        JidPart::Resource => raw.iter().all(|byte| (b' '..=b'~').contains(byte)),
        // NR-LDH labels (RFC 5890 §2.3.2.2), with the sizes of RFC 1035 §2.3.4.
        JidPart::Domain => {
            raw.len() <= 253
                && raw.split(|byte| *byte == b'.').all(|label| {
                    (1..=63).contains(&label.len())
                        && label
                            .iter()
                            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                        && label.first() != Some(&b'-')
                        && label.last() != Some(&b'-')
                        && label.get(2..4) != Some(b"--")
                })
        }
    }
}

pub(super) fn prepare_or_keep(part: JidPart, raw: &str) -> Result<Prepared<'_>, JidError> {
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
    let text = profile
        .additional_mapping_rule(raw)
        .map_err(|e| profile_error(part, &e))?;
    let text = profile.normalization_rule(text).map_err(|e| profile_error(part, &e))?;
    // The class is checked last (the order of RFC 8264 §7): NFC makes U+00B7, which needs a context, from U+0387, which
    // does not, and a syllable that is allowed from Hangul Jamo that are not.
    check_class(part, &FreeformClass::default(), &text)?;
    Ok(text)
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

pub(super) fn domain_for_dns(domain: &str) -> String {
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
        return class.allows(text).map_err(|e| class_error(part, class, text, &e));
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
    class.allows(&known).map_err(|e| class_error(part, class, &known, &e))
}

fn class_error<C: StringClass>(part: JidPart, class: &C, text: &str, error: &Error) -> JidError {
    let needs_context = |c: &char| {
        matches!(
            class.get_value_from_char(*c),
            DerivedPropertyValue::ContextJ | DerivedPropertyValue::ContextO
        )
    };
    match (error, text.chars().find(needs_context)) {
        // The library names no character where the context that it needs lies beyond an end of the text.
        (Error::Unexpected(UnexpectedError::Undefined), Some(character)) => JidError::Character { part, character },
        _ => profile_error(part, error),
    }
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

#[cfg(test)]
mod tests {
    use alloc::format;
    use proptest::prelude::*;

    use super::*;

    fn the_long_way(part: JidPart, raw: &str) -> Result<Cow<'_, str>, JidError> {
        match part {
            JidPart::Local => prepare_local(raw),
            JidPart::Domain => prepare_domain(raw),
            JidPart::Resource => prepare_resource(raw),
        }
    }

    fn agree(raw: &str) {
        for part in [JidPart::Local, JidPart::Domain, JidPart::Resource] {
            if is_prepared(part, raw.as_bytes()) {
                assert_eq!(the_long_way(part, raw).as_deref(), Ok(raw), "{part:?}");
            } else if raw.is_ascii() && part != JidPart::Domain {
                // Nothing plain goes the long way for nothing.
                assert_ne!(the_long_way(part, raw).as_deref(), Ok(raw), "{part:?}");
            }
        }
    }

    #[test]
    fn the_short_way_is_that_of_the_tables_for_each_pair_of_characters() {
        for first in '\0'..='\u{ff}' {
            agree(&format!("{first}"));
            for second in '\0'..='\u{7f}' {
                agree(&format!("{first}{second}"));
                agree(&format!("a{first}{second}b"));
            }
        }
    }

    #[test]
    fn a_domain_of_every_size_agrees() {
        for size in 1..300 {
            agree(&"a".repeat(size));
            agree("abc.".repeat(size).trim_end_matches('.'));
        }
    }

    proptest! {
        #[test]
        fn the_short_way_is_that_of_the_tables(raw in "[a-zA-Z0-9.@/ -]{0,40}|[a-z0-9.-]{0,80}|[ -~]{0,40}|(xn--)?[a-z0-9-]{0,12}(\\.[a-z0-9-]{0,12}){0,3}") {
            agree(&raw);
        }
    }
}
