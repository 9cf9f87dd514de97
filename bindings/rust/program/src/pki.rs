//! Certificates made in memory: authorities, servers and clients; and PKCS#12 files from them.

use std::{fmt, net::IpAddr, sync::Arc};

use epode::jid::BareJid;
use p12_keystore::{
    Certificate as StoredCertificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKeyChain,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::{
    SignatureScheme,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::SigningKey,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::{
    exit::Failure,
    identity::{ClientIdentity, key_belongs_to, signing_key},
};

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
pub const ID_ON_XMPP_ADDR: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 5];

/// A certificate begins a little before it is made: the clock of the server that checks it may be behind ours.
const CLOCK_DIFFERENCE: Duration = Duration::minutes(5);

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: OffsetDateTime,
    /// The last moment.
    pub not_after: OffsetDateTime,
}

impl Validity {
    /// From five minutes ago until `days` days from now.
    #[must_use]
    pub fn days(days: u32) -> Self {
        // Whole seconds: a certificate's time has no more.
        let now = OffsetDateTime::now_utc();
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let end = now.checked_add(Duration::days(days.into())).unwrap_or(now);
        Self {
            not_before: now.saturating_sub(CLOCK_DIFFERENCE),
            not_after: end,
        }
    }

    /// Ends no later than `other`.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self {
            not_after: self.not_after.min(other.not_after),
            ..self
        }
    }
}

/// A certificate with its private key, in the forms that files and TLS want.
pub struct Issued {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The certificate of the authority that signed it; nothing if it signed itself.
    pub issuer: Option<CertificateDer<'static>>,
    /// From when to when it is valid.
    pub validity: Validity,
    key: Zeroizing<Vec<u8>>,
    key_pem: Zeroizing<String>,
    certificate_pem: String,
}

impl Issued {
    /// The private key, PKCS#8.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.to_vec()).into()
    }

    /// The private key as a PEM file.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate as a PEM file.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// What TLS is given: the certificate alone, as its issuer is what the other side already trusts.
    #[must_use]
    pub fn identity(&self) -> ClientIdentity {
        ClientIdentity {
            chain: vec![self.certificate.clone()],
            key: self.key(),
        }
    }

    /// The certificate, its issuer and its key as a PKCS#12 file. `alias` is what importers call it.
    ///
    /// # Errors
    /// The pass phrase is empty, or the file cannot be built from it.
    pub fn pkcs12(&self, alias: &str, passphrase: &str, strength: Strength) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if passphrase.is_empty() {
            return Err(Failure::usage("a PKCS#12 file needs a pass phrase that is not empty"));
        }
        let failed =
            |error: p12_keystore::error::Error| Failure::other(format!("the PKCS#12 file cannot be made: {error}"));
        let key = p12_keystore::PrivateKey::from_der(&self.key).map_err(failed)?;
        let chain = std::iter::once(&self.certificate)
            .chain(&self.issuer)
            .map(|der| StoredCertificate::from_der(der))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        // friendlyName is a BMPString (RFC 7292 §4.2, RFC 2985 §5.5.1): a character beyond U+FFFF does not fit in.
        let alias = if alias.chars().all(|c| u32::from(c) <= 0xffff) {
            alias
        } else {
            "xmpp"
        };
        let mut store = KeyStore::new();
        store.add_entry(
            alias,
            KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(random_octets()?.as_slice(), key, chain)),
        );
        let writer = store.writer(passphrase);
        let writer = match strength {
            Strength::Modern => writer
                .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
                .encryption_iterations(100_000)
                .mac_algorithm(MacAlgorithm::HmacSha256)
                .mac_iterations(100_000),
            // The counts that OpenSSL 1.0 and devices of its time use and accept.
            Strength::Legacy => writer
                .encryption_algorithm(EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc)
                .encryption_iterations(2048)
                .mac_algorithm(MacAlgorithm::HmacSha1)
                .mac_iterations(2048),
        };
        writer.write().map(Zeroizing::new).map_err(failed)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("validity", &self.validity)
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

/// How a PKCS#12 file is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// PBES2 with AES-256 and HMAC-SHA-256: OpenSSL 1.1 and later, Java 8u301 and later, NSS, current phones.
    Modern,
    /// pbeWithSHAAnd3-KeyTripleDES-CBC and HMAC-SHA-1: what older devices can open.
    Legacy,
}

/// A certificate authority that can sign.
pub struct Authority {
    certificate: CertificateDer<'static>,
    validity: Validity,
    issuer: Issuer<'static, Key>,
}

impl Authority {
    /// From its certificate and its private key; RSA, ECDSA on P-256 and P-384, and Ed25519 can sign.
    ///
    /// # Errors
    /// It is no authority, it is not valid now, or the key does not belong to it.
    pub fn new(certificate: CertificateDer<'static>, key: &PrivateKeyDer<'_>) -> Result<Self, Failure> {
        if !key_belongs_to(key, &certificate)? {
            return Err(Failure::usage(
                "the authority's private key does not belong to its certificate",
            ));
        }
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|error| Failure::usage(format!("the authority's certificate cannot be read: {error}")))?;
        // RFC 5280 §4.2.1.9, §4.2.1.3: servers refuse what it signs otherwise.
        if !parsed.is_ca() {
            return Err(Failure::usage(
                "the certificate of --ca is not that of an authority (it lacks CA:TRUE), so no server would accept what it signs; \
                 `epode cert ca` makes an authority",
            ));
        }
        if parsed
            .key_usage()
            .ok()
            .flatten()
            .is_some_and(|usage| !usage.value.key_cert_sign())
        {
            return Err(Failure::usage(
                "the authority may not sign certificates: its keyUsage lacks keyCertSign",
            ));
        }
        let validity = Validity {
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
        };
        let now = OffsetDateTime::now_utc();
        if now > validity.not_after {
            return Err(Failure::usage(
                "the authority's certificate has expired, so no server would accept what it signs",
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, Key::new(key)?)
            .map_err(|error| Failure::usage(format!("the authority's certificate cannot be used: {error}")))?;
        Ok(Self {
            certificate,
            validity,
            issuer,
        })
    }

    /// Its certificate, which the other side must trust.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// From when to when it is valid; nothing it signs should be valid longer.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("validity", &self.validity)
            .field("key", &"redacted")
            .finish_non_exhaustive()
    }
}

/// Makes an authority that calls itself `title`. It may sign certificates, but no further authorities.
///
/// # Errors
/// The system gives no random numbers.
pub fn make_ca(title: &str, validity: Validity) -> Result<(Authority, Issued), Failure> {
    let mut params = params(title, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let issued = issue(params, None, validity)?;
    let authority = Authority::new(issued.certificate.clone(), &issued.key())?;
    Ok((authority, issued))
}

/// Makes the certificate of a server with these DNS names and addresses; the first name is the subject too.
///
/// # Errors
/// A name is not ASCII (use its `xn--` form), or the system gives no random numbers.
pub fn make_server_cert(
    ca: &Authority,
    names: &[&str],
    addresses: &[IpAddr],
    validity: Validity,
) -> Result<Issued, Failure> {
    let validity = validity.within(ca.validity);
    let mut params = params(names.first().copied().unwrap_or("localhost"), validity)?;
    for name in names {
        let name = (*name)
            .try_into()
            .map_err(|_| Failure::usage(format!("'{name}' is no DNS name in ASCII")))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params
        .subject_alt_names
        .extend(addresses.iter().copied().map(SanType::IpAddress));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    issue(params, Some(ca), validity)
}

/// Makes the certificate of a client that names `account`; without an authority, it signs itself.
///
/// # Errors
/// The system gives no random numbers.
pub fn make_client_cert(ca: Option<&Authority>, account: &BareJid, validity: Validity) -> Result<Issued, Failure> {
    let validity = ca.map_or(validity, |ca| validity.within(ca.validity));
    // RFC 5280 Appendix A.1: a common name has 64 characters at most. The subject is for people; servers read the xmppAddr.
    let subject: String = account.as_str().chars().take(64).collect();
    let mut params = params(&subject, validity)?;
    // RFC 6120 §13.7.1.4: an otherName of type id-on-xmppAddr, a UTF8String.
    params.subject_alt_names = vec![SanType::OtherName((ID_ON_XMPP_ADDR.to_vec(), account.as_str().into()))];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    issue(params, ca, validity)
}

fn params(subject: &str, validity: Validity) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before;
    params.not_after = validity.not_after;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.serial_number = Some(SerialNumber::from_slice(&random_octets()?));
    Ok(params)
}

fn issue(mut params: CertificateParams, ca: Option<&Authority>, validity: Validity) -> Result<Issued, Failure> {
    let failed = |error: rcgen::Error| Failure::other(format!("the certificate cannot be made: {error}"));
    let pair = KeyPair::generate().map_err(failed)?;
    let certificate = match ca {
        Some(ca) => {
            params.use_authority_key_identifier_extension = true;
            params.signed_by(&pair, &ca.issuer).map_err(failed)?
        }
        None => params.self_signed(&pair).map_err(failed)?,
    };
    Ok(Issued {
        certificate_pem: certificate.pem(),
        certificate: certificate.into(),
        issuer: ca.map(|ca| ca.certificate.clone()),
        validity,
        key: Zeroizing::new(pair.serialize_der()),
        key_pem: Zeroizing::new(pair.serialize_pem()),
    })
}

// RFC 5280 §4.1.2.2: a serial number is positive and has at most 20 octets; so the first bit is 0, and the octet is not.
fn random_octets() -> Result<[u8; 16], Failure> {
    let mut octets = [0; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut octets)
        .map_err(|_| Failure::other("the operating system gives no random numbers"))?;
    let [first, ..] = &mut octets;
    *first = (*first & 0x7f) | 0x40;
    Ok(octets)
}

// rcgen with ring reads PKCS#8 only; through rustls, an authority's key may be in any form that openssl writes.
struct Key {
    signer: Arc<dyn SigningKey>,
    public: Vec<u8>,
    scheme: SignatureScheme,
    algorithm: &'static SignatureAlgorithm,
}

impl Key {
    fn new(key: &PrivateKeyDer<'_>) -> Result<Self, Failure> {
        let (signer, public) = signing_key(key)?;
        let known: [(SignatureScheme, &'static SignatureAlgorithm); 4] = [
            (SignatureScheme::ECDSA_NISTP256_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256),
            (SignatureScheme::ECDSA_NISTP384_SHA384, &rcgen::PKCS_ECDSA_P384_SHA384),
            (SignatureScheme::ED25519, &rcgen::PKCS_ED25519),
            (SignatureScheme::RSA_PKCS1_SHA256, &rcgen::PKCS_RSA_SHA256),
        ];
        let (scheme, algorithm) = known
            .into_iter()
            .find(|(scheme, _)| signer.choose_scheme(&[*scheme]).is_some())
            .ok_or_else(|| Failure::usage("the authority's key is of a kind that cannot sign here"))?;
        Ok(Self {
            signer,
            public,
            scheme,
            algorithm,
        })
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signer = self
            .signer
            .choose_scheme(&[self.scheme])
            .ok_or(rcgen::Error::UnsupportedSignatureAlgorithm)?;
        signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
