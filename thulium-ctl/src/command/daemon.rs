//! What the commands that ask the daemon share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::control::AskError;

/// How long a command waits for the daemon.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The daemon answered another question.
pub(super) fn unexpected() -> AskError {
    AskError::Broken("it answered another question; is it of another version?".to_owned())
}
