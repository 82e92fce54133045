//! The ways out: what the gateway's interfaces and routes say of them, whether they carry anything, and who takes which.
//!
//! * [`Kernel`] lists routes and neighbours, [`changes`] tells when to look again.
//! * [`Ground`]: what a policy depends on, made of these lists and the addresses of the interfaces.
//! * [`health`]: whether an uplink carries anything, and what becomes of its clients if not.
//! * [`Watch`]: all of them over time, and what the log and `uplinks` say of them.
//! * [`choices()`], and the prefixes in [`Ground::homes`]: which uplink a client takes.

pub mod health;

mod choices;
mod event;
mod ground;
mod homes;
mod interfaces;
mod kernel;
mod report;
mod watch;
mod way;

pub use self::{
    choices::{Candidate, choices},
    event::{Event, What, changes_of},
    ground::{Ground, Outside, Present, UplinkGround},
    interfaces::links,
    kernel::{Change, DefaultRoute, Kernel, Lists, Presence, changes},
    report::{NextHopReport, ProbeReport, UplinkCondition, UplinkReport, warnings_of},
    watch::{Moment, Probed, Watch, Watched},
    way::{NextHop, Way},
};
