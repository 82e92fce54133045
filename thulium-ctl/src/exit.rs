//! How a command fails: an exit code, what is wrong, and what to do about it.

use std::fmt;

/// Exit codes other than 0 (documented in the README).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A check failed.
    CheckFailed = 1,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// Nothing is attached, or no daemon serves it.
    NotRunning = 3,
    /// A privilege or a kernel feature is missing, or the kernel refused.
    Kernel = 4,
    /// The policy is wrong (`EX_CONFIG` of sysexits).
    Policy = 78,
}

/// An error that an admin can act on.
#[derive(Debug)]
pub struct Failure {
    /// The command's exit code.
    pub exit: Exit,
    /// One sentence: what is wrong.
    pub message: String,
    /// What to do about it, often a command; may be empty.
    pub remedy: String,
}

impl Failure {
    /// A failure with this exit code, message and remedy.
    pub fn new(exit: Exit, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { exit, message: message.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  {}", self.remedy.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
