//! Stale sessions. The kernel side looks at them and ends them (see `session::table::sweep`); here is what drives it.
//!
//! The sessions are looked at in slices: while the program runs, this CPU takes no packets. A slice is far below a millisecond, and
//! between two bursts of slices the daemon does other things.

use std::time::{Duration, Instant};

use anyhow::Context;
use aya::{
    Ebpf,
    programs::{SchedClassifier, TestRun, TestRunOptions},
};
use thulium_ebpf::{
    abi::{Sweep, order_frame},
    session::YOUNG,
};

/// How often to sweep.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How long to wait between two bursts of a sweep: a million sessions take seconds, and a small part of one CPU.
const PAUSE: Duration = Duration::from_millis(10);
/// Runs of the program in a burst, of [`thulium_ebpf::abi::SWEEP_STEPS`] sessions each.
const BURST: u32 = 32;

/// What is to be swept, and when.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// Since when all sessions are to be looked at, even those that were looked at lately.
    all_since: Option<Instant>,
    /// When the sweep goes on that is under way.
    wakes: Option<Instant>,
}

impl Sweeper {
    /// When [`Sweeper::sweep`] wants to be called again before its interval is over.
    pub const fn wakes(&self) -> Option<Instant> {
        self.wakes
    }

    /// All sessions are to be looked at, from now on: when many have ended at once, what they held is free again.
    pub fn look_at_all(&mut self) {
        let now = Instant::now();
        self.all_since = Some(now);
        self.wakes = Some(now);
    }

    /// Looks at some sessions of those whose turn it is. Each one's turn comes about once a minute, so that a stale one is gone by then.
    ///
    /// # Errors
    /// If the kernel refuses to run the program. Then it waits for the next interval.
    pub fn sweep(&mut self, ebpf: &Ebpf) -> anyhow::Result<()> {
        self.wakes = None;
        let age = self.all_since.map_or(Duration::from_nanos(YOUNG), |since| since.elapsed());
        if burst(ebpf, age)? {
            self.wakes = Some(Instant::now() + PAUSE);
        } else {
            self.all_since = None;
        }
        Ok(())
    }
}

/// Runs the program a few times. True if there is more to look at.
fn burst(ebpf: &Ebpf, age: Duration) -> anyhow::Result<bool> {
    let program: &SchedClassifier = ebpf.program("sweep").context("there is no program `sweep`")?.try_into()?;
    let order = order_frame(&Sweep { age: u64::try_from(age.as_nanos())? });
    for _ in 0..BURST {
        let looked_at = program.test_run(TestRunOptions { data_in: Some(&order), ..TestRunOptions::default() })?;
        if looked_at.return_value == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
