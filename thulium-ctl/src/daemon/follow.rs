//! What changes at the interfaces, and what becomes of the uplinks: taken up in the kernel, told to the log and to the commands.

use super::{
    InForce, Setup,
    facts::{SharedFacts, report},
    names::Told,
    probes::{Probes, resolve_next_hops},
    say,
};
use crate::{
    datapath::{attach, sweep::Sweeper},
    names::Snapshot,
    observe::status::Warning,
    policy::Policy,
    uplinks::{DefaultRoute, Event, Ground, Kernel, Lists, Moment, Present, Probed, What, changes_of},
};

/// Looks until routes are asked for again of which the kernel tells nothing.
const ROUTES_LAST: u32 = 10;

/// What is in force, and what it was made of.
pub(super) struct Follower {
    pub(super) setup: Setup,
    pub(super) policy: Policy,
    pub(super) in_force: InForce,
    pub(super) kernel: Kernel,
    /// What the interfaces looked like when it was last taken up.
    pub(super) ground: Ground,
    /// What they looked like at the last look.
    pub(super) seen: Ground,
    pub(super) present: Present,
    /// What the datapath was last told of names.
    pub(super) told: Told,
    /// What the kernel's default routes were when it last told of a change, and for how many looks they have been taken to be so.
    pub(super) routes: (Vec<DefaultRoute>, u32),
    /// True if the kernel has told of a change since the routes for marked packets were last set: some may have gone with a link that is
    /// back already.
    pub(super) is_told: bool,
    pub(super) facts: SharedFacts,
    pub(super) sweeper: Sweeper,
}

impl Follower {
    /// Looks at the interfaces, and takes up what changed. What cannot be taken up is tried again at the next look.
    pub(super) async fn look(&mut self) {
        let done = self.told.resolvers(&self.policy.resolvers, &mut self.in_force.tables);
        report(&self.facts, "whose DNS replies teach", done).await;
        let read = self.read().await;
        let Some(is) = self.taken("the state of the interfaces", read).await else { return };
        if (&is.interfaces, is.describe()) != (&self.seen.interfaces, self.seen.describe()) {
            say(&format!("the interfaces changed: {}", is.describe()));
        }
        for (was, is) in self.seen.uplinks.iter().zip(&is.uplinks) {
            let in_force = self.present.addresses.get(&is.name).copied();
            changes_of(in_force, was, is).iter().for_each(|line| say(line));
        }
        self.seen = is.clone();
        self.in_force.uplinks.watch.look(&is, Moment::now());
        if is != self.ground {
            let done = self.in_force.follow(&self.setup, &self.policy, &self.ground, &is);
            let is_taken_up = report(&self.facts, "the change of the interfaces", done).await;
            let mut facts = self.facts.lock().await;
            facts.ground = self.in_force.warnings_of(&is, &self.policy);
            facts.daemon.uplinks = is.now();
            facts.daemon.interfaces.clone_from(&self.in_force.attachments);
            drop(facts);
            if is_taken_up {
                self.present = is.as_present(&self.present);
                self.ground = is;
            }
        }
        self.follow_xdp().await;
        self.judge().await;
        if self.is_told {
            self.route().await;
        }
    }

    /// Sets the routes for marked packets; with one uplink there are none.
    async fn route(&mut self) {
        if self.in_force.uplinks.watch.is_alone() {
            self.is_told = false;
            return;
        }
        let done = self.in_force.uplinks.route(&self.in_force.slots, &self.seen);
        if let Some(lines) = self.taken("the routes for marked packets", done).await {
            self.is_told = false;
            lines.iter().for_each(|line| say(line));
        }
    }

    /// Judges what becomes of whose clients, and lets the datapath know.
    pub(super) async fn judge(&mut self) {
        let events = self.in_force.uplinks.watch.settle(Moment::now());
        let InForce { uplinks, tables, slots, .. } = &mut self.in_force;
        let done = uplinks.publish(tables, &self.policy, slots, &self.seen.at_interfaces_of(&self.ground));
        report(&self.facts, "the state of the uplinks", done).await;
        for event in &events {
            if event.what == What::Lost {
                self.drop_waiting(event.slot).await;
            }
            let done = self.tell(event);
            report(&self.facts, "the end of an uplink's sessions", done).await;
        }
    }

    /// Tells the log; what sessions held that are lost is given back.
    fn tell(&mut self, event: &Event) -> anyhow::Result<()> {
        say(&event.line(self.in_force.tables.pinned_clients(event.slot)?));
        if event.what == What::Lost {
            self.sweeper.look_at_all();
        }
        Ok(())
    }

    /// Drops what still waits for the next hops of an uplink.
    async fn drop_waiting(&self, slot: u8) {
        let watched = self.in_force.uplinks.watch.uplinks().iter().zip(&self.seen.uplinks);
        for (_, seen) in watched.filter(|(watched, _)| watched.slot == slot) {
            let Some(index) = seen.index else { continue };
            for hop in [&seen.way4, &seen.way6].into_iter().filter_map(|way| way.next_hop()) {
                self.kernel.drop_waiting(index, hop.address).await;
            }
        }
    }

    /// Sends probes, and has the kernel ask whether next hops are there.
    pub(super) async fn probe(&mut self, probes: &mut Probes, names: &Snapshot) {
        let InForce { uplinks, tables, .. } = &mut self.in_force;
        let done = probes.send(&self.policy, names, &self.seen, &uplinks.watch, tables);
        report(&self.facts, "a probe", done).await;
        if !self.in_force.uplinks.watch.is_alone() {
            resolve_next_hops(&self.kernel, &self.seen).await;
        }
    }

    /// Takes up what came of a probe.
    pub(super) async fn probed(&mut self, probes: &mut Probes, slot: u8, probed: Probed) {
        let done = probes.ended(slot, &mut self.in_force.tables);
        report(&self.facts, "the end of a probe", done).await;
        self.in_force.uplinks.watch.tried(slot, probed, Moment::now());
        self.judge().await;
    }

    /// Lets the commands know how the uplinks are.
    pub(super) async fn publish_reports(&self, probes: &Probes) {
        let reports = self.in_force.uplinks.watch.reports(&self.seen, probes.untested(), Moment::now());
        self.facts.lock().await.uplinks = reports;
    }

    /// Puts the addresses of names in force.
    pub(super) async fn follow_names(&mut self, names: &Snapshot) {
        let InForce { tables, slots, .. } = &mut self.in_force;
        let done = self.told.addresses(names, slots, tables);
        report(&self.facts, "the addresses of names", done).await;
    }

    /// Sweeps a part of the sessions.
    pub(super) async fn sweep(&mut self) {
        let done = self.sweeper.sweep(&self.in_force.ebpf);
        report(&self.facts, "stale sessions", done).await;
    }

    /// Looks after the clients' pins.
    pub(super) async fn keep_pins(&mut self) {
        let kept = self.in_force.clients.keep(&self.in_force.tables);
        for line in self.taken("the clients' pins", kept).await.unwrap_or_default() {
            say(&line);
        }
    }

    /// Writes the clients' pins down.
    pub(super) async fn write_pins(&mut self) {
        let written = self.in_force.clients.finish(&self.in_force.tables);
        report(&self.facts, "the clients' pins", written).await;
    }

    /// When the sweep goes on that is under way.
    pub(super) const fn sweeps(&self) -> Option<std::time::Instant> {
        self.sweeper.wakes()
    }

    /// When an uplink's state changes by itself.
    pub(super) fn wakes(&self) -> Option<std::time::Instant> {
        self.in_force.uplinks.watch.wakes(Moment::now().instant)
    }

    /// Routes can be many, and the kernel tells when a default route changes: they are asked for only then, and from time to time.
    async fn read(&mut self) -> anyhow::Result<Ground> {
        self.routes.1 += 1;
        if self.is_told || self.routes.1 >= ROUTES_LAST {
            self.routes = (self.kernel.routes().await?, 0);
        }
        let neighbours = self.kernel.neighbours().await?;
        Ground::read(&self.policy, &self.present, Lists { routes: self.routes.0.clone(), neighbours })
    }

    /// What came of it; `None` if it failed, which is told.
    async fn taken<T>(&self, what: &'static str, done: anyhow::Result<T>) -> Option<T> {
        let (value, done) = match done {
            Ok(value) => (Some(value), Ok(())),
            Err(error) => (None, Err(error)),
        };
        report(&self.facts, what, done).await;
        value
    }
}

impl InForce {
    /// Takes up what was attached.
    pub(super) fn take(&mut self, attached: attach::Attached) {
        let unlearned = attached.warning();
        if let Some(error) = attached.unlearned.as_ref().filter(|_| unlearned != self.unlearned) {
            say(&format!("names are not learned from DNS replies: {error:#}"));
        }
        self.unlearned = unlearned;
        self.attachments = attached.interfaces;
    }

    /// What the admin should know of the interfaces, and of the programs there.
    pub(super) fn warnings_of(&self, ground: &Ground, policy: &Policy) -> Vec<Warning> {
        ground.warnings(policy).into_iter().chain(self.unlearned.clone()).collect()
    }

    /// Takes up what changed at the interfaces: one that was made anew has another index and no programs yet.
    fn follow(&mut self, setup: &Setup, policy: &Policy, was: &Ground, is: &Ground) -> anyhow::Result<()> {
        if is.interfaces != was.interfaces {
            attach::check(policy, &is.interfaces, &setup.pins)?;
            self.tables.announce_interfaces(&is.interfaces, &is.slots_of_interfaces(&self.slots))?;
        }
        if (&is.interfaces, &is.clients) != (&was.interfaces, &was.clients) {
            // An interface that was made anew begins with the kernel's defaults.
            for line in self.host.set(policy, is.governs_ipv6())? {
                say(&line);
            }
        }
        if is.clients != was.clients {
            self.tables.publish(policy, &self.slots, &is.clients, self.ports)?;
        }
        if is.interfaces != was.interfaces {
            let attached = attach::attach(&mut self.ebpf, policy, &is.interfaces, &setup.pins, &mut self.tables)?;
            self.take(attached);
            // An interface without a guard is no uplink yet.
            self.tables.publish_interfaces(&is.interfaces, &is.slots_of_interfaces(&self.slots))?;
            attach::release_others(policy, &is.interfaces, &setup.pins)?;
            self.forward(policy, &is.interfaces)?;
        }
        self.uplinks.publish(&mut self.tables, policy, &self.slots, is)?;
        self.tables.publish_newest(is.newest)
    }
}
