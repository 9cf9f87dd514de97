//! Stanzas: builders for the application, stanza errors, and the checks on what is sent.

use alloc::string::{String, ToString};

use super::NS_CLIENT;
use crate::error::InvalidStanza;
use crate::input::{StanzaError, StanzaErrorType};
use crate::jid::Jid;
use crate::link::shorten;
use crate::xml::{Element, ElementBuilder, ElementRef, InvalidXml};

const NS_STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// A chat message with a text (RFC 6121 §5).
///
/// ```
/// let message = epode::stanza::chat(&"juliet@example.com".parse()?, "Art thou not Romeo?")?;
/// assert_eq!(
///     message.to_xml(),
///     "<message xmlns='jabber:client' type='chat' to='juliet@example.com'><body>Art thou not Romeo?</body></message>"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn chat(to: &Jid, body: &str) -> Result<Element, InvalidXml> {
    let text = Element::builder(NS_CLIENT, "body").text(body);
    Element::builder(NS_CLIENT, "message")
        .attr("type", "chat")
        .attr("to", to.as_str())
        .child(text)
        .build()
}

/// Initial presence: available, and nothing more (RFC 6121 §4.2).
pub fn available() -> Result<Element, InvalidXml> {
    Element::builder(NS_CLIENT, "presence").build()
}

/// An `iq` of type `get` (RFC 6120 §8.2.3), to `to` or to the account itself.
pub fn get(to: Option<&Jid>, payload: ElementBuilder) -> Result<Element, InvalidXml> {
    iq("get", to, payload)
}

/// An `iq` of type `set` (RFC 6120 §8.2.3), to `to` or to the account itself.
pub fn set(to: Option<&Jid>, payload: ElementBuilder) -> Result<Element, InvalidXml> {
    iq("set", to, payload)
}

fn iq(kind: &str, to: Option<&Jid>, payload: ElementBuilder) -> Result<Element, InvalidXml> {
    let mut iq = Element::builder(NS_CLIENT, "iq").attr("type", kind);
    if let Some(to) = to {
        iq = iq.attr("to", to.as_str());
    }
    iq.child(payload).build()
}

impl StanzaError {
    /// An error of that type and defined condition (RFC 6120 §8.3.3).
    pub fn new(kind: StanzaErrorType, condition: &str) -> Self {
        Self {
            kind,
            condition: condition.to_string(),
            text: None,
        }
    }

    /// The request is not understood, or not served (RFC 6120 §8.3.3.19).
    pub fn service_unavailable() -> Self {
        Self::new(StanzaErrorType::Cancel, "service-unavailable")
    }

    pub(crate) fn bad_request() -> Self {
        Self::new(StanzaErrorType::Modify, "bad-request")
    }

    pub(crate) fn resource_constraint() -> Self {
        Self::new(StanzaErrorType::Wait, "resource-constraint")
    }

    /// Reads the `<error/>` of a stanza; what is missing or unknown gets the meaning that RFC 6120 §8.3.2 gives it.
    pub(crate) fn read(stanza: ElementRef<'_>) -> Self {
        let Some(error) = stanza.child(NS_CLIENT, "error") else {
            return Self::new(StanzaErrorType::Cancel, "undefined-condition");
        };
        let kind = match error.attribute("type") {
            Some("auth") => StanzaErrorType::Auth,
            Some("continue") => StanzaErrorType::Continue,
            Some("modify") => StanzaErrorType::Modify,
            Some("wait") => StanzaErrorType::Wait,
            Some(_) | None => StanzaErrorType::Cancel,
        };
        let condition = error
            .children()
            .find(|child| child.namespace() == NS_STANZA_ERRORS && child.name() != "text")
            .map(|child| known_condition(child.name()))
            .or_else(|| error.attribute("code").and_then(legacy_condition))
            .unwrap_or("undefined-condition");
        let text = error.child(NS_STANZA_ERRORS, "text").map(|text| shorten(&text.text()));
        Self {
            kind,
            condition: condition.to_string(),
            text,
        }
    }

    pub(crate) fn builder(&self) -> ElementBuilder {
        let mut error = Element::builder(NS_CLIENT, "error")
            .attr("type", self.kind.as_str())
            .child(Element::builder(NS_STANZA_ERRORS, &self.condition));
        if let Some(text) = &self.text {
            error = error.child(Element::builder(NS_STANZA_ERRORS, "text").text(text));
        }
        error
    }
}

/// RFC 6120 §8.3.3.
fn known_condition(name: &str) -> &'static str {
    const CONDITIONS: [&str; 22] = [
        "bad-request",
        "conflict",
        "feature-not-implemented",
        "forbidden",
        "gone",
        "internal-server-error",
        "item-not-found",
        "jid-malformed",
        "not-acceptable",
        "not-allowed",
        "not-authorized",
        "policy-violation",
        "recipient-unavailable",
        "redirect",
        "registration-required",
        "remote-server-not-found",
        "remote-server-timeout",
        "resource-constraint",
        "service-unavailable",
        "subscription-required",
        "undefined-condition",
        "unexpected-request",
    ];
    CONDITIONS
        .into_iter()
        .find(|condition| *condition == name)
        .unwrap_or("undefined-condition")
}

/// The numbers of before RFC 3920, which some servers still send alone (XEP-0086).
fn legacy_condition(code: &str) -> Option<&'static str> {
    Some(match code {
        "302" => "redirect",
        "400" => "bad-request",
        "401" => "not-authorized",
        "403" => "forbidden",
        "404" => "item-not-found",
        "405" => "not-allowed",
        "406" => "not-acceptable",
        "407" => "registration-required",
        "408" | "504" => "remote-server-timeout",
        "409" => "conflict",
        "500" => "internal-server-error",
        "501" => "feature-not-implemented",
        "502" | "503" | "510" => "service-unavailable",
        _ => return None,
    })
}

/// What `Send` takes.
pub(crate) fn check_message_or_presence(stanza: &Element, me: &Jid) -> Result<(), InvalidStanza> {
    if stanza.namespace() != NS_CLIENT || !matches!(stanza.name(), "message" | "presence") {
        return Err(InvalidStanza::NotMessageOrPresence);
    }
    check_addresses(stanza, me)
}

/// What `Request` takes (RFC 6120 §8.2.3).
pub(crate) fn check_iq_request(stanza: &Element, me: &Jid) -> Result<(), InvalidStanza> {
    if !stanza.is(NS_CLIENT, "iq") || !matches!(stanza.attribute("type"), Some("get" | "set")) {
        return Err(InvalidStanza::NotIqRequest);
    }
    if stanza.children().count() != 1 {
        return Err(InvalidStanza::PayloadCount);
    }
    check_addresses(stanza, me)
}

/// `to` has to be a JID; `from` is the server's business, and if it is given it must be ours (RFC 6120 §8.1.2.1).
fn check_addresses(stanza: &Element, me: &Jid) -> Result<(), InvalidStanza> {
    if stanza.attribute("to").is_some_and(|to| Jid::from_server(to).is_err()) {
        return Err(InvalidStanza::To);
    }
    match stanza.attribute("from") {
        None => Ok(()),
        Some(from) => match Jid::from_server(from) {
            Ok(from) if from == *me || (from.resource().is_none() && from.bare() == me.bare()) => Ok(()),
            Ok(_) | Err(_) => Err(InvalidStanza::From),
        },
    }
}

/// `to` and `id` as text, for an answer to `iq`.
pub(crate) fn answer(
    id: &str,
    to: Option<&str>,
    result: &Result<Option<Element>, StanzaError>,
) -> Result<Element, InvalidXml> {
    let kind = if result.is_ok() { "result" } else { "error" };
    let mut iq = Element::builder(NS_CLIENT, "iq").attr("type", kind).attr("id", id);
    if let Some(to) = to {
        iq = iq.attr("to", to);
    }
    match result {
        Ok(Some(payload)) => iq = iq.element(payload),
        Ok(None) => {}
        Err(error) => iq = iq.child(error.builder()),
    }
    iq.build()
}

/// Whose stanza it is, as text for a message.
pub(crate) fn sender(stanza: &Element) -> Option<String> {
    stanza.attribute("from").map(String::from)
}
