//! One TCP link against scripted bytes, whole and byte by byte.

use alloc::format;
use alloc::vec;

use super::*;
use crate::link::bed::Bed;

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='example.org' \
    id='s1' version='1.0'>";
const OURS: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const MESSAGE: &str = "<message xmlns='jabber:client'><body>hi</body></message>";

fn link() -> Tcp {
    Tcp::new(Parameters {
        id: LinkId(1),
        domain: "example.org".into(),
        language: "en".into(),
        limits: XmlLimits::before_authentication(),
        tls: TcpTls::StartTls,
    })
}

/// As the client does: the rest of the bytes after each event.
fn receive(tcp: &mut Tcp, bed: &mut Bed, text: &str, piece: usize) -> Vec<String> {
    let mut events = Vec::new();
    for piece in text.as_bytes().chunks(piece) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = tcp.received(&mut bed.cx(), rest);
            assert!(taken > 0, "no progress");
            events.extend(bed.events());
            rest = &rest[taken..];
        }
    }
    events
}

fn connected() -> (Tcp, Bed) {
    let (mut tcp, mut bed) = (link(), Bed::new());
    assert!(tcp.expects_connected());
    tcp.connected(&mut bed.cx(), None);
    assert_eq!(bed.said(), [OURS]);
    (tcp, bed)
}

fn open() -> (Tcp, Bed) {
    let (mut tcp, mut bed) = connected();
    assert_eq!(receive(&mut tcp, &mut bed, HEADER, usize::MAX), ["Opened"]);
    assert!(tcp.is_open());
    (tcp, bed)
}

/// What comes of `text` after our header; the same whole and byte by byte.
fn heard(text: &str) -> Vec<String> {
    let (mut tcp, mut bed) = connected();
    let whole = receive(&mut tcp, &mut bed, text, usize::MAX);
    let said = bed.said();
    let (mut tcp, mut bed) = connected();
    assert_eq!(receive(&mut tcp, &mut bed, text, 1), whole, "byte by byte: {text}");
    assert_eq!(bed.said(), said, "byte by byte: {text}");
    whole
}

#[test]
fn the_header_opens_and_elements_follow() {
    let events = heard(&format!("<?xml version='1.0'?>\n{HEADER} {MESSAGE}\n{MESSAGE}"));
    assert_eq!(events, ["Opened", MESSAGE, MESSAGE]);
}

#[test]
fn headers_that_are_none_end_it() {
    let misbehaved = |what: &str| vec![format!("Closed(Some(Misbehaved({what})))")];
    let (stream, client) = ("http://etherx.jabber.org/streams", "jabber:client");
    let header = |stream: &str, client: &str, rest: &str| {
        format!("<stream:stream xmlns='{client}' xmlns:stream='{stream}'{rest}>")
    };
    assert_eq!(
        heard(&header("urn:x", client, " version='1.0'")),
        misbehaved("StreamHeader { element: \"{urn:x}stream\" }")
    );
    assert_eq!(
        heard(&header(stream, "jabber:server", " version='1.0'")),
        misbehaved("ContentNamespace")
    );
    for version in ["", " version='0.9'", " version='abc'", " version=''", " version='-1.0'"] {
        assert_eq!(
            heard(&header(stream, client, version)),
            ["Closed(Some(Incompatible(Version)))"],
            "{version}"
        );
    }
    for version in [" version='1.0'", " version='2.0'", " version='10.1'", " version='01.0'"] {
        assert_eq!(heard(&header(stream, client, version)), ["Opened"], "{version}");
    }
    assert_eq!(
        heard("<html><body/></html>"),
        misbehaved("StreamHeader { element: \"{}html\" }")
    );
}

#[test]
fn another_from_and_an_absent_id_are_tolerated() {
    let header = HEADER
        .replace("from='example.org'", "from='example.net'")
        .replace("id='s1'", "");
    assert_eq!(heard(&header), ["Opened"]);
}

#[test]
fn xml_errors_end_it_once_and_nothing_follows() {
    for (bad, error) in [
        ("text", "BadFormat"),
        ("<!-- x -->", "RestrictedXml { what: Comment }"),
        ("<!DOCTYPE x>", "RestrictedXml { what: DocumentType }"),
        ("<?x?>", "RestrictedXml { what: ProcessingInstruction }"),
        ("<a></b>", "NotWellFormed { fault: MismatchedTag }"),
        (HEADER, "BadFormat"),
    ] {
        let events = heard(&format!("{HEADER}{bad}{MESSAGE}"));
        assert_eq!(
            events,
            ["Opened", &format!("Closed(Some(Misbehaved(Xml({error}))))")],
            "{bad}"
        );
    }
}

#[test]
fn too_large_an_element_ends_it() {
    let events = heard(&format!("{HEADER}<message>{}", "x".repeat(70_000)));
    assert_eq!(events.len(), 2);
    assert!(
        events[1].contains("LimitExceeded { limit: ElementBytes, maximum: 65536 }"),
        "{events:?}"
    );
}

#[test]
fn after_the_login_a_stream_may_go_on_for_ever() {
    let (mut tcp, mut bed) = connected();
    let limits = XmlLimits {
        document_bytes: Some(1_000),
        ..XmlLimits::default()
    };
    tcp.set_limits(limits);
    receive(&mut tcp, &mut bed, HEADER, usize::MAX);
    let events = receive(&mut tcp, &mut bed, &MESSAGE.repeat(100), 50);
    assert!(events.len() == 100 && events.iter().all(|event| event == MESSAGE));
}

#[test]
fn the_server_ends_it_normally_and_is_answered_after_what_is_queued() {
    let end = "Closed(Some(Ended(SessionEnd { condition: None, text: None, application: None, see_other: None })))";
    let (mut tcp, mut bed) = open();
    tcp.send(MESSAGE, None);
    let events = receive(&mut tcp, &mut bed, "</stream:stream><message/>", usize::MAX);
    assert_eq!(events, [end]);
    assert_eq!(bed.said(), ["<message><body>hi</body></message></stream:stream>"]);
    tcp.shut(&mut bed.cx(), true, None);
    assert!(bed.said().is_empty(), "one goodbye is enough");
    // A header that closes itself.
    let empty = HEADER.replace('>', "/>");
    assert_eq!(heard(&empty), ["Opened", end]);
}

#[test]
fn our_goodbye_waits_for_theirs_and_hears_what_comes_before_it() {
    let (mut tcp, mut bed) = open();
    tcp.send(MESSAGE, None);
    tcp.leave(&mut bed.cx());
    tcp.send(MESSAGE, None);
    tcp.flush(&mut bed.cx());
    assert_eq!(bed.said(), ["<message><body>hi</body></message></stream:stream>"]);
    assert!(!tcp.is_open());
    let events = receive(
        &mut tcp,
        &mut bed,
        &format!("{MESSAGE}</stream:stream>{MESSAGE}"),
        usize::MAX,
    );
    assert_eq!(events, [MESSAGE, "Closed(None)"]);
    assert!(bed.said().is_empty());
}

#[test]
fn the_end_of_the_connection_is_a_break_unless_we_were_leaving() {
    let (mut tcp, mut bed) = open();
    receive(&mut tcp, &mut bed, "<message><body>trunc", usize::MAX);
    tcp.ended(&mut bed.cx());
    tcp.ended(&mut bed.cx());
    assert_eq!(bed.events(), ["Closed(Some(Connection(Closed)))"]);
    let (mut tcp, mut bed) = open();
    tcp.leave(&mut bed.cx());
    tcp.ended(&mut bed.cx());
    assert_eq!(bed.events(), ["Closed(None)"]);
    let (mut tcp, mut bed) = (link(), Bed::new());
    tcp.leave(&mut bed.cx());
    assert_eq!(bed.events(), ["Closed(None)"]);
}

#[test]
fn starttls_is_asked_for_alone_and_begins_afresh() {
    let (mut tcp, mut bed) = open();
    tcp.ask_for_tls();
    tcp.white_space();
    tcp.send(MESSAGE, None);
    tcp.flush(&mut bed.cx());
    assert_eq!(bed.said(), [STARTTLS]);
    tcp.white_space();
    tcp.flush(&mut bed.cx());
    assert!(bed.said().is_empty());
    assert_eq!(receive(&mut tcp, &mut bed, PROCEED, 1), [PROCEED]);
    tcp.start_tls(&mut bed.cx(), true, "example.org");
    assert_eq!(
        bed.said(),
        ["StartTls { link: LinkId(1), server_name: \"example.org\" }"]
    );
    assert!(tcp.expects_connected() && !tcp.is_open());
    tcp.connected(&mut bed.cx(), Some("juliet@example.org"));
    assert_eq!(
        bed.said(),
        [OURS.replace(" version='1.0' xml", " from='juliet@example.org' version='1.0' xml")]
    );
    assert_eq!(receive(&mut tcp, &mut bed, HEADER, 1), ["Opened"]);
    assert_eq!(tcp.round_trips(), 3);
}

#[test]
fn what_follows_proceed_is_an_injection_whenever_it_shows() {
    for injected in [" ", "\n", "<features/>", HEADER] {
        let (mut tcp, mut bed) = open();
        tcp.ask_for_tls();
        tcp.flush(&mut bed.cx());
        let all = format!("{PROCEED}{injected}");
        let taken = tcp.received(&mut bed.cx(), all.as_bytes());
        assert_eq!(taken, PROCEED.len(), "not a byte more");
        bed.said();
        tcp.start_tls(&mut bed.cx(), taken == all.len(), "example.org");
        assert_eq!(bed.events(), [PROCEED, "Closed(Some(Misbehaved(BeforeTls)))"]);
        tcp.shut(&mut bed.cx(), true, Some(policy_violation()));
        assert!(bed.said().is_empty(), "neither TLS begins, nor is it said in the clear");
        // The host had read it before it saw `StartTls`.
        let (mut tcp, mut bed) = open();
        tcp.ask_for_tls();
        tcp.flush(&mut bed.cx());
        receive(&mut tcp, &mut bed, PROCEED, usize::MAX);
        tcp.start_tls(&mut bed.cx(), true, "example.org");
        let events = receive(&mut tcp, &mut bed, injected, 1);
        assert_eq!(events, ["Closed(Some(Misbehaved(BeforeTls)))"]);
        assert!(!tcp.expects_connected());
    }
}

#[test]
fn nobody_asked_and_yet_the_server_proceeds() {
    let (mut tcp, mut bed) = open();
    receive(&mut tcp, &mut bed, PROCEED, usize::MAX);
    tcp.start_tls(&mut bed.cx(), true, "example.org");
    assert!(bed.events()[0].contains("Unexpected"));
    assert!(bed.said().is_empty());
}

fn policy_violation() -> StreamErrorOut<'static> {
    StreamErrorOut {
        condition: "policy-violation",
        application: None,
    }
}

#[test]
fn after_the_login_only_white_space_may_come_before_the_new_header() {
    for piece in [1, usize::MAX] {
        let (mut tcp, mut bed) = open();
        tcp.restart(&mut bed.cx(), Some("juliet@example.org"));
        assert!(!tcp.is_open());
        let events = receive(&mut tcp, &mut bed, &format!(" \n<?xml version='1.0'?>{HEADER}"), piece);
        assert_eq!(events, ["Opened"]);
        for garbage in ["x", " &", "\u{feff}"] {
            let (mut tcp, mut bed) = open();
            tcp.restart(&mut bed.cx(), None);
            let events = receive(&mut tcp, &mut bed, &format!("{garbage}{HEADER}"), piece);
            assert_eq!(events, ["Closed(Some(Misbehaved(AfterLogin)))"]);
        }
    }
}

#[test]
fn stream_errors_of_ours_follow_a_header() {
    const ERROR: &str =
        "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    let (mut tcp, mut bed) = open();
    tcp.shut(&mut bed.cx(), true, Some(policy_violation()));
    assert_eq!(bed.said(), [ERROR]);
    // In the turn of a restart: what was queued is forgotten, the header with it.
    let (mut tcp, mut bed) = open();
    tcp.restart(&mut bed.cx(), Some("juliet@example.org"));
    tcp.send(MESSAGE, None);
    tcp.forget_unsent();
    tcp.shut(&mut bed.cx(), true, Some(policy_violation()));
    assert_eq!(bed.said(), [format!("{OURS}{ERROR}")]);
    let (mut tcp, mut bed) = open();
    tcp.shut(&mut bed.cx(), true, None);
    assert_eq!(bed.said(), [CLOSE]);
    let (mut tcp, mut bed) = open();
    tcp.shut(&mut bed.cx(), false, Some(policy_violation()));
    assert!(bed.said().is_empty());
    // Nothing is said to whom nobody connected to, and nothing where TLS may have begun.
    let (mut tcp, mut bed) = (link(), Bed::new());
    tcp.shut(&mut bed.cx(), true, Some(policy_violation()));
    assert!(bed.said().is_empty());
    let (mut tcp, mut bed) = open();
    tcp.ask_for_tls();
    tcp.flush(&mut bed.cx());
    bed.said();
    tcp.shut(&mut bed.cx(), true, Some(policy_violation()));
    assert!(bed.said().is_empty());
    // After our goodbye nothing may be said.
    let (mut tcp, mut bed) = open();
    tcp.leave(&mut bed.cx());
    tcp.flush(&mut bed.cx());
    bed.said();
    tcp.shut(&mut bed.cx(), true, Some(policy_violation()));
    assert!(bed.said().is_empty());
}

#[test]
fn an_application_condition_goes_into_the_stream_error() {
    let (mut tcp, mut bed) = open();
    let error = StreamErrorOut {
        condition: "undefined-condition",
        application: Some("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='1'/>".into()),
    };
    tcp.shut(&mut bed.cx(), true, Some(error));
    let said = bed.said().concat();
    assert_eq!(
        said,
        "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         <handled-count-too-high xmlns='urn:xmpp:sm:3' h='9' send-count='1'/></stream:error></stream:stream>"
    );
}

#[test]
fn stanzas_are_sent_when_their_last_byte_is_written() {
    let (mut tcp, mut bed) = open();
    tcp.written(&mut bed.cx(), OURS.len() as u64);
    assert_eq!(tcp.pending_bytes(), 0);
    let message = "<message xmlns='jabber:client' to='a@b'/>";
    tcp.send(message, Some(Token(1)));
    tcp.send("<r xmlns='urn:xmpp:sm:3'/>", None);
    tcp.send(message, Some(Token(2)));
    let written = "<message to='a@b'/><r xmlns='urn:xmpp:sm:3'/><message to='a@b'/>";
    assert_eq!(tcp.pending_bytes(), written.len());
    tcp.flush(&mut bed.cx());
    assert_eq!(bed.said(), [written]);
    tcp.written(&mut bed.cx(), 18);
    assert!(bed.events().is_empty());
    tcp.written(&mut bed.cx(), 1);
    assert_eq!(bed.events(), ["1 Sent"]);
    assert_eq!(tcp.pending_bytes(), written.len() - 19);
    // More than was given is as much as was given.
    tcp.written(&mut bed.cx(), u64::MAX);
    assert_eq!(bed.events(), ["2 Sent"]);
    assert_eq!(tcp.pending_bytes(), 0);
}

#[test]
fn what_is_forgotten_was_never_said() {
    let (mut tcp, mut bed) = open();
    tcp.send(MESSAGE, Some(Token(1)));
    tcp.leave(&mut bed.cx());
    tcp.forget_unsent();
    tcp.flush(&mut bed.cx());
    assert!(bed.said().is_empty());
    tcp.written(&mut bed.cx(), 1_000);
    assert!(bed.events().is_empty());
    tcp.shut(&mut bed.cx(), true, None);
    assert_eq!(bed.said(), [CLOSE], "the goodbye was forgotten too");
}

#[test]
fn only_the_content_namespace_of_the_start_tag_is_left_out() {
    let inner = "<message xmlns='jabber:client'><x xmlns='urn:x'><y xmlns='jabber:client'/></x></message>";
    assert_eq!(
        without_content_namespace(inner),
        ("<message", "><x xmlns='urn:x'><y xmlns='jabber:client'/></x></message>")
    );
    for kept in [
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
        "<a/>",
        "<a b='c'/>",
        "<a>t</a>",
    ] {
        let (start, rest) = without_content_namespace(kept);
        assert_eq!(format!("{start}{rest}"), kept);
    }
}

#[test]
fn white_space_goes_out_only_on_an_open_stream() {
    let (mut tcp, mut bed) = connected();
    tcp.white_space();
    tcp.flush(&mut bed.cx());
    assert!(bed.said().is_empty());
    let (mut tcp, mut bed) = open();
    tcp.white_space();
    tcp.flush(&mut bed.cx());
    assert_eq!(bed.said(), [" "]);
    tcp.leave(&mut bed.cx());
    tcp.white_space();
    tcp.flush(&mut bed.cx());
    assert_eq!(bed.said(), [CLOSE]);
}
