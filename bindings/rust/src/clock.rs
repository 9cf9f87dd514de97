//! Two clocks: the one of the engine, which counts the time that the device sleeps, and the one on the wall.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since the client was made.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: reading() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        reading().saturating_sub(self.origin)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reading() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// The standard library's clock: on Apple systems it stands still while the device sleeps.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reading() -> Duration {
    static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    ORIGIN.get_or_init(std::time::Instant::now).elapsed()
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
