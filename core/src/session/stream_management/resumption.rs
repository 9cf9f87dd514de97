//! The end of a link, and what comes after it: the session goes on, or what it leaves is settled (XEP-0198 §5).

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::wire::{condition, count, out_of_place};
use super::{Carried, NS_SM, NotResumed, Phase, Resumed, Settled, StreamManagement, delay};
use crate::error::PeerMisbehaved;
use crate::link::Outgoing;
use crate::secret::Secret;
use crate::time::Instant;
use crate::xml::Element;

/// A stanza that was written on so many links, each of which died before the server had it, is not sent again: it may be
/// what they died of.
const LINKS: u8 = 3;

impl StreamManagement {
    /// The link is gone. The stanzas wait for `resume`, or for `reset`.
    pub(crate) fn link_lost(&mut self, now: Instant) {
        self.forget_link(now);
        self.phase = match self.phase {
            Phase::Off => Phase::Off,
            Phase::Lost { at } | Phase::Resuming { lost: at, .. } => Phase::Lost { at },
            Phase::Ping | Phase::Asked | Phase::On => Phase::Lost { at: now },
        };
    }

    /// Whether to ask for the earlier session: there is one, and the server may still have it.
    pub(crate) fn can_resume(&self, now: Instant) -> bool {
        // A question that was asked on this link and not answered can be asked again.
        let (Some(session), Phase::Lost { at } | Phase::Resuming { lost: at, .. }) = (&self.session, &self.phase)
        else {
            return false;
        };
        session
            .max
            .is_none_or(|max| now.since(*at) <= Duration::from_secs(u64::from(max)))
    }

    /// Whether a loss of the link now would leave a session that can be resumed.
    pub(crate) fn is_resumable(&self) -> bool {
        self.session.is_some()
    }

    /// Where the server would have the client come back (XEP-0198 §5): `host[:port]`, not checked any further.
    pub(crate) fn location(&self) -> Option<&str> {
        self.session.as_ref()?.location.as_deref()
    }

    /// `<resume/>`, to be written instead of binding; `None` if there is nothing to resume.
    pub(crate) fn resume(&mut self, now: Instant) -> Option<Element> {
        if !self.can_resume(now) {
            return None;
        }
        let handled = self.handled_count();
        let (Phase::Lost { at: lost } | Phase::Resuming { lost, .. }) = self.phase else {
            return None;
        };
        let previd = core::str::from_utf8(self.session.as_ref()?.id.expose()).ok()?;
        let resume = Element::builder(NS_SM, "resume")
            .attr("previd", previd)
            .attr("h", &handled.to_string());
        // What comes out of a snapshot need not be XML.
        let resume = resume.build().ok()?;
        self.phase = Phase::Resuming { handled, lost };
        Some(resume)
    }

    /// `<resumed/>`, on a stream of the same account (XEP-0198 §5). After an error the session is not to be resumed:
    /// `reset`.
    pub(crate) fn resumed(&mut self, now: Instant, element: &Element) -> Result<Resumed, PeerMisbehaved> {
        let Phase::Resuming { handled, .. } = self.phase else {
            return Err(out_of_place(element));
        };
        let Some(session) = self.session.take() else {
            return Err(out_of_place(element));
        };
        let previd = element.attribute("previd").unwrap_or_default();
        if !element.is(NS_SM, "resumed") || Secret::from(previd) != session.id {
            return Err(out_of_place(element));
        }
        let acked = self.acknowledge(count(element)?)?;
        self.session = Some(session);
        self.phase = Phase::On;
        self.forget_link(now);
        // What was not handled by then comes again.
        self.received = handled;
        let repeated = core::mem::take(&mut self.unhandled).into_keys().collect();
        // The server has counted none of these, so what is left out now never gets a number.
        let (mut failed, mut unanswered) = (Vec::new(), Vec::new());
        self.queue.retain(|kept| {
            let again = kept.links < LINKS;
            if !again {
                failed.extend(kept.token);
                unanswered.extend(kept.request);
            }
            again
        });
        self.bytes = self.queue.iter().map(|kept| kept.xml.len()).sum();
        let resend = self
            .queue
            .iter_mut()
            .map(|kept| {
                kept.links = kept.links.saturating_add(1);
                Outgoing {
                    xml: kept.xml.clone(),
                    token: kept.token,
                    request: kept.request,
                    stored: false,
                }
            })
            .collect();
        // XEP-0198 §5: ask, so that what is sent again is known to have come.
        self.ask_now = !self.queue.is_empty();
        Ok(Resumed {
            acked,
            failed,
            unanswered,
            repeated,
            resend,
        })
    }

    /// `<failed/>` in answer to `<resume/>` (XEP-0198 §5): a new session follows on the same stream. After an error:
    /// `reset`.
    pub(crate) fn resume_failed(&mut self, element: &Element) -> Result<NotResumed, PeerMisbehaved> {
        let resuming = matches!(self.phase, Phase::Resuming { .. });
        // Whatever comes of it, it is not tried again.
        self.session = None;
        if !resuming || !element.is(NS_SM, "failed") {
            return Err(out_of_place(element));
        }
        let (acked, certain) = match element.attribute("h") {
            None => (Vec::new(), false),
            Some(_) => (self.acknowledge(count(element)?)?, true),
        };
        let handled = self.acked;
        Ok(NotResumed {
            condition: condition(element),
            handled,
            settled: Settled {
                acked,
                ..self.settle(certain)
            },
        })
    }

    /// The session is gone, and nobody says what it has handled.
    pub(crate) fn reset(&mut self) -> Settled {
        self.settle(false)
    }

    /// `certain`: the server has none of what is left, so that sending it again makes no second copy.
    fn settle(&mut self, certain: bool) -> Settled {
        let mut settled = Settled::default();
        let repeat = certain || self.settings.resend_uncertain;
        for kept in core::mem::take(&mut self.queue) {
            // RFC 6120 §8.2.3, RFC 6121 §4: requests and presence belong to the session that they were sent in.
            let is_message = kept.xml.starts_with("<message");
            if !(repeat && is_message && kept.links < LINKS) {
                settled.failed.extend(kept.token);
                continue;
            }
            let stamped = match kept.unix_ms {
                Some(unix_ms) if !kept.stamped => delay::stamp(&kept.xml, unix_ms),
                Some(_) | None => None,
            };
            if let Some(token) = kept.token {
                self.carried.insert(
                    token,
                    Carried {
                        unix_ms: kept.unix_ms,
                        links: kept.links,
                        stamped: kept.stamped || stamped.is_some(),
                    },
                );
            }
            settled.again.push(Outgoing {
                xml: stamped.unwrap_or(kept.xml),
                token: kept.token,
                request: kept.request,
                stored: false,
            });
        }
        self.begin(self.quiet_since, Phase::Off);
        settled
    }
}
