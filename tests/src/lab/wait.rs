//! Waiting for a condition instead of for a time.

use std::{
    env,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// How many times longer tests wait before they fail: `THULIUM_LAB_PATIENCE`, 1 without it. On a slow machine, an emulated one
/// for example, what is right merely takes longer.
static FACTOR: LazyLock<u32> = LazyLock::new(|| {
    let factor = env::var("THULIUM_LAB_PATIENCE").ok().and_then(|factor| factor.parse().ok());
    factor.unwrap_or(1)
});

/// How long to wait on this machine for what takes at most `usual` on any other. Not for times that a test is about.
pub fn patience(usual: Duration) -> Duration {
    usual * *FACTOR
}

/// Tries `probe` until it succeeds, for 10 s.
///
/// # Errors
/// The last error of `probe`, with `what` it was about.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Result<T>) -> Result<T> {
    within(Duration::from_secs(10), what, probe)
}

/// Tries `probe` until it succeeds, for as long as `usual`, or [`patience`] for it.
///
/// # Errors
/// The last error of `probe`, with `what` it was about.
pub fn within<T>(usual: Duration, what: &str, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let patience = patience(usual);
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
