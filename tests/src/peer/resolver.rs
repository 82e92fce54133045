//! Real DNS servers: the office's own, a resolver outside, and one that has names of its own.

use std::{fmt::Write as _, fs, net::Ipv4Addr, path::PathBuf};

use anyhow::{Context, Result};

use crate::lab::{LAN_GATEWAY, Lab, Process};

/// dnsmasq on the gateway's address in the LAN, with a cache.
pub struct Dnsmasq {
    _process: Process,
}

impl Dnsmasq {
    /// Starts it; what it does not have it asks of `upstream`.
    ///
    /// # Errors
    /// When `dnsmasq` is not installed or does not start.
    pub fn new(lab: &Lab, upstream: Ipv4Addr) -> Result<Self> {
        let mut dnsmasq = lab.gw.command("dnsmasq");
        dnsmasq
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file="])
            .args(["--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args([format!("--listen-address={LAN_GATEWAY}"), format!("--server={upstream}")]);
        let mut process = Process::spawn(&mut dnsmasq, &lab.dir().join("dnsmasq.log"))?;
        process.wait_listening("udp", 53)?;
        Ok(Self { _process: process })
    }
}

/// unbound in the internet: a resolver that clients use beside the gateway's.
pub struct Unbound {
    _process: Process,
}

impl Unbound {
    /// Starts it on `address`; it asks `upstream`, and caches what that says for as long as that says.
    ///
    /// # Errors
    /// When `unbound` is not installed or does not start.
    pub fn new(lab: &Lab, address: Ipv4Addr, upstream: Ipv4Addr) -> Result<Self> {
        let settings = format!(
            "server:
                interface: {address}
                access-control: 0.0.0.0/0 allow
                do-daemonize: no
                username: \"\"
                chroot: \"\"
                pidfile: \"\"
                use-syslog: no
                module-config: \"iterator\"
                do-not-query-localhost: no
            remote-control:
                control-enable: no
            forward-zone:
                name: \".\"
                forward-addr: {upstream}
            "
        );
        let folder = folder(lab, "unbound", address)?;
        fs::write(folder.join("unbound.conf"), settings)?;
        let mut unbound = lab.internet.command("unbound");
        unbound.args(["-d", "-p", "-c", "unbound.conf"]).current_dir(&folder);
        let mut process = Process::spawn(&mut unbound, &folder.join("unbound.log"))?;
        process.wait_listening("udp", 53)?;
        Ok(Self { _process: process })
    }
}

/// Knot DNS in the internet: it answers for one zone, and clients ask it directly.
pub struct Knot {
    _process: Process,
}

impl Knot {
    /// Starts it on `address` with the zone `zone`, whose records are given as lines of a zone file, without that of its authority.
    ///
    /// # Errors
    /// When `knotd` is not installed, does not start, or refuses the records.
    pub fn new(lab: &Lab, address: Ipv4Addr, zone: &str, records: &[&str]) -> Result<Self> {
        let folder = folder(lab, "knot", address)?;
        let mut file =
            format!("$ORIGIN {zone}.\n$TTL 60\n@ SOA ns.example. admin.example. 1 60 60 60 60\n@ NS ns.example.\n");
        for record in records {
            writeln!(file, "{record}")?;
        }
        fs::write(folder.join("zone"), file)?;
        let here = folder.display();
        let settings = format!(
            "server:
                rundir: {here}
                listen: {address}@53
            database:
                storage: {here}
            log:
              - target: stdout
                any: info
            zone:
              - domain: {zone}
                storage: {here}
                file: zone
            "
        );
        // Its sections begin at the start of a line.
        let settings = settings.replace("\n            ", "\n");
        fs::write(folder.join("knot.conf"), settings)?;
        let mut knotd = lab.internet.command("knotd");
        knotd.args(["-c", "knot.conf"]).current_dir(&folder);
        let mut process = Process::spawn(&mut knotd, &folder.join("knot.log"))?;
        process.wait_listening("udp", 53)?;
        Ok(Self { _process: process })
    }
}

/// A folder for one server's files.
fn folder(lab: &Lab, kind: &str, address: Ipv4Addr) -> Result<PathBuf> {
    let folder = lab.dir().join(format!("{kind}-{address}"));
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}
