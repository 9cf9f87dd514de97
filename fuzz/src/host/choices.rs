//! What an application decided, and the configuration that comes of it.

use epode::config::{
    Acknowledge, Bosh, Credentials, DigestMd5, Discover, Fast, KeyDerivation, Limits, MechanismPolicy, Persist,
    Reconnect, ReconnectWhen, StreamManagement, Transport,
};
use epode::{Config, TcpTls, TlsPolicy};

use super::{ACCESS, ACCOUNT, DOMAIN, PASSWORD};

/// What an application decided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    pub way: Way,
    pub login: Login,
    pub allow_plain: bool,
    pub plaintext: bool,
    pub small: bool,
    pub max_requests: u8,
    pub resource: bool,
    pub reconnect: ReconnectWhen,
    /// Give up after so many attempts.
    pub attempts: Option<u32>,
    pub persist: Persist,
    /// Received stanzas count as handled when the application says so.
    pub manual: bool,
    pub resend_uncertain: bool,
    pub no_stream_management: bool,
    /// What is restored was not stored by a client: it may be about anybody and anything.
    pub foreign: bool,
    /// The server has SASL2, and the client may use it.
    pub sasl2: bool,
    /// The host gives what a login can be bound to.
    pub bindings: bool,
    /// The host derives keys.
    pub host_derives: bool,
    /// The application can do tasks, and upgrades are allowed.
    pub tasks: bool,
    pub digest_md5: bool,
    pub invalidate: bool,
    pub missing_proof: bool,
}

/// How the server is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    #[default]
    Bosh,
    StartTls,
    Direct,
    WebSocket,
    Discover,
    /// All of them, one after the other.
    All,
}

impl Way {
    /// A letter for each; any other byte is one of them too.
    pub fn of(byte: u8) -> Self {
        match byte {
            b'B' => Self::Bosh,
            b'T' => Self::StartTls,
            b'D' => Self::Direct,
            b'W' => Self::WebSocket,
            b'F' => Self::Discover,
            b'A' => Self::All,
            other => [
                Self::StartTls,
                Self::Bosh,
                Self::WebSocket,
                Self::Direct,
                Self::Discover,
                Self::All,
            ][usize::from(other) % 6],
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Login {
    #[default]
    Certificate,
    Password,
    Both,
    AccessToken,
    KeptToken,
    Anonymous,
}

impl Login {
    /// A password is there.
    pub(super) fn has_password(self) -> bool {
        matches!(self, Self::Password | Self::Both)
    }

    /// A certificate is presented.
    pub(super) fn has_certificate(self) -> bool {
        matches!(self, Self::Certificate | Self::Both)
    }

    pub(super) fn credentials(self) -> Credentials {
        match self {
            Self::Certificate => Credentials::certificate("user", None),
            Self::Password => Credentials::password(PASSWORD),
            Self::Both => Credentials::certificate_and_password("user", PASSWORD),
            Self::AccessToken => Credentials::access_token(ACCESS),
            Self::KeptToken => Credentials::KeptToken,
            Self::Anonymous => Credentials::Anonymous,
        }
    }
}

pub(super) fn config(choices: Choices) -> Config {
    let mut mechanisms = MechanismPolicy::default();
    mechanisms.allow_plain = choices.allow_plain;
    mechanisms.digest_md5 = choices.digest_md5.then(DigestMd5::default);
    mechanisms.allow_missing_ht_server_proof = choices.missing_proof;
    mechanisms.upgrade = choices.tasks;
    // Thousands of rounds would be all that the fuzzer does.
    mechanisms.scram.min = 1;
    mechanisms.scram.max = 64;
    let mut limits = Limits::default();
    if choices.small {
        limits.outbound_queue = 2_000;
        limits.outbound_stanza = 700;
        limits.inbound_queue = 4_000;
        limits.pending_requests = 3;
        limits.element_before_login = 2_000;
        limits.element = 3_000;
        limits.bosh_body = 6_000;
        limits.unacknowledged = 4;
    }
    let account = match choices.login {
        Login::Anonymous => DOMAIN,
        _ if choices.resource => "user@example.org/desk",
        _ => ACCOUNT,
    };
    let acknowledge = if choices.manual {
        Acknowledge::Manual
    } else {
        Acknowledge::Automatic
    };
    let mut builder = Config::builder(account.parse().expect("an account"))
        .credentials(choices.login.credentials())
        .fast(match choices.invalidate {
            true => Fast::Invalidate,
            false => Fast::Use,
        })
        .key_derivation(match choices.host_derives {
            true => KeyDerivation::Host,
            false => KeyDerivation::Inline,
        })
        .tls(if choices.plaintext {
            TlsPolicy::AllowPlaintext
        } else {
            TlsPolicy::Required
        })
        .mechanisms(mechanisms)
        .limits(limits)
        .reconnect(Reconnect {
            when: choices.reconnect,
            attempts: choices.attempts,
            ..Reconnect::default()
        })
        .stream_management(StreamManagement {
            enabled: !choices.no_stream_management,
            resend_uncertain: choices.resend_uncertain,
            ..StreamManagement::default()
        })
        .persist(choices.persist)
        .acknowledge(acknowledge)
        .answers("urn:answered");
    if choices.tasks {
        builder = builder.task("TOTP");
    }
    let ways = match choices.way {
        Way::All => &[Way::StartTls, Way::Direct, Way::WebSocket, Way::Bosh, Way::Discover][..],
        _ => &[choices.way][..],
    };
    for way in ways {
        builder = match way {
            Way::StartTls => builder.tcp("xmpp.example.org", 5222, TcpTls::StartTls),
            Way::Direct => builder.tcp("xmpp.example.org", 5223, TcpTls::Direct),
            Way::WebSocket => builder.websocket("wss://example.org/ws"),
            Way::Bosh => builder.transport(Transport::Bosh(Bosh {
                max_requests: choices.max_requests,
                ..Bosh::new("https://example.org/http-bind")
            })),
            Way::Discover | Way::All => builder.transport(Transport::Discover(Discover::default())),
        };
    }
    builder.build().expect("a configuration")
}
