//! A host for one client. It carries out nothing, but checks each output against the contract: what may come, how often, and in which order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use epode::config::{Bosh, Credentials, Limits, MechanismPolicy, Transport};
use epode::xml::{Element, XmlLimits, parse_document_stream};
use epode::{
    Client, Config, Event, Failure, Input, Instant, LinkId, LinkInfo, Output, Refused, RequestId, ServerProof, Stage,
    Timer, TlsPolicy, Token, Verified,
};

use crate::server::Server;

pub const PASSWORD: &str = "canary-Qm5wd";
pub const DOMAIN: &str = "example.org";
const ACCOUNT: &str = "user@example.org";

/// What an application decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    pub login: Login,
    pub allow_plain: bool,
    pub plaintext: bool,
    pub small: bool,
    pub max_requests: u8,
    pub resource: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    #[default]
    Certificate,
    Password,
    Both,
}

pub struct Host {
    pub client: Client,
    pub server: Server,
    choices: Choices,
    now: u64,
    life: Option<Life>,
    pub links: u64,
    last_request: u64,
    /// Requests of others that the application was asked to answer.
    pub asked: Vec<Token>,
    pub tokens: Vec<Token>,
    /// Everything that came out, as one number, so that two runs can be compared.
    digest: u64,
    secrets: Vec<String>,
    known: bool,
}

/// From `Start` to `Offline`.
#[derive(Default)]
struct Life {
    link: Option<LinkId>,
    verified: bool,
    connected: bool,
    closed: bool,
    online: bool,
    outstanding: VecDeque<(RequestId, u64, Vec<u8>)>,
    bodies: BTreeMap<u64, Vec<u8>>,
    sends: BTreeMap<Token, Stage>,
    requests: BTreeSet<Token>,
    /// At most this many requests, by the answer that created the session.
    window: usize,
    first: Option<RequestId>,
}

impl Host {
    /// `input` is what the fuzzer made: a password that is in it (it learns from comparisons) can come out without a leak.
    pub fn new(choices: Choices, input: &[u8]) -> Self {
        let secrets = secrets();
        let known = secrets.iter().any(|secret| contains(input, &secret.as_bytes()[..8]));
        let credentials = match choices.login {
            Login::Certificate => Credentials::certificate("user", None),
            Login::Password => Credentials::password(PASSWORD),
            Login::Both => Credentials::certificate_and_password("user", PASSWORD),
        };
        let mut mechanisms = MechanismPolicy::default();
        mechanisms.allow_plain = choices.allow_plain;
        // Thousands of rounds would be all that the fuzzer does.
        mechanisms.scram.min = 1;
        mechanisms.scram.max = 64;
        let mut limits = Limits::default();
        if choices.small {
            limits.outbound_queue = 2_000;
            limits.outbound_stanza = 700;
            limits.inbound_queue = 4_000;
            limits.pending_requests = 3;
            limits.element_before_login = 2_000;
            limits.element = 3_000;
            limits.bosh_body = 6_000;
        }
        let bosh = Bosh {
            max_requests: choices.max_requests,
            ..Bosh::new("https://example.org/http-bind")
        };
        let account = if choices.resource {
            "user@example.org/desk"
        } else {
            ACCOUNT
        };
        let config = Config::builder(account.parse().expect("an account"))
            .credentials(credentials)
            .transport(Transport::Bosh(bosh))
            .tls(if choices.plaintext {
                TlsPolicy::AllowPlaintext
            } else {
                TlsPolicy::Required
            })
            .mechanisms(mechanisms)
            .limits(limits)
            .answers("urn:answered")
            .build()
            .expect("a configuration");
        Self {
            client: Client::new(config, [7; 32]),
            server: Server::default(),
            choices,
            now: 1_000,
            life: None,
            links: 0,
            last_request: 0,
            asked: Vec::new(),
            tokens: Vec::new(),
            digest: 0,
            secrets: if known { Vec::new() } else { secrets },
            known,
        }
    }

    /// Hands over an input at the current time, and checks all that comes out.
    pub fn feed(&mut self, input: Input<'_>) -> Result<Option<Token>, Refused> {
        self.feed_at(self.now, input)
    }

    fn feed_at(&mut self, at: u64, input: Input<'_>) -> Result<Option<Token>, Refused> {
        let is_start = matches!(input, Input::Start);
        let kind = input.name();
        let bytes = match &input {
            Input::Responded { body, .. } => body.len(),
            _ => 0,
        };
        let before = self.life.as_ref().map_or(0, |life| {
            life.sends.len() + life.requests.len() + life.outstanding.len()
        });
        let result = self.client.handle(Instant::from_millis(at), input);
        if is_start {
            // A second `Start` is refused exactly as long as the first one lasts.
            assert_eq!(result.is_err(), self.life.is_some());
            if result.is_ok() {
                let window = usize::from(self.choices.max_requests.max(1));
                self.life = Some(Life {
                    window,
                    ..Life::default()
                });
                self.server = Server::default();
            }
        }
        if let (Ok(Some(token)), Some(life)) = (&result, &mut self.life) {
            self.tokens.push(*token);
            match kind {
                "Request" => assert!(life.requests.insert(*token), "{token} is not new"),
                _ => assert!(life.sends.insert(*token, Stage::Queued).is_none(), "{token} is not new"),
            }
        }
        let outputs = self.drain();
        // Each element of an answer leads to an event and an answer at most; each promise is settled once.
        assert!(
            outputs <= 64 + bytes / 2 + 4 * before,
            "{outputs} outputs after {kind} of {bytes} bytes"
        );
        if result.is_err() {
            assert_eq!(outputs, 0, "after an error nothing has changed");
        }
        result
    }

    /// Time passes, forwards or backwards.
    pub fn advance(&mut self, milliseconds: u64) {
        self.now += milliseconds;
    }

    /// An earlier time than the last counts as the last.
    pub fn tick_in_the_past(&mut self) {
        let _ = self.feed_at(self.now.saturating_sub(500), Input::Tick);
    }

    pub fn tick(&mut self) {
        let _ = self.feed(Input::Tick);
    }

    /// Sleeps until the deadline. A deadline that is still there afterwards would make a host spin.
    pub fn tick_at_deadline(&mut self) -> bool {
        let Some((at, _)) = self.client.deadline() else {
            assert!(
                self.life.is_none() || self.is_paused(),
                "a client that is not offline waits for something"
            );
            return false;
        };
        self.now = self.now.max(at.as_millis());
        self.tick();
        if let Some((at, timer)) = self.client.deadline() {
            assert!(at.as_millis() > self.now, "{timer} is still due");
        }
        true
    }

    /// The current link, or the one that was last.
    pub fn link(&self) -> LinkId {
        LinkId(self.links)
    }

    pub fn is_started(&self) -> bool {
        self.life.is_some()
    }

    pub fn is_online(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.online)
    }

    fn is_paused(&self) -> bool {
        self.server.paused
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// A request without an answer: the oldest, the second oldest...
    pub fn outstanding(&self, index: usize) -> Option<(RequestId, Vec<u8>)> {
        let outstanding = &self.life.as_ref()?.outstanding;
        let (request, _, body) = outstanding.get(index % outstanding.len().max(1))?;
        Some((*request, body.clone()))
    }

    pub fn is_outstanding(&self, request: RequestId) -> bool {
        let outstanding = self.life.iter().flat_map(|life| &life.outstanding);
        outstanding.into_iter().any(|(waiting, ..)| *waiting == request)
    }

    pub fn connect(&mut self, info: LinkInfo) -> Result<Option<Token>, Refused> {
        let expected = matches!(&info.verified, Verified::Host { name } | Verified::Platform { name } if info.encrypted && name.eq_ignore_ascii_case(DOMAIN));
        if let Some(life) = &mut self.life
            && !life.connected
        {
            life.connected = true;
            life.verified = expected;
        }
        let link = self.link();
        self.feed(Input::Connected { link, info })
    }

    pub fn answer(&mut self, request: RequestId, status: u16, body: &[u8]) {
        if let Some(life) = &mut self.life {
            life.outstanding.retain(|(waiting, ..)| *waiting != request);
            if life.first == Some(request) && status == 200 {
                life.window = life.window.min(window(body));
            }
        }
        let input = Input::Responded {
            link: self.link(),
            request,
            status,
            body: Cow::Borrowed(body),
            tls: None,
        };
        let result = self.feed(input);
        assert_eq!(result, Ok(None), "what a server does is never an error of the host's");
    }

    pub fn fail(&mut self, request: Option<RequestId>, reason: Failure) {
        if let (Some(request), Some(life)) = (request, &mut self.life) {
            life.outstanding.retain(|(waiting, ..)| *waiting != request);
        }
        let link = self.link();
        assert_eq!(self.feed(Input::Failed { link, request, reason }), Ok(None));
    }

    /// The rest of the life: nothing more is answered, and still there is an end.
    pub fn wind_up(&mut self) {
        if self.is_paused() {
            self.server.paused = false;
            let (link, reading) = (self.link(), true);
            let _ = self.feed(Input::Reading { link, reading });
        }
        if self.life.is_some() {
            let _ = self.feed(Input::Stop);
        }
        for _ in 0..500 {
            if self.life.is_none() {
                assert_eq!(self.client.deadline(), None, "an offline client waits for nothing");
                return;
            }
            assert!(self.tick_at_deadline(), "a client that leaves has a deadline");
        }
        panic!("a client that was stopped does not stop");
    }

    fn drain(&mut self) -> usize {
        let mut count = 0;
        loop {
            let deadline = self.client.deadline();
            let Some(output) = self.client.next() else {
                assert!(
                    !matches!(deadline, Some((_, Timer::Output))),
                    "no output although one is due"
                );
                self.check_secrets(&format!("{:?}", self.client));
                return count;
            };
            assert_eq!(
                deadline.map(|(_, timer)| timer),
                Some(Timer::Output),
                "an output waits, so the deadline is now"
            );
            count += 1;
            self.output(output);
        }
    }

    fn output(&mut self, output: Output) {
        let shown = format!("{output:?}");
        self.check_secrets(&shown);
        let body = match &output {
            Output::Post { body, .. } => body.as_slice(),
            _ => &[],
        };
        for byte in shown.as_bytes().iter().chain(body) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let Some(life) = &mut self.life else {
            panic!("offline, but {shown}");
        };
        match output {
            Output::Connect { link, server_name, .. } => {
                assert_eq!(life.link, None, "one link");
                assert!(link.0 > self.links, "{link} is not new");
                assert_eq!(server_name, DOMAIN);
                self.links = link.0;
                life.link = Some(link);
            }
            Output::Post {
                link,
                request,
                body,
                deadline,
            } => {
                assert!(
                    life.connected && !life.closed && life.link == Some(link),
                    "no link to post on"
                );
                assert!(
                    life.verified || self.choices.plaintext,
                    "a request without verified TLS"
                );
                assert!(request.0 > self.last_request, "{request} is not new");
                self.last_request = request.0;
                life.first.get_or_insert(request);
                assert!(deadline.as_millis() > self.now, "a deadline in the past");
                let rid = check_body(&body, self.known, life.verified && self.choices.allow_plain);
                if let Some(before) = life.bodies.insert(rid, body.clone()) {
                    assert_eq!(before, body, "rid {rid} is used for two bodies");
                }
                // A request that is sent again replaces the one before it.
                assert!(
                    !life.outstanding.iter().any(|(_, other, _)| *other == rid),
                    "rid {rid} is under way twice"
                );
                life.outstanding.push_back((request, rid, body));
                let most = life.window + 1;
                assert!(
                    life.outstanding.len() <= most,
                    "{} requests at once, not {most}",
                    life.outstanding.len()
                );
            }
            Output::Abandon { link, request } => {
                assert!(!life.closed && life.link == Some(link), "no such link");
                let before = life.outstanding.len();
                life.outstanding.retain(|(waiting, ..)| *waiting != request);
                assert_ne!(life.outstanding.len(), before, "{request} is not under way");
            }
            Output::Close { link } => {
                assert!(!life.closed && life.link == Some(link), "no such link");
                life.closed = true;
                // What was not abandoned goes out, but nobody waits for its answer.
                assert!(life.outstanding.len() <= 1, "left under way: {:?}", life.outstanding);
            }
            Output::Event(event) => self.event(event),
            other => panic!("an output of another transport: {other:?}"),
        }
    }

    fn event(&mut self, event: Event) {
        let Some(life) = &mut self.life else { return };
        match event {
            Event::Online {
                jid,
                mechanism,
                server_proof,
                ..
            } => {
                assert!(!life.online, "online twice");
                life.online = true;
                assert_eq!(jid.bare().to_string(), ACCOUNT, "another account");
                assert!(jid.resource().is_some(), "a full JID");
                let with_password = self.choices.login != Login::Certificate;
                match mechanism.as_str() {
                    "EXTERNAL" => assert!(self.choices.login == Login::Certificate && life.verified),
                    "PLAIN" => assert!(with_password && self.choices.allow_plain && life.verified),
                    scram if scram.starts_with("SCRAM-") => {
                        assert!(with_password && server_proof == ServerProof::Verified);
                        assert!(self.server.proved, "nobody proved to know the password");
                    }
                    other => panic!("logged in by {other}"),
                }
            }
            Event::Offline { .. } => {
                assert!(life.closed || life.link.is_none(), "the link is left open");
                let unsettled: Vec<_> = life.sends.iter().filter(|(_, stage)| **stage < Stage::Acked).collect();
                assert!(unsettled.is_empty(), "no last word on {unsettled:?}");
                assert!(life.requests.is_empty(), "no result for {:?}", life.requests);
                assert_eq!(self.client.next(), None, "Offline is last");
                assert_eq!(self.client.jid(), None);
                self.life = None;
            }
            Event::Stanza { stanza, .. } => {
                assert!(life.online, "a stanza before the login is over");
                assert!(matches!(stanza.name(), "message" | "presence"));
            }
            Event::Request { token, .. } => {
                assert!(life.online, "a request before the login is over");
                self.asked.push(token);
            }
            Event::IqDone { token, .. } => {
                assert!(life.requests.remove(&token), "{token} has no request, or two results")
            }
            Event::Delivery { token, stage } => {
                // `Queued` comes within `handle`, before the host knows the token.
                let last = life.sends.get_mut(&token);
                let last = last.unwrap_or_else(|| panic!("{token} was never sent"));
                let first = *last == Stage::Queued;
                let fits = match stage {
                    Stage::Queued | Stage::Sent => first,
                    Stage::Acked => *last == Stage::Sent,
                    Stage::Failed => *last < Stage::Acked,
                };
                assert!(fits, "{token}: {stage:?} after {last:?}");
                *last = stage;
            }
            Event::Writable | Event::Warning(_) => {}
            other => panic!("an event of something that is not there: {other:?}"),
        }
    }

    /// Looks for the password in what Debug shows.
    fn check_secrets(&self, shown: &str) {
        for secret in &self.secrets {
            assert!(!shown.contains(secret), "Debug shows the password ({secret}): {shown}");
        }
    }
}

/// The password as it is, in base64 as a part of SASL PLAIN, and both as the numbers that Debug makes of bytes.
fn secrets() -> Vec<String> {
    let plain = STANDARD.encode(format!("\0user\0{PASSWORD}"));
    let numbers = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_string();
    // The last character of the base64 without its padding depends on nothing that follows.
    let plain = plain.trim_end_matches('=').to_string();
    vec![numbers(PASSWORD), numbers(&plain), plain, PASSWORD.to_string()]
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A body is XML with a rid that XEP-0124 allows, and has no password in it but as SASL PLAIN where that is allowed. Gives the rid.
fn check_body(body: &[u8], known: bool, plain: bool) -> u64 {
    let mut limits = XmlLimits::default();
    limits.element_bytes = 8 * 1024 * 1024;
    limits.depth = 1_000;
    let text = std::str::from_utf8(body).expect("a body is text");
    let element = Element::parse(body, &limits).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(element.is("http://jabber.org/protocol/httpbind", "body"), "{text}");
    assert!(known || !text.contains(PASSWORD), "the password itself: {text}");
    for auth in element
        .children()
        .filter(|child| child.namespace() == "urn:ietf:params:xml:ns:xmpp-sasl")
    {
        let data = STANDARD.decode(auth.text().as_bytes()).unwrap_or_default();
        let has_password = !known && data.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
        assert!(
            !has_password || (plain && auth.attribute("mechanism") == Some("PLAIN")),
            "the password: {text}"
        );
    }
    let rid = element.attribute("rid").and_then(|rid| rid.parse().ok());
    let rid: u64 = rid.unwrap_or_else(|| panic!("no rid: {text}"));
    assert!(rid < 1 << 53, "XEP-0124 §14.1");
    rid
}

/// How many requests the answer that creates a session allows, if it is one.
fn window(body: &[u8]) -> usize {
    let parsed = parse_document_stream(
        body,
        &XmlLimits::default(),
        &[("stream", "http://etherx.jabber.org/streams")],
    );
    let requests = parsed
        .ok()
        .and_then(|(root, _)| root.attribute("requests")?.trim().parse().ok());
    requests.map_or(usize::MAX, |requests: usize| requests.max(1))
}
