//! Which clients are forgotten.

use std::{cmp::Reverse, time::Duration};

use thulium_ebpf::abi::{Address4, Client, ClientKey, Forget};

/// A client of the map, and how long it has been pinned without a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) key: ClientKey<Address4>,
    pub(super) client: Client,
    /// `None`: it is pinned to no uplink.
    pub(super) idle: Option<Duration>,
}

impl Candidate {
    fn may_go(&self) -> bool {
        self.client.sessions == 0 && self.client.ports == 0
    }

    fn order(&self) -> Forget {
        Forget { client: self.key, pad: 0, idle: self.client.idle }
    }
}

/// The clients without sessions and ports that are to go: those that were idle for `release_after`, those that are pinned to no
/// uplink, and as many of the longest idle ones as there are beyond `room`.
pub(super) fn to_forget(clients: &[Candidate], release_after: Duration, room: usize) -> Vec<Forget> {
    let mut going: Vec<&Candidate> = clients.iter().filter(|client| client.may_go()).collect();
    going.sort_by_key(|client| Reverse(client.idle.unwrap_or(Duration::MAX)));
    let is_over = |client: &&&Candidate| client.idle.is_none_or(|idle| idle > release_after);
    let over = going.iter().filter(is_over).count();
    let surplus = clients.len().saturating_sub(room);
    going.iter().take(over.max(surplus)).map(|client| client.order()).collect()
}

/// Of a map with room for so many clients, how many may be in use: beyond that, idle ones make room.
pub(super) const fn room(capacity: usize) -> usize {
    capacity / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn candidate(host: u8, hours: Option<u32>) -> Candidate {
        let key = ClientKey { address: Address4::new([192, 168, 20, host]) };
        Candidate {
            key,
            client: Client { idle: u64::from(host), ..Client::default() },
            idle: hours.map(|hours| HOUR * hours),
        }
    }

    fn hosts(clients: &[Candidate], room: usize) -> Vec<u8> {
        let orders = to_forget(clients, 12 * HOUR, room);
        assert!(orders.iter().all(|order| order.idle == u64::from(order.client.address.octets()[3])));
        orders.iter().map(|order| order.client.address.octets()[3]).collect()
    }

    #[test]
    fn who_was_idle_for_too_long_or_was_released_is_forgotten() {
        let clients = [candidate(1, Some(11)), candidate(2, Some(13)), candidate(3, None), candidate(4, Some(12))];
        assert_eq!(hosts(&clients, 100), [3, 2]);
    }

    #[test]
    fn who_has_sessions_or_ports_stays() {
        let mut clients = [candidate(1, Some(13)), candidate(2, None), candidate(3, Some(13))];
        clients[0].client.sessions = 1;
        clients[1].client.ports = 1;
        assert_eq!(hosts(&clients, 0), [3]);
    }

    #[test]
    fn the_longest_idle_ones_make_room() {
        let clients = [candidate(1, Some(1)), candidate(2, Some(3)), candidate(3, Some(2)), candidate(4, Some(13))];
        assert_eq!(hosts(&clients, 4), [4]);
        assert_eq!(hosts(&clients, 2), [4, 2]);
        assert_eq!(room(65_536), 49_152);
    }
}
