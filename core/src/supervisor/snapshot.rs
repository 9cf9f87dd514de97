//! What survives a process: a log of turns that reads back to the same state.
//!
//! A slot holds a header (magic, version, slot, account) and records. A record is all that one turn changed, so that it is
//! there as a whole or not at all; each is protected by a checksum that covers all before it. A record that was cut off by a
//! crash is ignored: the host had not acted on it yet. Anything else that is not as it was written is refused.
//!
//! ```text
//! header   "epode snapshot\n"  version u16  slot u8  account (u32 length, text)  check [8]
//! record   length u32  check of the length [4]  changes  check [8]
//! change   type u8  fields
//! ```
//!
//! Numbers are big-endian. Checks are the first bytes of SHA-256, over the check before, what the check is of, and the bytes.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

use super::codec::{Cursor, put_bytes, read_change, write_change, write_whole};
use crate::error::SnapshotError;
use crate::input::{Slot, Token};
use crate::link::bosh::state as bosh;
use crate::secret::Secret;
use crate::session::stream_management::{self, Kept};

const MAGIC: &[u8] = b"epode snapshot\n";
/// A change of the format is a new number.
const VERSION: u16 = 1;
/// A log that is shorter than this is not worth to be written anew.
const SHORT: usize = 4 * 1024;

/// Everything that slot `Session` holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Tokens below were given out.
    pub(crate) next_token: u64,
    /// The client was online: a link that fails is one to be made good.
    pub(crate) was_online: bool,
    /// The full JID of the session, if there is one.
    pub(crate) jid: Option<String>,
    /// A session on a stream (XEP-0198, or pings).
    pub(crate) stream: Option<stream_management::State>,
    /// A session of XEP-0124.
    pub(crate) bosh: Option<bosh::State>,
    /// What was not written yet, in order.
    pub(crate) waiting: VecDeque<Kept>,
    /// Acknowledged in the last turn: perhaps nobody has heard of it.
    pub(crate) acked: Vec<Token>,
}

/// What a turn changes. The rare things are told by `Whole`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// This is the state.
    Whole(Box<State>),
    /// Tokens below `next` were given out.
    Tokens { next: u64 },
    /// A stanza waits, behind all others.
    Queued(Cow<'a, Kept>),
    /// It does not wait any more: cancelled, or failed.
    Dropped { token: Token },
    /// The first so many of those that wait were written on a stream, at that time; they wait for the acknowledgement.
    Sent { count: u32, unix_ms: Option<u64> },
    /// XEP-0198: the server has handled so many.
    Acked { h: u32 },
    /// XEP-0198: so many were handled here.
    Inbound { h: u32 },
    /// Of the BOSH session; a request that is posted carries the first `taken` of those that wait.
    Bosh { change: Cow<'a, bosh::Change>, taken: u32 },
}

impl State {
    /// Whether there is anything to go on with.
    pub(crate) fn is_idle(&self) -> bool {
        self.stream.is_none() && self.bosh.is_none() && self.waiting.is_empty() && self.acked.is_empty()
    }

    /// What the state is after `change`; refuses one that cannot follow.
    pub(crate) fn apply(&mut self, change: Change<'_>) -> Result<(), SnapshotError> {
        const WRONG: SnapshotError = SnapshotError::Corrupt;
        match change {
            Change::Whole(state) => *self = *state,
            Change::Tokens { next } => self.next_token = self.next_token.max(next),
            Change::Queued(stanza) => {
                for Token(token) in stanza.token.into_iter().chain(stanza.request) {
                    self.next_token = self.next_token.max(token.saturating_add(1));
                }
                self.waiting.push_back(stanza.into_owned());
            }
            Change::Dropped { token } => {
                let index = self.waiting.iter().position(|stanza| stanza.is(token));
                self.waiting.remove(index.ok_or(WRONG)?);
            }
            Change::Sent { count, unix_ms } => {
                let sent = self.take(count)?;
                let stream = self.stream.as_mut().ok_or(WRONG)?;
                for mut stanza in sent {
                    if !stream.counts && stanza.token.is_none() {
                        continue;
                    }
                    if stanza.links == 0 {
                        stanza.unix_ms = unix_ms;
                    }
                    stanza.links = stanza.links.saturating_add(1);
                    stream.queue.push_back(stanza);
                }
            }
            Change::Acked { h } => {
                let stream = self.stream.as_mut().ok_or(WRONG)?;
                // XEP-0198 §4: modulo 2^32.
                let count = usize::try_from(h.wrapping_sub(stream.acked)).map_err(|_| WRONG)?;
                if count > stream.queue.len() {
                    return Err(WRONG);
                }
                self.acked
                    .extend(stream.queue.drain(..count).filter_map(|stanza| stanza.token));
                stream.acked = h;
            }
            Change::Inbound { h } => self.stream.as_mut().ok_or(WRONG)?.handled = h,
            Change::Bosh { change, taken } => {
                self.take(taken)?;
                let bosh = self.bosh.take().ok_or(WRONG)?;
                let possible = match &*change {
                    // A number is never used for two requests.
                    bosh::Change::Posted { posted, .. } => posted.rid == bosh.next_rid,
                    bosh::Change::Answered { rid } => *rid < bosh.next_rid,
                    bosh::Change::Acknowledged { .. } | bosh::Change::ServerCertificate(_) | bosh::Change::Ended => {
                        true
                    }
                };
                if !possible {
                    return Err(WRONG);
                }
                if let bosh::Change::Acknowledged { rid } = &*change {
                    let posted = bosh.posted.iter().filter(|posted| posted.rid <= *rid);
                    self.acked.extend(posted.flat_map(|posted| &posted.tokens));
                }
                self.bosh = bosh.apply(change.into_owned());
            }
        }
        Ok(())
    }

    fn take(&mut self, count: u32) -> Result<VecDeque<Kept>, SnapshotError> {
        let count = usize::try_from(count).map_err(|_| SnapshotError::Corrupt)?;
        if count > self.waiting.len() {
            return Err(SnapshotError::Corrupt);
        }
        let rest = self.waiting.split_off(count);
        Ok(core::mem::replace(&mut self.waiting, rest))
    }
}

/// Session ids and stanzas are nobody's business.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("next_token", &self.next_token)
            .field("stream", &self.stream.as_ref().map(|stream| stream.queue.len()))
            .field("bosh", &self.bosh.as_ref().map(|bosh| bosh.posted.len()))
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

/// The writing end of slot `Session`.
#[derive(Debug)]
pub(crate) struct Journal {
    check: [u8; 8],
    /// Bytes of the state that was written as a whole, and of what followed.
    whole: usize,
    log: usize,
}

impl Journal {
    /// Begins with the whole state: the bytes replace what is in the slot. To be done after a restore too, where the old
    /// log may have a torn end.
    pub(crate) fn begin(account: &str, state: &State) -> (Self, Secret) {
        let (mut bytes, mut check) = header(Slot::Session, account);
        record(&mut bytes, &mut check, |payload| {
            write_whole(payload, state);
        });
        let journal = Self {
            check,
            whole: bytes.len(),
            log: 0,
        };
        (journal, Secret::new(bytes))
    }

    /// All that one turn changed: the bytes are put behind what is in the slot.
    pub(crate) fn append(&mut self, changes: &[Change<'_>]) -> Secret {
        let mut bytes = Vec::new();
        record(&mut bytes, &mut self.check, |payload| {
            for change in changes {
                write_change(payload, change);
            }
        });
        self.log = self.log.saturating_add(bytes.len());
        Secret::new(bytes)
    }

    /// Whether the log is more than twice what it began with: then to begin again costs less than what led to it.
    pub(crate) fn is_long(&self) -> bool {
        self.log > SHORT.max(self.whole.saturating_mul(2))
    }
}

/// Reads slot `Session`; an empty slot holds nothing.
pub(crate) fn read(account: &str, bytes: &[u8]) -> Result<State, SnapshotError> {
    let mut state = State::default();
    let mut is_first = true;
    for_each_record(Slot::Session, account, bytes, |payload| {
        // Its events were before this record.
        state.acked = Vec::new();
        while !payload.0.is_empty() {
            let change = read_change(payload)?;
            // Without its beginning a log means nothing.
            if core::mem::take(&mut is_first) && !matches!(change, Change::Whole(_)) {
                return Err(SnapshotError::Corrupt);
            }
            state.apply(change)?;
        }
        Ok(())
    })?;
    if is_first && !bytes.is_empty() {
        return Err(SnapshotError::Corrupt);
    }
    Ok(state)
}

/// What slot `Token` or `Pins` holds: names and values.
pub(crate) type Entries = Vec<(String, Vec<u8>)>;

/// The bytes of slot `Token` or `Pins`; they replace what is in it.
pub(crate) fn write_entries(slot: Slot, account: &str, entries: &[(String, Vec<u8>)]) -> Secret {
    let (mut bytes, mut check) = header(slot, account);
    record(&mut bytes, &mut check, |payload| {
        for (name, value) in entries {
            put_bytes(payload, name.as_bytes());
            put_bytes(payload, value);
        }
    });
    Secret::new(bytes)
}

/// Reads slot `Token` or `Pins`.
pub(crate) fn read_entries(slot: Slot, account: &str, bytes: &[u8]) -> Result<Entries, SnapshotError> {
    let mut entries = Entries::new();
    for_each_record(slot, account, bytes, |payload| {
        while !payload.0.is_empty() {
            entries.push((payload.text()?, payload.bytes()?.to_vec()));
        }
        Ok(())
    })?;
    Ok(entries)
}

// ---- header and records

fn slot_number(slot: Slot) -> u8 {
    match slot {
        Slot::Session => 1,
        Slot::Token => 2,
        Slot::Pins => 3,
    }
}

fn check<const N: usize>(before: &[u8], what: u8, bytes: &[u8]) -> [u8; N] {
    let digest = Sha256::new()
        .chain_update(before)
        .chain_update([what])
        .chain_update(bytes)
        .finalize();
    let mut check = [0; N];
    for (to, from) in check.iter_mut().zip(digest) {
        *to = from;
    }
    check
}

const HEADER: u8 = 0;
const LENGTH: u8 = 1;
const RECORD: u8 = 2;

fn header(slot: Slot, account: &str) -> (Vec<u8>, [u8; 8]) {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_be_bytes());
    bytes.push(slot_number(slot));
    put_bytes(&mut bytes, account.as_bytes());
    let check = check(&[], HEADER, &bytes);
    bytes.extend(check);
    (bytes, check)
}

fn record(out: &mut Vec<u8>, last: &mut [u8; 8], write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 8]);
    write(out);
    let length = out.len() - start - 8;
    // Queues are bounded far below 4 GiB; what is longer all the same would be refused when read.
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let length_check: [u8; 4] = check(last, LENGTH, &length);
    let head = length.into_iter().chain(length_check);
    for (to, from) in out.iter_mut().skip(start).zip(head) {
        *to = from;
    }
    *last = check(last, RECORD, out.get(start..).unwrap_or_default());
    out.extend(*last);
}

fn for_each_record(
    slot: Slot,
    account: &str,
    bytes: &[u8],
    mut read: impl FnMut(&mut Cursor<'_>) -> Result<(), SnapshotError>,
) -> Result<(), SnapshotError> {
    const CORRUPT: SnapshotError = SnapshotError::Corrupt;
    if bytes.is_empty() {
        return Ok(());
    }
    let mut cursor = Cursor(bytes);
    if cursor.take(MAGIC.len())? != MAGIC {
        return Err(CORRUPT);
    }
    match cursor.u16()? {
        0 => return Err(CORRUPT),
        // What follows may be anything.
        version if version > VERSION => return Err(SnapshotError::Newer { version }),
        _ => {}
    }
    let written_slot = cursor.u8()?;
    let written_account = cursor.bytes()?;
    let header = bytes.len() - cursor.0.len();
    let mut last: [u8; 8] = check(&[], HEADER, bytes.get(..header).unwrap_or_default());
    if cursor.take(8)? != last {
        return Err(CORRUPT);
    }
    if written_slot != slot_number(slot) || written_account != account.as_bytes() {
        return Err(SnapshotError::Foreign);
    }
    while let Ok(head) = cursor.clone().take(8) {
        let record = cursor.0;
        let (length, length_check) = head.split_at(4);
        // The length is known to be right before it is believed, or damage would look like the end.
        if length_check != check::<4>(&last, LENGTH, length) {
            return Err(CORRUPT);
        }
        let length = usize::try_from(Cursor(length).u32()?).map_err(|_| CORRUPT)?;
        cursor.take(8)?;
        let Ok(payload) = cursor.take(length) else { break };
        let Ok(written) = cursor.take(8) else { break };
        last = check(&last, RECORD, record.get(..length + 8).ok_or(CORRUPT)?);
        if written != last {
            return Err(CORRUPT);
        }
        read(&mut Cursor(payload))?;
    }
    Ok(())
}
