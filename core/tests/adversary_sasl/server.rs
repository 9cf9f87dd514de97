//! A server in the hands of a test, which speaks SASL1 or SASL2 and knows SCRAM and HT.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use epode::config::{ConfigBuilder, MechanismPolicy, Persist, Reconnect};
use epode::error::{LoginError, SaslError, Warning};
use epode::xml::XmlLimits;
use epode::{
    ChannelBindingType, ChannelBindings, Config, Credentials, Derivation, DerivedKey, Element, Event, Failure, Input,
    LinkInfo, Offline, Output, SaslProfile, ScramHash, Secret, ServerProof, Slot,
};
use sha2::{Digest, Sha256};

use crate::harness::{BIND, NS_SASL, PASSWORD, Play, SALT, base64, bound, of};
use crate::proofs::Scram;
use crate::wire::{self, Cut, Wire};

pub(crate) use Profile::{One, Two};

pub(crate) const NS_SASL2: &str = "urn:xmpp:sasl:2";
pub(crate) const USER: &str = "user@example.org";
pub(crate) const SCRAM: &str = "SCRAM-SHA-256";
pub(crate) const PLUS: &str = "SCRAM-SHA-256-PLUS";
pub(crate) const EXPORTER: [u8; 32] = *b"what TLS exported of this link..";
pub(crate) const END_POINT: [u8; 32] = *b"the digest of that certificate..";
const SEED: [u8; 32] = *b"a seed of a client that logs in.";

/// By which protocol the server does logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    One,
    Two,
}

/// Runs a test by both profiles.
pub(crate) fn both(test: impl Fn(Profile)) {
    for profile in [One, Two] {
        // Shown where the test fails.
        eprintln!("{profile:?} on {:?}", wire::now());
        test(profile);
    }
}

/// Runs a test by both profiles on every transport.
pub(crate) fn everywhere(test: impl Fn(Profile)) {
    for (wire, cut) in [
        (Wire::Direct, Cut::Together),
        (Wire::Direct, Cut::Bytes),
        (Wire::StartTls, Cut::Elements),
        (Wire::WebSocket, Cut::Elements),
        (Wire::Bosh, Cut::Together),
    ] {
        wire::set(wire, cut);
        both(&test);
    }
}

impl Profile {
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            One => NS_SASL,
            Two => NS_SASL2,
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            One => Two,
            Two => One,
        }
    }

    pub(crate) fn element(self, name: &str, content: &str) -> String {
        format!("<{name} xmlns='{}'>{content}</{name}>", self.namespace())
    }

    /// A success with this data, in base64.
    pub(crate) fn success(self, data: Option<&str>) -> String {
        match self {
            One => self.element("success", data.unwrap_or_default()),
            Two => success(
                data,
                &format!("<authorization-identifier>{USER}</authorization-identifier>"),
            ),
        }
    }

    /// A refusal with this condition, and more.
    pub(crate) fn failure(self, condition: &str, more: &str) -> String {
        self.element("failure", &format!("<{condition} xmlns='{NS_SASL}'/>{more}"))
    }
}

/// A success of SASL2.
pub(crate) fn success(data: Option<&str>, more: &str) -> String {
    let data = data.map(|data| format!("<additional-data>{data}</additional-data>"));
    Two.element("success", &format!("{}{more}", data.unwrap_or_default()))
}

/// What the server offers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offer<'a> {
    pub(crate) mechanisms: &'a [&'a str],
    /// The types of channel binding (XEP-0440).
    pub(crate) bindings: Option<&'a [&'a str]>,
    /// The mechanisms of login tokens (XEP-0484).
    pub(crate) fast: &'a [&'a str],
    /// What else can be asked for together with the login.
    pub(crate) inline: &'a str,
    /// What else is in `<authentication/>`.
    pub(crate) more: &'a str,
}

impl<'a> Offer<'a> {
    pub(crate) fn of(mechanisms: &'a [&'a str]) -> Self {
        Self {
            mechanisms,
            ..Self::default()
        }
    }

    pub(crate) fn bindings(self, bindings: &'a [&'a str]) -> Self {
        let bindings = Some(bindings);
        Self { bindings, ..self }
    }

    pub(crate) fn fast(self, fast: &'a [&'a str]) -> Self {
        Self { fast, ..self }
    }

    pub(crate) fn inline(self, inline: &'a str) -> Self {
        Self { inline, ..self }
    }

    pub(crate) fn more(self, more: &'a str) -> Self {
        Self { more, ..self }
    }

    /// In `<stream:features/>`, by one profile.
    pub(crate) fn features(&self, profile: Profile) -> String {
        self.features_of(&[profile])
    }

    pub(crate) fn features_of(&self, profiles: &[Profile]) -> String {
        let lists: String = profiles.iter().map(|profile| self.list(*profile)).collect();
        let types = self.bindings.map(|types| {
            let types: String = types
                .iter()
                .map(|name| format!("<channel-binding type='{name}'/>"))
                .collect();
            format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{types}</sasl-channel-binding>")
        });
        let types = types.unwrap_or_default();
        format!("<stream:features>{lists}{types}</stream:features>")
    }

    fn list(&self, profile: Profile) -> String {
        let names = names(self.mechanisms);
        if profile == One {
            return One.element("mechanisms", &names);
        }
        let fast = match self.fast {
            [] => String::new(),
            fast => format!(
                "<fast xmlns='urn:xmpp:fast:0' tls-0rtt='true'>{}</fast>",
                self::names(fast)
            ),
        };
        let inline = format!("<inline>{fast}{}</inline>", self.inline);
        Two.element("authentication", &format!("{names}{}{inline}", self.more))
    }

    /// The hash of the offer that an honest server shows (XEP-0474 §6.1).
    pub(crate) fn hash(&self) -> String {
        let sorted = |list: &[&str]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list.join("\u{1e}")
        };
        let mut joined = sorted(self.mechanisms);
        if let Some(bindings) = self.bindings {
            joined = format!("{joined}\u{1f}{}", sorted(bindings));
        }
        base64(Sha256::digest(joined))
    }
}

fn names(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("<mechanism>{name}</mechanism>"))
        .collect()
}

/// An account with that password and this policy.
pub(crate) fn account(policy: MechanismPolicy) -> ConfigBuilder {
    of(USER).credentials(Credentials::password(PASSWORD)).mechanisms(policy)
}

/// The same, but for the thousands of hashes: what they lead to is known already.
pub(crate) fn quick(policy: MechanismPolicy) -> ConfigBuilder {
    static KEY: OnceLock<DerivedKey> = OnceLock::new();
    let derive = || {
        let derivation = Derivation {
            hash: ScramHash::Sha256,
            salt: STANDARD.decode(SALT).unwrap(),
            iterations: 4_096,
            password: PASSWORD.into(),
        };
        derivation.run()
    };
    let key = KEY.get_or_init(derive).clone();
    let credentials = Credentials::ScramKey { key };
    of(USER).credentials(credentials).mechanisms(policy)
}

/// An account with a password, and no more.
pub(crate) fn password() -> Config {
    account(MechanismPolicy::default()).build().unwrap()
}

pub(crate) fn with_plain() -> MechanismPolicy {
    MechanismPolicy {
        allow_plain: true,
        ..MechanismPolicy::default()
    }
}

/// One that comes back after a loss, and keeps what there is to keep.
pub(crate) fn lasting(builder: ConfigBuilder) -> Config {
    let builder = builder.reconnect(Reconnect::default()).persist(Persist::EveryTurn);
    builder.build().unwrap()
}

/// A link over which nothing is known that a login could be bound to.
pub(crate) fn unbound() -> LinkInfo {
    LinkInfo::verified("example.org")
}

/// A link of TLS 1.3, with what a login on it can be bound to.
pub(crate) fn bindable() -> LinkInfo {
    LinkInfo {
        tls_version: Some("1.3".to_owned()),
        channel_bindings: ChannelBindings {
            tls_exporter: Some(EXPORTER.to_vec()),
            tls_unique: None,
            tls_server_end_point: Some(END_POINT.to_vec()),
        },
        ..unbound()
    }
}

/// The same of which only the exporter is known.
pub(crate) fn exporting() -> LinkInfo {
    let mut info = bindable();
    info.channel_bindings.tls_server_end_point = None;
    info
}

pub(crate) type Slots = BTreeMap<Slot, Vec<u8>>;

/// A client that logs in to such a server.
pub(crate) struct Login {
    play: Play,
    pub(crate) profile: Profile,
    /// Before the last link: how many links there were, requests, and proofs of the password.
    before: (usize, usize, usize),
}

impl Deref for Login {
    type Target = Play;

    fn deref(&self) -> &Play {
        &self.play
    }
}

impl DerefMut for Login {
    fn deref_mut(&mut self) -> &mut Play {
        &mut self.play
    }
}

impl Login {
    /// The features of a server are there, over a link like that.
    pub(crate) fn over(profile: Profile, config: Config, info: LinkInfo, offer: &Offer<'_>) -> Self {
        Self::restored(profile, config, &Slots::new(), info, offer)
    }

    pub(crate) fn new(profile: Profile, config: Config, offer: &Offer<'_>) -> Self {
        Self::over(profile, config, unbound(), offer)
    }

    /// The same, of a client that knows what another one has stored.
    pub(crate) fn restored(profile: Profile, config: Config, slots: &Slots, info: LinkInfo, offer: &Offer<'_>) -> Self {
        let mut login = Self::linked(profile, config, slots, info);
        login.features(offer);
        login
    }

    /// The link is there, and nothing has been said.
    pub(crate) fn linked(profile: Profile, config: Config, slots: &Slots, info: LinkInfo) -> Self {
        let mut play = Play::idle(config, SEED);
        play.input(Input::Clock { unix_ms: NOW }).unwrap();
        for (slot, bytes) in slots {
            let (slot, bytes) = (*slot, Secret::new(bytes.clone()));
            play.input(Input::Restore { slot, bytes }).unwrap();
        }
        play.input(Input::Start).unwrap();
        play.connect(info);
        Self {
            play,
            profile,
            before: (0, 0, 0),
        }
    }

    /// The link breaks, and the client comes back over another one. What happened so far is not in `events` any more.
    pub(crate) fn again(&mut self, info: LinkInfo, offer: &Offer<'_>) {
        let link = self.play.link;
        self.play
            .input(Input::Failed {
                link,
                request: None,
                reason: Failure::Reset,
            })
            .unwrap();
        self.play.until_next_link();
        self.play.events.clear();
        self.before = (self.play.connects.len() - 1, self.count("iq"), self.proofs());
        self.play.connect(info);
        self.features(offer);
    }

    pub(crate) fn features(&mut self, offer: &Offer<'_>) {
        let features = offer.features(self.profile);
        self.play.create(&features);
    }

    // ---- what the server says

    /// An element of the profile.
    pub(crate) fn says(&mut self, name: &str, content: &str) {
        let element = self.profile.element(name, content);
        self.play.answer(&element);
    }

    pub(crate) fn challenge(&mut self, data: impl AsRef<[u8]>) {
        self.says("challenge", &base64(data));
    }

    pub(crate) fn succeed(&mut self, data: Option<&str>) {
        let data = data.map(base64);
        let success = self.profile.success(data.as_deref());
        self.play.answer(&success);
    }

    /// A success of SASL2, for that identity and with more.
    pub(crate) fn succeed_as(&mut self, data: Option<&str>, more: &str) {
        let data = data.map(base64);
        self.play.answer(&success(data.as_deref(), more));
    }

    pub(crate) fn refuse(&mut self, condition: &str) {
        self.refuse_with(condition, "");
    }

    pub(crate) fn refuse_with(&mut self, condition: &str, more: &str) {
        let failure = self.profile.failure(condition, more);
        self.play.answer(&failure);
    }

    /// SCRAM, as far as the server's proof, which it returns.
    pub(crate) fn scram(&mut self) -> String {
        let server = Scram::to(self);
        self.challenge(&server.first);
        server.proof(&self.last_text())
    }

    /// All of SCRAM.
    pub(crate) fn scram_in(&mut self) {
        let proof = self.scram();
        self.succeed(Some(&proof));
    }

    /// A resource is asked for and bound.
    pub(crate) fn bind(&mut self) {
        self.play.answer(BIND);
        let id = self.play.iq_id();
        self.play.answer(&bound(&id, "<jid>user@example.org/r</jid>"));
        self.assert_online("after binding");
    }

    // ---- what the client said

    /// All of its elements, in order; one that was posted again counts once.
    pub(crate) fn elements(&self) -> Vec<Element> {
        if self.play.wire != Wire::Bosh {
            return self
                .play
                .posts
                .iter()
                .flat_map(|post| self.play.wire.elements(post))
                .collect();
        }
        let mut seen = BTreeSet::new();
        let posts = self.play.posts.iter().filter(|post| seen.insert(*post));
        let bodies = posts.map(|post| Element::parse(post, &XmlLimits::default()).unwrap());
        bodies
            .flat_map(|body| body.children().map(|child| child.to_element()).collect::<Vec<_>>())
            .collect()
    }

    /// What began a login, of either profile.
    pub(crate) fn starts(&self) -> Vec<Element> {
        let mut elements = self.elements();
        elements.retain(|element| matches!(element.name(), "auth" | "authenticate"));
        elements
    }

    /// The mechanisms of all logins that were begun.
    pub(crate) fn tried(&self) -> Vec<String> {
        let starts = self.starts();
        let names = starts
            .iter()
            .map(|start| start.attribute("mechanism").unwrap().to_owned());
        names.collect()
    }

    /// The messages of the mechanisms, in order. A start without a message counts as one without bytes.
    pub(crate) fn messages(&self) -> Vec<Vec<u8>> {
        let elements = self.elements();
        let messages = elements.iter().filter_map(|element| {
            let text = match element.name() {
                "auth" | "response" => element.text().into_owned(),
                "authenticate" => {
                    let initial = element.children().find(|child| child.name() == "initial-response");
                    initial
                        .map(|initial| initial.to_element().text().into_owned())
                        .unwrap_or_default()
                }
                _ => return None,
            };
            Some(match text.as_str() {
                "=" => Vec::new(),
                text => STANDARD.decode(text).unwrap(),
            })
        });
        messages.collect()
    }

    pub(crate) fn last(&self) -> Vec<u8> {
        self.messages().pop().expect("the client has said nothing")
    }

    pub(crate) fn last_text(&self) -> String {
        String::from_utf8(self.last()).unwrap()
    }

    fn proofs(&self) -> usize {
        let is_proof = |message: &&Vec<u8>| message.windows(3).any(|part| part == b",p=");
        self.messages().iter().filter(is_proof).count()
    }

    /// How many elements of that name there are.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.elements().iter().filter(|element| element.name() == name).count()
    }

    pub(crate) fn into_play(self) -> Play {
        self.play
    }

    pub(crate) fn slots(&self) -> Slots {
        let mut slots = Slots::new();
        for output in &self.play.others {
            if let Output::Store { slot, append, bytes } = output {
                let kept = slots.entry(*slot).or_default();
                if !append {
                    kept.clear();
                }
                kept.extend(bytes.expose());
            }
        }
        slots.retain(|_, bytes| !bytes.is_empty());
        slots
    }

    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let warnings = self.play.events.iter().filter_map(|event| match event {
            Event::Warning(warning) => Some(warning.clone()),
            _ => None,
        });
        warnings.collect()
    }

    // ---- how it ended

    pub(crate) fn assert_online(&self, case: &str) {
        assert!(self.play.is_online(), "{case}: {:?}", self.play.events);
    }

    /// What `Online` says: the mechanism, the server's proof, the binding, the profile.
    pub(crate) fn online(&self) -> (String, ServerProof, Option<ChannelBindingType>, Option<SaslProfile>) {
        let online = self.play.events.iter().find_map(|event| match event {
            Event::Online {
                mechanism,
                server_proof,
                channel_binding,
                profile,
                ..
            } => Some((mechanism.clone(), *server_proof, *channel_binding, *profile)),
            _ => None,
        });
        online.unwrap_or_else(|| panic!("not online: {:?}", self.play.events))
    }

    /// The login failed for good: nobody is online, nothing is tried again, no password was said. Why, as the user is told.
    pub(crate) fn refused(&self, case: &str) -> Offline {
        assert!(self.play.is_over(), "{case}: {:?}", self.play.events);
        assert!(!self.play.is_online(), "{case}: {:?}", self.play.events);
        assert_eq!(
            self.play.connects.len(),
            self.before.0 + 1,
            "{case}: no new try by itself"
        );
        assert!(self.play.deadline().is_none(), "{case}: nothing is waited for");
        assert!(self.play.stanzas().is_empty(), "{case}: {:?}", self.play.events);
        assert_eq!(self.count("iq"), self.before.1, "{case}: nothing is bound");
        self.assert_unsaid(PASSWORD, case);
        let reason = self.play.reason();
        assert!(reason.to_string().len() < 4_096, "{case}: {reason}");
        reason
    }

    /// The same, and the server did not get a proof of the password either, which could be tried against guesses.
    pub(crate) fn refused_unproved(&self, case: &str) -> Offline {
        assert_eq!(self.proofs(), self.before.2, "{case}: a proof was sent");
        self.refused(case)
    }

    /// Why the mechanism failed.
    pub(crate) fn error(&self, case: &str) -> SaslError {
        match self.refused(case) {
            Offline::Login(LoginError::Mechanism { error, .. }) => error,
            other => panic!("{case}: {other:?}"),
        }
    }

    /// The server has not been told this, in any form.
    pub(crate) fn assert_unsaid(&self, secret: &str, case: &str) {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!self.messages().iter().any(|message| holds(message)), "{case}");
        let posts = self.play.posts.iter().any(|post| holds(post.as_bytes()));
        assert!(!posts, "{case}: {:?}", self.play.posts);
    }
}

/// The wall clock of all tests: 2026-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_767_225_600_000;
