//! What a packet costs the gateway, beside the alternatives and the limit: `cargo xtask bench`.
//!
//! * [`sample`]: the words: who is compared, over what, and what one measurement says.
//! * [`rig`]: the gateways, the traffic through them, and the measuring. [`extra`]: what is measured beside the packets.
//! * [`arguments`], [`plan`]: what is asked for, and what is measured for it. [`run`](mod@run): in which order; [`progress`]: how far.
//! * [`results`]: what was found, on which [`machine`]. [`statistics`]: what may be concluded.
//! * [`floors`](mod@floors): what is promised. [`report`]: tables, a plot, and figures for programs; [`text`]: figures as text.

mod arguments;
mod extra;
mod floors;
mod machine;
mod plan;
mod progress;
mod report;
mod results;
mod rig;
mod run;
mod sample;
mod statistics;
mod text;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Parser as _;
use thulium_tests::lab::interrupt;

use crate::{arguments::Arguments, plan::Plan, report::Report};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match interrupt::dismantle_on_interrupt().and_then(|()| bench(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            interrupt::wait_if_interrupted();
            eprintln!("\nbench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, shows and writes. What is promised and not reached is said; it is no failure: figures depend on the machine.
fn bench(arguments: &Arguments) -> Result<()> {
    let results = run::run(&Plan::of(arguments))?;
    let report = Report::of(&results);
    println!("{}", report.terminal(&results));
    report.write(&results, &arguments.out)?;
    println!("Written to {}: bench.md, bench.json, bench.svg", arguments.out.display());
    ensure!(results.failed.is_empty(), "not everything could be measured: {}", results.failed.join("; "));
    Ok(())
}
