//! What the tests against real servers share: where the servers are, who the clients are, and how a login ended.
//!
//! The servers are those of `tests/servers`; `tests/run interop` starts them and names them in `EPODE_SERVERS`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use epode::config::{Bosh, ConfigBuilder, MechanismPolicy, Transport};
use epode::{Authzid, Config, Credentials, Event, Jid, Offline, Output, ServerProof, Warning};
use epode_tokio::{Client, ClientIdentity, Trace};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A failure of the test bed, as a sentence.
pub type Broken = Box<dyn std::error::Error>;

/// The servers of `tests/servers`.
#[derive(Debug)]
pub struct Servers {
    description: serde_json::Value,
}

impl Servers {
    /// Those that `EPODE_SERVERS` names.
    ///
    /// # Errors
    /// They are not there: `tests/run interop` starts them.
    pub fn find() -> Result<Self, Broken> {
        let path =
            std::env::var_os("EPODE_SERVERS").ok_or("EPODE_SERVERS is not set: run this by `tests/run interop`")?;
        Ok(Self {
            description: serde_json::from_str(&std::fs::read_to_string(path)?)?,
        })
    }

    /// The URL of that server's BOSH service.
    ///
    /// # Errors
    /// There is no such server.
    pub fn bosh(&self, server: &str) -> Result<String, Broken> {
        let url = self
            .description
            .pointer(&format!("/servers/{server}/bosh"))
            .and_then(serde_json::Value::as_str);
        Ok(url.ok_or_else(|| format!("no server {server}"))?.to_owned())
    }

    fn file(&self, name: &str) -> Result<PathBuf, Broken> {
        let folder = self
            .description
            .get("pki")
            .and_then(serde_json::Value::as_str)
            .ok_or("no certificates")?;
        Ok(PathBuf::from(folder).join(name))
    }

    /// The certificate, what it was issued by, and its key.
    ///
    /// # Errors
    /// There is no such certificate.
    pub fn identity(&self, name: &str) -> Result<ClientIdentity, Broken> {
        let path = self.file(&format!("{name}.pem"))?;
        let chain = CertificateDer::pem_file_iter(&path)?.collect::<Result<Vec<_>, _>>()?;
        Ok(ClientIdentity::new(chain, PrivateKeyDer::from_pem_file(&path)?)?)
    }

    fn authority(&self) -> Result<CertificateDer<'static>, Broken> {
        Ok(CertificateDer::from_pem_file(self.file("server-ca.crt")?)?)
    }
}

/// A login to be tried.
#[derive(Debug)]
pub struct Login {
    server: &'static str,
    jid: String,
    certificate: Option<&'static str>,
    password: Option<&'static str>,
    only: Option<&'static str>,
    authzid: Authzid,
    plain: bool,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// The account and the mechanism, or why not.
    pub result: Result<Online, Offline>,
    /// What the engine warned of.
    pub warnings: Vec<Warning>,
    /// How many times `<auth/>` went out.
    pub attempts: usize,
}

/// A login that worked.
#[derive(Debug, PartialEq, Eq)]
pub struct Online {
    /// The account.
    pub account: String,
    /// The mechanism.
    pub mechanism: String,
    /// Whether the server proved itself.
    pub proof: ServerProof,
    /// Whether it asked for a certificate.
    pub asked: Option<bool>,
}

impl Login {
    /// As `jid`, with nothing to show for it yet. The resource makes tests that run at once different sessions.
    pub fn new(server: &'static str, jid: &str) -> Self {
        let jid = jid.to_owned();
        Self {
            server,
            jid,
            certificate: None,
            password: None,
            only: None,
            authzid: Authzid::Auto,
            plain: false,
        }
    }

    /// Presents that certificate of the fixture.
    pub fn certificate(mut self, name: &'static str) -> Self {
        self.certificate = Some(name);
        self
    }

    /// Knows that password.
    pub fn password(mut self, password: &'static str) -> Self {
        self.password = Some(password);
        self
    }

    /// Allows that mechanism only.
    pub fn only(mut self, mechanism: &'static str) -> Self {
        self.only = Some(mechanism);
        self.plain = mechanism == "PLAIN";
        self
    }

    /// Names the account, or does not.
    pub fn authzid(mut self, authzid: Authzid) -> Self {
        self.authzid = authzid;
        self
    }

    fn config(&self, servers: &Servers) -> Result<ConfigBuilder, Broken> {
        let jid: Jid = self.jid.parse()?;
        let credentials = match (self.certificate, self.password) {
            (Some(name), Some(password)) => Credentials::certificate_and_password(name, password),
            (Some(name), None) => {
                let leaf = servers.identity(name)?.leaf().map(|leaf| leaf.to_vec());
                Credentials::certificate(name, leaf)
            }
            // A client with EXTERNAL in mind and no certificate at all.
            (None, None) => Credentials::certificate("none", None),
            (None, Some(password)) => Credentials::password(password),
        };
        let only = self.only.map(|name| vec![name.to_owned()]);
        Ok(Config::builder(jid)
            .transport(Transport::Bosh(Bosh::new(servers.bosh(self.server)?)))
            .credentials(credentials)
            .authzid(self.authzid)
            .mechanisms(MechanismPolicy {
                allow_plain: self.plain,
                only,
                ..MechanismPolicy::default()
            }))
    }

    /// Connects; how it goes comes as events. The counter counts each `<auth/>` that goes out.
    ///
    /// # Errors
    /// The test bed is broken, or the driver refused to try.
    pub async fn connect(&self) -> Result<(Client, Arc<Mutex<usize>>), Broken> {
        let servers = Servers::find()?;
        let attempts = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&attempts);
        let mut builder = Client::builder(self.config(&servers)?.build()?)
            .add_root(servers.authority()?)?
            .allow_invalid_certificate(true)
            .trace(move |trace| {
                if let Trace::Output {
                    output: Output::Post { body, .. },
                    ..
                } = trace
                    && String::from_utf8_lossy(body).contains("<auth ")
                    && let Ok(mut counter) = counter.lock()
                {
                    *counter += 1;
                }
            });
        if let Some(name) = self.certificate {
            builder = builder.identity(name, servers.identity(name)?);
        }
        Ok((builder.connect().await?, attempts))
    }

    /// Tries it, and leaves again.
    ///
    /// # Errors
    /// The test bed is broken, or the server never decided: that is a hang.
    pub async fn run(&self) -> Result<Outcome, Broken> {
        let (mut client, attempts) = self.connect().await?;
        let mut warnings = Vec::new();
        let mut online = None;
        // Far longer than any answer takes, and far shorter than the lane may.
        let offline = tokio::time::timeout(Duration::from_secs(60), async {
            while let Some(event) = client.next().await {
                if let Event::Online {
                    jid,
                    mechanism,
                    server_proof,
                    client_certificate_requested,
                    ..
                } = event
                {
                    let (account, asked) = (jid.to_bare().to_string(), client_certificate_requested);
                    online = Some(Online {
                        account,
                        mechanism,
                        proof: server_proof,
                        asked,
                    });
                    client.handle().stop().await;
                } else if let Event::Warning(warning) = event {
                    warnings.push(warning);
                } else if let Event::Offline { reason } = event {
                    return Some(reason);
                }
            }
            None
        })
        .await?
        .ok_or("the events ended without Offline")?;
        let result = online.ok_or(offline);
        let attempts = *attempts.lock().map_err(|_| "a trace panicked")?;
        Ok(Outcome {
            result,
            warnings,
            attempts,
        })
    }
}
