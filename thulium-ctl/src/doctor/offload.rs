//! What the hardware does with packets before any program sees them.

use std::collections::BTreeMap;

use super::{
    command::{ask, quoted},
    finding::Finding,
    subject::Subject,
};

const OFFLOAD: &str = "offload";

/// Interface → the text of `ethtool -k`, or why there is none.
pub(super) type Facts = BTreeMap<String, Result<String, String>>;

/// Asks ethtool for each interface.
pub(super) fn look(subject: &Subject) -> Facts {
    subject.interfaces().map(|name| (name.to_owned(), ask("ethtool", &format!("-k {name}")))).collect()
}

/// Which offloads take packets away from the datapath.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    facts
        .iter()
        .flat_map(|(name, features)| match features {
            Err(why) => vec![Finding::not_tested(OFFLOAD, format!("{name}: {why}"))],
            Ok(text) => of_interface(name, text),
        })
        .collect()
}

fn of_interface(name: &str, features: &str) -> Vec<Finding> {
    let is_on = |feature: &str| {
        let state = features.lines().find_map(|line| line.trim().strip_prefix(feature)?.strip_prefix(':'));
        state.is_some_and(|state| state.trim().starts_with("on"))
    };
    let off = |feature: &str| format!("ethtool -K {} {feature} off", quoted(name));
    let mut findings = Vec::new();
    if is_on("large-receive-offload") {
        let meaning = "The card joins packets in a way that cannot be undone: what is forwarded comes out in other sizes, or not at \
                       all. Some drivers take no XDP program meanwhile.";
        findings
            .push(Finding::fail(OFFLOAD, format!("{name} has large-receive-offload on"), meaning).fixed_by(off("lro")));
    }
    if is_on("hw-tc-offload") {
        let meaning = "Flows that a flowtable or a TC filter hands to the card pass by the datapath; none does unless something \
                       else on this gateway sets it up.";
        let seen = format!("{name} has hw-tc-offload on");
        findings.push(Finding::warn(OFFLOAD, seen, meaning).fixed_by(off("hw-tc-offload")));
    }
    if findings.is_empty() {
        findings.push(Finding::pass(OFFLOAD, format!("{name}: no offload takes packets before the datapath")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    /// Of a card with Intel's ixgbe driver, shortened.
    const FEATURES: &str = "\
Features for eth0:
rx-checksumming: on
generic-receive-offload: on
large-receive-offload: off
hw-tc-offload: off
rx-gro-hw: off [fixed]
";

    #[test]
    fn what_takes_packets_away_is_named_with_its_switch() {
        let findings = |features: &str| of_interface("eth0", features);
        assert_eq!(findings(FEATURES)[0].status, Status::Pass);
        let lro = findings(&FEATURES.replace("large-receive-offload: off", "large-receive-offload: on"));
        assert_eq!((lro[0].status, lro[0].fix.as_deref()), (Status::Fail, Some("ethtool -K eth0 lro off")));
        let tc = findings(&FEATURES.replace("hw-tc-offload: off", "hw-tc-offload: on"));
        assert_eq!((tc[0].status, tc[0].fix.as_deref()), (Status::Warn, Some("ethtool -K eth0 hw-tc-offload off")));
    }

    #[test]
    fn without_ethtool_nothing_is_claimed() {
        let facts = [("eth0".to_owned(), Err("ethtool is not installed".to_owned()))].into();
        assert_eq!(judge(&facts)[0].status, Status::NotTested);
    }
}
