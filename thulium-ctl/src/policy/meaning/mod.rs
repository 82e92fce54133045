//! What a policy means, in an admin's words.

mod uplinks;

use std::{
    fmt::{self, Write},
    time::Duration,
};

use thulium_ebpf::capacity::{Memory, ipv6_sessions, memory};

use super::{
    Flow, Host, Mode, MssClamp, Policy, Refuse, SourceNat, TcMode, TlsVersion, Unmatched, UplinkPolicy, XdpMode,
    read::show,
};

/// The meaning of a policy as a short text with aligned columns.
pub fn describe(policy: &Policy) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, policy);
    text
}

fn write(out: &mut String, policy: &Policy) -> fmt::Result {
    writeln!(out, "Tenant     {}", policy.system)?;
    writeln!(out, "Mode       {}", mode(policy.mode))?;
    writeln!(out, "Governed   {}", governed(policy))?;
    for uplink in &policy.uplinks {
        writeln!(out, "Uplink     {}", way_out(uplink))?;
    }
    if policy.uplinks.len() > 1 {
        uplinks::write(out, policy)?;
    }
    writeln!(out, "\nClients may open")?;
    let flows = policy.flows.iter().map(flow_row).collect::<Vec<_>>();
    write_table(out, if flows.is_empty() { vec![vec!["nothing".to_owned()]] } else { flows })?;
    writeln!(out, "{}", rest(policy))?;
    if let Some(told) = told(policy) {
        writeln!(out, "{told}")?;
    }
    writeln!(out, "\nHosts")?;
    let hosts = policy.hosts.iter().map(host_row).collect::<Vec<_>>();
    write_table(out, if hosts.is_empty() { vec![vec!["none".to_owned()]] } else { hosts })?;
    writeln!(out, "  Names are asked of {}.", resolvers(policy))?;
    writeln!(out, "  {}", learning(policy))?;
    writeln!(out, "\nSessions")?;
    write_table(out, sessions(policy))?;
    writeln!(out, "\nDatapath   {}", datapath(policy))?;
    write_warnings(out, &policy.warnings)
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce: what is not admitted is refused and counted",
        Mode::Audit => "audit: nothing is refused; what enforce would refuse is counted and left to the kernel",
    }
}

fn governed(policy: &Policy) -> String {
    let interfaces = policy.lan.interfaces.join(", ");
    match &policy.lan.clients {
        None => format!("every client in the networks of {interfaces}"),
        Some(clients) => {
            let clients = clients.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("clients {clients} on {interfaces}")
        }
    }
}

fn way_out(uplink: &UplinkPolicy) -> String {
    let name = if uplink.name == uplink.interface { String::new() } else { format!("{} on ", uplink.name) };
    let source = match uplink.source_nat {
        SourceNat::Masquerade => "IPv4 clients appear as its address; IPv6 clients keep their addresses".to_owned(),
        SourceNat::Address(address) => {
            format!("IPv4 clients appear as {address}; IPv6 clients keep their addresses")
        }
        SourceNat::None => "clients keep their own addresses".to_owned(),
    };
    format!("{name}{}: {source}", uplink.interface)
}

fn flow_row(flow: &Flow) -> Vec<String> {
    let ports = flow.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let tls = flow.tls_min.map_or("", |version| match version {
        TlsVersion::V1_2 => "TLS 1.2 or higher",
        TlsVersion::V1_3 => "TLS 1.3 or higher",
    });
    vec![flow.name.clone(), ports, format!("to {}", flow.host), tls.to_owned()]
}

fn rest(policy: &Policy) -> &'static str {
    match (policy.unmatched, policy.mode) {
        (Unmatched::Pass, _) => "Everything else is left to the kernel's own rules, and counted.",
        (Unmatched::Drop, Mode::Enforce) => "Everything else is refused and counted.",
        (Unmatched::Drop, Mode::Audit) => "Everything else is counted as \"would drop\", and left to the kernel.",
    }
}

/// What a client hears of a refusal.
fn told(policy: &Policy) -> Option<&'static str> {
    match (policy.refuse, policy.mode) {
        (Refuse::Drop, _) => None,
        (Refuse::Reject, Mode::Enforce) => {
            Some("A client whose packet is refused is told so: by a RST in TCP, else by ICMP.")
        }
        (Refuse::Reject, Mode::Audit) => Some("In audit mode nobody is told."),
    }
}

fn host_row(host: &Host) -> Vec<String> {
    let addresses = host.addresses.iter().map(|prefix| match prefix.prefix_len() == prefix.max_prefix_len() {
        true => prefix.addr().to_string(),
        false => prefix.to_string(),
    });
    let known_as = host.names.iter().cloned().chain(addresses).collect::<Vec<_>>().join(", ");
    let keep_old = match host.names.is_empty() {
        true => String::new(),
        false => format!("an address that left DNS is used {} longer", period(host.keep_old)),
    };
    vec![host.name.clone(), if known_as.is_empty() { "nothing".to_owned() } else { known_as }, keep_old]
}

/// What replies to clients teach.
fn learning(policy: &Policy) -> String {
    let names = |which: &dyn Fn(&Host) -> bool| -> Vec<&str> {
        policy.hosts.iter().filter(|host| which(host)).map(|host| host.name.as_str()).collect()
    };
    let mut text = "What they and the gateway itself answer to clients is learned, too".to_owned();
    let trusting = names(&|host| host.private_answers);
    if !trusting.is_empty() {
        text += &format!("; private addresses for {} only", trusting.join(", "));
    }
    if policy.hosts.iter().any(|host| host.names.iter().any(|name| name.starts_with('*'))) {
        text += "; names with a `*` are known by that alone";
    }
    text + "."
}

fn resolvers(policy: &Policy) -> String {
    if policy.resolvers.is_empty() {
        return "the system's resolvers".to_owned();
    }
    policy.resolvers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn sessions(policy: &Policy) -> Vec<Vec<String>> {
    let sessions = &policy.sessions;
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    vec![
        row("UDP", format!("ends after {} of silence", period(sessions.udp_idle))),
        row("TCP", format!("ends after {} of silence", period(sessions.tcp_idle))),
        row(
            "in all",
            format!(
                "{} of IPv4, and {} of IPv6; then new ones are refused, and none is evicted",
                sessions.capacity,
                ipv6_sessions(sessions.capacity)
            ),
        ),
        row("memory", memory_of(sessions.capacity)),
        row(
            "a client",
            format!(
                "{} at once, {} new ones a second, {} ports",
                sessions.per_client, sessions.new_per_client, sessions.ports_per_client
            ),
        ),
        row("segments", segments(policy.mss_clamp)),
    ]
}

/// What the tables take of the gateway's memory.
fn memory_of(capacity: u32) -> String {
    let Memory { empty, full } = memory(capacity);
    format!("about {} MiB of the kernel's from the start, and {} MiB when all tables are full", empty >> 20, full >> 20)
}

fn segments(clamp: MssClamp) -> String {
    match clamp {
        MssClamp::Auto => "as large as the smaller MTU of the two ways allows".to_owned(),
        MssClamp::Off => "as large as the two ends agree".to_owned(),
        MssClamp::Bytes(bytes) => format!("{bytes} bytes at most"),
    }
}

fn datapath(policy: &Policy) -> String {
    let xdp = match policy.datapath.xdp {
        XdpMode::Auto => "XDP where it is right",
        XdpMode::Native => "XDP on every interface, or no start",
        XdpMode::Off => "no XDP",
    };
    let tc = match policy.datapath.tc {
        TcMode::Auto => "TC",
        TcMode::Tcx => "TC by TCX",
        TcMode::Clsact => "TC by the clsact qdisc",
    };
    format!("{tc}, {xdp}; mark bits {:#010x}", policy.datapath.mark)
}

fn write_warnings(out: &mut String, warnings: &[String]) -> fmt::Result {
    if !warnings.is_empty() {
        writeln!(out, "\nWarnings")?;
    }
    warnings.iter().try_for_each(|warning| writeln!(out, "  {warning}"))
}

/// A duration in an admin's words, such as `2 h 4 min`.
fn period(duration: Duration) -> String {
    let shown = show(duration);
    let words = shown.split(' ').map(|word| {
        let (number, unit) = word.split_at(word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len()));
        format!("{number} {}", if unit == "m" { "min" } else { unit })
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Rows with aligned columns, indented.
fn write_table(out: &mut String, rows: Vec<Vec<String>>) -> fmt::Result {
    let mut widths = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
    }
    for row in &rows {
        let line = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect::<Vec<_>>();
        writeln!(out, "  {}", line.join("  ").trim_end())?;
    }
    Ok(())
}
