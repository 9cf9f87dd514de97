//! A server on TCP and WebSocket: right answers to what a client says, and odd ones.

use epode::TransportKind;

use crate::cursor::Cursor;
use crate::login::{SASL, SASL2};
use crate::server::{CONTENTS, Server};
use crate::wire::{Item, Link};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='i1' from='example.org' version='1.0'>";
const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='i1' from='example.org' version='1.0'/>";
const STARTTLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism><mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>";
const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>";

/// What only streams have. `{id}` is the id of the `iq` that is answered, `{h}` how many stanzas the server has.
pub const ODDITIES: [&str; 82] = [
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>900</max-bytes><idle-seconds>60</idle-seconds></limits></stream:features>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>0</max-bytes><idle-seconds>1</idle-seconds></limits></stream:features>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>-1</max-bytes><idle-seconds>99999999999999999999</idle-seconds></limits><sm xmlns='urn:xmpp:sm:2'/></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    "<stream:features><x xmlns='urn:x'><required/></x></stream:features>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<enabled xmlns='urn:xmpp:sm:3'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='sm1' resume='true' max='300'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='sm2' resume='1' max='2' location='other.example:5269'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='sm3' resume='true' location='[2001:db8::1]'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='' resume='true' max='x'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='s&apos;&lt;4' resume='true' max='0' location='a b'/>",
    "<failed xmlns='urn:xmpp:sm:3'/>",
    "<failed xmlns='urn:xmpp:sm:3' h='{h}'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    "<failed xmlns='urn:xmpp:sm:3' h='7'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    "<failed xmlns='urn:xmpp:sm:3' h='x'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='{h}'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='1'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='other' h='{h}'/>",
    "<resumed xmlns='urn:xmpp:sm:3' h='4294967295'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<r xmlns='urn:xmpp:sm:3'/><r xmlns='urn:xmpp:sm:3'/><r xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='{h}'/>",
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<a xmlns='urn:xmpp:sm:3' h='2'/>",
    "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>",
    "<a xmlns='urn:xmpp:sm:3' h='4294967296'/>",
    "<a xmlns='urn:xmpp:sm:3' h='-1'/>",
    "<a xmlns='urn:xmpp:sm:3'/>",
    "<enable xmlns='urn:xmpp:sm:3'/>",
    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>other.example:5333</see-other-host></stream:error>",
    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[2001:db8::1]:5222</see-other-host></stream:error>",
    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a b/c@d:99999</see-other-host></stream:error>",
    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>wss://other.example/ws</see-other-host></stream:error>",
    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>ws://other.example/ws</see-other-host></stream:error>",
    "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
    "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/></stream:error>",
    "</stream:stream>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='wss://other.example/ws'/>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='ws://other.example/ws'/>",
    "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing' see-other-uri='https://example.org/'/>",
    OPEN,
    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='0.9'/>",
    HEADER,
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
    " \n",
    "<iq xmlns='jabber:client' type='result' id='{id}' from='user@example.org'/>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256</mechanism><inline><bind xmlns='urn:xmpp:bind:0'/><fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication></stream:features>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><mechanism>EXTERNAL</mechanism></authentication></stream:features>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-256-PLUS</mechanism></authentication><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding></stream:features>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>OAUTHBEARER</mechanism><mechanism>ANONYMOUS</mechanism><mechanism>DIGEST-MD5</mechanism></authentication></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>OAUTHBEARER</mechanism><mechanism>X-OAUTH2</mechanism><mechanism>ANONYMOUS</mechanism><mechanism>DIGEST-MD5</mechanism></mechanisms></stream:features>",
    "<challenge xmlns='urn:xmpp:sasl:2'/>",
    "<challenge xmlns='urn:xmpp:sasl:2'>cj1hYixzPVlXSmosaT00</challenge>",
    "<success xmlns='urn:xmpp:sasl:2'/>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>user@example.org</authorization-identifier></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>user@example.org/r</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success><stream:features/>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>other@example.org/r</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><additional-data>dj1hYg==</additional-data><authorization-identifier>user@example.org</authorization-identifier></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>user@example.org/r</authorization-identifier><resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='{h}'/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>user@example.org/r</authorization-identifier><failed xmlns='urn:xmpp:sm:3' h='{h}'/><bound xmlns='urn:xmpp:bind:0'><failed xmlns='urn:xmpp:sm:3'/></bound></success><stream:features/>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>user@example.org</authorization-identifier><token xmlns='urn:xmpp:fast:0' token='t' expiry='2099-01-01T00:00:00Z'/></success><stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>user@example.org</authorization-identifier><token xmlns='urn:xmpp:fast:0' token='' expiry='x'/></success>",
    "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
    "<failure xmlns='urn:xmpp:sasl:2'><credentials-expired xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><text>no</text></failure>",
    "<failure xmlns='urn:xmpp:sasl:2'/>",
    "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>",
    "<continue xmlns='urn:xmpp:sasl:2'><additional-data>dj1hYg==</additional-data><tasks><task>UPGR-SCRAM-SHA-512</task></tasks></continue>",
    "<continue xmlns='urn:xmpp:sasl:2'/>",
    "<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4'>QSXCR+Q6sek8bf92</salt></task-data>",
    "<task-data xmlns='urn:xmpp:sasl:2'><code xmlns='urn:example'>wrong</code></task-data>",
    "<task-data xmlns='urn:xmpp:sasl:2'/>",
    "<abort xmlns='urn:xmpp:sasl:2'/>",
];

/// What a server remembers of its streams.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// On the present link.
    authenticated: bool,
    /// Counting on the present link, and how many stanzas of the session have come.
    counting: bool,
    handled: u32,
    /// The id of the last request of the client's.
    last_id: String,
}

impl Server {
    /// The answer that a good server gives to what the client said; on WebSocket each string is a message.
    pub fn on_stream(&mut self, link: &Link, item: &Item) -> Vec<String> {
        let tcp = link.kind() == TransportKind::Tcp;
        match item {
            Item::Header => {
                let features = if self.streams.authenticated {
                    String::from(BIND)
                } else if tcp && !link.encrypted {
                    String::from(STARTTLS)
                } else {
                    self.login.features()
                };
                vec![String::from(if tcp { HEADER } else { OPEN }), declared(link, &features)]
            }
            Item::Close if tcp => vec![String::from("</stream:stream>")],
            Item::Close => vec![String::from("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>")],
            Item::Element(element) => {
                let answer = match (element.namespace(), element.name()) {
                    ("urn:ietf:params:xml:ns:xmpp-tls", _) => {
                        String::from("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                    }
                    (SASL | SASL2, _) => {
                        let answers = self.login.answer(element.root(), None);
                        return self.logged_in(link, answers);
                    }
                    ("urn:xmpp:sm:3", "enable") => {
                        self.streams.counting = true;
                        self.streams.handled = 0;
                        String::from("<enabled xmlns='urn:xmpp:sm:3' id='sm1' resume='true' max='300'/>")
                    }
                    ("urn:xmpp:sm:3", "resume") => {
                        self.streams.counting = true;
                        let h = self.streams.handled;
                        format!("<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='{h}'/>")
                    }
                    ("urn:xmpp:sm:3", "r") => format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.streams.handled),
                    ("jabber:client", _) => {
                        if self.streams.counting {
                            self.streams.handled += 1;
                        }
                        let answer = Self::iq_answer(element.root());
                        if let Some(id) = element.attribute("id").filter(|_| element.name() == "iq") {
                            self.streams.last_id = id.to_string();
                        }
                        answer
                    }
                    _ => String::new(),
                };
                if answer.is_empty() { Vec::new() } else { vec![answer] }
            }
        }
    }

    /// Answers to a part of a login, one of which may be its end.
    pub fn logged_in(&mut self, link: &Link, answers: Vec<String>) -> Vec<String> {
        for answer in &answers {
            self.streams.authenticated |= answer.starts_with("<success xmlns='urn:ietf");
            if answer.starts_with("<success xmlns='urn:xmpp") && self.login.counts() {
                self.streams.counting = true;
                self.streams.handled = 0;
            }
        }
        answers.iter().map(|answer| declared(link, answer)).collect()
    }

    /// Another link: nothing but the session that can be resumed is left of the one before.
    pub fn new_link(&mut self) {
        self.login.new_link();
        self.streams.authenticated = false;
        self.streams.counting = false;
    }

    /// Something from the tables.
    pub fn odd(&self, link: &Link, cursor: &mut Cursor<'_>) -> String {
        let choice = cursor.below(ODDITIES.len() + CONTENTS.len());
        let text = match ODDITIES.get(choice) {
            Some(text) => text,
            None => CONTENTS[choice - ODDITIES.len()],
        };
        let id = link.items.iter().find_map(|item| match item {
            Item::Element(element) => element.attribute("id"),
            Item::Header | Item::Close => None,
        });
        let text = text
            .replace("{id}", id.unwrap_or(&self.streams.last_id))
            .replace("{h}", &self.streams.handled.to_string());
        declared(link, &text)
    }
}

/// On a WebSocket each message declares what it needs (RFC 7395 §3.3.3).
fn declared(link: &Link, text: &str) -> String {
    if link.kind() == TransportKind::WebSocket && !text.contains("xmlns:stream") {
        for name in ["<stream:features", "<stream:error"] {
            if text.starts_with(name) {
                return text.replacen(
                    name,
                    &format!("{name} xmlns:stream='http://etherx.jabber.org/streams'"),
                    1,
                );
            }
        }
    }
    text.to_string()
}
