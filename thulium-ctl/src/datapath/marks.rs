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

    /// All values of a client's packets that are left to the kernel.
    pub fn of_clients(&self) -> impl Iterator<Item = u32> {
        let slots = (0..UPLINK_SLOTS as u32).filter_map(|slot| self.of_slot(slot));
        std::iter::once(self.governed).chain(slots)
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
        assert_eq!(marks.of_clients().collect::<Vec<_>>(), [0x2000_0000]);
        assert_eq!(Marks::of(0xc0, 1).governed, 0x80);
    }

    #[test]
    fn four_bits_tell_the_uplink_too() {
        let marks = Marks::of(0xf0, 2);
        assert_eq!((marks.translated, marks.governed, marks.settled), (0x10, 0x20, 0x30));
        assert_eq!((marks.of_slot(0), marks.of_slot(7)), (Some(0x40), Some(0xb0)));
        assert_eq!(marks.of_clients().count(), 9);
    }

    #[test]
    fn four_bits_mean_the_same_where_two_would_do() {
        assert_eq!(Marks::of(0xf000_0000, 1).settled, 0x3000_0000);
    }
}
