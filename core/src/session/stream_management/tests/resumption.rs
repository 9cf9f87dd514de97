//! A session that outlives its link, or does not; and one that outlives its process.

use super::*;

#[test]
fn what_the_server_has_not_is_sent_again_in_order() {
    let mut management = on();
    send(&mut management, [1, 2, 3, 4, 5]);
    assert_eq!(management.handle(at(0), &sm("a h='2'")), acked([1, 2]));
    for _ in 0..3 {
        management.received(Handling::Now);
    }
    let _ = management.handle(at(0), &sm("r")).unwrap();
    management.link_lost(at(1));
    assert_eq!(
        turn(&mut management, 1),
        (None, None),
        "that request died with its link"
    );
    assert_eq!(
        management.resume(at(1)).unwrap().to_xml(),
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='3'/>"
    );
    let resumed = management.resumed(at(2), &sm("resumed previd='x' h='4'")).unwrap();
    assert_eq!(resumed.acked, tokens([3, 4]));
    assert_eq!(resumed.failed, []);
    let resend: Vec<_> = resumed.resend.into_iter().map(|outgoing| outgoing.xml).collect();
    assert_eq!(resend, [message(5).xml]);
    assert_eq!(turn(&mut management, 2).1.as_deref(), Some(R));
    // The next new one is the sixth.
    send(&mut management, [6]);
    assert_eq!(management.handle(at(3), &sm("a h='6'")), acked([5, 6]));
    assert_eq!(management.kept().count(), 0);
}

#[test]
fn a_resumption_that_is_not_ours() {
    for element in [
        "resumed previd='other' h='0'",
        "resumed h='0'",
        "resumed previd='x'",
        "resumed previd='x' h='-1'",
        "enabled previd='x' h='0'",
    ] {
        let mut management = on();
        send(&mut management, [1]);
        management.link_lost(at(1));
        assert!(management.resume(at(1)).is_some());
        assert!(matches!(
            management.resumed(at(2), &sm(element)),
            Err(PeerMisbehaved::StreamManagement { .. })
        ));
        management.link_lost(at(2));
        assert!(!management.can_resume(at(2)), "{element}");
        assert_eq!(management.reset().failed, tokens([1]));
    }
}

#[test]
fn a_resumption_that_acknowledges_too_much() {
    let mut management = on();
    send(&mut management, [1, 2, 3, 4, 5]);
    management.link_lost(at(1));
    assert!(management.resume(at(1)).is_some());
    assert_eq!(
        management.resumed(at(2), &sm("resumed previd='x' h='9'")).unwrap_err(),
        PeerMisbehaved::HandledCount { handled: 9, sent: 5 }
    );
    management.link_lost(at(2));
    assert!(!management.can_resume(at(2)));
    let settled = management.reset();
    assert_eq!((settled.acked, settled.failed), (vec![], tokens([1, 2, 3, 4, 5])));
}

fn lose_and_resume(management: &mut StreamManagement, h: u32) -> Resumed {
    management.link_lost(at(1));
    assert!(management.resume(at(1)).is_some());
    let element = sm(&format!("resumed previd='x' h='{h}'"));
    management.resumed(at(1), &element).unwrap()
}

#[test]
fn a_stanza_on_three_links_that_died_is_not_sent_again() {
    let mut management = on();
    send(&mut management, [1, 2]);
    let resumed = lose_and_resume(&mut management, 0);
    assert_eq!((resumed.resend.len(), resumed.failed), (2, vec![]));
    send(&mut management, [3]);
    // The second one got through.
    let resumed = lose_and_resume(&mut management, 0);
    assert_eq!((resumed.resend.len(), resumed.failed), (3, vec![]));
    let resumed = lose_and_resume(&mut management, 1);
    assert_eq!(resumed.acked, tokens([1]));
    assert_eq!(resumed.failed, tokens([2]));
    assert_eq!(resumed.resend.len(), 1);
    // What is left out has no number.
    assert_eq!(management.sent_count(), 2);
    assert_eq!(management.handle(at(2), &sm("a h='2'")), acked([3]));
}

#[test]
fn a_link_that_died_before_it_was_resumed_carried_nothing() {
    let mut management = on();
    send(&mut management, [1]);
    for _ in 0..10 {
        management.link_lost(at(1));
        assert!(management.resume(at(1)).is_some());
    }
    let resumed = management.resumed(at(1), &sm("resumed previd='x' h='0'")).unwrap();
    assert_eq!(resumed.resend.len(), 1);
}

fn not_resumed(management: &mut StreamManagement, failed: &str) -> NotResumed {
    management.link_lost(at(1));
    assert!(management.resume(at(1)).is_some());
    management.resume_failed(&xml(failed)).unwrap()
}

const GONE: &str = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";

#[test]
fn a_lost_session_whose_count_is_known() {
    let mut management = on();
    send(&mut management, [1, 2]);
    management.sent(
        at(0),
        &Outgoing {
            xml: "<presence xmlns='jabber:client'/>".to_string(),
            ..message(3)
        },
        None,
    );
    management.sent(at(0), &message(4), Some(1_795_305_600_000));
    management.sent(at(0), &message(5), None);
    let failed = format!("<failed xmlns='urn:xmpp:sm:3' h='2'>{GONE}</failed>");
    let NotResumed { condition, settled, .. } = not_resumed(&mut management, &failed);
    assert_eq!(condition.as_deref(), Some("item-not-found"));
    assert_eq!(settled.acked, tokens([1, 2]));
    assert_eq!(settled.failed, tokens([3]));
    let stamped = "<message xmlns='jabber:client' to='a@b'><body>4</body>\
        <delay xmlns='urn:xmpp:delay' stamp='2026-11-22T00:00:00Z'/></message>";
    let again: Vec<_> = settled
        .again
        .iter()
        .map(|outgoing| (outgoing.token, outgoing.xml.as_str()))
        .collect();
    assert_eq!(
        again,
        [(Some(Token(4)), stamped), (Some(Token(5)), message(5).xml.as_str())]
    );
    // A new session counts from nothing.
    management.enabling(at(2));
    assert_eq!((management.sent_count(), management.handled_count()), (0, 0));
    assert!(!management.can_resume(at(2)));
}

#[test]
fn a_lost_session_of_which_nothing_is_known() {
    let failed = format!("<failed xmlns='urn:xmpp:sm:3'>{GONE}</failed>");
    let mut management = on();
    send(&mut management, [1, 2]);
    let settled = not_resumed(&mut management, &failed).settled;
    assert_eq!(settled.failed, tokens([1, 2]));
    assert!(settled.again.is_empty() && settled.acked.is_empty());

    let mut management = on_with(config::StreamManagement {
        resend_uncertain: true,
        ..config::StreamManagement::default()
    });
    send(&mut management, [1, 2]);
    let settled = not_resumed(&mut management, &failed).settled;
    assert_eq!(settled.failed, []);
    assert_eq!(settled.again.len(), 2);
}

#[test]
fn a_lost_session_whose_count_cannot_be() {
    for (h, expected) in [
        ("7", PeerMisbehaved::HandledCount { handled: 7, sent: 1 }),
        ("x", misbehaved("failed")),
    ] {
        let mut management = on();
        send(&mut management, [1]);
        management.link_lost(at(1));
        assert!(management.resume(at(1)).is_some());
        let failed = sm(&format!("failed h='{h}'"));
        assert_eq!(management.resume_failed(&failed).unwrap_err(), expected);
        management.link_lost(at(2));
        assert!(!management.can_resume(at(2)));
        assert_eq!(management.reset().failed, tokens([1]));
    }
}

#[test]
fn a_message_that_goes_from_session_to_session_keeps_its_time_and_its_links() {
    let settings = config::StreamManagement {
        resend_uncertain: true,
        ..config::StreamManagement::default()
    };
    let mut management = on_with(settings);
    send(&mut management, [1]);
    management.link_lost(at(1));
    for links in 2..=3 {
        let settled = management.reset();
        let [again] = settled.again.as_slice() else {
            panic!("not sent again on link {links}");
        };
        assert_eq!(again.xml.matches("<delay").count(), 1);
        assert!(again.xml.contains("stamp='1970-01-01T00:00:00Z'"));
        management.use_pings(at(2));
        management.sent(at(2), again, Some(5_000));
        management.link_lost(at(3));
    }
    assert_eq!(management.reset().failed, tokens([1]));
}

#[test]
fn nothing_is_left_after_a_reset() {
    let mut management = on();
    send(&mut management, [1]);
    management.received(Handling::Later(Token(2)));
    assert_eq!(management.reset().failed, tokens([1]));
    assert_eq!(management.strategy(), Strategy::Off);
    assert_eq!((management.kept().count(), management.unacknowledged_bytes()), (0, 0));
    assert!(!management.handled(Token(2)));
    assert!(!management.is_resumable());
    assert_eq!(deadline(&management), None);
}

// --- What survives a process.

#[test]
fn a_restored_session_goes_on() {
    let mut management = on();
    send(&mut management, [1, 2]);
    management.received(Handling::Now);
    let state = management.state().unwrap();
    let mut restored = StreamManagement::restore(config::StreamManagement::default(), 1_000, state.clone(), at(50));
    assert_eq!(restored.state(), Some(state));
    assert_eq!(restored.unacknowledged_bytes(), management.unacknowledged_bytes());
    assert_eq!(
        restored.resume(at(50)).unwrap().to_xml(),
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='1'/>"
    );
    let resumed = restored.resumed(at(51), &sm("resumed previd='x' h='1'")).unwrap();
    assert_eq!(resumed.acked, tokens([1]));
    assert_eq!(resumed.resend.len(), 1);
}

#[test]
fn a_snapshot_with_an_id_that_is_no_xml_resumes_nothing() {
    let mut state = on().state().unwrap();
    state.session.as_mut().unwrap().id = Secret::from("\0");
    let mut restored = StreamManagement::restore(config::StreamManagement::default(), 1_000, state, at(0));
    assert_eq!(restored.resume(at(0)), None);
}

#[test]
fn the_session_id_is_not_shown() {
    let mut management = new();
    management.enabling(at(0));
    let _ = management
        .handle(at(0), &sm("enabled id='hush' resume='true'"))
        .unwrap();
    send(&mut management, [1]);
    assert!(!format!("{management:?}").contains("hush"));
    assert!(!format!("{management:?}").contains("body"));
    assert!(!format!("{:?}", management.state().unwrap().session).contains("hush"));
}
