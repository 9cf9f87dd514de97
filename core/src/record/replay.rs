//! Plays a log again, without a network, and compares what comes out.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::mask::{Hide, Label, Mask};
use super::{Entry, Log, ReadError, Recorder};
use crate::client::Client;
use crate::config::Config;
use crate::output::Output;
use crate::secret::Secret;

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
        let (config, password) = self.player();
        let mut recorder = Recorder::new(Client::new(config, self.header.seed()?));
        // It fills the placeholders of the inputs.
        let mut seen = Mask::new(Hide::Proofs);
        for entry in &self.entries {
            if let Entry::In { now, r#in } = entry {
                let mut input = r#in.clone();
                seen.input(&mut input, Some(&password));
                // A refusal is part of the recorded life too; its outputs, none, are compared like any other.
                let _ = recorder.handle(*now, input);
                while let Some(mut output) = recorder.next() {
                    seen.output(&mut output);
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
        let given = password(&self.header.config).is_some_and(|password| !password.expose().is_empty());
        let (config, password) = self.player();
        let mut client = Client::new(config, self.header.seed()?);
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
                    expected_mask.input(&mut r#in.clone(), None);
                    let mut input = r#in.clone();
                    got_mask.input(&mut input, Some(&password));
                    let _ = client.handle(*now, input);
                    comparison.inputs += 1;
                }
                Entry::Out { out } => {
                    let mut expected = out.clone();
                    expected_mask.output(&mut expected);
                    let got = client.next().map(|mut got| {
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
        let treatment = |label| match label {
            Label::Password | Label::ClientProof | Label::ServerProof if given => Treatment::Computed,
            Label::Password
            | Label::ClientProof
            | Label::ServerProof
            | Label::SessionId
            | Label::ResumptionId
            | Label::Kept => Treatment::LeftOut,
        };
        comparison.placeholders = expected_mask
            .found()
            .map(|(label, count)| (label, count, treatment(label)))
            .collect();
        Ok(comparison)
    }

    /// The configuration, with a password where one is needed.
    fn player(&self) -> (Config, Secret) {
        let mut config = self.header.config.clone();
        let secret = match password(&config) {
            Some(given) if !given.expose().is_empty() => given.clone(),
            Some(_) => Secret::new(vec![b'x'; self.password_length()]),
            None => Secret::default(),
        };
        config.set_password(secret.clone());
        (config, secret)
    }

    /// A length for a password that was left out: PLAIN has to have as many bytes as it had.
    fn password_length(&self) -> usize {
        let mut mask = Mask::new(Hide::Proofs);
        for entry in &self.entries {
            if let Entry::Out { out } = entry {
                mask.output(&mut out.clone());
            }
        }
        let local = self.header.config.account();
        let local = local.local().map_or(0, str::len);
        // RFC 4616 §2: two NULs; base64 makes four characters of three bytes.
        let message = mask.last_length(Label::Password) / 4 * 3;
        message.saturating_sub(local + 2).max(1)
    }
}

fn password(config: &Config) -> Option<&Secret> {
    config.credentials().secret()
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
