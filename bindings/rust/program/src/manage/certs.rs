//! `epode certs`: the certificates that log in to an account, and that its user manages (XEP-0257).

use std::path::PathBuf;

use clap::{Args, Subcommand};
use epode::Jid;
use epode::certificate::ClientCertificate;
use epode::certificates::{Certificate, Management};
use epode_tokio::{AccountError, Client};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use time::OffsetDateTime;

use super::{OwnArgs, Visit, failed, nameless};
use crate::cert::{self, show::fingerprint};
use crate::exit::{Exit, Failure};
use crate::identity::Contents;
use crate::login::Printer;
use crate::prompt;
use crate::terminal::visible;

/// The subcommands of `certs`.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// List the certificates that log in to the account, and who is logged in with them
    List(ListArgs),
    /// Add a certificate to the account: from then on it logs in, without an administrator
    Add(AddArgs),
    /// Take a certificate from the account; who is logged in with it stays so
    Disable(NamedArgs),
    /// Take a certificate from the account, and end the sessions that are logged in with it: for a device that was stolen
    Revoke(NamedArgs),
}

/// Options of `certs list`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --json there is one object for each certificate, {\"event\":\"certificate\",...}, and one at the end, {\"event\":\"summary\",...}.

Examples:
  epode certs list --account user01@example.org
  epode certs list --cert user01.p12 --json")]
pub struct ListArgs {
    /// Whose.
    #[command(flatten)]
    pub own: OwnArgs,
}

/// Options of `certs add`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE is PEM, DER or PKCS#12, as `epode cert new` writes them; only the certificate is sent, never the key. Log in by password, or with --cert \
by another certificate of the account; the account is the one that FILE names, if nothing else says it. The server has to have XEP-0257.

Examples:
  epode cert new user01@example.org
  epode certs add user01.crt --name \"My laptop\"
  epode login --cert user01.p12
        no password from now on
  epode certs add bot.crt --name bot --login-only
        for a program that must not add or remove certificates
  epode certs add new.crt --cert old.p12
        before the old one expires; then: epode certs disable old --cert new.p12")]
pub struct AddArgs {
    /// The certificate to be added
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What it is to be called among the account's certificates (if not given: the file's name without its ending)
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Who logs in with it may not add or remove certificates
    #[arg(long)]
    pub login_only: bool,
    /// Whose.
    #[command(flatten)]
    pub own: OwnArgs,
}

/// Options of `certs disable` and `certs revoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
`epode certs list` says what the certificates are called.

Examples:
  epode certs disable \"My laptop\" --account user01@example.org
  epode certs revoke \"My phone\" --cert user01.p12")]
pub struct NamedArgs {
    /// What the certificate is called
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Whose.
    #[command(flatten)]
    pub own: OwnArgs,
}

/// Does what was typed after `epode certs`.
///
/// # Errors
/// A file is wrong, there was no login, or the server refused.
pub fn run(command: &CertsCommand) -> Result<Exit, Failure> {
    match command {
        CertsCommand::List(args) => Visit::new(&args.own, nameless)?.make(list),
        CertsCommand::Add(args) => add(args),
        CertsCommand::Disable(args) => take_away(args, false),
        CertsCommand::Revoke(args) => take_away(args, true),
    }
}

async fn list(client: &mut Client, printer: &Printer) -> Result<(), Failure> {
    let certificates = client.certificates().await.map_err(failed)?;
    for certificate in &certificates {
        show(certificate, printer);
    }
    printer.result(
        &match certificates.len() {
            0 => "no certificate that you manage logs in to this account; `epode certs add` adds one".to_owned(),
            1 => "1 certificate".to_owned(),
            count => format!("{count} certificates"),
        },
        &json!({ "event": "summary", "certificates": certificates.len() }),
    );
    Ok(())
}

fn show(certificate: &Certificate, printer: &Printer) {
    let manages = certificate.management == Management::Allowed;
    let contents = ClientCertificate::from_der(&certificate.der).ok();
    let names: Vec<String> = contents
        .iter()
        .flat_map(|contents| contents.xmpp_addresses())
        .filter_map(|address| address.bare())
        .map(|account| account.to_string())
        .collect();
    let until = contents
        .and_then(|contents| i64::try_from(contents.validity().1).ok())
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let sha256 = fingerprint(&certificate.der);
    let list = |words: &[String], none: &str| match words {
        [] => none.to_owned(),
        words => visible(&words.join(", ")),
    };
    let lines = [
        ("names", list(&names, "nobody that can be read")),
        (
            "valid until",
            until.map_or_else(|| "not to be read".to_owned(), cert::date),
        ),
        ("SHA-256", sha256.clone()),
        (
            "in use by",
            list(&certificate.resources, "nobody that the server tells of"),
        ),
    ];
    let mut text = visible(&certificate.name);
    for (label, value) in lines {
        text.push_str(&format!("\n  {label:<14}{value}"));
    }
    if !manages {
        text.push_str("\n  it manages no certificates");
    }
    printer.result(
        &text,
        &json!({
            "event": "certificate",
            "name": certificate.name,
            "accounts": names,
            "valid_until": until.map(cert::timestamp),
            "sha256": sha256,
            "resources": certificate.resources,
            "manages": manages,
        }),
    );
}

fn add(args: &AddArgs) -> Result<Exit, Failure> {
    let contents = Contents::read(&args.file, prompt::passphrase_of)?;
    let file = visible(&args.file.display().to_string());
    let leaf = contents
        .chain
        .into_iter()
        .next()
        .ok_or_else(|| Failure::usage(format!("{file} holds no certificate")))?;
    let stem = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or(stem).unwrap_or_default();
    let named = ClientCertificate::from_der(&leaf).map_err(|error| Failure::usage(format!("{file}: {error}")))?;
    let visit = Visit::new(&args.own, || {
        let account = named.account().map(Jid::from);
        account.map_err(|error| Failure::usage(format!("{file}: {error}; name the account with --account JID")))
    })?;
    let account = visit.jid.to_bare();
    let names = |address: &epode::certificate::XmppAddress| address.bare().as_ref() == Some(&account);
    if !named.xmpp_addresses().iter().any(names) {
        visit.printer.warning(&format!(
            "the certificate does not name {account}: not every server takes it"
        ));
    }
    let management = if args.login_only {
        Management::Forbidden
    } else {
        Management::Allowed
    };
    visit.make(async |client, printer| append(client, printer, &name, &leaf, management).await)
}

async fn append(
    client: &mut Client,
    printer: &Printer,
    name: &str,
    leaf: &CertificateDer<'_>,
    management: Management,
) -> Result<(), Failure> {
    // XEP-0257 §2.1: a name that is taken must be refused. A server that does not would replace a certificate.
    for known in known(client, printer).await? {
        let called = visible(&known.name);
        if known.der == leaf.as_ref() {
            return Err(Failure::other(format!(
                "the account has this certificate already, called {called:?}"
            )));
        }
        if known.name == name {
            return Err(Failure::other(format!(
                "the account has another certificate called {called:?}: choose another name (--name), or disable that one first"
            )));
        }
    }
    client.add_certificate(name, leaf, management).await.map_err(failed)?;
    printer.result(
        &format!(
            "added as {:?}: from now on it logs in, without a password (epode login --cert)",
            visible(name)
        ),
        &json!({ "event": "added", "name": name, "sha256": fingerprint(leaf) }),
    );
    Ok(())
}

fn take_away(args: &NamedArgs, revoke: bool) -> Result<Exit, Failure> {
    let name = args.name.as_str();
    Visit::new(&args.own, nameless)?.make(async |client, printer| {
        // Not every server says so.
        let known = known(client, printer).await?;
        if !known.is_empty() && known.iter().all(|known| known.name != name) {
            let names: Vec<String> = known
                .iter()
                .map(|known| format!("{:?}", visible(&known.name)))
                .collect();
            return Err(Failure::other(format!(
                "the account has no certificate called {:?}; there is {}",
                visible(name),
                names.join(", ")
            )));
        }
        let (done, event, after) = if revoke {
            let done = client.revoke_certificate(name).await;
            (done, "revoked", "it logs in no more, and the server ends its sessions")
        } else {
            let done = client.disable_certificate(name).await;
            (
                done,
                "disabled",
                "it logs in no more; who is logged in with it stays so",
            )
        };
        done.map_err(failed)?;
        printer.result(
            &format!("{event} {:?}: {after}", visible(name)),
            &json!({ "event": event, "name": name }),
        );
        Ok(())
    })
}

/// The certificates that the server knows; none, where its list cannot be used.
async fn known(client: &mut Client, printer: &Printer) -> Result<Vec<Certificate>, Failure> {
    match client.certificates().await {
        Ok(certificates) => Ok(certificates),
        Err(error @ AccountError::List(_)) => {
            printer.warning(&error.to_string());
            Ok(Vec::new())
        }
        Err(error) => Err(failed(error)),
    }
}
