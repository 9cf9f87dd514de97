//! Bounds on what a peer may cost, and how long to wait.

use core::time::Duration;

use crate::xml::XmlLimits;

/// Bounds on what a peer, or the application itself, may cost. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Limits {
    /// One top-level element before authentication: features and SASL need no more (64 KiB).
    pub element_before_login: usize,
    /// One top-level element afterwards (1 MiB).
    pub element: usize,
    /// One BOSH body: a server may put its whole backlog into one (8 MiB).
    pub bosh_body: usize,
    /// Nesting below the top-level element; real stanzas stay below 20 (64).
    pub depth: usize,
    /// Attributes of one element (128).
    pub attributes: usize,
    /// Namespace declarations in scope (256).
    pub namespaces: usize,
    /// One attribute value (8 KiB).
    pub attribute_value: usize,
    /// One stanza of the application's (256 KiB: more than servers are known to take).
    pub outbound_stanza: usize,
    /// Stanzas that wait to be sent, and bytes not yet acknowledged as written (4 MiB).
    pub outbound_queue: usize,
    /// Output that the host has not taken; above it `wants_read` says no (4 MiB).
    pub inbound_queue: usize,
    /// Requests of the application's without an answer yet, and requests to it (256 each).
    pub pending_requests: usize,
    /// Stanzas that were sent and are not acknowledged (1,000).
    pub unacknowledged: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            element_before_login: 64 * 1024,
            element: 1024 * 1024,
            bosh_body: 8 * 1024 * 1024,
            depth: 64,
            attributes: 128,
            namespaces: 256,
            attribute_value: 8 * 1024,
            outbound_stanza: 256 * 1024,
            outbound_queue: 4 * 1024 * 1024,
            inbound_queue: 4 * 1024 * 1024,
            pending_requests: 256,
            unacknowledged: 1_000,
        }
    }
}

impl Limits {
    /// What a peer that has not authenticated may send.
    pub(crate) fn before_login(&self) -> XmlLimits {
        XmlLimits {
            element_bytes: self.element_before_login,
            // Features and one SASL element, with room for more.
            document_bytes: Some(self.element_before_login.saturating_mul(4).min(self.bosh_body)),
            ..self.after_login()
        }
    }

    /// What the server may send afterwards.
    pub(crate) fn after_login(&self) -> XmlLimits {
        XmlLimits {
            element_bytes: self.element,
            document_bytes: Some(self.bosh_body),
            depth: self.depth,
            attributes: self.attributes,
            namespaces: self.namespaces,
            attribute_value: self.attribute_value,
            ..XmlLimits::default()
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Timeouts {
    /// For a link to come up, and for a session to be created on it (30 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub connect: Duration,
    /// For the host to answer a question of discovery (10 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub discovery: Duration,
    /// For a link to come up while there is another place to try (8 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub fallback: Duration,
    /// For each step of the negotiation (30 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub negotiation: Duration,
    /// For the server's part of the goodbye (5 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub close: Duration,
    /// For the answer to an `iq`, where the request does not say (60 s); also for the application's own answers.
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub iq: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            discovery: Duration::from_secs(10),
            fallback: Duration::from_secs(8),
            negotiation: Duration::from_secs(30),
            close: Duration::from_secs(5),
            iq: Duration::from_secs(60),
        }
    }
}
