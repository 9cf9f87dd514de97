//! Forbidden XML, bombs, and elements where they do not belong (RFC 6120 §4, §11, §13), on streams.

use epode::error::{ConnectionError, PeerIncompatible, PeerMisbehaved, WaitingFor};
use epode::{Event, Input, Offline};

use crate::harness::{BIND, NS_SASL, Play, base64, bound, build, mechanisms, sasl, with_certificate, with_password};
use crate::streams::{HELLO, STREAMS, TCP, assert_closed, assert_error, everywhere, however_cut, last_wire, on};
use crate::wire::{self, Cut, Wire};

fn misbehaved(play: &Play, case: &str) -> PeerMisbehaved {
    match play.reason() {
        Offline::Misbehaved(error) => error,
        other @ (Offline::Stopped | _) => panic!("{case}: {other:?}"),
    }
}

fn is_unexpected(play: &Play) -> bool {
    matches!(play.reason(), Offline::Misbehaved(PeerMisbehaved::Unexpected { .. }))
}

/// Where features belong, and in an established session: the end with that condition on the wire, and no login tried.
fn assert_refused(payload: &str, condition: &str) {
    let shown: String = payload.chars().take(80).collect();
    everywhere(|| {
        let mut play = Play::connected(build(with_password()));
        play.answer(payload);
        play.assert_refused_without_proof(&shown);
        assert!(play.sent("auth").is_empty(), "{shown}");
        assert_eq!(misbehaved(&play, &shown).condition(), condition, "{shown}");
        assert_error(&play, condition, &shown);
        play
    });
    everywhere(|| {
        let mut play = Play::online();
        play.answer(HELLO);
        play.answer(payload);
        assert_eq!(misbehaved(&play, &shown).condition(), condition, "{shown}");
        assert_eq!(play.stanzas().len(), 1, "{shown}: only what came before it");
        assert_error(&play, condition, &shown);
        play
    });
}

#[test]
fn a_document_type_is_refused_and_no_entity_expanded() {
    for payload in [
        "<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'><!ENTITY y '&x;&x;'>]>",
        "<!DOCTYPE x>",
        "<message xmlns='jabber:client' from='a@example.net'><!ENTITY x 'y'></message>",
    ] {
        assert_refused(payload, "restricted-xml");
    }
    for payload in [
        "<message xmlns='jabber:client' from='a@example.net'><body>&lol;</body></message>",
        "<message xmlns='jabber:client' id='&x;'/>",
    ] {
        assert_refused(payload, "not-well-formed");
    }
}

#[test]
fn a_comment_or_an_instruction_is_refused_wherever_it_stands() {
    for payload in [
        "<!-- -->",
        "<message xmlns='jabber:client' from='a@example.net'><body>a<!-- -->b</body></message>",
        "<message xmlns='jabber:client' from='a@example.net'><body>a<?x y?>b</body></message>",
        "<?xml-stylesheet href='x'?>",
    ] {
        assert_refused(payload, "restricted-xml");
    }
    everywhere(|| {
        let mut play = Play::binding(build(with_certificate()));
        let jid = "<jid>user@example.org<!-- -->.evil.example/r</jid>";
        play.answer(&bound(&play.iq_id(), jid));
        play.assert_refused("a jid in two parts");
        assert_error(&play, "restricted-xml", "a jid in two parts");
        play
    });
}

#[test]
fn an_address_is_judged_as_it_was_meant() {
    everywhere(|| {
        let mut play = Play::binding(build(with_certificate()));
        let jid = "<jid><![CDATA[us]]>er&#64;exampl&#x65;.org<![CDATA[/r&amp;]]></jid>";
        play.answer(&bound(&play.iq_id(), jid));
        let Some(Event::Online { jid, .. }) = play.events.last() else {
            panic!("{:?}", play.events);
        };
        assert_eq!(jid.as_str(), "user@example.org/r&amp;");
        play
    });
    everywhere(|| {
        let mut play = Play::binding(build(with_certificate()));
        play.answer(&bound(&play.iq_id(), "<jid>&#x61;dmin<![CDATA[@]]>example.org/r</jid>"));
        play.assert_refused("another account");
        play
    });
}

/// Elements that are over a limit, and whether a limit of before the login stops them as well.
fn bombs() -> Vec<String> {
    let message = |inner: &str| format!("<message xmlns='jabber:client' from='a@example.net'{inner}</message>");
    let attributes: String = (0..1_000).map(|n| format!(" a{n}=''")).collect();
    let namespaces: String = (0..1_000).map(|n| format!(" xmlns:a{n}='urn:{n}'")).collect();
    vec![
        message(&format!(">{}", "<a>".repeat(20_000))),
        message(&format!(">{}{}", "<a>".repeat(100), "</a>".repeat(100))),
        message(&format!("{attributes}>")),
        message(&format!("{namespaces}>")),
        message(&format!("><body>{}</body>", "x".repeat(2 << 20))),
        message(&format!("><body>{}</body>", "&amp;".repeat(1 << 18))),
        message(&format!("><body>{}</body>", "<a/>".repeat(1 << 18))),
        message(&format!(" x='{}'>", "x".repeat(1 << 20))),
        message(&format!("><{}/>", "x".repeat(1 << 20))),
        message(&format!("{}>", " ".repeat(2 << 20))),
    ]
}

#[test]
fn bombs_stop_at_their_limits() {
    for wire in STREAMS {
        wire::set(wire, Cut::Together);
        for bomb in bombs() {
            let shown = format!("{wire:?} {}", &bomb[..80]);
            let mut play = Play::connected(build(with_password()));
            play.answer(&bomb);
            play.assert_refused_without_proof(&shown);
            assert_error(&play, "policy-violation", &shown);
            let mut play = Play::online();
            play.answer(&bomb);
            assert_eq!(misbehaved(&play, &shown).condition(), "policy-violation", "{shown}");
            assert_error(&play, "policy-violation", &shown);
            assert!(play.stanzas().is_empty());
        }
    }
}

#[test]
fn bombs_without_an_end_stop_while_they_arrive() {
    for start in [
        "<message x='",
        "<message><body>",
        "<m",
        "<message  ",
        "<message xmlns:a='",
    ] {
        for wire in TCP {
            wire::set(wire, Cut::Together);
            let filler = if start.ends_with(' ') { b' ' } else { b'x' };
            let mut play = Play::connected(build(with_password()));
            play.answer("");
            play.received(start.into());
            let mut sent = 0;
            while !play.is_over() {
                assert!(sent <= 64 * 1024, "{start}: {sent} bytes");
                play.received(vec![filler; 1_024]);
                sent += 1_024;
            }
            play.assert_refused_without_proof(start);
            assert_error(&play, "policy-violation", start);
        }
    }
}

#[test]
fn the_limit_of_an_element_rises_with_the_login() {
    let large = format!(
        "<message xmlns='jabber:client' from='a@example.net'><body>{}</body></message>",
        "x".repeat(500_000)
    );
    for wire in STREAMS {
        wire::set(wire, Cut::Together);
        for stage in 0..3 {
            let mut play = match stage {
                0 => Play::connected(build(with_password())),
                1 => Play::offered(build(with_password()), &["SCRAM-SHA-256"]),
                _ => Play::offered(build(with_certificate()), &["EXTERNAL"]),
            };
            play.answer(&large);
            play.assert_refused_without_proof("before the login");
            assert_error(&play, "policy-violation", "before the login");
        }
        let mut play = Play::online();
        play.answer(&large);
        play.answer(&large);
        assert_eq!(play.stanzas().len(), 2, "{:?}", play.events);
    }
}

#[test]
fn before_the_login_a_stream_has_an_end() {
    // White space without end, before the features come.
    for wire in TCP {
        wire::set(wire, Cut::Together);
        let mut play = Play::connected(build(with_password()));
        play.answer("");
        let mut sent = 0;
        while !play.is_over() {
            assert!(sent <= 256 * 1024, "{sent} bytes");
            play.received(vec![b' '; 4_096]);
            sent += 4_096;
        }
        play.assert_refused_without_proof("white space");
        assert_error(&play, "policy-violation", "white space");
    }
}

#[test]
fn silence_has_an_end_at_every_step() {
    everywhere(|| {
        let mut last = None;
        for stage in 0..5 {
            let mut play = match stage {
                0 => Play::connected(build(with_password())),
                1 => {
                    let mut play = Play::connected(build(with_password()));
                    play.answer("");
                    play
                }
                2 => Play::offered(build(with_password()), &["SCRAM-SHA-256"]),
                3 => {
                    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
                    play.answer(&sasl("success", ""));
                    play
                }
                _ => Play::binding(build(with_certificate())),
            };
            play.wait(29_900);
            assert!(!play.is_over(), "{stage}");
            play.wait(200);
            play.assert_refused_without_proof("silence");
            let waiting_for = [
                WaitingFor::Session,
                WaitingFor::Features,
                WaitingFor::Login,
                WaitingFor::Features,
                WaitingFor::Bind,
            ][stage];
            let late = ConnectionError::Timeout { waiting_for };
            assert_eq!(play.reason(), Offline::Connection(late), "{stage}");
            assert_closed(&play, "silence");
            last = Some(play);
        }
        last.unwrap()
    });
}

#[test]
fn a_drip_of_white_space_buys_no_time() {
    for wire in TCP {
        wire::set(wire, Cut::Elements);
        let mut play = Play::connected(build(with_password()));
        play.answer("");
        for _ in 0..40 {
            if !play.is_over() {
                play.raw(" ");
                play.pass(1_000);
            }
        }
        play.assert_refused_without_proof("drip");
        let waiting_for = WaitingFor::Features;
        assert_eq!(
            play.reason(),
            Offline::Connection(ConnectionError::Timeout { waiting_for })
        );
    }
}

#[test]
fn white_space_is_no_news() {
    for wire in TCP {
        wire::set(wire, Cut::Together);
        let mut play = Play::online();
        let before = play.posts.len();
        for _ in 0..100 {
            play.raw(&" \n\t".repeat(100_000));
        }
        assert!(
            play.events.is_empty() && play.posts.len() == before,
            "{:?}",
            play.events
        );
        play.answer(HELLO);
        assert_eq!(play.stanzas().len(), 1);
    }
}

#[test]
fn bytes_that_are_no_xml_text_are_refused() {
    let rows: [&[u8]; 9] = [
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x98",
        b"\x00",
        b"\x1b",
        b"&#0;",
    ];
    for wire in STREAMS {
        for cut in [Cut::Elements, Cut::Bytes] {
            wire::set(wire, cut);
            for bytes in rows {
                let stanza: Vec<u8> = [
                    &b"<message xmlns='jabber:client'><body>"[..],
                    bytes,
                    b"</body></message>",
                ]
                .concat();
                for online in [true, false] {
                    let mut play = if online {
                        Play::online()
                    } else {
                        let mut play = Play::connected(build(with_password()));
                        play.answer("");
                        play
                    };
                    if wire.is_tcp() && cut == Cut::Bytes {
                        stanza.iter().for_each(|byte| play.received(vec![*byte]));
                    } else {
                        play.received(stanza.clone());
                    }
                    let error = misbehaved(&play, "bytes");
                    assert!(matches!(error, PeerMisbehaved::Xml(_)), "{wire:?} {bytes:?}: {error:?}");
                    assert_error(&play, error.condition(), "bytes");
                    assert!(play.stanzas().is_empty(), "{bytes:?}");
                    assert_eq!(play.sent("auth").len(), usize::from(online), "{bytes:?}");
                }
            }
        }
    }
}

#[test]
fn another_encoding_or_a_byte_order_mark_is_no_stream() {
    for wire in STREAMS {
        wire::set(wire, Cut::Together);
        let plain = wire.header("version='1.0' id='1' from='example.org'");
        let bare = plain.replace("<?xml version='1.0'?>", "");
        let utf_16: Vec<u8> = "\u{feff}"
            .encode_utf16()
            .chain(bare.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let utf_16_be: Vec<u8> = bare.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            format!("\u{feff}{bare}").into_bytes(),
            format!("<?xml version='1.0' encoding='UTF-16'?>{bare}").into_bytes(),
            format!("<?xml version='1.0' encoding='ISO-8859-1'?>{bare}").into_bytes(),
            utf_16,
            utf_16_be,
        ] {
            let mut play = Play::connected(build(with_password()));
            play.received(bytes);
            play.assert_refused_without_proof("encoding");
            let condition = misbehaved(&play, "encoding").condition();
            assert_error(&play, condition, "encoding");
            assert!(play.sent("auth").is_empty());
        }
    }
}

#[test]
fn an_attribute_given_twice_is_refused() {
    for payload in [
        "<message xmlns='jabber:client' from='a@example.net' from='b@example.net'/>",
        "<message xmlns='jabber:client' xmlns:a='urn:x' xmlns:b='urn:x' a:i='1' b:i='2'/>",
        "<message xmlns='jabber:client' xmlns='jabber:client'/>",
    ] {
        assert_refused(payload, "not-well-formed");
    }
}

#[test]
fn names_count_and_prefixes_do_not() {
    however_cut(|| {
        let mut play = Play::online();
        let before = play.posts.len();
        play.answer(
            "<x:message xmlns:x='jabber:client' from='a@example.net'><x:body>1</x:body></x:message>\
             <message xmlns='urn:evil' from='a@example.net'><body>2</body></message>\
             <jabber:message xmlns:jabber='urn:evil' from='a@example.net'/>\
             <x:iq xmlns:x='urn:evil' type='get' id='1' from='a@example.net'><ping xmlns='urn:xmpp:ping'/></x:iq>",
        );
        let stanzas = play.stanzas();
        assert_eq!(stanzas.len(), 1);
        assert_eq!(stanzas[0].child("jabber:client", "body").unwrap().text(), "1");
        play.assert_silent_since(before);
        play
    });
    everywhere(|| {
        let mut play = Play::connected(build(with_password()));
        play.answer(&mechanisms(&["SCRAM-SHA-256"]).replace(NS_SASL, "urn:evil"));
        play.assert_refused_without_proof("features without SASL");
        play
    });
    everywhere(|| {
        let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
        play.answer("<success xmlns='urn:evil'/>");
        play.assert_refused("a success of another kind");
        assert!(is_unexpected(&play));
        play
    });
}

#[test]
fn a_stream_prefix_of_any_name_is_as_good() {
    for wire in TCP {
        for cut in [Cut::Elements, Cut::Bytes, Cut::Together] {
            wire::set(wire, cut);
            let mut play = Play::connected(build(with_password()));
            play.greeted = play.streams;
            let features = mechanisms(&["SCRAM-SHA-256"]).replace("stream:", "s:");
            play.raw(&format!(
                "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' version='1.0'>{features}"
            ));
            assert_eq!(play.sent("auth").len(), 1, "{:?}", play.events);
        }
    }
}

#[test]
fn a_second_stream_breaks_the_protocol() {
    everywhere(|| {
        let (wire, _) = wire::now();
        let header = wire.header("version='1.0' id='2' from='example.org'");
        let header = header.trim_start_matches("<?xml version='1.0'?>");
        let mut last = None;
        for stage in 0..4 {
            let mut play = match stage {
                0 => {
                    let mut play = Play::connected(build(with_password()));
                    play.answer("");
                    play
                }
                1 => Play::offered(build(with_password()), &["SCRAM-SHA-256"]),
                2 => Play::binding(build(with_certificate())),
                _ => Play::online(),
            };
            play.answer(header);
            assert!(
                matches!(play.reason(), Offline::Misbehaved(_)),
                "{stage}: {:?}",
                play.reason()
            );
            assert_error(&play, "bad-format", &format!("{stage}"));
            last = Some(play);
        }
        last.unwrap()
    });
}

#[test]
fn features_come_once_and_first() {
    let features = mechanisms(&["SCRAM-SHA-256"]);
    everywhere(|| {
        let mut play = Play::connected(build(with_password()));
        play.answer(&features.repeat(2));
        play.assert_refused_without_proof("twice");
        assert!(is_unexpected(&play));
        assert_error(&play, "unsupported-stanza-type", "twice");
        play
    });
    everywhere(|| {
        let mut play = Play::connected(build(with_password()));
        play.answer(&format!("{HELLO}{features}"));
        play.assert_refused_without_proof("a stanza before them");
        assert!(is_unexpected(&play) && play.sent("auth").is_empty());
        play
    });
    everywhere(|| {
        let mut play = Play::binding(build(with_certificate()));
        play.answer(BIND);
        play.assert_refused("while binding");
        play
    });
    however_cut(|| {
        let mut play = Play::online();
        play.answer(&format!("{BIND}{features}"));
        assert!(
            play.events.is_empty() && play.sent("auth").len() == 1,
            "later they mean nothing"
        );
        play
    });
    // Before the header there is no stream.
    for wire in STREAMS {
        wire::set(wire, Cut::Elements);
        let mut play = Play::connected(build(with_password()));
        play.greeted = play.streams;
        play.raw(&features.replace(
            "<stream:features",
            "<stream:features xmlns:stream='http://etherx.jabber.org/streams'",
        ));
        play.assert_refused_without_proof("before the header");
        assert_error(&play, "invalid-namespace", "before the header");
    }
}

#[test]
fn a_stream_without_a_version_of_1_is_refused_and_a_later_one_is_as_good() {
    for version in ["1.0", "1.1", "1.17", "2.0", "99.0", "01.0"] {
        everywhere(|| {
            let mut play = Play::connected(build(with_password()));
            play.greeted = play.streams;
            let header = play
                .wire
                .header(&format!("version='{version}' id='1' from='example.org'"));
            play.raw(&format!("{header}{}", mechanisms(&["SCRAM-SHA-256"])));
            assert_eq!(play.sent("auth").len(), 1, "{version}: {:?}", play.events);
            play
        });
    }
    for version in [
        "",
        "version='0.9'",
        "version='abc'",
        "version=''",
        "version='-1.0'",
        "version='+1.0'",
        "version=' '",
    ] {
        everywhere(|| {
            let mut play = Play::connected(build(with_password()));
            play.greeted = play.streams;
            let header = play.wire.header(&format!("{version} id='1' from='example.org'"));
            play.raw(&header);
            play.assert_refused_without_proof(version);
            assert_eq!(
                play.reason(),
                Offline::Incompatible(PeerIncompatible::Version),
                "{version}"
            );
            play
        });
    }
}

#[test]
fn a_server_that_calls_itself_something_else_changes_nothing() {
    everywhere(|| {
        let mut play = Play::connected(build(with_certificate()));
        play.greeted = play.streams;
        let header = play
            .wire
            .header("version='1.0' id='1' from='evil.example' to='admin@evil.example'");
        play.raw(&format!("{header}{}", mechanisms(&["EXTERNAL"])));
        play.answer(&sasl("success", ""));
        assert_eq!(
            last_wire(&play).matches(" to='example.org'").count(),
            play.streams,
            "{:?}",
            play.wires
        );
        assert!(!play.posts.concat().contains("evil.example"));
        play
    });
}

#[test]
fn a_stream_of_another_content_is_refused() {
    for content in ["jabber:server", "jabber:component:accept", "urn:evil"] {
        on(&TCP, || {
            let mut play = Play::connected(build(with_certificate()));
            play.greeted = play.streams;
            let header = play
                .wire
                .header("version='1.0' id='1'")
                .replace("jabber:client", content);
            play.raw(&header);
            play.assert_refused(content);
            assert_eq!(play.reason(), Offline::Misbehaved(PeerMisbehaved::ContentNamespace));
            assert_error(&play, "invalid-namespace", content);
            play
        });
    }
}

#[test]
fn a_stream_error_is_final_and_short() {
    let condition = |name: &str| format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    let text = format!(
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{}</text>",
        "y\u{1f600}".repeat(10_000)
    );
    let error = format!(
        "<stream:error>{}{text}{}</stream:error>",
        condition("conflict"),
        "<a xmlns='urn:a'><b/></a>".repeat(100)
    );
    let second = format!("<stream:error>{}</stream:error>", condition("reset"));
    everywhere(|| {
        let mut play = Play::online();
        play.answer(&format!("{error}{second}{HELLO}"));
        let Offline::Ended(end) = play.reason() else {
            panic!("{:?}", play.reason());
        };
        assert_eq!(end.condition.as_deref(), Some("conflict"));
        assert!(end.text.unwrap().chars().count() <= 1_024);
        assert!(end.application.unwrap().chars().count() <= 1_024);
        assert!(play.stanzas().is_empty());
        // RFC 6120 §4.4, §4.9.1.1: the stream is closed, and no error answers an error.
        assert_closed(&play, "conflict");
        play
    });
    let unknown = format!("<stream:error>{}</stream:error>", condition("no-such-condition"));
    for error in [
        unknown.as_str(),
        "<stream:error/>",
        "<stream:error><conflict xmlns='urn:evil'/></stream:error>",
    ] {
        everywhere(|| {
            let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
            play.answer(error);
            play.assert_refused_without_proof(error);
            let undefined = Some("undefined-condition");
            assert!(matches!(play.reason(), Offline::Ended(end) if end.condition.as_deref() == undefined));
            play
        });
    }
}

#[test]
fn after_the_end_nothing_is_heard() {
    everywhere(|| {
        let mut play = Play::online();
        play.answer(play.wire.close());
        assert!(matches!(play.reason(), Offline::Ended(end) if end.condition.is_none()));
        assert_closed(&play, "the server left");
        play.answer(HELLO);
        play.input(Input::Ended { link: play.link }).unwrap();
        play.wait(600_000);
        assert!(play.stanzas().is_empty());
        play
    });
    // In the same bytes, and while our goodbye waits for the server's.
    everywhere(|| {
        let mut play = Play::online();
        let both = format!("{}{HELLO}", play.wire.close());
        play.answer(&both);
        assert!(play.stanzas().is_empty());
        play
    });
    everywhere(|| {
        let mut play = Play::online();
        play.input(Input::Stop).unwrap();
        let both = format!("{}{HELLO}", play.wire.close());
        play.answer(&both);
        assert_eq!(play.reason(), Offline::Stopped);
        assert!(play.stanzas().is_empty());
        play
    });
}

#[test]
fn a_stream_id_used_again_does_not_matter() {
    // The harness gives every stream the same one.
    however_cut(Play::online);
}

#[test]
fn stanzas_before_the_login_are_not_delivered() {
    let stanzas = [
        HELLO,
        "<presence xmlns='jabber:client' from='a@example.net'/>",
        "<iq xmlns='jabber:client' type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='evil@example.net'/></query></iq>",
        "<iq xmlns='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    ];
    for stanza in stanzas {
        for stage in 0..4 {
            everywhere(|| {
                let mut play = match stage {
                    0 => Play::connected(build(with_password())),
                    1 => Play::offered(build(with_password()), &["SCRAM-SHA-256"]),
                    2 => {
                        let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
                        play.answer(&sasl("success", ""));
                        play
                    }
                    _ => Play::binding(build(with_certificate())),
                };
                play.answer(stanza);
                play.assert_refused_without_proof(stanza);
                assert!(is_unexpected(&play), "{stanza}: {:?}", play.reason());
                assert_error(&play, "unsupported-stanza-type", stanza);
                assert!(!play.events.iter().any(|event| matches!(event, Event::Request { .. })));
                play
            });
        }
    }
}

#[test]
fn what_follows_the_success_in_the_same_bytes_is_refused() {
    use PeerMisbehaved::{AfterLogin, StreamHeader};
    for (after, breach) in [
        (
            HELLO,
            StreamHeader {
                element: "{jabber:client}message".to_owned(),
            },
        ),
        (
            "<x/>",
            StreamHeader {
                element: "{}x".to_owned(),
            },
        ),
        ("x", AfterLogin),
    ] {
        for wire in TCP {
            wire::set(wire, Cut::Together);
            let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
            play.answer(&format!("{}{after}", sasl("success", "")));
            play.assert_refused(after);
            assert_error(&play, breach.condition(), after);
            assert_eq!(play.reason(), Offline::Misbehaved(breach.clone()), "{after}");
            // White space belongs to the old stream.
            let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
            play.answer(&format!("{} \r\n\t", sasl("success", "")));
            play.answer(BIND);
            assert_eq!(play.sent("iq").len(), 1, "{:?}", play.events);
        }
    }
}

#[test]
fn a_login_is_not_sent_to_a_server_that_has_already_misbehaved() {
    for after in [HELLO, &mechanisms(&["EXTERNAL"]), "</x>", "<!---->"] {
        for wire in TCP {
            wire::set(wire, Cut::Together);
            let mut play = Play::connected(build(with_certificate()));
            play.answer(&format!("{}{after}", mechanisms(&["EXTERNAL"])));
            play.assert_refused(after);
            assert!(play.sent("auth").is_empty(), "{after}: {:?}", play.posts);
        }
    }
}

#[test]
fn compression_is_never_negotiated() {
    let compression = "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>";
    let compressed = "<compressed xmlns='http://jabber.org/protocol/compress'/>";
    let features = mechanisms(&["EXTERNAL"]).replace("</stream:features>", &format!("{compression}</stream:features>"));
    everywhere(|| {
        let mut play = Play::connected(build(with_certificate()));
        play.answer(&features);
        assert!(!play.posts.concat().contains("compress"));
        play.answer(compressed);
        play.assert_refused("compressed");
        assert!(is_unexpected(&play));
        play
    });
    everywhere(|| {
        let mut play = Play::binding(build(with_certificate()));
        play.answer(compressed);
        play.assert_refused("compressed");
        play
    });
    however_cut(|| {
        let mut play = Play::online();
        play.answer(compressed);
        assert!(!play.is_over(), "unasked and unheard");
        play
    });
}

#[test]
fn elements_that_only_a_client_sends_are_not_taken_from_a_server() {
    let elements = [
        format!("<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{}</auth>", base64("\0a\0b")),
        sasl("response", "="),
        sasl("abort", ""),
        "<enable xmlns='urn:xmpp:sm:3'/>".to_owned(),
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>".to_owned(),
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned(),
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>".to_owned(),
    ];
    for element in elements {
        for stage in 0..3 {
            everywhere(|| {
                let mut play = match stage {
                    0 => Play::connected(build(with_password())),
                    1 => Play::offered(build(with_password()), &["SCRAM-SHA-256"]),
                    _ => Play::binding(build(with_certificate())),
                };
                play.answer(&element);
                play.assert_refused_without_proof(&element);
                play
            });
        }
        // What is about XEP-0198 is never taken in the wrong place.
        let managed = element.contains("urn:xmpp:sm:3");
        everywhere(|| {
            let mut play = Play::online();
            let auths = play.sent("auth").len();
            play.answer(&format!("{element}{HELLO}"));
            assert_eq!(play.stanzas().len(), usize::from(!managed), "{element}");
            assert_eq!(play.is_over(), managed, "{element}");
            assert_eq!(play.sent("auth").len(), auths);
            play
        });
    }
}

#[test]
fn a_stanza_that_is_cut_off_is_not_delivered() {
    let whole = format!("{HELLO}{}", HELLO.replace("hello", "lost"));
    for wire in TCP {
        wire::set(wire, Cut::Together);
        for end in HELLO.len() + 1..whole.len() {
            let mut play = Play::online();
            play.answer(&whole[..end]);
            play.input(Input::Ended { link: play.link }).unwrap();
            assert_eq!(play.stanzas().len(), 1, "{end}");
            assert_eq!(play.reason(), Offline::Connection(ConnectionError::Closed));
            assert!(!last_wire(&play).contains("</stream:stream>"), "nobody hears it");
        }
    }
}

#[test]
fn a_message_that_is_not_one_element_is_refused() {
    wire::set(Wire::WebSocket, Cut::Elements);
    let declared = HELLO;
    for message in [
        format!("{declared}{declared}"),
        format!("{declared} x"),
        format!("x{declared}"),
        "x".to_owned(),
        declared[..declared.len() - 1].to_owned(),
        "<message xmlns='jabber:client'>".to_owned(),
        "</message>".to_owned(),
    ] {
        let mut play = Play::online();
        play.received(message.clone().into_bytes());
        let error = misbehaved(&play, &message);
        assert_error(&play, error.condition(), &message);
        assert!(play.stanzas().is_empty(), "{message}");
    }
    // Old servers speak as on TCP (RFC 7395 §3.3.3 forbids it).
    let mut play = Play::connected(build(with_password()));
    play.received(Wire::StartTls.header("version='1.0' id='1'").into_bytes());
    play.assert_refused_without_proof("a header of TCP");
    assert_error(&play, "invalid-namespace", "a header of TCP");
}
