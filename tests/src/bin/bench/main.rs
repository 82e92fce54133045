//! What a packet costs the gateway, beside the alternatives and the limit: `cargo xtask bench`.
//!
//! * [`sample`]: the words: who is compared, over what, and what one measurement says.
//! * [`rig`]: the gateways, the traffic through them, and the measuring.

mod rig;
mod sample;

use std::{collections::BTreeMap, env, process::ExitCode};

use anyhow::Result;
use thulium_tests::lab::interrupt;

use crate::{
    rig::{Labs, Opened, Rig},
    sample::{Contender, Direction, FLOWS, Sample},
};

fn main() -> ExitCode {
    let quick = env::args().any(|argument| argument == "--quick");
    match interrupt::dismantle_on_interrupt().and_then(|()| bench(quick)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            interrupt::wait_if_interrupted();
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(quick: bool) -> Result<()> {
    let contenders = chosen();
    let labs = Labs::build(&contenders)?;
    let mut rig = Rig::set_up(&labs)?;
    let (flows, rounds): (&[u32], u32) = if quick { (&FLOWS[1..4], 5) } else { (&FLOWS, 11) };
    for flows in flows {
        for contender in &contenders {
            if let Opened::Impossible(reason) = rig.open(*contender, *flows)? {
                println!("{flows:>9}       {:<30} not compared: {reason}", contender.name());
            }
        }
        for direction in Direction::ALL {
            let mut samples: BTreeMap<Contender, Vec<Sample>> = BTreeMap::new();
            for round in 0..rounds {
                for sample in rig.round(direction, *flows, round, (*flows).max(250_000))? {
                    samples.entry(sample.contender).or_default().push(sample);
                }
            }
            samples.values().for_each(|samples| print(samples));
        }
    }
    Ok(())
}

/// Those whose names have the text of `BENCH_ONLY` in them; all without it.
fn chosen() -> Vec<Contender> {
    let only = env::var("BENCH_ONLY").unwrap_or_default();
    Contender::ALL.into_iter().filter(|contender| contender.name().contains(&only)).collect()
}

fn print(samples: &[Sample]) {
    let sorted = |of: fn(&Sample) -> f64| {
        let mut values: Vec<f64> = samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (costs, wires) = (sorted(Sample::cost), sorted(|sample| sample.wire));
    let lossy = samples.iter().filter(|sample| !sample.is_sound()).count();
    let Sample { contender, direction, flows, .. } = samples[0];
    println!(
        "{flows:>9} {:<5} {:<30} {:>6.0} ns  ({:.0} … {:.0}; without a gateway {:.0}){}",
        direction.name(),
        contender.name(),
        costs[costs.len() / 2],
        costs[0],
        costs[costs.len() - 1],
        wires[wires.len() / 2],
        if lossy > 0 { format!("  {lossy} samples with losses") } else { String::new() }
    );
}
