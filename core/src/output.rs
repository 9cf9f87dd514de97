//! What the client asks of its host, in order: one enum, the events for the application, and the queue they wait in.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::{IqError, Offline, Warning};
use crate::input::{JobId, LinkId, QueryId, RequestId, Slot, Token};
use crate::jid::Jid;
use crate::sasl::{ChannelBindingType, Derivation};
use crate::secret::Secret;
use crate::time::Instant;
use crate::xml::Element;

/// What the host has to do: the answer of [`Client::next`](crate::Client::next), to be carried out in order.
///
/// `Debug` shows the size of a body instead of the body: logins and the session id, which is as good as one, are in them.
#[derive(Clone, PartialEq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Output {
    /// Find this out, then say `Resolved`.
    Resolve {
        /// What `Resolved` has to name.
        query: QueryId,
        /// What is asked.
        question: Question,
        /// The client goes on without an answer then: a library's own timeout must not be shorter.
        deadline: Instant,
    },
    /// Make these bytes durable before acting on the outputs that follow. They are a secret as a whole.
    Store {
        /// Where.
        slot: Slot,
        /// Put them behind what is in the slot already; otherwise they replace it. Nothing, not appended, empties the slot.
        append: bool,
        /// The bytes.
        #[cfg_attr(feature = "record", serde(with = "crate::record::secret"))]
        bytes: Secret,
    },
    /// Open a link, then say `Connected` or `Failed`.
    Connect {
        /// The id of the new link.
        link: LinkId,
        /// Where.
        endpoint: Endpoint,
        /// The name that the server's certificate must be valid for (RFC 6120 §13.7.2; on HTTPS the URL's host).
        server_name: String,
        /// The label of the client certificate to present on every connection of this link; present none if absent.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        identity: Option<String>,
        /// Never buffer more than so many bytes of one answer: fail the request instead.
        max_message: usize,
    },
    /// Send these bytes over TCP, in order; say `Written` as they leave.
    Write {
        /// The link.
        link: LinkId,
        /// The bytes.
        #[cfg_attr(feature = "record", serde(with = "crate::record::owned_bytes"))]
        bytes: Vec<u8>,
    },
    /// Send this as one WebSocket text message, in order; say `Written` as it leaves.
    Frame {
        /// The link.
        link: LinkId,
        /// The text.
        text: String,
    },
    /// Stop reading. Bytes that were read already go into `Received`, never into TLS. Then shake hands, with the `identity`
    /// of the `Connect`, and say `Connected` or `Failed`.
    StartTls {
        /// The link.
        link: LinkId,
        /// The name that the server's certificate must be valid for.
        server_name: String,
    },
    /// POST `body`. Several may be open at once. Do not retry, follow redirects or decompress: the client owns resends.
    Post {
        /// The link.
        link: LinkId,
        /// The attempt; a resend has a new one.
        request: RequestId,
        /// The whole request body, to be sent as `text/xml; charset=utf-8`.
        #[cfg_attr(feature = "record", serde(with = "crate::record::owned_bytes"))]
        body: Vec<u8>,
        /// The client gives up on it then and says `Abandon`: an HTTP library's own timeout must not be shorter.
        deadline: Instant,
    },
    /// Cancel that request; its answer is not wanted any more.
    Abandon {
        /// The link.
        link: LinkId,
        /// The attempt.
        request: RequestId,
    },
    /// Flush, then close. On a link that is still connecting: give up. The link's id is dead.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Run this, away from where it would keep others waiting, and say `Derived`. Only where the configuration asks for it
    /// ([`KeyDerivation::Host`](crate::config::KeyDerivation)).
    DeriveKey {
        /// The job.
        job: JobId,
        /// The computation: [`Derivation::run`] does it.
        derivation: Derivation,
    },
    /// Give it to the application.
    Event(Event),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect {
                link,
                endpoint,
                server_name,
                identity,
                max_message,
            } => f
                .debug_struct("Connect")
                .field("link", link)
                .field("endpoint", endpoint)
                .field("server_name", server_name)
                .field("identity", identity)
                .field("max_message", max_message)
                .finish(),
            Self::Resolve {
                query,
                question,
                deadline,
            } => f
                .debug_struct("Resolve")
                .field("query", query)
                .field("question", question)
                .field("deadline", deadline)
                .finish(),
            Self::Store { slot, append, bytes } => f
                .debug_struct("Store")
                .field("slot", slot)
                .field("append", append)
                .field("bytes", &format_args!("{} bytes", bytes.expose().len()))
                .finish(),
            Self::Write { link, bytes } => f
                .debug_struct("Write")
                .field("link", link)
                .field("bytes", &format_args!("{} bytes", bytes.len()))
                .finish(),
            Self::Frame { link, text } => f
                .debug_struct("Frame")
                .field("link", link)
                .field("text", &format_args!("{} bytes", text.len()))
                .finish(),
            Self::StartTls { link, server_name } => f
                .debug_struct("StartTls")
                .field("link", link)
                .field("server_name", server_name)
                .finish(),
            Self::Post {
                link,
                request,
                body,
                deadline,
            } => f
                .debug_struct("Post")
                .field("link", link)
                .field("request", request)
                .field("body", &format_args!("{} bytes", body.len()))
                .field("deadline", deadline)
                .finish(),
            Self::Abandon { link, request } => f
                .debug_struct("Abandon")
                .field("link", link)
                .field("request", request)
                .finish(),
            Self::Close { link } => f.debug_struct("Close").field("link", link).finish(),
            Self::DeriveKey { job, derivation } => f
                .debug_struct("DeriveKey")
                .field("job", job)
                .field("derivation", derivation)
                .finish(),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
        }
    }
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Endpoint {
    /// A TCP connection (RFC 6120 §3), to the host at any of its addresses.
    Tcp {
        /// A host name, or an address: of IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// When TLS begins.
        tls: TcpTls,
    },
    /// A WebSocket (RFC 7395): ask for the subprotocol `xmpp`, and say in [`LinkInfo`](crate::LinkInfo) what was selected.
    #[cfg_attr(feature = "record", serde(rename = "websocket"))]
    WebSocket {
        /// The URL.
        url: String,
    },
    /// An HTTP client for a BOSH connection manager (XEP-0124).
    Bosh {
        /// The URL that every request is posted to.
        url: String,
    },
}

impl Endpoint {
    /// Which transport it is.
    pub const fn kind(&self) -> TransportKind {
        match self {
            Self::Tcp { .. } => TransportKind::Tcp,
            Self::WebSocket { .. } => TransportKind::WebSocket,
            Self::Bosh { .. } => TransportKind::Bosh,
        }
    }
}

/// When TLS begins on a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum TcpTls {
    /// At once (XEP-0368): offer the protocol `xmpp-client` by ALPN.
    Direct,
    /// When the client says `StartTls` (RFC 6120 §5).
    #[cfg_attr(feature = "record", serde(rename = "starttls"))]
    StartTls,
}

/// How XMPP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum TransportKind {
    /// TCP (RFC 6120).
    Tcp,
    /// WebSocket (RFC 7395).
    #[cfg_attr(feature = "record", serde(rename = "websocket"))]
    WebSocket,
    /// HTTP (XEP-0124, XEP-0206).
    Bosh,
}

impl TransportKind {
    /// The name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::WebSocket => "WebSocket",
            Self::Bosh => "BOSH",
        }
    }
}

/// What the host has to find out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Question {
    /// The SRV records of a name such as `_xmpp-client._tcp.example.org` (RFC 2782); answered with
    /// [`Answer::Records`](crate::Answer::Records).
    Srv {
        /// The name, in ASCII.
        name: String,
    },
    /// A document, by GET over verified HTTPS, without following redirects (XEP-0156); answered with
    /// [`Answer::Document`](crate::Answer::Document).
    Document {
        /// The URL.
        url: String,
        /// Never read more than so many bytes: fail instead.
        max_bytes: usize,
    },
}

/// News for the application.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Event {
    /// Logged in, and a resource is bound.
    Online {
        /// The full JID that the server bound (RFC 6120 §7.6).
        jid: Jid,
        /// The SASL mechanism, as `EXTERNAL`; empty where a BOSH session goes on, for which nobody logs in.
        mechanism: String,
        /// The server proved that it knows the password too (mechanisms with mutual authentication only).
        server_proof: ServerProof,
        /// What the login is bound to, if it is.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        channel_binding: Option<ChannelBindingType>,
        /// By which protocol the login was done; `None` where nobody logged in.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        profile: Option<SaslProfile>,
        /// An earlier session goes on; nothing was lost.
        resumed: bool,
        /// Whether the server asked for a client certificate, where the host could tell.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        client_certificate_requested: Option<bool>,
        /// How many times the client had to wait for the server since `Connected`.
        round_trips: u32,
        /// How it travels.
        transport: TransportKind,
    },
    /// The link is gone, and the client will try again.
    Interrupted {
        /// Why it is gone, in the words that `Offline` would use.
        reason: Offline,
        /// When the next attempt is made; `None`: when there is a network again.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        retry_at: Option<Instant>,
        /// The session can probably be resumed: nothing is lost so far (XEP-0198 §5).
        resumable: bool,
    },
    /// What the server offers before the login, where the client only looks ([`Credentials::Nothing`]).
    ///
    /// [`Credentials::Nothing`]: crate::Credentials::Nothing
    Offered {
        /// `<stream:features/>`.
        features: Element,
        /// How it travels.
        transport: TransportKind,
        /// TLS protects it.
        encrypted: bool,
    },
    /// The server wants something more before the login is complete (XEP-0388 §2.6.3), which the configuration says the
    /// application can do. Answer with [`Input::Task`](crate::Input::Task), or `Stop`.
    Task {
        /// The task.
        task: String,
        /// What the server says within the task; `None` where it is to begin.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        payload: Option<Element>,
        /// The server's text for the user: not to be trusted; at most 1,024 characters.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        text: Option<String>,
    },
    /// The client will not try any more: exactly once for each `Start`, and the last event before the next one.
    Offline {
        /// Why.
        reason: Offline,
    },
    /// A message or a presence. What it carries comes from others: not to be trusted.
    Stanza {
        /// The stanza, in `jabber:client`.
        stanza: Element,
        /// With [`Acknowledge::Manual`](crate::config::Acknowledge): what `Handled` has to name.
        #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
        token: Option<Token>,
    },
    /// An `iq` request whose payload is in a namespace that [`Config`](crate::Config) names. Answer it with `Respond`;
    /// one that is not answered in time is refused with `service-unavailable`.
    Request {
        /// What `Respond` has to name.
        token: Token,
        /// The `iq`.
        iq: Element,
    },
    /// A request of the application's is over: exactly once for each.
    IqDone {
        /// What `handle` gave for it.
        token: Token,
        /// The `iq` of type `result`, or why there is none.
        result: Result<Element, IqError>,
    },
    /// How far a stanza of the application's has come. `Acked` and `Failed` are final; one of them always comes.
    Delivery {
        /// What `handle` gave for it.
        token: Token,
        /// How far.
        stage: Stage,
    },
    /// The outbound queue was full and has room again.
    Writable,
    /// Something that does not stop the client, but that a person should know.
    Warning(Warning),
}

/// Whether the server proved its knowledge of the credential (RFC 5802 §5, `v=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ServerProof {
    /// It did, and the proof was verified.
    Verified,
    /// The mechanism has no such proof: TLS alone vouches for the server.
    None,
    /// The mechanism has one and the server left it out, which
    /// [`allow_missing_ht_server_proof`](crate::config::MechanismPolicy) allows.
    Absent,
}

/// By which protocol a login is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum SaslProfile {
    /// RFC 6120 §6.
    Sasl1,
    /// XEP-0388.
    Sasl2,
}

/// How far a stanza has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Stage {
    /// It waits in the client.
    Queued,
    /// The host has written it. On BOSH that is known only with the acknowledgement.
    Sent,
    /// The server has acknowledged it (on BOSH: XEP-0124 §9, or the answer to the request that carried it).
    Acked,
    /// It is not known to have arrived, and will not be sent again.
    Failed,
}

/// The one ordered queue between the client and its host, with byte accounting.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    queue: VecDeque<Output>,
    bytes: usize,
}

impl Outputs {
    pub(crate) fn push(&mut self, output: Output) {
        self.bytes = self.bytes.saturating_add(weight(&output));
        self.queue.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front()?;
        self.bytes = self.bytes.saturating_sub(weight(&output));
        if self.queue.is_empty() {
            // An idle client holds no memory for a burst that is over.
            self.queue = VecDeque::new();
        }
        Some(output)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Those from that position on.
    pub(crate) fn since(&self, position: usize) -> impl DoubleEndedIterator<Item = &Output> + ExactSizeIterator {
        self.queue.range(position.min(self.queue.len())..)
    }

    /// Puts one before the one at that position.
    pub(crate) fn insert(&mut self, position: usize, output: Output) {
        self.bytes = self.bytes.saturating_add(weight(&output));
        self.queue.insert(position.min(self.queue.len()), output);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait for the host to take them, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn weight(output: &Output) -> usize {
    let payload = match output {
        Output::Post { body: bytes, .. } | Output::Write { bytes, .. } => bytes.len(),
        Output::Frame { text, .. } => text.len(),
        Output::Store { bytes, .. } => bytes.expose().len(),
        Output::Event(
            Event::Stanza { stanza, .. } | Event::Request { iq: stanza, .. } | Event::Offered { features: stanza, .. },
        ) => stanza.memory_size(),
        Output::Event(Event::IqDone { result: Ok(iq), .. }) => iq.memory_size(),
        Output::Event(
            Event::Online { .. }
            | Event::Offline { .. }
            | Event::Interrupted { .. }
            | Event::IqDone { result: Err(_), .. }
            | Event::Delivery { .. }
            | Event::Writable
            | Event::Task { .. }
            | Event::Warning(_),
        )
        | Output::Resolve { .. }
        | Output::Connect { .. }
        | Output::StartTls { .. }
        | Output::Abandon { .. }
        | Output::DeriveKey { .. }
        | Output::Close { .. } => 0,
    };
    payload.saturating_add(size_of::<Output>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn debug_does_not_show_bodies() {
        let post = Output::Post {
            link: LinkId(1),
            request: RequestId(2),
            body: b"pencil".to_vec(),
            deadline: Instant::from_millis(3),
        };
        assert_eq!(
            format!("{post:?}"),
            "Post { link: LinkId(1), request: RequestId(2), body: 6 bytes, deadline: Instant(3) }"
        );
    }
}
