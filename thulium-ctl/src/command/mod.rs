//! The command line: one file a verb.

mod check;
mod clients;
mod daemon;
mod doctor;
mod down;
mod drops;
mod flows;
mod hosts;
mod instance;
mod print;
mod run;
mod status;
mod uplinks;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    datapath::{pins::Pins, tables::Tables},
    exit::{Exit, Failure},
    observe::remedy,
};

/// Makes a Linux gateway right for Thulium: a policy of flows, enforced by eBPF.
///
/// Exit codes: 0 ok, 1 a check failed, 2 usage, 3 not running, 4 privilege or kernel, 78 policy.
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
enum Command {
    /// Check a policy and print what it means; changes nothing
    Check(check::Check),
    /// Put a policy in force and serve it; it is enforced on when this ends
    Run(run::Arguments),
    /// One screen: is it enforcing, where, since when, and what is wrong
    Status,
    /// Refused packets by reason, flow, direction and interface, with hints
    Drops,
    /// Live sessions
    Flows(flows::Arguments),
    /// Clients with the uplinks that they are pinned to and their shares of sessions and ports; releases them
    Clients(clients::Arguments),
    /// The uplinks: their health, who is pinned to them, what they have carried
    Uplinks,
    /// The policy's hosts with their names and addresses
    Hosts,
    /// What on this gateway would block or modify Thulium's traffic, with the command that changes it
    Doctor(doctor::Arguments),
    /// Take an instance off the gateway: detach, remove pins, put back what was set
    Down,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("thulium-ctl: {error:#}");
            ExitCode::from(exit_of(&error) as u8)
        }
    }
}

/// The exit code of an error: that of the failure in its chain, if there is one.
fn exit_of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failure>().map_or(Exit::CheckFailed, |failure| failure.exit)
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let options = &cli.options;
    match cli.command {
        Command::Check(arguments) => check::run(options, &arguments),
        Command::Run(arguments) => run::run(options, arguments),
        Command::Status => status::run(options, tables_if_any(options)?.as_ref()),
        Command::Drops => drops::run(options, &tables(options)?),
        Command::Flows(arguments) => flows::run(options, arguments, &tables(options)?),
        Command::Clients(arguments) => clients::run(options, &arguments, &tables(options)?),
        Command::Uplinks => uplinks::run(options, &tables(options)?),
        Command::Hosts => hosts::run(options, tables_if_any(options)?.as_ref()),
        Command::Doctor(arguments) => doctor::run(options, arguments, tables_if_any(options)?.as_ref()),
        Command::Down => down::run(options),
    }
}

/// The instance's maps; `None` if it has none.
fn tables_if_any(options: &Options) -> anyhow::Result<Option<Tables>> {
    match Pins::of(&options.instance, options.bpffs.as_deref()) {
        Ok(pins) => Tables::open(&pins),
        // Without a BPF file system nothing can be pinned.
        Err(failure) if failure.exit == Exit::Kernel => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

fn tables(options: &Options) -> anyhow::Result<Tables> {
    tables_if_any(options)?.ok_or_else(|| {
        let message = format!("instance `{}` is not running: nothing of it is in the kernel", options.instance);
        Failure::new(Exit::NotRunning, message, format!("Start it: {}", remedy::start(&options.instance))).into()
    })
}
