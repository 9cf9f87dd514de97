//! What the proxy did: counts, and a log of events that tells the story of a failure.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::plan::{Direction, Fault};

/// So many events are kept; older ones make room.
pub const MAX_EVENTS: usize = 20_000;
/// Connections, on both sides, and copies of requests that are still under way. A test has a few.
const MAX_TASKS: usize = 1_024;

/// Counts since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// What everything was drawn from.
    pub seed: u64,
    /// Connections that clients made.
    pub connections: u64,
    /// Connections that a fault ended or half-closed. Each counts once.
    pub cuts: u64,
    /// Connections to the server, or requests, that failed without a fault of ours.
    pub failures: u64,
    /// HTTP: requests that clients made.
    pub requests: u64,
    /// TCP: bytes forwarded. HTTP: of bodies, with copies.
    pub bytes_to_server: u64,
    /// TCP: bytes forwarded. HTTP: of bodies that were given to clients.
    pub bytes_to_client: u64,
    /// How often each fault was applied.
    pub faults: BTreeMap<Fault, u64>,
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {} connections, {} cuts",
            self.seed, self.connections, self.cuts
        )?;
        if self.requests > 0 {
            write!(f, ", {} requests", self.requests)?;
        }
        write!(
            f,
            ", {} bytes to the server, {} to the client",
            self.bytes_to_server, self.bytes_to_client
        )?;
        if self.failures > 0 {
            write!(f, ", {} failures of the server", self.failures)?;
        }
        let mut before = "; ";
        for (fault, count) in &self.faults {
            write!(f, "{before}{fault} {count}")?;
            before = ", ";
        }
        Ok(())
    }
}

/// What an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A client connected.
    Opened,
    /// The connection is gone, on both sides.
    Closed,
    /// The server could not be reached or did not answer, without a fault of ours.
    Failed,
    /// A fault was applied.
    Fault(Fault),
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Milliseconds since the proxy started.
    pub millis: u64,
    /// Counts from 0 in the order of arrival.
    pub connection: u64,
    /// HTTP: counts from 0 in the order of arrival, over all connections.
    pub request: Option<u64>,
    /// TCP: of the bytes that the fault concerns.
    pub direction: Option<Direction>,
    /// TCP: how many bytes of that direction had passed. HTTP: the size of the request's body.
    pub byte: u64,
    /// What happened.
    pub what: What,
    /// How long the fault lasts, in milliseconds; 0 if it has no duration.
    pub lasts: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} ms  connection {}", self.millis, self.connection)?;
        if let Some(request) = self.request {
            write!(f, ", request {request}")?;
        }
        match self.what {
            What::Opened => return f.write_str(": opened"),
            What::Closed => return f.write_str(": closed"),
            What::Failed => return f.write_str(": the server failed"),
            What::Fault(fault) => write!(f, ": {fault}")?,
        }
        if let Some(direction) = self.direction {
            write!(f, " {direction}, after {} bytes", self.byte)?;
        }
        if self.lasts > 0 {
            write!(f, ", for {} ms", self.lasts)?;
        }
        Ok(())
    }
}

/// What the proxy and all its connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) target: Mutex<SocketAddr>,
    pub(crate) paused: AtomicBool,
    /// Changes when all connections are to be cut.
    pub(crate) cut_all: watch::Sender<u64>,
    /// How many connections have been cut.
    pub(crate) cuts: watch::Sender<u64>,
    started: Instant,
    record: Mutex<Record>,
    /// `None` once the proxy is closed.
    tasks: Mutex<Option<JoinSet<()>>>,
}

#[derive(Debug, Default)]
struct Record {
    statistics: Statistics,
    events: VecDeque<Event>,
}

impl Shared {
    pub(crate) fn new(seed: u64, target: SocketAddr) -> Arc<Self> {
        let statistics = Statistics {
            seed,
            ..Statistics::default()
        };
        Arc::new(Self {
            seed,
            target: Mutex::new(target),
            paused: AtomicBool::new(false),
            cut_all: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
            started: Instant::now(),
            record: Mutex::new(Record {
                statistics,
                events: VecDeque::new(),
            }),
            tasks: Mutex::new(Some(JoinSet::new())),
        })
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub(crate) fn statistics(&self) -> Statistics {
        lock(&self.record).statistics.clone()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        lock(&self.record).events.iter().cloned().collect()
    }

    /// The number of a request, from 0.
    pub(crate) fn count_request(&self) -> u64 {
        let mut record = lock(&self.record);
        let number = record.statistics.requests;
        record.statistics.requests += 1;
        number
    }

    pub(crate) fn count_bytes(&self, direction: Direction, bytes: usize) {
        let mut record = lock(&self.record);
        let counter = match direction {
            Direction::ToServer => &mut record.statistics.bytes_to_server,
            Direction::ToClient => &mut record.statistics.bytes_to_client,
        };
        *counter += bytes as u64;
    }

    /// Runs beside everything else and ends with the proxy. False if there is no room or no proxy any more.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut tasks = lock(&self.tasks);
        let Some(set) = tasks.as_mut() else { return false };
        while set.try_join_next().is_some() {}
        if set.len() >= MAX_TASKS {
            return false;
        }
        set.spawn(task);
        true
    }

    /// Nothing can be spawned afterwards. Dropping the set ends what runs.
    pub(crate) fn take_tasks(&self) -> Option<JoinSet<()>> {
        lock(&self.tasks).take()
    }

    fn log(&self, event: Event) {
        let mut record = lock(&self.record);
        if record.events.len() >= MAX_EVENTS {
            record.events.pop_front();
        }
        let counts = &mut record.statistics;
        match event.what {
            What::Opened => counts.connections += 1,
            What::Closed => {}
            What::Failed => counts.failures += 1,
            What::Fault(fault) => *counts.faults.entry(fault).or_default() += 1,
        }
        record.events.push_back(event);
    }
}

/// One connection of a client, in the log.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: u64,
    was_cut: AtomicBool,
}

impl Link {
    pub(crate) fn open(shared: Arc<Shared>, index: u64) -> Self {
        let link = Self {
            shared,
            index,
            was_cut: AtomicBool::new(false),
        };
        link.note(What::Opened, None, None, 0, 0);
        link
    }

    pub(crate) fn failed(&self, request: Option<u64>) {
        self.note(What::Failed, request, None, 0, 0);
    }

    pub(crate) fn fault(
        &self,
        fault: Fault,
        request: Option<u64>,
        direction: Option<Direction>,
        byte: u64,
        lasts: u64,
    ) {
        self.note(What::Fault(fault), request, direction, byte, lasts);
        if fault.is_cut() && !self.was_cut.swap(true, Ordering::Relaxed) {
            lock(&self.shared.record).statistics.cuts += 1;
            self.shared.cuts.send_modify(|cuts| *cuts += 1);
        }
    }

    fn note(&self, what: What, request: Option<u64>, direction: Option<Direction>, byte: u64, lasts: u64) {
        self.shared.log(Event {
            millis: u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            connection: self.index,
            request,
            direction,
            byte,
            what,
            lasts,
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.note(What::Closed, None, None, 0, 0);
    }
}

/// What a task left behind when it panicked is still only counts.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
