//! Who a client certificate says that it is, and the identity to ask for with it (XEP-0178, RFC 6120 §13.7.1.4).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use x509_cert::Certificate;
use x509_cert::der::asn1::{Any, AnyRef, Ia5StringRef, ObjectIdentifier, PrintableStringRef, TeletexStringRef};
use x509_cert::der::{Class, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::ext::pkix::ExtendedKeyUsage;

use crate::jid::{BareJid, Jid, JidError};

/// The largest certificate that is read, in octets. A usual one has between one and three thousand.
pub const MAX_CERTIFICATE_OCTETS: usize = 64 * 1024;

/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.5");
/// id-ce-subjectAltName (RFC 5280 §4.2.1.6).
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// id-ce-extKeyUsage (RFC 5280 §4.2.1.12).
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// id-kp-clientAuth and anyExtendedKeyUsage (RFC 5280 §4.2.1.12).
const CLIENT_USAGES: [ObjectIdentifier; 2] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2"),
    ObjectIdentifier::new_unwrap("2.5.29.37.0"),
];

/// What epode reads from a client certificate. It proves nothing: trust is the server's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    addresses: Vec<XmppAddress>,
    not_before: u64,
    not_after: u64,
    client_auth: Option<bool>,
    subject: String,
    self_issued: bool,
}

/// One `id-on-xmppAddr` name of a certificate (RFC 6120 §13.7.1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum XmppAddress {
    /// A bare JID in a UTF8String, as it should be.
    Valid(BareJid),
    /// A full JID. Only its bare JID counts (XEP-0178 §2).
    WithResource(Jid),
    /// Text in another ASN.1 type than UTF8String. Some servers accept it.
    WrongStringType {
        /// The text as it stands there.
        text: String,
        /// Its bare JID, where it is one.
        address: Option<BareJid>,
    },
    /// Text that is no JID.
    NotAJid {
        /// The text as it stands there.
        text: String,
        /// Why it is no JID.
        error: JidError,
    },
    /// A value that is no text at all.
    NotText,
}

/// Why a certificate cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than [`MAX_CERTIFICATE_OCTETS`].
    TooLarge {
        /// Its size in octets.
        octets: usize,
    },
    /// The bytes are not the DER of an X.509 certificate (RFC 5280 §4.1).
    NotACertificate,
    /// The subjectAltName extension is malformed (RFC 5280 §4.2.1.6).
    SubjectAltName,
    /// The extKeyUsage extension is malformed (RFC 5280 §4.2.1.12).
    ExtendedKeyUsage,
}

/// Why a certificate alone does not say whose login it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoSingleAccount {
    /// It names no account.
    NoAccount,
    /// It names several: the user has to choose one.
    Several {
        /// They, in the certificate's order.
        accounts: Vec<BareJid>,
    },
}

/// Whether SASL EXTERNAL names the account or leaves it to the certificate (XEP-0178 §2, RFC 4422 appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "record",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Authzid {
    /// Leaves it to the certificate where that names just our account or nobody; names the account where the certificate
    /// names several or others, and where the host cannot show the certificate.
    #[default]
    Auto,
    /// Always names the account.
    Always,
    /// Never names the account.
    Never,
}

/// What may go wrong with the certificate and the account. The server decides; the login is tried all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthzidWarning {
    /// The certificate names no XMPP address: the server needs a rule of its own to know whose it is.
    NamesNobody,
    /// The certificate names only other addresses than ours.
    NamesOthers {
        /// Those that can be read.
        addresses: Vec<BareJid>,
    },
    /// Our address stands there in another ASN.1 type than UTF8String: some servers do not see it.
    WrongStringType,
    /// The certificate names several addresses, and by [`Authzid::Never`] none is chosen (XEP-0178 §2 wants one).
    NoneChosen,
}

/// What EXTERNAL sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthzidDecision {
    /// The authorization identity; `None` is the empty response, `=` in SASL1.
    pub(crate) authzid: Option<String>,
    pub(crate) warning: Option<AuthzidWarning>,
}

/// The authorization identity for EXTERNAL (XEP-0178 §2), by the certificate as far as the host shows it.
pub(crate) fn authzid(policy: Authzid, account: &BareJid, certificate: Option<&ClientCertificate>) -> AuthzidDecision {
    let names = certificate.map(|certificate| Names::of(certificate, account));
    let send = match (policy, &names) {
        (Authzid::Always, _) => true,
        (Authzid::Never, _) => false,
        // A browser or a smart card does not show it: the explicit form serves whatever it names.
        (Authzid::Auto, None) => true,
        // `=` is right for exactly one address if it is ours; with none, it is the server's mapping that knows.
        (Authzid::Auto, Some(Names::Nobody | Names::JustUs { .. })) => false,
        (Authzid::Auto, Some(Names::UsAndMore { .. } | Names::Others { .. })) => true,
    };
    let warning = match names {
        None => None,
        Some(Names::Nobody) => Some(AuthzidWarning::NamesNobody),
        Some(Names::Others { addresses }) => Some(AuthzidWarning::NamesOthers { addresses }),
        Some(Names::UsAndMore { .. }) if !send => Some(AuthzidWarning::NoneChosen),
        Some(Names::JustUs { wrong_type } | Names::UsAndMore { wrong_type }) => {
            wrong_type.then_some(AuthzidWarning::WrongStringType)
        }
    };
    AuthzidDecision {
        authzid: send.then(|| account.as_str().to_string()),
        warning,
    }
}

impl ClientCertificate {
    /// Reads a certificate. Nothing is verified: neither its signature nor its dates.
    ///
    /// # Errors
    /// [`CertificateError`] where the bytes are too many or not a certificate. A name in it that is no good JID is no error:
    /// see [`XmppAddress`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_OCTETS {
            return Err(CertificateError::TooLarge { octets: der.len() });
        }
        let certificate = Certificate::from_der(der).map_err(|_| CertificateError::NotACertificate)?;
        let certificate = certificate.tbs_certificate();

        let mut addresses = Vec::new();
        let mut client_auth = None;
        for extension in certificate.extensions().into_iter().flatten() {
            let value = extension.extn_value.as_bytes();
            if extension.extn_id == SUBJECT_ALT_NAME {
                addresses.extend(xmpp_addresses(value).ok_or(CertificateError::SubjectAltName)?);
            } else if extension.extn_id == EXTENDED_KEY_USAGE {
                let usages = ExtendedKeyUsage::from_der(value).map_err(|_| CertificateError::ExtendedKeyUsage)?;
                client_auth = Some(usages.0.iter().any(|usage| CLIENT_USAGES.contains(usage)));
            }
        }

        Ok(Self {
            addresses,
            not_before: certificate.validity().not_before.to_unix_duration().as_secs(),
            not_after: certificate.validity().not_after.to_unix_duration().as_secs(),
            client_auth,
            subject: printable(certificate.subject()),
            self_issued: certificate.subject() == certificate.issuer(),
        })
    }

    /// Its XMPP addresses in their order (RFC 6120 §13.7.1.4), those with a problem included.
    pub fn xmpp_addresses(&self) -> &[XmppAddress] {
        &self.addresses
    }

    /// The one account that it names, for a user who gives no other (XEP-0178 §2): names that are no account do not count.
    ///
    /// # Errors
    /// [`NoSingleAccount`] where it names none, or several.
    pub fn account(&self) -> Result<BareJid, NoSingleAccount> {
        let mut accounts: Vec<BareJid> = Vec::new();
        for address in self.addresses.iter().filter_map(XmppAddress::bare) {
            if address.local().is_some() && !accounts.contains(&address) {
                accounts.push(address);
            }
        }
        match accounts.len() {
            0 => Err(NoSingleAccount::NoAccount),
            1 => accounts.pop().ok_or(NoSingleAccount::NoAccount),
            _ => Err(NoSingleAccount::Several { accounts }),
        }
    }

    /// The first and the last second of its validity, in seconds since 1970-01-01 UTC (RFC 5280 §4.1.2.5).
    pub fn validity(&self) -> (u64, u64) {
        (self.not_before, self.not_after)
    }

    /// Whether it is for TLS clients; `None` where it does not say (RFC 5280 §4.2.1.12).
    pub fn has_client_auth(&self) -> Option<bool> {
        self.client_auth
    }

    /// Its subject for a human to read, as in RFC 4514; possibly empty.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether subject and issuer are the same name, as in a certificate that signs itself.
    pub fn is_self_issued(&self) -> bool {
        self.self_issued
    }
}

impl XmppAddress {
    /// The bare JID to compare with an account, where the name has one (XEP-0178 §2).
    pub fn bare(&self) -> Option<BareJid> {
        match self {
            Self::Valid(address) => Some(address.clone()),
            Self::WithResource(address) => Some(address.to_bare()),
            Self::WrongStringType { address, .. } => address.clone(),
            Self::NotAJid { .. } | Self::NotText => None,
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { octets } => {
                write!(
                    f,
                    "the certificate has {octets} octets, more than {MAX_CERTIFICATE_OCTETS}"
                )
            }
            Self::NotACertificate => f.write_str("the bytes are not an X.509 certificate in DER"),
            Self::SubjectAltName => f.write_str("the alternative names of the certificate are malformed"),
            Self::ExtendedKeyUsage => f.write_str("the extended key usage of the certificate is malformed"),
        }
    }
}

impl core::error::Error for CertificateError {}

impl fmt::Display for NoSingleAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAccount => {
                f.write_str("the certificate names no XMPP account, so the account has to be given beside it")
            }
            Self::Several { accounts } => {
                f.write_str("the certificate names several accounts, and one of them has to be chosen:")?;
                accounts.iter().try_for_each(|account| write!(f, " {account}"))
            }
        }
    }
}

impl core::error::Error for NoSingleAccount {}

impl fmt::Display for AuthzidWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NamesNobody => f.write_str("the certificate names no XMPP address"),
            Self::NamesOthers { addresses } if addresses.is_empty() => {
                f.write_str("the certificate names XMPP addresses that cannot be read")
            }
            Self::NamesOthers { addresses } => {
                f.write_str("the certificate names other XMPP addresses than the account:")?;
                addresses.iter().try_for_each(|address| write!(f, " {address}"))
            }
            Self::WrongStringType => {
                f.write_str("the certificate has the XMPP address in another type than UTF8String")
            }
            Self::NoneChosen => f.write_str("the certificate names several XMPP addresses and none is chosen"),
        }
    }
}

/// What a certificate says about an account.
enum Names {
    Nobody,
    JustUs { wrong_type: bool },
    UsAndMore { wrong_type: bool },
    Others { addresses: Vec<BareJid> },
}

impl Names {
    fn of(certificate: &ClientCertificate, account: &BareJid) -> Self {
        let names = certificate.xmpp_addresses();
        if names.is_empty() {
            return Self::Nobody;
        }
        let is_ours = |name: &&XmppAddress| name.bare().as_ref() == Some(account);
        let mut ours = names.iter().filter(is_ours).peekable();
        if ours.peek().is_none() {
            return Self::Others {
                addresses: names.iter().filter_map(XmppAddress::bare).collect(),
            };
        }
        let wrong_type = ours.all(|name| matches!(name, XmppAddress::WrongStringType { .. }));
        // A server may count a name that we cannot read, or the same name twice.
        if names.len() == 1 {
            Self::JustUs { wrong_type }
        } else {
            Self::UsAndMore { wrong_type }
        }
    }
}

// Read by hand: the typed GeneralNames of the library refuses a whole list for one name of a kind that it does not know.
fn xmpp_addresses(subject_alt_name: &[u8]) -> Option<Vec<XmppAddress>> {
    let names = Vec::<Any>::from_der(subject_alt_name).ok()?;
    let mut addresses = Vec::new();
    for name in &names {
        // RFC 5280 §4.2.1.6: otherName [0] IMPLICIT SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }.
        if !is_context_0(name.tag()) {
            continue;
        }
        let mut fields = SliceReader::new(name.value()).ok()?;
        let type_id = ObjectIdentifier::decode(&mut fields).ok()?;
        if type_id != XMPP_ADDR {
            continue;
        }
        let value = AnyRef::decode(&mut fields).ok()?;
        if !is_context_0(value.tag()) || !fields.is_finished() {
            return None;
        }
        addresses.push(xmpp_address(value.value()));
    }
    Some(addresses)
}

fn is_context_0(tag: Tag) -> bool {
    tag.class() == Class::ContextSpecific && tag.number() == TagNumber(0) && tag.is_constructed()
}

// RFC 6120 §13.7.1.4: XmppAddr ::= UTF8String.
fn xmpp_address(value: &[u8]) -> XmppAddress {
    let Ok(value) = AnyRef::from_der(value) else {
        return XmppAddress::NotText;
    };
    if value.tag() == Tag::Utf8String {
        let Ok(text) = core::str::from_utf8(value.value()) else {
            return XmppAddress::NotText;
        };
        return match Jid::parse(text) {
            Ok(jid) if jid.is_full() => XmppAddress::WithResource(jid),
            Ok(jid) => XmppAddress::Valid(jid.to_bare()),
            Err(error) => XmppAddress::NotAJid {
                text: text.to_string(),
                error,
            },
        };
    }
    let text = Ia5StringRef::try_from(value)
        .map(|text| text.as_str())
        .or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str()))
        .or_else(|_| TeletexStringRef::try_from(value).map(|text| text.as_str()));
    match text {
        Ok(text) => XmppAddress::WrongStringType {
            text: text.to_string(),
            address: Jid::parse(text).ok().map(|jid| jid.to_bare()),
        },
        Err(_) => XmppAddress::NotText,
    }
}

// A subject is a stranger's text on our user's screen: no line breaks or escapes.
fn printable(name: &x509_cert::name::Name) -> String {
    let mut text = String::new();
    // `to_string` would panic if a value in the name could not be written.
    let _ = write!(text, "{name}");
    text.chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const US: &str = "juliet@example.com";

    fn valid(text: &str) -> XmppAddress {
        XmppAddress::Valid(BareJid::parse(text).unwrap())
    }

    fn full(text: &str) -> XmppAddress {
        XmppAddress::WithResource(Jid::parse(text).unwrap())
    }

    fn ia5(text: &str) -> XmppAddress {
        XmppAddress::WrongStringType {
            text: text.to_string(),
            address: BareJid::parse(text).ok(),
        }
    }

    fn no_jid() -> XmppAddress {
        XmppAddress::NotAJid {
            text: String::new(),
            error: JidError::Empty,
        }
    }

    fn certificate(addresses: Vec<XmppAddress>) -> ClientCertificate {
        let subject = String::from("CN=Juliet");
        ClientCertificate {
            addresses,
            not_before: 0,
            not_after: 1,
            client_auth: None,
            subject,
            self_issued: false,
        }
    }

    #[test]
    fn a_certificate_says_whose_login_it_is_for_where_it_names_one_account() {
        let named = |addresses: Vec<XmppAddress>| certificate(addresses).account();
        let us = Ok(BareJid::parse(US).unwrap());
        assert_eq!(named(vec![valid(US)]), us);
        assert_eq!(named(vec![full("juliet@example.com/balcony"), ia5(US)]), us);
        // A server's name, and what cannot be read, are no accounts.
        assert_eq!(named(vec![valid("example.com"), no_jid(), valid(US)]), us);
        let error = named(vec![valid(US), valid("romeo@example.com"), valid(US)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the certificate names several accounts, and one of them has to be chosen: juliet@example.com romeo@example.com"
        );
        for none in [vec![], vec![no_jid()], vec![valid("example.com")]] {
            assert_eq!(named(none), Err(NoSingleAccount::NoAccount));
        }
    }

    /// XEP-0178 §2, and what it leaves open.
    #[test]
    fn external_names_the_account_where_the_certificate_does_not() {
        use Authzid::{Always, Auto, Never};
        use AuthzidWarning::{NamesNobody, NoneChosen, WrongStringType};

        const EMPTY: Option<&str> = None;
        const NAMED: Option<&str> = Some(US);
        let others = |all: &[&str]| {
            Some(AuthzidWarning::NamesOthers {
                addresses: all.iter().map(|a| BareJid::parse(a).unwrap()).collect(),
            })
        };
        let other = "romeo@example.com";

        let table = [
            (Auto, Some(vec![valid(US)]), EMPTY, None),
            (Auto, Some(vec![valid(other)]), NAMED, others(&[other])),
            (Auto, Some(vec![valid(US), valid(other)]), NAMED, None),
            (Auto, Some(vec![valid(other), valid(US)]), NAMED, None),
            (
                Auto,
                Some(vec![valid(other), valid("example.com")]),
                NAMED,
                others(&[other, "example.com"]),
            ),
            (Auto, Some(vec![]), EMPTY, Some(NamesNobody)),
            (Auto, None, NAMED, None),
            // A resource is not compared.
            (Auto, Some(vec![full("juliet@example.com/balcony")]), EMPTY, None),
            (
                Auto,
                Some(vec![full("romeo@example.com/balcony")]),
                NAMED,
                others(&[other]),
            ),
            // Two names are several, also where they are one address.
            (Auto, Some(vec![valid(US), valid(US)]), NAMED, None),
            (Auto, Some(vec![valid(US), no_jid()]), NAMED, None),
            (Auto, Some(vec![valid(US), ia5(US)]), NAMED, None),
            // Servers differ on these.
            (Auto, Some(vec![ia5(US)]), EMPTY, Some(WrongStringType)),
            (Auto, Some(vec![ia5(US), valid(other)]), NAMED, Some(WrongStringType)),
            (Auto, Some(vec![ia5(other)]), NAMED, others(&[other])),
            (Auto, Some(vec![no_jid()]), NAMED, others(&[])),
            (Auto, Some(vec![XmppAddress::NotText]), NAMED, others(&[])),
            (Always, None, NAMED, None),
            (Always, Some(vec![valid(US)]), NAMED, None),
            (Always, Some(vec![]), NAMED, Some(NamesNobody)),
            (Always, Some(vec![valid(other)]), NAMED, others(&[other])),
            (Never, None, EMPTY, None),
            (Never, Some(vec![valid(US)]), EMPTY, None),
            (Never, Some(vec![]), EMPTY, Some(NamesNobody)),
            (Never, Some(vec![valid(US), valid(other)]), EMPTY, Some(NoneChosen)),
            (Never, Some(vec![valid(other)]), EMPTY, others(&[other])),
        ];
        let account = BareJid::parse(US).unwrap();
        for (policy, addresses, expected, warning) in table {
            let certificate = addresses.map(certificate);
            let decision = authzid(policy, &account, certificate.as_ref());
            let row = (policy, certificate);
            assert_eq!(decision.authzid.as_deref(), expected, "{row:?}");
            assert_eq!(decision.warning, warning, "{row:?}");
        }
    }
}
