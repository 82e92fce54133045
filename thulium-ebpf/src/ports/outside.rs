//! What the world sees of a client: a port of the uplink's address, or, where nothing is translated, the client itself.

use super::{foreign, mapping, rest};
use crate::{
    abi::{Address4, Address6, Endpoint, FlowKey, Reason, Uplink},
    frame::Hook,
    maps::{PORTS, Tables, UPLINKS},
    moment::Moment,
    parse::{Headers, Packet},
};

/// In place of the moment at which a port is freed: it was never used, so it need not rest.
pub const UNUSED: u64 = 0;

/// An address family, and how its clients appear outside.
pub trait Outside: Tables + Headers {
    /// The epoch that sessions of this uplink carry.
    fn epoch(uplink: &Uplink) -> u32;

    /// True if the uplink's sessions appear with this external endpoint's address.
    fn is_current(uplink: &Uplink, external: &Endpoint<Self>) -> bool;

    /// The external endpoint of the packet's client endpoint, held for one more session.
    fn hold<H: Hook>(frame: &H, packet: &Packet<Self>, slot: u8, moment: &Moment) -> Result<Endpoint<Self>, Reason>;

    /// Gives back what a session held, given its LAN-side key, at `now` (`CLOCK_MONOTONIC`, nanoseconds, or [`UNUSED`]).
    fn release(key: &FlowKey<Self>, held: &Endpoint<Self>, epoch: u32, uplink: u8, now: u64);

    /// The client's endpoint that owns a packet's destination, if anybody can.
    fn client_at(packet: &Packet<Self>) -> Option<Endpoint<Self>>;

    /// True if a mapping owns the packet's destination, and not the kernel.
    fn is_claimed<H: Hook>(frame: &H, packet: &Packet<Self>, moment: &Moment) -> bool;

    /// True if sessions are translated to this address.
    fn is_external(address: &Self) -> bool;
}

impl Outside for Address4 {
    #[inline(always)]
    fn epoch(uplink: &Uplink) -> u32 {
        uplink.epoch
    }

    #[inline(always)]
    fn is_current(uplink: &Uplink, external: &Endpoint<Self>) -> bool {
        // SAFETY: a live map value of plain words, which user space changes.
        let Uplink { address, translates, .. } = unsafe { (&raw const *uplink).read_volatile() };
        translates == 0 || address == external.address
    }

    #[inline(always)]
    fn hold<H: Hook>(frame: &H, packet: &Packet<Self>, slot: u8, moment: &Moment) -> Result<Endpoint<Self>, Reason> {
        mapping::hold(frame, packet, slot, moment)
    }

    #[inline(always)]
    fn release(key: &FlowKey<Self>, held: &Endpoint<Self>, epoch: u32, uplink: u8, now: u64) {
        mapping::release(key, held, epoch, uplink, now);
    }

    #[inline(always)]
    fn client_at(packet: &Packet<Self>) -> Option<Endpoint<Self>> {
        match PORTS.get_ptr(packet.destination_port_key()) {
            // SAFETY: a live map value of plain words.
            Some(owner) => Some(unsafe { (*owner).client }),
            None if Self::is_external(&packet.destination) => None,
            None => Some(Endpoint::new(packet.destination, packet.destination_port)),
        }
    }

    #[inline(always)]
    fn is_claimed<H: Hook>(frame: &H, packet: &Packet<Self>, moment: &Moment) -> bool {
        rest::is_taken(&packet.destination_port_key(), moment.now) && !foreign::is_kernels(frame, packet, moment)
    }

    #[inline(always)]
    fn is_external(address: &Self) -> bool {
        UPLINKS.get(0).is_some_and(|uplink| uplink.translates == 1 && uplink.address == *address)
    }
}

impl Outside for Address6 {
    #[inline(always)]
    fn epoch(_: &Uplink) -> u32 {
        0
    }

    #[inline(always)]
    fn is_current(_: &Uplink, _: &Endpoint<Self>) -> bool {
        true
    }

    #[inline(always)]
    fn hold<H: Hook>(_: &H, packet: &Packet<Self>, _: u8, _: &Moment) -> Result<Endpoint<Self>, Reason> {
        Ok(Endpoint::new(packet.source, packet.source_port))
    }

    #[inline(always)]
    fn release(_: &FlowKey<Self>, _: &Endpoint<Self>, _: u32, _: u8, _: u64) {}

    #[inline(always)]
    fn client_at(packet: &Packet<Self>) -> Option<Endpoint<Self>> {
        Some(Endpoint::new(packet.destination, packet.destination_port))
    }

    #[inline(always)]
    fn is_claimed<H: Hook>(_: &H, _: &Packet<Self>, _: &Moment) -> bool {
        false
    }

    #[inline(always)]
    fn is_external(_: &Self) -> bool {
        false
    }
}
