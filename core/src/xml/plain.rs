//! The fast lane: one pass over a whole element that holds nothing unusual, straight from the bytes.
//!
//! It accepts a small part of what the tokenizer accepts and never says what is wrong: anything else than a complete element made of the
//! forms below makes it give up, and then the tokenizer reads the same bytes from their first one. So it needs to be right only in what it
//! takes. That is: names of ASCII with one colon at most, values without references and without white space other than the space, text
//! without references, carriage returns and sections, and valid UTF-8 that XML 1.0 §2.2 allows.

use super::XmlError;

/// What is found, in the order of the document. An error makes the fast lane give up.
pub(super) trait Sink {
    /// `<prefix:name`
    fn open(&mut self, prefix: Option<&str>, name: &str) -> Result<(), XmlError>;
    /// `prefix:name='value'` of the tag that is open
    fn attribute(&mut self, prefix: Option<&str>, name: &str, value: &str) -> Result<(), XmlError>;
    /// The end of the start tag.
    fn opened(&mut self) -> Result<(), XmlError>;
    /// The end of the innermost element, but never of the outermost one.
    fn closed(&mut self) -> Result<(), XmlError>;
    /// Never empty, and never twice in a row.
    fn text(&mut self, text: &str) -> Result<(), XmlError>;
}

/// More levels than this are unusual.
const DEPTH: usize = 16;

/// The length of the element that the bytes begin with, after all but its end was given to the sink; `None` for anything unusual or
/// incomplete. `token_bytes` is the longest name or value that the tokenizer would take.
pub(super) fn read<S: Sink>(bytes: &[u8], token_bytes: usize, sink: &mut S) -> Option<usize> {
    let mut cursor = Cursor { bytes, position: 0 };
    // The names of the open elements, as they stand in the start tags.
    let mut names: [&str; DEPTH] = [""; DEPTH];
    let mut depth = 0_usize;
    loop {
        cursor.expect(b'<')?;
        let closed = if cursor.take(b'/') {
            let name = names.get(depth.checked_sub(1)?)?;
            cursor.literal(name.as_bytes())?;
            cursor.space();
            cursor.expect(b'>')?;
            true
        } else {
            let name = cursor.name()?;
            if name.len() > token_bytes {
                return None;
            }
            *names.get_mut(depth)? = name;
            depth += 1;
            let (prefix, local) = split(name)?;
            sink.open(prefix, local).ok()?;
            let empty = attributes(&mut cursor, token_bytes, sink)?;
            sink.opened().ok()?;
            empty
        };
        if closed {
            depth -= 1;
            if depth == 0 {
                return Some(cursor.position);
            }
            sink.closed().ok()?;
        }
        let text = cursor.text()?;
        if !text.is_empty() {
            sink.text(text).ok()?;
        }
    }
}

/// The rest of a start tag; whether it is that of an empty element.
fn attributes<S: Sink>(cursor: &mut Cursor<'_>, token_bytes: usize, sink: &mut S) -> Option<bool> {
    loop {
        let space = cursor.space();
        if cursor.take(b'>') {
            return Some(false);
        }
        if cursor.take(b'/') {
            cursor.expect(b'>')?;
            return Some(true);
        }
        if !space {
            return None;
        }
        let name = cursor.name()?;
        cursor.expect(b'=')?;
        let value = cursor.value()?;
        if name.len() > token_bytes || value.len() > token_bytes {
            return None;
        }
        let (prefix, local) = split(name)?;
        sink.attribute(prefix, local, value).ok()?;
    }
}

/// A name as [`Cursor::name`] finds them: at most one colon, which is neither first nor last.
fn split(name: &str) -> Option<(Option<&str>, &str)> {
    match name.bytes().position(|byte| byte == b':') {
        Some(colon) => Some((Some(name.get(..colon)?), name.get(colon + 1..)?)),
        None => Some((None, name)),
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.bytes.get(self.position) == Some(&byte);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn literal(&mut self, bytes: &[u8]) -> Option<()> {
        self.rest().starts_with(bytes).then(|| self.position += bytes.len())
    }

    /// White space within a tag; whether there was any.
    fn space(&mut self) -> bool {
        let before = self.position;
        while let Some(b' ' | b'\t' | b'\n') = self.bytes.get(self.position) {
            self.position += 1;
        }
        self.position > before
    }

    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let mut end = part(rest)?;
        if rest.get(end) == Some(&b':') {
            end += 1;
            end += part(rest.get(end..)?)?;
        }
        self.position += end;
        core::str::from_utf8(rest.get(..end)?).ok()
    }

    /// A value with its quotes.
    fn value(&mut self) -> Option<&'a str> {
        let (quote, rest) = self.rest().split_first()?;
        let quote = *quote;
        if !matches!(quote, b'\'' | b'"') {
            return None;
        }
        let end = run(rest, |byte| {
            (byte < 0x20) | (byte == quote) | (byte == b'<') | (byte == b'&')
        });
        if rest.get(end) != Some(&quote) {
            return None;
        }
        self.position += end + 2;
        characters(rest.get(..end)?)
    }

    /// All up to the next `<`.
    fn text(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let mut end = 0;
        loop {
            end += run(rest.get(end..)?, |byte| {
                (byte < 0x20) | (byte == b'<') | (byte == b'&') | (byte == b']')
            });
            match rest.get(end)? {
                b'<' => break,
                b'\t' | b'\n' => end += 1,
                // `]]>` must not be in text (XML 1.0 §2.4), so that two of them are unusual.
                b']' if *rest.get(end + 1)? != b']' => end += 1,
                _ => return None,
            }
        }
        self.position += end;
        characters(rest.get(..end)?)
    }
}

/// The length of the name without colon at the start.
fn part(bytes: &[u8]) -> Option<usize> {
    if !matches!(bytes.first()?, b'a'..=b'z' | b'A'..=b'Z' | b'_') {
        return None;
    }
    bytes
        .iter()
        .position(|byte| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
}

/// How many bytes come before the first to stop at. Most text is long and has none: many bytes at once cost little more than one.
fn run(bytes: &[u8], stop: impl Fn(u8) -> bool) -> usize {
    const AT_ONCE: usize = 16;
    let clean = |chunk: &&[u8]| !chunk.iter().fold(false, |found, byte| found | stop(*byte));
    let skipped = bytes.chunks_exact(AT_ONCE).take_while(clean).count() * AT_ONCE;
    let rest = bytes.get(skipped..).unwrap_or_default();
    skipped + rest.iter().take_while(|byte| !stop(**byte)).count()
}

/// Bytes without control characters as characters: UTF-8, and none of the two beyond ASCII that are none of XML's (XML 1.0 §2.2).
fn characters(bytes: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(bytes).ok()?;
    if !text.is_ascii() && text.contains(['\u{fffe}', '\u{ffff}']) {
        return None;
    }
    Some(text)
}
