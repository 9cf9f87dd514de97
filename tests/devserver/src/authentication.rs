//! How clients may log in, and how the server lies about it: the options that a test sets at the start or while the server runs.

use std::time::Duration;

/// `tls-exporter` (RFC 9266).
pub(crate) const EXPORTER: &str = "tls-exporter";
/// `tls-server-end-point` (RFC 5929 §4).
pub(crate) const END_POINT: &str = "tls-server-end-point";

/// What is offered, accepted and demanded at login.
///
/// The default is an old server's: SASL over its first profile only (RFC 6120 §6), SCRAM without channel binding. [`Self::modern`] has
/// everything. Set it in [`Settings`](crate::Settings), or change it with
/// [`Control::change_authentication`](crate::Control::change_authentication): streams that are opened afterwards see the change.
///
/// Several options are lies: a client that believes them was downgraded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Authentication {
    /// SASL as in RFC 6120 §6 is offered.
    pub sasl1: bool,
    /// SASL2 (XEP-0388) is offered.
    pub sasl2: bool,
    /// The hashes of SCRAM, the preferred one first.
    pub scram: Vec<ScramHash>,
    /// Each SCRAM is offered with channel binding too, `-PLUS`, over TCP and WebSocket.
    pub plus: bool,
    /// The types of channel binding that are announced (XEP-0440), over TCP and WebSocket. None, and there is no announcement.
    /// What is not announced is accepted nevertheless.
    pub channel_bindings: Vec<String>,
    /// PLAIN is offered.
    pub plain: bool,
    /// ANONYMOUS (RFC 4505) is offered: everybody gets a new name.
    pub anonymous: bool,
    /// The tokens of OAUTHBEARER (RFC 7628) and X-OAUTH2, which are offered where there are any.
    pub bearer_tokens: Vec<BearerToken>,
    /// Where OAUTHBEARER's refusal sends the client: `openid-configuration` (RFC 7628 §3.2.2).
    pub openid_configuration: Option<String>,
    /// The mechanisms to offer, whatever the rest says. One that is not implemented is offered and then refused.
    pub mechanisms: Option<Vec<String>>,
    /// The same for SASL2, where it is to differ.
    pub sasl2_mechanisms: Option<Vec<String>>,
    /// Iterations of SCRAM, instead of the personality's. What is above a million is announced and never derived: no proof is right.
    pub scram_iterations: Option<u32>,
    /// The hash of what was offered, in the first message of SCRAM (XEP-0474).
    pub downgrade_hash: DowngradeHash,
    /// The server's own proof, in SCRAM and in FAST.
    pub proof: Proof,
    /// Whom SASL2 says that it let in.
    pub identifier: Identifier,
    /// Every login is refused with this condition (RFC 6120 §6.5), after its proof was found right.
    pub refusal: Option<&'static str>,
    /// Binding a resource with SASL2 (XEP-0386) is offered.
    pub bind2: bool,
    /// Resuming with SASL2 (XEP-0198 §7) is offered, where stream management is. Never over BOSH.
    pub inline_resumption: bool,
    /// The stream features are sent after an inline resumption too, as Prosody 13 does and XEP-0388 §2.6.3 does not want.
    pub features_after_resumption: bool,
    /// Tokens for quick logins (XEP-0484). `None`: not offered.
    pub fast: Option<Fast>,
    /// Tasks of which the client must do one after SASL2's mechanism (XEP-0388 §2.7). Whatever the name, the task is the same:
    /// `<ask xmlns='urn:epode:devserver:task'>` has a text that `<answer/>` must repeat, twice.
    pub tasks: Vec<String>,
    /// Hashes of SCRAM that no account has, until its client was asked for them (XEP-0480).
    pub upgrades: Vec<ScramHash>,
    /// Accounts are made, changed and removed by clients (XEP-0077). `None`: the feature is announced where the personality does so,
    /// and nothing is behind it.
    pub registration: Option<Registration>,
    /// Clients manage the certificates of their accounts (XEP-0257).
    pub certificate_management: bool,
}

/// A hash that SCRAM is used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScramHash {
    /// SHA-1 (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
    /// SHA-384, which nobody has registered.
    Sha384,
    /// SHA-512, which some servers have.
    Sha512,
}

/// A token for OAUTHBEARER and X-OAUTH2.
#[derive(Clone)]
#[non_exhaustive]
pub struct BearerToken {
    /// The token itself.
    pub token: String,
    /// The account that it belongs to: the local part of the JID.
    pub user: String,
    /// What it is worth.
    pub state: TokenState,
}

/// What a bearer token is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It logs in.
    Good,
    /// It did once: `invalid_token`, and then `credentials-expired`.
    Expired,
    /// It is for something else: `insufficient_scope`, and this is the scope that would do.
    WrongScope(String),
}

/// What stands for `h` in SCRAM (XEP-0474).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DowngradeHash {
    /// Nothing: the server does not know it.
    #[default]
    Absent,
    /// The hash of what was offered.
    Right,
    /// The hash of something else: what the client saw is not what the server offered.
    Wrong,
}

/// How the server proves that it knows the client's secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// As it must.
    #[default]
    Right,
    /// Not at all.
    Missing,
    /// With other bytes.
    Wrong,
}

/// The `<authorization-identifier/>` of SASL2's success (XEP-0388 §2.6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Identifier {
    /// As it must be: the full JID where there is one, or else the bare one.
    #[default]
    Right,
    /// None at all.
    Missing,
    /// This instead.
    Instead(String),
}

/// Terms of XEP-0484.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fast {
    /// The mechanisms offered: HT-SHA-256-NONE, -EXPR, -ENDP. Over BOSH, those with a channel binding are left out.
    pub mechanisms: Vec<String>,
    /// How long a token is good.
    pub lifetime: Duration,
    /// When a new one comes.
    pub rotation: Rotation,
    /// Every token is refused with this condition, such as `credentials-expired`.
    pub refusal: Option<&'static str>,
}

/// When a client that logged in with a token gets a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// Only when it asks.
    Never,
    /// With every login. The old one is good until the new one was used.
    #[default]
    EachLogin,
}

/// Terms of XEP-0077.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registration {
    /// A field that is demanded beside name and password, such as `email`.
    pub extra_field: Option<String>,
    /// New accounts are refused with this condition (RFC 6120 §8.3.3), such as `not-allowed`.
    pub refusal: Option<&'static str>,
    /// The feature is not announced.
    pub hidden: bool,
}

/// One `<auth/>` or `<authenticate/>` of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// SASL2 (XEP-0388), not SASL as in RFC 6120.
    pub sasl2: bool,
    /// The mechanism that it named.
    pub mechanism: String,
}

impl Default for Authentication {
    fn default() -> Self {
        Self {
            sasl1: true,
            sasl2: false,
            scram: vec![ScramHash::Sha256, ScramHash::Sha1],
            plus: false,
            channel_bindings: Vec::new(),
            plain: true,
            anonymous: false,
            bearer_tokens: Vec::new(),
            openid_configuration: None,
            mechanisms: None,
            sasl2_mechanisms: None,
            scram_iterations: None,
            downgrade_hash: DowngradeHash::Absent,
            proof: Proof::Right,
            identifier: Identifier::Right,
            refusal: None,
            bind2: true,
            inline_resumption: true,
            features_after_resumption: false,
            fast: Some(Fast::default()),
            tasks: Vec::new(),
            upgrades: Vec::new(),
            registration: None,
            certificate_management: false,
        }
    }
}

impl Authentication {
    /// Everything that a new server has: SASL2 with all that is inline, all hashes of SCRAM, channel binding, the hash of XEP-0474,
    /// registration and certificate management.
    #[must_use]
    pub fn modern() -> Self {
        Self {
            sasl2: true,
            scram: vec![ScramHash::Sha512, ScramHash::Sha384, ScramHash::Sha256, ScramHash::Sha1],
            plus: true,
            channel_bindings: vec![EXPORTER.into(), END_POINT.into()],
            downgrade_hash: DowngradeHash::Right,
            registration: Some(Registration::default()),
            certificate_management: true,
            ..Self::default()
        }
    }
}

impl Default for Fast {
    fn default() -> Self {
        Self {
            mechanisms: ["HT-SHA-256-NONE", "HT-SHA-256-EXPR", "HT-SHA-256-ENDP"]
                .map(str::to_owned)
                .into(),
            lifetime: Duration::from_secs(21 * 24 * 3600),
            rotation: Rotation::default(),
            refusal: None,
        }
    }
}

impl BearerToken {
    /// A token that logs this user in.
    #[must_use]
    pub fn good(token: &str, user: &str) -> Self {
        Self {
            token: token.into(),
            user: user.into(),
            state: TokenState::Good,
        }
    }
}

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BearerToken")
            .field("user", &self.user)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl ScramHash {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The mechanism's name, without `-PLUS`.
    #[must_use]
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha384 => "SCRAM-SHA-384",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The task of XEP-0480 that brings it.
    #[must_use]
    pub fn upgrade_task(self) -> String {
        format!("UPGR-{}", self.mechanism())
    }
}

impl Proof {
    /// What is said where `genuine` would be right.
    pub(crate) fn of(self, mut genuine: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Right => Some(genuine),
            Self::Missing => None,
            Self::Wrong => {
                if let Some(first) = genuine.first_mut() {
                    *first ^= 1;
                }
                Some(genuine)
            }
        }
    }
}
