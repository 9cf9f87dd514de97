//! The supervisor in virtual time, with a host that answers what the test says.

mod discovery;
mod reasons;
mod reconnect;
mod snapshot;

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::{Attempt, Context, Loss, Next, Supervisor, Verdict};
use crate::config::{Config, ConfigBuilder, Credentials, TlsPolicy};
use crate::error::{ConnectionError, Offline, SessionEnd};
use crate::input::{Answer, Failure, QueryId, SrvRecord};
use crate::output::{Endpoint, Output, Outputs, Question, TcpTls};
use crate::random::Random;
use crate::time::{Earliest, Instant, Timer};

const XMPPS: &str = "_xmpps-client._tcp.example.org";
const XMPP: &str = "_xmpp-client._tcp.example.org";
const XML: &str = "https://example.org/.well-known/host-meta";
const JSON: &str = "https://example.org/.well-known/host-meta.json";

struct Bed {
    config: Config,
    supervisor: Supervisor,
    outputs: Outputs,
    random: Random,
    next_query: u64,
    now: Instant,
    asked: Vec<(QueryId, String)>,
}

fn config(change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Config {
    let builder = Config::builder("u@example.org".parse().unwrap()).credentials(Credentials::password("x"));
    change(builder).build().unwrap()
}

impl Bed {
    fn new(config: Config) -> Self {
        Self::seeded(config, 7)
    }

    fn seeded(config: Config, seed: u8) -> Self {
        let mut bed = Self {
            config,
            supervisor: Supervisor::new(),
            outputs: Outputs::default(),
            random: Random::new(&[seed; 32]),
            next_query: 1,
            now: Instant::from_millis(1_000),
            asked: Vec::new(),
        };
        bed.supervisor.start();
        bed
    }

    /// Everything is discovered.
    fn discovering() -> Self {
        Self::new(config(|builder| builder))
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut Supervisor, &mut Context<'_>) -> R) -> R {
        let mut cx = Context {
            now: self.now,
            config: &self.config,
            outputs: &mut self.outputs,
            random: &mut self.random,
            next_query: &mut self.next_query,
        };
        let result = f(&mut self.supervisor, &mut cx);
        while let Some(output) = self.outputs.pop() {
            let Output::Resolve { query, question, .. } = output else {
                panic!("{output:?}")
            };
            let name = match question {
                Question::Srv { name } => name,
                Question::Document { url, .. } => url,
            };
            self.asked.push((query, name));
        }
        result
    }

    fn next(&mut self) -> Next {
        self.with(|supervisor, cx| supervisor.next(cx))
    }

    /// Where it connects to, in short.
    fn connect(&mut self) -> String {
        match self.next() {
            Next::Connect(attempt) => short(&attempt.endpoint),
            other @ (Next::Wait | Next::Retry { .. } | Next::GiveUp(_)) => format!("{other:?}"),
        }
    }

    fn attempt(&mut self) -> Attempt {
        match self.next() {
            Next::Connect(attempt) => attempt,
            other @ (Next::Wait | Next::Retry { .. } | Next::GiveUp(_)) => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, name: &str, answer: Answer<'_>) {
        let index = self.asked.iter().rposition(|(_, asked)| asked == name).unwrap();
        let (query, _) = self.asked.remove(index);
        self.with(|supervisor, cx| supervisor.resolved(cx, query, answer));
    }

    fn records(&mut self, name: &str, records: &[(u16, u16, &str, u16)]) {
        let record = |(priority, weight, target, port): &(u16, u16, &str, u16)| SrvRecord {
            priority: *priority,
            weight: *weight,
            port: *port,
            target: target.to_string(),
        };
        self.answer(name, Answer::Records(records.iter().map(record).collect()));
    }

    fn nothing(&mut self, names: &[&str]) {
        for name in names {
            if name.starts_with('_') {
                self.records(name, &[]);
            } else {
                let reason = "404".to_string();
                self.answer(name, Answer::Failed(Failure::Http { reason }));
            }
        }
    }

    fn failed(&mut self, failure: Failure) -> Verdict {
        self.lost(&Offline::from_failure(failure, false))
    }

    fn lost(&mut self, reason: &Offline) -> Verdict {
        self.loss(Loss {
            early: false,
            reason,
            was_online: false,
            verified: true,
            location: None,
        })
    }

    fn lost_online(&mut self, reason: &Offline) -> Verdict {
        self.loss(Loss {
            early: false,
            reason,
            was_online: true,
            verified: true,
            location: None,
        })
    }

    fn loss(&mut self, loss: Loss<'_>) -> Verdict {
        self.with(|supervisor, cx| supervisor.lost(cx, loss))
    }

    fn online(&mut self) {
        let now = self.now;
        self.supervisor.online(now);
    }

    fn deadline(&self) -> Option<(u64, Timer)> {
        let mut earliest = Earliest::default();
        self.supervisor.deadline(&mut earliest);
        earliest.get().map(|(at, timer)| (at.as_millis(), timer))
    }

    /// Goes to exactly the deadline, which must not be there any more afterwards.
    fn wait(&mut self) -> (u64, Next) {
        let before = self.now.as_millis();
        let (at, _) = self.deadline().expect("something to wait for");
        self.now = Instant::from_millis(at);
        let now = self.now;
        self.supervisor.tick(now);
        let next = self.next();
        assert!(self.deadline().is_none_or(|(later, _)| later > at), "the deadline lies");
        (at - before, next)
    }
}

fn short(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp { host, port, tls } => {
            let tls = match tls {
                TcpTls::Direct => "tls",
                TcpTls::StartTls => "starttls",
            };
            format!("{tls} {host} {port}")
        }
        Endpoint::WebSocket { url } | Endpoint::Bosh { url } => url.clone(),
    }
}

fn another() -> Verdict {
    Verdict::Another { redirected: None }
}

fn closed() -> Offline {
    Offline::Connection(ConnectionError::Closed)
}

fn ended(condition: &str) -> Offline {
    Offline::Ended(SessionEnd {
        condition: Some(condition.to_string()),
        text: None,
        application: None,
        see_other: None,
    })
}

fn see_other(to: &str) -> Offline {
    Offline::Ended(SessionEnd {
        condition: Some("see-other-host".to_string()),
        text: None,
        application: None,
        see_other: Some(to.to_string()),
    })
}

fn anything_goes(builder: ConfigBuilder) -> ConfigBuilder {
    builder.tls(TlsPolicy::AllowPlaintext)
}

fn all_of(bed: &mut Bed) -> Vec<String> {
    let mut places = vec![bed.connect()];
    while bed.failed(Failure::Refused) == another() {
        places.push(bed.connect());
    }
    places
}
