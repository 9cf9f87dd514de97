//! A client in the hands of a test that plays its server: answers are strings, and every output is looked at.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about, and fails at the rest"
)]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::config::{ConfigBuilder, Limits};
use epode::record::{Entry, Header, Log, Recorder};
use epode::xml::XmlLimits;
use epode::{
    Client, Config, Credentials, Element, Endpoint, Event, Input, Instant, LinkId, LinkInfo, Offline, Output, Refused,
    RequestId, Timer, TlsFacts, Token,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::wire::{self, Cut, Wire, split};

/// A password that is found again wherever it leaks.
pub(crate) const PASSWORD: &str = "canary-Zq7-password";
pub(crate) const SALT: &str = "c2FsdHNhbHRzYWx0";
pub(crate) const NS_SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SEED: [u8; 32] = *b"a seed for tests of bad servers.";
const BODY: &str = "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";
const CREATED: &str = " sid='s1d' wait='60' requests='2' hold='1' inactivity='30' ver='1.6' from='example.org'";

/// The account, by the transport of the test, once.
pub(crate) fn of(jid: &str) -> ConfigBuilder {
    let config = Config::builder(jid.parse().unwrap()).reconnect(epode::config::Reconnect::never());
    match wire::now().0 {
        Wire::Bosh => config.bosh("https://example.org/http-bind"),
        Wire::WebSocket => config.websocket("wss://example.org/ws"),
        tcp @ (Wire::StartTls | Wire::Direct) => config.tcp("xmpp.example.net", 5222, tcp.tls()),
    }
}

pub(crate) fn with_password() -> ConfigBuilder {
    of("user@example.org").credentials(Credentials::password(PASSWORD))
}

pub(crate) fn with_certificate() -> ConfigBuilder {
    let certificate = Credentials::certificate("user", None);
    of("user@example.org")
        .credentials(certificate)
        .answers("urn:example:served")
}

pub(crate) fn build(builder: ConfigBuilder) -> Config {
    builder.build().unwrap()
}

pub(crate) fn small_queue() -> Limits {
    Limits {
        outbound_queue: 64 * 1024,
        ..Limits::default()
    }
}

/// `<stream:features/>` with these mechanisms.
pub(crate) fn mechanisms(names: &[&str]) -> String {
    let names: String = names
        .iter()
        .map(|name| format!("<mechanism>{name}</mechanism>"))
        .collect();
    format!("<stream:features><mechanisms xmlns='{NS_SASL}'>{names}</mechanisms></stream:features>")
}

/// `<stream:features/>` of after the login.
pub(crate) const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";

/// An element of the SASL namespace with that text.
pub(crate) fn sasl(name: &str, text: &str) -> String {
    format!("<{name} xmlns='{NS_SASL}'>{text}</{name}>")
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A result of binding with this content.
pub(crate) fn bound(id: &str, content: &str) -> String {
    format!(
        "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{content}</bind></iq>"
    )
}

/// `<stream:features/>` before TLS.
pub(crate) const STARTTLS: &str =
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
pub(crate) const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// A client, and all that was seen of it.
pub(crate) struct Play {
    client: Recorder,
    header: Header,
    pub(crate) wire: Wire,
    pub(crate) cut: Cut,
    pub(crate) now: u64,
    /// The last link.
    pub(crate) link: LinkId,
    /// Every place that was connected to.
    pub(crate) connects: Vec<(Endpoint, String)>,
    /// The links that are open.
    pub(crate) links: BTreeSet<LinkId>,
    over: bool,
    open: VecDeque<RequestId>,
    /// Streams that the client has begun, and those that the server has answered with a header.
    pub(crate) streams: usize,
    pub(crate) greeted: usize,
    /// Bytes that the host has not written yet.
    unwritten: u64,
    /// What the host sees of the connection that carries an answer of HTTP.
    pub(crate) tls: Option<TlsFacts>,
    /// Every body, frame or piece of TCP that was sent.
    pub(crate) posts: Vec<String>,
    /// The same, joined, for each link, with the beginnings of TLS and the end in between.
    pub(crate) wires: BTreeMap<LinkId, String>,
    /// Everything else that is asked of the host.
    pub(crate) others: Vec<Output>,
    /// Every event.
    pub(crate) events: Vec<Event>,
    /// `Debug` of the client and of every output, `Display` of the end.
    pub(crate) shown: String,
}

impl Play {
    /// A client that has not started.
    pub(crate) fn idle(config: Config, seed: [u8; 32]) -> Self {
        let (wire, cut) = wire::now();
        Self {
            header: Header::new(&config, &seed),
            client: Recorder::new(Client::new(config, seed)),
            wire,
            cut,
            now: 1_000,
            link: LinkId(1),
            connects: Vec::new(),
            links: BTreeSet::new(),
            over: false,
            open: VecDeque::new(),
            streams: 0,
            greeted: 0,
            unwritten: 0,
            tls: None,
            posts: Vec::new(),
            wires: BTreeMap::new(),
            others: Vec::new(),
            events: Vec::new(),
            shown: String::new(),
        }
    }

    /// A client that has asked for a link.
    pub(crate) fn started(config: Config) -> Self {
        let mut play = Self::idle(config, SEED);
        play.input(Input::Start).unwrap();
        play
    }

    /// A client that is told `info` of its link.
    pub(crate) fn linked(config: Config, info: LinkInfo) -> Self {
        Self::seeded(config, info, SEED)
    }

    pub(crate) fn seeded(config: Config, info: LinkInfo, seed: [u8; 32]) -> Self {
        let mut play = Self::idle(config, seed);
        play.input(Input::Start).unwrap();
        play.connect(info);
        play
    }

    /// The last link is up, with TLS if `info` says so; STARTTLS has been gone through.
    pub(crate) fn connect(&mut self, info: LinkInfo) {
        let mut info = info;
        if self.wire == Wire::WebSocket {
            info.subprotocol.get_or_insert_with(|| "xmpp".to_owned());
        }
        if self.wire == Wire::StartTls && info.encrypted {
            self.up(LinkInfo::default());
            self.answer(STARTTLS);
            self.answer(PROCEED);
            // What the server has said in the clear counts for nothing.
            self.greeted = self.streams;
        }
        self.up(info);
    }

    /// The host says of the last link that it is up.
    pub(crate) fn up(&mut self, info: LinkInfo) {
        let link = self.link;
        self.input(Input::Connected { link, info }).unwrap();
    }

    /// The request for a session is posted.
    pub(crate) fn connected(config: Config) -> Self {
        Self::linked(config, LinkInfo::verified("example.org"))
    }

    /// The session is created, and these mechanisms are offered.
    pub(crate) fn offered(config: Config, names: &[&str]) -> Self {
        let mut play = Self::connected(config);
        play.create(&mechanisms(names));
        play
    }

    /// EXTERNAL succeeded, and the request to bind is posted.
    pub(crate) fn binding(config: Config) -> Self {
        let mut play = Self::offered(config, &["EXTERNAL"]);
        play.answer(&sasl("success", ""));
        play.answer(BIND);
        assert_eq!(play.sent("iq").len(), 1, "{:?} {:?}", play.wires, play.events);
        play
    }

    /// Online by EXTERNAL as user@example.org/r; nothing is in `events`.
    pub(crate) fn online_with(config: Config) -> Self {
        let mut play = Self::binding(config);
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        assert!(play.is_online(), "{:?}", play.events);
        play.events.clear();
        play
    }

    pub(crate) fn online() -> Self {
        Self::online_with(build(with_certificate()))
    }

    /// Gives the client an input, and takes all that it puts out.
    pub(crate) fn input(&mut self, input: Input<'static>) -> Result<Option<Token>, Refused> {
        let result = self.quietly(input);
        self.write();
        result
    }

    /// The host has written all that it was given.
    fn write(&mut self) {
        while self.unwritten > 0 && self.links.contains(&self.link) {
            let bytes = std::mem::take(&mut self.unwritten);
            let link = self.link;
            self.quietly(Input::Written { link, bytes }).unwrap();
        }
    }

    /// As `input`, of a host that has not written yet what it was given.
    pub(crate) fn quietly(&mut self, input: Input<'static>) -> Result<Option<Token>, Refused> {
        let result = self.client.handle(Instant::from_millis(self.now), input);
        let before = self.shown.len();
        while let Some(output) = self.client.next() {
            assert!(!self.over, "after Offline: {output:?}");
            let _ = writeln!(self.shown, "{output:?}");
            self.output(output);
        }
        if self.shown.len() > before || result.is_err() {
            let _ = writeln!(self.shown, "{:?} {result:?}", self.client.client());
        }
        result
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Connect {
                link,
                endpoint,
                server_name,
                ..
            } => {
                self.link = link;
                self.links.insert(link);
                self.unwritten = 0;
                self.greeted = self.streams;
                self.wires.insert(link, String::new());
                self.connects.push((endpoint, server_name));
            }
            Output::Post { request, body, .. } => {
                self.open.push_back(request);
                self.posts.push(String::from_utf8(body).unwrap());
            }
            Output::Write { link, bytes } => self.said(link, String::from_utf8(bytes).unwrap()),
            Output::Frame { link, text } => {
                self.said(link, text);
                self.wires.get_mut(&link).unwrap().push('\n');
            }
            Output::StartTls { link, server_name } => {
                self.unwritten = 0;
                let wire = self.wires.get_mut(&link).unwrap();
                let _ = write!(wire, "[TLS for {server_name}]");
            }
            Output::Abandon { request, .. } => self.open.retain(|open| *open != request),
            Output::Event(event) => {
                if let Event::Offline { reason } = &event {
                    self.over = true;
                    assert!(self.links.is_empty(), "{:?} are open", self.links);
                    let _ = writeln!(self.shown, "{reason}");
                }
                self.events.push(event);
            }
            Output::Close { link } => {
                assert!(self.links.remove(&link), "{link} is not open");
                self.wires.get_mut(&link).unwrap().push_str("[closed]");
            }
            other @ (Output::Resolve { .. } | _) => self.others.push(other),
        }
    }

    fn said(&mut self, link: LinkId, text: String) {
        assert!(self.links.contains(&link), "{link} is dead: {text}");
        self.unwritten += text.len() as u64;
        self.streams += usize::from(self.wire.begins_stream(&text));
        self.wires.get_mut(&link).unwrap().push_str(&text);
        self.posts.push(text);
    }

    /// Answers the request that has been open for longest, with a body around `payload`; on a stream just says it, after
    /// the header that is due.
    pub(crate) fn answer(&mut self, payload: &str) {
        self.answer_nth(0, payload);
    }

    pub(crate) fn answer_nth(&mut self, nth: usize, payload: &str) {
        if self.wire == Wire::Bosh {
            self.answer_bytes(nth, format!("{BODY}>{payload}</body>").into_bytes());
        } else {
            self.now += 20;
            self.say(payload);
        }
    }

    /// As [`Self::answer`], with the attributes of a new session.
    pub(crate) fn create(&mut self, payload: &str) {
        if self.wire == Wire::Bosh {
            self.answer_bytes(0, format!("{BODY}{CREATED}>{payload}</body>").into_bytes());
        } else {
            self.answer(payload);
        }
    }

    pub(crate) fn answer_bytes(&mut self, nth: usize, body: Vec<u8>) {
        assert_eq!(self.wire, Wire::Bosh);
        self.now += 20;
        let request = self.open.remove(nth).unwrap();
        let input = Input::Responded {
            link: self.link,
            request,
            status: 200,
            body: Cow::Owned(body),
            tls: self.tls.clone(),
        };
        self.input(input).unwrap();
    }

    /// The server of a stream says these elements, after its header, if the client waits for that.
    pub(crate) fn say(&mut self, elements: &str) {
        let mut text = String::new();
        if self.greeted < self.streams {
            self.greeted = self.streams;
            text = self.wire.header("version='1.0' id='s1' from='example.org'");
        }
        text.push_str(elements);
        self.raw(&text);
    }

    /// The server of a stream says that, cut as the test wants it.
    pub(crate) fn raw(&mut self, text: &str) {
        match (self.wire, self.cut) {
            (Wire::WebSocket, _) => {
                for piece in split(text).into_iter().filter(|piece| !piece.trim().is_empty()) {
                    self.received(Wire::message(piece).into_bytes());
                }
            }
            (_, Cut::Elements) => split(text).into_iter().for_each(|piece| self.received(piece.into())),
            (_, Cut::Bytes) => text.bytes().for_each(|byte| self.received(vec![byte])),
            (_, Cut::Together) => self.received(text.into()),
        }
        self.write();
    }

    /// These bytes arrive.
    pub(crate) fn received(&mut self, bytes: Vec<u8>) {
        let (link, bytes) = (self.link, Cow::Owned(bytes));
        self.quietly(Input::Received { link, bytes }).unwrap();
    }

    pub(crate) fn has_open_request(&self) -> bool {
        !self.open.is_empty() || self.wire != Wire::Bosh
    }

    /// An answer to a request that is not open (any more).
    pub(crate) fn answer_stray(&mut self, payload: &str) {
        let input = Input::Responded {
            link: self.link,
            request: RequestId(1),
            status: 200,
            body: Cow::Owned(format!("{BODY}>{payload}</body>").into_bytes()),
            tls: None,
        };
        self.input(input).unwrap();
    }

    /// How often the client has begun anew after a login.
    pub(crate) fn has_restarted(&self) -> bool {
        match self.wire {
            Wire::Bosh => self.posts.iter().any(|post| post.contains("restart")),
            Wire::StartTls => self.streams > 2,
            Wire::Direct | Wire::WebSocket => self.streams > 1,
        }
    }

    /// The client has told the server nothing since then.
    pub(crate) fn assert_silent_since(&self, before: usize) {
        let since = &self.posts[before..];
        // On BOSH there are empty requests, which keep the session alive.
        let silent = since.iter().all(|post| self.wire == Wire::Bosh && post.ends_with("/>"));
        assert!(silent, "{since:?}");
    }

    /// The client has said goodbye, last of all.
    pub(crate) fn assert_goodbye(&self) {
        let last = self.posts.last().unwrap();
        let is_goodbye = match self.wire {
            Wire::Bosh => last.contains("type='terminate'"),
            Wire::StartTls | Wire::Direct | Wire::WebSocket => last.ends_with(self.wire.close()),
        };
        assert!(is_goodbye, "{:?}", self.posts);
    }

    pub(crate) fn deadline(&self) -> Option<(Instant, Timer)> {
        self.client.client().deadline()
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.now += millis;
        self.input(Input::Tick).unwrap();
    }

    /// Lets time pass as the client asks, for as long as so many milliseconds.
    pub(crate) fn wait(&mut self, millis: u64) {
        let end = Instant::from_millis(self.now + millis);
        while let Some((at, timer)) = self.client.client().deadline() {
            assert_ne!(timer, Timer::Output);
            if at > end || self.over {
                break;
            }
            self.now = self.now.max(at.as_millis());
            self.input(Input::Tick).unwrap();
        }
        self.now = self.now.max(end.as_millis());
    }

    /// Lets time pass until the client connects again, or is offline.
    pub(crate) fn until_next_link(&mut self) {
        let before = self.connects.len();
        while self.connects.len() == before && !self.over {
            let (at, _) = self.deadline().expect("it waits for nothing");
            self.now = self.now.max(at.as_millis());
            self.input(Input::Tick).unwrap();
        }
    }

    pub(crate) fn is_online(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Online { .. }))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Why it is offline.
    pub(crate) fn reason(&self) -> Offline {
        match self.events.last() {
            Some(Event::Offline { reason }) => reason.clone(),
            other => panic!("not offline, but {other:?}"),
        }
    }

    pub(crate) fn stanzas(&self) -> Vec<&Element> {
        self.events
            .iter()
            .filter_map(|event| {
                if let Event::Stanza { stanza, .. } = event {
                    Some(stanza)
                } else {
                    None
                }
            })
            .collect()
    }

    /// Every element of that name that was posted, in order; a request that was posted again counts once.
    pub(crate) fn sent(&self, name: &str) -> Vec<Element> {
        if self.wire != Wire::Bosh {
            let elements = self.posts.iter().flat_map(|post| self.wire.elements(post));
            return elements.filter(|element| element.name() == name).collect();
        }
        let mut seen = BTreeSet::new();
        let posts = self.posts.iter().filter(|post| seen.insert(*post));
        let bodies = posts.map(|post| Element::parse(post, &XmlLimits::default()).unwrap());
        bodies
            .flat_map(|body| {
                body.children()
                    .filter(|child| child.name() == name)
                    .map(|child| child.to_element())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// What the SASL messages of the client say.
    pub(crate) fn sasl_messages(&self) -> Vec<String> {
        let elements = self.sent("auth").into_iter().chain(self.sent("response"));
        elements
            .map(|element| String::from_utf8(STANDARD.decode(&*element.text()).unwrap_or_default()).unwrap())
            .collect()
    }

    /// The id of the last `iq` that was posted.
    pub(crate) fn iq_id(&self) -> String {
        self.sent("iq").last().unwrap().attribute("id").unwrap().to_owned()
    }

    /// The login failed for good, and the server learnt neither the password nor a proof of it.
    pub(crate) fn assert_refused_without_proof(&self, case: &str) {
        self.assert_refused(case);
        let messages = self.sasl_messages();
        assert!(
            messages.iter().all(|message| !message.contains(",p=")),
            "{case}: {messages:?}"
        );
    }

    /// The login failed for good: no Online, no second try, and the password was not said.
    pub(crate) fn assert_refused(&self, case: &str) {
        assert!(self.over, "{case}: {:?}", self.events);
        assert!(!self.is_online(), "{case}");
        assert_eq!(self.connects.len(), 1, "{case}: no new try by itself");
        assert!(
            self.client.client().deadline().is_none(),
            "{case}: nothing is waited for"
        );
        assert!(self.stanzas().is_empty(), "{case}: {:?}", self.events);
        self.assert_password_unsaid(case);
    }

    pub(crate) fn assert_password_unsaid(&self, case: &str) {
        let messages = self.sasl_messages();
        assert!(
            messages.iter().all(|message| !message.contains(PASSWORD)),
            "{case}: {messages:?}"
        );
        assert!(self.posts.iter().all(|post| !post.contains(PASSWORD)), "{case}");
    }

    /// The recording.
    pub(crate) fn into_log(self) -> Log {
        Log {
            header: self.header,
            entries: self.client.into_entries(),
        }
    }

    /// The recording, as text.
    pub(crate) fn log(self) -> (String, Vec<Entry>) {
        let log = self.into_log();
        (log.to_text() + &format!("{log:?}"), log.entries)
    }
}

/// The server's half of SCRAM-SHA-256, as far as it is honest.
pub(crate) struct Scram {
    pub(crate) first: String,
    client_first_bare: String,
}

impl Scram {
    /// An answer to what the client has said first, with 4,096 iterations.
    pub(crate) fn answering(play: &Play) -> Self {
        Self::answering_to(&play.sasl_messages()[0])
    }

    /// The same, to this first message.
    pub(crate) fn answering_to(client_first: &str) -> Self {
        let client_first_bare = client_first.strip_prefix("n,,").unwrap().to_owned();
        let nonce = client_first_bare.split("r=").nth(1).unwrap();
        Self {
            first: format!("r={nonce}server,s={SALT},i=4096"),
            client_first_bare,
        }
    }

    /// The nonce of the client.
    pub(crate) fn nonce(&self) -> &str {
        self.client_first_bare.split("r=").nth(1).unwrap()
    }

    /// The last message of a server that knows `password`.
    pub(crate) fn proof(&self, client_final: &str, password: &str) -> String {
        let salt = STANDARD.decode(SALT).unwrap();
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, 4096, &mut salted);
        let (without_proof, proof) = client_final.rsplit_once(",p=").unwrap();
        let message = format!("{},{},{without_proof}", self.client_first_bare, self.first);
        let client_key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(&client_key), message.as_bytes());
        let expected: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(password == PASSWORD, base64(expected) == proof, "the client's proof");
        let server_key = hmac(&salted, b"Server Key");
        format!("v={}", base64(hmac(&server_key, message.as_bytes())))
    }
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key)
        .unwrap()
        .chain_update(data)
        .finalize()
        .into_bytes()
        .to_vec()
}
