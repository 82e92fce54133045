//! Programs → hooks. Links are pinned; those of an earlier run get the new program in place, so that no packet slips through
//! between two versions.
//!
//! A pin is named `<hook>-<program>-<interface index>`: interface names may have dots, which bpffs does not take.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
    },
};
use nix::net::if_::{if_indextoname, if_nametoindex};
use thulium_ebpf::abi::{Interface, Role};

use super::{kernel, link, pins::Pins, qdisc, xdp};
use crate::{
    exit::{Exit, Failure},
    observe::status::{Attachment, Hook, Role as ReportedRole},
    policy::{Policy, TcMode},
};

/// The program at LAN ingress.
const LAN: &[(&str, TcAttachType)] = &[("lan_ingress", TcAttachType::Ingress)];
/// The programs at an uplink. The guard first: nothing leaves unjudged while the others follow.
const UPLINK: &[(&str, TcAttachType)] =
    &[("uplink_egress", TcAttachType::Egress), ("uplink_ingress", TcAttachType::Ingress)];
/// Priority and handle of our clsact filters, by which a later run finds them. First of all: a filter before ours that ends
/// with `ok` would keep packets from it.
const FILTER: NlOptions = NlOptions { priority: 1, handle: TcHandle::new(0, 0x7468), classid: None };

/// An interface of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// What it is to the gateway.
    pub role: Role,
}

impl Target {
    /// The interfaces of a policy that are there: uplinks first, so that what the LAN opens meets a complete way out.
    pub fn present(policy: &Policy) -> Vec<Self> {
        let uplinks = policy.uplinks.iter().map(|uplink| (&uplink.interface, Role::Uplink));
        let lan = policy.lan.interfaces.iter().map(|name| (name, Role::Lan));
        let target = |(name, role): (&String, Role)| {
            Some(Self { name: name.clone(), index: if_nametoindex(name.as_str()).ok()?, role })
        };
        uplinks.chain(lan).filter_map(target).collect()
    }

    /// Refuses an interface on which the programs would not find the headers they look for.
    ///
    /// # Errors
    /// If its frames have no Ethernet header.
    pub fn check(&self) -> Result<(), Failure> {
        if link::has_ethernet_header(&self.name) {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Policy,
            format!("not supported yet: {} has no Ethernet header (PPPoE, WireGuard, tun)", self.name),
            "Name an Ethernet interface, a bridge or a bond.",
        ))
    }

    /// The interface of an entry of the pinned maps; `None` if it is no interface of the policy any more.
    pub fn from_entry(index: u32, interface: &Interface) -> Option<Self> {
        let role = match interface.role {
            role if role == Role::Lan as u32 => Role::Lan,
            role if role == Role::Uplink as u32 => Role::Uplink,
            _ => return None,
        };
        let end = interface.name.iter().position(|byte| *byte == 0).unwrap_or(interface.name.len());
        Some(Self { name: String::from_utf8_lossy(&interface.name[..end]).into_owned(), index, role })
    }

    const fn programs(&self) -> &'static [(&'static str, TcAttachType)] {
        match self.role {
            Role::Lan => LAN,
            Role::Uplink => UPLINK,
        }
    }

    const fn reported_role(&self) -> ReportedRole {
        match self.role {
            Role::Lan => ReportedRole::Lan,
            Role::Uplink => ReportedRole::Uplink,
        }
    }
}

/// Looks at what can be known to stand in the way, before anything changes.
///
/// # Errors
/// If an interface has no Ethernet header or is another instance's, or the kernel lacks what the policy asks for.
pub fn check(policy: &Policy, targets: &[Target], pins: &Pins) -> anyhow::Result<()> {
    use_tcx(policy.datapath.tc)?;
    for target in targets {
        target.check()?;
        refuse_foreign(target, pins)?;
    }
    Ok(())
}

/// Attaches the loaded programs to the targets, and takes over what an earlier run of the instance attached. On failure
/// nothing new stays attached.
///
/// # Errors
/// If the kernel refuses.
pub fn attach(ebpf: &mut Ebpf, policy: &Policy, targets: &[Target], pins: &Pins) -> anyhow::Result<Vec<Attachment>> {
    let tcx = use_tcx(policy.datapath.tc)?;
    let mut fresh = Fresh::default();
    let mut attachments = Vec::new();
    for target in targets {
        for (program, kind) in target.programs() {
            let classifier: &mut SchedClassifier =
                ebpf.program_mut(program).with_context(|| format!("there is no program {program}"))?.try_into()?;
            let attached = if tcx {
                attach_tcx(classifier, program, *kind, target, pins, &mut fresh)
            } else {
                attach_clsact(classifier, program, *kind, target, pins, &mut fresh)
            };
            attached.map_err(|error| explain(error, target))?;
        }
        let (hook, why) = xdp::attach(ebpf, policy.datapath.xdp, target, pins, &mut fresh)?;
        attachments.push(Attachment {
            name: target.name.clone(),
            role: target.reported_role(),
            tc: if tcx { Hook::Tcx } else { Hook::Clsact },
            xdp: hook,
            why,
        });
    }
    fresh.keep();
    Ok(attachments)
}

fn use_tcx(mode: TcMode) -> anyhow::Result<bool> {
    let has = kernel::has_tcx()?;
    match mode {
        TcMode::Auto => Ok(has),
        TcMode::Clsact => Ok(false),
        TcMode::Tcx if has => Ok(true),
        TcMode::Tcx => Err(Failure::new(
            Exit::Kernel,
            "this kernel has no TCX",
            "It needs Linux 6.6; write `tc: auto` under `datapath`, and clsact is used.",
        )
        .into()),
    }
}

fn attach_tcx(
    program: &mut SchedClassifier,
    name: &str,
    kind: TcAttachType,
    target: &Target,
    pins: &Pins,
    fresh: &mut Fresh,
) -> anyhow::Result<()> {
    let path = pin(pins, "tcx", name, target.index);
    if let Some(link) = take_over(&path) {
        let link: SchedClassifierLink = link.try_into()?;
        if let Ok(id) = program.attach_to_link(link) {
            // The pin still stands for the link; only our descriptor of it goes.
            drop(FdLink::try_from(program.take_link(id)?)?);
            return Ok(());
        }
        // The link's interface is gone, and this one has its index now.
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(&target.name, kind, order)?;
    let link = FdLink::try_from(program.take_link(id)?)?;
    link.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
    fresh.pins.push(path);
    Ok(())
}

/// The link of an earlier run.
pub(super) fn take_over(path: &Path) -> Option<FdLink> {
    PinnedLink::from_pin(path).ok().map(FdLink::from)
}

/// A clsact filter is no link: the filter itself outlives us, and a pin of its program says that it is ours.
fn attach_clsact(
    program: &mut SchedClassifier,
    name: &str,
    kind: TcAttachType,
    target: &Target,
    pins: &Pins,
    fresh: &mut Fresh,
) -> anyhow::Result<()> {
    // An error means that the qdisc is there.
    let _ = tc::qdisc_add_clsact(&target.name);
    let path = pin(pins, "clsact", name, target.index);
    // A filter that somebody has taken off is attached anew.
    let taken_over = if path.exists() { program.attach_to_link(filter(&target.name, kind)?).ok() } else { None };
    if path.exists() {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    if let Some(id) = taken_over {
        std::mem::forget(program.take_link(id)?);
    } else {
        let id = program.attach_with_options(&target.name, kind, TcAttachOptions::Netlink(FILTER))?;
        std::mem::forget(program.take_link(id)?);
        fresh.filters.push((target.clone(), kind));
        fresh.pins.push(path.clone());
    }
    program.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
    Ok(())
}

fn filter(interface: &str, kind: TcAttachType) -> anyhow::Result<SchedClassifierLink> {
    let NlOptions { priority, handle, classid } = FILTER;
    Ok(SchedClassifierLink::attached(interface, kind, priority, handle, classid)?)
}

/// The pin of a program at a hook of an interface.
pub(super) fn pin(pins: &Pins, hook: &str, program: &str, index: u32) -> PathBuf {
    pins.links().join(format!("{hook}-{program}-{index}"))
}

/// How an interface is attached, by its pins; `None` if it is no interface of the policy any more.
pub(super) fn attachment(pins: &Pins, index: u32, interface: &Interface) -> Option<Attachment> {
    let target = Target::from_entry(index, interface)?;
    let is_there = if_nametoindex(target.name.as_str()).is_ok_and(|present| present == index);
    let all = |hook: &str| target.programs().iter().all(|(program, _)| pin(pins, hook, program, index).exists());
    let is_attached = |(program, kind): &(&str, TcAttachType)| {
        SchedClassifier::query_tcx(&target.name, *kind)
            .is_ok_and(|(_, attached)| attached.iter().any(|info| info.name_as_str() == Some(program)))
    };
    let tcx = all("tcx") && target.programs().iter().all(is_attached);
    let tc = match (is_there, tcx, all("clsact")) {
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
            Ok(name) => detach_filter(&name.to_string_lossy(), kind),
            // Its interface is gone, and the filter with it.
            Err(_) => Ok(()),
        }
    }
}

/// Dropping the handle of a filter detaches it; one that is gone already is as good.
fn detach_filter(interface: &str, kind: TcAttachType) -> anyhow::Result<()> {
    drop(filter(interface, kind)?);
    Ok(())
}

/// Refuses an interface that another instance enforces.
fn refuse_foreign(target: &Target, pins: &Pins) -> anyhow::Result<()> {
    for (program, kind) in target.programs() {
        if pin(pins, "tcx", program, target.index).exists() {
            continue;
        }
        // A kernel without TCX cannot be asked, and has no foreign ones.
        let Ok((_, attached)) = SchedClassifier::query_tcx(&target.name, *kind) else { continue };
        if attached.iter().any(|info| info.name_as_str() == Some(program)) {
            return Err(taken(target, pins).into());
        }
    }
    Ok(())
}

/// Names the instances whose pins could be of this interface; another network namespace can have the same index.
fn taken(target: &Target, pins: &Pins) -> Failure {
    let has = |other: &Pins| {
        target.programs().iter().any(|(program, _)| {
            pin(other, "tcx", program, target.index).exists() || pin(other, "clsact", program, target.index).exists()
        })
    };
    let others: Vec<String> = pins.others().into_iter().filter(has).map(|other| other.instance().to_owned()).collect();
    let who = if others.is_empty() { String::new() } else { format!(" ({})", others.join(" or ")) };
    Failure::new(
        Exit::Kernel,
        format!("another instance{who} enforces a policy on {}", target.name),
        format!(
            "Stop it with `thulium-ctl --instance {} down`, or give this policy other interfaces.",
            others.first().map_or("NAME", String::as_str)
        ),
    )
}

fn explain(error: anyhow::Error, target: &Target) -> anyhow::Error {
    if error.downcast_ref::<ProgramError>().is_some_and(|error| format!("{error:?}").contains("AlreadyExists")) {
        return anyhow!(Failure::new(
            Exit::Kernel,
            format!("{} has a TC filter with our priority that is not ours", target.name),
            format!("See `tc filter show dev {} ingress` and `… egress`; remove it, then start again.", target.name),
        ));
    }
    let message = format!("the kernel does not attach a program to {}: {error:#}", target.name);
    anyhow!(Failure::new(Exit::Kernel, message, format!("See whether `ip link show {}` looks right.", target.name)))
}

/// What this run attached, taken off again unless all of it succeeds.
#[derive(Default)]
pub(super) struct Fresh {
    pub(super) pins: Vec<PathBuf>,
    filters: Vec<(Target, TcAttachType)>,
}

impl Fresh {
    fn keep(mut self) {
        self.pins.clear();
        self.filters.clear();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // We are on our way out with an error already; what cannot be undone now, `down` undoes.
        for (target, kind) in &self.filters {
            let _ = detach_filter(&target.name, *kind);
        }
        for pin in &self.pins {
            let _ = fs::remove_file(pin);
        }
    }
}
