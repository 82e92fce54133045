//! `uplinks`: the ways out.

use std::{collections::BTreeMap, process::ExitCode};

use super::{
    Options,
    clients::uplink_interfaces,
    daemon::{PATIENCE, now, unexpected},
    flows,
    print::print,
};
use crate::{
    control::{AskError, Reply, Request, ask, socket_path},
    observe::{
        Source,
        flows::Filter,
        remedy,
        uplinks::{Maps, Watcher, report},
    },
};

/// Prints the uplinks. What is known without a daemon is shown without one.
///
/// # Errors
/// If the maps cannot be read.
pub(super) fn run(options: &Options, source: &impl Source) -> anyhow::Result<ExitCode> {
    let mut sessions: BTreeMap<String, u64> = BTreeMap::new();
    for session in flows::live(source, &Filter::default())?.sessions {
        *sessions.entry(session.uplink).or_default() += 1;
    }
    let maps = Maps {
        uplinks: &source.uplinks()?,
        names: &source.uplink_names()?,
        traffic: &source.uplink_traffic()?,
        clients: &source.clients()?,
        interfaces: &uplink_interfaces(source)?,
        sessions: &sessions,
    };
    print(&report(maps, watcher(&options.instance), now()), options.json)?;
    Ok(ExitCode::SUCCESS)
}

fn watcher(instance: &str) -> Watcher {
    let error = match ask(&socket_path(instance), Request::Uplinks, PATIENCE) {
        Ok(Reply::Uplinks(told)) => return Watcher::Daemon(told),
        Ok(_) => unexpected(),
        Err(error) => error,
    };
    let next = match error {
        AskError::NoDaemon => format!("Start it: {}.", remedy::start(instance)),
        AskError::Denied => "Run it as root.".to_owned(),
        AskError::Broken(_) => format!("See {}.", remedy::log(instance)),
    };
    Watcher::Nobody(format!(
        "Nobody tells how the uplinks are: {error}. Without a daemon no client moves when its uplink fails. {next}"
    ))
}
