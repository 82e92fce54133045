//! Which bytes of a datagram have passed. A fragment that repeats one of them could make the receiver see something else
//! than what was judged (RFC 1858 §4, RFC 5722).

use crate::abi::{Extent, Extents};

/// Why a fragment does not fit those that have passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It repeats a byte, or the datagram ends elsewhere.
    Overlap,
    /// It would leave more gaps than are kept.
    Gaps,
}

impl Extent {
    #[inline(always)]
    const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// This one and `stretch`, which it takes if they touch.
    #[inline(always)]
    fn with(self, stretch: &mut Self) -> Self {
        // Selected, not jumped around: the compiler unrolls such a loop, and counts others in a way that Linux 6.1 cannot follow.
        let is_before = !stretch.is_empty() && stretch.end == self.start;
        let is_behind = !stretch.is_empty() && stretch.start == self.end;
        let start = if is_before { stretch.start } else { self.start };
        let end = if is_behind { stretch.end } else { self.end };
        if is_before || is_behind {
            *stretch = Self::default();
        }
        Self { start, end }
    }

    #[inline(always)]
    const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl Extents {
    /// Adds a fragment that is not empty, the datagram's last one or another. True if the datagram is complete.
    ///
    /// # Errors
    ///
    /// When it does not fit; then nothing is added.
    #[inline(always)]
    pub fn add(&mut self, mut new: Extent, is_last: bool) -> Result<bool, Misfit> {
        if self.total != 0 && (is_last || new.end > self.total) {
            return Err(Misfit::Overlap);
        }
        for stretch in self.stretches {
            if stretch.overlaps(new) || (is_last && stretch.end > new.end) {
                return Err(Misfit::Overlap);
            }
        }
        let end = new.end;
        // It touches one stretch on either side at most.
        for stretch in &mut self.stretches {
            new = new.with(stretch);
        }
        self.place(new)?;
        if is_last {
            self.total = end;
        }
        Ok(new.start == 0 && new.end == self.total)
    }

    /// Puts a stretch where there is room.
    #[inline(always)]
    fn place(&mut self, new: Extent) -> Result<(), Misfit> {
        for stretch in &mut self.stretches {
            if stretch.is_empty() {
                *stretch = new;
                return Ok(());
            }
        }
        // Then it touched none, and nothing has changed.
        Err(Misfit::Gaps)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::abi::EXTENTS;

    fn extent(start: u16, end: u16) -> Extent {
        Extent { start, end }
    }

    #[test]
    fn a_datagram_in_order_is_complete_with_its_last_fragment() {
        let mut passed = Extents::default();
        assert_eq!(passed.add(extent(0, 1480), false), Ok(false));
        assert_eq!(passed.add(extent(1480, 2960), false), Ok(false));
        assert_eq!(passed.add(extent(2960, 4000), true), Ok(true));
    }

    #[test]
    fn the_last_fragment_may_overtake_the_others() {
        let mut passed = Extents::default();
        assert_eq!(passed.add(extent(0, 8), false), Ok(false));
        assert_eq!(passed.add(extent(24, 30), true), Ok(false));
        assert_eq!(passed.add(extent(8, 16), false), Ok(false));
        assert_eq!(passed.add(extent(16, 24), false), Ok(true));
    }

    #[test]
    fn a_byte_passes_once() {
        let mut passed = Extents::default();
        passed.add(extent(0, 16), false).unwrap();
        passed.add(extent(24, 32), false).unwrap();
        let before = passed;
        for wrong in [extent(0, 16), extent(8, 16), extent(8, 24), extent(16, 32), extent(24, 32), extent(16, 40)] {
            assert_eq!(passed.add(wrong, false), Err(Misfit::Overlap), "{wrong:?}");
        }
        assert_eq!(passed, before);
    }

    #[test]
    fn a_datagram_has_one_end() {
        let mut passed = Extents::default();
        passed.add(extent(0, 16), false).unwrap();
        passed.add(extent(32, 40), false).unwrap();
        assert_eq!(passed.add(extent(16, 24), true), Err(Misfit::Overlap), "before what has passed");
        passed.add(extent(40, 48), true).unwrap();
        assert_eq!(passed.add(extent(48, 56), false), Err(Misfit::Overlap), "behind the end");
        assert_eq!(passed.add(extent(48, 56), true), Err(Misfit::Overlap), "another end");
    }

    #[test]
    fn a_stretch_too_many_is_refused_until_a_gap_closes() {
        let mut passed = Extents::default();
        for start in [0, 16, 32, 48] {
            passed.add(extent(start, start + 8), false).unwrap();
        }
        let before = passed;
        assert_eq!(passed.add(extent(64, 72), false), Err(Misfit::Gaps));
        assert_eq!(passed, before);
        passed.add(extent(8, 16), false).unwrap();
        passed.add(extent(64, 72), false).unwrap();
    }

    /// Stretches of ones in a bitmap.
    fn stretches(bitmap: &[bool]) -> usize {
        (0..bitmap.len()).filter(|&at| bitmap[at] && (at == 0 || !bitmap[at - 1])).count()
    }

    proptest! {
        /// A bitmap of units of eight bytes says the same.
        #[test]
        fn it_is_what_a_bitmap_says(fragments in prop::collection::vec((0_u16..24, 1_u16..5, prop::bool::weighted(0.1)), 1..40)) {
            let (mut passed, mut bitmap, mut total) = (Extents::default(), [false; 32], None);
            for (start, length, is_last) in fragments {
                let units = usize::from(start)..usize::from(start + length);
                let end = units.end;
                let mut after = bitmap;
                after[units.clone()].fill(true);
                let overlaps = bitmap[units].contains(&true)
                    || total.is_some_and(|total| is_last || end > total)
                    || (is_last && bitmap[end..].contains(&true));
                let got = passed.add(extent(start * 8, (start + length) * 8), is_last);
                if overlaps {
                    prop_assert_eq!(got, Err(Misfit::Overlap));
                } else if stretches(&after) > EXTENTS {
                    prop_assert_eq!(got, Err(Misfit::Gaps));
                } else {
                    bitmap = after;
                    total = if is_last { Some(end) } else { total };
                    let complete = total.is_some_and(|total| bitmap[..total].iter().all(|passed| *passed));
                    prop_assert_eq!(got, Ok(complete));
                }
                let kept = passed.stretches.iter().map(|stretch| usize::from(stretch.end - stretch.start) / 8).sum::<usize>();
                prop_assert_eq!(kept, bitmap.iter().filter(|passed| **passed).count());
            }
        }
    }
}
