//! The daemon: what `run` starts and keeps going. Enforcement does not depend on it; names, a changed uplink address and the
//! sweeping of stale sessions do.
//!
//! * `start`: policy → datapath in force, in an order that leaves nothing half-attached.
//! * `serve`: what happens until it is told to end: `follow` what changes at the interfaces, and at the `uplinks`;
//!   `fast`: what XDP does there; `probes` through the uplinks; the pins of `clients`; `facts` for the commands.

mod clients;
mod facts;
mod fast;
mod follow;
mod names;
mod probes;
mod records;
mod serve;
mod start;
mod uplinks;

use std::path::{Path, PathBuf};

use aya::Ebpf;
use tokio::sync::watch;

use self::uplinks::Uplinks;
use crate::{
    clients::PinKeeper,
    control::Endpoint,
    datapath::{
        host::{HostSettings, Ports},
        pins::Pins,
        tables::Tables,
        xdp,
    },
    names::{Resolver, Snapshot},
    observe::status::{Attachment, Warning},
    policy::{Policy, image::Slots},
    uplinks::{Ground, Kernel, Present},
};

/// How to run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the instance's maps and links are pinned.
    pub pins: Pins,
    /// The policy's file.
    pub file: PathBuf,
    /// Make the debug records of the slow path.
    pub log_datapath: bool,
}

/// A datapath in force, and what serves it.
pub struct Daemon {
    setup: Setup,
    policy: Policy,
    kernel: Kernel,
    ground: Ground,
    present: Present,
    in_force: InForce,
    endpoint: Endpoint,
    resolver: Resolver,
    names: watch::Receiver<Snapshot>,
    /// When it became ready; seconds since 1970.
    since: u64,
}

/// What a start put in force.
struct InForce {
    slots: Slots,
    ports: Ports,
    host: HostSettings,
    ebpf: Ebpf,
    tables: Tables,
    clients: PinKeeper,
    attachments: Vec<Attachment>,
    /// What decided where XDP forwards.
    known: xdp::Known,
    /// Why names are not learned from DNS replies, if they are not.
    unlearned: Option<Warning>,
    uplinks: Uplinks,
    /// Of the policy and the host; those of the interfaces change (see [`Ground::warnings`]).
    warnings: Vec<Warning>,
}

/// The folder of what an instance keeps on disk.
pub fn state_directory(instance: &str) -> PathBuf {
    Path::new("/var/lib/thulium-ctl").join(instance)
}

/// A line for the log. systemd adds the time.
fn say(line: &str) {
    eprintln!("thulium-ctl: {line}");
}
