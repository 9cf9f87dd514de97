//! A link carries top-level elements between the client and what its host carries.
//!
//! It promises: elements arrive whole, in order, each once; what is sent leaves in order; after `Closed` nothing comes.
//! What differs between transports stays in here: negotiation and session see [`Event`]s only.
//!
//! - `mod.rs`: what a link is, and the table of what differs.
//! - `any.rs`: one of the transports: passes each call on to it.
//! - `tcp.rs`: RFC 6120: one stream of bytes, with TLS in the middle of it.
//! - `websocket.rs`: RFC 7395: one element in each message.
//! - `outbox.rs`: what was handed to the host, and how much of it was written.
//! - `bosh/`: XEP-0124 and XEP-0206: elements in the bodies of HTTP requests.

mod any;
#[cfg(test)]
mod bed;
pub(crate) mod bosh;
mod outbox;
pub(crate) mod tcp;
pub(crate) mod websocket;

pub(crate) use any::{Goodbye, Link};
pub(crate) use outbox::StreamErrorOut;

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::error::{Offline, SessionEnd, Warning};
use crate::input::{RequestId, Token};
use crate::output::{Outputs, Stage};
use crate::random::Random;
use crate::time::Instant;
use crate::xml::{Element, ElementRef};

/// The namespace of `features` and `error` (RFC 6120 §4.8.1).
pub(crate) const NS_STREAM: &str = "http://etherx.jabber.org/streams";
const NS_STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

/// What a link reports to the client.
#[derive(Debug)]
pub(crate) enum Event {
    /// The stream is open: features follow.
    Opened,
    /// A session that was made and logged in elsewhere is ours now, bound to this JID; that the server agrees shows with its
    /// first answer.
    #[cfg_attr(not(test), allow(dead_code, reason = "the client does not attach yet"))]
    Attached { jid: String },
    /// A stored session goes on.
    Restored,
    /// A complete top-level element.
    Element(Element),
    /// A stanza has come so far.
    Delivery(Token, Stage),
    /// Something that a person should know.
    Warning(Warning),
    /// It is over: our goodbye is complete (`None`), or something ended it.
    Closed(Option<Offline>),
}

/// What a link may use while it handles an input: everything of the client's but its state.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) random: &'a mut Random,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) next_request: &'a mut u64,
}

impl Context<'_> {
    pub(crate) fn request_id(&mut self) -> RequestId {
        let id = RequestId(*self.next_request);
        *self.next_request = self.next_request.saturating_add(1);
        id
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }
}

/// What differs between transports, for those who must not ask which one it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// TLS may begin in the middle (RFC 6120 §5); elsewhere it is there before the stream, and the offer means nothing.
    pub(crate) starttls: bool,
    /// When a new stream names the account.
    pub(crate) restart_names_account: NamesAccount,
    /// Sessions can be acknowledged and resumed by XEP-0198; BOSH has its own means, and servers fail at both.
    pub(crate) stream_management: bool,
    /// Something can be said before the server has opened its stream.
    pub(crate) early_login: bool,
}

/// When a new stream names the account in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamesAccount {
    /// As soon as TLS protects it (RFC 6120 §4.7.1).
    Always,
    /// In a restart after EXTERNAL (XEP-0206 §5).
    WithExternal,
}

/// The table.
pub(crate) const TCP: Traits = Traits {
    starttls: true,
    restart_names_account: NamesAccount::Always,
    stream_management: true,
    early_login: true,
};
pub(crate) const WEBSOCKET: Traits = Traits {
    starttls: false,
    restart_names_account: NamesAccount::Always,
    stream_management: true,
    early_login: true,
};
pub(crate) const BOSH: Traits = Traits {
    starttls: false,
    restart_names_account: NamesAccount::WithExternal,
    stream_management: false,
    early_login: false,
};

/// A stanza on its way into a link, already written as XML that is self-contained but for the `jabber:client` default
/// namespace, which each transport has to declare in its own place.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) xml: String,
    /// The stanza's, if it reports its delivery.
    pub(crate) token: Option<Token>,
    /// The request's, if it is one: it is over only with its answer.
    pub(crate) request: Option<Token>,
    /// What survives the process counts it among those that wait.
    pub(crate) stored: bool,
}

impl Outgoing {
    /// `element` as it goes into a body or a frame of its own.
    pub(crate) fn new(element: &Element, token: Option<Token>) -> Self {
        Self {
            xml: element.to_xml(),
            token,
            request: None,
            stored: false,
        }
    }

    /// XML of the client's own that is written already.
    pub(crate) fn raw(xml: impl Into<String>) -> Self {
        Self {
            xml: xml.into(),
            token: None,
            request: None,
            stored: false,
        }
    }

    /// The same of a request of the application's.
    pub(crate) fn request(element: &Element, token: Token) -> Self {
        Self {
            request: Some(token),
            ..Self::new(element, None)
        }
    }

    /// Whether it is what `token` was given for.
    pub(crate) fn is(&self, token: Token) -> bool {
        self.token == Some(token) || self.request == Some(token)
    }
}

/// Reads `<stream:error/>` (RFC 6120 §4.9.2).
pub(crate) fn stream_error(error: ElementRef<'_>) -> SessionEnd {
    let mut end = SessionEnd {
        condition: None,
        text: None,
        application: None,
        see_other: None,
    };
    for child in error.children() {
        if child.is(NS_STREAM_ERRORS, "text") {
            end.text.get_or_insert_with(|| shorten(&child.text()));
        } else if child.namespace() == NS_STREAM_ERRORS {
            if child.name() == "see-other-host" {
                end.see_other.get_or_insert_with(|| shorten(child.text().trim()));
            }
            // RFC 6120 §4.9.3; `xml-not-well-formed` is RFC 3920's name of the same thing.
            end.condition
                .get_or_insert_with(|| known_stream_condition(child.name()).into());
        } else {
            end.application.get_or_insert_with(|| shorten(&expanded_name(child)));
        }
    }
    end.condition.get_or_insert_with(|| "undefined-condition".into());
    end
}

fn known_stream_condition(name: &str) -> &'static str {
    const CONDITIONS: [&str; 25] = [
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    ];
    if name == "xml-not-well-formed" {
        return "not-well-formed";
    }
    CONDITIONS
        .into_iter()
        .find(|condition| *condition == name)
        .unwrap_or("undefined-condition")
}

/// `{namespace}name`, for messages.
pub(crate) fn expanded_name(element: ElementRef<'_>) -> String {
    let mut name = String::from("{");
    name.push_str(element.namespace());
    name.push('}');
    name.push_str(element.name());
    shorten(&name)
}

/// At most 1,024 characters of a peer's text: enough for a person, too little to fill a log.
pub(crate) fn shorten(text: &str) -> String {
    text.chars().take(1_024).collect()
}
