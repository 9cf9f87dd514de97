//! DIGEST-MD5 (RFC 2831) with GNU SASL and Cyrus SASL as the server.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "all of it is a test"
)]

use epode::error::SaslError;
use epode::{Credentials, ServerProof};
use epode_differential::campaign::{Expected, LOGINS, config, judge, prepared, profile};
use epode_differential::draw;
use epode_differential::frame::{Offer, Reply, login};
use epode_differential::peer::{Peer, Whose};
use fastrand::Rng;

/// What is wrong with a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Password,
    User,
    /// The server's nonce changes on its way.
    Nonce,
    /// The client's response changes on its way.
    Response,
    /// The server's proof changes on its way.
    ServerProof,
    /// The server leaves its proof out.
    NoServerProof,
}

const WRONG: [Wrong; 6] = [
    Wrong::Password,
    Wrong::User,
    Wrong::Nonce,
    Wrong::Response,
    Wrong::ServerProof,
    Wrong::NoServerProof,
];

/// Those that every server takes, then one within ISO-8859-1 and one that has to be escaped (RFC 2831 §2.1.2.1, §7.2).
const REALMS: [&str; 5] = [
    "localhost",
    "example.org",
    "жизнь, 日本",
    "zürich",
    "a realm, with \"quotes\" and \\",
];

/// RFC 2831 §2.1.2.1: whether a name is hashed as ISO-8859-1, which is not what stands in the message. GNU SASL leaves that to its caller
/// for names, and does it for passwords.
fn hashed_otherwise(name: &str) -> bool {
    !name.is_ascii() && name.chars().all(|c| u32::from(c) < 256)
}

/// Replaces the hexadecimal digit, or character of base64, that stands behind `name`.
fn changed(message: &[u8], name: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let at = message
        .windows(name.len())
        .position(|window| window == name)
        .expect("it is there")
        + name.len();
    message[at] = if message[at] == b'a' { b'b' } else { b'a' };
    message
}

fn campaign(whose: Whose, seed: u64) {
    let (mut peer, mut prep) = (Peer::start(whose), Peer::start(Whose::Scramp));
    let mut rng = Rng::with_seed(seed);
    let wrong = (0..LOGINS)
        .zip(WRONG.into_iter().cycle())
        .map(|(number, wrong)| (number, Some(wrong)));
    for (number, wrong) in (0..LOGINS).map(|number| (number, None)).chain(wrong) {
        let rng = &mut rng;
        let profile = profile(rng);
        let account = loop {
            let account = draw::account(rng);
            if whose != Whose::Gnu || !account.local().is_some_and(hashed_otherwise) {
                break account;
            }
        };
        let (_, user) = prepared(&mut prep, || account.local().unwrap_or_default().to_owned());
        let (password, kept) = prepared(&mut prep, || draw::password(rng));
        let realm = REALMS[rng.usize(..if whose == Whose::Gnu { 3 } else { 5 })];
        let told = format!("DIGEST-MD5 with {whose:?}, login {number}, wrong: {wrong:?}, {profile:?}, realm {realm}");
        let known = if wrong == Some(Wrong::Password) {
            draw::another(&kept)
        } else {
            kept
        };
        let name = if wrong == Some(Wrong::User) {
            format!("{user}x")
        } else {
            user.clone()
        };
        let fields = [
            ("host", b"localhost".as_slice()),
            ("realm", realm.as_bytes()),
            ("user", name.as_bytes()),
            ("password", known.as_bytes()),
        ];
        peer.begin("DIGEST-MD5", &fields);

        let config = config(&account, "DIGEST-MD5", Credentials::password(password.as_str()));
        let config = config.build().expect("a configuration");
        let offer = Offer {
            last_as_challenge: rng.bool(),
            ..Offer::of("DIGEST-MD5", profile)
        };
        let (mut steps, mut refused) = (0, false);
        let mut server = |message: Option<&[u8]>| {
            steps += 1;
            let message = match (wrong, steps) {
                (Some(Wrong::Response), 2) => message.map(|message| changed(message, b"response=")),
                _ => message.map(<[u8]>::to_vec),
            };
            let reply = peer.step(message.as_deref());
            refused |= matches!(reply, Reply::Failure(_));
            match (wrong, steps, reply) {
                (Some(Wrong::Nonce), 1, Reply::Challenge(data)) => Reply::Challenge(changed(&data, b"nonce=\"")),
                (Some(Wrong::ServerProof), 2, Reply::Challenge(data)) => Reply::Challenge(changed(&data, b"rspauth=")),
                (Some(Wrong::ServerProof), 2, Reply::Success(Some(data))) => {
                    Reply::Success(Some(changed(&data, b"rspauth=")))
                }
                (Some(Wrong::NoServerProof), 2, Reply::Challenge(_) | Reply::Success(_)) => Reply::Success(None),
                (_, _, reply) => reply,
            }
        };
        let ended = login(&config, &draw::link(None), &offer, draw::seed(rng), None, &mut server);
        let expected = match wrong {
            None => Expected::Online(ServerProof::Verified, None),
            Some(Wrong::Password | Wrong::User | Wrong::Nonce | Wrong::Response) => Expected::Refused,
            Some(Wrong::ServerProof) => Expected::Rejected(|error| *error == SaslError::WrongServerProof),
            Some(Wrong::NoServerProof) => Expected::Rejected(|error| *error == SaslError::MissingServerProof),
        };
        judge(&ended.end, expected, "DIGEST-MD5", profile, &told);
        assert_eq!(
            refused,
            matches!(expected, Expected::Refused),
            "{told}: the server's own judgement"
        );
        if let (None, Some(seen)) = (wrong, &peer.user) {
            // Cyrus SASL names an account with its realm.
            let name = if whose == Whose::Cyrus {
                format!("{user}@{realm}")
            } else {
                user
            };
            assert_eq!(*seen, name, "{told}");
        }
    }
}

#[test]
fn with_gnu_sasl() {
    campaign(Whose::Gnu, 501);
}

#[test]
fn with_cyrus_sasl() {
    campaign(Whose::Cyrus, 502);
}
