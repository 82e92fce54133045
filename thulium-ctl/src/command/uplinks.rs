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
        Slots, Source,
        flows::Filter,
        remedy,
        uplinks::{Maps, Watcher, report},
    },
    uplinks::links,
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
    let interfaces = uplink_interfaces(source)?;
    let maps = Maps {
        uplinks: &source.uplinks()?,
        names: &source.uplink_names()?,
        traffic: &source.traffic()?,
        losses: &source.uplink_losses()?,
        clients: &source.clients()?,
        interfaces: &interfaces,
        sessions: &sessions,
    };
    print(&report(maps, watcher(&options.instance, &interfaces)?, now()), options.json)?;
    Ok(ExitCode::SUCCESS)
}

fn watcher(instance: &str, interfaces: &Slots) -> anyhow::Result<Watcher> {
    let error = match ask(&socket_path(instance), Request::Uplinks, PATIENCE) {
        Ok(Reply::Uplinks(told)) => return Ok(Watcher::Daemon(told)),
        Ok(_) => unexpected(),
        Err(error) => error,
    };
    let next = match error {
        AskError::NoDaemon => format!("Start it: {}.", remedy::start(instance)),
        AskError::Denied => "Run it as root.".to_owned(),
        AskError::Broken(_) => format!("See {}.", remedy::log(instance)),
    };
    let why = format!(
        "Nobody tells how the uplinks are: {error}. Without a daemon no client moves when its uplink fails. {next}"
    );
    Ok(Watcher::Nobody { why, links: links(interfaces.values())? })
}
