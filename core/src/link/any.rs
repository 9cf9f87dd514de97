//! One of the transports: passes each call on to it. What a transport has not got is nothing here, never a question of
//! the caller's.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::{BOSH, Context, Outgoing, StreamErrorOut, TCP, Traits, WEBSOCKET, bosh, tcp, websocket};
use crate::error::{ConnectionError, Misuse, Offline};
use crate::input::{Failure, LinkId, LinkInfo, RequestId, TlsFacts, Token};
use crate::output::TransportKind;
use crate::time::{Earliest, Instant};
use crate::xml::XmlLimits;

/// One of the transports.
#[derive(Debug)]
pub(crate) enum Link {
    /// TCP.
    Tcp(Box<tcp::Tcp>),
    /// WebSocket.
    WebSocket(Box<websocket::WebSocket>),
    /// HTTP.
    Bosh(Box<bosh::Bosh>),
}

/// How a link ends at once.
pub(crate) struct Goodbye {
    /// The server hears of it.
    pub(crate) tell: bool,
    /// What it did wrong.
    pub(crate) error: Option<StreamErrorOut<'static>>,
}

impl Link {
    pub(crate) fn id(&self) -> LinkId {
        match self {
            Self::Tcp(tcp) => tcp.id(),
            Self::WebSocket(websocket) => websocket.id(),
            Self::Bosh(bosh) => bosh.id(),
        }
    }

    pub(crate) fn kind(&self) -> TransportKind {
        match self {
            Self::Tcp(_) => TransportKind::Tcp,
            Self::WebSocket(_) => TransportKind::WebSocket,
            Self::Bosh(_) => TransportKind::Bosh,
        }
    }

    pub(crate) fn traits(&self) -> Traits {
        match self {
            Self::Tcp(_) => TCP,
            Self::WebSocket(_) => WEBSOCKET,
            Self::Bosh(_) => BOSH,
        }
    }

    /// `Connected` is due.
    pub(crate) fn expects_connected(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.expects_connected(),
            Self::WebSocket(websocket) => websocket.expects_connected(),
            Self::Bosh(bosh) => bosh.is_connecting(),
        }
    }

    /// TLS is to begin on it, later than the link.
    pub(crate) fn awaits_starttls(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.awaits_starttls(),
            Self::WebSocket(_) | Self::Bosh(_) => false,
        }
    }

    /// Whether the server asked for a client certificate, as far as the link has learnt by itself.
    pub(crate) fn certificate_requested(&self) -> Option<bool> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => None,
            Self::Bosh(bosh) => bosh.certificate_requested(),
        }
    }

    pub(crate) fn round_trips(&self) -> u32 {
        match self {
            Self::Tcp(tcp) => tcp.round_trips(),
            Self::WebSocket(websocket) => websocket.round_trips(),
            Self::Bosh(bosh) => bosh.round_trips(),
        }
    }

    /// Bytes accepted and not yet known to have left.
    pub(crate) fn pending_bytes(&self) -> usize {
        match self {
            Self::Tcp(tcp) => tcp.pending_bytes(),
            Self::WebSocket(websocket) => websocket.pending_bytes(),
            Self::Bosh(bosh) => bosh.pending_bytes(),
        }
    }

    pub(crate) fn set_limits(&mut self, limits: XmlLimits) {
        match self {
            Self::Tcp(tcp) => tcp.set_limits(limits),
            Self::WebSocket(websocket) => websocket.set_limits(limits),
            Self::Bosh(bosh) => bosh.set_limits(limits),
        }
    }

    /// The largest stanza that the server takes.
    pub(crate) fn set_max_bytes(&mut self, bytes: Option<usize>) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.set_max_bytes(bytes),
        }
    }

    /// The host has connected. `from` names the account where TLS protects it.
    pub(crate) fn connected(&mut self, cx: &mut Context<'_>, info: &LinkInfo, from: Option<&str>) {
        match self {
            Self::Tcp(tcp) => tcp.connected(cx, from),
            Self::WebSocket(websocket) => websocket.connected(cx, from),
            Self::Bosh(bosh) => bosh.connected(cx, info.client_certificate_requested, from),
        }
    }

    /// Takes bytes up to the end of the first thing that makes an event, and says how many; `Err` where a link has no bytes.
    pub(crate) fn received(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Result<usize, Misuse> {
        match self {
            Self::Tcp(tcp) => Ok(tcp.received(cx, bytes)),
            Self::WebSocket(websocket) => Ok(websocket.received(cx, bytes)),
            Self::Bosh(_) => Err(Misuse::NotForThisTransport),
        }
    }

    pub(crate) fn written(&mut self, cx: &mut Context<'_>, bytes: u64) -> Result<(), Misuse> {
        match self {
            Self::Tcp(tcp) => tcp.written(cx, bytes),
            Self::WebSocket(websocket) => websocket.written(cx, bytes),
            Self::Bosh(_) => return Err(Misuse::NotForThisTransport),
        }
        Ok(())
    }

    pub(crate) fn responded(
        &mut self,
        cx: &mut Context<'_>,
        request: RequestId,
        status: u16,
        body: &[u8],
        tls: Option<&TlsFacts>,
    ) -> Result<(), Misuse> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => Err(Misuse::NotForThisTransport),
            Self::Bosh(bosh) => {
                bosh.responded(cx, request, status, body, tls);
                Ok(())
            }
        }
    }

    /// One request failed.
    pub(crate) fn request_failed(
        &mut self,
        cx: &mut Context<'_>,
        request: RequestId,
        reason: Failure,
    ) -> Result<(), Misuse> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => Err(Misuse::NotForThisTransport),
            Self::Bosh(bosh) => {
                bosh.failed(cx, request, reason);
                Ok(())
            }
        }
    }

    /// The peer closed the transport.
    pub(crate) fn ended(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Tcp(tcp) => tcp.ended(cx),
            Self::WebSocket(websocket) => websocket.ended(cx),
            Self::Bosh(_) => cx.event(super::Event::Closed(Some(Offline::Connection(ConnectionError::Closed)))),
        }
    }

    pub(crate) fn reading(&mut self, now: Instant, reading: bool) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.reading(now, reading),
        }
    }

    /// The next word is ours, and on its way: nobody else is waited for.
    pub(crate) fn about_to_speak(&mut self, about_to_speak: bool) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.about_to_speak = about_to_speak,
        }
    }

    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.tick(cx),
        }
    }

    pub(crate) fn deadline(&self, earliest: &mut Earliest) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.deadline(earliest),
        }
    }

    /// Queues an element; `flush` lets it go. What the link does not keep until it is acknowledged comes back.
    pub(crate) fn send(&mut self, outgoing: Outgoing) -> Option<Outgoing> {
        match self {
            Self::Tcp(tcp) => tcp.send(&outgoing.xml, outgoing.token),
            Self::WebSocket(websocket) => websocket.send(&outgoing.xml, outgoing.token),
            Self::Bosh(bosh) => {
                bosh.send(outgoing);
                return None;
            }
        }
        Some(outgoing)
    }

    /// Takes back a stanza that has not left yet.
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => false,
            Self::Bosh(bosh) => bosh.cancel(token),
        }
    }

    /// What became of the stanza is known: when the host has written it is no news any more.
    pub(crate) fn settled(&mut self, token: Token) {
        match self {
            Self::Tcp(tcp) => tcp.settled(token),
            Self::WebSocket(websocket) => websocket.settled(token),
            Self::Bosh(_) => {}
        }
    }

    /// Drops what has not left yet, but for stanzas of the application's.
    pub(crate) fn forget_unsent(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.forget_unsent(),
            Self::WebSocket(websocket) => websocket.forget_unsent(),
            Self::Bosh(bosh) => bosh.forget_unsent(),
        }
    }

    /// A new stream on the same link.
    pub(crate) fn restart(&mut self, cx: &mut Context<'_>, from: Option<&str>) {
        match self {
            Self::Tcp(tcp) => tcp.restart(cx, from),
            Self::WebSocket(websocket) => websocket.restart(cx, from),
            Self::Bosh(bosh) => {
                // What was meant for the old stream is not said on the new one (RFC 6120 §4.3.3).
                bosh.forget_unsent();
                bosh.restart(from.map(ToString::to_string));
            }
        }
    }

    pub(crate) fn ask_for_tls(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.ask_for_tls(),
            Self::WebSocket(_) | Self::Bosh(_) => {}
        }
    }

    /// TLS begins. `nothing_followed` says that no byte came with the server's word on it.
    pub(crate) fn start_tls(&mut self, cx: &mut Context<'_>, nothing_followed: bool, server_name: &str) {
        match self {
            Self::Tcp(tcp) => tcp.start_tls(cx, nothing_followed, server_name),
            Self::WebSocket(_) | Self::Bosh(_) => {}
        }
    }

    /// Something that means nothing, so that the connection is not forgotten; `false` where there is no such thing.
    pub(crate) fn white_space(&mut self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.white_space(),
            Self::WebSocket(_) | Self::Bosh(_) => return false,
        }
        true
    }

    /// The network is another one: what is under way on the old one may never be answered.
    pub(crate) fn network_changed(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.network_changed(cx),
        }
    }

    /// The device sleeps for so many seconds.
    pub(crate) fn pause(&mut self, seconds: u32) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => {
                bosh.pause(seconds);
            }
        }
    }

    /// The end of a turn: what can leave leaves.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Tcp(tcp) => tcp.flush(cx),
            Self::WebSocket(websocket) => websocket.flush(cx),
            Self::Bosh(bosh) => bosh.pump(cx),
        }
    }

    /// Leaves: what is queued goes out, `last` too, then the goodbye, and the server's is waited for.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>, last: Option<Outgoing>) {
        match self {
            Self::Tcp(tcp) => {
                last.into_iter().for_each(|last| tcp.send(&last.xml, None));
                tcp.leave(cx);
            }
            Self::WebSocket(websocket) => {
                last.into_iter().for_each(|last| websocket.send(&last.xml, None));
                websocket.leave(cx);
            }
            Self::Bosh(bosh) => bosh.leave(cx, last),
        }
    }

    /// The server's goodbye does not come: what did arrive still counts.
    pub(crate) fn give_up(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.give_up(cx),
        }
    }

    /// Ends at once.
    pub(crate) fn shut(&mut self, cx: &mut Context<'_>, goodbye: Goodbye) {
        match self {
            Self::Tcp(tcp) => tcp.shut(cx, goodbye.tell, goodbye.error),
            Self::WebSocket(websocket) => websocket.shut(cx, goodbye.tell, goodbye.error),
            Self::Bosh(bosh) => bosh.shut(cx, goodbye.tell),
        }
    }

    /// The tokens of what left and is not acknowledged, where the link keeps it.
    pub(crate) fn take_unacknowledged(&mut self) -> Vec<Token> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => Vec::new(),
            Self::Bosh(bosh) => bosh.take_unacknowledged(),
        }
    }

    /// What has not left yet, where the link keeps it.
    pub(crate) fn queued(&self) -> Option<impl Iterator<Item = &Outgoing>> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => None,
            Self::Bosh(bosh) => Some(bosh.queued()),
        }
    }

    /// The session, where the link has one that outlives it.
    pub(crate) fn state(&self) -> Option<bosh::state::State> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => None,
            Self::Bosh(bosh) => bosh.state(),
        }
    }

    /// Whether changes of it are collected from now on.
    pub(crate) fn record_changes(&mut self, record: bool) {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => {}
            Self::Bosh(bosh) => bosh.record_changes(record),
        }
    }

    /// What has changed of it since the last call, and how many of those that waited each change took.
    pub(crate) fn take_changes(&mut self) -> Vec<(bosh::state::Change, u32)> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => Vec::new(),
            Self::Bosh(bosh) => bosh.take_changes(),
        }
    }

    /// What never left, where the link keeps it.
    pub(crate) fn take_unsent(&mut self) -> VecDeque<Outgoing> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => VecDeque::new(),
            Self::Bosh(bosh) => bosh.take_unsent(),
        }
    }
}
