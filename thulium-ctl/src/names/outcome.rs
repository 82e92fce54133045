//! What the latest questions for a name came to: one question a family, and either may fail without the other.

use std::time::SystemTime;

use thulium_ebpf::abi::Family;

/// Why a name, or its addresses of one family, do not resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) why: String,
    pub(super) since: SystemTime,
}

/// What the latest question for one family came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was not asked, or has not ended.
    #[default]
    None,
    /// There are addresses.
    Addresses,
    /// The name has none of this family, since then.
    Absent(SystemTime),
    /// There was no answer.
    Failed(Trouble),
}

impl Outcome {
    /// Since when there is no address.
    fn since(&self) -> Option<SystemTime> {
        match self {
            Self::None | Self::Addresses => None,
            Self::Absent(since) => Some(*since),
            Self::Failed(trouble) => Some(trouble.since),
        }
    }
}

/// The outcomes of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcomes {
    ipv4: Outcome,
    ipv6: Outcome,
}

impl Outcomes {
    /// The outcome of one family.
    pub(super) fn of(&self, family: Family) -> &Outcome {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }

    /// The outcome of the other family.
    pub(super) fn beside(&self, family: Family) -> &Outcome {
        match family {
            Family::Ipv4 => &self.ipv6,
            Family::Ipv6 => &self.ipv4,
        }
    }

    /// There are addresses of this family.
    pub(super) fn answered(&mut self, family: Family) {
        *self.of_mut(family) = Outcome::Addresses;
    }

    /// The name has no address of this family.
    pub(super) fn absent(&mut self, family: Family, now: SystemTime) {
        let since = self.of(family).since().unwrap_or(now);
        *self.of_mut(family) = Outcome::Absent(since);
    }

    /// There was no answer for this family.
    pub(super) fn failed(&mut self, family: Family, why: &str, now: SystemTime) {
        let since = self.of(family).since().unwrap_or(now);
        *self.of_mut(family) = Outcome::Failed(Trouble { why: why.to_owned(), since });
    }

    /// What the admin should hear of the name. A name of one family alone is fine. IPv6 that fails beside good IPv4 matters if
    /// the name is known to have it (`has_ipv6`): many a resolver never answers for a record that nobody has.
    pub(super) fn trouble(&self, has_ipv6: bool) -> Option<Trouble> {
        use Outcome::{Absent, Addresses, Failed, None as Unasked};
        let half = |trouble: &Trouble, family: &str| Trouble {
            why: format!("{} (asked for its {family} addresses)", trouble.why),
            since: trouble.since,
        };
        let without = |records: &str, since: &SystemTime| Trouble {
            why: format!("the name has no address (no {records} record)"),
            since: *since,
        };
        match (&self.ipv4, &self.ipv6) {
            (Unasked, Unasked) | (Unasked | Absent(_), Addresses) => None,
            (Addresses, Failed(trouble)) if has_ipv6 => Some(half(trouble, "IPv6")),
            (Addresses, _) => None,
            (Failed(trouble), Addresses) => Some(half(trouble, "IPv4")),
            (Failed(trouble), _) | (Unasked | Absent(_), Failed(trouble)) => Some(trouble.clone()),
            (Absent(since), Absent(_)) => Some(without("A and no AAAA", since)),
            (Absent(since), Unasked) => Some(without("A", since)),
            (Unasked, Absent(since)) => Some(without("AAAA", since)),
        }
    }

    fn of_mut(&mut self, family: Family) -> &mut Outcome {
        match family {
            Family::Ipv4 => &mut self.ipv4,
            Family::Ipv6 => &mut self.ipv6,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn why(outcomes: &Outcomes, has_ipv6: bool) -> Option<String> {
        outcomes.trouble(has_ipv6).map(|trouble| trouble.why)
    }

    #[test]
    fn a_name_of_one_family_alone_is_fine() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut outcomes = Outcomes::default();
            outcomes.answered(family);
            assert_eq!(outcomes.trouble(true), None, "the other one is not known yet");
            let other = if family == Family::Ipv4 { Family::Ipv6 } else { Family::Ipv4 };
            outcomes.absent(other, at(1));
            assert_eq!(outcomes.trouble(true), None);
        }
    }

    #[test]
    fn a_failure_of_ipv6_alone_is_told_only_where_there_was_ipv6() {
        let mut outcomes = Outcomes::default();
        outcomes.answered(Family::Ipv4);
        outcomes.failed(Family::Ipv6, "SERVFAIL", at(1));
        assert_eq!(why(&outcomes, false), None);
        assert_eq!(why(&outcomes, true).as_deref(), Some("SERVFAIL (asked for its IPv6 addresses)"));
        outcomes.failed(Family::Ipv4, "SERVFAIL", at(2));
        assert_eq!(why(&outcomes, false).as_deref(), Some("SERVFAIL"));
        outcomes.answered(Family::Ipv6);
        assert_eq!(why(&outcomes, true).as_deref(), Some("SERVFAIL (asked for its IPv4 addresses)"));
    }

    #[test]
    fn no_address_of_either_family_is_trouble_since_its_beginning() {
        let mut outcomes = Outcomes::default();
        outcomes.failed(Family::Ipv4, "silence", at(1));
        outcomes.absent(Family::Ipv4, at(2));
        outcomes.absent(Family::Ipv6, at(3));
        let trouble = outcomes.trouble(false).unwrap();
        assert_eq!((trouble.since, trouble.why.contains("no A and no AAAA record")), (at(1), true));
    }
}
