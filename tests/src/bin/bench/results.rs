//! Everything that a run found, before anything is concluded from it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    machine::Machine,
    sample::Contender,
    statistics::{Samples, Spread, ratio},
};

/// One value of a contender in a round, in the unit of what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Reading {
    /// Whose.
    pub(crate) contender: Contender,
    /// In which round, from 0.
    pub(crate) round: u32,
    /// How much.
    pub(crate) value: f64,
}

/// Readings of one kind.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Readings(pub(crate) Vec<Reading>);

impl Readings {
    /// Adds one.
    pub(crate) fn push(&mut self, contender: Contender, round: u32, value: f64) {
        self.0.push(Reading { contender, round, value });
    }

    /// Who was measured, in the order of the first round.
    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let mut contenders: Vec<Contender> = self.0.iter().map(|reading| reading.contender).collect();
        contenders.sort();
        contenders.dedup();
        contenders
    }

    fn of(&self, contender: Contender) -> impl Iterator<Item = &Reading> {
        self.0.iter().filter(move |reading| reading.contender == contender)
    }

    /// A contender's values.
    pub(crate) fn spread(&self, contender: Contender) -> Option<Spread> {
        Spread::of(self.of(contender).map(|reading| reading.value))
    }

    /// How many times more `contender` has than `base`, round by round.
    pub(crate) fn ratio(&self, contender: Contender, base: Contender) -> Option<Spread> {
        ratio(&self.by_round(contender), &self.by_round(base))
    }

    /// How many times more a contender has here than there, round by round.
    pub(crate) fn ratio_to(&self, base: &Self, contender: Contender) -> Option<Spread> {
        ratio(&self.by_round(contender), &base.by_round(contender))
    }

    fn by_round(&self, contender: Contender) -> BTreeMap<u32, f64> {
        self.of(contender).map(|reading| (reading.round, reading.value)).collect()
    }
}

/// Kernel memory of a contender's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// Whose.
    pub(crate) contender: Contender,
    /// Sessions that it had.
    pub(crate) sessions: u32,
    /// Each of its maps, bytes.
    pub(crate) maps: BTreeMap<String, u64>,
}

impl Memory {
    /// All maps together.
    pub(crate) fn bytes(&self) -> f64 {
        self.maps.values().sum::<u64>() as f64
    }
}

/// Who was not compared over so many flows, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    /// Who.
    pub(crate) contender: Contender,
    /// Over how many flows.
    pub(crate) flows: u32,
    /// Why, and what would help.
    pub(crate) reason: String,
}

/// A sweep over all sessions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sweep {
    /// Sessions that there were.
    pub(crate) sessions: u32,
    /// How long one CPU took, milliseconds.
    pub(crate) time: Readings,
    /// Packets out by the same sessions that were sent undisturbed on another CPU: nanoseconds each.
    pub(crate) undisturbed: Readings,
    /// The same while it swept all the time.
    pub(crate) disturbed: Readings,
}

/// All of a run.
pub(crate) struct Results {
    /// Where it was measured.
    pub(crate) machine: Machine,
    /// Flow counts, ascending.
    pub(crate) flows: Vec<u32>,
    /// Who was asked for, in the order of a round.
    pub(crate) contenders: Vec<Contender>,
    /// Packets took the flows in another order than that in which they were opened.
    pub(crate) scattered: bool,
    /// Established sessions.
    pub(crate) samples: Samples,
    /// Who could not be compared.
    pub(crate) left_out: Vec<LeftOut>,
    /// What could not be measured, each with its reason.
    pub(crate) failed: Vec<String>,
    /// First packets of sessions, CPU time, nanoseconds.
    pub(crate) openings: Readings,
    /// What sessions take.
    pub(crate) memory: Vec<Memory>,
    /// One of nftables' connections, bytes, without what is beside it.
    pub(crate) conntrack: Option<u64>,
    /// There and back, microseconds: the median of a round.
    pub(crate) median_latency: Readings,
    /// The same: 99 of 100 are faster.
    pub(crate) tail_latency: Readings,
    /// TCP with offloads on, Gbit/s.
    pub(crate) throughput: Readings,
    /// From the start of the daemon until everything is attached, milliseconds.
    pub(crate) starts: Readings,
    /// The same with another policy, and sessions that go on, milliseconds.
    pub(crate) changes: Readings,
    /// Sweeps.
    pub(crate) sweep: Sweep,
}

impl Results {
    /// None yet.
    pub(crate) fn new(machine: Machine, flows: Vec<u32>, contenders: Vec<Contender>) -> Self {
        Self {
            machine,
            flows,
            contenders,
            scattered: false,
            samples: Samples::default(),
            left_out: Vec::new(),
            failed: Vec::new(),
            openings: Readings::default(),
            memory: Vec::new(),
            conntrack: None,
            median_latency: Readings::default(),
            tail_latency: Readings::default(),
            throughput: Readings::default(),
            starts: Readings::default(),
            changes: Readings::default(),
            sweep: Sweep::default(),
        }
    }

    /// What a contender's memory was before it had any session.
    pub(crate) fn least_memory(&self, contender: Contender) -> Option<&Memory> {
        self.memory.iter().find(|memory| memory.contender == contender && memory.sessions == 0)
    }

    /// What it was when it had most sessions.
    pub(crate) fn most_memory(&self, contender: Contender) -> Option<&Memory> {
        let mine = self.memory.iter().filter(|memory| memory.contender == contender && memory.sessions > 0);
        mine.max_by_key(|memory| memory.sessions)
    }
}
