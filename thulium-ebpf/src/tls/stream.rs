//! Which bytes of a segment are new: both sides' sequence numbers (RFC 9293 §3.4).

use super::hello::{Hello, Judgement, Phase};
use crate::{
    abi::Side,
    parse::{
        Segment,
        tcp_flags::{ACK, RST, SYN},
    },
};

/// A session whose hellos are awaited.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hellos {
    /// The client's.
    pub client: Hello,
    /// The server's.
    pub server: Hello,
    /// The lowest version that the policy allows, as the server selects it: [`super::V1_2`] or [`super::V1_3`].
    pub floor: u16,
    /// Zero.
    pub pad: u16,
}

impl Hellos {
    /// A session that the client opens with this SYN.
    #[inline(always)]
    pub const fn opened(syn: &Segment, floor: u16) -> Self {
        Self { client: Hello::open(syn.first()), server: Hello::CLOSED, floor, pad: 0 }
    }

    /// True when both hellos were good: nothing is left to be judged.
    #[inline(always)]
    pub const fn are_settled(&self) -> bool {
        self.client.is(Phase::Settled) && self.server.is(Phase::Settled)
    }

    /// The hello of a side.
    #[inline(always)]
    pub const fn of(&mut self, sender: Side) -> &mut Hello {
        match sender {
            Side::Lan => &mut self.client,
            Side::Uplink => &mut self.server,
        }
    }

    /// Takes in what a segment's control bits and acknowledgment say, before its data is judged.
    #[inline(always)]
    pub const fn observe(&mut self, sender: Side, segment: &Segment) -> Judgement {
        if segment.has(RST) {
            return Judgement::Undecided;
        }
        let is_amiss = match sender {
            Side::Lan => self.observe_client(segment) || is_ahead(segment, &self.server),
            Side::Uplink => {
                self.observe_server(segment);
                is_ahead(segment, &self.client)
            }
        };
        if is_amiss { Judgement::NotTls } else { Judgement::Undecided }
    }

    /// Where in a segment's data the byte is that is judged next. None: it has no such byte.
    #[inline(always)]
    pub const fn expected(&mut self, sender: Side, segment: &Segment) -> Option<u32> {
        let hello = self.of(sender);
        let offset = hello.next.wrapping_sub(segment.first());
        // A segment beyond it has an offset below zero, which is a large number here.
        if !hello.is(Phase::Open) || segment.has(RST) || offset >= segment.length {
            return None;
        }
        Some(offset)
    }

    /// True if it has data where no client sends any: before the server has answered, other than in the SYN.
    #[inline(always)]
    const fn observe_client(&mut self, segment: &Segment) -> bool {
        if segment.flags & (SYN | ACK) == SYN && segment.first() != self.client.first {
            // It tries anew, with other numbers.
            *self = Self::opened(segment, self.floor);
        }
        segment.length > 0 && !segment.has(SYN) && self.server.is(Phase::Closed)
    }

    #[inline(always)]
    const fn observe_server(&mut self, segment: &Segment) {
        if segment.has(SYN) && self.server.is_untouched() {
            self.server = Hello::open(segment.first());
        }
        if segment.has(SYN) && segment.has(ACK) && self.client.is_untouched() {
            // Of several SYNs the server says which one it took.
            self.client = Hello::open(segment.acknowledgment);
        }
    }
}

/// True if the segment acknowledges bytes of the other side that were not judged. A FIN takes up a number, too.
#[inline(always)]
const fn is_ahead(segment: &Segment, other: &Hello) -> bool {
    let unjudged = segment.acknowledgment.wrapping_sub(other.next).cast_signed();
    segment.has(ACK) && other.is(Phase::Open) && unjudged > 1
}
