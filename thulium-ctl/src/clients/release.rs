//! Releasing clients from the uplinks that they are pinned to.

use std::net::{IpAddr, Ipv4Addr};

use thulium_ebpf::abi::{Client, ClientKey, EndSession, Forget, OrderOutcome, Side};

use crate::{
    datapath::{clients::Orders, tables::monotonic},
    observe::{
        Slots, Source,
        released::{Kept, Released, Report},
    },
};

/// Releases those of `clients` that have no sessions; with `even_in_use` the others, too, whose sessions end. The datapath pins each anew when
/// it opens its next session.
///
/// # Errors
/// If the kernel refuses.
pub fn release(
    source: &impl Source,
    orders: &Orders,
    clients: &[(Ipv4Addr, Client)],
    even_in_use: bool,
) -> anyhow::Result<Report> {
    let names = source.uplink_names()?;
    // What is opened from now on goes by the uplink that the client is pinned to then.
    let now = monotonic();
    let mut report = Report::default();
    for (client, known) in clients {
        let Some(uplink) = uplink(known, &names) else { continue };
        match orders.unpin(*client, even_in_use)? {
            OrderOutcome::Done => {
                report.released.push(Released { client: *client, uplink, ended: 0 });
            }
            OrderOutcome::InUse => {
                report.in_use.push(Kept { client: *client, uplink, sessions: known.sessions.max(1) });
            }
            OrderOutcome::Absent => {}
        }
    }
    if even_in_use {
        end_sessions(source, orders, &mut report.released, now)?;
    }
    forget(source, orders, &report.released)?;
    Ok(report)
}

/// The IPv4 clients that are pinned to an uplink.
///
/// # Errors
/// If the maps cannot be read.
pub fn pinned(source: &impl Source) -> anyhow::Result<Vec<(Ipv4Addr, Client)>> {
    let names = source.uplink_names()?;
    let mut clients: Vec<(Ipv4Addr, Client)> = source.clients()?.into_iter().filter_map(ipv4).collect();
    clients.retain(|(_, client)| uplink(client, &names).is_some());
    clients.sort_by_key(|(address, _)| *address);
    Ok(clients)
}

fn ipv4((address, client): (IpAddr, Client)) -> Option<(Ipv4Addr, Client)> {
    match address {
        IpAddr::V4(address) => Some((address, client)),
        IpAddr::V6(_) => None,
    }
}

fn uplink(client: &Client, names: &Slots) -> Option<String> {
    names.get(&u8::try_from(client.uplink).ok()?).cloned()
}

/// Ends what these clients had opened by `now`, by the datapath's clock.
fn end_sessions(source: &impl Source, orders: &Orders, released: &mut [Released], now: u64) -> anyhow::Result<()> {
    if released.is_empty() {
        return Ok(());
    }
    for (key, entry) in source.flows()?.ipv4 {
        if key.side != Side::Lan as u8 || entry.opened > now {
            continue;
        }
        let client = Ipv4Addr::from(key.source);
        let Some(released) = released.iter_mut().find(|released| released.client == client) else { continue };
        let done = orders.end_session(&EndSession { key, opened: entry.opened })?;
        released.ended += u64::from(done == OrderOutcome::Done);
    }
    Ok(())
}

/// Nothing is left of clients without sessions and ports. Those that have some are forgotten when these are gone.
fn forget(source: &impl Source, orders: &Orders, released: &[Released]) -> anyhow::Result<()> {
    for (address, client) in source.clients()?.into_iter().filter_map(ipv4) {
        if released.iter().any(|released| released.client == address) {
            orders.forget(&Forget { client: ClientKey { address: address.into() }, pad: 0, idle: client.idle })?;
        }
    }
    Ok(())
}
