//! What happens until the daemon is told to end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use futures_util::StreamExt;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Mutex, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    Daemon, InForce, Setup,
    names::{Told, TroubledNames, learn},
    records, say,
};
use crate::{
    control::{PolicyInForce, Reply, Request},
    datapath::{attach, sweep},
    names::Snapshot,
    observe::{
        Source,
        status::{DaemonFacts, Mode, Warning, unresolved},
    },
    policy::{Document, Policy},
    uplinks::{self, Ground, UplinkReport},
};

/// How often the interfaces are looked at, whether or not the kernel tells of a change.
const LOOK: Duration = Duration::from_secs(1);

/// What the socket answers from.
struct Facts {
    daemon: DaemonFacts,
    names: watch::Receiver<Snapshot>,
    /// In force, as YAML.
    policy: String,
    /// Of the interfaces, as they are now.
    ground: Vec<Warning>,
    uplinks: Vec<UplinkReport>,
    /// What could not be taken up, until it is.
    troubles: BTreeMap<&'static str, String>,
}

type SharedFacts = Arc<Mutex<Facts>>;

impl Daemon {
    /// Serves the datapath until SIGTERM or SIGINT. It enforces on after that.
    ///
    /// # Errors
    /// If signals cannot be waited for.
    pub async fn serve(self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let facts = Arc::new(Mutex::new(self.facts()?));
        let Self { setup, policy, mut ground, mut in_force, endpoint, resolver, mut names, .. } = self;
        let instance = setup.pins.instance().to_owned();
        tokio::spawn(learn(&mut in_force.ebpf, resolver.teacher())?);
        tokio::spawn(resolver.run());
        if setup.log_datapath {
            tokio::spawn(records::print(&mut in_force.ebpf)?);
        }
        let capacity = u32::try_from(in_force.tables.capacity()?).unwrap_or(u32::MAX);
        let answer = {
            let facts = Arc::clone(&facts);
            move |request| answer(Arc::clone(&facts), request)
        };
        let served = endpoint.serve(answer);
        tokio::pin!(served);
        let mut changes = uplinks::changes()?;
        let mut told = Told::default();
        let mut troubled = TroubledNames::default();
        troubled.tell(&names.borrow().hosts);
        let mut seen = ground.clone();
        let mut look = interval(LOOK);
        let mut sweeping = interval(sweep::INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweeping.set_missed_tick_behavior(MissedTickBehavior::Delay);

        say(&format!("ready: instance `{instance}`, policy {}", setup.file.display()));
        // Outside systemd there is nobody to notify.
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        loop {
            tokio::select! {
                () = &mut served => {}
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Ok(()) = names.changed() => {
                    let snapshot = names.borrow_and_update().clone();
                    troubled.tell(&snapshot.hosts);
                    let done = told.addresses(&snapshot, &in_force.slots, &mut in_force.tables);
                    report(&facts, "the addresses of names", done).await;
                }
                Some(()) = changes.next() => look.reset_immediately(),
                _ = look.tick() => {
                    let done = told.resolvers(&policy.resolvers, &mut in_force.tables);
                    report(&facts, "whose DNS replies teach", done).await;
                    let present = match Ground::read(&policy, ground.as_present()) {
                        Ok(present) => present,
                        Err(error) => {
                            report(&facts, "the state of the interfaces", Err(error)).await;
                            continue;
                        }
                    };
                    report(&facts, "the state of the interfaces", Ok(())).await;
                    if present != seen {
                        say(&format!("the interfaces changed: {}", present.describe()));
                        seen = present.clone();
                    }
                    if present != ground {
                        let done = in_force.follow(&setup, &policy, &ground, &present);
                        // What could not be taken up is tried again at the next look.
                        let is_taken_up = done.is_ok();
                        report(&facts, "the change of the interfaces", done).await;
                        let mut facts = facts.lock().await;
                        facts.ground = in_force.warnings_of(&present, &policy);
                        facts.daemon.uplinks.clone_from(&present.uplinks);
                        facts.daemon.interfaces.clone_from(&in_force.attachments);
                        if is_taken_up {
                            ground = present;
                        }
                    }
                }
                _ = sweeping.tick() => {
                    report(&facts, "stale sessions", sweep::sweep(&in_force.ebpf, capacity)).await;
                }
            }
        }
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        say(&format!(
            "the daemon ends; the datapath enforces on. Take it off with: thulium-ctl --instance {instance} down"
        ));
        Ok(())
    }

    fn facts(&self) -> anyhow::Result<Facts> {
        let daemon = DaemonFacts {
            pid: std::process::id(),
            since: self.since,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            policy: self.setup.file.clone(),
            system: self.policy.system.clone(),
            mode: Mode::from(self.policy.mode),
            interfaces: self.in_force.attachments.clone(),
            uplinks: self.ground.uplinks.clone(),
            unresolved: Vec::new(),
            warnings: self.in_force.warnings.clone(),
        };
        let ground = self.in_force.warnings_of(&self.ground, &self.policy);
        let policy = Document::from(&self.policy).to_yaml()?;
        Ok(Facts { daemon, names: self.names.clone(), policy, ground, uplinks: Vec::new(), troubles: BTreeMap::new() })
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
    fn warnings_of(&self, ground: &Ground, policy: &Policy) -> Vec<Warning> {
        ground.warnings(policy).into_iter().chain(self.unlearned.clone()).collect()
    }

    /// Takes up what changed at the interfaces: one that was made anew has another index and no programs yet.
    fn follow(&mut self, setup: &Setup, policy: &Policy, was: &Ground, is: &Ground) -> anyhow::Result<()> {
        if is.interfaces != was.interfaces {
            attach::check(policy, &is.interfaces, &setup.pins)?;
            self.tables.publish_interfaces(&is.interfaces)?;
        }
        self.tables.publish_uplink(0, is.uplink_index(), is.outside)?;
        if is.clients != was.clients {
            for line in self.host.set(policy, is.governs_ipv6())? {
                say(&line);
            }
            self.tables.publish(policy, &self.slots, &is.clients, self.ports)?;
        }
        if is.interfaces != was.interfaces {
            let attached = attach::attach(&mut self.ebpf, policy, &is.interfaces, &setup.pins)?;
            self.take(attached);
            attach::release_others(policy, &is.interfaces, &setup.pins)?;
        }
        Ok(())
    }
}

async fn answer(facts: SharedFacts, request: Request) -> Reply {
    let facts = facts.lock().await;
    let names = facts.names.borrow();
    match request {
        Request::Hosts => Reply::Hosts(names.hosts.clone()),
        Request::Uplinks => Reply::Uplinks(facts.uplinks.clone()),
        Request::Policy => Reply::Policy(PolicyInForce {
            file: facts.daemon.policy.clone(),
            process: facts.daemon.pid,
            text: facts.policy.clone(),
        }),
        Request::Status => {
            let mut daemon = facts.daemon.clone();
            daemon.unresolved = unresolved(&names.hosts);
            daemon.warnings.extend(facts.ground.iter().cloned());
            daemon.warnings.extend(facts.troubles.values().map(|trouble| Warning::new(trouble, "It is tried again.")));
            daemon.warnings.extend(names.state_trouble.as_deref().map(|trouble| Warning::new(trouble, "")));
            Reply::Status(Box::new(daemon))
        }
    }
}

/// Tells the log and `status` when something could not be taken up; what is in force stays.
async fn report(facts: &Mutex<Facts>, what: &'static str, done: anyhow::Result<()>) {
    let troubles = &mut facts.lock().await.troubles;
    match done {
        Ok(()) => {
            troubles.remove(what);
        }
        Err(error) => {
            let line = format!("{what} could not be taken up: {error:#}");
            if troubles.insert(what, line.clone()).as_ref() != Some(&line) {
                say(&line);
            }
        }
    }
}
