//! Channel bindings against OpenSSL: what it exports from the same connection, and its digests of the same certificates.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::binding::server_end_point;
use crate::tls::{self, Seen};

/// A folder that is removed at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("epode-binding-{}-{name}", std::process::id()));
        // A leftover of another run.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn openssl(folder: &Folder, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(&folder.0)
        .output()
        .expect("openssl is installed by the lane");
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// OpenSSL's digest of the file, which knows nothing of our tables.
fn digest(folder: &Folder, hash: &str, file: &str) -> Vec<u8> {
    openssl(folder, &["dgst", &format!("-{hash}"), "-binary", file])
}

fn check(folder: &Folder, what: &str, certificate: &[u8], expected: Option<&str>) {
    fs::write(folder.0.join("leaf.der"), certificate).unwrap();
    let expected = expected.map(|hash| digest(folder, hash, "leaf.der"));
    assert_eq!(server_end_point(certificate), expected, "{what}");
}

/// RFC 5929 §4.1.
#[test]
fn the_end_point_is_the_certificate_by_the_hash_of_its_signature() {
    let folder = Folder::new("end-point");
    for (what, algorithm, expected) in [
        ("ECDSA P-256", &PKCS_ECDSA_P256_SHA256, Some("sha256")),
        ("ECDSA P-384", &PKCS_ECDSA_P384_SHA384, Some("sha384")),
        ("Ed25519", &PKCS_ED25519, None),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        check(&folder, what, params.self_signed(&key).unwrap().der(), expected);
    }
    let rsa = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        "rsa.key",
    ];
    openssl(&folder, &rsa);
    let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt"];
    let other_mask = [
        "-sigopt",
        "rsa_padding_mode:pss",
        "-sigopt",
        "rsa_mgf1_md:sha512",
        "-sigopt",
    ];
    for (what, hash, options, expected) in [
        ("RSA with MD5", "-md5", &[][..], Some("sha256")),
        ("RSA with SHA-1", "-sha1", &[], Some("sha256")),
        ("RSA with SHA-224", "-sha224", &[], Some("sha224")),
        ("RSA with SHA-256", "-sha256", &[], Some("sha256")),
        ("RSA with SHA-384", "-sha384", &[], Some("sha384")),
        ("RSA with SHA-512", "-sha512", &[], Some("sha512")),
        // Its parameters are those that stand for themselves when they are left out.
        ("RSA-PSS with SHA-1", "-sha1", &pss, Some("sha256")),
        ("RSA-PSS with SHA-256", "-sha256", &pss, Some("sha256")),
        ("RSA-PSS with SHA-384", "-sha384", &pss, Some("sha384")),
        ("RSA-PSS with SHA-512", "-sha512", &pss, Some("sha512")),
        // Two hash functions: there is no binding for that.
        ("RSA-PSS with SHA-256 and SHA-512", "-sha256", &other_mask, None),
    ] {
        let mut request = vec![
            "req",
            "-x509",
            "-new",
            "-key",
            "rsa.key",
            "-subj",
            "/CN=localhost",
            "-days",
            "2",
            hash,
        ];
        request.extend_from_slice(options);
        if !options.is_empty() {
            request.push("rsa_pss_saltlen:digest");
        }
        request.extend(["-outform", "DER"]);
        let certificate = openssl(&folder, &request);
        check(&folder, what, &certificate, expected);
    }
    assert_eq!(server_end_point(b"no certificate"), None);
}

/// One handshake with `openssl s_server`: what the driver saw, and what OpenSSL exported, in hexadecimal digits.
async fn handshake(folder: &Folder, version: &str) -> (Seen, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(folder.0.join("server.key"), key.serialize_der()).unwrap();
    fs::write(folder.0.join("server.der"), certificate.der()).unwrap();
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", version])
        .args([
            "-cert",
            "server.der",
            "-certform",
            "DER",
            "-key",
            "server.key",
            "-keyform",
            "DER",
        ])
        .args(["-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"])
        .current_dir(&folder.0)
        // It goes on until its own input ends.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed by the lane");
    let mut lines = BufReader::new(server.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let port = lines
        .by_ref()
        .find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned));
    let stream = TcpStream::connect(("127.0.0.1", port.unwrap().parse().unwrap()))
        .await
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let base = tls::base_config(roots).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let secured = tls::secure(&base, None, None, name, stream).await.unwrap();
    let exported = lines.find_map(|line| line.trim().strip_prefix("Keying material: ").map(str::to_owned));
    drop(secured.wire);
    drop(server.stdin.take());
    server.wait().unwrap();
    (secured.seen, exported.unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// RFC 9266 §4.
#[tokio::test]
async fn the_exporter_is_what_the_server_exports_too() {
    let folder = Folder::new("exporter");
    let (seen, exported) = handshake(&folder, "-tls1_3").await;
    assert_eq!(seen.facts.version.as_deref(), Some("1.3"));
    let bindings = seen.channel_bindings;
    assert_eq!(bindings.tls_exporter.as_deref().map(hex), Some(exported));
    assert_eq!(
        bindings.tls_server_end_point,
        Some(digest(&folder, "sha256", "server.der"))
    );
    assert_eq!(bindings.tls_unique, None);
}

/// RFC 9266 §4.2: the extended master secret may be missing, and nobody says.
#[tokio::test]
async fn with_tls_1_2_only_the_certificate_counts() {
    let folder = Folder::new("tls12");
    let (seen, _) = handshake(&folder, "-tls1_2").await;
    assert_eq!(seen.facts.version.as_deref(), Some("1.2"));
    let bindings = seen.channel_bindings;
    assert_eq!((bindings.tls_exporter, bindings.tls_unique), (None, None));
    assert_eq!(
        bindings.tls_server_end_point,
        Some(digest(&folder, "sha256", "server.der"))
    );
}
