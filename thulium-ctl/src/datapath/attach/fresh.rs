//! What can be undone.

use std::{fs, path::PathBuf};

use aya::programs::TcAttachType;

use super::{Target, clsact};

/// What this run attached, taken off again unless all of it succeeds.
#[derive(Default)]
pub(in crate::datapath) struct Fresh {
    /// Pins of links: removing them detaches.
    pub(in crate::datapath) pins: Vec<PathBuf>,
    /// Filters of the clsact qdisc: where, and of which program.
    pub(super) filters: Vec<(Target, String, TcAttachType)>,
}

impl Fresh {
    /// All of it succeeded.
    pub(super) fn keep(mut self) {
        self.pins.clear();
        self.filters.clear();
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // We are on our way out with an error already; what cannot be undone now, `down` undoes.
        for (target, program, kind) in &self.filters {
            let _ = clsact::detach(&target.name, program, *kind);
        }
        for pin in &self.pins {
            let _ = fs::remove_file(pin);
        }
    }
}
