//! How long the daemon takes: from nothing until everything is loaded, verified by the kernel and attached; and with another
//! policy for a datapath that goes on meanwhile.

use std::time::Instant;

use anyhow::Result;
use thulium_tests::lab::Lab;

use crate::{plan::Plan, progress::Progress, results::Results, rig, sample::Contender};

/// What a start is thought to take, seconds.
const START: f64 = 1.5;

/// Seconds that it is thought to take.
pub(crate) fn seconds(plan: &Plan) -> f64 {
    2.0 * f64::from(plan.few_rounds()) * plan.products().len() as f64 * START
}

/// Measures starts and changes, round by round. What is measured ends when `status` says that it is ready.
///
/// # Errors
/// When a daemon does not start or end.
pub(crate) fn measure(plan: &Plan, progress: &mut Progress, results: &mut Results) -> Result<()> {
    progress.stage("Starts and policy changes");
    for round in 0..plan.few_rounds() {
        progress.round(round, plan.few_rounds());
        for product in plan.products() {
            let (start, change) = start_and_change(xdp(product))?;
            results.starts.push(product, round, start);
            results.changes.push(product, round, change);
        }
        progress.advance(seconds(plan) / f64::from(plan.few_rounds()));
    }
    Ok(())
}

/// Both in a gateway of its own, milliseconds.
fn start_and_change(xdp: &str) -> Result<(f64, f64)> {
    let lab = Lab::new()?;
    let begun = Instant::now();
    let mut gateway = lab.start(&rig::policy(xdp, rig::CAPACITY))?;
    let start = milliseconds(begun);
    gateway.terminate()?;
    let begun = Instant::now();
    gateway.restart(Some(&rig::bulk(xdp)))?;
    let change = milliseconds(begun);
    gateway.hide_log();
    Ok((start, change))
}

const fn xdp(product: Contender) -> &'static str {
    match product {
        Contender::XdpNative => "native",
        _ => "off",
    }
}

fn milliseconds(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}
