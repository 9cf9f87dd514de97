//! A client whose server is the test itself: what it posts lies on a desk until the test answers it. What a host may count on
//! is checked at every step: resends with the same bytes, no attempt abandoned twice, an honest deadline, `Offline` last.

use std::borrow::Cow;
use std::collections::BTreeMap;

use epode::config::{Bosh, ConfigBuilder, Reconnect, Transport};
use epode::xml::XmlLimits;
use epode::{
    Client, Config, Credentials, Element, Event, Failure, Input, Instant, LinkId, LinkInfo, Offline, Output, Refused,
    RequestId, Stage, TlsFacts, Token, stanza,
};

pub(crate) const LINK: LinkId = LinkId(1);
/// What a usual server says when it creates a session.
pub(crate) const CREATED: &str =
    "sid='s1' wait='60' hold='1' requests='2' inactivity='30' polling='5' ver='1.6' ack='1000'";
pub(crate) const MECHANISMS: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
const NS: &str = "xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";

pub(crate) struct Desk {
    pub(crate) client: Client,
    pub(crate) now: u64,
    /// The attempts that are under way, by request number.
    pub(crate) open: BTreeMap<u64, (RequestId, String)>,
    /// All attempts there ever were.
    pub(crate) posts: Vec<(u64, RequestId, String)>,
    pub(crate) events: Vec<Event>,
    pub(crate) closed: bool,
}

/// juliet@example.org with a certificate, and 1000 as the first request number.
pub(crate) fn config(change: impl FnOnce(&mut Bosh)) -> ConfigBuilder {
    let mut bosh = Bosh {
        first_rid: Some(1000),
        ..Bosh::new("https://example.org/bosh")
    };
    change(&mut bosh);
    Config::builder("juliet@example.org/balcony".parse().unwrap())
        .transport(Transport::Bosh(bosh))
        .credentials(Credentials::certificate("juliet", None))
        .reconnect(Reconnect::never())
}

pub(crate) fn message(number: usize) -> String {
    format!("<message xmlns='jabber:client' from='romeo@example.net/x'><body>{number}</body></message>")
}

impl Desk {
    /// Started, connected: the request that creates the session lies on the desk.
    pub(crate) fn new(config: ConfigBuilder) -> Self {
        let mut desk = Self {
            client: Client::new(config.build().unwrap(), [7; 32]),
            now: 1_000,
            open: BTreeMap::new(),
            posts: Vec::new(),
            events: Vec::new(),
            closed: false,
        };
        desk.handle(Input::Start).unwrap();
        let info = LinkInfo::verified("example.org");
        desk.handle(Input::Connected { link: LINK, info }).unwrap();
        desk
    }

    /// Logged in: the next request to be posted, or lying there already, is number 1005.
    pub(crate) fn online(config: ConfigBuilder, created: &str) -> Self {
        let mut desk = Self::new(config);
        desk.answer(1000, created, MECHANISMS);
        desk.log_in(1001);
        desk
    }

    /// The login from `<auth/>` on, which lies on the desk as `rid`.
    pub(crate) fn log_in(&mut self, rid: u64) {
        self.answer(rid, "", "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        self.answer(rid + 1, "", BIND);
        self.bind(rid + 2);
    }

    /// The request under way in which something is said.
    #[allow(dead_code, reason = "not every test that uses the desk asks")]
    pub(crate) fn rid_of(&self, said: &str) -> u64 {
        let saying = self.open.iter().find(|(_, (_, body))| body.contains(said));
        *saying.expect(said).0
    }

    /// Answers the request for a resource.
    pub(crate) fn bind(&mut self, rid: u64) {
        let body = Element::parse(&self.open[&rid].1, &XmlLimits::default()).unwrap();
        let id = body.children().next().unwrap().attribute("id").unwrap().to_owned();
        let bound = format!(
            "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>juliet@example.org/balcony</jid></bind></iq>"
        );
        self.answer(rid, "", &bound);
        assert!(self.events.iter().any(|event| matches!(event, Event::Online { .. })));
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) -> Result<Option<Token>, Refused> {
        let is_tick = matches!(input, Input::Tick);
        let result = self.client.handle(Instant::from_millis(self.now), input);
        while let Some(output) = self.client.next() {
            assert_eq!(self.offline(), None, "something follows Offline: {output:?}");
            match output {
                Output::Connect { .. } => {}
                Output::Post { request, body, .. } => self.posted(request, body),
                Output::Abandon { request, .. } => {
                    let before = self.open.len();
                    self.open.retain(|_, (open, _)| *open != request);
                    assert_eq!(self.open.len() + 1, before, "{request} is not under way");
                }
                Output::Close { .. } => self.closed = true,
                Output::Event(event) => {
                    assert_eq!(self.closed, matches!(event, Event::Offline { .. }), "{event:?}");
                    self.events.push(event);
                }
                // `_`: the enum may grow.
                other @ (Output::Resolve { .. }
                | Output::Store { .. }
                | Output::Write { .. }
                | Output::Frame { .. }
                | Output::StartTls { .. }
                | _) => panic!("{other:?}"),
            }
        }
        if let (true, Some((at, timer))) = (is_tick, self.client.deadline()) {
            assert!(at.as_millis() > self.now, "{timer}: the deadline lies");
        }
        result
    }

    fn posted(&mut self, request: RequestId, body: Vec<u8>) {
        let element = Element::parse(&body, &XmlLimits::default()).unwrap();
        let rid: u64 = element.attribute("rid").unwrap().parse().unwrap();
        let body = String::from_utf8(body).unwrap();
        if let Some((_, _, before)) = self.posts.iter().find(|(known, _, _)| *known == rid) {
            assert_eq!(*before, body, "rid {rid} is sent again with other bytes");
        }
        self.posts.push((rid, request, body.clone()));
        assert!(
            self.open.insert(rid, (request, body)).is_none(),
            "rid {rid} is under way twice"
        );
    }

    /// Answers with a body that has these attributes and payloads.
    pub(crate) fn answer(&mut self, rid: u64, attributes: &str, payloads: &str) {
        self.raw(rid, 200, &format!("<body {NS} {attributes}>{payloads}</body>"));
    }

    pub(crate) fn raw(&mut self, rid: u64, status: u16, body: &str) {
        let (request, _) = self.open.remove(&rid).expect("under way");
        self.late(request, status, body, None);
    }

    /// An answer to any attempt, known or not.
    pub(crate) fn late(&mut self, request: RequestId, status: u16, body: &str, tls: Option<TlsFacts>) {
        let body = Cow::Borrowed(body.as_bytes());
        let link = LINK;
        let answer = Input::Responded {
            link,
            request,
            status,
            body,
            tls,
        };
        self.handle(answer).unwrap();
    }

    pub(crate) fn fail(&mut self, rid: u64) {
        let (request, _) = self.open.remove(&rid).expect("under way");
        let (request, reason) = (Some(request), Failure::Timeout);
        let link = LINK;
        self.handle(Input::Failed { link, request, reason }).unwrap();
    }

    /// Lets time pass; the client is woken exactly when it asks to be.
    pub(crate) fn wait(&mut self, millis: u64) {
        let until = self.now + millis;
        while let Some((at, _)) = self.client.deadline()
            && at.as_millis() <= until
        {
            self.now = at.as_millis().max(self.now);
            self.handle(Input::Tick).unwrap();
        }
        self.now = until;
    }

    pub(crate) fn say(&mut self, number: usize) -> Token {
        let message = stanza::chat(&"romeo@example.net".parse().unwrap(), &number.to_string()).unwrap();
        self.handle(Input::Send { stanza: message }).unwrap().unwrap()
    }

    /// The numbers of the requests under way.
    pub(crate) fn rids(&self) -> Vec<u64> {
        self.open.keys().copied().collect()
    }

    /// The bodies of the messages that have arrived.
    pub(crate) fn heard(&self) -> Vec<usize> {
        let body = |event: &Event| {
            let Event::Stanza { stanza, .. } = event else {
                return None;
            };
            Some(stanza.child("jabber:client", "body")?.text().parse().unwrap())
        };
        self.events.iter().filter_map(body).collect()
    }

    /// How far a message has come.
    pub(crate) fn stage(&self, message: Token) -> Option<Stage> {
        let stage = |event: &Event| {
            let Event::Delivery { token, stage } = event else {
                return None;
            };
            (*token == message).then_some(*stage)
        };
        self.events.iter().filter_map(stage).next_back()
    }

    pub(crate) fn offline(&self) -> Option<&Offline> {
        match self.events.last() {
            Some(Event::Offline { reason }) => Some(reason),
            _ => None,
        }
    }
}
