//! One screen: what the gateway does now, and what to do about what is wrong.

mod facts;
mod text;
mod verdict;

use serde::Serialize;

pub use facts::{
    Attachment, DaemonFacts, DaemonState, DatapathFacts, Facts, Hook, Link, Mode, Role, SessionUse, TroubledName,
    UplinkFacts, UplinkHealth, UplinkNow, Warning, unresolved,
};
pub use verdict::Verdict;

use super::VERSION;

/// The state of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The instance.
    pub instance: String,
    /// In a word.
    pub verdict: Verdict,
    /// What the kernel holds, which goes on without a daemon.
    pub datapath: DatapathReport,
    /// The process that serves it.
    pub daemon: DaemonReport,
    /// What is wrong or will be, most urgent first.
    pub warnings: Vec<Warning>,
}

/// What the kernel holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DatapathReport {
    /// True if every interface of the policy is attached.
    pub attached: bool,
    /// What is known of it; `None` if there is nothing.
    #[serde(flatten)]
    pub facts: Option<DatapathFacts>,
}

/// The process that serves the datapath.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DaemonReport {
    /// True if a daemon answered.
    pub serving: bool,
    /// Why a daemon that is there did not answer.
    pub trouble: Option<String>,
    /// What it says of itself.
    #[serde(flatten)]
    pub facts: Option<DaemonFacts>,
    /// Now, seconds since 1970: for ages in the text.
    #[serde(skip)]
    now: u64,
}

/// Judges the facts as of `now`, seconds since 1970.
pub fn report(facts: Facts, now: u64) -> Report {
    let verdict = verdict::judge(&facts);
    let warnings = verdict::warnings(&facts);
    let attached = facts.datapath.as_ref().is_some_and(DatapathFacts::is_attached);
    let (trouble, daemon) = match facts.daemon {
        DaemonState::Serving(daemon) => (None, Some(*daemon)),
        DaemonState::None => (None, None),
        DaemonState::Broken(why) => (Some(why), None),
    };
    Report {
        version: VERSION,
        instance: facts.instance,
        verdict,
        datapath: DatapathReport { attached, facts: facts.datapath },
        daemon: DaemonReport { serving: daemon.is_some(), trouble, facts: daemon, now },
        warnings,
    }
}

impl Report {
    /// True if the datapath is attached and a daemon serves it: the exit code is 0, otherwise 3.
    pub fn is_running(&self) -> bool {
        self.datapath.attached && self.daemon.serving
    }
}

#[cfg(test)]
mod tests;
