//! What the tests of links need: a client's belongings without a client, and what came of them as text.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Context, Event};
use crate::output::{Output, Outputs};
use crate::random::Random;
use crate::time::Instant;

pub(super) struct Bed {
    outputs: Outputs,
    random: Random,
    events: VecDeque<Event>,
    next_request: u64,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self {
            outputs: Outputs::default(),
            random: Random::new(&[7; 32]),
            events: VecDeque::new(),
            next_request: 1,
        }
    }

    pub(super) fn cx(&mut self) -> Context<'_> {
        Context {
            now: Instant::from_millis(0),
            outputs: &mut self.outputs,
            random: &mut self.random,
            events: &mut self.events,
            next_request: &mut self.next_request,
        }
    }

    /// What was reported since the last time.
    pub(super) fn events(&mut self) -> Vec<String> {
        let shown = |event| match event {
            Event::Opened => String::from("Opened"),
            Event::Attached { jid } => format!("Attached({jid})"),
            Event::Restored => String::from("Restored"),
            Event::Element(element) => element.to_xml(),
            Event::Delivery(token, stage) => format!("{} {stage:?}", token.0),
            Event::Warning(warning) => format!("{warning:?}"),
            Event::Closed(reason) => format!("Closed({reason:?})"),
        };
        self.events.drain(..).map(shown).collect()
    }

    /// What the host was given since the last time: each write or frame, as text.
    pub(super) fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.outputs.pop() {
            let other = format!("{output:?}");
            said.push(if let Output::Write { bytes, .. } = output {
                String::from_utf8(bytes).expect("we write UTF-8")
            } else if let Output::Frame { text, .. } = output {
                text
            } else {
                other
            });
        }
        said
    }
}
