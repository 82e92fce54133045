//! The short way in XDP.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_redirect, programs::XdpContext};

use super::{Finished, Next, Ordinary, Span, hop, now, steady};
use crate::{
    abi::{Address4, Address6, FlowKey, Path, Side, Station},
    frame::{ETHERNET, XdpFrame},
    maps::STATIONS,
    parse::protocol,
    pipeline::{Network, lan},
    session::{
        flows::FlowMap as _,
        table::{Entry, Passage, touch},
    },
    translate::Part,
};

/// What becomes of a frame on the short way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fast {
    /// It was sent on: this is the XDP action.
    Sent(u32),
    /// Up, untouched, for TC to judge.
    Up,
    /// It is not for the short way: nothing is known of it.
    Unknown,
}

/// Sends a frame on if it is an ordinary packet of an established session.
#[inline(always)]
pub fn forward(context: &XdpContext, side: Side) -> Fast {
    // SAFETY: the kernel hands us a valid context, and the frame is this program's until it ends.
    let (frame, interface) = unsafe {
        let context = &*context.ctx;
        (
            Span::new(
                (&raw const context.data).read_volatile() as usize,
                (&raw const context.data_end).read_volatile() as usize,
            ),
            context.ingress_ifindex,
        )
    };
    if !frame.holds(ETHERNET) || !is_for_its_station(frame, interface) {
        return Fast::Unknown;
    }
    // SAFETY: it was checked.
    match u16::from_be(unsafe { frame.load16::<12>() }) {
        0x0800 => forward_of::<Address4>(context, frame, interface, side),
        0x86dd => forward_of::<Address6>(context, frame, interface, side),
        _ => Fast::Unknown,
    }
}

/// True if XDP may forward what comes in by an interface, and the frame is for that interface's own address. It holds a link header.
#[inline(always)]
fn is_for_its_station(frame: Span, interface: u32) -> bool {
    let Some(station) = STATIONS.get(Station::place(interface)) else { return false };
    let address = (&raw const station.address).cast::<u8>();
    // SAFETY: six bytes that are aligned as the word in front of them is; the caller's.
    unsafe {
        station.interface == interface
            && station.forwards == 1
            && frame.load32::<0>() == address.cast::<u32>().read()
            && frame.load16::<4>() == address.add(4).cast::<u16>().read()
    }
}

#[inline(always)]
fn forward_of<A: Ordinary + Next + Network>(context: &XdpContext, frame: Span, interface: u32, side: Side) -> Fast {
    let ip = frame.skip(ETHERNET);
    let Some((key, length)) = A::recognize(ip, frame.length() - ETHERNET, side) else { return Fast::Unknown };
    let entry = session_of(context, &key, side);
    let now = now();
    let Some(entry) = entry.filter(|entry| steady::is_steady(&key, *entry, (interface, side), now)) else {
        return if matches!(side, Side::Lan) { Fast::Up } else { Fast::Unknown };
    };
    // SAFETY: an entry stays readable until the program ends; its fields change under us, but each is a word.
    let known = unsafe { &*entry };
    let Some(hop) = hop::find(context.as_ptr(), &key, known, side, now) else { return Fast::Up };
    // Before Linux 6.3 the kernel also answers with a neighbour that is being resolved and has no address yet.
    if length > hop.mtu || hop.link[0] == 0 || !forwards(hop.interface) {
        return Fast::Up;
    }
    touch(entry, Passage { side, path: Path::Xdp, packets: 1, bytes: length }, now);
    // SAFETY: `recognize` recognized the packet, and the frame holds a link header.
    unsafe {
        A::translate(ip, &Finished, Part::of(side), &key, &known.rewrite);
        frame.store32::<0>(hop.link[0]);
        frame.store32::<4>(hop.link[1]);
        frame.store32::<8>(hop.link[2]);
        Fast::Sent(bpf_redirect(hop.interface, 0) as u32)
    }
}

/// The session of a packet with this key. If it is a client's first one of UDP, it may be opened here.
#[inline(always)]
fn session_of<A: Network>(context: &XdpContext, key: &FlowKey<A>, side: Side) -> Option<Entry<A>> {
    let known = A::flows().get_ptr_mut(key);
    let may_be_first = known.is_none() && matches!(side, Side::Lan) && key.protocol == protocol::UDP;
    if may_be_first { lan::open_early(&XdpFrame::new(XdpContext::new(context.ctx))) } else { known }
}

/// True if XDP may send out of an interface, as of now: the next hop is remembered for longer.
#[inline(always)]
fn forwards(interface: u32) -> bool {
    STATIONS
        .get(Station::place(interface))
        .is_some_and(|station| station.interface == interface && station.forwards == 1)
}
