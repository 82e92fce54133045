//! Which uplink a client's sessions take (T10): the one it is pinned to, from its first session on until it has had none for long.

use crate::abi::{Client, NO_SLOT, PinCause, UplinkState};

/// Why a client is to be pinned anew before it opens a session; none: it stays where it is. `state` is that of the uplink it is pinned
/// to, `choice` the slot that it would take anew; times in nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub const fn renewal(
    client: &Client,
    state: UplinkState,
    choice: u8,
    now: u64,
    release_after: u64,
) -> Option<PinCause> {
    let has_none = client.sessions == 0;
    if client.uplink == NO_SLOT as u32 || (has_none && now.saturating_sub(client.idle) > release_after) {
        return Some(PinCause::First);
    }
    if matches!(state, UplinkState::Lost | UplinkState::Unused) {
        return Some(PinCause::Moved);
    }
    let belongs_elsewhere = client.cause == PinCause::Moved as u32 || client.cause == PinCause::Substitute as u32;
    if has_none && belongs_elsewhere && choice != NO_SLOT && client.uplink != choice as u32 {
        return Some(PinCause::Returned);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000_000;

    fn client() -> Client {
        Client { uplink: 1, sessions: 1, idle: 0, ..Client::default() }
    }

    fn renew(client: &Client, state: UplinkState, now: u64) -> Option<PinCause> {
        renewal(client, state, 2, now, 12 * HOUR)
    }

    #[test]
    fn a_new_client_is_pinned() {
        let new = Client { uplink: u32::from(NO_SLOT), ..Client::default() };
        assert_eq!(renew(&new, UplinkState::Unused, 1), Some(PinCause::First));
    }

    #[test]
    fn a_pin_holds_through_a_working_day_and_while_there_are_sessions() {
        let idle = Client { sessions: 0, idle: HOUR, ..client() };
        assert_eq!(renew(&idle, UplinkState::Up, 13 * HOUR), None);
        assert_eq!(renew(&idle, UplinkState::Up, 13 * HOUR + 1), Some(PinCause::First));
        assert_eq!(renew(&client(), UplinkState::Up, 100 * HOUR), None);
    }

    #[test]
    fn a_client_leaves_an_uplink_that_is_lost_and_waits_for_one_that_is_held() {
        for sessions in [0, 3] {
            let client = Client { sessions, ..client() };
            assert_eq!(renew(&client, UplinkState::Lost, HOUR), Some(PinCause::Moved));
            assert_eq!(renew(&client, UplinkState::Unused, HOUR), Some(PinCause::Moved));
            assert_eq!(renew(&client, UplinkState::Held, HOUR), None);
        }
    }

    #[test]
    fn a_client_that_was_moved_or_came_meanwhile_returns_without_sessions_only() {
        let with = |cause: PinCause| Client { cause: cause as u32, ..client() };
        for cause in [PinCause::Moved, PinCause::Substitute] {
            assert_eq!(renew(&with(cause), UplinkState::Up, HOUR), None);
            let idle = Client { sessions: 0, ..with(cause) };
            assert_eq!(renew(&idle, UplinkState::Up, HOUR), Some(PinCause::Returned));
        }
        let idle = Client { sessions: 0, ..with(PinCause::Moved) };
        assert_eq!(renewal(&idle, UplinkState::Up, 1, HOUR, 12 * HOUR), None, "that is where it would return to");
        assert_eq!(renewal(&idle, UplinkState::Up, NO_SLOT, HOUR, 12 * HOUR), None, "nowhere to return to");
        let settled = Client { cause: PinCause::First as u32, ..idle };
        assert_eq!(renew(&settled, UplinkState::Up, HOUR), None, "its choice changed, not its uplink");
    }
}
