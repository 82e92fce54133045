//! Which compiler and linker make the eBPF object.
//!
//! [`probe`] looks at what is really there, [`plan`] decides from that alone what is used and what has to be installed.

mod plan;
mod probe;

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

pub(crate) use plan::{Compiler, Toolchain};

use crate::{
    apt,
    step::{output, step},
    workspace,
};

/// The target that the programs are built for.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// The LLVM that `bpf-linker` is built against, as Debian packages it; not older than that of any compiler we use.
const LLVM_MAJOR: u32 = 22;
/// The `bpf-linker` that is installed where none is found, and the oldest that is used.
const LINKER_VERSION: &str = "0.13.0";

/// Finds compiler and linker, and installs what is missing where that is possible.
///
/// # Errors
/// If something is missing that cannot be installed here: the message says what to install.
pub(crate) fn ready() -> Result<Toolchain> {
    let plan = plan::plan(&probe::probe())?;
    apt::install(&plan.packages).context(plan::OTHERWISE)?;
    if plan.build_linker {
        install_linker()?;
    }
    match plan::plan(&probe::probe())?.toolchain {
        Some(toolchain) => Ok(toolchain),
        None => bail!("the packages were installed, but still no compiler and linker for {BPF_TARGET} were found"),
    }
}

fn install_linker() -> Result<()> {
    let llvm = probe::llvm_prefix().with_context(|| format!("no LLVM {LLVM_MAJOR} to build bpf-linker against"))?;
    let mut cargo = workspace::cargo();
    cargo.args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--no-default-features"]);
    cargo.args(["--features", &format!("llvm-{LLVM_MAJOR}"), "--root"]).arg(workspace::tools());
    // A folder of its own, so that a second try continues where the first one ended.
    cargo.arg("--target-dir").arg(workspace::target().join("tools-build"));
    cargo.env("LLVM_PREFIX", llvm).env_remove("RUSTFLAGS");
    step("Installing bpf-linker", &mut cargo)
}

/// Installs the newest `version` (a cargo requirement) of the program of crate `name`, once.
///
/// # Errors
/// If that fails.
pub(crate) fn install_tool(name: &str, version: &str) -> Result<PathBuf> {
    let program = workspace::tools().join("bin").join(name);
    if !workspace::is_executable(&program) {
        let mut cargo = workspace::cargo();
        cargo.args(["install", name, "--version", version, "--locked", "--root"]).arg(workspace::tools());
        cargo.arg("--target-dir").arg(workspace::target().join("tools-build"));
        step(&format!("Installing {name}"), &mut cargo)?;
    }
    Ok(program)
}

/// Makes sure that `cargo fmt` and `cargo clippy` are there: rustup's minimal profile leaves them out.
///
/// # Errors
/// If they are missing and rustup cannot add them.
pub(crate) fn lints_ready() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if output(workspace::cargo().args([subcommand, "--version"])).is_none() {
            let mut rustup = Command::new("rustup");
            step(&format!("Adding {component}"), rustup.args(["component", "add", component]))?;
        }
    }
    Ok(())
}
