//! XDP programs → interfaces. Links are pinned, and get another program in place.

use std::{fs, path::Path};

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
    decision::{Decision, attaches},
    facts::Facts,
    refusal::{Refusal, explain},
};
use crate::{
    datapath::{
        attach::{Fresh, Target, is_of_a_gone_interface, pin, take_over},
        pins::Pins,
    },
    exit::{Exit, Failure},
    observe::status::Hook,
    policy::XdpMode,
};

/// The XDP program for an interface of this role.
pub(in crate::datapath) const fn program(role: Role) -> &'static str {
    match role {
        Role::Lan => "lan_xdp",
        Role::Uplink => "uplink_xdp",
    }
}

/// Attaches XDP to an interface where the policy wants it and it is right, else takes it off. Returns the hook, and why it is that one.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    mode: XdpMode,
    (target, facts): (&Target, &Facts),
    pins: &Pins,
    fresh: &mut Fresh,
) -> anyhow::Result<(Hook, String)> {
    let path = pin(pins, "xdp", program(target.role), target.index);
    keep_after_change_of_role(target, pins, &path);
    let Decision { is_yes, why } = attaches(mode, facts);
    if !is_yes {
        // It may be there from an earlier run.
        let _ = fs::remove_file(&path);
        return Ok((Hook::None, why));
    }
    let program: &mut Xdp =
        ebpf.program_mut(program(target.role)).context("the object has no XDP programs")?.try_into()?;
    if is_replaced(program, &path)? {
        return Ok((Hook::Native, why));
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
            Ok((Hook::Native, why))
        }
        Err(error) => refused(mode, facts, &error).map(|why| (Hook::None, why)),
    }
}

/// Puts the program in the place of an earlier run's. False if there is none.
fn is_replaced(program: &mut Xdp, path: &Path) -> anyhow::Result<bool> {
    let Some(link) = take_over(path) else { return Ok(false) };
    let link: XdpLink = link.try_into()?;
    match program.attach_to_link(link) {
        Ok(id) => {
            drop(FdLink::try_from(program.take_link(id)?)?);
            return Ok(true);
        }
        Err(error) if is_of_a_gone_interface(&error) => {}
        Err(error) => return Err(error.into()),
    }
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    Ok(false)
}

/// An interface has room for one program. If it had the other role in an earlier run, that program's link becomes this one's.
fn keep_after_change_of_role(target: &Target, pins: &Pins, path: &Path) {
    let other = match target.role {
        Role::Lan => Role::Uplink,
        Role::Uplink => Role::Lan,
    };
    // There is none of the other role but then.
    let _ = fs::rename(pin(pins, "xdp", program(other), target.index), path);
}

/// What it means that the kernel takes no program there: `auto` goes on without, and says why.
fn refused(mode: XdpMode, facts: &Facts, error: &anyhow::Error) -> anyhow::Result<String> {
    let Refusal { why, remedy } = explain(facts, error);
    if mode == XdpMode::Auto {
        return Ok(why);
    }
    let what = format!("{} takes no native XDP program: {why}", facts.name);
    let remedy = format!("{remedy} Or write `xdp: auto` under `datapath`.");
    Err(Failure::new(Exit::Kernel, what, remedy).into())
}
