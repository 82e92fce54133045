//! A step: says what it does and how long it took; the command's output goes to a log that is shown when it fails.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Lines of a failed command's log that are shown.
const SHOWN: usize = 300;

/// Runs `command`, which does `what`.
///
/// # Errors
/// If it cannot be started, or fails: then the end of its output was shown.
pub(crate) fn step(what: &str, command: &mut Command) -> Result<()> {
    if attempt(what, command)? {
        return Ok(());
    }
    let path = log_path(what)?;
    eprintln!("{}", last_lines(&fs::read_to_string(&path).unwrap_or_default(), SHOWN));
    bail!("{what} failed: {} (all of its output: {})", command.get_program().display(), path.display())
}

/// Runs `command`, which does `what`, and says whether it succeeded; its output is in a log.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn attempt(what: &str, command: &mut Command) -> Result<bool> {
    let path = log_path(what)?;
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let second = log.try_clone().context("cannot share the log")?;
    eprint!("{what} … ");
    let begin = Instant::now();
    // A log of cargo's then has what went wrong and not what was compiled before.
    command.env("CARGO_TERM_QUIET", "true");
    let status = command.stdin(Stdio::null()).stdout(log).stderr(second).status();
    let status = status.with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let seconds = begin.elapsed().as_secs_f64();
    eprintln!("{}{seconds:.1} s", if status.success() { "" } else { "failed after " });
    Ok(status.success())
}

/// Runs `command` and returns what it printed, or nothing if it cannot be started or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn log_path(what: &str) -> Result<PathBuf> {
    let folder = workspace::target().join("xtask");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join(log_name(what)))
}

/// `what` as a file name.
fn log_name(what: &str) -> String {
    let words: Vec<&str> = what.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}.log", words.join("-").to_ascii_lowercase())
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_named_after_their_step() {
        assert_eq!(log_name("Building the eBPF object (debian)"), "building-the-ebpf-object-debian.log");
    }

    #[test]
    fn only_the_end_of_a_long_log_is_shown() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
