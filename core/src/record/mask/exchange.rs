//! One SASL exchange, as far as it was seen: what in it is secret, and what the server's proof was.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::Label;
use crate::input::ChannelBindings;
use crate::sasl::server::{self, Knows, Texts};

/// A SASL message that is kept for a replay.
const MESSAGE: usize = 64 * 1024;
/// Login tokens that are kept for a replay.
const TOKENS: usize = 16;

/// What a replay has to compute proofs from.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) knows: Knows,
    /// The login tokens of this life, the newest last.
    tokens: Vec<Zeroizing<Vec<u8>>>,
}

impl Known {
    pub(super) fn new(knows: Knows) -> Self {
        let tokens = Vec::new();
        Self { knows, tokens }
    }

    pub(super) fn remember(&mut self, token: &[u8]) {
        if self.tokens.len() == TOKENS {
            self.tokens.remove(0);
        }
        self.tokens.push(Zeroizing::new(token.to_vec()));
    }
}

/// What the text of an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The client's first message.
    Initial(Option<Label>),
    Challenge(Option<Label>),
    Response(Option<Label>),
    /// What the server says with its success.
    Final(Option<Label>),
    /// Nothing that the exchange is made of.
    Other(Label),
}

impl Text {
    pub(super) fn label(self) -> Option<Label> {
        match self {
            Self::Initial(label) | Self::Challenge(label) | Self::Response(label) | Self::Final(label) => label,
            Self::Other(label) => Some(label),
        }
    }
}

/// How a mechanism's messages are to be treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// EXTERNAL and ANONYMOUS: a name at most.
    Open,
    /// OAUTHBEARER and X-OAUTH2.
    AccessToken,
    Scram,
    /// HT: a proof, and one of the server's.
    LoginToken,
    DigestMd5,
    /// PLAIN, and whatever is not known.
    #[default]
    Password,
}

impl Kind {
    fn of(mechanism: &[u8]) -> Self {
        match mechanism {
            b"EXTERNAL" | b"ANONYMOUS" => Self::Open,
            b"OAUTHBEARER" | b"X-OAUTH2" => Self::AccessToken,
            b"DIGEST-MD5" => Self::DigestMd5,
            scram if scram.starts_with(b"SCRAM-") => Self::Scram,
            token if token.starts_with(b"HT-") => Self::LoginToken,
            _ => Self::Password,
        }
    }
}

/// One exchange. Its messages are kept for a replay only.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    kind: Kind,
    mechanism: Vec<u8>,
    pub(super) challenges: usize,
    initial: Zeroizing<Vec<u8>>,
    challenge: Zeroizing<Vec<u8>>,
    response: Zeroizing<Vec<u8>>,
    /// What the present span is filled with instead of a placeholder.
    fill: Option<Zeroizing<Vec<u8>>>,
}

impl Exchange {
    /// The client has named its mechanism.
    pub(super) fn begin(&mut self, mechanism: &[u8]) {
        *self = Self {
            kind: Kind::of(mechanism),
            mechanism: mechanism.to_vec(),
            ..Self::default()
        };
    }

    pub(super) fn initial_label(&self) -> Option<Label> {
        match self.kind {
            // A name, or a name and a nonce.
            Kind::Open | Kind::Scram => None,
            Kind::AccessToken => Some(Label::AccessToken),
            Kind::LoginToken | Kind::DigestMd5 => Some(Label::ClientProof),
            Kind::Password => Some(Label::Password),
        }
    }

    pub(super) fn response_label(&self) -> Option<Label> {
        match self.kind {
            Kind::Open => None,
            Kind::AccessToken => Some(Label::AccessToken),
            Kind::Scram | Kind::LoginToken | Kind::DigestMd5 => Some(Label::ClientProof),
            Kind::Password => Some(Label::Password),
        }
    }

    pub(super) fn challenge_label(&self) -> Option<Label> {
        match self.kind {
            // RFC 6120 §6.3.10: a server may send its proof so, and an empty success behind it. RFC 2831 §2.1.3: it does.
            Kind::Scram | Kind::DigestMd5 => (self.challenges > 1).then_some(Label::ServerProof),
            // RFC 4422 §3.6: the same, and it is all that is ever said so.
            Kind::LoginToken => Some(Label::ServerProof),
            // RFC 7628 §3.2.2: why a token was refused.
            Kind::Open | Kind::AccessToken | Kind::Password => None,
        }
    }

    pub(super) fn final_label(&self) -> Option<Label> {
        match self.kind {
            Kind::Open => None,
            Kind::AccessToken | Kind::Scram | Kind::LoginToken | Kind::DigestMd5 | Kind::Password => {
                Some(Label::ServerProof)
            }
        }
    }

    /// One byte of a message, before anything is done about it.
    pub(super) fn heard(&mut self, text: Text, byte: u8) {
        let message = match text {
            Text::Initial(_) => &mut self.initial,
            Text::Challenge(_) if self.challenges <= 1 => &mut self.challenge,
            Text::Response(_) => &mut self.response,
            Text::Challenge(_) | Text::Final(_) | Text::Other(_) => return,
        };
        if message.len() < MESSAGE {
            message.push(byte);
        }
    }

    /// What stands at that place of the server's proof, where the log has `byte`.
    pub(super) fn filled(&mut self, known: &Known, bindings: &ChannelBindings, at: usize, byte: u8) -> u8 {
        if at == 0 {
            self.fill = None;
            if byte == Label::ServerProof.byte(0) {
                self.fill = self.server_final(known, bindings);
            }
        }
        let filled = self.fill.as_ref().and_then(|fill| fill.get(at));
        filled.copied().unwrap_or(byte)
    }

    /// The text of the server's last message, if the client's proof is right.
    fn server_final(&self, known: &Known, bindings: &ChannelBindings) -> Option<Zeroizing<Vec<u8>>> {
        let text = |bytes| core::str::from_utf8(bytes).ok();
        let mechanism = text(&self.mechanism)?;
        match self.kind {
            Kind::Scram => {
                let texts = Texts {
                    mechanism,
                    client_first: text(&self.initial)?,
                    server_first: text(&self.challenge)?,
                    client_final: text(&self.response)?,
                };
                server::server_final(texts, &known.knows)
            }
            Kind::LoginToken => known
                .tokens
                .iter()
                .rev()
                .find_map(|token| server::token_final(mechanism, text(&self.initial)?, token, bindings)),
            Kind::DigestMd5 => server::digest_final(text(&self.challenge)?, text(&self.response)?, &known.knows),
            Kind::Open | Kind::AccessToken | Kind::Password => None,
        }
    }
}
