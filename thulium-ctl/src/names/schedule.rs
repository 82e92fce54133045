//! When a name is asked for again.

use std::time::Duration;

/// How often names are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A good answer is never asked for again sooner, whatever its TTL.
    pub shortest: Duration,
    /// A good answer is asked for again after this time at the latest, whatever its TTL.
    pub longest: Duration,
    /// After the first failure.
    pub first_retry: Duration,
    /// After many failures; the time doubles up to here.
    pub last_retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(5),
            longest: Duration::from_secs(3600),
            first_retry: Duration::from_secs(1),
            last_retry: Duration::from_secs(60),
        }
    }
}

impl Pace {
    /// How long to wait after a good answer with this TTL. `jitter`, 0.0 to 1.0, spreads the names: up to a tenth sooner, so
    /// that the answer rarely has run out, but never sooner than `shortest`.
    pub fn after_answer(&self, ttl: Duration, jitter: f64) -> Duration {
        let wait = ttl.clamp(self.shortest, self.longest);
        wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 10.0).max(self.shortest)
    }

    /// How long to wait after the `failures`th failure in a row. `jitter`, 0.0 to 1.0, spreads the names: up to a quarter
    /// sooner.
    pub fn after_failure(&self, failures: u32, jitter: f64) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let wait = self.first_retry.saturating_mul(1 << doublings).min(self.last_retry);
        wait.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn answers_are_asked_for_again_by_their_ttl_within_bounds() {
        let pace = Pace::default();
        assert_eq!(pace.after_answer(Duration::ZERO, 1.0), 5 * SECOND);
        assert_eq!(pace.after_answer(100 * SECOND, 0.0), 100 * SECOND);
        assert_eq!(pace.after_answer(100 * SECOND, 1.0), 90 * SECOND);
        assert_eq!(pace.after_answer(Duration::MAX, 0.0), 3600 * SECOND);
    }

    #[test]
    fn failures_are_retried_ever_more_slowly_but_for_ever() {
        let pace = Pace::default();
        let waits: Vec<u64> = (1..=8).map(|failures| pace.after_failure(failures, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pace.after_failure(u32::MAX, 0.0), 60 * SECOND);
        assert!(pace.after_failure(1, 1.0) >= SECOND / 2);
    }
}
