//! The proxy that a test holds: its address, its controls, its end.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use crate::http::{HttpTarget, Service};
use crate::profile::{HttpProfile, Profile};
use crate::record::{Event, Link, Shared, Statistics, lock};
use crate::{http, tcp};

/// Out of file descriptors, mostly: others close some meanwhile.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(20);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A running proxy on a loopback port of its own. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    layer: Layer,
    /// Bound and never listening: while nobody accepts, the port is refused and stays ours.
    _held: TcpSocket,
    /// `None` while connections are refused.
    accepting: Option<JoinHandle<()>>,
}

/// What is done with the bytes.
#[derive(Clone)]
enum Layer {
    Tcp(Arc<Profile>),
    Http(Arc<Service>),
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp(_) => "Tcp",
            Self::Http(_) => "Http",
        })
    }
}

impl Proxy {
    /// Carries bytes to `target`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` says what is wrong with the profile; others come from the listening socket.
    pub async fn tcp(seed: u64, profile: Profile, target: SocketAddr) -> io::Result<Self> {
        profile.check()?;
        Self::start(Shared::new(seed, target), Layer::Tcp(Arc::new(profile))).await
    }

    /// Carries HTTP requests to `target`, with TLS on both sides; `tls` is what clients see. Must be called within a tokio runtime.
    ///
    /// Because TLS ends here, channel binding fails through it, as it should: log in without `-PLUS`.
    ///
    /// # Errors
    /// `InvalidInput` says what is wrong with the profile; others come from the listening socket.
    pub async fn http(seed: u64, profile: HttpProfile, tls: Arc<ServerConfig>, target: HttpTarget) -> io::Result<Self> {
        profile.check()?;
        let shared = Shared::new(seed, target.address);
        let service = Service::new(shared.clone(), profile, tls, target);
        Self::start(shared, Layer::Http(Arc::new(service))).await
    }

    async fn start(shared: Arc<Shared>, layer: Layer) -> io::Result<Self> {
        let held = bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = held.local_addr()?;
        let listener = bind(address)?.listen(BACKLOG)?;
        let accepting = tokio::spawn(accept(listener, shared.clone(), layer.clone()));
        Ok(Self {
            address,
            shared,
            layer,
            _held: held,
            accepting: Some(accepting),
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where new connections go: a server that was started again may have another port.
    pub fn set_target(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// Resets every connection that is open, also while faults are paused.
    pub fn cut_all(&self) {
        self.shared.cut_all.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Resets every connection, and refuses new ones as a port does on which nobody listens, until
    /// [`accept_connections`](Self::accept_connections). The port stays this proxy's.
    pub async fn refuse_connections(&mut self) {
        self.stop_accepting().await;
        self.cut_all();
    }

    /// Ends [`refuse_connections`](Self::refuse_connections).
    ///
    /// # Errors
    /// Those of a listening socket.
    pub async fn accept_connections(&mut self) -> io::Result<()> {
        if self.accepting.is_none() {
            let listener = bind(self.address)?.listen(BACKLOG)?;
            let accepting = accept(listener, self.shared.clone(), self.layer.clone());
            self.accepting = Some(tokio::spawn(accepting));
        }
        Ok(())
    }

    async fn stop_accepting(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // The listener is closed once the task is gone.
            let _ = accepting.await;
        }
    }

    /// From now on nothing goes wrong, so that clients can finish. Faults that have begun still end in their time; those
    /// that become due meanwhile are left out.
    pub fn pause_faults(&self) {
        self.shared.paused.store(true, Ordering::Relaxed);
    }

    /// Ends [`pause_faults`](Self::pause_faults). Each connection goes on in its plan where its bytes are by then.
    pub fn resume_faults(&self) {
        self.shared.paused.store(false, Ordering::Relaxed);
    }

    /// Waits until so many connections have been cut since the start.
    pub async fn cuts(&self, count: u64) {
        // It fails only if the sender is gone, and we hold it.
        let _ = self.shared.cuts.subscribe().wait_for(|cuts| *cuts >= count).await;
    }

    /// The counts so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// The log so far: the latest [`MAX_EVENTS`](crate::MAX_EVENTS).
    pub fn events(&self) -> Vec<Event> {
        self.shared.events()
    }

    /// Closes the port and every connection, and waits until they are closed.
    pub async fn close(mut self) -> Statistics {
        self.stop_accepting().await;
        if let Some(mut tasks) = self.shared.take_tasks() {
            tasks.shutdown().await;
        }
        self.shared.statistics()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
        drop(self.shared.take_tasks());
    }
}

/// Two sockets of ours can have the port, so that it can be refused without being given up. Without SO_REUSEADDR, which would let
/// everybody listen who has it too.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, layer: Layer) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            continue;
        };
        prepare(&stream);
        // Counted as it is opened, by this task alone.
        let index = shared.statistics().connections;
        let link = Link::open(shared.clone(), index);
        // Subscribed here, so that a cut that comes before the task runs is not missed.
        let cut = shared.cut_all.subscribe();
        // Without room the connection is closed.
        let _ = match &layer {
            Layer::Tcp(profile) => shared.spawn(tcp::carry(stream, link, profile.clone(), cut)),
            Layer::Http(service) => shared.spawn(http::carry(stream, link, service.clone(), cut)),
        };
    }
}

/// Small writes must leave at once, or splits would not be seen.
pub(crate) fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
}
