//! What is secret in the bytes that travel, found as they pass: a placeholder of the same length takes its place, so that
//! whatever counts bytes counts the same in a replay.
//!
//! A placeholder begins with `*` and its label, as `*client-proof`, and is filled with `*`. No base64 has that character.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use crate::input::{Input, LinkId};
use crate::output::{Endpoint, Output};
use crate::sasl::server::{self, Texts};
use crate::secret::Secret;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Label {
    /// The password itself, as PLAIN sends it.
    Password,
    /// The client's proof that it knows the password (SCRAM).
    ClientProof,
    /// The server's proof that it knows the password (SCRAM): who has it can try passwords.
    ServerProof,
    /// The id of a BOSH session, or a key of it (XEP-0124 §15): whoever has it has the session.
    SessionId,
    /// The id by which a session is resumed (XEP-0198 §5).
    ResumptionId,
    /// What the host keeps of a session ([`Output::Store`]).
    Kept,
}

impl Label {
    /// The label, as the log has it behind the first `*`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::ClientProof => "client-proof",
            Self::ServerProof => "server-proof",
            Self::SessionId => "session-id",
            Self::ResumptionId => "resumption-id",
            Self::Kept => "kept-session",
        }
    }

    fn byte(self, at: usize) -> u8 {
        match at.checked_sub(1) {
            Some(at) => self.name().as_bytes().get(at).copied().unwrap_or(b'*'),
            None => b'*',
        }
    }
}

/// What is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hide {
    /// Passwords and proofs.
    Proofs,
    /// Session ids and kept sessions too.
    All,
}

/// Follows the links of one client.
#[derive(Debug)]
pub(super) struct Mask {
    hide: Hide,
    links: BTreeMap<LinkId, Link>,
    /// How many spans of each kind there were, and the bytes of the last one.
    found: BTreeMap<Label, (usize, usize)>,
}

#[derive(Debug, Default)]
struct Link {
    /// Each message is a document of its own, and its root is what is looked at.
    framed: bool,
    sent: Scanner,
    received: Scanner,
    exchange: Exchange,
}

/// One SASL exchange, as far as it was seen.
#[derive(Debug, Default)]
struct Exchange {
    mechanism: Vec<u8>,
    auth: Zeroizing<Vec<u8>>,
    challenges: usize,
    challenge: Zeroizing<Vec<u8>>,
    response: Zeroizing<Vec<u8>>,
}

impl Exchange {
    fn is_scram(&self) -> bool {
        self.mechanism.starts_with(b"SCRAM-")
    }

    fn is_external(&self) -> bool {
        self.mechanism == b"EXTERNAL"
    }

    fn server_final(&self, password: &Secret) -> Option<Zeroizing<Vec<u8>>> {
        let text = |bytes| core::str::from_utf8(bytes).ok();
        let texts = Texts {
            mechanism: text(&self.mechanism)?,
            client_first: text(&self.auth)?,
            server_first: text(&self.challenge)?,
            client_final: text(&self.response)?,
        };
        server::server_final(texts, password)
    }
}

impl Mask {
    pub(super) fn new(hide: Hide) -> Self {
        Self {
            hide,
            links: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// What was hidden so far, and how often.
    pub(super) fn found(&self) -> impl Iterator<Item = (Label, usize)> {
        self.found.iter().map(|(label, (count, _))| (*label, *count))
    }

    /// The bytes of the last span of that kind.
    pub(super) fn last_length(&self, label: Label) -> usize {
        self.found.get(&label).map_or(0, |(_, length)| *length)
    }

    /// Hides what is secret in an output.
    pub(super) fn output(&mut self, output: &mut Output) {
        let hide = self.hide;
        match output {
            Output::Connect { link, endpoint, .. } => {
                let state = self.links.entry(*link).or_default();
                state.framed = matches!(endpoint, Endpoint::WebSocket { .. });
            }
            Output::Write { link, bytes } => self.sent(*link, bytes, false),
            Output::Post { link, body, .. } => self.sent(*link, body, true),
            Output::Frame { link, text } => {
                let mut bytes = core::mem::take(text).into_bytes();
                self.sent(*link, &mut bytes, true);
                *text = String::from_utf8(bytes).unwrap_or_default();
            }
            Output::StartTls { link, .. } => {
                let state = self.links.entry(*link).or_default();
                (state.sent, state.received) = (Scanner::default(), Scanner::default());
            }
            Output::Store { bytes, .. } if hide == Hide::All => {
                let kept = (0..bytes.expose().len()).map(|at| Label::Kept.byte(at));
                let kept: Vec<u8> = kept.collect();
                self.found.entry(Label::Kept).or_default().0 += 1;
                *bytes = Secret::new(kept);
            }
            Output::Close { link } => {
                self.links.remove(link);
            }
            Output::Store { .. }
            | Output::DeriveKey { .. }
            | Output::Resolve { .. }
            | Output::Abandon { .. }
            | Output::Event(_) => {}
        }
    }

    fn sent(&mut self, link: LinkId, bytes: &mut [u8], whole: bool) {
        let state = self.links.entry(link).or_default();
        if whole {
            state.sent = Scanner::default();
        }
        let top = u32::from(!state.framed);
        let mut pass = Pass {
            hide: self.hide,
            top,
            sent: true,
            password: None,
            exchange: &mut state.exchange,
            found: &mut self.found,
        };
        state.sent.scan(&mut pass, bytes);
    }

    /// Hides what is secret in an input. With a password, puts back what was hidden where it follows from that.
    pub(super) fn input(&mut self, input: &mut Input<'static>, password: Option<&Secret>) {
        let (link, bytes, whole) = if let Input::Received { link, bytes } = input {
            (*link, bytes, false)
        } else if let Input::Responded { link, body, .. } = input {
            (*link, body, true)
        } else {
            return;
        };
        let state = self.links.entry(link).or_default();
        if whole || state.framed {
            state.received = Scanner::default();
        }
        let top = u32::from(!state.framed);
        let mut pass = Pass {
            hide: self.hide,
            top,
            sent: false,
            password,
            exchange: &mut state.exchange,
            found: &mut self.found,
        };
        state.received.scan(&mut pass, bytes.to_mut());
    }
}

/// What one look at some bytes needs beside the scanner.
struct Pass<'a> {
    hide: Hide,
    /// The depth of SASL elements.
    top: u32,
    sent: bool,
    password: Option<&'a Secret>,
    exchange: &'a mut Exchange,
    found: &'a mut BTreeMap<Label, (usize, usize)>,
}

/// Names and values that mean something here are shorter.
const NAME: usize = 64;
/// A SASL message that is kept for a replay.
const MESSAGE: usize = 64 * 1024;

/// Where in a document a scanner is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Text,
    /// After `<`.
    Less,
    Name,
    Attributes,
    AttributeName,
    Value(u8),
    /// After the `/` of an empty element.
    Empty,
    /// In `</name>`.
    End,
    /// In `<?...>` or `<!...`: so much of `![CDATA[` was seen.
    Special(usize),
    /// In a CDATA section: so many `]` were seen just now.
    CData(usize),
}

/// Goes through XML byte by byte, wherever it is cut. It judges nothing: what is no XML ends the link anyway.
#[derive(Debug, Default)]
struct Scanner {
    at: At,
    depth: u32,
    name: Vec<u8>,
    attribute: Vec<u8>,
    value: Vec<u8>,
    /// The text of the SASL element that is open.
    text: Option<Text>,
    /// What the value of the present attribute is.
    secret: Option<Label>,
    /// Bytes of the present span so far.
    length: usize,
    /// What the span is filled with instead of a placeholder.
    fill: Option<Zeroizing<Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Auth(Option<Label>),
    Challenge(Option<Label>),
    Response(Label),
    Success(Label),
}

impl Text {
    fn label(self) -> Option<Label> {
        match self {
            Self::Auth(label) | Self::Challenge(label) => label,
            Self::Response(label) | Self::Success(label) => Some(label),
        }
    }
}

const CDATA: &[u8] = b"![CDATA[";

impl Scanner {
    fn scan(&mut self, pass: &mut Pass<'_>, bytes: &mut [u8]) {
        for byte in bytes {
            self.byte(pass, byte);
        }
    }

    fn byte(&mut self, pass: &mut Pass<'_>, byte: &mut u8) {
        match (self.at, *byte) {
            (At::Text, b'<') => self.at = At::Less,
            (At::Text, _) => self.text_byte(pass, byte),
            (At::Less, b'/') => {
                self.at = At::End;
                self.text_over(pass);
                self.depth = self.depth.saturating_sub(1);
            }
            (At::Less, b'?') => self.at = At::Special(CDATA.len()),
            (At::Less, b'!') => self.at = At::Special(1),
            (At::Less, first) => {
                self.name.clear();
                self.at = At::Name;
                push(&mut self.name, first, NAME);
            }
            (At::Name, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n') => {
                self.named();
                self.between(pass, *byte);
            }
            // The prefix says nothing here.
            (At::Name, b':') => self.name.clear(),
            (At::Name, other) => push(&mut self.name, other, NAME),
            (At::Attributes | At::AttributeName, b'>' | b'/' | b' ' | b'\t' | b'\r' | b'\n') => {
                self.between(pass, *byte)
            }
            (At::Attributes | At::AttributeName, quote @ (b'\'' | b'"')) => {
                self.at = At::Value(quote);
                self.value.clear();
                self.secret = self.secret_attribute(pass);
                self.length = 0;
            }
            (At::Attributes | At::AttributeName, b'=') => self.at = At::Attributes,
            (At::Attributes, first) => {
                self.attribute.clear();
                self.at = At::AttributeName;
                push(&mut self.attribute, first, NAME);
            }
            (At::AttributeName, other) => push(&mut self.attribute, other, NAME),
            (At::Value(quote), other) if other == quote => self.value_over(pass),
            (At::Value(_), other) => {
                push(&mut self.value, other, NAME);
                if let Some(label) = self.secret {
                    *byte = label.byte(self.length);
                    self.length += 1;
                }
            }
            (At::Empty, b'>') => self.at = At::Text,
            (At::Empty, _) => {}
            (At::End, b'>') => self.at = At::Text,
            (At::End, _) => {}
            (At::Special(seen), other) if CDATA.get(seen) == Some(&other) => {
                self.at = if seen + 1 == CDATA.len() {
                    At::CData(0)
                } else {
                    At::Special(seen + 1)
                };
            }
            (At::Special(_), b'>') => self.at = At::Text,
            (At::Special(_), _) => self.at = At::Special(CDATA.len()),
            (At::CData(brackets), b']') => self.at = At::CData(brackets.saturating_add(1)),
            (At::CData(2..), b'>') => self.at = At::Text,
            (At::CData(_), _) => {
                self.at = At::CData(0);
                self.text_byte(pass, byte);
            }
        }
    }

    /// The name of an element is whole.
    fn named(&mut self) {
        // RFC 6120 §4.3.3: a restarted stream begins anew, and the old one has no end.
        if self.name == b"stream" && self.depth <= 1 {
            self.depth = 0;
        }
    }

    /// What stands between attributes.
    fn between(&mut self, pass: &mut Pass<'_>, byte: u8) {
        match byte {
            b'>' => {
                self.open(pass);
                self.depth = self.depth.saturating_add(1);
                self.at = At::Text;
            }
            b'/' => self.at = At::Empty,
            _ => self.at = At::Attributes,
        }
    }

    /// The tag of an element that has content is over.
    fn open(&mut self, pass: &mut Pass<'_>) {
        if self.depth != pass.top {
            return;
        }
        let scram = pass.exchange.is_scram();
        let text = match (pass.sent, self.name.as_slice()) {
            (true, b"auth") => {
                // A name, or a name and a nonce.
                let harmless = scram || pass.exchange.is_external();
                Text::Auth((!harmless).then_some(Label::Password))
            }
            (true, b"response") if pass.exchange.is_external() => return,
            (true, b"response") => Text::Response(if scram { Label::ClientProof } else { Label::Password }),
            (false, b"challenge") => {
                pass.exchange.challenges += 1;
                // RFC 6120 §6.3.10: a server may send its proof so, and an empty success behind it.
                let proof = scram && pass.exchange.challenges > 1;
                Text::Challenge(proof.then_some(Label::ServerProof))
            }
            (false, b"success") if !pass.exchange.is_external() => Text::Success(Label::ServerProof),
            _ => return,
        };
        self.text = Some(text);
        self.length = 0;
        self.fill = None;
    }

    fn text_byte(&mut self, pass: &mut Pass<'_>, byte: &mut u8) {
        let Some(text) = self.text else { return };
        match text {
            Text::Auth(None) => push(&mut pass.exchange.auth, *byte, MESSAGE),
            Text::Challenge(None) => push(&mut pass.exchange.challenge, *byte, MESSAGE),
            Text::Response(_) => push(&mut pass.exchange.response, *byte, MESSAGE),
            Text::Auth(Some(_)) | Text::Challenge(Some(_)) | Text::Success(_) => {}
        }
        let Some(label) = text.label() else { return };
        if let Some(password) = pass.password {
            // What the log holds is a placeholder: it is filled again where it can be.
            if *byte == label.byte(self.length) && self.length == 0 && label == Label::ServerProof {
                self.fill = pass.exchange.server_final(password);
            }
            let filled = self.fill.as_ref().and_then(|fill| fill.get(self.length));
            *byte = filled.copied().unwrap_or(*byte);
        } else {
            *byte = label.byte(self.length);
        }
        self.length += 1;
    }

    fn text_over(&mut self, pass: &mut Pass<'_>) {
        if self.depth != pass.top + 1 {
            return;
        }
        if let Some(label) = self.text.take().and_then(Text::label) {
            self.count(pass, label);
        }
        self.fill = None;
    }

    fn secret_attribute(&self, pass: &Pass<'_>) -> Option<Label> {
        // A replay has the placeholder for a value: the client does not look into it.
        if pass.hide == Hide::Proofs || pass.password.is_some() {
            return None;
        }
        let top = self.depth == pass.top;
        match (self.name.as_slice(), self.attribute.as_slice()) {
            (b"body", b"sid" | b"authid" | b"key" | b"newkey") if self.depth == 0 => Some(Label::SessionId),
            (b"enabled", b"id") if top && !pass.sent => Some(Label::ResumptionId),
            (b"resumed" | b"failed", b"previd") if top && !pass.sent => Some(Label::ResumptionId),
            (b"resume", b"previd") if top && pass.sent => Some(Label::ResumptionId),
            _ => None,
        }
    }

    fn value_over(&mut self, pass: &mut Pass<'_>) {
        self.at = At::Attributes;
        if let Some(label) = self.secret.take() {
            self.count(pass, label);
        }
        if pass.sent && self.depth == pass.top && self.name == b"auth" && self.attribute == b"mechanism" {
            *pass.exchange = Exchange {
                mechanism: self.value.clone(),
                ..Exchange::default()
            };
        }
        self.attribute.clear();
        self.value.clear();
    }

    fn count(&mut self, pass: &mut Pass<'_>, label: Label) {
        if self.length > 0 {
            let found = pass.found.entry(label).or_default();
            *found = (found.0 + 1, self.length);
        }
    }
}

fn push(to: &mut Vec<u8>, byte: u8, most: usize) {
    if to.len() < most {
        to.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;
    use crate::output::TcpTls;

    const LINK: LinkId = LinkId(1);
    const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

    fn connected(endpoint: Endpoint) -> Mask {
        let mut mask = Mask::new(Hide::All);
        mask.output(&mut Output::Connect {
            link: LINK,
            endpoint,
            server_name: "example.org".into(),
            identity: None,
            max_message: 1,
        });
        mask
    }

    fn tcp() -> Mask {
        connected(Endpoint::Tcp {
            host: "example.org".into(),
            port: 5223,
            tls: TcpTls::Direct,
        })
    }

    fn written(mask: &mut Mask, text: &str) -> String {
        let mut output = Output::Write {
            link: LINK,
            bytes: text.into(),
        };
        mask.output(&mut output);
        let Output::Write { bytes, .. } = output else { panic!() };
        String::from_utf8(bytes).unwrap()
    }

    /// The text in pieces of `size` bytes.
    fn received(mask: &mut Mask, text: &str, size: usize) -> String {
        let mut all = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            let mut input = Input::Received {
                link: LINK,
                bytes: Cow::Owned(piece.to_vec()),
            };
            mask.input(&mut input, None);
            let Input::Received { bytes, .. } = input else { panic!() };
            all.extend_from_slice(&bytes);
        }
        String::from_utf8(all).unwrap()
    }

    fn found(mask: &Mask) -> Vec<(Label, usize)> {
        mask.found().collect()
    }

    #[test]
    fn a_scram_login_over_tcp_keeps_no_proof_however_it_is_cut() {
        for size in [1, 2, 7, 1000] {
            let mut mask = tcp();
            let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='example.org'>";
            assert_eq!(written(&mut mask, header), header);
            let opened = "<?xml version='1.0'?><!-- a>b --><stream:stream id='x'><stream:features>\
                          <mechanisms><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>";
            assert_eq!(received(&mut mask, opened, size), opened);
            let auth = std::format!("<auth {SASL} mechanism='SCRAM-SHA-1'>biwsbj11c2Vy</auth>");
            assert_eq!(written(&mut mask, &auth), auth);
            let challenge = std::format!("<challenge {SASL}>cj1h</challenge>");
            assert_eq!(received(&mut mask, &challenge, size), challenge);
            assert_eq!(
                written(
                    &mut mask,
                    &std::format!("<response {SASL}>Yz1iaXdzLHI9YSxwPXByb29m</response>")
                ),
                std::format!("<response {SASL}>*client-proof***********</response>")
            );
            assert_eq!(
                received(
                    &mut mask,
                    &std::format!("<success {SASL}>dj1zaWduYXR1cmU=</success>"),
                    size
                ),
                std::format!("<success {SASL}>*server-proof***</success>")
            );
            // A new stream, and what only looks alike.
            let later = "<stream:stream id='y'><message><success>text</success><body>&lt;success></body></message>";
            assert_eq!(received(&mut mask, later, size), later);
            let enabled = "<enabled xmlns='urn:xmpp:sm:3' resume=\"1\" id=\"g2gCbQ==\"/><a id='1'/>";
            assert_eq!(
                received(&mut mask, enabled, size),
                "<enabled xmlns='urn:xmpp:sm:3' resume=\"1\" id=\"*resumpt\"/><a id='1'/>"
            );
            let expected = [
                (Label::ClientProof, 1),
                (Label::ServerProof, 1),
                (Label::ResumptionId, 1),
            ];
            assert_eq!(found(&mask), expected);
        }
    }

    #[test]
    fn the_proof_in_a_challenge_is_one_too_and_cdata_hides_nothing() {
        let mut mask = tcp();
        written(&mut mask, "<stream:stream>");
        written(&mut mask, "<auth mechanism='SCRAM-SHA-256'>biws</auth>");
        received(&mut mask, "<stream:stream><challenge>cj1h</challenge>", 3);
        written(&mut mask, "<response>Yz1i</response>");
        assert_eq!(
            received(&mut mask, "<challenge><![CDATA[dj1z]]></challenge>", 5),
            "<challenge><![CDATA[*ser]]></challenge>"
        );
    }

    #[test]
    fn plain_shows_its_length_and_external_everything() {
        let mut mask = tcp();
        written(&mut mask, "<stream:stream>");
        assert_eq!(
            written(&mut mask, "<auth mechanism='PLAIN'>AHVzZXIAcGVuY2ls</auth>"),
            "<auth mechanism='PLAIN'>*password*******</auth>"
        );
        assert_eq!(mask.last_length(Label::Password), 16);
        let external = "<auth mechanism='EXTERNAL'>=</auth>";
        assert_eq!(written(&mut mask, external), external);
        let success = "<stream:stream><success>text</success>";
        assert_eq!(received(&mut mask, success, 1), success);
    }

    #[test]
    fn a_frame_and_a_body_are_documents_of_their_own() {
        let mut mask = connected(Endpoint::WebSocket {
            url: "wss://example.org/".into(),
        });
        let frame = |mask: &mut Mask, text: &str| {
            let mut output = Output::Frame {
                link: LINK,
                text: text.to_string(),
            };
            mask.output(&mut output);
            let Output::Frame { text, .. } = output else { panic!() };
            text
        };
        let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
        assert_eq!(frame(&mut mask, open), open);
        assert_eq!(
            frame(&mut mask, "<auth mechanism='PLAIN'>AHVzZXI=</auth>"),
            "<auth mechanism='PLAIN'>*passwor</auth>"
        );
        let message = "<message><auth mechanism='PLAIN'>AHVzZXI=</auth></message>";
        assert_eq!(frame(&mut mask, message), message);
        assert_eq!(
            frame(&mut mask, "<resume previd='g2gCbQ' h='1'/>"),
            "<resume previd='*resum' h='1'/>"
        );

        let mut mask = connected(Endpoint::Bosh {
            url: "https://example.org/".into(),
        });
        let mut input = Input::Responded {
            link: LINK,
            request: crate::RequestId(1),
            status: 200,
            body: Cow::Borrowed(b"<body sid='0123456789abcdef' rid='1'><success>dj1h</success></body>"),
            tls: None,
        };
        mask.input(&mut input, None);
        let Input::Responded { body, .. } = input else { panic!() };
        assert_eq!(
            core::str::from_utf8(&body).unwrap(),
            "<body sid='*session-id*****' rid='1'><success>*ser</success></body>"
        );
        assert_eq!(found(&mask), [(Label::ServerProof, 1), (Label::SessionId, 1)]);
    }
}
