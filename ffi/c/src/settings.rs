//! Setters of the configuration: how long to wait, what things may cost, and what happens when a link is gone.

use std::time::Duration;

use epode::config::{Acknowledge, Liveness, Persist, Reconnect, ReconnectWhen};

use crate::code;
use crate::config::{Config, in_range};
use crate::failure::Failed;
use crate::guard::guarded;

/// How long to wait, in milliseconds: `timeout` is an `EPODE_TIMEOUT_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_timeout(config: *mut Config, timeout: u32, milliseconds: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            let duration = Duration::from_millis(milliseconds);
            match timeout {
                code::EPODE_TIMEOUT_CONNECT => config.timeouts.connect = duration,
                code::EPODE_TIMEOUT_NEGOTIATION => config.timeouts.negotiation = duration,
                code::EPODE_TIMEOUT_CLOSE => config.timeouts.close = duration,
                code::EPODE_TIMEOUT_IQ => config.timeouts.iq = duration,
                code::EPODE_TIMEOUT_DISCOVERY => config.timeouts.discovery = duration,
                code::EPODE_TIMEOUT_FALLBACK => config.timeouts.fallback = duration,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            }
            Ok(())
        })
    }
}

/// What a peer, or the application itself, may cost: `limit` is an `EPODE_LIMIT_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_limit(config: *mut Config, limit: u32, value: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            let limits = &mut config.limits;
            let place = match limit {
                code::EPODE_LIMIT_ELEMENT_BEFORE_LOGIN => &mut limits.element_before_login,
                code::EPODE_LIMIT_ELEMENT => &mut limits.element,
                code::EPODE_LIMIT_BOSH_BODY => &mut limits.bosh_body,
                code::EPODE_LIMIT_DEPTH => &mut limits.depth,
                code::EPODE_LIMIT_ATTRIBUTES => &mut limits.attributes,
                code::EPODE_LIMIT_NAMESPACES => &mut limits.namespaces,
                code::EPODE_LIMIT_ATTRIBUTE_VALUE => &mut limits.attribute_value,
                code::EPODE_LIMIT_OUTBOUND_STANZA => &mut limits.outbound_stanza,
                code::EPODE_LIMIT_OUTBOUND_QUEUE => &mut limits.outbound_queue,
                code::EPODE_LIMIT_INBOUND_QUEUE => &mut limits.inbound_queue,
                code::EPODE_LIMIT_PENDING_REQUESTS => &mut limits.pending_requests,
                code::EPODE_LIMIT_UNACKNOWLEDGED => &mut limits.unacknowledged,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            *place = usize::try_from(value).unwrap_or(usize::MAX);
            Ok(())
        })
    }
}

/// When to connect again after the link is gone: an `EPODE_RECONNECT_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_reconnect(config: *mut Config, when: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.reconnect.when = match when {
                code::EPODE_RECONNECT_AFTER_ONLINE => ReconnectWhen::AfterOnline,
                code::EPODE_RECONNECT_NEVER => ReconnectWhen::Never,
                code::EPODE_RECONNECT_ALWAYS => ReconnectWhen::Always,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            Ok(())
        })
    }
}

/// How long to wait before connecting again, in milliseconds: before the first attempt (1 s), before the second (2 s), from which on it
/// doubles, and at most (2 min). What is waited is drawn at random between half of that and all of it. `attempts`: give up after so
/// many in a row without a login; 0: never, the default.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_reconnect_delays(
    config: *mut Config,
    first_ms: u64,
    second_ms: u64,
    longest_ms: u64,
    attempts: u32,
) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.reconnect = Reconnect {
                when: config.reconnect.when,
                first: Duration::from_millis(first_ms),
                second: Duration::from_millis(second_ms),
                longest: Duration::from_millis(longest_ms),
                attempts: (attempts != 0).then_some(attempts),
            };
            Ok(())
        })
    }
}

/// Acknowledgements (XEP-0198), where the server has them: whether to use them at all, and whether to ask that the session can be
/// resumed (both default true); for how many seconds the server is asked to keep a session that lost its link (0, the default, leaves
/// it to the server).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_stream_management(
    config: *mut Config,
    enabled: bool,
    resume: bool,
    max_seconds: u32,
) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.stream_management.enabled = enabled;
            config.stream_management.resume = resume;
            config.stream_management.max = (max_seconds != 0).then_some(max_seconds);
            Ok(())
        })
    }
}

/// When to ask for an acknowledgement: after so many stanzas (default 10; 1 to 65535), and so many milliseconds after the last one that
/// is not acknowledged (default 3 s).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_acknowledgement_requests(
    config: *mut Config,
    stanzas: u32,
    quiet_ms: u64,
) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            if stanzas == 0 {
                return Err(Failed::code(code::EPODE_VALUE));
            }
            config.stream_management.request_after = in_range(stanzas)?;
            config.stream_management.request_when_quiet = Duration::from_millis(quiet_ms);
            Ok(())
        })
    }
}

/// Whether messages of which nobody knows whether the server has them, because the session is gone, are sent again in the next one, where
/// they may arrive twice. By default they are `EPODE_FAILED`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_resend_uncertain(config: *mut Config, resend: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.stream_management.resend_uncertain = resend;
            Ok(())
        })
    }
}

/// How a dead link is noticed on TCP and WebSocket, in milliseconds: after how long without a word from the server it is asked (5 min;
/// UINT64_MAX: never); how long it may take to answer (30 s); after how long without a word from the client something is sent that
/// means nothing (UINT64_MAX, the default: never).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_liveness(
    config: *mut Config,
    ask_after_ms: u64,
    answer_within_ms: u64,
    keep_alive_after_ms: u64,
) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            let unless_never = |ms: u64| (ms != u64::MAX).then(|| Duration::from_millis(ms));
            config.liveness = Liveness {
                ask_after: unless_never(ask_after_ms),
                answer_within: Duration::from_millis(answer_within_ms),
                keep_alive_after: unless_never(keep_alive_after_ms),
            };
            Ok(())
        })
    }
}

/// What the host keeps for a process to come, as `EPODE_STORE` asks: an `EPODE_PERSIST_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_persist(config: *mut Config, persist: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.persist = match persist {
                code::EPODE_PERSIST_OFF => Persist::Off,
                code::EPODE_PERSIST_ON_SUSPEND => Persist::OnSuspend,
                code::EPODE_PERSIST_EVERY_TURN => Persist::EveryTurn,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            Ok(())
        })
    }
}

/// When a received stanza counts as handled, so that the server need not send it again after a resumption: an `EPODE_ACKNOWLEDGE_`
/// number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_acknowledge(config: *mut Config, acknowledge: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.acknowledge = match acknowledge {
                code::EPODE_ACKNOWLEDGE_AUTOMATIC => Acknowledge::Automatic,
                code::EPODE_ACKNOWLEDGE_MANUAL => Acknowledge::Manual,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            Ok(())
        })
    }
}
