//! The border itself: no panic crosses it, and what panicked once is never entered again.

use std::borrow::Cow;

use crate::bug::{caught, watch};
use crate::code::{EPODE_NULL, EPODE_OK, EPODE_PANIC};
use crate::failure::Failed;

/// What every handle remembers of its calls.
#[derive(Debug, Default)]
pub(crate) struct Record {
    dead: bool,
    /// The sentence of the last call that failed.
    pub(crate) sentence: Cow<'static, str>,
}

/// Something that C holds by pointer.
pub(crate) trait Handle {
    fn record(&mut self) -> &mut Record;
}

/// Runs `body` on the handle, and turns what it says into a code.
///
/// # Safety
///
/// `handle` is NULL or a live handle of this library that no other call is using.
pub(crate) unsafe fn guarded<H: Handle>(handle: *mut H, body: impl FnOnce(&mut H) -> Result<(), Failed>) -> u32 {
    // SAFETY: this function's own contract.
    unsafe { guarded_or(handle, body, |_| Err(Failed::code(EPODE_PANIC))) }
}

/// As [`guarded`]; on a handle that panicked before, `dead` runs instead of `body`. It must not look at what the panic left behind.
///
/// # Safety
///
/// As [`guarded`].
pub(crate) unsafe fn guarded_or<H: Handle>(
    handle: *mut H,
    body: impl FnOnce(&mut H) -> Result<(), Failed>,
    dead: impl FnOnce(&mut H) -> Result<(), Failed>,
) -> u32 {
    // SAFETY: live and not used elsewhere, by this function's contract.
    let Some(handle) = (unsafe { handle.as_mut() }) else {
        return EPODE_NULL;
    };
    let was_dead = handle.record().dead;
    match caught(|| if was_dead { dead(handle) } else { body(handle) }) {
        Ok(Ok(())) => EPODE_OK,
        Ok(Err(failed)) => {
            // What killed the handle stays its sentence.
            if !was_dead {
                handle.record().sentence = failed.sentence;
            }
            failed.code
        }
        Err(bug) => {
            let record = handle.record();
            record.dead = true;
            record.sentence = bug.sentence().into();
            EPODE_PANIC
        }
    }
}

/// Runs `body` where there is no handle yet.
pub(crate) fn guarded_new(body: impl FnOnce() -> Result<(), Failed>) -> u32 {
    watch();
    match caught(body) {
        Ok(Ok(())) => EPODE_OK,
        Ok(Err(failed)) => failed.code,
        Err(_) => EPODE_PANIC,
    }
}

/// Frees a handle; NULL is fine.
///
/// # Safety
///
/// `handle` is NULL, or came from `Box::into_raw`, is not freed yet, and no call is using it.
pub(crate) unsafe fn free<H>(handle: *mut H) {
    if handle.is_null() {
        return;
    }
    // Whoever frees a handle cannot do anything about a bug.
    let _ = caught(|| {
        // SAFETY: not NULL, and the rest is this function's contract.
        drop(unsafe { Box::from_raw(handle) });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::EPODE_VALUE;

    #[derive(Default)]
    struct Thing(Record);

    impl Handle for Thing {
        fn record(&mut self) -> &mut Record {
            &mut self.0
        }
    }

    #[test]
    fn a_panic_kills_the_handle_and_goes_no_further() {
        let mut thing = Thing::default();
        // SAFETY: the handle lives, and is used by one call at a time.
        unsafe {
            assert_eq!(guarded(&raw mut thing, |_| Err(Failed::code(EPODE_VALUE))), EPODE_VALUE);
            assert_eq!(guarded(&raw mut thing, |_| Ok(())), EPODE_OK);
            assert_eq!(
                guarded(&raw mut thing, |_| panic!("this test's own panic")),
                EPODE_PANIC
            );
            assert_eq!(
                guarded(&raw mut thing, |_| unreachable!("a dead handle is not entered")),
                EPODE_PANIC
            );
            assert_eq!(guarded(std::ptr::null_mut::<Thing>(), |_| Ok(())), EPODE_NULL);
        }
        assert!(thing.0.sentence.contains("bug"));
        assert_eq!(guarded_new(|| panic!("this test's own panic")), EPODE_PANIC);
    }

    #[test]
    fn a_panic_while_freeing_goes_no_further() {
        struct Trap;
        impl Drop for Trap {
            fn drop(&mut self) {
                panic!("this test's own panic");
            }
        }
        // SAFETY: from `Box::into_raw`, freed once.
        unsafe { free(Box::into_raw(Box::new(Trap))) };
    }
}
