//! The changes of a snapshot as bytes, and back. Every read is bounded by the bytes that are there.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::snapshot::{Change, State};
use crate::error::SnapshotError;
use crate::input::Token;
use crate::link::bosh::Kind;
use crate::link::bosh::keys::Keys;
use crate::link::bosh::state::{self as bosh, Posted};
use crate::secret::Secret;
use crate::session::stream_management::{self, Kept, Session};

pub(super) fn write_change(out: &mut Vec<u8>, change: &Change<'_>) {
    match change {
        Change::Whole(state) => write_whole(out, state),
        Change::Tokens { next } => {
            out.push(2);
            put_u64(out, *next);
        }
        Change::Queued(stanza) => {
            out.push(3);
            put_stanza(out, stanza);
        }
        Change::Dropped { token } => {
            out.push(4);
            put_u64(out, token.0);
        }
        Change::Sent { count, unix_ms } => {
            out.push(5);
            put_u32(out, *count);
            put_option(out, *unix_ms, put_u64);
        }
        Change::Acked { h } => {
            out.push(6);
            put_u32(out, *h);
        }
        Change::Inbound { h } => {
            out.push(7);
            put_u32(out, *h);
        }
        Change::Bosh { change, taken } => {
            match &**change {
                bosh::Change::Posted { posted, keys } => {
                    out.push(8);
                    put_posted(out, posted);
                    put_option(out, keys.as_ref(), put_keys);
                }
                bosh::Change::Answered { rid } => {
                    out.push(9);
                    put_u64(out, *rid);
                }
                bosh::Change::Acknowledged { rid } => {
                    out.push(10);
                    put_u64(out, *rid);
                }
                bosh::Change::ServerCertificate(digest) => {
                    out.push(11);
                    out.extend(digest);
                }
                bosh::Change::Ended => out.push(12),
            }
            put_u32(out, *taken);
        }
    }
}

/// `Change::Whole`.
pub(super) fn write_whole(out: &mut Vec<u8>, state: &State) {
    out.push(1);
    put_u64(out, state.next_token);
    out.push(u8::from(state.was_online));
    put_option(out, state.jid.as_deref().map(str::as_bytes), put_bytes);
    put_option(out, state.stream.as_ref(), put_stream);
    put_option(out, state.bosh.as_ref(), put_bosh);
    put_list(out, &state.waiting, put_stanza);
    put_list(out, &state.acked, |out, token| put_u64(out, token.0));
}

pub(super) fn read_change(from: &mut Cursor<'_>) -> Result<Change<'static>, SnapshotError> {
    let change = match from.u8()? {
        1 => {
            return Ok(Change::Whole(Box::new(State {
                next_token: from.u64()?,
                was_online: from.bool()?,
                jid: from.option(Cursor::text)?,
                stream: from.option(Cursor::stream)?,
                bosh: from.option(Cursor::bosh)?,
                waiting: from.list(Cursor::stanza)?,
                acked: from.list(Cursor::token)?,
            })));
        }
        2 => return Ok(Change::Tokens { next: from.u64()? }),
        3 => return Ok(Change::Queued(Cow::Owned(from.stanza()?))),
        4 => {
            return Ok(Change::Dropped {
                token: Token(from.u64()?),
            });
        }
        5 => {
            return Ok(Change::Sent {
                count: from.u32()?,
                unix_ms: from.option(Cursor::u64)?,
            });
        }
        6 => return Ok(Change::Acked { h: from.u32()? }),
        7 => return Ok(Change::Inbound { h: from.u32()? }),
        8 => bosh::Change::Posted {
            posted: from.posted()?,
            keys: from.option(Cursor::keys)?,
        },
        9 => bosh::Change::Answered { rid: from.u64()? },
        10 => bosh::Change::Acknowledged { rid: from.u64()? },
        11 => bosh::Change::ServerCertificate(from.array()?),
        12 => bosh::Change::Ended,
        // Another version of the format would have said so.
        _ => return Err(SnapshotError::Corrupt),
    };
    Ok(Change::Bosh {
        change: Cow::Owned(change),
        taken: from.u32()?,
    })
}

fn put_u16(out: &mut Vec<u8>, number: u16) {
    out.extend(number.to_be_bytes());
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_be_bytes());
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_be_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend(bytes);
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn put_list<'a, T: 'a>(
    out: &mut Vec<u8>,
    list: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator>,
    put: impl Fn(&mut Vec<u8>, &'a T),
) {
    let list = list.into_iter();
    put_u32(out, u32::try_from(list.len()).unwrap_or(u32::MAX));
    for item in list {
        put(out, item);
    }
}

fn put_stanza(out: &mut Vec<u8>, stanza: &Kept) {
    put_option(out, stanza.token, |out, token| put_u64(out, token.0));
    put_option(out, stanza.request, |out, token| put_u64(out, token.0));
    put_bytes(out, stanza.xml.as_bytes());
    put_option(out, stanza.unix_ms, put_u64);
    out.push(stanza.links);
    out.push(u8::from(stanza.stamped));
}

fn put_stream(out: &mut Vec<u8>, stream: &stream_management::State) {
    put_option(out, stream.session.as_ref(), |out, session| {
        put_bytes(out, session.id.expose());
        put_option(out, session.max, put_u32);
        put_option(out, session.location.as_deref().map(str::as_bytes), put_bytes);
    });
    out.push(u8::from(stream.counts));
    put_u32(out, stream.handled);
    put_u32(out, stream.acked);
    put_list(out, &stream.queue, put_stanza);
}

fn put_bosh(out: &mut Vec<u8>, bosh: &bosh::State) {
    put_bytes(out, bosh.url.as_bytes());
    put_bytes(out, bosh.sid.expose());
    put_u64(out, bosh.next_rid);
    put_u64(out, bosh.next_to_process);
    put_u16(out, bosh.wait);
    out.extend([bosh.hold, bosh.requests]);
    for seconds in [bosh.inactivity, bosh.polling, bosh.maxpause] {
        put_option(out, seconds, put_u16);
    }
    out.extend([bosh.acknowledges, bosh.legacy, bosh.ack].map(u8::from));
    put_option(out, bosh.stream.as_deref().map(str::as_bytes), put_bytes);
    put_option(out, bosh.keys.as_ref(), put_keys);
    put_option(out, bosh.server_certificate, |out, digest| out.extend(digest));
    put_list(out, &bosh.posted, put_posted);
}

fn put_keys(out: &mut Vec<u8>, keys: &Keys) {
    put_bytes(out, keys.seed.expose());
    put_u16(out, keys.next);
}

fn put_posted(out: &mut Vec<u8>, posted: &Posted) {
    put_u64(out, posted.rid);
    out.push(match posted.kind {
        Kind::Create => 0,
        Kind::Payload => 1,
        Kind::Empty => 2,
        Kind::Pause => 3,
        Kind::Terminate => 4,
    });
    put_bytes(out, posted.body.expose());
    put_list(out, &posted.tokens, |out, token| put_u64(out, token.0));
}

/// Reads what the functions above wrote. What is not there is an error.
#[derive(Clone)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], SnapshotError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SnapshotError::Corrupt)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        <[u8; N]>::try_from(self.take(N)?).map_err(|_| SnapshotError::Corrupt)
    }

    pub(super) fn u8(&mut self) -> Result<u8, SnapshotError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, SnapshotError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, SnapshotError> {
        self.array().map(u64::from_be_bytes)
    }

    fn bool(&mut self) -> Result<bool, SnapshotError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(SnapshotError::Corrupt),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], SnapshotError> {
        let length = usize::try_from(self.u32()?).map_err(|_| SnapshotError::Corrupt)?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<String, SnapshotError> {
        let text = core::str::from_utf8(self.bytes()?).map_err(|_| SnapshotError::Corrupt)?;
        Ok(text.to_string())
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, SnapshotError>,
    ) -> Result<Option<T>, SnapshotError> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }

    /// The count is not believed: memory is taken as items come.
    fn list<T, C: Default + Extend<T>>(
        &mut self,
        read: impl Fn(&mut Self) -> Result<T, SnapshotError>,
    ) -> Result<C, SnapshotError> {
        let mut list = C::default();
        for _ in 0..self.u32()? {
            list.extend([read(self)?]);
        }
        Ok(list)
    }

    fn secret(&mut self) -> Result<Secret, SnapshotError> {
        self.bytes().map(Secret::new)
    }

    fn token(&mut self) -> Result<Token, SnapshotError> {
        self.u64().map(Token)
    }

    fn stanza(&mut self) -> Result<Kept, SnapshotError> {
        Ok(Kept {
            token: self.option(Self::token)?,
            request: self.option(Self::token)?,
            xml: self.text()?,
            unix_ms: self.option(Self::u64)?,
            links: self.u8()?,
            stamped: self.bool()?,
        })
    }

    fn stream(&mut self) -> Result<stream_management::State, SnapshotError> {
        Ok(stream_management::State {
            session: self.option(|from| {
                Ok(Session {
                    id: from.secret()?,
                    max: from.option(Self::u32)?,
                    location: from.option(Self::text)?,
                })
            })?,
            counts: self.bool()?,
            handled: self.u32()?,
            acked: self.u32()?,
            queue: self.list(Self::stanza)?,
        })
    }

    fn bosh(&mut self) -> Result<bosh::State, SnapshotError> {
        Ok(bosh::State {
            url: self.text()?,
            sid: self.text().map(Secret::new)?,
            next_rid: self.u64()?,
            next_to_process: self.u64()?,
            wait: self.u16()?,
            hold: self.u8()?,
            requests: self.u8()?,
            inactivity: self.option(Self::u16)?,
            polling: self.option(Self::u16)?,
            maxpause: self.option(Self::u16)?,
            acknowledges: self.bool()?,
            legacy: self.bool()?,
            ack: self.bool()?,
            stream: self.option(Self::text)?,
            keys: self.option(Self::keys)?,
            server_certificate: self.option(Self::array)?,
            posted: self.list(Self::posted)?,
        })
    }

    fn keys(&mut self) -> Result<Keys, SnapshotError> {
        Ok(Keys {
            seed: self.secret()?,
            next: self.u16()?,
        })
    }

    fn posted(&mut self) -> Result<Posted, SnapshotError> {
        Ok(Posted {
            rid: self.u64()?,
            kind: match self.u8()? {
                0 => Kind::Create,
                1 => Kind::Payload,
                2 => Kind::Empty,
                3 => Kind::Pause,
                4 => Kind::Terminate,
                _ => return Err(SnapshotError::Corrupt),
            },
            body: self.secret()?,
            tokens: self.list(Self::token)?,
        })
    }
}
