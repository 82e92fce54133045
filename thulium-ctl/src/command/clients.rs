//! `clients`: who uses how much of its share.

use std::process::ExitCode;

use super::{Options, print::print};
use crate::{
    datapath::tables::monotonic,
    observe::{Source, clients, interface_names},
};

/// Prints the clients that have sessions; they are there whether or not a daemon runs.
///
/// # Errors
/// If the maps cannot be read.
pub(super) fn run(options: &Options, source: &impl Source) -> anyhow::Result<ExitCode> {
    let uplinks = clients::Uplinks::new(&source.uplinks()?, &interface_names(&source.interfaces()?));
    let report = clients::report(&source.clients()?, &source.settings()?, &uplinks, monotonic());
    print(&report, options.json)?;
    Ok(ExitCode::SUCCESS)
}
