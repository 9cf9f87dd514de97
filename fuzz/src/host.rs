//! A host for one client. It carries out nothing, but checks each output against the contract: what may come, how often, and in which order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use epode::config::{
    Acknowledge, Bosh, Credentials, Discover, Limits, MechanismPolicy, Persist, Reconnect, ReconnectWhen,
    StreamManagement, Transport,
};
use epode::xml::{Element, XmlLimits, parse_document_stream};
use epode::{
    Answer, Client, Config, Event, Failure, Input, Instant, LinkId, LinkInfo, Network, Output, QueryId, Question,
    Refused, RequestId, Secret, ServerProof, Slot, Stage, TcpTls, Timer, TlsPolicy, Token, TransportKind,
};

use crate::server::Server;
use crate::wire::{Item, Link, Rules, check_endpoint, check_secret, generous};

pub const PASSWORD: &str = "canary-Qm5wd";
pub const DOMAIN: &str = "example.org";
const ACCOUNT: &str = "user@example.org";

/// For whoever looks into a crash: with this variable set, all inputs and outputs are printed.
static SHOW: LazyLock<bool> = LazyLock::new(|| std::env::var_os("EPODE_FUZZ_SHOW").is_some());

/// What an application decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    pub way: Way,
    pub login: Login,
    pub allow_plain: bool,
    pub plaintext: bool,
    pub small: bool,
    pub max_requests: u8,
    pub resource: bool,
    pub reconnect: ReconnectWhen,
    /// Give up after so many attempts.
    pub attempts: Option<u32>,
    pub persist: Persist,
    /// Received stanzas count as handled when the application says so.
    pub manual: bool,
    pub resend_uncertain: bool,
    pub no_stream_management: bool,
    /// What is restored was not stored by a client: it may be about anybody and anything.
    pub foreign: bool,
}

/// How the server is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    #[default]
    Bosh,
    StartTls,
    Direct,
    WebSocket,
    Discover,
    /// All of them, one after the other.
    All,
}

impl Way {
    /// A letter for each; any other byte is one of them too.
    pub fn of(byte: u8) -> Self {
        match byte {
            b'B' => Self::Bosh,
            b'T' => Self::StartTls,
            b'D' => Self::Direct,
            b'W' => Self::WebSocket,
            b'F' => Self::Discover,
            b'A' => Self::All,
            other => [
                Self::StartTls,
                Self::Bosh,
                Self::WebSocket,
                Self::Direct,
                Self::Discover,
                Self::All,
            ][usize::from(other) % 6],
        }
    }
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
    config: Config,
    choices: Choices,
    now: u64,
    life: Option<Life>,
    pub links: u64,
    last_request: u64,
    last_query: u64,
    network_down: bool,
    /// Requests of others that the application was asked to answer.
    pub asked: Vec<Token>,
    /// Stanzas that the application has to deal with.
    pub received: Vec<Token>,
    pub tokens: Vec<Token>,
    /// TCP cuts what the server says into pieces of so many bytes; 0: not at all.
    pub cut: usize,
    /// Slot `Session`.
    pub stored: Vec<u8>,
    /// The process ends after so many more outputs of the next turn.
    kill_after: Option<usize>,
    /// What an earlier process knew.
    past: Past,
    restores: u8,
    /// Everything that came out, as one number, so that two runs can be compared.
    digest: u64,
    secrets: Vec<String>,
    known: bool,
}

/// What a process knew when it ended.
#[derive(Default)]
struct Past {
    sends: BTreeMap<Token, Sent>,
    bodies: BTreeMap<u64, Vec<u8>>,
}

/// A stanza of the application's.
#[derive(Clone, Copy, Debug)]
struct Sent {
    stage: Stage,
    /// The application was told that it is queued.
    promised: bool,
    /// The last link on which it was written.
    written_on: u64,
    /// There has to be a last word.
    owed: bool,
    /// Of an earlier process: what was told then may be told again.
    again: bool,
}

/// From `Start` to `Offline`.
#[derive(Default)]
struct Life {
    link: Option<Link>,
    online: bool,
    queries: Vec<(QueryId, Question)>,
    sends: BTreeMap<Token, Sent>,
    requests: BTreeSet<Token>,
    bodies: BTreeMap<u64, Vec<u8>>,
    /// How much the client said: what it may have to say again.
    said: usize,
}

impl Host {
    /// `input` is what the fuzzer made: a password that is in it (it learns from comparisons) can come out without a leak.
    pub fn new(choices: Choices, input: &[u8]) -> Self {
        let secrets = secrets();
        let known = secrets.iter().any(|secret| contains(input, &secret.as_bytes()[..8]));
        let config = config(choices);
        Self {
            client: Client::new(config.clone(), [7; 32]),
            server: Server::default(),
            config,
            choices,
            now: 1_000,
            life: None,
            links: 0,
            last_request: 0,
            last_query: 0,
            network_down: false,
            asked: Vec::new(),
            received: Vec::new(),
            tokens: Vec::new(),
            cut: 0,
            stored: Vec::new(),
            kill_after: None,
            past: Past::default(),
            restores: 0,
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
            Input::Received { bytes, .. } => bytes.len(),
            Input::Start => self.stored.len(),
            _ => 0,
        };
        if let Input::Network(network) = &input {
            self.network_down = *network == Network::Down;
        }
        let shown = format!("{input:?}");
        self.check_secrets(&shown);
        if *SHOW {
            eprintln!("{at:>8} > {shown}");
        }
        let before = self.life.as_ref().map_or(0, |life| {
            let under_way = life.link.as_ref().map_or(0, |link| link.outstanding.len());
            life.sends.len() + life.requests.len() + under_way + life.said
        });
        let result = self.client.handle(Instant::from_millis(at), input);
        if is_start {
            // A second `Start` is refused exactly as long as the first one lasts.
            assert_eq!(result.is_err(), self.life.is_some());
            if result.is_ok() {
                let past = std::mem::take(&mut self.past);
                self.life = Some(Life {
                    sends: past.sends,
                    bodies: past.bodies,
                    ..Life::default()
                });
            }
        }
        if let (Ok(Some(token)), Some(life)) = (&result, &mut self.life) {
            self.tokens.push(*token);
            match kind {
                "Request" => assert!(life.requests.insert(*token), "{token} is not new"),
                _ => {
                    let sent = Sent {
                        stage: Stage::Queued,
                        promised: false,
                        written_on: 0,
                        owed: true,
                        again: false,
                    };
                    assert!(life.sends.insert(*token, sent).is_none(), "{token} is not new");
                }
            }
        }
        let kill_after = self.kill_after.take();
        let Some(outputs) = self.drain(kill_after) else {
            self.restore();
            return result;
        };
        // Each element of an answer leads to an event and an answer at most; each promise is settled once.
        assert!(
            outputs <= 64 + bytes / 2 + 4 * before,
            "{outputs} outputs after {kind} of {bytes} bytes"
        );
        if result.is_err() {
            assert_eq!(outputs, 0, "after an error nothing has changed");
        }
        if kill_after.is_some() {
            self.restore();
        }
        result
    }

    /// The process ends in the next turn, after so many outputs.
    pub fn kill_after(&mut self, outputs: usize) {
        self.kill_after = Some(outputs);
    }

    /// A new process, with what the one before has stored.
    fn restore(&mut self) {
        let stored = std::mem::take(&mut self.stored);
        assert_eq!(self.begin_with(stored), Ok(None), "what was stored can be restored");
    }

    /// A new process, with these bytes in slot `Session`.
    pub fn begin_with(&mut self, stored: Vec<u8>) -> Result<Option<Token>, Refused> {
        self.restores = self.restores.wrapping_add(1);
        self.client = Client::new(self.config.clone(), [self.restores; 32]);
        if let Some(life) = self.life.take() {
            let bodies = life.link.into_iter().flat_map(|link| link.bodies);
            self.past.bodies = life.bodies.into_iter().chain(bodies).collect();
            self.past.sends = life.sends;
        }
        for sent in self.past.sends.values_mut() {
            let kept = self.choices.persist == Persist::EveryTurn;
            sent.owed = kept && sent.promised && sent.owed && sent.stage < Stage::Acked;
            sent.again = true;
            sent.written_on = 0;
        }
        if stored.is_empty() {
            // The new process knows nothing, and begins to count anew.
            self.past.sends.retain(|_, sent| sent.owed);
            self.past.bodies.clear();
        }
        (self.links, self.last_request, self.last_query) = (0, 0, 0);
        self.network_down = false;
        self.asked.clear();
        self.received.clear();
        let (slot, bytes) = (Slot::Session, Secret::new(stored.clone()));
        let result = self.feed(Input::Restore { slot, bytes });
        if result.is_ok() {
            self.stored = stored;
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
                self.life.is_none() || self.is_paused() || self.network_down,
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
        self.present().is_some_and(|link| link.paused)
    }

    /// The link that is not closed.
    pub fn present(&self) -> Option<&Link> {
        self.life.as_ref()?.link.as_ref()
    }

    fn present_mut(&mut self) -> Option<&mut Link> {
        self.life.as_mut()?.link.as_mut()
    }

    /// The link that carries a stream.
    pub fn streams(&self) -> bool {
        self.present().is_some_and(|link| link.kind() != TransportKind::Bosh)
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// A request without an answer: the oldest, the second oldest...
    pub fn outstanding(&self, index: usize) -> Option<(RequestId, Vec<u8>)> {
        let outstanding = &self.present()?.outstanding;
        let (request, _, body) = outstanding.get(index % outstanding.len().max(1))?;
        Some((*request, body.clone()))
    }

    pub fn is_outstanding(&self, request: RequestId) -> bool {
        let outstanding = self.present().into_iter().flat_map(|link| &link.outstanding);
        outstanding.into_iter().any(|(waiting, ..)| *waiting == request)
    }

    /// A question without an answer.
    pub fn question(&self, index: usize) -> Option<(QueryId, Question)> {
        let queries = &self.life.as_ref()?.queries;
        queries.get(index % queries.len().max(1)).cloned()
    }

    pub fn resolve(&mut self, query: QueryId, answer: Answer<'_>) {
        if let Some(life) = &mut self.life {
            life.queries.retain(|(other, _)| *other != query);
        }
        assert_eq!(self.feed(Input::Resolved { query, answer }), Ok(None));
    }

    /// The link comes up as it should.
    pub fn connect_well(&mut self) {
        let info = self.present().map(Link::good_info).unwrap_or_default();
        let _ = self.connect(info);
    }

    pub fn connect(&mut self, info: LinkInfo) -> Result<Option<Token>, Refused> {
        let link = self.link();
        if let Some(present) = self.present_mut() {
            present.connect(&info);
        }
        self.feed(Input::Connected { link, info })
    }

    pub fn reading(&mut self, reading: bool) {
        let link = self.link();
        if let Some(present) = self.present_mut() {
            present.paused = !reading;
        }
        let _ = self.feed(Input::Reading { link, reading });
    }

    /// What the server says on a stream: on TCP in pieces, on WebSocket as one message.
    pub fn receive(&mut self, bytes: &[u8]) {
        let link = self.link();
        let whole = self.cut == 0 || self.present().is_none_or(|link| link.kind() != TransportKind::Tcp);
        let size = if whole { bytes.len().max(1) } else { self.cut };
        for piece in bytes.chunks(size) {
            let bytes = Cow::Borrowed(piece);
            let result = self.feed(Input::Received { link, bytes });
            assert_eq!(result, Ok(None), "what a server does is never an error of the host's");
            if !self.streams() {
                return;
            }
        }
    }

    /// All that was given has left.
    pub fn written(&mut self) {
        let bytes = self.present().map_or(0, |link| link.unwritten);
        if bytes > 0 && self.streams() {
            self.written_of(bytes);
        }
    }

    /// So many bytes have left, as the host says; it may be wrong.
    pub fn written_of(&mut self, bytes: u64) {
        let link = self.link();
        if let Some(present) = self.present_mut() {
            present.unwritten = present.unwritten.saturating_sub(bytes);
        }
        let _ = self.feed(Input::Written { link, bytes });
    }

    /// The oldest thing on the stream that the server has not answered, and the answer of a good server.
    pub fn stream_answer(&mut self) -> Option<(bool, Vec<String>)> {
        let link = self.life.as_mut()?.link.as_mut()?;
        let item = link.items.pop_front()?;
        let answer = self.server.on_stream(link, &item);
        Some((matches!(item, Item::Close), answer))
    }

    pub fn answer(&mut self, request: RequestId, status: u16, body: &[u8]) {
        if let Some(link) = self.present_mut() {
            link.outstanding.retain(|(waiting, ..)| *waiting != request);
            if link.first == Some(request) && status == 200 {
                link.window = link.window.min(window(body));
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
        if let (Some(request), Some(link)) = (request, self.present_mut()) {
            link.outstanding.retain(|(waiting, ..)| *waiting != request);
        }
        let link = self.link();
        assert_eq!(self.feed(Input::Failed { link, request, reason }), Ok(None));
    }

    /// The rest of the life: nothing more is answered, and still there is an end.
    pub fn wind_up(&mut self) {
        self.kill_after = None;
        if self.network_down {
            let _ = self.feed(Input::Network(Network::Up));
        }
        if self.is_paused() {
            self.reading(true);
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

    /// How many outputs there were; `None` where the process ended before the last one.
    fn drain(&mut self, kill_after: Option<usize>) -> Option<usize> {
        let mut count = 0;
        loop {
            let deadline = self.client.deadline();
            let output = self.client.next();
            let Some(output) = output else {
                assert!(
                    !matches!(deadline, Some((_, Timer::Output))),
                    "no output although one is due"
                );
                self.check_secrets(&format!("{:?}", self.client));
                let _ = self.client.wants_read();
                return Some(count);
            };
            if kill_after == Some(count) {
                // What replaces a slot is there or not; what is put behind it may be there in part.
                if let Output::Store {
                    append: true, bytes, ..
                } = output
                {
                    let bytes = bytes.expose();
                    self.stored.extend_from_slice(&bytes[..bytes.len() / 2]);
                }
                return None;
            }
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
        if *SHOW {
            eprintln!("         < {shown}");
        }
        let body = match &output {
            Output::Post { body, .. } => body.as_slice(),
            Output::Write { bytes, .. } => bytes.as_slice(),
            Output::Frame { text, .. } => text.as_bytes(),
            Output::Store { bytes, .. } => bytes.expose(),
            _ => &[],
        };
        for byte in shown.as_bytes().iter().chain(body) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let rules = Rules {
            plaintext: self.choices.plaintext,
            allow_plain: self.choices.allow_plain,
            known: self.known,
            foreign: self.choices.foreign,
        };
        if let Output::Store { slot, append, bytes } = output {
            return self.store(slot, append, bytes.expose());
        }
        let (now, foreign) = (self.now, self.choices.foreign);
        let Some(life) = &mut self.life else {
            panic!("offline, but {shown}");
        };
        // What is said on a link is said on the one that there is.
        let on = |present: &mut Option<Link>, link: LinkId| {
            assert!(
                present.as_ref().is_some_and(|present| present.id == link),
                "no such link: {shown}"
            );
        };
        match output {
            Output::Resolve {
                query,
                question,
                deadline,
            } => {
                assert!(query.0 > self.last_query, "{query} is not new");
                assert!(!self.network_down, "a question without a network");
                self.last_query = query.0;
                assert!(deadline.as_millis() > now, "a deadline in the past");
                let good = match &question {
                    Question::Srv { name } => {
                        name == "_xmpps-client._tcp.example.org" || name == "_xmpp-client._tcp.example.org"
                    }
                    Question::Document { url, max_bytes } => {
                        url.starts_with("https://example.org/.well-known/host-meta") && *max_bytes <= 64 * 1024
                    }
                    _ => false,
                };
                assert!(good, "{question:?}");
                life.queries.push((query, question));
            }
            Output::Connect {
                link,
                endpoint,
                server_name,
                identity,
                ..
            } => {
                assert!(life.link.is_none(), "one link");
                assert!(!self.network_down, "a link without a network");
                assert!(link.0 > self.links, "{link} is not new");
                assert_eq!(identity.is_some(), self.choices.login != Login::Password);
                check_endpoint(&endpoint, &server_name, DOMAIN, rules.plaintext);
                self.links = link.0;
                self.server.new_link();
                let window = match self.choices.way {
                    Way::Bosh => usize::from(self.choices.max_requests.max(1)),
                    _ => usize::from(self.choices.max_requests.max(Bosh::new("").max_requests)),
                };
                let mut new = Link::new(link, endpoint, server_name, window);
                new.bodies = std::mem::take(&mut life.bodies);
                life.link = Some(new);
            }
            Output::Write { link, bytes } => {
                on(&mut life.link, link);
                if let Some(link) = &mut life.link {
                    let items = link.items.len();
                    link.write(&bytes, rules);
                    life.said += link.items.len() - items;
                }
            }
            Output::Frame { link, text } => {
                on(&mut life.link, link);
                life.said += 1;
                if let Some(link) = &mut life.link {
                    link.frame(&text, rules);
                }
            }
            Output::StartTls { link, server_name } => {
                on(&mut life.link, link);
                if let Some(link) = &mut life.link {
                    link.start_tls(&server_name);
                }
            }
            Output::Post {
                link,
                request,
                body,
                deadline,
            } => {
                on(&mut life.link, link);
                let Some(link) = &mut life.link else { return };
                assert!(link.connected, "no link to post on");
                assert!(link.verified || rules.plaintext, "a request without verified TLS");
                assert!(request.0 > self.last_request, "{request} is not new");
                self.last_request = request.0;
                link.first.get_or_insert(request);
                assert!(deadline.as_millis() > now, "a deadline in the past");
                if foreign {
                    link.outstanding.push_back((request, request.0, body));
                    return;
                }
                let rid = check_body(&body, link.verified, rules);
                if let Some(before) = link.bodies.insert(rid, body.clone()) {
                    assert_eq!(before, body, "rid {rid} is used for two bodies");
                }
                // A request that is sent again replaces the one before it.
                assert!(
                    !link.outstanding.iter().any(|(_, other, _)| *other == rid),
                    "rid {rid} is under way twice"
                );
                link.outstanding.push_back((request, rid, body));
                let most = link.window + 1;
                assert!(
                    link.outstanding.len() <= most,
                    "{} requests at once, not {most}",
                    link.outstanding.len()
                );
            }
            Output::Abandon { link, request } => {
                on(&mut life.link, link);
                let Some(link) = &mut life.link else { return };
                let before = link.outstanding.len();
                link.outstanding.retain(|(waiting, ..)| *waiting != request);
                assert_ne!(link.outstanding.len(), before, "{request} is not under way");
            }
            Output::Close { link } => {
                on(&mut life.link, link);
                let Some(link) = life.link.take() else { return };
                // What was not abandoned goes out, but nobody waits for its answer.
                assert!(link.outstanding.len() <= 1, "left under way: {:?}", link.outstanding);
                life.bodies = link.bodies;
            }
            Output::Event(event) => self.event(event),
            other => panic!("an output that is not there: {other:?}"),
        }
    }

    fn store(&mut self, slot: Slot, append: bool, bytes: &[u8]) {
        assert_eq!(slot, Slot::Session);
        let allowed = self.choices.persist != Persist::Off || (self.choices.foreign && bytes.is_empty());
        assert!(allowed, "nobody asked for it");
        let secret = contains(bytes, PASSWORD.as_bytes());
        assert!(self.known || !secret, "the password is stored");
        if !append {
            self.stored.clear();
        }
        self.stored.extend_from_slice(bytes);
    }

    fn event(&mut self, event: Event) {
        let foreign = self.choices.foreign;
        let Some(life) = &mut self.life else { return };
        match event {
            Event::Online {
                jid,
                mechanism,
                server_proof,
                resumed,
                ..
            } => {
                assert!(!life.online, "online twice");
                life.online = true;
                let Some(link) = &life.link else {
                    panic!("online without a link");
                };
                assert!(jid.resource().is_some() || foreign, "a full JID");
                assert!(foreign || jid.bare().to_string() == ACCOUNT, "another account");
                let with_password = self.choices.login != Login::Certificate;
                match mechanism.as_str() {
                    "EXTERNAL" => assert!(self.choices.login == Login::Certificate && link.verified),
                    "PLAIN" => assert!(with_password && self.choices.allow_plain && link.verified),
                    scram if scram.starts_with("SCRAM-") => {
                        assert!(with_password && server_proof == ServerProof::Verified);
                        assert!(self.server.proved, "nobody proved to know the password");
                    }
                    // A session of BOSH that was restored needs no login.
                    "" => assert!(resumed && link.kind() == TransportKind::Bosh && self.restores > 0),
                    other => panic!("logged in by {other}"),
                }
            }
            Event::Interrupted { retry_at, .. } => {
                life.online = false;
                assert!(life.link.is_none(), "the link is left open");
                assert!(
                    retry_at.is_none_or(|at| at.as_millis() >= self.now),
                    "a retry in the past"
                );
                assert_ne!(self.choices.reconnect, ReconnectWhen::Never);
            }
            Event::Offline { .. } => {
                assert!(life.link.is_none(), "the link is left open");
                let unsettled: Vec<_> = life.sends.iter().filter(|(_, sent)| sent.owed).collect();
                assert!(unsettled.is_empty(), "no last word on {unsettled:?}");
                assert!(life.requests.is_empty(), "no result for {:?}", life.requests);
                assert_eq!(self.client.next(), None, "Offline is last");
                assert_eq!(self.client.jid(), None);
                self.life = None;
            }
            Event::Stanza { stanza, token } => {
                assert!(life.online, "a stanza before the login is over");
                assert!(matches!(stanza.name(), "message" | "presence"));
                assert_eq!(token.is_some(), self.choices.manual);
                self.received.extend(token);
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
                let sent = match life.sends.get_mut(&token) {
                    Some(sent) => sent,
                    None if foreign => return,
                    None => panic!("{token} was never sent"),
                };
                // A stream may end before the host could say that a stanza was written; BOSH reports both itself.
                let bosh = self.choices.way == Way::Bosh;
                let fits = match stage {
                    Stage::Queued => sent.stage == Stage::Queued && !sent.promised,
                    // Once on each link: what is sent again after a resumption is written again.
                    Stage::Sent if bosh => sent.stage == Stage::Queued,
                    Stage::Acked if bosh => sent.stage == Stage::Sent,
                    Stage::Sent => sent.stage < Stage::Acked && sent.written_on < self.links,
                    Stage::Acked | Stage::Failed => sent.stage < Stage::Acked,
                };
                assert!(fits || sent.again, "{token}: {stage:?} after {sent:?}");
                sent.promised = true;
                sent.stage = stage;
                if stage == Stage::Sent {
                    sent.written_on = self.links;
                }
                sent.owed &= stage < Stage::Acked;
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

fn config(choices: Choices) -> Config {
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
        limits.unacknowledged = 4;
    }
    let account = if choices.resource {
        "user@example.org/desk"
    } else {
        ACCOUNT
    };
    let acknowledge = if choices.manual {
        Acknowledge::Manual
    } else {
        Acknowledge::Automatic
    };
    let mut builder = Config::builder(account.parse().expect("an account"))
        .credentials(credentials)
        .tls(if choices.plaintext {
            TlsPolicy::AllowPlaintext
        } else {
            TlsPolicy::Required
        })
        .mechanisms(mechanisms)
        .limits(limits)
        .reconnect(Reconnect {
            when: choices.reconnect,
            attempts: choices.attempts,
            ..Reconnect::default()
        })
        .stream_management(StreamManagement {
            enabled: !choices.no_stream_management,
            resend_uncertain: choices.resend_uncertain,
            ..StreamManagement::default()
        })
        .persist(choices.persist)
        .acknowledge(acknowledge)
        .answers("urn:answered");
    let ways = match choices.way {
        Way::All => &[Way::StartTls, Way::Direct, Way::WebSocket, Way::Bosh, Way::Discover][..],
        _ => &[choices.way][..],
    };
    for way in ways {
        builder = match way {
            Way::StartTls => builder.tcp("xmpp.example.org", 5222, TcpTls::StartTls),
            Way::Direct => builder.tcp("xmpp.example.org", 5223, TcpTls::Direct),
            Way::WebSocket => builder.websocket("wss://example.org/ws"),
            Way::Bosh => builder.transport(Transport::Bosh(Bosh {
                max_requests: choices.max_requests,
                ..Bosh::new("https://example.org/http-bind")
            })),
            Way::Discover | Way::All => builder.transport(Transport::Discover(Discover::default())),
        };
    }
    builder.build().expect("a configuration")
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
fn check_body(body: &[u8], verified: bool, rules: Rules) -> u64 {
    let text = std::str::from_utf8(body).expect("a body is text");
    let element = Element::parse(body, &generous()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(element.is("http://jabber.org/protocol/httpbind", "body"), "{text}");
    check_secret(&element, verified, rules);
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
