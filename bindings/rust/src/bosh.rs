//! One BOSH link: requests posted over a few HTTP/1.1 connections of its own, so that the facts of each answer are known.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use epode::{Failure, LinkId, LinkInfo, RequestId, TlsFacts, Verified};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_rustls::TlsConnector;

use crate::tls::{self, ClientIdentity};

/// News from a link, on its way to the engine.
#[derive(Debug)]
pub(crate) enum Arrival {
    Connected {
        link: LinkId,
        info: LinkInfo,
    },
    Responded {
        link: LinkId,
        request: RequestId,
        status: u16,
        body: Bytes,
        tls: Option<TlsFacts>,
    },
    Failed {
        link: LinkId,
        request: Option<RequestId>,
        reason: Failure,
    },
}

/// How long requests that were already written may take after `Close`: a goodbye should leave this machine.
const FLUSH: Duration = Duration::from_secs(2);

/// Idle connections that are kept: no more than requests that the engine has open at once.
const MAX_IDLE: usize = 4;

/// How long one address may take while there are others to try.
const ONE_ADDRESS: Duration = Duration::from_secs(5);

/// A link in the hands of the actor. Dropping it is `Close`.
#[derive(Debug)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    opening: Option<AbortHandle>,
    posts: HashMap<RequestId, JoinHandle<()>>,
}

/// What the tasks of a link share.
#[derive(Debug)]
struct Shared {
    id: LinkId,
    target: Target,
    identity: Option<ClientIdentity>,
    tls: ClientConfig,
    max_message: usize,
    /// The certificate that the server showed first (SHA-256).
    server_certificate: OnceLock<[u8; 32]>,
    idle: Mutex<Vec<Connection>>,
    arrivals: mpsc::Sender<Arrival>,
}

/// Where the requests go.
#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
    /// The name in the server's certificate; `None` without TLS.
    name: Option<ServerName<'static>>,
    host_header: HeaderValue,
    path: Uri,
}

/// One HTTP/1.1 connection.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    facts: Option<TlsFacts>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a `Connect` says.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) link: LinkId,
    pub(crate) url: String,
    pub(crate) server_name: String,
    pub(crate) identity: Option<ClientIdentity>,
    pub(crate) tls: ClientConfig,
    pub(crate) max_message: usize,
}

impl Link {
    /// Starts to open a link. A first connection is made at once, so that a server that is not there is known before
    /// the first request, and what the handshake showed is known with `Connected`.
    pub(crate) fn open(opening: Opening, arrivals: mpsc::Sender<Arrival>) -> Result<Self, Failure> {
        let target = Target::new(&opening.url, &opening.server_name)?;
        let shared = Arc::new(Shared {
            id: opening.link,
            target,
            identity: opening.identity,
            tls: opening.tls,
            max_message: opening.max_message,
            server_certificate: OnceLock::new(),
            idle: Mutex::new(Vec::new()),
            arrivals,
        });
        let opener = Arc::clone(&shared);
        let server_name = opening.server_name;
        let task = tokio::spawn(async move {
            let arrival = match opener.connect().await {
                Ok(connection) => {
                    let info = opener.info(connection.facts.as_ref(), server_name);
                    opener.keep(connection);
                    Arrival::Connected { link: opener.id, info }
                }
                Err(reason) => Arrival::Failed {
                    link: opener.id,
                    request: None,
                    reason,
                },
            };
            // The actor is gone: nobody wants to know.
            let _ = opener.arrivals.send(arrival).await;
        });
        Ok(Self {
            shared,
            opening: Some(task.abort_handle()),
            posts: HashMap::new(),
        })
    }

    /// Posts a body; the answer, or the failure, arrives by the channel.
    pub(crate) fn post(&mut self, request: RequestId, body: Vec<u8>) {
        self.posts.retain(|_, task| !task.is_finished());
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let link = shared.id;
            let arrival = match shared.post(Bytes::from(body)).await {
                Ok((status, body, tls)) => Arrival::Responded {
                    link,
                    request,
                    status,
                    body,
                    tls,
                },
                Err(reason) => Arrival::Failed {
                    link,
                    request: Some(request),
                    reason,
                },
            };
            let _ = shared.arrivals.send(arrival).await;
        });
        self.posts.insert(request, task);
    }

    /// Gives up on a request.
    pub(crate) fn abandon(&mut self, request: RequestId) {
        if let Some(task) = self.posts.remove(&request) {
            task.abort();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(opening) = self.opening.take() {
            opening.abort();
        }
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let posts: Vec<_> = self
            .posts
            .drain()
            .map(|(_, task)| task)
            .filter(|task| !task.is_finished())
            .collect();
        if posts.is_empty() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            tokio::time::sleep(FLUSH).await;
            for task in posts {
                task.abort();
            }
        });
    }
}

impl Shared {
    /// What holds for every request of this link, and what the first handshake showed.
    fn info(&self, facts: Option<&TlsFacts>, name: String) -> LinkInfo {
        let Some(facts) = facts else { return LinkInfo::default() };
        LinkInfo {
            alpn: None,
            subprotocol: None,
            encrypted: true,
            verified: Verified::Host { name },
            tls_version: facts.version.clone(),
            client_certificate_requested: facts.client_certificate_requested,
            client_certificate: self
                .identity
                .as_ref()
                .and_then(ClientIdentity::leaf)
                .map(|leaf| leaf.to_vec()),
        }
    }

    async fn post(&self, body: Bytes) -> Result<(u16, Bytes, Option<TlsFacts>), Failure> {
        let mut request = self.target.request(body);
        let (connection, response) = loop {
            let (mut connection, fresh) = match self.take_idle() {
                Some(connection) => (connection, false),
                None => (self.connect().await?, true),
            };
            if connection.sender.ready().await.is_err() && !fresh {
                continue;
            }
            match connection.sender.try_send_request(request).await {
                Ok(response) => break (connection, response),
                Err(mut error) => match error.take_message() {
                    // An idle connection that the server had closed already: not a byte was sent, so this is no resend.
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) | None => return Err(tls::http_failure(error.error())),
                },
            }
        };
        let status = response.status().as_u16();
        let body = self.read(response).await?;
        let facts = connection.facts.clone();
        self.keep(connection);
        Ok((status, body, facts))
    }

    /// The whole body, and never more than `max_message` of it in memory.
    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        let coded = response.headers().get(CONTENT_ENCODING);
        if coded.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Failure::Http {
                reason: "it is compressed, which was not asked for".to_owned(),
            });
        }
        let too_large = || Failure::Http {
            reason: format!("it is larger than {} bytes", self.max_message),
        };
        let mut body = response.into_body();
        let announced = body.size_hint().lower();
        if announced > u64::try_from(self.max_message).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(64 * 1024));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| tls::http_failure(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len().saturating_add(data.len()) > self.max_message {
                return Err(too_large());
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole.into())
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.sender.is_closed() && idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = self.target.connect().await?;
        // Each request is one small write: waiting to fill a packet would only add to every round trip.
        stream.set_nodelay(true).map_err(|error| tls::io_failure(&error))?;
        let Some(name) = &self.target.name else {
            return handshake(TokioIo::new(stream), None).await;
        };
        let (config, asked) = tls::for_one_connection(&self.tls, self.identity.as_ref());
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name.clone(), stream)
            .await
            .map_err(|error| tls::io_failure(&error))?;
        let facts = tls::facts(stream.get_ref().1, &asked);
        // XEP-0124 §17.1: one session, one certificate. The engine checks it too, but only once there is an answer, and
        // whoever is at the other end now would have read the session's id by then.
        if let Some(digest) = facts.server_certificate_sha256
            && *self.server_certificate.get_or_init(|| digest) != digest
        {
            return Err(Failure::CertificateRejected {
                reason: "it changed in the middle of the session, so nothing was sent to whoever showed the new one"
                    .to_owned(),
            });
        }
        handshake(TokioIo::new(stream), Some(facts)).await
    }
}

async fn handshake<T>(io: T, facts: Option<TlsFacts>) -> Result<Connection, Failure>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await.map_err(|error| tls::http_failure(&error))?;
    // Its error reaches the request that was on it, or the connection was idle and is not taken again.
    let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Connection { sender, facts, driver })
}

impl Target {
    fn new(url: &str, server_name: &str) -> Result<Self, Failure> {
        let wrong = || Failure::Other {
            reason: format!("{url:?} is not a URL that can be posted to"),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong()),
        };
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = if tls {
            Some(ServerName::try_from(server_name.to_owned()).map_err(|_| wrong())?)
        } else {
            None
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            host,
            name,
            host_header: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .parse()
                .map_err(|_| wrong())?,
        })
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(HOST, self.host_header.clone());
        // XEP-0124 §6: the content type of a request.
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
        request
    }

    async fn connect(&self) -> Result<TcpStream, Failure> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|_| Failure::Dns)?
            .collect();
        let mut last = None;
        for (index, address) in addresses.iter().enumerate() {
            let attempt = TcpStream::connect(address);
            let result = if index + 1 < addresses.len() {
                match tokio::time::timeout(ONE_ADDRESS, attempt).await {
                    Ok(result) => result,
                    Err(_) => Err(io::ErrorKind::TimedOut.into()),
                }
            } else {
                attempt.await
            };
            match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(tls::io_failure(&error)),
            }
        }
        Err(last.unwrap_or(Failure::Dns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_the_port_in_the_host_header_and_drops_brackets() {
        let target = Target::new("https://[::1]:7443/http-bind?x=1", "::1").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 7443));
        assert_eq!(target.host_header, "[::1]:7443");
        assert_eq!(target.path.to_string(), "/http-bind?x=1");
        assert_eq!(Target::new("https://a.example", "a.example").unwrap().port, 443);
        assert!(Target::new("http://a.example/", "a.example").unwrap().name.is_none());
        assert!(Target::new("ftp://a.example/", "a.example").is_err());
    }
}
