//! SCRAM with a server that does not know the password, or wants to learn something about it (RFC 5802, RFC 7677, XEP-0474).

use epode::config::{KeyDerivation, MechanismPolicy};
use epode::error::{LoginError, SaslError};
use epode::{Credentials, Input, Offline, Output};

use crate::harness::{PASSWORD, SALT, base64, of};
use crate::proofs::Scram;
use crate::server::{
    Login, Offer, One, Profile, SCRAM, Slots, Two, account, both, everywhere, lasting, password, quick, success,
    unbound,
};

/// SCRAM-SHA-256 has begun.
fn begun(profile: Profile) -> (Login, Scram) {
    let login = Login::new(profile, password(), &Offer::of(&[SCRAM]));
    let server = Scram::to(&login);
    (login, server)
}

/// The client has proved itself, and the server could do the same by this.
fn proved(profile: Profile) -> (Login, String) {
    let mut login = Login::new(
        profile,
        quick(MechanismPolicy::default()).build().unwrap(),
        &Offer::of(&[SCRAM]),
    );
    let proof = login.scram();
    (login, proof)
}

/// A first message that the client does not answer with a proof.
fn assert_no_answer(profile: Profile, first: &str) -> SaslError {
    let (mut login, _) = begun(profile);
    login.challenge(first);
    login.refused_unproved(first);
    assert_eq!(login.count("abort"), 1, "{first}");
    login.error(first)
}

// ---- row 56

#[test]
fn a_nonce_that_does_not_continue_ours_gets_no_proof() {
    both(|profile| {
        let (_, server) = begun(profile);
        let nonce = server.nonce();
        let mut other = nonce.to_owned();
        other.replace_range(0..1, if nonce.starts_with('A') { "B" } else { "A" });
        for nonce in [
            nonce.to_owned(),
            format!("{other}server"),
            format!("server{nonce}"),
            format!("{}server", &nonce[1..]),
            format!("{}server", nonce.to_lowercase()),
            format!("{nonce}ser ver"),
            format!("{nonce}s\u{e9}rver"),
            format!("{nonce}\0"),
            String::new(),
        ] {
            let error = assert_no_answer(profile, &format!("r={nonce},s={SALT},i=4096"));
            assert_eq!(error, SaslError::Nonce, "{nonce}");
        }
    });
}

#[test]
fn the_words_of_an_earlier_login_are_no_answer_to_this_one() {
    both(|profile| {
        let offer = Offer::of(&[SCRAM]);
        let mut login = Login::new(profile, lasting(account(MechanismPolicy::default())), &offer);
        let earlier = Scram::to(&login);
        login.scram_in();
        login.bind();
        login.again(unbound(), &offer);
        let server = Scram::to(&login);
        assert_ne!(server.nonce(), earlier.nonce());
        assert!(server.nonce().len() >= 22, "128 bits");
        login.challenge(&earlier.first);
        login.refused_unproved("a replay");
        assert_eq!(login.error("a replay"), SaslError::Nonce);
    });
}

// ---- rows 57 to 59

#[test]
fn a_count_that_is_cheap_or_endless_gets_no_proof_and_no_work() {
    both(|profile| {
        // Where the host derives keys, a test sees that there is no work.
        let config = || {
            let builder = of("user@example.org").credentials(Credentials::password(PASSWORD));
            builder.key_derivation(KeyDerivation::Host).build().unwrap()
        };
        let derives = |login: &Login| {
            let derive = |output: &&Output| matches!(output, Output::DeriveKey { .. });
            login.others.iter().filter(derive).count()
        };
        let mut honest = Login::new(profile, config(), &Offer::of(&[SCRAM]));
        let first = Scram::to(&honest).first;
        honest.challenge(first);
        assert_eq!(derives(&honest), 1);
        for count in [
            "0",
            "1",
            "4095",
            "2000001",
            "2147483648",
            "4000000000",
            "4294967295",
            "4294967296",
            "18446744073709551616",
            "-1",
            "+4096",
            "04096",
            "4096.0",
            "4 096",
            "0x1000",
            "1e6",
            "\u{664}\u{660}\u{669}\u{666}",
            "",
        ] {
            let mut login = Login::new(profile, config(), &Offer::of(&[SCRAM]));
            let nonce = Scram::to(&login).nonce().to_owned();
            login.challenge(format!("r={nonce}server,s={SALT},i={count}"));
            login.refused_unproved(count);
            assert_eq!(derives(&login), 0, "{count}");
            let error = login.error(count);
            assert!(
                matches!(
                    error,
                    SaslError::Iterations | SaslError::IterationsTooLow { .. } | SaslError::IterationsTooHigh { .. }
                ),
                "{count}: {error:?}"
            );
        }
    });
}

#[test]
fn a_salt_of_nothing_or_too_much_gets_no_proof() {
    both(|profile| {
        let (_, server) = begun(profile);
        let long = base64([7; 1025]);
        for salt in [
            "",
            "*",
            "QQ",
            "QR==",
            "c2Fs dA==",
            "c2FsdA==\n",
            "c2FsdA",
            "c2FsdA===",
            long.as_str(),
        ] {
            let error = assert_no_answer(profile, &format!("r={}server,s={salt},i=4096", server.nonce()));
            assert!(
                matches!(error, SaslError::Salt | SaslError::Malformed { .. }),
                "{salt}: {error:?}"
            );
        }
        // A mebibyte is more than any login needs.
        let (mut login, server) = begun(profile);
        let long = "QUFB".repeat(1 << 18);
        login.challenge(format!("r={}server,s={long},i=4096", server.nonce()));
        login.refused_unproved("a mebibyte");
    });
}

#[test]
fn what_has_to_be_understood_ends_the_login_and_what_has_not_does_not() {
    both(|profile| {
        let (_, server) = begun(profile);
        let first = &server.first;
        for mandatory in [format!("m=x,{first}"), format!("m=,{first}")] {
            let error = assert_no_answer(profile, &mandatory);
            assert_eq!(error, SaslError::MandatoryExtension, "{mandatory}");
        }
        let nonce = server.nonce();
        for twisted in [
            String::new(),
            ",".to_owned(),
            "r".to_owned(),
            format!("s={SALT},r={nonce}server,i=4096"),
            format!("r={nonce}server,i=4096,s={SALT}"),
            format!("r={nonce}server,r={nonce}server,s={SALT},i=4096"),
            format!("r={nonce}server,s={SALT},s={SALT},i=4096"),
            format!("{first},i=4097"),
            format!("{first},r={nonce}server"),
            format!("{first},s={SALT}"),
            format!("R={nonce}server,s={SALT},i=4096"),
            format!("r={nonce}server,s={SALT}"),
            format!("x=1,{first}"),
            format!(" {first}"),
            format!("{first},"),
            format!("{first},,x=1"),
            format!("{first},xx=1"),
            format!("{first},9=1"),
            format!("{first},x"),
        ] {
            assert_no_answer(profile, &twisted);
        }
        // An error in place of the first message.
        let error = assert_no_answer(profile, "e=unknown-user");
        assert!(
            matches!(&error, SaslError::Server { value } if value == "unknown-user"),
            "{error:?}"
        );
        // An extension that may be ignored is, and is part of what both sign.
        let mut login = Login::new(profile, password(), &Offer::of(&[SCRAM]));
        let server = Scram::to(&login).with("x=anything,z=1");
        login.challenge(&server.first);
        let proof = server.proof(&login.last_text());
        login.succeed(Some(&format!("{proof},x=more")));
        login.bind();
    });
}

#[test]
fn bytes_that_are_no_text_are_no_message() {
    both(|profile| {
        let (_, server) = begun(profile);
        let mut first = server.first.clone().into_bytes();
        first.splice(2..2, [0xff, 0xc0, 0x80]);
        let (mut login, _) = begun(profile);
        login.challenge(first);
        login.refused_unproved("no UTF-8");
    });
}

// ---- rows 60 and 61

#[test]
fn success_without_the_servers_proof_is_no_login() {
    everywhere(|profile| {
        let (mut login, _) = proved(profile);
        login.succeed(None);
        assert_eq!(login.error("no data"), SaslError::MissingServerProof);
        let (mut login, _) = proved(profile);
        login.succeed(Some(""));
        let error = login.error("empty data");
        assert!(
            matches!(error, SaslError::MissingServerProof | SaslError::Malformed { .. }),
            "{error:?}"
        );
    });
}

#[test]
fn a_proof_that_is_not_this_one_is_no_login() {
    both(|profile| {
        let (_, proof) = proved(profile);
        let wrong_password = {
            let mut login = Login::new(profile, password(), &Offer::of(&[SCRAM]));
            let server = Scram::to(&login);
            login.challenge(&server.first);
            let signatures = server.signatures(&login.last_text(), "guess");
            format!("v={}", base64(signatures.0))
        };
        let reflected = {
            let mut login = Login::new(profile, password(), &Offer::of(&[SCRAM]));
            let server = Scram::to(&login);
            login.challenge(&server.first);
            format!("v={}", login.last_text().rsplit_once(",p=").unwrap().1)
        };
        let mut cases = vec![
            wrong_password,
            reflected,
            "v=".to_owned(),
            "v=AAAA".to_owned(),
            "x=1".to_owned(),
            "e=".to_owned(),
            "e=other-error".to_owned(),
            "e=server-does-support-channel-binding".to_owned(),
            proof.to_uppercase(),
            format!(" {proof}"),
            format!("{proof} "),
            format!("{proof}="),
            format!("{proof}\0"),
            format!("{proof},"),
            format!("m=1,{proof}"),
            format!("x=1,{proof}"),
            format!("{proof},{proof}"),
            proof[2..].to_owned(),
        ];
        // Any byte of it wrong, any part of it missing.
        for at in [2, 3, 20, 40, proof.len() - 2] {
            let mut bytes = proof.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            cases.push(String::from_utf8(bytes).unwrap());
            cases.push(proof[..at].to_owned());
        }
        for case in cases {
            let (mut login, right) = proved(profile);
            assert_eq!(right, proof, "one seed, one login");
            login.succeed(Some(&case));
            let error = login.error(&case);
            assert_ne!(error, SaslError::OutOfOrder, "{case}");
            // As a challenge it is no better, and nothing is said about it but goodbye.
            let (mut login, _) = proved(profile);
            let before = login.messages().len();
            login.challenge(&case);
            login.error(&case);
            assert_eq!(login.messages().len(), before, "{case}");
        }
    });
}

#[test]
fn success_in_place_of_the_first_message_is_no_login() {
    everywhere(|profile| {
        let (_, server) = begun(profile);
        for data in [
            None,
            Some(""),
            Some(server.first.as_str()),
            Some("v=AAAA"),
            Some("e=other-error"),
        ] {
            let (mut login, _) = begun(profile);
            login.succeed(data);
            login.refused_unproved("too early");
            assert_eq!(login.error("too early"), SaslError::SuccessTooEarly, "{data:?}");
        }
    });
}

#[test]
fn a_proof_in_a_challenge_is_as_good_and_needs_its_success() {
    both(|profile| {
        let (mut login, proof) = proved(profile);
        login.challenge(&proof);
        assert!(!login.is_over() && !login.is_online());
        assert_eq!(login.last(), b"", "an empty answer is due");
        login.succeed(None);
        login.bind();
        // The proof twice, once each way, is once too often; so is a third challenge.
        let (mut login, proof) = proved(profile);
        login.challenge(&proof);
        login.succeed(Some(&proof));
        login.error("twice");
        let (mut login, proof) = proved(profile);
        login.challenge(&proof);
        login.challenge(&proof);
        assert_eq!(login.error("a challenge too many"), SaslError::UnexpectedChallenge);
    });
}

// ---- rows 62 to 64

#[test]
fn challenges_have_an_end() {
    both(|profile| {
        let config = || {
            let certificate = Credentials::certificate("user", None);
            of("user@example.org").credentials(certificate).build().unwrap()
        };
        let empty = profile.element("challenge", "");
        let mut login = Login::new(profile, config(), &Offer::of(&["EXTERNAL"]));
        login.answer(&empty.repeat(1_000));
        login.refused("all at once");
        assert!(login.count("response") <= 10);
        let mut login = Login::new(profile, config(), &Offer::of(&["EXTERNAL"]));
        let mut rounds = 0;
        while !login.is_over() {
            login.says("challenge", "");
            rounds += 1;
            assert!(rounds <= 11);
        }
        login.refused("one by one");
        // One that the mechanism does not have at all.
        let mut login = Login::new(profile, config(), &Offer::of(&["EXTERNAL"]));
        login.challenge(format!("r=x,s={SALT},i=4096"));
        assert_eq!(login.error("a question of SCRAM"), SaslError::UnexpectedChallenge);
    });
}

#[test]
fn what_is_not_due_breaks_the_protocol() {
    everywhere(|profile| {
        // Before anything was asked for.
        for word in ["challenge", "success", "failure"] {
            let mut login = Login::linked(profile, password(), &Slots::new(), unbound());
            let element = profile.element(word, "");
            login.create(&element);
            let reason = login.refused_unproved(word);
            assert!(matches!(reason, Offline::Misbehaved(_)), "{word}: {reason:?}");
            assert!(login.starts().is_empty(), "{word}");
        }
        // After the success.
        let again = profile.success(None);
        for word in [
            profile.element("challenge", ""),
            again,
            profile.failure("not-authorized", ""),
        ] {
            let mut login = Login::new(profile, password(), &Offer::of(&[SCRAM]));
            login.scram_in();
            login.answer(&word);
            let reason = login.refused(&word);
            assert!(matches!(reason, Offline::Misbehaved(_)), "{word}: {reason:?}");
        }
        // What only a client says.
        for word in ["auth", "authenticate", "response", "abort"] {
            let (mut login, _) = begun(profile);
            login.says(word, "");
            login.refused_unproved(word);
        }
        // Stanzas, and an answer of the other profile.
        let fake = "<message xmlns='jabber:client' from='a@example.org'><body>hi</body></message>";
        let other = profile.other().element("challenge", "");
        for word in [fake, other.as_str(), "<iq xmlns='jabber:client' type='get' id='1'/>"] {
            let (mut login, _) = begun(profile);
            login.answer(word);
            let reason = login.refused_unproved(word);
            assert!(matches!(reason, Offline::Misbehaved(_)), "{word}: {reason:?}");
        }
    });
}

#[test]
fn base64_in_any_other_form_is_refused() {
    both(|profile| {
        let (_, server) = begun(profile);
        let good = base64(&server.first);
        let (head, tail) = good.split_at(8);
        let mut bad = vec![
            format!("{head}\n{tail}"),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{good}="),
            format!("{good}===="),
            format!("{head}-_{tail}"),
            format!("{head}\u{e9}{tail}"),
            format!("{head}<x/>{tail}"),
            format!("{head}={tail}"),
            "=====".to_owned(),
            "A".to_owned(),
            // Bits that carry nothing, but are set.
            "QR==".to_owned(),
        ];
        bad.extend(good.strip_suffix('=').map(str::to_owned));
        for text in bad {
            let (mut login, _) = begun(profile);
            login.says("challenge", &text);
            login.refused_unproved(&text);
            assert_eq!(login.error(&text), SaslError::Encoding, "{text}");
            assert_eq!(login.count("abort"), 1, "{text}");
            // The same in the success.
            let (mut login, _) = proved(profile);
            login.answer(&match profile {
                One => One.element("success", &text),
                Two => success(
                    Some(&text),
                    "<authorization-identifier>user@example.org</authorization-identifier>",
                ),
            });
            assert_eq!(login.error(&text), SaslError::Encoding, "{text}");
        }
    });
}

#[test]
fn nothing_is_believed_while_a_key_is_being_derived() {
    both(|profile| {
        let begin = || {
            let builder = of("user@example.org").credentials(Credentials::password(PASSWORD));
            let config = builder.key_derivation(KeyDerivation::Host).build().unwrap();
            let mut login = Login::new(profile, config, &Offer::of(&[SCRAM]));
            let first = Scram::to(&login).first;
            login.challenge(&first);
            (login, first)
        };
        let job = |login: &Login| {
            login.others.iter().find_map(|output| match output {
                Output::DeriveKey { job, derivation } => Some((*job, derivation.run())),
                _ => None,
            })
        };
        let (_, first) = begin();
        let challenge = profile.element("challenge", &base64(&first));
        for word in [
            challenge,
            profile.success(None),
            profile.success(Some(&base64("v=AAAA"))),
            profile.failure("not-authorized", ""),
        ] {
            let (mut login, _) = begin();
            login.answer(&word);
            login.refused_unproved(&word);
            // What comes out of it later is for nobody.
            let (job, key) = job(&login).unwrap();
            login.input(Input::Derived { job, key }).unwrap();
            login.refused_unproved(&word);
        }
        // A key of something else is no proof of anything that a server could use twice.
        let (mut login, _) = begin();
        let (job, key) = job(&login).unwrap();
        let unknown = epode::JobId(job.0 + 7);
        login.input(Input::Derived { job: unknown, key }).unwrap();
        assert_eq!(login.messages().len(), 1);
    });
}

// ---- names and keys

#[test]
fn names_are_escaped_and_prepared() {
    both(|profile| {
        for (jid, name) in [
            ("a=b@example.org", "a=3Db"),
            ("a,b@example.org", "a=2Cb"),
            ("=2c@example.org", "=3D2c"),
        ] {
            let config = of(jid).credentials(Credentials::password(PASSWORD)).build().unwrap();
            let login = Login::new(profile, config, &Offer::of(&[SCRAM]));
            let first = login.last_text();
            assert!(first.starts_with(&format!("n,,n={name},r=")), "{first}");
        }
    });
}

#[test]
fn a_kept_key_is_for_its_salt_and_count_only() {
    both(|profile| {
        let mut derived = Login::new(
            profile,
            of("user@example.org")
                .credentials(Credentials::password(PASSWORD))
                .key_derivation(KeyDerivation::Host)
                .build()
                .unwrap(),
            &Offer::of(&[SCRAM]),
        );
        let server = Scram::to(&derived);
        derived.challenge(&server.first);
        let key = derived.others.iter().find_map(|output| match output {
            Output::DeriveKey { derivation, .. } => Some(derivation.run()),
            _ => None,
        });
        let config = || {
            let key = key.clone().unwrap();
            of("user@example.org")
                .credentials(Credentials::ScramKey { key })
                .build()
                .unwrap()
        };
        let mut login = Login::new(profile, config(), &Offer::of(&[SCRAM, "SCRAM-SHA-512", "PLAIN"]));
        assert_eq!(login.tried(), [SCRAM]);
        login.scram_in();
        login.bind();
        for (salt, count) in [
            (base64("another salt"), 4_096),
            (SALT.to_owned(), 4_097),
            (SALT.to_owned(), 1),
        ] {
            let mut login = Login::new(profile, config(), &Offer::of(&[SCRAM]));
            let nonce = Scram::to(&login).nonce().to_owned();
            login.challenge(format!("r={nonce}server,s={salt},i={count}"));
            login.refused_unproved("another salt or count");
            let error = login.error("another salt or count");
            assert!(
                matches!(error, SaslError::KeyDoesNotFit | SaslError::IterationsTooLow { .. }),
                "{error:?}"
            );
        }
        let login = Login::new(profile, config(), &Offer::of(&["SCRAM-SHA-512", "PLAIN"]));
        let reason = login.refused_unproved("another hash");
        assert!(
            matches!(reason, Offline::Login(LoginError::NoMechanism { .. })),
            "{reason:?}"
        );
    });
}
