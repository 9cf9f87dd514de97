//! Stream features, as far as they matter before a session (RFC 6120 §4.3.2).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::link::expanded_name;
use crate::xml::ElementRef;

pub(crate) const NS_TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
pub(crate) const NS_SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
pub(crate) const NS_BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
pub(crate) const NS_SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
pub(crate) const NS_SM: &str = "urn:xmpp:sm:3";
/// SASL2 (XEP-0388).
pub(crate) const NS_SASL2: &str = "urn:xmpp:sasl:2";
/// Bind 2 (XEP-0386).
pub(crate) const NS_BIND2: &str = "urn:xmpp:bind:0";
/// Login tokens (XEP-0484).
pub(crate) const NS_FAST: &str = "urn:xmpp:fast:0";
/// Upgrade tasks (XEP-0480).
pub(crate) const NS_UPGRADE: &str = "urn:xmpp:sasl:upgrade:0";
/// Carbons (XEP-0280).
pub(crate) const NS_CARBONS: &str = "urn:xmpp:carbons:2";
const NS_CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
const NS_REGISTER: &str = "http://jabber.org/features/iq-register";
pub(crate) const NS_CSI: &str = "urn:xmpp:csi:0";
const NS_LIMITS: &str = "urn:xmpp:stream-limits:0";

/// What the server offers now. A new set replaces the former one wholly.
#[derive(Debug, Default)]
pub(crate) struct Features {
    /// TLS (RFC 6120 §5.4.1).
    pub(crate) starttls: bool,
    /// The SASL mechanisms, as they stand there (XEP-0474 hashes them); `None` where SASL is not offered at all.
    pub(crate) mechanisms: Option<Vec<String>>,
    /// The types of channel binding (XEP-0440).
    pub(crate) channel_bindings: Option<Vec<String>>,
    /// SASL2.
    pub(crate) authentication: Option<Authentication>,
    /// Registration of an account (XEP-0077).
    pub(crate) register: bool,
    /// Resource binding.
    pub(crate) bind: bool,
    /// The session of RFC 3921, and the server insists on it.
    pub(crate) session_required: bool,
    /// What lasts as long as the session.
    pub(crate) offers: Offers,
    /// A feature that the server requires and that nobody here knows, as `{namespace}name` (RFC 6120 §4.3.5).
    pub(crate) unknown_required: Option<String>,
}

/// SASL2 (XEP-0388 §2.1).
#[derive(Clone, Debug, Default)]
pub(crate) struct Authentication {
    /// The mechanisms, as they stand there.
    pub(crate) mechanisms: Vec<String>,
    /// What can be done together with the login.
    pub(crate) inline: Inline,
    /// Tasks that would make a stronger SCRAM possible (XEP-0480).
    pub(crate) upgrades: Vec<String>,
}

/// What can be done together with a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inline {
    /// Resumption (XEP-0198 §9).
    pub(crate) resume: bool,
    /// Binding (XEP-0386).
    pub(crate) bind: Option<BindInline>,
    /// The mechanisms of login tokens (XEP-0484).
    pub(crate) fast: Vec<String>,
}

/// What can be done together with binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BindInline {
    pub(crate) stream_management: bool,
    pub(crate) carbons: bool,
    pub(crate) client_state: bool,
}

/// What a server offers for the time after binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offers {
    /// XEP-0198.
    pub(crate) stream_management: bool,
    /// XEP-0352.
    pub(crate) client_state: bool,
    /// The largest stanza that it takes, in bytes (XEP-0478).
    pub(crate) max_bytes: Option<usize>,
    /// After so many seconds without a word from the client it takes it for gone (XEP-0478).
    pub(crate) idle_seconds: Option<u32>,
}

impl Features {
    /// Reads `<stream:features/>`. What is unknown is not negotiated: compression among it, on purpose.
    pub(crate) fn read(features: ElementRef<'_>) -> Self {
        let mut found = Self::default();
        for feature in features.children() {
            if feature.is(NS_SASL, "mechanisms") {
                let mechanisms = found.mechanisms.get_or_insert_default();
                mechanisms.extend(texts(feature, NS_SASL, "mechanism"));
            } else if feature.is(NS_SASL2, "authentication") {
                found.authentication = Some(Authentication::read(feature));
            } else if feature.is(NS_CHANNEL_BINDING, "sasl-channel-binding") {
                let types = found.channel_bindings.get_or_insert_default();
                types.extend(
                    feature
                        .children()
                        .filter(|child| child.is(NS_CHANNEL_BINDING, "channel-binding"))
                        .filter_map(|child| child.attribute("type"))
                        .map(ToString::to_string),
                );
            } else if feature.is(NS_REGISTER, "register") {
                found.register = true;
            } else if feature.is(NS_BIND, "bind") {
                found.bind = true;
            } else if feature.is(NS_SESSION, "session") {
                found.session_required = feature.child(NS_SESSION, "optional").is_none();
            } else if feature.is(NS_TLS, "starttls") {
                found.starttls = true;
            } else if feature.is(NS_SM, "sm") {
                found.offers.stream_management = true;
            } else if feature.is(NS_CSI, "csi") {
                found.offers.client_state = true;
            } else if feature.is(NS_LIMITS, "limits") {
                found.offers.max_bytes = number(feature, "max-bytes");
                found.offers.idle_seconds = number(feature, "idle-seconds");
            } else if feature.child(feature.namespace(), "required").is_some() {
                found.unknown_required.get_or_insert_with(|| expanded_name(feature));
            }
        }
        found
    }
}

impl Authentication {
    fn read(authentication: ElementRef<'_>) -> Self {
        let mut found = Self {
            mechanisms: texts(authentication, NS_SASL2, "mechanism").collect(),
            upgrades: texts(authentication, NS_UPGRADE, "upgrade").collect(),
            ..Self::default()
        };
        let Some(inline) = authentication.child(NS_SASL2, "inline") else {
            return found;
        };
        found.inline.resume = inline.child(NS_SM, "sm").is_some();
        found.inline.bind = inline.child(NS_BIND2, "bind").map(BindInline::read);
        let fast = inline.child(NS_FAST, "fast");
        found.inline.fast = fast
            .into_iter()
            .flat_map(|fast| texts(fast, NS_FAST, "mechanism"))
            .filter(|name| is_mechanism_name(name))
            .collect();
        found
    }
}

impl BindInline {
    fn read(bind: ElementRef<'_>) -> Self {
        let has = |var: &str| {
            let inline = bind.child(NS_BIND2, "inline");
            inline.is_some_and(|inline| {
                inline
                    .children()
                    .any(|feature| feature.is(NS_BIND2, "feature") && feature.attribute("var") == Some(var))
            })
        };
        Self {
            stream_management: has(NS_SM),
            carbons: has(NS_CARBONS),
            client_state: has(NS_CSI),
        }
    }
}

fn texts<'a>(parent: ElementRef<'a>, namespace: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    parent
        .children()
        .filter(move |child| child.is(namespace, name))
        .map(|child| child.text().to_string())
}

/// A positive number in a child of `limits`; what is none limits nothing.
fn number<T: core::str::FromStr + Default + PartialEq>(limits: ElementRef<'_>, name: &str) -> Option<T> {
    let number = limits.child(NS_LIMITS, name)?.text().trim().parse().ok()?;
    (number != T::default()).then_some(number)
}

/// RFC 4422 §3.1.
pub(crate) fn is_mechanism_name(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'))
}
