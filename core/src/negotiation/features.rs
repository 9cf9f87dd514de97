//! Stream features, as far as they matter before a session (RFC 6120 §4.3.2).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::xml::ElementRef;

pub(crate) const NS_SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(crate) const NS_BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
pub(crate) const NS_SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";

/// What the server offers now. A new set replaces the former one wholly.
#[derive(Debug, Default)]
pub(crate) struct Features {
    /// The SASL mechanisms, `None` where SASL is not offered at all.
    pub(crate) mechanisms: Option<Vec<String>>,
    /// Resource binding.
    pub(crate) bind: bool,
    /// The session of RFC 3921, and the server insists on it.
    pub(crate) session_required: bool,
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
            }
        }
        found
    }
}

/// RFC 4422 §3.1.
fn is_mechanism_name(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'))
}
