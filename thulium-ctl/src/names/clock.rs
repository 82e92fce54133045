//! The time that the book is kept in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time that never jumps: what the wall clock said at the start, plus what has passed since.
/// A clock that is set right after boot must not make addresses expire.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: SystemTime,
    start: Instant,
}

impl Clock {
    /// A clock that shows the wall clock's time now.
    pub fn start() -> Self {
        Self { wall: SystemTime::now(), start: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> SystemTime {
        self.wall + self.start.elapsed()
    }
}

/// Whole seconds since 1970; times before it count as 1970.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The time `seconds` after 1970; what no clock can hold counts as 1970.
pub(crate) fn from_unix_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}
