//! `epode login`: logs in, shows how that went, and prints what arrives until it is interrupted.

use std::time::Instant;

use epode::{Element, Event};
use epode_tokio::Client;
use serde_json::json;

use crate::cli::{LoginArgs, OutputArgs};
use crate::connect::{self, Account, Login};
use crate::exit::{Exit, Failure};
use crate::show;
use crate::terminal::{Terminal, Tone, visible};

/// Does what the command line says.
///
/// # Errors
/// A file is wrong, or there was no login, or the session did not end as it was asked to.
pub fn run(args: &LoginArgs) -> Result<Exit, Failure> {
    let account = Account::read(&args.jid, &args.account)?;
    connect::runtime()?.block_on(session(account, args))
}

async fn session(account: Account, args: &LoginArgs) -> Result<Exit, Failure> {
    let printer = Printer::new(args.output);
    let url = args.account.bosh.as_str();
    let started = Instant::now();
    let mut client = account.connect().await?;
    let mut online = false;
    loop {
        let event = tokio::select! {
            event = client.next() => event,
            _ = tokio::signal::ctrl_c() => return interrupted(client, &printer, online, url).await,
        };
        let Some(event) = event else { return Ok(Exit::Fine) };
        if let Some(login) = Login::from_event(&event) {
            online = true;
            printer.online(&login, started.elapsed().as_millis(), args.account.cert.is_some());
            if args.once {
                return goodbye(client, &printer, url).await;
            }
            announce(&client).await?;
            printer.note("online; Ctrl-C says goodbye");
        } else if let Event::Offline { reason } = &event {
            let failure = connect::failure(reason, url);
            printer.offline(
                &reason.to_string(),
                failure.as_ref().map_or(Exit::Fine, |failure| failure.exit),
            );
            return failure.map_or(Ok(Exit::Fine), Err);
        } else {
            printer.event(&event);
        }
    }
}

/// Without a presence, a server keeps messages to the account for later.
async fn announce(client: &Client) -> Result<(), Failure> {
    let presence = Element::builder("jabber:client", "presence").build();
    let presence = presence.map_err(|error| Failure::other(error.to_string()))?;
    client
        .send(presence)
        .await
        .map(drop)
        .map_err(|error| Failure::other(error.to_string()))
}

async fn goodbye(mut client: Client, printer: &Printer, url: &str) -> Result<Exit, Failure> {
    let reason = tokio::select! {
        reason = client.stop() => reason,
        // A second Ctrl-C: somebody is in a hurry.
        _ = tokio::signal::ctrl_c() => return Ok(Exit::Fine),
    };
    let failure = connect::failure(&reason, url);
    printer.offline(
        &reason.to_string(),
        failure.as_ref().map_or(Exit::Fine, |failure| failure.exit),
    );
    failure.map_or(Ok(Exit::Fine), Err)
}

async fn interrupted(mut client: Client, printer: &Printer, online: bool, url: &str) -> Result<Exit, Failure> {
    if online {
        return goodbye(client, printer, url).await;
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

    pub(crate) fn online(&self, login: &Login, milliseconds: u128, presented: bool) {
        if self.json {
            return self.object(&json!({
                "event": "online",
                "jid": login.jid.as_str(),
                "mechanism": login.mechanism,
                "server_proof": login.server_proof,
                "client_certificate_requested": login.asked,
                "round_trips": login.round_trips,
                "milliseconds": u64::try_from(milliseconds).unwrap_or(u64::MAX),
            }));
        }
        summary(self.terminal, &login.lines(milliseconds, presented));
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
            Event::Warning(warning) if self.json => {
                self.object(&json!({ "event": "warning", "text": warning.to_string() }));
            }
            Event::Warning(warning) => {
                self.terminal.line(
                    self.terminal
                        .paint(Tone::Warning, format!("warning: {}", visible(&warning.to_string()))),
                );
            }
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
