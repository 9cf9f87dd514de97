//! TCP and WebSocket: login, the rules of streams, how they end, and users on different transports.

#[cfg(test)]
#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod support;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use epode_devserver::{Cut, Personality, Server, Transport};
    use tokio::net::TcpStream;

    use crate::support::link::{FRAMING, HEADER, LINKS, Link, handshake, upgrade};
    use crate::support::{Authority, CLIENT, Client, Connection, SASL, Validity, start, start_as, tls};

    const NONE: [&str; 0] = [];

    #[tokio::test]
    async fn a_certificate_or_a_password_logs_in_on_each_transport() {
        let authority = Authority::new();
        let identity = authority.client(&["user01@localhost"], Validity::Now);
        for personality in [Personality::Prosody, Personality::Ejabberd, Personality::Openfire] {
            let server = start_as(&authority, personality).await;
            for transport in LINKS {
                if transport == Transport::WebSocket && personality == Personality::Openfire {
                    assert_eq!(server.websocket_url(), None);
                    continue;
                }
                let mut link = Link::connect(&server, transport, &authority, Some(&identity)).await;
                let features = link.open().await;
                assert!(features.contains("<mechanism>EXTERNAL</mechanism>"), "{features}");
                assert!(
                    !features.contains("starttls") && !features.contains("urn:xmpp:sm:3"),
                    "{features}"
                );
                link.external().await;
                let features = link.open().await;
                assert!(
                    features.contains("urn:xmpp:csi:0") && features.contains("urn:xmpp:sm:3"),
                    "{features}"
                );
                assert_eq!(link.bind("a").await, "user01@localhost/a");

                let mut link = Link::online(&server, transport, &authority, "user02", "b").await;
                link.send("<inactive xmlns='urn:xmpp:csi:0'/>").await;
                link.ping("p").await;
            }
            assert_eq!(server.violations(), NONE);
            let statistics = server.statistics();
            assert_eq!(statistics.logins, 2 * statistics.client_states);
            server.shutdown().await;
        }
    }

    #[tokio::test]
    async fn users_reach_each_other_from_every_transport_to_every_other() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut links = Vec::new();
        for (transport, name) in LINKS.into_iter().zip(["starttls", "direct", "websocket"]) {
            links.push((Link::online(&server, transport, &authority, "user01", name).await, name));
        }
        let mut bosh = Client::online(&server, &authority, "user02", "bosh").await;
        for from in 0..3 {
            let name = links[from].1;
            for to in 0..3 {
                let address = format!("user01@localhost/{}", links[to].1);
                links[from].0.message(&address, "a &lt; b").await;
                let message = links[to].0.until("</message>").await;
                assert!(
                    message.contains(&format!("from='user01@localhost/{name}'")),
                    "{message}"
                );
                assert!(message.contains("<body>a &lt; b</body>"), "{message}");
            }
            let to_bosh = bosh.body("", "");
            links[from].0.message("user02@localhost", "to BOSH").await;
            let message = bosh.connection.post(&to_bosh).await;
            assert!(message.contains("<body>to BOSH</body>"), "{message}");
            let message = format!("<message {CLIENT} to='user01@localhost/{name}'><body>from BOSH</body></message>");
            // The ping has an answer, so that the request is not held.
            let ping = format!("<iq {CLIENT} type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
            bosh.send(&format!("{message}{ping}")).await;
            links[from].0.until("<body>from BOSH</body></message>").await;
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn a_stream_ends_when_the_client_ends_it() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        for transport in LINKS {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            link.send(" ").await;
            let (end, answer) = match transport {
                Transport::WebSocket => {
                    let close = format!("<close {FRAMING}/>");
                    (close.clone(), close)
                }
                Transport::StartTls | Transport::DirectTls | Transport::Bosh => {
                    ("</stream:stream>".to_owned(), "</stream:stream>".to_owned())
                }
            };
            link.send(&end).await;
            assert_eq!(link.until(&answer).await, answer);
        }
        // White space keeps a TCP connection alive; a WebSocket has pings.
        assert_eq!(server.violations(), ["a frame without an element"]);
    }

    #[tokio::test]
    async fn a_stream_error_of_the_client_ends_its_stream_and_is_counted() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        for transport in LINKS {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            link.send(
                "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
                 <not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            )
            .await;
            link.until(match transport {
                Transport::WebSocket => "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
                Transport::StartTls | Transport::DirectTls | Transport::Bosh => "</stream:stream>",
            })
            .await;
        }
        assert_eq!(server.statistics().stream_errors, 3);
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn before_tls_only_starttls_is_taken() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut link = Link::plain(&server).await;
        link.open().await;
        link.send(&format!("<auth {SASL} mechanism='EXTERNAL'>=</auth>")).await;
        assert!(link.rest().await.contains("<policy-violation xmlns="));

        let mut link = Link::plain(&server).await;
        link.open().await;
        link.send(&format!("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{HEADER}"))
            .await;
        assert!(link.rest().await.contains("<policy-violation xmlns="));

        let mut link = Link::plain(&server).await;
        link.send(&HEADER.replace("to=", "from='user01@localhost' to=")).await;
        link.until("</stream:features>").await;
        assert_eq!(
            server.violations(),
            [
                "<auth/> before TLS",
                "bytes after <starttls/>, before <proceed/>",
                "`from` in a stream header before TLS"
            ]
        );
    }

    #[tokio::test]
    async fn a_header_that_opens_no_stream_is_answered_with_its_condition() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        for (header, condition) in [
            (HEADER.replace("to='localhost'", "to='elsewhere'"), "host-unknown"),
            (HEADER.replace("to='localhost'", ""), "improper-addressing"),
            (HEADER.replace("version='1.0' xml", "xml"), "unsupported-version"),
            (
                HEADER.replace("version='1.0' xml", "version='0.9' xml"),
                "unsupported-version",
            ),
            (HEADER.replace("jabber:client", "jabber:server"), "invalid-namespace"),
            (HEADER.replace("etherx", "ethery"), "invalid-namespace"),
            (HEADER.replace("stream:stream", "stream:flow"), "bad-format"),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "not-well-formed"),
            (format!("{HEADER}<a></b>"), "not-well-formed"),
            (format!("{HEADER}<!-- -->"), "restricted-xml"),
            (format!("{HEADER}text"), "bad-format"),
        ] {
            let mut link = Link::connect(&server, Transport::DirectTls, &authority, None).await;
            link.send(&header).await;
            let answer = link.rest().await;
            assert!(
                answer.starts_with("<?xml version='1.0'?><stream:stream from='localhost' id='"),
                "{header}: {answer}"
            );
            let error = format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
            assert!(answer.contains(&error), "{header}: {answer}");
            assert!(
                answer.ends_with("</stream:error></stream:stream>"),
                "{header}: {answer}"
            );
        }
        // A host that is not here may be an honest mistake.
        assert_eq!(server.violations().len(), 10);
    }

    #[tokio::test]
    async fn leaving_while_the_success_is_on_its_way_is_no_violation() {
        let authority = Authority::new();
        let identity = authority.client(&["user01@localhost"], Validity::Now);
        let server = start(&authority, |_| {}).await;
        let mut link = Link::connect(&server, Transport::DirectTls, &authority, Some(&identity)).await;
        link.open().await;
        // Both in one, so that the end is read after the login was.
        link.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth></stream:stream>")
            .await;
        let rest = link.rest().await;
        assert!(
            rest.contains("<success") && rest.ends_with("</stream:stream>"),
            "{rest}"
        );
        assert_eq!(server.violations(), NONE);
        server.shutdown().await;
    }

    #[tokio::test]
    async fn white_space_within_sasl_is_a_violation() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut link = Link::connect(&server, Transport::DirectTls, &authority, None).await;
        link.open().await;
        link.send(&format!("<auth {SASL} mechanism='PLAIN'/>\n")).await;
        link.until("<challenge").await;
        link.send(&format!("<abort {SASL}/>")).await;
        link.until("<aborted/>").await;
        assert_eq!(server.violations(), ["white space within SASL (RFC 6120 §6.3.3)"]);
    }

    #[tokio::test]
    async fn frames_hold_one_element_that_declares_its_namespace() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let presence = format!("<presence {CLIENT}/>");
        for (frame, condition) in [
            ("<message/>".to_owned(), "invalid-namespace"),
            (format!("{presence}{presence}"), "not-well-formed"),
            ("<presence".to_owned(), "not-well-formed"),
            ("<other xmlns='unheard:of'/>".to_owned(), "unsupported-stanza-type"),
        ] {
            let mut link = Link::online(&server, Transport::WebSocket, &authority, "user01", "a").await;
            link.send(&frame).await;
            let close = format!("<close {FRAMING}/>");
            let answer = link.until(&close).await;
            let error = format!(
                "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
                 <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>{close}"
            );
            assert_eq!(answer, error);
            link.send(&close).await;
            assert_eq!(link.rest().await, "");
        }
        assert_eq!(server.violations().len(), 4);
        let mut link = Link::online(&server, Transport::WebSocket, &authority, "user01", "a").await;
        link.send(&format!("<?xml version='1.0'?>{presence}")).await;
        link.send(&format!(" {presence}")).await;
        link.ping("tolerated").await;
        link.send_binary(b"<presence/>").await;
        link.until("<not-well-formed").await;
        assert_eq!(
            server.violations()[4..],
            [
                "an XML declaration in a frame",
                "white space around the element of a frame",
                "a binary frame (RFC 7395 §3.2)"
            ]
        );
    }

    #[tokio::test]
    async fn a_websocket_must_ask_for_xmpp() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        for protocol in [None, Some("chat")] {
            assert!(upgrade(&server, &authority, None, protocol).await.is_err());
        }
        assert!(upgrade(&server, &authority, None, Some("chat, xmpp")).await.is_ok());
        assert_eq!(
            server.violations(),
            [
                "a WebSocket without the subprotocol `xmpp`",
                "a WebSocket without the subprotocol `xmpp`"
            ]
        );
    }

    #[tokio::test]
    async fn direct_tls_wants_its_own_protocol_or_none() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let connect = || TcpStream::connect(server.direct_tls_address());
        let config = tls(&authority, None).unwrap();
        handshake(connect().await.unwrap(), config.clone()).await.unwrap();
        assert_eq!(server.violations(), NONE);
        let mut other = config;
        other.alpn_protocols = vec![b"http/1.1".to_vec()];
        assert!(handshake(connect().await.unwrap(), other).await.is_err());
        assert_eq!(
            server.violations(),
            ["direct TLS with ALPN, and without `xmpp-client` in it (XEP-0368 §5)"]
        );
    }

    #[tokio::test]
    async fn host_meta_says_where_the_services_are() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut connection = Connection::open(&server, &authority, None).await;
        let (bosh, websocket) = (server.bosh_url(), server.websocket_url().unwrap());
        let (status, kind, body) = connection.get("/.well-known/host-meta").await;
        assert_eq!((status, kind.as_str()), (200, "application/xrd+xml"));
        for (rel, url) in [("xbosh", &bosh), ("websocket", &websocket)] {
            let link = format!("<Link rel='urn:xmpp:alt-connections:{rel}' href='{url}'/>");
            assert!(body.contains(&link), "{body}");
        }
        let (status, kind, body) = connection.get("/.well-known/host-meta.json").await;
        assert_eq!((status, kind.as_str()), (200, "application/json"));
        assert_eq!(
            body,
            format!(
                "{{\"links\":[{{\"rel\":\"urn:xmpp:alt-connections:xbosh\",\"href\":\"{bosh}\"}},\
                 {{\"rel\":\"urn:xmpp:alt-connections:websocket\",\"href\":\"{websocket}\"}}]}}"
            )
        );
    }

    #[tokio::test]
    async fn a_second_login_with_the_same_resource_replaces_the_first() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        for (first, second) in [
            (Transport::DirectTls, Transport::WebSocket),
            (Transport::WebSocket, Transport::StartTls),
        ] {
            let mut old = Link::online(&server, first, &authority, "user01", "same").await;
            let mut new = Link::online(&server, second, &authority, "user01", "same").await;
            assert!(old.until("</stream:error>").await.contains("<conflict xmlns="));
            new.ping("p").await;
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn shutting_down_tells_every_stream() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let mut links = Vec::new();
        for transport in LINKS {
            links.push(Link::online(&server, transport, &authority, "user01", &format!("{transport:?}")).await);
        }
        server.shutdown().await;
        for link in &mut links {
            assert!(link.rest().await.contains("<system-shutdown xmlns="));
        }
    }

    #[tokio::test]
    async fn a_stanza_may_not_be_larger_than_was_announced() {
        let authority = Authority::new();
        let server = start(&authority, |settings| settings.max_stanza_bytes = Some(2000)).await;
        for transport in LINKS {
            let mut link = Link::connect(&server, transport, &authority, None).await;
            let features = link.open().await;
            assert!(
                features.contains("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>2000</max-bytes></limits>"),
                "{features}"
            );
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            link.message("user01@localhost/a", &"x".repeat(1800)).await;
            link.until("</message>").await;
            link.message("user01@localhost/a", &"x".repeat(2000)).await;
            assert!(link.until("</stream:error>").await.contains("<policy-violation xmlns="));
        }
        assert_eq!(server.violations(), ["a stanza larger than is allowed"; 3]);
    }

    #[tokio::test]
    async fn large_stanzas_cross_while_neither_side_reads() {
        // More than the buffers of the sockets hold, both ways.
        const COUNT: usize = 20;
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        for transport in LINKS {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            let text = "x".repeat(1 << 20);
            for _ in 0..COUNT {
                link.message("user01@localhost/a", &text).await;
            }
            for _ in 0..COUNT {
                assert!(link.until("</message>").await.len() > 1 << 20);
            }
        }
    }

    #[tokio::test]
    async fn every_connection_of_a_transport_can_be_cut() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let control = server.control();
        for transport in LINKS {
            for how in [Cut::Reset, Cut::End] {
                let mut one = Link::online(&server, transport, &authority, "user01", "a").await;
                let mut two = Link::online(&server, transport, &authority, "user02", "b").await;
                assert_eq!(control.cut(transport, how), 2);
                assert_eq!((one.rest().await, two.rest().await), (String::new(), String::new()));
            }
        }
        let mut bosh = Client::online(&server, &authority, "user01", "a").await;
        assert_eq!(control.cut_all(Cut::Reset), 1);
        let body = bosh.body("", "");
        assert!(bosh.connection.try_post(&body).await.is_err());
        assert_eq!(server.violations(), NONE);
    }

    /// A connection as it is for its first stream: over STARTTLS, without TLS.
    async fn first(server: &Server, transport: Transport, authority: &Authority) -> Link {
        match transport {
            Transport::StartTls => Link::plain(server).await,
            Transport::DirectTls | Transport::WebSocket | Transport::Bosh => {
                Link::connect(server, transport, authority, None).await
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_cut_after_as_many_bytes_as_wanted() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let control = server.control();
        for transport in [Transport::StartTls, Transport::DirectTls] {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            assert_eq!(control.cut_after(transport, 10, Cut::End), 1);
            link.message("user01@localhost/a", "text").await;
            assert_eq!(link.rest().await, "<message t");

            control.change(transport, |faults| {
                faults.cut_after_sent = Some(100);
                faults.cut = Cut::End;
            });
            let mut link = first(&server, transport, &authority).await;
            link.send(HEADER).await;
            assert_eq!(link.rest().await.len(), 100);

            control.change(transport, |faults| {
                *faults = epode_devserver::LinkFaults::default();
                faults.cut_after_received = Some(HEADER.len() as u64 + 5);
                faults.cut = Cut::End;
            });
            let mut link = first(&server, transport, &authority).await;
            link.open().await;
            link.send("<auth xmlns='too long'/>").await;
            assert_eq!(link.rest().await, "");
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn one_byte_at_a_time_makes_no_difference() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        server.control().change_all(|faults| faults.one_byte_writes = true);
        for transport in LINKS {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            link.message("user01@localhost/a", "text").await;
            link.until("<body>text</body></message>").await;
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn a_stalled_connection_stays_open_and_goes_on_later() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let control = server.control();
        for transport in LINKS {
            let mut link = Link::online(&server, transport, &authority, "user01", "a").await;
            control.change(transport, |faults| faults.stall = true);
            link.message("user01@localhost/a", "late").await;
            let wait = tokio::time::timeout(Duration::from_millis(100), link.until("</message>")).await;
            assert!(wait.is_err());
            control.change(transport, |faults| faults.stall = false);
            link.until("<body>late</body></message>").await;
        }
    }

    #[tokio::test]
    async fn redirects_are_said_as_each_transport_says_them() {
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let control = server.control();
        control.change_all(|faults| faults.see_other_host = Some("127.0.0.1:5".into()));
        control.change(Transport::WebSocket, |faults| {
            faults.see_other_host = None;
            faults.see_other_uri = Some("wss://localhost:5/ws".into());
        });
        for transport in [Transport::StartTls, Transport::DirectTls] {
            let mut link = Link::connect(&server, transport, &authority, None).await;
            link.send(HEADER).await;
            let answer = link.rest().await;
            let error = "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>127.0.0.1:5</see-other-host>";
            assert!(answer.contains(error), "{answer}");
        }
        let mut link = Link::connect(&server, Transport::WebSocket, &authority, None).await;
        link.send(&format!("<open {FRAMING} to='localhost' version='1.0'/>"))
            .await;
        link.until("<open ").await;
        link.until(&format!("<close {FRAMING} see-other-uri='wss://localhost:5/ws'/>"))
            .await;
        link.send(&format!("<close {FRAMING}/>")).await;
        assert_eq!(link.rest().await, "");

        control.change_all(|faults| *faults = epode_devserver::LinkFaults::default());
        let mut link = Link::online(&server, Transport::DirectTls, &authority, "user01", "a").await;
        control.end_streams(Transport::DirectTls, "reset", "back soon");
        let answer = link.rest().await;
        assert!(
            answer.contains("<reset xmlns=") && answer.contains(">back soon</text>"),
            "{answer}"
        );
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn new_connections_can_be_reset_or_left_waiting() {
        use epode_devserver::Accepting;
        let authority = Authority::new();
        let server = start(&authority, |_| {}).await;
        let control = server.control();
        let connect = || TcpStream::connect(server.direct_tls_address());
        let config = tls(&authority, None).unwrap();
        control.change(Transport::DirectTls, |faults| faults.accepting = Accepting::Reset);
        if let Ok(stream) = connect().await {
            assert!(handshake(stream, config.clone()).await.is_err());
        }
        control.change(Transport::DirectTls, |faults| faults.accepting = Accepting::Never);
        let mut waiting = Box::pin(handshake(connect().await.unwrap(), config));
        let wait = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
        assert!(wait.is_err());
        control.change(Transport::DirectTls, |faults| faults.accepting = Accepting::Yes);
        waiting.await.unwrap();
    }
}
