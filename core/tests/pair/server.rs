//! A connection manager (XEP-0124, XEP-0206) that is strict: whatever a client may not do panics, and so fails the test.

use std::collections::BTreeMap;
use std::format;
// The crate's own tests use this file too, and have no prelude of std.
use std::{borrow::ToOwned, string::String, vec::Vec};

use epode::Element;
use epode::xml::XmlLimits;
use sha1::{Digest, Sha1};

const NS: &str = "xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";
const XBOSH: &str = "urn:xmpp:xbosh";

/// How the connection manager is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters {
    pub(crate) hold: u8,
    pub(crate) requests: u8,
    /// Seconds.
    pub(crate) wait: u64,
    pub(crate) polling: Option<u64>,
    pub(crate) inactivity: Option<u64>,
    pub(crate) maxpause: Option<u64>,
    /// It acknowledges requests.
    pub(crate) ack: bool,
    /// It says no version.
    pub(crate) legacy: bool,
    /// It may say where it misses the client's acknowledgement of an answer.
    pub(crate) report: bool,
    /// It may forget the namespace of stanzas.
    pub(crate) forgets_namespace: bool,
    /// Features come in an answer of their own.
    pub(crate) late_features: bool,
}

/// One HTTP request as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Connection(pub(crate) u64);

/// An answer on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) connection: Connection,
    pub(crate) body: String,
}

#[derive(Debug)]
struct Held {
    connection: Connection,
    since: u64,
}

#[derive(Debug)]
struct Buffered {
    body: String,
    sent: u64,
}

/// One session, and its state. All times are milliseconds.
#[derive(Debug)]
pub(crate) struct Server {
    parameters: Parameters,
    sid: String,
    client_acks: bool,
    next_rid: u64,
    seen: BTreeMap<u64, Vec<u8>>,
    early: BTreeMap<u64, Connection>,
    held: BTreeMap<u64, Held>,
    answers: BTreeMap<u64, Buffered>,
    outbox: Vec<String>,
    ready: Vec<Answer>,
    report: Option<(u64, u64)>,
    last_arrival: Option<u64>,
    last_empty: Option<u64>,
    last_answer_was_empty: bool,
    last_answered: Option<u64>,
    features_due: bool,
    /// The key that the next request's has to be the origin of (§15.5).
    key: Option<String>,
    /// In place of the inactivity period, until the next request (§10).
    paused: Option<u64>,
    pub(crate) online: bool,
    pub(crate) over: bool,
    /// The numbers of the client's messages, as they arrived.
    pub(crate) received: Vec<u64>,
    pub(crate) replays: u64,
    pub(crate) reports: u64,
    pub(crate) pauses: u64,
    pub(crate) keys: u64,
}

impl Server {
    pub(crate) fn new(parameters: Parameters) -> Self {
        Self {
            parameters,
            sid: "it's <a> \"session\" & more".to_owned(),
            client_acks: false,
            next_rid: 0,
            seen: BTreeMap::new(),
            early: BTreeMap::new(),
            held: BTreeMap::new(),
            answers: BTreeMap::new(),
            outbox: Vec::new(),
            ready: Vec::new(),
            report: None,
            last_arrival: None,
            last_empty: None,
            last_answer_was_empty: false,
            last_answered: None,
            features_due: false,
            key: None,
            paused: None,
            online: false,
            over: false,
            received: Vec::new(),
            replays: 0,
            reports: 0,
            pauses: 0,
            keys: 0,
        }
    }

    /// A session that was created and logged in already, by somebody who used all numbers below `rid`; `key` was the last
    /// key of its sequence that was shown or announced.
    #[allow(dead_code, reason = "the tests of the link alone use it")]
    pub(crate) fn attached(parameters: Parameters, now: u64, rid: u64, client_acks: bool, key: Option<String>) -> Self {
        let mut server = Self::new(parameters);
        server.next_rid = rid;
        server.client_acks = client_acks;
        server.last_answered = Some(now);
        server.key = key;
        server.online = true;
        server
    }

    #[allow(dead_code, reason = "the tests of the link alone use it")]
    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    fn is_polling(&self) -> bool {
        self.parameters.hold == 0 || self.parameters.wait == 0 || self.parameters.requests == 1
    }

    /// A stanza for the client.
    pub(crate) fn send(&mut self, now: u64, stanza: String) {
        self.outbox.push(stanza);
        self.release(now);
    }

    /// What is to be answered now.
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut self.ready)
    }

    /// When something has to be done without a request.
    pub(crate) fn deadline(&self) -> Option<u64> {
        if self.over {
            return None;
        }
        let wait = self.parameters.wait * 1000;
        let held = self.held.values().map(|held| held.since + wait).min();
        let dead = self.inactive_at();
        held.into_iter().chain(dead).min()
    }

    fn inactive_at(&self) -> Option<u64> {
        let idle = self.held.is_empty() && self.early.is_empty();
        let inactivity = self
            .paused
            .or(self.parameters.inactivity)
            .filter(|_| idle && self.online)?;
        Some(self.last_answered? + inactivity * 1000 + 1)
    }

    pub(crate) fn tick(&mut self, now: u64) {
        if self.over {
            return;
        }
        if self.inactive_at().is_some_and(|at| at <= now) {
            self.over = true;
            return;
        }
        let wait = self.parameters.wait * 1000;
        while let Some((rid, held)) = self.held.first_key_value() {
            if held.since + wait > now {
                break;
            }
            let rid = *rid;
            self.answer(now, rid, "", "");
        }
    }

    /// A request has arrived. `live` says whether anybody still waits for its answer.
    pub(crate) fn request(&mut self, now: u64, connection: Connection, bytes: &[u8], live: bool) {
        let body = Element::parse(bytes, &XmlLimits::default()).unwrap();
        assert!(body.is("http://jabber.org/protocol/httpbind", "body"));
        let rid: u64 = body.attribute("rid").unwrap().parse().unwrap();
        if let Some(before) = self.seen.insert(rid, bytes.to_vec()) {
            assert_eq!(
                String::from_utf8_lossy(&before),
                String::from_utf8_lossy(bytes),
                "rid {rid} came with other bytes"
            );
        }
        if self.over {
            let body = format!("<body {NS} type='terminate' condition='item-not-found'/>");
            self.ready.push(Answer { connection, body });
            return;
        }
        if self.next_rid == 0 {
            assert_eq!(body.attribute("sid"), None);
            assert_eq!(body.attribute("to"), Some("example.org"));
            assert_eq!(body.attribute("ver"), Some("1.6"));
            self.client_acks = body.attribute("ack") == Some("1");
            self.next_rid = rid;
        } else {
            assert_eq!(body.attribute("sid"), Some(self.sid.as_str()));
        }
        if rid < self.next_rid {
            return self.again(rid, connection, live);
        }
        // §14.2: the window; the goodbye may be one beyond it.
        let last = self.next_rid - 1 + u64::from(self.parameters.requests);
        let exceeds = body.attribute("type") == Some("terminate") || body.attribute("pause").is_some();
        assert!(
            rid <= last + u64::from(exceeds),
            "rid {rid} is outside the window, {last}"
        );
        self.early.insert(rid, connection);
        while let Some(connection) = self.early.remove(&self.next_rid) {
            let rid = self.next_rid;
            self.next_rid += 1;
            self.process(now, rid, connection);
        }
        self.release(now);
    }

    /// A request that came before (§14.3).
    fn again(&mut self, rid: u64, connection: Connection, live: bool) {
        self.replays += 1;
        if let Some(held) = self.held.get_mut(&rid) {
            if live || held.connection == connection {
                let body = format!("<body {NS} type='error'/>");
                let old = std::mem::replace(&mut held.connection, connection);
                self.ready.push(Answer { connection: old, body });
            }
        } else if let Some(answer) = self.answers.get(&rid) {
            let body = answer.body.clone();
            self.ready.push(Answer { connection, body });
        } else {
            assert!(
                !live,
                "the answer to {rid} is not buffered any more, and the client asks for it"
            );
        }
    }

    fn process(&mut self, now: u64, rid: u64, connection: Connection) {
        let bytes = self.seen.get(&rid).unwrap().clone();
        let body = Element::parse(&bytes, &XmlLimits::default()).unwrap();
        let terminates = body.attribute("type") == Some("terminate");
        let empty = body.children().next().is_none() && !terminates;
        self.check_pace(now, rid, &body, empty);
        self.check_ack(now, rid, body.attribute("sid").is_none(), body.attribute("ack"));
        self.check_key(body.attribute("key"), body.attribute("newkey"), rid);
        self.paused = None;
        self.held.insert(rid, Held { connection, since: now });
        if body.attribute("sid").is_none() {
            return self.create(now, rid);
        }
        if let Some(seconds) = body.attribute("pause") {
            return self.pause(now, empty, seconds.parse().unwrap());
        }
        if body.attribute_ns(XBOSH, "restart") == Some("true") {
            assert!(body.children().next().is_none());
            assert_eq!(body.attribute("from"), Some("juliet@example.org"));
            let features = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
            return self.answer(now, rid, "", features);
        }
        for payload in body.children() {
            match (payload.namespace(), payload.name()) {
                ("urn:ietf:params:xml:ns:xmpp-sasl", "auth") => {
                    assert_eq!(payload.attribute("mechanism"), Some("EXTERNAL"));
                    self.outbox
                        .push("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned());
                }
                ("jabber:client", "iq") => self.iq(payload),
                ("jabber:client", "message") => {
                    assert!(self.online);
                    let number = payload.child("jabber:client", "body").unwrap().text().parse().unwrap();
                    self.received.push(number);
                }
                ("jabber:client", "presence") if terminates => {}
                other => panic!("{other:?}"),
            }
        }
        if terminates {
            self.terminate(now);
        } else if empty && self.features_due {
            self.features_due = false;
            self.answer(now, rid, "", mechanisms());
        }
    }

    /// Overactivity (§11).
    fn check_pace(&mut self, now: u64, rid: u64, body: &Element, empty: bool) {
        let exceeds = body.attribute("type") == Some("terminate") || body.attribute("pause").is_some();
        let polling = self.parameters.polling.unwrap_or(0) * 1000;
        let open = self.held.len() + 1;
        let requests = usize::from(self.parameters.requests);
        assert!(
            open <= requests + usize::from(exceeds),
            "{open} requests at once, {requests} are allowed"
        );
        let restarts = body.attribute_ns(XBOSH, "restart").is_some();
        let poll = empty && !restarts && !exceeds && body.attribute("sid").is_some();
        if self.is_polling() {
            if let (true, Some(last)) = (poll && self.last_answer_was_empty, self.last_empty) {
                assert!(now - last >= polling, "rid {rid}: polled after {} ms", now - last);
            }
        } else if let (true, Some(last)) = (poll && open == requests, self.last_arrival) {
            assert!(
                now - last >= polling,
                "rid {rid}: the last request is empty, after {} ms",
                now - last
            );
        }
        self.last_arrival = Some(now);
        self.last_empty = poll.then_some(now);
    }

    /// What the client says of our answers (§9.2), and what we say about that (§9.3).
    fn check_ack(&mut self, now: u64, rid: u64, creates: bool, ack: Option<&str>) {
        let first = *self.seen.first_key_value().unwrap().0;
        if !self.client_acks {
            assert_eq!(ack, None);
            // §14.2: without acknowledgements, as many answers are kept as there may be requests.
            let keep = u64::from(self.parameters.requests);
            self.answers.retain(|old, _| old + keep >= rid);
            return;
        }
        if creates {
            return;
        }
        let upto = match ack {
            Some(ack) => ack.parse().unwrap(),
            None => rid - 1,
        };
        assert!(upto < rid && upto + 1 >= first, "ack {upto} in {rid}");
        // Whatever the client says that it has, it must have been sent.
        assert!(
            self.held.keys().all(|held| *held > upto),
            "ack {upto} of what was not answered"
        );
        self.answers.retain(|old, _| *old > upto);
        if self.parameters.report
            && let Some(lost) = self.answers.get(&(upto + 1))
        {
            self.report = Some((upto + 1, now - lost.sent));
        }
    }

    /// Whoever sends a request has sent the one before it (§15.5).
    fn check_key(&mut self, key: Option<&str>, newkey: Option<&str>, rid: u64) {
        if let Some(last) = &self.key {
            let key = key.unwrap_or_else(|| panic!("{rid} has no key"));
            let digest: String = Sha1::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, *last, "{rid} has the wrong key");
            self.key = Some(newkey.unwrap_or(key).to_owned());
            self.keys += 1;
        } else {
            assert_eq!(key, None);
            self.key = newkey.map(str::to_owned);
        }
    }

    /// §10: all that is held is answered, with nothing in it.
    fn pause(&mut self, now: u64, empty: bool, seconds: u64) {
        let most = self.parameters.maxpause.expect("pauses were granted");
        assert!((1..=most).contains(&seconds) && empty);
        let open: Vec<u64> = self.held.keys().copied().collect();
        for rid in open {
            self.answer(now, rid, "", "");
        }
        self.paused = Some(seconds);
        self.pauses += 1;
    }

    fn create(&mut self, now: u64, rid: u64) {
        let Parameters {
            hold,
            requests,
            wait,
            polling,
            inactivity,
            maxpause,
            ack,
            legacy,
            late_features,
            ..
        } = self.parameters;
        let mut said = format!(
            " sid='{}' wait='{wait}' hold='{hold}' requests='{requests}'",
            self.sid
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('\'', "&apos;")
        );
        for (name, value) in [("polling", polling), ("inactivity", inactivity), ("maxpause", maxpause)] {
            if let Some(value) = value {
                said.push_str(&format!(" {name}='{value}'"));
            }
        }
        if ack {
            said.push_str(&format!(" ack='{rid}'"));
        }
        if !legacy {
            said.push_str(" ver='1.6'");
        }
        self.features_due = late_features;
        self.answer(now, rid, &said, if late_features { "" } else { mechanisms() });
    }

    fn iq(&mut self, iq: epode::ElementRef<'_>) {
        let id = iq.attribute("id").unwrap();
        let payload = iq.children().next().unwrap();
        if payload.name() == "bind" {
            assert!(!self.online);
            self.online = true;
            self.outbox.push(format!(
                "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <jid>juliet@example.org/balcony</jid></bind></iq>"
            ));
        } else {
            assert!(self.online);
            self.outbox.push(format!(
                "<iq xmlns='jabber:client' type='result' id='{id}' from='example.org'/>"
            ));
        }
    }

    /// §13: the oldest one is told, and all others are answered.
    fn terminate(&mut self, now: u64) {
        let mut how = " type='terminate'";
        let open: Vec<u64> = self.held.keys().copied().collect();
        for rid in open {
            self.answer(now, rid, how, "");
            how = "";
        }
        self.over = true;
    }

    /// Answers what need not be held any longer, oldest first.
    fn release(&mut self, now: u64) {
        while let Some((rid, _)) = self.held.first_key_value() {
            let rid = *rid;
            if !self.outbox.is_empty() {
                let mut stanzas: String = std::mem::take(&mut self.outbox).concat();
                if self.parameters.forgets_namespace {
                    stanzas = stanzas.replace(" xmlns='jabber:client'", "");
                }
                self.answer(now, rid, "", &stanzas);
            } else if self.held.len() > usize::from(self.parameters.hold) || self.is_polling() {
                self.answer(now, rid, "", "");
            } else {
                return;
            }
        }
    }

    fn answer(&mut self, now: u64, rid: u64, attributes: &str, payloads: &str) {
        let held = self.held.remove(&rid).unwrap();
        let mut attributes = attributes.to_owned();
        let newest = self.next_rid - 1;
        if self.parameters.ack && newest != rid && !attributes.contains("sid=") {
            attributes.push_str(&format!(" ack='{newest}'"));
        }
        if let Some((lost, time)) = self.report.take()
            && lost != rid
        {
            self.reports += 1;
            attributes.push_str(&format!(" report='{lost}' time='{time}'"));
        }
        let body = format!("<body {NS}{attributes}>{payloads}</body>");
        self.last_answer_was_empty = payloads.is_empty();
        self.last_answered = Some(now);
        let buffered = Buffered {
            body: body.clone(),
            sent: now,
        };
        self.answers.insert(rid, buffered);
        let connection = held.connection;
        self.ready.push(Answer { connection, body });
    }
}

fn mechanisms() -> &'static str {
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
     </stream:features>"
}
