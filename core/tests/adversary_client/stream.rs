//! The link and the stream: certificates, forbidden XML, bombs, silence, elements in the wrong place (RFC 6120 §4, §11, §13).

use epode::error::{ConnectionError, PeerMisbehaved, TlsError, WaitingFor, Warning};
use epode::{Event, LinkInfo, Offline, Verified};

use crate::harness::{BIND, NS_SASL, Play, base64, bound, build, mechanisms, sasl, with_certificate, with_password};

const HELLO: &str = "<message xmlns='jabber:client' from='a@example.net'><body>hello</body></message>";

/// In the answer that creates the session and in one of an established session, whole: the end with that condition, nothing delivered
/// and no login tried.
fn assert_refused_everywhere(payload: &str, condition: &str) {
    let shown = &payload[..payload.len().min(80)];
    let mut play = Play::connected(build(with_password()));
    play.create(&format!("{payload}{}", mechanisms(&["SCRAM-SHA-256"])));
    play.assert_refused_without_proof(shown);
    assert!(play.sent("auth").is_empty(), "{shown}");
    assert!(
        matches!(play.reason(), Offline::Misbehaved(error) if error.condition() == condition),
        "{shown}: {:?}",
        play.reason()
    );
    let mut play = Play::online();
    play.answer(&format!("{HELLO}{payload}"));
    assert!(
        matches!(play.reason(), Offline::Misbehaved(error) if error.condition() == condition),
        "{shown}: {:?}",
        play.reason()
    );
    assert!(
        play.stanzas().is_empty(),
        "{shown}: not even what came before it in the same body"
    );
}

fn is_unexpected(play: &Play) -> bool {
    matches!(play.reason(), Offline::Misbehaved(PeerMisbehaved::Unexpected { .. }))
}

#[test]
fn a_certificate_for_another_name_stops_the_login() {
    for name in [
        "evil.example",
        "example.org.evil.example",
        "",
        "sub.example.org",
        "*.org",
    ] {
        let play = Play::linked(build(with_password()), LinkInfo::verified(name));
        play.assert_refused_without_proof(name);
        assert!(play.posts.is_empty(), "{name}");
        assert!(
            matches!(play.reason(), Offline::Tls(TlsError::WrongName { .. })),
            "{name}"
        );
    }
}

#[test]
fn a_link_that_nobody_verified_carries_nothing() {
    let encrypted = LinkInfo {
        encrypted: true,
        ..LinkInfo::default()
    };
    let plaintext = LinkInfo {
        verified: Verified::Host {
            name: "example.org".to_owned(),
        },
        ..LinkInfo::default()
    };
    for info in [LinkInfo::default(), encrypted, plaintext] {
        let play = Play::linked(build(with_password()), info);
        play.assert_refused_without_proof("unverified");
        assert!(play.posts.is_empty());
        assert_eq!(play.reason(), Offline::Tls(TlsError::Required));
    }
}

#[test]
fn a_session_that_is_sent_elsewhere_is_not_followed() {
    for (uri, shown) in [
        ("https://other.example/bind", Some("https://other.example/bind")),
        ("http://other.example/bind", None),
        ("javascript:alert(1)", None),
        ("", None),
    ] {
        let mut play = Play::online();
        let body = format!(
            "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' condition='see-other-uri'><uri>{uri}</uri></body>"
        );
        play.answer_bytes(0, body.into_bytes());
        let Offline::Ended(end) = play.reason() else {
            panic!("{:?}", play.reason());
        };
        assert_eq!(end.see_other.as_deref(), shown);
        play.wait(600_000);
    }
}

#[test]
fn a_body_that_is_cut_off_delivers_nothing() {
    let mut play = Play::online();
    let whole = format!("<body xmlns='http://jabber.org/protocol/httpbind'>{HELLO}{HELLO}</body>");
    let posted = play.posts.len();
    play.answer_bytes(0, whole.as_bytes()[..whole.len() - 10].to_vec());
    assert!(play.stanzas().is_empty(), "{:?}", play.events);
    assert_eq!(play.posts.len(), posted + 1, "it is asked for again");
    assert_eq!(play.posts[posted], play.posts[posted - 1], "byte for byte");
    play.answer_bytes(0, whole.into_bytes());
    assert_eq!(play.stanzas().len(), 2);
}

#[test]
fn a_document_type_is_refused_and_no_entity_expanded() {
    let body = format!(
        "<!DOCTYPE body [<!ENTITY x SYSTEM 'file:///etc/passwd'><!ENTITY y '&x;&x;'>]>\
         <body xmlns='http://jabber.org/protocol/httpbind' sid='s' wait='60' requests='2' hold='1'>{}</body>",
        mechanisms(&["PLAIN"])
    );
    let mut play = Play::connected(build(with_password()));
    play.answer_bytes(0, body.into_bytes());
    play.assert_refused_without_proof("a document type");
    assert!(play.sent("auth").is_empty());
    for payload in [
        "<!DOCTYPE x []>",
        "<message xmlns='jabber:client'><body>&lol;</body></message>",
        "<message xmlns='jabber:client' id='&x;'/>",
        "<message xmlns='jabber:client'><!ENTITY x 'y'></message>",
    ] {
        let mut play = Play::online();
        play.answer(&format!("{HELLO}{payload}"));
        assert!(
            matches!(play.reason(), Offline::Misbehaved(PeerMisbehaved::Xml(_))),
            "{payload}"
        );
        assert!(play.stanzas().is_empty(), "{payload}");
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
        assert_refused_everywhere(payload, "restricted-xml");
    }
    let mut play = Play::binding(build(with_certificate()));
    play.answer(&bound(
        &play.iq_id(),
        "<jid>user@example.org<!-- -->.evil.example/r</jid>",
    ));
    play.assert_refused("a jid in two parts");
    assert!(matches!(play.reason(), Offline::Misbehaved(error) if error.condition() == "restricted-xml"));
}

#[test]
fn an_address_is_judged_as_it_was_meant() {
    let mut play = Play::binding(build(with_certificate()));
    play.answer(&bound(
        &play.iq_id(),
        "<jid><![CDATA[us]]>er&#64;exampl&#x65;.org<![CDATA[/r&amp;]]></jid>",
    ));
    let jids: Vec<String> = play
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Online { jid, .. } => Some(jid.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(jids, ["user@example.org/r&amp;"]);
    let mut play = Play::binding(build(with_certificate()));
    play.answer(&bound(&play.iq_id(), "<jid>&#x61;dmin<![CDATA[@]]>example.org/r</jid>"));
    play.assert_refused("another account");
}

#[test]
fn bombs_stop_at_their_limits() {
    let message = |inner: &str| format!("<message xmlns='jabber:client' from='a@example.net'{inner}</message>");
    let attributes: String = (0..100_000).map(|n| format!(" a{n}=''")).collect();
    let namespaces: String = (0..100_000).map(|n| format!(" xmlns:a{n}='urn:{n}'")).collect();
    let bombs = [
        message(&format!(">{}", "<a>".repeat(20_000))),
        message(&format!(">{}{}", "<a>".repeat(100), "</a>".repeat(100))),
        message(&format!("{attributes}>")),
        message(&format!("{namespaces}>")),
        message(&format!("><body>{}</body>", "x".repeat(2 << 20))),
        message(&format!("><body>{}</body>", "&amp;".repeat(1 << 20))),
        message(&format!("><body>{}</body>", "<a/>".repeat(1 << 19))),
        message(&format!(" x='{}'>", "x".repeat(1 << 20))),
        message(&format!("><{}/>", "x".repeat(1 << 20))),
        message(&format!("{}>", " ".repeat(2 << 20))),
    ];
    for bomb in bombs {
        assert_refused_everywhere(&bomb, "policy-violation");
    }
}

#[test]
fn bombs_without_an_end_are_no_login() {
    // No end at all: the answer ends before the element does.
    for start in [
        "<message x='",
        "<message><body>",
        "<m",
        "<message  ",
        "<message xmlns:a='",
    ] {
        let mut play = Play::connected(build(with_password()));
        play.answer_bytes(
            0,
            format!(
                "<body xmlns='http://jabber.org/protocol/httpbind'>{start}{}",
                "x".repeat(2 << 20)
            )
            .into_bytes(),
        );
        play.assert_refused_without_proof(start);
    }
}

#[test]
fn silence_before_features_has_an_end() {
    let mut play = Play::connected(build(with_password()));
    play.create("");
    let mut waited = 0;
    while !play.is_over() {
        assert!(waited < 40_000, "still waiting");
        if play.has_open_request() {
            play.answer("  ");
        }
        play.pass(3_000);
        waited += 3_020;
    }
    play.assert_refused_without_proof("silence");
    let waiting_for = WaitingFor::Features;
    assert_eq!(
        play.reason(),
        Offline::Connection(ConnectionError::Timeout { waiting_for })
    );
    for stage in 0..3 {
        let mut play = match stage {
            0 => Play::connected(build(with_password())),
            1 => Play::offered(build(with_password()), &["SCRAM-SHA-256"]),
            _ => Play::binding(build(with_certificate())),
        };
        play.wait(31_000);
        play.assert_refused_without_proof("silence");
        assert!(
            matches!(play.reason(), Offline::Connection(ConnectionError::Timeout { .. })),
            "{stage}"
        );
    }
}

#[test]
fn white_space_is_no_news() {
    let mut play = Play::online();
    for _ in 0..5 {
        play.answer(&" \n\t".repeat(100_000));
    }
    // Five answers with nothing in them are too quick for a server that holds requests: that is said once.
    assert_eq!(play.events, [Event::Warning(Warning::Hurried)]);
    play.wait(2_000);
    play.answer(HELLO);
    assert_eq!(play.stanzas().len(), 1);
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
    for bytes in rows {
        let body = |before: &str, attributes: &str| {
            let start = format!(
                "<body xmlns='http://jabber.org/protocol/httpbind' {attributes}>{before}<message xmlns='jabber:client'><body>"
            );
            [start.as_bytes(), bytes, b"</body></message></body>"].concat()
        };
        let mut play = Play::online();
        play.answer_bytes(0, body(HELLO, ""));
        assert!(
            matches!(play.reason(), Offline::Misbehaved(PeerMisbehaved::Xml(_))),
            "{bytes:?}"
        );
        assert!(play.stanzas().is_empty(), "{bytes:?}");
        let mut play = Play::connected(build(with_password()));
        play.answer_bytes(0, body("", "sid='s' wait='60' requests='2' hold='1'"));
        play.assert_refused_without_proof("bytes");
    }
}

#[test]
fn another_encoding_or_a_byte_order_mark_is_no_stream() {
    let body = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' sid='s' wait='60' requests='2' hold='1' \
         xmlns:stream='http://etherx.jabber.org/streams'>{}</body>",
        mechanisms(&["SCRAM-SHA-256"])
    );
    let utf_16: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(body.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf_16_be: Vec<u8> = body.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [
        format!("\u{feff}{body}").into_bytes(),
        format!("<?xml version='1.0' encoding='UTF-16'?>{body}").into_bytes(),
        format!("<?xml version='1.0' encoding='ISO-8859-1'?>{body}").into_bytes(),
        utf_16,
        utf_16_be,
    ] {
        let mut play = Play::connected(build(with_password()));
        play.answer_bytes(0, bytes);
        play.assert_refused_without_proof("encoding");
        assert!(play.sent("auth").is_empty());
    }
}

#[test]
fn an_attribute_given_twice_is_refused() {
    for payload in [
        "<message xmlns='jabber:client' from='a@example.net' from='b@example.net'/>",
        "<message xmlns='jabber:client' xmlns:a='urn:x' xmlns:b='urn:x' a:i='1' b:i='2'/>",
        "<message xmlns='jabber:client' xmlns='jabber:client'/>",
    ] {
        assert_refused_everywhere(payload, "not-well-formed");
    }
}

#[test]
fn names_count_and_prefixes_do_not() {
    let mut play = Play::online();
    play.answer(
        "<x:message xmlns:x='jabber:client' from='a@example.net'><x:body>1</x:body></x:message>\
         <message xmlns='urn:evil' from='a@example.net'><body>2</body></message>\
         <jabber:message xmlns:jabber='urn:evil' from='a@example.net'/>\
         <x:iq xmlns:x='urn:evil' type='get' id='1' from='a@example.net'><ping xmlns='urn:xmpp:ping'/></x:iq>",
    );
    let stanzas = play.stanzas();
    assert_eq!(stanzas.len(), 1);
    assert_eq!(stanzas[0].child("jabber:client", "body").unwrap().text(), "1");
    assert!(!play.posts.last().unwrap().contains("<iq"));
    // Features and SASL in foreign namespaces are not features and not SASL.
    let mut play = Play::connected(build(with_password()));
    play.create(&mechanisms(&["SCRAM-SHA-256"]).replace(NS_SASL, "urn:evil"));
    play.assert_refused_without_proof("features without SASL");
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    play.answer("<success xmlns='urn:evil'/>");
    play.assert_refused("a success of another kind");
    assert!(is_unexpected(&play));
}

#[test]
fn a_second_stream_breaks_the_protocol() {
    let header = "<stream:stream xmlns='jabber:client' version='1.0' id='2' from='example.org'/>";
    let mut play = Play::connected(build(with_password()));
    play.create(header);
    play.assert_refused_without_proof("before features");
    assert!(is_unexpected(&play));
    let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
    play.answer(header);
    play.assert_refused_without_proof("during the login");
    assert!(is_unexpected(&play));
    let mut play = Play::binding(build(with_certificate()));
    play.answer(header);
    play.assert_refused("while binding");
}

#[test]
fn features_come_once_and_first() {
    let features = mechanisms(&["SCRAM-SHA-256"]);
    let mut play = Play::connected(build(with_password()));
    play.create(&features.repeat(2));
    play.assert_refused_without_proof("twice");
    assert!(is_unexpected(&play));
    let mut play = Play::connected(build(with_password()));
    play.create(&format!("{HELLO}{features}"));
    play.assert_refused_without_proof("a stanza before them");
    assert!(is_unexpected(&play) && play.sent("auth").is_empty());
    let mut play = Play::binding(build(with_certificate()));
    play.answer(BIND);
    play.assert_refused("while binding");
    let mut play = Play::online();
    play.answer(&format!("{BIND}{features}"));
    assert!(
        play.events.is_empty() && play.sent("auth").len() == 1,
        "later they mean nothing"
    );
}

#[test]
fn a_server_that_calls_itself_something_else_changes_nothing() {
    let mut play = Play::connected(build(with_certificate()));
    let body = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' sid='s' wait='60' requests='2' hold='1' ver='1.6' from='evil.example' \
         xmlns:stream='http://etherx.jabber.org/streams'>{}</body>",
        mechanisms(&["EXTERNAL"])
    );
    play.answer_bytes(0, body.into_bytes());
    play.answer(&sasl("success", ""));
    let restart = play.posts.last().unwrap();
    assert!(
        restart.contains(" to='example.org'") && restart.contains("restart='true'"),
        "{restart}"
    );
    assert!(!play.posts.concat().contains("evil.example"));
}

#[test]
fn a_stream_error_is_final_and_short() {
    let condition = |name: &str| format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    let text = format!(
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{}</text>",
        "y\u{1f600}".repeat(30_000)
    );
    let error = format!(
        "<stream:error>{}{text}{}</stream:error>",
        condition("conflict"),
        "<a xmlns='urn:a'><b/></a>".repeat(100)
    );
    let second = format!("<stream:error>{}</stream:error>", condition("reset"));
    let mut play = Play::online();
    play.answer(&format!("{error}{second}{HELLO}"));
    let Offline::Ended(end) = play.reason() else {
        panic!("{:?}", play.reason());
    };
    assert_eq!(end.condition.as_deref(), Some("conflict"));
    assert!(end.text.unwrap().chars().count() <= 1_024);
    assert!(end.application.unwrap().chars().count() <= 1_024);
    assert!(play.stanzas().is_empty());
    let unknown = format!("<stream:error>{}</stream:error>", condition("no-such-condition"));
    for error in [
        unknown.as_str(),
        "<stream:error/>",
        "<stream:error><conflict xmlns='urn:evil'/></stream:error>",
    ] {
        let mut play = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
        play.answer(error);
        play.assert_refused_without_proof(error);
        assert!(
            matches!(play.reason(), Offline::Ended(end) if end.condition.as_deref() == Some("undefined-condition"))
        );
    }
}

#[test]
fn after_the_end_nothing_is_heard() {
    let mut play = Play::online();
    let end = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' condition='system-shutdown'/>{HELLO}"
    );
    play.answer_bytes(0, end.into_bytes());
    // Text behind the root is no body at all: it is asked for again, and then ends.
    assert!(play.stanzas().is_empty());
    let mut play = Play::online();
    let end = "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' condition='system-shutdown'/>";
    play.answer_bytes(0, end.as_bytes().to_vec());
    let count = play.events.len();
    play.answer_stray(HELLO);
    play.wait(600_000);
    assert_eq!(play.events.len(), count);
    assert!(matches!(play.reason(), Offline::Ended(end) if end.condition.as_deref() == Some("system-shutdown")));
}

#[test]
fn a_stream_id_used_again_does_not_matter() {
    let mut play = Play::offered(build(with_certificate()), &["EXTERNAL"]);
    play.answer(&sasl("success", ""));
    let restarted = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' authid='s1d' sid='s1d' xmlns:stream='http://etherx.jabber.org/streams'>{BIND}</body>"
    );
    play.answer_bytes(0, restarted.into_bytes());
    play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
    assert!(play.is_online());
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
        let mut creating = Play::connected(build(with_password()));
        creating.create(stanza);
        let mut login = Play::offered(build(with_password()), &["SCRAM-SHA-256"]);
        login.answer(stanza);
        let mut restarted = Play::offered(build(with_certificate()), &["EXTERNAL"]);
        restarted.answer(&format!("{}{stanza}", sasl("success", "")));
        let mut binding = Play::binding(build(with_certificate()));
        binding.answer(stanza);
        for play in [creating, login, restarted, binding] {
            play.assert_refused_without_proof(stanza);
            assert!(is_unexpected(&play), "{stanza}: {:?}", play.reason());
            assert!(!play.events.iter().any(|event| matches!(event, Event::Request { .. })));
        }
    }
}

#[test]
fn compression_is_never_negotiated() {
    let compression = "<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>";
    let features = mechanisms(&["EXTERNAL"]).replace("</stream:features>", &format!("{compression}</stream:features>"));
    let mut play = Play::connected(build(with_certificate()));
    play.create(&features);
    assert!(!play.posts.concat().contains("compress"));
    play.answer("<compressed xmlns='http://jabber.org/protocol/compress'/>");
    play.assert_refused("compressed");
    assert!(is_unexpected(&play));
    let mut play = Play::binding(build(with_certificate()));
    play.answer("<compressed xmlns='http://jabber.org/protocol/compress'/>");
    play.assert_refused("compressed");
}

#[test]
fn elements_that_only_a_client_sends_are_not_taken_from_a_server() {
    let elements = [
        format!("<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{}</auth>", base64("\0a\0b")),
        sasl("response", "="),
        sasl("abort", ""),
        "<enable xmlns='urn:xmpp:sm:3'/>".to_owned(),
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned(),
        "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned(),
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>".to_owned(),
    ];
    for element in elements {
        for stage in 0..3 {
            let mut play = match stage {
                0 => Play::connected(build(with_password())),
                1 => Play::offered(build(with_password()), &["SCRAM-SHA-256"]),
                _ => Play::binding(build(with_certificate())),
            };
            if stage == 0 {
                play.create(&element);
            } else {
                play.answer(&element);
            }
            play.assert_refused_without_proof(&element);
        }
        let mut play = Play::online();
        let auths = play.sent("auth").len();
        play.answer(&format!("{element}{HELLO}"));
        assert_eq!(play.stanzas().len(), 1, "{element}");
        assert_eq!(play.sent("auth").len(), auths);
    }
}
