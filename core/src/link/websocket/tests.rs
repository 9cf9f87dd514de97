//! One WebSocket link against scripted messages.

use alloc::format;

use super::*;
use crate::link::bed::Bed;

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='example.org' id='s1' version='1.0'/>";
const OURS: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0' xml:lang='en'/>";
const MESSAGE: &str = "<message xmlns='jabber:client'><body>hi</body></message>";
const NORMAL_END: &str =
    "Closed(Some(Ended(SessionEnd { condition: None, text: None, application: None, see_other: None })))";

fn link() -> WebSocket {
    WebSocket::new(Parameters {
        id: LinkId(1),
        domain: "example.org".into(),
        language: "en".into(),
        limits: XmlLimits::before_authentication(),
    })
}

fn connected() -> (WebSocket, Bed) {
    let (mut link, mut bed) = (link(), Bed::new());
    assert!(link.expects_connected());
    link.connected(&mut bed.cx(), None);
    assert_eq!(bed.said(), [OURS]);
    (link, bed)
}

fn open() -> (WebSocket, Bed) {
    let (mut link, mut bed) = connected();
    assert_eq!(receive(&mut link, &mut bed, OPEN), ["Opened"]);
    assert!(link.is_open());
    (link, bed)
}

fn receive(link: &mut WebSocket, bed: &mut Bed, text: &str) -> Vec<String> {
    assert_eq!(link.received(&mut bed.cx(), text.as_bytes()), text.len());
    bed.events()
}

/// What comes of the message in an open stream.
fn heard(text: &str) -> Vec<String> {
    let (mut link, mut bed) = open();
    receive(&mut link, &mut bed, text)
}

fn misbehaved(what: &str) -> [String; 1] {
    [format!("Closed(Some(Misbehaved({what})))")]
}

#[test]
fn each_message_is_one_element() {
    let (mut link, mut bed) = open();
    assert_eq!(receive(&mut link, &mut bed, MESSAGE), [MESSAGE]);
    assert!(
        receive(&mut link, &mut bed, "").is_empty(),
        "an empty message says nothing"
    );
    assert_eq!(
        receive(&mut link, &mut bed, "<message/>"),
        ["<message/>"],
        "in no namespace, as sent"
    );
    for frame in [
        format!(" {MESSAGE}"),
        format!("{MESSAGE}\n"),
        format!("{MESSAGE}{MESSAGE}"),
        format!("{MESSAGE}text"),
        format!("\u{feff}{MESSAGE}"),
        format!("<?xml version='1.0'?>{MESSAGE}"),
        "<message xmlns='jabber:client'><body>hi".into(),
        " ".into(),
    ] {
        assert_eq!(heard(&frame), misbehaved("Frame"), "{frame}");
    }
    assert_eq!(
        heard("<a><!-- --></a>"),
        misbehaved("Xml(RestrictedXml { what: Comment })")
    );
    assert_eq!(
        heard("<a></b>"),
        misbehaved("Xml(NotWellFormed { fault: MismatchedTag })")
    );
}

#[test]
fn a_large_message_is_refused() {
    let text = format!("<message xmlns='jabber:client'>{}</message>", "x".repeat(65_536));
    let error = "Xml(LimitExceeded { limit: ElementBytes, maximum: 65536 })";
    assert_eq!(heard(&text), misbehaved(error));
    let (mut link, mut bed) = open();
    link.set_limits(XmlLimits::default());
    assert_eq!(receive(&mut link, &mut bed, &text), [text]);
}

#[test]
fn a_stream_begins_with_open_once() {
    for (text, events) in [
        (
            MESSAGE,
            misbehaved("StreamHeader { element: \"{jabber:client}message\" }"),
        ),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client' version='1.0'>",
            misbehaved("StreamHeader { element: \"{http://etherx.jabber.org/streams}stream\" }"),
        ),
        (
            "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
            misbehaved("StreamHeader { element: \"{http://etherx.jabber.org/streams}stream\" }"),
        ),
        (
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='0.9'/>",
            ["Closed(Some(Incompatible(Version)))".into()],
        ),
        (
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
            ["Closed(Some(Incompatible(Version)))".into()],
        ),
    ] {
        let (mut link, mut bed) = connected();
        assert_eq!(receive(&mut link, &mut bed, text), events, "{text}");
        assert!(receive(&mut link, &mut bed, OPEN).is_empty(), "nothing follows the end");
    }
    assert_eq!(heard(OPEN), misbehaved("Xml(BadFormat)"));
}

#[test]
fn a_login_begins_another_stream_and_nothing_comes_between() {
    let (mut link, mut bed) = open();
    link.restart(&mut bed.cx(), Some("juliet@example.org"));
    link.flush(&mut bed.cx());
    assert_eq!(
        bed.said(),
        [OURS.replace(" version", " from='juliet@example.org' version")]
    );
    assert_eq!(receive(&mut link, &mut bed, OPEN), ["Opened"]);
    assert_eq!(link.round_trips(), 2);
    let (mut link, mut bed) = open();
    link.restart(&mut bed.cx(), None);
    assert_eq!(receive(&mut link, &mut bed, MESSAGE), misbehaved("AfterLogin"));
}

#[test]
fn a_stream_error_is_read_even_with_an_undeclared_prefix() {
    let condition = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
    let declared = format!("<stream:error xmlns:stream='http://etherx.jabber.org/streams'>{condition}</stream:error>");
    let undeclared = format!("<stream:error>{condition}</stream:error>");
    let read = [format!(
        "<error xmlns='http://etherx.jabber.org/streams'>{condition}</error>"
    )];
    for text in [&declared, &undeclared] {
        assert_eq!(heard(text), read);
        let (mut link, mut bed) = connected();
        assert_eq!(receive(&mut link, &mut bed, text), read, "before the header, too");
    }
    let features = "<stream:features/>";
    let fault = misbehaved("Xml(NotWellFormed { fault: UndeclaredPrefix })");
    assert_eq!(heard(features), fault);
    assert_eq!(heard("<x:error/>"), fault);
}

#[test]
fn either_side_says_goodbye_first() {
    let (mut link, mut bed) = open();
    link.send(MESSAGE, None);
    assert_eq!(receive(&mut link, &mut bed, CLOSE), [NORMAL_END]);
    assert_eq!(bed.said(), [MESSAGE, CLOSE]);
    assert!(receive(&mut link, &mut bed, MESSAGE).is_empty());

    let (mut link, mut bed) = open();
    link.send(MESSAGE, None);
    link.leave(&mut bed.cx());
    link.send(MESSAGE, None);
    link.flush(&mut bed.cx());
    assert_eq!(bed.said(), [MESSAGE, CLOSE]);
    assert_eq!(receive(&mut link, &mut bed, MESSAGE), [MESSAGE]);
    assert_eq!(receive(&mut link, &mut bed, CLOSE), ["Closed(None)"]);
    assert!(bed.said().is_empty());

    let (mut link, mut bed) = open();
    link.ended(&mut bed.cx());
    assert_eq!(bed.events(), ["Closed(Some(Connection(Closed)))"]);
    let (mut link, mut bed) = open();
    link.leave(&mut bed.cx());
    link.ended(&mut bed.cx());
    assert_eq!(bed.events(), ["Closed(None)"]);
}

#[test]
fn see_other_uri_is_judged_by_its_scheme() {
    for (uri, kept) in [
        ("wss://other.example/ws", true),
        ("WSS://other.example:5281/ws?x=y", true),
        ("ws://other.example/ws", true),
        ("http://other.example/?wss:", false),
        ("https://other.example/wss://x", false),
        ("javascript:wss://x", false),
        ("wss://user@other.example/", false),
        ("wss:///ws", false),
        ("wss://a b/", false),
        ("wss", false),
        ("", false),
    ] {
        let expected = if kept { format!("Some({uri:?})") } else { "None".into() };
        let text = format!("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='{uri}'/>");
        let end = format!(
            "Closed(Some(Ended(SessionEnd {{ condition: Some(\"see-other-uri\"), text: None, application: None, see_other: {expected} }})))"
        );
        let (mut link, mut bed) = connected();
        assert_eq!(
            receive(&mut link, &mut bed, &text),
            core::slice::from_ref(&end),
            "before the header"
        );
        assert_eq!(bed.said(), [CLOSE]);
        assert_eq!(heard(&text), [end]);
    }
    let long = format!("wss://other.example/{}", "x".repeat(URL_BYTES));
    let text = format!("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='{long}'/>");
    assert!(
        heard(&text)[0].contains("see_other: None"),
        "cut off it would lead elsewhere"
    );
}

#[test]
fn stream_errors_of_ours_follow_a_header() {
    const ERROR: &str = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
        <bad-format xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let error = || {
        Some(StreamErrorOut {
            condition: "bad-format",
            application: None,
        })
    };
    let (mut link, mut bed) = open();
    link.shut(&mut bed.cx(), true, error());
    assert_eq!(bed.said(), [ERROR, CLOSE]);
    let (mut link, mut bed) = open();
    link.restart(&mut bed.cx(), None);
    link.forget_unsent();
    link.shut(&mut bed.cx(), true, error());
    assert_eq!(bed.said(), [OURS, ERROR, CLOSE]);
    let (mut link, mut bed) = open();
    link.shut(&mut bed.cx(), true, None);
    assert_eq!(bed.said(), [CLOSE]);
    let (mut link, mut bed) = open();
    link.shut(&mut bed.cx(), false, error());
    assert!(bed.said().is_empty());
    let mut bed = Bed::new();
    self::link().shut(&mut bed.cx(), true, error());
    assert!(bed.said().is_empty(), "nobody is connected");
}

#[test]
fn stanzas_are_sent_when_their_frame_is_written() {
    let (mut link, mut bed) = open();
    link.written(&mut bed.cx(), OURS.len() as u64);
    link.send(MESSAGE, Some(Token(1)));
    link.send(MESSAGE, Some(Token(2)));
    link.flush(&mut bed.cx());
    assert_eq!(bed.said(), [MESSAGE, MESSAGE]);
    link.written(&mut bed.cx(), MESSAGE.len() as u64 + 1);
    assert_eq!(bed.events(), ["1 Sent"]);
    assert_eq!(link.pending_bytes(), MESSAGE.len() - 1);
    link.written(&mut bed.cx(), MESSAGE.len() as u64 - 1);
    assert_eq!(bed.events(), ["2 Sent"]);
}
