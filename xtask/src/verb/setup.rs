//! `cargo xtask setup`: everything that build, tests and demo need.

use anyhow::Result;

use crate::{
    peers,
    toolchain::{self, Compiler},
};

/// Finds or installs compiler, linker and peers, and says what is used.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn run() -> Result<()> {
    let toolchain = toolchain::ready()?;
    peers::install()?;
    match &toolchain.compiler {
        Compiler::Prebuilt(rustc) => eprintln!("eBPF compiler: {}", rustc.display()),
        Compiler::Nightly => eprintln!("eBPF compiler: rustup's nightly, with core from source"),
    }
    eprintln!("eBPF linker: {}", toolchain.linker.display());
    Ok(())
}
