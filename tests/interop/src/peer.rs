//! A client in a conversation: it keeps what it was told, and waits for what a test wants to see.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use epode::{Event, Jid, Offline, Stage, Token, TransportKind, Warning, stanza};
use epode_tokio::Client;

use crate::{Broken, Login};

/// Far longer than anything takes here, and far shorter than the lane may.
const PATIENCE: Duration = Duration::from_secs(120);

/// One end of a conversation.
pub struct Peer {
    client: Client,
    /// The address that is bound; others write to it.
    pub jid: Jid,
    /// For each `Online`: whether it was a resumption.
    pub onlines: Vec<bool>,
    /// And by which mechanism.
    pub mechanisms: Vec<String>,
    /// How it travels.
    pub transport: TransportKind,
    /// For each `Interrupted`: whether it said that the session can be resumed.
    pub interrupted: Vec<bool>,
    /// What it was warned of.
    pub warnings: Vec<Warning>,
    /// The bodies of messages, in order, with their senders.
    pub received: Vec<(String, String)>,
    /// What was sent and how far it came.
    pub stages: BTreeMap<Token, Vec<Stage>>,
    /// The end.
    pub offline: Option<Offline>,
}

impl Peer {
    /// Logs in.
    ///
    /// # Errors
    /// There was no login, and why.
    pub async fn online(login: &Login) -> Result<Self, Broken> {
        let (client, _) = login.connect().await?;
        let mut peer = Self {
            client,
            jid: login.jid()?,
            onlines: Vec::new(),
            mechanisms: Vec::new(),
            transport: TransportKind::Tcp,
            interrupted: Vec::new(),
            warnings: Vec::new(),
            received: Vec::new(),
            stages: BTreeMap::new(),
            offline: None,
        };
        peer.until("Online", |peer| !peer.onlines.is_empty()).await?;
        Ok(peer)
    }

    /// Takes events until the condition holds.
    ///
    /// # Errors
    /// The client went offline first, or it took too long.
    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) -> Result<(), Broken> {
        let waiting = async {
            while !holds(self) {
                let Some(event) = self.client.next().await else {
                    return false;
                };
                self.take(event);
            }
            true
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("offline before {what}: {self:?}").into()),
            Err(_) => Err(format!("no {what} within {PATIENCE:?}: {self:?}").into()),
        }
    }

    /// Takes the events of both until the condition holds: who does not take them is not read from for long.
    ///
    /// # Errors
    /// One of them went offline first, or it took too long.
    pub async fn both(
        one: &mut Self,
        two: &mut Self,
        what: &str,
        mut holds: impl FnMut(&Self, &Self) -> bool,
    ) -> Result<(), Broken> {
        let waiting = async {
            while !holds(one, two) {
                tokio::select! {
                    event = one.client.next() => match event {
                        Some(event) => one.take(event),
                        None => return false,
                    },
                    event = two.client.next() => match event {
                        Some(event) => two.take(event),
                        None => return false,
                    },
                }
            }
            true
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("offline before {what}: {one:?} and {two:?}").into()),
            Err(_) => Err(format!("no {what} within {PATIENCE:?}: {one:?} and {two:?}").into()),
        }
    }

    fn take(&mut self, event: Event) {
        if let Event::Online {
            resumed,
            jid,
            mechanism,
            transport,
            ..
        } = event
        {
            self.onlines.push(resumed);
            self.mechanisms.push(mechanism);
            self.jid = jid;
            self.transport = transport;
        } else if let Event::Interrupted { resumable, .. } = event {
            self.interrupted.push(resumable);
        } else if let Event::Warning(warning) = event {
            self.warnings.push(warning);
        } else if let Event::Stanza { stanza, .. } = event {
            if let Some(body) = stanza.child("jabber:client", "body") {
                let from = stanza.attribute("from").unwrap_or_default().to_owned();
                self.received.push((from, body.text().into_owned()));
            }
        } else if let Event::Delivery { token, stage } = event {
            self.stages.entry(token).or_default().push(stage);
        } else if let Event::Offline { reason } = event {
            self.offline = Some(reason);
        }
    }

    /// Sends messages with these numbers as bodies.
    ///
    /// # Errors
    /// The client does not take one.
    pub async fn send(&mut self, to: &Jid, numbers: std::ops::Range<usize>) -> Result<(), Broken> {
        for number in numbers {
            let token = self.client.send(stanza::chat(to, &number.to_string())?).await?;
            self.stages.entry(token).or_default();
        }
        Ok(())
    }

    /// Waits until the fate of everything that was sent is known.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub async fn settled(&mut self) -> Result<(), Broken> {
        self.until("the end of every delivery", Self::is_settled).await
    }

    /// The fate of everything that was sent is known.
    pub fn is_settled(&self) -> bool {
        let mut sent = self.stages.values();
        sent.all(|stages| stages.iter().any(|stage| is_final(*stage)))
    }

    /// How many of its messages came to that end. A message has one end only.
    pub fn ended(&self, stage: Stage) -> usize {
        let ends = self.stages.values().map(|stages| {
            let ends: Vec<_> = stages.iter().filter(|stage| is_final(**stage)).collect();
            assert!(ends.len() <= 1, "a message with two ends: {stages:?}");
            usize::from(ends == [&stage])
        });
        ends.sum()
    }

    /// The numbers that arrived from somebody, in order.
    ///
    /// # Panics
    /// A body was no number.
    pub fn numbers_from(&self, sender: &Jid) -> Vec<usize> {
        let mine = self.received.iter().filter(|(from, _)| from == sender.as_str());
        mine.map(|(_, body)| body.parse().unwrap_or(usize::MAX)).collect()
    }

    /// What arrived, as runs of numbers: a gap, or an order that is wrong, is seen at once.
    fn runs(&self) -> Vec<String> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (_, body) in &self.received {
            let number = body.parse().unwrap_or(usize::MAX);
            match runs.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
                Some(_) | None => runs.push((number, number)),
            }
        }
        runs.iter().map(|(first, last)| format!("{first}-{last}")).collect()
    }

    /// Becomes available: the server hands over what it kept for the account.
    ///
    /// # Errors
    /// The client does not take it.
    pub async fn available(&mut self) -> Result<(), Broken> {
        let token = self.client.send(stanza::available()?).await?;
        self.stages.entry(token).or_default();
        Ok(())
    }

    /// Says goodbye, and takes what is left.
    pub async fn leave(mut self) -> Self {
        self.client.handle().stop().await;
        while let Some(event) = self.client.next().await {
            self.take(event);
        }
        self
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |stage| {
            self.stages
                .values()
                .filter(|stages| stages.last() == Some(&stage))
                .count()
        };
        f.debug_struct("Peer")
            .field("jid", &self.jid.as_str())
            .field("onlines", &self.onlines)
            .field("interrupted", &self.interrupted)
            .field("warnings", &self.warnings)
            .field("received", &self.runs())
            .field("queued", &count(Stage::Queued))
            .field("sent", &count(Stage::Sent))
            .field("acked", &count(Stage::Acked))
            .field("failed", &count(Stage::Failed))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// Nothing follows it.
fn is_final(stage: Stage) -> bool {
    match stage {
        Stage::Acked | Stage::Failed => true,
        Stage::Queued | Stage::Sent => false,
    }
}
