//! What survives a process: what is stored, when, and how it comes back.

use super::Client;
use crate::config::{Config, Persist};
use crate::error::Refused;
use crate::input::Slot;
use crate::output::Outputs;
use crate::secret::Secret;

/// Collects what changed, and stores it before the outputs that depend on it.
#[derive(Debug)]
pub(super) struct Keeper {
    persist: Persist,
}

impl Keeper {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            persist: config.persist,
        }
    }
    pub(super) fn turn_begins(&mut self, _outputs: &Outputs) {}
    pub(super) fn suspend(&mut self) {}
    pub(super) fn session_over(&mut self) {}
}

impl Client {
    pub(super) fn restore(&mut self, _slot: Slot, _bytes: &Secret) -> Result<(), Refused> {
        Ok(())
    }
    pub(super) fn revive(&mut self) {}
    pub(super) fn keep(&mut self) {}
}
