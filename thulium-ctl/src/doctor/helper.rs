//! The kernel's SIP helper, which rewrites payloads.

use std::fs;

use super::finding::Finding;

const HELPER: &str = "sip-helper";
const MODULES: [&str; 2] = ["nf_nat_sip", "nf_conntrack_sip"];

/// What the kernel says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The text of `/proc/modules`; `None`: this kernel has no modules.
    modules: Option<String>,
    /// The sysctl `nf_conntrack_helper`, which assigns helpers by port; it is gone since Linux 6.0.
    by_port: Option<bool>,
}

/// Asks the kernel.
pub(super) fn look() -> Facts {
    let by_port = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_helper").ok();
    Facts { modules: fs::read_to_string("/proc/modules").ok(), by_port: by_port.map(|text| text.trim() == "1") }
}

/// Whether a SIP helper is there. Rules that assign one are found with the other rules.
pub(super) fn judge(facts: &Facts) -> Finding {
    let loaded: Vec<&str> = match &facts.modules {
        Some(modules) => {
            let is_loaded = |name: &&&str| modules.lines().any(|line| line.split(' ').next() == Some(**name));
            MODULES.iter().filter(is_loaded).copied().collect()
        }
        None => Vec::new(),
    };
    let remove = format!("modprobe -r {}", loaded.join(" "));
    match (loaded.as_slice(), facts.by_port) {
        ([], Some(true)) => Finding::warn(
            HELPER,
            "helpers are assigned by port (nf_conntrack_helper is 1), but no SIP helper is loaded",
            "As soon as one is, it rewrites SIP messages (T9).",
        )
        .fixed_by("sysctl -w net/netfilter/nf_conntrack_helper=0"),
        (names, Some(true)) => Finding::fail(
            HELPER,
            format!("{} is loaded, and helpers are assigned by port (nf_conntrack_helper is 1)", names.join(" and ")),
            "SIP messages that take the kernel's way are rewritten (T9): calls come up without speech, or not at all.",
        )
        .fixed_by(format!("sysctl -w net/netfilter/nf_conntrack_helper=0 && {remove}")),
        ([], _) if facts.modules.is_none() => {
            Finding::pass(HELPER, "this kernel has no modules; a helper that is built in needs a rule that assigns it")
        }
        ([], _) => Finding::pass(HELPER, "neither nf_conntrack_sip nor nf_nat_sip is loaded"),
        (names, _) => Finding::warn(
            HELPER,
            format!("{} is loaded", names.join(" and ")),
            "It does nothing until a rule assigns it, and then rewrites SIP messages (T9). Admitted packets never meet it.",
        )
        .fixed_by(remove),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    const MODULES: &str = "\
nf_nat_sip 20480 0 - Live 0x0000000000000000
nf_conntrack_sip 45056 1 nf_nat_sip, Live 0x0000000000000000
nf_conntrack 172032 3 nf_nat_sip,nf_conntrack_sip,nf_nat, Live 0x0000000000000000
";

    fn found(modules: &str, by_port: Option<bool>) -> Finding {
        judge(&Facts { modules: Some(modules.to_owned()), by_port })
    }

    #[test]
    fn a_helper_that_rewrites_is_a_failure() {
        let found = found(MODULES, Some(true));
        assert_eq!(found.status, Status::Fail);
        let fix = "sysctl -w net/netfilter/nf_conntrack_helper=0 && modprobe -r nf_nat_sip nf_conntrack_sip";
        assert_eq!(found.fix.as_deref(), Some(fix));
    }

    #[test]
    fn one_that_only_waits_is_a_warning() {
        assert_eq!(found(MODULES, None).status, Status::Warn);
        assert_eq!(found(MODULES, Some(false)).fix.as_deref(), Some("modprobe -r nf_nat_sip nf_conntrack_sip"));
        assert_eq!(found("", Some(true)).status, Status::Warn);
    }

    #[test]
    fn users_of_a_module_are_not_the_module() {
        assert_eq!(found("nf_conntrack 172032 1 nf_conntrack_sip, Live 0x0\n", None).status, Status::Pass);
        assert_eq!(judge(&Facts { modules: None, by_port: None }).status, Status::Pass);
    }
}
