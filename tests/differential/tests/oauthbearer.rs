//! OAUTHBEARER (RFC 7628) with rsasl and with Prosody's community module as the server.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "all of it is a test"
)]

use epode::error::{LoginError, SaslError};
use epode::{Credentials, Offline, ServerProof};
use epode_differential::campaign::{Expected, LOGINS, Lie, config, judge, profile};
use epode_differential::draw;
use epode_differential::frame::{End, Offer, Reply, login};
use epode_differential::library::{Account, Exchange};
use epode_differential::peer::{Peer, Whose};
use fastrand::Rng;

/// What is wrong with a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Token,
    Account,
    Lie(Lie),
    /// The server says why it does not take the token, and then that it did.
    SuccessAfterReason,
}

enum Server {
    Rsasl(Option<Exchange>),
    Prosody(Peer),
}

impl Server {
    fn begin(&mut self, authzid: &str, token: &str, status: &'static str, scope: Option<&'static str>) {
        match self {
            Self::Rsasl(exchange) => {
                let account = Account {
                    authzids: vec![authzid.to_owned()],
                    token: token.to_owned(),
                    status,
                    scope,
                    openid: scope.map(|_| "https://example.org/.well-known/openid-configuration"),
                    ..Account::default()
                };
                *exchange = Some(Exchange::new("OAUTHBEARER", &account));
            }
            Self::Prosody(peer) => {
                let (user, _) = authzid.split_once('@').expect("an account");
                peer.begin("OAUTHBEARER", &[("user", user.as_bytes()), ("token", token.as_bytes())]);
            }
        }
    }

    fn step(&mut self, message: Option<&[u8]>) -> Reply {
        match self {
            Self::Rsasl(exchange) => exchange.as_mut().expect("begun").step(message),
            Self::Prosody(peer) => peer.step(message),
        }
    }
}

fn campaign(mut peer: Server, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let gives_reasons = matches!(peer, Server::Rsasl(_));
    let told = if gives_reasons { "rsasl" } else { "Prosody" };
    let mut wrongs = vec![
        Wrong::Token,
        Wrong::Account,
        Wrong::Lie(Lie::SuccessData),
        Wrong::SuccessAfterReason,
    ];
    wrongs.retain(|wrong| gives_reasons || *wrong != Wrong::SuccessAfterReason);
    let wrong = (0..LOGINS)
        .zip(wrongs.iter().copied().cycle())
        .map(|(number, wrong)| (number, Some(wrong)));
    for (number, wrong) in (0..LOGINS).map(|number| (number, None)).chain(wrong) {
        let rng = &mut rng;
        let (profile, account) = (profile(rng), draw::account(rng));
        // Prosody takes a token of at most 1023 bytes here.
        let token = loop {
            let token = draw::token(rng);
            if gives_reasons || token.len() < 1_024 {
                break token;
            }
        };
        // Neither server decodes the identity (RFC 5801 §4, `saslname`), so it is compared as it is encoded.
        let authzid = account.to_string().replace('=', "=3D").replace(',', "=2C");
        let told = format!("OAUTHBEARER with {told}, login {number} of {account}, wrong: {wrong:?}, {profile:?}");
        let known = match wrong {
            Some(Wrong::Token | Wrong::SuccessAfterReason) => format!("x{token}"),
            _ => token.clone(),
        };
        let name = if wrong == Some(Wrong::Account) {
            format!("x{authzid}")
        } else {
            authzid
        };
        let scope = rng.bool().then_some("xmpp \"and\" more");
        peer.begin(&name, &known, "invalid_token", scope);

        let config = config(&account, "OAUTHBEARER", Credentials::access_token(token.as_str()));
        let config = config.build().expect("a configuration");
        let offer = Offer::of("OAUTHBEARER", profile);
        let (mut refused, mut answer) = (false, None);
        let mut server = |message: Option<&[u8]>| {
            let reply = peer.step(message);
            if matches!(reply, Reply::Challenge(_)) {
                refused = true;
            } else if refused {
                answer = message.map(<[u8]>::to_vec);
            }
            refused |= matches!(reply, Reply::Failure(_));
            match (wrong, reply) {
                (Some(Wrong::Lie(lie)), reply) => lie.instead_of(reply),
                (Some(Wrong::SuccessAfterReason), Reply::Failure(_)) => Reply::Success(None),
                (_, reply) => reply,
            }
        };
        let ended = login(&config, &draw::link(None), &offer, draw::seed(rng), None, &mut server);
        let expected = match wrong {
            None => Expected::Online(ServerProof::None, None),
            Some(Wrong::Token | Wrong::Account) => Expected::Refused,
            Some(Wrong::Lie(lie)) => lie.expected(),
            Some(Wrong::SuccessAfterReason) => Expected::Rejected(|error| *error == SaslError::SuccessAfterRefusal),
        };
        judge(&ended.end, expected, "OAUTHBEARER", profile, &told);
        assert_eq!(
            refused,
            !matches!(wrong, None | Some(Wrong::Lie(_))),
            "{told}: the server's own judgement"
        );
        if gives_reasons && wrong == Some(Wrong::Token) {
            // RFC 7628 §3.2.3: the answer to the reason is one byte.
            assert_eq!(answer, Some(vec![1]), "{told}");
            match ended.end {
                End::Offline(Offline::Login(LoginError::TokenRefused {
                    status,
                    scope: told_scope,
                    openid_configuration,
                    ..
                })) => {
                    assert_eq!(status.as_deref(), Some("invalid_token"), "{told}");
                    assert_eq!(told_scope.is_some(), scope.is_some(), "{told}");
                    assert_eq!(openid_configuration.is_some(), scope.is_some(), "{told}");
                }
                other => panic!("{told}: {other:?}"),
            }
        }
    }
}

#[test]
fn with_rsasl() {
    campaign(Server::Rsasl(None), 301);
}

#[test]
fn with_prosody() {
    campaign(Server::Prosody(Peer::start(Whose::Prosody)), 302);
}
