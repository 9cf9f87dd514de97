//! A host gives up each request once, and only while it waits for it.

#[cfg(test)]
mod tests {
    use epode::{Client, Config, Credentials, Failure, Input, Instant, LinkId, LinkInfo, Output, RequestId};

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
        assert!(matches!(
            outputs.last(),
            Some(Output::Event(epode::Event::Offline { .. }))
        ));
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
}
