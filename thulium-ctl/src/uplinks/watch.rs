//! All uplinks of a policy over time: their health, what becomes of their clients, and what the log and `uplinks` say of it. Pure: time
//! is passed in, and what follows is left to the daemon.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use thulium_ebpf::abi::{CHOICES, Choices, UplinkState};

use super::{
    Candidate, Ground, UplinkGround, choices,
    event::{Event, What},
    health::{Condition, Health, Limits, Standing, Trial, judge},
};
use crate::policy::{OnUplinkDown, Policy, image::Slots};

/// The uplinks of a policy.
#[derive(Clone, Debug)]
pub struct Watch {
    uplinks: Vec<Watched>,
    on_down: OnUplinkDown,
}

/// An uplink under watch.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its name in the policy.
    pub name: String,
    /// Its slot.
    pub slot: u8,
    /// Its weight in the policy.
    pub weight: Option<u8>,
    /// Whether it carries anything.
    pub health: Health,
    /// What becomes of its clients.
    pub standing: Standing,
    /// Since when `standing` and the condition of `health` are what they are.
    pub since: SystemTime,
    /// Its latest probe.
    pub probed: Option<Probed>,
    condition: Condition,
}

/// A probe that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Whom it asked; `None`: it could not be made.
    pub target: Option<SocketAddr>,
    /// When it ended.
    pub at: SystemTime,
    /// What came of it.
    pub trial: Trial,
}

impl Watch {
    /// Of the uplinks of `policy`, given what the datapath has of them (`states`, by name): a daemon that is started again moves
    /// nobody.
    pub fn new(
        policy: &Policy,
        slots: &Slots,
        states: &BTreeMap<String, UplinkState>,
        ground: &Ground,
        now: Moment,
    ) -> Self {
        let limits = Limits::of(policy);
        let watched = |(uplink, seen): (&_, &UplinkGround)| {
            let slot = slots.uplink(&seen.name)?;
            let state = states.get(&seen.name).copied().unwrap_or(UplinkState::Unused);
            Some(Watched::new(uplink, slot, state, limits, seen, now))
        };
        let uplinks = policy.uplinks.iter().zip(&ground.uplinks).filter_map(watched).collect();
        Self { uplinks, on_down: policy.on_uplink_down }
    }

    /// The uplinks in the policy's order.
    pub fn uplinks(&self) -> &[Watched] {
        &self.uplinks
    }

    /// True if there is but one: then it is never lost.
    pub fn is_alone(&self) -> bool {
        self.uplinks.len() == 1
    }

    /// Takes up what a look at the interfaces shows.
    pub fn look(&mut self, ground: &Ground, now: Moment) {
        for (uplink, seen) in self.uplinks.iter_mut().zip(&ground.uplinks) {
            uplink.health.look(seen.sight(), now.instant);
        }
    }

    /// Takes up a probe of the uplink in this slot.
    pub fn tried(&mut self, slot: u8, probed: Probed, now: Moment) {
        if let Some(uplink) = self.uplinks.iter_mut().find(|uplink| uplink.slot == slot) {
            uplink.health.tried(probed.trial.clone(), now.instant);
            uplink.probed = Some(probed);
        }
    }

    /// Judges anew what becomes of whose clients. Returns what happened.
    pub fn settle(&mut self, now: Moment) -> Vec<Event> {
        for uplink in &mut self.uplinks {
            uplink.health.settle(now.instant);
        }
        let assessed: Vec<_> =
            self.uplinks.iter().map(|uplink| (uplink.health.assessment(), uplink.standing)).collect();
        let standings = judge(&assessed, self.on_down);
        let takers: Vec<String> = self.takers(&standings);
        let is_alone = self.is_alone();
        let mut events = Vec::new();
        for (uplink, standing) in self.uplinks.iter_mut().zip(standings) {
            let what = uplink.what_happened(standing, is_alone);
            let lasted = now.wall.duration_since(uplink.since).unwrap_or_default();
            if (uplink.standing, uplink.condition) != (standing, uplink.health.condition()) {
                uplink.since = now.wall;
            }
            (uplink.standing, uplink.condition) = (standing, uplink.health.condition());
            let Some(what) = what else { continue };
            events.push(Event {
                what,
                name: uplink.name.clone(),
                slot: uplink.slot,
                why: uplink.why(now.instant),
                takers: takers.iter().filter(|taker| **taker != uplink.name).cloned().collect(),
                lasted,
            });
        }
        events
    }

    /// Who takes new clients, given these standings.
    fn takers(&self, standings: &[Standing]) -> Vec<String> {
        let candidate = |(uplink, standing): (&Watched, &Standing)| Candidate {
            slot: uplink.slot,
            weight: uplink.weight,
            usable: *standing == Standing::Up,
        };
        let candidates: Vec<_> = self.uplinks.iter().zip(standings).map(candidate).collect();
        let places = choices(&candidates);
        let takes = |uplink: &&Watched| places.contains(&uplink.slot);
        self.uplinks.iter().filter(takes).map(|uplink| uplink.name.clone()).collect()
    }

    /// When [`Self::settle`] comes to something by itself.
    pub fn wakes(&self, now: Instant) -> Option<Instant> {
        self.uplinks.iter().filter_map(|uplink| uplink.health.wakes(now)).min()
    }

    /// Which uplink a new IPv4 client takes, by place. One alone takes all, whatever its state.
    pub fn choices(&self, ground: &Ground) -> Choices {
        let is_up = |uplink: &Watched| uplink.standing == Standing::Up;
        let best = self.candidates(ground, |uplink, seen| is_up(uplink) && seen.carries_ipv4());
        let slots = if best.iter().any(|candidate| candidate.usable) {
            choices(&best)
        } else {
            choices(&self.candidates(ground, |uplink, _| is_up(uplink)))
        };
        let regular = choices(&self.candidates(ground, |_, _| true));
        let is_substitute = |place: &usize| slots[*place] != regular[*place];
        let substitutes = (0..CHOICES).filter(is_substitute).fold(0, |places, place| places | 1 << place);
        Choices { slots, substitutes }
    }

    fn candidates(&self, ground: &Ground, usable: impl Fn(&Watched, &UplinkGround) -> bool) -> Vec<Candidate> {
        let candidate = |(uplink, seen): (&Watched, &UplinkGround)| Candidate {
            slot: uplink.slot,
            weight: uplink.weight,
            usable: usable(uplink, seen),
        };
        self.uplinks.iter().zip(&ground.uplinks).map(candidate).collect()
    }
}

/// A moment by both clocks: durations go by the one that never jumps, what people read by the other.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic.
    pub instant: Instant,
    /// Of the wall.
    pub wall: SystemTime,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    /// This much later.
    pub fn after(self, time: Duration) -> Self {
        Self { instant: self.instant + time, wall: self.wall + time }
    }
}

impl Watched {
    fn new(
        policy: &crate::policy::UplinkPolicy,
        slot: u8,
        state: UplinkState,
        limits: Limits,
        seen: &UplinkGround,
        now: Moment,
    ) -> Self {
        let mut health = match state {
            UplinkState::Unused => Health::fresh(limits, false, seen.sight(), now.instant),
            UplinkState::Up => Health::new(limits, false, now.instant),
            UplinkState::Lost | UplinkState::Held => Health::fresh(limits, true, seen.sight(), now.instant),
        };
        health.look(seen.sight(), now.instant);
        let standing = match state {
            UplinkState::Unused | UplinkState::Up => Standing::Up,
            UplinkState::Lost => Standing::Lost,
            UplinkState::Held => Standing::Held,
        };
        Self {
            name: policy.name.clone(),
            slot,
            weight: policy.weight,
            condition: health.condition(),
            health,
            standing,
            since: now.wall,
            probed: None,
        }
    }

    /// What the datapath is told.
    pub const fn state(&self) -> UplinkState {
        match self.standing {
            Standing::Up | Standing::Spared => UplinkState::Up,
            Standing::Lost => UplinkState::Lost,
            Standing::Held => UplinkState::Held,
        }
    }

    /// What is new, if its clients' standing becomes this; nothing happens to one that `is_alone` but what its interface says.
    fn what_happened(&self, standing: Standing, is_alone: bool) -> Option<What> {
        let is_down = self.health.condition() == Condition::Down;
        match (self.standing, standing) {
            _ if is_alone => None,
            (was, Standing::Up) if was != Standing::Up => Some(if is_down { What::LastResort } else { What::Back }),
            (Standing::Up, Standing::Up) => match (self.condition == Condition::Down, is_down) {
                (false, true) => Some(What::NoneBetter),
                (true, false) => Some(What::Well),
                _ => None,
            },
            (was, is) if was == is => None,
            (_, Standing::Lost) => Some(What::Lost),
            (_, Standing::Held) => Some(What::Held),
            (_, Standing::Spared) => Some(What::Spared),
            (_, Standing::Up) => None,
        }
    }

    /// What is wrong with it, a part of a sentence: "no answer through it for 8 s".
    pub fn why(&self, now: Instant) -> Option<String> {
        let fault = self.health.fault()?;
        Some(match self.health.silence(now) {
            Some(silence) => format!("{fault} for {} s", silence.as_secs_f64().round()),
            None => fault.to_string(),
        })
    }
}

#[cfg(test)]
mod tests;
