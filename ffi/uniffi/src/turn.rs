//! One turn of the engine, which no panic leaves: what panicked once is never entered again, and its host is told to let go.

use std::collections::BTreeSet;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use epode::Token;

use crate::event::{Blame, Event, OfflineReason};
use crate::output::{Output, Step};
use crate::refused::Refused;

/// The engine, and what a host would have to let go if it were gone.
#[derive(Debug)]
pub(crate) struct Engine {
    client: epode::Client,
    links: BTreeSet<u64>,
}

impl Engine {
    pub(crate) fn new(client: epode::Client) -> Self {
        Self {
            client,
            links: BTreeSet::new(),
        }
    }

    pub(crate) fn client(&self) -> &epode::Client {
        &self.client
    }
}

/// Runs one turn. After a panic, which would be a fault of epode's, the engine is gone; the step says so as any end does.
pub(crate) fn turn(
    engine: &mut Option<Engine>,
    input: impl FnOnce(&mut epode::Client) -> Result<Option<Token>, Refused>,
) -> Result<Step, Refused> {
    let Some(alive) = engine else {
        return Err(Refused::Closed);
    };
    // Unwind safety: after a panic the engine is dropped, so nobody sees what state it was left in.
    let turned = catch_unwind(AssertUnwindSafe(|| {
        let token = input(&mut alive.client)?;
        Ok(Step::drain(&mut alive.client, token))
    }));
    match turned {
        Ok(step) => {
            for output in step.iter().flat_map(|step| &step.outputs) {
                if let Output::Connect { link, .. } = output {
                    alive.links.insert(*link);
                } else if let Output::Close { link } = output {
                    alive.links.remove(link);
                }
            }
            step
        }
        Err(payload) => {
            // A payload may panic when it is dropped, and so may the half of an engine.
            mem::forget(payload);
            let links = mem::take(&mut alive.links);
            mem::forget(engine.take());
            Ok(gone(links))
        }
    }
}

fn gone(links: BTreeSet<u64>) -> Step {
    let reason = OfflineReason {
        blame: Blame::Internal,
        code: "panic".to_owned(),
        detail: None,
        sentence: "epode has a bug and cannot go on; make a new client, and please report what led to this".to_owned(),
        condition: None,
        text: None,
        token: None,
    };
    let event = Event::Offline { reason };
    let mut outputs: Vec<_> = links.into_iter().map(|link| Output::Close { link }).collect();
    outputs.push(Output::Event { event });
    Step {
        token: None,
        outputs,
        deadline: None,
        wants_read: false,
    }
}
