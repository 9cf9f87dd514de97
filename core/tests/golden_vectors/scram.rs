//! SCRAM by every hash and channel binding, and DIGEST-MD5: the client's nonce is its own, so the server computes.
//!
//! The server's half is written here from RFC 5802 §3, and shares nothing with the client's.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::config::{Bind, DigestMd5, KeyDerivation, MechanismPolicy, UserAgent};
use epode::{ChannelBindings, Credentials, DerivedKey, Input, Output};
use hmac::digest::Digest;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;

use crate::life::Life;
use crate::login::{SASL1, SASL2, authentication, bindings, encoded, fast, info, mechanisms, of};

const VECTORS: &str = include_str!("../../../tests/vectors/scram.json");
const JID: &str = "user@example.org";
const FULL: &str = "user@example.org/r";
const PASSWORD: &str = "pencil";
const SALT: &str = "QSXCR+Q6sek8bf92";
const TOKEN: &str = "secret-token:fast-Oeie4nmlUoLHXca_YhkjwkEBgCEKKHKCArT8";
pub(crate) const EXPORTER: [u8; 32] = *b"what TLS exported of this link..";
pub(crate) const END_POINT: [u8; 32] = *b"the digest of that certificate..";
pub(crate) const UNIQUE: [u8; 12] = *b"the Finished";

#[derive(Clone, Copy)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(mechanism: &str) -> Self {
        match mechanism.trim_start_matches("SCRAM-").trim_end_matches("-PLUS") {
            "SHA-1" => Self::Sha1,
            "SHA-256" => Self::Sha256,
            "SHA-384" => Self::Sha384,
            "SHA-512" => Self::Sha512,
            other => panic!("{other}"),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        macro_rules! hmac {
            ($hash:ty) => {
                Hmac::<$hash>::new_from_slice(key)
                    .unwrap()
                    .chain_update(data)
                    .finalize()
                    .into_bytes()
                    .to_vec()
            };
        }
        match self {
            Self::Sha1 => hmac!(sha1::Sha1),
            Self::Sha256 => hmac!(sha2::Sha256),
            Self::Sha384 => hmac!(sha2::Sha384),
            Self::Sha512 => hmac!(sha2::Sha512),
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(data).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(data).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(data).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(data).to_vec(),
        }
    }

    /// Hi(), as RFC 5802 §2.2 spells it out.
    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut block = self.hmac(password, &[salt, &[0, 0, 0, 1]].concat());
        let mut sum = block.clone();
        for _ in 1..iterations {
            block = self.hmac(password, &block);
            sum.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }
}

/// A server that knows the password.
pub(crate) struct Server {
    hash: Hash,
    header: String,
    bare: String,
    first: String,
    data: Vec<u8>,
    iterations: u32,
}

impl Server {
    /// The answer to the client's first message; `data` is what the link is bound to.
    pub(crate) fn to(mechanism: &str, client_first: &[u8], data: &[u8]) -> Self {
        let message = std::str::from_utf8(client_first).unwrap();
        let (header, bare) = message.split_at(message.match_indices(',').nth(1).unwrap().0 + 1);
        let nonce = bare.split("r=").nth(1).unwrap();
        Self {
            hash: Hash::of(mechanism),
            header: header.to_owned(),
            bare: bare.to_owned(),
            first: format!("r={nonce}3rfcNHYJY1ZVvWVs7j,s={SALT},i=4096"),
            data: data.to_vec(),
            iterations: 4_096,
        }
    }

    pub(crate) fn first(&self) -> String {
        encoded(&self.first)
    }

    /// Judges the client's proof, and gives its own.
    pub(crate) fn last(&self, client_final: &[u8]) -> String {
        let message = std::str::from_utf8(client_final).unwrap();
        let (without, proof) = message.rsplit_once(",p=").unwrap();
        let bound = encoded([self.header.as_bytes(), &self.data].concat());
        assert_eq!(without.split(',').next(), Some(format!("c={bound}").as_str()));
        let hash = self.hash;
        let salted = hash.salted(PASSWORD.as_bytes(), &STANDARD.decode(SALT).unwrap(), self.iterations);
        let exchange = format!("{},{},{without}", self.bare, self.first);
        let client_key = hash.hmac(&salted, b"Client Key");
        let signature = hash.hmac(&hash.digest(&client_key), exchange.as_bytes());
        let right: Vec<u8> = client_key.iter().zip(signature).map(|(key, byte)| key ^ byte).collect();
        assert_eq!(encoded(right), proof, "the client's proof");
        let signature = hash.hmac(&hash.hmac(&salted, b"Server Key"), exchange.as_bytes());
        encoded(format!("v={}", encoded(signature)))
    }
}

/// Up to the server's proof, by SASL of RFC 6120.
fn scram(life: &mut Life, mechanism: &str, data: &[u8]) -> String {
    assert!(life.said.contains(&format!("mechanism='{mechanism}'")), "{}", life.said);
    let server = Server::to(mechanism, &life.data_of("auth "), data);
    life.answer(&format!("<challenge xmlns='{SASL1}'>{}</challenge>", server.first()));
    server.last(&life.data_of("response "))
}

/// The same by SASL2.
pub(crate) fn scram2(life: &mut Life, mechanism: &str, data: &[u8]) -> String {
    assert!(life.said.contains(&format!("mechanism='{mechanism}'")), "{}", life.said);
    let server = Server::to(mechanism, &life.data_of("initial-response"), data);
    life.answer(&format!("<challenge xmlns='{SASL2}'>{}</challenge>", server.first()));
    server.last(&life.data_of("response "))
}

/// HT-SHA-256-NONE: the proof of one side.
pub(crate) fn login_token(token: &[u8], who: &[u8]) -> String {
    encoded(Hash::Sha256.hmac(token, who))
}

fn bound() -> ChannelBindings {
    ChannelBindings {
        tls_exporter: Some(EXPORTER.to_vec()),
        tls_server_end_point: Some(END_POINT.to_vec()),
        ..ChannelBindings::default()
    }
}

#[test]
fn every_hash() {
    for hash in ["1", "256", "384", "512"] {
        let mechanism = format!("SCRAM-SHA-{hash}");
        let config = of(JID, Credentials::password(PASSWORD)).build().unwrap();
        let mut life = Life::begin(
            config,
            info("example.org", ChannelBindings::default()),
            &mechanisms(&[&mechanism]),
        );
        let proof = scram(&mut life, &mechanism, b"");
        life.succeed(&proof, FULL);
        life.end().golden(&mechanism.to_lowercase());
    }
}

#[test]
fn every_channel_binding() {
    let all = [
        ("1", "tls-exporter", &EXPORTER[..]),
        ("256", "tls-exporter", &EXPORTER[..]),
        ("384", "tls-unique", &UNIQUE[..]),
        ("512", "tls-server-end-point", &END_POINT[..]),
    ];
    for (hash, kind, data) in all {
        let mechanism = format!("SCRAM-SHA-{hash}-PLUS");
        let mut given = ChannelBindings::default();
        let mut link = info("example.org", given.clone());
        match kind {
            "tls-exporter" => given = bound(),
            "tls-unique" => {
                given.tls_unique = Some(data.to_vec());
                link.tls_version = Some("1.2".to_owned());
            }
            _ => given.tls_server_end_point = Some(data.to_vec()),
        }
        link.channel_bindings = given;
        let plain = mechanism.trim_end_matches("-PLUS");
        let features = mechanisms(&[&mechanism, plain]) + &bindings(&[kind]);
        let config = of(JID, Credentials::password(PASSWORD)).build().unwrap();
        let mut life = Life::begin(config, link, &features);
        let proof = scram(&mut life, &mechanism, data);
        life.succeed(&proof, FULL);
        life.end().golden(&mechanism.to_lowercase());
    }
}

/// SASL2 (XEP-0388), a resource by Bind 2 (XEP-0386), a token and then a login by it (XEP-0484), with a user agent.
#[test]
fn sasl2_with_everything() {
    let agent = UserAgent {
        id: Some("d4565fa7-4d72-4749-b3d3-740edbf87770".to_owned()),
        software: Some("The Conformance Client".to_owned()),
        device: Some("a test".to_owned()),
    };
    let bind = Bind {
        tag: "golden".to_owned(),
        carbons: true,
    };
    let inline = fast(&["HT-SHA-256-NONE", "HT-SHA-256-EXPR"])
        + "<sm xmlns='urn:xmpp:sm:3'/><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/>\
           <feature var='urn:xmpp:carbons:2'/></inline></bind>";
    let features = authentication(&["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"], &inline) + &bindings(&["tls-exporter"]);
    let config = of(JID, Credentials::password(PASSWORD)).user_agent(agent).bind(bind);
    let mut life = Life::begin(config.build().unwrap(), info("example.org", bound()), &features);
    let proof = scram2(&mut life, "SCRAM-SHA-256-PLUS", &EXPORTER);
    let token = format!("<token xmlns='urn:xmpp:fast:0' token='{TOKEN}' expiry='2026-02-01T00:00:00Z'/>");
    let enabled =
        "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='sm-1' resume='true' max='300'/></bound>";
    life.succeed2(&proof, FULL, &format!("{enabled}{token}"));
    let link = life.link;
    life.input(Input::Ended { link });
    life.until_next_link();
    life.said.clear();
    life.connect(info("example.org", bound()), &features);
    let mac = |who: &str| Hash::Sha256.hmac(TOKEN.as_bytes(), &[who.as_bytes(), &EXPORTER].concat());
    assert_eq!(
        life.data_of("initial-response"),
        [&b"user\0"[..], &mac("Initiator")].concat()
    );
    life.succeed2(
        &encoded(mac("Responder")),
        FULL,
        "<resumed xmlns='urn:xmpp:sm:3' previd='sm-1' h='0'/>",
    );
    life.end().golden("sasl2-bind2-fast");
}

/// `KeyDerivation::Host`: the host runs the derivation; and the key logs in again without it.
#[test]
fn the_host_derives() {
    for hash in ["1", "256", "384", "512"] {
        let mechanism = format!("SCRAM-SHA-{hash}");
        let config = of(JID, Credentials::password(PASSWORD))
            .key_derivation(KeyDerivation::Host)
            .build()
            .unwrap();
        let mut life = Life::begin(
            config,
            info("example.org", ChannelBindings::default()),
            &mechanisms(&[&mechanism]),
        );
        let server = Server::to(&mechanism, &life.data_of("auth "), b"");
        life.answer(&format!("<challenge xmlns='{SASL1}'>{}</challenge>", server.first()));
        let (job, derivation) = life
            .outputs
            .iter()
            .find_map(|output| match output {
                Output::DeriveKey { job, derivation } => Some((*job, derivation.clone())),
                _ => None,
            })
            .unwrap();
        life.now += 30;
        let key = derivation.run();
        life.input(Input::Derived { job, key: key.clone() });
        let proof = server.last(&life.data_of("response "));
        life.succeed(&proof, FULL);
        let mut life = life.end();
        // As if a later process had kept it.
        let key = DerivedKey::from_bytes(key.to_bytes().expose()).unwrap();
        life.now += 1_000;
        life.input(Input::Provide {
            credentials: Credentials::ScramKey { key },
        });
        life.said.clear();
        life.input(Input::Start);
        life.connect(
            info("example.org", ChannelBindings::default()),
            &mechanisms(&[&mechanism]),
        );
        let derived = life.outputs.len();
        let proof = scram(&mut life, &mechanism, b"");
        let again = life.outputs[derived..]
            .iter()
            .any(|output| matches!(output, Output::DeriveKey { .. }));
        assert!(!again, "derived twice");
        life.succeed(&proof, FULL);
        life.end().golden(&format!("host-derives-sha-{hash}"));
    }
}

/// Every message of a server that a client must not take, in one life that begins anew after each.
#[test]
fn refused_messages_of_scram() {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let exchange = &all["exchanges"][0];
    let (mechanism, nonce) = ("SCRAM-SHA-1", exchange["client_nonce"].as_str().unwrap());
    let config = of(JID, Credentials::password(PASSWORD)).build().unwrap();
    let mut life = Life::new(config);
    for row in ["refused_first", "refused_final"].iter().flat_map(|name| {
        let rows = all[name].as_array().unwrap();
        rows.iter().map(move |row| (*name == "refused_first", row))
    }) {
        let (first, row) = row;
        let name = row["name"].as_str().unwrap();
        let message = STANDARD.decode(row["message_base64"].as_str().unwrap()).unwrap();
        life.outputs.clear();
        life.said.clear();
        life.input(Input::Start);
        life.connect(
            info("example.org", ChannelBindings::default()),
            &mechanisms(&[mechanism]),
        );
        let server = Server::to(mechanism, &life.data_of("auth "), b"");
        if first {
            // With the nonce of this client in the place of the vector's.
            let ours = server.bare.split("r=").nth(1).unwrap();
            let message = replaced(&message, nonce.as_bytes(), ours.as_bytes());
            life.answer(&format!("<challenge xmlns='{SASL1}'>{}</challenge>", encoded(message)));
        } else {
            life.answer(&format!("<challenge xmlns='{SASL1}'>{}</challenge>", server.first()));
            server.last(&life.data_of("response "));
            life.answer(&format!("<success xmlns='{SASL1}'>{}</success>", encoded(message)));
        }
        // It says why to the server where RFC 6120 lets it, and goes.
        if !life.is_over() {
            life.answer(&format!("<failure xmlns='{SASL1}'><aborted/></failure>"));
        }
        if !life.is_over() {
            life.answer("</stream:stream>");
        }
        assert!(life.is_over(), "{name}: {:?}", life.events().collect::<Vec<_>>());
        let (reason, error) = (life.reason(), row["error"].as_str().unwrap());
        assert!(reason.contains(&as_logged(error)), "{name}: {reason}, not {error}");
        life.now += 1_000;
    }
    life.golden("scram-refused");
}

/// How a log says what the vectors call so.
fn as_logged(error: &str) -> String {
    let said = match error {
        "nonce" | "salt" => error,
        "mandatory-extension" => "mandatory_extension",
        "malformed" => return "{\"malformed\":".to_owned(),
        "iterations-malformed" => "iterations",
        "iterations-low" => return "{\"iterations_too_low\":".to_owned(),
        "iterations-high" => return "{\"iterations_too_high\":".to_owned(),
        "proof" => "wrong_server_proof",
        "offer" => return "{\"offer_changed\":".to_owned(),
        other => {
            let value = other.strip_prefix("server:").expect("a name that is known");
            return format!("{{\"server\":{{\"value\":{}}}}}", Value::from(value));
        }
    };
    format!("\"error\":\"{said}\"")
}

fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((first, others)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(old) {
            out.extend(new);
            rest = behind;
        } else {
            out.push(*first);
            rest = others;
        }
    }
    out
}

/// Every challenge of DIGEST-MD5 that a client must not answer.
#[test]
fn refused_challenges_of_digest_md5() {
    let all: Value = serde_json::from_str(include_str!("../../../tests/vectors/digest_md5.json")).unwrap();
    let policy = MechanismPolicy {
        digest_md5: Some(DigestMd5::default()),
        ..MechanismPolicy::default()
    };
    let config = of("user@example.com", Credentials::password(PASSWORD)).mechanisms(policy);
    let mut life = Life::new(config.build().unwrap());
    for row in all["refused"].as_array().unwrap() {
        let name = row["name"].as_str().unwrap();
        life.outputs.clear();
        life.said.clear();
        life.input(Input::Start);
        let features = mechanisms(&["DIGEST-MD5"]);
        life.connect(info("example.com", ChannelBindings::default()), &features);
        let challenge = row["challenge_base64"].as_str().unwrap();
        life.answer(&format!("<challenge xmlns='{SASL1}'>{challenge}</challenge>"));
        assert!(!life.said.contains("<response"), "{name}: {}", life.said);
        life.answer(&format!("<failure xmlns='{SASL1}'><aborted/></failure>"));
        if !life.is_over() {
            life.answer("</stream:stream>");
        }
        assert!(life.reason().contains("DIGEST-MD5"), "{name}: {}", life.reason());
        life.now += 1_000;
    }
    life.golden("digest-md5-refused");
}

/// RFC 2831, with the proof of each side.
#[test]
fn digest_md5() {
    let policy = MechanismPolicy {
        digest_md5: Some(DigestMd5::default()),
        ..MechanismPolicy::default()
    };
    let config = of(JID, Credentials::password(PASSWORD))
        .mechanisms(policy)
        .build()
        .unwrap();
    let mut life = Life::begin(
        config,
        info("example.org", ChannelBindings::default()),
        &mechanisms(&["DIGEST-MD5"]),
    );
    let challenge = r#"realm="example.org",nonce="OA6MG9tEQGm2hh",qop="auth",charset=utf-8,algorithm=md5-sess"#;
    life.answer(&format!(
        "<challenge xmlns='{SASL1}'>{}</challenge>",
        encoded(challenge)
    ));
    let said = String::from_utf8(life.data_of("response ")).unwrap();
    let field = |name: &str| {
        said.split(&format!("{name}="))
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap()
            .trim_matches('"')
    };
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let md5 = |data: &[u8]| md5::Md5::digest(data);
    let cnonce = field("cnonce");
    let secret = md5(format!("user:example.org:{PASSWORD}").as_bytes());
    let key = hex(&md5(
        &[&secret[..], format!(":OA6MG9tEQGm2hh:{cnonce}").as_bytes()].concat()
    ));
    let proof = |action: &str| {
        let action = hex(&md5(action.as_bytes()));
        hex(&md5(
            format!("{key}:OA6MG9tEQGm2hh:00000001:{cnonce}:auth:{action}").as_bytes()
        ))
    };
    assert_eq!(field("response"), proof("AUTHENTICATE:xmpp/example.org"));
    let last = encoded(format!("rspauth={}", proof(":xmpp/example.org")));
    life.answer(&format!("<challenge xmlns='{SASL1}'>{last}</challenge>"));
    life.succeed("", FULL);
    life.end().golden("digest-md5");
}
