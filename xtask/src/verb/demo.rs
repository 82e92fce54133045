//! `cargo xtask demo`: the gateway at work.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, bail};

use super::{build, setup};
use crate::{step::step, workspace};

/// Builds everything, then becomes the demo: its exit code is ours, and Ctrl-C reaches it directly.
///
/// # Errors
/// If something cannot be built, or without root.
pub(crate) fn run(quick: bool) -> Result<()> {
    if !workspace::is_root() {
        bail!("the demo makes network namespaces: run it as root");
    }
    setup::for_demo()?;
    build::run()?;
    let mut cargo = workspace::cargo();
    cargo.env("THULIUM_OBJECT", workspace::object());
    step("Building the demo", cargo.args(["build", "--release", "--package", "thulium-tests", "--bin", "demo"]))?;
    let mut demo = Command::new(workspace::release_binary("demo"));
    demo.env("THULIUM_CTL", workspace::release_binary("thulium-ctl")).env("THULIUM_OBJECT", workspace::object());
    if quick {
        demo.arg("--quick");
    }
    Err(demo.exec()).context("cannot start the demo")
}
