//! Exchanges that are known, and the rules of XEP-0124 and XEP-0206 one by one.

use epode::config::Bosh;
use epode::error::{ConnectionError, PeerIncompatible, SessionEnd, TlsError, WaitingFor};
use epode::{Element, Event, Failure, Input, Offline, Refused, RequestId, Stage, TlsFacts, stanza};

use sha1::{Digest, Sha1};

use crate::desk::{CREATED, Desk, LINK, MECHANISMS, config, message};

fn usual(_: &mut Bosh) {}

fn online() -> Desk {
    Desk::online(config(usual), CREATED)
}

fn ended(condition: &str) -> Offline {
    Offline::Ended(SessionEnd {
        condition: Some(condition.to_owned()),
        text: None,
        application: None,
        see_other: None,
    })
}

#[test]
fn a_login_takes_five_requests_and_then_one_is_held() {
    let desk = online();
    let said = [
        "to='example.org' from='juliet@example.org' xml:lang='en' wait='60' hold='1' content='text/xml; charset=utf-8' ver='1.6' ack='1' \
         xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>",
        "sid='s1'><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>anVsaWV0QGV4YW1wbGUub3Jn</auth></body>",
        "sid='s1' to='example.org' from='juliet@example.org' xml:lang='en' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'/>",
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>balcony</resource></bind></iq></body>",
        "sid='s1'/>",
    ];
    // EXTERNAL needs no challenge, so it is one fewer than with SCRAM.
    assert_eq!(desk.posts.len(), 5);
    for ((rid, _, body), (expected, said)) in desk.posts.iter().zip((1000..).zip(said)) {
        assert_eq!(*rid, expected);
        assert!(body.ends_with(said), "{body}");
    }
    assert_eq!(desk.rids(), [1004]);
}

#[test]
fn features_that_come_later_are_asked_for() {
    let mut desk = Desk::new(config(usual));
    desk.answer(1000, CREATED, "");
    assert!(desk.open[&1001].1.ends_with("rid='1001' sid='s1'/>"));
    desk.answer(1001, "", MECHANISMS);
    assert!(desk.open[&1002].1.contains("<auth"));
    desk.log_in(1002);
}

#[test]
fn stanzas_go_out_beside_the_request_that_is_held() {
    let mut desk = online();
    desk.now += 10_000;
    let first = desk.say(1);
    assert_eq!(desk.rids(), [1004, 1005]);
    // Both are under way: what follows waits, and goes out together.
    let (second, third) = (desk.say(2), desk.say(3));
    assert_eq!((desk.rids().len(), desk.stage(second)), (2, Some(Stage::Queued)));
    desk.answer(1004, "", "");
    assert_eq!(desk.rids(), [1005, 1006]);
    let body = &desk.open[&1006].1;
    assert!(body.contains("<body>2</body>") && body.contains("<body>3</body>"));
    desk.answer(1005, "", "");
    assert_eq!(
        (desk.stage(first), desk.stage(third)),
        (Some(Stage::Acked), Some(Stage::Queued))
    );
    // One is held again, so no empty one is needed.
    assert_eq!(desk.rids(), [1006]);
}

#[test]
fn answers_are_processed_in_the_order_of_their_requests() {
    let mut desk = online();
    let token = desk.say(1);
    desk.answer(1005, "", &message(2));
    assert!(desk.heard().is_empty() && desk.stage(token) == Some(Stage::Queued));
    desk.answer(1004, "", &message(1));
    assert_eq!((desk.heard(), desk.stage(token)), (vec![1, 2], Some(Stage::Acked)));
}

#[test]
fn a_request_that_failed_is_sent_again_and_its_late_answer_is_dropped() {
    let mut desk = online();
    let first = desk.open[&1004].0;
    desk.fail(1004);
    assert_eq!(desk.rids(), [1004]);
    desk.answer(1004, "", &message(1));
    desk.late(
        first,
        200,
        "<body xmlns='http://jabber.org/protocol/httpbind'><message/></body>",
        None,
    );
    assert_eq!((desk.heard(), desk.offline()), (vec![1], None));
}

#[test]
fn a_recoverable_error_repeats_all_that_is_unanswered_in_order() {
    let mut desk = online();
    desk.say(1);
    let before = desk.posts.len();
    desk.answer(1005, "type='error'", &message(9));
    let again: Vec<u64> = desk.posts[before..].iter().map(|(rid, ..)| *rid).collect();
    assert_eq!((again, desk.heard()), (vec![1004, 1005], vec![]));
}

#[test]
fn answers_are_acknowledged_while_one_is_missing() {
    let mut desk = online();
    assert!(desk.posts[1..].iter().all(|(_, _, body)| !body.contains(" ack=")));
    desk.say(1);
    assert!(desk.open[&1005].1.contains("rid='1005' sid='s1' ack='1003'"));
    // The server waits for one acknowledgement, and says so in an answer that has to wait for that very one.
    let lost = desk.open[&1004].0;
    desk.answer(1005, "report='1004' time='852'", "");
    assert!(desk.rids() == [1004] && desk.open[&1004].0 != lost);
    // Once is enough, and what is answered or was never sent is not sent again.
    desk.answer(1004, "report='1004' time='900'", "");
    desk.answer(1006, "report='1007' time='900'", "");
    assert_eq!(desk.rids(), [1007]);
    // Without `ack` of ours there is none at all.
    let mut silent = Desk::online(config(|bosh| bosh.ack = false), CREATED);
    silent.say(1);
    assert!(silent.posts.iter().all(|(_, _, body)| !body.contains(" ack=")));
}

#[test]
fn the_server_may_acknowledge_before_it_answers() {
    let mut desk = online();
    let token = desk.say(1);
    desk.answer(1004, "ack='1005'", "");
    assert_eq!(desk.stage(token), Some(Stage::Acked));
}

#[test]
fn no_empty_request_takes_the_last_place_and_the_goodbye_may_exceed_it() {
    let mut desk = online();
    desk.say(1);
    desk.wait(20_000);
    assert_eq!(desk.rids(), [1004, 1005]);
    desk.handle(Input::Stop).unwrap();
    assert_eq!(desk.rids(), [1004, 1005, 1006]);
}

#[test]
fn two_requests_are_offered_to_a_server_that_holds_two() {
    let created = CREATED.replace("hold='1' requests='2'", "hold='2' requests='3'");
    let mut desk = Desk::new(config(|bosh| bosh.hold = 2));
    desk.answer(1000, &created, "");
    assert_eq!(desk.rids(), [1001, 1002]);
}

#[test]
fn a_polling_session_keeps_its_interval_but_a_stanza_goes_at_once() {
    let created = CREATED.replace("wait='60'", "wait='0'");
    let mut desk = Desk::online(config(|bosh| bosh.wait = 0), &created);
    desk.now += 2_000;
    desk.answer(1004, "", "");
    desk.wait(4_999);
    assert!(desk.rids().is_empty());
    desk.wait(1);
    assert_eq!(desk.rids(), [1005]);
    desk.answer(1005, "", "");
    desk.wait(2_000);
    desk.say(1);
    assert_eq!(desk.rids(), [1006]);
    // One at a time.
    desk.say(2);
    assert_eq!(desk.rids(), [1006]);
    // News in an answer: there may be more.
    desk.answer(1006, "", &message(1));
    assert!(desk.open[&1007].1.contains("<body>2</body>"));
}

#[test]
fn goodbye_carries_unavailable_presence_and_is_the_last_request() {
    let mut desk = online();
    let token = desk.say(1);
    desk.handle(Input::Stop).unwrap();
    let goodbye = "type='terminate'><presence xmlns='jabber:client' type='unavailable'/></body>";
    assert!(desk.open[&1006].1.ends_with(goodbye));
    desk.answer(1004, "", &message(1));
    assert_eq!(desk.rids(), [1005, 1006]);
    desk.answer(1005, "type='terminate'", "");
    assert_eq!((desk.heard(), desk.stage(token)), (vec![1], Some(Stage::Acked)));
    assert_eq!(desk.offline(), Some(&Offline::Stopped));
}

#[test]
fn an_answer_after_the_goodbye_is_not_sent() {
    let mut desk = Desk::online(config(usual).answers("urn:x"), CREATED);
    desk.answer(
        1004,
        "",
        "<iq xmlns='jabber:client' type='get' id='1'><x xmlns='urn:x'/></iq>",
    );
    let Some(Event::Request { token, .. }) = desk.events.last() else {
        panic!("{:?}", desk.events)
    };
    let token = *token;
    desk.handle(Input::Stop).unwrap();
    let result = Ok(None);
    let answer = desk.handle(Input::Respond { token, result });
    assert_eq!(answer, Err(Refused::NotStarted), "it could not leave any more");
    assert_eq!(desk.rids(), [1005, 1006]);
    desk.answer(1005, "", "");
    assert_eq!(desk.rids(), [1006]);
}

#[test]
fn a_goodbye_that_came_through_unheard_is_a_goodbye() {
    let mut desk = online();
    desk.handle(Input::Stop).unwrap();
    desk.fail(1004);
    desk.answer(1004, "type='terminate' condition='item-not-found'", "");
    assert_eq!(desk.offline(), Some(&Offline::Stopped));
}

#[test]
fn what_our_goodbye_overtook_has_arrived() {
    let mut desk = online();
    desk.say(1);
    desk.handle(Input::Stop).unwrap();
    desk.answer(1004, "", "");
    // 1005 carried the message and was held; the goodbye, 1006, is the other request that it speaks of.
    desk.answer(1005, "type='terminate' condition='other-request'", "");
    let acked = |event: &Event| {
        matches!(
            event,
            Event::Delivery {
                stage: Stage::Acked,
                ..
            }
        )
    };
    assert!(desk.events.iter().any(acked), "{:?}", desk.events);
    assert_eq!(desk.offline(), Some(&Offline::Stopped));
}

#[test]
fn a_stream_error_comes_after_what_was_sent_before_it() {
    let mut desk = online();
    let payloads = "<message xmlns='jabber:client' from='contact@example.com'><body>7</body></message>\
        <stream:error><xml-not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        <text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-streams'>x</text>\
        <escape-your-data xmlns='application-ns'/></stream:error>";
    desk.answer(1004, "type='terminate' condition='remote-stream-error'", payloads);
    let end = SessionEnd {
        condition: Some("not-well-formed".to_owned()),
        text: Some("x".to_owned()),
        application: Some("{application-ns}escape-your-data".to_owned()),
        see_other: None,
    };
    assert_eq!((desk.heard(), desk.offline()), (vec![7], Some(&Offline::Ended(end))));
}

#[test]
fn another_address_is_reported_only_if_it_is_https() {
    for (uri, expected) in [
        ("https://secure.example/cm", Some("https://secure.example/cm")),
        (
            "HTTPS://[2001:db8::1]:7443/cm?x",
            Some("HTTPS://[2001:db8::1]:7443/cm?x"),
        ),
        ("http://secure.example/cm", None),
        ("https:///cm", None),
        ("https://juliet@secure.example/cm", None),
        ("https://secure.example/\u{e9}", None),
        // Cut off it would be another one.
        (&format!("https://secure.example/{}", "a".repeat(2_000)), None),
        ("http://x/?https://", None),
    ] {
        let mut desk = online();
        desk.answer(
            1004,
            "type='terminate' condition='see-other-uri'",
            &format!("<uri>{uri}</uri>"),
        );
        let Some(Offline::Ended(end)) = desk.offline() else {
            panic!("{:?}", desk.offline())
        };
        assert_eq!(
            (end.condition.as_deref(), end.see_other.as_deref()),
            (Some("see-other-uri"), expected)
        );
    }
}

#[test]
fn http_statuses_are_conditions_only_before_version_1_6() {
    for (status, condition) in [(400, "bad-request"), (403, "policy-violation"), (404, "item-not-found")] {
        let mut old = Desk::online(config(usual), &CREATED.replace("ver='1.6'", ""));
        old.raw(1004, status, "");
        assert_eq!(old.offline(), Some(&ended(condition)));
        let mut new = online();
        new.raw(1004, status, "");
        assert_eq!((new.rids(), new.offline()), (vec![1004], None));
        new.raw(1004, status, "");
        assert_eq!(
            new.offline(),
            Some(&Offline::Connection(ConnectionError::HttpStatus(status)))
        );
    }
}

#[test]
fn a_stanza_without_a_namespace_is_one_of_ours() {
    let mut desk = online();
    desk.answer(1004, "", "<message from='a@b.example'><body>5</body></message>");
    assert_eq!(desk.heard(), [5]);
}

#[test]
fn numbers_that_are_none_are_ignored_or_refused() {
    for broken in ["requests='0'", "requests='x'", "requests='300'", "wait='abc'", "sid=''"] {
        let (name, _) = broken.split_once('=').unwrap();
        let usual_value = CREATED.split(' ').find(|word| word.starts_with(name)).unwrap();
        let mut desk = Desk::new(config(usual));
        desk.answer(1000, &CREATED.replace(usual_value, broken), MECHANISMS);
        let expected = Offline::Incompatible(PeerIncompatible::SessionParameters);
        assert_eq!(desk.offline(), Some(&expected), "{broken}");
    }
    for (usual_value, broken) in [
        ("inactivity='30'", "inactivity='99999'"),
        ("polling='5'", "polling='-1'"),
        ("hold='1'", "hold='x'"),
        ("requests='2'", ""),
    ] {
        let desk = Desk::online(config(usual), &CREATED.replace(usual_value, broken));
        assert_eq!(desk.rids(), [1004], "{broken}");
    }
    // One request at a time is a polling session.
    let mut desk = Desk::online(config(usual), &CREATED.replace("requests='2'", "requests='1'"));
    desk.say(1);
    assert_eq!(desk.rids(), [1004]);
}

#[test]
fn an_error_that_ends_the_session_acknowledges_only_what_it_says() {
    for (attributes, expected) in [
        ("type='terminate' condition='item-not-found'", Stage::Failed),
        (
            "type='terminate' condition='policy-violation' ack='1004'",
            Stage::Failed,
        ),
        (
            "type='terminate' condition='policy-violation' ack='99999'",
            Stage::Failed,
        ),
        ("type='terminate' condition='system-shutdown' ack='1005'", Stage::Acked),
        ("type='terminate'", Stage::Acked),
    ] {
        let mut desk = online();
        let token = desk.say(1);
        desk.answer(1004, "", "");
        desk.answer(1005, attributes, "");
        assert_eq!(desk.stage(token), Some(expected), "{attributes}");
        assert!(matches!(desk.offline(), Some(Offline::Ended(_))));
    }
}

#[test]
fn what_was_acknowledged_beside_an_error_is_settled_before_the_end() {
    let mut desk = online();
    let token = desk.say(1);
    desk.answer(1005, "", "");
    desk.answer(1004, "", "<wrong/>");
    assert!(matches!(desk.offline(), Some(Offline::Misbehaved(_))));
    assert!(desk.stage(token) >= Some(Stage::Acked));
    // The same where the stream's own error is the end.
    let mut desk = online();
    let token = desk.say(1);
    desk.answer(1005, "", "");
    let error = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    desk.answer(1004, "", error);
    assert_eq!(
        (desk.offline(), desk.stage(token)),
        (Some(&ended("reset")), Some(Stage::Acked))
    );
}

#[test]
fn earlier_answers_have_a_moment_when_the_session_is_over() {
    let mut desk = online();
    let token = desk.say(1);
    desk.answer(1005, "type='terminate' condition='system-shutdown'", &message(2));
    assert_eq!(desk.offline(), None);
    desk.wait(4_999);
    assert_eq!(desk.offline(), None);
    desk.wait(1);
    assert_eq!(
        (desk.heard(), desk.offline()),
        (vec![2], Some(&ended("system-shutdown")))
    );
    assert_eq!(desk.stage(token), Some(Stage::Failed));
    // Nothing is sent again to a session that is over.
    let mut desk = online();
    desk.say(1);
    let before = desk.posts.len();
    desk.answer(1005, "type='terminate' condition='system-shutdown'", "");
    desk.fail(1004);
    assert_eq!(
        (desk.offline(), desk.posts.len()),
        (Some(&ended("system-shutdown")), before)
    );
}

#[test]
fn deadlines_stand_still_while_the_host_does_not_read() {
    let link = LINK;
    let mut desk = online();
    let query = Element::builder("jabber:iq:version", "query");
    let iq = stanza::get(Some(&"example.org".parse().unwrap()), query).unwrap();
    desk.handle(Input::Request { iq, timeout: None }).unwrap();
    desk.wait(10_000);
    desk.handle(Input::Reading { link, reading: false }).unwrap();
    let posts = desk.posts.len();
    desk.wait(3_600_000);
    assert_eq!(desk.posts.len(), posts);
    assert!(!desk.events.iter().any(|event| matches!(event, Event::IqDone { .. })));
    // Posted while nobody reads: it has waited for nothing yet.
    desk.handle(Input::Reading { link, reading: true }).unwrap();
    desk.wait(49_999);
    assert!(!desk.events.iter().any(|event| matches!(event, Event::IqDone { .. })));
    desk.wait(1);
    assert!(desk.events.iter().any(|event| matches!(event, Event::IqDone { .. })));
    assert_eq!(desk.posts.len(), posts);
    desk.wait(10_000);
    assert_eq!(desk.posts.len(), posts + 2);
}

#[test]
fn the_creation_of_a_session_stands_still_too() {
    let link = LINK;
    let mut desk = Desk::new(config(usual));
    desk.wait(10_000);
    desk.handle(Input::Reading { link, reading: false }).unwrap();
    desk.wait(3_600_000);
    desk.handle(Input::Reading { link, reading: true }).unwrap();
    desk.wait(19_999);
    assert_eq!(desk.offline(), None);
    desk.wait(1);
    let waiting_for = WaitingFor::Session;
    let timeout = Offline::Connection(ConnectionError::Timeout { waiting_for });
    assert_eq!(desk.offline(), Some(&timeout));
}

#[test]
fn an_attempt_is_abandoned_once_and_only_if_it_is_under_way() {
    // The desk itself refuses anything else: each way to an end is tried.
    let mut desk = online();
    desk.say(1);
    let (request, _) = desk.open.remove(&1005).unwrap();
    let facts = |byte| {
        Some(TlsFacts {
            server_certificate_sha256: Some([byte; 32]),
            ..TlsFacts::default()
        })
    };
    desk.late(RequestId(request.0 + 100), 200, "", facts(1));
    desk.late(
        request,
        200,
        "<body xmlns='http://jabber.org/protocol/httpbind'/>",
        facts(2),
    );
    let (request, _) = desk.open.remove(&1004).unwrap();
    desk.late(request, 200, "", facts(3));
    assert_eq!(desk.offline(), Some(&Offline::Tls(TlsError::CertificateChanged)));
    for end in 0..3 {
        let mut desk = if end == 0 { Desk::new(config(usual)) } else { online() };
        match end {
            0 => desk.wait(30_000),
            1 => desk.wait(3_600_000),
            _ => {
                let reason = Failure::TlsAlert(49);
                let request = desk.open.remove(&1004).map(|(request, _)| request);
                desk.handle(Input::Failed {
                    link: LINK,
                    request,
                    reason,
                })
                .unwrap();
            }
        }
        assert!(desk.offline().is_some() && desk.open.is_empty());
    }
}

#[test]
fn what_is_said_of_another_stream_is_not_for_us() {
    for (created, ours) in [
        (CREATED.to_owned() + " stream='one'", "stream='one'"),
        (CREATED.to_owned(), ""),
    ] {
        let mut desk = Desk::online(config(usual), &created);
        desk.answer(1004, "stream='two'", &message(1));
        desk.answer(
            1005,
            "stream='two' type='terminate' condition='remote-stream-error'",
            "<wrong/>",
        );
        assert_eq!((desk.heard(), desk.offline()), (vec![], None));
        // What it acknowledges holds for the whole session.
        let token = desk.say(2);
        desk.answer(1006, "stream='two' ack='1007'", "");
        assert_eq!(desk.stage(token), Some(Stage::Acked));
        desk.answer(1007, ours, &message(3));
        desk.answer(1008, "", &message(4));
        assert_eq!(desk.heard(), [3, 4]);
        desk.answer(1009, &format!("{ours} type='terminate'"), "");
        assert!(desk.offline().is_some());
    }
}

#[test]
fn a_type_that_is_not_known_means_nothing() {
    let mut desk = online();
    desk.answer(1004, "type='nonsense' condition='item-not-found'", &message(1));
    assert_eq!((desk.heard(), desk.rids(), desk.offline()), (vec![1], vec![1005], None));
}

#[test]
fn a_session_that_says_it_is_from_elsewhere_is_the_one_that_tls_vouches_for() {
    let created = CREATED.to_owned()
        + " from='elsewhere.example' authid='a1' secure='false' xmpp:version='1.0' \
        xmpp:restartlogic='true' xmlns:xmpp='urn:xmpp:xbosh' accept='gzip' charsets='x' maxpause='-1'";
    let desk = Desk::online(config(usual), &created);
    assert!(
        desk.posts[2].2.contains(" to='example.org' from='juliet@example.org'"),
        "{}",
        desk.posts[2].2
    );
}

/// What `name` says in `body`, if it is there.
fn attribute(body: &str, name: &str) -> Option<String> {
    let body = Element::parse(body, &epode::xml::XmlLimits::default()).unwrap();
    body.attribute(name).map(str::to_owned)
}

#[test]
fn a_key_sequence_runs_through_the_session_and_into_the_next_one() {
    let mut desk = Desk::online(config(|bosh| bosh.key_sequence = true), CREATED);
    for rid in 1004..2_000 {
        match rid % 100 {
            // A request that is sent again shows the same key: the desk itself looks at that.
            7 => desk.fail(rid),
            50 => drop(desk.say(1)),
            _ => {}
        }
        desk.answer(rid, "", &message(0));
    }
    desk.handle(Input::Stop).unwrap();
    let mut bodies: Vec<(u64, &str)> = desk.posts.iter().map(|(rid, _, body)| (*rid, body.as_str())).collect();
    bodies.dedup();
    let mut last = attribute(bodies[0].1, "newkey").expect("a first sequence");
    assert_eq!(attribute(bodies[0].1, "key"), None);
    let (mut sequences, mut rids) = (1, 1000);
    for (rid, body) in &bodies[1..] {
        if *rid == rids {
            continue;
        }
        rids += 1;
        assert_eq!(*rid, rids);
        let key = attribute(body, "key").expect("a key");
        let digest: String = Sha1::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, last, "{body}");
        sequences += u32::from(attribute(body, "newkey").is_some());
        last = attribute(body, "newkey").unwrap_or(key);
    }
    // Between 256 and 512 requests each.
    assert!((2..=4).contains(&sequences), "{sequences}");
    let other = Desk::online(config(usual), CREATED);
    assert!(other.posts.iter().all(|(_, _, body)| !body.contains("key=")));
}

#[test]
fn three_requests_are_held_and_a_fourth_carries_stanzas() {
    let created = CREATED.replace("hold='1' requests='2'", "hold='3' requests='9'");
    let mut desk = Desk::new(config(|bosh| bosh.hold = 3));
    desk.answer(1000, &created, MECHANISMS);
    // The login goes on beside requests that are held; what came before is answered before.
    for (said, payload) in [
        ("<auth", "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
        (
            "xmpp:restart",
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
        ),
    ] {
        let rid = desk.rid_of(said);
        for held in desk.rids().into_iter().filter(|held| *held < rid) {
            desk.answer(held, "", "");
        }
        desk.answer(rid, "", payload);
    }
    let bind = desk.rid_of("<bind");
    for held in desk.rids().into_iter().filter(|held| *held < bind) {
        desk.answer(held, "", "");
    }
    desk.bind(bind);
    let first = desk.rids();
    assert_eq!(first.len(), 3);
    desk.say(1);
    desk.say(2);
    assert_eq!(desk.rids().len(), 4);
    // Answers in any order: what they carry comes in the order of the requests.
    for (place, rid) in first.iter().enumerate().rev() {
        desk.answer(*rid, "", &message(place));
    }
    assert_eq!(desk.heard(), [0, 1, 2]);
    assert!(desk.posts.last().unwrap().2.contains("sid='s1'"));
    assert!(desk.rids().len() <= 4);
}
