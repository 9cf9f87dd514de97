//! Setters of the configuration for BOSH: they hold for every BOSH transport that was added.

use epode::Secret;
use epode::config::{Attach, AttachKeys};

use crate::code;
use crate::config::{Config, in_range};
use crate::failure::Failed;
use crate::guard::guarded;
use crate::sized::{self, Sized_};
use crate::slice::Slice;

/// A BOSH session that was created and logged in elsewhere, by a web server for one of its pages for example: what its creator knows of
/// it. Only one may use it from then on. Zeroed numbers say that the server did not say.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BoshAttach {
    /// `sizeof (epode_bosh_attach)`.
    pub struct_size: u32,
    /// The longest time, in seconds, that the server holds a request.
    pub wait: u32,
    /// How many requests it holds.
    pub hold: u32,
    /// How many may be open at once; at least 1.
    pub requests: u32,
    /// After how many seconds without a request it forgets the session.
    pub inactivity: u32,
    /// How many seconds there must be between empty requests.
    pub polling: u32,
    /// For how many seconds the session may pause.
    pub maxpause: u32,
    /// It acknowledges requests (XEP-0124 section 9.1): 1, else 0.
    pub acknowledges: u32,
    /// The request id after the last one that was used.
    pub next_rid: u64,
    /// The session id. Whoever has it has the session.
    pub sid: Slice,
    /// The full JID that the session is bound to.
    pub jid: Slice,
    /// The seed of the key sequence (XEP-0124 section 15); NULL if the session was created without one.
    pub key_seed: Slice,
    /// Which key of the sequence the next request has to show: 1 is the last one.
    pub next_key: u32,
    /// Nothing.
    pub reserved: u32,
}

// SAFETY: repr(C), the size first; numbers and slices may be zero.
unsafe impl Sized_ for BoshAttach {}

/// The longest time, in seconds, that the server may hold a request (default 60; at most 65535).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_wait(config: *mut Config, seconds: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.wait = in_range(seconds)?;
            Ok(())
        })
    }
}

/// How many requests the server may hold (default 1; 0 asks for a polling session; at most 255).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_hold(config: *mut Config, requests: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.hold = in_range(requests)?;
            Ok(())
        })
    }
}

/// How many requests may be open at once, whatever the server allows (default 4; 2 to 255).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_max_requests(config: *mut Config, requests: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            if requests < 2 {
                return Err(Failed::code(code::EPODE_VALUE));
            }
            config.bosh.max_requests = in_range(requests)?;
            Ok(())
        })
    }
}

/// Whether answers are acknowledged (XEP-0124 section 9; default true).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_ack(config: *mut Config, ack: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.ack = ack;
            Ok(())
        })
    }
}

/// The first request id (1 to 2^53 - 1), for tests that need known bytes; 0 draws it at random, as by default.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_first_rid(config: *mut Config, rid: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.first_rid = (rid != 0).then_some(rid);
            Ok(())
        })
    }
}

/// Whether each request proves that it comes from whoever sent the one before it (XEP-0124 section 15; default false). Over https TLS
/// does that already.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_key_sequence(config: *mut Config, keys: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.key_sequence = keys;
            Ok(())
        })
    }
}

/// Goes on with a session that somebody else created, and logged in to the account, instead of creating one. Whether it is possible is
/// checked by `epode_client_new`. NULL: creates one, as by default.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_attach(config: *mut Config, attach: *const BoshAttach) -> u32 {
    // SAFETY: the host's promise for handles, structs and slices.
    unsafe {
        guarded(config, |config| {
            config.bosh.attach = if attach.is_null() {
                None
            } else {
                let attach = sized::read(attach)?;
                let keys = match attach.key_seed.bytes()? {
                    Some(seed) => Some(AttachKeys {
                        seed: Secret::new(seed),
                        next: in_range(attach.next_key)?,
                    }),
                    None => None,
                };
                Some(Box::new(Attach {
                    sid: Secret::new(attach.sid.required()?),
                    next_rid: attach.next_rid,
                    jid: attach.jid.required()?.to_owned(),
                    wait: in_range(attach.wait)?,
                    hold: in_range(attach.hold)?,
                    requests: in_range(attach.requests)?,
                    inactivity: said(attach.inactivity)?,
                    polling: said(attach.polling)?,
                    maxpause: said(attach.maxpause)?,
                    acknowledges: attach.acknowledges != 0,
                    keys,
                }))
            };
            Ok(())
        })
    }
}

fn said(seconds: u32) -> Result<Option<u16>, Failed> {
    Ok(if seconds == 0 { None } else { Some(in_range(seconds)?) })
}
