//! The rewrite: one endpoint of the packet, and one hop off its time to live. Payloads are never touched (T9).

use crate::{
    abi::{Address4, Endpoint},
    frame::Edit,
    parse::Packet,
};

/// Which endpoint of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The source: on the way out.
    Source,
    /// The destination: on the way in.
    Destination,
}

/// Offset of the header checksum in an IPv4 header, bytes.
const HEADER_SUM: usize = 10;
/// Offset of the word that holds TTL and protocol, bytes.
const TTL_WORD: usize = 8;

/// Replaces `part` of the packet by `to`. A later fragment has no port and no checksum to replace.
/// Returns None if the frame could not be written.
#[inline(never)]
pub fn rewrite<F: Edit>(frame: &mut F, packet: &Packet<Address4>, part: Part, to: &Endpoint<Address4>) -> Option<()> {
    let network = usize::from(packet.network);
    let transport = usize::from(packet.transport);
    let (address_at, port_at, address, port) = match part {
        Part::Source => (network + 12, transport, packet.source, packet.source_port),
        Part::Destination => (network + 16, transport + 2, packet.destination, packet.destination_port),
    };
    let checksum = packet.transport_checksum();
    if address != to.address {
        frame.replace_address(address_at, network + HEADER_SUM, checksum, address, to.address)?;
    }
    if let Some(checksum) = checksum
        && port != to.port
    {
        frame.replace_port(port_at, checksum, port, to.port)?;
    }
    Some(())
}

/// Takes one hop off the time to live, as every router does (RFC 1812 §5.3.1). The caller has checked that it is above 1.
/// Returns None if the frame could not be written.
#[inline(always)]
pub fn decrement_ttl<F: Edit>(frame: &mut F, packet: &Packet<Address4>) -> Option<()> {
    let network = usize::from(packet.network);
    let old = u16::from_be_bytes([packet.ttl, packet.protocol]).to_be();
    let new = u16::from_be_bytes([packet.ttl - 1, packet.protocol]).to_be();
    frame.replace_header_word(network + TTL_WORD, network + HEADER_SUM, old, new)
}
