//! The coarse clock of sessions. Each of their entries keeps a moment that every packet looks at, and few write: half a word is enough
//! for it.

/// Nanoseconds of a tick, as a power of two: 67 ms. A `u32` counts them for nine years.
const SHIFT: u32 = 26;

/// Ticks after which a session's last packet is noted anew: what is written less than once a second stays in the caches of all CPUs.
pub const REFRESH: u32 = ticks(1_000_000_000) + 2;

/// A moment of `CLOCK_MONOTONIC`, or a duration: nanoseconds → ticks.
#[inline(always)]
pub const fn ticks(nanoseconds: u64) -> u32 {
    (nanoseconds >> SHIFT) as u32
}

/// Nanoseconds of so many ticks.
pub const fn nanoseconds(ticks: u32) -> u64 {
    (ticks as u64) << SHIFT
}

/// Ticks from `then` to `now`; 0 if another CPU has written `then` after `now` was read. Right even where the clock has wrapped.
#[inline(always)]
pub const fn ticks_since(now: u32, then: u32) -> u32 {
    let age = now.wrapping_sub(then);
    if age as i32 >= 0 { age } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_moment_is_known_to_a_tick() {
        for moment in [0, 1, SECOND, 86_400 * SECOND + 7] {
            let known = nanoseconds(ticks(moment));
            assert!(known <= moment && moment - known < nanoseconds(1), "{moment}");
        }
    }

    #[test]
    fn a_note_is_a_second_old_before_it_is_written_anew() {
        let (early, late) = (nanoseconds(8) - 1, nanoseconds(7 + REFRESH));
        assert_eq!(ticks_since(ticks(late), ticks(early)), REFRESH);
        assert!(late - early >= SECOND);
    }

    #[test]
    fn the_clock_may_wrap_and_a_later_moment_is_no_age() {
        assert_eq!(ticks_since(3, u32::MAX - 1), 5);
        assert_eq!(ticks_since(7, 8), 0);
    }
}
