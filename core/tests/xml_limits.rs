//! What a hostile peer can make us take: each limit holds while the bytes arrive, not after.

#[cfg(test)]
mod support {
    use epode::xml::{Framing, Limit, Reader, XmlError, XmlLimits};

    pub(crate) const HEADER: &str =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

    /// The limit that bytes in an open stream break, and after how many bytes; the same in every cut.
    pub(crate) fn breach(bytes: &[u8], limits: &XmlLimits) -> Option<(Limit, usize)> {
        let result = breach_in_pieces(bytes, limits, 1000);
        for piece in [7, 8192, bytes.len().max(1)] {
            let other = breach_in_pieces(bytes, limits, piece);
            assert_eq!(other.map(|o| o.0), result.map(|r| r.0), "in pieces of {piece}");
        }
        result
    }

    fn breach_in_pieces(bytes: &[u8], limits: &XmlLimits, piece: usize) -> Option<(Limit, usize)> {
        let mut reader = Reader::new(Framing::Stream, limits.clone());
        let mut events = Vec::new();
        reader.feed(HEADER.as_bytes(), &mut events).unwrap();
        let mut fed = 0;
        for piece in bytes.chunks(piece) {
            fed += piece.len();
            match reader.feed(piece, &mut events) {
                Ok(()) => {}
                Err(XmlError::LimitExceeded { limit, .. }) => return Some((limit, fed)),
                Err(error) => panic!("{error}"),
            }
        }
        None
    }
}

use epode::xml::{Element, Framing, Limit, Reader, XmlError, XmlEvent, XmlLimits};
use support::{HEADER, breach};

const DEFAULT_BYTES: usize = 1024 * 1024;

#[test]
fn depth() {
    let limits = XmlLimits::default();
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth)).into_bytes();
    assert_eq!(breach(&nested(64), &limits), None);
    assert_eq!(breach(&nested(65), &limits).map(|b| b.0), Some(Limit::Depth));
    let (limit, fed) = breach("<a>".repeat(20_000).as_bytes(), &limits).unwrap();
    assert_eq!((limit, fed), (Limit::Depth, 1000));
    assert!(Element::parse(nested(64), &limits).is_ok());
    assert!(Element::parse(nested(65), &limits).is_err());
}

#[test]
fn attributes() {
    let limits = XmlLimits::default();
    let many = |count: usize| {
        let attributes: String = (0..count).map(|i| format!(" a{i}=''")).collect();
        format!("<a{attributes}/>").into_bytes()
    };
    assert_eq!(breach(&many(128), &limits), None);
    assert_eq!(breach(&many(129), &limits).map(|b| b.0), Some(Limit::Attributes));
    let (limit, fed) = breach(&many(400_000), &limits).unwrap();
    assert_eq!(limit, Limit::Attributes);
    assert!(fed <= 2000, "{fed}");
}

#[test]
fn namespaces() {
    let mut limits = XmlLimits::default();
    limits.depth = usize::MAX;
    let declarations = |count: usize| (0..count).map(|i| format!(" xmlns:p{i}='u{i}'")).collect::<String>();
    // The stream header has declared two.
    assert_eq!(breach(format!("<a{}/>", declarations(254)).as_bytes(), &limits), None);
    assert_eq!(
        breach(format!("<a{}/>", declarations(255)).as_bytes(), &limits).map(|b| b.0),
        Some(Limit::Namespaces)
    );
    let nested = "<a xmlns='u'>".repeat(300);
    assert_eq!(breach(nested.as_bytes(), &limits).map(|b| b.0), Some(Limit::Namespaces));
    // What has gone out of scope does not count.
    let after_each_other = format!("<a>{}</a>", "<a xmlns='u' xmlns:p='v'/>".repeat(5000));
    assert_eq!(breach(after_each_other.as_bytes(), &limits), None);
}

#[test]
fn names_and_values() {
    let limits = XmlLimits::default();
    let name = |length: usize| "n".repeat(length);
    assert_eq!(breach(format!("<{}/>", name(256)).as_bytes(), &limits), None);
    assert_eq!(
        breach(format!("<{}/>", name(257)).as_bytes(), &limits).map(|b| b.0),
        Some(Limit::Name)
    );
    assert_eq!(
        breach(format!("<a {}=''/>", name(300)).as_bytes(), &limits).map(|b| b.0),
        Some(Limit::Name)
    );
    assert!(breach(format!("<{}", name(DEFAULT_BYTES)).as_bytes(), &limits).is_some_and(|(_, fed)| fed <= 9000));
    let value = |length: usize| format!("<a b='{}'/>", "v".repeat(length));
    assert_eq!(breach(value(8192).as_bytes(), &limits), None);
    assert_eq!(
        breach(value(8193).as_bytes(), &limits).map(|b| b.0),
        Some(Limit::AttributeValue)
    );
    let (limit, fed) = breach(format!("<a b='{}", "v".repeat(DEFAULT_BYTES)).as_bytes(), &limits).unwrap();
    assert_eq!(limit, Limit::AttributeValue);
    assert!(fed <= 10_000, "{fed}");
    assert_eq!(
        breach(format!("<a xmlns:p='{}'/>", "v".repeat(9000)).as_bytes(), &limits).map(|b| b.0),
        Some(Limit::AttributeValue)
    );
}

#[test]
fn bytes_of_an_element() {
    let limits = XmlLimits::default();
    let text = |bytes: usize| format!("<a>{}</a>", "x".repeat(bytes - 7)).into_bytes();
    assert_eq!(breach(&text(DEFAULT_BYTES), &limits), None);
    assert_eq!(
        breach(&text(DEFAULT_BYTES + 1), &limits).map(|b| b.0),
        Some(Limit::ElementBytes)
    );
    // Each counts from its own start, and white space between them does not count.
    let two = [text(DEFAULT_BYTES), vec![b' '; 2 * DEFAULT_BYTES], text(DEFAULT_BYTES)].concat();
    assert_eq!(breach(&two, &limits), None);
    let limits = XmlLimits::before_authentication();
    for endless in [
        "x",
        "&amp;",
        "&#x41;",
        "<b/>",
        " ",
        "\r",
        "\u{1f980}",
        "]]",
        "<![CDATA[x]]>",
    ] {
        let bytes = format!("<a>{}", endless.repeat(DEFAULT_BYTES / endless.len())).into_bytes();
        let (limit, fed) = breach(&bytes, &limits).unwrap();
        assert_eq!(limit, Limit::ElementBytes, "{endless}");
        assert!(fed <= 64 * 1024 + 1000, "{endless}: {fed}");
    }
    // White space inside a tag, of an element or of the root's end.
    for tag in ["<a ", "</stream:stream "] {
        let bytes = format!("{tag}{}", " ".repeat(DEFAULT_BYTES));
        assert_eq!(
            breach(bytes.as_bytes(), &limits).map(|b| b.0),
            Some(Limit::ElementBytes),
            "{tag}"
        );
    }
    let mut reader = Reader::new(Framing::Stream, XmlLimits::before_authentication());
    let header = format!("<stream:stream {}", " ".repeat(70_000));
    let error = reader.feed(header.as_bytes(), &mut Vec::new()).unwrap_err();
    assert_eq!(
        error,
        XmlError::LimitExceeded {
            limit: Limit::ElementBytes,
            maximum: 64 * 1024
        }
    );
    assert_eq!(error.stream_error_condition(), "policy-violation");
}

#[test]
fn nodes() {
    let limits = XmlLimits::default();
    let children = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count)).into_bytes();
    assert_eq!(breach(&children(65_535), &limits), None);
    assert_eq!(breach(&children(65_536), &limits).map(|b| b.0), Some(Limit::Nodes));
}

#[test]
fn twenty_megabytes_of_text_stop_at_the_limit() {
    let bytes = format!("<a>{}</a>", "x".repeat(20_000_000));
    assert_eq!(
        Element::parse(&bytes, &XmlLimits::default()),
        Err(XmlError::LimitExceeded {
            limit: Limit::ElementBytes,
            maximum: DEFAULT_BYTES
        })
    );
}

#[test]
fn limits_change_on_a_live_reader() {
    let mut reader = Reader::new(Framing::Stream, XmlLimits::before_authentication());
    let mut events = Vec::new();
    reader.feed(HEADER.as_bytes(), &mut events).unwrap();
    reader.set_limits(XmlLimits::default());
    reader
        .feed(format!("<a>{}</a>", "x".repeat(100_000)).as_bytes(), &mut events)
        .unwrap();
    assert!(matches!(events.as_slice(), [XmlEvent::Open(_), XmlEvent::Element(_)]));
    reader.set_limits(XmlLimits::before_authentication());
    assert!(
        reader
            .feed(format!("<a>{}</a>", "x".repeat(100_000)).as_bytes(), &mut events)
            .is_err()
    );
}

#[test]
fn errors_explain_themselves() {
    let error = Element::parse("<a b='1' b='2'/>", &XmlLimits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the XML is not well-formed: an attribute or a declaration occurs twice"
    );
    let error = Element::parse("<a><!-- x --></a>", &XmlLimits::default()).unwrap_err();
    assert_eq!(error.to_string(), "the XML contains a comment, which XMPP forbids");
    let error = Element::parse("<a>".repeat(65), &XmlLimits::default()).unwrap_err();
    assert_eq!(error.to_string(), "the XML goes over the limit of 64 nested elements");
}
