//! One client's XMPP stream, blind to its transport: the order of login, binding and stanzas, and what the server itself answers.

use crate::accounts::Accounts;
use crate::faults::Transport;
use crate::login::{Grant, Login};
use crate::offer::{self, Advert};
use crate::personality::Habits;
use crate::tls::Peer;
use crate::xml::{Element, escape};
use crate::{Attempt, Authentication, Settings, account, sasl};

pub(crate) const CLIENT: &str = "jabber:client";
pub(crate) const BOSH: &str = "http://jabber.org/protocol/httpbind";
pub(crate) const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(crate) const SASL2: &str = "urn:xmpp:sasl:2";
pub(crate) const BIND2: &str = "urn:xmpp:bind:0";
pub(crate) const CARBONS: &str = "urn:xmpp:carbons:2";
pub(crate) const FAST: &str = "urn:xmpp:fast:0";
pub(crate) const UPGRADE: &str = "urn:xmpp:sasl:upgrade:0";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
pub(crate) const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
pub(crate) const CSI: &str = "urn:xmpp:csi:0";
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
    /// The client tries to log in.
    Attempt(Attempt),
    /// The client is let in over SASL2: what it asked for with its login is to be done.
    Grant(Box<Grant>),
    /// This account is gone (XEP-0077 §3.2).
    Removed(String),
    /// Whoever logged in with this certificate must go (XEP-0257 §4.3).
    Revoked(Vec<u8>),
}

/// What a stream needs to know of the server.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) habits: &'static Habits,
    pub(crate) options: &'a Authentication,
    pub(crate) accounts: &'a mut Accounts,
    pub(crate) transport: Transport,
    /// The certificate of the connection that created the session.
    pub(crate) creation: &'a Peer,
    /// The certificate of the connection that carries this element.
    pub(crate) request: &'a Peer,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) state: State,
    /// What it was offered before login.
    pub(crate) advert: Advert,
    /// The user whom the stream's header names.
    pub(crate) claimed: Option<String>,
    /// The certificate that it logged in with.
    pub(crate) certificate: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Login is to come or under way.
    Authenticating(Option<Box<Login>>),
    /// Logged in; the client must restart the stream (RFC 6120 §6.4.6).
    Authenticated {
        user: String,
    },
    /// Restarted, or let in by SASL2; the client must bind a resource (RFC 6120 §7).
    Restarted {
        user: String,
    },
    Bound {
        user: String,
        resource: String,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Authenticating(None)
    }
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The full JID, once bound.
    pub(crate) fn jid(&self, domain: &str) -> Option<String> {
        match &self.state {
            State::Bound { user, resource } => Some(format!("{user}@{domain}/{resource}")),
            State::Authenticating(_) | State::Authenticated { .. } | State::Restarted { .. } => None,
        }
    }

    /// The user's name, once logged in.
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.state {
            State::Bound { user, .. } | State::Authenticated { user } | State::Restarted { user } => Some(user),
            State::Authenticating(_) => None,
        }
    }

    /// `from` of a stream's header or of a body (RFC 6120 §4.7.1).
    pub(crate) fn claim(&mut self, from: Option<&str>, domain: &str) {
        let bare = from.map(sasl::bare);
        self.claimed = bare.and_then(|bare| sasl::local_part(&bare, domain).map(str::to_owned));
    }

    /// The features of the stream as it is now.
    pub(crate) fn features(&mut self, context: &Context<'_>) -> String {
        match self.state {
            State::Authenticating(_) => {
                self.advert = Advert::new(context, self.claimed.as_deref());
                self.advert.features(context)
            }
            State::Authenticated { .. } | State::Restarted { .. } | State::Bound { .. } => offer::after_login(context),
        }
    }

    /// `xmpp:restart='true'` (XEP-0206 §5), or a new header on the same connection.
    pub(crate) fn restart(&mut self, context: &Context<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        match &mut self.state {
            State::Authenticated { user } => {
                let user = std::mem::take(user);
                self.state = State::Restarted { user };
            }
            State::Authenticating(_) | State::Restarted { .. } | State::Bound { .. } => {
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
            SASL => actions.extend(self.login(&element, context)),
            SASL2 if self.advert.offers_sasl2() => actions.extend(self.login(&element, context)),
            CSI if matches!(element.name.as_str(), "active" | "inactive") => match &self.state {
                State::Authenticating(_) => {
                    actions.push(Action::Violation("client state before login".into()));
                    actions.push(Action::StreamError("not-authorized"));
                }
                State::Authenticated { .. } | State::Restarted { .. } | State::Bound { .. } => {
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

    fn stanza(&mut self, mut stanza: Element, context: &mut Context<'_>) -> Vec<Action> {
        let domain = context.settings.domain.as_str();
        let (user, resource) = match &self.state {
            State::Bound { user, resource } => (user.clone(), resource.clone()),
            State::Restarted { user } => {
                let user = user.clone();
                return self.bind(&user, &stanza, context);
            }
            State::Authenticating(None) if account::is_registration(&stanza, context) => {
                return account::register(&stanza, context);
            }
            State::Authenticating(_) | State::Authenticated { .. } => {
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
            return self.answer(&stanza, &user, &full, context);
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
        self.state = State::Bound {
            user: user.to_owned(),
            resource,
        };
        let inside = format!("<bind xmlns='{BIND}'><jid>{}</jid></bind>", escape(&full));
        let result = format!("<iq xmlns='{CLIENT}' type='result' id='{}'>{inside}</iq>", escape(id));
        vec![Action::Bound(full), Action::Stanza(result)]
    }

    /// A stanza for the server itself, or for the user's own account.
    fn answer(&self, stanza: &Element, user: &str, full: &str, context: &mut Context<'_>) -> Vec<Action> {
        let kind = stanza.attribute("type").unwrap_or_default();
        if stanza.name != "iq" || !matches!(kind, "get" | "set") {
            // Presence is not broadcast, and results answer nothing that this server asked.
            return Vec::new();
        }
        let domain = context.settings.domain.as_str();
        let Some(payload) = stanza.elements().next() else {
            return vec![Action::Stanza(error(stanza, full, "modify", "bad-request"))];
        };
        if let Some(actions) = account::manage(payload, stanza, user, full, self.certificate.as_deref(), context) {
            return actions;
        }
        let inside = match (payload.namespace.as_str(), payload.name.as_str(), kind) {
            (PING, "ping", "get") | (SESSION, "session", "set") | (ROSTER, "query", "set") => String::new(),
            (ROSTER, "query", "get") => format!("<query xmlns='{ROSTER}'/>"),
            (DISCO_ITEMS, "query", "get") => format!("<query xmlns='{DISCO_ITEMS}'/>"),
            (DISCO_INFO, "query", "get") => format!(
                "<query xmlns='{DISCO_INFO}'><identity category='server' type='im' name='epode-devserver'/>\
                 <feature var='{DISCO_INFO}'/><feature var='{DISCO_ITEMS}'/><feature var='{PING}'/>{}</query>",
                account::disco_features(context)
            ),
            (BIND, "bind", "set") => return vec![Action::Stanza(error(stanza, full, "cancel", "not-allowed"))],
            _ => return vec![Action::Stanza(error(stanza, full, "cancel", "service-unavailable"))],
        };
        vec![Action::Stanza(result(stanza, full, &inside, domain))]
    }
}

/// The result of an iq to the server itself.
pub(crate) fn result(stanza: &Element, full: &str, inside: &str, domain: &str) -> String {
    let id = escape(stanza.attribute("id").unwrap_or_default());
    let from = escape(stanza.attribute("to").unwrap_or(domain));
    let to = escape(full);
    format!("<iq xmlns='{CLIENT}' type='result' id='{id}' from='{from}' to='{to}'>{inside}</iq>")
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
