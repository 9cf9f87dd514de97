//! What holds for any tree and any bytes: cutting changes nothing, and what is written is read back as it was.

#[cfg(test)]
mod support {
    use epode::xml::{Element, ElementBuilder, Framing, Reader, XML_NAMESPACE, XmlError, XmlEvent, XmlLimits};
    use proptest::prelude::*;

    /// The characters that somebody escapes wrongly sooner or later, and some that nobody does.
    pub(crate) fn text() -> impl Strategy<Value = String> {
        let awkward = proptest::sample::select(vec![
            "&",
            "<",
            ">",
            "'",
            "\"",
            "]]>",
            "]",
            "\t",
            "\n",
            "\r",
            "\r\n",
            " ",
            "&amp;",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "\u{fffd}",
            "\u{7f}",
            "\u{1f980}",
            "\u{10ffff}",
            "\u{e9}",
            "a",
            "xmlns",
        ]);
        proptest::collection::vec(awkward, 0..8).prop_map(|parts| parts.concat())
    }

    fn name() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec!["a", "b", "message", "x-y.z", "_", "\u{e9}t\u{e9}", "xml"])
    }

    fn namespace() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec!["", "jabber:client", "urn:a", "urn:b", "urn:'<&>\"", XML_NAMESPACE])
    }

    fn attributes(element: ElementBuilder, attributes: Vec<(&str, &str, &'static str, String)>) -> ElementBuilder {
        let mut seen = Vec::new();
        attributes
            .into_iter()
            .fold(element, |element, (namespace, prefix, name, value)| {
                if seen.contains(&(namespace.to_owned(), name)) {
                    return element;
                }
                seen.push((namespace.to_owned(), name));
                match namespace {
                    "" => element.attr(name, &value),
                    XML_NAMESPACE => element.attr_ns(namespace, "xml", name, &value),
                    _ => element.attr_ns(namespace, prefix, name, &value),
                }
            })
    }

    pub(crate) fn tree() -> impl Strategy<Value = Element> {
        let prefix = proptest::sample::select(vec!["p", "q", "p1"]);
        let attribute_list = move || proptest::collection::vec((namespace(), prefix.clone(), name(), text()), 0..12);
        let leaf = (namespace(), name(), attribute_list(), text())
            .prop_map(|(namespace, name, list, text)| attributes(Element::builder(namespace, name), list).text(&text));
        let element = leaf.prop_recursive(5, 40, 5, move |inner| {
            (
                namespace(),
                name(),
                attribute_list(),
                proptest::collection::vec((text(), inner), 0..5),
                text(),
            )
                .prop_map(|(namespace, name, list, children, last)| {
                    let element = Element::builder(namespace, name);
                    let element = children.into_iter().fold(element, |element, (text, child)| {
                        element.text(&text).child(child).text(&text).text("+")
                    });
                    // Attributes after children, to have both orders.
                    attributes(element.text(&last), list)
                })
        });
        element.prop_map(|element| element.build().unwrap())
    }

    /// Bytes that are nearly XML: fragments in any order.
    pub(crate) fn fragments() -> impl Strategy<Value = Vec<u8>> {
        let fragment = proptest::sample::select(vec![
            &b"<a>"[..],
            b"</a>",
            b"<a/>",
            b"<b c='d'>",
            b"</b>",
            b"<p:a xmlns:p='u' p:b='1'>",
            b"</p:a>",
            b"<p:b/>",
            b"<a xmlns='u'>",
            b"<a xmlns=''/>",
            b"text",
            b" ",
            b"\r\n",
            b"\r",
            b"&amp;",
            b"&#xD;",
            b"&#x41;",
            b"&bad;",
            b"<![CDATA[x]]y]]>",
            b"]]>",
            b"]",
            b"<!--",
            b"-->",
            b"<?xml version='1.0'?>",
            b"<!DOCTYPE",
            b"<",
            b">",
            b"'",
            b"\"",
            b"=",
            b"/",
            b"\xc3\xa9",
            b"\xe2\x82\xac",
            b"\xf0\x9f\xa6\x80",
            b"\xc3",
            b"\xff",
            b"\0",
            b"xmlns:p='u'",
            b" b='",
            b"' ",
            b"<stream:stream xmlns:stream='s'>",
            b"</stream:stream>",
        ]);
        proptest::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat())
    }

    pub(crate) fn read<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        framing: Framing,
        limits: &XmlLimits,
    ) -> (Vec<XmlEvent>, Option<XmlError>) {
        let mut reader = Reader::new(framing, limits.clone());
        let mut events = Vec::new();
        for piece in pieces {
            if reader.feed(piece, &mut events).is_err() {
                break;
            }
        }
        let error = reader.finish().err();
        (events, error)
    }

    /// The bytes cut at those places (any numbers).
    pub(crate) fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
        places.push(0);
        places.push(bytes.len());
        places.sort_unstable();
        places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }

    pub(crate) fn small_limits() -> XmlLimits {
        let mut limits = XmlLimits::default();
        limits.element_bytes = 60;
        limits.document_bytes = Some(120);
        limits.depth = 3;
        limits.attributes = 2;
        limits.namespaces = 3;
        limits.attribute_value = 10;
        limits.name = 4;
        limits.nodes = 5;
        limits
    }
}

use epode::xml::{Element, Framing, XmlEvent, XmlLimits};
use proptest::prelude::*;
use support::{cut, fragments, read, small_limits, tree};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cutting_changes_nothing(bytes in fragments(), places in proptest::collection::vec(any::<usize>(), 0..10)) {
        for framing in [Framing::Stream, Framing::Document] {
            for limits in [XmlLimits::default(), small_limits()] {
                let whole = read([bytes.as_slice()], framing, &limits);
                prop_assert_eq!(&read(cut(&bytes, &places), framing, &limits), &whole);
                prop_assert_eq!(&read(bytes.chunks(1), framing, &limits), &whole);
            }
        }
    }

    #[test]
    fn cutting_inside_an_open_stream_changes_nothing(bytes in fragments(), places in proptest::collection::vec(any::<usize>(), 0..10)) {
        let bytes = [b"<stream:stream xmlns='c' xmlns:stream='s'>", bytes.as_slice()].concat();
        for limits in [XmlLimits::default(), small_limits()] {
            let whole = read([bytes.as_slice()], Framing::Stream, &limits);
            prop_assert_eq!(&read(cut(&bytes, &places), Framing::Stream, &limits), &whole);
            prop_assert_eq!(&read(bytes.chunks(1), Framing::Stream, &limits), &whole);
            // Whatever was accepted can be written, and is the same when read again.
            for event in whole.0 {
                if let XmlEvent::Element(element) = event {
                    prop_assert_eq!(Element::parse(element.to_xml(), &XmlLimits::default()), Ok(element));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(element in tree()) {
        let mut limits = XmlLimits::default();
        limits.nodes = usize::MAX;
        let xml = element.to_xml();
        let back = Element::parse(&xml, &limits).unwrap();
        prop_assert_eq!(&back, &element);
        prop_assert_eq!(back.to_xml(), xml, "the second writing is the same as the first");
        prop_assert_eq!(&element.root().to_element(), &element);
    }

    #[test]
    fn what_is_written_for_a_stream_is_read_back_from_it(element in tree()) {
        let mut xml = String::from("<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>");
        element.write_into(&mut xml, "jabber:client");
        xml.push_str("</s:stream>");
        let (events, error) = read([xml.as_bytes()], Framing::Stream, &XmlLimits::default());
        prop_assert_eq!(error, None);
        prop_assert_eq!(&events[1], &XmlEvent::Element(element));
    }

    #[test]
    fn a_grafted_copy_is_the_same_tree(element in tree(), other in tree()) {
        let parent = Element::builder("urn:parent", "parent").text("1").element(&other).text("2").element(&element).build().unwrap();
        let children: Vec<_> = parent.children().collect();
        prop_assert_eq!(children[0], other.root());
        prop_assert_eq!(children[1], element.root());
        prop_assert_eq!(children[1].to_element(), element);
        prop_assert_eq!(parent.text(), "12");
    }

    #[test]
    fn renaming_a_namespace_there_and_back_changes_nothing(element in tree()) {
        let mut renamed = element.clone();
        renamed.replace_namespace("urn:a", "urn:new").unwrap();
        prop_assert!(!renamed.to_xml().contains("<a xmlns='urn:a'"));
        renamed.replace_namespace("urn:new", "urn:a").unwrap();
        prop_assert_eq!(renamed, element);
    }
}
