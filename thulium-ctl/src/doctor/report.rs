//! The report: all findings and a verdict.

use std::{cmp::Reverse, fmt};

use serde::Serialize;

use super::{
    finding::{Finding, Status},
    subject::{Origin, Subject},
};
use crate::observe::{VERSION, count, paragraph};

/// What doctor says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// The instance.
    pub instance: String,
    /// What was looked at.
    pub looked_at: LookedAt,
    /// The worst that was found, `not-tested` left aside.
    pub status: Status,
    /// One sentence.
    pub summary: String,
    /// In the order in which they were looked at.
    pub checks: Vec<Finding>,
}

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookedAt {
    /// Where the policy comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Whether the instance is attached.
    pub attached: bool,
    /// LAN interfaces.
    pub lan: Vec<String>,
    /// Uplink interfaces.
    pub uplinks: Vec<String>,
}

impl Report {
    /// The report on these findings.
    pub fn new(subject: &Subject, checks: Vec<Finding>) -> Self {
        let worst = |status: Status| checks.iter().any(|check| check.status == status);
        let status = [Status::Fail, Status::Warn].into_iter().find(|status| worst(*status)).unwrap_or(Status::Pass);
        Self {
            version: VERSION,
            instance: subject.instance.clone(),
            looked_at: LookedAt {
                origin: subject.origin.clone(),
                attached: subject.is_attached,
                lan: subject.lan.clone(),
                uplinks: subject.uplinks.clone(),
            },
            status,
            summary: summary(&checks),
            checks,
        }
    }

    /// True if a check failed: the exit code is 1.
    pub fn has_failed(&self) -> bool {
        self.status == Status::Fail
    }
}

fn summary(checks: &[Finding]) -> String {
    let number = |status: Status| checks.iter().filter(|check| check.status == status).count() as u64;
    let (failed, warned, untested) = (number(Status::Fail), number(Status::Warn), number(Status::NotTested));
    let mut names: Vec<&str> =
        checks.iter().filter(|check| check.status == Status::Fail).map(|check| check.check).collect();
    names.dedup();
    let verdict = match (failed, warned) {
        (0, 0) => "Nothing here blocks or modifies Thulium's traffic".to_owned(),
        (0, warned) => format!("Nothing here blocks Thulium's traffic now, but see {}", count(warned, "warning")),
        (failed, 0) => blocks(failed, &names),
        (failed, warned) => format!("{}; see also {}", blocks(failed, &names), count(warned, "warning")),
    };
    match untested {
        0 => format!("{verdict}."),
        1 => format!("{verdict}; 1 check could not run."),
        more => format!("{verdict}; {more} checks could not run."),
    }
}

fn blocks(number: u64, names: &[&str]) -> String {
    let names = names.join(", ");
    match number {
        1 => format!("1 thing on this gateway blocks or modifies Thulium's traffic: {names}"),
        more => format!("{more} things on this gateway block or modify Thulium's traffic: {names}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", paragraph(&self.looked_at.words(&self.instance), ""))?;
        let mut checks: Vec<&Finding> = self.checks.iter().collect();
        // What needs to be done first, then what may, and what is not known.
        checks.sort_by_key(|check| Reverse(check.status));
        for check in checks {
            write!(f, "{check}")?;
        }
        writeln!(f, "\n{}", paragraph(&self.summary, ""))
    }
}

impl LookedAt {
    fn words(&self, instance: &str) -> String {
        let policy = match &self.origin {
            Origin::File { policy } => format!("the policy {}", policy.display()),
            Origin::Daemon { policy, process } => {
                format!("the policy in force (process {process}, from {})", policy.display())
            }
            Origin::Pins => {
                "what the datapath holds: no daemon runs, so that flows, names and the bits of the packet mark are \
                             not known (`--policy FILE` tells them)"
                    .to_owned()
            }
        };
        let attached = if self.attached { "attached" } else { "not attached" };
        format!(
            "Looked at {policy}; LAN {}, uplink {}; instance `{instance}` is {attached}.",
            self.lan.join(", "),
            self.uplinks.join(", ")
        )
    }
}

/// Columns before the text: `PASS        `.
const INDENT: &str = "            ";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Pass => "PASS",
            Status::NotTested => "not tested",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
        };
        let seen = paragraph(&format!("{}: {}", self.check, self.seen), INDENT);
        writeln!(f, "{status:<12}{}", seen.trim_start())?;
        if !self.meaning.is_empty() {
            writeln!(f, "{}", paragraph(&self.meaning, INDENT))?;
        }
        match &self.fix {
            // On one line, whatever its length: it is to be pasted.
            Some(fix) => writeln!(f, "{INDENT}fix: {fix}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datapath::marks::Marks;

    fn subject() -> Subject {
        Subject {
            instance: "default".to_owned(),
            origin: Origin::Daemon { policy: "/etc/thulium/policy.yaml".into(), process: 412 },
            policy: None,
            is_attached: true,
            known: None,
            others: Vec::new(),
            lan: vec!["eth1".to_owned()],
            uplinks: vec!["eth0".to_owned()],
            clients: Vec::new(),
            mark: Marks::of(0x3000_0000, 1),
            is_audited: false,
            is_enforced: true,
        }
    }

    #[test]
    fn a_line_each_with_what_to_do_and_a_sentence_in_the_end() {
        let report = Report::new(
            &subject(),
            vec![
                Finding::pass("kernel", "Linux 6.12"),
                Finding::not_tested("firewall-rules", "nft is not installed"),
                Finding::fail("interface", "eth1 (LAN) is down", "No packet goes through it.")
                    .fixed_by("ip link set dev eth1 up"),
                Finding::warn("mtu", "small", "It may matter."),
            ],
        );
        let expected = "\
Looked at the policy in force (process 412, from /etc/thulium/policy.yaml); LAN eth1, uplink eth0;
instance `default` is attached.

FAIL        interface: eth1 (LAN) is down
            No packet goes through it.
            fix: ip link set dev eth1 up
WARN        mtu: small
            It may matter.
not tested  firewall-rules: nft is not installed
PASS        kernel: Linux 6.12

1 thing on this gateway blocks or modifies Thulium's traffic: interface; see also 1 warning; 1 check
could not run.
";
        assert_eq!(report.to_string(), expected);
        assert!(report.has_failed());
    }

    #[test]
    fn the_json_has_the_worst_status_and_every_fix() {
        let warning = Finding::warn("mtu", "small", "It may matter.").fixed_by("ip link set dev eth0 mtu 1500");
        let report = Report::new(&subject(), vec![Finding::pass("kernel", "new"), warning]);
        assert!(!report.has_failed());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["version"], &json["status"]), (&1.into(), &"warn".into()));
        assert_eq!(json["looked_at"]["source"], "daemon");
        assert_eq!(json["checks"][0]["fix"], serde_json::Value::Null);
        assert_eq!(json["checks"][1]["fix"], "ip link set dev eth0 mtu 1500");
        let untested = Report::new(&subject(), vec![Finding::not_tested("mtu", "why")]);
        assert_eq!(serde_json::to_value(&untested).unwrap()["status"], "pass");
    }
}
