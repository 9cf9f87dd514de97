//! A server of XEP-0198 on TCP. It takes whole elements, as the client writes them, and fails the test where a count is wrong.

use std::collections::{BTreeSet, VecDeque};

use epode::xml::XmlLimits;
use epode::{Element, ElementRef};

use crate::world::Forgets;

#[derive(Debug, Default)]
pub(crate) struct Session {
    id: String,
    /// Stanzas of the client's.
    handled: u32,
    acked: u32,
    /// Those of ours that are not acknowledged.
    queue: VecDeque<String>,
}

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) session: Option<Session>,
    pub(crate) sessions: u32,
    /// There is a link, and the session is on it.
    pub(crate) bound: bool,
    pub(crate) logged_in: bool,
    /// What goes to the client.
    pub(crate) says: VecDeque<String>,
    /// The numbers of the messages that have arrived, as often as they have.
    pub(crate) heard: Vec<u64>,
    pub(crate) resumptions: u32,
    pub(crate) logins: u32,
    pub(crate) forgets: Option<Forgets>,
    /// What arrived before the client could know that the session can be resumed.
    pub(crate) uncertain: BTreeSet<u64>,
    /// Messages for the client that came before there was a session, or that the last one did not take.
    pub(crate) early: Vec<String>,
    /// Without XEP-0198.
    pub(crate) plain: bool,
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='1' from='example.org'>";

impl Server {
    pub(crate) fn disconnected(&mut self) {
        self.bound = false;
        self.logged_in = false;
        self.says.clear();
    }

    /// A message for the client, whether or not it is there.
    pub(crate) fn say(&mut self, number: u64) {
        self.deliver(format!(
            "<message from='romeo@example.net/x'><body>{number}</body></message>"
        ));
    }

    fn deliver(&mut self, message: String) {
        let Some(session) = &mut self.session else {
            return self.early.push(message);
        };
        session.queue.push_back(message.clone());
        if self.bound {
            self.says.push_back(message + "<r xmlns='urn:xmpp:sm:3'/>");
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let mut text = std::str::from_utf8(bytes).unwrap();
        if let Some(at) = text.find("<stream:stream") {
            text = text[at..].split_once('>').unwrap().1;
            self.says.push_back(HEADER.to_owned());
            self.says.push_back(if self.logged_in {
                "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>".to_owned()
                    + if self.plain { "" } else { "<sm xmlns='urn:xmpp:sm:3'/>" }
                    + "</stream:features>"
            } else {
                "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                 <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>"
                    .to_owned()
            });
        }
        let ends = text.ends_with("</stream:stream>");
        let text = text.trim_end_matches("</stream:stream>");
        let document = format!("<x xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{text}</x>");
        let document = Element::parse(&document, &XmlLimits::default()).unwrap();
        for element in document.children() {
            self.element(element);
        }
        if ends {
            self.session = None;
            self.says.push_back("</stream:stream>".to_owned());
        }
    }

    fn element(&mut self, element: ElementRef<'_>) {
        match element.name() {
            "auth" => {
                self.logged_in = true;
                self.says
                    .push_back("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".to_owned());
            }
            "enable" => {
                let session = self.session.as_mut().unwrap();
                session.handled = 0;
                let id = session.id.clone();
                self.says.push_back(format!(
                    "<enabled xmlns='urn:xmpp:sm:3' id='{id}' resume='true' max='300'/>"
                ));
                for message in std::mem::take(&mut self.early) {
                    self.deliver(message);
                }
            }
            "resume" => self.resume(element),
            "a" => {
                let h: u32 = element.attribute("h").unwrap().parse().unwrap();
                self.acknowledged(h);
            }
            "r" => {
                let h = self.session.as_ref().unwrap().handled;
                self.says.push_back(format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
            }
            "iq" | "message" | "presence" => self.stanza(element),
            "active" | "inactive" => {}
            other => panic!("{other}"),
        }
    }

    fn stanza(&mut self, element: ElementRef<'_>) {
        if let Some(bind) = element.child("urn:ietf:params:xml:ns:xmpp-bind", "bind") {
            assert!(bind.children().count() <= 1 && !self.bound);
            self.bound = true;
            self.logins += 1;
            self.sessions += 1;
            let id = format!("sm-{}", self.sessions);
            let before = self.session.take().map(|session| session.queue).unwrap_or_default();
            self.early
                .extend(before.into_iter().filter(|stanza| stanza.starts_with("<message")));
            self.session = Some(Session {
                id,
                ..Session::default()
            });
            let id = element.attribute("id").unwrap();
            self.says.push_back(format!(
                "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <jid>juliet@example.org/balcony</jid></bind></iq>"
            ));
            return;
        }
        assert!(self.bound, "a stanza without a session");
        let session = self.session.as_mut().unwrap();
        session.handled += 1;
        if let Some(body) = element.child("jabber:client", "body") {
            let number = body.text().parse().unwrap();
            self.heard.push(number);
            if self.plain || self.says.iter().any(|said| said.starts_with("<enabled")) {
                self.uncertain.insert(number);
            }
        } else if let ("iq", Some("get")) = (element.name(), element.attribute("type")) {
            let id = element.attribute("id").unwrap();
            let answer = format!("<iq type='result' id='{id}' from='example.org'/>");
            if !self.plain {
                session.queue.push_back(answer.clone());
            }
            self.says.push_back(answer);
        }
    }

    fn resume(&mut self, resume: ElementRef<'_>) {
        let previd = resume.attribute("previd").unwrap();
        let h: u32 = resume.attribute("h").unwrap().parse().unwrap();
        let known = self.session.as_ref().filter(|session| session.id == previd);
        match (known, self.forgets.take()) {
            (Some(session), None) => {
                self.says.push_back(format!(
                    "<resumed xmlns='urn:xmpp:sm:3' previd='{previd}' h='{}'/>",
                    session.handled
                ));
                self.bound = true;
                self.resumptions += 1;
                self.acknowledged(h);
                let again = self.session.as_ref().unwrap().queue.clone();
                self.says.extend(again);
            }
            (session, forgets) => {
                let h = match (session, forgets) {
                    (Some(session), Some(Forgets::ButTheCount)) => format!(" h='{}'", session.handled),
                    _ => String::new(),
                };
                self.says.push_back(format!(
                    "<failed xmlns='urn:xmpp:sm:3'{h}><item-not-found \
                     xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
                ));
                self.session = None;
            }
        }
    }

    fn acknowledged(&mut self, h: u32) {
        let session = self.session.as_mut().unwrap();
        let count = h.checked_sub(session.acked).expect("it had acknowledged more") as usize;
        assert!(count <= session.queue.len(), "it acknowledges what was never sent");
        session.queue.drain(..count);
        session.acked = h;
    }
}
