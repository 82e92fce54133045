//! Single packets: crafted, sent past the kernel's own stack, captured, and read.
//!
//! Packets here begin with their IP header; the link header is the kernel's business.

mod capture;
mod craft;
mod craft6;
mod parsed;
pub mod random;

pub use self::{
    capture::{Capture, send, send_tagged},
    craft::{Ipv4, ipv6_udp, tcp_flag},
    craft6::Ipv6,
    parsed::Parsed,
};

/// One's complement sum of RFC 1071 over `bytes`, starting with `sum`, not yet complemented.
fn ones_complement(bytes: &[u8], mut sum: u32) -> u16 {
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}
