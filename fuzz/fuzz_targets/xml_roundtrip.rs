//! An element that the builder lets through is written as XML that reads back as the same element, for us and for libexpat.
#![no_main]

use epode::xml::{Element, Framing, InvalidXml, Reader, XmlEvent, XmlLimits};
use epode_fuzz::cursor::Cursor;
use epode_fuzz::{expat, grammar, tree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut cursor = Cursor::new(bytes);
    let element = match grammar::element(&mut cursor).build() {
        Ok(element) => element,
        Err(InvalidXml::TooLarge) => panic!("fuzz inputs are small"),
        // It refuses what XML cannot express.
        Err(_) => return,
    };
    let mut limits = XmlLimits::default();
    limits.namespaces = 1_024;
    limits.name = 64 * 1024;
    limits.attribute_value = 64 * 1024;
    limits.element_bytes = 16 * 1024 * 1024;

    let xml = element.to_xml();
    let again = Element::parse(&xml, &limits).unwrap_or_else(|error| panic!("{error}: {xml}"));
    assert_eq!(again, element, "{xml}");
    assert_eq!(again.to_xml(), xml, "writing is stable");
    match expat::parse(xml.as_bytes()) {
        Ok(items) => assert_eq!(tree::of(&element), items, "{xml}"),
        // Names of the fifth edition of XML 1.0 (see xml_expat).
        Err(refusal) => assert!(
            refusal.code == expat::INVALID_TOKEN && !xml.is_ascii(),
            "{refusal:?}: {xml}"
        ),
    }

    // The same inside a stream with a default namespace, as a stanza is written.
    let context = cursor.pick(&["jabber:client", "", "urn:x"]);
    let mut stream = String::from("<s xmlns='");
    stream.push_str(context);
    stream.push_str("'>");
    element.write_into(&mut stream, context);
    stream.push_str("</s>");
    let mut reader = Reader::new(Framing::Stream, limits);
    let mut events = Vec::new();
    let result = reader
        .feed(stream.as_bytes(), &mut events)
        .and_then(|()| reader.finish());
    assert_eq!(result, Ok(()), "{stream}");
    match events.as_slice() {
        [XmlEvent::Open(_), XmlEvent::Element(inner), XmlEvent::Close] => assert_eq!(*inner, element, "{stream}"),
        other => panic!("{other:?}: {stream}"),
    }
});
