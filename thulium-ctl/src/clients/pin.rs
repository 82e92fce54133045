//! A client's pin.

use serde::{Deserialize, Serialize};
use thulium_ebpf::abi::{Client, PinCause};

use super::Clocks;
use crate::observe::Slots;

/// Why a client is pinned to its uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// It was pinned to none.
    First,
    /// The uplink that it was pinned to was lost.
    Moved,
    /// The uplink that it had moved away from came back.
    Returned,
    /// It was pinned to none, and the uplink that it would have taken was not usable.
    Substitute,
}

impl Cause {
    /// The cause that the datapath wrote down.
    const fn from_number(number: u32) -> Self {
        const MOVED: u32 = PinCause::Moved as u32;
        const RETURNED: u32 = PinCause::Returned as u32;
        const SUBSTITUTE: u32 = PinCause::Substitute as u32;
        match number {
            MOVED => Self::Moved,
            RETURNED => Self::Returned,
            SUBSTITUTE => Self::Substitute,
            _ => Self::First,
        }
    }

    /// The cause as the datapath knows it.
    pub(super) const fn number(self) -> u32 {
        (match self {
            Self::First => PinCause::First,
            Self::Moved => PinCause::Moved,
            Self::Returned => PinCause::Returned,
            Self::Substitute => PinCause::Substitute,
        }) as u32
    }
}

/// To which uplink a client is pinned. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The uplink's name.
    pub uplink: String,
    /// Since when.
    pub since: u64,
    /// Since when it has had no session; `None`: it has one.
    pub idle: Option<u64>,
    /// Why.
    pub cause: Cause,
    /// The uplink that it was pinned to before, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Pin {
    /// True if both say the same, but for times that came out a little different: the wall's clock is set now and then.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        const TOLERANCE: u64 = 5;
        let close = |a: u64, b: u64| a.abs_diff(b) <= TOLERANCE;
        let same_idle = match (self.idle, other.idle) {
            (Some(one), Some(another)) => close(one, another),
            (one, another) => one == another,
        };
        self.uplink == other.uplink
            && self.cause == other.cause
            && self.from == other.from
            && close(self.since, other.since)
            && same_idle
    }
}

/// The pin of a client in the map; `None`: it is pinned to no uplink. `names`: of the uplinks by slot; `former`: what was known of its
/// pin, where the map does not tell what was before the boot, and which uplink it came from.
pub fn pin(client: &Client, names: &Slots, clocks: Clocks, former: Option<&Pin>) -> Option<Pin> {
    let uplink = names.get(&u8::try_from(client.uplink).ok()?)?.clone();
    let cause = Cause::from_number(client.cause);
    let same = former.filter(|former| former.uplink == uplink && former.cause == cause);
    let since = match same {
        Some(same) if client.pinned <= Clocks::BEFORE_BOOT => same.since,
        _ => clocks.wall(client.pinned),
    };
    let idle = match same.and_then(|same| same.idle) {
        Some(idle) if client.idle <= Clocks::BEFORE_BOOT => idle,
        // A client that was refused its first session has had none since it was pinned.
        _ => clocks.wall(client.idle.max(client.pinned)),
    };
    let from = match (cause, same, former) {
        (Cause::First, ..) | (_, None, None) => None,
        (_, Some(same), _) => same.from.clone(),
        (_, None, Some(former)) => Some(former.uplink.clone()).filter(|from| *from != uplink),
    };
    Some(Pin { uplink, since, idle: (client.sessions == 0).then_some(idle), cause, from })
}

#[cfg(test)]
mod tests {
    use thulium_ebpf::abi::NO_SLOT;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: Clocks = Clocks { wall: 1_800_000_000, datapath: 5000 * SECOND };

    fn names() -> Slots {
        [(0, "isp-a".to_owned()), (1, "isp-b".to_owned())].into()
    }

    fn client() -> Client {
        Client { uplink: 1, pinned: 1000 * SECOND, idle: 3000 * SECOND, ..Client::default() }
    }

    fn saved(uplink: &str, cause: Cause) -> Pin {
        Pin { uplink: uplink.to_owned(), since: 1_799_990_000, idle: Some(1_799_991_000), cause, from: None }
    }

    #[test]
    fn a_pin_is_told_in_the_walls_time() {
        let pin = pin(&client(), &names(), NOW, None).unwrap();
        let expected = Pin { since: 1_799_996_000, idle: Some(1_799_998_000), ..saved("isp-b", Cause::First) };
        assert_eq!(pin, expected);
        let used = Client { sessions: 1, ..client() };
        assert_eq!(super::pin(&used, &names(), NOW, None).unwrap().idle, None);
        let refused = Client { idle: 0, ..client() };
        assert_eq!(super::pin(&refused, &names(), NOW, None).unwrap().idle, Some(1_799_996_000));
    }

    #[test]
    fn a_client_that_was_released_has_no_pin() {
        let released = Client { uplink: u32::from(NO_SLOT), ..client() };
        assert_eq!(pin(&released, &names(), NOW, Some(&saved("isp-b", Cause::First))), None);
    }

    #[test]
    fn what_was_before_the_boot_comes_from_the_disk() {
        let restored = Client { pinned: Clocks::BEFORE_BOOT, idle: Clocks::BEFORE_BOOT, ..client() };
        let former = saved("isp-b", Cause::First);
        assert_eq!(pin(&restored, &names(), NOW, Some(&former)), Some(former));
        let of_another = saved("isp-a", Cause::First);
        let since_boot = pin(&restored, &names(), NOW, Some(&of_another)).unwrap();
        assert_eq!(since_boot.since, NOW.wall - 4999);
    }

    #[test]
    fn a_client_that_moved_tells_where_from() {
        let moved = Client { cause: PinCause::Moved as u32, ..client() };
        let first = pin(&moved, &names(), NOW, Some(&saved("isp-a", Cause::First))).unwrap();
        assert_eq!((first.cause, first.from.as_deref()), (Cause::Moved, Some("isp-a")));
        let later = pin(&moved, &names(), NOW, Some(&first)).unwrap();
        assert_eq!(later.from.as_deref(), Some("isp-a"), "it is not forgotten");
        assert_eq!(pin(&moved, &names(), NOW, None).unwrap().from, None);
    }

    #[test]
    fn a_clock_that_is_set_a_little_changes_no_pin() {
        let pin = saved("isp-a", Cause::First);
        assert!(pin.is_like(&Pin { since: pin.since + 5, idle: pin.idle.map(|idle| idle - 5), ..pin.clone() }));
        for other in [
            Pin { idle: None, ..pin.clone() },
            Pin { since: pin.since + 6, ..pin.clone() },
            Pin { cause: Cause::Moved, ..pin.clone() },
            saved("isp-b", Cause::First),
        ] {
            assert!(!pin.is_like(&other), "{other:?}");
        }
    }
}
