//! Which external port a new mapping gets: its own if it may be kept, else a random one of the reserved range.

#[cfg(target_arch = "bpf")]
mod claim;
#[cfg(target_arch = "bpf")]
mod foreign;
#[cfg(target_arch = "bpf")]
mod outside;

#[cfg(target_arch = "bpf")]
pub use claim::EXISTS;
#[cfg(target_arch = "bpf")]
pub use foreign::expect_reply;
#[cfg(target_arch = "bpf")]
pub use outside::Outside;

use crate::abi::{Port, Settings};

/// Ports that are tried before a session is refused: the client's own, then 31 of the range.
pub const PROBES: u32 = 32;

/// True if a client's port may be kept outside: it is in the reserved range, or the host never picks it by itself.
/// Well-known ports are not kept (RFC 4787 REQ-3a keeps the range; no client of an office needs a source port below 1024).
#[inline(always)]
pub const fn may_keep(port: Port, settings: &Settings) -> bool {
    let number = port.number();
    let reserved = number >= settings.first_port && number <= settings.last_port;
    let ephemeral = number >= settings.first_ephemeral && number <= settings.last_ephemeral;
    reserved || (number >= 1024 && !ephemeral)
}

/// The port to try at `attempt` (1 and up): from a random start through the reserved range, keeping the parity of the
/// client's port (RFC 4787 REQ-4: RTP even, RTCP odd).
#[inline(always)]
pub const fn candidate(client: Port, attempt: u32, random: u32, settings: &Settings) -> Port {
    let pairs = (settings.last_port as u32 + 1 - settings.first_port as u32) / 2;
    if pairs == 0 {
        return Port::new(settings.first_port);
    }
    let pair = (random % pairs + attempt) % pairs;
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
            client in 1u16.., attempt in 1u32..PROBES, random in any::<u32>(), first in 20000u16..40000, size in 64u16..20000
        ) {
            let settings = settings(first, first + size);
            let port = candidate(Port::new(client), attempt, random, &settings).number();
            prop_assert!((settings.first_port..=settings.last_port).contains(&port));
            prop_assert_eq!(port & 1, client & 1);
        }

        #[test]
        fn probes_are_distinct(client in 1u16.., random in any::<u32>()) {
            let settings = settings(40000, 65535);
            let ports: std::collections::HashSet<_> =
                (1..PROBES).map(|attempt| candidate(Port::new(client), attempt, random, &settings)).collect();
            prop_assert_eq!(ports.len() as u32, PROBES - 1);
        }
    }
}
