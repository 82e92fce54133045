//! Claiming an external port for a client, and giving it back.

use aya_ebpf::{
    bindings::{
        BPF_F_CURRENT_NETNS, BPF_NOEXIST, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
    },
    cty::{c_long, c_void},
    helpers::generated::{bpf_get_prandom_u32, bpf_loop, bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release},
};

use super::{
    PROBES, candidate, may_keep,
    rest::{lay_down, remove, remove_if_rested, take_back},
};
use crate::{
    abi::{Address4, Endpoint, Port, PortKey, PortOwner, Reason, Uplink},
    atomic,
    frame::Hook,
    maps::PORTS,
    moment::Moment,
    parse::{Packet, protocol},
    session::client,
};

/// `EEXIST`, as the map helpers return it.
pub const EXISTS: i32 = -17;

/// The outcome of one try to claim a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It is the client's.
    Won,
    /// It is somebody else's, or rests.
    Taken,
    /// There is no room for another port.
    Full,
}

/// Claims an external port: the client's own if it may be kept and is free or rests since the client had it, else one of the
/// range.
#[inline(always)]
pub(super) fn claim<H: Hook>(
    frame: &H,
    packet: &Packet<Address4>,
    uplink: &Uplink,
    moment: &Moment,
) -> Result<Endpoint<Address4>, Reason> {
    let mut search =
        Search { frame, packet, moment, address: uplink.address, port: packet.source_port, claim: Claim::Taken };
    if may_keep(search.port, moment.settings) && take_own_back(&search) {
        return Ok(search.external());
    }
    if !client::may_map(&packet.source, moment) {
        return Err(Reason::ClientPorts);
    }
    // The verifier looks at a probe once, not at each of them.
    // SAFETY: `search` lives through the call.
    unsafe { bpf_loop(PROBES, probe::<H> as *mut c_void, (&raw mut search).cast(), 0) };
    match search.claim {
        Claim::Won => Ok(search.external()),
        Claim::Taken => Err(Reason::PortsExhausted),
        Claim::Full => Err(Reason::SessionsFull),
    }
}

/// The search for a port for a packet's client.
struct Search<'a, H> {
    frame: &'a H,
    packet: &'a Packet<Address4>,
    moment: &'a Moment,
    /// The external address.
    address: Address4,
    /// The port that is tried.
    port: Port,
    /// What became of it.
    claim: Claim,
}

impl<H> Search<'_, H> {
    fn key(&self) -> PortKey<Address4> {
        PortKey { address: self.address, port: self.port, protocol: self.packet.protocol, pad: 0 }
    }

    const fn external(&self) -> Endpoint<Address4> {
        Endpoint::new(self.address, self.port)
    }

    fn client(&self) -> Endpoint<Address4> {
        Endpoint::new(self.packet.source, self.packet.source_port)
    }
}

/// A step of `bpf_loop` (kernel: `long (*callback_fn)(u32 index, void *ctx)`): 0 to go on, 1 to end.
#[inline(never)]
unsafe extern "C" fn probe<H: Hook>(attempt: u32, search: *mut Search<'_, H>) -> c_long {
    // SAFETY: what `claim` handed over.
    let search = unsafe { &mut *search };
    let (own, settings) = (search.packet.source_port, search.moment.settings);
    if attempt > 0 {
        // SAFETY: no arguments, no failure.
        search.port = candidate(own, unsafe { bpf_get_prandom_u32() }, settings);
    } else if !may_keep(own, settings) {
        return 0;
    }
    search.claim = claim_port(search);
    if search.claim == Claim::Won {
        // Asked after the claim: for an instant a port of the host may be claimed, but it is never used.
        if host_owns_port(search) {
            let _ = PORTS.remove(search.key());
            search.claim = Claim::Taken;
        } else {
            client::add_port(&search.packet.source);
        }
    }
    c_long::from(search.claim != Claim::Taken)
}

/// Gives a client its own port again that rests. It counts in the client's share still.
#[inline(never)]
fn take_own_back<H: Hook>(search: &Search<'_, H>) -> bool {
    let key = search.key();
    if !take_back(&key, &search.client()) {
        return false;
    }
    if !host_owns_port(search) {
        return true;
    }
    if let Some(owner) = take_last(&key) {
        lay_down(&key, owner, search.moment.now);
    }
    false
}

/// Enters the claim of a port.
#[inline(never)]
fn claim_port<H: Hook>(search: &Search<'_, H>) -> Claim {
    let key = search.key();
    let owner = PortOwner { client: search.client(), sessions: 1, freed: 0 };
    let inserted = match PORTS.insert(key, owner, u64::from(BPF_NOEXIST)) {
        Err(EXISTS) if remove_if_rested(&key, search.moment.now) => PORTS.insert(key, owner, u64::from(BPF_NOEXIST)),
        other => other,
    };
    match inserted {
        Ok(()) => Claim::Won,
        Err(EXISTS) => Claim::Taken,
        Err(_) => Claim::Full,
    }
}

/// True if a socket of the gateway itself receives what the packet's destination sends to this port. A function of its own
/// for the sake of the stack.
#[inline(never)]
fn host_owns_port<H: Hook>(search: &Search<'_, H>) -> bool {
    let remote = Endpoint::new(search.packet.destination, search.packet.destination_port);
    host_owns(search.frame, search.packet.protocol, remote, Endpoint::new(search.address, search.port))
}

/// True if a socket of the gateway itself receives what `remote` sends to `local`.
#[inline(always)]
pub(super) fn host_owns<H: Hook>(
    frame: &H,
    protocol: u8,
    remote: Endpoint<Address4>,
    local: Endpoint<Address4>,
) -> bool {
    if !matches!(protocol, protocol::TCP | protocol::UDP) {
        // Sockets that ping cannot be asked for; the identifiers they use are the host's ephemeral ports, or random.
        return false;
    }
    let mut tuple = bpf_sock_tuple {
        __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 {
            ipv4: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: remote.address.be32(),
                daddr: local.address.be32(),
                sport: remote.port.be16(),
                dport: local.port.be16(),
            },
        },
    };
    let size = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>() as u32;
    let netns = BPF_F_CURRENT_NETNS as i64 as u64;
    // SAFETY: the tuple lives through the call, and every socket that is found is released.
    unsafe {
        let socket = if protocol == protocol::TCP {
            bpf_sk_lookup_tcp(frame.context(), &raw mut tuple, size, netns, 0)
        } else {
            bpf_sk_lookup_udp(frame.context(), &raw mut tuple, size, netns, 0)
        };
        if socket.is_null() {
            return false;
        }
        bpf_sk_release(socket.cast());
    }
    true
}

/// Gives back a claim that no session has used.
#[inline(always)]
pub(super) fn discard(external: &Endpoint<Address4>, protocol: u8) {
    let key = PortKey { address: external.address, port: external.port, protocol, pad: 0 };
    if let Some(owner) = take_last(&key) {
        remove(&key, owner);
    }
}

/// Takes one session off an external endpoint. If that was the last one, the entry is the caller's to remove or to lay down.
#[inline(always)]
pub(super) fn take_last(key: &PortKey<Address4>) -> Option<*mut PortOwner<Address4>> {
    let owner = PORTS.get_ptr_mut(key)?;
    // SAFETY: a live map value.
    let before = unsafe { atomic::take_one(&raw mut (*owner).sessions) };
    if before == 1 { Some(owner) } else { None }
}
