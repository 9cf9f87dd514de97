//! The messages of a DIGEST-MD5 server as lists of names and values (RFC 2831 §7.1).

use alloc::string::String;
use alloc::vec::Vec;

use super::SaslError;

/// RFC 2831 §2.1.1: a digest-challenge has less than 2048 bytes.
const MAX_CHALLENGE: usize = 2047;

/// The list that a server's message is: names in lower case, values without their quotes.
pub(super) struct Directives(Vec<(String, Vec<u8>)>);

impl Directives {
    /// RFC 2831 §7.1: `name=value` or `name="value"` between commas, with white space and empty elements as one likes.
    pub(super) fn parse(data: &[u8]) -> Result<Self, SaslError> {
        if data.len() > MAX_CHALLENGE {
            return Err(malformed("a message of less than 2048 bytes"));
        }
        let mut directives = Vec::new();
        let mut rest = data;
        loop {
            rest = trimmed(rest);
            match rest.split_first() {
                None => return Ok(Self(directives)),
                Some((b',', behind)) => {
                    rest = behind;
                    continue;
                }
                Some(_) => {}
            }
            let (name, behind) = token(rest);
            let behind = trimmed(behind).strip_prefix(b"=").filter(|_| !name.is_empty());
            let behind = trimmed(behind.ok_or(malformed("a name, '=' and a value"))?);
            let (value, behind) = match behind.strip_prefix(b"\"") {
                Some(quoted) => unquoted(quoted).ok_or(malformed("an end of the text in quotes"))?,
                None => {
                    let (value, behind) = token(behind);
                    (value.to_vec(), behind)
                }
            };
            rest = trimmed(behind);
            if !matches!(rest.first(), None | Some(b',')) {
                return Err(malformed("a comma between two values"));
            }
            directives.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value));
        }
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_slice())
    }

    /// RFC 2831 §2.1.1: a second one aborts the login.
    pub(super) fn single<'a>(&'a self, name: &'static str) -> Result<Option<&'a [u8]>, SaslError> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(SaslError::Malformed {
                expected: alloc::format!("{name}= only once").into(),
            }),
        }
    }

    pub(super) fn is_stale(&self) -> Result<bool, SaslError> {
        let stale = self.single("stale")?.unwrap_or_default();
        Ok(stale.eq_ignore_ascii_case(b"true"))
    }
}

fn trimmed(data: &[u8]) -> &[u8] {
    data.trim_ascii_start()
}

/// A token (RFC 2831 §7.1), and what is behind it.
fn token(data: &[u8]) -> (&[u8], &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(byte);
    let end = data.iter().position(|byte| !is_token(byte)).unwrap_or(data.len());
    data.split_at_checked(end).unwrap_or((data, &[]))
}

/// The value of a quoted-string (RFC 2831 §7.1) whose first quote is gone, and what is behind it.
fn unquoted(data: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = data;
    loop {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        match byte {
            b'"' => return Some((value, rest)),
            b'\\' => {
                let (quoted, behind) = rest.split_first()?;
                value.push(*quoted);
                rest = behind;
            }
            b'\t' => value.push(*byte),
            byte if byte.is_ascii_control() => return None,
            byte => value.push(*byte),
        }
    }
}

pub(super) fn malformed(expected: &'static str) -> SaslError {
    SaslError::Malformed {
        expected: expected.into(),
    }
}
