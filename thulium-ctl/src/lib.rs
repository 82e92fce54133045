//! The controller of thulium-ctl. Where to look:
//!
//! * [`policy`]: YAML → document → model → image. Pure; everything that can be wrong with a policy is found here.
//! * [`command`]: one file a verb.
//! * [`exit`]: how a command fails, with its exit code and its remedy.

pub mod command;
pub mod exit;
pub mod policy;
