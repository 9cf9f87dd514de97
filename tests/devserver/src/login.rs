//! Login: SASL in its first profile (RFC 6120 §6) and in its second (XEP-0388), with the tasks that may follow there.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Attempt;
use crate::personality::{CertificateOf, Refusal};
use crate::sasl::{self, Circumstances, Exchange, Mechanism, Proved, Step};
use crate::sm::SM;
use crate::stream::{Action, BIND2, CARBONS, CSI, Context, FAST, SASL, SASL2, State, Stream, UPGRADE};
use crate::tasks::{Progress, Tasks};
use crate::xml::{Element, escape};

const MALFORMED: Refusal = Refusal::Because("malformed-request", None);
const BAD_ENCODING: Refusal = Refusal::Because("incorrect-encoding", None);
const NO_MECHANISM: Refusal = Refusal::Because("invalid-mechanism", None);

/// A login that is under way.
#[derive(Debug)]
pub(crate) struct Login {
    /// What the client wants with its login, in SASL2.
    request: Option<Request>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Exchange(Exchange),
    /// The mechanism has succeeded.
    Tasks(Tasks),
}

/// `<authenticate/>` without its mechanism's data.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Who it is: the `id` of `<user-agent/>`.
    pub(crate) agent: Option<String>,
    pub(crate) mechanism: String,
    pub(crate) bind: Option<BindRequest>,
    /// `<resume/>` of XEP-0198.
    pub(crate) resume: Option<Element>,
    /// The mechanism that a token is wanted for (XEP-0484).
    pub(crate) token: Option<String>,
    pub(crate) invalidate: bool,
    pub(crate) count: Option<u64>,
    upgrades: Vec<String>,
}

/// `<bind/>` of XEP-0386.
#[derive(Debug, Default)]
pub(crate) struct BindRequest {
    pub(crate) tag: Option<String>,
    /// `<enable/>` of XEP-0198.
    pub(crate) enable: Option<Element>,
    pub(crate) carbons: bool,
    pub(crate) inactive: bool,
}

/// A login over SASL2 that has succeeded, and all that follows from it.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) proved: Proved,
    pub(crate) request: Request,
}

impl Stream {
    /// An element of either profile.
    pub(crate) fn login(&mut self, element: &Element, context: &mut Context<'_>) -> Vec<Action> {
        let State::Authenticating(login) = &mut self.state else {
            return vec![
                Action::Violation("SASL after login".into()),
                Action::StreamError("policy-violation"),
            ];
        };
        let waiting = login.take().map(|login| *login);
        let sasl2 = element.namespace == SASL2;
        let mut actions = Vec::new();
        match (element.name.as_str(), waiting) {
            ("auth", None) if !sasl2 => self.begin(element, None, &mut actions, context),
            ("authenticate", None) if sasl2 => {
                let request = Request::read(element, self, &mut actions);
                self.begin(element, Some(request), &mut actions, context);
            }
            (
                "response",
                Some(Login {
                    request,
                    phase: Phase::Exchange(exchange),
                }),
            ) if request.is_some() == sasl2 => {
                let step = match decode(&element.text(), sasl2) {
                    Some(message) => {
                        let now = circumstances(context, self, request.as_ref());
                        sasl::proceed(exchange, &message.unwrap_or_default(), context.accounts, &now)
                    }
                    None => Step::Refuse(BAD_ENCODING),
                };
                self.step(step, request, &mut actions, context);
            }
            (
                "next" | "task-data",
                Some(Login {
                    request: Some(request),
                    phase: Phase::Tasks(tasks),
                }),
            ) if sasl2 => {
                let progress = tasks.proceed(element, context);
                self.progress(progress, request, &mut actions);
            }
            (
                "authenticate",
                Some(Login {
                    phase: Phase::Tasks(_), ..
                }),
            ) => {
                // XEP-0388 §2.6.2: the client is authenticated already.
                actions.push(Action::Violation("<authenticate/> after <continue/>".into()));
                actions.push(Action::StreamError("policy-violation"));
            }
            ("abort", _) => refuse(Refusal::Because("aborted", None), sasl2, &mut actions),
            (name, _) => {
                actions.push(Action::Violation(format!("<{}/> that nothing asked for", escape(name))));
                refuse(MALFORMED, sasl2, &mut actions);
            }
        }
        actions
    }

    /// The first message of a login.
    fn begin(
        &mut self,
        element: &Element,
        request: Option<Request>,
        actions: &mut Vec<Action>,
        context: &mut Context<'_>,
    ) {
        let sasl2 = request.is_some();
        let name = element.attribute("mechanism").unwrap_or_default();
        actions.push(Action::Attempt(Attempt {
            sasl2,
            mechanism: name.to_owned(),
        }));
        let initial = if sasl2 {
            // XEP-0388 §2.6.1: an element without text is a response without bytes.
            match element.child(SASL2, "initial-response") {
                Some(response) => decode(&response.text(), true).map(|data| Some(data.unwrap_or_default())),
                None => Some(None),
            }
        } else {
            decode(&element.text(), false)
        };
        let quick = element.child(FAST, "fast").is_some();
        let offered = match (sasl2, quick) {
            (true, true) => &self.advert.fast,
            (true, false) => &self.advert.sasl2,
            (false, _) => &self.advert.sasl1,
        };
        let mechanism = Mechanism::by_name(name).filter(|_| offered.iter().any(|offered| offered == name));
        if quick && self.claimed.is_none() {
            actions.push(Action::Violation(
                "a token without `from` in the stream's header (XEP-0484 §3.4)".into(),
            ));
        }
        let step = match (mechanism, initial) {
            (Some(mechanism), Some(initial)) => {
                let now = circumstances(context, self, request.as_ref());
                sasl::start(mechanism, initial.as_deref(), context.accounts, &now)
            }
            (None, _) => Step::Refuse(NO_MECHANISM),
            (Some(_), None) => Step::Refuse(BAD_ENCODING),
        };
        self.step(step, request, actions, context);
    }

    /// What the mechanism said goes to the client, in the words of its profile.
    fn step(&mut self, step: Step, request: Option<Request>, actions: &mut Vec<Action>, context: &mut Context<'_>) {
        let sasl2 = request.is_some();
        match step {
            Step::Challenge(data, exchange) => {
                let phase = Phase::Exchange(exchange);
                self.state = State::Authenticating(Some(Box::new(Login { request, phase })));
                actions.push(Action::Reply(wrap("challenge", &STANDARD.encode(data), sasl2)));
            }
            Step::Success(mut proved) => {
                self.certificate = proved.certificate.take();
                let Some(request) = request else {
                    let data = proved.data.map(|data| STANDARD.encode(data)).unwrap_or_default();
                    self.state = State::Authenticated { user: proved.user };
                    actions.push(Action::Reply(wrap("success", &data, false)));
                    actions.push(Action::LoggedIn);
                    return;
                };
                let progress = Tasks::begin(proved, &request.upgrades, context);
                self.progress(progress, request, actions);
            }
            Step::Refuse(why) => refuse(why, sasl2, actions),
        }
    }

    /// What the tasks said goes to the client.
    fn progress(&mut self, progress: Progress, request: Request, actions: &mut Vec<Action>) {
        match progress {
            Progress::Say(xml, tasks) => {
                let (request, phase) = (Some(request), Phase::Tasks(*tasks));
                self.state = State::Authenticating(Some(Box::new(Login { request, phase })));
                actions.push(Action::Reply(xml));
            }
            Progress::Done(proved) => actions.push(Action::Grant(Box::new(Grant { proved, request }))),
            Progress::Violation(what) => {
                actions.push(Action::Violation(what));
                refuse(MALFORMED, true, actions);
            }
            Progress::Refuse(why) => refuse(why, true, actions),
        }
    }
}

impl Request {
    /// Reads what is in `<authenticate/>`; what must not be in it is left out.
    fn read(element: &Element, stream: &Stream, actions: &mut Vec<Action>) -> Self {
        let advert = &stream.advert;
        let mut violate = |what: &str| actions.push(Action::Violation(what.to_owned()));
        let agent = element
            .child(SASL2, "user-agent")
            .and_then(|agent| agent.attribute("id"))
            .map(str::to_owned);
        if agent.as_ref().is_some_and(|id| !is_uuid_v4(id)) {
            violate("a user-agent whose id is no UUID of version 4 (XEP-0388 §2.6.1)");
        }
        let mut request = Self {
            agent,
            mechanism: element.attribute("mechanism").unwrap_or_default().to_owned(),
            ..Self::default()
        };
        if let Some(bind) = element.child(BIND2, "bind") {
            let inline = BindRequest {
                tag: bind
                    .child(BIND2, "tag")
                    .map(Element::text)
                    .filter(|tag| !tag.is_empty()),
                enable: bind.child(SM, "enable").cloned(),
                carbons: bind.child(CARBONS, "enable").is_some(),
                inactive: bind.child(CSI, "inactive").is_some(),
            };
            if !advert.bind2 {
                violate("<bind/> in <authenticate/> where it was not offered");
            } else if inline.enable.is_some() && !advert.management {
                violate("stream management in <bind/> where it was not offered");
                request.bind = Some(BindRequest { enable: None, ..inline });
            } else {
                request.bind = Some(inline);
            }
        }
        if let Some(resume) = element.child(SM, "resume") {
            if advert.resumption {
                request.resume = Some(resume.clone());
            } else {
                violate("<resume/> in <authenticate/> where it was not offered");
            }
        }
        if let Some(wanted) = element.child(FAST, "request-token") {
            let mechanism = wanted.attribute("mechanism").unwrap_or_default();
            if !advert.fast.iter().any(|offered| offered == mechanism) {
                violate("a token asked for with a mechanism that was not offered (XEP-0484 §3.2)");
            } else if request.agent.is_none() {
                violate("a token asked for without a user-agent (XEP-0484 §3.2)");
            } else {
                request.token = Some(mechanism.to_owned());
            }
        }
        if let Some(fast) = element.child(FAST, "fast") {
            request.count = fast.attribute("count").and_then(|count| count.parse().ok());
            request.invalidate = matches!(fast.attribute("invalidate"), Some("true" | "1"));
        }
        for upgrade in element.elements().filter(|element| element.is(UPGRADE, "upgrade")) {
            let task = upgrade.text();
            if advert.upgrades.contains(&task) {
                request.upgrades.push(task);
            } else {
                violate("an upgrade task that was not offered (XEP-0480 §4)");
            }
        }
        request
    }
}

/// What a login is judged by. It holds on to none of the accounts.
fn circumstances<'a>(context: &Context<'a>, stream: &'a Stream, request: Option<&'a Request>) -> Circumstances<'a> {
    Circumstances {
        domain: &context.settings.domain,
        habits: context.habits,
        options: context.options,
        peer: match context.habits.certificate_of {
            CertificateOf::Request => context.request,
            CertificateOf::Creation => context.creation,
        },
        advert: &stream.advert,
        sasl2: request.is_some(),
        agent: request.and_then(|request| request.agent.as_deref()),
        count: request.and_then(|request| request.count),
        time: SystemTime::now(),
    }
}

/// RFC 9562 §5.4, in the usual spelling.
fn is_uuid_v4(text: &str) -> bool {
    let shaped = text.char_indices().all(|(at, c)| match at {
        8 | 13 | 18 | 23 => c == '-',
        14 => c == '4',
        19 => matches!(c, '8' | '9' | 'a' | 'b' | 'A' | 'B'),
        _ => c.is_ascii_hexdigit(),
    });
    shaped && text.len() == 36
}

/// SASL data in XML: base64, or nothing for nothing. In the first profile `=` stands for empty data (RFC 6120 §6.4.2); the second has
/// no need of it. Outer `None`: not base64.
fn decode(text: &str, sasl2: bool) -> Option<Option<Vec<u8>>> {
    match text {
        "" => Some(None),
        "=" if !sasl2 => Some(Some(Vec::new())),
        text => STANDARD.decode(text).ok().map(Some),
    }
}

fn refuse(why: Refusal, sasl2: bool, actions: &mut Vec<Action>) {
    let xml = match (why, sasl2) {
        (Refusal::False, false) => format!("<false xmlns='{SASL}'/>"),
        (Refusal::False, true) => failure("not-authorized", None, true),
        (Refusal::Because(condition, text), sasl2) => failure(condition, text, sasl2),
    };
    actions.push(Action::Reply(xml));
    actions.push(Action::Refused);
}

fn failure(condition: &str, text: Option<&str>, sasl2: bool) -> String {
    // XEP-0388 §2.6.4: the conditions keep the namespace that they have in the first profile.
    let namespace = if sasl2 {
        format!(" xmlns='{SASL}'")
    } else {
        String::new()
    };
    let text = text
        .map(|text| format!("<text xml:lang='en'>{}</text>", escape(text)))
        .unwrap_or_default();
    wrap("failure", &format!("<{condition}{namespace}/>{text}"), sasl2)
}

fn wrap(name: &str, inside: &str, sasl2: bool) -> String {
    let namespace = if sasl2 { SASL2 } else { SASL };
    if inside.is_empty() {
        return format!("<{name} xmlns='{namespace}'/>");
    }
    format!("<{name} xmlns='{namespace}'>{inside}</{name}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_of_version_4_or_it_is_none() {
        assert!(is_uuid_v4("d4565fa7-4d72-4749-b3d3-740edbf87770"));
        for other in [
            "",
            "d4565fa7-4d72-1749-b3d3-740edbf87770",
            "d4565fa74d724749b3d3740edbf87770",
            "epode",
        ] {
            assert!(!is_uuid_v4(other), "{other}");
        }
    }

    #[test]
    fn only_the_first_profile_has_a_sign_for_nothing() {
        assert_eq!(decode("=", false), Some(Some(Vec::new())));
        assert_eq!(decode("=", true), None);
        assert_eq!(decode("", true), Some(None));
        assert_eq!(decode("a", false), None);
    }
}
