//! Live sessions in the maps: finding, refreshing, ending. Expiry is lazy: a stale session counts as absent.

use super::{is_stale, lifetime, tcp};
use crate::{
    abi::{Address4, ClientKey, Endpoint, FlowEntry, FlowKey, Side, TcpState},
    atomic,
    maps::{CLIENTS, FLOWS, PORTS, SWEEP, UPLINKS},
    moment::Moment,
    parse::{Packet, protocol},
    ports,
};

/// One direction of a live session.
pub type Entry = *mut FlowEntry<Address4>;

/// The live session that `key` belongs to.
#[inline(always)]
pub fn find(key: &FlowKey<Address4>, moment: &Moment) -> Option<Entry> {
    let entry = FLOWS.get_ptr_mut(key)?;
    if is_live(key, entry, moment) { Some(entry) } else { None }
}

/// False if the uplink's address is another by now, or neither direction has seen a packet for the session's lifetime.
#[inline(always)]
pub fn is_live(key: &FlowKey<Address4>, entry: Entry, moment: &Moment) -> bool {
    // SAFETY: entries of a hash map stay readable until the program ends; fields change under us, but each is a word.
    let entry = unsafe { &*entry };
    let Some(uplink) = UPLINKS.get(u32::from(entry.uplink)) else { return false };
    if uplink.epoch != entry.epoch {
        return false;
    }
    let lifetime = lifetime(TcpState::from_number(entry.state), moment.settings);
    !is_stale(moment.now, entry.last_seen, lifetime) || is_pair_live(key, &entry.rewrite, lifetime, moment)
}

/// Traffic in either direction refreshes the session: the pair is asked before one direction is called stale.
#[inline(never)]
fn is_pair_live(key: &FlowKey<Address4>, rewrite: &Endpoint<Address4>, lifetime: u64, moment: &Moment) -> bool {
    match FLOWS.get_ptr(key.pair(rewrite)) {
        // SAFETY: as in `is_live`.
        Some(pair) => !is_stale(moment.now, unsafe { (*pair).last_seen }, lifetime),
        None => false,
    }
}

/// The session of a packet from the world whose own direction is missing, though its client's is there: between the two
/// removals of an ending session, the client can have opened it anew. The missing direction is put back.
#[inline(always)]
pub fn heal(packet: &Packet<Address4>, moment: &Moment) -> Option<Entry> {
    let entry = put_back(packet, moment);
    if entry.is_null() { None } else { Some(entry) }
}

/// [`heal`] with a null for none: one register, which the verifier follows through the call.
#[inline(never)]
fn put_back(packet: &Packet<Address4>, moment: &Moment) -> Entry {
    try_put_back(packet, moment).unwrap_or(core::ptr::null_mut())
}

#[inline(always)]
fn try_put_back(packet: &Packet<Address4>, moment: &Moment) -> Option<Entry> {
    let owner = PORTS.get_ptr(packet.destination_port_key())?;
    // SAFETY: a live map value of plain words.
    let client = unsafe { (*owner).client };
    let key = packet.key(Side::Uplink);
    let pair = find(&key.pair(&client), moment)?;
    // SAFETY: as above.
    let mut entry = unsafe { *pair };
    if entry.rewrite != Endpoint::new(packet.destination, packet.destination_port) {
        return None;
    }
    entry.rewrite = client;
    (entry.packets, entry.bytes) = (0, 0);
    FLOWS.insert(key, &entry, 0).ok()?;
    FLOWS.get_ptr_mut(key)
}

/// Keeps the way back up to date: a client can move from one LAN interface to another with its sessions.
#[inline(always)]
pub fn follow_client(key: &FlowKey<Address4>, entry: Entry, lan: u32) {
    // SAFETY: `entry` is a live map value of plain words.
    let (interface, rewrite) = unsafe { ((*entry).interface, (*entry).rewrite) };
    if interface == lan {
        return;
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*entry).interface).write_volatile(lan) };
    if let Some(pair) = FLOWS.get_ptr_mut(key.pair(&rewrite)) {
        // SAFETY: as above.
        unsafe { (&raw mut (*pair).interface).write_volatile(lan) };
    }
}

/// Counts a packet in its direction of the session, and takes TCP a step on.
#[inline(always)]
pub fn touch(key: &FlowKey<Address4>, entry: Entry, packet: &Packet<Address4>, segments: u32, moment: &Moment) {
    // SAFETY: `entry` is a live map value; the counters are shared with other CPUs, hence atomic, the others are words.
    unsafe {
        (&raw mut (*entry).last_seen).write_volatile(moment.now);
        atomic::add(&raw mut (*entry).packets, u64::from(segments));
        atomic::add(&raw mut (*entry).bytes, u64::from(packet.length));
    }
    if packet.protocol == protocol::TCP {
        step_tcp(key, entry, packet.tcp_flags);
    }
}

#[inline(never)]
fn step_tcp(key: &FlowKey<Address4>, entry: Entry, flags: u8) {
    let side = if key.side == Side::Lan as u8 { Side::Lan } else { Side::Uplink };
    // SAFETY: as in `touch`.
    let (state, rewrite) = unsafe { (TcpState::from_number((*entry).state), (*entry).rewrite) };
    let next = tcp::next(state, side, flags);
    if next == state {
        return;
    }
    // SAFETY: as in `touch`.
    unsafe { (&raw mut (*entry).state).write_volatile(next as u8) };
    if let Some(pair) = FLOWS.get_ptr_mut(key.pair(&rewrite)) {
        // SAFETY: as in `touch`.
        unsafe { (&raw mut (*pair).state).write_volatile(next as u8) };
    }
}

/// Ends a session, given its LAN-side key and entry. Only one CPU can remove the entry, and that one gives back what the
/// session held.
#[inline(never)]
pub fn end(key: &FlowKey<Address4>, entry: Entry) {
    // SAFETY: as in `is_live`. What is needed of the entry is read before it goes.
    let (external, epoch, uplink) = unsafe { ((*entry).rewrite, (*entry).epoch, (*entry).uplink) };
    if FLOWS.remove(key).is_err() {
        return;
    }
    let _ = FLOWS.remove(key.pair(&external));
    ports::release(key, &external, epoch, uplink);
    leave_client(ClientKey { address: key.source });
}

/// Takes a session off the client's share.
#[inline(always)]
pub fn leave_client(key: ClientKey<Address4>) {
    let Some(client) = CLIENTS.get_ptr_mut(key) else { return };
    // SAFETY: `client` is a live map value.
    let before = unsafe { atomic::take_one(&raw mut (*client).sessions) };
    if before <= 1 {
        let _ = CLIENTS.remove(key);
    }
}

/// Looks at the next session in turn, and ends it if it is stale. False when there is none.
///
/// Every opening takes two steps, so that the table stays clean with the daemon dead; the daemon takes many.
#[inline(never)]
pub fn sweep(moment: &Moment) -> bool {
    let Ok(Some(key)) = SWEEP.pop() else { return false };
    let Some(entry) = FLOWS.get_ptr_mut(key) else { return true };
    if is_live(&key, entry, moment) {
        // The queue has room for every session and more; the key that would not fit stands there already.
        let _ = SWEEP.push(key, 0);
        return true;
    }
    end(&key, entry);
    true
}
