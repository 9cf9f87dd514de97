//! `epode cert`: [`new`] makes certificates, [`show`] judges one, [`trust`] says how a server comes to trust one.

pub mod new;
pub mod show;
pub mod trust;

use std::{path::Path, time::SystemTime};

use time::OffsetDateTime;

use crate::{
    cli::CertCommand,
    exit::{Exit, Failure},
    terminal::visible,
};

/// Does what was typed after `epode cert`.
///
/// # Errors
/// A sentence for the user; nothing is half done then.
pub fn run(command: &CertCommand) -> Result<Exit, Failure> {
    match command {
        CertCommand::New(args) => new::client(args),
        CertCommand::Ca(args) => new::authority(args),
        CertCommand::Show(args) => show::show(args, SystemTime::now()),
    }
}

/// A path as it may be shown.
fn shown(path: &Path) -> String {
    visible(&path.display().to_string())
}

/// A moment as people read it: `2026-11-22 08:30 UTC`.
pub(crate) fn date(moment: OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02} UTC",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute()
    )
}

/// A moment as programs read it (RFC 3339).
pub(crate) fn timestamp(moment: OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second()
    )
}
