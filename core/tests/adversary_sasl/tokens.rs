//! Login tokens (XEP-0484): what a server may do to one, and what a client does not do with it.

use epode::config::{Fast, MechanismPolicy};
use epode::error::{LoginError, SaslError, Warning};
use epode::{ChannelBindingType, Config, Credentials, Input, LinkInfo, Offline, SaslProfile, ServerProof, Slot};

use crate::harness::{PASSWORD, of};
use crate::proofs::hmac;
use crate::server::{
    EXPORTER, Login, NOW, Offer, One, PLUS, SCRAM, Slots, Two, USER, account, bindable, lasting, unbound, with_plain,
};

const TOKEN: &str = "canary-Vt3-fast-token";
const NEXT: &str = "canary-Wk8-fast-token";
const NONE: &str = "HT-SHA-256-NONE";
const EXPR: &str = "HT-SHA-256-EXPR";
const LATER: &str = "2026-02-01T00:00:00Z";
const IDENTITY: &str = "<authorization-identifier>user@example.org</authorization-identifier>";

fn config() -> Config {
    lasting(account(with_plain()))
}

/// One that waits for the features before it says anything.
fn patient() -> Config {
    let policy = MechanismPolicy {
        pipeline: false,
        ..with_plain()
    };
    lasting(account(policy))
}

fn given(token: &str, expiry: &str) -> String {
    format!("{IDENTITY}<token xmlns='urn:xmpp:fast:0' token='{token}' expiry='{expiry}'/>")
}

fn mac(token: &str, who: &str, binding: &[u8]) -> Vec<u8> {
    hmac(token.as_bytes(), &[who.as_bytes(), binding].concat())
}

/// What the client says to log in by that token.
fn said(token: &str, binding: &[u8]) -> Vec<u8> {
    [b"user\0", &mac(token, "Initiator", binding)[..]].concat()
}

/// Online by SCRAM, with that token of a server that offers these.
fn holding(config: Config, info: LinkInfo, fast: &[&str], more: &str) -> Login {
    let offer = if info.channel_bindings.is_empty() {
        Offer::of(&[SCRAM, "PLAIN"])
    } else {
        binding()
    };
    let mut login = Login::over(Two, config, info, &offer.fast(fast));
    let proof = login.scram();
    login.succeed_as(Some(&proof), more);
    login.bind();
    login
}

/// The same, and back again by the token.
fn returning(config: Config) -> Login {
    let mut login = holding(config, unbound(), &[NONE], &given(TOKEN, LATER));
    login.again(unbound(), &offer());
    assert_eq!(login.tried(), [SCRAM, NONE]);
    assert_eq!(login.last(), said(TOKEN, b""));
    login
}

/// Of a server that knows what its connections can be bound to.
fn binding() -> Offer<'static> {
    Offer::of(&[SCRAM, PLUS, "PLAIN"]).bindings(&["tls-exporter"])
}

fn offer() -> Offer<'static> {
    Offer::of(&[SCRAM, "PLAIN"]).fast(&[NONE])
}

/// Says success with these bytes as its data.
fn prove(login: &mut Login, data: &[u8], more: &str) {
    let data = crate::harness::base64(data);
    login.answer(&crate::server::success(Some(&data), more));
}

/// The mechanism and message of the next process, which knows these slots.
fn next_process(slots: &Slots, info: LinkInfo, offer: &Offer<'_>) -> (Login, String, Vec<u8>) {
    let login = Login::restored(Two, patient(), slots, info, offer);
    let (mechanism, message) = (login.tried().pop().unwrap(), login.messages().pop().unwrap());
    (login, mechanism, message)
}

#[test]
fn a_token_is_asked_for_used_and_replaced() {
    let mut login = Login::over(Two, config(), unbound(), &offer());
    let request = |login: &Login| {
        let start = login.starts().pop().unwrap();
        let request = start.children().find(|child| child.name() == "request-token");
        request.and_then(|request| request.to_element().attribute("mechanism").map(str::to_owned))
    };
    assert_eq!(request(&login).as_deref(), Some(NONE));
    let proof = login.scram();
    login.succeed_as(Some(&proof), &given(TOKEN, LATER));
    login.bind();
    login.again(unbound(), &offer());
    assert_eq!(login.last(), said(TOKEN, b""));
    prove(&mut login, &mac(TOKEN, "Responder", b""), &given(NEXT, LATER));
    login.bind();
    let (mechanism, proof, binding, profile) = login.online();
    assert_eq!(
        (mechanism.as_str(), proof, binding),
        (NONE, ServerProof::Verified, None)
    );
    assert_eq!(profile, Some(SaslProfile::Sasl2));
    let (_, mechanism, message) = next_process(&login.slots(), unbound(), &offer());
    assert_eq!((mechanism.as_str(), message), (NONE, said(NEXT, b"")));
}

// ---- row 68

#[test]
fn a_login_by_token_needs_the_servers_proof() {
    let right = mac(TOKEN, "Responder", b"");
    let mut flipped = right.clone();
    flipped[31] ^= 1;
    for (data, case) in [
        (Some(mac(TOKEN, "Initiator", b"")), "our own, sent back"),
        (Some(said(TOKEN, b"")), "our message, sent back"),
        (Some(flipped), "a bit"),
        (Some(right[..31].to_vec()), "too short"),
        (Some([&right[..], b"\0"].concat()), "too long"),
        (Some(mac(NEXT, "Responder", b"")), "another token"),
        (Some(mac(TOKEN, "Responder", &EXPORTER)), "another binding"),
        (Some(vec![0; 32]), "nothing"),
        (None, "none"),
        (Some(Vec::new()), "empty"),
    ] {
        let careless = MechanismPolicy {
            allow_missing_ht_server_proof: true,
            ..with_plain()
        };
        for policy in [with_plain(), careless] {
            let missing = data.as_ref().is_none_or(Vec::is_empty);
            if missing && policy.allow_missing_ht_server_proof {
                continue;
            }
            let mut login = returning(lasting(account(policy)));
            match &data {
                Some(data) => prove(&mut login, data, &given(NEXT, LATER)),
                None => login.succeed_as(None, &given(NEXT, LATER)),
            }
            let error = login.error(case);
            let expected = match missing {
                true => SaslError::MissingServerProof,
                false => SaslError::WrongServerProof,
            };
            assert_eq!(error, expected, "{case}");
            // The token that it gave along counts for nothing; the old one is still there.
            let (_, mechanism, message) = next_process(&login.slots(), unbound(), &offer());
            assert_eq!((mechanism.as_str(), message), (NONE, said(TOKEN, b"")), "{case}");
            assert_eq!(login.tried(), [SCRAM, NONE], "{case}: nothing else is tried");
        }
    }
}

#[test]
fn a_missing_proof_is_told_where_it_is_allowed() {
    let careless = MechanismPolicy {
        allow_missing_ht_server_proof: true,
        ..with_plain()
    };
    let mut login = returning(lasting(account(careless)));
    login.succeed_as(None, IDENTITY);
    login.bind();
    assert_eq!(login.online().1, ServerProof::Absent);
}

#[test]
fn a_login_by_token_has_no_questions() {
    let reflected = mac(TOKEN, "Initiator", b"");
    for data in [&b""[..], b"more", &reflected] {
        let mut login = returning(config());
        let before = login.messages().len();
        login.challenge(data);
        let error = login.error("a question");
        assert!(
            matches!(error, SaslError::UnexpectedChallenge | SaslError::WrongServerProof),
            "{error:?}"
        );
        assert_eq!(login.messages().len(), before);
    }
}

// ---- row 69

#[test]
fn a_token_that_is_none_does_not_replace_one() {
    let huge = "x".repeat(5_000);
    let bad = [
        given("", LATER),
        given(&huge, LATER),
        given(NEXT, "2025-12-31T23:59:59Z"),
        given(NEXT, "1970-01-01T00:00:00Z"),
        given(NEXT, "soon"),
        given(NEXT, ""),
        format!("{IDENTITY}<token xmlns='urn:xmpp:fast:0' expiry='{LATER}'/>"),
        format!("{IDENTITY}<token xmlns='urn:xmpp:fast:0'/>"),
    ];
    for bad in bad {
        let case = &bad[IDENTITY.len()..bad.len().min(160)];
        let mut login = returning(config());
        prove(&mut login, &mac(TOKEN, "Responder", b""), &bad);
        login.bind();
        assert!(
            login.warnings().contains(&Warning::TokenIgnored),
            "{case}: {:?}",
            login.events
        );
        let (_, mechanism, message) = next_process(&login.slots(), unbound(), &offer());
        assert_eq!((mechanism.as_str(), message), (NONE, said(TOKEN, b"")), "{case}");
        // Where there was none before, there is none now.
        let login = holding(config(), unbound(), &[NONE], &bad);
        assert!(
            login.warnings().contains(&Warning::TokenIgnored),
            "{case}: {:?}",
            login.events
        );
        let (_, mechanism, _) = next_process(&login.slots(), unbound(), &offer());
        assert_eq!(mechanism, SCRAM, "{case}");
    }
}

#[test]
fn a_token_that_has_expired_is_not_tried() {
    let mut login = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER));
    let slots = login.slots();
    let month = 40 * 24 * 3_600_000;
    login.input(Input::Clock { unix_ms: NOW + month }).unwrap();
    login.again(unbound(), &offer());
    assert_eq!(login.tried(), [SCRAM, SCRAM]);
    // Time that runs backwards revives nothing that was replaced meanwhile, and harms nobody.
    let mut next = Login::linked(Two, config(), &slots, unbound());
    next.input(Input::Clock { unix_ms: 0 }).unwrap();
    next.features(&offer());
    assert_eq!(next.starts().len(), 1);
}

// ---- row 70

#[test]
fn a_token_is_used_with_the_mechanism_that_it_is_for_or_not_at_all() {
    let both = &[NONE, EXPR, "HT-SHA-256-UNIQ", "HT-SHA-256-ENDP"];
    let mut login = holding(config(), bindable(), both, &given(TOKEN, LATER));
    let start = login.starts().pop().unwrap();
    let request = start.children().find(|child| child.name() == "request-token").unwrap();
    assert_eq!(
        request.to_element().attribute("mechanism"),
        Some(EXPR),
        "the best binding"
    );
    let slots = login.slots();
    // As it should be.
    login.again(bindable(), &binding().fast(both));
    assert_eq!(login.last(), said(TOKEN, &EXPORTER));
    prove(&mut login, &mac(TOKEN, "Responder", &EXPORTER), IDENTITY);
    login.bind();
    assert_eq!(login.online().2, Some(ChannelBindingType::TlsExporter));
    // The server wants it unbound, or this connection has nothing to bind to.
    for (info, fast) in [
        (bindable(), &[NONE][..]),
        (bindable(), &["HT-SHA-256-ENDP", "HT-SHA-512-EXPR"]),
        (unbound(), &[NONE, EXPR]),
        (bindable(), &[]),
    ] {
        let password = if info.channel_bindings.is_empty() { SCRAM } else { PLUS };
        let (login, mechanism, _) = next_process(&slots, info, &binding().fast(fast));
        assert_eq!(mechanism, password, "{fast:?}");
        let warned = Warning::TokenUnusable {
            mechanism: EXPR.to_owned(),
        };
        assert!(login.warnings().contains(&warned), "{fast:?}: {:?}", login.events);
        for binding in [&b""[..], &EXPORTER] {
            let proof = mac(TOKEN, "Initiator", binding);
            let used = login.messages().iter().any(|message| message.ends_with(&proof));
            assert!(!used, "{fast:?}");
        }
    }
}

#[test]
fn a_token_is_for_fast_and_nothing_that_looks_like_it() {
    let slots = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER)).slots();
    // In the list of the others, without `<fast/>`, a token has no place; SASL1 has none for it either.
    let in_main_list = Offer::of(&[NONE, SCRAM]);
    let (_, mechanism, _) = next_process(&slots, unbound(), &in_main_list);
    assert_eq!(mechanism, SCRAM);
    let login = Login::restored(One, patient(), &slots, unbound(), &in_main_list);
    assert_eq!(login.tried(), [SCRAM]);
    // Nor does one who has no other credentials make one up from what it has.
    let kept = || lasting(of(USER).credentials(Credentials::KeptToken));
    let login = Login::restored(Two, kept(), &Slots::new(), unbound(), &offer());
    assert_eq!(
        login.refused("no token"),
        Offline::Login(LoginError::NoToken { condition: None })
    );
    assert!(login.starts().is_empty());
}

#[test]
fn a_login_that_does_not_wait_uses_the_token_as_it_is_for_too() {
    let mut login = holding(config(), bindable(), &[NONE, EXPR], &given(TOKEN, LATER));
    let slots = login.slots();
    // The server has changed its mind meanwhile, which is not known yet: the token still proves nothing but this connection.
    login.again(bindable(), &binding().fast(&[NONE]));
    assert_eq!(login.tried(), [PLUS, EXPR]);
    assert_eq!(login.last(), said(TOKEN, &EXPORTER));
    login.refuse("not-authorized");
    assert_eq!(login.tried(), [PLUS, EXPR, PLUS]);
    // Where there is nothing to bind to, nothing is said early.
    let login = Login::linked(Two, config(), &slots, unbound());
    assert!(login.starts().is_empty());
    // The server has no such thing any more, or another server is there: nothing weaker follows by itself.
    for offer in [
        Offer::of(&["PLAIN"]).features(One),
        Offer::of(&["PLAIN"]).features(Two),
        "<stream:features/>".to_owned(),
    ] {
        let mut login = Login::linked(Two, config(), &slots, bindable());
        assert_eq!(login.last(), said(TOKEN, &EXPORTER));
        login.create(&offer);
        if !login.is_over() {
            login.refuse("not-authorized");
        }
        login.refused_unproved(&offer);
        assert_eq!(login.tried(), [EXPR], "{offer}");
    }
}

#[test]
fn a_login_that_does_not_wait_is_answered_after_the_features() {
    let slots = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER)).slots();
    let begin = || Login::linked(Two, config(), &slots, unbound());
    let data = crate::harness::base64(mac(TOKEN, "Responder", b""));
    for word in [
        crate::server::success(Some(&data), IDENTITY),
        Two.failure("not-authorized", ""),
        Two.element("challenge", ""),
        Two.element("continue", ""),
        crate::harness::BIND.to_owned() + "<stream:features/>",
    ] {
        let mut login = begin();
        assert_eq!(login.last(), said(TOKEN, b""));
        login.create(&word);
        login.refused_unproved(&word);
        assert_eq!(login.starts().len(), 1, "{word}");
    }
    // On a link that nobody verified nothing is said at all.
    let policy = with_plain();
    let open = account(policy).tls(epode::TlsPolicy::AllowPlaintext);
    let login = Login::linked(Two, lasting(open), &slots, LinkInfo::default());
    assert!(login.starts().is_empty());
}

#[test]
fn a_login_that_did_not_wait_and_led_nowhere_waits_the_next_time() {
    let slots = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER)).slots();
    let mut login = Login::linked(Two, config(), &slots, unbound());
    assert_eq!(login.tried(), [NONE]);
    // The server breaks off, or says what makes no sense.
    login.create("<x xmlns='urn:example:other'/>");
    login.refused_unproved("nonsense");
    let mut next = slots.clone();
    next.extend(login.slots());
    let mut login = Login::linked(Two, config(), &next, unbound());
    assert!(login.starts().is_empty());
    login.features(&offer());
    assert_eq!(login.tried(), [NONE], "the token is as good as before");
}

// ---- row 74: what a refusal costs

#[test]
fn a_refused_token_costs_one_login_more_and_is_not_tried_again() {
    for condition in ["not-authorized", "credentials-expired"] {
        let mut login = returning(config());
        login.refuse(condition);
        let warned = Warning::TokenRefused {
            condition: condition.to_owned(),
        };
        assert!(login.warnings().contains(&warned), "{:?}", login.events);
        assert_eq!(login.tried(), [SCRAM, NONE, SCRAM], "{condition}");
        let proof = login.scram();
        login.succeed_as(Some(&proof), IDENTITY);
        login.bind();
        assert_eq!(login.connects.len(), 2, "{condition}");
        let (_, mechanism, _) = next_process(&login.slots(), unbound(), &offer());
        assert_eq!(mechanism, SCRAM, "{condition}: the token is forgotten");
        // And where the password is refused too, that is the end.
        let mut login = returning(config());
        login.refuse(condition);
        login.refuse(condition);
        let reason = login.refused(condition);
        assert!(
            matches!(reason, Offline::Login(LoginError::Refused { .. })),
            "{reason:?}"
        );
        assert_eq!(login.tried(), [SCRAM, NONE, SCRAM], "{condition}");
    }
}

#[test]
fn a_refused_token_is_no_way_to_a_weaker_mechanism() {
    // The server refuses the token, and has cut its list down meanwhile.
    let mut login = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER));
    login.again(unbound(), &Offer::of(&["PLAIN"]).fast(&[NONE]));
    if !login.is_over() {
        login.refuse("not-authorized");
    }
    login.refused_unproved("cut down");
    login.assert_unsaid(PASSWORD, "cut down");
}

#[test]
fn who_has_only_a_token_is_told_that_it_was_refused() {
    let slots = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER)).slots();
    let kept = lasting(of(USER).credentials(Credentials::KeptToken));
    let mut login = Login::restored(Two, kept, &slots, unbound(), &offer());
    assert_eq!(login.last(), said(TOKEN, b""));
    login.refuse("not-authorized");
    let condition = Some("not-authorized".to_owned());
    assert_eq!(
        login.refused("refused"),
        Offline::Login(LoginError::NoToken { condition })
    );
    assert_eq!(login.starts().len(), 1);
}

// ---- row 25, and the rest

#[test]
fn nothing_is_sent_before_the_link_is_there_whatever_is_offered() {
    // The offers of all these tests say that early data is welcome.
    let slots = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER)).slots();
    let mut play = crate::harness::Play::idle(config(), [3; 32]);
    for (slot, bytes) in &slots {
        let (slot, bytes) = (*slot, epode::Secret::new(bytes.clone()));
        play.input(Input::Restore { slot, bytes }).unwrap();
    }
    play.input(Input::Start).unwrap();
    assert_eq!((play.connects.len(), play.posts.len()), (1, 0));
    let login = returning(config());
    let start = login.starts().pop().unwrap();
    let fast = start.children().find(|child| child.name() == "fast").unwrap();
    // A count is for early data alone (XEP-0484).
    assert_eq!(fast.to_element().attribute("count"), None);
}

#[test]
fn a_token_that_nobody_asked_for_is_not_kept() {
    let off = || lasting(account(with_plain()).fast(Fast::Off));
    let mut login = holding(off(), unbound(), &[NONE], &given(TOKEN, LATER));
    assert!(
        !login.starts()[0]
            .children()
            .any(|child| child.name() == "request-token")
    );
    let kept = login.slots();
    let holds = |bytes: &Vec<u8>| bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes());
    assert!(!kept.values().any(holds));
    login.again(unbound(), &offer());
    assert_eq!(login.tried(), [SCRAM, SCRAM]);
    // Nor is one that comes by a server that offers none.
    let login = holding(config(), unbound(), &[], &given(TOKEN, LATER));
    let (_, mechanism, _) = next_process(&login.slots(), unbound(), &offer());
    assert_eq!(mechanism, SCRAM);
}

#[test]
fn a_token_that_comes_without_the_servers_proof_is_not_kept() {
    let mut login = Login::over(Two, config(), unbound(), &offer());
    login.succeed_as(None, &given(TOKEN, LATER));
    login.refused_unproved("too early");
    assert!(
        !login
            .slots()
            .values()
            .any(|bytes| { bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()) })
    );
}

#[test]
fn one_installation_has_one_name() {
    let ids = |login: &Login| -> Vec<String> {
        let starts = login.starts();
        let ids = starts.iter().map(|start| {
            let agent = start.children().find(|child| child.name() == "user-agent").unwrap();
            agent.to_element().attribute("id").unwrap().to_owned()
        });
        ids.collect()
    };
    let first = returning(config());
    let next = Login::restored(Two, config(), &first.slots(), unbound(), &offer());
    let names = [ids(&first), ids(&next)].concat();
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    // RFC 9562 §5.4
    assert!(names[0].len() == 36 && &names[0][14..15] == "4", "{names:?}");
}

#[test]
fn a_token_that_is_given_back_is_gone() {
    let slots = holding(config(), unbound(), &[NONE], &given(TOKEN, LATER)).slots();
    let invalidate = lasting(account(with_plain()).fast(Fast::Invalidate));
    let mut login = Login::restored(Two, invalidate, &slots, unbound(), &offer());
    assert_eq!(login.last(), said(TOKEN, b""));
    let start = login.starts().pop().unwrap();
    let fast = start.children().find(|child| child.name() == "fast").unwrap();
    assert_eq!(fast.to_element().attribute("invalidate"), Some("true"));
    prove(&mut login, &mac(TOKEN, "Responder", b""), &given(NEXT, LATER));
    login.bind();
    let stored = login.slots();
    let token = stored.get(&Slot::Token).cloned().unwrap_or_default();
    for gone in [TOKEN, NEXT] {
        assert!(!token.windows(gone.len()).any(|part| part == gone.as_bytes()), "{gone}");
    }
}
