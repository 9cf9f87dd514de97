//! A session whose link breaks at an awkward moment is still resumed.

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use epode::config::MechanismPolicy;
    use epode::{Client, Config, Credentials, Event, Failure, Input, Instant, LinkId, LinkInfo, Output, TcpTls};

    const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' \
                          from='example.org' version='1.0'>";

    struct World {
        client: Client,
        now: u64,
        link: LinkId,
        written: String,
        events: Vec<Event>,
    }

    impl World {
        fn give(&mut self, input: Input<'_>) {
            self.client.handle(Instant::from_millis(self.now), input).unwrap();
            while let Some(output) = self.client.next() {
                if let Output::Connect { link, .. } = output {
                    self.link = link;
                } else if let Output::Write { bytes, .. } = output {
                    self.written.push_str(&String::from_utf8(bytes).unwrap());
                } else if let Output::Event(event) = output {
                    self.events.push(event);
                }
            }
        }

        fn hears(&mut self, text: &str) {
            self.written.clear();
            let link = self.link;
            let bytes = Cow::Borrowed(text.as_bytes());
            self.give(Input::Received { link, bytes });
        }

        /// Up to the features after the login.
        fn logs_in(&mut self) {
            let (link, info) = (self.link, LinkInfo::verified("example.org".to_owned()));
            self.give(Input::Connected { link, info });
            self.hears(&format!(
                "{HEADER}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                 <mechanism>PLAIN</mechanism></mechanisms></stream:features>"
            ));
            self.hears("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
            self.hears(&format!(
                "{HEADER}<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                 <sm xmlns='urn:xmpp:sm:3'/></stream:features>"
            ));
        }

        /// The link breaks, and the next one is asked for; whether the application was told that the session can be resumed.
        fn breaks(&mut self) -> bool {
            let (link, reason) = (self.link, Failure::Reset);
            self.give(Input::Failed {
                link,
                request: None,
                reason,
            });
            let told = self.events.iter().rev().find_map(|event| {
                if let Event::Interrupted { resumable, .. } = event {
                    Some(*resumable)
                } else {
                    None
                }
            });
            while self.link == link {
                let (at, _) = self.client.deadline().unwrap();
                self.now = self.now.max(at.as_millis());
                self.give(Input::Tick);
            }
            told.unwrap()
        }
    }

    #[test]
    fn a_link_that_breaks_before_the_answer_to_resume_does_not_end_the_session() {
        let config = Config::builder("user@example.org".parse().unwrap())
            .tcp("example.org", 5223, TcpTls::Direct)
            .credentials(Credentials::password("pencil"))
            .mechanisms(MechanismPolicy {
                allow_plain: true,
                ..MechanismPolicy::default()
            })
            .build()
            .unwrap();
        let mut world = World {
            client: Client::new(config, [7; 32]),
            now: 0,
            link: LinkId(0),
            written: String::new(),
            events: Vec::new(),
        };
        world.give(Input::Start);
        world.logs_in();
        let id = world
            .written
            .split("id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap()
            .to_owned();
        world.hears(&format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>user@example.org/r</jid></bind></iq>\
             <enabled xmlns='urn:xmpp:sm:3' id='some-id' resume='true' max='60'/>"
        ));
        assert!(world.breaks());
        for _ in 0..2 {
            world.logs_in();
            assert!(world.written.contains("previd='some-id'"), "{}", world.written);
            assert!(world.breaks(), "the server did not say that the session is gone");
        }
        world.logs_in();
        world.hears("<resumed xmlns='urn:xmpp:sm:3' previd='some-id' h='0'/>");
        assert!(matches!(world.events.last(), Some(Event::Online { resumed: true, .. })));
    }
}
