//! What becomes of a panic at a foreign interface, which is a bug of ours: it goes no further, its place is kept for a sentence, and its message
//! is shown to nobody.
//!
//! A message can quote what was being worked on, a password among it, and standard error is the host's: so nothing is printed either.
//!
//! ```
//! epode_border::watch();
//! let bug = epode_border::caught(|| panic!("of what is in here: pencil")).unwrap_err();
//! assert!(bug.place().is_some_and(|place| !place.contains("pencil")));
//! ```
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is in a call of ours. A program in Rust that links this crate keeps its own hook for all else.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug)]
pub struct Bug {
    place: Option<String>,
}

impl Bug {
    /// The file and the line, where they are known: what a report needs.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The sentence, and the place behind it.
    #[must_use]
    pub fn behind(&self, sentence: &str) -> String {
        match &self.place {
            Some(place) => format!("{sentence} ({place})"),
            None => sentence.to_owned(),
        }
    }
}

/// Runs `body`, and stops a panic. Nobody may look afterwards at what it worked on.
///
/// # Errors
/// The panic, where there was one.
pub fn caught<T>(body: impl FnOnce() -> T) -> Result<T, Bug> {
    let outer = INSIDE.replace(true);
    // Unwind safety: the caller's promise.
    let result = catch_unwind(AssertUnwindSafe(body));
    INSIDE.set(outer);
    result.map_err(|payload| {
        // What `panic!` makes can be dropped; what `panic_any` got may panic when it is.
        if payload.is::<String>() || payload.is::<&str>() {
            drop(payload);
        } else {
            mem::forget(payload);
        }
        Bug { place: PLACE.take() }
    })
}

/// Sees to it that panics within [`caught`] print nothing. To be done before the first of them; again is harmless.
pub fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if INSIDE.get() {
                let place = info
                    .location()
                    .map(|place| format!("{}:{}", brief(place.file()), place.line()));
                PLACE.set(place);
            } else {
                others(info);
            }
        }));
    });
}

/// The path from its crate's folder on: where the library was built is nobody's business.
fn brief(path: &str) -> &str {
    let Some(source) = path.rfind("/src/") else {
        return path;
    };
    let folder = path.get(..source).and_then(|before| before.rfind('/'));
    folder.and_then(|slash| path.get(slash + 1..)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_nothing_of_the_machine_that_built_it() {
        for (path, shown) in [
            ("core/src/xml/mod.rs", "core/src/xml/mod.rs"),
            (
                "/home/me/registry/src/index-1/rxml-0.14.0/src/parser.rs",
                "rxml-0.14.0/src/parser.rs",
            ),
            ("/rustc/0123/library/core/src/str/mod.rs", "core/src/str/mod.rs"),
            ("main.rs", "main.rs"),
        ] {
            assert_eq!(brief(path), shown);
        }
    }
}
