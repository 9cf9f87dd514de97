//! What a login can be bound to: values that both ends of a TLS connection know, and nobody between two of them can make the same.
//!
//! `tls-unique` is missing, because rustls does not show the Finished messages. `tls-exporter` is there with TLS 1.3 only: with
//! TLS 1.2 it needs the extended master secret, and rustls does not say whether that was negotiated.

use epode::ChannelBindings;
use rustls::{ClientConnection, ProtocolVersion};
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Any, ObjectIdentifier};
use x509_cert::der::{self, Decode, Reader, TagMode, TagNumber};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// RFC 9266 §4.1, IANA's registry of exporter labels.
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// RFC 9266 §2: the length of the value.
const EXPORTER_BYTES: usize = 32;

/// What is known once the handshake is done.
pub(crate) fn of(connection: &ClientConnection) -> ChannelBindings {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    ChannelBindings {
        tls_exporter: exporter(connection),
        tls_unique: None,
        tls_server_end_point: leaf.and_then(|leaf| server_end_point(leaf)),
    }
}

fn exporter(connection: &ClientConnection) -> Option<Vec<u8>> {
    // RFC 9266 §4.2: with TLS 1.2 only where the extended master secret was negotiated.
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    // RFC 9266 §2: the context is there, and empty.
    let value = connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER, Some(&[]));
    Some(value.ok()?.to_vec())
}

/// RFC 5929 §4.1: the hash of the server's certificate (DER), by the hash function of its signature.
pub(crate) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    Some(match signature_hash(parsed.signature_algorithm())? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// id-RSASSA-PSS (RFC 4055 §3.1).
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
/// id-mgf1 (RFC 4055 §2.2).
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
/// id-sha1 (RFC 4055 §2.1).
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// Signatures that have one hash function in their name, by that. Those with MD5 or SHA-1 count as SHA-256 (RFC 5929 §4.1).
const SIGNATURES: [(&str, Hash); 14] = [
    // RFC 3279 §2.2: RSA with MD5 and SHA-1, DSA and ECDSA with SHA-1.
    ("1.2.840.113549.1.1.4", Hash::Sha256),
    ("1.2.840.113549.1.1.5", Hash::Sha256),
    ("1.2.840.10040.4.3", Hash::Sha256),
    ("1.2.840.10045.4.1", Hash::Sha256),
    // RFC 4055 §5: RSA.
    ("1.2.840.113549.1.1.14", Hash::Sha224),
    ("1.2.840.113549.1.1.11", Hash::Sha256),
    ("1.2.840.113549.1.1.12", Hash::Sha384),
    ("1.2.840.113549.1.1.13", Hash::Sha512),
    // RFC 5758 §3: DSA and ECDSA.
    ("2.16.840.1.101.3.4.3.1", Hash::Sha224),
    ("2.16.840.1.101.3.4.3.2", Hash::Sha256),
    ("1.2.840.10045.4.3.1", Hash::Sha224),
    ("1.2.840.10045.4.3.2", Hash::Sha256),
    ("1.2.840.10045.4.3.3", Hash::Sha384),
    ("1.2.840.10045.4.3.4", Hash::Sha512),
];

/// RFC 4055 §2.1: the hash functions, as RSASSA-PSS names them. MD5 is none of them.
const HASHES: [(&str, Hash); 4] = [
    ("2.16.840.1.101.3.4.2.4", Hash::Sha224),
    ("2.16.840.1.101.3.4.2.1", Hash::Sha256),
    ("2.16.840.1.101.3.4.2.2", Hash::Sha384),
    ("2.16.840.1.101.3.4.2.3", Hash::Sha512),
];

/// `None` where the signature has no hash function, or more than one (RFC 5929 §4.1): Ed25519 for example.
fn signature_hash(algorithm: &AlgorithmIdentifierOwned) -> Option<Hash> {
    if algorithm.oid == RSA_PSS {
        return pss_hash(algorithm.parameters.as_ref()?);
    }
    named(&SIGNATURES, algorithm.oid)
}

/// RFC 4055 §3.1: `hashAlgorithm` and `maskGenAlgorithm`, each with SHA-1 where it is left out. Both have to have one hash.
fn pss_hash(parameters: &Any) -> Option<Hash> {
    let (hash, mask) = parameters
        .sequence(|reader| {
            let mut field = |number| -> der::Result<Option<AlgorithmIdentifierOwned>> {
                reader.context_specific(TagNumber(number), TagMode::Explicit)
            };
            let (hash, mask) = (field(0)?, field(1)?);
            // The length of the salt and the trailer say nothing here.
            while !reader.is_finished() {
                reader.tlv_bytes()?;
            }
            Ok::<_, der::Error>((hash, mask))
        })
        .ok()?;
    let hash = hash.map_or(SHA1, |hash| hash.oid);
    let mask = match mask {
        None => SHA1,
        Some(mask) if mask.oid == MGF1 => mask.parameters?.decode_as::<AlgorithmIdentifierOwned>().ok()?.oid,
        Some(_) => return None,
    };
    if hash != mask {
        return None;
    }
    if hash == SHA1 {
        return Some(Hash::Sha256);
    }
    named(&HASHES, hash)
}

fn named(table: &[(&str, Hash)], oid: ObjectIdentifier) -> Option<Hash> {
    table
        .iter()
        .find(|(name, _)| ObjectIdentifier::new(name) == Ok(oid))
        .map(|(_, hash)| *hash)
}
