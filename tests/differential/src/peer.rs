//! Programs that act as the server of a mechanism, and the lines that are spoken with them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::frame::Reply;

/// Whose implementation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// GNU SASL.
    Gnu,
    /// Cyrus SASL.
    Cyrus,
    /// scramp, in Python.
    Scramp,
    /// Prosody's `util.sasl` and its community modules, in Lua.
    Prosody,
}

impl Whose {
    fn program(self) -> &'static str {
        match self {
            Self::Gnu => "gnu",
            Self::Cyrus => "cyrus",
            Self::Scramp => "scramp",
            Self::Prosody => "prosody",
        }
    }
}

/// One of them, running.
pub struct Peer {
    whose: Whose,
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    /// Whom the last success was for: as whom the client authenticated, and as whom it acts.
    pub user: Option<String>,
    /// See `user`.
    pub authzid: Option<String>,
}

impl Peer {
    /// Starts it.
    pub fn start(whose: Whose) -> Self {
        let folder = std::env::var_os("EPODE_PEERS").map(PathBuf::from);
        let folder =
            folder.expect("EPODE_PEERS names the folder of the peers: `tests/run sasl` builds them and sets it");
        let program = folder.join(whose.program());
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `tests/run sasl` builds it", program.display()));
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            whose,
            child,
            to,
            from,
            user: None,
            authzid: None,
        }
    }

    /// Whose implementation it is.
    pub fn whose(&self) -> Whose {
        self.whose
    }

    /// A new exchange with a mechanism, for the account that the fields describe.
    pub fn begin(&mut self, mechanism: &str, fields: &[(&str, &[u8])]) {
        let mut line = format!("begin {mechanism}");
        for (name, value) in fields {
            line.push_str(&format!(" {name}={}", hex(value)));
        }
        let answer = self.ask(&line);
        assert_eq!(
            answer,
            "ready -",
            "{:?} begins {mechanism}: {}",
            self.whose,
            failure(&answer).unwrap_or_default()
        );
    }

    /// The client's next message.
    pub fn step(&mut self, data: Option<&[u8]>) -> Reply {
        let answer = self.ask(&format!("step {}", written(data)));
        if let Some(why) = failure(&answer) {
            return Reply::Failure(why);
        }
        let mut words = answer.split(' ');
        let word = words.next().unwrap_or_default();
        let data = read(words.next().expect("data, or that there is none"));
        match word {
            "challenge" => Reply::Challenge(data.unwrap_or_default()),
            "success" => {
                for field in words {
                    let (name, value) = field.split_once('=').expect("a field");
                    let value = Some(String::from_utf8(unhex(value)).expect("UTF-8"));
                    match name {
                        "user" => self.user = value,
                        "authzid" => self.authzid = value,
                        other => panic!("what is {other}?"),
                    }
                }
                Reply::Success(data)
            }
            other => panic!("{:?} says {other}", self.whose),
        }
    }

    /// scramp's SASLprep (RFC 4013) of a password that is stored, or why it refuses the text.
    pub fn prepared(&mut self, text: &str) -> Result<String, String> {
        let answer = self.ask(&format!("prep {}", hex(text.as_bytes())));
        if let Some(why) = failure(&answer) {
            return Err(why);
        }
        let data = read(answer.strip_prefix("challenge ").expect("an answer")).expect("data");
        Ok(String::from_utf8(data).expect("UTF-8"))
    }

    fn ask(&mut self, line: &str) -> String {
        self.user = None;
        self.authzid = None;
        let to = self.to.as_mut().expect("running");
        writeln!(to, "{line}")
            .and_then(|()| to.flush())
            .expect("the peer listens");
        let mut answer = String::new();
        self.from.read_line(&mut answer).expect("the peer answers");
        assert!(!answer.is_empty(), "{:?} ended after: {line}", self.whose);
        answer.truncate(answer.trim_end().len());
        answer
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.to.take());
        drop(self.child.wait());
    }
}

fn failure(answer: &str) -> Option<String> {
    answer
        .strip_prefix("failure ")
        .map(|why| String::from_utf8_lossy(&unhex(why)).into_owned())
}

fn written(data: Option<&[u8]>) -> String {
    match data {
        None => "-".to_owned(),
        Some([]) => "=".to_owned(),
        Some(data) => hex(data),
    }
}

fn read(text: &str) -> Option<Vec<u8>> {
    match text {
        "-" => None,
        "=" => Some(Vec::new()),
        text => Some(unhex(text)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .expect("hexadecimal")
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}
