//! Where the server under test is: what `tests/servers` wrote.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::Value;

const SERVER: &str = "prosody-13";

/// The server, and the folder of the certificates.
#[derive(Debug)]
pub(crate) struct Server {
    fields: Value,
    pub(crate) pki: PathBuf,
}

impl Server {
    pub(crate) fn find() -> Result<Self, Box<dyn Error>> {
        let path = std::env::var_os("EPODE_SERVERS")
            .ok_or("EPODE_SERVERS is not set: it names the servers.json of `tests/servers/server up`; see --help")?;
        let all: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        let fields = all
            .pointer(&format!("/servers/{SERVER}"))
            .ok_or("prosody-13 is not up")?;
        let pki = all.get("pki").and_then(Value::as_str).ok_or("no certificates")?;
        Ok(Self {
            fields: fields.clone(),
            pki: pki.into(),
        })
    }

    pub(crate) fn text(&self, field: &str) -> Result<&str, Box<dyn Error>> {
        let text = self.fields.get(field).and_then(Value::as_str);
        Ok(text.ok_or_else(|| format!("{SERVER} has no {field}"))?)
    }

    pub(crate) fn address(&self, field: &str) -> Result<SocketAddr, Box<dyn Error>> {
        let port = self.fields.get(field).and_then(Value::as_u64);
        let port = port.and_then(|port| u16::try_from(port).ok());
        Ok((
            Ipv4Addr::LOCALHOST,
            port.ok_or_else(|| format!("{SERVER} has no {field}"))?,
        )
            .into())
    }

    /// Kills the server, and starts it again with the same ports and data.
    pub(crate) async fn crash(&self) -> Result<(), Box<dyn Error>> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../servers/server");
        for word in ["kill", "revive"] {
            let mut command = std::process::Command::new(script);
            command.arg(word).arg(SERVER).arg(self.text("run")?);
            let output = tokio::task::spawn_blocking(move || command.output()).await??;
            if !output.status.success() {
                return Err(format!("server {word}: {}", String::from_utf8_lossy(&output.stderr)).into());
            }
        }
        Ok(())
    }
}
