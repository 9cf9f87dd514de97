//! `epode send`: logs in, sends one message, waits until the server has it, and says goodbye.

use std::time::Duration;

use epode::config::{Fast, Reconnect};
use epode::{Element, Event, Offline, Stage, Token};
use epode_tokio::Client;

use crate::cli::SendArgs;
use crate::connect::{self, Account, Login, Purpose};
use crate::exit::{Exit, Failure};
use crate::login::Printer;
use crate::terminal::visible;

/// How long to listen for the acknowledgement, or for the message to come back, before the goodbye; the goodbye itself
/// brings what is still on its way.
const LISTEN: Duration = Duration::from_millis(500);

/// The id of the one message, by which one that comes back is known.
const ID: &str = "epode-send-1";

/// Does what the command line says.
///
/// # Errors
/// A file is wrong, there was no login, or the message did not get to the server or came back.
pub fn run(args: &SendArgs) -> Result<Exit, Failure> {
    let identity = args.account.proof.identity()?;
    let jid = match (&args.jid, &identity) {
        (Some(jid), _) => jid.clone(),
        (None, Some(identity)) => identity.account("name your own account with --account JID")?,
        (None, None) => {
            return Err(Failure::usage(
                "whose message is it? Name your own account with --account JID",
            ));
        }
    };
    let account = Account::read(&jid, &args.account, identity, Purpose::Account)?;
    let message = Element::builder("jabber:client", "message")
        .attr("to", args.to.as_str())
        .attr("type", "chat")
        .attr("id", ID)
        .child(Element::builder("jabber:client", "body").text(&args.text))
        .build()
        .map_err(|error| Failure::usage(format!("the text cannot be sent: {error}")))?;
    let printer = Printer::new(args.output);
    let place = args.account.place.name(jid.domain());
    let done = connect::runtime()?.block_on(session(account, message, args, &place, &printer));
    if let Err(failure) = &done
        && failure.exit != Exit::Usage
    {
        printer.failed(failure);
    }
    done
}

async fn session(
    account: Account,
    message: Element,
    args: &SendArgs,
    place: &str,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let own = account.configure(|config| config.reconnect(Reconnect::never()).fast(Fast::Off));
    let mut client = connect::connect(own.builder()?).await?;
    log_in(&mut client, place).await?;
    let token = client
        .send(message)
        .await
        .map_err(|error| Failure::other(error.to_string()))?;
    let mut fate = Fate::default();
    let listening = async {
        while fate.stage.is_none() && fate.returned.is_none() {
            let Some(event) = client.next().await else { break };
            fate.learn(&event, token);
        }
    };
    // No news in time is no failure: the goodbye below waits for the rest.
    let _ = tokio::time::timeout(LISTEN, listening).await;
    client.handle().stop().await;
    while let Some(event) = client.next().await {
        fate.learn(&event, token);
    }
    fate.judge(printer, args.to.as_str())
}

/// Takes events until the login is there.
pub(crate) async fn log_in(client: &mut Client, place: &str) -> Result<(), Failure> {
    loop {
        let event = tokio::select! {
            event = client.next() => event,
            _ = tokio::signal::ctrl_c() => {
                client.stop().await;
                return Err(connect::interrupted());
            }
        };
        match event {
            Some(Event::Offline { reason }) => {
                return Err(connect::failure(&reason, place).unwrap_or_else(connect::interrupted));
            }
            Some(event) if Login::from_event(&event).is_some() => return Ok(()),
            Some(_) => {}
            None => return Err(connect::interrupted()),
        }
    }
}

/// What is known of the message.
#[derive(Debug, Default)]
struct Fate {
    stage: Option<Stage>,
    returned: Option<String>,
    end: Option<Offline>,
}

impl Fate {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "not an enum of this crate: nothing else is about the message"
    )]
    fn learn(&mut self, event: &Event, token: Token) {
        match event {
            Event::Delivery {
                token: of,
                stage: stage @ (Stage::Acked | Stage::Failed),
            } if *of == token => {
                self.stage = Some(*stage);
            }
            Event::Stanza { stanza, .. }
                if stanza.attribute("type") == Some("error") && stanza.attribute("id") == Some(ID) =>
            {
                let error = stanza.child("jabber:client", "error");
                let condition =
                    error.and_then(|error| error.children().next().map(|condition| condition.name().to_owned()));
                self.returned = Some(condition.unwrap_or_else(|| "no reason was given".to_owned()));
            }
            Event::Offline { reason } => self.end = Some(reason.clone()),
            _ => {}
        }
    }

    fn judge(self, printer: &Printer, to: &str) -> Result<Exit, Failure> {
        if let Some(condition) = self.returned {
            return Err(Failure::other(format!(
                "the message to {} came back: {}{}",
                visible(to),
                visible(&condition),
                // RFC 6121 §8.5.1 and §8.5.2.2: the two cases in which a server says so.
                if condition == "service-unavailable" {
                    " (not online, or no such user)"
                } else {
                    ""
                }
            )));
        }
        if self.stage == Some(Stage::Acked) {
            printer.sent(to);
            return Ok(Exit::Fine);
        }
        let why = self
            .end
            .filter(|end| *end != Offline::Stopped)
            .map(|end| end.to_string());
        Err(Failure::other(format!(
            "the message is not known to have arrived: {}",
            why.unwrap_or_else(|| "the server did not acknowledge it".to_owned())
        )))
    }
}
