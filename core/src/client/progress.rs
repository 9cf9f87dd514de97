//! What a link reports: the steps of its negotiation, and the session that begins with it or goes on.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{Client, unix_ms};
use crate::error::{IqError, Offline, Warning};
use crate::input::ChannelBindings;
use crate::input::Token;
use crate::jid::Jid;
use crate::link::{self, Outgoing};
use crate::negotiation::{self, Facts, Login, Offers, Step};
use crate::output::{Event, Output, ServerProof, Stage};
use crate::session::NS_CLIENT;
use crate::session::liveness::Liveness;
use crate::session::stream_management::{NS_SM, Reaction, StreamManagement};
use crate::time::Timer;
use crate::xml::Element;

impl Client {
    pub(super) fn link_event(&mut self, event: link::Event) {
        match event {
            link::Event::Opened => self.negotiate(negotiation::Event::Opened),
            link::Event::Attached { jid } => self.attached(&jid),
            link::Event::Restored => self.restored(),
            link::Event::Element(element) => self.element(element),
            link::Event::Delivery(token, stage) => self.delivery(token, stage),
            link::Event::Warning(warning) => self.outputs.event(Event::Warning(warning)),
            link::Event::Closed(None) => self.finish(Offline::Stopped),
            link::Event::Closed(Some(reason)) => self.finish(reason),
        }
    }

    fn element(&mut self, element: Element) {
        let now = self.now;
        let Some((session, Some(connection), _)) = self.parts() else {
            return;
        };
        if connection.negotiation.is_some() {
            if !session.leaving {
                self.negotiate(negotiation::Event::of(element));
            } else if element.is(NS_SM, "resumed") {
                // While leaving, what was under way does not matter any more, but for what the server says that it has.
                if let Ok(resumed) = session.stream.resumed(now, &element) {
                    for token in resumed.acked {
                        self.delivery(token, Stage::Acked);
                    }
                }
            }
        } else if element.is(link::NS_STREAM, "error") {
            self.finish(Offline::Ended(link::stream_error(element.root())));
        } else if element.namespace() == NS_CLIENT {
            self.stanza(element);
        } else if StreamManagement::is_nonza(&element) {
            self.stream_management(&element);
        }
        // Anything else at this level is an extension that we did not ask for (RFC 6120 §8.4).
    }

    /// One turn of the negotiation's table, and what follows from it.
    pub(super) fn negotiate(&mut self, event: negotiation::Event) {
        let mut steps = Vec::new();
        let (Some(session), Some(connection)) = (&mut self.session, &mut self.connection) else {
            return;
        };
        let unix_ms = unix_ms(self.wall, self.now);
        let traits = connection.link.traits();
        let kind = connection.link.kind();
        let certificate_requested = connection.asked_for_certificate();
        let Some(negotiation) = &mut connection.negotiation else {
            return;
        };
        let none = ChannelBindings::default();
        let result = negotiation.handle(
            event,
            &mut Facts {
                config: &self.config,
                encrypted: connection.encrypted,
                verified_tls: connection.verified_tls,
                can_resume: traits.stream_management && session.stream.can_resume(self.now),
                inactive: session.client_state.is_inactive(),
                certificate: connection.certificate.as_ref(),
                certificate_requested,
                channel_bindings: connection.channel_bindings.as_deref().unwrap_or(&none),
                kind,
                traits,
                unix_ms,
                memory: &mut self.memory,
                random: &mut self.random,
                next_job: &mut self.ids.job,
                steps: &mut steps,
            },
        );
        if result.is_err() {
            connection.link.forget_unsent();
        }
        for step in steps {
            self.step(step);
        }
        match result {
            Ok(false) => {}
            Ok(true) => {
                let step_by = self.now + self.config.timeouts().negotiation;
                let Some((session, Some(connection), _)) = self.parts() else {
                    return;
                };
                let done = connection
                    .negotiation
                    .as_ref()
                    .is_none_or(|negotiation| negotiation.is_online());
                if done {
                    connection.negotiation = None;
                    connection.channel_bindings = None;
                }
                let awaits_key = connection
                    .negotiation
                    .as_ref()
                    .is_some_and(|negotiation| negotiation.awaits_key());
                connection.link.about_to_speak(awaits_key);
                // The host, and the person before it, take the time that they need.
                let awaits_host = connection
                    .negotiation
                    .as_ref()
                    .is_some_and(|negotiation| negotiation.awaits_host());
                if !session.leaving && !connection.link.expects_connected() {
                    connection.timer = (!done && !awaits_host).then_some((step_by, Timer::Negotiation));
                }
            }
            Err(reason) => self.lose(reason),
        }
    }

    fn step(&mut self, step: Step) {
        let limits = self.config.limits.after_login();
        let tls_by = self.now + self.config.timeouts().negotiation;
        let Some((session, Some(connection), mut cx)) = self.parts() else {
            return;
        };
        match step {
            Step::Send(element) => {
                connection.link.send(Outgoing::new(&element, None));
            }
            Step::Authenticate(authenticate) => {
                let resume = match authenticate.resume {
                    true => session.stream.resume(cx.now),
                    false => None,
                };
                let enable = authenticate.stream_management.then(|| session.stream.enable());
                match authenticate.build(resume.as_ref(), enable) {
                    Ok(element) => {
                        connection.link.send(Outgoing::new(&element, None));
                    }
                    Err(error) => self.finish(negotiation::ours(error)),
                }
            }
            Step::Derive { job, derivation } => self.outputs.push(Output::DeriveKey { job, derivation }),
            Step::Task { task, payload, text } => self.outputs.event(Event::Task { task, payload, text }),
            Step::AskForTls => connection.link.ask_for_tls(),
            Step::StartTls => {
                let server_name = connection.server_name.clone();
                connection.timer = Some((tls_by, Timer::Negotiation));
                connection
                    .link
                    .start_tls(&mut cx, connection.nothing_followed, &server_name);
            }
            Step::Restart { from } => connection.link.restart(&mut cx, from.as_deref()),
            Step::Warn(warning) => self.outputs.event(Event::Warning(warning)),
            Step::Authenticated => connection.link.set_limits(limits),
            Step::Offered(features) => {
                let (transport, encrypted) = (connection.link.kind(), connection.encrypted);
                self.outputs.event(Event::Offered {
                    features,
                    transport,
                    encrypted,
                });
            }
            Step::Online {
                jid,
                login,
                stream_management,
            } => self.begin_session(jid, &login, stream_management.as_ref()),
            Step::Resume => {
                if let Some(resume) = session.stream.resume(cx.now) {
                    connection.link.send(Outgoing::new(&resume, None));
                }
            }
            Step::Resumed { element, login } => self.resume_session(&element, &login),
            Step::NotResumed(element) => self.not_resumed(element.as_ref()),
        }
    }

    /// A new session, with a resource.
    fn begin_session(&mut self, jid: Jid, login: &Login, stream_management: Option<&Element>) {
        let wanted = self.config.stream_management.enabled;
        let offers = login.offers.unwrap_or_default();
        let Some(session) = &mut self.session else { return };
        // An earlier session may have ended by itself, while there was no link to hear of it.
        let left = session.stream.reset();
        self.session_gone(left);
        let Some((session, Some(connection), cx)) = self.parts() else {
            return;
        };
        session.jid = Some(jid);
        let streams = connection.link.traits().stream_management;
        let mut warning = None;
        match stream_management {
            _ if !streams => {}
            // It was asked for with the resource, and counts since then.
            Some(element) => {
                session.stream.enabling(cx.now);
                match session.stream.handle(cx.now, element) {
                    Ok(Reaction::Refused { condition }) => warning = Some(Warning::NoStreamManagement { condition }),
                    Ok(Reaction::Nothing | Reaction::Acked(_) | Reaction::Enabled { .. }) => {}
                    Err(error) => return self.finish(Offline::Misbehaved(error)),
                }
            }
            None if offers.stream_management && wanted => {
                if let Ok(enable) = session.stream.enable().build() {
                    connection.link.send(Outgoing::new(&enable, None));
                }
                session.stream.enabling(cx.now);
            }
            None => session.stream.use_pings(cx.now),
        }
        self.keeper.begun();
        self.give_up_dormant();
        self.online(Some(login), false);
        if let Some(warning) = warning {
            self.outputs.event(Event::Warning(warning));
        }
    }

    /// The earlier session goes on.
    fn resume_session(&mut self, element: &Element, login: &Login) {
        let Some((session, Some(connection), cx)) = self.parts() else {
            return;
        };
        match session.stream.resumed(cx.now, element) {
            Ok(resumed) => {
                // The server sends these again, with tokens of their own: each is answered once (RFC 6120 §8.2.3).
                for token in resumed.repeated {
                    session.iq.answered_theirs(token);
                }
                for outgoing in resumed.resend {
                    connection.link.send(outgoing);
                }
                let h = session.stream.acked_count();
                self.keeper.acked(h);
                self.keeper.whole();
                for token in resumed.acked {
                    self.delivery(token, Stage::Acked);
                }
                for token in resumed.failed {
                    self.delivery(token, Stage::Failed);
                }
                for token in resumed.unanswered {
                    self.unanswered(token);
                }
                self.online(Some(login), true);
            }
            Err(error) => self.finish(Offline::Misbehaved(error)),
        }
    }

    fn online(&mut self, login: Option<&Login>, resumed: bool) {
        let now = self.now;
        let settings = self.config.liveness;
        let Some((session, Some(connection), _)) = self.parts() else {
            return;
        };
        let Some(jid) = session.jid.clone() else { return };
        connection.online = true;
        // Where a session is resumed with the login, no features follow: what was offered before holds (XEP-0198 §9).
        let offers = match login {
            Some(login) => login.offers,
            None => Some(Offers::default()),
        };
        match offers {
            Some(offers) => session.offers = offers,
            // After a restore nothing is known from before but what the offer of the login says.
            None => session.offers.client_state |= login.is_some_and(|login| login.client_state),
        }
        let offers = session.offers;
        connection.link.set_max_bytes(offers.max_bytes);
        session.supervisor.online(now);
        session.client_state.online(offers.client_state, resumed);
        if login.is_some_and(|login| login.inactive) {
            session.client_state.told_inactive();
        }
        if connection.link.traits().stream_management {
            let mut liveness = Liveness::new(settings, now);
            liveness.idle_seconds(offers.idle_seconds);
            connection.liveness = Some(liveness);
        }
        let event = Event::Online {
            jid,
            mechanism: login.map_or("", |login| login.mechanism).to_string(),
            server_proof: login.map_or(ServerProof::None, |login| login.proof),
            channel_binding: login.and_then(|login| login.channel_binding),
            profile: login.map(|login| login.profile),
            resumed,
            client_certificate_requested: connection.asked_for_certificate(),
            round_trips: connection.link.round_trips(),
            transport: connection.link.kind(),
        };
        self.outputs.event(event);
        self.drop_too_large();
        self.send_waiting();
    }

    /// A session that somebody else logged in to is ours now.
    fn attached(&mut self, jid: &str) {
        let Ok(jid) = Jid::from_server(jid) else { return };
        if let Some(session) = &mut self.session {
            session.jid = Some(jid);
        }
        self.restored();
    }

    /// A session goes on without a login on this link.
    fn restored(&mut self) {
        let limits = self.config.limits.after_login();
        if let Some(connection) = &mut self.connection {
            connection.negotiation = None;
            connection.timer = None;
            connection.link.set_limits(limits);
        }
        if let Some(session) = &mut self.session {
            // From now on the link has it.
            session.dormant = None;
        }
        self.keeper.whole();
        self.online(None, true);
    }

    /// A request of the application's was given up.
    pub(super) fn unanswered(&mut self, token: Token) {
        if self.session.as_mut().is_some_and(|session| session.iq.cancel(token)) {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Disconnected),
            });
        }
    }

    fn not_resumed(&mut self, element: Option<&Element>) {
        let Some(session) = &mut self.session else { return };
        let (condition, settled) = match element.map(|element| session.stream.resume_failed(element)) {
            Some(Ok(not_resumed)) => {
                self.keeper.acked(not_resumed.handled);
                (not_resumed.condition, not_resumed.settled)
            }
            Some(Err(error)) => return self.finish(Offline::Misbehaved(error)),
            None => (None, session.stream.reset()),
        };
        self.outputs.event(Event::Warning(Warning::NotResumed { condition }));
        self.session_gone(settled);
    }
}
