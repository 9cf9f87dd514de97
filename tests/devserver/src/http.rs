//! HTTPS: accepts connections, notes each one's client certificate, hands POST bodies to the hub and upgrades to WebSocket, says
//! where both are (XEP-0156), and misbehaves on request.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_TYPE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::faults::{Accepting, Faulty, Transport};
use crate::tcp::{HANDSHAKE, accept};
use crate::tls::Peer;
use crate::xml::escape;
use crate::{Faults, Shared, lock, websocket};

/// Real servers have a limit too; this one is far above what a test sends.
const MAX_BODY: usize = 8 << 20;
/// How precisely `wait` and `inactivity` are kept.
const TICK: Duration = Duration::from_millis(50);

const HOST_META: &str = "/.well-known/host-meta";
const HOST_META_JSON: &str = "/.well-known/host-meta.json";
const XBOSH: &str = "urn:xmpp:alt-connections:xbosh";
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Service {
    shared: Arc<Shared>,
    /// Where the services are, for those who ask (XEP-0156).
    bosh: String,
    websocket: Option<String>,
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
            stream = accept(&listener, &service.shared.board, Transport::Bosh) => {
                connections.spawn(connection(stream, acceptor.clone(), service.clone(), stopped.clone()));
            }
            _ = ticks.tick() => lock(&service.shared.hub).tick(Instant::now()),
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
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let shared = service.shared.clone();
    let peer = shared.peer(&stream);
    lock(&shared.hub).statistics.connections += 1;
    let stream = Faulty::new(stream, shared.board.clone(), Transport::Bosh);
    let upgrade = Arc::new(Mutex::new(None));
    let (kept, shown) = (upgrade.clone(), peer.clone());
    let answer = hyper::service::service_fn(move |request| {
        let (service, peer, upgrade) = (service.clone(), shown.clone(), kept.clone());
        async move { service.answer(request, peer, &upgrade).await }
    });
    let mut http = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer)
            .with_upgrades()
    );
    let stopping = tokio::select! {
        _ = http.as_mut() => false,
        _ = stopped.changed() => true,
    };
    if stopping {
        http.as_mut().graceful_shutdown();
        let _ = http.await;
    }
    let upgrade = upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(upgrade) = upgrade
        && let Ok(upgraded) = upgrade.await
    {
        websocket::run(upgraded, peer, &shared).await;
    }
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, bosh: String, websocket: Option<String>) -> Self {
        Self {
            shared,
            bosh,
            websocket,
            requests: AtomicU32::new(0),
            responses: AtomicU32::new(0),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Arc<Peer>,
        upgrade: &Mutex<Option<OnUpgrade>>,
    ) -> Result<Response<Full<Bytes>>, Cut> {
        let settings = &self.shared.settings;
        let path = request.uri().path();
        if path == settings.websocket_path && self.websocket.is_some() {
            return self.upgrade(request, upgrade).await;
        }
        if matches!(path, HOST_META | HOST_META_JSON) {
            return Ok(self.host_meta(&request));
        }
        if path != settings.path {
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

        let faults = self.faults();
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
        lock(&self.shared.hub).receive(body, peer, reply, Instant::now());
        // The hub answers every request it takes, unless it goes away itself.
        let body = answered.await.map_err(|_| Cut)?;

        let faults = self.faults();
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

    fn faults(&self) -> Faults {
        *self.shared.board.http.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// RFC 6455 §4.2. The connection's task goes on with it when the answer has left.
    async fn upgrade(
        &self,
        mut request: Request<Incoming>,
        upgrade: &Mutex<Option<OnUpgrade>>,
    ) -> Result<Response<Full<Bytes>>, Cut> {
        let mut changes = self.shared.board.changes();
        loop {
            match self.shared.board.accepting(Transport::WebSocket) {
                Accepting::Yes => break,
                Accepting::Reset => return Err(Cut),
                // The board outlives all that wait for it.
                Accepting::Never => drop(changes.changed().await),
            }
        }
        match websocket::negotiate(&request) {
            Ok(headers) => {
                *upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(hyper::upgrade::on(&mut request));
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response.headers_mut().extend(headers);
                Ok(response)
            }
            Err(why) => {
                self.shared.violate(why);
                Ok(plain(StatusCode::BAD_REQUEST))
            }
        }
    }

    /// XEP-0156 §3.
    fn host_meta(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return plain(StatusCode::METHOD_NOT_ALLOWED);
        }
        let links = [
            Some((XBOSH, self.bosh.as_str())),
            self.websocket.as_deref().map(|url| (WEBSOCKET, url)),
        ];
        let links = links.into_iter().flatten();
        let (kind, body) = if request.uri().path() == HOST_META {
            let links: String = links
                .map(|(rel, url)| format!("<Link rel='{rel}' href='{}'/>", escape(url)))
                .collect();
            let xrd = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
            (
                "application/xrd+xml",
                format!("<?xml version='1.0' encoding='utf-8'?><XRD xmlns='{xrd}'>{links}</XRD>"),
            )
        } else {
            // Neither has a character that JSON would want escaped: paths with such are refused at the start.
            let links: Vec<String> = links
                .map(|(rel, url)| format!("{{\"rel\":\"{rel}\",\"href\":\"{url}\"}}"))
                .collect();
            ("application/json", format!("{{\"links\":[{}]}}", links.join(",")))
        };
        let mut response = plain(StatusCode::OK);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
        *response.body_mut() = Full::new(Bytes::from(body));
        response
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
