//! `epode account`: another password, and the end of the account (XEP-0077).

use clap::{Args, Subcommand};
use epode::jid::BareJid;
use serde_json::json;

use super::{OwnArgs, Visit, failed, nameless};
use crate::cli::parse_account;
use crate::connect;
use crate::exit::{Exit, Failure};
use crate::prompt;

/// The subcommands of `account`.
#[derive(Debug, Subcommand)]
pub enum OwnCommand {
    /// Change the account's password
    Password(PasswordArgs),
    /// Remove the account from the server, with all that is kept there
    Remove(RemoveArgs),
}

/// Options of `account password`.
#[derive(Debug, Args)]
#[command(after_help = "\
It asks for the old password, to log in, and twice for the new one; without a terminal they come from EPODE_PASSWORD and EPODE_NEW_PASSWORD. \
Most servers want a login by password for this, not one by certificate (XEP-0257).

Example:
  epode account password --account user01@example.org")]
pub struct PasswordArgs {
    /// Whose.
    #[command(flatten)]
    pub own: OwnArgs,
}

/// Options of `account remove`.
#[derive(Debug, Args)]
#[command(after_help = "\
There is no way back: contacts, messages that wait, and whatever else the server keeps for the account are gone.

Example:
  epode account remove --confirm user01@example.org")]
pub struct RemoveArgs {
    /// The account that is removed, for ever
    #[arg(long, value_name = "JID", value_parser = parse_account)]
    pub confirm: BareJid,
    /// Whose.
    #[command(flatten)]
    pub own: OwnArgs,
}

/// Does what was typed after `epode account`.
///
/// # Errors
/// There was no login, or the server refused.
pub fn run(command: &OwnCommand) -> Result<Exit, Failure> {
    match command {
        OwnCommand::Password(args) => password(args),
        OwnCommand::Remove(args) => remove(args),
    }
}

fn password(args: &PasswordArgs) -> Result<Exit, Failure> {
    let visit = Visit::new(&args.own, nameless)?;
    let account = visit.jid.to_bare();
    let new = connect::secret(&prompt::changed_password_of(account.as_str())?);
    visit.make(async |client, printer| {
        client.change_password(new).await.map_err(failed)?;
        printer.result(
            &format!("the password of {account} is changed; devices that log in with the old one have to be told"),
            &json!({ "event": "password_changed", "account": account.as_str() }),
        );
        Ok(())
    })
}

fn remove(args: &RemoveArgs) -> Result<Exit, Failure> {
    let differs = |account: &BareJid| {
        Failure::usage(format!(
            "--confirm names {}, and the account is {account}: nothing was removed",
            args.confirm
        ))
    };
    // Before anybody is asked for a password; a certificate names its account only when it is read.
    if let Some(account) = args.own.jid.as_ref().map(|jid| jid.to_bare())
        && account != args.confirm
    {
        return Err(differs(&account));
    }
    let visit = Visit::new(&args.own, || Ok(args.confirm.clone().into()))?;
    let account = visit.jid.to_bare();
    if account != args.confirm {
        return Err(differs(&account));
    }
    visit.make(async |client, printer| {
        client.remove_account().await.map_err(failed)?;
        printer.result(
            &format!("{account} is removed"),
            &json!({ "event": "removed", "account": account.as_str() }),
        );
        Ok(())
    })
}
