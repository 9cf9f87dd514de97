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
    let mut cursor = Cursor::new(bytes);
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
    /// Of these, as many from the start as are known to be UTF-8.
    valid: &'a str,
    position: usize,
}

/// How much is checked for UTF-8 at first. One check of many bytes costs less than one of each name and value; but what is behind the
/// element would be checked again for each element before it.
const WINDOW: usize = 512;

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            valid: valid(bytes.get(..WINDOW).unwrap_or(bytes)),
            position: 0,
        }
    }

    /// The next bytes as UTF-8, which are then behind the cursor.
    fn advance(&mut self, bytes: usize) -> Option<&'a str> {
        let start = self.position;
        let end = start + bytes;
        if end > self.valid.len() && self.valid.len() <= WINDOW {
            self.valid = valid(self.bytes);
        }
        self.position = end;
        self.valid.get(start..end)
    }

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
        self.advance(end)
    }

    /// A value with its quotes.
    fn value(&mut self) -> Option<&'a str> {
        let (quote, rest) = self.rest().split_first()?;
        if !matches!(quote, b'\'' | b'"') {
            return None;
        }
        let end = run(rest, [*quote, b'<', b'&']);
        if rest.get(end) != Some(quote) {
            return None;
        }
        self.position += 1;
        let value = self.advance(end)?;
        self.position += 1;
        characters(value)
    }

    /// All up to the next `<`.
    fn text(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let mut end = 0;
        loop {
            end += run(rest.get(end..)?, [b'<', b'&', b']']);
            match rest.get(end)? {
                b'<' => break,
                b'\t' | b'\n' => end += 1,
                // `]]>` must not be in text (XML 1.0 §2.4), so that two of them are unusual.
                b']' if *rest.get(end + 1)? != b']' => end += 1,
                _ => return None,
            }
        }
        characters(self.advance(end)?)
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

/// How many bytes come before the first control character or one of those. It looks at eight at once: taking the bound from each of them
/// sets the high bit of those below it. A borrow may set that of a later one too, so that only the first counts.
fn run(bytes: &[u8], stops: [u8; 3]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let [first, second, third] = stops;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let mut rest = bytes;
    let mut length = 0;
    while let Some((chunk, more)) = rest.split_first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let found = below(word, 0x20) | equal(word, first) | equal(word, second) | equal(word, third);
        if found != 0 {
            return length + found.trailing_zeros() as usize / 8;
        }
        length += chunk.len();
        rest = more;
    }
    let plain = |byte: &&u8| **byte >= 0x20 && !stops.contains(*byte);
    length + rest.iter().take_while(plain).count()
}

/// As much of the bytes as is UTF-8.
fn valid(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let start = bytes.get(..error.valid_up_to()).unwrap_or_default();
            core::str::from_utf8(start).unwrap_or_default()
        }
    }
}

/// Text without control characters, if it has none of the two beyond ASCII that are no characters of XML's (XML 1.0 §2.2).
fn characters(text: &str) -> Option<&str> {
    let unusual = !text.is_ascii() && text.contains(['\u{fffe}', '\u{ffff}']);
    (!unusual).then_some(text)
}
