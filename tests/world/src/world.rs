//! The servers, and the proxies before them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use epode_chaos::{Profile, Proxy};
use epode_devserver::{Authentication, Server, Settings, User};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::description::{self, Account};
use crate::pki::Pki;

/// Nothing is drawn from it: the proxies do nothing of their own.
const SEED: u64 = 0;

/// All servers, by name.
#[derive(Debug, Default)]
pub(crate) struct World {
    places: BTreeMap<String, Place>,
}

/// A server as the tests see it.
#[derive(Debug)]
pub(crate) struct Place {
    proxies: [Proxy; 3],
    websocket_path: String,
    bosh_path: String,
    pub(crate) modern: bool,
    pub(crate) account: Account,
    pub(crate) other: Account,
    /// `None`: it runs elsewhere, or is silence.
    server: Option<Server>,
}

/// Where a server listens.
struct Addresses {
    starttls: SocketAddr,
    direct_tls: SocketAddr,
    /// WebSocket and BOSH.
    https: SocketAddr,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// `dev` and `modern`, and `tls12`: `modern` with TLS 1.2 and nothing newer.
    pub(crate) async fn start_dev_servers(&mut self, pki: &Pki) -> Result<(), String> {
        for name in ["dev", "modern", "tls12"] {
            let accounts = ["alice", "bob", "carol"];
            let mut settings = Settings::new(description::CERTIFICATE_HOST, pki.server()?);
            settings.client_ca = pki.client_ca()?;
            settings.users = accounts
                .map(|name| User {
                    name: name.into(),
                    password: Some(description::DEV_PASSWORD.into()),
                })
                .into();
            let modern = name != "dev";
            if modern {
                settings.authentication = Authentication::modern();
            }
            settings.tls_1_2_only = name == "tls12";
            let paths = (settings.websocket_path.clone(), settings.path.clone());
            let server = Server::start(settings)
                .await
                .map_err(|error| format!("the server {name} cannot start: {error}"))?;
            let addresses = Addresses {
                starttls: server.starttls_address(),
                direct_tls: server.direct_tls_address(),
                https: server.address(),
            };
            let mut place = Place::new(&addresses, paths, Account::dev()).await?;
            place.modern = modern;
            place.server = Some(server);
            self.places.insert(name.into(), place);
        }
        Ok(())
    }

    /// `silent`: somebody who is there and does nothing.
    pub(crate) async fn start_silence(&mut self) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|error| format!("silent has no port: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(listen_only(stream));
                }
            }
        });
        let addresses = Addresses {
            starttls: address,
            direct_tls: address,
            https: address,
        };
        let paths = ("/xmpp-websocket".into(), "/http-bind".into());
        let place = Place::new(&addresses, paths, Account::dev()).await?;
        self.places.insert("silent".into(), place);
        Ok(())
    }

    /// The real servers of `servers.json`.
    pub(crate) async fn take_in(&mut self, file: &Path) -> Result<(), String> {
        let says = |what: &str| format!("--servers {}: {what}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| says(&error.to_string()))?;
        let json: Value = serde_json::from_str(&text).map_err(|error| says(&error.to_string()))?;
        let servers = json.get("servers").and_then(Value::as_object);
        for (name, server) in servers.ok_or_else(|| says("there is no \"servers\" in it"))? {
            let port = |field: &str| {
                let port = server
                    .get(field)
                    .and_then(Value::as_u64)
                    .and_then(|port| u16::try_from(port).ok());
                let port = port.ok_or_else(|| says(&format!("{name} has no port {field}")))?;
                Ok::<_, String>(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            };
            let path = |field: &str| {
                let url = server.get(field).and_then(Value::as_str);
                // scheme://host:port/path
                let path = url.and_then(|url| url.splitn(4, '/').nth(3));
                path.map(|path| format!("/{path}"))
                    .ok_or_else(|| says(&format!("{name} has no URL {field}")))
            };
            let addresses = Addresses {
                starttls: port("starttls")?,
                direct_tls: port("direct_tls")?,
                https: port("https")?,
            };
            let paths = (path("websocket")?, path("bosh")?);
            let place = Place::new(&addresses, paths, Account::real()).await?;
            self.places.insert(name.clone(), place);
        }
        Ok(())
    }

    pub(crate) fn describe(&self, control: SocketAddr, pki: &Pki) -> Value {
        let servers = self.places.iter();
        description::world(
            control,
            servers.map(|(name, place)| (name.clone(), place.describe(pki))),
            pki,
        )
    }

    /// The server of that name, or what is wrong with the name.
    pub(crate) fn place(&mut self, name: &str) -> Result<&mut Place, String> {
        let there = self.places.keys().cloned().collect::<Vec<_>>().join(", ");
        self.places
            .get_mut(name)
            .ok_or_else(|| format!("no server is called {name:?}; there are: {there}"))
    }

    /// Ends all that was started here, and says what the servers noticed.
    pub(crate) async fn end(self) {
        for (name, place) in self.places {
            for proxy in place.proxies {
                proxy.close().await;
            }
            if let Some(server) = place.server {
                for violation in server.violations() {
                    eprintln!("epode-world: a client of {name} did what it must not: {violation}");
                }
                server.shutdown().await;
            }
        }
    }
}

impl Place {
    async fn new(
        to: &Addresses,
        (websocket, bosh): (String, String),
        accounts: (Account, Account),
    ) -> Result<Self, String> {
        let proxy = async |target| {
            let proxy = Proxy::tcp(SEED, Profile::plain(), target).await;
            proxy.map_err(|error: io::Error| format!("no proxy: {error}"))
        };
        Ok(Self {
            proxies: [
                proxy(to.starttls).await?,
                proxy(to.direct_tls).await?,
                proxy(to.https).await?,
            ],
            websocket_path: websocket,
            bosh_path: bosh,
            modern: false,
            account: accounts.0,
            other: accounts.1,
            server: None,
        })
    }

    fn describe(&self, pki: &Pki) -> Value {
        let [starttls, direct_tls, https] = &self.proxies;
        description::server(
            self,
            [starttls.address().port(), direct_tls.address().port()],
            &format!("wss://localhost:{}{}", https.address().port(), self.websocket_path),
            &format!("https://localhost:{}{}", https.address().port(), self.bosh_path),
            pki,
        )
    }

    pub(crate) fn cut(&self) {
        for proxy in &self.proxies {
            proxy.cut_all();
        }
    }

    pub(crate) async fn down(&mut self) {
        for proxy in &mut self.proxies {
            proxy.refuse_connections().await;
        }
    }

    pub(crate) async fn up(&mut self) -> Result<(), String> {
        for proxy in &mut self.proxies {
            let opened = proxy.accept_connections().await;
            opened.map_err(|error| format!("a port cannot be opened again: {error}"))?;
        }
        Ok(())
    }

    /// To the client, and to the server.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let counts = self.proxies.iter().map(Proxy::statistics);
        counts.fold((0, 0), |(to_client, to_server), counts| {
            (to_client + counts.bytes_to_client, to_server + counts.bytes_to_server)
        })
    }

    /// What clients did that they must not. `None`: nobody watches.
    pub(crate) fn violations(&self) -> Option<Vec<String>> {
        self.server.as_ref().map(Server::violations)
    }
}

/// Reads until the other side is gone.
async fn listen_only(mut stream: TcpStream) {
    let mut thrown_away = vec![0; 4096];
    while let Ok(1..) = stream.read(&mut thrown_away).await {}
}
