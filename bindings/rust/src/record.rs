//! The log of a client's life, written as it goes.

use std::fmt;
use std::io::{self, Write};

use epode::record::{Header, Scribe};
use epode::{Config, Input, Instant, Output};

/// A log that is being written; nothing, after an error.
pub(crate) struct Record {
    log: Option<Box<dyn Write + Send>>,
    scribe: Scribe,
}

impl Record {
    pub(crate) fn new(log: Box<dyn Write + Send>, config: &Config, seed: &[u8; 32]) -> Self {
        let mut record = Self {
            log: Some(log),
            scribe: Scribe::new(),
        };
        record.line(&Header::new(config, seed).to_line());
        record
    }

    pub(crate) fn input(&mut self, now: Instant, input: &Input<'static>) {
        if self.log.is_some() {
            let line = self.scribe.input(now, input).to_line();
            self.line(&line);
        }
    }

    pub(crate) fn output(&mut self, output: &Output) {
        if self.log.is_some() {
            let line = self.scribe.output(output).to_line();
            self.line(&line);
        }
    }

    pub(crate) fn flush(&mut self) {
        self.write(|log| log.flush());
    }

    fn line(&mut self, line: &str) {
        self.write(|log| writeln!(log, "{line}"));
    }

    fn write(&mut self, write: impl FnOnce(&mut Box<dyn Write + Send>) -> io::Result<()>) {
        if let Some(log) = &mut self.log
            && write(log).is_err()
        {
            // Half a log is of use; the client is of more.
            self.log = None;
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").finish_non_exhaustive()
    }
}
