//! Bytes as C sees them: a pointer and a length.

use std::ffi::{CStr, c_char};
use std::{ptr, str};

use crate::code::{EPODE_NULL, EPODE_UTF8, EPODE_VALUE};
use crate::failure::Failed;

/// Bytes that somebody else owns. Texts are UTF-8 and have no NUL at their end. `data` NULL means that there is none; a length of
/// 0 with another `data` is an empty one.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The first byte, or NULL.
    pub data: *const u8,
    /// How many bytes there are.
    pub len: usize,
}

/// The slice of a text that ends with NUL, without the NUL; none for NULL. The text must stay while the slice is used.
///
/// # Safety
///
/// `text` is NULL or ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_text(text: *const c_char) -> Slice {
    if text.is_null() {
        return Slice::ABSENT;
    }
    // SAFETY: not NULL, so by this function's contract it ends with NUL.
    Slice::new(unsafe { CStr::from_ptr(text) }.to_bytes())
}

impl Slice {
    pub(crate) const ABSENT: Self = Self {
        data: ptr::null(),
        len: 0,
    };

    /// Whoever gives it to C has to see to it that the bytes stay.
    pub(crate) const fn new(bytes: &[u8]) -> Self {
        Self {
            data: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    pub(crate) fn optional(text: Option<&str>) -> Self {
        text.map_or(Self::ABSENT, |text| Self::new(text.as_bytes()))
    }

    /// What C handed in, for the time of the call; `None` if there is none.
    ///
    /// # Safety
    ///
    /// `data` is NULL, or `len` bytes there can be read and do not change for as long as the result is used.
    pub(crate) unsafe fn bytes<'a>(self) -> Result<Option<&'a [u8]>, Failed> {
        if self.data.is_null() {
            return if self.len == 0 {
                Ok(None)
            } else {
                Err(Failed::code(EPODE_NULL))
            };
        }
        if isize::try_from(self.len).is_err() {
            return Err(Failed::code(EPODE_VALUE));
        }
        // SAFETY: not NULL, no longer than an allocation can be, and readable by this function's contract.
        Ok(Some(unsafe { std::slice::from_raw_parts(self.data, self.len) }))
    }

    /// What C handed in as text; `None` if there is none.
    ///
    /// # Safety
    ///
    /// As [`Self::bytes`].
    pub(crate) unsafe fn text<'a>(self) -> Result<Option<&'a str>, Failed> {
        // SAFETY: the caller's promise.
        match unsafe { self.bytes() }? {
            Some(bytes) => str::from_utf8(bytes).map(Some).map_err(|_| Failed::code(EPODE_UTF8)),
            None => Ok(None),
        }
    }

    /// What C handed in as text, which has to be there.
    ///
    /// # Safety
    ///
    /// As [`Self::bytes`].
    pub(crate) unsafe fn required<'a>(self) -> Result<&'a str, Failed> {
        // SAFETY: the caller's promise.
        unsafe { self.text() }?.ok_or(Failed::code(EPODE_NULL))
    }
}
