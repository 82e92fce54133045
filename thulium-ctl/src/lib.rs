//! The controller of thulium-ctl. Where to look:
//!
//! * [`policy`]: YAML → document → model → image. Pure; everything that can be wrong with a policy is found here.
//! * [`command`]: one file a verb.
//! * [`datapath`]: load, attach, pin, publish.
//! * [`exit`]: how a command fails, with its exit code and its remedy.

pub mod command;
pub mod datapath;
pub mod exit;
pub mod policy;
