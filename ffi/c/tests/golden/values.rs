//! The same values on both sides: in Rust, and as C has them.

use std::mem;
use std::ptr::null;

use epode::{Failure, Slot, StanzaErrorType};
use epode_c::client::Client;
use epode_c::code::*;
use epode_c::output::{Output, epode_next};
use epode_c::slice::Slice;
use serde_json::Value;

pub(crate) fn slice<T: AsRef<[u8]> + ?Sized>(bytes: &T) -> Slice {
    let bytes = bytes.as_ref();
    Slice {
        data: bytes.as_ptr(),
        len: bytes.len(),
    }
}

pub(crate) fn optional(text: Option<&str>) -> Slice {
    text.map_or(absent(), slice)
}

pub(crate) fn absent() -> Slice {
    Slice { data: null(), len: 0 }
}

pub(crate) fn bytes<'a>(slice: Slice) -> Option<&'a [u8]> {
    if slice.data.is_null() {
        return None;
    }
    // SAFETY: every slice that is read here came from the last `epode_next`.
    Some(unsafe { std::slice::from_raw_parts(slice.data, slice.len) })
}

pub(crate) fn text<'a>(slice: Slice) -> Option<&'a str> {
    bytes(slice).map(|bytes| std::str::from_utf8(bytes).unwrap())
}

pub(crate) fn known(value: Option<bool>) -> u32 {
    value.map_or(EPODE_UNKNOWN, |yes| if yes { EPODE_YES } else { EPODE_NO })
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

pub(crate) fn small(value: &Value) -> u32 {
    u32::try_from(number(value)).unwrap()
}

pub(crate) fn slot_code(slot: Slot) -> u32 {
    match slot {
        Slot::Session => EPODE_SLOT_SESSION,
        Slot::Token => EPODE_SLOT_TOKEN,
        Slot::Pins => EPODE_SLOT_PINS,
        _ => panic!("{slot:?}"),
    }
}

pub(crate) fn failure_code(failure: &Failure) -> (u32, u32, Slice) {
    match failure {
        Failure::Dns => (EPODE_FAILURE_DNS, 0, absent()),
        Failure::Refused => (EPODE_FAILURE_REFUSED, 0, absent()),
        Failure::Timeout => (EPODE_FAILURE_TIMEOUT, 0, absent()),
        Failure::Reset => (EPODE_FAILURE_RESET, 0, absent()),
        Failure::TlsAlert(alert) => (EPODE_FAILURE_TLS_ALERT, u32::from(*alert), absent()),
        Failure::CertificateRejected { reason } => (EPODE_FAILURE_CERTIFICATE_REJECTED, 0, slice(reason)),
        Failure::Http { reason } => (EPODE_FAILURE_HTTP, 0, slice(reason)),
        Failure::Other { reason } => (EPODE_FAILURE_OTHER, 0, slice(reason)),
        _ => panic!("{failure:?}"),
    }
}

pub(crate) fn error_code(kind: StanzaErrorType) -> u32 {
    match kind {
        StanzaErrorType::Auth => EPODE_ERROR_AUTH,
        StanzaErrorType::Cancel => EPODE_ERROR_CANCEL,
        StanzaErrorType::Continue => EPODE_ERROR_CONTINUE,
        StanzaErrorType::Modify => EPODE_ERROR_MODIFY,
        StanzaErrorType::Wait => EPODE_ERROR_WAIT,
    }
}

pub(crate) fn next(client: *mut Client) -> Output {
    // SAFETY: the handle lives; all of an output may be zero.
    unsafe {
        let mut output: Output = mem::zeroed();
        output.struct_size = u32::try_from(size_of::<Output>()).unwrap();
        assert_eq!(epode_next(client, &raw mut output), EPODE_OK);
        output
    }
}
