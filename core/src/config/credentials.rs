//! How an account is proved, and what a client says about itself when it logs in.

use alloc::string::String;
use alloc::vec::Vec;

use super::ConfigError;
use crate::sasl::DerivedKey;
use crate::secret::Secret;

/// How the account is proved. Explicit: what is not given is never tried.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Credentials {
    /// A TLS client certificate: SASL EXTERNAL (XEP-0178).
    Certificate {
        /// The label by which the host knows the certificate and its key. The client never sees a key.
        identity: String,
        /// The certificate (DER), where the host can show it.
        #[cfg_attr(feature = "record", serde(default, with = "crate::record::optional_bytes"))]
        der: Option<Vec<u8>>,
    },
    /// A password: SCRAM, or what shows more of the password where the policy allows it.
    Password {
        /// The password.
        #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
        password: Secret,
    },
    /// Two factors: SCRAM on a link that presents the certificate; never EXTERNAL.
    CertificateAndPassword {
        /// The label by which the host knows the certificate and its key.
        identity: String,
        /// The password.
        #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
        password: Secret,
    },
    /// What a password became for this server: SCRAM with the hash of the key, and without the slow step. Where the server
    /// has another salt or count by now, the login fails with [`SaslError::KeyDoesNotFit`](crate::error::SaslError).
    ScramKey {
        /// The key, as an earlier login's [`Derivation`](crate::Derivation) made it.
        key: DerivedKey,
    },
    /// An OAuth 2.0 access token: OAUTHBEARER (RFC 7628), or X-OAUTH2.
    AccessToken {
        /// The token.
        #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
        token: Secret,
    },
    /// Only the token that the slot [`Token`](crate::Slot::Token) holds (XEP-0484).
    KeptToken,
    /// No account: the server makes one up (ANONYMOUS, XEP-0175). The JID of the configuration is the server's domain.
    Anonymous,
    /// An account that does not exist yet: it is registered in band (XEP-0077 §3.1) and then logged in to.
    NewAccount {
        /// The password that it is to have.
        #[cfg_attr(feature = "record", serde(with = "crate::record::placeholder"))]
        password: Secret,
    },
    /// Nothing: the client looks at what the server offers ([`Event::Offered`](crate::Event::Offered)), says goodbye and is
    /// offline. No account is needed for it: the JID may be a domain.
    Nothing,
}

impl Credentials {
    /// A certificate that the host knows as `identity`, and its DER encoding if it can be shown.
    pub fn certificate(identity: impl Into<String>, der: Option<Vec<u8>>) -> Self {
        Self::Certificate {
            identity: identity.into(),
            der,
        }
    }

    /// A password.
    pub fn password(password: impl Into<Secret>) -> Self {
        Self::Password {
            password: password.into(),
        }
    }

    /// A certificate at the TLS level and a password at the SASL level.
    pub fn certificate_and_password(identity: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::CertificateAndPassword {
            identity: identity.into(),
            password: password.into(),
        }
    }

    /// An OAuth 2.0 access token.
    pub fn access_token(token: impl Into<Secret>) -> Self {
        Self::AccessToken { token: token.into() }
    }

    /// An account to be registered, with the password that it is to have.
    pub fn new_account(password: impl Into<Secret>) -> Self {
        Self::NewAccount {
            password: password.into(),
        }
    }

    /// The label of the client certificate, if there is one.
    pub fn identity(&self) -> Option<&str> {
        match self {
            Self::Certificate { identity, .. } | Self::CertificateAndPassword { identity, .. } => Some(identity),
            Self::Password { .. }
            | Self::ScramKey { .. }
            | Self::AccessToken { .. }
            | Self::KeptToken
            | Self::Anonymous
            | Self::NewAccount { .. }
            | Self::Nothing => None,
        }
    }

    /// The password, if there is one.
    pub(crate) fn password_secret(&self) -> Option<&Secret> {
        match self {
            Self::Password { password }
            | Self::CertificateAndPassword { password, .. }
            | Self::NewAccount { password } => Some(password),
            Self::Certificate { .. }
            | Self::ScramKey { .. }
            | Self::AccessToken { .. }
            | Self::KeptToken
            | Self::Anonymous
            | Self::Nothing => None,
        }
    }

    /// The text that must never be shown: a password or an access token.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        if let Self::AccessToken { token } = self {
            return Some(token);
        }
        self.password_secret()
    }

    /// Puts a secret that a log left out back in its place.
    #[cfg(feature = "record")]
    pub(crate) fn set_secret(&mut self, secret: Secret) {
        match self {
            Self::Password { password: place }
            | Self::CertificateAndPassword { password: place, .. }
            | Self::NewAccount { password: place }
            | Self::AccessToken { token: place } => *place = secret,
            Self::Certificate { .. } | Self::ScramKey { .. } | Self::KeptToken | Self::Anonymous | Self::Nothing => {}
        }
    }

    /// For the replay of a log that left the secrets out: others, a password or an access token of that many bytes.
    #[cfg(feature = "record")]
    pub(crate) fn make_up(&mut self, length: usize) {
        if self.secret().is_some_and(|secret| secret.expose().is_empty()) {
            self.set_secret(Secret::new(alloc::vec![b'x'; length]));
        }
        if let Self::ScramKey { key } = self {
            key.restore(None);
        }
    }

    /// Takes all secrets out, for a log.
    #[cfg(feature = "record")]
    pub(crate) fn forget(&mut self) {
        self.set_secret(Secret::default());
        if let Self::ScramKey { key } = self {
            key.forget();
        }
    }

    /// Whether the JID of the configuration has to name an account.
    pub(crate) fn needs_account(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Anonymous)
    }
}

/// What a client says about itself (XEP-0388 §2.3): a server lists it to the user, and ties tokens to it (XEP-0484).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct UserAgent {
    /// A UUID of version 4 (RFC 9562 §5.4), the same for all the life of an installation. `None`: the client draws one,
    /// and keeps it in the slot [`Token`](crate::Slot::Token).
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub id: Option<String>,
    /// The application, for the user.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub software: Option<String>,
    /// The device, for the user. It is sent to the server: the host's name need not be.
    #[cfg_attr(feature = "record", serde(default, skip_serializing_if = "Option::is_none"))]
    pub device: Option<String>,
}

impl Default for UserAgent {
    fn default() -> Self {
        Self {
            id: None,
            software: Some(String::from("epode")),
            device: None,
        }
    }
}

impl UserAgent {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_id = self.id.as_deref().is_none_or(is_uuid4);
        let is_text = |text: &Option<String>| {
            text.as_deref()
                .is_none_or(|text| !text.is_empty() && text.len() <= 1024 && !text.contains(char::is_control))
        };
        if is_id && is_text(&self.software) && is_text(&self.device) {
            Ok(())
        } else {
            Err(ConfigError::UserAgent)
        }
    }
}

/// RFC 9562 §4, §5.4: 8-4-4-4-12 hexadecimal digits, of version 4.
pub(crate) fn is_uuid4(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => byte == b'4',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Login tokens (XEP-0484, FAST): after a login with a password the server gives one, and the next login needs neither the
/// password nor more than one message. The host keeps it ([`Output::Store`](crate::Output::Store), slot `Token`) where
/// [`Persist`](super::Persist) says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Fast {
    /// Ask for a token, and use it.
    #[default]
    Use,
    /// Neither.
    Off,
    /// Use the token a last time: the server forgets it (XEP-0484 §3.6), and so does the client.
    Invalidate,
}

/// Who derives SCRAM's keys from the password (RFC 5802 §3): thousands of hashes, so milliseconds to seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum KeyDerivation {
    /// The client, within [`Client::handle`](crate::Client::handle). A key is kept for the next link of the same client.
    #[default]
    Inline,
    /// The host, in another thread or with its platform's own functions: [`Output::DeriveKey`](crate::Output::DeriveKey).
    Host,
}

/// What is asked for together with a resource, where the server has Bind 2 (XEP-0386). A JID with a resource in the
/// configuration asks for just that one, the old way (RFC 6120 §7): Bind 2 leaves the resource to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Bind {
    /// The name of the software, which becomes a part of the resource; everybody who sees the resource sees it.
    pub tag: String,
    /// Messages of the account's other devices are copied to this one (XEP-0280).
    pub carbons: bool,
}

impl Default for Bind {
    fn default() -> Self {
        Self {
            tag: String::from("epode"),
            carbons: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_4_is_a_user_agent() {
        assert!(is_uuid4("d4565fa7-4d72-4749-b3d3-740edbf87770"));
        for other in [
            "",
            "d4565fa7-4d72-1749-b3d3-740edbf87770",
            "d4565fa7-4d72-4749-c3d3-740edbf87770",
            "d4565fa74d724749b3d3740edbf87770",
            "d4565fa7-4d72-4749-b3d3-740edbf8777g",
        ] {
            assert!(!is_uuid4(other), "{other}");
        }
    }
}
