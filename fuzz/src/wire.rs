//! One link as its host and its server see it, and what may be said on it, and when.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use epode::xml::{Element, Framing, Reader, XmlEvent, XmlLimits};
use epode::{Endpoint, LinkId, LinkInfo, RequestId, TcpTls, TransportKind, Verified};

use crate::host::{ACCESS, DOMAIN, PASSWORD, TOKEN};
use crate::login::Login;

const NS_STREAM: &str = "http://etherx.jabber.org/streams";
const NS_FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
const NS_TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// What a client said on a stream.
#[derive(Debug)]
pub enum Item {
    Header,
    Element(Element),
    Close,
}

/// What may be said.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The policy allows to talk without verified TLS.
    pub plaintext: bool,
    pub allow_plain: bool,
    /// The fuzzer knows the password, so that it may come out.
    pub known: bool,
    /// Some of it was restored from what no client stored, so that it need not be XML.
    pub foreign: bool,
}

/// From `Connect` to `Close`.
pub struct Link {
    pub id: LinkId,
    pub endpoint: Endpoint,
    pub server_name: String,
    pub connected: bool,
    pub encrypted: bool,
    pub verified: bool,
    /// `StartTls` was said, and TLS is not there yet.
    pub handshaking: bool,
    pub paused: bool,
    /// Bytes that the client gave and that `Written` has not reported.
    pub unwritten: u64,
    /// What the server has not answered yet.
    pub items: VecDeque<Item>,
    reader: Option<Reader>,
    goodbye: bool,
    pub outstanding: VecDeque<(RequestId, u64, Vec<u8>)>,
    pub bodies: BTreeMap<u64, Vec<u8>>,
    /// At most this many requests, by the answer that created the session.
    pub window: usize,
    pub first: Option<RequestId>,
}

impl Link {
    pub fn new(id: LinkId, endpoint: Endpoint, server_name: String, window: usize) -> Self {
        Self {
            id,
            endpoint,
            server_name,
            connected: false,
            encrypted: false,
            verified: false,
            handshaking: false,
            paused: false,
            unwritten: 0,
            items: VecDeque::new(),
            reader: None,
            goodbye: false,
            outstanding: VecDeque::new(),
            bodies: BTreeMap::new(),
            window,
            first: None,
        }
    }

    pub fn kind(&self) -> TransportKind {
        self.endpoint.kind()
    }

    fn has_starttls(&self) -> bool {
        matches!(&self.endpoint, Endpoint::Tcp { tls, .. } if *tls == TcpTls::StartTls)
    }

    /// What a good host says of it when it is up.
    pub fn good_info(&self) -> LinkInfo {
        if self.has_starttls() && !self.handshaking {
            return LinkInfo::default();
        }
        let mut info = LinkInfo::verified(self.server_name.clone());
        if self.kind() == TransportKind::WebSocket {
            info.subprotocol = Some(String::from("xmpp"));
        }
        info
    }

    /// The host says `Connected`; the first word counts, and the one after the handshake.
    pub fn connect(&mut self, info: &LinkInfo) {
        if self.connected && !self.handshaking {
            return;
        }
        self.connected = true;
        self.handshaking = false;
        self.encrypted = info.encrypted;
        self.verified = match &info.verified {
            Verified::Host { name } | Verified::Platform { name } => {
                info.encrypted && name.eq_ignore_ascii_case(&self.server_name)
            }
            _ => false,
        };
    }

    /// The host is told to begin TLS.
    pub fn start_tls(&mut self, server_name: &str) {
        assert!(self.has_starttls(), "StartTls on {:?}", self.endpoint);
        assert!(self.connected && !self.handshaking, "StartTls twice");
        assert_eq!(server_name, DOMAIN);
        self.handshaking = true;
        self.encrypted = false;
        self.verified = false;
        self.reader = None;
        self.items.clear();
    }

    /// Bytes for TCP.
    pub fn write(&mut self, bytes: &[u8], rules: Rules) {
        assert_eq!(self.kind(), TransportKind::Tcp);
        self.may_speak();
        assert!(!bytes.is_empty(), "a write of nothing");
        self.unwritten += bytes.len() as u64;
        // In all other places `<` is escaped, or begins an element.
        let header = bytes.windows(6).position(|six| six == b"<?xml ");
        let (before, after) = bytes.split_at(header.unwrap_or(bytes.len()));
        self.read(before, rules);
        if header.is_some() {
            self.reader = Some(Reader::new(Framing::Stream, generous()));
            self.read(after, rules);
        }
    }

    fn read(&mut self, bytes: &[u8], rules: Rules) {
        if bytes.is_empty() {
            return;
        }
        let shown = || String::from_utf8_lossy(bytes).into_owned();
        let Some(reader) = &mut self.reader else {
            assert!(rules.foreign, "without a header: {}", shown());
            return;
        };
        let mut events = Vec::new();
        let result = reader.feed(bytes, &mut events);
        if rules.foreign && result.is_err() {
            self.reader = None;
            return;
        }
        assert_eq!(result, Ok(()), "{}", shown());
        for event in events {
            let item = match event {
                XmlEvent::Open(root) => {
                    assert!(root.is(NS_STREAM, "stream"), "{}", shown());
                    self.check_header(&root);
                    Item::Header
                }
                XmlEvent::Element(element) => Item::Element(element),
                XmlEvent::Close => Item::Close,
            };
            self.said(item, rules);
        }
    }

    /// A message on a WebSocket.
    pub fn frame(&mut self, text: &str, rules: Rules) {
        assert_eq!(self.kind(), TransportKind::WebSocket);
        self.may_speak();
        self.unwritten += text.len() as u64;
        let element = match Element::parse(text, &generous()) {
            Ok(element) => element,
            Err(_) if rules.foreign => return,
            Err(error) => panic!("{error}: {text}"),
        };
        let item = if element.is(NS_FRAMING, "open") {
            self.check_header(&element);
            Item::Header
        } else if element.is(NS_FRAMING, "close") {
            Item::Close
        } else {
            Item::Element(element)
        };
        self.said(item, rules);
    }

    fn may_speak(&self) {
        assert!(self.connected && !self.handshaking, "the link is not up");
    }

    /// RFC 6120 §4.7.1: who it is about is nobody's business before TLS.
    fn check_header(&self, header: &Element) {
        assert!(
            self.encrypted || header.attribute("from").is_none(),
            "the account is named without TLS: {}",
            header.to_xml()
        );
        assert_eq!(header.attribute("to"), Some(DOMAIN));
    }

    fn said(&mut self, item: Item, rules: Rules) {
        assert!(!self.goodbye || rules.foreign, "{item:?} after the goodbye");
        match &item {
            Item::Header => {}
            Item::Close => self.goodbye = true,
            Item::Element(element) => {
                let harmless = element.is(NS_TLS, "starttls") || element.is(NS_STREAM, "error");
                assert!(
                    harmless || self.verified || rules.plaintext,
                    "without verified TLS: {}",
                    element.to_xml()
                );
                check_secret(element, self.verified, rules);
            }
        }
        self.items.push_back(item);
    }
}

/// No secret, but where the mechanism is there to show it, and that is allowed.
pub fn check_secret(element: &Element, verified: bool, rules: Rules) {
    if rules.known {
        return;
    }
    let text = element.to_xml();
    for secret in [PASSWORD, ACCESS, TOKEN] {
        assert!(!text.contains(secret), "{secret} itself: {text}");
    }
    let root = element.root();
    let parts = if Login::is_part(root) {
        vec![root]
    } else {
        root.children().collect()
    };
    for part in parts.into_iter().filter(|part| Login::is_part(*part)) {
        let mechanism = part.attribute("mechanism").unwrap_or_default();
        for message in part.children().chain([part]) {
            let data = STANDARD.decode(message.text().as_bytes()).unwrap_or_default();
            let says = |secret: &str| data.windows(secret.len()).any(|window| window == secret.as_bytes());
            let plain = rules.allow_plain && mechanism == "PLAIN";
            assert!(!says(PASSWORD) || (verified && plain), "the password: {text}");
            let bearer = matches!(mechanism, "OAUTHBEARER" | "X-OAUTH2");
            assert!(!says(ACCESS) || (verified && bearer), "the access token: {text}");
            assert!(!says(TOKEN), "the login token: {text}");
        }
    }
}

/// The host of an absolute URL, as RFC 3986 §3.2 has it: written apart from the core's own.
pub fn url_host<'a>(url: &'a str, scheme: &str) -> Option<&'a str> {
    let start = url.get(..scheme.len())?;
    let rest = url.get(scheme.len()..)?.strip_prefix("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = match authority.strip_prefix('[') {
        Some(literal) => &literal[..literal.find(']')?],
        None => &authority[..authority.find(':').unwrap_or(authority.len())],
    };
    let fits = start.eq_ignore_ascii_case(scheme) && !host.is_empty() && !authority.contains('@');
    fits.then_some(host)
}

/// What holds for every place that a client wants to go to: TLS as the policy says, and the name for the certificate.
pub fn check_endpoint(endpoint: &Endpoint, server_name: &str, domain: &str, plaintext: bool) {
    let (url, secure, plain) = match endpoint {
        Endpoint::Tcp { host, port, .. } => {
            // RFC 6120 §13.7.2.1: whatever the host is called, the certificate is for the domain.
            assert_eq!(server_name, domain, "{endpoint:?}");
            assert!(*port != 0 && !host.is_empty(), "{endpoint:?}");
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/@?#<>\"\\".contains(&byte);
            assert!(host.len() <= 255 && host.bytes().all(is_plain), "{endpoint:?}");
            return;
        }
        Endpoint::WebSocket { url } => (url, "wss", "ws"),
        Endpoint::Bosh { url } => (url, "https", "http"),
        other => panic!("an endpoint that is not there: {other:?}"),
    };
    assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url:?}");
    let host = url_host(url, secure).or_else(|| url_host(url, plain).filter(|_| plaintext));
    assert_eq!(host, Some(server_name), "{url:?}");
}

pub fn generous() -> XmlLimits {
    let mut limits = XmlLimits::default();
    limits.element_bytes = 8 * 1024 * 1024;
    limits.depth = 1_000;
    limits
}
