//! What is set on the gateway for the datapath, and put back by `down`: the ports that the host must leave alone, and that its
//! interfaces forward (packets that need the kernel).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use thulium_ebpf::abi::Settings;

use crate::policy::Policy;

/// Ports that mappings are taken from. The host keeps the lower part of its ephemeral range (32768 to 60999 by default).
const FIRST_PORT: u16 = 40_000;
const LAST_PORT: u16 = 65_535;

const RESERVED: &str = "net/ipv4/ip_local_reserved_ports";
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

/// What was set, kept on disk until it is put back.
#[derive(Debug)]
pub struct HostSettings {
    file: PathBuf,
    former: Vec<Former>,
}

impl HostSettings {
    /// The record of an instance in its state folder.
    ///
    /// # Errors
    /// If there is one that cannot be read.
    pub fn open(state: &Path) -> anyhow::Result<Self> {
        let file = state.join("sysctls.json");
        let former = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("cannot read {}", file.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        Ok(Self { file, former })
    }

    /// Sets what the policy's datapath needs. Returns what was changed, a sentence each.
    ///
    /// # Errors
    /// If a setting or the record cannot be written.
    pub fn set(&mut self, policy: &Policy) -> anyhow::Result<Vec<String>> {
        let mut done = Vec::new();
        let reserved = read(RESERVED)?;
        if let Some(value) = with_reserved(&reserved) {
            self.change(RESERVED, &reserved, &value)?;
            done.push(format!("ports {FIRST_PORT}-{LAST_PORT} are reserved for mappings ({RESERVED})"));
        }
        let interfaces = policy.lan.interfaces.iter().chain(policy.uplinks.iter().map(|uplink| &uplink.interface));
        for interface in interfaces {
            let name = format!("net/ipv4/conf/{interface}/forwarding");
            if read(&name)? != "1" {
                self.change(&name, "0", "1")?;
                done.push(format!("{interface} forwards packets ({name})"));
            }
        }
        Ok(done)
    }

    /// Puts back what was set. A setting whose interface is gone is forgotten.
    ///
    /// # Errors
    /// If a setting cannot be written.
    pub fn restore(self) -> anyhow::Result<()> {
        for Former { name, value } in self.former.iter().rev() {
            if proc(name).exists() {
                write(name, value).with_context(|| format!("cannot put back /proc/sys/{name}"))?;
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
        if !self.former.iter().any(|known| known.name == name) {
            self.former.push(Former { name: name.to_owned(), value: former.to_owned() });
            if let Some(folder) = self.file.parent() {
                fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            }
            fs::write(&self.file, serde_json::to_vec_pretty(&self.former)?)
                .with_context(|| format!("cannot write {}", self.file.display()))?;
        }
        write(name, value).with_context(|| format!("cannot set /proc/sys/{name} to {value}"))
    }
}

/// The reserved ports with ours among them; `None` if they are already.
fn with_reserved(present: &str) -> Option<String> {
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
}
