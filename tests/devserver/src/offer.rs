//! What a stream offers: the features before and after login, and what was said in them.

use crate::faults::Transport;
use crate::personality::ExternalOffer;
use crate::sasl::{ANONYMOUS, EXTERNAL, OAUTHBEARER, PLAIN, X_OAUTH2};
use crate::sm::SM;
use crate::stream::{BIND2, CARBONS, CLIENT, CSI, Context, FAST, SASL, SASL2, SESSION, UPGRADE};
use crate::tls::Verdict;
use crate::xml::escape;

const LIMITS: &str = "urn:xmpp:stream-limits:0";
const BINDINGS: &str = "urn:xmpp:sasl-cb:0";
const REGISTER: &str = "<register xmlns='http://jabber.org/features/iq-register'/>";

/// What this stream was offered, word for word. It is what logins are judged by (XEP-0474).
#[derive(Debug, Default)]
pub(crate) struct Advert {
    /// SASL's mechanisms (RFC 6120 §6). Empty: it is not offered.
    pub(crate) sasl1: Vec<String>,
    /// Those of SASL2.
    pub(crate) sasl2: Vec<String>,
    /// The types of channel binding (XEP-0440).
    pub(crate) bindings: Vec<String>,
    /// The mechanisms of XEP-0484.
    pub(crate) fast: Vec<String>,
    /// The tasks of XEP-0480.
    pub(crate) upgrades: Vec<String>,
    pub(crate) bind2: bool,
    /// Resumption and stream management belong to the streams of connections.
    pub(crate) resumption: bool,
    /// The same for what is inside of `<bind/>`.
    pub(crate) management: bool,
}

impl Advert {
    /// What a stream is offered now, to a client that claims to be this user.
    pub(crate) fn new(context: &Context<'_>, claimed: Option<&str>) -> Self {
        let options = context.options;
        let bound = context.transport != Transport::Bosh;
        let fast = options.fast.as_ref().filter(|_| options.sasl2);
        let fast = fast.map(|fast| fast.mechanisms.clone()).unwrap_or_default();
        let usable = fast.into_iter().filter(|name| bound || name.ends_with("-NONE"));
        let upgrades = options.upgrades.iter().filter(|hash| {
            // Nobody knows yet who comes: the offer is for all.
            claimed.is_none_or(|user| context.accounts.lacks(user, **hash, options))
        });
        let management = bound && context.settings.stream_management.is_some();
        let mechanisms = mechanisms(context, claimed);
        Self {
            sasl2: match &options.sasl2_mechanisms {
                _ if !options.sasl2 => Vec::new(),
                Some(fixed) => fixed.clone(),
                None => mechanisms.clone(),
            },
            sasl1: mechanisms.into_iter().filter(|_| options.sasl1).collect(),
            bindings: if bound {
                options.channel_bindings.clone()
            } else {
                Vec::new()
            },
            fast: usable.collect(),
            upgrades: upgrades.map(|hash| hash.upgrade_task()).collect(),
            bind2: options.sasl2 && options.bind2,
            resumption: options.sasl2 && options.inline_resumption && management,
            management,
        }
    }

    pub(crate) fn offers_sasl2(&self) -> bool {
        !self.sasl2.is_empty() || !self.fast.is_empty()
    }

    /// The features before login.
    pub(crate) fn features(&self, context: &Context<'_>) -> String {
        let mut inside = String::new();
        if context.options.sasl2 {
            inside.push_str(&self.authentication());
        }
        if context.options.sasl1 {
            inside.push_str(&format!(
                "<mechanisms xmlns='{SASL}'>{}</mechanisms>",
                list(&self.sasl1, "mechanism")
            ));
        }
        if !self.bindings.is_empty() {
            let types: String = self
                .bindings
                .iter()
                .map(|kind| format!("<channel-binding type='{}'/>", escape(kind)))
                .collect();
            inside.push_str(&format!(
                "<sasl-channel-binding xmlns='{BINDINGS}'>{types}</sasl-channel-binding>"
            ));
        }
        let others = context.habits.features_before;
        match &context.options.registration {
            None => inside.push_str(others),
            Some(terms) => {
                inside.push_str(&others.replace(REGISTER, ""));
                inside.push_str(if terms.hidden { "" } else { REGISTER });
            }
        }
        wrap(context, &inside)
    }

    /// XEP-0388 §2.4.
    fn authentication(&self) -> String {
        let mut inline = String::new();
        if self.bind2 {
            let sm = if self.management { SM } else { "" };
            let features: String = [CARBONS, CSI, sm]
                .into_iter()
                .filter(|var| !var.is_empty())
                .map(|var| format!("<feature var='{var}'/>"))
                .collect();
            inline.push_str(&format!("<bind xmlns='{BIND2}'><inline>{features}</inline></bind>"));
        }
        if !self.fast.is_empty() {
            inline.push_str(&format!(
                "<fast xmlns='{FAST}'>{}</fast>",
                list(&self.fast, "mechanism")
            ));
        }
        if self.resumption {
            inline.push_str(&format!("<sm xmlns='{SM}'/>"));
        }
        if !inline.is_empty() {
            inline = format!("<inline>{inline}</inline>");
        }
        let upgrades: String = self
            .upgrades
            .iter()
            .map(|task| format!("<upgrade xmlns='{UPGRADE}'>{}</upgrade>", escape(task)))
            .collect();
        let mechanisms = list(&self.sasl2, "mechanism");
        format!("<authentication xmlns='{SASL2}'>{mechanisms}{inline}{upgrades}</authentication>")
    }
}

/// The features after login, where a resource is still to be bound.
pub(crate) fn after_login(context: &Context<'_>) -> String {
    let optional = if context.settings.require_legacy_session {
        ""
    } else {
        "<optional/>"
    };
    let inside = format!(
        "{}<session xmlns='{SESSION}'>{optional}</session>{}",
        context.habits.features_after,
        link_features(context, true)
    );
    wrap(context, &inside)
}

/// The features after SASL2 has bound a resource.
pub(crate) fn after_binding(context: &Context<'_>, managed: bool) -> String {
    let inside = format!("{}{}", context.habits.features_bound, link_features(context, !managed));
    wrap(context, &inside)
}

fn wrap(context: &Context<'_>, inside: &str) -> String {
    let limits = context.settings.max_stanza_bytes.map(|max| {
        // XEP-0478 §2.
        format!("<limits xmlns='{LIMITS}'><max-bytes>{max}</max-bytes></limits>")
    });
    let limits = limits.unwrap_or_default();
    format!("<stream:features xmlns='{CLIENT}'>{inside}{limits}</stream:features>")
}

fn list(names: &[String], element: &str) -> String {
    let one = |name: &String| format!("<{element}>{}</{element}>", escape(name));
    names.iter().map(one).collect()
}

/// What is only offered where a connection is the stream.
fn link_features(context: &Context<'_>, manageable: bool) -> String {
    match context.transport {
        Transport::Bosh => String::new(),
        Transport::StartTls | Transport::DirectTls | Transport::WebSocket => {
            let sm = context
                .settings
                .stream_management
                .as_ref()
                .filter(|_| manageable)
                .map(|_| context.habits.sm_feature);
            format!("{}{}", context.habits.link_features, sm.unwrap_or_default())
        }
    }
}

/// The mechanisms that this client is offered.
fn mechanisms(context: &Context<'_>, claimed: Option<&str>) -> Vec<String> {
    let options = context.options;
    if let Some(fixed) = &options.mechanisms {
        return fixed.clone();
    }
    let registered = |der: &Vec<u8>| options.certificate_management && !context.accounts.owners(der).is_empty();
    let external = match context.habits.external_offer {
        ExternalOffer::Always => true,
        ExternalOffer::WhereAsked => {
            context.settings.ask_client_certificate || context.settings.require_client_certificate
        }
        ExternalOffer::WhereTrusted => {
            context.creation.verdict == Verdict::Trusted
                || context.creation.certificate.as_ref().is_some_and(registered)
        }
    };
    let mut names = Vec::new();
    if external {
        names.push(EXTERNAL.to_owned());
    }
    if context.accounts.any_password() {
        for hash in &options.scram {
            // One that the client has yet to bring is no use to it, if it is known who comes.
            if claimed.is_some_and(|user| context.accounts.lacks(user, *hash, options)) {
                continue;
            }
            if options.plus && context.transport != Transport::Bosh {
                names.push(format!("{}-PLUS", hash.mechanism()));
            }
            names.push(hash.mechanism().to_owned());
        }
        if options.plain {
            names.push(PLAIN.to_owned());
        }
    }
    if !options.bearer_tokens.is_empty() {
        names.extend([OAUTHBEARER, X_OAUTH2].map(str::to_owned));
    }
    if options.anonymous {
        names.push(ANONYMOUS.to_owned());
    }
    names
}
