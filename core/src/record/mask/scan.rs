//! Goes through XML byte by byte, wherever it is cut, and hides what is secret in it. It judges nothing: what is no XML ends the
//! link anyway.
//!
//! Elements are known by where they stand and by their local names. Namespaces and prefixes are not looked at: what only looks like
//! a login is hidden too.

use alloc::vec::Vec;

use super::exchange::{Exchange, Text};
use super::{Found, Hide, Label, Role};
use crate::input::ChannelBindings;

/// What one look at some bytes needs beside the scanner.
pub(super) struct Pass<'a> {
    pub(super) role: &'a mut Role,
    /// The depth of SASL elements.
    pub(super) top: u32,
    pub(super) sent: bool,
    pub(super) exchange: &'a mut Exchange,
    /// Of the link.
    pub(super) bindings: &'a ChannelBindings,
    pub(super) found: &'a mut Found,
}

/// Names, and values that are looked at, are shorter.
const NAME: usize = 64;
/// A login token, in a replay.
const TOKEN: usize = 4 * 1024;

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

/// The element at the depth of SASL elements, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Region {
    /// Elements of SASL that hold their data themselves.
    Data,
    /// `authenticate` (XEP-0388 §2.3.1).
    Authenticate,
    /// `success` and `continue`: the server's data, and what came of what was asked for together with the login.
    Outcome,
    /// `next` and `task-data` (XEP-0388 §2.6.3): who knows what a task is about.
    Task,
    /// `iq`, for registration and password changes (XEP-0077).
    Iq,
}

/// An element that is open within a [`Region`], or is its own.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// What its text is, and that of each element below, if `deep`.
    text: Option<Text>,
    deep: bool,
    /// The `query` of an `iq`, or something in it.
    query: bool,
}

#[derive(Debug, Default)]
pub(super) struct Scanner {
    at: At,
    depth: u32,
    name: Vec<u8>,
    attribute: Vec<u8>,
    value: Vec<u8>,
    region: Option<Region>,
    /// From the element of the region on.
    open: Vec<Open>,
    /// What the value of the present attribute is.
    secret: Option<Label>,
    /// A field of a form (XEP-0004) that asks for a password.
    field: bool,
    /// Bytes of the present span so far.
    length: usize,
}

const CDATA: &[u8] = b"![CDATA[";

impl Scanner {
    pub(super) fn scan(&mut self, pass: &mut Pass<'_>, bytes: &mut [u8]) {
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
                self.close();
            }
            (At::Less, b'?') => self.at = At::Special(CDATA.len()),
            (At::Less, b'!') => self.at = At::Special(1),
            (At::Less, first) => {
                self.text_over(pass);
                self.name.clear();
                self.field = false;
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
                let most = if self.secret.is_some() { TOKEN } else { NAME };
                push(&mut self.value, other, most);
                if let (Some(label), Role::Hide(hide)) = (self.secret, &pass.role) {
                    *byte = hide.byte(label, self.length);
                }
                self.length += 1;
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
            (At::CData(2..), b'>') => self.at = At::Text,
            (At::CData(brackets), b']') => self.at = At::CData(brackets.saturating_add(1)),
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
            self.region = None;
            self.open.clear();
        }
    }

    /// What stands between attributes.
    fn between(&mut self, pass: &mut Pass<'_>, byte: u8) {
        match byte {
            b'>' => {
                self.opened(pass);
                self.depth = self.depth.saturating_add(1);
                self.length = 0;
                self.at = At::Text;
            }
            b'/' => self.at = At::Empty,
            _ => self.at = At::Attributes,
        }
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        if self.open.pop().is_some() && self.open.is_empty() {
            self.region = None;
        }
    }

    /// The tag of an element that has content is over.
    fn opened(&mut self, pass: &mut Pass<'_>) {
        let open = if self.depth == pass.top {
            let (region, text) = self.top_level(pass);
            self.region = region;
            self.open.clear();
            let deep = region == Some(Region::Task);
            let query = false;
            region.map(|_| Open { text, deep, query })
        } else {
            self.region.map(|region| self.within(region, pass))
        };
        self.open.extend(open);
    }

    fn top_level(&self, pass: &mut Pass<'_>) -> (Option<Region>, Option<Text>) {
        let exchange = &mut *pass.exchange;
        let (region, text) = match (pass.sent, self.name.as_slice()) {
            (true, b"auth") => (Region::Data, Some(Text::Initial(exchange.initial_label()))),
            (true, b"response") => (Region::Data, Some(Text::Response(exchange.response_label()))),
            (false, b"challenge") => {
                exchange.challenges += 1;
                (Region::Data, Some(Text::Challenge(exchange.challenge_label())))
            }
            (false, b"success") => (Region::Outcome, Some(Text::Final(exchange.final_label()))),
            (false, b"continue") => (Region::Outcome, None),
            (true, b"authenticate") => (Region::Authenticate, None),
            (true, b"next") | (_, b"task-data") => (Region::Task, Some(Text::Other(Label::TaskData))),
            (_, b"iq") => (Region::Iq, None),
            _ => return (None, None),
        };
        (Some(region), text)
    }

    /// What an element within the region is.
    fn within(&self, region: Region, pass: &Pass<'_>) -> Open {
        let outer = self.open.last().copied();
        let inherited = outer.filter(|outer| outer.deep);
        let mut open = Open {
            text: inherited.and_then(|outer| outer.text),
            deep: inherited.is_some(),
            query: outer.is_some_and(|outer| outer.query),
        };
        match (region, self.name.as_slice()) {
            (Region::Authenticate, b"initial-response") => {
                open.text = Some(Text::Initial(pass.exchange.initial_label()));
            }
            (Region::Outcome, b"additional-data") => open.text = Some(Text::Final(pass.exchange.final_label())),
            // XEP-0480: a salt is no secret, and without it nothing can be computed again. What is made of it is one.
            (Region::Task, b"salt") if !pass.sent => (open.text, open.deep) = (None, false),
            (Region::Task, b"hash") if pass.sent => open.text = Some(Text::Other(Label::SaltedPassword)),
            (Region::Iq, b"query") if self.open.len() == 1 => open.query = true,
            (Region::Iq, b"password") if open.query => open.text = Some(Text::Other(Label::Password)),
            (Region::Iq, b"field") if open.query && self.field => {
                (open.text, open.deep) = (Some(Text::Other(Label::Password)), true);
            }
            (Region::Data | Region::Authenticate | Region::Outcome | Region::Task | Region::Iq, _) => {}
        }
        open
    }

    fn text_byte(&mut self, pass: &mut Pass<'_>, byte: &mut u8) {
        let Some(text) = self.open.last().and_then(|open| open.text) else {
            return;
        };
        let Some(label) = text.label() else {
            if let Role::Fill(_) = &pass.role {
                pass.exchange.heard(text, *byte);
            }
            return;
        };
        match &pass.role {
            Role::Hide(hide) => *byte = hide.byte(label, self.length),
            Role::Fill(known) => {
                pass.exchange.heard(text, *byte);
                // What the log holds is a placeholder: it is filled again where it can be.
                if label == Label::ServerProof {
                    *byte = pass.exchange.filled(known, pass.bindings, self.length, *byte);
                }
            }
        }
        self.length += 1;
    }

    fn text_over(&mut self, pass: &mut Pass<'_>) {
        let text = self.open.last().and_then(|open| open.text);
        if let Some(label) = text.and_then(Text::label) {
            let encoded = !matches!(text, Some(Text::Other(_)));
            pass.found.add(label, self.length, pass.sent, encoded);
        }
        self.length = 0;
    }

    fn secret_attribute(&self, pass: &Pass<'_>) -> Option<Label> {
        let top = self.depth == pass.top;
        let mut parts = self.attribute.rsplit(|byte| *byte == b':');
        let local = parts.next().unwrap_or_default();
        let prefix = parts.next().unwrap_or_default();
        if prefix == b"xmlns" || local == b"xmlns" {
            return None;
        }
        let region = self.region.filter(|_| !top);
        match (region, self.name.as_slice(), local) {
            (Some(Region::Outcome), b"token", b"token") => return Some(Label::LoginToken),
            (Some(Region::Task), name, _) => {
                let known = prefix == b"xml" || (name == b"salt" && !pass.sent);
                return (!known).then_some(Label::TaskData);
            }
            _ => {}
        }
        // A replay has the placeholder for a value: the client does not look into it.
        let Role::Hide(Hide::All) = &pass.role else {
            return None;
        };
        let answered = !pass.sent && (top || region == Some(Region::Outcome));
        match (self.name.as_slice(), local) {
            (b"body", b"sid" | b"authid" | b"key" | b"newkey") if self.depth == 0 => Some(Label::SessionId),
            (b"enabled", b"id") if answered => Some(Label::ResumptionId),
            (b"resumed" | b"failed", b"previd") if answered => Some(Label::ResumptionId),
            (b"resume", b"previd") if pass.sent && (top || region == Some(Region::Authenticate)) => {
                Some(Label::ResumptionId)
            }
            _ => None,
        }
    }

    fn value_over(&mut self, pass: &mut Pass<'_>) {
        self.at = At::Attributes;
        if let Some(label) = self.secret.take() {
            if let (Label::LoginToken, Role::Fill(known)) = (label, &mut *pass.role) {
                known.remember(&self.value);
            }
            pass.found.add(label, self.length, pass.sent, false);
        }
        let (name, attribute) = (self.name.as_slice(), self.attribute.as_slice());
        if pass.sent && self.depth == pass.top && attribute == b"mechanism" && matches!(name, b"auth" | b"authenticate")
        {
            pass.exchange.begin(&self.value);
        }
        // XEP-0077 §4: a registration may be a form.
        if name == b"field" {
            let asks = match attribute {
                b"type" => self.value == b"text-private",
                b"var" => self.value.windows(8).any(|part| part.eq_ignore_ascii_case(b"password")),
                _ => false,
            };
            self.field |= asks;
        }
        self.attribute.clear();
        self.value.clear();
    }
}

fn push(to: &mut Vec<u8>, byte: u8, most: usize) {
    if to.len() < most {
        to.push(byte);
    }
}
