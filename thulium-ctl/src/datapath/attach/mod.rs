//! Programs → hooks. Links are pinned; those of an earlier run get the new program in place, so that no packet slips through
//! between two versions.
//!
//! * [`Target`]: an interface of the policy, and the programs that belong there.
//! * `tcx`, `clsact`: the two ways to attach TC programs.
//! * `learning`: the programs that a gateway can do without.
//! * `pinned`: what pins tell of an earlier run, and letting go of it.
//! * `foreign`: other instances. `fresh`: what is undone when a start fails.

mod clsact;
mod foreign;
mod fresh;
mod learning;
mod pinned;
mod target;
mod tcx;

use anyhow::Context;
use aya::{Ebpf, programs::SchedClassifier};

pub use pinned::{detach_filters, release_others};
pub use target::{Target, is_optional};

pub(super) use fresh::Fresh;
pub(super) use pinned::{attachment, pin};
pub(super) use tcx::{is_of_a_gone_interface, take_over};

use self::learning::Learning;
use super::{kernel, pins::Pins, tables::Tables, xdp::Known};
use crate::{
    exit::{Exit, Failure},
    observe::status::{Attachment, Hook, Warning},
    policy::{Policy, TcMode, XdpMode},
};

/// Looks at what can be known to stand in the way, before anything changes.
///
/// # Errors
/// If an interface is another instance's, or the kernel lacks what the policy asks for.
pub fn check(policy: &Policy, targets: &[Target], pins: &Pins) -> anyhow::Result<()> {
    use_tcx(policy.datapath.tc)?;
    for target in targets {
        foreign::refuse(target, pins)?;
    }
    Ok(())
}

/// What was attached.
pub struct Attached {
    /// Each interface, and how.
    pub interfaces: Vec<Attachment>,
    /// Why names are not learned from DNS replies, if they are not.
    pub unlearned: Option<anyhow::Error>,
}

/// Attaches the loaded programs to the targets, and takes over what an earlier run of the instance attached. On failure
/// nothing new stays attached. XDP does not forward yet by what is new: see [`xdp::forward`](super::xdp::forward).
///
/// # Errors
/// If the kernel refuses a program that enforces.
pub fn attach(
    ebpf: &mut Ebpf,
    policy: &Policy,
    targets: &[Target],
    pins: &Pins,
    tables: &mut Tables,
) -> anyhow::Result<Attached> {
    let with_tcx = use_tcx(policy.datapath.tc)?;
    let (mode, known) = (policy.datapath.xdp, Known::look(targets)?);
    known.withdraw(mode, tables)?;
    let mut fresh = Fresh::default();
    let (mut interfaces, mut unlearned) = (Vec::new(), None);
    for target in targets {
        let mut is_new = false;
        for (program, kind) in target.programs() {
            let classifier: &mut SchedClassifier =
                ebpf.program_mut(program).with_context(|| format!("there is no program {program}"))?.try_into()?;
            let by = if with_tcx { tcx::attach } else { clsact::attach };
            let attached = by(classifier, program, *kind, target, pins, &mut fresh);
            is_new |= attached.map_err(|error| explain(error, target))?;
        }
        let learning = Learning { with_tcx, goes_first: is_new, pins };
        if let Err(error) = learning.attach(ebpf, target, &mut fresh) {
            unlearned = Some(error);
        }
        let (hook, why) = known.attach(ebpf, mode, target, pins, &mut fresh)?;
        interfaces.push(Attachment {
            name: target.name.clone(),
            role: target.reported_role(),
            tc: if with_tcx { Hook::Tcx } else { Hook::Clsact },
            xdp: hook,
            forwards: false,
            why,
        });
    }
    fresh.keep();
    Ok(Attached { interfaces, unlearned })
}

/// Attaches XDP anew where it is right now, and takes it off where it is no more, as the attachments then say. On failure nothing new
/// stays attached.
///
/// # Errors
/// If the kernel refuses.
pub fn attach_xdp(
    ebpf: &mut Ebpf,
    mode: XdpMode,
    targets: &[Target],
    pins: &Pins,
    tables: &mut Tables,
    attachments: &mut [Attachment],
) -> anyhow::Result<()> {
    let known = Known::look(targets)?;
    known.withdraw(mode, tables)?;
    let mut fresh = Fresh::default();
    for target in targets {
        let (hook, why) = known.attach(ebpf, mode, target, pins, &mut fresh)?;
        if let Some(attachment) = attachments.iter_mut().find(|attachment| attachment.name == target.name) {
            (attachment.xdp, attachment.forwards, attachment.why) = (hook, false, why);
        }
    }
    fresh.keep();
    Ok(())
}

impl Attached {
    /// What the admin should know of it.
    pub fn warning(&self) -> Option<Warning> {
        let text = format!("{:#}", self.unlearned.as_ref()?);
        // The verifier's lines are for the log.
        let why = text.lines().next().unwrap_or_default();
        Some(Warning::new(
            format!("names are not learned from DNS replies: {why}"),
            "Everything else works; the log says more. Clients are admitted to the addresses that the gateway itself resolves: \
             let them use the same resolvers, or what they send to other addresses of a name is refused. Names with `*` \
             have no addresses.",
        ))
    }
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

fn explain(error: anyhow::Error, target: &Target) -> Failure {
    let name = &target.name;
    let by_kernel = |error: anyhow::Error| {
        Failure::new(
            Exit::Kernel,
            format!("the kernel does not attach a program to {name}: {error:#}"),
            format!(
                "See what is there already: `ip link show {name}`, `tc filter show dev {name} ingress` and `… egress`."
            ),
        )
    };
    error.downcast().unwrap_or_else(by_kernel)
}
