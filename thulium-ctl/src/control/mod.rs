//! The daemon's socket: one JSON line asks, one JSON line answers.
//!
//! ```text
//! → {"version":1,"request":"status"}
//! ← {"version":1,"reply":{"status":{…}}}
//! ```
//!
//! A [`Claim`] makes sure that only one daemon serves an instance, an [`Endpoint`] listens and answers for it; [`ask`] is
//! the commands' side.

mod client;
mod endpoint;
mod message;
mod server;

use std::path::PathBuf;

pub use client::{AskError, ask};
pub use endpoint::{Claim, ClaimError, Endpoint};
pub use message::{PolicyInForce, Reply, Request};

/// The socket of an instance.
pub fn socket_path(instance: &str) -> PathBuf {
    PathBuf::from("/run/thulium-ctl").join(format!("{instance}.sock"))
}

#[cfg(test)]
mod tests;
