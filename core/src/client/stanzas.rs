//! Stanzas between the application and the session: what is taken, queued, answered, taken back, and handed up.

use core::time::Duration;

use super::Client;
use crate::error::{DropReason, InvalidStanza, IqError, Misuse, Offline, PeerMisbehaved, Refused, Warning};
use crate::input::{StanzaError, Token};
use crate::jid::Jid;
use crate::link::{Link, Outgoing};
use crate::output::{Event, Stage};
use crate::session::iq::{Reaction, Rules};
use crate::session::stanza;
use crate::xml::Element;

impl Client {
    pub(super) fn send(&mut self, mut stanza: Element) -> Result<Token, Refused> {
        let Some(session) = &self.session else {
            return Err(Refused::NotStarted);
        };
        let me = session.jid.as_ref().unwrap_or(&self.config.jid);
        stanza::check_message_or_presence(&stanza, me).map_err(|why| Refused::Invalid { why })?;
        // A presence is about a session; without one it says nothing.
        if session.leaving || (session.jid.is_none() && stanza.name() == "presence") {
            return Err(Refused::NotStarted);
        }
        if stanza.attribute("id").is_none() {
            // Hexadecimal digits are XML in any place.
            let _ = stanza.set_attribute("id", &self.random.id());
        }
        let token = Token(self.next_token);
        let outgoing = Outgoing::new(&stanza, Some(token));
        self.check_room(&outgoing)?;
        self.next_token = self.next_token.saturating_add(1);
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
        let token = Token(self.next_token);
        let outgoing = Outgoing::request(&iq, token);
        self.check_room(&outgoing)?;
        self.next_token = self.next_token.saturating_add(1);
        let deadline = self.now + timeout.unwrap_or(self.config.timeouts.iq);
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
        let (bytes, maximum) = (outgoing.xml.len(), self.config.limits.outbound_stanza);
        if bytes > maximum {
            return Err(Refused::TooLarge { bytes, maximum });
        }
        session.iq.answered_theirs(token);
        self.enqueue(outgoing);
        Ok(())
    }

    pub(super) fn cancel(&mut self, token: Token) {
        let Some(session) = &mut self.session else { return };
        let unwritten = session.take_back(token);
        if session.iq.cancel(token) {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Cancelled),
            });
        } else if unwritten {
            self.outputs.event(Event::Delivery {
                token,
                stage: Stage::Failed,
            });
        }
    }

    pub(super) fn stanza(&mut self, stanza: Element) {
        let reply_by = self.now + self.config.timeouts.iq;
        let token = Token(self.next_token);
        let limit = self.config.limits.outbound_queue;
        let Some(session) = &mut self.session else { return };
        let Some(me) = &session.jid else { return };
        let dropped = |reason| Event::Warning(Warning::Dropped { reason });
        if stanza
            .attribute("from")
            .is_some_and(|from| Jid::from_server(from).is_err())
        {
            return self.outputs.event(dropped(DropReason::From));
        }
        if let Some(to) = stanza.attribute("to") {
            // RFC 6120 §8.1.1: what is for somebody else is a mistake of the server's, or worse.
            let mine =
                Jid::from_server(to).is_ok_and(|to| to.bare() == me.bare() && to.resource().is_none_or(|_| to == *me));
            if !mine {
                return self.outputs.event(dropped(DropReason::To));
            }
        }
        match stanza.name() {
            "message" | "presence" => self.outputs.event(Event::Stanza { stanza, token: None }),
            "iq" => {
                let answered_namespaces = self.config.answered_namespaces.as_slice();
                let pending = self.config.limits.pending_requests;
                let rules = Rules {
                    answered_namespaces,
                    pending,
                    token,
                    reply_by,
                };
                match session.iq.received(stanza, me, &rules) {
                    Reaction::Done(token, result) => self.outputs.event(Event::IqDone { token, result }),
                    Reaction::Ask(token, iq) => {
                        self.next_token = self.next_token.saturating_add(1);
                        self.outputs.event(Event::Request { token, iq });
                    }
                    Reaction::Answer(_) if session.leaving => {}
                    // Whoever asks faster than answers can leave must not make us remember them all.
                    // The application's own stanzas may fill the queue once; what is more than that is answers.
                    Reaction::Answer(_) if session.outbound_bytes() > limit.saturating_mul(2) => {
                        self.finish(Offline::Misbehaved(PeerMisbehaved::TooManyRequests));
                    }
                    Reaction::Answer(answer) => self.enqueue(Outgoing::new(&answer, None)),
                    Reaction::Drop(reason) => self.outputs.event(dropped(reason)),
                }
            }
            // RFC 6120 §4.9.3.24: there are three kinds of stanzas.
            _ => {}
        }
    }

    pub(super) fn check_room(&mut self, outgoing: &Outgoing) -> Result<(), Refused> {
        // What no empty queue would hold must not be tried again and again.
        let maximum = self
            .config
            .limits
            .outbound_stanza
            .min(self.config.limits.outbound_queue);
        let bytes = outgoing.xml.len();
        if bytes > maximum {
            return Err(Refused::TooLarge { bytes, maximum });
        }
        let Some(session) = &mut self.session else {
            return Err(Refused::NotStarted);
        };
        if session.outbound_bytes().saturating_add(bytes) > self.config.limits.outbound_queue {
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
        if session.jid.is_some() {
            match &mut session.link {
                Link::Bosh(bosh) => bosh.send(outgoing),
            }
        } else {
            session.waiting_bytes = session.waiting_bytes.saturating_add(outgoing.xml.len());
            session.waiting.push_back(outgoing);
        }
    }
}
