//! Where and when to connect: from `Start` to a link, and from a lost link to the next one. All in virtual time.
//!
//! A *round* goes through every place where the server may be: first the one that worked last, or that the server named;
//! then the configured transports in their order. A round that finds nothing is followed by another one, later and later,
//! where the configuration says so and the failure is not one that repeats itself.
//!
//! - `mod.rs`: rounds.
//! - `discovery.rs`: DNS and host-meta become candidates.
//! - `reconnect.rs`: what a failure means for the next attempt, redirects, and the back-off.
//! - `snapshot.rs`: what survives a process; `codec.rs`: the same as bytes.

mod codec;
mod discovery;
mod reconnect;
pub(crate) mod snapshot;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use self::discovery::{Discovery, Found};
use self::reconnect::{Backoff, telling};
use crate::config::{Bosh, Config, ReconnectWhen, TlsPolicy, Transport, WebSocket, check_url};
use crate::error::{ConnectionError, Offline};
use crate::input::{Answer, Network, QueryId};
use crate::output::{Endpoint, Outputs, TcpTls};
use crate::random::Random;
use crate::time::{Earliest, Instant, Timer};

/// Redirects in a row (RFC 6120 §4.9.3.19: at least two, at most five).
const REDIRECTS: u32 = 5;

/// What the supervisor may use of the client's.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) outputs: &'a mut Outputs,
    pub(crate) random: &'a mut Random,
    pub(crate) next_query: &'a mut u64,
}

impl Context<'_> {
    fn query_id(&mut self) -> QueryId {
        let id = QueryId(*self.next_query);
        *self.next_query = self.next_query.saturating_add(1);
        id
    }
}

/// A connection to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) endpoint: Endpoint,
    /// The name that the server's certificate must be valid for: the account's domain on TCP, the URL's host elsewhere.
    pub(crate) server_name: String,
    /// How to use BOSH, where it is BOSH.
    pub(crate) bosh: Option<Box<Bosh>>,
    /// There is no other place to try: `Timeouts::connect` holds, else `Timeouts::fallback`.
    pub(crate) last: bool,
}

/// What to do while there is no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Connect there now. From then on until `lost` there is a link.
    Connect(Attempt),
    /// An answer, a deadline or a network has to come first.
    Wait,
    /// This round has failed (it is said once): another one begins at `at`, or when there is a network.
    Retry {
        /// When.
        at: Option<Instant>,
        /// The most telling failure of the round.
        reason: Offline,
    },
    /// That was all.
    GiveUp(Offline),
}

/// What follows from the loss of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another place is tried at once: `next` says which.
    Another {
        /// The server named it.
        redirected: Option<String>,
    },
    /// A round begins at `at`, or when there is a network.
    Retry {
        /// When.
        at: Option<Instant>,
        /// Of a lost session, why it was lost; else the most telling failure of the round.
        reason: Offline,
    },
    /// That was all.
    GiveUp(Offline),
}

/// How a link was lost, or could not be had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss<'a> {
    pub(crate) reason: &'a Offline,
    /// The client was online on it.
    pub(crate) was_online: bool,
    /// TLS protected it and the server was verified: who is not may say what he likes, but is not followed.
    pub(crate) verified: bool,
    /// A login had left before the server's features were seen, and was not answered: it may have been what was wrong.
    pub(crate) early: bool,
    /// Where the server would like to see the session resumed (XEP-0198 §5).
    pub(crate) location: Option<&'a str>,
}

/// A place where the server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    endpoint: Endpoint,
    server_name: String,
    bosh: Option<Box<Bosh>>,
}

impl Candidate {
    /// RFC 6120 §13.7.2.1: the certificate is for the account's domain, whatever the host is called.
    fn tcp(config: &Config, host: String, port: u16, tls: TcpTls) -> Self {
        Self {
            endpoint: Endpoint::Tcp { host, port, tls },
            server_name: config.jid.domain_for_dns(),
            bosh: None,
        }
    }

    fn web_socket(url: String) -> Self {
        let socket = WebSocket { url };
        Self {
            server_name: socket.server_name().to_string(),
            endpoint: Endpoint::WebSocket { url: socket.url },
            bosh: None,
        }
    }

    fn bosh(bosh: Bosh) -> Self {
        let url = bosh.url.clone();
        Self {
            server_name: bosh.server_name().to_string(),
            endpoint: Endpoint::Bosh { url },
            bosh: Some(Box::new(bosh)),
        }
    }

    fn configured(config: &Config, transport: &Transport) -> Option<Self> {
        Some(match transport {
            Transport::Discover(_) => return None,
            Transport::Tcp(tcp) => Self::tcp(config, tcp.host.clone(), tcp.port, tcp.tls),
            Transport::WebSocket(socket) => Self::web_socket(socket.url.clone()),
            Transport::Bosh(bosh) => Self::bosh(bosh.clone()),
        })
    }

    /// Whether nobody but the server can read what goes there; of TCP the policy decides later.
    fn is_plain_url(&self) -> bool {
        match &self.endpoint {
            Endpoint::Tcp { .. } => false,
            Endpoint::WebSocket { url } => check_url(url, "wss", "ws", TlsPolicy::Required).is_err(),
            Endpoint::Bosh { url } => check_url(url, "https", "http", TlsPolicy::Required).is_err(),
        }
    }
}

/// Decides where and when to connect. One for each client.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    phase: Phase,
    /// Where the present link goes.
    current: Option<Candidate>,
    /// Where the last login was.
    last_good: Option<Candidate>,
    backoff: Backoff,
    redirects: u32,
    ever_online: bool,
    online_since: Option<Instant>,
    no_network: bool,
}

#[derive(Debug, Default)]
enum Phase {
    /// Nothing is wanted, or the client is online.
    #[default]
    Idle,
    /// A round begins then; `None`: with the network.
    Waiting {
        at: Option<Instant>,
        location: Option<Box<Candidate>>,
    },
    Trying(Box<Round>),
}

/// Once through all places.
#[derive(Debug, Default)]
struct Round {
    preferred: VecDeque<Candidate>,
    /// The next of the configured transports.
    position: usize,
    discovery: Option<Discovery>,
    tried: Vec<Endpoint>,
    /// The most telling failure.
    failure: Option<Offline>,
    /// One of the failures may be over later.
    retryable: bool,
}

impl Supervisor {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// `Start`: a round begins with the next `next`.
    pub(crate) fn start(&mut self) {
        self.backoff = Backoff::default();
        self.redirects = 0;
        self.ever_online = false;
        self.online_since = None;
        self.current = None;
        self.phase = Phase::Trying(self.round(None));
    }

    /// `Stop`, or the end by other means: nothing is tried any more.
    pub(crate) fn stop(&mut self) {
        self.phase = Phase::Idle;
        self.current = None;
    }

    /// Whether there was a login since `start`.
    pub(crate) fn was_online(&self) -> bool {
        self.ever_online
    }

    /// After `start`: there was a login, in an earlier process.
    pub(crate) fn set_was_online(&mut self) {
        self.ever_online = true;
    }

    /// Before `start`: the server named this place for a session that was restored (XEP-0198 §5).
    pub(crate) fn prefer_location(&mut self, config: &Config, location: &str) {
        let lost = config.transports.iter().find_map(|transport| match transport {
            Transport::Tcp(_) => Candidate::configured(config, transport),
            Transport::Discover(_) => {
                let domain = config.jid.domain_for_dns();
                Some(Candidate::tcp(config, domain, 5222, TcpTls::StartTls))
            }
            Transport::WebSocket(_) | Transport::Bosh(_) => None,
        });
        if let Some(candidate) = lost.and_then(|lost| reconnect::place(config, &lost, location)) {
            self.last_good = Some(candidate);
        }
    }

    /// Before `start`: a session that was restored is looked for there first.
    pub(crate) fn prefer(&mut self, config: &Config, endpoint: Endpoint) {
        let candidate = match endpoint {
            Endpoint::Tcp { host, port, tls } => Candidate::tcp(config, host, port, tls),
            Endpoint::WebSocket { url } => Candidate::web_socket(url),
            Endpoint::Bosh { url } => Candidate::bosh(configured_bosh(config, url)),
        };
        if config.tls == TlsPolicy::AllowPlaintext || !candidate.is_plain_url() {
            self.last_good = Some(candidate);
        }
    }

    /// Takes the answer to a question; one that nobody waits for is ignored. Call `next` afterwards.
    pub(crate) fn resolved(&mut self, cx: &Context<'_>, query: QueryId, answer: Answer<'_>) {
        if let Some(discovery) = self.discovery() {
            discovery.resolved(cx, query, answer);
        }
    }

    /// What to do while there is no link: to be called after `start`, and again after every input until it says `Connect`.
    pub(crate) fn next(&mut self, cx: &mut Context<'_>) -> Next {
        // While there was a link nobody looked at the clock.
        self.tick(cx.now);
        if self.current.is_some() || self.no_network {
            return Next::Wait;
        }
        if let Phase::Waiting { at, location } = &mut self.phase {
            if at.is_some_and(|at| at > cx.now) {
                return Next::Wait;
            }
            let location = location.take();
            self.phase = Phase::Trying(self.round(location.map(|place| *place)));
        }
        let Phase::Trying(round) = &mut self.phase else {
            return Next::Wait;
        };
        match round.next(cx) {
            Found::Candidate(candidate) => {
                self.current = Some(candidate.clone());
                Next::Connect(Attempt {
                    endpoint: candidate.endpoint,
                    server_name: candidate.server_name,
                    bosh: candidate.bosh,
                    last: !round.may_have_more(cx.config),
                })
            }
            Found::Wait => Next::Wait,
            Found::Nothing => match self.round_over(cx) {
                Verdict::Retry { at, reason } => Next::Retry { at, reason },
                Verdict::GiveUp(reason) => Next::GiveUp(reason),
                // A round that is over has no other place.
                Verdict::Another { .. } => Next::Wait,
            },
        }
    }

    /// The link is gone, or could not be had.
    pub(crate) fn lost(&mut self, cx: &mut Context<'_>, loss: Loss<'_>) -> Verdict {
        let lost = self.current.take();
        let online_since = self.online_since.take();
        let stable = reconnect::was_stable(online_since, cx.now);
        if loss.was_online && stable {
            self.redirects = 0;
        }
        // A network that breaks often is tried again soon; a server that ends each session at once is not (RFC 6120 §3.3).
        if loss.was_online && (stable || !matches!(loss.reason, Offline::Ended(_))) {
            self.backoff = Backoff::default();
        }
        let is_answer = matches!(
            loss.reason,
            Offline::Ended(_) | Offline::Connection(ConnectionError::Closed)
        );
        if let Some(again) = lost.clone().filter(|_| loss.early && is_answer && !loss.was_online) {
            // The same place again, at once: what was not known is asked for this time, so that this happens once.
            if let Phase::Trying(round) = &mut self.phase {
                round.note(loss.reason, true);
                round.tried.retain(|tried| *tried != again.endpoint);
                round.preferred.push_front(again);
                return Verdict::Another { redirected: None };
            }
        }
        if let Some(to) = lost
            .as_ref()
            .and_then(|lost| reconnect::redirect(cx.config, lost, &loss))
        {
            return self.redirected(cx, &loss, to);
        }
        let after = reconnect::after(&loss, lost.as_ref().is_some_and(Candidate::is_plain_url));
        if !after.elsewhere && !after.later {
            return self.give_up(loss.reason.clone());
        }
        if loss.was_online {
            if !after.later {
                return self.give_up(loss.reason.clone());
            }
            let location = lost
                .as_ref()
                .and_then(|lost| reconnect::place(cx.config, lost, loss.location?));
            return self.pause(cx, loss.reason.clone(), location);
        }
        let Phase::Trying(round) = &mut self.phase else {
            // There was no round: a link that the client made on its own.
            return self.pause(cx, loss.reason.clone(), None);
        };
        round.note(loss.reason, after.later);
        if after.elsewhere && round.may_have_more(cx.config) {
            return Verdict::Another { redirected: None };
        }
        self.round_over(cx)
    }

    /// Online: what comes after this starts from the beginning.
    pub(crate) fn online(&mut self, now: Instant) {
        self.ever_online = true;
        self.online_since = Some(now);
        self.last_good = self.current.clone().or_else(|| self.last_good.take());
        // Idle clients are many: the search is forgotten.
        self.phase = Phase::Idle;
    }

    /// News of the network. Call `next` afterwards, where there is no link.
    pub(crate) fn network(&mut self, now: Instant, network: Network) {
        let was_down = core::mem::replace(&mut self.no_network, network == Network::Down);
        let another = was_down || network != Network::Up;
        match &mut self.phase {
            Phase::Waiting { at, .. } if network != Network::Down => *at = Some(now),
            // What was asked and answered on the old one means nothing on the new one.
            Phase::Trying(_) if another && self.current.is_none() => {
                self.phase = Phase::Waiting {
                    at: Some(now),
                    location: None,
                };
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Trying(_) => {}
        }
    }

    pub(crate) fn deadline(&self, earliest: &mut Earliest) {
        match &self.phase {
            Phase::Waiting { at, .. } if !self.no_network => earliest.offer(*at, Timer::Reconnect),
            Phase::Trying(round) => {
                if let Some(discovery) = &round.discovery {
                    discovery.deadline(earliest);
                }
            }
            Phase::Idle | Phase::Waiting { .. } => {}
        }
    }

    /// Time has passed. Call `next` afterwards, where there is no link.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Some(discovery) = self.discovery() {
            discovery.tick(now);
        }
    }

    fn round(&self, location: Option<Candidate>) -> Box<Round> {
        Box::new(Round {
            preferred: location.into_iter().chain(self.last_good.clone()).collect(),
            ..Round::default()
        })
    }

    fn discovery(&mut self) -> Option<&mut Discovery> {
        match &mut self.phase {
            Phase::Trying(round) => round.discovery.as_mut(),
            Phase::Idle | Phase::Waiting { .. } => None,
        }
    }

    /// The server named another place (RFC 6120 §4.9.3.19): it is tried at once.
    fn redirected(&mut self, cx: &mut Context<'_>, loss: &Loss<'_>, (text, to): (String, Candidate)) -> Verdict {
        if loss.was_online && cx.config.reconnect.when == ReconnectWhen::Never {
            return self.give_up(loss.reason.clone());
        }
        self.redirects = self.redirects.saturating_add(1);
        if self.redirects > REDIRECTS {
            return self.give_up(Offline::Connection(ConnectionError::TooManyRedirects));
        }
        if !matches!(self.phase, Phase::Trying(_)) {
            self.phase = Phase::Trying(self.round(None));
        }
        if let Phase::Trying(round) = &mut self.phase {
            round.note(loss.reason, true);
            // It may be where the client was before: the count ends a circle.
            round.tried.retain(|tried| *tried != to.endpoint);
            round.preferred.push_front(to);
        }
        Verdict::Another { redirected: Some(text) }
    }

    fn round_over(&mut self, cx: &mut Context<'_>) -> Verdict {
        let Phase::Trying(round) = &mut self.phase else {
            return self.give_up(Offline::Connection(ConnectionError::NoEndpoint));
        };
        let reason = round.failure.take();
        let reason = reason.unwrap_or(Offline::Connection(ConnectionError::NoEndpoint));
        if !round.retryable {
            return self.give_up(reason);
        }
        self.pause(cx, reason, None)
    }

    fn pause(&mut self, cx: &mut Context<'_>, reason: Offline, location: Option<Candidate>) -> Verdict {
        let may = match cx.config.reconnect.when {
            ReconnectWhen::Never => false,
            ReconnectWhen::AfterOnline => self.ever_online,
            ReconnectWhen::Always => true,
        };
        if !may {
            return self.give_up(reason);
        }
        let at = if self.no_network {
            None
        } else if reason == Offline::Connection(ConnectionError::NetworkChanged) {
            Some(cx.now)
        } else {
            match self.backoff.next(&cx.config.reconnect, self.ever_online, cx.random) {
                Some(delay) => Some(cx.now + delay),
                None => return self.give_up(reason),
            }
        };
        self.phase = Phase::Waiting {
            at,
            location: location.map(Box::new),
        };
        Verdict::Retry { at, reason }
    }

    fn give_up(&mut self, reason: Offline) -> Verdict {
        self.stop();
        Verdict::GiveUp(reason)
    }
}

/// The connection manager as it was configured, or with the usual parameters.
fn configured_bosh(config: &Config, url: String) -> Bosh {
    let configured = config.transports.iter().find_map(|transport| match transport {
        Transport::Bosh(bosh) if bosh.url == url => Some(bosh.clone()),
        Transport::Bosh(_) | Transport::Discover(_) | Transport::Tcp(_) | Transport::WebSocket(_) => None,
    });
    configured.unwrap_or_else(|| Bosh::new(url))
}

impl Round {
    /// The next place that was not tried yet.
    fn next(&mut self, cx: &mut Context<'_>) -> Found {
        loop {
            let candidate = if let Some(candidate) = self.preferred.pop_front() {
                candidate
            } else if let Some(discovery) = &mut self.discovery {
                match discovery.next(cx.now, cx.config, cx.random) {
                    Found::Candidate(candidate) => candidate,
                    Found::Wait => return Found::Wait,
                    Found::Nothing => {
                        if let Some(failure) = self.discovery.take().and_then(Discovery::failure) {
                            self.note(&failure, true);
                        }
                        continue;
                    }
                }
            } else {
                let Some(transport) = cx.config.transports.get(self.position) else {
                    return Found::Nothing;
                };
                self.position += 1;
                if let Transport::Discover(what) = transport {
                    self.discovery = Some(Discovery::begin(*what, cx));
                    continue;
                }
                let Some(candidate) = Candidate::configured(cx.config, transport) else {
                    continue;
                };
                candidate
            };
            if !self.tried.contains(&candidate.endpoint) {
                self.tried.push(candidate.endpoint.clone());
                return Found::Candidate(candidate);
            }
        }
    }

    /// Whether `next` may still find something.
    fn may_have_more(&self, config: &Config) -> bool {
        let is_new = |endpoint: &Endpoint| !self.tried.contains(endpoint);
        let left = config.transports.get(self.position..).unwrap_or_default();
        self.preferred.iter().any(|candidate| is_new(&candidate.endpoint))
            || self
                .discovery
                .as_ref()
                .is_some_and(|discovery| discovery.may_have_more(is_new))
            || left
                .iter()
                .any(|transport| match Candidate::configured(config, transport) {
                    Some(candidate) => is_new(&candidate.endpoint),
                    None => true,
                })
    }

    /// Keeps the most telling failure; of equals the first.
    fn note(&mut self, reason: &Offline, later: bool) {
        self.retryable |= later;
        if self
            .failure
            .as_ref()
            .is_none_or(|known| telling(reason) > telling(known))
        {
            self.failure = Some(reason.clone());
        }
    }
}
