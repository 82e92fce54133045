//! Who moved from one uplink to another.

use std::collections::BTreeMap;

use super::{Cause, Pin, SavedPins};
use crate::observe::count;

/// What the log hears of clients that moved between two looks, a line for each way that some took.
pub(super) fn moves(before: &SavedPins, now: &SavedPins) -> Vec<String> {
    let mut ways: BTreeMap<(Option<&str>, &str, bool), u64> = BTreeMap::new();
    for (client, pin) in &now.pins {
        let is_new = before.pins.get(client).is_none_or(|former| !former.is_of_same_move(pin));
        if pin.cause != Cause::First && is_new {
            let way = (pin.from.as_deref(), pin.uplink.as_str(), pin.cause == Cause::Returned);
            *ways.entry(way).or_default() += 1;
        }
    }
    let line = |((from, to, is_back), clients): ((Option<&str>, &str, bool), u64)| {
        let clients = count(clients, "client");
        let from = from.map_or(String::new(), |from| format!(" from {from}"));
        if is_back { format!("{clients} went back{from} to {to}") } else { format!("{clients} moved{from} to {to}") }
    };
    ways.into_iter().map(line).collect()
}

impl Pin {
    /// True if nothing but sessions came and went between the two.
    fn is_of_same_move(&self, later: &Self) -> bool {
        self.is_like(&Self { idle: self.idle, ..later.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn pins(pins: &[(u8, &str, Cause, Option<&str>, u64)]) -> SavedPins {
        let pin = |(host, uplink, cause, from, since): &(u8, &str, Cause, Option<&str>, u64)| {
            let from = from.map(str::to_owned);
            let pin = Pin { uplink: (*uplink).to_owned(), since: *since, idle: None, cause: *cause, from };
            (Ipv4Addr::new(192, 168, 20, *host), pin)
        };
        SavedPins { pins: pins.iter().map(pin).collect(), ..SavedPins::default() }
    }

    #[test]
    fn moves_are_counted_by_their_way() {
        let before = pins(&[
            (1, "isp-a", Cause::First, None, 100),
            (2, "isp-a", Cause::First, None, 100),
            (3, "isp-b", Cause::Moved, Some("isp-a"), 100),
            (4, "isp-b", Cause::First, None, 100),
        ]);
        let now = pins(&[
            (1, "isp-b", Cause::Moved, Some("isp-a"), 200),
            (2, "isp-b", Cause::Moved, Some("isp-a"), 201),
            (3, "isp-a", Cause::Returned, Some("isp-b"), 200),
            (4, "isp-b", Cause::First, None, 100),
            (5, "isp-a", Cause::First, None, 200),
            (6, "isp-b", Cause::Moved, None, 200),
        ]);
        let lines = [
            "1 client moved to isp-b",
            "2 clients moved from isp-a to isp-b",
            "1 client went back from isp-b to isp-a",
        ];
        assert_eq!(moves(&before, &now), lines);
        assert!(moves(&now, &now).is_empty(), "each is told once");
    }

    #[test]
    fn a_client_that_hangs_up_has_not_moved() {
        let before = pins(&[(1, "isp-b", Cause::Moved, Some("isp-a"), 100)]);
        let mut now = before.clone();
        now.pins.values_mut().for_each(|pin| pin.idle = Some(500));
        assert!(moves(&before, &now).is_empty());
    }
}
