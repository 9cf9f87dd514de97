//! Every pair of phase and event, as a literal table, and what an outcome depends on besides.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::config::{Credentials, MechanismPolicy};
use crate::link;
use crate::sasl::{self, Mechanism};
use crate::secret::Secret;
use crate::xml::XmlLimits;

const EXTERNAL: &str = "<features xmlns='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>EXTERNAL</mechanism></mechanisms><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <sm xmlns='urn:xmpp:sm:3'/></features>";
const BOUND: &str = "<iq xmlns='jabber:client' type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <jid>juliet@example.org/balcony</jid></bind><query xmlns='jabber:iq:register'><username/><password/></query></iq>";
const CONFLICT: &str = "<iq xmlns='jabber:client' type='error' id='b1'><error type='cancel'>\
    <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const CHALLENGE: &str = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

const SUCCESS2: &str = "<success xmlns='urn:xmpp:sasl:2'>\
    <authorization-identifier>juliet@example.org</authorization-identifier></success>";
const CONTINUE: &str = "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>OTP</task></tasks></continue>";

/// - `Features(plain)` is `Features` on a link that TLS does not protect yet, and `LoggedIn(past)` is `LoggedIn` where there is
///   an earlier session to resume.
/// - `early` says that the login did not wait for the features.
/// - `Sasl2` is a login by XEP-0388; in `(key)` the host derives a key, in `(task)` the server has to say what it wants of the
///   application, in `(asked)` the application has to answer.
const PHASES: [&str; 18] = [
    "Opening",
    "Opening(early)",
    "StartTls",
    "Features(plain)",
    "Features",
    "Features(early)",
    "Register",
    "Registering",
    "Sasl",
    "Sasl2",
    "Sasl2(key)",
    "Sasl2(asked)",
    "Sasl2(task)",
    "LoggedIn",
    "LoggedIn(past)",
    "Resume",
    "Bind",
    "Session",
];

const EVENTS: [&str; 22] = [
    "Up",
    "Opened",
    "Features",
    "Proceed",
    "TlsFailure",
    "Challenge",
    "Success",
    "Failure",
    "OtherSasl",
    "Challenge2",
    "Success2",
    "Failure2",
    "Continue",
    "TaskData",
    "Derived",
    "TaskAnswer",
    "Resumed",
    "NotResumed",
    "IqAnswer",
    "StreamError",
    "Other",
    "Timeout",
];

/// A phase, what it waits for, and where each of these events leads.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// For each phase: what is waited for, and each event that is not a breach of the protocol there. What the host says where
/// nobody waits for it is ignored; a stream error and a timeout are an end everywhere.
#[rustfmt::skip]
const TABLE: [Row; 18] = [
    ("Opening", "Session", &[("Up", "Opening"), ("Opened", "Features")]),
    ("Opening(early)", "Session", &[("Opened", "Features(early)")]),
    ("StartTls", "Tls", &[("Proceed", "Opening"), ("TlsFailure", "StartTlsRefused")]),
    ("Features(plain)", "Features", &[("Features", "StartTls")]),
    ("Features", "Features", &[("Features", "Sasl")]),
    ("Features(early)", "Features", &[("Features", "Sasl2")]),
    ("Register", "Login", &[("IqAnswer", "Registering")]),
    ("Registering", "Login", &[("IqAnswer", "Sasl")]),
    ("Sasl", "Login", &[("Challenge", "Sasl"), ("Success", "LoggedIn"), ("Failure", "Refused"), ("OtherSasl", "UnknownAnswer")]),
    ("Sasl2", "Login", &[("Challenge2", "Sasl2"), ("Success2", "LoggedIn"), ("Failure2", "Refused"), ("Continue", "Sasl2(asked)"),
        ("TaskData", "Sasl2 task-data")]),
    ("Sasl2(key)", "Login", &[("Derived", "Sasl2"), ("Challenge2", "UnexpectedChallenge"), ("Success2", "SuccessTooEarly"),
        ("Failure2", "Refused"), ("Continue", "SuccessTooEarly"), ("TaskData", "Sasl2 task-data")]),
    ("Sasl2(asked)", "Login", &[("TaskAnswer", "Sasl2(task)"), ("Success2", "LoggedIn"), ("Failure2", "Refused"),
        ("Continue", "Sasl2(asked)"), ("TaskData", "Sasl2 task-data")]),
    ("Sasl2(task)", "Login", &[("TaskData", "Sasl2(asked)"), ("Success2", "LoggedIn"), ("Failure2", "Refused"), ("Continue", "Sasl2(asked)")]),
    ("LoggedIn", "Features", &[("Opened", "LoggedIn"), ("Features", "Bind")]),
    ("LoggedIn(past)", "Features", &[("Opened", "LoggedIn"), ("Features", "Resume")]),
    ("Resume", "Resumption", &[("Resumed", "Online"), ("NotResumed", "Bind")]),
    ("Bind", "Bind", &[("IqAnswer", "Online")]),
    ("Session", "Bind", &[("IqAnswer", "Online"), ("Other", "Session")]),
];

/// What comes of an event in a phase.
fn expected((from, waiting_for, rows): &Row, what: &str) -> String {
    let here = from.trim_end_matches("(past)").trim_end_matches("(plain)");
    match rows.iter().find(|(event, _)| *event == what) {
        Some((_, to)) => (*to).to_string(),
        None if what == "StreamError" => "Ended".to_string(),
        None if what == "Timeout" => format!("Timeout {waiting_for}"),
        None if matches!(what, "Up" | "Derived" | "TaskAnswer") => here.to_string(),
        None => format!("? {waiting_for}"),
    }
}

fn config() -> Config {
    Config::builder("juliet@example.org/balcony".parse().unwrap())
        .bosh("https://example.org/bosh")
        .credentials(Credentials::certificate("juliet", None))
        .task("OTP")
        .build()
        .unwrap()
}

fn new_account() -> Config {
    Config::builder("juliet@example.org".parse().unwrap())
        .bosh("https://example.org/bosh")
        .credentials(Credentials::new_account("pencil"))
        .build()
        .unwrap()
}

fn login() -> Box<Login> {
    let exchange = Exchange::of(SaslProfile::Sasl1, external());
    Box::new(Login::new(&exchange, ServerProof::None))
}

fn external() -> Mechanism {
    let mut mechanism = Mechanism::External(sasl::External::new(None).unwrap());
    mechanism.initial().unwrap();
    mechanism
}

/// The exchange of RFC 7677 §3, where the host has to derive the key.
fn deriving() -> (Exchange, Derivation) {
    let (name, password) = ("user", Secret::from("pencil"));
    let nonce = "rOprNGfwEbeRWgbNEkqO".to_string();
    let (hash, limits) = (sasl::ScramHash::Sha256, sasl::ScramLimits::default());
    let binding = sasl::ChannelBinding::No;
    let scram = sasl::Scram::new(hash, binding, None, name, Some(&password), nonce, limits).unwrap();
    let mut mechanism = Mechanism::Scram(scram.host_derives(true));
    mechanism.initial().unwrap();
    let first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let sasl::Answer::Derive(derivation) = mechanism.challenge(first).unwrap() else {
        panic!("no derivation")
    };
    (Exchange::deriving(SaslProfile::Sasl2, mechanism, JobId(1)), derivation)
}

/// The phase that these events lead to.
fn after(from: Phase, events: impl IntoIterator<Item = Event>) -> Phase {
    let mut negotiation = Negotiation {
        phase: Ok(from),
        early: false,
    };
    for event in events {
        let _ = handle(
            &mut negotiation,
            &config(),
            (link::BOSH, true, false),
            event,
            &mut Vec::new(),
        );
    }
    negotiation.phase.unwrap()
}

fn phase(name: &str) -> Phase {
    let (login, id, attempts) = (login(), "b1".to_string(), 1);
    let sasl2 = || Box::new(Exchange::of(SaslProfile::Sasl2, external()));
    let scram = EXTERNAL.replace("EXTERNAL", "SCRAM-SHA-256");
    let features = || {
        Box::new(Features::read(
            Element::parse(&scram, &XmlLimits::default()).unwrap().root(),
        ))
    };
    match name {
        "Opening" => Phase::Opening(None),
        "Opening(early)" => Phase::Opening(Some(sasl2())),
        "StartTls" => Phase::StartTls,
        "Features(plain)" | "Features" => Phase::Features(None),
        "Features(early)" => Phase::Features(Some(sasl2())),
        "Register" | "Registering" => Phase::Register {
            id,
            submitted: name == "Registering",
            features: features(),
        },
        "Resume" => Phase::Resume {
            login,
            bind: true,
            session_required: false,
        },
        "LoggedIn" | "LoggedIn(past)" => Phase::LoggedIn(login),
        "Sasl" => Phase::Sasl(Box::new(Exchange::of(SaslProfile::Sasl1, external()))),
        "Sasl2" => Phase::Sasl(sasl2()),
        "Sasl2(key)" => Phase::Sasl(Box::new(deriving().0)),
        "Sasl2(asked)" => after(Phase::Sasl(sasl2()), [of(CONTINUE)]),
        "Sasl2(task)" => after(Phase::Sasl(sasl2()), [of(CONTINUE), Event::TaskAnswer(None)]),
        "Bind" => Phase::Bind {
            login,
            id,
            attempts,
            session_required: false,
        },
        "Session" => Phase::Session {
            login,
            id,
            jid: "juliet@example.org/balcony".parse().unwrap(),
        },
        _ => Phase::Online,
    }
}

fn of(xml: &str) -> Event {
    Event::of(Element::parse(xml, &XmlLimits::default()).unwrap())
}

fn event(name: &str) -> Event {
    match name {
        "Up" => Event::Up,
        "Opened" => Event::Opened,
        "Features" => of(EXTERNAL),
        "Proceed" => of("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        "TlsFailure" => of("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        "Resumed" => of("<resumed xmlns='urn:xmpp:sm:3' previd='s' h='0'/>"),
        "NotResumed" => of("<failed xmlns='urn:xmpp:sm:3'/>"),
        "Challenge" => of(CHALLENGE),
        "Success" => of(SUCCESS),
        "Failure" => of("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"),
        "OtherSasl" => of("<false xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
        "Challenge2" => of("<challenge xmlns='urn:xmpp:sasl:2'/>"),
        "Success2" => of(SUCCESS2),
        "Failure2" => {
            of("<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>")
        }
        "Continue" => of(CONTINUE),
        "TaskData" => of("<task-data xmlns='urn:xmpp:sasl:2'/>"),
        "Derived" => Event::Derived(JobId(1), deriving().1.run()),
        "TaskAnswer" => Event::TaskAnswer(None),
        "IqAnswer" => of(BOUND),
        "StreamError" => of(
            "<error xmlns='http://etherx.jabber.org/streams'><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></error>",
        ),
        "Other" => of("<message xmlns='jabber:client'/>"),
        _ => Event::Timeout,
    }
}

fn name(outcome: &Result<Phase, Offline>) -> String {
    match outcome {
        Ok(Phase::Opening(None)) => "Opening".to_string(),
        Ok(Phase::Opening(Some(_))) => "Opening(early)".to_string(),
        Ok(Phase::StartTls) => "StartTls".to_string(),
        Ok(Phase::Resume { .. }) => "Resume".to_string(),
        Ok(Phase::Features(None)) => "Features".to_string(),
        Ok(Phase::Features(Some(_))) => "Features(early)".to_string(),
        Ok(Phase::Register { submitted: false, .. }) => "Register".to_string(),
        Ok(Phase::Register { submitted: true, .. }) => "Registering".to_string(),
        Ok(Phase::LoggedIn(_)) => "LoggedIn".to_string(),
        Ok(Phase::Sasl(exchange)) => match (exchange.profile, exchange.has_task(), exchange.awaits_host()) {
            (SaslProfile::Sasl1, ..) => "Sasl".to_string(),
            (SaslProfile::Sasl2, false, false) => "Sasl2".to_string(),
            (SaslProfile::Sasl2, false, true) => "Sasl2(key)".to_string(),
            (SaslProfile::Sasl2, true, true) => "Sasl2(asked)".to_string(),
            (SaslProfile::Sasl2, true, false) => "Sasl2(task)".to_string(),
        },
        Ok(Phase::Bind { .. }) => "Bind".to_string(),
        Ok(Phase::Session { .. }) => "Session".to_string(),
        Ok(Phase::Online) => "Online".to_string(),
        Err(Offline::Misbehaved(PeerMisbehaved::Sasl2 { element })) => format!("Sasl2 {element}"),
        Err(Offline::Login(LoginError::Mechanism { error, .. })) => format!("{error:?}"),
        Err(Offline::Misbehaved(PeerMisbehaved::Unexpected { waiting_for, .. })) => format!("? {waiting_for:?}"),
        Err(Offline::Connection(ConnectionError::Timeout { waiting_for })) => format!("Timeout {waiting_for:?}"),
        Err(Offline::Tls(error)) => format!("{error:?}"),
        Err(Offline::Ended(_)) => "Ended".to_string(),
        Err(Offline::Login(LoginError::Refused { .. })) => "Refused".to_string(),
        Err(Offline::Login(LoginError::UnknownAnswer { .. })) => "UnknownAnswer".to_string(),
        Err(other) => format!("{other:?}"),
    }
}

/// Plays events from a phase; the outcome of each, and the steps of all.
fn play(config: &Config, from: Phase, events: impl IntoIterator<Item = Event>) -> (Vec<String>, Vec<Step>) {
    play_on(config, (link::BOSH, true, false), from, events)
}

/// The same on a link of that kind, encrypted or not, with or without a session to resume.
fn play_on(
    config: &Config,
    (traits, encrypted, can_resume): (Traits, bool, bool),
    from: Phase,
    events: impl IntoIterator<Item = Event>,
) -> (Vec<String>, Vec<Step>) {
    let mut negotiation = Negotiation {
        phase: Ok(from),
        early: false,
    };
    let mut steps = Vec::new();
    let mut outcomes = Vec::new();
    for event in events {
        let result = handle(
            &mut negotiation,
            config,
            (traits, encrypted, can_resume),
            event,
            &mut steps,
        );
        assert_eq!(result.err(), negotiation.phase.as_ref().err().cloned());
        outcomes.push(name(&negotiation.phase));
    }
    (outcomes, steps)
}

fn handle(
    negotiation: &mut Negotiation,
    config: &Config,
    (traits, encrypted, can_resume): (Traits, bool, bool),
    event: Event,
    steps: &mut Vec<Step>,
) -> Result<bool, Offline> {
    negotiation.handle(
        event,
        &mut Facts {
            config,
            encrypted,
            verified_tls: encrypted,
            can_resume,
            inactive: false,
            certificate: None,
            certificate_requested: None,
            channel_bindings: &ChannelBindings::default(),
            kind: TransportKind::Tcp,
            traits,
            unix_ms: None,
            memory: &mut Memory::default(),
            random: &mut Random::new(&[5; 32]),
            next_job: &mut 1,
            steps,
        },
    )
}

fn sent(steps: &[Step]) -> Vec<String> {
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(element) => Some(element.name().to_string()),
        Step::Authenticate(_) => Some("authenticate".to_string()),
        Step::AskForTls => Some("starttls".to_string()),
        Step::Resume => Some("resume".to_string()),
        Step::Restart { .. }
        | Step::StartTls
        | Step::Offered(_)
        | Step::Derive { .. }
        | Step::Task { .. }
        | Step::Resumed { .. }
        | Step::NotResumed(_)
        | Step::Warn(_)
        | Step::Authenticated
        | Step::Online { .. } => None,
    });
    sent.collect()
}

#[test]
fn every_event_in_every_phase_has_its_outcome() {
    assert_eq!(TABLE.map(|(from, ..)| from), PHASES);
    for row in &TABLE {
        let from = row.0;
        for what in EVENTS {
            let expected = expected(row, what);
            let config = match from {
                "Register" | "Registering" => new_account(),
                _ => config(),
            };
            let on = (link::TCP, from != "Features(plain)", from == "LoggedIn(past)");
            let (outcomes, steps) = play_on(&config, on, phase(from), [event(what)]);
            assert_eq!(outcomes, [expected.as_str()], "{what} in {from}");
            // What is wrong is answered with nothing but the end.
            let may_go_on = PHASES.contains(&expected.as_str()) || expected == "Online";
            let is_goodbye = sent(&steps).iter().all(|element| element == "abort");
            assert!(may_go_on || is_goodbye, "{what} in {from}: {steps:?}");
        }
    }
}

#[test]
fn nothing_follows_the_end() {
    for what in EVENTS {
        let (outcomes, steps) = play(&config(), Phase::Online, [event(what)]);
        let ignored = matches!(what, "Up" | "Derived" | "TaskAnswer") && outcomes == ["Online"];
        let ended = ["Ended", "? Bind", "Timeout Bind"].contains(&outcomes[0].as_str());
        assert!((ignored || ended) && steps.is_empty(), "{what}: {outcomes:?}");
    }
}

/// The page that the documentation shows is made from the table, and the table is what runs.
#[test]
fn the_diagram_is_the_table() {
    let mut diagram = String::from("```text\n");
    for (from, _, rows) in &TABLE {
        for (what, to) in rows.iter().filter(|(_, to)| PHASES.contains(to) || *to == "Online") {
            diagram.push_str(&format!("{from:<16} --{:-<12}-> {to}\n", format!(" {what} ")));
        }
    }
    diagram.push_str("```\n");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/negotiation/diagram.md");
    if std::env::var_os("EPODE_BLESS").is_some() {
        std::fs::write(path, &diagram).unwrap();
    }
    assert_eq!(
        include_str!("diagram.md"),
        diagram,
        "EPODE_BLESS=1 writes the diagram anew"
    );
}

#[test]
fn an_error_stays_the_same_error() {
    for what in EVENTS {
        let (outcomes, steps) = play(&config(), phase("Sasl"), [event("Failure"), event(what)]);
        assert_eq!(outcomes, ["Refused", "Refused"], "{what}");
        assert!(steps.is_empty());
    }
}

#[test]
fn features_without_what_is_needed_are_an_end() {
    let bare = "<features xmlns='http://etherx.jabber.org/streams'/>";
    for (from, expected) in [
        ("Features", PeerIncompatible::NoSasl),
        ("LoggedIn", PeerIncompatible::NoBind),
    ] {
        let (outcomes, _) = play(&config(), phase(from), [of(bare)]);
        assert_eq!(outcomes, [format!("{:?}", Offline::Incompatible(expected))]);
    }
    let others = EXTERNAL.replace("EXTERNAL", "PLAIN");
    let (outcomes, steps) = play(&config(), phase("Features"), [of(&others)]);
    assert!(outcomes[0].contains("NoMechanism") && steps.is_empty());
}

#[test]
fn a_challenge_too_many_breaks_the_login_off() {
    let (outcomes, steps) = play(&config(), phase("Sasl"), [of(CHALLENGE), of(CHALLENGE)]);
    assert!(outcomes[0] == "Sasl" && outcomes[1].contains("UnexpectedChallenge"));
    assert_eq!(sent(&steps), ["response", "abort"]);
}

#[test]
fn a_success_before_the_proof_is_none() {
    let policy = MechanismPolicy::default();
    let config = Config::builder("juliet@example.org".parse().unwrap())
        .bosh("https://example.org/bosh")
        .credentials(Credentials::password("secret"))
        .mechanisms(policy)
        .build()
        .unwrap();
    let scram = EXTERNAL.replace("EXTERNAL", "SCRAM-SHA-256");
    let (outcomes, steps) = play(&config, phase("Features"), [of(&scram), of(SUCCESS)]);
    assert!(
        outcomes[0] == "Sasl" && outcomes[1].contains("SuccessTooEarly"),
        "{outcomes:?}"
    );
    assert_eq!(sent(&steps), ["auth"]);
}

#[test]
fn a_resource_that_is_taken_is_asked_for_three_times() {
    let mut outcomes = Vec::new();
    let mut negotiation = Negotiation {
        phase: Ok(phase("Bind")),
        early: false,
    };
    let (config, mut steps) = (config(), Vec::new());
    while negotiation.phase.is_ok() {
        // The request's id is a new one each time.
        let Ok(Phase::Bind { id, .. }) = &negotiation.phase else {
            panic!("{:?}", negotiation.phase)
        };
        let conflict = of(&CONFLICT.replace("b1", id));
        let _ = handle(
            &mut negotiation,
            &config,
            (link::BOSH, true, false),
            conflict,
            &mut steps,
        );
        outcomes.push(name(&negotiation.phase));
    }
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes[2].contains("BindRefused"));
    // The second and third leave the choice to the server.
    let asked: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
    assert!(asked.len() == 2 && asked.iter().all(|step| !step.contains("balcony")));
}

#[test]
fn answers_to_others_or_from_others_are_waited_behind() {
    for stranger in [
        BOUND.replace("b1", "b2"),
        BOUND.replace("id='b1'", "id='b1' from='evil.example'"),
        BOUND.replace("id='b1'", "id='b1' from='romeo@example.org'"),
        BOUND.replace("id='b1'", "id='b1' from='@@'"),
    ] {
        for from in ["Bind", "Session"] {
            let (outcomes, steps) = play(&config(), phase(from), [of(&stranger), of(BOUND)]);
            assert_eq!(outcomes, [from, "Online"], "{stranger}");
            assert_eq!(steps.len(), 1);
        }
    }
}

#[test]
fn only_a_full_jid_of_the_account_is_bound() {
    for (jid, expected) in [
        ("juliet@example.org", "BoundJid"),
        ("", "BoundJid"),
        ("@@/x", "BoundJid"),
        ("balcony", "BoundJid"),
        ("romeo@example.org/balcony", "UnexpectedIdentity"),
        ("juliet@evil.example/balcony", "UnexpectedIdentity"),
    ] {
        let bound = BOUND.replace("juliet@example.org/balcony", jid);
        let (outcomes, steps) = play(&config(), phase("Bind"), [of(&bound)]);
        assert!(
            outcomes[0].contains(expected) && steps.is_empty(),
            "{jid}: {outcomes:?}"
        );
    }
    let twice = BOUND.replace("</bind>", "<jid>juliet@example.org/b</jid></bind>");
    let (outcomes, _) = play(&config(), phase("Bind"), [of(&twice)]);
    assert!(outcomes[0].contains("BoundJid"));
}

#[test]
fn the_old_session_is_asked_for_where_the_server_insists() {
    let feature = "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></features>";
    let insists = EXTERNAL.replace("</features>", feature);
    let (outcomes, steps) = play(&config(), phase("LoggedIn"), [of(&insists)]);
    assert_eq!(
        (outcomes, sent(&steps)),
        (Vec::from(["Bind".to_string()]), Vec::from(["iq".to_string()]))
    );
    let from = Phase::Bind {
        login: login(),
        id: "b1".to_string(),
        attempts: 1,
        session_required: true,
    };
    let (outcomes, steps) = play(&config(), from, [of(BOUND)]);
    assert_eq!(
        (outcomes, sent(&steps)),
        (Vec::from(["Session".to_string()]), Vec::from(["iq".to_string()]))
    );
    let refusal = of(&CONFLICT.replace("conflict", "forbidden"));
    let (outcomes, _) = play(&config(), phase("Session"), [refusal]);
    assert!(outcomes[0].contains("BindRefused"));
}

#[test]
fn success_restarts_the_stream_before_anything_else() {
    let (_, steps) = play(&config(), phase("Sasl"), [of(SUCCESS)]);
    let [Step::Restart { from }, Step::Authenticated] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    // XEP-0206 §5, after EXTERNAL.
    assert_eq!(from.as_deref(), Some("juliet@example.org"));
}

#[test]
fn without_tls_nothing_is_said_but_the_wish_for_it() {
    let plain = (link::TCP, false, false);
    let (outcomes, steps) = play_on(&config(), plain, phase("Features"), [of(EXTERNAL)]);
    assert_eq!(
        (outcomes, sent(&steps)),
        (Vec::from(["StartTls".to_string()]), Vec::from(["starttls".to_string()]))
    );
    // RFC 6120 §5.4.1: the offer may have been removed by somebody in between.
    let stripped = EXTERNAL.replace("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "");
    let (outcomes, steps) = play_on(&config(), plain, phase("Features"), [of(&stripped)]);
    assert!(outcomes == ["NotOffered"] && steps.is_empty(), "{outcomes:?}");
    // Elsewhere TLS is there before the stream, and the offer means nothing.
    let (outcomes, _) = play_on(
        &config(),
        (link::WEBSOCKET, true, false),
        phase("Features"),
        [of(EXTERNAL)],
    );
    assert_eq!(outcomes, ["Sasl"]);
}

#[test]
fn a_session_is_resumed_where_the_server_can() {
    let on = (link::TCP, true, true);
    let (outcomes, steps) = play_on(&config(), on, phase("LoggedIn"), [of(EXTERNAL)]);
    assert_eq!(
        (outcomes, sent(&steps)),
        (Vec::from(["Resume".to_string()]), Vec::from(["resume".to_string()]))
    );
    let without = EXTERNAL.replace("<sm xmlns='urn:xmpp:sm:3'/>", "");
    let on = (link::TCP, true, true);
    let (outcomes, steps) = play_on(&config(), on, phase("LoggedIn"), [of(&without)]);
    assert_eq!(outcomes, ["Bind"]);
    assert!(
        matches!(steps.as_slice(), [Step::NotResumed(None), Step::Send(_)]),
        "{steps:?}"
    );
}

#[test]
fn a_feature_that_is_required_and_unknown_is_an_end() {
    for from in ["Features", "LoggedIn"] {
        let strange = EXTERNAL.replace("</features>", "<x xmlns='urn:example:x'><required/></x></features>");
        let (outcomes, steps) = play(&config(), phase(from), [of(&strange)]);
        assert!(
            outcomes[0].contains("{urn:example:x}x") && steps.is_empty(),
            "{outcomes:?}"
        );
    }
}

#[test]
fn somebody_who_only_looks_says_nothing() {
    let config = Config::builder("example.org".parse().unwrap())
        .bosh("https://example.org/bosh")
        .credentials(Credentials::Nothing)
        .build()
        .unwrap();
    let (outcomes, steps) = play(&config, phase("Features"), [of(EXTERNAL)]);
    assert_eq!(outcomes, ["Stopped"]);
    assert!(matches!(steps.as_slice(), [Step::Offered(_)]), "{steps:?}");
}
