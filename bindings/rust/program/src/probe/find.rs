//! Where a server may be: what discovery finds, in the order in which a client would try it; or what is usual.

use std::time::Duration;

use epode::config::Reconnect;
use epode::{Answer, Config, Credentials, Endpoint, Event, Input, Instant, Output, Question, TcpTls};
use epode_tokio::Client;

use super::{Place, Setup, Source};
use crate::connect;
use crate::exit::Failure;

/// What the search came to.
pub(super) struct Found {
    /// Each question, and what was answered.
    pub(super) search: Vec<(String, String)>,
    pub(super) places: Vec<Place>,
}

/// The one place that the command line names.
pub(super) fn named(setup: &Setup) -> Result<Place, Failure> {
    let config = setup
        .args
        .place
        .configure(Config::builder(setup.args.domain.clone()))
        .credentials(Credentials::Nothing)
        .reconnect(Reconnect::never())
        .build()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let mut walk = Walk::begin(config);
    walk.on();
    let endpoint = walk.endpoints.into_iter().next();
    let endpoint = endpoint.ok_or_else(|| Failure::other("there is no endpoint to be tried"))?;
    Ok(Place {
        endpoint,
        source: Source::Option,
    })
}

/// Asks what the engine would ask, and follows it from one endpoint to the next.
pub(super) async fn find(setup: &Setup) -> Result<Found, Failure> {
    let config = Config::builder(setup.args.domain.clone())
        .credentials(Credentials::Nothing)
        .reconnect(Reconnect::never())
        .build()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let driver = setup.args.place.prepare(Client::builder(config.clone()));
    let driver = connect::trust(driver, setup.authorities.clone())?;
    let mut walk = Walk::begin(config);
    walk.on();
    let (queries, questions): (Vec<_>, Vec<_>) = std::mem::take(&mut walk.questions).into_iter().unzip();
    let answers = driver
        .look_up(questions.clone(), setup.limit)
        .await
        .map_err(|error| Failure::other(error.to_string()))?;
    let search = questions.iter().map(name).zip(answers.iter().map(said)).collect();
    let mut records = Vec::new();
    for answer in &answers {
        if let Answer::Records(found) = answer {
            records.extend(found.iter().cloned());
        }
    }
    for (query, answer) in queries.into_iter().zip(answers) {
        walk.handle(Input::Resolved { query, answer });
    }
    walk.walk_on();
    let mut places: Vec<Place> = walk
        .endpoints
        .into_iter()
        .map(|endpoint| Place {
            source: match &endpoint {
                Endpoint::Tcp { .. } if records.is_empty() => Source::Guess,
                Endpoint::Tcp { .. } => Source::Srv,
                // Not an enum of this crate.
                Endpoint::WebSocket { .. } | Endpoint::Bosh { .. } | _ => Source::HostMeta,
            },
            endpoint,
        })
        .collect();
    if records.is_empty() && places.iter().all(|place| place.source == Source::Guess) {
        for place in usual(setup.args.domain.domain()) {
            if !places.iter().any(|known| known.endpoint == place.endpoint) {
                places.push(place);
            }
        }
    }
    Ok(Found { search, places })
}

/// An engine whose links all fail: it tells where it would go.
struct Walk {
    engine: epode::Client,
    now: Instant,
    questions: Vec<(epode::QueryId, Question)>,
    endpoints: Vec<Endpoint>,
    over: bool,
}

impl Walk {
    fn begin(config: Config) -> Self {
        // Nothing here is a secret, and the same answers shall give the same order.
        let mut walk = Self {
            engine: epode::Client::new(config, [7; 32]),
            now: Instant::from_millis(0),
            questions: Vec::new(),
            endpoints: Vec::new(),
            over: false,
        };
        walk.handle(Input::Start);
        walk
    }

    fn handle(&mut self, input: Input<'_>) {
        // Only a host that breaks the contract is refused.
        let _ = self.engine.handle(self.now, input);
    }

    /// Takes what comes out; says whether there was anything.
    fn on(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.engine.next() {
            any = true;
            if let Output::Resolve { query, question, .. } = output {
                self.questions.push((query, question));
            } else if let Output::Connect { link, endpoint, .. } = output {
                self.endpoints.push(endpoint);
                let reason = epode::Failure::Refused;
                self.handle(Input::Failed {
                    link,
                    request: None,
                    reason,
                });
            } else if let Output::Event(Event::Offline { .. }) = output {
                self.over = true;
            }
        }
        any
    }

    /// Until there is nowhere else to go. The bound is for a mistake: each round has an endpoint or passes a deadline.
    fn walk_on(&mut self) {
        for _ in 0..1_000 {
            if self.on() {
                continue;
            }
            let Some((deadline, _)) = self.engine.deadline().filter(|_| !self.over) else {
                return;
            };
            self.now = deadline.max(self.now + Duration::from_millis(1));
            self.handle(Input::Tick);
        }
    }
}

fn name(question: &Question) -> String {
    match question {
        Question::Srv { name } => name.clone(),
        Question::Document { url, .. } => url.clone(),
        // Not an enum of this crate.
        _ => "a question".to_owned(),
    }
}

fn said(answer: &Answer<'_>) -> String {
    match answer {
        Answer::Records(records) => match records.len() {
            0 => "no record".to_owned(),
            1 => "1 record".to_owned(),
            count => format!("{count} records"),
        },
        Answer::Document(bytes) => format!("a document of {} bytes", bytes.len()),
        Answer::Failed(failure) => format!("no answer: {failure}"),
        // Not an enum of this crate.
        _ => "an answer".to_owned(),
    }
}

/// Where the servers of today listen if nobody changes it (Prosody, ejabberd, Openfire).
fn usual(domain: &str) -> Vec<Place> {
    let tcp = |port, tls| Endpoint::Tcp {
        host: domain.to_owned(),
        port,
        tls,
    };
    let websocket = |rest: &str| Endpoint::WebSocket {
        url: format!("wss://{domain}{rest}"),
    };
    let bosh = |rest: &str| Endpoint::Bosh {
        url: format!("https://{domain}{rest}"),
    };
    let endpoints = [
        tcp(5222, TcpTls::StartTls),
        tcp(5223, TcpTls::Direct),
        websocket(":5281/xmpp-websocket"),
        websocket(":5443/ws"),
        websocket(":7443/ws/"),
        bosh(":5281/http-bind"),
        bosh(":5443/bosh"),
        bosh(":7443/http-bind/"),
    ];
    endpoints
        .into_iter()
        .map(|endpoint| Place {
            endpoint,
            source: Source::Guess,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use epode::SrvRecord;

    fn srv(port: u16, priority: u16) -> SrvRecord {
        SrvRecord {
            priority,
            weight: 0,
            port,
            target: "xmpp.example.org".into(),
        }
    }

    #[test]
    fn every_endpoint_is_found_in_the_order_of_a_client() {
        let config = Config::builder("example.org".parse().unwrap())
            .credentials(Credentials::Nothing)
            .reconnect(Reconnect::never())
            .build()
            .unwrap();
        let mut walk = Walk::begin(config);
        walk.on();
        assert_eq!(walk.questions.len(), 4);
        for (query, question) in std::mem::take(&mut walk.questions) {
            let answer = match &question {
                Question::Srv { name } if name.starts_with("_xmpps-") => Answer::Records(vec![srv(5223, 0)]),
                Question::Srv { .. } => Answer::Records(vec![srv(5222, 5)]),
                Question::Document { url, .. } if url.ends_with(".json") => Answer::Failed(epode::Failure::Timeout),
                Question::Document { .. } | _ => Answer::Document(
                    (&b"<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\
                       <Link rel='urn:xmpp:alt-connections:xbosh' href='https://example.org/bosh'/>\
                       <Link rel='urn:xmpp:alt-connections:websocket' href='wss://example.org/ws'/></XRD>"[..])
                        .into(),
                ),
            };
            walk.handle(Input::Resolved { query, answer });
        }
        walk.walk_on();
        let tcp = |port, tls| Endpoint::Tcp {
            host: "xmpp.example.org".into(),
            port,
            tls,
        };
        let url = |url: &str| url.to_owned();
        assert_eq!(
            walk.endpoints,
            [
                tcp(5223, TcpTls::Direct),
                tcp(5222, TcpTls::StartTls),
                Endpoint::WebSocket {
                    url: url("wss://example.org/ws")
                },
                Endpoint::Bosh {
                    url: url("https://example.org/bosh")
                },
            ]
        );
        assert!(walk.over);
    }
}
