//! Carries HTTP requests one by one, and does to them what the profile says.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::plan::{Direction, Fault};
use crate::profile::HttpProfile;
use crate::proxy::prepare;
use crate::record::{Link, Shared, lock};
use crate::tcp::CONNECT;

/// Real servers have a limit too; this one is far above what a test sends.
const MAX_BODY: usize = 8 << 20;
/// Connections to the server that wait for their next request.
const MAX_IDLE: usize = 8;
/// Longer than any `wait` that a BOSH client asks for in a test.
const ANSWER: Duration = Duration::from_secs(300);
/// They belong to one connection (RFC 9110 §7.6.1); hyper writes its own.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_LENGTH,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The server behind an HTTP proxy.
#[derive(Debug, Clone)]
pub struct HttpTarget {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name in its certificate. The `Host` of requests stays what the client wrote.
    pub name: ServerName<'static>,
    /// Whom the proxy trusts; no ALPN, or `http/1.1`.
    pub tls: Arc<ClientConfig>,
}

/// What all connections share.
pub(crate) struct Service {
    shared: Arc<Shared>,
    profile: HttpProfile,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    name: ServerName<'static>,
    idle: Mutex<Vec<(SocketAddr, SendRequest<Pieces>)>>,
}

/// The client's connection is to end: hyper closes it when a service fails.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut by the plan")
    }
}

impl std::error::Error for Cut {}

/// The life of one connection.
pub(crate) async fn carry(stream: TcpStream, link: Link, service: Arc<Service>, mut cut: watch::Receiver<u64>) {
    let reset = Arc::new(AtomicBool::new(false));
    let stream = Mortal {
        stream,
        reset: reset.clone(),
    };
    let link = Arc::new(link);
    let serving = async {
        let Ok(Ok(stream)) = timeout(CONNECT, service.acceptor.accept(stream)).await else {
            return;
        };
        let answer = hyper::service::service_fn(|request| service.clone().answer(request, link.clone(), reset.clone()));
        // How it ended is the client's affair, or in the log already.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    };
    tokio::select! {
        () = serving => {}
        _ = cut.changed() => {
            link.fault(Fault::CutAll, None, None, 0, 0);
            reset.store(true, Ordering::Relaxed);
        }
    }
}

impl Service {
    pub(crate) fn new(shared: Arc<Shared>, profile: HttpProfile, tls: Arc<ServerConfig>, target: HttpTarget) -> Self {
        Self {
            shared,
            profile,
            acceptor: TlsAcceptor::from(tls),
            connector: TlsConnector::from(target.tls),
            name: target.name,
            idle: Mutex::new(Vec::new()),
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        link: Arc<Link>,
        reset: Arc<AtomicBool>,
    ) -> Result<Response<Pieces>, Cut> {
        let request = Message::request(request).await?;
        let number = self.shared.count_request();
        let decision = self.profile.decide(self.shared.seed, number);
        let fault = decision.fault.filter(|_| !self.shared.is_paused());
        if let Some(fault) = fault {
            link.fault(fault, Some(number), None, request.body.len() as u64, decision.millis);
        }
        let time = Duration::from_millis(decision.millis);
        let mut split_request = 0;
        let mut split_answer = 0;
        match fault {
            Some(Fault::Refuse) => {
                let status = u16::try_from(decision.bytes).ok();
                let status = status.and_then(|status| StatusCode::from_u16(status).ok());
                return Ok(plain(status.unwrap_or(StatusCode::BAD_GATEWAY)));
            }
            Some(Fault::ResetRequest) => {
                reset.store(true, Ordering::Relaxed);
                return Err(Cut);
            }
            Some(Fault::Overlap) => {
                self.swallow(request.clone(), Duration::ZERO);
                sleep(time).await;
            }
            Some(Fault::SplitRequest) => split_request = decision.bytes,
            Some(Fault::SplitAnswer) => split_answer = decision.bytes,
            Some(
                Fault::LoseAnswer
                | Fault::SpoilAnswer
                | Fault::Repeat
                | Fault::LateAnswer
                | Fault::Delay
                | Fault::Split
                | Fault::Coalesce
                | Fault::Stall
                | Fault::HalfClose
                | Fault::Reset
                | Fault::CutMiddle
                | Fault::CutAfter
                | Fault::CutAll,
            )
            | None => {}
        }
        let Some(answer) = self.forward(request.clone(), split_request).await else {
            // As any gateway says it (RFC 9110 §15.6.3).
            link.failed(Some(number));
            return Ok(plain(StatusCode::BAD_GATEWAY));
        };
        match fault {
            Some(Fault::LoseAnswer) => return Err(Cut),
            Some(Fault::SpoilAnswer) => return Ok(plain(StatusCode::BAD_GATEWAY)),
            Some(Fault::Repeat) => self.swallow(request, time),
            Some(Fault::LateAnswer) => sleep(time).await,
            Some(
                Fault::Refuse
                | Fault::ResetRequest
                | Fault::Overlap
                | Fault::SplitRequest
                | Fault::SplitAnswer
                | Fault::Delay
                | Fault::Split
                | Fault::Coalesce
                | Fault::Stall
                | Fault::HalfClose
                | Fault::Reset
                | Fault::CutMiddle
                | Fault::CutAfter
                | Fault::CutAll,
            )
            | None => {}
        }
        self.shared.count_bytes(Direction::ToClient, answer.body.len());
        let mut response = Response::new(Pieces::new(answer.body, split_answer));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// Sends a request whose answer nobody gets.
    fn swallow(self: &Arc<Self>, request: Message, after: Duration) {
        let service = self.clone();
        // Without room there is no copy; a test that has a thousand requests under way has other worries.
        let _ = self.shared.spawn(async move {
            sleep(after).await;
            let _ = service.forward(request, 0).await;
        });
    }

    /// `None` if the server cannot be reached or does not answer.
    async fn forward(&self, request: Message, split: u64) -> Option<Message> {
        timeout(ANSWER, self.exchange(request, split)).await.ok()?
    }

    async fn exchange(&self, message: Message, split: u64) -> Option<Message> {
        let target = *lock(&self.shared.target);
        let size = message.body.len();
        let mut request = Request::new(Pieces::new(message.body, split));
        *request.method_mut() = message.method;
        *request.uri_mut() = message.uri;
        *request.headers_mut() = message.headers;
        // The server may just have closed one that was idle. If nothing was written, a new one is taken.
        let (mut sender, response) = loop {
            let idle = self.idle(target);
            let fresh = idle.is_none();
            let mut sender = match idle {
                Some(sender) => sender,
                None => self.connect(target).await?,
            };
            match sender.try_send_request(request).await {
                Ok(response) => break (sender, response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) | None => return None,
                },
            }
        };
        self.shared.count_bytes(Direction::ToServer, size);
        let answer = Message::response(response).await?;
        if sender.ready().await.is_ok() {
            let mut idle = lock(&self.idle);
            if idle.len() < MAX_IDLE {
                idle.push((target, sender));
            }
        }
        Some(answer)
    }

    fn idle(&self, target: SocketAddr) -> Option<SendRequest<Pieces>> {
        let mut idle = lock(&self.idle);
        idle.retain(|(to, sender)| *to == target && sender.is_ready());
        idle.pop().map(|(_, sender)| sender)
    }

    async fn connect(&self, target: SocketAddr) -> Option<SendRequest<Pieces>> {
        let connecting = async {
            let stream = TcpStream::connect(target).await.ok()?;
            prepare(&stream);
            let stream = self.connector.connect(self.name.clone(), stream).await.ok()?;
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()
        };
        let (sender, connection) = timeout(CONNECT, connecting).await.ok()??;
        let driver = async move {
            // Whoever waits for an answer hears of it.
            let _ = connection.await;
        };
        self.shared.spawn(driver).then_some(sender)
    }
}

/// A whole request or answer. A request has no status that matters, an answer no method or address.
#[derive(Debug, Clone)]
struct Message {
    method: Method,
    uri: Uri,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Message {
    async fn request(request: Request<Incoming>) -> Result<Self, Cut> {
        let (head, body) = request.into_parts();
        Ok(Self {
            method: head.method,
            uri: head.uri,
            status: StatusCode::OK,
            headers: end_to_end(head.headers),
            body: whole(body).await.ok_or(Cut)?,
        })
    }

    async fn response(response: Response<Incoming>) -> Option<Self> {
        let (head, body) = response.into_parts();
        Some(Self {
            method: Method::GET,
            uri: Uri::default(),
            status: head.status,
            headers: end_to_end(head.headers),
            body: whole(body).await?,
        })
    }
}

/// `None` if it ends early or is too large.
async fn whole(body: Incoming) -> Option<Bytes> {
    Some(Limited::new(body, MAX_BODY).collect().await.ok()?.to_bytes())
}

fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers
}

fn plain(status: StatusCode) -> Response<Pieces> {
    let mut response = Response::new(Pieces::new(Bytes::new(), 0));
    *response.status_mut() = status;
    response
}

/// A body whose first bytes are written one by one.
struct Pieces {
    rest: Bytes,
    singly: u64,
    /// Pending makes hyper write what it has. Tokio's own pause also lets a reader in the same runtime see the byte alone.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Pieces {
    fn new(rest: Bytes, singly: u64) -> Self {
        Self {
            rest,
            singly,
            pause: (singly > 0).then(pause),
        }
    }
}

fn pause() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(tokio::task::yield_now())
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let mut count = self.rest.len();
        if self.singly > 0 {
            count = 1;
            self.singly -= 1;
            self.pause = Some(pause());
        }
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(count)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// A client's connection that can be told to end with a reset, wherever it is by then.
#[derive(Debug)]
struct Mortal {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Mortal {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
