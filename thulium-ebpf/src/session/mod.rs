//! Sessions: how long they live, what TCP does to them, how fast a client may open them.

#[cfg(target_arch = "bpf")]
pub mod client;
#[cfg(target_arch = "bpf")]
pub mod flows;
#[cfg(target_arch = "bpf")]
pub mod hello;
#[cfg(target_arch = "bpf")]
mod open;
#[cfg(target_arch = "bpf")]
pub mod order;
pub mod pin;
#[cfg(target_arch = "bpf")]
pub mod table;
pub mod tcp;

#[cfg(target_arch = "bpf")]
pub use open::{Ends, newest, open, open_new};

use crate::{
    abi::{Client, REFRESH, Settings, TcpState, ticks, ticks_since},
    parse::protocol,
};

/// Lifetime of a TCP session that is opening, closing or reset, nanoseconds (RFC 5382 REQ-5: 4 minutes at least).
pub const TRANSITORY: u64 = 240 * SECOND;
/// Lifetime of an ICMP echo's mapping, nanoseconds (RFC 5508 REQ-2: 60 s at least).
pub const ECHO: u64 = 60 * SECOND;
/// How long the kernel's NAT is believed to await a reply on a port that we mapped, too, nanoseconds: as long as an
/// established TCP session of ours may be idle.
pub const FOREIGN: u64 = 7440 * SECOND;
/// For how long a session that was found live is not looked at again by the sweeper, nanoseconds: none ends earlier (T8).
pub const YOUNG: u64 = 50 * SECOND;
/// Seconds of its rate of new sessions that a client may spend at once.
pub const BURST: u64 = 4;

const SECOND: u64 = 1_000_000_000;

/// How long a session of this protocol, and in this state if it is TCP, lives without a packet, nanoseconds.
#[inline(always)]
pub const fn lifetime(protocol: u8, state: TcpState, settings: &Settings) -> u64 {
    match state {
        TcpState::None if matches!(protocol, protocol::ICMP | protocol::ICMPV6) => ECHO,
        TcpState::None => settings.udp_idle,
        TcpState::Established | TcpState::FinClient | TcpState::FinServer => settings.tcp_idle,
        TcpState::SynSent | TcpState::SynReceived | TcpState::Closing | TcpState::Reset => TRANSITORY,
    }
}

/// True if nothing was seen since `last_seen` for longer than `lifetime` (all nanoseconds of `CLOCK_MONOTONIC`).
#[inline(always)]
pub const fn is_stale(now: u64, last_seen: u64, lifetime: u64) -> bool {
    // Another CPU may have seen a packet after `now` was read.
    now.saturating_sub(last_seen) > lifetime
}

/// True if a direction of a session has seen no packet for longer than `lifetime` nanoseconds, given its
/// [`last_seen`](crate::abi::FlowEntry::last_seen) and the ticks now.
///
/// Never too early: its last packet may be all but [`REFRESH`] later than what was noted, both moments are rounded down to a tick, and XDP's
/// clock may be a tick behind.
#[inline(always)]
pub const fn has_expired(now: u32, last_seen: u32, lifetime: u64) -> bool {
    ticks_since(now, last_seen) > ticks(lifetime) + REFRESH + 1
}

/// Takes one session out of the client's token bucket; None if it is empty.
/// Returns the new [`Client::spent_until`] (the generic cell rate algorithm: ITU-T I.371).
#[inline(always)]
pub const fn admit_rate(client: &Client, now: u64, cost: u64) -> Option<u64> {
    let floor = now.saturating_sub(BURST * SECOND);
    let spent = if client.spent_until > floor { client.spent_until } else { floor };
    let after = spent + cost;
    if after > now { None } else { Some(after) }
}

/// Sessions that a client's token bucket has room for at once; `cost` is that of one, nanoseconds.
pub const fn burst_left(client: &Client, now: u64, cost: u64) -> u64 {
    let most = BURST * SECOND;
    let left = now.saturating_sub(client.spent_until);
    (if left < most { left } else { most }) / if cost == 0 { 1 } else { cost }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        udp_idle: 300 * SECOND,
        tcp_idle: 7440 * SECOND,
        per_client: 1,
        ports_per_client: 1,
        release_after_idle: 0,
        session_cost: SECOND / 200,
        pass_unmatched: 0,
        first_port: 0,
        last_port: 0,
        first_ephemeral: 0,
        last_ephemeral: 0,
        audit: 0,
        governs_ipv6: 0,
        reject: 0,
        mss_clamp: 0,
        pad: 0,
    };

    #[test]
    fn lifetimes_are_those_of_the_policy_and_of_the_rfcs() {
        assert_eq!(lifetime(protocol::UDP, TcpState::None, &SETTINGS), 300 * SECOND);
        assert_eq!(lifetime(protocol::ICMP, TcpState::None, &SETTINGS), 60 * SECOND);
        assert_eq!(lifetime(protocol::ICMPV6, TcpState::None, &SETTINGS), 60 * SECOND);
        assert_eq!(lifetime(protocol::TCP, TcpState::Established, &SETTINGS), 7440 * SECOND);
        assert_eq!(lifetime(protocol::TCP, TcpState::SynSent, &SETTINGS), 240 * SECOND);
        assert_eq!(lifetime(protocol::TCP, TcpState::Closing, &SETTINGS), 240 * SECOND);
    }

    #[test]
    fn a_session_is_stale_only_after_its_lifetime() {
        assert!(!is_stale(100, 50, 50));
        assert!(is_stale(101, 50, 50));
        assert!(!is_stale(40, 50, 0), "a packet seen by another CPU meanwhile");
    }

    #[test]
    fn a_session_never_ends_before_its_lifetime_and_soon_after_it() {
        let lifetime = SETTINGS.udp_idle;
        // Every offset within a tick, for both moments.
        for packet in (100 * SECOND..101 * SECOND).step_by(7_777_777) {
            // The last moment at which the packet is not noted, and the first one.
            for noted in [ticks(packet) - (REFRESH - 1), ticks(packet)] {
                assert!(!has_expired(ticks(packet + lifetime), noted, lifetime), "{packet}");
                assert!(has_expired(ticks(packet + lifetime + 2 * SECOND), noted, lifetime), "{packet}");
            }
        }
    }

    #[test]
    fn a_client_may_burst_and_then_gets_its_rate() {
        let mut client = Client::default();
        let start = 100 * SECOND;
        assert_eq!(burst_left(&client, start, SETTINGS.session_cost), 200 * BURST);
        let mut admitted = 0;
        while let Some(spent) = admit_rate(&client, start, SETTINGS.session_cost) {
            client.spent_until = spent;
            admitted += 1;
        }
        assert_eq!(admitted, 200 * BURST);
        let mut later = 0;
        while let Some(spent) = admit_rate(&client, start + SECOND, SETTINGS.session_cost) {
            client.spent_until = spent;
            later += 1;
            assert_eq!(burst_left(&client, start + SECOND, SETTINGS.session_cost), 200 - later);
        }
        assert_eq!(later, 200);
    }
}
