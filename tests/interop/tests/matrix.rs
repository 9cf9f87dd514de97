//! The interop matrix: every mechanism over every transport of every server. Each cell is a login, a refusal that had to be, or what
//! the server does not offer according to `tests/servers/offers.json`; anything else fails.
//!
//! `EPODE_MATRIX` names a file for the table, `EPODE_MATRIX_JSON` one for programs; `tests/lanes/interop` prints it.

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use epode::error::LoginError;
    use epode::{ChannelBindingType, Credentials, Offline, SaslProfile, ServerProof};
    use epode_interop::matrix::{Cell, SERVERS, Table, WAYS};
    use epode_interop::{Broken, Login, Outcome, Servers, Way};
    use tokio::task::JoinSet;

    const EXPORTER: Option<ChannelBindingType> = Some(ChannelBindingType::TlsExporter);
    const END_POINT: Option<ChannelBindingType> = Some(ChannelBindingType::TlsServerEndPoint);

    /// What is tried.
    #[derive(Clone, Copy, Debug)]
    enum Try {
        /// A password, and whatever the client makes of it.
        OwnChoice,
        /// The mechanism, bound to that.
        Login(SaslProfile, &'static str, Option<ChannelBindingType>),
        /// The same with a wrong password or access token, or without a certificate.
        Wrong(SaslProfile, &'static str, Option<ChannelBindingType>),
        /// A second login by the token of the first.
        Token(&'static str, Option<ChannelBindingType>),
        /// A new account.
        Registration,
    }

    fn rows() -> Vec<Try> {
        let password = [
            ("SCRAM-SHA-1", None),
            ("SCRAM-SHA-256", None),
            ("SCRAM-SHA-512", None),
            ("SCRAM-SHA-1-PLUS", EXPORTER),
            ("SCRAM-SHA-256-PLUS", EXPORTER),
            ("SCRAM-SHA-512-PLUS", EXPORTER),
            ("SCRAM-SHA-1-PLUS", END_POINT),
            ("SCRAM-SHA-256-PLUS", END_POINT),
            ("SCRAM-SHA-512-PLUS", END_POINT),
            ("DIGEST-MD5", None),
            ("PLAIN", None),
        ];
        let others = ["EXTERNAL", "ANONYMOUS", "OAUTHBEARER", "X-OAUTH2"].map(|mechanism| (mechanism, None));
        let mut rows = vec![Try::OwnChoice];
        for profile in [SaslProfile::Sasl1, SaslProfile::Sasl2] {
            rows.extend(
                others
                    .iter()
                    .chain(&password)
                    .map(|(m, cb)| Try::Login(profile, m, *cb)),
            );
        }
        rows.push(Try::Token("HT-SHA-256-NONE", None));
        rows.push(Try::Token("HT-SHA-256-EXPR", EXPORTER));
        rows.push(Try::Token("HT-SHA-256-ENDP", END_POINT));
        rows.push(Try::Registration);
        for profile in [SaslProfile::Sasl1, SaslProfile::Sasl2] {
            rows.extend(["EXTERNAL", "OAUTHBEARER", "X-OAUTH2"].map(|m| Try::Wrong(profile, m, None)));
            rows.extend(password.iter().map(|(m, cb)| Try::Wrong(profile, m, *cb)));
        }
        rows
    }

    fn title(row: Try) -> String {
        let bound = |binding: Option<ChannelBindingType>| match binding {
            Some(binding) => format!(", {}", binding.name()),
            None => String::new(),
        };
        let by = |profile| match profile {
            SaslProfile::Sasl1 => "",
            SaslProfile::Sasl2 => "SASL2 ",
            _ => "unknown ",
        };
        match row {
            Try::OwnChoice => "a password, and the client chooses".to_owned(),
            Try::Login(profile, mechanism, binding) => format!("{}{mechanism}{}", by(profile), bound(binding)),
            Try::Wrong(profile, "EXTERNAL", _) => format!("{}EXTERNAL, no certificate", by(profile)),
            Try::Wrong(profile, mechanism @ ("OAUTHBEARER" | "X-OAUTH2"), _) => {
                format!("{}{mechanism}, wrong token", by(profile))
            }
            Try::Wrong(profile, mechanism, binding) => {
                format!("{}{mechanism}{}, wrong password", by(profile), bound(binding))
            }
            Try::Token(mechanism, binding) => format!("SASL2 Bind2 FAST {mechanism}{}", bound(binding)),
            Try::Registration => "registration (XEP-0077)".to_owned(),
        }
    }

    /// The host of that server that is there for it.
    fn host(server: &str, profile: SaslProfile, mechanism: &str) -> &'static str {
        let apart = server == "prosody-13" && profile == SaslProfile::Sasl2;
        match mechanism {
            "EXTERNAL" if apart => "cert2.localhost",
            "EXTERNAL" => "cert.localhost",
            "ANONYMOUS" => "anon.localhost",
            _ if apart => "sasl2.localhost",
            "OAUTHBEARER" if server == "prosody-13" => "oauth.localhost",
            _ => "localhost",
        }
    }

    /// Far enough from one that a server knows.
    const NO_PASSWORD: &str = "not it";

    async fn cell(server: &'static str, way: Way, row: Try) -> Result<Cell, Broken> {
        let servers = Servers::find()?;
        match row {
            Try::OwnChoice => own_choice(&servers, server, way).await,
            Try::Login(profile, mechanism, binding) => {
                let offered = offered(&servers, server, way, profile, mechanism, binding)?;
                let outcome = login(&servers, server, way, profile, mechanism, binding)?.run().await?;
                if offered {
                    passed(&outcome, way, profile, mechanism, binding)
                } else {
                    not_offered(&outcome, profile, (mechanism, binding))
                }
            }
            Try::Wrong(profile, mechanism, binding) => {
                if !offered(&servers, server, way, profile, mechanism, binding)? {
                    // The right password was not taken there either: `not_offered` saw it.
                    return Ok(Cell::NotOffered);
                }
                let credentials = match mechanism {
                    "EXTERNAL" => Credentials::certificate("none", None),
                    "OAUTHBEARER" | "X-OAUTH2" => Credentials::access_token("wrong"),
                    _ => Credentials::password(NO_PASSWORD),
                };
                let login = login(&servers, server, way, profile, mechanism, binding)?;
                refused(
                    &login.without_certificate().credentials(credentials).run().await?,
                    mechanism,
                )
            }
            Try::Token(mechanism, binding) => token(&servers, server, way, mechanism, binding).await,
            Try::Registration => registration(server, way).await,
        }
    }

    fn offered(
        servers: &Servers,
        server: &str,
        way: Way,
        profile: SaslProfile,
        mechanism: &str,
        binding: Option<ChannelBindingType>,
    ) -> Result<bool, Broken> {
        let offer = servers.offer(server, host(server, profile, mechanism), way)?;
        let list = match profile {
            SaslProfile::Sasl1 => offer.sasl,
            SaslProfile::Sasl2 => offer.sasl2,
            _ => return Err("a profile that this test does not know".into()),
        };
        let bound = binding.is_none_or(|binding| offer.channel_bindings.iter().any(|name| name == binding.name()));
        Ok(bound && list.iter().any(|name| name == mechanism))
    }

    fn login(
        servers: &Servers,
        server: &'static str,
        way: Way,
        profile: SaslProfile,
        mechanism: &str,
        binding: Option<ChannelBindingType>,
    ) -> Result<Login, Broken> {
        let host = host(server, profile, mechanism);
        let address = match mechanism {
            "EXTERNAL" => format!("alice@{host}"),
            "ANONYMOUS" => host.to_owned(),
            _ => format!("user01@{host}"),
        };
        let login = Login::new(server, &address)
            .by(way)
            .only(mechanism)
            .sasl2(profile == SaslProfile::Sasl2)
            .bound_to(binding);
        Ok(match mechanism {
            "EXTERNAL" if host == "cert2.localhost" => login.certificate("alice-sasl2"),
            "EXTERNAL" => login.certificate("alice"),
            "ANONYMOUS" => login.credentials(Credentials::Anonymous),
            "OAUTHBEARER" | "X-OAUTH2" => {
                // Where the server makes no token it offers neither.
                let token = servers.access_token(server).unwrap_or_else(|_| "none".to_owned());
                login.credentials(Credentials::access_token(token))
            }
            _ => login.password("pw"),
        })
    }

    /// How often the client has to wait for the server since it was connected: for the features, for each message of the mechanism,
    /// and without Bind 2 for the features again and for the resource. STARTTLS adds its own features and its answer. With a token all
    /// goes out at once. Over BOSH it depends on which request the server answers.
    fn round_trips_of(way: Way, profile: SaslProfile, mechanism: &str) -> Option<u32> {
        let before = match way {
            Way::StartTls => 2,
            Way::DirectTls | Way::WebSocket => 0,
            Way::Bosh | Way::HostMeta(_) => return None,
        };
        let messages = match mechanism {
            "DIGEST-MD5" => 3,
            name if name.starts_with("SCRAM") => 2,
            name if name.starts_with("HT") => 0,
            _ => 1,
        };
        let binding = if profile == SaslProfile::Sasl1 { 2 } else { 0 };
        Some(before + 1 + messages + binding)
    }

    fn passed(
        outcome: &Outcome,
        way: Way,
        profile: SaslProfile,
        mechanism: &str,
        binding: Option<ChannelBindingType>,
    ) -> Result<Cell, Broken> {
        let online = outcome.result.as_ref().map_err(|offline| format!("{offline:?}"))?;
        let proves = ["SCRAM", "HT", "DIGEST-MD5"]
            .iter()
            .any(|name| mechanism.starts_with(name));
        let proof = if proves {
            ServerProof::Verified
        } else {
            ServerProof::None
        };
        let seen = (
            online.mechanism.as_str(),
            online.profile,
            online.channel_binding,
            online.proof,
        );
        let round_trips = online.round_trips;
        let is_quick = round_trips_of(way, profile, mechanism).is_none_or(|expected| expected == round_trips);
        if seen == (mechanism, Some(profile), binding, proof) && outcome.attempts == 1 && is_quick {
            Ok(Cell::Passed { round_trips })
        } else {
            Err(format!("logged in otherwise: {outcome:?}").into())
        }
    }

    /// The client sent nothing that this server could not take; without SASL2 it may have logged in the old way.
    fn not_offered(
        outcome: &Outcome,
        profile: SaslProfile,
        (mechanism, binding): (&str, Option<ChannelBindingType>),
    ) -> Result<Cell, Broken> {
        let fine = match &outcome.result {
            Ok(online) => profile == SaslProfile::Sasl2 && online.profile == Some(SaslProfile::Sasl1),
            Err(Offline::Login(LoginError::NoMechanism { offered, .. })) => {
                // It may have the mechanism, and not what it is to be bound to.
                outcome.attempts == 0 && (binding.is_some() || !offered.iter().any(|name| name == mechanism))
            }
            Err(_) => false,
        };
        if fine {
            Ok(Cell::NotOffered)
        } else {
            Err(format!("it is not offered, but: {outcome:?}").into())
        }
    }

    /// The server said no to one attempt, and there was no second.
    fn refused(outcome: &Outcome, expected: &str) -> Result<Cell, Broken> {
        if let Err(Offline::Login(LoginError::Refused { mechanism, .. } | LoginError::TokenRefused { mechanism, .. })) =
            &outcome.result
            && mechanism == expected
            && outcome.attempts == 1
        {
            return Ok(Cell::Refused);
        }
        Err(format!("not refused once: {outcome:?}").into())
    }

    /// The strongest that is offered, at the first attempt.
    async fn own_choice(servers: &Servers, server: &'static str, way: Way) -> Result<Cell, Broken> {
        let offer = servers.offer(server, "localhost", way)?;
        let outcome = Login::new(server, "user03@localhost")
            .by(way)
            .password("pw")
            .run()
            .await?;
        let has = |list: &[String], name: &str| list.iter().any(|offered| offered == name);
        let profile = match offer.sasl2.is_empty() {
            true => SaslProfile::Sasl1,
            false => SaslProfile::Sasl2,
        };
        let bound = has(&offer.channel_bindings, "tls-exporter");
        let hash = match has(&offer.sasl, "SCRAM-SHA-512") {
            true => "SCRAM-SHA-512",
            false => "SCRAM-SHA-256",
        };
        match bound {
            true => passed(&outcome, way, profile, &format!("{hash}-PLUS"), EXPORTER),
            false => passed(&outcome, way, profile, hash, None),
        }
    }

    /// A folder that is gone when the test is over.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("epode-matrix-{}-{name}", std::process::id()));
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            // It is in the system's folder for such things: nobody minds if it stays.
            std::fs::remove_dir_all(&self.0).unwrap_or_default();
        }
    }

    async fn token(
        servers: &Servers,
        server: &'static str,
        way: Way,
        mechanism: &str,
        binding: Option<ChannelBindingType>,
    ) -> Result<Cell, Broken> {
        let host = host(server, SaslProfile::Sasl2, "password");
        let offer = servers.offer(server, host, way)?;
        let bound = binding.is_none_or(|binding| offer.channel_bindings.iter().any(|name| name == binding.name()));
        let folder = Folder::new(&format!("{server}-{way:?}-{mechanism}"));
        let login = || {
            Login::new(server, &format!("user02@{host}"))
                .by(way)
                .only_these(&["SCRAM-SHA-256", mechanism])
                .bound_to(binding)
                .tokens_in(&folder.0)
        };
        let first = login().password("pw").run().await?;
        first
            .result
            .as_ref()
            .map_err(|offline| format!("the first login: {offline:?}"))?;
        // Without the password: the token alone has to do.
        let second = login().credentials(Credentials::KeptToken).run().await?;
        if bound && offer.fast.iter().any(|name| name == mechanism) {
            return passed(&second, way, SaslProfile::Sasl2, mechanism, binding);
        }
        match (&second.result, second.attempts) {
            (Err(Offline::Login(LoginError::NoToken { condition: None })), 0) => Ok(Cell::NotOffered),
            _ => Err(format!("it is not offered, but: {second:?}").into()),
        }
    }

    async fn registration(server: &'static str, way: Way) -> Result<Cell, Broken> {
        let account = format!("new-{}-{way:?}@register.localhost", std::process::id()).to_lowercase();
        let new = Login::new(server, &account)
            .by(way)
            .credentials(Credentials::new_account("a new password"));
        let outcome = new.run().await?;
        let registered = outcome.result.as_ref().map_err(|offline| format!("{offline:?}"))?;
        // The account is there: it can log in, and it cannot be registered again.
        let again = Login::new(server, &account)
            .by(way)
            .password("a new password")
            .run()
            .await?;
        again
            .result
            .as_ref()
            .map_err(|offline| format!("the login: {offline:?}"))?;
        match new.run().await?.result {
            Err(Offline::Login(LoginError::Registration { .. })) => Ok(Cell::Passed {
                round_trips: registered.round_trips,
            }),
            other => Err(format!("registered twice: {other:?}").into()),
        }
    }

    #[tokio::test]
    async fn every_mechanism_on_every_transport_of_every_server() {
        let rows = rows();
        let mut table = Table::new(rows.iter().copied().map(title));
        let mut columns = JoinSet::new();
        for (at, server) in SERVERS.into_iter().enumerate() {
            for (over, way) in WAYS.into_iter().enumerate() {
                let rows = rows.clone();
                columns.spawn(async move {
                    let mut cells = Vec::new();
                    for row in rows {
                        cells.push(cell(server, way, row).await.map_err(|error| error.to_string()));
                    }
                    (at, over, cells)
                });
            }
        }
        while let Some(column) = columns.join_next().await {
            let (server, way, cells) = column.unwrap();
            for (row, cell) in cells.into_iter().enumerate() {
                table.set(row, server, way, cell.map_err(Into::into));
            }
        }
        for (variable, text) in [
            ("EPODE_MATRIX", table.to_string()),
            ("EPODE_MATRIX_JSON", table.to_json()),
        ] {
            if let Some(path) = std::env::var_os(variable) {
                std::fs::write(path, text).unwrap();
            }
        }
        let failures = table.failures();
        assert!(failures.is_empty(), "{table}\n{}", failures.join("\n"));
    }
}
