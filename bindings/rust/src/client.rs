//! What an application holds: the builder, the client with its events, and handles for other tasks.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use epode::config::KeyDerivation;
use epode::error::{IqError, Misuse};
use epode::{
    Answer, Config, Credentials, Element, Event, Failure, Input, Instant, Network, Offline, Output, Question, Refused,
    Slot, StanzaError, Token,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::sync::{mpsc, oneshot};

use crate::actor::{self, Actor, Command, Parts};
use crate::dial::Dialer;
use crate::dns::Resolver;
use crate::link::Environment;
use crate::record::Record;
use crate::store::Store;
use crate::tls::{self, ClientIdentity, IdentityError};

/// Events that wait for the application in the channel; the task that owns the engine keeps what goes beyond it.
const EVENTS: usize = 64;

/// Calls that wait for the task that owns the engine.
const COMMANDS: usize = 16;

/// Bytes of events that [`Client::request`] sets aside while it waits (4 MiB, as the engine's own queue).
const SET_ASIDE: usize = 4 * 1024 * 1024;

/// One line of a client's life, for a log or for people.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Trace<'a> {
    /// This goes into the engine.
    Input {
        /// When, since the client was made.
        now: Instant,
        /// What.
        input: &'a Input<'a>,
    },
    /// This came out of it, and is carried out now.
    Output {
        /// When.
        now: Instant,
        /// What.
        output: &'a Output,
    },
}

pub(crate) type Tracer = Box<dyn FnMut(Trace<'_>) + Send + 'static>;

/// Says with what to connect; made by [`Client::builder`].
#[must_use]
pub struct Builder {
    config: Config,
    identities: HashMap<String, ClientIdentity>,
    roots: Option<RootCertStore>,
    allow_invalid_certificate: bool,
    key_derivation: KeyDerivation,
    seed: Option<[u8; 32]>,
    dialer: Dialer,
    resolver: Resolver,
    store: Option<Box<dyn Store>>,
    trace: Option<Tracer>,
    record: Option<Box<dyn Write + Send>>,
}

impl Builder {
    /// The client certificate that the configuration's credentials know as `label`.
    pub fn identity(mut self, label: impl Into<String>, identity: ClientIdentity) -> Self {
        self.identities.insert(label.into(), identity);
        self
    }

    /// Trusts exactly these authorities to sign a server's certificate, instead of the system's.
    pub fn roots(mut self, roots: RootCertStore) -> Self {
        self.roots = Some(roots);
        self
    }

    /// Trusts this authority (DER), and no longer the system's.
    ///
    /// # Errors
    /// It is no certificate of an authority.
    pub fn add_root(mut self, authority: CertificateDer<'_>) -> Result<Self, ConnectError> {
        let roots = self.roots.get_or_insert_with(RootCertStore::empty);
        roots.add(authority.into_owned()).map_err(|error| ConnectError::Root {
            reason: error.to_string(),
        })?;
        Ok(self)
    }

    /// Presents a client certificate that has expired, is not valid yet or is not meant for clients, or none where there is none,
    /// to see what a server makes of it.
    pub fn allow_invalid_certificate(mut self, allow: bool) -> Self {
        self.allow_invalid_certificate = allow;
        self
    }

    /// Where SCRAM's keys are derived from a password, whatever the configuration says: milliseconds to seconds of hashing. By
    /// default ([`KeyDerivation::Host`]) on a thread of its own, so that neither this client nor the runtime's other tasks
    /// wait for it; [`KeyDerivation::Inline`] makes do without that thread.
    pub fn key_derivation(mut self, key_derivation: KeyDerivation) -> Self {
        self.key_derivation = key_derivation;
        self
    }

    /// Connects to `address` for the host, and does not ask DNS for it; with port 0, to the port that is wanted. Several are
    /// tried as several addresses of one host are. The certificate is checked for the same name as without this.
    pub fn resolve(mut self, host: &str, address: SocketAddr) -> Self {
        self.dialer.know(host, address);
        self
    }

    /// Asks this name server for SRV records, instead of the system's; of several, one after the other. Addresses of hosts are
    /// the system's to find, but for those given with [`resolve`](Self::resolve).
    pub fn nameserver(mut self, server: SocketAddr) -> Self {
        self.resolver.servers.push(server);
        self
    }

    /// Keeps the session here, so that the next process goes on with it ([`Config`]'s `persist` says when something is stored).
    /// What was kept is restored at once. When something cannot be stored, the client is offline, says why, and is of no
    /// use any more: to go on would risk what was sent.
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// The engine's seed, for a run that can be repeated. By default it is 32 bytes of the system's randomness.
    ///
    /// Whoever knows it knows every nonce: never use one twice but in a test.
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Shows every input and output to `trace`, in order, from the task that owns the engine: it must not block.
    ///
    /// It sees everything that travels, session ids and login payloads included. They are secrets.
    pub fn trace(mut self, trace: impl FnMut(Trace<'_>) + Send + 'static) -> Self {
        self.trace = Some(Box::new(trace));
        self
    }

    /// Writes the log of the client's life to `log` as it goes: JSON lines that replay to the same bytes ([`epode::record`]).
    /// It is written from the task that owns the engine, so it must not block for long, and flushed whenever that task rests. An
    /// error of it ends the log, and nothing else.
    ///
    /// The log holds the seed and everything that travels but passwords and their proofs. It is a secret.
    pub fn record(mut self, log: impl Write + Send + 'static) -> Self {
        self.record = Some(Box::new(log));
        self
    }

    /// Starts the client. The login goes on in the background: [`Event::Online`] or [`Event::Offline`] tells how it ended.
    ///
    /// # Errors
    /// The client certificate is missing, not valid today, or not meant for clients; nothing was sent then.
    pub async fn connect(mut self) -> Result<Client, ConnectError> {
        self.config.set_key_derivation(self.key_derivation);
        if let Some(label) = self.config.credentials().identity() {
            match self.identities.get(label) {
                _ if self.allow_invalid_certificate => {}
                Some(identity) => identity.check().map_err(ConnectError::Identity)?,
                None => {
                    return Err(ConnectError::NoIdentity {
                        label: label.to_owned(),
                    });
                }
            }
        }
        let seed = match self.seed {
            Some(seed) => seed,
            None => tls::random_seed().ok_or(ConnectError::Randomness)?,
        };
        let environment = environment(self.roots, self.dialer, self.resolver).await?;
        let (store, stored) = match self.store {
            Some(store) => load(store).await?,
            None => (None, Vec::new()),
        };
        let (command_sender, commands) = mpsc::channel(COMMANDS);
        let (event_sender, events) = mpsc::channel(EVENTS);
        let record = self.record.map(|log| Record::new(log, &self.config, &seed));
        let parts = Parts {
            engine: epode::Client::new(self.config, seed),
            identities: self.identities,
            allow_invalid_certificate: self.allow_invalid_certificate,
            environment,
            store,
            trace: self.trace,
            record,
        };
        let mut actor = Actor::new(parts, commands, event_sender);
        let not_restored = actor.restore(stored);
        tokio::spawn(actor.run());
        let mut client = Client {
            handle: Handle {
                commands: command_sender,
            },
            events,
            set_aside: VecDeque::new(),
            set_aside_bytes: 0,
            last: None,
            not_restored,
        };
        // A new client takes its first `Start`.
        let _ = client.start_engine().await;
        Ok(client)
    }

    /// Finds out what discovery asks ([`Output::Resolve`]), all at once, and connects to no XMPP server: the answers, in the order
    /// of the questions. A question that has no answer after `at_most` has failed.
    ///
    /// # Errors
    /// The authorities that are to be trusted cannot be read.
    pub async fn look_up(
        self,
        questions: Vec<Question>,
        at_most: Duration,
    ) -> Result<Vec<Answer<'static>>, ConnectError> {
        let environment = Arc::new(environment(self.roots, self.dialer, self.resolver).await?);
        let asked: Vec<_> = questions
            .into_iter()
            .map(|question| {
                let environment = Arc::clone(&environment);
                tokio::spawn(async move { tokio::time::timeout(at_most, actor::answer(&environment, question)).await })
            })
            .collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            // A task that is lost has no answer.
            let answer = answer.await.ok().and_then(Result::ok);
            answers.push(answer.unwrap_or(Answer::Failed(Failure::Timeout)));
        }
        Ok(answers)
    }
}

/// What links need: without `roots`, the authorities of the system.
async fn environment(
    roots: Option<RootCertStore>,
    dialer: Dialer,
    resolver: Resolver,
) -> Result<Environment, ConnectError> {
    let roots = match roots {
        Some(roots) => roots,
        // Some hundred files: not on the thread that runs everybody's tasks.
        None => tokio::task::spawn_blocking(tls::system_roots)
            .await
            .map_err(|error| ConnectError::Root {
                reason: error.to_string(),
            })?,
    };
    let tls = tls::base_config(roots).map_err(|error| ConnectError::Tls {
        reason: error.to_string(),
    })?;
    Ok(Environment { tls, dialer, resolver })
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("identities", &self.identities.keys())
            .finish_non_exhaustive()
    }
}

/// A client: take its events with [`next`](Self::next), and give it stanzas.
///
/// One that is dropped says goodbye in the background. Events have to be taken: when some hundred stanzas of others wait
/// (or 256 KiB of them), the client stops reading from the server, and with it everything stands still but what was
/// already under way. The news of the application's own stanzas may pile up further: when some thousand wait,
/// [`send`](Self::send) refuses with [`Refused::Full`], until [`Event::Writable`].
#[derive(Debug)]
pub struct Client {
    handle: Handle,
    events: mpsc::Receiver<Event>,
    set_aside: VecDeque<Event>,
    set_aside_bytes: usize,
    /// Why the client is offline, once the application has been told.
    last: Option<Offline>,
    not_restored: Vec<(Slot, Refused)>,
}

impl Client {
    /// Says with what to connect.
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            identities: HashMap::new(),
            roots: None,
            allow_invalid_certificate: false,
            key_derivation: KeyDerivation::Host,
            seed: None,
            dialer: Dialer::default(),
            resolver: Resolver::default(),
            store: None,
            trace: None,
            record: None,
        }
    }

    /// The next event; `None` after [`Event::Offline`], until [`start`](Self::start). Cancel safe.
    ///
    /// [`Event::Interrupted`] is not the end: the client connects again by itself, and says [`Event::Online`] once more.
    pub async fn next(&mut self) -> Option<Event> {
        if self.last.is_some() {
            return None;
        }
        let event = match self.set_aside.pop_front() {
            Some(event) => {
                self.set_aside_bytes = self.set_aside_bytes.saturating_sub(weight(&event));
                event
            }
            None => self.events.recv().await?,
        };
        if let Event::Offline { reason } = &event {
            self.last = Some(reason.clone());
        }
        Some(event)
    }

    /// Goes online again, once [`next`](Self::next) gave [`Event::Offline`].
    ///
    /// # Errors
    /// The client is not offline, or its `Offline` was not taken yet.
    pub async fn start(&mut self) -> Result<(), CallError> {
        // The old `Offline`, still on its way, would be taken for the new session's.
        if self.last.is_none() {
            return Err(CallError::Refused(Refused::Misuse(Misuse::AlreadyStarted)));
        }
        self.start_engine().await
    }

    async fn start_engine(&mut self) -> Result<(), CallError> {
        let permit = self.handle.commands.reserve().await.map_err(|_| CallError::Gone)?;
        let (reply, receiver) = oneshot::channel();
        permit.send(Command::Start { reply });
        // Here, and not after the reply: whoever stops waiting for it has started the client all the same.
        self.last = None;
        Ok(receiver.await.map_err(|_| CallError::Gone)??)
    }

    /// Says goodbye, and waits until it is said: at most the time that the configuration gives to it. Returns why the
    /// client is offline. Events that were not taken are lost.
    pub async fn stop(&mut self) -> Offline {
        self.handle.stop().await;
        while self.next().await.is_some() {}
        self.last.clone().unwrap_or(Offline::Stopped)
    }

    /// Sends a message or a presence. Its token returns in [`Event::Delivery`].
    ///
    /// # Errors
    /// The stanza cannot be sent, the queue is full, or the client is offline.
    pub async fn send(&self, stanza: Element) -> Result<Token, CallError> {
        self.handle.send(stanza).await
    }

    /// Sends an `iq` and waits for its result. Other events that arrive meanwhile are kept for [`next`](Self::next), up to
    /// 4 MiB of them; after that the request is given up, for a client that takes no events cannot hear the answer.
    ///
    /// # Errors
    /// The `iq` cannot be sent, or there is no result. [`Refused::Full`] also when 4 MiB of events are kept already.
    pub async fn request(&mut self, iq: Element) -> Result<Element, RequestError> {
        self.request_within(iq, None).await
    }

    /// As [`request`](Self::request), with its own patience.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn request_within(&mut self, iq: Element, timeout: Option<Duration>) -> Result<Element, RequestError> {
        // No event would be taken below, and without that the answer may never be read.
        if self.set_aside_bytes >= SET_ASIDE {
            return Err(CallError::Refused(Refused::Full).into());
        }
        let (token, mut answer) = self.handle.begin_request(iq, timeout).await?;
        loop {
            tokio::select! {
                answer = &mut answer => return answer.unwrap_or(Err(IqError::Disconnected)).map_err(RequestError::Iq),
                event = self.events.recv(), if self.set_aside_bytes < SET_ASIDE => match event {
                    Some(event) => {
                        self.set_aside_bytes = self.set_aside_bytes.saturating_add(weight(&event));
                        self.set_aside.push_back(event);
                        if self.set_aside_bytes >= SET_ASIDE {
                            self.handle.cancel(token).await;
                        }
                    }
                    None => return Err(RequestError::Iq(IqError::Disconnected)),
                },
            }
        }
    }

    /// Answers an [`Event::Request`].
    ///
    /// # Errors
    /// It was answered already.
    pub async fn respond(&self, token: Token, result: Result<Option<Element>, StanzaError>) -> Result<(), CallError> {
        self.handle.respond(token, result).await
    }

    /// What the network of the device has become.
    ///
    /// # Errors
    /// The [`Client`] is gone.
    pub async fn network(&self, network: Network) -> Result<(), CallError> {
        self.handle.network(network).await
    }

    /// Whether somebody looks at the application (XEP-0352).
    ///
    /// # Errors
    /// The [`Client`] is gone.
    pub async fn foreground(&self, foreground: bool) -> Result<(), CallError> {
        self.handle.foreground(foreground).await
    }

    /// The device is about to sleep for at most so long. When this returns, the session is stored, if it is to be stored then,
    /// and what has to be said to the server is under way.
    ///
    /// # Errors
    /// The [`Client`] is gone, or what had to be stored could not be.
    pub async fn pause(&self, at_most: Duration) -> Result<(), CallError> {
        self.handle.pause(at_most).await
    }

    /// With [`Acknowledge::Manual`](epode::config::Acknowledge): the application has dealt with the stanza of that token.
    ///
    /// # Errors
    /// There is no such stanza.
    pub async fn handled(&self, token: Token) -> Result<(), CallError> {
        self.handle.handled(token).await
    }

    /// Gives new credentials of the same account: an access token that was renewed, a password that was changed. They count
    /// from the next login on, which a client that is offline makes when it is [started](Self::start) again.
    ///
    /// ```no_run
    /// # async fn renew() -> String { String::new() }
    /// # async fn run(mut client: epode_tokio::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use epode::error::LoginError;
    /// use epode::{Credentials, Event, Offline};
    ///
    /// while let Some(event) = client.next().await {
    ///     if let Event::Offline { reason: Offline::Login(LoginError::TokenRefused { .. }) } = event {
    ///         client.provide(Credentials::access_token(renew().await)).await?;
    ///         client.start().await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// They cannot log in to this account, or name a client certificate that the [`Builder`] was not given.
    pub async fn provide(&self, credentials: Credentials) -> Result<(), CallError> {
        self.handle.provide(credentials).await
    }

    /// Answers an [`Event::Task`]: the server wants something beside the credentials (XEP-0388 §2.6.4), which the configuration
    /// says the application can do. The first answer begins the task, each further one goes on with it; `payload` is the
    /// task's own element, where it has one.
    ///
    /// ```no_run
    /// # async fn ask(_: &str) -> epode::Element { unimplemented!() }
    /// # async fn run(mut client: epode_tokio::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// // The configuration says `.task("urn:example:one-time-code")`.
    /// while let Some(event) = client.next().await {
    ///     if let epode::Event::Task { payload, text, .. } = event {
    ///         let code = match payload {
    ///             None => None, // It is to begin.
    ///             Some(_) => Some(ask(text.as_deref().unwrap_or("The code?")).await),
    ///         };
    ///         client.answer_task(code).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No task waits for the application.
    pub async fn answer_task(&self, payload: Option<Element>) -> Result<(), CallError> {
        self.handle.answer_task(payload).await
    }

    /// What was kept in the store and could not be restored, slot by slot: the client started without it.
    pub fn not_restored(&self) -> &[(Slot, Refused)] {
        &self.not_restored
    }

    /// A handle for other tasks.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

/// What is in the store, on a thread that may wait for it.
async fn load(mut store: Box<dyn Store>) -> Result<Loaded, ConnectError> {
    let loading = tokio::task::spawn_blocking(move || {
        let mut stored = Vec::new();
        for slot in [Slot::Pins, Slot::Token, Slot::Session] {
            stored.extend(store.load(slot)?.map(|bytes| (slot, bytes)));
        }
        Ok::<_, std::io::Error>((Some(store), stored))
    });
    let failed = |error: &dyn fmt::Display| ConnectError::Store {
        reason: error.to_string(),
    };
    loading
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))
}

type Loaded = (Option<Box<dyn Store>>, Vec<(Slot, Vec<u8>)>);

/// Memory of what an event carries, roughly.
pub(crate) fn weight(event: &Event) -> usize {
    let payload = if let Event::Stanza { stanza: element, .. }
    | Event::Request { iq: element, .. }
    | Event::IqDone {
        result: Ok(element), ..
    } = event
    {
        element.memory_size()
    } else {
        0
    };
    payload.saturating_add(size_of::<Event>())
}

/// Sends for a client from another task. It keeps working until the [`Client`] is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// As [`Client::send`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send(&self, stanza: Element) -> Result<Token, CallError> {
        let stanza = Box::new(stanza);
        Ok(self.call(|reply| Command::Send { stanza, reply }).await??)
    }

    /// As [`Client::request`]; the events meanwhile are the owner's to take.
    ///
    /// The owner's own loop around [`Client::next`] must not wait for it: once too many stanzas wait, nothing is read until
    /// that loop goes on, the answer included. Wait in another task, or use [`Client::request`] there.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn request(&self, iq: Element, timeout: Option<Duration>) -> Result<Element, RequestError> {
        let (_, answer) = self.begin_request(iq, timeout).await?;
        answer
            .await
            .unwrap_or(Err(IqError::Disconnected))
            .map_err(RequestError::Iq)
    }

    /// As [`Client::respond`].
    ///
    /// # Errors
    /// As [`Client::respond`].
    pub async fn respond(&self, token: Token, result: Result<Option<Element>, StanzaError>) -> Result<(), CallError> {
        let result = Box::new(result);
        Ok(self.call(|reply| Command::Respond { token, result, reply }).await??)
    }

    /// Gives up on a request, or on a stanza that was not written yet.
    pub async fn cancel(&self, token: Token) {
        // Without a task there is nothing left to cancel.
        let _ = self.commands.send(Command::Cancel { token }).await;
    }

    /// As [`Client::network`].
    ///
    /// # Errors
    /// As [`Client::network`].
    pub async fn network(&self, network: Network) -> Result<(), CallError> {
        self.tell(Input::Network(network)).await
    }

    /// As [`Client::foreground`].
    ///
    /// # Errors
    /// As [`Client::foreground`].
    pub async fn foreground(&self, foreground: bool) -> Result<(), CallError> {
        self.tell(Input::Foreground(foreground)).await
    }

    /// As [`Client::pause`].
    ///
    /// # Errors
    /// As [`Client::pause`].
    pub async fn pause(&self, at_most: Duration) -> Result<(), CallError> {
        // A part of a second counts as a whole one: the server has to wait for all of it.
        let seconds = at_most.as_millis().div_ceil(1_000);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.tell(Input::Pause { seconds }).await
    }

    /// As [`Client::handled`].
    ///
    /// # Errors
    /// As [`Client::handled`].
    pub async fn handled(&self, token: Token) -> Result<(), CallError> {
        self.tell(Input::Handled { token }).await
    }

    /// As [`Client::provide`].
    ///
    /// # Errors
    /// As [`Client::provide`].
    pub async fn provide(&self, credentials: Credentials) -> Result<(), CallError> {
        let credentials = Box::new(credentials);
        self.call(|reply| Command::Provide { credentials, reply }).await?
    }

    /// As [`Client::answer_task`].
    ///
    /// # Errors
    /// As [`Client::answer_task`].
    pub async fn answer_task(&self, payload: Option<Element>) -> Result<(), CallError> {
        self.tell(Input::Task { payload }).await
    }

    async fn tell(&self, input: Input<'static>) -> Result<(), CallError> {
        let input = Box::new(input);
        Ok(self.call(|reply| Command::Tell { input, reply }).await??)
    }

    /// Says goodbye; [`Event::Offline`] is the end.
    pub async fn stop(&self) {
        // Without a task the client is offline already.
        let _ = self.commands.send(Command::Stop).await;
    }

    async fn begin_request(
        &self,
        iq: Element,
        timeout: Option<Duration>,
    ) -> Result<(Token, oneshot::Receiver<Result<Element, IqError>>), CallError> {
        let (answer, receiver) = oneshot::channel();
        let iq = Box::new(iq);
        let token = self
            .call(|reply| Command::Request {
                iq,
                timeout,
                answer,
                reply,
            })
            .await??;
        Ok((token, receiver))
    }

    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, CallError> {
        let (reply, receiver) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| CallError::Gone)?;
        receiver.await.map_err(|_| CallError::Gone)
    }
}

/// A client that cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The credentials name a client certificate that the builder was not given.
    NoIdentity {
        /// Its label.
        label: String,
    },
    /// The client certificate cannot be used.
    Identity(IdentityError),
    /// An authority cannot be trusted.
    Root {
        /// Why.
        reason: String,
    },
    /// TLS cannot be set up.
    Tls {
        /// Why.
        reason: String,
    },
    /// The system gave no random bytes.
    Randomness,
    /// What was stored cannot be read.
    Store {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIdentity { label } => write!(f, "no client certificate was given for the label {label:?}"),
            Self::Identity(error) => error.fmt(f),
            Self::Root { reason } => write!(f, "the authority to be trusted cannot be used: {reason}"),
            Self::Tls { reason } => write!(f, "TLS cannot be set up: {reason}"),
            Self::Store { reason } => write!(
                f,
                "the stored session cannot be read: {reason}; mend that, or connect without it"
            ),
            Self::Randomness => f.write_str("the system gave no random bytes: without them no login is safe"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// A call that the client did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The engine refused it; nothing was sent. [`Refused::Full`] also when too many events wait for the application.
    Refused(Refused),
    /// The credentials name a client certificate that the [`Builder`] was not given.
    NoIdentity {
        /// Its label.
        label: String,
    },
    /// The client certificate cannot be used now.
    Identity(IdentityError),
    /// The [`Client`] was dropped, or has ended because its session could not be stored.
    Gone,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::NoIdentity { label } => write!(f, "no client certificate was given for the label {label:?}"),
            Self::Identity(error) => error.fmt(f),
            Self::Gone => f.write_str("the client is gone"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// A request without a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// It was never sent.
    Call(CallError),
    /// The entity refused it, or there was no answer.
    Iq(IqError),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Iq(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<CallError> for RequestError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}
