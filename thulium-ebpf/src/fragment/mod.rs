//! Fragmented datagrams: the first fragment has the ports and is judged; the later ones follow it, each byte once.

mod extents;
#[cfg(target_arch = "bpf")]
mod follow;

pub use extents::Misfit;
#[cfg(target_arch = "bpf")]
pub use follow::{recall, refuse, send};

/// How long later fragments follow their first one, nanoseconds. They come back to back; a receiver waits longer (30 s in
/// Linux, 60 s in RFC 8200 §4.5), but numbers of datagrams repeat (RFC 4963).
pub const LIFETIME: u64 = 5 * SECOND;
/// How long it is known that a datagram's first fragment came too long ago, nanoseconds. Its number may be another
/// datagram's afterwards.
pub const MEMORY: u64 = 30 * SECOND;

const SECOND: u64 = 1_000_000_000;
