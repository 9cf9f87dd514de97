//! The fast lane and the tokenizer are one reader: the same tables, errors and positions, whichever of them reads an element.
//!
//! Bytes that come one by one never hold a whole element, so that the tokenizer reads them all: that is asserted, and what it makes of
//! them is what every other way to cut them has to give.

use std::cell::Cell;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::{Framing, Reader, SLICE_BYTES, XmlEvent};
use crate::xml::{XmlError, XmlLimits};

std::thread_local! {
    static PLAIN: Cell<usize> = const { Cell::new(0) };
}

/// An element was read in the fast lane.
pub(super) fn count_plain() {
    PLAIN.set(PLAIN.get() + 1);
}

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:outer' id='x'>";

/// Everything that can be seen of a document: what was read with the bytes taken until then, and the error with the bytes handed over.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// The tables of the elements as they are in memory.
    events: Vec<(usize, String)>,
    error: Option<XmlError>,
    element_bytes: usize,
    document_bytes: usize,
}

/// What a document is read with.
#[derive(Clone, Debug)]
struct Setting {
    framing: Framing,
    made_with: XmlLimits,
    /// Set after the header of a stream.
    limits: XmlLimits,
}

impl Setting {
    fn new(framing: Framing, limits: XmlLimits) -> Self {
        Self {
            framing,
            made_with: limits.clone(),
            limits,
        }
    }

    fn reader(&self) -> Reader {
        let mut reader = Reader::new(self.framing, self.made_with.clone());
        if self.framing == Framing::Stream {
            let mut events = Vec::new();
            reader.feed(HEADER.as_bytes(), &mut events).unwrap();
            assert!(matches!(events.as_slice(), [XmlEvent::Open(_)]), "{events:?}");
        }
        reader.set_limits(self.limits.clone());
        reader
    }

    /// What is made of those pieces, and how many elements the fast lane read.
    fn read<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Outcome, usize) {
        let mut reader = self.reader();
        let before = PLAIN.get();
        let mut events = Vec::new();
        let mut taken = 0;
        let mut error = None;
        'pieces: for piece in pieces {
            let mut rest = piece;
            loop {
                match reader.feed_until_element(rest) {
                    Ok((consumed, event)) => {
                        taken += consumed;
                        rest = &rest[consumed..];
                        let Some(event) = event else { break };
                        events.push((taken, show(&event)));
                    }
                    Err(wrong) => {
                        error = Some(wrong);
                        break 'pieces;
                    }
                }
            }
        }
        // How far into a broken element each got is nobody's business; without an error it is.
        let (element_bytes, document_bytes) = match error {
            Some(_) => (0, 0),
            None => (reader.element_bytes, reader.document_bytes),
        };
        let outcome = Outcome {
            events,
            error: error.or(reader.finish().err()),
            element_bytes,
            document_bytes,
        };
        (outcome, PLAIN.get() - before)
    }

    /// Compares the lanes, and says how many elements the fast one read of the whole.
    fn compare(&self, bytes: &[u8]) -> usize {
        let (slow, plain) = self.read(bytes.chunks(1));
        assert_eq!(plain, 0, "single bytes never take the fast lane");
        let (fast, plain) = self.read([bytes]);
        assert_eq!(fast, slow, "{} with {self:?}", bytes.escape_ascii());
        plain
    }
}

fn show(event: &XmlEvent) -> String {
    match event {
        XmlEvent::Open(element) => format!("open {:?} {}", element.arena, element.arena.memory()),
        XmlEvent::Element(element) => format!("element {:?} {}", element.arena, element.arena.memory()),
        XmlEvent::Close => String::from("close"),
    }
}

fn plain_in_stream(bytes: &[u8]) -> usize {
    Setting::new(Framing::Stream, XmlLimits::default()).compare(bytes)
}

#[test]
fn plain_stanzas_take_the_fast_lane() {
    let plain = [
        "<message from='juliet@capulet.example/balcony' to='user@example.org/r' id=\"m-1\" type='chat'><body>Wherefore?</body></message>",
        "<presence/>",
        "<presence  />",
        "<a\n\tb='1'\n></a\n>",
        "<iq type='result' id='1'><query xmlns='jabber:iq:roster' ver=''><item jid='a@b'/><item jid='c@d'>x</item>y</query></iq>",
        "<a xml:lang='de' p:b='1'><p:c xmlns:p='urn:p' p:b='2'/><p:d/></a>",
        "<p:a xmlns:p='urn:inner' xmlns=''><b/></p:a>",
        "<a>Gr\u{fc}\u{df}e, \u{1f980} \u{7f} > ' \" a]b\n\tc</a>",
        "<a b='\u{e9}\u{fffd}>]]>\"'/>",
        "<stream:features><x xmlns='urn:x'/></stream:features>",
    ];
    for stanza in plain {
        assert_eq!(plain_in_stream(stanza.as_bytes()), 1, "{stanza}");
        let document = Setting::new(Framing::Document, XmlLimits::default());
        let own = !stanza.contains("stream:") && !stanza.contains(" p:b='1'");
        assert_eq!(document.compare(stanza.as_bytes()), usize::from(own), "{stanza}");
    }
    let all = plain.join("\r\n \t") + "</stream:stream> ";
    assert_eq!(plain_in_stream(all.as_bytes()), plain.len());
}

#[test]
fn what_is_unusual_is_left_to_the_tokenizer() {
    let unusual: [&[u8]; 46] = [
        b"<a>&amp;</a>",
        b"<a>&#65;</a>",
        b"<a>&bad;</a>",
        b"<a>\r</a>",
        b"<a>\r\n</a>",
        b"<a\r/>",
        b"<a b='\r'/>",
        b"<a b='\t'/>",
        b"<a b='\n'/>",
        b"<a b='&lt;'/>",
        b"<a b='<'/>",
        b"<a><![CDATA[x]]></a>",
        b"<a><!-- x --></a>",
        b"<a><?x?></a>",
        b"<a>]]</a>",
        b"<a>]]></a>",
        b"<a>\0</a>",
        b"<a>\x0b</a>",
        b"<a b='\x1f'/>",
        b"<a>\xff</a>",
        b"<a>\xed\xa0\x80</a>",
        b"<a>\xef\xbf\xbe</a>",
        b"<a>\xef\xbf\xbf</a>",
        b"<a b='\xef\xbf\xbf'/>",
        b"<a b='\xc3'/>",
        "<\u{e9}/>".as_bytes(),
        "<a \u{e9}='1'/>".as_bytes(),
        b"<a:b:c/>",
        b"<a b:c:d='1'/>",
        b"<a:/>",
        b"<:a/>",
        b"<-a/>",
        b"<undeclared:a/>",
        b"<a undeclared:b='1'/>",
        b"<xmlns:a/>",
        b"<a xmlns:xmlns='urn:a'/>",
        b"<a xmlns:p=''/>",
        b"<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        b"<a b='1' b='2'/>",
        b"<a xmlns:q='urn:outer' p:b='1' q:b='2'/>",
        b"<a xmlns='u' xmlns='u'/>",
        b"<a b='1'c='2'/>",
        b"<a b = '1'/>",
        b"<a></b>",
        b"<stream:stream/>",
        b"<a/ >",
    ];
    for stanza in unusual {
        assert_eq!(plain_in_stream(stanza), 0, "{}", stanza.escape_ascii());
        // What it left behind would show in what follows it, in either lane.
        let around = [
            b"<p:x><y/>1</p:x>",
            stanza,
            b"<p:x><y/>2</p:x>",
            stanza,
            b"<a>&lt;</a><p:x/>",
        ];
        assert!(plain_in_stream(&around.concat()) >= 1, "{}", stanza.escape_ascii());
    }
}

#[test]
fn giving_up_leaves_no_trace() {
    let late = "<a xmlns:p='urn:inner' xmlns='urn:other'><p:b xmlns:q='urn:q' p:c='1'>text<d/>&amp;</p:b></a>";
    let plain = "<p:a q='1'><b/></p:a>";
    let both = [plain, late, plain, late, plain].concat();
    assert_eq!(plain_in_stream(both.as_bytes()), 3);
    assert_eq!(
        plain_in_stream(format!("{late}<q:a/>").as_bytes()),
        0,
        "q is not declared any more"
    );
}

#[test]
fn an_element_in_pieces_is_the_same() {
    let stanzas = "<a b='1'>x<p:c/></a> <d xmlns='u'>\u{e9}<e/></d>";
    let setting = Setting::new(Framing::Stream, XmlLimits::default());
    let (slow, _) = setting.read(stanzas.as_bytes().chunks(1));
    for cut in 0..stanzas.len() {
        let (first, second) = stanzas.as_bytes().split_at(cut);
        let (outcome, plain) = setting.read([first, second]);
        assert_eq!(outcome, slow, "cut at {cut}");
        assert!(plain >= 1, "cut at {cut}");
    }
}

/// A stanza for which every limit is met exactly, and each limit one lower refuses it.
#[test]
fn limits_are_exact_in_both_lanes() {
    let stanza = "<message b='1' a='123456'><x xmlns='urn:x'><y/></x>text</message>";
    let exact = XmlLimits {
        element_bytes: stanza.len(),
        document_bytes: Some(HEADER.len() + stanza.len()),
        depth: 3,
        attributes: 2,
        // Three of the header, and one.
        namespaces: 4,
        attribute_value: 6,
        name: 7,
        nodes: 4,
    };
    let setting = |limits: XmlLimits| Setting {
        framing: Framing::Stream,
        made_with: XmlLimits::default(),
        limits,
    };
    assert_eq!(setting(exact.clone()).compare(stanza.as_bytes()), 1);
    let lower: [fn(&mut XmlLimits); 8] = [
        |limits| limits.element_bytes -= 1,
        |limits| limits.document_bytes = limits.document_bytes.map(|bytes| bytes - 1),
        |limits| limits.depth -= 1,
        |limits| limits.attributes -= 1,
        |limits| limits.namespaces -= 1,
        |limits| limits.attribute_value -= 1,
        |limits| limits.name -= 1,
        |limits| limits.nodes -= 1,
    ];
    for lower in lower {
        let mut limits = exact.clone();
        lower(&mut limits);
        let setting = setting(limits);
        assert_eq!(setting.compare(stanza.as_bytes()), 0, "{:?}", setting.limits);
        let (outcome, _) = setting.read([stanza.as_bytes()]);
        assert!(
            matches!(outcome.error, Some(XmlError::LimitExceeded { .. })),
            "{outcome:?}"
        );
    }
}

/// The tokenizer keeps the longest token that it was made with, whatever limits come later.
#[test]
fn later_limits_do_not_lift_that_of_the_tokenizer() {
    let made_with = XmlLimits {
        attribute_value: 80,
        name: 80,
        ..XmlLimits::default()
    };
    let setting = Setting {
        framing: Framing::Stream,
        made_with,
        limits: XmlLimits::default(),
    };
    for (length, plain) in [(79, 1), (80, 1), (81, 0)] {
        let long = "x".repeat(length);
        assert_eq!(
            setting.compare(format!("<a b='{long}'/>").as_bytes()),
            plain,
            "value of {length}"
        );
        assert_eq!(
            setting.compare(format!("<{long}/>").as_bytes()),
            plain,
            "name of {length}"
        );
        assert_eq!(
            setting.compare(format!("<a {long}='1'/>").as_bytes()),
            plain,
            "attribute of {length}"
        );
        assert_eq!(
            setting.compare(format!("<a>{long}</a>").as_bytes()),
            1,
            "text of {length}"
        );
    }
}

#[test]
fn long_elements_are_left_to_the_tokenizer() {
    for (length, plain) in [(SLICE_BYTES - 1, 1), (SLICE_BYTES, 1), (SLICE_BYTES + 1, 0)] {
        let stanza = format!("<a>{}</a>", "x".repeat(length - "<a></a>".len()));
        assert_eq!(plain_in_stream(stanza.as_bytes()), plain, "{length}");
    }
}

/// What the scan for the end of a value finds at any distance, in front of every other byte.
#[test]
fn every_byte_at_every_place_is_judged_alike() {
    for byte in 0..=u8::MAX {
        for place in [0, 1, 7, 8, 9, 15, 16, 18, 19] {
            let mut text = [b'x'; 20];
            text[place] = byte;
            for next in [b'x', 0xff] {
                if let Some(after) = text.get_mut(place + 1) {
                    *after = next;
                }
                let setting = Setting::new(Framing::Document, XmlLimits::default());
                setting.compare(&[b"<a b='", &text[..], b"'/>"].concat());
                setting.compare(&[b"<a>", &text[..], b"</a>"].concat());
            }
        }
    }
}

/// UTF-8 is checked in a window first: a character across its end, and bytes behind an element that are not UTF-8, change nothing.
#[test]
fn characters_anywhere_are_the_same() {
    for before in 480..530 {
        let text = "x".repeat(before);
        for (character, plain) in [
            (&b"\xc3\xa9"[..], 1),
            (b"\xf0\x9f\xa6\x80", 1),
            (b"\xef\xbf\xbf", 0),
            (b"\xff", 0),
            (b"\xf0\x9f", 0),
        ] {
            let stanza = [b"<a b='1'>", text.as_bytes(), character, b"<c d='e'/></a>"].concat();
            assert_eq!(plain_in_stream(&stanza), plain, "{before} {}", character.escape_ascii());
            let stanza = [b"<a b='", text.as_bytes(), character, b"'/>"].concat();
            assert_eq!(plain_in_stream(&stanza), plain, "{before} {}", character.escape_ascii());
            let stanza = [b"<a>", text.as_bytes(), b"</a>", character].concat();
            assert_eq!(plain_in_stream(&stanza), 1, "{before} {}", character.escape_ascii());
        }
    }
}

#[test]
fn many_levels_are_left_to_the_tokenizer() {
    for (depth, plain) in [(15, 1), (16, 1), (17, 0)] {
        let stanza = ["<a>".repeat(depth), "</a>".repeat(depth)].concat();
        assert_eq!(plain_in_stream(stanza.as_bytes()), plain, "{depth}");
    }
}

/// One of the choices, the first ones far more often.
fn pick(usual: Vec<&'static [u8]>, odd: Vec<&'static [u8]>) -> impl Strategy<Value = Vec<u8>> {
    let owned = |list: Vec<&'static [u8]>| proptest::sample::select(list).prop_map(<[u8]>::to_vec);
    prop_oneof![25 => owned(usual), 1 => owned(odd)]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    pick(
        vec![b"a", b"b", b"message", b"p:x", b"p:a", b"x-y.z1", b"_"],
        vec![
            b"q:x",
            b"xml:a",
            b"xmlns:a",
            b"\xc3\xa9",
            b"\xc2\xb7",
            b"1a",
            b"a:b:c",
            b":a",
            b"a:",
            b"a:1",
            b"stream:stream",
            b"a\xff",
            b"a123456789012345678901234567890123456789012345678901234567890123",
            b"a1234567890123456789012345678901234567890123456789012345678901234",
        ],
    )
}

fn attribute() -> impl Strategy<Value = Vec<u8>> {
    pick(
        vec![
            b" a='1'",
            b" b=\"2\"",
            b" c='x>y\"'",
            b"\n\td='3'",
            b" e='\xc3\xa9'",
            b" xmlns='urn:1'",
            b" xmlns=''",
            b" xmlns:p='urn:p'",
            b" xmlns:q='urn:p'",
            b" xml:lang='en'",
            b" p:a='4'",
            b" f='0123456789012345'",
            b"",
            b"  ",
        ],
        vec![
            b" q:a='5'",
            b" a='&amp;'",
            b" a='\t'",
            b" a='\n'",
            b" a='\r\n'",
            b" a='<'",
            b" a='\xef\xbf\xbe'",
            b" a='\xff'",
            b" a='\xc3'",
            b" a='\x01'",
            b" a = '1'",
            b"g='1'",
            b" a",
            b" a=",
            b" a=1",
            b" a='1",
            b"\r",
            b" \xc3\xa9='1'",
            b" xmlns:p=''",
            b" xmlns:xml='http://www.w3.org/XML/1998/namespace'",
            b" xmlns:xml='urn:1'",
            b" xmlns:p='http://www.w3.org/XML/1998/namespace'",
            b" xmlns='http://www.w3.org/XML/1998/namespace'",
            b" xmlns:p='http://www.w3.org/2000/xmlns/'",
            b" xmlns:xmlns='urn:1'",
            b" xmlns:1='urn:1'",
            b" a='01234567890123456789012345678901234567890123456789012345678901234'",
        ],
    )
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    pick(
        vec![
            b"",
            b"",
            b"",
            b"hello",
            b"\n\t",
            b" > ' \" ",
            b"a]b",
            b"\xc3\xa9",
            b"\xf0\x9f\xa6\x80",
            b"012345678901234",
            b"0123456789012345",
            b"01234567890123456",
            b"\x7f",
        ],
        vec![
            b"&lt;",
            b"&#13;",
            b"&bad;",
            b"&",
            b"\r",
            b"\r\n",
            b"]",
            b"]]",
            b"]]>",
            b"\0",
            b"\x1f",
            b"\xc3",
            b"\xff",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xef\xbf\xbe",
            b"\xef\xbf\xbf",
            b"<![CDATA[x]]>",
            b"<!-- -->",
            b"<?pi?>",
            b"<!",
            b"<",
        ],
    )
}

fn stanza() -> impl Strategy<Value = Vec<u8>> {
    let tag = || (name(), proptest::collection::vec(attribute(), 0..4));
    let empty = pick(vec![b"/>", b" />", b"\n/>"], vec![b"/ >", b"//>", b"/"]);
    let leaf =
        (tag(), empty).prop_map(|((name, attributes), end)| [b"<".to_vec(), name, attributes.concat(), end].concat());
    leaf.prop_recursive(4, 12, 3, move |inner| {
        let end = pick(vec![b">", b" >", b"\n>"], vec![b"", b"/>", b"\r>", b"x>"]);
        (tag(), text(), proptest::collection::vec((inner, text()), 0..3), end).prop_map(
            |((name, attributes), text, children, end)| {
                let mut bytes = [&b"<"[..], &name, &attributes.concat(), b">", &text].concat();
                for (child, text) in children {
                    bytes.extend([child, text].concat());
                }
                [&bytes[..], b"</", &name, &end].concat()
            },
        )
    })
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    let between = pick(
        vec![b"", b"", b" ", b"\r\n"],
        vec![b"x", b"</stream:stream>", b"<!", b"<?xml?>", b"\xff"],
    );
    proptest::collection::vec((stanza(), between), 1..5).prop_map(|parts| {
        parts
            .into_iter()
            .flat_map(|(stanza, between)| [stanza, between].concat())
            .collect()
    })
}

/// Small enough to be met, from what a stanza of ours has. The header of a stream fits into none of them, and has to.
fn limits() -> impl Strategy<Value = XmlLimits> {
    let tight = (
        8_usize..150,
        100_usize..400,
        1_usize..5,
        0_usize..4,
        3_usize..7,
        0_usize..20,
        1_usize..9,
        1_usize..9,
    )
        .prop_map(
            |(element_bytes, document_bytes, depth, attributes, namespaces, attribute_value, name, nodes)| XmlLimits {
                element_bytes,
                document_bytes: Some(document_bytes),
                depth,
                attributes,
                namespaces,
                attribute_value,
                name,
                nodes,
            },
        );
    prop_oneof![1 => Just(XmlLimits::default()), 1 => tight]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_lanes_agree(bytes in document(), limits in limits(), token_bytes in proptest::sample::select(vec![64, 8192]), end in any::<usize>()) {
        let made_with = XmlLimits {
        attribute_value: token_bytes,
        name: 64,
..XmlLimits::default()
};
        for framing in [Framing::Stream, Framing::Document] {
            let setting = Setting { framing, made_with: made_with.clone(), limits: limits.clone() };
            setting.compare(&bytes);
            // An error shows at the same byte, if the bytes up to any place give the same.
            setting.compare(&bytes[..end % (bytes.len() + 1)]);
        }
    }
}

/// The generator above is no good if all that it makes is unusual, or nothing.
#[test]
fn the_generator_meets_both_lanes() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let setting = Setting::new(Framing::Stream, XmlLimits::default());
    let (mut plain, mut slow, mut errors) = (0, 0, 0);
    for _ in 0..500 {
        let bytes = document().new_tree(&mut runner).unwrap().current();
        let (outcome, count) = setting.read([bytes.as_slice()]);
        plain += count;
        slow += outcome.events.len() - count;
        errors += usize::from(!matches!(outcome.error, Some(XmlError::Incomplete)));
    }
    assert!(
        plain > 200 && slow > 20 && errors > 100,
        "{plain} plain, {slow} not, {errors} errors"
    );
}
