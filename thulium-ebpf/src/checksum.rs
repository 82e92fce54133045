//! The Internet checksum, updated incrementally (RFC 1624, equation 3) and verified whole.

/// The checksum `sum` after the 16-bit word `old` was replaced by `new`. All three as they stand in the packet.
pub const fn replace16(sum: u16, old: u16, new: u16) -> u16 {
    !fold(!sum as u32 + !old as u32 + new as u32)
}

/// The checksum `sum` after the 32-bit word `old` was replaced by `new`. All three as they stand in the packet.
pub const fn replace32(sum: u16, old: u32, new: u32) -> u16 {
    let sum = replace16(sum, old as u16, new as u16);
    replace16(sum, (old >> 16) as u16, (new >> 16) as u16)
}

/// A UDP checksum after a replacement: one that would come out as zero is sent as all ones (RFC 768), since zero says "none".
pub const fn udp_never_zero(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

/// What replacing words does to the sums that cover them: the complements of the old ones and the new ones themselves, summed up.
/// Computed once, it serves the IPv4 header's checksum and the transport header's alike.
#[derive(Clone, Copy, Debug)]
pub struct Change(u64);

impl Change {
    /// The 32-bit word `old` is replaced by `new`. Both as they stand in the packet.
    #[inline(always)]
    pub const fn of32(old: u32, new: u32) -> Self {
        Self(!old as u64 + new as u64)
    }

    /// This, and the 16-bit word `old` is replaced by `new`. Both as they stand in the packet.
    #[inline(always)]
    pub const fn and16(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// The checksum `sum` after the change, as it stands in the packet.
    #[inline(always)]
    pub const fn apply(self, sum: u16) -> u16 {
        !fold_words(self.0 + !sum as u64)
    }
}

/// Folds a sum of up to eight 32-bit words into 16 bits.
#[inline(always)]
const fn fold_words(mut sum: u64) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// True if the five 32-bit words of an IPv4 header without options sum up to all ones (RFC 1071).
#[inline(always)]
pub const fn is_valid_words(words: &[u32; 5]) -> bool {
    let [a, b, c, d, e] = *words;
    fold_words(a as u64 + b as u64 + c as u64 + d as u64 + e as u64) == 0xffff
}

/// Folds carries into 16 bits.
pub const fn fold(mut sum: u32) -> u16 {
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// True if the words of an IPv4 header without options sum up to all ones (RFC 1071).
pub fn is_valid_header(words: &[u16; 10]) -> bool {
    let mut sum = 0;
    for word in words {
        sum += u32::from(*word);
    }
    fold(sum) == 0xffff
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(words: &[u16]) -> u16 {
        !fold(words.iter().map(|word| u32::from(*word)).sum())
    }

    proptest! {
        #[test]
        fn an_incremental_update_equals_a_whole_computation(
            mut words in proptest::collection::vec(any::<u16>(), 2..40), new in any::<u32>()
        ) {
            // A sum over nothing but zeroes has two representations; a packet never is that.
            words.push(0x4500);
            let before = whole(&words);
            let old = u32::from(words[0]) | u32::from(words[1]) << 16;
            words[0] = new as u16;
            words[1] = (new >> 16) as u16;
            prop_assert_eq!(replace32(before, old, new), whole(&words));
        }

        #[test]
        fn one_change_of_all_words_equals_a_whole_computation(
            mut words in proptest::collection::vec(any::<u16>(), 4..40), new: u32, port: u16
        ) {
            words.push(0x4500);
            let before = whole(&words);
            let old = u32::from(words[0]) | u32::from(words[1]) << 16;
            let change = Change::of32(old, new).and16(words[2], port);
            words[0] = new as u16;
            words[1] = (new >> 16) as u16;
            words[2] = port;
            prop_assert_eq!(change.apply(before), whole(&words));
        }

        #[test]
        fn a_header_is_valid_in_wide_words_if_it_is_in_narrow_ones(mut words: [u16; 10], fits: bool) {
            words[0] |= 0x45;
            if fits {
                words[5] = 0;
                words[5] = whole(&words);
            }
            let wide = core::array::from_fn(|at| u32::from(words[2 * at]) | u32::from(words[2 * at + 1]) << 16);
            prop_assert_eq!(is_valid_words(&wide), is_valid_header(&words));
            prop_assert!(!fits || is_valid_words(&wide));
        }
    }

    #[test]
    fn a_header_with_its_checksum_is_valid_and_with_another_bit_is_not() {
        let mut words = [0x4500u16, 0x0054, 0x1c46, 0x4000, 0x4011, 0, 0xc0a8, 0x1401, 0xcb00, 0x7107];
        words[5] = whole(&words);
        assert!(is_valid_header(&words));
        words[3] ^= 1;
        assert!(!is_valid_header(&words));
    }
}
