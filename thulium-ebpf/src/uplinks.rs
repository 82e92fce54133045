//! The uplinks, as the daemon describes them: which is which, what they can do at present, what was lost with them.

use aya_ebpf::btf_maps::lpm_trie::Key;

use crate::{
    abi::{Address as _, Address4, Address6, CHOICES, NO_SLOT, RemotePrefix, UPLINK_SLOTS, UplinkState},
    maps::{CHOICES as CHOSEN, HOMES, INTERFACES, UPLINK_LOSSES, UPLINKS},
};

/// The slot of an interface, among the uplinks or among those of the LAN, whichever it is one of.
///
/// A function of its own for the sake of the stack.
#[inline(never)]
pub fn slot_of(interface: u32) -> u8 {
    // SAFETY: a live map value of plain words.
    INTERFACES.get_ptr(interface).map_or(NO_SLOT, |entry| unsafe { (*entry).slot } as u8)
}

/// What the uplink of a slot can do at present.
#[inline(always)]
pub fn state_of(slot: u8) -> UplinkState {
    UPLINKS.get(u32::from(slot)).map_or(UplinkState::Unused, |uplink| UplinkState::from_number(uplink.state))
}

/// Index of the interface of an uplink; 0: it has none.
#[inline(always)]
pub fn interface_of(slot: u8) -> u32 {
    UPLINKS.get(u32::from(slot)).map_or(0, |uplink| uplink.interface)
}

/// The uplink that a client takes which is pinned to none, and whether it takes it in place of another; [`NO_SLOT`]: there is none for
/// it at present.
#[inline(always)]
pub fn choice(client: Address4) -> (u8, bool) {
    let place = client.spread(CHOICES);
    CHOSEN.get(0).map_or((NO_SLOT, false), |choices| (choices.slots[place], choices.substitutes >> place & 1 == 1))
}

/// The uplink that the prefix of an IPv6 client belongs to; [`NO_SLOT`]: none.
#[inline(always)]
pub fn home(client: &Address6) -> u8 {
    let key = Key::new(32 + Address6::BITS, RemotePrefix::new(*client));
    HOMES.get(&key).map_or(NO_SLOT, |slot| *slot as u8)
}

/// True if sessions of any uplink are translated to this address.
#[inline(never)]
pub fn is_external(address: Address4) -> bool {
    (0..UPLINK_SLOTS as u32)
        .any(|slot| UPLINKS.get(slot).is_some_and(|uplink| uplink.translates == 1 && uplink.address == address))
}

/// Counts a session that ended because the uplink of this slot, or its address, was lost.
#[inline(always)]
pub fn count_lost_session(slot: u8) {
    if let Some(losses) = UPLINK_LOSSES.get_ptr_mut(u32::from(slot)) {
        // SAFETY: this CPU's own value.
        unsafe { (*losses).lost_sessions += 1 };
    }
}

/// Counts a client that moved away from the uplink of this slot.
#[inline(always)]
pub fn count_moved_client(slot: u8) {
    if let Some(losses) = UPLINK_LOSSES.get_ptr_mut(u32::from(slot)) {
        // SAFETY: this CPU's own value.
        unsafe { (*losses).moved_clients += 1 };
    }
}
