//! What goes wrong with a frame on its way, or is made to.

use super::Chance;
use crate::packet::ones_complement;

/// Length of an Ethernet header, bytes; no frame is made shorter.
const ETHERNET: usize = 14;

/// Values that are on the edge of something.
const BYTES: [u8; 12] = [0, 1, 2, 0x0f, 0x20, 0x3f, 0x40, 0x44, 0x46, 0x7f, 0x80, 0xff];
const WORDS: [u16; 14] = [0, 1, 7, 8, 9, 19, 20, 21, 40, 1500, 0x1fff, 0x2000, 0x7fff, 0xffff];

/// An Ethernet frame around an IP packet, to the station `to`.
pub fn frame(to: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let is_v6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let ether_type: u16 = if is_v6 { 0x86dd } else { 0x0800 };
    [to.as_slice(), &[2, 0, 0, 0, 0, 0xee], &ether_type.to_be_bytes(), packet].concat()
}

/// Breaks one to three things of a frame. It has at least an Ethernet header afterwards.
pub fn spoil(chance: &mut Chance, frame: &mut Vec<u8>) {
    for _ in 0..=chance.below(3) {
        break_one(chance, frame);
    }
    if !chance.once_in(4) {
        mend(frame);
    }
}

/// Makes the checksum of an IPv4 header right again, if there is one.
pub fn mend(frame: &mut [u8]) {
    let Some(header) = frame.get_mut(ETHERNET..).filter(|packet| packet.len() >= 20 && packet[0] >> 4 == 4) else {
        return;
    };
    let length = usize::from(header[0] & 0xf) * 4;
    let Some(header) = header.get_mut(..length.max(20)) else { return };
    header[10..12].fill(0);
    let sum = !ones_complement(header, 0);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn break_one(chance: &mut Chance, frame: &mut Vec<u8>) {
    // Most of what can be broken stands in the headers.
    let headers = (frame.len() - ETHERNET).min(100);
    if headers < 2 {
        let length = chance.below(80);
        frame.extend(chance.bytes(length));
        return;
    }
    let at = ETHERNET + chance.below(headers);
    match chance.below(16) {
        0..=1 => frame.truncate(at),
        2..=5 => frame[at] ^= 1 << chance.below(8),
        6 => frame[at] = chance.pick(&BYTES),
        7 => frame[at] = chance.byte(),
        8..=9 => word(frame, at, |_| chance.pick(&WORDS)),
        10 => word(frame, at, |old| old.wrapping_add(chance.pick(&[1, 2, 8, 0xffff, 0xfffe]))),
        11 => {
            let length = chance.below(40);
            frame.extend(chance.bytes(length));
        }
        12 => drop(frame.drain(at..(at + 1 + chance.below(8)).min(frame.len()))),
        13 => break_length(chance, frame),
        14 => break_hops(chance, frame),
        _ => break_link(chance, frame),
    }
}

/// Changes the 16-bit word in which `at` lies.
fn word(frame: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) {
    if let Some(word) = frame.get_mut(at & !1..(at & !1) + 2) {
        let new = change(u16::from_be_bytes([word[0], word[1]]));
        word.copy_from_slice(&new.to_be_bytes());
    }
}

/// A length field that is off by little: of the IP header, the packet, the TCP header or the datagram.
fn break_length(chance: &mut Chance, frame: &mut [u8]) {
    let is_v6 = frame[ETHERNET] >> 4 == 6;
    let behind = ETHERNET + if is_v6 { 40 } else { 20 };
    let off = chance.pick(&[1, 0xffff, 4, 0xfffc, 12, 0xff00]);
    match chance.below(4) {
        0 => word(frame, ETHERNET + if is_v6 { 4 } else { 2 }, |old| old.wrapping_add(off)),
        1 => word(frame, behind + 4, |old| old.wrapping_add(off)),
        2 => frame[ETHERNET] = frame[ETHERNET].wrapping_add(chance.pick(&[1, 0xff])),
        _ => word(frame, behind + 12, |old| old.wrapping_add(off << 12)),
    }
}

/// Few hops left.
fn break_hops(chance: &mut Chance, frame: &mut [u8]) {
    let at = ETHERNET + if frame[ETHERNET] >> 4 == 6 { 7 } else { 8 };
    if let Some(hops) = frame.get_mut(at) {
        *hops = chance.pick(&[0, 1, 2, 255]);
    }
}

/// A tag of a VLAN, another station, another type.
fn break_link(chance: &mut Chance, frame: &mut Vec<u8>) {
    match chance.below(3) {
        0 => drop(frame.splice(12..12, [0x81, 0, 0, chance.pick(&[0, 100])])),
        1 => frame[chance.pick(&[0, 5])] ^= chance.pick(&[1, 2, 0xff]),
        _ => {
            let ether_type: u16 = chance.pick(&[0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x8864, 0x0100]);
            frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
        }
    }
}
