//! A run: everything that is measured, in its order.

use anyhow::Result;

use crate::{
    extra::{daemon, latency, memory, opening, sweep, throughput},
    machine::Machine,
    plan::Plan,
    progress::Progress,
    results::{LeftOut, Results},
    rig::{Labs, Opened, Rig},
    sample::{Contender, Direction},
    text,
};

/// What starting the gateways is thought to take, seconds.
const SET_UP: f64 = 8.0;

/// Measures what is planned.
///
/// # Errors
/// When something cannot be set up or measured; the error says what.
pub(crate) fn run(plan: &Plan) -> Result<Results> {
    let mut progress = Progress::new(seconds(plan));
    let mut results = Results::new(Machine::look(), plan.flows.clone(), plan.contenders.clone());
    results.scattered = plan.scattered;
    with_rig(plan, &mut progress, &mut results)?;
    // In gateways of their own, when the rig's are gone.
    daemon::measure(plan, &mut progress, &mut results)?;
    results.throughput = throughput::measure(plan, &mut progress)?;
    progress.end();
    Ok(results)
}

fn seconds(plan: &Plan) -> f64 {
    let rig = SET_UP + plan.flows_seconds() + latency::seconds(plan) + sweep::seconds(plan);
    rig + daemon::seconds(plan) + throughput::seconds(plan)
}

/// What is measured with all contenders' gateways side by side.
fn with_rig(plan: &Plan, progress: &mut Progress, results: &mut Results) -> Result<()> {
    progress.stage("Starting the gateways");
    let labs = Labs::build(&plan.contenders)?;
    let mut rig = Rig::set_up(&labs, plan.scattered)?;
    progress.advance(SET_UP);
    weigh(&mut rig, plan, 0, results)?;
    if plan.open_after().is_none() {
        results.openings = opening::measure(&mut rig, plan, 0, progress)?;
    }
    for flows in &plan.flows {
        open(&mut rig, plan, *flows, progress, results)?;
        rounds(&mut rig, plan, *flows, progress, results)?;
        if plan.open_after() == Some(*flows) {
            results.openings = opening::measure(&mut rig, plan, *flows, progress)?;
        }
    }
    latency::measure(&mut rig, plan, progress, results)?;
    let most = plan.flows.last().copied().unwrap_or_default();
    results.sweep = sweep::measure(&mut rig, plan, most, progress)?;
    for product in plan.products() {
        rig.gateway(product)?.hide_log();
    }
    Ok(())
}

/// Gives every contender so many sessions.
fn open(rig: &mut Rig<'_>, plan: &Plan, flows: u32, progress: &mut Progress, results: &mut Results) -> Result<()> {
    progress.stage(format!("Opening, {}", text::flows(flows)));
    for contender in &plan.contenders {
        progress.step(contender.name());
        if let Opened::Impossible(reason) = rig.open(*contender, flows)? {
            results.left_out.push(LeftOut { contender: *contender, flows, reason });
        }
    }
    progress.advance(plan.open_seconds(flows));
    weigh(rig, plan, plan.sessions(flows), results)
}

/// Measures established sessions, both directions in every round.
fn rounds(rig: &mut Rig<'_>, plan: &Plan, flows: u32, progress: &mut Progress, results: &mut Results) -> Result<()> {
    progress.stage(format!("Established sessions, {}", text::flows(flows)));
    for round in 0..plan.rounds {
        progress.round(round, plan.rounds);
        for direction in Direction::ALL {
            results.samples.extend(rig.round(direction, flows, round, plan.packets(flows))?);
            progress.advance(plan.round_seconds(flows));
        }
    }
    Ok(())
}

/// Notes what so many sessions take of the kernel's memory.
fn weigh(rig: &mut Rig<'_>, plan: &Plan, sessions: u32, results: &mut Results) -> Result<()> {
    for product in plan.products() {
        results.memory.push(memory::measure(rig, product, sessions)?);
    }
    if plan.contenders.contains(&Contender::Nftables) {
        results.conntrack = memory::conntrack();
    }
    Ok(())
}
