//! The queries of clients, and what their replies teach.

use core::{hint::black_box, mem::offset_of};

use aya_ebpf::{
    cty::{c_long, c_void},
    helpers::generated::{bpf_loop, bpf_ringbuf_output, bpf_skb_load_bytes},
    programs::TcContext,
};
use network_types::udp::UdpHdr;

use super::{ANSWERS, Answers, Header, PATIENCE, PORT, Public, Question, Room, STEPS, lifetime, record};
use crate::{
    abi::{
        Address4, Address6, Endpoint, MESSAGE_BYTES, NAME_BYTES, NameEntry, Port, Query, QueryKey, RemoteAddress, Reply,
    },
    frame::{Frame, Glance, Hook, TcFrame},
    judge,
    maps::{DNS, NAMES, REPLIES, Tables},
    moment::Moment,
    parse::{Fragment, Kind, Packet, protocol},
    pipeline::{Network, read_packet},
};

/// An address family that queries can come by.
trait Carrier: Network {
    /// The ports of a UDP datagram, source and destination; none of what has IP options or extension headers: that is not ordinary.
    fn ports(skb: Glance) -> Option<(Port, Port)>;
}

impl Carrier for Address4 {
    #[inline(always)]
    fn ports(skb: Glance) -> Option<(Port, Port)> {
        const SHORTEST: u8 = 0x45; // version 4, five words
        let headers: [u8; 24] = skb.headers()?;
        let [a, b, c, d] = [headers[20], headers[21], headers[22], headers[23]];
        if headers[0] == SHORTEST && headers[9] == protocol::UDP { Some(ports([a, b], [c, d])) } else { None }
    }
}

impl Carrier for Address6 {
    #[inline(always)]
    fn ports(skb: Glance) -> Option<(Port, Port)> {
        let headers: [u8; 44] = skb.headers()?;
        let [a, b, c, d] = [headers[40], headers[41], headers[42], headers[43]];
        if headers[6] == protocol::UDP { Some(ports([a, b], [c, d])) } else { None }
    }
}

#[inline(always)]
const fn ports(source: [u8; 2], destination: [u8; 2]) -> (Port, Port) {
    (Port::new(u16::from_be_bytes(source)), Port::new(u16::from_be_bytes(destination)))
}

/// Notes a query of a client for a name of the policy.
#[inline(always)]
pub fn note(context: TcContext) {
    let skb = Glance::at(&context);
    // Looked at before anything else is done: most of what passes here is something else.
    let is_query = |(_, to): (Port, Port)| to.number() == PORT;
    match skb.kind() {
        Kind::Ipv4 if Address4::ports(skb).is_some_and(is_query) => note_from::<Address4>(&TcFrame::new(context)),
        Kind::Ipv6 if Address6::ports(skb).is_some_and(is_query) => note_from::<Address6>(&TcFrame::new(context)),
        Kind::Ipv4 | Kind::Ipv6 | Kind::Other => {}
    }
}

#[inline(never)]
fn note_from<A: Carrier>(frame: &TcFrame) {
    let Some(packet) = datagram::<A>(frame) else { return };
    if packet.destination_port.number() != PORT || A::resolvers().get_ptr(&packet.destination).is_none() {
        return;
    }
    let Some(moment) = Moment::read() else { return };
    // A client may ask a resolver on the link by its address on the link, which no policy names.
    if !judge::is_client(&moment, &packet.source) && !packet.source.is_link_scoped() {
        return;
    }
    let Some(room) = message(frame, packet) else { return };
    let Some(header) = Header::read(&room.reply) else { return };
    if !header.is_query() || !read_question(room) || entry(room).hosts == 0 {
        return;
    }
    let query = Query { asked: moment.now, question: room.question.digest() };
    let client = Endpoint::new(packet.source, packet.source_port);
    let key = QueryKey { client, resolver: packet.destination, id: header.id, pad: 0 };
    // Where there is no room, the reply teaches nothing.
    let _ = A::queries().insert(key, query, 0);
}

/// Enters what a reply to a client's query teaches, and hands the reply to the daemon.
#[inline(always)]
pub fn learn(context: TcContext) {
    let skb = Glance::at(&context);
    // As in `note`.
    let is_reply = |(from, _): (Port, Port)| from.number() == PORT;
    match skb.kind() {
        Kind::Ipv4 if Address4::ports(skb).is_some_and(is_reply) => learn_from::<Address4>(&TcFrame::new(context)),
        Kind::Ipv6 if Address6::ports(skb).is_some_and(is_reply) => learn_from::<Address6>(&TcFrame::new(context)),
        Kind::Ipv4 | Kind::Ipv6 | Kind::Other => {}
    }
}

#[inline(never)]
fn learn_from<A: Carrier>(frame: &TcFrame) {
    if frame.ingress_interface() == frame.interface() {
        // Of the client's own link: a resolver there replies without the gateway, and anybody there can take its address.
        return;
    }
    let Some(packet) = datagram::<A>(frame) else { return };
    if packet.source_port.number() != PORT || A::resolvers().get_ptr(&packet.source).is_none() {
        return;
    }
    let Some(room) = message(frame, packet) else { return };
    let Some(header) = Header::read(&room.reply) else { return };
    if !header.is_good_reply() || header.answers == 0 {
        return;
    }
    let client = Endpoint::new(packet.destination, packet.destination_port);
    let key = QueryKey { client, resolver: packet.source, id: header.id, pad: 0 };
    let Some(Moment { now, .. }) = Moment::read() else { return };
    if !answers_query(&key, room, now) {
        return;
    }
    hand_over(&room.reply);
    let mut lesson = Lesson { entry: entry(room), now, room };
    lesson.room.answers.begin(&lesson.room.question, header.answers);
    // SAFETY: `lesson` lives through the calls.
    unsafe {
        let lesson: *mut c_void = (&raw mut lesson).cast();
        bpf_loop(STEPS, read_answers as *mut c_void, lesson, 0);
        bpf_loop(ANSWERS as u32, teach as *mut c_void, lesson, 0);
    }
}

/// The packet, if it is a whole UDP datagram.
#[inline(always)]
fn datagram<'a, A: Carrier>(frame: &TcFrame) -> Option<&'a Packet<A>> {
    let packet = read_packet::<TcFrame, A>(frame)?;
    let is_whole = packet.fault.is_none() && packet.fragment == Fragment::Whole && frame.segments() == 1;
    if is_whole && packet.protocol == protocol::UDP { Some(packet) } else { None }
}

/// The DNS message of a datagram, and this CPU's room to read it in; none if it is empty, or too long.
#[inline(always)]
fn message<A: Carrier>(frame: &TcFrame, packet: &Packet<A>) -> Option<&'static mut Room> {
    // All headers together are short; the mask shows the verifier that.
    let transport = usize::from(packet.transport & 0xff);
    let udp = frame.read::<UdpHdr>(transport)?;
    let length = u32::from(u16::from_be_bytes(udp.len)).wrapping_sub(UdpHdr::LEN as u32);
    if length == 0 || length > MESSAGE_BYTES as u32 {
        return None;
    }
    let room = DNS.get_ptr_mut(0)?.cast::<Room>();
    // SAFETY: this CPU's alone until the program ends, and filled before it is read; any bytes of a message are one. Both names
    // lie behind each other, at a multiple of eight.
    unsafe {
        let bytes = (&raw mut (*room).reply.message).cast();
        let start = (transport + UdpHdr::LEN) as u32;
        if bpf_skb_load_bytes(frame.context(), start, bytes, bounded(length)) != 0 {
            return None;
        }
        (*room).reply.length = length;
        (*room).reply.pad = 0;
        (&raw mut (*room).name).cast::<[u64; 2 * NAME_BYTES / 8]>().write([0; _]);
        (*room).question = Question::new();
        room.as_mut()
    }
}

/// The length of a message, such that the verifier sees that it is one: from 1 on, also for that of Linux 6.1. Opaque, or LLVM
/// would take the bounds away.
#[inline(always)]
fn bounded(length: u32) -> u32 {
    (black_box(length).wrapping_sub(1) & (MESSAGE_BYTES as u32 - 1)) + 1
}

/// True if the message has a question for the addresses of a name.
#[inline(always)]
fn read_question(room: &mut Room) -> bool {
    let mut place: *mut Room = room;
    // SAFETY: `place` lives through the call.
    unsafe { bpf_loop(NAME_BYTES as u32, step_question as *mut c_void, (&raw mut place).cast(), 0) };
    room.question.is_complete()
}

/// A step of `bpf_loop` (kernel: `long (*callback_fn)(u32 index, void *ctx)`): 0 to go on, 1 to end.
#[inline(never)]
unsafe extern "C" fn step_question(_: u32, room: *mut *mut Room) -> c_long {
    // SAFETY: what `read_question` handed over.
    let Room { reply, name, wildcard, question, .. } = unsafe { &mut **room };
    c_long::from(!question.step(reply, name, wildcard))
}

/// What the name that was asked for teaches: by itself, and by the wildcard that covers it.
#[inline(always)]
fn entry(room: &Room) -> NameEntry {
    let own = value(NAMES.get_ptr(&room.name)).unwrap_or_default();
    let covering = value(NAMES.get_ptr(&room.wildcard)).unwrap_or_default();
    NameEntry {
        hosts: own.hosts | covering.hosts,
        private: own.private | covering.private,
        keep: if own.keep > covering.keep { own.keep } else { covering.keep },
    }
}

/// A copy of a map's value.
#[inline(always)]
fn value<T: Copy>(at: Option<*const T>) -> Option<T> {
    // SAFETY: a live map value of plain words.
    at.map(|at| unsafe { *at })
}

/// True for a reply to a query that waits for it, which it does no longer then.
#[inline(always)]
fn answers_query<A: Carrier>(key: &QueryKey<A>, room: &mut Room, now: u64) -> bool {
    let Some(Query { asked, question }) = value(A::queries().get_ptr(key)) else { return false };
    if now.saturating_sub(asked) > PATIENCE || !read_question(room) || room.question.digest() != question {
        return false;
    }
    // Of two CPUs with the same reply, one can remove it.
    A::queries().remove(key).is_ok()
}

/// Hands a reply to the daemon, without what is behind its message. One that finds no room is lost to it.
#[inline(always)]
fn hand_over(reply: &Reply) {
    let size = offset_of!(Reply, message) as u64 + u64::from(bounded(reply.length));
    // SAFETY: a map of the kernel is known by the address of its definition, and a reply has as many bytes.
    unsafe {
        let map = core::ptr::from_ref(&REPLIES).cast_mut().cast();
        bpf_ringbuf_output(map, core::ptr::from_ref(reply).cast_mut().cast(), size, 0);
    }
}

/// What a reply is read for.
struct Lesson<'a> {
    entry: NameEntry,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    now: u64,
    room: &'a mut Room,
}

/// As `step_question`.
#[inline(never)]
unsafe extern "C" fn read_answers(_: u32, lesson: *mut Lesson<'_>) -> c_long {
    // SAFETY: what `learn_from` handed over.
    let Room { reply, name, answers, .. } = unsafe { &mut *(*lesson).room };
    c_long::from(!answers.step(reply, name))
}

/// Enters one of the addresses; as `step_question`.
#[inline(never)]
unsafe extern "C" fn teach(at: u32, lesson: *mut Lesson<'_>) -> c_long {
    // SAFETY: what `learn_from` handed over.
    let lesson = unsafe { &*lesson };
    let answers: &Answers = &lesson.room.answers;
    if at >= answers.count() {
        return 1;
    }
    let found = answers.get(at);
    if answers.kind() == record::A {
        let [a, b, c, d, ..] = found.octets;
        enter(Address4::new([a, b, c, d]), found.ttl, lesson);
    } else {
        enter(Address6::new(found.octets), found.ttl, lesson);
    }
    0
}

/// Enters that an address was named, with those for whom it was named before.
#[inline(always)]
fn enter<A: Tables + Public>(address: A, ttl: u32, lesson: &Lesson<'_>) {
    let NameEntry { hosts, private, keep } = lesson.entry;
    let hosts = if address.is_public() { hosts } else { hosts & private };
    if hosts == 0 || address.is_nobodys() {
        return;
    }
    let until = lesson.now.saturating_add(lifetime(ttl)).saturating_add(keep);
    let mut learned = RemoteAddress { hosts, until };
    if let Some(known) = value(A::learned().get_ptr(&address)).filter(|known| known.until > lesson.now) {
        learned.hosts |= known.hosts;
        learned.until = if known.until > until { known.until } else { until };
    }
    // It finds room: the map is an LRU.
    let _ = A::learned().insert(address, learned, 0);
}
