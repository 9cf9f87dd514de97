//! `epode cert show`: what a certificate says, and what would keep its owner from logging in with it.

use std::{fmt, fmt::Write as _, time::SystemTime};

use epode::certificate::{ClientCertificate, XmppAddress};
use epode::jid::{Jid, JidError};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

use super::{date, shown, timestamp};
use crate::{
    cli::CertShowArgs,
    exit::{Exit, Failure},
    identity::{self, Contents},
    prompt,
    terminal::{Terminal, Tone, visible},
};

/// sha1WithRSAEncryption and ecdsa-with-SHA1 (RFC 3279 §2.2.1, §2.2.3).
const SHA1_SIGNATURES: [&str; 2] = ["1.2.840.113549.1.1.5", "1.2.840.10045.4.1"];

/// `epode cert show`; `now` decides what has expired.
///
/// # Errors
/// A file cannot be read. A certificate with problems is no error: it gives [`Exit::Other`].
pub fn show(args: &CertShowArgs, now: SystemTime) -> Result<Exit, Failure> {
    let contents = Contents::read(&args.file, prompt::passphrase_of)?;
    let file = shown(&args.file);
    let certificate = contents
        .chain
        .first()
        .ok_or_else(|| Failure::usage(format!("{file} holds no certificate")))?;
    let key = match &args.key {
        Some(path) => Some(identity::load_key(path)?),
        None => contents.key,
    };
    let key = key.map(|key| identity::key_belongs_to(&key, certificate));
    let report = Report::of(certificate, key, contents.chain.len(), now.into())?;
    let terminal = Terminal::stdout(args.output.plain);
    if args.output.json {
        terminal.line(report.json());
    } else {
        terminal.line(report.text(terminal, &file));
    }
    Ok(if report.problems.is_empty() {
        Exit::Fine
    } else {
        Exit::Other
    })
}

/// Something that would keep a client from logging in with the certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Its time is over.
    Expired {
        /// Since when.
        since: OffsetDateTime,
        /// Whole days since then.
        days: i64,
    },
    /// Its time has not come.
    NotYetValid {
        /// From when it is valid.
        from: OffsetDateTime,
    },
    /// There is no id-on-xmppAddr.
    NoXmppAddress,
    /// An id-on-xmppAddr is no UTF8String.
    WrongStringType {
        /// Its text.
        text: String,
    },
    /// An id-on-xmppAddr is no text at all.
    NotText,
    /// An id-on-xmppAddr is no JID.
    NotAJid {
        /// Its text.
        text: String,
        /// Why not.
        error: JidError,
    },
    /// An id-on-xmppAddr names a server.
    NotAnAccount {
        /// The address.
        address: String,
    },
    /// It is limited to uses other than being a client.
    NotForClients,
    /// Its key may not sign, which TLS needs.
    MayNotSign,
    /// The key beside it is another's.
    KeyMismatch,
    /// The key beside it cannot be used at all.
    UnusableKey {
        /// Why.
        detail: String,
    },
    /// It is signed with SHA-1.
    Sha1,
    /// Its RSA key is too small.
    SmallKey {
        /// Its size.
        bits: usize,
    },
    /// An extension cannot be read.
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
}

impl Problem {
    /// A name for programs; it does not change.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::NoXmppAddress => "no-xmpp-address",
            Self::WrongStringType { .. } => "wrong-string-type",
            Self::NotText => "not-text",
            Self::NotAJid { .. } => "not-a-jid",
            Self::NotAnAccount { .. } => "not-an-account",
            Self::NotForClients => "not-for-clients",
            Self::MayNotSign => "may-not-sign",
            Self::KeyMismatch => "key-mismatch",
            Self::UnusableKey { .. } => "unusable-key",
            Self::Sha1 => "sha1",
            Self::SmallKey { .. } => "small-key",
            Self::Malformed { .. } => "malformed",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { since, days } => write!(f, "it expired on {}, {days} days ago; make a new one", date(*since)),
            Self::NotYetValid { from } => {
                write!(f, "it is not yet valid: it begins on {}; is the clock of this machine right?", date(*from))
            }
            Self::NoXmppAddress => {
                f.write_str("it names no XMPP address (no id-on-xmppAddr in subjectAltName), so a server cannot tell whose it is")
            }
            Self::WrongStringType { text } => write!(
                f,
                "the XMPP address '{}' is not a UTF8String, as RFC 6120 §13.7.1.4 wants it; some servers refuse it, others do not",
                visible(text)
            ),
            Self::NotText => f.write_str("an XMPP address in it is no text (RFC 6120 §13.7.1.4 wants a UTF8String)"),
            Self::NotAJid { text, error } => write!(f, "the XMPP address '{}' is no valid address: {error}", visible(text)),
            Self::NotAnAccount { address } => write!(f, "the XMPP address '{address}' is that of a server, not of an account"),
            Self::NotForClients => {
                f.write_str("it is not for clients: its extendedKeyUsage lacks clientAuth, so servers that check the purpose refuse it")
            }
            Self::MayNotSign => f.write_str("its keyUsage lacks digitalSignature, which a client needs to prove in TLS that the key is its own"),
            Self::KeyMismatch => f.write_str("the private key does not belong to this certificate"),
            Self::UnusableKey { detail } => f.write_str(detail),
            Self::Sha1 => f.write_str("it is signed with SHA-1, which servers of today refuse"),
            Self::SmallKey { bits } => write!(f, "its RSA key has {bits} bits; servers of today want 2048 or more"),
            Self::Malformed { detail } => write!(f, "it is malformed: {}", visible(detail)),
        }
    }
}

// Names in a certificate other than addresses of XMPP, with the kind in front: "DNS", "example.org".
type OtherName = (&'static str, String);

/// What `show` found; [`Report::text`] and [`Report::json`] say the same.
#[derive(Debug)]
struct Report {
    subject: String,
    issuer: String,
    self_signed: bool,
    authority: bool,
    addresses: Vec<XmppAddress>,
    other_names: Vec<OtherName>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    days_left: i64,
    key: String,
    usages: Vec<String>,
    sha256: String,
    certificates: usize,
    key_matches: Option<bool>,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl Report {
    fn of(
        der: &CertificateDer<'_>,
        key: Option<Result<bool, Failure>>,
        certificates: usize,
        now: OffsetDateTime,
    ) -> Result<Self, Failure> {
        let (_, parsed) = X509Certificate::from_der(der)
            .map_err(|error| Failure::usage(format!("the certificate cannot be read: {error}")))?;
        let client = ClientCertificate::from_der(der);
        let addresses = client
            .as_ref()
            .map(|client| client.xmpp_addresses().to_vec())
            .unwrap_or_default();
        // An authority names no account and need not; but many guides make client certificates with CA:TRUE.
        let authority = parsed.is_ca() && addresses.is_empty();
        let mut report = Self {
            subject: visible(&parsed.subject().to_string()),
            issuer: visible(&parsed.issuer().to_string()),
            self_signed: parsed.subject().as_raw() == parsed.issuer().as_raw(),
            authority,
            addresses,
            other_names: other_names(&parsed),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            days_left: 0,
            key: key_kind(&parsed),
            usages: usages(&parsed),
            sha256: fingerprint(der),
            certificates,
            key_matches: key.as_ref().and_then(|key| key.as_ref().ok().copied()),
            problems: Vec::new(),
            notes: Vec::new(),
        };
        report.days_left = (report.not_after - now).whole_days();
        report.judge_time(now);
        if let Err(error) = &client {
            report.problems.push(Problem::Malformed {
                detail: error.to_string(),
            });
        }
        if !authority {
            report.judge_names(client.is_ok());
            report.judge_usage(&parsed);
        }
        report.judge_strength(&parsed);
        match key {
            Some(Ok(false)) => report.problems.push(Problem::KeyMismatch),
            Some(Err(failure)) => report.problems.push(Problem::UnusableKey {
                detail: failure.message,
            }),
            Some(Ok(true)) | None => {}
        }
        Ok(report)
    }

    fn judge_time(&mut self, now: OffsetDateTime) {
        if now > self.not_after {
            self.problems.push(Problem::Expired {
                since: self.not_after,
                days: -self.days_left,
            });
        } else if now < self.not_before {
            self.problems.push(Problem::NotYetValid { from: self.not_before });
        } else if self.days_left < 30 {
            self.notes.push("it expires soon".into());
        }
    }

    fn judge_names(&mut self, readable: bool) {
        if self.addresses.is_empty() && readable {
            self.problems.push(Problem::NoXmppAddress);
        }
        if self.addresses.len() > 1 {
            self.notes.push(
                "it names several addresses: the client has to say which one it means, and not every server lets it"
                    .into(),
            );
        }
        for address in &self.addresses {
            match address {
                XmppAddress::Valid(jid) if jid.local().is_none() => {
                    self.problems.push(Problem::NotAnAccount {
                        address: jid.to_string(),
                    });
                }
                XmppAddress::Valid(_) => {}
                XmppAddress::WithResource(jid) => {
                    self.notes.push(format!(
                        "servers ignore the part after '/' in '{}'",
                        visible(jid.as_str())
                    ));
                }
                XmppAddress::WrongStringType { text, .. } => {
                    self.problems.push(Problem::WrongStringType { text: text.clone() });
                    if let Err(error) = Jid::parse(text) {
                        self.problems.push(Problem::NotAJid {
                            text: text.clone(),
                            error,
                        });
                    }
                }
                XmppAddress::NotAJid { text, error } => {
                    self.problems.push(Problem::NotAJid {
                        text: text.clone(),
                        error: error.clone(),
                    });
                }
                XmppAddress::NotText => self.problems.push(Problem::NotText),
                // The core may learn to tell more kinds apart.
                other => self.notes.push(format!(
                    "it has an address that this program does not know: {}",
                    visible(&format!("{other:?}"))
                )),
            }
        }
    }

    fn judge_usage(&mut self, parsed: &X509Certificate<'_>) {
        match parsed.extended_key_usage() {
            // RFC 5280 §4.2.1.12: without the extension, any use is meant.
            Ok(None) => self
                .notes
                .push("it has no extendedKeyUsage; servers take that as allowed for clients".into()),
            Ok(Some(usage)) if !(usage.value.client_auth || usage.value.any) => {
                self.problems.push(Problem::NotForClients)
            }
            Ok(Some(_)) => {}
            Err(_) => self.problems.push(Problem::Malformed {
                detail: "it has extendedKeyUsage twice".into(),
            }),
        }
        // RFC 5280 §4.2.1.3, RFC 8446 §4.4.2.2.
        match parsed.key_usage() {
            Ok(Some(usage)) if !usage.value.digital_signature() => self.problems.push(Problem::MayNotSign),
            Ok(Some(_) | None) => {}
            Err(_) => self.problems.push(Problem::Malformed {
                detail: "it has keyUsage twice".into(),
            }),
        }
        if parsed.is_ca() {
            self.notes
                .push("it says that it is an authority (CA:TRUE), which a client's certificate should not".into());
        }
    }

    fn judge_strength(&mut self, parsed: &X509Certificate<'_>) {
        // Nobody checks the signature of what signs itself.
        let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
        if !self.self_signed && SHA1_SIGNATURES.contains(&algorithm.as_str()) {
            self.problems.push(Problem::Sha1);
        }
        if let Some(bits) = rsa_bits(parsed)
            && bits < 2048
        {
            self.problems.push(Problem::SmallKey { bits });
        }
    }

    fn text(&self, terminal: Terminal, file: &str) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let mut row = |name: &str, value: &dyn fmt::Display| {
            let _ = writeln!(text, "  {:<12}{value}", name);
        };
        for address in &self.addresses {
            row(
                "XMPP address",
                &format_args!("  {}", terminal.paint(Tone::Strong, visible(address_text(address)))),
            );
        }
        for (kind, name) in &self.other_names {
            row(kind, &format_args!("  {name}"));
        }
        row("subject", &format_args!("  {}", self.subject));
        if self.self_signed {
            row("issuer", &"  itself");
        } else {
            row("issuer", &format_args!("  {}", self.issuer));
        }
        row("valid from", &format_args!("  {}", date(self.not_before)));
        let left = match self.days_left {
            left if self.problems.iter().any(|problem| problem.code() == "expired") => format!("{} days ago", -left),
            1 => "1 day left".into(),
            left => format!("{left} days left"),
        };
        row("valid until", &format_args!("  {} ({left})", date(self.not_after)));
        row(
            "use",
            &format_args!(
                "  {}",
                if self.usages.is_empty() {
                    "any".into()
                } else {
                    self.usages.join(", ")
                }
            ),
        );
        row("key", &format_args!("  {}", self.key));
        row("SHA-256", &format_args!("  {}", self.sha256));
        if self.certificates > 1 {
            row(
                "with",
                &format_args!("  {} more certificate(s) in the file", self.certificates - 1),
            );
        }
        if self.key_matches == Some(true) {
            row("private key", &"  belongs to it");
        }
        let kind = if self.authority {
            "a certificate authority"
        } else {
            "a client certificate"
        };
        let mut whole = format!("{} ({kind})\n{text}", terminal.paint(Tone::Strong, file));
        for note in &self.notes {
            let _ = writeln!(whole, "\n{} {note}", terminal.paint(Tone::Warning, "note:"));
        }
        for problem in &self.problems {
            let _ = writeln!(whole, "\n{} {problem}", terminal.paint(Tone::Bad, "wrong:"));
        }
        if self.problems.is_empty() {
            let _ = write!(whole, "\n{}", terminal.paint(Tone::Good, "Nothing is wrong with it."));
        }
        whole.trim_end().into()
    }

    fn json(&self) -> Value {
        let addresses: Vec<Value> = self
            .addresses
            .iter()
            .map(|address| {
                json!({
                    "text": address_text(address),
                    "account": address.bare().map(|jid| jid.to_string()),
                    "utf8": matches!(address, XmppAddress::Valid(_) | XmppAddress::WithResource(_) | XmppAddress::NotAJid { .. }),
                })
            })
            .collect();
        let names: Vec<Value> = self
            .other_names
            .iter()
            .map(|(kind, name)| json!({ "kind": kind, "name": name }))
            .collect();
        let problems: Vec<Value> = self
            .problems
            .iter()
            .map(|problem| json!({ "code": problem.code(), "text": problem.to_string() }))
            .collect();
        json!({
            "subject": self.subject,
            "issuer": self.issuer,
            "self_signed": self.self_signed,
            "authority": self.authority,
            "xmpp_addresses": addresses,
            "other_names": names,
            "not_before": timestamp(self.not_before),
            "not_after": timestamp(self.not_after),
            "days_left": self.days_left,
            "key": self.key,
            "usages": self.usages,
            "sha256": self.sha256,
            "certificates": self.certificates,
            "key_matches": self.key_matches,
            "problems": problems,
            "notes": self.notes,
        })
    }
}

fn address_text(address: &XmppAddress) -> &str {
    match address {
        XmppAddress::Valid(jid) => jid.as_str(),
        XmppAddress::WithResource(jid) => jid.as_str(),
        XmppAddress::WrongStringType { text, .. } | XmppAddress::NotAJid { text, .. } => text,
        XmppAddress::NotText | _ => "(no text)",
    }
}

fn other_names(parsed: &X509Certificate<'_>) -> Vec<OtherName> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    extension.value.general_names.iter().filter_map(other_name).collect()
}

fn other_name(name: &GeneralName<'_>) -> Option<OtherName> {
    match name {
        GeneralName::DNSName(name) => Some(("DNS", visible(name))),
        GeneralName::RFC822Name(name) => Some(("e-mail", visible(name))),
        GeneralName::URI(name) => Some(("URI", visible(name))),
        GeneralName::IPAddress(octets) => Some(("IP", ip(octets)?)),
        // The core reads the addresses of XMPP.
        GeneralName::OtherName(kind, _) if kind.to_id_string() == "1.3.6.1.5.5.7.8.5" => None,
        GeneralName::OtherName(kind, _) => Some(("other", kind.to_id_string())),
        GeneralName::DirectoryName(name) => Some(("directory", visible(&name.to_string()))),
        GeneralName::RegisteredID(id) => Some(("id", id.to_id_string())),
        GeneralName::X400Address(_) | GeneralName::EDIPartyName(_) | GeneralName::Invalid(..) => None,
    }
}

fn ip(octets: &[u8]) -> Option<String> {
    <[u8; 4]>::try_from(octets)
        .map(|v4| std::net::IpAddr::from(v4).to_string())
        .or_else(|_| <[u8; 16]>::try_from(octets).map(|v6| std::net::IpAddr::from(v6).to_string()))
        .ok()
}

fn usages(parsed: &X509Certificate<'_>) -> Vec<String> {
    let mut usages = Vec::new();
    if let Ok(Some(usage)) = parsed.key_usage() {
        usages.extend(
            usage
                .value
                .to_string()
                .split(", ")
                .filter(|name| !name.is_empty())
                .map(str::to_lowercase),
        );
    }
    if let Ok(Some(usage)) = parsed.extended_key_usage() {
        let usage = usage.value;
        let named = [
            (usage.any, "any use"),
            (usage.client_auth, "clientAuth"),
            (usage.server_auth, "serverAuth"),
            (usage.email_protection, "emailProtection"),
            (usage.code_signing, "codeSigning"),
            (usage.time_stamping, "timeStamping"),
            (usage.ocsp_signing, "OCSPSigning"),
        ];
        usages.extend(
            named
                .into_iter()
                .filter(|(present, _)| *present)
                .map(|(_, name)| name.to_string()),
        );
        usages.extend(usage.other.iter().map(x509_parser::der_parser::Oid::to_id_string));
    }
    usages
}

fn key_kind(parsed: &X509Certificate<'_>) -> String {
    match parsed.public_key().parsed() {
        Ok(PublicKey::EC(point)) => format!("EC, {} bits", point.key_size()),
        Ok(PublicKey::RSA(_)) => format!("RSA, {} bits", rsa_bits(parsed).unwrap_or_default()),
        // RFC 8410 §3.
        Ok(PublicKey::Unknown(_)) if parsed.public_key().algorithm.algorithm.to_id_string() == "1.3.101.112" => {
            "Ed25519".into()
        }
        Ok(_) | Err(_) => format!("of the kind {}", parsed.public_key().algorithm.algorithm.to_id_string()),
    }
}

fn rsa_bits(parsed: &X509Certificate<'_>) -> Option<usize> {
    let Ok(PublicKey::RSA(key)) = parsed.public_key().parsed() else {
        return None;
    };
    // The modulus without the zero octets that keep an INTEGER positive.
    let octets = key.modulus.iter().skip_while(|octet| **octet == 0).count();
    Some(octets * 8)
}

/// The SHA-256 of a certificate, as other programs write it.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    let hexadecimal: Vec<String> = Sha256::digest(der).iter().map(|octet| format!("{octet:02X}")).collect();
    hexadecimal.join(":")
}
