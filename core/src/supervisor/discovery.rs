//! The way to a server: SRV records (RFC 6120 §3.2, XEP-0368) and host-meta (XEP-0156) become candidates.
//!
//! All questions are asked at once. The first answers are used; what comes late joins the candidates that are left.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::{Candidate, Context};
use crate::config::{Bosh, Config, Discover, TlsPolicy, check_url};
use crate::error::{ConnectionError, Offline, WaitingFor};
use crate::input::{Answer, Failure, QueryId, SrvRecord};
use crate::output::{Endpoint, Output, Question, TcpTls};
use crate::random::Random;
use crate::time::{Earliest, Instant, Timer};
use crate::xml::{Framing, Reader, XmlEvent, XmlLimits};

const NS_XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
const REL_WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
const REL_BOSH: &str = "urn:xmpp:alt-connections:xbosh";

/// Records of one name: large services have fewer than ten.
const RECORDS: usize = 32;
/// URLs of one kind.
const URLS: usize = 8;
/// Bytes of one URL.
const URL_BYTES: usize = 2 * 1024;
/// Bytes of one document: real ones stay below one tenth of it.
const DOCUMENT_BYTES: usize = 64 * 1024;
/// Links in one document.
const LINKS: usize = 256;
/// How long to wait for better candidates once there is any (RFC 8305 §3: the resolution delay).
const PATIENCE: Duration = Duration::from_millis(50);

/// One search, from its questions to the last candidate.
#[derive(Debug)]
pub(super) struct Discovery {
    what: Discover,
    queries: Vec<Query>,
    records: Vec<Record>,
    /// DNS has something to say about the service, so that the domain itself is not guessed (RFC 6120 §3.2.1).
    has_records: bool,
    guessed: bool,
    websocket: VecDeque<String>,
    bosh: VecDeque<String>,
    patience: Patience,
    /// Somebody answered, if only to say that there is nothing.
    answered: bool,
    found: bool,
    failure: Option<Offline>,
}

#[derive(Debug)]
struct Query {
    id: QueryId,
    asked: Asked,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Srv(TcpTls),
    HostMetaXml,
    HostMetaJson,
}

#[derive(Debug)]
struct Record {
    priority: u16,
    weight: u16,
    host: String,
    port: u16,
    tls: TcpTls,
}

/// Whether answers that would make better candidates are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// There is nothing else to do.
    Nothing,
    Until(Instant),
    Over,
}

/// What a search has for the next attempt.
#[derive(Debug)]
pub(super) enum Found {
    Candidate(Candidate),
    /// An answer or a deadline has to come first.
    Wait,
    /// No more.
    Nothing,
}

impl Discovery {
    /// Asks everything at once.
    pub(super) fn begin(what: Discover, cx: &mut Context<'_>) -> Self {
        let mut discovery = Self {
            what,
            queries: Vec::new(),
            records: Vec::new(),
            has_records: false,
            guessed: false,
            websocket: VecDeque::new(),
            bosh: VecDeque::new(),
            patience: Patience::Nothing,
            answered: false,
            found: false,
            failure: None,
        };
        let domain = cx.config.jid.domain_for_dns();
        // RFC 6120 §3.2: an address has no SRV records.
        if what.tcp && !is_address(&domain) {
            for (service, tls) in [("_xmpps-client", TcpTls::Direct), ("_xmpp-client", TcpTls::StartTls)] {
                let name = format!("{service}._tcp.{domain}");
                discovery.ask(cx, Asked::Srv(tls), Question::Srv { name });
            }
        }
        if what.websocket || what.bosh {
            let host = if domain.contains(':') {
                format!("[{domain}]")
            } else {
                domain
            };
            for (file, asked) in [
                ("host-meta", Asked::HostMetaXml),
                ("host-meta.json", Asked::HostMetaJson),
            ] {
                let url = format!("https://{host}/.well-known/{file}");
                let max_bytes = DOCUMENT_BYTES;
                discovery.ask(cx, asked, Question::Document { url, max_bytes });
            }
        }
        discovery
    }

    fn ask(&mut self, cx: &mut Context<'_>, asked: Asked, question: Question) {
        let id = cx.query_id();
        let deadline = cx.now + cx.config.timeouts().discovery;
        cx.outputs.push(Output::Resolve {
            query: id,
            question,
            deadline,
        });
        self.queries.push(Query { id, asked, deadline });
    }

    /// Takes an answer; one that nobody waits for is ignored.
    pub(super) fn resolved(&mut self, cx: &Context<'_>, id: QueryId, answer: Answer<'_>) {
        let Some(index) = self.queries.iter().position(|query| query.id == id) else {
            return;
        };
        let asked = self.queries.swap_remove(index).asked;
        match (asked, answer) {
            (Asked::Srv(tls), Answer::Records(records)) => {
                self.answered = true;
                self.add_records(records, tls);
            }
            (Asked::HostMetaXml, Answer::Document(document)) => {
                self.answered = true;
                self.add_links(host_meta_xml(&document), cx.config.tls);
            }
            (Asked::HostMetaJson, Answer::Document(document)) => {
                self.answered = true;
                self.add_links(host_meta_json(&document), cx.config.tls);
            }
            // Such as a status 404: the web server is there, and knows nothing.
            (Asked::HostMetaXml | Asked::HostMetaJson, Answer::Failed(Failure::Http { .. })) => self.answered = true,
            (_, Answer::Failed(failure)) => self.failed(ConnectionError::Failed(failure)),
            (Asked::Srv(_), Answer::Document(_)) | (Asked::HostMetaXml | Asked::HostMetaJson, Answer::Records(_)) => {}
        }
        if self.patience == Patience::Nothing && self.has_any() {
            self.patience = Patience::Until(cx.now + PATIENCE);
        }
    }

    fn failed(&mut self, error: ConnectionError) {
        self.failure.get_or_insert(Offline::Connection(error));
    }

    /// Time has passed: what was not answered will not be.
    pub(super) fn tick(&mut self, now: Instant) {
        let before = self.queries.len();
        self.queries.retain(|query| query.deadline > now);
        if self.queries.len() < before {
            let waiting_for = WaitingFor::Discovery;
            self.failed(ConnectionError::Timeout { waiting_for });
        }
        if matches!(self.patience, Patience::Until(at) if at <= now) {
            self.patience = Patience::Over;
        }
    }

    pub(super) fn deadline(&self, earliest: &mut Earliest) {
        for query in &self.queries {
            earliest.offer(Some(query.deadline), Timer::Discovery);
        }
        if let Patience::Until(at) = self.patience {
            earliest.offer(Some(at), Timer::Discovery);
        }
    }

    /// The best candidate that is left.
    pub(super) fn next(&mut self, now: Instant, config: &Config, random: &mut Random) -> Found {
        // While there was a link, nobody looked at the clock: what is over by now must not be due once more.
        self.tick(now);
        let asking_dns = self.asks(|asked| matches!(asked, Asked::Srv(_)));
        if self.what.tcp && !asking_dns && !self.has_records && !self.guessed {
            // RFC 6120 §3.2.2: the domain itself, where there is no record at all. Port 5223 is nobody's to guess (XEP-0368).
            self.guessed = true;
            self.records.push(Record {
                priority: 0,
                weight: 0,
                host: config.jid.domain_for_dns(),
                port: 5222,
                tls: TcpTls::StartTls,
            });
        }
        let only_bosh = self.records.is_empty() && self.websocket.is_empty();
        let better_to_come = asking_dns || (only_bosh && !self.queries.is_empty());
        let patient = matches!(self.patience, Patience::Until(at) if at > now);
        if (better_to_come && patient) || (!self.has_any() && !self.queries.is_empty()) {
            return Found::Wait;
        }
        self.found |= self.has_any();
        if let Some(record) = self.pick(random) {
            return Found::Candidate(Candidate::tcp(config, record.host, record.port, record.tls));
        }
        if let Some(url) = self.websocket.pop_front() {
            return Found::Candidate(Candidate::web_socket(url));
        }
        if let Some(url) = self.bosh.pop_front() {
            return Found::Candidate(Candidate::bosh(Bosh::new(url)));
        }
        Found::Nothing
    }

    /// Whether there is, or may yet be, a candidate that `tried` does not know.
    pub(super) fn may_have_more(&self, is_new: impl Fn(&Endpoint) -> bool) -> bool {
        let tcp = self.records.iter().any(|record| {
            is_new(&Endpoint::Tcp {
                host: record.host.clone(),
                port: record.port,
                tls: record.tls,
            })
        });
        let url = |url: &String| url.clone();
        tcp || !self.queries.is_empty()
            || (self.what.tcp && !self.has_records && !self.guessed)
            || self
                .websocket
                .iter()
                .any(|known| is_new(&Endpoint::WebSocket { url: url(known) }))
            || self
                .bosh
                .iter()
                .any(|known| is_new(&Endpoint::Bosh { url: url(known) }))
    }

    /// Why there was no candidate at all, if there was none: nobody answered, or nothing is offered.
    pub(super) fn failure(self) -> Option<Offline> {
        let none = Offline::Connection(ConnectionError::NoEndpoint);
        let failure = if self.answered {
            none
        } else {
            self.failure.unwrap_or(none)
        };
        (!self.found).then_some(failure)
    }

    fn has_any(&self) -> bool {
        !(self.records.is_empty() && self.websocket.is_empty() && self.bosh.is_empty())
    }

    fn asks(&self, which: impl Fn(Asked) -> bool) -> bool {
        self.queries.iter().any(|query| which(query.asked))
    }

    fn add_records(&mut self, mut records: Vec<SrvRecord>, tls: TcpTls) {
        self.has_records |= !records.is_empty();
        records.sort_by_key(|record| record.priority);
        for record in records.into_iter().take(RECORDS) {
            let host = record.target.strip_suffix('.').unwrap_or(&record.target);
            // RFC 2782: the target `.` says that the service is not offered. What is no host name is none either.
            if !is_host(host) || record.port == 0 {
                continue;
            }
            let known =
                |known: &Record| known.port == record.port && known.tls == tls && known.host.eq_ignore_ascii_case(host);
            if self.records.iter().any(known) {
                continue;
            }
            self.records.push(Record {
                priority: record.priority,
                weight: record.weight,
                host: host.to_string(),
                port: record.port,
                tls,
            });
        }
    }

    /// RFC 2782: the lowest priority first, and within it each by its weight; those of both services together (XEP-0368).
    fn pick(&mut self, random: &mut Random) -> Option<Record> {
        let priority = self.records.iter().map(|record| record.priority).min()?;
        let mut equals: Vec<(usize, u64, TcpTls)> = self
            .records
            .iter()
            .enumerate()
            .filter(|(_, record)| record.priority == priority)
            .map(|(index, record)| (index, u64::from(record.weight), record.tls))
            .collect();
        // Those without a weight stand first, and are drawn only by 0. Among them TLS at once is one round trip less.
        equals.sort_by_key(|(_, weight, tls)| (*weight > 0, *tls == TcpTls::StartTls));
        let total = equals.iter().map(|(_, weight, _)| weight).sum();
        let draw = if equals.len() > 1 { random.range(0..=total) } else { 0 };
        let mut running = 0;
        let (index, ..) = equals.into_iter().find(|(_, weight, _)| {
            running += weight;
            running >= draw
        })?;
        Some(self.records.remove(index))
    }

    fn add_links(&mut self, links: Vec<Link>, tls: TlsPolicy) {
        for link in links {
            let (wanted, urls, secure, plain) = match link.kind {
                Kind::WebSocket => (self.what.websocket, &mut self.websocket, "wss", "ws"),
                Kind::Bosh => (self.what.bosh, &mut self.bosh, "https", "http"),
            };
            let usable = link.url.len() <= URL_BYTES && check_url(&link.url, secure, plain, tls).is_ok();
            if wanted && usable && urls.len() < URLS && !urls.contains(&link.url) {
                urls.push_back(link.url);
            }
        }
    }
}

/// What host-meta says: of which kind, and where.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    kind: Kind,
    url: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    WebSocket,
    Bosh,
}

impl Link {
    fn read(rel: Option<&str>, href: Option<&str>) -> Option<Self> {
        let kind = match rel? {
            REL_WEBSOCKET => Kind::WebSocket,
            REL_BOSH => Kind::Bosh,
            _ => return None,
        };
        let url = href?.to_string();
        Some(Self { kind, url })
    }
}

/// The links of an XRD document (RFC 6415 §3); none, where it is not one or asks for too much.
fn host_meta_xml(document: &[u8]) -> Vec<Link> {
    // The document is as untrusted as its web server, which need not be the XMPP server.
    let mut limits = XmlLimits::before_authentication();
    limits.element_bytes = 8 * 1024;
    limits.document_bytes = Some(DOCUMENT_BYTES);
    limits.depth = 8;
    limits.attributes = 16;
    limits.namespaces = 32;
    limits.attribute_value = URL_BYTES;
    limits.nodes = 64;
    let mut reader = Reader::new(Framing::Stream, limits);
    let mut events = Vec::new();
    // White space may follow a root (XML 1.0 §2.8), but no stream.
    if reader.feed(document.trim_ascii_end(), &mut events).is_err() || reader.finish().is_err() {
        return Vec::new();
    }
    if !matches!(events.first(), Some(XmlEvent::Open(root)) if root.is(NS_XRD, "XRD")) {
        return Vec::new();
    }
    events
        .iter()
        .filter_map(|event| match event {
            XmlEvent::Element(link) if link.is(NS_XRD, "Link") => {
                Link::read(link.attribute("rel"), link.attribute("href"))
            }
            XmlEvent::Element(_) | XmlEvent::Open(_) | XmlEvent::Close => None,
        })
        .take(LINKS)
        .collect()
}

/// The links of a JRD document (RFC 6415 §3, XEP-0156 §3.2).
fn host_meta_json(document: &[u8]) -> Vec<Link> {
    if document.len() > DOCUMENT_BYTES {
        return Vec::new();
    }
    // The parser has its own limit on nesting.
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(document) else {
        return Vec::new();
    };
    let links = document.get("links").and_then(|links| links.as_array());
    let text = |link: &serde_json::Value, name| link.get(name)?.as_str().map(ToString::to_string);
    links
        .into_iter()
        .flatten()
        .filter_map(|link| Link::read(text(link, "rel").as_deref(), text(link, "href").as_deref()))
        .take(LINKS)
        .collect()
}

/// Whether it is a host name as DNS has them: letters, digits, hyphens, and the underscore that some use.
pub(super) fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_address(domain: &str) -> bool {
    domain.parse::<IpAddr>().is_ok()
}
