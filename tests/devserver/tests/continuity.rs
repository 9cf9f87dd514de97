//! XEP-0198 over TCP and WebSocket: counts, sessions that outlive their connection, and what must not be done.

#[cfg(test)]
#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod support;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use epode_devserver::{Cut, Server, Transport};

    use crate::support::link::{LINKS, Link, SM};
    use crate::support::{Authority, CLIENT, Client, start};

    const NONE: [&str; 0] = [];

    async fn waits(server: &Server) {
        while server.control().waiting_sessions() == 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn resume(link: &mut Link, id: &str, h: u32) -> String {
        link.send(&format!("<resume {SM} previd='{id}' h='{h}'/>")).await;
        link.until(">").await
    }

    #[tokio::test]
    async fn a_stanza_that_was_lost_comes_again_once() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let control = server.control();
        for (from, to) in LINKS.iter().flat_map(|from| LINKS.map(|to| (*from, to))) {
            let mut friend = Link::online(&server, Transport::DirectTls, &authority, "user02", "friend").await;
            let mut link = Link::online(&server, from, &authority, "user01", "a").await;
            let id = link.enable().await;
            link.message("user02@localhost/friend", "counted").await;
            friend.message("user01@localhost/a", "seen").await;
            link.until("seen</body></message>").await;
            link.until(&format!("<r {SM}/>")).await;
            link.send(&format!("<a {SM} h='1'/>")).await;
            link.ping("p").await;
            // The friend's next one is on its way when the connection breaks, and the one after finds nobody.
            control.change(from, |faults| faults.stall = true);
            if from != Transport::DirectTls {
                friend.message("user01@localhost/a", "lost").await;
                friend.ping("routed").await;
            }
            control.change(from, |faults| faults.stall = false);
            drop(link);
            waits(&server).await;
            friend.message("user01@localhost", "later").await;
            friend.ping("routed, too").await;

            let mut link = Link::logged_in(&server, to, &authority, "user01").await;
            // The message and the ping were handled; the first message and the answer to the ping were received.
            assert_eq!(
                resume(&mut link, &id, 2).await,
                format!("<resumed {SM} previd='{id}' h='2'/>")
            );
            let again = link.ping("q").await;
            let lost = usize::from(from != Transport::DirectTls);
            assert_eq!(again.matches(">lost<").count(), lost, "{again}");
            assert_eq!(again.matches(">later<").count(), 1, "{again}");
            assert!(!again.contains(">seen<"), "{again}");
            link.send(&format!("<a {SM} h='{}'/>", 4 + lost)).await;
            link.message("user02@localhost/friend", "still me").await;
            let message = friend.until(">still me</body></message>").await;
            assert!(message.contains("from='user01@localhost/a'"), "{message}");
            assert_eq!(control.waiting_sessions(), 0);
        }
        assert_eq!(server.violations(), NONE);
        let statistics = server.statistics();
        assert_eq!(
            (statistics.enables, statistics.resumes, statistics.failed_resumes),
            (9, 9, 0)
        );
    }

    #[tokio::test]
    async fn counts_are_asked_for_and_told() {
        let authority = Authority::new();
        let server = start(&authority, |settings| {
            let sm = settings.stream_management.as_mut().unwrap();
            sm.ask_every = 2;
            sm.location = Some("[::1]:5223".into());
        })
        .await;
        for transport in LINKS {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            link.send(&format!("<enable {SM} resume='true' max='60'/>")).await;
            let enabled = link.until("/>").await;
            assert!(enabled.contains("max='60' location='[::1]:5223'"), "{enabled}");
            link.send(&format!("<r {SM}/>")).await;
            link.until(&format!("<a {SM} h='0'/>")).await;
            link.message("user01@localhost/a", "one").await;
            link.ping("two").await;
            assert_eq!(link.until(&format!("<r {SM}/>")).await, format!("<r {SM}/>"));
            link.send(&format!("<r {SM}/>")).await;
            link.until(&format!("<a {SM} h='2'/>")).await;
            // Not asked again before it is answered.
            link.message("user01@localhost/a", "three").await;
            assert!(!link.ping("four").await.contains("<r "));
            link.send(&format!("<a {SM} h='4'/>")).await;
            link.until(&format!("<r {SM}/>")).await;
            link.send(&format!("<presence {CLIENT}/>")).await;
            match transport {
                Transport::WebSocket => link.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>").await,
                Transport::StartTls | Transport::DirectTls | Transport::Bosh => link.send("</stream:stream>").await,
            }
            link.until(&format!("<a {SM} h='5'/>")).await;
        }
        assert_eq!(server.violations(), NONE);
        assert_eq!(server.control().waiting_sessions(), 0);
    }

    #[tokio::test]
    async fn a_session_that_is_gone_is_answered_with_its_count_and_its_sender_hears() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let control = server.control();
        let mut friend = Client::online(&server, &authority, "user02", "friend").await;
        for transport in LINKS {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            let id = link.enable().await;
            for _ in 0..3 {
                link.message("nobody@localhost", "counted").await;
            }
            link.ping("p").await;
            control.change_all(|faults| faults.refuse_resume = true);
            assert_eq!(control.cut(transport, Cut::Reset), 1);
            waits(&server).await;
            let message = format!("<message {CLIENT} to='user01@localhost/a' id='m1'><body>in vain</body></message>");
            // The ping has an answer, so that the request is not held.
            let ping = format!("<iq {CLIENT} type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
            assert!(!friend.send(&format!("{message}{ping}")).await.contains("<message"));
            let mut link = Link::logged_in(&server, transport, &authority, "user01").await;
            let asked = friend.body("", "");
            let (failed, error) = tokio::join!(resume(&mut link, &id, 4), friend.connection.post(&asked));
            assert_eq!(failed, format!("<failed {SM} h='4'>"));
            link.until("<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
                .await;
            assert!(
                error.contains("type='error' id='m1'") && error.contains("<recipient-unavailable"),
                "{error}"
            );
            control.change_all(|faults| faults.refuse_resume = false);

            // Still gone, and the client goes on without.
            assert_eq!(resume(&mut link, &id, 4).await, format!("<failed {SM} h='4'>"));
            link.until("</failed>").await;
            assert_eq!(resume(&mut link, "unknown", 4).await, format!("<failed {SM}>"));
            link.until("</failed>").await;
            assert_eq!(link.bind("a").await, "user01@localhost/a");
        }
    }

    #[tokio::test]
    async fn a_session_waits_no_longer_than_it_said() {
        let authority = Authority::new();
        let server = start(&authority, |settings| {
            settings.stream_management.as_mut().unwrap().max = 1;
        })
        .await;
        let mut link = Link::online(&server, Transport::DirectTls, &authority, "user01", "a").await;
        let id = link.enable().await;
        drop(link);
        waits(&server).await;
        while server.control().waiting_sessions() != 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut link = Link::logged_in(&server, Transport::DirectTls, &authority, "user01").await;
        assert_eq!(resume(&mut link, &id, 0).await, format!("<failed {SM} h='0'>"));
        link.until("</failed>").await;
        assert_eq!(link.bind("a").await, "user01@localhost/a");
        assert_eq!(server.violations(), NONE);
        assert_eq!(server.statistics().failed_resumes, 1);
    }

    #[tokio::test]
    async fn a_session_can_be_resumed_while_its_old_connection_still_stands() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        for transport in LINKS {
            let mut old = Link::online(&server, transport, &authority, "user01", "a").await;
            let id = old.enable().await;
            let mut new = Link::logged_in(&server, transport, &authority, "user01").await;
            resume(&mut new, &id, 0).await;
            assert!(old.until("</stream:error>").await.contains("<conflict xmlns="));
            drop(old);
            new.ping("p").await;
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn nobody_resumes_the_session_of_another() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut theirs = Link::online(&server, Transport::DirectTls, &authority, "user02", "a").await;
        let id = theirs.enable().await;
        let mut mine = Link::logged_in(&server, Transport::DirectTls, &authority, "user01").await;
        assert_eq!(resume(&mut mine, &id, 0).await, format!("<failed {SM}>"));
        theirs.ping("p").await;
    }

    #[tokio::test]
    async fn a_resumption_that_acknowledges_too_much_ends_the_session() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut link = Link::online(&server, Transport::WebSocket, &authority, "user01", "a").await;
        let id = link.enable().await;
        link.ping("p").await;
        drop(link);
        waits(&server).await;
        let mut link = Link::logged_in(&server, Transport::WebSocket, &authority, "user01").await;
        link.send(&format!("<resume {SM} previd='{id}' h='2'/>")).await;
        let error = link.until("</stream:error>").await;
        assert!(error.contains(&format!("<handled-count-too-high {SM} h='2' send-count='1'/>")));
        assert_eq!(server.control().waiting_sessions(), 0);
        assert_eq!(server.violations(), ["h='2' where 1 stanzas were sent"]);
    }

    #[tokio::test]
    async fn what_was_forgotten_has_no_count() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut link = Link::online(&server, Transport::WebSocket, &authority, "user01", "a").await;
        let id = link.enable().await;
        drop(link);
        waits(&server).await;
        server.control().forget_sessions();
        let mut link = Link::logged_in(&server, Transport::WebSocket, &authority, "user01").await;
        assert_eq!(resume(&mut link, &id, 0).await, format!("<failed {SM}>"));
    }

    #[tokio::test]
    async fn what_xep_0198_forbids_is_recorded() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let expected = format!("<failed {SM}><unexpected-request");
        for transport in LINKS {
            let mut link = Link::logged_in(&server, transport, &authority, "user01").await;
            link.send(&format!("<enable {SM}/>")).await;
            link.until(&expected).await;
            link.bind("a").await;
            link.send(&format!("<r {SM}/>")).await;
            let id = link.enable().await;
            link.send(&format!("<enable {SM}/>")).await;
            link.until(&expected).await;
            link.send(&format!("<resume {SM} previd='{id}' h='0'/>")).await;
            link.until(&expected).await;
            link.message("user01@localhost/a", "one").await;
            link.until("</message>").await;
            link.send(&format!("<a {SM} h='2'/>")).await;
            let error = link.until("</stream:error>").await;
            assert!(error.contains("<undefined-condition xmlns="), "{error}");
            assert!(
                error.contains(&format!("<handled-count-too-high {SM} h='2' send-count='1'/>")),
                "{error}"
            );

            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            link.enable().await;
            link.send(&format!("<a {SM}/>")).await;
            assert!(link.until("</stream:error>").await.contains("<bad-format"));
        }
        let once = [
            "<enable/> before binding a resource",
            "<r/> before stream management was enabled",
            "<enable/> for the second time",
            "<resume/> after binding a resource",
            "h='2' where 1 stanzas were sent",
            "<a/> without a count in `h`",
        ];
        assert_eq!(server.violations(), [once, once, once].concat());
    }

    #[tokio::test]
    async fn it_can_be_refused_and_left_out() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        server.control().change_all(|faults| faults.refuse_enable = true);
        let mut link = Link::online(&server, Transport::DirectTls, &authority, "user01", "a").await;
        link.send(&format!("<enable {SM} resume='true'/>")).await;
        link.until(&format!("<failed {SM}><internal-server-error")).await;
        assert_eq!(server.violations(), NONE);

        let server = start(&authority, |settings| settings.stream_management = None).await;
        let mut link = Link::connect(&server, Transport::DirectTls, &authority, None).await;
        link.open().await;
        link.scram("user01").await;
        assert!(!link.open().await.contains("urn:xmpp:sm"));
    }
}
