//! Seeded schedules: a link that attaches, pauses, and is killed and restored, against the strict connection manager, over a
//! network that loses, delays and repeats. `EPODE_SEED=17 cargo test -p epode --lib bosh::tests::schedules` plays one of them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::{eprintln, format, println};

use sha1::{Digest, Sha1};

use super::random::Rng;
use super::server::{Connection, Parameters as Granted, Server};
use super::*;
use crate::config::AttachKeys;

/// How often one request may go wrong.
const FAULTS: u32 = 3;

#[derive(Debug)]
enum Happening {
    Arrives(Connection, Vec<u8>),
    Answered(RequestId, u16, String),
    Fails(RequestId, Failure),
    ClientSays,
    ServerSays,
    Pause,
    Resume,
    /// The process ends, and another goes on with what was stored.
    Killed,
}

/// What the network does with a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fine,
    Lost,
    Swallowed,
    Broken,
    AnswerSwallowed,
    Late,
    Proxy,
    Recoverable,
}

#[derive(Debug, Default)]
struct Sum {
    messages: u64,
    resends: u64,
    replays: u64,
    pauses: u64,
    restores: u64,
    keys: u64,
    most: usize,
}

struct Bed {
    seed: u64,
    rng: Rng,
    granted: Granted,
    settings: Settings,
    host: Host,
    server: Server,
    now: u64,
    order: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    slowest: u64,
    trouble: u64,
    may_swallow: bool,
    live: BTreeMap<RequestId, u64>,
    fates: BTreeMap<RequestId, Fate>,
    faults: BTreeMap<u64, u32>,
    last_recoverable: u64,
    posted: BTreeMap<u64, String>,
    unanswered: BTreeSet<u64>,
    // The application.
    said: u64,
    to_say: u64,
    server_said: u64,
    server_to_say: u64,
    heard: Vec<u64>,
    stages: BTreeMap<Token, Vec<Stage>>,
    closed: Option<Option<Offline>>,
    restoring: bool,
    sum: Sum,
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} failed at {} ms: {:?}", self.seed, self.now, self.granted);
        }
    }
}

impl Bed {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let hold = u8::try_from(rng.range(0..=2)).unwrap();
        let inactivity = rng.pick(&[None, Some(300), Some(900)]);
        let maxpause = rng.pick(&[None, Some(300), Some(3_600)]);
        let granted = Granted {
            hold,
            requests: u8::try_from(rng.range(1..=5)).unwrap(),
            wait: rng.pick(&[0, 1, 5, 20, 60]),
            polling: rng.pick(&[None, Some(1), Some(5), Some(10)]),
            inactivity,
            maxpause,
            ack: rng.chance(50),
            legacy: false,
            report: rng.chance(30),
            forgets_namespace: rng.chance(10),
            late_features: false,
        };
        let ack = rng.chance(70);
        let rid = rng.range(1..=1 << 52);
        let keys = rng.chance(40).then(|| AttachKeys {
            seed: rng.next().to_string().into(),
            // Few: another sequence is needed soon.
            next: u16::try_from(rng.range(1..=20)).unwrap(),
        });
        let last_key = keys.as_ref().map(|keys| {
            let mut key = String::from_utf8(keys.seed.expose().to_vec()).unwrap();
            for _ in 0..=keys.next {
                key = Sha1::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
            }
            key
        });
        let now = rng.range(0..=1 << 40);
        let server = Server::attached(granted, now, rid, ack, last_key);
        let short = |seconds: Option<u64>| seconds.map(|seconds| u16::try_from(seconds).unwrap());
        let session = Attach {
            sid: server.sid().into(),
            next_rid: rid,
            wait: u16::try_from(granted.wait).unwrap(),
            hold,
            requests: granted.requests,
            inactivity: short(inactivity),
            polling: short(granted.polling),
            maxpause: short(maxpause),
            acknowledges: granted.ack,
            keys,
            ..attach()
        };
        let settings = settings(|settings| {
            settings.ack = ack;
            settings.max_requests = u8::try_from(rng.range(2..=4)).unwrap();
            settings.attach = Some(session.into());
        });
        let (host, turn) = Host::new(settings.clone(), now);
        let horizon = rng.pick(&[100, 5_000, 60_000, 200_000]);
        let mut bed = Self {
            seed,
            granted,
            settings,
            host,
            server,
            now,
            order: 0,
            queue: BTreeMap::new(),
            slowest: rng.pick(&[5, 60, 900]),
            trouble: rng.pick(&[0, 10, 30, 60]),
            // Time that nobody notices must not be the end of the session.
            may_swallow: inactivity.is_none() && maxpause.is_none(),
            live: BTreeMap::new(),
            fates: BTreeMap::new(),
            faults: BTreeMap::new(),
            last_recoverable: 0,
            posted: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            said: 0,
            to_say: rng.range(0..=12),
            server_said: 0,
            server_to_say: rng.range(0..=12),
            heard: Vec::new(),
            stages: BTreeMap::new(),
            closed: None,
            restoring: false,
            sum: Sum::default(),
            rng,
        };
        assert_eq!(turn.attached.as_deref(), Some("juliet@example.org/balcony"));
        bed.took(turn);
        for _ in 0..bed.to_say {
            bed.after(horizon, Happening::ClientSays);
        }
        for _ in 0..bed.server_to_say {
            bed.after(horizon, Happening::ServerSays);
        }
        for _ in 0..bed.rng.range(0..=4) {
            bed.after(horizon, Happening::Pause);
        }
        for _ in 0..bed.rng.range(0..=2) {
            bed.after(horizon, Happening::Resume);
        }
        for _ in 0..bed.rng.range(0..=2) {
            bed.after(horizon, Happening::Killed);
        }
        bed
    }

    fn after(&mut self, slowest: u64, happening: Happening) {
        let at = self.now + self.rng.range(0..=slowest);
        self.order += 1;
        self.queue.insert((at, self.order), happening);
    }

    fn delay(&mut self, happening: Happening) {
        self.after(self.slowest, happening);
    }

    fn run(mut self) -> Sum {
        let mut turns = 0;
        let mut leaving = false;
        while self.closed.is_none() {
            turns += 1;
            assert!(turns < 50_000, "it does not end");
            self.step();
            if !leaving && self.is_done() {
                leaving = true;
                let turn = self.host.turn(|bosh, cx| bosh.leave(cx, None));
                self.took(turn);
            }
        }
        assert_eq!(self.closed, Some(None));
        let all = |count: u64| (0..count).collect::<Vec<u64>>();
        assert_eq!(self.server.received, all(self.said));
        assert_eq!(self.heard, all(self.server_said));
        assert!(self.host.stored.is_none() || self.host.bosh.ended);
        self.sum.messages = self.said + self.server_said;
        self.sum.replays = self.server.replays;
        self.sum.pauses = self.server.pauses;
        self.sum.keys = self.server.keys;
        core::mem::take(&mut self.sum)
    }

    fn is_done(&self) -> bool {
        let settled = |stages: &Vec<Stage>| stages.last() == Some(&Stage::Acked);
        self.said == self.to_say
            && u64::try_from(self.heard.len()).unwrap() == self.server_to_say
            && self.stages.values().all(settled)
            && !self
                .queue
                .values()
                .any(|next| matches!(next, Happening::Pause | Happening::Killed))
    }

    fn step(&mut self) {
        let network = self.queue.first_key_value().map(|((at, _), _)| *at);
        let server = self.server.deadline().map(|at| at.max(self.now));
        let client = self.host.deadline().map(|(at, _)| at);
        let next = [network, server, client]
            .into_iter()
            .flatten()
            .min()
            .expect("something happens");
        assert!(next >= self.now, "the deadline is in the past");
        self.now = next;
        self.host.now = next;
        if network == Some(next) {
            let (_, happening) = self.queue.pop_first().unwrap();
            self.happens(happening);
        } else if server == Some(next) {
            self.server.tick(self.now);
            assert!(!self.server.over, "the session died of silence");
        } else {
            let turn = self.host.tick();
            self.took(turn);
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
                let real = status == 200 && !body.contains("type='error'");
                if let Some(rid) = self.live.remove(&request).filter(|_| real) {
                    self.unanswered.remove(&rid);
                }
                let turn = self.host.respond(request, status, &body);
                self.took(turn);
            }
            Happening::Fails(request, reason) => {
                if self.live.remove(&request).is_some() {
                    let turn = self.host.fail(request, reason);
                    self.took(turn);
                }
            }
            Happening::ClientSays => {
                let token = self.said;
                self.said += 1;
                self.stages.insert(Token(token), Vec::new());
                let turn = self.host.say(token);
                self.took(turn);
            }
            Happening::ServerSays => {
                let number = self.server_said;
                self.server_said += 1;
                let message = format!("<message xmlns='jabber:client'><body>{number}</body></message>");
                self.server.send(self.now, message);
            }
            Happening::Pause => {
                let seconds = u32::try_from(self.rng.range(200..=7_200)).unwrap();
                let turn = self.host.pause(seconds);
                self.took(turn);
            }
            Happening::Resume => {
                let turn = self.host.turn(|bosh, _| bosh.resume());
                self.took(turn);
            }
            Happening::Killed => self.killed(),
        }
    }

    /// The process is gone, with its connections and all that it knew; what the application knows was stored with it.
    fn killed(&mut self) {
        self.sum.restores += 1;
        self.restoring = true;
        self.live.clear();
        let state = self.host.stored.take().expect("a session is stored");
        let kept: BTreeSet<Token> = state.posted.iter().flat_map(|posted| posted.tokens.clone()).collect();
        let seed = u8::try_from(self.rng.range(8..=255)).unwrap();
        let mut settings = self.settings.clone();
        settings.attach = None;
        let (host, turn) = Host::restored(settings, state, self.now, seed, self.host.next_request);
        self.host = host;
        self.took(turn);
        let again: Vec<Token> = self
            .stages
            .iter()
            .filter(|(token, stages)| stages.is_empty() && !kept.contains(token))
            .map(|(token, _)| *token)
            .collect();
        for token in again {
            let turn = self.host.say(token.0);
            self.took(turn);
        }
        self.restoring = false;
    }

    fn took(&mut self, turn: Turn) {
        for body in turn.heard {
            self.heard.push(body.parse().unwrap());
        }
        for (token, stage) in turn.stages {
            let stages = self.stages.get_mut(&token).unwrap();
            assert_eq!(stage, [Stage::Sent, Stage::Acked][stages.len()]);
            stages.push(stage);
        }
        for request in turn.abandoned {
            assert!(self.live.remove(&request).is_some(), "{request} is not under way");
        }
        assert!(self.closed.is_none());
        self.closed = turn.closed;
        // The process may end between what is stored and what is sent.
        let cut = !turn.posts.is_empty() && self.host.stored.is_some() && !self.restoring && self.rng.chance(1);
        let sent = if cut { self.rng.range(0..=1) } else { u64::MAX };
        for (index, (request, rid, body)) in (0..).zip(turn.posts) {
            if index < sent {
                self.post(request, rid, body);
            } else {
                // It may never have left; but it will, and with these bytes.
                self.posted.entry(rid).or_insert(body);
                self.unanswered.insert(rid);
            }
        }
        if cut && self.closed.is_none() {
            self.killed();
        }
    }

    fn post(&mut self, request: RequestId, rid: u64, body: String) {
        if let Some(before) = self.posted.get(&rid) {
            assert_eq!(*before, body, "{rid} with other bytes");
            self.sum.resends += 1;
        } else {
            if let Some((last, _)) = self.posted.last_key_value() {
                assert_eq!(rid, last + 1);
            }
            self.posted.insert(rid, body.clone());
            self.unanswered.insert(rid);
        }
        let open: BTreeSet<u64> = self.live.values().copied().chain([rid]).collect();
        // One pause, or the goodbye, may be one more.
        let exceeds = |rid: &&u64| {
            [" pause='", " type='terminate'"]
                .iter()
                .any(|word| self.posted[rid].contains(word))
        };
        let most = usize::from(self.granted.requests) + open.iter().filter(exceeds).count().min(1);
        assert!(open.len() <= most, "{open:?} at once");
        self.sum.most = self.sum.most.max(open.len());
        assert!(
            !self.live.values().any(|other| *other == rid),
            "{rid} is under way twice"
        );
        assert!(!self.fates.contains_key(&request), "{request} is not new");
        self.live.insert(request, rid);
        let fate = self.fate(rid, &body);
        self.fates.insert(request, fate);
        let connection = Connection(request.0);
        let bytes = body.into_bytes();
        match fate {
            Fate::Fine | Fate::Broken | Fate::AnswerSwallowed | Fate::Recoverable => {
                self.delay(Happening::Arrives(connection, bytes));
            }
            Fate::Lost => self.fails(request),
            Fate::Swallowed => {}
            Fate::Late => {
                self.fails(request);
                self.delay(Happening::Arrives(connection, bytes));
            }
            Fate::Proxy => self.delay(Happening::Answered(request, 502, String::new())),
        }
    }

    fn fails(&mut self, request: RequestId) {
        let reasons = [Failure::Reset, Failure::Timeout, Failure::Refused, Failure::Dns];
        let reason = usize::try_from(self.rng.range(0..=3)).unwrap();
        // Refused, or no name: then it did not arrive.
        let lost = self.fates.get(&request) == Some(&Fate::Lost);
        let reason = if lost { reason } else { reason % 2 };
        self.delay(Happening::Fails(request, reasons[reason].clone()));
    }

    fn fate(&mut self, rid: u64, body: &str) -> Fate {
        let faults = self.faults.entry(rid).or_default();
        if body.contains(" type='terminate'") || *faults >= FAULTS || !self.rng.chance(self.trouble) {
            return Fate::Fine;
        }
        *faults += 1;
        match self.rng.range(0..=8) {
            0 | 1 => Fate::Lost,
            2 if self.may_swallow => Fate::Swallowed,
            3 | 4 => Fate::Broken,
            5 if self.may_swallow => Fate::AnswerSwallowed,
            6 => Fate::Late,
            7 => Fate::Proxy,
            8 if rid > self.last_recoverable + 8 => {
                self.last_recoverable = rid;
                Fate::Recoverable
            }
            _ => Fate::Fine,
        }
    }

    fn answered(&mut self, connection: Connection, body: String) {
        let request = RequestId(connection.0);
        let fate = self.fates[&request];
        if !self.live.contains_key(&request) {
            return;
        }
        match fate {
            Fate::Fine | Fate::Late | Fate::Lost | Fate::Swallowed | Fate::Proxy => {
                if self.rng.chance(10) {
                    self.delay(Happening::Answered(request, 200, body.clone()));
                }
                self.delay(Happening::Answered(request, 200, body));
            }
            Fate::Broken => self.fails(request),
            Fate::AnswerSwallowed => {}
            Fate::Recoverable => {
                let again = "<body xmlns='http://jabber.org/protocol/httpbind' type='error'/>".to_string();
                self.delay(Happening::Answered(request, 200, again));
            }
        }
    }
}

#[test]
fn pauses_and_processes_that_end_lose_nothing_and_duplicate_nothing() {
    let only: Option<u64> = std::env::var("EPODE_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = only.map_or_else(|| (0..1_000).collect(), |only| [only].into());
    let mut sum = Sum::default();
    for seed in &seeds {
        let one = Bed::new(*seed).run();
        sum.messages += one.messages;
        sum.resends += one.resends;
        sum.replays += one.replays;
        sum.pauses += one.pauses;
        sum.restores += one.restores;
        sum.keys += one.keys;
        sum.most = sum.most.max(one.most);
    }
    println!("{} schedules: {sum:?}", seeds.len());
    // It was as bad as it is meant to be; four requests at once, and a pause or the goodbye.
    if only.is_none() {
        assert!(sum.resends > 3_000 && sum.replays > 500 && sum.pauses > 300 && sum.restores > 1_000);
        assert!(sum.keys > 1_000 && sum.most == 5);
    }
}
