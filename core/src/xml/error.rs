//! What can be wrong with XML: the peer's (`XmlError`) and ours (`InvalidXml`).

use alloc::string::String;
use core::fmt;

/// Why bytes of a peer were refused. The reader that met it repeats it for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum XmlError {
    /// The bytes are not namespace-well-formed XML 1.0 (RFC 6120 §4.9.3.13).
    NotWellFormed {
        /// What is wrong with them.
        fault: Fault,
    },
    /// Well-formed, but with a construct that XMPP forbids (RFC 6120 §11.1).
    RestrictedXml {
        /// The construct.
        what: Restricted,
    },
    /// Declared or recognised as something other than UTF-8 (RFC 6120 §11.6).
    UnsupportedEncoding,
    /// Well-formed, but not what a stream may contain there: text between stanzas, or a second stream header (RFC 6120 §4.9.3.1).
    BadFormat,
    /// The peer went over a limit (RFC 6120 §13.12).
    LimitExceeded {
        /// Which one.
        limit: Limit,
        /// Its value.
        maximum: usize,
    },
    /// The input ended before the root element did.
    Incomplete,
}

/// The ways not to be well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Fault {
    /// The grammar of XML 1.0 does not allow it.
    Syntax,
    /// An end tag that does not match the start tag.
    MismatchedTag,
    /// Two attributes of one element with the same name, also where two prefixes stand for one namespace, or two declarations of a prefix.
    DuplicateAttribute,
    /// A prefix that nothing declares.
    UndeclaredPrefix,
    /// The prefixes `xml` and `xmlns` and their namespaces cannot be rebound, and a prefix cannot be undeclared.
    ReservedNamespace,
    /// Not a name, or one with several colons or an empty part.
    InvalidName,
    /// A code point outside the characters of XML 1.0, raw or as a reference.
    InvalidCharacter,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// A reference to an entity other than the five predefined ones.
    UndefinedEntity,
    /// An XML declaration that is malformed, of another version than 1.0, or not at the very start.
    Declaration,
    /// Something before the root element or after its end.
    OutsideRoot,
}

/// What RFC 6120 §11.1 forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Restricted {
    /// `<!-- -->`
    Comment,
    /// `<? ?>`
    ProcessingInstruction,
    /// `<!DOCTYPE >` and other declarations.
    DocumentType,
}

/// The limits of [`XmlLimits`](super::XmlLimits), by the names of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Limit {
    /// Bytes of one top-level element.
    ElementBytes,
    /// Bytes of one document, or of one BOSH body.
    DocumentBytes,
    /// Elements inside one another.
    Depth,
    /// Attributes of one element.
    Attributes,
    /// Namespace declarations in scope.
    Namespaces,
    /// Bytes of one attribute value.
    AttributeValue,
    /// Bytes of one name.
    Name,
    /// Nodes of one top-level element.
    Nodes,
}

impl XmlError {
    /// Whether the input only ended too early, so that it may have been cut off on its way.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        *self == Self::Incomplete
    }

    /// The condition that a stream error reports this with (RFC 6120 §4.9.3).
    #[must_use]
    pub fn stream_error_condition(&self) -> &'static str {
        match self {
            Self::NotWellFormed { .. } | Self::Incomplete => "not-well-formed",
            Self::RestrictedXml { .. } => "restricted-xml",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::BadFormat => "bad-format",
            Self::LimitExceeded { .. } => "policy-violation",
        }
    }

    pub(super) fn fault(fault: Fault) -> Self {
        Self::NotWellFormed { fault }
    }
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWellFormed { fault } => write!(f, "the XML is not well-formed: {fault}"),
            Self::RestrictedXml { what } => write!(f, "the XML contains {what}, which XMPP forbids"),
            Self::UnsupportedEncoding => f.write_str("the XML is not encoded as UTF-8"),
            Self::BadFormat => f.write_str("the XML is well-formed, but has no place in an XMPP stream"),
            Self::LimitExceeded { limit, maximum } => write!(f, "the XML goes over the limit of {maximum} {limit}"),
            Self::Incomplete => f.write_str("the XML ends before its root element does"),
        }
    }
}

impl core::error::Error for XmlError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "a syntax error",
            Self::MismatchedTag => "an end tag does not match its start tag",
            Self::DuplicateAttribute => "an attribute or a declaration occurs twice",
            Self::UndeclaredPrefix => "a namespace prefix is not declared",
            Self::ReservedNamespace => "a reserved prefix or namespace is rebound",
            Self::InvalidName => "a name is invalid",
            Self::InvalidCharacter => "a character is not allowed",
            Self::InvalidUtf8 => "the bytes are not UTF-8",
            Self::UndefinedEntity => "an entity is not defined",
            Self::Declaration => "the XML declaration is malformed or misplaced",
            Self::OutsideRoot => "there is content outside the root element",
        })
    }
}

impl fmt::Display for Restricted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Comment => "a comment",
            Self::ProcessingInstruction => "a processing instruction",
            Self::DocumentType => "a document type declaration",
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ElementBytes => "bytes an element",
            Self::DocumentBytes => "bytes a document",
            Self::Depth => "nested elements",
            Self::Attributes => "attributes an element",
            Self::Namespaces => "namespace declarations in scope",
            Self::AttributeValue => "bytes an attribute value",
            Self::Name => "bytes a name",
            Self::Nodes => "nodes an element",
        })
    }
}

/// Why an element cannot be built: it could not be written as XML. Nothing is dropped or replaced silently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidXml {
    /// Not a name without a colon (Namespaces in XML 1.0 §3).
    Name {
        /// What was given.
        name: String,
    },
    /// A code point that XML 1.0 §2.2 excludes, even as a reference.
    Character {
        /// The code point.
        code_point: u32,
    },
    /// A prefix that cannot stand for that namespace: none, or one of `xml` and `xmlns` out of place.
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// A namespace that elements and attributes cannot be in.
    Namespace {
        /// What was given.
        namespace: String,
    },
    /// The element has this attribute already.
    DuplicateAttribute {
        /// Its local name.
        name: String,
    },
    /// Four gibibytes or more.
    TooLarge,
}

impl fmt::Display for InvalidXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(f, "{name:?} is not an XML name"),
            Self::Character { code_point } => write!(f, "XML cannot express the code point U+{code_point:04X}"),
            Self::Prefix { prefix } => write!(f, "{prefix:?} cannot be the prefix of that namespace"),
            Self::Namespace { namespace } => write!(f, "nothing can be put into the namespace {namespace:?}"),
            Self::DuplicateAttribute { name } => write!(f, "the element has an attribute {name:?} already"),
            Self::TooLarge => f.write_str("the element would be larger than four gibibytes"),
        }
    }
}

impl core::error::Error for InvalidXml {}
