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
    (2.0 * f64::from(plan.few_rounds()) + 1.0) * plan.products().len() as f64 * START
}

/// Measures starts and changes, round by round. What is measured ends when `status` says that it is ready.
///
/// # Errors
/// When a daemon does not start or end.
pub(crate) fn measure(plan: &Plan, progress: &mut Progress, results: &mut Results) -> Result<()> {
    progress.stage("Starts and policy changes");
    let products = plan.products();
    let labs: Vec<Lab> = products.iter().map(|_| Lab::new()).collect::<Result<_>>()?;
    let mut gateways = Vec::new();
    for (product, lab) in products.iter().zip(&labs) {
        gateways.push(lab.start(&rig::policy(xdp(*product)))?);
    }
    for round in 0..plan.few_rounds() {
        progress.round(round, plan.few_rounds());
        for (product, gateway) in products.iter().zip(&mut gateways) {
            gateway.down()?;
            let begun = Instant::now();
            gateway.restart(Some(&rig::policy(xdp(*product))))?;
            results.starts.push(*product, round, milliseconds(begun));
            gateway.terminate()?;
            let begun = Instant::now();
            gateway.restart(Some(&rig::bulk(xdp(*product))))?;
            results.changes.push(*product, round, milliseconds(begun));
        }
        progress.advance(seconds(plan) / f64::from(plan.few_rounds()));
    }
    gateways.iter_mut().for_each(|gateway| gateway.hide_log());
    Ok(())
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
