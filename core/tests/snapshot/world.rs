//! The host with its disk, the application with its notes, and the process that ends.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at what it is about, and fails at the rest"
)]

use std::collections::{BTreeMap, BTreeSet};

use epode::config::{Bosh, ConfigBuilder, Persist, Transport};
use epode::{
    Client, Config, Credentials, Element, Endpoint, Event, Failure, Input, Instant, LinkId, LinkInfo, Output, Refused,
    Secret, Slot, Stage, TcpTls, Token, Warning, stanza,
};

use crate::bosh::Manager;
use crate::stream::Server;

/// How much a server forgets of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgets {
    Everything,
    /// It still says how many stanzas it has handled.
    ButTheCount,
}

#[derive(Debug)]
pub(crate) enum Peer {
    Stream(Server),
    Bosh(Manager),
}

/// What the application knows of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub(crate) token: Option<Token>,
    pub(crate) stages: Vec<Stage>,
    /// How often the server had it when it was reported `Acked`.
    pub(crate) copies: Option<usize>,
}

pub(crate) struct World {
    pub(crate) client: Client,
    config: Config,
    processes: u8,
    pub(crate) now: u64,
    pub(crate) peer: Peer,
    link: Option<LinkId>,
    pub(crate) disk: Vec<u8>,
    /// What logins taught.
    pub(crate) taught: BTreeMap<Slot, Vec<u8>>,
    /// After how many outputs of a process it ends; one for each process.
    pub(crate) kills: Vec<usize>,
    carried: usize,
    pub(crate) outputs: usize,
    pub(crate) notes: BTreeMap<u64, Note>,
    pub(crate) heard: BTreeSet<u64>,
    pub(crate) events: Vec<Event>,
    /// Each store: the slot's bytes, and whether they were added.
    pub(crate) stores: Vec<(bool, usize)>,
    /// What left in writes, frames and posts.
    pub(crate) left: usize,
    written: u64,
}

pub(crate) fn tcp() -> ConfigBuilder {
    config().tcp("example.org", 5223, TcpTls::Direct)
}

pub(crate) fn over_bosh(change: impl FnOnce(&mut Bosh)) -> ConfigBuilder {
    let mut bosh = Bosh::new("https://example.org/bosh");
    change(&mut bosh);
    config().transport(Transport::Bosh(bosh))
}

fn config() -> ConfigBuilder {
    Config::builder("juliet@example.org/balcony".parse().unwrap())
        .credentials(Credentials::certificate("juliet", None))
        .persist(Persist::EveryTurn)
}

pub(crate) fn message(number: u64) -> Element {
    stanza::chat(&"romeo@example.net".parse().unwrap(), &number.to_string()).unwrap()
}

impl World {
    pub(crate) fn new(config: ConfigBuilder, peer: Peer) -> Self {
        let config = config.build().unwrap();
        Self {
            client: Client::new(config.clone(), [1; 32]),
            config,
            processes: 1,
            now: 1_000,
            peer,
            link: None,
            disk: Vec::new(),
            taught: BTreeMap::new(),
            kills: Vec::new(),
            carried: 0,
            outputs: 0,
            notes: BTreeMap::new(),
            heard: BTreeSet::new(),
            events: Vec::new(),
            stores: Vec::new(),
            left: 0,
            written: 0,
        }
    }

    /// Gives an input, and carries out what follows; the process may end on the way.
    pub(crate) fn handle(&mut self, input: Input<'_>) -> Result<Option<Token>, Refused> {
        let said = match &input {
            Input::Send { stanza } => stanza
                .child("jabber:client", "body")
                .map(|body| body.text().parse().unwrap()),
            _ => None,
        };
        let result = self.client.handle(Instant::from_millis(self.now), input);
        if let (Some(number), Ok(Some(token))) = (said, &result) {
            // A token that nobody was told of may be given again.
            let known = |note: &Note| note.token == Some(*token) && !note.stages.is_empty();
            assert!(!self.notes.values().any(known), "{token} was given out before");
            for note in self.notes.values_mut().filter(|note| note.token == Some(*token)) {
                note.token = None;
            }
            self.notes.entry(number).or_default().token = Some(*token);
        }
        while let Some(output) = self.client.next() {
            if self.kills.first() == Some(&self.carried) {
                self.kills.remove(0);
                self.killed(&output);
                return result;
            }
            self.carried += 1;
            self.outputs += 1;
            self.carry_out(output);
        }
        result
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Store { slot, append, bytes } => {
                if slot != Slot::Session {
                    assert!(!append, "{slot:?}");
                    self.taught.insert(slot, bytes.expose().to_vec());
                    return;
                }
                self.stores.push((append, bytes.expose().len()));
                if !append {
                    self.disk.clear();
                }
                self.disk.extend(bytes.expose());
            }
            Output::Connect { link, endpoint, .. } => {
                match (&endpoint, &self.peer) {
                    (Endpoint::Tcp { .. }, Peer::Stream(_)) | (Endpoint::Bosh { .. }, Peer::Bosh(_)) => {}
                    other => panic!("{other:?}"),
                }
                self.link = Some(link);
                self.written = 0;
            }
            Output::Write { bytes, .. } => {
                self.left += bytes.len();
                self.written += bytes.len() as u64;
                let Peer::Stream(server) = &mut self.peer else { panic!() };
                server.write(&bytes);
            }
            Output::Post { request, body, .. } => {
                self.left += body.len();
                let Peer::Bosh(manager) = &mut self.peer else { panic!() };
                manager.post(request, &body);
            }
            Output::Abandon { .. } => {}
            Output::Close { .. } => self.link_gone(),
            Output::Event(event) => self.event(event),
            other => panic!("{other:?}"),
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::Delivery { token, stage } => {
                let Some((number, note)) = self.notes.iter_mut().find(|(_, note)| note.token == Some(*token)) else {
                    panic!("{token} is not known: {stage:?}");
                };
                note.stages.push(*stage);
                if *stage == Stage::Acked {
                    let copies = self.peer.copies(*number);
                    assert!(copies > 0, "{number} is lost, and said to be acknowledged");
                    note.copies.get_or_insert(copies);
                }
            }
            Event::Stanza { stanza, .. } => {
                let body = stanza.child("jabber:client", "body").unwrap();
                self.heard.insert(body.text().parse().unwrap());
            }
            _ => {}
        }
        self.events.push(event);
    }

    fn link_gone(&mut self) {
        self.link = None;
        match &mut self.peer {
            Peer::Stream(server) => server.disconnected(),
            Peer::Bosh(manager) => manager.disconnected(),
        }
    }

    /// The process ends before it has carried out `output`: of what is added to the slot a part may be there.
    fn killed(&mut self, output: &Output) {
        if let Output::Store {
            append: true, bytes, ..
        } = output
        {
            let bytes = bytes.expose();
            self.disk.extend(&bytes[..bytes.len() * 2 / 3]);
        }
        self.restart();
    }

    /// Another process goes on with what is on the disk.
    pub(crate) fn restart(&mut self) {
        self.link_gone();
        self.processes += 1;
        self.carried = 0;
        self.now += 10;
        self.client = Client::new(self.config.clone(), [self.processes; 32]);
        let (slot, bytes) = (Slot::Session, Secret::new(self.disk.clone()));
        self.handle(Input::Restore { slot, bytes }).unwrap();
        for (slot, bytes) in self.taught.clone() {
            let bytes = Secret::new(bytes);
            self.handle(Input::Restore { slot, bytes }).unwrap();
        }
        self.handle(Input::Start).unwrap();
    }

    /// All that can happen now happens.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.now += 1;
            let Some(link) = self.link else { return };
            let info = LinkInfo {
                alpn: None,
                ..LinkInfo::verified("example.org")
            };
            let written = std::mem::take(&mut self.written);
            // Refused where it was said before.
            let _ = self.handle(Input::Connected { link, info });
            if written > 0 && self.link == Some(link) {
                self.handle(Input::Written { link, bytes: written }).unwrap();
                continue;
            }
            match &mut self.peer {
                Peer::Stream(server) => {
                    let Some(text) = server.says.pop_front() else { return };
                    let bytes = text.into_bytes().into();
                    self.handle(Input::Received { link, bytes }).unwrap();
                }
                Peer::Bosh(manager) => {
                    let Some((request, body)) = manager.says.pop_front() else {
                        return;
                    };
                    let (status, body, tls) = (200, body.into_bytes().into(), None);
                    self.handle(Input::Responded {
                        link,
                        request,
                        status,
                        body,
                        tls,
                    })
                    .unwrap();
                }
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets time pass; the client is woken exactly when it asks to be.
    pub(crate) fn wait(&mut self, millis: u64) {
        let until = self.now + millis;
        self.settle();
        while let Some((at, _)) = self.client.deadline() {
            if at.as_millis() > until {
                break;
            }
            self.now = self.now.max(at.as_millis());
            self.handle(Input::Tick).unwrap();
            self.settle();
        }
        self.now = self.now.max(until);
        if let Peer::Bosh(manager) = &mut self.peer {
            manager.wait_is_over();
            self.settle();
        }
    }

    pub(crate) fn start(&mut self) {
        self.handle(Input::Start).unwrap();
        self.settle();
    }

    pub(crate) fn say(&mut self, number: u64) {
        self.notes.entry(number).or_default();
        let stanza = message(number);
        let result = self.handle(Input::Send { stanza });
        assert!(result.is_ok(), "{result:?}: {:#?}", self.events);
    }

    pub(crate) fn hear(&mut self, number: u64) {
        match &mut self.peer {
            Peer::Stream(server) => server.say(number),
            Peer::Bosh(manager) => manager.say(number),
        }
    }

    pub(crate) fn cut(&mut self) {
        if let Some(link) = self.link.take() {
            let (request, reason) = (None, Failure::Reset);
            if let Peer::Stream(server) = &mut self.peer {
                server.disconnected();
                self.handle(Input::Failed { link, request, reason }).unwrap();
            } else {
                self.link = Some(link);
            }
        }
    }

    pub(crate) fn onlines(&self) -> Vec<bool> {
        let resumed = |event: &Event| match event {
            Event::Online { resumed, .. } => Some(*resumed),
            _ => None,
        };
        self.events.iter().filter_map(resumed).collect()
    }

    pub(crate) fn not_resumed(&self) -> bool {
        let warned = |event: &Event| matches!(event, Event::Warning(Warning::NotResumed { .. }));
        self.events.iter().any(warned)
    }
}

impl Peer {
    pub(crate) fn heard(&self) -> &[u64] {
        match self {
            Self::Stream(server) => &server.heard,
            Self::Bosh(manager) => &manager.heard,
        }
    }

    pub(crate) fn copies(&self, number: u64) -> usize {
        self.heard().iter().filter(|heard| **heard == number).count()
    }
}
