//! TLS: client identities, trust, the facts of a connection, and what a broken one means.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use epode::certificate::{ClientCertificate, NoSingleAccount};
use epode::{BareJid, ChannelBindings, Failure, LinkInfo, TlsFacts};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::der::Decode;

use crate::binding;

/// A client certificate with its chain, and its private key.
#[derive(Clone)]
pub struct ClientIdentity {
    certified: Arc<CertifiedKey>,
    not_before: Duration,
    not_after: Duration,
    not_before_text: String,
    not_after_text: String,
    for_clients: bool,
    account: Result<BareJid, NoSingleAccount>,
}

impl ClientIdentity {
    /// The certificate, leaf first, and the key that belongs to it.
    ///
    /// # Errors
    /// There is no certificate, it cannot be read, the key is of an unknown kind, or it is another certificate's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, IdentityError> {
        let Some(leaf) = chain.first() else {
            return Err(IdentityError::NoCertificate);
        };
        // Names that cannot be read are the server's to judge.
        let read = ClientCertificate::from_der(leaf).ok();
        let parsed = x509_cert::Certificate::from_der(leaf).map_err(|_| IdentityError::Unreadable)?;
        let validity = parsed.tbs_certificate().validity();
        let (not_before, not_after) = (validity.not_before, validity.not_after);
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
            if matches!(error, rustls::Error::InconsistentKeys(_)) {
                return IdentityError::OtherKey;
            }
            IdentityError::Key {
                reason: error.to_string(),
            }
        })?;
        Ok(Self {
            certified: Arc::new(certified),
            not_before: not_before.to_unix_duration(),
            not_after: not_after.to_unix_duration(),
            not_before_text: not_before.to_date_time().to_string(),
            not_after_text: not_after.to_date_time().to_string(),
            for_clients: read.as_ref().and_then(ClientCertificate::has_client_auth) != Some(false),
            account: read.map_or(Err(NoSingleAccount::NoAccount), |read| read.account()),
        })
    }

    /// The leaf certificate (DER).
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.certified.cert.first()
    }

    /// The one account that the certificate names, for a user who gave no address.
    ///
    /// ```no_run
    /// # fn configure(identity: &epode_tokio::ClientIdentity) -> Result<(), Box<dyn std::error::Error>> {
    /// let config = epode::Config::builder(identity.account()?.into());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It names none, or several.
    pub fn account(&self) -> Result<BareJid, NoSingleAccount> {
        self.account.clone()
    }

    /// Whether a server could take the certificate now; it would refuse it otherwise, often without a word.
    pub(crate) fn check(&self) -> Result<(), IdentityError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if now < self.not_before {
            return Err(IdentityError::NotYetValid {
                from: self.not_before_text.clone(),
            });
        }
        if now > self.not_after {
            return Err(IdentityError::Expired {
                since: self.not_after_text.clone(),
            });
        }
        // RFC 5280 §4.2.1.12: a certificate that says what it is for is for nothing else.
        if !self.for_clients {
            return Err(IdentityError::NotForClients);
        }
        Ok(())
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("not_after", &self.not_after_text)
            .finish_non_exhaustive()
    }
}

/// A client certificate that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// The chain is empty.
    NoCertificate,
    /// The certificate is no X.509.
    Unreadable,
    /// The private key cannot be used.
    Key {
        /// Why.
        reason: String,
    },
    /// The private key belongs to another certificate.
    OtherKey,
    /// The certificate has expired.
    Expired {
        /// When.
        since: String,
    },
    /// The certificate is not valid yet.
    NotYetValid {
        /// From when on it is.
        from: String,
    },
    /// The certificate says what it is for (extended key usage), and logging in is not there.
    NotForClients,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no client certificate to present"),
            Self::Unreadable => f.write_str("the client certificate cannot be read: it is no X.509 certificate"),
            Self::Key { reason } => write!(f, "the private key of the client certificate cannot be used: {reason}"),
            Self::OtherKey => f.write_str(
                "the private key does not belong to the client certificate: give the two that were made together",
            ),
            Self::Expired { since } => {
                write!(
                    f,
                    "the client certificate expired on {since}: a new one is needed, no connection was made"
                )
            }
            Self::NotYetValid { from } => write!(
                f,
                "the client certificate is valid only from {from}: check the clock of this machine, no connection was made"
            ),
            Self::NotForClients => f.write_str(
                "the client certificate is not meant for logging in: its extended key usage lacks clientAuth, so servers \
                 refuse it; one with that usage is needed, no connection was made",
            ),
        }
    }
}

impl StdError for IdentityError {}

/// How many of a wrong certificate's names are told.
const NAMES: usize = 5;

/// Bytes for a seed, from the system's generator.
pub(crate) fn random_seed() -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    ring::default_provider().secure_random.fill(&mut seed).ok()?;
    Some(seed)
}

/// The part of the configuration that all connections of a client share.
pub(crate) fn base_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A resumed connection cannot say whether a certificate was asked for, and the server may judge by that connection.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The authorities that this machine trusts.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Authorities that cannot be read are left out, as every TLS library does; an empty store rejects every server.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// A connection with or without TLS.
pub(crate) type Wire = Box<dyn Io>;

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection whose handshake is done.
pub(crate) struct Secured {
    pub(crate) wire: Wire,
    pub(crate) seen: Seen,
    pub(crate) alpn: Option<String>,
}

/// What a handshake showed.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) facts: TlsFacts,
    pub(crate) channel_bindings: ChannelBindings,
}

/// Shakes hands with whoever has to be `name`: it presents `identity`, offers `alpn`, and keeps what was seen.
pub(crate) async fn secure(
    base: &ClientConfig,
    identity: Option<&ClientIdentity>,
    alpn: Option<&[u8]>,
    name: ServerName<'static>,
    stream: TcpStream,
) -> Result<Secured, Failure> {
    let asked = Asked(Arc::new(AtomicBool::new(false)));
    let mut config = base.clone();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.client_auth_cert_resolver = Arc::new(Presenter {
        certified: identity.map(|identity| Arc::clone(&identity.certified)),
        asked: asked.clone(),
    });
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| io_failure(&error))?;
    let connection = stream.get_ref().1;
    let seen = Seen {
        facts: facts(connection, &asked),
        channel_bindings: binding::of(connection),
    };
    let alpn = connection.alpn_protocol();
    let alpn = alpn.map(|name| String::from_utf8_lossy(name).into_owned());
    Ok(Secured {
        wire: Box::new(stream),
        seen,
        alpn,
    })
}

/// What the engine is told of a link: one where nothing was `seen` has no TLS.
pub(crate) fn info(seen: Option<&Seen>, name: String, identity: Option<&ClientIdentity>) -> LinkInfo {
    let Some(seen) = seen else {
        return LinkInfo::default();
    };
    LinkInfo {
        tls_version: seen.facts.version.clone(),
        client_certificate_requested: seen.facts.client_certificate_requested,
        client_certificate: identity.and_then(ClientIdentity::leaf).map(|leaf| leaf.to_vec()),
        channel_bindings: seen.channel_bindings.clone(),
        ..LinkInfo::verified(name)
    }
}

/// Whether the server asked for a client certificate on one connection.
#[derive(Clone, Debug)]
struct Asked(Arc<AtomicBool>);

impl Asked {
    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Presenter {
    certified: Option<Arc<CertifiedKey>>,
    asked: Asked,
}

impl ResolvesClientCert for Presenter {
    /// Presents the one identity whatever authorities the server names: the user chose it, and servers name too few.
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.0.store(true, Ordering::Release);
        self.certified.clone()
    }

    /// Always, so that rustls calls `resolve` and the question is recorded.
    fn has_certs(&self) -> bool {
        true
    }
}

/// What is known of a connection after its handshake.
fn facts(connection: &ClientConnection, asked: &Asked) -> TlsFacts {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    TlsFacts {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Some("1.2".to_owned()),
            Some(ProtocolVersion::TLSv1_3) => Some("1.3".to_owned()),
            // Not an enum of ours, and no other version is ever negotiated.
            _ => None,
        },
        server_certificate_sha256: leaf.map(|leaf| Sha256::digest(leaf).into()),
        client_certificate_requested: Some(asked.get()),
    }
}

/// What an I/O error, or the TLS error inside it, means.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "not an enum of this crate, and it grows: what is not named is told by its own text"
)]
pub(crate) fn io_failure(error: &io::Error) -> Failure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_failure(tls);
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => Failure::Refused,
        ErrorKind::TimedOut => Failure::Timeout,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::NotConnected => Failure::Reset,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Failure::Other {
            reason: "there is no route to the server: is this machine on the network?".to_owned(),
        },
        _ => Failure::Other {
            reason: format!("the connection failed: {error}"),
        },
    }
}

/// What an error of hyper means: the cause at the bottom of its chain counts.
pub(crate) fn http_failure(error: &hyper::Error) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io_failure(io);
        }
        source = cause.source();
    }
    if error.is_parse() || error.is_parse_status() {
        return Failure::Http {
            reason: "what the server sent is no HTTP/1.1 answer".to_owned(),
        };
    }
    // Everything else that is not I/O is a connection that ended before the answer was whole.
    Failure::Reset
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "not an enum of this crate, and it grows: what is not named is told by its own text"
)]
fn tls_failure(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::AlertReceived(alert) => Failure::TlsAlert(u8::from(*alert)),
        rustls::Error::InvalidCertificate(error) => Failure::CertificateRejected {
            reason: rejection(error),
        },
        rustls::Error::InvalidMessage(_) => Failure::Other {
            reason: "the server does not speak TLS at this port: is it the right one?".to_owned(),
        },
        error => Failure::Other {
            reason: format!("TLS failed: {error}"),
        },
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "not an enum of this crate, and it grows: what is not named is told by its own text"
)]
fn rejection(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; check the clock of this machine".to_owned()
        }
        CertificateError::UnknownIssuer => "none of the authorities that are trusted here has signed it".to_owned(),
        CertificateError::BadSignature => {
            "its signature is wrong, or its authority only has the same name as one that is trusted here".to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::NotValidForName => "it is for another name than the server's".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let mut reason = format!("it is not for {:?}", expected.to_str());
            // Each is a Rust value in text, as `DnsName("example.org")`. The quotes stay, so that a name of the certificate's cannot pass
            // for the program's own words.
            let names: Vec<_> = presented
                .iter()
                .filter_map(|name| name.strip_prefix("DnsName(")?.strip_suffix(')'))
                .take(NAMES)
                .collect();
            if !names.is_empty() {
                reason.push_str(" but for ");
                reason.push_str(&names.join(", "));
            }
            reason
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not meant for servers".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_and_an_alert_are_told_apart() {
        assert_eq!(
            io_failure(&io::Error::from(ErrorKind::ConnectionRefused)),
            Failure::Refused
        );
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateUnknown);
        assert_eq!(
            io_failure(&io::Error::new(ErrorKind::InvalidData, alert)),
            Failure::TlsAlert(46)
        );
        assert_eq!(io_failure(&io::Error::from(ErrorKind::UnexpectedEof)), Failure::Reset);
    }

    #[test]
    fn a_rejected_certificate_is_explained() {
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let Failure::CertificateRejected { reason } = tls_failure(&error) else {
            panic!("not rejected")
        };
        assert_eq!(reason, "none of the authorities that are trusted here has signed it");
    }

    #[test]
    fn a_certificate_for_another_name_says_for_which() {
        for (presented, expected) in [
            (
                &[r#"DnsName("example.org")"#, r#"DnsName("a\nb")"#][..],
                r#"it is not for "localhost" but for "example.org", "a\nb""#,
            ),
            (&["IpAddress([127, 0, 0, 1])"], r#"it is not for "localhost""#),
            (&[], r#"it is not for "localhost""#),
        ] {
            let error = CertificateError::NotValidForNameContext {
                expected: "localhost".try_into().unwrap(),
                presented: presented.iter().map(|&name| name.to_owned()).collect(),
            };
            assert_eq!(rejection(&error), expected);
        }
    }
}
