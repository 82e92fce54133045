//! `doctor`: what on this gateway would block or modify Thulium's traffic, and the command that changes it.
//!
//! Each family of checks is a file with the facts it gathers (`look`) and a pure function from facts to findings (`judge`):
//!
//! * `system`: kernel, BPF file system. `interfaces`: up, addressed, MTU, XDP. `routes`: ways out, next hop, `rp_filter`.
//! * `ip_rules`: rules of the kernel's routing.
//! * `sysctls`: forwarding, ports. `names`: each name at each resolver. `helper`: the kernel's SIP helper.
//! * `firewall`: rules of nftables and iptables. `programs`: XDP and TC programs of others. `offload`: what the hardware does.
//!
//! IPv6 is judged where it is governed (`family`).
//!
//! The gateway's own tools are asked (`ip`, `tc`, `nft`, `iptables`, `ethtool`), so that an admin can see the same. Where one is
//! missing, its checks say "not tested".

mod command;
mod family;
mod finding;
mod firewall;
mod helper;
mod interfaces;
mod ip_rules;
mod names;
mod offload;
mod programs;
mod report;
mod routes;
mod subject;
mod sysctls;
mod system;

use std::path::Path;

pub use finding::{Finding, Status};
pub use report::{LookedAt, Report};
pub use subject::{Origin, Subject};

/// Looks at everything. `bpffs`: where the BPF file system is said to be.
pub fn examine(mut subject: Subject, bpffs: Option<&Path>) -> Report {
    let mut findings = vec![system::kernel(), system::bpffs(&subject.instance, bpffs)];
    let interfaces = interfaces::look();
    if subject.clients.is_empty() {
        let lan = subject.lan.iter().filter_map(|name| interfaces.get(name));
        subject.clients = lan.flat_map(interfaces::Interface::networks).collect();
    }
    findings.extend(interfaces::judge(&interfaces, &subject));
    findings.extend(interfaces::xdp_modes(&subject));

    let asked = match &subject.policy {
        Some(policy) => names::look(policy, subject.known.clone()),
        None => Err("no daemon runs, and no policy is given".to_owned()),
    };
    let servers = match (&asked, &subject.policy) {
        (Ok(facts), Some(policy)) => facts.servers(policy),
        _ => firewall::Servers::new(),
    };
    for family in subject.families() {
        findings.extend(routes::judge(&routes::look(family, &subject, &servers), &subject));
        findings.extend(ip_rules::judge(&ip_rules::look(family), &subject, &servers));
    }
    match &asked {
        Ok(facts) => findings.extend(names::judge(facts)),
        Err(why) => findings.push(Finding::not_tested("names", why.as_str())),
    }
    findings.extend(sysctls::judge(&sysctls::look(&subject), &subject, &interfaces));
    findings.push(helper::judge(helper::look().as_deref()));
    findings.extend(firewall::judge(&firewall::look(), &subject, &interfaces, &servers));
    findings.extend(programs::judge(&programs::look(&subject, &interfaces), &subject));
    findings.extend(offload::judge(&offload::look(&subject)));
    Report::new(&subject, findings)
}
