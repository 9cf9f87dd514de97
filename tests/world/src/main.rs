//! The servers that the drivers' tests log in to, each behind proxies that can be cut: one program for every language.

mod control;
mod description;
mod pki;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::pki::Pki;
use crate::world::World;

/// Servers for the tests of drivers, each behind proxies that can be cut. On loopback only, for tests only.
///
/// It starts small servers that notice what a client must not do (`dev`; `modern` with SASL2, tokens and channel binding; `tls12`,
/// which is `modern` with nothing newer than TLS 1.2) and `silent`, which accepts connections and never says a word. With --servers, the real servers that run
/// already are taken in too. Each address that it gives leads through a proxy of its own.
///
/// When all is ready it prints one JSON object, and writes it to --out: whole, or not at all. The tests read from it where each
/// server listens, who can log in there and by what, and where the control port is. That takes one command a line, and answers
/// each with one line, `ok`, `ok JSON` or `error SENTENCE`:
///
///   cut SERVER          resets every connection to that server
///   down SERVER         the same, and refuses new ones
///   up SERVER           ends that
///   bytes SERVER        {"to_client": N, "to_server": N}: carried since the start
///   violations SERVER   ["what a client did that it must not", ...]: dev, modern, tls12
///   quit                ends the program, as SIGINT and SIGTERM do
///
/// `tests/run` starts it for the lanes that need it. By hand:
///
///   tests/servers/pki /tmp/pki
///   epode-world --pki /tmp/pki --out /tmp/world.json &
///   EPODE_WORLD=/tmp/world.json ...
#[derive(Debug, Parser)]
#[command(name = "epode-world", version, verbatim_doc_comment)]
struct Arguments {
    /// The certificates that `tests/servers/pki` made
    #[arg(long, value_name = "DIR")]
    pki: PathBuf,
    /// What the tests call that folder, if they see it elsewhere (in another root)
    #[arg(long, value_name = "DIR")]
    pki_seen_as: Option<PathBuf>,
    /// Real servers that run: the servers.json of `tests/servers/server up`
    #[arg(long, value_name = "FILE")]
    servers: Option<PathBuf>,
    /// Where to write the description, beside standard output; it is removed at the end
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("epode-world: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let pki = Pki::open(&arguments.pki, arguments.pki_seen_as.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no event loop: {error}"))?;
    runtime.block_on(live(arguments, &pki))
}

async fn live(arguments: &Arguments, pki: &Pki) -> Result<(), String> {
    // Before anything is told: whoever reads the description may end us at once.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| format!("no signals: {error}"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("no signals: {error}"))?;
    let mut world = World::new();
    world.start_dev_servers(pki).await?;
    world.start_silence().await?;
    if let Some(file) = &arguments.servers {
        world.take_in(file).await?;
    }
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| format!("no control port: {error}"))?;
    let control = listener
        .local_addr()
        .map_err(|error| format!("no control port: {error}"))?;
    let description = world.describe(control, pki).to_string();
    if let Some(out) = &arguments.out {
        write_whole(out, &description)?;
    }
    println!("{description}");
    tokio::select! {
        () = control::serve(listener, &mut world) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    if let Some(out) = &arguments.out {
        let _ = std::fs::remove_file(out);
    }
    world.end().await;
    Ok(())
}

/// A test may be waiting for the file: it must not see a part of it.
fn write_whole(path: &Path, text: &str) -> Result<(), String> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, format!("{text}\n"))
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
