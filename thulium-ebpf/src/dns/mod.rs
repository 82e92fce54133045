//! Names learn their addresses from DNS replies on their way to a client, before the client has them (RFC 1035).
//!
//! A client's query to a trusted resolver is noted at the LAN's ingress, if it is for a name of the policy. At the LAN's egress
//! the reply is matched with it, and what it says of that name is entered. Plain values, a file each:
//!
//! * `message`: the bytes, and the header. `name`: a name, a byte at a time, through its compression.
//! * `question`: what is asked. `answers`: the chain of aliases from there on, and the addresses at its end.
//! * `public`: the addresses that a name may have, unless the policy says more.
//! * `learn`: the queries and the maps (BPF only).
//!
//! What is not of the ordinary shape teaches nothing here: the daemon is handed every reply, and has more patience.

mod answers;
mod message;
mod name;
mod public;
mod question;

#[cfg(target_arch = "bpf")]
mod learn;
#[cfg(test)]
mod tests;

pub use answers::{ANSWERS, Answers, Found, STEPS, lifetime};
pub use message::Header;
pub use public::Public;
pub use question::Question;

#[cfg(target_arch = "bpf")]
pub use learn::{learn, note};

use crate::abi::{NAME_BYTES, Name, Reply};

/// Where resolvers listen (RFC 1035 §4.2).
pub const PORT: u16 = 53;

/// How long a query waits for its reply, nanoseconds. Resolvers give up earlier, and clients ask again.
pub const PATIENCE: u64 = 10_000_000_000;

/// What a message is read with.
#[repr(C, align(8))]
pub struct Room {
    /// The message.
    pub reply: Reply,
    /// The name that was asked for; then, the last alias of it.
    pub name: Name,
    /// The wildcard that covers the name that was asked for.
    pub wildcard: Name,
    /// How far the question was read.
    pub question: Question,
    /// How far the answers were read.
    pub answers: Answers,
}

/// The types of records that teach (RFC 1035 §3.2.2, RFC 3596 §2.1).
pub mod record {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// An alias.
    pub const CNAME: u16 = 5;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
}

/// The Internet, among the classes of records (RFC 1035 §3.2.4).
pub const INTERNET: u16 = 1;

impl Name {
    /// No name yet.
    pub const EMPTY: Self = Self { bytes: [0; NAME_BYTES] };

    /// The byte at `at`, which wraps around.
    #[inline(always)]
    pub(crate) const fn byte(&self, at: u32) -> u8 {
        self.bytes[at as usize % NAME_BYTES]
    }

    /// Replaces the byte at `at`, which wraps around.
    #[inline(always)]
    pub(crate) const fn set(&mut self, at: u32, byte: u8) {
        self.bytes[at as usize % NAME_BYTES] = byte;
    }
}
