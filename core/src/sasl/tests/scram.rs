//! SCRAM against its vectors.

use std::{format, string::String, string::ToString, sync::OnceLock, vec::Vec};

use serde_json::Value;

use crate::Secret;
use crate::sasl::scram::ChannelBinding;
use crate::sasl::vectors::{base64, bytes, optional, rows, text};
use crate::sasl::*;

const VECTORS: &str = include_str!("../../../../tests/vectors/scram.json");

fn hash_of(mechanism: &str) -> ScramHash {
    let is_it = |hash: &ScramHash| [false, true].iter().any(|bound| hash.mechanism(*bound) == mechanism);
    ScramHash::ALL.into_iter().find(is_it).unwrap()
}

fn names(list: &Value) -> Option<Vec<String>> {
    let list = list.as_array()?;
    Some(list.iter().map(|name| name.as_str().unwrap().to_string()).collect())
}

fn offer(row: &Value) -> Offer {
    Offer {
        mechanisms: names(&row["mechanisms"]).unwrap_or_default(),
        channel_bindings: names(&row["channel_bindings"]),
    }
}

fn scram(row: &Value, limits: ScramLimits) -> Scram {
    let binding = match text(row, "gs2").as_str() {
        "n" => ChannelBinding::No,
        "y" => ChannelBinding::Supported,
        bound => {
            let name = bound.strip_prefix("p=").unwrap();
            ChannelBinding::Bound {
                of: ChannelBindingType::ALL
                    .into_iter()
                    .find(|of| of.name() == name)
                    .unwrap(),
                data: Secret::new(bytes(row, "channel_binding")),
            }
        }
    };
    let password = optional(row, "password").map(Secret::from);
    let scram = Scram::new(
        hash_of(&text(row, "mechanism")),
        binding,
        optional(row, "authzid").as_deref(),
        &text(row, "authcid"),
        password.as_ref(),
        text(row, "client_nonce"),
        limits,
    )
    .unwrap();
    scram.with_offer(offer(&row["offer"]), !row["offer"].is_null())
}

fn message(answer: Answer) -> Secret {
    match answer {
        Answer::Message(message) => message,
        Answer::Derive(_) => panic!("a host that derives nothing was asked to"),
    }
}

fn derivation(answer: Answer) -> Derivation {
    match answer {
        Answer::Derive(derivation) => derivation,
        Answer::Message(_) => panic!("the host was not asked to derive"),
    }
}

fn first_row() -> Value {
    rows(VECTORS, "exchanges").remove(0)
}

/// The first exchange of the vectors, up to the client's first message.
fn started() -> (Scram, Value) {
    let row = first_row();
    let mut scram = scram(&row, ScramLimits::default());
    scram.initial().unwrap();
    (scram, row)
}

/// The same, up to the client's proof. The key is derived once for all tests.
pub(super) fn proved() -> (Scram, Value) {
    static KEY: OnceLock<DerivedKey> = OnceLock::new();
    let key = KEY.get_or_init(|| deriving().1.run());
    let (scram, row) = started();
    let mut scram = scram.with_key(Some(key.clone()));
    scram.challenge(text(&row, "server_first").as_bytes()).unwrap();
    (scram, row)
}

/// The same, up to the derivation that the host is asked for.
fn deriving() -> (Scram, Derivation, Value) {
    let row = first_row();
    let mut scram = scram(&row, ScramLimits::default()).host_derives(true);
    scram.initial().unwrap();
    let answer = scram.challenge(text(&row, "server_first").as_bytes()).unwrap();
    (scram, derivation(answer), row)
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
        SaslError::OfferChanged { .. } => "offer".into(),
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
        let answer = message(scram.challenge(text(&row, "server_first").as_bytes()).unwrap());
        assert_eq!(
            String::from_utf8_lossy(answer.expose()),
            text(&row, "client_final"),
            "{row}"
        );
        let key = scram.key().unwrap().clone();
        assert_eq!(key.client_key, Secret::new(bytes(&row, "client_key")), "{row}");
        assert_eq!(key.server_key, Secret::new(bytes(&row, "server_key")), "{row}");
        assert_eq!(
            hash_of(&text(&row, "mechanism")).digest(&key.client_key),
            Secret::new(bytes(&row, "stored_key")),
            "{row}"
        );
        assert_eq!(scram.offer_verified(), !row["offer"].is_null(), "{row}");
        let bound = text(&row, "gs2").strip_prefix("p=").map(ToString::to_string);
        assert_eq!(scram.channel_binding().map(|of| of.name().to_string()), bound, "{row}");
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

/// XEP-0388 1.0.4 prints proofs that its own inputs do not give.
#[test]
fn proofs_that_were_printed_wrong_are_wrong() {
    let mut seen = 0;
    for row in rows(VECTORS, "exchanges")
        .iter()
        .filter(|row| !row["printed"].is_null())
    {
        let printed = &row["printed"];
        assert!(!text(row, "client_final").ends_with(&text(printed, "client_proof")));
        let mut scram = scram(row, ScramLimits::default());
        scram.initial().unwrap();
        scram.challenge(text(row, "server_first").as_bytes()).unwrap();
        assert_eq!(
            scram.success(text(printed, "server_final").as_bytes()),
            Err(SaslError::WrongServerProof)
        );
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn the_offer_that_arrived_has_to_be_the_one_that_was_made() {
    for row in rows(VECTORS, "offers") {
        let mut exchange = first_row();
        exchange["mechanism"] = Value::from(format!("SCRAM-{}", text(&row, "hash")));
        for required in [false, true] {
            let mut scram = scram(&exchange, ScramLimits::default()).with_offer(offer(&row), required);
            scram.initial().unwrap();
            assert!(!scram.offer_verified());
            let first = format!("{},h={}", text(&exchange, "server_first"), text(&row, "h"));
            let answer = scram.challenge(first.as_bytes());
            if row["verified"] == true {
                assert!(answer.is_ok() && scram.offer_verified(), "{row}");
            } else {
                let Err(SaslError::OfferChanged { expected, received }) = answer else {
                    panic!("{row}: {answer:?}");
                };
                assert_eq!(received, text(&row, "h"));
                assert_ne!(expected, received);
                assert!(scram.key().is_none(), "{row}: nothing was computed");
                assert!(!scram.offer_verified());
            }
        }
    }
}

#[test]
fn a_server_that_has_to_show_its_offer_may_not_leave_that_out() {
    let row = first_row();
    let first = text(&row, "server_first");
    let mut required = scram(&row, ScramLimits::default()).with_offer(Offer::default(), true);
    required.initial().unwrap();
    assert_eq!(required.challenge(first.as_bytes()), Err(SaslError::OfferUnproved));
    assert!(required.key().is_none(), "nothing was computed");
    let mut free = scram(&row, ScramLimits::default()).with_offer(Offer::default(), false);
    free.initial().unwrap();
    assert!(free.challenge(first.as_bytes()).is_ok());
    assert!(!free.offer_verified());
}

#[test]
fn a_proof_may_come_as_a_challenge_before_an_empty_success() {
    for data in [None, Some(b"".as_slice())] {
        let (scram, row) = proved();
        let mut mechanism = Mechanism::Scram(scram);
        assert_eq!(
            mechanism.challenge(text(&row, "server_final").as_bytes()),
            Ok(Answer::Message(Secret::default()))
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
        let error = scram.challenge(&base64(&row, "message_base64")).unwrap_err();
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
        let message = base64(&row, "message_base64");
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
    let (mut scram, _) = started();
    assert_eq!(scram.success(b""), Err(SaslError::SuccessTooEarly));
    let (mut scram, _, row) = deriving();
    assert_eq!(
        scram.success(text(&row, "server_final").as_bytes()),
        Err(SaslError::SuccessTooEarly)
    );
}

#[test]
fn the_host_sets_the_limits_of_iterations() {
    let row = first_row();
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
    let (used, row) = proved();
    let key = used.key().unwrap().clone();
    let other_salt = text(&row, "server_first").replace("s=QSXC", "s=QSXD");
    // The password is wrong, or not there at all: only the key can have made the proof.
    for password in [Value::from("wrong"), Value::Null] {
        let mut other = row.clone();
        other["password"] = password;
        let with_key = || {
            let mut scram = scram(&other, ScramLimits::default())
                .with_key(Some(key.clone()))
                .host_derives(true);
            scram.initial().unwrap();
            scram
        };
        let mut scram = with_key();
        let answer = message(scram.challenge(text(&row, "server_first").as_bytes()).unwrap());
        assert_eq!(answer, Secret::from(text(&row, "client_final")));
        assert_eq!(
            scram.success(text(&row, "server_final").as_bytes()),
            Ok(ServerProof::Verified)
        );

        let mut scram = with_key();
        let answer = scram.challenge(other_salt.as_bytes());
        assert_eq!(scram.key(), None, "the key is dropped");
        if other["password"].is_null() {
            assert_eq!(answer, Err(SaslError::KeyDoesNotFit));
        } else {
            assert_eq!(derivation(answer.unwrap()).password, Secret::from("wrong"));
        }
    }
}

#[test]
fn the_host_may_run_the_derivation() {
    let (mut scram, derivation, row) = deriving();
    assert_eq!(scram.key(), None);
    assert_eq!(
        (derivation.hash, derivation.iterations, derivation.salt.as_slice()),
        (
            ScramHash::Sha1,
            4096,
            encoding::decode("QSXCR+Q6sek8bf92").unwrap().as_slice()
        )
    );
    let answer = scram.derived(derivation.run()).unwrap();
    assert_eq!(answer, Secret::from(text(&row, "client_final")));
    assert_eq!(scram.derived(derivation.run()), Err(SaslError::OutOfOrder));

    // PBKDF2 by somebody else.
    let (mut scram, derivation, row) = deriving();
    let salted = Secret::new(bytes(&row, "salted_password"));
    assert_eq!(derivation.salted_password(), salted);
    let answer = scram.derived(derivation.with_salted_password(&salted)).unwrap();
    assert_eq!(answer, Secret::from(text(&row, "client_final")));
    assert_eq!(
        scram.success(text(&row, "server_final").as_bytes()),
        Ok(ServerProof::Verified)
    );

    // Half of it is a wrong password, and not a panic.
    let (mut scram, derivation, row) = deriving();
    scram
        .derived(derivation.with_salted_password(&Secret::new(&salted.expose()[..10])))
        .unwrap();
    assert_eq!(
        scram.success(text(&row, "server_final").as_bytes()),
        Err(SaslError::WrongServerProof)
    );
}

#[test]
fn a_key_for_something_else_is_not_used() {
    let (_, derivation, _) = deriving();
    for wrong in [
        Derivation {
            hash: ScramHash::Sha256,
            ..derivation.clone()
        },
        Derivation {
            iterations: 4097,
            ..derivation.clone()
        },
        Derivation {
            salt: Vec::from(*b"salt"),
            ..derivation
        },
    ] {
        let (mut scram, _, _) = deriving();
        assert_eq!(scram.derived(wrong.run()), Err(SaslError::KeyDoesNotFit));
    }
    let (mut scram, _, row) = deriving();
    assert_eq!(
        scram.challenge(text(&row, "server_first").as_bytes()),
        Err(SaslError::UnexpectedChallenge),
        "the server has not been answered yet"
    );
}

#[test]
fn salted_passwords_are_those_of_every_hash() {
    for row in rows(VECTORS, "exchanges") {
        let mut scram = scram(&row, ScramLimits::default()).host_derives(true);
        scram.initial().unwrap();
        let derivation = derivation(scram.challenge(text(&row, "server_first").as_bytes()).unwrap());
        assert_eq!(
            derivation.salted_password(),
            Secret::new(bytes(&row, "salted_password")),
            "{row}"
        );
    }
}

#[test]
fn keys_can_be_kept() {
    for hash in ScramHash::ALL {
        let key = Derivation {
            hash,
            salt: Vec::from([7; 1024]),
            iterations: 2,
            password: Secret::from("pencil"),
        }
        .run();
        let kept = key.to_bytes();
        assert_eq!(DerivedKey::from_bytes(kept.expose()).as_ref(), Ok(&key));
        for wrong in [&kept.expose()[1..], &kept.expose()[..kept.expose().len() - 1], b""] {
            assert_eq!(DerivedKey::from_bytes(wrong), Err(NotAKey));
        }
        let longer = [kept.expose(), b"x"].concat();
        assert_eq!(DerivedKey::from_bytes(&longer), Err(NotAKey));
    }
}

#[test]
fn what_cannot_be_a_login_is_refused_before_anything_is_sent() {
    let new = |authzid, authcid: &str, password: Secret, nonce: &str| {
        Scram::new(
            ScramHash::Sha256,
            ChannelBinding::No,
            authzid,
            authcid,
            Some(&password),
            nonce.into(),
            ScramLimits::default(),
        )
        .unwrap_err()
    };
    let pencil = || Secret::from("pencil");
    assert_eq!(new(None, "", pencil(), "n"), SaslError::Username(PrepError::Empty));
    assert_eq!(
        new(None, "u\0", pencil(), "n"),
        SaslError::Username(PrepError::Prohibited)
    );
    assert_eq!(
        new(None, "u", Secret::new([0xff]), "n"),
        SaslError::Password(PrepError::NotUtf8)
    );
    assert_eq!(
        new(None, "u", Secret::from("\u{7}"), "n"),
        SaslError::Password(PrepError::Prohibited)
    );
    assert_eq!(new(Some("a\0"), "u", pencil(), "n"), SaslError::Authzid);
    assert_eq!(new(None, "u", pencil(), "a,b"), SaslError::ClientNonce);
    assert_eq!(new(None, "u", pencil(), ""), SaslError::ClientNonce);
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
    let (mut scram, row) = started();
    let first = format!("{},h=\x1b[31m{}", text(&row, "server_first"), "x".repeat(5000));
    let shown = scram.challenge(first.as_bytes()).unwrap_err().to_string();
    assert!(
        shown.len() < 300 && shown.is_ascii() && !shown.contains('\x1b'),
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
