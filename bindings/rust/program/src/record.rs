//! The file of `login --record`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind};
use std::path::Path;

use crate::exit::Failure;

/// What the log holds, for whoever made it.
pub(crate) const HINT: &str = "it holds all that travels, messages and names too, and the seed of this login; \
                               passwords, proofs and session ids are placeholders; `epode replay` plays it again";

/// A new file that only the user can read.
pub(crate) fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let mut options = OpenOptions::new();
    // A file that is there already might be anybody's to read, or another log.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(BufWriter::new).map_err(|error| {
        let why = if error.kind() == ErrorKind::AlreadyExists {
            "it is there already, and a log is never overwritten: choose another name".to_owned()
        } else {
            error.to_string()
        };
        Failure::usage(format!("{}: the log cannot be written: {why}", path.display()))
    })
}
