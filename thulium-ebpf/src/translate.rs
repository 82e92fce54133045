//! The rewrite: one endpoint of the packet, and one hop off its time to live. Payloads are never touched (T9).

use crate::{
    abi::{Address4, Address6, Endpoint, Port, Side},
    checksum::{replace16, replace32, udp_never_zero},
    frame::Edit,
    parse::{Headers, Packet, protocol},
};

/// Which endpoint of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The source: on the way out.
    Source,
    /// The destination: on the way in.
    Destination,
}

impl Part {
    /// Which one it is of packets that arrive on `side`.
    #[inline(always)]
    pub const fn of(side: Side) -> Self {
        match side {
            Side::Lan => Self::Source,
            Side::Uplink => Self::Destination,
        }
    }

    /// Offset of the address in an IPv4 header, bytes.
    #[inline(always)]
    const fn address(self) -> usize {
        match self {
            Self::Source => 12,
            Self::Destination => 16,
        }
    }

    /// Offset of the port, or of the identifier that is to an ICMP echo what ports are, in a transport header, bytes.
    #[inline(always)]
    const fn port(self, protocol: u8) -> usize {
        match (protocol, self) {
            (protocol::ICMP, _) => 4,
            (_, Self::Source) => 0,
            (_, Self::Destination) => 2,
        }
    }
}

/// An address family whose packets can be sent on. Each edit returns None if the frame could not be written.
pub trait Rewrite: Headers {
    /// Replaces `part` of the packet by `to`. A later fragment has no port and no checksum to replace.
    fn rewrite<F: Edit>(frame: &mut F, packet: &Packet<Self>, part: Part, to: &Endpoint<Self>) -> Option<()>;

    /// Replaces the endpoint `part` of the packet that `error` quotes by `to`, and leaves whatever follows its headers alone:
    /// the data, its padding, extensions (RFC 4884). `quote` is as [`crate::parse::read_quote`] reads it.
    fn rewrite_quote<F: Edit>(
        frame: &mut F,
        error: &Packet<Self>,
        quote: &Packet<Self>,
        part: Part,
        to: &Endpoint<Self>,
    ) -> Option<()>;

    /// Takes one hop off, as every router does (RFC 1812 §5.3.1, RFC 8200 §3). The caller has checked that more than one is left.
    fn decrement_ttl<F: Edit>(frame: &mut F, packet: &Packet<Self>) -> Option<()>;
}

/// Offset of the header checksum in an IPv4 header, bytes.
const HEADER_SUM: usize = 10;
/// Offset of the word that holds TTL and protocol in an IPv4 header, bytes.
const TTL_WORD: usize = 8;
/// Offset of the hop limit in an IPv6 header, bytes.
const HOP_LIMIT: usize = 7;

impl Rewrite for Address4 {
    #[inline(always)]
    fn rewrite<F: Edit>(frame: &mut F, packet: &Packet<Self>, part: Part, to: &Endpoint<Self>) -> Option<()> {
        rewrite4(frame, packet, part, to)
    }

    #[inline(always)]
    fn rewrite_quote<F: Edit>(
        frame: &mut F,
        error: &Packet<Self>,
        quote: &Packet<Self>,
        part: Part,
        to: &Endpoint<Self>,
    ) -> Option<()> {
        rewrite_quote4(frame, error, quote, part, to)
    }

    #[inline(always)]
    fn decrement_ttl<F: Edit>(frame: &mut F, packet: &Packet<Self>) -> Option<()> {
        let network = usize::from(packet.network);
        let old = u16::from_be_bytes([packet.ttl, packet.protocol]).to_be();
        let new = u16::from_be_bytes([packet.ttl - 1, packet.protocol]).to_be();
        frame.replace_header_word(network + TTL_WORD, network + HEADER_SUM, old, new)
    }
}

impl Rewrite for Address6 {
    #[inline(always)]
    fn rewrite<F: Edit>(_: &mut F, _: &Packet<Self>, _: Part, _: &Endpoint<Self>) -> Option<()> {
        // IPv6 is not translated.
        Some(())
    }

    #[inline(always)]
    fn rewrite_quote<F: Edit>(
        _: &mut F,
        _: &Packet<Self>,
        _: &Packet<Self>,
        _: Part,
        _: &Endpoint<Self>,
    ) -> Option<()> {
        Some(())
    }

    #[inline(always)]
    fn decrement_ttl<F: Edit>(frame: &mut F, packet: &Packet<Self>) -> Option<()> {
        frame.replace_byte(usize::from(packet.network) + HOP_LIMIT, packet.ttl - 1)
    }
}

#[inline(never)]
fn rewrite4<F: Edit>(frame: &mut F, packet: &Packet<Address4>, part: Part, to: &Endpoint<Address4>) -> Option<()> {
    let network = usize::from(packet.network);
    let (address, port) = match part {
        Part::Source => (packet.source, packet.source_port),
        Part::Destination => (packet.destination, packet.destination_port),
    };
    let checksum = packet.transport_checksum();
    if address != to.address {
        let covering = checksum.filter(|_| covers_addresses(packet.protocol));
        frame.replace_address(network + part.address(), network + HEADER_SUM, covering, address, to.address)?;
    }
    if let Some(checksum) = checksum
        && port != to.port
    {
        frame.replace_port(usize::from(packet.transport) + part.port(packet.protocol), checksum, port, to.port)?;
    }
    Some(())
}

/// Every word that is replaced in the quote is one of the error's, too: its checksum follows each.
#[inline(never)]
fn rewrite_quote4<F: Edit>(
    frame: &mut F,
    error: &Packet<Address4>,
    quote: &Packet<Address4>,
    part: Part,
    to: &Endpoint<Address4>,
) -> Option<()> {
    // All headers together are short; the masks show the verifier that.
    let network = usize::from(quote.network & 0xff);
    let transport = usize::from(quote.transport & 0xff);
    // The quote's two ends are exchanged.
    let (address, port) = match part {
        Part::Source => (quote.destination, quote.destination_port),
        Part::Destination => (quote.source, quote.source_port),
    };
    let whole = error.transport_checksum()?;
    let header_sum = frame.read::<u16>(network + HEADER_SUM)?;
    let new = replace32(header_sum, address.be32(), to.address.be32());
    frame.replace_word(network + HEADER_SUM, whole, header_sum, new)?;
    let ([first, second], [new_first, new_second]) = (words(address), words(to.address));
    frame.replace_word(network + part.address(), whole, first, new_first)?;
    frame.replace_word(network + part.address() + 2, whole, second, new_second)?;
    if let Some(own) = quote.transport_checksum()
        && own.offset + 2 <= network + quote.length as usize
    {
        let offset = transport + (own.offset - usize::from(quote.transport));
        let sum = frame.read::<u16>(offset)?;
        if !own.optional || sum != 0 {
            frame.replace_word(offset, whole, sum, quoted_checksum(sum, quote, (address, port), to))?;
        }
    }
    frame.replace_word(transport + part.port(quote.protocol), whole, port.be16(), to.port.be16())
}

/// The transport checksum `sum` of a quoted packet after its endpoint was replaced.
#[inline(always)]
fn quoted_checksum(
    sum: u16,
    quote: &Packet<Address4>,
    (address, port): (Address4, Port),
    to: &Endpoint<Address4>,
) -> u16 {
    let sum = if covers_addresses(quote.protocol) { replace32(sum, address.be32(), to.address.be32()) } else { sum };
    let sum = replace16(sum, port.be16(), to.port.be16());
    if quote.protocol == protocol::UDP { udp_never_zero(sum) } else { sum }
}

/// True if the transport checksum of an IPv4 packet covers its addresses: ICMP has no pseudo-header (RFC 792).
#[inline(always)]
const fn covers_addresses(protocol: u8) -> bool {
    protocol != protocol::ICMP
}

/// The two 16-bit words of an address, as they stand in the packet.
#[inline(always)]
const fn words(address: Address4) -> [u16; 2] {
    let [a, b, c, d] = address.octets();
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        checksum::fold,
        frame::{Bytes, Frame},
        parse::{parse, read_quote, tests as craft},
    };

    /// The UDP checksum that a frame of [`craft::ipv4`] should have, computed whole (RFC 768).
    fn whole_checksum(frame: &[u8]) -> u16 {
        let (header, datagram) = frame[14..].split_at(20);
        let pseudo = [&header[12..20], &[0, protocol::UDP], &datagram[4..6]].concat();
        let mut bytes = [pseudo.as_slice(), &datagram[..6], &[0, 0], &datagram[8..]].concat();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        match !fold(words.sum()) {
            0 => 0xffff,
            sum => sum,
        }
    }

    fn checksum(frame: &Bytes) -> u16 {
        u16::from_be(frame.read(14 + 20 + 6).unwrap())
    }

    proptest! {
        #[test]
        fn a_rewrite_changes_one_endpoint_and_its_checksums(
            payload in prop::collection::vec(any::<u8>(), 0..60), address in any::<[u8; 4]>(), port in 1_u16..,
            part in prop_oneof![Just(Part::Source), Just(Part::Destination)]
        ) {
            let mut before = craft::ipv4(protocol::UDP, 0, &craft::udp(&payload));
            let sum = whole_checksum(&before);
            before[40..42].copy_from_slice(&sum.to_be_bytes());
            let mut frame = Bytes(before.clone());
            let packet: Packet<Address4> = parse(&frame);
            let to = Endpoint::new(Address4::new(address), Port::new(port));
            Address4::rewrite(&mut frame, &packet, part, &to).unwrap();
            let after: Packet<Address4> = parse(&frame);
            prop_assert_eq!(after.fault, None, "the header's checksum holds");
            prop_assert_eq!(checksum(&frame), whole_checksum(&frame.0));
            let (rewritten, kept) = match part {
                Part::Source => ((after.source, after.source_port), (after.destination, after.destination_port)),
                Part::Destination => ((after.destination, after.destination_port), (after.source, after.source_port)),
            };
            prop_assert_eq!(rewritten, (to.address, to.port));
            let was = match part {
                Part::Source => (packet.destination, packet.destination_port),
                Part::Destination => (packet.source, packet.source_port),
            };
            prop_assert_eq!(kept, was);
            prop_assert_eq!(&frame.0[42..], &before[42..], "the payload");
        }

        #[test]
        fn a_hop_is_taken_off_and_the_header_stays_valid(payload in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut frame = Bytes(craft::ipv4(protocol::UDP, 0, &craft::udp(&payload)));
            let packet: Packet<Address4> = parse(&frame);
            Address4::decrement_ttl(&mut frame, &packet).unwrap();
            let after: Packet<Address4> = parse(&frame);
            prop_assert_eq!((after.fault, after.ttl), (None, 63));
        }
    }

    proptest! {
        #[test]
        fn a_quote_is_rewritten_and_every_checksum_follows(
            payload in prop::collection::vec(any::<u8>(), 0..60), cut in 0_usize..40, checked: bool,
            address in any::<[u8; 4]>(), port in 1_u16.., part in prop_oneof![Just(Part::Source), Just(Part::Destination)]
        ) {
            let mut inner = craft::ipv4(protocol::UDP, 0, &craft::udp(&payload));
            if checked {
                let sum = whole_checksum(&inner);
                inner[40..42].copy_from_slice(&sum.to_be_bytes());
            }
            let to = Endpoint::new(Address4::new(address), Port::new(port));
            // The packet alone, rewritten the same way, is what the error has to quote then.
            let mut expected = Bytes(inner.clone());
            let packet: Packet<Address4> = parse(&expected);
            Address4::rewrite(&mut expected, &packet, part, &to).unwrap();

            let length = inner.len().saturating_sub(cut).max(14 + 28);
            let mut frame = Bytes(craft::error(&inner[14..length]));
            let error: Packet<Address4> = parse(&frame);
            let mut quote = Packet::nothing(0);
            read_quote(&frame, &error, &mut quote);
            Address4::rewrite_quote(&mut frame, &error, &quote, part, &to).unwrap();
            prop_assert_eq!(&frame.0[42..], &expected.0[14..length]);
            prop_assert!(frame.is_intact(34, frame.0.len() - 34), "the error's own checksum");
        }
    }

    #[test]
    fn an_identifier_is_rewritten_as_a_port_is() {
        let mut frame = Bytes(craft::ipv4(protocol::ICMP, 0, &[8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1]));
        let packet: Packet<Address4> = parse(&frame);
        let to = Endpoint::new(Address4::new([198, 51, 100, 1]), Port::new(40000));
        Address4::rewrite(&mut frame, &packet, Part::Source, &to).unwrap();
        let after: Packet<Address4> = parse(&frame);
        assert_eq!((after.fault, after.source, after.source_port), (None, to.address, to.port));
        assert!(frame.is_intact(34, 8));
    }

    #[test]
    fn no_udp_checksum_stays_none() {
        let mut frame = Bytes(craft::ipv4(protocol::UDP, 0, &craft::udp(b"speech")));
        let packet: Packet<Address4> = parse(&frame);
        let to = Endpoint::new(Address4::new([198, 51, 100, 1]), Port::new(40000));
        Address4::rewrite(&mut frame, &packet, Part::Source, &to).unwrap();
        assert_eq!(checksum(&frame), 0);
    }
}
