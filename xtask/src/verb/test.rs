//! `cargo xtask test`: formatting, lints, documentation, tests on the host, tests in network namespaces in both ways of
//! forwarding, the core of them on other kernels.

use std::{env, process::Command};

use anyhow::{Context, Result, bail};

use super::{build, setup};
use crate::{
    step::{output, step},
    toolchain,
    vm::{self, Program},
    workspace,
};

/// The workspace's default members, whose tests need neither root nor peers.
const HOST: &[&str] = &[];
/// The tests in network namespaces. It has no examples in its documentation to run.
const NETNS: &[&str] = &["--package", "thulium-tests", "--tests"];
/// Those of them that take up a mode of XDP from the environment.
const IN_MODES: &[&str] = &["--package", "thulium-tests", "--test", "netns"];
/// The variable that names the mode, for policies that leave it open.
const MODE: &str = "THULIUM_LAB_XDP";
/// What their names contain where the native mode has nothing to show.
const NOT_NATIVE: &[&str] = &[
    // They are about where XDP is attached and forwards, or about unfinished checksums, and choose the mode themselves.
    "xdp::",
    "stations::",
    "switching::",
    "hops::",
    "offloads::",
    // What it looks at is the host's.
    "doctor::",
    // Links that take no native program.
    "links::a_bridge_as_lan",
    "links::a_client_behind_a_link_without_link_headers",
    "links::an_uplink_without_link_headers",
    "routing::a_link_with_two_ends_needs_no_next_hop",
];

/// Checks and tests everything; with `arguments`, only tests, and only on this kernel. The tests come last, and nothing is
/// printed after their summary.
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
    run_tests("tests on the host", &mut cargo_test(HOST, arguments))?;
    if !root {
        eprintln!(
            "Not run: the tests in network namespaces. They need root: sudo -E env \"PATH=$PATH\" cargo xtask test"
        );
        return Ok(());
    }
    let netns = "tests in network namespaces";
    if !arguments.is_empty() {
        return run_tests(netns, &mut cargo_test(NETNS, arguments));
    }
    run_tests(netns, cargo_test(NETNS, &[]).env_remove(MODE))?;
    run_tests("tests in network namespaces, with XDP that forwards", &mut natively())?;
    on_other_kernels()
}

/// Runs tests, below a heading that says which.
fn run_tests(which: &str, command: &mut Command) -> Result<()> {
    eprintln!("\nRunning the {which}");
    if command.status().context("cannot start cargo")?.success() { Ok(()) } else { bail!("{which} failed") }
}

/// The tests in network namespaces once more, where XDP forwards.
fn natively() -> Command {
    let skipped: Vec<String> = NOT_NATIVE.iter().flat_map(|name| ["--skip".to_owned(), (*name).to_owned()]).collect();
    let mut command = cargo_test(IN_MODES, &skipped);
    command.env(MODE, "native");
    command
}

/// Runs the core of the tests on each of Debian's kernels, where that is possible. Those in network namespaces are built.
fn on_other_kernels() -> Result<()> {
    if let Err(reason) = vm::is_possible() {
        if env::var_os("CI").is_some() {
            return Err(reason);
        }
        eprintln!("Not run: the core of the tests on {}: {reason}", vm::SERIES.join(" and "));
        return Ok(());
    }
    let programs = programs()?;
    vm::SERIES.iter().try_for_each(|series| vm::test(series, &programs, &[]))
}

/// Runs the tests that `arguments` choose, or the core of them, on another kernel.
///
/// # Errors
/// If something cannot be built, or a test fails.
pub(crate) fn on_kernel(series: &str, arguments: &[String]) -> Result<()> {
    vm::is_possible()?;
    setup::run()?;
    build::run()?;
    step("Building the tests in network namespaces", cargo_test(NETNS, &[]).arg("--no-run"))?;
    vm::test(series, &programs()?, arguments)
}

/// The programs of the tests in network namespaces, as they were just built.
fn programs() -> Result<Vec<Program>> {
    let messages = output(cargo_test(NETNS, &[]).args(["--no-run", "--message-format", "json"]));
    Ok(test_programs(&messages.context("cargo does not tell what it built")?))
}

/// The test programs in cargo's messages, which are a line of JSON each.
fn test_programs(messages: &str) -> Vec<Program> {
    let program = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let target = &message["target"];
        let is_test = target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "test"));
        let file = message["executable"].as_str().filter(|_| is_test)?;
        Some(Program { name: target["name"].as_str()?.to_owned(), file: file.into() })
    };
    messages.lines().filter_map(program).collect()
}

fn checks(toolchain: &toolchain::Toolchain) -> Result<()> {
    toolchain::lints_ready()?;
    step("Checking the format", cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    step("Checking lints", cargo().args(clippy))?;
    // No clippy knows the BPF target's core; the compiler's own lints do.
    step("Checking lints of the eBPF programs", &mut build::bpf_check(toolchain))?;
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

    #[test]
    fn natively_only_what_takes_up_the_mode_is_run() {
        let command = natively();
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(
            arguments[..8],
            ["test", "--no-fail-fast", "--package", "thulium-tests", "--test", "netns", "--", "--skip"]
        );
        assert!(command.get_envs().any(|(name, value)| name == MODE && value.is_some_and(|value| value == "native")));
    }

    #[test]
    fn test_programs_are_those_that_cargo_names() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"thulium_tests"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"demo"},"executable":"/target/debug/demo"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"netns"},"executable":"/target/debug/deps/netns-1"}
{"reason":"build-finished","success":true}"#;
        let programs = test_programs(messages);
        assert_eq!(programs.len(), 1);
        assert_eq!(
            (programs[0].name.as_str(), programs[0].file.to_str()),
            ("netns", Some("/target/debug/deps/netns-1"))
        );
    }
}
