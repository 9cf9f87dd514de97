//! XML in and out: one whole document to a small tree, a stream to one tree after the other, and a tree back to text.

use rxml::error::EndOrError;
use rxml::{AttrMap, Error, Event, Parse, Parser};

/// Deeper than any stanza that makes sense; the tree is walked recursively.
const MAX_DEPTH: usize = 64;

const PART: usize = 8 << 10;

/// An element with resolved namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

/// Reads exactly one document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, String> {
    let mut parser = Parser::new();
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    // The parser looks through all that it is given for every few thousand characters of text: a long text must come in parts.
    let mut parts = bytes.chunks(PART);
    let mut part = parts.next().unwrap_or_default();
    loop {
        let event = match parser.parse(&mut part, parts.len() == 0) {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(EndOrError::NeedMoreData) => {
                part = parts.next().ok_or("no end")?;
                continue;
            }
            Err(EndOrError::Error(error)) => return Err(format!("{error:?}")),
        };
        match event {
            Event::XmlDeclaration(..) => {}
            Event::StartElement(_, (namespace, name), attributes) => {
                if open.len() >= MAX_DEPTH {
                    return Err("nested too deeply".into());
                }
                open.push(Element::new(namespace.as_str(), name.as_str(), &attributes));
            }
            Event::EndElement(_) => {
                if let Some(done) = open.pop() {
                    match open.last_mut() {
                        Some(parent) => parent.children.push(Node::Element(done)),
                        None => root = Some(done),
                    }
                }
            }
            Event::Text(_, text) => {
                if let Some(parent) = open.last_mut() {
                    parent.children.push(Node::Text(text));
                }
            }
        }
    }
    root.ok_or_else(|| "no document".into())
}

/// What a stream over TCP is made of (RFC 6120 §4.1).
#[derive(Debug)]
pub(crate) enum Piece {
    /// The stream header: the root without its children.
    Header(Element),
    /// One child of the root.
    Element(Element),
    /// Text between the children.
    Text(String),
    /// The end of the root.
    End,
}

/// Reads one stream, as its bytes come.
#[derive(Debug)]
pub(crate) struct Reader {
    parser: Parser,
    /// The root is not in here, once it is open.
    open: Vec<Element>,
    in_root: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let mut parser = Parser::new();
        // White space between stanzas is a keep-alive, and is wanted when it comes.
        parser.set_text_buffering(false);
        Self {
            parser,
            open: Vec::new(),
            in_root: false,
        }
    }

    /// The next piece, if the bytes make one, or the condition that ends the stream (RFC 6120 §4.9.3). What it takes is gone
    /// from `bytes`.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Piece>, &'static str> {
        loop {
            let event = match self.parser.parse(bytes, false) {
                Ok(Some(event)) => event,
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(None),
                Err(EndOrError::Error(Error::RestrictedXml(_))) => return Err("restricted-xml"),
                Err(EndOrError::Error(_)) => return Err("not-well-formed"),
            };
            match event {
                Event::XmlDeclaration(..) => {}
                Event::StartElement(_, (namespace, name), attributes) => {
                    if self.open.len() >= MAX_DEPTH {
                        return Err("policy-violation");
                    }
                    let element = Element::new(namespace.as_str(), name.as_str(), &attributes);
                    if !self.in_root {
                        self.in_root = true;
                        return Ok(Some(Piece::Header(element)));
                    }
                    self.open.push(element);
                }
                Event::EndElement(_) => {
                    let Some(done) = self.open.pop() else {
                        return Ok(Some(Piece::End));
                    };
                    let Some(parent) = self.open.last_mut() else {
                        return Ok(Some(Piece::Element(done)));
                    };
                    parent.children.push(Node::Element(done));
                }
                Event::Text(_, text) => match self.open.last_mut() {
                    None => return Ok(Some(Piece::Text(text))),
                    // Text comes in as many parts as the bytes did.
                    Some(parent) => match parent.children.last_mut() {
                        Some(Node::Text(before)) => before.push_str(&text),
                        Some(Node::Element(_)) | None => parent.children.push(Node::Text(text)),
                    },
                },
            }
        }
    }
}

/// Text for between tags or for inside a quoted attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            // A reader turns these into spaces inside an attribute, or drops them at a line end, unless they are references.
            '\n' | '\r' | '\t' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

impl Element {
    fn new(namespace: &str, name: &str, attributes: &AttrMap) -> Self {
        let attributes = attributes
            .iter()
            .map(|((namespace, name), value)| Attribute {
                namespace: namespace.as_str().to_owned(),
                name: name.as_str().to_owned(),
                value: value.clone(),
            })
            .collect();
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            attributes,
            children: Vec::new(),
        }
    }

    pub(crate) fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// An attribute without a prefix.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_in("", name)
    }

    pub(crate) fn attribute_in(&self, namespace: &str, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|a| a.namespace == namespace && a.name == name)
            .map(|a| a.value.as_str())
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.attributes.retain(|a| !(a.namespace.is_empty() && a.name == name));
        self.attributes.push(Attribute {
            namespace: String::new(),
            name: name.into(),
            value: value.into(),
        });
    }

    pub(crate) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(crate) fn child(&self, namespace: &str, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.is(namespace, name))
    }

    /// The text directly inside, in one piece.
    pub(crate) fn text(&self) -> String {
        self.children
            .iter()
            .filter_map(|node| match node {
                Node::Text(text) => Some(text.as_str()),
                Node::Element(_) => None,
            })
            .collect()
    }

    /// Moves this element and all below it that are in `from` to the namespace `to`.
    pub(crate) fn rename_namespace(&mut self, from: &str, to: &str) {
        if self.namespace != from {
            return;
        }
        self.namespace = to.into();
        for node in &mut self.children {
            if let Node::Element(element) = node {
                element.rename_namespace(from, to);
            }
        }
    }

    /// The element as text that can stand inside any other element.
    pub(crate) fn to_xml(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    fn write(&self, out: &mut String, default: Option<&str>) {
        out.push('<');
        out.push_str(&self.name);
        if default != Some(self.namespace.as_str()) {
            out.push_str(&format!(" xmlns='{}'", escape(&self.namespace)));
        }
        for (index, attribute) in self.attributes.iter().enumerate() {
            let value = escape(&attribute.value);
            if attribute.namespace.is_empty() {
                out.push_str(&format!(" {}='{value}'", attribute.name));
            } else if attribute.namespace == rxml::XMLNS_XML {
                out.push_str(&format!(" xml:{}='{value}'", attribute.name));
            } else {
                let namespace = escape(&attribute.namespace);
                out.push_str(&format!(
                    " xmlns:a{index}='{namespace}' a{index}:{}='{value}'",
                    attribute.name
                ));
            }
        }
        if self.children.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        for node in &self.children {
            match node {
                Node::Element(element) => element.write(out, Some(&self.namespace)),
                Node::Text(text) => out.push_str(&escape(text)),
            }
        }
        out.push_str(&format!("</{}>", self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_the_same() {
        let text =
            "<m xmlns='a' xml:lang='en' x='1&#10;&apos;'><b xmlns='c' xmlns:p='d' p:q='r'>t&lt;&amp;</b>tail<e/></m>";
        let tree = parse(text.as_bytes()).unwrap();
        assert_eq!(parse(tree.to_xml().as_bytes()).unwrap(), tree);
        assert_eq!(tree.attribute("x"), Some("1\n'"));
    }

    #[test]
    fn what_xmpp_forbids_is_refused() {
        for text in [
            "",
            "<a>",
            "<a/><b/>",
            "<!DOCTYPE a><a/>",
            "<a><!-- --></a>",
            "<?pi?><a/>",
            "<p:a/>",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse("<a>".repeat(100).as_bytes()).is_err());
    }
}
