//! The certificates that log in to the account (XEP-0257): how a user enrols one without an administrator.
//!
//! With a password, or with another certificate, the user adds a certificate; from then on it logs in by SASL EXTERNAL. Whether a
//! server has this, its features say (XEP-0030, [`NAMESPACE`]), or its answer: [`Refusal::NotOffered`].
//!
//! ```
//! use epode::certificates::{self, Management, Refusal, Request};
//! use epode::xml::{Element, XmlLimits};
//! use epode::{StanzaError, StanzaErrorType};
//!
//! // XEP-0257 §2.1: a certificate gets a name of its own...
//! # const EXAMPLE: &str = concat!(
//! #     "MIICCTCCAXKgAwIBAgIJALhU0Id6xxwQMA0GCSqGSIb3DQEBBQUAMA4xDDAKBgNVBAMTA2ZvbzAeFw0wNzEyMjgyMDA1MTRaFw0w",
//! #     "ODEyMjcyMDA1MTRaMA4xDDAKBgNVBAMTA2ZvbzCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEA0DPcfeJzKWLGE22pRMINLKr+",
//! #     "CxqozF14DqkXkLUwGzTqYRi49yK6aebZ9ssFspTTjqa2uNpw1U32748tqU6bpACWHbcC+eZ/hm5KymXBhL3Vjfb/dW0xrtxjI9JR",
//! #     "FgrgWAyxndlNZUpN2s3DhKDfVgpPSx/Zp8d/ubbARxqZZZkCAwEAAaNvMG0wHQYDVR0OBBYEFJWwFqmSRGcxYXmQfdF+XBWkeML4",
//! #     "MD4GA1UdIwQ3MDWAFJWwFqmSRGcxYXmQfdF+XBWkeML4oRKkEDAOMQwwCgYDVQQDEwNmb2+CCQC4VNCHesccEDAMBgNVHRMEBTAD",
//! #     "AQH/MA0GCSqGSIb3DQEBBQUAA4GBAIhlUeGZ0d0msNVxYWAXg2lRsJt9INHJQTCJMmoUeTtaRjypffJtuopguNNBDn+MjrEp2/+z",
//! #     "LNMahDYLXaTVmBf6zvY0hzB9Ih0kNTh23Fb5j+yKQChPXQUo0EGCaODWhfhKRNdseUozfNWOz9iTgMGw8eYNLllQRL//iAOfOr/8",
//! # );
//! # use base64::Engine;
//! # let der = base64::engine::general_purpose::STANDARD.decode(EXAMPLE).map_err(|error| error.to_string())?;
//! let request = certificates::append("Mobile Client", &der, Management::Allowed)?;
//! assert!(request.to_xml().contains("<name>Mobile Client</name><x509cert>MII"));
//! // ...which the server refuses if it is taken.
//! let refusal = Refusal::new(Request::Append, StanzaError::new(StanzaErrorType::Cancel, "conflict"));
//! assert_eq!(refusal.to_string(), "there is a certificate of that name already: choose another name, or disable that one first");
//!
//! // XEP-0257 §2.2: all of them, and who is logged in with which.
//! assert_eq!(
//!     certificates::list()?.to_xml(),
//!     "<iq xmlns='jabber:client' type='get'><items xmlns='urn:xmpp:saslcert:1'/></iq>"
//! );
//! # let answer = request.to_xml()
//! #     .replace("type='set'><append xmlns='urn:xmpp:saslcert:1'>", "type='result'><items xmlns='urn:xmpp:saslcert:1'><item>")
//! #     .replace("</append>", "<users><resource>Phone</resource></users></item></items>");
//! # let answer = Element::parse(answer, &XmlLimits::default())?;
//! for certificate in certificates::read_list(&answer)? {
//!     assert_eq!(certificate.name, "Mobile Client");
//!     assert_eq!(certificate.der, der);
//!     assert_eq!(certificate.resources, ["Phone"]);
//! }
//!
//! // XEP-0257 §2.4: a device was stolen.
//! assert_eq!(
//!     certificates::revoke("Mobile Client")?.to_xml(),
//!     "<iq xmlns='jabber:client' type='set'><revoke xmlns='urn:xmpp:saslcert:1'><name>Mobile Client</name></revoke></iq>"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::certificate::{CertificateError, ClientCertificate, MAX_CERTIFICATE_OCTETS};
use crate::input::StanzaError;
use crate::link::shorten;
use crate::stanza;
use crate::xml::{Element, ElementBuilder, ElementRef};

/// What a server that has this says in its features (XEP-0257 §4).
pub const NAMESPACE: &str = "urn:xmpp:saslcert:1";

/// The longest name of a new certificate, in octets: enough for a person, and little in every list.
pub const MAX_NAME_OCTETS: usize = 256;

/// Whether a client that is logged in with a certificate may add and remove certificates (XEP-0257 §2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Management {
    /// It may: for a user's own device.
    #[default]
    Allowed,
    /// It may not (`<no-cert-management/>`): for a bot, and for whatever is easily stolen.
    Forbidden,
}

/// A certificate that logs in to the account (XEP-0257 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// Its name among the account's certificates: the server's text, so not to be shown raw.
    pub name: String,
    /// The certificate (DER), as the server keeps it. It is what somebody uploaded:
    /// [`ClientCertificate::from_der`] says what is in it, if it is one.
    pub der: Vec<u8>,
    /// The resources that are logged in with it now, as far as the server tells.
    pub resources: Vec<String>,
    /// What the server says of it; [`Management::Allowed`] also where it says nothing.
    pub management: Management,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// [`list`].
    List,
    /// [`append`].
    Append,
    /// [`disable`].
    Disable,
    /// [`revoke`].
    Revoke,
}

/// Asks for the account's certificates (XEP-0257 §2.2); [`read_list`] reads the answer.
///
/// # Errors
/// None that a caller can cause.
pub fn list() -> Result<Element, InvalidRequest> {
    finish(stanza::get(None, Element::builder(NAMESPACE, "items")))
}

/// Adds a certificate to the account, under a name that none of the others has (XEP-0257 §2.1). From the answer on, it logs in
/// by SASL EXTERNAL. It should name the account (XEP-0178 §2); some servers take no other.
///
/// # Errors
/// The name is empty, too long or has control characters, or the bytes are no certificate: a private key that was taken for one
/// is not uploaded.
pub fn append(name: &str, der: &[u8], management: Management) -> Result<Element, InvalidRequest> {
    let is_name = name.len() <= MAX_NAME_OCTETS && !name.contains(char::is_control);
    if !is_name || name.trim() != name {
        return Err(InvalidRequest::Name);
    }
    ClientCertificate::from_der(der).map_err(InvalidRequest::Certificate)?;
    let mut request = named("append", name)?;
    if management == Management::Forbidden {
        request = request.child(Element::builder(NAMESPACE, "no-cert-management"));
    }
    let certificate = Element::builder(NAMESPACE, "x509cert").text(&STANDARD.encode(der));
    finish(stanza::set(None, request.child(certificate)))
}

/// Takes a certificate from the account: it logs in no more (XEP-0257 §2.3). Who is logged in with it stays so.
///
/// # Errors
/// The name is empty, or cannot be written in XML.
pub fn disable(name: &str) -> Result<Element, InvalidRequest> {
    finish(stanza::set(None, named("disable", name)?))
}

/// As [`disable`], and the server ends the streams of those that are logged in with it (XEP-0257 §2.4): for a device that was
/// stolen.
///
/// # Errors
/// As [`disable`].
pub fn revoke(name: &str) -> Result<Element, InvalidRequest> {
    finish(stanza::set(None, named("revoke", name)?))
}

fn named(element: &str, name: &str) -> Result<ElementBuilder, InvalidRequest> {
    if name.is_empty() {
        return Err(InvalidRequest::Name);
    }
    let name = Element::builder(NAMESPACE, "name").text(name);
    Ok(Element::builder(NAMESPACE, element).child(name))
}

/// Only a name can hold what XML does not.
fn finish(iq: Result<Element, crate::xml::InvalidXml>) -> Result<Element, InvalidRequest> {
    iq.map_err(|_| InvalidRequest::Name)
}

/// Reads the answer to [`list`] (XEP-0257 §2.2). White space within a certificate is fine, as the examples there have it, and so are
/// the lines around one that came to the server as PEM (RFC 7468 §3).
///
/// # Errors
/// It is no list, or something in it cannot be told apart or read: then nothing of it is trusted.
pub fn read_list(answer: &Element) -> Result<Vec<Certificate>, InvalidList> {
    let items = answer.child(NAMESPACE, "items").ok_or(InvalidList::NoList)?;
    let mut certificates = Vec::new();
    let mut names = BTreeSet::new();
    for item in items.children().filter(|child| child.is(NAMESPACE, "item")) {
        let certificate = read(item)?;
        // XEP-0257 §2.1: names are unique, or nobody knows what one disables.
        if !names.insert(certificate.name.clone()) {
            return Err(InvalidList::DuplicateName {
                name: shorten(&certificate.name),
            });
        }
        certificates.push(certificate);
    }
    Ok(certificates)
}

fn read(item: ElementRef<'_>) -> Result<Certificate, InvalidList> {
    let only = |name: &str| {
        let mut children = item.children().filter(|child| child.is(NAMESPACE, name));
        let first = children.next().map(|child| child.text());
        first.filter(|text| children.next().is_none() && !text.is_empty())
    };
    let name = only("name").ok_or(InvalidList::NoName)?;
    let der = only("x509cert").and_then(|text| decode(&text));
    let der = der.ok_or_else(|| InvalidList::NoCertificate { name: shorten(&name) })?;
    let users = item.child(NAMESPACE, "users");
    let resources = users.iter().flat_map(|users| users.children());
    let management = match item.child(NAMESPACE, "no-cert-management") {
        Some(_) => Management::Forbidden,
        None => Management::Allowed,
    };
    Ok(Certificate {
        name: name.to_string(),
        der,
        resources: resources
            .filter(|child| child.is(NAMESPACE, "resource"))
            .map(|resource| resource.text().into_owned())
            .collect(),
        management,
    })
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    // RFC 7468 §3.
    let text = match text.strip_prefix("-----BEGIN CERTIFICATE-----") {
        Some(rest) => rest.strip_suffix("-----END CERTIFICATE-----")?,
        None => text,
    };
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(text).ok()?;
    (!der.is_empty() && der.len() <= MAX_CERTIFICATE_OCTETS).then_some(der)
}

/// Why a request was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The name cannot be one: see [`append`].
    Name,
    /// The bytes are not a certificate.
    Certificate(CertificateError),
}

/// Why a list of certificates is not taken. The names are the server's text, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidList {
    /// The answer has no `<items/>`.
    NoList,
    /// A certificate without a name, or with two.
    NoName,
    /// A name without a certificate that could be read, or with two.
    NoCertificate {
        /// The name.
        name: String,
    },
    /// Two certificates of one name.
    DuplicateName {
        /// The name.
        name: String,
    },
}

/// What the server's error means. XEP-0257 names no conditions, so it goes by what RFC 6120 §8.3.3 says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server does not have XEP-0257.
    NotOffered,
    /// This login may not: it was made with a certificate that manages none (XEP-0257 §2.1), or the server wants a stronger one.
    NotAllowed {
        /// Its error.
        error: StanzaError,
    },
    /// Another certificate has the name (XEP-0257 §2.1).
    NameTaken,
    /// No certificate has the name.
    NoSuchName,
    /// The server does not take the certificate.
    Certificate {
        /// Its error.
        error: StanzaError,
    },
    /// Something else.
    Other {
        /// Its error.
        error: StanzaError,
    },
}

impl Refusal {
    /// What `error` means as the answer to that request.
    pub fn new(request: Request, error: StanzaError) -> Self {
        match (error.condition.as_str(), request) {
            ("service-unavailable" | "feature-not-implemented", _) => Self::NotOffered,
            ("forbidden" | "not-allowed" | "not-authorized", _) => Self::NotAllowed { error },
            ("conflict", Request::Append) => Self::NameTaken,
            ("item-not-found", Request::Disable | Request::Revoke) => Self::NoSuchName,
            ("bad-request" | "not-acceptable", Request::Append) => Self::Certificate { error },
            _ => Self::Other { error },
        }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(
                f,
                "a certificate's name must have 1 to {MAX_NAME_OCTETS} bytes, no control characters, and no space at its ends"
            ),
            Self::Certificate(error) => write!(f, "this is no certificate: {error}"),
        }
    }
}

impl fmt::Display for InvalidList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's list of certificates cannot be used: ")?;
        match self {
            Self::NoList => f.write_str("its answer has none"),
            Self::NoName => f.write_str("one of them has no name"),
            Self::NoCertificate { name } => write!(f, "there is no certificate behind the name {name:?}"),
            Self::DuplicateName { name } => write!(f, "two have the name {name:?}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str(
                "the server does not let users manage certificates (it has no XEP-0257): ask its administrator to trust yours",
            ),
            Self::NotAllowed { error } => write!(
                f,
                "this login may not manage certificates: {error}; log in with the password, or with a certificate that was added with \
                 that right"
            ),
            Self::NameTaken => f.write_str(
                "there is a certificate of that name already: choose another name, or disable that one first",
            ),
            Self::NoSuchName => f.write_str("there is no certificate of that name: the list says which there are"),
            Self::Certificate { error } => write!(
                f,
                "the server does not take this certificate: {error}; it must be valid now, and should name the account"
            ),
            Self::Other { error } => write!(f, "the server refused: {error}"),
        }
    }
}

impl core::error::Error for InvalidRequest {}
impl core::error::Error for InvalidList {}
impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::StanzaErrorType;
    use crate::xml::XmlLimits;
    use std::format;

    /// The certificate of XEP-0257's own example 1.
    const EXAMPLE: &str = "
      MIICCTCCAXKgAwIBAgIJALhU0Id6xxwQMA0GCSqGSIb3DQEBBQUAMA4xDDAKBgNV
      BAMTA2ZvbzAeFw0wNzEyMjgyMDA1MTRaFw0wODEyMjcyMDA1MTRaMA4xDDAKBgNV
      BAMTA2ZvbzCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEA0DPcfeJzKWLGE22p
      RMINLKr+CxqozF14DqkXkLUwGzTqYRi49yK6aebZ9ssFspTTjqa2uNpw1U32748t
      qU6bpACWHbcC+eZ/hm5KymXBhL3Vjfb/dW0xrtxjI9JRFgrgWAyxndlNZUpN2s3D
      hKDfVgpPSx/Zp8d/ubbARxqZZZkCAwEAAaNvMG0wHQYDVR0OBBYEFJWwFqmSRGcx
      YXmQfdF+XBWkeML4MD4GA1UdIwQ3MDWAFJWwFqmSRGcxYXmQfdF+XBWkeML4oRKk
      EDAOMQwwCgYDVQQDEwNmb2+CCQC4VNCHesccEDAMBgNVHRMEBTADAQH/MA0GCSqG
      SIb3DQEBBQUAA4GBAIhlUeGZ0d0msNVxYWAXg2lRsJt9INHJQTCJMmoUeTtaRjyp
      ffJtuopguNNBDn+MjrEp2/+zLNMahDYLXaTVmBf6zvY0hzB9Ih0kNTh23Fb5j+yK
      QChPXQUo0EGCaODWhfhKRNdseUozfNWOz9iTgMGw8eYNLllQRL//iAOfOr/8
    ";

    fn der() -> Vec<u8> {
        decode(EXAMPLE).unwrap()
    }

    fn answer(items: &str) -> Result<Vec<Certificate>, InvalidList> {
        let xml = format!("<iq xmlns='jabber:client' type='result'><items xmlns='{NAMESPACE}'>{items}</items></iq>");
        read_list(&Element::parse(xml, &XmlLimits::default()).unwrap())
    }

    fn item(name: &str, rest: &str) -> String {
        format!("<item><name>{name}</name><x509cert>{EXAMPLE}</x509cert>{rest}</item>")
    }

    #[test]
    fn requests_are_those_of_the_examples() {
        let text: String = EXAMPLE.split_whitespace().collect();
        assert_eq!(
            append("Mobile Client", &der(), Management::Allowed).unwrap().to_xml(),
            format!(
                "<iq xmlns='jabber:client' type='set'><append xmlns='{NAMESPACE}'><name>Mobile Client</name>\
                 <x509cert>{text}</x509cert></append></iq>"
            )
        );
        assert_eq!(
            append("Simple Bot", &der(), Management::Forbidden).unwrap().to_xml(),
            format!(
                "<iq xmlns='jabber:client' type='set'><append xmlns='{NAMESPACE}'><name>Simple Bot</name>\
                 <no-cert-management/><x509cert>{text}</x509cert></append></iq>"
            )
        );
        assert_eq!(
            disable("Mobile Client").unwrap().to_xml(),
            format!(
                "<iq xmlns='jabber:client' type='set'><disable xmlns='{NAMESPACE}'><name>Mobile Client</name></disable></iq>"
            )
        );
    }

    #[test]
    fn nothing_but_a_certificate_with_a_name_is_added() {
        let too_long = "x".repeat(MAX_NAME_OCTETS + 1);
        for name in ["", " ", " x", "x ", "a\nb", "a\u{0}b", "\u{ffff}", too_long.as_str()] {
            let refused = append(name, &der(), Management::Allowed);
            assert_eq!(refused, Err(InvalidRequest::Name), "{name:?}");
        }
        for name in ["", "\u{0}"] {
            assert_eq!(disable(name), Err(InvalidRequest::Name));
            assert_eq!(revoke(name), Err(InvalidRequest::Name));
        }
        // What a server lists can be taken away, however it got there.
        assert!(revoke(" a\nb").is_ok());
        for bytes in [b"".as_slice(), b"-----BEGIN PRIVATE KEY-----", &der()[1..]] {
            let refused = append("x", bytes, Management::Allowed);
            assert!(matches!(refused, Err(InvalidRequest::Certificate(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_list_says_all_that_the_server_said() {
        let list = answer(&format!(
            "{}{}<other xmlns='urn:example'/>",
            item(
                "Mobile Client",
                "<users><resource>Phone</resource><x xmlns='urn:example'/></users>"
            ),
            item("Laptop", "<no-cert-management/>")
        ));
        let certificate = |name: &str, resources: &[&str], management| Certificate {
            name: name.into(),
            der: der(),
            resources: resources.iter().map(ToString::to_string).collect(),
            management,
        };
        assert_eq!(
            list.unwrap(),
            [
                certificate("Mobile Client", &["Phone"], Management::Allowed),
                certificate("Laptop", &[], Management::Forbidden)
            ]
        );
        assert_eq!(answer(""), Ok(Vec::new()));
        let pem = format!(
            "<item><name>x</name><x509cert>\n-----BEGIN CERTIFICATE-----{EXAMPLE}-----END CERTIFICATE-----\n</x509cert></item>"
        );
        assert_eq!(answer(&pem).unwrap()[0].der, der());
    }

    #[test]
    fn a_list_that_cannot_be_told_apart_or_read_is_refused() {
        let no_certificate = |rest: &str| (format!("<item><name>a</name>{rest}</item>"), "behind the name \"a\"");
        let cases = [
            (format!("<item><x509cert>{EXAMPLE}</x509cert></item>"), "no name"),
            (item("", ""), "no name"),
            (item("a</name><name>b", ""), "no name"),
            (
                item("a", "") + &item("b", "") + &item("a", ""),
                "two have the name \"a\"",
            ),
            no_certificate(""),
            no_certificate("<x509cert/>"),
            no_certificate("<x509cert>A</x509cert>"),
            no_certificate("<x509cert>AA==AA==</x509cert>"),
            no_certificate("<x509cert>AB==</x509cert>"),
            no_certificate("<x509cert>-----BEGIN CERTIFICATE-----AAAA</x509cert>"),
            no_certificate("<x509cert>AAAA</x509cert><x509cert>AAAA</x509cert>"),
        ];
        for (items, expected) in cases {
            let said = answer(&items).unwrap_err().to_string();
            assert!(said.ends_with(expected), "{said}");
        }
        let none = Element::builder("jabber:client", "iq").build().unwrap();
        assert_eq!(read_list(&none), Err(InvalidList::NoList));
    }

    #[test]
    fn a_refusal_is_a_sentence_that_says_what_to_do() {
        let sentence = |request, condition: &str| {
            Refusal::new(request, StanzaError::new(StanzaErrorType::Cancel, condition)).to_string()
        };
        for (request, condition, expected) in [
            (Request::List, "service-unavailable", "ask its administrator"),
            (Request::Append, "feature-not-implemented", "ask its administrator"),
            (Request::Append, "conflict", "choose another name"),
            (Request::Append, "bad-request", "should name the account"),
            (Request::Append, "not-acceptable", "should name the account"),
            (Request::Revoke, "forbidden", "log in with the password"),
            (Request::List, "not-authorized", "log in with the password"),
            (Request::Disable, "item-not-found", "the list says which"),
            (Request::List, "item-not-found", "refused: item-not-found"),
            (Request::Disable, "bad-request", "refused: bad-request"),
        ] {
            let said = sentence(request, condition);
            assert!(said.contains(expected), "{condition}: {said}");
        }
    }
}
