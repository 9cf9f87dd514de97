//! What no login shows, and that nothing of the contract is missing.

use std::collections::{BTreeMap, BTreeSet};

use epode::config::{Acknowledge, Bosh, Limits, MechanismPolicy, Persist, Reconnect, ReconnectWhen, Transport};
use epode::{
    Answer, ChannelBindings, Credentials, Element, Event, Failure, Input, LinkInfo, Network, Output, Question, Secret,
    Slot, SrvRecord, StanzaError, StanzaErrorType, TlsFacts, Verified,
};
use serde_json::Value;

use crate::life::{Life, folder};
use crate::login::{SASL2, authentication, info, of};
use crate::scram::scram2;

const FULL: &str = "user@example.org/r";
const JID: &str = "user@example.org";
const MANAGED: &str = "<bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>\
                       <sm xmlns='urn:xmpp:sm:3'/>";
const ENABLED: &str =
    "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='300'/></bound>";

fn xml(text: &str) -> Element {
    Element::parse(text, &epode::xml::XmlLimits::default()).unwrap()
}

fn password() -> Credentials {
    Credentials::password("pencil")
}

impl Life {
    /// The token of the latest event that has one, by what the log calls it.
    fn token(&self, kind: &str) -> epode::Token {
        let token = self.events().rev().find_map(|event| match (kind, event) {
            ("stanza", Event::Stanza { token, .. }) => *token,
            ("request", Event::Request { token, .. }) | ("delivery", Event::Delivery { token, .. }) => Some(*token),
            _ => None,
        });
        token.unwrap_or_else(|| panic!("no {kind}"))
    }

    fn count(&self, matches: impl Fn(&Event) -> bool) -> usize {
        self.events().filter(|event| matches(event)).count()
    }
}

/// The way is found by DNS and host-meta; the first places are not there; then a second factor.
#[test]
fn discovery_and_a_task() {
    let config = epode::Config::builder(JID.parse().unwrap()).credentials(password());
    let reconnect = Reconnect {
        when: ReconnectWhen::Always,
        ..Reconnect::default()
    };
    let mut life = Life::new(config.task("TOTP").reconnect(reconnect).build().unwrap());
    life.input(Input::Clock {
        unix_ms: 1_767_225_600_000,
    });
    life.input(Input::Network(Network::Down));
    life.input(Input::Start);
    life.input(Input::Network(Network::Up));
    let record = |target: &str, port| SrvRecord {
        priority: 5,
        weight: 0,
        port,
        target: target.to_owned(),
    };
    for _ in 0..3 {
        let asked = std::mem::take(&mut life.outputs);
        for output in asked {
            let Output::Resolve { query, question, .. } = output else {
                continue;
            };
            let answer = match &question {
                Question::Srv { name } if name.starts_with("_xmpps-client.") => {
                    Answer::Records(vec![record("one.example.net", 5223), record("two.example.net", 443)])
                }
                Question::Srv { .. } => Answer::Failed(Failure::Dns),
                Question::Document { .. } => Answer::Document(
                    br#"{"links":[{"rel":"urn:xmpp:alt-connections:websocket","href":"wss://example.org/ws"}]}"#[..]
                        .into(),
                ),
                other => panic!("{other:?}"),
            };
            life.now += 3;
            life.input(Input::Resolved { query, answer });
        }
    }
    // One place after the other, each failing in its own way.
    let failures = [
        Failure::Refused,
        Failure::Timeout,
        Failure::Reset,
        Failure::TlsAlert(40),
        Failure::Other {
            reason: "out of descriptors".to_owned(),
        },
    ];
    for reason in failures {
        let link = life.link;
        let before = life.links;
        life.now += 50;
        life.input(Input::Failed {
            link,
            request: None,
            reason,
        });
        if life.links == before {
            life.until_next_link();
        }
    }
    // Until it is the turn of TCP: this server speaks TCP.
    while !life.outputs.iter().rev().any(|output| {
        matches!(output, Output::Connect { link, endpoint: epode::Endpoint::Tcp { .. }, .. } if *link == life.link)
    }) {
        let (link, before) = (life.link, life.links);
        life.input(Input::Failed {
            link,
            request: None,
            reason: Failure::Http {
                reason: "not found".to_owned(),
            },
        });
        if life.links == before {
            life.until_next_link();
        }
    }
    life.said.clear();
    life.connect(
        info("example.org", ChannelBindings::default()),
        &authentication(&["SCRAM-SHA-256"], MANAGED),
    );
    let proof = scram2(&mut life, "SCRAM-SHA-256", b"");
    life.answer(&format!(
        "<continue xmlns='{SASL2}'><additional-data>{proof}</additional-data><tasks><task>TOTP</task></tasks>\
         <text>One more thing</text></continue>"
    ));
    let code = |code: &str| Some(xml(&format!("<code xmlns='urn:example:totp'>{code}</code>")));
    life.input(Input::Task {
        payload: code("123456"),
    });
    life.answer(&format!(
        "<task-data xmlns='{SASL2}'><again xmlns='urn:example:totp'/></task-data>"
    ));
    life.input(Input::Task {
        payload: code("654321"),
    });
    life.succeed2("", FULL, ENABLED);
    assert_eq!(life.count(|event| matches!(event, Event::Task { .. })), 2);
    life.end().golden("contract-discovery-and-task");
}

/// What an application does while it is online, and what comes of it.
#[test]
fn stanzas() {
    let limits = Limits {
        outbound_queue: 4096,
        ..Limits::default()
    };
    let config = of(JID, password())
        .acknowledge(Acknowledge::Manual)
        .answers("urn:example:question")
        .limits(limits);
    let mut life = Life::begin(
        config.build().unwrap(),
        info("example.org", ChannelBindings::default()),
        &authentication(&["SCRAM-SHA-256"], MANAGED),
    );
    let proof = scram2(&mut life, "SCRAM-SHA-256", b"");
    life.succeed2(&proof, FULL, ENABLED);
    // Received, and handled by the application.
    life.answer("<message xmlns='jabber:client' from='other@example.org/x' type='chat'><body>Hello &amp; welcome</body></message>");
    life.input(Input::Handled {
        token: life.token("stanza"),
    });
    life.answer("<r xmlns='urn:xmpp:sm:3'/>");
    // Asked by others: an answer with something in it, one without, and a refusal.
    let answers = [
        Ok(Some(xml("<answer xmlns='urn:example:question'>42</answer>"))),
        Ok(None),
        Err(StanzaError {
            kind: StanzaErrorType::Modify,
            condition: "bad-request".to_owned(),
            text: Some("What?".to_owned()),
        }),
    ];
    for (number, result) in answers.into_iter().enumerate() {
        life.answer(&format!(
            "<iq type='get' id='q{number}' from='other@example.org/x'><question xmlns='urn:example:question'/></iq>"
        ));
        life.input(Input::Respond {
            token: life.token("request"),
            result,
        });
    }
    // Asking others: an answer, an error, silence, and a change of mind.
    let iq = || xml("<iq xmlns='jabber:client' type='get' to='other@example.org/x'><q xmlns='urn:example'/></iq>");
    let ask = |life: &mut Life| {
        life.said.clear();
        life.input(Input::Request {
            iq: iq(),
            timeout: Some(std::time::Duration::from_secs(20)),
        });
        life.said
            .split(" id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap()
            .to_owned()
    };
    let id = ask(&mut life);
    life.answer(&format!(
        "<iq type='result' id='{id}' from='other@example.org/x'><q xmlns='urn:example'/></iq>"
    ));
    let id = ask(&mut life);
    life.answer(&format!(
        "<iq type='error' id='{id}' from='other@example.org/x'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Nothing here</text></error></iq>"
    ));
    ask(&mut life);
    life.now += 21_000;
    life.input(Input::Tick);
    let token = life.turn_token(Input::Request {
        iq: iq(),
        timeout: None,
    });
    life.input(Input::Cancel { token });
    let done = life.count(|event| matches!(event, Event::IqDone { .. }));
    assert_eq!(done, 4, "{:?}", life.events().collect::<Vec<_>>());
    // Sent, acknowledged, and more than there is room for while nobody reads.
    let chat = |text: &str| Input::Send {
        stanza: epode::stanza::chat(&"other@example.org".parse().unwrap(), text).unwrap(),
    };
    life.input(chat("first & foremost"));
    life.answer("<a xmlns='urn:xmpp:sm:3' h='8'/>");
    let link = life.link;
    life.input(Input::Reading { link, reading: false });
    life.input(Input::Reading { link, reading: true });
    life.input(Input::Foreground(false));
    life.input(Input::Foreground(true));
    life.input(Input::Pause { seconds: 60 });
    life.answer("<a xmlns='urn:xmpp:sm:3' h='8'/>");
    life.input(Input::Ended { link });
    let long = "x".repeat(1_500);
    life.input(chat(&long));
    let unsent = life.turn_token(chat(&long));
    life.refused(chat(&long));
    life.input(Input::Cancel { token: unsent });
    assert!(
        life.count(|event| matches!(event, Event::Writable)) > 0,
        "{:?}",
        life.events().collect::<Vec<_>>()
    );
    life.until_next_link();
    life.said.clear();
    life.connect(
        info("example.org", ChannelBindings::default()),
        &authentication(&["SCRAM-SHA-256"], MANAGED),
    );
    let proof = scram2(&mut life, "SCRAM-SHA-256", b"");
    life.succeed2(&proof, FULL, "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='8'/>");
    life.input(Input::Network(Network::Changed));
    life.answer("<a xmlns='urn:xmpp:sm:3' h='9'/>");
    life.end().golden("contract-stanzas");
}

/// What one process stores, the next one restores: the session, the token and the pins.
#[test]
fn two_processes() {
    let config = || of(JID, password()).persist(Persist::EveryTurn).build().unwrap();
    let link = || info("example.org", ChannelBindings::default());
    let inline = format!("{}{MANAGED}", crate::login::fast(&["HT-SHA-256-NONE"]));
    let features = authentication(&["SCRAM-SHA-256"], &inline);
    let mut life = Life::begin(config(), link(), &features);
    let proof = scram2(&mut life, "SCRAM-SHA-256", b"");
    let token = "<token xmlns='urn:xmpp:fast:0' token='secret-token:fast-1' expiry='2026-02-01T00:00:00Z'/>";
    life.succeed2(&proof, FULL, &format!("{ENABLED}{token}"));
    let stanza = epode::stanza::chat(&"other@example.org".parse().unwrap(), "is it there?").unwrap();
    life.input(Input::Send { stanza });
    let mut slots: BTreeMap<Slot, Vec<u8>> = BTreeMap::new();
    for output in &life.outputs {
        if let Output::Store { slot, append, bytes } = output {
            let kept = slots.entry(*slot).or_default();
            if !append {
                kept.clear();
            }
            kept.extend(bytes.expose());
        }
    }
    life.golden("contract-stored");
    assert_eq!(slots.len(), 3, "{:?}", slots.keys());
    let mut life = Life::new(config());
    for (slot, bytes) in slots {
        let bytes = Secret::new(bytes);
        life.input(Input::Restore { slot, bytes });
    }
    life.refused(Input::Restore {
        slot: Slot::Session,
        bytes: Secret::new(*b"no session"),
    });
    life.input(Input::Start);
    life.connect(link(), &features);
    let digest = |who: &[u8]| crate::scram::login_token(b"secret-token:fast-1", who);
    life.succeed2(
        &digest(b"Responder"),
        FULL,
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='1'/>",
    );
    life.end().golden("contract-restored");
}

/// BOSH: requests that fail, that are given up, that come back with what TLS showed; a warning; and somebody who only looks.
#[test]
fn bosh() {
    let bosh = Bosh {
        first_rid: Some(1_421_604_076),
        wait: 10,
        ..Bosh::new("https://example.org/http-bind")
    };
    let config = epode::Config::builder(JID.parse().unwrap())
        .transport(Transport::Bosh(bosh))
        .credentials(Credentials::certificate("the certificate", None));
    let mut life = Life::new(config.build().unwrap());
    life.input(Input::Start);
    let link = life.link;
    let info = LinkInfo {
        encrypted: true,
        verified: Verified::Platform {
            name: "example.org".to_owned(),
        },
        client_certificate_requested: Some(true),
        ..LinkInfo::default()
    };
    life.input(Input::Connected { link, info });
    life.respond(
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams' from='example.org' \
         sid='s-1' requests='2' inactivity='30' wait='10' hold='1' ver='1.6' maxpause='120'><stream:features>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></stream:features></body>",
    );
    life.respond(
        "<body xmlns='http://jabber.org/protocol/httpbind'><success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></body>",
    );
    // The connection that carried it broke: it is sent again.
    let request = life.request();
    life.now += 5;
    life.input(Input::Failed {
        link,
        request: Some(request),
        reason: Failure::Reset,
    });
    life.until_request(request);
    life.respond(
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
         <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features></body>",
    );
    let id = life
        .said
        .rsplit(" id='")
        .next()
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    life.respond(&format!(
        "<body xmlns='http://jabber.org/protocol/httpbind'><iq xmlns='jabber:client' type='result' id='{id}'>\
         <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{FULL}</jid></bind></iq></body>"
    ));
    // Nobody answers: it is given up, and sent again.
    let request = life.request();
    life.until_request(request);
    let given_up = life
        .outputs
        .iter()
        .any(|output| matches!(output, Output::Abandon { .. }));
    assert!(given_up, "{:?}", life.outputs);
    life.input(Input::Pause { seconds: 60 });
    life.respond("<body xmlns='http://jabber.org/protocol/httpbind'/>");
    life.input(Input::Stop);
    life.respond("<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/>");
    for _ in 0..10 {
        if !life.is_over() {
            let (at, _) = life.deadline().unwrap();
            life.now = life.now.max(at.as_millis());
            life.input(Input::Tick);
        }
    }
    assert!(life.is_over(), "{:?}", life.outputs);
    life.golden("contract-bosh");
}

#[test]
fn somebody_who_only_looks() {
    let config = of("example.org", Credentials::Nothing);
    let mut life = Life::begin(
        config.build().unwrap(),
        info("example.org", ChannelBindings::default()),
        &authentication(&["SCRAM-SHA-256"], MANAGED),
    );
    if !life.is_over() {
        life.answer("</stream:stream>");
    }
    assert_eq!(life.count(|event| matches!(event, Event::Offered { .. })), 1);
    life.golden("contract-offered");
}

/// Something that a person should know, and no more.
#[test]
fn a_warning() {
    let policy = MechanismPolicy::default();
    let config = of(JID, Credentials::certificate("the certificate", None)).mechanisms(policy);
    let link = LinkInfo {
        client_certificate: Some(b"this is no certificate".to_vec()),
        ..info("example.org", ChannelBindings::default())
    };
    let mut life = Life::begin(config.build().unwrap(), link, &crate::login::mechanisms(&["EXTERNAL"]));
    life.succeed("", FULL);
    // RFC 6120 §8.1: no stanza that anybody knows.
    life.answer("<riddle xmlns='urn:example'/>");
    life.input(Input::Stop);
    if !life.is_over() {
        life.answer("</stream:stream>");
    }
    life.golden("contract-warning");
}

// ---- what the logs have, all together

#[test]
fn nothing_of_the_contract_is_missing() {
    let mut seen = BTreeSet::new();
    for folder in [folder(), folder().join("..")] {
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            for line in std::fs::read_to_string(&path).unwrap().lines().skip(1) {
                let line: Value = serde_json::from_str(line).unwrap();
                names(&line, &mut seen);
            }
        }
    }
    let mut missing = Vec::new();
    for (of, source, declared) in [
        ("in", include_str!("../../src/input.rs"), "pub enum Input<'a> {"),
        ("out", include_str!("../../src/output.rs"), "pub enum Output {"),
        ("event", include_str!("../../src/output.rs"), "pub enum Event {"),
    ] {
        let variants = variants(source, declared);
        assert!(variants.len() > 10, "{declared}: {variants:?}");
        missing.extend(
            variants
                .into_iter()
                .map(|name| format!("{of} {name}"))
                .filter(|name| !seen.contains(name)),
        );
    }
    assert_eq!(missing, Vec::<String>::new(), "no log has these");
}

fn names(line: &Value, seen: &mut BTreeSet<String>) {
    for of in ["in", "out"] {
        let Some(value) = line.get(of) else { continue };
        let name = name(value);
        seen.insert(format!("{of} {name}"));
        if name == "event" {
            seen.insert(format!("event {}", self::name(&value["event"])));
        }
    }
}

fn name(value: &Value) -> String {
    match value {
        Value::String(name) => name.clone(),
        value => value.as_object().unwrap().keys().next().unwrap().clone(),
    }
}

/// The names of an enum's variants as a log has them. The enums may grow, so the compiler cannot be asked here.
fn variants(source: &str, declared: &str) -> Vec<String> {
    let body = source.split_once(declared).unwrap().1;
    let body = body.split("\n}\n").next().unwrap();
    let names = body.lines().filter_map(|line| {
        let name = line.strip_prefix("    ")?;
        let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
        name.starts_with(|c: char| c.is_uppercase())
            .then(|| snake(&name[..end]))
    });
    names.collect()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

impl Life {
    /// The latest request.
    fn request(&self) -> epode::RequestId {
        let posted = self.outputs.iter().rev().find_map(|output| match output {
            Output::Post { request, .. } => Some(*request),
            _ => None,
        });
        posted.unwrap()
    }

    /// Until another one than this is posted.
    fn until_request(&mut self, before: epode::RequestId) {
        while self.request() == before {
            let (at, _) = self.deadline().expect("it waits for nothing");
            self.now = self.now.max(at.as_millis());
            self.input(Input::Tick);
        }
    }

    fn respond(&mut self, body: &str) {
        self.now += 20;
        let (link, request) = (self.link, self.request());
        let tls = TlsFacts {
            version: Some("1.3".to_owned()),
            server_certificate_sha256: Some(*b"the digest of that certificate.."),
            client_certificate_requested: Some(true),
        };
        self.input(Input::Responded {
            link,
            request,
            status: 200,
            body: body.as_bytes().into(),
            tls: Some(tls),
        });
    }
}
