//! The golden transcripts: known exchanges, played from logs, must come out the same to the byte.
//!
//! `EPODE_BLESS=1 cargo test -p epode --test golden` writes them anew; read the difference before it is committed.

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::path::PathBuf;

    use epode::config::{Bosh, Transport};
    use epode::record::{Entry, Header, Log, Recorder};
    use epode::xml::XmlLimits;
    use epode::{Client, Config, Credentials, Element, Event, Input, Instant, LinkId, LinkInfo, Output, RequestId};

    const SEED: [u8; 32] = *b"the seed of the golden transcrip";

    /// What the server says, in turn, and what the client has to say before, as it is known to go in the field.
    const EXTERNAL: [(&str, &str); 5] = [
        (
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1421604076' to='debian' from='user01@debian' xml:lang='en' wait='60' hold='1'
                content='text/xml; charset=utf-8' ver='1.6' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams' from='debian' \
             authid='fe0ee6ab' sid='fe0ee6ab' secure='true' requests='2' inactivity='30' polling='5' wait='60' hold='1' \
             ack='1421604076' maxpause='300' ver='1.6'><stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
             <mechanism>EXTERNAL</mechanism></mechanisms><register xmlns='http://jabber.org/features/iq-register'/>\
             <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/>\
             </session></stream:features></body>",
        ),
        (
            "<body rid='1421604077' xmlns='http://jabber.org/protocol/httpbind' sid='fe0ee6ab'><auth
                xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>dXNlcjAxQGRlYmlhbg==</auth></body>",
            "<body xmlns='http://jabber.org/protocol/httpbind' ack='1421604077'>\
             <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></body>",
        ),
        (
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1421604078' sid='fe0ee6ab' to='debian' from='user01@debian'
                xml:lang='en' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams' \
             ack='1421604078'><stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
             <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session></stream:features></body>",
        ),
        (
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1421604079' sid='fe0ee6ab'><iq xmlns='jabber:client'
                type='set' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq></body>",
            "<body xmlns='http://jabber.org/protocol/httpbind' ack='1421604079'><iq xmlns='jabber:client' type='result' \
             id='{id}' to='debian/fe0ee6ab'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>user01@debian/fe0ee6ab</jid>\
             </bind></iq></body>",
        ),
        (
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1421604080' sid='fe0ee6ab'/>",
            "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams' \
             ack='1421604080'><message xmlns='jabber:client' from='user02@debian/x' to='user01@debian/fe0ee6ab' type='chat'>\
             <body>Hello &amp; welcome</body></message></body>",
        ),
    ];

    fn config() -> Config {
        let bosh = Bosh {
            first_rid: Some(1_421_604_076),
            ack: false,
            ..Bosh::new("https://debian:7443/http-bind")
        };
        Config::builder("user01@debian".parse().unwrap())
            .transport(Transport::Bosh(bosh))
            .credentials(Credentials::certificate("user01", None))
            .build()
            .unwrap()
    }

    /// Plays both sides of [`EXTERNAL`], checking what the client says, and gives the log.
    fn play() -> Log {
        let mut client = Recorder::new(Client::new(config(), SEED));
        let mut now = 1_000;
        client.handle(Instant::from_millis(now), Input::Start).unwrap();
        assert!(matches!(client.next(), Some(Output::Connect { .. })));
        now += 20;
        let info = LinkInfo::verified("debian");
        client
            .handle(Instant::from_millis(now), Input::Connected { link: LinkId(1), info })
            .unwrap();
        for (turn, (expected, answer)) in EXTERNAL.into_iter().enumerate() {
            let (mut posted, mut online) = (None, false);
            while let Some(output) = client.next() {
                if let Output::Post { request, body, .. } = output {
                    posted = Some((request, body));
                } else if let Output::Event(Event::Online {
                    jid,
                    mechanism,
                    round_trips,
                    ..
                }) = output
                {
                    online = true;
                    let known = ("user01@debian/fe0ee6ab", "EXTERNAL", 4);
                    assert_eq!((jid.as_str(), mechanism.as_str(), round_trips), known);
                } else {
                    panic!("turn {turn}: {output:?}");
                }
            }
            assert_eq!(online, turn == 4);
            let (request, body) = posted.unwrap();
            let body = Element::parse(&body, &XmlLimits::default()).unwrap();
            let id = body
                .children()
                .next()
                .and_then(|child| child.attribute("id"))
                .unwrap_or_default()
                .to_owned();
            assert_eq!(
                body,
                Element::parse(expected.replace("{id}", &id), &XmlLimits::default()).unwrap()
            );
            now += 20;
            let body = Cow::Owned(answer.replace("{id}", &id).into_bytes());
            let answer = Input::Responded {
                link: LinkId(1),
                request,
                status: 200,
                body,
                tls: None,
            };
            client.handle(Instant::from_millis(now), answer).unwrap();
        }
        assert!(matches!(client.next(), Some(Output::Event(Event::Stanza { .. }))));
        while client.next().is_some() {}
        now += 20;
        client.handle(Instant::from_millis(now), Input::Stop).unwrap();
        while client.next().is_some() {}
        // The goodbye makes the server answer the request that it held.
        let body = Cow::Borrowed(&b"<body xmlns='http://jabber.org/protocol/httpbind' type='terminate'/>"[..]);
        let (link, request) = (LinkId(1), RequestId(6));
        let answer = Input::Responded {
            link,
            request,
            status: 200,
            body,
            tls: None,
        };
        client.handle(Instant::from_millis(now + 5), answer).unwrap();
        while client.next().is_some() {}
        Log {
            header: Header::new(&config(), &SEED),
            entries: client.into_entries(),
        }
    }

    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts/bosh-external.jsonl")
    }

    #[test]
    fn the_login_goes_as_it_is_known_to() {
        let text = play().to_text();
        if std::env::var_os("EPODE_BLESS").is_some() {
            std::fs::write(path(), &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(path()).unwrap());
        let last = text.lines().last().unwrap();
        assert_eq!(last, r#"{"out":{"event":{"offline":{"reason":"stopped"}}}}"#);
    }

    #[test]
    fn the_log_replays_to_the_same_bytes() {
        let log = Log::read(&std::fs::read_to_string(path()).unwrap()).unwrap();
        let replay = log.replay().unwrap();
        assert!(replay.entries.iter().any(|entry| matches!(entry, Entry::Out { .. })));
        assert_eq!(replay.to_text(), log.to_text());
    }
}
