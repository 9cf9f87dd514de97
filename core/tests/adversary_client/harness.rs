//! A client in the hands of a test that plays its server: answers are strings, and every output is looked at.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::config::{ConfigBuilder, Limits};
use epode::record::{Entry, Header, Log, Recorder};
use epode::xml::XmlLimits;
use epode::{
    Client, Config, Credentials, Element, Event, Input, Instant, LinkId, LinkInfo, Offline, Output, Refused, RequestId,
    Timer, Token,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A password that is found again wherever it leaks.
pub(crate) const PASSWORD: &str = "canary-Zq7-password";
pub(crate) const SALT: &str = "c2FsdHNhbHRzYWx0";
pub(crate) const NS_SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SEED: [u8; 32] = *b"a seed for tests of bad servers.";
const LINK: LinkId = LinkId(1);
const BODY: &str = "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";
const CREATED: &str = " sid='s1d' wait='60' requests='2' hold='1' inactivity='30' ver='1.6' from='example.org'";

pub(crate) fn with_password() -> ConfigBuilder {
    Config::builder("user@example.org".parse().unwrap())
        .reconnect(epode::config::Reconnect::never())
        .bosh("https://example.org/http-bind")
        .credentials(Credentials::password(PASSWORD))
}

pub(crate) fn with_certificate() -> ConfigBuilder {
    Config::builder("user@example.org".parse().unwrap())
        .reconnect(epode::config::Reconnect::never())
        .bosh("https://example.org/http-bind")
        .credentials(Credentials::certificate("user", None))
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

/// A client, and all that was seen of it.
pub(crate) struct Play {
    client: Recorder,
    header: Header,
    now: u64,
    connects: usize,
    over: bool,
    open: VecDeque<RequestId>,
    /// Every body that was posted.
    pub(crate) posts: Vec<String>,
    /// Every event.
    pub(crate) events: Vec<Event>,
    /// `Debug` of the client and of every output, `Display` of the end.
    pub(crate) shown: String,
}

impl Play {
    /// A client that is told `info` of its link.
    pub(crate) fn linked(config: Config, info: LinkInfo) -> Self {
        Self::seeded(config, info, SEED)
    }

    pub(crate) fn seeded(config: Config, info: LinkInfo, seed: [u8; 32]) -> Self {
        let mut play = Self {
            header: Header::new(&config, &seed),
            client: Recorder::new(Client::new(config, seed)),
            now: 1_000,
            connects: 0,
            over: false,
            open: VecDeque::new(),
            posts: Vec::new(),
            events: Vec::new(),
            shown: String::new(),
        };
        play.input(Input::Start).unwrap();
        play.input(Input::Connected { link: LINK, info }).unwrap();
        play
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
        assert_eq!(play.sent("iq").len(), 1);
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
        let result = self.client.handle(Instant::from_millis(self.now), input);
        while let Some(output) = self.client.next() {
            assert!(!self.over, "after Offline: {output:?}");
            let _ = writeln!(self.shown, "{output:?}");
            match output {
                Output::Connect { .. } => self.connects += 1,
                Output::Post { request, body, .. } => {
                    self.open.push_back(request);
                    self.posts.push(String::from_utf8(body).unwrap());
                }
                Output::Abandon { request, .. } => self.open.retain(|open| *open != request),
                Output::Event(event) => {
                    if let Event::Offline { reason } = &event {
                        self.over = true;
                        let _ = writeln!(self.shown, "{reason}");
                    }
                    self.events.push(event);
                }
                Output::Close { .. } | _ => {}
            }
        }
        let _ = writeln!(self.shown, "{:?} {result:?}", self.client.client());
        result
    }

    /// Answers the request that has been open for longest, with a body around `payload`.
    pub(crate) fn answer(&mut self, payload: &str) {
        self.answer_nth(0, payload);
    }

    pub(crate) fn answer_nth(&mut self, nth: usize, payload: &str) {
        self.answer_bytes(nth, format!("{BODY}>{payload}</body>").into_bytes());
    }

    /// As [`Self::answer`], with the attributes of a new session.
    pub(crate) fn create(&mut self, payload: &str) {
        self.answer_bytes(0, format!("{BODY}{CREATED}>{payload}</body>").into_bytes());
    }

    pub(crate) fn answer_bytes(&mut self, nth: usize, body: Vec<u8>) {
        self.now += 20;
        let request = self.open.remove(nth).unwrap();
        let input = Input::Responded {
            link: LINK,
            request,
            status: 200,
            body: Cow::Owned(body),
            tls: None,
        };
        self.input(input).unwrap();
    }

    pub(crate) fn has_open_request(&self) -> bool {
        !self.open.is_empty()
    }

    /// An answer to a request that is not open (any more).
    pub(crate) fn answer_stray(&mut self, payload: &str) {
        let input = Input::Responded {
            link: LINK,
            request: RequestId(1),
            status: 200,
            body: Cow::Owned(format!("{BODY}>{payload}</body>").into_bytes()),
            tls: None,
        };
        self.input(input).unwrap();
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
                return;
            }
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
        assert_eq!(self.connects, 1, "{case}: no new try by itself");
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

    /// The recording, as text.
    pub(crate) fn log(self) -> (String, Vec<Entry>) {
        let log = Log {
            header: self.header,
            entries: self.client.into_entries(),
        };
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
        let client_first_bare = play.sasl_messages()[0].strip_prefix("n,,").unwrap().to_owned();
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
