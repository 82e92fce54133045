//! What is measured beside the packets of established sessions, a file each.
//!
//! * [`opening`]: new sessions. [`memory`]: what sessions take. [`latency`], [`throughput`]: what applications see.
//! * [`daemon`]: starts and policy changes. [`sweep`]: the daemon's sweeping, and its dent.
//! * [`kernel`]: what a process has open of the kernel's maps and programs.

pub(crate) mod daemon;
mod kernel;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod opening;
pub(crate) mod sweep;
pub(crate) mod throughput;
