//! A host for one client. It carries out nothing, but checks each output against the contract: what may come, how often, and in which order.
//!
//! - `mod.rs`: what a host knows, and how an input goes in and outputs come out.
//! - `choices.rs`: what an application decided, and the configuration that comes of it.
//! - `drive.rs`: what happens to a client: time, links, servers, processes that end.
//! - `outputs.rs`: what each output promises.
//! - `events.rs`: what each event promises.

mod choices;
mod drive;
mod events;
mod outputs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use epode::{
    Client, Config, Derivation, Input, Instant, JobId, Network, Output, QueryId, Question, Refused, Slot, Stage, Timer,
    Token,
};

use self::choices::config;
pub use self::choices::{Choices, Login, Way};
use crate::server::Server;
use crate::wire::Link;

pub const PASSWORD: &str = "canary-Qm5wd";
pub const ACCESS: &str = "canary-Bx5-access";
pub const TOKEN: &str = "canary-Vt3-login-token";
pub const EXPORTER: [u8; 32] = *b"what TLS exported of this link..";
pub const DOMAIN: &str = "example.org";
const ACCOUNT: &str = "user@example.org";

/// For whoever looks into a crash: with this variable set, all inputs and outputs are printed.
static SHOW: LazyLock<bool> = LazyLock::new(|| std::env::var_os("EPODE_FUZZ_SHOW").is_some());

pub struct Host {
    pub client: Client,
    pub server: Server,
    config: Config,
    choices: Choices,
    now: u64,
    life: Option<Life>,
    pub links: u64,
    last_request: u64,
    last_query: u64,
    network_down: bool,
    /// Requests of others that the application was asked to answer.
    pub asked: Vec<Token>,
    /// Stanzas that the application has to deal with.
    pub received: Vec<Token>,
    pub tokens: Vec<Token>,
    /// TCP cuts what the server says into pieces of so many bytes; 0: not at all.
    pub cut: usize,
    /// Slot `Session`.
    pub stored: Vec<u8>,
    /// Slots `Token` and `Pins`.
    pub kept: BTreeMap<Slot, Vec<u8>>,
    /// Keys that the client waits for.
    pub jobs: Vec<(JobId, Derivation)>,
    last_job: u64,
    /// The client waits for the application to do a task.
    pub task: bool,
    /// There were other credentials than those of the configuration.
    provided: bool,
    /// The process ends after so many more outputs of the next turn.
    kill_after: Option<usize>,
    /// What an earlier process knew.
    past: Past,
    restores: u8,
    /// Everything that came out, as one number, so that two runs can be compared.
    digest: u64,
    secrets: Vec<String>,
    known: bool,
}

/// What a process knew when it ended.
#[derive(Default)]
struct Past {
    sends: BTreeMap<Token, Sent>,
    bodies: BTreeMap<u64, Vec<u8>>,
}

/// A stanza of the application's.
#[derive(Clone, Copy, Debug)]
struct Sent {
    stage: Stage,
    /// The application was told that it is queued.
    promised: bool,
    /// The last link on which it was written.
    written_on: u64,
    /// There has to be a last word.
    owed: bool,
    /// Of an earlier process: what was told then may be told again.
    again: bool,
}

/// From `Start` to `Offline`.
#[derive(Default)]
struct Life {
    link: Option<Link>,
    online: bool,
    queries: Vec<(QueryId, Question)>,
    sends: BTreeMap<Token, Sent>,
    requests: BTreeSet<Token>,
    bodies: BTreeMap<u64, Vec<u8>>,
    /// How much the client said: what it may have to say again.
    said: usize,
}

impl Host {
    /// `input` is what the fuzzer made: a password that is in it (it learns from comparisons) can come out without a leak.
    pub fn new(choices: Choices, input: &[u8]) -> Self {
        let secrets = secrets();
        let known = secrets.iter().any(|secret| contains(input, &secret.as_bytes()[..8]));
        let config = config(choices);
        let mut server = Server::default();
        server.login.sasl2 = choices.sasl2;
        Self {
            client: Client::new(config.clone(), [7; 32]),
            server,
            config,
            choices,
            now: 1_000,
            life: None,
            links: 0,
            last_request: 0,
            last_query: 0,
            network_down: false,
            asked: Vec::new(),
            received: Vec::new(),
            tokens: Vec::new(),
            cut: 0,
            stored: Vec::new(),
            kept: BTreeMap::new(),
            jobs: Vec::new(),
            last_job: 0,
            task: false,
            provided: false,
            kill_after: None,
            past: Past::default(),
            restores: 0,
            digest: 0,
            secrets: if known { Vec::new() } else { secrets },
            known,
        }
    }

    /// Hands over an input at the current time, and checks all that comes out.
    pub fn feed(&mut self, input: Input<'_>) -> Result<Option<Token>, Refused> {
        self.feed_at(self.now, input)
    }

    fn feed_at(&mut self, at: u64, input: Input<'_>) -> Result<Option<Token>, Refused> {
        let is_start = matches!(input, Input::Start);
        let kind = input.name();
        let bytes = match &input {
            Input::Responded { body, .. } => body.len(),
            Input::Received { bytes, .. } => bytes.len(),
            Input::Start => self.stored.len(),
            _ => 0,
        };
        if let Input::Network(network) = &input {
            self.network_down = *network == Network::Down;
        }
        let shown = format!("{input:?}");
        self.check_secrets(&shown);
        if *SHOW {
            eprintln!("{at:>8} > {shown}");
        }
        let before = self.life.as_ref().map_or(0, |life| {
            let under_way = life.link.as_ref().map_or(0, |link| link.outstanding.len());
            life.sends.len() + life.requests.len() + under_way + life.said
        });
        let result = self.client.handle(Instant::from_millis(at), input);
        if is_start {
            // A second `Start` is refused exactly as long as the first one lasts.
            assert_eq!(result.is_err(), self.life.is_some());
            if result.is_ok() {
                let past = std::mem::take(&mut self.past);
                self.life = Some(Life {
                    sends: past.sends,
                    bodies: past.bodies,
                    ..Life::default()
                });
            }
        }
        if let (Ok(Some(token)), Some(life)) = (&result, &mut self.life) {
            self.tokens.push(*token);
            match kind {
                "Request" => assert!(life.requests.insert(*token), "{token} is not new"),
                _ => {
                    let sent = Sent {
                        stage: Stage::Queued,
                        promised: false,
                        written_on: 0,
                        owed: true,
                        again: false,
                    };
                    assert!(life.sends.insert(*token, sent).is_none(), "{token} is not new");
                }
            }
        }
        let kill_after = self.kill_after.take();
        let Some(outputs) = self.drain(kill_after) else {
            self.restore();
            return result;
        };
        // Each element of an answer leads to an event and an answer at most; each promise is settled once.
        assert!(
            outputs <= 64 + bytes / 2 + 4 * before,
            "{outputs} outputs after {kind} of {bytes} bytes"
        );
        if result.is_err() {
            assert_eq!(outputs, 0, "after an error nothing has changed");
        }
        if kill_after.is_some() {
            self.restore();
        }
        result
    }

    /// How many outputs there were; `None` where the process ended before the last one.
    fn drain(&mut self, kill_after: Option<usize>) -> Option<usize> {
        let mut count = 0;
        loop {
            let deadline = self.client.deadline();
            let output = self.client.next();
            let Some(output) = output else {
                assert!(
                    !matches!(deadline, Some((_, Timer::Output))),
                    "no output although one is due"
                );
                self.check_secrets(&format!("{:?}", self.client));
                let _ = self.client.wants_read();
                return Some(count);
            };
            if kill_after == Some(count) {
                // What replaces a slot is there or not; what is put behind it may be there in part.
                if let Output::Store {
                    append: true, bytes, ..
                } = output
                {
                    let bytes = bytes.expose();
                    self.stored.extend_from_slice(&bytes[..bytes.len() / 2]);
                }
                return None;
            }
            assert_eq!(
                deadline.map(|(_, timer)| timer),
                Some(Timer::Output),
                "an output waits, so the deadline is now"
            );
            count += 1;
            self.output(output);
        }
    }

    /// Looks for the password in what Debug shows.
    fn check_secrets(&self, shown: &str) {
        for secret in &self.secrets {
            assert!(!shown.contains(secret), "Debug shows the password ({secret}): {shown}");
        }
    }
}

/// Each secret as it is, the password in base64 as a part of SASL PLAIN, and all as the numbers that Debug makes of bytes.
fn secrets() -> Vec<String> {
    let plain = STANDARD.encode(format!("\0user\0{PASSWORD}"));
    let numbers = |text: &str| format!("{:?}", text.as_bytes()).trim_matches(['[', ']']).to_string();
    // The last character of the base64 without its padding depends on nothing that follows.
    let plain = plain.trim_end_matches('=').to_string();
    let mut secrets = vec![numbers(&plain), plain];
    for secret in [PASSWORD, ACCESS, TOKEN] {
        secrets.extend([numbers(secret), secret.to_string()]);
    }
    secrets
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
