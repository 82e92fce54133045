//! What XDP does at the interfaces, as they change.

use super::{InForce, Setup, facts::report, follow::Follower, say};
use crate::{
    datapath::{
        attach::{self, Target},
        xdp,
    },
    observe::status::{Attachment, Hook},
    policy::Policy,
};

impl Follower {
    /// Takes up what decides on XDP, if that has changed: hardware addresses, queueing, what drivers can do.
    pub(super) async fn follow_xdp(&mut self) {
        let before = self.in_force.attachments.clone();
        let done = self.in_force.follow_xdp(&self.setup, &self.policy, &self.ground.interfaces);
        report(&self.facts, "what XDP can do at the interfaces", done).await;
        let now = &self.in_force.attachments;
        if *now == before {
            return;
        }
        now.iter().filter(|one| !before.contains(one)).for_each(|one| say(&line(one)));
        self.facts.lock().await.daemon.interfaces.clone_from(now);
    }
}

impl InForce {
    /// Lets XDP forward where it is right.
    pub(super) fn forward(&mut self, policy: &Policy, interfaces: &[Target]) -> anyhow::Result<()> {
        self.known = xdp::forward(policy.datapath.xdp, interfaces, &mut self.attachments, &mut self.tables)?;
        Ok(())
    }

    fn follow_xdp(&mut self, setup: &Setup, policy: &Policy, interfaces: &[Target]) -> anyhow::Result<()> {
        if xdp::Known::look(interfaces)? == self.known {
            return Ok(());
        }
        let Self { ebpf, tables, attachments, .. } = self;
        attach::attach_xdp(ebpf, policy.datapath.xdp, interfaces, &setup.pins, tables, attachments)?;
        self.forward(policy, interfaces)
    }
}

/// The line in the log.
fn line(attachment: &Attachment) -> String {
    let Attachment { name, xdp, forwards, why, .. } = attachment;
    let does = match (xdp, forwards) {
        (Hook::None, _) => "is off",
        (_, true) => "forwards",
        (_, false) => "refuses only",
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{name}: XDP {does}{why}")
}
