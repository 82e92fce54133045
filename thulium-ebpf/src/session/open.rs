//! Opening a session: only a client does, by a flow of the policy, and TCP only by a SYN.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::bindings::BPF_NOEXIST;

use super::{
    admit_rate,
    table::{end, leave_client, sweep},
};
use crate::{
    abi::{Address4, Client, ClientKey, Endpoint, FlowEntry, FlowKey, Reason, Side, TcpState},
    judge::Admission,
    maps::{CLIENTS, FLOWS, SWEEP, UPLINKS},
    parse::{Packet, protocol},
    pipeline::{Hook, Moment},
    ports,
};

/// The uplink of new sessions. There is one.
const UPLINK: u8 = 0;

/// Opens the session of a client's packet. `lan` is the interface it came in by.
#[inline(never)]
pub fn open<H: Hook>(
    frame: &H,
    packet: &Packet<Address4>,
    admission: &Admission,
    lan: u32,
    moment: &Moment,
) -> Result<(), Reason> {
    if packet.protocol == protocol::TCP && !packet.is_opening_syn() {
        return Err(Reason::TcpNotSyn);
    }
    let uplink = UPLINKS.get(u32::from(UPLINK)).ok_or(Reason::NoUplinkAddress)?;
    if uplink.interface == 0 || uplink.address.is_unspecified() {
        return Err(Reason::NoUplinkAddress);
    }
    let key = packet.key(Side::Lan);
    if let Some(stale) = FLOWS.get_ptr(key) {
        // SAFETY: a live map value of plain words. The caller found no live session here.
        let stale = unsafe { *stale };
        end(&key, &stale);
    }
    sweep(moment);
    sweep(moment);

    join_client(packet.source, moment)?;
    let external = match ports::hold_mapping(frame, packet, UPLINK, moment) {
        Ok(external) => external,
        Err(reason) => {
            leave_client(ClientKey { address: packet.source });
            return Err(reason);
        }
    };
    let outbound = FlowEntry {
        rewrite: external,
        interface: uplink.interface,
        generation: moment.generation,
        last_seen: moment.now,
        opened: moment.now,
        packets: 0,
        bytes: 0,
        hosts: admission.hosts,
        epoch: uplink.epoch,
        flow: admission.flow,
        uplink: UPLINK,
        state: if packet.protocol == protocol::TCP { TcpState::SynSent } else { TcpState::None } as u8,
        pad: 0,
    };
    insert(&key, outbound, lan).inspect_err(|_| {
        // Make room for the client's next try.
        for _ in 0..8 {
            sweep(moment);
        }
    })
}

/// Fills in both directions. Inserting the client's direction with NOEXIST decides which CPU opens the session.
#[inline(never)]
fn insert(key: &FlowKey<Address4>, outbound: FlowEntry<Address4>, lan: u32) -> Result<(), Reason> {
    if let Err(error) = FLOWS.insert(key, outbound, u64::from(BPF_NOEXIST)) {
        ports::release(key, &outbound);
        leave_client(ClientKey { address: key.source });
        // The winner's session serves this packet, too.
        return if error == -17 { Ok(()) } else { Err(Reason::SessionsFull) };
    }
    let inbound = FlowEntry { rewrite: Endpoint::new(key.source, key.source_port), interface: lan, ..outbound };
    // The port is this client's, so whatever stands here is a remnant of its own.
    if FLOWS.insert(key.pair(&outbound.rewrite), inbound, 0).is_err() || SWEEP.push(key, 0).is_err() {
        end(key, &outbound);
        return Err(Reason::SessionsFull);
    }
    Ok(())
}

/// Takes a session out of the client's share and rate.
#[inline(never)]
fn join_client(address: Address4, moment: &Moment) -> Result<(), Reason> {
    let key = ClientKey { address };
    let client = match CLIENTS.get_ptr_mut(key) {
        Some(client) => client,
        None => {
            let new = Client { since: moment.now, uplink: u32::from(UPLINK), ..Client::default() };
            // Another CPU may be faster; its entry is as good.
            let _ = CLIENTS.insert(key, new, u64::from(BPF_NOEXIST));
            CLIENTS.get_ptr_mut(key).ok_or(Reason::SessionsFull)?
        }
    };
    // SAFETY: a live map value; its counter is shared, hence atomic, the others are words.
    unsafe {
        if (*client).sessions >= moment.settings.per_client {
            return Err(Reason::ClientSessions);
        }
        (*client).spent_until =
            admit_rate(&*client, moment.now, moment.settings.session_cost).ok_or(Reason::ClientRate)?;
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*client).sessions, 1);
    }
    Ok(())
}
