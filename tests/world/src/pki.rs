//! The folder of certificates: read here, and named to the tests as they see it.

use std::path::{Path, PathBuf};

use epode_devserver::TlsIdentity;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Those that the description names.
const FILES: [&str; 9] = [
    "server-ca.crt",
    "rogue-ca.crt",
    "client-ca.crt",
    "alice.crt",
    "alice.key",
    "alice.p12",
    "expired.crt",
    "expired.key",
    "expired.p12",
];

/// The certificates of `tests/servers/pki`.
#[derive(Debug)]
pub(crate) struct Pki {
    folder: PathBuf,
    seen_as: PathBuf,
}

impl Pki {
    /// A folder that has what the tests will be told of.
    pub(crate) fn open(folder: &Path, seen_as: Option<&Path>) -> Result<Self, String> {
        let folder = folder
            .canonicalize()
            .map_err(|error| format!("--pki {}: {error}; `tests/servers/pki DIR` makes it", folder.display()))?;
        if let Some(missing) = FILES.iter().find(|name| !folder.join(name).is_file()) {
            let folder = folder.display();
            return Err(format!(
                "--pki {folder} has no {missing}; `tests/servers/pki {folder}` makes it"
            ));
        }
        Ok(Self {
            seen_as: seen_as.unwrap_or(&folder).to_owned(),
            folder,
        })
    }

    /// A file as the tests see it.
    pub(crate) fn seen(&self, name: &str) -> String {
        self.seen_as.join(name).display().to_string()
    }

    /// What a server shows.
    pub(crate) fn server(&self) -> Result<TlsIdentity, String> {
        let file = self.folder.join("server.key");
        let key = PrivateKeyDer::from_pem_file(&file)
            .map_err(|error| format!("{}: no private key: {error}", file.display()))?;
        let chain = self.certificates("server.crt")?;
        Ok(TlsIdentity { chain, key })
    }

    /// Those who vouch for clients.
    pub(crate) fn client_ca(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        self.certificates("client-ca.crt")
    }

    fn certificates(&self, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
        let file = self.folder.join(name);
        CertificateDer::pem_file_iter(&file)
            .and_then(Iterator::collect)
            .map_err(|error| format!("{}: no certificate: {error}", file.display()))
    }
}
