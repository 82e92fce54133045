//! What happens until the daemon is told to end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Mutex, watch},
    time::{MissedTickBehavior, interval},
};

use super::{Daemon, records, say};
use crate::{
    control::{Reply, Request},
    datapath::sweep,
    names::Snapshot,
    observe::{
        Source,
        status::{DaemonFacts, Mode, Warning, unresolved},
    },
    uplinks::Ground,
};

/// How often the interfaces are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the socket answers from.
struct Facts {
    daemon: DaemonFacts,
    names: watch::Receiver<Snapshot>,
}

impl Daemon {
    /// Serves the datapath until SIGTERM or SIGINT. It enforces on after that.
    ///
    /// # Errors
    /// If signals cannot be waited for.
    pub async fn serve(self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let facts = Arc::new(Mutex::new(Facts { daemon: self.facts(), names: self.names.clone() }));
        let Self {
            setup, policy, slots, ports, mut ground, mut ebpf, mut tables, endpoint, resolver, mut names, ..
        } = self;
        let instance = setup.pins.instance().to_owned();
        tokio::spawn(resolver.run());
        if setup.log_datapath {
            tokio::spawn(records::print(&mut ebpf)?);
        }
        let capacity = u32::try_from(tables.capacity()?).unwrap_or(u32::MAX);
        let answer = {
            let facts = Arc::clone(&facts);
            move |request| answer(Arc::clone(&facts), request)
        };
        let served = endpoint.serve(answer);
        tokio::pin!(served);
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
                    report(&facts, "the addresses of names", tables.publish_remotes(&snapshot, &slots)).await;
                }
                _ = look.tick() => {
                    let Ok(present) = Ground::read(&policy) else { continue };
                    if present != ground {
                        say(&format!("the interfaces changed: {}", describe(&present)));
                        let done = tables.publish_uplink(0, present.uplink_index, present.uplink_address);
                        report(&facts, "the uplink's address", done.map(|_| ())).await;
                        if present.clients != ground.clients {
                            let done = tables.publish(&policy, &slots, &present.clients, ports);
                            report(&facts, "the LAN's clients", done.map(|_| ())).await;
                        }
                        ground = present;
                    }
                }
                _ = sweeping.tick() => report(&facts, "the sweeper", sweep::sweep(&ebpf, capacity)).await,
            }
        }
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        say(&format!(
            "the daemon ends; the datapath enforces on. Take it off with: thulium-ctl --instance {instance} down"
        ));
        Ok(())
    }

    fn facts(&self) -> DaemonFacts {
        DaemonFacts {
            pid: std::process::id(),
            since: self.since,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            policy: self.setup.file.clone(),
            system: self.policy.system.clone(),
            mode: Mode::from(self.policy.mode),
            interfaces: self.attachments.clone(),
            uplinks: self
                .policy
                .uplinks
                .iter()
                .map(|uplink| (uplink.interface.clone(), uplink.name.clone()))
                .collect::<BTreeMap<_, _>>(),
            unresolved: Vec::new(),
            warnings: self.warnings.clone(),
        }
    }
}

async fn answer(facts: Arc<Mutex<Facts>>, request: Request) -> Reply {
    let facts = facts.lock().await;
    let names = facts.names.borrow();
    match request {
        Request::Hosts => Reply::Hosts(names.hosts.clone()),
        Request::Status => {
            let mut daemon = facts.daemon.clone();
            daemon.unresolved = unresolved(&names.hosts);
            daemon.warnings.extend(names.state_trouble.as_deref().map(|trouble| Warning::new(trouble, "")));
            Reply::Status(Box::new(daemon))
        }
    }
}

/// Tells the log and `status` when something could not be taken up; what is in force stays.
async fn report(facts: &Mutex<Facts>, what: &str, done: anyhow::Result<()>) {
    let Err(error) = done else { return };
    let line = format!("{what} could not be taken up: {error:#}");
    say(&line);
    let warning = Warning::new(line, "What is in force stays in force.");
    let warnings = &mut facts.lock().await.daemon.warnings;
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

fn describe(ground: &Ground) -> String {
    let address = ground.uplink_address.map_or("no address".to_owned(), |address| address.to_string());
    let clients: Vec<String> = ground.clients.iter().map(ToString::to_string).collect();
    format!("the uplink has {address}, clients are {}", clients.join(", "))
}
