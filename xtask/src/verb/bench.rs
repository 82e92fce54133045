//! `cargo xtask bench`: what a packet costs.

use std::{os::unix::process::CommandExt, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use clap::{Args, value_parser};

use super::{build, setup};
use crate::{
    step::{output, step},
    toolchain::Compiler,
    workspace,
};

/// Who can be compared.
const CONTENDERS: [&str; 5] = ["kernel-forwarding", "nftables", "xdp-off", "xdp-native", "bare-redirect"];

/// What is to be measured.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Fewer flows, rounds and packets: a look within a few minutes, not figures to go by
    #[arg(long)]
    quick: bool,
    /// How often everything is measured, by turns [default: 11, or 5 with --quick]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Flow counts, up to a million [default: 1,1000,10000,100000,1000000, without the last with --quick]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = value_parser!(u32).range(1..=1_000_000))]
    flows: Vec<u32>,
    /// Who is compared [default: all]
    #[arg(long, value_name = "CONTENDER", value_delimiter = ',', num_args = 1.., value_parser = CONTENDERS)]
    only: Vec<String>,
    /// Packets take the flows in another order than that in which they were opened, which no cache foresees
    #[arg(long)]
    scattered: bool,
    /// Folder of the report [default: bench in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Builds everything, then becomes the bench: its exit code is ours, and Ctrl-C reaches it directly.
///
/// # Errors
/// If something cannot be built, or without root.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !workspace::is_root() {
        bail!("the bench makes network namespaces: run it as root");
    }
    setup::for_demo()?;
    let toolchain = build::run()?;
    build::bench_object(&toolchain)?;
    let mut cargo = workspace::cargo();
    step("Building the bench", cargo.args(["build", "--release", "--package", "thulium-tests", "--bin", "bench"]))?;
    let mut bench = command(arguments);
    bench.env("THULIUM_CTL", workspace::release_binary("thulium-ctl"));
    bench.env("THULIUM_BENCH_OBJECT", workspace::bench_object());
    bench.env("THULIUM_BENCH_COMPILER", version(&toolchain.compiler));
    Err(bench.exec()).context("cannot start the bench")
}

/// The bench, and what it is asked for.
fn command(arguments: &Arguments) -> Command {
    let Arguments { quick, rounds, flows, only, scattered, out } = arguments;
    let mut bench = Command::new(workspace::release_binary("bench"));
    if *quick {
        bench.arg("--quick");
    }
    if let Some(rounds) = rounds {
        bench.arg(format!("--rounds={rounds}"));
    }
    if !flows.is_empty() {
        let flows: Vec<String> = flows.iter().map(u32::to_string).collect();
        bench.arg(format!("--flows={}", flows.join(",")));
    }
    if !only.is_empty() {
        bench.arg(format!("--only={}", only.join(",")));
    }
    if *scattered {
        bench.arg("--scattered");
    }
    bench.arg("--out").arg(out.clone().unwrap_or_else(|| workspace::target().join("bench")));
    bench
}

/// What the compiler of the eBPF programs calls itself.
fn version(compiler: &Compiler) -> String {
    let mut command = match compiler {
        Compiler::Prebuilt(rustc) => Command::new(rustc),
        Compiler::Nightly => {
            let mut rustup = Command::new("rustup");
            rustup.args(["run", "nightly", "rustc"]);
            rustup
        }
    };
    output(command.arg("--version")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Result<Vec<String>, clap::Error> {
        let line = Line::try_parse_from(format!("bench {line}").split_whitespace())?;
        let command = command(&line.arguments);
        Ok(command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn what_is_asked_for_reaches_the_bench() {
        let asked =
            parse("--quick --rounds 9 --flows 1,1000 --only nftables xdp-native --scattered --out /out").unwrap();
        let expected =
            ["--quick", "--rounds=9", "--flows=1,1000", "--only=nftables,xdp-native", "--scattered", "--out", "/out"];
        assert_eq!(asked, expected);
    }

    #[test]
    fn without_options_only_the_folder_is_named() {
        let plain = parse("").unwrap();
        assert_eq!((plain.len(), plain[0].as_str()), (2, "--out"));
        assert!(plain[1].ends_with("/bench"));
    }

    #[test]
    fn unknown_values_are_refused_with_those_that_there_are() {
        let error = parse("--only iptables").unwrap_err().to_string();
        assert!(CONTENDERS.iter().all(|contender| error.contains(contender)), "{error}");
        for line in ["--flows 0", "--flows 2000000", "--rounds 0", "--rounds many", "--only", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
