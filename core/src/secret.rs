//! Bytes that must not leak.

use alloc::{string::String, vec::Vec};
use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// Bytes that are zeroised on drop, redacted in `Debug`, and compared in constant time.
///
/// There is no `Display` and no serialisation: what leaves a `Secret` leaves through [`Secret::expose`], where a reader sees it.
#[derive(Clone, Default, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes. A `Vec` or a `String` is moved, so that no copy of it stays behind.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves, for the moment of their use.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl PartialEq for Secret {
    /// Takes as long for a wrong first byte as for a wrong last one; only the lengths show.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::from("pencil")), "Secret(redacted)");
        assert_eq!(format!("{:?}", Secret::default()), "Secret(redacted)");
    }

    #[test]
    fn compares_by_content() {
        assert_eq!(Secret::from("pencil"), Secret::new(*b"pencil"));
        assert_ne!(Secret::from("pencil"), Secret::from("pencim"));
        assert_ne!(Secret::from("pencil"), Secret::from("pencils"));
        assert_eq!(Secret::from("a").expose(), b"a");
    }
}
