//! Shows an exchange to a person: XML with indents, what each step means, and no secret in it.

use std::fmt::Write;

use epode::xml::{Node, XmlLimits};
use epode::{Element, ElementRef};

use crate::terminal::visible;

/// Which way something travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Sent,
    /// From the server to the client.
    Received,
}

const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
const XBOSH: &str = "urn:xmpp:xbosh";
const STREAMS: &str = "http://etherx.jabber.org/streams";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
const CLIENT: &str = "jabber:client";
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Lines are broken between attributes when they would be longer.
const WIDTH: usize = 108;

/// One element as text with line feeds, each line behind `indent` spaces. Secrets are left out; see [`redact`].
#[must_use]
pub fn pretty(element: ElementRef<'_>, indent: usize) -> String {
    let mut out = String::new();
    write_element(&mut out, element, "", None, indent);
    out.truncate(out.trim_end().len());
    out
}

/// A body as it travels. What is no XML is only counted: it could be anything, and it could hold a secret.
#[must_use]
pub fn pretty_bytes(bytes: &[u8], indent: usize) -> String {
    match read(bytes) {
        Some(element) => pretty(element.root(), indent),
        None => format!("{}({} bytes that are no XML)", " ".repeat(indent), bytes.len()),
    }
}

/// What a body means, in half a sentence.
#[must_use]
pub fn meaning(direction: Direction, bytes: &[u8]) -> String {
    let Some(body) = read(bytes) else { return "something that is no XML".to_owned() };
    let said: Vec<String> = body.children().map(|child| meaning_of_payload(direction, child)).collect();
    if body.attribute("type").is_some_and(|kind| kind == "terminate") {
        let how = match (direction, body.attribute("condition")) {
            (_, Some(condition)) => format!("the session ends: {}", visible(condition)),
            (Direction::Sent, None) => "says goodbye".to_owned(),
            (Direction::Received, None) => "the session is over".to_owned(),
        };
        return std::iter::once(how).chain(said).collect::<Vec<_>>().join("; ");
    }
    if !said.is_empty() {
        return said.join("; ");
    }
    match direction {
        Direction::Sent if body.attribute("sid").is_none() => "asks for a BOSH session (XEP-0124 §7.1)".to_owned(),
        Direction::Sent if body.attribute_ns(XBOSH, "restart").is_some() => {
            "starts the stream anew: it is an authenticated one now (XEP-0206 §5)".to_owned()
        }
        Direction::Sent => "an empty request, for the server to answer when it has news".to_owned(),
        Direction::Received => "no news".to_owned(),
    }
}

fn meaning_of_payload(direction: Direction, payload: ElementRef<'_>) -> String {
    if payload.is(STREAMS, "features") {
        return meaning_of_features(payload);
    }
    if payload.namespace() == SASL {
        return meaning_of_sasl(direction, payload);
    }
    if payload.is(STREAMS, "error") {
        let condition = payload.children().next().map_or("no condition", |child| child.name());
        return format!("the stream ends with an error: {}", visible(condition));
    }
    let kind = payload.attribute("type");
    match (payload.name(), direction) {
        ("iq", Direction::Sent) if payload.child(BIND, "bind").is_some() => {
            "asks for a resource: the last part of an address of its own (RFC 6120 §7)".to_owned()
        }
        ("iq", Direction::Received) if payload.child(BIND, "bind").is_some() => {
            let jid = payload.child(BIND, "bind").and_then(|bind| bind.child(BIND, "jid"));
            format!("online: the address is {}", visible(&jid.map_or_else(Default::default, |jid| jid.text())))
        }
        ("iq", Direction::Sent) if payload.child(SESSION, "session").is_some() => {
            "asks for a session, as older servers need it (RFC 3921 §3)".to_owned()
        }
        ("iq", Direction::Sent) => match kind {
            Some("result" | "error") => "answers a request".to_owned(),
            Some(_) | None => "a request".to_owned(),
        },
        ("iq", Direction::Received) => match kind {
            Some("result") => "a result".to_owned(),
            Some("error") => "a request was refused".to_owned(),
            Some(_) | None => "a request".to_owned(),
        },
        ("message", Direction::Sent) => format!("a message to {}", address(payload, "to")),
        ("message", Direction::Received) if kind == Some("error") => {
            format!("a message could not be delivered to {}", address(payload, "from"))
        }
        ("message", Direction::Received) => format!("a message from {}", address(payload, "from")),
        ("presence", Direction::Sent) if kind == Some("unavailable") => "tells that it goes away".to_owned(),
        ("presence", Direction::Sent) => "tells that it is there".to_owned(),
        ("presence", Direction::Received) => format!("presence of {}", address(payload, "from")),
        (name, Direction::Sent | Direction::Received) => format!("<{}/>", visible(name)),
    }
}

fn meaning_of_features(features: ElementRef<'_>) -> String {
    if let Some(mechanisms) = features.child(SASL, "mechanisms") {
        let names: Vec<_> = mechanisms.children().map(|name| visible(&name.text())).collect();
        return format!("the session is there; the server offers {}", names.join(", "));
    }
    if features.child(BIND, "bind").is_some() {
        return "the server offers to bind a resource".to_owned();
    }
    "what the server offers".to_owned()
}

fn meaning_of_sasl(direction: Direction, payload: ElementRef<'_>) -> String {
    match (payload.name(), direction) {
        ("auth", Direction::Sent) => match payload.attribute("mechanism").unwrap_or_default() {
            "EXTERNAL" => {
                "logs in by EXTERNAL: the TLS client certificate is the proof, nothing secret travels (XEP-0178)".to_owned()
            }
            "PLAIN" => "logs in by PLAIN: the password itself, protected by TLS alone (RFC 4616)".to_owned(),
            name if name.starts_with("SCRAM-") => {
                format!("logs in by {name}: begins to prove that it knows the password, without showing it (RFC 5802)")
            }
            name => format!("logs in by {}", visible(name)),
        },
        ("challenge", Direction::Received) => "the server sends its challenge".to_owned(),
        ("response", Direction::Sent) => "the proof".to_owned(),
        ("success", Direction::Received) if payload.text().is_empty() => "the server accepts the login".to_owned(),
        ("success", Direction::Received) => {
            "the server accepts the login, and proves that it knows the password too".to_owned()
        }
        ("failure", Direction::Received) => {
            let condition = payload.children().next().map_or("no reason", |child| child.name());
            format!("the server refuses the login: {}", visible(condition))
        }
        (name, Direction::Sent | Direction::Received) => format!("<{}/> of SASL", visible(name)),
    }
}

fn address(stanza: ElementRef<'_>, attribute: &str) -> String {
    visible(stanza.attribute(attribute).unwrap_or("the server"))
}

fn read(bytes: &[u8]) -> Option<Element> {
    Element::parse(bytes, &XmlLimits::default()).ok()
}

fn write_element(
    out: &mut String,
    element: ElementRef<'_>,
    outer_namespace: &str,
    parent: Option<ElementRef<'_>>,
    indent: usize,
) {
    let name = visible(element.name());
    push_spaces(out, indent);
    let mut column = indent + 1 + name.chars().count();
    let _ = write!(out, "<{name}");
    for attribute in attributes(element, outer_namespace) {
        let width = attribute.chars().count() + 1;
        if column + width > WIDTH && column > indent + name.chars().count() + 1 {
            out.push('\n');
            let hanging = indent + name.chars().count() + 1;
            push_spaces(out, hanging);
            column = hanging;
        }
        out.push(' ');
        out.push_str(&attribute);
        column += width;
    }
    if element.nodes().next().is_none() {
        out.push_str("/>\n");
        return;
    }
    out.push('>');
    if element.children().next().is_none() {
        out.push_str(&redact(element, parent));
    } else {
        out.push('\n');
        for node in element.nodes() {
            match node {
                Node::Element(child) => write_element(out, child, element.namespace(), Some(element), indent + 2),
                Node::Text(text) if text.trim().is_empty() => {}
                Node::Text(text) => {
                    push_spaces(out, indent + 2);
                    out.push_str(&escape(text));
                    out.push('\n');
                }
            }
        }
        push_spaces(out, indent);
    }
    let _ = writeln!(out, "</{name}>");
}

fn attributes(element: ElementRef<'_>, outer_namespace: &str) -> Vec<String> {
    let mut all = Vec::new();
    if element.namespace() != outer_namespace {
        all.push(format!("xmlns={}", quoted(element.namespace())));
    }
    for attribute in element.attributes() {
        if attribute.namespace.is_empty() {
            let bearer = element.namespace() == HTTPBIND && matches!(attribute.name, "sid" | "authid" | "key" | "newkey");
            let value = if bearer { shortened(attribute.value) } else { quoted(attribute.value) };
            all.push(format!("{}={value}", visible(attribute.name)));
            continue;
        }
        if attribute.namespace != XML {
            all.push(format!("xmlns:{}={}", visible(attribute.prefix), quoted(attribute.namespace)));
        }
        all.push(format!("{}:{}={}", visible(attribute.prefix), visible(attribute.name), quoted(attribute.value)));
    }
    all
}

/// A session id is a bearer token: whoever has it has the session (XEP-0124 §14.3).
fn shortened(value: &str) -> String {
    let shown: String = value.chars().take(4).collect();
    quoted(&format!("{shown}…"))
}

/// The text of an element without children, as far as it may be shown.
///
/// What SASL carries is a secret, or lets somebody guess one, in every mechanism but EXTERNAL, which carries an address.
fn redact(element: ElementRef<'_>, parent: Option<ElementRef<'_>>) -> String {
    let text = element.text();
    let is_condition = parent.is_some_and(|parent| matches!(parent.name(), "mechanisms" | "failure"));
    if element.namespace() != SASL || is_condition || text.is_empty() {
        return escape(&text);
    }
    let external = element.is(SASL, "auth") && element.attribute("mechanism") == Some("EXTERNAL");
    if !external {
        return "[not shown]".to_owned();
    }
    match text.as_ref() {
        "=" => "= [empty: the account is the one that the certificate names]".to_owned(),
        text => match decode(text) {
            Some(authzid) => format!("{} [base64 of {}]", escape(text), escape(&authzid)),
            None => escape(text),
        },
    }
}

/// Base64 as far as it is text (RFC 4648 §4): only to show an address, so what is odd is simply not shown.
fn decode(text: &str) -> Option<String> {
    let mut bits = 0_u32;
    let mut count = 0;
    let mut bytes = Vec::new();
    for character in text.trim_end_matches('=').chars() {
        let value = match character {
            'A'..='Z' => u32::from(character) - u32::from('A'),
            'a'..='z' => u32::from(character) - u32::from('a') + 26,
            '0'..='9' => u32::from(character) - u32::from('0') + 52,
            '+' => 62,
            '/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xFF).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

fn escape(text: &str) -> String {
    visible(text).replace('&', "&amp;").replace('<', "&lt;")
}

fn quoted(value: &str) -> String {
    format!("'{}'", escape(value).replace('\'', "&apos;"))
}

fn push_spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// The text of a message, where it has one.
#[must_use]
pub fn message_text(stanza: &Element) -> Option<String> {
    stanza.child(CLIENT, "body").map(|body| body.text().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(xml: &str) -> String {
        pretty_bytes(xml.as_bytes(), 0)
    }

    #[test]
    fn a_session_id_is_shown_by_four_characters() {
        let text = shown("<body xmlns='http://jabber.org/protocol/httpbind' sid='fe0ee6ab' authid='fe0ee6ab' rid='1'/>");
        assert_eq!(text, "<body xmlns='http://jabber.org/protocol/httpbind' sid='fe0e…' authid='fe0e…' rid='1'/>");
    }

    #[test]
    fn what_sasl_carries_is_not_shown_but_for_external() {
        let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        for (name, payload) in [("auth", "biws"), ("response", "Yz1iaXdz"), ("challenge", "cj1h"), ("success", "dj1h")] {
            let text = shown(&format!("<{name} {sasl} mechanism='SCRAM-SHA-1'>{payload}</{name}>"));
            assert!(text.contains("[not shown]") && !text.contains(payload), "{text}");
        }
        let text = shown(&format!("<auth {sasl} mechanism='EXTERNAL'>dXNlcjAxQGRlYmlhbg==</auth>"));
        assert!(text.contains("dXNlcjAxQGRlYmlhbg== [base64 of user01@debian]"), "{text}");
        let text = shown(&format!("<mechanisms {sasl}><mechanism>EXTERNAL</mechanism></mechanisms>"));
        assert!(text.contains("<mechanism>EXTERNAL</mechanism>"), "{text}");
    }

    #[test]
    fn what_comes_from_others_cannot_steer_the_terminal_nor_pass_for_markup() {
        let text = shown("<message xmlns='jabber:client' from='a&#x202e;b'><body>&lt;x/>&#x9b;2J</body></message>");
        assert_eq!(text, "<message xmlns='jabber:client' from='a\\u{202e}b'>\n  <body>&lt;x/>\\u{9b}2J</body>\n</message>");
        assert_eq!(shown("secret <"), "(8 bytes that are no XML)");
    }

    #[test]
    fn steps_are_explained() {
        let body = |content: &str| format!("<body xmlns='http://jabber.org/protocol/httpbind' sid='a'>{content}</body>");
        let sent = |xml: &str| meaning(Direction::Sent, xml.as_bytes());
        assert!(sent("<body xmlns='http://jabber.org/protocol/httpbind' rid='1'/>").contains("asks for a BOSH session"));
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
        assert!(sent(&body(auth)).starts_with("logs in by EXTERNAL"));
        assert!(sent(&body("")).starts_with("an empty request"));
        assert_eq!(meaning(Direction::Received, b"<body xmlns='http://jabber.org/protocol/httpbind'/>"), "no news");
    }
}
