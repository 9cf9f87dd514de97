//! What was handed to the host, and how much of it was written.

use alloc::collections::VecDeque;

use super::{Context, Event};
use crate::input::Token;
use crate::output::Stage;

/// Counts bytes, and knows at which of them a stanza of the application's ends.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    handed: u64,
    written: u64,
    ends: VecDeque<(u64, Token)>,
}

impl Outbox {
    /// So many more bytes are handed to the host.
    pub(super) fn hand(&mut self, bytes: usize) {
        self.handed = self.handed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A stanza ends `bytes` behind what was handed over so far.
    pub(super) fn ends(&mut self, bytes: usize, token: Token) {
        let end = self.handed.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        self.ends.push_back((end, token));
    }

    /// So many more bytes have left the host; a host that counts too many is not believed.
    pub(super) fn written(&mut self, cx: &mut Context<'_>, bytes: u64) {
        self.written = self.written.saturating_add(bytes).min(self.handed);
        while let Some((_, token)) = self.ends.front().copied().filter(|(end, _)| *end <= self.written) {
            self.ends.pop_front();
            cx.event(Event::Delivery(token, Stage::Sent));
        }
        if self.ends.is_empty() {
            // An idle client holds no memory for a burst that is over.
            self.ends = VecDeque::new();
        }
    }

    /// Bytes that were handed over and have not left.
    pub(super) fn pending(&self) -> usize {
        usize::try_from(self.handed.saturating_sub(self.written)).unwrap_or(usize::MAX)
    }
}
