//! Certificates made at run time, the dev server with two users, and clients that log in to it.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use epode::config::Transport;
use epode::{Config, ConfigBuilder, Credentials, Element, Event, Input, Jid, Offline, Output};
use epode_devserver::{Server, Settings, TlsIdentity, User};
use epode_tokio::{Builder, Client, ClientIdentity, Trace};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, OtherNameValue,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// No step on loopback takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// One authority that signs the server's certificate and the clients'.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Validity {
    Now,
    Expired,
    NotYet,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::called("test authority")
    }

    pub(crate) fn called(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn server(&self) -> TlsIdentity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        TlsIdentity {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der().try_into().unwrap(),
        }
    }

    pub(crate) fn client(&self, jid: &str, validity: Validity) -> (CertificateDer<'static>, ClientIdentity) {
        let (chain, key) = self.client_with(&[jid], |params| match validity {
            Validity::Now => {}
            Validity::Expired => params.not_after = rcgen::date_time_ymd(2001, 1, 1),
            Validity::NotYet => params.not_before = rcgen::date_time_ymd(3000, 1, 1),
        });
        (chain[0].clone(), ClientIdentity::new(chain, key).unwrap())
    }

    /// A client certificate that names these accounts, and its key.
    pub(crate) fn client_with(
        &self,
        jids: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        for jid in jids {
            let name = OtherNameValue::Utf8String((*jid).to_owned());
            params
                .subject_alt_names
                .push(SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], name)));
        }
        change(&mut params);
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        (vec![leaf], key.serialize_der().try_into().unwrap())
    }

    /// A server with user01 and user02, whose passwords are their names with "'s password".
    pub(crate) async fn serve(&self, change: impl FnOnce(&mut Settings)) -> Server {
        let mut settings = Settings::new("localhost", self.server());
        settings.client_ca = vec![self.certificate.clone()];
        settings.users = ["user01", "user02"]
            .map(|name| User {
                name: name.into(),
                password: Some(format!("{name}'s password")),
            })
            .into();
        change(&mut settings);
        Server::start(settings).await.unwrap()
    }

    pub(crate) fn by_certificate(&self, server: &Server, name: &str, validity: Validity) -> Builder {
        let jid = format!("{name}@localhost");
        let (leaf, identity) = self.client(&jid, validity);
        let credentials = Credentials::certificate("mine", Some(leaf.to_vec()));
        self.builder(server, &jid, credentials).identity("mine", identity)
    }

    pub(crate) fn by_password(&self, server: &Server, name: &str, password: &str) -> Builder {
        self.builder(server, &format!("{name}@localhost"), Credentials::password(password))
    }

    /// By way of `relay`.
    pub(crate) fn by_relay(&self, relay: &Relay, name: &str) -> Builder {
        let credentials = Credentials::password(format!("{name}'s password"));
        self.builder_at(relay.url.clone(), &format!("{name}@localhost"), credentials)
    }

    /// By that transport, with a certificate.
    pub(crate) fn by(
        &self,
        transport: Transport,
        name: &str,
        change: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Builder {
        let jid = format!("{name}@localhost");
        let (leaf, identity) = self.client(&jid, Validity::Now);
        let config = Config::builder(jid.parse().unwrap())
            .transport(transport)
            .credentials(Credentials::certificate("mine", Some(leaf.to_vec())));
        Client::builder(change(config).build().unwrap())
            .add_root(self.certificate.clone())
            .unwrap()
            .identity("mine", identity)
    }

    pub(crate) fn builder(&self, server: &Server, jid: &str, credentials: Credentials) -> Builder {
        self.builder_at(server.bosh_url(), jid, credentials)
    }

    fn builder_at(&self, url: String, jid: &str, credentials: Credentials) -> Builder {
        let config = Config::builder(jid.parse().unwrap())
            .bosh(url)
            .credentials(credentials)
            .build()
            .unwrap();
        Client::builder(config).add_root(self.certificate.clone()).unwrap()
    }
}

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it hangs")
}

/// Waits for `Online`; the JID and the mechanism.
pub(crate) async fn online(client: &mut Client) -> (Jid, String) {
    within(async {
        loop {
            let event = client.next().await.expect("an event");
            assert!(!matches!(event, Event::Offline { .. }), "{event:?}");
            if let Event::Online { jid, mechanism, .. } = event {
                return (jid, mechanism);
            }
        }
    })
    .await
}

/// Waits for `Offline`, and never sees an `Online`.
pub(crate) async fn offline(client: &mut Client) -> Offline {
    within(async {
        loop {
            let event = client.next().await.expect("an event");
            assert!(!matches!(event, Event::Online { .. }), "{event:?}");
            if let Event::Offline { reason } = event {
                return reason;
            }
        }
    })
    .await
}

/// The text of the next message.
pub(crate) async fn message(client: &mut Client) -> String {
    within(async {
        loop {
            if let Event::Stanza { stanza, .. } = client.next().await.expect("an event")
                && let Some(body) = stanza.child("jabber:client", "body")
            {
                return body.text().into_owned();
            }
        }
    })
    .await
}

pub(crate) fn chat(to: &Jid, text: &str) -> Element {
    Element::builder("jabber:client", "message")
        .attr("to", to.as_str())
        .attr("type", "chat")
        .child(Element::builder("jabber:client", "body").text(text))
        .build()
        .unwrap()
}

/// Everything that went over the wire, what the driver said about reading, and the end.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn on(&self, builder: Builder) -> Builder {
        let log = self.clone();
        builder.trace(move |trace| {
            let line = if let Trace::Output {
                output: Output::Post { body, .. },
                ..
            } = trace
            {
                format!("-> {}", String::from_utf8_lossy(body))
            } else if let Trace::Input {
                input: Input::Responded { body, .. },
                ..
            } = trace
            {
                format!("<- {}", String::from_utf8_lossy(body))
            } else if let Trace::Input {
                input: Input::Reading { reading, .. },
                ..
            } = trace
            {
                format!("reading {reading}")
            } else if let Trace::Output {
                output: Output::Event(Event::Offline { .. }),
                ..
            } = trace
            {
                "offline".to_owned()
            } else {
                return;
            };
            log.0.lock().unwrap().push(line);
        })
    }

    pub(crate) fn count(&self, needle: &str) -> usize {
        self.0
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.contains(needle))
            .count()
    }
}

/// Stands before a server, and can send what comes next to another one. It lives as long as the test's process.
pub(crate) struct Relay {
    url: String,
    state: Arc<Mutex<RelayState>>,
}

struct RelayState {
    target: SocketAddr,
    streams: Vec<TcpStream>,
}

impl Relay {
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("https://localhost:{}/http-bind", listener.local_addr().unwrap().port());
        let state = Arc::new(Mutex::new(RelayState {
            target: server.address(),
            streams: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut state = shared.lock().unwrap();
                let server = TcpStream::connect(state.target).unwrap();
                state
                    .streams
                    .extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                copy(client.try_clone().unwrap(), server.try_clone().unwrap());
                copy(server, client);
            }
        });
        Self { url, state }
    }

    /// Cuts all connections; new ones go to `server`.
    pub(crate) fn switch(&self, server: &Server) {
        let mut state = self.state.lock().unwrap();
        state.target = server.address();
        for stream in state.streams.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // However it ends: the other side learns that it has.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
