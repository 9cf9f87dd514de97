//! What a hostile connection manager, a proxy in between, or the host itself may do over BOSH, and what the client does then:
//! one test for each behaviour.

#[cfg(test)]
#[path = "pair/desk.rs"]
mod desk;

#[cfg(test)]
mod tests {
    use epode::config::{Attach, AttachKeys, Bosh, ConfigError, Limits, MechanismPolicy, Timeouts};
    use epode::error::{ConnectionError, IqError, Misuse, PeerIncompatible, PeerMisbehaved, SessionEnd, TlsError};
    use epode::xml::XmlLimits;
    use epode::{
        Client, Config, Credentials, Element, Event, Failure, Input, Instant, LinkId, LinkInfo, Offline, Output,
        Refused, RequestId, Stage, TlsFacts, Token, Warning, stanza,
    };

    use crate::desk::{CREATED, Desk, LINK, MECHANISMS, config, message};

    const NS: &str = "xmlns='http://jabber.org/protocol/httpbind'";

    fn usual(_: &mut Bosh) {}

    fn online() -> Desk {
        Desk::online(config(usual), CREATED)
    }

    fn condition(desk: &Desk) -> Option<&str> {
        match desk.offline() {
            Some(Offline::Ended(SessionEnd { condition, .. })) => condition.as_deref(),
            _ => None,
        }
    }

    // ---- answers

    #[test]
    fn a_response_to_an_unknown_request_is_dropped() {
        let mut desk = online();
        let (before, request) = (desk.posts.len(), desk.open[&1004].0);
        for unknown in [RequestId(0), RequestId(9_999), RequestId(u64::MAX), desk.posts[0].1] {
            desk.late(unknown, 200, &format!("<body {NS}>{}</body>", message(1)), None);
            desk.late(unknown, 500, "", None);
        }
        assert_eq!((desk.heard(), desk.posts.len(), desk.offline()), (vec![], before, None));
        assert_eq!(desk.open[&1004].0, request);
    }

    #[test]
    fn a_response_that_comes_twice_is_processed_once() {
        let mut desk = online();
        let (request, _) = desk.open.remove(&1004).unwrap();
        for _ in 0..2 {
            desk.late(request, 200, &format!("<body {NS}>{}</body>", message(1)), None);
        }
        assert_eq!((desk.heard(), desk.rids()), (vec![1], vec![1005]));
    }

    #[test]
    fn a_response_that_is_missing_forever_holds_back_no_more_than_the_window() {
        let created = CREATED.replace("requests='2'", "requests='4'");
        let mut desk = Desk::online(config(usual), &created);
        for number in 0..50 {
            desk.say(number);
            for rid in desk.rids().into_iter().filter(|rid| *rid != 1004) {
                desk.answer(rid, "", &message(number));
            }
        }
        assert_eq!((desk.rids(), desk.heard()), (vec![1004], vec![]));
        assert_eq!(desk.posts.last().unwrap().0, 1007);
        desk.wait(3_600_000);
        let gave_up = Offline::Connection(ConnectionError::GaveUp { attempts: 6 });
        assert_eq!(desk.offline(), Some(&gave_up));
    }

    #[test]
    fn a_response_that_never_comes_is_asked_for_again_a_few_times() {
        let mut desk = online();
        let before = desk.posts.len();
        desk.wait(69_999);
        assert_eq!(desk.posts.len(), before);
        desk.wait(1);
        assert_eq!((desk.posts.len(), desk.rids()), (before + 1, vec![1004]));
        desk.wait(3_600_000);
        assert_eq!(desk.posts.len(), before + 5);
        assert!(matches!(
            desk.offline(),
            Some(Offline::Connection(ConnectionError::GaveUp { attempts: 6 }))
        ));
    }

    #[test]
    fn a_response_that_is_cut_off_delivers_nothing_and_is_asked_for_again() {
        let mut desk = online();
        let whole = format!("<body {NS}>{}{}</body>", message(1), message(2));
        desk.raw(1004, 200, whole.split_at(whole.len() - 10).0);
        assert_eq!((desk.heard(), desk.rids()), (vec![], vec![1004]));
        desk.raw(1004, 200, &whole);
        assert_eq!(desk.heard(), [1, 2]);
    }

    #[test]
    fn recoverable_errors_without_end_are_an_end() {
        let mut desk = online();
        let before = desk.posts.len();
        while desk.offline().is_none() {
            desk.wait(60_000);
            if desk.open.contains_key(&1004) {
                desk.answer(1004, "type='error'", "");
            }
        }
        assert_eq!(desk.posts.len(), before + 5);
        assert!(matches!(
            desk.offline(),
            Some(Offline::Connection(ConnectionError::GaveUp { attempts: 6 }))
        ));
    }

    // ---- parameters

    #[test]
    fn parameters_beyond_ours_are_cut_to_ours() {
        let created = "sid='s' wait='65535' hold='255' requests='255' inactivity='0' polling='65535' ver='1.6' ack='1'";
        let mut desk = Desk::online(config(usual), created);
        for number in 0..20 {
            desk.say(number);
        }
        assert_eq!(desk.rids(), [1004, 1005, 1006, 1007]);
        // Our own `wait` counts for the time that an answer may take.
        desk.wait(69_999);
        assert_eq!(desk.posts.len(), 8);
        desk.wait(1);
        assert_eq!(desk.posts.len(), 12);
    }

    #[test]
    fn an_interval_longer_than_the_session_lives_does_not_let_it_die() {
        let created = "sid='s' wait='0' hold='0' requests='1' inactivity='20' polling='65535' ver='1.6'";
        let mut desk = Desk::online(config(|bosh| bosh.hold = 0), created);
        desk.answer(1004, "", "");
        desk.wait(19_999);
        assert_eq!(desk.rids(), [1005]);
        // One that is no longer is kept to the second.
        let mut desk = Desk::online(config(|bosh| bosh.hold = 0), &created.replace("65535", "18"));
        desk.answer(1004, "", "");
        desk.wait(17_999);
        assert!(desk.rids().is_empty());
        desk.wait(1);
        assert_eq!(desk.rids(), [1005]);
    }

    #[test]
    fn fewer_requests_than_are_held_leave_none_beyond_the_allowed() {
        let created = CREATED.replace("requests='2'", "requests='1'");
        let mut desk = Desk::online(config(|bosh| bosh.hold = 3), &created);
        desk.say(1);
        assert_eq!(desk.rids(), [1004]);
        let mut desk = Desk::new(config(usual));
        desk.answer(1000, &CREATED.replace("requests='2'", "requests='0'"), MECHANISMS);
        let refused = Offline::Incompatible(PeerIncompatible::SessionParameters);
        assert_eq!(desk.offline(), Some(&refused));
    }

    #[test]
    fn session_parameters_in_a_later_response_are_ignored() {
        let mut desk = online();
        desk.answer(
            1004,
            "sid='other' wait='1' requests='9' hold='9' polling='900' inactivity='1'",
            "",
        );
        assert!(desk.open[&1005].1.contains("sid='s1'"));
        for number in 0..9 {
            desk.say(number);
        }
        assert_eq!(desk.rids(), [1005, 1006]);
    }

    #[test]
    fn acknowledgements_and_reports_that_cannot_be_are_ignored() {
        let mut desk = online();
        let before = desk.posts.len();
        let token = desk.say(1);
        for (rid, said) in [
            "ack='99999'",
            "ack='-1' report='1'",
            "ack='x' report='99999' time='-5'",
            "ack='9007199254740993' report='18446744073709551616'",
            "report='1001' time='1'",
        ]
        .into_iter()
        .enumerate()
        {
            desk.answer(1004 + u64::try_from(rid).unwrap(), said, "");
            desk.say(rid);
        }
        // Each request was posted once, and the message counts as delivered by its own answer only.
        let mut rids: Vec<u64> = desk.posts.iter().map(|(rid, ..)| *rid).collect();
        assert!(rids.len() > before && desk.stage(token) == Some(Stage::Acked));
        rids.dedup();
        assert_eq!(rids.len(), desk.posts.len());
    }

    #[test]
    fn request_numbers_end_before_they_overflow() {
        let last = (1 << 53) - 1;
        let mut desk = Desk::new(config(|bosh| bosh.first_rid = Some(last - 2)));
        desk.answer(last - 2, CREATED, MECHANISMS);
        desk.answer(last - 1, "", "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        let exhausted = Offline::Connection(ConnectionError::RequestIdsExhausted);
        assert_eq!(desk.offline(), Some(&exhausted));
        // The server hears of it, under the last number there is.
        let goodbye = format!("rid='{last}' sid='s1' type='terminate'></body>");
        assert!(desk.open[&last].1.ends_with(&goodbye), "{}", desk.open[&last].1);
        assert!(desk.posts.iter().all(|(rid, ..)| *rid <= last));
        let mut desk = Desk::new(config(|bosh| bosh.first_rid = Some(last)));
        desk.answer(last, CREATED, MECHANISMS);
        assert_eq!((desk.offline(), desk.posts.len()), (Some(&exhausted), 1));
    }

    #[test]
    fn empty_answers_at_once_are_spaced_out_and_reported() {
        let mut desk = online();
        let until = desk.now + 60_000;
        let mut answers = 0;
        while desk.now < until {
            for rid in desk.rids() {
                desk.answer(rid, "", "");
                answers += 1;
            }
            desk.wait(10);
        }
        assert!((5..40).contains(&answers), "{answers}");
        let hurried = |event: &&Event| matches!(event, Event::Warning(Warning::Hurried));
        assert_eq!(desk.events.iter().filter(hurried).count(), 1);
        assert_eq!(desk.offline(), None);
    }

    // ---- HTTP

    #[test]
    fn answers_that_are_no_bosh_end_the_session_soon() {
        for portal in [
            "",
            "<!DOCTYPE html><html><p>Log in, please</p></html>",
            "<html/>",
            "\u{1f}\u{8b}\u{8}",
            "<body/>",
            " ",
        ] {
            let mut desk = online();
            desk.raw(1004, 200, portal);
            assert_eq!(desk.rids(), [1004], "{portal}");
            desk.raw(1004, 200, portal);
            let no_bosh = Offline::Connection(ConnectionError::NotBosh { status: 200 });
            assert_eq!(desk.offline(), Some(&no_bosh));
            let mut desk = Desk::new(config(usual));
            desk.raw(1000, 200, portal);
            assert_eq!(desk.offline(), Some(&no_bosh));
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused() {
        let limits = Limits {
            bosh_body: 10_000,
            ..Limits::default()
        };
        let mut desk = Desk::online(config(usual).limits(limits), CREATED);
        desk.answer(1004, "", &message(1).repeat(200));
        assert!(matches!(
            desk.offline(),
            Some(Offline::Misbehaved(PeerMisbehaved::Xml(_)))
        ));
        assert!(desk.heard().is_empty());
    }

    #[test]
    fn a_login_page_or_a_redirect_gets_no_second_request() {
        for status in [301, 302, 307, 401, 407] {
            let mut desk = online();
            let before = desk.posts.len();
            desk.raw(1004, status, "");
            let refused = Offline::Connection(ConnectionError::HttpStatus(status));
            assert_eq!((desk.offline(), desk.posts.len()), (Some(&refused), before));
        }
    }

    #[test]
    fn a_server_certificate_that_changes_ends_the_session_without_a_word() {
        let facts = |byte| {
            Some(TlsFacts {
                server_certificate_sha256: Some([byte; 32]),
                ..TlsFacts::default()
            })
        };
        let mut desk = online();
        let (request, _) = desk.open.remove(&1004).unwrap();
        desk.late(request, 200, &format!("<body {NS}/>"), facts(1));
        let (request, _) = desk.open.remove(&1005).unwrap();
        let before = desk.posts.len();
        desk.late(request, 200, &format!("<body {NS}>{}</body>", message(1)), facts(2));
        assert_eq!(desk.offline(), Some(&Offline::Tls(TlsError::CertificateChanged)));
        assert_eq!((desk.posts.len(), desk.heard()), (before, vec![]));
    }

    #[test]
    fn addresses_that_are_no_https_urls_are_refused() {
        for (url, expected) in [
            ("http://example.org/bosh", ConfigError::PlaintextUrl),
            ("javascript:alert(1)", ConfigError::Url),
            ("ws://example.org/bosh", ConfigError::Url),
            ("https://juliet:secret@example.org/bosh", ConfigError::Url),
            ("file:///etc/passwd", ConfigError::Url),
            ("https:///bosh", ConfigError::Url),
        ] {
            let built = config(|bosh| bosh.url = url.to_owned()).build();
            assert_eq!(built.err(), Some(expected), "{url}");
        }
    }

    #[test]
    fn sessions_that_cannot_be_are_not_attached_to() {
        let attach = || Attach {
            sid: "s1".into(),
            next_rid: 1000,
            jid: "juliet@example.org/balcony".to_owned(),
            wait: 60,
            hold: 1,
            requests: 2,
            inactivity: None,
            polling: None,
            maxpause: None,
            acknowledges: false,
            keys: None,
        };
        let build = |change: fn(&mut Attach)| {
            let mut session = attach();
            change(&mut session);
            config(|bosh| bosh.attach = Some(session.into())).build()
        };
        let shown = format!("{:?}", build(|_| {}).unwrap());
        assert!(!shown.contains("s1"), "{shown}");
        let impossible: [fn(&mut Attach); 9] = [
            |attach| attach.sid = "".into(),
            |attach| attach.sid = "a\0b".into(),
            |attach| attach.sid = vec![0xFF].into(),
            |attach| attach.next_rid = 0,
            |attach| attach.next_rid = 1 << 53,
            |attach| attach.jid = "juliet@example.org".to_owned(),
            |attach| attach.jid = "@".to_owned(),
            |attach| attach.requests = 0,
            |attach| {
                attach.keys = Some(AttachKeys {
                    seed: "x".into(),
                    next: 0,
                });
            },
        ];
        for change in impossible {
            assert_eq!(build(change).err(), Some(ConfigError::Attach));
        }
    }

    #[test]
    fn another_stream_of_the_session_cannot_speak_for_ours() {
        let mut desk = Desk::online(config(usual), &format!("{CREATED} stream='one'"));
        desk.answer(1004, "stream='two'", &message(1));
        desk.answer(
            1005,
            "stream='two' type='terminate' condition='see-other-uri'",
            "<uri>https://evil.example/</uri>",
        );
        desk.answer(1006, "stream='one'", &message(2));
        assert_eq!((desk.heard(), desk.offline()), (vec![2], None));
    }

    #[test]
    fn another_address_is_never_followed() {
        for uri in [
            "https://evil.example/cm",
            "http://example.org/bosh",
            "http://x/?https:",
            "javascript:x",
        ] {
            let mut desk = online();
            let before = desk.posts.len();
            desk.answer(
                1004,
                "type='terminate' condition='see-other-uri'",
                &format!("<uri>{uri}</uri>"),
            );
            desk.wait(3_600_000);
            assert_eq!((condition(&desk), desk.posts.len()), (Some("see-other-uri"), before));
        }
    }

    // ---- bodies

    #[test]
    fn a_body_that_is_not_one_element_of_elements_is_refused() {
        let inner = message(1);
        for broken in [
            format!("<body {NS}>text{inner}</body>"),
            format!("<body {NS}>{inner}text</body>"),
            format!("<body {NS}>{inner}</body><body {NS}/>"),
            format!("<body {NS}><!-- c -->{inner}</body>"),
            format!("<body {NS}>{inner}<![CDATA[x]]></body>"),
            format!("<body {NS}><body>{inner}</body></body>"),
            format!("<body {NS}><body xmlns='jabber:client'/><x/></body>"),
        ] {
            let mut desk = online();
            desk.raw(1004, 200, &broken);
            assert!(matches!(desk.offline(), Some(Offline::Misbehaved(_))), "{broken}");
            assert!(desk.heard().is_empty(), "{broken}");
        }
        let mut desk = online();
        for _ in 0..2 {
            desk.raw(
                1004,
                200,
                &format!("<!DOCTYPE body [<!ENTITY a 'b'>]><body {NS}>{inner}</body>"),
            );
        }
        assert!(desk.offline().is_some() && desk.heard().is_empty());
    }

    #[test]
    fn a_condition_that_is_not_known_is_not_repeated() {
        for text in [
            "<script>",
            "x\u{202e}y",
            "item-not-found ",
            "Item-Not-Found",
            &"a".repeat(5_000),
        ] {
            let mut desk = online();
            let said = text.replace('<', "&lt;");
            desk.answer(1004, &format!("type='terminate' condition='{said}'"), "");
            assert_eq!(condition(&desk), Some("undefined-condition"));
        }
    }

    #[test]
    fn only_stanzas_are_taken_from_the_namespace_of_the_body() {
        for impostor in ["features", "success", "error", "challenge", "uri", "enabled", "r"] {
            let mut desk = online();
            desk.answer(1004, "", &format!("<{impostor}/>"));
            assert!(
                matches!(
                    desk.offline(),
                    Some(Offline::Misbehaved(PeerMisbehaved::BoshPayload { .. }))
                ),
                "{impostor}"
            );
        }
    }

    #[test]
    fn a_session_that_the_server_does_not_know_is_not_opened_again() {
        let mut desk = online();
        let before = desk.posts.len();
        desk.answer(1004, "type='terminate' condition='item-not-found'", "");
        desk.wait(3_600_000);
        assert_eq!((condition(&desk), desk.posts.len()), (Some("item-not-found"), before));
    }

    // ---- floods and back-pressure

    #[test]
    fn a_flood_of_requests_gets_one_answer_each_or_an_end() {
        let iq = |id: usize| {
            format!("<iq xmlns='jabber:client' type='get' id='{id}' from='a@b.example'><x xmlns='urn:x'/></iq>")
        };
        let mut desk = online();
        desk.answer(1004, "", &(0..500).map(iq).collect::<String>());
        for rid in 1005..1008 {
            desk.answer(rid, "", "");
        }
        let said: String = desk.posts.iter().map(|(_, _, body)| body.as_str()).collect();
        assert_eq!(said.matches("service-unavailable").count(), 500);
        // Whoever does not let the answers leave is not remembered for ever.
        let limits = Limits {
            outbound_queue: 20_000,
            ..Limits::default()
        };
        let mut desk = Desk::online(config(usual).limits(limits), CREATED);
        desk.answer(1004, "", &(0..500).map(iq).collect::<String>());
        assert_eq!(
            desk.offline(),
            Some(&Offline::Misbehaved(PeerMisbehaved::TooManyRequests))
        );
    }

    #[test]
    fn a_full_queue_refuses_and_says_when_there_is_room() {
        let limits = Limits {
            outbound_queue: 1_000,
            outbound_stanza: 2_000,
            ..Limits::default()
        };
        let mut desk = Desk::online(config(usual).limits(limits), CREATED);
        let text = |length: usize| stanza::chat(&"romeo@example.net".parse().unwrap(), &"x".repeat(length)).unwrap();
        let (first, second) = (text(300), text(300));
        desk.handle(Input::Send { stanza: first }).unwrap();
        desk.handle(Input::Send { stanza: second }).unwrap();
        let third = text(300);
        assert_eq!(desk.handle(Input::Send { stanza: third.clone() }), Err(Refused::Full));
        let writable = |desk: &Desk| {
            desk.events
                .iter()
                .filter(|event| matches!(event, Event::Writable))
                .count()
        };
        assert_eq!(writable(&desk), 0);
        desk.answer(1004, "", "");
        desk.answer(1005, "", "");
        // Half of it has to be free: room for one stanza at a time would be asked for all the time.
        assert_eq!(writable(&desk), 0);
        desk.answer(1006, "", "");
        assert_eq!(writable(&desk), 1);
        desk.handle(Input::Send { stanza: third }).unwrap();
        // What would never fit is not to be tried again.
        for (length, maximum) in [(1_500, 1_000), (5_000, 1_000)] {
            let stanza = text(length);
            let refused = desk.handle(Input::Send { stanza });
            assert!(matches!(refused, Err(Refused::TooLarge { maximum: at_most, .. }) if at_most == maximum));
        }
    }

    #[test]
    fn a_full_table_of_requests_says_when_there_is_room() {
        let limits = Limits {
            pending_requests: 2,
            ..Limits::default()
        };
        let mut desk = Desk::online(config(usual).limits(limits), CREATED);
        let ask = || {
            let iq = stanza::get(None, Element::builder("urn:x", "x")).unwrap();
            Input::Request { iq, timeout: None }
        };
        let first = desk.handle(ask()).unwrap().unwrap();
        desk.handle(ask()).unwrap();
        assert_eq!(desk.handle(ask()), Err(Refused::Full));
        assert!(!desk.events.contains(&Event::Writable));
        desk.handle(Input::Cancel { token: first }).unwrap();
        assert!(desk.events.contains(&Event::Writable));
        desk.handle(ask()).unwrap();
    }

    #[test]
    fn a_cancelled_request_that_waits_is_never_sent() {
        let mut desk = online();
        // Both requests are under way, so the third stanza has to wait.
        desk.say(1);
        let iq = stanza::set(None, Element::builder("urn:x", "launch")).unwrap();
        let token = desk.handle(Input::Request { iq, timeout: None }).unwrap().unwrap();
        desk.handle(Input::Cancel { token }).unwrap();
        desk.answer(1004, "", "");
        desk.answer(1005, "", "");
        assert!(desk.posts.iter().all(|post| !format!("{post:?}").contains("launch")));
    }

    #[test]
    fn pings_to_a_busy_sender_do_not_end_its_session() {
        let limits = Limits {
            outbound_queue: 1_000,
            ..Limits::default()
        };
        let mut desk = Desk::online(config(usual).limits(limits), CREATED);
        let text = |length: usize| stanza::chat(&"romeo@example.net".parse().unwrap(), &"x".repeat(length)).unwrap();
        while desk.handle(Input::Send { stanza: text(100) }).is_ok() {}
        let ping = |id: u32| {
            format!("<iq xmlns='jabber:client' type='get' from='a@b' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>")
        };
        desk.answer(1004, "", &(ping(1) + &ping(2) + &ping(3)));
        assert_eq!(desk.offline(), None);
    }

    #[test]
    fn a_body_of_more_elements_than_a_server_sends_is_refused() {
        let mut desk = online();
        desk.answer(1004, "", &"<iq/>".repeat(70_000));
        assert!(matches!(
            desk.offline(),
            Some(Offline::Misbehaved(PeerMisbehaved::Xml(_)))
        ));
        assert!(desk.heard().is_empty());
    }

    #[test]
    fn output_that_nobody_takes_stops_the_reading() {
        let limits = Limits {
            inbound_queue: 100_000,
            ..Limits::default()
        };
        let mut desk = Desk::online(config(usual).limits(limits), CREATED);
        assert!(desk.client.wants_read());
        let (request, _) = desk.open.remove(&1004).unwrap();
        let many: String = (0..2_000).map(message).collect();
        let answer = Input::Responded {
            link: LINK,
            request,
            status: 200,
            body: format!("<body {NS}>{many}</body>").into_bytes().into(),
            tls: None,
        };
        let now = Instant::from_millis(desk.now);
        desk.client.handle(now, answer).unwrap();
        assert!(!desk.client.wants_read());
        // Output that waits is the first thing to do.
        assert_eq!(desk.client.deadline().map(|(at, _)| at), Some(now));
        while desk.client.next().is_some() {}
        assert!(desk.client.wants_read());
    }

    #[test]
    fn a_host_that_does_not_read_stops_the_clocks() {
        let mut desk = online();
        let (link, posts) = (LINK, desk.posts.len());
        desk.wait(60_000);
        desk.handle(Input::Reading { link, reading: false }).unwrap();
        desk.handle(Input::Reading { link, reading: false }).unwrap();
        desk.wait(86_400_000);
        assert_eq!((desk.posts.len(), desk.offline()), (posts, None));
        desk.handle(Input::Reading { link, reading: true }).unwrap();
        desk.wait(9_999);
        assert_eq!(desk.posts.len(), posts);
        desk.wait(1);
        assert_eq!(desk.posts.len(), posts + 1);
    }

    // ---- the host

    #[test]
    fn a_clock_that_runs_backwards_stands_still() {
        let mut desk = online();
        let (posts, deadline) = (desk.posts.len(), desk.client.deadline());
        let now = desk.now;
        for earlier in [now - 500, 0, now - 1] {
            desk.now = earlier;
            desk.handle(Input::Reading {
                link: LinkId(99),
                reading: true,
            })
            .unwrap();
            assert_eq!((desk.posts.len(), desk.client.deadline()), (posts, deadline));
        }
        desk.say(1);
        desk.now = now;
        desk.wait(69_999);
        assert_eq!(desk.posts.len(), posts + 1);
        desk.wait(1);
        assert_eq!(desk.posts.len(), posts + 3);
        // The end of time is no place to overflow.
        desk.now = u64::MAX;
        for _ in 0..20 {
            let _ = desk.client.handle(Instant::from_millis(u64::MAX), Input::Tick);
            while desk.client.next().is_some() {}
        }
    }

    #[test]
    fn whatever_comes_after_the_end_is_ignored() {
        let mut desk = online();
        let (request, _) = desk.open[&1004].clone();
        desk.handle(Input::Ended { link: LINK }).unwrap();
        assert_eq!(desk.offline(), Some(&Offline::Connection(ConnectionError::Closed)));
        desk.late(request, 200, &format!("<body {NS}>{}</body>", message(1)), None);
        let (link, token) = (LINK, Token(1));
        let info = LinkInfo::verified("example.org");
        for late in [
            Input::Connected { link, info },
            Input::Ended { link },
            Input::Failed {
                link,
                request: None,
                reason: Failure::Reset,
            },
            Input::Reading { link, reading: false },
            Input::Tick,
            Input::Stop,
            Input::Cancel { token },
        ] {
            desk.handle(late).unwrap();
        }
        assert_eq!((desk.heard(), desk.client.deadline()), (vec![], None));
    }

    #[test]
    fn stanzas_outside_a_session_are_refused_or_wait_for_it() {
        let chat = || stanza::chat(&"romeo@example.net".parse().unwrap(), "wait for me").unwrap();
        let mut client = Client::new(config(usual).build().unwrap(), [1; 32]);
        let now = Instant::from_millis(1);
        assert_eq!(
            client.handle(now, Input::Send { stanza: chat() }),
            Err(Refused::NotStarted)
        );
        let mut desk = Desk::new(config(usual));
        desk.handle(Input::Send { stanza: chat() }).unwrap();
        let stanza = stanza::available().unwrap();
        assert_eq!(desk.handle(Input::Send { stanza }), Err(Refused::NotStarted));
        desk.answer(1000, CREATED, MECHANISMS);
        desk.log_in(1001);
        let with_it: Vec<u64> = desk
            .posts
            .iter()
            .filter(|post| post.2.contains("wait for me"))
            .map(|post| post.0)
            .collect();
        // In the first request after the one that binds.
        assert_eq!(with_it, [1004]);
        desk.handle(Input::Stop).unwrap();
        assert_eq!(desk.handle(Input::Send { stanza: chat() }), Err(Refused::NotStarted));
        let iq = stanza::get(None, Element::builder("urn:x", "x")).unwrap();
        assert_eq!(
            desk.handle(Input::Request { iq, timeout: None }),
            Err(Refused::NotStarted)
        );
    }

    #[test]
    fn inputs_that_break_the_contract_change_nothing() {
        let mut desk = online();
        let before = desk.posts.len();
        assert_eq!(desk.handle(Input::Start), Err(Refused::Misuse(Misuse::AlreadyStarted)));
        let (link, token) = (LINK, Token(77));
        let info = LinkInfo::default();
        assert_eq!(
            desk.handle(Input::Connected { link, info }),
            Err(Refused::Misuse(Misuse::AlreadyConnected))
        );
        let result = Ok(None);
        assert_eq!(
            desk.handle(Input::Respond { token, result }),
            Err(Refused::Misuse(Misuse::UnknownToken))
        );
        for bad in [
            "<iq xmlns='jabber:client' type='get'/>",
            "<message xmlns='evil'/>",
            "<x xmlns='jabber:client'/>",
        ] {
            let stanza = Element::parse(bad, &XmlLimits::default()).unwrap();
            assert!(
                matches!(desk.handle(Input::Send { stanza }), Err(Refused::Invalid { .. })),
                "{bad}"
            );
        }
        assert_eq!((desk.posts.len(), desk.offline()), (before, None));
    }

    #[test]
    fn markup_in_text_and_attributes_stays_what_it_was() {
        for text in ["</body><iq/>", "]]>", "'\"&<>", "\u{10FFFF}\t\n"] {
            let mut desk = online();
            let stanza = stanza::chat(&"romeo@example.net".parse().unwrap(), text).unwrap();
            desk.handle(Input::Send { stanza }).unwrap();
            let body = Element::parse(&desk.open[&1005].1, &XmlLimits::default()).unwrap();
            let payloads: Vec<_> = body.children().collect();
            assert_eq!(payloads.len(), 1);
            assert_eq!(payloads[0].child("jabber:client", "body").unwrap().text(), text);
        }
        for text in ["\0", "\u{1}", "\u{FFFE}"] {
            assert!(stanza::chat(&"romeo@example.net".parse().unwrap(), text).is_err());
        }
    }

    #[test]
    fn raw_xml_is_one_element_or_nothing() {
        for injection in [
            "<message xmlns='jabber:client'/><iq xmlns='jabber:client'/>",
            "<message xmlns='jabber:client'/></body><body>",
            "<message xmlns='jabber:client'>",
            "text",
            "",
            "<!DOCTYPE x><message xmlns='jabber:client'/>",
            "<p:message/>",
        ] {
            assert!(Element::parse(injection, &XmlLimits::default()).is_err(), "{injection}");
        }
    }

    #[test]
    fn a_request_that_the_application_forgets_is_refused_once() {
        let timeouts = Timeouts {
            iq: std::time::Duration::from_secs(20),
            ..Timeouts::default()
        };
        let mut desk = Desk::online(config(usual).answers("urn:x").timeouts(timeouts), CREATED);
        desk.answer(
            1004,
            "",
            "<iq xmlns='jabber:client' type='get' id='q1' from='a@b.example/c'><x xmlns='urn:x'/></iq>",
        );
        let Some(Event::Request { token, .. }) =
            desk.events.iter().rfind(|event| matches!(event, Event::Request { .. }))
        else {
            panic!("{:?}", desk.events)
        };
        let token = *token;
        desk.wait(60_000);
        let refusals = |desk: &Desk| {
            let refusal = |post: &&(u64, RequestId, String)| post.2.contains("service-unavailable");
            desk.posts.iter().filter(refusal).count()
        };
        assert_eq!(refusals(&desk), 1);
        let result = Ok(None);
        assert_eq!(
            desk.handle(Input::Respond { token, result }),
            Err(Refused::Misuse(Misuse::UnknownToken))
        );
        desk.wait(60_000);
        // Sent again byte for byte perhaps, but never said in another request.
        let mut rids: Vec<u64> = desk
            .posts
            .iter()
            .filter(|post| post.2.contains("'q1'"))
            .map(|post| post.0)
            .collect();
        rids.dedup();
        assert_eq!(rids.len(), 1);
    }

    #[test]
    fn a_cancelled_request_is_over_once() {
        let mut desk = online();
        let iq = stanza::get(None, Element::builder("urn:x", "x")).unwrap();
        let token = desk.handle(Input::Request { iq, timeout: None }).unwrap().unwrap();
        for _ in 0..2 {
            desk.handle(Input::Cancel { token }).unwrap();
        }
        desk.fail(1005);
        let over = |event: &&Event| matches!(event, Event::IqDone { token: done, result: Err(IqError::Cancelled) } if *done == token);
        assert_eq!(desk.events.iter().filter(over).count(), 1);
    }

    #[test]
    fn credentials_are_not_shown() {
        let secret = "hunter2 is not the password";
        let account: epode::Jid = "juliet@example.org".parse().unwrap();
        let config = || {
            let policy = MechanismPolicy {
                allow_plain: true,
                only: Some(vec!["PLAIN".to_owned()]),
                ..MechanismPolicy::default()
            };
            Config::builder(account.clone())
                .bosh("https://example.org/bosh")
                .credentials(Credentials::password(secret))
                .mechanisms(policy)
        };
        let shown = format!(
            "{:?} {:?} {:?}",
            config(),
            config().build().unwrap(),
            Credentials::password(secret)
        );
        assert!(!shown.contains("hunter2"));
        let client = Client::new(config().build().unwrap(), [3; 32]);
        assert!(!format!("{client:?}").contains("hunter2"));
        let header = epode::record::Header::new(&config().build().unwrap(), &[3; 32]);
        assert!(!header.to_line().contains("hunter2"));
    }

    #[test]
    fn a_client_that_was_not_connected_says_nothing() {
        let mut client = Client::new(config(usual).build().unwrap(), [1; 32]);
        let mut now = 5;
        client.handle(Instant::from_millis(now), Input::Start).unwrap();
        let mut offline = false;
        while let Some((at, _)) = client.deadline() {
            now = now.max(at.as_millis());
            client.handle(Instant::from_millis(now), Input::Tick).unwrap();
            while let Some(output) = client.next() {
                assert!(!matches!(output, Output::Post { .. }), "{output:?}");
                offline |= matches!(output, Output::Event(Event::Offline { .. }));
            }
        }
        assert!(offline);
    }
}
