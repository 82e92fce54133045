//! What becomes of the clients of each uplink.

use super::Condition;
use crate::policy::OnUplinkDown;

/// What is known of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Whether it carries anything.
    pub condition: Condition,
    /// True if something is wrong that has nothing to do with whom the probe asks: link, address, route, next hop.
    pub is_certain: bool,
    /// True if that is so for long enough.
    pub is_lasting: bool,
    /// True if the latest probe was answered.
    pub answers: bool,
}

/// What becomes of an uplink's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They stay, and new ones come.
    Up,
    /// They stay, but new ones take another.
    Spared,
    /// They move to others.
    Lost,
    /// They wait for it.
    Held,
}

impl Standing {
    /// Whether its clients' packets go out by it.
    const fn carries(self) -> bool {
        matches!(self, Self::Up | Self::Spared)
    }
}

/// The standing of each uplink, after the one that it `was` in. A call is cut only if there is a better place for its client to go:
///
/// * What is wrong for certain costs an uplink its clients if another one has no such fault; else they wait.
/// * What only the probe says does so if the probe of another one is answered: else whoever is asked may be dead.
/// * An uplink that is lost stays so until it is well again, or no other one carries anything.
pub fn judge(uplinks: &[(Assessment, Standing)], on_down: OnUplinkDown) -> Vec<Standing> {
    let holds = on_down == OnUplinkDown::Hold;
    let one = |(index, (assessment, was)): (usize, &(Assessment, Standing))| {
        let others = || uplinks.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, one)| one);
        if assessment.condition != Condition::Down {
            return Standing::Up;
        }
        if assessment.is_lasting {
            let has_better = others().any(|(other, _)| !other.is_certain);
            return match (has_better, holds) {
                (true, true) => Standing::Held,
                (true, false) => Standing::Lost,
                // What cannot leave at all is refused and counted, until the fault is over.
                (false, _) if uplinks.len() > 1 && *was != Standing::Lost => Standing::Held,
                (false, _) => *was,
            };
        }
        let has_better = if *was == Standing::Up {
            others().any(|(other, _)| other.condition == Condition::Up && other.answers)
        } else {
            others().any(|(other, was)| !other.is_certain && was.carries())
        };
        match (has_better, holds) {
            (true, true) => Standing::Spared,
            (true, false) => Standing::Lost,
            (false, _) => Standing::Up,
        }
    };
    uplinks.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Assessment =
        Assessment { condition: Condition::Up, is_certain: false, is_lasting: false, answers: true };
    const UNTESTED: Assessment = Assessment { answers: false, ..WELL };
    const FAILING: Assessment = Assessment { condition: Condition::Failing, ..UNTESTED };
    const SILENT: Assessment = Assessment { condition: Condition::Down, ..FAILING };
    const CUT: Assessment = Assessment { is_certain: true, is_lasting: true, ..SILENT };

    use Standing::{Held, Lost, Spared, Up};

    fn moved<const N: usize>(uplinks: [(Assessment, Standing); N]) -> Vec<Standing> {
        judge(&uplinks, OnUplinkDown::Move)
    }

    fn held<const N: usize>(uplinks: [(Assessment, Standing); N]) -> Vec<Standing> {
        judge(&uplinks, OnUplinkDown::Hold)
    }

    #[test]
    fn one_alone_is_never_lost() {
        for assessment in [WELL, FAILING, SILENT, CUT] {
            assert_eq!(moved([(assessment, Up)]), [Up]);
            assert_eq!(held([(assessment, Up)]), [Up]);
        }
    }

    #[test]
    fn a_cut_link_is_lost_if_another_is_not_cut() {
        for other in [WELL, UNTESTED, FAILING] {
            assert_eq!(moved([(CUT, Up), (other, Up)]), [Lost, Up]);
        }
        assert_eq!(moved([(CUT, Up), (SILENT, Up)]), [Lost, Up], "better a probe that fails than no link");
        assert_eq!(moved([(CUT, Up), (CUT, Up)]), [Held, Held], "nobody is moved to nowhere");
        let failing_for_certain = Assessment { is_certain: true, ..FAILING };
        assert_eq!(moved([(CUT, Up), (failing_for_certain, Up)]), [Held, Up], "both go at once");
        let flapping = Assessment { is_certain: false, is_lasting: false, ..CUT };
        assert_eq!(moved([(flapping, Held), (CUT, Held)]), [Up, Lost], "the first that is back carries at once");
    }

    #[test]
    fn a_silent_one_is_lost_only_if_another_answers() {
        assert_eq!(moved([(SILENT, Up), (WELL, Up)]), [Lost, Up]);
        for other in [UNTESTED, FAILING, SILENT, CUT] {
            let standing = moved([(SILENT, Up), (other, Up)]);
            assert_eq!(standing[0], Up, "whoever is asked may be dead: {other:?}");
        }
    }

    #[test]
    fn a_link_that_flaps_while_only_probes_fail_moves_nobody() {
        let flapping = Assessment { is_lasting: false, ..CUT };
        assert_eq!(moved([(flapping, Up), (SILENT, Up)]), [Up, Up]);
    }

    #[test]
    fn a_lost_one_stays_lost_until_it_is_well_or_the_last() {
        for other in [WELL, FAILING, SILENT] {
            assert_eq!(moved([(SILENT, Lost), (other, Up)]), [Lost, Up]);
        }
        assert_eq!(moved([(WELL, Lost), (WELL, Up)]), [Up, Up]);
        assert_eq!(moved([(SILENT, Lost), (CUT, Up)]), [Up, Lost]);
        assert_eq!(moved([(CUT, Lost), (CUT, Up)]), [Lost, Held]);
        assert_eq!(moved([(SILENT, Lost), (SILENT, Lost)]), [Up, Up], "one must carry");
    }

    #[test]
    fn held_clients_wait_for_a_link_but_not_for_a_probe() {
        assert_eq!(held([(CUT, Up), (WELL, Up)]), [Held, Up]);
        assert_eq!(held([(SILENT, Up), (WELL, Up)]), [Spared, Up]);
        assert_eq!(held([(SILENT, Spared), (FAILING, Up)]), [Spared, Up]);
        assert_eq!(held([(SILENT, Held), (WELL, Up)]), [Spared, Up], "the link is back");
        assert_eq!(held([(WELL, Held), (WELL, Up)]), [Up, Up]);
    }
}
