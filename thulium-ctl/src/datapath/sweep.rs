//! Stale sessions. The kernel side looks at them and ends them (see `session::table::sweep`); here is what drives it.

use std::time::Duration;

use anyhow::Context;
use aya::{
    Ebpf,
    programs::{SchedClassifier, TestRun, TestRunOptions},
};
use thulium_ebpf::abi::SWEEP_STEPS;

/// How often to sweep.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Every session is looked at about once in this many intervals.
const ROUND: u32 = 12;

/// Looks at a twelfth of the sessions that there can be, so that a stale one is gone within a minute.
///
/// # Errors
/// If the kernel refuses to run the program.
pub fn sweep(ebpf: &Ebpf, capacity: u32) -> anyhow::Result<()> {
    run(ebpf, capacity / SWEEP_STEPS / ROUND)
}

/// Looks at all sessions that there can be: when many have ended at once, what they held is free again.
///
/// # Errors
/// If the kernel refuses to run the program.
pub fn sweep_all(ebpf: &Ebpf, capacity: u32) -> anyhow::Result<()> {
    run(ebpf, capacity / SWEEP_STEPS)
}

fn run(ebpf: &Ebpf, times: u32) -> anyhow::Result<()> {
    let program: &SchedClassifier = ebpf.program("sweep").context("there is no program `sweep`")?.try_into()?;
    // The kernel wants an Ethernet header.
    let frame = [0; 14];
    program.test_run(TestRunOptions { data_in: Some(&frame), repeat: times.max(1), ..TestRunOptions::default() })?;
    Ok(())
}
