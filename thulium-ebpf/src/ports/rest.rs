//! Ports that were freed rest before another endpoint may have them (RFC 6888 REQ-8).
//!
//! Such a port keeps its entry, without sessions and with the moment at which it was freed ([`PortOwner::freed`]). That moment
//! is a lock, too: of several CPUs that would give the port to its client again or remove it, the one does that changes
//! it to 0. [`RESTING`] has these ports in the order of their freeing, so that they go without a search and without a daemon.

use super::has_rested;
use crate::{
    abi::{Address4, Endpoint, PortKey, PortOwner, RestingPort},
    atomic,
    maps::{PORTS, RESTING},
    session::client,
};

/// Lets a port rest whose last session has ended at `now`. Nobody else changes its entry: it has neither sessions nor a moment
/// of freeing.
#[inline(always)]
pub(super) fn lay_down(key: &PortKey<Address4>, owner: *mut PortOwner<Address4>, now: u64) {
    // The clock is never 0.
    // SAFETY: a live map value.
    unsafe { (&raw mut (*owner).freed).write_volatile(now) };
    if RESTING.push(RestingPort { freed: now, key: *key }, 0).is_err() && seize(owner, now) {
        remove(key, owner);
    }
}

/// Removes a port that nobody else can change, and gives it back to its client's share.
#[inline(always)]
pub(super) fn remove(key: &PortKey<Address4>, owner: *const PortOwner<Address4>) {
    // SAFETY: a live map value of plain words.
    let client = unsafe { (*owner).client.address };
    let _ = PORTS.remove(key);
    client::take_port(&client);
}

/// Gives a resting port to its client endpoint again, held for one session. False if it does not rest, or is another's.
#[inline(always)]
pub(super) fn take_back(key: &PortKey<Address4>, client: &Endpoint<Address4>) -> bool {
    let Some(owner) = PORTS.get_ptr_mut(key) else { return false };
    // SAFETY: a live map value of plain words.
    let (own, freed) = unsafe { ((*owner).client == *client, (&raw const (*owner).freed).read_volatile()) };
    if !own || !seize(owner, freed) {
        return false;
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*owner).sessions).write_volatile(1) };
    true
}

/// Removes a port that has rested. False if it has not, or is in use.
#[inline(always)]
pub(super) fn remove_if_rested(key: &PortKey<Address4>, now: u64) -> bool {
    let Some(owner) = PORTS.get_ptr_mut(key) else { return false };
    // SAFETY: a live map value of plain words.
    let freed = unsafe { (&raw const (*owner).freed).read_volatile() };
    let is_ours = has_rested(freed, now) && seize(owner, freed);
    if is_ours {
        remove(key, owner);
    }
    is_ours
}

/// True if a port is in use, or rests. One that has rested is as good as removed.
#[inline(always)]
pub(super) fn is_taken(key: &PortKey<Address4>, now: u64) -> bool {
    // SAFETY: a live map value of plain words.
    PORTS.get_ptr(key).is_some_and(|owner| match unsafe { (&raw const (*owner).freed).read_volatile() } {
        0 => true,
        freed => !has_rested(freed, now),
    })
}

/// Removes the port that was freed first, if it has rested. False if there is none to remove by now.
#[inline(never)]
pub fn wake_one(now: u64) -> bool {
    match RESTING.peek() {
        Ok(Some(first)) if has_rested(first.freed, now) => {}
        _ => return false,
    }
    let Ok(Some(first)) = RESTING.pop() else { return false };
    if !has_rested(first.freed, now) {
        // Another CPU was faster, and this is the next one. It will be found later than its time, which hurts nobody.
        let _ = RESTING.push(first, 0);
        return false;
    }
    if let Some(owner) = PORTS.get_ptr_mut(first.key)
        && seize(owner, first.freed)
    {
        remove(&first.key, owner);
    }
    true
}

/// Wins the right to remove a resting port or give it to its client. `freed` is the moment that was found in its entry.
#[inline(always)]
fn seize(owner: *mut PortOwner<Address4>, freed: u64) -> bool {
    // SAFETY: a live map value.
    freed != 0 && unsafe { atomic::exchange(&raw mut (*owner).freed, freed, 0) }
}
