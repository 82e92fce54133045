//! Is a session live as it is, so that its packet need not be looked at any further?

use crate::{
    abi::{FlowKey, GENERATIONS, Side, TcpState, UplinkState},
    lans,
    maps::{GENERATION, SETTINGS, UPLINKS},
    parse::protocol,
    ports::Outside,
    session::{has_expired, table::Entry},
};

/// True if the session of a packet with this key that came in by `interface`, on `side`, is live as it is. `now` in ticks.
#[inline(always)]
pub(super) fn is_steady<A: Outside>(
    key: &FlowKey<A>,
    entry: Entry<A>,
    (interface, side): (u32, Side),
    now: u32,
) -> bool {
    // SAFETY: an entry stays readable until the program ends; its fields change under us, but each is a word.
    let entry = unsafe { &*entry };
    let is_tcp = key.protocol == protocol::TCP;
    let state = if is_tcp { TcpState::Established } else { TcpState::None };
    if entry.state != state as u8 || entry.watched != 0 {
        return false;
    }
    let Some(uplink) = UPLINKS.get(u32::from(entry.uplink)) else { return false };
    if A::epoch(uplink) != entry.epoch {
        return false;
    }
    let is_out = matches!(side, Side::Lan);
    if is_out && (uplink.state != UplinkState::Up as u32 || lans::interface_of(entry.lan) != interface) {
        return false;
    }
    let Some(generation) = GENERATION.get(0) else { return false };
    let Some(settings) = SETTINGS.get(*generation % GENERATIONS) else { return false };
    let lifetime = if is_tcp { settings.tcp_idle } else { settings.udp_idle };
    entry.generation == *generation && !has_expired(now, entry.last_seen, lifetime)
}
