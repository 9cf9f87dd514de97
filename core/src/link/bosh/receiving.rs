//! Answers: each is processed once, in the order of the requests, and what is not one is told apart.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::body::{Answer, NS_HTTPBIND, Read, number, read_body};
use super::session::Session;
use super::state::Change;
use super::{Bosh, Flight, Kind, Phase, State};
use crate::error::{Offline, PeerIncompatible, PeerMisbehaved, ResendReason, TlsError, Warning};
use crate::input::{Failure, RequestId, TlsFacts, Token};
use crate::link::{Context, Event, NS_STREAM, expanded_name};
use crate::output::Stage;
use crate::session::NS_CLIENT;
use crate::time::Instant;
use crate::xml::Element;

impl Bosh {
    pub(crate) fn responded(
        &mut self,
        cx: &mut Context<'_>,
        request: RequestId,
        status: u16,
        body: &[u8],
        tls: Option<&TlsFacts>,
    ) {
        let Some(rid) = self.over(request) else { return };
        if let Some(facts) = tls {
            // XEP-0124 §17.1: one session, one certificate.
            if let Some(digest) = facts.server_certificate_sha256 {
                if self.server_certificate.is_some_and(|known| known != digest) {
                    return self.close(cx, Some(Offline::Tls(TlsError::CertificateChanged)));
                }
                if self.server_certificate.replace(digest).is_none() {
                    self.changed(|| Change::ServerCertificate(digest));
                }
            }
            if facts.client_certificate_requested.is_some() {
                self.certificate_requested = facts.client_certificate_requested;
            }
        }
        if status != 200 {
            return self.http_error(cx, rid, status);
        }
        match read_body(body, self.limits.clone()) {
            Read::Body(answer) if answer.root.attribute("type") == Some("error") => self.recover(cx, rid),
            Read::Body(mut answer) => {
                // §16: another stream of the session, which we never opened, is not our concern, whatever becomes of it.
                if self.phase != Phase::Creating && !self.session.stream.is_ours(answer.root.attribute("stream")) {
                    answer.set_aside();
                }
                // §9.3: upon reception. The answer itself may have to wait for the very one that is reported.
                let lost = number::<u64>(answer.root.attribute("report"));
                if let Some(flight) = self.flights.get_mut(&rid) {
                    flight.state = State::Answered(answer);
                }
                self.process(cx);
                if let Some(lost) = lost {
                    self.reported(cx, lost);
                }
                self.hasten(cx);
            }
            Read::Elsewhere => self.retry(cx, rid, ResendReason::NotBosh),
            Read::Misbehaved(error) => self.close(cx, Some(Offline::Misbehaved(error))),
        }
    }

    pub(crate) fn failed(&mut self, cx: &mut Context<'_>, request: RequestId, reason: Failure) {
        let Some(rid) = self.over(request) else { return };
        let creating = self.phase == Phase::Creating;
        let end = match reason {
            // TLS 1.3: a refused client certificate shows only after the handshake (RFC 8446 §4.4.2.4).
            Failure::Reset if creating && self.presents_certificate => {
                Offline::Tls(TlsError::CertificateProbablyRefused)
            }
            Failure::CertificateRejected { .. } | Failure::TlsAlert(_) => {
                Offline::from_failure(reason, self.presents_certificate)
            }
            Failure::Dns
            | Failure::Refused
            | Failure::Timeout
            | Failure::Reset
            | Failure::Http { .. }
            | Failure::Other { .. } => {
                if !creating {
                    return self.retry(cx, rid, ResendReason::Failed(reason));
                }
                Offline::from_failure(reason, self.presents_certificate)
            }
        };
        self.close(cx, Some(end));
    }

    /// The request whose attempt this is, if it is the one under way; it is not any more then.
    pub(super) fn over(&mut self, request: RequestId) -> Option<u64> {
        let (rid, flight) = self.flights.iter_mut().find(
            |(_, flight)| matches!(flight.state, State::Waiting { request: waiting, .. } if waiting == request),
        )?;
        flight.state = State::Over;
        Some(*rid)
    }

    /// Processes answers in the order of their requests (XEP-0124 §14.2).
    pub(super) fn process(&mut self, cx: &mut Context<'_>) {
        while !self.ended {
            let rid = self.next_to_process;
            match self.flights.remove(&rid).map(|flight| *flight) {
                Some(Flight {
                    state: State::Answered(answer),
                    kind,
                    posted,
                    tokens,
                    ..
                }) => {
                    self.next_to_process = rid.saturating_add(1);
                    self.changed(|| Change::Answered { rid });
                    self.answer(cx, rid, kind, posted, answer, tokens);
                }
                // What came after it was processed, so it was before that.
                Some(flight) if flight.is_lost_pause() && self.is_answered_beyond(rid) => {
                    self.next_to_process = rid.saturating_add(1);
                    self.changed(|| Change::Answered { rid });
                }
                Some(flight) => {
                    self.flights.insert(rid, Box::new(flight));
                    return;
                }
                None => return,
            }
        }
    }

    fn is_answered_beyond(&self, rid: u64) -> bool {
        let mut later = self.flights.range(rid.saturating_add(1)..);
        later.any(|(_, flight)| matches!(flight.state, State::Answered(_)))
    }

    fn answer(
        &mut self,
        cx: &mut Context<'_>,
        rid: u64,
        kind: Kind,
        posted: Instant,
        answer: Answer,
        tokens: Vec<Token>,
    ) {
        self.round_trips = self.round_trips.saturating_add(1);
        // A stanza that was posted meanwhile makes the server answer what it holds, and so does a pause: that is no hurry.
        let quiet = self.pause.is_none()
            && kind == Kind::Empty
            && self.flights.values().all(|flight| flight.kind == Kind::Empty);
        let empty = answer.payloads.is_empty();
        if self
            .pace
            .answered(cx.now, empty, quiet.then_some(posted), &self.session)
        {
            cx.event(Event::Warning(Warning::Hurried));
        }
        if answer.is_terminate() {
            // §17.2: an error may mean that the request was not taken; only an acknowledgement says that it was.
            let taken =
                number::<u64>(answer.root.attribute("ack")).is_some_and(|ack| (rid..self.next_rid).contains(&ack));
            let condition = answer.root.attribute("condition");
            // Another request, our goodbye, ended the session: it was processed after all before it (§14.2).
            let by_us = self.said_goodbye && condition == Some("other-request");
            let known = condition.is_none() || by_us || (taken && self.session.acknowledges);
            if known {
                self.acknowledge(cx, rid, tokens);
            } else {
                self.refused = tokens;
            }
            self.acknowledged(cx, &answer);
            return self.terminated(cx, answer);
        }
        self.acknowledge(cx, rid, tokens);
        if kind == Kind::Terminate {
            self.payloads(cx, answer.payloads);
            return self.close(cx, None);
        }
        if kind == Kind::Create {
            let Some(session) = Session::read(&answer.root, &self.settings) else {
                let missing = Offline::Incompatible(PeerIncompatible::SessionParameters);
                return self.close(cx, Some(missing));
            };
            self.session = session;
            self.phase = Phase::Open;
            cx.event(Event::Opened);
        } else {
            self.acknowledged(cx, &answer);
        }
        self.payloads(cx, answer.payloads);
    }

    /// XEP-0124 §9.1: the server may say that it has more requests than it has answered.
    fn acknowledged(&mut self, cx: &mut Context<'_>, answer: &Answer) {
        if !self.session.acknowledges {
            return;
        }
        let Some(last) = number::<u64>(answer.root.attribute("ack")) else {
            return;
        };
        // What was never sent cannot be acknowledged: such a value means nothing.
        if last >= self.next_rid {
            return;
        }
        let flights = self.flights.range_mut(..=last);
        let tokens = flights
            .flat_map(|(_, flight)| core::mem::take(&mut flight.tokens))
            .collect();
        self.acknowledge(cx, last, tokens);
    }

    /// The server has what these were carried by, up to that request. On BOSH that is also how the host's writing becomes
    /// known.
    fn acknowledge(&mut self, cx: &mut Context<'_>, rid: u64, tokens: Vec<Token>) {
        if !tokens.is_empty() {
            self.changed(|| Change::Acknowledged { rid });
        }
        for token in tokens {
            cx.event(Event::Delivery(token, Stage::Sent));
            cx.event(Event::Delivery(token, Stage::Acked));
        }
    }

    /// Hands up what a body carries, in order.
    fn payloads(&mut self, cx: &mut Context<'_>, payloads: Vec<Element>) {
        for mut payload in payloads {
            // XEP-0206 §2: some connection managers forget the namespace of stanzas.
            if payload.namespace() == NS_HTTPBIND {
                if matches!(payload.name(), "message" | "presence" | "iq") {
                    // Both are names of ours, so they cannot be refused.
                    let _ = payload.replace_namespace(NS_HTTPBIND, NS_CLIENT);
                } else {
                    let element = expanded_name(payload.root());
                    return self.close(cx, Some(Offline::Misbehaved(PeerMisbehaved::BoshPayload { element })));
                }
            }
            cx.event(Event::Element(payload));
        }
    }

    /// The server ends the session (XEP-0124 §17.2): what it still carries comes first.
    fn terminated(&mut self, cx: &mut Context<'_>, mut answer: Answer) {
        let end = answer.end();
        let last_words = |payload: &Element| !payload.is(NS_STREAM, "error") && !payload.is(NS_HTTPBIND, "uri");
        answer.payloads.retain(last_words);
        self.payloads(cx, answer.payloads);
        let condition = answer.root.attribute("condition");
        // After our goodbye, `other-request` is how some servers answer a request that they held, and `item-not-found` says
        // that the answer to it was lost: the session is gone, as it should be (§17.2).
        let after_goodbye =
            |condition| condition == "other-request" || self.said_goodbye && condition == "item-not-found";
        if self.phase == Phase::Leaving && condition.is_none_or(after_goodbye) {
            self.phase = Phase::Closed;
            return self.close(cx, None);
        }
        self.phase = Phase::Closed;
        self.close(cx, Some(Offline::Ended(end)));
    }
}
