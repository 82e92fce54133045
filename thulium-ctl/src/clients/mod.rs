//! Clients and the uplinks that they are pinned to. The pins are in the datapath's map of clients; here is what outlives the kernel's
//! boot, and what an admin or time does to them.
//!
//! * [`Pin`]: to which uplink, since when, idle since when, and why. Pure.
//! * [`SavedPins`]: the pins on disk. [`PinKeeper`]: writes them there, puts them back after a boot, and forgets clients that were
//!   idle for too long.
//! * [`release`]: a client is pinned to no uplink any more, and ends its sessions if it has to.

mod clocks;
mod idle;
mod keeper;
mod moves;
mod pin;
pub mod release;
mod saved;

pub use clocks::Clocks;
pub use keeper::{PinKeeper, pins_file};
pub use pin::{Cause, Pin, pin};
pub use saved::SavedPins;
