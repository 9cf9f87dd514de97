//! The server's words, and how far they bring a client.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::config::ConfigBuilder;
use epode::{ChannelBindings, Config, Credentials, Event, Input, LinkInfo, TcpTls};

use crate::life::Life;

pub(crate) const SASL1: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(crate) const SASL2: &str = "urn:xmpp:sasl:2";
const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0' id='s1' from='";
const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";

/// A client of this account, over TCP with direct TLS.
pub(crate) fn of(jid: &str, credentials: Credentials) -> ConfigBuilder {
    let config = Config::builder(jid.parse().unwrap()).credentials(credentials);
    config.tcp("xmpp.example.net", 5223, TcpTls::Direct)
}

/// TLS, for that name, with what a login can be bound to.
pub(crate) fn info(name: &str, bindings: ChannelBindings) -> LinkInfo {
    LinkInfo {
        tls_version: Some("1.3".to_owned()),
        channel_bindings: bindings,
        ..LinkInfo::verified(name)
    }
}

/// The features of SASL as RFC 6120 has it.
pub(crate) fn mechanisms(names: &[&str]) -> String {
    format!("<mechanisms xmlns='{SASL1}'>{}</mechanisms>", listed(names))
}

fn listed(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("<mechanism>{name}</mechanism>"))
        .collect()
}

/// Those of SASL2 (XEP-0388), with what can come along in it.
pub(crate) fn authentication(names: &[&str], inline: &str) -> String {
    format!(
        "<authentication xmlns='{SASL2}'>{}<inline>{inline}</inline></authentication>",
        listed(names)
    )
}

/// Tokens (XEP-0484).
pub(crate) fn fast(names: &[&str]) -> String {
    format!("<fast xmlns='urn:xmpp:fast:0'>{}</fast>", listed(names))
}

/// Types of channel binding (XEP-0440).
pub(crate) fn bindings(types: &[&str]) -> String {
    let listed: String = types
        .iter()
        .map(|name| format!("<channel-binding type='{name}'/>"))
        .collect();
    format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{listed}</sasl-channel-binding>")
}

pub(crate) fn encoded(data: impl AsRef<[u8]>) -> String {
    STANDARD.encode(data)
}

impl Life {
    /// From the start to an open stream with these features.
    pub(crate) fn begin(config: Config, info: LinkInfo, features: &str) -> Self {
        let mut life = Self::new(config);
        life.input(Input::Start);
        life.connect(info, features);
        life
    }

    /// The link is up, and the server begins.
    pub(crate) fn connect(&mut self, info: LinkInfo, features: &str) {
        let link = self.link;
        self.now += 5;
        self.input(Input::Connected { link, info });
        self.features(features);
    }

    /// A stream, and its features.
    pub(crate) fn features(&mut self, features: &str) {
        let domain = self.domain();
        self.answer(&format!("{HEADER}{domain}'>"));
        self.answer(&format!("<stream:features>{features}</stream:features>"));
    }

    /// The server that the stream was opened to.
    fn domain(&self) -> String {
        let at = self.said.find(" to='").expect("no stream was opened") + 5;
        self.said[at..].split('\'').next().unwrap().to_owned()
    }

    pub(crate) fn answer(&mut self, xml: &str) {
        self.now += 20;
        let (link, bytes) = (self.link, xml.as_bytes().into());
        self.input(Input::Received { link, bytes });
    }

    /// The text of the latest element of that name that the client sent.
    pub(crate) fn text_of(&self, element: &str) -> String {
        let opens = format!("<{element}");
        let at = self
            .said
            .rfind(&opens)
            .unwrap_or_else(|| panic!("no {element} in {}", self.said));
        let rest = &self.said[at..];
        let (tag, rest) = rest.split_once('>').unwrap();
        match tag.ends_with('/') {
            true => String::new(),
            false => rest.split('<').next().unwrap().to_owned(),
        }
    }

    /// The data of the latest SASL message in that element.
    pub(crate) fn data_of(&self, element: &str) -> Vec<u8> {
        let text = self.text_of(element);
        match text.as_str() {
            "=" => Vec::new(),
            text => STANDARD.decode(text).unwrap(),
        }
    }

    /// SASL of RFC 6120 succeeded: the stream anew, and a resource.
    pub(crate) fn succeed(&mut self, data: &str, jid: &str) {
        self.said.clear();
        self.answer(&format!("<success xmlns='{SASL1}'>{data}</success>"));
        self.features(BIND);
        let at = self.said.rfind(" id='").expect("nothing to bind") + 5;
        let id = self.said[at..].split('\'').next().unwrap().to_owned();
        self.answer(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind></iq>"
        ));
        self.is_online(jid);
    }

    /// SASL2 succeeded, and this came with it; then the features of the session.
    pub(crate) fn succeed2(&mut self, proof: &str, jid: &str, more: &str) {
        let proof = match proof {
            "" => String::new(),
            proof => format!("<additional-data>{proof}</additional-data>"),
        };
        self.said.clear();
        self.answer(&format!(
            "<success xmlns='{SASL2}'>{proof}<authorization-identifier>{jid}</authorization-identifier>{more}</success>"
        ));
        self.answer("<stream:features/>");
        self.is_online(jid);
    }

    fn is_online(&self, jid: &str) {
        let online = self.events().rev().find_map(|event| match event {
            Event::Online { jid, .. } => Some(jid.as_str()),
            _ => None,
        });
        assert_eq!(online, Some(jid), "{:?}", self.events().collect::<Vec<_>>());
    }

    /// The goodbye, both ways.
    pub(crate) fn end(mut self) -> Self {
        self.now += 1_000;
        self.input(Input::Stop);
        self.answer("</stream:stream>");
        assert!(self.is_over(), "{:?}", self.events().collect::<Vec<_>>());
        self
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.events().last(), Some(Event::Offline { .. }))
    }

    /// Why it is offline, as the log says it.
    pub(crate) fn reason(&self) -> String {
        match self.events().last() {
            Some(Event::Offline { reason }) => serde_json::to_string(reason).unwrap(),
            other => panic!("not offline, but {other:?}"),
        }
    }
}
