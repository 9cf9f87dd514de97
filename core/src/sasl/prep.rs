//! SASLprep (RFC 4013) of names and passwords, in the form for queries.
//!
//! A client only ever asks (RFC 3454 §7): a code point that Unicode 3.2 did not assign is allowed and stays as it is, since the server
//! may know it. The tables are those of the `stringprep` crate; its own `saslprep` is the form for stored strings, and maps U+200B,
//! which is in both of RFC 4013's mapping tables, to a space.

use alloc::string::String;
use core::fmt;

use stringprep::tables;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::Secret;

/// Why a name or a password cannot be prepared. It never says which character: that would be a piece of the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum PrepError {
    /// It is not UTF-8.
    NotUtf8,
    /// A character of RFC 4013 §2.3, such as a control character.
    Prohibited,
    /// Right-to-left text mixed with left-to-right text (RFC 4013 §2.4).
    Bidirectional,
    /// Nothing is left of it.
    Empty,
}

impl fmt::Display for PrepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUtf8 => "is not UTF-8",
            Self::Prohibited => "contains a character that SASLprep prohibits, such as a control character",
            Self::Bidirectional => "mixes right-to-left and left-to-right text in a way that SASLprep prohibits",
            Self::Empty => "is empty",
        })
    }
}

impl core::error::Error for PrepError {}

/// Prepares text. The empty string is fine here: whether it is a name is the caller's question.
pub(crate) fn saslprep(text: &str) -> Result<Zeroizing<String>, PrepError> {
    // Exact capacities matter in both steps: a string that grows leaves a piece of the password where it was.
    // RFC 4013 §2.1: what is mapped to nothing goes first, so that U+200B is nothing and not a space. Mapping never lengthens.
    let mut mapped = Zeroizing::new(String::with_capacity(text.len()));
    mapped.extend(
        text.chars()
            .filter(|&c| !tables::commonly_mapped_to_nothing(c))
            .map(|c| if tables::non_ascii_space_character(c) { ' ' } else { c }),
    );
    // RFC 4013 §2.2
    let mut length = 0;
    normalise(&mapped, |c| length += c.len_utf8());
    let mut prepared = Zeroizing::new(String::with_capacity(length));
    normalise(&mapped, |c| prepared.push(c));

    if prepared.chars().any(is_prohibited) {
        return Err(PrepError::Prohibited);
    }
    if breaks_bidirectional_rules(&prepared) {
        return Err(PrepError::Bidirectional);
    }
    Ok(prepared)
}

/// Prepares a user name for PLAIN or SCRAM.
pub(crate) fn username(name: &str) -> Result<Zeroizing<String>, PrepError> {
    let prepared = saslprep(name)?;
    if prepared.is_empty() {
        Err(PrepError::Empty)
    } else {
        Ok(prepared)
    }
}

/// Prepares a password for PLAIN or SCRAM.
pub(crate) fn password(password: &Secret) -> Result<Secret, PrepError> {
    let text = core::str::from_utf8(password.expose()).map_err(|_| PrepError::NotUtf8)?;
    let mut prepared = saslprep(text)?;
    if prepared.is_empty() {
        Err(PrepError::Empty)
    } else {
        Ok(Secret::from(core::mem::take(&mut *prepared)))
    }
}

/// NFKC as Unicode 3.2 had it: what was unassigned then neither decomposes nor composes, whatever it does today.
fn normalise(text: &str, mut each: impl FnMut(char)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let unassigned = tables::unassigned_code_point(first);
        let end = rest
            .find(|c| tables::unassigned_code_point(c) != unassigned)
            .unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        if unassigned {
            run.chars().for_each(&mut each)
        } else {
            run.nfkc().for_each(&mut each)
        }
        rest = behind;
    }
}

// RFC 4013 §2.3
fn is_prohibited(c: char) -> bool {
    tables::non_ascii_space_character(c)
        || tables::ascii_control_character(c)
        || tables::non_ascii_control_character(c)
        || tables::private_use(c)
        || tables::non_character_code_point(c)
        || tables::inappropriate_for_plain_text(c)
        || tables::inappropriate_for_canonical_representation(c)
        || tables::change_display_properties_or_deprecated(c)
        || tables::tagging_character(c)
}

// RFC 3454 §6, with the tables of Unicode 3.2: what was unassigned then has no direction.
fn breaks_bidirectional_rules(text: &str) -> bool {
    let right_to_left = |c| !tables::unassigned_code_point(c) && tables::bidi_r_or_al(c);
    let left_to_right = |c| !tables::unassigned_code_point(c) && tables::bidi_l(c);
    text.contains(right_to_left)
        && (text.contains(left_to_right) || !text.starts_with(right_to_left) || !text.ends_with(right_to_left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::vectors::{rows, text};

    const VECTORS: &str = include_str!("../../../tests/vectors/saslprep.json");

    #[test]
    fn prepares() {
        for row in rows(VECTORS, "prepared") {
            let prepared = saslprep(&text(&row, "input"));
            assert_eq!(
                prepared.as_ref().map(|p| p.as_str()),
                Ok(text(&row, "output").as_str()),
                "{row}"
            );
            assert_eq!(
                prepared.as_ref().map(|p| p.capacity()),
                Ok(text(&row, "output").len()),
                "{row}: no byte was left behind"
            );
        }
    }

    #[test]
    fn refuses() {
        for row in rows(VECTORS, "refused") {
            let error = match text(&row, "error").as_str() {
                "prohibited" => PrepError::Prohibited,
                "bidi" => PrepError::Bidirectional,
                other => panic!("unknown error {other}"),
            };
            assert_eq!(saslprep(&text(&row, "input")), Err(error), "{row}");
        }
    }

    #[test]
    fn passwords_and_names() {
        assert_eq!(password(&Secret::from("I\u{ad}X")), Ok(Secret::from("IX")));
        assert_eq!(password(&Secret::new([0xff])), Err(PrepError::NotUtf8));
        assert_eq!(password(&Secret::from("\u{ad}")), Err(PrepError::Empty));
        assert_eq!(username(""), Err(PrepError::Empty));
    }
}
