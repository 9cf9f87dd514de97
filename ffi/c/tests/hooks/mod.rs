//! What only a test may do: bugs on purpose. Compiled with `--cfg epode_testing` alone, which no feature and no dependent can set.

use std::hint::black_box;

use crate::client::Client;
use crate::guard::guarded;

/// A call that hits a bug of the library's.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_testing_panic(client: *mut Client) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { guarded(client, |_| panic!("{} is not to be seen", "pencil")) }
}

/// Reads behind 32 bytes of the heap where `at` is 32 or more: AddressSanitizer has to see that in Rust's code too.
///
/// # Safety
///
/// None: that is the purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_testing_read(at: usize) -> u8 {
    let bytes = black_box(vec![7_u8; 32]);
    // SAFETY: none from 32 on.
    unsafe { black_box(bytes.as_ptr()).add(at).read() }
}

/// Loses memory, more than what a register or the stack may still point to.
#[unsafe(no_mangle)]
pub extern "C" fn epode_testing_leak() {
    for _ in 0..100 {
        std::mem::forget(black_box(vec![7_u8; 64]));
    }
}
