//! The probes through the uplinks, one at a time through each.

use std::{collections::BTreeSet, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    datapath::{marks::Marks, tables::Tables},
    names::Snapshot,
    policy::Policy,
    uplinks::{
        Ground, Kernel, Moment, Probed, UplinkGround, Watch,
        health::{Limits, Path, Probe, Target, Trial, is_asked_for, targets},
    },
};

/// The probes that are under way, and when to send the next ones.
pub(super) struct Probes {
    marks: Marks,
    patience: Duration,
    /// Slots of the uplinks whose probe is under way.
    running: BTreeSet<u8>,
    /// Why nobody is asked, if so.
    untested: Option<String>,
    done: mpsc::UnboundedSender<(u8, Probed)>,
    results: mpsc::UnboundedReceiver<(u8, Probed)>,
    due: Interval,
}

impl Probes {
    /// Of this policy.
    pub(super) fn new(policy: &Policy) -> Self {
        let limits = Limits::of(policy);
        let patience = limits.probe_patience();
        let (done, results) = mpsc::unbounded_channel();
        let mut due = interval(limits.probe_interval());
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let marks = Marks::of(policy.datapath.mark, policy.uplinks.len());
        Self { marks, patience, running: BTreeSet::new(), untested: None, done, results, due }
    }

    /// What is next: a probe that has ended (its slot is given), or the time for new ones (`None`).
    pub(super) async fn next(&mut self) -> Option<(u8, Probed)> {
        tokio::select! {
            biased;
            result = self.results.recv() => result,
            _ = self.due.tick() => None,
        }
    }

    /// Sends a probe through each uplink that has none under way.
    ///
    /// # Errors
    /// If the datapath cannot be told of it.
    pub(super) fn send(
        &mut self,
        policy: &Policy,
        names: &Snapshot,
        ground: &Ground,
        watch: &Watch,
        tables: &mut Tables,
    ) -> anyhow::Result<()> {
        let target = targets(policy, names);
        self.untested = target.as_ref().err().cloned();
        if !is_asked_for(policy) {
            return Ok(());
        }
        for (uplink, seen) in watch.uplinks().iter().zip(&ground.uplinks) {
            if !self.running.insert(uplink.slot) {
                continue;
            }
            let bound = target.as_ref().map_err(Clone::clone);
            let bound = bound.and_then(|target| self.bind(uplink.slot, seen, target, uplink.health.failures()));
            let (slot, done, patience) = (uplink.slot, self.done.clone(), self.patience);
            match bound {
                Ok(probe) => {
                    tables.publish_probe(slot, probe.port)?;
                    tokio::spawn(async move {
                        let target = Some(probe.target);
                        let trial = probe.run(patience).await;
                        // The daemon is ending if nobody listens any more.
                        let _ = done.send((slot, Probed { target, at: Moment::now().wall, trial }));
                    });
                }
                Err(why) => {
                    let trial = Trial::NotRun(why);
                    let _ = done.send((slot, Probed { target: None, at: Moment::now().wall, trial }));
                }
            }
        }
        Ok(())
    }

    /// Takes note that a probe has ended.
    ///
    /// # Errors
    /// If the datapath cannot be told of it.
    pub(super) fn ended(&mut self, slot: u8, tables: &mut Tables) -> anyhow::Result<()> {
        self.running.remove(&slot);
        tables.publish_probe(slot, 0)
    }

    /// Why nobody is asked, a part of a sentence; `None`: somebody is.
    pub(super) fn untested(&self) -> Option<&str> {
        self.untested.as_deref()
    }

    fn bind(&self, slot: u8, seen: &UplinkGround, target: &Target, failures: u32) -> Result<Probe, String> {
        let path = Path {
            interface: &seen.interface,
            link: seen.link,
            mark: self.marks.of_slot(slot.into()).unwrap_or_default(),
            source4: seen.ipv4.filter(|_| seen.way4.leads_out()),
            source6: seen.ipv6.filter(|_| seen.way6.leads_out()),
        };
        Probe::bind(path, target, failures)
    }
}

/// Has the kernel find out whether the next hops are there that it is not sure of: where no probe goes, no packet would.
pub(super) async fn resolve_next_hops(kernel: &Kernel, ground: &Ground) {
    for seen in &ground.uplinks {
        let Some(index) = seen.index else { continue };
        for hop in [&seen.way4, &seen.way6].into_iter().filter_map(|way| way.next_hop()) {
            kernel.resolve(index, hop.address).await;
        }
    }
}
