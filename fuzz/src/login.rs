//! The server's part of a login, by SASL1 (RFC 6120 §6) or SASL2 (XEP-0388) with all that can come along.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use epode::xml::ElementRef;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::cursor::Cursor;
use crate::host::{EXPORTER, PASSWORD, TOKEN};

pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub const SASL2: &str = "urn:xmpp:sasl:2";

/// What a server offers if nobody says otherwise.
const MECHANISMS: &[&str] = &["EXTERNAL", "SCRAM-SHA-256", "PLAIN"];
const INLINE: &str = "<sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/>\
                      <feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:csi:0'/></inline></bind>\
                      <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism><mechanism>HT-SHA-256-EXPR</mechanism></fast>";
const FEATURES: &str = "<stream:features><sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>";
const IDENTITY: &str = "<authorization-identifier>user@example.org/r</authorization-identifier>";

/// What a server remembers of one login.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// It has SASL2 too.
    pub sasl2: bool,
    /// Only this mechanism is offered.
    pub only: Option<&'static str>,
    /// It asks for a task behind the credentials.
    pub task: Option<&'static str>,
    /// It has sent a proof that only somebody who knows the secret can make.
    pub proved: bool,
    mechanism: String,
    /// The messages of SCRAM so far, for the proof.
    scram: Option<String>,
    resume: bool,
    bind: bool,
    counting: bool,
    token: bool,
}

impl Login {
    /// A new link: what it was about before is over.
    pub(crate) fn new_link(&mut self) {
        *self = Self {
            sasl2: self.sasl2,
            only: self.only,
            task: self.task,
            ..Self::default()
        };
    }

    /// `<stream:features/>` before the login.
    pub fn features(&self) -> String {
        let list = self.only.as_ref().map_or(MECHANISMS, std::slice::from_ref);
        // XEP-0440 §4: types go with mechanisms that can use them.
        let plus = match self.only {
            None if self.sasl2 => "<mechanism>SCRAM-SHA-256-PLUS</mechanism>",
            Some(_) | None => "",
        };
        let is_bound = !plus.is_empty() || self.only.is_some_and(|name| name.ends_with("-PLUS"));
        let names: String = list
            .iter()
            .map(|name| format!("<mechanism>{name}</mechanism>"))
            .chain([plus.to_string()])
            .collect();
        let mut features = format!("<mechanisms xmlns='{SASL}'>{names}</mechanisms>");
        if self.sasl2 {
            let upgrade = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>";
            features = format!(
                "<authentication xmlns='{SASL2}'>{names}{upgrade}<inline>{INLINE}</inline></authentication>{features}"
            );
        }
        if is_bound {
            features.push_str(
                "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>",
            );
        }
        format!("<stream:features>{features}</stream:features>")
    }

    pub fn is_part(element: ElementRef<'_>) -> bool {
        matches!(element.namespace(), SASL | SASL2)
    }

    /// The answers of a good server. With a cursor, what is in them is broken.
    pub fn answer(&mut self, element: ElementRef<'_>, odd: Option<&mut Cursor<'_>>) -> Vec<String> {
        let two = element.namespace() == SASL2;
        let mut text = element.text().into_owned();
        match element.name() {
            "auth" | "authenticate" => {
                let has = |name: &str| element.children().any(|child| child.name() == name);
                self.mechanism = element.attribute("mechanism").unwrap_or_default().to_string();
                self.scram = None;
                (self.resume, self.bind, self.token) = (has("resume"), has("bind"), has("request-token"));
                let bind = element.children().find(|child| child.name() == "bind");
                self.counting =
                    bind.is_some_and(|bind| bind.children().any(|child| child.namespace() == "urn:xmpp:sm:3"));
                if let Some(initial) = element.children().find(|child| child.name() == "initial-response") {
                    text = initial.text().into_owned();
                }
            }
            "abort" => {
                return vec![format!(
                    "<failure xmlns='{}'><aborted xmlns='{SASL}'/></failure>",
                    element.namespace()
                )];
            }
            "next" | "task-data" => return self.success(two, None),
            _ => {}
        }
        let data = STANDARD.decode(text).unwrap_or_default();
        let (name, mut data) = self.step(&data);
        if let (Some(cursor), Some(data)) = (odd, &mut data) {
            crate::server::break_up(cursor, data);
        }
        let data = data.map(|data| STANDARD.encode(data));
        match name {
            Next::Challenge => vec![format!(
                "<challenge xmlns='{}'>{}</challenge>",
                element.namespace(),
                data.unwrap_or_default()
            )],
            Next::Success if two && self.task.is_some() => {
                let task = self.task.take().unwrap_or_default();
                let data = data
                    .map(|data| format!("<additional-data>{data}</additional-data>"))
                    .unwrap_or_default();
                vec![format!(
                    "<continue xmlns='{SASL2}'>{data}<tasks><task>{task}</task></tasks><text>more</text></continue>"
                )]
            }
            Next::Success => self.success(two, data),
        }
    }

    fn success(&mut self, two: bool, data: Option<String>) -> Vec<String> {
        if !two {
            return vec![format!(
                "<success xmlns='{SASL}'>{}</success>",
                data.unwrap_or_default()
            )];
        }
        let data = data
            .map(|data| format!("<additional-data>{data}</additional-data>"))
            .unwrap_or_default();
        let token = match self.token || self.mechanism.starts_with("HT-") {
            true => format!("<token xmlns='urn:xmpp:fast:0' token='{TOKEN}' expiry='2099-01-01T00:00:00Z'/>"),
            false => String::new(),
        };
        if self.resume {
            let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='sm1' h='0'/>";
            return vec![format!(
                "<success xmlns='{SASL2}'>{data}{resumed}{token}{IDENTITY}</success>"
            )];
        }
        let enabled = match self.counting {
            true => "<enabled xmlns='urn:xmpp:sm:3' id='sm1' resume='true' max='300'/>",
            false => "",
        };
        let bound = match self.bind {
            true => format!("<bound xmlns='urn:xmpp:bind:0'>{enabled}</bound>"),
            false => String::new(),
        };
        let features = match self.bind {
            true => FEATURES.to_string(),
            false => crate::server::CONTENTS[5].to_string(),
        };
        vec![
            format!("<success xmlns='{SASL2}'>{data}{bound}{token}{IDENTITY}</success>"),
            features,
        ]
    }

    /// Whether SASL2 has bound a resource, or resumed a session, with acknowledgements.
    pub(crate) fn counts(&self) -> bool {
        self.resume || self.counting
    }

    fn step(&mut self, data: &[u8]) -> (Next, Option<Vec<u8>>) {
        let text = String::from_utf8_lossy(data).into_owned();
        if self.mechanism.starts_with("SCRAM-") {
            if let (Some(scram), Some((last, _))) = (&self.scram, text.split_once(",p=")) {
                let signature = server_signature(&format!("{scram},{last}"));
                // Of another hash it is no proof.
                self.proved = self.mechanism.starts_with("SCRAM-SHA-256");
                return (
                    Next::Success,
                    Some(format!("v={}", STANDARD.encode(signature)).into_bytes()),
                );
            }
            let bare = text.splitn(3, ',').nth(2).unwrap_or_default();
            let nonce = bare.split_once("r=").map_or("", |(_, nonce)| nonce);
            let challenge = format!("r={nonce}server,s={},i=4", STANDARD.encode("salt"));
            self.scram = Some(format!("{bare},{challenge}"));
            return (Next::Challenge, Some(challenge.into_bytes()));
        }
        match self.mechanism.as_str() {
            token if token.starts_with("HT-") => {
                let bound: &[u8] = if token.ends_with("EXPR") { &EXPORTER } else { b"" };
                self.proved = true;
                let proof = mac(TOKEN.as_bytes(), &[b"Responder", bound].concat());
                (Next::Success, Some(proof.to_vec()))
            }
            "DIGEST-MD5" if data.is_empty() => {
                let challenge =
                    "realm=\"example.org\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",charset=utf-8,algorithm=md5-sess";
                (Next::Challenge, Some(challenge.into()))
            }
            // It is never the right one.
            "DIGEST-MD5" => (
                Next::Success,
                Some(b"rspauth=ea40f60335c427b5527b84dbabcdfffd".to_vec()),
            ),
            _ => (Next::Success, None),
        }
    }
}

enum Next {
    Challenge,
    Success,
}

fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// RFC 5802 §3, with 4 iterations and the salt `salt`.
fn server_signature(messages: &str) -> [u8; 32] {
    let mut step = mac(PASSWORD.as_bytes(), b"salt\0\0\0\x01");
    let mut salted = step;
    for _ in 1..4 {
        step = mac(PASSWORD.as_bytes(), &step);
        salted.iter_mut().zip(step).for_each(|(sum, byte)| *sum ^= byte);
    }
    mac(&mac(&salted, b"Server Key"), messages.as_bytes())
}
