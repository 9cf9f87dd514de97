//! TCP to a host name: its addresses, and a race between them (RFC 8305).

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use epode::Failure;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::tls;

/// How long one address is alone before the next one is tried too (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// Knows names that DNS is not asked for, and connects.
#[derive(Debug, Default)]
pub(crate) struct Dialer {
    known: HashMap<String, Vec<SocketAddr>>,
}

impl Dialer {
    /// `host` is at `address`, and DNS is not asked; port 0 stands for the port that is wanted.
    pub(crate) fn know(&mut self, host: &str, address: SocketAddr) {
        self.known.entry(key(host)).or_default().push(address);
    }

    /// A connection to the host at any of its addresses: the first that is up.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, Failure> {
        let stream = race(interleave(self.addresses(host, port).await?)).await?;
        // What is written is small and has an answer: waiting to fill a packet would only add to every round trip.
        stream.set_nodelay(true).map_err(|error| tls::io_failure(&error))?;
        Ok(stream)
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(known) = self.known.get(&key(host)) {
            let with_port = |address: &SocketAddr| match address.port() {
                0 => SocketAddr::new(address.ip(), port),
                _ => *address,
            };
            return Ok(known.iter().map(with_port).collect());
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = tokio::net::lookup_host((host, port)).await.map_err(|_| Failure::Dns)?;
        Ok(found.collect())
    }
}

fn key(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The families by turns, beginning with that of the first address (RFC 8305 §4).
fn interleave(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

/// Each address begins a quarter of a second after the one before it, or as soon as that one has failed. The losers are
/// dropped.
async fn race(mut addresses: VecDeque<SocketAddr>) -> Result<TcpStream, Failure> {
    let mut attempts: JoinSet<io::Result<TcpStream>> = JoinSet::new();
    let mut failure = None;
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(TcpStream::connect(address));
        }
        let next = tokio::time::sleep(STAGGER);
        tokio::pin!(next);
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = Some(worse(failure, tls::io_failure(&error))),
                // An attempt cannot panic, and nobody cancels it.
                Some(Err(_)) => {}
                None => return Err(failure.unwrap_or(Failure::Dns)),
            },
            () = &mut next, if !addresses.is_empty() => {}
        }
    }
}

/// Which of two failures says more: that somebody refused says that the way to the host is good.
fn worse(earlier: Option<Failure>, later: Failure) -> Failure {
    match earlier {
        Some(Failure::Refused) => Failure::Refused,
        Some(_) | None => later,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::net::TcpListener;

    use super::*;

    fn v4(last: u8) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, last), 1).into()
    }

    fn v6(last: u16) -> SocketAddr {
        (Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last), 1).into()
    }

    #[test]
    fn families_take_turns_and_the_first_keeps_its_place() {
        for (given, expected) in [
            (vec![v6(1), v6(2), v4(1), v4(2)], vec![v6(1), v4(1), v6(2), v4(2)]),
            (vec![v4(1), v4(2), v4(3), v6(1)], vec![v4(1), v6(1), v4(2), v4(3)]),
            (vec![v4(1)], vec![v4(1)]),
            (vec![], vec![]),
        ] {
            assert_eq!(interleave(given), expected);
        }
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_living_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut dialer = Dialer::default();
        // Nobody listens at the port on ::1, or there is no ::1 at all.
        dialer.know("Chat.Example.", (Ipv6Addr::LOCALHOST, 0).into());
        dialer.know("chat.example", (Ipv4Addr::LOCALHOST, 0).into());
        let stream = dialer.connect("chat.example", port).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), (Ipv4Addr::LOCALHOST, port).into());
    }

    #[tokio::test]
    async fn nobody_anywhere_is_refused() {
        let port = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let dialer = Dialer::default();
        assert_eq!(dialer.connect("127.0.0.1", port).await.unwrap_err(), Failure::Refused);
        assert_eq!(
            dialer.connect("does-not-exist.invalid", port).await.unwrap_err(),
            Failure::Dns
        );
    }
}
