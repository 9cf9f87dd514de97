//! Resource binding (RFC 6120 §7) and the session of RFC 3921 §3.

use alloc::string::String;

use super::features::{NS_BIND, NS_SESSION};
use crate::config::{Config, Credentials};
use crate::error::{LoginError, Offline, PeerMisbehaved};
use crate::jid::Jid;
use crate::session::NS_CLIENT;
use crate::xml::{Element, InvalidXml};

/// The request to bind, for `resource` or for one that the server makes up.
pub(crate) fn bind_request(id: &str, resource: Option<&str>) -> Result<Element, InvalidXml> {
    let mut bind = Element::builder(NS_BIND, "bind");
    if let Some(resource) = resource {
        bind = bind.child(Element::builder(NS_BIND, "resource").text(resource));
    }
    Element::builder(NS_CLIENT, "iq")
        .attr("type", "set")
        .attr("id", id)
        .child(bind)
        .build()
}

/// The request for a session.
pub(crate) fn session_request(id: &str) -> Result<Element, InvalidXml> {
    let session = Element::builder(NS_SESSION, "session");
    Element::builder(NS_CLIENT, "iq")
        .attr("type", "set")
        .attr("id", id)
        .child(session)
        .build()
}

/// The full JID in a result of binding (RFC 6120 §7.6), which must belong to the account.
pub(crate) fn bound_jid(iq: &Element, config: &Config) -> Result<Jid, Offline> {
    let misbehaved = Offline::Misbehaved(PeerMisbehaved::BoundJid);
    let Some(bind) = iq.child(NS_BIND, "bind") else {
        return Err(misbehaved);
    };
    let mut jids = bind.children().filter(|child| child.is(NS_BIND, "jid"));
    let (Some(jid), None) = (jids.next(), jids.next()) else {
        return Err(misbehaved);
    };
    if jid.children().next().is_some() {
        // Leaving a child out would make another address of it.
        return Err(misbehaved);
    }
    let text = jid.text();
    let Ok(jid) = Jid::from_server(text.trim()) else {
        return Err(misbehaved);
    };
    if jid.resource().is_none() {
        return Err(misbehaved);
    }
    check_identity(&jid, config)?;
    Ok(jid)
}

/// A server that logs in somebody else must not be believed, whoever it is.
pub(crate) fn check_identity(identity: &Jid, config: &Config) -> Result<(), Offline> {
    let account = config.account();
    let same = if config.credentials == Credentials::Anonymous {
        // The server makes the account up, on the domain that was asked for.
        identity.domain() == account.domain() && identity.local().is_some()
    } else {
        identity.to_bare() == account
    };
    if same {
        return Ok(());
    }
    Err(Offline::Login(LoginError::UnexpectedIdentity {
        bound: String::from(identity.as_str()),
    }))
}

/// Whether `from` may answer before there is a full JID: nobody, the server, the account, or the JID being assigned.
pub(crate) fn may_answer(from: Option<&str>, config: &Config) -> bool {
    let Some(from) = from else { return true };
    let Ok(from) = Jid::from_server(from) else { return false };
    let account = config.account();
    let is_domain = from.local().is_none() && from.resource().is_none() && from.domain() == account.domain();
    is_domain || check_identity(&from, config).is_ok()
}
