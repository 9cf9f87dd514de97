//! TLS: ask for a client certificate, let any through, and say what it was worth, so that SASL can refuse it with a reason.

use std::io;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS12;
use rustls::{
    ALL_VERSIONS, CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::authentication::{END_POINT, EXPORTER};
use crate::{ScramHash, Settings};

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";
const TAG_UTF8: u8 = 0x0c;
const TAG_IA5: u8 = 0x16;

/// What the client showed on one connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) verdict: Verdict,
    pub(crate) names: Vec<Name>,
    /// The certificate itself, to tell two identities apart.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) bindings: Bindings,
}

/// What tells this connection from every other: the data of channel binding.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bindings {
    exporter: Option<Vec<u8>>,
    end_point: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Absent,
    Trusted,
    SelfSigned,
    Untrusted,
    Expired,
    NotYetValid,
}

/// One xmppAddr of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) jid: String,
    /// Encoded as IA5String, which some issuers do and some servers accept.
    pub(crate) ia5: bool,
}

/// Judges certificates by the configured authorities.
#[derive(Debug)]
pub(crate) struct Judge {
    provider: Arc<CryptoProvider>,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    ask: bool,
    require: bool,
    strict: bool,
    /// The binding that is the same for all connections.
    end_point: Option<Vec<u8>>,
}

/// The TLS configuration, which names no protocol (ALPN), and the judge for its connections.
pub(crate) fn configure(settings: &Settings) -> io::Result<(ServerConfig, Arc<Judge>)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in &settings.client_ca {
        roots.add(certificate.clone()).map_err(io::Error::other)?;
    }
    // A verifier without any authority cannot be built: everything is untrusted then.
    let authorities = if roots.is_empty() {
        None
    } else {
        Some(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(io::Error::other)?,
        )
    };
    let judge = Arc::new(Judge {
        provider: provider.clone(),
        authorities,
        ask: settings.ask_client_certificate || settings.require_client_certificate,
        require: settings.require_client_certificate,
        strict: settings.refuse_in_tls,
        end_point: settings.certificate.chain.first().and_then(end_point),
    });
    let versions = if settings.tls_1_2_only {
        &[&TLS12][..]
    } else {
        ALL_VERSIONS
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(io::Error::other)?
        .with_client_cert_verifier(judge.clone())
        .with_single_cert(settings.certificate.chain.clone(), settings.certificate.key.clone_key())
        .map_err(io::Error::other)?;
    Ok((config, judge))
}

/// The same for one protocol.
pub(crate) fn speaking(config: &ServerConfig, protocol: &[u8]) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

impl Peer {
    /// Nothing shown.
    pub(crate) fn absent() -> Self {
        Self {
            verdict: Verdict::Absent,
            names: Vec::new(),
            certificate: None,
            bindings: Bindings::default(),
        }
    }
}

impl Bindings {
    /// The data of one type of channel binding.
    pub(crate) fn get(&self, kind: &str) -> Option<&[u8]> {
        match kind {
            EXPORTER => self.exporter.as_deref(),
            END_POINT => self.end_point.as_deref(),
            _ => None,
        }
    }
}

impl Judge {
    /// What a connection's certificates are worth, now, and what it is bound to.
    pub(crate) fn peer(&self, connection: &ServerConnection) -> Peer {
        // RFC 9266 §2. Over TLS 1.2 it also wants the extended master secret, which rustls uses whenever the client can.
        let exporter = connection.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(&[]));
        let bindings = Bindings {
            exporter: exporter.ok(),
            end_point: self.end_point.clone(),
        };
        let certificates = connection.peer_certificates();
        let Some((end, intermediates)) = certificates.and_then(<[_]>::split_first) else {
            return Peer {
                bindings,
                ..Peer::absent()
            };
        };
        Peer {
            verdict: self.verdict(end, intermediates),
            names: names(end).unwrap_or_default(),
            certificate: Some(end.as_ref().to_vec()),
            bindings,
        }
    }

    fn verdict(&self, end: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Verdict {
        let outcome = self
            .authorities
            .as_ref()
            .map(|a| a.verify_client_cert(end, intermediates, UnixTime::now()));
        match outcome {
            Some(Ok(_)) => Verdict::Trusted,
            Some(Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ))) => Verdict::Expired,
            Some(Err(Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ))) => Verdict::NotYetValid,
            Some(Err(_)) | None if is_self_signed(end) => Verdict::SelfSigned,
            Some(Err(_)) | None => Verdict::Untrusted,
        }
    }
}

/// Every certificate passes here whose key the client proves to hold, unless the settings want TLS to refuse.
impl ClientCertVerifier for Judge {
    fn offer_client_auth(&self) -> bool {
        self.ask
    }

    fn client_auth_mandatory(&self) -> bool {
        self.require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: with them, many clients would keep back the self-signed and foreign certificates that tests want to show.
        &[]
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match (&self.authorities, self.strict) {
            (_, false) => Ok(ClientCertVerified::assertion()),
            (Some(authorities), true) => authorities.verify_client_cert(end, intermediates, now),
            (None, true) => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// RFC 5929 §4.1: the certificate's hash, by the algorithm of its signature; where that is MD5 or SHA-1, by SHA-256.
fn end_point(certificate: &CertificateDer<'static>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // With RSA: MD5, SHA-1, SHA-256; with ECDSA: SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => ScramHash::Sha256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => ScramHash::Sha384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => ScramHash::Sha512,
        // Ed25519 and others have none.
        _ => return None,
    };
    Some(hash.digest(certificate))
}

/// True if these bytes are one certificate.
pub(crate) fn is_certificate(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(rest, _)| rest.is_empty())
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
}

/// The xmppAddr names in subjectAltName, in order (XEP-0178 §2).
fn names(certificate: &CertificateDer<'_>) -> Option<Vec<Name>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternatives = parsed.subject_alternative_name().ok()??;
    let mut names = Vec::new();
    for name in &alternatives.value.general_names {
        if let GeneralName::OtherName(oid, value) = name
            && oid.to_id_string() == XMPP_ADDR
        {
            names.extend(explicit_string(value));
        }
    }
    Some(names)
}

/// `[0] EXPLICIT UTF8String` (or IA5String), as DER.
fn explicit_string(der: &[u8]) -> Option<Name> {
    let (tag, content) = tag_and_content(der)?;
    let (tag, text) = if tag == 0xa0 {
        tag_and_content(content)?
    } else {
        (tag, content)
    };
    let jid = core::str::from_utf8(text).ok()?.to_owned();
    match tag {
        TAG_UTF8 => Some(Name { jid, ia5: false }),
        TAG_IA5 => Some(Name { jid, ia5: true }),
        _ => None,
    }
}

/// One DER value that fills `der`. Lengths up to two bytes: a JID has at most 3,071.
fn tag_and_content(der: &[u8]) -> Option<(u8, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, content) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(&a, rest)| (usize::from(a), rest))?,
        0x82 => rest
            .split_first_chunk::<2>()
            .map(|(&pair, rest)| (usize::from(u16::from_be_bytes(pair)), rest))?,
        _ => return None,
    };
    (content.len() == length).then_some((tag, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_only_when_its_der_is_whole() {
        let name = explicit_string(b"\xa0\x05\x0c\x03a@b").unwrap();
        assert_eq!((name.jid.as_str(), name.ia5), ("a@b", false));
        assert!(explicit_string(b"\xa0\x05\x16\x03a@b").unwrap().ia5);
        for der in [
            &b""[..],
            b"\xa0",
            b"\xa0\x05\x0c\x03a@",
            b"\xa0\x05\x0c\x04a@b",
            b"\xa0\x05\x04\x03a@b",
            b"\xa0\x80\x0c\x00",
        ] {
            assert_eq!(explicit_string(der), None);
        }
    }
}
