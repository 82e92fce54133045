//! What is set on the gateway for the datapath, and put back by `down`: the ports that the host must leave alone, and that its
//! interfaces forward (packets that need the kernel), IPv6 only if there are IPv6 clients; with several uplinks, [`routing`] and that
//! the kernel's check of sources goes by it.

mod ipv6;
pub mod routing;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use thulium_ebpf::abi::Settings;

use crate::policy::Policy;

/// Ports that mappings are taken from. The host keeps the lower part of its ephemeral range (32768 to 60999 by default).
pub(crate) const FIRST_PORT: u16 = 40_000;
/// The last of them.
pub(crate) const LAST_PORT: u16 = 65_535;

const RESERVED: &str = "net/ipv4/ip_local_reserved_ports";
/// Of an IPv4 interface.
pub(crate) const SOURCE_MARK: &str = "src_valid_mark";
const EPHEMERAL: &str = "net/ipv4/ip_local_port_range";

/// Which ports are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The host's own ephemeral range, as it is configured.
    ephemeral: (u16, u16),
}

impl Ports {
    /// Reads the host's ephemeral range.
    pub fn read() -> Self {
        let text = fs::read_to_string(proc(EPHEMERAL)).unwrap_or_default();
        let mut numbers = text.split_whitespace().filter_map(|number| number.parse().ok());
        Self { ephemeral: (numbers.next().unwrap_or(32_768), numbers.next().unwrap_or(60_999)) }
    }

    /// True if the host cannot open a connection of its own any more once our range is reserved.
    pub const fn leave_none_to_the_host(self) -> bool {
        self.ephemeral.0 >= FIRST_PORT
    }

    /// Writes the ranges into a generation's settings.
    pub fn fill(self, settings: &mut Settings) {
        (settings.first_port, settings.last_port) = (FIRST_PORT, LAST_PORT);
        (settings.first_ephemeral, settings.last_ephemeral) = self.ephemeral;
    }
}

/// What a sysctl was before we set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Former {
    /// Below `/proc/sys`.
    name: String,
    value: String,
}

/// The record on disk.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The kernel's id of the boot in which it was written: the next boot starts with the admin's own values.
    boot: String,
    former: Vec<Former>,
}

/// What was set, kept on disk until it is put back.
#[derive(Debug)]
pub struct HostSettings {
    file: PathBuf,
    record: Record,
}

impl HostSettings {
    /// The record of an instance in its state folder.
    ///
    /// # Errors
    /// If there is one that cannot be read.
    pub fn open(state: &Path) -> anyhow::Result<Self> {
        let file = state.join("sysctls.json");
        let boot = read("kernel/random/boot_id")?;
        let record = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record { boot: boot.clone(), former: Vec::new() },
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let record = if record.boot == boot { record } else { Record { boot, former: Vec::new() } };
        Ok(Self { file, record })
    }

    /// Sets what the policy's datapath needs at the interfaces that are there. Returns what was changed, a sentence each.
    ///
    /// # Errors
    /// If a setting or the record cannot be written.
    pub fn set(&mut self, policy: &Policy, governs_ipv6: bool) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        let reserved = read(RESERVED)?;
        if let Some(value) = with_reserved(&reserved) {
            self.change(RESERVED, &reserved, &value)?;
            done.push(format!("ports {FIRST_PORT}-{LAST_PORT} are reserved for mappings ({RESERVED})"));
        }
        let uplinks = || policy.uplinks.iter().map(|uplink| &uplink.interface);
        for interface in policy.lan.interfaces.iter().chain(uplinks()) {
            let name = format!("net/ipv4/conf/{interface}/forwarding");
            if proc(&name).exists() && read(&name)? != "1" {
                self.change(&name, "0", "1")?;
                done.push(format!("{interface} forwards packets ({name})"));
            }
        }
        if policy.uplinks.len() > 1 {
            for uplink in uplinks() {
                self.check_sources_by_mark(uplink, &mut done)?;
            }
        }
        if governs_ipv6 {
            self.forward_ipv6(policy, &mut done)?;
        }
        Ok(done)
    }

    /// A strict `rp_filter` drops what comes in by an uplink that is not the way back to its sender. What is for a client that uses this
    /// uplink has the uplink's mark, and with it its own routes lead back.
    fn check_sources_by_mark(&mut self, uplink: &str, done: &mut Vec<String>) -> anyhow::Result<()> {
        let name = format!("net/ipv4/conf/{uplink}/{SOURCE_MARK}");
        if proc(&name).exists() && read(&name)? == "0" {
            self.change(&name, "0", "1")?;
            done.push(format!("the way back of what comes in by {uplink} is looked up with its mark ({name})"));
        }
        Ok(())
    }

    /// Puts back what was set. A setting whose interface is gone is forgotten.
    ///
    /// # Errors
    /// If a setting cannot be written.
    pub fn restore(self) -> anyhow::Result<()> {
        for Former { name, value } in self.record.former.iter().rev() {
            if proc(name).exists() {
                let value = if name == RESERVED { without_reserved(&read(name)?, value) } else { value.clone() };
                write(name, &value).with_context(|| format!("cannot put back /proc/sys/{name}"))?;
            }
        }
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.file.display()))
            }
            _ => Ok(()),
        }
    }

    /// Writes the former value down before it is changed; the first one counts.
    fn change(&mut self, name: &str, former: &str, value: &str) -> anyhow::Result<()> {
        if !self.record.former.iter().any(|known| known.name == name) {
            self.record.former.push(Former { name: name.to_owned(), value: former.to_owned() });
            if let Some(folder) = self.file.parent() {
                fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            }
            fs::write(&self.file, serde_json::to_vec_pretty(&self.record)?)
                .with_context(|| format!("cannot write {}", self.file.display()))?;
        }
        write(name, value).with_context(|| format!("cannot set /proc/sys/{name} to {value}"))
    }
}

/// The reserved ports with ours among them; `None` if they are already.
pub(crate) fn with_reserved(present: &str) -> Option<String> {
    let covers = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse().is_ok_and(|first: u16| first <= FIRST_PORT) && last.parse() == Ok(LAST_PORT)
    };
    if present.split(',').any(covers) {
        return None;
    }
    let ours = format!("{FIRST_PORT}-{LAST_PORT}");
    Some(if present.is_empty() { ours } else { format!("{present},{ours}") })
}

/// The reserved ports without ours: what others have added meanwhile stays. `former` if ours cannot be told from others'.
fn without_reserved(present: &str, former: &str) -> String {
    let ours = format!("{FIRST_PORT}-{LAST_PORT}");
    let others: Vec<&str> = present.split(',').filter(|range| *range != ours).collect();
    if others.len() < present.split(',').count() { others.join(",") } else { former.to_owned() }
}

fn proc(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}

fn read(name: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(proc(name)).with_context(|| format!("cannot read /proc/sys/{name}"))?;
    Ok(text.trim().to_owned())
}

/// With a line's end: an empty write would change nothing, where an empty list is meant.
fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(proc(name), format!("{value}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_ports_join_those_that_are_reserved_already() {
        assert_eq!(with_reserved("").as_deref(), Some("40000-65535"));
        assert_eq!(with_reserved("8080,9148").as_deref(), Some("8080,9148,40000-65535"));
        assert_eq!(with_reserved("8080,39000-65535"), None);
    }

    #[test]
    fn our_ports_leave_and_those_of_others_stay() {
        assert_eq!(without_reserved("40000-65535", ""), "");
        assert_eq!(without_reserved("8080,9000-9001,40000-65535", "8080"), "8080,9000-9001");
        assert_eq!(without_reserved("39999-65535", "39999"), "39999", "the kernel joined them");
    }

    #[test]
    fn a_record_of_an_earlier_boot_is_not_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record {
            boot: "another".to_owned(),
            former: vec![Former { name: "net/ipv4/ip_forward".to_owned(), value: "0".to_owned() }],
        };
        fs::write(folder.path().join("sysctls.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        assert!(HostSettings::open(folder.path()).unwrap().record.former.is_empty());
    }
}
