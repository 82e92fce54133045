//! Setup, build, test, demo, bench and package of thulium-ctl: `cargo xtask help`.
//!
//! * [`verb`]: one file a verb.
//! * [`toolchain`]: which compiler and linker make the eBPF object; what is missing for that.
//! * [`apt`]: Debian packages; [`peers`]: those that tests and demo talk to.
//! * [`vm`]: tests on other kernels, in a virtual machine.
//! * [`step`]: runs a command with its output in a log; [`environment`]: what such a command must not inherit.

mod apt;
mod environment;
mod peers;
mod step;
mod toolchain;
mod verb;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Setup, build, test, demo, bench and package of thulium-ctl.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Finds the compiler and linker for the eBPF object, and installs what is missing
    Setup,
    /// Builds target/release/thulium-ctl with the eBPF object inside
    Build,
    /// Checks formatting, lints and documentation, then runs all tests; those in network namespaces need root
    Test {
        /// Runs tests on this kernel of Debian's alone, in a virtual machine: those that are named, else the core of them
        #[arg(long, value_name = "VERSION", value_parser = vm::SERIES)]
        kernel: Option<String>,
        /// Passed to the test runner, a part of a test's name for example; formatting, lints and documentation are then left out
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Shows a gateway at work in network namespaces; needs root
    Demo {
        /// Leaves out the step that waits for over 50 s of silence
        #[arg(long)]
        quick: bool,
    },
    /// Measures what a packet costs the gateway, beside the kernel's own ways and the limit; needs root, and leaves a report below target/
    Bench(verb::bench::Arguments),
    /// Makes target/debian/thulium-ctl_….deb
    Package {
        /// Installs, uses and removes the package in a clean Debian root below target/ as well; needs root
        #[arg(long)]
        test: bool,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Setup => verb::setup::run(),
        Verb::Build => verb::build::run().map(drop),
        Verb::Test { kernel: Some(series), arguments } => verb::test::on_kernel(&series, &arguments),
        Verb::Test { kernel: None, arguments } => verb::test::run(&arguments),
        Verb::Demo { quick } => verb::demo::run(quick),
        Verb::Bench(arguments) => verb::bench::run(&arguments),
        Verb::Package { test } => verb::package::run(test),
    }
}
