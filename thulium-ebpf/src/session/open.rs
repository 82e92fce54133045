//! Opening a session: only a client does, by a flow of the policy, and TCP only by a SYN.

use aya_ebpf::bindings::BPF_NOEXIST;

use super::{
    YOUNG, client,
    flows::FlowMap as _,
    table::{Entry, end, is_live, is_lost, opened, sweep},
};
use crate::{
    abi::{Endpoint, FlowEntry, Path, Reason, Side, SweepItem, TcpState},
    frame::Hook,
    judge::Admission,
    maps::UPLINKS,
    moment::Moment,
    parse::{Packet, protocol, tcp_flags},
    ports::{EXISTS, Outside, UNUSED, wake_one},
};

/// Opens the session of a client's packet, or counts in the client's share that it is refused. `lan` is the slot of the interface it
/// came in by.
#[inline(always)]
pub fn open<H: Hook, A: Outside>(
    frame: &H,
    packet: &Packet<A>,
    admission: &Admission,
    lan: u8,
    moment: &Moment,
) -> Result<(), Reason> {
    if packet.protocol == protocol::TCP && !packet.is_opening_syn() {
        return Err(stray(packet, moment));
    }
    if !end_stale(packet, moment) {
        // Another CPU has opened it meanwhile: that one serves this packet, too.
        return Ok(());
    }
    let opened = open_new(frame, packet, admission, lan, moment);
    if let Err(reason) = opened {
        client::count_refused(&packet.source, reason);
    }
    opened
}

/// Opens the session of a client's packet, as [`open`] does, but counts nothing. The caller has seen that the packet may open one (of TCP,
/// that it is a SYN), and that its key is not in the table; another CPU may have put it there since.
#[inline(always)]
pub fn open_new<H: Hook, A: Outside>(
    frame: &H,
    packet: &Packet<A>,
    admission: &Admission,
    lan: u8,
    moment: &Moment,
) -> Result<(), Reason> {
    make_room::<A>(moment);
    enter(frame, packet, admission, lan, moment)
}

/// The entry of the session that was opened last, as its client's packets meet it. A function of its own for the sake of the stack.
#[inline(never)]
pub fn newest<A: Outside>() -> Option<Entry<A>> {
    // SAFETY: this CPU's alone until the program ends, and `insert` has filled it.
    let scratch = unsafe { A::scratch().as_ref() }?;
    A::flows().at(&scratch.keys[0], scratch.place)
}

/// Takes what the session needs, and enters it into the table. A function of its own for the sake of the stack: nothing of it is there
/// while others are ended.
#[inline(never)]
fn enter<H: Hook, A: Outside>(
    frame: &H,
    packet: &Packet<A>,
    admission: &Admission,
    lan: u8,
    moment: &Moment,
) -> Result<(), Reason> {
    let uplink = client::join(&packet.source, moment)?;
    expect(packet, uplink);
    // The epoch before all else: user space raises it after it has changed the address or the state, so that no session of the old
    // address has the new epoch, which would keep it for ever.
    let ends = Ends { lan, epoch: UPLINKS.get(u32::from(uplink)).map_or(0, A::epoch), uplink };
    let external = match A::hold(frame, packet, &ends, moment) {
        Ok(external) => external,
        Err(reason) => {
            client::leave(&packet.source, moment.now);
            return Err(reason);
        }
    };
    let is_drafted = draft(packet, &external, admission, &ends, moment);
    let inserted = if is_drafted { insert(&external, moment.now) } else { Inserted::Full };
    if matches!(inserted, Inserted::Half | Inserted::Ended) {
        remove_drafted::<A>(inserted as u32);
    }
    if !matches!(inserted, Inserted::Both | Inserted::Ended) {
        A::release(&packet.key(Side::Lan), &external, ends.epoch, uplink, UNUSED);
        client::leave(&packet.source, moment.now);
    }
    match inserted {
        // The winner's session serves this packet, too.
        Inserted::Both | Inserted::Ended | Inserted::ByAnother => Ok(()),
        Inserted::Half | Inserted::Full => Err(Reason::SessionsFull),
    }
}

/// Says which direction from the world is soon to be added, if the client keeps its port, as most do. A function of its own for the sake
/// of the stack.
#[inline(never)]
fn expect<A: Outside>(packet: &Packet<A>, uplink: u8) {
    if let Some(uplink) = UPLINKS.get(u32::from(uplink)) {
        let external = A::usual(uplink, packet);
        A::flows().expect(packet.key(Side::Lan).pair(&external));
    }
}

/// Why a TCP segment that opens nothing is refused. A function of its own for the sake of the stack.
#[inline(never)]
fn stray<A: Outside>(packet: &Packet<A>, moment: &Moment) -> Reason {
    if packet.tcp_flags & tcp_flags::RST != 0 {
        return Reason::TcpRstNoSession;
    }
    if is_lost(&packet.key(Side::Lan)) || client::has_lost_uplink(&packet.source, moment) {
        return Reason::UplinkLost;
    }
    Reason::TcpNotSyn
}

/// Where a session begins and ends in the gateway.
pub struct Ends {
    /// Slot of the LAN interface that the client is at.
    pub lan: u8,
    /// Epoch of the uplink.
    pub epoch: u16,
    /// Slot of the uplink that it takes.
    pub uplink: u8,
}

/// What became of a session's entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inserted {
    /// Both are there.
    Both,
    /// Both were there, and another CPU has ended the session meanwhile and given back what it held: the pair may be left.
    Ended,
    /// Another CPU opened the same session first.
    ByAnother,
    /// There is room for one direction only, and that is there.
    Half,
    /// There is no room; nothing is there.
    Full,
}

/// Looks at two sessions that may be stale, and at two resting ports: since this adds one of each, where there is more to do than that,
/// it becomes less.
#[inline(never)]
fn make_room<A: Outside>(moment: &Moment) {
    let _ = sweep::<A>(YOUNG, moment) && sweep::<A>(YOUNG, moment);
    let _ = wake_one(moment.now) && wake_one(moment.now);
}

/// Ends a stale session that has the packet's key. False if there is a live one. A function of its own for the sake of the
/// stack: the key is not on it while others are ended.
#[inline(never)]
fn end_stale<A: Outside>(packet: &Packet<A>, moment: &Moment) -> bool {
    let key = packet.key(Side::Lan);
    if let Some(entry) = A::flows().get_ptr_mut(key) {
        let opened = opened(entry);
        if is_live(&key, entry, moment) {
            return false;
        }
        end(&key, entry, opened, moment);
    }
    true
}

/// Writes the keys of a session that is to be opened, and the entry of its client's direction, into this CPU's scratch. False if the uplink's address is another by
/// now. A function of its own for the sake of the stack.
#[inline(never)]
fn draft<A: Outside>(
    packet: &Packet<A>,
    external: &Endpoint<A>,
    admission: &Admission,
    ends: &Ends,
    moment: &Moment,
) -> bool {
    let Some(uplink) = UPLINKS.get(u32::from(ends.uplink)) else { return false };
    if !A::is_current(uplink, external) {
        return false;
    }
    // SAFETY: this CPU's alone until the program ends.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return false };
    let key = packet.key(Side::Lan);
    scratch.keys = [key, key.pair(external)];
    scratch.entry = FlowEntry {
        rewrite: *external,
        lan: ends.lan,
        generation: moment.generation,
        last_seen: moment.ticks(),
        opened: moment.now,
        packets: 0,
        bytes: 0,
        hosts: admission.hosts,
        epoch: ends.epoch,
        flow: admission.flow,
        uplink: ends.uplink,
        state: if packet.protocol == protocol::TCP { TcpState::SynSent } else { TcpState::None } as u8,
        watched: 0,
        path: Path::Kernel as u8,
        fill: A::Pad::default(),
    };
    true
}

/// Fills in both directions, as drafted. Inserting the client's direction with NOEXIST decides which CPU opens the session. All that it works
/// on is in the scratch: what it calls needs the stack.
#[inline(never)]
fn insert<A: Outside>(external: &Endpoint<A>, now: u64) -> Inserted {
    // SAFETY: this CPU's alone until the program ends, and `draft` has filled it.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return Inserted::Full };
    scratch.place = 0;
    match A::flows().insert(&scratch.keys[0], &scratch.entry, u64::from(BPF_NOEXIST)) {
        Ok(place) => scratch.place = place,
        Err(EXISTS) => return Inserted::ByAnother,
        Err(_) => return Inserted::Full,
    }
    scratch.entry.rewrite = Endpoint::new(scratch.keys[0].source, scratch.keys[0].source_port);
    // The port is this client's, so whatever stands here is a remnant of its own.
    if A::flows().insert(&scratch.keys[1], &scratch.entry, 0).is_ok() {
        scratch.swept = SweepItem::new(&scratch.keys[0], now, now);
        if A::sweep().push(&scratch.swept, 0).is_ok() {
            // SAFETY: a live map value of plain words.
            let is_there = |present: Entry<A>| unsafe { (*present).rewrite == *external };
            // Or another CPU has ended the session before its pair was there, and given back what it held.
            let is_whole = A::flows().at(&scratch.keys[0], scratch.place).is_some_and(is_there);
            return if is_whole { Inserted::Both } else { Inserted::Ended };
        }
    }
    Inserted::Half
}

/// Removes what is left of a session that was not inserted whole. A function of its own for the sake of the stack.
#[inline(never)]
fn remove_drafted<A: Outside>(inserted: u32) {
    // SAFETY: as in `insert`.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return };
    let _ = A::flows().remove(&scratch.keys[1]);
    if inserted == Inserted::Half as u32 {
        let _ = A::flows().remove(&scratch.keys[0]);
    }
}
