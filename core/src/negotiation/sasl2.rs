//! SASL2 (XEP-0388): its elements, and what comes along in them (XEP-0386, XEP-0484, XEP-0480).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::features::{Inline, NS_BIND2, NS_CARBONS, NS_CSI, NS_FAST, NS_SASL2, NS_SM, NS_UPGRADE};
use super::memory::{LoginToken, TOKEN_BYTES};
use crate::config::{Bind, UserAgent};
use crate::error::{Offline, PeerMisbehaved};
use crate::jid::Jid;
use crate::link::shorten;
use crate::sasl::{SaslError, ScramLimits, checked_iterations, checked_salt, encoding};
use crate::secret::Secret;
use crate::time::parse_date_time;
use crate::xml::{Element, ElementBuilder, ElementRef, InvalidXml};

const NS_SCRAM_UPGRADE: &str = "urn:xmpp:scram-upgrade:0";

/// What is asked for together with a login.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The earlier session.
    pub(crate) resume: bool,
    /// A resource; and with it acknowledgements, and word of an application that nobody looks at.
    pub(crate) bind: bool,
    pub(crate) stream_management: bool,
    pub(crate) inactive: bool,
    /// A token for this mechanism.
    pub(crate) token: Option<&'static str>,
    /// The upgrade.
    pub(crate) upgrade: Option<&'static str>,
}

/// `<authenticate/>` (§2.3), up to what other layers put into it.
#[derive(Debug)]
pub(crate) struct Authenticate {
    pub(crate) start: ElementBuilder,
    /// What `<enable/>` of XEP-0198 belongs into.
    pub(crate) bind: Option<ElementBuilder>,
    pub(crate) resume: bool,
    pub(crate) stream_management: bool,
    pub(crate) end: Vec<ElementBuilder>,
}

impl Authenticate {
    pub(crate) fn new(
        mechanism: &str,
        initial: Option<&Secret>,
        agent: (&UserAgent, &str),
        bind: (&Bind, &Inline),
        asked: &Asked,
    ) -> Self {
        let mut start = Element::builder(NS_SASL2, "authenticate").attr("mechanism", mechanism);
        if let Some(initial) = initial {
            // Here no text is a message of no bytes, and no element is no message.
            let text = encoding::response_text(initial.expose());
            start = start.child(Element::builder(NS_SASL2, "initial-response").text(&text));
        }
        let (agent, id) = agent;
        let mut user_agent = Element::builder(NS_SASL2, "user-agent").attr("id", id);
        for (name, text) in [("software", &agent.software), ("device", &agent.device)] {
            if let Some(text) = text {
                user_agent = user_agent.child(Element::builder(NS_SASL2, name).text(text));
            }
        }
        start = start.child(user_agent);
        if let Some(upgrade) = asked.upgrade {
            start = start.child(Element::builder(NS_UPGRADE, "upgrade").text(upgrade));
        }
        let (settings, inline) = bind;
        let bind = asked.bind.then(|| {
            let mut bind =
                Element::builder(NS_BIND2, "bind").child(Element::builder(NS_BIND2, "tag").text(&settings.tag));
            let has = inline.bind.unwrap_or_default();
            if settings.carbons && has.carbons {
                bind = bind.child(Element::builder(NS_CARBONS, "enable"));
            }
            if asked.inactive {
                bind = bind.child(Element::builder(NS_CSI, "inactive"));
            }
            bind
        });
        let mut end = Vec::new();
        if let Some(mechanism) = asked.token {
            end.push(Element::builder(NS_FAST, "request-token").attr("mechanism", mechanism));
        }
        Self {
            start,
            bind,
            resume: asked.resume,
            stream_management: asked.stream_management,
            end,
        }
    }

    /// The login is by token (XEP-0484 §3.4), perhaps for the last time (§3.6).
    pub(crate) fn by_token(mut self, invalidate: bool) -> Self {
        let fast = Element::builder(NS_FAST, "fast");
        self.end.push(if invalidate {
            fast.attr("invalidate", "true")
        } else {
            fast
        });
        self
    }

    /// The element, with what XEP-0198 has to say in it.
    pub(crate) fn build(self, resume: Option<&Element>, enable: Option<ElementBuilder>) -> Result<Element, InvalidXml> {
        let mut start = self.start;
        if let Some(resume) = resume {
            start = start.element(resume);
        }
        if let Some(mut bind) = self.bind {
            if let Some(enable) = enable {
                bind = bind.child(enable);
            }
            start = start.child(bind);
        }
        start.children(self.end).build()
    }
}

/// `<response/>` (§2.5).
pub(crate) fn response(data: &Secret) -> Result<Element, InvalidXml> {
    Element::builder(NS_SASL2, "response")
        .text(&encoding::response_text(data.expose()))
        .build()
}

/// `<abort/>` (§4.5).
pub(crate) fn abort() -> Result<Element, InvalidXml> {
    Element::builder(NS_SASL2, "abort").build()
}

/// `<next/>`, which begins a task, or `<task-data/>`, which goes on with it (§2.6.3).
pub(crate) fn task(begun: bool, task: &str) -> ElementBuilder {
    if begun {
        Element::builder(NS_SASL2, "task-data")
    } else {
        Element::builder(NS_SASL2, "next").attr("task", task)
    }
}

/// The data of `<challenge/>` (§2.5): here no text is a message of no bytes, and `=` is none.
pub(crate) fn data(element: ElementRef<'_>) -> Result<Vec<u8>, SaslError> {
    if element.children().next().is_some() {
        return Err(SaslError::Encoding);
    }
    Ok(encoding::decode(&element.text())?)
}

/// `<success/>` (§2.6.1).
#[derive(Debug)]
pub(crate) struct Success {
    pub(crate) identifier: Jid,
    pub(crate) resumed: Option<Element>,
    /// The earlier session was not resumed.
    pub(crate) not_resumed: Option<Element>,
    pub(crate) bound: Option<Bound>,
    /// A new token: the text and the time of its end.
    pub(crate) token: Option<Option<(Secret, u64)>>,
}

/// `<bound/>` (XEP-0386).
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) jid: Jid,
    /// What the server says to `<enable/>` of XEP-0198.
    pub(crate) stream_management: Option<Element>,
}

impl Success {
    pub(crate) fn read(success: ElementRef<'_>) -> Result<Self, Offline> {
        const WHO: Offline = Offline::Misbehaved(PeerMisbehaved::AuthorizationIdentifier);
        let mut identifiers = success
            .children()
            .filter(|child| child.is(NS_SASL2, "authorization-identifier"));
        let (Some(identifier), None) = (identifiers.next(), identifiers.next()) else {
            return Err(WHO);
        };
        // Leaving a child out would make another address of it.
        let whole = identifier.children().next().is_none();
        let identifier = Jid::from_server(identifier.text().trim())
            .ok()
            .filter(|_| whole)
            .ok_or(WHO)?;
        let child = |namespace, name| success.child(namespace, name);
        let bound = match child(NS_BIND2, "bound") {
            Some(_) if identifier.resource().is_none() => return Err(WHO),
            Some(bound) => Some(Bound {
                jid: identifier.clone(),
                stream_management: bound
                    .children()
                    .find(|child| child.namespace() == NS_SM && matches!(child.name(), "enabled" | "failed"))
                    .map(ElementRef::to_element),
            }),
            None => None,
        };
        Ok(Self {
            identifier,
            resumed: child(NS_SM, "resumed").map(ElementRef::to_element),
            not_resumed: child(NS_SM, "failed").map(ElementRef::to_element),
            bound,
            token: child(NS_FAST, "token").map(token),
        })
    }
}

/// `<additional-data/>`, if there is any; two of them are none.
pub(crate) fn additional_data(parent: ElementRef<'_>) -> Result<Option<Vec<u8>>, SaslError> {
    let mut found = parent.children().filter(|child| child.is(NS_SASL2, "additional-data"));
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(data), None) if data.children().next().is_none() => Ok(Some(encoding::decode(&data.text())?)),
        (Some(_), _) => Err(SaslError::Encoding),
    }
}

/// A token (XEP-0484 §3.3), if it can be used.
fn token(token: ElementRef<'_>) -> Option<(Secret, u64)> {
    let text = token.attribute("token")?;
    let expires = parse_date_time(token.attribute("expiry")?)?;
    (1..=TOKEN_BYTES)
        .contains(&text.len())
        .then(|| (Secret::from(text), expires))
}

impl LoginToken {
    pub(crate) fn new((secret, expires_unix_ms): (Secret, u64), mechanism: &str) -> Self {
        Self {
            secret,
            mechanism: mechanism.to_string(),
            expires_unix_ms,
        }
    }
}

/// The tasks of `<continue/>` (§2.6.3), and its text.
pub(crate) fn tasks(element: ElementRef<'_>) -> (Vec<String>, Option<String>) {
    let tasks = element.child(NS_SASL2, "tasks").into_iter();
    let names = tasks
        .flat_map(ElementRef::children)
        .filter(|child| child.is(NS_SASL2, "task"))
        .take(16)
        .map(|task| shorten(&task.text()))
        .collect();
    let text = element.child(NS_SASL2, "text").map(|text| shorten(&text.text()));
    (names, text)
}

/// What an upgrade needs (XEP-0480 §3): the salt and the count of iterations, within the bounds of a login.
pub(crate) fn upgrade_salt(task_data: ElementRef<'_>, limits: ScramLimits) -> Result<(Vec<u8>, u32), SaslError> {
    let salt = task_data.child(NS_SCRAM_UPGRADE, "salt").ok_or(SaslError::Salt)?;
    let iterations = salt.attribute("iterations").ok_or(SaslError::Iterations)?;
    Ok((checked_salt(&salt.text())?, checked_iterations(iterations, limits)?))
}

/// What an upgrade answers.
pub(crate) fn upgrade_hash(salted_password: &Secret) -> ElementBuilder {
    Element::builder(NS_SCRAM_UPGRADE, "hash").text(&encoding::response_text(salted_password.expose()))
}

pub(crate) fn out_of_place(element: ElementRef<'_>) -> PeerMisbehaved {
    PeerMisbehaved::Sasl2 {
        element: shorten(element.name()),
    }
}
