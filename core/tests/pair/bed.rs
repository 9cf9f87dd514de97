//! The test bed: client, connection manager, and a network that loses, delays, repeats and reorders. Time is virtual and
//! jumps to the next thing that happens, and nowhere else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use epode::config::{Bosh, Reconnect, Timeouts, Transport};
use epode::error::TlsError;
use epode::xml::XmlLimits;
use epode::{
    Client, Config, Credentials, Element, Event, Failure, Input, Instant, LinkId, LinkInfo, Offline, Output, RequestId,
    Stage, Token, stanza,
};

use crate::random::Rng;
use crate::server::{Connection, Parameters, Server};

const LINK: LinkId = LinkId(1);
/// Copies of a request that the network made have a connection of their own, which nobody listens to.
const COPY: u64 = 1 << 32;
/// How often one request may go wrong where the session has to survive.
const FAULTS: u32 = 3;

/// What a schedule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All that goes wrong can be put right; the application leaves when everything has arrived.
    Recoverable,
    /// The application leaves in the middle.
    StopEarly,
    /// From some time on nothing gets through.
    Outage,
    /// The server forgets the session.
    Forgotten,
}

#[derive(Debug)]
enum Happening {
    Arrives(Connection, Vec<u8>),
    Answered(RequestId, u16, String),
    Fails(RequestId, Failure),
    ClientSays,
    ServerSays,
    ClientAsks,
    Stop,
    Forget,
}

/// What the network does with a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    /// The request does not arrive, and the host notices.
    Lost,
    /// The request does not arrive, and nobody notices.
    Swallowed,
    /// It arrives, but its connection is broken before the answer.
    Broken,
    /// It arrives, and nobody notices that the answer does not.
    AnswerSwallowed,
    /// The host says that it failed; it arrives all the same, later.
    Late,
    /// A proxy answers instead.
    Proxy(u16),
    /// It arrives, and a proxy answers instead.
    ProxyAnswer(u16),
    /// It arrives; the server asks for it again (XEP-0124 §17.3).
    Recoverable,
}

#[derive(Debug, Default)]
struct Trouble {
    faults: u32,
    strangers: u32,
}

/// What came of a schedule.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) resends: u64,
    pub(crate) replays: u64,
    pub(crate) reports: u64,
    pub(crate) keys: u64,
    pub(crate) out_of_order: u64,
    pub(crate) messages: u64,
    pub(crate) failed: u64,
}

pub(crate) struct Bed {
    seed: u64,
    kind: Kind,
    parameters: Parameters,
    rng: Rng,
    client: Client,
    server: Server,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    slowest: u64,
    trouble_percent: u64,
    may_swallow: bool,
    outage_from: Option<u64>,
    // The host.
    live: BTreeMap<RequestId, u64>,
    fates: BTreeMap<RequestId, Fate>,
    trouble: BTreeMap<u64, Trouble>,
    last_recoverable: u64,
    posted: BTreeMap<u64, Vec<u8>>,
    outstanding: BTreeSet<u64>,
    goodbye: bool,
    closed: bool,
    // The application.
    tokens: BTreeMap<Token, (u64, Vec<Stage>)>,
    said: u64,
    to_say: u64,
    server_said: u64,
    server_to_say: u64,
    heard: Vec<u64>,
    asked: BTreeMap<Token, u32>,
    to_ask: u64,
    stopped: bool,
    online: bool,
    offline: Option<Offline>,
    outcome: Outcome,
}

/// Says which seed it was, if a schedule fails.
impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "schedule {:?} with seed {} failed at {} ms: {:?}",
                self.kind, self.seed, self.now, self.parameters
            );
        }
    }
}

impl Bed {
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let hold = u8::try_from(rng.range(0..=3)).unwrap();
        let polling_interval = rng.pick(&[None, Some(1), Some(5), Some(10)]);
        let inactivity = rng.pick(&[None, Some(60), Some(300)]);
        let parameters = Parameters {
            hold,
            requests: u8::try_from(rng.range(1..=5)).unwrap(),
            wait: rng.pick(&[0, 1, 5, 20, 60]),
            polling: polling_interval,
            inactivity,
            ack: rng.chance(50),
            legacy: rng.chance(20),
            report: rng.chance(30),
            forgets_namespace: rng.chance(10),
            late_features: rng.chance(20),
            maxpause: rng.pick(&[None, Some(120)]),
        };
        let bosh = Bosh {
            wait: u16::try_from(parameters.wait).unwrap() + u16::try_from(rng.range(0..=10)).unwrap(),
            hold: if rng.chance(80) { hold } else { hold.max(1) },
            ack: rng.chance(70),
            max_requests: u8::try_from(rng.range(2..=4)).unwrap(),
            key_sequence: rng.chance(30),
            ..Bosh::new("https://example.org/bosh")
        };
        let patient = Timeouts {
            // The network may be bad during login too.
            negotiation: std::time::Duration::from_secs(3_600),
            iq: std::time::Duration::from_secs(3_600),
            ..Timeouts::default()
        };
        let config = Config::builder("juliet@example.org/balcony".parse().unwrap())
            .transport(Transport::Bosh(bosh))
            .credentials(Credentials::certificate("juliet", None))
            .timeouts(patient)
            .reconnect(Reconnect::never())
            .build()
            .unwrap();
        let mut client_seed = [0; 32];
        for chunk in client_seed.chunks_mut(8) {
            chunk.copy_from_slice(&rng.next().to_le_bytes());
        }
        let patience = FAULTS as u64 * (parameters.wait + 12) + 30;
        let mut bed = Self {
            seed,
            kind,
            parameters,
            client: Client::new(config, client_seed),
            server: Server::new(parameters),
            now: rng.range(0..=1 << 40),
            order: 0,
            queue: BTreeMap::new(),
            slowest: rng.pick(&[5, 60, 900]),
            trouble_percent: rng.pick(&[0, 10, 30, 60]),
            may_swallow: inactivity.is_none_or(|inactivity| inactivity > patience),
            outage_from: None,
            live: BTreeMap::new(),
            fates: BTreeMap::new(),
            trouble: BTreeMap::new(),
            last_recoverable: 0,
            posted: BTreeMap::new(),
            outstanding: BTreeSet::new(),
            goodbye: false,
            closed: false,
            tokens: BTreeMap::new(),
            said: 0,
            to_say: rng.range(0..=12),
            server_said: 0,
            server_to_say: rng.range(0..=12),
            heard: Vec::new(),
            asked: BTreeMap::new(),
            to_ask: rng.range(0..=2),
            stopped: false,
            online: false,
            offline: None,
            outcome: Outcome::default(),
            rng,
        };
        bed.plan();
        bed
    }

    /// When the application does what.
    fn plan(&mut self) {
        let horizon = self.rng.pick(&[100, 5_000, 60_000, 300_000]);
        for _ in 0..self.to_say {
            self.after(horizon, Happening::ClientSays);
        }
        for _ in 0..self.server_to_say {
            self.after(horizon, Happening::ServerSays);
        }
        for _ in 0..self.to_ask {
            self.after(horizon, Happening::ClientAsks);
        }
        let middle = self.rng.range(0..=horizon);
        match self.kind {
            Kind::Recoverable => {}
            Kind::StopEarly => self.after(horizon, Happening::Stop),
            Kind::Outage => self.outage_from = Some(self.now + middle),
            Kind::Forgotten => self.after(horizon, Happening::Forget),
        }
    }

    fn after(&mut self, slowest: u64, happening: Happening) {
        let at = self.now + self.rng.range(0..=slowest);
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    fn delay(&mut self, happening: Happening) {
        let slowest = self.slowest;
        self.after(slowest, happening);
    }

    /// Plays the schedule to its end and checks every promise.
    pub(crate) fn run(mut self) -> Outcome {
        self.handle(Input::Start);
        let info = LinkInfo::verified("example.org");
        self.handle(Input::Connected { link: LINK, info });
        let mut turns = 0;
        while self.offline.is_none() {
            turns += 1;
            assert!(turns < 50_000, "it does not end");
            self.turn();
            if self.kind == Kind::Recoverable && self.is_done() && !self.stopped {
                self.stopped = true;
                self.handle(Input::Stop);
            }
        }
        self.afterwards();
        std::mem::take(&mut self.outcome)
    }

    fn is_done(&self) -> bool {
        let is_final = |stages: &Vec<Stage>| stages.last().is_some_and(|stage| *stage >= Stage::Acked);
        self.said == self.to_say
            && u64::try_from(self.heard.len()).unwrap() == self.server_to_say
            && u64::try_from(self.asked.len()).unwrap() == self.to_ask
            && self.tokens.values().all(|(_, stages)| is_final(stages))
            && self.asked.values().all(|done| *done == 1)
    }

    /// The next thing that happens, in the network, at the server or in the client.
    fn turn(&mut self) {
        let network = self.queue.first_key_value().map(|((at, _), _)| *at);
        let server = self.server.deadline().map(|at| at.max(self.now));
        let client = self.client.deadline().map(|(at, _)| at.as_millis());
        let next = [network, server, client].into_iter().flatten().min();
        let next = next.expect("nothing will ever happen");
        assert!(next >= self.now, "the client's deadline is in the past");
        self.now = next;
        if network == Some(next) {
            let (_, happening) = self.queue.pop_first().unwrap();
            self.happens(happening);
        } else if server == Some(next) {
            self.server.tick(self.now);
        } else {
            self.handle(Input::Tick);
            if let Some((at, timer)) = self.client.deadline() {
                assert!(at.as_millis() > self.now, "{timer}: the deadline lies");
            }
        }
        for answer in self.server.answers() {
            self.answered(answer.connection, answer.body);
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives(connection, bytes) => {
                let live = self.live.contains_key(&RequestId(connection.0));
                self.server.request(self.now, connection, &bytes, live);
            }
            Happening::Answered(request, status, body) => {
                let real = status == 200 && body.starts_with("<body") && !body.contains("type='error'");
                if let Some(rid) = self.live.remove(&request)
                    && real
                {
                    self.outstanding.remove(&rid);
                    if self.outstanding.first().is_some_and(|first| *first < rid) {
                        self.outcome.out_of_order += 1;
                    }
                }
                self.handle(Input::Responded {
                    link: LINK,
                    request,
                    status,
                    body: Cow::Owned(body.into_bytes()),
                    tls: None,
                });
            }
            Happening::Fails(request, reason) => {
                if self.live.remove(&request).is_some() {
                    let request = Some(request);
                    self.handle(Input::Failed {
                        link: LINK,
                        request,
                        reason,
                    });
                }
            }
            Happening::ClientSays => self.client_says(),
            Happening::ServerSays if self.server.online => {
                let number = self.server_said;
                self.server_said += 1;
                self.server.send(
                    self.now,
                    format!(
                        "<message xmlns='jabber:client' from='romeo@example.net/x' to='juliet@example.org/balcony' \
                         type='chat'><body>{number}</body></message>"
                    ),
                );
            }
            Happening::ServerSays => self.after(1_000, Happening::ServerSays),
            Happening::ClientAsks => {
                let query = Element::builder("jabber:iq:version", "query");
                let iq = stanza::get(Some(&"example.org".parse().unwrap()), query).unwrap();
                if let Some(token) = self.handle(Input::Request { iq, timeout: None }) {
                    self.asked.entry(token).or_default();
                }
            }
            Happening::Stop => {
                self.stopped = true;
                self.handle(Input::Stop);
            }
            Happening::Forget => self.server.over = true,
        }
    }

    fn client_says(&mut self) {
        if self.stopped {
            return;
        }
        let number = self.said;
        self.said += 1;
        let message = stanza::chat(&"romeo@example.net".parse().unwrap(), &number.to_string()).unwrap();
        if let Some(token) = self.handle(Input::Send { stanza: message }) {
            self.tokens.entry(token).or_default().0 = number;
        }
    }

    // ---- the host

    fn handle(&mut self, input: Input<'_>) -> Option<Token> {
        let refusable = matches!(input, Input::Request { .. });
        let token = match self.client.handle(Instant::from_millis(self.now), input) {
            Ok(token) => token,
            Err(refused) => {
                assert!(refusable && self.stopped, "{refused:?}");
                return None;
            }
        };
        while let Some(output) = self.client.next() {
            assert_eq!(self.offline, None, "something follows Offline: {output:?}");
            match output {
                Output::Connect { link, .. } => assert_eq!(link, LINK),
                Output::Post { request, body, .. } => self.post(request, body),
                Output::Abandon { request, .. } => {
                    assert!(self.live.remove(&request).is_some(), "{request} is not under way");
                }
                Output::Close { .. } => self.closed = true,
                Output::Event(event) => self.event(event),
                // `_`: the enum may grow.
                other @ (Output::Resolve { .. }
                | Output::Store { .. }
                | Output::Write { .. }
                | Output::Frame { .. }
                | Output::StartTls { .. }
                | _) => panic!("{other:?}"),
            }
        }
        token
    }

    fn post(&mut self, request: RequestId, body: Vec<u8>) {
        assert!(!self.closed);
        let element = Element::parse(&body, &XmlLimits::default()).unwrap();
        let rid: u64 = element.attribute("rid").unwrap().parse().unwrap();
        if let Some(before) = self.posted.get(&rid) {
            assert_eq!(*before, body, "rid {rid} is sent again with other bytes");
            self.outcome.resends += 1;
        } else {
            assert!(!self.goodbye, "a new request after the goodbye");
            if let Some((last, _)) = self.posted.last_key_value() {
                assert_eq!(rid, last + 1);
            }
            self.posted.insert(rid, body.clone());
            self.outstanding.insert(rid);
            self.goodbye = element.attribute("type") == Some("terminate");
            // Abandoned ones are not counted twice: the goodbye at the end comes on top of them.
            let most = usize::from(self.parameters.requests) + usize::from(self.goodbye);
            assert!(
                self.outstanding.len() <= most,
                "{} requests at once",
                self.outstanding.len()
            );
        }
        let double = self.live.values().any(|other| *other == rid);
        assert!(!double, "rid {rid} is under way twice");
        self.live.insert(request, rid);
        let fate = self.fate(rid);
        self.fates.insert(request, fate);
        let connection = Connection(request.0);
        match fate {
            Fate::Fine | Fate::Broken | Fate::AnswerSwallowed | Fate::ProxyAnswer(_) | Fate::Recoverable => {
                if self.rng.chance(5) && self.trouble_percent > 0 && element.attribute("sid").is_some() {
                    self.delay(Happening::Arrives(Connection(request.0 + COPY), body.clone()));
                }
                self.delay(Happening::Arrives(connection, body));
            }
            Fate::Lost => {
                let reason = self.reason();
                self.delay(Happening::Fails(request, reason));
            }
            Fate::Swallowed => {}
            Fate::Late => {
                let reason = self.reason();
                self.delay(Happening::Fails(request, reason));
                self.delay(Happening::Arrives(connection, body));
            }
            Fate::Proxy(status) => self.delay(Happening::Answered(request, status, "<html>no</html>".to_owned())),
        }
    }

    fn reason(&mut self) -> Failure {
        let http = Failure::Http {
            reason: "no HTTP".to_owned(),
        };
        let reasons = [Failure::Reset, Failure::Timeout, Failure::Refused, Failure::Dns, http];
        let index = usize::try_from(self.rng.range(0..=4)).unwrap();
        reasons[index].clone()
    }

    fn fate(&mut self, rid: u64) -> Fate {
        if self.outage_from.is_some_and(|from| from <= self.now) {
            return match self.rng.range(0..=2) {
                0 => Fate::Lost,
                1 => Fate::Swallowed,
                _ => Fate::Proxy(503),
            };
        }
        let first = *self.posted.first_key_value().unwrap().0;
        let legacy = self.parameters.legacy;
        let recoverable_allowed = rid > self.last_recoverable + 8;
        let trouble = self.trouble.entry(rid).or_default();
        // The first one is not sent again: there is no session yet that could tell. The goodbye ends things either way.
        if rid == first || self.goodbye || trouble.faults >= FAULTS || !self.rng.chance(self.trouble_percent) {
            return Fate::Fine;
        }
        trouble.faults += 1;
        match self.rng.range(0..=9) {
            0 | 1 => Fate::Lost,
            2 if self.may_swallow => Fate::Swallowed,
            3 | 4 => Fate::Broken,
            5 if self.may_swallow => Fate::AnswerSwallowed,
            6 => Fate::Late,
            7 => Fate::Proxy(self.rng.pick(&[500, 502, 503, 504])),
            8 if trouble.strangers == 0 => {
                trouble.strangers += 1;
                let statuses: &[u16] = if legacy { &[200] } else { &[200, 404, 403, 429] };
                Fate::ProxyAnswer(self.rng.pick(statuses))
            }
            9 if recoverable_allowed => {
                self.last_recoverable = rid;
                Fate::Recoverable
            }
            _ => Fate::ProxyAnswer(self.rng.pick(&[500, 502])),
        }
    }

    /// An answer leaves the server.
    fn answered(&mut self, connection: Connection, body: String) {
        let request = RequestId(connection.0);
        if self.outage_from.is_some_and(|from| from <= self.now) {
            return;
        }
        // A copy has nobody to answer to.
        let Some(fate) = self.fates.get(&request).copied() else {
            return;
        };
        if !self.live.contains_key(&request) && !self.rng.chance(30) {
            return;
        }
        match fate {
            Fate::Fine | Fate::Late | Fate::Lost | Fate::Swallowed | Fate::Proxy(_) => {
                if self.rng.chance(10) {
                    self.delay(Happening::Answered(request, 200, body.clone()));
                }
                self.delay(Happening::Answered(request, 200, body));
            }
            Fate::Broken => {
                let reason = self.reason();
                self.delay(Happening::Fails(request, reason));
            }
            Fate::AnswerSwallowed => {}
            Fate::ProxyAnswer(status) => {
                self.delay(Happening::Answered(request, status, "<html>portal</html>".to_owned()));
            }
            Fate::Recoverable => {
                let again = "<body xmlns='http://jabber.org/protocol/httpbind' type='error'/>".to_owned();
                self.delay(Happening::Answered(request, 200, again));
            }
        }
    }

    // ---- the application

    fn event(&mut self, event: Event) {
        match event.clone() {
            Event::Online { .. } => {
                assert!(!self.online);
                self.online = true;
            }
            Event::Stanza { stanza, .. } => {
                assert!(self.online);
                assert_eq!(stanza.namespace(), "jabber:client");
                let body = stanza.child("jabber:client", "body").unwrap();
                self.heard.push(body.text().parse().unwrap());
            }
            Event::Delivery { token, stage } => {
                let (_, stages) = self.tokens.entry(token).or_default();
                let expected = match stages.last() {
                    None => stage == Stage::Queued,
                    Some(Stage::Queued) => matches!(stage, Stage::Sent | Stage::Failed),
                    Some(Stage::Sent) => matches!(stage, Stage::Acked | Stage::Failed),
                    Some(Stage::Acked | Stage::Failed) => false,
                };
                assert!(expected, "{stage:?} after {stages:?}");
                stages.push(stage);
            }
            Event::IqDone { token, .. } => *self.asked.entry(token).or_default() += 1,
            Event::Warning(_) => {}
            Event::Offline { reason } => {
                assert!(self.closed, "Offline before Close");
                self.offline = Some(reason);
            }
            Event::Request { .. } | Event::Writable => panic!("nobody asked for {event:?}"),
            Event::Interrupted { .. } | Event::Offered { .. } | _ => panic!("not known to the bed: {event:?}"),
        }
    }

    /// The promises, once it is over.
    fn afterwards(&mut self) {
        let reason = self.offline.clone().unwrap();
        // Nothing more is said, whatever arrives.
        assert_eq!(self.client.deadline(), None);
        for request in self.fates.keys().copied().collect::<Vec<_>>() {
            self.handle(Input::Responded {
                link: LINK,
                request,
                status: 200,
                body: Cow::Borrowed(b"<body xmlns='http://jabber.org/protocol/httpbind'/>"),
                tls: None,
            });
        }
        self.handle(Input::Tick);
        // In order, each once, in both directions.
        let said: Vec<u64> = (0..self.said).collect();
        let unique: BTreeSet<u64> = self.server.received.iter().copied().collect();
        assert!(self.server.received.is_sorted() && unique.len() == self.server.received.len());
        assert!(self.heard.is_sorted_by(|one, next| one < next));
        if matches!(self.kind, Kind::Recoverable | Kind::Outage) {
            // Only where a session is over may something be missing before its last words.
            let heard: Vec<u64> = (0..u64::try_from(self.heard.len()).unwrap()).collect();
            assert_eq!(self.heard, heard);
        }
        assert!(self.asked.values().all(|done| *done == 1));
        for (number, stages) in self.tokens.values() {
            match stages.last() {
                Some(Stage::Acked) => assert!(unique.contains(number), "message {number} is Acked, and did not arrive"),
                Some(Stage::Failed) => self.outcome.failed += 1,
                other => panic!("message {number} ends as {other:?}"),
            }
        }
        match self.kind {
            Kind::Recoverable => {
                assert_eq!(reason, Offline::Stopped);
                assert_eq!(self.server.received, said);
                assert_eq!(self.outcome.failed, 0);
            }
            Kind::StopEarly => assert_eq!(reason, Offline::Stopped),
            // Where nothing ever came back, a reset is what a refused certificate looks like.
            Kind::Outage => assert!(
                matches!(
                    reason,
                    Offline::Connection(_) | Offline::Tls(TlsError::CertificateProbablyRefused)
                ),
                "{reason:?}"
            ),
            Kind::Forgotten => assert!(
                matches!(reason, Offline::Ended(_) | Offline::Connection(_)),
                "{reason:?}"
            ),
        }
        self.outcome.replays = self.server.replays;
        self.outcome.reports = self.server.reports;
        self.outcome.keys = self.server.keys;
        self.outcome.messages = self.said;
    }
}
