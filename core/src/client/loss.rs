//! The end of a link: what the server is told, what becomes of what was on its way, and what follows.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::Client;
use crate::error::{ConnectionError, IqError, Offline, PeerMisbehaved, TlsError, Warning};
use crate::link::{self, Goodbye, StreamErrorOut};
use crate::output::{Event, Output, Stage};
use crate::session::stream_management::{Settled, handled_count_too_high};
use crate::supervisor::{Loss, Verdict};
use crate::time::Instant;

impl Client {
    /// Ends the link, and drops what was about to be said: it is not for a server that is being left, for it may hold
    /// credentials.
    pub(super) fn finish(&mut self, reason: Offline) {
        if let Some(connection) = &mut self.connection {
            connection.link.forget_unsent();
        }
        self.lose(reason);
    }

    /// The link is gone, or has to go: the server is told what it has to know, and then somebody decides whether there is
    /// another.
    pub(super) fn lose(&mut self, reason: Offline) {
        // In the same turn the link may have learnt how far stanzas came: that stays true.
        for event in core::mem::take(&mut self.link_events) {
            match event {
                link::Event::Delivery(token, stage) => self.delivery(token, stage),
                link::Event::Warning(warning) => self.outputs.event(Event::Warning(warning)),
                link::Event::Opened
                | link::Event::Attached { .. }
                | link::Event::Restored
                | link::Event::Element(_)
                | link::Event::Closed(_) => {}
            }
        }
        let error = stream_error(&reason);
        if let Some((session, Some(connection), mut cx)) = self.parts() {
            // A goodbye would end what is to be resumed (XEP-0198 §5).
            let resumable = session.stream.is_resumable() && !session.leaving;
            let tell = match &reason {
                Offline::Connection(_) if resumable => false,
                // RFC 6120 §4.9.1.1: a stream error is answered by closing the stream; BOSH has nothing more to say then.
                Offline::Ended(_) => connection.link.traits().stream_management,
                Offline::Connection(_)
                | Offline::Stopped
                | Offline::Tls(_)
                | Offline::Login(_)
                | Offline::Incompatible(_)
                | Offline::Misbehaved(_) => deserves_goodbye(&reason),
            };
            connection.link.shut(&mut cx, Goodbye { tell, error });
        }
        // What the link says of its own end is what it is being told.
        self.link_events.clear();
        self.keep_link();
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let Some(leaving) = self.session.as_ref().map(|session| session.leaving) else {
            return;
        };
        let misbehaved = matches!(reason, Offline::Misbehaved(_));
        let verdict = if leaving {
            // Whatever else broke on the way out: the application wanted to be offline, and is.
            Verdict::GiveUp(match reason {
                Offline::Connection(_) | Offline::Tls(_) | Offline::Ended(_) => Offline::Stopped,
                Offline::Stopped | Offline::Login(_) | Offline::Incompatible(_) | Offline::Misbehaved(_) => {
                    reason.clone()
                }
            })
        } else {
            let location = self.session.as_ref().and_then(|session| session.stream.location());
            let location = location.map(ToString::to_string);
            let Some((supervisor, mut cx)) = self.supervisor() else {
                return;
            };
            let early = connection
                .negotiation
                .as_ref()
                .is_some_and(|negotiation| negotiation.is_early());
            let loss = Loss {
                early,
                reason: &reason,
                was_online: connection.online,
                verified: connection.verified_tls,
                location: location.as_deref(),
            };
            supervisor.lost(&mut cx, loss)
        };
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        if let Some(since) = connection.not_reading_since {
            // Nobody could read an answer meanwhile: that time does not count.
            session.iq.resumed(since, now);
        }
        if connection.online {
            // What BOSH had not posted yet was never the old session's.
            let unsent = connection.link.take_unsent();
            let failed = connection.link.take_unacknowledged();
            session.wait_first(unsent.into_iter());
            for token in failed {
                self.delivery(token, Stage::Failed);
            }
        }
        // Also of a link that did not get so far: it may have asked for the earlier session.
        self.link_lost(misbehaved);
        let link = connection.link.id();
        if matches!(verdict, Verdict::GiveUp(_)) {
            self.settle_all();
        }
        self.outputs.push(Output::Close { link });
        match verdict {
            Verdict::GiveUp(reason) => self.over(reason),
            Verdict::Another { redirected } => {
                if let Some(to) = redirected {
                    self.outputs.event(Event::Warning(Warning::Redirected { to }));
                }
                // Another place that is tried at once is no news to somebody who is not online anyway.
                if connection.online {
                    self.interrupted(reason, Some(now));
                }
            }
            Verdict::Retry { at, reason } => self.interrupted(reason, at),
        }
    }

    /// What was on its way waits for the session to be resumed, or has come as far as it will.
    fn link_lost(&mut self, misbehaved: bool) {
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        session.stream.link_lost(now);
        // A BOSH session that was stored waits for its link; and nobody is asked again for what broke the protocol.
        let lasts = session.dormant.is_some() || (session.stream.can_resume(now) && !misbehaved);
        if session.jid.is_some() && !lasts {
            let settled = session.stream.reset();
            self.session_gone(settled);
        }
    }

    pub(super) fn interrupted(&mut self, reason: Offline, retry_at: Option<Instant>) {
        let now = self.now;
        let Some(session) = &mut self.session else { return };
        let resumable = session.stream.can_resume(now);
        self.outputs.event(Event::Interrupted {
            reason,
            retry_at,
            resumable,
        });
    }

    /// The server has forgotten the session: what was on its way in it has come as far as it will.
    pub(super) fn session_gone(&mut self, lost: Settled) {
        self.keeper.whole();
        for token in lost.acked {
            self.delivery(token, Stage::Acked);
        }
        for token in lost.failed {
            self.delivery(token, Stage::Failed);
        }
        let Some(session) = &mut self.session else { return };
        session.jid = None;
        // What was said about the old session, and answers to what was asked in it, have no place in the next one.
        let mut stale = Vec::new();
        session.waiting.retain(|outgoing| {
            let presence = outgoing.xml.starts_with("<presence");
            let lasts = !presence && (outgoing.token.is_some() || outgoing.request.is_some());
            if !lasts {
                session.waiting_bytes = session.waiting_bytes.saturating_sub(outgoing.xml.len());
                stale.extend(outgoing.token);
            }
            lasts
        });
        session.wait_first(lost.again.into_iter());
        let waiting: Vec<_> = session.waiting.iter().filter_map(|outgoing| outgoing.request).collect();
        for token in session.iq.forget(&waiting) {
            self.outputs.event(Event::IqDone {
                token,
                result: Err(IqError::Disconnected),
            });
        }
        for token in stale {
            self.delivery(token, Stage::Failed);
        }
    }
}

/// What the server has to hear of its mistake (RFC 6120 §4.9.1): on BOSH there is no place for it.
fn stream_error(reason: &Offline) -> Option<StreamErrorOut<'static>> {
    let Offline::Misbehaved(error) = reason else {
        return None;
    };
    let application = if let PeerMisbehaved::HandledCount { handled, sent } = error {
        let too_high = handled_count_too_high(*handled, *sent).build();
        too_high.ok().map(|element| element.to_xml())
    } else {
        None
    };
    Some(StreamErrorOut {
        condition: error.condition(),
        application,
    })
}

/// Whether the server should hear that the session is over: not if it ended it, not if it cannot be trusted to be the
/// one that the session began with, and not if the session is to be resumed.
fn deserves_goodbye(reason: &Offline) -> bool {
    match reason {
        Offline::Login(_) | Offline::Incompatible(_) | Offline::Misbehaved(_) | Offline::Stopped => true,
        Offline::Connection(error) => matches!(
            error,
            ConnectionError::Timeout { .. } | ConnectionError::RequestIdsExhausted
        ),
        Offline::Tls(error) => matches!(error, TlsError::NotOffered | TlsError::StartTlsRefused),
        Offline::Ended(_) => false,
    }
}
