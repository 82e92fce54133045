//! Waiting for a condition instead of for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Tries `probe` until it succeeds, for 10 s.
///
/// # Errors
/// The last error of `probe`, with `what` it was about.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Result<T>) -> Result<T> {
    within(Duration::from_secs(10), what, probe)
}

/// Tries `probe` until it succeeds, for as long as `patience`.
///
/// # Errors
/// The last error of `probe`, with `what` it was about.
pub fn within<T>(patience: Duration, what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("waited {patience:?} for {what}"));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
