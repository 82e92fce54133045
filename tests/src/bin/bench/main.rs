//! What a packet costs the gateway, beside the alternatives and the limit: `cargo xtask bench`.
//!
//! * [`sample`]: the words: who is compared, over what, and what one measurement says.
//! * [`rig`]: the gateways, the traffic through them, and the measuring.

mod rig;
mod sample;

use std::{env, process::ExitCode};

use anyhow::Result;
use rig::{Labs, Rig};
use sample::{Contender, Direction, FLOWS, Sample};

fn main() -> ExitCode {
    match bench(env::args().any(|argument| argument == "--quick")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(quick: bool) -> Result<()> {
    let only = env::var("ONLY").unwrap_or_default();
    let contenders: Vec<_> = Contender::ALL
        .into_iter()
        .filter(|contender| only.is_empty() || format!("{contender:?}").contains(&only))
        .collect();
    let labs = Labs::build(&contenders)?;
    let mut rig = Rig::set_up(&labs)?;
    let (flows, rounds): (&[u32], u32) = if quick { (&[1000, 10_000], 3) } else { (&FLOWS, 7) };
    for flows in flows {
        for contender in &contenders {
            rig.open(*contender, *flows)?;
        }
        for direction in Direction::ALL {
            let mut samples = Vec::new();
            for round in 0..rounds {
                samples.extend(rig.round(direction, *flows, round, 1_000_000)?);
            }
            for contender in &contenders {
                let mine: Vec<&Sample> = samples.iter().filter(|sample| sample.contender == *contender).collect();
                let mut costs: Vec<f64> = mine.iter().map(|sample| sample.cost()).collect();
                costs.sort_by(f64::total_cmp);
                let lost = mine.iter().filter(|sample| !sample.is_sound()).count();
                println!(
                    "{flows:>8} {:<5} {:<30} {:>7.0} ns ({:.0} … {:.0}) wire {:.0}; {lost} with losses",
                    direction.name(),
                    contender.name(),
                    costs[costs.len() / 2],
                    costs[0],
                    costs[costs.len() - 1],
                    mine[0].wire
                );
            }
        }
    }
    Ok(())
}
