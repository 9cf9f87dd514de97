//! Stanzas between the application and the session: what is taken, queued, answered, taken back, and handed up.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Client, unix_ms};
use crate::config::Acknowledge;
use crate::error::{DropReason, InvalidStanza, IqError, Misuse, Offline, PeerMisbehaved, Refused, Warning};
use crate::input::{StanzaError, Token};
use crate::jid::Jid;
use crate::link::Outgoing;
use crate::output::{Event, Stage};
use crate::session::iq::{self, Rules};
use crate::session::stanza;
use crate::session::stream_management::{Handling, Reaction};
use crate::xml::Element;

impl Client {
    pub(super) fn send(&mut self, mut stanza: Element) -> Result<Token, Refused> {
        let online = self.is_online();
        let Some(session) = &self.session else {
            return Err(Refused::NotStarted);
        };
        let me = session.jid.as_ref().unwrap_or(&self.config.jid);
        stanza::check_message_or_presence(&stanza, me).map_err(|why| Refused::Invalid { why })?;
        // A presence is about a session; without one it says nothing.
        if session.leaving || (!online && stanza.name() == "presence") {
            return Err(Refused::NotStarted);
        }
        if stanza.attribute("id").is_none() {
            // Hexadecimal digits are XML in any place.
            let _ = stanza.set_attribute("id", &self.random.id());
        }
        let token = Token(self.ids.token);
        let outgoing = Outgoing::new(&stanza, Some(token));
        self.check_room(&outgoing)?;
        let token = self.ids.token();
        self.outputs.event(Event::Delivery {
            token,
            stage: Stage::Queued,
        });
        self.enqueue(outgoing);
        Ok(token)
    }

    pub(super) fn request(&mut self, mut iq: Element, timeout: Option<Duration>) -> Result<Token, Refused> {
        let Some(session) = &mut self.session else {
            return Err(Refused::NotStarted);
        };
        let me = session.jid.as_ref().unwrap_or(&self.config.jid);
        stanza::check_iq_request(&iq, me).map_err(|why| Refused::Invalid { why })?;
        if session.leaving {
            return Err(Refused::NotStarted);
        }
        if session.iq.ours() >= self.config.limits.pending_requests {
            session.full = true;
            return Err(Refused::Full);
        }
        let id = self.random.id();
        // Hexadecimal digits are XML in any place.
        let _ = iq.set_attribute("id", &id);
        let to = iq.attribute("to").and_then(|to| Jid::from_server(to).ok());
        let outgoing = Outgoing::request(&iq, Token(self.ids.token));
        self.check_room(&outgoing)?;
        let token = self.ids.token();
        let deadline = self.now + timeout.unwrap_or(self.config.timeouts().iq);
        if let Some(session) = &mut self.session {
            session.iq.asked(id, token, to, self.now, deadline);
        }
        self.enqueue(outgoing);
        Ok(token)
    }

    pub(super) fn respond(
        &mut self,
        token: Token,
        result: &Result<Option<Element>, StanzaError>,
    ) -> Result<(), Refused> {
        let unknown = Refused::Misuse(Misuse::UnknownToken);
        let Some(session) = &mut self.session else {
            return Err(unknown);
        };
        if session.leaving {
            return Err(Refused::NotStarted);
        }
        let Some(answer) = session.iq.answer(token, result) else {
            return Err(unknown);
        };
        // Where the answer is refused, the request stays, to be answered better.
        let Ok(answer) = answer else {
            return Err(Refused::Invalid {
                why: InvalidStanza::ErrorCondition,
            });
        };
        let outgoing = Outgoing::new(&answer, None);
        let maximum = session.offers.max_bytes.unwrap_or(usize::MAX);
        let (bytes, maximum) = (outgoing.xml.len(), self.config.limits.outbound_stanza.min(maximum));
        if bytes > maximum {
            return Err(Refused::TooLarge { bytes, maximum });
        }
        session.iq.answered_theirs(token);
        session.stream.handled(token);
        self.enqueue(outgoing);
        Ok(())
    }

    pub(super) fn cancel(&mut self, token: Token) {
        let unwritten = self.take_back(token);
        let Some(session) = &mut self.session else { return };
        if session.iq.cancel(token) {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Cancelled),
            });
        } else if unwritten {
            session.stream.cancelled(token);
            self.outputs.event(Event::Delivery {
                token,
                stage: Stage::Failed,
            });
        }
    }

    /// With manual acknowledgement: the application has dealt with it.
    pub(super) fn handled(&mut self, token: Token) -> Result<(), Refused> {
        let known = self
            .session
            .as_mut()
            .is_some_and(|session| session.stream.handled(token));
        // What belonged to a session that is gone has nobody to tell any more.
        if known || token.0 < self.ids.token {
            return Ok(());
        }
        Err(Refused::Misuse(Misuse::UnknownToken))
    }

    /// A stanza arrived. Every one counts (XEP-0198 §4), also those that are dropped or answered here.
    pub(super) fn stanza(&mut self, stanza: Element) {
        // XEP-0198 §4: there are three kinds of stanzas, whatever else may be in their namespace.
        let counts = matches!(stanza.name(), "message" | "presence" | "iq");
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        let pinged = session
            .jid
            .as_ref()
            .and_then(|me| session.stream.answered(now, &stanza, me));
        let event = match pinged {
            Some(acked) => {
                let h = session.stream.acked_count();
                self.keeper.acked(h);
                for token in acked {
                    self.delivery(token, Stage::Acked);
                }
                None
            }
            None => self.judge_stanza(stanza),
        };
        let manual = self.config.acknowledge == Acknowledge::Manual;
        let token = match &event {
            Some(Event::Stanza { token, .. }) => *token,
            Some(Event::Request { token, .. }) => Some(*token).filter(|_| manual),
            Some(_) | None => None,
        };
        if let Some(session) = self.session.as_mut().filter(|_| counts) {
            session.stream.received(token.map_or(Handling::Now, Handling::Later));
        }
        if let Some(event) = event {
            self.outputs.event(event);
        }
    }

    /// What becomes of a stanza, after the checks on who sent it.
    fn judge_stanza(&mut self, stanza: Element) -> Option<Event> {
        let reply_by = self.now + self.config.timeouts().iq;
        let bytes = self.outbound_bytes();
        let limit = self.config.limits.outbound_queue;
        let manual = self.config.acknowledge == Acknowledge::Manual;
        let session = self.session.as_mut()?;
        let me = session.jid.as_ref()?;
        let dropped = |reason| Some(Event::Warning(Warning::Dropped { reason }));
        if stanza
            .attribute("from")
            .is_some_and(|from| Jid::from_server(from).is_err())
        {
            return dropped(DropReason::From);
        }
        if let Some(to) = stanza.attribute("to") {
            // RFC 6120 §8.1.1: what is for somebody else is a mistake of the server's, or worse. Mostly it is our address as it is.
            let mine = to == me.as_str()
                || Jid::from_server(to)
                    .is_ok_and(|to| to.bare() == me.bare() && to.resource().is_none_or(|_| to == *me));
            if !mine {
                return dropped(DropReason::To);
            }
        }
        match stanza.name() {
            "message" | "presence" => {
                let token = manual.then(|| self.ids.token());
                Some(Event::Stanza { stanza, token })
            }
            "iq" => {
                let rules = Rules {
                    answered_namespaces: self.config.answered_namespaces.as_slice(),
                    pending: self.config.limits.pending_requests,
                    token: Token(self.ids.token),
                    reply_by,
                };
                match session.iq.received(stanza, me, &rules) {
                    iq::Reaction::Done(token, result) => Some(Event::IqDone { token, result }),
                    iq::Reaction::Ask(token, iq) => {
                        self.ids.token();
                        Some(Event::Request { token, iq })
                    }
                    iq::Reaction::Answer(_) if session.leaving => None,
                    // Whoever asks faster than answers can leave must not make us remember them all.
                    // The application's own stanzas may fill the queue once; what is more than that is answers.
                    iq::Reaction::Answer(_) if bytes > limit.saturating_mul(2) => {
                        self.finish(Offline::Misbehaved(PeerMisbehaved::TooManyRequests));
                        None
                    }
                    iq::Reaction::Answer(answer) => {
                        self.enqueue(Outgoing::new(&answer, None));
                        None
                    }
                    iq::Reaction::Drop(reason) => dropped(reason),
                }
            }
            // RFC 6120 §4.9.3.24: there are three kinds of stanzas.
            _ => None,
        }
    }

    pub(super) fn check_room(&mut self, outgoing: &Outgoing) -> Result<(), Refused> {
        let queued = self.outbound_bytes();
        let Some(session) = &mut self.session else {
            return Err(Refused::NotStarted);
        };
        // What no empty queue would hold, or no server would take (XEP-0478), must not be tried again and again.
        let maximum = self
            .config
            .limits
            .outbound_stanza
            .min(self.config.limits.outbound_queue)
            .min(session.offers.max_bytes.unwrap_or(usize::MAX));
        let bytes = outgoing.xml.len();
        if bytes > maximum {
            return Err(Refused::TooLarge { bytes, maximum });
        }
        if queued.saturating_add(bytes) > self.config.limits.outbound_queue
            || session.stream.unacknowledged().saturating_add(session.waiting.len())
                >= self.config.limits.unacknowledged
        {
            session.full = true;
            return Err(Refused::Full);
        }
        Ok(())
    }

    /// Into the link, or into the queue before it: nothing is written before a resource is bound (RFC 6120 §7.1).
    pub(super) fn enqueue(&mut self, outgoing: Outgoing) {
        let Some(session) = &mut self.session else { return };
        if session.leaving {
            // Nothing follows a goodbye (RFC 6120 §4.4).
            return;
        }
        self.keeper.queued(&outgoing, &session.stream);
        session.wait(outgoing);
        self.send_waiting();
    }

    /// What was taken before anybody knew what the server takes may be too large for it (XEP-0478).
    pub(super) fn drop_too_large(&mut self) {
        let Some(session) = &self.session else { return };
        let Some(max_bytes) = session.offers.max_bytes else {
            return;
        };
        let too_large: Vec<_> = session
            .waiting
            .iter()
            .filter(|outgoing| outgoing.xml.len() > max_bytes)
            .filter_map(|outgoing| Some((outgoing.token.or(outgoing.request)?, outgoing.request.is_some())))
            .collect();
        for (token, is_request) in too_large {
            self.take_back(token);
            if is_request {
                self.unanswered(token);
            } else {
                self.delivery(token, Stage::Failed);
            }
        }
    }

    /// What waits goes into the link, as far as it takes it.
    pub(super) fn send_waiting(&mut self) {
        let unix_ms = unix_ms(self.wall, self.now);
        let now = self.now;
        let (Some(session), Some(connection)) = (&mut self.session, &mut self.connection) else {
            return;
        };
        // Nothing follows a goodbye (RFC 6120 §4.4).
        if !connection.online || session.leaving {
            return;
        }
        while !session.stream.is_full() {
            let Some(outgoing) = session.waiting.pop_front() else {
                break;
            };
            session.waiting_bytes = session.waiting_bytes.saturating_sub(outgoing.xml.len());
            if let Some(written) = connection.link.send(outgoing) {
                session.stream.sent(now, &written, unix_ms);
                self.keeper.sent(unix_ms);
            }
        }
        if session.waiting.is_empty() {
            // An idle client holds no memory for a burst that is over.
            session.waiting = VecDeque::new();
        }
    }

    /// An element of XEP-0198.
    pub(super) fn stream_management(&mut self, element: &Element) {
        let now = self.now;
        let Some((session, Some(connection), _)) = self.parts() else {
            return;
        };
        if !connection.link.traits().stream_management {
            return;
        }
        match session.stream.handle(now, element) {
            Ok(Reaction::Nothing) => {}
            Ok(Reaction::Enabled { .. }) => self.keeper.whole(),
            Ok(Reaction::Acked(tokens)) => {
                let h = session.stream.acked_count();
                self.keeper.acked(h);
                for token in tokens {
                    self.delivery(token, Stage::Acked);
                }
                self.send_waiting();
            }
            Ok(Reaction::Refused { condition }) => {
                self.keeper.whole();
                self.outputs
                    .event(Event::Warning(Warning::NoStreamManagement { condition }));
            }
            Err(error) => self.finish(Offline::Misbehaved(error)),
        }
    }

    /// The end of a turn: what was received is acknowledged if somebody asked, and what was sent is asked about if it is time.
    pub(super) fn acknowledge(&mut self) {
        let Some((session, Some(connection), cx)) = self.parts() else {
            return;
        };
        if !connection.online || session.leaving {
            return;
        }
        if let Some(nonza) = session.client_state.due() {
            connection.link.send(Outgoing::raw(nonza));
        }
        let turn = session.stream.turn_end(cx.now, || cx.random.id());
        if let Some(answer) = turn.answer {
            connection.link.send(Outgoing::raw(answer));
        }
        if let Some(question) = turn.question {
            connection.link.send(Outgoing::raw(question));
            let unwritten = u64::try_from(connection.link.pending_bytes()).unwrap_or(u64::MAX);
            if let Some(liveness) = &mut connection.liveness {
                liveness.asked(cx.now, unwritten);
            }
        }
    }
}
