//! Sessions of a flow with a TLS floor: a session is watched from its SYN until the hellos of both sides were good.

use aya_ebpf::{
    cty::{c_long, c_void},
    helpers::generated::bpf_loop,
};

use super::{flows::FlowMap as _, table::Entry};
use crate::{
    abi::{FlowKey, GENERATIONS, Reason, Side},
    frame::Hook,
    maps::FLOW_TABLES,
    moment::Moment,
    parse::{Fragment, Packet, Segment, protocol},
    ports::Outside,
    tls::{self, Hellos, Judgement, STEPS, Walk},
};

/// A packet of a session that is watched, or may have to be.
#[derive(Clone, Copy)]
pub struct Watched<'a, A: Outside> {
    /// The packet.
    pub packet: &'a Packet<A>,
    /// Its direction of the session.
    pub entry: Entry<A>,
    /// Where it came in.
    pub side: Side,
}

impl<A: Outside> Watched<'_, A> {
    /// True if there is something to judge: it is TCP, and opens a connection or belongs to a watched one.
    #[inline(always)]
    pub fn is_due(&self) -> bool {
        // A later fragment has no numbers. What it carries is missed when the receiver acknowledges it.
        if self.packet.protocol != protocol::TCP || self.packet.fragment == Fragment::Later {
            return false;
        }
        // SAFETY: `entry` is a live map value of plain words.
        unsafe { (*self.entry).watched == 1 || (matches!(self.side, Side::Lan) && self.packet.is_opening_syn()) }
    }

    /// The LAN-side key of the session.
    #[inline(always)]
    pub fn session(&self) -> FlowKey<A> {
        let key = self.packet.key(self.side);
        match self.side {
            Side::Lan => key,
            // SAFETY: as in `is_due`.
            Side::Uplink => key.pair(unsafe { &(*self.entry).rewrite }),
        }
    }

    /// Its hellos, if they are awaited.
    #[inline(always)]
    pub fn hellos(&self) -> Option<*mut Hellos> {
        A::hellos().get_ptr_mut(self.session())
    }

    /// The session is watched no longer.
    #[inline(never)]
    pub fn release(&self) {
        self.mark(0);
        let _ = A::hellos().remove(self.session());
    }

    /// Notes in both directions whether the session is watched.
    #[inline(never)]
    fn mark(&self, watched: u8) {
        // SAFETY: as in `is_due`.
        unsafe { (&raw mut (*self.entry).watched).write_volatile(watched) };
        let pair = self.packet.key(self.side).pair(unsafe { &(*self.entry).rewrite });
        if let Some(pair) = A::flows().get_ptr_mut(pair) {
            // SAFETY: as in `is_due`.
            unsafe { (&raw mut (*pair).watched).write_volatile(watched) };
        }
    }
}

/// Begins to watch a session that this packet opens, if its flow has a floor. Why it has to be refused, if there is no room:
/// without its SYN no connection comes about.
#[inline(never)]
pub fn watch<H: Hook, A: Outside>(frame: &H, watched: &Watched<'_, A>, moment: &Moment) -> Option<Reason> {
    // SAFETY: as in `is_due`.
    let (known, flow) = unsafe { ((*watched.entry).watched, usize::from((*watched.entry).flow)) };
    let minor = *FLOW_TABLES.get(moment.generation % GENERATIONS)?.tls_min.get(flow)?;
    if known == 1 || minor == 0 {
        return None;
    }
    let segment = Segment::read(frame, watched.packet)?;
    if !await_hellos(watched, &segment, minor) {
        return Some(Reason::SessionsFull);
    }
    watched.mark(1);
    None
}

/// Makes room for the hellos of a session that `syn` opens and whose flow has the floor `minor`; false if there is none. A
/// function of its own: `watch` is deep in a chain of calls, and its stack is not to hold all of this while it calls others.
#[inline(never)]
fn await_hellos<A: Outside>(watched: &Watched<'_, A>, syn: &Segment, minor: u8) -> bool {
    // SAFETY: this CPU's alone until the program ends, and filled before it is read.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return false };
    scratch.hellos = Hellos::opened(syn, tls::version(minor));
    A::hellos().insert(watched.session(), &scratch.hellos, 0).is_ok()
}

/// Judges a packet that is due. `Settled` means that both hellos were good.
#[inline(never)]
pub fn judge<H: Hook, A: Outside>(frame: &H, watched: &Watched<'_, A>) -> Judgement {
    let Some(hellos) = watched.hellos() else { return Judgement::Undecided };
    let Some(segment) = Segment::read(frame, watched.packet) else { return Judgement::NotTls };
    // SAFETY: a live map value of plain words. Segments of one side come one after the other, on one CPU.
    let hellos = unsafe { &mut *hellos };
    let judgement = match hellos.observe(watched.side, &segment) {
        Judgement::Undecided => read::<H, A>(frame, hellos, watched.side, &segment),
        decided => decided,
    };
    match judgement {
        Judgement::Settled if !hellos.are_settled() => Judgement::Undecided,
        judgement => judgement,
    }
}

/// The data of a segment on its way through the parser.
struct Reading<'a, H> {
    walk: &'a mut Walk,
    frame: &'a H,
    /// Offset of the data from the start of the frame, bytes.
    data: u32,
}

/// Reads what is new in a segment.
#[inline(always)]
fn read<H: Hook, A: Outside>(frame: &H, hellos: &mut Hellos, side: Side, segment: &Segment) -> Judgement {
    let Some(position) = hellos.expected(side, segment) else { return Judgement::Undecided };
    // SAFETY: this CPU's alone until the program ends, and filled before it is read.
    let Some(scratch) = (unsafe { A::scratch().as_mut() }) else { return Judgement::NotTls };
    scratch.walk = Walk::new(hellos, side, position, segment.length);
    let mut reading = Reading { walk: &mut scratch.walk, frame, data: segment.data };
    // SAFETY: `reading` lives through the call.
    unsafe { bpf_loop(STEPS, step::<H> as *mut c_void, (&raw mut reading).cast(), 0) };
    scratch.walk.finish(hellos)
}

/// A step of `bpf_loop` (kernel: `long (*callback_fn)(u32 index, void *ctx)`): 0 to go on, 1 to end.
#[inline(never)]
unsafe extern "C" fn step<H: Hook>(_: u32, reading: *mut Reading<'_, H>) -> c_long {
    // SAFETY: what `read` handed over.
    let Reading { walk, frame, data } = unsafe { &mut *reading };
    let goes_on = walk.step(|offset| frame.byte((*data + offset) as usize));
    c_long::from(!goes_on)
}
