//! `hosts`: the policy's hosts with their names and addresses.

use std::{collections::HashMap, net::IpAddr, process::ExitCode};

use thulium_ebpf::session::lifetime;

use super::{
    Options,
    daemon::{PATIENCE, now, unexpected},
    flows::sessions_of_present_addresses,
    print::print,
};
use crate::{
    control::{AskError, Reply, Request, ask, socket_path},
    datapath::tables::monotonic,
    exit::{Exit, Failure},
    observe::{Source, flows::by_remote, hosts::report, remedy},
};

/// Asks the daemon for the hosts, counts the sessions to their addresses, and prints them.
///
/// # Errors
/// If no daemon answers, or the maps cannot be read.
pub(super) fn run(options: &Options, source: Option<&impl Source>) -> anyhow::Result<ExitCode> {
    let reply = ask(&socket_path(&options.instance), Request::Hosts, PATIENCE);
    let hosts = match reply.map_err(|error| no_answer(&options.instance, &error))? {
        Reply::Hosts(hosts) => hosts,
        _ => return Err(no_answer(&options.instance, &unexpected()).into()),
    };
    let sessions = source.map(sessions).transpose()?;
    print(&report(hosts, sessions.as_ref(), now()), options.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Live sessions by remote address.
fn sessions(source: &impl Source) -> anyhow::Result<HashMap<IpAddr, u64>> {
    let settings = source.settings()?;
    let halves = sessions_of_present_addresses(source)?;
    Ok(by_remote(&halves, monotonic(), |protocol, state| lifetime(protocol, state, &settings)))
}

fn no_answer(instance: &str, error: &AskError) -> Failure {
    let (exit, remedy) = match error {
        AskError::NoDaemon => (Exit::NotRunning, format!("Start it: {}.", remedy::start(instance))),
        AskError::Denied => (Exit::Kernel, "Run it as root.".to_owned()),
        AskError::Broken(_) => (Exit::NotRunning, format!("See {}.", remedy::log(instance))),
    };
    Failure::new(exit, format!("instance {instance}: {error}"), remedy)
}
