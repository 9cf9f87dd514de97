//! The client's side of SCRAM with every hash and with channel binding, of SASL2, and of tokens; written from the RFCs with nothing
//! but the hashes from a library.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;

use super::between;
use super::link::Link;

pub(crate) const SASL2: &str = "xmlns='urn:xmpp:sasl:2'";
pub(crate) const BIND2: &str = "xmlns='urn:xmpp:bind:0'";
pub(crate) const FAST: &str = "xmlns='urn:xmpp:fast:0'";
pub(crate) const AGENT: &str =
    "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>test</software></user-agent>";

/// A hash, and what HMAC must know of it.
pub(crate) struct Hash {
    pub(crate) mechanism: &'static str,
    pub(crate) digest: fn(&[u8]) -> Vec<u8>,
    block: usize,
}

pub(crate) const SHA_256: Hash = Hash {
    mechanism: "SCRAM-SHA-256",
    digest: |data| sha2::Sha256::digest(data).to_vec(),
    block: 64,
};

pub(crate) const HASHES: [Hash; 4] = [
    Hash {
        mechanism: "SCRAM-SHA-1",
        digest: |data| sha1::Sha1::digest(data).to_vec(),
        block: 64,
    },
    SHA_256,
    Hash {
        mechanism: "SCRAM-SHA-384",
        digest: |data| sha2::Sha384::digest(data).to_vec(),
        block: 128,
    },
    Hash {
        mechanism: "SCRAM-SHA-512",
        digest: |data| sha2::Sha512::digest(data).to_vec(),
        block: 128,
    },
];

impl Hash {
    /// RFC 2104, for keys that are not longer than a block.
    pub(crate) fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        assert!(key.len() <= self.block);
        let pad = |with: u8| -> Vec<u8> {
            let key = key.iter().copied().chain(std::iter::repeat(0));
            key.take(self.block).map(|byte| byte ^ with).collect()
        };
        let inner = (self.digest)(&[pad(0x36).as_slice(), data].concat());
        (self.digest)(&[pad(0x5c), inner].concat())
    }

    /// RFC 5802 §2.2, `Hi()`.
    pub(crate) fn salted(&self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut round = self.hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat());
        let mut sum = round.clone();
        for _ in 1..iterations {
            round = self.hmac(password.as_bytes(), &round);
            sum.iter_mut().zip(&round).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }
}

/// The messages of one login with SCRAM.
pub(crate) struct Scram<'a> {
    hash: &'a Hash,
    gs2: String,
    binding: Vec<u8>,
    bare: String,
}

/// What the client says to the challenge, and what it expects then.
pub(crate) struct Reply {
    pub(crate) response: String,
    /// Base64 of `v=...`.
    pub(crate) proof: String,
    pub(crate) server_first: String,
}

impl<'a> Scram<'a> {
    /// With this GS2 header, such as `n,,`.
    pub(crate) fn new(hash: &'a Hash, user: &str, gs2: &str, binding: Vec<u8>) -> Self {
        Self {
            hash,
            gs2: gs2.into(),
            binding,
            bare: format!("n={user},r=0123456789abcdef"),
        }
    }

    pub(crate) fn initial(&self) -> String {
        STANDARD.encode(format!("{}{}", self.gs2, self.bare))
    }

    /// To `<challenge/>` of either profile.
    #[track_caller]
    pub(crate) fn reply(&self, challenge: &str, password: &str) -> Reply {
        let data = between(challenge, "'>", "</challenge>");
        let server_first = String::from_utf8(STANDARD.decode(data).unwrap()).unwrap();
        let nonce = between(&server_first, "r=", ",");
        let salt = STANDARD.decode(between(&server_first, ",s=", ",")).unwrap();
        let count = server_first.split_once(",i=").unwrap().1;
        let count = count.split(',').next().unwrap().parse().unwrap();
        let salted = self.hash.salted(password, &salt, count);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let channel = STANDARD.encode([self.gs2.as_bytes(), &self.binding].concat());
        let last = format!("c={channel},r={nonce}");
        let message = format!("{},{server_first},{last}", self.bare);
        let signature = self.hash.hmac(&(self.hash.digest)(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server = self
            .hash
            .hmac(&self.hash.hmac(&salted, b"Server Key"), message.as_bytes());
        Reply {
            response: STANDARD.encode(format!("{last},p={}", STANDARD.encode(proof))),
            proof: STANDARD.encode(format!("v={}", STANDARD.encode(server))),
            server_first,
        }
    }
}

/// `<authenticate/>` with this in it beside the initial response.
pub(crate) fn authenticate(mechanism: &str, initial: &str, inline: &str) -> String {
    format!(
        "<authenticate {SASL2} mechanism='{mechanism}'><initial-response>{initial}</initial-response>{inline}</authenticate>"
    )
}

pub(crate) fn plain(user: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{user}'s password"))
}

/// A token of XEP-0484 as the client keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    secret: String,
    mechanism: &'static str,
}

impl Token {
    /// The one in `<success/>`.
    #[track_caller]
    pub(crate) fn find(success: &str, mechanism: &'static str) -> Self {
        assert!(success.contains(&format!("<token {FAST} token='")), "{success}");
        Self {
            secret: between(success, " token='", "'").to_owned(),
            mechanism,
        }
    }

    pub(crate) fn with_mechanism(&self, mechanism: &'static str) -> Self {
        Self {
            mechanism,
            ..self.clone()
        }
    }

    /// `<authenticate/>` of user01 and what the server must prove itself with.
    pub(crate) fn authenticate(&self, binding: &[u8], inline: &str) -> (String, String) {
        let mac = |who: &[u8]| SHA_256.hmac(self.secret.as_bytes(), &[who, binding].concat());
        let initial = STANDARD.encode([&b"user01\0"[..], &mac(b"Initiator")].concat());
        let proof = format!(
            "<additional-data>{}</additional-data>",
            STANDARD.encode(mac(b"Responder"))
        );
        (authenticate(self.mechanism, &initial, inline), proof)
    }
}

impl Link {
    /// Opens a stream that names the user, and gives the features.
    pub(crate) async fn open_as(&mut self, user: &str) -> String {
        let header = self
            .header()
            .replacen(" to=", &format!(" from='{user}@localhost' to="), 1);
        self.send(&header).await;
        self.until("</stream:features>").await
    }

    /// A whole login of user01 with SCRAM-SHA-256 over SASL2, up to the end of `<success/>` or `<continue/>`.
    pub(crate) async fn login2(&mut self, inline: &str, end: &str) -> String {
        let scram = Scram::new(&SHA_256, "user01", "n,,", Vec::new());
        self.send(&authenticate("SCRAM-SHA-256", &scram.initial(), inline))
            .await;
        let challenge = self.until("</challenge>").await;
        let reply = scram.reply(&challenge, "user01's password");
        self.send(&format!("<response {SASL2}>{}</response>", reply.response))
            .await;
        let answer = self.until(end).await;
        let proof = format!("<additional-data>{}</additional-data>", reply.proof);
        assert!(answer.contains(&proof), "{answer}");
        answer
    }
}
