//! What the tests against real servers share: where the servers are, who the clients are, and how a login ended.
//!
//! The servers are those of `tests/servers`; `tests/run interop` starts them and names them in `EPODE_SERVERS`.

pub mod matrix;
mod offers;
mod peer;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use epode::config::{Bosh, ConfigBuilder, DigestMd5, Discover, Fast, MechanismPolicy, Persist, Reconnect, Transport};
use epode::{
    Authzid, ChannelBindingType, Config, Credentials, Event, Jid, Offline, Output, SaslProfile, ServerProof, TcpTls,
    TransportKind, Warning,
};
use epode_tokio::{Client, ClientIdentity, FileStore, Trace};
pub use offers::Offer;
pub use peer::Peer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A failure of the test bed, as a sentence.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// The label of a certificate that a test has made.
const OWN: &str = "the test's own";

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

    fn at(&self, server: &str, field: &str) -> Result<&serde_json::Value, Broken> {
        let value = self.description.pointer(&format!("/servers/{server}/{field}"));
        Ok(value.ok_or_else(|| format!("{server} has no {field}"))?)
    }

    fn text(&self, server: &str, field: &str) -> Result<String, Broken> {
        let text = self.at(server, field)?.as_str();
        Ok(text
            .ok_or_else(|| format!("{field} of {server} is no text"))?
            .to_owned())
    }

    fn port(&self, server: &str, field: &str) -> Result<u16, Broken> {
        let port = self.at(server, field)?.as_u64().and_then(|port| port.try_into().ok());
        Ok(port.ok_or_else(|| format!("{field} of {server} is no port"))?)
    }

    /// Where that server listens for that transport.
    ///
    /// # Errors
    /// There is no such server.
    pub fn address(&self, server: &str, way: Way) -> Result<SocketAddr, Broken> {
        let field = match way {
            Way::StartTls => "starttls",
            Way::DirectTls => "direct_tls",
            Way::WebSocket | Way::Bosh | Way::HostMeta(_) => "https",
        };
        Ok((Ipv4Addr::LOCALHOST, self.port(server, field)?).into())
    }

    /// What the server offers at that host before a login, as `offers.json` has it.
    ///
    /// # Errors
    /// Nothing is written down.
    pub fn offer(&self, server: &str, host: &str, way: Way) -> Result<Offer, Broken> {
        Offer::of(server, host, way)
    }

    /// The access token that the server made for user01 as it started.
    ///
    /// # Errors
    /// It made none.
    pub fn access_token(&self, server: &str) -> Result<String, Broken> {
        let path = PathBuf::from(self.text(server, "run")?).join("access-token");
        Ok(std::fs::read_to_string(path)?)
    }

    /// Whether it can tell where its BOSH and WebSocket are (XEP-0156).
    pub fn has_host_meta(&self, server: &str) -> bool {
        self.at(server, "host_meta").is_ok()
    }

    /// Runs `tests/servers/server` with that word: `kill` or `revive`. Returns when it is done.
    ///
    /// # Errors
    /// What the script said.
    pub async fn command(&self, word: &str, server: &str) -> Result<(), Broken> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../servers/server");
        let mut command = std::process::Command::new(script);
        command.arg(word).arg(server).arg(self.text(server, "run")?);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("server {word} {server}: {}", String::from_utf8_lossy(&output.stderr)).into())
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

/// How to get to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// TCP, with STARTTLS.
    StartTls,
    /// TCP, with TLS from the first byte.
    DirectTls,
    /// WebSocket.
    WebSocket,
    /// BOSH.
    Bosh,
    /// What the server's host-meta says: WebSocket or BOSH.
    HostMeta(TransportKind),
}

impl Way {
    /// The transport that it comes to.
    pub fn transport(self) -> TransportKind {
        match self {
            Self::StartTls | Self::DirectTls => TransportKind::Tcp,
            Self::WebSocket => TransportKind::WebSocket,
            Self::Bosh => TransportKind::Bosh,
            Self::HostMeta(kind) => kind,
        }
    }

    /// Another one, to talk with somebody over a different transport.
    pub fn other(self) -> Self {
        match self {
            Self::StartTls => Self::WebSocket,
            Self::WebSocket => Self::Bosh,
            Self::Bosh => Self::DirectTls,
            Self::DirectTls | Self::HostMeta(_) => Self::StartTls,
        }
    }
}

/// A login to be tried.
#[derive(Debug)]
pub struct Login {
    server: &'static str,
    way: Way,
    /// Where connections go, instead of to the server.
    through: Option<SocketAddr>,
    jid: String,
    certificate: Option<&'static str>,
    /// A certificate that is not the fixture's.
    identity: Option<ClientIdentity>,
    password: Option<&'static str>,
    /// Instead of what the certificate and the password make.
    credentials: Option<Credentials>,
    mechanisms: MechanismPolicy,
    authzid: Authzid,
    fast: Fast,
    /// The folder that keeps what survives the client.
    kept_in: Option<PathBuf>,
}

/// How it ended.
#[derive(Debug)]
pub struct Outcome {
    /// The account and the mechanism, or why not.
    pub result: Result<Online, Offline>,
    /// What the engine warned of.
    pub warnings: Vec<Warning>,
    /// How many times `<auth/>` or `<authenticate/>` went out.
    pub attempts: usize,
    /// How many links were opened.
    pub links: usize,
}

/// What went out.
#[derive(Debug, Default)]
pub struct Count {
    attempts: usize,
    links: usize,
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
    /// What the login is bound to.
    pub channel_binding: Option<ChannelBindingType>,
    /// By which protocol it was done.
    pub profile: Option<SaslProfile>,
    /// How often the client waited for the server.
    pub round_trips: u32,
}

impl Login {
    /// As `jid`, by BOSH, with nothing to show for it yet. The resource makes tests that run at once different sessions.
    pub fn new(server: &'static str, jid: &str) -> Self {
        let jid = jid.to_owned();
        Self {
            server,
            way: Way::Bosh,
            through: None,
            jid,
            certificate: None,
            identity: None,
            password: None,
            credentials: None,
            mechanisms: MechanismPolicy::default(),
            authzid: Authzid::Auto,
            fast: Fast::default(),
            kept_in: None,
        }
    }

    /// By that transport.
    pub fn by(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    /// Through that proxy, which takes connections to the server.
    pub fn through(mut self, proxy: SocketAddr) -> Self {
        self.through = Some(proxy);
        self
    }

    /// Presents that certificate of the fixture.
    pub fn certificate(mut self, name: &'static str) -> Self {
        self.certificate = Some(name);
        self
    }

    /// Presents that certificate, which the test has made, and logs in by it.
    pub fn identity(mut self, identity: ClientIdentity) -> Self {
        let leaf = identity.leaf().map(|leaf| leaf.to_vec());
        self.identity = Some(identity);
        self.credentials(Credentials::certificate(OWN, leaf))
    }

    /// Knows that password.
    pub fn password(mut self, password: &'static str) -> Self {
        self.password = Some(password);
        self
    }

    /// Allows that mechanism only.
    pub fn only(self, mechanism: &str) -> Self {
        self.only_these(&[mechanism])
    }

    /// Allows those mechanisms only.
    pub fn only_these(mut self, mechanisms: &[&str]) -> Self {
        self.mechanisms.allow_plain = mechanisms.contains(&"PLAIN");
        self.mechanisms.digest_md5 = mechanisms.contains(&"DIGEST-MD5").then(DigestMd5::default);
        self.mechanisms.only = Some(mechanisms.iter().map(ToString::to_string).collect());
        self
    }

    /// Uses SASL2 (XEP-0388) where it is there, or never.
    pub fn sasl2(mut self, sasl2: bool) -> Self {
        self.mechanisms.sasl2 = sasl2;
        self
    }

    /// Forgets the certificate.
    pub fn without_certificate(mut self) -> Self {
        self.certificate = None;
        self
    }

    /// Binds to that, also where there is a better one; `None` leaves the choice to the client.
    pub fn bound_to(mut self, binding: Option<ChannelBindingType>) -> Self {
        self.mechanisms.channel_bindings = binding.map(|binding| vec![binding]);
        self
    }

    /// Proves the account by that, whatever certificate or password was given.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Asks for a login token and uses it (XEP-0484), and keeps it in that folder for the next client.
    pub fn tokens_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.fast = Fast::Use;
        self.kept_in = Some(folder.into());
        self
    }

    /// Names the account, or does not.
    pub fn authzid(mut self, authzid: Authzid) -> Self {
        self.authzid = authzid;
        self
    }

    /// Uses the token a last time: the server forgets it (XEP-0484 §3.6).
    pub fn forget_token(mut self) -> Self {
        self.fast = Fast::Invalidate;
        self
    }

    pub(crate) fn jid(&self) -> Result<Jid, Broken> {
        Ok(self.jid.parse()?)
    }

    fn config(&self, servers: &Servers) -> Result<ConfigBuilder, Broken> {
        let jid = self.jid()?;
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
        let credentials = self.credentials.clone().unwrap_or(credentials);
        let builder = Config::builder(jid);
        let port = servers.address(self.server, self.way)?.port();
        let builder = match self.way {
            Way::StartTls => builder.tcp("localhost", port, TcpTls::StartTls),
            Way::DirectTls => builder.tcp("localhost", port, TcpTls::Direct),
            Way::WebSocket => builder.websocket(servers.text(self.server, "websocket")?),
            // Prosody and ejabberd acknowledge the last request with the answer to the next: a test need not wait a minute for it.
            Way::Bosh => builder.transport(Transport::Bosh(Bosh {
                wait: 5,
                ..Bosh::new(servers.text(self.server, "bosh")?)
            })),
            Way::HostMeta(kind) => builder.transport(Transport::Discover(Discover {
                tcp: false,
                websocket: kind == TransportKind::WebSocket,
                bosh: kind == TransportKind::Bosh,
            })),
        };
        Ok(builder
            // A test need not wait for as long as a server needs to be left in peace.
            .reconnect(Reconnect {
                first: Duration::from_millis(300),
                second: Duration::from_millis(500),
                longest: Duration::from_secs(2),
                ..Reconnect::default()
            })
            .credentials(credentials)
            .authzid(self.authzid)
            .fast(self.fast)
            .persist(match self.kept_in {
                Some(_) => Persist::EveryTurn,
                None => Persist::Off,
            })
            .mechanisms(self.mechanisms.clone()))
    }

    /// Connects; how it goes comes as events.
    ///
    /// # Errors
    /// The test bed is broken, or the driver refused to try.
    pub async fn connect(&self) -> Result<(Client, Arc<Mutex<Count>>), Broken> {
        let servers = Servers::find()?;
        let count = Arc::new(Mutex::new(Count::default()));
        let counter = Arc::clone(&count);
        let address = match self.through {
            Some(proxy) => proxy,
            None => servers.address(self.server, self.way)?,
        };
        let mut builder = Client::builder(self.config(&servers)?.build()?)
            .add_root(servers.authority()?)?
            // The name in URLs and certificates, whatever this machine makes of it.
            .resolve("localhost", address)
            .allow_invalid_certificate(true)
            .trace(move |trace| {
                if let Trace::Output { output, .. } = trace
                    && let Ok(mut counter) = counter.lock()
                {
                    counter.attempts += attempts_in(output);
                    counter.links += usize::from(matches!(output, Output::Connect { .. }));
                }
            });
        if let Some(folder) = &self.kept_in {
            builder = builder.store(FileStore::new(folder)?);
        }
        if let Some(identity) = &self.identity {
            builder = builder.identity(OWN, identity.clone());
        }
        if let Some(name) = self.certificate {
            builder = builder.identity(name, servers.identity(name)?);
        }
        Ok((builder.connect().await?, count))
    }

    /// Tries it, and leaves again.
    ///
    /// # Errors
    /// The test bed is broken, or the server never decided: that is a hang.
    pub async fn run(&self) -> Result<Outcome, Broken> {
        let (mut client, count) = self.connect().await?;
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
                    channel_binding,
                    profile,
                    round_trips,
                    ..
                } = event
                {
                    online = Some(Online {
                        account: jid.to_bare().to_string(),
                        mechanism,
                        proof: server_proof,
                        asked: client_certificate_requested,
                        channel_binding,
                        profile,
                        round_trips,
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
        let Count { attempts, links } = *count.lock().map_err(|_| "a trace panicked")?;
        Ok(Outcome {
            result,
            warnings,
            attempts,
            links,
        })
    }
}

/// How many logins begin in it.
fn attempts_in(output: &Output) -> usize {
    let said = if let Output::Post { body: bytes, .. } | Output::Write { bytes, .. } = output {
        String::from_utf8_lossy(bytes)
    } else if let Output::Frame { text, .. } = output {
        text.into()
    } else {
        return 0;
    };
    said.matches("<auth ").count() + said.matches("<authenticate ").count()
}
