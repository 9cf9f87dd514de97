//! How a document is cut into pieces never changes what is read from it, and nothing follows an error.
#![no_main]

use epode::xml::{Framing, Reader, XmlError, XmlEvent, XmlLimits};
use epode_fuzz::memory;
use libfuzzer_sys::fuzz_target;

/// A table entry is larger than the shortest node (`<a/>`), and the tokenizer and its tables have a size of their own.
const FIXED: usize = 256 * 1024;
const PER_BYTE: usize = 128;

fuzz_target!(|document: &[u8]| {
    for framing in [Framing::Stream, Framing::Document] {
        let (whole, most) = memory::most(|| read(document, framing, &mut std::iter::repeat(usize::MAX)));
        assert!(most <= FIXED + PER_BYTE * document.len(), "{most} bytes of memory");
        let bytewise = read(document, framing, &mut std::iter::repeat(1));
        assert_eq!(whole, bytewise, "byte by byte, {framing:?}");
        let mut random = Random(seed(document));
        let pieces = read(document, framing, &mut std::iter::from_fn(|| Some(random.size())));
        assert_eq!(whole, pieces, "in pieces, {framing:?}");
    }
});

type Outcome = (Vec<XmlEvent>, Option<XmlError>, Result<(), XmlError>);

fn read(document: &[u8], framing: Framing, sizes: &mut dyn Iterator<Item = usize>) -> Outcome {
    let mut limits = XmlLimits::default();
    // Small enough for the fuzzer to go over them.
    limits.element_bytes = 1_500;
    limits.document_bytes = Some(3_000);
    limits.depth = 12;
    limits.attributes = 10;
    limits.namespaces = 12;
    limits.attribute_value = 200;
    limits.name = 40;
    limits.nodes = 100;
    let mut reader = Reader::new(framing, limits);
    let mut events = Vec::new();
    let mut rest = document;
    let mut error = None;
    while !rest.is_empty() && error.is_none() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (piece, later) = rest.split_at(size);
        rest = later;
        error = reader.feed(piece, &mut events).err();
    }
    if let Some(error) = &error {
        let so_far = events.len();
        for more in [&b""[..], b"<a/>", document, rest] {
            assert_eq!(reader.feed(more, &mut events).as_ref(), Err(error), "an error stays");
        }
        assert_eq!(events.len(), so_far, "nothing follows an error");
    }
    check_order(&events, framing);
    let end = reader.finish();
    if let Some(error) = &error {
        assert_eq!(end.as_ref(), Err(error), "the end does not change an error");
    }
    if end.is_err() {
        assert_eq!(
            reader.feed(b"<a/>", &mut events),
            end,
            "an end that came too early is an error too"
        );
    }
    (events, error, end)
}

fn check_order(events: &[XmlEvent], framing: Framing) {
    for (index, event) in events.iter().enumerate() {
        let fits = match (framing, event) {
            (Framing::Stream, XmlEvent::Open(root)) => index == 0 && root.nodes().next().is_none(),
            (Framing::Stream, XmlEvent::Element(_)) => index > 0,
            (Framing::Stream, XmlEvent::Close) => index > 0 && index == events.len() - 1,
            (Framing::Document, XmlEvent::Element(_)) => events.len() == 1,
            (Framing::Document, XmlEvent::Open(_) | XmlEvent::Close) => false,
        };
        assert!(fits, "{event:?} is event {index} of {framing:?}");
    }
}

/// FNV-1a: the cuts depend on the document alone, so that a crash repeats.
fn seed(bytes: &[u8]) -> u64 {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash)
}

struct Random(u64);

impl Random {
    fn size(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        [1, 2, 3, 7, 16, 64, 300, 1_000][usize::try_from(self.0 >> 61).unwrap_or_default()]
    }
}
