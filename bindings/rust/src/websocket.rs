//! One WebSocket link (RFC 6455, RFC 7395): HTTP/1.1 upgraded on a stream of our own, then text messages.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use epode::{Failure, Input, LinkInfo};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::http::{Target, WEBSOCKET};
use crate::link::{Desk, Environment, Opening, Order};
use crate::tls;

/// How long the last frames and the peer's own goodbye may take after `Close`.
const FLUSH: Duration = Duration::from_secs(2);

/// How long the answer to the peer's goodbye may take.
const ANSWER: Duration = Duration::from_secs(1);

/// Bytes of frames that are flushed together.
const WRITE: usize = 64 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The life of a link. It ends when the desk's orders do, or with the connection.
pub(crate) async fn run(mut desk: Desk, url: String) {
    // Whether it was closed, or nobody is there any more: there is nothing left to do.
    let _ = live(&mut desk, &url).await;
}

async fn live(desk: &mut Desk, url: &str) -> Option<()> {
    let target = match Target::new(url, &desk.opening.server_name, WEBSOCKET) {
        Ok(target) => target,
        Err(reason) => return desk.arrive(desk.failed(reason)).await,
    };
    let environment = Arc::clone(&desk.environment);
    let opening = Opening {
        server_name: desk.opening.server_name.clone(),
        identity: desk.opening.identity.clone(),
        ..desk.opening
    };
    let (socket, info) = match desk.unless_closed(open(&target, &environment, opening)).await? {
        Ok(opened) => opened,
        Err(reason) => return desk.arrive(desk.failed(reason)).await,
    };
    let link = desk.opening.link;
    desk.arrive(Input::Connected { link, info }).await?;
    serve(desk, socket).await;
    Some(())
}

/// Asks for the upgrade (RFC 6455 §4.1). Whether the server selected the subprotocol is for the engine to judge.
async fn open(target: &Target, environment: &Environment, opening: Opening) -> Result<(Socket, LinkInfo), Failure> {
    let (wire, seen) = target.connect(environment, opening.identity.as_ref()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire))
        .await
        .map_err(|error| tls::http_failure(&error))?;
    let key = generate_key();
    let mut request = target.request(Method::GET, Empty::<Bytes>::new());
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("xmpp"));
    let value = HeaderValue::from_str(&key).map_err(|_| Failure::Reset)?;
    headers.insert(SEC_WEBSOCKET_KEY, value);
    let answer = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| tls::http_failure(&error))?;
        check(&response, &key)?;
        let subprotocol = text(response.headers(), &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned);
        let upgraded = hyper::upgrade::on(response).await;
        Ok::<_, Failure>((upgraded.map_err(|error| tls::http_failure(&error))?, subprotocol))
    };
    tokio::pin!(answer);
    let (upgraded, subprotocol) = tokio::select! {
        answer = &mut answer => answer,
        // It is over with the upgrade, or with an error that the answer tells.
        _ = connection.with_upgrades() => answer.await,
    }?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(opening.max_message))
        .max_frame_size(Some(opening.max_message));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
    let mut info = tls::info(seen.as_ref(), opening.server_name, opening.identity.as_ref());
    info.subprotocol = subprotocol;
    Ok((socket, info))
}

/// Whether it is the answer of a WebSocket server to this very request.
fn check(response: &Response<Incoming>, key: &str) -> Result<(), Failure> {
    let wrong = |reason: &str| {
        Err(Failure::Http {
            reason: reason.to_owned(),
        })
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status().as_u16();
        return wrong(&format!("its status is {status}, and not the 101 of a WebSocket"));
    }
    let headers = response.headers();
    let is = |name: &HeaderName, expected: &str| {
        text(headers, name).is_some_and(|value| {
            value
                .split(',')
                .any(|value| value.trim().eq_ignore_ascii_case(expected))
        })
    };
    if !is(&UPGRADE, "websocket") || !is(&CONNECTION, "upgrade") {
        return wrong("it switches to another protocol than WebSocket");
    }
    if text(headers, &SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return wrong("it is the answer to another request than this one");
    }
    // RFC 6455 §9.1: none was asked for.
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return wrong("it uses WebSocket extensions that were not asked for");
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Messages in both directions, until somebody ends it.
async fn serve(desk: &mut Desk, socket: Socket) {
    let (mut sink, mut stream) = socket.split();
    let mut outgoing: VecDeque<String> = VecDeque::new();
    // Given to the socket, and not known to have left it.
    let mut unflushed = 0;
    let mut writes = true;
    // How long a `Close` waits for what was ordered before it.
    let mut close_by: Option<Instant> = None;
    let mut arrived: Option<Input<'static>> = None;
    let mut last = false;
    loop {
        if last && arrived.is_none() {
            return;
        }
        let idle = !writes || (unflushed == 0 && outgoing.is_empty());
        if idle && close_by.is_some() {
            break;
        }
        let flushes = outgoing.is_empty() || unflushed >= WRITE;
        tokio::select! {
            biased;
            order = desk.orders.recv(), if close_by.is_none() => match order {
                Some(Order::Frame(text)) => outgoing.push_back(text),
                // Not for this kind of link; the engine knows its kind.
                Some(Order::Write(_) | Order::StartTls { .. }) => {}
                None => close_by = Some(Instant::now() + FLUSH),
            },
            // A peer that takes nothing does not keep a link that was closed.
            () = tokio::time::sleep_until(close_by.unwrap_or_else(Instant::now)), if close_by.is_some() => return,
            permit = desk.wires.arrivals.reserve(), if arrived.is_some() => match (permit, arrived.take()) {
                (Ok(permit), Some(input)) => permit.send(input),
                (Ok(_) | Err(_), _) => return,
            },
            result = std::future::poll_fn(|cx| if flushes {
                sink.poll_flush_unpin(cx)
            } else {
                sink.poll_ready_unpin(cx)
            }), if !idle => match (result, if flushes { None } else { outgoing.pop_front() }) {
                (Ok(()), Some(text)) => {
                    unflushed = text.len().saturating_add(unflushed);
                    writes = sink.start_send_unpin(Message::text(text)).is_ok();
                }
                (Ok(()), None) => desk.written(std::mem::take(&mut unflushed)).await,
                (Err(_), _) => writes = false,
            },
            message = stream.next(), if arrived.is_none() && !last && close_by.is_none() => {
                arrived = match message {
                    Some(Ok(Message::Text(text))) => Some(Input::Received {
                        link: desk.opening.link,
                        bytes: Cow::Owned(Bytes::from(text).into()),
                    }),
                    // The library has answered a ping.
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
                    Some(Ok(Message::Binary(_))) => Some(desk.failed(Failure::Other {
                        reason: "the server sent a binary message, which XMPP has no use for".to_owned(),
                    })),
                    Some(Ok(Message::Close(_))) => {
                        // RFC 6455 §5.5.1: the library has an answer, and only has to get it out.
                        let _ = tokio::time::timeout(ANSWER, sink.flush()).await;
                        Some(desk.ended())
                    }
                    None => Some(desk.ended()),
                    Some(Err(error)) => Some(over(desk, error)),
                };
                last = arrived.as_ref().is_some_and(|input| !matches!(input, Input::Received { .. }));
            },
        }
        // Why it cannot be written is for the reader to find out: a server that ends a stream says why first.
        if !writes {
            unflushed = 0;
            outgoing.clear();
        }
    }
    let goodbye = async {
        if sink.close().await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    // Too late is as good as done: the connection is dropped either way.
    let _ = tokio::time::timeout(FLUSH, goodbye).await;
}

/// What the end of a socket means.
fn over(desk: &Desk, error: Error) -> Input<'static> {
    let other = |reason: String| Failure::Other { reason };
    desk.failed(match error {
        Error::ConnectionClosed | Error::AlreadyClosed => return desk.ended(),
        Error::Io(error) => tls::io_failure(&error),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Failure::Reset,
        Error::Capacity(_) => other(format!(
            "the server sent a message larger than {} bytes",
            desk.opening.max_message
        )),
        Error::Utf8(_) => other("the server sent text that is no UTF-8".to_owned()),
        error @ (Error::Tls(_)
        | Error::Protocol(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_)) => other(format!("the server broke the WebSocket protocol: {error}")),
    })
}
