//! What each real server was seen to do, one table a server.

/// The server whose observable habits are imitated.
///
/// Only what a client can see during a login is imitated, over TCP and WebSocket in so far as it is the same there as over BOSH: the attributes of the session, when EXTERNAL is offered, which
/// certificate counts, and how refusals look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Personality {
    /// Prosody 0.12 and 13: EXTERNAL is always offered, also to a client without a certificate. The certificate of the connection
    /// that carries `<auth/>` counts. An expired or not yet valid one is answered with `<false/>` in the SASL namespace. Without
    /// an authorization identity, the first name of the certificate logs in.
    ///
    /// One difference: the real module lets users in that have no account; here they are refused with `not-authorized`.
    #[default]
    Prosody,
    /// ejabberd 23 and 24: every refusal is `not-authorized` with a text. A certificate with several names needs an authorization
    /// identity. Names must be UTF8Strings.
    ///
    /// The real ejabberd asks for no client certificate over BOSH and WebSocket and offers no EXTERNAL there. This one does what the real one does over
    /// TCP, so that a client meets its refusals: EXTERNAL is offered where [`Settings::ask_client_certificate`](crate::Settings) is
    /// set, and the certificate of the connection that creates the session counts.
    Ejabberd,
    /// Openfire 5 (from its sources): EXTERNAL is offered only after a trusted certificate on the connection that creates
    /// the session. `<auth/>` without an initial response gets an empty challenge. `ver`, `hold`, `ack` and `maxpause` are only
    /// sent to a client that says `ver` 1.6 or later; `authid` equals `sid`. WebSocket is not served.
    Openfire,
}

/// When EXTERNAL is among the mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExternalOffer {
    Always,
    WhereAsked,
    WhereTrusted,
}

/// Which connection's certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CertificateOf {
    /// The one that carries the SASL element.
    Request,
    /// The one that created the session.
    Creation,
}

/// How a session identifier looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SidShape {
    Uuid,
    Hex,
}

/// What a refused login is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `<failure/>` with a condition and a text in English.
    Because(&'static str, Option<&'static str>),
    /// `<false/>`, which no RFC knows: one server in the field answers so.
    False,
}

/// One row for everything that differs.
#[derive(Debug)]
pub(crate) struct Habits {
    pub(crate) external_offer: ExternalOffer,
    pub(crate) certificate_of: CertificateOf,
    /// Without an authorization identity, the first of several names logs in.
    pub(crate) first_of_several: bool,
    /// Names as IA5String count, though XEP-0178 wants UTF8String.
    pub(crate) ia5_names: bool,
    /// `<auth mechanism='EXTERNAL'/>` without text gets an empty challenge; otherwise it counts as an empty response.
    pub(crate) challenge_external: bool,
    pub(crate) no_certificate: Refusal,
    pub(crate) self_signed: Refusal,
    pub(crate) untrusted: Refusal,
    pub(crate) expired: Refusal,
    pub(crate) not_yet_valid: Refusal,
    pub(crate) no_name: Refusal,
    pub(crate) other_name: Refusal,
    pub(crate) wrong_password: Refusal,
    pub(crate) scram_iterations: u32,

    pub(crate) sid: SidShape,
    pub(crate) sid_everywhere: bool,
    pub(crate) authid_is_sid: bool,
    pub(crate) version: &'static str,
    /// `ver`, `hold`, `ack` and `maxpause` need `ver` 1.6 in the request.
    pub(crate) modern_only_if_asked: bool,
    pub(crate) acks: bool,
    pub(crate) restart_logic: bool,
    pub(crate) xmpp_version: bool,
    pub(crate) wait: u16,
    pub(crate) inactivity: u16,
    pub(crate) polling: u16,
    pub(crate) max_pause: Option<u16>,
    /// Features beside the mechanisms, before login.
    pub(crate) features_before: &'static str,
    /// Features beside session establishment, after login.
    pub(crate) features_after: &'static str,
    /// Features when a resource was bound before them (XEP-0386).
    pub(crate) features_bound: &'static str,
    /// Features beside these over TCP and WebSocket.
    pub(crate) link_features: &'static str,
    /// How stream management is offered. The older version that they offer too is not in it: it is not implemented here.
    pub(crate) sm_feature: &'static str,
    /// WebSocket is served.
    pub(crate) websocket: bool,
}

impl Personality {
    pub(crate) fn habits(self) -> &'static Habits {
        match self {
            Self::Prosody => &PROSODY,
            Self::Ejabberd => &EJABBERD,
            Self::Openfire => &OPENFIRE,
        }
    }
}

const REGISTER: &str = "<register xmlns='http://jabber.org/features/iq-register'/>";

static PROSODY: Habits = Habits {
    external_offer: ExternalOffer::Always,
    certificate_of: CertificateOf::Request,
    first_of_several: true,
    ia5_names: true,
    challenge_external: false,
    no_certificate: Refusal::Because("account-disabled", None),
    self_signed: Refusal::Because("account-disabled", None),
    untrusted: Refusal::Because("account-disabled", None),
    expired: Refusal::False,
    not_yet_valid: Refusal::False,
    no_name: Refusal::Because("account-disabled", None),
    other_name: Refusal::Because("not-authorized", None),
    wrong_password: Refusal::Because(
        "not-authorized",
        Some("The response provided by the client doesn't match the one we calculated."),
    ),
    scram_iterations: 10_000,
    sid: SidShape::Uuid,
    sid_everywhere: true,
    authid_is_sid: true,
    version: "1.6",
    modern_only_if_asked: false,
    acks: false,
    restart_logic: false,
    xmpp_version: true,
    wait: 60,
    inactivity: 60,
    polling: 5,
    max_pause: None,
    features_before: REGISTER,
    features_after: "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><required/></bind><csi xmlns='urn:xmpp:csi:0'/>\
                     <ver xmlns='urn:xmpp:features:rosterver'/>",
    features_bound: "<csi xmlns='urn:xmpp:csi:0'/><ver xmlns='urn:xmpp:features:rosterver'/>",
    link_features: "",
    sm_feature: "<sm xmlns='urn:xmpp:sm:3'><optional/></sm>",
    websocket: true,
};

static EJABBERD: Habits = Habits {
    external_offer: ExternalOffer::WhereAsked,
    certificate_of: CertificateOf::Creation,
    first_of_several: false,
    ia5_names: false,
    challenge_external: false,
    no_certificate: Refusal::Because("not-authorized", Some("Failed to get peer certificate")),
    self_signed: Refusal::Because("not-authorized", Some("self signed certificate")),
    untrusted: Refusal::Because("not-authorized", Some("unable to verify the first certificate")),
    expired: Refusal::Because("not-authorized", Some("certificate has expired")),
    not_yet_valid: Refusal::Because("not-authorized", Some("certificate is not yet valid")),
    no_name: Refusal::Because("not-authorized", Some("Certificate JID mismatch")),
    other_name: Refusal::Because("not-authorized", Some("Certificate JID mismatch")),
    wrong_password: Refusal::Because("not-authorized", Some("Invalid username or password")),
    scram_iterations: 4096,
    sid: SidShape::Hex,
    sid_everywhere: false,
    authid_is_sid: false,
    version: "1.11",
    modern_only_if_asked: false,
    acks: false,
    restart_logic: true,
    xmpp_version: true,
    wait: 60,
    inactivity: 30,
    polling: 2,
    max_pause: Some(120),
    features_before: REGISTER,
    features_after: "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><ver xmlns='urn:xmpp:features:rosterver'/>\
                     <csi xmlns='urn:xmpp:csi:0'/>",
    features_bound: "<ver xmlns='urn:xmpp:features:rosterver'/><csi xmlns='urn:xmpp:csi:0'/>",
    link_features: "",
    sm_feature: "<sm xmlns='urn:xmpp:sm:3'/>",
    websocket: true,
};

static OPENFIRE: Habits = Habits {
    external_offer: ExternalOffer::WhereTrusted,
    certificate_of: CertificateOf::Creation,
    first_of_several: true,
    ia5_names: true,
    challenge_external: true,
    no_certificate: Refusal::Because("not-authorized", None),
    self_signed: Refusal::Because("not-authorized", None),
    untrusted: Refusal::Because("not-authorized", None),
    expired: Refusal::Because("not-authorized", None),
    not_yet_valid: Refusal::Because("not-authorized", None),
    no_name: Refusal::Because("not-authorized", None),
    other_name: Refusal::Because("not-authorized", None),
    wrong_password: Refusal::Because("not-authorized", None),
    scram_iterations: 4096,
    sid: SidShape::Hex,
    sid_everywhere: false,
    authid_is_sid: true,
    version: "1.6",
    modern_only_if_asked: true,
    acks: true,
    restart_logic: false,
    xmpp_version: false,
    wait: 60,
    inactivity: 30,
    polling: 5,
    max_pause: Some(300),
    // Openfire announces binding and the session before login too.
    features_before: "<register xmlns='http://jabber.org/features/iq-register'/><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                      <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>",
    features_after: "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
    features_bound: "",
    link_features: "<csi xmlns='urn:xmpp:csi:0'/>",
    sm_feature: "<sm xmlns='urn:xmpp:sm:3'/>",
    websocket: false,
};
