//! Elements as text: self-contained or for a known default namespace, in the style that RFC 6120 §4.8.5 shows.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::XML_NAMESPACE;
use super::arena::Arena;

/// Writes node `index` and all below it. `context` is the default namespace around it; with `redact`, credentials are left out.
pub(super) fn write<W: Write>(arena: &Arena, index: usize, context: &str, redact: bool, out: &mut W) -> fmt::Result {
    let end = arena.node(index).end();
    let mut open: Vec<OpenElement<'_>> = Vec::new();
    let mut default = context;
    let mut next = index;
    loop {
        while open.last().is_some_and(|element| element.end <= next) {
            let Some(element) = open.pop() else { break };
            out.write_str("</")?;
            write_name(arena, element.index, out)?;
            out.write_char('>')?;
            default = element.outer_default;
        }
        if next >= end {
            return Ok(());
        }
        let node = arena.node(next);
        if node.is_text() {
            if redact
                && open
                    .iter()
                    .any(|element| holds_credentials(arena.namespace(element.index)))
            {
                out.write_str("[redacted]")?;
            } else {
                escape(arena.get(node.span), &TEXT, out)?;
            }
        } else {
            let outer_default = default;
            out.write_char('<')?;
            write_name(arena, next, out)?;
            let namespace = arena.namespace(next);
            if namespace != default && namespace != XML_NAMESPACE {
                out.write_str(" xmlns='")?;
                escape(namespace, &ATTRIBUTE, out)?;
                out.write_char('\'')?;
                default = namespace;
            }
            write_attributes(arena, next, redact, out)?;
            if node.end() == next + 1 {
                out.write_str("/>")?;
                default = outer_default;
            } else {
                out.write_char('>')?;
                open.push(OpenElement {
                    index: next,
                    end: node.end(),
                    outer_default,
                });
            }
        }
        next += 1;
    }
}

/// An element whose end tag is still to be written, and the default namespace that is back in force after it.
struct OpenElement<'a> {
    index: usize,
    end: usize,
    outer_default: &'a str,
}

/// Elements carry no prefix, but for those in the namespace that cannot be the default (Namespaces in XML 1.0 §3).
fn write_name<W: Write>(arena: &Arena, index: usize, out: &mut W) -> fmt::Result {
    if arena.namespace(index) == XML_NAMESPACE {
        out.write_str("xml:")?;
    }
    out.write_str(arena.name(index))
}

fn write_attributes<W: Write>(arena: &Arena, index: usize, redact: bool, out: &mut W) -> fmt::Result {
    // What this element's prefixes stand for. Each element declares its own: prefixed attributes are too rare to track them further.
    let mut prefixes: BTreeMap<String, &str> = BTreeMap::new();
    for attribute in arena.attributes_of(index) {
        let namespace = arena.get(attribute.namespace);
        out.write_char(' ')?;
        if namespace == XML_NAMESPACE {
            out.write_str("xml:")?;
        } else if !namespace.is_empty() {
            let prefix = free_prefix(&prefixes, arena.get(attribute.prefix), namespace);
            if !prefixes.contains_key(&prefix) {
                write!(out, "xmlns:{prefix}='")?;
                escape(namespace, &ATTRIBUTE, out)?;
                out.write_str("' ")?;
            }
            write!(out, "{prefix}:")?;
            prefixes.insert(prefix, namespace);
        }
        out.write_str(arena.get(attribute.name))?;
        out.write_str("='")?;
        // XEP-0484 §3: a token is an attribute, and worth a password.
        let secret = redact && arena.namespace(index) == "urn:xmpp:fast:0" && arena.get(attribute.name) == "token";
        escape(
            if secret {
                "[redacted]"
            } else {
                arena.get(attribute.value)
            },
            &ATTRIBUTE,
            out,
        )?;
        out.write_char('\'')?;
    }
    Ok(())
}

/// The wanted prefix, or with the first number behind it that makes it free or the same namespace's.
fn free_prefix(prefixes: &BTreeMap<String, &str>, wanted: &str, namespace: &str) -> String {
    let fits = |prefix: &str| prefixes.get(prefix).is_none_or(|taken| *taken == namespace);
    let mut prefix = String::from(wanted);
    let mut number = 0_u32;
    while !fits(&prefix) {
        number += 1;
        prefix = format!("{wanted}{number}");
    }
    prefix
}

/// What a character is written as where it cannot stand for itself, in text. A literal CR would be read as LF (XML 1.0 §2.11), and
/// `]]>` must not occur (§2.4).
const fn text_reference(byte: u8) -> Option<&'static str> {
    match byte {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    }
}

/// The same in attribute values, where literal white space would be read as spaces (XML 1.0 §3.3.3).
const fn attribute_reference(byte: u8) -> Option<&'static str> {
    match byte {
        b'\'' => Some("&apos;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        _ => text_reference(byte),
    }
}

/// Writes `value` as it stands between the quotes of an attribute.
pub(crate) fn escape_attribute(out: &mut alloc::string::String, value: &str) {
    // Writing to a String cannot fail.
    let _ = escape(value, &ATTRIBUTE, out);
}

/// How to write one kind of text.
struct Escape {
    reference: fn(u8) -> Option<&'static str>,
    /// The bytes below 64 that need a reference, a bit each; no other does.
    needed: u64,
}

const TEXT: Escape = {
    let (mut needed, mut byte) = (0, 0);
    while byte < 64 {
        needed |= (text_reference(byte).is_some() as u64) << byte;
        byte += 1;
    }
    Escape {
        reference: text_reference,
        needed,
    }
};

const ATTRIBUTE: Escape = {
    let (mut needed, mut byte) = (0, 0);
    while byte < 64 {
        needed |= (attribute_reference(byte).is_some() as u64) << byte;
        byte += 1;
    }
    Escape {
        reference: attribute_reference,
        needed,
    }
};

fn escape<W: Write>(text: &str, how: &Escape, out: &mut W) -> fmt::Result {
    let mut rest = text;
    // Nearly all text needs none: it is looked through without a call for each byte.
    while let Some(at) = rest.bytes().position(|byte| byte < 64 && how.needed >> byte & 1 == 1) {
        let byte = rest.as_bytes().get(at).copied().unwrap_or_default();
        let written = (how.reference)(byte).unwrap_or_default();
        // All that needs a reference is ASCII, hence both cuts are between characters.
        out.write_str(rest.get(..at).unwrap_or_default())?;
        out.write_str(written)?;
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.write_str(rest)
}

/// Passwords and proofs travel as text in these namespaces (RFC 6120 §6, XEP-0388, XEP-0078, XEP-0077, XEP-0484).
fn holds_credentials(namespace: &str) -> bool {
    matches!(
        namespace,
        "urn:ietf:params:xml:ns:xmpp-sasl"
            | "urn:xmpp:sasl:2"
            | "urn:xmpp:sasl:1"
            | "jabber:iq:auth"
            | "jabber:iq:register"
    )
}

/// Takes as many characters as it has room for, then refuses the rest, which stops the writing.
pub(super) struct Truncated {
    pub(super) text: String,
    pub(super) room: usize,
}

impl Write for Truncated {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}
