//! A server that is killed and started again: what was under way ends as acknowledged or failed, and the clients go on.
//!
//! A file of its own, because no other test may use the servers meanwhile.

#[cfg(test)]
mod tests {
    use epode::{Offline, Stage};
    use epode_interop::{Login, Peer, Servers, Way};
    use tokio::sync::Mutex;

    const MESSAGES: usize = 20;
    const WAYS: [Way; 4] = [Way::StartTls, Way::DirectTls, Way::WebSocket, Way::Bosh];

    /// `revive` writes the list of all servers: one at a time.
    static ONE: Mutex<()> = Mutex::const_new(());

    fn login(server: &'static str, user: &str, way: Way) -> Login {
        Login::new(server, &format!("{user}@localhost/crash-{way:?}"))
            .by(way)
            .password("pw")
    }

    /// One client on each transport sends to one that sits still; the server dies in the middle of it.
    async fn goes_on_after(server: &'static str) {
        let _alone = ONE.lock().await;
        let servers = Servers::find().unwrap();
        let mut sink = Peer::online(&login(server, "user01", Way::DirectTls)).await.unwrap();
        let mut senders = Vec::new();
        for way in WAYS {
            senders.push(Peer::online(&login(server, "user02", way)).await.unwrap());
        }
        let to = sink.jid.clone();
        for sender in &mut senders {
            sender.send(&to, 0..MESSAGES).await.unwrap();
        }
        servers.command("kill", server).await.unwrap();
        for sender in &mut senders {
            sender.send(&to, MESSAGES..2 * MESSAGES).await.unwrap();
        }
        servers.command("revive", server).await.unwrap();
        sink.until("the second Online", |peer| peer.onlines.len() > 1)
            .await
            .unwrap();
        for sender in &mut senders {
            sender
                .until("the second Online", |peer| peer.onlines.len() > 1)
                .await
                .unwrap();
            sender.settled().await.unwrap();
            assert_eq!(
                sender.onlines,
                [false, false],
                "{server} has forgotten its sessions: {sender:?}"
            );
            assert_eq!(
                sender.ended(Stage::Acked) + sender.ended(Stage::Failed),
                2 * MESSAGES,
                "{sender:?}"
            );
            // What waited for the new session is not lost with the old one.
            sender.send(&to, 2 * MESSAGES..3 * MESSAGES).await.unwrap();
            sender.settled().await.unwrap();
            assert!(sender.ended(Stage::Acked) >= MESSAGES, "{sender:?}");
        }
        let expected = senders.len();
        sink.until("the last message of each", |peer| {
            let last = (3 * MESSAGES - 1).to_string();
            peer.received.iter().filter(|(_, body)| *body == last).count() == expected
        })
        .await
        .unwrap();
        for sender in &senders {
            let numbers = sink.numbers_from(&sender.jid);
            assert!(
                numbers.is_sorted_by(|a, b| a < b),
                "once each and in order: {numbers:?}"
            );
        }
        for peer in senders.into_iter().chain([sink]) {
            assert_eq!(peer.leave().await.offline, Some(Offline::Stopped));
        }
    }

    /// Messages to somebody who is away: what was acknowledged is there after the crash.
    async fn keeps_what_it_acknowledged(server: &'static str) {
        let _alone = ONE.lock().await;
        let mut sender = Peer::online(&login(server, "user03", Way::StartTls)).await.unwrap();
        let account = "user04@localhost".parse().unwrap();
        sender.send(&account, 0..MESSAGES).await.unwrap();
        sender.settled().await.unwrap();
        assert_eq!(sender.ended(Stage::Acked), MESSAGES);
        let servers = Servers::find().unwrap();
        servers.command("kill", server).await.unwrap();
        servers.command("revive", server).await.unwrap();
        let mut receiver = Peer::online(&login(server, "user04", Way::WebSocket)).await.unwrap();
        receiver.available().await.unwrap();
        receiver
            .until("what was kept", |peer| peer.received.len() >= MESSAGES)
            .await
            .unwrap();
        assert_eq!(receiver.numbers_from(&sender.jid), (0..MESSAGES).collect::<Vec<_>>());
        receiver.leave().await;
        sender.leave().await;
    }

    #[tokio::test]
    async fn prosody_13() {
        goes_on_after("prosody-13").await;
    }

    #[tokio::test]
    async fn prosody_0_12() {
        goes_on_after("prosody-0.12").await;
    }

    #[tokio::test]
    async fn ejabberd_24() {
        goes_on_after("ejabberd-24").await;
    }

    #[tokio::test]
    async fn ejabberd_23() {
        goes_on_after("ejabberd-23").await;
    }

    /// ejabberd writes its database later, and loses them.
    #[tokio::test]
    async fn prosody_13_keeps_what_it_acknowledged() {
        keeps_what_it_acknowledged("prosody-13").await;
    }

    #[tokio::test]
    async fn prosody_0_12_keeps_what_it_acknowledged() {
        keeps_what_it_acknowledged("prosody-0.12").await;
    }
}
