//! Interfaces that another instance enforces.

use super::{
    Target,
    pinned::{Pinned, pin},
    tcx,
};
use crate::{
    datapath::pins::Pins,
    exit::{Exit, Failure},
};

/// Refuses an interface that another instance enforces, by its pins; and by the programs there, as far as this process may look
/// at them (that takes more privileges than attaching does): the other's pins may be in another BPF file system.
///
/// # Errors
/// If one does, with its name.
pub(super) fn refuse(target: &Target, pins: &Pins) -> Result<(), Failure> {
    let is_foreign = |(program, kind): &(&str, _)| {
        !pin(pins, "tcx", program, target.index).exists() && tcx::is_attached(&target.name, program, *kind)
    };
    let others: Vec<Pins> = pins.others().into_iter().filter(|other| has(other, target)).collect();
    if others.is_empty() && !target.programs().iter().any(is_foreign) {
        return Ok(());
    }
    Err(taken(target, &others))
}

/// True if this instance has pinned a program of the interface.
fn has(other: &Pins, target: &Target) -> bool {
    let links = other.links_of_all_layouts();
    links.iter().filter_map(|path| Pinned::parse(path)).any(|pinned| pinned.is_of(target))
}

fn taken(target: &Target, others: &[Pins]) -> Failure {
    let others: Vec<&str> = others.iter().map(Pins::instance).collect();
    let who = if others.is_empty() { String::new() } else { format!(" ({})", others.join(" or ")) };
    Failure::new(
        Exit::Kernel,
        format!("another instance{who} enforces a policy on {}", target.name),
        format!(
            "Stop it with `thulium-ctl --instance {} down`, or give this policy other interfaces.",
            others.first().copied().unwrap_or("NAME")
        ),
    )
}
