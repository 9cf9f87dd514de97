//! The dev server as a command: certificates from files, passwords from the environment, the addresses on standard output.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use epode_devserver::{Authentication, Personality, Server, Settings, TlsIdentity, User};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const PASSWORD: &str = "EPODE_DEVSERVER_PASSWORD";

/// A small XMPP server over TCP, WebSocket and BOSH for demos and tests. NOT FOR PRODUCTION: it listens on 127.0.0.1 only,
/// stores nothing and defends itself against nobody.
///
/// It prints where it listens: first the URL of BOSH, then a line each for `websocket` with its URL, `starttls` and `direct-tls`
/// with address and port. With --json, one object has them all. It runs until Ctrl+C, and then says what clients did that they must
/// not.
///
/// With EPODE_DEVSERVER_PASSWORD set, all users have that password and SCRAM and PLAIN are offered; without it, only
/// client certificates log in.
#[derive(Debug, Parser)]
#[command(name = "epode-devserver", version)]
struct Arguments {
    /// The server's certificate, then intermediate ones (PEM)
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Authorities whose client certificates are trusted (PEM); may be given several times
    #[arg(long, value_name = "FILE")]
    client_ca: Vec<PathBuf>,
    /// A user's name: the part of the JID before the @; may be given several times
    #[arg(long = "user", value_name = "NAME", required = true)]
    users: Vec<String>,
    /// The real server to imitate
    #[arg(long, value_enum, default_value = "prosody")]
    personality: Name,
    /// The XMPP domain
    #[arg(long, default_value = "localhost")]
    domain: String,
    /// The port for HTTPS (WebSocket, BOSH, host-meta) on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// The port for TCP with STARTTLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    starttls_port: u16,
    /// The port for TCP with direct TLS; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    direct_tls_port: u16,
    /// For how many seconds a session whose connection broke can be resumed (XEP-0198)
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    resume_within: u16,
    /// Offer what a new server offers: SASL2, channel binding, tokens, registration, certificates that users manage
    #[arg(long)]
    modern: bool,
    /// Print the addresses as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    Prosody,
    Ejabberd,
    Openfire,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("epode-devserver: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let json = arguments.json;
    let settings = settings(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let server = Server::start(settings)
            .await
            .map_err(|error| format!("cannot start: {error}"))?;
        eprintln!("epode-devserver: for demos and tests, not for production");
        println!("{}", addresses(&server, json));
        tokio::signal::ctrl_c().await.map_err(|error| error.to_string())?;
        for violation in server.violations() {
            eprintln!("a client did what it must not: {violation}");
        }
        server.shutdown().await;
        Ok(())
    })
}

fn addresses(server: &Server, json: bool) -> String {
    let others = [
        ("websocket", server.websocket_url()),
        ("starttls", Some(server.starttls_address().to_string())),
        ("direct-tls", Some(server.direct_tls_address().to_string())),
    ];
    let others = others
        .into_iter()
        .filter_map(|(name, address)| address.map(|address| (name, address)));
    let bosh = server.bosh_url();
    if json {
        // No address and no URL of the server has a character that JSON escapes.
        let others: String = others
            .map(|(name, address)| format!(",\"{name}\":\"{address}\""))
            .collect();
        return format!("{{\"bosh\":\"{bosh}\"{others}}}");
    }
    let others: String = others.map(|(name, address)| format!("\n{name} {address}")).collect();
    format!("{bosh}{others}")
}

fn settings(arguments: Arguments) -> Result<Settings, String> {
    let key = PrivateKeyDer::from_pem_file(&arguments.key)
        .map_err(|error| format!("{}: no private key: {error}", arguments.key.display()))?;
    let identity = TlsIdentity {
        chain: certificates(&arguments.cert)?,
        key,
    };
    let password = std::env::var(PASSWORD).ok();
    if arguments.users.iter().any(|name| name.contains(':')) {
        // Arguments are visible to every process on the machine.
        return Err(format!("--user takes a name only; put the password into {PASSWORD}"));
    }
    let mut settings = Settings::new(&arguments.domain, identity);
    for file in &arguments.client_ca {
        settings.client_ca.extend(certificates(file)?);
    }
    settings.personality = match arguments.personality {
        Name::Prosody => Personality::Prosody,
        Name::Ejabberd => Personality::Ejabberd,
        Name::Openfire => Personality::Openfire,
    };
    settings.users = arguments
        .users
        .into_iter()
        .map(|name| User {
            name,
            password: password.clone(),
        })
        .collect();
    if arguments.modern {
        settings.authentication = Authentication::modern();
    }
    settings.port = arguments.port;
    settings.starttls_port = arguments.starttls_port;
    settings.direct_tls_port = arguments.direct_tls_port;
    if let Some(sm) = &mut settings.stream_management {
        sm.max = arguments.resume_within;
    }
    Ok(settings)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| format!("{}: no certificate: {error}", file.display()))?;
    if found.is_empty() {
        return Err(format!("{}: no certificate in it", file.display()));
    }
    Ok(found)
}
