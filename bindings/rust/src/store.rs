//! Where a client's session survives the process: the trait, and a folder that keeps it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use epode::Slot;

/// Keeps bytes between processes: for one account, and for one client at a time.
///
/// What it keeps is as good as a login while it lasts: nobody else may read it. Both methods may block; they run on a thread
/// for that.
pub trait Store: Send + 'static {
    /// All that was stored in the slot, in order; `None` if that is nothing.
    ///
    /// # Errors
    /// It cannot be read.
    fn load(&mut self, slot: Slot) -> io::Result<Option<Vec<u8>>>;

    /// Puts `bytes` behind what is in the slot (`append`), or in its place; nothing in its place empties the slot. When this
    /// returns, they must survive a crash.
    ///
    /// # Errors
    /// They are not known to be stored. The client does nothing more then.
    fn write(&mut self, slot: Slot, append: bool, bytes: &[u8]) -> io::Result<()>;
}

/// A folder with one file for each slot, which only the user can read.
///
/// A slot is replaced by renaming, and both the file and the folder are synchronised, so a crash leaves the old bytes or
/// the new ones. It has no lock: give each account a folder of its own, and let one process use it at a time.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// Keeps it in that folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&folder)?;
        Ok(Self { folder })
    }

    fn path(&self, slot: Slot) -> io::Result<PathBuf> {
        Ok(self.folder.join(match slot {
            Slot::Session => "session",
            Slot::Token => "token",
            Slot::Pins => "pins",
            // Not an enum of this crate.
            _ => return Err(io::Error::new(ErrorKind::Unsupported, "this store has no such slot")),
        }))
    }

    /// Makes names in the folder durable.
    fn sync_names(&self) -> io::Result<()> {
        // Elsewhere a folder cannot be opened, and the system looks after its names.
        if cfg!(unix) {
            File::open(&self.folder)?.sync_all()
        } else {
            Ok(())
        }
    }
}

impl Store for FileStore {
    fn load(&mut self, slot: Slot) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(slot)?) {
            Ok(bytes) if bytes.is_empty() => Ok(None),
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, slot: Slot, append: bool, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(slot)?;
        if append {
            let is_new = !path.exists();
            let mut file = private().append(true).create(true).open(&path)?;
            file.write_all(bytes)?;
            file.sync_data()?;
            return if is_new { self.sync_names() } else { Ok(()) };
        }
        if bytes.is_empty() {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => return self.sync_names(),
            }
        }
        let new = beside(&path);
        // A leftover of a crash may be anybody's to read: it goes first.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = private().write(true).create_new(true).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, &path)?;
        self.sync_names()
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Options for a file that only the user can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("epode-store-{}-{name}", std::process::id()));
        // A leftover of another run.
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn slots_are_replaced_appended_and_emptied() {
        let folder = folder("slots");
        let mut store = FileStore::new(&folder).unwrap();
        assert_eq!(store.load(Slot::Session).unwrap(), None);
        store.write(Slot::Session, true, b"a").unwrap();
        store.write(Slot::Session, true, b"b").unwrap();
        store.write(Slot::Pins, false, b"pins").unwrap();
        let mut again = FileStore::new(&folder).unwrap();
        assert_eq!(again.load(Slot::Session).unwrap().as_deref(), Some(&b"ab"[..]));
        again.write(Slot::Session, false, b"c").unwrap();
        assert_eq!(store.load(Slot::Session).unwrap().as_deref(), Some(&b"c"[..]));
        store.write(Slot::Session, false, b"").unwrap();
        store.write(Slot::Session, false, b"").unwrap();
        assert_eq!(store.load(Slot::Session).unwrap(), None);
        assert_eq!(store.load(Slot::Pins).unwrap().as_deref(), Some(&b"pins"[..]));
        fs::remove_dir_all(folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("private");
        let mut store = FileStore::new(&folder).unwrap();
        store.write(Slot::Session, true, b"a").unwrap();
        store.write(Slot::Token, false, b"b").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("session")), 0o600);
        assert_eq!(mode(&folder.join("token")), 0o600);
        fs::remove_dir_all(folder).unwrap();
    }
}
