//! The places outside any element, byte by byte: before the root, and between the top-level elements of a stream.
//!
//! Nothing here reaches the tokenizer but the `<` of an element, so that white space between stanzas costs no memory, and what XMPP
//! forbids is told apart precisely and at its first bytes.

use alloc::string::String;

use super::{Fault, Restricted, XmlError};

/// Where we are outside of elements.
#[derive(Debug)]
pub(super) enum Gate {
    /// At the very start, the only place for an XML declaration (XML 1.0 §2.8).
    Start,
    /// After something.
    Blank,
    /// After `<`.
    Less {
        /// It was the very first byte.
        first: bool,
    },
    /// After `<!`.
    Bang,
    /// Inside `<?xml ... ?>`, which is collected.
    Declaration { first: bool, text: String },
}

/// What the owner has to do with a byte.
pub(super) enum Verdict {
    /// It was taken; go on here.
    Stay,
    /// An element or an end tag: hand `<` and this byte to the tokenizer.
    Markup,
}

/// What is allowed outside of elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// A document that is one element and nothing else (RFC 7395 §3.3.3).
    pub(super) strict: bool,
    /// Inside the root of a stream.
    pub(super) in_root: bool,
}

/// No declaration that says what it may say is longer.
const DECLARATION_BYTES: usize = 256;

impl Gate {
    /// Whether nothing of the next thing was read yet.
    pub(super) fn is_between(&self) -> bool {
        matches!(self, Self::Start | Self::Blank)
    }

    /// How many of the bytes are white space that changes nothing.
    pub(super) fn blank(&self, bytes: &[u8], rules: Rules) -> usize {
        if rules.strict || !matches!(self, Self::Blank) {
            return 0;
        }
        bytes
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            .count()
    }

    pub(super) fn take(&mut self, byte: u8, rules: Rules) -> Result<Verdict, XmlError> {
        match self {
            Self::Start | Self::Blank => {
                let first = matches!(self, Self::Start);
                *self = match byte {
                    b'<' => Self::Less { first },
                    b' ' | b'\t' | b'\r' | b'\n' if !rules.strict => Self::Blank,
                    _ => return Err(misplaced(byte, first, rules)),
                };
            }
            Self::Less { first } => match byte {
                b'!' => *self = Self::Bang,
                b'?' => {
                    *self = Self::Declaration {
                        first: *first && !rules.strict,
                        text: String::from("<?"),
                    }
                }
                _ => return Ok(Verdict::Markup),
            },
            // RFC 6120 §11.1. No element can begin here, whatever follows.
            Self::Bang => {
                return Err(match byte {
                    b'-' => XmlError::RestrictedXml {
                        what: Restricted::Comment,
                    },
                    b'[' if rules.in_root => XmlError::BadFormat,
                    b'[' => XmlError::fault(Fault::OutsideRoot),
                    _ => XmlError::RestrictedXml {
                        what: Restricted::DocumentType,
                    },
                });
            }
            Self::Declaration { first, text } => {
                let first = *first;
                if collect(text, byte, first)? {
                    check_declaration(text)?;
                    *self = Self::Blank;
                }
            }
        }
        Ok(Verdict::Stay)
    }
}

/// The error for something else than white space and `<`.
fn misplaced(byte: u8, first: bool, rules: Rules) -> XmlError {
    match byte {
        // The first bytes of UTF-16, with a byte order mark or without. A UTF-8 mark is text before the root (RFC 6120 §11.6).
        0xFE | 0xFF | 0 if first => XmlError::UnsupportedEncoding,
        0..=8 | 0xB | 0xC | 0xE..0x20 => XmlError::fault(Fault::InvalidCharacter),
        _ if rules.in_root => XmlError::BadFormat,
        _ => XmlError::fault(Fault::OutsideRoot),
    }
}

/// Takes one byte of `<?...`; true when the declaration is complete.
fn collect(text: &mut String, byte: u8, first: bool) -> Result<bool, XmlError> {
    const START: &[u8] = b"<?xml";
    if let Some(expected) = START.get(text.len()) {
        if byte != *expected {
            return Err(XmlError::RestrictedXml {
                what: Restricted::ProcessingInstruction,
            });
        }
    } else if text.len() == START.len() {
        if !is_space(char::from(byte)) {
            return Err(XmlError::RestrictedXml {
                what: Restricted::ProcessingInstruction,
            });
        }
        if !first {
            // A declaration by its name, but not at the very start.
            return Err(XmlError::fault(Fault::Declaration));
        }
    }
    if !byte.is_ascii() || text.len() >= DECLARATION_BYTES {
        return Err(XmlError::fault(Fault::Declaration));
    }
    text.push(char::from(byte));
    Ok(text.ends_with("?>"))
}

/// XML 1.0 §2.8 production 23, with version 1.0 (RFC 6120 §11.5) and UTF-8 (§11.6).
fn check_declaration(text: &str) -> Result<(), XmlError> {
    let malformed = || XmlError::fault(Fault::Declaration);
    let inner = text
        .strip_prefix("<?xml")
        .and_then(|text| text.strip_suffix("?>"))
        .ok_or_else(malformed)?;
    let (version, rest) = pseudo_attribute(inner, "version").ok_or_else(malformed)?;
    if version != "1.0" {
        return Err(malformed());
    }
    let rest = match pseudo_attribute(rest, "encoding") {
        Some((encoding, rest)) if encoding.eq_ignore_ascii_case("utf-8") => rest,
        Some(_) => return Err(XmlError::UnsupportedEncoding),
        None => rest,
    };
    let rest = match pseudo_attribute(rest, "standalone") {
        Some(("yes" | "no", rest)) => rest,
        Some(_) => return Err(malformed()),
        None => rest,
    };
    if rest.chars().all(is_space) {
        Ok(())
    } else {
        Err(malformed())
    }
}

/// The value of ` name='value'` at the start, and what follows it.
fn pseudo_attribute<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let after_space = text.trim_start_matches(is_space);
    if after_space.len() == text.len() {
        return None;
    }
    let value = after_space
        .strip_prefix(name)?
        .trim_start_matches(is_space)
        .strip_prefix('=')?
        .trim_start_matches(is_space);
    let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    value.get(1..)?.split_once(quote)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}
