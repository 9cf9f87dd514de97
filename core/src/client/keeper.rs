//! What survives a process: what is stored, when, and how it comes back.

use crate::config::{Config, Persist};
use crate::output::Outputs;

/// Collects what changed, and stores it before the outputs that depend on it.
#[derive(Debug)]
pub(super) struct Keeper {
    persist: Persist,
}

impl Keeper {
    pub(super) fn new(config: &Config) -> Self {
        Self { persist: config.persist }
    }
    pub(super) fn turn_begins(&mut self, _outputs: &Outputs) {}
    pub(super) fn suspend(&mut self) {}
    pub(super) fn session_over(&mut self) {}
}
