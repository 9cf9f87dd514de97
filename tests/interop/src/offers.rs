//! What each server offers before a login, as `tests/servers/offers.json` has it; `tests/servers/check` compares it with the servers.

use serde_json::Value;

use crate::{Broken, Way};

const OFFERS: &str = include_str!("../../servers/offers.json");

/// What a host of a server offers over one transport.
#[derive(Debug, Default)]
pub struct Offer {
    /// The mechanisms of SASL1 (RFC 6120 §6.3.3).
    pub sasl: Vec<String>,
    /// The mechanisms of SASL2 (XEP-0388 §2.3).
    pub sasl2: Vec<String>,
    /// The mechanisms for login tokens (XEP-0484 §3.1).
    pub fast: Vec<String>,
    /// The types of channel binding (XEP-0440).
    pub channel_bindings: Vec<String>,
    /// Accounts can be registered (XEP-0077).
    pub register: bool,
}

impl Offer {
    /// Nothing, where the server has no such host.
    pub(crate) fn of(server: &str, host: &str, way: Way) -> Result<Self, Broken> {
        let offers: Value = serde_json::from_str(OFFERS)?;
        let over = match way {
            Way::StartTls => "starttls",
            Way::DirectTls => "direct_tls",
            Way::WebSocket => "websocket",
            Way::Bosh => "bosh",
            Way::HostMeta(_) => return Err("what is offered depends on what host-meta says".into()),
        };
        let hosts = offers.get(server).ok_or_else(|| format!("no offers of {server}"))?;
        let Some(groups) = hosts.get(host).and_then(Value::as_array) else {
            return Ok(Self::default());
        };
        let group = groups
            .iter()
            .find(|group| texts(group, "over").iter().any(|name| name == over));
        let group = group.ok_or_else(|| format!("no offer of {server} for {host} over {over}"))?;
        Ok(Self {
            sasl: texts(group, "sasl"),
            sasl2: texts(group, "sasl2"),
            fast: texts(group, "fast"),
            channel_bindings: texts(group, "channel_bindings"),
            register: group.get("register").and_then(Value::as_bool).unwrap_or_default(),
        })
    }
}

fn texts(group: &Value, field: &str) -> Vec<String> {
    let list = group.get(field).and_then(Value::as_array).map(Vec::as_slice);
    let texts = list.unwrap_or_default().iter().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
