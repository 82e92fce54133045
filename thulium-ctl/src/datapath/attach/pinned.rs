//! Pins, and what their names tell: `<hook>-<program>-<interface index>-<network namespace>`. Interface names may have dots,
//! which bpffs does not take; the same index stands for another interface in each network namespace.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use aya::programs::TcAttachType;
use nix::net::if_::{if_indextoname, if_nametoindex};
use thulium_ebpf::abi::Interface;

use super::{Target, clsact, target::kind_of, tcx, use_tcx};
use crate::{
    datapath::{pins::Pins, qdisc, xdp},
    observe::status::{Attachment, Hook},
    policy::Policy,
};

/// The pin of a program at a hook of an interface of this network namespace.
pub(in crate::datapath) fn pin(pins: &Pins, hook: &str, program: &str, index: u32) -> PathBuf {
    pins.links().join(format!("{hook}-{program}-{index}-{}", namespace()))
}

/// The inode of this network namespace; 0 if it cannot be told.
fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino())
}

/// How an interface is attached; `None` if it is no interface of the policy any more. From another network namespace only its
/// pins tell.
pub(in crate::datapath) fn attachment(pins: &Pins, index: u32, interface: &Interface) -> Option<Attachment> {
    let target = Target::from_entry(index, interface)?;
    let pinned: Vec<Pinned> = pins.own_links().iter().filter_map(|path| Pinned::parse(path)).collect();
    let pinned: Vec<&Pinned> = pinned.iter().filter(|one| one.index == index).collect();
    let is_here = pinned.iter().any(|one| one.namespace == namespace());
    let is_gone = is_here && if_nametoindex(target.name.as_str()) != Ok(index);
    let is_pinned = |hook: &str, program: &str| pinned.iter().any(|one| one.hook == hook && one.program == program);
    let all = |hook: &str| target.programs().iter().all(|(program, _)| is_pinned(hook, program));
    let lives = |(program, kind): &(&str, _)| tcx::is_attached(&target.name, program, *kind);
    let by_tcx = all("tcx") && (!is_here || target.programs().iter().all(lives));
    let tc = match (is_gone, by_tcx, all("clsact")) {
        (false, true, _) => Hook::Tcx,
        (false, _, true) => Hook::Clsact,
        _ => Hook::None,
    };
    let xdp = if !is_gone && is_pinned("xdp", xdp::program(target.role)) { Hook::Native } else { Hook::None };
    let why = if is_gone { format!("{} is gone", target.name) } else { String::new() };
    Some(Attachment { name: target.name.clone(), role: target.reported_role(), tc, xdp, forwards: false, why })
}

/// Detaches clsact filters that the pins tell of, whatever version made them, and the qdiscs that are empty then; links detach
/// when their pins are removed.
///
/// # Errors
/// If the kernel refuses.
pub fn detach_filters(pins: &Pins) -> anyhow::Result<()> {
    let pinned: Vec<Pinned> = pins.links_of_all_layouts().iter().filter_map(|path| Pinned::parse(path)).collect();
    let mut interfaces = BTreeSet::new();
    for one in pinned.iter().filter(|one| one.hook == "clsact") {
        one.detach_filter()?;
        interfaces.insert(one.index);
    }
    if interfaces.is_empty() { Ok(()) } else { qdisc::remove_empty(&interfaces) }
}

/// Lets go of what an earlier run attached elsewhere or by another hook.
///
/// # Errors
/// If the kernel refuses.
pub fn release_others(policy: &Policy, targets: &[Target], pins: &Pins) -> anyhow::Result<()> {
    let tcx = use_tcx(policy.datapath.tc)?;
    for path in pins.own_links() {
        let Some(pinned) = Pinned::parse(&path) else { continue };
        let wanted = targets.iter().any(|target| pinned.is_of(target));
        let by_this_hook = pinned.hook == "xdp" || (pinned.hook == "tcx") == tcx;
        if !(wanted && by_this_hook) {
            pinned.detach_filter()?;
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// What the name of a pin says.
pub(super) struct Pinned {
    hook: String,
    program: String,
    index: u32,
    namespace: u64,
}

impl Pinned {
    pub(super) fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let mut parts = name.split('-');
        let (hook, program) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let (index, namespace) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Self { hook, program, index, namespace })
    }

    /// True if it is of a program that belongs to this interface.
    pub(super) fn is_of(&self, target: &Target) -> bool {
        let programs = target.programs().iter().chain(target.learners()).map(|(program, _)| *program);
        let is_there = self.index == target.index && self.namespace == namespace();
        is_there && programs.chain([xdp::program(target.role)]).any(|program| program == self.program)
    }

    /// Takes the filter off that this pin tells of; links detach when their pins are removed.
    pub(super) fn detach_filter(&self) -> anyhow::Result<()> {
        if self.hook != "clsact" || self.namespace != namespace() {
            return Ok(());
        }
        let kind = kind_of(&self.program).unwrap_or(TcAttachType::Ingress);
        match if_indextoname(self.index) {
            Ok(name) => clsact::detach(&name.to_string_lossy(), &self.program, kind),
            // Its interface is gone, and the filter with it.
            Err(_) => Ok(()),
        }
    }
}
