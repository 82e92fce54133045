//! A client's share of the gateway: sessions, new sessions a second, mapped ports (RFC 6888 REQ-4). One client that takes all of
//! its share leaves the others theirs. And its uplink, which it keeps (T10).

use aya_ebpf::bindings::BPF_NOEXIST;

use super::{admit_rate, pin};
use crate::{
    abi::{Address4, Client, ClientKey, NO_SLOT, PinCause, Reason, UplinkState},
    atomic,
    maps::Tables,
    moment::Moment,
    ports::Outside,
    uplinks,
};

/// Takes a session out of the client's share and rate. Returns the slot of the uplink that it is to take.
#[inline(never)]
pub fn join<A: Outside>(address: &A, moment: &Moment) -> Result<u8, Reason> {
    let key = ClientKey { address: *address };
    let client = match A::clients().get_ptr_mut(key) {
        Some(client) => client,
        None => {
            let new = Client { since: moment.now, uplink: u32::from(NO_SLOT), ..Client::default() };
            // Another CPU may be faster; its entry is as good.
            let _ = A::clients().insert(key, new, u64::from(BPF_NOEXIST));
            A::clients().get_ptr_mut(key).ok_or(Reason::SessionsFull)?
        }
    };
    // SAFETY: a live map value; its counters are shared, hence atomic, the others are words.
    unsafe {
        if (*client).sessions >= moment.settings.per_client {
            return Err(Reason::ClientSessions);
        }
        let Some(spent) = admit_rate(&*client, moment.now, moment.settings.session_cost) else {
            return Err(Reason::ClientRate);
        };
        let slot = match A::pin(address, client, moment) {
            Ok(slot) => slot,
            Err(reason) => {
                forget(address, client);
                return Err(reason);
            }
        };
        if (*client).sessions == 0 && (*client).ports == 0 {
            (*client).since = moment.now;
        }
        (*client).spent_until = spent;
        atomic::add(&raw mut (*client).sessions, 1);
        Ok(slot)
    }
}

/// The uplink of a client whose address is translated: it stays where it is pinned to, or is pinned anew.
#[inline(always)]
pub fn pin(address: &Address4, client: *mut Client, moment: &Moment) -> Result<u8, Reason> {
    // SAFETY: a live map value of plain words. Two CPUs that pin a client at the same moment come to the same.
    let known = unsafe { &*client };
    let slot = known.uplink as u8;
    let (choice, is_substitute) = uplinks::choice(*address);
    let state = uplinks::state_of(slot);
    let renewal = pin::renewal(known, state, choice, moment.now, moment.settings.release_after_idle);
    let Some(mut cause) = renewal else {
        return if matches!(state, UplinkState::Held) { Err(Reason::UplinkDown) } else { Ok(slot) };
    };
    if choice == NO_SLOT {
        return Err(Reason::UplinkDown);
    }
    if matches!(cause, PinCause::Moved) {
        if slot != choice {
            uplinks::count_moved_client(slot);
        }
    } else if is_substitute {
        cause = PinCause::Substitute;
    }
    // SAFETY: as above.
    unsafe {
        (&raw mut (*client).uplink).write_volatile(u32::from(choice));
        (&raw mut (*client).cause).write_volatile(cause as u32);
        (&raw mut (*client).pinned).write_volatile(moment.now);
    }
    Ok(choice)
}

/// Gives a session back to the client's share at `now` (`CLOCK_MONOTONIC`, nanoseconds).
#[inline(never)]
pub fn leave<A: Outside>(address: &A, now: u64) {
    let Some(client) = A::clients().get_ptr_mut(ClientKey { address: *address }) else { return };
    // An entry that was made while an older one went knows nothing of what the older one had counted.
    // SAFETY: `client` is a live map value.
    unsafe {
        (&raw mut (*client).idle).write_volatile(now);
        atomic::take_one_unless_none(&raw mut (*client).sessions);
    }
    forget(address, client);
}

/// Forgets a client without sessions, unless it is pinned: who has its uplink from its prefix would only fill the table up with
/// addresses of one day.
#[inline(always)]
fn forget<A: Outside>(address: &A, client: *const Client) {
    // SAFETY: `client` is a live map value, a word.
    if !A::IS_PINNED && unsafe { (&raw const (*client).sessions).read_volatile() } == 0 {
        let _ = A::clients().remove(ClientKey { address: *address });
    }
}

/// True if a client's sessions have lately ended with the uplink that they went by: it is lost, or the client had to move away from one.
#[inline(never)]
pub fn has_lost_uplink<A: Outside>(address: &A, moment: &Moment) -> bool {
    let Some(client) = A::clients().get_ptr(ClientKey { address: *address }) else { return false };
    // SAFETY: a live map value of plain words.
    let (slot, cause, pinned) = unsafe { ((*client).uplink as u8, (*client).cause, (*client).pinned) };
    let was_moved = cause == PinCause::Moved as u32 && moment.now.saturating_sub(pinned) < moment.settings.tcp_idle;
    was_moved || matches!(uplinks::state_of(slot), UplinkState::Lost | UplinkState::Unused)
}

/// False if a client holds as many ports as it may.
#[inline(always)]
pub fn may_map<A: Tables>(address: &A, moment: &Moment) -> bool {
    let Some(client) = A::clients().get_ptr(ClientKey { address: *address }) else { return true };
    // SAFETY: a live map value, a word.
    unsafe { (*client).ports < moment.settings.ports_per_client }
}

/// Counts a packet that was refused because of its client's share, if this reason is one of these.
#[inline(never)]
pub fn count_refused<A: Tables>(address: &A, reason: Reason) {
    let Some(client) = A::clients().get_ptr_mut(ClientKey { address: *address }) else { return };
    // SAFETY: as in `join`.
    unsafe {
        let counter = match reason {
            Reason::ClientSessions => &raw mut (*client).refused_sessions,
            Reason::ClientRate => &raw mut (*client).refused_rate,
            Reason::ClientPorts => &raw mut (*client).refused_ports,
            _ => return,
        };
        atomic::add(counter, 1);
    }
}

/// Takes a port out of the client's share. It stays out until it has rested: otherwise one client could let all ports rest.
#[inline(always)]
pub fn add_port<A: Tables>(address: &A) {
    if let Some(client) = A::clients().get_ptr_mut(ClientKey { address: *address }) {
        // SAFETY: as in `join`.
        unsafe { atomic::add(&raw mut (*client).ports, 1) };
    }
}

/// Gives a port back to the client's share.
#[inline(always)]
pub fn take_port<A: Tables>(address: &A) {
    let Some(client) = A::clients().get_ptr_mut(ClientKey { address: *address }) else { return };
    // SAFETY: as in `leave`.
    unsafe { atomic::take_one_unless_none(&raw mut (*client).ports) };
}
