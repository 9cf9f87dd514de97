//! The SASL profile of RFC 6120 §6: its elements and their texts.

use alloc::string::String;
use alloc::vec::Vec;

use super::features::{NS_SASL, NS_SASL2};
use crate::link::{expanded_name, shorten};
use crate::sasl::SaslError;
use crate::sasl::encoding::{self, initial_response_text, response_text};
use crate::secret::Secret;
use crate::xml::{Element, ElementRef, InvalidXml};

/// `<auth/>` (§6.4.2).
pub(crate) fn auth(mechanism: &str, initial: Option<&Secret>) -> Result<Element, InvalidXml> {
    let mut auth = Element::builder(NS_SASL, "auth").attr("mechanism", mechanism);
    if let Some(initial) = initial {
        auth = auth.text(&initial_response_text(initial.expose()));
    }
    auth.build()
}

/// `<response/>` (§6.4.3).
pub(crate) fn response(data: &Secret) -> Result<Element, InvalidXml> {
    Element::builder(NS_SASL, "response")
        .text(&response_text(data.expose()))
        .build()
}

/// `<abort/>` (§6.4.4).
pub(crate) fn abort() -> Result<Element, InvalidXml> {
    Element::builder(NS_SASL, "abort").build()
}

/// The data of a challenge or a success (§6.4.3, §6.4.6).
pub(crate) fn data(element: ElementRef<'_>) -> Result<Vec<u8>, SaslError> {
    if element.children().next().is_some() {
        return Err(SaslError::Encoding);
    }
    encoding::message(&element.text()).map_err(|_| SaslError::Encoding)
}

/// The condition and the text of a failure (§6.5).
pub(crate) fn failure(failure: ElementRef<'_>) -> (String, Option<String>) {
    const CONDITIONS: [&str; 11] = [
        "aborted",
        "account-disabled",
        "credentials-expired",
        "encryption-required",
        "incorrect-encoding",
        "invalid-authzid",
        "invalid-mechanism",
        "malformed-request",
        "mechanism-too-weak",
        "not-authorized",
        "temporary-auth-failure",
    ];
    let found = failure
        .children()
        .find(|child| child.namespace() == NS_SASL && child.name() != "text");
    let known = found.and_then(|child| CONDITIONS.into_iter().find(|known| *known == child.name()));
    // Each profile has its own (§6.5, XEP-0388 §2.6.2).
    let text = failure
        .child(NS_SASL, "text")
        .or_else(|| failure.child(NS_SASL2, "text"));
    let text = text.map(|text| shorten(&text.text()));
    // §6.5: what is not known counts as not-authorized; the name that was sent is for the person who reads the text.
    let text = text.or_else(|| found.filter(|_| known.is_none()).map(expanded_name));
    (String::from(known.unwrap_or("not-authorized")), text)
}
