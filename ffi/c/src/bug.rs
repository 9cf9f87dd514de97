//! What becomes of a panic, which is a bug of ours: its place is kept for a sentence, its message is shown to nobody.
//!
//! A message can quote what was being worked on, a password among it, and standard error is the host's: so nothing is printed either.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::code::{EPODE_PANIC, sentence};

thread_local! {
    /// Whether this thread is in a call of ours. A program in Rust that links this crate keeps its own hook for all else.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was caught.
#[derive(Debug)]
pub(crate) struct Bug {
    /// The file and the line, where they are known.
    place: Option<String>,
}

impl Bug {
    /// What a person should know, and report.
    pub(crate) fn sentence(&self) -> String {
        let what = sentence(EPODE_PANIC);
        match &self.place {
            Some(place) => format!("{what} ({place})"),
            None => what.to_owned(),
        }
    }
}

/// Runs `body`, and stops a panic.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Result<T, Bug> {
    let outer = INSIDE.replace(true);
    // Unwind safety: the caller lets nobody see what state things were left in.
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

/// Sees to it that panics in our calls print nothing. Done when the first handle is made.
pub(crate) fn watch() {
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
    use std::mem::zeroed;
    use std::ptr::{null, null_mut};

    use super::*;
    use crate::client::*;
    use crate::code::*;
    use crate::config::*;
    use crate::guard::guarded;
    use crate::host::*;
    use crate::input::*;
    use crate::login::{epode_config_set_no_credentials, epode_config_set_password};
    use crate::output::{Output, epode_next};
    use crate::slice::Slice;

    const NONE: Slice = Slice { data: null(), len: 0 };

    fn client() -> *mut Client {
        let (mut config, mut client) = (null_mut(), null_mut());
        // SAFETY: the handles live; the configuration is freed once.
        unsafe {
            assert_eq!(
                epode_config_new(Slice::new(b"user@example.org"), &raw mut config),
                EPODE_OK
            );
            assert_eq!(epode_config_set_password(config, Slice::new(b"pencil")), EPODE_OK);
            assert_eq!(epode_client_new(config, [7; 32].as_ptr(), &raw mut client), EPODE_OK);
            epode_config_free(config);
        }
        client
    }

    fn next(client: *mut Client) -> Output {
        // SAFETY: the handle lives; all of an output may be zero.
        unsafe {
            let mut output: Output = zeroed();
            output.struct_size = u32::try_from(size_of::<Output>()).unwrap();
            assert_eq!(epode_next(client, &raw mut output), EPODE_OK);
            output
        }
    }

    fn text(slice: Slice) -> String {
        // SAFETY: read before the next call on its handle.
        String::from_utf8(unsafe { std::slice::from_raw_parts(slice.data, slice.len) }.to_vec()).unwrap()
    }

    #[test]
    fn a_client_that_hit_a_bug_is_offline_once_and_then_silent() {
        let client = client();
        let (mut at, mut timer, mut said) = (0, NONE, NONE);
        // SAFETY: the handle lives until it is freed, and the rest may be NULL or zero.
        unsafe {
            assert_eq!(epode_start(client, 1_000), EPODE_OK);
            assert_eq!(
                guarded(client, |_| panic!("it was the password: {}", "pencil")),
                EPODE_PANIC
            );

            assert_eq!(epode_last_error(client, &raw mut said), EPODE_OK);
            let sentence = text(said);
            assert!(
                sentence.contains("bug in epode") && sentence.contains("bug.rs:"),
                "{sentence}"
            );
            assert!(!sentence.contains("pencil"), "{sentence}");

            // While an output waits, the deadline is not later than now.
            assert_eq!(epode_deadline(client, &raw mut at, &raw mut timer), EPODE_OK);
            assert_eq!(at, 0);
            assert_eq!(epode_tick(client, 2_000), EPODE_PANIC);

            // One with too little room is not lost.
            let mut small: Output = zeroed();
            assert_eq!(epode_next(client, &raw mut small), EPODE_STRUCT_SIZE);
            assert_eq!(epode_next(client, null_mut()), EPODE_NULL);
            let offline = next(client);
            assert_eq!(offline.kind, EPODE_OFFLINE);
            let reason = offline.data.offline;
            assert_eq!((reason.group, reason.login), (EPODE_OFFLINE_INTERNAL, 0));
            assert_eq!(text(reason.sentence), sentence);
            assert!(reason.condition.data.is_null());
            assert_eq!(next(client).kind, EPODE_NONE);
            assert_eq!(next(client).kind, EPODE_NONE);
            assert_eq!(epode_deadline(client, &raw mut at, &raw mut timer), EPODE_OK);
            assert_eq!((at, timer.data), (u64::MAX, null()));
            assert!(!epode_wants_read(client));

            for code in answers(client) {
                assert_eq!(code, EPODE_PANIC);
            }
            assert_eq!(next(client).kind, EPODE_NONE);
            epode_client_free(client);
        }
    }

    /// What every other function says of the client.
    unsafe fn answers(client: *mut Client) -> Vec<u32> {
        let (mut config, mut derivation, mut token) = (null_mut(), null_mut(), 0);
        let xml = Slice::new(b"<message xmlns='jabber:client'/>");
        // SAFETY: the handles live; the rest may be NULL or none.
        unsafe {
            assert_eq!(
                epode_config_new(Slice::new(b"user@example.org"), &raw mut config),
                EPODE_OK
            );
            assert_eq!(epode_config_set_no_credentials(config), EPODE_OK);
            let codes = vec![
                epode_start(client, 1),
                epode_stop(client, 1),
                epode_tick(client, 1),
                epode_connected(client, 1, 1, null()),
                epode_received(client, 1, 1, xml),
                epode_written(client, 1, 1, 1),
                epode_responded(client, 1, 1, 1, 200, xml, null()),
                epode_failed(client, 1, 1, 0, EPODE_FAILURE_DNS, 0, NONE),
                epode_ended(client, 1, 1),
                epode_reading(client, 1, 1, true),
                epode_send(client, 1, xml, &raw mut token),
                epode_send_chat(client, 1, xml, xml, &raw mut token),
                epode_request(client, 1, xml, 0, &raw mut token),
                epode_respond(client, 1, 1, NONE),
                epode_respond_error(client, 1, 1, EPODE_ERROR_CANCEL, xml, NONE),
                epode_cancel(client, 1, 1),
                epode_restore(client, 1, EPODE_SLOT_PINS, xml),
                epode_clock(client, 1, 1),
                epode_resolved_records(client, 1, 1, null(), 0),
                epode_resolved_document(client, 1, 1, xml),
                epode_resolved_failed(client, 1, 1, EPODE_FAILURE_DNS, 0, NONE),
                epode_network(client, 1, EPODE_NETWORK_UP),
                epode_foreground(client, 1, true),
                epode_pause(client, 1, 1),
                epode_handled(client, 1, 1),
                epode_derived(client, 1, 1, xml),
                epode_provide(client, 1, config),
                epode_task(client, 1, NONE),
                crate::derivation::epode_derivation_new(client, &raw mut derivation),
            ];
            epode_config_free(config);
            codes
        }
    }

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
