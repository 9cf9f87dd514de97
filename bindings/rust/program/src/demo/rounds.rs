//! The second half of the demo: a login over each transport, and a conversation that is cut again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use epode::{Element, Event, Offline, Output, Stage as Delivered};
use epode_devserver::{Cut, Server, Transport};
use epode_tokio::{Client, Trace};

use super::{Cast, Over, Proof, Stage, online};
use crate::connect;
use crate::exit::Failure;
use crate::terminal::Tone;

/// Cuts of each conversation.
const CUTS: usize = 5;

/// Messages that are on their way when the connection is cut.
const BATCH: usize = 10;

/// Begins the id of each message of a conversation.
const ID: &str = "talk-";

/// A login over each way into the server. What the summary says of it is returned.
pub(super) async fn every_transport(
    cast: &Cast,
    proof: Proof,
    server: &Server,
    stage: &Stage,
) -> Result<String, Failure> {
    stage.chapter("user01 logs in over each transport");
    let mut summary = Vec::new();
    for over in Over::ALL {
        let started = Instant::now();
        let mut client = cast.client("user01", proof, server, over, |_| {}).await?;
        let login = online(&mut client, server).await?;
        stage.say(format!(
            "{:<16} {}, {} round trips, {} ms",
            over.name(),
            login.mechanism,
            login.round_trips,
            started.elapsed().as_millis()
        ));
        summary.push(format!("{} {}", over.name().replace("TCP, ", ""), login.round_trips));
        goodbye(client, server).await?;
    }
    Ok(format!("round trips of a login: {}", summary.join(", ")))
}

/// The conversations. What the summary says of them is returned.
pub(super) async fn cut_under_a_conversation(
    cast: &Cast,
    proof: Proof,
    server: &Server,
    stage: &Stage,
) -> Result<String, Failure> {
    stage.chapter("user01 writes to user02, and the connection is cut under the conversation");
    let mut cuts = 0;
    let mut messages = 0;
    for (over, transport, other) in [
        (Over::DirectTls, Transport::DirectTls, Over::WebSocket),
        (Over::WebSocket, Transport::WebSocket, Over::DirectTls),
        (Over::Bosh, Transport::Bosh, Over::DirectTls),
    ] {
        let again = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&again);
        let writer = cast
            .client("user01", proof, server, over, move |trace| count(&counter, &trace))
            .await?;
        let reader = cast.client("user02", proof, server, other, |_| {}).await?;
        let mut talk = Talk::begin(writer, reader, server).await?;
        for _ in 0..CUTS {
            for _ in 0..BATCH {
                talk.write().await?;
            }
            talk.cuts += usize::from(server.control().cut(transport, Cut::Reset) > 0);
            talk.settle(server).await?;
        }
        talk.end(server).await?;
        let lost = talk.sent - talk.received;
        let resent = again.load(Ordering::Acquire).saturating_sub(talk.sent);
        stage.say(stage.terminal.paint(
            Tone::Good,
            format!(
                "{:<16} {} sent, {} cuts, {} received in order, {} acknowledged; {lost} lost, 0 twice; {}{}",
                over.name(),
                talk.sent,
                talk.cuts,
                talk.received,
                talk.acknowledged,
                match talk.resumed {
                    0 => "the session lived on (XEP-0124)".to_owned(),
                    count => format!("resumed {count} times (XEP-0198)"),
                },
                format_args!(", {resent} sent again"),
            ),
        ));
        cuts += talk.cuts;
        messages += talk.sent;
    }
    Ok(format!(
        "{messages} messages over {cuts} cut connections: none lost, none twice, all in order"
    ))
}

/// How often a message of the conversation was handed to the network.
fn count(counter: &AtomicUsize, trace: &Trace<'_>) {
    let Trace::Output { output, .. } = trace else { return };
    let begin = format!("id='{ID}");
    let times = |bytes: &[u8]| {
        bytes
            .windows(begin.len())
            .filter(|part| *part == begin.as_bytes())
            .count()
    };
    let found = if let Output::Write { bytes, .. } | Output::Post { body: bytes, .. } = output {
        times(bytes)
    } else if let Output::Frame { text, .. } = output {
        times(text.as_bytes())
    } else {
        return;
    };
    counter.fetch_add(found, Ordering::AcqRel);
}

/// A conversation of two clients, and what is known of its messages.
struct Talk {
    writer: Client,
    reader: Client,
    to: String,
    sent: usize,
    received: usize,
    acknowledged: usize,
    cuts: usize,
    resumed: usize,
}

impl Talk {
    async fn begin(mut writer: Client, mut reader: Client, server: &Server) -> Result<Self, Failure> {
        online(&mut writer, server).await?;
        let to = online(&mut reader, server).await?.jid.as_str().to_owned();
        Ok(Self {
            writer,
            reader,
            to,
            sent: 0,
            received: 0,
            acknowledged: 0,
            cuts: 0,
            resumed: 0,
        })
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let message = Element::builder("jabber:client", "message")
            .attr("to", self.to.as_str())
            .attr("type", "chat")
            .attr("id", &format!("{ID}{}", self.sent))
            .child(Element::builder("jabber:client", "body").text(&format!("message {}", self.sent)))
            .build()
            .map_err(|error| Failure::other(error.to_string()))?;
        self.writer
            .send(message)
            .await
            .map_err(|error| Failure::other(error.to_string()))?;
        self.sent += 1;
        Ok(())
    }

    /// Until everything that was written has arrived.
    async fn settle(&mut self, server: &Server) -> Result<(), Failure> {
        while self.received < self.sent {
            tokio::select! {
                event = self.writer.next() => self.at_the_writer(event, server)?,
                event = self.reader.next() => self.at_the_reader(event, server)?,
            }
        }
        Ok(())
    }

    /// Says goodbye; on BOSH the last messages are acknowledged only then.
    async fn end(&mut self, server: &Server) -> Result<(), Failure> {
        self.writer.handle().stop().await;
        while let Some(event) = self.writer.next().await {
            if event
                != (Event::Offline {
                    reason: Offline::Stopped,
                })
            {
                self.at_the_writer(Some(event), server)?;
            }
        }
        if self.acknowledged != self.sent {
            let (sent, known) = (self.sent, self.acknowledged);
            return Err(Failure::other(format!(
                "{sent} messages were sent, and {known} acknowledged"
            )));
        }
        ended(&self.reader.stop().await, server)
    }

    fn at_the_writer(&mut self, event: Option<Event>, server: &Server) -> Result<(), Failure> {
        let event = event.ok_or_else(connect::interrupted)?;
        if let Event::Delivery { stage, .. } = event {
            match stage {
                Delivered::Acked => self.acknowledged += 1,
                Delivered::Failed => return Err(Failure::other("a message is not known to have arrived")),
                Delivered::Queued | Delivered::Sent => {}
            }
        } else if let Event::Online { resumed, .. } = event {
            if !resumed {
                return Err(Failure::other("the server did not resume the session"));
            }
            self.resumed += 1;
        } else if let Event::Offline { reason } = event {
            return Err(connect::failure(&reason, &server.bosh_url()).unwrap_or_else(connect::interrupted));
        }
        Ok(())
    }

    fn at_the_reader(&mut self, event: Option<Event>, server: &Server) -> Result<(), Failure> {
        let event = event.ok_or_else(connect::interrupted)?;
        if let Event::Stanza { stanza, .. } = event {
            let Some(number) = stanza.attribute("id").and_then(|id| id.strip_prefix(ID)) else {
                return Ok(());
            };
            // In order, each once: anything else is not the next number.
            if number != self.received.to_string() {
                let expected = self.received;
                return Err(Failure::other(format!(
                    "message {number} arrived where {expected} was due"
                )));
            }
            self.received += 1;
        } else if let Event::Offline { reason } = event {
            return Err(connect::failure(&reason, &server.bosh_url()).unwrap_or_else(connect::interrupted));
        }
        Ok(())
    }
}

async fn goodbye(mut client: Client, server: &Server) -> Result<(), Failure> {
    ended(&client.stop().await, server)
}

fn ended(end: &Offline, server: &Server) -> Result<(), Failure> {
    connect::failure(end, &server.bosh_url()).map_or(Ok(()), Err)
}
