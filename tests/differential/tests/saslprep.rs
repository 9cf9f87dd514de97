//! SASLprep (RFC 4013) of passwords, against scramp's: all of Unicode 3.2 that could make a difference, allowed and not.
#![allow(clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "all of it is a test")]

use epode::error::{LoginError, SaslError};
use epode::{BareJid, Credentials, Offline, SaslProfile};
use epode_differential::campaign::config;
use epode_differential::draw;
use epode_differential::frame::{End, Offer, Reply, login};
use epode_differential::peer::{Peer, Whose};
use fastrand::Rng;

const TEXTS: u32 = 4_000;

/// What the client sends as its password in PLAIN, or `None` where it refuses to.
fn sent(account: &BareJid, password: &str, rng: &mut Rng) -> Option<String> {
    let config = config(account, "PLAIN", Credentials::password(password))
        .build()
        .expect("a configuration");
    let mut message = None;
    let mut server = |data: Option<&[u8]>| {
        message = data.map(<[u8]>::to_vec);
        Reply::Success(None)
    };
    let offer = Offer::of("PLAIN", SaslProfile::Sasl1);
    let ended = login(&config, &draw::link(None), &offer, draw::seed(rng), None, &mut server);
    match ended.end {
        End::Online { .. } => {
            let message = String::from_utf8(message.expect("PLAIN speaks first")).expect("UTF-8");
            Some(message.split('\0').nth(2).expect("three parts").to_owned())
        }
        End::Offline(Offline::Login(LoginError::Mechanism {
            error: SaslError::Password(_),
            ..
        })) => None,
        other => panic!("{password:?}: {other:?}"),
    }
}

#[test]
fn prepares_and_refuses_what_scramp_does() {
    let mut peer = Peer::start(Whose::Scramp);
    let mut rng = Rng::with_seed(601);
    let account = BareJid::parse("user@localhost").expect("a JID");
    let (mut allowed, mut refused) = (0, 0);
    for _ in 0..TEXTS {
        let text = draw::text(&mut rng);
        let theirs = match peer.prepared(&text) {
            // What a server stores must not have them, and what a client says may (RFC 4013 §2.5).
            Err(why) if why.contains("unassigned") => continue,
            // Nothing is left of it: no password.
            theirs => theirs.ok().filter(|theirs| !theirs.is_empty()),
        };
        match &theirs {
            Some(_) => allowed += 1,
            None => refused += 1,
        }
        assert_eq!(sent(&account, &text, &mut rng), theirs, "{text:?}");
    }
    assert!(allowed > 500 && refused > 500, "{allowed} allowed, {refused} refused");
}
