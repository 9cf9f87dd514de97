//! From options to a client, and from the end of a client to an exit status: what `login`, `send` and `demo` share.

use epode::config::ConfigBuilder;
use epode::error::{ConnectionError, LoginError};
use epode::{
    ChannelBindingType, Config, Credentials, Event, Jid, Offline, SaslProfile, Secret, ServerProof, TransportKind,
};
use epode_tokio::{Builder, Client, ClientIdentity};
use rustls::pki_types::CertificateDer;
use tokio::runtime::Runtime;

use crate::{
    account::{AccountArgs, PlaceArgs},
    exit::{Exit, Failure},
    identity,
    mechanism::Proof,
    prompt::{self, SecretText},
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

/// What a login is to be, where the options that `login` and `send` share do not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A login to an account, by what is given.
    Account,
    /// As that, and a login token is kept: a password is asked for only when the server does not take the token.
    AccountWithToken,
    /// A login to an account that is made first.
    NewAccount,
    /// A login to no account.
    Anonymous,
}

/// Everything that is typed or asked for, before anything is sent.
pub(crate) struct Account {
    config: ConfigBuilder,
    identity: Option<ClientIdentity>,
    authorities: Vec<CertificateDer<'static>>,
    place: PlaceArgs,
}

impl Account {
    /// Reads the files and asks for the secrets; `certificate` was read already, for it may have named the account.
    pub(crate) fn read(
        jid: &Jid,
        args: &AccountArgs,
        certificate: Option<identity::ClientIdentity>,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let proof = &args.proof;
        let authorities = proof.authorities()?.unwrap_or_default();
        let password = || -> Result<Secret, Failure> { Ok(secret(&proof.password(&jid.to_bare())?)) };
        let token = proof.access_token()?;
        let kind = match (purpose, &certificate, &token) {
            (Purpose::Anonymous, ..) => Proof::Nothing,
            (Purpose::NewAccount, ..) => Proof::Password,
            (Purpose::Account | Purpose::AccountWithToken, Some(_), _) if proof.two_factors => Proof::Password,
            (Purpose::Account | Purpose::AccountWithToken, Some(_), _) => Proof::Certificate,
            (Purpose::Account | Purpose::AccountWithToken, None, Some(_)) => Proof::AccessToken,
            (Purpose::Account | Purpose::AccountWithToken, None, None) => Proof::Password,
        };
        if let Some(mechanism) = &proof.mechanism {
            kind.check(mechanism)?;
        }
        let leaf = certificate
            .as_ref()
            .and_then(|it| it.certificate())
            .map(|leaf| leaf.to_vec());
        let config = |credentials| {
            args.place
                .configure(Config::builder(jid.clone()))
                .credentials(credentials)
                .mechanisms(proof.policy())
        };
        // What is wrong on the command line is said before anybody is asked for a secret.
        let shape = match purpose {
            Purpose::Anonymous => Credentials::Anonymous,
            Purpose::Account | Purpose::AccountWithToken | Purpose::NewAccount => Credentials::KeptToken,
        };
        config(shape)
            .build()
            .map_err(|error| Failure::usage(error.to_string()))?;
        let credentials = match (purpose, &certificate, token) {
            (Purpose::Anonymous, ..) => Credentials::Anonymous,
            (Purpose::NewAccount, ..) => {
                Credentials::new_account(secret(&prompt::new_password_of(jid.to_bare().as_str())?))
            }
            (_, Some(_), _) if proof.two_factors => Credentials::certificate_and_password(LABEL, password()?),
            (_, Some(_), _) => Credentials::certificate(LABEL, leaf),
            (_, None, Some(token)) => Credentials::access_token(secret(&token)),
            (Purpose::Account, None, None) => Credentials::password(password()?),
            (Purpose::AccountWithToken, None, None) => match prompt::password_from_environment()? {
                Some(password) => Credentials::password(secret(&password)),
                None => Credentials::KeptToken,
            },
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

/// For the engine, which wipes it too.
pub(crate) fn secret(text: &SecretText) -> Secret {
    Secret::new(text.as_bytes().to_vec())
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
    pub(crate) server_proof: ServerProof,
    pub(crate) channel_binding: Option<ChannelBindingType>,
    pub(crate) profile: Option<SaslProfile>,
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
            channel_binding,
            profile,
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
            server_proof: *server_proof,
            channel_binding: *channel_binding,
            profile: *profile,
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
        // Not an enum of this crate: what is no proof counts as none.
        let verified = self.server_proof == ServerProof::Verified;
        let proof = match (Proof::of(&self.mechanism), verified) {
            (Some(Proof::Certificate), _) => "the TLS client certificate is the proof; no password was used",
            (Some(Proof::LoginToken), true) => {
                "a login token is the proof, no password was used; the server proved that it knows the token too"
            }
            (Some(Proof::LoginToken), false) => {
                "a login token is the proof, no password was used; the server did not prove that it knows the token"
            }
            (Some(Proof::AccessToken), _) => "the access token is the proof; only TLS vouches for the server",
            (Some(Proof::Nothing), _) => "nobody in particular: there is no account",
            (Some(Proof::Password) | None, true) => "the server proved that it knows the password too",
            (Some(Proof::Password) | None, false) => "the server was not asked to prove itself beyond TLS",
        };
        let certificate = match (self.mechanism.as_str(), presented, self.asked) {
            ("EXTERNAL", ..) | (_, false, _) | (_, _, None) => "",
            (_, true, Some(true)) => "; the client certificate was presented too",
            (_, true, Some(false)) => "; the server did not ask for the client certificate",
        };
        let mut lines = if self.mechanism.is_empty() {
            vec![("login", "none was needed: the session is the earlier one".to_owned())]
        } else {
            vec![
                ("mechanism", format!("{} ({proof}{certificate})", self.mechanism)),
                ("profile", self.profile_name().to_owned()),
                ("bound to", self.bound_to().to_owned()),
            ]
        };
        lines.extend([
            ("identity", visible(self.jid.as_str())),
            ("transport", self.transport.name().to_owned()),
            ("round trips", self.round_trips.to_string()),
            ("milliseconds", milliseconds.to_string()),
        ]);
        lines
    }
}

impl Login {
    fn profile_name(&self) -> &'static str {
        match self.profile {
            Some(SaslProfile::Sasl1) => "SASL (RFC 6120)",
            Some(SaslProfile::Sasl2) => "SASL2 (XEP-0388)",
            // Not an enum of this crate.
            None | Some(_) => "none",
        }
    }

    fn bound_to(&self) -> &'static str {
        match self.channel_binding {
            Some(ChannelBindingType::TlsExporter) => "this TLS connection (tls-exporter)",
            Some(ChannelBindingType::TlsUnique) => "this TLS connection (tls-unique)",
            Some(ChannelBindingType::TlsServerEndPoint) => "the server's certificate (tls-server-end-point)",
            None if self.mechanism == "EXTERNAL" => "the client certificate",
            // Not an enum of this crate.
            None | Some(_) => "nothing: TLS alone vouches for the server",
        }
    }

    /// By which profile of SASL, for a program.
    pub(crate) fn profile(&self) -> Option<&'static str> {
        match self.profile? {
            SaslProfile::Sasl1 => Some("sasl1"),
            SaslProfile::Sasl2 => Some("sasl2"),
            // Not an enum of this crate.
            _ => None,
        }
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
    if let Offline::Login(LoginError::TokenRefused { .. }) = reason {
        return format!("{reason} (--token-env)");
    }
    if let Offline::Login(LoginError::Downgrade { .. }) = reason {
        return format!("{reason} (the file `pins` in the folder of --keep)");
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
