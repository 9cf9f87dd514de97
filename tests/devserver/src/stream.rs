//! One client's XMPP stream, blind to its transport: SASL, binding, and what the server itself answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Settings;
use crate::faults::Transport;
use crate::personality::{CertificateOf, ExternalOffer, Habits, Refusal};
use crate::sasl::{self, Accounts, Circumstances, Exchange, Mechanism, Step};
use crate::tls::{Peer, Verdict};
use crate::xml::{Element, escape};

pub(crate) const CLIENT: &str = "jabber:client";
pub(crate) const BOSH: &str = "http://jabber.org/protocol/httpbind";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
const CSI: &str = "urn:xmpp:csi:0";
const LIMITS: &str = "urn:xmpp:stream-limits:0";
const PING: &str = "urn:xmpp:ping";
const ROSTER: &str = "jabber:iq:roster";
const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";

/// What an element leads to. The hub carries it out.
#[derive(Debug)]
pub(crate) enum Action {
    /// XML to this client that is no stanza.
    Reply(String),
    /// A stanza to this client.
    Stanza(String),
    /// A stanza, stamped with its sender, to another user.
    Route(Element),
    /// This stream has this full JID now; another stream that has it must end.
    Bound(String),
    /// The stream ends with this condition (RFC 6120 §4.9.3).
    StreamError(&'static str),
    /// The client did what it must not.
    Violation(String),
    /// The client says whether it is in use (XEP-0352).
    ClientState,
    LoggedIn,
    Refused,
}

/// What a stream needs to know of the server.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) habits: &'static Habits,
    pub(crate) accounts: &'a mut Accounts,
    pub(crate) transport: Transport,
    /// The certificate of the connection that created the session.
    pub(crate) creation: &'a Peer,
    /// The certificate of the connection that carries this element.
    pub(crate) request: &'a Peer,
}

#[derive(Debug)]
pub(crate) enum Stream {
    /// Login is to come or under way.
    Authenticating(Option<Exchange>),
    /// Logged in; the client must restart the stream (RFC 6120 §6.4.6).
    Authenticated {
        user: String,
    },
    /// Restarted; the client must bind a resource (RFC 6120 §7).
    Restarted {
        user: String,
    },
    Bound {
        user: String,
        resource: String,
    },
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self::Authenticating(None)
    }

    /// The full JID, once bound.
    pub(crate) fn jid(&self, domain: &str) -> Option<String> {
        match self {
            Self::Bound { user, resource } => Some(format!("{user}@{domain}/{resource}")),
            Self::Authenticating(_) | Self::Authenticated { .. } | Self::Restarted { .. } => None,
        }
    }

    /// The user's name, once logged in.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::Bound { user, .. } | Self::Authenticated { user } | Self::Restarted { user } => Some(user),
            Self::Authenticating(_) => None,
        }
    }

    /// The features of the stream as it is now.
    pub(crate) fn features(&self, context: &Context<'_>) -> String {
        let inside = match self {
            Self::Authenticating(_) => {
                let mechanisms: String = mechanisms(context)
                    .iter()
                    .map(|name| format!("<mechanism>{}</mechanism>", escape(name)))
                    .collect();
                format!(
                    "<mechanisms xmlns='{SASL}'>{mechanisms}</mechanisms>{}",
                    context.habits.features_before
                )
            }
            Self::Authenticated { .. } | Self::Restarted { .. } | Self::Bound { .. } => {
                let optional = if context.settings.require_legacy_session {
                    ""
                } else {
                    "<optional/>"
                };
                format!(
                    "{}<session xmlns='{SESSION}'>{optional}</session>{}",
                    context.habits.features_after,
                    link_features(context)
                )
            }
        };
        let limits = context.settings.max_stanza_bytes.map(|max| {
            // XEP-0478 §2.
            format!("<limits xmlns='{LIMITS}'><max-bytes>{max}</max-bytes></limits>")
        });
        let limits = limits.unwrap_or_default();
        format!("<stream:features xmlns='{CLIENT}'>{inside}{limits}</stream:features>")
    }

    /// `xmpp:restart='true'` (XEP-0206 §5), or a new header on the same connection.
    pub(crate) fn restart(&mut self, context: &Context<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        match self {
            Self::Authenticated { user } => {
                *self = Self::Restarted {
                    user: std::mem::take(user),
                }
            }
            Self::Authenticating(_) | Self::Restarted { .. } | Self::Bound { .. } => {
                actions.push(Action::Violation("a restart that no success preceded".into()));
            }
        }
        actions.push(Action::Reply(self.features(context)));
        actions
    }

    /// One child of a body or of a stream.
    pub(crate) fn element(&mut self, mut element: Element, context: &mut Context<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        if element.namespace == BOSH {
            // XEP-0206 §2: a stanza without its own xmlns lands in BOSH's namespace; servers read it as meant.
            actions.push(Action::Violation(format!("<{}/> without xmlns", element.name)));
            element.rename_namespace(BOSH, CLIENT);
        }
        match element.namespace.as_str() {
            SASL => actions.extend(self.sasl(&element, context)),
            CSI if matches!(element.name.as_str(), "active" | "inactive") => match self {
                Self::Authenticating(_) => {
                    actions.push(Action::Violation("client state before login".into()));
                    actions.push(Action::StreamError("not-authorized"));
                }
                Self::Authenticated { .. } | Self::Restarted { .. } | Self::Bound { .. } => {
                    actions.push(Action::ClientState);
                }
            },
            "" if matches!(element.name.as_str(), "message" | "presence" | "iq") => {
                actions.push(Action::Violation(format!("<{}/> without xmlns", element.name)));
                actions.push(Action::StreamError("invalid-namespace"));
            }
            CLIENT if matches!(element.name.as_str(), "message" | "presence" | "iq") => {
                actions.extend(self.stanza(element, context));
            }
            _ => {
                actions.push(Action::Violation(format!(
                    "unknown element {{{}}}{}",
                    element.namespace, element.name
                )));
                actions.push(Action::StreamError("unsupported-stanza-type"));
            }
        }
        actions
    }

    fn sasl(&mut self, element: &Element, context: &mut Context<'_>) -> Vec<Action> {
        let Self::Authenticating(exchange) = self else {
            return vec![
                Action::Violation("SASL after login".into()),
                Action::StreamError("policy-violation"),
            ];
        };
        let waiting = exchange.take();
        let peer = match context.habits.certificate_of {
            CertificateOf::Request => context.request,
            CertificateOf::Creation => context.creation,
        };
        let now = Circumstances {
            domain: &context.settings.domain,
            habits: context.habits,
            peer,
        };
        let text = element.text();
        let step = match (element.name.as_str(), waiting) {
            ("auth", None) => {
                let name = element.attribute("mechanism").unwrap_or_default();
                let offered = mechanisms(context).iter().any(|offered| offered == name);
                match (Mechanism::by_name(name).filter(|_| offered), decode(&text)) {
                    (Some(mechanism), Some(initial)) => {
                        sasl::start(mechanism, initial.as_deref(), context.accounts, &now)
                    }
                    (None, _) => Step::Refuse(Refusal::Because("invalid-mechanism", None)),
                    (Some(_), None) => Step::Refuse(Refusal::Because("incorrect-encoding", None)),
                }
            }
            ("response", Some(exchange)) => match decode(&text) {
                Some(message) => sasl::proceed(exchange, &message.unwrap_or_default(), context.accounts, &now),
                None => Step::Refuse(Refusal::Because("incorrect-encoding", None)),
            },
            ("abort", _) => Step::Refuse(Refusal::Because("aborted", None)),
            (name, _) => {
                let what = Action::Violation(format!("<{}/> that nothing asked for", escape(name)));
                return vec![
                    what,
                    Action::Reply(refusal(Refusal::Because("malformed-request", None))),
                    Action::Refused,
                ];
            }
        };
        match step {
            Step::Challenge(data, next) => {
                *exchange = Some(next);
                let data = STANDARD.encode(data);
                let challenge = if data.is_empty() {
                    format!("<challenge xmlns='{SASL}'/>")
                } else {
                    wrap("challenge", &data)
                };
                vec![Action::Reply(challenge)]
            }
            Step::Success(user, data) => {
                *self = Self::Authenticated { user };
                let success = match data {
                    Some(data) => wrap("success", &STANDARD.encode(data)),
                    None => format!("<success xmlns='{SASL}'/>"),
                };
                vec![Action::Reply(success), Action::LoggedIn]
            }
            Step::Refuse(why) => vec![Action::Reply(refusal(why)), Action::Refused],
        }
    }

    fn stanza(&mut self, mut stanza: Element, context: &mut Context<'_>) -> Vec<Action> {
        let domain = context.settings.domain.as_str();
        let (user, resource) = match self {
            Self::Bound { user, resource } => (user.clone(), resource.clone()),
            Self::Restarted { user } => {
                let user = user.clone();
                return self.bind(&user, &stanza, context);
            }
            Self::Authenticating(_) | Self::Authenticated { .. } => {
                let what = format!("<{}/> before the stream is ready for it", stanza.name);
                return vec![Action::Violation(what), Action::StreamError("not-authorized")];
            }
        };
        let (bare, full) = (format!("{user}@{domain}"), format!("{user}@{domain}/{resource}"));
        // RFC 6120 §8.1.2.1: a client may leave `from` out, or give its own address.
        if stanza
            .attribute("from")
            .is_some_and(|from| from != full && from != bare)
        {
            return vec![
                Action::Violation("a `from` that is not the client's".into()),
                Action::StreamError("invalid-from"),
            ];
        }
        if stanza.name == "iq" && stanza.attribute("id").is_none() {
            return vec![
                Action::Violation("an iq without id".into()),
                Action::Stanza(error(&stanza, &full, "modify", "bad-request")),
            ];
        }
        stanza.set("from", &full);
        let to = stanza.attribute("to").map(str::to_owned);
        let for_server = match &to {
            None => stanza.name != "message",
            Some(to) => {
                to.eq_ignore_ascii_case(domain) || (stanza.name == "iq" && sasl::bare(to) == bare && !to.contains('/'))
            }
        };
        if for_server {
            return answer(&stanza, &full, context);
        }
        if to.is_none() {
            // RFC 6121 §8.1: a message to nobody is for the sender's own account.
            stanza.set("to", &bare);
        }
        vec![Action::Route(stanza)]
    }

    /// RFC 6120 §7: the only stanza allowed before there is a resource.
    fn bind(&mut self, user: &str, stanza: &Element, context: &Context<'_>) -> Vec<Action> {
        let domain = &context.settings.domain;
        let bare = format!("{user}@{domain}");
        let request = stanza
            .child(BIND, "bind")
            .filter(|_| stanza.name == "iq" && stanza.attribute("type") == Some("set"));
        let (Some(request), Some(id)) = (request, stanza.attribute("id")) else {
            let what = format!("<{}/> before binding a resource", stanza.name);
            return vec![Action::Violation(what), Action::StreamError("not-authorized")];
        };
        let resource = match request.child(BIND, "resource").map(Element::text) {
            Some(resource) if resource.len() > 1023 || resource.chars().any(char::is_control) => {
                return vec![Action::Stanza(error(stanza, &bare, "modify", "bad-request"))];
            }
            Some(resource) if !resource.is_empty() => resource,
            Some(_) | None => hex(&context.accounts.random_bytes::<8>()),
        };
        let full = format!("{bare}/{resource}");
        *self = Self::Bound {
            user: user.to_owned(),
            resource,
        };
        let inside = format!("<bind xmlns='{BIND}'><jid>{}</jid></bind>", escape(&full));
        let result = format!("<iq xmlns='{CLIENT}' type='result' id='{}'>{inside}</iq>", escape(id));
        vec![Action::Bound(full), Action::Stanza(result)]
    }
}

/// What is only offered where a connection is the stream.
fn link_features(context: &Context<'_>) -> String {
    match context.transport {
        Transport::Bosh => String::new(),
        Transport::StartTls | Transport::DirectTls | Transport::WebSocket => {
            let sm = context
                .settings
                .stream_management
                .as_ref()
                .map(|_| context.habits.sm_feature);
            format!("{}{}", context.habits.link_features, sm.unwrap_or_default())
        }
    }
}

/// The mechanisms that this client is offered.
fn mechanisms(context: &Context<'_>) -> Vec<String> {
    if let Some(fixed) = &context.settings.mechanisms {
        return fixed.clone();
    }
    let external = match context.habits.external_offer {
        ExternalOffer::Always => true,
        ExternalOffer::WhereAsked => {
            context.settings.ask_client_certificate || context.settings.require_client_certificate
        }
        ExternalOffer::WhereTrusted => context.creation.verdict == Verdict::Trusted,
    };
    let mut names = Vec::new();
    if external {
        names.push(sasl::EXTERNAL);
    }
    if context.accounts.any_password() {
        names.extend([sasl::SCRAM_SHA_256, sasl::SCRAM_SHA_1, sasl::PLAIN]);
    }
    names.into_iter().map(str::to_owned).collect()
}

/// A stanza for the server itself, or for the user's own account.
fn answer(stanza: &Element, full: &str, context: &Context<'_>) -> Vec<Action> {
    let kind = stanza.attribute("type").unwrap_or_default();
    if stanza.name != "iq" || !matches!(kind, "get" | "set") {
        // Presence is not broadcast, and results answer nothing that this server asked.
        return Vec::new();
    }
    let domain = &context.settings.domain;
    let Some(payload) = stanza.elements().next() else {
        return vec![Action::Stanza(error(stanza, full, "modify", "bad-request"))];
    };
    let inside = match (payload.namespace.as_str(), payload.name.as_str(), kind) {
        (PING, "ping", "get") | (SESSION, "session", "set") | (ROSTER, "query", "set") => String::new(),
        (ROSTER, "query", "get") => format!("<query xmlns='{ROSTER}'/>"),
        (DISCO_ITEMS, "query", "get") => format!("<query xmlns='{DISCO_ITEMS}'/>"),
        (DISCO_INFO, "query", "get") => format!(
            "<query xmlns='{DISCO_INFO}'><identity category='server' type='im' name='epode-devserver'/>\
             <feature var='{DISCO_INFO}'/><feature var='{DISCO_ITEMS}'/><feature var='{PING}'/></query>"
        ),
        (BIND, "bind", "set") => return vec![Action::Stanza(error(stanza, full, "cancel", "not-allowed"))],
        _ => return vec![Action::Stanza(error(stanza, full, "cancel", "service-unavailable"))],
    };
    let id = escape(stanza.attribute("id").unwrap_or_default());
    let from = escape(stanza.attribute("to").unwrap_or(domain));
    let to = escape(full);
    vec![Action::Stanza(format!(
        "<iq xmlns='{CLIENT}' type='result' id='{id}' from='{from}' to='{to}'>{inside}</iq>"
    ))]
}

/// An error in reply to a stanza of `sender` (RFC 6120 §8.3.1).
pub(crate) fn error(stanza: &Element, sender: &str, kind: &str, condition: &str) -> String {
    let id = stanza
        .attribute("id")
        .map(|id| format!(" id='{}'", escape(id)))
        .unwrap_or_default();
    let from = stanza
        .attribute("to")
        .map(|to| format!(" from='{}'", escape(to)))
        .unwrap_or_default();
    let (name, to) = (&stanza.name, escape(sender));
    format!(
        "<{name} xmlns='{CLIENT}' type='error'{id}{from} to='{to}'><error type='{kind}'><{condition} xmlns='{STANZAS}'/></error></{name}>"
    )
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SASL data in XML (RFC 6120 §6.4.2): none, `=` for empty, or base64. Outer `None`: not base64.
fn decode(text: &str) -> Option<Option<Vec<u8>>> {
    match text {
        "" => Some(None),
        "=" => Some(Some(Vec::new())),
        text => STANDARD.decode(text).ok().map(Some),
    }
}

fn refusal(why: Refusal) -> String {
    match why {
        Refusal::False => format!("<false xmlns='{SASL}'/>"),
        Refusal::Because(condition, None) => wrap("failure", &format!("<{condition}/>")),
        Refusal::Because(condition, Some(text)) => wrap(
            "failure",
            &format!("<{condition}/><text xml:lang='en'>{}</text>", escape(text)),
        ),
    }
}

fn wrap(name: &str, inside: &str) -> String {
    format!("<{name} xmlns='{SASL}'>{inside}</{name}>")
}
