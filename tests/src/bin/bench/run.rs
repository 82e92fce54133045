//! A run: everything that is measured, in its order.

use anyhow::Result;
use thulium_tests::lab::interrupt;

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
    let measured = daemon::measure(plan, &mut progress, &mut results);
    noted(measured, "the daemon", &mut results);
    let measured = throughput::measure(plan, &mut progress);
    results.throughput = noted(measured, "TCP throughput", &mut results);
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
    let measured = latency::measure(&mut rig, plan, progress, results);
    noted(measured, "latency", results);
    let most = plan.flows.last().copied().unwrap_or_default();
    let measured = sweep::measure(&mut rig, plan, most, progress);
    results.sweep = noted(measured, "sweeping", results);
    for product in plan.products() {
        rig.gateway(product)?.hide_log();
    }
    Ok(())
}

/// What came of a measurement that no other depends on. That it failed is noted, and costs nothing of the others.
fn noted<T: Default>(measured: Result<T>, what: &str, results: &mut Results) -> T {
    measured.unwrap_or_else(|error| {
        interrupt::wait_if_interrupted();
        results.failed.push(format!("{what}: {error:#}"));
        T::default()
    })
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
