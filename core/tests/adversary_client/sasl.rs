//! Logins: EXTERNAL, SCRAM and PLAIN with a server that lies, loops, harvests or breaks off (RFC 6120 §6, RFC 5802, RFC 4616).

use epode::config::MechanismPolicy;
use epode::error::{LoginError, PeerMisbehaved, SaslError};
use epode::{Config, Event, LinkInfo, Offline, ServerProof, TlsPolicy};

use crate::harness::{
    BIND, NS_SASL, PASSWORD, Play, SALT, Scram, base64, bound, build, mechanisms, sasl, with_certificate, with_password,
};
use crate::wire::Cut;

fn policy(allow_plain: bool, only: Option<&[&str]>) -> MechanismPolicy {
    MechanismPolicy {
        allow_plain,
        only: only.map(|only| only.iter().map(ToString::to_string).collect()),
        ..MechanismPolicy::default()
    }
}

fn plain() -> Config {
    build(with_password().mechanisms(policy(true, None)))
}

/// SCRAM-SHA-256 has begun.
fn scram() -> (Play, Scram) {
    let play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
    let server = Scram::answering(&play);
    (play, server)
}

/// The client has proved itself; its last message.
fn proved() -> (Play, Scram, String) {
    let (mut play, server) = scram();
    play.answer(&sasl("challenge", &base64(&server.first)));
    let client_final = play.sasl_messages()[1].clone();
    (play, server, client_final)
}

fn error(play: &Play) -> SaslError {
    let Offline::Login(LoginError::Mechanism { error, .. }) = play.reason() else {
        panic!("{:?}", play.reason());
    };
    error
}

fn is_unexpected(play: &Play) -> bool {
    matches!(play.reason(), Offline::Misbehaved(PeerMisbehaved::Unexpected { .. }))
}

#[test]
fn an_honest_server_is_believed() {
    let (mut play, server, client_final) = proved();
    play.answer(&sasl("success", &base64(server.proof(&client_final, PASSWORD))));
    play.answer(BIND);
    play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
    let proofs: Vec<_> = play
        .events
        .iter()
        .filter_map(|event| {
            if let Event::Online { server_proof, .. } = event {
                Some(*server_proof)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(proofs, [ServerProof::Verified]);
    play.assert_password_unsaid("SCRAM");
}

#[test]
fn a_list_cut_down_to_plain_gets_no_password() {
    let only_scram = policy(true, Some(&["SCRAM-SHA-256", "SCRAM-SHA-1"]));
    let configs = [
        build(with_password()),
        build(with_password().mechanisms(only_scram)),
        build(with_certificate()),
        build(with_certificate().mechanisms(policy(true, None))),
    ];
    for config in configs {
        let play = Play::offered(config, &["PLAIN"]);
        play.assert_refused_without_proof("stripped");
        assert!(play.sent("auth").is_empty());
        let Offline::Login(LoginError::NoMechanism { offered, wanted, .. }) = play.reason() else {
            panic!("{:?}", play.reason());
        };
        assert_eq!(offered, ["PLAIN"]);
        assert!(
            !wanted.is_empty() && !wanted.iter().any(|name| name == "PLAIN"),
            "{wanted:?}"
        );
    }
}

#[test]
fn a_list_with_nothing_in_it_or_nonsense_is_no_offer() {
    for names in [
        &[][..],
        &[
            "",
            "scram-sha-256",
            "SCRAM-SHA-256 ",
            "EXTERNAL\u{a0}",
            "AN-OVERLONG-MECHANISM-NAME",
        ],
    ] {
        let play = Play::offered(build(with_password()), names);
        play.assert_refused_without_proof("nonsense");
        assert!(play.sent("auth").is_empty());
        assert!(matches!(play.reason(), Offline::Login(LoginError::NoMechanism { offered, .. }) if offered.is_empty()));
    }
}

#[test]
fn plain_is_used_over_verified_tls_only() {
    let config = || {
        with_password()
            .mechanisms(policy(true, None))
            .tls(TlsPolicy::AllowPlaintext)
    };
    let encrypted_only = LinkInfo {
        encrypted: true,
        ..LinkInfo::default()
    };
    for info in [LinkInfo::default(), encrypted_only] {
        let mut play = Play::linked(build(config()), info);
        play.create(&mechanisms(&["PLAIN"]));
        play.assert_refused_without_proof("PLAIN without verified TLS");
        assert!(play.sent("auth").is_empty());
    }
    let play = Play::offered(build(config()), &["PLAIN"]);
    assert_eq!(play.sasl_messages(), [format!("\0user\0{PASSWORD}")]);
}

#[test]
fn plain_is_never_preferred() {
    let play = Play::offered(plain(), &["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"]);
    let auth = play.sent("auth");
    assert_eq!(auth.len(), 1);
    assert_eq!(auth[0].attribute("mechanism"), Some("SCRAM-SHA-256"));
    play.assert_password_unsaid("SCRAM");
}

#[test]
fn a_nonce_that_does_not_continue_ours_gets_no_proof() {
    let (_, earlier) = scram();
    let (_, server) = scram();
    let nonce = server.nonce().to_owned();
    let mut backwards = nonce.clone();
    backwards.replace_range(0..1, if nonce.starts_with('A') { "B" } else { "A" });
    let other_seed = {
        let play = Play::seeded(build(with_password()), LinkInfo::verified("example.org"), [9; 32]);
        let mut play = play;
        play.create(&mechanisms(&["SCRAM-SHA-256"]));
        Scram::answering(&play).first
    };
    assert_eq!(earlier.first, server.first, "one seed, one nonce");
    let nonces = [
        format!("r={nonce},s={SALT},i=4096"),
        format!("r={backwards}server,s={SALT},i=4096"),
        format!("r=server{nonce},s={SALT},i=4096"),
        format!("r={}server,s={SALT},i=4096", &nonce[1..]),
        format!("r={nonce}ser ver,s={SALT},i=4096"),
        format!("r={nonce}s\u{e9}rver,s={SALT},i=4096"),
        format!("r=,s={SALT},i=4096"),
        other_seed,
    ];
    for first in nonces {
        let (mut play, _) = scram();
        play.answer(&sasl("challenge", &base64(&first)));
        play.assert_refused_without_proof(&first);
        assert_eq!(error(&play), SaslError::Nonce, "{first}");
        assert_eq!(play.sent("abort").len(), 1, "{first}");
    }
}

#[test]
fn two_logins_never_use_the_same_nonce() {
    let config = build(with_password());
    let mut nonces: Vec<String> = (0..20u8)
        .map(|seed| {
            let mut play = Play::seeded(config.clone(), LinkInfo::verified("example.org"), [seed; 32]);
            play.create(&mechanisms(&["SCRAM-SHA-256"]));
            Scram::answering(&play).nonce().to_owned()
        })
        .collect();
    assert!(nonces.iter().all(|nonce| nonce.len() >= 32));
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 20);
}

#[test]
fn a_count_that_is_cheap_or_endless_gets_no_proof() {
    let (_, server) = scram();
    let nonce = server.nonce();
    let counts = [
        "1",
        "4095",
        "2000001",
        "4000000000",
        "4294967296",
        "99999999999999999999999",
        "0",
        "-1",
        "-4096",
        "+4096",
        "04096",
        "4096.0",
        "4 096",
        "0x1000",
        "1e6",
        "",
    ];
    for count in counts {
        let (mut play, _) = scram();
        play.answer(&sasl(
            "challenge",
            &base64(format!("r={nonce}server,s={SALT},i={count}")),
        ));
        play.assert_refused_without_proof(count);
        assert!(
            matches!(
                error(&play),
                SaslError::Iterations | SaslError::IterationsTooLow { .. } | SaslError::IterationsTooHigh { .. }
            ),
            "{count}: {:?}",
            error(&play)
        );
        assert_eq!(play.sent("abort").len(), 1, "{count}");
    }
}

#[test]
fn a_salt_of_nothing_or_too_much_gets_no_proof() {
    let (_, server) = scram();
    let nonce = server.nonce();
    let long = base64([7; 1025]);
    for salt in [
        "",
        "*",
        "QQ",
        "QR==",
        "c2Fs dA==",
        "c2FsdA==\n",
        "c2FsdA",
        long.as_str(),
    ] {
        let (mut play, _) = scram();
        play.answer(&sasl("challenge", &base64(format!("r={nonce}server,s={salt},i=4096"))));
        play.assert_refused_without_proof(salt);
        assert_eq!(error(&play), SaslError::Salt, "{salt}");
    }
    // One of a mebibyte does not even get as far as the mechanism.
    let (mut play, _) = scram();
    let huge = "A".repeat(1 << 20);
    play.answer(&sasl("challenge", &base64(format!("r={nonce}server,s={huge},i=4096"))));
    play.assert_refused_without_proof("a mebibyte");
    assert!(matches!(play.reason(), Offline::Misbehaved(error) if error.condition() == "policy-violation"));
}

#[test]
fn extensions_that_must_be_known_end_the_login_and_others_do_not() {
    let (_, server) = scram();
    let nonce = server.nonce();
    let refused = [
        format!("m=x,r={nonce}server,s={SALT},i=4096"),
        format!("r={nonce}server,s={SALT},i=4096,m=x"),
        format!("r={nonce}server,s={SALT},i=4096,s={SALT}"),
        format!("r={nonce}server,s={SALT},i=4096,i=4096"),
        format!("r={nonce}server,s={SALT},i=4096,r={nonce}server"),
        format!("r={nonce}server,s={SALT},i=4096,xx=y"),
        format!("r={nonce}server,s={SALT},i=4096,"),
        format!("r={nonce}server,i=4096,s={SALT}"),
        format!("s={SALT},r={nonce}server,i=4096"),
        format!("r={nonce}server,s={SALT}"),
        "e=unknown-user".to_owned(),
        String::new(),
    ];
    for first in refused {
        let (mut play, _) = scram();
        play.answer(&sasl("challenge", &base64(&first)));
        play.assert_refused_without_proof(&first);
    }
    let (mut play, _) = scram();
    play.answer(&sasl(
        "challenge",
        &base64(format!("r={nonce}server,s={SALT},i=4096,x=y")),
    ));
    assert_eq!(play.sent("response").len(), 1);
}

#[test]
fn success_without_the_servers_proof_is_no_login() {
    let (_, server, client_final) = proved();
    let right = server.proof(&client_final, PASSWORD);
    let wrong = server.proof(&client_final, "another password");
    let signature = base64([0; 32]);
    let successes = [
        String::new(),
        "=".to_owned(),
        base64("v="),
        base64(&wrong),
        base64(format!("v={signature}")),
        base64(&right[2..]),
        base64(&right[..right.len() - 4]),
        base64(format!("{right},v=x")),
        base64(format!("x=y,{right}")),
        base64("e=invalid-proof"),
        base64("e=server-does-support-channel-binding"),
        format!("{} ", base64(&right)),
    ];
    for success in successes {
        let (mut play, _, _) = proved();
        play.answer(&sasl("success", &success));
        play.assert_refused(&success);
        assert!(
            matches!(play.reason(), Offline::Login(LoginError::Mechanism { .. })),
            "{success}"
        );
        assert!(!play.has_restarted(), "{success}");
    }
}

#[test]
fn a_proof_that_is_wrong_in_any_byte_is_no_login() {
    let (_, server, client_final) = proved();
    let right = server.proof(&client_final, PASSWORD);
    for at in [2, 3, 20, right.len() - 3, right.len() - 2] {
        let mut wrong = right.clone();
        wrong.replace_range(at..=at, if &wrong[at..=at] == "A" { "I" } else { "A" });
        let (mut play, _, _) = proved();
        play.answer(&sasl("success", &base64(&wrong)));
        play.assert_refused(&wrong);
        assert_eq!(error(&play), SaslError::WrongServerProof, "{wrong}");
    }
}

#[test]
fn success_right_after_the_first_message_is_no_login() {
    let (_, server) = scram();
    for data in [String::new(), "=".to_owned(), base64(&server.first), base64("v=AAAA")] {
        let (mut play, _) = scram();
        play.answer(&sasl("success", &data));
        play.assert_refused_without_proof(&data);
        assert_eq!(error(&play), SaslError::SuccessTooEarly, "{data}");
    }
}

#[test]
fn endless_challenges_are_cut_short() {
    let empty = sasl("challenge", "");
    // In one answer,
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    play.answer(&empty.repeat(1_000));
    play.assert_refused("in one answer");
    assert!(play.sent("response").len() <= 10);
    // one by one,
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    let mut rounds = 0;
    while !play.is_over() {
        play.answer(&empty);
        rounds += 1;
        assert!(rounds <= 11);
    }
    play.assert_refused("one by one");
    // and after the proof.
    let (mut play, server, client_final) = proved();
    let proof = sasl("challenge", &base64(server.proof(&client_final, PASSWORD)));
    play.answer(&proof);
    assert!(!play.is_over(), "the proof may come as a challenge");
    play.answer(&proof);
    play.assert_refused("after the proof");
    assert_eq!(error(&play), SaslError::UnexpectedChallenge);
}

#[test]
fn a_challenge_that_the_mechanism_does_not_have_ends_the_login() {
    let (_, server) = scram();
    let challenge = sasl("challenge", &base64(&server.first));
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    play.answer(&challenge);
    play.assert_refused_without_proof("EXTERNAL");
    assert_eq!(error(&play), SaslError::UnexpectedChallenge);
    let mut play = Play::offered(plain(), &["PLAIN"]);
    play.answer(&challenge);
    assert_eq!(error(&play), SaslError::UnexpectedChallenge);
    assert_eq!(
        play.sent("auth").len() + play.sent("response").len(),
        1,
        "the password is said once"
    );
}

#[test]
fn sasl_after_success_or_before_auth_breaks_the_protocol() {
    let late = [
        sasl("challenge", ""),
        sasl("success", ""),
        sasl("failure", "<not-authorized/>"),
    ];
    for element in &late {
        let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
        play.answer(&sasl("success", ""));
        play.answer(element);
        play.assert_refused(element);
        assert!(is_unexpected(&play), "{element}");
        // In the answer that carries the success, too.
        let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
        play.answer(&format!("{}{element}", sasl("success", "")));
        play.assert_refused(element);
        // On a stream it is where a new header belongs (RFC 6120 §6.4.6).
        let breach = play.reason();
        let is_no_header = matches!(
            breach,
            Offline::Misbehaved(PeerMisbehaved::AfterLogin | PeerMisbehaved::StreamHeader { .. })
        );
        assert!(is_unexpected(&play) || is_no_header, "{element}: {breach:?}");
        // Where features belong.
        let mut play = Play::connected(build(with_password()));
        play.create(element);
        play.assert_refused_without_proof(element);
        assert!(is_unexpected(&play) && play.sent("auth").is_empty(), "{element}");
        // While a resource is being bound.
        let mut play = Play::binding(build(with_certificate()));
        play.answer(element);
        play.assert_refused(element);
        assert!(is_unexpected(&play), "{element}");
    }
}

#[test]
fn base64_in_any_other_form_is_refused() {
    let (_, server) = scram();
    let good = base64(&server.first);
    let (head, tail) = good.split_at(8);
    let bad = [
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
    for text in bad {
        let (mut play, _) = scram();
        play.answer(&sasl("challenge", &text));
        play.assert_refused_without_proof(&text);
        assert_eq!(error(&play), SaslError::Encoding, "{text}");
        assert_eq!(play.sent("abort").len(), 1, "{text}");
    }
}

#[test]
fn data_with_the_success_of_external_or_plain_is_refused() {
    for (config, name) in [(build(with_certificate()), "EXTERNAL"), (plain(), "PLAIN")] {
        let mut play = Play::offered(config, &[name]);
        play.answer(&sasl("success", &base64("surprise")));
        assert!(!play.is_online());
        assert_eq!(error(&play), SaslError::UnexpectedSuccessData);
    }
}

#[test]
fn after_a_refusal_nothing_weaker_is_tried() {
    let refusal = sasl("failure", "<not-authorized/>");
    let config = build(with_password().mechanisms(policy(true, None)));
    let (mut play, again) = (
        Play::offered(config, &["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]),
        mechanisms(&["PLAIN"]),
    );
    play.answer(&format!("{refusal}{again}"));
    play.assert_refused_without_proof("re-offer");
    assert_eq!(play.sent("auth").len(), 1);
    assert!(matches!(
        play.reason(),
        Offline::Login(LoginError::Refused { condition, .. }) if condition == "not-authorized"
    ));
    // A list of less, in the middle of the exchange.
    let config = build(with_password().mechanisms(policy(true, None)));
    let mut play = Play::offered(config, &["SCRAM-SHA-256", "PLAIN"]);
    play.answer(&again);
    play.assert_refused_without_proof("in the middle");
    assert!(is_unexpected(&play));
}

#[test]
fn a_temporary_failure_is_told_and_not_tried_again() {
    let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
    play.answer(&sasl("failure", "<temporary-auth-failure/>"));
    play.assert_refused_without_proof("temporary");
    assert_eq!(play.sent("auth").len(), 1);
    assert!(matches!(
        play.reason(),
        Offline::Login(LoginError::Refused { condition, .. }) if condition == "temporary-auth-failure"
    ));
}

#[test]
fn an_unknown_condition_is_a_refusal() {
    for failure in [
        "",
        "<no-such-condition/>",
        "<not-authorized xmlns='urn:example:other'/>",
    ] {
        let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
        play.answer(&sasl("failure", failure));
        play.assert_refused(failure);
        assert!(matches!(
            play.reason(),
            Offline::Login(LoginError::Refused { condition, .. }) if condition == "not-authorized"
        ));
    }
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    play.answer(&sasl("false", ""));
    play.assert_refused("false");
    assert!(matches!(
        play.reason(),
        Offline::Login(LoginError::UnknownAnswer { .. })
    ));
}

#[test]
fn a_refusals_text_can_neither_fill_nor_forge_a_log() {
    let forged = "denied&#xA;2026-01-01 OK login of admin&#xD;&#x9;\u{85}\u{9b}31m\u{202e}&lt;b>";
    let long = "x".repeat(60_000);
    for text in [forged, long.as_str()] {
        let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
        play.answer(&sasl("failure", &format!("<not-authorized/><text>{text}</text>")));
        play.assert_refused_without_proof("text");
        let reason = play.reason();
        let Offline::Login(LoginError::Refused { text: Some(kept), .. }) = &reason else {
            panic!("{reason:?}");
        };
        assert!(kept.chars().count() <= 1_024);
        for shown in [reason.to_string(), format!("{reason:?}")] {
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert!(shown.len() < 8_192);
        }
        assert!(!reason.to_string().contains('\u{202e}'), "{reason}");
    }
    let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
    play.answer(&sasl("failure", &format!("<text>{}</text>", "x".repeat(1 << 20))));
    play.assert_refused_without_proof("a mebibyte");
}

#[test]
fn a_password_that_the_server_repeats_is_not_passed_on() {
    let mut play = Play::offered(plain(), &["PLAIN"]);
    let text = format!("<not-authorized/><text>'{PASSWORD}' is wrong</text>");
    play.answer(&sasl("failure", &text));
    assert!(matches!(
        play.reason(),
        Offline::Login(LoginError::Refused { text: None, .. })
    ));
    assert!(!play.shown.contains(PASSWORD));
}

#[test]
fn a_login_is_not_sent_to_a_server_that_has_already_misbehaved() {
    let fake = "<message xmlns='jabber:client' from='a@example.org'><body>hi</body></message>";
    for after in [
        fake,
        "<x xmlns='http://jabber.org/protocol/httpbind'/>",
        &mechanisms(&["PLAIN"]),
    ] {
        // One after the other the features are answered before anything else is known.
        let credentials = if crate::WIRE.1 == Cut::Together {
            plain()
        } else {
            build(with_password())
        };
        let mut play = Play::connected(credentials);
        play.create(&format!("{}{after}", mechanisms(&["PLAIN", "SCRAM-SHA-256"])));
        play.assert_refused_without_proof(after);
        if play.cut == Cut::Together {
            assert!(play.sent("auth").is_empty(), "{after}: {:?}", play.posts);
            assert!(!play.posts.concat().contains(NS_SASL), "{after}");
        }
    }
    let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
    let first = Scram::answering(&play).first;
    play.answer(&format!("{}{fake}", sasl("challenge", &base64(first))));
    if play.cut == Cut::Together {
        play.assert_refused_without_proof("after the challenge");
    } else {
        play.assert_refused("after the challenge");
    }
}

#[test]
fn an_endless_list_of_mechanisms_cannot_fill_a_log() {
    let names: Vec<String> = (0..1_500).map(|n| format!("MECHANISM-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let play = Play::offered(build(with_password()), &names);
    play.assert_refused_without_proof("many");
    assert!(play.reason().to_string().len() < 1_024);
    // The one that counts is found all the same.
    let with_scram = [&names[..], &["SCRAM-SHA-256"]].concat();
    let play = Play::offered(build(with_password()), &with_scram);
    assert_eq!(play.sent("auth").len(), 1);
}

#[test]
fn nothing_is_left_over_for_the_stream_after_the_login() {
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    // A success that does not wait for the answer to its own challenge.
    play.answer(&format!("{}{}", sasl("challenge", ""), sasl("success", "")));
    play.answer(BIND);
    // Where the two come one after the other, the answer is on its way before the success is known.
    let one_by_one = usize::from(play.cut != Cut::Together);
    assert_eq!(play.sent("response").len(), one_by_one, "{:?}", play.posts);
    play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
    assert!(play.is_online());
}
