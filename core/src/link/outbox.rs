//! What TCP and WebSocket share: what a stream has said so far, and what the host was given and has not written yet.

use alloc::collections::VecDeque;
use alloc::string::String;

use super::{Context, Event};
use crate::error::{Offline, PeerIncompatible};
use crate::input::Token;
use crate::output::Stage;

/// How far something is that a stream says once: its header, its goodbye.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Said {
    #[default]
    No,
    /// It leaves with the next flush, and can be taken back until then.
    Queued,
    Yes,
}

impl Said {
    /// What was queued has been given to the host.
    pub(super) fn flushed(&mut self) {
        if *self == Self::Queued {
            *self = Self::Yes;
        }
    }

    /// What was queued has been taken back.
    pub(super) fn forgotten(&mut self) {
        if *self == Self::Queued {
            *self = Self::No;
        }
    }
}

/// A stream error of ours (RFC 6120 §4.9.2).
#[derive(Clone, Debug)]
pub(crate) struct StreamErrorOut<'a> {
    /// The defined condition.
    pub(crate) condition: &'a str,
    /// An application-specific condition, as XML that is self-contained.
    pub(crate) application: Option<String>,
}

impl StreamErrorOut<'_> {
    /// Appends it; `open` is the start tag, which declares `stream` where nothing around it does.
    pub(super) fn write(&self, out: &mut String, open: &str) {
        out.push_str(open);
        out.push('<');
        out.push_str(self.condition);
        out.push_str(" xmlns='");
        out.push_str(super::NS_STREAM_ERRORS);
        out.push_str("'/>");
        if let Some(application) = &self.application {
            out.push_str(application);
        }
        out.push_str("</stream:error>");
    }
}

/// Bytes that the host was given and has not written yet, and which stanzas end where in them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Since the link is up.
    given: u64,
    written: u64,
    /// Where a stanza is complete, in the same count.
    marks: VecDeque<(u64, Token)>,
}

impl Outbox {
    /// The host was given `bytes` more; `marks` say after how many of them which stanza is complete, in order.
    pub(super) fn give(&mut self, bytes: usize, marks: impl IntoIterator<Item = (usize, Token)>) {
        let start = self.given;
        self.given = start.saturating_add(bytes as u64);
        let marks = marks.into_iter();
        self.marks
            .extend(marks.map(|(end, token)| (start.saturating_add(end as u64), token)));
    }

    /// Nobody has to hear any more when that stanza is written.
    pub(super) fn forget(&mut self, token: Token) {
        // Acknowledgements come in the order of the stanzas, so that it is the first.
        if let Some(index) = self.marks.iter().position(|(_, known)| *known == token) {
            self.marks.remove(index);
        }
    }

    /// The host has written so many more of them. More than it was given are none.
    pub(super) fn written(&mut self, cx: &mut Context<'_>, bytes: u64) {
        self.written = self.written.saturating_add(bytes).min(self.given);
        while let Some((end, token)) = self.marks.pop_front() {
            if end > self.written {
                self.marks.push_front((end, token));
                return;
            }
            cx.event(Event::Delivery(token, Stage::Sent));
        }
        // An idle link holds no memory for a burst that is over.
        self.marks = VecDeque::new();
    }

    pub(super) fn pending(&self) -> usize {
        usize::try_from(self.given.saturating_sub(self.written)).unwrap_or(usize::MAX)
    }
}

/// RFC 6120 §4.7.5: without a version, or with one below 1.0, there are no features and hence no SASL. A higher one counts as 1.0.
pub(super) fn check_version(version: Option<&str>) -> Result<(), Offline> {
    let major = version.map(|version| version.split_once('.').map_or(version, |(major, _)| major));
    let digits = |major: &&str| major.bytes().all(|byte| byte.is_ascii_digit());
    let zero = |major: &str| major.bytes().all(|byte| byte == b'0');
    match major.filter(digits) {
        // No digit at all is zero, too.
        Some(major) if !zero(major) => Ok(()),
        Some(_) | None => Err(Offline::Incompatible(PeerIncompatible::Version)),
    }
}
