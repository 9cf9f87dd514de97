//! The changes of a snapshot as bytes, and back. Every read is bounded by the bytes that are there.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::snapshot::{BoshState, Change, Flight, Keys, Stanza, StanzaKind, State, StreamState};
use crate::error::SnapshotError;
use crate::input::Token;

pub(super) fn write_change(out: &mut Vec<u8>, change: &Change<'_>) {
    match change {
        Change::Whole(state) => {
            out.push(1);
            put_u64(out, state.next_token);
            put_option(out, state.stream.as_ref(), put_stream);
            put_option(out, state.bosh.as_ref(), put_bosh);
            put_list(out, &state.waiting, put_stanza);
        }
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
        Change::Sent { count } => {
            out.push(5);
            put_u32(out, *count);
        }
        Change::Resent => out.push(6),
        Change::Acked { h } => {
            out.push(7);
            put_u32(out, *h);
        }
        Change::Inbound { h } => {
            out.push(8);
            put_u32(out, *h);
        }
        Change::StreamBegan(stream) => {
            out.push(9);
            put_stream(out, stream);
        }
        Change::StreamOver => out.push(10),
        Change::BoshBegan(bosh) => {
            out.push(11);
            put_bosh(out, bosh);
        }
        Change::BoshPosted {
            rid,
            body,
            tokens,
            taken,
        } => {
            out.push(12);
            put_flight(out, *rid, body, tokens);
            put_u32(out, *taken);
        }
        Change::BoshAcked { rid } => {
            out.push(13);
            put_u64(out, *rid);
        }
        Change::BoshAnswered { rid } => {
            out.push(14);
            put_u64(out, *rid);
        }
        Change::BoshKeys(keys) => {
            out.push(15);
            put_option(out, keys.as_ref(), put_keys);
        }
        Change::BoshOver => out.push(16),
    }
}

pub(super) fn read_change(from: &mut Cursor<'_>) -> Result<Change<'static>, SnapshotError> {
    Ok(match from.u8()? {
        1 => Change::Whole(Cow::Owned(State {
            next_token: from.u64()?,
            stream: from.option(Cursor::stream)?,
            bosh: from.option(Cursor::bosh)?,
            waiting: from.list(Cursor::stanza)?,
        })),
        2 => Change::Tokens { next: from.u64()? },
        3 => Change::Queued(Cow::Owned(from.stanza()?)),
        4 => Change::Dropped {
            token: Token(from.u64()?),
        },
        5 => Change::Sent { count: from.u32()? },
        6 => Change::Resent,
        7 => Change::Acked { h: from.u32()? },
        8 => Change::Inbound { h: from.u32()? },
        9 => Change::StreamBegan(Cow::Owned(from.stream()?)),
        10 => Change::StreamOver,
        11 => Change::BoshBegan(Cow::Owned(from.bosh()?)),
        12 => {
            let Flight { rid, body, tokens } = from.flight()?;
            Change::BoshPosted {
                rid,
                body: Cow::Owned(body),
                tokens: Cow::Owned(tokens),
                taken: from.u32()?,
            }
        }
        13 => Change::BoshAcked { rid: from.u64()? },
        14 => Change::BoshAnswered { rid: from.u64()? },
        15 => Change::BoshKeys(from.option(Cursor::keys)?),
        16 => Change::BoshOver,
        // Another version of the format would have said so.
        _ => return Err(SnapshotError::Corrupt),
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

fn put_stanza(out: &mut Vec<u8>, stanza: &Stanza) {
    put_option(out, stanza.token, |out, token| put_u64(out, token.0));
    out.push(match stanza.kind {
        StanzaKind::Message => 1,
        StanzaKind::Presence => 2,
        StanzaKind::Request => 3,
        StanzaKind::Response => 4,
    });
    put_bytes(out, stanza.xml.as_bytes());
    put_option(out, stanza.unix_ms, put_u64);
    out.push(stanza.links);
}

fn put_stream(out: &mut Vec<u8>, stream: &StreamState) {
    put_bytes(out, stream.id.as_bytes());
    put_option(out, stream.max, put_u32);
    put_option(out, stream.location.as_deref().map(str::as_bytes), put_bytes);
    put_bytes(out, stream.jid.as_bytes());
    put_bytes(out, stream.mechanism.as_bytes());
    put_u32(out, stream.h_in);
    put_u32(out, stream.acked_out);
    put_list(out, &stream.queue, put_stanza);
}

fn put_bosh(out: &mut Vec<u8>, bosh: &BoshState) {
    for text in [&bosh.url, &bosh.sid, &bosh.jid, &bosh.mechanism] {
        put_bytes(out, text.as_bytes());
    }
    put_u16(out, bosh.wait);
    out.push(bosh.hold);
    put_u16(out, bosh.requests);
    for seconds in [bosh.inactivity, bosh.polling, bosh.maxpause] {
        put_option(out, seconds, put_u16);
    }
    out.push(u8::from(bosh.acknowledges));
    out.push(u8::from(bosh.legacy));
    put_option(out, bosh.server_certificate, |out, digest| out.extend(digest));
    put_u64(out, bosh.next_rid);
    put_u64(out, bosh.next_to_process);
    put_option(out, bosh.keys.as_ref(), put_keys);
    put_list(out, &bosh.flights, |out, flight| {
        put_flight(out, flight.rid, &flight.body, &flight.tokens);
    });
}

fn put_keys(out: &mut Vec<u8>, keys: &Keys) {
    put_bytes(out, &keys.seed);
    put_u32(out, keys.left);
}

fn put_flight(out: &mut Vec<u8>, rid: u64, body: &[u8], tokens: &[Token]) {
    put_u64(out, rid);
    put_bytes(out, body);
    put_list(out, tokens, |out, token| put_u64(out, token.0));
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

    fn stanza(&mut self) -> Result<Stanza, SnapshotError> {
        Ok(Stanza {
            token: self.option(Self::u64)?.map(Token),
            kind: match self.u8()? {
                1 => StanzaKind::Message,
                2 => StanzaKind::Presence,
                3 => StanzaKind::Request,
                4 => StanzaKind::Response,
                _ => return Err(SnapshotError::Corrupt),
            },
            xml: self.text()?,
            unix_ms: self.option(Self::u64)?,
            links: self.u8()?,
        })
    }

    fn stream(&mut self) -> Result<StreamState, SnapshotError> {
        Ok(StreamState {
            id: self.text()?,
            max: self.option(Self::u32)?,
            location: self.option(Self::text)?,
            jid: self.text()?,
            mechanism: self.text()?,
            h_in: self.u32()?,
            acked_out: self.u32()?,
            queue: self.list(Self::stanza)?,
        })
    }

    fn bosh(&mut self) -> Result<BoshState, SnapshotError> {
        Ok(BoshState {
            url: self.text()?,
            sid: self.text()?,
            jid: self.text()?,
            mechanism: self.text()?,
            wait: self.u16()?,
            hold: self.u8()?,
            requests: self.u16()?,
            inactivity: self.option(Self::u16)?,
            polling: self.option(Self::u16)?,
            maxpause: self.option(Self::u16)?,
            acknowledges: self.bool()?,
            legacy: self.bool()?,
            server_certificate: self.option(Self::array)?,
            next_rid: self.u64()?,
            next_to_process: self.u64()?,
            keys: self.option(Self::keys)?,
            flights: self.list(Self::flight)?,
        })
    }

    fn keys(&mut self) -> Result<Keys, SnapshotError> {
        Ok(Keys {
            seed: self.bytes()?.to_vec(),
            left: self.u32()?,
        })
    }

    fn flight(&mut self) -> Result<Flight, SnapshotError> {
        Ok(Flight {
            rid: self.u64()?,
            body: self.bytes()?.to_vec(),
            tokens: self.list(|from| from.u64().map(Token))?,
        })
    }
}
