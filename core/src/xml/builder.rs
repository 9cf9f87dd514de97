//! Elements made by hand: nothing comes out of here that is not XML.

use alloc::string::String;
use alloc::vec::Vec;

use super::arena::{Arena, AttributeData, Span};
use super::{Element, InvalidXml, XML_NAMESPACE, XMLNS_NAMESPACE};

/// Builds an [`Element`], from the outside in. See [`Element::builder`].
///
/// What is wrong is remembered and reported by [`build`](Self::build), so that a chain of calls stays a chain.
///
/// ```
/// use epode::xml::{Element, InvalidXml};
///
/// let iq = Element::builder("jabber:client", "iq")
///     .attr("type", "get")
///     .attr("id", "1")
///     .child(Element::builder("urn:xmpp:ping", "ping"))
///     .build()?;
/// assert_eq!(iq.to_xml(), "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
///
/// let refused = Element::builder("jabber:client", "body").text("\0").build();
/// assert_eq!(refused, Err(InvalidXml::Character { code_point: 0 }));
/// # Ok::<(), InvalidXml>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct ElementBuilder {
    /// Node 0 is the element. Its attributes join the table when it is done: all of them must stand in one row.
    arena: Arena,
    attributes: Vec<AttributeData>,
    /// The last node is text of this element, not of a child.
    text_is_last: bool,
    error: Option<InvalidXml>,
}

impl ElementBuilder {
    pub(super) fn new(namespace: &str, name: &str) -> Self {
        let mut arena = Arena::default();
        let error = check_element_namespace(namespace).and_then(|()| check_name(name)).err();
        let namespace = arena.intern(namespace);
        arena.open(namespace, name);
        Self {
            arena,
            attributes: Vec::new(),
            text_is_last: false,
            error,
        }
    }

    /// Adds an attribute in no namespace, which is what almost all attributes are.
    pub fn attr(self, name: &str, value: &str) -> Self {
        self.attr_ns("", "", name, value)
    }

    /// Adds an attribute in a namespace. It is written with that prefix unless another attribute of the element has it already.
    ///
    /// For `xml:lang`: `attr_ns(XML_NAMESPACE, "xml", "lang", "en")`. An empty namespace means none, and then the prefix is not used.
    pub fn attr_ns(mut self, namespace: &str, prefix: &str, name: &str, value: &str) -> Self {
        match attribute(&mut self.arena, namespace, prefix, name, value) {
            Ok(attribute) => self.attributes.push(attribute),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Adds text. Empty text adds nothing; text next to text is one piece.
    pub fn text(mut self, text: &str) -> Self {
        if let Err(error) = check_characters(text) {
            self.fail(error);
        } else if !text.is_empty() {
            self.arena.push_text(text, self.text_is_last);
            self.text_is_last = true;
        }
        self
    }

    /// Adds a child element.
    pub fn child(mut self, child: Self) -> Self {
        match child.build() {
            Ok(child) => self.element(&child),
            Err(error) => {
                self.fail(error);
                self
            }
        }
    }

    /// Adds a copy of an element as a child.
    pub fn element(mut self, element: &Element) -> Self {
        self.arena.graft(&element.arena, 0);
        self.text_is_last = false;
        self
    }

    /// Adds several child elements.
    pub fn children<I: IntoIterator<Item = Self>>(self, children: I) -> Self {
        children.into_iter().fold(self, Self::child)
    }

    /// The element.
    ///
    /// # Errors
    ///
    /// The first thing that XML cannot express: a character that it excludes, a name that is none, the same attribute twice.
    pub fn build(mut self) -> Result<Element, InvalidXml> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some(name) = self.arena.duplicate_attribute(&self.attributes, &mut Vec::new()) {
            return Err(InvalidXml::DuplicateAttribute {
                name: self.arena.get(name).into(),
            });
        }
        self.arena.set_root_attributes(&self.attributes);
        self.arena.close(0);
        if self.arena.take_overflow() {
            Err(InvalidXml::TooLarge)
        } else {
            Ok(Element { arena: self.arena })
        }
    }

    fn fail(&mut self, error: InvalidXml) {
        self.error.get_or_insert(error);
    }
}

/// Checks an attribute and puts its parts into the buffer, but not into the table.
pub(super) fn attribute(
    arena: &mut Arena,
    namespace: &str,
    prefix: &str,
    name: &str,
    value: &str,
) -> Result<AttributeData, InvalidXml> {
    check_name(name)?;
    check_characters(value)?;
    let (namespace, prefix) = if namespace.is_empty() {
        if name == "xmlns" {
            // It would be read as a declaration; those are the writer's business.
            return Err(InvalidXml::Name { name: name.into() });
        }
        (Span::default(), Span::default())
    } else {
        check_prefix(namespace, prefix)?;
        check_characters(namespace)?;
        let index = arena.intern(namespace);
        (arena.namespace_span(index), arena.add(prefix))
    };
    Ok(AttributeData {
        namespace,
        prefix,
        name: arena.add(name),
        value: arena.add(value),
    })
}

/// Namespaces in XML 1.0 §3: elements are never in the namespace of declarations.
pub(super) fn check_element_namespace(namespace: &str) -> Result<(), InvalidXml> {
    if namespace == XMLNS_NAMESPACE {
        return Err(InvalidXml::Namespace {
            namespace: namespace.into(),
        });
    }
    check_characters(namespace)
}

pub(super) fn check_name(name: &str) -> Result<(), InvalidXml> {
    match <&rxml::NcNameStr>::try_from(name) {
        Ok(_) => Ok(()),
        Err(_) => Err(InvalidXml::Name { name: name.into() }),
    }
}

/// Namespaces in XML 1.0 §3, "Reserved Prefixes and Namespace Names".
fn check_prefix(namespace: &str, prefix: &str) -> Result<(), InvalidXml> {
    if namespace == XMLNS_NAMESPACE {
        return Err(InvalidXml::Namespace {
            namespace: namespace.into(),
        });
    }
    let reserved = prefix == "xmlns" || (prefix == "xml") != (namespace == XML_NAMESPACE);
    if reserved || check_name(prefix).is_err() {
        return Err(InvalidXml::Prefix {
            prefix: String::from(prefix),
        });
    }
    Ok(())
}

/// XML 1.0 §2.2, production `Char`.
fn check_characters(text: &str) -> Result<(), InvalidXml> {
    let excluded =
        |c: &char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    match text.chars().find(excluded) {
        Some(c) => Err(InvalidXml::Character {
            code_point: u32::from(c),
        }),
        None => Ok(()),
    }
}
