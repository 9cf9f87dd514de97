//! Promises to a host that a fuzzer once saw broken.

#[cfg(test)]
mod tests {
    use epode::{
        Client, Config, Credentials, Event, Failure, Input, Instant, LinkId, LinkInfo, Output, RequestId, Stage, stanza,
    };

    fn outputs(client: &mut Client) -> Vec<Output> {
        std::iter::from_fn(|| client.next()).collect()
    }

    /// A client that has asked for a session at 0 ms.
    fn asking() -> Client {
        let config = Config::builder("user@example.org".parse().unwrap())
            .bosh("https://example.org/http-bind")
            .credentials(Credentials::certificate("user", None))
            .build()
            .unwrap();
        let mut client = Client::new(config, [0; 32]);
        let (link, info) = (LinkId(1), LinkInfo::verified("example.org"));
        client.handle(Instant::default(), Input::Start).unwrap();
        client
            .handle(Instant::default(), Input::Connected { link, info })
            .unwrap();
        assert!(matches!(
            outputs(&mut client).last(),
            Some(Output::Post {
                request: RequestId(1),
                ..
            })
        ));
        client
    }

    fn abandoned(client: &mut Client) -> usize {
        let outputs = outputs(client);
        assert!(matches!(outputs.last(), Some(Output::Event(Event::Offline { .. }))));
        outputs
            .iter()
            .filter(|output| matches!(output, Output::Abandon { .. }))
            .count()
    }

    #[test]
    fn an_answered_request_is_not_abandoned() {
        for (status, body) in [
            (200, "<html/>"),
            (200, "<body xmlns='http://jabber.org/protocol/httpbind'><!---->"),
            (404, ""),
        ] {
            let mut client = asking();
            let answer = Input::Responded {
                link: LinkId(1),
                request: RequestId(1),
                status,
                body: body.as_bytes().into(),
                tls: None,
            };
            client.handle(Instant::from_millis(5), answer).unwrap();
            assert_eq!(abandoned(&mut client), 0, "{status} {body}");
        }
    }

    #[test]
    fn a_failed_request_is_not_abandoned() {
        let mut client = asking();
        let failed = Input::Failed {
            link: LinkId(1),
            request: Some(RequestId(1)),
            reason: Failure::Reset,
        };
        client.handle(Instant::from_millis(5), failed).unwrap();
        assert_eq!(abandoned(&mut client), 0);
    }

    #[test]
    fn a_late_request_is_abandoned_once() {
        let mut client = asking();
        let (deadline, _) = client.deadline().unwrap();
        client.handle(deadline, Input::Tick).unwrap();
        assert_eq!(abandoned(&mut client), 1);
    }

    const OPEN: &str =
        "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams'";

    /// Hands over an answer whose `{id}` is that of the `iq` in the last request.
    fn answer(client: &mut Client, request: u64, rest: &str) -> Vec<Output> {
        let body = format!("{OPEN}{rest}").into_bytes().into();
        let (link, request, status, tls) = (LinkId(1), RequestId(request), 200, None);
        let answer = Input::Responded {
            link,
            request,
            status,
            body,
            tls,
        };
        client.handle(Instant::from_millis(10), answer).unwrap();
        outputs(client)
    }

    /// The same client once it is online, with request 5 under way.
    fn online() -> Client {
        const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'";
        const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
        let mut client = asking();
        let offer = format!(
            " sid='s' wait='60' hold='1' requests='3'><stream:features><mechanisms xmlns='{SASL}'>\
             <mechanism>EXTERNAL</mechanism></mechanisms></stream:features></body>"
        );
        answer(&mut client, 1, &offer);
        answer(&mut client, 2, &format!("><success xmlns='{SASL}'/></body>"));
        let posted = answer(
            &mut client,
            3,
            &format!("><stream:features>{BIND}/></stream:features></body>"),
        );
        let id = posted.iter().find_map(|output| {
            let Output::Post { body, .. } = output else {
                return None;
            };
            let body = String::from_utf8_lossy(body);
            Some(body.split(" id='").nth(1)?.split('\'').next()?.to_string())
        });
        let bound = format!(
            "><iq xmlns='jabber:client' type='result' id='{}'>{BIND}><jid>user@example.org/r</jid></bind></iq></body>",
            id.unwrap()
        );
        let outputs = answer(&mut client, 4, &bound);
        assert!(matches!(outputs.first(), Some(Output::Event(Event::Online { .. }))));
        client
    }

    #[test]
    fn offline_is_last_even_when_a_later_answer_is_there() {
        let mut client = online();
        let stanza = stanza::chat(&"a@b/c".parse().unwrap(), "hi").unwrap();
        let token = client
            .handle(Instant::from_millis(10), Input::Send { stanza })
            .unwrap()
            .unwrap();
        outputs(&mut client);
        // The answer to the message overtakes the one to the empty request before it, which ends the session.
        assert_eq!(answer(&mut client, 6, "/>"), []);
        let end = "><stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></body>";
        let outputs = answer(&mut client, 5, end);
        assert!(
            matches!(outputs.last(), Some(Output::Event(Event::Offline { .. }))),
            "{outputs:?}"
        );
        let stage = Stage::Acked;
        assert!(
            outputs.contains(&Output::Event(Event::Delivery { token, stage })),
            "{outputs:?}"
        );
    }

    #[test]
    fn a_certificate_is_never_claimed_without_tls() {
        let config = Config::builder("juliet@example.com".parse().unwrap())
            .bosh("http://127.0.0.1:5280/http-bind")
            .tls(epode::TlsPolicy::AllowPlaintext)
            .credentials(Credentials::certificate("juliet", None))
            .build()
            .unwrap();
        let mut client = Client::new(config, [7; 32]);
        let now = Instant::from_millis(1);
        client.handle(now, Input::Start).unwrap();
        let link = epode::LinkId(1);
        let info = epode::LinkInfo::default();
        client.handle(now, Input::Connected { link, info }).unwrap();
        let outputs = outputs(&mut client);
        assert!(!outputs.iter().any(|output| matches!(output, Output::Post { .. })));
        let reason = epode::Offline::Tls(epode::error::TlsError::Required);
        assert_eq!(outputs.last(), Some(&Output::Event(Event::Offline { reason })));
    }
}
