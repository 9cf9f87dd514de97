//! `epode demo`: a server and two clients on this machine, and the exchange as it happens.

mod rounds;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use epode::config::{ConfigBuilder, Reconnect};
use epode::{BareJid, Config, Credentials, Element, Event, Input, Offline, Output, TcpTls};
use epode_devserver::{Server, Settings, TlsIdentity, User};
use epode_tokio::{Client, ClientIdentity, Trace};
use rustls::pki_types::CertificateDer;

use crate::cli::DemoArgs;
use crate::connect::{self, LABEL, Login};
use crate::exit::{Exit, Failure};
use crate::login;
use crate::pki::{self, Authority, Validity};
use crate::show::{self, Direction};
use crate::terminal::{Terminal, Tone, visible};

/// The domain of the demo's accounts; it resolves on every machine.
const DOMAIN: &str = "localhost";

/// No step of the demo takes so long on a machine that works.
const PATIENCE: Duration = Duration::from_secs(20);

const TEXT: &str = "Hello! This came without a password.";
const TEXT_WITH_PASSWORD: &str = "Hello! This password never left its owner's machine.";

/// Does what the command line says.
///
/// # Errors
/// Anything of it did not happen.
pub fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    connect::runtime()?.block_on(async {
        tokio::select! {
            done = tokio::time::timeout(PATIENCE, play(args)) => match done {
                Ok(done) => done.map(|()| Exit::Fine),
                Err(_) => Err(Failure::other("the demo stood still: nothing happened for 20 seconds")),
            },
            _ = tokio::signal::ctrl_c() => Err(connect::interrupted()),
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Proof {
    Certificate,
    Password,
    Both,
}

impl Proof {
    fn of(args: &DemoArgs) -> Self {
        match (args.password, args.both) {
            (_, true) => Self::Both,
            (true, false) => Self::Password,
            (false, false) => Self::Certificate,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Certificate => "a login without a password, by TLS client certificate",
            Self::Password => "a login by password that never shows the password",
            Self::Both => "a login with two factors: a TLS client certificate and a password",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Certificate => TEXT,
            Self::Password | Self::Both => TEXT_WITH_PASSWORD,
        }
    }
}

async fn play(args: &DemoArgs) -> Result<(), Failure> {
    let proof = Proof::of(args);
    let stage = Stage::new(Terminal::stdout(args.plain));
    stage.title(proof.title());
    let cast = Cast::new(proof)?;
    stage.say("made a certificate authority, a server certificate, and what each user logs in with");
    let server = cast.serve(proof).await?;
    stage.say(format!("the demo server listens at {}", server.bosh_url()));

    stage.chapter("user01 logs in");
    let started = Instant::now();
    let teller = stage.clone();
    let mut first = cast
        .client("user01", proof, &server, Over::Bosh, move |trace| teller.trace(trace))
        .await?;
    let login = online(&mut first, &server).await?;
    let milliseconds = started.elapsed().as_millis();

    stage.chapter("user02 logs in too (not shown), and user01 writes");
    let mut second = cast.client("user02", proof, &server, Over::Bosh, |_| {}).await?;
    let other = online(&mut second, &server).await?;
    stage.say(format!("user02 is online as {}", visible(other.jid.as_str())));
    let message = Element::builder("jabber:client", "message")
        .attr("to", other.jid.as_str())
        .attr("type", "chat")
        .attr("id", "hello")
        .child(Element::builder("jabber:client", "body").text(proof.text()))
        .build()
        .map_err(|error| Failure::other(error.to_string()))?;
    first
        .send(message)
        .await
        .map_err(|error| Failure::other(error.to_string()))?;
    let arrived = message_of(&mut second).await?;
    if show::message_text(&arrived).as_deref() != Some(proof.text())
        || arrived.attribute("from") != Some(login.jid.as_str())
    {
        return Err(Failure::other("what user02 received is not what user01 sent"));
    }
    stage.paragraph(
        Tone::Good,
        "it arrived at user02:",
        &show::pretty(arrived.root(), stage.margin()),
    );

    stage.chapter("goodbye");
    let ends = [first.stop().await, second.stop().await];
    if let Some(end) = ends.iter().find(|end| **end != Offline::Stopped) {
        return Err(connect::failure(end, &server.bosh_url()).unwrap_or_else(connect::interrupted));
    }
    let words = rounds::every_transport(&cast, proof, &server, &stage).await?;
    let told = rounds::cut_under_a_conversation(&cast, proof, &server, &stage).await?;
    let violations = server.violations();
    server.shutdown().await;
    if !violations.is_empty() {
        return Err(Failure::other(format!(
            "the server complains: {}",
            violations.join("; ")
        )));
    }

    stage.end(&login, milliseconds, proof, &[("transports", words), ("cuts", told)]);
    Ok(())
}

/// A way into the demo server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    StartTls,
    DirectTls,
    WebSocket,
    Bosh,
}

impl Over {
    const ALL: [Self; 4] = [Self::StartTls, Self::DirectTls, Self::WebSocket, Self::Bosh];

    const fn name(self) -> &'static str {
        match self {
            Self::StartTls => "TCP, STARTTLS",
            Self::DirectTls => "TCP, direct TLS",
            Self::WebSocket => "WebSocket",
            Self::Bosh => "BOSH",
        }
    }

    fn configure(self, config: ConfigBuilder, server: &Server) -> ConfigBuilder {
        match self {
            Self::StartTls => config.tcp(DOMAIN, server.starttls_address().port(), TcpTls::StartTls),
            Self::DirectTls => config.tcp(DOMAIN, server.direct_tls_address().port(), TcpTls::Direct),
            // The demo server imitates one that has WebSocket.
            Self::WebSocket => config.websocket(server.websocket_url().unwrap_or_default()),
            Self::Bosh => config.bosh(server.bosh_url()),
        }
    }
}

async fn online(client: &mut Client, server: &Server) -> Result<Login, Failure> {
    while let Some(event) = client.next().await {
        if let Some(login) = Login::from_event(&event) {
            return Ok(login);
        }
        if let Event::Offline { reason } = event {
            return Err(connect::failure(&reason, &server.bosh_url()).unwrap_or_else(connect::interrupted));
        }
    }
    Err(connect::interrupted())
}

async fn message_of(client: &mut Client) -> Result<Element, Failure> {
    while let Some(event) = client.next().await {
        if let Event::Stanza { stanza, .. } = event
            && stanza.name() == "message"
        {
            return Ok(stanza);
        }
    }
    Err(Failure::other("the message did not arrive"))
}

/// The certificates and passwords of one demo; they live in memory only.
struct Cast {
    authority: Authority,
    password: String,
}

impl Cast {
    fn new(proof: Proof) -> Result<Self, Failure> {
        let (authority, issued) = pki::make_ca("epode demo", Validity::days(1))?;
        // Made up from a key that is used for nothing else: as random as the key, and gone with this process.
        let key = pki::make_server_cert(&authority, &[DOMAIN], &[], issued.validity)?;
        let password = match proof {
            Proof::Certificate => String::new(),
            Proof::Password | Proof::Both => hex(&digest(key.key().secret_der())),
        };
        Ok(Self { authority, password })
    }

    async fn serve(&self, proof: Proof) -> Result<Server, Failure> {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let server = pki::make_server_cert(&self.authority, &[DOMAIN], &[loopback], Validity::days(1))?;
        let certificate = TlsIdentity {
            chain: vec![server.certificate.clone()],
            key: server.key(),
        };
        let mut settings = Settings::new(DOMAIN, certificate);
        settings.client_ca = vec![self.authority.certificate().clone()];
        settings.ask_client_certificate = proof != Proof::Password;
        // Two factors are two only where the server insists on both.
        settings.require_client_certificate = proof == Proof::Both;
        settings.refuse_in_tls = proof == Proof::Both;
        settings.users = ["user01", "user02"]
            .map(|name| User {
                name: name.to_owned(),
                password: (proof != Proof::Certificate).then(|| self.password.clone()),
            })
            .into();
        Server::start(settings)
            .await
            .map_err(|error| Failure::other(format!("the demo server cannot start on this machine: {error}")))
    }

    async fn client(
        &self,
        name: &str,
        proof: Proof,
        server: &Server,
        over: Over,
        tell: impl FnMut(Trace<'_>) + Send + 'static,
    ) -> Result<Client, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::other(error.to_string());
        let account = BareJid::parse(&format!("{name}@{DOMAIN}")).map_err(|error| wrong(&error))?;
        let issued = pki::make_client_cert(Some(&self.authority), &account, Validity::days(1))?;
        let leaf: CertificateDer<'static> = issued.certificate.clone();
        let credentials = match proof {
            Proof::Certificate => Credentials::certificate(LABEL, Some(leaf.to_vec())),
            Proof::Password => Credentials::password(self.password.as_str()),
            Proof::Both => Credentials::certificate_and_password(LABEL, self.password.as_str()),
        };
        let config = over
            .configure(Config::builder(account.into()), server)
            .credentials(credentials)
            // The demo is quick: nobody else comes back at the same time.
            .reconnect(Reconnect {
                first: Duration::from_millis(20),
                second: Duration::from_millis(40),
                ..Reconnect::default()
            })
            .build()
            .map_err(|error| wrong(&error))?;
        let identity = ClientIdentity::new(vec![leaf], issued.key()).map_err(|error| wrong(&error))?;
        let builder = Client::builder(config)
            .identity(LABEL, identity)
            .add_root(self.authority.certificate().clone())
            .map_err(|error| wrong(&error))?
            .trace(tell);
        connect::connect(builder).await
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the demo is told: all lines share one clock.
#[derive(Clone)]
struct Stage {
    terminal: Terminal,
    begin: Instant,
    said: Arc<Mutex<Said>>,
}

/// What was told already, for what need not be told twice.
#[derive(Default)]
struct Said {
    requests: u32,
    answers: u32,
}

impl Stage {
    fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            begin: Instant::now(),
            said: Arc::default(),
        }
    }

    /// XML stands below the text of its line.
    const fn margin(&self) -> usize {
        15
    }

    fn stamp(&self) -> String {
        format!("{:>6} ms", self.begin.elapsed().as_millis())
    }

    fn title(&self, text: &str) {
        self.terminal
            .line(self.terminal.paint(Tone::Strong, format!("epode demo: {text}")));
        self.terminal.line("");
    }

    fn chapter(&self, text: &str) {
        self.terminal.line("");
        self.terminal.line(self.terminal.paint(Tone::Strong, text));
    }

    fn say(&self, text: impl std::fmt::Display) {
        self.terminal.line(format!(
            "{}      {text}",
            self.terminal.paint(Tone::Quiet, self.stamp())
        ));
    }

    fn paragraph(&self, tone: Tone, heading: &str, body: &str) {
        self.say(self.terminal.paint(tone, heading));
        self.terminal.line(body);
    }

    fn travels(&self, direction: Direction, bytes: &[u8]) {
        let (arrow, tone) = match direction {
            Direction::Sent => ("-->", Tone::Sent),
            Direction::Received => ("<--", Tone::Received),
        };
        let stamp = self.terminal.paint(Tone::Quiet, self.stamp());
        let meaning = self
            .terminal
            .paint(tone, format!("{arrow}  {}", show::meaning(direction, bytes)));
        self.terminal.line(format!("{stamp} {meaning}"));
        self.terminal.line(show::pretty_bytes(bytes, self.margin()));
    }

    fn trace(&self, trace: Trace<'_>) {
        match trace {
            Trace::Output { output, .. } => self.trace_output(output),
            Trace::Input { input, .. } => self.trace_input(input),
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not an enum of this crate: nothing else is part of the exchange"
    )]
    fn trace_output(&self, output: &Output) {
        match output {
            Output::Post { body, .. } => {
                self.said.lock().unwrap_or_else(PoisonError::into_inner).requests += 1;
                self.travels(Direction::Sent, body);
            }
            Output::Event(Event::Online { jid, .. }) => {
                self.say(
                    self.terminal
                        .paint(Tone::Good, format!("user01 is online as {}", visible(jid.as_str()))),
                );
            }
            Output::Event(Event::Warning(warning)) => {
                self.say(
                    self.terminal
                        .paint(Tone::Warning, format!("warning: {}", visible(&warning.to_string()))),
                );
            }
            // Not an enum of this crate: nothing else is part of the exchange.
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not an enum of this crate: nothing else is part of the exchange"
    )]
    fn trace_input(&self, input: &Input<'_>) {
        match input {
            Input::Connected { info, .. } => {
                let version = info.tls_version.as_deref().unwrap_or("of an unknown version");
                let asked = match (info.client_certificate_requested, &info.client_certificate) {
                    (Some(true), Some(_)) => "; it asked for a client certificate and was shown ours",
                    (Some(true), None) => "; it asked for a client certificate, and there is none to show",
                    (Some(false), _) => "; it did not ask for a client certificate",
                    (None, _) => "",
                };
                self.say(format!("TLS {version}: the server's certificate is valid{asked}"));
            }
            Input::Responded { body, .. } => {
                self.said.lock().unwrap_or_else(PoisonError::into_inner).answers += 1;
                self.travels(Direction::Received, body);
            }
            _ => {}
        }
    }

    fn end(&self, login: &Login, milliseconds: u128, proof: Proof, more: &[(&'static str, String)]) {
        self.chapter("summary");
        let mut lines = login.lines(milliseconds, proof != Proof::Password);
        let (requests, answers) = {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            (said.requests, said.answers)
        };
        lines.extend_from_slice(more);
        lines.push((
            "in all",
            format!(
                "{requests} requests and {answers} answers were shown, {} ms",
                self.begin.elapsed().as_millis()
            ),
        ));
        login::summary(self.terminal, &lines);
    }
}
