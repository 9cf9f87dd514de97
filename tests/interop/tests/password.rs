//! Passwords over BOSH on every server: the mechanisms that they offer, a wrong password, two factors, and a conversation.

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use epode::error::LoginError;
    use epode::{Event, Offline, ServerProof, Stage, stanza};
    use epode_interop::Login;
    use epode_tokio::Client;

    const SERVERS: [&str; 3] = ["prosody-13", "prosody-0.12", "ejabberd-24"];

    /// The best that is there over BOSH.
    fn strongest(server: &str) -> &'static str {
        match server {
            "ejabberd-24" => "SCRAM-SHA-512",
            _ => "SCRAM-SHA-256",
        }
    }

    #[tokio::test]
    async fn scram_proves_both_sides() {
        for server in SERVERS {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
                let login = Login::new(server, "user01@localhost/scram")
                    .password("pw")
                    .only(mechanism);
                let online = login.run().await.unwrap().result.unwrap();
                assert_eq!(online.account, "user01@localhost", "{server}");
                assert_eq!(online.mechanism, mechanism, "{server}");
                assert_eq!(online.proof, ServerProof::Verified, "{server}");
            }
        }
    }

    #[tokio::test]
    async fn the_strongest_mechanism_is_chosen() {
        for server in SERVERS {
            let outcome = Login::new(server, "user02@localhost/strongest")
                .password("pw")
                .run()
                .await
                .unwrap();
            assert_eq!(outcome.result.unwrap().mechanism, strongest(server), "{server}");
        }
    }

    #[tokio::test]
    async fn plain_works_where_it_is_allowed() {
        for server in SERVERS {
            let login = Login::new(server, "user03@localhost/plain")
                .password("pw")
                .only("PLAIN");
            let online = login.run().await.unwrap().result.unwrap();
            assert_eq!(
                (online.mechanism.as_str(), online.proof),
                ("PLAIN", ServerProof::None),
                "{server}"
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_password_is_refused_once_and_not_retried() {
        for server in SERVERS {
            let outcome = Login::new(server, "user04@localhost/wrong")
                .password("not it")
                .run()
                .await
                .unwrap();
            match &outcome.result {
                Err(Offline::Login(LoginError::Refused {
                    mechanism, condition, ..
                })) => {
                    assert_eq!(
                        (mechanism.as_str(), condition.as_str()),
                        (strongest(server), "not-authorized"),
                        "{server}"
                    );
                }
                _ => panic!("{server}: {outcome:?}"),
            }
            assert_eq!(outcome.attempts, 1, "{server}");
        }
    }

    #[tokio::test]
    async fn a_certificate_and_a_password_together() {
        for server in ["prosody-13", "prosody-0.12"] {
            let login = Login::new(server, "user01@localhost/both")
                .certificate("password-user")
                .password("pw");
            let online = login.run().await.unwrap().result.unwrap();
            assert_eq!(
                online.mechanism, "SCRAM-SHA-256",
                "{server}: never EXTERNAL, which would leave the password out"
            );
            assert_eq!(online.asked, Some(true), "{server}");
        }
    }

    async fn online(client: &mut Client) {
        while let Some(event) = client.next().await {
            if let Event::Offline { reason } = event {
                panic!("{reason}");
            } else if let Event::Online { .. } = event {
                return;
            }
        }
        panic!("no Online");
    }

    #[tokio::test]
    async fn messages_arrive_in_order_and_are_acknowledged() {
        const MESSAGES: usize = 50;
        for server in SERVERS {
            let (mut alice, _) = Login::new(server, "user05@localhost/talk")
                .password("pw")
                .connect()
                .await
                .unwrap();
            let (mut bob, _) = Login::new(server, "user06@localhost/talk")
                .password("pw")
                .connect()
                .await
                .unwrap();
            tokio::time::timeout(Duration::from_secs(120), async {
                online(&mut alice).await;
                online(&mut bob).await;
                let to = "user06@localhost/talk".parse().unwrap();
                for number in 0..MESSAGES {
                    alice
                        .send(stanza::chat(&to, &number.to_string()).unwrap())
                        .await
                        .unwrap();
                }
                let mut received = Vec::new();
                while received.len() < MESSAGES {
                    if let Some(Event::Stanza { stanza, .. }) = bob.next().await
                        && let Some(body) = stanza.child("jabber:client", "body")
                    {
                        assert_eq!(stanza.attribute("from"), Some("user05@localhost/talk"), "{server}");
                        received.push(body.text().parse::<usize>().unwrap());
                    }
                }
                assert_eq!(received, (0..MESSAGES).collect::<Vec<_>>(), "{server}");
                assert_eq!(bob.stop().await, Offline::Stopped, "{server}");
                // The goodbye makes the server answer what it still holds, so every message is settled by then.
                alice.handle().stop().await;
                let mut acked = 0;
                while let Some(event) = alice.next().await {
                    if let Event::Delivery { stage, .. } = event {
                        assert_ne!(stage, Stage::Failed, "{server}");
                        acked += usize::from(stage == Stage::Acked);
                    } else if let Event::Offline { reason } = event {
                        assert_eq!(reason, Offline::Stopped, "{server}");
                        break;
                    }
                }
                assert_eq!(acked, MESSAGES, "{server}");
            })
            .await
            .unwrap_or_else(|_| panic!("{server}: no end in two minutes"));
        }
    }
}
