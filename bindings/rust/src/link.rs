//! What the task that owns the engine holds of a link, whatever carries it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use epode::{Endpoint, Failure, Input, LinkId, RequestId};
use rustls::ClientConfig;
use tokio::sync::mpsc;

use crate::dial::Dialer;
use crate::dns::Resolver;
use crate::tls::ClientIdentity;
use crate::{bosh, tcp, websocket};

/// Bytes that wait for one peer to take them (32 MiB). The engine counts what it hands out, and an application is refused
/// long before; a peer that asks and asks and never reads is not, and gives its answers nowhere else to wait.
const MAX_QUEUED: usize = 32 * 1024 * 1024;

/// What all links of a client share.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) tls: ClientConfig,
    pub(crate) dialer: Dialer,
    pub(crate) resolver: Resolver,
}

/// The two ways to the engine.
#[derive(Clone, Debug)]
pub(crate) struct Wires {
    /// What arrives from a server, in its order: it waits while the application is slow.
    pub(crate) arrivals: mpsc::Sender<Input<'static>>,
    /// What the driver itself has done: it never waits for the application.
    pub(crate) news: mpsc::Sender<Input<'static>>,
}

/// What a `Connect` says, but for the endpoint.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) link: LinkId,
    pub(crate) server_name: String,
    pub(crate) identity: Option<ClientIdentity>,
    pub(crate) max_message: usize,
}

/// A link. Dropping it is `Close`.
#[derive(Debug)]
pub(crate) enum Link {
    Bosh(bosh::Link),
    Stream(Stream),
}

/// A link over one connection: a task of its own has it.
#[derive(Debug)]
pub(crate) struct Stream {
    orders: mpsc::UnboundedSender<Order>,
    queued: Arc<AtomicUsize>,
}

/// What such a task is told. The end of the orders is `Close`.
#[derive(Debug)]
pub(crate) enum Order {
    Write(Vec<u8>),
    Frame(String),
    StartTls { server_name: String },
}

impl Order {
    fn len(&self) -> usize {
        match self {
            Self::Write(bytes) => bytes.len(),
            Self::Frame(text) => text.len(),
            Self::StartTls { .. } => 0,
        }
    }
}

impl Link {
    /// Begins to open a link; `Connected` or `Failed` arrives by the channel.
    pub(crate) fn open(
        opening: Opening,
        endpoint: Endpoint,
        environment: &Arc<Environment>,
        wires: Wires,
    ) -> Result<Self, Failure> {
        let environment = Arc::clone(environment);
        if let Endpoint::Bosh { url } = &endpoint {
            return bosh::Link::open(opening, url, environment, wires.arrivals).map(Self::Bosh);
        }
        let (orders, receiver) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let desk = Desk {
            opening,
            environment,
            wires,
            orders: receiver,
            queued: Arc::clone(&queued),
        };
        if let Endpoint::Tcp { host, port, tls } = endpoint {
            tokio::spawn(tcp::run(desk, host, port, tls));
        } else if let Endpoint::WebSocket { url } = endpoint {
            tokio::spawn(websocket::run(desk, url));
        } else {
            // Not an enum of this crate. The engine is told, and gives its reason to the application.
            return Err(Failure::Other {
                reason: "this driver has no such transport".to_owned(),
            });
        }
        Ok(Self::Stream(Stream { orders, queued }))
    }

    /// Passes an order on, unless the peer takes nothing and too much waits already.
    pub(crate) fn order(&mut self, order: Order) -> Result<(), Failure> {
        // The engine orders on links of the right kind only.
        let Self::Stream(stream) = self else { return Ok(()) };
        let queued = stream.queued.fetch_add(order.len(), Ordering::AcqRel);
        if queued.saturating_add(order.len()) > MAX_QUEUED {
            return Err(Failure::Other {
                reason: "the server takes nothing of what is sent to it".to_owned(),
            });
        }
        // A task that is over has said why, or is about to.
        let _ = stream.orders.send(order);
        Ok(())
    }

    pub(crate) fn post(&mut self, request: RequestId, body: Vec<u8>) {
        if let Self::Bosh(link) = self {
            link.post(request, body);
        }
    }

    pub(crate) fn abandon(&mut self, request: RequestId) {
        if let Self::Bosh(link) = self {
            link.abandon(request);
        }
    }
}

/// What the task of one connection has on its desk.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) opening: Opening,
    pub(crate) environment: Arc<Environment>,
    pub(crate) wires: Wires,
    /// Their end is `Close`.
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    queued: Arc<AtomicUsize>,
}

impl Desk {
    /// What `work` gives, or `None` once the link is closed. The engine orders nothing meanwhile: it waits for `Connected`.
    pub(crate) async fn unless_closed<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                order = self.orders.recv() => order?,
            };
        }
    }

    /// Hands in what arrived. `None` once the link is closed.
    pub(crate) async fn arrive(&mut self, input: Input<'static>) -> Option<()> {
        let arrivals = self.wires.arrivals.clone();
        self.unless_closed(async move { arrivals.send(input).await.ok() })
            .await?
    }

    /// So many bytes have left.
    pub(crate) async fn written(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::AcqRel);
        let input = Input::Written {
            link: self.opening.link,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        };
        // The actor is gone: nobody wants to know.
        let _ = self.wires.news.send(input).await;
    }

    pub(crate) fn failed(&self, reason: Failure) -> Input<'static> {
        Input::Failed {
            link: self.opening.link,
            request: None,
            reason,
        }
    }

    pub(crate) fn ended(&self) -> Input<'static> {
        Input::Ended {
            link: self.opening.link,
        }
    }
}
