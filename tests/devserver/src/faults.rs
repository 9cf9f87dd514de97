//! Misbehaviour of connections that can be changed while the server runs.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use crate::hub::Hub;
use crate::{Authentication, Faults, lock};

/// The ways into the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP that becomes TLS on the way (RFC 6120 §5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    DirectTls,
    /// WebSocket (RFC 7395).
    WebSocket,
    /// BOSH (XEP-0124). An HTTPS connection counts as BOSH until it is upgraded to a WebSocket.
    Bosh,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::StartTls, Self::DirectTls, Self::WebSocket, Self::Bosh];
}

/// How a connection is cut. Neither says goodbye: no end of the stream, no TLS close_notify.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// A TCP reset. What was sent just before may be lost on the way.
    #[default]
    Reset,
    /// The end of the TCP connection. What was sent before arrives.
    End,
}

/// What becomes of new connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accepting {
    /// They are served.
    #[default]
    Yes,
    /// They are reset at once.
    Reset,
    /// Nobody accepts them: the client waits, until this is changed.
    Never,
}

/// What the connections of one transport suffer. The default is nothing.
///
/// Bytes are those of XMPP or HTTP, before TLS encrypts them, counted on each connection since it was opened; over STARTTLS the
/// count begins again with TLS.
#[derive(Clone, Debug, Default)]
pub struct LinkFaults {
    /// Every connection is cut when the server has sent so many bytes.
    pub cut_after_sent: Option<u64>,
    /// Every connection is cut when the server has read so many bytes.
    pub cut_after_received: Option<u64>,
    /// How these two cut.
    pub cut: Cut,
    /// Nothing is read and nothing is written until this is off again. The connections stay open.
    pub stall: bool,
    /// Every byte leaves in a TLS record and, the network permitting, a packet of its own.
    pub one_byte_writes: bool,
    /// What becomes of new connections. On [`Transport::WebSocket`] it is about the upgrade.
    pub accepting: Accepting,
    /// `<enable/>` is answered with `<failed/>` (XEP-0198 §3).
    pub refuse_enable: bool,
    /// `<resume/>` is answered with `<failed/>` and `h`, and the session is gone (XEP-0198 §5).
    pub refuse_resume: bool,
    /// A new stream is answered with the stream error `see-other-host` and this as its text (RFC 6120 §4.9.3.19); over STARTTLS, once
    /// TLS is there.
    pub see_other_host: Option<String>,
    /// `<open/>` is answered with `<close see-other-uri='...'/>` (RFC 7395 §3.6.1).
    pub see_other_uri: Option<String>,
}

/// Changes how a running server behaves. Clones control the same server.
#[derive(Clone, Debug)]
pub struct Control {
    pub(crate) board: Arc<Board>,
    pub(crate) hub: Arc<Mutex<Hub>>,
}

impl Control {
    /// Changes what one transport suffers, on connections that are open and on new ones.
    pub fn change(&self, transport: Transport, change: impl FnOnce(&mut LinkFaults)) {
        self.board.change(transport, change);
    }

    /// The same for all transports.
    pub fn change_all(&self, change: impl Fn(&mut LinkFaults)) {
        for transport in Transport::ALL {
            self.board.change(transport, &change);
        }
    }

    /// Changes what HTTP requests suffer; the counting goes on.
    pub fn change_http(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut guard(&self.board.http));
    }

    /// Cuts the open connections of a transport now, and says how many there were.
    pub fn cut(&self, transport: Transport, how: Cut) -> usize {
        self.board.each(transport, |state| state.cut = Some(how))
    }

    /// Cuts all open connections now, and says how many there were.
    pub fn cut_all(&self, how: Cut) -> usize {
        Transport::ALL.iter().map(|transport| self.cut(*transport, how)).sum()
    }

    /// Cuts each open connection of a transport when it has sent so many more bytes. New connections are spared.
    pub fn cut_after(&self, transport: Transport, bytes: u64, how: Cut) -> usize {
        self.board.each(transport, |state| {
            state.quota = Some((state.sent.saturating_add(bytes), how))
        })
    }

    /// Ends all streams of a transport with a stream error (RFC 6120 §4.9.3) and, where it has one, its text. What can be resumed
    /// (XEP-0198) can still be resumed. Not for BOSH.
    pub fn end_streams(&self, transport: Transport, condition: &str, text: &str) {
        lock(&self.hub).end_streams(transport, condition, text);
    }

    /// Forgets the sessions that wait to be resumed, as if they had never been.
    pub fn forget_sessions(&self) {
        lock(&self.hub).forget_sessions();
    }

    /// Changes how clients may log in. Streams that are opened afterwards see it.
    pub fn change_authentication(&self, change: impl FnOnce(&mut Authentication)) {
        change(&mut lock(&self.hub).options);
    }

    /// Sets a user's password, and makes the account if there is none. Tokens of the user are no longer good.
    pub fn set_password(&self, user: &str, password: &str) {
        lock(&self.hub).accounts.set_password(user, Some(password));
    }

    /// Every token of XEP-0484 is past its time now, whatever its `expiry` said.
    pub fn expire_tokens(&self) {
        for tokens in lock(&self.hub).accounts.all_tokens() {
            tokens
                .iter_mut()
                .for_each(|token| token.expiry = SystemTime::UNIX_EPOCH);
        }
    }

    /// Forgets all tokens of XEP-0484.
    pub fn forget_tokens(&self) {
        lock(&self.hub).accounts.all_tokens().for_each(Vec::clear);
    }

    /// How many tokens of XEP-0484 are good, and past their time.
    #[must_use]
    pub fn tokens(&self) -> usize {
        lock(&self.hub).accounts.all_tokens().map(|tokens| tokens.len()).sum()
    }

    /// How many sessions wait to be resumed.
    #[must_use]
    pub fn waiting_sessions(&self) -> usize {
        lock(&self.hub).waiting_sessions()
    }
}

/// The faults, and the connections that suffer them.
#[derive(Debug)]
pub(crate) struct Board {
    links: Mutex<[LinkFaults; 4]>,
    pub(crate) http: Mutex<Faults>,
    slots: Mutex<Vec<Weak<Slot>>>,
    changes: watch::Sender<()>,
}

#[derive(Debug)]
struct Slot(Mutex<State>);

#[derive(Debug)]
struct State {
    transport: Transport,
    waker: Option<Waker>,
    cut: Option<Cut>,
    quota: Option<(u64, Cut)>,
    sent: u64,
    received: u64,
}

/// The part of the faults that every read and write looks at.
#[derive(Clone, Copy)]
struct Now {
    cut_after_sent: Option<u64>,
    cut_after_received: Option<u64>,
    cut: Cut,
    stall: bool,
    one_byte: bool,
}

impl Board {
    pub(crate) fn new(http: Faults) -> Self {
        Self {
            links: Mutex::default(),
            http: Mutex::new(http),
            slots: Mutex::default(),
            changes: watch::Sender::new(()),
        }
    }

    /// The faults of a transport, as they are now.
    pub(crate) fn faults(&self, transport: Transport) -> LinkFaults {
        self.with(transport, |faults| faults.clone())
    }

    pub(crate) fn accepting(&self, transport: Transport) -> Accepting {
        self.with(transport, |faults| faults.accepting)
    }

    /// Wakes whenever something was changed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn now(&self, transport: Transport) -> Now {
        self.with(transport, |faults| Now {
            cut_after_sent: faults.cut_after_sent,
            cut_after_received: faults.cut_after_received,
            cut: faults.cut,
            stall: faults.stall,
            one_byte: faults.one_byte_writes,
        })
    }

    fn with<T>(&self, transport: Transport, look: impl FnOnce(&mut LinkFaults) -> T) -> T {
        let [starttls, direct, websocket, bosh] = &mut *guard(&self.links);
        look(match transport {
            Transport::StartTls => starttls,
            Transport::DirectTls => direct,
            Transport::WebSocket => websocket,
            Transport::Bosh => bosh,
        })
    }

    fn change(&self, transport: Transport, change: impl FnOnce(&mut LinkFaults)) {
        self.with(transport, change);
        self.changes.send_replace(());
        self.each(transport, |_| {});
    }

    /// Changes and wakes every open connection of a transport.
    fn each(&self, transport: Transport, change: impl Fn(&mut State)) -> usize {
        let slots: Vec<_> = guard(&self.slots).iter().filter_map(Weak::upgrade).collect();
        let mut found = 0;
        for slot in slots {
            let mut state = guard(&slot.0);
            if state.transport == transport {
                found += 1;
                change(&mut state);
                if let Some(waker) = state.waker.take() {
                    waker.wake();
                }
            }
        }
        found
    }
}

/// What a connection is made on, down to the socket.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&mut self) -> &mut TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&mut self) -> &mut TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&mut self) -> &mut TcpStream {
        self.get_mut().0
    }
}

/// A connection that suffers what the board says.
#[derive(Debug)]
pub(crate) struct Faulty<S> {
    inner: S,
    board: Arc<Board>,
    slot: Arc<Slot>,
}

impl<S: Socket> Faulty<S> {
    pub(crate) fn new(inner: S, board: Arc<Board>, transport: Transport) -> Self {
        let slot = Arc::new(Slot(Mutex::new(State {
            transport,
            waker: None,
            cut: None,
            quota: None,
            sent: 0,
            received: 0,
        })));
        let mut slots = guard(&board.slots);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        drop(slots);
        Self { inner, board, slot }
    }

    /// An HTTPS connection that became a WebSocket.
    pub(crate) fn becomes(&self, transport: Transport) {
        let mut state = guard(&self.slot.0);
        state.transport = transport;
        (state.sent, state.received) = (0, 0);
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    fn sever(&mut self, how: Cut, cx: &mut Context<'_>) -> io::Error {
        let tcp = self.inner.tcp();
        match how {
            Cut::Reset => drop(tcp.set_zero_linger()),
            // The end of a socket is sent at once: the outcome cannot be pending.
            Cut::End => drop(Pin::new(tcp).poll_shutdown(cx)),
        }
        io::ErrorKind::ConnectionReset.into()
    }

    /// What this read or write is up against, and how many bytes were sent and received before. `None` when it must wait.
    fn look(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Now, u64, u64)>> {
        let mut state = guard(&self.slot.0);
        state.waker = Some(cx.waker().clone());
        let (sent, received) = (state.sent, state.received);
        if let Some(how) = state.cut {
            drop(state);
            return Poll::Ready(Err(self.sever(how, cx)));
        }
        let mut now = self.board.now(state.transport);
        if let Some((quota, how)) = state.quota
            && now.cut_after_sent.is_none_or(|limit| quota < limit)
        {
            (now.cut_after_sent, now.cut) = (Some(quota), how);
        }
        if now.stall {
            return Poll::Pending;
        }
        Poll::Ready(Ok((now, sent, received)))
    }

    /// Nothing that this connection may still send is left in the layers below.
    fn cut_when_sent(&mut self, how: Cut, cx: &mut Context<'_>) -> Poll<io::Error> {
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        guard(&self.slot.0).cut = Some(how);
        let cut = self.sever(how, cx);
        Poll::Ready(flushed.err().unwrap_or(cut))
    }
}

impl<S: Socket> AsyncRead for Faulty<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (now, _, received) = ready!(this.look(cx))?;
        let room = buf.remaining();
        let allowed = now.cut_after_received.map_or(room, |limit| {
            usize::try_from(limit.saturating_sub(received)).unwrap_or(room)
        });
        if allowed == 0 && room > 0 {
            guard(&this.slot.0).cut = Some(now.cut);
            return Poll::Ready(Err(this.sever(now.cut, cx)));
        }
        let mut bytes = vec![0; allowed.min(room)];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        guard(&this.slot.0).received += part.filled().len() as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Faulty<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let (now, sent, _) = ready!(this.look(cx))?;
        let allowed = now.cut_after_sent.map_or(buf.len(), |limit| {
            usize::try_from(limit.saturating_sub(sent)).unwrap_or(buf.len())
        });
        if allowed == 0 && !buf.is_empty() {
            return this.cut_when_sent(now.cut, cx).map(Err);
        }
        let most = if now.one_byte { 1 } else { buf.len() };
        let part = buf.get(..allowed.min(most)).unwrap_or(buf);
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, part))?;
        guard(&this.slot.0).sent += written as u64;
        if now.cut_after_sent.is_some_and(|limit| sent + written as u64 >= limit) {
            // Not at the next write: there may be none.
            return match this.cut_when_sent(now.cut, cx) {
                Poll::Ready(cut) => Poll::Ready(Err(cut)),
                Poll::Pending => Poll::Ready(Ok(written)),
            };
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (now, sent, _) = ready!(this.look(cx))?;
        if now.cut_after_sent.is_some_and(|limit| sent >= limit) {
            return this.cut_when_sent(now.cut, cx).map(Err);
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.look(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

/// No holder leaves it half-changed.
fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
