//! `epode certs` and `epode account`: what users do with their own accounts. [`certs`] manages the certificates that log in (XEP-0257),
//! [`own`] the password and the end (XEP-0077); both log in, ask, and say goodbye.

pub mod certs;
pub mod own;

use clap::Args;
use epode::Jid;
use epode::config::{Fast, Reconnect};
use epode_tokio::{AccountError, Client};

use crate::account::AccountArgs;
use crate::cli::{OutputArgs, parse_jid};
use crate::connect::{self, Purpose};
use crate::exit::{Exit, Failure};
use crate::identity::ClientIdentity;
use crate::login::Printer;
use crate::send;

/// Whose account, how to log in to it, and how the result is written.
#[derive(Debug, Args)]
pub struct OwnArgs {
    /// The account (if not given: the one that the certificate names)
    #[arg(long = "account", value_name = "JID", value_parser = parse_jid)]
    pub jid: Option<Jid>,
    /// The server and the credentials.
    #[command(flatten)]
    pub account: AccountArgs,
    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// A login that was read from the command line.
struct Visit<'a> {
    args: &'a OwnArgs,
    jid: Jid,
    account: connect::Account,
    printer: Printer,
}

impl<'a> Visit<'a> {
    /// Reads the files and asks for the secrets; `otherwise` is the account where neither --account nor --cert names one.
    fn new(args: &'a OwnArgs, otherwise: impl FnOnce() -> Result<Jid, Failure>) -> Result<Self, Failure> {
        let identity: Option<ClientIdentity> = args.account.proof.identity()?;
        let jid = match (&args.jid, &identity) {
            (Some(jid), _) => jid.clone(),
            (None, Some(identity)) => identity.account("name the account with --account JID")?,
            (None, None) => otherwise()?,
        };
        let account = connect::Account::read(&jid, &args.account, identity, Purpose::Account)?;
        let account = account.configure(|config| config.reconnect(Reconnect::never()).fast(Fast::Off));
        Ok(Self {
            args,
            jid,
            account,
            printer: Printer::new(args.output),
        })
    }

    /// Logs in, does it, and says goodbye.
    fn make(self, work: impl AsyncFnOnce(&mut Client, &Printer) -> Result<(), Failure>) -> Result<Exit, Failure> {
        let place = self.args.account.place.name(self.jid.domain());
        let (account, printer) = (self.account, self.printer);
        let visit = async {
            let mut client = connect::connect(account.builder()?).await?;
            send::log_in(&mut client, &place).await?;
            let done = tokio::select! {
                done = work(&mut client, &printer) => done,
                _ = tokio::signal::ctrl_c() => Err(Failure::new(
                    Exit::Interrupted,
                    "interrupted; whether the server did it is not known",
                )),
            };
            client.stop().await;
            done
        };
        let done = connect::runtime()?.block_on(visit);
        if let Err(failure) = &done
            && failure.exit != Exit::Usage
        {
            printer.failed(failure);
        }
        done.map(|()| Exit::Fine)
    }
}

/// Which account is meant, where nothing says it.
fn nameless() -> Result<Jid, Failure> {
    Err(Failure::usage("which account? Name it with --account JID"))
}

fn failed(error: AccountError) -> Failure {
    // What is left, the server said, or nobody.
    if let AccountError::Certificate(_) | AccountError::Password(_) = error {
        return Failure::usage(error.to_string());
    }
    Failure::other(error.to_string())
}
