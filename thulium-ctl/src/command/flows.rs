//! `flows`: live sessions.

use std::{net::IpAddr, process::ExitCode};

use thulium_ebpf::{
    abi::{Address4, FlowEntry},
    session::lifetime,
};

use super::{Options, print::print};
use crate::{
    datapath::tables::monotonic,
    exit::{Exit, Failure},
    observe::{
        Slots, Source,
        flows::{Filter, Halves, Names, Report, report},
    },
};

/// Which sessions to show.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    /// Only sessions of this client
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// Only sessions of this flow of the policy
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
}

/// Prints the live sessions; they are there whether or not a daemon runs.
///
/// # Errors
/// If the maps cannot be read, or there is no flow of that name.
pub(super) fn run(options: &Options, arguments: Arguments, source: &impl Source) -> anyhow::Result<ExitCode> {
    if let Some(flow) = &arguments.flow {
        check(flow, &source.flow_names()?)?;
    }
    print(&live(source, &Filter { client: arguments.client, flow: arguments.flow })?, options.json)?;
    Ok(ExitCode::SUCCESS)
}

/// There is a flow of that name.
fn check(flow: &str, flows: &Slots) -> Result<(), Failure> {
    if flows.values().any(|name| name == flow) {
        return Ok(());
    }
    let known: Vec<&str> = flows.values().map(String::as_str).collect();
    let remedy = format!("Flows: {}.", known.join(", "));
    Err(Failure::new(Exit::Usage, format!("the policy has no flow {flow:?}"), remedy))
}

/// The live sessions that `filter` admits.
pub(super) fn live(source: &impl Source, filter: &Filter) -> anyhow::Result<Report> {
    let settings = source.settings()?;
    let (flows, hosts, uplinks) = (source.flow_names()?, source.host_names()?, source.uplink_names()?);
    Ok(report(
        &sessions_of_present_addresses(source)?,
        Names { flows: &flows, hosts: &hosts, uplinks: &uplinks },
        monotonic(),
        |protocol, state| lifetime(protocol, state, &settings),
        filter,
    ))
}

/// The entries of the flow tables that the datapath takes for live as far as their uplink's address goes: those that were
/// opened under another one are absent. IPv6 does not depend on it.
pub(super) fn sessions_of_present_addresses(source: &impl Source) -> anyhow::Result<Halves> {
    let uplinks = source.uplinks()?;
    let is_present = |entry: &FlowEntry<Address4>| {
        uplinks.get(usize::from(entry.uplink)).is_some_and(|uplink| uplink.session_epoch() == entry.epoch)
    };
    let mut halves = source.flows()?;
    halves.ipv4.retain(|(_, entry)| is_present(entry));
    Ok(halves)
}
