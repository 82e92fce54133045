//! A program that runs in a namespace and writes to a log file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::wait::within;

/// A running program. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with an open but empty input; what it prints is appended to `log`.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        Self::spawn_reading(command.stdin(Stdio::piped()), log)
    }

    /// Starts `command` with the input that it was given; what it prints is appended to `log`.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn spawn_reading(command: &mut Command, log: &Path) -> Result<Self> {
        Self::start(command, log, log)
    }

    /// The same, but only its standard output is appended to `log`; its errors have a file of their own.
    ///
    /// # Errors
    /// When the program is not there.
    pub fn spawn_apart(command: &mut Command, log: &Path) -> Result<Self> {
        Self::start(command.stdin(Stdio::piped()), log, &log.with_extension("err"))
    }

    fn start(command: &mut Command, log: &Path, errors: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let [log_file, error_file] = [log, errors].map(|path| File::options().create(true).append(true).open(path));
        let child = command.stdout(log_file?).stderr(error_file?).spawn();
        let child = child.with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).with_context(|| format!("signalling {}", self.name))
    }

    /// Whether it is still there.
    ///
    /// # Errors
    /// When its state cannot be read.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        within(patience, &format!("the end of {name}"), || self.child.try_wait()?.context("it still runs"))
    }

    /// Waits until it listens on `port`; `protocol` is `tcp` or `udp`.
    ///
    /// # Errors
    /// When it ends or does not listen in time; the error has its log.
    pub fn wait_listening(&mut self, protocol: &str, port: u16) -> Result<()> {
        // A socket of both families is in the table of IPv6.
        let tables = ["", "6"].map(|family| format!("/proc/{}/net/{protocol}{family}", self.id()));
        let needle = format!(":{port:04X}");
        let heard = within(Duration::from_secs(10), &format!("{} on {protocol} port {port}", self.name), || {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Err(anyhow!("{} ended ({status})", self.name)));
            }
            let table: String = tables.iter().flat_map(fs::read_to_string).collect();
            let listens = |line: &str| {
                let columns: Vec<_> = line.split_whitespace().collect();
                // Local address and state: TCP_LISTEN, or TCP_CLOSE, which is what an open UDP socket is in.
                matches!(columns[..], [_, local, _, "0A" | "07", ..] if local.ends_with(&needle))
            };
            table.lines().any(listens).then_some(Ok(())).context("no such socket yet")
        });
        heard.and_then(|heard| heard).with_context(|| format!("its log:\n{}", self.log()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
