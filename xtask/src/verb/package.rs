//! `cargo xtask package`: the Debian package.

use std::process::Command;

use anyhow::{Result, bail};

use super::build;
use crate::{apt, step::step, toolchain, workspace};

/// The cargo-deb that is used, as a cargo requirement.
const CARGO_DEB: &str = "^3";

/// Builds everything and packs it; with `test`, tries the package in a clean Debian root.
///
/// # Errors
/// If something cannot be built, or the trial fails.
pub(crate) fn run(test: bool) -> Result<()> {
    build::run()?;
    let cargo_deb = toolchain::install_tool("cargo-deb", CARGO_DEB)?;
    let package = workspace::target().join("debian/thulium-ctl.deb");
    let mut deb = Command::new(cargo_deb);
    deb.current_dir(workspace::root()).env("CARGO_TARGET_DIR", workspace::target());
    deb.args(["--package", "thulium-ctl", "--no-build", "--output"]).arg(&package);
    step("Packing", &mut deb)?;
    println!("{}", package.display());
    if test {
        if !workspace::is_root() {
            bail!("trying the package in a clean Debian root needs root");
        }
        apt::install(&["debootstrap", "iproute2"])?;
        let status = Command::new(workspace::root().join("packaging/test-install")).arg(&package).status()?;
        if !status.success() {
            bail!("the package failed its trial");
        }
    }
    Ok(())
}
