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
