//! Events that the application's channel had no room for, and when they are too many to read on.

use std::collections::VecDeque;

use epode::Event;

use crate::client::weight;

/// Events that wait here before nothing more is read. Each stanza that was taken brings three, so what was taken can
/// always be finished: an application that sends for a while before it looks at its events is not stalled by them.
const UNREAD: usize = 10_000;

/// Stanzas and requests of others that wait here before nothing more is read.
const STANZAS: usize = 64;

/// Bytes of them (256 KiB).
const STANZA_BYTES: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    events: VecDeque<Event>,
    /// Those of them that others sent, and their bytes.
    stanzas: usize,
    stanza_bytes: usize,
}

impl Backlog {
    pub(crate) fn push(&mut self, event: Event) {
        if from_others(&event) {
            self.stanzas = self.stanzas.saturating_add(1);
            self.stanza_bytes = self.stanza_bytes.saturating_add(weight(&event));
        }
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if from_others(&event) {
            self.stanzas = self.stanzas.saturating_sub(1);
            self.stanza_bytes = self.stanza_bytes.saturating_sub(weight(&event));
        }
        Some(event)
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether there is less than that share, one of so many, of what is too much.
    pub(crate) fn has_room(&self, share: usize) -> bool {
        self.stanzas < STANZAS / share && self.stanza_bytes < STANZA_BYTES / share && self.events.len() < UNREAD / share
    }
}

/// What the server can send as much of as it likes. All else is news of what the application did, and small.
fn from_others(event: &Event) -> bool {
    matches!(event, Event::Stanza { .. } | Event::Request { .. })
}
