//! What a login by SCRAM costs beside PBKDF2, which nobody can save: `scram_cost [--check] [ROUNDS]` logs in with
//! SCRAM-SHA-256 at 4096 iterations against a scripted server, from the first input to being authenticated, in turns with
//! the bare `pbkdf2` crate, and prints the median of both and their ratio.
//!
//! `--check` fails above the promised 1.1. It is for a quiet machine and a release build; nothing in CI depends on it.

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::{Client, Config, Credentials, Event, Input, LinkId, LinkInfo, Output, Secret, TcpTls};
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
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    // In turns, so that a machine that slows down slows down both.
    for _ in 0..rounds {
        let start = Instant::now();
        black_box(salted_password());
        bare.push(start.elapsed());
        let start = Instant::now();
        if let Err(error) = log_in(&server_key) {
            eprintln!("scram_cost: {error}");
            return ExitCode::FAILURE;
        }
        whole.push(start.elapsed());
    }
    let (bare, whole) = (median(bare), median(whole));
    let ratio = whole.as_secs_f64() / bare.as_secs_f64();
    println!(
        "pbkdf2_us={} login_us={} ratio={ratio:.3} rounds={rounds}",
        bare.as_micros(),
        whole.as_micros()
    );
    if check && ratio > LIMIT {
        eprintln!("scram_cost: a login takes more than {LIMIT} times what PBKDF2 takes");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// What the login is measured against.
fn salted_password() -> [u8; 32] {
    let mut salted = [0; 32];
    pbkdf2_hmac::<Sha256>(black_box(PASSWORD.as_bytes()), SALT, ITERATIONS, &mut salted);
    salted
}

/// A new client, until the server has proved itself.
fn log_in(server_key: &[u8; 32]) -> Result<(), String> {
    let account = "user@example.org".parse().map_err(|_| "no JID")?;
    let config = Config::builder(account)
        .credentials(Credentials::password(Secret::from(PASSWORD)))
        .tcp("xmpp.example.org", 5223, TcpTls::Direct)
        .build()
        .map_err(|error| error.to_string())?;
    let mut client = Client::new(config, [7; 32]);
    say(&mut client, Input::Start)?;
    let mut server = Server {
        server_key,
        first: String::new(),
        challenge: String::new(),
    };
    while let Some(output) = client.next() {
        if let Output::Connect { link, server_name, .. } = output {
            let info = LinkInfo::verified(server_name);
            say(&mut client, Input::Connected { link, info })?;
        } else if let Output::Write { link, bytes } = output {
            let text = String::from_utf8_lossy(&bytes);
            if text.starts_with("<?xml") && !server.challenge.is_empty() {
                // The stream starts anew: the client has accepted the proof.
                return Ok(());
            }
            let answer = server.answer(&text).ok_or("the client said something unexpected")?;
            receive(&mut client, link, &answer)?;
        } else if let Output::Event(Event::Offline { reason }) = output {
            return Err(reason.to_string());
        }
    }
    Err("the client waits".to_string())
}

fn receive(client: &mut Client, link: LinkId, text: &str) -> Result<(), String> {
    let bytes = text.as_bytes().into();
    say(client, Input::Received { link, bytes })
}

fn say(client: &mut Client, input: Input<'_>) -> Result<(), String> {
    let handled = client.handle(epode::Instant::from_millis(1_000), input);
    handled.map(|_| ()).map_err(|error| error.to_string())
}

/// Just enough of a server. It has the keys already, as a server does.
struct Server<'a> {
    server_key: &'a [u8; 32],
    first: String,
    challenge: String,
}

impl Server<'_> {
    fn answer(&mut self, text: &str) -> Option<String> {
        const NAMESPACE: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        if text.contains("<stream:stream") {
            return Some(format!(
                "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='example.org' id='s' \
                 version='1.0'><stream:features><mechanisms {NAMESPACE}><mechanism>SCRAM-SHA-256</mechanism></mechanisms>\
                 </stream:features>"
            ));
        }
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
