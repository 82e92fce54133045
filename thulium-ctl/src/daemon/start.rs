//! Policy → datapath in force.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use nix::unistd::Uid;
use thulium_ebpf::abi::{Address as _, Uplink, UplinkState};

use super::{Daemon, InForce, Setup, clients::keep_pins, say, state_directory, uplinks::Uplinks};
use crate::{
    control::{Claim, ClaimError, socket_path},
    datapath::{
        attach::{attach, check, release_others},
        host::{HostSettings, Ports, routing::Routing},
        kernel,
        load::{Loaded, load, not_permitted},
        marks::Marks,
        pins::Pins,
        tables::Tables,
        xdp,
    },
    exit::{Exit, Failure},
    names::{FIRST_ROUND, Lookup, NAMES_FILE, Pace, Resolver, Servers, Snapshot, trusted},
    observe::status::Warning,
    policy::Policy,
    uplinks::{Ground, Kernel, Moment, Present, Watch},
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
        let kernel = Kernel::connect()?;
        let former = uplinks_in_force(&setup.pins)?;
        let present = Present { addresses: addresses(&former), clients: Vec::new() };
        let ground = Ground::read(&policy, &present, kernel.lists().await?)?;
        check(&policy, &ground.interfaces, &setup.pins)?;
        let host = HostSettings::open(&state)?;

        // Names come before enforcement, so that the first packet of a client finds their addresses.
        let lookup = Lookup::new(Servers::of_policy(&policy.resolvers));
        let (mut resolver, names) = Resolver::new(&policy.hosts, lookup, Pace::default(), Some(state.join(NAMES_FILE)));
        resolver.first_round(FIRST_ROUND).await;

        let endpoint = claim.listen()?;
        let start = Start { setup: &setup, policy: &policy, ground: &ground, former: &former, before: &before };
        let in_force = start.put_in_force(&names.borrow(), host);
        let in_force = in_force.inspect_err(|_| before.restore(&setup.pins, &state))?;
        Ok(Self {
            setup,
            policy,
            kernel,
            present: ground.as_present(&present),
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

/// What is put in force, and after what.
struct Start<'a> {
    setup: &'a Setup,
    policy: &'a Policy,
    ground: &'a Ground,
    /// The uplinks that an earlier run left, by name.
    former: &'a BTreeMap<String, Uplink>,
    before: &'a Before,
}

impl Start<'_> {
    /// Loads, publishes, attaches. The first start publishes before it attaches, so that a packet meets a complete policy from the
    /// first program on; a later one attaches first, so that a failure leaves the policy in force as it was.
    fn put_in_force(&self, names: &Snapshot, mut host: HostSettings) -> anyhow::Result<InForce> {
        let Self { setup, policy, ground, former, before } = *self;
        let Loaded { mut ebpf, other_capacity } = load(policy, &setup.pins, setup.log_datapath)?;
        let mut tables = Tables::open(&setup.pins)?.context("the maps were not pinned")?;
        let slots = tables.assign_slots(policy)?;
        let (clients, pins_lost) = keep_pins(setup, policy, &mut tables, !before.pins)?;
        let ports = Ports::read();
        for line in host.set(policy, ground.governs_ipv6())? {
            say(&line);
        }
        let states = former.iter().map(|(name, uplink)| (name.clone(), UplinkState::from_number(uplink.state)));
        let mut watch = Watch::new(policy, &slots, &states.collect(), ground, Moment::now());
        let events = watch.settle(Moment::now());
        let routing =
            Routing::new(Marks::of(policy.datapath.mark, policy.uplinks.len()), policy.lan.interfaces.clone());
        let uplinks = Uplinks { watch, routing };
        let publish = |tables: &mut Tables| -> anyhow::Result<()> {
            tables.publish_interfaces(&ground.interfaces, &ground.slots_of_interfaces(&slots))?;
            uplinks.publish(tables, policy, &slots, ground)?;
            tables.publish_remotes(names, &slots)?;
            tables.publish_names(&policy.hosts, &slots)?;
            tables.publish_resolvers(&trusted(&policy.resolvers)?)?;
            tables.publish(policy, &slots, &ground.clients, ports)?;
            Ok(())
        };
        let attached = if before.pins {
            let attached = attach(&mut ebpf, policy, &ground.interfaces, &setup.pins, &mut tables)?;
            publish(&mut tables)?;
            attached
        } else {
            publish(&mut tables)?;
            attach(&mut ebpf, policy, &ground.interfaces, &setup.pins, &mut tables)?
        };
        tables.publish_newest(ground.newest)?;
        release_others(policy, &ground.interfaces, &setup.pins)?;
        for line in uplinks.route(&slots, ground)? {
            say(&line);
        }
        for event in events {
            say(&event.line(tables.pinned_clients(event.slot)?));
        }
        let mut warnings = warnings(policy, ports, other_capacity);
        warnings.extend(pins_lost);
        let mut in_force = InForce {
            slots,
            ports,
            host,
            ebpf,
            tables,
            clients,
            attachments: Vec::new(),
            known: xdp::Known::default(),
            unlearned: None,
            warnings,
            uplinks,
        };
        in_force.take(attached);
        in_force.forward(policy, &ground.interfaces)?;
        Ok(in_force)
    }
}

/// The uplinks that an earlier run left in force, by name.
fn uplinks_in_force(pins: &Pins) -> anyhow::Result<BTreeMap<String, Uplink>> {
    Tables::open(pins)?.map_or_else(|| Ok(BTreeMap::new()), |tables| tables.uplinks_in_force())
}

/// Their addresses.
fn addresses(uplinks: &BTreeMap<String, Uplink>) -> BTreeMap<String, Ipv4Addr> {
    let known = uplinks.iter().filter(|(_, uplink)| !uplink.address.is_unspecified());
    known.map(|(name, uplink)| (name.clone(), uplink.address.into())).collect()
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
