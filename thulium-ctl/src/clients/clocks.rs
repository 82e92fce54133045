//! The datapath's clock and the wall's.

use std::time::{Duration, SystemTime};

use crate::{datapath::tables::monotonic, names::unix_seconds};

/// Both clocks at one moment. The datapath's begins with the boot; what is kept on disk is in the wall's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Seconds since 1970.
    pub wall: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub datapath: u64,
}

impl Clocks {
    /// Stands in the datapath's time for every moment before the boot.
    pub const BEFORE_BOOT: u64 = 1;

    /// Both clocks now.
    pub fn read() -> Self {
        Self { wall: unix_seconds(SystemTime::now()), datapath: monotonic() }
    }

    /// A moment of the datapath's clock (nanoseconds) in the wall's time, seconds since 1970.
    pub fn wall(self, moment: u64) -> u64 {
        self.wall.saturating_sub(self.age(moment).as_secs())
    }

    /// A moment of the wall's time (seconds since 1970) in the datapath's, nanoseconds. One that is still to come is now: the wall's
    /// clock was wrong.
    pub fn datapath(self, wall: u64) -> u64 {
        let age = Duration::from_secs(self.wall.saturating_sub(wall));
        let age = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        self.datapath.saturating_sub(age).max(Self::BEFORE_BOOT)
    }

    /// How long ago a moment of the datapath's clock was.
    pub const fn age(self, moment: u64) -> Duration {
        Duration::from_nanos(self.datapath.saturating_sub(moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_moment_since_the_boot_is_the_same_in_both() {
        let clocks = Clocks { wall: 1_800_000_000, datapath: 1000 * SECOND };
        assert_eq!(clocks.wall(900 * SECOND), 1_799_999_900);
        assert_eq!(clocks.datapath(1_799_999_900), 900 * SECOND);
        assert_eq!(clocks.age(900 * SECOND), Duration::from_secs(100));
    }

    #[test]
    fn what_was_before_the_boot_or_is_still_to_come_is_bounded() {
        let clocks = Clocks { wall: 1_800_000_000, datapath: 10 * SECOND };
        assert_eq!(clocks.datapath(1_700_000_000), Clocks::BEFORE_BOOT);
        assert_eq!(clocks.datapath(1_900_000_000), 10 * SECOND);
    }
}
