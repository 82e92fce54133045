//! The programs and their maps, into the kernel.

use std::{path::PathBuf, thread, time::Duration};

use aya::{
    Ebpf, EbpfLoader,
    maps::MapInfo,
    programs::{Program, ProgramError},
};
use nix::errno::Errno;
use thulium_ebpf::{
    capacity::{entries, sessions},
    directory::Shape,
};

use super::{attach::is_optional, clients::pin_programs, marks::Marks, object, pins::Pins};
use crate::{
    exit::{Exit, Failure},
    policy::Policy,
};

/// Maps that outlive the daemon.
const MAPS: [&str; 44] = [
    "flows4",
    "groups4",
    "lines4",
    "numbers4",
    "seed4",
    "flows6",
    "sweep4",
    "sweep6",
    "mappings4",
    "ports4",
    "resting4",
    "clients4",
    "clients6",
    "hellos4",
    "hellos6",
    "fragments4",
    "fragments6",
    "foreign4",
    "uplinks",
    "interfaces",
    "stations",
    "newest",
    "generation",
    "settings",
    "flow_tables",
    "prefixes4",
    "prefixes6",
    "port_prefixes",
    "remotes4",
    "remotes6",
    "learned4",
    "learned6",
    "queries4",
    "queries6",
    "resolvers4",
    "resolvers6",
    "names",
    "choices",
    "homes6",
    "uplink_losses",
    "lans",
    "traffic",
    "slot_names",
    "drops",
];

/// How often more a program is handed over whose verification was interrupted. On a busy machine that happens several times in a row.
const ATTEMPTS: u32 = 50;
/// How long it waits before it does so.
const PAUSE: Duration = Duration::from_millis(10);

/// Level of `aya_log` at which the slow path's records are made.
const LOG_DEBUG: u8 = 4;

/// Programs in the kernel, not attached yet.
pub struct Loaded {
    /// The programs and maps; the optional programs are loaded when they are attached.
    pub ebpf: Ebpf,
    /// Sessions that the pinned table has room for, if that is not what the policy asks for.
    pub other_capacity: Option<u32>,
}

/// Loads the programs for `policy`, with the pinned maps of an earlier run where there are any. `log`: with the debug
/// records of the slow path.
///
/// # Errors
/// If the kernel is too old, or refuses a map or a program.
pub fn load(policy: &Policy, pins: &Pins, log: bool) -> anyhow::Result<Loaded> {
    let object = object::bytes().ok_or_else(|| {
        Failure::new(
            Exit::Kernel,
            "this thulium-ctl was built without its eBPF programs",
            "Build it with: cargo xtask build",
        )
    })?;
    let other_capacity = pinned_capacity(pins).filter(|capacity| *capacity != policy.sessions.capacity);
    let capacity = other_capacity.unwrap_or(policy.sessions.capacity);
    pins.create()?;

    let marks = Marks::of(policy.datapath.mark, policy.uplinks.len());
    let mark_uplink = marks.uplinks.unwrap_or(0);
    let shape = Shape::of(capacity);
    let log_level = if log { LOG_DEBUG } else { 0 };
    let paths: Vec<(&str, PathBuf)> = MAPS.iter().map(|name| (*name, pins.map(name))).collect();
    let mut loader = EbpfLoader::new();
    // The programs need no relocation against the kernel's types: reading them would only cost time.
    loader
        .btf(None)
        .override_global("MARK_MASK", &marks.mask, true)
        .override_global("MARK_TRANSLATED", &marks.translated, true)
        .override_global("MARK_GOVERNED", &marks.governed, true)
        .override_global("MARK_SETTLED", &marks.settled, true)
        .override_global("MARK_UPLINK", &mark_uplink, true)
        .override_global("FLOWS4_CAPACITY", &shape.capacity, true)
        .override_global("FLOWS4_FAR_LINES", &shape.far_lines, true)
        .override_global("FLOWS4_NUMBERS", &shape.numbers, true)
        .override_global("AYA_LOG_LEVEL", &log_level, false);
    for (name, path) in &paths {
        loader.map_pin_path(name, path.as_path());
        if let Some(entries) = entries(name, capacity) {
            loader.map_max_entries(name, entries);
        }
    }
    let mut ebpf = loader.load(object).map_err(|error| explain(anyhow::Error::from(error)))?;
    for (name, program) in ebpf.programs_mut().filter(|(name, _)| !is_optional(name)) {
        load_program(name, program)?;
    }
    pin_programs(&mut ebpf, pins)?;
    Ok(Loaded { ebpf, other_capacity })
}

/// Loads a program into the kernel.
///
/// # Errors
/// If the kernel does not take it, with the last lines of the verifier's log.
pub(super) fn load_program(name: &str, program: &mut Program) -> anyhow::Result<()> {
    let mut load = || match program {
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        _ => Ok(()),
    };
    let mut loaded = load();
    for _ in 0..ATTEMPTS {
        if !loaded.as_ref().is_err_and(is_interrupted) {
            break;
        }
        thread::sleep(PAUSE);
        loaded = load();
    }
    loaded.map_err(|error| explain_program(name, error))
}

/// True if the verifier was interrupted: it gives up as soon as a signal waits for the thread (kernel: `do_check`).
fn is_interrupted(error: &ProgramError) -> bool {
    matches!(error, ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(Errno::EAGAIN as i32))
}

fn pinned_capacity(pins: &Pins) -> Option<u32> {
    let info = MapInfo::from_pin(pins.map("flows4")).ok()?;
    Some(sessions(info.max_entries()))
}

/// Says what is missing when the kernel refuses everything.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    if text.contains("EPERM") || text.contains("Operation not permitted") || text.contains("os error 1)") {
        return not_permitted().into();
    }
    Failure::new(Exit::Kernel, format!("the kernel does not take the maps: {text}"), "Linux 6.1 or newer is needed.")
        .into()
}

/// Nobody but root can load programs.
pub fn not_permitted() -> Failure {
    Failure::new(
        Exit::Kernel,
        "this process may not load eBPF programs",
        "Run it as root, or with the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.",
    )
}

fn explain_program(name: &str, error: ProgramError) -> anyhow::Error {
    let remedy =
        "This is a defect of thulium-ctl on this kernel: please report it with the lines above and `uname -a`.";
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            // Lines with the state of all registers are of no use to anybody who reads this.
            let lines: Vec<&str> = log.lines().filter(|line| line.len() < 200).collect();
            let last = &lines[lines.len().saturating_sub(12)..];
            Failure::new(
                Exit::Kernel,
                format!("the kernel refuses the program {name}: {io_error}\n{}", last.join("\n")),
                remedy,
            )
            .into()
        }
        error => anyhow::Error::from(error).context(Failure::new(
            Exit::Kernel,
            format!("the kernel refuses the program {name}"),
            remedy,
        )),
    }
}
