//! What happens to a client: time, links, servers, processes that end.

use std::borrow::Cow;

use epode::config::Persist;
use epode::xml::{Element, XmlLimits, parse_document_stream};
use epode::{
    Answer, Client, Derivation, Failure, Input, LinkId, LinkInfo, Network, QueryId, Question, Refused, RequestId,
    Secret, Slot, Stage, Token, TransportKind,
};

use super::{EXPORTER, Host, Login};
use crate::cursor::Cursor;
use crate::wire::{Item, Link};

impl Host {
    /// The process ends in the next turn, after so many outputs.
    pub fn kill_after(&mut self, outputs: usize) {
        self.kill_after = Some(outputs);
    }

    /// A new process, with what the one before has stored.
    pub(super) fn restore(&mut self) {
        let stored = std::mem::take(&mut self.stored);
        assert_eq!(self.begin_with(stored), Ok(None), "what was stored can be restored");
    }

    /// A new process, with these bytes in slot `Session`.
    pub fn begin_with(&mut self, stored: Vec<u8>) -> Result<Option<Token>, Refused> {
        self.restores = self.restores.wrapping_add(1);
        self.client = Client::new(self.config.clone(), [self.restores; 32]);
        if let Some(life) = self.life.take() {
            let bodies = life.link.into_iter().flat_map(|link| link.bodies);
            self.past.bodies = life.bodies.into_iter().chain(bodies).collect();
            self.past.sends = life.sends;
        }
        for sent in self.past.sends.values_mut() {
            let kept = self.choices.persist == Persist::EveryTurn;
            sent.owed = kept && sent.promised && sent.owed && sent.stage < Stage::Acked;
            sent.again = true;
            sent.written_on = 0;
        }
        if stored.is_empty() {
            // The new process knows nothing, and begins to count anew.
            self.past.sends.retain(|_, sent| sent.owed);
            self.past.bodies.clear();
        }
        (self.links, self.last_request, self.last_query) = (0, 0, 0);
        self.network_down = false;
        self.asked.clear();
        self.received.clear();
        (self.jobs, self.last_job, self.task) = (Vec::new(), 0, false);
        for (slot, bytes) in self.kept.clone() {
            let bytes = Secret::new(bytes);
            let result = self.feed(Input::Restore { slot, bytes });
            assert!(result == Ok(None) || self.choices.foreign, "{slot:?}: {result:?}");
        }
        let (slot, bytes) = (Slot::Session, Secret::new(stored.clone()));
        let result = self.feed(Input::Restore { slot, bytes });
        if result.is_ok() {
            self.stored = stored;
        }
        result
    }

    /// Time passes, forwards or backwards.
    pub fn advance(&mut self, milliseconds: u64) {
        self.now += milliseconds;
    }

    /// An earlier time than the last counts as the last.
    pub fn tick_in_the_past(&mut self) {
        let _ = self.feed_at(self.now.saturating_sub(500), Input::Tick);
    }

    pub fn tick(&mut self) {
        let _ = self.feed(Input::Tick);
    }

    /// Sleeps until the deadline. A deadline that is still there afterwards would make a host spin.
    pub fn tick_at_deadline(&mut self) -> bool {
        let Some((at, _)) = self.client.deadline() else {
            assert!(
                self.life.is_none() || self.is_paused() || self.network_down,
                "a client that is not offline waits for something"
            );
            return false;
        };
        self.now = self.now.max(at.as_millis());
        self.tick();
        if let Some((at, timer)) = self.client.deadline() {
            assert!(at.as_millis() > self.now, "{timer} is still due");
        }
        true
    }

    /// The current link, or the one that was last.
    pub fn link(&self) -> LinkId {
        LinkId(self.links)
    }

    pub fn is_started(&self) -> bool {
        self.life.is_some()
    }

    pub fn is_online(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.online)
    }

    fn is_paused(&self) -> bool {
        self.present().is_some_and(|link| link.paused)
    }

    /// The link that is not closed.
    pub fn present(&self) -> Option<&Link> {
        self.life.as_ref()?.link.as_ref()
    }

    fn present_mut(&mut self) -> Option<&mut Link> {
        self.life.as_mut()?.link.as_mut()
    }

    /// The link that carries a stream.
    pub fn streams(&self) -> bool {
        self.present().is_some_and(|link| link.kind() != TransportKind::Bosh)
    }

    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// A request without an answer: the oldest, the second oldest...
    pub fn outstanding(&self, index: usize) -> Option<(RequestId, Vec<u8>)> {
        let outstanding = &self.present()?.outstanding;
        let (request, _, body) = outstanding.get(index % outstanding.len().max(1))?;
        Some((*request, body.clone()))
    }

    pub fn is_outstanding(&self, request: RequestId) -> bool {
        let outstanding = self.present().into_iter().flat_map(|link| &link.outstanding);
        outstanding.into_iter().any(|(waiting, ..)| *waiting == request)
    }

    /// A question without an answer.
    pub fn question(&self, index: usize) -> Option<(QueryId, Question)> {
        let queries = &self.life.as_ref()?.queries;
        queries.get(index % queries.len().max(1)).cloned()
    }

    pub fn resolve(&mut self, query: QueryId, answer: Answer<'_>) {
        if let Some(life) = &mut self.life {
            life.queries.retain(|(other, _)| *other != query);
        }
        assert_eq!(self.feed(Input::Resolved { query, answer }), Ok(None));
    }

    /// The link comes up as it should.
    pub fn connect_well(&mut self) {
        let mut info = self.present().map(Link::good_info).unwrap_or_default();
        if self.choices.bindings && info.encrypted {
            info.tls_version = Some(String::from("1.3"));
            info.channel_bindings.tls_exporter = Some(EXPORTER.to_vec());
        }
        let _ = self.connect(info);
    }

    pub fn connect(&mut self, info: LinkInfo) -> Result<Option<Token>, Refused> {
        let link = self.link();
        if let Some(present) = self.present_mut() {
            present.connect(&info);
        }
        self.feed(Input::Connected { link, info })
    }

    /// The oldest key that the client waits for: the right one, or what comes of something else.
    pub fn derive(&mut self, change: impl FnOnce(&mut Derivation)) -> bool {
        if self.jobs.is_empty() {
            return false;
        }
        let (job, mut derivation) = self.jobs.remove(0);
        change(&mut derivation);
        let key = derivation.run();
        let _ = self.feed(Input::Derived { job, key });
        true
    }

    pub fn do_task(&mut self, payload: Option<Element>) {
        self.task = false;
        let _ = self.feed(Input::Task { payload });
    }

    /// Other credentials, for the same account or none.
    pub fn provide(&mut self, login: Login) {
        let credentials = login.credentials();
        if self.feed(Input::Provide { credentials }).is_ok() {
            self.provided = true;
        }
    }

    pub fn reading(&mut self, reading: bool) {
        let link = self.link();
        if let Some(present) = self.present_mut() {
            present.paused = !reading;
        }
        let _ = self.feed(Input::Reading { link, reading });
    }

    /// What the server says on a stream: on TCP in pieces, on WebSocket as one message.
    pub fn receive(&mut self, bytes: &[u8]) {
        let link = self.link();
        let whole = self.cut == 0 || self.present().is_none_or(|link| link.kind() != TransportKind::Tcp);
        let size = if whole { bytes.len().max(1) } else { self.cut };
        for piece in bytes.chunks(size) {
            let bytes = Cow::Borrowed(piece);
            let result = self.feed(Input::Received { link, bytes });
            assert_eq!(result, Ok(None), "what a server does is never an error of the host's");
            if !self.streams() {
                return;
            }
        }
    }

    /// All that was given has left.
    pub fn written(&mut self) {
        let bytes = self.present().map_or(0, |link| link.unwritten);
        if bytes > 0 && self.streams() {
            self.written_of(bytes);
        }
    }

    /// So many bytes have left, as the host says; it may be wrong.
    pub fn written_of(&mut self, bytes: u64) {
        let link = self.link();
        if let Some(present) = self.present_mut() {
            present.unwritten = present.unwritten.saturating_sub(bytes);
        }
        let _ = self.feed(Input::Written { link, bytes });
    }

    /// The oldest thing on the stream that the server has not answered, and the answer of a good server.
    pub fn stream_answer(&mut self) -> Option<(bool, Vec<String>)> {
        let link = self.life.as_mut()?.link.as_mut()?;
        let item = link.items.pop_front()?;
        let answer = self.server.on_stream(link, &item);
        Some((matches!(item, Item::Close), answer))
    }

    /// The same of an element of a login, with something wrong in its data.
    pub fn odd_answer(&mut self, element: &Element, cursor: &mut Cursor<'_>) -> Vec<String> {
        let Some(link) = self.life.as_mut().and_then(|life| life.link.as_mut()) else {
            return Vec::new();
        };
        link.items.pop_front();
        let answers = self.server.login.answer(element.root(), Some(cursor));
        self.server.logged_in(link, answers)
    }

    pub fn answer(&mut self, request: RequestId, status: u16, body: &[u8]) {
        if let Some(link) = self.present_mut() {
            link.outstanding.retain(|(waiting, ..)| *waiting != request);
            if link.first == Some(request) && status == 200 {
                link.window = link.window.min(window(body));
            }
        }
        let input = Input::Responded {
            link: self.link(),
            request,
            status,
            body: Cow::Borrowed(body),
            tls: None,
        };
        let result = self.feed(input);
        assert_eq!(result, Ok(None), "what a server does is never an error of the host's");
    }

    pub fn fail(&mut self, request: Option<RequestId>, reason: Failure) {
        if let (Some(request), Some(link)) = (request, self.present_mut()) {
            link.outstanding.retain(|(waiting, ..)| *waiting != request);
        }
        let link = self.link();
        assert_eq!(self.feed(Input::Failed { link, request, reason }), Ok(None));
    }

    /// The rest of the life: nothing more is answered, and still there is an end.
    pub fn wind_up(&mut self) {
        self.kill_after = None;
        if self.network_down {
            let _ = self.feed(Input::Network(Network::Up));
        }
        if self.is_paused() {
            self.reading(true);
        }
        if self.life.is_some() {
            let _ = self.feed(Input::Stop);
        }
        for _ in 0..500 {
            if self.life.is_none() {
                assert_eq!(self.client.deadline(), None, "an offline client waits for nothing");
                return;
            }
            assert!(self.tick_at_deadline(), "a client that leaves has a deadline");
        }
        panic!("a client that was stopped does not stop");
    }
}

/// How many requests the answer that creates a session allows, if it is one.
fn window(body: &[u8]) -> usize {
    let parsed = parse_document_stream(
        body,
        &XmlLimits::default(),
        &[("stream", "http://etherx.jabber.org/streams")],
    );
    let requests = parsed
        .ok()
        .and_then(|(root, _)| root.attribute("requests")?.trim().parse().ok());
    requests.map_or(usize::MAX, |requests: usize| requests.max(1))
}
