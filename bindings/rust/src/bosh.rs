//! One BOSH link: requests posted over a few HTTP/1.1 connections of its own, so that the facts of each answer are known.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use epode::{Failure, Input, LinkId, RequestId, TlsFacts};
use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

use crate::http::{self, Connection, Target};
use crate::link::{Environment, Opening};
use crate::tls::{self, ClientIdentity};

/// How long requests that were already written may take after `Close`: a goodbye should leave this machine.
const FLUSH: Duration = Duration::from_secs(2);

/// Idle connections that are kept: no more than requests that the engine has open at once.
const MAX_IDLE: usize = 4;

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
    environment: Arc<Environment>,
    max_message: usize,
    /// The certificate that the server showed first (SHA-256).
    server_certificate: OnceLock<[u8; 32]>,
    idle: Mutex<Vec<Connection>>,
    arrivals: mpsc::Sender<Input<'static>>,
}

impl Link {
    /// Starts to open a link. A first connection is made at once, so that a server that is not there is known before
    /// the first request, and what the handshake showed is known with `Connected`.
    pub(crate) fn open(
        opening: Opening,
        url: &str,
        environment: Arc<Environment>,
        arrivals: mpsc::Sender<Input<'static>>,
    ) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            id: opening.link,
            target: Target::new(url, &opening.server_name, http::HTTP)?,
            identity: opening.identity,
            environment,
            max_message: opening.max_message,
            server_certificate: OnceLock::new(),
            idle: Mutex::new(Vec::new()),
            arrivals,
        });
        let opener = Arc::clone(&shared);
        let server_name = opening.server_name;
        let task = tokio::spawn(async move {
            let link = opener.id;
            let arrival = match opener.connect().await {
                Ok(connection) => {
                    let mut info = tls::info(connection.seen.as_ref(), server_name, opener.identity.as_ref());
                    // The next request may go over another connection: only what is the same for all of them is good for a
                    // login. The certificate is, or `connect` fails.
                    info.channel_bindings.tls_exporter = None;
                    info.channel_bindings.tls_unique = None;
                    opener.keep(connection);
                    Input::Connected { link, info }
                }
                Err(reason) => Input::Failed {
                    link,
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
                Ok((status, body, tls)) => Input::Responded {
                    link,
                    request,
                    status,
                    body: Cow::Owned(body),
                    tls,
                },
                Err(reason) => Input::Failed {
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
    async fn post(&self, body: Bytes) -> Result<(u16, Vec<u8>, Option<TlsFacts>), Failure> {
        let mut request = self.target.request(Method::POST, Full::new(body));
        // XEP-0124 §6: the content type of a request.
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=utf-8"));
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
        let body = http::read(response, self.max_message).await?;
        let facts = connection.seen.as_ref().map(|seen| seen.facts.clone());
        self.keep(connection);
        Ok((status, body, facts))
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
        let (wire, seen) = self.target.connect(&self.environment, self.identity.as_ref()).await?;
        // XEP-0124 §17.1: one session, one certificate. The engine checks it too, but only once there is an answer, and
        // whoever is at the other end now would have read the session's id by then.
        if let Some(digest) = seen.as_ref().and_then(|seen| seen.facts.server_certificate_sha256)
            && *self.server_certificate.get_or_init(|| digest) != digest
        {
            return Err(Failure::CertificateRejected {
                reason: "it changed in the middle of the session, so nothing was sent to whoever showed the new one"
                    .to_owned(),
            });
        }
        Connection::new(wire, seen).await
    }
}
