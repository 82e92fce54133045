//! `hosts`: the policy's hosts with their names and addresses.

mod unserved;

use std::{collections::HashMap, net::IpAddr, process::ExitCode, time::SystemTime};

use thulium_ebpf::session::lifetime;

use self::unserved::Now;
use super::{
    Options,
    daemon::{PATIENCE, now, unexpected},
    flows::sessions_of_present_addresses,
    print::print,
};
use crate::{
    control::{AskError, Reply, Request, ask, socket_path},
    daemon::state_directory,
    datapath::tables::monotonic,
    exit::{Exit, Failure},
    names::{NAMES_FILE, SavedNames},
    observe::{Source, flows::by_remote, hosts::report, remedy},
};

/// Asks the daemon for the hosts, counts the sessions to their addresses, and prints them. Where no daemon answers, it prints what
/// is known without one.
///
/// # Errors
/// If no daemon answers, or the maps cannot be read.
pub(super) fn run(options: &Options, source: Option<&impl Source>) -> anyhow::Result<ExitCode> {
    let sessions = source.map(sessions).transpose()?;
    let print = |hosts| print(&report(hosts, sessions.as_ref(), now()), options.json);
    let error = match ask(&socket_path(&options.instance), Request::Hosts, PATIENCE) {
        Ok(Reply::Hosts(hosts)) => return print(hosts).map(|()| ExitCode::SUCCESS),
        Ok(_) => unexpected(),
        Err(error) => error,
    };
    if let Some(source) = source {
        let file = state_directory(&options.instance).join(NAMES_FILE);
        // A file that cannot be read tells nothing.
        let saved = SavedNames::load(&file).unwrap_or_default();
        let now = Now { wall: SystemTime::now(), monotonic: monotonic() };
        print(unserved::hosts(source.hosts()?, &source.remotes()?, &saved, now))?;
    }
    Err(no_answer(&options.instance, &error).into())
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
