//! Registration of an account before the login (XEP-0077 §3.1).

use alloc::string::String;
use alloc::vec::Vec;

use crate::error::RegistrationProblem;
use crate::input::StanzaError;
use crate::link::shorten;
use crate::secret::Secret;
use crate::session::NS_CLIENT;
use crate::xml::{Element, ElementBuilder, InvalidXml};

const NS_REGISTER: &str = "jabber:iq:register";
const NS_DATA: &str = "jabber:x:data";

fn iq(kind: &str, id: &str, domain: &str, query: ElementBuilder) -> Result<Element, InvalidXml> {
    Element::builder(NS_CLIENT, "iq")
        .attr("type", kind)
        .attr("id", id)
        .attr("to", domain)
        .child(query)
        .build()
}

/// Asks what is needed.
pub(super) fn fields(id: &str, domain: &str) -> Result<Element, InvalidXml> {
    iq("get", id, domain, Element::builder(NS_REGISTER, "query"))
}

/// Asks for the account.
pub(super) fn submit(id: &str, domain: &str, name: &str, password: &Secret) -> Result<Element, InvalidXml> {
    // What is no text was no password.
    let password = core::str::from_utf8(password.expose()).unwrap_or_default();
    let query = Element::builder(NS_REGISTER, "query")
        .child(Element::builder(NS_REGISTER, "username").text(name))
        .child(Element::builder(NS_REGISTER, "password").text(password));
    iq("set", id, domain, query)
}

/// Whether a name and a password are all that the server wants.
pub(super) fn check(answer: &Element) -> Result<(), RegistrationProblem> {
    let Some(query) = answer.child(NS_REGISTER, "query") else {
        return Err(RegistrationProblem::NotOffered);
    };
    if query.child(NS_REGISTER, "registered").is_some() {
        return Err(RegistrationProblem::Exists);
    }
    let mut fields: Vec<String> = query
        .children()
        .filter(|child| child.namespace() == NS_REGISTER && child.name() != "instructions")
        .map(|child| shorten(child.name()))
        .collect();
    // XEP-0077 §4.1: a form says the same with more words, or more than it; the fields count where they are enough.
    let enough = |fields: &[String]| {
        fields.iter().any(|field| field == "username")
            && fields
                .iter()
                .all(|field| matches!(field.as_str(), "username" | "password"))
    };
    if enough(&fields) {
        return Ok(());
    }
    if let Some(form) = query.child(NS_DATA, "x") {
        let required = form
            .children()
            .filter(|field| field.is(NS_DATA, "field") && field.child(NS_DATA, "required").is_some());
        fields.extend(required.filter_map(|field| field.attribute("var")).map(shorten));
    }
    fields.truncate(32);
    Err(RegistrationProblem::Fields {
        fields,
        instructions: query
            .child(NS_REGISTER, "instructions")
            .map(|text| shorten(&text.text())),
    })
}

/// What an error means.
pub(super) fn refused(error: StanzaError) -> RegistrationProblem {
    match error.condition.as_str() {
        "conflict" => RegistrationProblem::Exists,
        // XEP-0077 §3.1: the server does not have it after all.
        "service-unavailable" | "feature-not-implemented" => RegistrationProblem::NotOffered,
        _ => RegistrationProblem::Refused { error },
    }
}
