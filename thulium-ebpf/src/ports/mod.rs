//! Which external port a new mapping gets: its own if it may be kept, else a random one of the reserved range.

#[cfg(target_arch = "bpf")]
mod claim;
#[cfg(target_arch = "bpf")]
mod foreign;
#[cfg(target_arch = "bpf")]
mod mapping;
#[cfg(target_arch = "bpf")]
mod outside;
#[cfg(target_arch = "bpf")]
mod rest;

#[cfg(target_arch = "bpf")]
pub use claim::EXISTS;
#[cfg(target_arch = "bpf")]
pub use foreign::expect_reply;
#[cfg(target_arch = "bpf")]
pub use outside::{Outside, UNUSED};
#[cfg(target_arch = "bpf")]
pub use rest::wake_one;

use crate::abi::{Port, Settings};

/// Ports that are tried before a session is refused: the client's own, then 31 of the range.
pub const PROBES: u32 = 32;

/// How long a port that was freed rests before another endpoint may have it, nanoseconds (RFC 6888 REQ-8). What comes late for
/// its last owner must not reach another client.
pub const REST: u64 = 120_000_000_000;

/// True if a port that was freed at `freed` has rested (both nanoseconds of `CLOCK_MONOTONIC`).
#[inline(always)]
pub const fn has_rested(freed: u64, now: u64) -> bool {
    now.saturating_sub(freed) >= REST
}

/// True if a client's port may be kept outside: it is in the reserved range, or the host never picks it by itself.
/// Well-known ports are not kept (RFC 4787 REQ-3a keeps the range; no client of an office needs a source port below 1024).
#[inline(always)]
pub const fn may_keep(port: Port, settings: &Settings) -> bool {
    let number = port.number();
    let reserved = number >= settings.first_port && number <= settings.last_port;
    let ephemeral = number >= settings.first_ephemeral && number <= settings.last_ephemeral;
    reserved || (number >= 1024 && !ephemeral)
}

/// A random port of the reserved range with the parity of the client's port (RFC 4787 REQ-4: RTP even, RTCP odd). Each try
/// draws anew: a client that holds a row of neighbouring ports is hardly in the others' way.
#[inline(always)]
pub const fn candidate(client: Port, random: u32, settings: &Settings) -> Port {
    let pairs = (settings.last_port as u32 + 1 - settings.first_port as u32) / 2;
    if pairs == 0 {
        return Port::new(settings.first_port);
    }
    let pair = random % pairs;
    let even = (settings.first_port as u32 + 1) & !1;
    let number = even + 2 * pair + (client.number() as u32 & 1);
    let last = settings.last_port as u32;
    Port::new(if number > last { (number - 2 * pairs) as u16 } else { number as u16 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(first_port: u16, last_port: u16) -> Settings {
        Settings { first_port, last_port, first_ephemeral: 32768, last_ephemeral: 60999, ..Settings::default() }
    }

    #[test]
    fn a_port_is_kept_where_the_host_does_not_pick_it() {
        let settings = settings(40000, 65535);
        assert!(may_keep(Port::new(5060), &settings));
        assert!(may_keep(Port::new(50000), &settings));
        assert!(may_keep(Port::new(61000), &settings));
        assert!(!may_keep(Port::new(33000), &settings), "the host's own");
        assert!(!may_keep(Port::new(80), &settings), "well known");
    }

    proptest! {
        #[test]
        fn a_candidate_is_in_the_range_and_keeps_parity(
            client in 1u16.., random in any::<u32>(), first in 20000u16..40000, size in 64u16..20000
        ) {
            let settings = settings(first, first + size);
            let port = candidate(Port::new(client), random, &settings).number();
            prop_assert!((settings.first_port..=settings.last_port).contains(&port));
            prop_assert_eq!(port & 1, client & 1);
        }
    }

    #[test]
    fn every_port_of_the_range_can_be_drawn() {
        let settings = settings(40000, 40015);
        let drawn: std::collections::BTreeSet<_> = (0..64)
            .map(|random| candidate(Port::new(5060 + (random & 1) as u16), random >> 1, &settings).number())
            .collect();
        assert!(drawn.into_iter().eq(40000..=40015));
    }

    #[test]
    fn a_port_rests_for_two_minutes() {
        assert!(!has_rested(1000, 1000 + REST - 1));
        assert!(has_rested(1000, 1000 + REST));
        assert!(!has_rested(1000, 0), "freed by another CPU meanwhile");
    }
}
