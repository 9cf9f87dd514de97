//! WebSocket (RFC 7395): the upgrade of an HTTPS request, and one frame after the other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use crate::faults::{Faulty, Transport};
use crate::links::{FRAMING, Next};
use crate::tcp::MAX_STANZA;
use crate::tls::Peer;
use crate::{Shared, lock};

/// How long the other end of the closing handshake is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<Faulty<TlsStream<TcpStream>>>;

/// The headers that accept an upgrade, or what is wrong with the request (RFC 6455 §4.2.1, RFC 7395 §3.1).
pub(crate) fn negotiate(request: &Request<Incoming>) -> Result<[(HeaderName, HeaderValue); 4], &'static str> {
    let lists = |name: HeaderName, wanted: &str| {
        let values = request.headers().get_all(name);
        let mut words = values
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    if request.method() != Method::GET || !lists(UPGRADE, "websocket") || !lists(CONNECTION, "upgrade") {
        return Err("a request to the WebSocket's path that is no upgrade");
    }
    if !lists(SEC_WEBSOCKET_VERSION, "13") {
        return Err("a WebSocket of another version than 13");
    }
    if !lists(SEC_WEBSOCKET_PROTOCOL, "xmpp") {
        return Err("a WebSocket without the subprotocol `xmpp`");
    }
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    let Some(accept) = key.and_then(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()) else {
        return Err("a WebSocket without a key");
    };
    Ok([
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (SEC_WEBSOCKET_ACCEPT, accept),
        (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("xmpp")),
    ])
}

/// Serves an upgraded connection until it ends.
pub(crate) async fn run(upgraded: Upgraded, peer: std::sync::Arc<Peer>, shared: &Shared) {
    let Ok(parts) = upgraded.downcast::<TokioIo<Faulty<TlsStream<TcpStream>>>>() else {
        return;
    };
    let stream = parts.io.into_inner();
    stream.becomes(Transport::WebSocket);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_STANZA))
        .max_frame_size(Some(MAX_STANZA));
    let mut socket: Socket =
        WebSocketStream::from_partially_read(stream, parts.read_buf.to_vec(), Role::Server, Some(config)).await;
    let (id, mut texts) = lock(&shared.hub).connect(Transport::WebSocket, peer, true);
    let mut pending = VecDeque::new();
    let mut listening = true;
    loop {
        match poll_fn(|cx| step(cx, &mut socket, &mut pending, &mut texts)).await {
            Step::Message(Message::Text(text)) if listening => {
                let max = shared.settings.max_stanza_bytes.unwrap_or(MAX_STANZA);
                let mut hub = lock(&shared.hub);
                let next = if text.len() > max {
                    hub.violate("a stanza larger than is allowed".into());
                    hub.broken(id, "policy-violation")
                } else {
                    hub.frame(id, text.as_str())
                };
                listening = next != Next::Close;
            }
            Step::Message(Message::Binary(_)) if listening => {
                let mut hub = lock(&shared.hub);
                hub.violate("a binary frame (RFC 7395 §3.2)".into());
                hub.broken(id, "not-well-formed");
                listening = false;
            }
            Step::Message(
                Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
            ) => {}
            // A close frame without `<close/>` is an unclean end: the session can be resumed.
            Step::Message(Message::Close(_)) | Step::Gone => break,
            Step::Finished => {
                let _ = tokio::time::timeout(FAREWELL, farewell(&mut socket)).await;
                break;
            }
        }
    }
    lock(&shared.hub).lost(id, Instant::now());
}

/// RFC 7395 §3.6: who said `<close/>` first closes the WebSocket when it has been answered.
async fn farewell(socket: &mut Socket) {
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Text(text) if text.as_str().contains("<close") && text.as_str().contains(FRAMING) => {
                let code = CloseCode::Normal;
                let reason = "".into();
                let _ = socket.close(Some(CloseFrame { code, reason })).await;
            }
            Message::Close(_) => {
                // The answer to it leaves with the flush.
                let _ = socket.flush().await;
                return;
            }
            Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

enum Step {
    Message(Message),
    /// The connection broke.
    Gone,
    /// All was said.
    Finished,
}

/// Sends what there is to send, and reads. Neither waits for the other.
fn step(
    cx: &mut Context<'_>,
    socket: &mut Socket,
    pending: &mut VecDeque<String>,
    texts: &mut mpsc::UnboundedReceiver<String>,
) -> Poll<Step> {
    let ended = loop {
        match texts.poll_recv(cx) {
            Poll::Ready(Some(text)) => pending.push_back(text),
            Poll::Ready(None) => break true,
            Poll::Pending => break false,
        }
    };
    while !pending.is_empty() {
        match socket.poll_ready_unpin(cx) {
            Poll::Ready(Ok(())) => {
                if let Some(text) = pending.pop_front()
                    && socket.start_send_unpin(Message::text(text)).is_err()
                {
                    return Poll::Ready(Step::Gone);
                }
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Step::Gone),
            Poll::Pending => break,
        }
    }
    match socket.poll_flush_unpin(cx) {
        Poll::Ready(Ok(())) if ended && pending.is_empty() => return Poll::Ready(Step::Finished),
        Poll::Ready(Ok(())) | Poll::Pending => {}
        Poll::Ready(Err(_)) => return Poll::Ready(Step::Gone),
    }
    match socket.poll_next_unpin(cx) {
        Poll::Ready(Some(Ok(message))) => Poll::Ready(Step::Message(message)),
        Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Step::Gone),
        Poll::Pending => Poll::Pending,
    }
}
