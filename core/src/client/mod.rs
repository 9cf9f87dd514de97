//! The client: inputs in, outputs out. It owns the layers, and is the only place where they meet.
//!
//! - `mod.rs`: the contract: each input's way in, and the end of each turn.
//! - `connection.rs`: one link: how it comes up, and what the host says of it.
//! - `progress.rs`: what a link reports: the negotiation, and the session.
//! - `loss.rs`: how a link is lost, and what follows.
//! - `stanzas.rs`: what the application sends and is sent.
//! - `keeper.rs`: what survives a process.

mod connection;
mod keeper;
mod loss;
mod progress;
mod stanzas;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::fmt;

use crate::config::{Config, Credentials};
use crate::error::{IqError, Misuse, Offline, Refused};
use crate::input::{Input, LinkId, Network, Token};
use crate::jid::Jid;
use crate::link::{self, Context, Outgoing, bosh};
use crate::negotiation::memory::Memory;
use crate::negotiation::{self, Offers};
use crate::output::{Event, Output, Outputs, Stage};
use crate::random::Random;
use crate::session::iq::IqTable;
use crate::session::liveness::ClientState;
use crate::session::stream_management::StreamManagement;
use crate::supervisor::{self, Supervisor};
use crate::time::{Earliest, Instant, Timer};
use crate::xml::Element;
use connection::Connection;
use keeper::Keeper;

/// One account, and one session at a time with its server. It does no I/O.
///
/// A host has one loop: something happened, so [`handle`](Self::handle) it; do what [`next`](Self::next) says until it says
/// nothing more; wake up with [`Input::Tick`] at the [`deadline`](Self::deadline). See the crate's page for the whole loop.
pub struct Client {
    config: Config,
    random: Random,
    now: Instant,
    outputs: Outputs,
    link_events: VecDeque<link::Event>,
    session: Option<Session>,
    connection: Option<Connection>,
    ids: Ids,
    /// What the wall clock showed, and when.
    wall: Option<(Instant, u64)>,
    network: Network,
    foreground: bool,
    keeper: Keeper,
    /// What is known of the account's server.
    memory: Box<Memory>,
    /// The credentials of the next link.
    provided: Option<Box<Credentials>>,
}

/// What was given out last: no id is used twice.
#[derive(Debug)]
struct Ids {
    link: u64,
    request: u64,
    query: u64,
    token: u64,
    job: u64,
}

impl Ids {
    fn link(&mut self) -> LinkId {
        let id = LinkId(self.link);
        self.link = self.link.saturating_add(1);
        id
    }

    fn token(&mut self) -> Token {
        let token = Token(self.token);
        self.token = self.token.saturating_add(1);
        token
    }
}

/// From `Start` to `Offline`, over any number of links.
#[derive(Debug)]
struct Session {
    supervisor: Supervisor,
    stream: StreamManagement,
    client_state: ClientState,
    /// The bound JID; kept while the link is gone and the session may be resumed.
    jid: Option<Jid>,
    iq: IqTable,
    /// What waits for a session: the stanza, its size as XML, and its token if it reports its delivery.
    waiting: VecDeque<Outgoing>,
    waiting_bytes: usize,
    /// What the server offers for as long as the session lasts.
    offers: Offers,
    /// The application was told that the queue is full.
    full: bool,
    leaving: bool,
    /// A BOSH session that was restored, and not gone on with yet.
    dormant: Option<Box<bosh::state::State>>,
}

impl Client {
    /// A client that is offline. `seed` must come from the system's generator of randomness, and be used for one client
    /// only: everything that nobody may guess is derived from it. The same seed, configuration and inputs give the same
    /// outputs, to the byte.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            keeper: Keeper::new(&config),
            config,
            random: Random::new(&seed),
            now: Instant::default(),
            outputs: Outputs::default(),
            link_events: VecDeque::new(),
            session: None,
            connection: None,
            ids: Ids {
                link: 1,
                request: 1,
                query: 1,
                token: 1,
                job: 1,
            },
            memory: Box::default(),
            provided: None,
            wall: None,
            network: Network::Up,
            foreground: true,
        }
    }

    /// Takes an input. `now` never runs backwards: an earlier time than the last counts as the last.
    ///
    /// The token, for `Send` and `Request`, ties later events to the stanza. An error is about this call, and nothing has
    /// changed; what the server or the network does wrong is never an error here, but an event.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<Option<Token>, Refused> {
        self.now = self.now.max(now);
        self.keeper.turn_begins(&self.outputs);
        let mut given = None;
        match input {
            Input::Start => self.start()?,
            Input::Stop => self.stop(),
            Input::Restore { slot, bytes } => self.restore(slot, &bytes)?,
            Input::Clock { unix_ms } => self.wall = Some((self.now, unix_ms)),
            Input::Resolved { query, answer } => {
                if let Some((supervisor, cx)) = self.supervisor() {
                    supervisor.resolved(&cx, query, answer);
                }
            }
            Input::Connected { link, info } => self.connected(link, &info)?,
            Input::Received { link, bytes } => self.received(link, &bytes)?,
            Input::Written { link, bytes } => self.written(link, bytes)?,
            Input::Responded {
                link,
                request,
                status,
                body,
                tls,
            } => self.on_link(link, |link, cx| {
                link.responded(cx, request, status, &body, tls.as_ref())
            })?,
            Input::Failed {
                link,
                request: Some(request),
                reason,
            } => self.on_link(link, |link, cx| link.request_failed(cx, request, reason))?,
            Input::Failed {
                link,
                request: None,
                reason,
            } => self.failed(link, reason),
            Input::Ended { link } => self.ended(link),
            Input::Reading { link, reading } => self.reading(link, reading),
            Input::Network(network) => self.network(network),
            Input::Foreground(foreground) => self.foreground(foreground),
            Input::Pause { seconds } => self.pause(seconds),
            Input::Handled { token } => self.handled(token)?,
            Input::Derived { job, key } => self.host_event(negotiation::Event::Derived(job, key)),
            Input::Provide { credentials } => self.provide(credentials)?,
            Input::Task { payload } => self.task(payload)?,
            Input::Tick => self.tick(),
            Input::Send { stanza } => given = Some(self.send(stanza)?),
            Input::Request { iq, timeout } => given = Some(self.request(iq, timeout)?),
            Input::Respond { token, result } => self.respond(token, &result)?,
            Input::Cancel { token } => self.cancel(token),
        }
        self.settle();
        Ok(given)
    }

    /// What to do next, in order. Call it until it says `None`, after every input.
    #[must_use = "an output that is not carried out is lost"]
    #[expect(
        clippy::should_implement_trait,
        reason = "no iterator: outputs come back after `None`, with the next input"
    )]
    pub fn next(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When to send [`Input::Tick`], and for whom. It is the time of the last input while outputs are waiting, and
    /// otherwise, after a `Tick` at or past it, later than that, or nothing.
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        if !self.outputs.is_empty() {
            return Some((self.now, Timer::Output));
        }
        let session = self.session.as_ref()?;
        let mut earliest = Earliest::default();
        session.iq.deadline(self.is_reading(), &mut earliest);
        match &self.connection {
            Some(connection) => {
                connection.deadline(session.leaving, &mut earliest);
                if connection.online && !session.leaving {
                    session.stream.deadline(&mut earliest);
                }
            }
            None => session.supervisor.deadline(&mut earliest),
        }
        earliest.get()
    }

    /// Whether the host should go on reading from its links. `false` when outputs that it has not taken pile up, or stanzas that
    /// the application has not dealt with ([`Acknowledge::Manual`](crate::config::Acknowledge)).
    pub fn wants_read(&self) -> bool {
        let behind = self.session.as_ref().is_some_and(|session| session.stream.is_behind());
        !behind && self.outputs.bytes() <= self.config.limits.inbound_queue
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The full JID, while online.
    pub fn jid(&self) -> Option<&Jid> {
        let session = self.session.as_ref()?;
        session.jid.as_ref().filter(|_| self.is_online())
    }

    // ---- inputs

    fn start(&mut self) -> Result<(), Refused> {
        if self.session.is_some() {
            return Err(Refused::Misuse(Misuse::AlreadyStarted));
        }
        let mut client_state = ClientState::default();
        client_state.foreground(self.foreground);
        self.session = Some(Session {
            supervisor: Supervisor::new(),
            stream: StreamManagement::new(self.config.stream_management, self.config.limits.unacknowledged),
            client_state,
            jid: None,
            iq: IqTable::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            offers: Offers::default(),
            full: false,
            leaving: false,
            dormant: None,
        });
        let was_online = self.revive();
        if let Some(session) = &mut self.session {
            session.supervisor.start();
            if was_online {
                session.supervisor.set_was_online();
            }
            session.supervisor.network(self.now, self.network);
        }
        Ok(())
    }

    /// The credentials of the next login.
    fn provide(&mut self, credentials: Credentials) -> Result<(), Refused> {
        let anonymous = Credentials::Anonymous;
        let is_anonymous = self.config.credentials == anonymous || credentials == anonymous;
        if self.config.jid.local().is_none() && credentials.needs_account()
            || is_anonymous && self.config.credentials != credentials
        {
            return Err(Refused::Misuse(Misuse::CredentialsOfAnother));
        }
        self.provided = Some(Box::new(credentials));
        // A login that is under way ends with what it began with.
        if self.connection.is_none() {
            self.use_provided();
        }
        Ok(())
    }

    /// What was provided counts from now on.
    fn use_provided(&mut self) {
        let Some(credentials) = self.provided.take() else {
            return;
        };
        if self.config.credentials != *credentials {
            // The key is of the old password.
            self.memory.set_key(None);
            self.config.credentials = *credentials;
        }
    }

    fn task(&mut self, payload: Option<Element>) -> Result<(), Refused> {
        let negotiation = self
            .connection
            .as_ref()
            .and_then(|connection| connection.negotiation.as_ref());
        let leaving = self.session.as_ref().is_none_or(|session| session.leaving);
        if leaving || !negotiation.is_some_and(|negotiation| negotiation.awaits_task()) {
            return Err(Refused::Misuse(Misuse::NoTask));
        }
        self.host_event(negotiation::Event::TaskAnswer(payload));
        Ok(())
    }

    /// Something that the negotiation waited for, and that the host did.
    fn host_event(&mut self, event: negotiation::Event) {
        if self.session.as_ref().is_some_and(|session| !session.leaving) {
            self.negotiate(event);
            self.drain();
        }
    }

    fn foreground(&mut self, foreground: bool) {
        self.foreground = foreground;
        if let Some(session) = &mut self.session {
            session.client_state.foreground(foreground);
        }
        if foreground {
            self.keeper.awake();
        } else {
            self.keeper.suspend();
        }
    }

    fn network(&mut self, network: Network) {
        self.network = network;
        let Some(session) = &mut self.session else { return };
        session.supervisor.network(self.now, network);
        self.network_changed(network);
    }

    fn pause(&mut self, seconds: u32) {
        if let Some((session, Some(connection), _)) = self.parts() {
            if connection.online {
                connection.link.pause(seconds);
                session.stream.ask();
            }
        }
        self.keeper.suspend();
        self.drain();
    }

    fn tick(&mut self) {
        let now = self.now;
        match self.parts() {
            Some((_, Some(connection), mut cx)) => connection.link.tick(&mut cx),
            Some((session, None, cx)) => session.supervisor.tick(cx.now),
            None => {}
        }
        self.drain();
        let reading = self.is_reading();
        let Some(session) = &mut self.session else { return };
        let (late, answers) = session.iq.expired(now, reading);
        for token in late {
            // Nobody waits for the answer: then the question need not go out.
            self.take_back(token);
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Timeout),
            });
        }
        for (token, answer) in answers {
            if let Some(session) = &mut self.session {
                session.stream.handled(token);
            }
            self.enqueue(Outgoing::new(&answer, None));
        }
        self.connection_tick();
    }

    // ---- layers

    /// The session, its link, and what they may use meanwhile.
    fn parts(&mut self) -> Option<(&mut Session, Option<&mut Connection>, Context<'_>)> {
        let session = self.session.as_mut()?;
        let cx = Context {
            now: self.now,
            outputs: &mut self.outputs,
            random: &mut self.random,
            events: &mut self.link_events,
            next_request: &mut self.ids.request,
        };
        Some((session, self.connection.as_mut(), cx))
    }

    /// The supervisor, and what it may use.
    fn supervisor(&mut self) -> Option<(&mut Supervisor, supervisor::Context<'_>)> {
        let session = self.session.as_mut()?;
        let cx = supervisor::Context {
            now: self.now,
            config: &self.config,
            outputs: &mut self.outputs,
            random: &mut self.random,
            next_query: &mut self.ids.query,
        };
        Some((&mut session.supervisor, cx))
    }

    /// The end of a turn: what can leave leaves, a link that is wanted is asked for, and a queue that has room again says so.
    fn settle(&mut self) {
        self.advance();
        self.acknowledge();
        if let Some((_, Some(connection), mut cx)) = self.parts() {
            let before = cx.outputs.len();
            connection.link.flush(&mut cx);
            // Whatever is said keeps the connection from being forgotten.
            if let Some(liveness) = connection.liveness.as_mut().filter(|_| cx.outputs.len() > before) {
                liveness.spoke(cx.now);
            }
        }
        self.drain();
        // What the flush has shown may have ended the link.
        self.advance();
        self.keep();
        let half = self.config.limits.outbound_queue / 2;
        let pending = self.config.limits.pending_requests / 2;
        let bytes = self.outbound_bytes();
        let Some(session) = &mut self.session else { return };
        let stanzas = session.stream.unacknowledged().saturating_add(session.waiting.len());
        let room = bytes <= half && session.iq.ours() <= pending && stanzas <= self.config.limits.unacknowledged / 2;
        if session.full && room {
            session.full = false;
            self.outputs.event(Event::Writable);
        }
    }

    /// Passes what the link reported up through the layers, in order, within the same turn.
    fn drain(&mut self) {
        // One by one: when one of them is the end, the end settles what the others say of stanzas.
        while let Some(event) = self.link_events.pop_front() {
            self.link_event(event);
        }
        // An idle client holds no memory for a burst that is over.
        self.link_events = VecDeque::new();
    }

    fn is_online(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.online)
    }

    fn is_reading(&self) -> bool {
        self.connection
            .as_ref()
            .is_none_or(|connection| connection.not_reading_since.is_none())
    }

    /// Takes back what `token` was given for, if it has not been written yet.
    fn take_back(&mut self, token: Token) -> bool {
        let Some(session) = &mut self.session else { return false };
        let waiting = session.waiting.iter().position(|outgoing| outgoing.is(token));
        let unwritten = match waiting.and_then(|index| session.waiting.remove(index)) {
            Some(outgoing) => {
                session.waiting_bytes = session.waiting_bytes.saturating_sub(outgoing.xml.len());
                session.stream.cancelled(token);
                true
            }
            None => self
                .connection
                .as_mut()
                .is_some_and(|connection| connection.link.cancel(token)),
        };
        if unwritten {
            self.keeper.dropped(token);
        }
        unwritten
    }

    /// Bytes that wait for a session, for the host, or for the server's word that it has them.
    fn outbound_bytes(&self) -> usize {
        let Some(session) = &self.session else { return 0 };
        let link = self
            .connection
            .as_ref()
            .map_or(0, |connection| connection.link.pending_bytes());
        link.max(session.stream.unacknowledged_bytes())
            .saturating_add(session.waiting_bytes)
    }

    fn delivery(&mut self, token: Token, stage: Stage) {
        if stage >= Stage::Acked {
            if let Some(connection) = &mut self.connection {
                connection.link.settled(token);
            }
        }
        self.outputs.event(Event::Delivery { token, stage });
    }

    /// The end: every promise to the application is settled, and `Offline` is last.
    fn over(&mut self, reason: Offline) {
        self.settle_all();
        self.session = None;
        self.keeper.session_over();
        self.outputs.event(Event::Offline { reason });
    }

    /// Every promise to the application is settled: nothing will come any more.
    fn settle_all(&mut self) {
        let Some(session) = &mut self.session else { return };
        let lost = session.stream.reset();
        let dormant = session.dormant_tokens();
        let waiting = core::mem::take(&mut session.waiting);
        let unanswered = session.iq.clear();
        for token in lost.acked {
            self.delivery(token, Stage::Acked);
        }
        // There is no next session to send them again in.
        let again = lost.again.into_iter().filter_map(|outgoing| outgoing.token);
        for token in lost.failed.into_iter().chain(again).chain(dormant) {
            self.delivery(token, Stage::Failed);
        }
        for token in waiting.into_iter().filter_map(|outgoing| outgoing.token) {
            self.delivery(token, Stage::Failed);
        }
        for token in unanswered {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Disconnected),
            });
        }
    }
}

impl Session {
    fn wait(&mut self, mut outgoing: Outgoing) {
        outgoing.stored = true;
        self.waiting_bytes = self.waiting_bytes.saturating_add(outgoing.xml.len());
        self.waiting.push_back(outgoing);
    }

    /// What comes before all that waits.
    fn wait_first(&mut self, several: impl DoubleEndedIterator<Item = Outgoing>) {
        for mut outgoing in several.rev() {
            outgoing.stored = true;
            self.waiting_bytes = self.waiting_bytes.saturating_add(outgoing.xml.len());
            self.waiting.push_front(outgoing);
        }
    }
}

/// What the wall clock shows now, if it was ever told.
fn unix_ms(wall: Option<(Instant, u64)>, now: Instant) -> Option<u64> {
    let (at, unix_ms) = wall?;
    let since = u64::try_from(now.since(at).as_millis()).ok()?;
    unix_ms.checked_add(since)
}

/// Shows neither the credentials nor what waits to be sent.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("account", &self.config.account())
            .field("now", &self.now)
            .field("online", &self.jid())
            .finish_non_exhaustive()
    }
}
