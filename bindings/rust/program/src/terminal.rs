//! How text looks on a terminal: colours where a person sees them, and nothing from outside that could steer the terminal.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

/// What a piece of text means; each has one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A heading, or what the eye should find first.
    Strong,
    /// What may be skipped.
    Quiet,
    /// It worked.
    Good,
    /// Look at this.
    Warning,
    /// It failed.
    Bad,
    /// From us to the server.
    Sent,
    /// From the server to us.
    Received,
}

/// Where the program writes for a person.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    colours: bool,
}

impl Terminal {
    /// For stdout. No colours with `plain`, when stdout is no terminal, when `NO_COLOR` is set and not empty
    /// (<https://no-color.org>), or when `TERM` is `dumb`.
    #[must_use]
    pub fn stdout(plain: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Self {
            colours: !plain && !unwanted && !dumb && io::stdout().is_terminal(),
        }
    }

    /// Without colours, whatever stdout is.
    #[must_use]
    pub const fn plain() -> Self {
        Self { colours: false }
    }

    /// Whether colours are on.
    #[must_use]
    pub const fn has_colours(self) -> bool {
        self.colours
    }

    /// The text with the look of `tone`, to be put into `format!`.
    pub fn paint<T: fmt::Display>(self, tone: Tone, text: T) -> Painted<T> {
        Painted {
            colours: self.colours,
            tone,
            text,
        }
    }

    /// Writes a line to stdout. A reader that has gone away (`epode ... | head`) is no failure.
    pub fn line(self, line: impl fmt::Display) {
        // Whole: what is being shown need not expect that it cannot be written.
        let line = format!("{line}\n");
        let _ = io::stdout().lock().write_all(line.as_bytes());
    }
}

/// See [`Terminal::paint`].
#[derive(Debug, Clone, Copy)]
pub struct Painted<T> {
    colours: bool,
    tone: Tone,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.colours {
            return self.text.fmt(f);
        }
        // ECMA-48 SGR, only the codes that every terminal has.
        let code = match self.tone {
            Tone::Strong => "1",
            Tone::Quiet => "2",
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Sent => "36",
            Tone::Received => "35",
        };
        write!(f, "\x1b[{code}m")?;
        self.text.fmt(f)?;
        f.write_str("\x1b[0m")
    }
}

/// Text from outside as it may be shown: characters that steer a terminal or reorder text are written as `\u{1b}`.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

// Controls, line separators, the marks that change the direction of writing, and what is invisible.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(visible("a\x1b[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(visible("jürgen@例え.jp"), "jürgen@例え.jp");
    }

    #[test]
    fn plain_text_has_no_colours() {
        assert_eq!(Terminal::plain().paint(Tone::Bad, "no").to_string(), "no");
        assert_eq!(
            Terminal { colours: true }.paint(Tone::Bad, "no").to_string(),
            "\x1b[31mno\x1b[0m"
        );
    }
}
