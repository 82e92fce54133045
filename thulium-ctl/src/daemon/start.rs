//! Policy → datapath in force.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use nix::unistd::Uid;
use thulium_ebpf::abi::Role;

use super::{Daemon, Setup, say, state_directory};
use crate::{
    control::{Claim, ClaimError, socket_path},
    datapath::{
        attach::{Target, attach},
        host::{HostSettings, Ports},
        kernel,
        load::{Loaded, load, not_permitted},
        pins::Pins,
        tables::Tables,
    },
    exit::{Exit, Failure},
    names::{FIRST_ROUND, Lookup, Pace, RecordType, Resolver, Servers},
    observe::status::Warning,
    policy::Policy,
    uplinks::Ground,
};

impl Daemon {
    /// Puts `policy` in force and attaches the programs, taking over what an earlier run left. Nothing in the kernel changes
    /// before everything that can be known to be wrong was looked at.
    ///
    /// # Errors
    /// With the exit code and remedy of what is missing; what an earlier run left goes on as it was.
    pub async fn start(setup: Setup, policy: Policy) -> anyhow::Result<Self> {
        kernel::check()?;
        if !Uid::effective().is_root() {
            return Err(not_permitted().into());
        }
        refuse_other_layout(&setup.pins)?;
        let claim = claim(&setup.pins)?;
        let targets = Target::of(&policy)?;
        let ground = Ground::read(&policy)?;

        let state = state_directory(setup.pins.instance());
        let (had_pins, had_state) = (setup.pins.exist(), state.exists());
        // Names come before enforcement, so that the first packet of a client finds their addresses.
        let lookup = Lookup::new(Servers::of_policy(&policy.resolvers), RecordType::A);
        let (mut resolver, names) =
            Resolver::new(&policy.hosts, lookup, Pace::default(), Some(state.join("names.json")));
        resolver.first_round(FIRST_ROUND).await;

        let (loaded, tables, slots, ports, attachments) =
            match put_in_force(&setup, &policy, &ground, &targets, &names.borrow()) {
                Ok(done) => done,
                Err(error) => {
                    // What this start made is of no use to anybody; what was there before stays.
                    if !had_pins {
                        let _ = setup.pins.remove();
                    }
                    if !had_state {
                        let _ = std::fs::remove_dir_all(&state);
                    }
                    return Err(error);
                }
            };
        for line in HostSettings::open(&state)?.set(&policy)? {
            say(&line);
        }
        let warnings = warnings(&policy, &ground, loaded.other_capacity);
        Ok(Self {
            setup,
            policy,
            slots,
            ports,
            ground,
            ebpf: loaded.ebpf,
            tables,
            endpoint: claim.listen()?,
            resolver,
            names,
            attachments,
            warnings,
            since: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        })
    }
}

type InForce = (Loaded, Tables, crate::policy::image::Slots, Ports, Vec<crate::observe::status::Attachment>);

/// Loads, publishes, attaches: in this order, so that a packet meets a complete policy from the first program on.
fn put_in_force(
    setup: &Setup,
    policy: &Policy,
    ground: &Ground,
    targets: &[Target],
    names: &crate::names::Snapshot,
) -> anyhow::Result<InForce> {
    let mut loaded = load(policy, &setup.pins, setup.log_datapath)?;
    let mut tables = Tables::open(&setup.pins)?.context("the maps were not pinned")?;
    let slots = tables.assign_slots(policy)?;
    let ports = Ports::read();
    let interfaces: Vec<(u32, String, Role)> =
        targets.iter().map(|target| (target.index, target.name.clone(), target.role)).collect();
    tables.publish_interfaces(&interfaces)?;
    tables.publish_uplink(0, ground.uplink_index, ground.uplink_address)?;
    tables.publish_remotes(names, &slots)?;
    tables.publish(policy, &slots, &ground.clients, ports)?;
    let attachments = attach(&mut loaded.ebpf, policy, targets, &setup.pins)?;
    Ok((loaded, tables, slots, ports, attachments))
}

/// Pins of another version of the maps cannot be taken over.
fn refuse_other_layout(pins: &Pins) -> Result<(), Failure> {
    let Some(layout) = pins.other_layout() else { return Ok(()) };
    let instance = pins.instance();
    Err(Failure::new(
        Exit::Kernel,
        format!("instance `{instance}` was started by another version of thulium-ctl, whose maps ({layout}) differ"),
        format!("End its sessions at a quiet time: thulium-ctl --instance {instance} down"),
    ))
}

fn claim(pins: &Pins) -> Result<Claim, Failure> {
    let instance = pins.instance();
    Claim::take(&socket_path(instance)).map_err(|error| {
        let remedy = match error {
            ClaimError::Served(_) => {
                "See `thulium-ctl status`; give a second one another name with `--instance`.".to_owned()
            }
            ClaimError::Io(..) => "This needs root, and /run to be writable.".to_owned(),
        };
        Failure::new(Exit::Kernel, format!("instance `{instance}` cannot be served: {error}"), remedy)
    })
}

/// What the admin should know of a datapath that is in force.
fn warnings(policy: &Policy, ground: &Ground, other_capacity: Option<u32>) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = policy.warnings.iter().map(|warning| Warning::new(warning, "")).collect();
    if ground.clients.is_empty() {
        warnings.push(Warning::new(
            "the LAN interfaces have no IPv4 address, so that nobody is governed",
            "Give them an address, or write `clients` under `lan`.",
        ));
    }
    if ground.uplink_address.is_none() {
        warnings.push(Warning::new(
            "the uplink has no IPv4 address: nothing can be opened",
            "Check it with `ip -4 address show`; it is taken up as soon as it is there.",
        ));
    }
    if let Some(capacity) = other_capacity {
        let asked = policy.sessions.capacity;
        warnings.push(Warning::new(
            format!("the session table has room for {capacity} sessions, not {asked}: live sessions are in it"),
            "The policy's capacity is taken up after `thulium-ctl down`, which ends all sessions.",
        ));
    }
    warnings
}
