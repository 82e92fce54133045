//! `cargo xtask test`: formatting, lints, documentation, tests on the host, tests in network namespaces.

use std::{env, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result, bail};

use super::{build, setup};
use crate::{step::step, toolchain, workspace};

/// The workspace's default members, whose tests need neither root nor peers.
const HOST: &[&str] = &[];
/// The tests in network namespaces. It has no examples in its documentation to run.
const NETNS: &[&str] = &["--package", "thulium-tests", "--tests"];

/// Checks and tests everything. The tests in network namespaces come last, and nothing is printed after their summary.
///
/// # Errors
/// If anything fails, and in CI without root.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let root = workspace::is_root();
    if !root && env::var_os("CI").is_some() {
        bail!("the tests in network namespaces need root");
    }
    if root {
        setup::run()?;
    }
    let toolchain = build::run()?;
    if arguments.is_empty() {
        checks(&toolchain)?;
    } else {
        eprintln!("Only tests: formatting, lints and documentation are checked without arguments");
    }
    // Two builds, as they are run: cargo chooses features by what is selected.
    step("Building the tests on the host", cargo_test(HOST, &[]).arg("--no-run"))?;
    step("Building the tests in network namespaces", cargo_test(NETNS, &[]).arg("--no-run"))?;
    let host = cargo_test(HOST, arguments).status().context("cannot start cargo")?;
    if !host.success() {
        bail!("tests on the host failed");
    }
    if !root {
        eprintln!(
            "Not run: the tests in network namespaces. They need root: sudo -E env \"PATH=$PATH\" cargo xtask test"
        );
        return Ok(());
    }
    Err(cargo_test(NETNS, arguments).exec()).context("cannot start cargo")
}

fn checks(toolchain: &toolchain::Toolchain) -> Result<()> {
    toolchain::lints_ready()?;
    step("Checking the format", cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    step("Checking lints", cargo().args(clippy))?;
    // No clippy knows the BPF target's core; the compiler's own lints do.
    step("Checking lints of the eBPF programs", &mut build::bpf_cargo(toolchain, "check", &["-Dwarnings"]))?;
    // Private items are always documented here, so that links to them hold.
    let doc = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    let rustdoc = "--deny warnings --allow rustdoc::private_intra_doc_links";
    step("Checking the documentation", cargo().args(doc).env("RUSTDOCFLAGS", rustdoc))
}

/// A `cargo test` of `scope`, with `arguments` for the test programs. One program that fails does not keep the others from running.
fn cargo_test(scope: &[&str], arguments: &[String]) -> Command {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(scope);
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    command
}

/// A cargo whose tests find the release binary and the eBPF object.
fn cargo() -> Command {
    let mut command = workspace::cargo();
    command.env("THULIUM_CTL", workspace::release_binary("thulium-ctl")).env("THULIUM_OBJECT", workspace::object());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_test_programs() {
        let command = cargo_test(HOST, &["stun".to_owned()]);
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["test", "--no-fail-fast", "--", "stun"]);
        assert!(command.get_envs().any(|(name, value)| name == "THULIUM_CTL" && value.is_some()));
    }
}
