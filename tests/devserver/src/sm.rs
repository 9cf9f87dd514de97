//! Stream management (XEP-0198): what is counted and kept for one session, and the elements that are about it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::hub::{Client, Hub};
use crate::links::{Link, Next};
use crate::stream::{Action, State, hex};
use crate::xml::{Element, escape};

pub(crate) const SM: &str = "urn:xmpp:sm:3";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// Sessions that ended and whose counts are still known.
const REMEMBERED: usize = 1000;

/// A stanza that the client has not acknowledged.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) xml: String,
    /// It came from another user, who will want to know if it is never delivered.
    pub(crate) routed: Option<Element>,
}

/// The counts of one session.
#[derive(Debug)]
pub(crate) struct Sm {
    /// With it, the session can be resumed.
    id: Option<String>,
    /// How long it waits to be resumed.
    pub(crate) max: Duration,
    /// Stanzas of the client that were handled.
    received: u32,
    /// Stanzas to the client that it acknowledged.
    acknowledged: u32,
    pub(crate) unacknowledged: VecDeque<Kept>,
    /// An `<r/>` is on its way, or its answer.
    asked: bool,
    /// Stanzas sent since the last `<r/>`.
    since_asked: u32,
}

/// What is left of a session that ended.
#[derive(Debug)]
pub(crate) struct Tombstone {
    id: String,
    user: String,
    received: u32,
}

/// A session without a connection.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) link: Link,
    pub(crate) until: Instant,
}

/// How `<resume/>` ended.
#[derive(Debug)]
pub(crate) enum Resumption {
    /// `<resumed/>`, and the stanzas to send again after it.
    Resumed { answer: String, again: Vec<String> },
    /// `<failed/>`.
    Failed(String),
    /// The stream is over.
    Ended,
}

impl Sm {
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// One more stanza came (XEP-0198 §4: `h` counts modulo 2^32).
    pub(crate) fn count(&mut self) {
        self.received = self.received.wrapping_add(1);
    }

    pub(crate) fn answer(&self) -> String {
        format!("<a xmlns='{SM}' h='{}'/>", self.received)
    }

    /// One more stanza goes out. True if the client is to be asked whether it came.
    pub(crate) fn keep(&mut self, kept: Kept, ask_every: u32, connected: bool) -> bool {
        self.unacknowledged.push_back(kept);
        self.since_asked = self.since_asked.saturating_add(1);
        connected && self.is_time_to_ask(ask_every)
    }

    fn is_time_to_ask(&mut self, ask_every: u32) -> bool {
        let ask = ask_every != 0 && !self.asked && self.since_asked >= ask_every;
        if ask {
            (self.asked, self.since_asked) = (true, 0);
        }
        ask
    }

    /// The client says how many it has handled. `Err` has how many were sent.
    fn acknowledge(&mut self, handled: u32) -> Result<(), u32> {
        let new = handled.wrapping_sub(self.acknowledged) as usize;
        if new > self.unacknowledged.len() {
            let sent = self.acknowledged.wrapping_add(self.unacknowledged.len() as u32);
            return Err(sent);
        }
        self.unacknowledged.drain(..new);
        self.acknowledged = handled;
        Ok(())
    }
}

impl Hub {
    /// An element of this namespace, over TCP or WebSocket.
    pub(crate) fn manage(&mut self, id: u64, element: &Element) -> Next {
        match element.name.as_str() {
            "enable" => self.enable(id, element),
            "resume" => return self.resume(id, element),
            "r" | "a" => return self.acknowledgement(id, element),
            name => {
                self.violate(format!("<{}/> of {SM} is not for clients", escape(name)));
                self.end_link(id, "unsupported-stanza-type", "", false);
                return Next::Close;
            }
        }
        Next::Continue
    }

    /// XEP-0198 §3.
    fn enable(&mut self, id: u64, element: &Element) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let wrong = match (&link.stream.state, &link.sm) {
            (State::Bound { .. }, None) => None,
            (State::Bound { .. }, Some(_)) => Some("<enable/> for the second time"),
            (State::Authenticating(_) | State::Authenticated { .. } | State::Restarted { .. }, _) => {
                Some("<enable/> before binding a resource")
            }
        };
        if let Some(wrong) = wrong {
            link.send(&failed("unexpected-request", None));
            self.violate(wrong.into());
            return;
        }
        let answer = self.try_enable(id, element);
        if let Some(link) = self.links.get_mut(&id) {
            link.send(&answer);
        }
    }

    /// `<enabled/>` or `<failed/>`, for a stream that is bound.
    pub(crate) fn try_enable(&mut self, id: u64, element: &Element) -> String {
        let refused = self.faults_of(id).is_some_and(|faults| faults.refuse_enable);
        let session_id = hex(&self.accounts.random_bytes::<16>());
        let Some(offer) = self.settings.stream_management.clone() else {
            self.violate("<enable/> where stream management is not offered".into());
            return failed("feature-not-implemented", None);
        };
        if refused {
            return failed("internal-server-error", None);
        }
        let resumable = matches!(element.attribute("resume"), Some("true" | "1"));
        // XEP-0198 §3: the client may ask for less than the server would wait.
        let wanted = element.attribute("max").and_then(|max| max.parse::<u16>().ok());
        let max = wanted.map_or(offer.max, |wanted| wanted.min(offer.max));
        let mut attributes = String::new();
        if resumable {
            attributes = format!(" resume='true' id='{session_id}' max='{max}'");
            if let Some(location) = &offer.location {
                attributes.push_str(&format!(" location='{}'", escape(location)));
            }
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.sm = Some(Sm {
                id: resumable.then_some(session_id),
                max: Duration::from_secs(u64::from(max)),
                received: 0,
                acknowledged: 0,
                unacknowledged: VecDeque::new(),
                asked: false,
                since_asked: 0,
            });
        }
        self.statistics.enables += 1;
        format!("<enabled xmlns='{SM}'{attributes}/>")
    }

    /// XEP-0198 §4.
    fn acknowledgement(&mut self, id: u64, element: &Element) -> Next {
        let ask_every = self.ask_every();
        let Some(link) = self.links.get_mut(&id) else {
            return Next::Close;
        };
        let Some(sm) = &mut link.sm else {
            self.violate(format!("<{}/> before stream management was enabled", element.name));
            return Next::Continue;
        };
        if element.name == "r" {
            let answer = sm.answer();
            link.send(&answer);
            return Next::Continue;
        }
        let Some(handled) = element.attribute("h").and_then(|h| h.parse().ok()) else {
            self.violate("<a/> without a count in `h`".into());
            self.end_link(id, "bad-format", "", false);
            return Next::Close;
        };
        sm.asked = false;
        match sm.acknowledge(handled) {
            Ok(()) => {
                if sm.is_time_to_ask(ask_every) {
                    link.send(ASK);
                }
                Next::Continue
            }
            Err(sent) => self.too_high(id, handled, sent),
        }
    }

    /// XEP-0198 §4: the client acknowledges what it was never sent.
    fn too_high(&mut self, id: u64, handled: u32, sent: u32) -> Next {
        self.violate(format!("h='{handled}' where {sent} stanzas were sent"));
        let detail = format!("<handled-count-too-high xmlns='{SM}' h='{handled}' send-count='{sent}'/>");
        self.end_link(id, "undefined-condition", &detail, false);
        Next::Close
    }

    /// XEP-0198 §5.
    fn resume(&mut self, id: u64, element: &Element) -> Next {
        let Some(link) = self.links.get_mut(&id) else {
            return Next::Close;
        };
        let State::Restarted { user } = &link.stream.state else {
            let wrong = match &link.stream.state {
                State::Bound { .. } => "<resume/> after binding a resource",
                State::Authenticating(_) | State::Authenticated { .. } | State::Restarted { .. } => {
                    "<resume/> before login"
                }
            };
            link.send(&failed("unexpected-request", None));
            self.violate(wrong.into());
            return Next::Continue;
        };
        let user = user.clone();
        let (answer, again) = match self.try_resume(id, element, &user) {
            Resumption::Resumed { answer, again } => (answer, again),
            Resumption::Failed(answer) => (answer, Vec::new()),
            Resumption::Ended => return Next::Close,
        };
        if let Some(link) = self.links.get_mut(&id) {
            link.send(&answer);
        }
        self.send_again(id, &again);
        Next::Continue
    }

    /// After `<resumed/>`: what the client may not have got.
    pub(crate) fn send_again(&mut self, id: u64, again: &[String]) {
        if let Some(link) = self.links.get_mut(&id)
            && !again.is_empty()
        {
            for stanza in again {
                link.send(stanza);
            }
            link.send(ASK);
        }
    }

    /// Gives a stream that this user has logged in on the state of another.
    pub(crate) fn try_resume(&mut self, id: u64, element: &Element, user: &str) -> Resumption {
        let refused = self.faults_of(id).is_some_and(|faults| faults.refuse_resume);
        let handled = element.attribute("h").and_then(|h| h.parse::<u32>().ok());
        let (Some(previous), Some(handled)) = (element.attribute("previd"), handled) else {
            self.violate("<resume/> without `previd` or without a count in `h`".into());
            self.statistics.failed_resumes += 1;
            return Resumption::Failed(failed("bad-request", None));
        };
        let is_theirs =
            |link: &Link| link.stream.user() == Some(user) && link.sm.as_ref().and_then(Sm::id) == Some(previous);
        let waiting = self.waiting.iter().position(|waiting| is_theirs(&waiting.link));
        let connected = self.links.iter().find(|(_, link)| is_theirs(link)).map(|(id, _)| *id);
        if refused {
            // The session ends as it would have by itself.
            if let Some(old) = connected {
                self.end_link(old, "reset", "", false);
            }
            if let Some(Waiting { link, .. }) = waiting.and_then(|at| self.waiting.remove(at)) {
                self.bury(link);
            }
            return self.no_such_session(previous, user);
        }
        let old = if let Some(at) = waiting {
            self.waiting.remove(at).map(|waiting| waiting.link)
        } else {
            // XEP-0198 §5: the old stream ends with `conflict`; only its connection goes.
            connected.and_then(|old| {
                let mut link = self.links.remove(&old)?;
                link.finish("conflict", "");
                Some(link)
            })
        };
        let Some(Link {
            stream, sm: Some(sm), ..
        }) = old
        else {
            return self.no_such_session(previous, user);
        };
        let Some(link) = self.links.get_mut(&id) else {
            return Resumption::Ended;
        };
        link.stream.state = stream.state;
        let sm = link.sm.insert(sm);
        if let Err(sent) = sm.acknowledge(handled) {
            self.too_high(id, handled, sent);
            return Resumption::Ended;
        }
        let again: Vec<String> = sm.unacknowledged.iter().map(|kept| kept.xml.clone()).collect();
        (sm.asked, sm.since_asked) = (!again.is_empty(), 0);
        let answer = format!(
            "<resumed xmlns='{SM}' previd='{}' h='{}'/>",
            escape(previous),
            sm.received
        );
        self.statistics.resumes += 1;
        Resumption::Resumed { answer, again }
    }

    /// XEP-0198 §5: `h` tells what of the client's was handled, while that is known. The client may bind instead.
    fn no_such_session(&mut self, previous: &str, user: &str) -> Resumption {
        let known = self
            .tombstones
            .iter()
            .find(|stone| stone.id == previous && stone.user == user)
            .map(|stone| stone.received);
        self.statistics.failed_resumes += 1;
        Resumption::Failed(failed("item-not-found", known))
    }

    /// A session is over for good: its count is remembered, and who wrote to it hears that it was in vain.
    pub(crate) fn bury(&mut self, link: Link) {
        let user = link.stream.user().unwrap_or_default().to_owned();
        let Some(sm) = link.sm else { return };
        if let Some(id) = sm.id {
            self.tombstones.push_back(Tombstone {
                id,
                user,
                received: sm.received,
            });
            if self.tombstones.len() > REMEMBERED {
                self.tombstones.pop_front();
            }
        }
        for kept in sm.unacknowledged {
            if let Some(stanza) = kept.routed {
                self.bounce(&stanza, "wait", "recipient-unavailable");
            }
        }
    }

    /// The sender of a stanza is told that it could not be delivered.
    fn bounce(&mut self, stanza: &Element, kind: &str, condition: &str) {
        // RFC 6120 §8.3.1: errors and results are not answered; presence is dropped.
        let of = stanza.attribute("type").unwrap_or_default();
        if matches!(of, "error" | "result") || stanza.name == "presence" {
            return;
        }
        let sender = stanza.attribute("from").unwrap_or_default();
        let reply = crate::stream::error(stanza, sender, kind, condition);
        if let Some(client) = self.client_at(sender) {
            self.perform(&client, Action::Stanza(reply));
        }
    }

    /// Who has this full JID now.
    fn client_at(&self, jid: &str) -> Option<Client> {
        let domain = &self.settings.domain;
        let bosh = self
            .sessions
            .iter()
            .find(|(_, session)| !session.is_over() && session.stream.jid(domain).as_deref() == Some(jid));
        let link = || {
            self.links
                .iter()
                .find(|(_, link)| link.stream.jid(domain).as_deref() == Some(jid))
        };
        bosh.map(|(sid, _)| Client::Bosh(sid.clone()))
            .or_else(|| link().map(|(id, _)| Client::Link(*id)))
    }

    pub(crate) fn ask_every(&self) -> u32 {
        self.settings.stream_management.as_ref().map_or(0, |sm| sm.ask_every)
    }
}

pub(crate) const ASK: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn failed(condition: &str, handled: Option<u32>) -> String {
    let handled = handled.map(|h| format!(" h='{h}'")).unwrap_or_default();
    format!("<failed xmlns='{SM}'{handled}><{condition} xmlns='{STANZAS}'/></failed>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_around_after_two_to_the_32() {
        let mut sm = Sm {
            id: None,
            max: Duration::ZERO,
            received: u32::MAX,
            acknowledged: u32::MAX - 1,
            unacknowledged: VecDeque::new(),
            asked: false,
            since_asked: 0,
        };
        sm.count();
        assert_eq!(sm.answer(), "<a xmlns='urn:xmpp:sm:3' h='0'/>");
        for _ in 0..3 {
            let xml = String::new();
            sm.keep(Kept { xml, routed: None }, 0, true);
        }
        assert_eq!(sm.acknowledge(0), Ok(()));
        assert_eq!(sm.unacknowledged.len(), 1);
        assert_eq!(sm.acknowledge(u32::MAX), Err(1), "backwards is too high");
        assert_eq!(sm.acknowledge(2), Err(1));
        assert_eq!(sm.acknowledge(1), Ok(()));
    }
}
