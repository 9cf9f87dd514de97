//! The options that say how to reach an account's server and what to show it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use epode::config::{ConfigBuilder, DigestMd5, MechanismPolicy};
use epode::jid::BareJid;
use epode::{TcpTls, TlsPolicy};
use epode_tokio::Builder;
use rustls::pki_types::CertificateDer;

use crate::{
    exit::Failure,
    identity::{self, ClientIdentity},
    mechanism,
    prompt::{self, SecretText},
};

/// What stands above these options in the help.
const PLACE: &str = "Where the server is (if not given: DNS and host-meta say it)";

/// Where the server is. Without any of the first three, DNS and the server's host-meta say it.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// BOSH at this URL.
    #[arg(long, help = "BOSH at this URL, such as https://example.org:7443/http-bind", help_heading = PLACE, value_name = "URL", value_parser = parse_bosh_url, conflicts_with_all = ["ws", "host"])]
    pub bosh: Option<String>,
    /// WebSocket at this URL, such as wss://example.org:7443/ws
    #[arg(long, help_heading = PLACE, value_name = "URL", value_parser = parse_websocket_url, conflicts_with = "host")]
    pub ws: Option<String>,
    /// TCP to this host, a name or an address
    #[arg(long, help_heading = PLACE, value_name = "HOST", value_parser = parse_host)]
    pub host: Option<String>,
    /// The port on it (if not given: 5222, or 5223 with --direct-tls)
    #[arg(long, help_heading = PLACE, value_name = "PORT", requires = "host", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// TLS from the first byte (XEP-0368) instead of STARTTLS
    #[arg(long, help_heading = PLACE, requires = "host")]
    pub direct_tls: bool,
    /// Connect there for HOST, whatever DNS says of it; may be given several times
    #[arg(long, help_heading = PLACE, value_name = "HOST=ADDRESS[:PORT]", value_parser = parse_address_of)]
    pub resolve: Vec<AddressOf>,
    /// Ask this name server for SRV records instead of the system's
    #[arg(long, help_heading = PLACE, value_name = "ADDRESS[:PORT]", value_parser = parse_name_server)]
    pub dns: Option<SocketAddr>,
}

/// A host name, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressOf {
    host: String,
    address: SocketAddr,
}

impl PlaceArgs {
    /// Whether the server has to be looked for.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.bosh.is_none() && self.ws.is_none() && self.host.is_none()
    }

    /// The place as people write it; `domain` is where the search begins.
    #[must_use]
    pub fn name(&self, domain: &str) -> String {
        match (&self.bosh, &self.ws, &self.host) {
            (Some(url), ..) | (None, Some(url), _) => address_of_url(url),
            (None, None, Some(host)) if host.contains(':') => format!("[{host}]:{}", self.port()),
            (None, None, Some(host)) => format!("{host}:{}", self.port()),
            (None, None, None) => domain.to_owned(),
        }
    }

    const fn port(&self) -> u16 {
        match (self.port, self.direct_tls) {
            (Some(port), _) => port,
            // IANA's for XMPP, and the old custom for TLS at once.
            (None, false) => 5222,
            (None, true) => 5223,
        }
    }

    /// The configuration with the one transport that was named, if one was.
    #[must_use]
    pub fn configure(&self, builder: ConfigBuilder) -> ConfigBuilder {
        let builder = match (&self.bosh, &self.ws, &self.host) {
            (Some(url), ..) => builder.bosh(url),
            (None, Some(url), _) => builder.websocket(url),
            (None, None, Some(host)) => {
                let tls = if self.direct_tls {
                    TcpTls::Direct
                } else {
                    TcpTls::StartTls
                };
                builder.tcp(host, self.port(), tls)
            }
            (None, None, None) => builder,
        };
        if self.bosh.iter().chain(&self.ws).any(|url| on_this_machine(url)) {
            return builder.tls(TlsPolicy::AllowPlaintext);
        }
        builder
    }

    /// The driver with the names and the name server that were given.
    pub fn prepare(&self, mut builder: Builder) -> Builder {
        for known in &self.resolve {
            builder = builder.resolve(&known.host, known.address);
        }
        if let Some(server) = self.dns {
            builder = builder.nameserver(server);
        }
        builder
    }
}

/// Options that `login` and `send` share.
#[derive(Debug, Clone, Args)]
pub struct AccountArgs {
    /// Where to connect.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What to prove.
    #[command(flatten)]
    pub proof: ProofArgs,
}

/// What to show the server, and what to ask of it.
#[derive(Debug, Clone, Args)]
pub struct ProofArgs {
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
    /// Log in by the OAuth 2.0 access token that this environment variable holds
    #[arg(long, value_name = "VARIABLE", conflicts_with_all = ["cert", "allow_plain"])]
    pub token_env: Option<String>,
    /// Log in by this mechanism and by no other, such as SCRAM-SHA-256-PLUS; to name one is to allow it
    #[arg(long, value_name = "NAME", conflicts_with = "min_mechanism", value_parser = mechanism::parse)]
    pub mechanism: Option<String>,
    /// Log in by this mechanism or a better one (see below for the order)
    #[arg(long, value_name = "NAME", value_parser = mechanism::parse)]
    pub min_mechanism: Option<String>,
}

impl ProofArgs {
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

    /// The access token, where `--token-env` says where it is.
    ///
    /// # Errors
    /// The variable is not there, or holds nothing.
    pub fn access_token(&self) -> Result<Option<SecretText>, Failure> {
        self.token_env.as_deref().map(prompt::token_from).transpose()
    }

    /// Which mechanisms may be used.
    #[must_use]
    pub fn policy(&self) -> MechanismPolicy {
        let named = |name: &str| self.mechanism.as_deref() == Some(name);
        MechanismPolicy {
            allow_plain: self.allow_plain || named("PLAIN"),
            digest_md5: named("DIGEST-MD5").then(DigestMd5::default),
            only: self.mechanism.clone().map(|name| vec![name]),
            least: self.min_mechanism.clone(),
            ..MechanismPolicy::default()
        }
    }

    /// The account's password, from `EPODE_PASSWORD` or a prompt. Ask only when a password is what will be used.
    ///
    /// # Errors
    /// There is no terminal to ask at, or the password is empty.
    pub fn password(&self, account: &BareJid) -> Result<SecretText, Failure> {
        prompt::password_of(account.as_str())
    }
}

/// Plain HTTP is for a server on this very machine: nothing leaves it.
pub(crate) fn on_this_machine(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("ws://")) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host and port of a URL.
fn address_of_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let plain = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("ws");
    let port = if plain { 80 } else { 443 };
    // The colons of an IPv6 literal are inside its brackets.
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => authority.to_owned(),
        Some(_) | None => format!("{authority}:{port}"),
    }
}

fn parse_bosh_url(text: &str) -> Result<String, String> {
    parse_url(text, "https://", "http://", "https://example.org:7443/http-bind")
}

fn parse_websocket_url(text: &str) -> Result<String, String> {
    parse_url(text, "wss://", "ws://", "wss://example.org:7443/ws")
}

fn parse_url(text: &str, secure: &str, plain: &str, example: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let rest = lower.strip_prefix(secure).or_else(|| lower.strip_prefix(plain));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => parse_authority(rest).map(|()| text.into()),
        Some(_) => Err(format!("there is no host in it; it looks like {example}")),
        None => Err(format!(
            "it must begin with {secure} (or {plain} for a server on this machine)"
        )),
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

fn parse_host(text: &str) -> Result<String, String> {
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = literal.unwrap_or(text);
    if host.parse::<IpAddr>().is_ok() {
        return Ok(host.into());
    }
    if host.contains("://") {
        return Err("it must be a host, not a URL; for those there are --bosh and --ws".into());
    }
    if host.contains(':') {
        return Err("the port is an option of its own: --port".into());
    }
    if host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it must be the name of a host in ASCII, or an address".into());
    }
    Ok(host.into())
}

fn parse_address_of(text: &str) -> Result<AddressOf, String> {
    let wrong = || "it looks like xmpp.example.org=192.0.2.1 or xmpp.example.org=192.0.2.1:5222".to_owned();
    let (host, address) = text.split_once('=').ok_or_else(wrong)?;
    let host = parse_host(host)?;
    let address = socket_address(address, 0).ok_or_else(wrong)?;
    Ok(AddressOf { host, address })
}

fn parse_name_server(text: &str) -> Result<SocketAddr, String> {
    socket_address(text, 53).ok_or_else(|| "it must be an address, such as 192.0.2.53 or 192.0.2.53:5353".to_owned())
}

fn socket_address(text: &str, port: u16) -> Option<SocketAddr> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, port));
    address.ok().or_else(|| text.parse().ok())
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
        assert!(parse_websocket_url("wss://h/ws").is_ok());
        assert!(parse_websocket_url("https://h/ws").unwrap_err().contains("wss://"));
    }

    #[test]
    fn a_host_says_what_is_wrong_with_it() {
        for (text, expected) in [
            ("xmpp.example.org", "xmpp.example.org"),
            ("192.0.2.1", "192.0.2.1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(parse_host(text), Ok(expected.to_owned()));
        }
        assert!(parse_host("example.org:5222").unwrap_err().contains("--port"));
        assert!(parse_host("https://example.org/").unwrap_err().contains("--bosh"));
        assert!(parse_host("").is_err());
    }

    #[test]
    fn names_and_name_servers() {
        let known = parse_address_of("xmpp.example.org=192.0.2.1").unwrap();
        assert_eq!(
            (known.host.as_str(), known.address.to_string().as_str()),
            ("xmpp.example.org", "192.0.2.1:0")
        );
        assert_eq!(
            parse_address_of("h=[::1]:5222").unwrap().address.to_string(),
            "[::1]:5222"
        );
        assert!(parse_address_of("h").is_err() && parse_address_of("h=x").is_err());
        assert_eq!(parse_name_server("192.0.2.53").unwrap().port(), 53);
        assert_eq!(parse_name_server("192.0.2.53:5353").unwrap().port(), 5353);
    }

    #[test]
    fn a_place_has_a_name() {
        for (url, expected) in [
            ("https://example.org/http-bind", "example.org:443"),
            ("https://example.org:7443/http-bind", "example.org:7443"),
            ("http://[::1]/x:1", "[::1]:80"),
            ("https://[::1]:7443", "[::1]:7443"),
            ("wss://example.org/ws", "example.org:443"),
        ] {
            assert_eq!(address_of_url(url), expected);
        }
        let mut place = PlaceArgs::default();
        assert_eq!(place.name("example.org"), "example.org");
        place.host = Some("::1".into());
        assert_eq!(place.name("example.org"), "[::1]:5222");
        place.direct_tls = true;
        assert_eq!(place.name("example.org"), "[::1]:5223");
    }

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for url in [
            "http://localhost:5280/http-bind",
            "http://127.0.0.1/",
            "http://[::1]:5280/x",
            "ws://localhost:5280/ws",
        ] {
            assert!(on_this_machine(url), "{url}");
        }
        for url in [
            "https://localhost/",
            "http://localhost.example/",
            "http://example.org/",
            "http://192.0.2.1/",
            "ws://example.org/ws",
        ] {
            assert!(!on_this_machine(url), "{url}");
        }
    }
}
