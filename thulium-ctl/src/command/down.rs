//! `down`: takes an instance off the gateway.

use std::{
    fmt, fs, io,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use serde::Serialize;

use super::{Options, print::print};
use crate::{
    control::{Claim, ClaimError, socket_path},
    daemon::state_directory,
    datapath::{
        attach::detach_filters,
        host::{HostSettings, routing::Routing},
        load::not_permitted,
        pins::Pins,
    },
    exit::{Exit, Failure},
    observe::VERSION,
};

/// How long a daemon may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Ends the daemon if there is one, detaches, removes pins, puts back what was set, forgets what was kept on disk.
///
/// # Errors
/// If something of it cannot be done; calling it again goes on from there.
pub(super) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !Uid::effective().is_root() {
        return Err(not_permitted().into());
    }
    let instance = &options.instance;
    let claim = claim(instance)?;
    let pins = Pins::of(instance, options.bpffs.as_deref())?;
    detach_filters(&pins)?;
    let had_pins = pins.remove()?;
    let was_there = Routing::remove()? || had_pins;
    let state = state_directory(instance);
    match HostSettings::open(&state) {
        Ok(settings) => settings.restore()?,
        Err(error) => eprintln!("thulium-ctl: what was set on the host cannot be put back: {error:#}"),
    }
    match fs::remove_dir_all(&state) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", state.display()));
        }
        _ => {}
    }
    drop(claim);
    // Shared with other instances: they stay unless they are empty.
    for shared in [state.parent(), socket_path(instance).parent()].into_iter().flatten() {
        let _ = fs::remove_dir(shared);
    }
    print(&Report { version: VERSION, instance: instance.clone(), was_there }, options.json)?;
    Ok(ExitCode::SUCCESS)
}

/// What was done.
#[derive(Serialize)]
struct Report {
    version: u32,
    instance: String,
    /// False if there was nothing to take off.
    was_there: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instance = &self.instance;
        match self.was_there {
            true => writeln!(f, "instance `{instance}` is off: nothing is attached, and what it had set is put back"),
            false => writeln!(f, "instance `{instance}` was not there: nothing to do"),
        }
    }
}

/// Takes the instance away from its daemon. As long as the claim is held, no other daemon starts.
fn claim(instance: &str) -> anyhow::Result<Claim> {
    let socket = socket_path(instance);
    let deadline = Instant::now() + PATIENCE;
    let mut told = None;
    loop {
        let pid = match Claim::take(&socket) {
            Ok(claim) => return Ok(claim),
            Err(ClaimError::Served(Some(pid))) => pid,
            Err(ClaimError::Served(None)) if Instant::now() < deadline => {
                // It is just writing its process id down.
                sleep(PAUSE);
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("instance `{instance}` cannot be taken off")),
        };
        if told != Some(pid) {
            end(pid)?;
            told = Some(pid);
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                Exit::CheckFailed,
                format!("the daemon (process {pid}) does not end"),
                format!("End it yourself with `kill -9 {pid}`, then call `down` again."),
            )
            .into());
        }
        sleep(PAUSE);
    }
}

fn end(pid: u32) -> anyhow::Result<()> {
    let process = Pid::from_raw(i32::try_from(pid).context("the daemon's process id")?);
    match kill(process, Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot end the daemon (process {pid})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_as_text_and_json() {
        let report = |was_there| Report { version: VERSION, instance: "office".to_owned(), was_there };
        assert!(report(true).to_string().starts_with("instance `office` is off"));
        assert!(report(false).to_string().contains("nothing to do"));
        let expected = serde_json::json!({"version": 1, "instance": "office", "was_there": true});
        assert_eq!(serde_json::to_value(report(true)).unwrap(), expected);
    }
}
