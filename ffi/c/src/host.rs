//! The inputs that are about no link: what was stored, the wall clock, answers of DNS, what a device knows, what a login needs
//! besides. One function each.

use std::borrow::Cow;
use std::slice;

use epode::{Answer, DerivedKey, Input, Instant, JobId, Network, QueryId, Secret, Slot, Token};

use crate::client::Client;
use crate::code;
use crate::config::Config;
use crate::failure::Failed;
use crate::guard::guarded;
use crate::input::{broken, element, handle};
use crate::slice::Slice;

/// One SRV record (RFC 2782).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SrvRecord {
    /// Lower is tried first.
    pub priority: u16,
    /// Among equals, the share of the attempts.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// Nothing.
    pub reserved: u16,
    /// The host; `.` says that the service is not offered.
    pub target: Slice,
}

/// Before the first start: all that an earlier client stored in this slot (`EPODE_STORE`), in order. The client goes on where that
/// one was. `slot` is an `EPODE_SLOT_` number; each may be restored once. The bytes are a secret: overwrite your copy. An
/// `EPODE_SNAPSHOT_` code means that they are of no use, and the client starts afresh.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_restore(client: *mut Client, now_ms: u64, slot: u32, bytes: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            let slot = match slot {
                code::EPODE_SLOT_SESSION => Slot::Session,
                code::EPODE_SLOT_TOKEN => Slot::Token,
                code::EPODE_SLOT_PINS => Slot::Pins,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            let bytes = Secret::new(bytes.bytes()?.unwrap_or_default());
            Ok(Input::Restore { slot, bytes })
        })
    }
}

/// What the wall clock shows, in milliseconds since 1970-01-01T00:00:00Z: used for the time stamps of stanzas that are sent late
/// (XEP-0203), and for nothing else. Once before the start is enough, and again when the clock was set.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_clock(client: *mut Client, now_ms: u64, unix_ms: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Clock { unix_ms })) }
}

/// Answers an `EPODE_QUESTION_SRV` with `count` records, in any order; 0 where the name has none or does not exist. `records` may be
/// NULL then.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_resolved_records(
    client: *mut Client,
    now_ms: u64,
    query: u64,
    records: *const SrvRecord,
    count: usize,
) -> u32 {
    // SAFETY: the host's promise for handles, structs and slices.
    unsafe {
        handle(client, now_ms, || {
            let records = match (records.is_null(), count) {
                (_, 0) => &[],
                (true, _) => return Err(Failed::code(code::EPODE_NULL)),
                // A DNS answer holds no more (RFC 1035 section 4.1.1), and a slice cannot be larger than the memory.
                (false, 1..=0xFFFF) => slice::from_raw_parts(records, count),
                (false, _) => return Err(Failed::code(code::EPODE_VALUE)),
            };
            let records = records.iter().map(|record| {
                Ok(epode::SrvRecord {
                    priority: record.priority,
                    weight: record.weight,
                    port: record.port,
                    target: record.target.required()?.to_owned(),
                })
            });
            let answer = Answer::Records(records.collect::<Result<_, Failed>>()?);
            Ok(Input::Resolved {
                query: QueryId(query),
                answer,
            })
        })
    }
}

/// Answers an `EPODE_QUESTION_DOCUMENT` with the document, which came with HTTP status 200.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_resolved_document(client: *mut Client, now_ms: u64, query: u64, document: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            Ok(Input::Resolved {
                query: QueryId(query),
                answer: Answer::Document(Cow::Borrowed(document.bytes()?.unwrap_or_default())),
            })
        })
    }
}

/// There is no answer to an `EPODE_RESOLVE`: `failure`, `alert` and `reason` as in `epode_failed`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_resolved_failed(
    client: *mut Client,
    now_ms: u64,
    query: u64,
    failure: u32,
    alert: u32,
    reason: Slice,
) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            Ok(Input::Resolved {
                query: QueryId(query),
                answer: Answer::Failed(broken(failure, alert, reason)?),
            })
        })
    }
}

/// The device's network came, went, or became another one: an `EPODE_NETWORK_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_network(client: *mut Client, now_ms: u64, network: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        handle(client, now_ms, || {
            Ok(Input::Network(match network {
                code::EPODE_NETWORK_UP => Network::Up,
                code::EPODE_NETWORK_DOWN => Network::Down,
                code::EPODE_NETWORK_CHANGED => Network::Changed,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            }))
        })
    }
}

/// Whether somebody looks at the application: a server holds back what can wait while nobody does (XEP-0352).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_foreground(client: *mut Client, now_ms: u64, foreground: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Foreground(foreground))) }
}

/// The device is about to sleep for at most so many seconds: on BOSH the server is told (XEP-0124 section 10), elsewhere everything
/// is acknowledged that can be. Carry out what comes of it before the device sleeps.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_pause(client: *mut Client, now_ms: u64, seconds: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Pause { seconds })) }
}

/// With `EPODE_ACKNOWLEDGE_MANUAL`: the application has dealt with a received stanza. `token` is the one of its `epode_stanza`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_handled(client: *mut Client, now_ms: u64, token: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Handled { token: Token(token) })) }
}

/// An `EPODE_DERIVE_KEY` is done: `job` is its job, and `key` what `epode_derivation_run` or `epode_derivation_with_salted_password`
/// gave. One that nobody waits for any more is ignored.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_derived(client: *mut Client, now_ms: u64, job: u64, key: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            let key = DerivedKey::from_bytes(key.bytes()?.ok_or(Failed::code(code::EPODE_NULL))?)?;
            Ok(Input::Derived { job: JobId(job), key })
        })
    }
}

/// From the next login on the credentials of this configuration count: an access token that was renewed, a password that was changed. They
/// must be for the same account; nothing else of the configuration is used, and it may be freed afterwards. Where it has none, the
/// sentence is the configuration's.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_provide(client: *mut Client, now_ms: u64, config: *mut Config) -> u32 {
    let mut taken = None;
    // SAFETY: the host's promise for handles.
    let code = unsafe {
        guarded(config, |config| {
            let credentials = config.credentials();
            let credentials = credentials.ok_or(Failed::code(code::EPODE_CONFIG_CREDENTIALS))?;
            taken = Some((config.account(), credentials));
            Ok(())
        })
    };
    let Some((account, credentials)) = taken else {
        return code;
    };
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(client, |client| {
            if *client.account() != account {
                return Err(Failed::code(code::EPODE_CREDENTIALS_OF_ANOTHER));
            }
            let input = Input::Provide { credentials };
            client.core.handle(Instant::from_millis(now_ms), input)?;
            Ok(())
        })
    }
}

/// Answers an `EPODE_TASK`: the first answer begins the task, each further one goes on with it (XEP-0388 section 2.6.4). `payload` is the task's
/// own element as XML, all namespaces declared, or NULL if it has none to say.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_task(client: *mut Client, now_ms: u64, payload: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            let payload = match payload.bytes()? {
                Some(_) => Some(element(payload)?),
                None => None,
            };
            Ok(Input::Task { payload })
        })
    }
}
