//! XML as XMPP uses it (RFC 6120 §11): bytes in, whole elements out, and every limit enforced on the way.
//!
//! What this module promises:
//!
//! - Nothing is accepted that is not namespace-well-formed XML 1.0. Comments, processing instructions and document types are refused,
//!   never skipped (RFC 6120 §11.1).
//! - How the bytes are cut into pieces never changes the result, an error is repeated for ever, and nothing follows an error.
//! - Time is linear in the bytes and memory is bounded by [`XmlLimits`], which are checked while parsing and before buffering.
//! - Nothing recurses: an element is one flat table, however deep it is.
//!
//! How the files fit: `reader` drives the tokenizer and enforces the limits; `plain` reads what needs no tokenizer; `gate` guards the places outside any element (before the
//! root, between stanzas); `namespace` knows what is declared where; all of them fill an `arena`, which `element` shows to the
//! application, `builder` fills by hand and `writer` turns back into text.
//!
//! ```
//! use epode::xml::{Element, XmlLimits};
//!
//! let message = Element::builder("jabber:client", "message")
//!     .attr("to", "romeo@example.net")
//!     .child(Element::builder("jabber:client", "body").text("Art thou not Romeo, & a Montague?"))
//!     .build()?;
//! let xml = message.to_xml();
//! assert_eq!(
//!     xml,
//!     "<message xmlns='jabber:client' to='romeo@example.net'><body>Art thou not Romeo, &amp; a Montague?</body></message>"
//! );
//! assert_eq!(Element::parse(&xml, &XmlLimits::default()).as_ref(), Ok(&message));
//! # Ok::<(), epode::xml::InvalidXml>(())
//! ```

mod arena;
mod builder;
mod element;
mod error;
mod gate;
mod limits;
mod namespace;
mod plain;
mod reader;
mod writer;

pub use builder::ElementBuilder;
pub use element::{Attribute, Element, ElementRef, Node};
pub use error::{Fault, InvalidXml, Limit, Restricted, XmlError};
pub use limits::XmlLimits;
pub use reader::{Framing, Reader, XmlEvent, parse_document_stream};
pub(crate) use writer::escape_attribute;

/// The namespace of `xml:lang` and its kin (Namespaces in XML 1.0 §3), bound to the prefix `xml` everywhere.
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// The namespace of `xmlns` itself, which nothing may be bound to (Namespaces in XML 1.0 §3).
const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";
