//! `thulium-ctl` in the gateway's namespace.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use super::{
    Lab, bpffs, dir,
    dismantle::remove_instance_files,
    mode::in_mode,
    process::Process,
    refused::Refused,
    wait::{patience, within},
};

/// How long `run` may take until it is ready.
const START: Duration = Duration::from_secs(20);
/// How long any other verb may take.
const END: Duration = Duration::from_secs(30);

/// What a finished `thulium-ctl` said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// Its standard output as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("not JSON: {self:?}"))
    }
}

/// One call of `thulium-ctl` for a lab's instance, before it is run.
pub struct Verb(Command);

impl Verb {
    /// `thulium-ctl` with the arguments in `line`, in the lab's gateway.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn new(lab: &Lab, line: &str) -> Result<Self> {
        let mut command = lab.gw.command(&thulium_ctl()?.to_string_lossy());
        command.args(line.split_whitespace()).env("THULIUM_BPFFS", lab.bpffs()).env("THULIUM_INSTANCE", lab.id());
        Ok(Self(command))
    }

    /// The command itself, to change what is special.
    pub fn command(&mut self) -> &mut Command {
        &mut self.0
    }

    /// Runs it to its end; one that takes more than 30 s is killed.
    ///
    /// # Errors
    /// When it cannot be started; not when it fails.
    pub fn ran(mut self) -> Result<Ran> {
        self.0.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.0.spawn().with_context(|| format!("starting {:?}", self.0))?;
        let id = Pid::from_raw(child.id().cast_signed());
        let (ended, end) = mpsc::channel::<()>();
        let guard = thread::spawn(move || {
            if end.recv_timeout(patience(END)) == Err(RecvTimeoutError::Timeout) {
                // It may have ended this very moment.
                let _ = kill(id, Signal::SIGKILL);
            }
        });
        let output = child.wait_with_output()?;
        drop(ended);
        let _ = guard.join();
        Ok(Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// A running gateway.
pub struct Gateway<'lab> {
    lab: &'lab Lab,
    policy: PathBuf,
    daemon: Process,
    show_log: bool,
}

impl<'lab> Gateway<'lab> {
    pub(super) fn start(lab: &'lab Lab, policy: &str) -> Result<Self> {
        let file = lab.dir().join("policy.yaml");
        fs::write(&file, in_mode(policy)?.as_bytes())?;
        let daemon = spawn(lab, &file)?;
        let mut gateway = Self { lab, policy: file, daemon, show_log: false };
        gateway.wait_ready()?;
        gateway.show_log = true;
        Ok(gateway)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let ready = within(START, "thulium-ctl to be ready", || {
            let end = self.daemon.ended()?;
            let status = self.ctl("status")?;
            ensure!(status.code == 0 || end.is_some(), "status exits {}: {}{}", status.code, status.out, status.err);
            Ok(end)
        });
        match ready.with_context(|| format!("the log of thulium-ctl:\n{}", self.daemon.log()))? {
            Some(status) => bail!("thulium-ctl run ended ({status}):\n{}", self.daemon.log()),
            None => Ok(()),
        }
    }

    /// Does not print the daemon's log in the end.
    pub fn hide_log(&mut self) {
        self.show_log = false;
    }

    /// Runs another verb, such as `drops --json`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn ctl(&self, line: &str) -> Result<Ran> {
        Verb::new(self.lab, line)?.ran()
    }

    /// What a reading verb says with `--json`.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn json(&self, verb: &str) -> Result<Value> {
        let ran = self.ctl(&format!("{verb} --json"))?;
        ensure!(ran.code == 0, "{verb} failed: {ran:?}");
        ran.json()
    }

    /// The drop counters.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn refused(&self) -> Result<Refused> {
        let ran = self.ctl("drops --json")?;
        ensure!(ran.code == 0, "drops failed: {ran:?}");
        Refused::parse(&ran.out)
    }

    /// Waits until the drop counters are exactly `lines`, in any order; see [`Refused::lines`].
    ///
    /// # Errors
    /// When they are still different after 5 s.
    pub fn expect_refused(&self, lines: &[&str]) -> Result<()> {
        let mut expected: Vec<_> = lines.iter().map(ToString::to_string).collect();
        expected.sort();
        within(Duration::from_secs(5), "the drop counters", || {
            let mut seen = self.refused()?.lines();
            seen.sort();
            ensure!(seen == expected, "expected {expected:?}, seen {seen:?}");
            Ok(())
        })
    }

    /// Kills the daemon with SIGKILL.
    ///
    /// # Errors
    /// When it was dead already.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.signal(Signal::SIGKILL)?;
        self.daemon.wait(Duration::from_secs(5)).map(drop)
    }

    /// Ends the daemon with SIGTERM, as systemd does.
    ///
    /// # Errors
    /// When it does not end within 10 s.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.daemon.signal(Signal::SIGTERM)?;
        self.daemon.wait(Duration::from_secs(10))
    }

    /// Starts the daemon again, with the same policy or another, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart(&mut self, policy: Option<&str>) -> Result<()> {
        if let Some(policy) = policy {
            fs::write(&self.policy, in_mode(policy)?.as_bytes())?;
        }
        self.daemon = spawn(self.lab, &self.policy)?;
        self.wait_ready()
    }

    /// The daemon's process.
    pub fn daemon(&mut self) -> &mut Process {
        &mut self.daemon
    }

    /// Runs `down` and waits for the daemon's end.
    ///
    /// # Errors
    /// When `down` fails or the daemon stays.
    pub fn down(&mut self) -> Result<ExitStatus> {
        let ran = self.ctl("down")?;
        ensure!(ran.code == 0, "down failed: {ran:?}");
        self.daemon.wait(Duration::from_secs(10))
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        // The test harness shows this only for a test that failed.
        if self.show_log {
            println!("--- log of thulium-ctl\n{}", self.daemon.log());
        }
    }
}

fn spawn(lab: &Lab, policy: &Path) -> Result<Process> {
    let mut run = Verb::new(lab, "run --policy")?;
    Process::spawn(run.command().arg(policy), &lab.dir().join("thulium-ctl.log"))
}

/// The binary under test: `THULIUM_CTL`, else the release build of the target folder that this program is in.
///
/// # Errors
/// When there is none.
pub fn thulium_ctl() -> Result<PathBuf> {
    if let Some(path) = env::var_os("THULIUM_CTL") {
        return Ok(path.into());
    }
    let own = env::current_exe()?;
    let built = own.ancestors().map(|folder| folder.join("release/thulium-ctl")).find(|path| path.is_file());
    built.context("there is no target/release/thulium-ctl: run `cargo xtask build`, or set THULIUM_CTL")
}

/// Takes an instance down from outside, and removes what it may have left when it could not be asked.
pub(super) fn take_down(id: &str, namespace: &Path) {
    if let (Ok(binary), Ok(file), true) = (thulium_ctl(), fs::File::open(namespace), pinned(id)) {
        let mut down = Command::new(binary);
        down.arg("down").env("THULIUM_BPFFS", bpffs(id)).env("THULIUM_INSTANCE", id);
        let _ = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET)?;
            Ok::<_, anyhow::Error>(down.output()?)
        })
        .join();
    }
    remove_instance_files(id);
}

/// Whether the instance has pins, that is, was ever started and not taken down.
fn pinned(id: &str) -> bool {
    dir(id).exists() && bpffs(id).join("thulium").join(id).exists()
}
