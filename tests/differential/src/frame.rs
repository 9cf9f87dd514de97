//! The XMPP around SASL: one login over a TCP link, from the stream's opening to the first event that says how it ended.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use epode::xml::{Framing, Reader, XmlEvent, XmlLimits};
use epode::{
    ChannelBindingType, Client, Config, Element, Event, Input, Instant, LinkId, LinkInfo, Offline, Output, SaslProfile,
    Secret, ServerProof, Slot,
};

const SASL1: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const SASL2: &str = "urn:xmpp:sasl:2";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const FAST: &str = "urn:xmpp:fast:0";

/// What the server's implementation of a mechanism says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The next message of the mechanism.
    Challenge(Vec<u8>),
    /// The login is done; there may be a last message.
    Success(Option<Vec<u8>>),
    /// The login is refused, and why, for a person.
    Failure(String),
}

/// The server's side of one mechanism: it gets what the client says, `None` where it says nothing at all.
pub type Server<'a> = dyn FnMut(Option<&[u8]>) -> Reply + 'a;

/// What the server of this login offers.
#[derive(Clone, Debug)]
pub struct Offer {
    /// By which protocol.
    pub profile: SaslProfile,
    /// The only mechanism.
    pub mechanism: String,
    /// The only type of channel binding (XEP-0440).
    pub binding: Option<ChannelBindingType>,
    /// The mechanism is one for tokens (XEP-0484).
    pub fast: bool,
    /// A token that the server gives with the success (XEP-0484 §3.3): the mechanism that it is for, and its text.
    pub gives_token: Option<(String, String)>,
    /// The server's last message comes as a challenge, and the success is empty (RFC 6120 §6.4.6 leaves it open).
    pub last_as_challenge: bool,
}

impl Offer {
    /// Just that mechanism.
    pub fn of(mechanism: &str, profile: SaslProfile) -> Self {
        Self {
            profile,
            mechanism: mechanism.to_owned(),
            binding: None,
            fast: false,
            gives_token: None,
            last_as_challenge: false,
        }
    }
}

/// How a login ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Logged in.
    Online {
        /// By which mechanism.
        mechanism: String,
        /// Whether the server's proof was verified.
        proof: ServerProof,
        /// What it is bound to.
        binding: Option<ChannelBindingType>,
        /// By which protocol.
        profile: Option<SaslProfile>,
    },
    /// Not.
    Offline(Offline),
    /// Nobody says anything any more.
    Silence,
}

/// One login: how it ended, and what the client stored as its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// How.
    pub end: End,
    /// The slot of the token, if it was written.
    pub token: Option<Secret>,
}

/// Plays one login. `restored` is what an earlier one stored.
pub fn login(
    config: &Config,
    info: &LinkInfo,
    offer: &Offer,
    seed: [u8; 32],
    restored: Option<Secret>,
    server: &mut Server<'_>,
) -> Ended {
    let mut client = Client::new(config.clone(), seed);
    let now = Instant::from_millis(1_000);
    if let Some(bytes) = restored {
        let slot = Slot::Token;
        client
            .handle(now, Input::Restore { slot, bytes })
            .expect("what it stored itself");
    }
    // A token is worth nothing to a client that does not know whether it has expired.
    let unix_ms = 1_800_000_000_000;
    client.handle(now, Input::Clock { unix_ms }).expect("a clock");
    client.handle(now, Input::Start).expect("the first start");
    let mut stream = Stream::new(config, offer, server);
    let mut token = None;
    let mut link = LinkId(0);
    loop {
        let Some(output) = client.next() else {
            let bytes = std::mem::take(&mut stream.out).into_bytes();
            if bytes.is_empty() {
                return Ended {
                    end: End::Silence,
                    token,
                };
            }
            let bytes = bytes.into();
            client
                .handle(now, Input::Received { link, bytes })
                .expect("bytes of a live link");
            continue;
        };
        match output {
            Output::Connect { link: new, .. } => {
                link = new;
                let info = info.clone();
                client
                    .handle(now, Input::Connected { link, info })
                    .expect("the answer to Connect");
            }
            Output::Write { bytes, .. } => stream.read(&bytes),
            Output::DeriveKey { job, derivation } => {
                let key = derivation.run();
                client
                    .handle(now, Input::Derived { job, key })
                    .expect("the answer to DeriveKey");
            }
            Output::Store {
                slot: Slot::Token,
                bytes,
                append,
            } => {
                let mut all: Vec<u8> = token
                    .take()
                    .filter(|_| append)
                    .map_or_else(Vec::new, |t: Secret| t.expose().to_vec());
                all.extend_from_slice(bytes.expose());
                token = Some(Secret::from(all));
            }
            Output::Event(Event::Online {
                mechanism,
                server_proof: proof,
                channel_binding: binding,
                profile,
                ..
            }) => {
                let end = End::Online {
                    mechanism,
                    proof,
                    binding,
                    profile,
                };
                return Ended { end, token };
            }
            Output::Event(Event::Offline { reason }) => {
                let end = End::Offline(reason);
                return Ended { end, token };
            }
            _ => {}
        }
    }
}

/// The server's end of the stream.
struct Stream<'a, 'b> {
    account: String,
    domain: String,
    offer: &'a Offer,
    server: &'a mut Server<'b>,
    reader: Reader,
    out: String,
    authenticated: bool,
    /// The last message has gone out as a challenge; what follows is the success.
    proved: bool,
    over: bool,
}

impl<'a, 'b> Stream<'a, 'b> {
    fn new(config: &Config, offer: &'a Offer, server: &'a mut Server<'b>) -> Self {
        let account = config.account();
        Self {
            // Whoever has no account gets one (XEP-0175 §3).
            account: match account.local() {
                Some(_) => account.to_string(),
                None => format!("somebody@{account}"),
            },
            domain: account.domain().to_owned(),
            offer,
            server,
            reader: reader(),
            out: String::new(),
            authenticated: false,
            proved: false,
            over: false,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        // A new stream on the same link begins with a header of its own (RFC 6120 §6.4.6).
        if bytes.starts_with(b"<?xml") || bytes.starts_with(b"<stream:stream") {
            self.reader = reader();
        }
        let mut events = Vec::new();
        self.reader
            .feed(bytes, &mut events)
            .expect("what the client writes is XML");
        for event in events {
            match event {
                XmlEvent::Open(_) => self.open(),
                XmlEvent::Element(element) => self.element(&element),
                XmlEvent::Close => self.over = true,
            }
        }
    }

    fn open(&mut self) {
        let domain = &self.domain;
        self.out.push_str(&format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
             version='1.0' from='{domain}' id='s1'>"
        ));
        let features = self.features();
        self.out.push_str(&features);
    }

    fn features(&self) -> String {
        let Offer { mechanism, binding, .. } = self.offer;
        let inner = if self.authenticated {
            format!("<bind xmlns='{BIND}'/>")
        } else {
            let types = binding.map_or_else(String::new, |binding| {
                let name = binding.name();
                format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='{name}'/></sasl-channel-binding>")
            });
            let mechanisms = match (self.offer.profile, self.offer.fast) {
                (SaslProfile::Sasl2, true) => format!(
                    "<authentication xmlns='{SASL2}'><mechanism>SCRAM-SHA-1</mechanism>\
                     <inline><fast xmlns='{FAST}'><mechanism>{mechanism}</mechanism></fast></inline></authentication>"
                ),
                (SaslProfile::Sasl2, false) => {
                    let fast = self
                        .offer
                        .gives_token
                        .as_ref()
                        .map_or_else(String::new, |(mechanism, _)| {
                            format!("<inline><fast xmlns='{FAST}'><mechanism>{mechanism}</mechanism></fast></inline>")
                        });
                    format!("<authentication xmlns='{SASL2}'><mechanism>{mechanism}</mechanism>{fast}</authentication>")
                }
                _ => format!("<mechanisms xmlns='{SASL1}'><mechanism>{mechanism}</mechanism></mechanisms>"),
            };
            format!("{mechanisms}{types}")
        };
        format!("<stream:features>{inner}</stream:features>")
    }

    fn element(&mut self, element: &Element) {
        if self.over {
            return;
        }
        let namespace = self.namespace();
        if element.is(SASL1, "auth") && namespace == SASL1 {
            self.named(element);
            self.message(decoded(&element.text()));
        } else if element.is(SASL2, "authenticate") && namespace == SASL2 {
            self.named(element);
            let initial = element
                .child(SASL2, "initial-response")
                .map(|initial| decoded(&initial.text()));
            self.message(
                initial
                    .flatten()
                    .or_else(|| element.child(SASL2, "initial-response").map(|_| Vec::new())),
            );
        } else if element.is(namespace, "response") {
            self.message(Some(decoded(&element.text()).unwrap_or_default()));
        } else if element.is(namespace, "abort") {
            self.answer(&format!(
                "<failure xmlns='{namespace}'><aborted xmlns='{SASL1}'/></failure>"
            ));
            self.over = true;
        } else if element.is("jabber:client", "iq") {
            self.bind(element);
        } else {
            panic!("what is <{} xmlns='{}'>?", element.name(), element.namespace());
        }
    }

    /// What is offered is what is chosen.
    fn named(&self, element: &Element) {
        assert_eq!(element.attribute("mechanism"), Some(self.offer.mechanism.as_str()));
    }

    fn message(&mut self, data: Option<Vec<u8>>) {
        if self.proved {
            assert_eq!(data, Some(Vec::new()), "nothing is left to be said");
            return self.success(None);
        }
        match (self.server)(data.as_deref()) {
            Reply::Challenge(data) => self.challenge(&data),
            Reply::Success(Some(data)) if self.offer.last_as_challenge => {
                self.proved = true;
                self.challenge(&data);
            }
            Reply::Success(data) => self.success(data.as_deref()),
            Reply::Failure(_) => {
                let namespace = self.namespace();
                self.answer(&format!(
                    "<failure xmlns='{namespace}'><not-authorized xmlns='{SASL1}'/></failure>"
                ));
                self.over = true;
            }
        }
    }

    fn challenge(&mut self, data: &[u8]) {
        let namespace = self.namespace();
        let text = STANDARD.encode(data);
        self.answer(&format!("<challenge xmlns='{namespace}'>{text}</challenge>"));
    }

    fn success(&mut self, data: Option<&[u8]>) {
        self.authenticated = true;
        let text = data.map(|data| STANDARD.encode(data)).unwrap_or_default();
        if self.namespace() == SASL1 {
            return self.answer(&format!("<success xmlns='{SASL1}'>{text}</success>"));
        }
        let data = data.map_or_else(String::new, |_| format!("<additional-data>{text}</additional-data>"));
        let token = self.offer.gives_token.as_ref().map_or_else(String::new, |(_, token)| {
            let token = escaped(token);
            format!("<token xmlns='{FAST}' expiry='2030-01-01T00:00:00Z' token='{token}'/>")
        });
        let account = escaped(&self.account);
        self.answer(&format!(
            "<success xmlns='{SASL2}'>{data}<authorization-identifier>{account}</authorization-identifier>{token}</success>"
        ));
        let features = self.features();
        self.answer(&features);
    }

    fn bind(&mut self, iq: &Element) {
        assert!(iq.child(BIND, "bind").is_some(), "only a resource is asked for");
        let id = iq.attribute("id").expect("an id");
        let account = escaped(&self.account);
        self.answer(&format!(
            "<iq type='result' id='{}'><bind xmlns='{BIND}'><jid>{account}/here</jid></bind></iq>",
            escaped(id)
        ));
    }

    fn answer(&mut self, xml: &str) {
        self.out.push_str(xml);
    }

    fn namespace(&self) -> &'static str {
        match self.offer.profile {
            SaslProfile::Sasl2 => SASL2,
            _ => SASL1,
        }
    }
}

fn reader() -> Reader {
    Reader::new(Framing::Stream, XmlLimits::default())
}

/// RFC 6120 §6.4.2: nothing at all is no message, and `=` is one of no bytes.
fn decoded(text: &str) -> Option<Vec<u8>> {
    match text {
        "" => None,
        "=" => Some(Vec::new()),
        text => Some(STANDARD.decode(text).expect("the client writes base64")),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&apos;")
        .replace('"', "&quot;")
}
