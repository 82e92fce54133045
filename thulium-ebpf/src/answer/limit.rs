//! How many answers are given: a flood of refused packets must not become one of answers (RFC 1812 §4.3.2.8, RFC 4443 §2.4).

/// Nanoseconds that one answer takes out of the bucket: a CPU gives 100 a second.
const COST: u64 = 10_000_000;
/// What the bucket holds, nanoseconds: 50 answers at once.
const BURST: u64 = 500_000_000;

/// Takes one answer out of a bucket that has been spent up to `spent_until`; none if it is empty. Returns what it has been spent up
/// to then (the generic cell rate algorithm: ITU-T I.371). All are nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub const fn admit(spent_until: u64, now: u64) -> Option<u64> {
    let floor = now.saturating_sub(BURST);
    let spent = if spent_until > floor { spent_until } else { floor };
    let after = spent + COST;
    if after > now { None } else { Some(after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(spent_until: &mut u64, now: u64) -> usize {
        let mut answers = 0;
        while let Some(spent) = admit(*spent_until, now) {
            *spent_until = spent;
            answers += 1;
        }
        answers
    }

    #[test]
    fn a_burst_is_answered_and_then_a_hundred_a_second() {
        const SECOND: u64 = 1_000_000_000;
        let (mut spent_until, start) = (0, 100 * SECOND);
        assert_eq!(answers(&mut spent_until, start), 50);
        assert_eq!(answers(&mut spent_until, start + SECOND / 10), 10);
        assert_eq!(answers(&mut spent_until, start + 60 * SECOND), 50);
    }
}
