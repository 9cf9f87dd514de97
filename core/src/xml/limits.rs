//! What a peer may make us buffer: every bound of the XML layer with its reason.

/// Bounds on what the parser takes in; a breach is [`XmlError::LimitExceeded`](super::XmlError::LimitExceeded).
///
/// All are enforced while parsing, before anything is buffered beyond them. The default is for a peer that has authenticated.
///
/// ```
/// let mut limits = epode::xml::XmlLimits::default();
/// limits.element_bytes = 256 * 1024;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct XmlLimits {
    /// Bytes of one top-level element, from its `<` to its last `>`; also of the root's start tag.
    ///
    /// 1 MiB: servers cut stanzas at 64 to 512 KiB (RFC 6120 §13.12 asks them to take at least 10,000 bytes), and the largest thing a
    /// server itself sends, a roster, stays below it for ten thousand contacts.
    pub element_bytes: usize,
    /// Bytes of the whole document, or `None` where it is a stream without end.
    ///
    /// For a BOSH body set 8 MiB: a server may put its whole backlog into one.
    pub document_bytes: Option<usize>,
    /// Elements inside one another, the top-level element being the first. 64: real stanzas stay below 20.
    pub depth: usize,
    /// Attributes of one element, not counting namespace declarations. 128: real elements stay below 20.
    pub attributes: usize,
    /// Namespace declarations in scope at one place. 256: what a stream header and a stanza declare stays below 20.
    pub namespaces: usize,
    /// Bytes of one attribute value. 8 KiB: a JID has at most 3,071 (RFC 7622 §3.1), and long data belongs into text.
    ///
    /// A live reader takes lower values, but none above what it was made with.
    pub attribute_value: usize,
    /// Bytes of one element or attribute name with its prefix. 256: no registered name comes near.
    pub name: usize,
    /// Elements and pieces of text in one top-level element. 65,536: a table entry costs more memory than the four bytes of `<a/>`, so
    /// that the bytes alone would not bound it.
    pub nodes: usize,
}

impl XmlLimits {
    /// For a peer that has not authenticated yet: 64 KiB an element, which features with every mechanism in existence fit into.
    #[must_use]
    pub fn before_authentication() -> Self {
        Self {
            element_bytes: 64 * 1024,
            ..Self::default()
        }
    }

    /// No limits except those of the table itself (4 GiB), for text that is our own.
    #[cfg(feature = "record")]
    pub(crate) fn own_text(bytes: usize) -> Self {
        Self {
            element_bytes: usize::MAX,
            document_bytes: None,
            depth: usize::MAX,
            attributes: usize::MAX,
            namespaces: usize::MAX,
            attribute_value: bytes.max(8 * 1024),
            name: bytes.max(256),
            nodes: usize::MAX,
        }
    }
}

impl Default for XmlLimits {
    fn default() -> Self {
        Self {
            element_bytes: 1024 * 1024,
            document_bytes: None,
            depth: 64,
            attributes: 128,
            namespaces: 256,
            attribute_value: 8 * 1024,
            name: 256,
            nodes: 65_536,
        }
    }
}
