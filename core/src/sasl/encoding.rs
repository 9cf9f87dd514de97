//! The text of SASL messages in the SASL1 profile (RFC 6120 §6.4): strict base64, and `=` for a message of no bytes.

use alloc::{string::String, vec::Vec};
use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// The text is not base64 in its one canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotBase64;

impl fmt::Display for NotBase64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text is not valid base64")
    }
}

impl core::error::Error for NotBase64 {}

/// Decodes base64 with its padding, without white space, and with zeros in the bits that carry nothing.
///
/// RFC 6120 §13.9.1 (RFC 4648 §3.3, §3.5): anything looser would be a covert channel and would give one message several texts.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, NotBase64> {
    STANDARD.decode(text).map_err(|_| NotBase64)
}

/// Encodes as base64 with padding and without line breaks.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The text of `<auth/>` for a mechanism that speaks first. RFC 6120 §6.4.2: a message of no bytes is `=`, since no text at all
/// means that there is no initial response.
pub(crate) fn initial_response_text(message: &[u8]) -> Zeroizing<String> {
    if message.is_empty() {
        Zeroizing::new(String::from("="))
    } else {
        response_text(message)
    }
}

/// The text of `<response/>`; empty for a message of no bytes.
pub(crate) fn response_text(message: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(encode(message))
}

/// The bytes behind the text of `<challenge/>` or `<success/>`. No text and `=` both mean no bytes.
pub(crate) fn message(text: &str) -> Result<Vec<u8>, NotBase64> {
    if text == "=" { Ok(Vec::new()) } else { decode(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::vectors::{bytes, rows, text};

    const VECTORS: &str = include_str!("../../../tests/vectors/base64.json");

    #[test]
    fn accepts_the_canonical_form() {
        for row in rows(VECTORS, "accepted") {
            assert_eq!(decode(&text(&row, "text")), Ok(bytes(&row, "hex")), "{row}");
            assert_eq!(encode(&bytes(&row, "hex")), text(&row, "text"), "{row}");
        }
    }

    #[test]
    fn refuses_every_other_form() {
        for row in rows(VECTORS, "refused") {
            assert_eq!(decode(row.as_str().unwrap()), Err(NotBase64), "{row}");
            assert_eq!(message(row.as_str().unwrap()), Err(NotBase64), "{row}");
        }
    }

    #[test]
    fn empty_messages() {
        for row in rows(VECTORS, "challenge") {
            assert_eq!(message(&text(&row, "text")), Ok(bytes(&row, "hex")), "{row}");
        }
        for row in rows(VECTORS, "initial_response") {
            assert_eq!(*initial_response_text(&bytes(&row, "hex")), text(&row, "text"), "{row}");
        }
        for row in rows(VECTORS, "response") {
            assert_eq!(*response_text(&bytes(&row, "hex")), text(&row, "text"), "{row}");
        }
    }
}
