//! What is secret in the bytes that travel, found as they pass: a placeholder of the same length takes its place, so that
//! whatever counts bytes counts the same in a replay.
//!
//! A placeholder begins with `*` and its label, as `*client-proof`, and is filled with `*`. No base64 has that character. In an
//! element that the application is given, where nobody counts, it is one `*`.
//!
//! - `mod.rs`: inputs and outputs, and which bytes are those of which link.
//! - `scan.rs`: goes through the bytes.
//! - `exchange.rs`: one SASL exchange: which messages are secret, and what the server's proof was.
//! - `element.rs`: the same for elements that do not travel yet, or not any more.

mod element;
mod exchange;
mod scan;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use self::exchange::{Exchange, Known};
use self::scan::{Pass, Scanner};
use crate::input::{ChannelBindings, Input, LinkId, Slot};
use crate::output::{Endpoint, Event, Output};
use crate::sasl::server::Knows;
use crate::secret::Secret;
use crate::supervisor::snapshot::replace_token;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Label {
    /// The password itself, as PLAIN sends it, and registration (XEP-0077).
    Password,
    /// An OAuth 2.0 access token.
    AccessToken,
    /// The client's proof that it knows the password (SCRAM, DIGEST-MD5) or the login token (HT).
    ClientProof,
    /// The server's proof of the same: who has it can try passwords.
    ServerProof,
    /// What the password becomes for a stronger SCRAM (XEP-0480): as good as the password.
    SaltedPassword,
    /// A login token (XEP-0484).
    LoginToken,
    /// What is said within a task behind the login (XEP-0388 §2.6.3), such as a second factor.
    TaskData,
    /// What the login is bound to, of this one connection.
    ChannelBinding,
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
            Self::AccessToken => "access-token",
            Self::ClientProof => "client-proof",
            Self::ServerProof => "server-proof",
            Self::SaltedPassword => "salted-password",
            Self::LoginToken => "login-token",
            Self::TaskData => "task-data",
            Self::ChannelBinding => "channel-binding",
            Self::SessionId => "session-id",
            Self::ResumptionId => "resumption-id",
            Self::Kept => "kept-session",
        }
    }

    /// Whether a replay computes it from the password.
    pub(super) const fn follows_from_password(self) -> bool {
        match self {
            Self::Password | Self::AccessToken | Self::ClientProof | Self::ServerProof | Self::SaltedPassword => true,
            Self::LoginToken
            | Self::TaskData
            | Self::ChannelBinding
            | Self::SessionId
            | Self::ResumptionId
            | Self::Kept => false,
        }
    }

    fn byte(self, at: usize) -> u8 {
        match at.checked_sub(1) {
            Some(at) => self.name().as_bytes().get(at).copied().unwrap_or(b'*'),
            None => b'*',
        }
    }

    fn placeholder(self, length: usize) -> Vec<u8> {
        (0..length).map(|at| self.byte(at)).collect()
    }
}

/// What is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hide {
    /// What logs in.
    Proofs,
    /// Session ids, channel bindings and kept sessions too.
    All,
    /// The same as `Proofs`, but the places are marked with NUL, which no XML has.
    Marked,
}

impl Hide {
    fn byte(self, label: Label, at: usize) -> u8 {
        match self {
            Self::Proofs | Self::All => label.byte(at),
            Self::Marked => 0,
        }
    }
}

/// What is done about secrets.
#[derive(Debug)]
enum Role {
    Hide(Hide),
    /// This is a replay: nothing is hidden, and what was hidden is put back as far as it follows from what is known.
    Fill(Known),
}

/// Follows the links of one client.
#[derive(Debug)]
pub(super) struct Mask {
    role: Role,
    links: BTreeMap<LinkId, Link>,
    /// Slot `Session` holds what may be a password.
    kept_password: bool,
    found: Found,
}

/// What was come upon.
#[derive(Debug, Default)]
struct Found {
    counts: BTreeMap<Label, usize>,
    /// Which credentials are in force: the first, or those of the first `Provide`...
    credentials: usize,
    /// How long the first message was that showed each of the credentials, in base64; and in plain text.
    encoded: BTreeMap<usize, usize>,
    plain: BTreeMap<usize, usize>,
}

impl Found {
    fn add(&mut self, label: Label, length: usize, sent: bool, encoded: bool) {
        if length == 0 {
            return;
        }
        *self.counts.entry(label).or_default() += 1;
        if sent && matches!(label, Label::Password | Label::AccessToken) {
            let lengths = if encoded { &mut self.encoded } else { &mut self.plain };
            lengths.entry(self.credentials).or_insert(length);
        }
    }
}

#[derive(Debug, Default)]
struct Link {
    /// Each message is a document of its own, and its root is what is looked at.
    framed: bool,
    sent: Scanner,
    received: Scanner,
    exchange: Exchange,
    bindings: ChannelBindings,
}

impl Mask {
    pub(super) fn new(hide: Hide) -> Self {
        Self::with(Role::Hide(hide))
    }

    /// For a replay of a client that knows this.
    pub(super) fn filling(knows: Knows) -> Self {
        Self::with(Role::Fill(Known::new(knows)))
    }

    fn with(role: Role) -> Self {
        Self {
            role,
            links: BTreeMap::new(),
            kept_password: false,
            found: Found::default(),
        }
    }

    /// What was hidden so far, and how often.
    pub(super) fn found(&self) -> impl Iterator<Item = (Label, usize)> {
        self.found.counts.iter().map(|(label, count)| (*label, *count))
    }

    /// The bytes of the first message that showed those credentials (0: those of the configuration): in base64, in plain text.
    pub(super) fn shown(&self, credentials: usize) -> (Option<usize>, Option<usize>) {
        let of = |lengths: &BTreeMap<usize, usize>| lengths.get(&credentials).copied();
        (of(&self.found.encoded), of(&self.found.plain))
    }

    /// The replayed client has other credentials from now on.
    pub(super) fn now_knows(&mut self, knows: Knows) {
        if let Role::Fill(known) = &mut self.role {
            known.knows = knows;
        }
    }

    fn hides(&self, what: Hide) -> bool {
        match self.role {
            Role::Hide(hide) => hide == Hide::All || what == Hide::Proofs,
            Role::Fill(_) => false,
        }
    }

    /// Hides what is secret in an output.
    pub(super) fn output(&mut self, output: &mut Output) {
        let (all, proofs) = (self.hides(Hide::All), self.hides(Hide::Proofs));
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
            Output::Store { bytes, .. } if all => {
                self.found.add(Label::Kept, bytes.expose().len().max(1), false, false);
                *bytes = Secret::new(Label::Kept.placeholder(bytes.expose().len()));
            }
            Output::Store {
                slot: Slot::Token,
                bytes,
                ..
            } if proofs => self.token(bytes),
            Output::Store {
                slot: Slot::Session,
                append,
                bytes,
            } if proofs => self.session(*append, bytes),
            // The log has the computation without the password.
            Output::DeriveKey { derivation, .. } if proofs => derivation.password = Secret::default(),
            Output::Close { link } => {
                self.links.remove(link);
            }
            Output::Event(event) if proofs => self.event(event),
            Output::Store { .. }
            | Output::DeriveKey { .. }
            | Output::Resolve { .. }
            | Output::Abandon { .. }
            | Output::Event(_) => {}
        }
    }

    fn event(&mut self, event: &mut Event) {
        match event {
            Event::IqDone { result: Ok(iq), .. } | Event::Request { iq, .. } => element::hide_received(iq, b""),
            Event::Task {
                payload: Some(payload), ..
            } => element::hide_received(payload, b"<task-data>"),
            Event::Task { payload: None, .. }
            | Event::IqDone { result: Err(_), .. }
            | Event::Online { .. }
            | Event::Interrupted { .. }
            | Event::Offered { .. }
            | Event::Offline { .. }
            | Event::Stanza { .. }
            | Event::Delivery { .. }
            | Event::Writable
            | Event::Warning(_) => {}
        }
    }

    fn sent(&mut self, link: LinkId, bytes: &mut [u8], whole: bool) {
        let state = self.links.entry(link).or_default();
        if whole {
            state.sent = Scanner::default();
        }
        let mut pass = Pass {
            role: &mut self.role,
            top: u32::from(!state.framed),
            sent: true,
            exchange: &mut state.exchange,
            bindings: &state.bindings,
            found: &mut self.found,
        };
        state.sent.scan(&mut pass, bytes);
    }

    /// Hides what is secret in an input, or puts back what was hidden.
    pub(super) fn input(&mut self, input: &mut Input<'static>) {
        let (all, proofs) = (self.hides(Hide::All), self.hides(Hide::Proofs));
        let (link, bytes, whole) = match input {
            Input::Received { link, bytes } => (*link, bytes, false),
            Input::Responded { link, body, .. } => (*link, body, true),
            Input::Connected { link, info } => {
                if all {
                    self.bindings(&mut info.channel_bindings);
                }
                self.links.entry(*link).or_default().bindings = info.channel_bindings.clone();
                return;
            }
            Input::Derived { key, .. } => {
                if proofs {
                    key.forget();
                }
                return;
            }
            Input::Provide { credentials } => {
                self.found.credentials += 1;
                if proofs {
                    credentials.forget();
                }
                return;
            }
            Input::Request { iq, .. } if proofs => return element::hide_sent(iq, b""),
            Input::Respond {
                result: Ok(Some(payload)),
                ..
            } if proofs => return element::hide_sent(payload, b"<iq>"),
            Input::Task { payload: Some(payload) } if proofs => return element::hide_sent(payload, b"<task-data>"),
            Input::Restore {
                slot: Slot::Token,
                bytes,
            } => return self.token(bytes),
            Input::Start
            | Input::Stop
            | Input::Restore { .. }
            | Input::Clock { .. }
            | Input::Resolved { .. }
            | Input::Written { .. }
            | Input::Failed { .. }
            | Input::Ended { .. }
            | Input::Reading { .. }
            | Input::Network(_)
            | Input::Foreground(_)
            | Input::Pause { .. }
            | Input::Handled { .. }
            | Input::Task { .. }
            | Input::Tick
            | Input::Send { .. }
            | Input::Request { .. }
            | Input::Respond { .. }
            | Input::Cancel { .. } => return,
        };
        let state = self.links.entry(link).or_default();
        if whole || state.framed {
            state.received = Scanner::default();
        }
        let mut pass = Pass {
            role: &mut self.role,
            top: u32::from(!state.framed),
            sent: false,
            exchange: &mut state.exchange,
            bindings: &state.bindings,
            found: &mut self.found,
        };
        state.received.scan(&mut pass, bytes.to_mut());
    }

    /// What the host keeps of a login token.
    fn token(&mut self, bytes: &mut Secret) {
        let placeholder = |length| Label::LoginToken.placeholder(length);
        match (replace_token(bytes.expose(), placeholder), &mut self.role) {
            (Ok(None), _) => {}
            (Ok(Some((hidden, token))), Role::Hide(_)) => {
                self.found.add(Label::LoginToken, token.expose().len(), false, false);
                *bytes = hidden;
            }
            (Ok(Some((_, token))), Role::Fill(known)) => known.remember(token.expose()),
            // A client refuses it, and there may be a token in it all the same.
            (Err(_), Role::Hide(_)) => {
                self.found.add(Label::Kept, bytes.expose().len(), false, false);
                *bytes = Secret::new(Label::Kept.placeholder(bytes.expose().len()));
            }
            (Err(_), Role::Fill(_)) => {}
        }
    }

    /// A session may hold a request that changes a password. What is put behind it depends on it by its checksum.
    fn session(&mut self, append: bool, bytes: &mut Secret) {
        let says = |word: &[u8]| {
            let mut parts = bytes.expose().windows(word.len());
            parts.any(|part| part.eq_ignore_ascii_case(word))
        };
        self.kept_password = (self.kept_password && append) || says(b"password") || says(b"text-private");
        if self.kept_password {
            self.found.add(Label::Kept, bytes.expose().len(), false, false);
            *bytes = Secret::new(Label::Kept.placeholder(bytes.expose().len()));
        }
    }

    /// The server's certificate is no secret, and its hash neither.
    fn bindings(&mut self, bindings: &mut ChannelBindings) {
        for data in [&mut bindings.tls_exporter, &mut bindings.tls_unique]
            .into_iter()
            .flatten()
        {
            self.found.add(Label::ChannelBinding, data.len(), false, false);
            *data = Label::ChannelBinding.placeholder(data.len());
        }
    }
}
