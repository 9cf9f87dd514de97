//! Connecting, STARTTLS, certificates, being sent elsewhere (RFC 6120 §4.9.3.19, §5, §13.7.2, RFC 7395 §3.1, §3.6.1).

use epode::config::{MechanismPolicy, Reconnect, ReconnectWhen};
use epode::error::{ConnectionError, PeerIncompatible, PeerMisbehaved, TlsError, Warning};
use epode::{Config, Credentials, Endpoint, Event, Failure, Input, LinkInfo, Offline, TcpTls, TlsPolicy};

use crate::harness::{
    PASSWORD, PROCEED, Play, STARTTLS, bound, build, mechanisms, sasl, with_certificate, with_password,
};
use crate::streams::{
    MANAGED, TCP, assert_closed, assert_error, everywhere, last_wire, log_in, on, persistent, verified,
};
use crate::wire::{self, Cut, Wire};

const ONLY_STARTTLS: [Wire; 1] = [Wire::StartTls];

/// A client that would show its password to a verified server.
fn trusting() -> Config {
    let mechanisms = MechanismPolicy {
        allow_plain: true,
        ..MechanismPolicy::default()
    };
    build(with_password().mechanisms(mechanisms))
}

/// In the clear, with the header said.
fn in_the_clear(config: Config) -> Play {
    let mut play = Play::started(config);
    play.up(LinkInfo::default());
    play.answer("");
    play
}

fn assert_nothing_proved(play: &Play, case: &str) {
    play.assert_refused_without_proof(case);
    assert!(play.sent("auth").is_empty(), "{case}");
    assert!(
        !last_wire(play).contains("user"),
        "{case}: who it is about is nobody's business"
    );
}

#[test]
fn without_starttls_there_is_no_login() {
    for features in [
        "<stream:features/>".to_owned(),
        mechanisms(&["PLAIN", "SCRAM-SHA-256", "EXTERNAL"]),
    ] {
        for config in [trusting, || build(with_certificate())] {
            on(&ONLY_STARTTLS, || {
                let mut play = in_the_clear(config());
                play.answer(&features);
                assert_nothing_proved(&play, &features);
                assert_eq!(play.reason(), Offline::Tls(TlsError::NotOffered));
                assert_closed(&play, &features);
                play
            });
        }
    }
    // A certificate is shown in TLS or not at all, whatever the policy says.
    on(&ONLY_STARTTLS, || {
        let mut play = in_the_clear(build(with_certificate().tls(TlsPolicy::AllowPlaintext)));
        play.answer(&mechanisms(&["EXTERNAL"]));
        assert_nothing_proved(&play, "EXTERNAL");
        play
    });
}

#[test]
fn tls_is_used_where_it_is_not_required() {
    on(&ONLY_STARTTLS, || {
        let mut play = in_the_clear(trusting());
        play.answer(&STARTTLS.replace("<required/>", ""));
        assert!(last_wire(&play).ends_with("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
        play.answer(PROCEED);
        assert!(last_wire(&play).ends_with("[TLS for example.org]"));
        play
    });
}

#[test]
fn mechanisms_in_the_clear_are_ignored_and_asked_for_again() {
    on(&ONLY_STARTTLS, || {
        let mut play = in_the_clear(trusting());
        let plain = mechanisms(&["PLAIN"]);
        let tls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
        play.answer(&plain.replace("</stream:features>", tls));
        assert!(play.sent("auth").is_empty());
        play.answer(PROCEED);
        play.up(verified());
        assert!(play.sent("auth").is_empty());
        play.answer(&mechanisms(&["SCRAM-SHA-256"]));
        let auth = play.sent("auth");
        assert_eq!(auth[0].attribute("mechanism"), Some("SCRAM-SHA-256"));
        assert!(!last_wire(&play).contains(PASSWORD));
        play
    });
}

#[test]
fn a_refusal_of_starttls_is_the_end_of_the_attempt() {
    on(&ONLY_STARTTLS, || {
        let mut play = in_the_clear(trusting());
        play.answer(STARTTLS);
        play.answer("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_nothing_proved(&play, "failure");
        assert_eq!(play.reason(), Offline::Tls(TlsError::StartTlsRefused));
        play
    });
    // Whoever tries again, tries with TLS again.
    on(&ONLY_STARTTLS, || {
        let always = Reconnect {
            when: ReconnectWhen::Always,
            attempts: Some(3),
            ..Reconnect::default()
        };
        let mut play = Play::started(build(with_password().reconnect(always)));
        for _ in 0..3 {
            play.up(LinkInfo::default());
            play.answer(STARTTLS);
            play.answer("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            assert!(play.sent("auth").is_empty());
            play.until_next_link();
        }
        assert_eq!(play.reason(), Offline::Tls(TlsError::StartTlsRefused));
        assert!(
            play.connects
                .iter()
                .all(|(endpoint, _)| *endpoint == play.connects[0].0)
        );
        play
    });
}

#[test]
fn nothing_may_follow_the_word_to_proceed() {
    let features = mechanisms(&["PLAIN"]);
    for after in [features.as_str(), " ", "\n", "x", "<", "<stream:stream>"] {
        // With it: TLS does not begin.
        wire::set(Wire::StartTls, Cut::Together);
        let mut play = in_the_clear(trusting());
        play.answer(STARTTLS);
        play.answer(&format!("{PROCEED}{after}"));
        assert_nothing_proved(&play, after);
        assert_eq!(play.reason(), Offline::Misbehaved(PeerMisbehaved::BeforeTls), "{after}");
        assert!(!last_wire(&play).contains("[TLS"), "{after}: {}", last_wire(&play));
        // Behind it, before TLS is there: what the host had read already.
        for cut in [Cut::Elements, Cut::Bytes] {
            wire::set(Wire::StartTls, cut);
            let mut play = in_the_clear(trusting());
            play.answer(STARTTLS);
            play.answer(PROCEED);
            play.raw(after);
            assert_nothing_proved(&play, after);
            assert_eq!(play.reason(), Offline::Misbehaved(PeerMisbehaved::BeforeTls), "{after}");
            play.input(Input::Connected {
                link: play.link,
                info: verified(),
            })
            .unwrap();
            assert!(
                last_wire(&play).ends_with("[TLS for example.org][closed]"),
                "{}",
                last_wire(&play)
            );
        }
    }
}

#[test]
fn the_word_to_proceed_is_an_answer() {
    for before in ["", "<stream:features/>"] {
        on(&ONLY_STARTTLS, || {
            let mut play = in_the_clear(build(with_password().tls(TlsPolicy::AllowPlaintext)));
            play.answer(&format!("{before}{PROCEED}"));
            assert_nothing_proved(&play, before);
            assert!(!last_wire(&play).contains("[TLS"));
            play
        });
    }
    everywhere(|| {
        let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
        let before = last_wire(&play).matches("[TLS").count();
        play.answer(PROCEED);
        play.assert_refused_without_proof("inside of TLS");
        assert!(matches!(
            play.reason(),
            Offline::Misbehaved(PeerMisbehaved::Unexpected { .. })
        ));
        assert_eq!(last_wire(&play).matches("[TLS").count(), before);
        assert_error(&play, "unsupported-stanza-type", "inside of TLS");
        play
    });
}

#[test]
fn another_answer_than_that_to_starttls_is_refused() {
    for answer in [
        sasl("success", ""),
        mechanisms(&["PLAIN"]),
        "<message xmlns='jabber:client'/>".to_owned(),
        "<proceed xmlns='urn:evil'/>".to_owned(),
        format!("{PROCEED}{PROCEED}"),
    ] {
        on(&ONLY_STARTTLS, || {
            let mut play = in_the_clear(trusting());
            play.answer(STARTTLS);
            play.answer(&answer);
            assert_nothing_proved(&play, &answer);
            assert!(
                matches!(play.reason(), Offline::Misbehaved(_)),
                "{answer}: {:?}",
                play.reason()
            );
            play
        });
    }
}

#[test]
fn tls_within_tls_is_never_asked_for() {
    let tls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
    everywhere(|| {
        let mut play = Play::connected(build(with_certificate()));
        play.answer(&mechanisms(&["EXTERNAL"]).replace("</stream:features>", tls));
        assert_eq!(play.sent("auth").len(), 1, "{:?}", play.events);
        let asked = usize::from(play.wire == Wire::StartTls);
        assert_eq!(last_wire(&play).matches("<starttls").count(), asked);
        play
    });
}

#[test]
fn a_certificate_for_another_name_ends_the_attempt_before_a_byte() {
    // That of the host that SRV or the configuration named, too: the account's domain is what counts.
    for name in [
        "xmpp.example.net",
        "evil.example",
        "example.org.evil.example",
        "",
        "sub.example.org",
        "*.org",
    ] {
        everywhere(|| {
            let mut play = Play::started(build(with_password()));
            assert_eq!(play.connects[0].1, "example.org");
            play.connect(LinkInfo::verified(name));
            play.assert_refused_without_proof(name);
            assert!(
                matches!(play.reason(), Offline::Tls(TlsError::WrongName { .. })),
                "{name}"
            );
            let said = last_wire(&play);
            let protected = said.split("[TLS for example.org]").last().unwrap();
            assert_eq!(protected, "[closed]", "{name}: nothing is said within that TLS");
            play
        });
    }
    everywhere(|| {
        let mut play = Play::started(build(with_password()));
        play.connect(LinkInfo::verified("EXAMPLE.org"));
        assert!(!play.is_over(), "names are the same in any case");
        play
    });
}

#[test]
fn a_link_that_nobody_verified_carries_nothing() {
    let encrypted = LinkInfo {
        encrypted: true,
        subprotocol: Some("xmpp".to_owned()),
        ..LinkInfo::default()
    };
    everywhere(|| {
        let mut play = Play::started(build(with_password()));
        play.connect(encrypted.clone());
        play.assert_refused_without_proof("unverified");
        assert_eq!(play.reason(), Offline::Tls(TlsError::Required));
        let protected = last_wire(&play).split("[TLS for example.org]").last().unwrap();
        assert_eq!(protected, "[closed]");
        play
    });
    on(&[Wire::Direct, Wire::WebSocket], || {
        let mut play = Play::started(build(with_password()));
        play.connect(LinkInfo::default());
        assert_eq!(play.reason(), Offline::Tls(TlsError::Required));
        assert_eq!(last_wire(&play), "[closed]");
        play
    });
}

#[test]
fn another_protocol_than_xmpp_ends_the_attempt() {
    for protocol in ["h2", "http/1.1", "xmpp-server", ""] {
        on(&TCP, || {
            let mut play = Play::started(build(with_password()));
            play.connect(LinkInfo {
                alpn: Some(protocol.to_owned()),
                ..verified()
            });
            play.assert_refused_without_proof(protocol);
            let protocol = protocol.to_owned();
            assert_eq!(
                play.reason(),
                Offline::Incompatible(PeerIncompatible::Alpn { protocol })
            );
            play
        });
    }
    for alpn in [None, Some("xmpp-client".to_owned())] {
        on(&TCP, || {
            let mut play = Play::started(build(with_password()));
            play.connect(LinkInfo {
                alpn: alpn.clone(),
                ..verified()
            });
            assert!(!play.is_over());
            play
        });
    }
}

#[test]
fn a_websocket_without_the_subprotocol_carries_nothing() {
    wire::set(Wire::WebSocket, Cut::Elements);
    for subprotocol in [None, Some(""), Some("XMPP"), Some("mqtt"), Some("xmpp, mqtt")] {
        let mut play = Play::started(build(with_password()));
        let subprotocol = subprotocol.map(ToOwned::to_owned);
        play.up(LinkInfo {
            subprotocol,
            ..verified()
        });
        play.assert_refused_without_proof("subprotocol");
        assert_eq!(play.reason(), Offline::Incompatible(PeerIncompatible::Subprotocol));
        assert_eq!(last_wire(&play), "[closed]");
    }
}

// ---- being sent elsewhere

fn see_other_host(text: &str) -> String {
    format!(
        "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{text}</see-other-host></stream:error>"
    )
}

fn places(play: &Play) -> Vec<String> {
    let place = |(endpoint, _): &(Endpoint, String)| match endpoint {
        Endpoint::Tcp { host, port, .. } => format!("{host} {port}"),
        Endpoint::WebSocket { url } | Endpoint::Bosh { url } => url.clone(),
        other => panic!("{other:?}"),
    };
    play.connects.iter().map(place).collect()
}

#[test]
fn who_has_not_proved_itself_is_not_followed() {
    on(&ONLY_STARTTLS, || {
        let mut play = in_the_clear(build(with_password().reconnect(Reconnect {
            when: ReconnectWhen::Always,
            attempts: Some(2),
            ..Reconnect::default()
        })));
        play.answer(&see_other_host("evil.example:5222"));
        play.wait(10_000);
        assert_eq!(places(&play), ["xmpp.example.net 5222"; 2]);
        let redirected = |event: &Event| matches!(event, Event::Warning(Warning::Redirected { .. }));
        assert!(!play.events.iter().any(redirected));
        play
    });
}

#[test]
fn a_verified_server_is_followed_and_the_domain_stays() {
    for (text, place) in [
        ("other.example:5269", "other.example 5269"),
        ("other.example", "other.example 5222"),
        ("[2001:db8::1]:5222", "2001:db8::1 5222"),
        ("192.0.2.1:80", "192.0.2.1 80"),
        (" other.example:1 ", "other.example 1"),
    ] {
        on(&TCP, || {
            let mut play = Play::connected(build(with_password()));
            play.answer(&see_other_host(text));
            assert_eq!(places(&play), ["xmpp.example.net 5222", place]);
            assert_eq!(play.connects[1].1, "example.org", "the name to verify is the account's");
            assert!(play.events.contains(&Event::Warning(Warning::Redirected {
                to: text.trim().to_owned()
            })));
            assert_eq!(play.wires.values().next().unwrap().matches("see-other").count(), 0);
            if matches!(
                play.connects[1].0,
                Endpoint::Tcp {
                    tls: TcpTls::StartTls,
                    ..
                }
            ) {
                play.wire = Wire::StartTls;
            }
            play.connect(LinkInfo::verified("other.example"));
            assert!(
                matches!(play.reason(), Offline::Tls(TlsError::WrongName { .. })),
                "{text}"
            );
            assert!(!last_wire(&play).contains("to='other.example'"));
            play
        });
    }
}

#[test]
fn what_is_no_address_is_not_followed() {
    let mebibyte = "a.".repeat(30_000);
    for text in [
        "",
        " ",
        "host:99999",
        "host:-1",
        "host:+1",
        "host:0",
        "host:",
        ":5222",
        "[::1",
        "[::1]5222",
        "[x]:1",
        "a b",
        "user@host",
        "https://host/",
        "xmpp://host",
        "host/path",
        "h\u{f6}st",
        "a..b",
        &mebibyte,
    ] {
        on(&TCP, || {
            let mut play = Play::connected(build(with_password()));
            play.answer(&see_other_host(text));
            assert_eq!(play.connects.len(), 1, "{text}: {:?}", play.connects);
            let Offline::Ended(end) = play.reason() else {
                panic!("{text}: {:?}", play.reason());
            };
            assert_eq!(end.condition.as_deref(), Some("see-other-host"), "{text}");
            play
        });
    }
}

#[test]
fn a_circle_of_hosts_has_an_end() {
    for names in [&["a.example:1", "b.example:1"][..], &["c.example:1"]] {
        on(&TCP, || {
            let mut play = Play::started(build(with_password()));
            for turn in 0..10 {
                if !play.is_over() {
                    play.connect(verified());
                    play.answer(&see_other_host(names[turn % names.len()]));
                }
            }
            assert_eq!(play.reason(), Offline::Connection(ConnectionError::TooManyRedirects));
            assert_eq!(play.connects.len(), 6, "{:?}", places(&play));
            assert!(play.sent("auth").is_empty());
            play
        });
    }
    // A session in between that does not last changes nothing.
    on(&TCP, || {
        let mut play = Play::started(persistent());
        let mut turns = 0;
        while !play.is_over() {
            turns += 1;
            assert!(turns < 20, "{:?}", places(&play));
            log_in(&mut play, MANAGED);
            play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
            play.answer(&see_other_host("a.example:1"));
        }
        assert_eq!(play.reason(), Offline::Connection(ConnectionError::TooManyRedirects));
        play
    });
}

#[test]
fn a_websocket_is_followed_to_a_protected_one_only() {
    let close = |uri: &str| format!("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='{uri}'/>");
    for uri in [
        "ws://example.org/ws",
        "http://example.org/?wss:",
        "https://example.org/ws",
        "wss",
        "wss:",
        "wss://",
        "",
        "javascript:alert(1)",
        "x?wss://example.org/",
        "wss://u@evil.example/",
        "wss://evil example/",
        "WS://example.org/",
        " wss://evil.example/",
    ] {
        on(&[Wire::WebSocket], || {
            let mut play = Play::connected(build(with_password()));
            play.answer(&close(uri));
            assert_eq!(play.connects.len(), 1, "{uri}: {:?}", play.connects);
            assert!(matches!(play.reason(), Offline::Ended(_)), "{uri}: {:?}", play.reason());
            assert_closed(&play, uri);
            play
        });
    }
    on(&[Wire::WebSocket], || {
        let mut play = Play::connected(build(with_password()));
        play.answer(&close("wss://other.example/ws?a=b"));
        assert_eq!(places(&play), ["wss://example.org/ws", "wss://other.example/ws?a=b"]);
        assert_eq!(play.connects[1].1, "other.example", "of a URL its host is verified");
        play.connect(LinkInfo::verified("example.org"));
        assert!(matches!(play.reason(), Offline::Tls(TlsError::WrongName { .. })));
        play
    });
    on(&[Wire::WebSocket], || {
        let mut play = Play::started(build(with_password()));
        for turn in 0..10 {
            if !play.is_over() {
                play.connect(LinkInfo::verified(play.connects.last().unwrap().1.clone()));
                play.answer(&close(&format!("wss://host{}.example/", turn % 2)));
            }
        }
        assert_eq!(play.reason(), Offline::Connection(ConnectionError::TooManyRedirects));
        assert_eq!(play.connects.len(), 6);
        play
    });
}

#[test]
fn a_place_for_the_resumption_gets_nothing_without_a_certificate() {
    on(&TCP, || {
        let mut play = Play::started(persistent());
        log_in(&mut play, MANAGED);
        play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
        play.answer("<enabled xmlns='urn:xmpp:sm:3' id='secret-id' resume='true' location='evil.example:5222'/>");
        play.input(Input::Ended { link: play.link }).unwrap();
        play.wait(2_000);
        assert_eq!(places(&play).last().unwrap(), "evil.example 5222");
        assert_eq!(play.connects.last().unwrap().1, "example.org");
        let (link, reason) = (play.link, "not for example.org".to_owned());
        let reason = Failure::CertificateRejected { reason };
        play.input(Input::Failed {
            link,
            request: None,
            reason,
        })
        .unwrap();
        // Where the login was, there the session is looked for next.
        assert_eq!(places(&play).last().unwrap(), "xmpp.example.net 5222");
        log_in(&mut play, MANAGED);
        assert!(last_wire(&play).contains("<resume xmlns='urn:xmpp:sm:3' previd='secret-id'"));
        assert!(!play.wires[&link].contains("secret-id"));
        play
    });
    for location in ["", "x y", "a@b", "https://evil.example/", "evil.example:0"] {
        on(&TCP, || {
            let mut play = Play::started(persistent());
            log_in(&mut play, MANAGED);
            play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
            play.answer(&format!(
                "<enabled xmlns='urn:xmpp:sm:3' id='secret-id' resume='true' location='{location}'/>"
            ));
            play.input(Input::Ended { link: play.link }).unwrap();
            play.wait(2_000);
            assert_eq!(places(&play), ["xmpp.example.net 5222"; 2], "{location}");
            play
        });
    }
}

#[test]
fn a_refused_certificate_of_the_client_is_told_as_such() {
    everywhere(|| {
        let mut play = Play::connected(build(with_certificate()));
        let (link, reason) = (play.link, Failure::Reset);
        play.input(Input::Failed {
            link,
            request: None,
            reason,
        })
        .unwrap();
        assert_eq!(play.reason(), Offline::Tls(TlsError::CertificateProbablyRefused));
        play
    });
    everywhere(|| {
        let mut play = Play::online();
        let (link, reason) = (play.link, Failure::Reset);
        play.input(Input::Failed {
            link,
            request: None,
            reason,
        })
        .unwrap();
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::Failed(Failure::Reset))
        );
        play
    });
}

#[test]
fn a_client_that_only_looks_says_goodbye() {
    everywhere(|| {
        let config = crate::harness::of("example.org").credentials(Credentials::Nothing);
        let mut play = Play::started(build(config));
        play.connect(verified());
        play.answer(&mechanisms(&["EXTERNAL", "PLAIN"]));
        assert!(
            matches!(&play.events[0], Event::Offered { encrypted: true, .. }),
            "{:?}",
            play.events
        );
        assert_eq!(play.reason(), Offline::Stopped);
        assert_closed(&play, "looked");
        play
    });
}
