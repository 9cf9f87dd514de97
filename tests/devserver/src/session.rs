//! One BOSH session (XEP-0124): request ids, held requests, answers kept for resends, and the limits on both sides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::oneshot;

use crate::stream::{BOSH, Stream};
use crate::tls::Peer;
use crate::xml::Element;

/// Where the body of an answer goes. Its other end is gone when the connection is.
pub(crate) type Reply = oneshot::Sender<String>;

/// Arrival times jitter; a client that keeps the pace on its own clock must not be punished for the network's.
const PACE_TOLERANCE: Duration = Duration::from_millis(250);

/// Answers kept at least, though XEP-0124 §14.3 asks only for as many as `requests`.
const ANSWERS_KEPT: usize = 8;

/// A request body that was read and is well-formed.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) rid: u64,
    pub(crate) raw: Bytes,
    pub(crate) body: Element,
    pub(crate) peer: Arc<Peer>,
    pub(crate) reply: Reply,
}

impl Request {
    pub(crate) fn is_restart(&self) -> bool {
        matches!(self.body.attribute_in("urn:xmpp:xbosh", "restart"), Some("true" | "1"))
    }

    pub(crate) fn is_terminate(&self) -> bool {
        self.body.attribute("type") == Some("terminate")
    }

    pub(crate) fn pause(&self) -> Option<&str> {
        self.body.attribute("pause")
    }

    /// XEP-0124 §10: nothing to deliver and nothing asked for but a place to wait.
    fn is_empty(&self) -> bool {
        self.body.elements().next().is_none() && !self.is_restart() && !self.is_terminate() && self.pause().is_none()
    }
}

/// What was agreed at creation.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) wait: Duration,
    pub(crate) hold: usize,
    pub(crate) requests: usize,
    pub(crate) inactivity: Duration,
    pub(crate) polling: Duration,
    pub(crate) max_pause: Option<Duration>,
    /// The server acknowledges (XEP-0124 §9.1).
    pub(crate) acks: bool,
    /// The client said `ack='1'` and may acknowledge.
    pub(crate) client_acks: bool,
    pub(crate) sid_everywhere: bool,
}

#[derive(Debug)]
struct Held {
    rid: u64,
    raw: Bytes,
    since: Instant,
    reply: Reply,
}

#[derive(Debug)]
struct Answered {
    rid: u64,
    raw: Bytes,
    body: String,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Admission {
    /// These are next in line, in order.
    Process(Vec<Request>),
    /// Kept, or answered already.
    Done,
    /// The session must end with this condition; the request's own reply is given back to say so.
    End(&'static str, Reply),
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) sid: String,
    pub(crate) creation: Arc<Peer>,
    pub(crate) stream: Stream,
    pub(crate) terms: Terms,
    /// XML to deliver with the next answer.
    pub(crate) out: String,
    /// What the client did wrong since somebody last looked.
    pub(crate) violations: Vec<String>,
    /// The session is over. With a body here, the client has not heard of it yet.
    over: Option<Option<String>>,
    /// Attributes of the first answer.
    header: Option<String>,
    next: u64,
    early: BTreeMap<u64, Request>,
    held: VecDeque<Held>,
    answered: VecDeque<Answered>,
    paused: Option<Duration>,
    active: Instant,
    last_arrival: Option<Instant>,
    last_was_empty: bool,
    last_answer_was_empty: bool,
}

impl Session {
    pub(crate) fn new(sid: String, first: Request, terms: Terms, header: String, now: Instant) -> Self {
        let mut session = Self {
            sid,
            creation: first.peer.clone(),
            stream: Stream::new(),
            terms,
            out: String::new(),
            violations: Vec::new(),
            over: None,
            header: Some(header),
            next: first.rid + 1,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            answered: VecDeque::new(),
            paused: None,
            active: now,
            last_arrival: None,
            last_was_empty: false,
            last_answer_was_empty: false,
        };
        session.hold(first, now);
        session
    }

    /// Takes a request: once, and in the order of its rid.
    pub(crate) fn admit(&mut self, request: Request, now: Instant) -> Admission {
        if let Some(farewell) = &mut self.over {
            // Dropping the reply would look like a broken connection.
            let body = farewell.take().unwrap_or_else(|| terminate("item-not-found", ""));
            let _ = request.reply.send(body);
            return Admission::Done;
        }
        self.active = now;
        if request.rid < self.next || self.early.contains_key(&request.rid) {
            return self.repeat(request, now);
        }
        // XEP-0124 §11: a terminate or a pause may be one more than `requests`; it may also have overtaken this one.
        let one_more = |request: &Request| request.is_terminate() || request.pause().is_some();
        let limit = self.terms.requests + usize::from(one_more(&request) || self.early.values().any(one_more));
        // XEP-0124 §14.2: rids outside the window are not the client's to use.
        if request.rid - self.next >= limit as u64 {
            self.violations.push(format!(
                "rid {} is beyond the window after {}",
                request.rid,
                self.next - 1
            ));
            return Admission::End("item-not-found", request.reply);
        }
        let unanswered = self.held.len() + self.early.len() + 1;
        if unanswered > limit {
            self.violations
                .push(format!("{unanswered} simultaneous requests, {limit} allowed"));
            return Admission::End("policy-violation", request.reply);
        }
        if self.too_eager(&request, unanswered, now) {
            self.violations.push("empty requests within `polling` seconds".into());
            return Admission::End("policy-violation", request.reply);
        }
        self.last_arrival = Some(now);
        self.last_was_empty = request.is_empty();
        self.check_ack(&request);
        self.paused = None;
        self.early.insert(request.rid, request);
        let mut ready = Vec::new();
        while let Some(request) = self.early.remove(&self.next) {
            self.next += 1;
            ready.push(request);
        }
        Admission::Process(ready)
    }

    /// The request was processed: it waits for something to answer it with.
    pub(crate) fn hold(&mut self, request: Request, now: Instant) {
        self.held.push_back(Held {
            rid: request.rid,
            raw: request.raw,
            since: now,
            reply: request.reply,
        });
    }

    /// Answers what must not wait any longer.
    pub(crate) fn flush(&mut self, now: Instant) {
        if self.over.is_some() {
            return;
        }
        if !self.out.is_empty() && !self.held.is_empty() {
            let payload = std::mem::take(&mut self.out);
            self.answer(&payload, now);
        }
        // XEP-0124 §7: never hold more than `hold`; with `wait` 0, hold nothing.
        let hold = if self.terms.wait.is_zero() { 0 } else { self.terms.hold };
        while self.held.len() > hold {
            self.answer("", now);
        }
        while self
            .held
            .front()
            .is_some_and(|held| now.duration_since(held.since) >= self.terms.wait)
        {
            self.answer("", now);
        }
    }

    /// XEP-0124 §12: answers everything at once and is patient for a while.
    pub(crate) fn pause(&mut self, seconds: &str, now: Instant) -> Result<(), &'static str> {
        let wanted = seconds.parse().map(Duration::from_secs).ok();
        match (wanted, self.terms.max_pause) {
            (Some(wanted), Some(max)) if wanted <= max => {
                while !self.held.is_empty() {
                    let payload = std::mem::take(&mut self.out);
                    self.answer(&payload, now);
                }
                self.paused = Some(wanted);
                Ok(())
            }
            (_, max) => {
                self.violations
                    .push(format!("pause='{seconds}' where the maximum is {max:?}"));
                Err("policy-violation")
            }
        }
    }

    /// Ends the session: XEP-0124 §13 where the client asked for it, §17.2 with a condition.
    pub(crate) fn end(&mut self, condition: Option<&str>, payload: &str) {
        if self.over.is_some() {
            return;
        }
        let payload = format!("{}{payload}", std::mem::take(&mut self.out));
        let mut farewell = Some(match condition {
            Some(condition) => terminate(condition, &payload),
            None => format!("<body xmlns='{BOSH}' xmlns:stream='{STREAMS}' type='terminate'>{payload}</body>"),
        });
        let replies = self.held.drain(..).map(|held| held.reply);
        let early = std::mem::take(&mut self.early)
            .into_values()
            .map(|request| request.reply);
        for reply in replies.chain(early) {
            let body = farewell.take().unwrap_or_else(|| format!("<body xmlns='{BOSH}'/>"));
            // A reply that cannot be delivered was not heard: the farewell waits for the next request.
            if let Err(body) = reply.send(body)
                && body.contains("type='terminate'")
            {
                farewell = Some(body);
            }
        }
        self.over = Some(farewell);
    }

    /// True when nobody will miss the session.
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        let patience = self.paused.unwrap_or(self.terms.inactivity);
        let expired =
            now.duration_since(self.active) >= patience && !self.held.iter().any(|held| !held.reply.is_closed());
        matches!(self.over, Some(None)) || expired
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// The same rid again (XEP-0124 §14.3).
    fn repeat(&mut self, request: Request, now: Instant) -> Admission {
        let rid = request.rid;
        if let Some(answered) = self.answered.iter().find(|answered| answered.rid == rid) {
            if answered.raw != request.raw {
                return self.forged(request);
            }
            let _ = request.reply.send(answered.body.clone());
        } else if let Some(held) = self.held.iter_mut().find(|held| held.rid == rid) {
            if held.raw != request.raw {
                return self.forged(request);
            }
            let old = std::mem::replace(&mut held.reply, request.reply);
            held.since = now;
            // The old connection is probably dead. If not, its client learns that something is wrong, recoverably.
            let _ = old.send(format!("<body xmlns='{BOSH}' type='error'/>"));
        } else if let Some(early) = self.early.get_mut(&rid) {
            if early.raw != request.raw {
                return self.forged(request);
            }
            let old = std::mem::replace(&mut early.reply, request.reply);
            let _ = old.send(format!("<body xmlns='{BOSH}' type='error'/>"));
        } else {
            self.violations
                .push(format!("rid {rid} again, when its answer was no longer kept"));
            return Admission::End("item-not-found", request.reply);
        }
        Admission::Done
    }

    fn forged(&mut self, request: Request) -> Admission {
        self.violations
            .push(format!("rid {} again with other bytes", request.rid));
        Admission::End("bad-request", request.reply)
    }

    /// XEP-0124 §11 (over-activity) and §10 (the pace of polling).
    fn too_eager(&self, request: &Request, unanswered: usize, now: Instant) -> bool {
        let soon = self
            .last_arrival
            .is_some_and(|last| now.duration_since(last) + PACE_TOLERANCE < self.terms.polling);
        let polls = self.terms.hold == 0 || self.terms.wait.is_zero() || self.terms.requests == 1;
        let twice = self.last_was_empty && self.last_answer_was_empty;
        // One that later ones have overtaken was sent before them: it is not the client that hurried.
        let overtaken = self.early.keys().any(|rid| *rid > request.rid);
        request.is_empty()
            && soon
            && !overtaken
            && if polls {
                twice
            } else {
                unanswered >= self.terms.requests
            }
    }

    /// XEP-0124 §9.2.
    fn check_ack(&mut self, request: &Request) {
        let Some(ack) = request.body.attribute("ack") else {
            return;
        };
        if !self.terms.client_acks {
            self.violations
                .push("`ack` without having offered acknowledgements".into());
        } else if !ack.parse::<u64>().is_ok_and(|ack| ack < request.rid) {
            self.violations.push(format!("ack='{ack}' in request {}", request.rid));
        }
    }

    /// Answers the oldest request, and keeps the answer.
    fn answer(&mut self, payload: &str, now: Instant) {
        let Some(held) = self.held.pop_front() else { return };
        let mut attributes = match self.header.take() {
            Some(header) => header,
            None if self.terms.sid_everywhere => format!(" sid='{}'", self.sid),
            None => String::new(),
        };
        if self.terms.acks {
            attributes.push_str(&format!(" ack='{}'", self.next - 1));
        }
        let end = if payload.is_empty() {
            "/>".to_owned()
        } else {
            format!(">{payload}</body>")
        };
        let body = format!("<body xmlns='{BOSH}' xmlns:stream='{STREAMS}'{attributes}{end}");
        let _ = held.reply.send(body.clone());
        self.answered.push_back(Answered {
            rid: held.rid,
            raw: held.raw,
            body,
        });
        while self.answered.len() > ANSWERS_KEPT.max(self.terms.requests) {
            self.answered.pop_front();
        }
        self.active = now;
        self.last_answer_was_empty = payload.is_empty();
    }
}

const STREAMS: &str = "http://etherx.jabber.org/streams";

/// A terminal binding condition (XEP-0124 §17.2).
pub(crate) fn terminate(condition: &str, payload: &str) -> String {
    format!("<body xmlns='{BOSH}' xmlns:stream='{STREAMS}' type='terminate' condition='{condition}'>{payload}</body>")
}
