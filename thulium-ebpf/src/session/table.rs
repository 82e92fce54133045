//! Live sessions in the maps: finding, refreshing, ending. Expiry is lazy: a stale session counts as absent.

use super::{client, flows::FlowMap as _, has_expired, lifetime, tcp};
use crate::{
    abi::{
        Address, Endpoint, FlowEntry, FlowKey, Path, REFRESH, Reason, Side, SweepItem, TcpState, Traffic, UplinkState,
        ticks_since,
    },
    atomic, lans,
    maps::{TRAFFIC, UPLINKS, next_to_sweep},
    moment::Moment,
    parse::{Packet, protocol},
    ports::Outside,
    uplinks,
};

/// One direction of a live session.
pub type Entry<A> = *mut FlowEntry<A>;

/// The live session that `key` belongs to.
#[inline(always)]
pub fn find<A: Outside>(key: &FlowKey<A>, moment: &Moment) -> Option<Entry<A>> {
    let entry = A::flows().get_ptr_mut(key)?;
    if is_live(key, entry, moment) { Some(entry) } else { None }
}

/// False if the uplink's address is another by now, or neither direction has seen a packet for the session's lifetime.
#[inline(always)]
pub fn is_live<A: Outside>(key: &FlowKey<A>, entry: Entry<A>, moment: &Moment) -> bool {
    // SAFETY: an entry stays readable until the program ends; its fields change under us, but each is a word.
    let entry = unsafe { &*entry };
    if is_of_past_epoch(entry) {
        return false;
    }
    let lifetime = lifetime(key.protocol, TcpState::from_number(entry.state), moment.settings);
    !has_expired(moment.ticks(), entry.last_seen, lifetime) || is_pair_live(key, &entry.rewrite, lifetime, moment)
}

/// True if there was a session, and the public address that it had is lost.
#[inline(always)]
pub fn is_lost<A: Outside>(key: &FlowKey<A>) -> bool {
    // SAFETY: as in `is_live`.
    A::flows().get_ptr(key).is_some_and(|entry| is_of_past_epoch::<A>(unsafe { &*entry }))
}

#[inline(always)]
fn is_of_past_epoch<A: Outside>(entry: &FlowEntry<A>) -> bool {
    UPLINKS.get(u32::from(entry.uplink)).is_none_or(|uplink| A::epoch(uplink) != entry.epoch)
}

/// Traffic in either direction refreshes the session: the pair is asked before one direction is called stale.
#[inline(never)]
fn is_pair_live<A: Outside>(key: &FlowKey<A>, rewrite: &Endpoint<A>, lifetime: u64, moment: &Moment) -> bool {
    match A::flows().get_ptr(key.pair(rewrite)) {
        // SAFETY: as in `is_live`.
        Some(pair) => !has_expired(moment.ticks(), unsafe { (*pair).last_seen }, lifetime),
        None => false,
    }
}

/// The session of a packet from the world whose own direction is missing, though its client's is there: between the two
/// removals of an ending session, the client can have opened it anew. The missing direction is put back.
#[inline(always)]
pub fn heal<A: Outside>(packet: &Packet<A>, moment: &Moment) -> Option<Entry<A>> {
    let entry = put_back(packet, moment);
    if entry.is_null() { None } else { Some(entry) }
}

/// [`heal`] with a null for none: one register, which the verifier follows through the call.
#[inline(never)]
fn put_back<A: Outside>(packet: &Packet<A>, moment: &Moment) -> Entry<A> {
    try_put_back(packet, moment).unwrap_or(core::ptr::null_mut())
}

#[inline(always)]
fn try_put_back<A: Outside>(packet: &Packet<A>, moment: &Moment) -> Option<Entry<A>> {
    let client = A::client_at(packet)?;
    let key = packet.key(Side::Uplink);
    let pair = find(&key.pair(&client), moment)?;
    // SAFETY: as above; the scratch is this CPU's alone until the program ends.
    let (pair, scratch) = unsafe { (&*pair, A::scratch().as_mut()?) };
    if pair.rewrite != Endpoint::new(packet.destination, packet.destination_port) {
        return None;
    }
    let entry = &mut scratch.entry;
    *entry = FlowEntry { rewrite: client, packets: 0, bytes: 0, ..*pair };
    A::flows().insert(key, &*entry, 0).ok()?;
    if A::flows().get_ptr(key.pair(&client)).is_none() {
        // Another CPU has ended the session meanwhile: a direction without its pair would be swept by nobody.
        let _ = A::flows().remove(key);
        return None;
    }
    A::flows().get_ptr_mut(key)
}

/// Keeps the way back up to date: a client can move from one LAN interface to another with its sessions. `interface` is the index of
/// the one that its packet came in by.
#[inline(always)]
pub fn follow_client<A: Outside>(key: &FlowKey<A>, entry: Entry<A>, interface: u32) {
    // SAFETY: `entry` is a live map value of plain words.
    if lans::interface_of(unsafe { (*entry).lan }) != interface {
        move_client(key, entry, interface);
    }
}

#[inline(never)]
fn move_client<A: Outside>(key: &FlowKey<A>, entry: Entry<A>, interface: u32) {
    let lan = uplinks::slot_of(interface);
    // SAFETY: as in `follow_client`.
    unsafe { (&raw mut (*entry).lan).write_volatile(lan) };
    // SAFETY: as in `follow_client`.
    if let Some(pair) = A::flows().get_ptr_mut(key.pair(unsafe { &(*entry).rewrite })) {
        // SAFETY: as in `follow_client`.
        unsafe { (&raw mut (*pair).lan).write_volatile(lan) };
    }
}

/// The slot of the uplink that a client's packet of the session leaves by. What is not translated keeps its address on another
/// uplink, too, and goes where its prefix belongs to when its own uplink is lost.
#[inline(never)]
pub fn uplink<A: Outside>(key: &FlowKey<A>, entry: Entry<A>) -> Result<u8, Reason> {
    // SAFETY: as in `follow_client`.
    let slot = unsafe { (&raw const (*entry).uplink).read_volatile() };
    match uplinks::state_of(slot) {
        UplinkState::Up => return Ok(slot),
        UplinkState::Held => return Err(Reason::UplinkDown),
        UplinkState::Lost | UplinkState::Unused => {}
    }
    let slot = A::successor(&key.source)?;
    // SAFETY: as in `follow_client`.
    unsafe { (&raw mut (*entry).uplink).write_volatile(slot) };
    // SAFETY: as in `follow_client`.
    if let Some(pair) = A::flows().get_ptr_mut(key.pair(unsafe { &(*entry).rewrite })) {
        // SAFETY: as in `follow_client`.
        unsafe { (&raw mut (*pair).uplink).write_volatile(slot) };
    }
    Ok(slot)
}

/// A packet of a session, as it is counted.
#[derive(Clone, Copy)]
pub struct Passage {
    /// The side it arrived on.
    pub side: Side,
    /// The path it takes.
    pub path: Path,
    /// Packets that it stands for: its segments.
    pub packets: u32,
    /// Its IP bytes.
    pub bytes: u32,
}

/// Counts a packet in its direction of the session, and notes that the session lives: the one place where packets of sessions are
/// counted. `now` in [`ticks`](crate::abi::ticks).
#[inline(always)]
pub fn touch<A: Address>(entry: Entry<A>, passage: Passage, now: u32) {
    let Passage { side, path, packets, bytes } = passage;
    // SAFETY: `entry` is a live map value; the counters are shared with other CPUs, hence atomic, the others are words. Two CPUs may have
    // packets of one direction at the same time (RSS of fragments, GRO, a changed IRQ affinity), and a session's counters are told to the
    // packet. The line is in this CPU's cache by then, and is written anyway: the lock costs less than a look-up of counters per CPU.
    unsafe {
        atomic::add(&raw mut (*entry).packets, u64::from(packets));
        atomic::add(&raw mut (*entry).bytes, u64::from(bytes));
        if ticks_since(now, (*entry).last_seen) >= REFRESH {
            (&raw mut (*entry).last_seen).write_volatile(now);
        }
        if (*entry).path != path as u8 {
            (&raw mut (*entry).path).write_volatile(path as u8);
        }
    }
    // SAFETY: as above.
    let place = unsafe { Traffic::place((*entry).lan, (*entry).uplink) };
    if let Some(traffic) = TRAFFIC.get_ptr_mut(place) {
        // SAFETY: this CPU's own value.
        let counter = unsafe { (*traffic).counter(side, path) };
        counter.packets += u64::from(packets);
        counter.bytes += u64::from(bytes);
    }
}

/// Takes the session of a TCP segment a step on.
#[inline(always)]
pub fn step<A: Outside>(key: &FlowKey<A>, entry: Entry<A>, packet: &Packet<A>) {
    if packet.protocol == protocol::TCP {
        step_tcp(key, entry, packet.tcp_flags);
    }
}

#[inline(always)]
fn side_of<A>(key: &FlowKey<A>) -> Side {
    if key.side == Side::Lan as u8 { Side::Lan } else { Side::Uplink }
}

#[inline(never)]
fn step_tcp<A: Outside>(key: &FlowKey<A>, entry: Entry<A>, flags: u8) {
    let side = side_of(key);
    // SAFETY: as in `touch`.
    let (state, rewrite) = unsafe { (TcpState::from_number((*entry).state), (*entry).rewrite) };
    let next = tcp::next(state, side, flags);
    if next == state {
        return;
    }
    // SAFETY: as in `touch`.
    unsafe { (&raw mut (*entry).state).write_volatile(next as u8) };
    if let Some(pair) = A::flows().get_ptr_mut(key.pair(&rewrite)) {
        // SAFETY: as in `touch`.
        unsafe { (&raw mut (*pair).state).write_volatile(next as u8) };
    }
}

/// When the session was opened: which of the sessions that one key can have in the course of time it is.
#[inline(always)]
pub fn opened<A: Outside>(entry: Entry<A>) -> u64 {
    // SAFETY: a live map value, a word.
    unsafe { (&raw const (*entry).opened).read_volatile() }
}

/// Ends a session, given its LAN-side key and entry, and when the session that is to end was `opened`: the kernel may have used the
/// entry again since (kernel: `bpf_mem_alloc`). Only one CPU can put the end of it down, and that one gives back what the session
/// held.
#[inline(never)]
pub fn end<A: Outside>(key: &FlowKey<A>, entry: Entry<A>, opened: u64, moment: &Moment) {
    // SAFETY: as in `is_live`; the scratch is this CPU's alone until the program ends.
    let Some(ended) = (unsafe { A::scratch_in(moment.room).as_mut() }).map(|scratch| &mut scratch.entry) else {
        return;
    };
    // What is needed of the entry is read before it goes.
    // SAFETY: as above.
    *ended = unsafe { *entry };
    // SAFETY: as above. No session was opened at 0.
    if opened == 0 || !unsafe { atomic::exchange(&raw mut (*entry).opened, opened, 0) } {
        return;
    }
    let _ = A::flows().remove(key);
    let _ = A::flows().remove(key.pair(&ended.rewrite));
    if ended.watched == 1 {
        let _ = A::hellos().remove(key);
    }
    if is_of_past_epoch::<A>(ended) {
        uplinks::count_lost_session(ended.uplink);
    }
    A::release(key, &ended.rewrite, ended.epoch, ended.uplink, moment.now);
    client::leave(&key.source, moment.now);
}

/// Looks at the next session in turn that was last looked at `age` nanoseconds ago, and ends it if it is stale. False when there is
/// none.
///
/// Every opening takes two steps, so that the table stays clean with the daemon dead; the daemon takes many.
#[inline(never)]
pub fn sweep<A: Outside>(age: u64, moment: &Moment) -> bool {
    // SAFETY: this CPU's alone until the program ends.
    let Some(item) = (unsafe { A::scratch_in(moment.room).as_mut() }).map(|scratch| &mut scratch.swept) else {
        return false;
    };
    if !next_to_sweep::<A>(item, age, moment.now) {
        return false;
    }
    look_at(item, moment);
    true
}

/// A function of its own for the sake of the stack.
#[inline(never)]
fn look_at<A: Outside>(item: &mut SweepItem<A>, moment: &Moment) {
    let key = item.key();
    let Some(entry) = A::flows().get_ptr_mut(&key) else { return };
    let opened = opened(entry);
    if opened as u32 != item.opened {
        // A later session of that key, which has an item of its own.
        return;
    }
    if is_live(&key, entry, moment) {
        // There was room for it a moment ago, and there is more than sessions need.
        item.requeue(moment.now);
        let _ = A::sweep().push(&*item, 0);
    } else {
        end(&key, entry, opened, moment);
    }
}
