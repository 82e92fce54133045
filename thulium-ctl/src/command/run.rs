//! `run`: attaches and stays.

use std::{
    path::{self, PathBuf},
    process::ExitCode,
};

use anyhow::Context;

use super::Options;
use crate::{
    daemon::{Daemon, Setup},
    datapath::pins::Pins,
    exit::{Exit, Failure},
    policy::{Source, require_interfaces},
};

/// What to run.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Arguments {
    /// The policy
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Print a line for every packet that is refused: for debugging, it costs speed
    #[arg(long)]
    log_datapath: bool,
}

/// Puts the policy in force and serves it until SIGTERM; it is enforced on after that.
///
/// # Errors
/// With exit code 78 if the policy is wrong, 4 if the kernel or a privilege is; what was in force before goes on.
pub(super) fn run(options: &Options, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let source = Source::read(&arguments.policy).map_err(Failure::from)?;
    let policy = source.policy().map_err(Failure::from)?;
    require_interfaces(&policy, &source).map_err(Failure::from)?;
    let pins = Pins::of(&options.instance, options.bpffs.as_deref())?;
    // `status` shows it to an admin who is somewhere else.
    let file = path::absolute(&arguments.policy).unwrap_or(arguments.policy);
    let setup = Setup { pins, file, log_datapath: arguments.log_datapath };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async { Daemon::start(setup, policy).await?.serve().await }).map_err(kernel)?;
    Ok(ExitCode::SUCCESS)
}

/// What is no failure of its own is the kernel's or a privilege's: systemd must not try it again and again.
fn kernel(error: anyhow::Error) -> anyhow::Error {
    if error.downcast_ref::<Failure>().is_some() {
        return error;
    }
    Failure::new(Exit::Kernel, format!("{error:#}"), "").into()
}
