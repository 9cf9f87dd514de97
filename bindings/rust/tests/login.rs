//! The driver against the dev server, over real TLS and HTTP on loopback: logins, refusals, messages, cut connections.

#[cfg(test)]
mod authentication;
#[cfg(test)]
mod support;
#[cfg(test)]
mod transports;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use epode::error::{ConnectionError, LoginError, Misuse, TlsError};
    use epode::{Element, Event, Failure, Offline, Refused, Stage};
    use epode_devserver::Personality;
    use epode_tokio::{CallError, Client, ConnectError, IdentityError, RequestError};

    use crate::support::{Authority, Log, Relay, Validity, chat, message, offline, online, within};

    const SASL_AUTH: &str = "<auth ";

    #[tokio::test]
    async fn a_certificate_logs_in_to_every_personality() {
        for personality in [Personality::Prosody, Personality::Ejabberd, Personality::Openfire] {
            let authority = Authority::new();
            let server = authority.serve(|settings| settings.personality = personality).await;
            let mut client = authority
                .by_certificate(&server, "user01", Validity::Now)
                .connect()
                .await
                .unwrap();
            let (jid, mechanism) = online(&mut client).await;
            assert_eq!(
                (jid.bare(), mechanism.as_str()),
                ("user01@localhost", "EXTERNAL"),
                "{personality:?}"
            );
            assert_eq!(within(client.stop()).await, Offline::Stopped, "{personality:?}");
            assert!(client.next().await.is_none());
            assert_eq!(server.violations(), [""; 0], "{personality:?}");
        }
    }

    #[tokio::test]
    async fn a_password_logs_in_by_scram_and_the_server_proves_itself() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let mut client = authority
            .by_password(&server, "user01", "user01's password")
            .connect()
            .await
            .unwrap();
        let (_, mechanism) = online(&mut client).await;
        assert!(mechanism.starts_with("SCRAM-SHA-"), "{mechanism}");
        assert_eq!(within(client.stop()).await, Offline::Stopped);
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn a_wrong_password_is_refused_once() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let log = Log::default();
        let mut client = log
            .on(authority.by_password(&server, "user01", "wrong"))
            .connect()
            .await
            .unwrap();
        let reason = offline(&mut client).await;
        let Offline::Login(LoginError::Refused { condition, .. }) = &reason else {
            panic!("{reason:?}")
        };
        assert_eq!(condition, "not-authorized");
        assert!(client.next().await.is_none());
        assert_eq!((log.count(SASL_AUTH), server.statistics().refusals), (1, 1));
    }

    #[tokio::test]
    async fn a_client_starts_again_after_a_goodbye() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let mut client = authority
            .by_certificate(&server, "user01", Validity::Now)
            .connect()
            .await
            .unwrap();
        online(&mut client).await;
        assert!(matches!(client.start().await, Err(CallError::Refused(_))));
        within(client.stop()).await;
        client.start().await.unwrap();
        online(&mut client).await;
        assert_eq!(within(client.stop()).await, Offline::Stopped);
        assert_eq!(server.statistics().logins, 2);
    }

    fn ping() -> Element {
        Element::builder("jabber:client", "iq")
            .attr("type", "get")
            .attr("to", "localhost")
            .child(Element::builder("urn:xmpp:ping", "ping"))
            .build()
            .unwrap()
    }

    #[tokio::test]
    async fn messages_and_requests_travel_between_two_users() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let mut first = authority
            .by_certificate(&server, "user01", Validity::Now)
            .connect()
            .await
            .unwrap();
        let mut second = authority
            .by_certificate(&server, "user02", Validity::Now)
            .connect()
            .await
            .unwrap();
        let (first_jid, _) = online(&mut first).await;
        let (second_jid, _) = online(&mut second).await;
        first.send(chat(&second_jid, "a < b & 'c'")).await.unwrap();
        assert_eq!(message(&mut second).await, "a < b & 'c'");
        let handle = second.handle();
        tokio::spawn(async move { handle.send(chat(&first_jid, "from another task")).await })
            .await
            .unwrap()
            .unwrap();
        assert_eq!(message(&mut first).await, "from another task");

        let answer = within(first.request(ping())).await.unwrap();
        assert_eq!(answer.attribute("type"), Some("result"));
        first.send(chat(&second_jid, "after the request")).await.unwrap();
        assert_eq!(message(&mut second).await, "after the request");
        within(first.stop()).await;
        within(second.stop()).await;
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn an_expired_certificate_is_noticed_before_the_server_is_asked() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let expired = authority
            .by_certificate(&server, "user01", Validity::Expired)
            .connect()
            .await
            .unwrap_err();
        assert!(
            matches!(&expired, ConnectError::Identity(IdentityError::Expired { .. })),
            "{expired:?}"
        );
        assert!(expired.to_string().contains("expired on 2001-01-01"), "{expired}");
        let early = authority
            .by_certificate(&server, "user01", Validity::NotYet)
            .connect()
            .await
            .unwrap_err();
        assert!(early.to_string().contains("valid only from 3000-01-01"), "{early}");
        assert_eq!(server.statistics().connections, 0);
    }

    #[tokio::test]
    async fn a_server_that_is_shown_an_expired_certificate_refuses_and_nobody_hangs() {
        for personality in [Personality::Prosody, Personality::Ejabberd, Personality::Openfire] {
            let authority = Authority::new();
            let server = authority.serve(|settings| settings.personality = personality).await;
            let builder = authority
                .by_certificate(&server, "user01", Validity::Expired)
                .allow_invalid_certificate(true);
            let mut client = builder.connect().await.unwrap();
            let reason = offline(&mut client).await;
            assert!(matches!(reason, Offline::Login(_)), "{personality:?}: {reason:?}");
        }
    }

    #[tokio::test]
    async fn a_certificate_refused_in_tls_is_explained() {
        let authority = Authority::new();
        let server = authority.serve(|settings| settings.refuse_in_tls = true).await;
        let builder = authority
            .by_certificate(&server, "user01", Validity::Expired)
            .allow_invalid_certificate(true);
        let mut client = builder.connect().await.unwrap();
        let reason = offline(&mut client).await;
        // Under TLS 1.3 the alert may be overtaken by the end of the connection: both name the certificate.
        assert!(
            reason.to_string().contains("client certificate was presented"),
            "{reason}"
        );
        let by_tls = Offline::Tls(TlsError::CertificateProbablyRefused) == reason
            || matches!(
                reason,
                Offline::Tls(TlsError::Alert {
                    certificate_presented: true,
                    ..
                })
            );
        assert!(by_tls, "{reason:?}");
    }

    #[tokio::test]
    async fn a_server_of_an_unknown_authority_is_not_told_anything() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let other = Authority::called("another authority");
        let mut client = other
            .by_password(&server, "user01", "user01's password")
            .connect()
            .await
            .unwrap();
        let reason = offline(&mut client).await;
        assert!(
            matches!(reason, Offline::Tls(TlsError::CertificateRejected { .. })),
            "{reason:?}"
        );
        assert!(
            reason
                .to_string()
                .contains("none of the authorities that are trusted here"),
            "{reason}"
        );
        assert_eq!(server.statistics().requests, 0);
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_said_at_once() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let builder = authority.by_certificate(&server, "user01", Validity::Now);
        server.shutdown().await;
        let mut client = builder.connect().await.unwrap();
        let reason = offline(&mut client).await;
        assert_eq!(reason, Offline::Connection(ConnectionError::Failed(Failure::Refused)));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn cut_connections_lose_nothing_and_duplicate_nothing() {
        let authority = Authority::new();
        let server = authority
            .serve(|settings| {
                settings.faults.drop_request_every = Some(9);
                settings.faults.drop_response_every = Some(4);
                settings.faults.answer_500_every = Some(11);
            })
            .await;
        // One after the other, so that no fault falls on a session's creation: that is a failure with its own reason.
        let mut first = authority
            .by_certificate(&server, "user01", Validity::Now)
            .connect()
            .await
            .unwrap();
        online(&mut first).await;
        let mut second = authority
            .by_certificate(&server, "user02", Validity::Now)
            .connect()
            .await
            .unwrap();
        let (second_jid, _) = online(&mut second).await;
        let sender = first.handle();
        let ender = first.handle();
        let sending = tokio::spawn(async move {
            for number in 0..30 {
                sender.send(chat(&second_jid, &number.to_string())).await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        });
        let fates = tokio::spawn(fates(first));
        for number in 0..30 {
            assert_eq!(message(&mut second).await, number.to_string());
        }
        within(sending).await.unwrap();
        // Until something follows it, the last request is held and its stanzas are not acknowledged.
        for _ in 0..2 {
            within(ender.request(ping(), None)).await.unwrap();
        }
        ender.stop().await;
        assert_eq!(within(fates).await.unwrap(), [Stage::Acked; 30]);
        within(second.stop()).await;
        assert_eq!(server.violations(), [""; 0]);
    }

    /// What became of each stanza, up to `Offline`.
    async fn fates(mut client: Client) -> Vec<Stage> {
        let mut fates = Vec::new();
        while let Some(event) = client.next().await {
            if let Event::Offline { reason } = event {
                assert_eq!(reason, Offline::Stopped);
            } else if let Event::Delivery { stage, .. } = event {
                fates.extend(
                    [stage]
                        .into_iter()
                        .filter(|stage| matches!(stage, Stage::Acked | Stage::Failed)),
                );
            }
        }
        fates
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_slow_application_stops_the_reading_and_loses_nothing() {
        const MESSAGES: usize = 400;
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let log = Log::default();
        let sender = authority.by_certificate(&server, "user01", Validity::Now);
        let receiver = log.on(authority.by_certificate(&server, "user02", Validity::Now));
        let mut receiver = receiver.connect().await.unwrap();
        let mut sender = sender.connect().await.unwrap();
        online(&mut sender).await;
        let (jid, _) = online(&mut receiver).await;
        let handle = sender.handle();
        let fates = tokio::spawn(fates(sender));
        for number in 0..MESSAGES {
            // Each in a request of its own, or nearly: otherwise one answer would bring them all.
            handle.send(chat(&jid, &number.to_string())).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(log.count("reading false") > 0, "the driver went on reading");
        let answers = log.count("<- ");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(
            log.count("<- "),
            answers,
            "answers were taken although nobody wanted them"
        );
        for number in 0..MESSAGES {
            assert_eq!(message(&mut receiver).await, number.to_string());
        }
        assert!(log.count("reading true") > 0);
        handle.stop().await;
        assert_eq!(within(fates).await.unwrap(), [Stage::Acked; MESSAGES]);
        within(receiver.stop()).await;
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_sends_without_looking_at_events_is_not_held_up() {
        const MESSAGES: usize = 200;
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let sender = authority.by_certificate(&server, "user01", Validity::Now);
        let receiver = authority.by_certificate(&server, "user02", Validity::Now);
        let mut receiver = receiver.connect().await.unwrap();
        let mut sender = sender.connect().await.unwrap();
        online(&mut sender).await;
        let (jid, _) = online(&mut receiver).await;
        for number in 0..MESSAGES {
            sender.send(chat(&jid, &number.to_string())).await.unwrap();
        }
        for number in 0..MESSAGES {
            assert_eq!(message(&mut receiver).await, number.to_string());
        }
        let handle = sender.handle();
        // Until something follows it, the last request is held and its stanzas are not acknowledged.
        for _ in 0..2 {
            within(handle.request(ping(), None)).await.unwrap();
        }
        let fates = tokio::spawn(fates(sender));
        handle.stop().await;
        assert_eq!(within(fates).await.unwrap(), [Stage::Acked; MESSAGES]);
        within(receiver.stop()).await;
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn a_client_that_was_full_says_when_it_has_room() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let mut client = authority
            .by_certificate(&server, "user01", Validity::Now)
            .connect()
            .await
            .unwrap();
        let jid = "user02@localhost".parse().unwrap();
        let full = within(async {
            loop {
                if let Err(error) = client.send(chat(&jid, "one of very many")).await {
                    return error;
                }
            }
        })
        .await;
        assert_eq!(full, CallError::Refused(Refused::Full));
        within(async { while !matches!(client.next().await.expect("an event"), Event::Writable) {} }).await;
        client.send(chat(&jid, "and one more")).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_starts_again_only_after_its_offline_was_taken() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let log = Log::default();
        let builder = log.on(authority.by_certificate(&server, "user01", Validity::Now));
        let mut client = builder.connect().await.unwrap();
        online(&mut client).await;
        client.handle().stop().await;
        within(async {
            while log.count("offline") == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let early = client.start().await;
        assert_eq!(early, Err(CallError::Refused(Refused::Misuse(Misuse::AlreadyStarted))));
        assert_eq!(offline(&mut client).await, Offline::Stopped);
        client.start().await.unwrap();
        online(&mut client).await;
        assert_eq!(within(client.stop()).await, Offline::Stopped);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_request_that_can_take_no_events_is_refused_and_does_not_hang() {
        const MESSAGES: usize = 24;
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let sender = authority.by_certificate(&server, "user01", Validity::Now);
        let receiver = authority.by_certificate(&server, "user02", Validity::Now);
        let mut receiver = receiver.connect().await.unwrap();
        let mut sender = sender.connect().await.unwrap();
        online(&mut sender).await;
        let (jid, _) = online(&mut receiver).await;
        let handle = sender.handle();
        let fates = tokio::spawn(fates(sender));
        let sending = handle.clone();
        let large = "x".repeat(200_000);
        let sending = tokio::spawn(async move {
            for _ in 0..MESSAGES {
                while let Err(error) = sending.send(chat(&jid, &large)).await {
                    assert_eq!(error, CallError::Refused(Refused::Full));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        });
        let refused = RequestError::Call(CallError::Refused(Refused::Full));
        within(async { while receiver.request(ping()).await != Err(refused.clone()) {} }).await;
        for _ in 0..MESSAGES {
            assert_eq!(message(&mut receiver).await.len(), 200_000);
        }
        within(sending).await.unwrap();
        within(receiver.request(ping())).await.unwrap();
        handle.stop().await;
        within(fates).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_changes_its_certificate_is_not_told_the_session() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let other = authority.serve(|_| {}).await;
        let relay = Relay::to(&server);
        let mut client = authority.by_relay(&relay, "user01").connect().await.unwrap();
        online(&mut client).await;
        relay.switch(&other);
        let reason = within(async {
            loop {
                if let Event::Offline { reason } = client.next().await.expect("an event") {
                    return reason;
                }
            }
        })
        .await;
        let Offline::Tls(TlsError::CertificateRejected { reason }) = &reason else {
            panic!("{reason:?}")
        };
        assert!(reason.contains("changed in the middle of the session"), "{reason}");
        assert_eq!(other.statistics().requests, 0);
    }

    #[tokio::test]
    async fn a_client_that_is_dropped_says_goodbye() {
        let authority = Authority::new();
        let server = authority.serve(|_| {}).await;
        let log = Log::default();
        let builder = log.on(authority.by_certificate(&server, "user01", Validity::Now));
        let mut client = builder.connect().await.unwrap();
        online(&mut client).await;
        let handle = client.handle();
        drop(client);
        within(async {
            while log.count("type='terminate'") < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let (jid, text) = ("user02@localhost".parse().unwrap(), "too late");
        within(async { while handle.send(chat(&jid, text)).await != Err(CallError::Gone) {} }).await;
    }
}
