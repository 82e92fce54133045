//! `drops`: the counters of refused packets.

use std::process::ExitCode;

use super::{Options, print::print};
use crate::observe::{Source, drops, interface_names};

/// Prints the counters; they are there whether or not a daemon runs.
///
/// # Errors
/// If the maps cannot be read.
pub(super) fn run(options: &Options, source: &impl Source) -> anyhow::Result<ExitCode> {
    let interfaces = interface_names(&source.interfaces()?);
    let report = drops::report(&source.drops()?, &interfaces, &source.flow_names()?);
    print(&report, options.json)?;
    Ok(ExitCode::SUCCESS)
}
