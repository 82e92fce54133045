//! The bits of the packet mark that are ours (`datapath.mark` of the policy), and what their values mean.

use thulium_ebpf::abi::UPLINK_SLOTS;

/// Values of the field that `mask` is, counted in its lowest bit.
const TRANSLATED: u32 = 1;
const GOVERNED: u32 = 2;
const SETTLED: u32 = 3;
const FIRST_UPLINK: u32 = 4;

/// What the bits of a packet's mark say that lie in the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// All of them: two adjacent bits, or four.
    pub mask: u32,
    /// Translated and sent out from the LAN.
    pub translated: u32,
    /// A client's, left to the kernel.
    pub governed: u32,
    /// The kernel's to handle.
    pub settled: u32,
    /// A client's, left to the kernel, to leave by the uplink of slot 0; each further slot is a quarter of this more. `None`: there is
    /// one uplink only.
    pub uplinks: Option<u32>,
}

impl Marks {
    /// The values in a mask of adjacent bits: at least two, and four if there are several uplinks.
    pub const fn of(mask: u32, uplinks: usize) -> Self {
        let unit = mask & mask.wrapping_neg();
        Self {
            mask,
            translated: TRANSLATED * unit,
            governed: GOVERNED * unit,
            settled: SETTLED * unit,
            uplinks: if uplinks > 1 { Some(FIRST_UPLINK * unit) } else { None },
        }
    }

    /// Of a client's packets that are left to the kernel and are to leave by the uplink of this slot; `None`: there is one only.
    pub fn of_slot(&self, slot: u32) -> Option<u32> {
        Some(self.uplinks? + slot * (self.governed / GOVERNED))
    }

    /// The first and the last of those values; `None`: there are none.
    pub fn of_slots(&self) -> Option<(u32, u32)> {
        Some((self.of_slot(0)?, self.of_slot(UPLINK_SLOTS as u32 - 1)?))
    }

    /// Values with masks, of which a client's packet that is left to the kernel matches exactly one.
    pub fn of_clients(&self) -> Vec<(u32, u32)> {
        let mut values = vec![(self.governed, self.mask)];
        if let Some((first, _)) = self.of_slots() {
            // 4 to 7 begin with the bits 01, 8 to 11 with 10.
            let high = first | first << 1;
            values.extend([(first, high), (first << 1, high)]);
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bits_suffice_for_one_uplink() {
        let marks = Marks::of(0x3000_0000, 1);
        assert_eq!((marks.translated, marks.governed, marks.settled), (0x1000_0000, 0x2000_0000, 0x3000_0000));
        assert_eq!(marks.of_slot(0), None);
        assert_eq!(marks.of_clients(), [(0x2000_0000, 0x3000_0000)]);
        assert_eq!(Marks::of(0xc0, 1).governed, 0x80);
    }

    #[test]
    fn four_bits_tell_the_uplink_too() {
        let marks = Marks::of(0xf0, 2);
        assert_eq!((marks.translated, marks.governed, marks.settled), (0x10, 0x20, 0x30));
        assert_eq!((marks.of_slot(0), marks.of_slot(7)), (Some(0x40), Some(0xb0)));
        let matches = |mark: u32| marks.of_clients().iter().filter(|(value, mask)| mark & mask == *value).count();
        let matched: Vec<u32> = (0..16).map(|value| value << 4).filter(|mark| matches(*mark) == 1).collect();
        assert_eq!(matched, [0x20, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0]);
    }

    #[test]
    fn four_bits_mean_the_same_where_two_would_do() {
        assert_eq!(Marks::of(0xf000_0000, 1).settled, 0x3000_0000);
    }
}
