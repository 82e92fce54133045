//! What the reading commands show: pure functions from plain data to reports.
//!
//! A report is `Serialize` (the JSON, with a `version`) and `Display` (the text). [`Source`] is where the data of an attached
//! datapath comes from; the daemon's own part comes over its socket (see [`crate::control`]).

pub mod clients;
pub mod drops;
pub mod flows;
pub mod hosts;
pub mod released;
pub mod status;
pub mod traffic;
pub mod uplinks;

mod paragraph;
mod quantity;
pub(crate) mod remedy;
mod source;
mod table;

pub(crate) use paragraph::paragraph;
pub(crate) use quantity::{addresses, count};
pub use source::{ByFamily, Slots, Source, interface_names, slot_names};

/// Version of the JSON of every report.
pub const VERSION: u32 = 1;
