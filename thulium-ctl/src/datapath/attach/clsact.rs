//! The clsact qdisc, on kernels without TCX.

use std::fs;

use anyhow::Context;
use aya::programs::{
    ProgramError, SchedClassifier, TcAttachType, TcError,
    tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
};
use nix::libc;

use super::{Fresh, Target, pinned::pin, target::is_optional};
use crate::{
    datapath::pins::Pins,
    exit::{Exit, Failure},
};

/// Of all our filters.
const PRIORITY: u16 = 1;

/// Priority and handle of a program's filter, by which a later run finds it. First of all: a filter before ours that ends with
/// `ok` would keep packets from it. Of filters with one priority the one that was added last runs first (kernel:
/// `cls_bpf_change`).
fn options(program: &str) -> NlOptions {
    NlOptions { priority: PRIORITY, handle: TcHandle::new(0, handle(program)), classid: None }
}

fn handle(program: &str) -> u16 {
    if is_optional(program) { 0x7469 } else { 0x7468 }
}

/// A clsact filter is no link: the filter itself outlives us, and a pin of its program says that it is ours. True if it was not
/// there before.
pub(super) fn attach(
    program: &mut SchedClassifier,
    name: &str,
    kind: TcAttachType,
    target: &Target,
    pins: &Pins,
    fresh: &mut Fresh,
) -> anyhow::Result<bool> {
    // An error means that the qdisc is there.
    let _ = tc::qdisc_add_clsact(&target.name);
    let path = pin(pins, "clsact", name, target.index);
    // A filter that somebody has taken off is attached anew.
    let taken_over = if path.exists() { program.attach_to_link(filter(&target.name, name, kind)?).ok() } else { None };
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let is_new = taken_over.is_none();
    if let Some(id) = taken_over {
        std::mem::forget(program.take_link(id)?);
    } else {
        let options = TcAttachOptions::Netlink(options(name));
        let id = program.attach_with_options(&target.name, kind, options).map_err(|error| explain(error, target))?;
        std::mem::forget(program.take_link(id)?);
        fresh.filters.push((target.clone(), name.to_owned(), kind));
        fresh.pins.push(path.clone());
    }
    program.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
    Ok(is_new)
}

/// A filter that is there although this instance has no pin of it is not taken over: it may enforce for another instance, whose pins are
/// in another BPF file system.
fn explain(error: ProgramError, target: &Target) -> anyhow::Error {
    match &error {
        ProgramError::TcError(TcError::NetlinkError(cause)) if cause.raw_os_error() == Some(libc::EEXIST) => {
            unpinned(target).into()
        }
        _ => error.into(),
    }
}

fn unpinned(target: &Target) -> Failure {
    let name = &target.name;
    let mut remedy = "If another instance enforces a policy there, stop that one. If the pins of this one were removed by hand, take \
                      its filters off (of one that is absent, `tc` says so):"
        .to_owned();
    for (program, kind) in target.programs().iter().chain(target.learners()) {
        let hook = if matches!(kind, TcAttachType::Egress) { "egress" } else { "ingress" };
        remedy += &format!("\ntc filter del dev {name} {hook} pref {PRIORITY} handle {:#x} bpf", handle(program));
    }
    Failure::new(Exit::Kernel, format!("{name} has a filter of thulium-ctl that this instance has no pin of"), remedy)
}

fn filter(interface: &str, program: &str, kind: TcAttachType) -> anyhow::Result<SchedClassifierLink> {
    let NlOptions { priority, handle, classid } = options(program);
    Ok(SchedClassifierLink::attached(interface, kind, priority, handle, classid)?)
}

/// Takes a program's filter off: dropping its handle detaches it. One that is gone already is as good.
///
/// # Errors
/// If there is no such interface.
pub(super) fn detach(interface: &str, program: &str, kind: TcAttachType) -> anyhow::Result<()> {
    drop(filter(interface, program, kind)?);
    Ok(())
}
