//! Ctrl-C, and the signals that mean the same.

use std::{
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::dismantle_own;
use anyhow::{Context, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal to end removes the lab and ends the program, whatever it is doing.
///
/// # Errors
/// When signals cannot be handled.
pub fn dismantle_on_interrupt() -> Result<()> {
    ctrlc::set_handler(move || {
        INTERRUPTED.store(true, Ordering::Relaxed);
        eprintln!("\nInterrupted: removing the lab …");
        dismantle_own();
        process::exit(130);
    })
    .context("handling Ctrl-C")
}

/// Does not return if the program is being interrupted: its errors are only those of a lab that goes away.
pub fn wait_if_interrupted() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        thread::park();
    }
}
