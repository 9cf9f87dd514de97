//! Stream features, as far as they matter before a session (RFC 6120 §4.3.2).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::link::expanded_name;
use crate::xml::ElementRef;

pub(crate) const NS_TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
pub(crate) const NS_SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(crate) const NS_BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
pub(crate) const NS_SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
pub(crate) const NS_SM: &str = "urn:xmpp:sm:3";
const NS_CSI: &str = "urn:xmpp:csi:0";
const NS_LIMITS: &str = "urn:xmpp:stream-limits:0";

/// What the server offers now. A new set replaces the former one wholly.
#[derive(Debug, Default)]
pub(crate) struct Features {
    /// TLS (RFC 6120 §5.4.1).
    pub(crate) starttls: bool,
    /// The SASL mechanisms, `None` where SASL is not offered at all.
    pub(crate) mechanisms: Option<Vec<String>>,
    /// Resource binding.
    pub(crate) bind: bool,
    /// The session of RFC 3921, and the server insists on it.
    pub(crate) session_required: bool,
    /// What lasts as long as the session.
    pub(crate) offers: Offers,
    /// A feature that the server requires and that nobody here knows, as `{namespace}name` (RFC 6120 §4.3.5).
    pub(crate) unknown_required: Option<String>,
}

/// What a server offers for the time after binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    /// XEP-0198.
    pub(crate) stream_management: bool,
    /// XEP-0352.
    pub(crate) client_state: bool,
    /// The largest stanza that it takes, in bytes (XEP-0478).
    pub(crate) max_bytes: Option<usize>,
    /// After so many seconds without a word from the client it takes it for gone (XEP-0478).
    pub(crate) idle_seconds: Option<u32>,
}

impl Features {
    /// Reads `<stream:features/>`. What is unknown is not negotiated: compression among it, on purpose.
    pub(crate) fn read(features: ElementRef<'_>) -> Self {
        let mut found = Self::default();
        for feature in features.children() {
            if feature.is(NS_SASL, "mechanisms") {
                let mechanisms = found.mechanisms.get_or_insert_default();
                for mechanism in feature.children().filter(|child| child.is(NS_SASL, "mechanism")) {
                    let name = mechanism.text();
                    if is_mechanism_name(&name) && !mechanisms.iter().any(|known| *known == name) {
                        mechanisms.push(name.to_string());
                    }
                }
            } else if feature.is(NS_BIND, "bind") {
                found.bind = true;
            } else if feature.is(NS_SESSION, "session") {
                found.session_required = feature.child(NS_SESSION, "optional").is_none();
            } else if feature.is(NS_TLS, "starttls") {
                found.starttls = true;
            } else if feature.is(NS_SM, "sm") {
                found.offers.stream_management = true;
            } else if feature.is(NS_CSI, "csi") {
                found.offers.client_state = true;
            } else if feature.is(NS_LIMITS, "limits") {
                found.offers.max_bytes = number(feature, "max-bytes");
                found.offers.idle_seconds = number(feature, "idle-seconds");
            } else if feature.child(feature.namespace(), "required").is_some() {
                found.unknown_required.get_or_insert_with(|| expanded_name(feature));
            }
        }
        found
    }
}

/// A positive number in a child of `limits`; what is none limits nothing.
fn number<T: core::str::FromStr + Default + PartialEq>(limits: ElementRef<'_>, name: &str) -> Option<T> {
    let number = limits.child(NS_LIMITS, name)?.text().trim().parse().ok()?;
    (number != T::default()).then_some(number)
}

/// RFC 4422 §3.1.
fn is_mechanism_name(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'))
}
