//! SCRAM against its vectors, and every mechanism against a hostile server.

use std::{format, string::String, string::ToString, vec::Vec};

use proptest::prelude::*;
use serde_json::Value;

use super::vectors::{bytes, optional, rows, text};
use super::*;

const VECTORS: &str = include_str!("../../../tests/vectors/scram.json");
const CANARY: &str = "canary-7f3a-pencil";

fn scram(row: &Value, limits: ScramLimits) -> Scram {
    let hash = match text(row, "mechanism").trim_end_matches("-PLUS") {
        "SCRAM-SHA-1" => ScramHash::Sha1,
        "SCRAM-SHA-256" => ScramHash::Sha256,
        other => panic!("unknown mechanism {other}"),
    };
    let binding = match text(row, "gs2").as_str() {
        "n" => ChannelBinding::No,
        "y" => ChannelBinding::Supported,
        bound => ChannelBinding::Bound {
            name: bound.strip_prefix("p=").unwrap().to_string(),
            data: Secret::new(bytes(row, "channel_binding")),
        },
    };
    Scram::new(
        hash,
        binding,
        optional(row, "authzid").as_deref(),
        &text(row, "authcid"),
        &Secret::from(text(row, "password")),
        text(row, "client_nonce"),
        limits,
    )
    .unwrap()
}

/// The first exchange of the vectors, up to the client's first message.
fn started() -> (Scram, Value) {
    let row = rows(VECTORS, "exchanges").remove(0);
    let mut scram = scram(&row, ScramLimits::default());
    scram.initial().unwrap();
    (scram, row)
}

/// The same, up to the client's proof.
fn proved() -> (Scram, Value) {
    let (mut scram, row) = started();
    scram.challenge(text(&row, "server_first").as_bytes()).unwrap();
    (scram, row)
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an error that no vector names fails the test"
)]
fn label(error: &SaslError) -> String {
    match error {
        SaslError::Nonce => "nonce".into(),
        SaslError::MandatoryExtension => "mandatory-extension".into(),
        SaslError::Malformed { .. } => "malformed".into(),
        SaslError::Salt => "salt".into(),
        SaslError::Iterations => "iterations-malformed".into(),
        SaslError::IterationsTooLow { .. } => "iterations-low".into(),
        SaslError::IterationsTooHigh { .. } => "iterations-high".into(),
        SaslError::WrongServerProof => "proof".into(),
        SaslError::Server { value } => format!("server:{value}"),
        other => panic!("unexpected error {other:?}"),
    }
}

#[test]
fn exchanges_match_to_the_byte() {
    for row in rows(VECTORS, "exchanges") {
        let mut scram = scram(&row, ScramLimits::default());
        assert_eq!(scram.name(), text(&row, "mechanism"));
        assert_eq!(scram.initial(), Ok(Secret::from(text(&row, "client_first"))), "{row}");
        let answer = scram.challenge(text(&row, "server_first").as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8_lossy(answer.expose()),
            text(&row, "client_final"),
            "{row}"
        );
        let key = scram.key().unwrap().clone();
        assert_eq!(key.client_key, Secret::new(bytes(&row, "client_key")), "{row}");
        assert_eq!(key.server_key, Secret::new(bytes(&row, "server_key")), "{row}");
        assert_eq!(
            scram.success(text(&row, "server_final").as_bytes()),
            Ok(ServerProof::Verified),
            "{row}"
        );
        assert_eq!(
            scram.success(text(&row, "server_final").as_bytes()),
            Err(SaslError::OutOfOrder),
            "{row}"
        );
    }
}

#[test]
fn a_proof_may_come_as_a_challenge_before_an_empty_success() {
    for data in [None, Some(b"".as_slice())] {
        let (scram, row) = proved();
        let mut mechanism = Mechanism::Scram(scram);
        assert_eq!(
            mechanism.challenge(text(&row, "server_final").as_bytes()),
            Ok(Secret::default())
        );
        assert_eq!(mechanism.success(data), Ok(ServerProof::Verified));
    }
}

#[test]
fn a_proof_comes_once() {
    let (mut scram, row) = proved();
    let proof = text(&row, "server_final");
    scram.challenge(proof.as_bytes()).unwrap();
    assert_eq!(scram.success(proof.as_bytes()), Err(SaslError::UnexpectedSuccessData));
    let (mut scram, _) = proved();
    scram.challenge(proof.as_bytes()).unwrap();
    assert_eq!(scram.challenge(proof.as_bytes()), Err(SaslError::UnexpectedChallenge));
    assert_eq!(
        scram.success(b""),
        Err(SaslError::UnexpectedChallenge),
        "an error is final"
    );
}

#[test]
fn first_messages_that_are_refused() {
    for row in rows(VECTORS, "refused_first") {
        let (mut scram, exchange) = started();
        let message = encoding::decode(&text(&row, "message_base64")).unwrap();
        let error = scram.challenge(&message).unwrap_err();
        assert_eq!(label(&error), text(&row, "error"), "{row}");
        assert!(scram.key().is_none(), "{row}: nothing was computed");
        assert_eq!(
            scram.challenge(text(&exchange, "server_first").as_bytes()),
            Err(error),
            "an error is final"
        );
    }
}

#[test]
fn final_messages_that_are_refused() {
    for row in rows(VECTORS, "refused_final") {
        let message = encoding::decode(&text(&row, "message_base64")).unwrap();
        let (mut scram, exchange) = proved();
        let error = scram.success(&message).unwrap_err();
        assert_eq!(label(&error), text(&row, "error"), "{row}");
        assert_eq!(
            scram.success(text(&exchange, "server_final").as_bytes()),
            Err(error.clone()),
            "an error is final"
        );
        let (mut scram, _) = proved();
        assert_eq!(scram.challenge(&message), Err(error.clone()), "{row}");
        assert_eq!(scram.success(b""), Err(error), "an error is final");
    }
}

#[test]
fn success_without_proof_is_an_attack() {
    let (mut scram, _) = proved();
    assert_eq!(scram.success(b""), Err(SaslError::MissingServerProof));
    let (mut scram, row) = started();
    assert_eq!(
        scram.success(text(&row, "server_final").as_bytes()),
        Err(SaslError::SuccessTooEarly)
    );
    let mut scram = super::tests::scram(&row, ScramLimits::default());
    assert_eq!(scram.success(b""), Err(SaslError::SuccessTooEarly));
}

#[test]
fn the_host_sets_the_limits_of_iterations() {
    let row = rows(VECTORS, "exchanges").remove(0);
    let first = text(&row, "server_first");
    for (min_iterations, max_iterations, accepted) in [(4096, 4096, true), (4097, 5000, false), (1, 4095, false)] {
        let mut scram = scram(
            &row,
            ScramLimits {
                min_iterations,
                max_iterations,
            },
        );
        scram.initial().unwrap();
        assert_eq!(
            scram.challenge(first.as_bytes()).is_ok(),
            accepted,
            "{min_iterations} to {max_iterations}"
        );
    }
}

#[test]
fn a_remembered_key_saves_the_derivation_and_is_never_used_for_another_salt() {
    let (scram, row) = proved();
    let key = scram.key().unwrap().clone();
    // The password is wrong on purpose: only the key can have made the proof.
    let mut other = row.clone();
    other["password"] = Value::from("wrong");
    let mut scram = super::tests::scram(&other, ScramLimits::default()).with_key(key.clone());
    scram.initial().unwrap();
    let answer = scram.challenge(text(&row, "server_first").as_bytes()).unwrap();
    assert_eq!(answer, Secret::from(text(&row, "client_final")));

    let mut scram = super::tests::scram(&row, ScramLimits::default()).with_key(key.clone());
    scram.initial().unwrap();
    scram
        .challenge(text(&row, "server_first").replace("s=QSXC", "s=QSXD").as_bytes())
        .unwrap();
    assert_ne!(scram.key(), Some(&key));
}

#[test]
fn what_cannot_be_a_login_is_refused_before_anything_is_sent() {
    let new = |binding: ChannelBinding, authzid, authcid: &str, password: Secret, nonce: &str| {
        Scram::new(
            ScramHash::Sha256,
            binding,
            authzid,
            authcid,
            &password,
            nonce.into(),
            ScramLimits::default(),
        )
        .unwrap_err()
    };
    let (no, pencil) = (ChannelBinding::No, Secret::from("pencil"));
    assert_eq!(
        new(no.clone(), None, "", pencil.clone(), "n"),
        SaslError::Username(PrepError::Empty)
    );
    assert_eq!(
        new(no.clone(), None, "u\0", pencil.clone(), "n"),
        SaslError::Username(PrepError::Prohibited)
    );
    assert_eq!(
        new(no.clone(), None, "u", Secret::new([0xff]), "n"),
        SaslError::Password(PrepError::NotUtf8)
    );
    assert_eq!(
        new(no.clone(), None, "u", Secret::from("\u{7}"), "n"),
        SaslError::Password(PrepError::Prohibited)
    );
    assert_eq!(
        new(no.clone(), Some("a\0"), "u", pencil.clone(), "n"),
        SaslError::Authzid
    );
    assert_eq!(
        new(no.clone(), None, "u", pencil.clone(), "a,b"),
        SaslError::ClientNonce
    );
    assert_eq!(new(no, None, "u", pencil.clone(), ""), SaslError::ClientNonce);
    let binding = ChannelBinding::Bound {
        name: "a,b".into(),
        data: Secret::default(),
    };
    assert_eq!(new(binding, None, "u", pencil, "n"), SaslError::ChannelBindingName);
}

#[test]
fn a_server_cannot_fill_or_colour_a_log() {
    let (mut scram, _) = started();
    let error = scram
        .challenge(format!("e=\x1b]0;\u{202e}{}", "x".repeat(5000)).as_bytes())
        .unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.len() < 200 && shown.is_ascii() && !shown.contains('\x1b'),
        "{shown}"
    );
    let (mut scram, _) = started();
    assert_eq!(label(&scram.challenge(&[b'r'; 8193]).unwrap_err()), "malformed");
}

#[test]
fn errors_speak_to_people() {
    assert_eq!(
        SaslError::IterationsTooLow { asked: 1, least: 4096 }.to_string(),
        "the server asked for 1 PBKDF2 iteration; fewer than 4096 would let an eavesdropper guess the password cheaply"
    );
    assert_eq!(
        SaslError::Password(PrepError::Empty).to_string(),
        "the password is empty"
    );
    assert_eq!(
        SaslError::Server {
            value: "unknown-user".into()
        }
        .to_string(),
        "the server refused the login with the error 'unknown-user'"
    );
}

#[test]
fn no_secret_shows_in_any_state() {
    let mut seen = Vec::new();
    let password = Secret::from(CANARY);
    let mut plain = Plain::new(None, "user", &password).unwrap();
    seen.push(format!("{plain:?}"));
    plain.initial().unwrap();
    seen.push(format!("{plain:?}"));
    seen.push(format!("{:?} {plain:?}", plain.challenge()));

    let row = rows(VECTORS, "exchanges").remove(0);
    let nonce = text(&row, "client_nonce");
    let limits = ScramLimits::default();
    let mut scram = Scram::new(
        ScramHash::Sha1,
        ChannelBinding::No,
        None,
        "user",
        &password,
        nonce,
        limits,
    )
    .unwrap();
    seen.push(format!("{scram:?}"));
    scram.initial().unwrap();
    seen.push(format!("{scram:?}"));
    let answer = scram.challenge(text(&row, "server_first").as_bytes());
    seen.push(format!("{answer:?} {scram:?}"));
    let key = scram.key().unwrap();
    assert!(!format!("{key:?}").contains(&format!("{:?}", key.client_key.expose())));
    let error = scram.success(b"v=AAAA").unwrap_err();
    seen.push(format!("{error:?} {error} {scram:?}"));
    let error = Plain::new(None, "user", &Secret::from(format!("{CANARY}\u{7}"))).unwrap_err();
    seen.push(format!("{error:?} {error}"));

    let bytes = format!("{:?}", CANARY.as_bytes());
    for text in seen {
        assert!(
            !text.contains("canary") && !text.contains(bytes.trim_matches(['[', ']'])),
            "{text}"
        );
    }
}

fn mechanisms() -> Vec<Mechanism> {
    let password = Secret::from(CANARY);
    let scram = |hash| {
        let limits = ScramLimits {
            min_iterations: 1,
            max_iterations: 50,
        };
        Scram::new(
            hash,
            ChannelBinding::No,
            None,
            "user",
            &password,
            "abcdef".into(),
            limits,
        )
        .unwrap()
    };
    let mut all = Vec::from([
        Mechanism::External(External::new(None).unwrap()),
        Mechanism::Plain(Plain::new(None, "user", &password).unwrap()),
        Mechanism::Scram(scram(ScramHash::Sha1)),
        Mechanism::Scram(scram(ScramHash::Sha256)),
    ]);
    for mechanism in &mut all {
        mechanism.initial().unwrap().unwrap();
    }
    let names: Vec<_> = all.iter().map(Mechanism::name).collect();
    assert_eq!(names, ["EXTERNAL", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]);
    all
}

fn is_silent(error: &SaslError, mechanism: &Mechanism) -> bool {
    !format!("{error} {error:?} {mechanism:?}").contains("canary")
}

/// Bytes that a server might send: anything, and what is nearly right.
fn server_data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80),
        "[a-z]?=?[ -~]{0,40}(,[a-z]=[ -~]{0,20}){0,4}".prop_map(String::into_bytes),
        "r=abcdef[!-+]{0,3},s=[QA]{4,8},i=[1-9]{1,3}(,[a-z]=[a-z]{0,2}){0,2}".prop_map(String::into_bytes),
        "[ve]=[A-Za-z0-9+/]{0,27}={0,2}(,x=y)?".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn no_server_without_the_password_succeeds(
        challenges in proptest::collection::vec(server_data(), 0..4),
        data in proptest::option::of(server_data()),
    ) {
        for mut mechanism in mechanisms() {
            for challenge in &challenges {
                if let Err(error) = mechanism.challenge(challenge) {
                    prop_assert!(is_silent(&error, &mechanism));
                    prop_assert_eq!(mechanism.challenge(challenge), Err(error.clone()));
                    prop_assert_eq!(mechanism.success(data.as_deref()), Err(error));
                }
            }
            match (mechanism.success(data.as_deref()), &mechanism) {
                (Ok(proof), Mechanism::External(_) | Mechanism::Plain(_)) => prop_assert_eq!(proof, ServerProof::NotProvided),
                (Ok(_), Mechanism::Scram(_)) => prop_assert!(false, "success without the password"),
                (Err(error), mechanism) => prop_assert!(is_silent(&error, mechanism)),
            }
        }
    }

    #[test]
    fn any_text_is_prepared_or_refused(text in any::<String>()) {
        if let Ok(prepared) = prep::saslprep(&text) {
            prop_assert!(!prepared.contains('\0'));
            prop_assert_eq!(prep::saslprep(&prepared), Ok(prepared), "prepared text stays as it is");
        }
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in any::<String>()) {
        if let Ok(bytes) = encoding::decode(&text) {
            prop_assert_eq!(encoding::encode(&bytes), text);
        }
    }
}
