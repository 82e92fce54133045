//! Where XDP is right, and its programs there.

use std::fs;

use anyhow::Context;
use aya::{
    Ebpf,
    programs::{
        Xdp,
        links::FdLink,
        xdp::{XdpLink, XdpMode as AttachMode},
    },
};
use thulium_ebpf::abi::Role;

use super::{
    attach::{Fresh, Target, is_of_a_gone_interface, pin, take_over},
    link,
    pins::Pins,
};
use crate::{
    exit::{Exit, Failure},
    observe::status::Hook,
    policy::XdpMode,
};

/// The XDP program for an interface of this role.
pub(super) const fn program(role: Role) -> &'static str {
    match role {
        Role::Lan => "lan_xdp",
        Role::Uplink => "uplink_xdp",
    }
}

/// Attaches XDP where the policy wants it and it is right. Returns the hook, and why it is that one.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    mode: XdpMode,
    target: &Target,
    pins: &Pins,
    fresh: &mut Fresh,
) -> anyhow::Result<(Hook, String)> {
    let path = pin(pins, "xdp", program(target.role), target.index);
    if let (false, why) = choice(mode, &target.name) {
        // It may be there from an earlier run.
        let _ = fs::remove_file(&path);
        return Ok((Hook::None, why.unwrap_or_default()));
    }
    let program: &mut Xdp =
        ebpf.program_mut(program(target.role)).context("the object has no XDP programs")?.try_into()?;
    if let Some(link) = take_over(&path) {
        let link: XdpLink = link.try_into()?;
        match program.attach_to_link(link) {
            Ok(id) => {
                drop(FdLink::try_from(program.take_link(id)?)?);
                return Ok((Hook::Native, String::new()));
            }
            Err(error) if is_of_a_gone_interface(&error) => {}
            Err(error) => return Err(error.into()),
        }
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    // The conversion fails if aya fell back to netlink, which cannot be pinned.
    let attached = program
        .attach_to_if_index(target.index, AttachMode::Driver)
        .map_err(anyhow::Error::from)
        .and_then(|id| Ok(FdLink::try_from(program.take_link(id)?)?));
    match attached {
        Ok(link) => {
            link.pin(&path).with_context(|| format!("cannot pin {}", path.display()))?;
            fresh.pins.push(path);
            Ok((Hook::Native, String::new()))
        }
        Err(error) if mode == XdpMode::Auto => Ok((Hook::None, format!("the driver refuses native XDP: {error:#}"))),
        Err(error) => Err(Failure::new(
            Exit::Kernel,
            format!("{} takes no native XDP program: {error:#}", target.name),
            "Its driver, its MTU or another XDP program (`ip link show`) stands in the way; write `xdp: auto` under `datapath`.",
        )
        .into()),
    }
}

/// Whether `mode` uses XDP on an interface, and what speaks against it there.
pub fn choice(mode: XdpMode, interface: &str) -> (bool, Option<String>) {
    match mode {
        XdpMode::Off => (false, Some("XDP is off in the policy".to_owned())),
        XdpMode::Native => (true, unfit(&link::driver(interface))),
        XdpMode::Auto => {
            let why = unfit(&link::driver(interface));
            (why.is_none(), why)
        }
    }
}

/// Why XDP is not right on interfaces of this driver, if it is not.
fn unfit(driver: &str) -> Option<String> {
    match driver {
        "veth" => Some("veth carries frames with unfinished checksums, which XDP cannot see".to_owned()),
        "tun" => Some("tun and tap carry frames with unfinished checksums, which XDP cannot see".to_owned()),
        "bridge" | "bonding" | "802.1Q VLAN Support" | "" => {
            Some("the interface has no driver of its own: XDP belongs on the ports below it".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_leaves_out_interfaces_whose_checksums_may_be_unfinished() {
        assert!(unfit("veth").is_some_and(|why| why.contains("checksum")));
        assert!(unfit("tun").is_some());
        assert!(unfit("bridge").is_some());
        assert!(unfit("ixgbe").is_none());
    }
}
