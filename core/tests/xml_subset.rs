//! The XML that a peer may send and the XML that it may not (RFC 6120 §11), whole and byte by byte with the same result.

#[cfg(test)]
mod support {
    use epode::xml::{Framing, Reader, XmlError, XmlEvent, XmlLimits};

    pub(crate) const HEADER: &str =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='x' version='1.0'>";

    /// What a reader makes of the bytes in pieces of that size, and of their end.
    pub(crate) fn read(bytes: &[u8], framing: Framing, piece: usize) -> (Vec<XmlEvent>, Option<XmlError>) {
        let mut reader = Reader::new(framing, XmlLimits::default());
        let mut events = Vec::new();
        let mut result = Ok(());
        for piece in bytes.chunks(piece.max(1)) {
            result = reader.feed(piece, &mut events);
            if result.is_err() {
                break;
            }
        }
        let result = result.and_then(|()| reader.finish());
        if let Err(error) = &result {
            // An error stays, and nothing comes after it.
            let before = events.len();
            assert_eq!(reader.feed(b"<message/>", &mut events).as_ref(), Err(error));
            assert_eq!(reader.feed_until_element(b" ").as_ref(), Err(error));
            assert_eq!(reader.finish().as_ref(), Err(error));
            assert_eq!(events.len(), before);
        }
        (events, result.err())
    }

    pub(crate) fn all_pieces(bytes: &[u8], framing: Framing) -> (Vec<XmlEvent>, Option<XmlError>) {
        let whole = read(bytes, framing, bytes.len());
        for piece in [1, 2, 3, 7] {
            assert_eq!(
                read(bytes, framing, piece),
                whole,
                "{} in pieces of {piece}",
                bytes.escape_ascii()
            );
        }
        whole
    }

    /// Asserts that bytes inside an open stream are refused with one of these stream errors, and that nothing of them is delivered.
    pub(crate) fn refused_in_stream(bytes: &[u8], conditions: &[&str]) {
        let mut document = HEADER.as_bytes().to_vec();
        document.extend_from_slice(bytes);
        let (events, error) = all_pieces(&document, Framing::Stream);
        let condition = error.as_ref().map(XmlError::stream_error_condition);
        assert!(
            condition.is_some_and(|c| conditions.contains(&c)),
            "{}: {error:?}",
            bytes.escape_ascii()
        );
        assert_ne!(
            error,
            Some(XmlError::Incomplete),
            "{} must be refused, not waited for",
            bytes.escape_ascii()
        );
        assert_eq!(events.len(), 1, "{}: {events:?}", bytes.escape_ascii());
    }

    /// Asserts the same of bytes at the very start of a stream.
    pub(crate) fn refused_at_start(bytes: &[u8], conditions: &[&str]) {
        let (events, error) = all_pieces(bytes, Framing::Stream);
        let condition = error.as_ref().map(XmlError::stream_error_condition);
        assert!(
            condition.is_some_and(|c| conditions.contains(&c)),
            "{}: {error:?}",
            bytes.escape_ascii()
        );
        assert_ne!(
            error,
            Some(XmlError::Incomplete),
            "{} must be refused, not waited for",
            bytes.escape_ascii()
        );
        assert_eq!(events, []);
    }

    /// The only element in an open stream that is then closed.
    pub(crate) fn accepted(xml: &str) -> epode::xml::Element {
        let document = format!("{HEADER}{xml}</stream:stream>");
        let (events, error) = all_pieces(document.as_bytes(), Framing::Stream);
        assert_eq!(error, None, "{xml}");
        match events.as_slice() {
            [XmlEvent::Open(_), XmlEvent::Element(element), XmlEvent::Close] => element.clone(),
            _ => panic!("{xml}: {events:?}"),
        }
    }
}

use epode::xml::{
    Fault, Framing, Reader, Restricted, XML_NAMESPACE, XmlError, XmlEvent, XmlLimits, parse_document_stream,
};
use support::{HEADER, accepted, all_pieces, read, refused_at_start, refused_in_stream};

const MALFORMED: &[&str] = &["not-well-formed"];
const RESTRICTED: &[&str] = &["restricted-xml"];

#[test]
fn comments_instructions_and_document_types_are_restricted() {
    refused_in_stream(b"<!-- x -->", RESTRICTED);
    refused_in_stream(b"<?pi x?>", RESTRICTED);
    refused_in_stream(b"<?xml-stylesheet href='x'?>", RESTRICTED);
    refused_in_stream(b"<!DOCTYPE a [<!ENTITY b \"c\">]>", RESTRICTED);
    refused_in_stream(b"<a><!-- x --></a>", RESTRICTED);
    refused_in_stream(b"<a><?pi x?></a>", RESTRICTED);
    refused_in_stream(b"<a><?xml version='1.0'?></a>", RESTRICTED);
    refused_in_stream(b"<a><!DOCTYPE a></a>", RESTRICTED);
    refused_in_stream(b"<a>user@good.example<!---->.evil.example</a>", RESTRICTED);
    refused_at_start(b"<!DOCTYPE a [<!ENTITY b \"c\">]><a/>", RESTRICTED);
    refused_at_start(b"<!-- x --><a/>", RESTRICTED);
    refused_at_start(b"<?pi x?><a/>", RESTRICTED);
    refused_at_start(b"<?xml version='1.0'?><!DOCTYPE a><a/>", RESTRICTED);
    let entities = b"<?xml version='1.0'?><!DOCTYPE z [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]><z>&b;</z>";
    let (_, error) = all_pieces(entities, Framing::Stream);
    assert_eq!(
        error,
        Some(XmlError::RestrictedXml {
            what: Restricted::DocumentType
        })
    );
}

#[test]
fn only_the_predefined_entities_exist() {
    refused_in_stream(
        b"<message><body>&nbsp;</body></message>",
        &["not-well-formed", "restricted-xml"],
    );
    refused_in_stream(b"<a b='&nbsp;'/>", &["not-well-formed", "restricted-xml"]);
    assert_eq!(
        accepted("<a b='&amp;&lt;&gt;&apos;&quot;'>&amp;&lt;&gt;&apos;&quot;</a>").text(),
        "&<>'\""
    );
}

#[test]
fn an_attribute_occurs_once() {
    for xml in [
        "<a b='1' b='2'/>",
        "<a xmlns:x='u' xmlns:y='u' x:b='' y:b=''/>",
        "<a x:b='' xmlns:x='u' y:b='' xmlns:y='u'/>",
        "<a xmlns='x' xmlns='y'/>",
        "<a xmlns:p='x' xmlns:p='y'/>",
        "<a a1='' a2='' a3='' a4='' a5='' a6='' a7='' a8='' a9='' a3=''/>",
        "<a xmlns:x='u' xmlns:y='u' a1='' a2='' a3='' a4='' a5='' a6='' a7='' x:a8='' y:a8=''/>",
    ] {
        let (_, error) = all_pieces(format!("{HEADER}{xml}").as_bytes(), Framing::Stream);
        assert_eq!(
            error,
            Some(XmlError::NotWellFormed {
                fault: Fault::DuplicateAttribute
            }),
            "{xml}"
        );
    }
    // The same local name in different namespaces is not the same attribute, and the default namespace is not an attribute's.
    let element = accepted("<a xmlns='u' xmlns:x='u' xmlns:y='v' b='1' x:b='2' y:b='3'/>");
    assert_eq!(element.attribute("b"), Some("1"));
    assert_eq!(element.attribute_ns("u", "b"), Some("2"));
    assert_eq!(element.attribute_ns("v", "b"), Some("3"));
    let many = accepted("<a xmlns:x='u' xmlns:y='v' a1='' a2='' a3='' a4='' a5='' a6='' a7='' b='1' x:b='2' y:b='3'/>");
    assert_eq!(many.attributes().count(), 10);
}

#[test]
fn tags_match_and_prefixes_are_declared() {
    for xml in [
        "<a></b>",
        "<a><b></a></b>",
        "<x:a/>",
        "<a x:b=''/>",
        "<xmlns:a/>",
        "<xmlns:a xmlns:b='u'/>",
        // The scope of a declaration ends with its element.
        "<a><b xmlns:x='u'/><x:c/></a>",
        // The same namespace is not enough, the tags are compared as written.
        "<x:a xmlns:x='u' xmlns:y='u'></y:a>",
    ] {
        refused_in_stream(xml.as_bytes(), MALFORMED);
    }
    let (events, error) = all_pieces(format!("{HEADER}</a>").as_bytes(), Framing::Stream);
    assert_eq!(
        (events.len(), error),
        (
            1,
            Some(XmlError::NotWellFormed {
                fault: Fault::MismatchedTag
            })
        )
    );
}

#[test]
fn tags_follow_the_grammar() {
    for xml in [
        "<a b=1/>",
        "<a b/>",
        "<a b='<'/>",
        "<a b='&'/>",
        "< a/>",
        "<1a/>",
        "<a b='1'c='2'/>",
        "<a 'x'/>",
        "<a =''/>",
        "<a/ >",
        "<a></ a>",
        "<a></a b=''>",
        "<a><></a>",
        "<a b='x'\"y\"/>",
        "<a:b:c/>",
        "<:a/>",
        "<a:/>",
        "<a b:c:d=''/>",
        "<a :b=''/>",
        "<a b:=''/>",
        "<a:1 xmlns:a='u'/>",
        "<-a/>",
        "<a><![CDATA[x]]</a>",
        "<a>&#65</a>",
        "<a>&amp</a>",
        "<a>& </a>",
    ] {
        if xml == "<a><![CDATA[x]]</a>" {
            // Not refused but unfinished: the section goes on.
            let (events, error) = all_pieces(format!("{HEADER}{xml}").as_bytes(), Framing::Stream);
            assert_eq!((events.len(), error), (1, Some(XmlError::Incomplete)));
            continue;
        }
        refused_in_stream(xml.as_bytes(), MALFORMED);
    }
}

#[test]
fn characters_are_those_of_xml() {
    for reference in [
        "&#0;",
        "&#x0;",
        "&#xD800;",
        "&#xDFFF;",
        "&#xFFFE;",
        "&#xFFFF;",
        "&#x110000;",
        "&#99999999999999;",
        "&#;",
        "&#x;",
        "&#1;",
        "&#xB;",
    ] {
        refused_in_stream(format!("<a>{reference}</a>").as_bytes(), MALFORMED);
        refused_in_stream(format!("<a b='{reference}'/>").as_bytes(), MALFORMED);
    }
    for raw in ["\0", "\u{1}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
        refused_in_stream(format!("<a>{raw}</a>").as_bytes(), MALFORMED);
        refused_in_stream(format!("<a><![CDATA[{raw}]]></a>").as_bytes(), MALFORMED);
        refused_in_stream(format!("<a b='{raw}'/>").as_bytes(), MALFORMED);
        refused_in_stream(format!("<a{raw}/>").as_bytes(), MALFORMED);
    }
    refused_in_stream(b"<a>]]></a>", MALFORMED);
    refused_in_stream(b"<a>x]]]></a>", MALFORMED);
}

#[test]
fn bytes_are_utf_8() {
    let broken: &[&[u8]] = &[
        &[0xC0, 0xAF],
        &[0xED, 0xA0, 0x80],
        &[0xF4, 0x90, 0x80, 0x80],
        &[0xF5],
        &[0x80],
        &[0xE2, 0x82],
        &[0xFF],
        &[0xE0, 0x80, 0xAF],
    ];
    for bytes in broken {
        for (before, after) in [
            ("<a>", "</a>"),
            ("<a b='", "'/>"),
            ("<a", "/>"),
            ("<a b", "=''/>"),
            ("<a><![CDATA[", "]]></a>"),
        ] {
            let document = [before.as_bytes(), bytes, after.as_bytes()].concat();
            refused_in_stream(&document, &["not-well-formed", "unsupported-encoding"]);
        }
        refused_in_stream(bytes, &["not-well-formed", "unsupported-encoding", "bad-format"]);
    }
}

#[test]
fn byte_order_marks_are_refused() {
    refused_at_start("\u{feff}<?xml version='1.0'?><a/>".as_bytes(), MALFORMED);
    refused_at_start("\u{feff}<a/>".as_bytes(), MALFORMED);
    refused_at_start("<?xml version='1.0'?>\u{feff}<a/>".as_bytes(), MALFORMED);
    refused_at_start(b"\xFF\xFE<\0a\0", &["unsupported-encoding"]);
    refused_at_start(b"\xFE\xFF\0<\0a", &["unsupported-encoding"]);
    refused_at_start(b"\0<\0a", &["unsupported-encoding"]);
    refused_in_stream("\u{feff}".as_bytes(), &["bad-format"]);
}

#[test]
fn reserved_namespaces_stay_what_they_are() {
    for xml in [
        "<a xmlns:xml='u'/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
    ] {
        let (_, error) = all_pieces(format!("{HEADER}{xml}").as_bytes(), Framing::Stream);
        assert_eq!(
            error,
            Some(XmlError::NotWellFormed {
                fault: Fault::ReservedNamespace
            }),
            "{xml}"
        );
    }
    assert_eq!(
        accepted("<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en'/>")
            .attribute_ns(XML_NAMESPACE, "lang"),
        Some("en")
    );
}

#[test]
fn a_stream_contains_elements_and_white_space() {
    for xml in [
        "text",
        "&#32;",
        "&amp;",
        "]]>",
        "<![CDATA[ ]]>",
        "<![CDATA[]]>",
        " x",
        "\u{a0}",
        "<message/>",
    ] {
        let bad = &["bad-format"];
        if xml == "<message/>" {
            refused_in_stream(b"<stream:stream/>", bad);
            refused_in_stream(b"<stream:stream><a/></stream:stream>", bad);
            refused_in_stream(b"<s:stream xmlns:s='http://etherx.jabber.org/streams'>", bad);
        } else {
            refused_in_stream(xml.as_bytes(), bad);
        }
    }
    // Deeper down it is payload like any other, and does not reset anything.
    let payload = accepted("<message><stream:stream><b/></stream:stream></message>");
    assert_eq!(payload.children().count(), 1);
    assert!(accepted(" \t\r\n <message/>\r\n ").is("jabber:client", "message"));
}

#[test]
fn the_xml_declaration_stands_at_the_very_start() {
    for declaration in [
        "<?xml version='1.0'?>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
        "<?xml version='1.0' encoding='utf-8' ?>\r\n ",
        "<?xml\tversion = '1.0'\nencoding='UTF-8' standalone='no'?>",
        "<?xml version='1.0' standalone='yes'?>",
        "",
        " \n",
    ] {
        let (events, error) = all_pieces(
            format!("{declaration}{HEADER}</stream:stream>").as_bytes(),
            Framing::Stream,
        );
        assert_eq!(error, None, "{declaration}");
        assert!(
            matches!(events.as_slice(), [XmlEvent::Open(_), XmlEvent::Close]),
            "{declaration}: {events:?}"
        );
    }
    refused_in_stream(b"<?xml version='1.0'?>", MALFORMED);
    for document in [
        " <?xml version='1.0'?><a/>",
        "<?xml version='1.0'?><?xml version='1.0'?><a/>",
        "<?xml version='1.0'?>x<a/>",
        "<?xml version='1.1'?><a/>",
        "<?xml version='1&#46;0'?><a/>",
        "<?xml ?><a/>",
        "<?xml encoding='UTF-8'?><a/>",
        "<?xml version='1.0' standalone='maybe'?><a/>",
        "<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>",
        "<?xml version='1.0'encoding='UTF-8'?><a/>",
        "<?xml version='1.0' x='y'?><a/>",
        "<?xml version='1.0\"?><a/>",
        "<?xml version='1.0'><a/>?>",
        "x<a/>",
        "</a>",
    ] {
        refused_at_start(document.as_bytes(), MALFORMED);
    }
    refused_at_start(format!("<?xml version='1.0' {}", " ".repeat(300)).as_bytes(), MALFORMED);
    refused_at_start(
        b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
        &["unsupported-encoding"],
    );
    refused_at_start(
        b"<?xml version='1.0' encoding='UTF-16'?><a/>",
        &["unsupported-encoding"],
    );
}

#[test]
fn after_the_root_there_is_only_white_space() {
    let closed = format!("{HEADER}</stream:stream>");
    assert_eq!(all_pieces(format!("{closed} \r\n").as_bytes(), Framing::Stream).1, None);
    for trailing in ["<message/>", "x", "</a>", "<!-- -->", "\0"] {
        let (events, error) = all_pieces(format!("{closed}{trailing}").as_bytes(), Framing::Stream);
        assert!(
            matches!(events.as_slice(), [XmlEvent::Open(_), XmlEvent::Close]),
            "{trailing}: {events:?}"
        );
        assert_eq!(
            error,
            Some(XmlError::NotWellFormed {
                fault: Fault::OutsideRoot
            }),
            "{trailing}"
        );
    }
}

#[test]
fn text_arrives_as_it_was_meant() {
    assert_eq!(accepted("<body><![CDATA[a<b]]></body>").text(), "a<b");
    assert_eq!(
        accepted("<body>1<![CDATA[2]]]]><![CDATA[>3]]>&#52;</body>").text(),
        "12]]>34"
    );
    assert_eq!(
        accepted("<body>1<![CDATA[2]]>3</body>").nodes().count(),
        1,
        "text next to text is one piece"
    );
    assert_eq!(accepted("<body>&#x41;&#66;</body>").text(), "AB");
    assert_eq!(accepted("<body>a\u{feff}b</body>").text(), "a\u{feff}b");
    assert_eq!(
        accepted("<body>\u{1f980}\u{10ffff}</body>").text(),
        "\u{1f980}\u{10ffff}"
    );
    assert_eq!(accepted("<a>1<b>2</b>3</a>").text(), "13");
    assert_eq!(accepted("<a> </a>").text(), " ");
}

#[test]
fn line_ends_and_white_space_in_attributes_are_normalised() {
    // XML 1.0 §2.11 and §3.3.3.
    assert_eq!(accepted("<a>1\r\n2\r3\r\r\n4\n\r5</a>").text(), "1\n2\n3\n\n4\n\n5");
    assert_eq!(accepted("<a><![CDATA[1\r\n2\r]]></a>").text(), "1\n2\n");
    assert_eq!(accepted("<a>\r\r&amp;</a>").text(), "\n\n&");
    assert_eq!(
        accepted("<a b='1\r\n2\r3\t4\n5\r'/>").attribute("b"),
        Some("1 2 3 4 5 ")
    );
    assert_eq!(accepted("<a b='1\r&amp;\r\t'/>").attribute("b"), Some("1 &  "));
    assert_eq!(accepted("<a b='&#10;&#13;&#9;'/>").attribute("b"), Some("\n\r\t"));
    assert_eq!(accepted("<a>&#13;\n</a>").text(), "\r\n");
    assert_eq!(accepted("<a\r\n b='1'\r\n/\u{3e}").attribute("b"), Some("1"));
}

#[test]
fn quotes_spaces_and_prefixes_are_a_matter_of_taste() {
    let plain = accepted("<message to='a@b'><body>x</body></message>");
    for same in [
        "<message to=\"a@b\"><body>x</body></message>",
        "<message\n to = 'a@b' ><body >x</body ></message\t>",
        "<c:message xmlns:c='jabber:client' to='a@b'><c:body>x</c:body></c:message>",
        "<message to='a@b' xmlns='jabber:client' xmlns:unused='u'><body>x</body></message>",
    ] {
        assert_eq!(accepted(same), plain, "{same}");
    }
    assert_ne!(
        accepted("<message xmlns='evil' to='a@b'><body>x</body></message>"),
        plain
    );
    assert_eq!(accepted("<a xmlns=''/>").namespace(), "");
    assert_eq!(
        accepted("<a xmlns='u'><b xmlns=''><c/></b></a>")
            .child("", "b")
            .unwrap()
            .child("", "c")
            .map(|c| c.name()),
        Some("c")
    );
    assert_eq!(accepted("<a />"), accepted("<a></a>"));
    assert_eq!(
        accepted("<a b='\"' c=\"'\"/>")
            .attributes()
            .map(|a| a.value)
            .collect::<Vec<_>>(),
        ["\"", "'"]
    );
    let element = accepted("<p:a xmlns:p='u'><p:b xmlns:p='v'><p:c/></p:b><p:d/></p:a>");
    assert!(element.is("u", "a"));
    assert!(element.child("v", "b").unwrap().child("v", "c").is_some());
    assert!(element.child("u", "d").is_some());
}

#[test]
fn any_prefix_may_stand_for_the_stream_namespace() {
    let document = "<?xml version='1.0'?><s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xml:lang='de'>\
                    <s:features/><f:features xmlns:f='http://etherx.jabber.org/streams'/></s:stream>";
    let (events, error) = all_pieces(document.as_bytes(), Framing::Stream);
    assert_eq!(error, None);
    let [
        XmlEvent::Open(root),
        XmlEvent::Element(first),
        XmlEvent::Element(second),
        XmlEvent::Close,
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert!(root.is("http://etherx.jabber.org/streams", "stream"));
    assert_eq!(root.attribute_ns(XML_NAMESPACE, "lang"), Some("de"));
    assert_eq!(first, second);
}

#[test]
fn the_content_namespace_is_that_of_the_header() {
    for (header, namespace) in [
        (HEADER, "jabber:client"),
        ("<s:stream xmlns:s='u'>", ""),
        ("<s xmlns='v'>", "v"),
    ] {
        let mut reader = Reader::new(Framing::Stream, XmlLimits::default());
        reader.feed(header.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(reader.content_namespace(), namespace);
        reader.feed(b"<a xmlns='w'><b>", &mut Vec::new()).unwrap();
        assert_eq!(reader.content_namespace(), namespace);
    }
}

#[test]
fn a_document_is_one_element_and_nothing_else() {
    let element = "<message xmlns='jabber:client'><body>x</body></message>";
    let (events, error) = all_pieces(element.as_bytes(), Framing::Document);
    assert_eq!(error, None);
    assert!(matches!(events.as_slice(), [XmlEvent::Element(e)] if e.is("jabber:client", "message")));
    for refused in [
        format!(" {element}"),
        format!("{element} "),
        format!("{element}{element}"),
        format!("<?xml version='1.0'?>{element}"),
        format!("\u{feff}{element}"),
        format!("<!-- -->{element}"),
        format!("{element}x"),
        "x".into(),
        "</a>".into(),
    ] {
        let (_, error) = all_pieces(refused.as_bytes(), Framing::Document);
        assert!(error.is_some_and(|error| error != XmlError::Incomplete), "{refused}");
        assert!(
            epode::xml::Element::parse(&refused, &XmlLimits::default()).is_err(),
            "{refused}"
        );
    }
    for incomplete in ["", "<", "<a", "<a>", "<a></a", "<a>&amp"] {
        assert_eq!(
            epode::xml::Element::parse(incomplete, &XmlLimits::default()),
            Err(XmlError::Incomplete),
            "{incomplete}"
        );
        assert_eq!(
            all_pieces(incomplete.as_bytes(), Framing::Document).1,
            Some(XmlError::Incomplete),
            "{incomplete}"
        );
    }
}

#[test]
fn a_stream_document_is_seen_whole_or_not_at_all() {
    let streams = [("stream", "http://etherx.jabber.org/streams")];
    let limits = XmlLimits::default();
    let body = "<body xmlns='http://jabber.org/protocol/httpbind' sid='s'><stream:features/><message xmlns='jabber:client'/></body>";
    let (root, children) = parse_document_stream(body.as_bytes(), &limits, &streams).unwrap();
    assert_eq!(
        (root.attribute("sid"), root.children().count(), children.len()),
        (Some("s"), 0, 2)
    );
    assert!(children[1].is("jabber:client", "message"));
    let (_, none) =
        parse_document_stream(b"<body xmlns='http://jabber.org/protocol/httpbind'/>\r\n", &limits, &[]).unwrap();
    assert_eq!(none, []);
    for (wrong, error) in [
        (&body[..body.len() - 1], XmlError::Incomplete),
        ("", XmlError::Incomplete),
        (
            "<body/><body/>",
            XmlError::NotWellFormed {
                fault: Fault::OutsideRoot,
            },
        ),
        ("<html><p>Bad gateway", XmlError::Incomplete),
    ] {
        assert_eq!(
            parse_document_stream(wrong.as_bytes(), &limits, &streams),
            Err(error),
            "{wrong}"
        );
    }
    assert!(
        parse_document_stream(body.as_bytes(), &limits, &[]).is_err(),
        "without the declaration the prefix is unknown"
    );
    // A declaration of the document's own goes before.
    let (_, own) = parse_document_stream(b"<body xmlns:stream='u'><stream:a/></body>", &limits, &streams).unwrap();
    assert!(own[0].is("u", "a"));
    let mut small = limits.clone();
    small.document_bytes = Some(body.len());
    assert!(parse_document_stream(body.as_bytes(), &small, &streams).is_ok());
    small.document_bytes = Some(body.len() - 1);
    let error = parse_document_stream(body.as_bytes(), &small, &streams).unwrap_err();
    assert_eq!(error.stream_error_condition(), "policy-violation");
}

#[test]
fn what_follows_an_element_can_be_left_unread() {
    let proceed = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    for injected in [&b""[..], b" ", b"<message/>", b"\x16\x03\x01"] {
        let mut reader = Reader::new(Framing::Stream, XmlLimits::before_authentication());
        reader.feed(HEADER.as_bytes(), &mut Vec::new()).unwrap();
        let bytes = [&b" "[..], proceed, injected].concat();
        let (consumed, event) = reader.feed_until_element(&bytes).unwrap();
        assert!(matches!(event, Some(XmlEvent::Element(e)) if e.is("urn:ietf:params:xml:ns:xmpp-tls", "proceed")));
        assert_eq!(consumed, 1 + proceed.len());
    }
    let mut reader = Reader::new(Framing::Stream, XmlLimits::default());
    assert!(matches!(
        reader.feed_until_element(b"<a/>").unwrap(),
        (4, Some(XmlEvent::Open(_)))
    ));
    assert_eq!(reader.feed_until_element(b"").unwrap(), (0, Some(XmlEvent::Close)));
    assert_eq!(reader.feed_until_element(b"").unwrap(), (0, None));
}

#[test]
fn events_before_an_error_in_the_same_bytes_are_kept() {
    let (events, error) = read(
        format!("{HEADER}<a/><b/><c></d>").as_bytes(),
        Framing::Stream,
        usize::MAX,
    );
    assert_eq!(events.len(), 3);
    assert_eq!(
        error,
        Some(XmlError::NotWellFormed {
            fault: Fault::MismatchedTag
        })
    );
}
