//! Plays the workload of the benches in the Rust core itself: what every binding's cost is compared with.
//!
//! `README.md` in the folder above says what a runner reads and answers.

use std::borrow::Cow;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant as Clock;

use epode::{Client, Config, Credentials, Event, Input, Instant, LinkId, LinkInfo, Output, TcpTls};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: core_turns WORKLOAD")?;
    let workload: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let mut client = logged_in(&workload)?;
    let now = Instant::from_millis(number(&workload, "/now")?);
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let [case, size, count] = words[..] else {
            return Err(format!("not a command: {line}").into());
        };
        let count: usize = count.parse()?;
        let stanza = text(&workload, &format!("/sizes/{size}/stanza"))?;
        let at_once: usize = match case {
            "nop" | "single" => 1,
            "batch" => 100,
            _ => return Err(format!("no such case: {case}").into()),
        };
        let bytes = stanza.repeat(at_once).into_bytes();
        let mut seen = 0;
        let began = Clock::now();
        if case == "nop" {
            for _ in 0..count {
                std::hint::black_box(client.wants_read());
            }
        } else {
            for _ in 0..count / at_once {
                seen += turn(&mut client, now, &bytes)?;
            }
        }
        let took = began.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(count)?);
        println!("{took} {seen}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// One turn of a host; gives how many bytes the events had that an application looks at.
fn turn(client: &mut Client, now: Instant, bytes: &[u8]) -> Result<usize, Box<dyn Error>> {
    let link = LinkId(1);
    let bytes = Cow::Borrowed(bytes);
    client
        .handle(now, Input::Received { link, bytes })
        .map_err(|error| error.to_string())?;
    let mut seen = 0;
    while let Some(output) = client.next() {
        if let Output::Event(Event::Stanza { stanza, .. }) = output {
            let body = stanza.child("jabber:client", "body").map(|body| body.text());
            seen += stanza.name().len();
            seen += stanza.attribute("from").map_or(0, str::len) + body.map_or(0, |body| body.len());
        }
    }
    std::hint::black_box((client.deadline(), client.wants_read()));
    Ok(seen)
}

fn logged_in(workload: &Value) -> Result<Client, Box<dyn Error>> {
    let port = u16::try_from(number(workload, "/client/port")?)?;
    let config = Config::builder(text(workload, "/client/jid")?.parse().map_err(|_| "not a JID")?)
        .credentials(Credentials::certificate(text(workload, "/client/certificate")?, None))
        .tcp(text(workload, "/client/host")?, port, TcpTls::Direct)
        .build()
        .map_err(|error| error.to_string())?;
    let mut client = Client::new(config, seed(text(workload, "/client/seed")?)?);
    let now = Instant::from_millis(number(workload, "/now")?);
    let (link, info) = (LinkId(1), LinkInfo::verified(text(workload, "/verified_name")?));
    let (mut online, mut written) = (false, String::new());
    let said = workload
        .get("login")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|said| {
            let bytes = Cow::Borrowed(said.as_str().unwrap_or_default().as_bytes());
            Input::Received { link, bytes }
        });
    for input in [Input::Start, Input::Connected { link, info }].into_iter().chain(said) {
        client.handle(now, input).map_err(|error| error.to_string())?;
        while let Some(output) = client.next() {
            if let Output::Write { bytes, .. } = &output {
                written.push_str(&String::from_utf8_lossy(bytes));
            }
            online |= matches!(output, Output::Event(Event::Online { .. }));
        }
    }
    if !online {
        return Err(format!("the login of the workload does not fit; the client wrote {written}").into());
    }
    Ok(client)
}

fn seed(hex: &str) -> Result<[u8; 32], Box<dyn Error>> {
    let mut seed = [0; 32];
    for (byte, digits) in seed.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits)?, 16)?;
    }
    Ok(seed)
}

fn text<'a>(workload: &'a Value, pointer: &str) -> Result<&'a str, Box<dyn Error>> {
    let found = workload.pointer(pointer).and_then(Value::as_str);
    Ok(found.ok_or_else(|| format!("the workload lacks the text {pointer}"))?)
}

fn number(workload: &Value, pointer: &str) -> Result<u64, Box<dyn Error>> {
    let found = workload.pointer(pointer).and_then(Value::as_u64);
    Ok(found.ok_or_else(|| format!("the workload lacks the number {pointer}"))?)
}
