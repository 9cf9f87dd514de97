//! What SASL2 brings with its success: binding (XEP-0386), resumption (XEP-0198 §7), tokens (XEP-0484).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::accounts::Token;
use crate::faults::Transport;
use crate::hub::{Client, Hub};
use crate::login::{BindRequest, Grant, Request};
use crate::sasl::Proved;
use crate::sm::Resumption;
use crate::stream::{Action, BIND2, CARBONS, Context, FAST, SASL2, State, Stream, hex};
use crate::xml::escape;
use crate::{Identifier, Rotation, offer};

/// A client that lost every answer has as many tokens that it never used.
const TOKENS_KEPT: usize = 8;

/// What success was made of, beside the proof.
#[derive(Default)]
struct Outcome {
    /// Elements of success.
    inline: String,
    bound: bool,
    /// Stream management was enabled.
    managed: bool,
    /// Stanzas that the client has not acknowledged, after a resumption.
    resumed: Option<Vec<String>>,
}

impl Hub {
    /// XEP-0388 §2.6.1: success, with all that was asked for in its place, and the features that follow it.
    pub(crate) fn grant(&mut self, client: &Client, grant: Grant) {
        let Grant { proved, request } = grant;
        let Some(stream) = self.stream_mut(client) else { return };
        stream.state = State::Restarted {
            user: proved.user.clone(),
        };
        let mut outcome = Outcome::default();
        if let (Some(resume), Client::Link(id)) = (&request.resume, client) {
            match self.try_resume(*id, resume, &proved.user) {
                Resumption::Resumed { answer, again } => {
                    outcome.inline.push_str(&answer);
                    outcome.resumed = Some(again);
                }
                Resumption::Failed(answer) => outcome.inline.push_str(&answer),
                Resumption::Ended => return,
            }
        }
        // XEP-0198 §7: who resumes has a resource already.
        if let (Some(bind), None) = (&request.bind, &outcome.resumed) {
            self.bind_inline(client, &proved.user, bind, &mut outcome);
        }
        self.statistics.logins += 1;
        let token = self.token(&proved, &request);
        let identifier = self.identifier(client, &proved.user);
        let data = proved
            .data
            .map(|data| element("additional-data", &STANDARD.encode(data)));
        let success = format!(
            "<success xmlns='{SASL2}'>{}{identifier}{}{token}</success>",
            data.unwrap_or_default(),
            outcome.inline
        );
        self.perform(client, Action::Reply(success));
        if let (Some(again), Client::Link(id)) = (&outcome.resumed, client) {
            self.send_again(*id, again);
        }
        if outcome.resumed.is_none() || self.options.features_after_resumption {
            let features = self.features_after(client, &outcome);
            self.perform(client, Action::Reply(features));
        }
    }

    fn stream_mut(&mut self, client: &Client) -> Option<&mut Stream> {
        match client {
            Client::Bosh(sid) => self.sessions.get_mut(sid).map(|session| &mut session.stream),
            Client::Link(id) => self.links.get_mut(id).map(|link| &mut link.stream),
        }
    }

    /// XEP-0386 §3.2. The server chooses the resource.
    fn bind_inline(&mut self, client: &Client, user: &str, bind: &BindRequest, outcome: &mut Outcome) {
        let random = URL_SAFE_NO_PAD.encode(self.accounts.random_bytes::<9>());
        let resource = match &bind.tag {
            Some(tag) => format!("{tag}~{random}"),
            None => random,
        };
        let jid = format!("{user}@{}/{resource}", self.settings.domain);
        if let Some(stream) = self.stream_mut(client) {
            stream.state = State::Bound {
                user: user.to_owned(),
                resource,
            };
        }
        self.perform(client, Action::Bound(jid));
        let mut inside = String::new();
        if let (Some(enable), Client::Link(id)) = (&bind.enable, client) {
            inside.push_str(&self.try_enable(*id, enable));
            outcome.managed = self.links.get(id).is_some_and(|link| link.sm.is_some());
        }
        if bind.carbons {
            inside.push_str(&format!("<enabled xmlns='{CARBONS}'/>"));
            self.statistics.carbons += 1;
        }
        if bind.inactive {
            self.statistics.client_states += 1;
        }
        outcome.bound = true;
        outcome.inline.push_str(&if inside.is_empty() {
            format!("<bound xmlns='{BIND2}'/>")
        } else {
            format!("<bound xmlns='{BIND2}'>{inside}</bound>")
        });
    }

    fn identifier(&mut self, client: &Client, user: &str) -> String {
        let domain = self.settings.domain.clone();
        let full = self.stream_mut(client).and_then(|stream| stream.jid(&domain));
        let right = full.unwrap_or_else(|| format!("{user}@{domain}"));
        match &self.options.identifier {
            Identifier::Right => element("authorization-identifier", &escape(&right)),
            Identifier::Missing => String::new(),
            Identifier::Instead(other) => element("authorization-identifier", &escape(other)),
        }
    }

    /// XEP-0484 §3.3: a new token, where one is due; and what becomes of the one that was used.
    fn token(&mut self, proved: &Proved, request: &Request) -> String {
        let Some(fast) = self.options.fast.clone() else {
            return String::new();
        };
        let secret = format!("secret-token:fast-{}", hex(&self.accounts.random_bytes::<18>()));
        let id = self.accounts.next_token_id();
        let (Some(tokens), Some(agent)) = (self.accounts.tokens_mut(&proved.user), &request.agent) else {
            return String::new();
        };
        let mut due = request.token.as_ref();
        if let Some(used) = proved.token {
            // XEP-0484 §3.5: a token is good until a later one was used.
            tokens.retain(|token| token.agent != *agent || token.mechanism != request.mechanism || token.id >= used);
            if let Some(token) = tokens.iter_mut().find(|token| token.id == used) {
                token.count = request.count.unwrap_or(token.count);
            }
            if request.invalidate {
                tokens.retain(|token| token.id != used);
            } else if fast.rotation == Rotation::EachLogin {
                due = due.or(Some(&request.mechanism));
            }
        }
        let Some(mechanism) = due else { return String::new() };
        let expiry = SystemTime::now() + fast.lifetime;
        let of_agent = tokens.iter().filter(|token| token.agent == *agent).count();
        if of_agent >= TOKENS_KEPT
            && let Some(oldest) = tokens.iter().position(|token| token.agent == *agent)
        {
            tokens.remove(oldest);
        }
        tokens.push(Token {
            id,
            agent: agent.clone(),
            mechanism: mechanism.clone(),
            secret: secret.clone(),
            expiry,
            count: 0,
        });
        format!(
            "<token xmlns='{FAST}' token='{secret}' expiry='{}'/>",
            timestamp(expiry)
        )
    }

    fn features_after(&mut self, client: &Client, outcome: &Outcome) -> String {
        let peer = match client {
            Client::Bosh(sid) => self
                .sessions
                .get(sid)
                .map(|session| (session.creation.clone(), Transport::Bosh)),
            Client::Link(id) => self.links.get(id).map(|link| (link.peer.clone(), link.transport)),
        };
        let Some((peer, transport)) = peer else {
            return String::new();
        };
        let context = Context {
            settings: &self.settings,
            habits: self.habits,
            options: &self.options,
            accounts: &mut self.accounts,
            transport,
            creation: &peer,
            request: &peer,
        };
        if outcome.bound || outcome.resumed.is_some() {
            offer::after_binding(&context, outcome.managed || outcome.resumed.is_some())
        } else {
            offer::after_login(&context)
        }
    }

    /// All streams of an account end: it is no more (XEP-0077 §3.2).
    pub(crate) fn remove_account(&mut self, user: &str) {
        self.accounts.remove(user);
        self.expel(|stream| stream.user() == Some(user));
    }

    /// Streams that must not go on, and those that wait to.
    pub(crate) fn expel(&mut self, is_meant: impl Fn(&Stream) -> bool) {
        let here = |(id, link): (&u64, &crate::links::Link)| is_meant(&link.stream).then_some(*id);
        let links: Vec<u64> = self.links.iter().filter_map(here).collect();
        for id in links {
            self.end_link(id, "not-authorized", "", false);
        }
        self.waiting.retain(|waiting| !is_meant(&waiting.link.stream));
        let there =
            |(sid, session): (&String, &crate::session::Session)| is_meant(&session.stream).then(|| sid.clone());
        let sessions: Vec<String> = self.sessions.iter().filter_map(there).collect();
        for sid in sessions {
            self.perform(&Client::Bosh(sid), Action::StreamError("not-authorized"));
        }
    }
}

fn element(name: &str, text: &str) -> String {
    format!("<{name}>{text}</{name}>")
}

/// XEP-0082: UTC, to the second.
fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .as_ref()
        .map_or(0, Duration::as_secs);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years are counted from March, so that the day that is not in every year is the last one; eras of 400 years are all alike.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_the_calendars() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_796_774_401, "2026-12-09T00:00:01Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
