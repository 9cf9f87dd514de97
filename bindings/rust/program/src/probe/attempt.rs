//! One look at one endpoint: it connects, reads what is offered before a login, and says goodbye.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use epode::config::{Reconnect, Timeouts};
use epode::error::{ConnectionError, TlsError};
use epode::{Config, Credentials, Element, Endpoint, Event, Input, Offline, Verified};
use epode_tokio::{Client, Trace};

use super::{Place, Setup, policy};
use crate::connect;
use crate::exit::{Exit, Failure};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL2: &str = "urn:xmpp:sasl:2";
const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";

/// What was seen of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) place: Place,
    pub(super) link: Link,
    pub(super) features: Option<Element>,
    /// Why it ended; `None`: no end in time.
    pub(super) end: Option<Offline>,
    pub(super) elapsed: Duration,
}

/// What is known of the connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) connected: bool,
    pub(super) encrypted: bool,
    pub(super) tls_version: Option<String>,
    /// The name that the server's certificate was valid for.
    pub(super) name: Option<String>,
    pub(super) asked: Option<bool>,
}

impl Facts {
    /// A client could log in here.
    pub(super) fn works(&self) -> bool {
        let safe = self.link.encrypted || policy(&self.place.endpoint) == epode::TlsPolicy::AllowPlaintext;
        safe && self.end == Some(Offline::Stopped) && !self.mechanisms().is_empty()
    }

    pub(super) fn exit(&self) -> Exit {
        match &self.end {
            Some(Offline::Stopped) if !self.works() => Exit::Protocol,
            Some(end) => connect::exit(end),
            None => Exit::Connection,
        }
    }

    /// Somebody answered there.
    pub(super) fn reached(&self) -> bool {
        let nobody = matches!(
            &self.end,
            None | Some(Offline::Connection(
                ConnectionError::Failed(_) | ConnectionError::Timeout { .. }
            ))
        );
        self.link.connected || !nobody
    }

    /// Whether the server's certificate was accepted, and why not; `None` where none was seen.
    pub(super) fn certificate(&self) -> Option<Result<&str, &str>> {
        if let Some(Offline::Tls(TlsError::CertificateRejected { reason })) = &self.end {
            return Some(Err(reason));
        }
        self.link.name.as_deref().map(Ok)
    }

    /// What is in the way, if it does not work.
    pub(super) fn failure(&self) -> Option<String> {
        match &self.end {
            _ if self.works() => None,
            None => Some("no answer in time".to_owned()),
            Some(Offline::Stopped) => Some("no way to log in is offered".to_owned()),
            Some(end) => Some(end.to_string()),
        }
    }

    /// SASL mechanisms, of both profiles.
    pub(super) fn mechanisms(&self) -> Vec<String> {
        let mut names = Vec::new();
        let Some(features) = &self.features else { return names };
        for (list, namespace) in [("mechanisms", SASL), ("authentication", SASL2)] {
            let Some(list) = features.child(namespace, list) else {
                continue;
            };
            for mechanism in list.children().filter(|child| child.is(namespace, "mechanism")) {
                let name = mechanism.text().into_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// What channel bindings the server says it takes (XEP-0440); `None` where it does not say.
    pub(super) fn channel_bindings(&self) -> Option<Vec<String>> {
        let features = self.features.as_ref()?;
        let beside = features.child(CHANNEL_BINDING, "sasl-channel-binding");
        let within = || {
            features
                .child(SASL, "mechanisms")
                .and_then(|list| list.child(CHANNEL_BINDING, "sasl-channel-binding"))
        };
        let list = beside.or_else(within)?;
        Some(
            list.children()
                .filter_map(|child| child.attribute("type").map(ToOwned::to_owned))
                .collect(),
        )
    }

    /// The features beside those two.
    pub(super) fn features(&self) -> Vec<String> {
        let Some(features) = &self.features else {
            return Vec::new();
        };
        features
            .children()
            .filter(|child| !child.is(SASL, "mechanisms") && !child.is(CHANNEL_BINDING, "sasl-channel-binding"))
            .map(|child| known(child.namespace(), child.name()))
            .collect()
    }
}

/// The name of a feature for people, or what it is called.
fn known(namespace: &str, name: &str) -> String {
    match (namespace, name) {
        ("urn:ietf:params:xml:ns:xmpp-tls", _) => "STARTTLS".to_owned(),
        ("urn:ietf:params:xml:ns:xmpp-bind", _) => "resource binding".to_owned(),
        ("urn:ietf:params:xml:ns:xmpp-session", _) => "session (RFC 3921)".to_owned(),
        ("http://jabber.org/features/iq-register", _) => "registration (XEP-0077)".to_owned(),
        ("urn:xmpp:ibr-token:0", _) => "registration by invitation (XEP-0445)".to_owned(),
        ("http://jabber.org/features/iq-auth", _) => "old login (XEP-0078)".to_owned(),
        ("http://jabber.org/features/compress", _) => "compression (XEP-0138)".to_owned(),
        ("http://jabber.org/protocol/caps", _) => "capabilities (XEP-0115)".to_owned(),
        ("urn:xmpp:sm:3" | "urn:xmpp:sm:2", _) => "stream management (XEP-0198)".to_owned(),
        ("urn:xmpp:csi:0", _) => "client state (XEP-0352)".to_owned(),
        ("urn:xmpp:features:rosterver", _) => "roster versions".to_owned(),
        ("urn:xmpp:features:dialback", _) => "dialback".to_owned(),
        ("urn:xmpp:sasl:2", _) => "SASL2 (XEP-0388)".to_owned(),
        ("urn:xmpp:stream-limits:0", _) => "stream limits (XEP-0478)".to_owned(),
        (namespace, name) => format!("{name} ({namespace})"),
    }
}

/// A look that is about to begin.
pub(super) struct Task {
    setup: Arc<Setup>,
    place: Place,
}

impl Task {
    pub(super) fn new(setup: Arc<Setup>, place: Place) -> Self {
        Self { setup, place }
    }

    /// Never takes longer than the limit, but for a moment.
    pub(super) async fn run(self) -> Facts {
        let begin = Instant::now();
        let seen = Arc::new(Mutex::new(Link::default()));
        let mut facts = Facts {
            place: self.place.clone(),
            link: Link::default(),
            features: None,
            end: None,
            elapsed: Duration::ZERO,
        };
        let look = self.look(&seen, &mut facts);
        // An error is a host that is none, from a record: there is no connection, and no reason of the network's.
        let ended = tokio::time::timeout(self.setup.limit, look).await;
        if let Ok(Err(_)) = ended {
            facts.end = Some(Offline::Connection(ConnectionError::NoEndpoint));
        }
        facts.link = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        facts.elapsed = begin.elapsed();
        facts
    }

    async fn look(&self, seen: &Arc<Mutex<Link>>, facts: &mut Facts) -> Result<(), Failure> {
        let timeouts = Timeouts {
            connect: self.setup.limit,
            negotiation: self.setup.limit,
            // The answer is known by then.
            close: Duration::from_secs(1),
            ..Timeouts::default()
        };
        let config = Config::builder(self.setup.args.domain.clone());
        let config = match self.place.endpoint.clone() {
            Endpoint::Tcp { host, port, tls } => config.tcp(host, port, tls),
            Endpoint::WebSocket { url } => config.websocket(url),
            Endpoint::Bosh { url } => config.bosh(url),
            // Not an enum of this crate.
            _ => return Err(Failure::other("unknown")),
        };
        let config = config
            .credentials(Credentials::Nothing)
            .tls(policy(&self.place.endpoint))
            .timeouts(timeouts)
            .reconnect(Reconnect::never())
            .build()
            .map_err(|error| Failure::usage(error.to_string()))?;
        let builder = self.setup.args.place.prepare(Client::builder(config));
        let builder = connect::trust(builder, self.setup.authorities.clone())?;
        let watched = Arc::clone(seen);
        let builder = builder.trace(move |trace| {
            if let Trace::Input { input, .. } = trace {
                watch(&watched, input);
            }
        });
        let mut client = connect::connect(builder).await?;
        while let Some(event) = client.next().await {
            if let Event::Offered { features, .. } = event {
                facts.features = Some(features);
            } else if let Event::Offline { reason } = event {
                facts.end = Some(reason);
            }
        }
        Ok(())
    }
}

fn watch(seen: &Mutex<Link>, input: &Input<'_>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Input::Connected { info, .. } = input {
        // After STARTTLS it comes again, and knows more.
        seen.connected = true;
        seen.encrypted |= info.encrypted;
        seen.tls_version = info.tls_version.clone().or_else(|| seen.tls_version.take());
        seen.asked = info.client_certificate_requested.or(seen.asked);
        if let Verified::Host { name } = &info.verified {
            seen.name = Some(name.clone());
        }
    } else if let Input::Responded { tls: Some(facts), .. } = input {
        seen.tls_version = facts.version.clone().or_else(|| seen.tls_version.take());
        seen.asked = facts.client_certificate_requested.or(seen.asked);
    }
}
