//! Sends numbered messages through the chaos proxy to a real server, and checks what became of each.

mod kills;
mod life;
mod notes;
mod run;
mod servers;

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use life::Life;
use run::Plan;
use serde::Serialize;

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
    /// What the proxy does [default: rough; calm with --kills].
    #[arg(long, value_enum)]
    profile: Option<Kind>,
    /// Whether the receiver is behind the proxy too, or has a network without faults.
    #[arg(long, value_enum, default_value_t = Receiver::Rough)]
    receiver: Receiver,
    /// How often the server is killed (SIGKILL) and started again. Then messages may be Failed, and what was acknowledged may be lost.
    #[arg(long, default_value_t = 0)]
    crashes: usize,
    /// How often the sender is killed (SIGKILL) and goes on from what it stored. It is a process of its own then, and --cuts says
    /// nothing: only the profile cuts.
    #[arg(long, default_value_t = 0, conflicts_with = "crashes")]
    kills: usize,
    /// With --kills: ends that the client told, and that nobody had looked at when it was killed, may stay untold. They are counted,
    /// and the messages must have arrived.
    #[arg(long, requires = "kills")]
    allow_untold: bool,
    /// Be the sender that is killed: its folder.
    #[arg(long, hide = true, requires = "life_address")]
    life_in: Option<PathBuf>,
    /// Where its proxy is.
    #[arg(long, hide = true)]
    life_address: Option<SocketAddr>,
    /// Which numbers it sends.
    #[arg(long, hide = true, default_value_t = 0)]
    life_until: usize,
    /// Whether it ends by itself.
    #[arg(long, hide = true)]
    life_is_last: bool,
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
    /// No faults.
    Calm,
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
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        eprintln!("epode-chaos: the system gives no runtime");
        return ExitCode::FAILURE;
    };
    if let (Some(folder), Some(address), [transport]) =
        (&options.life_in, options.life_address, options.transport.as_slice())
    {
        let life = Life {
            transport: *transport,
            folder: folder.clone(),
            address,
            until: options.life_until,
            is_last: options.life_is_last,
        };
        return match runtime.block_on(life::live(&life)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("epode-chaos: the sender on {}: {error}", run::name(*transport));
                ExitCode::FAILURE
            }
        };
    }
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
    let usual = if options.kills > 0 { Kind::Calm } else { Kind::Rough };
    let mut failed = false;
    for transport in transports {
        let plan = Plan {
            seed,
            transport: *transport,
            messages: options.messages,
            cuts: options.cuts,
            profile: options.profile.unwrap_or(usual),
            receiver: options.receiver,
            crashes: options.crashes,
            kills: options.kills,
            allow_untold: options.allow_untold,
        };
        let ended = if plan.kills > 0 {
            runtime.block_on(kills::run(&plan)).map(|outcome| {
                let (wrong, tail) = (outcome.wrong.as_slice(), outcome.tail.as_slice());
                show(&outcome, wrong, ("sender's notes", tail), &plan, options.json)
            })
        } else {
            runtime.block_on(run::run(&plan)).map(|outcome| {
                let (wrong, tail) = (outcome.wrong.as_slice(), outcome.tail.as_slice());
                show(&outcome, wrong, ("sender's proxy's log", tail), &plan, options.json)
            })
        };
        failed |= ended.unwrap_or_else(|error| {
            eprintln!("epode-chaos: {}: {error}", run::name(*transport));
            true
        });
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints what became of a run; whether it failed.
fn show<O: Display + Serialize>(
    outcome: &O,
    wrong: &[String],
    (log, tail): (&str, &[String]),
    plan: &Plan,
    json: bool,
) -> bool {
    if json {
        match serde_json::to_string(outcome) {
            Ok(line) => println!("{line}"),
            Err(error) => eprintln!("epode-chaos: the result cannot be written: {error}"),
        }
    } else {
        println!("{outcome}");
    }
    if wrong.is_empty() {
        return false;
    }
    for wrong in wrong {
        eprintln!("WRONG: {wrong}");
    }
    eprintln!("the end of the {log}:");
    for event in tail {
        eprintln!("  {event}");
    }
    eprintln!("replay: {}", replay(plan));
    true
}

/// The command that does it once more.
fn replay(plan: &Plan) -> String {
    let mut command = format!(
        "epode-chaos --seed {} --transport {} --messages {}",
        plan.seed,
        run::name(plan.transport),
        plan.messages,
    );
    if plan.kills > 0 {
        command += &format!(" --kills {}", plan.kills);
    } else {
        command += &format!(" --cuts {}", plan.cuts);
    }
    if plan.allow_untold {
        command += " --allow-untold";
    }
    if plan.crashes > 0 {
        command += &format!(" --crashes {}", plan.crashes);
    }
    if plan.receiver == Receiver::Calm {
        command += " --receiver calm";
    }
    command
        + match plan.profile {
            Kind::Rough => " --profile rough",
            Kind::Cuts => " --profile cuts",
            Kind::Calm => " --profile calm",
        }
}
