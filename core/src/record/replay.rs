//! Plays a log again, without a network, and compares what comes out.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::mask::{Hide, Label, Mask};
use super::{Entry, Log, ReadError, Recorder};
use crate::client::Client;
use crate::config::{Config, Credentials};
use crate::input::{Input, JobId};
use crate::output::Output;
use crate::sasl::Derivation;
use crate::sasl::server::Knows;

/// What a replay came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How many inputs were played.
    pub inputs: usize,
    /// How many outputs were the same.
    pub outputs: usize,
    /// How many bytes for the network they had.
    pub bytes: usize,
    /// The first output that was not the same; nothing was played behind it.
    pub difference: Option<Difference>,
    /// The placeholders in the log: what, how often, and what the replay made of them.
    pub placeholders: Vec<(Label, usize, Treatment)>,
}

/// An output that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The entry in question, from 0: for an output that the log does not have, the one before which it came.
    pub entry: usize,
    /// The line of the log, where it has one.
    pub expected: Option<String>,
    /// The line of the replay, where it has one.
    pub got: Option<String>,
}

/// What a replay makes of a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Treatment {
    /// It was computed again from the password that was given.
    Computed,
    /// It was left out of the comparison.
    LeftOut,
}

impl Log {
    /// Plays the inputs into a new client; what comes out, with the inputs, is the log of the replay.
    pub fn replay(&self) -> Result<Self, ReadError> {
        let mut player = Player::new(self, self.dummies()?);
        let mut recorder = Recorder::new(Client::new(player.config(), self.header.seed()?));
        for entry in &self.entries {
            if let Entry::In { now, r#in } = entry {
                // A refusal is part of the recorded life too; its outputs, none, are compared like any other.
                let _ = recorder.handle(*now, player.input(r#in));
                while let Some(output) = recorder.next() {
                    player.output(&output);
                }
            }
        }
        Ok(Self {
            header: self.header.clone(),
            entries: recorder.into_entries(),
        })
    }

    /// Plays the log in its order, input by input and output by output, and compares each output, up to the first difference.
    ///
    /// The password comes from the configuration ([`Config::set_password`]); where it has none, another one is taken, and what
    /// depends on it is left out.
    pub fn compare(&self) -> Result<Comparison, ReadError> {
        // A later secret is nowhere to be had.
        let provided = |entry: &Entry| {
            matches!(
                entry,
                Entry::In {
                    r#in: Input::Provide { .. },
                    ..
                }
            )
        };
        let given = self.is_given() && !self.entries.iter().any(provided);
        let mut player = Player::new(self, self.dummies()?);
        let mut client = Client::new(player.config(), self.header.seed()?);
        // Both sides are made the same: what the log hides, is hidden in the replay too.
        let (mut expected_mask, mut got_mask) = (Mask::new(Hide::All), Mask::new(Hide::All));
        let mut comparison = Comparison {
            inputs: 0,
            outputs: 0,
            bytes: 0,
            difference: None,
            placeholders: Vec::new(),
        };
        for (index, entry) in self.entries.iter().enumerate() {
            match entry {
                Entry::In { now, r#in } => {
                    expected_mask.input(&mut r#in.clone());
                    let _ = client.handle(*now, player.input(r#in));
                    comparison.inputs += 1;
                }
                Entry::Out { out } => {
                    let mut expected = out.clone();
                    expected_mask.output(&mut expected);
                    let got = client.next().map(|mut got| {
                        player.output(&got);
                        got_mask.output(&mut got);
                        got
                    });
                    if got.as_ref() != Some(&expected) {
                        comparison.difference = Some(Difference {
                            entry: index,
                            expected: Some(entry.to_line()),
                            got: got.map(|out| Entry::Out { out }.to_line()),
                        });
                        break;
                    }
                    comparison.outputs += 1;
                    comparison.bytes = comparison.bytes.saturating_add(length(&expected));
                }
            }
        }
        if let (None, Some(mut out)) = (&comparison.difference, client.next()) {
            got_mask.output(&mut out);
            comparison.difference = Some(Difference {
                entry: self.entries.len(),
                expected: None,
                got: Some(Entry::Out { out }.to_line()),
            });
        }
        let treatment = |label: Label| match given && label.follows_from_password() {
            true => Treatment::Computed,
            false => Treatment::LeftOut,
        };
        comparison.placeholders = expected_mask
            .found()
            .map(|(label, count)| (label, count, treatment(label)))
            .collect();
        Ok(comparison)
    }

    /// Whether the configuration's secret is there.
    fn is_given(&self) -> bool {
        let secret = self.header.config.credentials().secret();
        secret.is_some_and(|secret| !secret.expose().is_empty())
    }

    /// How long each secret is that was left out: a message that shows it has to have as many bytes as it had. The first is that of
    /// the configuration, each further one that of a `Provide`.
    fn dummies(&self) -> Result<Vec<usize>, ReadError> {
        let mut lengths = vec![1];
        let mut recorded = Mask::new(Hide::Proofs);
        for entry in &self.entries {
            match entry {
                Entry::In { r#in, .. } => {
                    lengths.extend(matches!(r#in, Input::Provide { .. }).then_some(1));
                    recorded.input(&mut r#in.clone());
                }
                Entry::Out { out } => recorded.output(&mut out.clone()),
            }
        }
        let is_shown = |at| recorded.shown(at) != (None, None);
        if !(0..lengths.len()).any(is_shown) || (lengths.len() == 1 && self.is_given()) {
            return Ok(lengths);
        }
        // What else such a message holds shows where the secrets are one byte long.
        let mut player = Player::new(self, lengths.clone());
        let mut client = Client::new(player.config(), self.header.seed()?);
        let mut short = Mask::new(Hide::Proofs);
        for entry in &self.entries {
            if let Entry::In { now, r#in } = entry {
                short.input(&mut r#in.clone());
                let _ = client.handle(*now, player.input(r#in));
                while let Some(mut output) = client.next() {
                    player.output(&output);
                    short.output(&mut output);
                }
            }
        }
        for (at, length) in lengths.iter_mut().enumerate() {
            let more = match (recorded.shown(at), short.shown(at)) {
                // Base64 makes four characters of three bytes.
                ((Some(recorded), _), (Some(short), _)) => recorded.saturating_sub(short) / 4 * 3,
                ((None, Some(recorded)), (None, Some(short))) => recorded.saturating_sub(short),
                _ => 0,
            };
            *length += more;
        }
        Ok(lengths)
    }
}

/// Puts back what a log left out, as far as it follows from something, and something of the same length where it does not.
struct Player {
    config: Config,
    /// The lengths of what is made up for each `Provide` that is to come.
    lengths: vec::IntoIter<usize>,
    mask: Mask,
    /// What the client asked its host to compute.
    jobs: BTreeMap<JobId, Derivation>,
}

impl Player {
    fn new(log: &Log, lengths: Vec<usize>) -> Self {
        let mut config = log.header.config.clone();
        let mut lengths = lengths.into_iter();
        let length = lengths.next().unwrap_or(1);
        if !log.is_given() {
            config.make_up_secrets(length);
        }
        Self {
            mask: Mask::filling(knows(config.credentials())),
            config,
            lengths,
            jobs: BTreeMap::new(),
        }
    }

    fn config(&self) -> Config {
        self.config.clone()
    }

    /// The input for the client, of one of the log.
    fn input(&mut self, input: &Input<'static>) -> Input<'static> {
        let mut input = input.clone();
        self.mask.input(&mut input);
        if let Input::Derived { job, key } = &mut input {
            key.restore(self.jobs.get(job));
        }
        if let Input::Provide { credentials } = &mut input {
            credentials.make_up(self.lengths.next().unwrap_or(1));
            self.mask.now_knows(knows(credentials));
        }
        input
    }

    /// What the client gave.
    fn output(&mut self, output: &Output) {
        self.mask.output(&mut output.clone());
        if let Output::DeriveKey { job, derivation } = output {
            self.jobs.insert(*job, derivation.clone());
        }
    }
}

fn knows(credentials: &Credentials) -> Knows {
    if let Credentials::ScramKey { key } = credentials {
        return Knows::Key(key.clone());
    }
    credentials
        .password_secret()
        .map_or(Knows::Nothing, |password| Knows::Password(password.clone()))
}

/// The bytes of an output that are for the network.
fn length(output: &Output) -> usize {
    match output {
        Output::Write { bytes, .. } | Output::Post { body: bytes, .. } => bytes.len(),
        Output::Frame { text, .. } => text.len(),
        Output::Resolve { .. }
        | Output::Store { .. }
        | Output::DeriveKey { .. }
        | Output::Connect { .. }
        | Output::StartTls { .. }
        | Output::Abandon { .. }
        | Output::Close { .. }
        | Output::Event(_) => 0,
    }
}
