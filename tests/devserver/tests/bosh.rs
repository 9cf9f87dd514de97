//! The rules of BOSH: order, resends, waiting, limits, ends; and stanzas between two users.

#[cfg(test)]
#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod support;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use epode_devserver::Server;

    use crate::support::{Authority, CLIENT, Client, Connection, NS, between, start};

    async fn server(authority: &Authority) -> Server {
        start(authority, |_| {}).await
    }

    fn ping(id: &str) -> String {
        format!("<iq {CLIENT} type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
    }

    #[tokio::test]
    async fn a_resend_gets_the_same_bytes_and_is_processed_once() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let message = format!("<message {CLIENT} to='user01@localhost'><body>once</body></message>");
        let body = client.body("", &message);
        let first = client.connection.post(&body).await;
        assert_eq!(first.matches("<message").count(), 1);
        let mut second = Connection::open(&server, &authority, None).await;
        assert_eq!(second.post(&body).await, first);
        let next = client.send(&ping("p")).await;
        assert!(next.contains("id='p'") && !next.contains("<message"), "{next}");
        assert_eq!(server.violations(), [""; 0]);

        let forged = body.replace("once", "twice");
        assert!(second.post(&forged).await.contains("condition='bad-request'"));
        assert_eq!(server.violations().len(), 1);
    }

    #[tokio::test]
    async fn requests_out_of_order_are_answered_in_order() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let (one, two) = (client.body("", &ping("one")), client.body("", &ping("two")));
        let mut other = Connection::open(&server, &authority, None).await;
        let late = tokio::spawn(async move { other.post(&two).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!late.is_finished());
        assert!(client.connection.post(&one).await.contains("id='one'"));
        assert!(late.await.unwrap().contains("id='two'"));
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn a_terminate_may_overtake_the_requests_before_it() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let (poll, message) = (client.body("", ""), client.body("", &ping("one")));
        let goodbye = client.body("type='terminate'", "");
        let mut late = Vec::new();
        // XEP-0124 §11: with two requests allowed, the goodbye is the third.
        for body in [poll, goodbye] {
            let mut other = Connection::open(&server, &authority, None).await;
            late.push(tokio::spawn(async move { other.post(&body).await }));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.connection.post(&message).await;
        for answer in late {
            assert!(!answer.await.unwrap().contains("condition="));
        }
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn a_held_request_delivers_what_another_user_sends() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut receiver = Client::online(&server, &authority, "user02", "b").await;
        let mut sender = Client::online(&server, &authority, "user01", "a").await;
        let held = tokio::spawn(async move { (receiver.send("").await, receiver) });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!held.is_finished());
        let message = |to| format!("<message {CLIENT} type='chat' to='{to}' id='m'><body>a &lt; b</body></message>");
        let long = sender.body("", &message("user02@localhost"));
        let sending = tokio::spawn(async move { sender.connection.post(&long).await });
        let (delivered, mut receiver) = held.await.unwrap();
        assert!(delivered.contains("from='user01@localhost/a'"), "{delivered}");
        assert!(delivered.contains("<body>a &lt; b</body>"), "{delivered}");

        let refused = receiver.send(&message("nobody@localhost")).await;
        assert!(
            refused.contains("type='error'") && refused.contains("<service-unavailable"),
            "{refused}"
        );
        let refused = receiver.send(&message("a@elsewhere")).await;
        assert!(refused.contains("<remote-server-not-found"), "{refused}");
        assert!(!sending.await.unwrap().contains("<message"));
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn an_empty_answer_comes_after_wait_and_not_before() {
        let authority = Authority::new();
        let server = start(&authority, |settings| settings.bosh.wait = Some(1)).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let started = Instant::now();
        let answer = client.send("").await;
        let waited = started.elapsed();
        assert!(answer.ends_with("/>"), "{answer}");
        assert!(
            (Duration::from_millis(990)..Duration::from_secs(5)).contains(&waited),
            "{waited:?}"
        );
    }

    #[tokio::test]
    async fn a_request_whose_connection_died_loses_nothing() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut receiver = Client::online(&server, &authority, "user02", "b").await;
        let mut sender = Client::online(&server, &authority, "user01", "a").await;
        let poll = receiver.body("", "");
        let mut doomed = Connection::open(&server, &authority, None).await;
        let asked = poll.clone();
        let dying = tokio::spawn(async move { doomed.post(&asked).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        dying.abort();
        let message = format!(
            "<message {CLIENT} to='user02@localhost/b'><body>kept</body></message>{}",
            ping("p")
        );
        assert!(sender.send(&message).await.contains("id='p'"));
        assert!(receiver.connection.post(&poll).await.contains("kept"));
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn a_resend_while_held_takes_over_from_the_old_connection() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let poll = client.body("", "");
        let again = poll.clone();
        let mut old = Connection::open(&server, &authority, None).await;
        let old = tokio::spawn(async move { old.post(&poll).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut new = Connection::open(&server, &authority, None).await;
        let new = tokio::spawn(async move { new.post(&again).await });
        assert!(old.await.unwrap().contains("type='error'"));
        assert!(!new.await.unwrap().contains("type="));
    }

    #[tokio::test]
    async fn terminate_answers_all_and_frees_the_resource() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let poll = client.body("", "");
        let mut other = Connection::open(&server, &authority, None).await;
        let held = tokio::spawn(async move { other.post(&poll).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let goodbye = client.body("type='terminate'", &format!("<presence {CLIENT} type='unavailable'/>"));
        let (last, held) = (client.connection.post(&goodbye).await, held.await.unwrap());
        assert!(
            held.contains("type='terminate'") && !held.contains("condition="),
            "{held}"
        );
        assert!(!last.contains("condition="), "{last}");
        assert!(client.send("").await.contains("condition='item-not-found'"));
        assert_eq!(server.violations(), [""; 0]);
    }

    #[tokio::test]
    async fn what_is_not_allowed_ends_with_its_condition() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut connection = Connection::open(&server, &authority, None).await;
        for (body, condition) in [
            ("<body".to_owned(), "bad-request"),
            ("<body rid='1'/>".to_owned(), "bad-request"),
            (format!("<body {NS} to='localhost'/>"), "bad-request"),
            (
                format!("<body {NS} rid='9007199254740992' to='localhost'/>"),
                "bad-request",
            ),
            (format!("<body {NS} rid='1' to='localhost'>text</body>"), "bad-request"),
            (format!("<body {NS} rid='1'/>"), "improper-addressing"),
            (format!("<body {NS} rid='1' to='elsewhere'/>"), "host-unknown"),
            (format!("<body {NS} rid='1' sid='unknown'/>"), "item-not-found"),
        ] {
            let answer = connection.post(&body).await;
            assert!(
                answer.contains(&format!("type='terminate' condition='{condition}'")),
                "{body}: {answer}"
            );
        }
        assert_eq!(server.violations().len(), 5);
    }

    #[tokio::test]
    async fn the_window_and_the_pace_are_enforced() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        client.rid += 2;
        assert!(client.send("").await.contains("condition='item-not-found'"));

        let mut client = Client::online(&server, &authority, "user01", "b").await;
        let poll = client.body("", "");
        let mut other = Connection::open(&server, &authority, None).await;
        let held = tokio::spawn(async move { other.post(&poll).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(client.send("").await.contains("condition='policy-violation'"));
        assert!(held.await.unwrap().contains("condition='policy-violation'"));
        assert_eq!(server.violations().len(), 2);
    }

    #[tokio::test]
    async fn stanzas_before_their_time_end_the_stream() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::create(Connection::open(&server, &authority, None).await).await;
        let answer = client.send(&ping("early")).await;
        assert!(
            answer.contains("condition='remote-stream-error'") && answer.contains("<not-authorized"),
            "{answer}"
        );

        let mut client = Client::create(Connection::open(&server, &authority, None).await).await;
        client.plain("user01").await;
        client.restart().await;
        let answer = client.send(&ping("unbound")).await;
        assert!(answer.contains("<stream:error><not-authorized"), "{answer}");
    }

    #[tokio::test]
    async fn a_second_login_with_the_same_resource_replaces_the_first() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut first = Client::online(&server, &authority, "user01", "same").await;
        let held = tokio::spawn(async move { first.send("").await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        Client::online(&server, &authority, "user01", "same").await;
        assert!(held.await.unwrap().contains("<stream:error><conflict"));
    }

    #[tokio::test]
    async fn the_server_answers_for_itself() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let get = |id, query| format!("<iq {CLIENT} type='get' id='{id}'>{query}</iq>");
        let several = [
            get("roster", "<query xmlns='jabber:iq:roster'/>"),
            get("other", "<query xmlns='unheard:of'/>"),
            get("again", "<ping xmlns='urn:xmpp:ping'/>"),
        ];
        let answer = client.send(&several.concat()).await;
        assert!(
            answer.contains("id='roster' from='localhost' to='user01@localhost/a'><query xmlns='jabber:iq:roster'/>"),
            "{answer}"
        );
        assert!(between(&answer, "id='other'", "</iq>").contains("<service-unavailable"));
        assert!(answer.contains("type='result' id='again'"));
    }

    #[tokio::test]
    async fn a_pause_answers_what_waits_and_outlives_inactivity() {
        let authority = Authority::new();
        let server = start(&authority, |settings| {
            settings.bosh.inactivity = Some(1);
            settings.bosh.max_pause = Some(60);
        })
        .await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        assert!(client.creation.contains("maxpause='60'"));
        let poll = client.body("", "");
        let mut other = Connection::open(&server, &authority, None).await;
        let held = tokio::spawn(async move { other.post(&poll).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let pause = client.body("pause='30'", "");
        client.connection.post(&pause).await;
        assert!(!held.await.unwrap().contains("type="));
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(client.send(&ping("p")).await.contains("id='p'"));
        assert_eq!(server.violations(), [""; 0]);
        let pause = client.body("pause='61'", "");
        assert!(
            client
                .connection
                .post(&pause)
                .await
                .contains("condition='policy-violation'")
        );
    }

    #[tokio::test]
    async fn a_polling_session_is_answered_at_once_and_must_keep_the_pace() {
        let authority = Authority::new();
        let server = start(&authority, |settings| settings.bosh.wait = Some(0)).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let started = Instant::now();
        assert!(client.send("").await.ends_with("/>"));
        assert!(started.elapsed() < Duration::from_secs(1));
        assert!(
            client.send(&ping("p")).await.contains("id='p'"),
            "content may come at any time"
        );
        assert!(client.send("").await.ends_with("/>"));
        assert_eq!(server.violations(), [""; 0]);
        assert!(client.send("").await.contains("condition='policy-violation'"));
    }

    #[tokio::test]
    async fn a_silent_session_is_forgotten() {
        let authority = Authority::new();
        let server = start(&authority, |settings| settings.bosh.inactivity = Some(1)).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert!(client.send("").await.contains("condition='item-not-found'"));
    }

    #[tokio::test]
    async fn shutting_down_tells_those_who_wait() {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = Client::online(&server, &authority, "user01", "a").await;
        let held = tokio::spawn(async move { client.send("").await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.shutdown().await;
        assert!(held.await.unwrap().contains("condition='system-shutdown'"));
    }

    #[tokio::test]
    async fn faults_come_when_they_are_due() {
        let authority = Authority::new();
        let server = start(&authority, |settings| {
            settings.faults.answer_500_every = Some(2);
            settings.faults.drop_response_every = Some(2);
        })
        .await;
        let mut client = Client::create(Connection::open(&server, &authority, None).await).await;
        let body = client.body("", "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        assert_eq!(client.connection.try_post(&body).await.unwrap().0, 500);
        assert!(client.connection.try_post(&body).await.is_err(), "processed, and cut");
        let mut again = Connection::open(&server, &authority, None).await;
        assert_eq!(again.try_post(&body).await.unwrap().0, 500);
        assert!(again.post(&body).await.contains("<aborted/>"));
        assert_eq!(server.statistics().refusals, 1);
        assert_eq!(server.violations(), [""; 0]);
    }
}
