//! `cargo xtask bench`: what a packet costs.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, bail};

use super::{build, setup};
use crate::{step::step, workspace};

/// Builds everything, then becomes the bench: its exit code is ours, and Ctrl-C reaches it directly.
///
/// # Errors
/// If something cannot be built, or without root.
pub(crate) fn run(quick: bool) -> Result<()> {
    if !workspace::is_root() {
        bail!("the bench makes network namespaces: run it as root");
    }
    setup::for_demo()?;
    let toolchain = build::run()?;
    build::bench_object(&toolchain)?;
    let mut cargo = workspace::cargo();
    step("Building the bench", cargo.args(["build", "--release", "--package", "thulium-tests", "--bin", "bench"]))?;
    let mut bench = Command::new(workspace::release_binary("bench"));
    bench.env("THULIUM_CTL", workspace::release_binary("thulium-ctl"));
    bench.env("THULIUM_BENCH_OBJECT", workspace::bench_object());
    if quick {
        bench.arg("--quick");
    }
    Err(bench.exec()).context("cannot start the bench")
}
