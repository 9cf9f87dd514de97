//! SCRAM with each hash, bound and not, with GNU SASL, Cyrus SASL and scramp as the server (RFC 5802, RFC 7677, RFC 9266).
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "all of it is a test"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use epode::config::KeyDerivation;
use epode::error::SaslError;
use epode::{BareJid, ChannelBindingType, Credentials, Derivation, ScramHash, ServerProof};
use epode_differential::campaign::{Expected, LOGINS, config, judge, prepared, profile};
use epode_differential::draw;
use epode_differential::frame::{Offer, Reply, login};
use epode_differential::peer::{Peer, Whose};
use fastrand::Rng;

use ChannelBindingType::{TlsExporter, TlsServerEndPoint, TlsUnique};

/// What is wrong with a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Password,
    User,
    /// The server's end of the channel is another one.
    Binding,
    /// The server binds channels, and its offer did not arrive (RFC 5802 §6).
    Stripped,
    /// The client's proof changes on its way.
    ClientProof,
    /// The client's first message changes on its way: the type of its channel binding, or whether it has one.
    Header,
    /// The server's nonce is not the client's with something added.
    Nonce,
    /// The server asks for few iterations.
    Iterations,
    /// The salt changes on its way.
    Salt,
    /// The server's proof changes on its way.
    ServerProof,
    /// The server leaves its proof out.
    NoServerProof,
    /// The server knows how to check the client, and not how to prove itself (RFC 5802 §3: ServerKey).
    ServerKey,
    /// The server says in the end that it is not content (RFC 5802 §7: e=).
    ServerError,
}

const WRONG: [Wrong; 13] = [
    Wrong::Password,
    Wrong::User,
    Wrong::Binding,
    Wrong::Stripped,
    Wrong::ClientProof,
    Wrong::Header,
    Wrong::Nonce,
    Wrong::Iterations,
    Wrong::Salt,
    Wrong::ServerProof,
    Wrong::NoServerProof,
    Wrong::ServerKey,
    Wrong::ServerError,
];

struct Setup {
    mechanism: &'static str,
    types: &'static [ChannelBindingType],
    peer: Peer,
    /// For names and passwords that are kept as they were prepared.
    prep: Peer,
    rng: Rng,
}

impl Setup {
    fn plus(&self) -> bool {
        self.mechanism.ends_with("-PLUS")
    }

    fn can(&self, wrong: Wrong) -> bool {
        match wrong {
            Wrong::Binding => self.plus(),
            Wrong::Stripped => !self.plus(),
            Wrong::ServerKey => self.peer.whose() == Whose::Scramp,
            _ => true,
        }
    }

    fn draw(&mut self, wrong: Option<Wrong>) -> Drawn {
        let plus = self.plus();
        let rng = &mut self.rng;
        let account = draw::account(rng);
        let (_, user) = prepared(&mut self.prep, || account.local().unwrap_or_default().to_owned());
        let (password, password_prepared) = prepared(&mut self.prep, || draw::password(rng));
        // Without -PLUS: a client that has no binding, or one that sees that the server has none (RFC 5802 §6, `n` and `y`).
        let (client_binds, server_binds) = match (plus, wrong) {
            (true, _) | (false, Some(Wrong::Stripped)) => (true, true),
            (false, _) => [(false, false), (true, false), (false, true)][rng.usize(..3)],
        };
        Drawn {
            account,
            user,
            password,
            password_prepared,
            salt: draw::bytes(rng, 12..=64),
            iterations: draw::iterations(rng),
            of: self.types[rng.usize(..self.types.len())],
            data: draw::binding(rng),
            client_binds,
            server_binds,
        }
    }

    /// Tells the server of the account.
    fn begin(&mut self, drawn: &Drawn, wrong: Option<Wrong>) {
        let mut password = match self.peer.whose() {
            Whose::Cyrus => drawn.password_prepared.clone(),
            Whose::Gnu | Whose::Scramp | Whose::Prosody => drawn.password.clone(),
        };
        let mut user = drawn.user.clone();
        let mut data = drawn.data.clone();
        match wrong {
            Some(Wrong::Password) => password = draw::another(&password),
            Some(Wrong::User) => user.push('x'),
            Some(Wrong::Binding) => data = draw::flipped(&mut self.rng, &data),
            _ => {}
        }
        let (iterations, salt, data) = (drawn.iterations.to_string(), draw::base64(&drawn.salt), data);
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("host", b"localhost"),
            ("user", user.as_bytes()),
            ("password", password.as_bytes()),
            ("iterations", iterations.as_bytes()),
            ("salt", &drawn.salt),
            ("salt64", &salt),
        ];
        if wrong == Some(Wrong::ServerKey) {
            fields.push(("lie", b"yes"));
        }
        let base64 = draw::base64(&data);
        if drawn.server_binds {
            let place = if drawn.of == TlsUnique {
                "unique64"
            } else {
                "exporter64"
            };
            fields.extend([
                (place, base64.as_slice()),
                ("cb-type", drawn.of.name().as_bytes()),
                ("cb-data", &data),
            ]);
        }
        self.peer.begin(self.mechanism, &fields);
    }

    /// The password, or sometimes the key that it became for this salt, where the salt is known before.
    fn credentials(&mut self, drawn: &Drawn, wrong: Option<Wrong>) -> Credentials {
        let hash = ScramHash::ALL.into_iter().find(|hash| {
            let name = hash.mechanism(self.plus());
            name == self.mechanism
        });
        if self.peer.whose() == Whose::Cyrus || wrong.is_some() || self.rng.u8(..4) > 0 {
            return Credentials::password(drawn.password.as_str());
        }
        let derivation = Derivation {
            hash: hash.expect("a hash that there is"),
            salt: drawn.salt.clone(),
            iterations: drawn.iterations,
            password: drawn.password_prepared.as_str().into(),
        };
        let key = derivation.run();
        Credentials::ScramKey { key }
    }

    fn play(&mut self, number: u64, wrong: Option<Wrong>) {
        let mechanism = self.mechanism;
        let drawn = self.draw(wrong);
        self.begin(&drawn, wrong);
        let credentials = self.credentials(&drawn, wrong);
        let bound = self.plus().then_some(drawn.of);
        let rng = &mut self.rng;
        let profile = profile(rng);
        let told = format!(
            "{mechanism} with {:?}, login {number} of {}, wrong: {wrong:?}, {profile:?}, {:?}",
            self.peer.whose(),
            drawn.account,
            drawn.of
        );
        let derivation = if rng.bool() {
            KeyDerivation::Host
        } else {
            KeyDerivation::Inline
        };
        let config = config(&drawn.account, mechanism, credentials).key_derivation(derivation);
        let config = config.build().expect("a configuration");
        let info = draw::link(drawn.client_binds.then_some((drawn.of, drawn.data.as_slice())));
        let offer = Offer {
            binding: bound,
            last_as_challenge: rng.bool(),
            ..Offer::of(mechanism, profile)
        };
        let seed = draw::seed(rng);
        let (mut steps, mut refused) = (0, false);
        let peer = &mut self.peer;
        let mut server = |message: Option<&[u8]>| {
            steps += 1;
            let message = message.map(|message| on_its_way(wrong, steps, message, rng));
            let reply = peer.step(message.as_deref());
            refused |= matches!(reply, Reply::Failure(_));
            on_its_way_back(wrong, steps, reply, rng)
        };
        let ended = login(&config, &info, &offer, seed, None, &mut server);
        let expected = expected(wrong, bound);
        judge(&ended.end, expected, mechanism, profile, &told);
        assert_eq!(
            refused,
            matches!(expected, Expected::Refused),
            "{told}: the server's own judgement"
        );
        if wrong.is_none() {
            assert_eq!(steps, 2, "{told}");
            assert_eq!(self.peer.user.as_deref(), Some(drawn.user.as_str()), "{told}");
        }
    }
}

/// One account, and what the two ends know of the channel between them.
struct Drawn {
    account: BareJid,
    user: String,
    password: String,
    password_prepared: String,
    salt: Vec<u8>,
    iterations: u32,
    of: ChannelBindingType,
    data: Vec<u8>,
    client_binds: bool,
    server_binds: bool,
}

fn expected(wrong: Option<Wrong>, bound: Option<ChannelBindingType>) -> Expected {
    match wrong {
        None => Expected::Online(ServerProof::Verified, bound),
        Some(
            Wrong::Password
            | Wrong::User
            | Wrong::Binding
            | Wrong::Stripped
            | Wrong::ClientProof
            | Wrong::Header
            | Wrong::Salt,
        ) => Expected::Refused,
        Some(Wrong::Nonce) => Expected::Rejected(|error| *error == SaslError::Nonce),
        Some(Wrong::Iterations) => Expected::Rejected(|error| matches!(error, SaslError::IterationsTooLow { .. })),
        Some(Wrong::ServerProof | Wrong::ServerKey) => {
            Expected::Rejected(|error| *error == SaslError::WrongServerProof)
        }
        Some(Wrong::NoServerProof) => Expected::Rejected(|error| *error == SaslError::MissingServerProof),
        Some(Wrong::ServerError) => Expected::Rejected(|error| matches!(error, SaslError::Server { .. })),
    }
}

/// What becomes of the client's messages.
fn on_its_way(wrong: Option<Wrong>, step: u32, message: &[u8], rng: &mut Rng) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).expect("SCRAM is text");
    match (wrong, step) {
        (Some(Wrong::Header), 1) => {
            let (flag, rest) = text.split_once(',').expect("a header");
            let other = match flag {
                "n" => "y",
                "y" => "n",
                // A type that the server takes too, or the flag of a client that has none.
                _ => "n",
            };
            format!("{other},{rest}").into_bytes()
        }
        (Some(Wrong::ClientProof), 2) => {
            let (start, proof) = text.rsplit_once(",p=").expect("a proof");
            let proof = draw::flipped(rng, &STANDARD.decode(proof).expect("base64"));
            format!("{start},p={}", STANDARD.encode(proof)).into_bytes()
        }
        _ => message.to_vec(),
    }
}

/// And of the server's.
fn on_its_way_back(wrong: Option<Wrong>, step: u32, reply: Reply, rng: &mut Rng) -> Reply {
    match (wrong, step, reply) {
        (Some(wrong), 1, Reply::Challenge(message)) => {
            let text = String::from_utf8(message).expect("SCRAM is text");
            let mut parts: Vec<String> = text.split(',').map(str::to_owned).collect();
            match wrong {
                // One of the client's own characters, or only those.
                Wrong::Nonce if rng.bool() => {
                    let other = if parts[0].starts_with("r=a") { "b" } else { "a" };
                    parts[0].replace_range(2..3, other);
                }
                Wrong::Nonce => parts[0] = String::from("r=somebodyElse"),
                Wrong::Iterations => parts[2] = format!("i={}", rng.u32(1..4_096)),
                Wrong::Salt => {
                    let salt = draw::flipped(rng, &STANDARD.decode(&parts[1][2..]).expect("base64"));
                    parts[1] = format!("s={}", STANDARD.encode(salt));
                }
                _ => {}
            }
            Reply::Challenge(parts.join(",").into_bytes())
        }
        (Some(Wrong::ServerProof), 2, Reply::Success(Some(message))) => {
            let proof = draw::flipped(rng, &STANDARD.decode(&message[2..]).expect("base64"));
            Reply::Success(Some(format!("v={}", STANDARD.encode(proof)).into_bytes()))
        }
        (Some(Wrong::NoServerProof), 2, Reply::Success(_)) => Reply::Success(None),
        (Some(Wrong::ServerError), 2, Reply::Success(_)) => Reply::Success(Some(b"e=other-error".to_vec())),
        (_, _, reply) => reply,
    }
}

fn campaign(mechanism: &'static str, whose: Whose, types: &'static [ChannelBindingType], seed: u64) {
    let mut setup = Setup {
        mechanism,
        types,
        peer: Peer::start(whose),
        prep: Peer::start(Whose::Scramp),
        rng: Rng::with_seed(seed),
    };
    for number in 0..LOGINS {
        setup.play(number, None);
    }
    let wrongs: Vec<Wrong> = WRONG.into_iter().filter(|wrong| setup.can(*wrong)).collect();
    for (number, wrong) in (0..LOGINS).zip(wrongs.iter().cycle()) {
        setup.play(number, Some(*wrong));
    }
}

const ANY: &[ChannelBindingType] = &[TlsExporter, TlsUnique, TlsServerEndPoint];
const OF_GNU: &[ChannelBindingType] = &[TlsExporter, TlsUnique];
const OF_SCRAMP: &[ChannelBindingType] = &[TlsUnique, TlsServerEndPoint];

#[test]
fn sha_1_with_gnu_sasl() {
    campaign("SCRAM-SHA-1", Whose::Gnu, OF_GNU, 101);
}

#[test]
fn sha_1_with_cyrus_sasl() {
    campaign("SCRAM-SHA-1", Whose::Cyrus, ANY, 102);
}

#[test]
fn sha_1_with_scramp() {
    campaign("SCRAM-SHA-1", Whose::Scramp, OF_SCRAMP, 103);
}

#[test]
fn sha_256_with_gnu_sasl() {
    campaign("SCRAM-SHA-256", Whose::Gnu, OF_GNU, 104);
}

#[test]
fn sha_256_with_cyrus_sasl() {
    campaign("SCRAM-SHA-256", Whose::Cyrus, ANY, 105);
}

#[test]
fn sha_256_with_scramp() {
    campaign("SCRAM-SHA-256", Whose::Scramp, OF_SCRAMP, 106);
}

#[test]
fn sha_384_with_cyrus_sasl() {
    campaign("SCRAM-SHA-384", Whose::Cyrus, ANY, 107);
}

#[test]
fn sha_512_with_cyrus_sasl() {
    campaign("SCRAM-SHA-512", Whose::Cyrus, ANY, 108);
}

#[test]
fn sha_512_with_scramp() {
    campaign("SCRAM-SHA-512", Whose::Scramp, OF_SCRAMP, 109);
}

#[test]
fn sha_1_plus_with_gnu_sasl() {
    campaign("SCRAM-SHA-1-PLUS", Whose::Gnu, OF_GNU, 111);
}

#[test]
fn sha_1_plus_with_cyrus_sasl() {
    campaign("SCRAM-SHA-1-PLUS", Whose::Cyrus, ANY, 112);
}

#[test]
fn sha_1_plus_with_scramp() {
    campaign("SCRAM-SHA-1-PLUS", Whose::Scramp, OF_SCRAMP, 113);
}

#[test]
fn sha_256_plus_with_gnu_sasl() {
    campaign("SCRAM-SHA-256-PLUS", Whose::Gnu, OF_GNU, 114);
}

#[test]
fn sha_256_plus_with_cyrus_sasl() {
    campaign("SCRAM-SHA-256-PLUS", Whose::Cyrus, ANY, 115);
}

#[test]
fn sha_256_plus_with_scramp() {
    campaign("SCRAM-SHA-256-PLUS", Whose::Scramp, OF_SCRAMP, 116);
}

#[test]
fn sha_384_plus_with_cyrus_sasl() {
    campaign("SCRAM-SHA-384-PLUS", Whose::Cyrus, ANY, 117);
}

#[test]
fn sha_512_plus_with_cyrus_sasl() {
    campaign("SCRAM-SHA-512-PLUS", Whose::Cyrus, ANY, 118);
}

#[test]
fn sha_512_plus_with_scramp() {
    campaign("SCRAM-SHA-512-PLUS", Whose::Scramp, OF_SCRAMP, 119);
}
