//! Elements in the hands of an application: building, changing, asking, comparing, showing.

#[cfg(test)]
mod support {
    use epode::xml::{Element, XmlLimits};

    pub(crate) fn parse(xml: &str) -> Element {
        Element::parse(xml, &XmlLimits::default()).unwrap()
    }
}

use epode::xml::{Element, InvalidXml, Node, XML_NAMESPACE, XmlLimits};
use support::parse;

#[test]
fn namespaces_are_declared_where_they_change() {
    let element = Element::builder("jabber:client", "iq")
        .attr("type", "set")
        .child(
            Element::builder("urn:a", "query")
                .child(Element::builder("urn:a", "item"))
                .child(Element::builder("", "none").child(Element::builder("urn:a", "again"))),
        )
        .child(Element::builder("jabber:client", "error"))
        .build()
        .unwrap();
    assert_eq!(
        element.to_xml(),
        "<iq xmlns='jabber:client' type='set'><query xmlns='urn:a'><item/><none xmlns=''><again xmlns='urn:a'/></none></query><error/></iq>"
    );
    let mut inside = String::from(">");
    element
        .child("urn:a", "query")
        .unwrap()
        .write_into(&mut inside, "urn:a");
    assert_eq!(
        inside,
        "><query><item/><none xmlns=''><again xmlns='urn:a'/></none></query>"
    );
    assert_eq!(
        element
            .child("urn:a", "query")
            .unwrap()
            .child("", "none")
            .unwrap()
            .to_xml(),
        "<none><again xmlns='urn:a'/></none>"
    );
}

#[test]
fn attributes_keep_their_order_and_get_their_prefixes_declared() {
    let element = Element::builder("c", "a")
        .attr_ns(XML_NAMESPACE, "xml", "lang", "en")
        .attr("z", "1")
        .attr_ns("u", "p", "a", "2")
        .attr_ns("u", "q", "b", "3")
        .attr_ns("v", "p", "a", "4")
        .attr_ns("u", "p", "c", "5")
        .build()
        .unwrap();
    assert_eq!(
        element.to_xml(),
        "<a xmlns='c' xml:lang='en' z='1' xmlns:p='u' p:a='2' xmlns:q='u' q:b='3' xmlns:p1='v' p1:a='4' p:c='5'/>"
    );
    assert_eq!(parse(&element.to_xml()), element);
    assert_eq!(element.attribute("lang"), None);
    assert_eq!(element.attribute_ns(XML_NAMESPACE, "lang"), Some("en"));
    assert_eq!(element.attribute_ns("v", "a"), Some("4"));
}

#[test]
fn nothing_is_written_that_would_be_read_differently() {
    let element = Element::builder("", "a")
        .attr("b", "\t\n\r<>&'\" ")
        .text("\t\n\r<>&'\" ]]>")
        .build()
        .unwrap();
    assert_eq!(
        element.to_xml(),
        "<a b='&#x9;&#xA;&#xD;&lt;&gt;&amp;&apos;&quot; '>\t\n&#xD;&lt;&gt;&amp;'\" ]]&gt;</a>"
    );
    assert_eq!(parse(&element.to_xml()), element);
}

#[test]
fn what_xml_cannot_express_is_refused() {
    let text = |text: &str| Element::builder("", "a").text(text).build();
    for code_point in ['\0', '\u{8}', '\u{b}', '\u{c}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
        let error = Err(InvalidXml::Character {
            code_point: u32::from(code_point),
        });
        assert_eq!(text(&format!("x{code_point}")), error);
        assert_eq!(
            Element::builder("", "a").attr("b", &format!("{code_point}")).build(),
            error
        );
        assert_eq!(Element::builder(&format!("u{code_point}"), "a").build(), error);
        assert_eq!(
            Element::builder("", "a")
                .attr_ns(&format!("u{code_point}"), "p", "b", "")
                .build(),
            error
        );
    }
    assert!(text("\t\n\r \u{7f}\u{fffd}\u{10ffff}").is_ok());
    for name in ["", "1", "-a", "a b", "a:b", ":", "a>", "a/", "<", "a\0", "\u{d7}", "a="] {
        let error = Err(InvalidXml::Name { name: name.into() });
        assert_eq!(Element::builder("", name).build(), error);
        assert_eq!(Element::builder("", "a").attr(name, "").build(), error);
        assert_eq!(
            Element::builder("", "a").child(Element::builder("", name)).build(),
            error
        );
        assert_eq!(parse("<a/>").set_attribute(name, ""), error.map(|_: Element| ()));
    }
    assert!(Element::builder("", "a").attr("xmlns", "u").build().is_err());
    assert!(Element::builder("http://www.w3.org/2000/xmlns/", "a").build().is_err());
    for (namespace, prefix) in [
        ("u", ""),
        ("u", "xml"),
        ("u", "xmlns"),
        (XML_NAMESPACE, "p"),
        ("u", "a:b"),
        ("http://www.w3.org/2000/xmlns/", "p"),
    ] {
        assert!(
            Element::builder("", "a")
                .attr_ns(namespace, prefix, "b", "")
                .build()
                .is_err(),
            "{namespace} {prefix}"
        );
    }
    let duplicate = Err(InvalidXml::DuplicateAttribute { name: "b".into() });
    assert_eq!(
        Element::builder("", "a").attr("b", "1").attr("b", "1").build(),
        duplicate
    );
    assert_eq!(
        Element::builder("", "a")
            .attr_ns("u", "p", "b", "")
            .attr_ns("u", "q", "b", "")
            .build(),
        duplicate
    );
    let first = Element::builder("", "a").text("\0").attr("", "").build();
    assert_eq!(
        first,
        Err(InvalidXml::Character { code_point: 0 }),
        "the first mistake is reported"
    );
}

#[test]
fn the_root_can_be_stamped() {
    let mut element = parse("<message xmlns='jabber:client' to='a' type='chat'><body to='b'>x</body></message>");
    element.set_attribute("id", "1").unwrap();
    element.set_attribute("to", "c").unwrap();
    assert_eq!(
        element.to_xml(),
        "<message xmlns='jabber:client' to='c' type='chat' id='1'><body to='b'>x</body></message>"
    );
    element.remove_attribute("type");
    element.remove_attribute("missing");
    for number in 0..100 {
        element.set_attribute("id", &number.to_string()).unwrap();
    }
    assert_eq!(
        element.to_xml(),
        "<message xmlns='jabber:client' to='c' id='99'><body to='b'>x</body></message>"
    );
    let before = element.clone();
    assert!(element.set_attribute("id", "\0").is_err());
    assert_eq!(element, before);
    // The attribute of that name in a namespace is another one.
    let mut element = parse("<a xmlns:p='u' p:id='1'/>");
    element.set_attribute("id", "2").unwrap();
    element.remove_attribute("id");
    assert_eq!(element.attribute_ns("u", "id"), Some("1"));
}

#[test]
fn a_namespace_can_be_replaced() {
    let mut element = parse(
        "<message xmlns='jabber:server'><body>x</body><x xmlns='urn:x'><message xmlns='jabber:server'/></x></message>",
    );
    element.replace_namespace("jabber:server", "jabber:client").unwrap();
    assert_eq!(
        element.to_xml(),
        "<message xmlns='jabber:client'><body>x</body><x xmlns='urn:x'><message xmlns='jabber:client'/></x></message>"
    );
    element.replace_namespace("urn:x", "jabber:client").unwrap();
    assert!(
        element
            .child("jabber:client", "x")
            .unwrap()
            .child("jabber:client", "message")
            .is_some()
    );
    assert!(
        element
            .replace_namespace("jabber:client", "http://www.w3.org/2000/xmlns/")
            .is_err()
    );
    assert!(element.replace_namespace("jabber:client", "\0").is_err());
    assert_eq!(element.namespace(), "jabber:client");
    let mut missing = parse("<body xmlns=''><a/></body>");
    missing.replace_namespace("", "jabber:client").unwrap();
    assert_eq!(missing.to_xml(), "<body xmlns='jabber:client'><a/></body>");
    let mut attributes = parse("<a xmlns:p='u' xmlns:q='v' p:b='1' q:b='2'/>");
    attributes.replace_namespace("u", "v").unwrap();
    assert_eq!(
        parse(&attributes.to_xml()).attribute_ns("u", "b"),
        Some("1"),
        "attributes stay where they are"
    );
}

#[test]
fn the_parts_can_be_asked_for() {
    let element = parse("<a xmlns='u'>1<b>2</b>3<b c='4'/><c xmlns='v'>5</c></a>");
    let nodes: Vec<_> = element
        .nodes()
        .map(|node| match node {
            Node::Text(text) => text.to_owned(),
            Node::Element(child) => child.name().to_owned(),
        })
        .collect();
    assert_eq!(nodes, ["1", "b", "3", "b", "c"]);
    assert_eq!(
        element
            .children()
            .map(|child| child.text().into_owned())
            .collect::<Vec<_>>(),
        ["2", "", "5"]
    );
    assert!(matches!(
        element.child("u", "b").unwrap().text(),
        std::borrow::Cow::Borrowed("2")
    ));
    assert!(element.child("u", "c").is_none());
    assert_eq!(element.children().nth(1).unwrap().attribute("c"), Some("4"));
    assert!(!element.is("v", "a") && !element.is("u", "b"));
    assert!(element.memory_size() > 100);
}

#[test]
fn equality_is_that_of_trees() {
    let element = parse("<a xmlns='u' b='1' c='2'>x<d/></a>");
    assert_eq!(parse("<p:a xmlns:p='u' c='2' b='1'>x<p:d></p:d></p:a>"), element);
    assert_eq!(
        Element::builder("u", "a")
            .text("x")
            .attr("b", "1")
            .text("")
            .attr("c", "2")
            .child(Element::builder("u", "d"))
            .build(),
        Ok(element.clone())
    );
    for other in [
        "<a xmlns='v' b='1' c='2'>x<d/></a>",
        "<a xmlns='u' b='1' c='3'>x<d/></a>",
        "<a xmlns='u' b='1'>x<d/></a>",
        "<a xmlns='u' b='1' c='2' e=''>x<d/></a>",
        "<a xmlns='u' b='1' c='2'>y<d/></a>",
        "<a xmlns='u' b='1' c='2'><d/>x</a>",
        "<a xmlns='u' b='1' c='2'>x<d xmlns=''/></a>",
        "<a xmlns='u' b='1' c='2'>x<d><d/></d></a>",
        "<e xmlns='u' b='1' c='2'>x<d/></e>",
    ] {
        assert_ne!(parse(other), element, "{other}");
    }
    // The same nodes in the same order, but another shape.
    assert_ne!(parse("<a><b><c/></b></a>"), parse("<a><b/><c/></a>"));
    let adjacent = Element::builder("", "a")
        .text("x")
        .attr("b", "")
        .text("y")
        .text("z")
        .build()
        .unwrap();
    assert_eq!(adjacent.nodes().count(), 1);
    assert_eq!(adjacent.text(), "xyz");
}

#[test]
fn debug_shows_the_start_and_no_secrets() {
    assert_eq!(format!("{:?}", parse("<a b='1'>x</a>")), "<a b='1'>x</a>");
    let long = Element::builder("", "a").text(&"\u{e9}".repeat(1000)).build().unwrap();
    let shown = format!("{long:?}");
    assert_eq!(shown.chars().count(), 203);
    assert!(shown.ends_with("\u{e9}..."));
    for secret in [
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>c2VjcmV0</auth>",
        "<authenticate xmlns='urn:xmpp:sasl:2'><initial-response>c2VjcmV0</initial-response></authenticate>",
        "<iq xmlns='jabber:client'><query xmlns='jabber:iq:auth'><password>c2VjcmV0</password></query></iq>",
        "<success xmlns='urn:xmpp:sasl:2'><token xmlns='urn:xmpp:fast:0' expiry='2027' token='c2VjcmV0'/></success>",
    ] {
        let shown = format!("{:?}", parse(secret));
        assert!(!shown.contains("c2VjcmV0") && shown.contains("[redacted]"), "{shown}");
    }
}

#[test]
fn deep_and_wide_trees_need_no_stack() {
    let mut limits = XmlLimits::default();
    limits.depth = usize::MAX;
    limits.nodes = usize::MAX;
    limits.element_bytes = usize::MAX;
    let deep = format!("{}{}", "<a>".repeat(200_000), "</a>".repeat(200_000));
    let wide = format!("<a>{}</a>", "<b/>x".repeat(200_000));
    let work = move || {
        for xml in [deep, wide] {
            let element = Element::parse(&xml, &limits).unwrap();
            let copy = element.root().to_element();
            assert_eq!(copy, element.clone());
            assert!(element.to_xml().len() >= xml.len() - 7);
            assert!(!format!("{element:?}").is_empty());
            let grafted = Element::builder("", "r").element(&element).build().unwrap();
            assert_eq!(grafted.children().next(), Some(element.root()));
        }
    };
    // A stack that any recursion over these trees would exhaust.
    std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
#[cfg(feature = "record")]
fn an_element_is_recorded_as_its_xml() {
    let element = parse("<a xmlns='u' b='\"'>x</a>");
    let json = serde_json::to_string(&element).unwrap();
    assert_eq!(json, "\"<a xmlns='u' b='&quot;'>x</a>\"");
    assert_eq!(serde_json::from_str::<Element>(&json).unwrap(), element);
    assert!(serde_json::from_str::<Element>("\"<a>\"").is_err());
    let large = Element::builder("", "a")
        .attr("b", &"&".repeat(100_000))
        .text(&"y".repeat(2_000_000))
        .build()
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Element>(&serde_json::to_string(&large).unwrap()).unwrap(),
        large
    );
}
