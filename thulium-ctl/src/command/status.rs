//! `status`: one screen.

use std::{collections::HashMap, process::ExitCode};

use thulium_ebpf::abi::{Address as _, NO_SLOT, Uplink};

use super::{
    Options,
    daemon::{PATIENCE, now, unexpected},
    print::print,
};
use crate::{
    control::{AskError, Reply, Request, ask, socket_path},
    exit::Exit,
    observe::{
        ByFamily, Source, clients, drops, interface_names,
        status::{Attachment, DaemonFacts, DaemonState, DatapathFacts, Facts, SessionUse, UplinkFacts, report},
        traffic::{InterfacePaths, paths_of},
        uplinks::last_known,
    },
};

/// Prints the state of the instance. `source`: its maps; `None`: it has no pins. The exit code is 0 if it is attached and a
/// daemon serves it, 3 otherwise.
///
/// # Errors
/// If the maps cannot be read.
pub(super) fn run(options: &Options, source: Option<&impl Source>) -> anyhow::Result<ExitCode> {
    let mut daemon = ask_daemon(&options.instance);
    let mut datapath = source.map(read).transpose()?;
    if let (DaemonState::Serving(daemon), Some(datapath)) = (&mut daemon, &mut datapath) {
        explain(datapath, daemon);
    }
    let report = report(Facts { instance: options.instance.clone(), datapath, daemon }, now());
    print(&report, options.json)?;
    Ok(if report.is_running() { ExitCode::SUCCESS } else { ExitCode::from(Exit::NotRunning as u8) })
}

fn ask_daemon(instance: &str) -> DaemonState {
    match ask(&socket_path(instance), Request::Status, PATIENCE) {
        Ok(Reply::Status(facts)) => DaemonState::Serving(facts),
        Err(AskError::NoDaemon) => DaemonState::None,
        Ok(_) => DaemonState::Broken(unexpected().to_string()),
        Err(error) => DaemonState::Broken(error.to_string()),
    }
}

fn read(source: &impl Source) -> anyhow::Result<DatapathFacts> {
    let interfaces = interface_names(&source.interfaces()?);
    let counted = drops::report(&source.drops()?, &interfaces, &source.flow_names()?);
    let names = source.uplink_names()?;
    let uplinks = source.uplinks()?;
    let by_slot = (0..).zip(&uplinks);
    let ByFamily { ipv4, ipv6 } = source.sessions()?;
    let attachments = source.attachments()?;
    Ok(DatapathFacts {
        mode: source.mode()?,
        generation: source.generation()?,
        paths: paths(source, &attachments)?,
        interfaces: attachments,
        uplinks: by_slot.filter_map(|(slot, uplink)| uplink_facts(uplink, names.get(&slot), &interfaces)).collect(),
        clients: clients::usage(&source.clients()?, &source.settings()?),
        sessions: SessionUse::of(ipv4, ipv6, source.capacity()?),
        dropped: counted.total,
        would_drop: counted.would_drop,
    })
}

/// What came in by each of these interfaces, by path.
fn paths(source: &impl Source, attachments: &[Attachment]) -> anyhow::Result<Vec<InterfacePaths>> {
    let (mut interfaces, traffic) = (source.interfaces()?, source.traffic()?);
    // Those that are gone may keep their entries, without a role.
    interfaces.retain(|_, interface| interface.role != 0);
    let named = interface_names(&interfaces).into_iter();
    let slots: HashMap<String, u32> =
        named.filter_map(|(index, name)| Some((name, interfaces.get(&index)?.slot))).collect();
    let paths = attachments.iter().map(|Attachment { name, role, .. }| {
        let slot = slots.get(name).and_then(|slot| u8::try_from(*slot).ok()).unwrap_or(NO_SLOT);
        paths_of(&traffic, name, *role, slot)
    });
    Ok(paths.collect())
}

fn uplink_facts(uplink: &Uplink, name: Option<&String>, interfaces: &HashMap<u32, String>) -> Option<UplinkFacts> {
    let last_known = Some(last_known(uplink)?);
    if uplink.interface == 0 {
        return None;
    }
    let interface = interfaces.get(&uplink.interface).cloned().unwrap_or_else(|| format!("#{}", uplink.interface));
    let address = (!uplink.address.is_unspecified()).then(|| uplink.address.into());
    Some(UplinkFacts {
        name: name.unwrap_or(&interface).clone(),
        interface,
        state: None,
        last_known,
        address,
        translates: uplink.translates == 1,
        lost_address: false,
        foreign_address: false,
        ipv6: None,
        link: None,
        since: None,
        why: None,
    })
}

/// The kernel knows how each interface is attached; the daemon why, and what has become of the uplinks.
fn explain(datapath: &mut DatapathFacts, daemon: &mut DaemonFacts) {
    for told in std::mem::take(&mut daemon.interfaces) {
        match datapath.interfaces.iter_mut().find(|interface| interface.name == told.name) {
            Some(interface) if interface.why.is_empty() => interface.why = told.why,
            _ => {}
        }
    }
    for (interface, now) in std::mem::take(&mut daemon.uplinks) {
        if let Some(uplink) = datapath.uplinks.iter_mut().find(|uplink| uplink.interface == interface) {
            uplink.update(now);
        }
    }
    for (interface, health) in std::mem::take(&mut daemon.conditions) {
        if let Some(uplink) = datapath.uplinks.iter_mut().find(|uplink| uplink.interface == interface) {
            uplink.judge(health);
        }
    }
}

#[cfg(test)]
mod tests;
