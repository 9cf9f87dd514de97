//! One XML element with all that it contains, as an owned value; and the borrowed view of its parts.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use super::arena::Arena;
use super::builder::{self, ElementBuilder};
use super::reader::{Framing, Reader, XmlEvent};
use super::{InvalidXml, XmlError, XmlLimits, writer};

/// An XML element with its attributes, text and children: one flat table, cheap to clone and to drop however deep it is.
///
/// Equality is that of trees: expanded names, text, and attributes in any order; prefixes do not count.
///
/// ```
/// use epode::xml::{Element, XmlLimits};
///
/// let presence = Element::parse("<presence xmlns='jabber:client' from='a@b'><show>away</show></presence>", &XmlLimits::default())?;
/// assert!(presence.is("jabber:client", "presence"));
/// assert_eq!(presence.attribute("from"), Some("a@b"));
/// assert_eq!(presence.child("jabber:client", "show").map(|show| show.text().into_owned()).as_deref(), Some("away"));
/// # Ok::<(), epode::xml::XmlError>(())
/// ```
#[derive(Clone)]
pub struct Element {
    /// Node 0 is the element, and all others are below it.
    pub(super) arena: Arena,
}

/// A view of an [`Element`] or of one below it.
#[derive(Clone, Copy)]
pub struct ElementRef<'a> {
    arena: &'a Arena,
    index: usize,
}

/// What an element contains, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A child element.
    Element(ElementRef<'a>),
    /// Text between child elements, never empty.
    Text(&'a str),
}

/// An attribute of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Empty for an attribute in no namespace.
    pub namespace: &'a str,
    /// The prefix that it had or should get; empty for an attribute in no namespace.
    pub prefix: &'a str,
    /// The local name.
    pub name: &'a str,
    /// The value, without references.
    pub value: &'a str,
}

impl Element {
    /// Starts to build an element with that namespace (empty for none) and local name.
    pub fn builder(namespace: &str, name: &str) -> ElementBuilder {
        ElementBuilder::new(namespace, name)
    }

    /// Reads one self-contained element: nothing before it (no XML declaration), nothing behind it.
    ///
    /// # Errors
    ///
    /// What [`Reader`] refuses with [`Framing::Document`], and [`XmlError::Incomplete`].
    pub fn parse(xml: impl AsRef<[u8]>, limits: &XmlLimits) -> Result<Self, XmlError> {
        let mut reader = Reader::new(Framing::Document, limits.clone());
        let bytes = xml.as_ref();
        let (consumed, event) = reader.feed_until_element(bytes)?;
        // What follows the element is an error, which the reader knows best.
        reader.feed_until_element(bytes.get(consumed..).unwrap_or_default())?;
        match event {
            Some(XmlEvent::Element(element)) => Ok(element),
            Some(XmlEvent::Open(_) | XmlEvent::Close) | None => Err(XmlError::Incomplete),
        }
    }

    /// The element itself as a view; what its children are asked, it can be asked too.
    #[must_use]
    pub fn root(&self) -> ElementRef<'_> {
        ElementRef {
            arena: &self.arena,
            index: 0,
        }
    }

    /// The local name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.root().name()
    }

    /// The namespace; empty for none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.root().namespace()
    }

    /// Whether the element has this namespace and local name.
    #[must_use]
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.root().is(namespace, name)
    }

    /// The value of an attribute in no namespace.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.root().attribute(name)
    }

    /// The value of an attribute in a namespace.
    #[must_use]
    pub fn attribute_ns(&self, namespace: &str, name: &str) -> Option<&str> {
        self.root().attribute_ns(namespace, name)
    }

    /// All attributes, in the order they were written in.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.root().attributes()
    }

    /// The text directly in the element.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        self.root().text()
    }

    /// The child elements.
    pub fn children(&self) -> impl Iterator<Item = ElementRef<'_>> {
        self.root().children()
    }

    /// The child elements and the text between them.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.root().nodes()
    }

    /// The first child element with that namespace and local name.
    #[must_use]
    pub fn child(&self, namespace: &str, name: &str) -> Option<ElementRef<'_>> {
        self.root().child(namespace, name)
    }

    /// The element as self-contained XML: every namespace is declared within.
    #[must_use]
    pub fn to_xml(&self) -> String {
        self.root().to_xml()
    }

    /// Appends the element as XML for a place where this default namespace is in force.
    ///
    /// ```
    /// let body = epode::xml::Element::builder("jabber:client", "body").text("hi").build()?;
    /// let mut xml = String::new();
    /// body.write_into(&mut xml, "jabber:client");
    /// assert_eq!(xml, "<body>hi</body>");
    /// # Ok::<(), epode::xml::InvalidXml>(())
    /// ```
    pub fn write_into(&self, out: &mut String, context_default_ns: &str) {
        self.root().write_into(out, context_default_ns);
    }

    /// Moves every element within, and this one, from one namespace to another; attributes stay where they are.
    ///
    /// # Errors
    ///
    /// [`InvalidXml::Namespace`] or [`InvalidXml::Character`] where nothing can be in the second one; nothing has changed then.
    pub fn replace_namespace(&mut self, from: &str, to: &str) -> Result<(), InvalidXml> {
        builder::check_element_namespace(to)?;
        if self.arena.rename_namespace(from, to) {
            Ok(())
        } else {
            Err(InvalidXml::TooLarge)
        }
    }

    /// Sets an attribute in no namespace, in its old place or behind the others.
    ///
    /// # Errors
    ///
    /// Where the name or the value cannot be expressed in XML; nothing has changed then.
    pub fn set_attribute(&mut self, name: &str, value: &str) -> Result<(), InvalidXml> {
        let attribute = builder::attribute(&mut self.arena, "", "", name, value)?;
        if self.arena.take_overflow() {
            return Err(InvalidXml::TooLarge);
        }
        let mut attributes = self.arena.attributes_of(0).to_vec();
        let known = attributes
            .iter_mut()
            .find(|known| known.namespace.is_empty() && self.arena.get(known.name) == name);
        match known {
            Some(known) => *known = attribute,
            None => attributes.push(attribute),
        }
        self.arena.set_root_attributes(&attributes);
        Ok(())
    }

    /// Removes an attribute in no namespace, if it is there.
    pub fn remove_attribute(&mut self, name: &str) {
        let mut attributes = self.arena.attributes_of(0).to_vec();
        attributes.retain(|known| !(known.namespace.is_empty() && self.arena.get(known.name) == name));
        self.arena.set_root_attributes(&attributes);
    }

    /// The bytes of memory that the element holds, for the accounting of queues.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        size_of::<Self>() + self.arena.memory()
    }
}

impl<'a> ElementRef<'a> {
    /// The local name.
    #[must_use]
    pub fn name(self) -> &'a str {
        self.arena.name(self.index)
    }

    /// The namespace; empty for none.
    #[must_use]
    pub fn namespace(self) -> &'a str {
        self.arena.namespace(self.index)
    }

    /// Whether the element has this namespace and local name.
    #[must_use]
    pub fn is(self, namespace: &str, name: &str) -> bool {
        self.name() == name && self.namespace() == namespace
    }

    /// The value of an attribute in no namespace.
    #[must_use]
    pub fn attribute(self, name: &str) -> Option<&'a str> {
        self.attribute_ns("", name)
    }

    /// The value of an attribute in a namespace.
    #[must_use]
    pub fn attribute_ns(self, namespace: &str, name: &str) -> Option<&'a str> {
        self.attributes()
            .find(|known| known.name == name && known.namespace == namespace)
            .map(|known| known.value)
    }

    /// All attributes, in the order they were written in.
    pub fn attributes(self) -> impl Iterator<Item = Attribute<'a>> {
        self.arena.attributes_of(self.index).iter().map(move |data| Attribute {
            namespace: self.arena.get(data.namespace),
            prefix: self.arena.get(data.prefix),
            name: self.arena.get(data.name),
            value: self.arena.get(data.value),
        })
    }

    /// The text directly in the element; what child elements contain does not count. Borrowed where it is in one piece.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        let mut pieces = self.nodes().filter_map(|node| match node {
            Node::Text(text) => Some(text),
            Node::Element(_) => None,
        });
        let Some(first) = pieces.next() else {
            return Cow::Borrowed("");
        };
        let mut text = Cow::Borrowed(first);
        for piece in pieces {
            text.to_mut().push_str(piece);
        }
        text
    }

    /// The child elements.
    pub fn children(self) -> impl Iterator<Item = Self> {
        self.nodes().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The child elements and the text between them.
    pub fn nodes(self) -> impl Iterator<Item = Node<'a>> {
        let arena = self.arena;
        let end = arena.node(self.index).end();
        let mut next = self.index + 1;
        core::iter::from_fn(move || {
            let index = next;
            let node = arena.nodes.get(index).filter(|_| index < end)?;
            next = node.end();
            Some(if node.is_text() {
                Node::Text(arena.get(node.span))
            } else {
                Node::Element(Self { arena, index })
            })
        })
    }

    /// The first child element with that namespace and local name.
    #[must_use]
    pub fn child(self, namespace: &str, name: &str) -> Option<Self> {
        self.children().find(|child| child.is(namespace, name))
    }

    /// A copy of the element and all below it.
    #[must_use]
    pub fn to_element(self) -> Element {
        let mut arena = Arena::default();
        arena.graft(self.arena, self.index);
        Element { arena }
    }

    /// The element as self-contained XML: every namespace is declared within.
    #[must_use]
    pub fn to_xml(self) -> String {
        // A whole table of text is written once, with little around it.
        let expected = if self.index == 0 { self.arena.expected_xml() } else { 0 };
        let mut out = String::with_capacity(expected);
        self.write_into(&mut out, "");
        out
    }

    /// Appends the element as XML for a place where this default namespace is in force.
    pub fn write_into(self, out: &mut String, context_default_ns: &str) {
        // Writing to a string cannot fail.
        let _ = writer::write(self.arena, self.index, context_default_ns, false, out);
    }
}

/// How much of an element `Debug` shows.
const DEBUG_CHARACTERS: usize = 200;

impl fmt::Debug for ElementRef<'_> {
    /// The start of the XML. Text in the namespaces of authentication is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = writer::Truncated {
            text: String::new(),
            room: DEBUG_CHARACTERS,
        };
        let whole = writer::write(self.arena, self.index, "", true, &mut out).is_ok();
        f.write_str(&out.text)?;
        if whole { Ok(()) } else { f.write_str("...") }
    }
}

impl fmt::Debug for Element {
    /// The start of the XML. Text in the namespaces of authentication is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl PartialEq for ElementRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.arena.same_tree(self.index, other.arena, other.index)
    }
}

impl Eq for ElementRef<'_> {}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for Element {}

#[cfg(feature = "record")]
impl serde::Serialize for Element {
    /// The element as a string of XML.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_xml())
    }
}

#[cfg(feature = "record")]
impl<'de> serde::Deserialize<'de> for Element {
    /// The element from a string of XML, without limits: a recording is our own.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let xml = String::deserialize(deserializer)?;
        Self::parse(&xml, &XmlLimits::own_text(xml.len())).map_err(serde::de::Error::custom)
    }
}
