//! What survives a process: what is stored, when, and how it comes back.
//!
//! Each turn is stored as one record, or as two where one place in its outputs cannot be right for all of it:
//!
//! - What was promised (`Queued`, `Acked`) or is about to leave comes before all outputs of the turn. Whoever was told that
//!   a stanza is queued, or to whom a request number was shown, can rely on it.
//! - What was received, and what failed, comes after its events: it is told again rather than never. It comes before what the
//!   client then says to the server, for what was acknowledged is not sent again.
//!
//! An acknowledgement that was stored and perhaps not told is told again after a restore.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

use super::connection::Connection;
use super::{Client, Session};
use crate::config::{Config, Persist};
use crate::error::{Misuse, Refused, Warning};
use crate::input::{Slot, Token};
use crate::jid::Jid;
use crate::link::bosh::Kind;
use crate::link::bosh::state as bosh;
use crate::link::{Link, Outgoing};
use crate::output::{Endpoint, Event, Output, Outputs, Stage};
use crate::secret::Secret;
use crate::session::stream_management::{Kept, StreamManagement};
use crate::supervisor::snapshot::{Change, Journal, State, read, read_entries, write_entries};

/// Collects what changed, and stores it among the outputs of the turn.
pub(super) struct Keeper {
    persist: Persist,
    account: String,
    /// With `OnSuspend`: the application is away, so the process may end.
    away: bool,
    started: bool,
    /// The slots that were restored.
    slots: Vec<Slot>,
    restored: Option<Box<State>>,
    /// The slot holds something.
    holds: bool,
    /// What the slot holds is a log of ours, to which changes can be added.
    journal: Option<Journal>,
    /// Where the outputs of this turn begin.
    begin: usize,
    /// What belongs before the outputs of the turn, and what belongs behind its events.
    before: Vec<Change<'static>>,
    behind: Vec<Change<'static>>,
    /// The change is too rare, or too large, to be told by its parts.
    whole: bool,
    /// What the changes are about is not what is stored.
    replaced: bool,
    over: bool,
    /// Something has changed.
    changed: bool,
    // What the slot says.
    waiting: usize,
    next_token: u64,
    acked: u32,
    handled: u32,
}

impl Keeper {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            persist: config.persist,
            account: config.account().to_string(),
            away: false,
            started: false,
            slots: Vec::new(),
            restored: None,
            holds: false,
            journal: None,
            begin: 0,
            before: Vec::new(),
            behind: Vec::new(),
            whole: false,
            replaced: false,
            over: false,
            changed: false,
            waiting: 0,
            next_token: 1,
            acked: 0,
            handled: 0,
        }
    }

    /// Whether what changes is stored.
    fn is_active(&self) -> bool {
        match self.persist {
            Persist::Off => false,
            Persist::OnSuspend => self.away,
            Persist::EveryTurn => true,
        }
    }

    /// Whether anybody has to know that something changes: a slot that holds what is not true any more is emptied.
    pub(super) fn is_interested(&self) -> bool {
        self.is_active() || self.holds
    }

    pub(super) fn turn_begins(&mut self, outputs: &Outputs) {
        self.begin = outputs.len();
    }

    /// The process may end from now on.
    pub(super) fn suspend(&mut self) {
        if self.persist == Persist::OnSuspend {
            self.away = true;
            self.whole = true;
        }
    }

    /// The application is back.
    pub(super) fn awake(&mut self) {
        self.away = false;
    }

    /// The state as a whole is stored at the end of the turn.
    pub(super) fn whole(&mut self) {
        self.changed = true;
        self.whole |= self.is_active();
    }

    /// A new session: no change of what was stored tells it.
    pub(super) fn begun(&mut self) {
        self.whole();
        self.replaced = true;
    }

    pub(super) fn session_over(&mut self) {
        self.changed = true;
        self.over = true;
    }

    fn note(&mut self, change: impl FnOnce() -> Change<'static>) {
        if self.is_interested() {
            self.changed = true;
            if self.is_active() {
                self.before.push(change());
            }
        }
    }

    /// A stanza waits.
    pub(super) fn queued(&mut self, outgoing: &Outgoing, stream: &StreamManagement) {
        self.note(|| Change::Queued(Cow::Owned(stream.remembered(outgoing))));
        self.waiting = self.waiting.saturating_add(1);
    }

    /// It does not wait any more.
    pub(super) fn dropped(&mut self, token: Token) {
        self.note(|| Change::Dropped { token });
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// The first one that waited was written on a stream.
    pub(super) fn sent(&mut self, unix_ms: Option<u64>) {
        self.waiting = self.waiting.saturating_sub(1);
        match self.before.last_mut() {
            Some(Change::Sent { count, .. }) => *count = count.saturating_add(1),
            Some(_) | None => self.note(|| Change::Sent { count: 1, unix_ms }),
        }
    }

    /// The server has handled so many.
    pub(super) fn acked(&mut self, h: u32) {
        if mem::replace(&mut self.acked, h) != h {
            self.note(|| Change::Acked { h });
        }
    }

    fn bosh(&mut self, change: bosh::Change, mut taken: u32) {
        match &change {
            bosh::Change::Ended => return self.whole(),
            bosh::Change::Answered { .. } => {
                self.changed = true;
                if self.is_active() {
                    self.behind.push(Change::Bosh {
                        change: Cow::Owned(change),
                        taken: 0,
                    });
                }
                return;
            }
            bosh::Change::Posted { .. } => taken = self.posted(taken),
            bosh::Change::Acknowledged { .. } | bosh::Change::ServerCertificate(_) => {}
        }
        self.note(|| Change::Bosh {
            change: Cow::Owned(change),
            taken,
        });
    }

    /// What came and left in the same turn is in the body that is stored anyway. How many of those that are left were
    /// stored before.
    fn posted(&mut self, taken: u32) -> u32 {
        let is_new = |change: &Change<'_>| matches!(change, Change::Queued(_));
        let new = self.before.iter().filter(|change| is_new(change)).count();
        let taken_here = usize::try_from(taken).unwrap_or(usize::MAX);
        let stored = taken_here.min(self.waiting.saturating_sub(new));
        let mut left_out = taken_here - stored;
        self.before.retain(|change| {
            let out = left_out > 0 && is_new(change);
            left_out -= usize::from(out);
            !out
        });
        self.waiting = self.waiting.saturating_sub(taken_here);
        u32::try_from(stored).unwrap_or(taken)
    }

    /// Empties the slot.
    fn empty(&mut self, outputs: &mut Outputs, position: usize) {
        self.journal = None;
        if mem::take(&mut self.holds) {
            insert(outputs, position, false, Secret::default());
        }
    }

    /// Forgets what was collected.
    fn clear(&mut self) {
        self.before = Vec::new();
        self.behind = Vec::new();
        (self.whole, self.replaced, self.over, self.changed) = (false, false, false, false);
    }

    fn write_whole(&mut self, outputs: &mut Outputs, position: usize, state: &State) {
        if !self.holds && state.is_idle() {
            return;
        }
        let (journal, bytes) = Journal::begin(&self.account, state);
        self.journal = Some(journal);
        self.holds = true;
        self.waiting = state.waiting.len();
        self.next_token = state.next_token;
        (self.acked, self.handled) = state
            .stream
            .as_ref()
            .map_or((0, 0), |stream| (stream.acked, stream.handled));
        insert(outputs, position, false, bytes);
    }

    /// The end of a turn. `state` makes what there is as a whole.
    fn store(&mut self, outputs: &mut Outputs, next_token: u64, state: impl FnOnce() -> Option<State>) {
        let changes = !self.before.is_empty() || !self.behind.is_empty();
        if changes && self.journal.as_ref().is_none_or(Journal::is_long) {
            self.whole = true;
        }
        if !(changes || self.whole || self.over) {
            return;
        }
        let (behind, is_split) = self.places(outputs);
        let can_append = self.journal.is_some() && !self.replaced;
        let mut position = behind;
        if is_split && !self.before.is_empty() {
            if can_append {
                let before = mem::take(&mut self.before);
                self.append(outputs, self.begin, &before);
                position += 1;
            } else {
                position = self.begin;
            }
        }
        if self.over {
            return self.empty(outputs, position);
        }
        if self.whole {
            if let Some(state) = state() {
                self.write_whole(outputs, position, &state);
            }
            return;
        }
        let mut changes = mem::take(&mut self.before);
        // Without anything of the turn's events it comes first.
        if self.behind.is_empty() {
            position = if changes.is_empty() { return } else { self.begin };
        }
        changes.append(&mut self.behind);
        self.append(outputs, position, &changes);
        self.next_token = next_token;
    }

    fn append(&mut self, outputs: &mut Outputs, position: usize, changes: &[Change<'_>]) {
        if let Some(journal) = &mut self.journal {
            insert(outputs, position, true, journal.append(changes));
        }
    }

    /// The place behind the turn's events, and whether there is something before it that must be stored earlier.
    fn places(&self, outputs: &Outputs) -> (usize, bool) {
        if self.behind.is_empty() && !self.whole && !self.over {
            return (self.begin, false);
        }
        let is_told = |output: &Output| {
            matches!(
                output,
                Output::Event(
                    Event::Stanza { .. }
                        | Event::Request { .. }
                        | Event::IqDone { .. }
                        | Event::Delivery {
                            stage: Stage::Acked | Stage::Failed,
                            ..
                        }
                )
            )
        };
        let is_covered = |output: &Output| {
            matches!(
                output,
                Output::Write { .. }
                    | Output::Frame { .. }
                    | Output::Post { .. }
                    | Output::Event(Event::Delivery {
                        stage: Stage::Queued | Stage::Acked,
                        ..
                    })
            )
        };
        let told = outputs.since(self.begin).rposition(is_told).map_or(0, |last| last + 1);
        let is_split = outputs.since(self.begin).take(told).any(is_covered);
        (self.begin.saturating_add(told), is_split)
    }
}

fn insert(outputs: &mut Outputs, position: usize, append: bool, bytes: Secret) {
    let slot = Slot::Session;
    outputs.insert(position, Output::Store { slot, append, bytes });
}

impl Client {
    pub(super) fn restore(&mut self, slot: Slot, bytes: &Secret) -> Result<(), Refused> {
        if self.keeper.started || self.keeper.slots.contains(&slot) {
            return Err(Refused::Misuse(Misuse::TooLateToRestore));
        }
        let account = &self.keeper.account;
        match slot {
            Slot::Session => {
                let state = read(account, bytes.expose()).map_err(Refused::Snapshot)?;
                self.keeper.restored = Some(Box::new(state));
                self.keeper.holds = !bytes.expose().is_empty();
            }
            Slot::Token | Slot::Pins => {
                let entries = read_entries(slot, account, bytes.expose()).map_err(Refused::Snapshot)?;
                self.memory.restore(&entries);
            }
        }
        self.keeper.slots.push(slot);
        Ok(())
    }

    /// `Start`: goes on with what was restored. Whether that had been online.
    pub(super) fn revive(&mut self) -> bool {
        self.keeper.started = true;
        let Some(state) = self.keeper.restored.take().map(|state| *state) else {
            return false;
        };
        let Some(session) = &mut self.session else { return false };
        self.ids.token = self.ids.token.max(state.next_token);
        for token in state.acked {
            self.outputs.event(Event::Delivery {
                token,
                stage: Stage::Acked,
            });
        }
        let jid = state.jid.and_then(|jid| Jid::from_server(&jid).ok());
        let (mut settled, mut lost) = (None, Vec::new());
        if let Some(stream) = state.stream {
            let limit = self.config.limits.unacknowledged;
            session.stream = StreamManagement::restore(self.config.stream_management, limit, stream, self.now);
            if jid.is_some() && session.stream.can_resume(self.now) {
                session.jid.clone_from(&jid);
                if let Some(location) = session.stream.location() {
                    session.supervisor.prefer_location(&self.config, location);
                }
            } else {
                settled = Some(session.stream.reset());
            }
        }
        if let Some(bosh) = state.bosh {
            // After its goodbye a session is over, whether or not the server has heard it.
            let is_over = bosh.posted.iter().any(|posted| posted.kind == Kind::Terminate);
            if jid.is_some() && !is_over {
                let url = bosh.url.clone();
                session.supervisor.prefer(&self.config, Endpoint::Bosh { url });
                session.jid = jid;
                session.dormant = Some(Box::new(bosh));
            } else {
                lost = bosh.posted.into_iter().flat_map(|posted| posted.tokens).collect();
            }
        }
        for kept in state.waiting {
            session.stream.remember(&kept);
            let Kept {
                xml, token, request, ..
            } = kept;
            // Whoever asked is not there any more: then the question need not go out.
            if request.is_none() {
                session.wait(Outgoing {
                    xml,
                    token,
                    request,
                    stored: true,
                });
            }
        }
        for token in lost {
            self.delivery(token, Stage::Failed);
        }
        if let Some(settled) = settled {
            self.session_gone(settled);
        }
        self.keeper.next_token = self.ids.token;
        // The log may have a torn end.
        self.keeper.whole |= self.keeper.is_active();
        state.was_online
    }

    /// The stored BOSH session is not gone on with after all.
    pub(super) fn give_up_dormant(&mut self) {
        let Some(bosh) = self.session.as_mut().and_then(|session| session.dormant.take()) else {
            return;
        };
        self.keeper.whole();
        self.outputs
            .event(Event::Warning(Warning::NotResumed { condition: None }));
        for token in bosh.posted.into_iter().flat_map(|posted| posted.tokens) {
            self.delivery(token, Stage::Failed);
        }
    }

    /// What the link changed of its session.
    pub(super) fn keep_link(&mut self) {
        let interested = self.keeper.is_interested();
        let Some(connection) = &mut self.connection else { return };
        let record = interested && connection.online;
        for (change, taken) in connection.link.take_changes() {
            if record {
                self.keeper.bosh(change, taken);
            }
        }
        connection.link.record_changes(record);
    }

    /// The end of a turn: what changed is stored.
    pub(super) fn keep(&mut self) {
        if self.keeper.is_interested() {
            self.keep_turn();
            // From now on, or no more.
            self.keep_link();
        }
        self.keep_memory();
        self.keeper.clear();
    }

    /// What the login taught. A token that is not stored before it is used is lost with the process.
    fn keep_memory(&mut self) {
        for slot in self.memory.take_changed() {
            if self.keeper.persist != Persist::Off {
                let entries = self.memory.entries(slot);
                let bytes = write_entries(slot, &self.keeper.account, &entries);
                let append = false;
                self.outputs
                    .insert(self.keeper.begin, Output::Store { slot, append, bytes });
            }
        }
    }

    fn keep_turn(&mut self) {
        self.keep_link();
        let next = self.ids.token;
        let keeper = &mut self.keeper;
        if let (Some(session), false) = (&self.session, keeper.whole) {
            let h = session.stream.handled_count();
            if mem::replace(&mut keeper.handled, h) != h {
                keeper.changed = true;
                keeper.behind.push(Change::Inbound { h });
            }
            let is_last = |token: Option<Token>| token.is_some_and(|Token(token)| token.saturating_add(1) == next);
            let told = |change: &Change<'_>| match change {
                Change::Queued(kept) => is_last(kept.token) || is_last(kept.request),
                Change::Whole(_)
                | Change::Tokens { .. }
                | Change::Dropped { .. }
                | Change::Sent { .. }
                | Change::Acked { .. }
                | Change::Inbound { .. }
                | Change::Bosh { .. } => false,
            };
            if keeper.next_token != next && !keeper.before.iter().any(told) {
                let changes = if keeper.before.is_empty() {
                    &mut keeper.behind
                } else {
                    &mut keeper.before
                };
                changes.push(Change::Tokens { next });
            }
        }
        if keeper.is_active() {
            let (session, connection) = (&self.session, &self.connection);
            keeper.store(&mut self.outputs, next, || {
                Some(state(session.as_ref()?, connection.as_ref(), next))
            });
        } else if keeper.changed {
            // What it holds is not true any more.
            let position = keeper.begin;
            keeper.empty(&mut self.outputs, position);
        }
    }
}

/// Everything that has to survive.
fn state(session: &Session, connection: Option<&Connection>, next_token: u64) -> State {
    let link = connection.filter(|connection| connection.online);
    let link = link.map(|connection| &connection.link);
    let bosh = match &session.dormant {
        Some(bosh) => Some((**bosh).clone()),
        None => link.and_then(Link::state),
    };
    let queued = link.and_then(Link::queued).into_iter().flatten();
    let waiting = queued.filter(|outgoing| outgoing.stored).chain(&session.waiting);
    State {
        next_token,
        was_online: session.supervisor.was_online(),
        jid: session.jid.as_ref().map(ToString::to_string),
        stream: session.stream.state(),
        bosh,
        waiting: waiting.map(|outgoing| session.stream.remembered(outgoing)).collect(),
        acked: Vec::new(),
    }
}

impl Session {
    /// The tokens that only the stored BOSH session knows.
    pub(super) fn dormant_tokens(&mut self) -> Vec<Token> {
        let posted = self.dormant.take().map(|bosh| bosh.posted).unwrap_or_default();
        posted.into_iter().flat_map(|posted| posted.tokens).collect()
    }
}
