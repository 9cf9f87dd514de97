//! One TCP link: connect, TLS at once or when it is asked for, then bytes in both directions until somebody ends it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use epode::{Failure, Input, TcpTls};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::link::{Desk, Order};
use crate::tls::{self, Wire};

/// What ALPN calls XMPP on a connection that begins with TLS (XEP-0368 §2).
const ALPN: &[u8] = b"xmpp-client";

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// Bytes written at once, and reported as one.
const WRITE: usize = 64 * 1024;

/// How long the last bytes and the peer's own goodbye may take after `Close`.
const FLUSH: Duration = Duration::from_secs(2);

/// How long the reader may look for the reason after a write has failed: a server that ends a stream says why first.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How the service of a connection ended.
enum End {
    /// The engine closed the link.
    Closed,
    /// The engine asks for TLS; this had been read already.
    StartTls {
        server_name: String,
        read: Option<Input<'static>>,
    },
    /// The connection is over, and the engine knows.
    Over,
}

/// The life of a link. It ends when the desk's orders do, or with the connection.
pub(crate) async fn run(mut desk: Desk, host: String, port: u16, tls: TcpTls) {
    // Whether it was closed, or nobody is there any more: there is nothing left to do.
    let _ = live(&mut desk, &host, port, tls).await;
}

/// `None` when the link was closed before there was anything to flush.
async fn live(desk: &mut Desk, host: &str, port: u16, tls: TcpTls) -> Option<()> {
    let environment = Arc::clone(&desk.environment);
    let stream = match desk.unless_closed(environment.dialer.connect(host, port)).await? {
        Ok(stream) => stream,
        Err(reason) => return desk.arrive(desk.failed(reason)).await,
    };
    match tls {
        TcpTls::Direct => {
            let name = desk.opening.server_name.clone();
            secure(desk, stream, name, Some(ALPN)).await
        }
        TcpTls::StartTls => {
            let info = tls::info(None, String::new(), None);
            desk.arrive(connected(desk, info)).await?;
            let (mut stream, end) = serve(desk, stream).await;
            match end {
                End::Over => Some(()),
                End::Closed => {
                    close(&mut stream).await;
                    Some(())
                }
                End::StartTls { server_name, read } => {
                    // Before the handshake, and on the same way as `Connected`: the engine sees them in this order, and judges.
                    if let Some(read) = read {
                        desk.arrive(read).await?;
                    }
                    secure(desk, stream, server_name, None).await
                }
            }
        }
        // Not an enum of this crate: plain bytes are never the answer to an unknown kind of TLS.
        _ => {
            let reason = Failure::Other {
                reason: "this driver has no such kind of TLS".to_owned(),
            };
            desk.arrive(desk.failed(reason)).await
        }
    }
}

/// TLS, and what follows it.
async fn secure(desk: &mut Desk, stream: TcpStream, server_name: String, alpn: Option<&[u8]>) -> Option<()> {
    let bare = server_name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let Ok(name) = ServerName::try_from(bare) else {
        let reason = Failure::Other {
            reason: format!("no certificate can be for the name {server_name:?}"),
        };
        return desk.arrive(desk.failed(reason)).await;
    };
    let environment = Arc::clone(&desk.environment);
    let identity = desk.opening.identity.clone();
    let handshake = tls::secure(&environment.tls, identity.as_ref(), alpn, name, stream);
    let secured = match desk.unless_closed(handshake).await? {
        Ok(secured) => secured,
        Err(reason) => return desk.arrive(desk.failed(reason)).await,
    };
    let mut info = tls::info(Some(&secured.seen), server_name, identity.as_ref());
    info.alpn = secured.alpn;
    desk.arrive(connected(desk, info)).await?;
    let wire: Wire = secured.wire;
    let (mut wire, end) = serve(desk, wire).await;
    match end {
        // A second `StartTls` is none that the contract has.
        End::Closed | End::StartTls { .. } => close(&mut wire).await,
        End::Over => {}
    }
    Some(())
}

fn connected(desk: &Desk, info: epode::LinkInfo) -> Input<'static> {
    Input::Connected {
        link: desk.opening.link,
        info,
    }
}

/// Bytes in both directions. What was ordered before `Close` or `StartTls` is written first.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(desk: &mut Desk, stream: S) -> (S, End) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut buffer = vec![0; READ];
    let mut outgoing = VecDeque::new();
    // Given to the stream, and not known to have left it.
    let mut unflushed = 0;
    let mut write_failed: Option<(Failure, Instant)> = None;
    // What was read and not handed in, and whether it is the last.
    let mut arrived: Option<Input<'static>> = None;
    let mut last = false;
    // What comes after everything that was ordered before it, and how long a `Close` waits for that.
    let mut ending: Option<End> = None;
    let mut close_by = Instant::now();
    let end = loop {
        if last && arrived.is_none() {
            break End::Over;
        }
        let idle = unflushed == 0 && (outgoing.is_empty() || write_failed.is_some());
        if idle && let Some(end) = ending.take() {
            break match end {
                // Nothing is left to shake hands with.
                End::StartTls { .. } if last => continue,
                End::StartTls { server_name, read: _ } => End::StartTls {
                    server_name,
                    read: arrived.take(),
                },
                End::Closed | End::Over => End::Closed,
            };
        }
        // Towards the end nothing is read: bytes that the engine did not ask for have no place then.
        let reads = ending.is_none() && arrived.is_none() && !last;
        let give_up = async {
            match (&write_failed, ending.is_some()) {
                (Some((_, at)), false) => tokio::time::sleep_until(*at).await,
                (Some(_) | None, _) => std::future::pending().await,
            }
        };
        tokio::select! {
            // What was ordered is gathered before it is written: many small stanzas make one packet, and one TLS record.
            biased;
            order = desk.orders.recv(), if !matches!(ending, Some(End::Closed)) => match order {
                Some(Order::Write(bytes)) => outgoing.extend(bytes),
                // Not for this kind of link; the engine knows its kind.
                Some(Order::Frame(_)) => {}
                Some(Order::StartTls { server_name }) => ending = Some(End::StartTls { server_name, read: None }),
                None => {
                    ending = Some(End::Closed);
                    close_by = Instant::now() + FLUSH;
                }
            },
            // A peer that takes nothing does not keep a link that was closed.
            () = tokio::time::sleep_until(close_by), if matches!(ending, Some(End::Closed)) => {
                outgoing.clear();
                unflushed = 0;
            }
            permit = desk.wires.arrivals.reserve(), if arrived.is_some() => match (permit, arrived.take()) {
                (Ok(permit), Some(input)) => permit.send(input),
                (Ok(_) | Err(_), _) => break End::Closed,
            },
            result = push(&mut writer, &outgoing, unflushed), if !idle => match result {
                Ok(0) if unflushed == 0 => write_failed = Some(failed_write(&io::ErrorKind::WriteZero.into())),
                Ok(0) => desk.written(std::mem::take(&mut unflushed)).await,
                Ok(count) => {
                    outgoing.drain(..count);
                    unflushed = count;
                }
                Err(error) => write_failed = Some(failed_write(&error)),
            },
            result = reader.read(&mut buffer), if reads => {
                let input = match result {
                    Ok(0) => desk.ended(),
                    Ok(count) => Input::Received {
                        link: desk.opening.link,
                        bytes: Cow::Owned(buffer.iter().take(count).copied().collect()),
                    },
                    Err(error) => desk.failed(tls::io_failure(&error)),
                };
                last = !matches!(input, Input::Received { .. });
                arrived = Some(input);
            },
            () = give_up, if reads => if let Some((reason, _)) = write_failed.take() {
                arrived = Some(desk.failed(reason));
                last = true;
            },
        }
        if write_failed.is_some() {
            unflushed = 0;
            outgoing.clear();
        }
    };
    (reader.unsplit(writer), end)
}

/// Gives bytes to the stream and says how many; or sees what was given leave it, and says 0. Cancel safe.
async fn push<W: AsyncWrite + Unpin>(writer: &mut W, outgoing: &VecDeque<u8>, unflushed: usize) -> io::Result<usize> {
    if unflushed > 0 {
        return writer.flush().await.map(|()| 0);
    }
    writer.write(front(outgoing)).await
}

fn failed_write(error: &io::Error) -> (Failure, Instant) {
    (tls::io_failure(error), Instant::now() + LAST_WORDS)
}

fn front(outgoing: &VecDeque<u8>) -> &[u8] {
    let (front, _) = outgoing.as_slices();
    front.get(..WRITE).unwrap_or(front)
}

/// The goodbye of TLS and of TCP. What the peer still sends is read and dropped: a socket closed with bytes unread resets the
/// connection, and the peer may lose what was written last.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let goodbye = async {
        if stream.shutdown().await.is_ok() {
            let mut buffer = [0; 1024];
            while matches!(stream.read(&mut buffer).await, Ok(count) if count > 0) {}
        }
    };
    // Too late is as good as done: the connection is dropped either way.
    let _ = tokio::time::timeout(FLUSH, goodbye).await;
}
