//! The machine that a run was made on, as far as it bears on what was measured.

use std::{env, fs, thread};

use serde::Serialize;

/// Facts of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    /// Model of the CPU.
    pub(crate) cpu: String,
    /// CPUs that may be used.
    pub(crate) cpus: usize,
    /// Whether it is one that another machine emulates.
    pub(crate) is_virtual: bool,
    /// Memory, bytes.
    pub(crate) memory: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// What the kernel does against faults of the CPU, each with its name.
    pub(crate) mitigations: Vec<String>,
    /// What compiled the eBPF programs; empty if the bench was not told.
    pub(crate) compiler: String,
    /// The product's version.
    pub(crate) version: &'static str,
}

impl Machine {
    /// This one.
    pub(crate) fn look() -> Self {
        let cpuinfo = read("/proc/cpuinfo");
        let kilobytes = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0_u64);
        Self {
            cpu: field(&cpuinfo, "model name"),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            is_virtual: field(&cpuinfo, "flags").split(' ').any(|flag| flag == "hypervisor"),
            memory: kilobytes * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            mitigations: mitigations(),
            compiler: env::var("THULIUM_BENCH_COMPILER").unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// A sentence about it.
    pub(crate) fn describe(&self) -> String {
        let Self { cpu, cpus, kernel, version, .. } = self;
        let kind = if self.is_virtual { "virtual CPUs" } else { "CPUs" };
        let gib = self.memory as f64 / f64::from(1 << 30);
        let mitigations = if self.mitigations.is_empty() { "none".to_owned() } else { self.mitigations.join("; ") };
        let compiler = if self.compiler.is_empty() { "an unknown compiler" } else { &self.compiler };
        format!(
            "{cpu}, {cpus} {kind}, {gib:.0} GiB; Linux {kernel}; mitigations: {mitigations}. \
             thulium-ctl {version}, its eBPF programs by {compiler}."
        )
    }
}

/// Without the vulnerabilities that the CPU does not have.
fn mitigations() -> Vec<String> {
    let files = fs::read_dir("/sys/devices/system/cpu/vulnerabilities").into_iter().flatten().flatten();
    let state = |file: fs::DirEntry| {
        let text = read(&file.path().to_string_lossy());
        let name = file.file_name().to_string_lossy().into_owned();
        (text.trim() != "Not affected").then(|| format!("{name} ({})", text.trim().trim_start_matches("Mitigation: ")))
    };
    let mut mitigations: Vec<String> = files.filter_map(state).collect();
    mitigations.sort();
    mitigations
}

/// The file's text; what cannot be read is empty, and a fact less.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What stands behind the first `name` and a colon.
fn field(text: &str, name: &str) -> String {
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values
        .into_iter()
        .find(|(key, _)| key.trim() == name)
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found_by_their_name() {
        let text = "processor\t: 0\nmodel name\t: EPYC: the first\nmodel name\t: other\nMemTotal:  16 kB\n";
        assert_eq!(field(text, "model name"), "EPYC: the first");
        assert_eq!(field(text, "MemTotal"), "16 kB");
        assert_eq!(field(text, "model"), "");
    }

    #[test]
    fn the_description_has_everything_that_bears_on_the_figures() {
        let machine = Machine {
            cpu: "EPYC".to_owned(),
            cpus: 2,
            is_virtual: true,
            memory: 24 << 30,
            kernel: "6.18.1".to_owned(),
            mitigations: vec!["spectre_v2 (Retpolines)".to_owned()],
            compiler: "rustc 1.96.0".to_owned(),
            version: "0.1.0",
        };
        assert_eq!(
            machine.describe(),
            "EPYC, 2 virtual CPUs, 24 GiB; Linux 6.18.1; mitigations: spectre_v2 (Retpolines). \
             thulium-ctl 0.1.0, its eBPF programs by rustc 1.96.0."
        );
    }
}
