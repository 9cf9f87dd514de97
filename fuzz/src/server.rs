//! Answers that a server can give: right ones that lead through a whole login and beyond, odd ones, broken ones.

use epode::xml::{Element, ElementRef};

use crate::cursor::Cursor;
use crate::login::Login;
use crate::stream::Streams;
use crate::wire::generous;

/// What a server remembers of one session.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// What it remembers of the present login.
    pub login: Login,
    /// What it remembers of streams.
    pub(crate) streams: Streams,
}

const OPEN: &str = "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";

/// Contents of a body. `{id}` is the id of the first `iq` in the request that is answered.
pub const CONTENTS: [&str; 40] = [
    "",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>",
    "<stream:features/>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></stream:features>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1yNTZ1cg==</success>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1hYixzPVlXSmosaT00</challenge>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</challenge>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/><text>no</text></failure>",
    "<false xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a</see-other-host><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>t</text></stream:error>",
    "<iq xmlns='jabber:client' type='result' id='{id}'/>",
    "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>user@example.org/r</jid></bind></iq>",
    "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>other@example.org/r</jid></bind></iq>",
    "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>user@example.org</jid></bind></iq>",
    "<iq xmlns='jabber:client' type='error' id='{id}'><error type='modify'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    "<iq xmlns='jabber:client' type='error' id='{id}' from='evil.org'><error code='404'/></iq>",
    "<iq xmlns='jabber:client' type='result' id='{id}' from='a@b/c'><query xmlns='urn:q'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='1' from='a@b/c'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='2' from='a@b/c'><query xmlns='urn:answered'/></iq>",
    "<iq xmlns='jabber:client' type='set' id='3'><query xmlns='urn:answered'/></iq>",
    "<iq xmlns='jabber:client' type='set' id='4'><query xmlns='urn:unknown'/></iq>",
    "<iq xmlns='jabber:client' type='get' id='5'/>",
    "<iq xmlns='jabber:client' type='get'><a/><b/></iq>",
    "<iq xmlns='jabber:client' id='6'/>",
    "<message xmlns='jabber:client' from='a@b/c' to='user@example.org/r'><body>hi &amp; \u{e9}</body></message>",
    "<message from='a@b/c'><body>in no namespace of its own</body></message>",
    "<message xmlns='jabber:client' from='@@'/>",
    "<message xmlns='jabber:client' to='other@example.org'/>",
    "<presence xmlns='jabber:client' from='a@b/c' type='subscribe'/>",
    "<presence xmlns='jabber:client'/><presence xmlns='jabber:client'/><presence xmlns='jabber:client'/><presence xmlns='jabber:client'/>",
    "<unknown xmlns='urn:unknown'/>",
    "<unknown/>",
    "text",
    "<uri>https://other.example/</uri>",
];

/// Attributes of a body. `{rid}` is the rid of the request that is answered, `{next}` the one after it.
pub const ATTRIBUTES: [&str; 32] = [
    "",
    " sid='s1' requests='2' wait='60' hold='1' ack='{rid}' ver='1.6' inactivity='30' polling='5' maxpause='300'",
    " sid='s2' requests='4' wait='60' hold='2' ver='1.6'",
    " sid='s3' requests='1' wait='0' hold='0' ver='1.6' polling='2'",
    " sid='s4'",
    " sid=''",
    " sid='s&apos;&lt;5' requests='255' wait='65535' hold='255' ver='1.6' inactivity='65535' polling='65535'",
    " sid='s6' requests='0' wait='60'",
    " sid='s7' requests='3' wait='1' hold='2' ver='1.10' inactivity='1' ack='1'",
    " ack='{rid}'",
    " ack='{next}'",
    " ack='18446744073709551615'",
    " ack='0'",
    " report='{rid}' time='10'",
    " report='{next}' time='10'",
    " report='1'",
    " type='terminate'",
    " type='terminate' condition='conflict'",
    " type='terminate' condition='item-not-found'",
    " type='terminate' condition='see-other-uri'",
    " type='terminate' condition='remote-stream-error'",
    " type='terminate' condition='policy-violation'",
    " type='error'",
    " type='error' condition='bad-request'",
    " type='other'",
    " requests='x'",
    " hold='-1' wait='1.5' requests='99999999999999999999'",
    " xml:lang='en'",
    " to='user@example.org'",
    " sid='s1' sid='s2'",
    " xmpp:restartlogic='true' xmlns:xmpp='urn:xmpp:xbosh'",
    " key='1'",
];

pub const STATUSES: [u16; 16] = [
    200, 200, 200, 200, 200, 200, 500, 502, 503, 404, 403, 400, 401, 302, 0, 65535,
];

impl Server {
    /// The answer that a good server gives to this request.
    pub fn proper(&mut self, request: &[u8]) -> Vec<u8> {
        let Ok(root) = Element::parse(request, &generous()) else {
            return Vec::new();
        };
        if root.attribute("type") == Some("terminate") {
            return format!("{OPEN} type='terminate'/>").into_bytes();
        }
        let rid = root.attribute("rid").unwrap_or_default();
        if root.attribute("sid").is_none() {
            let features = self.login.features();
            return format!(
                "{OPEN} sid='s1' requests='3' wait='60' hold='1' ack='{rid}' ver='1.6' inactivity='30' polling='5'>{features}</body>"
            )
            .into_bytes();
        }
        if root.attribute_ns("urn:xmpp:xbosh", "restart").is_some() {
            return format!("{OPEN}>{}</body>", CONTENTS[5]).into_bytes();
        }
        let mut content = String::new();
        for child in root.children() {
            if Login::is_part(child) {
                content.push_str(&self.login.answer(child, None).concat());
            } else {
                content.push_str(&Self::iq_answer(child));
            }
        }
        format!("{OPEN}>{content}</body>").into_bytes()
    }

    /// The answer to an `iq` that asks; nothing otherwise.
    pub(crate) fn iq_answer(child: ElementRef<'_>) -> String {
        if child.name() != "iq" || !matches!(child.attribute("type"), Some("get" | "set")) {
            return String::new();
        }
        let id = child.attribute("id").unwrap_or_default();
        let from = child
            .attribute("to")
            .map(|to| format!(" from='{}'", to.replace(['\'', '<', '&'], "")));
        let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>user@example.org/r</jid></bind>";
        let bind = if child.children().any(|child| child.name() == "bind") {
            bind
        } else {
            ""
        };
        format!(
            "<iq xmlns='jabber:client' type='result' id='{id}'{}>{bind}</iq>",
            from.unwrap_or_default()
        )
    }
}

/// A body put together from the tables.
pub fn made_up(cursor: &mut Cursor<'_>, request: &[u8]) -> Vec<u8> {
    let root = Element::parse(request, &generous()).ok();
    let attribute = |name: &str| {
        root.as_ref()
            .and_then(|root| root.attribute(name))
            .unwrap_or("1")
            .to_string()
    };
    let id = root
        .as_ref()
        .and_then(|root| root.children().find_map(|child| child.attribute("id")))
        .unwrap_or("none");
    let rid = attribute("rid");
    let next = rid.parse().map_or(1, |rid: u64| rid + 1).to_string();
    let mut body = String::from(OPEN);
    body.push_str(&cursor.pick(&ATTRIBUTES).replace("{rid}", &rid).replace("{next}", &next));
    body.push('>');
    for _ in 0..cursor.below(5) {
        body.push_str(&cursor.pick(&CONTENTS).replace("{id}", id));
    }
    body.push_str("</body>");
    body.into_bytes()
}

/// Breaks a body in one place.
pub fn break_up(cursor: &mut Cursor<'_>, body: &mut Vec<u8>) {
    let at = (cursor.below(256) * 256 + cursor.below(256)) % (body.len() + 1);
    let end = (at + cursor.below(64)).min(body.len());
    match cursor.byte() % 6 {
        0 => body.truncate(at),
        1 => drop(body.drain(at..end)),
        2 => {
            let again = body[at..end].to_vec();
            body.splice(at..at, again);
        }
        3 => {
            if let Some(byte) = body.get_mut(at) {
                *byte ^= 1 << cursor.below(8);
            }
        }
        4 => drop(body.splice(at..at, cursor.bytes().to_vec())),
        _ => {
            const FAULTS: [&[u8]; 12] = [
                b"<!---->",
                b"<!DOCTYPE a>",
                b"<?pi?>",
                b"&undefined;",
                b"\0",
                b"\xFF",
                b" xmlns='urn:x'",
                b"<a>",
                b"</a>",
                b"<body xmlns='http://jabber.org/protocol/httpbind'/>",
                b"<![CDATA[<]]>",
                b"'",
            ];
            drop(body.splice(at..at, cursor.pick(&FAULTS).to_vec()));
        }
    }
}
