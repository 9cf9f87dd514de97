//! What can be typed: every subcommand, its options and its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use epode::jid::{BareJid, Jid};

use crate::account::{AccountArgs, PlaceArgs};
use crate::exit;
use crate::manage::certs::CertsCommand;
use crate::manage::own::OwnCommand;

/// An XMPP client that logs in with a certificate instead of a password.
#[derive(Debug, Parser)]
#[command(name = "epode", version, propagate_version = true, arg_required_else_help = true, after_help = exit::HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See a login happen on this machine: no server, no network and no set-up are needed
    Demo(DemoArgs),
    /// Log in to a server, show how it went, and print what arrives until Ctrl-C
    Login(LoginArgs),
    /// Log in, send one message and say goodbye
    Send(SendArgs),
    /// Find every way to a server, try each without logging in, and show what it offers
    Probe(ProbeArgs),
    /// Play the log of a login again without a network, and compare what comes out, byte for byte
    Replay(ReplayArgs),
    /// Make certificates for passwordless login, and see what is wrong with one
    Cert {
        /// Which.
        #[command(subcommand)]
        command: CertCommand,
    },
    /// Manage the certificates that log in to your account: how a new one is enrolled without an administrator (XEP-0257)
    Certs {
        /// Which.
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Change your account's password, or remove the account (XEP-0077)
    Account {
        /// Which.
        #[command(subcommand)]
        command: OwnCommand,
    },
}

/// The subcommands of `cert`.
#[derive(Debug, Subcommand)]
pub enum CertCommand {
    /// Make a client certificate that names an account
    New(CertNewArgs),
    /// Make a certificate authority that signs client certificates
    Ca(CertCaArgs),
    /// Show what a certificate says, and what is wrong with it
    Show(CertShowArgs),
}

/// Options of `cert new`.
#[derive(Debug, Args)]
#[command(after_help = "\
It writes NAME.crt (the certificate), NAME.key (its private key, unencrypted, for
your eyes only) and NAME.p12 (both, locked by a pass phrase, for browsers, phones and
`epode login --cert`), and says how to make a server trust them. The pass phrase comes
from a prompt, or from the environment variable EPODE_CERT_PASSPHRASE.

Examples:
  epode cert new user01@example.org
        signs itself: the server must be given this certificate
  epode cert ca
  epode cert new user01@example.org --ca ca.crt --ca-key ca.key
        signed by an authority of your own: the server is given the authority once
  epode cert new user01@example.org --legacy --days 365 --out certs")]
pub struct CertNewArgs {
    /// The account, such as user01@example.org
    #[arg(value_name = "JID", value_parser = parse_account)]
    pub jid: BareJid,
    /// The certificate of the authority that signs (PEM); without it, the certificate signs itself
    #[arg(long, value_name = "FILE", requires = "ca_key")]
    pub ca: Option<PathBuf>,
    /// The private key of the authority (PEM)
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub ca_key: Option<PathBuf>,
    /// The folder to write to; it is made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// The name of the files (if not given: the part of the address before the '@')
    #[arg(long, value_name = "NAME", value_parser = parse_file_name)]
    pub name: Option<String>,
    /// How long it is valid; never longer than its authority
    #[arg(long, value_name = "N", default_value_t = 730, value_parser = parse_days)]
    pub days: u32,
    /// Lock the PKCS#12 file as old devices want it (3DES and SHA-1); weaker, so choose a long pass phrase
    #[arg(long)]
    pub legacy: bool,
    /// Replace files that are already there
    #[arg(long)]
    pub force: bool,
}

/// Options of `cert ca`.
#[derive(Debug, Args)]
#[command(after_help = "\
It writes NAME.crt, which servers are given, and NAME.key, which must stay secret:
whoever has it can make a certificate for any account.

Example:
  epode cert ca --title \"Example clients\" --out certs")]
pub struct CertCaArgs {
    /// What the authority calls itself
    #[arg(long, value_name = "TEXT", default_value = "epode client certificates", value_parser = parse_title)]
    pub title: String,
    /// The folder to write to; it is made if it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// The name of the files
    #[arg(long, value_name = "NAME", default_value = "ca", value_parser = parse_file_name)]
    pub name: String,
    /// How long it is valid
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = parse_days)]
    pub days: u32,
    /// Replace files that are already there
    #[arg(long)]
    pub force: bool,
}

/// Options of `cert show`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE is PEM, DER or PKCS#12; the pass phrase of PKCS#12 comes from a prompt, or from the
environment variable EPODE_CERT_PASSPHRASE. The exit status is 0 if nothing is wrong and
1 if something is.

Examples:
  epode cert show user01.p12
  epode cert show user01.crt --key user01.key
  epode cert show user01.crt --json")]
pub struct CertShowArgs {
    /// The certificate
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Also say whether this private key (PEM) belongs to it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
It makes a certificate authority and certificates in memory, starts a small server on free loopback ports, and shows two clients log in \
and talk, with every message that travels. Then it logs in over each transport (TCP with STARTTLS and with direct TLS, WebSocket, BOSH), cuts \
the connection under a conversation again and again, and counts: nothing may be lost, doubled or out of order (XEP-0198). Session ids and \
what proves a password are not shown. The exit status is 0 only if all of it happened.")]
pub struct DemoArgs {
    /// Log in with a password (SCRAM) instead of a certificate
    #[arg(long, conflicts_with = "both")]
    pub password: bool,
    /// Show a certificate and a password together: two factors
    #[arg(long)]
    pub both: bool,
    /// No colours
    #[arg(long)]
    pub plain: bool,
}

/// Options of `login`.
#[derive(Debug, Args)]
#[command(after_help = "\
With only a JID, DNS (SRV records) and the server's host-meta say where the server is. With --cert it logs in by the certificate alone \
(EXTERNAL), with --two-factors by both, and without --cert by a password (SCRAM, bound to the TLS connection where the server can). Secrets \
come from a prompt, or from EPODE_PASSWORD and EPODE_CERT_PASSPHRASE, never from an argument. Without --ca the authorities of this system are \
trusted. A certificate that names one account needs no JID beside it.

It tells by which mechanism it logged in, by which profile of SASL, what the login is bound to, whether the server has proved itself too, and \
how many round trips it took; with --json in the object {\"event\":\"online\",...}, as mechanism, profile, channel_binding, server_proof and \
round_trips.

When the connection breaks, it says so, connects again by itself, and resumes the session where the server can (XEP-0198).

With --keep, a server that has login tokens (XEP-0484) gives one, and the next run needs no password: it asks for it only if the server does \
not take the token any more. The files are for your eyes only (mode 0600).

Mechanisms, the best first: EXTERNAL; HT-SHA-256-EXPR, -UNIQ, -ENDP, -NONE (a login token); SCRAM-SHA-512-PLUS, -384-PLUS, -256-PLUS, -1-PLUS \
(bound to the TLS connection); SCRAM-SHA-512, -384, -256, -1; OAUTHBEARER; X-OAUTH2; DIGEST-MD5; PLAIN; ANONYMOUS.

Examples:
  epode login --cert user01.p12
  epode login user01@example.org --min-mechanism SCRAM-SHA-1-PLUS
  epode login user01@example.org --host xmpp.example.org --port 5223 --direct-tls --cert user01.p12
  epode login user01@example.org --ws wss://example.org:7443/ws --cert user01.p12 --ca ca.crt
  epode login user01@example.org --bosh https://example.org:5281/http-bind --once --json
  epode login user01@example.org --cert user01.p12 --keep ~/.local/state/epode
        stays logged in between runs: Ctrl-C leaves without a goodbye, and the next
        run goes on with the session if the server still has it
  epode login user01@example.org --token-env ACCESS_TOKEN
        an OAuth access token, from the environment
  epode login user02@example.org --register
        makes the account first, where the server lets everybody do that
  epode login example.org --anonymous
  epode login user01@example.org --once --record login.jsonl
        keeps a log for `epode replay`")]
pub struct LoginArgs {
    /// The account, such as user01@example.org, or with a resource: user01@example.org/phone (if not given: the one that the
    /// certificate names)
    #[arg(value_name = "JID", value_parser = parse_jid)]
    pub jid: Option<Jid>,
    /// The server and the credentials.
    #[command(flatten)]
    pub account: AccountArgs,
    /// Say goodbye at once after the login (with --keep: leave without a goodbye)
    #[arg(long)]
    pub once: bool,
    /// Stay logged in: keep the session in this folder, and go on with what is kept there; one folder for each account
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Log in to no account (ANONYMOUS): the server makes one up for this session; JID is the server's domain
    #[arg(long, conflicts_with_all = ["cert", "token_env", "allow_plain", "register", "keep"])]
    pub anonymous: bool,
    /// Make the account first (XEP-0077); its password is asked for twice, or comes from EPODE_PASSWORD
    #[arg(long, conflicts_with_all = ["cert", "token_env"])]
    pub register: bool,
    /// Neither ask for a login token (XEP-0484) nor use one
    #[arg(long)]
    pub no_fast: bool,
    /// Log in by the kept login token a last time, and have the server forget it (XEP-0484)
    #[arg(long, requires = "keep", conflicts_with_all = ["no_fast", "register"])]
    pub forget_token: bool,
    /// Keep a log of everything that travels, with placeholders for passwords, proofs and session ids, for `epode replay`
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    pub record: Option<PathBuf>,
    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `send`.
#[derive(Debug, Args)]
#[command(after_help = "\
The account is the one that the certificate names; --account says it where there is no certificate, or where that names several. The exit \
status is 0 if the server has taken the message and did not send it back. With --json, a failure is an object too ({\"event\":\"failed\",...}); \
a wrong command line, status 2, is told on stderr only. With none of --bosh, --ws and --host, DNS and the server's host-meta say where \
the server is.

Examples:
  epode send user02@example.org \"See you at noon\" --cert user01.p12
  epode send user02@example.org \"See you at noon\" --bosh https://example.org:7443/http-bind --cert user01.p12
  epode send user02@example.org \"See you at noon\" --account user01@example.org --host xmpp.example.org")]
pub struct SendArgs {
    /// To whom
    #[arg(value_name = "JID", value_parser = parse_jid)]
    pub to: Jid,
    /// What to say
    #[arg(value_name = "TEXT", value_parser = parse_text)]
    pub text: String,
    /// Your own account (if not given: the address in the certificate)
    #[arg(long = "account", value_name = "JID", value_parser = parse_jid)]
    pub jid: Option<Jid>,
    /// The server and the credentials.
    #[command(flatten)]
    pub account: AccountArgs,
    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `probe`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
It asks DNS (SRV records of _xmpps-client and _xmpp-client) and the server's host-meta (XEP-0156) for the ways to the server, in the order in \
which a client would take them. Where neither names any, it tries the ports that servers usually have, and marks them as guesses. On each it \
opens a stream (or a BOSH session), reads what is offered before a login, and says goodbye. It never sends credentials. The certificate is \
checked as at a login: by the authorities of this system, or those of --ca; without a valid one, nothing further is asked.

The exit status is 0 if at least one endpoint works: a client could log in there. Otherwise 4 if TLS was in the way anywhere, else 6 if a \
server broke the protocol, else 3.

With --json there is one object for each endpoint, {\"event\":\"endpoint\",...}, and one at the end, {\"event\":\"summary\",...}.

Examples:
  epode probe example.org
  epode probe example.org --json
  epode probe example.org --host xmpp.example.org --port 5223 --direct-tls
  epode probe example.org --resolve example.org=192.0.2.7
        a new server, before DNS knows it")]
pub struct ProbeArgs {
    /// The domain: the part of an account behind the '@'
    #[arg(value_name = "DOMAIN", value_parser = parse_domain)]
    pub domain: Jid,
    /// Only this endpoint.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Trust servers whose certificate these authorities signed (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// How long one endpoint, or the search, may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=300))]
    pub timeout: u16,
    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
FILE is what `epode login --record FILE` wrote. Its inputs are played into a new client, with the times and the seed of the log, and each \
output has to be the same, byte for byte.

The log has placeholders where secrets were. EPODE_PASSWORD gives the password again: what follows from it is then computed, on both sides of \
the login, and checked. (A wrong one goes unnoticed: the log has nothing by which passwords could be tried.) Without the variable, those spans \
are left out of the comparison. Session ids are always left out. It says which.

The exit status is 0 if everything is the same, and 1 if something differs; then the first difference is shown.

Examples:
  epode replay login.jsonl
  EPODE_PASSWORD=... epode replay login.jsonl --json")]
pub struct ReplayArgs {
    /// The log
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How the result is written.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How the result is written.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputArgs {
    /// One JSON object a line instead of text
    #[arg(long)]
    pub json: bool,
    /// No colours
    #[arg(long)]
    pub plain: bool,
}

/// An address as clap wants it: the error is the sentence that the user sees.
///
/// # Errors
/// What is wrong with the address.
pub fn parse_jid(text: &str) -> Result<Jid, String> {
    Jid::parse(text).map_err(|error| error.to_string())
}

/// The address of an account: with a part before the `@`, without a resource.
pub(crate) fn parse_account(text: &str) -> Result<BareJid, String> {
    let jid = parse_jid(text)?;
    if let Some(resource) = jid.resource() {
        return Err(format!(
            "a certificate names an account, not one of its devices: leave out '/{}'",
            crate::terminal::visible(resource)
        ));
    }
    if jid.local().is_none() {
        return Err("this is the address of a server; an account looks like user01@example.org".into());
    }
    Ok(jid.to_bare())
}

/// A domain: no account, and no device.
fn parse_domain(text: &str) -> Result<Jid, String> {
    let jid = parse_jid(text)?;
    if jid.local().is_some() || jid.resource().is_some() {
        return Err(format!(
            "it must be a domain, the part of an account behind the '@': {}",
            crate::terminal::visible(jid.domain())
        ));
    }
    Ok(jid)
}

fn parse_file_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with(['.', '-']) || text.contains(['/', '\\', '\0']) {
        return Err("it must be the name of a file without its ending, not a path; use --out for the folder".into());
    }
    Ok(text.into())
}

fn parse_days(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(days @ 1..=36_500) => Ok(days),
        Ok(_) | Err(_) => Err("it must be a number of days from 1 to 36500".into()),
    }
}

fn parse_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("there is nothing to say: the text is empty".into());
    }
    Ok(text.into())
}

fn parse_title(text: &str) -> Result<String, String> {
    // RFC 5280 Appendix A.1: ub-common-name.
    if text.is_empty() || text.chars().count() > 64 {
        return Err("it must have 1 to 64 characters".into());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_contradiction() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn login_takes_the_documented_options() {
        let line = "epode login user01@example.org/phone --bosh https://h:7443/http-bind --cert a.p12 --ca ca.crt --once --json --plain";
        let Command::Login(login) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not login")
        };
        assert_eq!(login.jid.unwrap().as_str(), "user01@example.org/phone");
        assert!(login.once && login.output.json && login.output.plain);
        assert!(Cli::try_parse_from(["epode", "login", "user01@example.org", "--bosh", "ftp://h/"]).is_err());
        assert!(
            Cli::try_parse_from([
                "epode",
                "login",
                "user01@example.org",
                "--bosh",
                "https://h/",
                "--key",
                "a"
            ])
            .is_err()
        );
        assert!(Cli::try_parse_from(["epode", "demo", "--password", "--both"]).is_err());
        for wrong in [
            "login user01@example.org --bosh https://h/ --ws wss://h/",
            "login user01@example.org --ws wss://h/ --host h",
            "login user01@example.org --port 5222",
            "login user01@example.org --direct-tls",
            "login user01@example.org --host h --port 0",
            "login user01@example.org --keep d --record f",
            "login user01@example.org --mechanism SCRAM",
            "login user01@example.org --mechanism PLAIN --min-mechanism PLAIN",
            "login user01@example.org --token-env T --cert a.p12",
            "login example.org --anonymous --cert a.p12",
            "login user01@example.org --register --token-env T",
            "login user01@example.org --forget-token",
            "login user01@example.org --keep d --forget-token --no-fast",
            "probe user01@example.org",
            "certs",
            "certs add",
            "certs disable",
            "certs add a.crt --password x",
            "account remove --account user01@example.org",
            "account password user01@example.org",
            "probe example.org --timeout 0",
            "probe example.org --cert a.p12",
            "replay",
        ] {
            let line = ["epode"].into_iter().chain(wrong.split(' '));
            assert!(Cli::try_parse_from(line).is_err(), "{wrong}");
        }
        for right in [
            "login user01@example.org",
            "login user01@example.org --host h --port 5223 --direct-tls --resolve h=192.0.2.1 --dns 192.0.2.53",
            "login user01@example.org --ws wss://h/ws --keep d",
            "login --cert a.p12",
            "login user01@example.org --mechanism scram-sha-256-plus",
            "login user01@example.org --keep d --forget-token",
            "login user01@example.org --register --no-fast",
            "login example.org --anonymous",
            "probe example.org --host h --json",
            "replay login.jsonl --json",
            "certs list --account user01@example.org --json",
            "certs add a.crt --name phone --login-only --cert b.p12",
            "certs revoke phone --cert b.p12 --host h",
            "account password --account user01@example.org",
            "account remove --account user01@example.org --confirm user01@example.org",
        ] {
            let line = ["epode"].into_iter().chain(right.split(' '));
            assert!(Cli::try_parse_from(line).is_ok(), "{right}");
        }
        assert!(Cli::try_parse_from(["epode", "send", "user02@example.org", "hello", "--bosh", "https://h/"]).is_ok());
    }

    #[test]
    fn an_account_has_a_name_and_no_device() {
        assert_eq!(
            parse_account("User01@Example.org").unwrap().as_str(),
            "user01@example.org"
        );
        assert!(
            parse_account("user01@example.org/phone")
                .unwrap_err()
                .contains("leave out '/phone'")
        );
        assert!(parse_account("example.org").unwrap_err().contains("server"));
    }
}
