//! CPU time of the one CPU on which source, gateway and sink run.
//!
//! Time, not speed: another program that takes the CPU for a while makes a run longer, not dearer. Packets are worked on in the
//! sender's own time, as soft interrupts, or in that of the kernel's thread for what they leave over.

use std::fs;

use anyhow::{Context, Result, anyhow};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::ClockId,
    unistd::Pid,
};

/// The CPU that everything is measured on.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    index: usize,
    /// Its kernel thread for soft interrupts.
    ksoftirqd: i32,
}

impl Cpu {
    /// The last one that this program may use: the first one has most of a machine's interrupts.
    ///
    /// # Errors
    /// When its kernel thread is not to be seen.
    pub(super) fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("asking for the CPUs that may be used")?;
        let index = (0..CpuSet::count()).rev().find(|index| allowed.is_set(*index).unwrap_or(false));
        let index = index.context("no CPU may be used")?;
        let name = format!("ksoftirqd/{index}");
        let ksoftirqd = pid_of(&name).with_context(|| {
            format!("{name} is not in /proc: the bench has to see the machine's own processes, so run it outside of any container")
        })?;
        Ok(Self { index, ksoftirqd })
    }

    /// Keeps this thread on it from now on.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(crate) fn hold(self) -> Result<()> {
        let mut only = CpuSet::new();
        only.set(self.index)?;
        sched_setaffinity(Pid::from_raw(0), &only).with_context(|| format!("staying on CPU {}", self.index))
    }

    /// Keeps this thread off it from now on. False if there is no other CPU.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(crate) fn avoid(self) -> Result<bool> {
        let mut others = sched_getaffinity(Pid::from_raw(0)).context("asking for the CPUs that may be used")?;
        others.unset(self.index)?;
        let any = (0..CpuSet::count()).any(|index| others.is_set(index).unwrap_or(false));
        if any {
            sched_setaffinity(Pid::from_raw(0), &others).with_context(|| format!("leaving CPU {}", self.index))?;
        }
        Ok(any)
    }

    /// CPU time that this thread, which is held, and the kernel's have taken so far, nanoseconds.
    ///
    /// # Errors
    /// When a clock cannot be read.
    pub(super) fn time(self) -> Result<u64> {
        let own = ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("reading this thread's CPU time")?;
        let path = format!("/proc/{}/schedstat", self.ksoftirqd);
        let statistics = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let kernel = statistics.split_whitespace().next().and_then(|time| time.parse::<u64>().ok());
        let kernel = kernel.with_context(|| format!("{path} has no CPU time: {statistics}"))?;
        let own = own.tv_sec().cast_unsigned() * 1_000_000_000 + own.tv_nsec().cast_unsigned();
        Ok(own + kernel)
    }
}

fn pid_of(name: &str) -> Result<i32> {
    let processes = fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|process| process.file_name().to_string_lossy().parse::<i32>().ok());
    let is_it = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name);
    pids.into_iter().find(is_it).ok_or_else(|| anyhow!("no process {name}"))
}
