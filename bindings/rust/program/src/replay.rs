//! `epode replay`: plays the log of a login again, without a network, and compares what comes out.

use epode::Secret;
use epode::record::{Comparison, Label, Log, Treatment};
use serde_json::json;

use crate::cli::ReplayArgs;
use crate::exit::{Exit, Failure};
use crate::prompt;
use crate::terminal::{Terminal, Tone, visible};

/// A log that is larger is none of this program's (1 GiB).
const LARGEST: u64 = 1 << 30;

/// Characters of a line that are shown around the first difference.
const SHOWN: usize = 160;

/// Does what the command line says.
///
/// # Errors
/// The file is no log.
pub fn run(args: &ReplayArgs) -> Result<Exit, Failure> {
    let wrong = |why: &str| Failure::usage(format!("{}: {why}", args.file.display()));
    let size = std::fs::metadata(&args.file)
        .map_err(|error| wrong(&error.to_string()))?
        .len();
    if size > LARGEST {
        return Err(wrong("it is larger than 1 GiB: that is no log of a login"));
    }
    let text = std::fs::read_to_string(&args.file).map_err(|error| wrong(&error.to_string()))?;
    let mut log = Log::read(&text).map_err(|error| wrong(&error.to_string()))?;
    let password = prompt::password_from_environment()?;
    if let Some(password) = &password {
        log.header
            .config
            .set_password(Secret::new(password.as_bytes().to_vec()));
    }
    let comparison = log.compare().map_err(|error| wrong(&error.to_string()))?;
    let report = Report {
        line: comparison
            .difference
            .as_ref()
            .map(|difference| line_of(&text, difference.entry)),
        comparison,
    };
    if args.output.json {
        Terminal::plain().line(report.json());
    } else {
        report.print(Terminal::stdout(args.output.plain));
    }
    Ok(if report.comparison.difference.is_none() {
        Exit::Fine
    } else {
        Exit::Other
    })
}

/// The number of the line with that entry, from 1: the first line is the header, and empty ones are skipped.
fn line_of(text: &str, entry: usize) -> usize {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .nth(entry.saturating_add(1))
        .map_or_else(|| text.lines().count() + 1, |(index, _)| index + 1)
}

struct Report {
    comparison: Comparison,
    line: Option<usize>,
}

impl Report {
    fn json(&self) -> serde_json::Value {
        let Comparison {
            inputs,
            outputs,
            bytes,
            difference,
            placeholders,
        } = &self.comparison;
        let named = |wanted: Treatment| -> serde_json::Map<String, serde_json::Value> {
            placeholders
                .iter()
                .filter(|(.., treatment)| *treatment == wanted)
                .map(|(label, count, _)| (label.name().to_owned(), (*count).into()))
                .collect()
        };
        json!({
            "event": "replayed",
            "same": difference.is_none(),
            "inputs": inputs,
            "outputs": outputs,
            "bytes": bytes,
            "computed": named(Treatment::Computed),
            "left_out": named(Treatment::LeftOut),
            "difference": difference.as_ref().map(|difference| json!({
                "line": self.line,
                "expected": difference.expected,
                "got": difference.got,
            })),
            "status": if difference.is_none() { Exit::Fine } else { Exit::Other }.code(),
        })
    }

    fn print(&self, terminal: Terminal) {
        let comparison = &self.comparison;
        let counted = format!(
            "{} inputs played; {} outputs, with {} bytes for the network, are the same",
            comparison.inputs, comparison.outputs, comparison.bytes
        );
        match &comparison.difference {
            None => {
                terminal.line(terminal.paint(Tone::Good, "the same"));
                terminal.line(format!("  {counted}"));
            }
            Some(difference) => {
                let line = self.line.unwrap_or_default();
                terminal.line(terminal.paint(Tone::Bad, format!("line {line} differs")));
                terminal.line(format!("  before it, {counted}"));
                let (expected, got) = around(difference.expected.as_deref(), difference.got.as_deref());
                terminal.line(format!("  expected  {expected}"));
                terminal.line(format!("  got       {got}"));
            }
        }
        for (label, count, treatment) in &comparison.placeholders {
            terminal.line(format!("  {}", sentence(*label, *count, *treatment)));
        }
    }
}

/// What became of one kind of placeholder.
fn sentence(label: Label, count: usize, treatment: Treatment) -> String {
    let times = if count == 1 {
        "once".to_owned()
    } else {
        format!("{count} times")
    };
    // Not enums of this crate.
    let what = match label {
        Label::Password => "the password",
        Label::AccessToken => "the access token",
        Label::ClientProof => "the client's proof of the password",
        Label::ServerProof => "the server's proof of the password",
        Label::SaltedPassword => "what the password becomes for a stronger login",
        Label::LoginToken => "a login token",
        Label::TaskData => "what was said in a task behind the login",
        Label::ChannelBinding => "what the login is bound to",
        Label::SessionId => "a session id",
        Label::ResumptionId => "an id for resumption",
        Label::Kept => "what was kept of the session",
        _ => label.name(),
    };
    match treatment {
        Treatment::Computed => format!("computed from {}: {what}, {times}", prompt::PASSWORD_VARIABLE),
        Treatment::LeftOut | _ if matches!(label, Label::Password | Label::ClientProof | Label::ServerProof) => {
            format!(
                "left out: {what}, {times} ({} would give it)",
                prompt::PASSWORD_VARIABLE
            )
        }
        // Not an enum of this crate.
        Treatment::LeftOut | _ => format!("left out: {what}, {times}"),
    }
}

/// Two lines, from a little before where they part.
fn around(expected: Option<&str>, got: Option<&str>) -> (String, String) {
    let nothing = "nothing more".to_owned();
    let (Some(expected), Some(got)) = (expected, got) else {
        let cut = |line: Option<&str>| line.map_or_else(|| nothing.clone(), |line| shown(line, 0));
        return (cut(expected), cut(got));
    };
    let same = expected.chars().zip(got.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(SHOWN / 4);
    (shown(expected, from), shown(got, from))
}

fn shown(line: &str, from: usize) -> String {
    let mut text = String::new();
    if from > 0 {
        text.push('…');
    }
    text.extend(line.chars().skip(from).take(SHOWN));
    if line.chars().nth(from + SHOWN).is_some() {
        text.push('…');
    }
    visible(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_counted_as_an_editor_counts() {
        let text = "header\n\nfirst\nsecond\n\nthird\n";
        assert_eq!([0, 1, 2, 3].map(|entry| line_of(text, entry)), [3, 4, 6, 7]);
    }

    #[test]
    fn two_long_lines_are_shown_where_they_part() {
        let same = "x".repeat(1000);
        let (expected, got) = around(Some(&format!("{same}a tail")), Some(&format!("{same}b")));
        assert!(expected.starts_with("…x") && expected.ends_with("a tail"), "{expected}");
        assert!(got.ends_with("xb") && got.chars().count() < SHOWN, "{got}");
        assert_eq!(around(None, Some("a")), ("nothing more".to_owned(), "a".to_owned()));
    }
}
