//! One turn of the engine, which no panic leaves: what panicked once is never entered again, and its host is told to let go.

use std::collections::BTreeSet;
use std::mem;

use epode::Token;
use epode_border::{Bug, caught};

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
    let turned = caught(|| {
        let token = input(&mut alive.client)?;
        Ok(Step::drain(&mut alive.client, token))
    });
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
        Err(bug) => {
            let links = mem::take(&mut alive.links);
            // What state it was left in nobody sees, and dropping it could panic again.
            mem::forget(engine.take());
            Ok(gone(&bug, links))
        }
    }
}

fn gone(bug: &Bug, links: BTreeSet<u64>) -> Step {
    let reason = OfflineReason {
        blame: Blame::Internal,
        code: "panic".to_owned(),
        detail: None,
        sentence: bug.behind("a bug in epode was hit, please report it: this client is dead, another one may be made"),
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
