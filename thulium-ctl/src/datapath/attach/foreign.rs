//! Interfaces that another instance enforces.

use super::{Target, pinned::pin, tcx};
use crate::{
    datapath::pins::Pins,
    exit::{Exit, Failure},
};

/// Refuses an interface that another instance enforces.
///
/// # Errors
/// If one does, with its name.
pub(super) fn refuse(target: &Target, pins: &Pins) -> Result<(), Failure> {
    let is_foreign = |(program, kind): &(&str, _)| {
        !pin(pins, "tcx", program, target.index).exists() && tcx::is_attached(&target.name, program, *kind)
    };
    if target.programs().iter().any(is_foreign) { Err(taken(target, pins)) } else { Ok(()) }
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
