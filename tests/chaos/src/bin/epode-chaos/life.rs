//! The process that is killed: it sends numbered messages, and notes what it was told.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use epode::config::Persist;
use epode::{Element, Event, Jid, Refused, Stage, Warning, stanza};
use epode_tokio::{CallError, FileStore, Handle};

use crate::Transport;
use crate::notes::{Account, CANNOT_BE_RESUMED, Note};
use crate::run::{Broken, builder, window};
use crate::servers::Server;

/// What the parent says on the command line.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) transport: Transport,
    /// Where the session and the notes are.
    pub(crate) folder: PathBuf,
    /// The proxy.
    pub(crate) address: SocketAddr,
    /// Numbers below this are sent in this life.
    pub(crate) until: usize,
    /// All is sent then: wait for the ends, and leave.
    pub(crate) is_last: bool,
}

pub(crate) fn notes_file(folder: &Path) -> PathBuf {
    folder.join("notes")
}

/// Notes first, so that what the parent has read is in the notes.
struct Notes {
    file: File,
    account: Account,
}

impl Notes {
    fn open(folder: &Path) -> Result<Self, Broken> {
        let path = notes_file(folder);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            file: OpenOptions::new().append(true).create(true).open(path)?,
            account: Account::read(&text),
        })
    }

    fn write(&mut self, note: &Note) -> Result<(), Broken> {
        let line = format!("{}\n", note.to_line());
        self.file.write_all(line.as_bytes())?;
        let mut out = std::io::stdout().lock();
        out.write_all(line.as_bytes())?;
        out.flush()?;
        self.account.note(note);
        Ok(())
    }
}

pub(crate) async fn live(life: &Life) -> Result<(), Broken> {
    let server = Server::find()?;
    let mut notes = Notes::open(&life.folder)?;
    notes.write(&Note::Life)?;
    // Without a seed: what is stored makes it the same client, and a seed is never used twice.
    let mut client = builder(&server, life.transport, "user01", Persist::EveryTurn, life.address)?
        .store(FileStore::new(&life.folder)?)
        .connect()
        .await?;
    for (slot, why) in client.not_restored() {
        notes.write(&Note::NotRestored(format!("{slot:?}: {why}")))?;
    }
    let to: Jid = format!("user02@localhost/chaos-{}", crate::run::name(life.transport)).parse()?;
    let window = window(life.transport);
    let mut full = false;
    // The first token of a life says what the one before it had stored: nothing else may take one earlier.
    let mut has_token = false;
    let mut pings: Option<tokio::task::JoinHandle<bool>> = None;
    let mut wants_ping = false;
    // The last message of all: a number of its own, which may be sent more than once.
    let mut probe = None;
    loop {
        if let Some(sent) = probe
            && notes.account.again.is_empty()
            && notes.account.ended.contains_key(&sent)
        {
            if notes.account.ended.get(&sent) == Some(&Stage::Acked) {
                notes.write(&Note::Done)?;
                client.stop().await;
                return Ok(());
            }
            probe = None;
            continue;
        }
        // A number that turned out to be needed again comes before the last one.
        let next = match notes.account.next_number(life.until) {
            Some(number) => Some((number, false)),
            None if life.is_last && probe.is_none() => Some((life.until, true)),
            None => None,
        };
        let next = next.filter(|_| !full && notes.account.open() < window);
        if wants_ping && has_token {
            wants_ping = false;
            pings = Some(tokio::spawn(twice(client.handle())));
        }
        tokio::select! {
            // What was told is noted first: the client has no way to know what a process that is killed had not looked at yet.
            biased;
            event = client.next() => {
                let Some(event) = event else { return Err("the events ended".into()) };
                match heard(&event) {
                    Some(Note::GaveUp(why)) => {
                        notes.write(&Note::GaveUp(why.clone()))?;
                        return Err(why.into());
                    }
                    Some(note) => {
                        wants_ping |= matches!(note, Note::Online { resumed: false });
                        notes.write(&note)?;
                    }
                    None => full &= event != Event::Writable,
                }
            }
            answered = async { match &mut pings { Some(pings) => pings.await, None => std::future::pending().await } } => {
                pings = None;
                if answered? {
                    notes.write(&Note::Resumable)?;
                }
            }
            () = std::future::ready(()), if next.is_some() => {
                let Some((number, is_probe)) = next else { continue };
                let attempt = notes.account.next_attempt(number);
                notes.write(&Note::Sending(number, attempt))?;
                match client.send(stanza::chat(&to, &format!("{number} {attempt}"))?).await {
                    Ok(token) => {
                        notes.write(&Note::Sent(token.0))?;
                        probe = is_probe.then_some((number, attempt));
                        has_token = true;
                    }
                    Err(CallError::Refused(Refused::Full)) => full = true,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// The first answer follows `<enabled/>`; when the second request is taken, that is stored.
async fn twice(handle: Handle) -> bool {
    for _ in 0..2 {
        let ping = Element::builder("jabber:client", "iq")
            .attr("type", "get")
            .attr("to", "localhost")
            .child(Element::builder("urn:xmpp:ping", "ping"));
        let Ok(ping) = ping.build() else { return false };
        if handle.request(ping, Some(Duration::from_secs(60))).await.is_err() {
            return false;
        }
    }
    true
}

fn heard(event: &Event) -> Option<Note> {
    if let Event::Delivery { token, stage } = event {
        return match stage {
            Stage::Queued => Some(Note::Queued(token.0)),
            Stage::Sent => None,
            Stage::Acked | Stage::Failed => Some(Note::Ended(token.0, *stage)),
        };
    }
    if let Event::Online { resumed, .. } = event {
        return Some(Note::Online { resumed: *resumed });
    }
    if let Event::Interrupted { reason, resumable, .. } = event {
        let lost = if *resumable { "" } else { CANNOT_BE_RESUMED };
        return Some(Note::Interrupted(format!("{reason}{lost}")));
    }
    if let Event::Warning(Warning::NotResumed { condition }) = event {
        return Some(Note::NotResumed(
            condition.as_deref().unwrap_or("no condition").to_owned(),
        ));
    }
    if let Event::Offline { reason } = event {
        return Some(Note::GaveUp(format!("{reason} ({reason:?})")));
    }
    None
}
