//! Extension headers of IPv6: ordinary chains, and such as nobody sends.

use super::Chance;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Puts a chain of extension headers in front of `message`, whose number is `protocol`. Returns the number of the first.
pub(super) fn chain(chance: &mut Chance, protocol: u8, message: Vec<u8>) -> (u8, Vec<u8>) {
    let (mut next, mut behind) = (protocol, message);
    for _ in 0..=chance.below(5) {
        let kind = chance.pick(&[HOP_BY_HOP, DESTINATION, DESTINATION, ROUTING, FRAGMENT, AUTHENTICATION]);
        behind = [header(chance, kind, next), behind].concat();
        next = kind;
    }
    (next, behind)
}

/// A fragment header.
pub(super) fn fragment(next: u8, offset: u16, more: bool, id: u32) -> Vec<u8> {
    let place = (offset & !7) | u16::from(more);
    [[next, 0].as_slice(), &place.to_be_bytes(), &id.to_be_bytes()].concat()
}

/// A header of this kind; its options are padding.
fn header(chance: &mut Chance, kind: u8, next: u8) -> Vec<u8> {
    if kind == FRAGMENT {
        let offset = chance.pick(&[0, 0, 8, 1480]);
        return fragment(next, offset, chance.once_in(2), chance.below(4) as u32);
    }
    let units = chance.pick(&[0, 0, 0, 1, 3, 7, 255]);
    let length = if kind == AUTHENTICATION { 4 * (units + 2) } else { 8 * (units + 1) };
    let mut header = vec![0; length.min(200)];
    (header[0], header[1]) = (next, units as u8);
    header
}
