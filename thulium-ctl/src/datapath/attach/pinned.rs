//! Pins, and what their names tell: `<hook>-<program>-<interface index>`. Interface names may have dots, which bpffs does not
//! take.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use aya::programs::TcAttachType;
use nix::net::if_::{if_indextoname, if_nametoindex};
use thulium_ebpf::abi::Interface;

use super::{Target, clsact, tcx, use_tcx};
use crate::{
    datapath::{pins::Pins, qdisc, xdp},
    observe::status::{Attachment, Hook},
    policy::Policy,
};

/// The pin of a program at a hook of an interface.
pub(in crate::datapath) fn pin(pins: &Pins, hook: &str, program: &str, index: u32) -> PathBuf {
    pins.links().join(format!("{hook}-{program}-{index}"))
}

/// How an interface is attached, by its pins; `None` if it is no interface of the policy any more.
pub(in crate::datapath) fn attachment(pins: &Pins, index: u32, interface: &Interface) -> Option<Attachment> {
    let target = Target::from_entry(index, interface)?;
    let is_there = if_nametoindex(target.name.as_str()).is_ok_and(|present| present == index);
    let all = |hook: &str| target.programs().iter().all(|(program, _)| pin(pins, hook, program, index).exists());
    let by_tcx =
        all("tcx") && target.programs().iter().all(|(program, kind)| tcx::is_attached(&target.name, program, *kind));
    let tc = match (is_there, by_tcx, all("clsact")) {
        (true, true, _) => Hook::Tcx,
        (true, _, true) => Hook::Clsact,
        _ => Hook::None,
    };
    let xdp =
        if is_there && pin(pins, "xdp", xdp::program(target.role), index).exists() { Hook::Native } else { Hook::None };
    let why = if is_there { String::new() } else { format!("{} is gone", target.name) };
    Some(Attachment { name: target.name.clone(), role: target.reported_role(), tc, xdp, why })
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
    let links = pins.links();
    for entry in fs::read_dir(&links).with_context(|| format!("cannot read {}", links.display()))?.flatten() {
        let path = entry.path();
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
struct Pinned {
    hook: String,
    program: String,
    index: u32,
}

impl Pinned {
    fn parse(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let mut parts = name.splitn(3, '-');
        let (hook, program, index) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { hook: hook.to_owned(), program: program.to_owned(), index: index.parse().ok()? })
    }

    fn is_of(&self, target: &Target) -> bool {
        let programs = target.programs().iter().map(|(program, _)| *program);
        self.index == target.index && programs.chain([xdp::program(target.role)]).any(|program| program == self.program)
    }

    /// Takes the filter off that this pin tells of; links detach when their pins are removed.
    fn detach_filter(&self) -> anyhow::Result<()> {
        if self.hook != "clsact" {
            return Ok(());
        }
        let kind = if self.program.ends_with("egress") { TcAttachType::Egress } else { TcAttachType::Ingress };
        match if_indextoname(self.index) {
            Ok(name) => clsact::detach(&name.to_string_lossy(), kind),
            // Its interface is gone, and the filter with it.
            Err(_) => Ok(()),
        }
    }
}
