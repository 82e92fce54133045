//! What the commands are told over the socket.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{Mutex, watch};

use super::{Daemon, say};
use crate::{
    control::{PolicyInForce, Reply, Request},
    names::Snapshot,
    observe::status::{DaemonFacts, Mode, UplinkHealth, Warning, unresolved},
    policy::Document,
    uplinks::{UplinkReport, warnings_of},
};

/// What the socket answers from.
pub(super) struct Facts {
    pub(super) daemon: DaemonFacts,
    names: watch::Receiver<Snapshot>,
    /// In force, as YAML.
    policy: String,
    /// Of the interfaces, as they are now.
    pub(super) ground: Vec<Warning>,
    /// The uplinks, as they are now.
    pub(super) uplinks: Vec<UplinkReport>,
    /// What could not be taken up, until it is.
    troubles: BTreeMap<&'static str, String>,
}

pub(super) type SharedFacts = Arc<Mutex<Facts>>;

impl Daemon {
    /// The facts at the start.
    ///
    /// # Errors
    /// If the policy cannot be written.
    pub(super) fn facts(&self) -> anyhow::Result<Facts> {
        let daemon = DaemonFacts {
            pid: std::process::id(),
            since: self.since,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            policy: self.setup.file.clone(),
            system: self.policy.system.clone(),
            mode: Mode::from(self.policy.mode),
            interfaces: self.in_force.attachments.clone(),
            uplinks: self.ground.now(),
            conditions: BTreeMap::new(),
            uplink_warnings: Vec::new(),
            unresolved: Vec::new(),
            warnings: self.in_force.warnings.clone(),
        };
        Ok(Facts {
            daemon,
            names: self.names.clone(),
            policy: Document::from(&self.policy).to_yaml()?,
            ground: self.in_force.warnings_of(&self.ground, &self.policy),
            uplinks: Vec::new(),
            troubles: BTreeMap::new(),
        })
    }
}

/// Answers a command.
pub(super) async fn answer(facts: SharedFacts, request: Request) -> Reply {
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
            daemon.uplink_warnings = warnings_of(&facts.uplinks);
            let condition = |uplink: &UplinkReport| (uplink.interface.clone(), UplinkHealth::from(uplink));
            daemon.conditions = facts.uplinks.iter().map(condition).collect();
            daemon.warnings.extend(facts.ground.iter().cloned());
            daemon.warnings.extend(facts.troubles.values().map(|trouble| Warning::new(trouble, "It is tried again.")));
            daemon.warnings.extend(names.state_trouble.as_deref().map(|trouble| Warning::new(trouble, "")));
            Reply::Status(Box::new(daemon))
        }
    }
}

/// Tells the log and `status` when something could not be taken up; what is in force stays. True if it was.
pub(super) async fn report(facts: &Mutex<Facts>, what: &'static str, done: anyhow::Result<()>) -> bool {
    let troubles = &mut facts.lock().await.troubles;
    match done {
        Ok(()) => {
            troubles.remove(what);
            true
        }
        Err(error) => {
            let line = format!("{what} could not be taken up: {error:#}");
            if troubles.insert(what, line.clone()).as_ref() != Some(&line) {
                say(&line);
            }
            false
        }
    }
}
