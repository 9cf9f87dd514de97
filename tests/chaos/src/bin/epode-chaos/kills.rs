//! A run whose sender is a process of its own, which is killed again and again and goes on from what it stored.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use epode::{Event, Stage};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::life::notes_file;
use crate::notes::Account;
use crate::run::{Broken, End, Plan, STUCK, name, proxy};
use crate::servers::Server;
use crate::{Receiver, Transport};

/// A life ends after so many milliseconds, or so many lines, drawn anew each time; the milliseconds begin before the login.
const MILLIS: std::ops::Range<u64> = 0..1_500;
const LINES: std::ops::Range<usize> = 1..60;
/// A life that is to end at a line, and does not get there, ends all the same.
const AT_MOST: Duration = Duration::from_secs(3);
/// Notes that a failure shows.
const TAIL: usize = 60;

/// What became of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    transport: &'static str,
    messages: usize,
    kills: usize,
    /// Processes that went on with the session of the one before them.
    restored: usize,
    /// Sessions that began anew after the first one.
    not_restored: usize,
    /// Processes that were killed before they were online.
    never_online: usize,
    acked: usize,
    failed: usize,
    /// Ends of messages whose token was not noted: the kill came between.
    unnoted_ends: usize,
    /// Messages that the client had, and never told the end of.
    untold: usize,
    received: usize,
    /// Acknowledged, and not received.
    lost: usize,
    /// Received twice, and sent once.
    doubled: usize,
    /// What the application sent again, because it could not know whether the client had it.
    sent_again: usize,
    /// How many of these the receiver got more than once.
    doubled_by_application: usize,
    cuts: u64,
    /// Why sessions were new or links ended, and how often.
    reasons: BTreeMap<String, usize>,
    seconds: u64,
    pub(crate) wrong: Vec<String>,
    #[serde(skip)]
    pub(crate) tail: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} messages over {} kills and {} cuts in {} s: {} acked, {} failed, {} unnoted ends, {} untold, {} received, {} lost, {} doubled; \
             sent again by the application: {}, of which twice received: {}; sessions: {} restored, {} not, {} killed before they \
             were online",
            self.transport,
            self.messages,
            self.kills,
            self.cuts,
            self.seconds,
            self.acked,
            self.failed,
            self.unnoted_ends,
            self.untold,
            self.received,
            self.lost,
            self.doubled,
            self.sent_again,
            self.doubled_by_application,
            self.restored,
            self.not_restored,
            self.never_online,
        )?;
        for (reason, times) in &self.reasons {
            write!(f, "\n  {times:>5} x {reason}")?;
        }
        Ok(())
    }
}

/// The folder of the session, gone when the run is over: what is in it is as good as a login.
struct Folder(PathBuf);

impl Folder {
    fn new(transport: Transport) -> Result<Self, Broken> {
        let folder = std::env::temp_dir().join(format!("epode-chaos-{}-{}", std::process::id(), name(transport)));
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing can be done about a leftover in the system's folder for them.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The process, and its lines as they come. The lines end when it does.
struct Process {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Process {
    fn start(plan: &Plan, folder: &Path, address: SocketAddr, until: usize, is_last: bool) -> Result<Self, Broken> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("--transport")
            .arg(name(plan.transport))
            .arg("--life-in")
            .arg(folder)
            .arg("--life-address")
            .arg(address.to_string())
            .arg("--life-until")
            .arg(until.to_string());
        if is_last {
            command.arg("--life-is-last");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().ok_or("the process has no output")?;
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// SIGKILL, and the wait for its end.
    fn kill(&mut self) -> Result<(), Broken> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, unless the run was broken off.
        let _ = self.kill();
    }
}

/// What the receiver got: number and attempt.
type Arrivals = Vec<(usize, usize)>;

fn arrival(arrivals: &mut Arrivals, event: &Event, from: &str) {
    if let Event::Stanza { stanza, .. } = event
        && stanza.attribute("from") == Some(from)
        && stanza.attribute("type") != Some("error")
        && let Some(body) = stanza.child("jabber:client", "body")
        && let Some((number, attempt)) = body.text().split_once(' ')
        && let (Ok(number), Ok(attempt)) = (number.parse(), attempt.parse())
    {
        arrivals.push((number, attempt));
    }
}

/// When a life is over.
enum Until {
    Time(Duration),
    Lines(usize),
    /// It ends by itself.
    End,
}

pub(crate) async fn run(plan: &Plan) -> Result<Outcome, Broken> {
    let began = Instant::now();
    let server = Server::find()?;
    let folder = Folder::new(plan.transport)?;
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x9e37);
    let mut receiver = End::connect(&server, plan, "user02", plan.receiver == Receiver::Calm, 0x5bd1).await?;
    let sender = proxy(&server, plan, false, plan.seed).await?;
    let from = format!("user01@localhost/chaos-{}", name(plan.transport));
    receiver.proxy.resume_faults();
    let mut arrivals = Arrivals::new();
    let mut wrong = Vec::new();
    let mut kills = 0;
    for life in 0..=plan.kills {
        let is_last = life == plan.kills;
        // So that there is something to do in each life.
        let until = plan.messages * (life + 1) / (plan.kills + 1);
        let end = if is_last {
            // The last one may finish in peace.
            sender.pause_faults();
            receiver.proxy.pause_faults();
            Until::End
        } else if rng.bool() {
            Until::Time(Duration::from_millis(rng.u64(MILLIS)))
        } else {
            Until::Lines(rng.usize(LINES))
        };
        let mut process = Process::start(plan, &folder.0, sender.address(), until, is_last)?;
        let deadline = tokio::time::sleep(match end {
            Until::Time(time) => time,
            Until::Lines(_) => AT_MOST,
            Until::End => STUCK,
        });
        tokio::pin!(deadline);
        let mut lines = 0;
        loop {
            tokio::select! {
                () = &mut deadline => {
                    if is_last {
                        wrong.push(format!("stuck: the sender said nothing for {STUCK:?}"));
                    }
                    break;
                }
                line = process.lines.recv() => {
                    if line.is_none() {
                        let status = process.child.wait()?;
                        if !(is_last && status.success()) {
                            wrong.push(format!("life {} ended by itself: {status}", life + 1));
                        }
                        break;
                    }
                    lines += 1;
                    if is_last {
                        deadline.as_mut().reset(tokio::time::Instant::now() + STUCK);
                    } else if matches!(end, Until::Lines(enough) if lines >= enough) {
                        break;
                    }
                }
                event = receiver.client.next() => {
                    let event = event.ok_or("the receiver's events ended")?;
                    receiver.note(&event)?;
                    arrival(&mut arrivals, &event, &from);
                }
            }
        }
        process.kill()?;
        kills += usize::from(!is_last);
        if !wrong.is_empty() {
            break;
        }
    }
    let text = std::fs::read_to_string(notes_file(&folder.0))?;
    let account = Account::read(&text);
    // The probe was acknowledged: what came before it is here, or lost.
    while wrong.is_empty() && account.is_done && !arrivals.iter().any(|(number, _)| *number == plan.messages) {
        let Ok(event) = tokio::time::timeout(STUCK, receiver.client.next()).await else {
            wrong.push("the last message was acknowledged, and did not arrive".to_owned());
            break;
        };
        let event = event.ok_or("the receiver's events ended")?;
        receiver.note(&event)?;
        arrival(&mut arrivals, &event, &from);
    }
    let cuts = sender.statistics().cuts + receiver.proxy.statistics().cuts;
    let kept = receiver.onlines == 1 + receiver.resumed;
    let account_lives = account.lives;
    let mut outcome = judge(plan, account, &arrivals, kept, wrong);
    // Some of them before the process had noted that it lives.
    outcome.never_online += (kills + 1).saturating_sub(account_lives);
    outcome.kills = kills;
    outcome.cuts = cuts;
    outcome.seconds = began.elapsed().as_secs();
    let notes: Vec<_> = text.lines().map(str::to_owned).collect();
    outcome.tail = notes
        .get(notes.len().saturating_sub(TAIL)..)
        .unwrap_or_default()
        .to_vec();
    receiver.client.stop().await;
    Ok(outcome)
}

fn judge(plan: &Plan, account: Account, arrivals: &Arrivals, receiver_kept: bool, mut wrong: Vec<String>) -> Outcome {
    let mut copies: HashMap<(usize, usize), usize> = HashMap::new();
    for message in arrivals {
        *copies.entry(*message).or_default() += 1;
    }
    let mut attempts: HashMap<usize, usize> = HashMap::new();
    for (number, _) in copies.keys() {
        *attempts.entry(*number).or_default() += 1;
    }
    let of = |stage| account.ended.values().filter(|end| **end == stage).count();
    let is_lost = |(message, end): &(&(usize, usize), &Stage)| **end == Stage::Acked && !copies.contains_key(*message);
    let lost: Vec<_> = account
        .ended
        .iter()
        .filter(is_lost)
        .map(|(message, _)| *message)
        .collect();
    let doubled: Vec<_> = copies
        .iter()
        .filter(|(_, copies)| **copies > 1)
        .map(|(message, _)| *message)
        .collect();
    wrong.extend(account.wrong.iter().cloned());
    let mut demand = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    demand(account.is_done, "the sender did not finish".to_owned());
    let untold = account.untold();
    if plan.allow_untold {
        // Then at least none of them is lost, unless a session was.
        let gone: Vec<_> = untold.iter().filter(|message| !copies.contains_key(*message)).collect();
        demand(
            gone.is_empty() || account.new > 1 || !receiver_kept,
            format!("queued and lost, and nobody was told: {gone:?}"),
        );
    } else {
        demand(
            untold.is_empty(),
            format!("nobody was told how these ended: {untold:?}"),
        );
    }
    demand(
        account.again.is_empty(),
        format!("not sent again, and unknown: {:?}", account.again),
    );
    demand(
        account.numbers() > plan.messages,
        format!("only {} numbers were sent", account.numbers()),
    );
    demand(
        doubled.is_empty(),
        format!("arrived twice, and was sent once: {doubled:?}"),
    );
    // A server that ends the receiver's session takes with it what it had for the receiver.
    if receiver_kept {
        demand(lost.is_empty(), format!("acknowledged and lost: {lost:?}"));
    }
    Outcome {
        transport: name(plan.transport),
        messages: account.numbers(),
        restored: account.resumed,
        not_restored: account.new.saturating_sub(1),
        never_online: account.never_online,
        acked: of(Stage::Acked),
        failed: of(Stage::Failed),
        unnoted_ends: account.unnoted_ends,
        untold: untold.len(),
        received: arrivals.len(),
        lost: lost.len(),
        doubled: doubled.len(),
        sent_again: account.sent_again(),
        doubled_by_application: attempts.values().filter(|attempts| **attempts > 1).count(),
        reasons: account.reasons,
        wrong,
        ..Outcome::default()
    }
}
