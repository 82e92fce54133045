//! The controller of thulium-ctl. Where to look:
//!
//! * [`policy`]: YAML → document → model → image. Pure; everything that can be wrong with a policy is found here.
//! * [`clients`]: the uplinks that clients are pinned to: kept on disk, released, forgotten.
//! * [`names`]: the policy's host names, and the addresses they lead to.
//! * [`observe`]: what the reading commands show. Pure functions from plain data to reports.
//! * [`control`]: the daemon's socket, by which the reading commands ask it.
//! * [`command`]: one file a verb.
//! * [`daemon`]: what `run` starts and keeps going.
//! * [`uplinks`]: what the gateway's interfaces say.
//! * [`datapath`]: load, attach, pin, publish.
//! * [`doctor`]: what on the gateway is in Thulium's way.
//! * [`disk`]: files that are written whole or not at all.
//! * [`exit`]: how a command fails, with its exit code and its remedy.

pub mod clients;
pub mod command;
pub mod control;
pub mod daemon;
pub mod datapath;
pub mod disk;
pub mod doctor;
pub mod exit;
pub mod names;
pub mod observe;
pub mod policy;
pub mod uplinks;
