//! Whatever we accept, libexpat accepts, with the same tree; what is well-formed for it, we never call ill-formed.
#![no_main]

use epode::xml::{Element, Framing, Reader, XmlError, XmlLimits};
use epode_fuzz::cursor::Cursor;
use epode_fuzz::expat::{self, INVALID_TOKEN, Refusal};
use epode_fuzz::{grammar, tree};
use libfuzzer_sys::fuzz_target;

// Input that begins as XML is taken as it is; any other is a row of choices for the generator.
fuzz_target!(|bytes: &[u8]| {
    if bytes.first() == Some(&b'<') {
        compare(bytes);
    } else {
        compare(&grammar::document(&mut Cursor::new(bytes)));
    }
});

fn compare(document: &[u8]) {
    let theirs = expat::parse(document);
    let limits = XmlLimits::default();

    match Element::parse(document, &limits) {
        Ok(element) => match &theirs {
            Ok(items) => assert_eq!(tree::of(&element), *items, "another tree: {}", show(document)),
            Err(refusal) => assert!(
                excused(document, *refusal),
                "libexpat: {refusal:?} for {}",
                show(document)
            ),
        },
        Err(_) => {}
    }

    let mut reader = Reader::new(Framing::Stream, limits);
    let mut events = Vec::new();
    match reader.feed(document, &mut events).and_then(|()| reader.finish()) {
        Ok(()) => match theirs {
            Ok(items) => {
                let items = tree::without_text_in_root(items);
                assert_eq!(tree::of_stream(&events), items, "another tree: {}", show(document));
            }
            Err(refusal) => assert!(
                excused(document, refusal),
                "libexpat: {refusal:?} for {}",
                show(document)
            ),
        },
        Err(XmlError::NotWellFormed { fault }) => {
            // What RFC 6120 §11.1 forbids is refused early, with whatever is noticed first.
            let plain =
                !document.windows(2).any(|two| two == b"<!" || two == b"<?") && !document.starts_with(b"\xEF\xBB\xBF");
            // The tokenizer takes no more digits than a code point needs.
            let zeros = document.windows(3).any(|three| three == b"&#0" || three == b"#x0");
            assert!(
                theirs.is_err() || !plain || zeros,
                "we call it ill-formed ({fault:?}): {}",
                show(document)
            );
        }
        Err(_) => {}
    }
}

/// libexpat knows the names of XML 1.0 up to its fourth edition; we take those of the fifth, which allows nearly every character.
fn excused(document: &[u8], refusal: Refusal) -> bool {
    let rest = document
        .get(refusal.at..)
        .and_then(|rest| std::str::from_utf8(rest).ok());
    let character = rest.and_then(|rest| rest.chars().next());
    refusal.code == INVALID_TOKEN && character.is_some_and(|c| !c.is_ascii() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
}

fn show(document: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(document)
}
