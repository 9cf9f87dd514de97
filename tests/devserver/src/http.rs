//! HTTPS: accepts connections, notes each one's client certificate, hands POST bodies to the hub, and misbehaves on request.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::hub::Hub;
use crate::tls::{Judge, Peer};
use crate::{Settings, lock};

/// Real servers have a limit too; this one is far above what a test sends.
const MAX_BODY: usize = 8 << 20;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How precisely `wait` and `inactivity` are kept.
const TICK: Duration = Duration::from_millis(50);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Service {
    settings: Arc<Settings>,
    hub: Arc<Mutex<Hub>>,
    judge: Arc<Judge>,
    requests: AtomicU32,
    responses: AtomicU32,
}

/// The connection is to be cut: hyper closes it when a service fails.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut on request")
    }
}

impl std::error::Error for Cut {}

/// Accepts until told to stop, then lets open connections finish. Dropping the future ends them all.
pub(crate) async fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    service: Service,
    mut stopped: watch::Receiver<bool>,
) {
    let acceptor = TlsAcceptor::from(config);
    let service = Arc::new(service);
    let mut connections = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, acceptor.clone(), service.clone(), stopped.clone()));
                }
            }
            _ = ticks.tick() => lock(&service.hub).tick(Instant::now()),
            Some(_) = connections.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    service: Arc<Service>,
    mut stopped: watch::Receiver<bool>,
) {
    // Small answers must not wait for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let peer = Arc::new(service.judge.peer(stream.get_ref().1.peer_certificates()));
    lock(&service.hub).statistics.connections += 1;
    let answer = hyper::service::service_fn(move |request| {
        let (service, peer) = (service.clone(), peer.clone());
        async move { service.answer(request, peer).await }
    });
    let mut http =
        std::pin::pin!(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    let stopping = tokio::select! {
        _ = http.as_mut() => false,
        _ = stopped.changed() => true,
    };
    if stopping {
        http.as_mut().graceful_shutdown();
        let _ = http.await;
    }
}

impl Service {
    pub(crate) fn new(settings: Arc<Settings>, hub: Arc<Mutex<Hub>>, judge: Arc<Judge>) -> Self {
        Self {
            settings,
            hub,
            judge,
            requests: AtomicU32::new(0),
            responses: AtomicU32::new(0),
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: Arc<Peer>) -> Result<Response<Full<Bytes>>, Cut> {
        if request.uri().path() != self.settings.path {
            return Ok(plain(StatusCode::NOT_FOUND));
        }
        if request.method() == Method::OPTIONS {
            return Ok(plain(StatusCode::OK));
        }
        if request.method() != Method::POST {
            return Ok(plain(StatusCode::METHOD_NOT_ALLOWED));
        }
        // A body that ends early or is too large: the connection is of no further use.
        let body = Limited::new(request.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(|_| Cut)?
            .to_bytes();

        let faults = &self.settings.faults;
        let number = self.requests.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if is_due(faults.drop_request_every, number) {
            return Err(Cut);
        }
        if is_due(faults.answer_500_every, number) {
            return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR));
        }
        if is_due(faults.delay_request_every, number) {
            tokio::time::sleep(faults.delay).await;
        }
        let (reply, answered) = oneshot::channel();
        lock(&self.hub).receive(body, peer, reply, Instant::now());
        // The hub answers every request it takes, unless it goes away itself.
        let body = answered.await.map_err(|_| Cut)?;

        let number = self.responses.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if is_due(faults.drop_response_every, number) {
            return Err(Cut);
        }
        if is_due(faults.delay_response_every, number) {
            tokio::time::sleep(faults.delay).await;
        }
        let mut response = plain(StatusCode::OK);
        *response.body_mut() = Full::new(Bytes::from(body));
        Ok(response)
    }
}

fn is_due(every: Option<u32>, number: u32) -> bool {
    every.is_some_and(|every| every != 0 && number.is_multiple_of(every))
}

/// A response without content, with the headers that all have.
fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    use hyper::header::HeaderValue;
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Content-Type"));
    headers.insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
    response
}
