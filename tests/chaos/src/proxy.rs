//! The proxy that a test holds: its address, its controls, its end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::http::{HttpTarget, Service};
use crate::profile::{HttpProfile, Profile};
use crate::record::{Event, Link, Shared, Statistics, lock};
use crate::{http, tcp};

/// Out of file descriptors, mostly: others close some meanwhile.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(20);

/// A running proxy on a loopback port of its own. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What is done with the bytes.
enum Layer {
    Tcp(Arc<Profile>),
    Http(Arc<Service>),
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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, shared.clone(), layer));
        Ok(Self {
            address,
            shared,
            accepting,
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
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
        if let Some(mut tasks) = self.shared.take_tasks() {
            tasks.shutdown().await;
        }
        self.shared.statistics()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        drop(self.shared.take_tasks());
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, layer: Layer) {
    let mut index = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            continue;
        };
        prepare(&stream);
        let link = Link::open(shared.clone(), index);
        index += 1;
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
