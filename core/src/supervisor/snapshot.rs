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
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use sha2::{Digest, Sha256};

use super::codec::{Cursor, put_bytes, read_change, write_change};
use crate::error::SnapshotError;
use crate::input::{Slot, Token};
use crate::secret::Secret;

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
    /// A session that can be resumed (XEP-0198 §5).
    pub(crate) stream: Option<StreamState>,
    /// A BOSH session.
    pub(crate) bosh: Option<BoshState>,
    /// What was not written yet, in order.
    pub(crate) waiting: VecDeque<Stanza>,
}

/// A stanza on its way.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stanza {
    pub(crate) token: Option<Token>,
    pub(crate) kind: StanzaKind,
    pub(crate) xml: String,
    /// When it was given to the client, if the host has said what time it is.
    pub(crate) unix_ms: Option<u64>,
    /// On how many links it was sent.
    pub(crate) links: u8,
}

/// What a stanza is, which decides what becomes of it when its session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StanzaKind {
    Message,
    Presence,
    /// An `iq` of type `get` or `set`.
    Request,
    /// An `iq` of type `result` or `error`.
    Response,
}

/// A session of XEP-0198.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) id: String,
    pub(crate) max: Option<u32>,
    pub(crate) location: Option<String>,
    /// The full JID.
    pub(crate) jid: String,
    /// The mechanism of the login.
    pub(crate) mechanism: String,
    /// Stanzas that were handled.
    pub(crate) h_in: u32,
    /// Stanzas that the server has acknowledged.
    pub(crate) acked_out: u32,
    /// Those that it has not.
    pub(crate) queue: VecDeque<Stanza>,
}

/// A session of XEP-0124.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct BoshState {
    pub(crate) url: String,
    pub(crate) sid: String,
    pub(crate) jid: String,
    pub(crate) mechanism: String,
    pub(crate) wait: u16,
    pub(crate) hold: u8,
    pub(crate) requests: u16,
    pub(crate) inactivity: Option<u16>,
    pub(crate) polling: Option<u16>,
    pub(crate) maxpause: Option<u16>,
    pub(crate) acknowledges: bool,
    pub(crate) legacy: bool,
    pub(crate) server_certificate: Option<[u8; 32]>,
    pub(crate) next_rid: u64,
    pub(crate) next_to_process: u64,
    pub(crate) keys: Option<Keys>,
    /// Requests without an answer, in the order of their numbers.
    pub(crate) flights: VecDeque<Flight>,
}

/// A key sequence (XEP-0124 §15).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) seed: Vec<u8>,
    /// How many keys of it are left.
    pub(crate) left: u32,
}

/// A request without an answer.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Flight {
    pub(crate) rid: u64,
    pub(crate) body: Vec<u8>,
    pub(crate) tokens: Vec<Token>,
}

/// What a turn changes. The rare things are told by `Whole`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Change<'a> {
    /// This is the state.
    Whole(Cow<'a, State>),
    /// Tokens below `next` were given out.
    Tokens { next: u64 },
    /// A stanza waits, behind all others.
    Queued(Cow<'a, Stanza>),
    /// It does not wait any more: cancelled, or failed.
    Dropped { token: Token },
    /// The first so many of those that wait were written; in a session that can be resumed they wait for the acknowledgement.
    Sent { count: u32 },
    /// All that is not acknowledged was written again, on another link.
    Resent,
    /// XEP-0198: the server has handled so many.
    Acked { h: u32 },
    /// XEP-0198: so many were handled here.
    Inbound { h: u32 },
    /// A session that can be resumed has begun.
    StreamBegan(Cow<'a, StreamState>),
    /// It is over, and what it has not acknowledged is forgotten.
    StreamOver,
    /// A BOSH session has begun.
    BoshBegan(Cow<'a, BoshState>),
    /// The request of the next number is posted. It carries the first `taken` of those that wait.
    BoshPosted {
        rid: u64,
        body: Cow<'a, [u8]>,
        tokens: Cow<'a, [Token]>,
        taken: u32,
    },
    /// The server has all requests up to this one (XEP-0124 §9.1).
    BoshAcked { rid: u64 },
    /// The answer to this request, and to all before it, was processed.
    BoshAnswered { rid: u64 },
    /// Keys were used, or there are new ones.
    BoshKeys(Option<Keys>),
    /// The BOSH session is over.
    BoshOver,
}

impl State {
    /// What the state is after `change`; refuses one that cannot follow.
    pub(crate) fn apply(&mut self, change: Change<'_>) -> Result<(), SnapshotError> {
        const WRONG: SnapshotError = SnapshotError::Corrupt;
        match change {
            Change::Whole(state) => *self = state.into_owned(),
            Change::Tokens { next } => self.next_token = self.next_token.max(next),
            Change::Queued(stanza) => {
                if let Some(Token(token)) = stanza.token {
                    self.next_token = self.next_token.max(token.saturating_add(1));
                }
                self.waiting.push_back(stanza.into_owned());
            }
            Change::Dropped { token } => {
                let index = self.waiting.iter().position(|stanza| stanza.token == Some(token));
                self.waiting.remove(index.ok_or(WRONG)?);
            }
            Change::Sent { count } => {
                for mut stanza in self.take(count)? {
                    if let Some(stream) = &mut self.stream {
                        stanza.links = stanza.links.saturating_add(1);
                        stream.queue.push_back(stanza);
                    }
                }
            }
            Change::Resent => {
                for stanza in &mut self.stream.as_mut().ok_or(WRONG)?.queue {
                    stanza.links = stanza.links.saturating_add(1);
                }
            }
            Change::Acked { h } => {
                let stream = self.stream.as_mut().ok_or(WRONG)?;
                // XEP-0198 §4: modulo 2^32.
                let count = usize::try_from(h.wrapping_sub(stream.acked_out)).map_err(|_| WRONG)?;
                if count > stream.queue.len() {
                    return Err(WRONG);
                }
                stream.queue.drain(..count);
                stream.acked_out = h;
            }
            Change::Inbound { h } => self.stream.as_mut().ok_or(WRONG)?.h_in = h,
            Change::StreamBegan(stream) => self.stream = Some(stream.into_owned()),
            Change::StreamOver => self.stream = None,
            Change::BoshBegan(bosh) => self.bosh = Some(bosh.into_owned()),
            Change::BoshPosted {
                rid,
                body,
                tokens,
                taken,
            } => {
                self.take(taken)?;
                let bosh = self.bosh.as_mut().ok_or(WRONG)?;
                // A number is never used for two requests.
                if rid != bosh.next_rid {
                    return Err(WRONG);
                }
                bosh.next_rid = rid.checked_add(1).ok_or(WRONG)?;
                let (body, tokens) = (body.into_owned(), tokens.into_owned());
                bosh.flights.push_back(Flight { rid, body, tokens });
            }
            Change::BoshAcked { rid } => {
                let bosh = self.bosh.as_mut().ok_or(WRONG)?;
                for flight in bosh.flights.iter_mut().filter(|flight| flight.rid <= rid) {
                    flight.tokens = Vec::new();
                }
            }
            Change::BoshAnswered { rid } => {
                let bosh = self.bosh.as_mut().ok_or(WRONG)?;
                if rid >= bosh.next_rid {
                    return Err(WRONG);
                }
                bosh.flights.retain(|flight| flight.rid > rid);
                bosh.next_to_process = rid.saturating_add(1);
            }
            Change::BoshKeys(keys) => self.bosh.as_mut().ok_or(WRONG)?.keys = keys,
            Change::BoshOver => self.bosh = None,
        }
        Ok(())
    }

    fn take(&mut self, count: u32) -> Result<VecDeque<Stanza>, SnapshotError> {
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
            .field("bosh", &self.bosh.as_ref().map(|bosh| bosh.flights.len()))
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
            write_change(payload, &Change::Whole(Cow::Borrowed(state)));
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
