//! The table of pending requests, in both directions: who may answer, until when, and that each is answered once.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::NS_PING;
use super::stanza::{self, sender};
use crate::error::{DropReason, IqError};
use crate::input::{StanzaError, Token};
use crate::jid::Jid;
use crate::time::{Earliest, Instant, Timer};
use crate::xml::{Element, ElementRef, InvalidXml};

/// Requests without an answer, ours and those to us.
#[derive(Debug, Default)]
pub(crate) struct IqTable {
    ours: BTreeMap<String, Ours>,
    theirs: BTreeMap<Token, Theirs>,
}

#[derive(Debug)]
struct Ours {
    token: Token,
    to: Option<Jid>,
    asked: Instant,
    deadline: Instant,
}

#[derive(Debug)]
struct Theirs {
    from: Option<String>,
    id: String,
    deadline: Instant,
}

/// What an `iq` that arrived leads to.
#[derive(Debug)]
pub(crate) enum Reaction {
    /// One of ours is answered.
    Done(Token, Result<Element, IqError>),
    /// The application is asked.
    Ask(Token, Element),
    /// The client answers by itself.
    Answer(Element),
    /// Nothing.
    Drop(DropReason),
}

impl IqTable {
    /// How many of ours are pending.
    pub(crate) fn ours(&self) -> usize {
        self.ours.len()
    }

    /// Remembers a request of ours.
    pub(crate) fn asked(&mut self, id: String, token: Token, to: Option<Jid>, asked: Instant, deadline: Instant) {
        let ours = Ours {
            token,
            to,
            asked,
            deadline,
        };
        self.ours.insert(id, ours);
    }

    /// The host reads again, for the first time since `since`: answers could not arrive meanwhile.
    pub(crate) fn resumed(&mut self, since: Instant, now: Instant) {
        for ours in self.ours.values_mut() {
            ours.deadline = ours.deadline + now.since(since.max(ours.asked));
        }
    }

    /// Forgets a request of ours, if it is pending.
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        let before = self.ours.len();
        self.ours.retain(|_, ours| ours.token != token);
        self.ours.len() != before
    }

    /// The application's answer to a request, as the `iq` to send; `None` if there is no such request.
    pub(crate) fn answer(
        &self,
        token: Token,
        result: &Result<Option<Element>, StanzaError>,
    ) -> Option<Result<Element, InvalidXml>> {
        let theirs = self.theirs.get(&token)?;
        Some(stanza::answer(&theirs.id, theirs.from.as_deref(), result))
    }

    /// The answer is on its way: there is no second one.
    pub(crate) fn answered_theirs(&mut self, token: Token) {
        self.theirs.remove(&token);
    }

    /// An `iq` arrived. `next_token` is used up only if the application is asked.
    pub(crate) fn received(&mut self, iq: Element, me: &Jid, rules: &Rules<'_>) -> Reaction {
        let Some(id) = iq.attribute("id").map(ToString::to_string) else {
            return Reaction::Drop(DropReason::Malformed);
        };
        let from = sender(&iq);
        let answer = |result: Result<Option<Element>, StanzaError>| {
            // The parts of an answer came through the parser, so it can be written again.
            stanza::answer(&id, from.as_deref(), &result)
                .map_or(Reaction::Drop(DropReason::Malformed), Reaction::Answer)
        };
        match iq.attribute("type") {
            Some("result" | "error") => self.answered(iq, &id, me),
            Some("get" | "set") => {
                // RFC 6120 §8.2.3: exactly one payload.
                if iq.children().count() != 1 {
                    return answer(Err(StanzaError::bad_request()));
                }
                if iq.child(NS_PING, "ping").is_some() && iq.attribute("type") == Some("get") {
                    return answer(Ok(None));
                }
                let served = |payload: ElementRef<'_>| {
                    rules
                        .answered_namespaces
                        .iter()
                        .any(|namespace| namespace == payload.namespace())
                };
                if !iq.children().any(served) {
                    // RFC 6120 §8.4.
                    return answer(Err(StanzaError::service_unavailable()));
                }
                if self.theirs.len() >= rules.pending {
                    return answer(Err(StanzaError::resource_constraint()));
                }
                self.theirs.insert(
                    rules.token,
                    Theirs {
                        from,
                        id,
                        deadline: rules.reply_by,
                    },
                );
                Reaction::Ask(rules.token, iq)
            }
            Some(_) | None => answer(Err(StanzaError::bad_request())),
        }
    }

    fn answered(&mut self, iq: Element, id: &str, me: &Jid) -> Reaction {
        let Some(ours) = self.ours.get(id) else {
            return Reaction::Drop(DropReason::UnexpectedAnswer);
        };
        if !may_answer(ours.to.as_ref(), iq.attribute("from"), me) {
            return Reaction::Drop(DropReason::UnexpectedAnswer);
        }
        let token = ours.token;
        self.ours.remove(id);
        if iq.attribute("type") == Some("error") {
            return Reaction::Done(token, Err(IqError::Error(StanzaError::read(iq.root()))));
        }
        Reaction::Done(token, Ok(iq))
    }

    /// What has run out of time: tokens of ours, and answers to send for the application.
    ///
    /// What waits for others has all the time in the world while the host does not read.
    pub(crate) fn expired(&mut self, now: Instant, reading: bool) -> (Vec<Token>, Vec<(Token, Element)>) {
        let is_late = |ours: &Ours| reading && ours.deadline <= now;
        let mut late: Vec<Token> = self
            .ours
            .values()
            .filter(|ours| is_late(ours))
            .map(|ours| ours.token)
            .collect();
        late.sort_unstable();
        self.ours.retain(|_, ours| !is_late(ours));
        let unanswered: Vec<Token> = self
            .theirs
            .iter()
            .filter(|(_, theirs)| theirs.deadline <= now)
            .map(|(token, _)| *token)
            .collect();
        let refusal = Err(StanzaError::service_unavailable());
        let answers = unanswered
            .into_iter()
            .filter_map(|token| {
                let answer = self.answer(token, &refusal)?.ok()?;
                self.answered_theirs(token);
                Some((token, answer))
            })
            .collect();
        (late, answers)
    }

    pub(crate) fn deadline(&self, reading: bool, earliest: &mut Earliest) {
        let ours = self.ours.values().map(|ours| ours.deadline).min();
        earliest.offer(ours.filter(|_| reading), Timer::IqTimeout);
        earliest.offer(self.theirs.values().map(|theirs| theirs.deadline).min(), Timer::IqReply);
    }

    /// The session is gone, but for what was never sent in it: the tokens of the rest of ours, in the order in which they
    /// were given out. Nobody waits for our answers any more.
    pub(crate) fn forget(&mut self, unsent: &[Token]) -> Vec<Token> {
        self.theirs.clear();
        let mut tokens: Vec<Token> = self.ours.values().map(|ours| ours.token).collect();
        tokens.retain(|token| !unsent.contains(token));
        self.ours.retain(|_, ours| unsent.contains(&ours.token));
        tokens.sort_unstable();
        tokens
    }

    /// The session is over: the tokens of ours, in the order in which they were given out.
    pub(crate) fn clear(&mut self) -> Vec<Token> {
        self.theirs.clear();
        let mut tokens: Vec<Token> = core::mem::take(&mut self.ours)
            .into_values()
            .map(|ours| ours.token)
            .collect();
        tokens.sort_unstable();
        tokens
    }
}

/// What `received` has to know.
pub(crate) struct Rules<'a> {
    pub(crate) answered_namespaces: &'a [String],
    pub(crate) pending: usize,
    pub(crate) token: Token,
    pub(crate) reply_by: Instant,
}

/// Whether `from` may answer a request to `to` (RFC 6120 §8.1.2.1, §10.3.3): anybody can guess or see an id, so the sender
/// decides.
pub(super) fn may_answer(to: Option<&Jid>, from: Option<&str>, me: &Jid) -> bool {
    let from = match from.map(Jid::from_server) {
        None => None,
        Some(Ok(from)) => Some(from),
        Some(Err(_)) => return false,
    };
    let own_bare = |jid: &Jid| jid.resource().is_none() && jid.bare() == me.bare();
    let own_domain = |jid: &Jid| jid.local().is_none() && jid.resource().is_none() && jid.domain() == me.domain();
    match (to, from) {
        (None, None) => true,
        // Servers were seen to answer for the account with any of these.
        (None, Some(from)) => own_bare(&from) || own_domain(&from) || from == *me,
        (Some(to), None) => own_bare(to),
        (Some(to), Some(from)) => *to == from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_answer() {
        let me = Jid::parse("u@e.org/r").unwrap();
        let rows: [(Option<&str>, Option<&str>, bool); 22] = [
            (None, None, true),
            (None, Some("u@e.org"), true),
            (None, Some("e.org"), true),
            (None, Some("u@e.org/r"), true),
            (None, Some("u@e.org/other"), false),
            (None, Some("x@e.org"), false),
            (None, Some("evil.org"), false),
            (None, Some("@@"), false),
            (Some("u@e.org"), None, true),
            (Some("u@e.org"), Some("u@e.org"), true),
            (Some("u@e.org"), Some("e.org"), false),
            (Some("e.org"), Some("e.org"), true),
            (Some("e.org"), Some("E.ORG"), true),
            (Some("e.org"), None, false),
            (Some("e.org"), Some("u@e.org"), false),
            (Some("a@b/c"), Some("a@b/c"), true),
            (Some("a@b/c"), Some("A@B/c"), true),
            (Some("a@b/c"), Some("a@b"), false),
            (Some("a@b/c"), Some("a@b/C"), false),
            (Some("a@b/c"), None, false),
            (Some("a@b"), Some("a@b"), true),
            (Some("a@b"), Some("a@b/x"), false),
        ];
        for (to, from, expected) in rows {
            let to = to.map(|to| Jid::parse(to).unwrap());
            assert_eq!(
                may_answer(to.as_ref(), from, &me),
                expected,
                "{to:?} answered by {from:?}"
            );
        }
    }
}
