//! A model of a server, and random links: nothing lost, nothing twice, nothing out of order.

use std::collections::{BTreeMap, VecDeque};
use std::format;

use super::super::*;
use crate::output::Stage;
use crate::xml::XmlLimits;

/// Enough for a schedule: splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// One session of a server that keeps XEP-0198 to the letter.
#[derive(Default)]
struct Server {
    enabled: bool,
    /// It has a link; without one it only queues.
    linked: bool,
    /// The session is over; only its count is remembered.
    gone: bool,
    handled: u32,
    acked: u32,
    queue: VecDeque<u64>,
}

struct World {
    dice: Dice,
    now: Instant,
    client: StreamManagement,
    server: Server,
    /// Written by the client, not read by the server yet; and the other way.
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    next: u64,
    next_id: u64,
    waiting: VecDeque<Outgoing>,
    fate: BTreeMap<u64, Stage>,
    at_server: Vec<u64>,
    from_server: u64,
    at_client: Vec<u64>,
    /// Went with a session of the server's.
    dropped: Vec<u64>,
    resumptions: u64,
    new_sessions: u64,
}

/// The number in `<body>`.
fn body(xml: &str) -> Option<u64> {
    let (_, rest) = xml.split_once("<body>")?;
    rest.split_once("</body>")?.0.parse().ok()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let settings = config::StreamManagement {
            request_after: 1 + u16::try_from(dice.below(12)).unwrap(),
            ..config::StreamManagement::default()
        };
        Self {
            dice,
            now: Instant::from_millis(0),
            client: StreamManagement::new(settings, 50),
            server: Server::default(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            next: 0,
            next_id: 0,
            waiting: VecDeque::new(),
            fate: BTreeMap::new(),
            at_server: Vec::new(),
            from_server: 0,
            at_client: Vec::new(),
            dropped: Vec::new(),
            resumptions: 0,
            new_sessions: 0,
        }
    }

    fn settle(&mut self, tokens: Vec<Token>, stage: Stage) {
        for token in tokens {
            assert_eq!(self.fate.insert(token.0, stage), None, "{token} ended twice");
        }
    }

    fn begin(&mut self) {
        self.new_sessions += 1;
        self.server = Server::default();
        let enable = self.client.enable().build().unwrap();
        self.client.enabling(self.now);
        self.to_server.push_back(enable.to_xml());
    }

    fn write_waiting(&mut self) {
        while !self.client.is_full() {
            let Some(outgoing) = self.waiting.pop_front() else {
                return;
            };
            self.client.sent(self.now, &outgoing, None);
            self.to_server.push_back(outgoing.xml);
        }
    }

    fn end_turn(&mut self) {
        self.write_waiting();
        let turn = self.client.turn_end(self.now, || "ping".to_string());
        self.to_server.extend(turn.answer);
        self.to_server.extend(turn.question);
        let mut earliest = Earliest::default();
        self.client.deadline(&mut earliest);
        assert!(
            earliest.get().is_none_or(|(at, _)| at > self.now),
            "a deadline that has passed"
        );
    }

    fn application_sends(&mut self) {
        let xml = format!("<message xmlns='jabber:client'><body>{}</body></message>", self.next);
        let outgoing = Outgoing {
            xml,
            token: Some(Token(self.next)),
            request: None,
            stored: false,
        };
        self.next += 1;
        self.waiting.push_back(outgoing);
    }

    fn server_sends(&mut self) {
        if self.server.enabled && !self.server.gone {
            self.server.queue.push_back(self.from_server);
            let xml = format!(
                "<message xmlns='jabber:client'><body>{}</body></message>",
                self.from_server
            );
            self.from_server += 1;
            if !self.server.linked {
                return;
            }
            self.to_client.push_back(xml);
            if self.dice.one_in(4) {
                self.to_client.push_back("<r xmlns='urn:xmpp:sm:3'/>".to_string());
            }
        }
    }

    fn server_reads(&mut self) {
        let Some(xml) = self.to_server.pop_front() else { return };
        let element = Element::parse(&xml, &XmlLimits::default()).unwrap();
        let h = || element.attribute("h").unwrap().parse::<u32>().unwrap();
        match element.name() {
            "enable" => {
                self.next_id += 1;
                self.server.enabled = true;
                self.server.linked = true;
                self.to_client.push_back(format!(
                    "<enabled xmlns='urn:xmpp:sm:3' id='{}' resume='true'/>",
                    self.next_id
                ));
            }
            "message" => {
                self.server.handled += 1;
                self.at_server.push(body(&xml).unwrap());
                if self.dice.one_in(10) {
                    let h = self.server.handled;
                    self.to_client.push_back(format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
                }
            }
            "r" => {
                let h = self.server.handled;
                self.to_client.push_back(format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
            }
            "a" => self.server_is_told(h()),
            "resume" => {
                assert_eq!(element.attribute("previd"), Some(self.next_id.to_string().as_str()));
                let known = !self.server.gone && !self.dice.one_in(15);
                let handled = self.server.handled;
                if known {
                    self.server.linked = true;
                    self.server_is_told(h());
                    let id = self.next_id;
                    self.to_client
                        .push_back(format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='{handled}'/>"));
                    let again = self.server.queue.iter();
                    let again = again.map(|n| format!("<message xmlns='jabber:client'><body>{n}</body></message>"));
                    self.to_client.extend(again);
                } else {
                    // It still knows the count. What it had for the client is gone, by its own decision.
                    self.to_client
                        .push_back(format!("<failed xmlns='urn:xmpp:sm:3' h='{handled}'/>"));
                    self.dropped.extend(self.server.queue.drain(..));
                    self.server.gone = true;
                }
            }
            other => panic!("the client sent {other}"),
        }
    }

    fn server_is_told(&mut self, h: u32) {
        let news = usize::try_from(h - self.server.acked).unwrap();
        assert!(
            news <= self.server.queue.len(),
            "the client counts what it was not sent"
        );
        let taken: Vec<u64> = self.server.queue.drain(..news).collect();
        for number in taken {
            assert!(self.at_client.contains(&number), "counted and not seen");
        }
        self.server.acked = h;
    }

    fn client_reads(&mut self) {
        let Some(xml) = self.to_client.pop_front() else { return };
        let element = Element::parse(&xml, &XmlLimits::default()).unwrap();
        if !StreamManagement::is_nonza(&element) {
            self.client.received(Handling::Now);
            self.at_client.push(body(&xml).unwrap());
            return;
        }
        let now = self.now;
        match element.name() {
            "resumed" => {
                let resumed = self.client.resumed(now, &element).unwrap();
                self.resumptions += 1;
                self.settle(resumed.acked, Stage::Acked);
                self.settle(resumed.failed, Stage::Failed);
                self.to_server
                    .extend(resumed.resend.into_iter().map(|outgoing| outgoing.xml));
            }
            "failed" => {
                let settled = self.client.resume_failed(&element).unwrap().settled;
                self.settled(settled);
                self.begin();
            }
            _ => match self.client.handle(now, &element).unwrap() {
                Reaction::Acked(tokens) => self.settle(tokens, Stage::Acked),
                Reaction::Enabled { resumable } => assert!(resumable),
                Reaction::Nothing => {}
                Reaction::Refused { .. } => panic!("refused"),
            },
        }
    }

    fn settled(&mut self, settled: Settled) {
        self.settle(settled.acked, Stage::Acked);
        self.settle(settled.failed, Stage::Failed);
        for outgoing in settled.again.into_iter().rev() {
            self.waiting.push_front(outgoing);
        }
    }

    fn cut(&mut self) {
        // Some of what is on the way arrives.
        let arrives = self.dice.below(u64::try_from(self.to_server.len()).unwrap() + 1);
        for _ in 0..arrives {
            self.server_reads();
        }
        self.server.linked = false;
        self.to_server.clear();
        self.to_client.clear();
        self.client.link_lost(self.now);
        if self.dice.one_in(6) {
            // The process ends as well.
            if let Some(state) = self.client.state() {
                self.client = StreamManagement::restore(self.client.settings, 50, state, self.now);
            }
        }
        match self.client.resume(self.now) {
            Some(resume) => self.to_server.push_back(resume.to_xml()),
            None => {
                let settled = self.client.reset();
                self.settled(settled);
                // A session that the server never confirmed.
                self.dropped.extend(self.server.queue.drain(..));
                self.begin();
            }
        }
    }

    /// Each stanza has come to its end, and nothing is on its way.
    fn is_settled(&self) -> bool {
        u64::try_from(self.fate.len()).unwrap() == self.next && self.to_client.is_empty() && self.to_server.is_empty()
    }

    fn step(&mut self, cuts: bool) {
        self.now = self.now + Duration::from_millis(self.dice.below(400));
        match self.dice.below(40) {
            0..=7 if cuts => self.application_sends(),
            8..=13 if cuts => self.server_sends(),
            14..=26 => self.server_reads(),
            27..=38 => self.client_reads(),
            _ if cuts => self.cut(),
            _ => {}
        }
        if matches!(self.client.strategy(), Strategy::Xep0198) {
            self.end_turn();
        }
    }
}

fn run(seed: u64) -> World {
    let mut world = World::new(seed);
    world.begin();
    for _ in 0..1_500 {
        world.step(true);
    }
    // A link that holds: everything comes to its end.
    world.cut();
    for _ in 0..20_000 {
        world.step(false);
        if world.is_settled() {
            break;
        }
    }
    world
}

#[test]
fn over_any_cuts_nothing_is_lost_doubled_or_reordered() {
    let (mut resumptions, mut acked, mut failed, mut sessions) = (0, 0, 0, 0);
    for seed in 0..150 {
        let world = run(seed);
        let reached: Vec<u64> = world.at_server.clone();
        assert!(
            reached.windows(2).all(|pair| pair[0] < pair[1]),
            "seed {seed}: the server saw a message twice or out of order: {reached:?}"
        );
        for (number, stage) in &world.fate {
            let arrived = reached.binary_search(number).is_ok();
            match stage {
                Stage::Acked => {
                    assert!(arrived, "seed {seed}: {number} is acknowledged and never came");
                    acked += 1;
                }
                Stage::Failed => failed += 1,
                Stage::Queued | Stage::Sent => panic!("not final"),
            }
        }
        assert!(
            world.is_settled(),
            "seed {seed}: a stanza waits for ever: {:?}",
            world.client
        );
        assert_eq!(world.client.kept().count(), 0, "seed {seed}");
        for number in 0..world.from_server {
            let known = [&world.at_client, &world.dropped]
                .iter()
                .any(|numbers| numbers.contains(&number))
                || world.server.queue.contains(&number);
            assert!(known, "seed {seed}: the server's {number} is lost");
        }
        resumptions += world.resumptions;
        sessions += world.new_sessions;
    }
    assert!(
        resumptions > 1_000 && acked > 10_000,
        "{resumptions} {acked} {failed} {sessions}"
    );
    std::eprintln!("{resumptions} resumptions, {sessions} sessions, {acked} acknowledged, {failed} failed");
}
