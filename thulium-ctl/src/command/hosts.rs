//! `hosts`: the policy's hosts with their names and addresses.

use std::process::ExitCode;

use super::{
    Options,
    daemon::{PATIENCE, now, unexpected},
    print::print,
};
use crate::{
    control::{AskError, Reply, Request, ask, socket_path},
    exit::{Exit, Failure},
    observe::{hosts::report, remedy},
};

/// Asks the daemon for the hosts and prints them.
///
/// # Errors
/// If no daemon answers.
pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let reply = ask(&socket_path(&options.instance), Request::Hosts, PATIENCE);
    let hosts = match reply.map_err(|error| no_answer(&options.instance, &error))? {
        Reply::Hosts(hosts) => hosts,
        _ => return Err(no_answer(&options.instance, &unexpected()).into()),
    };
    print(&report(hosts, now()), options.json)?;
    Ok(ExitCode::SUCCESS)
}

fn no_answer(instance: &str, error: &AskError) -> Failure {
    let (exit, remedy) = match error {
        AskError::NoDaemon => (Exit::NotRunning, format!("Start it: {}.", remedy::start(instance))),
        AskError::Denied => (Exit::Kernel, "Run it as root.".to_owned()),
        AskError::Broken(_) => (Exit::NotRunning, format!("See {}.", remedy::log(instance))),
    };
    Failure::new(exit, format!("instance {instance}: {error}"), remedy)
}
