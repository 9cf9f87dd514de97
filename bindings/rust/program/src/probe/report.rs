//! What a probe found, for a person and for a program.

use epode::{Endpoint, TcpTls};
use serde_json::{Value, json};

use super::attempt::Facts;
use super::{Source, policy};
use crate::exit::Exit;
use crate::terminal::{Terminal, Tone, visible};

pub(super) struct Report<'a> {
    pub(super) domain: &'a str,
    /// Each question of the search, and its answer.
    pub(super) search: &'a [(String, String)],
    pub(super) facts: &'a [Facts],
    /// Endpoints that were not tried.
    pub(super) left_out: usize,
    pub(super) exit: Exit,
}

const HEADINGS: [&str; 6] = ["ENDPOINT", "FOUND BY", "WORKS", "TLS", "CERTIFICATE", "ASKS FOR YOURS"];

impl Report<'_> {
    pub(super) fn json(&self) {
        let out = Terminal::plain();
        for facts in self.facts {
            out.line(object(facts));
        }
        let search: Vec<Value> = self
            .search
            .iter()
            .map(|(question, answer)| json!({ "question": question, "answer": answer }))
            .collect();
        out.line(json!({
            "event": "summary",
            "domain": self.domain,
            "search": search,
            "endpoints": self.facts.len(),
            "working": self.working(),
            "not_tried": self.left_out,
            "status": self.exit.code(),
        }));
    }

    fn working(&self) -> usize {
        self.facts.iter().filter(|facts| facts.works()).count()
    }

    pub(super) fn print(&self, plain: bool) {
        let out = Terminal::stdout(plain);
        for (question, answer) in self.search {
            let text = format!("{}: {}", visible(question), visible(answer));
            out.line(out.paint(Tone::Quiet, text));
        }
        if !self.search.is_empty() {
            out.line("");
        }
        let rows: Vec<[String; 6]> = self.facts.iter().map(cells).collect();
        let widths = widths(&rows);
        out.line(out.paint(Tone::Strong, aligned(&HEADINGS.map(str::to_owned), &widths)));
        for (row, facts) in rows.iter().zip(self.facts) {
            let tone = match (facts.works(), facts.place.source) {
                (true, _) => Tone::Good,
                // Nobody said that there is anything.
                (false, Source::Guess) if !facts.reached() => Tone::Quiet,
                (false, _) => Tone::Bad,
            };
            out.line(out.paint(tone, aligned(row, &widths)));
            for (label, value) in details(facts) {
                out.line(format!("    {label:<18}{value}"));
            }
        }
        out.line("");
        let counted = match (self.working(), self.facts.len()) {
            (0, 0) => format!("{} has no endpoint", visible(self.domain)),
            (0, tried) => format!("none of {tried} endpoints works"),
            (working, tried) => format!("{working} of {tried} endpoints work"),
        };
        let tone = if self.exit == Exit::Fine { Tone::Good } else { Tone::Bad };
        out.line(out.paint(tone, counted));
        if self.left_out > 0 {
            out.line(format!("{} more were not tried", self.left_out));
        }
    }
}

fn cells(facts: &Facts) -> [String; 6] {
    let certificate = match facts.certificate() {
        Some(Ok(name)) => format!("valid for {}", visible(name)),
        Some(Err(_)) => "not accepted".to_owned(),
        None => "-".to_owned(),
    };
    let tls = match (&facts.link.tls_version, facts.link.encrypted) {
        (Some(version), _) => visible(version),
        (None, true) => "yes".to_owned(),
        (None, false) if facts.link.connected && facts.end.is_some() => "no".to_owned(),
        (None, false) => "-".to_owned(),
    };
    let works = if facts.works() {
        "yes"
    } else if facts.reached() {
        "no"
    } else {
        "unreachable"
    };
    let asked = match facts.link.asked {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    };
    [
        visible(&name(&facts.place.endpoint)),
        facts.place.source.name().to_owned(),
        works.to_owned(),
        tls,
        certificate,
        asked.to_owned(),
    ]
}

/// What does not fit into a row.
fn details(facts: &Facts) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(failure) = facts.failure() {
        // A guess that nobody answers at needs no reason.
        if facts.reached() || facts.place.source != Source::Guess {
            lines.push(("why", visible(&failure)));
        }
    }
    if facts.features.is_some() {
        let list = |names: Vec<String>| match names.is_empty() {
            true => "none".to_owned(),
            false => visible(&names.join(", ")),
        };
        lines.push(("mechanisms", list(facts.mechanisms())));
        let bindings = facts.channel_bindings();
        lines.push(("channel bindings", bindings.map_or_else(|| "not said".to_owned(), list)));
        lines.push(("features", list(facts.features())));
    }
    lines
}

fn name(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp { host, port, tls } => {
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.clone()
            };
            let how = if *tls == TcpTls::Direct {
                "direct TLS"
            } else {
                "STARTTLS"
            };
            format!("{host}:{port} {how}")
        }
        Endpoint::WebSocket { url } | Endpoint::Bosh { url } => url.clone(),
        // Not an enum of this crate.
        _ => "an endpoint".to_owned(),
    }
}

fn object(facts: &Facts) -> Value {
    let (host, port, tls, url) = match &facts.place.endpoint {
        Endpoint::Tcp { host, port, tls } => {
            let tls = if *tls == TcpTls::Direct { "direct" } else { "starttls" };
            (Some(host), Some(port), Some(tls), None)
        }
        Endpoint::WebSocket { url } | Endpoint::Bosh { url } => (None, None, None, Some(url)),
        // Not an enum of this crate.
        _ => (None, None, None, None),
    };
    let certificate = facts.certificate();
    json!({
        "event": "endpoint",
        "endpoint": name(&facts.place.endpoint),
        "transport": facts.place.endpoint.kind().name(),
        "host": host,
        "port": port,
        "tls": tls,
        "url": url,
        "found_by": facts.place.source.name(),
        "plain_text_allowed": policy(&facts.place.endpoint) == epode::TlsPolicy::AllowPlaintext,
        "reachable": facts.reached(),
        "works": facts.works(),
        "encrypted": facts.link.encrypted,
        "tls_version": facts.link.tls_version,
        "certificate": {
            "valid": certificate.map(|certificate| certificate.is_ok()),
            "name": certificate.and_then(Result::ok),
            "reason": certificate.and_then(Result::err),
        },
        "client_certificate_requested": facts.link.asked,
        "mechanisms": facts.mechanisms(),
        "channel_bindings": facts.channel_bindings(),
        "features": facts.features(),
        "features_xml": facts.features.as_ref().map(epode::Element::to_xml),
        "failure": facts.failure(),
        "milliseconds": u64::try_from(facts.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

fn widths(rows: &[[String; 6]]) -> [usize; 6] {
    let mut widths = HEADINGS.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn aligned(row: &[String; 6], widths: &[usize; 6]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&format!("{cell:<width$}  "));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use epode::xml::XmlLimits;
    use epode::{Element, Offline};

    use super::super::Place;
    use super::super::attempt::Link;
    use super::*;

    fn facts(features: &str) -> Facts {
        Facts {
            place: Place {
                endpoint: Endpoint::Tcp {
                    host: "xmpp.example.org".into(),
                    port: 5222,
                    tls: TcpTls::StartTls,
                },
                source: Source::Srv,
            },
            link: Link {
                connected: true,
                encrypted: true,
                tls_version: Some("1.3".into()),
                name: Some("example.org".into()),
                asked: Some(true),
            },
            features: Some(Element::parse(features.as_bytes(), &XmlLimits::default()).unwrap()),
            end: Some(Offline::Stopped),
            elapsed: std::time::Duration::from_millis(7),
        }
    }

    const FEATURES: &str = "<features xmlns='http://etherx.jabber.org/streams'>\
        <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism>\
        <mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms>\
        <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>\
        <authentication xmlns='urn:xmpp:sasl:2'><mechanism>EXTERNAL</mechanism><mechanism>HT-SHA-256-EXPR</mechanism>\
        </authentication><other xmlns='urn:example:1&#x9b;'/></features>";

    #[test]
    fn features_are_told_apart() {
        let facts = facts(FEATURES);
        assert!(facts.works() && facts.failure().is_none());
        let object = object(&facts);
        assert_eq!(
            object["mechanisms"],
            json!(["EXTERNAL", "SCRAM-SHA-1-PLUS", "HT-SHA-256-EXPR"])
        );
        assert_eq!(object["channel_bindings"], json!(["tls-exporter"]));
        assert_eq!(
            object["features"],
            json!(["SASL2 (XEP-0388)", "other (urn:example:1\u{9b})"])
        );
        assert_eq!(object["certificate"]["name"], "example.org");
        assert_eq!(
            cells(&facts).join("|"),
            "xmpp.example.org:5222 STARTTLS|srv|yes|1.3|valid for example.org|yes"
        );
        // What a server calls its features cannot steer the terminal.
        assert!(details(&facts).iter().all(|(_, value)| !value.contains('\u{9b}')));
    }

    #[test]
    fn an_offer_without_mechanisms_or_without_tls_does_not_work() {
        let nothing = facts("<features xmlns='http://etherx.jabber.org/streams'/>");
        assert!(!nothing.works());
        assert_eq!(nothing.exit(), Exit::Protocol);
        let mut plain = facts(FEATURES);
        plain.link.encrypted = false;
        assert!(!plain.works());
    }

    #[test]
    fn columns_stand_below_their_headings() {
        let row = cells(&facts(FEATURES));
        let widths = widths(std::slice::from_ref(&row));
        let (head, line) = (aligned(&HEADINGS.map(str::to_owned), &widths), aligned(&row, &widths));
        assert_eq!(head.find("FOUND BY"), line.find("srv"));
        assert_eq!(head.find("CERTIFICATE"), line.find("valid for"));
    }
}
