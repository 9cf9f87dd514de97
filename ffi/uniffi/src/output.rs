//! What the client asks of its host, as records and enums that cross.

use std::fmt;
use std::sync::Arc;

use crate::event::Event;
use crate::input::Slot;
use crate::key::Derivation;

/// The answer to every input: all that there is to do, in order, and when to be woken.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Step {
    /// For `Send` and `Request`: what ties later events to the stanza.
    pub token: Option<u64>,
    /// What to do, in order.
    pub outputs: Vec<Output>,
    /// When to send `Tick`.
    pub deadline: Option<Deadline>,
    /// Whether the host should go on reading from its links.
    pub wants_read: bool,
}

/// When to send `Tick`, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Deadline {
    /// On the clock of `now`, in milliseconds.
    pub at_ms: u64,
    /// The timer's name, for logs.
    pub name: String,
}

/// What the host has to do. Its `Debug` shows the size of what is sent or stored instead: logins are in it.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Output {
    /// Find this out, then say `Resolved`.
    Resolve {
        /// What `Resolved` has to name.
        query: u64,
        /// What is asked.
        question: Question,
        /// The client goes on without an answer then: a library's own timeout must not be shorter.
        deadline_ms: u64,
    },
    /// Make these bytes durable before acting on the outputs that follow. They are a secret as a whole.
    Store {
        /// Where.
        slot: Slot,
        /// Put them behind what is in the slot already; otherwise they replace it. Nothing, not appended, empties the slot.
        append: bool,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Open a link, then say `Connected` or `Failed`.
    Connect {
        /// The id of the new link.
        link: u64,
        /// Where.
        endpoint: Endpoint,
        /// The name that the server's certificate must be valid for.
        server_name: String,
        /// The label of the client certificate to present on every connection of this link; present none if absent.
        identity: Option<String>,
        /// Never buffer more than so many bytes of one answer: fail the request instead.
        max_message: u64,
    },
    /// Send these bytes over TCP, in order; say `Written` as they leave.
    Write {
        /// The link.
        link: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Send this as one WebSocket text message, in order; say `Written` as it leaves.
    Frame {
        /// The link.
        link: u64,
        /// The text.
        text: String,
    },
    /// Stop reading. Bytes that were read already go into `Received`, never into TLS. Then shake hands, with the `identity` of the
    /// `Connect`, and say `Connected` or `Failed`.
    StartTls {
        /// The link.
        link: u64,
        /// The name that the server's certificate must be valid for.
        server_name: String,
    },
    /// POST `body` as `text/xml; charset=utf-8`. Do not retry, follow redirects or decompress.
    Post {
        /// The link.
        link: u64,
        /// The attempt; a resend has a new one.
        request: u64,
        /// The whole request body.
        body: Vec<u8>,
        /// The client gives up on it then: an HTTP library's own timeout must not be shorter.
        deadline_ms: u64,
    },
    /// Cancel that request; its answer is not wanted any more.
    Abandon {
        /// The link.
        link: u64,
        /// The attempt.
        request: u64,
    },
    /// Flush, then close. On a link that is still connecting: give up. The link's id is dead.
    Close {
        /// The link.
        link: u64,
    },
    /// Run this, away from where it would keep others waiting, and say `Derived`. Only with `KeyDerivation::Host`.
    DeriveKey {
        /// What `Derived` has to name.
        job: u64,
        /// The computation.
        derivation: Arc<Derivation>,
    },
    /// Give it to the application.
    Event {
        /// The event.
        event: Event,
    },
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Endpoint {
    /// A TCP connection, to the host at any of its addresses.
    Tcp {
        /// A host name, or an address: of IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// When TLS begins.
        tls: TcpTls,
    },
    /// A WebSocket (RFC 7395): ask for the subprotocol `xmpp`, and say in `LinkInfo` what was selected.
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

/// When TLS begins on a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum TcpTls {
    /// At once (XEP-0368): offer the protocol `xmpp-client` by ALPN.
    Direct,
    /// When the client says `StartTls` (RFC 6120 §5).
    StartTls,
}

/// What the host has to find out.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Question {
    /// The SRV records of a name such as `_xmpp-client._tcp.example.org` (RFC 2782).
    Srv {
        /// The name, in ASCII.
        name: String,
    },
    /// A document, by GET over verified HTTPS, without following redirects (XEP-0156).
    Document {
        /// The URL.
        url: String,
        /// Never read more than so many bytes: fail instead.
        max_bytes: u64,
    },
}

impl Step {
    pub(crate) fn drain(engine: &mut epode::Client, token: Option<epode::Token>) -> Self {
        let mut outputs = Vec::new();
        while let Some(output) = engine.next() {
            outputs.extend(Output::from_core(output));
        }
        let deadline = engine.deadline().map(|(at, timer)| Deadline {
            at_ms: at.as_millis(),
            name: timer.name().to_owned(),
        });
        Self {
            token: token.map(|token| token.0),
            outputs,
            deadline,
            wants_read: engine.wants_read(),
        }
    }
}

impl Output {
    /// `None` for an output that this version of the interface has no word for: the two are built and released together, so
    /// there is none.
    #[must_use]
    pub fn from_core(output: epode::Output) -> Option<Self> {
        Some(match output {
            epode::Output::Resolve {
                query,
                question,
                deadline,
            } => Self::Resolve {
                query: query.0,
                question: match question {
                    epode::Question::Srv { name } => Question::Srv { name },
                    epode::Question::Document { url, max_bytes } => Question::Document {
                        url,
                        max_bytes: max_bytes as u64,
                    },
                    _ => return None,
                },
                deadline_ms: deadline.as_millis(),
            },
            epode::Output::Store { slot, append, bytes } => Self::Store {
                slot: match slot {
                    epode::Slot::Session => Slot::Session,
                    epode::Slot::Token => Slot::Token,
                    epode::Slot::Pins => Slot::Pins,
                    _ => return None,
                },
                append,
                bytes: bytes.expose().to_vec(),
            },
            epode::Output::Write { link, bytes } => Self::Write { link: link.0, bytes },
            epode::Output::Frame { link, text } => Self::Frame { link: link.0, text },
            epode::Output::StartTls { link, server_name } => Self::StartTls {
                link: link.0,
                server_name,
            },
            epode::Output::Connect {
                link,
                endpoint,
                server_name,
                identity,
                max_message,
            } => Self::Connect {
                link: link.0,
                endpoint: match endpoint {
                    epode::Endpoint::Tcp { host, port, tls } => Endpoint::Tcp {
                        host,
                        port,
                        tls: match tls {
                            epode::TcpTls::Direct => TcpTls::Direct,
                            epode::TcpTls::StartTls => TcpTls::StartTls,
                            _ => return None,
                        },
                    },
                    epode::Endpoint::WebSocket { url } => Endpoint::WebSocket { url },
                    epode::Endpoint::Bosh { url } => Endpoint::Bosh { url },
                    _ => return None,
                },
                server_name,
                identity,
                max_message: max_message as u64,
            },
            epode::Output::Post {
                link,
                request,
                body,
                deadline,
            } => Self::Post {
                link: link.0,
                request: request.0,
                body,
                deadline_ms: deadline.as_millis(),
            },
            epode::Output::Abandon { link, request } => Self::Abandon {
                link: link.0,
                request: request.0,
            },
            epode::Output::Close { link } => Self::Close { link: link.0 },
            epode::Output::DeriveKey { job, derivation } => Self::DeriveKey {
                job: job.0,
                derivation: Derivation::new(derivation),
            },
            epode::Output::Event(event) => Self::Event {
                event: Event::from_core(event)?,
            },
            _ => return None,
        })
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |len: usize| format!("{len} bytes");
        match self {
            Self::Resolve { query, question, .. } => f.debug_tuple("Resolve").field(query).field(question).finish(),
            Self::Store { slot, append, bytes } => {
                let size = size(bytes.len());
                f.debug_tuple("Store").field(slot).field(append).field(&size).finish()
            }
            Self::Connect { link, endpoint, .. } => f.debug_tuple("Connect").field(link).field(endpoint).finish(),
            Self::Write { link, bytes } => f.debug_tuple("Write").field(link).field(&size(bytes.len())).finish(),
            Self::Frame { link, text } => f.debug_tuple("Frame").field(link).field(&size(text.len())).finish(),
            Self::StartTls { link, server_name } => f.debug_tuple("StartTls").field(link).field(server_name).finish(),
            Self::Post {
                link, request, body, ..
            } => {
                let size = size(body.len());
                f.debug_tuple("Post").field(link).field(request).field(&size).finish()
            }
            Self::Abandon { link, request } => f.debug_tuple("Abandon").field(link).field(request).finish(),
            Self::Close { link } => f.debug_tuple("Close").field(link).finish(),
            Self::DeriveKey { job, derivation } => f.debug_tuple("DeriveKey").field(job).field(derivation).finish(),
            Self::Event { event } => f.debug_tuple("Event").field(event).finish(),
        }
    }
}
