//! What comes back to the shell: a status with a documented meaning, and one sentence for a person.

use std::{fmt, process::ExitCode};

/// The meanings of the exit status. They are part of the program's interface: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything asked for happened; also after Ctrl-C once online.
    Fine,
    /// 1: another failure; for `cert show`: the certificate has a problem; for `replay`: something differs.
    Other,
    /// 2: the command line, a file named on it, or an answer to a prompt is wrong.
    Usage,
    /// 3: no connection to the server; also where a port answers that does not speak TLS.
    Connection,
    /// 4: TLS failed, or the server's certificate is not trusted.
    Tls,
    /// 5: the server refused the login.
    Login,
    /// 6: the server broke the protocol.
    Protocol,
    /// 130: interrupted by Ctrl-C before being online.
    Interrupted,
}

impl Exit {
    /// The status as a number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::Connection => 3,
            Self::Tls => 4,
            Self::Login => 5,
            Self::Protocol => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table of [`Exit`], for the end of `--help`.
pub const HELP: &str = "\
Exit status:
  0    fine; also after Ctrl-C once online; `probe`: at least one endpoint works
  1    another failure; `cert show`: the certificate has a problem; `replay`: a difference
  2    the command line, a file named on it or an answer to a prompt is wrong
  3    no connection, or the port does not speak TLS
  4    TLS failed, or the server's certificate is not trusted
  5    the login was refused
  6    the server broke the protocol
  130  interrupted before being online";

/// Why the program ends early: what happened, why, and what to do, for a person; and the status for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The status.
    pub exit: Exit,
    /// Whole sentences without a full stop at the end, without a trace of Rust.
    pub message: String,
}

impl Failure {
    /// A failure with a status of its own.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// The user can put it right by typing something else.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// None of the named reasons.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(Exit::Other, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
