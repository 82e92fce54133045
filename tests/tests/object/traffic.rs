//! Who talks to whom in these tests, and the packets they send.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) use thulium_tests::packet::{
    Ipv4, Ipv6, ipv6_udp,
    tcp_flag::{ACK, FIN, RST, SYN},
};

use crate::network::HARDWARE;

/// A client of the policy.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 10);
/// Another one.
pub(crate) const CLIENT_2: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 11);
/// A host of the LAN that the policy does not govern.
pub(crate) const PRINTER: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 200);
/// The gateway's address in the LAN.
pub(crate) const LAN_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 20, 1);
/// The gateway's address on its uplink.
pub(crate) const UPLINK: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The server of all flows but `stun`.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The server of the flow `stun`.
pub(crate) const STUN_SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 20);
/// A host of the world that no policy names.
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 99);

/// The network of the policy's IPv6 clients.
pub(crate) const CLIENTS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0);
/// One of them.
pub(crate) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x20, 0, 0, 0, 0, 0x10);
/// The server's IPv6 address.
pub(crate) const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0x10);
/// An IPv6 host of the world that no policy names.
pub(crate) const STRANGER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 0x99);

/// Where the server listens for SIP.
pub(crate) const SIP_PORT: u16 = 15060;
/// A client's SIP port; it may be kept outside.
pub(crate) const PHONE_PORT: u16 = 5060;

/// A packet of a phone to the SIP server: most tests begin with it.
pub(crate) fn sip_out() -> Vec<u8> {
    Ipv4::new(CLIENT, SERVER).udp(PHONE_PORT, SIP_PORT, b"REGISTER")
}

/// The SIP server's reply, as it arrives at the uplink.
pub(crate) fn sip_in() -> Vec<u8> {
    Ipv4::new(SERVER, UPLINK).udp(SIP_PORT, PHONE_PORT, b"200 OK")
}

/// A segment of a client's connection to the web server.
pub(crate) fn web_out(flags: u8) -> Vec<u8> {
    Ipv4::new(CLIENT, SERVER).tcp(50000, 443, flags)
}

/// A segment of the web server, as it arrives at the uplink.
pub(crate) fn web_in(flags: u8) -> Vec<u8> {
    Ipv4::new(SERVER, UPLINK).tcp(443, 50000, flags)
}

/// An Ethernet frame to the gateway.
pub(crate) fn frame(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = HARDWARE.to_vec();
    frame.extend([2, 0, 0, 0, 0, 0xee]);
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A packet with an edit that leaves its IP header checksum right.
pub(crate) fn edited(mut packet: Vec<u8>, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    edit(&mut packet);
    packet[10..12].fill(0);
    let words = packet[..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    packet[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
    packet
}
