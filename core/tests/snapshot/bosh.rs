//! A connection manager that holds one request, keeps its last answers, and fails the test where a number comes again with
//! other bytes.

use std::collections::{BTreeMap, VecDeque};

use epode::xml::XmlLimits;
use epode::{Element, ElementRef, RequestId};

const NS: &str = "xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";
/// How many answers are kept (XEP-0124 §14.3: as many as there may be requests).
const KEPT: usize = 2;

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    pub(crate) sid: Option<String>,
    pub(crate) sessions: u32,
    pub(crate) next_rid: u64,
    pub(crate) bodies: BTreeMap<u64, Vec<u8>>,
    /// Requests without an answer.
    pub(crate) held: BTreeMap<u64, RequestId>,
    pub(crate) answers: BTreeMap<u64, String>,
    pub(crate) queue: VecDeque<String>,
    pub(crate) bound: bool,
    /// The client has said something since it is bound: messages can go to it.
    pub(crate) live: bool,
    /// Those for the client.
    pub(crate) messages: Vec<u64>,
    /// What goes to the client.
    pub(crate) says: VecDeque<(RequestId, String)>,
    /// The numbers of the messages that have arrived, as often as they have.
    pub(crate) heard: Vec<u64>,
    pub(crate) logins: u32,
    pub(crate) replays: u32,
    pub(crate) forgets: bool,
}

impl Manager {
    pub(crate) fn disconnected(&mut self) {
        self.says.clear();
        if std::mem::take(&mut self.forgets) {
            self.sid = None;
        }
    }

    pub(crate) fn say(&mut self, number: u64) {
        self.messages.push(number);
        self.release();
    }

    /// What was held for as long as was agreed.
    pub(crate) fn wait_is_over(&mut self) {
        let open: Vec<u64> = self.held.keys().copied().collect();
        open.into_iter().for_each(|rid| self.answer(rid, "", ""));
    }

    pub(crate) fn post(&mut self, request: RequestId, bytes: &[u8]) {
        let body = Element::parse(bytes, &XmlLimits::default()).unwrap();
        let rid: u64 = body.attribute("rid").unwrap().parse().unwrap();
        let Some(sid) = body.attribute("sid") else {
            return self.create(request, rid, bytes);
        };
        if self.sid.as_deref() != Some(sid) {
            let gone = format!("<body {NS} type='terminate' condition='item-not-found'/>");
            return self.says.push_back((request, gone));
        }
        if let Some(before) = self.bodies.get(&rid) {
            assert_eq!(before, bytes, "rid {rid} comes again with other bytes");
            if let Some(held) = self.held.get_mut(&rid) {
                *held = request;
            } else {
                self.replays += 1;
                let answer = self.answers.get(&rid).expect("an answer that was acknowledged");
                self.says.push_back((request, answer.clone()));
            }
            return;
        }
        assert_eq!(rid, self.next_rid, "the next number");
        self.next_rid += 1;
        self.bodies.insert(rid, bytes.to_vec());
        self.live = self.bound;
        self.held.insert(rid, request);
        if body.attributes().any(|attribute| attribute.name == "restart") {
            self.queue.push_back(
                "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>".to_owned(),
            );
        }
        for element in body.children() {
            self.element(element);
        }
        if body.attribute("type") == Some("terminate") {
            let open: Vec<u64> = self.held.keys().copied().collect();
            open.into_iter()
                .for_each(|rid| self.answer(rid, " type='terminate'", ""));
            self.sid = None;
            return;
        }
        self.release();
    }

    fn create(&mut self, request: RequestId, rid: u64, bytes: &[u8]) {
        self.sessions += 1;
        let sid = format!("bosh-{}", self.sessions);
        let said = format!(" sid='{sid}' wait='60' hold='1' requests='2' inactivity='300' ver='1.6' ack='{rid}'");
        self.sid = Some(sid);
        self.next_rid = rid + 1;
        self.bodies = BTreeMap::from([(rid, bytes.to_vec())]);
        self.held = BTreeMap::from([(rid, request)]);
        self.answers.clear();
        (self.bound, self.live) = (false, false);
        self.queue.clear();
        self.answer(
            rid,
            &said,
            "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
             <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>",
        );
    }

    fn element(&mut self, element: ElementRef<'_>) {
        if element.name() == "auth" {
            self.queue
                .push_back("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned());
        } else if let Some(body) = element.child("jabber:client", "body") {
            self.heard.push(body.text().parse().unwrap());
        } else if element.name() == "iq" {
            let id = element.attribute("id").unwrap();
            let payload = if element.child("urn:ietf:params:xml:ns:xmpp-bind", "bind").is_some() {
                self.logins += 1;
                "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@example.org/balcony</jid></bind>"
            } else {
                ""
            };
            self.queue.push_back(format!(
                "<iq xmlns='jabber:client' type='result' id='{id}'>{payload}</iq>"
            ));
            self.bound |= !payload.is_empty();
        }
    }

    fn release(&mut self) {
        while let Some((rid, _)) = self.held.first_key_value() {
            let rid = *rid;
            let nothing = self.queue.is_empty() && (self.messages.is_empty() || !self.live);
            if nothing && self.held.len() <= 1 {
                return;
            }
            let mut payload = std::mem::take(&mut self.queue).into_iter().collect::<String>();
            if self.live {
                for number in std::mem::take(&mut self.messages) {
                    payload.push_str(&format!(
                        "<message xmlns='jabber:client' from='romeo@example.net/x'><body>{number}</body></message>"
                    ));
                }
            }
            self.answer(rid, "", &payload);
        }
    }

    fn answer(&mut self, rid: u64, attributes: &str, payload: &str) {
        let answer = format!("<body {NS}{attributes}>{payload}</body>");
        let request = self.held.remove(&rid).unwrap();
        self.says.push_back((request, answer.clone()));
        self.answers.insert(rid, answer);
        while self.answers.len() > KEPT {
            self.answers.pop_first();
        }
    }
}
