//! What is secret in elements that the application hands in or is given: in requests about passwords (XEP-0077), and within tasks.

use alloc::vec::Vec;

use super::exchange::Exchange;
use super::scan::{Pass, Scanner};
use super::{Found, Hide, Role};
use crate::input::ChannelBindings;
use crate::xml::{Element, XmlLimits};

/// In an element that is going to be sent: a placeholder is as long as what it stands for will be as XML. `within` is the tag of
/// the element that it is going to be in.
pub(super) fn hide_sent(element: &mut Element, within: &[u8]) {
    let xml = scanned(element, within, Hide::Proofs, true);
    replace(element, &xml);
}

/// In an element that was received: how the server wrote it is not known any more, so a placeholder is one `*`.
pub(super) fn hide_received(element: &mut Element, within: &[u8]) {
    let mut xml = scanned(element, within, Hide::Marked, false);
    xml.dedup_by(|next, last| (*next, *last) == (0, 0));
    for byte in &mut xml {
        if *byte == 0 {
            *byte = b'*';
        }
    }
    replace(element, &xml);
}

fn scanned(element: &Element, within: &[u8], hide: Hide, sent: bool) -> Vec<u8> {
    let mut xml = element.to_xml().into_bytes();
    let mut pass = Pass {
        role: &mut Role::Hide(hide),
        top: 0,
        sent,
        exchange: &mut Exchange::default(),
        bindings: &ChannelBindings::default(),
        // What travels is counted where it travels.
        found: &mut Found::default(),
    };
    let mut scanner = Scanner::default();
    scanner.scan(&mut pass, &mut within.to_vec());
    scanner.scan(&mut pass, &mut xml);
    xml
}

fn replace(element: &mut Element, xml: &[u8]) {
    if xml == element.to_xml().as_bytes() {
        return;
    }
    let hidden = Element::parse(xml, &XmlLimits::own_text(xml.len())).ok();
    // It parses, for it did before; if not, better nothing than a secret.
    if let Some(hidden) = hidden.or_else(|| Element::builder("", "hidden").build().ok()) {
        *element = hidden;
    }
}
