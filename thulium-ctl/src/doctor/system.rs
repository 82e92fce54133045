//! The kernel's version and the BPF file system.

use std::path::Path;

use super::finding::Finding;
use crate::{
    datapath::{kernel, pins::Pins},
    exit::Failure,
};

/// Whether the kernel is new enough.
pub(super) fn kernel() -> Finding {
    const KERNEL: &str = "kernel";
    match kernel::check() {
        Ok(()) => {
            let tcx = if kernel::has_tcx().unwrap_or(false) { "with TCX" } else { "without TCX: clsact is used" };
            Finding::pass(KERNEL, format!("Linux {}, {tcx}", kernel::release().unwrap_or_default()))
        }
        Err(error) => Finding::fail(KERNEL, error.to_string(), "Nothing can be loaded."),
    }
}

/// Whether there is a BPF file system, in which maps and programs outlive the daemon.
pub(super) fn bpffs(instance: &str, place: Option<&Path>) -> Finding {
    const BPFFS: &str = "bpffs";
    match Pins::of(instance, place) {
        Ok(_) => Finding::pass(BPFFS, "there is a BPF file system for maps and programs"),
        Err(Failure { message, .. }) => {
            let place = place.unwrap_or(Path::new("/sys/fs/bpf")).display().to_string();
            Finding::fail(BPFFS, message, "`run` does not start without it.")
                .fixed_by(format!("mount -t bpf bpf {}", super::command::quoted(&place)))
        }
    }
}
