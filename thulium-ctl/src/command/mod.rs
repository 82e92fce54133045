//! The command line: one file a verb.

pub mod drops;
pub mod flows;
pub mod hosts;
pub mod status;

mod daemon;
mod instance;
mod print;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Failure};

/// Makes a Linux gateway right for Thulium: a policy of flows, enforced by eBPF.
#[derive(Parser)]
#[command(name = "thulium-ctl", version)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// What every verb understands.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Which instance: names the pin directory and the socket, so that several network namespaces can each run one
    #[arg(long, global = true, default_value = "default", env = "THULIUM_INSTANCE", value_name = "NAME")]
    #[arg(value_parser = instance::parse)]
    pub instance: String,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Mount point of the BPF file system [default: /sys/fs/bpf]
    #[arg(long, global = true, env = "THULIUM_BPFFS", value_name = "DIR")]
    pub bpffs: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("thulium-ctl: {error:#}");
            let exit = error.downcast_ref::<Failure>().map_or(Exit::CheckFailed, |failure| failure.exit);
            ExitCode::from(exit as u8)
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let _ = &cli.options;
    match cli.command {}
}
