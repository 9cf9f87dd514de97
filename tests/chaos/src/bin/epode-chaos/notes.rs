//! What the sending process wrote down before it was killed, read again by its successor and by the judge.
//!
//! A line is appended with one `write`, so a SIGKILL leaves it or does not. `send` gives a token before the message is stored, and
//! `Queued` says that it is. So after a kill a number can be in three states that have no end yet:
//!
//! - `sending` without `sent`: its token is not known, so nobody can say whether the client has it. The application sends it again.
//! - `sent` without `queued`: the first token of the next life tells. A token that is given again was never stored, so the client
//!   never had that message, and the application sends it again. If a later one is given, the client has it. Where that first token
//!   is not known either, it is as if this one had not been noted.
//! - `queued`: the client has it, and must say how it ended.
//!
//! Each time the application sends a number again, the message says which attempt it is: so a copy that the engine made is told
//! from one that the application made.

use std::collections::{BTreeMap, BTreeSet};

use epode::Stage;

/// How the reason of a link ends whose session ended with it.
pub(crate) const CANNOT_BE_RESUMED: &str = " (cannot be resumed)";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A process begins.
    Life,
    /// About to send that number, and for the how-manieth time.
    Sending(usize, usize),
    /// `send` gave this token.
    Sent(u64),
    Queued(u64),
    Ended(u64, Stage),
    Online {
        resumed: bool,
    },
    /// From here on the session can be resumed, and that is stored.
    Resumable,
    /// Why there is a new session.
    NotRestored(String),
    NotResumed(String),
    Interrupted(String),
    /// The client gave up.
    GaveUp(String),
    /// The last message is acknowledged.
    Done,
}

impl Note {
    pub(crate) fn to_line(&self) -> String {
        // Words of the server stay on their line.
        let one_line = |text: &str| text.replace(['\n', '\r'], " ");
        match self {
            Self::Life => "life".to_owned(),
            Self::Sending(number, attempt) => format!("sending {number} {attempt}"),
            Self::Sent(token) => format!("sent {token}"),
            Self::Queued(token) => format!("queued {token}"),
            Self::Ended(token, Stage::Acked) => format!("acked {token}"),
            Self::Ended(token, Stage::Failed | Stage::Queued | Stage::Sent) => format!("failed {token}"),
            Self::Online { resumed: true } => "online resumed".to_owned(),
            Self::Online { resumed: false } => "online new".to_owned(),
            Self::Resumable => "resumable".to_owned(),
            Self::NotRestored(why) => format!("not-restored {}", one_line(why)),
            Self::NotResumed(why) => format!("not-resumed {}", one_line(why)),
            Self::Interrupted(why) => format!("interrupted {}", one_line(why)),
            Self::GaveUp(why) => format!("gave-up {}", one_line(why)),
            Self::Done => "done".to_owned(),
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match word {
            "life" => Self::Life,
            "sending" => {
                let (number, attempt) = rest.split_once(' ')?;
                Self::Sending(number.parse().ok()?, attempt.parse().ok()?)
            }
            "sent" => Self::Sent(rest.parse().ok()?),
            "queued" => Self::Queued(rest.parse().ok()?),
            "acked" => Self::Ended(rest.parse().ok()?, Stage::Acked),
            "failed" => Self::Ended(rest.parse().ok()?, Stage::Failed),
            "online" => Self::Online {
                resumed: rest == "resumed",
            },
            "resumable" => Self::Resumable,
            "not-restored" => Self::NotRestored(rest.to_owned()),
            "not-resumed" => Self::NotResumed(rest.to_owned()),
            "interrupted" => Self::Interrupted(rest.to_owned()),
            "gave-up" => Self::GaveUp(rest.to_owned()),
            "done" => Self::Done,
            _ => return None,
        })
    }
}

/// Which message a token stands for.
#[derive(Clone, Copy, Debug)]
struct Held {
    message: (usize, usize),
    queued: bool,
    end: Option<Stage>,
}

/// What the notes say, line after line.
#[derive(Debug, Default)]
pub(crate) struct Account {
    held: BTreeMap<u64, Held>,
    /// `sending`, and not yet `sent`.
    sending: Option<(usize, usize)>,
    /// Numbers that the application has to send again.
    pub(crate) again: BTreeSet<usize>,
    /// How often each number was sent.
    attempts: BTreeMap<usize, usize>,
    pub(crate) ended: BTreeMap<(usize, usize), Stage>,
    /// Ends of tokens that no note names.
    pub(crate) unnoted_ends: usize,
    pub(crate) lives: usize,
    pub(crate) resumed: usize,
    pub(crate) new: usize,
    onlines_of_life: usize,
    pub(crate) never_online: usize,
    resumable: bool,
    /// The reason that this life has for a new session.
    excuse: Option<String>,
    /// Why sessions were new or links ended, and how often.
    pub(crate) reasons: BTreeMap<String, usize>,
    pub(crate) is_done: bool,
    pub(crate) wrong: Vec<String>,
}

impl Account {
    pub(crate) fn read(text: &str) -> Self {
        let mut account = Self::default();
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n').map(|line| (line, Note::from_line(line))) {
                Some((_, Some(note))) => account.note(&note),
                Some((line, None)) => account.wrong.push(format!("a note that cannot be read: {line:?}")),
                None => account.wrong.push(format!("a torn note: {line:?}")),
            }
        }
        account
    }

    pub(crate) fn note(&mut self, note: &Note) {
        match note {
            Note::Life => self.life(),
            Note::Sending(number, attempt) => {
                // `send` refused the one before.
                let refused = self.sending.replace((*number, *attempt));
                self.again.extend(refused.map(|(number, _)| number));
                self.attempts.insert(*number, *attempt);
                self.again.remove(number);
            }
            Note::Sent(token) => self.sent(*token),
            Note::Queued(token) => {
                if let Some(held) = self.held.get_mut(token) {
                    held.queued = true;
                }
            }
            Note::Ended(token, stage) => self.end(*token, *stage),
            Note::Online { resumed } => self.online(*resumed),
            Note::Resumable => self.resumable = true,
            Note::NotRestored(why) => self.reason(format!("NOT RESTORED: {why}")),
            Note::NotResumed(why) => self.reason(format!("NOT RESUMED: {why}")),
            // On BOSH this is how a server ends a session.
            Note::Interrupted(why) if why.ends_with(CANNOT_BE_RESUMED) => self.reason(why.clone()),
            Note::Interrupted(why) => *self.reasons.entry(why.clone()).or_default() += 1,
            Note::GaveUp(why) => self.wrong.push(format!("the sender gave up: {why}")),
            Note::Done => self.is_done = true,
        }
    }

    fn reason(&mut self, why: String) {
        *self.reasons.entry(why.clone()).or_default() += 1;
        self.excuse = Some(why);
    }

    fn life(&mut self) {
        if self.lives > 0 && self.onlines_of_life == 0 {
            self.never_online += 1;
        }
        self.lives += 1;
        self.onlines_of_life = 0;
        if let Some((number, _)) = self.sending.take() {
            self.again.insert(number);
            // Whose token it was is not known, so what is not known to be stored may be that.
            let unsure = |held: &Held| !held.queued && held.end.is_none();
            self.again.extend(
                self.held
                    .values()
                    .filter(|held| unsure(held))
                    .map(|held| held.message.0),
            );
            self.held.retain(|_, held| !unsure(held));
        }
    }

    fn sent(&mut self, token: u64) {
        let Some(message) = self.sending.take() else {
            return self.wrong.push(format!("token {token} was sent by nobody"));
        };
        // Tokens only grow: those from here on were not stored.
        for (token, held) in self.held.split_off(&token) {
            if held.end.is_some() {
                continue;
            }
            let (number, _) = held.message;
            if held.queued {
                let what = format!("message {number} (token {token}) was queued, and the client has forgotten it");
                self.wrong.push(what);
            }
            self.again.insert(number);
        }
        let held = Held {
            message,
            queued: false,
            end: None,
        };
        self.held.insert(token, held);
    }

    fn end(&mut self, token: u64, stage: Stage) {
        let Some(held) = self.held.get_mut(&token) else {
            self.unnoted_ends += 1;
            return;
        };
        // An acknowledgement may be told again after a restore; it may not become something else.
        match held.end.replace(stage) {
            Some(before) if before != stage => self.wrong.push(format!("token {token} was {before:?}, then {stage:?}")),
            Some(_) | None => {}
        }
        self.ended.insert(held.message, stage);
    }

    fn online(&mut self, resumed: bool) {
        self.onlines_of_life += 1;
        let excuse = self.excuse.take();
        if resumed {
            self.resumed += 1;
        } else {
            self.new += 1;
            if excuse.is_none() {
                if self.resumable {
                    self.wrong
                        .push(format!("a new session without a reason in life {}", self.lives));
                } else if self.new > 1 {
                    let why = "new: killed before a session could be resumed";
                    *self.reasons.entry(why.to_owned()).or_default() += 1;
                }
            }
        }
        self.resumable = resumed;
    }

    /// Messages whose end the client owes.
    pub(crate) fn open(&self) -> usize {
        self.held.values().filter(|held| held.end.is_none()).count()
    }

    /// Which these are. Ends come in order: once the last message has one, these had theirs too, in a process that was killed before
    /// it looked, and nobody tells it again.
    pub(crate) fn untold(&self) -> Vec<(usize, usize)> {
        let open = self.held.values().filter(|held| held.end.is_none());
        open.map(|held| held.message).collect()
    }

    /// Which attempt the next one with this number is.
    pub(crate) fn next_attempt(&self, number: usize) -> usize {
        self.attempts.get(&number).map_or(1, |attempt| attempt + 1)
    }

    /// The first number below `end` that is to be sent.
    pub(crate) fn next_number(&self, end: usize) -> Option<usize> {
        let first = self.attempts.len();
        let again = self.again.iter().copied().find(|number| *number < end);
        again.or((first < end).then_some(first))
    }

    pub(crate) fn numbers(&self) -> usize {
        self.attempts.len()
    }

    pub(crate) fn sent_again(&self) -> usize {
        self.attempts.values().map(|attempts| attempts - 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_given_again_was_not_stored() {
        let account = Account::read("life\nsending 0 1\nsent 1\nlife\nsending 1 1\nsent 1\nqueued 1\nacked 1\n");
        assert_eq!(account.wrong, [""; 0]);
        assert_eq!(account.again, BTreeSet::from([0]));
        assert_eq!(account.ended, BTreeMap::from([((1, 1), Stage::Acked)]));
        assert_eq!(account.next_attempt(0), 2);
    }

    #[test]
    fn what_was_queued_may_not_be_forgotten() {
        let account = Account::read("life\nsending 0 1\nsent 1\nqueued 1\nlife\nsending 1 1\nsent 1\n");
        assert_eq!(account.wrong.len(), 1, "{:?}", account.wrong);
    }

    #[test]
    fn without_a_token_nothing_is_known() {
        let account = Account::read("life\nsending 0 1\nsent 1\nlife\nsending 1 1\nlife\n");
        assert_eq!(account.again, BTreeSet::from([0, 1]));
        assert_eq!(account.open(), 0);
        assert_eq!(Account::read("life\nsending 0 1\nlife\nacked 1\n").unnoted_ends, 1);
    }

    #[test]
    fn a_new_session_needs_a_reason() {
        let without = Account::read("life\nonline new\nresumable\nlife\nonline new\n");
        assert_eq!(without.wrong, ["a new session without a reason in life 2"]);
        let with = Account::read("life\nonline new\nresumable\nlife\nnot-resumed item-not-found\nonline new\n");
        assert_eq!(with.wrong, [""; 0]);
        assert_eq!((with.new, with.resumed), (2, 0));
        // Killed before it could be resumed.
        assert_eq!(Account::read("life\nonline new\nlife\nonline new\n").wrong, [""; 0]);
    }

    #[test]
    fn an_end_is_final() {
        let account = Account::read("life\nsending 0 1\nsent 1\nqueued 1\nacked 1\nlife\nacked 1\n");
        assert_eq!(account.wrong, [""; 0]);
        let account = Account::read("life\nsending 0 1\nsent 1\nqueued 1\nacked 1\nlife\nfailed 1\n");
        assert_eq!(account.wrong.len(), 1);
    }
}
