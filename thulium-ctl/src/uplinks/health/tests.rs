use super::*;

const LIMITS: Limits = Limits { link_down: Duration::from_secs(1), black_hole: Duration::from_secs(10), probes: true };
const UNPROBED: Limits = Limits { probes: false, ..LIMITS };
const FINE: Sight = Sight { fault: None, next_hop_silent: None };
const CUT: Sight = Sight { fault: Some(Fault::NoCarrier), next_hop_silent: None };
const ANSWER: Trial = Trial::Answered(Duration::from_millis(20));

/// An uplink and its clock.
struct Uplink {
    health: Health,
    start: Instant,
}

impl Uplink {
    fn new() -> Self {
        let start = Instant::now();
        Self { health: Health::new(LIMITS, false, start), start }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    fn look(&mut self, milliseconds: u64, sight: Sight) -> Condition {
        let now = self.at(milliseconds);
        self.health.look(sight, now);
        self.health.condition()
    }

    fn tried(&mut self, milliseconds: u64, trial: Trial) -> Condition {
        let now = self.at(milliseconds);
        self.health.tried(trial, now);
        self.health.condition()
    }
}

#[test]
fn a_lost_link_counts_after_its_time_and_wakes_by_itself() {
    let mut uplink = Uplink::new();
    assert_eq!(uplink.look(0, FINE), Condition::Up);
    assert_eq!(uplink.look(5000, CUT), Condition::Failing);
    assert_eq!(uplink.look(5500, CUT), Condition::Failing);
    assert_eq!(uplink.health.wakes(uplink.at(5500)), Some(uplink.at(6000)));
    uplink.health.settle(uplink.at(6000));
    assert_eq!((uplink.health.condition(), uplink.health.fault()), (Condition::Down, Some(Fault::NoCarrier)));
    assert_eq!(uplink.health.since(), uplink.at(6000));
}

#[test]
fn a_link_that_is_back_in_time_was_never_lost() {
    let mut uplink = Uplink::new();
    uplink.look(0, CUT);
    assert_eq!(uplink.look(900, FINE), Condition::Up);
    assert_eq!(uplink.look(1500, FINE), Condition::Up);
}

#[test]
fn one_fault_after_another_is_one_loss() {
    let mut uplink = Uplink::new();
    uplink.look(0, CUT);
    let gone = Sight { fault: Some(Fault::Gone), ..FINE };
    assert_eq!(uplink.look(700, gone), Condition::Failing);
    assert_eq!(uplink.look(1000, gone), Condition::Down);
    assert_eq!(uplink.health.fault(), Some(Fault::Gone));
}

#[test]
fn a_black_hole_is_found_in_time() {
    let mut uplink = Uplink::new();
    uplink.tried(0, ANSWER);
    // Silent right after that: the probes that begin at 2, 4 and 6 s end 1.5 s later.
    assert_eq!(uplink.tried(3500, Trial::Silent), Condition::Failing);
    assert_eq!(uplink.tried(5500, Trial::Silent), Condition::Failing);
    assert_eq!(uplink.tried(7500, Trial::Silent), Condition::Down);
    assert_eq!(uplink.health.fault(), Some(Fault::NoAnswer));
    assert_eq!(
        (uplink.health.failures(), uplink.health.silence(uplink.at(7500))),
        (3, Some(Duration::from_millis(5500)))
    );
    assert!(LIMITS.probe_interval() * (FAILURES + 1) < LIMITS.black_hole);
}

#[test]
fn a_silence_of_no_second_is_not_counted() {
    let limits = Limits { black_hole: Duration::from_secs(3), ..LIMITS };
    let start = Instant::now();
    let mut health = Health::new(limits, false, start);
    health.tried(Trial::Silent, start);
    assert_eq!((health.silence(start), health.silence(start + limits.probe_interval()).is_some()), (None, true));
}

#[test]
fn an_answer_between_ends_the_count() {
    let mut uplink = Uplink::new();
    for round in 0..4 {
        uplink.tried(round * 6000, Trial::Silent);
        uplink.tried(round * 6000 + 2000, Trial::Silent);
        assert_eq!(uplink.tried(round * 6000 + 4000, ANSWER), Condition::Up);
    }
}

#[test]
fn it_is_up_again_after_three_answers() {
    let mut uplink = Uplink::new();
    for second in [2, 4, 6] {
        uplink.tried(second * 1000, Trial::Silent);
    }
    assert_eq!(uplink.tried(8000, ANSWER), Condition::Down);
    assert_eq!(uplink.health.waits_for(uplink.at(8000)).as_deref(), Some("2 more answers to its probe"));
    assert_eq!(uplink.tried(10_000, ANSWER), Condition::Down);
    assert_eq!(uplink.tried(12_000, Trial::Silent), Condition::Down);
    for second in [14, 16] {
        assert_eq!(uplink.tried(second * 1000, ANSWER), Condition::Down);
    }
    assert_eq!(uplink.tried(18_000, ANSWER), Condition::Up);
    assert_eq!((uplink.health.fault(), uplink.health.waits_for(uplink.at(18_000))), (None, None));
}

#[test]
fn a_link_that_is_back_must_last_and_its_probe_be_answered() {
    let mut uplink = Uplink::new();
    uplink.tried(0, ANSWER);
    uplink.look(0, CUT);
    uplink.look(1000, CUT);
    assert_eq!(uplink.look(2000, FINE), Condition::Down);
    for second in [3, 4] {
        assert_eq!(uplink.tried(second * 1000, ANSWER), Condition::Down);
    }
    assert_eq!(uplink.look(6000, FINE), Condition::Down, "two answers since it is back");
    assert_eq!(uplink.tried(6100, ANSWER), Condition::Up);
}

#[test]
fn without_a_probe_the_link_alone_counts() {
    for (limits, untested) in [(UNPROBED, None), (LIMITS, Some(Trial::NotRun("no name resolves yet".to_owned())))] {
        let mut uplink = Uplink::new();
        uplink.health = Health::new(limits, false, uplink.start);
        if let Some(trial) = untested {
            assert_eq!(uplink.tried(0, trial), Condition::Up, "not tested is not failed");
        }
        uplink.look(0, CUT);
        uplink.look(1000, CUT);
        uplink.look(2000, FINE);
        assert_eq!(uplink.health.wakes(uplink.at(2000)), Some(uplink.at(5000)));
        assert_eq!(uplink.look(4900, FINE), Condition::Down);
        assert_eq!(uplink.look(5000, FINE), Condition::Up);
    }
}

#[test]
fn a_silent_next_hop_counts_until_it_is_known_again() {
    let mut uplink = Uplink::new();
    uplink.health = Health::new(UNPROBED, false, uplink.start);
    let silent = |silent| Sight { fault: None, next_hop_silent: silent };
    assert_eq!(uplink.look(0, silent(Some(true))), Condition::Failing);
    // The kernel asks again, and knows nothing meanwhile.
    assert_eq!(uplink.look(1000, silent(None)), Condition::Down);
    assert_eq!(uplink.health.fault(), Some(Fault::NextHopSilent));
    assert!(uplink.health.assessment().is_certain);
    uplink.look(2000, silent(Some(false)));
    assert_eq!(uplink.look(5000, silent(None)), Condition::Up);
}

#[test]
fn what_answers_through_it_proves_the_next_hop() {
    let mut uplink = Uplink::new();
    uplink.look(0, Sight { fault: None, next_hop_silent: Some(true) });
    uplink.tried(500, ANSWER);
    assert_eq!(uplink.look(2000, FINE), Condition::Up);
}

#[test]
fn one_that_was_lost_before_the_daemon_must_prove_itself() {
    let start = Instant::now();
    let mut health = Health::new(LIMITS, true, start);
    health.look(FINE, start);
    assert_eq!(health.condition(), Condition::Down);
    health.tried(Trial::Silent, start + Duration::from_secs(2));
    health.settle(start + Duration::from_secs(9));
    assert_eq!(health.condition(), Condition::Down);
}

#[test]
fn one_that_is_new_and_has_no_link_is_down_at_once() {
    let start = Instant::now();
    for was_lost in [false, true] {
        let cut = Health::fresh(LIMITS, was_lost, CUT, start);
        assert_eq!((cut.condition(), cut.assessment().is_lasting), (Condition::Down, true));
    }
    assert_eq!(Health::fresh(LIMITS, false, FINE, start).condition(), Condition::Up);
    assert_eq!(Health::fresh(LIMITS, true, FINE, start).condition(), Condition::Down, "it must prove itself");
}
