//! TCP: STARTTLS (RFC 6120 §5) and direct TLS (XEP-0368), and one stream after the other on each connection.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::faults::{Accepting, Board, Faulty, Socket, Transport};
use crate::links::{Next, TLS};
use crate::tls::Peer;
use crate::xml::{Piece, Reader};
use crate::{Shared, lock};

pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the client's end is waited for, when ours has been said. A socket closed over unread bytes is reset, and the last words with it.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);
/// Far above what a test sends.
pub(crate) const MAX_STANZA: usize = 8 << 20;

/// ALPN of XEP-0368 §5.
pub(crate) const ALPN: &[u8] = b"xmpp-client";

/// One listener.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) listener: TcpListener,
    pub(crate) transport: Transport,
    pub(crate) config: Arc<ServerConfig>,
}

/// Accepts until told to stop, then lets open connections finish. Dropping the future ends them all.
pub(crate) async fn serve(entrance: Entrance, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let Entrance {
        listener,
        transport,
        config,
    } = entrance;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            stream = accept(&listener, &shared.board, transport) => {
                connections.spawn(connection(stream, transport, config.clone(), shared.clone()));
            }
            Some(_) = connections.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection that is to be served.
pub(crate) async fn accept(listener: &TcpListener, board: &Board, transport: Transport) -> TcpStream {
    let mut changes = board.changes();
    loop {
        let open = board.accepting(transport) != Accepting::Never;
        tokio::select! {
            accepted = listener.accept(), if open => {
                let Ok((stream, _)) = accepted else { continue };
                if board.accepting(transport) == Accepting::Yes {
                    // Small answers must not wait for the acknowledgement of the one before.
                    let _ = stream.set_nodelay(true);
                    return stream;
                }
                let _ = stream.set_zero_linger();
            }
            _ = changes.changed() => {}
        }
    }
}

async fn connection(stream: TcpStream, transport: Transport, config: Arc<ServerConfig>, shared: Arc<Shared>) {
    if transport == Transport::DirectTls {
        let Some(stream) = secure(stream, config, &shared, transport).await else {
            return;
        };
        let peer = shared.peer(&stream);
        let (id, texts) = lock(&shared.hub).connect(transport, peer, true);
        let mut stream = Faulty::new(stream, shared.board.clone(), transport);
        Conversation::new(id, texts, &shared).run(&mut stream).await;
        return;
    }
    let (id, texts) = lock(&shared.hub).connect(transport, Arc::new(Peer::absent()), false);
    let mut stream = Faulty::new(stream, shared.board.clone(), transport);
    let mut conversation = Conversation::new(id, texts, &shared);
    if conversation.run(&mut stream).await != Next::StartTls {
        return;
    }
    let proceed = format!("<proceed xmlns='{TLS}'/>");
    let said = async {
        stream.write_all(proceed.as_bytes()).await?;
        stream.flush().await
    };
    if said.await.is_ok()
        && let Some(stream) = secure(stream.into_inner(), config, &shared, transport).await
    {
        lock(&shared.hub).secured(id, shared.peer(&stream));
        let mut stream = Faulty::new(stream, shared.board.clone(), transport);
        conversation.begin();
        conversation.run(&mut stream).await;
    }
    lock(&shared.hub).lost(id, Instant::now());
}

/// The TLS handshake, and what its first message says.
async fn secure(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    shared: &Shared,
    transport: Transport,
) -> Option<TlsStream<TcpStream>> {
    let handshake = async {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let hello = start.client_hello();
        let name = hello.server_name().map(str::to_owned);
        let protocols: Option<Vec<Vec<u8>>> = hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect());
        if transport == Transport::DirectTls {
            if protocols.is_some_and(|names| !names.iter().any(|name| name == ALPN)) {
                shared.violate("direct TLS with ALPN, and without `xmpp-client` in it (XEP-0368 §5)");
            }
            // An address has no place in SNI (RFC 6066 §3).
            if name.is_none() && shared.settings.domain.parse::<IpAddr>().is_err() {
                shared.violate("direct TLS without a server name (XEP-0368 §3)");
            }
        }
        if name.is_some_and(|name| !name.eq_ignore_ascii_case(&shared.settings.domain)) {
            shared.violate("a server name in TLS that is not the domain");
        }
        start.into_stream(config).await
    };
    let stream: io::Result<_> = tokio::time::timeout(HANDSHAKE, handshake).await.ok()?;
    lock(&shared.hub).statistics.connections += 1;
    stream.ok()
}

/// Writes some of it and says how much; with nothing to write, what is still in between leaves.
async fn send(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return to.flush().await.map(|()| 0);
    }
    match to.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

/// One connection's streams.
struct Conversation<'a> {
    id: u64,
    texts: mpsc::UnboundedReceiver<String>,
    shared: &'a Shared,
    reader: Reader,
    /// The bytes of a header that is not complete.
    header: Option<Vec<u8>>,
    /// This stream follows another one (RFC 6120 §6.4.6).
    restarted: bool,
    /// The bytes of what is not complete.
    size: usize,
}

impl<'a> Conversation<'a> {
    fn new(id: u64, texts: mpsc::UnboundedReceiver<String>, shared: &'a Shared) -> Self {
        Self {
            id,
            texts,
            shared,
            reader: Reader::new(),
            header: Some(Vec::new()),
            restarted: false,
            size: 0,
        }
    }

    /// The next bytes are a new stream's.
    fn begin(&mut self) {
        self.reader = Reader::new();
        self.header = Some(Vec::new());
        self.size = 0;
    }

    /// Reads and writes until the connection ends or TLS is to begin. Reading never waits for writing, or two full buffers would
    /// wait for each other.
    async fn run<S: Socket>(&mut self, stream: &mut Faulty<S>) -> Next {
        let (mut from, mut to) = tokio::io::split(&mut *stream);
        let mut buffer = vec![0; 16 << 10];
        // What is to be sent, and how much of it was.
        let (mut out, mut sent) = (Vec::new(), 0);
        let mut flushed = true;
        let mut listening = true;
        let mut speaking = true;
        let mut tls = false;
        loop {
            if out.is_empty() && flushed && (tls || !speaking) {
                break;
            }
            tokio::select! {
                biased;
                text = self.texts.recv(), if speaking && !tls => match text {
                    Some(text) => out.extend_from_slice(text.as_bytes()),
                    None => speaking = false,
                },
                written = send(&mut to, out.get(sent..).unwrap_or_default()), if !out.is_empty() || !flushed => match written {
                    Ok(count) => {
                        flushed = out.is_empty();
                        sent += count;
                        // Moving the rest with every write would take forever over a long one.
                        if sent >= out.len() {
                            out.clear();
                            sent = 0;
                        }
                    }
                    Err(_) => return self.lost(),
                },
                read = from.read(&mut buffer), if listening => match read {
                    Ok(count @ 1..) => match self.feed(buffer.get(..count).unwrap_or_default()) {
                        Next::Continue | Next::Restart => {}
                        Next::StartTls => (listening, tls) = (false, true),
                        Next::Close => listening = false,
                    },
                    Ok(0) | Err(_) => return self.lost(),
                },
            }
        }
        if tls {
            return Next::StartTls;
        }
        let farewell = async {
            to.shutdown().await?;
            while from.read(&mut buffer).await? != 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        Next::Close
    }

    fn lost(&self) -> Next {
        lock(&self.shared.hub).lost(self.id, Instant::now());
        Next::Close
    }

    fn feed(&mut self, mut bytes: &[u8]) -> Next {
        let max = self.shared.settings.max_stanza_bytes.unwrap_or(MAX_STANZA);
        loop {
            let before = bytes;
            let piece = self.reader.next(&mut bytes);
            let taken = before.get(..before.len() - bytes.len()).unwrap_or_default();
            self.size += taken.len();
            if let Some(header) = &mut self.header {
                header.extend_from_slice(taken);
            }
            if self.size > max {
                self.shared.violate("a stanza larger than is allowed");
                return lock(&self.shared.hub).broken(self.id, "policy-violation");
            }
            let piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) => return Next::Continue,
                Err(condition) => {
                    let mut hub = lock(&self.shared.hub);
                    // It left while <success/> was on its way, and does not know of a new stream (RFC 6120 §6.4.6).
                    let said = [self.header.as_deref().unwrap_or_default(), bytes].concat();
                    if self.restarted && said.trim_ascii() == b"</stream:stream>" {
                        return hub.closed(self.id);
                    }
                    hub.violate(format!("a stream that is not XML as XMPP wants it: {condition}"));
                    return hub.broken(self.id, condition);
                }
            };
            self.size = 0;
            let is_end = matches!(piece, Piece::End);
            let next = self.take(piece);
            match next {
                Next::Continue => {}
                Next::Restart => {
                    self.begin();
                    self.restarted = true;
                }
                Next::StartTls if bytes.is_empty() => return next,
                Next::StartTls => {
                    // RFC 6120 §5.4.2.1: they would be read as if TLS had protected them.
                    self.shared.violate("bytes after <starttls/>, before <proceed/>");
                    return lock(&self.shared.hub).broken(self.id, "policy-violation");
                }
                Next::Close => {
                    if is_end && !bytes.trim_ascii().is_empty() {
                        self.shared.violate("bytes after </stream:stream>");
                    }
                    return next;
                }
            }
        }
    }

    fn take(&mut self, piece: Piece) -> Next {
        let mut hub = lock(&self.shared.hub);
        match piece {
            Piece::Header(header) => {
                // The reader resolves declarations and does not show them.
                let raw = self.header.take().unwrap_or_default();
                let raw = String::from_utf8_lossy(&raw);
                let declared = raw.contains("xmlns='jabber:client'") || raw.contains("xmlns=\"jabber:client\"");
                hub.stream_header(self.id, &header, declared)
            }
            Piece::Element(element) => hub.element(self.id, element),
            Piece::Text(text) => hub.text(self.id, &text),
            Piece::End => hub.closed(self.id),
        }
    }
}
