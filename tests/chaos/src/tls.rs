//! TLS configurations for the HTTP proxy, from files or from what a test made.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// What clients of the proxy see.
///
/// # Errors
/// The certificate cannot be read, or the key is not its key.
pub fn server_tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// As [`server_tls`], from PEM files.
///
/// # Errors
/// Names the file that cannot be used.
pub fn server_tls_from_pem(chain: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    server_tls(certificates(chain)?, private).map_err(|error| wrong(chain, &error))
}

/// How the proxy talks to the server: it trusts these authorities, and has no certificate of its own.
///
/// # Errors
/// An authority cannot be read.
pub fn client_tls(authorities: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// As [`client_tls`], from a PEM file.
///
/// # Errors
/// Names the file that cannot be used.
pub fn client_tls_from_pem(authorities: &Path) -> io::Result<Arc<ClientConfig>> {
    client_tls(certificates(authorities)?).map_err(|error| wrong(authorities, &error))
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(file, &error))
}

fn wrong(file: &Path, error: &dyn std::error::Error) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} cannot be used: {error}", file.display()),
    )
}
