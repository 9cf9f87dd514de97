//! What users do with their own accounts: registration, password and removal (XEP-0077), certificates (XEP-0257).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Registration;
use crate::accounts::Certificate;
use crate::stream::{Action, CLIENT, Context, error, result};
use crate::tls;
use crate::xml::{Element, escape};

const REGISTER: &str = "jabber:iq:register";
const CERTIFICATES: &str = "urn:xmpp:saslcert:1";

/// True for what may come before login.
pub(crate) fn is_registration(stanza: &Element, context: &Context<'_>) -> bool {
    let to = stanza.attribute("to");
    context.options.registration.is_some()
        && stanza.name == "iq"
        && stanza.attribute("id").is_some()
        && stanza.child(REGISTER, "query").is_some()
        && to.is_none_or(|to| to.eq_ignore_ascii_case(&context.settings.domain))
}

/// XEP-0077 §3.1.
pub(crate) fn register(stanza: &Element, context: &mut Context<'_>) -> Vec<Action> {
    let terms = context.options.registration.clone().unwrap_or_default();
    let answer = match (stanza.attribute("type"), stanza.child(REGISTER, "query")) {
        (Some("get"), _) => Ok(fields(&terms)),
        (Some("set"), Some(query)) => create(query, &terms, context).map(|()| String::new()),
        _ => Err(("modify", "bad-request")),
    };
    // Nobody has an address yet that the answer could go to.
    let xml = match answer {
        Ok(inside) => {
            let id = escape(stanza.attribute("id").unwrap_or_default());
            let from = escape(&context.settings.domain);
            format!("<iq xmlns='{CLIENT}' type='result' id='{id}' from='{from}'>{inside}</iq>")
        }
        Err((kind, condition)) => error(stanza, "", kind, condition).replacen(" to=''", "", 1),
    };
    vec![Action::Reply(xml)]
}

fn fields(terms: &Registration) -> String {
    let extra = terms.extra_field.as_ref().map(|name| format!("<{}/>", escape(name)));
    format!(
        "<query xmlns='{REGISTER}'><instructions>Choose a name and a password.</instructions><username/><password/>{}</query>",
        extra.unwrap_or_default()
    )
}

fn create(
    query: &Element,
    terms: &Registration,
    context: &mut Context<'_>,
) -> Result<(), (&'static str, &'static str)> {
    if let Some(condition) = terms.refusal {
        return Err(("cancel", condition));
    }
    let field = |name: &str| {
        query
            .child(REGISTER, name)
            .map(Element::text)
            .filter(|text| !text.is_empty())
    };
    let extra = terms.extra_field.as_ref();
    let (Some(name), Some(password)) = (field("username"), field("password")) else {
        return Err(("modify", "not-acceptable"));
    };
    let name = name.to_lowercase();
    if extra.is_some_and(|extra| field(extra).is_none()) || name.contains(|c: char| " \"&'/:<>@".contains(c)) {
        return Err(("modify", "not-acceptable"));
    }
    if context.accounts.exists(&name) {
        return Err(("cancel", "conflict"));
    }
    context.accounts.set_password(&name, Some(&password));
    Ok(())
}

/// What a user asks about the own account. `None`: it is about something else, or about what is not served.
pub(crate) fn manage(
    payload: &Element,
    stanza: &Element,
    user: &str,
    full: &str,
    certificate: Option<&[u8]>,
    context: &mut Context<'_>,
) -> Option<Vec<Action>> {
    let is_set = stanza.attribute("type") == Some("set");
    let mut after = Vec::new();
    let answer = if payload.is(REGISTER, "query") && context.options.registration.is_some() {
        change(payload, is_set, user, &mut after, context)
    } else if payload.namespace == CERTIFICATES && context.options.certificate_management {
        manage_certificates(payload, is_set, user, certificate, &mut after, context)
    } else {
        return None;
    };
    let xml = match answer {
        Ok(inside) => result(stanza, full, &inside, &context.settings.domain),
        Err((kind, condition)) => error(stanza, full, kind, condition),
    };
    after.insert(0, Action::Stanza(xml));
    Some(after)
}

/// What disco has to say of this file.
pub(crate) fn disco_features(context: &Context<'_>) -> String {
    let options = context.options;
    let served = [
        (options.registration.is_some(), REGISTER),
        (options.certificate_management, CERTIFICATES),
    ];
    let served = served.into_iter().filter(|(is_served, _)| *is_served);
    served.map(|(_, var)| format!("<feature var='{var}'/>")).collect()
}

type Answer = Result<String, (&'static str, &'static str)>;

/// XEP-0077 §3.2 and §3.3, and what is known of the account.
fn change(query: &Element, is_set: bool, user: &str, after: &mut Vec<Action>, context: &mut Context<'_>) -> Answer {
    if !is_set {
        let name = escape(user);
        return Ok(format!(
            "<query xmlns='{REGISTER}'><registered/><username>{name}</username><password/></query>"
        ));
    }
    if query.child(REGISTER, "remove").is_some() {
        if query.elements().count() != 1 {
            return Err(("modify", "bad-request"));
        }
        after.push(Action::Removed(user.to_owned()));
        return Ok(String::new());
    }
    let field = |name: &str| {
        query
            .child(REGISTER, name)
            .map(Element::text)
            .filter(|text| !text.is_empty())
    };
    let (Some(name), Some(password)) = (field("username"), field("password")) else {
        return Err(("modify", "bad-request"));
    };
    if name.to_lowercase() != user {
        return Err(("cancel", "not-allowed"));
    }
    context.accounts.set_password(user, Some(&password));
    Ok(String::new())
}

/// XEP-0257 §4.
fn manage_certificates(
    payload: &Element,
    is_set: bool,
    user: &str,
    own: Option<&[u8]>,
    after: &mut Vec<Action>,
    context: &mut Context<'_>,
) -> Answer {
    let child = |name: &str| {
        payload
            .child(CERTIFICATES, name)
            .map(Element::text)
            .filter(|text| !text.is_empty())
    };
    let registered = context.accounts.certificates(user);
    // XEP-0257 §4.1: some certificates log in and manage nothing.
    if own.is_some_and(|own| registered.iter().any(|known| known.der == own && !known.manages)) {
        return Err(("auth", "forbidden"));
    }
    match (payload.name.as_str(), is_set) {
        ("items", false) => {
            let items: String = registered.iter().map(item).collect();
            Ok(format!("<items xmlns='{CERTIFICATES}'>{items}</items>"))
        }
        ("append", true) => {
            let (Some(name), Some(text)) = (child("name"), child("x509cert")) else {
                return Err(("modify", "bad-request"));
            };
            let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let Some(der) = STANDARD.decode(text).ok().filter(|der| tls::is_certificate(der)) else {
                return Err(("modify", "bad-request"));
            };
            if registered.iter().any(|known| known.name == name) {
                return Err(("cancel", "conflict"));
            }
            let manages = payload.child(CERTIFICATES, "no-cert-management").is_none();
            if let Some(certificates) = context.accounts.certificates_mut(user) {
                certificates.push(Certificate { name, der, manages });
            }
            Ok(String::new())
        }
        ("disable" | "revoke", true) => {
            let Some(name) = child("name") else {
                return Err(("modify", "bad-request"));
            };
            let at = registered.iter().position(|known| known.name == name);
            let certificates = context.accounts.certificates_mut(user);
            let (Some(at), Some(certificates)) = (at, certificates) else {
                return Err(("cancel", "item-not-found"));
            };
            let gone = certificates.remove(at);
            if payload.name == "revoke" {
                after.push(Action::Revoked(gone.der));
            }
            Ok(String::new())
        }
        _ => Err(("modify", "bad-request")),
    }
}

fn item(certificate: &Certificate) -> String {
    let management = if certificate.manages {
        ""
    } else {
        "<no-cert-management/>"
    };
    format!(
        "<item><name>{}</name><x509cert>{}</x509cert>{management}</item>",
        escape(&certificate.name),
        STANDARD.encode(&certificate.der)
    )
}
