//! Random hosts, servers and applications: whatever they do, the promises of `output.rs` hold.
//!
//! `EPODE_SEED=17 cargo test -p epode --test adversary_stream walk` plays one walk alone, and prints it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use epode::config::{Acknowledge, Limits, Liveness, Reconnect, ReconnectWhen, StreamManagement};
use epode::{
    Answer, Client, Config, Credentials, Element, Event, Failure, Input, Instant, LinkId, LinkInfo, Network, Output,
    QueryId, Question, SrvRecord, Stage, StanzaError, TcpTls, Timer, Token,
};

use crate::harness::{BIND, STARTTLS, bound, mechanisms, sasl};
use crate::streams::{HELLO, MANAGED};
use crate::wire::{Wire, split};

/// Numbers that are the same on each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        // A linear congruence (Knuth, MMIX); its high bits are good enough.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}

/// What becomes of something that the application was promised to hear of.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Promise {
    Open,
    Kept,
}

/// The present link, as host and server see it.
struct Link {
    id: LinkId,
    wire: Wire,
    up: bool,
    in_tls: bool,
    shaking_hands: bool,
    /// What the client has said since the server last answered.
    heard: String,
    /// What the server has said and the client has not received.
    pending: Vec<u8>,
    messages: Vec<String>,
    authenticated: bool,
    stanzas: u32,
    managed: bool,
    unwritten: u64,
    said_goodbye: bool,
}

struct Walk {
    dice: Dice,
    client: Client,
    now: u64,
    started: bool,
    link: Option<Link>,
    dead: BTreeSet<LinkId>,
    queries: BTreeMap<QueryId, bool>,
    deliveries: BTreeMap<Token, Promise>,
    requests: BTreeMap<Token, Promise>,
    asked: Vec<Token>,
    to_handle: Vec<Token>,
    sum: Sum,
    shown: bool,
}

#[derive(Debug, Default)]
struct Sum {
    online: u32,
    resumed: u32,
    offline: u32,
    acked: u32,
    failed: u32,
    sent: u32,
}

fn config(dice: &mut Dice) -> Config {
    let mut config = Config::builder("user@example.org".parse().unwrap())
        .credentials(Credentials::certificate("user", None))
        .answers("urn:example:served")
        .reconnect(Reconnect {
            when: *dice.pick(&[
                ReconnectWhen::Always,
                ReconnectWhen::Always,
                ReconnectWhen::Always,
                ReconnectWhen::Always,
                ReconnectWhen::AfterOnline,
                ReconnectWhen::Never,
            ]),
            longest: Duration::from_secs(20),
            ..Reconnect::default()
        })
        .stream_management(StreamManagement {
            enabled: dice.chance(85),
            resume: dice.chance(85),
            request_after: 3,
            resend_uncertain: dice.chance(30),
            ..StreamManagement::default()
        })
        .liveness(Liveness {
            ask_after: Some(Duration::from_secs(20)),
            answer_within: Duration::from_secs(7),
            keep_alive_after: dice.chance(50).then_some(Duration::from_secs(8)),
        })
        .limits(Limits {
            unacknowledged: 20,
            pending_requests: 10,
            outbound_queue: 8_192,
            ..Limits::default()
        });
    if dice.chance(30) {
        config = config.acknowledge(Acknowledge::Manual);
    }
    for _ in 0..=dice.roll(3) {
        config = match dice.roll(4) {
            0 => config.tcp("a.example", 5222, TcpTls::StartTls),
            1 => config.tcp("b.example", 5223, TcpTls::Direct),
            2 => config.websocket("wss://example.org/ws"),
            _ => config.transport(epode::config::Transport::Discover(epode::config::Discover {
                bosh: false,
                ..epode::config::Discover::default()
            })),
        };
    }
    config.build().unwrap()
}

impl Walk {
    fn new(seed: u64, shown: bool) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let config = config(&mut dice);
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            client: Client::new(config, secret),
            dice,
            now: 1_000,
            started: false,
            link: None,
            dead: BTreeSet::new(),
            queries: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            requests: BTreeMap::new(),
            asked: Vec::new(),
            to_handle: Vec::new(),
            sum: Sum::default(),
            shown,
        }
    }

    fn input(&mut self, input: Input<'_>) -> Option<Token> {
        if self.shown {
            println!("{} {input:?}", self.now);
        }
        let (is_send, is_request) = (
            matches!(input, Input::Send { .. }),
            matches!(input, Input::Request { .. }),
        );
        let is_tick = matches!(input, Input::Tick);
        if matches!(input, Input::Start) {
            self.started = true;
        }
        let given = self.client.handle(Instant::from_millis(self.now), input);
        if let (Ok(Some(token)), true) = (&given, is_send) {
            assert_eq!(self.deliveries.insert(*token, Promise::Open), None);
            self.sum.sent += 1;
        }
        if let (Ok(Some(token)), true) = (&given, is_request) {
            assert_eq!(self.requests.insert(*token, Promise::Open), None);
        }
        while let Some(output) = self.client.next() {
            if self.shown {
                println!("    {output:?}");
            }
            self.output(output);
        }
        if let Some((at, timer)) = self.client.deadline() {
            assert!(self.started, "{timer:?} after Offline");
            assert_ne!(timer, Timer::Output);
            if is_tick {
                assert!(
                    at > Instant::from_millis(self.now),
                    "{timer:?} at {at:?} has passed at {}",
                    self.now
                );
            }
        }
        given.ok().flatten()
    }

    fn output(&mut self, output: Output) {
        assert!(self.started, "after Offline: {output:?}");
        match output {
            Output::Resolve { query, question, .. } => {
                let is_dns = matches!(question, Question::Srv { .. });
                assert_eq!(self.queries.insert(query, is_dns), None, "ids are used once");
            }
            Output::Connect { link, endpoint, .. } => {
                assert!(self.link.is_none() && !self.dead.contains(&link), "{link}");
                let wire = match endpoint {
                    epode::Endpoint::WebSocket { .. } => Wire::WebSocket,
                    epode::Endpoint::Tcp {
                        tls: TcpTls::Direct, ..
                    } => Wire::Direct,
                    epode::Endpoint::Tcp { .. } | _ => Wire::StartTls,
                };
                self.link = Some(Link {
                    id: link,
                    wire,
                    up: false,
                    in_tls: wire != Wire::StartTls,
                    shaking_hands: false,
                    heard: String::new(),
                    pending: Vec::new(),
                    messages: Vec::new(),
                    authenticated: false,
                    stanzas: 0,
                    managed: false,
                    unwritten: 0,
                    said_goodbye: false,
                });
            }
            Output::Write { link, bytes } => self.said(link, &String::from_utf8(bytes).unwrap()),
            Output::Frame { link, text } => self.said(link, &text),
            Output::StartTls { link, .. } => {
                let here = self.live(link);
                assert!(here.up && !here.in_tls && !here.shaking_hands);
                here.shaking_hands = true;
            }
            Output::Close { link } => {
                self.live(link);
                self.link = None;
                self.dead.insert(link);
            }
            Output::Event(event) => self.event(event),
            other @ (Output::Post { .. } | _) => panic!("{other:?}"),
        }
    }

    fn live(&mut self, id: LinkId) -> &mut Link {
        let link = self.link.as_mut().filter(|link| link.id == id);
        link.unwrap_or_else(|| panic!("{id} is dead"))
    }

    fn said(&mut self, id: LinkId, text: &str) {
        let link = self.live(id);
        assert!(link.up && !link.shaking_hands, "too early: {text}");
        assert!(!link.said_goodbye, "after the goodbye: {text}");
        link.unwritten += text.len() as u64;
        link.said_goodbye = text.ends_with(link.wire.close());
        for element in link.wire.elements(text) {
            link.stanzas += u32::from(link.managed && element.namespace() == "jabber:client");
            link.managed |= matches!(element.name(), "enable");
        }
        link.heard.push_str(text);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Online { resumed, .. } => {
                self.sum.online += 1;
                self.sum.resumed += u32::from(resumed);
            }
            Event::Offline { .. } => {
                assert!(self.link.is_none(), "a link is open");
                self.started = false;
                self.sum.offline += 1;
                for (token, promise) in self.deliveries.iter().chain(&self.requests) {
                    assert_eq!(*promise, Promise::Kept, "{token}");
                }
                self.queries.clear();
            }
            Event::Delivery { token, stage } => {
                if stage == Stage::Queued {
                    return;
                }
                if stage == Stage::Acked {
                    self.sum.acked += 1;
                } else if stage == Stage::Failed {
                    self.sum.failed += 1;
                }
                let promise = self.deliveries.get_mut(&token).unwrap();
                assert_eq!(*promise, Promise::Open, "{token} {stage:?}");
                if stage >= Stage::Acked {
                    *promise = Promise::Kept;
                }
            }
            Event::IqDone { token, .. } => {
                let promise = self.requests.get_mut(&token).unwrap();
                assert_eq!(*promise, Promise::Open, "{token}");
                *promise = Promise::Kept;
            }
            Event::Request { token, .. } => self.asked.push(token),
            Event::Stanza { token, .. } => self.to_handle.extend(token),
            Event::Writable | _ => {}
        }
    }

    // ---- what happens

    fn step(&mut self) {
        if !self.started {
            self.now += self.dice.roll(1_000);
            self.input(Input::Start);
            return;
        }
        match self.dice.roll(100) {
            0..=44 => self.carry(),
            45..=62 => self.serve(),
            63 | 64 => self.tick(),
            65..=80 => self.apply(),
            81..=84 => self.write(),
            85..=90 => self.resolve(),
            91 => self.network(),
            92 => self.break_link(),
            93 => {
                let reading = self.dice.chance(70);
                let link = self.any_link();
                self.input(Input::Reading { link, reading });
            }
            94 => {
                let foreground = self.dice.chance(50);
                self.input(Input::Foreground(foreground));
            }
            95 if self.dice.chance(20) => {
                self.input(Input::Stop);
            }
            96 if self.dice.chance(30) => {
                self.input(Input::Pause { seconds: 60 });
            }
            97 => self.stale(),
            _ => {
                self.now += self.dice.roll(3_000);
                self.input(Input::Tick);
            }
        }
    }

    fn any_link(&self) -> LinkId {
        self.link.as_ref().map_or(LinkId(1), |link| link.id)
    }

    /// The link comes up, or bytes arrive.
    fn carry(&mut self) {
        let Some(link) = &mut self.link else { return self.tick() };
        let id = link.id;
        if !link.up || link.shaking_hands {
            if self.dice.chance(10) {
                return self.break_link();
            }
            let link = self.link.as_mut().unwrap();
            let mut info = if link.up || link.wire != Wire::StartTls {
                LinkInfo::verified("example.org")
            } else {
                LinkInfo::default()
            };
            if link.wire == Wire::WebSocket {
                info.subprotocol = Some("xmpp".to_owned());
            }
            link.in_tls |= link.up;
            (link.up, link.shaking_hands) = (true, false);
            link.heard.clear();
            link.pending.clear();
            self.input(Input::Connected { link: id, info });
            return;
        }
        if !link.messages.is_empty() {
            let message = Wire::message(&link.messages.remove(0)).into_bytes();
            self.input(Input::Received {
                link: id,
                bytes: Cow::Owned(message),
            });
        } else if link.pending.is_empty() {
            self.serve();
        } else {
            let most = link.pending.len() as u64;
            let whole = self.dice.chance(60);
            let count = if whole { most } else { 1 + self.dice.roll(most) };
            let link = self.link.as_mut().unwrap();
            let bytes: Vec<u8> = link.pending.drain(..usize::try_from(count).unwrap()).collect();
            self.input(Input::Received {
                link: id,
                bytes: Cow::Owned(bytes),
            });
        }
    }

    /// The server says something: mostly what is due.
    fn serve(&mut self) {
        let honest = self.dice.chance(95);
        let resumes = self.dice.chance(70);
        let managed = self.dice.chance(85);
        let Some(link) = &mut self.link else { return };
        if !link.up || link.shaking_hands {
            return;
        }
        let heard = std::mem::take(&mut link.heard);
        let mut said = if honest {
            link.answer(&heard, resumes, managed)
        } else {
            String::new()
        };
        if !honest || (said.is_empty() && self.dice.chance(10)) {
            let nonsense = [
                HELLO,
                " ",
                "<r xmlns='urn:xmpp:sm:3'/>",
                "<a xmlns='urn:xmpp:sm:3' h='0'/>",
                "<iq xmlns='jabber:client' type='get' id='1' from='a@example.net'><q xmlns='urn:example:served'/></iq>",
                "<iq xmlns='jabber:client' type='get' id='2' from='a@example.net'><ping xmlns='urn:xmpp:ping'/></iq>",
                "<iq xmlns='jabber:client' type='result' id='3' from='a@example.net'/>",
                "<presence xmlns='jabber:client' from='a@example.net'/>",
            ];
            let poison = [
                "<x>",
                "<!-- -->",
                "</stream:stream>",
                "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
                "<failed xmlns='urn:xmpp:sm:3'/>",
                "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='0'/>",
                "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
                "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
                "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
                "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>c.example:1</see-other-host></stream:error>",
            ];
            let all: &[&str] = if honest || self.dice.chance(90) {
                &nonsense
            } else {
                &poison
            };
            said.push_str(self.dice.pick::<&str>(all));
        }
        let link = self.link.as_mut().unwrap();
        if link.wire == Wire::WebSocket {
            let pieces = split(&said).into_iter().filter(|piece| !piece.trim().is_empty());
            link.messages.extend(pieces.map(ToOwned::to_owned));
        } else {
            link.pending.extend(said.bytes());
        }
    }

    fn tick(&mut self) {
        if let Some((at, _)) = self.client.deadline() {
            // On time, or late.
            let late = if self.dice.chance(3) { self.dice.roll(60_000) } else { 0 };
            self.now = self.now.max(at.as_millis()) + late;
            self.input(Input::Tick);
        }
    }

    fn apply(&mut self) {
        match self.dice.roll(10) {
            0..=4 => {
                let stanza = epode::stanza::chat(&"a@example.net".parse().unwrap(), "hi").unwrap();
                self.input(Input::Send { stanza });
            }
            5 | 6 => {
                let query = Element::builder("jabber:iq:version", "query");
                let iq = epode::stanza::get("a@example.net".parse().ok().as_ref(), query).unwrap();
                let timeout = Some(Duration::from_secs(1 + self.dice.roll(60)));
                self.input(Input::Request { iq, timeout });
            }
            7 => {
                let all: Vec<Token> = self.deliveries.keys().chain(self.requests.keys()).copied().collect();
                if !all.is_empty() {
                    let token = *self.dice.pick(&all);
                    self.input(Input::Cancel { token });
                }
            }
            8 => {
                if let Some(token) = self.asked.pop() {
                    let result = if self.dice.chance(50) {
                        Ok(None)
                    } else {
                        Err(StanzaError::service_unavailable())
                    };
                    self.input(Input::Respond { token, result });
                }
            }
            _ => {
                if !self.to_handle.is_empty() {
                    let token = self.to_handle.remove(0);
                    self.input(Input::Handled { token });
                }
            }
        }
    }

    fn write(&mut self) {
        let Some(link) = &mut self.link else { return };
        // A host that counts too much is not believed.
        let bytes = self.dice.roll(link.unwritten + 2);
        link.unwritten = link.unwritten.saturating_sub(bytes);
        let link = link.id;
        self.input(Input::Written { link, bytes });
    }

    fn resolve(&mut self) {
        let Some((query, is_dns)) = self.queries.pop_first() else {
            return;
        };
        let answer = match (is_dns, self.dice.roll(4)) {
            (_, 0) => Answer::Failed(Failure::Timeout),
            (true, 1) => Answer::Records(Vec::new()),
            (true, n) => Answer::Records(
                (0..n)
                    .map(|n| SrvRecord {
                        priority: 1,
                        weight: 5,
                        port: 5_222,
                        target: format!("h{n}.example"),
                    })
                    .collect(),
            ),
            (false, _) => Answer::Document(Cow::Borrowed(
                b"<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'><Link rel='urn:xmpp:alt-connections:websocket' href='wss://example.org/ws'/></XRD>",
            )),
        };
        self.input(Input::Resolved { query, answer });
    }

    fn network(&mut self) {
        let network = *self
            .dice
            .pick(&[Network::Up, Network::Up, Network::Down, Network::Changed]);
        self.input(Input::Network(network));
    }

    fn break_link(&mut self) {
        let link = self.any_link();
        let input = match self.dice.roll(4) {
            0 => Input::Ended { link },
            1 => Input::Failed {
                link,
                request: None,
                reason: Failure::Timeout,
            },
            2 => Input::Failed {
                link,
                request: None,
                reason: Failure::Refused,
            },
            _ => Input::Failed {
                link,
                request: None,
                reason: Failure::Reset,
            },
        };
        self.input(input);
    }

    /// News from a link that is dead says nothing.
    fn stale(&mut self) {
        let Some(link) = self.dead.last().copied() else { return };
        let bytes = Cow::Borrowed(HELLO.as_bytes());
        self.input(Input::Received { link, bytes });
        self.input(Input::Written { link, bytes: 100 });
        self.input(Input::Ended { link });
        self.input(Input::Connected {
            link,
            info: LinkInfo::verified("example.org"),
        });
        self.input(Input::Resolved {
            query: QueryId(1),
            answer: Answer::Failed(Failure::Dns),
        });
    }

    /// The application leaves; however it stands, that has an end.
    fn leave(&mut self) {
        if self.started {
            self.input(Input::Stop);
        }
        for _ in 0..200 {
            if !self.started {
                break;
            }
            let (at, _) = self.client.deadline().expect("it waits for nothing");
            self.now = self.now.max(at.as_millis());
            self.input(Input::Tick);
        }
        assert!(!self.started, "it does not end");
        assert_eq!(self.client.deadline(), None);
    }
}

impl Link {
    /// What a server says to that.
    fn answer(&mut self, heard: &str, resumes: bool, managed: bool) -> String {
        let mut said = String::new();
        if self.wire.begins_stream(heard) {
            said = self.wire.header("version='1.0' id='s1' from='example.org'");
            said.push_str(&match (self.in_tls, self.authenticated) {
                (false, _) => STARTTLS.to_owned(),
                (true, false) => mechanisms(&["EXTERNAL"]),
                (true, true) if managed => MANAGED.to_owned(),
                (true, true) => BIND.to_owned(),
            });
        }
        if heard.contains("<starttls") {
            return crate::harness::PROCEED.to_owned();
        }
        if heard.contains("<auth ") {
            self.authenticated = true;
            return sasl("success", "");
        }
        if heard.contains("<resume ") {
            let h: u32 = 0;
            said.push_str(&if resumes {
                self.managed = true;
                format!("<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='{h}'/>")
            } else {
                "<failed xmlns='urn:xmpp:sm:3'/>".to_owned()
            });
        }
        for iq in heard.split("<iq ").skip(1) {
            let id = iq
                .split("id='")
                .nth(1)
                .and_then(|rest| rest.split('\'').next())
                .unwrap_or_default();
            if iq.contains("xmpp-bind") {
                said.push_str(&bound(id, "<jid>user@example.org/r</jid>"));
            } else if iq.contains("urn:xmpp:ping") {
                said.push_str(&format!("<iq xmlns='jabber:client' type='result' id='{id}'/>"));
            } else if iq.contains("type='get'") {
                said.push_str(&format!(
                    "<iq xmlns='jabber:client' type='result' id='{id}' from='a@example.net'/>"
                ));
            }
        }
        if heard.contains("<enable ") {
            said.push_str("<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='60'/>");
        }
        if heard.contains("<r ") && resumes {
            said.push_str(&format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.stanzas));
        }
        if heard.ends_with(self.wire.close()) {
            said.push_str(self.wire.close());
        }
        said
    }
}

#[test]
fn whatever_happens_every_promise_is_kept() {
    let only: Option<u64> = std::env::var("EPODE_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = only.map_or_else(|| (0..300).collect(), |only| [only].into());
    let mut sum = Sum::default();
    for seed in &seeds {
        let walked = std::panic::catch_unwind(|| {
            let mut walk = Walk::new(*seed, only.is_some());
            for _ in 0..700 {
                walk.step();
            }
            walk.leave();
            walk.sum
        });
        let one = walked.unwrap_or_else(|_| panic!("EPODE_SEED={seed} shows it"));
        sum.online += one.online;
        sum.resumed += one.resumed;
        sum.offline += one.offline;
        sum.acked += one.acked;
        sum.failed += one.failed;
        sum.sent += one.sent;
    }
    println!("{} walks: {sum:?}", seeds.len());
    if only.is_none() {
        assert!(
            sum.online > 1_000 && sum.resumed > 20 && sum.acked > 5_000 && sum.failed > 5_000,
            "{sum:?}"
        );
        assert_eq!(sum.sent, sum.acked + sum.failed);
    }
}
