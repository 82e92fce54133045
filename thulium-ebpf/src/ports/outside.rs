//! What the world sees of a client: a port of the uplink's address, or, where nothing is translated, the client itself.

use super::{foreign, mapping, rest};
use crate::{
    abi::{Address4, Address6, Client, Endpoint, FlowKey, NO_SLOT, Reason, Uplink, UplinkState},
    frame::Hook,
    maps::{PORTS, Tables},
    moment::Moment,
    parse::{Headers, Packet},
    session::{Ends, client},
    uplinks,
};

/// In place of the moment at which a port is freed: it was never used, so it need not rest.
pub const UNUSED: u64 = 0;

/// An address family, and how its clients appear outside.
pub trait Outside: Tables + Headers {
    /// True if a client keeps the uplink that it once took; else its own prefix says which one that is.
    const IS_PINNED: bool;

    /// The slot of the uplink that a client's next session takes.
    fn pin(address: &Self, client: *mut Client, moment: &Moment) -> Result<u8, Reason>;

    /// The uplink that a live session takes instead, where the one that it went by does not carry anything any more.
    fn successor(address: &Self) -> Result<u8, Reason>;

    /// The epoch that sessions of this uplink carry.
    fn epoch(uplink: &Uplink) -> u16;

    /// True if the uplink's sessions appear with this external endpoint's address, and are not lost.
    fn is_current(uplink: &Uplink, external: &Endpoint<Self>) -> bool;

    /// The external endpoint of the packet's client endpoint, if it keeps its port.
    fn usual(uplink: &Uplink, packet: &Packet<Self>) -> Endpoint<Self>;

    /// The external endpoint of the packet's client endpoint, held for one more session.
    fn hold<H: Hook>(frame: &H, packet: &Packet<Self>, ends: &Ends, moment: &Moment) -> Result<Endpoint<Self>, Reason>;

    /// Gives back what a session held, given its LAN-side key, at `now` (`CLOCK_MONOTONIC`, nanoseconds, or [`UNUSED`]).
    fn release(key: &FlowKey<Self>, held: &Endpoint<Self>, epoch: u16, uplink: u8, now: u64);

    /// The client's endpoint that owns a packet's destination, if anybody can.
    fn client_at(packet: &Packet<Self>) -> Option<Endpoint<Self>>;

    /// True if a mapping owns the packet's destination, and not the kernel.
    fn is_claimed<H: Hook>(frame: &H, packet: &Packet<Self>, moment: &Moment) -> bool;

    /// True if sessions are translated to this address.
    fn is_external(address: &Self) -> bool;
}

impl Outside for Address4 {
    const IS_PINNED: bool = true;

    #[inline(always)]
    fn pin(address: &Self, client: *mut Client, moment: &Moment) -> Result<u8, Reason> {
        client::pin(address, client, moment)
    }

    #[inline(always)]
    fn successor(_: &Self) -> Result<u8, Reason> {
        // Its public address is lost; the epoch says so the next moment.
        Err(Reason::UplinkLost)
    }

    #[inline(always)]
    fn epoch(uplink: &Uplink) -> u16 {
        // SAFETY: a live map value, a word, which user space changes.
        let epoch = unsafe { (&raw const uplink.epoch).read_volatile() };
        Uplink { epoch, ..Uplink::default() }.session_epoch()
    }

    #[inline(always)]
    fn is_current(uplink: &Uplink, external: &Endpoint<Self>) -> bool {
        // SAFETY: a live map value of plain words, which user space changes.
        let (address, translates, state) = unsafe {
            (
                (&raw const uplink.address).read_volatile(),
                (&raw const uplink.translates).read_volatile(),
                (&raw const uplink.state).read_volatile(),
            )
        };
        let carries = state == UplinkState::Up as u32 || state == UplinkState::Held as u32;
        carries && (translates == 0 || address == external.address)
    }

    #[inline(always)]
    fn usual(uplink: &Uplink, packet: &Packet<Self>) -> Endpoint<Self> {
        let address = if uplink.translates == 0 { packet.source } else { uplink.address };
        Endpoint::new(address, packet.source_port)
    }

    #[inline(always)]
    fn hold<H: Hook>(frame: &H, packet: &Packet<Self>, ends: &Ends, moment: &Moment) -> Result<Endpoint<Self>, Reason> {
        mapping::hold(frame, packet, ends, moment)
    }

    #[inline(always)]
    fn release(key: &FlowKey<Self>, held: &Endpoint<Self>, epoch: u16, uplink: u8, now: u64) {
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
        uplinks::is_external(*address)
    }
}

impl Outside for Address6 {
    const IS_PINNED: bool = false;

    #[inline(always)]
    fn pin(address: &Self, client: *mut Client, _: &Moment) -> Result<u8, Reason> {
        let slot = Self::successor(address)?;
        // SAFETY: a live map value, a word.
        unsafe { (&raw mut (*client).uplink).write_volatile(u32::from(slot)) };
        Ok(slot)
    }

    #[inline(always)]
    fn successor(address: &Self) -> Result<u8, Reason> {
        match uplinks::home(address) {
            NO_SLOT => Err(Reason::UplinkPrefix),
            slot if matches!(uplinks::state_of(slot), UplinkState::Up) => Ok(slot),
            _ => Err(Reason::UplinkDown),
        }
    }

    #[inline(always)]
    fn epoch(_: &Uplink) -> u16 {
        0
    }

    #[inline(always)]
    fn is_current(_: &Uplink, _: &Endpoint<Self>) -> bool {
        true
    }

    #[inline(always)]
    fn usual(_: &Uplink, packet: &Packet<Self>) -> Endpoint<Self> {
        Endpoint::new(packet.source, packet.source_port)
    }

    #[inline(always)]
    fn hold<H: Hook>(_: &H, packet: &Packet<Self>, _: &Ends, _: &Moment) -> Result<Endpoint<Self>, Reason> {
        Ok(Endpoint::new(packet.source, packet.source_port))
    }

    #[inline(always)]
    fn release(_: &FlowKey<Self>, _: &Endpoint<Self>, _: u16, _: u8, _: u64) {}

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
