//! `epode login`: logs in, shows how that went, and prints what arrives until it is interrupted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use epode::config::{Fast, Persist, Reconnect};
use epode::error::LoginError;
use epode::{ChannelBindingType, Credentials, Element, Event, Jid, Offline, Output, ServerProof, Slot};
use epode_tokio::{Builder, Client, FileStore, Store, Trace};
use serde_json::json;

use crate::cli::{LoginArgs, OutputArgs};
use crate::connect::{self, Account, Login, Purpose};
use crate::exit::{Exit, Failure};
use crate::record;
use crate::show;
use crate::terminal::{Terminal, Tone, visible};

/// How long a session that is left without a goodbye would like to be kept; the server decides.
const ABSENCE: Duration = Duration::from_secs(24 * 3_600);

/// How long the server may take to answer before it is left.
const ANSWER: Duration = Duration::from_secs(5);

/// Does what the command line says.
///
/// # Errors
/// A file is wrong, or there was no login, or the session did not end as it was asked to.
pub fn run(args: &LoginArgs) -> Result<Exit, Failure> {
    let certificate = args.account.proof.identity()?;
    let jid = match (&args.jid, &certificate) {
        (Some(jid), _) => jid.clone(),
        (None, Some(certificate)) => certificate.account("name it: epode login JID --cert FILE")?,
        (None, None) => {
            return Err(Failure::usage(
                "which account? Name it: epode login JID; a certificate (--cert) that names one account needs no JID",
            ));
        }
    };
    let mut store = args.keep.as_deref().map(open).transpose()?;
    let token_is_kept = match &mut store {
        Some((store, folder)) => !args.no_fast && has_token(store, folder)?,
        None => false,
    };
    let purpose = match (args.anonymous, args.register, token_is_kept) {
        (true, ..) => Purpose::Anonymous,
        (false, true, _) => Purpose::NewAccount,
        (false, false, true) => Purpose::AccountWithToken,
        (false, false, false) => Purpose::Account,
    };
    let mut account = Account::read(&jid, &args.account, certificate, purpose)?;
    if args.once {
        account = account.configure(|config| config.reconnect(Reconnect::never()));
    }
    if args.keep.is_some() {
        account = account.configure(|config| config.persist(Persist::EveryTurn));
    }
    let fast = match (args.no_fast, args.forget_token) {
        (_, true) => Fast::Invalidate,
        (true, false) => Fast::Off,
        // A token that nobody keeps would only be one more that the server knows.
        (false, false) if args.once && args.keep.is_none() => Fast::Off,
        (false, false) => Fast::Use,
    };
    account = account.configure(|config| config.fast(fast));
    let mut builder = account.builder()?;
    if let Some((store, _)) = store {
        builder = builder.store(store);
    }
    if let Some(file) = &args.record {
        builder = builder.record(record::create(file)?);
    }
    let printer = Printer::new(args.output);
    let done = connect::runtime()?.block_on(session(builder, &jid, args, &printer));
    if let Some(file) = &args.record {
        printer.recorded(file);
    }
    done
}

/// The folder of `--keep`.
fn open(folder: &Path) -> Result<(FileStore, &Path), Failure> {
    let store = FileStore::new(folder).map_err(|error| cannot_keep(folder, &error))?;
    Ok((store, folder))
}

/// Whether something of a login token is kept there; whether it is any good, the engine finds out.
fn has_token(store: &mut FileStore, folder: &Path) -> Result<bool, Failure> {
    let token = store.load(Slot::Token).map_err(|error| cannot_keep(folder, &error))?;
    Ok(token.is_some())
}

fn cannot_keep(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{}: it cannot keep a session: {error}", folder.display()))
}

/// After a login by token only: a password, because there is no token that the server takes. `None` where it ended otherwise, or
/// where the user wanted just the token.
fn password_instead(
    reason: &Offline,
    jid: &Jid,
    args: &LoginArgs,
    printer: &Printer,
) -> Result<Option<Credentials>, Failure> {
    let Offline::Login(LoginError::NoToken { condition }) = reason else {
        return Ok(None);
    };
    if args.forget_token {
        return Ok(None);
    }
    if condition.is_some() {
        printer.warning(&reason.to_string());
    }
    let password = args.account.proof.password(&jid.to_bare())?;
    Ok(Some(Credentials::password(connect::secret(&password))))
}

async fn session(builder: Builder, jid: &Jid, args: &LoginArgs, printer: &Printer) -> Result<Exit, Failure> {
    let place = args.account.place.name(jid.domain());
    let started = Instant::now();
    let retry = Retry::default();
    let mut client = connect::connect(retry.watch(builder)).await?;
    for (slot, reason) in client.not_restored() {
        printer.warning(&format!(
            "what was kept ({}) cannot be used: {reason}",
            match slot {
                epode::Slot::Session => "the session",
                epode::Slot::Token => "a login token",
                // Not an enum of this crate.
                epode::Slot::Pins | _ => "what is known of the server",
            }
        ));
    }
    let mut online = false;
    let mut asked = false;
    loop {
        let event = tokio::select! {
            event = client.next() => event,
            _ = tokio::signal::ctrl_c() => return interrupted(client, printer, online, jid, args, &place).await,
        };
        let Some(event) = event else { return Ok(Exit::Fine) };
        if let Some(login) = Login::from_event(&event) {
            let again = std::mem::replace(&mut online, true);
            printer.online(
                &login,
                started.elapsed().as_millis(),
                args.account.proof.cert.is_some(),
                again,
            );
            if args.once {
                return leave(client, printer, jid, args, &place).await;
            }
            // A session that goes on has its presence.
            if !login.resumed {
                announce(&client).await?;
            }
            if !again {
                printer.note(if args.keep.is_some() {
                    "online; Ctrl-C leaves, and the next run goes on with the session"
                } else {
                    "online; Ctrl-C says goodbye"
                });
            }
        } else if let Event::Offline { reason } = &event {
            if !asked && let Some(credentials) = password_instead(reason, jid, args, printer)? {
                asked = true;
                let again = async {
                    client.provide(credentials).await?;
                    client.start().await
                };
                again.await.map_err(|error| Failure::other(error.to_string()))?;
                continue;
            }
            let failure = connect::failure(reason, &place);
            printer.offline(
                &reason.to_string(),
                failure.as_ref().map_or(Exit::Fine, |failure| failure.exit),
            );
            return failure.map_or(Ok(Exit::Fine), Err);
        } else if let Event::Interrupted { reason, resumable, .. } = &event {
            printer.interrupted(reason, retry.after(), *resumable);
        } else {
            printer.event(&event);
        }
    }
}

/// How long the client waits before it connects again: the event has only the time of the engine's own clock.
#[derive(Clone, Default)]
struct Retry(Arc<AtomicU64>);

impl Retry {
    const UNKNOWN: u64 = u64::MAX;

    fn watch(&self, builder: Builder) -> Builder {
        let after = Arc::clone(&self.0);
        builder.trace(move |trace| {
            if let Trace::Output {
                now,
                output: Output::Event(Event::Interrupted { retry_at, .. }),
            } = trace
            {
                let left = retry_at.map(|at| at.as_millis().saturating_sub(now.as_millis()));
                after.store(left.unwrap_or(Self::UNKNOWN), Ordering::Release);
            }
        })
    }

    fn after(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire)).filter(|left| *left != Self::UNKNOWN)
    }
}

/// Without a presence, a server keeps messages to the account for later.
async fn announce(client: &Client) -> Result<(), Failure> {
    let presence = Element::builder("jabber:client", "presence").build();
    let presence = presence.map_err(|error| Failure::other(error.to_string()))?;
    // If the connection is gone already, the next event says so.
    let _ = client.send(presence).await;
    Ok(())
}

/// Waits until the server has answered once more: only then is it certain that it keeps the session (XEP-0198 §3).
async fn hear(client: &mut Client, domain: &str) {
    let ping = Element::builder("jabber:client", "iq")
        .attr("type", "get")
        .attr("to", domain)
        .child(Element::builder("urn:xmpp:ping", "ping"));
    if let Ok(ping) = ping.build() {
        // Without an answer, the next run finds out what became of the session.
        let _ = client.request_within(ping, Some(ANSWER)).await;
    }
}

/// Says goodbye, or, where the session is kept, leaves without a word.
async fn leave(
    mut client: Client,
    printer: &Printer,
    jid: &Jid,
    args: &LoginArgs,
    place: &str,
) -> Result<Exit, Failure> {
    if args.keep.is_some() {
        hear(&mut client, jid.domain()).await;
        client
            .pause(ABSENCE)
            .await
            .map_err(|error| Failure::other(format!("the session is not kept: {error}")))?;
        printer.left();
        return Ok(Exit::Fine);
    }
    let reason = tokio::select! {
        reason = client.stop() => reason,
        // A second Ctrl-C: somebody is in a hurry.
        _ = tokio::signal::ctrl_c() => return Ok(Exit::Fine),
    };
    let failure = connect::failure(&reason, place);
    printer.offline(
        &reason.to_string(),
        failure.as_ref().map_or(Exit::Fine, |failure| failure.exit),
    );
    failure.map_or(Ok(Exit::Fine), Err)
}

async fn interrupted(
    mut client: Client,
    printer: &Printer,
    online: bool,
    jid: &Jid,
    args: &LoginArgs,
    place: &str,
) -> Result<Exit, Failure> {
    if online {
        return leave(client, printer, jid, args, place).await;
    }
    tokio::select! {
        _ = client.stop() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Err(connect::interrupted())
}

/// Text for a person, or one JSON object a line for a program.
pub(crate) struct Printer {
    terminal: Terminal,
    json: bool,
}

impl Printer {
    pub(crate) fn new(output: OutputArgs) -> Self {
        Self {
            terminal: Terminal::stdout(output.plain || output.json),
            json: output.json,
        }
    }

    pub(crate) fn online(&self, login: &Login, milliseconds: u128, presented: bool, again: bool) {
        if self.json {
            return self.object(&json!({
                "event": "online",
                "jid": login.jid.as_str(),
                // A session of BOSH that goes on needs no login.
                "mechanism": Some(&login.mechanism).filter(|mechanism| !mechanism.is_empty()),
                "profile": login.profile(),
                "channel_binding": login.channel_binding.map(ChannelBindingType::name),
                "server_proof": login.server_proof == ServerProof::Verified,
                "client_certificate_requested": login.asked,
                "round_trips": login.round_trips,
                "transport": login.transport.name(),
                "resumed": login.resumed,
                "milliseconds": u64::try_from(milliseconds).unwrap_or(u64::MAX),
            }));
        }
        match (again, login.resumed) {
            (true, true) => self.good("online again: the session goes on, and nothing is lost"),
            (true, false) => {
                self.good("online again, with a new session");
                self.note(&format!("the address is {}", visible(login.jid.as_str())));
            }
            (false, true) => {
                summary(self.terminal, &login.lines(milliseconds, presented));
                self.good("the earlier session goes on, and nothing is lost");
            }
            (false, false) => summary(self.terminal, &login.lines(milliseconds, presented)),
        }
    }

    /// The connection is gone, and will be made again.
    pub(crate) fn interrupted(&self, reason: &Offline, retry_in: Option<u64>, resumable: bool) {
        if self.json {
            return self.object(&json!({
                "event": "interrupted",
                "reason": reason.to_string(),
                "retry_in_milliseconds": retry_in,
                "resumable": resumable,
            }));
        }
        let when = match retry_in {
            Some(0) => "connecting again now".to_owned(),
            Some(left) => format!("connecting again in {}.{} s", left / 1_000, left % 1_000 / 100),
            None => "connecting again when there is a network".to_owned(),
        };
        let session = if resumable { "; the session is kept" } else { "" };
        let text = format!("interrupted: {}; {when}{session}", visible(&reason.to_string()));
        self.terminal.line(self.terminal.paint(Tone::Warning, text));
    }

    /// Left without a goodbye.
    pub(crate) fn left(&self) {
        if self.json {
            self.object(&json!({ "event": "left", "status": Exit::Fine.code() }));
        }
        self.note("left without a goodbye: the session is kept");
    }

    /// Where the log is. On stderr: stdout has the session.
    pub(crate) fn recorded(&self, file: &std::path::Path) {
        if !self.json {
            eprintln!("epode: the log is in {}: {}", file.display(), record::HINT);
        }
    }

    pub(crate) fn warning(&self, text: &str) {
        if self.json {
            return self.object(&json!({ "event": "warning", "text": text }));
        }
        let text = format!("warning: {}", visible(text));
        self.terminal.line(self.terminal.paint(Tone::Warning, text));
    }

    fn good(&self, text: &str) {
        self.terminal.line(self.terminal.paint(Tone::Good, text));
    }

    pub(crate) fn offline(&self, reason: &str, exit: Exit) {
        if self.json {
            self.object(&json!({ "event": "offline", "reason": reason, "status": exit.code() }));
        } else if exit == Exit::Fine {
            self.note(reason);
        }
    }

    /// For a program only: people read stderr.
    pub(crate) fn failed(&self, failure: &Failure) {
        if self.json {
            self.object(&json!({ "event": "failed", "reason": failure.message, "status": failure.exit.code() }));
        }
    }

    pub(crate) fn sent(&self, to: &str) {
        if self.json {
            self.object(&json!({ "event": "sent", "to": to }));
        } else {
            self.terminal
                .line(self.terminal.paint(Tone::Good, format!("sent to {}", visible(to))));
        }
    }

    /// What was asked for: text for a person, or an object for a program.
    pub(crate) fn result(&self, text: &str, object: &serde_json::Value) {
        if self.json {
            self.object(object);
        } else {
            self.terminal.line(text);
        }
    }

    /// For a person only.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            self.terminal.line(self.terminal.paint(Tone::Quiet, text));
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not an enum of this crate: what becomes of the program's own presence is no news"
    )]
    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::Stanza { stanza, .. } => self.stanza(stanza),
            Event::Warning(warning) => self.warning(&warning.to_string()),
            _ => {}
        }
    }

    fn stanza(&self, stanza: &Element) {
        let from = stanza.attribute("from").unwrap_or_default();
        if self.json {
            return self.object(&json!({
                "event": stanza.name(),
                "from": from,
                "type": stanza.attribute("type"),
                "id": stanza.attribute("id"),
                "body": show::message_text(stanza),
                "xml": stanza.to_xml(),
            }));
        }
        match show::message_text(stanza) {
            Some(text) if stanza.attribute("type") != Some("error") => {
                let who = self.terminal.paint(Tone::Received, visible(from));
                self.terminal.line(format!("{who}: {}", visible(&text)));
            }
            Some(_) | None => self
                .terminal
                .line(self.terminal.paint(Tone::Received, show::pretty(stanza.root(), 0))),
        }
    }

    fn object(&self, value: &serde_json::Value) {
        self.terminal.line(value);
    }
}

/// The table at the end of a login.
pub(crate) fn summary(terminal: Terminal, lines: &[(&'static str, String)]) {
    terminal.line(terminal.paint(Tone::Good, "logged in"));
    for (label, value) in lines {
        terminal.line(format!("  {label:<14}{value}"));
    }
}
