//! epode's client for Swift, Kotlin and Python: the contract of the crate `epode`, through UniFFI.
//!
//! One turn of a host's loop is one crossing. Something happened: [`Client::handle`] it, or [`Client::received`] for bytes and
//! [`Client::responded`] for an HTTP answer, which are borrowed rather than copied. The [`Step`] that comes back holds all that there is to do, in order, and the one deadline.
//!
//! How it differs from the Rust contract, and why:
//!
//! - Outputs come back in a batch: over UniFFI a call costs more than what it does.
//! - A stanza is a flat record with its XML as bytes: a recursive record would be copied field by field, wanted or not.
//! - Errors and warnings that a person reads come with their sentence, since `Display` does not cross.
//! - A client may be called from any thread, one at a time: it is behind a lock.
//! - A panic, which would be a fault of epode's, goes no further: that turn's step closes the links and says `Offline` with the code `panic`, and
//!   the client is [`Refused::Closed`] for ever.
//!
//! How the files fit: `config`, `input` and `output` mirror the modules of those names in the core; `login` is what a configuration says of
//! credentials and mechanisms, `key` is SCRAM's slow step, which has methods and so is an object; `event` is what an output may have
//! for the application; `refused` is what may be thrown.
#![forbid(unsafe_code)]

mod config;
mod event;
mod input;
mod key;
mod login;
mod output;
mod refused;
mod turn;

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use config::{
    Acknowledge, Attach, AttachKeys, Authzid, Bosh, Config, Limits, Liveness, Persist, Reconnect, ReconnectWhen,
    StreamManagement, Timeouts, Transport,
};
use epode::Instant;
pub use event::{
    Blame, ChannelBindingType, Event, IqResult, OfflineReason, SaslProfile, ServerProof, Stage, Stanza, StanzaKind,
    TokenRefusal, TransportKind,
};
pub use input::{
    ChannelBindings, Failure, Input, LinkInfo, Network, Reply, Resolution, Slot, SrvRecord, StanzaError,
    StanzaErrorType, TlsFacts, Verified,
};
pub use key::{Derivation, DerivedKey, ScramHash};
pub use login::{Bind, Credentials, DigestMd5, Fast, KeyDerivation, Mechanisms, UserAgent};
pub use output::{Deadline, Endpoint, Output, Question, Step, TcpTls};
pub use refused::{Refused, SnapshotError};
use turn::Engine;

uniffi::setup_scaffolding!("epode");

/// The version of the library. A binding compares it with its own: UniFFI checks less than it seems to in some languages.
#[uniffi::export]
#[must_use]
pub fn epode_version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The XML of a chat message with a text (RFC 6121 §5), for [`Input::Send`].
#[uniffi::export]
pub fn chat(to: &str, text: &str) -> Result<Vec<u8>, Refused> {
    let to = epode::Jid::parse(to).map_err(Refused::jid)?;
    let message = epode::stanza::chat(&to, text).map_err(|error| Refused::Xml { why: error.to_string() })?;
    Ok(message.to_xml().into_bytes())
}

/// One account, and one session at a time with its server. It does no I/O.
#[derive(Debug, uniffi::Object)]
pub struct Client {
    /// Nothing after a panic.
    engine: Mutex<Option<Engine>>,
}

#[uniffi::export]
impl Client {
    /// A client that is offline. The seed is 32 bytes from the system's generator of randomness, for this client alone.
    #[uniffi::constructor]
    pub fn new(config: Config, seed: &[u8]) -> Result<Self, Refused> {
        let seed = <[u8; 32]>::try_from(seed).map_err(|_| Refused::Configuration {
            why: format!("the seed has {} bytes; 32 are needed", seed.len()),
        })?;
        Ok(Self {
            engine: Mutex::new(Some(Engine::new(epode::Client::new(config.build()?, seed)))),
        })
    }

    /// Takes any input. `now` is in milliseconds, on a clock that never runs backwards and counts the time that a device sleeps.
    pub fn handle(&self, now: u64, input: Input) -> Result<Step, Refused> {
        self.turn(|client| Ok(client.handle(Instant::from_millis(now), input.into_core()?)?))
    }

    /// Takes bytes from TCP, or one WebSocket message, as [`Input::Received`] would, without a copy.
    pub fn received(&self, now: u64, link: u64, bytes: &[u8]) -> Result<Step, Refused> {
        let input = epode::Input::Received {
            link: epode::LinkId(link),
            bytes: Cow::Borrowed(bytes),
        };
        self.turn(|client| Ok(client.handle(Instant::from_millis(now), input)?))
    }

    /// Takes one HTTP answer, as [`Input::Responded`] would, without a copy of its body.
    pub fn responded(
        &self,
        now: u64,
        link: u64,
        request: u64,
        status: u16,
        body: &[u8],
        tls: Option<TlsFacts>,
    ) -> Result<Step, Refused> {
        let tls = tls.map(TlsFacts::into_core).transpose()?;
        let input = epode::Input::Responded {
            link: epode::LinkId(link),
            request: epode::RequestId(request),
            status,
            body: Cow::Borrowed(body),
            tls,
        };
        self.turn(|client| Ok(client.handle(Instant::from_millis(now), input)?))
    }

    /// The full JID, while online.
    pub fn jid(&self) -> Result<Option<String>, Refused> {
        let engine = self.lock();
        let engine = engine.as_ref().ok_or(Refused::Closed)?;
        Ok(engine.client().jid().map(ToString::to_string))
    }
}

impl Client {
    fn turn(
        &self,
        input: impl FnOnce(&mut epode::Client) -> Result<Option<epode::Token>, Refused>,
    ) -> Result<Step, Refused> {
        turn::turn(&mut self.lock(), input)
    }

    /// A panic of the engine's is caught under the lock: there is nothing that could poison it.
    fn lock(&self) -> MutexGuard<'_, Option<Engine>> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(
            "user01@localhost",
            Credentials::Password {
                password: b"pencil".to_vec(),
            },
            vec![bosh("https://localhost/http-bind")],
        )
    }

    fn bosh(url: &str) -> Transport {
        Transport::Bosh { bosh: Bosh::new(url) }
    }

    #[test]
    fn a_seed_of_another_size_is_refused() {
        let refused = Client::new(config(), &[0; 31]).unwrap_err();
        assert_eq!(refused.to_string(), "the seed has 31 bytes; 32 are needed");
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_sentence() {
        let mut config = config();
        config.transports.push(bosh("http://localhost/"));
        let refused = Client::new(config, &[0; 32]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the address is http or ws: credentials travel over https and wss only"
        );
    }

    #[test]
    fn after_a_panic_the_client_is_offline_and_closed() {
        let client = Client::new(config(), &[0; 32]).unwrap();
        let outputs = client.handle(0, Input::Start).unwrap().outputs;
        let [Output::Connect { link, .. }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        let step = client.turn(|_| panic!("this test's own panic")).unwrap();
        let [
            Output::Close { link: closed },
            Output::Event {
                event: Event::Offline { reason },
            },
        ] = &step.outputs[..]
        else {
            panic!("{step:?}")
        };
        assert_eq!(closed, link);
        assert_eq!((reason.blame, reason.code.as_str()), (Blame::Internal, "panic"));
        assert_eq!((step.deadline, step.wants_read), (None, false));
        assert_eq!(client.handle(0, Input::Start).unwrap_err(), Refused::Closed);
        assert_eq!(client.received(0, *link, b"x").unwrap_err(), Refused::Closed);
        assert_eq!(client.jid().unwrap_err(), Refused::Closed);
    }

    #[test]
    fn a_stanza_without_a_namespace_is_in_jabber_client() {
        let client = Client::new(config(), &[0; 32]).unwrap();
        client.handle(0, Input::Start).unwrap();
        let send = |xml: &str| {
            client.handle(
                0,
                Input::Send {
                    xml: xml.as_bytes().to_vec(),
                },
            )
        };
        assert!(
            send("<message to='user02@localhost'><body>hi</body></message>")
                .unwrap()
                .token
                .is_some()
        );
        assert_eq!(
            send("<message xmlns='jabber:server'/>").unwrap_err(),
            Refused::Invalid {
                why: "Send takes a <message/> or a <presence/> in jabber:client".to_owned()
            }
        );
        assert!(matches!(send("<message>"), Err(Refused::Xml { .. })));
    }

    #[test]
    fn an_input_of_another_transport_is_refused() {
        let client = Client::new(config(), &[0; 32]).unwrap();
        let outputs = client.handle(0, Input::Start).unwrap().outputs;
        let [Output::Connect { link, server_name, .. }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        let info = LinkInfo {
            encrypted: true,
            verified: Verified::Host {
                name: server_name.clone(),
            },
            tls_version: None,
            client_certificate_requested: None,
            client_certificate: None,
            alpn: None,
            subprotocol: None,
            channel_bindings: None,
        };
        client.handle(0, Input::Connected { link: *link, info }).unwrap();
        let refused = client.received(0, *link, b"x").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this input does not exist on this link's transport"
        );
        // A link that never was is nobody's mistake: it may be gone already.
        assert_eq!(client.received(0, link + 1, b"x").unwrap().outputs, []);
    }

    #[test]
    fn what_was_stored_is_restored_or_refused() {
        let client = Client::new(config(), &[0; 32]).unwrap();
        let restore = |slot| {
            let bytes = b"no snapshot at all".to_vec();
            client.handle(0, Input::Restore { slot, bytes }).unwrap_err()
        };
        let refused = restore(Slot::Session);
        assert!(
            matches!(
                &refused,
                Refused::Snapshot {
                    error: SnapshotError::Corrupt,
                    ..
                }
            ),
            "{refused}"
        );
        assert!(refused.to_string().contains("damaged"));
        client.handle(0, Input::Start).unwrap();
        assert!(matches!(restore(Slot::Pins), Refused::Misuse { .. }));
    }

    #[test]
    fn what_is_sent_and_stored_is_not_shown() {
        let bytes = b"pencil".to_vec();
        let (slot, append, link) = (Slot::Session, false, 1);
        let shown = [
            format!(
                "{:?}",
                Input::Restore {
                    slot,
                    bytes: bytes.clone()
                }
            ),
            format!(
                "{:?}",
                Input::Received {
                    link,
                    bytes: bytes.clone()
                }
            ),
            format!(
                "{:?}",
                Output::Store {
                    slot,
                    append,
                    bytes: bytes.clone()
                }
            ),
            format!("{:?}", Output::Write { link, bytes }),
            format!(
                "{:?}",
                Output::Frame {
                    link,
                    text: "pencil".to_owned()
                }
            ),
        ];
        // Neither as text nor as numbers.
        assert!(
            shown
                .iter()
                .all(|shown| !shown.contains("pencil") && !shown.contains("112, 101")),
            "{shown:?}"
        );
    }

    #[test]
    fn a_message_is_escaped() {
        let xml = String::from_utf8(chat("user02@localhost", "a < b & c").unwrap()).unwrap();
        assert!(xml.ends_with("<body>a &lt; b &amp; c</body></message>"), "{xml}");
        assert!(matches!(chat("@", ""), Err(Refused::Jid { .. })));
    }
}
