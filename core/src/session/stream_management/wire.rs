//! The elements of XEP-0198, read and written.

use alloc::string::{String, ToString};

use super::Session;
use crate::error::PeerMisbehaved;
use crate::link::shorten;
use crate::secret::Secret;
use crate::xml::{Element, escape_attribute};

/// XEP-0198 §5: an id has at most 4000 bytes.
const ID_BYTES: usize = 4_000;

/// A host and a port need no more.
const LOCATION_BYTES: usize = 300;

impl Session {
    /// What `<enabled/>` promises, if it promises resumption (XEP-0198 §5).
    pub(super) fn read(enabled: &Element) -> Option<Self> {
        if !matches!(enabled.attribute("resume"), Some("true" | "1")) {
            return None;
        }
        let id = enabled.attribute("id")?;
        if id.is_empty() || id.len() > ID_BYTES {
            return None;
        }
        Some(Self {
            id: Secret::from(id),
            location: enabled
                .attribute("location")
                .filter(|location| location.len() <= LOCATION_BYTES)
                .map(ToString::to_string),
            max: enabled.attribute("max").and_then(seconds),
        })
    }
}

/// A ping to the account itself, which the server answers (XEP-0199 §4.2, RFC 6120 §10.3.3).
pub(super) fn ping(id: &str) -> String {
    let mut xml = String::from("<iq xmlns='jabber:client' type='get' id='");
    escape_attribute(&mut xml, id);
    xml.push_str("'><ping xmlns='urn:xmpp:ping'/></iq>");
    xml
}

pub(super) fn nonza(name: &str, attributes: &[(&str, String)]) -> String {
    let mut xml = String::from("<");
    xml.push_str(name);
    xml.push_str(" xmlns='urn:xmpp:sm:3'");
    for (name, value) in attributes {
        xml.push(' ');
        xml.push_str(name);
        xml.push_str("='");
        escape_attribute(&mut xml, value);
        xml.push('\'');
    }
    xml.push_str("/>");
    xml
}

/// `h`, an unsigned integer of 32 bits (XEP-0198 §4).
pub(super) fn count(element: &Element) -> Result<u32, PeerMisbehaved> {
    element
        .attribute("h")
        .filter(|h| is_number(h))
        .and_then(|h| h.parse().ok())
        .ok_or_else(|| out_of_place(element))
}

/// A number of seconds; more than can be counted is as much as can be counted.
fn seconds(text: &str) -> Option<u32> {
    is_number(text).then(|| text.parse().unwrap_or(u32::MAX))
}

/// `str::parse` would take a sign.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The stanza error condition in `<failed/>`.
pub(super) fn condition(failed: &Element) -> Option<String> {
    failed
        .children()
        .find(|child| child.name() != "text")
        .map(|child| shorten(child.name()))
}

pub(super) fn out_of_place(element: &Element) -> PeerMisbehaved {
    PeerMisbehaved::StreamManagement {
        element: shorten(element.name()),
    }
}
