//! The one task that owns the engine: it feeds inputs, carries out outputs in order, and keeps the deadline.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use epode::error::{ConnectionError, IqError};
use epode::{
    Answer, Credentials, Derivation, Element, Endpoint, Event, Failure, Input, Instant, JobId, LinkId, Offline, Output,
    QueryId, Question, Refused, Secret, Slot, StanzaError, Token,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::account;
use crate::backlog::Backlog;
use crate::builder::{Trace, Tracer};
use crate::clock::{self, Clock};
use crate::error::CallError;
use crate::http;
use crate::link::{Environment, Link, Opening, Order, Wires};
use crate::record::Record;
use crate::store::Store;
use crate::tls::ClientIdentity;

/// Events that wait here beyond the channel before calls are refused with `Full`: an application that sends and never
/// takes an event would fill the memory with the news of its own stanzas.
const BACKLOG: usize = 3_000;

/// How long the driver sleeps at most. Its timers stand still while the device sleeps, and the engine's clock does not: this is
/// how late they can be after that.
const LONG: Duration = Duration::from_secs(60);

/// How often the engine is told what the wall clock shows.
const CLOCK: Duration = Duration::from_secs(3_600);

/// More than the engine's clock can run ahead of the driver's timers while the device is awake.
const SLEPT: Duration = Duration::from_secs(2);

/// How long after its deadline a question is given up: the engine has gone on by then, and not because of this.
const PATIENCE: Duration = Duration::from_secs(1);

/// What an application asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Start {
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    Stop,
    Send {
        stanza: Box<Element>,
        reply: oneshot::Sender<Result<Token, Refused>>,
    },
    Request {
        iq: Box<Element>,
        timeout: Option<Duration>,
        /// What the account's password is, once there is a result.
        password: Option<Secret>,
        answer: oneshot::Sender<Result<Element, IqError>>,
        reply: oneshot::Sender<Result<Token, Refused>>,
    },
    Respond {
        token: Token,
        result: Box<Result<Option<Element>, StanzaError>>,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
    Cancel {
        token: Token,
    },
    Provide {
        credentials: Box<Credentials>,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    /// What the application knows, as an input that has no token.
    Tell {
        input: Box<Input<'static>>,
        reply: oneshot::Sender<Result<(), Refused>>,
    },
}

/// What the actor is made of.
pub(crate) struct Parts {
    pub(crate) engine: epode::Client,
    pub(crate) identities: HashMap<String, ClientIdentity>,
    pub(crate) allow_invalid_certificate: bool,
    pub(crate) environment: Environment,
    pub(crate) store: Option<Box<dyn Store>>,
    pub(crate) trace: Option<Tracer>,
    pub(crate) record: Option<Record>,
}

/// A request that has no answer yet.
struct Asked {
    answer: oneshot::Sender<Result<Element, IqError>>,
    /// What the account's password is, once there is a result.
    password: Option<Secret>,
}

pub(crate) struct Actor {
    engine: epode::Client,
    identities: HashMap<String, ClientIdentity>,
    allow_invalid_certificate: bool,
    environment: Arc<Environment>,
    store: Option<Box<dyn Store>>,
    trace: Option<Tracer>,
    record: Option<Record>,
    clock: Clock,
    /// When the engine was last told the time, on both clocks.
    told: (Duration, tokio::time::Instant),
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events that the channel had no room for.
    backlog: Backlog,
    /// A call was refused for the backlog's sake: `Writable` is owed.
    refused: bool,
    answers: HashMap<Token, Asked>,
    /// The server has taken it; the engine does not have it yet.
    new_password: Option<Secret>,
    links: HashMap<LinkId, Link>,
    /// Questions to DNS and to web servers, and derivations of keys.
    jobs: JoinSet<()>,
    wires: Wires,
    arrivals: mpsc::Receiver<Input<'static>>,
    news: mpsc::Receiver<Input<'static>>,
    reading: bool,
    /// Between `Start` and `Offline`.
    running: bool,
    /// The application has dropped its end: what is left to do is the goodbye.
    abandoned: bool,
    /// What has to be stored cannot be: nothing more is done.
    broken: bool,
}

impl Actor {
    pub(crate) fn new(parts: Parts, commands: mpsc::Receiver<Command>, events: mpsc::Sender<Event>) -> Self {
        // One: what waits stays with the requests and connections that brought it, and those are few and bounded.
        let (arrivals_sender, arrivals) = mpsc::channel(1);
        let (news_sender, news) = mpsc::channel(1);
        Self {
            engine: parts.engine,
            identities: parts.identities,
            allow_invalid_certificate: parts.allow_invalid_certificate,
            environment: Arc::new(parts.environment),
            store: parts.store,
            trace: parts.trace,
            record: parts.record,
            clock: Clock::new(),
            told: (Duration::ZERO, tokio::time::Instant::now()),
            commands,
            events,
            backlog: Backlog::default(),
            refused: false,
            answers: HashMap::new(),
            new_password: None,
            links: HashMap::new(),
            jobs: JoinSet::new(),
            wires: Wires {
                arrivals: arrivals_sender,
                news: news_sender,
            },
            arrivals,
            news,
            reading: true,
            running: false,
            abandoned: false,
            broken: false,
        }
    }

    /// Gives the engine what an earlier one stored, before the first `Start`; what it does not take is told.
    pub(crate) fn restore(&mut self, stored: Vec<(Slot, Vec<u8>)>) -> Vec<(Slot, Refused)> {
        self.tell_time();
        stored
            .into_iter()
            .filter_map(|(slot, bytes)| {
                let bytes = Secret::new(bytes);
                self.feed(Input::Restore { slot, bytes })
                    .err()
                    .map(|refused| (slot, refused))
            })
            .collect()
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.carry_out().await;
            self.offer_room();
            self.judge_reading();
            // Telling the engine about reading may have moved a deadline, and may have brought output.
            self.carry_out().await;
            if let Some(record) = &mut self.record {
                record.flush();
            }
            if self.broken {
                return self.say_last_words().await;
            }
            if self.abandoned && !self.running {
                return;
            }
            let events = self.events.clone();
            let wake = self.wake();
            // Calls come last: tasks that try a refused one again and again must hold up neither the clock nor the answers,
            // which are what makes room for it.
            tokio::select! {
                biased;
                permit = events.reserve(), if !self.backlog.is_empty() && !self.abandoned => {
                    if let Ok(permit) = permit && let Some(event) = self.backlog.pop() {
                        permit.send(event);
                    }
                }
                () = events.closed(), if !self.abandoned => self.abandon(),
                () = tokio::time::sleep_until(wake) => self.woken(),
                Some(news) = self.news.recv() => self.tell(news),
                Some(arrival) = self.arrivals.recv(), if self.reading => self.arrived(arrival),
                command = self.commands.recv(), if !self.abandoned => match command {
                    Some(command) => self.obey(command).await,
                    None => self.abandon(),
                },
                Some(_) = self.jobs.join_next(), if !self.jobs.is_empty() => {}
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn feed(&mut self, input: Input<'static>) -> Result<Option<Token>, Refused> {
        let now = self.now();
        if let Some(record) = &mut self.record {
            record.input(now, &input);
        }
        if let Some(trace) = &mut self.trace {
            trace(Trace::Input { now, input: &input });
        }
        self.engine.handle(now, input)
    }

    /// For inputs that this driver gives only where the contract has them: a refusal would change nothing.
    fn tell(&mut self, input: Input<'static>) {
        let refused = self.feed(input);
        debug_assert!(refused.is_ok(), "the driver broke the contract: {refused:?}");
    }

    /// When to look at the clock again. The timers may have stood still while the device slept, so it is never long until then.
    fn wake(&self) -> tokio::time::Instant {
        let wait = match self.engine.deadline() {
            Some((at, _)) => Duration::from_millis(at.as_millis()).saturating_sub(self.clock.elapsed()),
            None => LONG,
        };
        tokio::time::Instant::now() + wait.min(LONG)
    }

    fn woken(&mut self) {
        let (elapsed, at) = self.told;
        let since = self.clock.elapsed().saturating_sub(elapsed);
        if since >= CLOCK || since > at.elapsed() + SLEPT {
            self.tell_time();
        }
        if self.engine.deadline().is_some_and(|(at, _)| at <= self.now()) {
            self.tell(Input::Tick);
        }
    }

    fn tell_time(&mut self) {
        self.told = (self.clock.elapsed(), tokio::time::Instant::now());
        let unix_ms = clock::unix_ms();
        self.tell(Input::Clock { unix_ms });
    }

    fn abandon(&mut self) {
        self.abandoned = true;
        self.backlog = Backlog::default();
        if self.running {
            self.tell(Input::Stop);
        }
    }

    async fn obey(&mut self, command: Command) {
        // A caller that does not wait for its reply any more is no error.
        match command {
            Command::Start { reply } => {
                let result = self.feed(Input::Start).map(|_| ());
                self.running |= result.is_ok();
                let _ = reply.send(result);
            }
            Command::Stop => {
                if self.running {
                    self.tell(Input::Stop);
                }
            }
            Command::Send { stanza, reply } => {
                let result = self.room().and_then(|()| self.feed(Input::Send { stanza: *stanza }));
                let _ = reply.send(with_token(result));
            }
            Command::Request {
                iq,
                timeout,
                password,
                answer,
                reply,
            } => {
                let result = with_token(
                    self.room()
                        .and_then(|()| self.feed(Input::Request { iq: *iq, timeout })),
                );
                if let Ok(token) = result {
                    self.answers.insert(token, Asked { answer, password });
                }
                let _ = reply.send(result);
            }
            Command::Respond { token, result, reply } => {
                let _ = reply.send(self.feed(Input::Respond { token, result: *result }).map(|_| ()));
            }
            Command::Cancel { token } => {
                // It may be over already: then there is nothing to cancel.
                let _ = self.feed(Input::Cancel { token });
            }
            Command::Provide { credentials, reply } => {
                let _ = reply.send(self.provide(*credentials));
            }
            Command::Tell { input, reply } => {
                let result = self.feed(*input).map(|_| ());
                // Whoever says that the device is about to sleep waits until everything is stored and under way.
                self.carry_out().await;
                let _ = reply.send(result);
            }
        }
    }

    fn provide(&mut self, credentials: Credentials) -> Result<(), CallError> {
        if let Some(label) = credentials.identity() {
            match self.identities.get(label) {
                _ if self.allow_invalid_certificate => {}
                Some(identity) => identity.check().map_err(CallError::Identity)?,
                None => {
                    return Err(CallError::NoIdentity {
                        label: label.to_owned(),
                    });
                }
            }
        }
        self.feed(Input::Provide { credentials })?;
        Ok(())
    }

    fn room(&mut self) -> Result<(), Refused> {
        // While nothing runs, the engine has its own word for it.
        if !self.running || self.backlog.len() < BACKLOG {
            return Ok(());
        }
        self.refused = true;
        Err(Refused::Full)
    }

    /// Pays what `room` owes: whoever was refused waits for `Writable`.
    fn offer_room(&mut self) {
        if self.refused && self.backlog.is_empty() {
            self.refused = false;
            self.queue(Event::Writable);
        }
    }

    fn arrived(&mut self, arrival: Input<'static>) {
        if let Input::Connected { link, .. } = &arrival
            && !self.links.contains_key(link)
        {
            return;
        }
        self.tell(arrival);
    }

    /// Tells the engine when the driver stops reading, and when it goes on: not before half of what was too much is taken.
    ///
    fn judge_reading(&mut self) {
        let share = if self.reading { 1 } else { 2 };
        let reading = self.engine.wants_read() && self.backlog.has_room(share);
        if reading == self.reading {
            return;
        }
        self.reading = reading;
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            self.tell(Input::Reading { link, reading });
        }
    }

    async fn carry_out(&mut self) {
        while !self.broken
            && let Some(output) = self.engine.next()
        {
            let now = self.now();
            if let Some(trace) = &mut self.trace {
                trace(Trace::Output { now, output: &output });
            }
            if let Some(record) = &mut self.record {
                record.output(&output);
            }
            match output {
                Output::Resolve {
                    query,
                    question,
                    deadline,
                } => self.resolve(query, question, deadline),
                Output::Store { slot, append, bytes } => self.keep(slot, append, bytes).await,
                Output::Connect {
                    link,
                    endpoint,
                    server_name,
                    identity,
                    max_message,
                } => {
                    let opening = Opening {
                        link,
                        server_name,
                        identity: identity.and_then(|label| self.identities.get(&label)).cloned(),
                        max_message,
                    };
                    self.open(opening, endpoint);
                }
                Output::Write { link, bytes } => self.order(link, Order::Write(bytes)),
                Output::Frame { link, text } => self.order(link, Order::Frame(text)),
                Output::StartTls { link, server_name } => self.order(link, Order::StartTls { server_name }),
                Output::Post {
                    link,
                    request,
                    body,
                    deadline: _,
                } => {
                    if let Some(link) = self.links.get_mut(&link) {
                        link.post(request, body);
                    }
                }
                Output::Abandon { link, request } => {
                    if let Some(link) = self.links.get_mut(&link) {
                        link.abandon(request);
                    }
                }
                Output::Close { link } => drop(self.links.remove(&link)),
                Output::DeriveKey { job, derivation } => self.derive(job, derivation),
                Output::Event(event) => self.deliver(event),
                // Not an enum of this crate. The configuration asks for nothing that needs another output.
                _ => {}
            }
        }
        // Here, and not by whoever asked: a link that breaks now is made again with the new one.
        if let Some(password) = self.new_password.take()
            && let Some(credentials) = account::with_password(self.engine.config().credentials(), password)
        {
            self.tell(Input::Provide { credentials });
        }
    }

    fn open(&mut self, opening: Opening, endpoint: Endpoint) {
        let link = opening.link;
        match Link::open(opening, endpoint, &self.environment, self.wires.clone()) {
            Ok(opened) => {
                self.links.insert(link, opened);
                if !self.reading {
                    self.tell(Input::Reading { link, reading: false });
                }
            }
            Err(reason) => self.link_failed(link, reason),
        }
    }

    fn order(&mut self, id: LinkId, order: Order) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if let Err(reason) = link.order(order) {
            self.links.remove(&id);
            self.link_failed(id, reason);
        }
    }

    fn link_failed(&mut self, link: LinkId, reason: Failure) {
        self.tell(Input::Failed {
            link,
            request: None,
            reason,
        });
    }

    fn resolve(&mut self, query: QueryId, question: Question, deadline: Instant) {
        let left = Duration::from_millis(deadline.as_millis()).saturating_sub(self.clock.elapsed());
        let environment = Arc::clone(&self.environment);
        let news = self.wires.news.clone();
        self.jobs.spawn(async move {
            let answer = tokio::time::timeout(left + PATIENCE, answer(&environment, question)).await;
            let answer = answer.unwrap_or(Answer::Failed(Failure::Timeout));
            // The actor is gone: nobody wants to know.
            let _ = news.send(Input::Resolved { query, answer }).await;
        });
    }

    /// Thousands of hashes, on a thread that keeps nobody else waiting.
    fn derive(&mut self, job: JobId, derivation: Derivation) {
        let news = self.wires.news.clone();
        self.jobs.spawn(async move {
            // A thread that is lost leaves the login to its deadline.
            if let Ok(key) = tokio::task::spawn_blocking(move || derivation.run()).await {
                // The actor is gone: nobody wants to know.
                let _ = news.send(Input::Derived { job, key }).await;
            }
        });
    }

    /// Makes bytes durable; until they are, nothing else is done.
    async fn keep(&mut self, slot: Slot, append: bool, bytes: Secret) {
        // The configuration asked for it, and the application for no store: it wants the snapshots for itself, in its trace.
        let Some(mut store) = self.store.take() else { return };
        let written = tokio::task::spawn_blocking(move || {
            let result = store.write(slot, append, bytes.expose());
            (store, result)
        });
        let error = match written.await {
            Ok((store, Ok(()))) => {
                self.store = Some(store);
                return;
            }
            Ok((_, Err(error))) => error.to_string(),
            Err(error) => error.to_string(),
        };
        // What follows may say to the server what nobody would know of after a crash.
        self.broken = true;
        self.links.clear();
        self.jobs.abort_all();
        self.answers.clear();
        self.running = false;
        let reason = format!(
            "the session could not be stored ({error}), so nothing more was sent: make room for it, and start again"
        );
        self.queue(Event::Offline {
            reason: Offline::Connection(ConnectionError::Failed(Failure::Other { reason })),
        });
    }

    /// The events that are left, for as long as somebody takes them.
    async fn say_last_words(mut self) {
        self.commands.close();
        while let Some(event) = self.backlog.pop() {
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    fn deliver(&mut self, event: Event) {
        if let Event::IqDone { token, result } = event {
            let Some(Asked { answer, password }) = self.answers.remove(&token) else {
                return self.queue(Event::IqDone { token, result });
            };
            if result.is_ok() && password.is_some() {
                self.new_password = password;
            }
            // Whoever asked may have stopped waiting: then the result is nobody's.
            return drop(answer.send(result));
        }
        if let Event::Offline { .. } = &event {
            self.running = false;
            // Nothing follows it.
            self.refused = false;
        }
        self.queue(event);
    }

    fn queue(&mut self, event: Event) {
        if self.abandoned {
            return;
        }
        if !self.backlog.is_empty() {
            return self.backlog.push(event);
        }
        match self.events.try_send(event) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(event)) => self.backlog.push(event),
            // `run` sees it too, and says goodbye.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }
}

/// What there is to know about a question.
pub(crate) async fn answer(environment: &Environment, question: Question) -> Answer<'static> {
    let answer = match question {
        Question::Srv { name } => environment.resolver.srv(&name).await.map(Answer::Records),
        Question::Document { url, max_bytes } => http::document(environment, &url, max_bytes)
            .await
            .map(|document| Answer::Document(Cow::Owned(document))),
        // Not an enum of this crate.
        _ => Err(Failure::Other {
            reason: "this driver cannot find that out".to_owned(),
        }),
    };
    answer.unwrap_or_else(Answer::Failed)
}

/// `Send` and `Request` give a token whenever they are taken.
fn with_token(result: Result<Option<Token>, Refused>) -> Result<Token, Refused> {
    result?.ok_or(Refused::NotStarted)
}

#[cfg(test)]
mod tests {
    use std::io;

    use epode::Config;
    use rustls::RootCertStore;

    use super::*;
    use crate::dial::Dialer;
    use crate::dns::Resolver;
    use crate::tls;

    /// No room for anything.
    struct Full;

    impl Store for Full {
        fn load(&mut self, _: Slot) -> io::Result<Option<Vec<u8>>> {
            Ok(None)
        }

        fn write(&mut self, _: Slot, _: bool, _: &[u8]) -> io::Result<()> {
            Err(io::Error::other("no space left"))
        }
    }

    #[tokio::test]
    async fn what_cannot_be_stored_ends_the_client_and_says_so() {
        let config = Config::builder("user01@localhost".parse().unwrap())
            .bosh("https://localhost:1/http-bind")
            .credentials(Credentials::password("secret"))
            .build()
            .unwrap();
        let parts = Parts {
            engine: epode::Client::new(config, [7; 32]),
            identities: HashMap::new(),
            allow_invalid_certificate: false,
            environment: Environment {
                tls: tls::base_config(RootCertStore::empty()).unwrap(),
                dialer: Dialer::default(),
                resolver: Resolver::default(),
            },
            store: Some(Box::new(Full)),
            trace: None,
            record: None,
        };
        let (commands_sender, commands) = mpsc::channel(1);
        let (events_sender, mut events) = mpsc::channel(1);
        let mut actor = Actor::new(parts, commands, events_sender);
        actor.feed(Input::Start).unwrap();
        actor.running = true;
        actor.keep(Slot::Session, false, Secret::new(*b"a session")).await;
        actor.run().await;
        let Some(Event::Offline { reason }) = events.recv().await else {
            panic!("nobody was told")
        };
        let reason = reason.to_string();
        assert!(reason.contains("could not be stored (no space left)"), "{reason}");
        // The `Connect` that waited in the engine was not acted on, and whoever calls now hears that nobody is there.
        assert!(events.recv().await.is_none());
        assert!(commands_sender.is_closed());
    }
}
