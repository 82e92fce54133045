//! Tests on other kernels: Debian's, in a virtual machine.
//!
//! ```text
//! tools ─┬─▶ kernel ──▶ initramfs ──▶ machine: init.sh ▶ guest.sh ▶ the tests
//!        └─ unpacked, not installed         the host's file system, read-only, is the machine's root
//! ```
//!
//! The machine has everything that the host has: test programs, `ip`, `nft`, `sipp`, and so on. `/tmp`, `/run` and `/var` are
//! its own and empty. It is emulated, so that it runs where there is no hardware for virtual machines, and is therefore slow:
//! without names of tests a part of them is run, [`CORE`].

mod cpio;
mod initramfs;
mod kernel;
mod machine;
mod settings;
mod tools;

use std::{
    fs::{self, File},
    path::PathBuf,
};

use anyhow::{Context, Result, bail};

use self::{kernel::Kernel, settings::Settings, tools::Tools};
use crate::workspace;

/// The kernels that tests are run on: the oldest one that is supported, and one that has TCX.
pub(crate) const SERIES: [&str; 2] = ["6.1", "6.12"];

/// The parts of the tests that are run on every kernel: test program, and what the tests' names begin with or contain.
const CORE: &[(&str, &[&str])] = &[
    ("object", &["budget::", "errors::an_error_from_the_world"]),
    (
        "netns",
        &[
            "clsact::outlives",
            "coexistence::with_a_strict_forward_chain",
            "flows::sip_and_media",
            "flows::stun",
            "fragments::over_an_uplink_of_1492_bytes",
            "icmp::udp_learns_of_a_narrow_hop",
            "ipv6::a_browser",
            "learners::without_them",
            "links::modular::",
            "pins::who_is_released",
            "refusals::of_",
            "routing::a_client_learns",
            "routing::upkeep::down_leaves",
            "survival::refusals_and_counters",
            "tls::plain_http_is_reset",
            "uplinks::clients_wait",
            "xdp::the_world",
        ],
    ),
];

/// A program of tests.
pub(crate) struct Program {
    /// Its target's name.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: PathBuf,
}

/// Whether this machine can run tests on other kernels.
///
/// # Errors
/// If it cannot: why.
pub(crate) fn is_possible() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" || workspace::on_path("apt-get").is_none() {
        bail!("other kernels need an x86_64 machine with Debian's packages");
    }
    Ok(())
}

/// Runs `programs` on the kernel `series`, with `arguments`, or the core of them without. Their output goes to standard output.
///
/// # Errors
/// If the virtual machine cannot be made, a test fails, or the end of the tests is not heard of.
pub(crate) fn test(series: &str, programs: &[Program], arguments: &[String]) -> Result<()> {
    let folder = workspace::target().join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // The machine's files have fixed names. Closing it unlocks it.
    let lock = File::create(folder.join("lock")).context("cannot make a lock")?;
    lock.lock().context("cannot lock the virtual machine's files")?;
    let tools = Tools::ready(&folder)?;
    let kernel = Kernel::ready(series, &folder, &tools)?;
    let commands = commands(programs, arguments);
    let settings = Settings { kernel: &kernel, tools: &tools, commands: &commands }.script();
    let initramfs = initramfs::make(&kernel, &tools, &settings)?;
    let initrd = folder.join("initramfs");
    fs::write(&initrd, initramfs).with_context(|| format!("cannot write {}", initrd.display()))?;
    eprintln!("Testing on {} …", kernel.release);
    match machine::run(&folder, &tools, &kernel, &initrd)? {
        0 => Ok(()),
        code => bail!("tests on {} failed: exit code {code}", kernel.release),
    }
}

/// The command lines that run `programs`: all of them with `arguments`, or the core of them.
fn commands(programs: &[Program], arguments: &[String]) -> Vec<Vec<String>> {
    let file = |program: &Program| program.file.display().to_string();
    let chosen = |program: &Program, names: Vec<String>| {
        // What other runs leave out, because their kernel lacks a kind of link, is run here.
        let fixed = ["--include-ignored", "--test-threads=3", "--color", settings::color()].map(str::to_owned);
        [file(program)].into_iter().chain(fixed).chain(names).collect()
    };
    if !arguments.is_empty() {
        return programs.iter().map(|program| chosen(program, arguments.to_vec())).collect();
    }
    let core = CORE.iter().filter_map(|(name, names)| {
        let program = programs.iter().find(|program| program.name == *name)?;
        Some(chosen(program, names.iter().map(ToString::to_string).collect()))
    });
    core.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Vec<Program> {
        ["object", "netns", "demo"].map(|name| Program { name: name.to_owned(), file: name.into() }).into()
    }

    #[test]
    fn without_names_the_core_is_run() {
        let commands = commands(&programs(), &[]);
        let first: Vec<_> = commands.iter().map(|command| command[0].as_str()).collect();
        assert_eq!(first, ["object", "netns"]);
        assert!(commands[1].iter().any(|word| word == "refusals::of_"));
    }

    #[test]
    fn names_reach_every_program() {
        let commands = commands(&programs()[..2], &["stun".to_owned()]);
        assert!(
            commands.len() == 2 && commands.iter().all(|command| command.last().is_some_and(|name| name == "stun"))
        );
    }
}
