//! Sends numbered messages through the chaos proxy to a real server, and checks what became of each.

mod run;
mod servers;

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use run::{Outcome, Plan};

/// Sends numbered messages from one client to another over a Prosody 13 while the proxy between them cuts, splits, delays and stalls
/// their connections, and checks that nothing is lost, doubled or out of order.
///
/// Start a server first: `tests/servers/setup; tests/servers/server up /tmp/servers prosody-13`, then
/// `EPODE_SERVERS=/tmp/servers/servers.json epode-chaos --messages 1000 --cuts 20`. A failure is replayed with the seed that was
/// printed first, and the same options; how far a connection gets before its next fault depends on the machine too.
#[derive(Debug, Parser)]
#[command(name = "epode-chaos")]
struct Options {
    /// What every fault is drawn from [default: one of its own].
    #[arg(long)]
    seed: Option<u64>,
    /// How many messages are sent on each transport.
    #[arg(long, default_value_t = 1_000)]
    messages: usize,
    /// How many connections must be cut meanwhile, at least; what the profile does not cut is cut in addition.
    #[arg(long, default_value_t = 20)]
    cuts: u64,
    /// Which transport; all of them if none is named. May be repeated.
    #[arg(long, value_enum)]
    transport: Vec<Transport>,
    /// What the proxy does.
    #[arg(long, value_enum, default_value_t = Kind::Rough)]
    profile: Kind,
    /// Whether the receiver is behind the proxy too, or has a network without faults.
    #[arg(long, value_enum, default_value_t = Receiver::Rough)]
    receiver: Receiver,
    /// How often the server is killed (SIGKILL) and started again. Then messages may be Failed, and what was acknowledged may be lost.
    #[arg(long, default_value_t = 0)]
    crashes: usize,
    /// One JSON object for each transport, instead of text.
    #[arg(long)]
    json: bool,
}

/// How the clients travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// TCP with STARTTLS.
    #[value(name = "starttls")]
    StartTls,
    /// TCP with TLS from the first byte.
    DirectTls,
    /// WebSocket.
    #[value(name = "websocket")]
    WebSocket,
    /// BOSH.
    Bosh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Every fault now and then.
    Rough,
    /// Only cuts.
    Cuts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Receiver {
    /// Behind a proxy of its own.
    Rough,
    /// No faults.
    Calm,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    if options.json {
        println!("{}", serde_json::json!({ "seed": seed }));
    } else {
        println!("seed {seed}");
    }
    let transports = match options.transport.as_slice() {
        [] => Transport::value_variants(),
        some => some,
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        eprintln!("epode-chaos: the system gives no runtime");
        return ExitCode::FAILURE;
    };
    let mut failed = false;
    for transport in transports {
        let plan = Plan {
            seed,
            transport: *transport,
            messages: options.messages,
            cuts: options.cuts,
            profile: options.profile,
            receiver: options.receiver,
            crashes: options.crashes,
        };
        match runtime.block_on(run::run(&plan)) {
            Ok(outcome) => {
                failed |= !outcome.wrong.is_empty();
                show(&outcome, &plan, options.json);
            }
            Err(error) => {
                failed = true;
                eprintln!("epode-chaos: {}: {error}", run::name(*transport));
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn show(outcome: &Outcome, plan: &Plan, json: bool) {
    if json {
        match serde_json::to_string(outcome) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("epode-chaos: the result cannot be written: {error}"),
        }
    } else {
        println!("{outcome}");
    }
    if outcome.wrong.is_empty() {
        return;
    }
    for wrong in &outcome.wrong {
        eprintln!("WRONG: {wrong}");
    }
    eprintln!("the end of the sender's proxy's log:");
    for event in &outcome.tail {
        eprintln!("  {event}");
    }
    eprintln!(
        "replay: epode-chaos --seed {} --transport {} --messages {} --cuts {}{}{}",
        plan.seed,
        run::name(plan.transport),
        plan.messages,
        plan.cuts,
        if plan.receiver == Receiver::Calm {
            " --receiver calm"
        } else {
            ""
        },
        if plan.profile == Kind::Cuts {
            " --profile cuts"
        } else {
            ""
        },
    );
}
