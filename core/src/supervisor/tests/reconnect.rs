//! After a failure: another place, later, or never.

use super::*;
use crate::config::{Bosh, Reconnect, ReconnectWhen, Transport};
use crate::error::{LoginError, TlsError};
use crate::input::Network;
use core::time::Duration;

fn two_places() -> ConfigBuilder {
    Config::builder("u@example.org".parse().unwrap())
        .credentials(Credentials::password("x"))
        .tcp("a.example.net", 5222, TcpTls::StartTls)
        .tcp("b.example.net", 5223, TcpTls::Direct)
}

fn one_place() -> ConfigBuilder {
    Config::builder("u@example.org".parse().unwrap())
        .credentials(Credentials::password("x"))
        .tcp("a.example.net", 5222, TcpTls::StartTls)
}

fn bed(builder: ConfigBuilder) -> Bed {
    Bed::new(builder.build().unwrap())
}

fn online(builder: ConfigBuilder) -> Bed {
    let mut bed = bed(builder);
    bed.attempt();
    bed.online();
    bed
}

fn retry_in(bed: &Bed, verdict: &Verdict) -> u64 {
    let Verdict::Retry { at: Some(at), .. } = verdict else {
        panic!("{verdict:?}")
    };
    at.since(bed.now).as_millis().try_into().unwrap()
}

#[test]
fn the_next_place_at_once() {
    let mut bed = bed(two_places());
    let first = bed.attempt();
    assert!(!first.last);
    assert_eq!(bed.failed(Failure::Refused), another());
    let second = bed.attempt();
    assert_eq!(
        (short(&second.endpoint).as_str(), second.last),
        ("tls b.example.net 5223", true)
    );
    assert_eq!(bed.next(), Next::Wait, "there is a link");
}

#[test]
fn a_rejected_certificate_may_be_right_elsewhere() {
    let mut bed = bed(two_places());
    bed.attempt();
    let reason = "expired".to_string();
    assert_eq!(
        bed.failed(Failure::CertificateRejected { reason: reason.clone() }),
        another()
    );
    bed.attempt();
    // The most telling failure is the one that is told.
    let expected = Offline::Tls(TlsError::CertificateRejected { reason });
    assert_eq!(bed.failed(Failure::Refused), Verdict::GiveUp(expected));
}

#[test]
fn a_refused_login_is_the_end_everywhere() {
    for mechanism in ["EXTERNAL", "SCRAM-SHA-256"] {
        let refused = Offline::Login(LoginError::Refused {
            mechanism: mechanism.into(),
            condition: "not-authorized".into(),
            text: None,
            client_certificate_requested: None,
        });
        let reconnect = Reconnect {
            when: ReconnectWhen::Always,
            ..Reconnect::default()
        };
        let mut bed = bed(two_places().reconnect(reconnect));
        bed.attempt();
        assert_eq!(bed.lost(&refused), Verdict::GiveUp(refused.clone()));
        assert_eq!(bed.next(), Next::Wait);
        assert_eq!(bed.deadline(), None);
        let mut bed = online(two_places().reconnect(reconnect));
        assert!(matches!(bed.lost_online(&closed()), Verdict::Retry { .. }));
        bed.wait();
        assert_eq!(bed.lost(&refused), Verdict::GiveUp(refused));
    }
}

#[test]
fn conflict_is_the_end() {
    let mut bed = online(two_places());
    assert_eq!(bed.lost_online(&ended("conflict")), Verdict::GiveUp(ended("conflict")));
}

#[test]
fn who_waits_for_the_first_login_learns_at_once() {
    let refused = || Offline::Connection(ConnectionError::Failed(Failure::Refused));
    let mut bed = bed(one_place());
    bed.attempt();
    assert_eq!(bed.failed(Failure::Refused), Verdict::GiveUp(refused()));
}

#[test]
fn pauses_double_with_jitter_up_to_the_longest() {
    let reconnect = Reconnect {
        when: ReconnectWhen::Always,
        longest: Duration::from_secs(10),
        ..Reconnect::default()
    };
    let mut seen = Vec::new();
    for seed in 0..20 {
        let mut bed = Bed::seeded(one_place().reconnect(reconnect).build().unwrap(), seed);
        bed.attempt();
        let mut pauses = Vec::new();
        for most in [1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            let verdict = bed.failed(Failure::Refused);
            let pause = retry_in(&bed, &verdict);
            assert!((most / 2..=most).contains(&pause), "{pause} of {most}");
            assert_eq!(bed.deadline().unwrap().1, Timer::Reconnect);
            assert_eq!(bed.next(), Next::Wait);
            let (waited, next) = bed.wait();
            assert_eq!(waited, pause);
            assert!(matches!(next, Next::Connect(_)));
            pauses.push(pause);
        }
        // A login is a new beginning.
        bed.online();
        let verdict = bed.lost_online(&closed());
        assert!(retry_in(&bed, &verdict) <= 1_000);
        seen.push(pauses);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20, "not everybody at once");
}

#[test]
fn attempts_are_counted() {
    let reconnect = |when| Reconnect {
        when,
        attempts: Some(3),
        ..Reconnect::default()
    };
    let mut bed = online(one_place().reconnect(reconnect(ReconnectWhen::AfterOnline)));
    assert!(matches!(bed.lost_online(&closed()), Verdict::Retry { .. }));
    for _ in 0..2 {
        bed.wait();
        assert!(matches!(bed.failed(Failure::Refused), Verdict::Retry { .. }));
    }
    bed.wait();
    assert!(matches!(bed.failed(Failure::Refused), Verdict::GiveUp(_)));

    let mut bed = super::reconnect::bed(one_place().reconnect(reconnect(ReconnectWhen::Always)));
    bed.attempt();
    for _ in 0..2 {
        assert!(matches!(bed.failed(Failure::Refused), Verdict::Retry { .. }));
        bed.wait();
    }
    assert!(matches!(bed.failed(Failure::Refused), Verdict::GiveUp(_)));
}

#[test]
fn never_is_never() {
    let mut bed = online(one_place().reconnect(Reconnect::never()));
    assert_eq!(bed.lost_online(&closed()), Verdict::GiveUp(closed()));
    let mut bed = online(one_place().reconnect(Reconnect::never()));
    let elsewhere = see_other("b.example.net:5222");
    assert_eq!(bed.lost_online(&elsewhere), Verdict::GiveUp(elsewhere.clone()));
}

#[test]
fn where_it_worked_comes_first_and_dns_is_asked_again() {
    let mut bed = Bed::discovering();
    bed.next();
    bed.records(XMPP, &[(1, 0, "a.example.net", 5222), (2, 0, "b.example.net", 5222)]);
    bed.nothing(&[XMPPS, XML, JSON]);
    bed.attempt();
    bed.failed(Failure::Timeout);
    assert_eq!(bed.connect(), "starttls b.example.net 5222");
    bed.online();
    assert!(matches!(bed.lost_online(&closed()), Verdict::Retry { .. }));
    let (_, next) = bed.wait();
    let Next::Connect(attempt) = next else {
        panic!("{next:?}")
    };
    assert_eq!(short(&attempt.endpoint), "starttls b.example.net 5222");
    assert!(!attempt.last);
    assert!(bed.asked.is_empty());
    assert_eq!(bed.failed(Failure::Refused), another());
    assert_eq!(bed.next(), Next::Wait);
    bed.records(XMPP, &[(1, 0, "b.example.net", 5222), (2, 0, "c.example.net", 5222)]);
    bed.nothing(&[XMPPS, XML, JSON]);
    assert_eq!(
        bed.connect(),
        "starttls c.example.net 5222",
        "the other one was tried already"
    );
}

#[test]
fn one_place_that_worked_has_all_the_time() {
    let mut bed = online(one_place());
    bed.lost_online(&closed());
    let (_, Next::Connect(attempt)) = bed.wait() else {
        panic!()
    };
    assert!(attempt.last);
}

#[test]
fn a_round_without_a_place_says_so_once() {
    let mut bed = Bed::discovering();
    bed.next();
    bed.nothing(&[XMPP, XMPPS, XML, JSON]);
    bed.attempt();
    bed.online();
    bed.lost_online(&closed());
    bed.wait();
    assert_eq!(bed.failed(Failure::Refused), another());
    assert_eq!(bed.next(), Next::Wait);
    bed.records(XMPP, &[(0, 0, ".", 0)]);
    bed.nothing(&[XMPPS, XML, JSON]);
    let Next::Retry { at: Some(at), reason } = bed.next() else {
        panic!()
    };
    assert!(at > bed.now);
    assert_eq!(reason, Offline::Connection(ConnectionError::Failed(Failure::Refused)));
    assert_eq!(bed.next(), Next::Wait);
}

#[test]
fn without_a_network_nothing_is_tried() {
    let mut bed = online(one_place());
    let now = bed.now;
    bed.supervisor.network(now, Network::Down);
    let verdict = bed.lost_online(&closed());
    assert_eq!(
        verdict,
        Verdict::Retry {
            at: None,
            reason: closed()
        }
    );
    assert_eq!((bed.next(), bed.deadline()), (Next::Wait, None));
    bed.supervisor.network(now, Network::Up);
    assert_eq!(bed.connect(), "starttls a.example.net 5222");

    // In the middle of a pause.
    for news in [Network::Up, Network::Changed] {
        let mut bed = online(one_place());
        bed.lost_online(&closed());
        assert_eq!(bed.next(), Next::Wait);
        bed.supervisor.network(now, Network::Down);
        assert_eq!(bed.deadline(), None);
        bed.supervisor.network(now, news);
        assert_eq!(bed.connect(), "starttls a.example.net 5222");
    }

    // In the middle of discovery: what the old network's resolver says means nothing on the new one.
    let mut bed = Bed::discovering();
    bed.next();
    bed.supervisor.network(now, Network::Down);
    assert_eq!((bed.next(), bed.deadline()), (Next::Wait, None));
    bed.records(XMPP, &[(0, 0, "portal.example.net", 5222)]);
    bed.supervisor.network(now, Network::Up);
    assert_eq!(bed.next(), Next::Wait);
    bed.nothing(&[XMPP, XMPPS]);
    assert_eq!(bed.connect(), "starttls example.org 5222");
}

#[test]
fn a_round_that_the_network_broke_off_begins_again() {
    let mut bed = bed(two_places());
    let now = bed.now;
    bed.attempt();
    bed.supervisor.network(now, Network::Down);
    assert_eq!(bed.failed(Failure::Reset), another());
    assert_eq!(bed.next(), Next::Wait);
    bed.supervisor.network(now, Network::Up);
    assert_eq!(bed.connect(), "starttls a.example.net 5222");
}

#[test]
fn another_network_is_no_reason_to_wait() {
    let mut bed = online(one_place());
    let reason = Offline::Connection(ConnectionError::NetworkChanged);
    let at = Some(bed.now);
    assert_eq!(bed.lost_online(&reason), Verdict::Retry { at, reason });
    assert_eq!(bed.connect(), "starttls a.example.net 5222");
}

#[test]
fn redirects_on_tcp() {
    for (to, expected) in [
        ("b.example.net", "starttls b.example.net 5222"),
        ("b.example.net:5300", "starttls b.example.net 5300"),
        ("192.0.2.7:5300", "starttls 192.0.2.7 5300"),
        ("[2001:db8::1]", "starttls 2001:db8::1 5222"),
        ("[2001:db8::1]:5300", "starttls 2001:db8::1 5300"),
    ] {
        let mut bed = bed(one_place());
        bed.attempt();
        let redirected = Some(to.to_string());
        assert_eq!(bed.lost(&see_other(to)), Verdict::Another { redirected });
        let attempt = bed.attempt();
        assert_eq!(short(&attempt.endpoint), expected);
        assert_eq!(attempt.server_name, "example.org");
        assert!(bed.asked.is_empty());
    }
}

#[test]
fn bad_redirects_are_not_followed() {
    let long = "x".repeat(1 << 20);
    for to in [
        "",
        "b.example.net:99999",
        "b.example.net:-1",
        "b.example.net:+1",
        "b.example.net:0",
        "b.example.net:",
        "[::1",
        "[::1]x",
        "[::1]:",
        "[b.example.net]",
        "::1",
        "a b",
        "user@b.example.net",
        "https://b.example.net/",
        "b.example.net/x",
        &long,
    ] {
        let mut bed = online(one_place());
        assert!(
            matches!(bed.lost_online(&see_other(to)), Verdict::Retry { .. }),
            "{to:.30}"
        );
        let (_, Next::Connect(attempt)) = bed.wait() else {
            panic!()
        };
        assert_eq!(short(&attempt.endpoint), "starttls a.example.net 5222");
    }
}

#[test]
fn nobody_is_followed_who_has_not_proved_himself() {
    let reason = see_other("evil.example.com");
    let loss = Loss {
        early: false,
        reason: &reason,
        was_online: false,
        verified: false,
        location: None,
    };
    let mut with_tls = bed(two_places());
    with_tls.attempt();
    assert_eq!(with_tls.loss(loss), another());
    assert_eq!(with_tls.connect(), "tls b.example.net 5223");
    let mut anything = bed(anything_goes(two_places()));
    anything.attempt();
    anything.loss(loss);
    assert_eq!(anything.connect(), "starttls evil.example.com 5222");
}

/// A server may have forgotten SASL2 since, and end the stream of who begins with it.
#[test]
fn a_login_that_did_not_wait_is_tried_again_at_the_same_place_and_waits() {
    let end = |condition: &str| {
        Offline::Ended(SessionEnd {
            condition: Some(condition.to_string()),
            text: None,
            application: None,
            see_other: None,
        })
    };
    for reason in [
        end("not-authorized"),
        end("unsupported-stanza-type"),
        Offline::Connection(ConnectionError::Closed),
    ] {
        let loss = |early| Loss {
            early,
            reason: &reason,
            was_online: false,
            verified: true,
            location: None,
        };
        let mut bed = bed(two_places());
        assert_eq!(bed.connect(), "starttls a.example.net 5222");
        assert_eq!(bed.loss(loss(true)), another());
        assert_eq!(bed.connect(), "starttls a.example.net 5222", "{reason:?}");
    }
    let reason = end("not-authorized");
    let mut bed = bed(two_places());
    bed.attempt();
    let loss = Loss {
        early: false,
        reason: &reason,
        was_online: false,
        verified: true,
        location: None,
    };
    assert!(matches!(bed.loss(loss), Verdict::GiveUp(_)));
}

#[test]
fn redirects_keep_tls() {
    type Build = fn(ConfigBuilder) -> ConfigBuilder;
    let websocket: Build = |builder| builder.websocket("wss://a.example.net/ws");
    let bosh: Build = |builder| builder.bosh("https://a.example.net/bosh");
    let plain: Build = |builder| builder.websocket("ws://localhost/ws").tls(TlsPolicy::AllowPlaintext);
    for (build, to, followed) in [
        (websocket, "wss://b.example.net/ws", true),
        (websocket, "WSS://b.example.net/ws", true),
        (websocket, "ws://b.example.net/ws", false),
        (websocket, "http://b.example.net/?wss:", false),
        (websocket, "https://b.example.net/", false),
        (websocket, "b.example.net", false),
        (websocket, "wss://u@b.example.net/", false),
        (bosh, "https://b.example.net/bosh", true),
        (bosh, "http://b.example.net/bosh", false),
        (bosh, "wss://b.example.net/", false),
        (plain, "ws://localhost:81/ws", true),
    ] {
        for policy in [TlsPolicy::Required, TlsPolicy::AllowPlaintext] {
            let builder = Config::builder("u@example.org".parse().unwrap()).credentials(Credentials::password("x"));
            let builder = if build as usize == plain as usize {
                build(builder)
            } else {
                build(builder).tls(policy)
            };
            let mut bed = bed(builder);
            bed.attempt();
            let verdict = bed.lost(&see_other(to));
            if followed {
                assert_eq!(
                    verdict,
                    Verdict::Another {
                        redirected: Some(to.to_string())
                    }
                );
                let attempt = bed.attempt();
                assert_eq!(short(&attempt.endpoint), to);
                assert!(["b.example.net", "localhost"].contains(&attempt.server_name.as_str()));
            } else {
                assert!(
                    matches!(verdict, Verdict::GiveUp(Offline::Ended(_))),
                    "{to}: {verdict:?}"
                );
            }
        }
    }
}

#[test]
fn bosh_elsewhere_is_used_as_here() {
    let mut settings = Bosh::new("https://a.example.net/bosh");
    settings.wait = 17;
    let builder = Config::builder("u@example.org".parse().unwrap()).credentials(Credentials::password("x"));
    let mut bed = bed(builder.transport(Transport::Bosh(settings)));
    bed.attempt();
    bed.lost(&see_other("https://b.example.net/bosh"));
    let bosh = bed.attempt().bosh.unwrap();
    assert_eq!((bosh.url.as_str(), bosh.wait), ("https://b.example.net/bosh", 17));
}

#[test]
fn a_circle_of_redirects_ends() {
    let mut bed = bed(one_place());
    bed.attempt();
    let circle = ["b.example.net", "a.example.net"];
    for to in circle.iter().cycle().take(5) {
        assert!(matches!(bed.lost(&see_other(to)), Verdict::Another { .. }));
        assert_eq!(bed.connect(), format!("starttls {to} 5222"));
    }
    let reason = Offline::Connection(ConnectionError::TooManyRedirects);
    assert_eq!(bed.lost(&see_other("b.example.net")), Verdict::GiveUp(reason));
}

#[test]
fn a_login_in_between_does_not_hide_a_circle() {
    let too_many = Verdict::GiveUp(Offline::Connection(ConnectionError::TooManyRedirects));
    let mut bed = online(one_place());
    for _ in 0..5 {
        assert!(matches!(
            bed.lost_online(&see_other("b.example.net")),
            Verdict::Another { .. }
        ));
        bed.attempt();
        bed.online();
    }
    assert_eq!(bed.lost_online(&see_other("b.example.net")), too_many);
    // Once a day is no circle.
    let mut bed = online(one_place());
    for _ in 0..20 {
        bed.now = bed.now + Duration::from_secs(86_400);
        assert!(matches!(
            bed.lost_online(&see_other("b.example.net")),
            Verdict::Another { .. }
        ));
        bed.attempt();
        bed.online();
    }
}

#[test]
fn a_redirect_that_fails_leaves_the_others() {
    let mut bed = online(two_places());
    assert!(matches!(
        bed.lost_online(&see_other("c.example.net:1")),
        Verdict::Another { .. }
    ));
    assert_eq!(bed.connect(), "starttls c.example.net 1");
    assert_eq!(bed.failed(Failure::Refused), another());
    assert_eq!(bed.connect(), "starttls a.example.net 5222");
}

#[test]
fn the_location_of_the_session_comes_first() {
    let mut bed = online(two_places());
    let reason = closed();
    let loss = |location| Loss {
        early: false,
        reason: &reason,
        was_online: true,
        verified: true,
        location: Some(location),
    };
    assert!(matches!(bed.loss(loss("[2001:db8::7]:5300")), Verdict::Retry { .. }));
    let (_, Next::Connect(attempt)) = bed.wait() else {
        panic!()
    };
    assert_eq!(short(&attempt.endpoint), "starttls 2001:db8::7 5300");
    assert_eq!((attempt.server_name.as_str(), attempt.last), ("example.org", false));
    // It is no use, such as with a wrong certificate: then as always.
    let rejected = Failure::CertificateRejected { reason: "evil".into() };
    assert_eq!(bed.failed(rejected), another());
    assert_eq!(bed.connect(), "starttls a.example.net 5222");
    bed.online();
    bed.loss(loss("user@x"));
    let (_, Next::Connect(attempt)) = bed.wait() else {
        panic!()
    };
    assert_eq!(short(&attempt.endpoint), "starttls a.example.net 5222");
}

#[test]
fn stop_is_the_end() {
    let mut bed = online(one_place());
    bed.lost_online(&closed());
    bed.supervisor.stop();
    assert_eq!((bed.next(), bed.deadline()), (Next::Wait, None));
    bed.supervisor.start();
    assert_eq!(bed.connect(), "starttls a.example.net 5222");
}

#[test]
fn a_restored_session_is_looked_for_where_it_was() {
    let mut bed = Bed::discovering();
    let url = "https://w.example.net/bosh".to_string();
    bed.supervisor.prefer(&bed.config, Endpoint::Bosh { url: url.clone() });
    bed.supervisor.start();
    assert_eq!(bed.connect(), url);
    let url = "http://w.example.net/bosh".to_string();
    let mut bed = Bed::discovering();
    bed.supervisor.prefer(&bed.config, Endpoint::Bosh { url });
    bed.supervisor.start();
    assert_eq!(bed.next(), Next::Wait);
}
