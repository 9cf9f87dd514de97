//! What is known of an account's server from one login to the next: the login token, the pins, the key of the password.
//!
//! The token and the pins are what the slots `Token` and `Pins` hold; the key lives as long as the client.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::features::{BindInline, Inline};
use crate::input::Slot;
use crate::output::TransportKind;
use crate::random::Random;
use crate::sasl::DerivedKey;
use crate::secret::Secret;

/// A token needs no more.
pub(crate) const TOKEN_BYTES: usize = 4 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The id of the user agent, where the configuration has none.
    user_agent: Option<String>,
    token: Option<LoginToken>,
    pins: Pins,
    /// Of the last login by SCRAM.
    key: Option<DerivedKey>,
    /// The account was registered: it need not be again.
    pub(crate) registered: bool,
    changed: Vec<Slot>,
}

/// A login token (XEP-0484).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginToken {
    pub(crate) secret: Secret,
    /// It is for this mechanism only.
    pub(crate) mechanism: String,
    pub(crate) expires_unix_ms: u64,
}

/// What the server had before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    /// A login that did not show the password.
    pub(crate) scram: bool,
    links: Vec<(TransportKind, LinkPins)>,
}

/// The same, of one transport: servers offer different things on different ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkPins {
    /// A login that was bound to the connection.
    pub(crate) bound: bool,
    /// The server showed what it offered (XEP-0474).
    pub(crate) offer: bool,
    /// What the next login can ask for before it has seen the server's features.
    pub(crate) early: Option<Early>,
}

/// What was in the features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Early {
    /// EXTERNAL was among the mechanisms of SASL2.
    pub(crate) external: bool,
    pub(crate) inline: Inline,
}

impl Memory {
    /// The slots that have to be stored anew.
    pub(crate) fn take_changed(&mut self) -> Vec<Slot> {
        core::mem::take(&mut self.changed)
    }

    fn change(&mut self, slot: Slot) {
        if !self.changed.contains(&slot) {
            self.changed.push(slot);
        }
    }

    // ---- the user agent and its token

    /// The id of this installation: drawn once, where nobody gave one.
    pub(crate) fn user_agent(&mut self, random: &mut Random) -> &str {
        if self.user_agent.is_none() {
            self.change(Slot::Token);
        }
        self.user_agent.get_or_insert_with(|| random.uuid())
    }

    pub(crate) fn token(&self) -> Option<&LoginToken> {
        self.token.as_ref()
    }

    /// A new token takes the place of the old one.
    pub(crate) fn set_token(&mut self, token: Option<LoginToken>) {
        if self.token != token {
            self.token = token;
            self.change(Slot::Token);
        }
    }

    // ---- the key

    pub(crate) fn key(&self) -> Option<&DerivedKey> {
        self.key.as_ref()
    }

    pub(crate) fn set_key(&mut self, key: Option<DerivedKey>) {
        self.key = key;
    }

    // ---- pins

    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Changes the pins of a transport, and all that are common.
    pub(crate) fn pin(&mut self, kind: TransportKind, change: impl FnOnce(&mut bool, &mut LinkPins)) {
        let before = self.pins.clone();
        let index = match self.pins.links.iter().position(|(known, _)| *known == kind) {
            Some(index) => index,
            None => {
                self.pins.links.push((kind, LinkPins::default()));
                self.pins.links.len() - 1
            }
        };
        if let Some((_, link)) = self.pins.links.get_mut(index) {
            change(&mut self.pins.scram, link);
        }
        if self.pins != before {
            self.change(Slot::Pins);
        }
    }

    // ---- the slots

    /// What a slot has to hold: names and values.
    pub(crate) fn entries(&self, slot: Slot) -> Vec<(String, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut put = |name: &str, value: &[u8]| entries.push((name.to_string(), value.to_vec()));
        match slot {
            Slot::Session => {}
            Slot::Token => {
                if let Some(id) = &self.user_agent {
                    put("user-agent", id.as_bytes());
                }
                if let Some(token) = &self.token {
                    put("token", token.secret.expose());
                    put("mechanism", token.mechanism.as_bytes());
                    put("expires", &token.expires_unix_ms.to_be_bytes());
                }
            }
            Slot::Pins => {
                if self.pins.scram {
                    put("scram", &[]);
                }
                for (kind, link) in &self.pins.links {
                    put(kind_name(*kind), link.words().as_bytes());
                }
            }
        }
        entries
    }

    /// Takes what a slot holds. What is unknown is of a later version, and is left out.
    pub(crate) fn restore(&mut self, entries: &[(String, Vec<u8>)]) {
        let value = |name: &str| entries.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let text = |name: &str| value(name).and_then(|value| core::str::from_utf8(value).ok());
        if let Some(id) = text("user-agent").filter(|id| crate::config::is_uuid4(id)) {
            self.user_agent = Some(id.to_string());
        }
        let expires = value("expires").and_then(|value| value.as_slice().try_into().ok());
        if let (Some(secret), Some(mechanism), Some(expires)) = (value("token"), text("mechanism"), expires) {
            self.token = Some(LoginToken {
                secret: Secret::new(secret.as_slice()),
                mechanism: mechanism.to_string(),
                expires_unix_ms: u64::from_be_bytes(expires),
            });
        }
        self.pins.scram |= value("scram").is_some();
        for kind in [TransportKind::Tcp, TransportKind::WebSocket, TransportKind::Bosh] {
            if let Some(words) = text(kind_name(kind)) {
                self.pins.links.retain(|(known, _)| *known != kind);
                self.pins.links.push((kind, LinkPins::read(words)));
            }
        }
    }
}

impl Pins {
    pub(crate) fn link(&self, kind: TransportKind) -> LinkPins {
        let link = self.links.iter().find(|(known, _)| *known == kind);
        link.map(|(_, link)| link.clone()).unwrap_or_default()
    }
}

impl LinkPins {
    fn words(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        let mut put = |is: bool, word| {
            if is {
                words.push(word);
            }
        };
        put(self.bound, "bound");
        put(self.offer, "offer");
        if let Some(early) = &self.early {
            put(true, "early");
            put(early.external, "external");
            put(early.inline.resume, "resume");
            if let Some(bind) = &early.inline.bind {
                put(true, "bind");
                put(bind.stream_management, "sm");
                put(bind.carbons, "carbons");
                put(bind.client_state, "csi");
            }
            words.extend(early.inline.fast.iter().map(String::as_str));
        }
        words.join(" ")
    }

    fn read(words: &str) -> Self {
        let has = |word: &str| words.split(' ').any(|known| known == word);
        Self {
            bound: has("bound"),
            offer: has("offer"),
            early: has("early").then(|| Early {
                external: has("external"),
                inline: Inline {
                    resume: has("resume"),
                    bind: has("bind").then(|| BindInline {
                        stream_management: has("sm"),
                        carbons: has("carbons"),
                        client_state: has("csi"),
                    }),
                    fast: words
                        .split(' ')
                        .filter(|word| word.starts_with("HT-"))
                        .map(ToString::to_string)
                        .collect(),
                },
            }),
        }
    }
}

fn kind_name(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::Tcp => "tcp",
        TransportKind::WebSocket => "websocket",
        TransportKind::Bosh => "bosh",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        let mut memory = Memory::default();
        let agent = memory.user_agent(&mut Random::new(&[3; 32])).to_string();
        memory.set_token(Some(LoginToken {
            secret: Secret::from("secret-token"),
            mechanism: "HT-SHA-256-EXPR".to_string(),
            expires_unix_ms: 1_795_000_000_123,
        }));
        memory.pin(TransportKind::Tcp, |scram, link| {
            *scram = true;
            link.bound = true;
            link.early = Some(Early {
                external: false,
                inline: Inline {
                    resume: true,
                    bind: Some(BindInline {
                        stream_management: true,
                        carbons: false,
                        client_state: true,
                    }),
                    fast: Vec::from(["HT-SHA-256-NONE".to_string()]),
                },
            });
        });
        memory.pin(TransportKind::Bosh, |_, link| link.offer = true);
        let mut changed = memory.take_changed();
        changed.sort_unstable();
        assert_eq!(changed, [Slot::Token, Slot::Pins]);
        let mut again = Memory::default();
        for slot in changed {
            again.restore(&memory.entries(slot));
        }
        assert_eq!(again.pins, memory.pins);
        assert_eq!(again.token, memory.token);
        assert_eq!(again.user_agent.as_deref(), Some(agent.as_str()));
        // Nothing was learnt, so nothing is stored.
        again.pin(TransportKind::Bosh, |_, link| link.offer = true);
        assert!(again.take_changed().is_empty());
    }
}
