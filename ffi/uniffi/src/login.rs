//! How an account is proved, and what a login may and may not be, as records with defaults.

use std::fmt;
use std::sync::Arc;

use epode::config;

use crate::event::ChannelBindingType;
use crate::key::DerivedKey;

/// How the account is proved. Explicit: what is not given is never tried.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Credentials {
    /// A TLS client certificate: SASL EXTERNAL (XEP-0178).
    Certificate {
        /// The label by which the host knows the certificate and its key. The client never sees a key.
        identity: String,
        /// The certificate (DER), where the host can show it.
        der: Option<Vec<u8>>,
    },
    /// A password: SCRAM, or what shows more of the password where the policy allows it. As bytes, so that a host can wipe its copy.
    Password {
        /// The password, in UTF-8.
        password: Vec<u8>,
    },
    /// Two factors: SCRAM on a link that presents the certificate; never EXTERNAL.
    CertificateAndPassword {
        /// The label by which the host knows the certificate and its key.
        identity: String,
        /// The password, in UTF-8.
        password: Vec<u8>,
    },
    /// What a password became for this server at an earlier login: SCRAM without the slow step, and without the password. Where the
    /// server has another salt or count by now, the login fails with the detail `key_does_not_fit`.
    ScramKey {
        /// The key.
        key: Arc<DerivedKey>,
    },
    /// An OAuth 2.0 access token: OAUTHBEARER (RFC 7628), or X-OAUTH2.
    AccessToken {
        /// The token.
        token: Vec<u8>,
    },
    /// Only the login token that is restored (`Slot::Token`, XEP-0484).
    KeptToken,
    /// No account: the server makes one up (ANONYMOUS, XEP-0175). The JID is the server's domain.
    Anonymous,
    /// An account that does not exist yet: it is registered in band (XEP-0077 §3.1) and then logged in to.
    NewAccount {
        /// The password that it is to have, in UTF-8.
        password: Vec<u8>,
    },
    /// Nothing: the client looks at what the server offers (`Offered`), says goodbye and is offline. The JID may be a domain.
    Nothing,
}

/// What a client says about itself (XEP-0388 §2.3): a server lists it to the user, and ties tokens to it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct UserAgent {
    /// A UUID of version 4, the same for all the life of an installation. `None`: the client draws one, and keeps it with the login token.
    #[uniffi(default = None)]
    pub id: Option<String>,
    /// The application, for the user.
    #[uniffi(default = Some("epode"))]
    pub software: Option<String>,
    /// The device, for the user. It is sent to the server: the host's name need not be.
    #[uniffi(default = None)]
    pub device: Option<String>,
}

/// Whether login tokens (XEP-0484, FAST) are used. They are kept in `Slot::Token`, where `Persist` says that anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Fast {
    /// Ask for a token, and use it.
    Use,
    /// Neither.
    Off,
    /// Use the token a last time: the server forgets it (XEP-0484 §3.6), and so does the client.
    Invalidate,
}

/// Who derives SCRAM's keys from the password: thousands of hashes, so milliseconds to seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum KeyDerivation {
    /// The client, within the call that makes it necessary.
    Inline,
    /// The host, in another thread or with its platform's own functions: `DeriveKey`.
    Host,
}

/// What is asked for together with a resource, where the server has Bind 2 (XEP-0386).
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Bind {
    /// The name of the software, which becomes a part of the resource.
    #[uniffi(default = "epode")]
    pub tag: String,
    /// Messages of the account's other devices are copied to this one (XEP-0280).
    #[uniffi(default = false)]
    pub carbons: bool,
}

/// Which SASL mechanisms may be used, of those that the credentials allow. The order of preference is the client's own: EXTERNAL, tokens
/// (HT), SCRAM with channel binding (SHA-512, -384, -256, -1), SCRAM without, OAUTHBEARER, X-OAUTH2, DIGEST-MD5, PLAIN, ANONYMOUS.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Mechanisms {
    /// PLAIN shows the password to the server. It is used over verified TLS only, and only if this is set.
    #[uniffi(default = false)]
    pub allow_plain: bool,
    /// DIGEST-MD5 (RFC 2831, historic), over verified TLS only, and only if this is set.
    #[uniffi(default = None)]
    pub digest_md5: Option<DigestMd5>,
    /// Only these, if set.
    #[uniffi(default = None)]
    pub only: Option<Vec<String>>,
    /// Nothing that stands behind this one in the order of preference, if set.
    #[uniffi(default = None)]
    pub least: Option<String>,
    /// Bind to these only, of what the host gives and the server offers, if set.
    #[uniffi(default = None)]
    pub channel_bindings: Option<Vec<ChannelBindingType>>,
    /// The fewest iterations of SCRAM that are accepted (RFC 5802 §5.1).
    #[uniffi(default = 4096)]
    pub scram_min: u32,
    /// The most.
    #[uniffi(default = 2000000)]
    pub scram_max: u32,
    /// Use SASL2 (XEP-0388) where the server has it and TLS protects the link.
    #[uniffi(default = true)]
    pub sasl2: bool,
    /// Log in by token or by certificate in the same breath as the stream is opened, where an earlier login has shown that the server takes
    /// it: a round trip less. SASL2 on TCP and WebSocket only.
    #[uniffi(default = true)]
    pub pipeline: bool,
    /// Refuse to log in by less than the strongest class of mechanism that the server has offered to this account before. What was seen
    /// is kept in the client, and in `Slot::Pins`.
    #[uniffi(default = true)]
    pub pin: bool,
    /// Channel binding that was there before has to be there again, on the same transport.
    #[uniffi(default = false)]
    pub pin_channel_binding: bool,
    /// Take a login by token (XEP-0484) where the server does not prove that it knows the token. A wrong proof is never taken.
    #[uniffi(default = false)]
    pub allow_missing_ht_server_proof: bool,
    /// Give the server the means for a stronger SCRAM where it asks for them (XEP-0480), after it has proved itself.
    #[uniffi(default = false)]
    pub upgrade: bool,
}

/// How DIGEST-MD5 is used (RFC 2831).
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct DigestMd5 {
    /// The realm, whatever the server offers. `None`: the one that is called like the domain, or the only one.
    #[uniffi(default = None)]
    pub realm: Option<String>,
    /// Names and passwords are hashed as UTF-8 also where they could be ISO-8859-1.
    #[uniffi(default = false)]
    pub always_utf8: bool,
}

impl Credentials {
    pub(crate) fn into_core(self) -> config::Credentials {
        match self {
            Self::Certificate { identity, der } => config::Credentials::Certificate { identity, der },
            Self::Password { password } => config::Credentials::password(password),
            Self::CertificateAndPassword { identity, password } => {
                config::Credentials::certificate_and_password(identity, password)
            }
            Self::ScramKey { key } => config::Credentials::ScramKey {
                key: key.core().clone(),
            },
            Self::AccessToken { token } => config::Credentials::access_token(token),
            Self::KeptToken => config::Credentials::KeptToken,
            Self::Anonymous => config::Credentials::Anonymous,
            Self::NewAccount { password } => config::Credentials::new_account(password),
            Self::Nothing => config::Credentials::Nothing,
        }
    }
}

impl fmt::Debug for Credentials {
    /// Never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate { .. } => "Certificate",
            Self::Password { .. } => "Password(redacted)",
            Self::CertificateAndPassword { .. } => "CertificateAndPassword(redacted)",
            Self::ScramKey { .. } => "ScramKey(redacted)",
            Self::AccessToken { .. } => "AccessToken(redacted)",
            Self::KeptToken => "KeptToken",
            Self::Anonymous => "Anonymous",
            Self::NewAccount { .. } => "NewAccount(redacted)",
            Self::Nothing => "Nothing",
        })
    }
}

impl UserAgent {
    pub(crate) fn into_core(self) -> config::UserAgent {
        config::UserAgent {
            id: self.id,
            software: self.software,
            device: self.device,
        }
    }
}

impl Fast {
    pub(crate) fn into_core(self) -> config::Fast {
        match self {
            Self::Use => config::Fast::Use,
            Self::Off => config::Fast::Off,
            Self::Invalidate => config::Fast::Invalidate,
        }
    }
}

impl KeyDerivation {
    pub(crate) fn into_core(self) -> config::KeyDerivation {
        match self {
            Self::Inline => config::KeyDerivation::Inline,
            Self::Host => config::KeyDerivation::Host,
        }
    }
}

impl Bind {
    pub(crate) fn into_core(self) -> config::Bind {
        config::Bind {
            tag: self.tag,
            carbons: self.carbons,
        }
    }
}

impl Mechanisms {
    pub(crate) fn into_core(self) -> config::MechanismPolicy {
        config::MechanismPolicy {
            allow_plain: self.allow_plain,
            digest_md5: self.digest_md5.map(|digest| config::DigestMd5 {
                realm: digest.realm,
                always_utf8: digest.always_utf8,
            }),
            only: self.only,
            least: self.least,
            channel_bindings: self
                .channel_bindings
                .map(|types| types.into_iter().map(ChannelBindingType::into_core).collect()),
            scram: config::ScramIterations {
                min: self.scram_min,
                max: self.scram_max,
            },
            sasl2: self.sasl2,
            pipeline: self.pipeline,
            pin: self.pin,
            pin_channel_binding: self.pin_channel_binding,
            allow_missing_ht_server_proof: self.allow_missing_ht_server_proof,
            upgrade: self.upgrade,
        }
    }
}
