//! The options that say how to reach an account's server and what to show it.

use std::path::PathBuf;

use clap::Args;
use epode::jid::BareJid;
use rustls::pki_types::CertificateDer;

use crate::{
    exit::Failure,
    identity::{self, ClientIdentity},
    prompt::{self, SecretText},
};

/// Options that `login` and `send` share.
#[derive(Debug, Clone, Args)]
pub struct AccountArgs {
    /// Where the server answers BOSH.
    #[arg(
        long,
        value_name = "URL",
        value_parser = parse_bosh_url,
        help = "Where the server answers BOSH, such as https://example.org:7443/http-bind"
    )]
    pub bosh: String,
    /// The client certificate: PKCS#12, or PEM with --key (pass phrase: prompt or EPODE_CERT_PASSPHRASE)
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The private key of the client certificate, if it is in a PEM file of its own
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Trust servers whose certificate these authorities signed (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Two factors: present the certificate, and prove the password too (prompt or EPODE_PASSWORD)
    #[arg(long, requires = "cert")]
    pub two_factors: bool,
    /// Allow PLAIN, which shows the server the password, where it offers nothing better
    #[arg(long)]
    pub allow_plain: bool,
}

impl AccountArgs {
    /// The client certificate and its key, where `--cert` names one; asks for the pass phrase where the file needs one.
    ///
    /// # Errors
    /// A file cannot be read, is in no known format, holds no key, or the key does not belong to the certificate.
    pub fn identity(&self) -> Result<Option<ClientIdentity>, Failure> {
        self.cert
            .as_deref()
            .map(|cert| ClientIdentity::load(cert, self.key.as_deref()))
            .transpose()
    }

    /// The authorities of `--ca`, where it is given.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn authorities(&self) -> Result<Option<Vec<CertificateDer<'static>>>, Failure> {
        self.ca.as_deref().map(identity::load_certificates).transpose()
    }

    /// The account's password, from `EPODE_PASSWORD` or a prompt. Ask only when a password is what will be used.
    ///
    /// # Errors
    /// There is no terminal to ask at, or the password is empty.
    pub fn password(&self, account: &BareJid) -> Result<SecretText, Failure> {
        prompt::password_of(account.as_str())
    }
}

fn parse_bosh_url(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => parse_authority(rest).map(|()| text.into()),
        Some(_) => Err("there is no host in it; it looks like https://example.org:7443/http-bind".into()),
        None => Err("it must begin with https:// (or http:// for a server on this machine)".into()),
    }
}

/// Host and port, in front of the first `/`: says what is wrong in them more closely than the engine would.
fn parse_authority(rest: &str) -> Result<(), String> {
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("no user name may be in the URL: the account is an argument of its own".into());
    }
    let port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port,
        Some(_) | None => return Ok(()),
    };
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err("its port must be a number from 1 to 65535".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_what_is_wrong_with_it() {
        for url in [
            "https://h/",
            "https://h:7443",
            "HTTPS://[::1]:7443/x",
            "https://[::1]/a@b:c",
            "http://localhost:1/",
        ] {
            assert_eq!(parse_bosh_url(url), Ok(url.to_owned()));
        }
        for (url, expected) in [
            ("https://user:pw@h/", "no user name"),
            ("https://h:99999/", "1 to 65535"),
            ("https://h:0/", "1 to 65535"),
            ("https://h:x/", "1 to 65535"),
            ("https:///x", "no host"),
            ("ftp://h/", "must begin with https://"),
        ] {
            let said = parse_bosh_url(url).unwrap_err();
            assert!(said.contains(expected), "{url}: {said}");
        }
    }
}
