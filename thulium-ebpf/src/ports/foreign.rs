//! What the kernel's own NAT shares with us: the uplink's address.

use super::claim::host_owns;
use crate::{
    abi::{Address4, Endpoint, Side},
    frame::Hook,
    maps::FOREIGN,
    moment::Moment,
    parse::{Fragment, Packet, protocol},
    session,
};

/// True if the kernel awaits the packet: it answers one of the kernel's own NAT, or the gateway itself has a socket for it,
/// opened after the port was mapped.
#[inline(always)]
pub(super) fn is_kernels<H: Hook>(frame: &H, packet: &Packet<Address4>, moment: &Moment) -> bool {
    if let Some(asked) = FOREIGN.get_ptr(packet.key(Side::Uplink))
        // SAFETY: a live map value, a word.
        && !session::is_stale(moment.now, unsafe { *asked }, session::FOREIGN)
    {
        return true;
    }
    let remote = Endpoint::new(packet.source, packet.source_port);
    host_owns(frame, packet.protocol, remote, Endpoint::new(packet.destination, packet.destination_port))
}

/// A packet that the kernel forwards leaves. If its NAT gave it our external address, the reply to it is the kernel's, even
/// where a mapping has, or later gets, the same port.
#[inline(never)]
pub fn expect_reply(packet: &Packet<Address4>, moment: &Moment) {
    let has_ports = packet.fault.is_none() && matches!(packet.protocol, protocol::TCP | protocol::UDP);
    if has_ports && packet.fragment != Fragment::Later {
        // A full table forgets the oldest: only its next packet brings it back.
        let _ = FOREIGN.insert(packet.reply_key(), moment.now, 0);
    }
}
