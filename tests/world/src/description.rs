//! What the tests are told: the JSON, and who can log in where.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::pki::Pki;
use crate::world::Place;

/// Where certificates log in, on every server.
pub(crate) const CERTIFICATE_HOST: &str = "cert.localhost";
/// Every user's of `dev` and `modern`.
pub(crate) const DEV_PASSWORD: &str = "pencil";
/// Of the PKCS#12 files of `tests/servers/pki`.
const P12_PASSWORD: &str = "test";

/// Somebody who logs in by password.
#[derive(Debug)]
pub(crate) struct Account {
    jid: &'static str,
    password: &'static str,
}

impl Account {
    /// Two of a dev server.
    pub(crate) fn dev() -> (Self, Self) {
        ["alice@cert.localhost", "bob@cert.localhost"]
            .map(|jid| Self {
                jid,
                password: DEV_PASSWORD,
            })
            .into()
    }

    /// Two of a server of `tests/servers`.
    pub(crate) fn real() -> (Self, Self) {
        ["user01@localhost", "user02@localhost"]
            .map(|jid| Self { jid, password: "pw" })
            .into()
    }

    fn describe(&self) -> Value {
        json!({"jid": self.jid, "password": self.password})
    }
}

pub(crate) fn world(control: SocketAddr, servers: impl Iterator<Item = (String, Value)>, pki: &Pki) -> Value {
    json!({
        "control": {"host": control.ip().to_string(), "port": control.port()},
        "ca": pki.seen("server-ca.crt"),
        "rogue_ca": pki.seen("rogue-ca.crt"),
        "servers": servers.collect::<Map<_, _>>(),
    })
}

pub(crate) fn server(place: &Place, [starttls, direct_tls]: [u16; 2], websocket: &str, bosh: &str, pki: &Pki) -> Value {
    let certificate = |name: &str| {
        json!({
            "jid": format!("alice@{CERTIFICATE_HOST}"),
            "cert": pki.seen(&format!("{name}.crt")),
            "key": pki.seen(&format!("{name}.key")),
            "p12": pki.seen(&format!("{name}.p12")),
            "p12_password": P12_PASSWORD,
        })
    };
    json!({
        "modern": place.modern,
        "tcp": {"host": "localhost", "port": starttls},
        "direct_tls": {"host": "localhost", "port": direct_tls},
        "websocket": websocket,
        "bosh": bosh,
        "certificate": certificate("alice"),
        "expired": certificate("expired"),
        "password": place.account.describe(),
        "other": place.other.describe(),
    })
}
