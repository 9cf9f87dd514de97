//! Every mechanism against a server that knows no secret, and against curious eyes.

use std::{format, string::String, vec::Vec};

use proptest::prelude::*;

use crate::Secret;
use crate::config;
use crate::sasl::vectors::{base64, bytes, rows, text};
use crate::sasl::*;

const CANARY: &str = "canary-7f3a-pencil";

fn scram(hash: ScramHash, nonce: &str, limits: ScramLimits) -> Scram {
    let password = Secret::from(CANARY);
    Scram::new(
        hash,
        scram::ChannelBinding::No,
        None,
        "user",
        Some(&password),
        nonce.into(),
        limits,
    )
    .unwrap()
}

fn digest_md5() -> DigestMd5 {
    let settings = config::DigestMd5::default();
    let password = Secret::from(CANARY);
    DigestMd5::new("user", "example.com", &password, None, "abcdef".into(), &settings).unwrap()
}

fn ht(binding: Option<ChannelBindingType>, allow_missing_proof: bool) -> Ht {
    Ht::new(binding, "user", &Secret::from(CANARY), b"abc", allow_missing_proof).unwrap()
}

/// One of each, before its first step.
fn fresh() -> Vec<Mechanism> {
    let secret = Secret::from(CANARY);
    let limits = ScramLimits {
        min_iterations: 1,
        max_iterations: 50,
    };
    let mut all = Vec::from([
        Mechanism::Anonymous(Anonymous::new()),
        Mechanism::DigestMd5(digest_md5()),
        Mechanism::External(External::new(None).unwrap()),
        Mechanism::Ht(ht(None, false)),
        Mechanism::Ht(ht(Some(ChannelBindingType::TlsExporter), true)),
        Mechanism::OauthBearer(OauthBearer::new(None, &secret).unwrap()),
        Mechanism::Plain(Plain::new(None, "user", &secret).unwrap()),
        Mechanism::XOauth2(XOauth2::new("user", &secret).unwrap()),
    ]);
    all.extend(ScramHash::ALL.map(|hash| Mechanism::Scram(scram(hash, "abcdef", limits))));
    all.extend(ScramHash::ALL.map(|hash| Mechanism::Scram(scram(hash, "abcdef", limits).host_derives(true))));
    all
}

/// One of each, with its initial response sent.
fn started() -> Vec<Mechanism> {
    let mut all = fresh();
    for mechanism in &mut all {
        let initial = mechanism.initial().unwrap();
        let server_first = matches!(mechanism, Mechanism::Anonymous(_) | Mechanism::DigestMd5(_));
        assert_eq!(initial.is_none(), server_first, "{}", mechanism.name());
    }
    all
}

/// What a mechanism can prove about the server, when it is done.
fn proves(mechanism: &Mechanism, proof: ServerProof) -> bool {
    match mechanism {
        Mechanism::Anonymous(_)
        | Mechanism::External(_)
        | Mechanism::OauthBearer(_)
        | Mechanism::Plain(_)
        | Mechanism::XOauth2(_) => proof == ServerProof::NotProvided,
        // The second of `fresh` allows it.
        Mechanism::Ht(ht) => proof == ServerProof::LeftOut && ht.name() == "HT-SHA-256-EXPR",
        // A server that does not know the password cannot get here.
        Mechanism::DigestMd5(_) | Mechanism::Scram(_) => false,
    }
}

fn is_silent(text: &str) -> bool {
    let bytes = format!("{:?}", CANARY.as_bytes());
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let encoded = encoding::encode(CANARY.as_bytes());
    !(text.contains("canary")
        || text.contains(bytes.trim_matches(['[', ']']))
        || text.contains(&hex)
        || text.contains(encoded.trim_end_matches('=')))
}

#[test]
fn names_are_the_registered_ones() {
    let mut names: Vec<_> = fresh().iter().map(Mechanism::name).collect();
    names.dedup();
    assert_eq!(
        names,
        [
            "ANONYMOUS",
            "DIGEST-MD5",
            "EXTERNAL",
            "HT-SHA-256-NONE",
            "HT-SHA-256-EXPR",
            "OAUTHBEARER",
            "PLAIN",
            "X-OAUTH2",
            "SCRAM-SHA-1",
            "SCRAM-SHA-256",
            "SCRAM-SHA-384",
            "SCRAM-SHA-512",
            "SCRAM-SHA-1",
            "SCRAM-SHA-256",
            "SCRAM-SHA-384",
            "SCRAM-SHA-512",
        ]
    );
    for name in names {
        assert!(
            preference(name).is_some(),
            "{name} has a place in the order of preference"
        );
    }
}

#[test]
fn nothing_succeeds_before_it_started() {
    for mut mechanism in fresh() {
        let name = mechanism.name();
        assert_eq!(mechanism.success(None), Err(SaslError::SuccessTooEarly), "{name}");
        assert_eq!(
            mechanism.initial(),
            Err(SaslError::SuccessTooEarly),
            "{name}: an error is final"
        );
    }
}

#[test]
fn only_scram_waits_for_a_key() {
    let key = Derivation {
        hash: ScramHash::Sha256,
        salt: Vec::from(*b"salt"),
        iterations: 1,
        password: Secret::from(CANARY),
    }
    .run();
    for mut mechanism in started() {
        assert_eq!(
            mechanism.derived(key.clone()),
            Err(SaslError::OutOfOrder),
            "{}",
            mechanism.name()
        );
    }
}

/// One step of the canary's way through a mechanism: everything that a person or a log could see of it.
fn look(seen: &mut Vec<String>, mechanism: &Mechanism, error: Option<&SaslError>) {
    seen.push(format!(
        "{mechanism:?} {:?} {:?}",
        mechanism.key(),
        mechanism.token_failure()
    ));
    if let Some(error) = error {
        seen.push(format!("{error} {error:?}"));
    }
}

#[test]
fn no_secret_shows_in_any_state() {
    let mut seen = Vec::new();
    for mut mechanism in fresh() {
        look(&mut seen, &mechanism, None);
        let initial = mechanism.initial();
        seen.push(format!("{initial:?}"));
        look(&mut seen, &mechanism, None);
        // Something that each of them has an answer or an error for.
        for challenge in [
            b"".as_slice(),
            b"r=abcdefgh,s=QSXCR+Q6sek8bf92,i=10",
            b"nonce=\"n\",algorithm=md5-sess,charset=utf-8",
            b"{\"status\":\"invalid_token\"}",
        ] {
            let mut mechanism = fresh()
                .into_iter()
                .find(|other| other.name() == mechanism.name())
                .unwrap();
            mechanism.initial().unwrap();
            let answer = mechanism.challenge(challenge);
            seen.push(format!("{answer:?}"));
            look(&mut seen, &mechanism, answer.as_ref().err());
            let success = mechanism.success(Some(b"v=AAAA"));
            look(&mut seen, &mechanism, success.as_ref().err());
        }
    }
    for hash in ScramHash::ALL {
        let derivation = Derivation {
            hash,
            salt: Vec::from(*b"salt"),
            iterations: 1,
            password: Secret::from(CANARY),
        };
        let key = derivation.run();
        seen.push(format!(
            "{derivation:?} {:?} {key:?} {:?}",
            derivation.salted_password(),
            key.to_bytes()
        ));
        for secret in [&key.client_key, &key.server_key, &derivation.salted_password()] {
            let bytes = format!("{:?}", secret.expose());
            assert!(!format!("{key:?} {derivation:?}").contains(bytes.trim_matches(['[', ']'])));
        }
    }
    let spoilt = Secret::from(format!("{CANARY}\u{7}"));
    for error in [
        Plain::new(None, "user", &spoilt).unwrap_err(),
        XOauth2::new("user", &spoilt).unwrap_err(),
        OauthBearer::new(None, &spoilt).unwrap_err(),
    ] {
        seen.push(format!("{error} {error:?}"));
    }
    assert!(seen.len() > 200);
    for text in seen {
        assert!(is_silent(&text), "{text}");
    }
}

/// Bytes that a server might send: anything, and what is nearly right.
fn server_data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 0..80),
        "[a-z]?=?[ -~]{0,40}(,[a-z]=[ -~]{0,20}){0,4}".prop_map(String::into_bytes),
        "r=abcdef[!-+]{0,3},s=[QA]{4,8},i=[1-9]{1,3}(,[a-z]=[a-z]{0,2}){0,2}".prop_map(String::into_bytes),
        "[ve]=[A-Za-z0-9+/]{0,27}={0,2}(,x=y)?".prop_map(String::into_bytes),
        "(realm=\"[a-z\\\\\"]{0,3}\",)?nonce=\"[ -~]{0,5}\"(,[a-z]{1,8}=\"?[ -~]{0,4}\"?)?,algorithm=md5-sess(,charset=utf-8)?(,stale=true)?"
            .prop_map(String::into_bytes),
        "rspauth=[0-9a-f]{30,33}".prop_map(String::into_bytes),
        "\\{(\"status\":\"[ -~]{0,9}\"|[\\[\\]{}\":,a1]{0,12})\\}".prop_map(String::into_bytes),
    ]
}

/// Exchanges of the vectors as far as the server's proof, and that.
fn unproved(which: usize) -> (Mechanism, Vec<u8>) {
    let mut all = Vec::new();
    let row = rows(include_str!("../../../../tests/vectors/ht.json"), "exchanges").remove(1);
    let binding = Ht::binding_of(&text(&row, "mechanism")).unwrap();
    let token = Secret::from(text(&row, "token"));
    let ht = Ht::new(
        binding,
        &text(&row, "authcid"),
        &token,
        &bytes(&row, "channel_binding"),
        true,
    )
    .unwrap();
    let mut mechanism = Mechanism::Ht(ht);
    mechanism.initial().unwrap();
    all.push((mechanism, base64(&row, "success_base64")));

    let row = rows(include_str!("../../../../tests/vectors/digest_md5.json"), "exchanges").remove(0);
    let digest = DigestMd5::new(
        &text(&row, "authcid"),
        &text(&row, "domain"),
        &Secret::from(text(&row, "password")),
        None,
        text(&row, "cnonce"),
        &config::DigestMd5::default(),
    );
    let mut mechanism = Mechanism::DigestMd5(digest.unwrap());
    mechanism.initial().unwrap();
    mechanism.challenge(&base64(&row, "challenge_base64")).unwrap();
    all.push((mechanism, format!("rspauth={}", text(&row, "rspauth")).into_bytes()));

    let (scram, row) = super::scram::proved();
    all.push((Mechanism::Scram(scram), text(&row, "server_final").into_bytes()));
    let count = all.len();
    all.swap_remove(which % count)
}

proptest! {
    #[test]
    fn no_server_without_the_secret_succeeds(
        challenges in proptest::collection::vec(server_data(), 0..4),
        data in proptest::option::of(server_data()),
    ) {
        for mut mechanism in started() {
            for challenge in &challenges {
                match mechanism.challenge(challenge) {
                    Ok(Answer::Derive(derivation)) => {
                        mechanism.derived(derivation.run()).unwrap();
                    }
                    Ok(Answer::Message(_)) => {}
                    Err(error) => {
                        let seen = format!("{error} {error:?} {mechanism:?}");
                        prop_assert!(is_silent(&seen));
                        prop_assert_eq!(mechanism.challenge(challenge), Err(error.clone()));
                        prop_assert_eq!(mechanism.success(data.as_deref()), Err(error));
                    }
                }
            }
            match mechanism.success(data.as_deref()) {
                Ok(proof) => prop_assert!(proves(&mechanism, proof), "{} succeeded", mechanism.name()),
                Err(error) => {
                    let seen = format!("{error} {error:?} {mechanism:?}");
                    prop_assert!(is_silent(&seen));
                }
            }
        }
    }

    #[test]
    fn only_the_right_proof_succeeds(which in 0..3_usize, at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<bool>()) {
        let (mut mechanism, proof) = unproved(which);
        let mut wrong = proof.clone();
        let at = at.index(wrong.len());
        if cut {
            // No bytes at all is a proof that is missing.
            wrong.truncate(at.max(1));
        } else {
            wrong[at] ^= flip;
        }
        // The name of a directive of DIGEST-MD5 may be written in capitals.
        if !wrong.eq_ignore_ascii_case(&proof) || !wrong.starts_with(b"rsp") && wrong != proof {
            prop_assert!(mechanism.success(Some(&wrong)).is_err());
            prop_assert!(mechanism.success(Some(&proof)).is_err(), "an error is final");
        }
        let (mut mechanism, proof) = unproved(which);
        prop_assert_eq!(mechanism.success(Some(&proof)), Ok(ServerProof::Verified));
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

    #[test]
    fn any_bytes_are_a_key_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(DerivedKey::from_bytes(&bytes), Err(NotAKey));
        let almost = [b"epode scram key 1\n".as_slice(), &bytes].concat();
        if let Ok(key) = DerivedKey::from_bytes(&almost) {
            prop_assert_eq!(key.to_bytes(), Secret::new(almost));
        }
    }
}
