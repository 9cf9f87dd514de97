//! Tasks between SASL2's mechanism and its success (XEP-0388 §2.7): those of XEP-0480, and one for tests.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::ScramHash;
use crate::personality::Refusal;
use crate::sasl::Proved;
use crate::stream::{Context, SASL2, hex};
use crate::xml::{Element, escape};

const SCRAM_UPGRADE: &str = "urn:xmpp:scram-upgrade:0";
/// The namespace of what the task for tests says.
const TEST: &str = "urn:epode:devserver:task";
/// How often the task for tests asks.
const QUESTIONS: u8 = 2;

const NOT_AUTHORIZED: Refusal = Refusal::Because("not-authorized", None);

/// What a client has yet to do before it is let in.
#[derive(Debug)]
pub(crate) struct Tasks {
    proved: Proved,
    /// The client does one of each set; the first is the one it was told of.
    to_do: VecDeque<Vec<String>>,
    running: Option<Running>,
}

#[derive(Debug)]
enum Running {
    /// The answer that is wanted, and how many more follow.
    Test { answer: String, more: u8 },
    Upgrade {
        hash: ScramHash,
        salt: Vec<u8>,
        iterations: u32,
    },
}

/// What an element of the client leads to.
#[derive(Debug)]
pub(crate) enum Progress {
    Say(String, Box<Tasks>),
    Done(Proved),
    Violation(String),
    Refuse(Refusal),
}

impl Tasks {
    /// The mechanism has succeeded. The upgrades are those that the client asked for.
    pub(crate) fn begin(mut proved: Proved, upgrades: &[String], context: &Context<'_>) -> Progress {
        let lacking = |task: &&String| {
            by_task(task).is_some_and(|hash| context.accounts.lacks(&proved.user, hash, context.options))
        };
        let mut to_do: VecDeque<Vec<String>> = upgrades.iter().filter(lacking).map(|task| vec![task.clone()]).collect();
        if !context.options.tasks.is_empty() {
            to_do.push_back(context.options.tasks.clone());
        }
        if to_do.is_empty() {
            return Progress::Done(proved);
        }
        let data = proved.data.take();
        let tasks = Self {
            proved,
            to_do,
            running: None,
        };
        tasks.announce(data)
    }

    /// XEP-0388 §2.6.2. The mechanism's data comes with the first one.
    fn announce(self, data: Option<Vec<u8>>) -> Progress {
        let Some(choice) = self.to_do.front() else {
            return Progress::Done(self.proved);
        };
        let data = data
            .map(|data| format!("<additional-data>{}</additional-data>", STANDARD.encode(data)))
            .unwrap_or_default();
        let names: String = choice
            .iter()
            .map(|name| format!("<task>{}</task>", escape(name)))
            .collect();
        let xml = format!("<continue xmlns='{SASL2}'>{data}<tasks>{names}</tasks></continue>");
        Progress::Say(xml, Box::new(self))
    }

    /// `<next/>` or `<task-data/>`.
    pub(crate) fn proceed(self, element: &Element, context: &mut Context<'_>) -> Progress {
        match (element.name.as_str(), &self.running) {
            ("next", None) => self.choose(element.attribute("task").unwrap_or_default(), context),
            ("task-data", Some(_)) => self.run(element, context),
            ("next", Some(_)) => Progress::Violation("<next/> within a task".into()),
            (name, _) => Progress::Violation(format!("<{name}/> before a task was chosen")),
        }
    }

    fn choose(mut self, name: &str, context: &mut Context<'_>) -> Progress {
        if !self
            .to_do
            .front()
            .is_some_and(|choice| choice.iter().any(|offered| offered == name))
        {
            return Progress::Violation(format!("the task {name:?}, which was not offered"));
        }
        let Some(hash) = by_task(name) else {
            return self.ask(QUESTIONS - 1, context);
        };
        let iterations = context.accounts.iterations(context.options);
        let salt = context.accounts.random_bytes::<16>().to_vec();
        let inside = format!(
            "<salt xmlns='{SCRAM_UPGRADE}' iterations='{iterations}'>{}</salt>",
            STANDARD.encode(&salt)
        );
        self.running = Some(Running::Upgrade { hash, salt, iterations });
        Progress::Say(task_data(&inside), Box::new(self))
    }

    fn ask(mut self, more: u8, context: &Context<'_>) -> Progress {
        let answer = hex(&context.accounts.random_bytes::<8>());
        let xml = task_data(&format!("<ask xmlns='{TEST}'>{answer}</ask>"));
        self.running = Some(Running::Test { answer, more });
        Progress::Say(xml, Box::new(self))
    }

    fn run(mut self, element: &Element, context: &mut Context<'_>) -> Progress {
        match self.running.take() {
            Some(Running::Test { answer, more }) => {
                if element.child(TEST, "answer").map(Element::text) != Some(answer) {
                    return Progress::Refuse(NOT_AUTHORIZED);
                }
                if more > 0 {
                    return self.ask(more - 1, context);
                }
            }
            Some(Running::Upgrade { hash, salt, iterations }) => {
                let text = element.child(SCRAM_UPGRADE, "hash").map(Element::text);
                let Some(salted) = text.and_then(|text| STANDARD.decode(text).ok()) else {
                    return Progress::Violation("an upgrade task without the hash in base64".into());
                };
                // A server that had to ask could not know. This one can, and a wrong hash would lock the user out.
                let password = context.accounts.password(&self.proved.user).unwrap_or_default();
                let expected = hash.salted(password.as_bytes(), &salt, iterations);
                if !bool::from(expected.ct_eq(&salted)) {
                    return Progress::Violation("a hash that is not the password's (XEP-0480 §6)".into());
                }
                context
                    .accounts
                    .upload(&self.proved.user, hash, &salted, salt, iterations);
            }
            None => {}
        }
        self.to_do.pop_front();
        self.announce(None)
    }
}

fn by_task(name: &str) -> Option<ScramHash> {
    ScramHash::ALL.into_iter().find(|hash| hash.upgrade_task() == name)
}

fn task_data(inside: &str) -> String {
    format!("<task-data xmlns='{SASL2}'>{inside}</task-data>")
}
