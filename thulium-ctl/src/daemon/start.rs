//! Policy → datapath in force.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use nix::unistd::Uid;
use thulium_ebpf::abi::Address as _;

use super::{Daemon, InForce, Setup, say, state_directory};
use crate::{
    control::{Claim, ClaimError, socket_path},
    datapath::{
        attach::{attach, check, release_others},
        host::{HostSettings, Ports, routing::Routing},
        kernel,
        load::{Loaded, load, not_permitted},
        pins::Pins,
        tables::Tables,
    },
    exit::{Exit, Failure},
    names::{FIRST_ROUND, Lookup, Pace, Resolver, Servers, Snapshot, trusted},
    observe::{Source as _, status::Warning},
    policy::Policy,
    uplinks::{Ground, Present},
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
        let state = state_directory(setup.pins.instance());
        let before = Before { pins: setup.pins.exist()?, state: state.exists() };
        let ground = Ground::read(&policy, Present { uplink_address: address_in_force(&setup.pins)?, clients: &[] })?;
        check(&policy, &ground.interfaces, &setup.pins)?;
        let host = HostSettings::open(&state)?;

        // Names come before enforcement, so that the first packet of a client finds their addresses.
        let lookup = Lookup::new(Servers::of_policy(&policy.resolvers));
        let (mut resolver, names) =
            Resolver::new(&policy.hosts, lookup, Pace::default(), Some(state.join("names.json")));
        resolver.first_round(FIRST_ROUND).await;

        let endpoint = claim.listen()?;
        let in_force = put_in_force(&setup, &policy, &ground, &names.borrow(), &before, host);
        let in_force = in_force.inspect_err(|_| before.restore(&setup.pins, &state))?;
        Ok(Self {
            setup,
            policy,
            ground,
            in_force,
            endpoint,
            resolver,
            names,
            since: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        })
    }
}

/// What was there before this start, and stays whatever becomes of it.
struct Before {
    pins: bool,
    state: bool,
}

impl Before {
    /// Takes away what a start made that failed: it is of no use to anybody.
    fn restore(&self, pins: &Pins, state: &Path) {
        if !self.pins {
            // What cannot be undone here, `down` undoes.
            let _ = pins.remove();
            let _ = Routing::remove();
            let _ = HostSettings::open(state).and_then(HostSettings::restore);
        }
        if !self.state {
            let _ = fs::remove_dir_all(state);
        }
    }
}

/// Loads, publishes, attaches. The first start publishes before it attaches, so that a packet meets a complete policy from the
/// first program on; a later one attaches first, so that a failure leaves the policy in force as it was.
fn put_in_force(
    setup: &Setup,
    policy: &Policy,
    ground: &Ground,
    names: &Snapshot,
    before: &Before,
    mut host: HostSettings,
) -> anyhow::Result<InForce> {
    let Loaded { mut ebpf, other_capacity } = load(policy, &setup.pins, setup.log_datapath)?;
    let mut tables = Tables::open(&setup.pins)?.context("the maps were not pinned")?;
    let slots = tables.assign_slots(policy)?;
    let ports = Ports::read();
    for line in host.set(policy, ground.governs_ipv6())? {
        say(&line);
    }
    let publish = |tables: &mut Tables| -> anyhow::Result<()> {
        tables.publish_interfaces(&ground.interfaces)?;
        tables.publish_uplink(0, ground.uplink_index(), ground.outside)?;
        tables.publish_remotes(names, &slots)?;
        tables.publish_names(&policy.hosts, &slots)?;
        tables.publish_resolvers(&trusted(&policy.resolvers)?)?;
        tables.publish(policy, &slots, &ground.clients, ports)?;
        Ok(())
    };
    let attached = if before.pins {
        let attached = attach(&mut ebpf, policy, &ground.interfaces, &setup.pins)?;
        publish(&mut tables)?;
        attached
    } else {
        publish(&mut tables)?;
        attach(&mut ebpf, policy, &ground.interfaces, &setup.pins)?
    };
    release_others(policy, &ground.interfaces, &setup.pins)?;
    let warnings = warnings(policy, ports, other_capacity);
    let mut in_force = InForce { slots, ports, host, ebpf, tables, attachments: Vec::new(), unlearned: None, warnings };
    in_force.take(attached);
    Ok(in_force)
}

/// The uplink's address that an earlier run left in force.
fn address_in_force(pins: &Pins) -> anyhow::Result<Option<Ipv4Addr>> {
    let Some(tables) = Tables::open(pins)? else { return Ok(None) };
    let address = tables.uplinks()?.first().map(|uplink| uplink.address);
    Ok(address.filter(|address| !address.is_unspecified()).map(Ipv4Addr::from))
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

/// What the admin should know of the policy on this host.
fn warnings(policy: &Policy, ports: Ports, other_capacity: Option<u32>) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = policy.warnings.iter().map(|warning| Warning::new(warning, "")).collect();
    if ports.leave_none_to_the_host() {
        warnings.push(Warning::new(
            "the host's own ephemeral ports all lie in the range that is reserved for mappings",
            "Give it others: sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"",
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
