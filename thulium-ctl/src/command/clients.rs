//! `clients`: who is pinned to which uplink and uses how much of its share; releases them.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    str::FromStr,
};

use thulium_ebpf::abi::Client;

use super::{Options, daemon::PATIENCE, print::print};
use crate::{
    clients::{
        Clocks, SavedPins, pins_file,
        release::{pinned, release},
    },
    control::{AskError, Request, ask, socket_path},
    daemon::state_directory,
    datapath::{clients::Orders, pins::Pins},
    exit::{Exit, Failure},
    observe::{
        Slots, Source,
        clients::{Known, report},
        interface_names,
    },
};

/// What to do with whom.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    /// Release this client, or `all`, from the uplink it is pinned to: its next session takes one anew. One that has sessions is left alone
    #[arg(long, value_name = "ADDRESS")]
    release: Option<Whom>,
    /// End the sessions of whom is released: its calls are cut
    #[arg(long, requires = "release")]
    now: bool,
}

/// Whom to release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    All,
    One(Ipv4Addr),
}

impl FromStr for Whom {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "all" => Ok(Self::All),
            Ok(IpAddr::V4(address)) => Ok(Self::One(address)),
            Ok(IpAddr::V6(_)) => Err("an IPv6 client is not pinned: it goes by the uplink that its prefix belongs to"),
            Err(_) => Err("write a client's IPv4 address, or `all`"),
        }
    }
}

/// Prints the clients, or releases some; whether or not a daemon runs.
///
/// # Errors
/// If the maps cannot be read, or the client is not pinned. The exit code is 1 if one is not released, since it has sessions.
pub(super) fn run(options: &Options, arguments: &Arguments, source: &impl Source) -> anyhow::Result<ExitCode> {
    match arguments.release {
        Some(whom) => release_some(options, whom, arguments.now, source),
        None => show(options, source),
    }
}

fn show(options: &Options, source: &impl Source) -> anyhow::Result<ExitCode> {
    // What only the disk tells is left out if it cannot be read.
    let saved = SavedPins::load(&pins_file(&state_directory(&options.instance))).unwrap_or_default();
    let known = Known {
        settings: &source.settings()?,
        uplinks: &source.uplink_names()?,
        interfaces: &uplink_interfaces(source)?,
        saved: &saved,
        clocks: Clocks::read(),
    };
    print(&report(&source.clients()?, known), options.json)?;
    Ok(ExitCode::SUCCESS)
}

/// Names of the uplinks' interfaces by slot.
pub(super) fn uplink_interfaces(source: &impl Source) -> anyhow::Result<Slots> {
    let names = interface_names(&source.interfaces()?);
    let uplinks = source.uplinks()?;
    let by_slot = (0..).zip(&uplinks);
    Ok(by_slot.filter_map(|(slot, uplink)| Some((slot, names.get(&uplink.interface)?.clone()))).collect())
}

fn release_some(options: &Options, whom: Whom, even_in_use: bool, source: &impl Source) -> anyhow::Result<ExitCode> {
    let orders = Orders::open(&Pins::of(&options.instance, options.bpffs.as_deref())?)?;
    let report = release(source, &orders, &chosen(whom, source)?, even_in_use)?;
    if matches!(ask(&socket_path(&options.instance), Request::Status, PATIENCE), Err(AskError::NoDaemon)) {
        forget_on_disk(&options.instance, report.released.iter().map(|released| released.client))?;
    }
    print(&report, options.json)?;
    Ok(if report.in_use.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Exit::CheckFailed as u8) })
}

fn chosen(whom: Whom, source: &impl Source) -> anyhow::Result<Vec<(Ipv4Addr, Client)>> {
    let mut clients = pinned(source)?;
    if let Whom::One(address) = whom {
        clients.retain(|(client, _)| *client == address);
        if clients.is_empty() {
            let message = format!("{address} is pinned to no uplink: there is nothing to release");
            return Err(Failure::new(Exit::CheckFailed, message, "`thulium-ctl clients` shows who is.").into());
        }
    }
    Ok(clients)
}

/// A daemon writes the pins down by itself. Without one, those that were released must not come back with the next boot.
fn forget_on_disk(instance: &str, released: impl Iterator<Item = Ipv4Addr>) -> anyhow::Result<()> {
    let file = pins_file(&state_directory(instance));
    // A file that cannot be read brings back nobody.
    let Ok(before) = SavedPins::load(&file) else { return Ok(()) };
    let mut after = before.clone();
    released.for_each(|client| drop(after.pins.remove(&client)));
    if after != before {
        after.store(&file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_release_is_an_address_or_all() {
        assert_eq!("all".parse(), Ok(Whom::All));
        assert_eq!("192.168.20.10".parse(), Ok(Whom::One(Ipv4Addr::new(192, 168, 20, 10))));
        assert!("2001:db8::1".parse::<Whom>().unwrap_err().contains("prefix"));
        assert!("everybody".parse::<Whom>().unwrap_err().contains("`all`"));
    }
}
