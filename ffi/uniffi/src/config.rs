//! What an application decides before it starts, as records with defaults.

use std::time::Duration;

use epode::config;

use crate::Refused;
use crate::login::{Bind, Credentials, Fast, KeyDerivation, Mechanisms, UserAgent};
use crate::output::TcpTls;

/// One account and how to reach it.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Config {
    /// The account, as `user01@example.org`. A resource, if it has one, is asked for at binding.
    pub jid: String,
    /// How the account is proved.
    pub credentials: Credentials,
    /// How to reach the server, in the order in which it is tried; where there is nothing, the way is found by DNS and the server's
    /// host-meta.
    #[uniffi(default = [])]
    pub transports: Vec<Transport>,
    /// When SASL EXTERNAL names the account.
    #[uniffi(default = None)]
    pub authzid: Option<Authzid>,
    /// Takes links without TLS, for tests on one machine.
    #[uniffi(default = false)]
    pub allow_plaintext: bool,
    /// Which SASL mechanisms may be used.
    #[uniffi(default = None)]
    pub mechanisms: Option<Mechanisms>,
    /// Bounds on what a peer may cost.
    #[uniffi(default = None)]
    pub limits: Option<Limits>,
    /// How long to wait.
    #[uniffi(default = None)]
    pub timeouts: Option<Timeouts>,
    /// Whether and when to connect again after the link is gone.
    #[uniffi(default = None)]
    pub reconnect: Option<Reconnect>,
    /// Acknowledgements and resumption (XEP-0198).
    #[uniffi(default = None)]
    pub stream_management: Option<StreamManagement>,
    /// How a dead link is noticed.
    #[uniffi(default = None)]
    pub liveness: Option<Liveness>,
    /// What the host keeps for a process to come (`Store`); by default nothing.
    #[uniffi(default = None)]
    pub persist: Option<Persist>,
    /// When a received stanza counts as handled.
    #[uniffi(default = None)]
    pub acknowledge: Option<Acknowledge>,
    /// What the client says about itself (XEP-0388 §2.3); by default that the software is `epode`.
    #[uniffi(default = None)]
    pub user_agent: Option<UserAgent>,
    /// Whether login tokens (XEP-0484) are used; by default they are.
    #[uniffi(default = None)]
    pub fast: Option<Fast>,
    /// What is asked for together with a resource (XEP-0386).
    #[uniffi(default = None)]
    pub bind: Option<Bind>,
    /// Who derives SCRAM's keys from the password; by default the client.
    #[uniffi(default = None)]
    pub key_derivation: Option<KeyDerivation>,
    /// The tasks that the application can do where the server asks for them after the credentials (XEP-0388 §2.6.3).
    #[uniffi(default = [])]
    pub tasks: Vec<String>,
    /// The default language of what is sent (RFC 6120 §4.7.4).
    #[uniffi(default = "en")]
    pub language: String,
    /// Namespaces of `iq` payloads that the application answers; all other requests are refused for it.
    #[uniffi(default = [])]
    pub answers: Vec<String>,
}

/// One way to reach the server.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Transport {
    /// What DNS (RFC 6120 §3.2, XEP-0368) and the server's host-meta (XEP-0156) say, of these kinds.
    Discover {
        /// TCP.
        tcp: bool,
        /// WebSocket.
        websocket: bool,
        /// BOSH.
        bosh: bool,
    },
    /// TCP (RFC 6120). The certificate is checked for the domain of the account, whatever the host is called.
    Tcp {
        /// A host name in ASCII, or an address: of IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// When TLS begins.
        tls: TcpTls,
    },
    /// WebSocket (RFC 7395).
    WebSocket {
        /// The URL: `wss://`.
        url: String,
    },
    /// HTTP (XEP-0124, XEP-0206).
    Bosh {
        /// The connection manager, and what to ask of it.
        bosh: Bosh,
    },
}

/// A BOSH connection manager, and what to ask of it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Bosh {
    /// Where requests are posted to: an `https` URL.
    pub url: String,
    /// The longest time, in seconds, that the connection manager may hold a request.
    #[uniffi(default = 60)]
    pub wait: u16,
    /// How many requests the connection manager may hold; 0 asks for a polling session.
    #[uniffi(default = 1)]
    pub hold: u8,
    /// Acknowledge answers (XEP-0124 §9.2).
    #[uniffi(default = true)]
    pub ack: bool,
    /// The first request id: for a vector. By default it is drawn at random.
    #[uniffi(default = None)]
    pub first_rid: Option<u64>,
    /// How many requests may be open at once, whatever the server allows.
    #[uniffi(default = 4)]
    pub max_requests: u8,
    /// Each request proves that it comes from whoever sent the one before it (XEP-0124 §15). Over https TLS does that already.
    #[uniffi(default = false)]
    pub key_sequence: bool,
    /// Go on with a session that somebody else created, and logged in to the account, instead of creating one.
    #[uniffi(default = None)]
    pub attach: Option<Attach>,
}

/// A BOSH session that was created and logged in elsewhere: what its creator knows of it. Only one may use it from then on.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Attach {
    /// The session id. Whoever has it has the session.
    pub sid: Vec<u8>,
    /// The request id after the last one that was used.
    pub next_rid: u64,
    /// The full JID that the session is bound to.
    pub jid: String,
    /// The longest time, in seconds, that the connection manager holds a request.
    pub wait: u16,
    /// How many requests it holds.
    pub hold: u8,
    /// How many may be open at once.
    pub requests: u8,
    /// After how many seconds without a request it forgets the session, if it said so.
    #[uniffi(default = None)]
    pub inactivity: Option<u16>,
    /// How many seconds there must be between empty requests, if it said so.
    #[uniffi(default = None)]
    pub polling: Option<u16>,
    /// For how many seconds the session may pause, if it said so.
    #[uniffi(default = None)]
    pub maxpause: Option<u16>,
    /// It acknowledges requests (XEP-0124 §9.1).
    #[uniffi(default = false)]
    pub acknowledges: bool,
    /// Where the key sequence stands, if the session was created with one.
    #[uniffi(default = None)]
    pub keys: Option<AttachKeys>,
}

/// Where a key sequence stands (XEP-0124 §15.3).
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct AttachKeys {
    /// The seed.
    pub seed: Vec<u8>,
    /// Which key the next request has to show: 1 is the last one of the sequence.
    pub next: u16,
}

/// When SASL EXTERNAL names the account (XEP-0178 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Authzid {
    /// As XEP-0178 wants it, by what the certificate says.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether and when to connect again after the link is gone. Times are in milliseconds, and drawn at random between half of what is said
/// here and all of it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Reconnect {
    /// When it is done at all; by default once there was a login.
    #[uniffi(default = None)]
    pub when: Option<ReconnectWhen>,
    /// Before the first attempt.
    #[uniffi(default = 1000)]
    pub first: u64,
    /// Before the second; from then on it doubles.
    #[uniffi(default = 2000)]
    pub second: u64,
    /// No more than this.
    #[uniffi(default = 120000)]
    pub longest: u64,
    /// Give up after so many attempts in a row without a login; `None`: never.
    #[uniffi(default = None)]
    pub attempts: Option<u32>,
}

/// When to connect again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ReconnectWhen {
    /// Never.
    Never,
    /// Once there was a login.
    AfterOnline,
    /// Always, the first login included.
    Always,
}

/// Acknowledgements and resumption (XEP-0198), where the server has them.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct StreamManagement {
    /// Use it.
    #[uniffi(default = true)]
    pub enabled: bool,
    /// Ask that the session can be resumed.
    #[uniffi(default = true)]
    pub resume: bool,
    /// For how long, in seconds, the server is asked to keep a session that lost its link; `None` leaves it to the server.
    #[uniffi(default = None)]
    pub max: Option<u32>,
    /// Ask for an acknowledgement after so many stanzas.
    #[uniffi(default = 10)]
    pub request_after: u16,
    /// And when so many milliseconds have passed since the last stanza that is not acknowledged.
    #[uniffi(default = 3000)]
    pub request_when_quiet: u64,
    /// Messages of which nobody knows whether the server has them are sent again in the next session, where they may arrive twice.
    #[uniffi(default = false)]
    pub resend_uncertain: bool,
}

/// How a dead link is noticed, on TCP and WebSocket. In milliseconds; `None` is never.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Liveness {
    /// After so much time without a word from the server it is asked whether it is there.
    #[uniffi(default = Some(300000))]
    pub ask_after: Option<u64>,
    /// How long it may take to show any sign of life then.
    #[uniffi(default = 30000)]
    pub answer_within: u64,
    /// After so much time without a word from the client something is sent that means nothing.
    #[uniffi(default = None)]
    pub keep_alive_after: Option<u64>,
}

/// What the host keeps for a process to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Persist {
    /// Nothing.
    Off,
    /// When the application says `Pause`, or goes to the background.
    OnSuspend,
    /// In each turn that changed something: the process may be killed at any moment.
    EveryTurn,
}

/// When a received stanza counts as handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Acknowledge {
    /// When its event was handed out.
    Automatic,
    /// When the application says `Handled`, or answers the request.
    Manual,
}

/// How long to wait, in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Timeouts {
    /// For a link to come up, and for a session to be created on it.
    #[uniffi(default = 30000)]
    pub connect: u64,
    /// For each step of the negotiation.
    #[uniffi(default = 30000)]
    pub negotiation: u64,
    /// For the server's part of the goodbye.
    #[uniffi(default = 5000)]
    pub close: u64,
    /// For the answer to a request that names no time of its own.
    #[uniffi(default = 60000)]
    pub iq: u64,
    /// For the host to answer a `Resolve`.
    #[uniffi(default = 10000)]
    pub discovery: u64,
    /// For a link to come up while there is another place to try.
    #[uniffi(default = 8000)]
    pub fallback: u64,
}

/// Bounds on what a peer, or the application itself, may cost. Sizes are in bytes; what is `None` keeps the core's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, uniffi::Record)]
pub struct Limits {
    /// One top-level element before authentication.
    #[uniffi(default = None)]
    pub element_before_login: Option<u64>,
    /// One top-level element afterwards.
    #[uniffi(default = None)]
    pub element: Option<u64>,
    /// One BOSH body.
    #[uniffi(default = None)]
    pub bosh_body: Option<u64>,
    /// Nesting below the top-level element.
    #[uniffi(default = None)]
    pub depth: Option<u64>,
    /// Attributes of one element.
    #[uniffi(default = None)]
    pub attributes: Option<u64>,
    /// Namespace declarations in scope.
    #[uniffi(default = None)]
    pub namespaces: Option<u64>,
    /// One attribute value.
    #[uniffi(default = None)]
    pub attribute_value: Option<u64>,
    /// One stanza of the application's.
    #[uniffi(default = None)]
    pub outbound_stanza: Option<u64>,
    /// Stanzas that wait to be sent.
    #[uniffi(default = None)]
    pub outbound_queue: Option<u64>,
    /// Output that the host has not taken.
    #[uniffi(default = None)]
    pub inbound_queue: Option<u64>,
    /// Requests without an answer yet, in each direction.
    #[uniffi(default = None)]
    pub pending_requests: Option<u64>,
    /// Stanzas that were sent and are not acknowledged.
    #[uniffi(default = None)]
    pub unacknowledged: Option<u64>,
}

impl Config {
    /// A configuration with the usual values for all else.
    #[must_use]
    pub fn new(jid: &str, credentials: Credentials, transports: Vec<Transport>) -> Self {
        Self {
            jid: jid.to_owned(),
            credentials,
            transports,
            authzid: None,
            allow_plaintext: false,
            mechanisms: None,
            limits: None,
            timeouts: None,
            reconnect: None,
            stream_management: None,
            liveness: None,
            persist: None,
            acknowledge: None,
            user_agent: None,
            fast: None,
            bind: None,
            key_derivation: None,
            tasks: Vec::new(),
            language: "en".to_owned(),
            answers: Vec::new(),
        }
    }

    pub(crate) fn build(self) -> Result<config::Config, Refused> {
        let jid = epode::Jid::parse(&self.jid).map_err(Refused::jid)?;
        let mut builder = config::Config::builder(jid)
            .credentials(self.credentials.into_core())
            .language(self.language);
        for transport in self.transports {
            builder = builder.transport(transport.into_core());
        }
        if let Some(authzid) = self.authzid {
            builder = builder.authzid(match authzid {
                Authzid::Auto => epode::Authzid::Auto,
                Authzid::Always => epode::Authzid::Always,
                Authzid::Never => epode::Authzid::Never,
            });
        }
        if self.allow_plaintext {
            builder = builder.tls(config::TlsPolicy::AllowPlaintext);
        }
        if let Some(mechanisms) = self.mechanisms {
            builder = builder.mechanisms(mechanisms.into_core());
        }
        if let Some(user_agent) = self.user_agent {
            builder = builder.user_agent(user_agent.into_core());
        }
        if let Some(fast) = self.fast {
            builder = builder.fast(fast.into_core());
        }
        if let Some(bind) = self.bind {
            builder = builder.bind(bind.into_core());
        }
        if let Some(key_derivation) = self.key_derivation {
            builder = builder.key_derivation(key_derivation.into_core());
        }
        for task in self.tasks {
            builder = builder.task(task);
        }
        if let Some(limits) = self.limits {
            builder = builder.limits(limits.into_core());
        }
        if let Some(timeouts) = self.timeouts {
            builder = builder.timeouts(timeouts.into_core());
        }
        if let Some(reconnect) = self.reconnect {
            builder = builder.reconnect(reconnect.into_core());
        }
        if let Some(stream_management) = self.stream_management {
            builder = builder.stream_management(stream_management.into_core());
        }
        if let Some(liveness) = self.liveness {
            builder = builder.liveness(config::Liveness {
                ask_after: liveness.ask_after.map(Duration::from_millis),
                answer_within: Duration::from_millis(liveness.answer_within),
                keep_alive_after: liveness.keep_alive_after.map(Duration::from_millis),
            });
        }
        if let Some(persist) = self.persist {
            builder = builder.persist(match persist {
                Persist::Off => config::Persist::Off,
                Persist::OnSuspend => config::Persist::OnSuspend,
                Persist::EveryTurn => config::Persist::EveryTurn,
            });
        }
        if let Some(acknowledge) = self.acknowledge {
            builder = builder.acknowledge(match acknowledge {
                Acknowledge::Automatic => config::Acknowledge::Automatic,
                Acknowledge::Manual => config::Acknowledge::Manual,
            });
        }
        for namespace in self.answers {
            builder = builder.answers(namespace);
        }
        builder
            .build()
            .map_err(|error| Refused::Configuration { why: error.to_string() })
    }
}

impl Transport {
    fn into_core(self) -> config::Transport {
        match self {
            Self::Discover { tcp, websocket, bosh } => {
                config::Transport::Discover(config::Discover { tcp, websocket, bosh })
            }
            Self::Tcp { host, port, tls } => config::Transport::Tcp(config::Tcp {
                host,
                port,
                tls: match tls {
                    TcpTls::Direct => epode::TcpTls::Direct,
                    TcpTls::StartTls => epode::TcpTls::StartTls,
                },
            }),
            Self::WebSocket { url } => config::Transport::WebSocket(config::WebSocket { url }),
            Self::Bosh { bosh } => config::Transport::Bosh(bosh.into_core()),
        }
    }
}

impl Timeouts {
    fn into_core(self) -> config::Timeouts {
        config::Timeouts {
            connect: Duration::from_millis(self.connect),
            negotiation: Duration::from_millis(self.negotiation),
            close: Duration::from_millis(self.close),
            iq: Duration::from_millis(self.iq),
            discovery: Duration::from_millis(self.discovery),
            fallback: Duration::from_millis(self.fallback),
        }
    }
}

impl Reconnect {
    fn into_core(self) -> config::Reconnect {
        config::Reconnect {
            when: match self.when {
                Some(ReconnectWhen::Never) => config::ReconnectWhen::Never,
                Some(ReconnectWhen::AfterOnline) | None => config::ReconnectWhen::AfterOnline,
                Some(ReconnectWhen::Always) => config::ReconnectWhen::Always,
            },
            first: Duration::from_millis(self.first),
            second: Duration::from_millis(self.second),
            longest: Duration::from_millis(self.longest),
            attempts: self.attempts,
        }
    }
}

impl StreamManagement {
    fn into_core(self) -> config::StreamManagement {
        config::StreamManagement {
            enabled: self.enabled,
            resume: self.resume,
            max: self.max,
            request_after: self.request_after,
            request_when_quiet: Duration::from_millis(self.request_when_quiet),
            resend_uncertain: self.resend_uncertain,
        }
    }
}

impl Bosh {
    /// The usual parameters.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let usual = config::Bosh::new(url);
        Self {
            url: usual.url,
            wait: usual.wait,
            hold: usual.hold,
            ack: usual.ack,
            first_rid: usual.first_rid,
            max_requests: usual.max_requests,
            key_sequence: usual.key_sequence,
            attach: None,
        }
    }

    fn into_core(self) -> config::Bosh {
        config::Bosh {
            wait: self.wait,
            hold: self.hold,
            ack: self.ack,
            first_rid: self.first_rid,
            max_requests: self.max_requests,
            key_sequence: self.key_sequence,
            attach: self.attach.map(|attach| Box::new(attach.into_core())),
            ..config::Bosh::new(self.url)
        }
    }
}

impl Attach {
    fn into_core(self) -> config::Attach {
        config::Attach {
            sid: epode::Secret::new(self.sid),
            next_rid: self.next_rid,
            jid: self.jid,
            wait: self.wait,
            hold: self.hold,
            requests: self.requests,
            inactivity: self.inactivity,
            polling: self.polling,
            maxpause: self.maxpause,
            acknowledges: self.acknowledges,
            keys: self.keys.map(|keys| config::AttachKeys {
                seed: epode::Secret::new(keys.seed),
                next: keys.next,
            }),
        }
    }
}

impl std::fmt::Debug for Attach {
    /// Never the session id.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Attach").field(&self.jid).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AttachKeys {
    /// Never the seed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AttachKeys(redacted)")
    }
}

impl Limits {
    fn into_core(self) -> config::Limits {
        let mut limits = config::Limits::default();
        let set = |place: &mut usize, value: Option<u64>| {
            if let Some(value) = value {
                *place = usize::try_from(value).unwrap_or(usize::MAX);
            }
        };
        set(&mut limits.element_before_login, self.element_before_login);
        set(&mut limits.element, self.element);
        set(&mut limits.bosh_body, self.bosh_body);
        set(&mut limits.depth, self.depth);
        set(&mut limits.attributes, self.attributes);
        set(&mut limits.namespaces, self.namespaces);
        set(&mut limits.attribute_value, self.attribute_value);
        set(&mut limits.outbound_stanza, self.outbound_stanza);
        set(&mut limits.outbound_queue, self.outbound_queue);
        set(&mut limits.inbound_queue, self.inbound_queue);
        set(&mut limits.pending_requests, self.pending_requests);
        set(&mut limits.unacknowledged, self.unacknowledged);
        limits
    }
}
