//! Which uplink a new client takes. Pure.

use thulium_ebpf::abi::{CHOICES, NO_SLOT};

/// An uplink that new clients may take, in the policy's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its slot.
    pub slot: u8,
    /// Its weight in the policy.
    pub weight: Option<u8>,
    /// Whether it carries new clients at present.
    pub usable: bool,
}

/// The slot at each place. The first usable uplink takes all new clients; if it has a weight, the usable uplinks that have one share
/// them. The places of one that is not usable go to the others, and only these: whoever has lost nothing keeps its place.
pub fn choices(candidates: &[Candidate]) -> [u8; CHOICES] {
    let Some(first) = candidates.iter().find(|one| one.usable) else { return [NO_SLOT; CHOICES] };
    if first.weight.is_none() {
        return [first.slot; CHOICES];
    }
    let weights = |is_counted: &dyn Fn(&Candidate) -> bool| -> Vec<(u8, u32)> {
        let counted = candidates.iter().filter(|one| is_counted(one));
        counted.filter_map(|one| Some((one.slot, u32::from(one.weight?)))).collect()
    };
    let mut places = shared(CHOICES, &weights(&|_| true));
    let is_usable = |slot: u8| candidates.iter().any(|one| one.slot == slot && one.usable);
    let orphans: Vec<usize> = (0..CHOICES).filter(|place| !is_usable(places[*place])).collect();
    let heirs = shared(orphans.len(), &weights(&|one| one.usable));
    for (place, heir) in orphans.into_iter().zip(heirs) {
        places[place] = heir;
    }
    let mut slots = [first.slot; CHOICES];
    slots.iter_mut().zip(places).for_each(|(to, from)| *to = from);
    slots
}

/// `places` places in proportion to the weights, by the largest remainder; each has one at least if there is room.
fn shared(places: usize, weights: &[(u8, u32)]) -> Vec<u8> {
    let total = weights.iter().map(|(_, weight)| *weight as usize).sum::<usize>().max(1);
    let mut counts: Vec<usize> = weights.iter().map(|(_, weight)| places * *weight as usize / total).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|index| std::cmp::Reverse(places * weights[*index].1 as usize % total));
    let left = places.saturating_sub(counts.iter().sum());
    for index in by_remainder.into_iter().take(left) {
        counts[index] += 1;
    }
    while let (Some(none), true) = (counts.iter().position(|count| *count == 0), places >= weights.len()) {
        let Some(most) = (0..counts.len()).max_by_key(|index| counts[*index]) else { break };
        counts[most] -= 1;
        counts[none] += 1;
    }
    weights.iter().zip(counts).flat_map(|((slot, _), count)| std::iter::repeat_n(*slot, count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(list: &[(Option<u8>, bool)]) -> Vec<Candidate> {
        let one = |(slot, (weight, usable)): (usize, &(Option<u8>, bool))| Candidate {
            slot: slot as u8,
            weight: *weight,
            usable: *usable,
        };
        list.iter().enumerate().map(one).collect()
    }

    fn shares(list: &[(Option<u8>, bool)]) -> Vec<usize> {
        let slots = choices(&candidates(list));
        (0..list.len()).map(|slot| slots.iter().filter(|one| usize::from(**one) == slot).count()).collect()
    }

    #[test]
    fn the_first_usable_one_takes_all() {
        assert_eq!(shares(&[(None, true), (None, true)]), [64, 0]);
        assert_eq!(shares(&[(None, false), (None, true)]), [0, 64]);
        assert_eq!(shares(&[(None, true), (Some(9), true)]), [64, 0], "weights behind it do not count");
    }

    #[test]
    fn those_with_a_weight_share() {
        assert_eq!(shares(&[(Some(3), true), (Some(1), true), (None, true)]), [48, 16, 0]);
        assert_eq!(shares(&[(Some(1), true), (Some(1), true), (Some(1), true)]), [22, 21, 21]);
        assert_eq!(shares(&[(Some(3), false), (Some(1), true), (None, true)]), [0, 64, 0]);
        assert_eq!(shares(&[(Some(3), false), (Some(1), false), (None, true)]), [0, 0, 64], "a backup without weight");
        let eight = [64, 64, 64, 64, 64, 64, 64, 1].map(|weight| (Some(weight), true));
        assert_eq!(shares(&eight).last(), Some(&1), "a small weight is more than none");
    }

    #[test]
    fn only_the_places_of_the_lost_one_change() {
        let weights = [Some(2), Some(1), Some(1)];
        let whole = choices(&candidates(&weights.map(|weight| (weight, true))));
        let mut list = weights.map(|weight| (weight, true));
        list[1].1 = false;
        let without = choices(&candidates(&list));
        for (before, after) in whole.iter().zip(without).filter(|(before, _)| **before != 1) {
            assert_eq!(*before, after);
        }
        assert!(!without.contains(&1));
    }

    #[test]
    fn without_a_usable_one_there_is_none() {
        assert_eq!(choices(&candidates(&[(None, false), (Some(1), false)])), [NO_SLOT; CHOICES]);
        assert_eq!(choices(&[]), [NO_SLOT; CHOICES]);
    }
}
