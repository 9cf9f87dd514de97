//! Certificates and private keys from files: PEM, DER and PKCS#12.

use std::{fmt, fs, path::Path, sync::Arc};

use epode::{Jid, certificate::ClientCertificate};
use p12_keystore::Pkcs12Archive;
use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    sign::SigningKey,
};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use zeroize::Zeroizing;

use crate::{
    exit::{Exit, Failure},
    prompt::{self, SecretText},
    terminal::visible,
};

/// A key file is a few kilobytes; whatever is larger was named by mistake.
const MAX_FILE_OCTETS: u64 = 4 * 1024 * 1024;

/// What a client shows in TLS: its certificate, those that lead to the authority, and the private key.
#[derive(Debug)]
pub struct ClientIdentity {
    /// The client's own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for ClientIdentity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl ClientIdentity {
    /// Reads PKCS#12 (it asks for the pass phrase), or PEM with the key in the same file or in `key`.
    ///
    /// # Errors
    /// A file cannot be read, is in no known format, holds no certificate or no key, or the key does not belong to the certificate.
    pub fn load(cert: &Path, key: Option<&Path>) -> Result<Self, Failure> {
        let shown = visible(&cert.display().to_string());
        let contents = Contents::read(cert, prompt::passphrase_of)?;
        let key = match (key, contents.key) {
            (Some(path), _) => load_key(path)?,
            (None, Some(key)) => key,
            (None, None) => {
                return Err(Failure::usage(format!(
                    "{shown} holds a certificate but no private key; name the key's file with --key, or use a PKCS#12 file (.p12)"
                )));
            }
        };
        let Some(own) = contents.chain.first() else {
            return Err(Failure::usage(format!("{shown} holds no certificate")));
        };
        if !key_belongs_to(&key, own)? {
            return Err(Failure::usage(format!(
                "the private key does not belong to the certificate in {shown}; `epode cert show` compares the two"
            )));
        }
        Ok(Self {
            chain: contents.chain,
            key,
        })
    }

    /// The one account that the certificate names; `otherwise` says what to do where it does not name just one.
    ///
    /// # Errors
    /// It names none, or several, or cannot be read.
    pub fn account(&self, otherwise: &str) -> Result<Jid, Failure> {
        let failed = |why: &dyn fmt::Display| Failure::usage(format!("{why}; {otherwise}"));
        let own = self.certificate().map_or(&[][..], |own| own);
        let certificate = ClientCertificate::from_der(own).map_err(|error| failed(&error))?;
        certificate.account().map(Jid::from).map_err(|error| failed(&error))
    }

    /// The client's own certificate as DER, which the core reads the addresses from.
    #[must_use]
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.chain.first()
    }
}

/// How a file holds its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text between `-----BEGIN` and `-----END` (RFC 7468).
    Pem,
    /// One bare certificate.
    Der,
    /// RFC 7292.
    Pkcs12,
}

/// What a certificate file holds.
#[derive(Debug)]
pub struct Contents {
    /// How it holds it.
    pub format: Format,
    /// Never empty; the certificate of the key first, where there is a key.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key, if it is in the file.
    pub key: Option<PrivateKeyDer<'static>>,
}

impl Contents {
    /// Reads a file in any of the formats; `passphrase` is called with the file's name, and only for PKCS#12.
    ///
    /// # Errors
    /// The file cannot be read, is in no known format, or the pass phrase does not open it.
    pub fn read(path: &Path, passphrase: impl FnOnce(&str) -> Result<SecretText, Failure>) -> Result<Self, Failure> {
        let shown = visible(&path.display().to_string());
        let octets = read_file(path)?;
        if is_pem(&octets) {
            let chain = certificates_in_pem(&octets, &shown)?;
            let key = PrivateKeyDer::from_pem_slice(&octets).ok();
            return Ok(Self {
                format: Format::Pem,
                chain,
                key,
            });
        }
        if let Ok((_, certificate)) = X509Certificate::from_der(&octets) {
            let der = CertificateDer::from(certificate.as_raw().to_vec());
            return Ok(Self {
                format: Format::Der,
                chain: vec![der],
                key: None,
            });
        }
        if !looks_like_pkcs12(&octets) {
            return Err(Failure::usage(format!(
                "{shown} is not a certificate: it is neither PEM nor DER nor PKCS#12"
            )));
        }
        let passphrase = passphrase(&shown)?;
        let archive = Pkcs12Archive::from_pkcs12(&octets, &passphrase).map_err(|error| unreadable(&shown, error))?;
        let (chain, key) = chain_of(archive, &shown)?;
        Ok(Self {
            format: Format::Pkcs12,
            chain,
            key,
        })
    }
}

/// All certificates of a PEM file, such as the authorities of `--ca`; or the one of a DER file.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn load_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let shown = visible(&path.display().to_string());
    let octets = read_file(path)?;
    if is_pem(&octets) {
        return certificates_in_pem(&octets, &shown);
    }
    match X509Certificate::from_der(&octets) {
        Ok((_, certificate)) => Ok(vec![CertificateDer::from(certificate.as_raw().to_vec())]),
        Err(_) => Err(Failure::usage(format!(
            "{shown} holds no certificate: it is neither PEM nor DER"
        ))),
    }
}

/// A private key from a PEM file: PKCS#8, or the older forms of RSA and EC keys; or PKCS#8 as DER.
///
/// # Errors
/// The file cannot be read, holds no key, or the key is encrypted.
pub fn load_key(path: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let shown = visible(&path.display().to_string());
    let octets = Zeroizing::new(read_file(path)?);
    if !is_pem(&octets) {
        return PrivateKeyDer::try_from(octets.to_vec())
            .map_err(|_| Failure::usage(format!("{shown} holds no private key: it is neither PEM nor DER")));
    }
    let text = String::from_utf8_lossy(&octets);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Failure::usage(format!(
            "the private key in {shown} is encrypted, which is not supported for PEM; put it into a PKCS#12 file \
             (openssl pkcs12 -export), or decrypt it (openssl pkey -in {shown} -out plain.key)"
        )));
    }
    PrivateKeyDer::from_pem_slice(&octets).map_err(|_| Failure::usage(format!("{shown} holds no private key")))
}

/// The key ready to sign, and its public half as in a certificate's subjectPublicKey.
///
/// # Errors
/// It is of a kind that TLS here cannot use: only RSA, ECDSA on P-256 and P-384, and Ed25519 can be.
pub fn signing_key(key: &PrivateKeyDer<'_>) -> Result<(Arc<dyn SigningKey>, Vec<u8>), Failure> {
    let unusable = || {
        Failure::usage(
            "this private key cannot be used: it is damaged, or of a kind other than RSA (2048 bits or more), ECDSA on P-256 or P-384, \
             and Ed25519",
        )
    };
    let signer = any_supported_type(key).map_err(|_| unusable())?;
    let info = signer.public_key().ok_or_else(unusable)?;
    let (_, info) = SubjectPublicKeyInfo::from_der(&info).map_err(|_| unusable())?;
    let public = info.subject_public_key.data.to_vec();
    Ok((signer, public))
}

/// Whether the private key is the one of the certificate.
///
/// # Errors
/// As [`signing_key`], or the certificate cannot be read.
pub fn key_belongs_to(key: &PrivateKeyDer<'_>, certificate: &CertificateDer<'_>) -> Result<bool, Failure> {
    let (_, public) = signing_key(key)?;
    let (_, certificate) = X509Certificate::from_der(certificate)
        .map_err(|error| Failure::usage(format!("the certificate cannot be read: {error}")))?;
    Ok(certificate.public_key().subject_public_key.data.as_ref() == public.as_slice())
}

fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!(
            "{} cannot be read: {}",
            visible(&path.display().to_string()),
            plain_words(&error)
        ))
    };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE_OCTETS {
        return Err(Failure::usage(format!(
            "{} is {size} bytes long; that is no certificate",
            visible(&path.display().to_string())
        )));
    }
    fs::read(path).map_err(failed)
}

/// What the operating system said, without the error number.
pub(crate) fn plain_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

fn is_pem(octets: &[u8]) -> bool {
    octets.windows(11).any(|window| window == b"-----BEGIN ")
}

fn certificates_in_pem(octets: &[u8], shown: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(octets)
        .collect::<Result<_, _>>()
        .map_err(|_| Failure::usage(format!("{shown} is damaged: its PEM text cannot be decoded")))?;
    if chain.is_empty() {
        return Err(Failure::usage(format!("{shown} holds no certificate")));
    }
    if let Some(Err(_)) = chain.first().map(|der| X509Certificate::from_der(der)) {
        return Err(Failure::usage(format!(
            "{shown} is damaged: what it calls a certificate is none"
        )));
    }
    Ok(chain)
}

// RFC 7292 §4: PFX ::= SEQUENCE { version INTEGER (3), ... }; the length before it has one to five octets.
fn looks_like_pkcs12(octets: &[u8]) -> bool {
    octets.first() == Some(&0x30)
        && octets
            .iter()
            .take(10)
            .copied()
            .collect::<Vec<_>>()
            .windows(3)
            .any(|w| w == [2, 1, 3])
}

fn unreadable(shown: &str, error: p12_keystore::error::Error) -> Failure {
    if matches!(error, p12_keystore::error::Error::MacError(_)) {
        return Failure::new(Exit::Usage, format!("the pass phrase does not open {shown}"));
    }
    Failure::usage(format!("{shown} cannot be read as PKCS#12: {error}"))
}

type ChainAndKey = (Vec<CertificateDer<'static>>, Option<PrivateKeyDer<'static>>);

// The key's own certificate, then its issuer, then the issuer's issuer; what leads nowhere is left out. Without a key, all in their order.
fn chain_of(archive: Pkcs12Archive, shown: &str) -> Result<ChainAndKey, Failure> {
    let mut rest: Vec<CertificateDer<'static>> = archive
        .certs
        .iter()
        .map(|bag| CertificateDer::from(bag.cert.as_der().to_vec()))
        .collect();
    if rest.is_empty() {
        return Err(Failure::usage(format!("{shown} holds no certificate")));
    }
    let Some(bag) = archive.keys.first() else {
        return Ok((rest, None));
    };
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()));
    let by_id = |candidate: &p12_keystore::CertificateBag| {
        candidate.local_key_id.is_some()
            && candidate.local_key_id.as_deref() == bag.local_key_id.as_ref().map(|id| id.0.as_slice())
    };
    // The key itself says more than an id in the file; the id is for a key that does not match, which the caller then finds out.
    let own = rest
        .iter()
        .position(|der| key_belongs_to(&key, der).unwrap_or(false))
        .or_else(|| archive.certs.iter().position(by_id))
        .unwrap_or(0);
    let mut chain = vec![rest.remove(own)];
    while let Some(at) = chain
        .last()
        .and_then(|last| rest.iter().position(|other| issued(other, last)))
    {
        chain.push(rest.remove(at));
    }
    Ok((chain, Some(key)))
}

fn issued(issuer: &CertificateDer<'_>, subject: &CertificateDer<'_>) -> bool {
    match (X509Certificate::from_der(issuer), X509Certificate::from_der(subject)) {
        (Ok((_, issuer)), Ok((_, subject))) => issuer.subject().as_raw() == subject.issuer().as_raw(),
        (Err(_), _) | (_, Err(_)) => false,
    }
}
