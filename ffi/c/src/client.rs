//! The client's handle: made, asked when it wants to be woken, freed.

use std::mem;

use epode::{BareJid, Instant, Timer};

use crate::code;
use crate::config::Config;
use crate::failure::Failed;
use crate::guard::{Handle, Record, free, guarded, guarded_or};
use crate::held::{self, Held};
use crate::output::Output;
use crate::slice::Slice;

/// One account, and one session at a time with its server. It does no I/O.
#[derive(Debug)]
pub struct Client {
    record: Record,
    pub(crate) core: epode::Client,
    pub(crate) held: Held,
    account: BareJid,
    /// After a panic: the host has been told that the client is offline.
    told: bool,
}

impl Client {
    /// What there is to say after a panic: once that it is over, then nothing.
    pub(crate) fn last_words(&mut self) -> Output {
        if mem::replace(&mut self.told, true) {
            return held::nothing();
        }
        held::offline_by_bug(&self.record.sentence)
    }

    /// Whose it is.
    pub(crate) fn account(&self) -> &BareJid {
        &self.account
    }
}

impl Handle for Client {
    fn record(&mut self) -> &mut Record {
        &mut self.record
    }
}

/// A client that is offline. `seed` is 32 bytes from the system's source of randomness, used for this client only: everything that
/// nobody may guess is derived from it. The configuration is copied. On failure `*client` is NULL, and `epode_config_last_error` has
/// the sentence.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_client_new(config: *mut Config, seed: *const u8, client: *mut *mut Client) -> u32 {
    if seed.is_null() || client.is_null() {
        return code::EPODE_NULL;
    }
    // SAFETY: not NULL, so it can be written to.
    unsafe { client.write(std::ptr::null_mut()) };
    // SAFETY: the host's promise for handles; the rest below.
    unsafe {
        guarded(config, |config| {
            // SAFETY: not NULL, and this function asks for 32 bytes there.
            let seed = seed.cast::<[u8; 32]>().read();
            if seed == [0; 32] {
                return Err(Failed::code(code::EPODE_SEED));
            }
            let config = config.build()?;
            let made = Box::new(Client {
                record: Record::default(),
                account: config.account(),
                core: epode::Client::new(config, seed),
                held: Held::default(),
                told: false,
            });
            // SAFETY: not NULL, so it can be written to.
            client.write(Box::into_raw(made));
            Ok(())
        })
    }
}

/// Frees a client, in whatever state it is. NULL is fine. To say goodbye to the server first, call `epode_stop` and go on until
/// `EPODE_OFFLINE`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_client_free(client: *mut Client) {
    // SAFETY: the host's promise for handles.
    unsafe { free(client) };
}

/// The sentence of the last call on this client that failed. Empty if none did.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_last_error(client: *mut Client, sentence: *mut Slice) -> u32 {
    // SAFETY: the host's promise for handles.
    let (Some(client), false) = (unsafe { client.as_mut() }, sentence.is_null()) else {
        return code::EPODE_NULL;
    };
    // SAFETY: not NULL, so it can be written to.
    unsafe { sentence.write(Slice::new(client.record.sentence.as_bytes())) };
    code::EPODE_OK
}

/// When to call `epode_tick`: `*at_ms` is a time on the host's clock, or UINT64_MAX for never; `*timer`, which may be NULL, gets the
/// name of who asked, for logs. Ask again after every input. While outputs wait, it is the time of the last input, or earlier.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_deadline(client: *mut Client, at_ms: *mut u64, timer: *mut Slice) -> u32 {
    // SAFETY: the host's promise for handles; the rest below.
    unsafe {
        let write = |at: Option<u64>, name: Option<&str>| {
            if at_ms.is_null() {
                return Err(Failed::code(code::EPODE_NULL));
            }
            // SAFETY: not NULL, so it can be written to.
            at_ms.write(at.unwrap_or(u64::MAX));
            if !timer.is_null() {
                // SAFETY: not NULL, so it can be written to.
                timer.write(Slice::optional(name));
            }
            Ok(())
        };
        guarded_or(
            client,
            |client| {
                let deadline = client.core.deadline();
                write(
                    deadline.map(|(at, _): (Instant, Timer)| at.as_millis()),
                    deadline.map(|(_, timer)| timer.name()),
                )
            },
            // The last output waits, and when the last input was is not known.
            |client| write((!client.told).then_some(0), None),
        )
    }
}

/// Whether the host should go on reading from its links: false while outputs pile up. Then stop reading, say so with
/// `epode_reading`, and go on when it says true.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_wants_read(client: *mut Client) -> bool {
    let mut wants = false;
    // SAFETY: the host's promise for handles.
    let code = unsafe {
        guarded(client, |client| {
            wants = client.core.wants_read();
            Ok(())
        })
    };
    code == code::EPODE_OK && wants
}
