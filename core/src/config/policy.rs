//! Choices with a default: reconnection, acknowledgements, signs of life, what is kept, TLS and mechanisms.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::ConfigError;
use crate::sasl::{ChannelBindingType, preference};

/// Whether and when to connect again after the link is gone. Times are drawn at random between half of what is said here
/// and all of it, so that a server that comes back is not asked by everybody at once (RFC 6120 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Reconnect {
    /// When it is done at all.
    pub when: ReconnectWhen,
    /// Before the first retry after an established session (1 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub first: Duration,
    /// Before the second; from then on it doubles (2 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub second: Duration,
    /// No more than this (2 min).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub longest: Duration,
    /// Give up after so many attempts in a row without a login; `None`: never.
    pub attempts: Option<u32>,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            when: ReconnectWhen::AfterOnline,
            first: Duration::from_secs(1),
            second: Duration::from_secs(2),
            longest: Duration::from_secs(120),
            attempts: None,
        }
    }
}

impl Reconnect {
    /// Never: a link that is gone is the end.
    pub fn never() -> Self {
        Self {
            when: ReconnectWhen::Never,
            ..Self::default()
        }
    }
}

/// When to connect again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum ReconnectWhen {
    /// Never.
    Never,
    /// Once there was a login: somebody who waits for the first one learns at once that it does not work.
    #[default]
    AfterOnline,
    /// Always, the first login included.
    Always,
}

/// Acknowledgements and resumption (XEP-0198), where the server has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct StreamManagement {
    /// Use it (default true).
    pub enabled: bool,
    /// Ask that the session can be resumed (default true).
    pub resume: bool,
    /// For how long, in seconds, the server is asked to keep a session that lost its link; `None` leaves it to the server.
    pub max: Option<u32>,
    /// Ask for an acknowledgement after so many stanzas (default 10).
    pub request_after: u16,
    /// And when so much time has passed since the last stanza that is not acknowledged (default 3 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub request_when_quiet: Duration,
    /// Messages of which nobody knows whether the server has them, because the session is gone, are sent again in the next
    /// one, where they may arrive twice. By default they are [`Stage::Failed`](crate::Stage::Failed).
    pub resend_uncertain: bool,
}

impl Default for StreamManagement {
    fn default() -> Self {
        Self {
            enabled: true,
            resume: true,
            max: None,
            request_after: 10,
            request_when_quiet: Duration::from_secs(3),
            resend_uncertain: false,
        }
    }
}

/// How a link that is dead is noticed, on TCP and WebSocket. (BOSH has its own deadlines.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Liveness {
    /// After so much time without a word from the server it is asked whether it is there: by a request for an
    /// acknowledgement (XEP-0198), or a ping (XEP-0199) (5 min; `None`: never).
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_millis"))]
    pub ask_after: Option<Duration>,
    /// How long the server may take to show any sign of life after it was asked (30 s).
    #[cfg_attr(feature = "record", serde(with = "crate::record::millis"))]
    pub answer_within: Duration,
    /// After so much time without a word from the client something is sent that means nothing, so that no middlebox
    /// forgets the connection: white space (RFC 6120 §4.6.1) on TCP. `None`: never (the default; asking does it too).
    #[cfg_attr(feature = "record", serde(with = "crate::record::optional_millis"))]
    pub keep_alive_after: Option<Duration>,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            ask_after: Some(Duration::from_secs(300)),
            answer_within: Duration::from_secs(30),
            keep_alive_after: None,
        }
    }
}

/// Whether the host keeps what survives a process. This is about the slot [`Session`](crate::Slot::Session): what a login
/// taught, in the slots `Token` and `Pins`, is stored as soon as it changes, unless nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Persist {
    /// Nothing is stored.
    #[default]
    Off,
    /// From when the application says [`Input::Pause`](crate::Input::Pause) or goes to the background, until it says that it
    /// is in the foreground again. What is in the slot then is removed as soon as it is not true any more.
    OnSuspend,
    /// In each turn that changed something: a process may be killed at any moment.
    EveryTurn,
}

/// When a received stanza counts as handled (XEP-0198 §4): what does not, the server sends again after a resumption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Acknowledge {
    /// When the host has taken its event.
    #[default]
    Automatic,
    /// When the application says [`Input::Handled`](crate::Input::Handled), or answers the request.
    Manual,
}

/// Which links are good enough (RFC 6120 §5, XEP-0124 §17.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum TlsPolicy {
    /// TLS, with the server's certificate verified for the right name.
    #[default]
    Required,
    /// Anything, for tests on one machine. Mechanisms that show the password are never used without TLS all the same.
    AllowPlaintext,
}

/// Which SASL mechanisms may be used, of those that the credentials allow.
///
/// The order of preference is the client's own (RFC 6120 §6.3.3), whatever order the server offers: EXTERNAL, HT (with a
/// token of XEP-0484), SCRAM with channel binding (SHA-512, -384, -256, -1), SCRAM without, OAUTHBEARER, X-OAUTH2,
/// DIGEST-MD5, PLAIN, ANONYMOUS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct MechanismPolicy {
    /// PLAIN shows the password to the server. It is used over verified TLS only, and only if this is set.
    pub allow_plain: bool,
    /// DIGEST-MD5 (RFC 2831, historic since RFC 6331), over verified TLS only, and only if this is set.
    pub digest_md5: Option<DigestMd5>,
    /// Only these, if set.
    pub only: Option<Vec<String>>,
    /// Nothing that stands behind this one in the order of preference, if set.
    pub least: Option<String>,
    /// Bind to these only, of what the host gives and the server offers, if set.
    pub channel_bindings: Option<Vec<ChannelBindingType>>,
    /// Bounds on what a SCRAM server may ask for.
    pub scram: ScramIterations,
    /// Use SASL2 (XEP-0388) where the server has it and TLS protects the link (default true).
    pub sasl2: bool,
    /// Log in by token or by certificate in the same breath as the stream is opened, where an earlier login has shown that
    /// the server takes it (default true). It saves a round trip; SASL2 on TCP and WebSocket only.
    pub pipeline: bool,
    /// Do not show the password to a server that an earlier login did not have to show it to (SCRAM), and miss what such a
    /// login has shown on the same transport: the server's list of channel bindings (XEP-0440), and its word on what it
    /// offers (XEP-0474) (default true). What was seen is kept in the slot [`Pins`](crate::Slot::Pins), and in the client.
    pub pin: bool,
    /// Channel binding that was there before has to be there again, on the same transport (default false: a server behind
    /// another proxy may have lost it).
    pub pin_channel_binding: bool,
    /// Take a login by token (XEP-0484) where the server does not prove that it knows the token: one server in the field
    /// never does. A wrong proof is never taken.
    pub allow_missing_ht_server_proof: bool,
    /// Give the server the means for a stronger SCRAM where it asks for them (XEP-0480), after it has proved itself. The
    /// client derives them itself, once for each, whoever derives the keys of logins.
    pub upgrade: bool,
}

impl Default for MechanismPolicy {
    fn default() -> Self {
        Self::USUAL
    }
}

impl MechanismPolicy {
    pub(super) const USUAL: Self = Self {
        allow_plain: false,
        digest_md5: None,
        only: None,
        least: None,
        channel_bindings: None,
        scram: ScramIterations {
            min: 4_096,
            max: 2_000_000,
        },
        sasl2: true,
        pipeline: true,
        pin: true,
        pin_channel_binding: false,
        allow_missing_ht_server_proof: false,
        upgrade: false,
    };

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let named = self.only.iter().flatten().chain(&self.least);
        if named.into_iter().any(|name| preference(name).is_none()) {
            return Err(ConfigError::UnknownMechanism);
        }
        if self.scram.min > self.scram.max {
            return Err(ConfigError::Iterations);
        }
        Ok(())
    }
}

/// How DIGEST-MD5 is used (RFC 2831).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct DigestMd5 {
    /// The realm, whatever the server offers. `None`: the one that is called like the domain, or the only one.
    pub realm: Option<String>,
    /// Names and passwords are hashed as UTF-8 also where they could be ISO-8859-1: RFC 2831 §2.1.2.1 says otherwise, and
    /// several servers do it all the same.
    pub always_utf8: bool,
}

/// Bounds on the iteration count of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct ScramIterations {
    /// Fewer would help somebody who records the exchange to guess the password (RFC 5802 §5.1: 4,096).
    pub min: u32,
    /// More would only burn the client's time (default 2,000,000: about a second).
    pub max: u32,
}

impl Default for ScramIterations {
    fn default() -> Self {
        Self {
            min: 4_096,
            max: 2_000_000,
        }
    }
}
