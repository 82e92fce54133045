//! Is a session live as it is, so that its packet need not be looked at any further?

use crate::{
    abi::{FlowEntry, FlowKey, GENERATIONS, Side, TcpState, UplinkState},
    lans,
    maps::{GENERATION, SETTINGS, UPLINKS},
    parse::protocol,
    ports::Outside,
    session::{flows::FlowMap as _, has_expired, table::Entry},
};

/// The session of this key, if it is live as it is. See [`is_steady`].
#[inline(always)]
pub(super) fn find<A: Outside>(key: &FlowKey<A>, ingress: (u32, Side), now: u32) -> Option<Entry<A>> {
    let entry = A::flows().get_ptr_mut(key)?;
    // SAFETY: entries of a hash map stay readable until the program ends; fields change under us, but each is a word.
    if is_steady(unsafe { &*entry }, ingress, key.protocol == protocol::TCP, now) { Some(entry) } else { None }
}

/// True if the session of a packet that came in by `interface`, on `side`, is live as it is. `now` in ticks.
#[inline(always)]
fn is_steady<A: Outside>(entry: &FlowEntry<A>, (interface, side): (u32, Side), is_tcp: bool, now: u32) -> bool {
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
