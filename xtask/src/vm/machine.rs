//! The virtual machine itself.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{kernel::Kernel, tools::Tools};
use crate::step::last_lines;

/// How long all tests may take. They take some minutes; a busy machine needs several times as long.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// Lines of the console that are shown of a machine that failed.
const SHOWN: usize = 60;

/// Boots `kernel`, lets its tests write to standard output, and returns their exit code.
///
/// # Errors
/// If the machine ends without a word of how the tests ended, or takes too long: then the end of its console was shown.
pub(super) fn run(folder: &Path, tools: &Tools, kernel: &Kernel, initrd: &Path) -> Result<i32> {
    let [console, status, messages] = ["console.log", "status", "emulator.log"].map(|name| folder.join(name));
    // Nothing of an earlier machine is to be taken for this one's.
    for file in [&console, &status] {
        File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut command = tools.emulator();
    hardware(&mut command);
    command.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(initrd);
    command.args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off"]);
    // What the kernel says, what the tests say, how they ended.
    for line in [format!("file:{}", console.display()), "stdio".to_owned(), format!("file:{}", status.display())] {
        command.args(["-serial", &line]);
    }
    let log = File::create(&messages).with_context(|| format!("cannot write {}", messages.display()))?;
    command.stdin(Stdio::null()).stderr(log);
    let ended = within(LIMIT, Machine(command.spawn().context("cannot start the emulator")?))?;
    if let Some(code) = exit_code(&fs::read_to_string(&status).unwrap_or_default()) {
        return Ok(code);
    }
    for file in [&messages, &console] {
        let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        eprintln!("{}", last_lines(&text, SHOWN));
    }
    match ended {
        Some(ended) => bail!("the machine ended ({ended}) before its tests did; its console: {}", console.display()),
        None => bail!("the tests took more than {LIMIT:?}; the machine's console: {}", console.display()),
    }
}

/// An emulated computer with the host's file system, and no network.
fn hardware(command: &mut Command) {
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    // As many processors as the emulation can keep busy: races between them are to be seen on other kernels, too.
    command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "3G"]);
    command.args(["-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"]);
}

/// The tests' exit code in `status`, if it is there as a whole.
fn exit_code(status: &str) -> Option<i32> {
    status.strip_prefix("exit ")?.strip_suffix('\n')?.trim_end().parse().ok()
}

/// Waits for the end of `machine`, or ends it when it takes longer than `limit`.
fn within(limit: Duration, mut machine: Machine) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = machine.0.try_wait().context("cannot wait for the emulator")? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(None)
}

/// A running emulator. Dropping it ends it.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_status_is_one() {
        assert_eq!(exit_code("exit 0\n"), Some(0));
        assert_eq!(exit_code("exit 101\n"), Some(101));
        for part in ["", "exit", "exit 0", "exit \n", "0\n", "Kernel panic\nexit 0\n"] {
            assert_eq!(exit_code(part), None, "{part:?}");
        }
    }

    #[test]
    fn a_machine_that_hangs_is_ended() -> Result<()> {
        let machine = Machine(Command::new("sleep").arg("60").spawn()?);
        let id = machine.0.id();
        assert!(within(Duration::from_millis(10), machine)?.is_none());
        assert!(!Path::new(&format!("/proc/{id}")).exists());
        Ok(())
    }
}
