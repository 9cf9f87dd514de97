//! Structs that start with their size: either side may be older than the other.

use std::{mem, ptr};

use crate::code::{EPODE_NULL, EPODE_STRUCT_SIZE};
use crate::failure::Failed;

/// A struct that C lays out, of which a newer version may have more fields at its end.
///
/// # Safety
///
/// It is `repr(C)`, begins with `struct_size: u32`, and all bytes zero are a valid value of it.
pub(crate) unsafe trait Sized_: Copy {
    /// The size of its first version, which every host has. When it grows, this becomes the offset of the first new field.
    const FIRST: usize = size_of::<Self>();
}

/// Reads one; what an older host does not have is zero, what a newer one has besides is left alone.
///
/// # Safety
///
/// `from` is NULL, or as many bytes as its `struct_size` says can be read there.
pub(crate) unsafe fn read<T: Sized_>(from: *const T) -> Result<T, Failed> {
    // SAFETY: the caller's promise.
    let size = unsafe { size(from) }?;
    // SAFETY: by `Sized_`, zero is a valid value.
    let mut value: T = unsafe { mem::zeroed() };
    // SAFETY: `size` bytes can be read there, no more than `T` has are written, and the two do not overlap.
    unsafe {
        ptr::copy_nonoverlapping(
            from.cast::<u8>(),
            (&raw mut value).cast::<u8>(),
            size.min(size_of::<T>()),
        );
    }
    Ok(value)
}

/// Writes one, as far as the host's version of it goes; its `struct_size` stays.
///
/// # Safety
///
/// `to` is NULL, or as many bytes as its `struct_size` says can be read and written there.
pub(crate) unsafe fn write<T: Sized_>(value: &T, to: *mut T) -> Result<(), Failed> {
    // SAFETY: the caller's promise.
    let size = unsafe { size(to) }?;
    let skip = size_of::<u32>();
    // SAFETY: `size` bytes can be written there, no more than `T` has are read, and the two do not overlap.
    unsafe {
        ptr::copy_nonoverlapping(
            ptr::from_ref(value).cast::<u8>().add(skip),
            to.cast::<u8>().add(skip),
            size.min(size_of::<T>()) - skip,
        );
    }
    Ok(())
}

/// What `struct_size` says, if it can be right.
///
/// # Safety
///
/// `of` is NULL, or a `u32` can be read there.
pub(crate) unsafe fn size<T: Sized_>(of: *const T) -> Result<usize, Failed> {
    if of.is_null() {
        return Err(Failed::code(EPODE_NULL));
    }
    // SAFETY: not NULL, and the rest is this function's contract.
    let size = unsafe { of.cast::<u32>().read() };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size < T::FIRST {
        return Err(Failed::code(EPODE_STRUCT_SIZE));
    }
    Ok(size)
}
