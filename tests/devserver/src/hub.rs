//! All sessions: finds the one a request belongs to, carries out what its stream asks for, routes stanzas between users.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;

use crate::accounts::Accounts;
use crate::faults::{Board, Transport};
use crate::links::{Link, stream_error};
use crate::personality::{Habits, SidShape};
use crate::sasl::{bare, local_part};
use crate::session::{Admission, Reply, Request, Session, Terms, terminate};
use crate::sm::{Tombstone, Waiting};
use crate::stream::{Action, BOSH, Context, error, hex};
use crate::tls::Peer;
use crate::xml::{self, Element, Node, escape};
use crate::{Attempt, Authentication, Settings, Statistics};

/// XEP-0124 §14.1: a rid must be exact in a double.
const MAX_RID: u64 = (1 << 53) - 1;

/// Where an action comes from, and its answer goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// A BOSH session, by its sid.
    Bosh(String),
    /// A stream over TCP or WebSocket.
    Link(u64),
}

/// Who a stanza is for.
enum Recipient {
    Bosh(String),
    Link(u64),
    /// By its place among those that wait to be resumed.
    Waiting(usize),
}

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) settings: Arc<Settings>,
    pub(crate) board: Arc<Board>,
    pub(crate) habits: &'static Habits,
    /// As they are now.
    pub(crate) options: Authentication,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: BTreeMap<String, Session>,
    /// Streams over TCP and WebSocket that have a connection.
    pub(crate) links: BTreeMap<u64, Link>,
    pub(crate) last_link: u64,
    /// Those that wait for a new one (XEP-0198).
    pub(crate) waiting: VecDeque<Waiting>,
    pub(crate) tombstones: VecDeque<Tombstone>,
    violations: Vec<String>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) statistics: Statistics,
}

impl Hub {
    pub(crate) fn new(settings: Arc<Settings>, board: Arc<Board>, accounts: Accounts) -> Self {
        Self {
            habits: settings.personality.habits(),
            options: settings.authentication.clone(),
            settings,
            board,
            accounts,
            sessions: BTreeMap::new(),
            links: BTreeMap::new(),
            last_link: 0,
            waiting: VecDeque::new(),
            tombstones: VecDeque::new(),
            violations: Vec::new(),
            attempts: Vec::new(),
            statistics: Statistics::default(),
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.clone()
    }

    /// A client did what it must not.
    pub(crate) fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    /// One HTTP request's body. The answer comes through `reply`, at once or later.
    pub(crate) fn receive(&mut self, raw: Bytes, peer: Arc<Peer>, reply: Reply, now: Instant) {
        self.statistics.requests += 1;
        let body = match well_formed(&raw) {
            Ok(body) => body,
            Err(why) => {
                self.violations.push(format!("malformed body: {why}"));
                let _ = reply.send(terminate("bad-request", ""));
                return;
            }
        };
        let rid = body
            .attribute("rid")
            .and_then(|rid| rid.parse().ok())
            .filter(|rid| (1..=MAX_RID).contains(rid));
        let Some(rid) = rid else {
            self.violations
                .push("no rid, or not a number between 1 and 2^53-1".into());
            let _ = reply.send(terminate("bad-request", ""));
            return;
        };
        let sid = body.attribute("sid").map(str::to_owned);
        let request = Request {
            rid,
            raw,
            body,
            peer,
            reply,
        };
        match sid {
            None => self.create(request, now),
            Some(sid) => self.continue_session(&sid, request, now),
        }
    }

    /// Answers what has waited long enough, forgets who has not been heard of.
    pub(crate) fn tick(&mut self, now: Instant) {
        for session in self.sessions.values_mut() {
            session.flush(now);
            if session.is_gone(now) {
                session.end(Some("item-not-found"), "");
            }
        }
        self.sessions.retain(|_, session| !session.is_gone(now));
        while let Some(at) = self.waiting.iter().position(|waiting| waiting.until <= now) {
            if let Some(Waiting { link, .. }) = self.waiting.remove(at) {
                self.bury(link);
            }
        }
    }

    /// The server goes away.
    pub(crate) fn shut(&mut self) {
        for session in self.sessions.values_mut() {
            session.end(Some("system-shutdown"), "");
        }
        self.sessions.clear();
        for link in self.links.values_mut() {
            link.finish("system-shutdown", "");
        }
        self.links.clear();
    }

    /// XEP-0124 §7, XEP-0206 §4.
    fn create(&mut self, request: Request, now: Instant) {
        let condition = match request.body.attribute("to") {
            None | Some("") => Some("improper-addressing"),
            Some(to) if !to.eq_ignore_ascii_case(&self.settings.domain) => Some("host-unknown"),
            Some(_) => None,
        };
        if let Some(condition) = condition {
            let _ = request.reply.send(terminate(condition, ""));
            return;
        }
        let sid = self.new_sid();
        let terms = self.terms(&request.body);
        let header = self.header(&request.body, &sid, &terms);
        let from = request.body.attribute("from").map(str::to_owned);
        let session = Session::new(sid.clone(), request, terms, header, now);
        let session = self.sessions.entry(sid).or_insert(session);
        let creation = session.creation.clone();
        let context = Context {
            settings: &self.settings,
            habits: self.habits,
            options: &self.options,
            accounts: &mut self.accounts,
            transport: Transport::Bosh,
            creation: &creation,
            request: &creation,
        };
        session.stream.claim(from.as_deref(), &self.settings.domain);
        session.out = session.stream.features(&context);
        session.flush(now);
    }

    fn continue_session(&mut self, sid: &str, request: Request, now: Instant) {
        let Some(session) = self.sessions.get_mut(sid) else {
            let _ = request.reply.send(terminate("item-not-found", ""));
            return;
        };
        if request.peer.certificate != session.creation.certificate {
            // XEP-0124 §17.1 wants one certificate for all connections of a session. Real servers look away.
            self.violations
                .push(format!("request {} came with another client certificate", request.rid));
        }
        let admission = session.admit(request, now);
        self.violations.append(&mut session.violations);
        match admission {
            Admission::Done => {}
            Admission::End(condition, reply) => {
                let _ = reply.send(terminate(condition, ""));
                session.end(Some(condition), "");
            }
            Admission::Process(requests) => {
                for request in requests {
                    self.process(sid, request, now);
                }
            }
        }
        self.tick(now);
    }

    /// One request, in order. The answers leave with the next flush.
    fn process(&mut self, sid: &str, mut request: Request, now: Instant) {
        let Some(session) = self.sessions.get_mut(sid).filter(|session| !session.is_over()) else {
            let _ = request.reply.send(terminate("item-not-found", ""));
            return;
        };
        let elements: Vec<Element> = std::mem::take(&mut request.body.children)
            .into_iter()
            .filter_map(|node| match node {
                Node::Element(element) => Some(element),
                Node::Text(_) => None,
            })
            .collect();
        let peer = request.peer.clone();
        let creation = session.creation.clone();
        let (restart, terminates) = (request.is_restart(), request.is_terminate());
        let pause = request.pause().map(str::to_owned);
        session.hold(request, now);
        let mut context = Context {
            settings: &self.settings,
            habits: self.habits,
            options: &self.options,
            accounts: &mut self.accounts,
            transport: Transport::Bosh,
            creation: &creation,
            request: &peer,
        };
        let mut actions = Vec::new();
        if restart {
            if !elements.is_empty() {
                actions.push(Action::Violation("a restart request with content".into()));
            }
            actions.extend(session.stream.restart(&context));
        } else {
            for element in elements {
                actions.extend(session.stream.element(element, &mut context));
                if actions.iter().any(|action| matches!(action, Action::StreamError(_))) {
                    break;
                }
            }
        }
        let client = Client::Bosh(sid.to_owned());
        for action in actions {
            self.perform(&client, action);
        }
        let Some(session) = self.sessions.get_mut(sid) else {
            return;
        };
        if terminates {
            session.end(None, "");
        } else if let Some(seconds) = pause
            && let Err(condition) = session.pause(&seconds, now)
        {
            session.end(Some(condition), "");
        }
        self.violations.append(&mut session.violations);
        session.flush(now);
    }

    pub(crate) fn perform(&mut self, client: &Client, action: Action) {
        let ask_every = self.ask_every();
        match (action, client) {
            (Action::Reply(xml) | Action::Stanza(xml), Client::Bosh(sid)) => {
                if let Some(session) = self.sessions.get_mut(sid) {
                    session.out.push_str(&xml);
                }
            }
            (Action::Reply(xml), Client::Link(id)) => {
                if let Some(link) = self.links.get_mut(id) {
                    link.send(&xml);
                }
            }
            (Action::Stanza(xml), Client::Link(id)) => {
                if let Some(link) = self.links.get_mut(id) {
                    link.send_stanza(&xml, None, ask_every);
                }
            }
            (Action::Route(stanza), _) => self.route(client, &stanza),
            (Action::Bound(jid), _) => self.replace(client, &jid),
            (Action::StreamError(condition), Client::Bosh(sid)) => {
                if let Some(session) = self.sessions.get_mut(sid) {
                    session.end(Some("remote-stream-error"), &stream_error(condition, ""));
                }
            }
            (Action::StreamError(condition), Client::Link(id)) => self.end_link(*id, condition, "", false),
            (Action::Violation(what), _) => self.violations.push(what),
            (Action::ClientState, _) => self.statistics.client_states += 1,
            (Action::Attempt(attempt), _) => self.attempts.push(attempt),
            (Action::Grant(grant), _) => self.grant(client, *grant),
            (Action::Removed(user), _) => self.remove_account(&user),
            (Action::Revoked(der), _) => self.expel(|stream| stream.certificate.as_ref() == Some(&der)),
            (Action::LoggedIn, _) => self.statistics.logins += 1,
            (Action::Refused, _) => self.statistics.refusals += 1,
        }
    }

    /// RFC 6120 §7.7.2.2: the newcomer wins, as it does with real servers by default.
    fn replace(&mut self, newcomer: &Client, jid: &str) {
        let domain = self.settings.domain.clone();
        let has_it = |stream: &crate::stream::Stream| stream.jid(&domain).as_deref() == Some(jid);
        for (sid, session) in &mut self.sessions {
            let is_new = matches!(newcomer, Client::Bosh(new) if new == sid);
            if !is_new && has_it(&session.stream) {
                session.end(Some("remote-stream-error"), &stream_error("conflict", ""));
            }
        }
        let replaced: Vec<u64> = self
            .links
            .iter()
            .filter(|(id, link)| *newcomer != Client::Link(**id) && has_it(&link.stream))
            .map(|(id, _)| *id)
            .collect();
        for id in replaced {
            self.end_link(id, "conflict", "", false);
        }
        while let Some(at) = self.waiting.iter().position(|waiting| has_it(&waiting.link.stream)) {
            if let Some(Waiting { link, .. }) = self.waiting.remove(at) {
                self.bury(link);
            }
        }
    }

    /// RFC 6121 §8.5, as far as two users need it: presence and availability do not count.
    fn route(&mut self, client: &Client, stanza: &Element) {
        let to = stanza.attribute("to").unwrap_or_default();
        let (account, resource) = (bare(to), to.split_once('/').map(|(_, resource)| resource));
        let kind = stanza.attribute("type").unwrap_or_default();
        let condition = match local_part(&account, &self.settings.domain) {
            None => Some("remote-server-not-found"),
            Some(user) if !self.accounts.exists(user) => Some("service-unavailable"),
            Some(_) => self
                .deliver(stanza, &account, resource, kind)
                .then_some("service-unavailable"),
        };
        // RFC 6120 §8.3.1: an error is never answered with an error, nor is a result; presence to nobody is dropped.
        let (Some(condition), false) = (
            condition,
            matches!(kind, "error" | "result") || stanza.name == "presence",
        ) else {
            return;
        };
        let reply = error(
            stanza,
            stanza.attribute("from").unwrap_or_default(),
            "cancel",
            condition,
        );
        self.perform(client, Action::Stanza(reply));
    }

    /// Hands a stanza to the sessions it is for. True if there were none.
    fn deliver(&mut self, stanza: &Element, account: &str, resource: Option<&str>, kind: &str) -> bool {
        let domain = self.settings.domain.as_str();
        // RFC 6121 §8.5.2.1.1: a groupchat message, and (§8.5.2.1.3) an iq, is not for a bare address's resources.
        let to_resource_only = stanza.name == "iq" || kind == "groupchat";
        if to_resource_only && resource.is_none() {
            return true;
        }
        let (mut reached, mut others) = (Vec::new(), Vec::new());
        let mut sort = |jid: Option<String>, recipient: Recipient| {
            let Some(jid) = jid.filter(|jid| bare(jid) == account) else {
                return;
            };
            let here = jid.split_once('/').map(|(_, resource)| resource);
            if resource.is_none() || here == resource {
                reached.push(recipient);
            } else {
                others.push(recipient);
            }
        };
        for (sid, session) in self.sessions.iter().filter(|(_, session)| !session.is_over()) {
            sort(session.stream.jid(domain), Recipient::Bosh(sid.clone()));
        }
        for (id, link) in &self.links {
            sort(link.stream.jid(domain), Recipient::Link(*id));
        }
        for (at, waiting) in self.waiting.iter().enumerate() {
            sort(waiting.link.stream.jid(domain), Recipient::Waiting(at));
        }
        // RFC 6121 §8.5.3.2.1: a message for a resource that has left goes to those that have not.
        if reached.is_empty() && stanza.name == "message" && !to_resource_only {
            reached = others;
        }
        let (xml, ask_every) = (stanza.to_xml(), self.ask_every());
        for recipient in &reached {
            match recipient {
                Recipient::Bosh(sid) => {
                    if let Some(session) = self.sessions.get_mut(sid) {
                        session.out.push_str(&xml);
                    }
                }
                Recipient::Link(id) => {
                    if let Some(link) = self.links.get_mut(id) {
                        link.send_stanza(&xml, Some(stanza), ask_every);
                    }
                }
                Recipient::Waiting(at) => {
                    if let Some(waiting) = self.waiting.get_mut(*at) {
                        waiting.link.send_stanza(&xml, Some(stanza), ask_every);
                    }
                }
            }
        }
        reached.is_empty()
    }

    pub(crate) fn new_sid(&self) -> String {
        match self.habits.sid {
            SidShape::Hex => hex(&self.accounts.random_bytes::<20>()),
            SidShape::Uuid => {
                let hex = hex(&self.accounts.random_bytes::<16>());
                let mut sid = String::new();
                for (index, digit) in hex.chars().enumerate() {
                    if matches!(index, 8 | 12 | 16 | 20) {
                        sid.push('-');
                    }
                    // RFC 9562 §5.4: version 4.
                    sid.push(if index == 12 { '4' } else { digit });
                }
                sid
            }
        }
    }

    fn terms(&self, body: &Element) -> Terms {
        let bosh = &self.settings.bosh;
        let number = |name: &str| body.attribute(name).and_then(|value| value.parse::<u16>().ok());
        let seconds = |value: u16| Duration::from_secs(u64::from(value));
        let wait = number("wait")
            .unwrap_or(u16::MAX)
            .min(bosh.wait.unwrap_or(self.habits.wait));
        let hold = number("hold").unwrap_or(1).min(u16::from(bosh.hold.unwrap_or(1)));
        let modern = is_modern(body) || !self.habits.modern_only_if_asked;
        Terms {
            wait: seconds(wait),
            hold: usize::from(hold),
            requests: bosh.requests.map_or(usize::from(hold) + 1, usize::from),
            inactivity: seconds(bosh.inactivity.unwrap_or(self.habits.inactivity)),
            polling: seconds(bosh.polling.unwrap_or(self.habits.polling)),
            max_pause: bosh.max_pause.or(self.habits.max_pause).filter(|_| modern).map(seconds),
            acks: self.habits.acks && modern,
            client_acks: body.attribute("ack") == Some("1"),
            sid_everywhere: self.habits.sid_everywhere,
        }
    }

    /// The attributes of a creation answer. `ack` is put there by the session, as in every answer.
    fn header(&self, body: &Element, sid: &str, terms: &Terms) -> String {
        let habits = self.habits;
        let authid = if habits.authid_is_sid {
            sid.to_owned()
        } else {
            self.random_number()
        };
        let mut header = format!(
            " from='{}' authid='{authid}' sid='{sid}' secure='true' requests='{}' inactivity='{}' polling='{}' wait='{}'",
            escape(&self.settings.domain),
            terms.requests,
            terms.inactivity.as_secs(),
            terms.polling.as_secs(),
            terms.wait.as_secs(),
        );
        if is_modern(body) || !habits.modern_only_if_asked {
            header.push_str(&format!(" hold='{}' ver='{}'", terms.hold, habits.version));
        }
        if let Some(max) = terms.max_pause {
            header.push_str(&format!(" maxpause='{}'", max.as_secs()));
        }
        if habits.xmpp_version || habits.restart_logic {
            header.push_str(" xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'");
        }
        if habits.restart_logic {
            header.push_str(" xmpp:restartlogic='true'");
        }
        header
    }

    fn random_number(&self) -> String {
        u64::from_be_bytes(self.accounts.random_bytes()).to_string()
    }
}

/// XEP-0124 §5: a `<body/>` in its namespace that holds elements and no text.
fn well_formed(raw: &[u8]) -> Result<Element, String> {
    let body = xml::parse(raw)?;
    if !body.is(BOSH, "body") {
        return Err(format!("{{{}}}{} is no BOSH body", body.namespace, body.name));
    }
    if !body.text().trim().is_empty() {
        return Err("text between the elements".into());
    }
    Ok(body)
}

/// `ver` is compared as two integers (XEP-0124 §7.1).
fn is_modern(body: &Element) -> bool {
    let version = body.attribute("ver").and_then(|version| version.split_once('.'));
    let numbers = version.and_then(|(major, minor)| Some((major.parse::<u16>().ok()?, minor.parse::<u16>().ok()?)));
    numbers.is_some_and(|version| version >= (1, 6))
}
