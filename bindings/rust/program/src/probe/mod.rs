//! `epode probe`: finds every way to a server, tries each without credentials, and shows what is offered there.
//!
//! - `mod.rs`: the order of things: search, attempts, report.
//! - `find.rs`: discovery, by the engine's own rules; and guesses.
//! - `attempt.rs`: one look at one endpoint.
//! - `report.rs`: the table, and the objects of `--json`.

mod attempt;
mod find;
mod report;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use epode::{Endpoint, TlsPolicy};
use rustls::pki_types::CertificateDer;
use tokio::task::JoinSet;

use self::attempt::{Facts, Task};
use crate::cli::ProbeArgs;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::identity;
use crate::terminal::visible;

/// Attempts at the same time: a server with many endpoints is not stormed.
const AT_ONCE: usize = 6;

/// Endpoints that are tried; a DNS zone can name any number.
const MOST: usize = 48;

/// A person who waits hears of it so often.
const PROGRESS: Duration = Duration::from_secs(2);

/// How an endpoint came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// It was typed.
    Option,
    /// SRV records.
    Srv,
    /// The server's host-meta.
    HostMeta,
    /// Nobody named it: servers usually are there.
    Guess,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Option => "option",
            Self::Srv => "srv",
            Self::HostMeta => "host-meta",
            Self::Guess => "guess",
        }
    }
}

/// A place to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    endpoint: Endpoint,
    source: Source,
}

/// What all attempts share.
struct Setup {
    args: ProbeArgs,
    authorities: Vec<CertificateDer<'static>>,
    limit: Duration,
}

/// Does what the command line says.
///
/// # Errors
/// A file is wrong, or the system lacks something.
pub fn run(args: &ProbeArgs) -> Result<Exit, Failure> {
    let authorities = args
        .ca
        .as_deref()
        .map(identity::load_certificates)
        .transpose()?
        .unwrap_or_default();
    let setup = Arc::new(Setup {
        args: args.clone(),
        authorities,
        limit: Duration::from_secs(args.timeout.into()),
    });
    connect::runtime()?.block_on(async {
        tokio::select! {
            done = probe(setup) => done,
            _ = tokio::signal::ctrl_c() => Err(connect::interrupted()),
        }
    })
}

async fn probe(setup: Arc<Setup>) -> Result<Exit, Failure> {
    let args = &setup.args;
    let (search, places) = if args.place.is_unknown() {
        let found = patiently(args, || "asking DNS and host-meta".to_owned(), find::find(&setup)).await?;
        (found.search, found.places)
    } else {
        (Vec::new(), vec![find::named(&setup)?])
    };
    let left_out = places.len().saturating_sub(MOST);
    let facts = try_all(&setup, places.get(..MOST).unwrap_or(&places)).await;
    let exit = judge(&facts);
    let report = report::Report {
        domain: args.domain.domain(),
        search: &search,
        facts: &facts,
        left_out,
        exit,
    };
    if args.output.json {
        report.json();
    } else {
        report.print(args.output.plain);
    }
    Ok(exit)
}

/// The facts, in the order of the places.
async fn try_all(setup: &Arc<Setup>, places: &[Place]) -> Vec<Facts> {
    let mut waiting = places.iter().cloned().enumerate();
    let mut running = JoinSet::new();
    let mut done: Vec<Option<Facts>> = places.iter().map(|_| None).collect();
    loop {
        while running.len() < AT_ONCE {
            let Some((index, place)) = waiting.next() else { break };
            let task = Task::new(Arc::clone(setup), place);
            running.spawn(async move { (index, task.run().await) });
        }
        let ready = done.iter().flatten().count();
        let progress = || format!("{ready} of {} endpoints tried", places.len());
        let Some(ended) = patiently(&setup.args, progress, running.join_next()).await else {
            return done.into_iter().flatten().collect();
        };
        // An attempt neither panics nor is cancelled; the list would only be shorter.
        if let Ok((index, facts)) = ended
            && let Some(slot) = done.get_mut(index)
        {
            *slot = Some(facts);
        }
    }
}

/// Waits, and says so to a person from time to time.
async fn patiently<T>(args: &ProbeArgs, progress: impl Fn() -> String, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(PROGRESS, &mut work).await {
            Ok(done) => return done,
            Err(_) if args.output.json && !std::io::stderr().is_terminal() => {}
            Err(_) => eprintln!("epode: {}: {}", visible(args.domain.domain()), progress()),
        }
    }
}

/// 0 if a client could log in anywhere, or what was in the way.
fn judge(facts: &[Facts]) -> Exit {
    if facts.iter().any(Facts::works) {
        return Exit::Fine;
    }
    let exits: Vec<Exit> = facts.iter().map(Facts::exit).collect();
    [Exit::Tls, Exit::Protocol]
        .into_iter()
        .find(|exit| exits.contains(exit))
        .unwrap_or(Exit::Connection)
}

/// Whether plain text may be used: to this very machine, where it was asked for.
fn policy(endpoint: &Endpoint) -> TlsPolicy {
    // TCP becomes TLS, or the probe says that it does not.
    let (Endpoint::WebSocket { url } | Endpoint::Bosh { url }) = endpoint else {
        return TlsPolicy::Required;
    };
    if crate::account::on_this_machine(url) {
        TlsPolicy::AllowPlaintext
    } else {
        TlsPolicy::Required
    }
}
