//! Every stream transport in turn, with every cut, and what has to be the same for all cuts.

use epode::config::Reconnect;
use epode::{Config, Event, LinkInfo};

use crate::harness::{Play, bound, build, mechanisms, sasl, with_certificate};
use crate::wire::{self, Cut, Wire};

pub(crate) const STREAMS: [Wire; 3] = [Wire::StartTls, Wire::Direct, Wire::WebSocket];
pub(crate) const TCP: [Wire; 2] = [Wire::StartTls, Wire::Direct];
pub(crate) const HELLO: &str = "<message xmlns='jabber:client' from='a@example.net'><body>hello</body></message>";
/// Features of after the login, with XEP-0198.
pub(crate) const MANAGED: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                                  <sm xmlns='urn:xmpp:sm:3'/></stream:features>";
pub(crate) const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='300'/>";

/// What came of a play: the events, and what went over each link.
#[derive(Debug, PartialEq)]
struct Trace {
    events: Vec<Event>,
    wires: Vec<String>,
}

fn trace(play: &Play) -> Trace {
    Trace {
        events: play.events.clone(),
        wires: play.wires.values().cloned().collect(),
    }
}

/// Plays the scenario on these transports, with the server's words cut after each element, and after each byte: the same comes of it.
pub(crate) fn on(wires: &[Wire], scenario: impl Fn() -> Play) {
    for wire in wires {
        let played = |cut| {
            wire::set(*wire, cut);
            trace(&scenario())
        };
        let by_element = played(Cut::Elements);
        if wire.is_tcp() {
            assert_eq!(by_element, played(Cut::Bytes), "{wire:?}, byte by byte");
        }
    }
}

/// The same on every stream transport.
pub(crate) fn everywhere(scenario: impl Fn() -> Play) {
    on(&STREAMS, scenario);
}

/// As `everywhere`, and all that is said at once may come at once, with the same result.
pub(crate) fn however_cut(scenario: impl Fn() -> Play) {
    everywhere(&scenario);
    for wire in TCP {
        wire::set(wire, Cut::Elements);
        let by_element = trace(&scenario());
        wire::set(wire, Cut::Together);
        assert_eq!(by_element, trace(&scenario()), "{wire:?}, together");
    }
}

/// A client that connects again.
pub(crate) fn persistent() -> Config {
    build(with_certificate().reconnect(Reconnect::default()))
}

pub(crate) fn verified() -> LinkInfo {
    LinkInfo::verified("example.org")
}

/// The login on a link that is asked for, up to the features behind it.
pub(crate) fn log_in(play: &mut Play, features: &str) {
    play.connect(verified());
    play.answer(&mechanisms(&["EXTERNAL"]));
    play.answer(&sasl("success", ""));
    play.answer(features);
}

/// Online with XEP-0198; nothing is in `events`.
pub(crate) fn managed(config: Config) -> Play {
    let mut play = Play::started(config);
    log_in(&mut play, MANAGED);
    play.answer(&bound(&play.iq_id(), "<jid>user@example.org/r</jid>"));
    assert!(play.is_online(), "{:?}", play.events);
    play.answer(ENABLED);
    play.events.clear();
    play
}

/// What was said over the last link since the text was as long as that.
pub(crate) fn last_wire(play: &Play) -> &str {
    &play.wires[&play.link]
}

/// How a client ends a stream for that mistake of the server's.
pub(crate) fn error_and_close(wire: Wire, condition: &str) -> String {
    let condition = format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    if wire == Wire::WebSocket {
        format!(
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>{condition}</stream:error>\n{}\n[closed]",
            wire.close()
        )
    } else {
        format!("<stream:error>{condition}</stream:error>{}[closed]", wire.close())
    }
}

/// The last link ended with that stream error, as the transport writes it.
pub(crate) fn assert_error(play: &Play, condition: &str, case: &str) {
    let expected = error_and_close(play.wire, condition);
    let said = last_wire(play);
    assert!(said.ends_with(&expected), "{case}: {condition}, but {said}");
}

/// The last link ended with a goodbye and without a stream error.
pub(crate) fn assert_closed(play: &Play, case: &str) {
    let line = if play.wire == Wire::WebSocket { "\n" } else { "" };
    let said = last_wire(play);
    assert!(
        said.ends_with(&format!("{}{line}[closed]", play.wire.close())),
        "{case}: {said}"
    );
    assert!(!said.contains("stream:error"), "{case}: {said}");
}
