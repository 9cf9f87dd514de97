//! Bytes that must not leak.

use alloc::vec::Vec;

/// Bytes that are zeroised on drop, redacted in `Debug`, and compared in constant time.
#[derive(Clone)]
pub struct Secret(Vec<u8>);
