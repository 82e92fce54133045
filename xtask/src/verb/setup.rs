//! `cargo xtask setup`: everything that build, tests and demo need.

use anyhow::Result;

use crate::{
    peers,
    toolchain::{self, Compiler},
};

/// Finds or installs all of it, and says what is used.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn run() -> Result<()> {
    for_demo()?;
    peers::install_for_tests()
}

/// The same without what only tests need.
///
/// # Errors
/// If something is missing and cannot be installed.
pub(crate) fn for_demo() -> Result<()> {
    let toolchain = toolchain::ready()?;
    peers::install()?;
    match &toolchain.compiler {
        Compiler::Prebuilt(rustc) => eprintln!("eBPF compiler: {}", rustc.display()),
        Compiler::Nightly => eprintln!("eBPF compiler: rustup's nightly, with core from source"),
    }
    eprintln!("eBPF linker: {}", toolchain.linker.display());
    Ok(())
}
