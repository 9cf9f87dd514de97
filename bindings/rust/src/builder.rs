//! With what to connect, and the beginning of a client.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use epode::config::KeyDerivation;
use epode::{Answer, Config, Failure, Input, Instant, Output, Question, Slot};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use crate::actor::{self, Actor, Parts};
use crate::client::Client;
use crate::dial::Dialer;
use crate::dns::Resolver;
use crate::error::ConnectError;
use crate::link::Environment;
use crate::record::Record;
use crate::store::Store;
use crate::tls::{self, ClientIdentity};

/// Events that wait for the application in the channel; the task that owns the engine keeps what goes beyond it.
const EVENTS: usize = 64;

/// Calls that wait for the task that owns the engine.
const COMMANDS: usize = 16;

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
    pub(crate) fn new(config: Config) -> Self {
        Self {
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

    /// Starts the client. The login goes on in the background: [`Event::Online`](epode::Event::Online) or
    /// [`Event::Offline`](epode::Event::Offline) tells how it ended.
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
        let account = self.config.account();
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
        let mut client = Client::new(account, command_sender, events, not_restored);
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
