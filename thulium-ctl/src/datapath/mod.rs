//! The datapath: load, pin, publish, attach.
//!
//! * [`object`]: the eBPF programs inside this binary. [`load`]: into the kernel, with the maps of an earlier run if there are.
//! * [`pins`]: where maps and links outlive the daemon.
//! * [`tables`]: the maps, typed; for the daemon and for the commands that only read.
//! * [`publish`]: an image of the policy → the maps, in force by one flip. `remotes`, `names`: which addresses belong to which
//!   hosts, and whose replies may teach which names.
//! * [`attach`]: programs → hooks, replacing those of an earlier run without a gap. [`xdp`]: where XDP is right,
//!   and where it forwards.
//! * [`sweep`]: stale sessions. [`clients`]: pins that are released, clients that are forgotten.
//! * [`host`]: what is set on the gateway, and put back. [`marks`]: our bits of the packet mark.
//! * [`replies`]: DNS replies that the programs hand to the daemon.

pub mod attach;
pub mod clients;
pub mod host;
pub mod kernel;
mod link;
pub mod load;
pub mod marks;
mod names;
mod netlink;
pub mod object;
pub mod pins;
pub mod publish;
pub mod qdisc;
mod remotes;
pub mod replies;
mod source;
pub mod sweep;
pub mod tables;
pub mod xdp;
