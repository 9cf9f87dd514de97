//! The table of the interop matrix: what came of each login on each transport of each server, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Broken, Way};

/// The servers, in the order of the columns.
pub const SERVERS: [&str; 4] = ["prosody-13", "prosody-0.12", "ejabberd-24", "ejabberd-23"];

/// The transports, in the order of the columns of each server.
pub const WAYS: [Way; 4] = [Way::StartTls, Way::DirectTls, Way::WebSocket, Way::Bosh];

/// What came of one login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Logged in, by just that mechanism.
    Passed {
        /// How often the client waited for the server since it was connected.
        round_trips: u32,
    },
    /// The server refused it, and had to.
    Refused,
    /// The server does not offer it there, and nothing was sent.
    NotOffered,
}

impl Cell {
    fn symbol(self) -> &'static str {
        match self {
            Self::Passed { .. } => "✓",
            Self::Refused => "no",
            Self::NotOffered => "-",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Passed { .. } => "passed",
            Self::Refused => "refused as it should be",
            Self::NotOffered => "server does not offer",
        }
    }
}

/// The rows, with a cell or a failure for each column.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<String>,
    cells: BTreeMap<(usize, usize, usize), Result<Cell, String>>,
}

impl Table {
    /// With these rows, and no cell yet.
    pub fn new(rows: impl IntoIterator<Item = String>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            cells: BTreeMap::new(),
        }
    }

    /// What came of that row on the transport `way` of the server `server`, counted from 0.
    pub fn set(&mut self, row: usize, server: usize, way: usize, cell: Result<Cell, Broken>) {
        self.cells
            .insert((row, server, way), cell.map_err(|error| error.to_string()));
    }

    /// Every cell that is none of the three, with why; one that is missing too.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (row, title) in self.rows.iter().enumerate() {
            for (server, name) in SERVERS.iter().enumerate() {
                for (way, transport) in WAYS.iter().enumerate() {
                    let why = match self.cells.get(&(row, server, way)) {
                        Some(Ok(_)) => continue,
                        Some(Err(why)) => why,
                        None => "not tried",
                    };
                    failures.push(format!("{title} on {name}, {}: {why}", column(*transport)));
                }
            }
        }
        failures
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        let cells: Vec<_> = self
            .cells
            .iter()
            .map(|((row, server, way), cell)| {
                let round_trips = match cell {
                    Ok(Cell::Passed { round_trips }) => Some(round_trips),
                    Ok(Cell::Refused | Cell::NotOffered) | Err(_) => None,
                };
                serde_json::json!({
                    "login": self.rows.get(*row),
                    "server": SERVERS.get(*server),
                    "transport": WAYS.get(*way).copied().map(column),
                    "result": match cell {
                        Ok(cell) => cell.name(),
                        Err(why) => why.as_str(),
                    },
                    "round_trips": round_trips,
                })
            })
            .collect();
        format!("{:#}\n", serde_json::Value::from(cells))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .rows
            .iter()
            .map(|row| row.chars().count())
            .max()
            .unwrap_or_default();
        write!(f, "{:width$}", "")?;
        for server in SERVERS {
            write!(f, "  {server:19}")?;
        }
        write!(f, "\n{:width$}", "")?;
        for _ in SERVERS {
            write!(f, " ")?;
            for way in WAYS {
                write!(f, " {:4}", column(way))?;
            }
        }
        writeln!(f)?;
        for (row, title) in self.rows.iter().enumerate() {
            write!(f, "{title:width$}")?;
            for server in 0..SERVERS.len() {
                write!(f, " ")?;
                for way in 0..WAYS.len() {
                    let symbol = match self.cells.get(&(row, server, way)) {
                        Some(Ok(cell)) => cell.symbol(),
                        Some(Err(_)) | None => "FAIL",
                    };
                    write!(f, " {symbol:4}")?;
                }
            }
            writeln!(f)?;
        }
        writeln!(
            f,
            "✓ logged in by it; no: refused, as it should be; - the server does not offer it there. \
             stls: STARTTLS, tls: direct TLS, ws: WebSocket"
        )
    }
}

fn column(way: Way) -> &'static str {
    match way {
        Way::StartTls => "stls",
        Way::DirectTls => "tls",
        Way::WebSocket => "ws",
        Way::Bosh => "bosh",
        Way::HostMeta(_) => "host-meta",
    }
}
