//! Each fault of the TCP layer, forced, as both ends see it.

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use epode_chaos::{Decision, Direction, Fault, Faults, Plan, Profile, Proxy, What};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    /// No step on loopback takes so long unless it hangs.
    const PATIENCE: Duration = Duration::from_secs(20);
    const SEED: u64 = 20_240_613;

    /// A client and a server with the proxy between them; the test is both.
    struct Pair {
        proxy: Proxy,
        listener: TcpListener,
        client: TcpStream,
        server: TcpStream,
    }

    impl Pair {
        async fn new(profile: Profile) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let target = listener.local_addr().unwrap();
            let proxy = Proxy::tcp(SEED, profile, target).await.unwrap();
            let client = TcpStream::connect(proxy.address()).await.unwrap();
            let (server, _) = soon(listener.accept()).await.unwrap();
            Self {
                proxy,
                listener,
                client,
                server,
            }
        }

        /// The faults in the direction to the server; nothing in the other.
        async fn to_server(faults: Faults) -> Self {
            Self::new(Profile {
                to_server: faults,
                to_client: Faults::none(),
            })
            .await
        }

        /// Which faults were applied, and after how many bytes.
        fn applied(&self) -> Vec<(Fault, u64)> {
            let fault = |what| {
                if let What::Fault(fault) = what {
                    Some(fault)
                } else {
                    None
                }
            };
            let events = self.proxy.events();
            events.iter().filter_map(|e| Some((fault(e.what)?, e.byte))).collect()
        }
    }

    /// One decision after `at` bytes, then none for long.
    fn once(at: u64) -> Faults {
        Faults {
            first: at..=at,
            gap: u64::MAX..=u64::MAX,
            ..Faults::none()
        }
    }

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        timeout(PATIENCE, what).await.expect("it hangs")
    }

    /// All bytes until the other side closes or resets.
    async fn until_the_end(stream: &mut TcpStream) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = soon(stream.read_to_end(&mut all)).await;
        all
    }

    async fn exactly(stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        soon(stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// No two neighbours alike, and no short period.
    fn text(count: usize) -> Vec<u8> {
        (0..count).map(|i| ((i * 7 + i / 256) % 251) as u8).collect()
    }

    #[tokio::test]
    async fn without_faults_everything_passes_both_ways() {
        let mut pair = Pair::new(Profile::calm()).await;
        let text = text(300_000);
        let (mut from_client, mut to_server) = pair.client.split();
        let (mut from_server, mut to_client) = pair.server.split();
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let up = async {
            to_server.write_all(&text).await.unwrap();
            to_server.shutdown().await.unwrap();
        };
        // A finished direction does not end the other.
        let echo = async {
            from_server.read_to_end(&mut there).await.unwrap();
            to_client.write_all(&there).await.unwrap();
            to_client.shutdown().await.unwrap();
        };
        let down = async { from_client.read_to_end(&mut back).await.unwrap() };
        soon(async { tokio::join!(up, echo, down) }).await;
        assert_eq!(back, text);
        let statistics = pair.proxy.close().await;
        assert_eq!(
            (statistics.connections, statistics.cuts, statistics.failures),
            (1, 0, 0)
        );
        assert_eq!(
            (statistics.bytes_to_server, statistics.bytes_to_client),
            (300_000, 300_000)
        );
        assert!(statistics.faults.is_empty());
    }

    #[tokio::test]
    async fn the_plain_profile_hands_on_as_much_as_it_has_read() {
        let mut pair = Pair::new(Profile::plain()).await;
        let text = text(8 << 20);
        let mut all = Vec::new();
        let send = async {
            pair.client.write_all(&text).await.unwrap();
            pair.client.shutdown().await.unwrap();
        };
        let receive = async { pair.server.read_to_end(&mut all).await.unwrap() };
        soon(async { tokio::join!(send, receive) }).await;
        assert!(all == text);
        // The calm one ends a piece at each of its decisions, which is what takes it time.
        let mut plan = Plan::new(SEED, 0, Direction::ToServer, &Profile::plain());
        assert_eq!(plan.next().map(|decision| decision.at), Some(u64::MAX));
        assert_eq!(pair.applied(), []);
    }

    #[tokio::test]
    async fn splits_deliver_the_same_bytes_in_many_pieces() {
        let faults = Faults {
            split: 1.0,
            split_bytes: 400..=400,
            ..once(50)
        };
        let mut pair = Pair::to_server(faults).await;
        let text = text(1_000);
        pair.client.write_all(&text).await.unwrap();
        let (mut all, mut reads) = (Vec::new(), 0);
        while all.len() < text.len() {
            let mut buffer = [0; 2_000];
            let count = soon(pair.server.read(&mut buffer)).await.unwrap();
            all.extend_from_slice(&buffer[..count]);
            reads += 1;
        }
        assert_eq!(all, text);
        assert_eq!(pair.applied(), [(Fault::Split, 50)]);
        // How many of the 400 the reader sees alone is up to the kernel.
        assert!(reads > 20, "{reads} reads");
    }

    #[tokio::test]
    async fn coalescing_makes_one_piece_of_many() {
        let faults = Faults {
            coalesce: 1.0,
            coalesce_bytes: 10..=10,
            coalesce_millis: 20_000..=20_000,
            ..once(0)
        };
        let mut pair = Pair::to_server(faults).await;
        for piece in ["ab", "cd", "ef", "gh", "ij"] {
            pair.client.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut buffer = [0; 100];
        let count = soon(pair.server.read(&mut buffer)).await.unwrap();
        assert_eq!(&buffer[..count], b"abcdefghij");
    }

    #[tokio::test]
    async fn held_bytes_go_on_when_no_more_come() {
        let faults = Faults {
            coalesce: 1.0,
            coalesce_bytes: 1_000..=1_000,
            coalesce_millis: 30..=30,
            ..once(0)
        };
        let mut pair = Pair::to_server(faults.clone()).await;
        pair.client.write_all(b"alone").await.unwrap();
        assert_eq!(exactly(&mut pair.server, 5).await, b"alone");
        // Nor are they lost when the sender closes meanwhile.
        let mut pair = Pair::to_server(faults).await;
        pair.client.write_all(b"last").await.unwrap();
        pair.client.shutdown().await.unwrap();
        assert_eq!(until_the_end(&mut pair.server).await, b"last");
    }

    #[tokio::test]
    async fn a_delay_holds_one_direction() {
        let faults = Faults {
            delay: 1.0,
            delay_millis: 80..=80,
            ..once(3)
        };
        let mut pair = Pair::to_server(faults).await;
        let begun = Instant::now();
        pair.client.write_all(b"hello").await.unwrap();
        assert_eq!(exactly(&mut pair.server, 5).await, b"hello");
        assert!(begun.elapsed() >= Duration::from_millis(80));
        assert_eq!(pair.applied(), [(Fault::Delay, 3)]);
        assert_eq!(pair.proxy.statistics().cuts, 0);
    }

    #[tokio::test]
    async fn a_stall_holds_both_directions() {
        let faults = Faults {
            stall: 1.0,
            stall_millis: 120..=120,
            ..once(0)
        };
        let mut pair = Pair::to_server(faults).await;
        let begun = Instant::now();
        pair.client.write_all(b"up").await.unwrap();
        while pair.applied().is_empty() {
            tokio::task::yield_now().await;
        }
        pair.server.write_all(b"down").await.unwrap();
        assert_eq!(exactly(&mut pair.client, 4).await, b"down");
        assert!(begun.elapsed() >= Duration::from_millis(120));
        assert_eq!(exactly(&mut pair.server, 2).await, b"up");
    }

    #[tokio::test]
    async fn a_half_close_ends_one_direction_and_keeps_the_other() {
        let faults = Faults {
            half_close: 1.0,
            half_close_millis: 15_000..=15_000,
            ..once(4)
        };
        let mut pair = Pair::to_server(faults).await;
        pair.client.write_all(b"seen, and not seen").await.unwrap();
        assert_eq!(until_the_end(&mut pair.server).await, b"seen");
        // The client notices nothing, and still hears the server.
        pair.client.write_all(b"into the void").await.unwrap();
        pair.server.write_all(b"bye").await.unwrap();
        assert_eq!(exactly(&mut pair.client, 3).await, b"bye");
        drop(pair.server);
        assert_eq!(until_the_end(&mut pair.client).await, b"");
        assert_eq!(pair.proxy.statistics().cuts, 1);
    }

    #[tokio::test]
    async fn a_half_close_does_not_last_for_ever() {
        let faults = Faults {
            half_close: 1.0,
            half_close_millis: 30..=30,
            ..once(0)
        };
        let mut pair = Pair::to_server(faults).await;
        pair.client.write_all(b"x").await.unwrap();
        assert_eq!(until_the_end(&mut pair.server).await, b"");
        // The server stays, the client stays: the proxy ends it.
        assert_eq!(until_the_end(&mut pair.client).await, b"");
    }

    #[tokio::test]
    async fn a_reset_is_a_reset_on_both_sides() {
        let faults = Faults {
            reset: 1.0,
            ..once(100)
        };
        let mut pair = Pair::to_server(faults).await;
        pair.client.write_all(&text(100)).await.unwrap();
        assert_eq!(exactly(&mut pair.server, 100).await, text(100));
        pair.client.write_all(b"one too many").await.unwrap();
        for side in [&mut pair.client, &mut pair.server] {
            let error = soon(side.read(&mut [0; 10])).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert_eq!(pair.applied(), [(Fault::Reset, 100)]);
        assert_eq!(pair.proxy.statistics().cuts, 1);
    }

    #[tokio::test]
    async fn a_cut_in_the_middle_delivers_a_part() {
        let faults = Faults {
            cut_middle: 1.0,
            ..once(10)
        };
        let mut pair = Pair::to_server(faults).await;
        let text = text(1_000);
        pair.client.write_all(&text).await.unwrap();
        let seen = until_the_end(&mut pair.server).await;
        assert!((10..1_000).contains(&seen.len()), "{} bytes", seen.len());
        assert_eq!(seen, text[..seen.len()]);
        assert_eq!(until_the_end(&mut pair.client).await, b"");
        assert_eq!(pair.applied(), [(Fault::CutMiddle, 10)]);
    }

    #[tokio::test]
    async fn a_cut_after_n_bytes_comes_after_n_bytes() {
        let faults = Faults {
            cut_after: 1.0,
            cut_after_bytes: 70..=70,
            ..once(10_000)
        };
        let mut pair = Pair::to_server(faults.clone()).await;
        // Exactly so many: nothing more has to arrive.
        pair.client.write_all(&text(70)).await.unwrap();
        assert_eq!(until_the_end(&mut pair.server).await, text(70));
        assert_eq!(until_the_end(&mut pair.client).await, b"");
        // More than so many, and in the other direction.
        let mut pair = Pair::new(Profile {
            to_server: Faults::none(),
            to_client: faults,
        })
        .await;
        pair.server.write_all(&text(500)).await.unwrap();
        assert_eq!(until_the_end(&mut pair.client).await, text(70));
        let event = pair
            .proxy
            .events()
            .into_iter()
            .find(|e| e.what == What::Fault(Fault::CutAfter))
            .unwrap();
        assert_eq!((event.direction, event.byte), (Some(Direction::ToClient), 70));
    }

    #[tokio::test]
    async fn while_faults_are_paused_nothing_happens() {
        let faults = Faults {
            reset: 1.0,
            cut_after: 1.0,
            cut_after_bytes: 150..=150,
            gap: 100..=100,
            ..once(100)
        };
        let mut pair = Pair::to_server(faults).await;
        pair.proxy.pause_faults();
        pair.client.write_all(&text(250)).await.unwrap();
        assert_eq!(exactly(&mut pair.server, 250).await, text(250));
        assert!(pair.applied().is_empty());
        pair.proxy.resume_faults();
        pair.client.write_all(&text(51)).await.unwrap();
        assert!(until_the_end(&mut pair.server).await.len() <= 50);
        assert_eq!(pair.applied(), [(Fault::Reset, 300)]);
    }

    #[tokio::test]
    async fn cut_all_cuts_what_is_open_and_nothing_else() {
        let mut pair = Pair::new(Profile::calm()).await;
        let mut second = TcpStream::connect(pair.proxy.address()).await.unwrap();
        let (mut other, _) = soon(pair.listener.accept()).await.unwrap();
        // The proxy has both ends of both.
        pair.client.write_all(b"1").await.unwrap();
        second.write_all(b"2").await.unwrap();
        exactly(&mut pair.server, 1).await;
        exactly(&mut other, 1).await;
        pair.proxy.pause_faults();
        pair.proxy.cut_all();
        for side in [&mut pair.client, &mut pair.server, &mut second, &mut other] {
            assert!(soon(side.read(&mut [0; 10])).await.is_err());
        }
        soon(pair.proxy.cuts(2)).await;
        let mut third = TcpStream::connect(pair.proxy.address()).await.unwrap();
        let (mut server, _) = soon(pair.listener.accept()).await.unwrap();
        third.write_all(b"still here").await.unwrap();
        assert_eq!(exactly(&mut server, 10).await, b"still here");
        let statistics = pair.proxy.statistics();
        assert_eq!((statistics.connections, statistics.cuts), (3, 2));
        assert_eq!(statistics.faults[&Fault::CutAll], 2);
    }

    #[tokio::test]
    async fn refused_connections_are_refused_until_they_are_accepted_again() {
        let mut pair = Pair::new(Profile::plain()).await;
        let address = pair.proxy.address();
        // Twice: the second changes nothing.
        for _ in 0..2 {
            soon(pair.proxy.refuse_connections()).await;
            let refused = soon(TcpStream::connect(address)).await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        let cut = soon(pair.client.read_u8()).await.unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset);
        // Meanwhile nobody else gets the port.
        let taken = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        for _ in 0..2 {
            pair.proxy.accept_connections().await.unwrap();
            let mut client = soon(TcpStream::connect(address)).await.unwrap();
            let (mut server, _) = soon(pair.listener.accept()).await.unwrap();
            client.write_all(b"again").await.unwrap();
            assert_eq!(exactly(&mut server, 5).await, b"again");
        }
        assert_eq!(soon(pair.proxy.close()).await.connections, 3);
    }

    #[tokio::test]
    async fn a_server_that_is_away_closes_the_client_and_may_come_back_elsewhere() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = nobody.local_addr().unwrap();
        drop(nobody);
        let proxy = Proxy::tcp(SEED, Profile::calm(), target).await.unwrap();
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(until_the_end(&mut client).await, b"");
        assert_eq!(proxy.statistics().failures, 1);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        proxy.set_target(listener.local_addr().unwrap());
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = soon(listener.accept()).await.unwrap();
        client.write_all(b"back").await.unwrap();
        assert_eq!(exactly(&mut server, 4).await, b"back");
    }

    #[tokio::test]
    async fn dropping_the_proxy_closes_everything() {
        let Pair {
            proxy,
            mut client,
            mut server,
            ..
        } = Pair::new(Profile::calm()).await;
        let address = proxy.address();
        drop(proxy);
        assert_eq!(until_the_end(&mut client).await, b"");
        assert_eq!(until_the_end(&mut server).await, b"");
        // The port goes when the runtime drops the task that accepts.
        soon(async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_profile_that_makes_no_sense_is_refused() {
        let profile = Profile::both(Faults {
            reset: 2.0,
            ..Faults::none()
        });
        let error = Proxy::tcp(SEED, profile, "127.0.0.1:9".parse().unwrap())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("reset"), "{error}");
    }

    /// What one run did: for each connection and direction, the faults and where.
    type Story = Vec<(u64, Option<Direction>, Fault, u64)>;

    /// Clients that come one after the other until `cuts` were made. Each says 30 kB to an echo, in pieces.
    async fn run(seed: u64, profile: &Profile, cuts: u64) -> (Story, epode_chaos::Statistics) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let echo = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                });
            }
        });
        let proxy = Proxy::tcp(seed, profile.clone(), target).await.unwrap();
        let said = text(30_000);
        while proxy.statistics().cuts < cuts {
            let mut client = TcpStream::connect(proxy.address()).await.unwrap();
            let (mut from, mut to) = client.split();
            let talk = async {
                for piece in said.chunks(700) {
                    if to.write_all(piece).await.is_err() {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
                let _ = to.shutdown().await;
            };
            let mut heard = Vec::new();
            let listen = async {
                let _ = from.read_to_end(&mut heard).await;
            };
            soon(async { tokio::join!(talk, listen) }).await;
            // Whatever happened: what arrives is the beginning of what was said.
            assert_eq!(heard, said[..heard.len()], "seed {seed}");
        }
        let events = proxy.events();
        echo.abort();
        let mut story = Vec::new();
        for event in events {
            if let What::Fault(fault) = event.what {
                story.push((event.connection, event.direction, fault, event.byte));
            }
        }
        (story, proxy.close().await)
    }

    #[tokio::test]
    async fn two_hundred_cuts_follow_the_plan() {
        let (story, statistics) = run(SEED, &Profile::rough(), 200).await;
        println!("{statistics}");
        assert_eq!(statistics.cuts, 200);
        for fault in [
            Fault::Delay,
            Fault::Split,
            Fault::Coalesce,
            Fault::Stall,
            Fault::HalfClose,
            Fault::Reset,
            Fault::CutMiddle,
            Fault::CutAfter,
        ] {
            assert!(statistics.faults.contains_key(&fault), "{fault} never happened");
        }
        for connection in 0..statistics.connections {
            for direction in [Direction::ToServer, Direction::ToClient] {
                let mut plan = Plan::new(SEED, connection, direction, &Profile::rough());
                let cut_after = plan.cut_after();
                for &(_, _, fault, byte) in story.iter().filter(|s| s.0 == connection && s.1 == Some(direction)) {
                    if fault == Fault::CutAfter {
                        assert_eq!(Some(byte), cut_after);
                    } else {
                        let due = |d: &Decision| d.fault.is_some();
                        let decision = plan.by_ref().find(due).unwrap();
                        assert_eq!(
                            (decision.fault, decision.at),
                            (Some(fault), byte),
                            "connection {connection} {direction}"
                        );
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn the_same_seed_does_the_same_again() {
        // In one direction: which of two directions is cut first would be up to the scheduler.
        let profile = Profile {
            to_server: Profile::rough().to_server,
            to_client: Faults::none(),
        };
        let (first, _) = run(5, &profile, 30).await;
        let (second, _) = run(5, &profile, 30).await;
        let (other, _) = run(6, &profile, 30).await;
        assert!(first.len() > 30);
        assert_eq!(first, second);
        assert_ne!(first, other);
    }

    #[tokio::test]
    async fn statistics_are_readable_by_people_and_programs() {
        let mut pair = Pair::to_server(Faults { reset: 1.0, ..once(2) }).await;
        pair.client.write_all(b"abc").await.unwrap();
        until_the_end(&mut pair.server).await;
        let log: Vec<_> = pair.proxy.events().iter().map(ToString::to_string).collect();
        assert!(
            log[1].ends_with("connection 0: reset to server, after 2 bytes"),
            "{log:?}"
        );
        let statistics = pair.proxy.close().await;
        let shown = format!("seed {SEED}: 1 connections, 1 cuts, 2 bytes to the server, 0 to the client; reset 1");
        assert_eq!(statistics.to_string(), shown);
        let json = serde_json::to_value(&statistics).unwrap();
        assert_eq!(json["seed"], SEED);
        assert_eq!(json["faults"]["reset"], 1);
    }
}
