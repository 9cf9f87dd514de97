//! EXTERNAL (RFC 4422 appendix A, XEP-0178), PLAIN (RFC 4616), ANONYMOUS (RFC 4505, XEP-0175) and X-OAUTH2, which all show what they
//! have and get no proof in return.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "all of it is a test")]

use epode::{Authzid, BareJid, Config, Credentials, ServerProof};
use epode_differential::campaign::{Expected, LOGINS, Lie, config, judge, prepared, profile};
use epode_differential::draw;
use epode_differential::frame::{Offer, Reply, login};
use epode_differential::library::{Account, Exchange};
use epode_differential::peer::{Peer, Whose};
use fastrand::Rng;

/// What is wrong with a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// The password, or the token.
    Secret,
    /// The name, or all that the server would let in.
    Account,
    Lie(Lie),
}

const WRONG: [Wrong; 4] = [
    Wrong::Secret,
    Wrong::Account,
    Wrong::Lie(Lie::SuccessData),
    Wrong::Lie(Lie::Challenge),
];

/// All logins of a campaign: first those that are right.
fn logins(wrongs: &[Wrong]) -> impl Iterator<Item = (u64, Option<Wrong>)> {
    let wrong = (0..LOGINS)
        .zip(wrongs.iter().copied().cycle())
        .map(|(number, wrong)| (number, Some(wrong)));
    (0..LOGINS).map(|number| (number, None)).chain(wrong)
}

/// Plays one login and judges it.
fn play(
    mechanism: &str,
    config: &Config,
    wrong: Option<Wrong>,
    rng: &mut Rng,
    told: &str,
    mut server: impl FnMut(Option<&[u8]>) -> Reply,
) {
    let profile = profile(rng);
    let info = draw::link(None);
    let mut refused = false;
    let mut server = |message: Option<&[u8]>| {
        let reply = server(message);
        refused |= matches!(reply, Reply::Failure(_));
        match wrong {
            Some(Wrong::Lie(lie)) => lie.instead_of(reply),
            Some(Wrong::Secret | Wrong::Account) | None => reply,
        }
    };
    let ended = login(
        config,
        &info,
        &Offer::of(mechanism, profile),
        draw::seed(rng),
        None,
        &mut server,
    );
    let expected = match wrong {
        None => Expected::Online(ServerProof::None, None),
        Some(Wrong::Lie(lie)) => lie.expected(),
        Some(Wrong::Secret | Wrong::Account) => Expected::Refused,
    };
    let told = format!("{mechanism} with {told}, wrong: {wrong:?}, {profile:?}");
    judge(&ended.end, expected, mechanism, profile, &told);
    assert_eq!(
        refused,
        matches!(expected, Expected::Refused),
        "{told}: the server's own judgement"
    );
}

/// PLAIN, or X-OAUTH2 as a server of PLAIN reads it: the token is in the password's place.
fn plain(mechanism: &str, whose: Whose, seed: u64) {
    let (mut peer, mut prep) = (Peer::start(whose), Peer::start(Whose::Scramp));
    let mut rng = Rng::with_seed(seed);
    for (number, wrong) in logins(&WRONG) {
        let rng = &mut rng;
        let account = draw::account(rng);
        let (_, user) = prepared(&mut prep, || account.local().unwrap_or_default().to_owned());
        let (secret, kept) = match mechanism {
            "PLAIN" => prepared(&mut prep, || draw::password(rng)),
            _ => prepared(&mut prep, || draw::token(rng)),
        };
        let credentials = match mechanism {
            "PLAIN" => Credentials::password(secret.as_str()),
            _ => Credentials::access_token(secret.as_str()),
        };
        // GNU SASL prepares what it is given; Cyrus SASL keeps what was prepared.
        let known = if whose == Whose::Cyrus { kept } else { secret };
        let known = if wrong == Some(Wrong::Secret) {
            draw::another(&known)
        } else {
            known
        };
        let name = if wrong == Some(Wrong::Account) {
            format!("{user}x")
        } else {
            user.clone()
        };
        let fields = [
            ("host", b"localhost".as_slice()),
            ("user", name.as_bytes()),
            ("password", known.as_bytes()),
        ];
        peer.begin("PLAIN", &fields);
        let config = config(&account, mechanism, credentials)
            .build()
            .expect("a configuration");
        let told = format!("{whose:?}, login {number}");
        play(mechanism, &config, wrong, rng, &told, |message| peer.step(message));
        if wrong.is_none() {
            assert_eq!(peer.user.as_deref(), Some(user.as_str()), "{told}");
            assert_eq!(
                peer.authzid.as_deref(),
                Some(user.as_str()),
                "{told}: it acts as itself"
            );
        }
    }
}

#[test]
fn plain_with_gnu_sasl() {
    plain("PLAIN", Whose::Gnu, 201);
}

#[test]
fn plain_with_cyrus_sasl() {
    plain("PLAIN", Whose::Cyrus, 202);
}

#[test]
fn x_oauth2_with_plain_of_gnu_sasl() {
    plain("X-OAUTH2", Whose::Gnu, 203);
}

#[test]
fn x_oauth2_with_plain_of_cyrus_sasl() {
    plain("X-OAUTH2", Whose::Cyrus, 204);
}

/// A server of EXTERNAL: whom the certificate may act as, and what the client says.
fn external(seed: u64, told: &str, mut begin: impl FnMut(&str), mut step: impl FnMut(Option<&[u8]>) -> Reply) {
    let mut rng = Rng::with_seed(seed);
    for (number, wrong) in logins(&WRONG[1..]) {
        let rng = &mut rng;
        let account = draw::account(rng);
        // Nobody but the account's name tells one certificate from another, so a wrong one has to be named.
        let policy = match wrong {
            Some(Wrong::Account) => Authzid::Always,
            _ => [Authzid::Always, Authzid::Auto, Authzid::Never][rng.usize(..3)],
        };
        let told = format!("{told}, login {number}, {policy:?}");
        let allowed = if wrong == Some(Wrong::Account) {
            format!("x{account}")
        } else {
            account.to_string()
        };
        begin(&allowed);
        let config = config(&account, "EXTERNAL", Credentials::certificate("a certificate", None)).authzid(policy);
        let mut said = None;
        play(
            "EXTERNAL",
            &config.build().expect("a configuration"),
            wrong,
            rng,
            &told,
            |message| {
                said = message.map(<[u8]>::to_vec);
                step(message)
            },
        );
        // Without a certificate that the client can read, XEP-0178 §2 leaves it no choice but to name the account.
        let name = if policy == Authzid::Never { "" } else { account.as_str() };
        assert_eq!(said.as_deref(), Some(name.as_bytes()), "{told}");
    }
}

#[test]
fn external_with_gnu_sasl() {
    let peer = std::cell::RefCell::new(Peer::start(Whose::Gnu));
    let begin = |allowed: &str| peer.borrow_mut().begin("EXTERNAL", &[("authzid", allowed.as_bytes())]);
    external(211, "GNU SASL", begin, |message| peer.borrow_mut().step(message));
}

#[test]
fn external_with_cyrus_sasl() {
    let peer = std::cell::RefCell::new(Peer::start(Whose::Cyrus));
    let begin = |allowed: &str| {
        let fields = [
            ("host", b"localhost".as_slice()),
            ("external", b"CN=somebody"),
            ("authzid", allowed.as_bytes()),
        ];
        peer.borrow_mut().begin("EXTERNAL", &fields);
    };
    external(212, "Cyrus SASL", begin, |message| peer.borrow_mut().step(message));
}

#[test]
fn external_with_rsasl() {
    let exchange = std::cell::RefCell::new(None);
    let begin = |allowed: &str| {
        let account = Account {
            authzids: vec![allowed.to_owned(), String::new()],
            ..Account::default()
        };
        *exchange.borrow_mut() = Some(Exchange::new("EXTERNAL", &account));
    };
    external(213, "rsasl", begin, |message| {
        exchange.borrow_mut().as_mut().expect("begun").step(message)
    });
}

/// A server of ANONYMOUS, which lets everybody in, or nobody.
fn anonymous(seed: u64, told: &str, mut begin: impl FnMut(bool), mut step: impl FnMut(Option<&[u8]>) -> Reply) {
    let mut rng = Rng::with_seed(seed);
    let nobody = BareJid::parse("localhost").expect("a domain");
    let config = config(&nobody, "ANONYMOUS", Credentials::Anonymous)
        .build()
        .expect("a configuration");
    for (number, wrong) in logins(&WRONG[1..]) {
        begin(wrong == Some(Wrong::Account));
        let told = format!("{told}, login {number}");
        play("ANONYMOUS", &config, wrong, &mut rng, &told, |message| {
            assert!(
                message.unwrap_or_default().is_empty(),
                "{told}: XEP-0175 §3 wants no trace"
            );
            step(message)
        });
    }
}

#[test]
fn anonymous_with_cyrus_sasl() {
    let peer = std::cell::RefCell::new(Peer::start(Whose::Cyrus));
    let begin = |closed: bool| {
        let fields: &[(&str, &[u8])] = if closed {
            &[("host", b"localhost"), ("refuse", b"yes")]
        } else {
            &[("host", b"localhost")]
        };
        peer.borrow_mut().begin("ANONYMOUS", fields);
    };
    anonymous(221, "Cyrus SASL", begin, |message| peer.borrow_mut().step(message));
}

#[test]
fn anonymous_with_rsasl() {
    let exchange = std::cell::RefCell::new(None);
    let begin = |closed: bool| {
        *exchange.borrow_mut() = Some(Exchange::new(
            "ANONYMOUS",
            &Account {
                closed,
                ..Account::default()
            },
        ));
    };
    anonymous(222, "rsasl", begin, |message| {
        exchange.borrow_mut().as_mut().expect("begun").step(message)
    });
}
