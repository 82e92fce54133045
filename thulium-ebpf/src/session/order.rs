//! What user space has done to clients and their sessions (see [`crate::abi::Unpin`] and its neighbours).

use super::{
    flows::FlowMap as _,
    table::{end, opened},
};
use crate::{
    abi::{Address4, Client, EndSession, Forget, NO_SLOT, OrderOutcome, Unpin},
    maps::Tables,
    moment::Moment,
};

/// Pins a client to no uplink.
#[inline(always)]
pub fn unpin(order: &Unpin) -> OrderOutcome {
    let Some(client) = Address4::clients().get_ptr_mut(order.client) else { return OrderOutcome::Absent };
    // SAFETY: a live map value; each of its fields is a word.
    unsafe {
        if (&raw const (*client).sessions).read_volatile() > 0 && order.even_in_use == 0 {
            return OrderOutcome::InUse;
        }
        (&raw mut (*client).uplink).write_volatile(u32::from(NO_SLOT));
    }
    OrderOutcome::Done
}

/// Removes a client that has neither sessions nor ports, and has had none since it was looked at.
///
/// A session that another CPU opens between the look and the removal is not in its share. Nothing else is lost: where the pin had come
/// to its end, that session took the uplink which the client takes anew.
#[inline(always)]
pub fn forget(order: &Forget) -> OrderOutcome {
    let Some(client) = Address4::clients().get_ptr_mut(order.client) else { return OrderOutcome::Absent };
    if !is_unchanged(client, order.idle) {
        return OrderOutcome::InUse;
    }
    match Address4::clients().remove(order.client) {
        Ok(()) => OrderOutcome::Done,
        Err(_) => OrderOutcome::Absent,
    }
}

#[inline(always)]
fn is_unchanged(client: *const Client, idle: u64) -> bool {
    // SAFETY: as in `unpin`.
    unsafe {
        (&raw const (*client).sessions).read_volatile() == 0
            && (&raw const (*client).ports).read_volatile() == 0
            && (&raw const (*client).idle).read_volatile() == idle
    }
}

/// Ends a session, live or not, and gives back what it held.
#[inline(always)]
pub fn end_session(order: &EndSession, moment: &Moment) -> OrderOutcome {
    let Some(entry) = Address4::flows().get_ptr_mut(order.key) else { return OrderOutcome::Absent };
    if opened(entry) != order.opened {
        // A later session of that key.
        return OrderOutcome::Absent;
    }
    end(&order.key, entry, order.opened, moment);
    OrderOutcome::Done
}
