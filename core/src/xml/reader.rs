//! Bytes to elements: drives the tokenizer, resolves names, and enforces every limit before anything is buffered beyond it.

mod lane;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use rxml::error::EndOrError;
use rxml::{NcName, Parse, RawEvent, RawParser, WithOptions};

use super::arena::{Arena, AttributeData, Span, attribute_range, to_u32};
use super::gate::{Gate, Rules, Verdict};
use super::namespace::{Mark, Scope};
use super::{Element, Fault, Limit, Restricted, XmlError, XmlLimits};

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A root element that is reported as soon as its start tag is complete, then each of its child elements: the stream of RFC 6120
    /// §4.1 and the `<body/>` of BOSH (XEP-0124 §4). An XML declaration may precede it, and white space stand between the elements.
    Stream,
    /// One element and nothing else, not even white space around it: a WebSocket message (RFC 7395 §3.3.3).
    Document,
}

/// What a [`Reader`] has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XmlEvent {
    /// [`Framing::Stream`]: the root has opened. The element has its name and attributes and never children.
    Open(Element),
    /// A complete element: a child of the root, or with [`Framing::Document`] the root itself.
    Element(Element),
    /// [`Framing::Stream`]: the root has closed.
    Close,
}

/// An incremental parser for one document.
///
/// ```
/// use epode::xml::{Framing, Reader, XmlEvent, XmlLimits};
///
/// let mut reader = Reader::new(Framing::Stream, XmlLimits::before_authentication());
/// let mut events = Vec::new();
/// reader.feed(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='x'><mess", &mut events)?;
/// assert!(matches!(events.as_slice(), [XmlEvent::Open(root)] if root.attribute("id") == Some("x")));
/// reader.feed(b"age/> </stream:stream>", &mut events)?;
/// assert!(matches!(events.as_slice(), [_, XmlEvent::Element(message), XmlEvent::Close] if message.is("jabber:client", "message")));
/// reader.finish()?;
/// # Ok::<(), epode::xml::XmlError>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    raw: RawParser,
    framing: Framing,
    limits: XmlLimits,
    /// The longest name or value that the tokenizer takes, since it was made.
    token_bytes: usize,
    place: Place,
    scope: Scope,
    /// The top-level element that is being read, and where it is open.
    arena: Arena,
    open: Vec<OpenElement>,
    /// The prefix of the current start tag, until its declarations are known.
    prefix: Option<NcName>,
    /// The last node of the arena is text of the innermost open element.
    text_is_last: bool,
    /// The root of a stream, once it is open.
    root: Option<(String, String)>,
    /// The default namespace that it declared.
    content_namespace: String,
    /// The root was closed in its own start tag; `Close` is still to be reported.
    close_pending: bool,
    /// The last byte was a CR, which has become LF; an LF now belongs to it.
    after_cr: bool,
    /// Bytes since the `<` of the top-level element, and of the whole document.
    element_bytes: usize,
    document_bytes: usize,
    /// Scratch space for finding duplicate attributes.
    order: Vec<(u64, u32)>,
    error: Option<XmlError>,
}

#[derive(Debug)]
enum Place {
    /// Before the root or between top-level elements.
    Outside(Gate),
    /// In a top-level element or in a tag of the root: the tokenizer reads.
    Inside,
    /// After the root.
    After,
}

#[derive(Clone, Copy, Debug)]
struct OpenElement {
    index: usize,
    mark: Mark,
}

/// The tokenizer scans the whole of what it gets for every token, so that longer slices make it quadratic.
const SLICE_BYTES: usize = 8 * 1024;

/// Above this, an element keeps the tables that it was read into instead of a copy that fits exactly.
const COPY_BYTES: usize = 8 * 1024;

impl Reader {
    /// A reader for a new document.
    #[must_use]
    pub fn new(framing: Framing, limits: XmlLimits) -> Self {
        let token_bytes = limits.attribute_value.max(limits.name).max(64);
        let options = rxml::Options {
            max_token_length: token_bytes,
            ..rxml::Options::default()
        };
        Self {
            raw: RawParser::with_options(options),
            framing,
            limits,
            token_bytes,
            place: Place::Outside(Gate::Start),
            scope: Scope::new(),
            arena: Arena::default(),
            open: Vec::new(),
            prefix: None,
            text_is_last: false,
            root: None,
            content_namespace: String::new(),
            close_pending: false,
            after_cr: false,
            element_bytes: 0,
            document_bytes: 0,
            order: Vec::new(),
            error: None,
        }
    }

    /// Declares a prefix as if around the root, for peers that leave out what a wrapping transport declared once: BOSH servers use
    /// `stream` without declaring it (XEP-0206 §2). Only before the first byte; a prefix that is no name is ignored.
    pub fn predeclare(&mut self, prefix: &str, namespace: &str) {
        if let Ok(prefix) = NcName::try_from(prefix) {
            self.scope.predeclare(prefix, namespace);
        }
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> &XmlLimits {
        &self.limits
    }

    /// Changes the limits from here on, for a peer that has authenticated.
    pub fn set_limits(&mut self, limits: XmlLimits) {
        self.limits = limits;
    }

    /// The default namespace that the root of a stream has declared, for its children (RFC 6120 §4.8.2); empty for none.
    #[must_use]
    pub fn content_namespace(&self) -> &str {
        &self.content_namespace
    }

    /// Takes the next bytes, cut anywhere, and appends what they complete to `out`.
    ///
    /// # Errors
    ///
    /// What is wrong with the document, and from then on the same error for ever. What was complete before it is in `out`.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<XmlEvent>) -> Result<(), XmlError> {
        let mut rest = bytes;
        loop {
            let (consumed, event) = self.feed_until_element(rest)?;
            rest = rest.get(consumed..).unwrap_or_default();
            match event {
                Some(event) => out.push(event),
                None => return Ok(()),
            }
        }
    }

    /// Takes bytes up to the end of the next event, and says how many those were: the rest was not looked at.
    ///
    /// Without an event all of them were taken. With one, call again with the rest, even if that is empty (a root that closes in its own
    /// start tag is two events). This is what STARTTLS needs, where not a byte may follow `<proceed/>` (RFC 6120 §5.4.3.3).
    ///
    /// # Errors
    ///
    /// As [`feed`](Self::feed).
    pub fn feed_until_element(&mut self, bytes: &[u8]) -> Result<(usize, Option<XmlEvent>), XmlError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let result = self.advance(bytes);
        match &result {
            Ok((_, None)) => {
                if matches!(self.place, Place::Outside(_) | Place::After) {
                    self.release();
                }
            }
            Ok((_, Some(_))) => {}
            Err(error) => {
                self.error = Some(error.clone());
                self.release();
            }
        }
        result
    }

    /// The input has ended.
    ///
    /// # Errors
    ///
    /// [`XmlError::Incomplete`] unless the root has closed; an earlier error again.
    pub fn finish(&mut self) -> Result<(), XmlError> {
        match (&self.error, &self.place) {
            (Some(error), _) => Err(error.clone()),
            (None, Place::After) => Ok(()),
            (None, Place::Outside(_) | Place::Inside) => {
                self.error = Some(XmlError::Incomplete);
                self.release();
                Err(XmlError::Incomplete)
            }
        }
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<(usize, Option<XmlEvent>), XmlError> {
        if mem::take(&mut self.close_pending) {
            self.place = Place::After;
            return Ok((0, Some(XmlEvent::Close)));
        }
        let mut position = 0;
        while let Some(rest) = bytes.get(position..).filter(|rest| !rest.is_empty()) {
            let allowed = self
                .limits
                .document_bytes
                .map_or(rest.len(), |maximum| maximum.saturating_sub(self.document_bytes));
            let rest = rest.get(..allowed.min(rest.len())).unwrap_or_default();
            if rest.is_empty() {
                return Err(XmlError::LimitExceeded {
                    limit: Limit::DocumentBytes,
                    maximum: self.document_bytes,
                });
            }
            let (consumed, event) = match &self.place {
                Place::Outside(_) => self.outside(rest)?,
                Place::Inside => self.inside(rest)?,
                Place::After => (self.after(rest)?, None),
            };
            position += consumed;
            self.document_bytes = self.document_bytes.saturating_add(consumed);
            if event.is_some() {
                return Ok((position, event));
            }
        }
        Ok((position, None))
    }

    /// Reads up to the start of an element or of the root's end tag; and the element itself if that is plain and complete.
    fn outside(&mut self, bytes: &[u8]) -> Result<(usize, Option<XmlEvent>), XmlError> {
        let rules = Rules {
            strict: self.framing == Framing::Document,
            in_root: self.root.is_some(),
        };
        let Place::Outside(gate) = &mut self.place else {
            return Ok((0, None));
        };
        let blank = gate.blank(bytes, rules);
        if (rules.strict || rules.in_root) && gate.is_between() {
            let element = bytes.get(blank..).unwrap_or_default();
            if let Some((consumed, event)) = self.plain(element)? {
                return Ok((blank + consumed, Some(event)));
            }
        }
        let Place::Outside(gate) = &mut self.place else {
            return Ok((0, None));
        };
        for (position, byte) in bytes.iter().enumerate().skip(blank) {
            match gate.take(*byte, rules)? {
                Verdict::Stay => {}
                Verdict::Markup => {
                    self.place = Place::Inside;
                    self.element_bytes = 1;
                    self.tokenize(&mut &b"<"[..])?;
                    return Ok((position, None));
                }
            }
        }
        Ok((bytes.len(), None))
    }

    fn inside(&mut self, bytes: &[u8]) -> Result<(usize, Option<XmlEvent>), XmlError> {
        let maximum = self.limits.element_bytes;
        let allowed = maximum.saturating_sub(self.element_bytes).min(SLICE_BYTES);
        let bytes = bytes.get(..allowed.min(bytes.len())).unwrap_or_default();
        let Some(first) = bytes.first() else {
            return Err(XmlError::LimitExceeded {
                limit: Limit::ElementBytes,
                maximum,
            });
        };
        // XML 1.0 §2.11: CR LF and a lone CR are LF before anything else looks at them, in attribute values too.
        let after_cr = mem::take(&mut self.after_cr);
        let (consumed, event) = match first {
            b'\n' if after_cr => (1, None),
            b'\r' => {
                self.after_cr = true;
                (1, self.tokenize(&mut &b"\n"[..])?)
            }
            _ => {
                let end = if bytes.contains(&b'\r') {
                    bytes.iter().position(|byte| *byte == b'\r')
                } else {
                    None
                };
                let slice = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                let mut rest = slice;
                let event = self.tokenize(&mut rest)?;
                (slice.len() - rest.len(), event)
            }
        };
        self.element_bytes = self.element_bytes.saturating_add(consumed);
        Ok((consumed, event))
    }

    /// White space may follow the root of a stream, and nothing a document.
    fn after(&self, bytes: &[u8]) -> Result<usize, XmlError> {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.framing {
            Framing::Stream if bytes.iter().all(space) => Ok(bytes.len()),
            Framing::Stream | Framing::Document => Err(XmlError::fault(Fault::OutsideRoot)),
        }
    }

    /// Hands bytes to the tokenizer until they are used up or complete an event.
    fn tokenize(&mut self, bytes: &mut &[u8]) -> Result<Option<XmlEvent>, XmlError> {
        loop {
            let before = bytes.len();
            match self.raw.parse(bytes, false) {
                Ok(Some(event)) => {
                    if let Some(event) = self.handle(event)? {
                        return Ok(Some(event));
                    }
                }
                Err(EndOrError::NeedMoreData) if bytes.is_empty() => return Ok(None),
                // It goes on where it stopped, or else it would never end.
                Err(EndOrError::NeedMoreData) if bytes.len() < before => {}
                Ok(None) | Err(EndOrError::NeedMoreData) => return Err(XmlError::fault(Fault::Syntax)),
                Err(EndOrError::Error(error)) => return Err(self.translate(error)),
            }
        }
    }

    fn handle(&mut self, event: RawEvent) -> Result<Option<XmlEvent>, XmlError> {
        match event {
            RawEvent::ElementHeadOpen(_, (prefix, name)) => self.start(prefix, &name).map(|()| None),
            RawEvent::Attribute(_, (prefix, name), value) => self
                .attribute(prefix.as_ref().map(|prefix| prefix.as_str()), &name, &value)
                .map(|()| None),
            RawEvent::ElementHeadClose(_) => self.end_of_start_tag(),
            RawEvent::ElementFoot(_) => self.end(),
            RawEvent::Text(_, text) => self.text(&text).map(|()| None),
            // The gate does not let declarations through.
            RawEvent::XmlDeclaration(..) => Err(XmlError::fault(Fault::Declaration)),
        }
    }

    fn start(&mut self, prefix: Option<NcName>, name: &str) -> Result<(), XmlError> {
        let fresh = self.open.is_empty();
        if fresh {
            self.arena.clear();
            if self.arena.nodes.capacity() == 0 {
                self.arena = Arena::for_stanza();
            }
        }
        within(Limit::Depth, self.limits.depth, self.open.len() + 1)?;
        within(Limit::Nodes, self.limits.nodes, self.arena.nodes.len() + 1)?;
        self.check_name(prefix.as_ref().map(|prefix| prefix.as_str()), name)?;
        let mark = self.scope.enter(fresh);
        let index = self.arena.open(0, name);
        self.open.push(OpenElement { index, mark });
        self.prefix = prefix;
        self.text_is_last = false;
        Ok(())
    }

    fn attribute(&mut self, prefix: Option<&str>, name: &str, value: &str) -> Result<(), XmlError> {
        self.check_name(prefix, name)?;
        within(Limit::AttributeValue, self.limits.attribute_value, value.len())?;
        let declaration = match prefix {
            Some(prefix) => prefix == "xmlns",
            None => name == "xmlns",
        };
        if declaration {
            within(Limit::Namespaces, self.limits.namespaces, self.scope.count() + 1)?;
            return match prefix {
                Some(_) => self.scope.declare_prefix(nc_name(name)?, value, &mut self.arena),
                None => self.scope.declare_default(value, &mut self.arena),
            };
        }
        let index = self.open.last().map_or(0, |element| element.index);
        let count = self.arena.attributes_of(index).len();
        within(Limit::Attributes, self.limits.attributes, count + 1)?;
        // What the prefix stands for may be declared later in the tag: it is looked up at the tag's end.
        let prefix = prefix.map(|prefix| self.arena.add(prefix)).unwrap_or_default();
        let name = self.arena.add(name);
        let value = self.arena.add(value);
        self.arena.attributes.push(AttributeData {
            namespace: Span::default(),
            prefix,
            name,
            value,
        });
        let end = to_u32(self.arena.attributes.len());
        if let Some(node) = self.arena.nodes.get_mut(index) {
            node.attributes.1 = end;
        }
        Ok(())
    }

    fn end_of_start_tag(&mut self) -> Result<Option<XmlEvent>, XmlError> {
        let index = self.open.last().map_or(0, |element| element.index);
        let namespace = match self.prefix.take() {
            Some(prefix) => self.scope.lookup(&prefix, &mut self.arena)?,
            None => self.scope.default_namespace(&mut self.arena),
        };
        if let Some(node) = self.arena.nodes.get_mut(index) {
            node.namespace = namespace;
        }
        self.resolve_attributes(index)?;
        if self.framing == Framing::Document || self.open.len() > 1 {
            return Ok(None);
        }
        match &self.root {
            // RFC 6120 §4.2: a stream has one header; a second one inside it is no stanza.
            Some((namespace, name)) if self.arena.namespace(index) == namespace && self.arena.name(index) == name => {
                Err(XmlError::BadFormat)
            }
            Some(_) => Ok(None),
            None => self.open_root(),
        }
    }

    /// Looks up the prefixes of the current tag's attributes, and refuses two with the same expanded name.
    fn resolve_attributes(&mut self, index: usize) -> Result<(), XmlError> {
        let range = attribute_range(&self.arena.node(index));
        for position in range.clone() {
            let Some(prefix) = self.arena.attributes.get(position).map(|attribute| attribute.prefix) else {
                break;
            };
            if prefix.is_empty() {
                continue;
            }
            let prefix = nc_name(self.arena.get(prefix))?;
            let namespace = self.scope.lookup(&prefix, &mut self.arena)?;
            let span = self.arena.namespace_span(namespace);
            if let Some(attribute) = self.arena.attributes.get_mut(position) {
                attribute.namespace = span;
            }
        }
        // XML 1.0 §3.1 "Unique Att Spec", Namespaces in XML 1.0 §6.3.
        let attributes = self.arena.attributes.get(range).unwrap_or_default();
        match self.arena.duplicate_attribute(attributes, &mut self.order) {
            Some(_) => Err(XmlError::fault(Fault::DuplicateAttribute)),
            None => Ok(()),
        }
    }

    fn open_root(&mut self) -> Result<Option<XmlEvent>, XmlError> {
        self.open.clear();
        self.root = Some((self.arena.namespace(0).into(), self.arena.name(0).into()));
        self.content_namespace = self.scope.keep_root_declarations(&self.arena).into();
        let element = self.take_element()?;
        self.place = Place::Outside(Gate::Blank);
        // For `<root/>` the tokenizer has the end in store, and gives it without further input.
        match self.raw.parse(&mut &[][..], false) {
            Ok(Some(RawEvent::ElementFoot(_))) => self.close_pending = true,
            Ok(_) | Err(EndOrError::NeedMoreData) => {}
            Err(EndOrError::Error(error)) => return Err(self.translate(error)),
        }
        Ok(Some(XmlEvent::Open(element)))
    }

    fn end(&mut self) -> Result<Option<XmlEvent>, XmlError> {
        self.text_is_last = false;
        let Some(element) = self.open.pop() else {
            self.place = Place::After;
            return Ok(Some(XmlEvent::Close));
        };
        self.arena.close(element.index);
        self.scope.leave(element.mark);
        if !self.open.is_empty() {
            return Ok(None);
        }
        self.place = match self.framing {
            Framing::Stream => Place::Outside(Gate::Blank),
            Framing::Document => Place::After,
        };
        self.take_element().map(|element| Some(XmlEvent::Element(element)))
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return Err(XmlError::BadFormat);
        }
        if !self.text_is_last {
            within(Limit::Nodes, self.limits.nodes, self.arena.nodes.len() + 1)?;
        }
        self.arena.push_text(text, self.text_is_last);
        self.text_is_last = true;
        Ok(())
    }

    /// The element in the arena, in memory that fits it.
    fn take_element(&mut self) -> Result<Element, XmlError> {
        if self.arena.take_overflow() {
            return Err(XmlError::LimitExceeded {
                limit: Limit::ElementBytes,
                maximum: u32::MAX as usize,
            });
        }
        if self.arena.text_bytes() <= COPY_BYTES {
            let arena = self.arena.clone();
            self.arena.clear();
            return Ok(Element { arena });
        }
        let mut arena = mem::take(&mut self.arena);
        arena.shrink();
        Ok(Element { arena })
    }

    fn check_name(&self, prefix: Option<&str>, name: &str) -> Result<(), XmlError> {
        let bytes = prefix.map_or(0, |prefix| prefix.len() + 1) + name.len();
        within(Limit::Name, self.limits.name, bytes)
    }

    /// Gives memory back that only helps while there is something to read.
    fn release(&mut self) {
        self.raw.release_temporaries();
        self.arena = Arena::default();
        self.open = Vec::new();
        self.order = Vec::new();
    }

    fn translate(&self, error: rxml::Error) -> XmlError {
        use rxml::Error as E;
        XmlError::fault(match error {
            E::InvalidEof(_) => return XmlError::Incomplete,
            E::RestrictedXml("comments") => {
                return XmlError::RestrictedXml {
                    what: Restricted::Comment,
                };
            }
            E::RestrictedXml("processing instructions") => {
                return XmlError::RestrictedXml {
                    what: Restricted::ProcessingInstruction,
                };
            }
            // What is longest decides, and that is attribute values.
            E::RestrictedXml("long name or reference") => {
                return XmlError::LimitExceeded {
                    limit: Limit::AttributeValue,
                    maximum: self.limits.attribute_value,
                };
            }
            // `<!` and then neither a comment nor CDATA.
            E::InvalidSyntax("malformed cdata or comment section start") => {
                return XmlError::RestrictedXml {
                    what: Restricted::DocumentType,
                };
            }
            E::UndeclaredEntity => Fault::UndefinedEntity,
            E::InvalidChar(..) => Fault::InvalidCharacter,
            E::DuplicateAttribute => Fault::DuplicateAttribute,
            E::ElementMismatch => Fault::MismatchedTag,
            E::MultiColonName(_) | E::EmptyNamePart(_) | E::InvalidLocalName(_) => Fault::InvalidName,
            E::UndeclaredNamespacePrefix(_) => Fault::UndeclaredPrefix,
            E::ReservedNamespacePrefix | E::ReservedNamespaceName | E::EmptyNamespaceUri => Fault::ReservedNamespace,
            E::InvalidUtf8Byte(_) => Fault::InvalidUtf8,
            E::UnexpectedChar(..)
            | E::UnexpectedByte(..)
            | E::InvalidSyntax(_)
            | E::UnexpectedToken(..)
            | E::RestrictedXml(_) => Fault::Syntax,
        })
    }
}

/// Reads a whole document of the shape of a stream, such as the `<body/>` of BOSH: the root without its children, and the children.
///
/// # Errors
///
/// What [`Reader`] refuses with [`Framing::Stream`], and [`XmlError::Incomplete`] where the document does not end.
///
/// ```
/// use epode::xml::{XmlLimits, parse_document_stream};
///
/// let body = b"<body xmlns='http://jabber.org/protocol/httpbind' sid='s1'><stream:features/></body>";
/// let streams = "http://etherx.jabber.org/streams";
/// let (root, children) = parse_document_stream(body, &XmlLimits::default(), &[("stream", streams)])?;
/// assert_eq!(root.attribute("sid"), Some("s1"));
/// assert!(matches!(children.as_slice(), [features] if features.is(streams, "features")));
/// # Ok::<(), epode::xml::XmlError>(())
/// ```
pub fn parse_document_stream(
    bytes: &[u8],
    limits: &XmlLimits,
    predeclared: &[(&str, &str)],
) -> Result<(Element, Vec<Element>), XmlError> {
    let mut reader = Reader::new(Framing::Stream, limits.clone());
    for (prefix, namespace) in predeclared {
        reader.predeclare(prefix, namespace);
    }
    let mut events = Vec::new();
    reader.feed(bytes, &mut events)?;
    reader.finish()?;
    let mut root = None;
    let mut children = Vec::new();
    for event in events {
        match event {
            XmlEvent::Open(element) => root = Some(element),
            XmlEvent::Element(element) => children.push(element),
            XmlEvent::Close => {}
        }
    }
    root.map(|root| (root, children)).ok_or(XmlError::Incomplete)
}

fn nc_name(name: &str) -> Result<NcName, XmlError> {
    NcName::try_from(name).map_err(|_| XmlError::fault(Fault::InvalidName))
}

fn within(limit: Limit, maximum: usize, value: usize) -> Result<(), XmlError> {
    if value > maximum {
        Err(XmlError::LimitExceeded { limit, maximum })
    } else {
        Ok(())
    }
}
