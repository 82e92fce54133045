//! The kernel's SIP helper, which rewrites payloads.

use std::fs;

use super::finding::Finding;

const HELPER: &str = "sip-helper";
const MODULES: [&str; 2] = ["nf_nat_sip", "nf_conntrack_sip"];

/// Reads `/proc/modules`; `None`: this kernel has no modules.
pub(super) fn look() -> Option<String> {
    fs::read_to_string("/proc/modules").ok()
}

/// Whether a SIP helper is loaded. Since Linux 6.0 one does nothing by itself: the rules that assign it are found with the other
/// rules (`conntrack-helper`).
pub(super) fn judge(modules: Option<&str>) -> Finding {
    let Some(modules) = modules else {
        return Finding::pass(
            HELPER,
            "this kernel has no modules; a helper that is built in needs a rule that assigns it",
        );
    };
    let is_loaded = |name: &&str| modules.lines().any(|line| line.split(' ').next() == Some(*name));
    let loaded: Vec<&str> = MODULES.into_iter().filter(is_loaded).collect();
    if loaded.is_empty() {
        return Finding::pass(HELPER, "neither nf_conntrack_sip nor nf_nat_sip is loaded");
    }
    Finding::warn(
        HELPER,
        format!("{} is loaded", loaded.join(" and ")),
        "It does nothing until a rule assigns it (then `conntrack-helper` names the rule), and then rewrites SIP messages (T9). \
         Admitted packets never meet it.",
    )
    .fixed_by(format!("modprobe -r {}", loaded.join(" ")))
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

    #[test]
    fn one_that_only_waits_is_a_warning() {
        let found = judge(Some(MODULES));
        assert_eq!(found.status, Status::Warn);
        assert_eq!(found.fix.as_deref(), Some("modprobe -r nf_nat_sip nf_conntrack_sip"));
        assert_eq!(judge(Some("nf_nat_sip 20480 0 - Live 0x0\n")).fix.as_deref(), Some("modprobe -r nf_nat_sip"));
    }

    #[test]
    fn users_of_a_module_are_not_the_module() {
        assert_eq!(judge(Some("nf_conntrack 172032 1 nf_conntrack_sip, Live 0x0\n")).status, Status::Pass);
        assert_eq!(judge(None).status, Status::Pass);
    }
}
