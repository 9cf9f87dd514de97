//! What each output promises.

use epode::config::{Bosh, Persist};
use epode::xml::Element;
use epode::{LinkId, Output, Question, Slot};

use super::{ACCESS, DOMAIN, Host, PASSWORD, SHOW, TOKEN, Way, contains};
use crate::wire::{Link, Rules, check_endpoint, check_secret, generous};

impl Host {
    pub(super) fn output(&mut self, output: Output) {
        let shown = format!("{output:?}");
        self.check_secrets(&shown);
        if *SHOW {
            eprintln!("         < {shown}");
        }
        let body = match &output {
            Output::Post { body, .. } => body.as_slice(),
            Output::Write { bytes, .. } => bytes.as_slice(),
            Output::Frame { text, .. } => text.as_bytes(),
            Output::Store { bytes, .. } => bytes.expose(),
            _ => &[],
        };
        for byte in shown.as_bytes().iter().chain(body) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let rules = Rules {
            plaintext: self.choices.plaintext,
            allow_plain: self.choices.allow_plain,
            known: self.known,
            foreign: self.choices.foreign,
        };
        if let Output::Store { slot, append, bytes } = output {
            return self.store(slot, append, bytes.expose());
        }
        let (now, foreign) = (self.now, self.choices.foreign);
        let Some(life) = &mut self.life else {
            panic!("offline, but {shown}");
        };
        // What is said on a link is said on the one that there is.
        let on = |present: &mut Option<Link>, link: LinkId| {
            assert!(
                present.as_ref().is_some_and(|present| present.id == link),
                "no such link: {shown}"
            );
        };
        match output {
            Output::Resolve {
                query,
                question,
                deadline,
            } => {
                assert!(query.0 > self.last_query, "{query} is not new");
                assert!(!self.network_down, "a question without a network");
                self.last_query = query.0;
                assert!(deadline.as_millis() > now, "a deadline in the past");
                let good = match &question {
                    Question::Srv { name } => {
                        name == "_xmpps-client._tcp.example.org" || name == "_xmpp-client._tcp.example.org"
                    }
                    Question::Document { url, max_bytes } => {
                        url.starts_with("https://example.org/.well-known/host-meta") && *max_bytes <= 64 * 1024
                    }
                    _ => false,
                };
                assert!(good, "{question:?}");
                life.queries.push((query, question));
            }
            Output::Connect {
                link,
                endpoint,
                server_name,
                identity,
                ..
            } => {
                assert!(life.link.is_none(), "one link");
                assert!(!self.network_down, "a link without a network");
                assert!(link.0 > self.links, "{link} is not new");
                assert!(self.provided || identity.is_some() == self.choices.login.has_certificate());
                check_endpoint(&endpoint, &server_name, DOMAIN, rules.plaintext);
                self.links = link.0;
                self.server.new_link();
                let window = match self.choices.way {
                    Way::Bosh => usize::from(self.choices.max_requests.max(1)),
                    _ => usize::from(self.choices.max_requests.max(Bosh::new("").max_requests)),
                };
                let mut new = Link::new(link, endpoint, server_name, window);
                new.bodies = std::mem::take(&mut life.bodies);
                life.link = Some(new);
            }
            Output::Write { link, bytes } => {
                on(&mut life.link, link);
                if let Some(link) = &mut life.link {
                    let items = link.items.len();
                    link.write(&bytes, rules);
                    life.said += link.items.len() - items;
                }
            }
            Output::Frame { link, text } => {
                on(&mut life.link, link);
                life.said += 1;
                if let Some(link) = &mut life.link {
                    link.frame(&text, rules);
                }
            }
            Output::StartTls { link, server_name } => {
                on(&mut life.link, link);
                if let Some(link) = &mut life.link {
                    link.start_tls(&server_name);
                }
            }
            Output::Post {
                link,
                request,
                body,
                deadline,
            } => {
                on(&mut life.link, link);
                let Some(link) = &mut life.link else { return };
                assert!(link.connected, "no link to post on");
                assert!(link.verified || rules.plaintext, "a request without verified TLS");
                assert!(request.0 > self.last_request, "{request} is not new");
                self.last_request = request.0;
                link.first.get_or_insert(request);
                assert!(deadline.as_millis() > now, "a deadline in the past");
                if foreign {
                    link.outstanding.push_back((request, request.0, body));
                    return;
                }
                let rid = check_body(&body, link.verified, rules);
                if let Some(before) = link.bodies.insert(rid, body.clone()) {
                    assert_eq!(before, body, "rid {rid} is used for two bodies");
                }
                // A request that is sent again replaces the one before it.
                assert!(
                    !link.outstanding.iter().any(|(_, other, _)| *other == rid),
                    "rid {rid} is under way twice"
                );
                link.outstanding.push_back((request, rid, body));
                let most = link.window + 1;
                assert!(
                    link.outstanding.len() <= most,
                    "{} requests at once, not {most}",
                    link.outstanding.len()
                );
            }
            Output::Abandon { link, request } => {
                on(&mut life.link, link);
                let Some(link) = &mut life.link else { return };
                let before = link.outstanding.len();
                link.outstanding.retain(|(waiting, ..)| *waiting != request);
                assert_ne!(link.outstanding.len(), before, "{request} is not under way");
            }
            Output::Close { link } => {
                on(&mut life.link, link);
                let Some(link) = life.link.take() else { return };
                // What was not abandoned goes out, but nobody waits for its answer.
                assert!(link.outstanding.len() <= 1, "left under way: {:?}", link.outstanding);
                life.bodies = link.bodies;
            }
            Output::DeriveKey { job, derivation } => {
                assert!(self.choices.host_derives, "nobody asked for it");
                assert!(job.0 > self.last_job, "{job} is not new");
                assert!((1..=64).contains(&derivation.iterations), "{derivation:?}");
                self.last_job = job.0;
                self.jobs.push((job, derivation));
            }
            Output::Event(event) => self.event(event),
            other => panic!("an output that is not there: {other:?}"),
        }
    }

    fn store(&mut self, slot: Slot, append: bool, bytes: &[u8]) {
        let allowed = self.choices.persist != Persist::Off || (self.choices.foreign && bytes.is_empty());
        assert!(allowed, "nobody asked for it");
        for secret in [PASSWORD, ACCESS, TOKEN] {
            let fits = !contains(bytes, secret.as_bytes()) || (secret == TOKEN && slot == Slot::Token);
            assert!(self.known || fits, "{secret} is stored in {slot:?}");
        }
        if slot != Slot::Session {
            assert!(!append);
            self.kept.insert(slot, bytes.to_vec());
            return;
        }
        if !append {
            self.stored.clear();
        }
        self.stored.extend_from_slice(bytes);
    }
}

/// A body is XML with a rid that XEP-0124 allows, and has no password in it but as SASL PLAIN where that is allowed. Gives the rid.
fn check_body(body: &[u8], verified: bool, rules: Rules) -> u64 {
    let text = std::str::from_utf8(body).expect("a body is text");
    let element = Element::parse(body, &generous()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(element.is("http://jabber.org/protocol/httpbind", "body"), "{text}");
    check_secret(&element, verified, rules);
    let rid = element.attribute("rid").and_then(|rid| rid.parse().ok());
    let rid: u64 = rid.unwrap_or_else(|| panic!("no rid: {text}"));
    assert!(rid < 1 << 53, "XEP-0124 §14.1");
    rid
}
