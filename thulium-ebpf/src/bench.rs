//! The traffic of `cargo xtask bench`: the packets that its source makes, and what its sink expects of them.
//!
//! Flow `n` joins the client endpoint `n % ENDPOINTS` to the remote `n / ENDPOINTS`, so that the flows of a count are among
//! those of any greater count. No two clients have a port in common, and every port is one that a gateway may keep: outside,
//! a client's endpoint has the same port with every gateway, and replies can be made without asking one.

use crate::checksum::{fold, udp_never_zero};

/// Client endpoints: as many ports as one external address has below Linux's ephemeral range, in round numbers.
pub const ENDPOINTS: u32 = 31_250;
/// The first endpoint's port.
pub const FIRST_PORT: u16 = 1500;
/// Clients, a power of two; they have the endpoints by turns.
pub const CLIENTS: u32 = 128;
/// The first client's address, 192.168.20.64, in host byte order. The others follow.
pub const FIRST_CLIENT: u32 = 0xc0a8_1440;
/// Remotes.
pub const REMOTES: u32 = 32;
/// The first remote's address, 203.0.113.32, in host byte order. The others follow.
pub const FIRST_REMOTE: u32 = 0xcb00_7120;
/// The port of every remote, one of the policy's range for media.
pub const REMOTE_PORT: u16 = 16_000;
/// TTL of the packets that the source makes.
pub const TTL: u8 = 64;

const ETHERTYPE_IPV4: u16 = 0x0800;
const UDP: u8 = 17;
/// Bytes of an IPv4 header and of a UDP header.
const HEADERS: u16 = 28;

/// A 64-byte frame, its last four bytes being those that only a cable sees. Words are in network byte order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Everything before the payload.
    pub headers: Headers,
    /// The payload of 18 bytes.
    pub payload: [u16; 9],
}

/// Ethernet, IPv4 and UDP. Words are in network byte order, addresses two of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// MAC address of the receiver.
    pub to: [u8; 6],
    /// MAC address of the sender.
    pub from: [u8; 6],
    ether_type: u16,
    version: u8,
    service: u8,
    length: u16,
    id: u16,
    fragment: u16,
    ttl: u8,
    protocol: u8,
    header_sum: u16,
    source: [u16; 2],
    destination: [u16; 2],
    source_port: u16,
    destination_port: u16,
    udp_length: u16,
    udp_sum: u16,
}

/// What the source is to send, and how far it is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Order {
    /// Receiver of the frames: the gateway's interface.
    pub to: [u8; 6],
    /// Their sender.
    pub from: [u8; 6],
    /// 1: replies, from the remotes to the clients.
    pub back: u32,
    /// Where replies go, in host byte order; 0: to the clients' own addresses.
    pub external: u32,
    /// Over how many flows the packets are spread, at most `ENDPOINTS * REMOTES`.
    pub flows: u32,
    /// The flow of the next packet.
    pub next: u32,
    /// How far the flow after it is from it, less than `flows`, or 1. With no divisor in common with `flows`, all have their turn.
    pub step: u32,
    /// Index of the interface to send from.
    pub interface: u32,
    /// Keeps `sent` aligned.
    pub pad: u32,
    /// Packets sent.
    pub sent: u64,
}

/// What the sink is to look at.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Expectation {
    /// 1: every frame is checked. 0: it is counted alone.
    pub check: u32,
    /// As in [`Order`].
    pub back: u32,
    /// The clients' address outside, in host byte order; 0: their own.
    pub external: u32,
    /// TTL of what arrives.
    pub ttl: u32,
}

/// What the sink has seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Frames.
    pub delivered: u64,
    /// Those that were not as expected, where that was checked.
    pub wrong: u64,
}

/// What the bare redirect does with a frame of an interface.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// Receiver of the frame from here on.
    pub to: [u8; 6],
    /// Its sender.
    pub from: [u8; 6],
    /// Index of the interface to send it from.
    pub interface: u32,
}

/// An address of host byte order as two words of network byte order.
#[inline(always)]
const fn words(address: u32) -> [u16; 2] {
    [((address >> 16) as u16).to_be(), (address as u16).to_be()]
}

#[inline(always)]
const fn client(endpoint: u32) -> u32 {
    FIRST_CLIENT + endpoint % CLIENTS
}

/// How far each packet's flow is from the last one's where they are to be far apart: about the golden section of all, and such
/// that all have their turn.
pub fn far_step(flows: u32) -> u32 {
    const fn common_divisor(a: u32, b: u32) -> u32 {
        if b == 0 { a } else { common_divisor(b, a % b) }
    }
    let golden = (u64::from(flows) * 618 / 1000) as u32;
    (golden.max(1)..flows).find(|step| common_divisor(*step, flows) == 1).unwrap_or(1)
}

impl Order {
    /// The next packet's headers, after which it is another one's turn.
    #[inline(always)]
    pub fn take_next(&mut self) -> Headers {
        let flow = self.next;
        let next = flow + self.step;
        self.next = if next < self.flows { next } else { next - self.flows };
        self.sent += 1;
        self.headers(flow)
    }

    #[inline(always)]
    fn headers(&self, flow: u32) -> Headers {
        let (endpoint, remote) = (flow % ENDPOINTS, FIRST_REMOTE + flow / ENDPOINTS);
        let port = (FIRST_PORT + endpoint as u16).to_be();
        let mut headers = Headers {
            to: self.to,
            from: self.from,
            ether_type: ETHERTYPE_IPV4.to_be(),
            version: 0x45,
            length: (HEADERS + size_of::<[u16; 9]>() as u16).to_be(),
            ttl: TTL,
            protocol: UDP,
            udp_length: (8 + size_of::<[u16; 9]>() as u16).to_be(),
            ..Headers::default()
        };
        if self.back == 0 {
            (headers.source, headers.source_port) = (words(client(endpoint)), port);
            (headers.destination, headers.destination_port) = (words(remote), REMOTE_PORT.to_be());
        } else {
            let address = if self.external == 0 { client(endpoint) } else { self.external };
            (headers.source, headers.source_port) = (words(remote), REMOTE_PORT.to_be());
            (headers.destination, headers.destination_port) = (words(address), port);
        }
        headers.header_sum = !fold(headers.header_words());
        // The payload is all zeroes.
        headers.udp_sum = udp_never_zero(!fold(headers.udp_words()));
        headers
    }
}

impl Headers {
    /// The sum of the IPv4 header's words.
    #[inline(always)]
    fn header_words(&self) -> u32 {
        let first = u16::from_ne_bytes([self.version, self.service]);
        let fifth = u16::from_ne_bytes([self.ttl, self.protocol]);
        [first, self.length, self.id, self.fragment, fifth, self.header_sum].map(u32::from).iter().sum::<u32>()
            + self.address_words()
    }

    /// The sum of the words of pseudo-header and UDP header.
    #[inline(always)]
    fn udp_words(&self) -> u32 {
        let protocol = u16::from(self.protocol).to_be();
        let ports = u32::from(self.source_port) + u32::from(self.destination_port);
        // The length is in both.
        ports + u32::from(protocol) + 2 * u32::from(self.udp_length) + u32::from(self.udp_sum) + self.address_words()
    }

    #[inline(always)]
    fn address_words(&self) -> u32 {
        let [a, b] = self.source.map(u32::from);
        let [c, d] = self.destination.map(u32::from);
        a + b + c + d
    }
}

impl Frame {
    /// True if it is one of the bench's, as far as any gateway leaves it alone.
    #[inline(always)]
    pub fn is_ours(&self) -> bool {
        let headers = &self.headers;
        let remote = REMOTE_PORT.to_be();
        headers.ether_type == ETHERTYPE_IPV4.to_be()
            && headers.protocol == UDP
            && (headers.source_port == remote || headers.destination_port == remote)
    }
}

impl Expectation {
    /// True if a frame arrived with the addresses, ports, TTL and checksums that it has to have.
    #[inline(always)]
    pub fn is_met_by(&self, frame: &Frame) -> bool {
        let headers = &frame.headers;
        let source = (headers.source, u16::from_be(headers.source_port));
        let destination = (headers.destination, u16::from_be(headers.destination_port));
        let ((near, port), (far, far_port)) =
            if self.back == 0 { (source, destination) } else { (destination, source) };
        let endpoint = u32::from(port.wrapping_sub(FIRST_PORT));
        let is_translated = self.back == 0 && self.external != 0;
        let address = if is_translated { self.external } else { client(endpoint) };
        let [high, low] = far.map(u16::from_be);
        let remote = (u32::from(high) << 16 | u32::from(low)).wrapping_sub(FIRST_REMOTE);
        let payload: u32 = frame.payload.map(u32::from).iter().sum();
        endpoint < ENDPOINTS
            && near == words(address)
            && far_port == REMOTE_PORT
            && remote < REMOTES
            && u32::from(headers.ttl) == self.ttl
            && fold(headers.header_words()) == 0xffff
            && fold(headers.udp_words() + payload) == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn frames(order: Order) -> impl Iterator<Item = Frame> {
        let mut order = order;
        std::iter::repeat_with(move || Frame { headers: order.take_next(), payload: [0; 9] })
    }

    #[test]
    fn what_the_source_makes_is_what_the_sink_expects() {
        for (back, external) in [(0, 0), (1, 0)] {
            let order = Order { back, external, flows: 1_000_000, step: 1, ..Order::default() };
            let expected = Expectation { check: 1, back, external, ttl: 64 };
            assert!(frames(order).step_by(997).take(1100).all(|frame| frame.is_ours() && expected.is_met_by(&frame)));
        }
    }

    #[test]
    fn replies_to_a_translated_client_go_to_the_external_address() {
        let order = Order { back: 1, external: 0xc633_6401, flows: 10, step: 1, ..Order::default() };
        assert!(frames(order).take(10).all(|frame| frame.headers.destination == words(0xc633_6401)));
    }

    #[test]
    fn a_million_flows_are_a_million_and_come_by_turns() {
        let order = Order { flows: ENDPOINTS * REMOTES, step: 1, ..Order::default() };
        let key = |frame: Frame| (frame.headers.source, frame.headers.source_port, frame.headers.destination);
        let flows: HashSet<_> = frames(order).take(1_000_000).map(key).collect();
        assert_eq!(flows.len(), 1_000_000);
        let mut again = frames(Order { flows: 3, ..order });
        let first = again.next().map(key);
        assert_eq!(again.nth(2).map(key), first);
    }

    #[test]
    fn scattered_flows_all_have_their_turn_and_neighbours_are_far_apart() {
        assert_eq!(far_step(1), 1);
        for flows in [2, 3, 1_000, 10_000] {
            let order = Order { flows, step: far_step(flows), ..Order::default() };
            let key = |frame: Frame| (frame.headers.source_port, frame.headers.destination);
            let seen: HashSet<_> = frames(order).take(flows as usize).map(key).collect();
            assert_eq!(seen.len(), flows as usize);
        }
        assert!(far_step(10_000) > 6_000);
    }

    #[test]
    fn no_two_endpoints_share_a_port_and_all_may_be_kept() {
        let last = u32::from(FIRST_PORT) + ENDPOINTS - 1;
        assert!(FIRST_PORT >= 1024 && last < 32_768, "below Linux's ephemeral ports");
    }

    #[test]
    fn a_spoilt_frame_is_noticed() {
        let good = Order { flows: 1, step: 1, ..Order::default() }.take_next();
        let expected = Expectation { check: 1, back: 0, external: 0, ttl: 64 };
        let spoil: [fn(&mut Headers); 5] = [
            |headers| headers.ttl -= 1,
            |headers| headers.udp_sum ^= 1,
            |headers| headers.header_sum ^= 1,
            |headers| headers.source[1] ^= 0x0100_u16.to_be(),
            |headers| headers.source_port = 1400_u16.to_be(),
        ];
        for spoil in spoil {
            let mut headers = good;
            spoil(&mut headers);
            assert!(!expected.is_met_by(&Frame { headers, payload: [0; 9] }));
        }
        assert!(!expected.is_met_by(&Frame { headers: good, payload: [1; 9] }));
    }
}
