//! Documents that are XML but for the faults in them, and elements for the builder. A fuzzer of bytes hardly ever declares a namespace
//! twice; here that is one choice.

use epode::xml::{Element, ElementBuilder};

use crate::cursor::Cursor;

const PREFIXES: [&str; 9] = ["", "", "", "a", "b", "stream", "xml", "xmlns", "\u{e9}"];
const NAMES: [&str; 10] = [
    "a", "b", "message", "xmlns", "lang", "x-1.0_", "id", "\u{e9}", "a:b", "-x",
];
const NAMESPACES: [&str; 10] = [
    "urn:x",
    "urn:x",
    "urn:y",
    "",
    "jabber:client",
    "http://www.w3.org/XML/1998/namespace",
    "http://www.w3.org/2000/xmlns/",
    " urn:x",
    "urn:&#x79;",
    "urn:&amp;'\"",
];
const TEXTS: [&str; 40] = [
    "x",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "&amp;",
    "&lt;",
    "&gt;",
    "&apos;",
    "&quot;",
    "&#13;",
    "&#xA;",
    "&#9;",
    "\u{e9}",
    "\u{10ffff}",
    "]]&gt;",
    "]]",
    "'",
    "\"",
    "<![CDATA[",
    "]]>",
    "<![CDATA[<&]]]]>",
    "&#0;",
    "&#x1;",
    "&#xFFFE;",
    "&#xD800;",
    "&#x110000;",
    "&#x10FFFF;",
    "&undefined;",
    "&",
    "<",
    ">",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{fffd}",
    "\u{fffe}",
    "&#00000000065;",
];
/// Not UTF-8: cut off, overlong, a surrogate, too large, a lone continuation.
const BYTES: [&[u8]; 9] = [
    b"\xC3",
    b"\xC0\xAF",
    b"\xE0\x80\xAF",
    b"\xED\xA0\x80",
    b"\xF4\x90\x80\x80",
    b"\x80",
    b"\xFF",
    b"\0",
    b"\xEF\xBF\xBE",
];
const MARKUP: [&str; 8] = [
    "<!---->",
    "<!-- - -->",
    "<?pi?>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE a>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "</a>",
    "<a:/>",
];
const BEFORE: [&str; 12] = [
    "<?xml version='1.0'?>",
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
    "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>",
    "<?xml version='1.0' standalone='no'?>\n",
    " ",
    "\u{feff}",
    "<?xml version='1.1'?>",
    "<?xml version='1.0' encoding='iso-8859-1'?>",
    "<?xml encoding='utf-8'?>",
    "<?xml version='1.0'encoding='utf-8'?>",
    "<?xml?>",
    "x",
];
const SPACES: [&str; 7] = [" ", "\n", "\t ", "\r\n", "", "/", "\u{a0}"];

/// A document. Nearly all faults are one choice away from a document without.
pub fn document(cursor: &mut Cursor<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if cursor.one_in(4) {
        out.extend_from_slice(cursor.pick(&BEFORE).as_bytes());
    }
    let mut open: Vec<String> = Vec::new();
    start(cursor, &mut open, &mut out);
    while !open.is_empty() && !cursor.is_empty() && out.len() < 16 * 1024 {
        match cursor.byte() % 16 {
            0..=4 => start(cursor, &mut open, &mut out),
            5..=8 => end(cursor, &mut open, &mut out),
            9..=13 => out.extend_from_slice(cursor.pick(&TEXTS).as_bytes()),
            14 if cursor.one_in(2) => out.extend_from_slice(cursor.pick(&BYTES)),
            14 => out.extend_from_slice(cursor.pick(&MARKUP).as_bytes()),
            _ => out.extend_from_slice(cursor.bytes()),
        }
    }
    while let Some(name) = open.pop() {
        out.extend_from_slice(format!("</{name}>").as_bytes());
    }
    if cursor.one_in(8) {
        out.extend_from_slice(cursor.pick(&TEXTS).as_bytes());
    }
    out
}

fn qualified(cursor: &mut Cursor<'_>) -> String {
    let (prefix, name) = (cursor.pick(&PREFIXES), cursor.pick(&NAMES));
    if prefix.is_empty() {
        name.to_string()
    } else {
        format!("{prefix}:{name}")
    }
}

fn start(cursor: &mut Cursor<'_>, open: &mut Vec<String>, out: &mut Vec<u8>) {
    let name = qualified(cursor);
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    for _ in 0..cursor.below(6) {
        let space = if cursor.one_in(8) { cursor.pick(&SPACES) } else { " " };
        out.extend_from_slice(space.as_bytes());
        let (attribute, declares) = match cursor.byte() % 4 {
            0 => ("xmlns".to_string(), true),
            1 => (format!("xmlns:{}", cursor.pick(&PREFIXES)), true),
            _ => (qualified(cursor), false),
        };
        out.extend_from_slice(attribute.as_bytes());
        let equals = if cursor.one_in(16) {
            cursor.pick(&["", " = ", "=="])
        } else {
            "="
        };
        out.extend_from_slice(equals.as_bytes());
        let quote = if cursor.one_in(4) { b'"' } else { b'\'' };
        out.push(quote);
        if declares {
            out.extend_from_slice(cursor.pick(&NAMESPACES).as_bytes());
        } else {
            for _ in 0..cursor.below(4) {
                out.extend_from_slice(cursor.pick(&TEXTS).as_bytes());
            }
        }
        out.push(if cursor.one_in(32) { b'"' } else { quote });
    }
    if cursor.one_in(4) {
        out.extend_from_slice(b"/>");
        if open.is_empty() {
            // The root is closed already, so nothing is left to open.
            return;
        }
    } else {
        out.push(b'>');
        open.push(name);
    }
}

fn end(cursor: &mut Cursor<'_>, open: &mut Vec<String>, out: &mut Vec<u8>) {
    let name = if cursor.one_in(16) {
        Some(qualified(cursor))
    } else {
        open.pop()
    };
    if let Some(name) = name {
        let space = if cursor.one_in(16) { " " } else { "" };
        out.extend_from_slice(format!("</{name}{space}>").as_bytes());
    }
}

/// An element as an application might build it, with names, namespaces and text that it should not be able to use among them.
pub fn element(cursor: &mut Cursor<'_>) -> ElementBuilder {
    nested(cursor, 0)
}

fn nested(cursor: &mut Cursor<'_>, depth: usize) -> ElementBuilder {
    const GOOD: [&str; 6] = [
        "urn:x",
        "urn:y",
        "jabber:client",
        "",
        "http://www.w3.org/XML/1998/namespace",
        "urn:'&\"<>\t\r\n",
    ];
    let namespace = if cursor.one_in(32) {
        any_text(cursor)
    } else {
        cursor.pick(&GOOD).to_string()
    };
    let name = name(cursor);
    let mut element = Element::builder(&namespace, &name);
    for _ in 0..cursor.below(5) {
        let name = self::name(cursor);
        let value = any_text(cursor);
        element = if cursor.one_in(2) {
            let namespace = cursor.pick(&[
                "urn:x",
                "urn:y",
                "http://www.w3.org/XML/1998/namespace",
                "",
                "urn:z",
                "urn:'&\"<>\t\r\n",
                "urn:x\u{0}",
            ]);
            let prefix = match namespace {
                "http://www.w3.org/XML/1998/namespace" if !cursor.one_in(16) => "xml",
                _ => cursor.pick(&["a", "a", "b", "a1", "xml", "xmlns", "", "ns:x", "\u{e9}"]),
            };
            element.attr_ns(namespace, prefix, &name, &value)
        } else {
            element.attr(&name, &value)
        };
    }
    for _ in 0..cursor.below(6) {
        if cursor.is_empty() {
            break;
        }
        element = match cursor.byte() % 3 {
            0 => element.text(&any_text(cursor)),
            _ if depth < 20 => element.child(nested(cursor, depth + 1)),
            _ => element,
        };
    }
    element
}

fn name(cursor: &mut Cursor<'_>) -> String {
    match cursor.byte() % 32 {
        31 => any_text(cursor),
        30 => cursor.pick(&["xmlns", "xml:lang", "", "1", "a b", "a'"]).to_string(),
        choice => {
            ["a", "b", "message", "lang", "x-1.0_", "id", "\u{e9}", "Xml", "_"][usize::from(choice) % 9].to_string()
        }
    }
}

fn any_text(cursor: &mut Cursor<'_>) -> String {
    const PIECES: [&str; 20] = [
        "",
        "x",
        " ",
        "\n",
        "\r",
        "\r\n",
        "\t",
        "&",
        "<",
        ">",
        "]]>",
        "'",
        "\"",
        "\u{e9}",
        "\u{10ffff}",
        "\u{85}",
        "\u{2028}",
        "&amp;",
        "\u{7f}",
        "\u{fffd}",
    ];
    let mut text = String::new();
    for _ in 0..cursor.below(5) {
        text.push_str(cursor.pick(&PIECES));
    }
    match cursor.byte() % 32 {
        31 => text.push(cursor.pick(&['\0', '\u{1}', '\u{b}', '\u{1f}', '\u{fffe}', '\u{ffff}'])),
        30 => text.push_str(&String::from_utf8_lossy(cursor.bytes())),
        29 => text.push_str(&"y".repeat(cursor.below(256) * 16)),
        _ => {}
    }
    text
}
