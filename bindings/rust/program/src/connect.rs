//! From options to a client, and from the end of a client to an exit status: what `login`, `send` and `demo` share.

use epode::config::ConfigBuilder;
use epode::error::{ConnectionError, LoginError};
use epode::{Config, Credentials, Event, Jid, Offline, Secret, TransportKind};
use epode_tokio::{Builder, Client, ClientIdentity};
use rustls::pki_types::CertificateDer;
use tokio::runtime::Runtime;

use crate::{
    account::{AccountArgs, PlaceArgs},
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
    config: ConfigBuilder,
    identity: Option<ClientIdentity>,
    authorities: Vec<CertificateDer<'static>>,
    place: PlaceArgs,
}

impl Account {
    /// Reads the files and asks for the secrets.
    pub(crate) fn read(jid: &Jid, args: &AccountArgs) -> Result<Self, Failure> {
        Self::with_identity(jid, args, args.proof.identity()?)
    }

    /// As [`read`](Self::read), with the certificate that was read already.
    pub(crate) fn with_identity(
        jid: &Jid,
        args: &AccountArgs,
        certificate: Option<identity::ClientIdentity>,
    ) -> Result<Self, Failure> {
        let proof = &args.proof;
        let authorities = proof.authorities()?.unwrap_or_default();
        let password =
            || -> Result<Secret, Failure> { Ok(Secret::new(proof.password(&jid.to_bare())?.as_bytes().to_vec())) };
        let leaf = certificate
            .as_ref()
            .and_then(|it| it.certificate())
            .map(|leaf| leaf.to_vec());
        let config = |credentials| {
            args.place
                .configure(Config::builder(jid.clone()))
                .credentials(credentials)
                .mechanisms(epode::config::MechanismPolicy {
                    allow_plain: proof.allow_plain,
                    ..Default::default()
                })
        };
        // What is wrong on the command line is said before anybody is asked for a secret.
        config(Credentials::certificate(LABEL, None))
            .build()
            .map_err(|error| Failure::usage(error.to_string()))?;
        let credentials = match (&certificate, proof.two_factors) {
            (Some(_), false) => Credentials::certificate(LABEL, leaf),
            (Some(_), true) => Credentials::certificate_and_password(LABEL, password()?),
            (None, _) => Credentials::password(password()?),
        };
        let identity = certificate
            .map(|it| ClientIdentity::new(it.chain, it.key))
            .transpose()
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            config: config(credentials),
            identity,
            authorities,
            place: args.place.clone(),
        })
    }

    /// Changes the configuration.
    pub(crate) fn configure(mut self, change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        self.config = change(self.config);
        self
    }

    /// The driver, ready to connect.
    pub(crate) fn builder(self) -> Result<Builder, Failure> {
        let config = self.config.build().map_err(|error| Failure::usage(error.to_string()))?;
        let mut builder = self.place.prepare(Client::builder(config));
        if let Some(identity) = self.identity {
            builder = builder.identity(LABEL, identity);
        }
        trust(builder, self.authorities)
    }
}

/// Trusts these authorities instead of the system's, where there are any.
pub(crate) fn trust(mut builder: Builder, authorities: Vec<CertificateDer<'static>>) -> Result<Builder, Failure> {
    for authority in authorities {
        builder = builder
            .add_root(authority)
            .map_err(|error| Failure::usage(error.to_string()))?;
    }
    Ok(builder)
}

/// Starts a client; what is wrong before the first packet is something that the user can put right.
pub(crate) async fn connect(builder: Builder) -> Result<Client, Failure> {
    builder
        .connect()
        .await
        .map_err(|error| Failure::usage(error.to_string()))
}

/// What an `Online` says, as far as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) jid: Jid,
    pub(crate) mechanism: String,
    pub(crate) server_proof: bool,
    pub(crate) asked: Option<bool>,
    pub(crate) round_trips: u32,
    pub(crate) resumed: bool,
    pub(crate) transport: TransportKind,
}

impl Login {
    /// From the event, if it is that one.
    pub(crate) fn from_event(event: &Event) -> Option<Self> {
        // Not an enum of this crate: only one of its variants is a login.
        let Event::Online {
            jid,
            mechanism,
            server_proof,
            channel_binding: _,
            profile: _,
            client_certificate_requested,
            round_trips,
            resumed,
            transport,
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
            resumed: *resumed,
            transport: *transport,
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
            ("transport", self.transport.name().to_owned()),
            ("round trips", self.round_trips.to_string()),
            ("milliseconds", milliseconds.to_string()),
        ]
    }
}

/// The failure that an end stands for; none if it was asked for. `place` is what the connection was for.
pub(crate) fn failure(reason: &Offline, place: &str) -> Option<Failure> {
    let exit = exit(reason);
    (exit != Exit::Fine).then(|| Failure::new(exit, explanation(reason, place)))
}

/// The status that an end stands for.
pub(crate) fn exit(reason: &Offline) -> Exit {
    match reason {
        Offline::Stopped => Exit::Fine,
        Offline::Connection(_) => Exit::Connection,
        Offline::Tls(_) => Exit::Tls,
        Offline::Login(_) => Exit::Login,
        Offline::Incompatible(_) | Offline::Misbehaved(_) => Exit::Protocol,
        Offline::Ended(_) => Exit::Other,
        // Not an enum of this crate.
        _ => Exit::Other,
    }
}

/// The engine's sentence, with what only this program knows: the address that was typed, and its own options.
pub(crate) fn explanation(reason: &Offline, place: &str) -> String {
    if let Offline::Connection(ConnectionError::Failed(
        epode::Failure::Dns | epode::Failure::Refused | epode::Failure::Timeout,
    )) = reason
    {
        return format!("{}: {reason}", visible(place));
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

/// The failure of an interruption before being online.
pub(crate) fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted before being online")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_out_of_a_refusal_is_named_by_its_option() {
        let refused = |offered: &[&str]| {
            let reason = Offline::Login(LoginError::NoMechanism {
                offered: offered.iter().map(|&name| name.to_owned()).collect(),
                wanted: vec!["SCRAM-SHA-256".to_owned()],
                client_certificate_requested: Some(true),
            });
            failure(&reason, "h:443").unwrap().message
        };
        assert!(refused(&["EXTERNAL"]).ends_with("; a client certificate is needed (--cert)"));
        assert!(refused(&["PLAIN"]).ends_with(" has to be allowed first (--allow-plain)"));
        assert!(refused(&["X-OTHER"]).ends_with("it offers X-OTHER"));
    }
}
