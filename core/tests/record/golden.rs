//! Golden transcripts of logins by SASL2 (XEP-0388) with everything that comes along in them, as those of `golden.rs`.
//!
//! `EPODE_BLESS=1 cargo test -p epode --test record golden` writes them anew; read the difference before it is committed.

use std::path::PathBuf;

use epode::config::Reconnect;
use epode::record::Log;
use epode::{Credentials, Event, Input, LinkInfo};

use crate::harness::{PASSWORD, base64, of};
use crate::proofs::hmac;
use crate::server::{EXPORTER, Login, Offer, PLUS, Slots, Two, bindable, success, unbound};
use crate::wire::{self, Cut, Wire};

const TOKEN: &str = "secret-token:fast-1mZwVGD7zHFoi0skx6hp9D1JslSMevie";
const INLINE: &str = "<sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/>\
                      <feature var='urn:xmpp:carbons:2'/><feature var='urn:xmpp:csi:0'/></inline></bind>";
const BOUND: &str =
    "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='300'/></bound>";
const RESUMED: &str = "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='1'/>";
const FULL: &str = "<authorization-identifier>user@example.org/epode.1</authorization-identifier>";
const AFTER: &str = "<stream:features><sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>";

fn offer(mechanisms: &'static [&'static str]) -> Offer<'static> {
    let offer = Offer::of(mechanisms).fast(&["HT-SHA-256-NONE", "HT-SHA-256-EXPR"]);
    offer.bindings(&["tls-exporter"]).inline(INLINE)
}

fn start(credentials: Credentials, info: LinkInfo) -> Login {
    wire::set(Wire::Direct, Cut::Elements);
    let config = of("user@example.org")
        .credentials(credentials)
        .reconnect(Reconnect::default());
    let config = config.build().unwrap();
    Login::linked(Two, config, &Slots::new(), info)
}

fn token() -> String {
    format!("<token xmlns='urn:xmpp:fast:0' token='{TOKEN}' expiry='2026-02-01T00:00:00Z'/>")
}

/// A stanza each way, and the link breaks.
fn talk(login: &mut Login) {
    login.answer(AFTER);
    let stanza = epode::stanza::chat(&"other@example.org".parse().unwrap(), "first & foremost").unwrap();
    login.input(Input::Send { stanza }).unwrap();
    login.answer("<message xmlns='jabber:client' from='other@example.org/x' type='chat'><body>Hello</body></message>");
    let link = login.link;
    login.input(Input::Ended { link }).unwrap();
    login.until_next_link();
}

fn end(mut login: Login) -> Log {
    login.input(Input::Stop).unwrap();
    let close = login.wire.close();
    login.answer(close);
    assert!(login.is_over(), "{:?}", login.events);
    let online = login.events.iter().filter_map(|event| match event {
        Event::Online {
            jid,
            resumed,
            round_trips,
            ..
        } => Some((jid.to_string(), *resumed, *round_trips)),
        _ => None,
    });
    let jid = "user@example.org/epode.1";
    let online: Vec<_> = online.collect();
    assert_eq!(online.len(), 2, "{:?}", login.events);
    assert_eq!((online[0].0.as_str(), online[0].1), (jid, false));
    assert_eq!((online[1].0.as_str(), online[1].1), (jid, true));
    login.into_play().into_log()
}

fn assert_golden(name: &str, log: &Log) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/transcripts")
        .join(name);
    let text = log.to_text();
    if std::env::var_os("EPODE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap());
    assert!(!text.contains(PASSWORD) && !text.contains(TOKEN));
    let mut log = Log::read(&text).unwrap();
    log.header.config.set_password(PASSWORD.into());
    assert_eq!(log.replay().unwrap().to_text(), text);
}

/// Nobody who replays it needs to know anything.
#[test]
fn a_certificate_over_sasl2_goes_as_it_is_known_to() {
    let offer = offer(&["EXTERNAL"]);
    let mut login = start(Credentials::certificate("user", None), unbound());
    login.features(&offer);
    login.succeed_as(None, &format!("{FULL}{BOUND}"));
    talk(&mut login);
    login.connect(unbound());
    login.features(&offer);
    login.succeed_as(None, &format!("{FULL}{RESUMED}"));
    assert_golden("tcp-sasl2.jsonl", &end(login));
}

/// In a folder of its own: whoever replays it has to know the password and the token, and to leave proofs out of what is compared.
#[test]
fn a_password_and_then_a_token_go_as_they_are_known_to() {
    let offer = offer(&[PLUS]);
    let mut login = start(Credentials::password(PASSWORD), bindable());
    login.features(&offer);
    let proof = login.scram();
    login.succeed_as(Some(&proof), &format!("{FULL}{BOUND}{}", token()));
    talk(&mut login);
    login.connect(bindable());
    login.features(&offer);
    let mac = |who: &[u8]| hmac(TOKEN.as_bytes(), &[who, &EXPORTER[..]].concat());
    assert_eq!(login.last(), [&b"user\0"[..], &mac(b"Initiator")].concat());
    let proof = base64(mac(b"Responder"));
    login.answer(&success(Some(&proof), &format!("{FULL}{RESUMED}")));
    assert_golden("password/tcp-fast.jsonl", &end(login));
}
