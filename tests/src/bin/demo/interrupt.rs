//! Ctrl-C, and the signals that mean the same.

use std::{
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result};
use thulium_tests::lab;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on a signal to end removes the lab and ends the program, whatever it is doing.
///
/// # Errors
/// When signals cannot be handled.
pub(crate) fn dismantle_on_interrupt() -> Result<()> {
    ctrlc::set_handler(move || {
        INTERRUPTED.store(true, Ordering::Relaxed);
        eprintln!("\nInterrupted: removing the lab …");
        lab::dismantle_own();
        process::exit(130);
    })
    .context("handling Ctrl-C")
}

/// Does not return if the program is being interrupted: its errors are only those of a lab that goes away.
pub(crate) fn wait_if_interrupted() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        thread::park();
    }
}
