//! HT-SHA-256-* (draft-schmaus-kitten-sasl-ht-09, XEP-0484) with Prosody's community module as the server. The token comes to the client
//! the way it does in earnest: with the success of an earlier login.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "all of it is a test"
)]

use epode::config::{MechanismPolicy, Persist};
use epode::error::SaslError;
use epode::{ChannelBindingType, Credentials, LinkInfo, SaslProfile, ServerProof};
use epode_differential::campaign::{Expected, LOGINS, config, judge, policy};
use epode_differential::draw;
use epode_differential::frame::{End, Offer, Reply, login};
use epode_differential::peer::{Peer, Whose};
use fastrand::Rng;

/// What is wrong with a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Token,
    User,
    /// The server's end of the channel is another one.
    Binding,
    /// The client's proof changes on its way.
    ClientProof,
    /// The server's proof changes on its way.
    ServerProof,
    /// The server gives the client's own proof back.
    Reflected,
    /// The server leaves its proof out.
    NoServerProof,
}

const WRONG: [Wrong; 7] = [
    Wrong::Token,
    Wrong::User,
    Wrong::ClientProof,
    Wrong::ServerProof,
    Wrong::Reflected,
    Wrong::NoServerProof,
    Wrong::Binding,
];

fn campaign(mechanism: &'static str, of: Option<ChannelBindingType>, seed: u64) {
    let mut peer = Peer::start(Whose::Prosody);
    let mut rng = Rng::with_seed(seed);
    let wrongs: Vec<Wrong> = WRONG
        .into_iter()
        .filter(|wrong| of.is_some() || *wrong != Wrong::Binding)
        .collect();
    let wrong = (0..LOGINS)
        .zip(wrongs.iter().copied().cycle())
        .map(|(number, wrong)| (number, Some(wrong)));
    for (number, wrong) in (0..LOGINS).map(|number| (number, None)).chain(wrong) {
        let rng = &mut rng;
        let account = draw::account(rng);
        let user = account.local().unwrap_or_default();
        // A token is what the server says it is: often `b64token`, and any text at all.
        let token = if rng.bool() {
            draw::token(rng)
        } else {
            draw::password(rng)
        };
        let told = format!("{mechanism}, login {number}, wrong: {wrong:?}");

        // An earlier login, whose server gives the token.
        let first = Offer {
            binding: of,
            gives_token: Some((mechanism.to_owned(), token.clone())),
            ..Offer::of("PLAIN", SaslProfile::Sasl2)
        };
        let both = MechanismPolicy {
            only: Some(vec!["PLAIN".to_owned(), mechanism.to_owned()]),
            ..policy("PLAIN")
        };
        let by_password = config(&account, "PLAIN", Credentials::password("secret"))
            .mechanisms(both)
            .persist(Persist::EveryTurn);
        let by_password = by_password.build().expect("a configuration");
        let info = link(of, &draw::binding(rng));
        let earlier = login(&by_password, &info, &first, draw::seed(rng), None, &mut |_| {
            Reply::Success(None)
        });
        assert!(matches!(earlier.end, End::Online { .. }), "{told}: {:?}", earlier.end);
        let kept = earlier.token.unwrap_or_else(|| panic!("{told}: no token was kept"));

        // And this one, on another connection.
        let data = draw::binding(rng);
        let seen = if wrong == Some(Wrong::Binding) {
            draw::flipped(rng, &data)
        } else {
            data.clone()
        };
        let known = if wrong == Some(Wrong::Token) {
            format!("{token}x")
        } else {
            token
        };
        let name = if wrong == Some(Wrong::User) {
            format!("{user}x")
        } else {
            user.to_owned()
        };
        let mut fields = vec![("user", name.as_bytes()), ("token", known.as_bytes())];
        if let Some(of) = of {
            fields.extend([("cb-type", of.name().as_bytes()), ("cb-data", seen.as_slice())]);
        }
        peer.begin(mechanism, &fields);
        let lenient = wrong == Some(Wrong::NoServerProof) && rng.bool();
        let policy = MechanismPolicy {
            allow_missing_ht_server_proof: lenient,
            ..policy(mechanism)
        };
        let by_token = config(&account, mechanism, Credentials::KeptToken).mechanisms(policy);
        let by_token = by_token.build().expect("a configuration");
        let offer = Offer {
            binding: of,
            fast: true,
            last_as_challenge: rng.bool() && wrong != Some(Wrong::NoServerProof),
            ..Offer::of(mechanism, SaslProfile::Sasl2)
        };
        let mut refused = false;
        let seed = draw::seed(rng);
        let mut server = |message: Option<&[u8]>| {
            let mut message = message.expect("HT speaks first").to_vec();
            let proof = message.len() - 32;
            if wrong == Some(Wrong::ClientProof) {
                let other = draw::flipped(rng, &message[proof..]);
                message[proof..].copy_from_slice(&other);
            }
            let reply = peer.step(Some(&message));
            refused |= matches!(reply, Reply::Failure(_));
            match (wrong, reply) {
                (Some(Wrong::ServerProof), Reply::Success(Some(data))) => {
                    Reply::Success(Some(draw::flipped(rng, &data)))
                }
                (Some(Wrong::Reflected), Reply::Success(_)) => Reply::Success(Some(message[proof..].to_vec())),
                (Some(Wrong::NoServerProof), Reply::Success(_)) => Reply::Success(None),
                (_, reply) => reply,
            }
        };
        let ended = login(&by_token, &link(of, &data), &offer, seed, Some(kept), &mut server);
        match wrong {
            None => judge(
                &ended.end,
                Expected::Online(ServerProof::Verified, of),
                mechanism,
                offer.profile,
                &told,
            ),
            Some(Wrong::NoServerProof) if lenient => {
                judge(
                    &ended.end,
                    Expected::Online(ServerProof::Absent, of),
                    mechanism,
                    offer.profile,
                    &told,
                );
            }
            Some(Wrong::NoServerProof) => {
                let expected = Expected::Rejected(|error| *error == SaslError::MissingServerProof);
                judge(&ended.end, expected, mechanism, offer.profile, &told);
            }
            Some(Wrong::ServerProof | Wrong::Reflected) => {
                let expected = Expected::Rejected(|error| *error == SaslError::WrongServerProof);
                judge(&ended.end, expected, mechanism, offer.profile, &told);
            }
            // Whoever has nothing but the token has nothing left.
            Some(Wrong::Token | Wrong::User | Wrong::Binding | Wrong::ClientProof) => {
                assert!(refused, "{told}: the server's own judgement");
                assert!(
                    matches!(ended.end, End::Offline(epode::Offline::Login(_))),
                    "{told}: {:?}",
                    ended.end
                );
            }
        }
    }
}

fn link(of: Option<ChannelBindingType>, data: &[u8]) -> LinkInfo {
    draw::link(of.map(|of| (of, data)))
}

#[test]
fn none_with_prosody() {
    campaign("HT-SHA-256-NONE", None, 401);
}

#[test]
fn expr_with_prosody() {
    campaign("HT-SHA-256-EXPR", Some(ChannelBindingType::TlsExporter), 402);
}

#[test]
fn uniq_with_prosody() {
    campaign("HT-SHA-256-UNIQ", Some(ChannelBindingType::TlsUnique), 403);
}

#[test]
fn endp_with_prosody() {
    campaign("HT-SHA-256-ENDP", Some(ChannelBindingType::TlsServerEndPoint), 404);
}
