//! What a new session costs: the first packets of flows that nobody has seen.

use anyhow::Result;

use crate::{
    plan::{OPENED, Plan},
    progress::Progress,
    results::Readings,
    rig::Rig,
};

/// CPU time of first packets, nanoseconds each, round by round, of flows from `first` on.
///
/// # Errors
/// When the source cannot be run.
pub(crate) fn measure(rig: &mut Rig<'_>, plan: &Plan, first: u32, progress: &mut Progress) -> Result<Readings> {
    progress.stage("New sessions");
    let mut openings = Readings::default();
    for round in 0..plan.opening_rounds() {
        progress.round(round, plan.opening_rounds());
        let begin = first + round * OPENED;
        for contender in plan.contenders.iter().copied().filter(|contender| contender.keeps_sessions()) {
            if let Some(cost) = rig.first_packets(contender, begin..begin + OPENED)? {
                openings.push(contender, round, cost);
            }
        }
        progress.advance(plan.opening_seconds());
    }
    Ok(openings)
}
