//! The rooms of the program `epode`.
//!
//! [`cli`] says what can be typed, [`exit`] what comes back to the shell, [`terminal`] how text looks. [`cert`] makes and judges
//! certificates; it and the demo stand on [`pki`], which makes them in memory. [`account`] holds the options that name an account and
//! its credentials; [`identity`] reads certificates and keys from files, [`prompt`] asks for secrets.
//!
//! [`demo`], [`login`], [`send`] and [`probe`] are the commands that go online; [`show`] prints what travels. `login --record` writes a
//! log, and [`replay`] plays it again. [`manage`] goes online too, for what users do with their own accounts.
//!
//! It is a library so that tests and the demo can use the rooms without the command line. It promises no stable API.
#![forbid(unsafe_code)]

pub mod account;
pub mod cert;
pub mod cli;
mod connect;
pub mod demo;
pub mod exit;
pub mod identity;
pub mod login;
pub mod manage;
mod mechanism;
pub mod pki;
pub mod probe;
pub mod prompt;
mod record;
pub mod replay;
pub mod send;
pub mod show;
pub mod terminal;

use std::process::ExitCode;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Reads the command line, does what it says, and returns the status for the shell (see [`exit::Exit`]).
pub fn run() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(variable) = secret_argument(&error) {
                eprintln!(
                    "epode: a secret is never an argument, which every user of this machine could read: it comes from a prompt, or from \
                     the environment variable {variable}"
                );
                return exit::Exit::Usage.into();
            }
            // Help and version go to stdout and are no error. A closed pipe is no reason to say more.
            let _ = error.print();
            return if error.use_stderr() {
                exit::Exit::Usage.into()
            } else {
                exit::Exit::Fine.into()
            };
        }
    };
    let done = match cli.command {
        cli::Command::Cert { command } => cert::run(&command),
        cli::Command::Certs { command } => manage::certs::run(&command),
        cli::Command::Account { command } => manage::own::run(&command),
        cli::Command::Demo(args) => demo::run(&args),
        cli::Command::Login(args) => login::run(&args),
        cli::Command::Send(args) => send::run(&args),
        cli::Command::Probe(args) => probe::run(&args),
        cli::Command::Replay(args) => replay::run(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("epode: {failure}");
            failure.exit.into()
        }
    }
}

/// The variable for what was typed as an option that does not exist, because it would show a secret to everybody.
fn secret_argument(error: &clap::Error) -> Option<&'static str> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    match argument.split('=').next().unwrap_or_default() {
        "--password" => Some(prompt::PASSWORD_VARIABLE),
        "--new-password" => Some(prompt::NEW_PASSWORD_VARIABLE),
        "--passphrase" | "--pass-phrase" => Some(prompt::PASSPHRASE_VARIABLE),
        "--token" | "--access-token" => Some("that --token-env names"),
        _ => None,
    }
}
