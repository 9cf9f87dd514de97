//! What the client cannot be asked for, one step at a time and over thousands of schedules: pauses, sessions that were made
//! elsewhere, sessions that another process had.
//!
//! - `mod.rs`: a link, and its host.
//! - `steps.rs`: exchanges that are known.
//! - `schedules.rs`: a link, a strict connection manager, and a network and a process that fail.

mod schedules;
mod steps;

#[path = "../../../../tests/pair/random.rs"]
mod random;
#[path = "../../../../tests/pair/server.rs"]
mod server;

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::state::State;
use super::{Bosh, Parameters};
use crate::config::{Attach, Bosh as Settings};
use crate::error::{Offline, Warning};
use crate::input::{Failure, LinkId, RequestId, TlsFacts, Token};
use crate::link::{Context, Event, Outgoing};
use crate::output::{Output, Outputs, Stage};
use crate::random::Random;
use crate::time::{Earliest, Instant, Timer};
use crate::xml::{Element, XmlLimits};

const NS: &str = "xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";

/// A link and what it works with, as the client has them; and what is stored.
struct Host {
    bosh: Bosh,
    random: Random,
    next_request: u64,
    now: u64,
    /// As a host would have stored it: at the beginning, and then each change before the requests that follow it.
    stored: Option<State>,
    stores: usize,
}

/// What came of one turn.
#[derive(Debug, Default)]
struct Turn {
    attached: Option<String>,
    restored: bool,
    heard: Vec<String>,
    stages: Vec<(Token, Stage)>,
    warnings: Vec<Warning>,
    closed: Option<Option<Offline>>,
    /// New requests and resends, in order.
    posts: Vec<(RequestId, u64, String)>,
    abandoned: Vec<RequestId>,
}

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        first_rid: Some(1000),
        ..Settings::new("https://example.org/bosh")
    };
    change(&mut settings);
    settings
}

/// A session that was made elsewhere.
fn attach() -> Attach {
    Attach {
        sid: "s1".into(),
        next_rid: 1004,
        jid: "juliet@example.org/balcony".to_string(),
        wait: 60,
        hold: 1,
        requests: 2,
        inactivity: Some(30),
        polling: Some(5),
        maxpause: Some(120),
        acknowledges: true,
        keys: None,
    }
}

fn parameters(settings: Settings) -> Parameters {
    Parameters {
        id: LinkId(1),
        settings,
        domain: "example.org".to_string(),
        language: "en".to_string(),
        limits: XmlLimits::default(),
        connect_timeout: Duration::from_secs(30),
        presents_certificate: false,
    }
}

fn message(number: u64) -> Element {
    let message = Element::builder("jabber:client", "message").attr("to", "romeo@example.net");
    let body = Element::builder("jabber:client", "body").text(&number.to_string());
    message.child(body).build().unwrap()
}

impl Host {
    /// Connected: whatever the link says first is in the turn.
    fn new(settings: Settings, now: u64) -> (Self, Turn) {
        Self::with(Bosh::new(parameters(settings)), None, now, 7, 1)
    }

    /// Another process, which has nothing but what was stored. (Its ids are of no meaning to any other; here they tell
    /// connections apart.)
    fn restored(settings: Settings, state: State, now: u64, seed: u8, next_request: u64) -> (Self, Turn) {
        let bosh = Bosh::restore(parameters(settings), state.clone());
        let (host, turn) = Self::with(bosh, Some(state), now, seed, next_request);
        assert!(turn.restored);
        (host, turn)
    }

    fn with(mut bosh: Bosh, stored: Option<State>, now: u64, seed: u8, next_request: u64) -> (Self, Turn) {
        bosh.record_changes(true);
        let mut host = Self {
            bosh,
            random: Random::new(&[seed; 32]),
            next_request,
            now,
            stored,
            stores: 0,
        };
        let turn = host.turn(|bosh, cx| bosh.connected(cx, None, None));
        (host, turn)
    }

    /// One turn as the client does it: an input, what it reports, then what can be posted; and before that, the storing.
    fn turn(&mut self, input: impl FnOnce(&mut Bosh, &mut Context<'_>)) -> Turn {
        let mut turn = Turn::default();
        let mut outputs = Outputs::default();
        let mut events = VecDeque::new();
        let newest = self.bosh.next_rid;
        let mut cx = Context {
            now: Instant::from_millis(self.now),
            outputs: &mut outputs,
            random: &mut self.random,
            events: &mut events,
            next_request: &mut self.next_request,
        };
        input(&mut self.bosh, &mut cx);
        let (before_pump, before) = (self.bosh.next_rid, self.bosh.phase);
        self.bosh.pump(&mut cx);
        // Whoever stores has to know where in the outputs: new numbers come from `pump`, and from the creation of a session.
        assert!(before_pump == newest || before == super::Phase::Creating || turn_begins(&events) || self.bosh.ended);
        while let Some(output) = outputs.pop() {
            turn.output(output);
        }
        for event in events {
            turn.event(event);
        }
        self.store();
        turn
    }

    fn store(&mut self) {
        let changes = self.bosh.take_changes();
        self.stores += usize::from(!changes.is_empty());
        self.stored = match self.stored.take() {
            None => self.bosh.state(),
            Some(state) => changes
                .into_iter()
                .try_fold(state, |state, (change, _)| state.apply(change)),
        };
        // All changes together are the session as it is.
        assert_eq!(self.stored, self.bosh.state());
    }

    fn say(&mut self, token: u64) -> Turn {
        let outgoing = Outgoing::new(&message(token), Some(Token(token)));
        self.turn(|bosh, _| bosh.send(outgoing))
    }

    fn pause(&mut self, seconds: u32) -> Turn {
        self.turn(|bosh, _| {
            bosh.pause(seconds);
        })
    }

    fn respond(&mut self, request: RequestId, status: u16, body: &str) -> Turn {
        self.turn(|bosh, cx| bosh.responded(cx, request, status, body.as_bytes(), None::<&TlsFacts>))
    }

    fn fail(&mut self, request: RequestId, reason: Failure) -> Turn {
        self.turn(|bosh, cx| bosh.failed(cx, request, reason))
    }

    fn tick(&mut self) -> Turn {
        let turn = self.turn(Bosh::tick);
        if let Some((at, timer)) = self.deadline() {
            assert!(at > self.now, "{timer}: the deadline lies");
        }
        turn
    }

    fn deadline(&self) -> Option<(u64, Timer)> {
        let mut earliest = Earliest::default();
        self.bosh.deadline(&mut earliest);
        earliest.get().map(|(at, timer)| (at.as_millis(), timer))
    }
}

/// A session is going on from here: what has no answer is posted again at once.
fn turn_begins(events: &VecDeque<Event>) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::Attached { .. } | Event::Restored))
}

impl Turn {
    fn output(&mut self, output: Output) {
        match &output {
            Output::Post { request, body, .. } => {
                let element = Element::parse(body, &XmlLimits::default()).unwrap();
                let rid = element.attribute("rid").unwrap().parse().unwrap();
                self.posts
                    .push((*request, rid, String::from_utf8(body.clone()).unwrap()));
            }
            Output::Abandon { request, .. } => self.abandoned.push(*request),
            Output::Resolve { .. }
            | Output::Store { .. }
            | Output::Connect { .. }
            | Output::Write { .. }
            | Output::Frame { .. }
            | Output::StartTls { .. }
            | Output::DeriveKey { .. }
            | Output::Close { .. }
            | Output::Event(_) => panic!("{output:?}"),
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Opened => {}
            Event::Attached { jid } => self.attached = Some(jid),
            Event::Restored => self.restored = true,
            Event::Element(element) => {
                let body = element.child("jabber:client", "body");
                self.heard
                    .push(body.map_or_else(String::new, |body| body.text().to_string()));
            }
            Event::Delivery(token, stage) => self.stages.push((token, stage)),
            Event::Warning(warning) => self.warnings.push(warning),
            Event::Closed(reason) => self.closed = Some(reason),
        }
    }

    fn rids(&self) -> Vec<u64> {
        self.posts.iter().map(|(_, rid, _)| *rid).collect()
    }
}
