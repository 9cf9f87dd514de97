//! Every pair of phase and event, as a literal table, and what an outcome depends on besides.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::config::{Credentials, MechanismPolicy};
use crate::link;
use crate::xml::XmlLimits;

const EXTERNAL: &str = "<features xmlns='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>EXTERNAL</mechanism></mechanisms><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <sm xmlns='urn:xmpp:sm:3'/></features>";
const BOUND: &str = "<iq xmlns='jabber:client' type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <jid>juliet@example.org/balcony</jid></bind></iq>";
const CONFLICT: &str = "<iq xmlns='jabber:client' type='error' id='b1'><error type='cancel'>\
    <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const CHALLENGE: &str = "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

/// `Features(plain)` is `Features(None)` on a link that TLS does not protect yet, and `Features(past)` is `Features(Some)`
/// where there is an earlier session to resume.
const PHASES: [&str; 11] = [
    "Opening",
    "StartTls",
    "Features(plain)",
    "Features(None)",
    "Features(Some)",
    "Features(past)",
    "Sasl",
    "Resume",
    "Bind",
    "Session",
    "Online",
];

const EVENTS: [&str; 14] = [
    "Opened",
    "Features",
    "Proceed",
    "TlsFailure",
    "Challenge",
    "Success",
    "Failure",
    "OtherSasl",
    "Resumed",
    "NotResumed",
    "IqAnswer",
    "StreamError",
    "Other",
    "Timeout",
];

/// A row for each phase, a column for each event. `?` is `Unexpected`, with what was waited for.
#[rustfmt::skip]
const TABLE: [[&str; 14]; 11] = [
    ["Features(None)", "? Session", "? Session", "? Session", "? Session", "? Session", "? Session", "? Session", "? Session", "? Session", "? Session", "Ended", "? Session", "Timeout Session"],
    ["? Tls", "? Tls", "Opening", "StartTlsRefused", "? Tls", "? Tls", "? Tls", "? Tls", "? Tls", "? Tls", "? Tls", "Ended", "? Tls", "Timeout Tls"],
    ["? Features", "StartTls", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "Ended", "? Features", "Timeout Features"],
    ["? Features", "Sasl", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "Ended", "? Features", "Timeout Features"],
    ["Features(Some)", "Bind", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "Ended", "? Features", "Timeout Features"],
    ["Features(Some)", "Resume", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "? Features", "Ended", "? Features", "Timeout Features"],
    ["? Login", "? Login", "? Login", "? Login", "Sasl", "Features(Some)", "Refused", "UnknownAnswer", "? Login", "? Login", "? Login", "Ended", "? Login", "Timeout Login"],
    ["? Resumption", "? Resumption", "? Resumption", "? Resumption", "? Resumption", "? Resumption", "? Resumption", "? Resumption", "Online", "Bind", "? Resumption", "Ended", "? Resumption", "Timeout Resumption"],
    ["? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "Online", "Ended", "? Bind", "Timeout Bind"],
    ["? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "Online", "Ended", "Session", "Timeout Bind"],
    ["? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "? Bind", "Ended", "? Bind", "Timeout Bind"],
];

fn config() -> Config {
    Config::builder("juliet@example.org/balcony".parse().unwrap())
        .bosh("https://example.org/bosh")
        .credentials(Credentials::certificate("juliet", None))
        .build()
        .unwrap()
}

fn login() -> Login {
    Login {
        mechanism: "EXTERNAL",
        proof: ServerProof::None,
        offers: Offers::default(),
    }
}

fn phase(name: &str) -> Phase {
    let (login, id, attempts) = (login(), "b1".to_string(), 1);
    match name {
        "Opening" => Phase::Opening,
        "StartTls" => Phase::StartTls,
        "Features(plain)" | "Features(None)" => Phase::Features(None),
        "Resume" => Phase::Resume {
            login,
            bind: true,
            session_required: false,
        },
        "Features(Some)" | "Features(past)" => Phase::Features(Some(login)),
        "Sasl" => {
            let mut mechanism = Mechanism::External(sasl::External::new(None).unwrap());
            mechanism.initial().unwrap();
            Phase::Sasl {
                mechanism,
                challenges: 0,
            }
        }
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
        Ok(Phase::Opening) => "Opening".to_string(),
        Ok(Phase::StartTls) => "StartTls".to_string(),
        Ok(Phase::Resume { .. }) => "Resume".to_string(),
        Ok(Phase::Features(None)) => "Features(None)".to_string(),
        Ok(Phase::Features(Some(_))) => "Features(Some)".to_string(),
        Ok(Phase::Sasl { .. }) => "Sasl".to_string(),
        Ok(Phase::Bind { .. }) => "Bind".to_string(),
        Ok(Phase::Session { .. }) => "Session".to_string(),
        Ok(Phase::Online) => "Online".to_string(),
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
    let mut negotiation = Negotiation { phase: Ok(from) };
    let mut random = Random::new(&[5; 32]);
    let mut steps = Vec::new();
    let mut outcomes = Vec::new();
    for event in events {
        let result = negotiation.handle(
            event,
            &mut Facts {
                config,
                encrypted,
                verified_tls: encrypted,
                can_resume,
                certificate: None,
                certificate_requested: None,
                traits,
                random: &mut random,
                steps: &mut steps,
            },
        );
        assert_eq!(result.err(), negotiation.phase.as_ref().err().cloned());
        outcomes.push(name(&negotiation.phase));
    }
    (outcomes, steps)
}

fn sent(steps: &[Step]) -> Vec<String> {
    let sent = steps.iter().filter_map(|step| match step {
        Step::Send(element) => Some(element.name().to_string()),
        Step::AskForTls => Some("starttls".to_string()),
        Step::Resume => Some("resume".to_string()),
        Step::Restart { .. }
        | Step::StartTls
        | Step::Offered(_)
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
    for (row, from) in TABLE.iter().zip(PHASES) {
        for (expected, what) in row.iter().zip(EVENTS) {
            let on = (link::TCP, from != "Features(plain)", from == "Features(past)");
            let (outcomes, steps) = play_on(&config(), on, phase(from), [event(what)]);
            assert_eq!(outcomes, [*expected], "{what} in {from}");
            // What is wrong is answered with nothing but the end.
            let may_go_on = PHASES.contains(expected);
            assert!(may_go_on || steps.is_empty(), "{what} in {from}: {steps:?}");
        }
    }
}

/// The page that the documentation shows is made from the table, and the table is what runs.
#[test]
fn the_diagram_is_the_table() {
    let mut diagram = String::from("```text\n");
    for (row, from) in TABLE.iter().zip(PHASES) {
        for (to, what) in row.iter().zip(EVENTS).filter(|(to, _)| PHASES.contains(to)) {
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
        ("Features(None)", PeerIncompatible::NoSasl),
        ("Features(Some)", PeerIncompatible::NoBind),
    ] {
        let (outcomes, _) = play(&config(), phase(from), [of(bare)]);
        assert_eq!(outcomes, [format!("{:?}", Offline::Incompatible(expected))]);
    }
    let others = EXTERNAL.replace("EXTERNAL", "PLAIN");
    let (outcomes, steps) = play(&config(), phase("Features(None)"), [of(&others)]);
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
    let (outcomes, steps) = play(&config, phase("Features(None)"), [of(&scram), of(SUCCESS)]);
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
    };
    let (config, mut random, mut steps) = (config(), Random::new(&[5; 32]), Vec::new());
    while negotiation.phase.is_ok() {
        // The request's id is a new one each time.
        let Ok(Phase::Bind { id, .. }) = &negotiation.phase else {
            panic!("{:?}", negotiation.phase)
        };
        let conflict = of(&CONFLICT.replace("b1", id));
        let mut facts = Facts {
            config: &config,
            encrypted: true,
            verified_tls: true,
            can_resume: false,
            certificate: None,
            certificate_requested: None,
            traits: link::BOSH,
            random: &mut random,
            steps: &mut steps,
        };
        let _ = negotiation.handle(conflict, &mut facts);
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
    let (outcomes, steps) = play(&config(), phase("Features(Some)"), [of(&insists)]);
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
    let (outcomes, steps) = play_on(&config(), plain, phase("Features(None)"), [of(EXTERNAL)]);
    assert_eq!(
        (outcomes, sent(&steps)),
        (Vec::from(["StartTls".to_string()]), Vec::from(["starttls".to_string()]))
    );
    // RFC 6120 §5.4.1: the offer may have been removed by somebody in between.
    let stripped = EXTERNAL.replace("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "");
    let (outcomes, steps) = play_on(&config(), plain, phase("Features(None)"), [of(&stripped)]);
    assert!(outcomes == ["NotOffered"] && steps.is_empty(), "{outcomes:?}");
    // Elsewhere TLS is there before the stream, and the offer means nothing.
    let (outcomes, _) = play_on(
        &config(),
        (link::WEBSOCKET, true, false),
        phase("Features(None)"),
        [of(EXTERNAL)],
    );
    assert_eq!(outcomes, ["Sasl"]);
}

#[test]
fn a_session_is_resumed_where_the_server_can() {
    let on = (link::TCP, true, true);
    let (outcomes, steps) = play_on(&config(), on, phase("Features(Some)"), [of(EXTERNAL)]);
    assert_eq!(
        (outcomes, sent(&steps)),
        (Vec::from(["Resume".to_string()]), Vec::from(["resume".to_string()]))
    );
    let without = EXTERNAL.replace("<sm xmlns='urn:xmpp:sm:3'/>", "");
    let on = (link::TCP, true, true);
    let (outcomes, steps) = play_on(&config(), on, phase("Features(Some)"), [of(&without)]);
    assert_eq!(outcomes, ["Bind"]);
    assert!(
        matches!(steps.as_slice(), [Step::NotResumed(None), Step::Send(_)]),
        "{steps:?}"
    );
}

#[test]
fn a_feature_that_is_required_and_unknown_is_an_end() {
    for from in ["Features(None)", "Features(Some)"] {
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
    let (outcomes, steps) = play(&config, phase("Features(None)"), [of(EXTERNAL)]);
    assert_eq!(outcomes, ["Stopped"]);
    assert!(matches!(steps.as_slice(), [Step::Offered(_)]), "{steps:?}");
}
