//! Carries the bytes of one connection in both directions, and does to them what the plans say.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::plan::{Decision, Direction, Fault, Plan};
use crate::profile::Profile;
use crate::proxy::prepare;
use crate::record::{Link, lock};

/// One read. Larger than a TLS record.
const CHUNK: usize = 32 << 10;
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// Why bytes stopped going in one direction.
enum End {
    /// The sender is done, and the receiver knows it. The other direction may go on.
    Finished,
    /// Both sides are to be closed.
    Close,
    /// Both sides are to be reset.
    Reset,
}

/// The life of one connection.
pub(crate) async fn carry(mut client: TcpStream, link: Link, profile: Arc<Profile>, mut cut: watch::Receiver<u64>) {
    let target = *lock(&link.shared.target);
    let connected = tokio::select! {
        connected = timeout(CONNECT, TcpStream::connect(target)) => connected,
        _ = cut.changed() => {
            link.fault(Fault::CutAll, None, None, 0, 0);
            let _ = client.set_zero_linger();
            return;
        }
    };
    let Ok(Ok(mut server)) = connected else {
        link.failed(None);
        return;
    };
    prepare(&server);
    if let End::Reset = both(&mut client, &mut server, &link, &profile, &mut cut).await {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

async fn both(
    client: &mut TcpStream,
    server: &mut TcpStream,
    link: &Link,
    profile: &Profile,
    cut: &mut watch::Receiver<u64>,
) -> End {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let stalled = Mutex::new(None);
    let up = Pump::new(from_client, to_server, Direction::ToServer, link, profile, &stalled);
    let down = Pump::new(from_server, to_client, Direction::ToClient, link, profile, &stalled);
    let mut up = std::pin::pin!(up.run());
    let mut down = std::pin::pin!(down.run());
    let (mut up_runs, mut down_runs) = (true, true);
    loop {
        let end = tokio::select! {
            end = &mut up, if up_runs => { up_runs = false; end }
            end = &mut down, if down_runs => { down_runs = false; end }
            _ = cut.changed() => {
                link.fault(Fault::CutAll, None, None, 0, 0);
                End::Reset
            }
        };
        match end {
            End::Finished if up_runs || down_runs => {}
            End::Finished | End::Close => return End::Close,
            End::Reset => return End::Reset,
        }
    }
}

/// One direction.
struct Pump<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    direction: Direction,
    link: &'a Link,
    /// Until when nothing moves; both directions share it.
    stalled: &'a Mutex<Option<Instant>>,
    plan: Plan,
    next: Decision,
    cut_after: Option<u64>,
    /// Bytes forwarded so far.
    passed: u64,
    /// So many of the next bytes are written one by one.
    singly: u64,
    /// The sender is done; what it sent before is still to be forwarded.
    ended: bool,
}

impl<'a> Pump<'a> {
    fn new(
        from: ReadHalf<'a>,
        to: WriteHalf<'a>,
        direction: Direction,
        link: &'a Link,
        profile: &Profile,
        stalled: &'a Mutex<Option<Instant>>,
    ) -> Self {
        let mut plan = Plan::new(link.shared.seed, link.index, direction, profile);
        Self {
            from,
            to,
            direction,
            link,
            stalled,
            next: plan.draw(),
            cut_after: plan.cut_after(),
            plan,
            passed: 0,
            singly: 0,
            ended: false,
        }
    }

    async fn run(mut self) -> End {
        let mut waiting = Vec::new();
        loop {
            waiting.clear();
            if let Err(end) = self.read(&mut waiting).await {
                return end;
            }
            if let Err(end) = self.pass(&mut waiting).await {
                return end;
            }
            if self.ended {
                self.stall().await;
                // The receiver may be gone already: then this direction is over all the same.
                let _ = self.to.shutdown().await;
                return End::Finished;
            }
        }
    }

    /// One read, appended.
    async fn read(&mut self, waiting: &mut Vec<u8>) -> Result<(), End> {
        waiting.reserve(CHUNK);
        match (&mut self.from).take(CHUNK as u64).read_buf(waiting).await {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) => return Err(lost(&error)),
        }
        Ok(())
    }

    /// Forwards all that waits, and applies what becomes due on the way.
    async fn pass(&mut self, waiting: &mut Vec<u8>) -> Result<(), End> {
        let mut done = 0;
        while done < waiting.len() {
            self.check_cut()?;
            if self.next.at <= self.passed {
                let decision = std::mem::replace(&mut self.next, self.plan.draw());
                if let Some(fault) = decision.fault
                    && !self.link.shared.is_paused()
                {
                    self.log(fault, decision.millis);
                    self.apply(fault, decision, waiting, done).await?;
                }
                continue;
            }
            let due = self.cut_after.unwrap_or(u64::MAX).min(self.next.at);
            let room = usize::try_from(due.saturating_sub(self.passed)).unwrap_or(usize::MAX);
            let until = done.saturating_add(room).min(waiting.len());
            self.forward(waiting.get(done..until).unwrap_or_default()).await?;
            done = until;
        }
        // Here too: after exactly these bytes, not when more arrive.
        self.check_cut()
    }

    fn check_cut(&mut self) -> Result<(), End> {
        if self.passed == 0 || self.cut_after.is_none_or(|after| after > self.passed) {
            return Ok(());
        }
        self.cut_after = None;
        if self.link.shared.is_paused() {
            return Ok(());
        }
        self.log(Fault::CutAfter, 0);
        Err(End::Close)
    }

    async fn apply(&mut self, fault: Fault, decision: Decision, waiting: &mut Vec<u8>, done: usize) -> Result<(), End> {
        let time = Duration::from_millis(decision.millis);
        match fault {
            Fault::Delay => sleep(time).await,
            Fault::Split => self.singly = decision.bytes,
            Fault::Coalesce => {
                let enough = usize::try_from(decision.bytes)
                    .unwrap_or(usize::MAX)
                    .saturating_add(done);
                let until = Instant::now() + time;
                while waiting.len() < enough && !self.ended {
                    match timeout_at(until, self.read(waiting)).await {
                        Ok(read) => read?,
                        Err(_) => break,
                    }
                }
            }
            Fault::Stall => *lock(self.stalled) = Some(Instant::now() + time),
            Fault::HalfClose => return Err(self.half_close(time).await),
            Fault::Reset => return Err(End::Reset),
            Fault::CutMiddle => {
                let rest = waiting.get(done..).unwrap_or_default();
                let part = decision.bytes.checked_rem(rest.len() as u64).unwrap_or(0);
                let part = usize::try_from(part).unwrap_or(0);
                self.forward(rest.get(..part).unwrap_or_default()).await?;
                return Err(End::Close);
            }
            // Not drawn here.
            Fault::CutAfter
            | Fault::CutAll
            | Fault::Refuse
            | Fault::ResetRequest
            | Fault::LoseAnswer
            | Fault::SpoilAnswer
            | Fault::Repeat
            | Fault::Overlap
            | Fault::LateAnswer
            | Fault::SplitRequest
            | Fault::SplitAnswer => {}
        }
        Ok(())
    }

    async fn half_close(&mut self, at_most: Duration) -> End {
        if self.to.shutdown().await.is_err() {
            return End::Reset;
        }
        let mut thrown_away = vec![0; CHUNK];
        let drain = async {
            loop {
                match self.from.read(&mut thrown_away).await {
                    Ok(0) => return End::Finished,
                    Ok(_) => {}
                    Err(error) => return lost(&error),
                }
            }
        };
        timeout(at_most, drain).await.unwrap_or(End::Close)
    }

    async fn forward(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        self.stall().await;
        let count = bytes.len();
        while self.singly > 0
            && let Some((one, rest)) = bytes.split_first()
        {
            self.singly -= 1;
            bytes = rest;
            self.write(&[*one]).await?;
            // Lets a reader in the same runtime see the byte alone.
            tokio::task::yield_now().await;
        }
        self.write(bytes).await?;
        self.passed = self.passed.saturating_add(count as u64);
        self.link.shared.count_bytes(self.direction, count);
        Ok(())
    }

    async fn stall(&self) {
        loop {
            let until = *lock(self.stalled);
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                Some(_) | None => return,
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.to.write_all(bytes).await.map_err(|error| lost(&error))
    }

    fn log(&self, fault: Fault, lasts: u64) {
        self.link.fault(fault, None, Some(self.direction), self.passed, lasts);
    }
}

/// One side is gone: the other is told in the same way.
fn lost(error: &io::Error) -> End {
    if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) {
        End::Reset
    } else {
        End::Close
    }
}
