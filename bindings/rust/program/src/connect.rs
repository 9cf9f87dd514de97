//! From options to a client, and from the end of a client to an exit status: what `login`, `send` and `demo` share.

use std::net::IpAddr;

use epode::error::{ConnectionError, LoginError};
use epode::{Config, Credentials, Event, Jid, Offline, Secret, TlsPolicy};
use epode_tokio::{Builder, Client, ClientIdentity};
use tokio::runtime::Runtime;

use crate::{
    account::AccountArgs,
    exit::{Exit, Failure},
    identity,
    terminal::visible,
};

/// The label of the one certificate that this program presents.
pub(crate) const LABEL: &str = "certificate";

/// A runtime on this thread: a program with one connection needs no second.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("the program cannot wait for the network here: {error}")))
}

/// Everything that is typed or asked for, before anything is sent.
pub(crate) struct Account {
    config: Config,
    identity: Option<ClientIdentity>,
    authorities: Vec<rustls::pki_types::CertificateDer<'static>>,
}

impl Account {
    /// Reads the files and asks for the secrets.
    pub(crate) fn read(jid: &Jid, args: &AccountArgs) -> Result<Self, Failure> {
        Self::with_identity(jid, args, args.identity()?)
    }

    /// As [`read`](Self::read), with the certificate that was read already.
    pub(crate) fn with_identity(
        jid: &Jid,
        args: &AccountArgs,
        certificate: Option<identity::ClientIdentity>,
    ) -> Result<Self, Failure> {
        let authorities = args.authorities()?.unwrap_or_default();
        let password =
            || -> Result<Secret, Failure> { Ok(Secret::new(args.password(&jid.to_bare())?.as_bytes().to_vec())) };
        let leaf = certificate
            .as_ref()
            .and_then(|it| it.certificate())
            .map(|leaf| leaf.to_vec());
        let credentials = match (&certificate, args.two_factors) {
            (Some(_), false) => Credentials::certificate(LABEL, leaf),
            (Some(_), true) => Credentials::certificate_and_password(LABEL, password()?),
            (None, _) => Credentials::password(password()?),
        };
        let mut builder = Config::builder(jid.clone()).bosh(&args.bosh).credentials(credentials);
        if on_this_machine(&args.bosh) {
            builder = builder.tls(TlsPolicy::AllowPlaintext);
        }
        builder = builder.mechanisms(epode::config::MechanismPolicy {
            allow_plain: args.allow_plain,
            ..Default::default()
        });
        let config = builder.build().map_err(|error| Failure::usage(error.to_string()))?;
        let identity = certificate
            .map(|it| ClientIdentity::new(it.chain, it.key))
            .transpose()
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            config,
            identity,
            authorities,
        })
    }

    /// A client that has begun to log in.
    pub(crate) async fn connect(self) -> Result<Client, Failure> {
        let mut builder = Client::builder(self.config);
        if let Some(identity) = self.identity {
            builder = builder.identity(LABEL, identity);
        }
        for authority in self.authorities {
            builder = builder
                .add_root(authority)
                .map_err(|error| Failure::usage(error.to_string()))?;
        }
        connect(builder).await
    }
}

/// Starts a client; what is wrong before the first packet is something that the user can put right.
pub(crate) async fn connect(builder: Builder) -> Result<Client, Failure> {
    builder
        .connect()
        .await
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Plain HTTP is for a server on this very machine: nothing leaves it.
fn on_this_machine(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What an `Online` says, as far as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) jid: Jid,
    pub(crate) mechanism: String,
    pub(crate) server_proof: bool,
    pub(crate) asked: Option<bool>,
    pub(crate) round_trips: u32,
}

impl Login {
    /// From the event, if it is that one.
    pub(crate) fn from_event(event: &Event) -> Option<Self> {
        // Not an enum of this crate: only one of its variants is a login.
        let Event::Online {
            jid,
            mechanism,
            server_proof,
            client_certificate_requested,
            round_trips,
            ..
        } = event
        else {
            return None;
        };
        Some(Self {
            jid: jid.clone(),
            mechanism: mechanism.clone(),
            server_proof: *server_proof == epode::ServerProof::Verified,
            asked: *client_certificate_requested,
            round_trips: *round_trips,
        })
    }

    /// The lines of the summary, label and value.
    ///
    /// With `presented`, a client certificate was at hand; whether it travelled depends on the server's having asked.
    pub(crate) fn lines(&self, milliseconds: u128, presented: bool) -> Vec<(&'static str, String)> {
        let proof = match (self.mechanism.as_str(), self.server_proof) {
            ("EXTERNAL", _) => "the TLS client certificate is the proof; no password was used",
            (_, true) => "the server proved that it knows the password too",
            (_, false) => "the server was not asked to prove itself beyond TLS",
        };
        let certificate = match (self.mechanism.as_str(), presented, self.asked) {
            ("EXTERNAL", ..) | (_, false, _) | (_, _, None) => "",
            (_, true, Some(true)) => "; the client certificate was presented too",
            (_, true, Some(false)) => "; the server did not ask for the client certificate",
        };
        vec![
            ("mechanism", format!("{} ({proof}{certificate})", self.mechanism)),
            ("identity", visible(self.jid.as_str())),
            ("round trips", self.round_trips.to_string()),
            ("milliseconds", milliseconds.to_string()),
        ]
    }
}

/// The failure that an end stands for; none if it was asked for. `url` is what the connection was for.
pub(crate) fn failure(reason: &Offline, url: &str) -> Option<Failure> {
    let exit = match reason {
        Offline::Stopped => return None,
        Offline::Connection(_) => Exit::Connection,
        Offline::Tls(_) => Exit::Tls,
        Offline::Login(_) => Exit::Login,
        Offline::Incompatible(_) | Offline::Misbehaved(_) => Exit::Protocol,
        Offline::Ended(_) => Exit::Other,
        // Not an enum of this crate.
        _ => Exit::Other,
    };
    Some(Failure::new(exit, explanation(reason, url)))
}

/// The engine's sentence, with what only this program knows: the address that was typed, and its own options.
fn explanation(reason: &Offline, url: &str) -> String {
    if let Offline::Connection(ConnectionError::Failed(
        epode::Failure::Dns | epode::Failure::Refused | epode::Failure::Timeout,
    )) = reason
    {
        return format!("{}: {reason}", visible(&address(url)));
    }
    if let Offline::Login(LoginError::NoMechanism { offered, wanted, .. }) = reason
        && !wanted.iter().any(|name| name == "EXTERNAL")
    {
        if offered.iter().any(|name| name == "PLAIN") {
            return format!("{reason} (--allow-plain)");
        }
        if offered.iter().any(|name| name == "EXTERNAL") {
            return format!("{reason} (--cert)");
        }
    }
    reason.to_string()
}

/// Host and port of a URL.
fn address(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let port = if scheme.eq_ignore_ascii_case("http") { 80 } else { 443 };
    // The colons of an IPv6 literal are inside its brackets.
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => authority.to_owned(),
        Some(_) | None => format!("{authority}:{port}"),
    }
}

/// The failure of an interruption before being online.
pub(crate) fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted before being online")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_port() {
        for (url, expected) in [
            ("https://example.org/http-bind", "example.org:443"),
            ("https://example.org:7443/http-bind", "example.org:7443"),
            ("http://[::1]/x:1", "[::1]:80"),
            ("https://[::1]:7443", "[::1]:7443"),
        ] {
            assert_eq!(address(url), expected);
        }
    }

    #[test]
    fn the_way_out_of_a_refusal_is_named_by_its_option() {
        let refused = |offered: &[&str]| {
            let reason = Offline::Login(LoginError::NoMechanism {
                offered: offered.iter().map(|&name| name.to_owned()).collect(),
                wanted: vec!["SCRAM-SHA-256".to_owned()],
                client_certificate_requested: Some(true),
            });
            failure(&reason, "https://h/").unwrap().message
        };
        assert!(refused(&["EXTERNAL"]).ends_with("; a client certificate is needed (--cert)"));
        assert!(refused(&["PLAIN"]).ends_with(" has to be allowed first (--allow-plain)"));
        assert!(refused(&["X-OTHER"]).ends_with("it offers X-OTHER"));
    }

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for url in [
            "http://localhost:5280/http-bind",
            "http://127.0.0.1/",
            "http://[::1]:5280/x",
        ] {
            assert!(on_this_machine(url), "{url}");
        }
        for url in [
            "https://localhost/",
            "http://localhost.example/",
            "http://example.org/",
            "http://192.0.2.1/",
        ] {
            assert!(!on_this_machine(url), "{url}");
        }
    }
}
