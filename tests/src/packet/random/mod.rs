//! Packets by chance: mostly right ones of a conversation, then spoiled. The same seed makes the same packets.
//!
//! Bytes that are random throughout end at the first check of a header. So [`packets`] makes what a host would send, and
//! [`fn@spoil`] breaks one to three things of it and mends the header checksum behind itself, most of the time.

mod chance;
mod extension;
mod message;
mod shape;
mod spoil;

pub use self::{
    chance::Chance,
    shape::{Talk, packets, plain},
    spoil::{frame, mend, spoil},
};
