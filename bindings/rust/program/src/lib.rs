//! The rooms of the program `epode`.
//!
//! [`cli`] says what can be typed, [`exit`] what comes back to the shell, [`terminal`] how text looks. [`cert`] makes and judges
//! certificates; it and the demo stand on [`pki`], which makes them in memory. [`account`] holds the options that name an account and
//! its credentials; [`identity`] reads certificates and keys from files, [`prompt`] asks for secrets.
//!
//! It is a library so that tests and the demo can use the rooms without the command line. It promises no stable API.
#![forbid(unsafe_code)]

pub mod account;
pub mod cert;
pub mod cli;
pub mod exit;
pub mod identity;
pub mod pki;
pub mod prompt;
pub mod terminal;

use std::process::ExitCode;

use clap::Parser;

/// Reads the command line, does what it says, and returns the status for the shell (see [`exit::Exit`]).
pub fn run() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
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
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("epode: {failure}");
            failure.exit.into()
        }
    }
}
