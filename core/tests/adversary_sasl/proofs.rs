//! The cryptography of a server: SCRAM-SHA-256, and the HMAC of login tokens.

use std::sync::OnceLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::harness::{PASSWORD, SALT, base64};
use crate::server::{END_POINT, EXPORTER, Login};

/// The server's half of SCRAM-SHA-256, with and without channel binding.
pub(crate) struct Scram {
    /// `n`, `y`, or `p=` and the type.
    pub(crate) flag: String,
    header: String,
    bare: String,
    pub(crate) first: String,
}

impl Scram {
    /// An honest answer to what began the last login.
    pub(crate) fn to(login: &Login) -> Self {
        Self::answering(&login.last_text())
    }

    pub(crate) fn answering(client_first: &str) -> Self {
        let mut parts = client_first.splitn(3, ',');
        let mut part = || parts.next().expect("a message of SCRAM").to_owned();
        let (flag, authzid, bare) = (part(), part(), part());
        let header = format!("{flag},{authzid},");
        let mut server = Self {
            flag,
            header,
            bare,
            first: String::new(),
        };
        server.first = format!("r={}server,s={SALT},i=4096", server.nonce());
        server
    }

    /// With something more behind it.
    pub(crate) fn with(mut self, extension: &str) -> Self {
        self.first = format!("{},{extension}", self.first);
        self
    }

    /// The nonce of the client.
    pub(crate) fn nonce(&self) -> &str {
        self.bare.split("r=").nth(1).unwrap()
    }

    /// What the client bound the login to.
    pub(crate) fn bound(&self, client_final: &str) -> Vec<u8> {
        let bound = client_final.strip_prefix("c=").unwrap().split(',').next().unwrap();
        let bound = STANDARD.decode(bound).unwrap();
        let data = bound.strip_prefix(self.header.as_bytes());
        data.expect("the header that it began with").to_vec()
    }

    /// The last message of a server that knows the password, and has judged the client's proof.
    pub(crate) fn proof(&self, client_final: &str) -> String {
        let (signature, proof) = self.signatures(client_final, PASSWORD);
        let said = client_final.rsplit_once(",p=").unwrap().1;
        assert_eq!(base64(proof), said, "the client's proof");
        let expected: &[u8] = match self.flag.as_str() {
            "n" | "y" => b"",
            "p=tls-exporter" => &EXPORTER,
            "p=tls-server-end-point" => &END_POINT,
            other => panic!("{other}"),
        };
        assert_eq!(self.bound(client_final), expected, "what the login is bound to");
        format!("v={}", base64(signature))
    }

    /// The server's signature and the client's proof, for that password.
    pub(crate) fn signatures(&self, client_final: &str, password: &str) -> (Vec<u8>, Vec<u8>) {
        let salted = salted(password);
        let (without_proof, _) = client_final.rsplit_once(",p=").unwrap();
        let message = format!("{},{},{without_proof}", self.bare, self.first);
        let client_key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(&client_key), message.as_bytes());
        let proof = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server_key = hmac(&salted, b"Server Key");
        (hmac(&server_key, message.as_bytes()), proof)
    }
}

/// What 4,096 iterations make of a password.
pub(crate) fn salted(password: &str) -> [u8; 32] {
    static RIGHT: OnceLock<[u8; 32]> = OnceLock::new();
    let derive = || {
        let salt = STANDARD.decode(SALT).unwrap();
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, 4_096, &mut salted);
        salted
    };
    if password == PASSWORD {
        *RIGHT.get_or_init(derive)
    } else {
        derive()
    }
}

pub(crate) fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key)
        .unwrap()
        .chain_update(data)
        .finalize()
        .into_bytes()
        .to_vec()
}
