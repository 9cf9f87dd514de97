//! Many logins of one mechanism with one server: all that is right has to succeed, and all that is wrong to fail on the right side.

use epode::config::{MechanismPolicy, Reconnect, StreamManagement};
use epode::error::{LoginError, SaslError};
use epode::{
    BareJid, ChannelBindingType, Config, ConfigBuilder, Credentials, Offline, SaslProfile, ServerProof, TcpTls,
};

use crate::frame::{End, Reply};
use crate::peer::Peer;

/// So many logins that succeed, and at least as many that fail.
pub const LOGINS: u64 = 200;

/// How a login has to end.
#[derive(Clone, Copy)]
pub enum Expected {
    /// With a session, and the server's proof as it says.
    Online(ServerProof, Option<ChannelBindingType>),
    /// The server says no.
    Refused,
    /// The client says no, with an error that fits.
    Rejected(fn(&SaslError) -> bool),
}

/// A configuration for one account and one mechanism.
pub fn config(account: &BareJid, mechanism: &str, credentials: Credentials) -> ConfigBuilder {
    Config::builder(account.as_str().parse().expect("a bare JID is one"))
        .tcp("localhost", 5223, TcpTls::Direct)
        .credentials(credentials)
        .reconnect(Reconnect::never())
        .stream_management(StreamManagement {
            enabled: false,
            ..StreamManagement::default()
        })
        .mechanisms(policy(mechanism))
}

/// Only that mechanism, and whatever it needs to be allowed at all.
pub fn policy(mechanism: &str) -> MechanismPolicy {
    MechanismPolicy {
        // With its bound form: a client that may not bind says so, and is no test of RFC 5802 §6, `y`.
        only: Some(allowed(mechanism)),
        allow_plain: true,
        digest_md5: (mechanism == "DIGEST-MD5").then(Default::default),
        pin: false,
        ..MechanismPolicy::default()
    }
}

/// The mechanism, and its bound form where it has one.
fn allowed(mechanism: &str) -> Vec<String> {
    let mut names = vec![mechanism.to_owned()];
    if mechanism.starts_with("SCRAM-") && !mechanism.ends_with("-PLUS") {
        names.push(format!("{mechanism}-PLUS"));
    }
    names
}

/// Judges one login. `told` says which it was: where it is reproduced from, without a secret.
pub fn judge(end: &End, expected: Expected, mechanism: &str, profile: SaslProfile, told: &str) {
    let fits = match (end, expected) {
        (
            End::Online {
                mechanism: by,
                proof,
                binding,
                profile: through,
            },
            Expected::Online(wanted, bound),
        ) => by == mechanism && *proof == wanted && *binding == bound && *through == Some(profile),
        (End::Offline(Offline::Login(LoginError::Refused { mechanism: by, .. })), Expected::Refused)
        | (End::Offline(Offline::Login(LoginError::TokenRefused { mechanism: by, .. })), Expected::Refused) => {
            by == mechanism
        }
        (End::Offline(Offline::Login(LoginError::Mechanism { mechanism: by, error })), Expected::Rejected(is)) => {
            by == mechanism && is(error)
        }
        _ => false,
    };
    let wanted = match expected {
        Expected::Online(proof, bound) => format!("a login with proof {proof:?}, bound to {bound:?}"),
        Expected::Refused => "a refusal by the server".to_owned(),
        Expected::Rejected(_) => "an error of the client's own".to_owned(),
    };
    assert!(fits, "{told}\n  expected: {wanted}\n  ended:    {end:?}");
}

/// One of the two protocols.
pub fn profile(rng: &mut fastrand::Rng) -> SaslProfile {
    if rng.bool() {
        SaslProfile::Sasl2
    } else {
        SaslProfile::Sasl1
    }
}

/// Draws until there is a text that SASLprep lets pass and leaves something of; and what it makes of it.
pub fn prepared(prep: &mut Peer, mut draw: impl FnMut() -> String) -> (String, String) {
    for _ in 0..1_000 {
        let text = draw();
        if let Ok(prepared) = prep.prepared(&text)
            && !prepared.is_empty()
        {
            return (text, prepared);
        }
    }
    panic!("no text that SASLprep lets pass");
}

/// What a server can say that a mechanism without a proof of its own has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Data with the success.
    SuccessData,
    /// A question with data.
    Challenge,
}

impl Lie {
    /// The server's first word, replaced.
    pub fn instead_of(self, reply: Reply) -> Reply {
        match (self, reply) {
            (Self::SuccessData, Reply::Success(None)) => Reply::Success(Some(b"v=".to_vec())),
            (Self::Challenge, Reply::Success(None)) => Reply::Challenge(b"again".to_vec()),
            (_, reply) => reply,
        }
    }

    /// What the client has to say to it.
    pub fn expected(self) -> Expected {
        match self {
            Self::SuccessData => Expected::Rejected(|error| *error == SaslError::UnexpectedSuccessData),
            Self::Challenge => Expected::Rejected(|error| *error == SaslError::UnexpectedChallenge),
        }
    }
}
