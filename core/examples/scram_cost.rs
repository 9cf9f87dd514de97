//! What SCRAM costs beside PBKDF2, which nobody can save: `scram_cost [--check] [ROUNDS]` measures, in turns, the bare
//! `pbkdf2` crate at 4096 iterations of SHA-256; the keys of a login, which are that and what SCRAM makes of it
//! ([`epode::Derivation::run`]); and all that a client does from the server's features to its proof, its XML included. It
//! prints the medians, and how they relate to the first.
//!
//! `--check` fails where all of it takes more than the promised 1.1. It is for a quiet machine and a release build; nothing in
//! CI depends on it.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::{
    Client, Config, Credentials, Derivation, Event, Input, LinkId, LinkInfo, Output, ScramHash, Secret, TcpTls,
};
use hmac::{Hmac, KeyInit, Mac};
use pbkdf2::pbkdf2_hmac;
use sha2::Sha256;

/// The promise.
const LIMIT: f64 = 1.1;
const ROUNDS: usize = 301;

const PASSWORD: &str = "pencil";
const SALT: &[u8] = b"a salt of 16 by.";
const ITERATIONS: u32 = 4096;

fn main() -> ExitCode {
    let (mut check, mut rounds) = (false, ROUNDS);
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) if number > 0 => rounds = number,
            _ if argument == "--check" => check = true,
            _ => {
                eprintln!("usage: scram_cost [--check] [ROUNDS]");
                return ExitCode::FAILURE;
            }
        }
    }
    let server_key = hmac(&salted_password(), b"Server Key");
    let derivation = Derivation {
        hash: ScramHash::Sha256,
        salt: SALT.to_vec(),
        iterations: ITERATIONS,
        password: Secret::from(PASSWORD),
    };
    let (mut bare, mut keys, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    // In turns, so that a machine that slows down slows down both.
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(salted_password());
        bare.push(start.elapsed());
        let start = Instant::now();
        black_box(derivation.run());
        keys.push(start.elapsed());
        match log_in(&server_key) {
            Ok(time) => whole.push(time),
            Err(error) => {
                eprintln!("scram_cost: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let (bare, keys, whole) = (median(bare), median(keys), median(whole));
    let (keys_ratio, login_ratio) = (ratio(keys, bare), ratio(whole, bare));
    println!(
        "pbkdf2_us={} keys_us={} keys_ratio={keys_ratio:.3} login_us={} login_ratio={login_ratio:.3} rounds={rounds}",
        bare.as_micros(),
        keys.as_micros(),
        whole.as_micros()
    );
    if check && login_ratio > LIMIT {
        eprintln!("scram_cost: a login takes more than {LIMIT} times what PBKDF2 takes");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn ratio(time: Duration, of: Duration) -> f64 {
    time.as_secs_f64() / of.as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What the login is measured against.
fn salted_password() -> [u8; 32] {
    let mut salted = [0; 32];
    // The compiler must not know more here than it does for a server's salt and count.
    let (password, salt, iterations) = black_box((PASSWORD.as_bytes(), SALT, ITERATIONS));
    pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted);
    salted
}

/// How long a new client takes from the features to the server's proof.
fn log_in(server_key: &[u8; 32]) -> Result<Duration, String> {
    let account = "user@example.org".parse().map_err(|_| "no JID")?;
    let config = Config::builder(account)
        .credentials(Credentials::password(Secret::from(PASSWORD)))
        .tcp("xmpp.example.org", 5223, TcpTls::Direct)
        .build()
        .map_err(|error| error.to_string())?;
    let mut client = Timed {
        client: Client::new(config, [7; 32]),
        time: Duration::ZERO,
    };
    client.say(Input::Start)?;
    let mut server = Server {
        server_key,
        first: String::new(),
        challenge: String::new(),
    };
    let mut has_features = false;
    while let Some(output) = client.next() {
        if let Output::Connect { link, server_name, .. } = output {
            let info = LinkInfo::verified(server_name);
            client.say(Input::Connected { link, info })?;
        } else if let Output::Write { link, bytes } = output {
            let text = String::from_utf8_lossy(&bytes);
            if !text.contains("<stream:stream") {
                let answer = server.answer(&text).ok_or("the client said something unexpected")?;
                client.receive(link, &answer)?;
            } else if has_features {
                // The stream starts anew: the client has accepted the proof.
                return Ok(client.time);
            } else {
                client.receive(link, HEADER)?;
                client.time = Duration::ZERO;
                has_features = true;
                client.receive(link, FEATURES)?;
            }
        } else if let Output::Event(Event::Offline { reason }) = output {
            return Err(reason.to_string());
        }
    }
    Err("the client waits".to_string())
}

/// A client, and what it has taken; the server's part does not count.
struct Timed {
    client: Client,
    time: Duration,
}

impl Timed {
    fn receive(&mut self, link: LinkId, text: &str) -> Result<(), String> {
        let bytes = text.as_bytes().into();
        self.say(Input::Received { link, bytes })
    }

    fn say(&mut self, input: Input<'_>) -> Result<(), String> {
        let start = Instant::now();
        let handled = self.client.handle(epode::Instant::from_millis(1_000), input);
        self.time += start.elapsed();
        handled.map(|_| ()).map_err(|error| error.to_string())
    }

    fn next(&mut self) -> Option<Output> {
        let start = Instant::now();
        let output = self.client.next();
        self.time += start.elapsed();
        output
    }
}

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
    from='example.org' id='s' version='1.0'>";
const FEATURES: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism></mechanisms>\
    </stream:features>";

/// Just enough of a server. It has the keys already, as a server does.
struct Server<'a> {
    server_key: &'a [u8; 32],
    first: String,
    challenge: String,
}

impl Server<'_> {
    fn answer(&mut self, text: &str) -> Option<String> {
        const NAMESPACE: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        let message = message(text)?;
        if text.contains("<auth") {
            // The GS2 header has two commas.
            self.first = message.splitn(3, ',').nth(2)?.to_string();
            let nonce = self.first.split_once(",r=")?.1;
            self.challenge = format!("r={nonce}server,s={},i={ITERATIONS}", STANDARD.encode(SALT));
            return Some(format!(
                "<challenge {NAMESPACE}>{}</challenge>",
                STANDARD.encode(&self.challenge)
            ));
        }
        let without_proof = message.rsplit_once(",p=")?.0;
        let signed = format!("{},{},{without_proof}", self.first, self.challenge);
        let proof = STANDARD.encode(hmac(self.server_key, signed.as_bytes()));
        Some(format!(
            "<success {NAMESPACE}>{}</success>",
            STANDARD.encode(format!("v={proof}"))
        ))
    }
}

/// The bytes of an element's text.
fn message(element: &str) -> Option<String> {
    let text = element.split_once('>')?.1.split_once('<')?.0;
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

fn hmac(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    Hmac::<Sha256>::new(&block)
        .chain_update(data)
        .finalize()
        .into_bytes()
        .into()
}
