//! Whether an uplink carries anything.
//!
//! * [`Health`]: of one uplink by itself, from what is seen of it. Pure: time is passed in.
//! * [`judge()`]: what becomes of the clients of each uplink, from the health of all of them. Pure.
//! * [`Probe`]: a TCP connection through an uplink.

mod judge;
mod probe;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    time::{Duration, Instant},
};

pub use self::{
    judge::{Assessment, Standing, judge},
    probe::{Path, Probe, Target, is_asked_for, targets},
};
use crate::{
    observe::status::Link,
    policy::{self, Policy},
};

/// Probes in a row that nobody answers until an uplink counts as a black hole.
const FAILURES: u32 = 3;
/// Probes in a row that must be answered until an uplink that was down is up again.
const SUCCESSES: u32 = 3;
/// How long nothing must be wrong until an uplink that was down is up again: a link that flaps is down.
const STABLE: Duration = Duration::from_secs(3);
/// Probes within the time in which a black hole is to be found: it takes up to one until the first of [`FAILURES`] begins, and what
/// is left is for clients to notice.
const PROBES: u32 = 5;

/// What people call a second.
const A_SECOND_ROUNDED: Duration = Duration::from_millis(500);

/// How long what must last until something is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A fault of the link, the address, the route or the next hop.
    pub link_down: Duration,
    /// Silence.
    pub black_hole: Duration,
    /// Whether there is a probe.
    pub probes: bool,
}

impl Limits {
    /// Those of a policy.
    pub fn of(policy: &Policy) -> Self {
        let policy::Health { link_down, black_hole, .. } = policy.health;
        Self { link_down, black_hole, probes: is_asked_for(policy) }
    }

    /// How often to probe.
    pub fn probe_interval(&self) -> Duration {
        self.black_hole / PROBES
    }

    /// How long to wait for an answer: not until the next one is due.
    pub fn probe_patience(&self) -> Duration {
        self.probe_interval() * 3 / 4
    }
}

/// What is wrong with an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its interface is not there.
    Gone,
    /// Its interface is switched off.
    Off,
    /// Its interface has no carrier.
    NoCarrier,
    /// It has no address that sessions can be translated to.
    NoAddress,
    /// No route leads out of it.
    NoWay,
    /// The next hop does not answer when the kernel asks for its hardware address.
    NextHopSilent,
    /// Nobody answers through it. Whoever was asked may be what is dead.
    NoAnswer,
    /// An earlier run of the daemon has left it lost: it must prove itself.
    Unproven,
}

impl Fault {
    /// What is wrong with a link.
    pub const fn of_link(link: Link) -> Option<Self> {
        match link {
            Link::Up => None,
            Link::NoCarrier => Some(Self::NoCarrier),
            Link::Down => Some(Self::Off),
            Link::Gone => Some(Self::Gone),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "its interface is gone",
            Self::Off => "its interface is switched off",
            Self::NoCarrier => "its interface has no carrier",
            Self::NoAddress => "it has no IPv4 address",
            Self::NoWay => "no default route leads out of it",
            Self::NextHopSilent => "its next hop does not answer",
            Self::NoAnswer => "no answer through it",
            Self::Unproven => "it was lost before the daemon started",
        })
    }
}

/// What a look at the interfaces shows of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What is wrong, but for the next hop.
    pub fault: Option<Fault>,
    /// Whether the next hop is there; `None`: nothing new is known.
    pub next_hop_silent: Option<bool>,
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Somebody answered, after this long.
    Answered(Duration),
    /// Nobody did.
    Silent,
    /// It could not be made: why, a part of a sentence. This says nothing of the uplink.
    NotRun(String),
}

/// Whether an uplink carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As far as is known.
    Up,
    /// Something is wrong, but not for long enough.
    Failing,
    /// It does not, or has not done so again for long enough.
    Down,
}

/// The health of one uplink.
#[derive(Clone, Debug)]
pub struct Health {
    limits: Limits,
    /// What a look shows, and since when.
    fault: Option<(Fault, Instant)>,
    /// Since when the next hop is silent.
    silent: Option<Instant>,
    /// Whether nothing is seen that is wrong, and since when.
    is_clear: bool,
    clear: Instant,
    /// The latest probe; `None`: there was none, or there are none to be.
    trial: Option<Trial>,
    /// Probes in a row that nobody answered, and when the first of them ended.
    failures: Option<(u32, Instant)>,
    /// Probes in a row that were answered.
    successes: u32,
    /// Whether it is down, and what of.
    down: Option<Fault>,
    /// Whether what is seen to be wrong is so for long enough.
    is_lasting: bool,
    condition: Condition,
    since: Instant,
}

impl Health {
    /// Of an uplink that is seen for the first time. `was_lost`: an earlier run of the daemon left it so, and it must prove itself.
    pub fn new(limits: Limits, was_lost: bool, now: Instant) -> Self {
        let down = was_lost.then_some(Fault::Unproven);
        Self {
            limits,
            fault: None,
            silent: None,
            is_clear: true,
            clear: now,
            trial: None,
            failures: None,
            successes: 0,
            down,
            is_lasting: false,
            condition: if was_lost { Condition::Down } else { Condition::Up },
            since: now,
        }
    }

    /// Of an uplink that has carried nothing yet, or (`was_lost`) that an earlier run of the daemon gave up: what is wrong with it counts at
    /// once.
    pub fn fresh(limits: Limits, was_lost: bool, sight: Sight, now: Instant) -> Self {
        let mut health = Self::new(limits, was_lost, now);
        health.look(sight, now);
        if sight.fault.is_some() {
            (health.down, health.is_lasting, health.condition) = (sight.fault, true, Condition::Down);
        }
        health
    }

    /// Takes up what a look shows.
    pub fn look(&mut self, sight: Sight, now: Instant) {
        match (sight.fault, self.fault) {
            (Some(fault), Some((_, since))) => self.fault = Some((fault, since)),
            (fault, _) => self.fault = fault.map(|fault| (fault, now)),
        }
        match sight.next_hop_silent {
            Some(true) => self.silent = self.silent.or(Some(now)),
            Some(false) => self.silent = None,
            None => {}
        }
        self.settle(now);
    }

    /// Takes up what came of a probe.
    pub fn tried(&mut self, trial: Trial, now: Instant) {
        match trial {
            Trial::Answered(_) => {
                // Whoever answers, the packets get out by the next hop.
                (self.failures, self.silent) = (None, None);
                self.successes += 1;
            }
            Trial::Silent => {
                let (count, since) = self.failures.unwrap_or((0, now));
                self.failures = Some((count + 1, since));
                self.successes = 0;
            }
            Trial::NotRun(_) => (self.failures, self.successes) = (None, 0),
        }
        self.trial = Some(trial);
        self.settle(now);
    }

    /// Goes on in time; [`Self::wakes`] says when.
    pub fn settle(&mut self, now: Instant) {
        let seen = self.seen();
        if seen.is_some() {
            (self.is_clear, self.successes) = (false, 0);
        } else if !self.is_clear {
            (self.is_clear, self.clear) = (true, now);
        }
        let failures = self.failures.map_or(0, |(count, _)| count);
        let lasting = seen.filter(|(_, since)| now.duration_since(*since) >= self.limits.link_down);
        let found = lasting.map(|(fault, _)| fault).or((failures >= FAILURES).then_some(Fault::NoAnswer));
        // A fault at the first start lasts from the beginning.
        self.is_lasting = lasting.is_some() || (self.is_lasting && seen.is_some());
        self.down = match (self.down, found) {
            (_, Some(fault)) => Some(fault),
            (Some(_), None) if self.has_recovered(now) => None,
            (down, None) => down,
        };
        let condition = match self.down {
            Some(_) => Condition::Down,
            None if seen.is_some() || failures > 0 => Condition::Failing,
            None => Condition::Up,
        };
        if condition != self.condition {
            (self.condition, self.since) = (condition, now);
        }
    }

    /// What is wrong for certain, whoever the probe asks.
    fn seen(&self) -> Option<(Fault, Instant)> {
        self.fault.or(self.silent.map(|since| (Fault::NextHopSilent, since)))
    }

    fn has_recovered(&self, now: Instant) -> bool {
        if self.seen().is_some() || now.duration_since(self.clear) < STABLE {
            return false;
        }
        match self.trial {
            Some(Trial::Answered(_)) => self.successes >= SUCCESSES,
            Some(Trial::Silent) => false,
            // Without a probe the link is all that is known; but silence was heard.
            Some(Trial::NotRun(_)) => self.down != Some(Fault::NoAnswer),
            None => !self.limits.probes,
        }
    }

    /// When [`Self::settle`] comes to something by itself; `None`: not before something else happens.
    pub fn wakes(&self, now: Instant) -> Option<Instant> {
        let due = match self.seen() {
            Some((_, since)) => since + self.limits.link_down,
            None => self.clear + STABLE,
        };
        (due > now).then_some(due)
    }

    /// Whether it carries anything.
    pub const fn condition(&self) -> Condition {
        self.condition
    }

    /// Since when.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Option<Fault> {
        let probed = self.failures.map(|_| Fault::NoAnswer);
        self.seen().map(|(fault, _)| fault).or(probed).or(self.down)
    }

    /// What [`judge()`] goes by.
    pub fn assessment(&self) -> Assessment {
        Assessment {
            condition: self.condition,
            is_certain: self.seen().is_some(),
            is_lasting: self.is_lasting,
            answers: matches!(self.trial, Some(Trial::Answered(_))),
        }
    }

    /// The latest probe.
    pub const fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    /// Probes in a row that nobody answered.
    pub fn failures(&self) -> u32 {
        self.failures.map_or(0, |(count, _)| count)
    }

    /// How long nobody has answered, if that is what is wrong and it is long enough to be called a second.
    pub fn silence(&self, now: Instant) -> Option<Duration> {
        let (_, ended) = self.failures.filter(|_| self.seen().is_none())?;
        let silence = now.duration_since(ended) + self.limits.probe_patience();
        (silence >= A_SECOND_ROUNDED).then_some(silence)
    }

    /// What an uplink that is down waits for, a part of a sentence.
    pub fn waits_for(&self, now: Instant) -> Option<String> {
        self.down?;
        if self.seen().is_some() {
            return None;
        }
        let answers = match self.trial {
            None if !self.limits.probes => 0,
            Some(Trial::NotRun(_)) if self.down != Some(Fault::NoAnswer) => 0,
            _ => SUCCESSES.saturating_sub(self.successes),
        };
        let quiet = STABLE.saturating_sub(now.duration_since(self.clear)).as_secs_f64().ceil();
        Some(match answers {
            0 => format!("{quiet} s without a fault"),
            1 => "1 more answer to its probe".to_owned(),
            answers => format!("{answers} more answers to its probe"),
        })
    }
}
