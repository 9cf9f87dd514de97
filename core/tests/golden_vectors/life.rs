//! A client and its log with everything in it: written, compared with the committed one, read back and played again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::record::{Header, Log};
use epode::{Client, Config, Credentials, DerivedKey, Event, Input, Instant, LinkId, Output, Secret};
use serde_json::{Value, json};

const SEED: [u8; 32] = *b"the seed of the golden transcrip";

/// What the host carries for the client, and what it writes down.
pub(crate) struct Life {
    client: Client,
    pub(crate) now: u64,
    /// The latest.
    pub(crate) link: LinkId,
    pub(crate) links: usize,
    /// What the client has sent since it was last looked at.
    pub(crate) said: String,
    /// All that came out that is not sent.
    pub(crate) outputs: Vec<Output>,
    lines: Vec<Value>,
}

impl Life {
    pub(crate) fn new(config: Config) -> Self {
        let mut header = serde_json::to_value(Header::new(&config, &SEED)).unwrap();
        header["config"]["credentials"] = credentials(config.credentials());
        Self {
            client: Client::new(config, SEED),
            now: 1_000,
            link: LinkId(0),
            links: 0,
            said: String::new(),
            outputs: Vec::new(),
            lines: vec![header],
        }
    }

    /// One turn, and a `Written` for what it sent.
    pub(crate) fn input(&mut self, input: Input<'_>) {
        self.turn(input).unwrap();
    }

    /// The same, for an input that is refused: a log has it, and nothing comes out.
    pub(crate) fn refused(&mut self, input: Input<'_>) {
        let before = self.outputs.len();
        self.turn(input).unwrap_err();
        assert_eq!(self.outputs.len(), before);
    }

    fn turn(&mut self, input: Input<'_>) -> Result<Option<epode::Token>, epode::Refused> {
        self.lines.push(line(self.now, &input));
        let done = self.client.handle(Instant::from_millis(self.now), input);
        let (link, mut written) = (self.link, 0);
        for output in drain(&mut self.client) {
            self.lines.push(json!({"out": shown(&output)}));
            match &output {
                Output::Write { bytes, .. } => {
                    self.said.push_str(std::str::from_utf8(bytes).unwrap());
                    written += bytes.len();
                }
                Output::Frame { text, .. } => {
                    self.said.push_str(text);
                    written += text.len();
                }
                Output::Post { body, .. } => self.said.push_str(std::str::from_utf8(body).unwrap()),
                Output::Connect { link, .. } => {
                    self.link = *link;
                    self.links += 1;
                }
                _ => {}
            }
            self.outputs.push(output);
        }
        if written > 0 {
            let bytes = u64::try_from(written).unwrap();
            self.turn(Input::Written { link, bytes }).unwrap();
        }
        done
    }

    /// What the client waits for, as time passes: until it opens another link.
    pub(crate) fn until_next_link(&mut self) {
        let before = self.links;
        while self.links == before {
            let (at, _) = self.client.deadline().expect("it waits for nothing");
            self.now = self.now.max(at.as_millis());
            self.input(Input::Tick);
        }
    }

    /// One turn that gives a token.
    pub(crate) fn turn_token(&mut self, input: Input<'_>) -> epode::Token {
        self.turn(input).unwrap().expect("no token")
    }

    pub(crate) fn deadline(&self) -> Option<(Instant, epode::Timer)> {
        self.client.deadline()
    }

    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.outputs.iter().filter_map(|output| match output {
            Output::Event(event) => Some(event),
            _ => None,
        })
    }

    /// Compares the log with the committed one; and plays that again, for it must have all that a replay needs.
    pub(crate) fn golden(self, name: &str) {
        let path = folder().join(format!("{name}.jsonl"));
        let text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        if std::env::var_os("EPODE_BLESS").is_some() {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; EPODE_BLESS=1 writes it", path.display()));
        assert!(
            committed == text,
            "{name} is not as committed: EPODE_BLESS=1 writes it anew"
        );
        assert!(replayed(&committed) == committed, "{name} does not replay to the same");
    }
}

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/transcripts/vectors")
}

fn drain(client: &mut Client) -> Vec<Output> {
    std::iter::from_fn(|| client.next()).collect()
}

fn line(now: u64, input: &Input<'_>) -> Value {
    let mut shown = serde_json::to_value(input).unwrap();
    match input {
        Input::Provide { credentials: given } => shown["provide"]["credentials"] = credentials(given),
        Input::Derived { key: made, .. } => shown["derived"]["key"] = key(made),
        _ => {}
    }
    json!({"now": now, "in": shown})
}

fn shown(output: &Output) -> Value {
    let mut shown = serde_json::to_value(output).unwrap();
    if let Output::DeriveKey { derivation, .. } = output {
        shown["derive_key"]["derivation"]["password"] = text(&derivation.password);
    }
    shown
}

fn credentials(given: &Credentials) -> Value {
    let mut shown = serde_json::to_value(given).unwrap();
    match given {
        Credentials::Password { password } => shown["password"]["password"] = text(password),
        Credentials::CertificateAndPassword { password, .. } => {
            shown["certificate_and_password"]["password"] = text(password);
        }
        Credentials::NewAccount { password } => shown["new_account"]["password"] = text(password),
        Credentials::AccessToken { token } => shown["access_token"]["token"] = text(token),
        Credentials::ScramKey { key: given } => shown["scram_key"]["key"] = key(given),
        _ => {}
    }
    shown
}

fn text(secret: &Secret) -> Value {
    std::str::from_utf8(secret.expose()).unwrap().into()
}

/// With the bytes that `DerivedKey::from_bytes` takes.
fn key(of: &DerivedKey) -> Value {
    let mut shown = serde_json::to_value(of).unwrap();
    shown["bytes"] = json!({"base64": STANDARD.encode(of.to_bytes().expose())});
    shown
}

/// The lines that come out when the inputs of these go in: by what is in them and nothing else.
fn replayed(text: &str) -> String {
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let mut log = Log::read(text).unwrap();
    let stored = &first["config"]["credentials"];
    if let Some(secret) = secret(stored) {
        log.header.config.set_password(secret);
    }
    let mut client = Client::new(log.header.config.clone(), log.header.seed().unwrap());
    let (mut lines, mut jobs) = (vec![first.clone()], BTreeMap::new());
    for line in text.lines().skip(1) {
        let entry: Value = serde_json::from_str(line).unwrap();
        let Some(given) = entry.get("in") else { continue };
        let now = Instant::from_millis(entry["now"].as_u64().unwrap());
        let mut input: Input<'static> = serde_json::from_value(given.clone()).unwrap();
        match &mut input {
            Input::Provide { credentials } => {
                let stored = &given["provide"]["credentials"];
                *credentials = match secret(stored) {
                    Some(secret) => Credentials::password(secret),
                    None => Credentials::ScramKey {
                        key: stored_key(&stored["scram_key"]["key"]),
                    },
                };
            }
            // A binding has run the derivation: it comes to the key that the log has.
            Input::Derived { job, key } => {
                let derivation: &epode::Derivation = jobs.get(job).unwrap();
                *key = derivation.run();
                assert_eq!(*key, stored_key(&given["derived"]["key"]));
            }
            _ => {}
        }
        lines.push(self::line(now.as_millis(), &input));
        let _ = client.handle(now, input);
        for output in drain(&mut client) {
            lines.push(json!({"out": shown(&output)}));
            if let Output::DeriveKey { job, derivation } = output {
                jobs.insert(job, derivation);
            }
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The one secret in them, if it is text.
fn secret(credentials: &Value) -> Option<Secret> {
    let (_, fields) = credentials.as_object()?.iter().next()?;
    let text = fields.get("password").or_else(|| fields.get("token"))?;
    Some(Secret::from(text.as_str()?.to_owned()))
}

fn stored_key(key: &Value) -> DerivedKey {
    DerivedKey::from_bytes(&STANDARD.decode(key["bytes"]["base64"].as_str().unwrap()).unwrap()).unwrap()
}
