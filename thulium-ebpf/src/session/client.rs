//! A client's share of the gateway: sessions, new sessions a second, mapped ports (RFC 6888 REQ-4). One client that takes all of
//! its share leaves the others theirs.

use aya_ebpf::bindings::BPF_NOEXIST;

use super::admit_rate;
use crate::{
    abi::{Client, ClientKey, Reason},
    atomic,
    maps::Tables,
    moment::Moment,
};

/// Takes a session out of the client's share and rate. `uplink` is the one that a new client is pinned to.
#[inline(never)]
pub fn join<A: Tables>(address: &A, uplink: u8, moment: &Moment) -> Result<(), Reason> {
    let key = ClientKey { address: *address };
    let client = match A::clients().get_ptr_mut(key) {
        Some(client) => client,
        None => {
            let new = Client { since: moment.now, uplink: u32::from(uplink), ..Client::default() };
            // Another CPU may be faster; its entry is as good.
            let _ = A::clients().insert(key, new, u64::from(BPF_NOEXIST));
            A::clients().get_ptr_mut(key).ok_or(Reason::SessionsFull)?
        }
    };
    // SAFETY: a live map value; its counters are shared, hence atomic, the others are words.
    unsafe {
        if (*client).sessions >= moment.settings.per_client {
            atomic::add(&raw mut (*client).refused_sessions, 1);
            return Err(Reason::ClientSessions);
        }
        let Some(spent) = admit_rate(&*client, moment.now, moment.settings.session_cost) else {
            atomic::add(&raw mut (*client).refused_rate, 1);
            return Err(Reason::ClientRate);
        };
        (*client).spent_until = spent;
        atomic::add(&raw mut (*client).sessions, 1);
    }
    Ok(())
}

/// Gives a session back to the client's share.
#[inline(never)]
pub fn leave<A: Tables>(address: &A) {
    let Some(client) = A::clients().get_ptr_mut(ClientKey { address: *address }) else { return };
    // An entry that was made while an older one went knows nothing of what the older one had counted.
    // SAFETY: `client` is a live map value.
    unsafe { atomic::take_one_unless_none(&raw mut (*client).sessions) };
    forget_if_idle(address, client);
}

/// Nothing is known any more of a client without sessions and ports.
#[inline(always)]
fn forget_if_idle<A: Tables>(address: &A, client: *const Client) {
    // SAFETY: `client` is a live map value of plain words. Of two CPUs that take the last session and the last port, the later one
    // sees both gone.
    let (sessions, ports) =
        unsafe { ((&raw const (*client).sessions).read_volatile(), (&raw const (*client).ports).read_volatile()) };
    if sessions == 0 && ports == 0 {
        let _ = A::clients().remove(ClientKey { address: *address });
    }
}

/// False if a client holds as many ports as it may.
#[inline(always)]
pub fn may_map<A: Tables>(address: &A, moment: &Moment) -> bool {
    let Some(client) = A::clients().get_ptr_mut(ClientKey { address: *address }) else { return true };
    // SAFETY: as in `join`.
    unsafe {
        if (*client).ports < moment.settings.ports_per_client {
            return true;
        }
        atomic::add(&raw mut (*client).refused_ports, 1);
    }
    false
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
    forget_if_idle(address, client);
}
