//! The one task that owns the engine: it feeds inputs, carries out outputs in order, and keeps the deadline.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use epode::error::IqError;
use epode::{Element, Endpoint, Event, Failure, Input, Instant, LinkId, Output, Refused, StanzaError, Token};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};

use crate::bosh::{Arrival, Link, Opening};
use crate::client::{Trace, Tracer, weight};
use crate::tls::ClientIdentity;

/// Events that wait here beyond the channel before calls are refused with `Full`: an application that sends and never
/// takes an event would fill the memory with the news of its own stanzas.
const BACKLOG: usize = 3_000;

/// Events that wait here before nothing more is read. Each stanza that was taken brings three, so what was taken can
/// always be finished: an application that sends for a while before it looks at its events is not stalled by them.
const UNREAD: usize = 10_000;

/// Stanzas and requests of others that wait here before nothing more is read.
const STANZAS: usize = 64;

/// Bytes of them (256 KiB).
const STANZA_BYTES: usize = 256 * 1024;

/// How long a clock without a deadline sleeps; any time would do.
const LONG: Duration = Duration::from_secs(3_600);

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
}

pub(crate) struct Actor {
    engine: epode::Client,
    identities: HashMap<String, ClientIdentity>,
    tls: ClientConfig,
    trace: Option<Tracer>,
    origin: tokio::time::Instant,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events that the channel had no room for.
    backlog: VecDeque<Event>,
    /// Those of them that others sent, and their bytes.
    stanzas: usize,
    stanza_bytes: usize,
    /// A call was refused for the backlog's sake: `Writable` is owed.
    refused: bool,
    answers: HashMap<Token, oneshot::Sender<Result<Element, IqError>>>,
    links: HashMap<LinkId, Link>,
    arrivals: mpsc::Receiver<Arrival>,
    arrivals_sender: mpsc::Sender<Arrival>,
    reading: bool,
    /// Between `Start` and `Offline`.
    running: bool,
    /// The application has dropped its end: what is left to do is the goodbye.
    abandoned: bool,
}

impl Actor {
    pub(crate) fn new(
        engine: epode::Client,
        identities: HashMap<String, ClientIdentity>,
        tls: ClientConfig,
        trace: Option<Tracer>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        // One: answers that wait stay with the requests that brought them, and those are few and bounded.
        let (arrivals_sender, arrivals) = mpsc::channel(1);
        Self {
            engine,
            identities,
            tls,
            trace,
            origin: tokio::time::Instant::now(),
            commands,
            events,
            backlog: VecDeque::new(),
            stanzas: 0,
            stanza_bytes: 0,
            refused: false,
            answers: HashMap::new(),
            links: HashMap::new(),
            arrivals,
            arrivals_sender,
            reading: true,
            running: false,
            abandoned: false,
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.carry_out();
            self.offer_room();
            self.judge_reading();
            // Telling the engine about reading may have moved a deadline, and may have brought output.
            self.carry_out();
            if self.abandoned && !self.running {
                return;
            }
            let events = self.events.clone();
            let deadline = self.deadline();
            // Calls come last: tasks that try a refused one again and again must hold up neither the clock nor the answers,
            // which are what makes room for it.
            tokio::select! {
                biased;
                permit = events.reserve(), if !self.backlog.is_empty() && !self.abandoned => {
                    if let Ok(permit) = permit && let Some(event) = self.take_from_backlog() {
                        permit.send(event);
                    }
                }
                () = events.closed(), if !self.abandoned => self.abandon(),
                () = tokio::time::sleep_until(deadline) => self.tick(),
                Some(arrival) = self.arrivals.recv(), if self.reading => self.arrived(arrival),
                command = self.commands.recv(), if !self.abandoned => match command {
                    Some(command) => self.obey(command),
                    None => self.abandon(),
                },
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn feed(&mut self, input: Input<'_>) -> Result<Option<Token>, Refused> {
        let now = self.now();
        if let Some(trace) = &mut self.trace {
            trace(Trace::Input { now, input: &input });
        }
        self.engine.handle(now, input)
    }

    /// For inputs that this driver gives only where the contract has them: a refusal would change nothing.
    fn tell(&mut self, input: Input<'_>) {
        let refused = self.feed(input);
        debug_assert!(refused.is_ok(), "the driver broke the contract: {refused:?}");
    }

    fn deadline(&self) -> tokio::time::Instant {
        match self.engine.deadline() {
            // The engine's clock has whole milliseconds: the next whole one is at or past its deadline.
            Some((at, _)) => self
                .origin
                .checked_add(Duration::from_millis(at.as_millis()))
                .unwrap_or_else(|| tokio::time::Instant::now() + LONG),
            None => tokio::time::Instant::now() + LONG,
        }
    }

    fn tick(&mut self) {
        self.tell(Input::Tick);
    }

    fn abandon(&mut self) {
        self.abandoned = true;
        self.backlog.clear();
        (self.stanzas, self.stanza_bytes) = (0, 0);
        if self.running {
            self.tell(Input::Stop);
        }
    }

    fn obey(&mut self, command: Command) {
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
                answer,
                reply,
            } => {
                let result = with_token(
                    self.room()
                        .and_then(|()| self.feed(Input::Request { iq: *iq, timeout })),
                );
                if let Ok(token) = result {
                    self.answers.insert(token, answer);
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
        }
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

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Connected { link, info } => {
                if self.links.contains_key(&link) {
                    self.tell(Input::Connected { link, info });
                }
            }
            Arrival::Responded {
                link,
                request,
                status,
                body,
                tls,
            } => {
                self.tell(Input::Responded {
                    link,
                    request,
                    status,
                    body: Cow::Borrowed(&body),
                    tls,
                });
            }
            Arrival::Failed { link, request, reason } => {
                self.tell(Input::Failed { link, request, reason });
            }
        }
    }

    /// Tells the engine when the driver stops reading, and when it goes on: not before half of what was too much is taken.
    ///
    /// What the engine itself wants (`wants_read`) is about outputs that wait in it, and `carry_out` left none.
    fn judge_reading(&mut self) {
        let share = if self.reading { 1 } else { 2 };
        let reading = self.stanzas < STANZAS / share
            && self.stanza_bytes < STANZA_BYTES / share
            && self.backlog.len() < UNREAD / share;
        if reading == self.reading {
            return;
        }
        self.reading = reading;
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            self.tell(Input::Reading { link, reading });
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.engine.next() {
            let now = self.now();
            if let Some(trace) = &mut self.trace {
                trace(Trace::Output { now, output: &output });
            }
            match output {
                Output::Connect {
                    link,
                    endpoint,
                    server_name,
                    identity,
                    max_message,
                } => {
                    self.open(link, endpoint, server_name, identity.as_deref(), max_message);
                }
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
                Output::Event(event) => self.deliver(event),
                // Not an enum of this crate. The configuration asks for nothing that needs another output.
                _ => {}
            }
        }
    }

    fn open(&mut self, link: LinkId, endpoint: Endpoint, server_name: String, identity: Option<&str>, max: usize) {
        // Not an enum of this crate. The engine is told, and gives its reason to the application.
        let Endpoint::Bosh { url } = endpoint else {
            let reason = Failure::Other {
                reason: "this driver has no such transport".to_owned(),
            };
            return self.tell(Input::Failed {
                link,
                request: None,
                reason,
            });
        };
        let identity = identity.and_then(|label| self.identities.get(label)).cloned();
        let opening = Opening {
            link,
            url,
            server_name,
            identity,
            tls: self.tls.clone(),
            max_message: max,
        };
        match Link::open(opening, self.arrivals_sender.clone()) {
            Ok(opened) => {
                self.links.insert(link, opened);
                if !self.reading {
                    self.tell(Input::Reading { link, reading: false });
                }
            }
            Err(reason) => self.tell(Input::Failed {
                link,
                request: None,
                reason,
            }),
        }
    }

    fn deliver(&mut self, event: Event) {
        if let Event::IqDone { token, result } = event {
            let Some(answer) = self.answers.remove(&token) else {
                return self.queue(Event::IqDone { token, result });
            };
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
            return self.put_into_backlog(event);
        }
        match self.events.try_send(event) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(event)) => self.put_into_backlog(event),
            // `run` sees it too, and says goodbye.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
    }

    fn put_into_backlog(&mut self, event: Event) {
        if from_others(&event) {
            self.stanzas = self.stanzas.saturating_add(1);
            self.stanza_bytes = self.stanza_bytes.saturating_add(weight(&event));
        }
        self.backlog.push_back(event);
    }

    fn take_from_backlog(&mut self) -> Option<Event> {
        let event = self.backlog.pop_front()?;
        if from_others(&event) {
            self.stanzas = self.stanzas.saturating_sub(1);
            self.stanza_bytes = self.stanza_bytes.saturating_sub(weight(&event));
        }
        Some(event)
    }
}

/// What the server can send as much of as it likes. All else is news of what the application did, and small.
fn from_others(event: &Event) -> bool {
    matches!(event, Event::Stanza { .. } | Event::Request { .. })
}

/// `Send` and `Request` give a token whenever they are taken.
fn with_token(result: Result<Option<Token>, Refused>) -> Result<Token, Refused> {
    result?.ok_or(Refused::NotStarted)
}
