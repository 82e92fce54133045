//! What happens until the daemon is told to end.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use futures_util::StreamExt;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Daemon,
    facts::answer,
    follow::Follower,
    names::{Told, TroubledNames, learn},
    probes::Probes,
    records, say,
};
use crate::{
    datapath::{
        sweep::{self, Sweeper},
        xdp::FeatureChanges,
    },
    uplinks::{self, Change},
};

/// How often the interfaces are looked at, whether or not the kernel tells of a change.
const LOOK: Duration = Duration::from_secs(1);
/// As good as never.
const NEVER: Duration = Duration::from_secs(86_400);

impl Daemon {
    /// Serves the datapath until SIGTERM or SIGINT. It enforces on after that.
    ///
    /// # Errors
    /// If signals cannot be waited for.
    pub async fn serve(self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let facts = Arc::new(Mutex::new(self.facts()?));
        let Self { setup, policy, kernel, ground, present, mut in_force, endpoint, resolver, mut names, .. } = self;
        let (instance, file) = (setup.pins.instance().to_owned(), setup.file.clone());
        tokio::spawn(learn(&mut in_force.ebpf, resolver.teacher())?);
        tokio::spawn(resolver.run());
        if setup.log_datapath {
            tokio::spawn(records::print(&mut in_force.ebpf)?);
        }
        let mut probes = Probes::new(&policy);
        let mut changes = uplinks::changes()?;
        let mut features = FeatureChanges::listen();
        let mut follower = Follower {
            setup,
            policy,
            in_force,
            kernel,
            seen: ground.clone(),
            ground,
            present,
            told: Told::default(),
            routes: (Vec::new(), 0),
            is_told: true,
            facts: Arc::clone(&facts),
            sweeper: Sweeper::default(),
        };
        let served = endpoint.serve(move |request| answer(Arc::clone(&facts), request));
        tokio::pin!(served);
        let mut troubled = TroubledNames::default();
        troubled.tell(&names.borrow().hosts);
        let mut look = interval(LOOK);
        let mut sweeping = interval(sweep::INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweeping.set_missed_tick_behavior(MissedTickBehavior::Delay);

        say(&format!("ready: instance `{instance}`, policy {}", file.display()));
        // Outside systemd there is nobody to notify.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        loop {
            let (wake, sweep) = (at(follower.wakes()), at(follower.sweeps()));
            tokio::select! {
                () = &mut served => {}
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Ok(()) = names.changed() => {
                    let snapshot = names.borrow_and_update().clone();
                    troubled.tell(&snapshot.hosts);
                    follower.follow_names(&snapshot).await;
                }
                Some(change) = changes.next() => {
                    follower.is_told |= change == Change::Routing;
                    look.reset_immediately();
                }
                () = features.next() => look.reset_immediately(),
                _ = look.tick() => follower.look().await,
                () = sleep_until(wake) => follower.judge().await,
                next = probes.next() => {
                    match next {
                        Some((slot, probed)) => follower.probed(&mut probes, slot, probed).await,
                        None => {
                            let snapshot = names.borrow().clone();
                            follower.probe(&mut probes, &snapshot).await;
                        }
                    }
                }
                () = sleep_until(sweep) => follower.sweep().await,
                _ = sweeping.tick() => {
                    follower.sweep().await;
                    follower.keep_pins().await;
                }
            }
            follower.publish_reports(&probes).await;
        }
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        follower.write_pins().await;
        let remains = follower.setup.pins.exist().unwrap_or(true);
        say(&farewell(&instance, remains));
        Ok(())
    }
}

/// The moment to wait for; if there is none, one that does not come.
fn at(moment: Option<std::time::Instant>) -> Instant {
    moment.map_or_else(|| Instant::now() + NEVER, Instant::from_std)
}

/// The last line in the log. `down` ends the daemon before it takes the datapath off, so that this has to be true then, too.
fn farewell(instance: &str, datapath_remains: bool) -> String {
    if !datapath_remains {
        return "the daemon ends; nothing of the datapath is left".to_owned();
    }
    format!("the daemon ends; the datapath stays in force until `thulium-ctl --instance {instance} down`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_stays() {
        assert!(farewell("office-2", true).ends_with("until `thulium-ctl --instance office-2 down`"));
        assert!(!farewell("office-2", false).contains("in force"));
    }
}
