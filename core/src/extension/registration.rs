//! The account itself, after the login (XEP-0077): what the server knows of it, another password, the end of it.
//!
//! Making an account is a login: [`Credentials::new_account`](crate::Credentials::new_account).
//!
//! ```
//! use epode::registration::{self, Refusal, Request};
//! use epode::xml::{Element, XmlLimits};
//! use epode::{Secret, StanzaError, StanzaErrorType};
//!
//! // XEP-0077 §3.3
//! let request = registration::change_password(&"bill@shakespeare.lit".parse()?, &Secret::from("newpass"))?;
//! assert_eq!(
//!     request.to_xml(),
//!     "<iq xmlns='jabber:client' type='set'><query xmlns='jabber:iq:register'>\
//!      <username>bill</username><password>newpass</password></query></iq>"
//! );
//! let refusal = Refusal::new(Request::Remove, StanzaError::new(StanzaErrorType::Cancel, "not-allowed"));
//! assert_eq!(refusal.to_string(), "the server does not let users remove their accounts: ask its administrator (not-allowed)");
//!
//! // XEP-0077 §3.1: what there is to know.
//! assert_eq!(
//!     registration::fields()?.to_xml(),
//!     "<iq xmlns='jabber:client' type='get'><query xmlns='jabber:iq:register'/></iq>"
//! );
//! let answer = "<iq xmlns='jabber:client' type='result'><query xmlns='jabber:iq:register'><registered/>\
//!               <username>bill</username><password/></query></iq>";
//! let known = registration::read_fields(&Element::parse(answer, &XmlLimits::default())?)?;
//! assert!(known.registered);
//! assert_eq!(known.username.as_deref(), Some("bill"));
//! assert_eq!(known.fields, ["username", "password"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::PrepError;
use crate::input::StanzaError;
use crate::jid::BareJid;
use crate::link::shorten;
use crate::sasl::prep;
use crate::secret::Secret;
use crate::stanza;
use crate::xml::{Element, InvalidXml};

/// What a server that has this says in its features (XEP-0077 §10).
pub const NAMESPACE: &str = "jabber:iq:register";

/// What can be filled in is not counted further.
const MAX_FIELDS: usize = 32;

/// What the server knows of the account, and what it would take (XEP-0077 §3.1, §14.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fields {
    /// The server says that the account is registered.
    pub registered: bool,
    /// The account's name, where it says so.
    pub username: Option<String>,
    /// The names of the fields, in its order, at most 32: those of XEP-0077 §14.1, or of its data form.
    pub fields: Vec<String>,
    /// Its instructions for the user: not to be trusted; at most 1,024 characters.
    pub instructions: Option<String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// [`fields`].
    Fields,
    /// [`change_password`].
    ChangePassword,
    /// [`remove`].
    Remove,
}

/// Asks what the server knows of the account (XEP-0077 §3.1); [`read_fields`] reads the answer.
///
/// # Errors
/// None that a caller can cause.
pub fn fields() -> Result<Element, InvalidXml> {
    stanza::get(None, Element::builder(NAMESPACE, "query"))
}

/// Gives the account another password (XEP-0077 §3.3). The element holds it in plain text, and so does what travels: send it only
/// where TLS has verified the server, and at once. A log keeps a placeholder.
///
/// A client that goes on needs the new password for its next login: [`Input::Provide`](crate::Input::Provide), as soon as the
/// server has said yes.
///
/// # Errors
/// The password is one that no login could use afterwards (RFC 4013), or it is empty: a server must not take that.
pub fn change_password(account: &BareJid, password: &Secret) -> Result<Element, InvalidPassword> {
    prep::password(password).map_err(InvalidPassword::Unusable)?;
    let text = core::str::from_utf8(password.expose()).map_err(|_| InvalidPassword::Unusable(PrepError::NotUtf8))?;
    let name = account.local().ok_or(InvalidPassword::NoAccount)?;
    let query = Element::builder(NAMESPACE, "query")
        .child(Element::builder(NAMESPACE, "username").text(name))
        .child(Element::builder(NAMESPACE, "password").text(text));
    stanza::set(None, query).map_err(|_| InvalidPassword::Unusable(PrepError::Prohibited))
}

/// Removes the account, with all that the server keeps for it (XEP-0077 §3.2). There is no way back. The server ends the account's
/// sessions, this one too: some without having answered.
///
/// # Errors
/// None that a caller can cause.
pub fn remove() -> Result<Element, InvalidXml> {
    // XEP-0077 §3.2: nothing beside it, and no `to`.
    stanza::set(
        None,
        Element::builder(NAMESPACE, "query").child(Element::builder(NAMESPACE, "remove")),
    )
}

/// Reads the answer to [`fields`].
///
/// # Errors
/// There is no such thing in it.
pub fn read_fields(answer: &Element) -> Result<Fields, NoFields> {
    const DATA: &str = "jabber:x:data";
    let query = answer.child(NAMESPACE, "query").ok_or(NoFields)?;
    let text = |name: &str| {
        let text = query.child(NAMESPACE, name)?.text();
        (!text.is_empty()).then(|| shorten(&text))
    };
    let form = query.child(DATA, "x");
    // XEP-0077 §6: a form takes precedence over the fields beside it.
    let names: Vec<String> = match form {
        Some(form) => form
            .children()
            .filter(|child| child.is(DATA, "field") && child.attribute("type") != Some("hidden"))
            .filter_map(|field| field.attribute("var"))
            .take(MAX_FIELDS)
            .map(shorten)
            .collect(),
        None => query
            .children()
            .filter(|child| child.namespace() == NAMESPACE)
            .filter(|child| !matches!(child.name(), "registered" | "instructions" | "key"))
            .take(MAX_FIELDS)
            .map(|child| shorten(child.name()))
            .collect(),
    };
    Ok(Fields {
        registered: query.child(NAMESPACE, "registered").is_some(),
        username: text("username"),
        fields: names,
        instructions: text("instructions"),
    })
}

/// Why a password cannot be the account's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidPassword {
    /// No login could use it (RFC 4013).
    Unusable(PrepError),
    /// The address is that of a server: it has no password.
    NoAccount,
}

/// An answer to [`fields`] without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFields;

/// What the server's error means (XEP-0077 §3.2, §3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server does not have XEP-0077, or not for this.
    NotOffered {
        /// What was asked for.
        request: Request,
    },
    /// The server does not let users do that.
    NotAllowed {
        /// What was asked for.
        request: Request,
        /// Its error.
        error: StanzaError,
    },
    /// Not in this session: a login by certificate changes no password (XEP-0257 §5.2), the connection is not safe enough
    /// (XEP-0077 §3.3), or the server wants to be told more, as the old password.
    NotAuthorized {
        /// Its error.
        error: StanzaError,
    },
    /// The server does not take that password.
    Password {
        /// Its error.
        error: StanzaError,
    },
    /// There is no such account at this server.
    NotRegistered,
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
            ("service-unavailable" | "feature-not-implemented", _) => Self::NotOffered { request },
            ("not-allowed" | "forbidden", _) => Self::NotAllowed { request, error },
            ("not-authorized", _) => Self::NotAuthorized { error },
            ("bad-request" | "not-acceptable" | "policy-violation", Request::ChangePassword) => {
                Self::Password { error }
            }
            ("registration-required" | "unexpected-request", _) => Self::NotRegistered,
            _ => Self::Other { error },
        }
    }
}

impl fmt::Display for Request {
    /// What a user does by it, as in "lets users ...".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fields => "see their registration",
            Self::ChangePassword => "change their passwords",
            Self::Remove => "remove their accounts",
        })
    }
}

impl fmt::Display for InvalidPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(error) => write!(f, "the new password {error}: nobody could log in with it"),
            Self::NoAccount => f.write_str("this is the address of a server, which has no password"),
        }
    }
}

impl fmt::Display for NoFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server's answer says nothing about the registration")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered { request } => write!(f, "the server does not let users {request}: ask its administrator"),
            Self::NotAllowed { request, error } => {
                write!(
                    f,
                    "the server does not let users {request}: ask its administrator ({error})"
                )
            }
            Self::NotAuthorized { error } => write!(
                f,
                "not in this session: {error}; servers want a login by password for this, and some want to be told more than this \
                 program can: then only the server's web page or its administrator helps"
            ),
            Self::Password { error } => write!(
                f,
                "the server does not take this password: {error}; choose a stronger one"
            ),
            Self::NotRegistered => f.write_str("the server knows no such account"),
            Self::Other { error } => write!(f, "the server refused: {error}"),
        }
    }
}

impl core::error::Error for InvalidPassword {}
impl core::error::Error for NoFields {}
impl core::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::StanzaErrorType;
    use crate::xml::XmlLimits;
    use std::format;
    use std::string::ToString;

    fn bill() -> BareJid {
        BareJid::parse("bill@shakespeare.lit").unwrap()
    }

    #[test]
    fn the_account_is_removed_by_nothing_else() {
        assert_eq!(
            remove().unwrap().to_xml(),
            "<iq xmlns='jabber:client' type='set'><query xmlns='jabber:iq:register'><remove/></query></iq>"
        );
    }

    #[test]
    fn a_password_that_no_login_could_use_is_not_sent() {
        for (password, expected) in [
            (b"".as_slice(), "is empty"),
            (b"a\x07b", "a character that SASLprep prohibits"),
            (b"\xff", "is not UTF-8"),
            ("\u{ad}".as_bytes(), "is empty"),
            ("\u{fffe}".as_bytes(), "prohibits"),
        ] {
            let refused = change_password(&bill(), &Secret::new(password))
                .unwrap_err()
                .to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        let server = BareJid::parse("shakespeare.lit").unwrap();
        assert_eq!(
            change_password(&server, &Secret::from("x")),
            Err(InvalidPassword::NoAccount)
        );
    }

    #[test]
    fn a_password_is_in_no_debug() {
        let request = change_password(&bill(), &Secret::from("canary&<'>")).unwrap();
        assert!(
            request.to_xml().contains("<password>canary&amp;&lt;'&gt;</password>"),
            "{}",
            request.to_xml()
        );
        assert!(!format!("{request:?}").contains("canary"), "{request:?}");
    }

    #[test]
    fn what_is_known_of_an_account_is_read() {
        let read = |query: &str| {
            let xml = format!("<iq xmlns='jabber:client' type='result'>{query}</iq>");
            read_fields(&Element::parse(xml, &XmlLimits::default()).unwrap())
        };
        let known = read(
            "<query xmlns='jabber:iq:register'><registered/><username>juliet</username><password>R0m30</password>\
             <email>juliet@capulet.com</email><instructions>Be brief.</instructions></query>",
        )
        .unwrap();
        assert_eq!(known.fields, ["username", "password", "email"]);
        assert_eq!(known.instructions.as_deref(), Some("Be brief."));
        // XEP-0077 §3.1 has a server that shows a password: nobody keeps it.
        assert!(!format!("{known:?}").contains("R0m30"));
        let form = read(
            "<query xmlns='jabber:iq:register'><username/><x xmlns='jabber:x:data' type='form'>\
             <field type='hidden' var='FORM_TYPE'/><field var='first'/><field/></x></query>",
        )
        .unwrap();
        assert_eq!((form.registered, form.username), (false, None));
        assert_eq!(form.fields, ["first"]);
        let many = "<a/>".repeat(100);
        let many = read(&format!("<query xmlns='jabber:iq:register'>{many}</query>")).unwrap();
        assert_eq!(many.fields.len(), MAX_FIELDS);
        assert_eq!(read("<query xmlns='urn:example'/>"), Err(NoFields));
    }

    #[test]
    fn a_refusal_is_a_sentence_that_says_what_to_do() {
        for (request, condition, expected) in [
            (
                Request::ChangePassword,
                "service-unavailable",
                "let users change their passwords: ask",
            ),
            (
                Request::Remove,
                "feature-not-implemented",
                "let users remove their accounts: ask",
            ),
            (
                Request::Remove,
                "forbidden",
                "let users remove their accounts: ask its administrator (forbidden)",
            ),
            (Request::ChangePassword, "not-authorized", "a login by password"),
            (Request::ChangePassword, "not-acceptable", "choose a stronger one"),
            (Request::ChangePassword, "bad-request", "choose a stronger one"),
            (Request::Remove, "registration-required", "knows no such account"),
            (Request::Remove, "bad-request", "refused: bad-request"),
            (Request::Fields, "not-acceptable", "refused: not-acceptable"),
        ] {
            let said = Refusal::new(request, StanzaError::new(StanzaErrorType::Cancel, condition)).to_string();
            assert!(said.contains(expected), "{condition}: {said}");
        }
    }
}
